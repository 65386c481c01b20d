//! Every setting and where it came from, for `part2part config`.

use super::file::KEYS;
use super::{Config, DEFAULT_PORT, Given};
use crate::servent::report::SettingReport;
use crate::servent::{Knob, Origin, Settings, has_kept_key};

/// The settings in the order of the keys, the folder of the state last.
pub(super) fn list(given: &Given, config: &Config) -> Vec<SettingReport> {
    let mut listed: Vec<_> = KEYS.into_iter().map(|(key, _)| setting(key, given, config)).collect();
    let ephemeral = config.settings.ephemeral;
    listed.push(SettingReport {
        key: "state".to_owned(),
        value: match ephemeral {
            true => "a new folder, removed in the end".to_owned(),
            false => config.settings.state.display().to_string(),
        },
        origin: match ephemeral {
            true => given.origin("ephemeral"),
            false => given.which.clone(),
        }
        .to_string(),
        help: "where keys, the host cache and the control socket are kept".to_owned(),
        note: None,
    });
    listed
}

fn setting(key: &'static str, given: &Given, config: &Config) -> SettingReport {
    let settings = &config.settings;
    if let Some(knob) = Knob::of(key) {
        return settings.tuning.report(knob);
    }
    let word = |on: bool| if on { "on" } else { "off" }.to_owned();
    let value = match key {
        "join" => config.join.iter().map(|line| without_key(line)).collect::<Vec<_>>().join(" "),
        "share" => config.share.join(", "),
        "ignore" => settings.ignore.join(" "),
        "listen" => settings.listen.map_or(format!(":{DEFAULT_PORT}"), |at| at.to_string()),
        "announce" => settings.announce.map(|at| at.to_string()).unwrap_or_default(),
        "downloads" => settings.downloads.display().to_string(),
        "network-key" => return network_key(given, settings),
        "manual" => word(settings.manual),
        _ => word(settings.ephemeral),
    };
    let origin = given.origin(key);
    SettingReport {
        key: key.to_owned(),
        value,
        origin: origin.to_string(),
        help: help(key),
        note: None,
    }
}

/// A friend's line as it may be shown: whoever reads a key is a member of its mesh.
fn without_key(line: &str) -> String {
    match line.split_once('#') {
        Some((line, _)) => format!("{line}#..."),
        None => line.to_owned(),
    }
}

/// The key that was given, or the one that was kept when a friend's line held it.
fn network_key(given: &Given, settings: &Settings) -> SettingReport {
    let secret = settings.network.as_ref().map(|secret| match &secret.file {
        Some(file) => (file.display().to_string(), secret.origin.clone()),
        None => ("in the line of --join".to_owned(), secret.origin.clone()),
    });
    let yields = secret.as_ref().is_none_or(|(_, origin)| origin.yields_to_set());
    let kept = yields && !settings.ephemeral && has_kept_key(&settings.state);
    let (value, origin) = match secret {
        _ if kept => ("in the state folder".to_owned(), Origin::Set),
        Some(secret) => secret,
        None => (String::new(), given.origin("network-key")),
    };
    SettingReport {
        key: "network-key".to_owned(),
        value,
        origin: origin.to_string(),
        help: help("network-key"),
        note: None,
    }
}

/// What the flag of `key` says of itself.
fn help(key: &str) -> String {
    use clap::CommandFactory;
    let grammar = crate::args::Arguments::command();
    let flag = grammar.get_arguments().find(|argument| argument.get_long() == Some(key));
    let help = flag.and_then(clap::Arg::get_help).map(ToString::to_string);
    help.unwrap_or_default()
}

//! What a servent's user gave, from all places, before it is checked: flags go before the
//! environment, the environment before `config.toml`. What was `set` stands between the
//! last two and is added by the servent, who alone knows it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory};

use super::file::{self, Entry, KEYS};
use super::folders::{absolute, home, xdg};
use super::{ConfigError, checked_profile};
use crate::args::{Arguments, ServentArgs};
use crate::servent::Origin;

/// The settings as they were given, and where each of them was.
#[derive(Clone, Debug, Default)]
pub struct Given {
    pub(super) args: ServentArgs,
    /// Keys that somebody said something about.
    pub(super) origins: BTreeMap<&'static str, Origin>,
    /// Where the folder of the state came from.
    pub(super) which: Origin,
    /// Of the keys that are no flags.
    pub(super) news: Option<String>,
    pub(super) serve: Option<String>,
    /// `trace-name`, which has no flag.
    pub(super) trace_name: Option<String>,
    pub(super) hash_threads: Option<String>,
    /// The values of `config.toml` that flags take as other words.
    pub(super) share_downloads: Option<String>,
    pub(super) browse: Option<String>,
    pub(super) announce: Option<String>,
}

impl Given {
    /// Adds `config.toml` to `args`, which clap read as `matches`.
    ///
    /// # Errors
    /// [`ConfigError`], when there is a `config.toml` that makes no sense, or none where
    /// `--config` says.
    pub fn gather(args: ServentArgs, matches: &ArgMatches) -> Result<Self, ConfigError> {
        let origins = KEYS.into_iter().filter_map(|(key, _)| Some((key, origin(key, matches)?)));
        let mut given = Self { origins: origins.collect(), ..Self::default() };
        given.args = args;
        let which = ["state", "profile"].into_iter().find_map(|key| origin(key, matches));
        given.which = which.unwrap_or_default();
        let named = given.args.config.as_deref().map(absolute).transpose()?;
        let path = match named.clone() {
            Some(path) => path,
            None => match default_path(given.args.state.profile.as_deref())? {
                Some(path) => path,
                None => return Ok(given),
            },
        };
        match file::read(&path, home().as_deref())? {
            Some(entries) => entries.into_iter().for_each(|entry| given.add(&path, entry)),
            None if named.is_some() => {
                let why = "there is no such file, and --config names one that must be there";
                return Err(ConfigError::File { path, why: why.to_owned() });
            }
            None => {}
        }
        Ok(given)
    }

    /// Takes in a line of `config.toml`, unless something goes before it.
    fn add(&mut self, path: &std::path::Path, entry: Entry) {
        if self.origins.contains_key(entry.key) {
            return;
        }
        let origin = Origin::File { path: path.to_owned(), line: entry.line };
        self.origins.insert(entry.key, origin);
        let args = &mut self.args;
        let value = entry.value();
        match entry.key {
            "join" => args.join = entry.values,
            "share" => args.share = entry.values.into_iter().map(PathBuf::from).collect(),
            "ignore" => args.ignore = entry.values,
            "listen" => args.listen = Some(value),
            "announce" => self.announce = Some(value),
            "downloads" => args.downloads = Some(value.into()),
            "name" => args.name = Some(value),
            "network-key" => args.network_key = Some(value.into()),
            "manual" => args.manual = value == "on",
            "map-port" => args.map_port = value == "on",
            "lan" => args.lan = value == "on",
            "max-upload" => args.max_upload = Some(value),
            "max-download" => args.max_download = Some(value),
            "share-downloads" => self.share_downloads = Some(value),
            "browse" => self.browse = Some(value),
            "news" => self.news = Some(value),
            "serve" => self.serve = Some(value),
            "trace-name" => self.trace_name = Some(value),
            "hash-threads" => self.hash_threads = Some(value),
            // The last of the keys.
            _ => args.ephemeral = value == "on",
        }
    }

    /// Where the value of `key` came from.
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.origins.get(key).cloned().unwrap_or_default()
    }

    /// How a sentence names the place that the value of `key` came from.
    pub(super) fn place(&self, key: &str) -> String {
        match self.origin(key) {
            Origin::File { path, line } => format!("{}:{line}: {key}", path.display()),
            Origin::Environment(name) => name,
            Origin::Flag(name) => name,
            Origin::Set | Origin::Default => format!("--{key}"),
        }
    }
}

/// Where the profile's `config.toml` belongs; none without a home folder.
fn default_path(profile: Option<&str>) -> Result<Option<PathBuf>, ConfigError> {
    let profile = profile.map(checked_profile).transpose()?.unwrap_or_default();
    let Ok(folder) = xdg("XDG_CONFIG_HOME", ".config", "--config") else { return Ok(None) };
    Ok(Some(folder.join("part2part").join(profile).join("config.toml")))
}

/// Whether a flag or the environment gave `key`.
fn origin(key: &'static str, matches: &ArgMatches) -> Option<Origin> {
    let long = long(key);
    let grammar = Arguments::command();
    let argument = grammar.get_arguments().find(|argument| argument.get_long() == Some(long))?;
    match matches.value_source(argument.get_id().as_str())? {
        ValueSource::CommandLine => Some(Origin::Flag(format!("--{long}"))),
        ValueSource::EnvVariable => {
            let name = argument.get_env().unwrap_or_default();
            Some(Origin::Environment(name.to_string_lossy().into_owned()))
        }
        _ => None,
    }
}

/// The flag of a key, without its dashes.
pub(super) fn long(key: &'static str) -> &'static str {
    match key {
        "share-downloads" => "no-share-downloads",
        "browse" => "no-browse",
        key => key,
    }
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;

    use super::*;
    use crate::config::file::WHICH;

    #[test]
    fn every_flag_is_a_key_or_says_which_servent_is_meant() {
        let grammar = Arguments::command();
        let flags = grammar.get_arguments().filter_map(clap::Arg::get_long);
        let flags: Vec<_> = flags.filter(|long| !["help", "version"].contains(long)).collect();
        for flag in &flags {
            let key = flag.strip_prefix("no-").unwrap_or(flag);
            assert!(KEYS.iter().any(|(known, _)| *known == key) || WHICH.contains(flag), "{flag}");
        }
        for (key, _) in KEYS {
            let own = ["news", "serve", "trace-name", "hash-threads"].contains(&key);
            assert_eq!(flags.contains(&long(key)), !own, "{key}");
        }
    }

    #[test]
    fn a_flag_goes_before_the_line_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.toml");
        std::fs::write(&path, "name = 'filed'\nlisten = ':1'\nserve = false\n").unwrap();
        let shown = path.display().to_string();
        let words = ["part2part", "--config", &shown, "--name", "flagged"];
        let matches = Arguments::command().try_get_matches_from(words).unwrap();
        let arguments = Arguments::from_arg_matches(&matches).unwrap();
        let given = Given::gather(arguments.servent, &matches).unwrap();
        assert_eq!(given.args.name.as_deref(), Some("flagged"));
        assert_eq!(given.origin("name"), Origin::Flag("--name".into()));
        assert_eq!(given.args.listen.as_deref(), Some(":1"));
        assert_eq!(given.origin("listen").to_string(), format!("{shown}:2"));
        assert_eq!(given.place("listen"), format!("{shown}:2: listen"));
        assert_eq!(given.serve.as_deref(), Some("off"));
        assert_eq!(given.origin("manual"), Origin::Default);
    }

    #[test]
    fn a_file_that_is_named_must_be_there() {
        let args = ServentArgs { config: Some("/none/c.toml".into()), ..ServentArgs::default() };
        let matches = Arguments::command().try_get_matches_from(["part2part"]).unwrap();
        let error = Given::gather(args, &matches).unwrap_err().to_string();
        assert!(error.starts_with("/none/c.toml: there is no such file"), "{error}");
    }
}

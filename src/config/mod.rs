//! From what was given to checked settings: what was left out gets its default, what makes
//! no sense is refused in a sentence that names the flag, the variable, or the line.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};

use crate::args::StateArgs;
use crate::command::address::{DEFAULT_PORT, join_lines, join_target};
use crate::servent::report::SettingReport;
use crate::servent::{
    Knob, MAX_PATTERN, MAX_PATTERNS, NetworkKey, NetworkSecret, Origin, Settings, Tuning,
    remembered,
};

mod error;
mod file;
mod folders;
mod given;
mod listed;

pub use error::ConfigError;
pub use folders::home;
use folders::{Ephemeral, absolute, default_downloads, fresh_folder, xdg};
pub use given::Given;

/// Longest network key file that makes sense, in bytes.
const MAX_NETWORK_KEY: u64 = 64 * 1024;

/// The keys of `config.toml`.
#[must_use]
pub fn keys() -> Vec<&'static str> {
    file::KEYS.iter().map(|(key, _)| *key).collect()
}

/// What a servent is started with, checked.
#[derive(Debug)]
pub struct Config {
    /// The servent's own settings.
    pub settings: Settings,
    /// Whom to join at the start, as given; each is a sound address.
    pub join: Vec<String>,
    /// What to publish at the start, as given; each is UTF-8.
    pub share: Vec<String>,
    /// Removes the state of an ephemeral servent in the end.
    _ephemeral: Option<Ephemeral>,
}

impl Config {
    /// Checks what was given and fills in the defaults. Reads the network key file and,
    /// for an ephemeral servent, makes its state folder; touches nothing else.
    ///
    /// # Errors
    /// [`ConfigError`]: a sentence that names the place.
    pub fn new(given: &Given) -> Result<Self, ConfigError> {
        let mut config = Self::checked(given)?;
        if config.settings.ephemeral {
            let folder = Ephemeral(fresh_folder()?);
            config.settings.state.clone_from(&folder.0);
            config._ephemeral = Some(folder);
        }
        Ok(config)
    }

    /// Every setting with where it came from, as a servent that starts now would have it.
    ///
    /// # Errors
    /// [`ConfigError`], when it would not start.
    pub fn listed(given: &Given) -> Result<Vec<SettingReport>, ConfigError> {
        let mut config = Self::checked(given)?;
        let settings = &mut config.settings;
        if !settings.ephemeral {
            settings.tuning = remembered(std::mem::take(&mut settings.tuning), &settings.state);
        }
        Ok(listed::list(given, &config))
    }

    /// [`Config::new`], without a folder for an ephemeral servent.
    fn checked(given: &Given) -> Result<Self, ConfigError> {
        let args = &given.args;
        let refuse = |key: &str, value: &str, why: String| ConfigError::Value {
            place: given.place(key),
            value: value.to_owned(),
            why,
        };
        let join: Vec<String> = args.join.iter().flat_map(|text| join_lines(text)).collect();
        let mut invited = None;
        for line in &join {
            // A key is not for logs.
            let shown = line.split('#').next().unwrap_or_default();
            let target =
                join_target(line).map_err(|error| refuse("join", shown, error.to_string()))?;
            match (&target.key, &invited) {
                (Some(key), Some(other)) if key != other => {
                    let why = "a servent is in one mesh at a time, and the keys differ";
                    return Err(refuse("join", "", why.into()));
                }
                (Some(key), _) => invited = Some(key.clone()),
                (None, _) => {}
            }
        }
        let share = args.share.iter().map(|path| {
            let why = "the name is not UTF-8; share the folder that holds it";
            let shown = path.display().to_string();
            path.to_str().map(str::to_owned).ok_or_else(|| refuse("share", &shown, why.into()))
        });
        let share = share.collect::<Result<_, _>>()?;
        let announce = match (&args.announce, &given.announce) {
            (Some(announce), _) => Some(*announce),
            (None, Some(text)) => Some(text.parse().map_err(|_| {
                refuse(
                    "announce",
                    text,
                    "an address and a port are wanted, as 192.0.2.7:7272".into(),
                )
            })?),
            (None, None) => None,
        };
        if let Some(announce) = announce
            && !is_dialable(announce)
        {
            let why = "others cannot dial this; name an address and a port of this machine";
            return Err(refuse("announce", &announce.to_string(), why.into()));
        }
        let listen = match &args.listen {
            Some(text) => Some(listen(text).ok_or_else(|| {
                let why =
                    format!("IP:PORT is wanted, or :PORT for every interface, as :{DEFAULT_PORT}");
                refuse("listen", text, why)
            })?),
            None => None,
        };
        let file = match &args.network_key {
            Some(path) => Some(
                network_key(path)
                    .map_err(|why| refuse("network-key", &path.display().to_string(), why))?,
            ),
            None => None,
        };
        let file = file.map(|contents| NetworkKey::from_contents(&contents));
        let network = match (file, invited) {
            (Some(key), Some(invited)) if key != invited => {
                let why = "it is of another mesh than the network key";
                return Err(refuse("join", "", why.into()));
            }
            (Some(key), _) => Some(NetworkSecret {
                key,
                origin: given.origin("network-key"),
                file: args.network_key.clone(),
            }),
            (None, Some(key)) => {
                Some(NetworkSecret { key, origin: given.origin("join"), file: None })
            }
            (None, None) => None,
        };
        let downloads = match &args.downloads {
            Some(folder) => absolute(folder)?,
            None => default_downloads()?,
        };
        let settings = Settings {
            state: state(&args.state)?,
            downloads,
            home: home(),
            listen,
            announce,
            network,
            manual: args.manual,
            tuning: tuning(given)?,
            ignore: ignore(given)?,
            ephemeral: args.ephemeral,
        };
        Ok(Self { settings, join, share, _ephemeral: None })
    }
}

/// The patterns of what is not shared; few and short enough to be tried on each name.
fn ignore(given: &Given) -> Result<Vec<String>, ConfigError> {
    let refuse = |value: &str, why: String| ConfigError::Value {
        place: given.place("ignore"),
        value: value.to_owned(),
        why,
    };
    let patterns = &given.args.ignore;
    if patterns.len() > MAX_PATTERNS {
        let why = format!(
            "at most {MAX_PATTERNS} patterns are wanted here; a .part2partignore in a folder holds \
             more"
        );
        return Err(refuse("", why));
    }
    match patterns.iter().find(|pattern| pattern.len() > MAX_PATTERN || pattern.contains('\n')) {
        Some(bad) => {
            let why = format!("one pattern of at most {MAX_PATTERN} bytes is wanted, as *.tmp");
            Err(refuse(bad, why))
        }
        None => Ok(patterns.clone()),
    }
}

/// What can be changed at the prompt, as it is at the start.
fn tuning(given: &Given) -> Result<Tuning, ConfigError> {
    let args = &given.args;
    let word = |on: bool| if on { "on" } else { "off" }.to_owned();
    // Where nobody said anything, a flag that is not there says nothing either.
    let flagged =
        |knob: Knob, on: bool| (given.origin(knob.key()) != Origin::Default).then(|| word(on));
    let shares = flagged(Knob::ShareDownloads, !args.no_share_downloads);
    let browse = flagged(Knob::Browse, !args.no_browse);
    let texts = BTreeMap::from([
        (Knob::MaxUpload, args.max_upload.clone()),
        (Knob::MaxDownload, args.max_download.clone()),
        (Knob::ShareDownloads, given.share_downloads.clone().or(shares)),
        (Knob::Name, args.name.clone()),
        (Knob::News, given.news.clone()),
        (Knob::Serve, given.serve.clone()),
        (Knob::TraceName, given.trace_name.clone()),
        (Knob::Browse, given.browse.clone().or(browse)),
        (Knob::MapPort, flagged(Knob::MapPort, args.map_port)),
        (Knob::Lan, flagged(Knob::Lan, args.lan)),
        (Knob::HashThreads, given.hash_threads.clone()),
    ]);
    let mut tuning = Tuning::default();
    for (knob, text) in texts {
        let Some(text) = text else { continue };
        let key = knob.key();
        tuning.turn(knob, &text, given.origin(key)).map_err(|error| {
            // A name is whatever its user typed, line ends included.
            let value = if knob == Knob::Name { String::new() } else { text };
            ConfigError::Value { place: given.place(key), value, why: error.to_string() }
        })?;
    }
    Ok(tuning)
}

/// The state folder that `args` mean.
///
/// # Errors
/// [`ConfigError`] when there is no home folder, or the profile's name is none.
pub fn state(args: &StateArgs) -> Result<PathBuf, ConfigError> {
    let profile = args.profile.as_deref().map(checked_profile).transpose()?;
    let state = match &args.state {
        Some(folder) => absolute(folder)?,
        None => xdg("XDG_STATE_HOME", ".local/state", "--state")?.join("part2part"),
    };
    Ok(profile.map_or_else(|| state.clone(), |profile| state.join(profile)))
}

/// `profile`, if it can be the name of a folder.
fn checked_profile(profile: &str) -> Result<&str, ConfigError> {
    let usual = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if profile.is_empty() || profile.starts_with('.') || !profile.chars().all(usual) {
        return Err(ConfigError::Value {
            place: "--profile".into(),
            value: profile.to_owned(),
            why: "letters, digits, '-', '_' and '.' make a profile's name".into(),
        });
    }
    Ok(profile)
}

fn is_dialable(address: SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast()
}

fn listen(text: &str) -> Option<SocketAddr> {
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().ok()?;
        // Both families where the machine has both.
        let both = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
        let every: IpAddr =
            if both { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        return Some(SocketAddr::new(every, port));
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    let whole = text.parse().ok();
    whole.or_else(|| Some(SocketAddr::new(bare.parse().ok()?, DEFAULT_PORT)))
}

fn network_key(path: &Path) -> Result<Vec<u8>, String> {
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "you may not read it (permission denied)".into(),
        std::io::ErrorKind::IsADirectory => "it is a folder; a key file is wanted".into(),
        _ => format!("it cannot be read: {error}"),
    };
    let file = fs::File::open(path).map_err(unreadable)?;
    let mut key = Vec::new();
    file.take(MAX_NETWORK_KEY + 1).read_to_end(&mut key).map_err(unreadable)?;
    if key.len() as u64 > MAX_NETWORK_KEY {
        return Err(format!("over {MAX_NETWORK_KEY} bytes; is this a key file?"));
    }
    if key.iter().all(u8::is_ascii_whitespace) {
        // It would be the key of the open mesh, which is not what anybody means.
        return Err("the file is empty; 'part2part network-key new FILE' makes one".into());
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::ServentArgs;
    use crate::base::ServentId;
    use crate::servent::MAX_NAME;

    fn args(change: impl FnOnce(&mut ServentArgs)) -> Given {
        let mut args = ServentArgs {
            downloads: Some("/d".into()),
            state: StateArgs { state: Some("/s".into()), profile: None },
            ..ServentArgs::default()
        };
        change(&mut args);
        Given { args, ..Given::default() }
    }

    fn settings(change: impl FnOnce(&mut ServentArgs)) -> Settings {
        Config::new(&args(change)).unwrap().settings
    }

    fn refusal(change: impl FnOnce(&mut ServentArgs)) -> String {
        Config::new(&args(change)).unwrap_err().to_string()
    }

    #[test]
    fn what_is_left_out_has_a_harmless_default() {
        let settings = settings(|_| {});
        assert_eq!((settings.state, settings.downloads), ("/s".into(), "/d".into()));
        assert_eq!(settings.tuning, Tuning::default());
        assert!(settings.listen.is_none() && settings.network.is_none());
        assert!(!settings.manual && !settings.ephemeral);
    }

    #[test]
    fn listening_takes_an_address_or_every_interface() {
        let on = |text: &str| settings(|args| args.listen = Some(text.into())).listen.unwrap();
        assert_eq!(on("127.0.0.1:0"), "127.0.0.1:0".parse().unwrap());
        assert_eq!(on("[::1]:80"), "[::1]:80".parse().unwrap());
        assert_eq!(on("[::1]"), "[::1]:7272".parse().unwrap());
        assert_eq!(on("10.0.0.7"), "10.0.0.7:7272".parse().unwrap());
        assert!(on(":0").ip().is_unspecified() && on(":0").port() == 0);
        for bad in ["", ":", ":x", ":65536", "attic:1", "1.2.3:4"] {
            assert!(refusal(|args| args.listen = Some(bad.into())).contains(":7272"), "{bad}");
        }
    }

    #[test]
    fn each_flag_is_named_when_its_value_makes_no_sense() {
        let long = "n".repeat(MAX_NAME + 1);
        assert!(refusal(|args| args.name = Some(long)).starts_with("--name: at most"));
        assert!(refusal(|args| args.max_upload = Some("x".into())).starts_with("--max-upload x: "));
        assert!(refusal(|args| args.join = vec!["::1".into()]).starts_with("--join ::1: an IPv6"));
        let announce = |text: &str| text.parse().ok();
        assert!(refusal(|args| args.announce = announce("0.0.0.0:7")).starts_with("--announce"));
        assert!(refusal(|args| args.announce = announce("1.2.3.4:0")).starts_with("--announce"));
        for bad in ["", "..", "a/b", ".x", "a b"] {
            assert!(refusal(|args| args.state.profile = Some(bad.into())).starts_with("--profile"));
        }
        let profile = settings(|args| args.state.profile = Some("b-2".into()));
        assert_eq!(profile.state, Path::new("/s/b-2"));
    }

    #[test]
    fn a_line_of_the_file_is_named_when_its_value_makes_no_sense() {
        let mut given = args(|args| args.max_upload = Some("fast".into()));
        let origin = Origin::File { path: "/c.toml".into(), line: 3 };
        given.origins.insert("max-upload", origin.clone());
        let error = Config::new(&given).unwrap_err().to_string();
        assert!(error.starts_with("/c.toml:3: max-upload fast: a rate is wanted"), "{error}");
        let mut given = args(|_| {});
        given.announce = Some("attic:7".into());
        given.origins.insert("announce", origin);
        let error = Config::new(&given).unwrap_err().to_string();
        assert!(error.starts_with("/c.toml:3: announce attic:7: an address"), "{error}");
    }

    #[test]
    fn a_network_key_must_be_there_and_hold_something() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let with = |path: &Path| Some(path.to_owned());
        assert!(refusal(|args| args.network_key = with(&key)).contains("there is no such file"));
        fs::write(&key, "\n").unwrap();
        assert!(refusal(|args| args.network_key = with(&key)).contains("empty"));
        fs::write(&key, vec![b'x'; MAX_NETWORK_KEY as usize + 1]).unwrap();
        assert!(refusal(|args| args.network_key = with(&key)).contains("key file?"));
        fs::write(&key, vec![b'x'; MAX_NETWORK_KEY as usize]).unwrap();
        let read = settings(|args| args.network_key = with(&key)).network.unwrap();
        assert_eq!(read.key, NetworkKey::from_contents(&vec![b'x'; MAX_NETWORK_KEY as usize]));
        let other = NetworkKey::from_contents(b"other").to_text();
        let line = |key: &str| vec![format!("{}@a:1#{key}", ServentId([7; 32]))];
        let said = refusal(|args| {
            (args.network_key, args.join) = (with(&key), line(&other));
        });
        assert!(said.contains("of another mesh than the network key"), "{said}");
        assert!(!said.contains(&other), "a key is shown to nobody: {said}");
        let invited = settings(|args| args.join = line(&other)).network.unwrap();
        assert_eq!((invited.key.to_text(), invited.file), (other, None));
    }

    #[test]
    fn an_ephemeral_state_is_private_new_and_gone_in_the_end() {
        use std::os::unix::fs::PermissionsExt;
        let make = || Config::new(&args(|args| args.ephemeral = true)).unwrap();
        let (one, two) = (make(), make());
        let (here, there) = (one.settings.state.clone(), two.settings.state.clone());
        assert_ne!(here, there);
        assert_eq!(fs::metadata(&here).unwrap().permissions().mode() & 0o777, 0o700);
        fs::write(here.join("key"), "k").unwrap();
        drop(one);
        assert!(!here.exists() && there.exists());
        drop(two);
        assert!(!there.exists());
    }
}

//! From arguments to checked settings: what was left out gets its default, what makes no
//! sense is refused in a sentence.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io::{self, Read};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;

use crate::args::{ServentArgs, StateArgs};
use crate::command::address::{AddressError, DEFAULT_PORT, join_target};
use crate::servent::Settings;

/// Longest name of a servent, in bytes: what its greeting carries.
const MAX_NAME: usize = 64;
/// Longest network key file that makes sense, in bytes.
const MAX_NETWORK_KEY: u64 = 64 * 1024;
/// Slowest cap on a rate, in bytes a second: below it no piece comes through in time.
const MIN_RATE: u64 = 4_096;
/// How many names are tried for the folder of an ephemeral state.
const EPHEMERAL_TRIES: u32 = 1_000;

/// Why a servent cannot be started with these arguments.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A default folder hangs on the home folder.
    #[error("there is no home folder ($HOME); say where with {flag}")]
    NoHome {
        /// The flag that does without.
        flag: &'static str,
    },
    /// The folder this process stands in is gone.
    #[error("the current folder cannot be read: {0}")]
    NoFolder(io::Error),
    /// `--join`.
    #[error("--join {text}: {source}")]
    Join {
        /// What was given.
        text: String,
        /// What is wrong with it.
        source: AddressError,
    },
    /// `--listen`.
    #[error("--listen {0}: IP:PORT is wanted, or :PORT for every interface, as :{DEFAULT_PORT}")]
    Listen(String),
    /// `--announce`.
    #[error("--announce {0}: others cannot dial this; name an address and a port of this machine")]
    Announce(SocketAddr),
    /// `--name`.
    #[error("--name: at most {MAX_NAME} bytes without control characters are wanted")]
    Name,
    /// `--profile`.
    #[error("--profile {0}: letters, digits, '-', '_' and '.' make a profile's name")]
    Profile(String),
    /// `--share`.
    #[error("--share {}: the name is not UTF-8; share the folder that holds it", .0.display())]
    Share(PathBuf),
    /// `--max-upload`, `--max-download`.
    #[error(
        "{flag} {text}: a rate is wanted, as 500kB or 10MB (a second, at least {MIN_RATE} bytes)"
    )]
    Rate {
        /// Which.
        flag: &'static str,
        /// What was given.
        text: String,
    },
    /// `--network-key`.
    #[error("--network-key {}: {why}", path.display())]
    NetworkKey {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// `--ephemeral`.
    #[error("cannot make a folder in {}: {source}", folder.display())]
    Ephemeral {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
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

/// A folder that goes with its holder.
#[derive(Debug)]
struct Ephemeral(PathBuf);

impl Drop for Ephemeral {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Config {
    /// Checks `args` and fills in the defaults. Reads the network key file and, for an
    /// ephemeral servent, makes its state folder; touches nothing else.
    ///
    /// # Errors
    /// [`ConfigError`]: a sentence that names the flag.
    pub fn new(args: ServentArgs) -> Result<Self, ConfigError> {
        for text in &args.join {
            join_target(text).map_err(|source| ConfigError::Join { text: text.clone(), source })?;
        }
        let share = args.share.into_iter();
        let share = share.map(|path| {
            path.into_os_string().into_string().map_err(|path| ConfigError::Share(path.into()))
        });
        let share = share.collect::<Result<Vec<_>, _>>()?;
        let name = args.name.unwrap_or_default();
        if name.len() > MAX_NAME || name.contains(char::is_control) {
            return Err(ConfigError::Name);
        }
        if let Some(announce) = args.announce
            && (announce.port() == 0
                || announce.ip().is_unspecified()
                || announce.ip().is_multicast())
        {
            return Err(ConfigError::Announce(announce));
        }
        let listen = args.listen.as_deref().map(listen).transpose()?;
        let max_upload = rate("--max-upload", args.max_upload)?;
        let max_download = rate("--max-download", args.max_download)?;
        let network_key = args.network_key.as_deref().map(network_key).transpose()?;
        let downloads = match args.downloads {
            Some(folder) => absolute(&folder)?,
            None => default_downloads()?,
        };
        let ephemeral = if args.ephemeral { Some(Ephemeral(fresh_folder()?)) } else { None };
        let state = match &ephemeral {
            Some(folder) => folder.0.clone(),
            None => state(&args.state)?,
        };
        let settings = Settings {
            state,
            downloads,
            home: home(),
            listen,
            announce: args.announce,
            name,
            network_key,
            network_key_file: args.network_key,
            manual: args.manual,
            max_upload,
            max_download,
            share_downloads: !args.no_share_downloads,
            ephemeral: args.ephemeral,
        };
        Ok(Self { settings, join: args.join, share, _ephemeral: ephemeral })
    }
}

/// The state folder that `args` mean.
///
/// # Errors
/// [`ConfigError`] when there is no home folder, or the profile's name is none.
pub fn state(args: &StateArgs) -> Result<PathBuf, ConfigError> {
    let state = match &args.state {
        Some(folder) => absolute(folder)?,
        None => xdg("XDG_STATE_HOME", ".local/state", "--state")?.join("part2part"),
    };
    let Some(profile) = &args.profile else { return Ok(state) };
    let usual = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if profile.is_empty() || profile.starts_with('.') || !profile.chars().all(usual) {
        return Err(ConfigError::Profile(profile.clone()));
    }
    Ok(state.join(profile))
}

/// The user's home folder.
#[must_use]
pub fn home() -> Option<PathBuf> {
    etcetera::home_dir().ok().filter(|home| home.is_absolute())
}

/// The folder of the XDG variable, which counts only when absolute, or its default.
fn xdg(variable: &str, below_home: &str, flag: &'static str) -> Result<PathBuf, ConfigError> {
    let set = env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute());
    match set {
        Some(folder) => Ok(folder),
        None => Ok(home().ok_or(ConfigError::NoHome { flag })?.join(below_home)),
    }
}

fn absolute(path: &Path) -> Result<PathBuf, ConfigError> {
    if path.as_os_str().is_empty() {
        return env::current_dir().map_err(ConfigError::NoFolder);
    }
    std::path::absolute(path).map_err(ConfigError::NoFolder)
}

fn default_downloads() -> Result<PathBuf, ConfigError> {
    let flag = "--downloads";
    let set = env::var_os("XDG_DOWNLOAD_DIR").map(PathBuf::from);
    if let Some(folder) = set.filter(|folder| folder.is_absolute()) {
        return Ok(folder.join("part2part"));
    }
    let home = home().ok_or(ConfigError::NoHome { flag })?;
    let listed = xdg("XDG_CONFIG_HOME", ".config", flag)?.join("user-dirs.dirs");
    let listed = fs::read_to_string(listed).unwrap_or_default();
    let folder = listed_downloads(&listed, &home).unwrap_or_else(|| home.join("Downloads"));
    Ok(folder.join("part2part"))
}

/// The downloads folder in a `user-dirs.dirs`, a line of which is
/// `XDG_DOWNLOAD_DIR="$HOME/Downloads"`.
fn listed_downloads(listed: &str, home: &Path) -> Option<PathBuf> {
    let value = listed.lines().rev().find_map(|line| {
        line.trim().strip_prefix("XDG_DOWNLOAD_DIR=")?.strip_prefix('"')?.strip_suffix('"')
    })?;
    let folder = match value.strip_prefix("$HOME") {
        Some(rest) => home.join(rest.trim_start_matches('/')),
        None => PathBuf::from(value),
    };
    // The home folder itself is how the file says that there is none.
    (folder.is_absolute() && folder != home).then_some(folder)
}

fn listen(text: &str) -> Result<SocketAddr, ConfigError> {
    let refused = || ConfigError::Listen(text.to_owned());
    if let Some(port) = text.strip_prefix(':') {
        let port = port.parse().map_err(|_| refused())?;
        // Both families where the machine has both.
        let both = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
        let every: IpAddr =
            if both { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
        return Ok(SocketAddr::new(every, port));
    }
    let bare = text.trim_start_matches('[').trim_end_matches(']');
    match (text.parse(), bare.parse::<IpAddr>()) {
        (Ok(address), _) => Ok(address),
        (_, Ok(ip)) => Ok(SocketAddr::new(ip, DEFAULT_PORT)),
        _ => Err(refused()),
    }
}

fn rate(flag: &'static str, text: Option<String>) -> Result<Option<u64>, ConfigError> {
    let Some(text) = text else { return Ok(None) };
    let bare = text.trim().trim_end_matches("/s");
    match bare.parse::<ByteSize>() {
        Ok(ByteSize(rate)) if rate >= MIN_RATE => Ok(Some(rate)),
        _ => Err(ConfigError::Rate { flag, text }),
    }
}

fn network_key(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let refused = |why: String| ConfigError::NetworkKey { path: path.to_owned(), why };
    let file = fs::File::open(path).map_err(|error| refused(error.to_string()))?;
    let mut key = Vec::new();
    let read = file.take(MAX_NETWORK_KEY + 1).read_to_end(&mut key);
    read.map_err(|error| refused(error.to_string()))?;
    if key.len() as u64 > MAX_NETWORK_KEY {
        return Err(refused(format!("over {MAX_NETWORK_KEY} bytes; is this a key file?")));
    }
    if key.iter().all(u8::is_ascii_whitespace) {
        // It would be the key of the open mesh, which is not what anybody means.
        return Err(refused(
            "the file is empty; 'part2part network-key new FILE' makes one".into(),
        ));
    }
    Ok(key)
}

/// A new private folder. Its name need not be a secret: making it fails where anything of
/// that name is there already.
fn fresh_folder() -> Result<PathBuf, ConfigError> {
    let base = env::var_os("XDG_RUNTIME_DIR").filter(|folder| Path::new(folder).is_absolute());
    let bases = base.map(PathBuf::from).into_iter().chain([env::temp_dir()]);
    let mut refused = None;
    for base in bases {
        for number in 0..EPHEMERAL_TRIES {
            let name = format!("part2part-{}-{number}", std::process::id());
            let folder = base.join(OsStr::new(&name));
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => return Ok(folder),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => {
                    refused = Some(ConfigError::Ephemeral { folder: base.clone(), source });
                    break;
                }
            }
        }
    }
    let full = || ConfigError::Ephemeral {
        folder: env::temp_dir(),
        source: io::ErrorKind::AlreadyExists.into(),
    };
    Err(refused.unwrap_or_else(full))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(change: impl FnOnce(&mut ServentArgs)) -> ServentArgs {
        let mut args = ServentArgs {
            downloads: Some("/d".into()),
            state: StateArgs { state: Some("/s".into()), profile: None },
            ..ServentArgs::default()
        };
        change(&mut args);
        args
    }

    fn settings(change: impl FnOnce(&mut ServentArgs)) -> Settings {
        Config::new(args(change)).unwrap().settings
    }

    fn refusal(change: impl FnOnce(&mut ServentArgs)) -> String {
        Config::new(args(change)).unwrap_err().to_string()
    }

    #[test]
    fn what_is_left_out_has_a_harmless_default() {
        let settings = settings(|_| {});
        assert_eq!((settings.state, settings.downloads), ("/s".into(), "/d".into()));
        assert_eq!(settings.name, "");
        assert!(settings.listen.is_none() && settings.max_upload.is_none());
        assert!(settings.share_downloads && !settings.manual && !settings.ephemeral);
    }

    #[test]
    fn rates_are_sizes_a_second() {
        let upload = |text: &str| settings(|args| args.max_upload = Some(text.into())).max_upload;
        assert_eq!(upload("10MB"), Some(10_000_000));
        assert_eq!(upload("1MiB/s"), Some(1 << 20));
        assert_eq!(upload("4096"), Some(4096));
        for bad in ["0", "4095", "fast", "", "-1", "10 parsecs"] {
            let text = refusal(|args| args.max_download = Some(bad.into()));
            assert!(text.starts_with("--max-download"), "{text}");
        }
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
        assert_eq!(settings(|args| args.name = Some(long[1..].into())).name.len(), MAX_NAME);
        assert!(refusal(|args| args.name = Some(long)).starts_with("--name"));
        assert!(refusal(|args| args.name = Some("a\nb".into())).starts_with("--name"));
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
    fn a_network_key_must_be_there_and_hold_something() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        let with = |path: &Path| Some(path.to_owned());
        assert!(refusal(|args| args.network_key = with(&key)).contains("No such file"));
        fs::write(&key, "\n").unwrap();
        assert!(refusal(|args| args.network_key = with(&key)).contains("empty"));
        fs::write(&key, vec![b'x'; MAX_NETWORK_KEY as usize + 1]).unwrap();
        assert!(refusal(|args| args.network_key = with(&key)).contains("key file?"));
        fs::write(&key, vec![b'x'; MAX_NETWORK_KEY as usize]).unwrap();
        let read = settings(|args| args.network_key = with(&key)).network_key;
        assert_eq!(read.unwrap().len() as u64, MAX_NETWORK_KEY);
    }

    #[test]
    fn an_ephemeral_state_is_private_new_and_gone_in_the_end() {
        use std::os::unix::fs::PermissionsExt;
        let make = || Config::new(args(|args| args.ephemeral = true)).unwrap();
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

    #[test]
    fn the_desktop_says_where_downloads_go() {
        let home = Path::new("/home/ann");
        let find = |text: &str| listed_downloads(text, home);
        let usual =
            "# a comment\nXDG_DESKTOP_DIR=\"$HOME/Desktop\"\nXDG_DOWNLOAD_DIR=\"$HOME/Laden\"\n";
        assert_eq!(find(usual), Some("/home/ann/Laden".into()));
        assert_eq!(find("XDG_DOWNLOAD_DIR=\"/data/in\""), Some("/data/in".into()));
        assert_eq!(find("XDG_DOWNLOAD_DIR=\"$HOME/\""), None);
        assert_eq!(find("#XDG_DOWNLOAD_DIR=\"/x\""), None);
        assert_eq!(find("XDG_DOWNLOAD_DIR=relative"), None);
        assert_eq!(find(""), None);
    }
}

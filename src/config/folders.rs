//! The folders that a servent uses when nobody names others.

use std::env;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::ConfigError;

/// How many names are tried for the folder of an ephemeral state.
const EPHEMERAL_TRIES: u32 = 1_000;

/// A folder that goes with its holder.
#[derive(Debug)]
pub(super) struct Ephemeral(pub(super) PathBuf);

impl Drop for Ephemeral {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The user's home folder.
#[must_use]
pub fn home() -> Option<PathBuf> {
    etcetera::home_dir().ok().filter(|home| home.is_absolute())
}

/// The folder of the XDG variable, which counts only when absolute, or its default.
pub(super) fn xdg(
    variable: &str,
    below_home: &str,
    flag: &'static str,
) -> Result<PathBuf, ConfigError> {
    let set = env::var_os(variable).map(PathBuf::from).filter(|folder| folder.is_absolute());
    match set {
        Some(folder) => Ok(folder),
        None => Ok(home().ok_or(ConfigError::NoHome { flag })?.join(below_home)),
    }
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf, ConfigError> {
    if path.as_os_str().is_empty() {
        return env::current_dir().map_err(ConfigError::NoFolder);
    }
    std::path::absolute(path).map_err(ConfigError::NoFolder)
}

pub(super) fn default_downloads() -> Result<PathBuf, ConfigError> {
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

/// A new private folder. Its name need not be a secret: making it fails where anything of
/// that name is there already.
pub(super) fn fresh_folder() -> Result<PathBuf, ConfigError> {
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

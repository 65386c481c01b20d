//! Paths as they stand in a command line.

use std::path::{Component, Path, PathBuf};

use super::Local;
use crate::command::Order;

impl Local {
    /// [`absolute`], from where the front stands.
    pub(super) fn absolute(&self, path: &Path, order: &Order) -> Result<PathBuf, String> {
        absolute(path, order.cwd.as_deref(), self.home.as_deref())
    }
}

/// `path` from the root on, without `.` and `..`: `~` at its beginning is `home`, and a
/// relative path begins at `cwd`. Links are left as they are.
fn absolute(path: &Path, cwd: Option<&Path>, home: Option<&Path>) -> Result<PathBuf, String> {
    let shown = path.display();
    let whole = if let Ok(rest) = path.strip_prefix("~") {
        home.ok_or_else(|| format!("'{shown}': there is no home folder for '~'"))?.join(rest)
    } else if path.is_absolute() {
        path.to_owned()
    } else {
        cwd.ok_or_else(|| format!("'{shown}' must be a path from the root on"))?.join(path)
    };
    let mut plain = PathBuf::new();
    for component in whole.components() {
        match component {
            Component::CurDir => {}
            // By name, as a shell's `cd` takes it.
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_where_the_front_stands() {
        let cwd = Path::new("/home/ann/here");
        let home = Path::new("/home/ann");
        let from = |path: &str| absolute(Path::new(path), Some(cwd), Some(home)).unwrap();
        assert_eq!(from("a b"), Path::new("/home/ann/here/a b"));
        assert_eq!(from("."), cwd);
        assert_eq!(from("../x/./y"), Path::new("/home/ann/x/y"));
        assert_eq!(from("../../../.."), Path::new("/"));
        assert_eq!(from("/etc"), Path::new("/etc"));
        assert_eq!(from("~"), home);
        assert_eq!(from("~/Music"), Path::new("/home/ann/Music"));
        assert_eq!(from("~bob"), Path::new("/home/ann/here/~bob"));
        assert_eq!(from("./~"), Path::new("/home/ann/here/~"));
    }

    #[test]
    fn a_path_that_begins_nowhere_is_refused() {
        assert!(absolute(Path::new("x"), None, None).unwrap_err().contains("'x'"));
        assert!(absolute(Path::new("~/x"), None, None).unwrap_err().contains("home"));
    }
}

//! What needs no servent: hashing files, making a network key.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};

use crate::base::ContentId;
use crate::command::Exit;

/// Bytes of a network key: more than anybody can guess.
const NETWORK_KEY_LEN: usize = 32;
/// How much of a file is read at once, in bytes.
const READ: usize = 256 * 1024;

/// Writes `HEX  NAME` for each of `files` to `out`, as b3sum does; what cannot be read is
/// named on `err` and the others go on.
///
/// # Errors
/// When `out` or `err` is closed.
pub fn hash<P: AsRef<Path>>(
    files: &[P],
    out: &mut impl Write,
    err: &mut impl Write,
) -> io::Result<Exit> {
    let mut exit = Exit::Done;
    for path in files {
        let path = path.as_ref();
        let shown = path.display().to_string();
        let hashed = match shown.as_str() {
            "-" => content_id(io::stdin().lock()),
            _ => File::open(path).and_then(content_id),
        };
        match hashed {
            // As b3sum: a name with a line end or a backslash is escaped, and says so.
            Ok(id) if shown.contains(['\\', '\n', '\r']) => {
                let escaped = shown.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
                writeln!(out, "\\{id}  {escaped}")?;
            }
            Ok(id) => writeln!(out, "{id}  {shown}")?,
            Err(error) => {
                writeln!(err, "part2part: {}: {error}", crate::base::escape::Escaped(&shown))?;
                exit = Exit::Failed;
            }
        }
    }
    out.flush()?;
    Ok(exit)
}

fn content_id(mut from: impl Read) -> io::Result<ContentId> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; READ];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(ContentId(*hasher.finalize().as_bytes())),
            Ok(read) => {
                hasher.update(buffer.get(..read).unwrap_or_default());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Writes a fresh network key into the new file `path`, readable by its owner only.
///
/// # Errors
/// When the file is there already, or cannot be made.
pub fn new_network_key(path: &Path) -> io::Result<()> {
    let mut key = [0; NETWORK_KEY_LEN];
    SystemRandom::new()
        .fill(&mut key)
        .map_err(|_| io::Error::other("the system gives no random bytes"))?;
    let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{hex}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn files_are_listed_as_b3sum_lists_them() {
        let folder = tempfile::tempdir().unwrap();
        let empty = folder.path().join("empty");
        let odd = folder.path().join("a\nb\\c");
        let long = folder.path().join("long");
        std::fs::write(&empty, "").unwrap();
        std::fs::write(&odd, "").unwrap();
        std::fs::write(&long, vec![7; 3 * READ + 1]).unwrap();
        let missing = folder.path().join("missing");
        let files: [&PathBuf; 4] = [&empty, &missing, &odd, &long];
        let (mut out, mut err) = (Vec::new(), Vec::new());
        assert_eq!(hash(&files, &mut out, &mut err).unwrap(), Exit::Failed);
        let nothing = ContentId::of_nothing();
        let whole = blake3::hash(&vec![7; 3 * READ + 1]);
        let folder = folder.path().display();
        let wanted = format!(
            "{nothing}  {folder}/empty\n\\{nothing}  {folder}/a\\nb\\\\c\n{whole}  {folder}/long\n"
        );
        assert_eq!(String::from_utf8(out).unwrap(), wanted);
        assert!(String::from_utf8(err).unwrap().contains("missing: No such file"));
    }

    #[test]
    fn a_network_key_is_private_fresh_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        new_network_key(&one).unwrap();
        new_network_key(&two).unwrap();
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        let first = read(&one);
        assert_eq!(first.trim_end().len(), 2 * NETWORK_KEY_LEN);
        assert_ne!(first, read(&two));
        assert_eq!(std::fs::metadata(&one).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(new_network_key(&one).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(read(&one), first);
    }
}

//! The share index: what is published, kept in `redb` over the end of the process.
//!
//! Always true: what [`ShareIndex::write`] has returned from survives kill -9 and a loss
//! of power; what is read was written here, to the last bit; a file that is damaged, of
//! another version or no file at all is kept aside, told, and never stops a start. The
//! database lies on any [`Disk`]. What the rows mean, and when they are written, is left
//! to `share`.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{
    Builder, Database, ReadOnlyTable, ReadableDatabase, ReadableTable, ReadableTableMetadata,
    StorageBackend, TableDefinition, TableError, WriteTransaction,
};

use super::disk::{Disk, NotRegular, PartHandle, read_full};
use super::error::StoreError;
pub use super::share_rows::{FileRow, RootRow};
use super::share_rows::{excluded_value, key_of, name_value, read_excluded, read_name};
use super::state::StateDir;
use crate::base::FileName;

/// The file in the state folder.
pub const FILE: &str = "shares.redb";
/// Memory for pages of the database: reads are few, writes are batches in order of paths.
const CACHE: usize = 4 << 20;
/// The version of the rows, told in the database itself.
const FORMAT: u64 = 1;

type Rows = TableDefinition<'static, &'static [u8], &'static [u8]>;

const FILES: Rows = Rows::new("files");
const ROOTS: Rows = Rows::new("roots");
const EXCLUDED: Rows = Rows::new("excluded");
/// What files are called that are not called as they are on the disk. Whoever does not know
/// the table calls them so.
const NAMES: Rows = Rows::new("names");
const META: TableDefinition<'static, &'static str, u64> = TableDefinition::new("meta");

/// All that the index holds.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Kept {
    /// The files, in order of paths.
    pub files: Vec<FileRow>,
    /// What was published by name.
    pub roots: Vec<RootRow>,
    /// What is not published although it lies in a published folder.
    pub excluded: Vec<PathBuf>,
    /// What files are called that are not called as they are on the disk.
    pub names: Vec<(PathBuf, FileName)>,
}

/// What became of some paths; nothing: the row goes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Files.
    pub files: Vec<(PathBuf, Option<FileRow>)>,
    /// What is published by name.
    pub roots: Vec<(PathBuf, Option<RootRow>)>,
    /// Paths, and whether they are excluded.
    pub excluded: Vec<(PathBuf, bool)>,
    /// What files are called otherwise than on the disk.
    pub names: Vec<(PathBuf, Option<FileName>)>,
}

/// The share index of one state folder.
pub struct ShareIndex {
    disk: Arc<dyn Disk>,
    /// Held as long as anybody may write: two writers would ruin the database.
    _state: Arc<StateDir>,
    path: PathBuf,
    /// None after an error: the next write opens it anew.
    database: Mutex<Option<Database>>,
}

/// Why the file cannot be used as it is.
enum Unusable {
    Damaged,
    OtherVersion,
    NotAFile,
    System(io::Error),
}

impl ShareIndex {
    /// Opens the index in the state folder, and reads all of it. A file that cannot be
    /// used is moved to `shares.redb.bad-<now_unix>`; the sentence that is returned then
    /// says what that means for the user.
    #[must_use]
    pub fn open(
        disk: Arc<dyn Disk>,
        state: Arc<StateDir>,
        now_unix: u64,
    ) -> (Self, Kept, Option<String>) {
        let path = state.path().join(FILE);
        let index = Self { disk, _state: state, path, database: Mutex::new(None) };
        let why = match index.open_database(true) {
            Ok((database, kept)) => {
                *index.lock() = Some(database);
                return (index, kept, None);
            }
            Err(Unusable::System(error)) => match index.failed("read", error) {
                // Not the file's fault: it is whole, and comes back with the next start.
                full if full.is_full() => {
                    let text =
                        format!("what is published cannot be read: {full} at the next start");
                    return (index, Kept::default(), Some(text));
                }
                other => format!("could not be read ({other})"),
            },
            Err(why) => why.to_string(),
        };
        let aside = index.beside(&format!("bad-{now_unix}"));
        let moved = index.disk.rename(&index.path, &aside);
        let fresh = moved
            .map_err(|error| index.failed("move aside", error))
            .and_then(|()| index.open_database(false).map_err(|error| index.sentence(error)));
        let notice = match fresh {
            Ok((database, _)) => {
                *index.lock() = Some(database);
                format!(
                    "the list of what is published {why}; it is kept as {}: publish again what \
                     is to be shared",
                    super::error::shown(&aside)
                )
            }
            Err(error) => format!("the list of what is published {why}, and {error}"),
        };
        (index, Kept::default(), Some(notice))
    }

    /// Writes `changes`, all or nothing. On return they survive a loss of power.
    ///
    /// # Errors
    /// What the disk says; then nothing is written, and the next call tries anew.
    pub fn write(&self, changes: &Changes) -> Result<(), StoreError> {
        let mut slot = self.lock();
        let database = match slot.take() {
            Some(database) => database,
            None => self.open_database(false).map_err(|error| self.sentence(error))?.0,
        };
        match guarded(|| commit(&database, |writing| put(writing, changes))) {
            Ok(()) => {
                *slot = Some(database);
                Ok(())
            }
            // The database trusts itself no longer after an error; the next write opens
            // what was last committed.
            Err(error) => Err(self.sentence(error)),
        }
    }

    /// Opens the database, or makes a new one where there is none, and reads it if `read`.
    fn open_database(&self, read: bool) -> Result<(Database, Kept), Unusable> {
        let new = self.beside("new");
        // Begun and never finished: nothing was in it.
        match self.disk.remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Unusable::System(error));
            }
            _ => {}
        }
        match self.disk.kind(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let database = guarded(|| {
                    let database = self.database_at(&new)?;
                    commit(&database, begin)?;
                    Ok(database)
                })?;
                self.disk
                    .rename(&new, &self.path)
                    .and_then(|()| self.disk.open_folder(self.folder())?.sync())
                    .map_err(Unusable::System)?;
                Ok((database, Kept::default()))
            }
            Err(error) => Err(Unusable::System(error)),
            Ok(_) => guarded(|| {
                // An empty file is a database to `redb`; to us it has lost all it had.
                let size = self.disk.open_shared(&self.path)?.stamp()?.size;
                if size == 0 {
                    return Err(Unusable::Damaged);
                }
                let database = self.database_at(&self.path)?;
                let kept = if read { load(&database)? } else { Kept::default() };
                Ok((database, kept))
            }),
        }
    }

    fn database_at(&self, path: &Path) -> Result<Database, Unusable> {
        let backend = OnDisk(self.disk.open_part(path)?);
        // Every page is checked at the start: a plain open trusts what it reads, and
        // panics on it.
        let database = Builder::new()
            .set_cache_size(CACHE)
            .set_check_integrity_on_open(true)
            .create_with_backend(backend)?;
        Ok(database)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Database>> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(&self.path)
    }

    fn beside(&self, ending: &str) -> PathBuf {
        self.folder().join(format!("{FILE}.{ending}"))
    }

    fn failed(&self, what: &'static str, error: io::Error) -> StoreError {
        StoreError::from_io(what, &self.path, error)
    }

    fn sentence(&self, error: Unusable) -> StoreError {
        let error = match error {
            Unusable::System(error) => error,
            other => io::Error::other(format!("the list of what is published {other}")),
        };
        self.failed("write", error)
    }
}

impl fmt::Debug for ShareIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ShareIndex").field(&self.path).finish()
    }
}

/// Runs `work`; a panic of the database over what it has read is damage as well.
fn guarded<T>(work: impl FnOnce() -> Result<T, Unusable>) -> Result<T, Unusable> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Unusable::Damaged))
}

/// One transaction, durable when this returns. In two phases: with one, a damaged last
/// commit reads like one that was cut off, and would be given up in silence.
fn commit(
    database: &Database,
    work: impl FnOnce(&WriteTransaction) -> Result<(), Unusable>,
) -> Result<(), Unusable> {
    let mut writing = database.begin_write()?;
    writing.set_two_phase_commit(true);
    work(&writing)?;
    Ok(writing.commit()?)
}

/// An index without a row.
fn begin(writing: &WriteTransaction) -> Result<(), Unusable> {
    for table in [FILES, ROOTS, EXCLUDED] {
        writing.open_table(table)?;
    }
    writing.open_table(META)?.insert("format", FORMAT)?;
    Ok(())
}

fn put(writing: &WriteTransaction, changes: &Changes) -> Result<(), Unusable> {
    let mut files = writing.open_table(FILES)?;
    for (path, row) in &changes.files {
        match row {
            Some(row) => files.insert(key_of(path), row.value().as_slice())?,
            None => files.remove(key_of(path))?,
        };
    }
    let mut roots = writing.open_table(ROOTS)?;
    for (path, row) in &changes.roots {
        match row {
            Some(row) => roots.insert(key_of(path), row.value().as_slice())?,
            None => roots.remove(key_of(path))?,
        };
    }
    let mut excluded = writing.open_table(EXCLUDED)?;
    for (path, is_excluded) in &changes.excluded {
        match is_excluded {
            true => excluded.insert(key_of(path), excluded_value(path).as_slice())?,
            false => excluded.remove(key_of(path))?,
        };
    }
    let mut names = writing.open_table(NAMES)?;
    for (path, name) in &changes.names {
        match name {
            Some(name) => names.insert(key_of(path), name_value(path, name).as_slice())?,
            None => names.remove(key_of(path))?,
        };
    }
    Ok(())
}

fn load(database: &Database) -> Result<Kept, Unusable> {
    let reading = database.begin_read()?;
    let format = reading.open_table(META)?.get("format")?.map(|format| format.value());
    if format != Some(FORMAT) {
        return Err(if format.is_some() { Unusable::OtherVersion } else { Unusable::Damaged });
    }
    let rows = |table| reading.open_table(table);
    Ok(Kept {
        files: read_all(&rows(FILES)?, FileRow::read)?,
        roots: read_all(&rows(ROOTS)?, RootRow::read)?,
        excluded: read_all(&rows(EXCLUDED)?, read_excluded)?,
        names: match rows(NAMES) {
            // Written before there were such names.
            Err(TableError::TableDoesNotExist(_)) => Vec::new(),
            names => read_all(&names?, read_name)?,
        },
    })
}

fn read_all<T>(
    table: &ReadOnlyTable<&'static [u8], &'static [u8]>,
    read: impl Fn(&[u8], &[u8]) -> Option<T>,
) -> Result<Vec<T>, Unusable> {
    let mut rows = Vec::with_capacity(usize::try_from(table.len()?).unwrap_or(0));
    for row in table.iter()? {
        let (key, value) = row?;
        rows.push(read(key.value(), value.value()).ok_or(Unusable::Damaged)?);
    }
    Ok(rows)
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Damaged => f.write_str("was damaged"),
            Self::OtherVersion => f.write_str("is of another version of part2part"),
            Self::NotAFile => f.write_str("was not a file"),
            Self::System(error) => write!(f, "could not be read ({})", error.kind()),
        }
    }
}

impl From<io::Error> for Unusable {
    fn from(error: io::Error) -> Self {
        use io::ErrorKind::{InvalidData, UnexpectedEof};
        match error.kind() {
            _ if NotRegular::is(&error) => Self::NotAFile,
            InvalidData | UnexpectedEof => Self::Damaged,
            _ => Self::System(error),
        }
    }
}

impl From<redb::Error> for Unusable {
    fn from(error: redb::Error) -> Self {
        match error {
            redb::Error::Io(error) => error.into(),
            redb::Error::UpgradeRequired(_) => Self::OtherVersion,
            _ => Self::Damaged,
        }
    }
}

/// The kinds of error that the database has are one to us.
macro_rules! as_one {
    ($($kind:ident)*) => {$(
        impl From<redb::$kind> for Unusable {
            fn from(error: redb::$kind) -> Self {
                redb::Error::from(error).into()
            }
        }
    )*};
}

as_one!(DatabaseError TransactionError TableError StorageError CommitError);

/// The file below the database.
struct OnDisk(Box<dyn PartHandle>);

impl fmt::Debug for OnDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnDisk")
    }
}

impl StorageBackend for OnDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.stamp()?.size)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        match read_full(&*self.0, out, offset)? == out.len() {
            true => Ok(()),
            false => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(data, offset)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{MemoryDisk, RealDisk};
    use super::*;
    use crate::base::{ContentId, Geometry};
    use crate::store::disk::Stamp;
    use crate::transfer::PieceList;
    use rand::rngs::ChaCha12Rng;
    use rand::{Rng, RngExt, SeedableRng};
    use std::fs;
    use std::os::unix::fs::MetadataExt;

    fn state_of(disk: &Arc<dyn Disk>, folder: &Path) -> Arc<StateDir> {
        Arc::new(StateDir::lock(Arc::clone(disk), folder, 1).unwrap())
    }

    fn opened(disk: &Arc<dyn Disk>, folder: &Path) -> (ShareIndex, Kept, Option<String>) {
        ShareIndex::open(Arc::clone(disk), state_of(disk, folder), 42)
    }

    fn row(number: u64) -> FileRow {
        let id = ContentId(*blake3::hash(&number.to_le_bytes()).as_bytes());
        let list = PieceList::new(id, Geometry::of(8).unwrap(), Vec::new()).unwrap();
        let stamp = Stamp { dev: 1, ino: number, size: 8, mtime_ns: 5, ctime_ns: 6 };
        let path = format!("/share/file {number:06}").into();
        FileRow { path, stamp, settled: number.is_multiple_of(2), list: Arc::new(list) }
    }

    fn many(numbers: std::ops::Range<u64>) -> Changes {
        let rows = numbers.map(row);
        let files = rows.map(|row| (row.path.clone(), Some(row))).collect();
        Changes { files, ..Changes::default() }
    }

    #[test]
    fn what_is_written_is_read_at_the_next_start_on_any_disk() {
        let dir = tempfile::tempdir().unwrap();
        let disks: [(Arc<dyn Disk>, &Path); 2] =
            [(Arc::new(MemoryDisk::new()), Path::new("/s")), (Arc::new(RealDisk), dir.path())];
        for (disk, folder) in disks {
            drop(opened(&disk, folder));
            // As older versions left it: there is no table of names yet.
            let (index, kept, notice) = opened(&disk, folder);
            assert_eq!((kept, notice), (Kept::default(), None));
            let root = RootRow { path: "/share".into(), order: 3, folder: true };
            let mut changes = many(0..300);
            changes.roots = vec![("/share".into(), Some(root.clone())), ("/no".into(), None)];
            changes.excluded = vec![("/share/x".into(), true), ("/share/y".into(), true)];
            let name = |name: &str| Some(FileName::new(name).unwrap());
            changes.names = vec![("/n".into(), name("other")), ("/m".into(), name("x"))];
            index.write(&changes).unwrap();
            let mut less = many(0..0);
            less.files = (100..200).map(|number| (row(number).path, None)).collect();
            less.excluded = vec![("/share/x".into(), false)];
            less.names = vec![("/m".into(), None)];
            index.write(&less).unwrap();
            drop(index);
            let (_, kept, notice) = opened(&disk, folder);
            assert_eq!(notice, None);
            let files: Vec<_> = (0..100).chain(200..300).map(row).collect();
            let excluded = vec!["/share/y".into()];
            let names = vec![("/n".into(), FileName::new("other").unwrap())];
            assert_eq!(kept, Kept { files, roots: vec![root], excluded, names });
        }
        assert_eq!(fs::metadata(dir.path().join(FILE)).unwrap().mode() & 0o777, 0o600);
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names.len(), 2, "the lock and the index: {names:?}");
    }

    /// The bytes of an index of 3,000 rows in two commits: closed, or killed.
    fn written(closed: bool) -> Vec<u8> {
        let memory = MemoryDisk::new();
        let disk: Arc<dyn Disk> = Arc::new(memory.clone());
        let (index, ..) = opened(&disk, Path::new("/s"));
        index.write(&many(0..2000)).unwrap();
        index.write(&many(2000..3000)).unwrap();
        let killed = memory.contents("/s/shares.redb").unwrap();
        drop(index);
        if closed { memory.contents("/s/shares.redb").unwrap() } else { killed }
    }

    /// Starts on `bytes` as the index: how many rows it reads, and what it says. What it
    /// cannot use must be kept aside, and the index must work.
    fn start_on(bytes: &[u8]) -> (usize, Option<String>) {
        let memory = MemoryDisk::new();
        memory.put("/s/shares.redb", bytes);
        let disk: Arc<dyn Disk> = Arc::new(memory.clone());
        let (index, kept, notice) = opened(&disk, Path::new("/s"));
        if notice.is_some() {
            assert_eq!(kept, Kept::default());
            let aside = memory.contents("/s/shares.redb.bad-42");
            assert_eq!(aside.map(|kept| kept.len()), Some(bytes.len()));
            index.write(&many(5000..5001)).unwrap();
            drop(index);
            assert_eq!(opened(&disk, Path::new("/s")).1.files, [row(5000)]);
        }
        (kept.files.len(), notice)
    }

    #[test]
    fn damage_of_any_kind_is_kept_aside_and_told_or_does_no_harm() {
        let mut random = ChaCha12Rng::seed_from_u64(57);
        for closed in [true, false] {
            let whole = written(closed);
            assert_eq!(start_on(&whole), (3000, None));
            let mut damaged = vec![Vec::new(), vec![0; whole.len()]];
            damaged.extend([1, 9, 512, 4096].map(|len| whole[..len].to_vec()));
            for _ in 0..20 {
                damaged.push(whole[..random.random_range(0..whole.len())].to_vec());
                let mut noise = whole.clone();
                let from = random.random_range(0..20);
                random.fill_bytes(&mut noise[from..]);
                damaged.push(noise);
            }
            for bytes in &damaged {
                let (_, notice) = start_on(bytes);
                let notice = notice.unwrap_or_else(|| panic!("{} bytes taken", bytes.len()));
                assert!(notice.contains("shares.redb.bad-42: publish again"), "{notice}");
            }
            let mut told = 0;
            for round in 0..120 {
                let mut bytes = whole.clone();
                let page = random.random_range(0..bytes.len() / 4096) * 4096;
                match round % 3 {
                    0 => bytes[page..page + 4096].fill(0),
                    1 => random.fill_bytes(&mut bytes[page..page + 4096]),
                    _ => bytes[page + random.random_range(0..4096)] ^= 1,
                }
                // A page that holds nothing may hold anything.
                let (rows, notice) = start_on(&bytes);
                assert!(notice.is_some() || rows == 3000, "{rows} rows and not a word");
                told += usize::from(notice.is_some());
            }
            assert!((20..120).contains(&told), "{told} of 120 told");
        }
    }

    #[test]
    fn a_later_version_a_folder_or_a_link_in_its_place_is_kept_aside() {
        let dir = tempfile::tempdir().unwrap();
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let path = dir.path().join(FILE);
        let (index, ..) = opened(&disk, dir.path());
        let database = index.lock().take().unwrap();
        let later = |writing: &WriteTransaction| {
            writing.open_table(META)?.insert("format", FORMAT + 1)?;
            Ok(())
        };
        assert!(commit(&database, later).is_ok());
        drop((database, index));
        let (_, _, notice) = opened(&disk, dir.path());
        assert!(notice.unwrap().contains("is of another version"));
        for odd in ["folder", "link"] {
            fs::remove_file(&path).unwrap();
            let _ = fs::remove_file(dir.path().join("shares.redb.bad-42"));
            match odd {
                "folder" => fs::create_dir(&path).unwrap(),
                _ => std::os::unix::fs::symlink("/etc/hostname", &path).unwrap(),
            }
            let (index, _, notice) = opened(&disk, dir.path());
            assert!(notice.unwrap().contains("was not a file"), "{odd}");
            index.write(&many(0..1)).unwrap();
            let _ = fs::remove_dir(dir.path().join("shares.redb.bad-42"));
        }
    }

    #[test]
    fn what_was_begun_and_never_finished_is_cleared_away() {
        let memory = MemoryDisk::new();
        memory.put("/s/shares.redb.new", b"half");
        let disk: Arc<dyn Disk> = Arc::new(memory.clone());
        let (_index, _, notice) = opened(&disk, Path::new("/s"));
        assert_eq!((notice, memory.contents("/s/shares.redb.new")), (None, None));
    }

    #[test]
    fn a_full_disk_is_told_and_what_was_written_before_stays() {
        let memory = MemoryDisk::new();
        let disk: Arc<dyn Disk> = Arc::new(memory.clone());
        let (index, ..) = opened(&disk, Path::new("/s"));
        index.write(&many(0..1000)).unwrap();
        memory.set_free(0);
        let error = index.write(&many(1000..9000)).unwrap_err();
        assert!(error.to_string().starts_with("no space left for /s/shares.redb"), "{error}");
        memory.set_free(1 << 30);
        index.write(&many(1000..9000)).unwrap();
        drop(index);
        assert_eq!(opened(&disk, Path::new("/s")).1.files.len(), 9000);
    }
}

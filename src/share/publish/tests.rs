//! Publishing, on disks in memory and a real one.

use super::super::left_out::MAX_EXAMPLES;
use super::super::library::{Protected, Totals};
use super::*;
use crate::base::ContentId;
use crate::base::piece::MAX_FILE;
use crate::store::{Disk, MemoryDisk, RealDisk};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::sync::{Arc, Mutex};

/// A library on a disk in memory, with its state in `/state` and its user in
/// `/home/me`.
pub(in crate::share) fn library() -> (MemoryDisk, Library) {
    let disk = MemoryDisk::new();
    for folder in ["/state", "/home/me", "/share"] {
        disk.create_folder(Path::new(folder), 0o700).unwrap();
    }
    disk.put("/keys/network.key", b"secret");
    let protected = Protected {
        state: Some("/state".into()),
        keys: vec!["/keys/network.key".into()],
        home: Some("/home/me".into()),
    };
    let library = Library::new(Arc::new(disk.clone()), &protected);
    (disk, library)
}

pub(in crate::share) fn publish(
    library: &Library,
    path: &str,
) -> Result<PublishReport, PublishError> {
    library.publish(Path::new(path), false, &|_| (), &AtomicBool::new(false))
}

fn names(library: &Library) -> Vec<String> {
    library.shared().into_iter().map(|file| file.name).collect()
}

fn refusal(result: Result<PublishReport, PublishError>) -> LeftOut {
    match result {
        Err(PublishError::Refused { why, .. }) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_folder_is_published_with_the_ids_that_b3sum_prints() {
    let (disk, library) = library();
    let sizes = [0, 1, 65_536, 65_537, (3 << 20) + 5];
    for size in sizes {
        disk.put(format!("/share/deep/er/{size}"), &vec![7; size]);
    }
    let report = publish(&library, "/share").unwrap();
    let bytes: usize = sizes.iter().sum();
    assert_eq!((report.files, report.bytes, report.unchanged), (5, bytes as u64, 0));
    assert_eq!(report.left_out, LeftOutReport::default());
    assert_eq!(library.totals(), Totals { files: 5, bytes: bytes as u64 });
    for file in library.shared() {
        let content = disk.contents(&file.path).unwrap();
        assert_eq!(file.id, ContentId(*blake3::hash(&content).as_bytes()));
    }
}

#[test]
fn odd_files_are_left_out_counted_and_named() {
    let (disk, library) = library();
    disk.put("/share/good", b"good");
    disk.put("/share/.hidden", b"");
    disk.put("/share/.git/config", b"");
    disk.put_odd("/share/link", Kind::Symlink);
    disk.put_odd("/share/fifo", Kind::Special);
    disk.put("/share/closed", b"");
    disk.forbid("/share/closed");
    disk.put("/share/shut/x", b"");
    disk.forbid("/share/shut");
    disk.put_hole("/share/huge", 1 << 40);
    disk.put_hole("/share/over", MAX_FILE + 1);
    disk.put(Path::new("/share").join(OsStr::from_bytes(b"\xff.txt")), b"");
    disk.put("/share/a/.part2part/x.part", b"");
    let report = publish(&library, "/share").unwrap();
    assert_eq!(names(&library), ["good"]);
    let counts = [
        (LeftOut::Hidden, 3),
        (LeftOut::Symlink, 1),
        (LeftOut::Special, 1),
        (LeftOut::Unreadable, 2),
        (LeftOut::TooLarge, 2),
        (LeftOut::Name, 1),
    ];
    assert_eq!(report.left_out.counts, BTreeMap::from(counts));
    assert_eq!(report.left_out.total(), 10);
    let named = |path: &str| report.left_out.examples.iter().find(|e| e.path == path).unwrap();
    assert_eq!(named("/share/fifo").why, LeftOut::Special);
    assert_eq!(report.left_out.examples.len(), 7);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<PublishReport>(&text).unwrap(), report);
}

#[test]
fn at_most_eight_of_those_left_out_are_named() {
    let (disk, library) = library();
    (0..20).for_each(|n| disk.put_odd(format!("/share/{n}"), Kind::Symlink));
    let report = publish(&library, "/share").unwrap();
    assert_eq!(report.left_out.examples.len(), MAX_EXAMPLES);
    assert_eq!(report.left_out.total(), 20);
}

#[test]
fn what_is_named_itself_and_cannot_be_shared_is_an_error() {
    let (disk, library) = library();
    disk.put_odd("/share/fifo", Kind::Special);
    disk.put_hole("/share/huge", 1 << 40);
    disk.put("/share/closed", b"");
    disk.forbid("/share/closed");
    assert_eq!(refusal(publish(&library, "/share/fifo")), LeftOut::Special);
    assert_eq!(refusal(publish(&library, "/share/huge")), LeftOut::TooLarge);
    let closed = publish(&library, "/share/closed").unwrap_err();
    assert!(matches!(closed, PublishError::Unreadable { .. }), "{closed}");
    disk.forbid("/share");
    let closed = publish(&library, "/share").unwrap_err();
    assert!(matches!(closed, PublishError::Unreadable { .. }), "{closed}");
    let missing = publish(&library, "/none\x1b[2J").unwrap_err();
    assert!(matches!(missing, PublishError::Missing { .. }), "{missing}");
    assert!(missing.to_string().contains("/none\\u{1b}[2J"), "{missing}");
}

#[test]
fn state_keys_and_parts_are_never_shared() {
    let (disk, library) = library();
    disk.put("/state/key", b"secret");
    disk.put("/downloads/.part2part/x.part", b"part");
    let never = [
        "/state",
        "/state/key",
        "/share/../state/key",
        "/keys/network.key",
        "/downloads/.part2part",
        "/downloads/.part2part/x.part",
    ];
    for path in never {
        assert_eq!(refusal(publish(&library, path)), LeftOut::Protected, "{path}");
    }
    disk.put("/keys/other", b"fine");
    let report = publish(&library, "/keys").unwrap();
    assert_eq!(report.left_out.counts, BTreeMap::from([(LeftOut::Protected, 1)]));
    assert_eq!(names(&library), ["other"]);
}

#[test]
fn a_hard_link_to_a_key_is_not_shared_either() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("share")).unwrap();
    fs::write(at("key"), b"secret").unwrap();
    fs::hard_link(at("key"), at("share/innocent")).unwrap();
    let protected = Protected { keys: vec![at("key")], ..Default::default() };
    let library = Library::new(Arc::new(RealDisk), &protected);
    let report = publish(&library, at("share").to_str().unwrap()).unwrap();
    assert_eq!(report.left_out.counts, BTreeMap::from([(LeftOut::Protected, 1)]));
    assert_eq!(refusal(publish(&library, at("share/innocent").to_str().unwrap())), {
        LeftOut::Protected
    });
}

#[test]
fn what_holds_more_than_one_means_must_be_confirmed() {
    let (disk, library) = library();
    disk.put("/state/key", b"secret");
    disk.put("/home/me/song", b"song");
    for path in ["/", "/home/me", "/home", "/share/.."] {
        let error = publish(&library, path).unwrap_err();
        assert!(matches!(error, PublishError::NeedsConfirmation { .. }), "{path}: {error}");
    }
    assert_eq!(library.totals().files, 0);
    library.publish(Path::new("/"), true, &|_| (), &AtomicBool::new(false)).unwrap();
    assert_eq!(names(&library), ["song"]);
    publish(&library, "/home/me/song").unwrap();
}

#[test]
fn publishing_again_hashes_only_what_changed_and_forgets_what_is_gone() {
    let (disk, library) = library();
    for name in ["same", "changed", "gone", "now a link"] {
        disk.put(format!("/share/{name}"), name.as_bytes());
    }
    publish(&library, "/share").unwrap();
    disk.put("/share/changed", b"anew");
    disk.put("/share/added", b"added");
    disk.remove_file(Path::new("/share/gone")).unwrap();
    disk.put_odd("/share/now a link", Kind::Symlink);
    let report = publish(&library, "/share").unwrap();
    assert_eq!((report.files, report.unchanged, report.withdrawn), (3, 1, 2));
    assert_eq!(names(&library), ["added", "changed", "same"]);
    assert!(library.is_published(ContentId(*blake3::hash(b"anew").as_bytes())));
    assert!(!library.is_published(ContentId(*blake3::hash(b"changed").as_bytes())));
    assert_eq!(library.totals().bytes, 4 + 4 + 5);
}

#[test]
fn a_file_that_changes_while_it_is_hashed_is_left_out() {
    let (disk, library) = library();
    disk.put("/share/busy", &vec![1; 3 << 20]);
    let reads = Mutex::new(0);
    let meddle = |at: PublishProgress<'_>| {
        let mut reads = reads.lock().unwrap();
        *reads += 1;
        if *reads == 2 {
            assert_eq!((at.files, at.bytes), (0, 2 << 20));
            disk.put("/share/busy", &vec![2; 3 << 20]);
        }
    };
    let report =
        library.publish(Path::new("/share"), false, &meddle, &AtomicBool::new(false)).unwrap();
    assert_eq!(report.left_out.counts, BTreeMap::from([(LeftOut::Changed, 1)]));
    assert_eq!(library.totals().files, 0);
    assert_eq!(*reads.lock().unwrap(), 2);
}

#[test]
fn a_stopped_publish_keeps_what_it_has_and_says_so() {
    let (disk, library) = library();
    (0..9).for_each(|n| disk.put(format!("/share/{n}"), &[n]));
    let stop = AtomicBool::new(false);
    let after_three = |at: PublishProgress<'_>| stop.store(at.files == 3, Ordering::Relaxed);
    let error = library.publish(Path::new("/share"), false, &after_three, &stop).unwrap_err();
    assert!(matches!(error, PublishError::Stopped { files: 3 }), "{error}");
    assert_eq!(library.totals().files, 3);
}

#[test]
fn a_real_folder_with_every_odd_thing_in_it_ends_in_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), vec![9; 200_000]).unwrap();
    fs::write(at("empty"), b"").unwrap();
    symlink(at("loop b"), at("loop a")).unwrap();
    symlink(at("loop a"), at("loop b")).unwrap();
    symlink(dir.path(), at("up")).unwrap();
    let mode = 0o600.into();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, at("fifo"), fifo, mode, 0).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    fs::File::create(at("sparse")).unwrap().set_len(1 << 40).unwrap();
    fs::write(dir.path().join(OsStr::from_bytes(b"\xff")), b"").unwrap();

    let library = Library::new(Arc::new(RealDisk), &Protected::default());
    let report = publish(&library, dir.path().to_str().unwrap()).unwrap();
    let counts =
        [(LeftOut::Symlink, 3), (LeftOut::Special, 2), (LeftOut::TooLarge, 1), (LeftOut::Name, 1)];
    assert_eq!(report.left_out.counts, BTreeMap::from(counts));
    assert_eq!(names(&library), ["empty", "file"]);
    assert!(library.is_published(ContentId::of_nothing()));
    // A link that is named itself is what it leads to.
    let report = publish(&library, at("up").to_str().unwrap()).unwrap();
    assert_eq!((report.files, report.unchanged), (2, 2));
}

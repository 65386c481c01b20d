//! Downloads from a publisher that lies: about names, about lists, about pieces.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};

use futures_util::future::join_all;
use part2part::command::Reply;
use part2part::servent::report::DownloadState;
use rustix::fs::{CWD, Mode, mkfifoat};

use crate::common::frames::*;
use crate::common::servent::{Answer, TestServent};
use crate::publisher::{Offer, PIECE, Publisher, piece_of, values_of};
use crate::{Bench, noise};

/// Commands at once: the control socket has no room for many more.
const AT_A_TIME: usize = 8;
/// Pieces of the files that are lied about.
const PIECES: usize = 4;

/// Has `servent` search and download everything that is found: by name, what came of it.
async fn download_all(servent: &TestServent, flags: &[&str]) -> BTreeMap<String, Answer> {
    let found = servent.ask_replies(&["search", "all", "of", "it", "--all"]).await;
    let mut numbers = BTreeMap::new();
    for reply in found {
        if let Reply::Hit(hit) = reply {
            numbers.insert(hit.number, hit.name);
        }
    }
    let mut ends = BTreeMap::new();
    for some in numbers.into_iter().collect::<Vec<_>>().chunks(AT_A_TIME) {
        let downloads = some.iter().map(async |(number, name)| {
            let number = number.to_string();
            let words = ["--json", "download", number.as_str(), "--wait"];
            (name.clone(), servent.ask(&[&words[..], flags].concat()).await)
        });
        ends.extend(join_all(downloads).await);
    }
    ends
}

/// Every path below `folder` but what a servent keeps for itself, with what is there.
fn tree(folder: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let kind = fs::symlink_metadata(&path).unwrap().file_type();
        if kind.is_dir() {
            found.insert(path.clone(), "a folder".into());
            found.extend(tree(&path));
        } else if kind.is_symlink() {
            found.insert(path.clone(), format!("to {}", fs::read_link(&path).unwrap().display()));
        } else if kind.is_fifo() {
            found.insert(path.clone(), "a pipe".into());
        } else {
            let hash = blake3::hash(&fs::read(&path).unwrap_or_default());
            found.insert(path.clone(), hash.to_string());
        }
    }
    found
}

/// What lies at home beside state, downloads and log.
fn elsewhere(servent: &TestServent) -> BTreeMap<PathBuf, String> {
    let own = ["state", "downloads", "stdout", "stderr"].map(|name| servent.home().join(name));
    let mut found = tree(servent.home());
    found.retain(|path, _| !own.iter().any(|own| path.starts_with(own)));
    found
}

/// Case 38, and the display half of 39: only a name's last component could be a path.
#[tokio::test(flavor = "multi_thread")]
async fn no_name_leads_out_of_the_downloads_folder() {
    let long = format!("{}.txt", "é".repeat(125));
    let cut = format!("{}.txt", "é".repeat(98));
    let saved = [
        ("../up", "up"),
        ("/etc/root", "root"),
        ("a/../../over", "over"),
        ("%2e%2e/", "%2e%2e"),
        ("in\0side", "in_side"),
        (".", "_"),
        ("..", "_."),
        ("..\\x", "_.\\x"),
        ("C:\\x", "C:\\x"),
        ("%2e%2e%2fx", "%2e%2e%2fx"),
        ("...", "_.."),
        (".bashrc", "_bashrc"),
        ("a\u{1b}[2J\r\nb", "a_[2J__b"),
        ("x\u{202E}gpj.exe", "x_gpj.exe"),
        ("-rf", "-rf"),
        ("~", "~"),
        ("$HOME;`id`", "$HOME;`id`"),
        ("CON.txt", "CON.txt"),
        ("foo... bar", "foo... bar"),
        (&long, &cut),
    ];
    let names = saved.iter().map(|(name, _)| *name);
    let offers = names.map(|name| Offer::honest(name, format!("the file {name:?}").as_bytes()));
    let publisher = Publisher::start(38, offers.collect()).await;
    let bench = Bench::start().await;
    let victim = &bench.victim;
    let before = elsewhere(victim);
    let joined = victim.ask(&["join", &publisher.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");

    let ends = download_all(victim, &[]).await;
    assert!(ends.values().all(|end| end.code == 0), "{ends:#?}");
    let mut expected = BTreeMap::new();
    for (name, place) in saved {
        let hash = blake3::hash(format!("the file {name:?}").as_bytes()).to_string();
        let path = victim.downloads().join(place);
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o111, 0, "{place:?} may be run");
        expected.insert(path, hash);
    }
    assert_eq!(tree(&victim.downloads()), expected);
    assert_eq!(elsewhere(victim), before);
    let shown = victim.ask(&["downloads"]).await.out;
    assert!(!shown.contains(|c: char| c.is_control() && c != '\n'), "{shown:?}");
    drop(publisher);
    bench.ends_well().await;
}

/// Case 42.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_already_is_neither_followed_nor_replaced() {
    let names = ["file.txt", "folder.txt", "link.txt", "dangling.txt", "pipe.txt"];
    let offers = names.map(|name| Offer::honest(name, format!("the new {name}").as_bytes()));
    let publisher = Publisher::start(42, offers.to_vec()).await;
    let bench = Bench::start().await;
    let victim = &bench.victim;
    let downloads = victim.downloads();
    fs::create_dir_all(&downloads).unwrap();
    fs::write(victim.home().join("precious"), b"precious").unwrap();
    fs::write(downloads.join("file.txt"), b"mine").unwrap();
    fs::create_dir(downloads.join("folder.txt")).unwrap();
    symlink(victim.home().join("precious"), downloads.join("link.txt")).unwrap();
    symlink(victim.home().join("nothing"), downloads.join("dangling.txt")).unwrap();
    mkfifoat(CWD, downloads.join("pipe.txt"), Mode::RWXU).unwrap();
    let (mine, others) = (tree(&downloads), elsewhere(victim));
    let joined = victim.ask(&["join", &publisher.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");

    let ends = download_all(victim, &[]).await;
    assert!(ends.len() == names.len() && ends.values().all(|end| end.code == 0), "{ends:#?}");
    let mut expected = mine;
    for name in names {
        let numbered = name.replace(".txt", " (1).txt");
        let hash = blake3::hash(format!("the new {name}").as_bytes());
        expected.insert(downloads.join(numbered), hash.to_string());
    }
    assert_eq!(tree(&downloads), expected);
    assert_eq!(elsewhere(victim), others);
    drop(publisher);
    bench.ends_well().await;
}

/// A file that is lied about.
struct Lied {
    offer: Offer,
    bytes: Vec<u8>,
    /// Part of the reason that the user must be told.
    why: &'static str,
}

/// Downloads everything from the liar alone, which must come to nothing, then everything
/// again with an honest servent beside it. `judge` looks at the downloads folder between.
async fn lied_to(lies: Vec<Lied>, judge: impl Fn(&Path, &[Lied])) {
    let offers = lies.iter().map(|lied| lied.offer.clone()).collect();
    let liar = Publisher::start(43, offers).await;
    let bench = Bench::start().await;
    let victim = &bench.victim;
    let joined = victim.ask(&["join", &liar.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");

    let ends = download_all(victim, &["--once"]).await;
    assert_eq!(ends.len(), lies.len());
    for Lied { offer: Offer { name, .. }, why, .. } in &lies {
        let end = &ends[name];
        assert_eq!(end.code, 1, "{name}: {end:?}");
        assert!(end.out.contains(why), "{name}: {end:?}");
        assert!(!victim.downloads().join(name).exists(), "{name}");
    }
    judge(&victim.downloads(), &lies);

    for Lied { offer: Offer { name, .. }, bytes, .. } in &lies {
        fs::write(bench.honest.home().join(name), bytes).unwrap();
        let published = bench.honest.ask(&["publish", name]).await;
        assert_eq!(published.code, 0, "{published:?}");
    }
    for Lied { offer: Offer { name, .. }, bytes, .. } in &lies {
        let word = format!("\"{name}\"");
        let found = victim.ask(&["search", &word, "--all"]).await;
        assert_eq!(found.code, 0, "{found:?}");
        let id = blake3::hash(bytes).to_string();
        let end = victim.ask(&["download", &id, "--wait"]).await;
        assert_eq!(end.code, 0, "{name}: {end:?}");
        assert_eq!(fs::read(victim.downloads().join(name)).unwrap(), *bytes, "{name}");
    }
    for reply in victim.ask_replies(&["downloads"]).await {
        let Reply::Downloads { downloads } = reply else { continue };
        let done = downloads.iter().filter(|d| matches!(d.state, DownloadState::Done { .. }));
        assert_eq!(done.count(), lies.len());
    }
    drop(liar);
    bench.ends_well().await;
}

/// A file of [`PIECES`] pieces of its own.
fn file(name: &str) -> Vec<u8> {
    noise(PIECES * PIECE, name)
}

/// Case 43.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_lies_costs_no_disk_and_not_the_download() {
    /// What a list says: how big the file, in which part, what values.
    type Lie = fn(&FakeManifest) -> FakeManifest;
    let lies: [(&str, &str, Lie); 12] = [
        ("flipped", "do not merge", |list| {
            let mut values = list.values.clone();
            values[2][31] ^= 1;
            FakeManifest { values, ..list.clone() }
        }),
        ("swapped", "do not merge", |list| {
            let mut values = list.values.clone();
            values.swap(0, 1);
            FakeManifest { values, ..list.clone() }
        }),
        ("toofew", "do not fit together", |list| FakeManifest {
            values: list.values[1..].to_vec(),
            ..list.clone()
        }),
        ("toomany", "do not fit together", |list| FakeManifest {
            values: list.values.repeat(2),
            ..list.clone()
        }),
        ("none", "do not fit together", |list| FakeManifest { values: vec![], ..list.clone() }),
        ("empty", "do not merge", |list| FakeManifest { size: 0, values: vec![], ..list.clone() }),
        ("onebyte", "in another way than asked", |list| FakeManifest {
            size: 1,
            values: vec![],
            ..list.clone()
        }),
        ("toolarge", "too large", |list| FakeManifest { size: (256 << 30) + 1, ..list.clone() }),
        ("absurd", "too large", |list| FakeManifest { size: u64::MAX, ..list.clone() }),
        // All of 256 parts are given, and merge to something else.
        ("largest", "do not merge", |list| FakeManifest {
            size: 256 << 30,
            values: vec![[list.part as u8; 32]; 1024],
            ..list.clone()
        }),
        ("otherpart", "do not fit together", |list| FakeManifest {
            part: list.part + 1,
            ..list.clone()
        }),
        // The next level of the tree merges to the same id, and says half the size.
        ("nextlevel", "wrong size", |list| FakeManifest {
            size: list.size / 2,
            values: list.values.chunks(2).map(parent).collect(),
            ..list.clone()
        }),
    ];
    let offers = lies.map(|(name, why, lie)| {
        let bytes = file(name);
        let (id, size) = (*blake3::hash(&bytes).as_bytes(), bytes.len() as u64);
        let values = values_of(&bytes);
        let offer = Offer::honest(name, &bytes).described(move |part| {
            let values = values.clone();
            lie(&FakeManifest { id, size, part, values })
        });
        Lied { offer, bytes, why }
    });
    lied_to(offers.into(), |downloads, _| {
        assert_eq!(tree(downloads), BTreeMap::new(), "nothing was begun on disk");
    })
    .await;
}

/// The value over two piece values in the tree of a file.
fn parent(pair: &[[u8; 32]]) -> [u8; 32] {
    use blake3::hazmat::{Mode, merge_subtrees_non_root};
    merge_subtrees_non_root(&pair[0], &pair[1], Mode::Hash)
}

/// Case 47: the list is true and the last piece is given, then come lies.
#[tokio::test(flavor = "multi_thread")]
async fn a_piece_in_another_way_than_asked_is_not_written() {
    type Lie = fn(FakeData) -> Vec<FakeData>;
    let lies: [(&str, &str, Lie); 8] = [
        ("otheroffset", "in another way than asked", |data| vec![FakeData { offset: 5, ..data }]),
        ("faroffset", "in another way than asked", |data| {
            vec![FakeData { offset: 1 << 19, ..data }]
        }),
        ("otherpiece", "what nobody asked for", |data| {
            let other = FakeData { piece: data.piece + 1000, ..data };
            vec![other.clone(), other]
        }),
        ("otherfile", "what nobody asked for", |data| vec![FakeData { id: [0; 32], ..data }]),
        ("longer", "in another way than asked", |mut data| {
            data.bytes.push(0);
            vec![data]
        }),
        ("flippedbit", "sent a wrong piece", |mut data| {
            data.bytes[1000] ^= 1;
            vec![data]
        }),
        ("backwards", "in another way than asked", |data| {
            let (first, second) = data.bytes.split_at(PIECE / 2);
            let offset = (PIECE / 2) as u32;
            let second = FakeData { offset, bytes: second.to_vec(), ..data };
            vec![second, FakeData { bytes: first.to_vec(), ..data }]
        }),
        ("doubled", "in another way than asked", |data| {
            let half = FakeData { bytes: data.bytes[..PIECE / 2].to_vec(), ..data.clone() };
            let offset = (PIECE / 2) as u32;
            vec![half, FakeData { offset, ..data }]
        }),
    ];
    let offers = lies.map(|(name, why, lie)| {
        let bytes = file(name);
        let id = *blake3::hash(&bytes).as_bytes();
        let all = bytes.clone();
        let offer = Offer::honest(name, &bytes).given(move |piece| {
            let data = FakeData { id, piece, offset: 0, bytes: piece_of(&all, piece).to_vec() };
            let last = piece as usize == PIECES - 1;
            let said = if last { vec![data] } else { lie(data) };
            said.iter().map(FakeData::frame).collect()
        });
        Lied { offer, bytes, why }
    });
    lied_to(offers.into(), |downloads, lies| {
        // The last piece is true, and may have been kept for another time.
        for Lied { bytes, .. } in lies {
            let part = format!(".part2part/{}.part", blake3::hash(bytes));
            let part = fs::read(downloads.join(part)).unwrap_or_default();
            for (piece, held) in (0..).zip(part.chunks(PIECE)) {
                let nothing = held.iter().all(|&byte| byte == 0);
                assert!(nothing || held == piece_of(bytes, piece), "piece {piece}");
            }
        }
    })
    .await;
}

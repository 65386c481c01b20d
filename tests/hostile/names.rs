//! Names that steer a terminal, and names that differ for a program and not for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use part2part::command::Reply;
use unicode_normalization::UnicodeNormalization;

use crate::Bench;
use crate::publisher::{Offer, Publisher};

/// What no terminal, log or program may be given.
fn steers(c: char) -> bool {
    let bidi =
        matches!(c, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{200B}'..='\u{200F}');
    (c.is_control() && c != '\n') || bidi
}

/// Case 40.
#[tokio::test(flavor = "multi_thread")]
async fn no_name_steers_a_terminal_a_log_or_a_program() {
    let names = [
        "wipe \x1b[2J\x1b[H",
        "clip \x1b]52;c;cm0gLXJm\x07",
        "over\rwritten",
        "bell\x07bell",
        "c1 \u{9b}31mred",
        "rtl \u{202E}gpj.exe",
        "zero\u{200B}width",
    ];
    let offers = names.map(|name| Offer::honest(name, format!("the file {name:?}").as_bytes()));
    let publisher = Publisher::start(40, offers.to_vec()).await;
    let bench = Bench::start().await;
    let victim = &bench.victim;
    let joined = victim.ask(&["join", &publisher.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    let found = victim.ask(&["search", "anything", "--all"]).await;
    assert!(found.out.lines().count() > names.len(), "{found:?}");
    let mut said = vec![found];
    for number in 1..=names.len() {
        let number = number.to_string();
        said.push(victim.ask(&["results", &number]).await);
        said.push(victim.ask(&["download", &number, "--wait"]).await);
    }
    for words in [&["results"][..], &["downloads"], &["shared"], &["status"], &["peers"]] {
        said.push(victim.ask(words).await);
        let json = victim.ask(&[&["--json"], words].concat()).await;
        assert!(
            json.out.bytes().all(|byte| byte == b'\n' || (32..127).contains(&byte)),
            "{json:?}"
        );
    }
    for answer in &said {
        assert!(!answer.out.contains(steers) && !answer.err.contains(steers), "{answer:?}");
    }
    let told = victim.log() + &victim.printed();
    assert!(!told.contains(steers), "{told:?}");
    drop(publisher);
    bench.ends_well().await;
}

/// Case 41.
#[tokio::test(flavor = "multi_thread")]
async fn names_that_people_take_for_one_are_kept_beside_each_other() {
    let names = ["A.txt", "a.txt", "caf\u{e9}.txt", "cafe\u{301}.txt", "same.txt", "same.txt"];
    let contents: Vec<Vec<u8>> =
        names.iter().enumerate().map(|(nth, name)| format!("{nth} {name}").into_bytes()).collect();
    let offers = names.iter().zip(&contents).map(|(name, bytes)| Offer::honest(name, bytes));
    let publisher = Publisher::start(41, offers.collect()).await;
    let bench = Bench::start().await;
    let victim = &bench.victim;
    let joined = victim.ask(&["join", &publisher.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    let found = victim.ask_replies(&["search", "anything", "--all"]).await;
    let numbers: BTreeSet<usize> = found
        .iter()
        .filter_map(|reply| match reply {
            Reply::Hit(hit) => Some(hit.number),
            _ => None,
        })
        .collect();
    assert_eq!(numbers.len(), names.len(), "each content is a result of its own");
    for number in numbers {
        let end = victim.ask(&["download", &number.to_string(), "--wait"]).await;
        assert_eq!(end.code, 0, "{end:?}");
    }
    let here: BTreeMap<String, Vec<u8>> = fs::read_dir(victim.downloads())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_type().unwrap().is_file())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    let kept: BTreeSet<&Vec<u8>> = here.values().collect();
    assert_eq!(kept, contents.iter().collect(), "{:?}", here.keys());
    let alike: BTreeSet<String> =
        here.keys().map(|name| name.nfc().collect::<String>().to_lowercase()).collect();
    assert_eq!((alike.len(), here.len()), (names.len(), names.len()), "{:?}", here.keys());
    drop(publisher);
    bench.ends_well().await;
}

//! What programs read: every line that `--json` prints is as `part2part schema` says, and
//! the schema is the one that was promised.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::expect_used, reason = "tests")]

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::schema::Schema;
use common::servent::{Answer, Start, TestServent, part2part};
use part2part::command::{Exit, grammar};
use serde_json::Value;

/// Kinds that no command of this test brings about: what only a prompt is shown, and what
/// comes by chance.
const NOT_SEEN: &[&str] = &["greeting", "back", "publishing", "progress", "news"];

fn printed_schema() -> String {
    let folder = tempfile::tempdir().unwrap();
    let output = part2part(folder.path()).arg("schema").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_schema_is_the_one_that_was_promised() {
    let promised = include_str!("golden/replies.schema.json");
    assert_eq!(
        printed_schema(),
        promised,
        "fields may be added within a version: then print the schema into the golden file; \
         anything else is a new version"
    );
}

/// The commands obeyed so far, and what was seen.
struct Record {
    schema: Schema,
    commands: BTreeSet<String>,
    kinds: BTreeSet<String>,
}

impl Record {
    /// Has `servent` obey `words`: each line must be as described, the last one the exit.
    fn obey(&mut self, servent: &TestServent, words: &[&str]) -> Answer {
        let answer = servent.ctl(&[&["--json"], words].concat());
        assert_eq!(answer.err, "", "errors are objects: {words:?}");
        let lines: Vec<Value> =
            answer.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for line in &lines {
            self.schema.judge(line).unwrap_or_else(|why| panic!("{words:?}: {line}: {why}"));
            assert_eq!(line["v"], 1);
            self.kinds.insert(line["reply"].as_str().unwrap().to_owned());
        }
        let last = lines.last().expect("an exit");
        assert_eq!(last["reply"], "exit", "{words:?}");
        assert_eq!(last["code"], answer.code, "{words:?}");
        // A search that finds nothing has its own kind of end; all else says what failed.
        let failed = !matches!(
            Exit::of_code(u8::try_from(answer.code).unwrap()),
            Exit::Done | Exit::NothingFound
        );
        assert_eq!(failed, lines.iter().any(|line| line["reply"] == "error"), "{words:?}");
        self.commands.insert(words[0].to_owned());
        answer
    }

    fn done(&mut self, servent: &TestServent, words: &[&str]) {
        let answer = self.obey(servent, words);
        assert_eq!(answer.code, 0, "{words:?}: {answer:?}");
    }

    fn refused(&mut self, servent: &TestServent, words: &[&str], exit: Exit) {
        let answer = self.obey(servent, words);
        assert_eq!(answer.code, i32::from(exit.code()), "{words:?}: {answer:?}");
    }
}

#[test]
fn every_command_answers_in_objects_that_are_as_described() {
    let mut record = Record {
        schema: Schema::read(&printed_schema()),
        commands: BTreeSet::new(),
        kinds: BTreeSet::new(),
    };
    let giver = TestServent::start(Start::with(&["--name", "attic"]));
    let taker = TestServent::start(Start::with(&["--name", "cellar \u{202e}"]));
    fs::create_dir(giver.home().join("music")).unwrap();
    fs::write(giver.home().join("music/blue train.flac"), vec![7; 300_000]).unwrap();
    fs::write(giver.home().join("music/.hidden"), "").unwrap();
    fs::write(giver.home().join("music/caf\u{e9} \u{1b}[2J.txt"), "evil").unwrap();

    let r = &mut record;
    r.refused(&taker, &["join"], Exit::Failed);
    r.refused(&taker, &["join", "::1"], Exit::Usage);
    r.done(&taker, &["join", &giver.invitation()]);
    r.done(&taker, &["peers"]);
    r.done(&taker, &["peers", "--known"]);
    r.refused(&giver, &["publish", "nowhere"], Exit::Failed);
    r.done(&giver, &["publish", "music"]);
    r.done(&giver, &["shared"]);
    r.done(&giver, &["shared", "blue", "--sort", "size", "--page", "1"]);
    r.done(&giver, &["shared", "--folder", "."]);
    r.refused(&giver, &["shared", "*"], Exit::Usage);
    r.done(&taker, &["search", "blue"]);
    r.done(&taker, &["search", "txt"]);
    r.refused(&taker, &["search", "unobtainium"], Exit::NothingFound);
    r.refused(&taker, &["search", "--ttl", "9", "x"], Exit::Usage);
    r.done(&taker, &["search", "blue", "--all", "--trace"]);
    r.done(&taker, &["map"]);
    r.refused(&taker, &["map", "mesh.png"], Exit::Usage);
    r.done(&taker, &["results"]);
    r.done(&taker, &["results", "1"]);
    r.refused(&taker, &["results", "9"], Exit::Failed);
    r.done(&taker, &["results", "train", "--sort", "name"]);
    r.refused(&taker, &["results", "bus"], Exit::NothingFound);
    r.done(&taker, &["browse", "attic"]);
    r.refused(&taker, &["browse", "attic", "blues"], Exit::Failed);
    r.done(&taker, &["download", "1", "--wait"]);
    r.refused(&taker, &["download", "99"], Exit::Failed);
    r.done(&taker, &["downloads"]);
    r.done(&taker, &["downloads", "1"]);
    r.refused(&taker, &["downloads", "99"], Exit::Failed);
    r.done(&taker, &["link", "1"]);
    r.done(&giver, &["link", "music/blue train.flac", "--magnet"]);
    r.refused(&giver, &["link", "nowhere"], Exit::Failed);
    r.refused(&taker, &["download", "part2part:x"], Exit::Usage);
    r.done(&taker, &["wait"]);
    r.done(&taker, &["download", &"0".repeat(64), "--priority", "low"]);
    r.done(&taker, &["priority", "2", "high"]);
    r.done(&taker, &["pause", "2"]);
    r.refused(&taker, &["pause", "all"], Exit::Failed);
    r.refused(&taker, &["wait"], Exit::Failed);
    r.done(&taker, &["resume", "all"]);
    r.done(&taker, &["cancel", "2"]);
    r.refused(&taker, &["cancel", "some"], Exit::Usage);
    r.done(&giver, &["uploads"]);
    r.done(&taker, &["wanted", "sky"]);
    r.done(&taker, &["wanted"]);
    r.refused(&taker, &["wanted", "--show", "9"], Exit::Failed);
    r.done(&taker, &["wanted", "--forget", "1"]);
    r.done(&giver, &["unpublish", "music/blue train.flac"]);
    r.refused(&giver, &["unpublish", "music/blue train.flac"], Exit::Failed);
    r.done(&giver, &["status"]);
    r.done(&giver, &["set"]);
    r.done(&giver, &["set", "max-upload"]);
    r.done(&giver, &["set", "max-upload", "10MB"]);
    r.refused(&giver, &["set", "max-upload", "fast"], Exit::Usage);
    r.done(&giver, &["serve", "off"]);
    r.done(&giver, &["serve", "on"]);
    r.done(&giver, &["limits"]);
    r.done(&giver, &["invite", "--qr"]);
    r.done(&giver, &["news", "on"]);
    r.done(&giver, &["news", "off"]);
    r.done(&giver, &["help"]);
    r.done(&giver, &["help", "search"]);
    r.refused(&giver, &["help", "serach"], Exit::Usage);
    r.done(&taker, &["leave"]);
    r.done(&taker, &["quit"]);

    let all: BTreeSet<String> = grammar::names().iter().cloned().collect();
    let untried: Vec<_> = all.difference(&record.commands).collect();
    assert!(untried.is_empty(), "these commands were not tried: {untried:?}");
    let mut unseen = record.schema.kinds();
    unseen.retain(|kind| !record.kinds.contains(kind) && !NOT_SEEN.contains(&kind.as_str()));
    assert!(unseen.is_empty(), "these replies were not seen: {unseen:?}");
}

#[test]
fn the_judge_of_this_test_is_not_lenient() {
    let schema = Schema::read(&printed_schema());
    let judge = |line: &str| schema.judge(&serde_json::from_str(line).unwrap());
    assert_eq!(judge(r#"{"v":1,"reply":"left","neighbours":2}"#), Ok(()));
    for wrong in [
        r#"{"v":1,"reply":"left"}"#,
        r#"{"v":1,"reply":"left","neighbours":"2"}"#,
        r#"{"v":1,"reply":"left","neighbours":2,"more":1}"#,
        r#"{"v":1,"reply":"gone","neighbours":2}"#,
        r#"{"reply":"left","neighbours":2}"#,
        r#"{"v":1,"reply":"error","kind":"odd","text":""}"#,
        r#"{"v":1,"reply":"error","kind":"failed","text":"","extra":{}}"#,
    ] {
        assert!(judge(wrong).is_err(), "{wrong}");
    }
}

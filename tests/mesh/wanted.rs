//! Standing searches: asked when the mesh is there, found, downloaded, remembered.

use crate::common::servent::{Start, TestServent, wait_until};
use part2part::command::Reply;
use part2part::servent::report::WantedReport;

fn wanted(servent: &TestServent) -> Vec<WantedReport> {
    match servent.replies(&["wanted"]).remove(0) {
        Reply::Wanted { wanted } => wanted,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_wanted_is_found_when_the_mesh_has_it_and_remembered_over_a_restart() {
    let giver = TestServent::start(Start::with(&["--name", "attic"]));
    std::fs::write(giver.home().join("ferris the crab.png"), "a crab").unwrap();
    assert_eq!(giver.ctl(&["publish", "ferris the crab.png"]).code, 0);

    let mut seeker = TestServent::start(Start::default());
    let said = seeker.ctl(&["wanted", "ferris", ".png"]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "wanted 1: ferris .png; what turns up is told\n")
    );
    assert_eq!(seeker.ctl(&["wanted", "unobtainium"]).code, 0);
    assert_eq!(wanted(&seeker)[0].found, 0, "it is alone");

    assert_eq!(seeker.ctl(&["join", &giver.invitation()]).code, 0);
    wait_until("a find", || wanted(&seeker)[0].found == 1);
    wait_until("both are asked", || wanted(&seeker).iter().all(|want| want.asked == 1));
    assert_eq!(wanted(&seeker)[1].found, 0);
    wait_until("the news of it", || seeker.log().contains("ferris the crab.png, 6 B, at attic~"));
    assert_eq!(seeker.log().matches("ferris the crab").count(), 1, "told once");

    assert_eq!(seeker.ctl(&["wanted", "--show", "1"]).code, 0);
    assert_eq!(seeker.ctl(&["download", "1", "--wait"]).code, 0);
    assert_eq!(
        std::fs::read_to_string(seeker.downloads().join("ferris the crab.png")).unwrap(),
        "a crab"
    );

    assert_eq!(seeker.ctl(&["wanted", "--forget", "1"]).code, 0);
    seeker.kill9();
    seeker.restart();
    let kept: Vec<_> = wanted(&seeker).into_iter().map(|want| (want.number, want.text)).collect();
    assert_eq!(kept, [(2, "unobtainium".to_owned())]);
}

#[test]
fn what_cannot_be_wanted_is_answered_with_a_sentence() {
    let servent = TestServent::start(Start::default());
    for (words, code, part) in [
        (&["wanted", "--show", "7"][..], 1, "nothing is wanted under number 7"),
        (&["wanted", "--forget", "7"], 1, "nothing is wanted under number 7"),
        (&["wanted", "--forget", "x"], 2, "a number is wanted"),
        (&["wanted", "*"], 2, "error: "),
        (&["wanted", "blue", "--forget", "1"], 2, "do not go together"),
    ] {
        let answer = servent.ctl(words);
        assert_eq!(answer.code, code, "{answer:?}");
        assert!(answer.err.contains(part), "{answer:?}");
    }
    assert_eq!(servent.ctl(&["wanted", "blue"]).code, 0);
    assert!(servent.ctl(&["wanted", "blue"]).err.contains("wanted already, as number 1"));
}

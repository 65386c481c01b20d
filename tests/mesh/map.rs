//! `map`: the mesh around, asked of those who are in it.

use std::collections::BTreeSet;
use std::fs;

use crate::common::fake_peer::{FakePeer, Options};
use crate::common::files::done;
use crate::common::frames::*;
use crate::common::servent::{Start, TestServent, until};
use part2part::base::ServentId;
use part2part::command::Reply;
use part2part::servent::report::{Asking, MapReport};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

/// How many servents the mesh has.
const MANY: usize = 12;

type Links = BTreeSet<(ServentId, ServentId)>;

fn link(one: ServentId, other: ServentId) -> (ServentId, ServentId) {
    (one.min(other), one.max(other))
}

/// A random mesh that keeps its links.
fn mesh() -> Vec<TestServent> {
    let mut rng = ChaCha12Rng::seed_from_u64(20_190_615);
    let mesh: Vec<TestServent> = (0..MANY)
        .map(|number| {
            TestServent::start(Start::with(&["--manual", "--name", &format!("s{number}")]))
        })
        .collect();
    for number in 1..MANY {
        let known: BTreeSet<usize> = (0..2).map(|_| rng.random_range(0..number)).collect();
        for other in known {
            done(&mesh[number], &["join", &mesh[other].invitation()]);
        }
    }
    mesh
}

/// The links as each servent lists its own.
fn true_links(mesh: &[TestServent]) -> Links {
    let of = |servent: &TestServent| {
        let own = servent.id();
        servent.peers(false).into_iter().map(move |peer| link(own, peer.id)).collect::<Vec<_>>()
    };
    mesh.iter().flat_map(of).collect()
}

fn drawn_links(map: &MapReport) -> Links {
    let id = |at: usize| map.servents[at].id;
    map.links.iter().map(|drawn| link(id(drawn.one), id(drawn.other))).collect()
}

fn read(replies: &[Reply]) -> (Option<String>, MapReport) {
    let maps = replies.iter().filter_map(|reply| match reply {
        Reply::Map { file, report } => Some((file.clone(), report.clone())),
        _ => None,
    });
    let mut maps: Vec<_> = maps.collect();
    assert_eq!(maps.len(), 1, "{replies:?}");
    maps.remove(0)
}

#[test]
fn a_map_holds_every_servent_and_every_link_of_the_mesh_and_no_other() {
    let mesh = mesh();
    let links = true_links(&mesh);
    let servent = &mesh[MANY - 1];
    // The file lies where the user stands.
    let replies = servent.replies(&["map", "mesh.svg"]);
    let (file, map) = read(&replies);
    let told = replies.iter().filter(|reply| matches!(reply, Reply::Mapping(_)));
    let told: Vec<&Reply> = told.collect();
    assert!(!told.is_empty() && told.windows(2).all(|pair| pair[0] != pair[1]), "{told:?}");
    assert_eq!(drawn_links(&map), links);
    assert_eq!((map.servents.len(), map.note.as_deref()), (MANY, None));
    assert_eq!((map.servents[0].id, &map.servents[0].asking), (servent.id(), &Asking::Here));
    for shown in &map.servents[1..] {
        let number = mesh.iter().position(|servent| servent.id() == shown.id).unwrap();
        assert_eq!((shown.name.clone(), &shown.asking), (format!("s{number}"), &Asking::Answered));
        assert!(shown.hops.is_some_and(|hops| hops >= 1) && shown.unnamed == 0, "{shown:?}");
    }
    let path = servent.home().join("mesh.svg");
    assert_eq!(file.as_deref(), path.to_str());
    let svg = fs::read_to_string(&path).unwrap();
    assert_eq!(svg.matches("<line ").count(), links.len());
    assert!(mesh.iter().all(|servent| svg.contains(&servent.id().short())));

    // Nobody names them again so soon: what they said before is drawn.
    let (_, again) = read(&servent.replies(&["map", "mesh.dot"]));
    assert_eq!(drawn_links(&again), links);
    let remembered = |asking: &Asking| matches!(asking, Asking::Remembered { .. });
    assert!(again.servents[1..].iter().all(|shown| remembered(&shown.asking)), "{again:?}");
    let dot = fs::read_to_string(servent.home().join("mesh.dot")).unwrap();
    assert_eq!(dot.matches(" -- ").count(), links.len());
    let text = servent.ctl(&["map"]);
    assert_eq!((text.code, text.err.as_str()), (0, ""));
    assert!(text.out.contains("earlier: a servent names them to each once in ten minutes"));
    assert_eq!(true_links(&mesh), links, "asking changes nothing");
    let parts = fs::read_dir(servent.home())
        .unwrap()
        .filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().ends_with(".part"));
    assert_eq!(parts.count(), 0);
}

#[test]
fn what_cannot_be_drawn_is_refused_in_a_sentence() {
    let servent = TestServent::start(Start::default());
    let refused = servent.ctl(&["map", "mesh.png"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("ends in .svg, or in .dot"), "{refused:?}");
    let nowhere = servent.ctl(&["map", "no/such/folder/mesh.svg"]);
    assert_eq!(nowhere.code, 1);
    assert!(nowhere.err.contains("cannot be written to"), "{nowhere:?}");
    let alone = servent.ctl(&["map"]);
    assert!(alone.out.contains("1 servent and 0 links within 0 hops"), "{alone:?}");
}

/// A neighbour that names who is nobody, and one that nobody may dial on its word.
#[tokio::test(flavor = "multi_thread")]
async fn those_that_cannot_be_dialled_are_drawn_as_such() {
    let servent = TestServent::start(Start::with(&["--manual"]));
    let purpose = FakePurpose::Manual;
    let options = Options::new(7);
    let (mut peer, _, _) = FakePeer::join(servent.addr(), &options, purpose).await.unwrap();
    until("a neighbour", async || servent.ask_status().await.neighbours == 1).await;
    let asking = servent.ask_replies(&["map"]);
    let (replies, _) = tokio::join!(asking, peer.until_pong(1));
    let (_, map) = read(&replies);
    let [_, shown] = &map.servents[..] else { panic!("{map:?}") };
    assert_eq!((shown.id, shown.hops), (options.id(), Some(1)));
    assert!(matches!(shown.asking, Asking::NotDialled | Asking::Failed { .. }), "{shown:?}");
}

/// Case 26: who asks a thousand times is told once. Who does not ask loses no answer by it.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_again_and_again_is_told_once_and_who_only_looks_is_told_nothing() {
    let servent = TestServent::start(Start::default());
    let friend = TestServent::start(Start::default());
    let joined = friend.ask(&["join", &servent.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    let mut told = Vec::new();
    for features in [0, 0].into_iter().chain([1; 20]) {
        let mut peer = FakePeer::dial(servent.addr(), &Options::new(9)).await.unwrap();
        let hello = FakeHello { features, ..FakeHello::new(FakePurpose::Probe) };
        peer.send(&hello.frame()).await.unwrap();
        peer.recv_kind(HELLO).await.unwrap();
        let welcome = peer.recv_kind(WELCOME).await.unwrap();
        // Its last byte: no extensions, or the number of all neighbours.
        told.push(welcome.body.len());
    }
    let most = told.iter().max().unwrap();
    assert_eq!(told[2], *most, "the first answer names somebody");
    let others = told[..2].iter().chain(&told[3..]);
    assert!(others.clone().all(|len| len < most && *len < 32), "{told:?}");
}

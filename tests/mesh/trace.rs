//! `search --trace` on real servents: a line, a random mesh, and a neighbour that lies.

use std::collections::{BTreeMap, BTreeSet};

use crate::common::fake_peer::{FakePeer, Options};
use crate::common::files::{done, publish};
use crate::common::frames::*;
use crate::common::servent::{Start, TestServent, until};
use part2part::base::ServentId;
use part2part::command::Reply;
use part2part::servent::report::{SearchEnd, TraceReport};
use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};

fn manual(name: &str) -> TestServent {
    TestServent::start(Start::with(&["--manual", "--name", name]))
}

/// What `search WORDS --trace` tells.
fn traced(servent: &TestServent, words: &[&str]) -> (TraceReport, SearchEnd) {
    let replies = servent.replies(&[&["search", "--trace"], words].concat());
    read(&replies)
}

fn read(replies: &[Reply]) -> (TraceReport, SearchEnd) {
    let [.., Reply::Trace(trace), Reply::SearchEnd(end), Reply::Exit { .. }] = replies else {
        panic!("{replies:?}")
    };
    (trace.clone(), end.clone())
}

#[test]
fn in_a_line_everybody_is_drawn_behind_the_one_before() {
    let line: Vec<TestServent> = (0..8).map(|number| manual(&format!("s{number}"))).collect();
    for pair in line.windows(2) {
        done(&pair[0], &["join", &pair[1].invitation()]);
    }
    line[1..7].iter().for_each(|servent| servent.wait_for_neighbours(2));
    publish(&line[3], "ferris one.txt", b"1");
    publish(&line[3], "ferris two.txt", b"2");

    for words in [&["--ttl", "7", "ferris"][..], &["ferris"]] {
        let (trace, end) = traced(&line[0], words);
        assert_eq!((end.asked, end.lost, trace.unsaid, trace.copies > 0), (7, 0, 0, true));
        assert_eq!(trace.servents.len(), 7, "{trace:?}");
        for (at, shown) in trace.servents.iter().enumerate() {
            let servent = &line[at + 1];
            assert_eq!(shown.id.as_deref(), Some(servent.id().short().as_str()));
            assert_eq!((shown.parent, usize::from(shown.hops)), (at.checked_sub(1), at + 1));
            assert!(shown.asked && shown.answered && !shown.silent, "{shown:?}");
            assert_eq!(shown.hits, if at == 2 { 2 } else { 0 });
            assert!(shown.sent_micros <= shown.answered_micros, "{shown:?}");
        }
        // The neighbour tells its name itself; the one with hits says it in them.
        let names: Vec<&str> = trace.servents.iter().map(|shown| shown.name.as_str()).collect();
        assert_eq!(names, ["s1", "", "s3", "", "", "", ""]);
    }
    done(&line[4], &["set", "trace-name", "off"]);
    let ids = || {
        let (trace, end) = traced(&line[0], &["--ttl", "7", "nothing like it"]);
        assert_eq!((end.asked, trace.servents.len()), (7, 7), "it is asked all the same");
        trace.servents.into_iter().map(|shown| shown.id).collect::<Vec<_>>()
    };
    let named = |at: &usize| Some(line[*at].id().short());
    let expected: Vec<_> = (1..8).map(|at| named(&at).filter(|_| at != 4)).collect();
    assert_eq!(ids(), expected);
    done(&line[4], &["set", "--forget", "trace-name"]);
    assert_eq!(ids()[3], named(&4));

    let text = line[0].ctl(&["search", "--trace", "--ttl", "2", "ferris"]);
    let lines: Vec<&str> = text.out.lines().collect();
    let [header, you, first, second, end] = lines[..] else { panic!("{text:?}") };
    assert!(header.starts_with("servent") && you.starts_with("you"), "{text:?}");
    assert!(first.starts_with(&format!("`-s1~{}", line[1].id().short())), "{text:?}");
    assert!(second.starts_with(&format!("  `-{}", line[2].id().short())), "{text:?}");
    assert_eq!(end, "asked 2 servents within 2 hops, all answered: nobody has it");
    let untraced = line[0].replies(&["search", "ferris"]);
    assert!(!untraced.iter().any(|reply| matches!(reply, Reply::Trace(_))));
}

#[test]
fn in_a_random_mesh_everybody_is_drawn_once_and_by_links_that_are_there() {
    let seed = 20_190_614;
    eprintln!("seed {seed}");
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mesh: Vec<TestServent> = (0..8).map(|number| manual(&format!("s{number}"))).collect();
    let mut links = BTreeSet::new();
    for number in 1..mesh.len() {
        for _ in 0..2 {
            links.insert((rng.random_range(0..number), number));
        }
    }
    for &(one, other) in &links {
        done(&mesh[other], &["join", &mesh[one].invitation()]);
    }
    let numbers: BTreeMap<String, usize> =
        mesh.iter().enumerate().map(|(number, servent)| (servent.id().short(), number)).collect();
    let (trace, end) = traced(&mesh[0], &["--all", "nothing like it"]);
    assert_eq!((end.asked, end.lost, end.by_timer), (7, 0, false));
    let of = |at: usize| numbers[trace.servents[at].id.as_deref().unwrap()];
    let drawn: BTreeSet<usize> = (0..trace.servents.len()).map(of).collect();
    assert_eq!((drawn, trace.servents.len()), ((1..8).collect(), 7), "{trace:?}");
    for (at, shown) in trace.servents.iter().enumerate() {
        let (parent, number) = (shown.parent.map_or(0, of), of(at));
        assert!(links.contains(&(parent.min(number), parent.max(number))), "{shown:?}");
    }
    // Each copy was answered: by who was asked, or by who knew the query.
    let copies = trace.copies + trace.servents.iter().map(|shown| shown.copies).sum::<u32>();
    let known = trace.duplicates + trace.servents.iter().map(|shown| shown.duplicates).sum::<u32>();
    assert_eq!(copies, 7 + known, "{trace:?}");
}

/// One servent of a trace, as the protocol says.
fn node(depth: u8, id: u8, unsaid: u32) -> Vec<u8> {
    let mut bytes = vec![depth, id, id, id, id, id, 1];
    bytes.extend([0; 8]);
    bytes.extend(unsaid.to_le_bytes());
    bytes.extend([0xff; 12]);
    bytes
}

fn done_with(guid: [u8; 16], asked: u32, trace: &[u8]) -> Frame {
    let put = Put::default().raw(&guid).int(asked.into()).int(0);
    let put = put.int(1).int(1).int(trace.len() as u64).raw(trace);
    Frame { kind: QUERY_DONE, flags: 0, body: put.0 }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_liar_tells_costs_no_more_than_its_bound_and_no_false_count() {
    let servent = manual("honest");
    let purpose = FakePurpose::Manual;
    let joined = FakePeer::join(servent.addr(), &Options::new(7), purpose).await;
    let (mut peer, _, _) = joined.unwrap();
    until("a neighbour", async || servent.ask_status().await.neighbours == 1).await;
    let many: Vec<u8> = (0..255).fold(node(0, 9, 0), |all, _| [all, node(1, 8, 0)].concat());
    let too_many = [many.clone(), node(1, 8, 0)].concat();
    let deep: Vec<u8> = (0..255).flat_map(|depth| node(depth, depth, 0)).collect();
    let jump = [node(0, 9, 0), node(5, 8, 0)].concat();
    for (trace, asked, told) in [
        (many, 256, true),
        (node(0, 9, u32::MAX - 1), u32::MAX, true),
        (node(0, 9, u32::MAX), 1, false),
        (too_many, 257, false),
        (deep, 255, false),
        (jump, 2, false),
        (vec![1; 30], 1, false),
        (Vec::new(), 1, false),
    ] {
        let asking = servent.ask_replies(&["search", "--trace", "--ttl", "3", "anything"]);
        let lying = async {
            let guid = peer.recv_kind(QUERY).await.unwrap().open(QUERY).array();
            peer.send(&done_with(guid, asked, &trace)).await.unwrap();
        };
        let (replies, ()) = tokio::join!(asking, lying);
        let (report, end) = read(&replies);
        assert_eq!(end.asked, u64::from(asked), "what it says of the count stands");
        let unsaid = report.unsaid + report.servents.iter().map(|shown| shown.unsaid).sum::<u64>();
        let named = report.servents.iter().filter(|shown| shown.asked).count();
        if told {
            assert!(named <= 2 && !report.servents[0].silent, "two ids are two servents");
        } else {
            assert_eq!((named, unsaid), (0, u64::from(asked)), "{report:?}");
            assert!(report.servents[0].silent, "{report:?}");
        }
        assert_eq!(report.servents[0].hops, 1);
    }
    assert_eq!(servent.ask_status().await.neighbours, 1, "some lies are only strikes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_knows_no_traces_is_drawn_as_one_that_tells_nothing() {
    let servent = manual("asker");
    let purpose = FakePurpose::Manual;
    let joined = FakePeer::join(servent.addr(), &Options::new(7), purpose).await;
    let (mut peer, _, _) = joined.unwrap();
    until("a neighbour", async || servent.ask_status().await.neighbours == 1).await;
    let asking = servent.ask_replies(&["search", "--trace", "--ttl", "3", "anything"]);
    let answering = async {
        let guid = peer.recv_kind(QUERY).await.unwrap().open(QUERY).array();
        peer.send(&FakeDone { guid, asked: 12, lost: 2 }.frame()).await.unwrap();
    };
    let (replies, ()) = tokio::join!(asking, answering);
    let (report, end) = read(&replies);
    assert_eq!((end.asked, end.lost), (12, 2));
    let [shown] = &report.servents[..] else { panic!("{report:?}") };
    assert!(shown.silent && shown.answered && shown.link_micros.is_none());
    assert_eq!((shown.unsaid, shown.lost, shown.hops), (12, 2, 1));
    let id: ServentId = Options::new(7).identity().id();
    assert_eq!(shown.id.as_deref(), Some(id.short().as_str()));
}

//! Hits that hold something else than they say, or nothing that could be a file.

use part2part::command::Reply;

use crate::Bench;
use crate::common::frames::*;
use crate::publisher::Publisher;
use crate::searches::hit;

/// Hits that are no hits, and one that is.
fn bad_hits(query: &FakeQuery, victim: [u8; 32]) -> Vec<Frame> {
    let good = hit(query.guid, 9, "good.txt");
    let raw = |count: u8, body: &[u8]| {
        let mut frame = good.frame();
        frame.body.truncate(16 + 2 + 32);
        frame.body.push(count);
        frame.body.extend(body);
        frame
    };
    let file = |name: &str, size| FakeFile { id: [8; 32], size, name: name.into() };
    let of = |files: Vec<FakeFile>| FakeHit { responder: [8; 32], files, ..good.clone() };
    let mut miscounted = of(vec![file("miscounted.txt", 1)]).frame();
    miscounted.body[50] = 64;
    let mut understated = of(vec![file("understated.txt", 1), file("two.txt", 1)]).frame();
    understated.body[50] = 1;
    let mut trailing = of(vec![file("trailing.txt", 1)]).frame();
    trailing.body.push(0);
    // Whoever has it says that it stopped looking for more.
    let mut stopped = good.frame();
    stopped.body.pop();
    stopped.body.extend([1, 1, 1, 1]);
    let addresses = vec![([127, 0, 0, 1], 9999).into(); 9];
    vec![
        raw(1, b"garbage"),
        raw(64, &[0xff; 32_000]),
        raw(1, &Put::default().int(u64::MAX).raw(&[0; 100]).0),
        raw(1, &Put::default().int(0).text("").bool(false).int(1 << 32).raw(&[0; 100]).0),
        raw(1, &Put::default().int(0).text("").bool(false).int(0).bool(false).end().0),
        miscounted,
        understated,
        trailing,
        of(vec![file("", 1)]).frame(),
        of(vec![file(&"n".repeat(256), 1)]).frame(),
        of(vec![file("huge.txt", (256 << 30) + 1)]).frame(),
        of(vec![file("endless.txt", u64::MAX)]).frame(),
        FakeHit { addresses, ..of(vec![file("addresses.txt", 1)]) }.frame(),
        FakeHit { name: "n".repeat(65), ..of(vec![file("named.txt", 1)]) }.frame(),
        FakeHit { responder: victim, ..of(vec![file("yours.txt", 1)]) }.frame(),
        stopped,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_hits_harm_neither_the_searcher_nor_the_relay() {
    let bench = Bench::start().await;
    let victim = bench.victim.id().0;
    let liar = Publisher::answering(9, move |query| bad_hits(query, victim)).await;
    let joined = bench.victim.ask(&["join", &liar.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    let neighbours = bench.victim.ask_status().await.neighbours;
    // The victim searches, then the honest neighbour through it.
    for (searcher, word) in [(&bench.victim, "whatever"), (&bench.honest, "anything")] {
        let replies = searcher.ask_replies(&["search", word, "--all"]).await;
        let names: Vec<&str> = replies
            .iter()
            .filter_map(|reply| match reply {
                Reply::Hit(hit) => Some(hit.name.as_str()),
                _ => None,
            })
            .collect();
        let yours = searcher.id() != bench.victim.id();
        let expected: &[_] = if yours { &["yours.txt", "good.txt"] } else { &["good.txt"] };
        assert_eq!(names, expected, "only what may be a file");
        let end = replies.iter().find_map(|reply| match reply {
            Reply::SearchEnd(end) => Some(end),
            _ => None,
        });
        let end = end.unwrap();
        assert!(!end.by_timer, "{end:?}");
        assert_eq!(end.stopped.len(), 1, "{end:?}");
    }
    assert_eq!(bench.victim.ask_status().await.neighbours, neighbours, "a relay is not to blame");
    drop(liar);
    bench.ends_well().await;
}

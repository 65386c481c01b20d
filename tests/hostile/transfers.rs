//! Asking a servent for what it does not give.

use crate::Bench;
use crate::common::frames::*;

/// Case 49.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_learns_whether_a_file_was_ever_here() {
    let bench = Bench::start().await;
    let bytes = crate::noise(100_000, "withdrawn");
    let withdrawn = bench.publish("withdrawn.bin", &bytes).await;
    let mut peer = bench.taker(49).await;
    peer.send(&describe(&withdrawn, 0)).await.unwrap();
    let list = FakeManifest::read(&peer.recv().await.unwrap());
    assert_eq!((list.size, list.values.len()), (100_000, 2), "it is here");
    let unpublished = bench.victim.ask(&["unpublish", "withdrawn.bin"]).await;
    assert_eq!(unpublished.code, 0, "{unpublished:?}");

    let never = [49; 32];
    let mut fresh = bench.taker(50).await;
    for peer in [&mut peer, &mut fresh] {
        for (id, other) in [(withdrawn, never), (never, withdrawn)] {
            let asks = |id: &[u8; 32]| {
                [
                    describe(id, 0),
                    describe(id, 7),
                    ranges(REQUEST, id, &[(0, 1)]),
                    ranges(REQUEST, id, &[(1000, 1000)]),
                    ranges(REQUEST, id, &[]),
                ]
            };
            for (one, two) in asks(&id).into_iter().zip(asks(&other)) {
                peer.send(&one).await.unwrap();
                let first = peer.recv().await.unwrap();
                peer.send(&two).await.unwrap();
                let second = peer.recv().await.unwrap();
                assert_eq!(read_answer(&first), (id, 0), "not here");
                assert_eq!(read_answer(&second), (other, 0), "not here");
                assert_eq!(first.body[32..], second.body[32..]);
                assert_eq!((first.kind, first.flags), (second.kind, second.flags));
            }
        }
    }
    drop((peer, fresh));
    bench.ends_well().await;
}

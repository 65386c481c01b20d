//! A thousand neighbours that come and go while somebody types.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::time::Instant;

use crate::common::fake_peer::{FakePeer, Options};
use crate::common::frames::{FakePurpose, bye};
use crate::common::servent::PATIENCE;
use crate::seat::{CTRL_R, Desk, PROMPT, Seat, UP};

/// How many join and leave.
const PEERS: usize = 1_000;
/// How many do so at a time: fewer than a servent has places for neighbours.
const AT_ONCE: usize = 8;

/// Has [`PEERS`] peers join at `addr` and say bye, counted in `done`.
fn storm(addr: SocketAddr, done: &Arc<AtomicUsize>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let come_and_go = |worker: usize| {
        let done = Arc::clone(done);
        async move {
            for turn in 0..PEERS / AT_ONCE {
                let seed = u8::try_from(1 + worker * 31 + turn % 31).unwrap();
                let options = Options::new(seed);
                let joined = FakePeer::join(addr, &options, FakePurpose::Join).await;
                let (mut peer, ..) = joined.unwrap();
                peer.send(&bye(0, &[])).await.unwrap();
                peer.expect_closed(PATIENCE).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    let workers: Vec<_> = (0..AT_ONCE).map(|worker| runtime.spawn(come_and_go(worker))).collect();
    for worker in workers {
        runtime.block_on(worker).unwrap();
    }
}

/// Waits until the line in which the cursor stands is `wanted`.
fn see_line(seat: &mut Seat, wanted: &str) {
    let deadline = Instant::now() + PATIENCE;
    while seat.line() != wanted {
        assert!(Instant::now() < deadline, "never {wanted:?}:\n{}", seat.screen());
        thread::sleep(std::time::Duration::from_millis(2));
    }
}

#[test]
fn a_thousand_joins_and_byes_leave_the_typed_line_whole() {
    let home = tempfile::tempdir().unwrap();
    let desk = Desk { columns: 100, rows: 30, ..Desk::default() };
    let mut seat = Seat::take_at(desk, home.path(), &["--manual"]);
    seat.see(PROMPT);
    let screen = seat.screen();
    let addr = screen.lines().find_map(|line| line.strip_prefix("listening on ")).unwrap();
    let addr: SocketAddr = addr.trim().parse().unwrap();
    seat.enter("shared", "nothing is shared");
    seat.enter("news on", "neighbours that come and go are told of");

    let done = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&done);
    let storming = thread::spawn(move || storm(addr, &counted));
    let mut rounds = 0;
    while !storming.is_finished() {
        for (keys, line) in [
            ("help reslts", "part2part> help reslts"),
            ("\x1b[D\x1b[D\x1b[Du", "part2part> help results"),
            ("\x05\x17", "part2part> help"),
            ("resul\t", "part2part> help results"),
            (CTRL_R, "(reverse-i-search)`': help results"),
            ("sha", "(reverse-i-search)`sha': shared"),
            ("\x07", "part2part> help results"),
            ("\x15", "part2part>"),
        ] {
            seat.press(keys);
            see_line(&mut seat, line);
        }
        rounds += 1;
    }
    storming.join().unwrap();
    assert_eq!(done.load(Ordering::Relaxed), PEERS);
    assert!(rounds > 0);

    // What was typed, edited and completed is what is obeyed.
    seat.press("help reslts\x1b[D\x1b[D\x1b[Du\x05\x17resul\t");
    see_line(&mut seat, "part2part> help results");
    let news = [" came", " went: "].map(|what| seat.count(what));
    assert!(news.iter().all(|count| *count > PEERS / 2), "{news:?}");
    for line in seat.screen().lines().filter(|line| !line.starts_with(PROMPT)) {
        let whole =
            line.starts_with("neighbour ") && (line.ends_with(" came") || line.contains(" went: "));
        assert!(whole || line.starts_with("... and "), "{line:?}");
    }
    seat.press("\r");
    seat.see("Usage: results [N | WORDS...]");
    seat.see(PROMPT);
    seat.press(UP);
    see_line(&mut seat, "part2part> help results");
    seat.press("\x15");
    seat.leave();
}

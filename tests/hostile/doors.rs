//! Who is let in when there is no room, and what a servent does without descriptors.

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use part2part::command::Reply;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::common::fake_peer::{FakePeer, Options, connect};
use crate::common::frames::*;
use crate::common::servent::{Start, TestServent, part2part, until};
use crate::{AT_ONCE, Bench, SLACK};

/// Connections that stand, at most.
const MAX_INBOUND: usize = 128;

/// How a connection was received.
pub(super) enum Knocked {
    /// Welcomed.
    In(FakePeer),
    /// Redirected, after the hellos.
    SentOn,
    /// Closed before anything was said.
    Closed,
}

/// Comes as an honest peer does, with or without success.
pub(super) async fn knock(addr: SocketAddr, options: &Options, purpose: FakePurpose) -> Knocked {
    let Ok(mut peer) = FakePeer::dial(addr, options).await else { return Knocked::Closed };
    if peer.send(&FakeHello::new(purpose).frame()).await.is_err() {
        return Knocked::Closed;
    }
    let Ok(hello) = peer.recv().await else { return Knocked::Closed };
    FakeHello::read(&hello);
    match peer.recv().await.map(|frame| frame.kind) {
        Ok(WELCOME) => Knocked::In(peer),
        Ok(REDIRECT) => Knocked::SentOn,
        other => panic!("neither welcome nor redirect: {other:?}"),
    }
}

/// Case 28: eight neighbours stand; then come more than there is room for, from many places.
#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_evicts_itself_and_none_of_those_who_were_there() {
    let bench = Bench::start().await;
    let before = bench.victim.descriptors();
    let addr = bench.victim.addr();
    let mut honest = Vec::new();
    for n in 0..8 {
        let options = bench.options(200 + n).from([127, 50 + n, 0, 1]);
        match knock(addr, &options, FakePurpose::Manual).await {
            Knocked::In(mut peer) => {
                peer.until_pong(1).await.unwrap();
                honest.push(peer);
            }
            _ => panic!("there is room"),
        }
    }
    let mut crowd = Vec::new();
    for n in 0..192u8 {
        let options = bench.options(n).from([127, 100 + n % 6, 0, n]);
        let purpose = match n {
            0..112 => FakePurpose::Transfer { token: None },
            _ => FakePurpose::Manual,
        };
        if let Knocked::In(peer) = knock(addr, &options, purpose).await {
            crowd.push(peer);
        }
    }
    assert!(crowd.len() > MAX_INBOUND, "{} came in one after the other", crowd.len());
    until("the evicted to be gone", async || {
        bench.victim.descriptors() <= before + MAX_INBOUND + 8
    })
    .await;
    for peer in &mut honest {
        peer.until_pong(2).await.unwrap();
    }
    drop((honest, crowd));
    bench.ends_well().await;
}

/// Case 21.
#[tokio::test(flavor = "multi_thread")]
async fn who_ends_its_half_after_the_hello_is_closed() {
    let bench = Bench::start().await;
    for purpose in [FakePurpose::Manual, FakePurpose::Transfer { token: None }] {
        let mut peer = bench.taken_in(21, purpose).await;
        peer.finish().await.unwrap();
        peer.expect_closed(AT_ONCE).await;
    }
    bench.ends_well().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_descriptors_newcomers_are_turned_away_and_nothing_spins() {
    let bench = Bench::start().await;
    let pid = i32::try_from(bench.victim.pid()).ok().and_then(Pid::from_raw);
    let names = fs::read_dir(format!("/proc/{}/fd", bench.victim.pid())).unwrap();
    let numbers = names.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let highest: u64 = numbers.max().unwrap();
    // The servent has raised its own to what both may have at most.
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = |current| Rlimit { current: Some(current), maximum };
    let whole = prlimit(pid, Resource::Nofile, limit(highest + 1)).unwrap();

    let mut open = Vec::new();
    // More than the holes among the descriptors; each is accepted only to be closed.
    for _ in 0..8 + highest.saturating_sub(bench.victim.descriptors() as u64) {
        open.push(connect(bench.victim.addr(), None).await.unwrap());
    }
    let mut last = open.pop().unwrap();
    let cpu = bench.victim.cpu();
    let closed = timeout(Duration::from_secs(20) + SLACK, last.read(&mut [0; 8])).await;
    assert!(!matches!(closed, Ok(Ok(1..)) | Err(_)), "{closed:?}");
    assert!(bench.victim.cpu() - cpu < Duration::from_secs(2), "it spins");

    prlimit(pid, Resource::Nofile, whole).unwrap();
    drop((open, last));
    until("somebody was turned away", async || {
        bench.victim.ask(&["status"]).await.code == 0
            && bench.victim.ask_status().await.incidents.turned_away > 0
    })
    .await;
    bench.ends_well().await;
}

/// The limit on open files decides how many are taken in, and is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_low_limit_on_open_files_costs_places_and_a_very_low_one_the_start() {
    let under = |limit: &str| vec!["prlimit".to_owned(), format!("--nofile={limit}:{limit}")];
    let few = Start { under: under("256"), ..Start::default() };
    let bench = Bench::with(few).await;
    let said = "this process may open only 256 files and connections at once, so it takes in 88 \
                connections instead of 128; allow it more (ulimit -n)";
    assert_eq!(bench.victim.ask_status().await.warnings, [said]);
    let limits = bench.victim.ask_replies(&["limits"]).await;
    let [Reply::Limits { limits }, ..] = &limits[..] else { panic!("{limits:?}") };
    assert!(limits.iter().any(|limit| limit.name == "connections taken in" && limit.value == 88));
    bench.ends_well().await;

    let home = tempfile::tempdir().unwrap();
    let program = part2part(home.path());
    let mut command = std::process::Command::new("prlimit");
    command.arg("--nofile=64:64").arg(program.get_program());
    command.env("HOME", home.path()).args(["daemon", "--listen", "127.0.0.1:0"]);
    let refused = command.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("may open only 64 files and connections at once"), "{said}");
}

/// What is said to those who find no place, by a servent that knows others.
#[tokio::test(flavor = "multi_thread")]
async fn who_finds_no_place_is_told_of_others() {
    let bench = Bench::start().await;
    let other = TestServent::start(Start::with(&["--manual"]));
    let joined = other.ask(&["join", &bench.victim.invitation()]).await;
    assert_eq!(joined.code, 0, "{joined:?}");
    let mut stay = Vec::new();
    for n in 0..4 {
        let options = bench.options(n).from([127, 60, 0, 1]);
        stay.push(FakePeer::join(bench.victim.addr(), &options, FakePurpose::Manual).await);
    }
    let options = bench.options(9).from([127, 60, 0, 1]);
    let mut peer = FakePeer::dial(bench.victim.addr(), &options).await.unwrap();
    peer.send(&FakeHello::new(FakePurpose::Manual).frame()).await.unwrap();
    let sent_on = peer.recv_kind(REDIRECT).await.unwrap();
    let named = sent_on.open(REDIRECT).list(Take::contact);
    assert!(named.iter().any(|contact| contact.id == other.id().0), "{named:?}");
    peer.expect_closed(AT_ONCE).await;
    drop((stay, other));
    bench.ends_well().await;
}

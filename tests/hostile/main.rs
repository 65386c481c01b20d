//! What strangers do to a servent, and what must come of it.
//!
//! Fake peers, over TCP, against the built program. Besides what each case asserts, the
//! [`Bench`] asserts after every attack: the servent lives and has not panicked, an
//! honest servent finds and downloads a file from it, its memory stayed within bounds,
//! and its descriptors came back.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;

mod acceptor;
mod bad_hits;
mod browsing;
mod calls;
mod control;
mod conversation;
mod doors;
mod files;
mod floods;
mod folders;
mod greeting;
mod kept;
mod names;
mod private_mesh;
mod publisher;
mod searches;
mod sources;
mod swarm;
mod transfers;

use std::fs;
use std::time::Duration;

use common::fake_peer::{FakePeer, Options};
use common::frames::FakePurpose;
use common::servent::{Start, TestServent, until};

/// The most memory that a servent may ever take, whatever is done to it.
const MOST_MEMORY: u64 = 256 << 20;
/// "At once", on a machine that has other things to do as well. Less than any timer of a
/// servent, so what ends within it was not ended by the clock.
const AT_ONCE: Duration = Duration::from_secs(4);
/// How much later than on an idle machine things may happen.
const SLACK: Duration = Duration::from_secs(6);

/// Bytes that look random and are always the same.
fn noise(len: usize, seed: &str) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A servent to be attacked, and an honest neighbour of it.
struct Bench {
    victim: TestServent,
    honest: TestServent,
    descriptors: usize,
    memory: u64,
    checks: usize,
}

impl Bench {
    async fn start() -> Self {
        Self::with(Start::default()).await
    }

    async fn with(start: Start) -> Self {
        let victim = TestServent::start(start);
        let honest = TestServent::start(Start::with(&["--manual"]));
        let joined = honest.ask(&["join", &victim.invitation()]).await;
        assert_eq!(joined.code, 0, "{joined:?}");
        let descriptors = victim.descriptors();
        let mut bench = Self { victim, honest, descriptors, memory: 0, checks: 0 };
        // Threads and tables that a first transfer takes once and for all.
        bench.honest_peer_is_served().await;
        bench.memory = bench.victim.peak_memory();
        bench
    }

    fn options(&self, seed: u8) -> Options {
        Options { expected: Some(self.victim.id()), ..Options::new(seed) }
    }

    /// A fake neighbour of the victim, the ping of its arrival read.
    async fn neighbour(&self, seed: u8) -> FakePeer {
        let mut peer = self.taken_in(seed, FakePurpose::Manual).await;
        peer.until_pong(0).await.unwrap();
        peer
    }

    /// A fake peer that may ask the victim for pieces.
    async fn taker(&self, seed: u8) -> FakePeer {
        self.taken_in(seed, FakePurpose::Transfer { token: None }).await
    }

    async fn taken_in(&self, seed: u8, purpose: FakePurpose) -> FakePeer {
        FakePeer::join(self.victim.addr(), &self.options(seed), purpose).await.unwrap().0
    }

    /// Publishes a file of `bytes` at the victim; its id.
    async fn publish(&self, name: &str, bytes: &[u8]) -> [u8; 32] {
        let path = self.victim.home().join(name);
        fs::write(&path, bytes).unwrap();
        let published = self.victim.ask(&["publish", name]).await;
        assert_eq!(published.code, 0, "{published:?}");
        *blake3::hash(bytes).as_bytes()
    }

    /// The honest neighbour finds a file at the victim, and downloads it.
    async fn honest_peer_is_served(&mut self) {
        self.checks += 1;
        let name = format!("health{}.bin", self.checks);
        let bytes = noise(1 << 20, &name);
        self.publish(&name, &bytes).await;
        let word = name.trim_end_matches(".bin");
        let found = self.honest.ask(&["search", word]).await;
        assert_eq!(found.code, 0, "{found:?}");
        let here = self.honest.ask(&["download", "1", "--wait"]).await;
        assert_eq!(here.code, 0, "{here:?}");
        assert_eq!(fs::read(self.honest.downloads().join(&name)).unwrap(), bytes);
    }

    /// How much more memory the victim has taken at its worst than before the attack.
    fn memory_taken(&self) -> u64 {
        self.victim.peak_memory().saturating_sub(self.memory)
    }

    /// What holds after every attack.
    async fn ends_well(mut self) {
        self.honest_peer_is_served().await;
        let most = self.descriptors;
        until("descriptors that come back", async || self.victim.descriptors() <= most).await;
        assert!(self.victim.exited().is_none());
        assert!(self.victim.peak_memory() < MOST_MEMORY, "{} bytes", self.victim.peak_memory());
    }
}

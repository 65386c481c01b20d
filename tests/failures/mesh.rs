//! A mesh of real servents, one on each host of a network, and what must be true of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

use part2part::base::ServentId;
use part2part::command::Reply;
use tokio::time::Instant;

use crate::common::files::done;
use crate::common::namespace::{Family, Network};
use crate::common::servent::{PATIENCE, Start, TestServent, wait_by};

/// Servents by the number of their host; each shares one file of its own.
pub(super) struct Mesh {
    // First, so that the servents end before their hosts.
    pub(super) living: BTreeMap<usize, TestServent>,
    pub(super) dead: BTreeSet<ServentId>,
    pub(super) network: Network,
}

impl Mesh {
    /// So many servents, of which each joined through one that came before it; none where
    /// this machine cannot have the hosts.
    pub(super) fn grown(size: usize) -> Option<Self> {
        let mut mesh = Self::on(Network::new(size)?);
        for host in 0..size {
            mesh.settle(host);
            if let Some(known) = host.checked_sub(1) {
                // 0, 0, 1, 1, 2 ...: no bootstrap that everybody has in common.
                mesh.join(host, known / 2, Family::V4);
            }
        }
        Some(mesh)
    }

    /// Nobody yet.
    pub(super) fn on(network: Network) -> Self {
        Self { living: BTreeMap::new(), dead: BTreeSet::new(), network }
    }

    /// Starts a servent on this host, with a file.
    pub(super) fn settle(&mut self, host: usize) {
        let servent = self.network.start(host, Start::with(&["--name", &format!("host{host}")]));
        let path = servent.home().join(own_name(host));
        std::fs::write(&path, format!("content {host}")).expect("a test folder");
        done(&servent, &["publish", path.to_str().expect("a test folder")]);
        self.living.insert(host, servent);
    }

    pub(super) fn join(&self, newcomer: usize, known: usize, family: Family) {
        let line = self.network.invitation(known, &self.living[&known], family);
        done(&self.living[&newcomer], &["join", &line]);
    }

    /// As a power cut would end the process; its host lives on and says so to who asks.
    pub(super) fn kill9(&mut self, host: usize) {
        let mut servent = self.living.remove(&host).expect("it lives");
        servent.kill9();
        self.dead.insert(servent.id());
    }

    fn ids(&self) -> BTreeSet<ServentId> {
        self.living.values().map(TestServent::id).collect()
    }

    /// Waits until all of these hosts are one mesh that knows it: connected, every search
    /// finds everything and ends by knowledge, and nobody lists the dead.
    pub(super) fn is_whole_by(&self, deadline: Instant) {
        wait_by(deadline, "one connected graph", || self.islands().len() == 1);
        self.searches_complete_by(deadline);
        for servent in self.living.values() {
            wait_by(deadline, "the end of the dead in the peer lists", || {
                listed(servent).is_disjoint(&self.dead)
            });
        }
    }

    /// Waits until a search of each finds the files of all others, and all have answered.
    pub(super) fn searches_complete_by(&self, deadline: Instant) {
        'each: for (host, servent) in &self.living {
            let others = || self.living.keys().filter(|&other| other != host);
            let wanted: BTreeSet<_> = others().map(|&other| own_name(other)).collect();
            let mut seen = String::new();
            while Instant::now() < deadline {
                let (hits, end) = servent.search(&["--all", "--max", "2000", "everybody"]);
                let found: BTreeSet<_> = hits.into_iter().map(|hit| hit.name).collect();
                let (asked, expected) = (end.asked as usize, others().count());
                if found == wanted && (asked, end.lost, end.by_timer) == (expected, 0, false) {
                    continue 'each;
                }
                seen = format!("{:?} is missing, {end:?}", wanted.difference(&found));
            }
            panic!("host {host} does not find everything in time: {seen}");
        }
    }

    /// The parts that hang together by what `peers` says, as hosts.
    pub(super) fn islands(&self) -> Vec<BTreeSet<usize>> {
        let ids = self.ids();
        let hosts: BTreeMap<_, _> = self.living.iter().map(|(&h, s)| (s.id(), h)).collect();
        let mut islands: Vec<BTreeSet<usize>> = Vec::new();
        for (&host, servent) in &self.living {
            let peers = servent.peers(false).into_iter().map(|peer| peer.id);
            let mut island: BTreeSet<usize> =
                peers.filter(|id| ids.contains(id)).map(|id| hosts[&id]).collect();
            island.insert(host);
            let (joined, apart): (Vec<_>, Vec<_>) =
                islands.into_iter().partition(|other| !other.is_disjoint(&island));
            islands = apart;
            island.extend(joined.into_iter().flatten());
            islands.push(island);
        }
        islands
    }
}

/// What the servent of this host shares.
pub(super) fn own_name(host: usize) -> String {
    format!("file{host} of everybody.txt")
}

/// Neighbours and known contacts.
pub(super) fn listed(servent: &TestServent) -> BTreeSet<ServentId> {
    let mut all = servent.peers(false);
    all.extend(servent.peers(true));
    all.into_iter().map(|peer| peer.id).collect()
}

/// Has a servent obey one line without another process for it, as often as a test likes;
/// whether it did.
pub(super) fn obey(servent: &TestServent, line: &str) -> bool {
    let mut socket = UnixStream::connect(servent.state().join("ctl.sock")).expect("a socket");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    let order = serde_json::json!({ "line": line, "scripted": true });
    socket.write_all(format!("{order}\n").as_bytes()).expect("it reads");
    for reply in BufReader::new(socket).lines() {
        let reply = serde_json::from_str(&reply.expect("a reply in time")).expect("a reply");
        if let Reply::Exit { code } = reply {
            return code == 0;
        }
    }
    panic!("no end of {line}");
}

//! Servents behind firewalls that drop whatever comes in: real ones, on a network of
//! namespaces.

use std::fs;

use crate::common::namespace::{Family, Network};
use crate::common::servent::{Start, TestServent, wait_until};
use part2part::command::Reply;
use part2part::servent::report::{PeerReport, Reachable, Relation, ResultReport};

/// What a home router does: it lets answers in, and nothing else.
const WALL: &str = "table inet wall {
    chain input {
        type filter hook input priority 0; policy accept;
        iifname != \"lo\" ct state new drop
    }
}";
const MIDDLE: usize = 0;
const ATTIC: usize = 1;
const FRIEND: usize = 2;

/// Three servents in a line, the first behind a firewall, with a file: `attic`, `middle`,
/// `friend`. None, where this machine has no such networks.
struct Line {
    network: Network,
    middle: TestServent,
    attic: TestServent,
    friend: TestServent,
    file: Vec<u8>,
}

/// Has `servent` obey a command that must succeed; what it said.
fn done(servent: &TestServent, words: &[&str]) -> String {
    let answer = servent.ctl(words);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{words:?}");
    answer.out
}

impl Line {
    /// `walled`: who is behind a firewall.
    fn start(walled: &[usize], attic_wants: &[&str]) -> Option<Self> {
        let network = Network::new(3)?;
        for &host in walled {
            if !network.firewall(host, WALL) {
                let required = std::env::var_os("PART2PART_NAMESPACES").is_some();
                assert!(!required, "no firewall: the program nft is missing");
                #[expect(clippy::print_stderr, reason = "why a test was not run")]
                {
                    eprintln!("skipped: no firewall: the program nft is missing");
                }
                return None;
            }
        }
        // They keep the links of the line and no others.
        let start = |host, name, wants: &[&str]| {
            network.start(host, Start::with(&[&["--manual", "--name", name], wants].concat()))
        };
        let (middle, attic) = (start(MIDDLE, "middle", &[]), start(ATTIC, "attic", attic_wants));
        let friend = start(FRIEND, "friend", &[]);
        let mut file = vec![0; 3_000_000];
        blake3::Hasher::new().update(b"ferris").finalize_xof().fill(&mut file);
        fs::write(attic.home().join("ferris.ogg"), &file).unwrap();
        done(&attic, &["publish", "ferris.ogg"]);
        let line = network.invitation(MIDDLE, &middle, Family::V4);
        done(&attic, &["join", &line]);
        done(&friend, &["join", &line]);
        Some(Self { network, middle, attic, friend, file })
    }

    fn found(&self) -> ResultReport {
        let (hits, _) = self.friend.search(&["ferris"]);
        assert_eq!(hits.len(), 1, "{hits:?}");
        self.friend
            .replies(&["results", "1"])
            .into_iter()
            .find_map(|reply| match reply {
                Reply::Result(result) => Some(result),
                _ => None,
            })
            .expect("a result")
    }
}

fn wait_until_known(servent: &TestServent, reachable: Reachable) {
    wait_until(&format!("reachable {reachable:?}"), || servent.status().reachable == reachable);
}

#[test]
fn a_servent_that_nobody_can_dial_knows_it_and_is_found_and_downloaded_from() {
    let Some(line) = Line::start(&[ATTIC], &[]) else { return };
    let Line { network, middle, attic, friend, file } = &line;
    wait_until_known(attic, Reachable::No);
    wait_until_known(friend, Reachable::Yes);
    wait_until_known(middle, Reachable::Yes);
    let tested = attic.status().tested.expect("who found out");
    assert_eq!((tested.by, tested.name.as_str()), (middle.id(), "middle"));
    let status = done(attic, &["status"]);
    let says = format!("no: middle~{} could not dial this servent", middle.id().short());
    assert!(status.contains(&says) && status.contains("forward TCP port"), "{status}");
    // News and status advise the same.
    let (_, advice) = status.split_once("; forward").unwrap();
    let advice = advice.lines().next().unwrap();
    wait_until("the news", || attic.log().contains("nobody can dial this servent: forward"));
    assert!(attic.log().contains(advice), "{advice}: {}", attic.log());
    let undialled = |peer: &PeerReport| {
        peer.id == attic.id()
            && matches!(peer.relation, Relation::Neighbour { dialable: Some(false), .. })
    };
    assert!(middle.peers(false).iter().any(undialled), "{:?}", middle.peers(false));
    assert!(done(middle, &["peers"]).contains("cannot be dialled"));

    let found = line.found();
    assert!(found.sources[0].calls_back, "{found:?}");
    assert!(done(friend, &["results", "1"]).contains("calls back"));
    // Who wants to look at what it shares is called back as well.
    let looked = done(friend, &["browse", "attic"]);
    assert!(looked.contains("   1  3.00 MB  ferris.ogg"), "{looked}");
    done(friend, &["download", "1", "--wait"]);
    assert_eq!(&fs::read(friend.downloads().join("ferris.ogg")).unwrap(), file);
    // By its hash alone, too: the search for it shows the way.
    let other = network.start(MIDDLE, Start::with(&["--manual"]));
    done(&other, &["join", &network.invitation(MIDDLE, middle, Family::V4)]);
    done(friend, &["unpublish", "downloads/ferris.ogg"]);
    done(&other, &["download", &found.id.to_string(), "--wait"]);
    assert_eq!(&fs::read(other.downloads().join("ferris.ogg")).unwrap(), file);
}

#[test]
fn two_servents_that_nobody_can_dial_are_told_so() {
    let Some(line) = Line::start(&[ATTIC, FRIEND], &[]) else { return };
    let Line { attic, friend, .. } = &line;
    wait_until_known(attic, Reachable::No);
    wait_until_known(friend, Reachable::No);
    assert!(line.found().sources[0].calls_back);
    done(friend, &["download", "1"]);
    let says = format!(
        "lost its only source attic~{} (it cannot be dialled, and neither can this servent; \
         forward TCP port {} to this machine, or let the other side do so)",
        attic.id().short(),
        friend.addr().port()
    );
    wait_until(&says, || done(friend, &["downloads"]).replace("\n", " ").contains(&says));
}

#[test]
#[ignore = "a minute; scripts/failures.sh"]
fn a_source_that_cannot_be_dialled_is_called_again_when_it_is_back() {
    let Some(mut line) = Line::start(&[ATTIC], &["--max-upload", "600kB"]) else { return };
    wait_until_known(&line.attic, Reachable::No);
    line.found();
    done(&line.friend, &["download", "1"]);
    let verified = |friend: &TestServent| match friend.replies(&["downloads"]).remove(0) {
        Reply::Downloads { downloads } => downloads[0].verified,
        other => panic!("{other:?}"),
    };
    wait_until("some pieces", || verified(&line.friend) > 0);
    line.attic.kill9();
    wait_until("no neighbour", || line.middle.status().neighbours == 1);
    line.attic.restart();
    let way = line.network.invitation(MIDDLE, &line.middle, Family::V4);
    done(&line.attic, &["join", &way]);
    assert!(verified(&line.friend) < line.file.len() as u64);
    done(&line.friend, &["wait"]);
    let here = fs::read(line.friend.downloads().join("ferris.ogg")).unwrap();
    assert_eq!(here, line.file);
}

//! Meshes of real servents: how far a search goes, and what a mesh outlives.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use crate::common::servent::{Start, TestServent, wait_by};
use part2part::base::ServentId;
use rand::rngs::ChaCha12Rng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};
use tokio::time::Instant;

/// How many join one after the other.
const MANY: usize = 30;
/// How many of them die at once.
const DYING: usize = 10;
/// How long the mesh has to heal, and to forget them.
const HEALING: Duration = Duration::from_secs(60);
/// How long a servent takes to be back.
const COMING_BACK: Duration = Duration::from_secs(5);

fn done(servent: &TestServent, words: &[&str]) {
    let answer = servent.ctl(words);
    assert_eq!((answer.code, answer.err.as_str()), (0, ""), "{words:?}");
}

/// A file of its own, whose name the test can tell.
fn publish_own(servent: &TestServent, number: usize) {
    let path = servent.home().join(own_name(number));
    fs::write(&path, format!("content {number}")).unwrap();
    done(servent, &["publish", path.to_str().unwrap()]);
}

fn own_name(number: usize) -> String {
    format!("file{number} of everybody.txt")
}

#[test]
fn in_a_line_a_search_asks_exactly_as_far_as_it_should() {
    let line: Vec<_> = (0..8).map(|_| TestServent::start(Start::with(&["--manual"]))).collect();
    for pair in line.windows(2) {
        done(&pair[0], &["join", &pair[1].invitation()]);
    }
    for servent in &line[1..7] {
        servent.wait_for_neighbours(2);
    }
    publish_own(&line[7], 7);

    for ttl in 1..=7_u8 {
        let (hits, end) = line[0].search(&["--ttl", &ttl.to_string(), "everybody"]);
        assert_eq!((end.asked, end.radius), (ttl.into(), ttl), "exactly the horizon");
        assert_eq!((end.lost, end.by_timer), (0, false));
        assert_eq!(hits.len(), usize::from(ttl == 7));
    }
    let three = line[0].ctl(&["search", "--ttl", "3", "everybody"]);
    assert_eq!(three.out, "asked 3 servents within 3 hops, all answered: nobody has it\n");
    assert_eq!(three.code, 4);
    let (hits, end) = line[0].search(&["everybody"]);
    assert_eq!((hits[0].hops, hits[0].servent), (7, line[7].id()));
    assert_eq!((end.asked, end.radius), (7, 8), "rings of 2, 4 and 8 hops");
    for servent in &line {
        assert!(servent.peers(false).len() <= 2, "--manual keeps exactly the links asked for");
    }
}

#[test]
fn thirty_find_everything_and_outlive_the_death_of_ten() {
    let seed = 20_190_613;
    eprintln!("seed {seed}");
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut mesh: BTreeMap<usize, TestServent> = BTreeMap::new();
    let mut bootstraps = BTreeMap::new();
    for number in 0..MANY {
        let newcomer = TestServent::start(Start::default());
        publish_own(&newcomer, number);
        if number > 0 {
            let known = rng.random_range(0..number);
            done(&newcomer, &["join", &mesh[&known].invitation()]);
            bootstraps.insert(number, known);
        }
        mesh.insert(number, newcomer);
    }
    everybody_finds_everything(&mesh, Instant::now() + HEALING);

    let mut numbers: Vec<usize> = mesh.keys().copied().collect();
    numbers.shuffle(&mut rng);
    let mut dead = BTreeSet::new();
    for number in &numbers[..DYING] {
        let mut dying = mesh.remove(number).unwrap();
        dying.kill9();
        dead.insert(dying.id());
    }
    let killed = Instant::now();
    everybody_finds_everything(&mesh, killed + HEALING);
    for servent in mesh.values() {
        wait_by(killed + HEALING, "the end of the dead in the peer lists", || {
            listed(servent).is_disjoint(&dead)
        });
    }

    let mut newcomer = TestServent::start(Start::default());
    let known = *mesh.keys().collect::<Vec<_>>().choose(&mut rng).unwrap();
    done(&newcomer, &["join", &mesh[known].invitation()]);
    assert!(!listed(&newcomer).is_empty());
    assert!(listed(&newcomer).is_disjoint(&dead));
    newcomer.stop();
    let handed = fs::read_to_string(newcomer.state().join("hosts")).unwrap();
    assert!(handed.contains(&mesh[known].id().to_string()), "{handed}");
    for id in dead {
        assert!(!handed.contains(&id.to_string()), "it was handed a dead servent");
    }

    back_without_anybody_it_was_linked_to(mesh, &bootstraps);
}

/// Waits until one search of each of `mesh` finds the files of all others.
fn everybody_finds_everything(mesh: &BTreeMap<usize, TestServent>, deadline: Instant) {
    'each: for (number, servent) in mesh {
        let wanted: BTreeSet<_> =
            mesh.keys().filter(|&other| other != number).map(|&other| own_name(other)).collect();
        let mut seen = String::new();
        while Instant::now() < deadline {
            let (hits, end) = servent.search(&["--all", "--max", "2000", "everybody"]);
            let found: BTreeSet<_> = hits.into_iter().map(|hit| hit.name).collect();
            if found == wanted && (end.asked as usize, end.lost) == (wanted.len(), 0) {
                continue 'each;
            }
            seen = format!("{:?} is missing, {end:?}", wanted.difference(&found));
        }
        panic!("{number} of {} does not find everything in time: {seen}", mesh.len());
    }
}

/// The servent with the fewest neighbours stops; they and its bootstrap die; it is back
/// through somebody else that its host cache knows.
fn back_without_anybody_it_was_linked_to(
    mut mesh: BTreeMap<usize, TestServent>,
    bootstraps: &BTreeMap<usize, usize>,
) {
    let number = *mesh.iter().min_by_key(|(_, servent)| servent.peers(false).len()).unwrap().0;
    let mut returning = mesh.remove(&number).unwrap();
    let neighbours: BTreeSet<_> = returning.peers(false).into_iter().map(|peer| peer.id).collect();
    returning.stop();
    let bootstrap = bootstraps.get(&number);
    mesh.retain(|number, servent| {
        let stays = !neighbours.contains(&servent.id()) && bootstrap != Some(number);
        if !stays {
            servent.kill9();
        }
        stays
    });
    let left: BTreeSet<_> = mesh.values().map(TestServent::id).collect();
    assert!(!left.is_empty());

    returning.restart();
    let began = Instant::now();
    wait_by(began + COMING_BACK, "the way back into the mesh", || {
        returning.peers(false).iter().any(|peer| left.contains(&peer.id))
    });
    mesh.insert(number, returning);
    everybody_finds_everything(&mesh, began + HEALING);
}

/// Neighbours and known contacts.
fn listed(servent: &TestServent) -> BTreeSet<ServentId> {
    let mut all = servent.peers(false);
    all.extend(servent.peers(true));
    all.into_iter().map(|peer| peer.id).collect()
}

#[test]
fn a_join_while_the_host_cache_is_dialled_leaves_one_link_that_both_ends_agree_on() {
    let contact = TestServent::start(Start::default());
    publish_own(&contact, 1);
    let mut returning = TestServent::start(Start::default());
    done(&returning, &["join", &contact.invitation()]);
    for round in 0..20 {
        returning.kill9();
        returning.restart();
        done(&returning, &["join", &contact.invitation()]);
        let (hits, end) = returning.search(&["everybody"]);
        assert_eq!(
            (hits.len(), end.asked, end.lost),
            (1, 1, 0),
            "round {round}: {}",
            returning.log()
        );
    }
}

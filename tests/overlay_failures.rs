//! What befalls a mesh, and that it holds together: the engine in a simulated network.
//!
//! After each failure, within a minute of virtual time: one connected mesh of even degree,
//! searches that ask exactly the horizon and end by knowledge, and nobody lists the dead.
//! Seeds are fixed and printed on failure; with `--nocapture` each test prints the mesh.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::print_stdout, reason = "tests")]

use std::collections::BTreeSet;
use std::time::Duration;

use part2part::base::MAX_TTL;
use part2part::message::Purpose;
use part2part::overlay::{Config, Neighbour, Overlay};
use part2part::sim::topology::{self, Links};
use part2part::sim::{Delay, Families, Network};
use rand::rngs::ChaCha12Rng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};

/// How long a mesh has to be whole again.
const HEALED: Duration = Duration::from_secs(60);
/// A link within a country.
const NEAR: Duration = Duration::from_millis(20);
const SEEDS: std::ops::Range<u64> = 0..3;

/// A mesh of this many, each of which joined through a random one before it.
fn grown(seed: u64, servents: usize, mean: Duration) -> Network {
    let mut net = Network::new(seed, Config::default(), Delay::Exponential, mean);
    grow(&mut net, seed, servents);
    net
}

/// Lets `servents` more join, each through a random one of them.
fn grow(net: &mut Network, seed: u64, servents: usize) {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let first = net.add("common");
    for newcomer in first + 1..first + servents {
        net.add("common");
        net.dial(newcomer, rng.random_range(first..newcomer), Purpose::Join);
        net.run_for(Duration::from_millis(200));
    }
    net.run_for(HEALED);
}

/// The links that both ends know of.
fn standing(net: &Network) -> Links {
    let knows = |a: usize, b: usize| {
        let mut neighbours = net.overlay(a).into_iter().flat_map(Overlay::neighbours);
        neighbours.any(|neighbour| net.number_of(neighbour.id()) == Some(b))
    };
    net.links().into_iter().filter(|&(a, b)| knows(a, b) && knows(b, a)).collect()
}

/// What a mesh looks like.
#[derive(Debug)]
struct Shape {
    /// Servents that the first one is not connected with.
    cut_off: usize,
    /// The most links between two servents, of those that were looked at.
    diameter: usize,
    degrees: Vec<usize>,
}

impl Shape {
    fn of(net: &Network) -> Self {
        let links = standing(net);
        let alive: Vec<usize> = net.alive().collect();
        let all = alive.last().unwrap() + 1;
        let mut degrees = vec![0; all];
        for (a, b) in &links {
            degrees[*a] += 1;
            degrees[*b] += 1;
        }
        let degrees: Vec<usize> = alive.iter().map(|&servent| degrees[servent]).collect();
        let mut shape = Self { cut_off: 0, diameter: 0, degrees };
        for (i, &from) in alive.iter().enumerate().step_by(alive.len().div_ceil(20)) {
            let distances = topology::distances(all, &links, from);
            let to = alive.iter().map(|&to| distances[to]);
            shape.diameter = shape.diameter.max(to.clone().flatten().max().unwrap());
            if i == 0 {
                shape.cut_off = to.filter(Option::is_none).count();
            }
        }
        shape
    }

    fn uneven(&self) -> usize {
        self.degrees.iter().filter(|degree| !(6..=14).contains(*degree)).count()
    }

    fn print(&self, what: &str, seed: u64) {
        let mut counts = std::collections::BTreeMap::new();
        for &degree in &self.degrees {
            *counts.entry(degree).or_insert(0) += 1;
        }
        println!(
            "{what}, seed {seed}: {} servents, {} cut off, diameter {}, degrees {counts:?}",
            self.degrees.len(),
            self.cut_off,
            self.diameter
        );
    }
}

/// One even mesh, exact searches, and none of the `dead` listed.
fn check(net: &mut Network, what: &str, seed: u64, dead: &BTreeSet<usize>) {
    let shape = Shape::of(net);
    shape.print(what, seed);
    assert_eq!(shape.cut_off, 0, "{what}, seed {seed}: not one mesh");
    let most = shape.degrees.len() / 20;
    assert!(shape.uneven() <= most, "{what}, seed {seed}: uneven: {:?}", shape.degrees);
    let now = net.now();
    for servent in net.alive().collect::<Vec<_>>() {
        let overlay = net.overlay(servent).unwrap();
        let listed = overlay.known(now).into_iter().map(|aged| aged.contact.id);
        let listed = listed.chain(overlay.neighbours().map(Neighbour::id));
        for id in listed {
            let number = net.number_of(id).unwrap();
            assert!(!dead.contains(&number), "{what}, seed {seed}: {servent} lists {number}");
        }
    }
    searches(net, what, seed);
}

/// Searches from a few servents ask exactly their horizon, and end by knowledge.
fn searches(net: &mut Network, what: &str, seed: u64) {
    let alive: Vec<usize> = net.alive().collect();
    for &from in alive.iter().step_by(alive.len().div_ceil(3)) {
        let links = standing(net);
        let distances = topology::distances(alive.last().unwrap() + 1, &links, from);
        let near = |d: Option<usize>| d.is_some_and(|d| d > 0 && d <= usize::from(MAX_TTL));
        let horizon: BTreeSet<usize> =
            (0..distances.len()).filter(|&i| near(distances[i])).collect();
        let guid = net.search(from, "common", vec![2, 4, 8]);
        let ended = net.run_until_end(guid, Duration::from_secs(60));
        let report = net.report(guid);
        let end = report.end();
        assert!(ended, "{what}, seed {seed}: the search of {from} does not end");
        let end = end.unwrap();
        let hits: BTreeSet<usize> = report.hits.iter().copied().collect();
        assert!(
            hits == horizon && end.asked == horizon.len() as u64 && end.lost == 0,
            "{what}, seed {seed}: {from} found {} of {}: {end:?}",
            hits.len(),
            horizon.len()
        );
        assert!(!end.by_timer, "{what}, seed {seed}: the clock ended it: {end:?}");
    }
}

/// A share of all who are alive, chosen at random.
fn share(net: &Network, seed: u64, share: f64) -> BTreeSet<usize> {
    let alive: Vec<usize> = net.alive().collect();
    let count = (alive.len() as f64 * share) as usize;
    let mut rng = ChaCha12Rng::seed_from_u64(seed ^ 0xdead);
    alive.into_iter().sample(&mut rng, count).into_iter().collect()
}

fn killed_at_once(what: &str, part: f64) {
    for seed in SEEDS {
        let mut net = grown(seed, 120, NEAR);
        Shape::of(&net).print("grown", seed);
        let dead = share(&net, seed, part);
        dead.iter().for_each(|&servent| net.kill(servent));
        net.run_for(HEALED);
        check(&mut net, what, seed, &dead);
    }
}

#[test]
fn half_of_a_mesh_may_be_killed_at_once() {
    killed_at_once("half killed", 0.5);
}

#[test]
fn three_in_ten_may_be_killed_at_once() {
    killed_at_once("30 % killed", 0.3);
}

#[test]
fn a_partition_of_two_minutes_heals() {
    for seed in SEEDS {
        let mut net = grown(seed, 80, NEAR);
        let apart = share(&net, seed, if seed == 0 { 0.1 } else { 0.5 });
        net.divide(apart.clone(), Duration::from_secs(120));
        net.run_for(Duration::from_secs(119));
        let across = |net: &Network| {
            let links = standing(net);
            links.iter().filter(|&&(a, b)| apart.contains(&a) != apart.contains(&b)).count()
        };
        assert_eq!(across(&net), 0, "seed {seed}: what is divided is not linked");
        net.run_for(Duration::from_secs(1) + HEALED);
        println!("seed {seed}: {} links across", across(&net));
        check(&mut net, "partition healed", seed, &BTreeSet::new());
    }
}

#[test]
fn a_loss_of_one_in_a_hundred_changes_nothing() {
    for seed in SEEDS {
        let mut net = Network::new(seed, Config::default(), Delay::Exponential, NEAR);
        net.lose(0.01);
        grow(&mut net, seed, 60);
        net.run_for(HEALED);
        check(&mut net, "1 % loss", seed, &BTreeSet::new());
    }
}

#[test]
fn links_of_two_hundred_milliseconds_change_nothing() {
    for seed in SEEDS {
        let mut net =
            Network::new(seed, Config::default(), Delay::Unit, Duration::from_millis(200));
        grow(&mut net, seed, 60);
        check(&mut net, "200 ms links", seed, &BTreeSet::new());
    }
}

#[test]
fn a_servent_that_was_frozen_for_two_minutes_is_back() {
    for seed in SEEDS {
        let mut net = grown(seed, 40, NEAR);
        let frozen = 7;
        net.freeze_for(frozen, Duration::from_secs(120));
        net.run_for(Duration::from_secs(119));
        let lists = |net: &Network, servent: usize| {
            let overlay = net.overlay(servent).unwrap();
            overlay.neighbours().any(|n| net.number_of(n.id()) == Some(frozen))
        };
        for servent in (0..40).filter(|&servent| servent != frozen) {
            assert!(!lists(&net, servent), "seed {seed}: {servent} still has it");
        }
        net.run_for(Duration::from_secs(1) + HEALED);
        check(&mut net, "frozen", seed, &BTreeSet::new());
    }
}

#[test]
fn twenty_joins_a_second_for_a_minute_make_one_mesh() {
    let seed = 1;
    let mut net = grown(seed, 10, NEAR);
    for _ in 0..60 * 20 {
        let newcomer = net.add("common");
        net.dial(newcomer, 3, Purpose::Join);
        net.run_for(Duration::from_millis(50));
    }
    net.run_for(HEALED);
    check(&mut net, "20 joins a second", seed, &BTreeSet::new());
}

#[test]
fn a_bootstrap_that_dies_right_after_the_join_takes_nobody_with_it() {
    for seed in SEEDS {
        let mut net = grown(seed, 20, NEAR);
        let newcomers: Vec<usize> = (0..5).map(|_| net.add("common")).collect();
        for &newcomer in &newcomers {
            net.dial(newcomer, 3, Purpose::Join);
        }
        while newcomers.iter().any(|&n| net.overlay(n).unwrap().neighbours().len() == 0) {
            net.run_for(Duration::from_millis(1));
        }
        net.kill(3);
        net.run_for(HEALED);
        check(&mut net, "bootstrap dead", seed, &BTreeSet::from([3]));
    }
}

#[test]
fn servents_on_ipv4_on_ipv6_and_on_both_make_one_mesh() {
    for (what, kinds) in [
        ("IPv4", [Families::V4; 3]),
        ("IPv6", [Families::V6; 3]),
        ("mixed", [Families::V4, Families::V6, Families::Both]),
    ] {
        for seed in SEEDS {
            let mut rng = ChaCha12Rng::seed_from_u64(seed);
            let mut net = Network::new(seed, Config::default(), Delay::Exponential, NEAR);
            // The first is on both, or nobody could join through it.
            for newcomer in 0..60 {
                net.add("common");
                net.settle(newcomer, kinds[if newcomer == 0 { 2 } else { newcomer % 3 }]);
                let there = if newcomer % 3 == 2 { rng.random_range(0..newcomer) } else { 0 };
                if newcomer > 0 {
                    net.dial(newcomer, there, Purpose::Join);
                }
                net.run_for(Duration::from_millis(200));
            }
            net.run_for(HEALED);
            check(&mut net, what, seed, &BTreeSet::new());
        }
    }
}

/// The links between servents below `border` and the others.
fn across(net: &Network, border: usize) -> Links {
    standing(net).into_iter().filter(|&(a, b)| a < border && b >= border).collect()
}

#[test]
fn two_meshes_that_learn_of_each_other_become_one_by_many_links() {
    const EACH: usize = 60;
    for seed in SEEDS {
        let mut net = grown(seed, EACH, NEAR);
        grow(&mut net, seed, EACH);
        assert_eq!(across(&net, EACH).len(), 0);
        net.dial(3, EACH + 5, Purpose::Join);
        net.run_for(HEALED);
        let links = across(&net, EACH);
        println!("seed {seed}: {} links across after a minute", links.len());
        check(&mut net, "two meshes met", seed, &BTreeSet::new());
        assert!(links.len() >= 8, "seed {seed}: {} links across", links.len());
        // Even the two that met may go.
        net.kill(3);
        net.kill(EACH + 5);
        net.run_for(HEALED);
        check(&mut net, "those who met are dead", seed, &BTreeSet::from([3, EACH + 5]));
        if seed == SEEDS.start {
            net.run_for(Duration::from_secs(3600));
            let (links, all) = (across(&net, EACH).len(), standing(&net).len());
            println!("seed {seed}: an hour later {links} of {all} links across");
            check(&mut net, "an hour later", seed, &BTreeSet::from([3, EACH + 5]));
            assert!(links > all / 4, "seed {seed}: {links} of {all} links across");
        }
    }
}

#[test]
fn a_lost_neighbour_is_replaced_within_two_round_trips() {
    const ROUND_TRIP: Duration = Duration::from_millis(40);
    for seed in SEEDS {
        let mut net = Network::new(seed, Config::default(), Delay::Unit, ROUND_TRIP / 2);
        grow(&mut net, seed, 60);
        net.run_for(10 * HEALED);
        let degree = |net: &Network, s: usize| net.overlay(s).unwrap().neighbours().len();
        let Some(victim) = (1..60).find(|&s| {
            let mut beside = standing(&net).into_iter().filter(|&(a, b)| a == s || b == s);
            beside.any(|(a, b)| degree(&net, a + b - s) == 8)
        }) else {
            panic!("seed {seed}: nobody would miss a neighbour")
        };
        let bereft: Vec<usize> = standing(&net)
            .into_iter()
            .filter(|&(a, b)| a == victim || b == victim)
            .map(|(a, b)| a + b - victim)
            .filter(|&servent| degree(&net, servent) == 8)
            .collect();
        net.kill(victim);
        let began = net.now();
        let whole = |net: &Network| {
            let fills = |&servent: &usize| {
                let neighbours = net.overlay(servent).unwrap().neighbours();
                let alive = |id| net.number_of(id).is_some_and(|number| number != victim);
                neighbours.filter(|neighbour| alive(neighbour.id())).count() >= 8
            };
            bereft.iter().all(fills)
        };
        while !whole(&net) {
            net.run_for(Duration::from_millis(1));
            assert!(net.now().since(began) < HEALED, "seed {seed}: {bereft:?} not refilled");
        }
        let took = net.now().since(began);
        println!("seed {seed}: {bereft:?} have eight neighbours again after {took:?}");
        assert!(took <= 2 * ROUND_TRIP, "seed {seed}: {took:?}");
    }
}

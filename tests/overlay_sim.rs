//! The engine in a simulated mesh: what DESIGN promises of search and membership.
//!
//! Seeds are fixed and printed on failure. `PART2PART_SEEDS` sets how many are run.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use part2part::base::{Guid, MAX_TTL};
use part2part::message::{CallMe, Purpose, ShortId, Trace};
use part2part::overlay::{Config, Input, Neighbour};
use part2part::sim::topology::{self, Links};
use part2part::sim::{Delay, Network, SearchReport};
use rand::rngs::ChaCha12Rng;
use rand::seq::IteratorRandom;
use rand::{RngExt, SeedableRng};

const NAME: &str = "ferris";
const MEAN: Duration = Duration::from_micros(200);

fn seeds() -> u64 {
    std::env::var("PART2PART_SEEDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000)
}

fn manual(improve: bool) -> Config {
    Config { manual: true, max_manual: 1000, improve, ..Config::default() }
}

/// A random mesh of 2 to 300 servents of some nasty or random shape.
fn shape(rng: &mut ChaCha12Rng) -> (usize, Links) {
    let servents: usize = match rng.random_range(0..10) {
        0 => rng.random_range(100..=300),
        1..=4 => rng.random_range(20..100),
        _ => rng.random_range(2..20),
    };
    let links = match rng.random_range(0..7) {
        0 => topology::line(servents),
        1 => topology::ring(servents),
        2 => topology::star(servents),
        3 => topology::bridged_cliques(servents.min(60), rng.random_range(0..6)),
        _ => topology::random(servents, rng.random_range(2..10), rng),
    };
    let servents = links.iter().map(|&(_, b)| b + 1).max().unwrap_or(servents);
    (servents, links)
}

fn mesh(seed: u64, servents: usize, links: &Links, delay: Delay, improve: bool) -> Network {
    let mut net = Network::new(seed, manual(improve), delay, MEAN);
    for _ in 0..servents {
        net.add(NAME);
    }
    net.link_all(links);
    net.run_for(Duration::from_secs(2));
    assert_eq!(&net.links(), links, "the mesh is as drawn");
    net
}

fn horizon(servents: usize, links: &Links, from: usize, ttl: u8) -> BTreeSet<usize> {
    let distances = topology::distances(servents, links, from);
    let within = |d: &Option<usize>| d.is_some_and(|d| d >= 1 && d <= usize::from(ttl));
    distances.iter().enumerate().filter(|(_, d)| within(d)).map(|(i, _)| i).collect()
}

/// Runs one search on one random mesh; says what was wrong with it.
fn one_search(seed: u64, improve: bool) -> Result<(), String> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let (servents, links) = shape(&mut rng);
    let delay = Delay::ALL.into_iter().choose(&mut rng).unwrap();
    let from = rng.random_range(0..servents);
    let ttl = rng.random_range(1..=MAX_TTL);
    let rings = if rng.random_bool(0.3) { vec![2, 4, 8] } else { vec![ttl] };
    let radius = *rings.last().unwrap();

    let mut net = mesh(seed, servents, &links, delay, improve);
    let guid = net.search(from, NAME, rings);
    if !net.run_until_end(guid, Duration::from_secs(60)) {
        return Err("the search does not end".to_owned());
    }
    let expected = horizon(servents, &links, from, radius);
    check(&net, guid, &expected).map_err(|what| {
        format!("{what} ({servents} servents, {delay:?}, from {from}, radius {radius})")
    })
}

fn check(net: &Network, guid: Guid, expected: &BTreeSet<usize>) -> Result<(), String> {
    let report = net.report(guid);
    let asked: BTreeSet<usize> = report.asked.iter().copied().collect();
    let hits: BTreeSet<usize> = report.hits.iter().copied().collect();
    let end = report.end().ok_or("no end")?;
    let problems = [
        (asked.len() != report.asked.len(), "somebody was asked twice"),
        (&asked != expected, "not exactly the horizon was asked"),
        (&hits != expected, "not everybody's hit came before the end"),
        (hits.len() != report.hits.len(), "a hit came twice"),
        (end.asked != expected.len() as u64, "the searcher counts wrongly who was asked"),
        (end.lost != 0, "something counts as lost"),
        (end.by_timer, "the clock ended it"),
        (!answered(&report), "not a Done for each copy, or another copy that crossed it"),
    ];
    match problems.iter().find(|(wrong, _)| *wrong) {
        Some((_, what)) => Err(format!("{what}: {end:?}, horizon {}", expected.len())),
        None => Ok(()),
    }
}

/// Whether what was not answered by a Done can have been by a copy, two and two.
fn answered(report: &SearchReport) -> bool {
    report.copies.checked_sub(report.dones).is_some_and(|crossed| crossed.is_multiple_of(2))
}

#[test]
fn a_search_asks_exactly_its_horizon_and_knows_its_end() {
    for seed in 0..seeds() {
        if let Err(what) = one_search(seed, true) {
            panic!("seed {seed}: {what}");
        }
    }
}

#[test]
fn without_the_improvement_rule_part_of_the_horizon_stays_dark() {
    let dark = (0..seeds().max(200)).filter(|&seed| {
        let wrong = one_search(seed, false);
        wrong.is_err_and(|what| what.contains("not exactly the horizon was asked"))
    });
    assert!(dark.count() > 0, "the property test cannot tell a plain flood from a correct one");
}

#[test]
fn links_lost_on_the_way_cost_only_what_they_led_to() {
    for seed in 0..seeds() / 4 {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let (servents, links) = shape(&mut rng);
        let delay = Delay::ALL.into_iter().choose(&mut rng).unwrap();
        let from = rng.random_range(0..servents);
        let ttl = rng.random_range(1..=MAX_TTL);
        let mut net = mesh(seed, servents, &links, delay, true);
        let guid = net.search(from, NAME, vec![ttl]);
        let mut left = links.clone();
        for _ in 0..rng.random_range(1..4) {
            let micros = rng.random_range(0..2000);
            net.run_for(Duration::from_micros(micros));
            let &(a, b) = left.iter().choose(&mut rng).unwrap();
            left.remove(&(a, b));
            net.cut(a, b);
            if left.is_empty() {
                break;
            }
        }
        assert!(net.run_until_end(guid, Duration::from_secs(60)), "seed {seed}: no end");
        // What hung on a lost link counts as lost at once, and goes on all the same.
        net.run_for(Duration::from_secs(5));
        let report = net.report(guid);
        let asked: BTreeSet<usize> = report.asked.iter().copied().collect();
        assert_eq!(asked.len(), report.asked.len(), "seed {seed}: asked twice");
        let (least, most) =
            (horizon(servents, &left, from, ttl), horizon(servents, &links, from, ttl));
        assert!(asked.is_superset(&least), "seed {seed}: {:?} not asked", &least - &asked);
        assert!(asked.is_subset(&most), "seed {seed}: {:?} asked", &asked - &most);
        assert!(!report.end().unwrap().by_timer, "seed {seed}: the clock ended it");
    }
}

#[test]
fn in_a_line_a_search_reaches_its_ttl_and_no_further() {
    let links = topology::line(8);
    for ttl in 1..=MAX_TTL {
        let mut net = mesh(1, 8, &links, Delay::Unit, true);
        let guid = net.search(0, NAME, vec![ttl]);
        assert!(net.run_until_end(guid, Duration::from_secs(10)));
        let asked: Vec<usize> = (1..=usize::from(ttl).min(7)).collect();
        assert_eq!(net.report(guid).asked, asked);
    }
}

#[test]
fn a_search_that_has_enough_asks_no_wider_ring() {
    let mut net = mesh(1, 20, &topology::line(20), Delay::Unit, true);
    let guid = net.search(0, NAME, vec![2, 4, 8]);
    net.tell(0, Input::Enough { guid });
    assert!(net.run_until_end(guid, Duration::from_secs(10)));
    assert_eq!(net.report(guid).asked, [1, 2]);
}

#[test]
fn a_search_of_somebody_alone_ends_at_once() {
    let mut net = Network::new(1, Config::default(), Delay::Unit, MEAN);
    net.add(NAME);
    let guid = net.search(0, NAME, vec![2, 4, 8]);
    assert!(net.run_until_end(guid, Duration::from_secs(1)));
    let end = net.report(guid).end().unwrap();
    assert_eq!((end.asked, end.lost, end.by_timer), (0, 0, false));
}

#[test]
fn a_frozen_neighbour_ends_the_ring_by_the_clock_and_is_counted() {
    let mut net = mesh(1, 3, &topology::line(3), Delay::Unit, true);
    net.freeze(2);
    let guid = net.search(0, NAME, vec![8]);
    assert!(net.run_until_end(guid, Duration::from_secs(20)));
    let end = net.report(guid).end().unwrap();
    assert!(end.by_timer && end.lost == 1, "{end:?}");
}

/// Servents join one after the other, each through a random one that is there.
fn grown(seed: u64, servents: usize) -> Network {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let mut net = Network::new(seed, Config::default(), Delay::Exponential, MEAN);
    net.add("0");
    for newcomer in 1..servents {
        net.add(&newcomer.to_string());
        net.dial(newcomer, rng.random_range(0..newcomer), Purpose::Join);
        net.run_for(Duration::from_millis(200));
    }
    net.run_for(Duration::from_secs(30));
    net
}

fn everyone_finds_everyone(net: &mut Network, seed: u64) {
    let alive: Vec<usize> = net.alive().collect();
    for &from in &alive {
        // One file each: a search by name is found at exactly one other.
        let to = alive[(from * 7 + 3) % alive.len()];
        if to == from {
            continue;
        }
        let guid = net.search(from, &to.to_string(), vec![8]);
        assert!(net.run_until_end(guid, Duration::from_secs(30)), "seed {seed}");
        let report = net.report(guid);
        assert_eq!(report.hits, [to], "seed {seed}: {from} looks for {to}: {:?}", report.end());
        assert_eq!(report.end().unwrap().asked, alive.len() as u64 - 1, "seed {seed}");
    }
}

#[test]
fn servents_that_join_anywhere_become_one_even_mesh() {
    for seed in 0..20 {
        let mut net = grown(seed, 30);
        let distances = topology::distances(30, &net.links(), 0);
        assert!(distances.iter().all(Option::is_some), "seed {seed}: not one mesh");
        for servent in 0..30 {
            let degree = net.overlay(servent).unwrap().neighbours().len();
            assert!((6..=14).contains(&degree), "seed {seed}: degree {degree}");
        }
        everyone_finds_everyone(&mut net, seed);
    }
}

#[test]
fn a_third_of_a_mesh_may_die_at_once() {
    for seed in 0..20 {
        let mut net = grown(seed, 30);
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let dead: BTreeSet<usize> = (0..30).sample(&mut rng, 10).into_iter().collect();
        dead.iter().for_each(|&servent| net.kill(servent));
        net.run_for(Duration::from_secs(55));
        everyone_finds_everyone(&mut net, seed);
        let now = net.now();
        for servent in net.alive().collect::<Vec<_>>() {
            let overlay = net.overlay(servent).unwrap();
            let listed = overlay.known(now).into_iter().map(|aged| aged.contact.id);
            let listed = listed.chain(overlay.neighbours().map(Neighbour::id));
            for id in listed {
                let number = net.number_of(id).unwrap();
                assert!(!dead.contains(&number), "seed {seed}: {servent} lists dead {number}");
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut net = grown(5, 20);
        let guid = net.search(3, "7", vec![2, 4, 8]);
        net.run_until_end(guid, Duration::from_secs(30));
        format!("{:?} {:?} {:?}", net.now(), net.links(), net.report(guid))
    };
    assert_eq!(run(), run());
}

#[test]
fn a_servent_that_leaves_is_forgotten_and_stays_alone() {
    let mut net = grown(3, 12);
    let gone = net.overlay(4).unwrap().neighbours().count();
    assert!(gone > 0);
    net.tell(4, Input::Leave);
    net.run_for(Duration::from_secs(120));
    assert_eq!(net.overlay(4).unwrap().neighbours().count(), 0);
    let now = net.now();
    for servent in (0..12).filter(|&s| s != 4) {
        let overlay = net.overlay(servent).unwrap();
        let listed = overlay.known(now).into_iter().map(|aged| aged.contact.id);
        let mut listed = listed.chain(overlay.neighbours().map(Neighbour::id));
        assert!(listed.all(|id| net.number_of(id) != Some(4)), "{servent} still lists it");
    }
    net.tell(4, Input::Join);
    net.run_for(Duration::from_secs(5));
    assert!(net.overlay(4).unwrap().neighbours().count() >= 6, "join brings it back");
}

#[test]
fn a_link_that_a_person_asked_for_is_dialled_again() {
    let mut net = mesh(1, 3, &topology::line(3), Delay::Unit, true);
    net.cut(0, 1);
    net.run_for(Duration::from_secs(10));
    assert_eq!(net.links(), topology::line(3));
    net.tell(0, Input::Leave);
    net.run_for(Duration::from_secs(120));
    assert_eq!(net.links(), Links::from([(1, 2)]), "who leaves wants no link any more");
}

#[test]
fn a_large_mesh_is_asked_whole_at_a_bounded_cost() {
    const SERVENTS: usize = 3000;
    let mut rng = ChaCha12Rng::seed_from_u64(11);
    let links = topology::random(SERVENTS, 8, &mut rng);
    for delay in [Delay::Unit, Delay::Uniform, Delay::Exponential, Delay::Spread] {
        for (rings, most) in [(vec![6], 7.0), (vec![2, 4, 8], 8.5), (vec![8], 10.5)] {
            let mut net = mesh(11, SERVENTS, &links, delay, true);
            let guid = net.search(0, "nobody has this", rings.clone());
            assert!(net.run_until_end(guid, Duration::from_secs(60)));
            let expected = horizon(SERVENTS, &links, 0, *rings.last().unwrap());
            let (report, end) = (net.report(guid), net.report(guid).end().unwrap());
            assert_eq!(report.asked.iter().copied().collect::<BTreeSet<_>>(), expected);
            assert_eq!((end.asked, end.lost), (expected.len() as u64, 0), "{delay:?} {rings:?}");
            assert!(answered(&report));
            let each = |count: usize| count as f64 / expected.len() as f64;
            let (cost, dones) = (each(report.copies), each(report.dones));
            let asked = expected.len();
            println!(
                "{delay:?} {rings:?}: asked {asked}, {cost:.2} copies and {dones:.2} Dones each"
            );
            // Where all links are alike most copies cross; where they are not, fewer are sent.
            let crossing = if matches!(delay, Delay::Unit) { cost / 3.0 } else { cost };
            assert!(dones <= crossing, "{delay:?} {rings:?}: {dones:.2} for {cost:.2} copies");
            assert!(cost <= most, "{delay:?} {rings:?}: {cost:.2} copies for each servent asked");
        }
    }
}

#[test]
fn a_servent_that_cannot_be_dialled_is_found_and_a_call_reaches_it_over_many_hops() {
    const ONLY: &str = "only here";
    let mut farthest = 0;
    for seed in 0..20 {
        println!("seed {seed}"); // shown when the test fails
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let links = topology::random(50, 3, &mut rng);
        let mut net = Network::new(seed, manual(true), Delay::Exponential, MEAN);
        let shut = net.add(ONLY);
        (1..50).for_each(|_| {
            net.add(NAME);
        });
        net.link_all(&links);
        net.run_for(Duration::from_secs(2));
        net.shield(shut);
        net.tell_address(shut);
        net.run_for(Duration::from_secs(60));
        assert_eq!(net.overlay(shut).unwrap().reachability().dialable, Some(false));
        let distances = topology::distances(50, &links, shut);
        let within = |(_, far): &(usize, &Option<usize>)| far.is_some_and(|far| far <= 8);
        let reached = distances.iter().enumerate().filter(within);
        let (searcher, far) = reached.max_by_key(|(_, far)| **far).unwrap();
        farthest = farthest.max(far.unwrap());
        let guid = net.search(searcher, ONLY, vec![MAX_TTL]);
        assert!(net.run_until_end(guid, Duration::from_secs(20)));
        assert_eq!(net.report(guid).hits, [shut]);
        let contact = |number| {
            let all = (0..50).flat_map(|other| net.overlay(other).unwrap().neighbours());
            let mut same = all.filter(|n| net.number_of(n.id()) == Some(number));
            same.next().unwrap().peer.contact.clone()
        };
        let (asker, responder, token) = (contact(searcher), contact(shut).id, [7; 16]);
        let call = CallMe { guid, responder, asker: asker.clone(), token, ext: vec![] };
        net.tell(searcher, Input::Call(call));
        net.run_for(Duration::from_secs(5));
        assert_eq!(net.calls(), [(shut, asker, token)], "one call, to the author alone");
    }
    assert!(farthest >= 4, "{farthest} hops");
}

/// Runs one traced search on one random mesh, and holds its tree against the graph.
fn one_trace(seed: u64) -> Result<(), String> {
    let mut rng = ChaCha12Rng::seed_from_u64(seed);
    let (servents, links) = shape(&mut rng);
    let delay = Delay::ALL.into_iter().choose(&mut rng).unwrap();
    let from = rng.random_range(0..servents);
    let rings = if rng.random_bool(0.5) { vec![2, 4, 8] } else { vec![rng.random_range(1..=8)] };
    let expected = horizon(servents, &links, from, *rings.last().unwrap());
    let mut net = mesh(seed, servents, &links, delay, true);
    let guid = net.search_traced(from, NAME, rings);
    if !net.run_until_end(guid, Duration::from_secs(60)) {
        return Err("the search does not end".to_owned());
    }
    check(&net, guid, &expected)?;
    let tree = net.report(guid).trace.ok_or("no trace")?;
    // Whoever has a link is somebody's neighbour.
    let all = (0..servents).flat_map(|servent| net.overlay(servent).unwrap().neighbours());
    let numbers: BTreeMap<ShortId, usize> =
        all.map(|n| (ShortId::from(n.id()), net.number_of(n.id()).unwrap())).collect();
    let named: Vec<usize> =
        tree.servents.iter().filter(|s| s.asked).map(|s| numbers[&s.id]).collect();
    let unsaid = tree.unsaid + tree.servents.iter().map(|s| s.unsaid).sum::<u64>();
    if named.len() as u64 + unsaid != expected.len() as u64 {
        return Err(format!("{} named, {unsaid} more, of {}", named.len(), expected.len()));
    }
    if expected.len() < Trace::MAX_NODES && unsaid > 0 {
        return Err(format!("{unsaid} of {} are not told of", expected.len()));
    }
    let once: BTreeSet<usize> = named.iter().copied().collect();
    if once.len() != named.len() || !once.is_subset(&expected) {
        return Err("somebody is told of twice, or who was not asked".to_owned());
    }
    let distances = topology::distances(servents, &links, from);
    for (at, servent) in tree.servents.iter().enumerate() {
        let number = numbers[&servent.id];
        let parent = servent.parent.map_or(from, |at| numbers[&tree.servents[at].id]);
        let hops = servent.parent.map_or(0, |at| tree.servents[at].hops) + 1;
        let wrong = [
            !links.contains(&(parent.min(number), parent.max(number))),
            servent.parent.is_some_and(|parent| parent >= at),
            servent.hops != hops || usize::from(hops) < distances[number].unwrap(),
            servent.sent > servent.back || servent.hits != u32::from(servent.asked),
        ];
        if wrong.contains(&true) {
            return Err(format!("{wrong:?}: {servent:?} of parent {parent} is {number}"));
        }
    }
    Ok(())
}

#[test]
fn a_trace_tells_of_everybody_asked_once_and_of_nobody_else() {
    for seed in 0..seeds().min(300) {
        if let Err(what) = one_trace(seed) {
            panic!("seed {seed}: {what}");
        }
    }
}

//! Real servents on hosts of their own, and what happens to meshes: half of one dies, a
//! partition, loss, distance, a servent that freezes, crowds, a bootstrap that goes.
//!
//! After each there is one connected graph within [`HEALING`], every search finds
//! everything and ends because all have answered, and nobody lists the dead. What takes
//! minutes is run by `scripts/failures.sh`; here are the same faults, as short as they
//! can be and still be noticed.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../common/mod.rs"]
mod common;
mod families;
mod mesh;

use std::collections::BTreeSet;
use std::time::Duration;

use common::files::done;
use common::namespace::{Family, Network};
use common::servent::{Start, wait_by, wait_until};
use mesh::{Mesh, listed, obey};
use part2part::servent::report::Relation;
use rustix::process::Signal;
use tokio::time::Instant;

/// How long a mesh has to be whole again, and to forget the dead.
const HEALING: Duration = Duration::from_secs(60);
/// How long a search across a healed partition may take to work, from the healing on.
const ACROSS: Duration = Duration::from_secs(75);
/// Silence after which a neighbour is dead.
const DEAD_AFTER: Duration = Duration::from_secs(90);
const TWO_MINUTES: Duration = Duration::from_secs(120);
/// How long one that was frozen has to be back among the others.
const THAWING: Duration = Duration::from_secs(30);

#[test]
fn the_switch_delays_parts_and_heals() {
    let Some(network) = Network::new(2) else { return };
    let delay = Duration::from_millis(60);
    network.delay(delay);
    let known = network.start(0, Start::default());
    let newcomer = network.start(1, Start::default());
    for family in [Family::V6, Family::V4] {
        done(&newcomer, &["join", &network.invitation(0, &known, family)]);
        wait_until("a round trip that was measured", || {
            newcomer.peers(false).iter().any(|peer| {
                let Relation::Neighbour { round_trip_micros: Some(micros), .. } = peer.relation
                else {
                    return false;
                };
                assert!(Duration::from_micros(micros) >= 2 * delay, "{micros} µs");
                peer.id == known.id()
            })
        });
        network.part(&[0]);
        network.reset_parted();
        wait_until("the end of the link", || newcomer.peers(false).is_empty());
        network.heal();
    }
}

#[test]
fn half_of_the_mesh_is_killed_at_once() {
    let Some(mut mesh) = Mesh::grown(12) else { return };
    mesh.is_whole_by(Instant::now() + HEALING);
    for host in (0..12).step_by(2) {
        mesh.kill9(host);
    }
    mesh.is_whole_by(Instant::now() + HEALING);
}

#[test]
fn a_partition_that_is_noticed_at_once_heals() {
    let Some(mesh) = Mesh::grown(10) else { return };
    mesh.is_whole_by(Instant::now() + HEALING);
    let side: Vec<_> = (0..5).collect();
    mesh.network.part(&side);
    mesh.network.reset_parted();
    wait_until("two meshes, each one connected", || mesh.islands().len() == 2);
    heal(&mesh);
}

#[test]
#[ignore = "two minutes; scripts/failures.sh"]
fn a_partition_of_two_minutes_heals() {
    let Some(mesh) = Mesh::grown(16) else { return };
    mesh.is_whole_by(Instant::now() + HEALING);
    let side: Vec<_> = (0..8).collect();
    mesh.network.part(&side);
    let began = Instant::now();
    let noticed = began + DEAD_AFTER + THAWING;
    wait_by(noticed, "two meshes, each one connected", || mesh.islands().len() == 2);
    wait_out(began + TWO_MINUTES);
    heal(&mesh);
}

/// Heals the partition of `mesh`; all must be as before.
fn heal(mesh: &Mesh) {
    mesh.network.heal();
    let healed = Instant::now();
    wait_by(healed + HEALING, "one mesh again", || mesh.islands().len() == 1);
    mesh.searches_complete_by(healed + ACROSS);
}

#[test]
fn one_packet_of_a_hundred_lost_and_200_milliseconds_stop_nobody() {
    let Some(mut mesh) = Mesh::grown(8) else { return };
    mesh.network.delay(Duration::from_millis(200));
    mesh.network.lose(0.01);
    mesh.is_whole_by(Instant::now() + HEALING);
    mesh.kill9(0);
    mesh.is_whole_by(Instant::now() + HEALING);
}

#[test]
fn a_mesh_forms_over_links_of_200_milliseconds_that_lose_packets() {
    let Some(network) = Network::new(8) else { return };
    network.delay(Duration::from_millis(200));
    network.lose(0.01);
    let mut mesh = Mesh::on(network);
    (0..8).for_each(|host| mesh.settle(host));
    (1..8).for_each(|host| mesh.join(host, 0, Family::V4));
    mesh.is_whole_by(Instant::now() + HEALING);
}

#[test]
fn a_servent_that_freezes_for_a_while_costs_nobody_a_link() {
    let Some(mesh) = Mesh::grown(6) else { return };
    mesh.is_whole_by(Instant::now() + HEALING);
    let frozen = &mesh.living[&3];
    let before: BTreeSet<_> = frozen.peers(false).into_iter().map(|peer| peer.id).collect();
    frozen.signal(Signal::STOP);
    let (_, end) = mesh.living[&0].search(&["--all", "everybody"]);
    assert!(end.lost > 0 || end.by_timer, "it cannot have answered: {end:?}");
    frozen.signal(Signal::CONT);
    mesh.is_whole_by(Instant::now() + HEALING);
    let after = frozen.peers(false).into_iter().map(|peer| peer.id).collect();
    assert!(before.is_subset(&after), "{before:?} {after:?}");
}

#[test]
#[ignore = "two minutes; scripts/failures.sh"]
fn a_servent_that_freezes_for_two_minutes_is_dropped_and_comes_back() {
    let Some(mesh) = Mesh::grown(10) else { return };
    mesh.is_whole_by(Instant::now() + HEALING);
    let frozen = &mesh.living[&3];
    frozen.signal(Signal::STOP);
    let began = Instant::now();
    for (_, servent) in mesh.living.iter().filter(|(host, _)| **host != 3) {
        wait_by(began + DEAD_AFTER + THAWING, "the end of the frozen in the peer lists", || {
            !listed(servent).contains(&frozen.id())
        });
    }
    wait_out(began + TWO_MINUTES);
    frozen.signal(Signal::CONT);
    let thawed = Instant::now();
    wait_by(thawed + THAWING, "the way back", || mesh.islands().len() == 1);
    mesh.is_whole_by(thawed + HEALING);
}

#[test]
fn twenty_joins_a_second_are_a_mesh_in_the_end() {
    joins_a_second(20, Duration::from_secs(4), 8);
}

#[test]
#[ignore = "a minute; scripts/failures.sh"]
fn twenty_joins_a_second_for_a_minute_are_a_mesh_in_the_end() {
    // So many that each knocks no more than once in two seconds.
    joins_a_second(20, Duration::from_secs(60), 40);
}

/// So many servents leave and join anew in turn, at that rate in all; the rest of the mesh
/// stays.
fn joins_a_second(rate: u32, lasting: Duration, turning: usize) {
    const CORE: usize = 4;
    let Some(mesh) = Mesh::grown(CORE + turning) else { return };
    let began = Instant::now();
    let mut joined = 0;
    while began.elapsed() < lasting {
        for host in CORE..CORE + turning {
            let known = &mesh.living[&(joined as usize % CORE)];
            let line = mesh.network.invitation(joined as usize % CORE, known, Family::V4);
            assert!(obey(&mesh.living[&host], "leave"));
            // A door that one address has knocked at too often opens again in a second.
            let joined_by = Instant::now() + HEALING;
            wait_by(joined_by, "a join", || obey(&mesh.living[&host], &format!("join {line}")));
            joined += 1;
            wait_out(began + joined * Duration::from_secs(1) / rate);
        }
    }
    assert!(f64::from(joined) / began.elapsed().as_secs_f64() > f64::from(rate) * 0.5, "{joined}");
    mesh.is_whole_by(Instant::now() + HEALING);
}

#[test]
fn a_bootstrap_may_die_right_after_the_join() {
    let Some(network) = Network::new(9) else { return };
    let mut mesh = Mesh::on(network);
    (0..9).for_each(|host| mesh.settle(host));
    (1..9).for_each(|host| mesh.join(host, 0, Family::V4));
    mesh.kill9(0);
    mesh.is_whole_by(Instant::now() + HEALING);
}

/// Waits for a time that is itself the fault: how long something lasts.
fn wait_out(until: Instant) {
    std::thread::sleep(until.saturating_duration_since(Instant::now()));
}

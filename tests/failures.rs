//! Real servents on hosts of their own, and what a network does to them.

// Helpers outside `#[test]` functions fail a test by panicking as well.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use common::files::done;
use common::namespace::{Family, Network};
use common::servent::{Start, wait_until};
use part2part::servent::report::Relation;

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

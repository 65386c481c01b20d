//! IPv4, IPv6 and both: meshes of one family, and of servents that have one each.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::HEALING;
use super::common::files::{content, done, hash, publish};
use super::common::namespace::{Family, Network};
use super::common::servent::wait_until;
use super::mesh::{Mesh, own_name};
use tokio::time::Instant;

/// Servents on hosts that have only these addresses, joined in a row.
fn all_of(family: Family, other: Family) -> Option<Mesh> {
    let network = Network::new(6)?;
    (0..6).for_each(|host| network.without(host, other));
    let mut mesh = Mesh::on(network);
    for host in 0..6 {
        mesh.settle(host);
        if let Some(known) = host.checked_sub(1) {
            mesh.join(host, known, family);
        }
    }
    Some(mesh)
}

fn is_a_mesh_of(mesh: &Mesh, family: Family) {
    mesh.is_whole_by(Instant::now() + HEALING);
    for servent in mesh.living.values() {
        for peer in servent.peers(false) {
            let known: Vec<_> = peer.addresses.iter().map(SocketAddr::ip).collect();
            assert!(known.iter().all(|ip| ip.is_ipv4() == (family == Family::V4)), "{known:?}");
        }
    }
    downloads(mesh, 5, 0);
}

/// The servent of one host fetches what the one of another publishes now.
fn downloads(mesh: &Mesh, to: usize, from: usize) {
    let bytes = content(from as u8, 300_000);
    publish(&mesh.living[&from], "grand piano.wav", &bytes);
    let taker = &mesh.living[&to];
    wait_until("a hit", || !taker.search(&["--all", "grand", "piano"]).0.is_empty());
    done(taker, &["download", &hash(&bytes), "--wait"]);
    assert_eq!(std::fs::read(taker.downloads().join("grand piano.wav")).unwrap(), bytes);
}

#[test]
fn a_mesh_may_be_of_ipv4_alone() {
    if let Some(mesh) = all_of(Family::V4, Family::V6) {
        is_a_mesh_of(&mesh, Family::V4);
    }
}

#[test]
fn a_mesh_may_be_of_ipv6_alone() {
    if let Some(mesh) = all_of(Family::V6, Family::V4) {
        is_a_mesh_of(&mesh, Family::V6);
    }
}

#[test]
fn servents_of_one_family_each_find_each_other_through_those_of_both() {
    let Some(network) = Network::new(7) else { return };
    // 0, 1, 2 have both families; 3 and 4 only IPv4, 5 and 6 only IPv6.
    [3, 4].into_iter().for_each(|host| network.without(host, Family::V6));
    [5, 6].into_iter().for_each(|host| network.without(host, Family::V4));
    let mut mesh = Mesh::on(network);
    (0..7).for_each(|host| mesh.settle(host));
    mesh.join(1, 0, Family::V6);
    mesh.join(2, 0, Family::V4);
    [3, 4].into_iter().for_each(|host| mesh.join(host, 0, Family::V4));
    [5, 6].into_iter().for_each(|host| mesh.join(host, 0, Family::V6));
    mesh.is_whole_by(Instant::now() + HEALING);

    let (hits, _) = mesh.living[&3].search(&["--all", "everybody"]);
    let found: BTreeSet<_> = hits.into_iter().map(|hit| hit.name).collect();
    assert!(found.contains(&own_name(5)) && found.contains(&own_name(6)), "{found:?}");
    downloads(&mesh, 4, 3);
    downloads(&mesh, 6, 5);
}

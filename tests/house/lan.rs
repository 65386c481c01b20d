//! Servents of one cable find each other.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use part2part::base::ServentId;

use crate::common::servent::{TestServent, wait_until};
use crate::house::{House, address};
use crate::multicast::{Ear, Service, announce};

fn found(servent: &TestServent) -> Option<usize> {
    servent.status().lan
}

#[test]
fn servents_on_one_cable_meet_and_search_without_a_word_typed() {
    let Some(house) = House::new(2) else { return };
    let ear = Ear::on_the_router(&house);
    let mut attic = house.start(0, &["--lan", "--name", "the-attic"]);
    let song = attic.home().join("blue song.txt");
    std::fs::write(&song, "blue").unwrap();
    assert_eq!(attic.ctl(&["publish", song.to_str().unwrap()]).code, 0);
    let cellar = house.start(1, &["--lan", "--name", "the-cellar"]);
    for servent in [&attic, &cellar] {
        servent.wait_for_neighbours(1);
    }
    let (hits, _) = cellar.search(&["blue"]);
    assert_eq!(hits.len(), 1);
    wait_until("each has found the other", || {
        [&attic, &cellar].iter().all(|servent| found(servent) == Some(1))
    });

    let mut said = ear.heard();
    attic.stop();
    wait_until("the goodbye is heard", || found(&cellar) == Some(0));
    said.extend(ear.heard());
    let holds = |packet: &[u8], text: &str| {
        let wanted = text.as_bytes();
        packet.windows(wanted.len()).any(|part| part.eq_ignore_ascii_case(wanted))
    };
    let id = attic.id().to_string();
    assert!(said.iter().any(|packet| holds(packet, &id)), "the ear heard the announcement");
    for secret in ["the-attic", "the-cellar", "blue", "mesh"] {
        assert!(!said.iter().any(|packet| holds(packet, secret)), "{secret} was announced");
    }
}

#[test]
fn a_private_mesh_meets_its_own_and_strangers_stay_outside() {
    let Some(house) = House::new(3) else { return };
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    std::fs::write(&key, "between us\n").unwrap();
    let private = ["--lan", "--network-key", key.to_str().unwrap()];
    let stranger = house.start(2, &["--lan"]);
    let (attic, cellar) = (house.start(0, &private), house.start(1, &private));
    attic.wait_for_neighbours(1);
    cellar.wait_for_neighbours(1);
    wait_until("the stranger has found both", || found(&stranger) == Some(2));
    assert_eq!(stranger.status().neighbours, 0);
    assert_eq!(attic.peers(false).iter().map(|peer| peer.id).collect::<Vec<_>>(), [cellar.id()]);
}

#[test]
fn a_machine_without_a_cable_says_that_it_can_find_nobody() {
    let Some(house) = House::new(2) else { return };
    house.unplug(1);
    let cellar = house.start(1, &["--lan"]);
    wait_until("it says why", || cellar.status().lan_error.is_some());
    let status = cellar.ctl(&["status"]).out;
    assert!(status.contains("nobody can be found: this machine is in no network"), "{status}");
}

#[test]
fn looking_at_the_cable_begins_and_ends_while_a_servent_runs() {
    let Some(house) = House::new(2) else { return };
    let attic = house.start(0, &["--lan"]);
    let cellar = house.start(1, &[]);
    assert_eq!(found(&cellar), None);
    assert_eq!(cellar.ctl(&["set", "lan", "on"]).code, 0);
    cellar.wait_for_neighbours(1);
    wait_until("the attic has found it", || found(&attic) == Some(1));
    assert_eq!(cellar.ctl(&["set", "lan", "off"]).code, 0);
    wait_until("the attic hears its goodbye", || found(&attic) == Some(0));
    assert_eq!((found(&cellar), cellar.status().neighbours), (None, 1));
}

#[test]
fn a_crowd_of_lies_on_the_cable_leads_to_few_dials_and_hides_nobody_for_long() {
    let Some(house) = House::new(4) else { return };
    let attic = house.start(0, &["--lan"]);
    // Port 7272 of a bystander, which the lies name.
    let bystander = house.on(Some(2), || TcpListener::bind((address(2), 7272)).unwrap());
    bystander.set_nonblocking(true).unwrap();
    let ids: Vec<String> = (0..1_000u32)
        .map(|n| {
            let mut key = [9; 32];
            key[..4].copy_from_slice(&n.to_be_bytes());
            ServentId(key).to_string()
        })
        .collect();
    let txts: Vec<Vec<Vec<u8>>> = ids
        .iter()
        .map(|id| {
            let long = [b"x=".to_vec(), vec![b'\x1b'; 200]].concat();
            let honest = [format!("id={id}").into_bytes(), b"v=1".to_vec()];
            honest.into_iter().chain(std::iter::repeat_n(long, 5)).collect()
        })
        .collect();
    let aims = [address(2), Ipv4Addr::new(198, 51, 100, 7), Ipv4Addr::LOCALHOST, address(2)];
    let services: Vec<Service<'_>> = ids
        .iter()
        .zip(&txts)
        .enumerate()
        .map(|(n, (id, txt))| Service { instance: id, txt, at: aims[n % 4], port: 7272 })
        .collect();
    announce(&house, 3, &services);
    wait_until("it believes as many as it remembers", || found(&attic) == Some(256));

    let cellar = house.start(1, &["--lan"]);
    cellar.wait_for_neighbours(1);
    attic.wait_for_neighbours(1);
    let dialled = std::iter::from_fn(|| bystander.accept().ok()).count();
    // The engine's own rule: four in a minute to one neighbourhood that does not answer.
    assert!((1..=8).contains(&dialled), "{dialled} dials");
    let known: BTreeSet<SocketAddr> =
        attic.peers(true).into_iter().flat_map(|peer| peer.addresses).collect();
    assert!(known.iter().all(|at| at.ip() == address(2) || at.ip() == address(1)), "{known:?}");
    assert!(attic.peak_memory() < 128 << 20, "{} bytes", attic.peak_memory());
    assert_eq!(attic.status().incidents.faults, 0);
}

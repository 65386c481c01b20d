//! A servent asks the router of its house for a way in.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use part2part::servent::report::{MappedBy, PortMapping};
use tokio::time::Instant;

use crate::common::servent::{Start, TestServent, wait_until};
use crate::gateway::{self, Gateway, OUTSIDE};
use crate::house::{House, address};
use crate::igd::{self, Igd};

/// The port of the servents here.
const OWN: u16 = 7272;

fn mapping(servent: &TestServent) -> PortMapping {
    servent.status().port_mapping.expect("map-port is on")
}

/// Waits until a port is mapped; where strangers dial, and how it was asked for.
pub(crate) fn mapped(servent: &TestServent) -> (SocketAddr, MappedBy) {
    let mut found = None;
    wait_until("a port is mapped", || {
        if let PortMapping::Mapped { outside, by, .. } = mapping(servent) {
            found = Some((outside, by));
        }
        found.is_some()
    });
    found.unwrap()
}

/// Waits until there is no mapping; why.
fn failed(servent: &TestServent) -> String {
    let mut found = None;
    wait_until("there is no mapping", || {
        if let PortMapping::Failed { why, .. } = mapping(servent) {
            found = Some(why);
        }
        found.is_some()
    });
    found.unwrap()
}

#[test]
fn a_router_that_speaks_pcp_grants_a_port_which_is_told_and_given_back() {
    let Some(house) = House::new(2) else { return };
    let gateway = Gateway::start(&house, gateway::Manner::Pcp, 4);
    let mut servent = house.start(0, &["--map-port"]);
    let outside = SocketAddr::from((OUTSIDE, OWN + 30_000));
    assert_eq!(mapped(&servent), (outside, MappedBy::Pcp));
    assert_eq!(servent.status().addresses.first(), Some(&outside));
    let invitation = servent.ctl(&["invite"]).out;
    assert!(invitation.contains(&format!("@{outside},")), "{invitation}");
    let status = servent.ctl(&["status"]).out;
    assert!(status.contains(&format!("mapping    {outside} by PCP, renewed in ")), "{status}");

    // Whom it is linked with learns the way in, and still dials it near by where it listens.
    let friend = house.start(1, &["--join", &format!("{}@{}:{OWN}", servent.id(), address(0))]);
    friend.wait_for_neighbours(1);
    let known = friend.peers(false).remove(0).addresses;
    assert_eq!(known[0], SocketAddr::from((address(0), OWN)));
    assert!(known.contains(&outside), "{known:?}");

    let granted = || gateway.mapping(address(0), OWN);
    wait_until("it is renewed", || granted().unwrap().asked >= 2);
    servent.stop();
    assert_eq!(granted(), None, "given back at the end");
}

#[test]
fn a_servent_that_was_killed_gets_its_own_mapping_back() {
    let Some(house) = House::new(1) else { return };
    let gateway = Gateway::start(&house, gateway::Manner::Pcp, 7_200);
    let mut servent = house.start(0, &["--map-port"]);
    let before = mapped(&servent);
    servent.kill9();
    assert!(gateway.mapping(address(0), OWN).is_some(), "nobody gave it back");
    servent.restart();
    assert_eq!(mapped(&servent), before);
    // Another servent of the same machine has a port of its own.
    let stranger = house.start_at(0, OWN + 1, &["--map-port"]);
    assert_ne!(mapped(&stranger), before);
}

#[test]
fn a_router_older_than_pcp_is_asked_by_nat_pmp() {
    let Some(house) = House::new(1) else { return };
    let gateway = Gateway::start(&house, gateway::Manner::NatPmp, 7_200);
    let mut servent = house.start(0, &[]);
    assert_eq!(servent.status().port_mapping, None);
    assert_eq!(gateway.heard(), 0, "nobody is asked unless that is wanted");
    assert_eq!(servent.ctl(&["set", "map-port", "on"]).code, 0);
    let outside = SocketAddr::from((OUTSIDE, OWN + 30_000));
    assert_eq!(mapped(&servent), (outside, MappedBy::NatPmp));

    let granted = || gateway.mapping(address(0), OWN);
    assert_eq!(servent.ctl(&["set", "map-port", "off"]).code, 0);
    wait_until("given back when it is not wanted any more", || granted().is_none());
    assert_eq!(servent.status().port_mapping, None);
    assert!(!servent.status().addresses.contains(&outside));
    assert_eq!(servent.ctl(&["set", "map-port", "on"]).code, 0);
    mapped(&servent);
    servent.stop();
    assert_eq!(granted(), None, "and at the end");
}

#[test]
fn a_router_that_refuses_is_named_with_what_to_do() {
    let Some(house) = House::new(1) else { return };
    let gateway = Gateway::start(&house, gateway::Manner::Refusing, 7_200);
    let servent = house.start(0, &["--map-port"]);
    let why = failed(&servent);
    let wanted = "the gateway 198.18.77.1 refuses (PCP: not authorized); allow port mapping in \
                  its settings, or forward TCP port 7272 there by hand";
    assert_eq!(why, wanted);
    gateway.become_minded(gateway::Manner::Raving);
    assert_eq!(servent.ctl(&["set", "map-port", "off"]).code, 0);
    assert_eq!(servent.ctl(&["set", "map-port", "on"]).code, 0);
    let why = failed(&servent);
    assert!(why.starts_with("the gateway 198.18.77.1 refuses (PCP: invalid response"), "{why}");
    assert_eq!(servent.status().incidents.faults, 0);
}

#[test]
fn a_router_that_says_nothing_holds_nothing_up() {
    let Some(house) = House::new(1) else { return };
    let gateway = Gateway::start(&house, gateway::Manner::Silent, 7_200);
    let mut servent = house.start(0, &["--map-port"]);
    wait_until("it is asked", || gateway.heard() > 0);
    assert_eq!(mapping(&servent), PortMapping::Asking, "it runs meanwhile");
    let why = failed(&servent);
    let wanted = "no gateway answers (tried PCP, NAT-PMP and UPnP at 198.18.77.1); forward TCP \
                  port 7272 in the router by hand";
    assert_eq!(why, wanted);
    let began = Instant::now();
    servent.stop();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[test]
fn a_router_that_speaks_upnp_alone_maps_a_port_for_a_while_or_for_ever() {
    for (manner, life) in [(igd::Manner::Honest, 7_200), (igd::Manner::Permanent, 0)] {
        let Some(house) = House::new(1) else { return };
        let router = Igd::start(&house, None, manner);
        let mut servent = house.start(0, &["--map-port"]);
        assert_eq!(mapped(&servent), (SocketAddr::from((OUTSIDE, OWN)), MappedBy::Upnp));
        assert_eq!(router.mapped(), [(OWN, format!("{}:{OWN}", address(0)), life)]);
        servent.stop();
        assert_eq!(router.mapped(), [], "given back at the end");
    }
}

#[test]
fn an_upnp_router_that_refuses_is_named() {
    let Some(house) = House::new(1) else { return };
    let _router = Igd::start(&house, None, igd::Manner::Refusing);
    let servent = house.start(0, &["--map-port"]);
    let why = failed(&servent);
    assert!(why.starts_with("the gateway 198.18.77.1 refuses (UPnP: "), "{why}");
    assert!(why.contains("not authorized"), "{why}");
}

#[test]
fn nobody_but_the_router_is_spoken_to_whoever_answers_a_search() {
    let Some(house) = House::new(3) else { return };
    // The router sends us to a bystander, and a neighbour would be the router.
    let bystander = house.on(Some(1), || TcpListener::bind((address(1), 5000)).unwrap());
    bystander.set_nonblocking(true).unwrap();
    let router = Igd::start(&house, None, igd::Manner::PointsAt(address(1)));
    let neighbour = Igd::start(&house, Some(2), igd::Manner::Honest);
    let servent = house.start(0, &["--map-port"]);
    let why = failed(&servent);
    assert!(why.starts_with("no gateway answers"), "{why}");
    assert!(bystander.accept().is_err(), "the bystander was spoken to");
    assert_eq!((router.actions().len(), neighbour.actions().len()), (0, 0));
}

#[test]
fn an_endless_description_is_given_up_in_time_and_in_memory() {
    let Some(house) = House::new(1) else { return };
    let router = Igd::start(&house, None, igd::Manner::Endless);
    let servent = house.start(0, &["--map-port"]);
    let why = failed(&servent);
    assert!(why.contains("198.18.77.1"), "{why}");
    assert!(!router.actions().is_empty(), "it was asked for its description");
    assert!(servent.peak_memory() < 96 << 20, "{} bytes", servent.peak_memory());
    assert_eq!(servent.status().incidents.faults, 0);
}

#[test]
fn a_machine_without_a_router_says_so() {
    let servent = TestServent::start(Start {
        listen: Some(SocketAddr::from(([127, 0, 0, 1], 0))),
        ..Start::with(&["--map-port", "--lan"])
    });
    let why = failed(&servent);
    assert!(why.starts_with("this servent listens where only this machine can dial it"), "{why}");
}

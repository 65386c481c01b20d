//! Newcomers find places in the middle of links, and the degrees stay as they are.

use super::*;

/// The byes that make room, each with its link and whom it names first.
fn byes(out: &[Output]) -> Vec<(u64, Option<ServentId>)> {
    let byes = sent(out).into_iter().filter_map(|(link, message)| match message {
        LinkMessage::Bye(Bye { reason: ByeReason::Full, contacts, .. }) => {
            Some((link, contacts.first().map(|aged| aged.contact.id)))
        }
        _ => None,
    });
    byes.collect()
}

fn dials(out: &[Output]) -> Vec<ServentId> {
    let dials = out.iter().filter_map(|output| match output {
        Output::Dial { contact, .. } => Some(contact.id),
        _ => None,
    });
    dials.collect()
}

fn full(named: &[u8]) -> LinkMessage {
    let contacts = named.iter().map(|&n| AgedContact { contact: peer(n).contact, age_secs: 0 });
    let contacts = contacts.collect();
    LinkMessage::Bye(Bye { reason: ByeReason::Full, contacts, ext: vec![] })
}

#[test]
fn a_newcomer_is_introduced_by_walks() {
    let mut overlay = with_neighbours(3);
    let newcomer = Input::Accepted { link: link(9), peer: peer(9), purpose: Purpose::Join };
    let out = tell(&mut overlay, at(1), newcomer);
    let walks: Vec<u64> = sent(&out)
        .into_iter()
        .filter(|(_, message)| matches!(message, LinkMessage::ForwardJoin(_)))
        .map(|(link, _)| link)
        .collect();
    assert_eq!(walks.len(), 5);
    assert!(walks.iter().all(|link| *link != 9));
}

#[test]
fn who_has_enough_links_splits_one_for_the_newcomer_it_dialled() {
    let walked = |n: u8| Input::Dialled {
        link: link(n),
        peer: peer(n),
        purpose: Purpose::Refill { isolated: false },
        contacts: vec![],
    };
    let mut overlay = with_neighbours(9);
    assert_eq!(byes(&tell(&mut overlay, at(1), walked(20))), [], "a tenth has room");
    let out = tell(&mut overlay, at(1), walked(21));
    let made = byes(&out);
    assert!(matches!(made[..], [(1..=9, Some(ServentId([21, ..])))]), "{made:?}");
    assert_eq!(overlay.neighbours().len(), 10);
    // A crowd gets no more links than the rate allows, however many of it we dial.
    let out: Vec<_> = (22..=40).flat_map(|n| tell(&mut overlay, at(1), walked(n))).collect();
    let old = byes(&out).into_iter().filter(|&(link, _)| link < 20).count();
    assert_eq!((old, overlay.neighbours().len()), (3, 14), "the rest of the burst");
}

#[test]
fn who_joins_at_a_full_servent_takes_the_place_of_one_and_a_refill_takes_nobodys() {
    let mut overlay = with_neighbours(10);
    let accepted = |n: u8, purpose| Input::Accepted { link: link(n), peer: peer(n), purpose };
    let refill = accepted(20, Purpose::Refill { isolated: false });
    assert_eq!(byes(&tell(&mut overlay, at(1), refill)), []);
    let made = byes(&tell(&mut overlay, at(1), accepted(21, Purpose::Join)));
    assert!(matches!(made[..], [(1..=20, Some(ServentId([21, ..])))]), "{made:?}");
    assert_eq!(overlay.neighbours().len(), 11);
}

#[test]
fn who_is_let_go_dials_the_newcomer_that_it_is_named_only_if_it_needs_somebody() {
    let mut overlay = with_neighbours(8);
    let out = tell(&mut overlay, at(1), from(1, full(&[30, 31, 32])));
    assert_eq!(dials(&out), [ServentId([30; 32])]);
    let mut overlay = with_neighbours(9);
    let out = tell(&mut overlay, at(1), from(1, full(&[30, 31, 32])));
    assert_eq!(dials(&out), []);
    // Nor a neighbour, nor itself, nor what is nobody's business.
    let mut overlay = with_neighbours(8);
    let out = tell(&mut overlay, at(1), from(1, full(&[2])));
    assert_eq!(dials(&out), []);
}

#[test]
fn a_feeler_finds_out_that_somebody_has_left() {
    let mut overlay = with_neighbours(2);
    tell(&mut overlay, at(1), Input::Leave);
    let probe = Input::Accepted { link: link(9), peer: peer(9), purpose: Purpose::Probe };
    let out = tell(&mut overlay, at(2), probe);
    assert!(
        matches!(&out[..], [
        Output::Greet { greeting: Greeting::Redirect(redirect), .. },
        Output::Close { .. },
    ] if redirect.contacts.is_empty()),
        "{out:?}"
    );
}

#[test]
fn one_network_is_not_dialled_into_the_places_of_others() {
    let mut overlay = with_neighbours(10);
    let walked = |n: u8| {
        let seen = SocketAddr::from(([203, 0, 113, n], 7272));
        let contact = Contact::new(ServentId([n; 32]), [seen]);
        let peer = Peer { contact, name: String::new(), seen };
        let purpose = Purpose::Refill { isolated: false };
        Input::Dialled { link: link(n), peer, purpose, contacts: vec![] }
    };
    let mut gone = 0;
    for n in 20..60 {
        let now = at(u64::from(n));
        let out = tell(&mut overlay, now, walked(n));
        gone += byes(&out).into_iter().filter(|&(link, _)| link < 20).count();
    }
    assert_eq!(gone, 1);
}

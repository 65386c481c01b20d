//! What is told to who draws a map.

use super::*;
use crate::message::{Greeting, Living};
use crate::overlay::config::{SURVEY_BURST, SURVEY_EVERY};

/// What `n` is told, who draws a map: the neighbours, or nothing.
fn crawl(overlay: &mut Overlay, now: Time, n: u8) -> Option<(Living, Vec<ServentId>)> {
    let peer = peer(n);
    let link = LinkId(1000 + u64::from(n));
    let out = tell(overlay, now, Input::Crawled { link, peer });
    assert!(closed(&out).contains(&link.0), "a connection of a map ends after the welcome");
    let welcome = out.into_iter().find_map(|output| match output {
        Output::Greet { link: at, greeting: Greeting::Welcome(welcome) } if at == link => {
            Some(welcome)
        }
        _ => None,
    });
    let welcome = welcome.unwrap();
    let ids = welcome.contacts.iter().map(|aged| aged.contact.id).collect();
    let living = Living::of(&welcome.ext);
    assert!(living.is_some() || welcome.contacts.is_empty());
    Some((living?, ids))
}

#[test]
fn who_draws_a_map_is_told_the_living_neighbours_without_itself_once_in_a_while() {
    let mut overlay = with_neighbours(5);
    let (living, mut ids) = crawl(&mut overlay, at(1), 3).unwrap();
    ids.sort();
    assert_eq!(living, Living { listed: 4, all: 4 });
    assert_eq!(ids, [1, 2, 4, 5].map(|n| ServentId([n; 32])));
    assert_eq!(crawl(&mut overlay, at(2), 3), None);
    assert!(crawl(&mut overlay, at(2), 77).is_some(), "another one is");
    let later = at(1) + SURVEY_EVERY;
    tell(&mut overlay, at(1), Input::LinkLost { link: link(1) });
    assert!(crawl(&mut overlay, later, 3).is_some());
    assert_eq!(overlay.neighbours().filter(|n| n.id() == ServentId([77; 32])).count(), 0);
}

#[test]
fn who_only_looks_whether_somebody_is_there_is_named_nobody_and_may_still_ask() {
    let mut overlay = with_neighbours(5);
    for n in 0..5 {
        let (link, peer) = (LinkId(500 + n), peer(3));
        let out =
            tell(&mut overlay, at(1), Input::Accepted { link, peer, purpose: Purpose::Probe });
        assert_eq!(closed(&out), [link.0]);
        let [Output::Greet { greeting: Greeting::Welcome(welcome), .. }, _] = &out[..] else {
            panic!("{out:?}")
        };
        assert_eq!((welcome.contacts.len(), welcome.ext.len()), (0, 0));
    }
    let (living, _) = crawl(&mut overlay, at(2), 3).unwrap();
    assert_eq!(living, Living { listed: 4, all: 4 });
}

#[test]
fn no_more_neighbours_are_named_than_a_welcome_has_room_for() {
    let config = Config { max_degree: 40, ..Config::default() };
    let mut overlay = overlay(config);
    for n in 1..=20 {
        let purpose = Purpose::Refill { isolated: false };
        tell(&mut overlay, at(0), Input::Accepted { link: link(n), peer: peer(n), purpose });
    }
    let (living, ids) = crawl(&mut overlay, at(1), 200).unwrap();
    assert_eq!((living, ids.len()), (Living { listed: 16, all: 20 }, 16));
}

#[test]
fn a_crowd_of_mappers_is_not_told_without_end() {
    let mut overlay = with_neighbours(2);
    let told = (100..=250).filter(|&n| crawl(&mut overlay, at(1), n).is_some());
    assert_eq!(told.count() as u64, SURVEY_BURST);
}

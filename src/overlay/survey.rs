//! What is told to who draws a map: who the living neighbours are. Feelers and those who
//! dial back do not ask, and so use up nobody's answer.
//!
//! Always true: nobody is told twice within [`SURVEY_EVERY`], and few are told at all, so
//! that who collects the mesh learns of it slowly. Who is declined gets the bare welcome,
//! which proves that somebody is here.

use std::collections::VecDeque;

use rand::seq::SliceRandom;

use super::config::{FRESH, SURVEY_BURST, SURVEY_EVERY, SURVEY_RATE};
use super::membership::Membership;
use super::{LinkId, Output, Peer};
use crate::base::{Bucket, ServentId, Time};
use crate::message::{AgedContact, Extensions, Greeting, Living, Welcome};

/// Who was told, and when; the oldest first. The rate bounds it.
#[derive(Debug)]
pub(super) struct Survey {
    told: VecDeque<(Time, ServentId)>,
    rate: Bucket,
}

impl Survey {
    pub(super) fn new(now: Time) -> Self {
        let rate = Bucket::new(SURVEY_RATE, SURVEY_BURST, now);
        Self { told: VecDeque::new(), rate }
    }

    fn admits(&mut self, now: Time, id: ServentId) -> bool {
        while self.told.front().is_some_and(|&(at, _)| now.since(at) >= SURVEY_EVERY) {
            self.told.pop_front();
        }
        let admitted = self.told.iter().all(|(_, told)| *told != id) && self.rate.take(now, 1);
        if admitted {
            self.told.push_back((now, id));
        }
        admitted
    }
}

impl Membership {
    /// Somebody wants to know who is around.
    pub(super) fn on_crawled(
        &mut self,
        now: Time,
        link: LinkId,
        peer: &Peer,
        out: &mut Vec<Output>,
    ) {
        let id = peer.contact.id;
        let (mut contacts, mut ext) = (Vec::new(), Extensions::new());
        if self.survey.admits(now, id) {
            let living = self.neighbours.iter().filter(|n| n.id() != id);
            let living = living.filter(|n| now.since(n.heard) <= FRESH);
            contacts = living
                .map(|n| {
                    let mut contact = n.peer.contact.clone();
                    if n.dialable == Some(false) {
                        contact.addresses.clear(); // it is there, but nobody need try
                    }
                    AgedContact { contact, age_secs: 0 }
                })
                .collect();
            contacts.shuffle(&mut self.rng);
            let all = u16::try_from(contacts.len()).unwrap_or(u16::MAX);
            contacts.truncate(AgedContact::MAX_GREETING);
            let listed = u8::try_from(contacts.len()).unwrap_or(u8::MAX);
            ext = Living { listed, all }.to_extensions();
        }
        let welcome = Welcome { your_address: peer.seen, contacts, ext };
        out.push(Output::Greet { link, greeting: Greeting::Welcome(welcome) });
        out.push(Output::Close { link });
    }
}

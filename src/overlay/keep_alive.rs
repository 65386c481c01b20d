//! Whether a neighbour is still there, how far it is, and what it shares.
//!
//! Always true: a link that is silent for [`PING_AFTER`] is pinged, one that stays silent
//! until [`DEAD_AFTER`] is dropped; a busy link is pinged as well, every [`PING_EVERY`],
//! because a pong also brings the round trip and what the neighbour shares by now.

use rand::RngExt;

use super::config::{DEAD_AFTER, PING_AFTER, PING_EVERY, STRIKE};
use super::membership::{DownReason, Membership};
use super::neighbours::Neighbour;
use super::{LinkId, Output};
use crate::base::Time;
use crate::message::{LinkMessage, Ping, Pong, Shares};

/// When something is due for `neighbour`: a ping, or its end.
pub(super) fn due(neighbour: &Neighbour) -> Time {
    match neighbour.ping {
        Some(_) => neighbour.heard + DEAD_AFTER,
        None => (neighbour.heard + PING_AFTER).min(neighbour.pinged + PING_EVERY),
    }
}

impl Membership {
    /// Sends a ping, whose pong will tell the round trip.
    pub(super) fn ping(&mut self, now: Time, link: LinkId, out: &mut Vec<Output>) {
        let nonce = self.rng.random();
        let Some(neighbour) = self.neighbours.find_mut(link) else { return };
        neighbour.ping = Some((nonce, now));
        neighbour.pinged = now;
        let ping = Ping { nonce, ext: self.shares.to_extensions() };
        out.push(Output::Send { link, message: LinkMessage::Ping(ping) });
    }

    pub(super) fn on_ping(&mut self, link: LinkId, ping: &Ping, out: &mut Vec<Output>) {
        self.note_shares(link, Shares::of(&ping.ext));
        let pong = Pong { nonce: ping.nonce, ext: self.shares.to_extensions() };
        out.push(Output::Send { link, message: LinkMessage::Pong(pong) });
    }

    pub(super) fn on_pong(&mut self, now: Time, link: LinkId, pong: &Pong) {
        self.note_shares(link, Shares::of(&pong.ext));
        let Some(neighbour) = self.neighbours.find_mut(link) else { return };
        match neighbour.ping.take() {
            Some((sent, at)) if sent == pong.nonce => {
                neighbour.round_trip = Some(now.since(at));
                let id = neighbour.id();
                self.book.heard(now, id);
            }
            other => {
                neighbour.ping = other;
                self.neighbours.strike(now, link, STRIKE);
            }
        }
    }

    fn note_shares(&mut self, link: LinkId, shares: Option<Shares>) {
        if let (Some(neighbour), Some(shares)) = (self.neighbours.find_mut(link), shares) {
            neighbour.shares = Some(shares);
        }
    }

    /// Pings whom it is time to ping, and drops the dead.
    pub(super) fn keep_alive(&mut self, now: Time, out: &mut Vec<Output>) {
        let (mut dead, mut pinged) = (Vec::new(), Vec::new());
        for neighbour in self.neighbours.iter() {
            let silent = now.since(neighbour.heard);
            let unanswered = neighbour.ping.map(|(_, at)| now.since(at));
            if silent >= DEAD_AFTER {
                dead.push(neighbour.link);
            } else if unanswered.is_none_or(|waits| waits >= PING_AFTER)
                && (silent >= PING_AFTER || now.since(neighbour.pinged) >= PING_EVERY)
            {
                pinged.push(neighbour.link);
            }
        }
        for link in pinged {
            self.ping(now, link, out);
        }
        for link in dead {
            out.push(Output::Close { link });
            self.drop_link(now, link, DownReason::Silent, out);
        }
    }
}

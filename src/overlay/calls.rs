//! Calls: how a servent that nobody can dial is asked to dial the searcher.
//!
//! A call goes back the way that the hit came, and only that way: its relays know the two
//! links of each hit that they passed on, and nobody's address. Its asker shows its own
//! contact to the relays of this one way and to the hit's author, when it wants a file of
//! that author and not before.
//!
//! Always true: a call passes on only over a link that brought the hit, and only if it came
//! by the link over which the hit went; it is dialled by the hit's author alone, as a
//! stranger's word, under the rules of all such dials. At most [`CALLS_PER_WAY`] calls take
//! one way; each link, the relaying and the dialling have their rates.
//!
//! [`CALLS_PER_WAY`]: super::config::CALLS_PER_WAY

use std::net::SocketAddr;

use super::address::dialable;
use super::config::{
    CALL_DIAL_BURST, CALL_DIAL_RATE, CALL_RELAY_BURST, CALL_RELAY_RATE, MAX_CALLING, ODD, STRIKE,
};
use super::dialling::Dialling;
use super::neighbours::Neighbours;
use super::ways::Ways;
use super::{Event, LinkId, Output};
use crate::base::{Bucket, Contact, ServentId, Time};
use crate::message::{CallMe, LinkMessage};

#[derive(Debug)]
pub(super) struct Calls {
    id: ServentId,
    relayed: Bucket,
    dialled: Bucket,
    /// Dials that calls have set off and that have not ended.
    under_way: usize,
}

impl Calls {
    pub(super) fn new(id: ServentId, now: Time) -> Self {
        Self {
            id,
            relayed: Bucket::new(CALL_RELAY_RATE, CALL_RELAY_BURST, now),
            dialled: Bucket::new(CALL_DIAL_RATE, CALL_DIAL_BURST, now),
            under_way: 0,
        }
    }

    /// The user's side wants the author of a hit to dial us.
    pub(super) fn call(
        now: Time,
        neighbours: &Neighbours,
        ways: &mut Ways,
        call: CallMe,
        out: &mut Vec<Output>,
    ) {
        let way = ways.find(now, call.guid, call.responder).filter(|way| way.to.is_none());
        let link = way.and_then(|way| way.from).filter(|&link| neighbours.find(link).is_some());
        match link {
            Some(link) if ways.take_call(call.guid, call.responder) => {
                out.push(Output::Send { link, message: LinkMessage::CallMe(call) });
            }
            _ => out.push(Output::Event(Event::CallUnsent { token: call.token })),
        }
    }

    /// A call that came by `link`.
    pub(super) fn on_call(
        &mut self,
        now: Time,
        neighbours: &mut Neighbours,
        ways: &mut Ways,
        dialling: &mut Dialling,
        (link, call): (LinkId, CallMe),
        out: &mut Vec<Output>,
    ) {
        let Some(neighbour) = neighbours.find_mut(link) else { return };
        let giver = neighbour.peer.seen.ip();
        let within = neighbour.calls.take(now, 1);
        let (guid, responder) = (call.guid, call.responder);
        let Some(way) = ways.find(now, guid, responder).filter(|_| within) else {
            neighbours.strike(now, link, ODD); // too many; or we have forgotten
            return;
        };
        if way.to != Some(link) {
            neighbours.strike(now, link, STRIKE); // that hit was never sent there
            return;
        }
        if !ways.take_call(guid, responder) {
            neighbours.strike(now, link, ODD);
            return;
        }
        let Some(onward) = way.from else {
            return self.answer(now, dialling, giver, call, out);
        };
        if neighbours.find(onward).is_some() && self.relayed.take(now, 1) {
            out.push(Output::Send { link: onward, message: LinkMessage::CallMe(call) });
        }
    }

    /// A call for us: dials the asker, if that may be dialled on a stranger's word.
    fn answer(
        &mut self,
        now: Time,
        dialling: &mut Dialling,
        giver: std::net::IpAddr,
        call: CallMe,
        out: &mut Vec<Output>,
    ) {
        let CallMe { asker: Contact { id, addresses }, token, .. } = call;
        let usable = addresses.into_iter().filter(|&address| dialable(address, giver));
        let mut contact = Contact::new(id, usable);
        if id == self.id
            || self.under_way >= MAX_CALLING
            || contact.addresses.is_empty()
            || !self.dialled.take(now, 1)
            || !dialling.admit(now, &mut contact)
        {
            return; // it asks again, or somebody else
        }
        self.under_way += 1;
        out.push(Output::Call { contact, token });
    }

    /// A dial that a call has set off has ended; `seen` is where it was answered, if it was.
    pub(super) fn on_called(&mut self, dialling: &mut Dialling, seen: Option<SocketAddr>) {
        self.under_way = self.under_way.saturating_sub(1);
        if let Some(seen) = seen {
            dialling.acquit(&seen);
        }
    }
}

//! What the documentation of the messages promises, kept: counts, lengths, ranges.
//!
//! Both ends check: the receiver, since a stranger wrote it; the sender, so that it
//! finds its own mistakes before the peer closes the connection over them.

use std::net::SocketAddr;

use super::error::Fault;
use crate::base::piece::MAX_PIECE;
use crate::base::{Contact, FileName};
use crate::message::{
    AgedContact, Browse, Bye, CallMe, Cancel, Data, Describe, DialBack, DialledBack, Entry,
    ForwardJoin, Have, Hello, HitBody, Listed, Listing, Manifest, PieceRange, Ping, Pong,
    QueryBody, QueryDone, Queued, Redirect, Refused, Request, Shuffle, ShuffleReply, Sources,
    Thanks, Welcome,
};

/// A body whose values can be judged and set in order.
pub(super) trait Checked {
    /// Whether a peer may say this.
    fn check(&self) -> Result<(), Fault> {
        Ok(())
    }

    /// Brings what was received into the one form that the rooms above expect.
    fn tidy(&mut self) {}
}

fn at_most(what: &'static str, count: usize, max: usize) -> Result<(), Fault> {
    if count > max { Err(Fault::TooMany { what, count, max }) } else { Ok(()) }
}

fn some_of(what: &'static str, count: usize) -> Result<(), Fault> {
    if count == 0 { Err(Fault::None { what }) } else { Ok(()) }
}

fn short_text(what: &'static str, text: &str) -> Result<(), Fault> {
    let (len, max) = (text.len(), Hello::MAX_TEXT);
    if len > max { Err(Fault::LongText { what, len, max }) } else { Ok(()) }
}

fn own_name(what: &'static str, name: &str) -> Result<(), Fault> {
    let (len, max) = (name.len(), FileName::MAX_LEN);
    match len {
        0 => Err(Fault::ShortText { what, len, min: 1 }),
        len if len > max => Err(Fault::LongText { what, len, max }),
        _ => Ok(()),
    }
}

fn addresses(list: &[SocketAddr]) -> Result<(), Fault> {
    at_most("addresses", list.len(), Contact::MAX_ADDRESSES)
}

fn contacts(list: &[AgedContact], max: usize) -> Result<(), Fault> {
    at_most("contacts", list.len(), max)?;
    list.iter().try_for_each(|aged| addresses(&aged.contact.addresses))
}

fn ranges(list: &[PieceRange]) -> Result<(), Fault> {
    at_most("ranges", list.len(), Request::MAX_RANGES)?;
    list.iter().try_for_each(|range| {
        some_of("pieces in a range", range.count as usize)?;
        match range.first.checked_add(range.count) {
            Some(_) => Ok(()),
            None => Err(Fault::PastEnd { what: "pieces" }),
        }
    })
}

/// IPv4 addresses in IPv6 clothing undressed.
fn undress(list: &mut [SocketAddr]) {
    list.iter_mut().for_each(|address| address.set_ip(address.ip().to_canonical()));
}

fn undress_contact(aged: &mut AgedContact) {
    let contact = &mut aged.contact;
    *contact = Contact::new(contact.id, std::mem::take(&mut contact.addresses));
}

impl Checked for Hello {
    fn check(&self) -> Result<(), Fault> {
        addresses(&self.addresses)?;
        short_text("agent", &self.agent)?;
        short_text("name", &self.name)
    }

    fn tidy(&mut self) {
        undress(&mut self.addresses);
    }
}

impl Checked for Welcome {
    fn check(&self) -> Result<(), Fault> {
        contacts(&self.contacts, AgedContact::MAX_GREETING)
    }

    fn tidy(&mut self) {
        undress(std::slice::from_mut(&mut self.your_address));
        self.contacts.iter_mut().for_each(undress_contact);
    }
}

impl Checked for Redirect {
    fn check(&self) -> Result<(), Fault> {
        contacts(&self.contacts, AgedContact::MAX_GREETING)
    }

    fn tidy(&mut self) {
        self.contacts.iter_mut().for_each(undress_contact);
    }
}

impl Checked for Ping {}
impl Checked for Pong {}

impl Checked for Bye {
    fn check(&self) -> Result<(), Fault> {
        contacts(&self.contacts, AgedContact::MAX_GREETING)
    }

    fn tidy(&mut self) {
        self.contacts.iter_mut().for_each(undress_contact);
    }
}

impl Checked for ForwardJoin {
    fn check(&self) -> Result<(), Fault> {
        addresses(&self.newcomer.contact.addresses)
    }

    fn tidy(&mut self) {
        self.walk = self.walk.min(Self::MAX_WALK);
        undress_contact(&mut self.newcomer);
    }
}

impl Checked for Shuffle {
    fn check(&self) -> Result<(), Fault> {
        contacts(&self.contacts, AgedContact::MAX_SHUFFLE)
    }

    fn tidy(&mut self) {
        self.contacts.iter_mut().for_each(undress_contact);
    }
}

impl Checked for ShuffleReply {
    fn check(&self) -> Result<(), Fault> {
        contacts(&self.contacts, AgedContact::MAX_SHUFFLE)
    }

    fn tidy(&mut self) {
        self.contacts.iter_mut().for_each(undress_contact);
    }
}

impl Checked for QueryBody {
    fn check(&self) -> Result<(), Fault> {
        let len = self.text.len();
        if len < Self::MIN_TEXT {
            return Err(Fault::ShortText { what: "query", len, min: Self::MIN_TEXT });
        }
        if len > Self::MAX_TEXT {
            return Err(Fault::LongText { what: "query", len, max: Self::MAX_TEXT });
        }
        at_most("words", self.text.split_whitespace().count(), Self::MAX_WORDS)
    }
}

impl Checked for HitBody {
    fn check(&self) -> Result<(), Fault> {
        addresses(&self.addresses)?;
        short_text("name", &self.name)?;
        some_of("hits", self.hits.len())?;
        at_most("hits", self.hits.len(), Self::MAX_HITS)?;
        self.hits.iter().try_for_each(|hit| own_name("file name", &hit.name))
    }

    fn tidy(&mut self) {
        undress(&mut self.addresses);
    }
}

impl Checked for QueryDone {}
impl Checked for DialBack {}
impl Checked for DialledBack {}

impl Checked for CallMe {
    fn check(&self) -> Result<(), Fault> {
        addresses(&self.asker.addresses)
    }

    fn tidy(&mut self) {
        let asker = &mut self.asker;
        *asker = Contact::new(asker.id, std::mem::take(&mut asker.addresses));
    }
}

impl Checked for Describe {}

impl Checked for Manifest {
    fn check(&self) -> Result<(), Fault> {
        at_most("piece values", self.values.len(), Self::PART)
    }
}

impl Checked for Request {
    fn check(&self) -> Result<(), Fault> {
        ranges(&self.pieces)
    }
}

impl Checked for Cancel {
    fn check(&self) -> Result<(), Fault> {
        ranges(&self.pieces)
    }
}

impl Checked for Queued {}
impl Checked for Refused {}
impl Checked for Thanks {}

impl Checked for Have {
    fn check(&self) -> Result<(), Fault> {
        match self.pieces() {
            Some(_) => Ok(()),
            None => Err(Fault::PastEnd { what: "pieces" }),
        }
    }
}

impl Checked for Sources {
    fn check(&self) -> Result<(), Fault> {
        some_of("contacts", self.contacts.len())?;
        at_most("contacts", self.contacts.len(), Self::MAX_CONTACTS)?;
        self.contacts.iter().try_for_each(|contact| addresses(&contact.addresses))
    }

    fn tidy(&mut self) {
        for contact in &mut self.contacts {
            *contact = Contact::new(contact.id, std::mem::take(&mut contact.addresses));
        }
    }
}

impl Checked for Browse {
    fn check(&self) -> Result<(), Fault> {
        let (len, max) = (self.folder.len(), Self::MAX_FOLDER);
        if len > max {
            return Err(Fault::LongText { what: "folder", len, max });
        }
        at_most("bytes of a cursor", self.cursor.len(), Listing::MAX_CURSOR)
    }
}

impl Checked for Listing {
    fn check(&self) -> Result<(), Fault> {
        let Listed::Page { entries, next } = &self.outcome else { return Ok(()) };
        at_most("entries", entries.len(), Self::MAX_ENTRIES)?;
        if let Some(cursor) = next {
            some_of("bytes of a cursor", cursor.len())?;
            at_most("bytes of a cursor", cursor.len(), Self::MAX_CURSOR)?;
        }
        entries.iter().try_for_each(|entry| match entry {
            Entry::Folder { name, .. } => own_name("folder name", name),
            Entry::File(hit) => own_name("file name", &hit.name),
        })
    }
}

impl Checked for Data {
    fn check(&self) -> Result<(), Fault> {
        check_bytes(self.offset, self.bytes.len())
    }
}

/// Whether so many bytes may come in one frame, and be of a piece from `offset` on.
pub(super) fn check_bytes(offset: u32, len: usize) -> Result<(), Fault> {
    some_of("bytes", len)?;
    at_most("bytes", len, Data::MAX_LEN)?;
    let end = u64::from(offset) + len as u64;
    if end > MAX_PIECE { Err(Fault::PastEnd { what: "bytes of a piece" }) } else { Ok(()) }
}

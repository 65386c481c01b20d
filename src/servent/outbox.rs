//! What waits to be sent to one neighbour.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::BytesMut;
use tokio::sync::Notify;

use super::frames::encode;
use crate::base::{Guid, Hops, Ttl};
use crate::message::LinkMessage;

/// Bytes that may wait for one neighbour. Beyond, something is thrown out.
pub(super) const WRITE_QUEUE: usize = 256 * 1024;

/// A bounded queue of messages to one neighbour; in order, but for what is shed.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<LinkMessage>,
    bytes: usize,
    closing: bool,
}

/// What became of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Pushed {
    /// It waits its turn; these were thrown out for it.
    Queued(Vec<Shed>),
    /// There is no room, and nothing that may be thrown out: the neighbour is too slow.
    Full,
}

/// What was thrown out, as far as somebody must know of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shed {
    /// A copy of a query, with its life.
    Copy(Guid, Ttl),
    /// Hits.
    Hit(Guid),
}

/// The order of shedding: what is lost first when a neighbour cannot keep up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worth {
    /// A Done with a trace: it goes without.
    Trace,
    OthersQuery,
    OthersHit,
    Contacts,
    Own,
    /// Never shed: without it a search would not end, or the link not live.
    Vital,
}

fn worth(message: &LinkMessage) -> Worth {
    match message {
        LinkMessage::Query(query) if query.hops == Hops(0) => Worth::Own,
        LinkMessage::Query(_) => Worth::OthersQuery,
        LinkMessage::QueryHit(hit) if hit.hops == Hops(0) => Worth::Own,
        LinkMessage::QueryHit(_) => Worth::OthersHit,
        LinkMessage::ForwardJoin(_) | LinkMessage::Shuffle(_) | LinkMessage::ShuffleReply(_) => {
            Worth::Contacts
        }
        // As a hit of others is: whoever waits for it asks again.
        LinkMessage::CallMe(_) => Worth::OthersHit,
        LinkMessage::QueryDone(done) if !done.ext.is_empty() => Worth::Trace,
        LinkMessage::Ping(_)
        | LinkMessage::Pong(_)
        | LinkMessage::Bye(_)
        | LinkMessage::DialBack(_)
        | LinkMessage::DialledBack(_)
        | LinkMessage::QueryDone(_) => Worth::Vital,
    }
}

/// About how many bytes a message is on the wire; never less than half of it.
fn weight(message: &LinkMessage) -> usize {
    /// An id and two addresses, as most contacts are.
    const CONTACT: usize = 80;
    match message {
        LinkMessage::Query(query) => 24 + query.body.len(),
        LinkMessage::QueryHit(hit) => 57 + hit.body.len(),
        LinkMessage::Bye(bye) => 16 + CONTACT * bye.contacts.len(),
        LinkMessage::Shuffle(shuffle) => 16 + CONTACT * shuffle.contacts.len(),
        LinkMessage::ShuffleReply(reply) => 16 + CONTACT * reply.contacts.len(),
        LinkMessage::ForwardJoin(_) => 16 + CONTACT,
        LinkMessage::CallMe(_) => 80 + CONTACT,
        LinkMessage::DialBack(_) | LinkMessage::DialledBack(_) => 16,
        LinkMessage::QueryDone(done) => {
            40 + done.ext.iter().map(|(_, value)| 6 + value.len()).sum::<usize>()
        }
        LinkMessage::Ping(_) | LinkMessage::Pong(_) => 40,
    }
}

impl Outbox {
    /// Adds a message, throwing out what is worth less if there is no room.
    pub(super) fn push(&self, message: LinkMessage) -> Pushed {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.closing {
            return Pushed::Queued(Vec::new());
        }
        queue.bytes += weight(&message);
        queue.messages.push_back(message);
        let mut shed = Vec::new();
        while queue.bytes > WRITE_QUEUE {
            let least = queue.messages.iter().enumerate().min_by_key(|(_, m)| worth(m));
            let Some((at, _)) = least.filter(|(_, m)| worth(m) < Worth::Vital) else {
                return Pushed::Full;
            };
            if let Some(LinkMessage::QueryDone(done)) = queue.messages.get_mut(at) {
                let trace = std::mem::take(&mut done.ext);
                let len: usize = trace.iter().map(|(_, value)| 6 + value.len()).sum();
                queue.bytes = queue.bytes.saturating_sub(len);
            } else if let Some(gone) = queue.messages.remove(at) {
                queue.bytes = queue.bytes.saturating_sub(weight(&gone));
                match gone {
                    LinkMessage::Query(query) => shed.push(Shed::Copy(query.guid, query.ttl)),
                    LinkMessage::QueryHit(hit) => shed.push(Shed::Hit(hit.guid)),
                    _ => {}
                }
            }
        }
        drop(queue);
        self.wake.notify_one();
        Pushed::Queued(shed)
    }

    /// Nothing more is taken; what waits is still sent.
    pub(super) fn close(&self) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).closing = true;
        self.wake.notify_one();
    }

    /// Waits for messages and moves all their frames to `bytes`; false at the end.
    pub(super) async fn take(&self, bytes: &mut BytesMut) -> bool {
        loop {
            let closing = {
                let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
                for message in std::mem::take(&mut queue.messages) {
                    // What does not fit its frame is our own fault, and nobody's loss.
                    let encoded = encode(&message, bytes);
                    debug_assert!(encoded.is_ok(), "{encoded:?}");
                }
                queue.bytes = 0;
                queue.closing
            };
            if !bytes.is_empty() {
                return true;
            }
            if closing {
                return false;
            }
            self.wake.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::{Contact, ServentId};
    use crate::message::{AgedContact, Ping, Query, QueryDone, QueryHit, Shuffle};

    fn query(n: u8, hops: u8) -> LinkMessage {
        let body = Bytes::from(vec![0; 400]);
        LinkMessage::Query(Query {
            guid: Guid([n; 16]),
            ttl: Ttl(3),
            hops: Hops(hops),
            seen: Ttl(0),
            body,
        })
    }

    fn hits(n: u8, hops: u8) -> LinkMessage {
        let (guid, responder) = (Guid([n; 16]), ServentId([n; 32]));
        let body = Bytes::from(vec![0; 400]);
        LinkMessage::QueryHit(QueryHit { guid, hops: Hops(hops), responder, count: 1, body })
    }

    fn contacts() -> LinkMessage {
        let contact = Contact::new(ServentId([1; 32]), []);
        let contacts = vec![AgedContact { contact, age_secs: 0 }; 4];
        LinkMessage::Shuffle(Shuffle { contacts, ext: vec![] })
    }

    fn traced() -> LinkMessage {
        let ext = vec![(1, vec![0; 3000])];
        LinkMessage::QueryDone(QueryDone { guid: Guid([9; 16]), asked: 1, lost: 0, ext })
    }

    fn done() -> LinkMessage {
        LinkMessage::QueryDone(QueryDone { guid: Guid([0; 16]), asked: 1, lost: 0, ext: vec![] })
    }

    fn room(outbox: &Outbox) -> usize {
        WRITE_QUEUE - outbox.queue.lock().unwrap().bytes
    }

    /// What waits, by worth.
    fn waiting(outbox: &Outbox, wanted: Worth) -> usize {
        let queue = outbox.queue.lock().unwrap();
        queue.messages.iter().filter(|message| worth(message) == wanted).count()
    }

    /// A queue without room that holds one of everything, and Dones.
    fn full() -> Outbox {
        let outbox = Outbox::default();
        for message in
            [hits(1, 0), query(2, 0), contacts(), hits(3, 1), query(4, 1), traced(), query(5, 1)]
        {
            assert_eq!(outbox.push(message), Pushed::Queued(vec![]));
        }
        while room(&outbox) >= weight(&done()) {
            assert_eq!(outbox.push(done()), Pushed::Queued(vec![]));
        }
        outbox
    }

    /// Takes so many more Dones that at least `bytes` must go.
    fn press(outbox: &Outbox, bytes: usize) -> Vec<Shed> {
        let mut shed = Vec::new();
        for _ in 0..bytes.div_ceil(weight(&done())) {
            match outbox.push(done()) {
                Pushed::Queued(gone) => shed.extend(gone),
                Pushed::Full => panic!("there was something to shed"),
            }
        }
        shed
    }

    #[test]
    fn a_full_queue_first_takes_the_traces_out_of_dones_and_keeps_the_dones() {
        let outbox = full();
        let before = outbox.queue.lock().unwrap().messages.len();
        assert_eq!(press(&outbox, 1), []);
        assert_eq!(waiting(&outbox, Worth::Trace), 0);
        assert_eq!(outbox.queue.lock().unwrap().messages.len(), before + 1);
        assert!(room(&outbox) > 2000, "what went is counted");
    }

    #[test]
    fn then_others_queries_go_the_oldest_first_and_the_engine_is_told() {
        let outbox = full();
        press(&outbox, 1);
        let spare = room(&outbox);
        assert_eq!(press(&outbox, spare + 1), [Shed::Copy(Guid([4; 16]), Ttl(3))]);
        let spare = room(&outbox);
        assert_eq!(press(&outbox, spare + 1), [Shed::Copy(Guid([5; 16]), Ttl(3))]);
        assert_eq!(waiting(&outbox, Worth::OthersHit), 1);
    }

    /// A full queue in which nothing waits that is worth less than others' hits.
    fn without_queries() -> Outbox {
        let outbox = full();
        while waiting(&outbox, Worth::OthersQuery) > 0 {
            press(&outbox, 1);
        }
        while room(&outbox) >= weight(&done()) {
            press(&outbox, 1);
        }
        outbox
    }

    #[test]
    fn then_others_hits_go_and_the_engine_is_told() {
        let outbox = without_queries();
        assert_eq!(press(&outbox, 1), [Shed::Hit(Guid([3; 16]))]);
        assert_eq!(waiting(&outbox, Worth::Contacts), 1);
    }

    #[test]
    fn then_peer_lists_go() {
        let outbox = without_queries();
        press(&outbox, 1);
        let spare = room(&outbox);
        assert_eq!(press(&outbox, spare + 1), []);
        assert_eq!((waiting(&outbox, Worth::Contacts), waiting(&outbox, Worth::Own)), (0, 2));
    }

    #[test]
    fn what_is_our_own_goes_last_and_then_the_neighbour_is_too_slow() {
        let outbox = without_queries();
        let mut shed = Vec::new();
        while let Pushed::Queued(gone) = outbox.push(done()) {
            shed.extend(gone);
        }
        let own = [Shed::Hit(Guid([1; 16])), Shed::Copy(Guid([2; 16]), Ttl(3))];
        assert_eq!(shed, [&[Shed::Hit(Guid([3; 16]))], &own[..]].concat());
    }

    #[test]
    fn a_newcomer_that_is_worth_the_least_is_the_one_that_goes() {
        let outbox = without_queries();
        assert_eq!(
            outbox.push(query(7, 1)),
            Pushed::Queued(vec![Shed::Copy(Guid([7; 16]), Ttl(3))])
        );
    }

    #[test]
    fn a_queue_full_of_dones_is_full() {
        let outbox = Outbox::default();
        let pushed = (0..WRITE_QUEUE).map(|_| outbox.push(done()));
        let queued = pushed.take_while(|pushed| *pushed != Pushed::Full).count();
        assert!(queued > 1000 && queued < WRITE_QUEUE / 20);
    }

    #[tokio::test]
    async fn messages_leave_together_and_in_order() {
        let outbox = Outbox::default();
        let ping = LinkMessage::Ping(Ping { nonce: 7, ext: vec![] });
        outbox.push(query(1, 0));
        outbox.push(ping.clone());
        outbox.close();
        outbox.push(done());
        let mut expected = BytesMut::new();
        encode(&query(1, 0), &mut expected).unwrap();
        encode(&ping, &mut expected).unwrap();
        let mut bytes = BytesMut::new();
        assert!(outbox.take(&mut bytes).await);
        assert_eq!(bytes, expected, "and nothing after the close");
        bytes.clear();
        assert!(!outbox.take(&mut bytes).await);
    }
}

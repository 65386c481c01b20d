//! What was sent to whom: the uploads that run and those of late.
//!
//! Always true: at most [`MAX_LISTED`] are remembered, those whose connection has ended
//! going first; thanks count only from whom something was sent since the last.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::clock::Clock;
use super::handle::Servent;
use super::report::{UploadReport, UploadState};
use crate::base::{Bucket, ContentId, Meter, ServentId};

/// Uploads that are listed: all slots and places in the queue, and some screens of what
/// was before.
const MAX_LISTED: usize = 256;
/// Deliveries a second that are told as news, so that nobody can fill his giver's screen
/// with thanks for tiny files.
const NEWS_RATE: u64 = 1;
/// Deliveries that are told at once.
const NEWS_BURST: u64 = 20;

/// Who takes a file, and from where.
#[derive(Clone)]
pub(super) struct Taker {
    pub(super) id: ServentId,
    pub(super) name: String,
    pub(super) address: SocketAddr,
    /// The number of its connection among the uploads.
    pub(super) connection: u64,
}

/// What became of thanks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Thanked {
    /// They are for the file of this name; whether that is worth news.
    For(String, bool),
    /// Nothing was sent that they could be for.
    Nothing,
}

/// The uploads, by taker and content.
pub(super) struct UploadLog {
    clock: Clock,
    inner: Mutex<Inner>,
}

struct Inner {
    entries: BTreeMap<(ServentId, ContentId), Entry>,
    /// Counts what happens, so that the latest is known.
    last: u64,
    news: Bucket,
}

struct Entry {
    taker: Taker,
    name: String,
    size: u64,
    sent: u64,
    /// Bytes sent since the last thanks.
    owed: u64,
    delivered: bool,
    meter: Meter,
    /// When, of all that happens, something last happened to it.
    at: u64,
}

impl UploadLog {
    pub(super) fn new(clock: Clock) -> Self {
        let news = Bucket::new(NEWS_RATE, NEWS_BURST, clock.now());
        let inner = Inner { entries: BTreeMap::new(), last: 0, news };
        Self { clock, inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an upload is listed as one of this connection.
    pub(super) fn knows(&self, taker: &Taker, id: ContentId) -> bool {
        let inner = self.lock();
        inner
            .entries
            .get(&(taker.id, id))
            .is_some_and(|entry| entry.taker.connection == taker.connection)
    }

    /// `taker` asks for a content, called `name` here; `lives` tells which connections do.
    pub(super) fn asked(
        &self,
        taker: &Taker,
        id: ContentId,
        name: String,
        size: u64,
        lives: impl Fn(u64) -> bool,
    ) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.last += 1;
        let at = inner.last;
        let fresh = || Entry {
            taker: taker.clone(),
            name,
            size,
            sent: 0,
            owed: 0,
            delivered: false,
            meter: Meter::new(now),
            at,
        };
        let entry = inner.entries.entry((taker.id, id)).or_insert_with(fresh);
        (entry.taker, entry.at) = (taker.clone(), at);
        if inner.entries.len() > MAX_LISTED {
            let age = |entry: &Entry| (lives(entry.taker.connection), entry.at);
            let oldest = inner.entries.iter().min_by_key(|(_, entry)| age(entry));
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                inner.entries.remove(&oldest);
            }
        }
    }

    pub(super) fn sent(&self, taker: ServentId, id: ContentId, bytes: u64) {
        let now = self.clock.now();
        let mut inner = self.lock();
        inner.last += 1;
        let at = inner.last;
        let Some(entry) = inner.entries.get_mut(&(taker, id)) else { return };
        entry.at = at;
        entry.sent = entry.sent.saturating_add(bytes);
        entry.owed = entry.owed.saturating_add(bytes);
        entry.delivered = false;
        entry.meter.add(now, bytes);
    }

    pub(super) fn thanked(&self, taker: ServentId, id: ContentId) -> Thanked {
        let now = self.clock.now();
        let mut inner = self.lock();
        let Inner { entries, last, news } = &mut *inner;
        let entry = entries.get_mut(&(taker, id)).filter(|entry| entry.owed > 0);
        let Some(entry) = entry else { return Thanked::Nothing };
        *last += 1;
        entry.at = *last;
        entry.owed = 0;
        entry.delivered = true;
        Thanked::For(entry.name.clone(), news.take(now, 1))
    }

    /// All, the latest first; `stand` tells how a connection stands, none when it has ended.
    fn reports(&self, stand: impl Fn(u64) -> Option<UploadState>) -> Vec<UploadReport> {
        let now = self.clock.now();
        let inner = self.lock();
        let mut all: Vec<_> = inner.entries.iter().collect();
        all.sort_by_key(|(_, entry)| std::cmp::Reverse(entry.at));
        let report = |(&(peer, id), entry): (&(ServentId, ContentId), &Entry)| {
            let state = match stand(entry.taker.connection) {
                _ if entry.delivered => UploadState::Delivered,
                Some(stand) => stand,
                None => UploadState::Ended,
            };
            let sending = state == UploadState::Sending;
            UploadReport {
                peer,
                peer_name: entry.taker.name.clone(),
                address: entry.taker.address,
                id,
                name: entry.name.clone(),
                size: entry.size,
                sent: entry.sent,
                rate: if sending { entry.meter.rate(now) } else { 0 },
                state,
            }
        };
        all.into_iter().map(report).collect()
    }
}

impl Servent {
    /// What is sent to others, and was of late; the latest first.
    pub async fn uploads(&self) -> Vec<UploadReport> {
        let uploads = &self.0.uploads;
        uploads.log.reports(|connection| uploads.stand(connection))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taker(byte: u8, connection: u64) -> Taker {
        let address = "127.0.0.1:1".parse().unwrap();
        Taker { id: ServentId([byte; 32]), name: "attic".into(), address, connection }
    }

    const FILE: ContentId = ContentId([7; 32]);

    #[test]
    fn thanks_count_once_for_what_was_sent_and_for_nothing_else() {
        let log = UploadLog::new(Clock::start());
        let attic = taker(1, 1);
        assert_eq!(log.thanked(attic.id, FILE), Thanked::Nothing);
        log.asked(&attic, FILE, "x".into(), 10, |_| true);
        assert_eq!(log.thanked(attic.id, FILE), Thanked::Nothing, "nothing was sent yet");
        log.sent(attic.id, FILE, 10);
        let state = || log.reports(|_| Some(UploadState::Sending)).remove(0).state;
        assert_eq!(state(), UploadState::Sending);
        assert_eq!(log.thanked(ServentId([2; 32]), FILE), Thanked::Nothing);
        assert_eq!(log.thanked(attic.id, FILE), Thanked::For("x".into(), true));
        assert_eq!(log.thanked(attic.id, FILE), Thanked::Nothing, "once is enough");
        assert_eq!(state(), UploadState::Delivered);
        log.sent(attic.id, FILE, 10);
        assert_eq!(state(), UploadState::Sending, "it comes for more");
    }

    #[test]
    fn thanks_for_many_small_files_stop_being_news() {
        let log = UploadLog::new(Clock::start());
        let attic = taker(1, 1);
        let news = (0..100).filter(|n| {
            let file = ContentId([*n; 32]);
            log.asked(&attic, file, "x".into(), 1, |_| true);
            log.sent(attic.id, file, 1);
            log.thanked(attic.id, file) == Thanked::For("x".into(), true)
        });
        assert!(news.count() <= 25);
    }

    #[test]
    fn the_list_is_bounded_and_what_has_ended_goes_first() {
        let log = UploadLog::new(Clock::start());
        let lives = |connection| connection < 10;
        for connection in 0..=255 {
            log.asked(&taker(connection, connection.into()), FILE, "x".into(), 1, lives);
            log.asked(
                &taker(connection, connection.into()),
                ContentId([8; 32]),
                "y".into(),
                1,
                lives,
            );
        }
        let stand = |connection| lives(connection).then_some(UploadState::Idle);
        let reports = log.reports(stand);
        assert_eq!(reports.len(), MAX_LISTED);
        assert_eq!(reports[0].name, "y");
        let idle = reports.iter().filter(|report| report.state == UploadState::Idle);
        assert_eq!(idle.count(), 20);
    }
}

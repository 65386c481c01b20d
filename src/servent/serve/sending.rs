//! How frames go out: small ones together, and the bytes of a piece without a copy.
//!
//! Always true: nothing is held while the connection waits, be it for a disk that is not quick.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};

use super::super::frames::encode;
use super::super::offload::Trust;
use super::super::slots::Place;
use super::{FAREWELL, Giver, ServeError};
use crate::base::ContentId;
use crate::message::{Data, TransferMessage};
use crate::transfer::upload::UNREAD;
use crate::wire::data_prefix;

/// Bytes of small frames that are held, one record of TLS: with each of many small files on
/// its own, most of the time goes into waking up who reads.
const MOST_HELD: usize = 16 * 1024;
/// How long they are held while the disk is quick.
const LONGEST_HELD: Duration = Duration::from_millis(5);

/// Small frames that go out together with what comes next.
#[derive(Default)]
pub(super) struct Held {
    frames: BytesMut,
    /// Of which files how many bytes are in them.
    given: Vec<(ContentId, u64)>,
    /// When the first of them came.
    since: Option<Instant>,
}

impl Held {
    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Takes a frame, if there is room for it.
    fn take(&mut self, head: &[u8], tail: &[u8]) -> bool {
        let fits = self.frames.len() + head.len() + tail.len() <= MOST_HELD;
        if fits {
            self.frames.extend_from_slice(head);
            self.frames.extend_from_slice(tail);
            self.since.get_or_insert_with(Instant::now);
        }
        fits
    }

    /// Whether it may wait for what the disk does next.
    fn may_wait(&self, disk: &Trust) -> bool {
        let fresh = self.since.is_none_or(|since| since.elapsed() < LONGEST_HELD);
        fresh && disk.is_quick()
    }
}

impl Giver {
    /// Sends a message, at the latest with [`Giver::release`].
    pub(super) async fn send(&mut self, message: &TransferMessage) -> Result<(), ServeError> {
        let mut bytes = BytesMut::new();
        encode(message, &mut bytes)?;
        self.write(&bytes, &[]).await
    }

    /// Sends bytes of a piece, as [`Giver::send`] does; many are not copied into a frame first.
    pub(super) async fn send_data(&mut self, data: &Data) -> Result<(), ServeError> {
        let prefix = data_prefix(data)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        self.held.given.push((data.id, data.bytes.len() as u64));
        self.write(&prefix, &data.bytes).await
    }

    /// Sends what is held.
    pub(super) async fn release(&mut self) -> Result<(), ServeError> {
        match self.held.is_empty() {
            true => Ok(()),
            false => self.write_out(&[], &[]).await,
        }
    }

    /// Sends what is held, unless what the disk does next is brief, and has been so since.
    pub(super) async fn release_unless_brief(&mut self) -> Result<(), ServeError> {
        if self.held.may_wait(&self.disk) { Ok(()) } else { self.release().await }
    }

    async fn write(&mut self, head: &[u8], tail: &[u8]) -> Result<(), ServeError> {
        if self.held.take(head, tail) { Ok(()) } else { self.write_out(head, tail).await }
    }

    /// Writes, what is held first; ends when the peer takes nothing for too long.
    async fn write_out(&mut self, head: &[u8], tail: &[u8]) -> Result<(), ServeError> {
        let mut place = self.place.clone();
        let ground = Arc::clone(&self.ground);
        let withheld = async {
            ground.panel.serving_ends().await;
            tokio::time::sleep(FAREWELL).await;
        };
        let writing = async {
            // In one go, so that a frame's head is no packet of its own.
            let mut all = self.held.frames.as_ref().chain(head).chain(tail);
            self.write.write_all_buf(&mut all).await?;
            self.write.flush().await
        };
        let written = tokio::select! {
            written = timeout(UNREAD, writing) => written.map_err(|_| ServeError::Unread)?,
            _ = place.wait_for(|place| *place == Place::Stopped) => return Err(ServeError::Unread),
            () = withheld => return Err(ServeError::Withheld),
        };
        written?;
        self.held.frames.clear(); // its room is good for the next ones
        self.held.since = None;
        for (id, bytes) in self.held.given.drain(..) {
            self.ground.sent.fetch_add(bytes, Ordering::Relaxed);
            self.ticket.uploads.log.sent(self.taker.id, id, bytes);
            self.ticket.served(bytes);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn frames_wait_for_a_quick_disk_only_and_not_for_long() {
        let (mut held, disk) = (Held::default(), Trust::default());
        assert!(held.take(b"head", b"tail"));
        assert!(!held.may_wait(&disk), "nothing is known of this disk");
        disk.note(Duration::ZERO);
        assert!(held.may_wait(&disk));
        tokio::time::advance(LONGEST_HELD).await;
        disk.note(Duration::ZERO);
        assert!(!held.may_wait(&disk), "a hundred quick ones are long");
        assert!(!held.take(&[0; MOST_HELD], b""), "a large frame goes out with them");
    }
}

//! How frames go out: small ones together, and the bytes of a piece without a copy.
//!
//! Always true: nothing is held while the connection waits for anything but a disk.

use std::io;
use std::sync::Arc;

use bytes::{Buf, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::super::frames::encode;
use super::super::slots::Place;
use super::{FAREWELL, Giver, ServeError};
use crate::message::{Data, TransferMessage};
use crate::transfer::upload::UNREAD;
use crate::wire::data_prefix;

/// Bytes of small frames that are held: with each of many small files on its own, most of the
/// time goes into waking up who reads.
const HELD: usize = 64 * 1024;

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
        self.write(&prefix, &data.bytes).await
    }

    /// Sends what is held.
    pub(super) async fn release(&mut self) -> Result<(), ServeError> {
        match self.held.is_empty() {
            true => Ok(()),
            false => self.write_out(&[], &[]).await,
        }
    }

    async fn write(&mut self, head: &[u8], tail: &[u8]) -> Result<(), ServeError> {
        if self.held.len() + head.len() + tail.len() > HELD {
            return self.write_out(head, tail).await;
        }
        self.held.extend_from_slice(head);
        self.held.extend_from_slice(tail);
        Ok(())
    }

    /// Writes, what is held first; ends when the peer takes nothing for too long.
    async fn write_out(&mut self, head: &[u8], tail: &[u8]) -> Result<(), ServeError> {
        let mut place = self.place.clone();
        let ground = Arc::clone(&self.ground);
        let withheld = async {
            ground.panel.serving_ends().await;
            tokio::time::sleep(FAREWELL).await;
        };
        let held = std::mem::take(&mut self.held);
        let writing = async {
            // In one go, so that a frame's head is no packet of its own.
            self.write.write_all_buf(&mut held.as_ref().chain(head).chain(tail)).await?;
            self.write.flush().await
        };
        let written = tokio::select! {
            written = timeout(UNREAD, writing) => written.map_err(|_| ServeError::Unread)?,
            _ = place.wait_for(|place| *place == Place::Stopped) => return Err(ServeError::Unread),
            () = withheld => return Err(ServeError::Withheld),
        };
        written?;
        // The room is good for the next ones.
        self.held = held;
        self.held.clear();
        Ok(())
    }
}

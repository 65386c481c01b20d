//! Frames of one family, read from a connection within a time.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};
use tokio_util::codec::{Decoder, Encoder};

use crate::wire::{Codec, DecodeError, EncodeError, Family, MAX_SKIPPED_PER_MINUTE, Received};

/// A frame that has begun is complete within this time.
const FRAME_TIMEOUT: Duration = Duration::from_secs(30);
/// Room that is made to read into when there is none: a few small frames.
const READ_ROOM: usize = 4 * 1024;

/// Why no further frame can be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The bytes are no frames of ours.
    #[error("it broke the protocol: {0}")]
    Decode(#[from] DecodeError),
    /// A frame began and did not end.
    #[error("a frame was not complete after {} s", FRAME_TIMEOUT.as_secs())]
    Slow,
    /// More unknown frames than anybody needs.
    #[error("it sent more than {MAX_SKIPPED_PER_MINUTE} unknown frames a minute")]
    Unknown,
}

impl FrameError {
    /// Whether the other side is to blame, and not the wire.
    pub(super) fn is_offence(&self) -> bool {
        !matches!(self, Self::Io(_))
    }
}

/// The reading half of a connection, as frames.
pub(super) struct FrameReader<R, F> {
    io: R,
    buffer: BytesMut,
    codec: Codec<F>,
    begun: Option<Instant>,
    skipped: (u32, Option<Instant>),
    /// Bytes read since somebody last asked.
    read: u64,
}

impl<R: AsyncRead + Unpin, F: Family> FrameReader<R, F> {
    pub(super) fn new(io: R) -> Self {
        Self::resume(io, BytesMut::new())
    }

    /// Goes on with what another family's reader had read already.
    pub(super) fn resume(io: R, buffer: BytesMut) -> Self {
        Self { io, buffer, codec: Codec::new(), begun: None, skipped: (0, None), read: 0 }
    }

    /// Gives the connection back, and what has been read of the next frames.
    pub(super) fn into_parts(self) -> (R, BytesMut) {
        (self.io, self.buffer)
    }

    /// Reads raw bytes that come before the first frame.
    pub(super) async fn read_exact(&mut self, into: &mut [u8]) -> io::Result<()> {
        self.io.read_exact(into).await.map(|_| ())
    }

    /// How many bytes were read since this was last asked.
    pub(super) fn take_read(&mut self) -> u64 {
        std::mem::take(&mut self.read)
    }

    pub(super) fn io_mut(&mut self) -> &mut R {
        &mut self.io
    }

    /// The next message; none when the other side has closed between two frames.
    ///
    /// May be dropped half-way: what was read stays, and the timing of the frame too.
    pub(super) async fn next(&mut self) -> Result<Option<F>, FrameError> {
        loop {
            match self.codec.decode(&mut self.buffer)? {
                Some(Received::Message(message)) => {
                    self.begun = None;
                    return Ok(Some(message));
                }
                Some(Received::Skipped { .. }) => {
                    self.begun = None;
                    self.note_skipped()?;
                    continue;
                }
                None => {}
            }
            if self.buffer.capacity() == self.buffer.len() {
                self.buffer.reserve(READ_ROOM);
            }
            let idle = self.buffer.is_empty() && self.begun.is_none();
            let read = if idle {
                self.io.read_buf(&mut self.buffer).await
            } else {
                let begun = *self.begun.get_or_insert_with(Instant::now);
                let read = self.io.read_buf(&mut self.buffer);
                timeout_at(begun + FRAME_TIMEOUT, read).await.map_err(|_| FrameError::Slow)?
            };
            match read {
                Ok(0) => return Ok(self.codec.decode_eof(&mut self.buffer)?.and_then(message)),
                Ok(more) => {
                    self.read += more as u64;
                    self.begun.get_or_insert_with(Instant::now);
                }
                // A peer that just drops leaves TLS without its farewell.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn note_skipped(&mut self) -> Result<(), FrameError> {
        let (count, since) = &mut self.skipped;
        let began = since.get_or_insert_with(Instant::now);
        if began.elapsed() >= Duration::from_secs(60) {
            (*count, *since) = (0, Some(Instant::now()));
        }
        *count += 1;
        if *count > MAX_SKIPPED_PER_MINUTE { Err(FrameError::Unknown) } else { Ok(()) }
    }
}

fn message<F>(received: Received<F>) -> Option<F> {
    match received {
        Received::Message(message) => Some(message),
        Received::Skipped { .. } => None,
    }
}

/// Writes one message and flushes it.
pub(super) async fn write_frame<W, F>(io: &mut W, message: &F) -> io::Result<()>
where
    W: AsyncWrite + Unpin,
    F: Family,
{
    let mut bytes = BytesMut::new();
    encode(message, &mut bytes)?;
    io.write_all(&bytes).await?;
    io.flush().await
}

/// Appends the frame of `message` to `bytes`.
pub(super) fn encode<F: Family>(message: &F, bytes: &mut BytesMut) -> io::Result<()> {
    Codec::<F>::new()
        .encode(message, bytes)
        .map_err(|error: EncodeError| io::Error::new(io::ErrorKind::InvalidInput, error))
}

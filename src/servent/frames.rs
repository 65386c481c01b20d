//! Frames of one family, read from a connection within a time.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt,
};
use tokio::time::{Instant, timeout_at};
use tokio_util::codec::{Decoder, Encoder};

use crate::wire::{
    Codec, DATA_PREFIX_LEN, DataHead, DecodeError, EncodeError, Family, MAX_SKIPPED_PER_MINUTE,
    Received,
};

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
    /// Bytes of a data frame that are still to come.
    body: usize,
}

/// What comes next on a connection that carries pieces.
pub(super) enum Incoming<F> {
    Message(F),
    /// A data frame, whose bytes follow.
    Data(DataHead),
}

impl<R: AsyncRead + Unpin, F: Family> FrameReader<R, F> {
    pub(super) fn new(io: R) -> Self {
        Self::resume(io, BytesMut::new())
    }

    /// Goes on with what another family's reader had read already.
    pub(super) fn resume(io: R, buffer: BytesMut) -> Self {
        Self { io, buffer, codec: Codec::new(), begun: None, skipped: (0, None), read: 0, body: 0 }
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

impl<R: AsyncBufRead + AsyncRead + Unpin, F: Family> FrameReader<R, F> {
    /// As [`FrameReader::next`], but of a data frame no more than what it says of its bytes:
    /// they are for [`FrameReader::read_body`], and not copied into a frame first.
    pub(super) async fn next_or_data(&mut self) -> Result<Option<Incoming<F>>, FrameError> {
        loop {
            if let Some(head) = self.codec.decode_data_head(&mut self.buffer)? {
                self.begun = None;
                self.body = head.len as usize;
                return Ok(Some(Incoming::Data(head)));
            }
            match self.codec.decode(&mut self.buffer)? {
                Some(Received::Message(message)) => {
                    self.begun = None;
                    return Ok(Some(Incoming::Message(message)));
                }
                Some(Received::Skipped { .. }) => {
                    self.begun = None;
                    self.note_skipped()?;
                    continue;
                }
                None => {}
            }
            if !self.buffer.is_empty() {
                self.begun.get_or_insert_with(Instant::now);
            }
            // At first what tells whether bytes of a piece follow, and none of these.
            let most = match DATA_PREFIX_LEN.saturating_sub(self.buffer.len()) {
                0 => usize::MAX,
                few => few,
            };
            let chunk = chunk(&mut self.io, self.begun).await?;
            let taken = chunk.len().min(most);
            self.buffer.extend_from_slice(chunk.get(..taken).unwrap_or_default());
            if taken == 0 {
                let last = self.codec.decode_eof(&mut self.buffer)?;
                return Ok(last.and_then(message).map(Incoming::Message));
            }
            self.consume(taken);
            self.begun.get_or_insert_with(Instant::now);
        }
    }

    /// How many bytes of the data frame are still to come.
    pub(super) fn body_left(&self) -> usize {
        self.body
    }

    /// Appends to `into` what has come of the bytes of the data frame; says how many. May be
    /// dropped, and loses nothing.
    pub(super) async fn read_body(&mut self, into: &mut Vec<u8>) -> Result<usize, FrameError> {
        let most = self.body;
        let taken = if self.buffer.is_empty() {
            let begun = self.begun.get_or_insert_with(Instant::now);
            let chunk = chunk(&mut self.io, Some(*begun)).await?;
            let taken = chunk.len().min(most);
            into.extend_from_slice(chunk.get(..taken).unwrap_or_default());
            self.consume(taken);
            taken
        } else {
            let ahead = self.buffer.split_to(self.buffer.len().min(most));
            into.extend_from_slice(&ahead);
            ahead.len()
        };
        if taken == 0 && most > 0 {
            return Err(DecodeError::Cut.into());
        }
        self.body -= taken;
        if self.body == 0 {
            self.begun = None;
        }
        Ok(taken)
    }

    fn consume(&mut self, taken: usize) {
        self.io.consume(taken);
        self.read += taken as u64;
    }
}

/// What the connection has ready; nothing at its end.
async fn chunk<R>(io: &mut R, begun: Option<Instant>) -> Result<&[u8], FrameError>
where
    R: AsyncBufRead + Unpin,
{
    // What is here already needs no timer.
    let first = poll_fn(|cx| {
        let polled = Pin::new(&mut *io).poll_fill_buf(cx);
        Poll::Ready(polled.map(|chunk| chunk.map(<[u8]>::len)))
    })
    .await;
    let chunk = match (first, begun) {
        // An error is said once.
        (Poll::Ready(Err(error)), _) => Err(error),
        (Poll::Ready(Ok(0)), _) => Ok(&[][..]),
        (Poll::Pending, Some(begun)) => {
            timeout_at(begun + FRAME_TIMEOUT, io.fill_buf()).await.map_err(|_| FrameError::Slow)?
        }
        _ => io.fill_buf().await,
    };
    match chunk {
        Ok(chunk) => Ok(chunk),
        // A peer that just drops leaves TLS without its farewell.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(&[]),
        Err(error) => Err(error.into()),
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

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use tokio::io::BufReader;

    use crate::base::ContentId;
    use crate::message::{Data, Queued, TransferMessage};

    const FILE: ContentId = ContentId([7; 32]);

    fn queued() -> TransferMessage {
        TransferMessage::Queued(Queued { id: FILE, position: 3, ext: Vec::new() })
    }

    fn data(offset: u32, len: usize) -> TransferMessage {
        let bytes = Bytes::from(vec![offset as u8; len]);
        TransferMessage::Data(Data { id: FILE, piece: 9, offset, bytes })
    }

    fn frames(messages: &[TransferMessage]) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        messages.iter().for_each(|message| encode(message, &mut bytes).unwrap());
        bytes.to_vec()
    }

    /// All that comes of `bytes`, `cut` of which come at a time.
    async fn read(bytes: &[u8], cut: usize) -> Result<Vec<TransferMessage>, FrameError> {
        let mut reader = FrameReader::new(BufReader::with_capacity(cut, bytes));
        let mut all = Vec::new();
        while let Some(next) = reader.next_or_data().await? {
            all.push(match next {
                Incoming::Message(message) => message,
                Incoming::Data(DataHead { id, piece, offset, len }) => {
                    let mut bytes = Vec::new();
                    while reader.body_left() > 0 {
                        reader.read_body(&mut bytes).await?;
                    }
                    assert_eq!(bytes.len(), len as usize);
                    TransferMessage::Data(Data { id, piece, offset, bytes: bytes.into() })
                }
            });
        }
        Ok(all)
    }

    #[tokio::test]
    async fn bytes_of_pieces_come_between_other_frames_however_they_are_cut() {
        let messages = [queued(), data(0, 70_000), data(70_000, 1), queued(), queued(), data(3, 9)];
        let bytes = frames(&messages);
        for cut in [1, 6, 45, 46, 47, 4096, 1 << 20] {
            assert_eq!(read(&bytes, cut).await.unwrap(), messages, "{cut} at a time");
        }
    }

    #[tokio::test]
    async fn a_data_frame_is_judged_by_its_head() {
        let good = frames(&[data(0, 10)]);
        for len in [10, 45, good.len() - 1] {
            let cut = read(&good[..len], 16).await;
            assert!(matches!(cut, Err(FrameError::Decode(DecodeError::Cut))), "{len}: {cut:?}");
        }
        let mut empty = good.clone();
        empty[3] = 40;
        let mut long = good.clone();
        long[1] = 5;
        let mut past_the_end = good.clone();
        past_the_end[42] = 0x7f;
        for bad in [empty, long, past_the_end] {
            let refused = read(&bad, 16).await;
            assert!(matches!(refused, Err(FrameError::Decode(_))), "{refused:?}");
        }
    }

    /// A connection that says once that it broke.
    struct Broken {
        said: bool,
        ends: bool,
    }

    impl AsyncRead for Broken {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
            _: &mut tokio::io::ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            match std::mem::replace(&mut self.said, true) {
                false => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                true if self.ends => Poll::Ready(Ok(())),
                true => Poll::Pending,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_broke_the_connection_is_said_though_it_is_said_once() {
        for ends in [false, true] {
            let io = tokio::io::BufReader::new(Broken { said: false, ends });
            let mut reader = FrameReader::<_, TransferMessage>::new(io);
            let broken = reader.next_or_data().await.err();
            let kind = match broken {
                Some(FrameError::Io(error)) => Some(error.kind()),
                _ => None,
            };
            assert_eq!(kind, Some(io::ErrorKind::ConnectionReset), "ends: {ends}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_end_is_too_slow() {
        let (mut near, far) = tokio::io::duplex(1024);
        near.write_all(&frames(&[data(0, 100)])[..60]).await.unwrap();
        let mut reader = FrameReader::<_, TransferMessage>::new(BufReader::new(far));
        assert!(matches!(reader.next_or_data().await, Ok(Some(Incoming::Data(_)))));
        let mut bytes = Vec::new();
        assert_eq!(reader.read_body(&mut bytes).await.unwrap(), 14);
        assert!(matches!(reader.read_body(&mut bytes).await, Err(FrameError::Slow)));
    }
}

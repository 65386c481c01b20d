//! Frames of one family, in and out of a buffer.
//!
//! Always true: the first six bytes of a frame are judged before memory is taken for
//! the rest; the buffer at most doubles with what has come; a frame that is passed over
//! is thrown away as it comes.

use std::marker::PhantomData;

use bytes::{Buf, BufMut, BytesMut};
use tokio_util::codec::{Decoder, Encoder};

use super::error::{DecodeError, EncodeError};
use super::family::{DataHead, Family, take_data_head};
use super::header::{HEADER_LEN, Header, Kind};

/// The least that is reserved for a frame that has begun: reading in smaller steps
/// would cost more than it saves.
const MIN_STEP: usize = 8 * 1024;

/// What came in one frame.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Received<F> {
    /// A message.
    Message(F),
    /// A kind that this servent does not know and was allowed to pass over. More than
    /// [`MAX_SKIPPED_PER_MINUTE`](super::MAX_SKIPPED_PER_MINUTE) of them are a strike.
    Skipped {
        /// The number of the kind.
        kind: u8,
        /// Bytes that its body had.
        len: u32,
    },
}

/// Turns bytes into messages of the family `F`, and back.
///
/// A connection begins with the [`Greeting`](crate::message::Greeting) and goes on with
/// another family: `framed.map_codec(|_| Codec::<LinkMessage>::new())` keeps what has
/// been read already. After an error the stream is of no use.
#[derive(Debug)]
pub struct Codec<F> {
    /// Messages decoded so far.
    before: u32,
    /// A frame that is being passed over.
    skipping: Option<Skipping>,
    family: PhantomData<fn() -> F>,
}

#[derive(Debug)]
struct Skipping {
    kind: u8,
    len: u32,
    left: usize,
}

impl<F> Codec<F> {
    /// A codec at the beginning of a stream, or of the family's part of it.
    #[must_use]
    pub fn new() -> Self {
        Self { before: 0, skipping: None, family: PhantomData }
    }
}

impl<F> Default for Codec<F> {
    fn default() -> Self {
        Self::new()
    }
}

/// What to do about a header.
enum Verdict {
    Take(Kind),
    Skip,
}

impl<F: Family> Codec<F> {
    /// Judges a header by itself.
    fn judge(&self, header: Header) -> Result<Verdict, DecodeError> {
        let Header { len, kind: number, .. } = header;
        let Some(kind) = Kind::from_number(number) else {
            return match (header.may_skip() && F::MAX_SKIPPED > 0, F::MAX_SKIPPED) {
                (false, _) => Err(DecodeError::UnknownKind { kind: number }),
                (_, max) if len > max => Err(DecodeError::SkipTooLong { kind: number, len, max }),
                _ => Ok(Verdict::Skip),
            };
        };
        F::admit(kind, self.before)?;
        let max = kind.limit();
        match len {
            0 => Err(DecodeError::Empty { kind }),
            len if len > max => Err(DecodeError::TooLong { kind, len, max }),
            _ => Ok(Verdict::Take(kind)),
        }
    }

    /// Takes the head of a data frame, when that is what comes next and all of the head is
    /// there; for a receiver that reads the bytes of the piece to where they belong, instead
    /// of into a frame first. They follow, and are not for [`Decoder::decode`].
    ///
    /// # Errors
    /// As of the whole frame.
    pub fn decode_data_head(
        &mut self,
        from: &mut BytesMut,
    ) -> Result<Option<DataHead>, DecodeError> {
        if self.skipping.is_some() {
            return Ok(None);
        }
        let Some(header) = Header::peek(from) else { return Ok(None) };
        if header.kind != Kind::Data.number() {
            return Ok(None);
        }
        self.judge(header)?;
        let head = take_data_head(header, from)?;
        self.before = self.before.saturating_add(u32::from(head.is_some()));
        Ok(head)
    }

    /// Throws away what has come of a frame that is passed over.
    fn skip(&mut self, from: &mut BytesMut) -> Option<Received<F>> {
        let skipping = self.skipping.as_mut()?;
        let gone = skipping.left.min(from.len());
        from.advance(gone);
        skipping.left -= gone;
        if skipping.left > 0 {
            return None;
        }
        let Skipping { kind, len, .. } = self.skipping.take()?;
        Some(Received::Skipped { kind, len })
    }
}

impl<F: Family> Decoder for Codec<F> {
    type Item = Received<F>;
    type Error = DecodeError;

    fn decode(&mut self, from: &mut BytesMut) -> Result<Option<Received<F>>, DecodeError> {
        if self.skipping.is_some() {
            return Ok(self.skip(from));
        }
        let Some(header) = Header::peek(from) else { return Ok(None) };
        let len = header.len as usize;
        let kind = match self.judge(header)? {
            Verdict::Take(kind) => kind,
            Verdict::Skip => {
                from.advance(HEADER_LEN);
                let (kind, len) = (header.kind, header.len);
                self.skipping = Some(Skipping { kind, len, left: header.len as usize });
                return Ok(self.skip(from));
            }
        };
        let missing = (HEADER_LEN + len).saturating_sub(from.len());
        if missing > 0 {
            if from.len() == from.capacity() {
                from.reserve(missing.min(from.len().max(MIN_STEP)));
            }
            return Ok(None);
        }
        from.advance(HEADER_LEN);
        let body = from.split_to(len).freeze();
        let message = F::decode(kind, body)?;
        self.before = self.before.saturating_add(1);
        Ok(Some(Received::Message(message)))
    }

    fn decode_eof(&mut self, from: &mut BytesMut) -> Result<Option<Received<F>>, DecodeError> {
        match self.decode(from)? {
            Some(received) => Ok(Some(received)),
            None if from.is_empty() && self.skipping.is_none() => Ok(None),
            None => Err(DecodeError::Cut),
        }
    }
}

impl<F: Family> Encoder<&F> for Codec<F> {
    type Error = EncodeError;

    /// Appends the frame of `message`; on failure `to` is as it was.
    fn encode(&mut self, message: &F, to: &mut BytesMut) -> Result<(), EncodeError> {
        let start = to.len();
        let kind = message.kind();
        to.put_bytes(0, HEADER_LEN);
        let done = message.encode(to).and_then(|()| {
            let len = to.len().saturating_sub(start + HEADER_LEN);
            let max = kind.limit();
            let len = u32::try_from(len).ok().filter(|&len| len <= max);
            let len = len.ok_or(EncodeError::TooLong { kind, max })?;
            let header = Header { len, kind: kind.number(), flags: kind.flags() };
            if let Some(room) = to.get_mut(start..start + HEADER_LEN) {
                room.copy_from_slice(&header.to_bytes());
            }
            Ok(())
        });
        if done.is_err() {
            to.truncate(start);
        }
        done
    }
}

impl<F: Family> Encoder<F> for Codec<F> {
    type Error = EncodeError;

    /// Appends the frame of `message`; on failure `to` is as it was.
    fn encode(&mut self, message: F, to: &mut BytesMut) -> Result<(), EncodeError> {
        Encoder::<&F>::encode(self, &message, to)
    }
}

#[cfg(test)]
mod any;
#[cfg(test)]
mod tests;

//! Asking the mesh, and its answers.

use std::net::SocketAddr;

use bincode::{Decode, Encode};
use bytes::Bytes;

use super::Extensions;
use crate::base::{ContentId, Guid, Hops, ServentId, Ttl};

/// One copy of a search on its way out. Nothing in it names its author.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    /// The search.
    pub guid: Guid,
    /// Life left, the hop to the receiver included.
    pub ttl: Ttl,
    /// Hops behind it.
    pub hops: Hops,
    /// The life of the last copy of this search that had come from the receiver when this
    /// one was sent; 0: none had. So both ends know of two copies that crossed on the way.
    pub seen: Ttl,
    /// An encoded [`QueryBody`]; relays pass it on unread.
    pub body: Bytes,
}

/// What a query asks.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct QueryBody {
    /// The words, as typed: [`QueryBody::MIN_TEXT`] to [`QueryBody::MAX_TEXT`] bytes,
    /// at most [`QueryBody::MAX_WORDS`] words.
    pub text: String,
    /// Extensions.
    pub ext: Extensions,
}

impl QueryBody {
    /// Shortest text that is answered, in bytes.
    pub const MIN_TEXT: usize = 2;
    /// Longest text, in bytes.
    pub const MAX_TEXT: usize = 256;
    /// Most words.
    pub const MAX_WORDS: usize = 12;
}

/// Files found at one servent, on their way back to the searcher.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueryHit {
    /// The search that it answers.
    pub guid: Guid,
    /// Hops behind it: at the searcher, one less than the links it crossed.
    pub hops: Hops,
    /// Who has the files. A claim until a connection proves it.
    pub responder: ServentId,
    /// How many hits the body holds: 1 to [`HitBody::MAX_HITS`].
    pub count: u8,
    /// An encoded [`HitBody`]; relays pass it on unread.
    pub body: Bytes,
}

/// What a servent found in its library.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct HitBody {
    /// Where the responder can be dialled: at most
    /// [`crate::base::Contact::MAX_ADDRESSES`].
    pub addresses: Vec<SocketAddr>,
    /// What its user calls it; never an identity.
    pub name: String,
    /// Whether nobody can dial it.
    pub unreachable: bool,
    /// The files, [`HitBody::MAX_HITS`] at most.
    pub hits: Vec<Hit>,
    /// Whether the responder has more that match than it says.
    pub more: bool,
    /// Extensions: see [`HitBody::is_cut`].
    pub ext: Extensions,
}

impl HitBody {
    /// Most hits in one frame, and in one servent's answer.
    pub const MAX_HITS: usize = 64;
    /// The extension that says that the responder stopped looking.
    const CUT: u16 = 1;

    /// The extensions of an answer; `cut` when the responder stopped looking before it had
    /// looked at all that may match, because a stranger's query may not cost more.
    #[must_use]
    pub fn extensions(cut: bool) -> Extensions {
        if cut { vec![(Self::CUT, vec![1])] } else { Vec::new() }
    }

    /// Whether the responder says that it stopped looking.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.ext.iter().any(|(tag, value)| *tag == Self::CUT && value[..] == [1])
    }
}

/// One file that matches.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct Hit {
    /// What it holds.
    pub id: ContentId,
    /// Its size in bytes: a claim until its pieces prove it.
    pub size: u64,
    /// Its name there: 1 to 255 bytes; a claim, made safe where it meets a disk or an eye.
    pub name: String,
    /// Extensions: see [`Hit::described`] and [`Hit::collected`].
    pub ext: Extensions,
}

impl Hit {
    /// The tag of the folder, from where the library begins on, `/` between its parts.
    pub const FOLDER: u16 = 1;
    /// The tag of the time at which the file was last modified: seconds since 1970, 8 bytes,
    /// little-endian.
    pub const MODIFIED: u16 = 2;
    /// The tag of a collection: how many files it lists, and how many bytes are in them, 8
    /// bytes each, little-endian.
    pub const COLLECTION: u16 = 3;
    /// Longest folder in bytes: 64 hits with names and folders of full length fit a frame.
    pub const MAX_FOLDER: usize = 160;

    /// The extensions that tell of a file's folder and age, as far as they are known; a
    /// folder that is too long is not told.
    #[must_use]
    pub fn described(folder: &str, modified: Option<u64>) -> Extensions {
        let folder = (1..=Self::MAX_FOLDER).contains(&folder.len()).then_some(folder);
        let folder = folder.map(|folder| (Self::FOLDER, folder.as_bytes().to_vec()));
        let modified = modified.map(|secs| (Self::MODIFIED, secs.to_le_bytes().to_vec()));
        folder.into_iter().chain(modified).collect()
    }

    /// In which folder it is said to lie: a claim, and no path of this machine. None when
    /// nothing is said, or not as it should be.
    #[must_use]
    pub fn folder(&self) -> Option<&str> {
        let folder = std::str::from_utf8(self.extension(Self::FOLDER)?).ok()?;
        let fits = (1..=Self::MAX_FOLDER).contains(&folder.len()) && !folder.contains('\0');
        fits.then_some(folder)
    }

    /// When it is said to have been modified, in seconds since 1970.
    #[must_use]
    pub fn modified(&self) -> Option<u64> {
        self.extension(Self::MODIFIED)?.try_into().ok().map(u64::from_le_bytes)
    }

    /// The extension that tells of a collection of so many files with so many bytes.
    #[must_use]
    pub fn collected(files: u64, bytes: u64) -> (u16, Vec<u8>) {
        (Self::COLLECTION, [files.to_le_bytes(), bytes.to_le_bytes()].concat())
    }

    /// How many files, and bytes in them, it is said to list, if it is said to be a collection.
    #[must_use]
    pub fn collection(&self) -> Option<(u64, u64)> {
        let (files, bytes) = self.extension(Self::COLLECTION)?.split_first_chunk()?;
        Some((u64::from_le_bytes(*files), u64::from_le_bytes(bytes.try_into().ok()?)))
    }

    fn extension(&self, tag: u16) -> Option<&[u8]> {
        self.ext.iter().find(|(known, _)| *known == tag).map(|(_, value)| value.as_slice())
    }
}

/// Answers one copy of a query: everything behind it has been asked.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct QueryDone {
    /// The search.
    pub guid: Guid,
    /// How many servents were asked for the first time.
    pub asked: u32,
    /// How many copies or matches came to nothing on the way.
    pub lost: u32,
    /// Extensions.
    pub ext: Extensions,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hit(ext: Extensions) -> Hit {
        Hit { id: ContentId::of_nothing(), size: 0, name: "x".to_owned(), ext }
    }

    #[test]
    fn a_folder_and_an_age_read_back_and_nothing_else_passes_for_them() {
        let told = hit(Hit::described("Jazz/Coltrane", Some(1 << 40)));
        assert_eq!((told.folder(), told.modified()), (Some("Jazz/Coltrane"), Some(1 << 40)));
        assert_eq!(Hit::described("", None), []);
        assert_eq!(Hit::described(&"x".repeat(Hit::MAX_FOLDER + 1), None), []);
        for wrong in [&b""[..], b"a\0b", b"\xff", &[b'x'; Hit::MAX_FOLDER + 1]] {
            assert_eq!(hit(vec![(Hit::FOLDER, wrong.to_vec())]).folder(), None, "{wrong:?}");
        }
        for len in [0, 7, 9] {
            assert_eq!(hit(vec![(Hit::MODIFIED, vec![0; len])]).modified(), None);
        }
        assert_eq!(hit(vec![(4, vec![0; 8])]).modified(), None);
    }

    #[test]
    fn a_collection_tells_how_much_it_lists() {
        let told = hit(vec![Hit::collected(300, 1 << 40)]);
        assert_eq!(told.collection(), Some((300, 1 << 40)));
        assert_eq!(hit(Vec::new()).collection(), None);
        for len in [0, 8, 15, 17] {
            assert_eq!(hit(vec![(Hit::COLLECTION, vec![0; len])]).collection(), None, "{len}");
        }
    }
}

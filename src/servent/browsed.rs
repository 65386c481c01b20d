//! Showing others what is shared here, page by page, no faster than the limits say.
//!
//! # What it takes to list a library of 100,000 files
//!
//! A page holds at most 100 entries ([`Listing::MAX_ENTRIES`]), so 100,000 files are 1,000
//! pages, and one more for each folder. With so many at once and then one in so many seconds,
//! whoever wants them all needs:
//!
//! | asking as | at once | then one in | for 1,000 pages |
//! |---|---|---|---|
//! | one servent | [`PEER_BURST`] 20 | [`PEER_EVERY`] 10 s | 9,800 s: 2 h 43 min |
//! | any number of one /16 (IPv6: /32) | [`GROUP_BURST`] 40 | [`GROUP_EVERY`] 5 s | 4,800 s: 80 min |
//! | everybody together | [`ALL_BURST`] 100 | [`ALL_EVERY`] 2 s | 1,800 s: 30 min |
//!
//! *Searches* name files as well: at most 64 in one answer
//! ([`HitBody::MAX_HITS`](crate::message::HitBody::MAX_HITS)), to at most 100 searches a second
//! from one link and 300 from all ([`taken_per_link`](crate::overlay::Config::taken_per_link),
//! [`relayed_per_second`](crate::overlay::Config::relayed_per_second)), and 200 and 600 at
//! once. A neighbour whose queries divide the library without a remainder so learns 6,400
//! names a second, and 100,000 in 14 s; all neighbours together learn 19,200 a second. Real
//! words overlap, and files that share all their words with 64 others are never all named. So
//! browsing adds at most 50 names a second to that, and `browse off` takes nothing from what a
//! search tells: who must not be enumerated publishes in a private mesh.
//!
//! Always true: a page is granted by all three limits or takes from none; what is remembered
//! is whom pages were granted to of late, which [`ALL_BURST`] and [`ALL_EVERY`] bound; a
//! cursor shows nobody what it says, and one that was made up opens nothing.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::origin::{group, is_exempt};
use crate::base::{Bucket, ServentId, Time};
use crate::message::{Browse, Entry, Hit, Listed, Listing};
use crate::share::{BrowseEntry, BrowsePage, Library};

/// Pages that one servent is shown at once: a person who leafs through a few albums.
pub(super) const PEER_BURST: u64 = 20;
/// And then one in so many seconds.
pub(super) const PEER_EVERY: u64 = 10;
/// Pages that the servents of one /16 (IPv6: /32) are shown at once: ids are free to mint.
pub(super) const GROUP_BURST: u64 = 40;
/// And then one in so many seconds.
pub(super) const GROUP_EVERY: u64 = 5;
/// Pages that are shown at once in all.
pub(super) const ALL_BURST: u64 = 100;
/// And then one in so many seconds.
pub(super) const ALL_EVERY: u64 = 2;

/// Bytes by which a cursor is known as ours.
const TAG: usize = 16;
/// Cursors are filled up to a multiple of this, so that their length tells next to nothing.
const BLOCK: usize = 64;

/// What is shown to whom, and by which key cursors are sealed.
pub(super) struct Browsed {
    key: [u8; 32],
    limits: Mutex<Limits>,
}

#[derive(Debug)]
struct Limits {
    peers: Places<ServentId>,
    groups: Places<IpAddr>,
    all: Place,
}

/// What the askers of one kind have left.
#[derive(Debug)]
struct Places<K> {
    burst: u64,
    every: u64,
    known: BTreeMap<K, (Place, Time)>,
}

/// Pages, counted in seconds: one costs as many as it takes to earn.
#[derive(Clone, Debug)]
struct Place {
    bucket: Bucket,
    every: u64,
}

impl Place {
    fn new(burst: u64, every: u64, now: Time) -> Self {
        Self { bucket: Bucket::new(1, burst * every, now), every }
    }

    /// Seconds until a page is to be had; 0: now.
    fn wait(&mut self, now: Time) -> u64 {
        self.every.saturating_sub(self.bucket.level(now))
    }
}

impl<K: Ord + Copy> Places<K> {
    fn new(burst: u64, every: u64) -> Self {
        Self { burst, every, known: BTreeMap::new() }
    }

    fn wait(&mut self, now: Time, who: K) -> u64 {
        self.known.get_mut(&who).map_or(0, |(place, _)| place.wait(now))
    }

    /// Takes a page, which is to be had. Those whose burst is whole again are forgotten.
    fn take(&mut self, now: Time, who: K) {
        let (burst, every) = (self.burst, self.every);
        let whole = Duration::from_secs(burst * every);
        self.known.retain(|_, (_, last)| now.since(*last) < whole);
        let fresh = || (Place::new(burst, every, now), now);
        let (place, last) = self.known.entry(who).or_insert_with(fresh);
        *last = now;
        place.bucket.take(now, every);
    }
}

impl Browsed {
    /// Nothing was shown to anybody by `now`; cursors are sealed with `key`.
    pub(super) fn new(key: [u8; 32], now: Time) -> Self {
        let limits = Limits {
            peers: Places::new(PEER_BURST, PEER_EVERY),
            groups: Places::new(GROUP_BURST, GROUP_EVERY),
            all: Place::new(ALL_BURST, ALL_EVERY, now),
        };
        Self { key, limits: Mutex::new(limits) }
    }

    /// Takes a page for `peer`, who comes `from` there; else the seconds after which to ask
    /// again.
    fn grant(&self, now: Time, peer: ServentId, from: IpAddr) -> Result<(), u64> {
        let mut limits = self.limits.lock().unwrap_or_else(PoisonError::into_inner);
        let crowd = (!is_exempt(from)).then(|| group(from));
        let mut wait = limits.peers.wait(now, peer).max(limits.all.wait(now));
        if let Some(crowd) = crowd {
            wait = wait.max(limits.groups.wait(now, crowd));
        }
        if wait > 0 {
            return Err(wait);
        }
        limits.peers.take(now, peer);
        limits.all.bucket.take(now, ALL_EVERY);
        if let Some(crowd) = crowd {
            limits.groups.take(now, crowd);
        }
        Ok(())
    }

    /// Answers `peer`, who comes `from` there. Blocks for some milliseconds at most.
    pub(super) fn answer(
        &self,
        now: Time,
        library: &Library,
        (peer, from): (ServentId, IpAddr),
        browse: &Browse,
    ) -> Listed {
        let after = match browse.cursor.as_slice() {
            [] => None,
            cursor => match self.opened(cursor) {
                Some(path) => Some(path),
                None => return Listed::Stale,
            },
        };
        if let Err(secs) = self.grant(now, peer, from) {
            return Listed::Later { secs: u32::try_from(secs).unwrap_or(u32::MAX) };
        }
        let begins = after.is_none();
        let folder = browse.folder.trim_matches('/');
        let page = library.browse(Path::new(folder), after, Listing::MAX_ENTRIES);
        let BrowsePage { entries, next, exists } = page;
        if begins && next.is_none() && !exists {
            return Listed::NoFolder;
        }
        let entries = entries.into_iter().map(|entry| match entry {
            BrowseEntry::Folder(name) => Entry::Folder { name, ext: Vec::new() },
            BrowseEntry::File(file, modified) => Entry::File(Hit {
                id: file.id,
                size: file.size,
                name: file.name.as_str().to_owned(),
                ext: Hit::described("", modified),
            }),
        });
        let entries = entries.collect();
        // A path that no cursor can hold ends the listing: Linux has none.
        Listed::Page { entries, next: next.and_then(|path| self.sealed(&path)) }
    }

    /// `path` as a cursor: the same path always makes the same one.
    fn sealed(&self, path: &Path) -> Option<Vec<u8>> {
        let path = path.as_os_str().as_bytes();
        let mut text = u16::try_from(path.len()).ok()?.to_le_bytes().to_vec();
        text.extend_from_slice(path);
        text.resize(text.len().next_multiple_of(BLOCK), 0);
        let mut cursor = self.tag(&text).to_vec();
        self.mask(&mut text, &cursor);
        cursor.extend(text);
        (cursor.len() <= Listing::MAX_CURSOR).then_some(cursor)
    }

    /// The path in a cursor of ours.
    fn opened(&self, cursor: &[u8]) -> Option<PathBuf> {
        let (tag, masked) = cursor.split_at_checked(TAG)?;
        let mut text = masked.to_vec();
        self.mask(&mut text, tag);
        if self.tag(&text) != tag {
            return None;
        }
        let (len, path) = text.split_first_chunk()?;
        let path = path.get(..usize::from(u16::from_le_bytes(*len)))?;
        Some(OsStr::from_bytes(path).into())
    }

    fn tag(&self, text: &[u8]) -> [u8; TAG] {
        let mut tag = [0; TAG];
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[0]).update(text).finalize_xof().fill(&mut tag);
        tag
    }

    fn mask(&self, text: &mut [u8], tag: &[u8]) {
        let mut mask = vec![0; text.len()];
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[1]).update(tag).finalize_xof().fill(&mut mask);
        text.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Time {
        Time::ZERO + Duration::from_secs(secs)
    }

    fn shown() -> Browsed {
        Browsed::new([7; 32], at(0))
    }

    /// How many pages the askers that `who` names get from `begin` on, each second one.
    fn granted(
        shown: &Browsed,
        secs: std::ops::Range<u64>,
        who: impl Fn(u64) -> (ServentId, IpAddr),
    ) -> u64 {
        let one = |sec: u64| {
            // As many wishes as could ever be granted.
            let wishes = 0..=ALL_BURST;
            wishes
                .filter(|wish| {
                    let (peer, from) = who(sec * 1000 + wish);
                    shown.grant(at(sec), peer, from).is_ok()
                })
                .count() as u64
        };
        secs.map(one).sum()
    }

    fn servent(number: u64) -> ServentId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&number.to_le_bytes());
        ServentId(id)
    }

    fn address(number: u64) -> IpAddr {
        IpAddr::from((number as u32).to_be_bytes())
    }

    /// The table in the documentation of this page.
    #[test]
    fn a_library_of_100_000_takes_as_long_as_the_arithmetic_says() {
        const PAGES: u64 = 100_000 / Listing::MAX_ENTRIES as u64;
        let lone = |_| (servent(1), address(0x0a01_0203));
        let campus = |wish| (servent(wish), address(0x0a01_0000 + wish as u32 as u64 % 0xffff));
        let world = |wish| (servent(wish), address(wish << 16));
        type Who = fn(u64) -> (ServentId, IpAddr);
        let askers: [(Who, u64, u64); 3] = [
            (lone, PEER_BURST, PEER_EVERY),
            (campus, GROUP_BURST, GROUP_EVERY),
            (world, ALL_BURST, ALL_EVERY),
        ];
        for ((who, burst, every), secs) in askers.into_iter().zip([9800, 4800, 1800]) {
            assert_eq!((PAGES - burst) * every, secs);
            let browsed = shown();
            assert_eq!(granted(&browsed, 0..1, who), burst, "at once");
            let (all, last) =
                (granted(&browsed, 1..secs, who), granted(&browsed, secs..secs + 1, who));
            assert_eq!((burst + all, last), (PAGES - 1, 1), "the last page comes after {secs} s");
        }
    }

    #[test]
    fn who_is_over_a_limit_takes_nothing_from_the_others_and_learns_when_to_ask() {
        let browsed = shown();
        let from = address(0x0a01_0203);
        for _ in 0..3 * PEER_BURST {
            let _ = browsed.grant(at(0), servent(1), from);
        }
        assert_eq!(browsed.grant(at(0), servent(1), from), Err(PEER_EVERY));
        for _ in PEER_BURST..GROUP_BURST {
            assert_eq!(browsed.grant(at(0), servent(2), from), Ok(()));
        }
        assert_eq!(browsed.grant(at(0), servent(3), from), Err(GROUP_EVERY));
        assert_eq!(browsed.grant(at(0), servent(3), address(0x0a02_0000)), Ok(()));
        assert_eq!(browsed.grant(at(0), servent(4), [127, 0, 0, 1].into()), Ok(()));
        assert_eq!(browsed.grant(at(4), servent(1), from), Err(PEER_EVERY - 4));
    }

    #[test]
    fn whom_pages_were_shown_to_is_forgotten_when_it_no_longer_counts() {
        let browsed = shown();
        for wish in 0..4000 {
            let _ = browsed.grant(at(wish), servent(wish), address(wish << 16));
        }
        let limits = browsed.limits.lock().unwrap();
        let most = ALL_BURST + PEER_BURST * PEER_EVERY / ALL_EVERY;
        assert!(
            limits.peers.known.len() as u64 <= most && limits.groups.known.len() as u64 <= most
        );
    }

    #[test]
    fn a_cursor_opens_only_where_it_was_made_and_shows_nothing() {
        let browsed = shown();
        for path in ["/", "/home/ann/Music/Jazz", &"/long".repeat(800)] {
            let path = Path::new(path);
            let cursor = browsed.sealed(path).unwrap();
            assert_eq!(browsed.opened(&cursor).as_deref(), Some(path));
            assert!(!cursor.windows(4).any(|part| b"home" == part || b"Jazz" == part));
            assert_eq!(Browsed::new([8; 32], at(0)).opened(&cursor), None);
            for at in [0, TAG - 1, TAG, cursor.len() - 1] {
                let mut other = cursor.clone();
                other[at] ^= 1;
                assert_eq!(browsed.opened(&other), None);
            }
            assert_eq!(browsed.opened(&cursor[..cursor.len() - 1]), None);
        }
        assert_eq!(
            browsed.sealed(Path::new("/a")).map(|c| c.len()),
            browsed.sealed(Path::new("/home/ann")).map(|c| c.len())
        );
        assert_eq!(browsed.sealed(Path::new(&"/x".repeat(3000))), None);
        assert_eq!(browsed.opened(b"made up"), None);
    }
}

//! What a query may cost.
//!
//! Counted in work and not by the clock: the same query on the same library is cut at the
//! same place, however loaded the machine is. The price of each kind of work is what it
//! takes in nanoseconds on one core of a common server, as `cargo bench --bench index`
//! measures it, caches cold; so the sum of a query is about its time.

use std::ops::ControlFlow;

/// What a stranger's query may cost: 2 ms, so that a core answers 500 a second at worst.
pub const STRANGERS: u64 = 2_000_000;

/// What is kept of that for reading names: what was gathered until then is still of use.
const FOR_NAMES: u64 = STRANGERS / 10;

/// Bytes of the vocabulary that are searched in a nanosecond, at worst.
const SCANNED: u64 = 16;
/// A word that is found in the vocabulary, and its way to its files.
const WORD: u64 = 200;
/// One file of a word, added to those of others.
const FILE: u64 = 15;
const MAPPED_FILE: u64 = 4;
/// Gathering the files of many words: 65,536 numbers of files, however many are in use.
const GATHER: u64 = 12_000;
/// Setting up a set of many files, and every two of the files that it is joined or cut with,
/// up to so many: beyond, they are bits and taken by the word.
const SET: u64 = 2_000;
const MOST_LISTED: u64 = 100_000;
/// Looking whether a file is among those of the other words.
const CANDIDATE: u64 = 30;
/// Reading and folding a name, to see what only the name tells.
const NAME: u64 = 900;

/// The work that a query may do, and has done.
#[derive(Clone, Debug)]
pub struct Budget {
    most: u64,
    spent: u64,
    cut: bool,
}

impl Budget {
    /// For the query of another servent.
    #[must_use]
    pub fn of_stranger() -> Self {
        Self { most: STRANGERS, spent: 0, cut: false }
    }

    /// For the user's own questions about the own library.
    #[must_use]
    pub fn unlimited() -> Self {
        Self { most: u64::MAX, spent: 0, cut: false }
    }

    /// Whether the work was ended before it was done.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// What was spent, in nanoseconds as they are priced.
    #[must_use]
    pub fn spent(&self) -> u64 {
        self.spent
    }

    /// Takes `work` from what is left, of which `kept` is for something else.
    fn spend(&mut self, work: u64, kept: u64) -> ControlFlow<()> {
        if self.most.saturating_sub(kept).saturating_sub(self.spent) < work {
            self.cut = true;
            return ControlFlow::Break(());
        }
        self.spent += work;
        ControlFlow::Continue(())
    }

    /// How many of `len` bytes of the vocabulary may be searched at most.
    pub(super) fn reach(&mut self, len: usize) -> usize {
        let left = self.most.saturating_sub(FOR_NAMES).saturating_sub(self.spent);
        let left = left.saturating_mul(SCANNED);
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        self.cut |= most < len;
        len.min(most)
    }

    /// So many bytes of the vocabulary were searched.
    pub(super) fn scanned(&mut self, bytes: usize) -> ControlFlow<()> {
        self.spend((bytes as u64).div_ceil(SCANNED), FOR_NAMES)
    }

    pub(super) fn word(&mut self) -> ControlFlow<()> {
        self.spend(WORD, FOR_NAMES)
    }

    pub(super) fn files(&mut self, count: usize) -> ControlFlow<()> {
        self.spend(FILE * count as u64, FOR_NAMES)
    }

    /// As [`Budget::files`], of a word that has them in a bitmap, one near the other.
    pub(super) fn mapped_files(&mut self, count: u64) -> ControlFlow<()> {
        self.spend(SET + MAPPED_FILE * count, FOR_NAMES)
    }

    /// A field of bits for so many files.
    pub(super) fn gather(&mut self, files: usize) -> ControlFlow<()> {
        self.spend(GATHER * (files as u64).div_ceil(1 << 16), FOR_NAMES)
    }

    pub(super) fn sets(&mut self, count: u64) -> ControlFlow<()> {
        self.spend(SET + count.min(MOST_LISTED) / 2, FOR_NAMES)
    }

    pub(super) fn candidate(&mut self) -> ControlFlow<()> {
        self.spend(CANDIDATE, 0)
    }

    /// One name is read, as for a query that the index does not answer.
    pub(in crate::share) fn name(&mut self) -> ControlFlow<()> {
        self.spend(NAME, 0)
    }
}

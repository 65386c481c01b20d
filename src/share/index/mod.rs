//! The index of names: which files have these words.
//!
//! Pure: it knows files by small numbers that the shelf gives them, and asks the shelf for
//! what is behind a number only where words do not tell. Words of a file are those of its
//! name and of the folders below the published one. Endings and types are indexed as words
//! are, so that ".mp3" or "type:audio" alone is no dearer than a word.
//!
//! Always true: what it finds holds for the whole query; what holds is found, in order of
//! numbers, unless the [`Budget`] ends the work, which that then says.

mod budget;
mod entry;
mod plan;
mod postings;
mod vocabulary;

pub use budget::{Budget, STRANGERS};
pub use entry::{Entry, Files};

use std::ops::ControlFlow;

use super::file_type::FileType;
use super::fold::{ending, folded, words_of};
use super::query::Query;
use plan::Plan;
use postings::Postings;
use vocabulary::Vocabulary;

/// An index of the names of files.
#[derive(Debug, Default)]
pub struct Index {
    words: Vocabulary,
    endings: Vocabulary,
    types: [Postings; FileType::ALL.len()],
    /// About how large each file is, by number.
    sizes: Vec<u16>,
}

impl Index {
    /// Adds a file under a number that no other file has.
    pub fn insert(&mut self, number: u32, entry: &Entry<'_>) {
        for text in [entry.folder, entry.name] {
            for word in words_of(&folded(text)) {
                self.words.insert(word, number);
            }
        }
        let name = folded(entry.name);
        if let Some(ending) = ending(&name) {
            self.endings.insert(ending, number);
            let kind = FileType::of_ending(ending);
            if let Some(files) = kind.and_then(|kind| self.types.get_mut(kind as usize)) {
                files.insert(number);
            }
        }
        let at = number as usize;
        if self.sizes.len() <= at {
            self.sizes.resize(at + 1, 0);
        }
        if let Some(size) = self.sizes.get_mut(at) {
            *size = rank(entry.size);
        }
    }

    /// Takes a file out: `entry` is what it was inserted with.
    pub fn remove(&mut self, number: u32, entry: &Entry<'_>) {
        for text in [entry.folder, entry.name] {
            for word in words_of(&folded(text)) {
                self.words.remove(word, number);
            }
        }
        let name = folded(entry.name);
        if let Some(ending) = ending(&name) {
            self.endings.remove(ending, number);
            let kind = FileType::of_ending(ending);
            if let Some(files) = kind.and_then(|kind| self.types.get_mut(kind as usize)) {
                files.remove(number);
            }
        }
    }

    /// Gives `take` the files that match `query`, until it breaks or `budget` is spent.
    pub fn search<F: Files>(
        &self,
        files: &F,
        query: &Query,
        budget: &mut Budget,
        mut take: impl FnMut(u32, &Entry<'_>) -> ControlFlow<()>,
    ) {
        if let Some(plan) = Plan::of(self, query) {
            // Broken off: by who takes, or by the budget, which knows.
            let _ = plan.run(files, budget, &mut take);
        }
    }
}

/// A size in two bytes, in order: its length in bits, then its first ten bits below the
/// highest. Exact up to 2 KiB, and to a thousandth above.
fn rank(size: u64) -> u16 {
    const BELOW: u32 = 10;
    let bits = u64::BITS - size.leading_zeros();
    let shift = bits.saturating_sub(BELOW + 1);
    let first = (size >> shift) & ((1 << (BELOW + 1)) - 1);
    // With nothing shifted out the number is its own rank.
    u16::try_from((u64::from(shift) << BELOW) + first).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests;

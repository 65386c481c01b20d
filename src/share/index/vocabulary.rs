//! The words of all names, each once, and the files that each is in.
//!
//! The words stand in one arena with a space before, between and after them, so that a
//! beginning (`" be"`) or a part (`"eat"`) is found by one search for a string in it. A
//! word that is in no file any more stays until half of the arena is such words; then it
//! is built anew.

use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;

use hashbrown::HashTable;
use memchr::memmem;

use super::budget::Budget;
use super::postings::Postings;

/// Longest arena, in bytes: beyond all names that fit in memory. A word that is new then is
/// not taken in, and its file is found by its other words.
const MAX_ARENA: usize = 1 << 30;

/// Bytes of dead words that are not worth building the arena anew.
const SLACK: usize = 1 << 16;

#[derive(Debug)]
pub(super) struct Vocabulary {
    arena: Vec<u8>,
    /// Where each word begins in it.
    starts: Vec<u32>,
    /// The files that each word is in.
    postings: Vec<Postings>,
    /// The number of each word, by its hash.
    numbers: HashTable<u32>,
    hasher: RandomState,
    /// Bytes of the arena that are words of no file.
    dead: usize,
}

impl Default for Vocabulary {
    fn default() -> Self {
        Self {
            arena: vec![b' '],
            starts: Vec::new(),
            postings: Vec::new(),
            numbers: HashTable::new(),
            hasher: RandomState::new(),
            dead: 0,
        }
    }
}

impl Vocabulary {
    /// Notes that `word` is in a file.
    pub(super) fn insert(&mut self, word: &str, file: u32) {
        let Some(number) = self.number(word).or_else(|| self.add(word)) else { return };
        let Some(postings) = self.postings.get_mut(number as usize) else { return };
        if postings.is_empty() {
            self.dead -= word.len() + 1;
        }
        postings.insert(file);
    }

    /// Notes that `word` is in a file no longer.
    pub(super) fn remove(&mut self, word: &str, file: u32) {
        let Some(number) = self.number(word) else { return };
        let Some(postings) = self.postings.get_mut(number as usize) else { return };
        if postings.remove(file) && postings.is_empty() {
            self.dead += word.len() + 1;
            if self.dead > SLACK && self.dead > self.arena.len() / 2 {
                self.rebuild();
            }
        }
    }

    /// The files that `word` is in.
    pub(super) fn find(&self, word: &str) -> Option<&Postings> {
        let postings = self.postings.get(self.number(word)? as usize)?;
        (!postings.is_empty()).then_some(postings)
    }

    /// Tells `each` the files of every word that `needle` is found in. Ends where `each`
    /// does, or with the budget.
    pub(super) fn scan<'a>(
        &'a self,
        needle: &[u8],
        budget: &mut Budget,
        mut each: impl FnMut(&'a Postings, &mut Budget) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let len = budget.reach(self.arena.len());
        let arena = self.arena.get(..len).unwrap_or(&self.arena);
        let (mut last, mut done) = (None, 0);
        for place in memmem::find_iter(arena, needle) {
            // A beginning is found at the space before it.
            let letter = place + usize::from(needle.first() == Some(&b' '));
            let from = last.unwrap_or(0);
            let number = from + self.words_until(from, letter);
            if last == Some(number) {
                continue;
            }
            last = Some(number);
            let Some(postings) = self.postings.get(number) else { break };
            budget.scanned(place - done)?;
            done = place;
            budget.word()?;
            each(postings, budget)?;
        }
        budget.scanned(len - done)?;
        if len < self.arena.len() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// How many words after the word `from` the one lies that holds byte `letter`.
    fn words_until(&self, from: usize, letter: usize) -> usize {
        let rest = self.starts.get(from..).unwrap_or_default();
        let mut reach = 1;
        while rest.get(reach).is_some_and(|&start| start as usize <= letter) {
            reach *= 2;
        }
        let near = rest.get(..=reach).unwrap_or(rest);
        near.partition_point(|&start| start as usize <= letter).saturating_sub(1)
    }

    fn number(&self, word: &str) -> Option<u32> {
        let hash = self.hasher.hash_one(word);
        self.numbers.find(hash, |&number| self.word(number) == word.as_bytes()).copied()
    }

    fn word(&self, number: u32) -> &[u8] {
        word(&self.arena, &self.starts, number as usize)
    }

    fn add(&mut self, word: &str) -> Option<u32> {
        let start = u32::try_from(self.arena.len()).ok()?;
        if self.arena.len() + word.len() >= MAX_ARENA {
            return None;
        }
        let number = u32::try_from(self.starts.len()).ok()?;
        self.arena.extend_from_slice(word.as_bytes());
        self.arena.push(b' ');
        self.starts.push(start);
        self.postings.push(Postings::None);
        self.dead += word.len() + 1;
        let Self { arena, starts, hasher, numbers, .. } = self;
        let hash = hasher.hash_one(word);
        numbers.insert_unique(hash, number, |&number| {
            let bytes = self::word(arena, starts, number as usize);
            hasher.hash_one(std::str::from_utf8(bytes).unwrap_or_default())
        });
        Some(number)
    }

    /// The same without the words of no file.
    fn rebuild(&mut self) {
        let mut fresh = Self { hasher: self.hasher.clone(), ..Self::default() };
        let postings = std::mem::take(&mut self.postings);
        let alive = postings.iter().filter(|postings| !postings.is_empty()).count();
        fresh.arena.reserve_exact(self.arena.len() - self.dead);
        fresh.starts.reserve_exact(alive);
        fresh.postings.reserve_exact(alive);
        for (number, files) in postings.into_iter().enumerate() {
            if files.is_empty() {
                continue;
            }
            let bytes = word(&self.arena, &self.starts, number);
            let added = std::str::from_utf8(bytes).ok().and_then(|word| fresh.add(word));
            if let Some(place) = added.and_then(|number| fresh.postings.get_mut(number as usize)) {
                *place = files;
            }
        }
        fresh.dead = 0;
        *self = fresh;
    }

    /// Bytes of the arena: what one scan reads.
    #[cfg(test)]
    pub(super) fn arena_len(&self) -> usize {
        self.arena.len()
    }
}

fn word<'a>(arena: &'a [u8], starts: &[u32], number: usize) -> &'a [u8] {
    let begin = starts.get(number).map_or(0, |&start| start as usize);
    let end = starts.get(number + 1).map_or(arena.len(), |&start| start as usize);
    arena.get(begin..end.saturating_sub(1)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(vocabulary: &Vocabulary, needle: &str) -> Vec<u32> {
        let mut files = Vec::new();
        let _ = vocabulary.scan(needle.as_bytes(), &mut Budget::unlimited(), |postings, _| {
            files.extend_from_slice(postings.listed().unwrap());
            ControlFlow::Continue(())
        });
        files.sort_unstable();
        files.dedup();
        files
    }

    #[test]
    fn beginnings_and_parts_are_found_in_whole_words_only() {
        let mut vocabulary = Vocabulary::default();
        for (file, word) in (0..).zip(["beat", "eat", "anana", "beatles", "be", "heat"]) {
            vocabulary.insert(word, file);
        }
        assert_eq!(files(&vocabulary, " be"), [0, 3, 4]);
        assert_eq!(files(&vocabulary, "eat"), [0, 1, 3, 5]);
        assert_eq!(files(&vocabulary, "eat "), [0, 1, 5]);
        assert_eq!(files(&vocabulary, "ana"), [2], "twice in one word");
        assert_eq!(files(&vocabulary, "tle"), [3]);
        assert!(files(&vocabulary, "tea").is_empty());
        assert!(vocabulary.find("eat").is_some() && vocabulary.find("ea").is_none());
    }

    #[test]
    fn the_arena_forgets_dead_words_in_time_and_keeps_the_living() {
        let mut vocabulary = Vocabulary::default();
        for number in 0..20_000 {
            vocabulary.insert(&format!("word{number}"), number);
        }
        let full = vocabulary.arena_len();
        for number in 0..20_000 {
            if number % 10 != 7 {
                vocabulary.remove(&format!("word{number}"), number);
            }
        }
        assert!(vocabulary.arena_len() < full / 2, "{full}");
        assert_eq!(files(&vocabulary, " word1234"), [12_347]);
        assert!(vocabulary.find("word12346").is_none());
        vocabulary.insert("word12346", 1);
        assert_eq!(vocabulary.find("word12346").unwrap().listed(), Some(&[1][..]));
    }

    #[test]
    fn a_scan_ends_with_its_budget_and_says_so() {
        let mut vocabulary = Vocabulary::default();
        for number in 0..100_000 {
            vocabulary.insert(&format!("{}{number}", "a".repeat(200)), number);
        }
        let mut budget = Budget::of_stranger();
        let mut found = 0;
        let ended = vocabulary.scan(b"aaa", &mut budget, |_, _| {
            found += 1;
            ControlFlow::Continue(())
        });
        assert!(ended.is_break() && budget.is_cut() && found > 0 && found < 100_000, "{found}");
    }
}

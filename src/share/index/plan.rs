//! How a query is answered: what is looked up, in which order, and what is left to names.
//!
//! First come the words that a file must have, whole, from the rarest; then beginnings and
//! parts, each a scan of the vocabulary, unless so few files are left that their names are
//! sooner read; then, file by file, what must not be, sizes and phrases.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::ControlFlow;

use roaring::RoaringBitmap;

use super::budget::Budget;
use super::entry::{Entry, Files};
use super::postings::Postings;
use super::{Index, rank};
use crate::share::query::{Query, Term, Test};

/// Files whose names are read rather than the vocabulary scanned.
const FEW: u64 = 256;

/// Files that are looked at before all files of a beginning or a part are gathered: most
/// such questions have enough answers in the first few words.
const FIRST: usize = 128;

/// One file of so many is enough for a bitmap to keep a bit for each.
const DENSE: u64 = 16;

/// A query, as an index answers it.
pub(super) struct Plan<'a> {
    index: &'a Index,
    /// The files are in all of these.
    with: Vec<&'a Postings>,
    /// And for each of these in one of them.
    any: Vec<Vec<&'a Postings>>,
    /// And in none of these.
    without: Vec<&'a Postings>,
    /// In a word of theirs each of these is found.
    parts: Vec<Part<'a>>,
    sizes: Vec<Size>,
    /// What only the name, or the file, tells.
    checks: Vec<&'a Term>,
}

/// What is scanned for, and the term that it is of.
struct Part<'a> {
    needle: String,
    term: &'a Term,
}

/// How the size of a file must compare with a number of bytes.
struct Size {
    order: Ordering,
    bytes: u64,
    rank: u16,
}

type Take<'t> = dyn FnMut(u32, &Entry<'_>) -> ControlFlow<()> + 't;

impl<'a> Plan<'a> {
    /// None when nothing can match.
    pub(super) fn of(index: &'a Index, query: &'a Query) -> Option<Self> {
        let (with, any, without) = (Vec::new(), Vec::new(), Vec::new());
        let (parts, sizes, checks) = (Vec::new(), Vec::new(), Vec::new());
        let mut plan = Self { index, with, any, without, parts, sizes, checks };
        for term in query.terms() {
            match (&term.test, term.negative) {
                (Test::Larger(bytes), false) => plan.size(Ordering::Greater, *bytes),
                (Test::Smaller(bytes), false) => plan.size(Ordering::Less, *bytes),
                (Test::Words(needle), false) => plan.words(needle, term)?,
                (Test::Words(needle), true) => match whole(needle) {
                    Some(word) => plan.without.extend(index.words.find(word)),
                    None => plan.checks.push(term),
                },
                (Test::Ending(dotted), negative) => {
                    let (before, ending) = dotted.rsplit_once('.').unwrap_or(("", dotted));
                    let files = index.endings.find(ending);
                    match negative {
                        false => plan.with.push(files?),
                        true if before.is_empty() => plan.without.extend(files),
                        true => {}
                    }
                    if !before.is_empty() {
                        plan.checks.push(term);
                    }
                }
                (Test::Type(types), negative) => {
                    let files = types.iter().filter_map(|one| index.types.get(*one as usize));
                    match negative {
                        true => plan.without.extend(files),
                        false if types.len() == 1 => plan.with.extend(files),
                        false => plan.any.push(files.collect()),
                    }
                }
                (Test::Content(_) | Test::Larger(_) | Test::Smaller(_), _) => {
                    plan.checks.push(term);
                }
            }
        }
        plan.with.sort_by_key(|files| files.len());
        plan.parts.sort_by_key(|part| std::cmp::Reverse(part.needle.len()));
        Some(plan)
    }

    fn size(&mut self, order: Ordering, bytes: u64) {
        self.sizes.push(Size { order, bytes, rank: rank(bytes) });
    }

    /// A word, a beginning, a part or a phrase that must be there.
    fn words(&mut self, needle: &str, term: &'a Term) -> Option<()> {
        let (open, closed) = (needle.starts_with(' '), needle.ends_with(' '));
        let words: Vec<&str> = needle.split(' ').filter(|word| !word.is_empty()).collect();
        for (at, word) in words.iter().enumerate() {
            let begins = open || at > 0;
            let ends = closed || at + 1 < words.len();
            if begins && ends {
                self.with.push(self.index.words.find(word)?);
            } else {
                let (before, after) = (if begins { " " } else { "" }, if ends { " " } else { "" });
                self.parts.push(Part { needle: format!("{before}{word}{after}"), term });
            }
        }
        if words.len() > 1 {
            self.checks.push(term); // that they follow each other
        }
        Some(())
    }

    /// Gives `take` what matches.
    pub(super) fn run(
        mut self,
        files: &impl Files,
        budget: &mut Budget,
        take: &mut Take<'_>,
    ) -> ControlFlow<()> {
        if let Some(list) = self.with.iter().find_map(|files| files.listed()) {
            self.read_names(0);
            return self.consider(list.iter().copied(), files, budget, take);
        }
        let mut left = self.intersect(budget)?;
        let mut seen = RoaringBitmap::new();
        if left.is_none() {
            let (first, whole) = self.first(budget);
            seen.extend(first);
            // Of all other parts, the names tell.
            let known = self.checks.len();
            self.checks.extend(self.parts.iter().skip(1).map(|part| part.term));
            self.consider(seen.iter(), files, budget, take)?;
            if whole {
                return ControlFlow::Continue(());
            }
            self.checks.truncate(known);
        }
        let mut gathered = 0;
        while let Some(part) = self.parts.get(gathered)
            && left.as_ref().is_none_or(|left| left.len() > FEW)
            && !budget.is_cut()
        {
            let found = self.gather(&part.needle, budget);
            left = Some(Cow::Owned(match left {
                None => found - &seen,
                Some(left) => &*left & found,
            }));
            gathered += 1;
        }
        self.read_names(gathered);
        let Some(mut left) = left else { return ControlFlow::Continue(()) };
        for files in std::mem::take(&mut self.without) {
            match files.mapped() {
                Some(map) if left.len() > FEW && budget.sets(map.len()).is_continue() => {
                    left = Cow::Owned(&*left - map);
                }
                _ => self.without.push(files),
            }
        }
        self.consider(left.iter(), files, budget, take)
    }

    /// What is in all of the sets that must be, where these are large; none where there are
    /// none.
    fn intersect(
        &mut self,
        budget: &mut Budget,
    ) -> ControlFlow<(), Option<Cow<'a, RoaringBitmap>>> {
        let mut left: Option<Cow<'a, RoaringBitmap>> = None;
        for map in std::mem::take(&mut self.with).into_iter().filter_map(Postings::mapped) {
            left = Some(match left {
                None => Cow::Borrowed(map),
                Some(left) => {
                    budget.sets(map.len().min(left.len()))?;
                    Cow::Owned(&*left & map)
                }
            });
        }
        for sets in std::mem::take(&mut self.any) {
            let mut union = RoaringBitmap::new();
            for postings in sets {
                budget.sets(postings.len())?;
                match postings.mapped() {
                    Some(map) => union |= map,
                    None => union.extend(postings.listed().into_iter().flatten()),
                }
            }
            left = Some(Cow::Owned(match left {
                None => union,
                Some(left) => &*left & union,
            }));
        }
        ControlFlow::Continue(left)
    }

    /// Leaves the parts from the `from`th on to the names.
    fn read_names(&mut self, from: usize) {
        self.checks.extend(self.parts.drain(from..).map(|part| part.term));
    }

    /// The first files that have the first part, and whether these are all.
    fn first(&self, budget: &mut Budget) -> (Vec<u32>, bool) {
        let mut first = Vec::new();
        let Some(part) = self.parts.first() else { return (first, true) };
        let ended = self.index.words.scan(part.needle.as_bytes(), budget, |postings, budget| {
            let room = FIRST.saturating_sub(first.len());
            let all = match postings.listed() {
                Some(list) => {
                    first.extend(list.iter().take(room));
                    list.len() <= room
                }
                None => {
                    first.extend(postings.mapped().into_iter().flatten().take(room));
                    postings.len() <= room as u64
                }
            };
            budget.files(room.min(FIRST))?;
            if all { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        (first, ended.is_continue())
    }

    /// The files with a word that `needle` is found in: all, or what the budget is for.
    fn gather(&self, needle: &str, budget: &mut Budget) -> RoaringBitmap {
        // Most words have few files, which go into a plain field of bits first.
        let mut maps = RoaringBitmap::new();
        if budget.gather(self.index.sizes.len()).is_break() {
            return maps;
        }
        let mut bits = vec![0u8; self.index.sizes.len().div_ceil(8)];
        // Bitmaps with so many files are fields of bits themselves, and joined as such.
        let dense = self.index.sizes.len() as u64 / DENSE;
        let _ = self.index.words.scan(needle.as_bytes(), budget, |postings, budget| {
            let mut set = |file: u32| {
                if let Some(byte) = bits.get_mut(file as usize / 8) {
                    *byte |= 1 << (file % 8);
                }
            };
            match (postings.listed(), postings.mapped()) {
                (None, Some(map)) if map.len() >= dense => {
                    budget.sets(map.len())?;
                    maps |= map;
                }
                (None, Some(map)) => {
                    budget.mapped_files(map.len())?;
                    map.iter().for_each(set);
                }
                (list, _) => {
                    let list = list.unwrap_or_default();
                    budget.files(list.len())?;
                    list.iter().for_each(|&file| set(file));
                }
            }
            ControlFlow::Continue(())
        });
        maps | RoaringBitmap::from_lsb0_bytes(0, &bits)
    }

    /// Gives `take` those of `numbers` that match.
    fn consider(
        &self,
        numbers: impl Iterator<Item = u32>,
        files: &impl Files,
        budget: &mut Budget,
        take: &mut Take<'_>,
    ) -> ControlFlow<()> {
        for number in numbers {
            budget.candidate()?;
            let is_in = |postings: &&Postings| postings.contains(number);
            let in_all = self.with.iter().all(is_in)
                && self.any.iter().all(|sets| sets.iter().any(is_in))
                && !self.without.iter().any(is_in);
            if !in_all || !self.sizes.iter().all(|size| size.may_fit(self.index, number)) {
                continue;
            }
            let Some(entry) = files.entry(number) else { continue };
            if !self.sizes.iter().all(|size| entry.size.cmp(&size.bytes) == size.order) {
                continue;
            }
            if !self.checks.is_empty() {
                budget.name()?;
                if !entry.satisfies(self.checks.iter().copied()) {
                    continue;
                }
            }
            take(number, &entry)?;
        }
        ControlFlow::Continue(())
    }
}

impl Size {
    /// Whether a file may be of this size, as far as its rank tells.
    fn may_fit(&self, index: &Index, number: u32) -> bool {
        let rank = index.sizes.get(number as usize).copied().unwrap_or(0);
        let order = rank.cmp(&self.rank);
        order == self.order || order == Ordering::Equal
    }
}

/// The word, where `needle` is one whole word.
fn whole(needle: &str) -> Option<&str> {
    let word = needle.strip_prefix(' ')?.strip_suffix(' ')?;
    (!word.is_empty() && !word.contains(' ')).then_some(word)
}

//! The files that a word is in.

use roaring::RoaringBitmap;

/// Files up to which a sorted list is smaller than a bitmap, whose every 65,536 numbers
/// cost 40 bytes before the first of them.
const MOST_LISTED: usize = 128;

/// Files below which a bitmap becomes a list again: half, so that one file that comes and
/// goes does not turn it over each time.
const LEAST_MAPPED: u64 = MOST_LISTED as u64 / 2;

/// A set of file numbers, as small as it can be: most words are in one file.
#[derive(Clone, Debug, Default)]
pub(super) enum Postings {
    #[default]
    None,
    One(u32),
    /// Sorted.
    Listed(Vec<u32>),
    Mapped(Box<RoaringBitmap>),
}

impl Postings {
    /// Adds a file; false when it was there.
    pub(super) fn insert(&mut self, number: u32) -> bool {
        match self {
            Self::None => *self = Self::One(number),
            Self::One(only) if *only == number => return false,
            Self::One(only) => {
                *self = Self::Listed(vec![(*only).min(number), (*only).max(number)]);
            }
            Self::Listed(list) => {
                let Err(at) = list.binary_search(&number) else { return false };
                if list.len() < MOST_LISTED {
                    if list.len() == list.capacity() {
                        list.reserve_exact(list.len() / 2 + 1);
                    }
                    list.insert(at, number);
                } else {
                    let mut map: RoaringBitmap = list.iter().copied().collect();
                    map.insert(number);
                    *self = Self::Mapped(Box::new(map));
                }
            }
            Self::Mapped(map) => return map.insert(number),
        }
        true
    }

    /// Takes a file out; false when it was not there.
    pub(super) fn remove(&mut self, number: u32) -> bool {
        match self {
            Self::None => return false,
            Self::One(only) if *only != number => return false,
            Self::One(_) => *self = Self::None,
            Self::Listed(list) => {
                let Ok(at) = list.binary_search(&number) else { return false };
                list.remove(at);
                if let [only] = list[..] {
                    *self = Self::One(only);
                }
            }
            Self::Mapped(map) => {
                if !map.remove(number) {
                    return false;
                }
                if map.len() < LEAST_MAPPED {
                    *self = Self::Listed(map.iter().collect());
                }
            }
        }
        true
    }

    pub(super) fn contains(&self, number: u32) -> bool {
        match self {
            Self::Mapped(map) => map.contains(number),
            _ => self.listed().is_some_and(|list| list.binary_search(&number).is_ok()),
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Self::Mapped(map) => map.len(),
            _ => self.listed().map_or(0, <[u32]>::len) as u64,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::None)
    }

    /// All of them in order; none when there are so many that they are a bitmap.
    pub(super) fn listed(&self) -> Option<&[u32]> {
        match self {
            Self::None => Some(&[]),
            Self::One(only) => Some(std::slice::from_ref(only)),
            Self::Listed(list) => Some(list),
            Self::Mapped(_) => None,
        }
    }

    pub(super) fn mapped(&self) -> Option<&RoaringBitmap> {
        match self {
            Self::Mapped(map) => Some(map),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn they_are_a_set_in_each_of_their_forms(
            steps in prop::collection::vec((0u32..400, 0u8..4), 0..1000),
        ) {
            let (mut postings, mut set) = (Postings::default(), BTreeSet::new());
            for (at, (number, what)) in steps.into_iter().enumerate() {
                let number = number * 5000;
                // More come than go at first, and the other way round later.
                if (what == 0) == (at < 600) {
                    prop_assert_eq!(postings.remove(number), set.remove(&number));
                } else {
                    prop_assert_eq!(postings.insert(number), set.insert(number));
                }
                prop_assert_eq!(postings.contains(number), set.contains(&number));
                prop_assert_eq!(postings.len(), set.len() as u64);
                prop_assert_eq!(postings.is_empty(), set.is_empty());
            }
            let all: Vec<u32> = match postings.mapped() {
                Some(map) => map.iter().collect(),
                None => postings.listed().unwrap().to_vec(),
            };
            prop_assert!(all.into_iter().eq(set));
        }
    }
}

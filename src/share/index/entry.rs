//! A published file as queries see it, and whether a query holds for it: the slow, obvious
//! way, one file at a time. What the index cannot tell is told by this; and the index as a
//! whole must say the same, which `tests` holds it to.

use crate::base::ContentId;
use crate::share::file_type::FileType;
use crate::share::fold::{FoldedName, folded};
use crate::share::query::{Query, Term, Test};

/// A published file as queries see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// The folders below the published one, `/` between them; empty when there are none.
    pub folder: &'a str,
    /// Its name.
    pub name: &'a str,
    /// Its size in bytes.
    pub size: u64,
    /// What it holds.
    pub id: ContentId,
}

/// The files behind the numbers in an index.
pub trait Files {
    /// The file that was inserted under this number.
    fn entry(&self, number: u32) -> Option<Entry<'_>>;
}

impl Query {
    /// Whether it holds for `entry`, be that published here or somewhere else.
    #[must_use]
    pub fn holds(&self, entry: &Entry<'_>) -> bool {
        entry.satisfies(self.terms())
    }
}

impl Entry<'_> {
    /// Whether all of `terms` hold for it.
    pub(in crate::share) fn satisfies<'t>(
        &self,
        terms: impl IntoIterator<Item = &'t Term>,
    ) -> bool {
        let mut line = None;
        terms.into_iter().all(|term| self.passes(&term.test, &mut line) != term.negative)
    }

    fn passes(&self, test: &Test, line: &mut Option<FoldedName>) -> bool {
        match test {
            Test::Content(id) => self.id == *id,
            Test::Larger(bytes) => self.size > *bytes,
            Test::Smaller(bytes) => self.size < *bytes,
            Test::Words(needle) => {
                line.get_or_insert_with(|| FoldedName::within(self.folder, self.name)).has(needle)
            }
            Test::Ending(ending) => {
                let name = folded(self.name);
                name.len() > ending.len() && name.ends_with(ending.as_str())
            }
            Test::Type(types) => {
                FileType::of_name(self.name).is_some_and(|kind| types.contains(&kind))
            }
        }
    }
}

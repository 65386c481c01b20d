//! Published files in order of their paths, as folders hold each other.
//!
//! The order is that of [`Path`], by which all that lies in a folder stands together, right
//! behind it; but read from the bytes and not part by part, which is what made the time of
//! publishing many files.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use super::published_path::Published;

/// The files, each once by its path.
#[derive(Default)]
pub(super) struct ByPath(BTreeSet<Placed>);

struct Placed(Arc<Published>);

/// What has a place in the order.
trait Place {
    fn bytes(&self) -> &[u8];
}

/// A path to look for.
struct Wanted<'a>(&'a Path);

impl ByPath {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn find(&self, path: &Path) -> Option<&Arc<Published>> {
        self.0.get(&Wanted(path) as &dyn Place).map(|placed| &placed.0)
    }

    /// Adds a file; the one of the same path goes.
    pub(super) fn insert(&mut self, file: Arc<Published>) -> Option<Arc<Published>> {
        self.0.replace(Placed(file)).map(|placed| placed.0)
    }

    pub(super) fn remove(&mut self, path: &Path) -> Option<Arc<Published>> {
        self.0.take(&Wanted(path) as &dyn Place).map(|placed| placed.0)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<Published>> {
        self.0.iter().map(|placed| &placed.0)
    }

    /// The files from `path` on, that itself among them.
    pub(super) fn from<'a>(&'a self, path: &Path) -> impl Iterator<Item = &'a Arc<Published>> {
        let wanted = Wanted(path);
        let begin: Bound<&dyn Place> = Bound::Included(&wanted);
        self.0.range::<dyn Place, _>((begin, Bound::Unbounded)).map(|placed| &placed.0)
    }
}

impl FromIterator<Arc<Published>> for ByPath {
    fn from_iter<T: IntoIterator<Item = Arc<Published>>>(files: T) -> Self {
        Self(files.into_iter().map(Placed).collect())
    }
}

impl Place for Placed {
    fn bytes(&self) -> &[u8] {
        self.0.path.as_os_str().as_encoded_bytes()
    }
}

impl Place for Wanted<'_> {
    fn bytes(&self) -> &[u8] {
        // Without a '/' at its end.
        self.0.components().as_path().as_os_str().as_encoded_bytes()
    }
}

impl<'a> Borrow<dyn Place + 'a> for Placed {
    fn borrow(&self) -> &(dyn Place + 'a) {
        self
    }
}

impl Ord for dyn Place + '_ {
    fn cmp(&self, other: &Self) -> Ordering {
        in_order(self.bytes(), other.bytes())
    }
}

impl PartialOrd for dyn Place + '_ {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for dyn Place + '_ {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for dyn Place + '_ {}

impl Ord for Placed {
    fn cmp(&self, other: &Self) -> Ordering {
        in_order(self.bytes(), other.bytes())
    }
}

impl PartialOrd for Placed {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Placed {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Placed {}

/// How two plain paths follow each other: by their bytes, where `/` comes before all others.
fn in_order(one: &[u8], other: &[u8]) -> Ordering {
    let common = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    match (one.get(common), other.get(common)) {
        (Some(b'/'), Some(_)) => Ordering::Less,
        (Some(_), Some(b'/')) => Ordering::Greater,
        (one, other) => one.cmp(&other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_paths(one in "(/[a -.0é]{1,3}){1,4}", other in "(/[a -.0é]{1,3}){1,4}") {
            let plain = |path: &str| {
                Path::new(path).components().as_path().to_str() == Some(path)
                    && !Path::new(path).components().any(|part| part.as_os_str() == "..")
                    && !path.contains("/./")
            };
            prop_assume!(plain(&one) && plain(&other));
            let expected = Path::new(&one).cmp(Path::new(&other));
            prop_assert_eq!(in_order(one.as_bytes(), other.as_bytes()), expected);
        }
    }
}

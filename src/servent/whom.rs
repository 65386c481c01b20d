//! Who is meant by a name, the beginning of an id, or an address.
//!
//! Known are the neighbours, the contacts that `peers --known` lists, and whoever has one of
//! the latest results. Always true: what several of them could mean means none of them, since
//! everybody may take any name.

use std::collections::BTreeMap;

use super::calling::Approach;
use super::handle::Servent;
use super::report::{PeerReport, Relation};
use crate::base::ServentId;
use crate::base::escape::Escaped;

/// Most servents that the sentence about an ambiguous name names.
const MOST_NAMED: usize = 4;

/// Somebody known, and how to come there.
#[derive(Clone, Default)]
pub(super) struct Acquaintance {
    pub(super) name: String,
    pub(super) approach: Approach,
}

/// Why nobody is meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WhomError {
    /// Nobody is called that.
    #[error("nobody known is '{}': 'peers' lists the neighbours, 'peers --known' others", Escaped(.0))]
    Nobody(String),
    /// Several are.
    #[error("'{}' may be {}; name one by its id", Escaped(.whom), .who.join(" or "))]
    Several {
        /// What was typed.
        whom: String,
        /// Some of them, by short id.
        who: Vec<String>,
    },
}

impl Servent {
    /// Everybody who can be meant.
    pub(super) async fn acquaintances(&self) -> BTreeMap<ServentId, Acquaintance> {
        let mut all: BTreeMap<ServentId, Acquaintance> = BTreeMap::new();
        for peer in self.peers().await.into_iter().chain(self.known().await) {
            let PeerReport { id, name, addresses, relation, .. } = peer;
            let known = all.entry(id).or_default();
            if known.name.is_empty() {
                known.name = name;
            }
            if known.approach.addresses.is_empty() {
                known.approach.addresses = addresses;
            }
            if let Relation::Neighbour { dialable: Some(false), .. } = relation {
                known.approach.calls_back = true;
            }
        }
        for source in self.latest().reports().into_iter().flat_map(|result| result.sources) {
            let known = all.entry(source.id).or_default();
            if known.name.is_empty() {
                known.name = source.name;
            }
            if known.approach.addresses.is_empty() {
                known.approach.addresses = source.addresses;
            }
            known.approach.calls_back |= source.calls_back;
            known.approach.way = source.way.or(known.approach.way);
        }
        all
    }

    /// The one that `whom` means.
    pub(super) async fn meant(&self, whom: &str) -> Result<(ServentId, Acquaintance), WhomError> {
        meant(self.acquaintances().await, whom)
    }
}

fn meant(
    all: BTreeMap<ServentId, Acquaintance>,
    whom: &str,
) -> Result<(ServentId, Acquaintance), WhomError> {
    let mut found: Vec<_> =
        all.into_iter().filter(|(id, known)| is_meant(whom, id, known)).collect();
    match (found.pop(), found.len()) {
        (None, _) => Err(WhomError::Nobody(whom.to_owned())),
        (Some(only), 0) => Ok(only),
        (Some((last, _)), _) => {
            let who = found.iter().map(|(id, _)| *id).chain([last]).take(MOST_NAMED);
            let who = who.map(|id| id.short()).collect();
            Err(WhomError::Several { whom: whom.to_owned(), who })
        }
    }
}

fn is_meant(whom: &str, id: &ServentId, known: &Acquaintance) -> bool {
    // As it is shown: `name~shortid`, of which the name proves nothing.
    let digits = whom.rsplit_once('~').map_or(whom, |(_, digits)| digits);
    let by_id = !digits.is_empty() && id.to_string().starts_with(&digits.to_ascii_lowercase());
    let at = |address: &std::net::SocketAddr| {
        address.to_string() == whom || address.ip().to_string() == whom
    };
    by_id || (known.name == whom && !whom.is_empty()) || known.approach.addresses.iter().any(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(known: &[(u8, &str, &str)]) -> BTreeMap<ServentId, Acquaintance> {
        known
            .iter()
            .map(|(id, name, address)| {
                let addresses = address.parse().into_iter().collect();
                let approach = Approach { addresses, ..Approach::default() };
                (ServentId([*id; 32]), Acquaintance { name: (*name).to_owned(), approach })
            })
            .collect()
    }

    #[test]
    fn a_servent_is_named_by_what_only_it_has() {
        let known = [(7, "attic", "10.0.0.1:7272"), (8, "desk", "10.0.0.2:7272"), (9, "", "")];
        let id = |whom: &str| meant(all(&known), whom).map(|(id, _)| id.0[0]);
        let short = ServentId([7; 32]).short();
        for whom in ["attic", &short, &format!("attic~{short}"), "10.0.0.1:7272", "10.0.0.1"] {
            assert_eq!(id(whom), Ok(7), "{whom}");
        }
        assert_eq!(id(&short.to_ascii_uppercase()), Ok(7));
        for nobody in ["", "att", "attic~", "10.0.0.3", "\x1b[2J"] {
            let error = id(nobody).unwrap_err();
            assert!(matches!(error, WhomError::Nobody(_)), "{nobody}: {error}");
            assert!(!error.to_string().contains('\x1b'));
        }
    }

    #[test]
    fn who_takes_the_name_of_another_is_not_taken_for_it() {
        let known = [(7, "attic", ""), (8, "attic", ""), (9, &ServentId([7; 32]).short(), "")];
        for whom in ["attic", &ServentId([7; 32]).short()] {
            let error = meant(all(&known), whom).err().unwrap();
            assert!(error.to_string().contains(" or ") && error.to_string().contains("may be"));
        }
        let whole = ServentId([7; 32]).to_string();
        assert_eq!(meant(all(&known), &whole).map(|(id, _)| id.0[0]), Ok(7));
    }
}

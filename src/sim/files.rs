//! Who has which file, in a table instead of a library; and what is said about it, in the
//! frames that a real servent would send.

use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};

use super::place::Families;
use crate::base::{Contact, ContentId};
use crate::message::{Hello, Hit, HitBody, Purpose, QueryBody, Trace, VERSION};
use crate::overlay::Answer;
use crate::wire::{encode_hit_body, encode_query_body};

/// What a simulated servent says that it runs.
const AGENT: &str = concat!("part2part ", env!("CARGO_PKG_VERSION"));

/// Which servents hold which names.
#[derive(Debug, Default)]
pub(super) struct Files {
    holders: BTreeMap<String, BTreeSet<usize>>,
}

impl Files {
    pub(super) fn give(&mut self, servent: usize, name: &str) {
        match self.holders.get_mut(name) {
            Some(holders) => {
                holders.insert(servent);
            }
            None => {
                self.holders.insert(name.to_owned(), BTreeSet::from([servent]));
            }
        }
    }

    pub(super) fn holders(&self, name: &str) -> impl Iterator<Item = usize> + '_ {
        self.holders.get(name).into_iter().flatten().copied()
    }

    /// What `servent` answers to somebody who looks for exactly this name.
    pub(super) fn answers(&self, servent: usize, families: Families, name: &str) -> Vec<Answer> {
        let holds = self.holders.get(name).is_some_and(|holders| holders.contains(&servent));
        if !holds {
            return Vec::new();
        }
        let id = ContentId(*blake3::hash(name.as_bytes()).as_bytes());
        let size = name.len() as u64;
        let hit = Hit { id, size, name: name.to_owned(), ext: Vec::new() };
        let body = HitBody {
            addresses: families.addresses(servent),
            name: String::new(),
            unreachable: false,
            hits: vec![hit],
            more: false,
            ext: Vec::new(),
        };
        let body = encode_hit_body(&body).unwrap_or_else(|_| Bytes::copy_from_slice(b"?"));
        vec![Answer { count: 1, body }]
    }
}

/// A search for exactly `name`, as it travels, which may ask for a trace.
pub(super) fn query(name: &str, traced: bool) -> Bytes {
    let ext = if traced { Trace::wanted() } else { Vec::new() };
    let body = QueryBody { text: name.to_owned(), ext };
    // What is too short or too long for a query is simulated all the same.
    encode_query_body(&body).unwrap_or_else(|_| Bytes::copy_from_slice(name.as_bytes()))
}

/// What a simulated servent says when it dials.
pub(super) fn hello(purpose: Purpose, own: &Contact) -> Hello {
    Hello {
        version: VERSION,
        features: 0,
        purpose,
        listen_port: own.addresses.first().map(std::net::SocketAddr::port).unwrap_or_default(),
        addresses: own.addresses.clone(),
        agent: AGENT.to_owned(),
        name: String::new(),
        ext: Vec::new(),
    }
}

//! How a search ran.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the flood of a search ran, as those who were asked told.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct TraceReport {
    /// Everybody told of, each behind its parent.
    pub servents: Vec<TracedReport>,
    /// How many were asked that nobody told of.
    pub unsaid: u64,
    /// How many copies of the query this servent sent.
    pub copies: u32,
    /// How many of them found somebody who had the query already.
    pub duplicates: u32,
}

/// One servent that a search was told of. All of it is a claim of those on the way.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TracedReport {
    /// Where its parent, which sent it its copy, stands in the list, from 0; none when that
    /// was this servent.
    pub parent: Option<usize>,
    /// The first eight characters of its id; none when it does not want to be named.
    pub id: Option<String>,
    /// What its user calls it, where a neighbour or a hit told.
    pub name: String,
    /// How many links away it is, on this way.
    pub hops: u8,
    /// Whether it looked into its library.
    pub asked: bool,
    /// Whether it said nothing of itself: its parent speaks for it.
    pub silent: bool,
    /// Whether it answered before the end.
    pub answered: bool,
    /// Whether something was still to come from it at the end: all that it was sent, or what
    /// a wider search added.
    pub owes: bool,
    /// How many of its files matched, as it told or as hits of it came.
    pub hits: u32,
    /// How many copies of the query it sent.
    pub copies: u32,
    /// How many of them found somebody who had the query already.
    pub duplicates: u32,
    /// How many copies and matches came to nothing there.
    pub lost: u32,
    /// How many were asked behind it that nobody told of.
    pub unsaid: u64,
    /// When its copy left for it, in microseconds after the search began; estimated from
    /// spans, since no two clocks are compared.
    pub sent_micros: u64,
    /// When its answer was back where the copy had left, likewise.
    pub answered_micros: u64,
    /// How much of that was spent on the link, both ways together; the rest was behind it.
    pub link_micros: Option<u64>,
}

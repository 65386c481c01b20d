//! What is shared, and how that came about.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::as_text;
use crate::base::ContentId;
use crate::share;

/// How far a `publish` has come.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PublishProgress {
    /// Files hashed so far.
    pub files: usize,
    /// Bytes hashed so far.
    pub bytes: u64,
    /// The file in hand; unescaped.
    pub current: String,
}

/// How a `publish` went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PublishReport {
    /// Files now shared under the path.
    pub files: usize,
    /// How many bytes they are.
    pub bytes: u64,
    /// How many of them were shared already, as they are.
    pub unchanged: usize,
    /// How many files and folders were left out.
    pub left_out: usize,
    /// Why they were, and how many for each reason.
    #[serde(default)]
    pub reasons: Vec<LeftOutCount>,
    /// Some of those that are not just hidden, with the reason.
    pub examples: Vec<LeftOut>,
}

impl PublishReport {
    /// How many were left out and are not among the examples, but for those that are just
    /// hidden: these are never examples.
    #[must_use]
    pub fn unnamed(&self) -> usize {
        let hidden = |counted: &&LeftOutCount| counted.reason == share::LeftOut::Hidden.word();
        let hidden = self.reasons.iter().find(hidden).map_or(0, |counted| counted.count);
        self.left_out.saturating_sub(hidden).saturating_sub(self.examples.len())
    }
}

/// How many files and folders `publish` passed over for one reason.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LeftOutCount {
    /// The reason in a word or two: `hidden`.
    pub reason: String,
    /// How many.
    pub count: usize,
}

/// Something that `publish` passed over.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// Where it lies; unescaped.
    pub path: String,
    /// Why it is not shared.
    pub why: String,
}

/// How an `unpublish` went.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UnpublishReport {
    /// Files no longer shared.
    pub files: usize,
    /// How many bytes they are.
    pub bytes: u64,
}

/// A file that this servent shares.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SharedReport {
    /// What others see.
    pub name: String,
    /// Where it lies.
    #[serde(serialize_with = "as_text")]
    pub path: PathBuf,
    /// What it holds.
    pub id: ContentId,
    /// Its size in bytes.
    pub size: u64,
}

//! Settings and where they came from.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One setting and where its value came from.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SettingReport {
    /// Its key.
    pub key: String,
    /// Its value, as `set` or the flag takes it; unescaped.
    pub value: String,
    /// `flag --NAME`, `environment NAME`, `set`, `FILE:LINE` or `default`.
    pub origin: String,
    /// What it does, in a sentence.
    pub help: String,
    /// A sentence about this value, where there is something to know.
    pub note: Option<String>,
}

/// A limit that people meet.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LimitReport {
    /// What is limited.
    pub name: String,
    /// How many, how much, or how long.
    pub value: u64,
    /// Of what.
    pub unit: Unit,
    /// What happens at the limit.
    pub then: String,
}

/// What a limit is counted in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// The things that its name says.
    Number,
    /// Bytes.
    Bytes,
    /// Things or bytes a second.
    PerSecond,
    /// Things a minute.
    PerMinute,
    /// Seconds.
    Seconds,
}

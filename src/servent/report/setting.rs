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

//! What `--json` prints, described for those who read it by program.
//!
//! One object a line. Each has `v`, the version of this description, and `reply`, which
//! says what else is in it; errors are objects like any other. Within a version fields
//! and kinds of replies are added, never renamed, taken away, or given another meaning:
//! readers pass over what they do not know.

use schemars::JsonSchema;
use serde::Serialize;

use super::Reply;

/// The version of the description.
pub const VERSION: u32 = 1;

/// One line of output.
#[derive(Serialize, JsonSchema)]
pub(super) struct Line<'a> {
    /// The version of this description.
    v: u32,
    #[serde(flatten)]
    reply: &'a Reply,
}

impl<'a> Line<'a> {
    pub(super) fn of(reply: &'a Reply) -> Self {
        Self { v: VERSION, reply }
    }
}

/// The JSON Schema (draft 2020-12) of one line, as `part2part schema` prints it.
#[must_use]
pub fn schema() -> String {
    let schema = schemars::schema_for!(Line<'_>);
    format!("{:#}\n", schema.as_value())
}

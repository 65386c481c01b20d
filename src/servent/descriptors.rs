//! The process's limit on open files and connections.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Fewer than this do not hold the connections and files of an ordinary evening.
const LEAST: u64 = 128;

/// Raises the limit as far as the system lets us, and says when that is too little.
///
/// # Errors
/// The limit, where it is below [`LEAST`].
pub(super) fn raise_limit() -> Result<(), u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // What cannot be raised stays as it is, which the check below judges.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    match limit {
        Some(limit) if limit < LEAST => Err(limit),
        _ => Ok(()),
    }
}

//! The process's limit on open files and connections.

use super::admission::MAX_INBOUND;
use super::reactors::MOST;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Fewer than this do not hold the connections and files of an ordinary evening.
const LEAST: u64 = 128;
/// Those that are no inbound connection: files, the control socket, dials, our own links, and
/// four of each reactor.
const OTHERS: u64 = 64 + 4 * MOST as u64;
/// Of an inbound connection: itself, and the file that it is sent or comes from.
const EACH: u64 = 2;

/// Raises the limit as far as the system lets us; how many connections can be taken in
/// under it, and the limit where that is why they are fewer than [`MAX_INBOUND`].
///
/// # Errors
/// The limit, where it is below [`LEAST`].
pub(super) fn raise_limit() -> Result<(usize, Option<u64>), u64> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // What cannot be raised stays as it is, which the check below judges.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    let limit = if raised { maximum } else { current };
    match limit {
        Some(limit) if limit < LEAST => Err(limit),
        Some(limit) => {
            let places = usize::try_from((limit - OTHERS) / EACH).unwrap_or(usize::MAX);
            let fewer = places < MAX_INBOUND;
            Ok((places.min(MAX_INBOUND), fewer.then_some(limit)))
        }
        None => Ok((MAX_INBOUND, None)),
    }
}

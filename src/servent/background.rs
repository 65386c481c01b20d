//! Work that nobody may be held up by: on a thread of its own, at a low priority. On a
//! single-threaded runtime, as in tests under a paused clock, it is just done.

use std::io;

use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::sync::oneshot;

/// The priority, as `nice` counts: the user's own work comes first.
const NICE: i32 = 10;

/// Does `work` on a thread of that name, and on the threads that it begins; the answer
/// comes when it is done, and fails to come when it has panicked.
///
/// # Errors
/// What the system says, when it gives no thread.
pub(super) fn in_background<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<oneshot::Receiver<T>> {
    let (done, answer) = oneshot::channel();
    let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
    if matches!(flavor, Ok(RuntimeFlavor::CurrentThread)) {
        let _ = done.send(work());
        return Ok(answer);
    }
    std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        // Of this thread only; where it is not allowed it is as good as before.
        let _ = rustix::process::setpriority_process(None, NICE);
        // Nobody may be waiting any more.
        let _ = done.send(work());
    })?;
    Ok(answer)
}

//! The other end: one order, its replies, its exit.

use std::io;
use std::path::{Path, PathBuf};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::{MAX_REQUEST, within_reach};
use crate::command::render::ascii;
use crate::command::{Exit, Order, Reply};

/// Longest reply in bytes. The servent is the user's own, so this only keeps a broken one
/// from filling the memory; a list of a million shared files fits.
const MAX_REPLY: u64 = 1 << 30;

/// Why an order was not obeyed to the end.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("no servent runs on {}; 'part2part daemon' starts one", .0.display())]
    NoServent(PathBuf),
    /// The socket is somebody else's.
    #[error("the servent on {} belongs to another user", .0.display())]
    Forbidden(PathBuf),
    /// The order is too long to send.
    #[error("the command is longer than {MAX_REQUEST} bytes")]
    TooLong,
    /// It answers, but will not tell its news.
    #[error("the running servent does not let a prompt attach: {0}")]
    Refused(String),
    /// The connection broke.
    #[error("the servent went away before it had answered: {0}")]
    Broken(io::Error),
    /// What came is no reply.
    #[error("the servent's answer is not understood; is it of another version? {0}")]
    Garbage(serde_json::Error),
}

impl AskError {
    /// The exit code that scripts get.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::NoServent(_) => Exit::NoServent,
            Self::TooLong => Exit::Usage,
            Self::Forbidden(_) | Self::Refused(_) | Self::Broken(_) | Self::Garbage(_) => {
                Exit::Failed
            }
        }
    }
}

/// Has the servent of the state folder `state` obey `order`; its replies go to `out`.
/// Dropping the future interrupts the command.
///
/// # Errors
/// [`AskError`], when no servent answers or not to the end.
pub async fn ask(state: &Path, order: &Order, out: &mpsc::Sender<Reply>) -> Result<Exit, AskError> {
    let request = format!("{}\n", ascii(order));
    if request.len() > MAX_REQUEST {
        return Err(AskError::TooLong);
    }
    let unreachable = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => AskError::Forbidden(state.to_owned()),
        _ => AskError::NoServent(state.to_owned()),
    };
    let (path, _folder) = within_reach(state).map_err(unreachable)?;
    let stream = UnixStream::connect(path).await.map_err(unreachable)?;
    let (reader, mut writer) = stream.into_split();
    // A servent with no place says so without reading: its word counts, not the failure.
    let sent = writer.write_all(request.as_bytes()).await;
    let mut reader = BufReader::new(reader);
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut limited = (&mut reader).take(MAX_REPLY);
        limited.read_until(b'\n', &mut line).await.map_err(AskError::Broken)?;
        if line.last() != Some(&b'\n') {
            let ended = || io::Error::from(io::ErrorKind::UnexpectedEof);
            return Err(AskError::Broken(sent.err().unwrap_or_else(ended)));
        }
        match serde_json::from_slice(&line).map_err(AskError::Garbage)? {
            Reply::Exit { code } => return Ok(Exit::of_code(code)),
            reply => {
                // Nobody listens any more, but the command shall end as it would.
                let _ = out.send(reply).await;
            }
        }
    }
}

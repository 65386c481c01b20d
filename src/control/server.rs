//! The servent's end: one task a client, nobody waits for a slow one.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Listener;
use crate::command::render::json;
use crate::command::{Console, Exit, Order, Reply};

/// Most clients at once: a person and a few scripts; each holds a task and a buffer.
pub const MAX_CLIENTS: usize = 16;
/// Longest request in bytes, its line end included: room for a few hundred paths.
pub const MAX_REQUEST: usize = 64 * 1024;
/// How long a client may take to send its request.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to read one reply before it is given up.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// How many replies wait for a client that reads slowly; then its own command waits.
const REPLY_QUEUE: usize = 64;
/// How long a command that is about to end has for its last replies once the servent
/// stops.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// How long to rest when the system has no descriptor for another client.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Answers the clients of `listener` by `console` until `stop` is cancelled.
///
/// Commands that are running then are interrupted, and their clients told; the `quit`
/// that may have asked for the stop gets its answer.
pub async fn serve<C: Console>(listener: Listener, console: Arc<C>, stop: CancellationToken) {
    serve_within(REQUEST_TIMEOUT, listener, console, stop).await;
}

/// [`serve`], with `patience` for a request.
pub(super) async fn serve_within<C: Console>(
    patience: Duration,
    listener: Listener,
    console: Arc<C>,
    stop: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(MAX_CLIENTS));
    let clients = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            accepted = listener.socket.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!("control socket: {error}");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if !is_ours(&stream) {
            tracing::warn!("control socket: another user was turned away");
            continue;
        }
        match room.clone().try_acquire_owned() {
            Ok(place) => {
                let (console, stop) = (console.clone(), stop.clone());
                clients.spawn(async move {
                    attend(stream, patience, &*console, &stop).await;
                    drop(place);
                });
            }
            Err(_) => turn_away(&stream),
        }
    }
    drop(listener);
    clients.close();
    clients.wait().await;
}

/// Whether the caller is the user that this process runs as.
fn is_ours(stream: &UnixStream) -> bool {
    let me = rustix::process::geteuid().as_raw();
    stream.peer_cred().is_ok_and(|peer| peer.uid() == me)
}

/// Tells a client that there is no place, without waiting for it: a fresh socket has room
/// for a line, and one that has none is not worth it.
fn turn_away(stream: &UnixStream) {
    let text = format!("{MAX_CLIENTS} clients are being answered already; try again");
    let refusal = Reply::error(Exit::Failed, &text);
    let end = Reply::Exit { code: Exit::Failed.code() };
    let _ = stream.try_write(format!("{}\n{}\n", json(&refusal), json(&end)).as_bytes());
}

async fn attend<C: Console>(
    stream: UnixStream,
    patience: Duration,
    console: &C,
    stop: &CancellationToken,
) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let asked = tokio::select! {
        biased;
        () = stop.cancelled() => return,
        asked = timeout(patience, request(&mut reader)) => asked,
    };
    let refusal = match asked {
        Ok(Ok(order)) => return obey(order, reader, &mut writer, console, stop).await,
        Ok(Err(why)) => why,
        Err(_) => Refusal::Late,
    };
    if refusal.has_listener() {
        let exit = Exit::Usage;
        let _ = write(&mut writer, &Reply::error(exit, &refusal)).await;
        let _ = write(&mut writer, &Reply::Exit { code: exit.code() }).await;
    }
}

/// Why a request is not obeyed.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("the request is longer than {MAX_REQUEST} bytes")]
    TooLong,
    #[error("the request is not one line of JSON with a \"line\": {0}")]
    Garbage(serde_json::Error),
    #[error("the request did not come within {} s", REQUEST_TIMEOUT.as_secs())]
    Late,
    #[error("the client went away: {0}")]
    Gone(io::Error),
}

impl Refusal {
    fn has_listener(&self) -> bool {
        !matches!(self, Self::Gone(_))
    }
}

async fn request(reader: &mut BufReader<OwnedReadHalf>) -> Result<Order, Refusal> {
    let mut line = Vec::new();
    let limit = MAX_REQUEST as u64 + 1;
    let mut limited = reader.take(limit);
    limited.read_until(b'\n', &mut line).await.map_err(Refusal::Gone)?;
    if line.len() > MAX_REQUEST {
        return Err(Refusal::TooLong);
    }
    if line.last() != Some(&b'\n') {
        return Err(Refusal::Gone(io::ErrorKind::UnexpectedEof.into()));
    }
    serde_json::from_slice(&line).map_err(Refusal::Garbage)
}

async fn obey<C: Console>(
    order: Order,
    mut reader: BufReader<OwnedReadHalf>,
    writer: &mut OwnedWriteHalf,
    console: &C,
    stop: &CancellationToken,
) {
    let (sender, mut replies) = mpsc::channel(REPLY_QUEUE);
    let obeying = console.obey(order, sender);
    let telling = async {
        while let Some(reply) = replies.recv().await {
            write(writer, &reply).await?;
        }
        io::Result::Ok(())
    };
    let whole = async { tokio::join!(obeying, telling) };
    let exit = tokio::select! {
        biased;
        (exit, told) = whole => match told {
            Ok(()) => exit,
            Err(_) => return,
        },
        // `quit` cancels `stop` itself, and its own answer is still on its way.
        () = async { stop.cancelled().await; sleep(LAST_WORDS).await } => Exit::Interrupted,
        // One connection carries one command: more bytes, or the end, mean that the
        // client has lost interest.
        _ = reader.read_u8() => return,
    };
    if exit == Exit::Interrupted {
        let _ = write(writer, &Reply::error(exit, &"the servent stops")).await;
    }
    let _ = write(writer, &Reply::Exit { code: exit.code() }).await;
}

/// Writes one line; a client that does not read it in time counts as gone.
async fn write(writer: &mut OwnedWriteHalf, reply: &Reply) -> io::Result<()> {
    let line = format!("{}\n", json(reply));
    timeout(WRITE_TIMEOUT, writer.write_all(line.as_bytes())).await?
}

//! One overlay link: a task that reads from a neighbour and writes to it.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::frames::{FrameError, FrameReader};
use super::greeting::Secured;
use super::ground::Ground;
use super::incidents::Incident;
use super::outbox::Outbox;
use super::traffic::Traffic;
use crate::message::LinkMessage;
use crate::overlay::{Input, LinkId};

/// What is written is on its way within this time, or the neighbour is too slow.
const SLOW: Duration = Duration::from_secs(30);
/// A closing connection says farewell within this time.
const FAREWELL: Duration = Duration::from_secs(1);

/// Runs a link until either side ends it, then tells the driver.
pub(super) async fn run(
    ground: Arc<Ground>,
    link: LinkId,
    stream: Secured,
    ahead: BytesMut,
    outbox: Arc<Outbox>,
    traffic: Arc<Traffic>,
    driver: mpsc::Sender<Input>,
) {
    let (read, mut write) = tokio::io::split(stream);
    let count = Count { ground: &ground, link: &traffic };
    let reading = receive(link, FrameReader::resume(read, ahead), count, &driver);
    let writing = send(&mut write, &outbox, count);
    tokio::select! {
        read = reading => {
            if let Err(error) = read {
                if error.is_offence() {
                    ground.incidents.note(Incident::Offence);
                }
                tracing::debug!(?link, %error, "link broke");
            }
            // What the engine still has to say, a bye for example, may be on its way.
            outbox.close();
            let _ = timeout(FAREWELL, send(&mut write, &outbox, count)).await;
        }
        () = writing => {}
    }
    let _ = timeout(FAREWELL, write.shutdown()).await;
    let _ = driver.send(Input::LinkLost { link }).await;
}

/// Where the bytes of one link are counted: for itself, and among all links.
#[derive(Clone, Copy)]
struct Count<'a> {
    ground: &'a Ground,
    link: &'a Traffic,
}

impl Count<'_> {
    fn sent(self, bytes: u64) {
        self.link.add_sent(bytes);
        self.ground.mesh.add_sent(bytes);
    }

    fn received(self, bytes: u64) {
        self.link.add_received(bytes);
        self.ground.mesh.add_received(bytes);
    }
}

async fn receive(
    link: LinkId,
    mut reader: FrameReader<ReadHalf<Secured>, LinkMessage>,
    count: Count<'_>,
    driver: &mpsc::Sender<Input>,
) -> Result<(), FrameError> {
    while let Some(message) = reader.next().await? {
        count.received(reader.take_read());
        if driver.send(Input::Received { link, message }).await.is_err() {
            break;
        }
    }
    Ok(())
}

async fn send(write: &mut WriteHalf<Secured>, outbox: &Outbox, count: Count<'_>) {
    let mut bytes = BytesMut::new();
    while outbox.take(&mut bytes).await {
        let written = async {
            write.write_all(&bytes).await?;
            write.flush().await
        };
        if !matches!(timeout(SLOW, written).await, Ok(Ok(()))) {
            return;
        }
        count.sent(bytes.len() as u64);
        /// A quiet link gives back what a busy moment took.
        const KEEP: usize = 16 * 1024;
        if bytes.capacity() > KEEP { bytes = BytesMut::new() } else { bytes.clear() }
    }
}

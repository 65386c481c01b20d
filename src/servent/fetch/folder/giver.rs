//! Taking small files from one source, many ahead, over one connection: dial, ask, verify,
//! write.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::prepared::Prepared;
use crate::base::{ContentId, ServentId};
use crate::message::{
    Data, Describe, Manifest, PieceRange, Queued, Refusal, Refused, Request, Thanks,
    TransferMessage,
};
use crate::servent::calling::{self, Approach};
use crate::servent::driver::Command;
use crate::servent::frames::{FrameError, FrameReader, encode};
use crate::servent::greeting::Secured;
use crate::servent::ground::Ground;
use crate::servent::offload::{Trust, offload_brief};
use crate::servent::pool;
use crate::store::StoreError;
use crate::transfer::collection::Number;
use crate::transfer::telling::MAX_NAMED;

/// Messages about the pieces and the other sources of one file that was asked for: as many as
/// an honest source can find a reason for.
const NEWS_OF_A_FILE: usize = MAX_NAMED + 2;

/// How long the cap may take before that is said: no source is blamed for a second.
const BRIEF: Duration = Duration::from_secs(1);

/// What the plan wants of a source.
#[derive(Clone, Copy)]
pub(super) enum Wish {
    Size(Number, ContentId),
    /// All of a content of so many bytes.
    Bytes(Number, ContentId, u64),
    /// The collection is in place; it is the last that is said.
    Thanks(ContentId),
}

/// What happened at a source.
pub(super) enum Report {
    Connected,
    /// Why the connection ended, as a phrase.
    Lost(String),
    /// It did what no honest source does.
    Lied(&'static str),
    Size(Number, u64),
    /// So many bytes have come, proven and written or not.
    Progress(u64),
    /// What has come waits for our own cap.
    Throttled,
    Here(Number),
    Unwritten(Number, StoreError),
    Refused(Number, Refusal),
    Queued(u32),
}

/// Why it ended.
enum End {
    Unwanted,
    Lost(String),
    Lied(&'static str),
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// One connection to one source, and how it tells of itself.
pub(super) struct Giver {
    pub(super) ground: Arc<Ground>,
    pub(super) driver: mpsc::Sender<Command>,
    /// Whose cap and turn its bytes count for.
    pub(super) download: usize,
    /// Ends it, whatever it waits for.
    pub(super) closed: CancellationToken,
    pub(super) id: ServentId,
    /// Numbers the connections: what an old one says is no longer heard.
    pub(super) number: u64,
    pub(super) files: Arc<Prepared>,
    pub(super) reports: mpsc::Sender<(ServentId, u64, Report)>,
}

/// What is under way on the connection.
#[derive(Default)]
struct Open {
    sizes: HashMap<ContentId, Number>,
    bytes: HashMap<ContentId, (Number, u64)>,
    /// That which the files go to.
    disk: Trust,
    /// What is coming in, in more than one frame.
    coming: Option<(ContentId, Vec<u8>)>,
    /// How often it may still say who else has some of it. That is of no use here: files of
    /// one piece have their sources by the collection.
    news: usize,
}

impl Giver {
    /// Runs until either side ends it; `wishes` closed means that it is not wanted.
    pub(super) async fn run(self, approach: Approach, mut wishes: mpsc::Receiver<Wish>) {
        match self.converse(approach, &mut wishes).await {
            Ok(()) | Err(End::Unwanted) => {}
            Err(End::Lost(why)) => self.report(Report::Lost(why)).await,
            Err(End::Lied(how)) => self.report(Report::Lied(how)).await,
        }
    }

    async fn report(&self, report: Report) {
        let _ = self.reports.send((self.id, self.number, report)).await;
    }

    async fn converse(
        &self,
        approach: Approach,
        wishes: &mut mpsc::Receiver<Wish>,
    ) -> Result<(), End> {
        let mut line = match self.ground.pool.take(self.id) {
            Some(line) => line,
            None => tokio::select! {
                () = self.closed.cancelled() => return Err(End::Unwanted),
                reached = calling::approach(&self.ground, &self.driver, self.id, &approach) => {
                    reached.map_err(End::Lost)?.into()
                }
            },
        };
        self.report(Report::Connected).await;
        // What was taken over the connection before may have news yet: the text, above all.
        let mut open = Open { news: pool::LATE_NEWS, ..Open::default() };
        let mesh = Arc::clone(&line.mesh);
        let ended = tokio::select! {
            ended = self.exchange(&mut open, &mut line.reader, wishes) => ended,
            () = mesh.left.cancelled() => {
                Err(End::Lost("this servent went into another mesh".to_owned()))
            }
        };
        match matches!(ended, Err(End::Unwanted)) && open.is_quiet() {
            true => pool::keep(&self.ground, self.id, line).await,
            false => line.close().await,
        }
        ended
    }

    async fn exchange(
        &self,
        open: &mut Open,
        reader: &mut FrameReader<Secured, TransferMessage>,
        wishes: &mut mpsc::Receiver<Wish>,
    ) -> Result<(), End> {
        loop {
            tokio::select! {
                biased;
                () = self.ground.stop.cancelled() => return Err(End::Unwanted),
                wish = wishes.recv() => {
                    let Some(wish) = wish else { return Err(End::Unwanted) };
                    let mut frames = BytesMut::new();
                    open.ask(wish, &mut frames)?;
                    // What else is wanted by now goes out with it.
                    while let Ok(wish) = wishes.try_recv() {
                        open.ask(wish, &mut frames)?;
                    }
                    reader.io_mut().write_all(&frames).await?;
                    reader.io_mut().flush().await?;
                }
                message = reader.next() => match message? {
                    Some(message) => tokio::select! {
                        biased;
                        () = self.closed.cancelled() => return Err(End::Unwanted),
                        done = self.on_message(open, message) => done?,
                    },
                    None => return Err(End::Lost("it closed the connection".to_owned())),
                },
            }
        }
    }

    async fn on_message(&self, open: &mut Open, message: TransferMessage) -> Result<(), End> {
        const UNASKED: End = End::Lied("sent what nobody asked for");
        match message {
            TransferMessage::Manifest(Manifest { id, size, part: 0, .. }) => {
                let Some(number) = open.sizes.remove(&id) else { return Err(UNASKED) };
                self.report(Report::Size(number, size)).await;
                Ok(())
            }
            TransferMessage::Data(data) => self.on_data(open, data).await,
            TransferMessage::Refused(Refused { id, reason, .. }) => {
                let bytes = open.bytes.remove(&id).map(|(number, _)| number);
                let Some(number) = bytes.or_else(|| open.sizes.remove(&id)) else {
                    return Err(UNASKED);
                };
                open.coming = None;
                self.report(Report::Refused(number, reason)).await;
                Ok(())
            }
            TransferMessage::Queued(Queued { id, position, .. })
                if open.bytes.contains_key(&id) =>
            {
                self.report(Report::Queued(position)).await;
                Ok(())
            }
            TransferMessage::Have(_) | TransferMessage::Sources(_) => {
                let left = open.news.checked_sub(1);
                let why = || End::Lost("it says too much of who else has the files".to_owned());
                open.news = left.ok_or_else(why)?;
                Ok(())
            }
            _ => Err(UNASKED),
        }
    }

    /// Waits for the cap, and says so when that takes long.
    async fn await_room(&self, bytes: u64) {
        let room = self.ground.download.wait(self.download, bytes);
        tokio::pin!(room);
        if timeout(BRIEF, &mut room).await.is_err() {
            self.report(Report::Throttled).await;
            room.await;
        }
    }

    async fn on_data(&self, open: &mut Open, data: Data) -> Result<(), End> {
        let Data { id, piece, offset, bytes } = data;
        let length = bytes.len() as u64;
        self.await_room(length).await;
        self.report(Report::Progress(length)).await;
        let Some(&(number, size)) = open.bytes.get(&id) else {
            return Err(End::Lied("sent what nobody asked for"));
        };
        let held = match &open.coming {
            Some((coming, held)) if *coming == id => held.len() as u64,
            Some(_) => return Err(End::Lied("sent two files at once")),
            None => 0,
        };
        if piece != 0 || u64::from(offset) != held || held + length > size {
            return Err(End::Lied("sent a file in another way than asked"));
        }
        if held + length < size {
            let (_, buffer) = open.coming.get_or_insert_with(|| (id, Vec::new()));
            buffer.extend_from_slice(&bytes);
            return Ok(());
        }
        open.bytes.remove(&id);
        let written = match open.coming.take() {
            Some((_, mut whole)) => {
                whole.extend_from_slice(&bytes);
                offload_brief(&open.disk, || self.files.take(number, id, &whole))
            }
            None => offload_brief(&open.disk, || self.files.take(number, id, &bytes)),
        };
        let report = match written {
            Ok(true) => {
                self.ground.received.fetch_add(size, Ordering::Relaxed);
                self.ground.admission.note_piece(self.ground.clock.now(), self.id);
                Report::Here(number)
            }
            Ok(false) => return Err(End::Lied("sent a wrong file")),
            Err(error) => Report::Unwritten(number, error),
        };
        self.report(report).await;
        Ok(())
    }
}

impl Open {
    /// Whether nothing is on its way.
    fn is_quiet(&self) -> bool {
        self.sizes.is_empty() && self.bytes.is_empty() && self.coming.is_none()
    }

    /// Appends the frame that asks for it.
    fn ask(&mut self, wish: Wish, frames: &mut BytesMut) -> Result<(), End> {
        let ext = Vec::new();
        let message = match wish {
            Wish::Size(number, id) => {
                self.sizes.insert(id, number);
                TransferMessage::Describe(Describe { id, part: 0, ext })
            }
            Wish::Bytes(number, id, size) => {
                self.bytes.insert(id, (number, size));
                self.news += NEWS_OF_A_FILE;
                let pieces = vec![PieceRange { first: 0, count: 1 }];
                TransferMessage::Request(Request { id, pieces, ext })
            }
            Wish::Thanks(id) => TransferMessage::Thanks(Thanks { id, ext }),
        };
        Ok(encode(&message, frames)?)
    }
}

//! Taking pieces from one source: dial, ask, verify, write.

mod dues;

use std::cmp::Ordering;
use std::net::SocketAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::calling::{self, Approach, Reached};
use super::dial;
use super::driver::Command;
use super::frames::{FrameError, FrameReader, Incoming, encode, write_frame};
use super::greeting::{Greeted, Reception, Secured};
use super::ground::Ground;
use super::hearing::{Hearing, Noise};
use super::offload::{Trust, offload_brief};
use super::pool::{self, Line};
use crate::base::{Contact, ContentId, PieceIndex, PieceMap, ServentId};
use crate::message::{
    Cancel, Describe, Have, Holding, Manifest, PieceRange, Purpose, Queued, Refused, Request,
    Sources, Thanks, TransferMessage,
};
use crate::store::{PartFile, StoreError};
use crate::transfer::{PieceList, PieceValue};
use crate::wire::DataHead;
use dues::Dues;

/// A closing connection says farewell within this time.
const FAREWELL: Duration = Duration::from_secs(1);
/// How often a source that waits for our own cap is said not to be silent.
const STILL_THERE: Duration = Duration::from_secs(2);
/// How often it is told that bytes come, while a piece is not whole yet: often enough for a
/// rate, and so rarely that it costs nothing.
const TELL_EVERY: Duration = Duration::from_millis(100);
/// Frames of pieces nobody asked for that are forgiven.
const UNASKED: u32 = 1;

/// Where verified pieces go, once the size is bound; one for all sources.
#[derive(Default)]
pub(super) struct Shelf {
    filled: OnceLock<(Arc<PieceList>, Arc<PartFile>)>,
    disk: Trust,
}

impl Shelf {
    pub(super) fn fill(&self, list: Arc<PieceList>, part: Arc<PartFile>) {
        let _ = self.filled.set((list, part)); // once begun, a download keeps its part
    }

    fn list(&self) -> Option<&Arc<PieceList>> {
        self.filled.get().map(|(list, _)| list)
    }

    pub(super) fn part(&self) -> Option<&Arc<PartFile>> {
        self.filled.get().map(|(_, part)| part)
    }
}

/// What the plan wants of a source.
pub(super) enum Ask {
    Describe(u32),
    Request(Vec<PieceRange>),
    Cancel(Vec<PieceRange>),
    /// Verify against this list, whose size is not bound yet.
    Candidate(Arc<PieceList>),
    /// The file is in place; it is the last that is said.
    Thanks,
}

/// What happened at a source.
pub(super) enum Report {
    Connected {
        round_trip: Duration,
        /// Where we see it.
        seen: SocketAddr,
        /// Whether we have dialled it there.
        dialled: bool,
    },
    Lost(String),
    Manifest {
        size: u64,
        part: u32,
        values: Vec<PieceValue>,
    },
    Progress(u64),
    /// More has come than our own cap lets be read.
    Throttled,
    /// Verified, and written.
    Good(PieceIndex),
    /// Verified, and nowhere to write it yet.
    Proven(PieceIndex, Vec<u8>),
    Bad(PieceIndex),
    Unwritten(PieceIndex, StoreError),
    Queued(u32),
    Refused(crate::message::Refusal),
    /// It has these pieces, beside those that it said before.
    Has(PieceMap),
    /// It has all, and these were given to others.
    Given(PieceMap),
    /// These have some, it says.
    Sources(Vec<Contact>),
}

/// One connection to one source, and how it tells of itself.
pub(super) struct Source {
    pub(super) ground: Arc<Ground>,
    /// Whose cap and turn its bytes count for.
    pub(super) download: usize,
    /// Ends it, whatever it waits for.
    pub(super) closed: CancellationToken,
    pub(super) file: ContentId,
    pub(super) id: ServentId,
    /// Numbers the connections of a download: what an old one says is no longer heard.
    pub(super) number: u64,
    pub(super) shelf: Arc<Shelf>,
    pub(super) reports: mpsc::Sender<(ServentId, u64, Report)>,
    /// Sends calls on their way.
    pub(super) driver: mpsc::Sender<Command>,
}

/// Why a connection to a source ended, as a phrase.
enum End {
    /// The download no longer wants it.
    Unwanted,
    Lost(String),
}

impl From<FrameError> for End {
    fn from(error: FrameError) -> Self {
        Self::Lost(match error {
            FrameError::Io(error) => phrase(&error),
            other => other.to_string(),
        })
    }
}

impl From<Noise> for End {
    fn from(noise: Noise) -> Self {
        Self::Lost(noise.to_string())
    }
}

impl From<std::io::Error> for End {
    fn from(error: std::io::Error) -> Self {
        Self::Lost(phrase(&error))
    }
}

/// What happened, without the system's number for it.
fn phrase(error: &std::io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text.get(..end).unwrap_or(&text).to_lowercase()
}

impl Source {
    /// Runs until either side ends it; `asks` closed means that it is not wanted.
    pub(super) async fn run(
        self,
        approach: watch::Receiver<Approach>,
        mut asks: mpsc::Receiver<Ask>,
    ) {
        if let Err(End::Lost(why)) = self.converse(approach, &mut asks).await {
            self.report(Report::Lost(why)).await;
        }
    }

    async fn report(&self, report: Report) {
        let _ = self.reports.send((self.id, self.number, report)).await;
    }

    async fn converse(
        &self,
        approach: watch::Receiver<Approach>,
        asks: &mut mpsc::Receiver<Ask>,
    ) -> Result<(), End> {
        let began = Instant::now();
        let line = match self.ground.pool.take(self.id) {
            Some(line) => line,
            None => tokio::select! {
                reached = self.approach(approach) => reached.map_err(End::Lost)?.into(),
                // Nothing is asked before the connection stands: this is the end of asking.
                _ = asks.recv() => return Err(End::Unwanted),
            },
        };
        // A dial takes several round trips; a quarter is a fair first guess.
        let round_trip = began.elapsed() / 4;
        let Line { reader, mesh, seen, pass, reactor, taken } = line;
        let dialled = pass.is_none();
        self.report(Report::Connected { round_trip, seen, dialled }).await;
        let mut wire = Wire {
            reader,
            describing: 0,
            dues: Dues::default(),
            candidate: None,
            coming: None,
            spare: Vec::new(),
            unasked: 0,
            hearing: Hearing::default(),
            taken,
            thrown_away: false,
            untold: 0,
            told: began,
        };
        let ended = tokio::select! {
            ended = self.exchange(&mut wire, asks) => ended,
            () = mesh.left.cancelled() => {
                Err(End::Lost("this servent went into another mesh".to_owned()))
            }
        };
        let quiet = matches!(ended, Err(End::Unwanted)) && wire.is_quiet();
        let Wire { reader, taken, .. } = wire;
        let mut line = Line { reader, mesh, seen, pass, reactor, taken };
        line.note_taken(self.file);
        match quiet {
            true => pool::keep(&self.ground, self.id, line).await,
            false => line.close().await,
        }
        ended
    }

    /// Comes to the source; begins anew when it is heard of by another way.
    async fn approach(&self, mut approach: watch::Receiver<Approach>) -> Result<Reached, String> {
        loop {
            let present = approach.borrow_and_update().clone();
            let mut coming =
                Box::pin(calling::approach(&self.ground, &self.driver, self.id, &present));
            tokio::select! {
                reached = &mut coming => return reached,
                changed = approach.changed() => if changed.is_err() {
                    return coming.await; // nothing more is heard of it
                }
            }
        }
    }

    async fn exchange(&self, wire: &mut Wire, asks: &mut mpsc::Receiver<Ask>) -> Result<(), End> {
        loop {
            tokio::select! {
                biased;
                () = self.ground.stop.cancelled() => return Err(End::Unwanted),
                ask = asks.recv() => match ask {
                    Some(ask) => wire.ask(self.file, ask).await?,
                    None => return Err(End::Unwanted),
                },
                step = wire.step() => match step? {
                    // What it waits for may take long, and the user may not want it any more.
                    Some(step) => tokio::select! {
                        biased;
                        () = self.closed.cancelled() => {
                            while let Ok(ask) = asks.try_recv() {
                                if let Ask::Thanks = ask {
                                    wire.ask(self.file, ask).await?;
                                }
                            }
                            return Err(End::Unwanted);
                        }
                        done = self.on_step(wire, step) => done?,
                    },
                    None => return Err(End::Lost("it closed the connection".to_owned())),
                },
            }
        }
    }

    async fn on_step(&self, wire: &mut Wire, step: Step) -> Result<(), End> {
        match step {
            Step::Came(Incoming::Message(message)) => self.on_message(wire, message).await,
            Step::Came(Incoming::Data(head)) => self.on_data(wire, head).await,
            Step::Bytes => self.on_bytes(wire).await,
        }
    }

    async fn on_message(&self, wire: &mut Wire, message: TransferMessage) -> Result<(), End> {
        let other = |id| id != self.file;
        match message {
            TransferMessage::Manifest(Manifest { id, size, part, values, .. }) if !other(id) => {
                wire.describing = wire.describing.saturating_sub(1);
                self.report(Report::Manifest { size, part, values }).await;
                Ok(())
            }
            TransferMessage::Queued(Queued { id, position, .. }) if !other(id) => {
                self.report(Report::Queued(position)).await;
                Ok(())
            }
            TransferMessage::Refused(Refused { id, reason, .. }) if !other(id) => {
                wire.coming = None; // what it cannot read to the end it does not go on with
                self.report(Report::Refused(reason)).await;
                Ok(())
            }
            TransferMessage::Have(have) => self.on_have(wire, &have).await,
            TransferMessage::Sources(sources) => self.on_sources(wire, sources).await,
            _ => Err(End::Lost("it sent what nobody asked for".to_owned())),
        }
    }

    async fn on_have(&self, wire: &mut Wire, have: &Have) -> Result<(), End> {
        if have.id != self.file {
            return wire.pass_over(have.id);
        }
        if let Some(pieces) = wire.hearing.have(have)? {
            self.report(match have.holding {
                Holding::Here => Report::Has(pieces),
                Holding::Given => Report::Given(pieces),
            })
            .await;
        }
        Ok(())
    }

    async fn on_sources(&self, wire: &mut Wire, sources: Sources) -> Result<(), End> {
        if sources.id != self.file {
            return wire.pass_over(sources.id);
        }
        let contacts = wire.hearing.sources(sources)?;
        if !contacts.is_empty() {
            self.report(Report::Sources(contacts)).await;
        }
        Ok(())
    }

    /// Waits until the cap on downloads lets so many bytes more be received.
    async fn await_room(&self, bytes: u64) {
        let room = self.ground.download.wait(self.download, bytes);
        tokio::pin!(room);
        loop {
            tokio::select! {
                () = &mut room => return,
                () = tokio::time::sleep(STILL_THERE) => self.report(Report::Throttled).await,
            }
        }
    }

    /// Bytes of a piece are about to come.
    async fn on_data(&self, wire: &mut Wire, head: DataHead) -> Result<(), End> {
        if head.id != self.file {
            return Err(End::Lost("it sent what nobody asked for".to_owned()));
        }
        self.await_room(head.len.into()).await;
        wire.begin(head, self.shelf.list())
    }

    /// Some of them are here.
    async fn on_bytes(&self, wire: &mut Wire) -> Result<(), End> {
        let whole = match wire.reader.body_left() {
            0 => wire.end(self.shelf.list())?,
            _ => None,
        };
        if whole.is_some() || wire.told.elapsed() >= TELL_EVERY {
            let bytes = std::mem::take(&mut wire.untold);
            wire.told = Instant::now();
            self.report(Report::Progress(bytes)).await;
        }
        let Some((list, piece, whole)) = whole else { return Ok(()) };
        let disk = &self.shelf.disk;
        let report = match self.shelf.filled.get() {
            Some((list, part)) => {
                let verdict = offload_brief(disk, || verify_and_write(list, part, piece, &whole));
                wire.spare = whole;
                match verdict {
                    Verdict::Good => Report::Good(piece),
                    Verdict::Bad => Report::Bad(piece),
                    Verdict::Unwritten(error) => Report::Unwritten(piece, error),
                }
            }
            None if offload_brief(disk, || list.proves(piece, &whole)) => {
                Report::Proven(piece, whole)
            }
            None => Report::Bad(piece),
        };
        if matches!(report, Report::Good(_) | Report::Proven(..)) {
            self.ground.received.fetch_add(list.geometry().len(piece), Relaxed);
            self.ground.admission.note_piece(self.ground.clock.now(), self.id);
        }
        self.report(report).await;
        Ok(())
    }
}

/// Tells a source whose connection has ended that the file is in place.
pub(super) async fn say_thanks(
    ground: Arc<Ground>,
    file: ContentId,
    source: ServentId,
    addresses: Vec<SocketAddr>,
) {
    let purpose = Purpose::Transfer { token: None };
    let addresses = ground.aim(addresses);
    let dialled = dial::dial(&ground, &addresses, Some(source), purpose).await;
    let Ok((Greeted { mut stream, peer, .. }, Reception::Welcomed(_))) = dialled else { return };
    ground.note_answered(peer.seen);
    // A courtesy: who is not there goes without.
    let _ = timeout(FAREWELL, async {
        write_frame(&mut stream, &thanks(file)).await?;
        stream.shutdown().await
    })
    .await;
}

fn thanks(id: ContentId) -> TransferMessage {
    TransferMessage::Thanks(Thanks { id, ext: Vec::new() })
}

enum Verdict {
    Good,
    Bad,
    Unwritten(StoreError),
}

fn verify_and_write(list: &PieceList, part: &PartFile, piece: PieceIndex, bytes: &[u8]) -> Verdict {
    if !list.proves(piece, bytes) {
        return Verdict::Bad;
    }
    match part.write_piece(piece, bytes) {
        Ok(()) => Verdict::Good,
        Err(error) => Verdict::Unwritten(error),
    }
}

/// The connection and what is under way on it.
struct Wire {
    reader: FrameReader<Secured, TransferMessage>,
    dues: Dues,
    candidate: Option<Arc<PieceList>>,
    /// The piece that is coming in.
    coming: Option<(u32, Vec<u8>)>,
    /// The buffer of the piece before, for the next one.
    spare: Vec<u8>,
    unasked: u32,
    hearing: Hearing,
    /// What was taken over this connection before.
    taken: Vec<ContentId>,
    /// Parts of the list that were asked for and have not come.
    describing: u32,
    /// Whether the bytes that come are of no use.
    thrown_away: bool,
    /// Bytes that came and were not told of.
    untold: u64,
    /// When the last were.
    told: Instant,
}

/// What happens next on a connection.
enum Step {
    Came(Incoming<TransferMessage>),
    /// Bytes of a piece came: all of a frame, or what there was for [`TELL_EVERY`].
    Bytes,
}

type Whole = (Arc<PieceList>, PieceIndex, Vec<u8>);

impl Wire {
    /// Whether nothing is on its way. Of a refusal it is not known what it answers: then
    /// something may be.
    fn is_quiet(&self) -> bool {
        let expects = self.describing > 0 || !self.dues.is_empty();
        !expects && self.coming.is_none() && self.reader.body_left() == 0
    }

    /// Reads on; none at the end. May be dropped half-way, and loses nothing.
    async fn step(&mut self) -> Result<Option<Step>, FrameError> {
        if self.reader.body_left() == 0 {
            return Ok(self.reader.next_or_data().await?.map(Step::Came));
        }
        while self.reader.body_left() > 0 {
            let into = match &mut self.coming {
                Some((_, buffer)) if !self.thrown_away => buffer,
                _ => {
                    self.spare.clear();
                    &mut self.spare
                }
            };
            let came = self.reader.read_body(into).await? as u64;
            self.untold += if self.thrown_away { 0 } else { came };
            if self.told.elapsed() >= TELL_EVERY {
                break;
            }
        }
        Ok(Some(Step::Bytes))
    }

    async fn ask(&mut self, file: ContentId, ask: Ask) -> Result<(), End> {
        let message = match ask {
            Ask::Candidate(list) => {
                self.candidate = Some(list);
                return Ok(());
            }
            Ask::Thanks => thanks(file),
            Ask::Describe(part) => {
                self.describing += 1;
                TransferMessage::Describe(Describe { id: file, part, ext: Vec::new() })
            }
            Ask::Request(pieces) => {
                for number in pieces.iter().flat_map(numbers) {
                    self.dues.ask(number);
                }
                TransferMessage::Request(Request { id: file, pieces, ext: Vec::new() })
            }
            Ask::Cancel(pieces) => {
                for number in pieces.iter().flat_map(numbers) {
                    self.dues.cancel(number);
                }
                TransferMessage::Cancel(Cancel { id: file, pieces, ext: Vec::new() })
            }
        };
        let mut bytes = BytesMut::new();
        encode(&message, &mut bytes)?;
        self.reader.io_mut().write_all(&bytes).await?;
        Ok(self.reader.io_mut().flush().await?)
    }

    /// News of another file: of one that was taken over this connection they are no offence.
    fn pass_over(&mut self, file: ContentId) -> Result<(), End> {
        if !self.taken.contains(&file) {
            self.hearing.nothing::<()>()?;
        }
        Ok(())
    }

    /// Bytes of a piece are about to come; they must continue it exactly.
    fn begin(&mut self, head: DataHead, list: Option<&Arc<PieceList>>) -> Result<(), End> {
        let DataHead { piece: number, offset, len, .. } = head;
        self.thrown_away = false;
        let known = list.or(self.candidate.as_ref());
        let length =
            known.and_then(|list| Some(list.geometry().len(list.geometry().piece(number)?)));
        let Some(length) = length.filter(|_| self.dues.expect(number)) else {
            self.unasked += 1;
            self.thrown_away = true;
            return match self.unasked {
                0..=UNASKED => Ok(()),
                _ => Err(End::Lost("it sent what nobody asked for".to_owned())),
            };
        };
        if offset == 0 {
            let room = usize::try_from(length).unwrap_or(0);
            let mut buffer = match self.coming.take() {
                None => std::mem::take(&mut self.spare),
                // Else it would never have to end a piece, and look busy for ever.
                Some((unfinished, _)) if !self.dues.give_up(unfinished) => {
                    return Err(in_another_way());
                }
                Some((_, buffer)) => buffer,
            };
            buffer.clear();
            buffer.reserve_exact(room);
            self.coming = Some((number, buffer));
        }
        let fits = |(coming, buffer): &(u32, Vec<u8>)| {
            *coming == number
                && buffer.len() == offset as usize
                && u64::from(offset) + u64::from(len) <= length
        };
        if self.coming.as_ref().is_some_and(fits) { Ok(()) } else { Err(in_another_way()) }
    }

    /// All bytes of a frame are here: the piece, if it is whole with them and wanted.
    fn end(&mut self, list: Option<&Arc<PieceList>>) -> Result<Option<Whole>, End> {
        let Some((number, buffer)) = self.coming.as_ref().filter(|_| !self.thrown_away) else {
            return Ok(None);
        };
        let number = *number;
        let Some(list) = list.or(self.candidate.as_ref()).map(Arc::clone) else { return Ok(None) };
        let piece = list.geometry().piece(number).ok_or_else(in_another_way)?;
        match (buffer.len() as u64).cmp(&list.geometry().len(piece)) {
            Ordering::Less => return Ok(None),
            Ordering::Equal => {}
            Ordering::Greater => return Err(in_another_way()),
        }
        let wanted = self.dues.came(number);
        Ok(self.coming.take().filter(|_| wanted).map(|(_, whole)| (list, piece, whole)))
    }
}

fn in_another_way() -> End {
    End::Lost("it sent pieces in another way than asked".to_owned())
}

fn numbers(range: &PieceRange) -> std::ops::Range<u32> {
    range.first..range.first.saturating_add(range.count)
}

//! Sending pieces: one task for each transfer connection that came in; `news` is what it tells
//! of pieces and of others unasked, `sending` how its frames go out.

mod news;
mod sending;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::io::{AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::timeout;

use super::frames::FrameReader;
use super::greeting::{self, Secured};
use super::ground::Ground;
use super::incidents::Incident;
use super::listen::Arrival;
use super::offload::{Trust, offload, offload_brief};
use super::origin::is_exempt;
use super::report::News;
use super::slots::{Place, Ticket, Uploads};
use super::stock::{Opened, Stock};
use super::swarms::pieces_of;
use super::uploads::{Taker, Thanked};
use crate::base::{ContentId, PieceIndex};
use crate::message::{
    Browse, Data, Describe, Listed, Listing, Manifest, PieceRange, Queued, Refusal, Refused,
    Request, Thanks, TransferMessage,
};
use crate::share::Library;
use sending::Held;

/// Ranges that one peer may have waiting: more is no honest wish.
const MAX_WAITING: usize = 256;
/// Messages of the peer that are read ahead of the work.
const READ_AHEAD: usize = 16;
/// A connection over which nothing is asked for this long is closed.
const IDLE: Duration = Duration::from_secs(90);
/// How soon a waiting peer learns that its file was withdrawn.
const WATCH: Duration = Duration::from_millis(500);
/// A closing connection says farewell within this time.
const FAREWELL: Duration = Duration::from_millis(800);
/// Thanks for nothing that a connection may bring: we may have forgotten over a restart.
const MAX_SENSELESS: u32 = 4;
/// Frames of a capped upload are no longer than a tenth of a second's worth, but not
/// shorter than this.
const MIN_FRAME: u64 = 16 * 1024;
/// Bytes that are encrypted before they are written: a whole frame with one call.
const SEALED_AHEAD: usize = 512 * 1024;
/// How often whom our cap holds back is said not to be to blame: well within the patience
/// of the slots.
const HELD_BACK: Duration = Duration::from_secs(1);

/// Why a connection ends; none of it is news for the user.
#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Frame(#[from] super::frames::FrameError),
    #[error("it took nothing for too long")]
    Unread,
    #[error("others are given no files any more")]
    Withheld,
    #[error("it asks for more than is sensible")]
    Greedy,
    #[error("it gives thanks for what it never got")]
    Senseless,
    #[error("it sent what only a giver sends")]
    Backwards,
}

impl ServeError {
    /// Whether the other side broke a rule, and was not merely slow or gone.
    fn is_offence(&self) -> bool {
        match self {
            Self::Frame(error) => error.is_offence(),
            Self::Greedy | Self::Senseless | Self::Backwards => true,
            Self::Io(_) | Self::Unread | Self::Withheld => false,
        }
    }
}

/// Serves one connection until either side ends it.
pub(super) async fn run(
    ground: Arc<Ground>,
    library: Library,
    uploads: Arc<Uploads>,
    arrival: Arrival,
) {
    let revoked = arrival.revoked();
    let Arrival { greeted, pass, .. } = arrival;
    let (peer, name) = (greeted.peer.contact.id, greeted.peer.name.clone());
    let address = greeted.peer.seen;
    let from = greeted.peer.seen.ip();
    let mut stream = greeted.stream;
    greeting::hold_back(&mut stream, SEALED_AHEAD);
    let (read, write) = tokio::io::split(stream);
    let (send, mut messages) = mpsc::channel(READ_AHEAD);
    let (ticket, place) = uploads.enter((!is_exempt(from)).then_some(from), ground.clock);
    let taker = Taker { id: peer, name, address, connection: ticket.number };
    let dialled_at = greeted.peer.contact.addresses.first().copied();
    let connection = taker.connection;
    let mut giver = Giver {
        taker,
        senseless: 0,
        ground: Arc::clone(&ground),
        dialled_at,
        stock: Stock { library, ground: Arc::clone(&ground) },
        swarms: VecDeque::new(),
        bell: Arc::default(),
        idle: 0,
        ticket,
        place,
        write,
        held: Held::default(),
        wanted: VecDeque::new(),
        open: None,
        told: Place::Idle,
        piece: Vec::new(),
        disk: Trust::default(),
    };
    let reader = FrameReader::resume(read, greeted.ahead);
    let mut result = tokio::select! {
        () = ground.stop.cancelled() => Ok(()),
        () = greeted.mesh.left.cancelled() => Ok(()),
        () = revoked.cancelled() => Ok(()),
        result = receive(&ground, connection, reader, send) => result,
        result = giver.serve(&mut messages) => result,
    };
    // The last that a peer says may be thanks, and then it closes.
    while let Ok(last) = messages.try_recv() {
        if let (Ok(()), TransferMessage::Thanks(thanks)) = (&result, last) {
            result = giver.on_thanks(thanks.id);
        }
    }
    if let Err(error) = result {
        if error.is_offence() {
            ground.incidents.note(Incident::Offence);
        }
        tracing::debug!(%from, %error, "transfer ended");
    }
    giver.leave_swarms();
    ground.end_upload(giver.taker.connection);
    let _ = timeout(FAREWELL, giver.write.shutdown()).await;
    drop(pass);
}

async fn receive(
    ground: &Ground,
    connection: u64,
    mut reader: FrameReader<ReadHalf<Secured>, TransferMessage>,
    messages: mpsc::Sender<TransferMessage>,
) -> Result<(), ServeError> {
    while let Some(message) = reader.next().await? {
        if let TransferMessage::Request(request) = &message {
            // Others are told before a piece that is being sent is out.
            ground.swarms.asked(request.id, connection, &request.pieces);
        }
        if messages.send(message).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// The giving end of one connection.
struct Giver {
    taker: Taker,
    /// Thanks that were for nothing.
    senseless: u32,
    ground: Arc<Ground>,
    /// Where others can dial it, as we have seen it.
    dialled_at: Option<SocketAddr>,
    stock: Stock,
    /// The files of which it is told, the latest last.
    swarms: VecDeque<ContentId>,
    /// Rings when there is something to tell.
    bell: Arc<Notify>,
    /// How often in a row it was waited for in vain.
    idle: u32,
    ticket: Ticket,
    place: watch::Receiver<Place>,
    write: WriteHalf<Secured>,
    held: Held,
    /// What was asked for and is not sent yet, in order.
    wanted: VecDeque<(ContentId, PieceRange)>,
    open: Option<Opened>,
    told: Place,
    piece: Vec<u8>,
    /// That which the files lie on.
    disk: Trust,
}

impl Giver {
    async fn serve(
        &mut self,
        inbox: &mut mpsc::Receiver<TransferMessage>,
    ) -> Result<(), ServeError> {
        loop {
            // What the peer says comes first: it may no longer want what is next.
            while let Ok(message) = inbox.try_recv() {
                self.on_message(message).await?;
            }
            if !self.wanted.is_empty() && !self.ground.panel.now().serve {
                self.refuse_all().await?;
            }
            if self.bell.notified().now_or_never().is_some() {
                self.tell_news().await?;
            }
            let place = *self.place.borrow_and_update();
            self.tell_place(place).await?;
            if place == Place::Stopped {
                return Err(ServeError::Unread);
            }
            if place == Place::Slot && !self.wanted.is_empty() {
                self.send_next_piece().await?;
                continue;
            }
            self.release().await?;
            let waits = !self.wanted.is_empty();
            let waiting = if waits { WATCH } else { IDLE };
            let (ground, bell) = (Arc::clone(&self.ground), Arc::clone(&self.bell));
            tokio::select! {
                message = inbox.recv() => match message {
                    Some(message) => self.on_message(message).await?,
                    None => return Ok(()),
                },
                changed = self.place.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                }
                () = bell.notified() => self.tell_news().await?,
                () = ground.panel.serving_ends(), if waits => {}
                () = tokio::time::sleep(waiting) => {
                    self.idle += u32::from(self.wanted.is_empty());
                    if self.idle > self.patience() {
                        return Ok(());
                    }
                    self.drop_withdrawn().await?;
                }
            }
        }
    }

    async fn on_message(&mut self, message: TransferMessage) -> Result<(), ServeError> {
        self.idle = 0;
        match message {
            TransferMessage::Describe(Describe { id, part, .. }) => self.describe(id, part).await,
            TransferMessage::Request(request) => self.on_request(request).await,
            TransferMessage::Cancel(cancel) => {
                if cancel.pieces.is_empty() {
                    self.wanted.retain(|(id, _)| *id != cancel.id);
                } else {
                    for gone in cancel.pieces {
                        self.cancel(cancel.id, gone);
                    }
                }
                self.rest_if_idle();
                Ok(())
            }
            TransferMessage::Thanks(Thanks { id, .. }) => self.on_thanks(id),
            TransferMessage::Browse(browse) => self.show(&browse).await,
            TransferMessage::Listing(_)
            | TransferMessage::Manifest(_)
            | TransferMessage::Data(_)
            | TransferMessage::Queued(_)
            | TransferMessage::Have(_)
            | TransferMessage::Sources(_)
            | TransferMessage::Refused(_) => Err(ServeError::Backwards),
        }
    }

    fn on_thanks(&mut self, file: ContentId) -> Result<(), ServeError> {
        self.leave_swarm(file);
        let Taker { id, name, .. } = self.taker.clone();
        match self.ticket.uploads.log.thanked(id, file) {
            Thanked::For(file_name, true) => {
                self.ground.tell(News::Delivered { id, name, file, file_name });
            }
            Thanked::For(_, false) => {}
            Thanked::Nothing => {
                self.senseless += 1;
                if self.senseless > MAX_SENSELESS {
                    return Err(ServeError::Senseless);
                }
            }
        }
        Ok(())
    }

    async fn show(&mut self, browse: &Browse) -> Result<(), ServeError> {
        let tuning = self.ground.panel.now();
        let outcome = if tuning.browse && tuning.serve {
            let ground = &self.ground;
            let asker = (self.taker.id, self.taker.address.ip());
            let now = ground.clock.now();
            offload(|| ground.browsed.answer(now, &self.stock.library, asker, browse))
        } else {
            Listed::Closed
        };
        self.send(&TransferMessage::Listing(Listing { outcome, ext: Vec::new() })).await
    }

    async fn describe(&mut self, id: ContentId, part: u32) -> Result<(), ServeError> {
        if !self.ground.panel.now().serve {
            return self.refuse(id, Refusal::Busy).await;
        }
        let Some(list) = self.stock.list(id) else {
            return self.refuse(id, Refusal::NotHere).await;
        };
        self.enter_swarm(&list);
        self.tell_news().await?;
        let first = (part as usize).saturating_mul(Manifest::PART);
        let values = list.values().get(first..).unwrap_or_default();
        if part > 0 && values.is_empty() {
            return self.refuse(id, Refusal::BadRequest).await;
        }
        let values = values.iter().take(Manifest::PART).copied().collect();
        let size = list.geometry().size();
        let manifest = Manifest { id, size, part, values, ext: Vec::new() };
        self.send(&TransferMessage::Manifest(manifest)).await
    }

    async fn on_request(&mut self, request: Request) -> Result<(), ServeError> {
        let Request { id, pieces, .. } = request;
        if !self.ground.panel.now().serve {
            return self.refuse(id, Refusal::Busy).await;
        }
        let Some(list) = self.stock.list(id) else {
            return self.refuse(id, Refusal::NotHere).await;
        };
        let count = list.geometry().count();
        let within = |range: &PieceRange| {
            range.count > 0 && range.first.checked_add(range.count).is_some_and(|end| end <= count)
        };
        if pieces.is_empty() || !pieces.iter().all(within) {
            return self.refuse(id, Refusal::BadRequest).await;
        }
        if self.wanted.len() + pieces.len() > MAX_WAITING {
            return Err(ServeError::Greedy);
        }
        self.enter_swarm(&list);
        self.tell_news().await?; // what is here, before what is not
        if !self.stock.has(id, pieces_of(list.geometry(), &pieces)) {
            return self.refuse(id, Refusal::NotHere).await;
        }
        self.note_asked(&list, &pieces);
        let uploads = &self.ticket.uploads;
        if !uploads.log.knows(&self.taker, id) {
            let name = self.stock.name(id).unwrap_or_default();
            let size = list.geometry().size();
            let lives = |connection| uploads.stand(connection).is_some();
            uploads.log.asked(&self.taker, id, name, size, lives);
        }
        self.wanted.extend(pieces.into_iter().map(|range| (id, range)));
        if !self.ticket.ask() {
            self.wanted.clear();
            return self.refuse(id, Refusal::Busy).await;
        }
        Ok(())
    }

    /// Takes pieces out of what waits.
    fn cancel(&mut self, id: ContentId, gone: PieceRange) {
        let end = gone.first.saturating_add(gone.count);
        let mut left = VecDeque::with_capacity(self.wanted.len());
        for (other, range) in self.wanted.drain(..) {
            let range_end = range.first.saturating_add(range.count);
            if other != id || end <= range.first || gone.first >= range_end {
                left.push_back((other, range));
                continue;
            }
            for (from, to) in [(range.first, gone.first), (end, range_end)] {
                if from < to {
                    left.push_back((other, PieceRange { first: from, count: to - from }));
                }
            }
        }
        self.wanted = left;
    }

    fn rest_if_idle(&mut self) {
        if self.wanted.is_empty() {
            self.ticket.idle();
        }
    }

    async fn tell_place(&mut self, place: Place) -> Result<(), ServeError> {
        if let (Place::Queued(position), Some(&(id, _))) = (place, self.wanted.front())
            && place != self.told
        {
            let queued = Queued { id, position, ext: Vec::new() };
            self.send(&TransferMessage::Queued(queued)).await?;
        }
        self.told = place;
        Ok(())
    }

    /// A peer that waits for what is gone learns it now, not when its turn comes.
    async fn drop_withdrawn(&mut self) -> Result<(), ServeError> {
        let gone: Vec<ContentId> =
            self.wanted.iter().map(|(id, _)| *id).filter(|&id| !self.stock.is_here(id)).collect();
        for id in gone {
            if self.wanted.iter().any(|(other, _)| *other == id) {
                self.refuse(id, Refusal::Withdrawn).await?;
            }
        }
        Ok(())
    }

    async fn send_next_piece(&mut self) -> Result<(), ServeError> {
        let Some((id, range)) = self.wanted.pop_front() else { return Ok(()) };
        if range.count > 1 {
            let rest = PieceRange { first: range.first + 1, count: range.count - 1 };
            self.wanted.push_front((id, rest));
        }
        self.release_unless_brief().await?;
        if self.open.as_ref().is_none_or(|open| open.list().id() != id || open.withdrawn()) {
            let running = self.open.as_ref().is_some_and(|open| open.list().id() == id);
            self.open = None;
            match offload_brief(&self.disk, || self.stock.open(id)) {
                Ok(open) => self.open = Some(open),
                Err(Refusal::NotHere) if running => {
                    return self.refuse(id, Refusal::Withdrawn).await;
                }
                Err(reason) => return self.refuse(id, reason).await,
            }
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let Some(piece) = open.list().geometry().piece(range.first) else {
            return self.refuse(id, Refusal::BadRequest).await;
        };
        let bytes = &mut self.piece;
        if let Err(reason) = offload_brief(&self.disk, || open.read_piece(piece, bytes)) {
            return self.refuse(id, reason).await;
        }
        self.send_piece(id, piece).await?;
        if self.wanted.is_empty() {
            self.release().await?; // while it has its slot
        }
        self.rest_if_idle();
        Ok(())
    }

    async fn send_piece(&mut self, id: ContentId, piece: PieceIndex) -> Result<(), ServeError> {
        let bytes = Bytes::from(std::mem::take(&mut self.piece));
        let (ground, bell) = (Arc::clone(&self.ground), Arc::clone(&self.bell));
        let mut offset = 0;
        while offset < bytes.len() {
            let longest = match ground.panel.now().max_upload {
                Some(rate) => usize::try_from((rate / 10).max(MIN_FRAME)).unwrap_or(usize::MAX),
                None => Data::MAX_LEN,
            };
            let end = bytes.len().min(offset + longest.min(Data::MAX_LEN));
            let part = bytes.slice(offset..end);
            let sent = part.len() as u64;
            loop {
                // A cap may hold a frame back for seconds.
                if ground.panel.now().max_upload.is_some() {
                    self.release().await?;
                }
                tokio::select! {
                    biased;
                    () = ground.panel.serving_ends() => {
                        self.wanted.push_front((id, PieceRange { first: piece.get(), count: 1 }));
                        return self.refuse_all().await;
                    }
                    () = await_cap(&ground, &self.ticket, sent) => break,
                    () = bell.notified() => self.ticket.held_back(),
                    // The cap is a new one.
                    () = tokio::time::sleep(HELD_BACK), if !self.held.is_empty() => {
                        self.ticket.held_back();
                    }
                }
                // News do not wait for it; nor does anybody else's turn while they are told.
                self.tell_news().await?;
            }
            if self.open.as_ref().is_some_and(Opened::withdrawn) && !self.stock.is_here(id) {
                return self.refuse(id, Refusal::Withdrawn).await;
            }
            let data = Data {
                id,
                piece: piece.get(),
                offset: u32::try_from(offset).unwrap_or(u32::MAX),
                bytes: part,
            };
            self.send_data(&data).await?;
            offset = end;
        }
        // The buffer is ours again, if nobody kept a slice of it.
        self.piece = bytes.try_into_mut().map_or_else(|_| Vec::new(), Vec::from);
        Ok(())
    }

    /// Tells the peer that nothing it waits for comes now; it may ask again later.
    async fn refuse_all(&mut self) -> Result<(), ServeError> {
        self.open = None;
        while let Some(&(id, _)) = self.wanted.front() {
            self.refuse(id, Refusal::Busy).await?;
        }
        Ok(())
    }

    async fn refuse(&mut self, id: ContentId, reason: Refusal) -> Result<(), ServeError> {
        self.wanted.retain(|(other, _)| *other != id);
        self.rest_if_idle();
        let refused = Refused { id, reason, ext: Vec::new() };
        self.send(&TransferMessage::Refused(refused)).await
    }
}

/// Waits until our cap lets so many bytes be sent; the peer is not to blame meanwhile.
async fn await_cap(ground: &Ground, ticket: &Ticket, bytes: u64) {
    let room = ground.await_upload(ticket.number, bytes);
    tokio::pin!(room);
    loop {
        tokio::select! {
            () = &mut room => return,
            () = tokio::time::sleep(HELD_BACK) => ticket.held_back(),
        }
    }
}

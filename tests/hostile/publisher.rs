//! A fake servent that publishes: it answers searches and gives pieces, truly or not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use part2part::base::{ContentId, Geometry, ServentId};
use part2part::transfer::ListBuilder;

use crate::common::fake_peer::{FakeListener, FakePeer, Options};
use crate::common::frames::*;

/// The pieces of files as small as those of these tests.
pub(crate) const PIECE: usize = 64 * 1024;

/// What is answered to a request for a piece.
type Pieces = Arc<dyn Fn(u32) -> Vec<Frame> + Send + Sync>;
/// What is answered to a request for a part of the list.
type Lists = Arc<dyn Fn(u32) -> FakeManifest + Send + Sync>;

/// A file that is offered, and how.
#[derive(Clone)]
pub(crate) struct Offer {
    /// What it is called; who has no name is in no hit.
    pub(crate) name: String,
    pub(crate) id: [u8; 32],
    /// What hits say.
    pub(crate) size: u64,
    pub(crate) lists: Lists,
    pub(crate) pieces: Pieces,
    /// What is said before it is described.
    pub(crate) first_words: Vec<Frame>,
    /// What is said after thanks for it.
    pub(crate) last_words: Vec<Frame>,
    /// How many connections to its publisher that are for files have ended.
    pub(crate) ended: Arc<AtomicUsize>,
    /// How long to wait before each frame of a piece.
    pub(crate) pause: Duration,
}

impl Offer {
    /// A file given as an honest servent gives it.
    pub(crate) fn honest(name: &str, bytes: &[u8]) -> Self {
        let id = *blake3::hash(bytes).as_bytes();
        let size = bytes.len() as u64;
        let values = values_of(bytes);
        let bytes = bytes.to_vec();
        Self {
            name: name.to_owned(),
            id,
            size,
            lists: Arc::new(move |part| FakeManifest { id, size, part, values: values.clone() }),
            pieces: Arc::new(move |piece| {
                let bytes = piece_of(&bytes, piece).to_vec();
                vec![FakeData { id, piece, offset: 0, bytes }.frame()]
            }),
            first_words: vec![],
            last_words: vec![],
            ended: Arc::default(),
            pause: Duration::ZERO,
        }
    }

    /// The same file, described by another list.
    pub(crate) fn described(
        self,
        lists: impl Fn(u32) -> FakeManifest + Send + Sync + 'static,
    ) -> Self {
        Self { lists: Arc::new(lists), ..self }
    }

    /// The same file, its pieces answered in another way.
    pub(crate) fn given(self, pieces: impl Fn(u32) -> Vec<Frame> + Send + Sync + 'static) -> Self {
        Self { pieces: Arc::new(pieces), ..self }
    }

    /// The same file, given slowly; nothing that is said meanwhile is heeded.
    pub(crate) fn paced(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }
}

/// One piece of a file.
pub(crate) fn piece_of(bytes: &[u8], piece: u32) -> &[u8] {
    bytes.chunks(PIECE).nth(piece as usize).unwrap_or_default()
}

/// The values in the true list of a file.
pub(crate) fn values_of(bytes: &[u8]) -> Vec<[u8; 32]> {
    let geometry = Geometry::of(bytes.len() as u64).unwrap();
    let mut builder = ListBuilder::new(geometry);
    bytes.chunks(PIECE).for_each(|piece| builder.push(piece));
    let list = builder.finish().unwrap();
    assert_eq!(list.id(), ContentId(*blake3::hash(bytes).as_bytes()));
    list.values().to_vec()
}

/// What a publisher answers to a query instead of the hits of its offers.
type Hits = Arc<dyn Fn(&FakeQuery) -> Vec<Frame> + Send + Sync>;

/// Listens until dropped.
pub(crate) struct Publisher {
    addr: SocketAddr,
    id: ServentId,
    /// How many connections came that are for files.
    takers: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

struct Public {
    addr: SocketAddr,
    id: ServentId,
    offers: Vec<Offer>,
    hits: Option<Hits>,
    takers: Arc<AtomicUsize>,
}

impl Publisher {
    /// Offers files, each with a hit of its own to whatever is searched for.
    pub(crate) async fn start(seed: u8, offers: Vec<Offer>) -> Self {
        Self::listen(seed, offers, None).await
    }

    /// Offers nothing, and answers queries by any frames.
    pub(crate) async fn answering(
        seed: u8,
        hits: impl Fn(&FakeQuery) -> Vec<Frame> + Send + Sync + 'static,
    ) -> Self {
        Self::listen(seed, vec![], Some(Arc::new(hits))).await
    }

    async fn listen(seed: u8, offers: Vec<Offer>, hits: Option<Hits>) -> Self {
        let listener = FakeListener::bind(Options::new(seed)).await.unwrap();
        let (addr, id) = (listener.addr(), listener.id());
        let takers = Arc::<AtomicUsize>::default();
        let public = Public { addr, id, offers, hits, takers: Arc::clone(&takers) };
        let task = tokio::spawn(listen(listener, Arc::new(public)));
        Self { addr, id, takers, task }
    }

    pub(crate) fn takers(&self) -> usize {
        self.takers.load(Ordering::Relaxed)
    }

    pub(crate) fn id(&self) -> ServentId {
        self.id
    }

    /// `ID@HOST:PORT`, what `join` takes.
    pub(crate) fn invitation(&self) -> String {
        format!("{}@{}", self.id, self.addr)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listen(listener: FakeListener, public: Arc<Public>) {
    let mut conversations = tokio::task::JoinSet::new();
    loop {
        // Nobody came for a while, or went before it had said hello.
        let Ok(peer) = listener.accept().await else { continue };
        let Ok((peer, hello)) = listener.greet(peer).await else { continue };
        let public = Arc::clone(&public);
        conversations.spawn(async move {
            if !matches!(hello.purpose, FakePurpose::Transfer { .. }) {
                return drop(public.link(peer).await);
            }
            let _ = public.give(peer).await;
            for offer in &public.offers {
                offer.ended.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
}

impl Public {
    async fn link(&self, mut peer: FakePeer) -> std::io::Result<()> {
        loop {
            let frame = match peer.recv().await {
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => continue,
                frame => frame?,
            };
            match frame.kind {
                PING => peer.send(&nonce(PONG, read_nonce(&frame))).await?,
                QUERY => {
                    let query = FakeQuery::read(&frame);
                    for hit in self.answer(&query) {
                        peer.send(&hit).await?;
                    }
                    peer.send(&FakeDone { guid: query.guid, asked: 1, lost: 0 }.frame()).await?;
                }
                _ => {}
            }
        }
    }

    fn answer(&self, query: &FakeQuery) -> Vec<Frame> {
        if let Some(hits) = &self.hits {
            return hits(query);
        }
        let hit = |offer: &Offer| FakeHit {
            guid: query.guid,
            hops: 0,
            responder: self.id.0,
            addresses: vec![self.addr],
            name: "fake".into(),
            unreachable: false,
            files: vec![FakeFile { id: offer.id, size: offer.size, name: offer.name.clone() }],
            more: false,
        };
        let named = self.offers.iter().filter(|offer| !offer.name.is_empty());
        named.map(|offer| hit(offer).frame()).collect()
    }

    async fn give(&self, mut peer: FakePeer) -> std::io::Result<()> {
        self.takers.fetch_add(1, Ordering::Relaxed);
        loop {
            let frame = match peer.recv().await {
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => continue,
                frame => frame?,
            };
            match frame.kind {
                DESCRIBE => {
                    let (id, part) = read_describe(&frame);
                    match self.offers.iter().find(|offer| offer.id == id) {
                        Some(offer) => {
                            for frame in &offer.first_words {
                                peer.send(frame).await?;
                            }
                            peer.send(&(offer.lists)(part).frame()).await?;
                        }
                        None => peer.send(&refused(&id, 0)).await?,
                    }
                }
                REQUEST => {
                    let (id, ranges) = read_ranges(&frame);
                    let Some(offer) = self.offers.iter().find(|offer| offer.id == id) else {
                        peer.send(&refused(&id, 0)).await?;
                        continue;
                    };
                    for piece in ranges.into_iter().flat_map(|(first, n)| first..first + n) {
                        for frame in (offer.pieces)(piece) {
                            tokio::time::sleep(offer.pause).await;
                            peer.send(&frame).await?;
                        }
                    }
                }
                THANKS => {
                    let thanked = |offer: &&Offer| frame.body.starts_with(&offer.id);
                    let offer = self.offers.iter().find(thanked);
                    for frame in offer.into_iter().flat_map(|offer| &offer.last_words) {
                        peer.send(frame).await?;
                    }
                }
                _ => {}
            }
        }
    }
}

//! What every task of one servent stands on.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use futures_util::FutureExt;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clock::Clock;
use super::network::Network;
use super::report::News;
use super::settings::Settings;
use super::traffic::Traffic;
use crate::base::{Bucket, Contact, ServentId};
use crate::identity::{NetworkKey, Tls};
use crate::message::{Hello, Purpose, VERSION};

/// News that a slow listener may be behind before it misses some.
const NEWS_BACKLOG: usize = 1024;
/// Searches for sources a second, all downloads together: half of what a servent may
/// search at all, the other half being its user's.
const FIND_RATE: u64 = 1;
/// Warnings that are kept for `status`; each is about something that lasts, and a run has
/// few of them.
const MAX_WARNINGS: usize = 32;
/// A rate that nobody reaches, for those who set none.
const NO_CAP: u64 = 1 << 50;

/// Shared by all tasks of one servent; nothing in it is held across an await.
pub(super) struct Ground {
    pub(super) id: ServentId,
    pub(super) tls: Tls,
    pub(super) network_key: NetworkKey,
    pub(super) network: Arc<dyn Network>,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) news: broadcast::Sender<News>,
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    /// What all links together carried.
    pub(super) mesh: Traffic,
    /// Whether somebody has dialled us.
    pub(super) reached: AtomicBool,
    pub(super) incidents: AtomicU64,
    warnings: RwLock<Vec<String>>,
    listening: RwLock<Vec<SocketAddr>>,
    /// Addresses that others have seen us come from.
    seen: RwLock<Vec<IpAddr>>,
    upload: Mutex<Bucket>,
    download: Mutex<Bucket>,
    finding: Mutex<Bucket>,
}

impl Ground {
    pub(super) fn new(
        id: ServentId,
        tls: Tls,
        network: Arc<dyn Network>,
        settings: Settings,
    ) -> Self {
        let clock = Clock::start();
        let cap = |rate: Option<u64>| {
            let rate = rate.unwrap_or(NO_CAP);
            // A tenth of a second at once: smooth, and still whole frames.
            Mutex::new(Bucket::new(rate, rate / 10, clock.now()))
        };
        let key = settings.network_key.as_deref();
        Self {
            id,
            tls,
            network_key: key.map_or_else(NetworkKey::open, NetworkKey::from_contents),
            network,
            clock,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            news: broadcast::channel(NEWS_BACKLOG).0,
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            mesh: Traffic::default(),
            reached: AtomicBool::new(false),
            incidents: AtomicU64::new(0),
            warnings: RwLock::default(),
            listening: RwLock::default(),
            seen: RwLock::default(),
            upload: cap(settings.tuning.max_upload),
            download: cap(settings.tuning.max_download),
            finding: Mutex::new(Bucket::new(FIND_RATE, 1, clock.now())),
            settings,
        }
    }

    /// Our hello for a connection with this purpose.
    pub(super) fn hello(&self, purpose: Purpose) -> Hello {
        let addresses = self.addresses();
        Hello {
            version: VERSION,
            features: 0,
            purpose,
            listen_port: addresses.first().map_or(0, SocketAddr::port),
            addresses,
            agent: concat!("part2part/", env!("CARGO_PKG_VERSION")).to_owned(),
            name: self.settings.tuning.name.clone(),
            ext: Vec::new(),
        }
    }

    pub(super) fn listening(&self) -> Vec<SocketAddr> {
        self.listening.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_listening(&self, addresses: Vec<SocketAddr>) {
        *self.listening.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Notes the address that a welcome said we come from.
    pub(super) fn note_seen(&self, ip: IpAddr) {
        /// Enough for a machine with a few ways out; strangers cannot add without end.
        const MOST: usize = 4;
        let ip = ip.to_canonical();
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        if !seen.contains(&ip) && seen.len() < MOST {
            seen.push(ip);
        }
    }

    /// Where others can reach us, as far as we know, best first: a listener on every
    /// address stands for all of this machine's.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        if let Some(announce) = self.settings.announce {
            return vec![announce];
        }
        let mut found = Vec::new();
        for address in self.listening() {
            if !address.ip().is_unspecified() {
                found.push(address);
                continue;
            }
            let seen = self.seen.read().unwrap_or_else(PoisonError::into_inner).clone();
            let own = self.network.interfaces();
            // An address of another machine's making is worth a try, behind our own.
            let all = own.into_iter().chain(seen);
            found.extend(all.map(|ip| SocketAddr::new(ip, address.port())));
        }
        Contact::new(self.id, found).addresses
    }

    /// The address to dial from: the one we listen on, when it is a specific one.
    pub(super) fn dial_from(&self, to: IpAddr) -> Option<IpAddr> {
        let listening = self.listening();
        let own = listening.iter().map(SocketAddr::ip).find(|ip| !ip.is_unspecified())?;
        let fits = own.is_ipv4() == to.is_ipv4() && own.is_loopback() == to.is_loopback();
        fits.then_some(own)
    }

    /// Waits until `bytes` of pieces may be sent.
    pub(super) async fn await_upload(&self, bytes: u64) {
        await_bucket(&self.upload, self.clock, bytes).await;
    }

    /// Waits until `bytes` of pieces more may be received.
    pub(super) async fn await_download(&self, bytes: u64) {
        await_bucket(&self.download, self.clock, bytes).await;
    }

    /// Runs a task of this servent. A panic in it is our bug and ends that task alone;
    /// it is counted, and `status` shows the count.
    pub(super) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let ground = Arc::clone(self);
        self.tasks.spawn(async move {
            if AssertUnwindSafe(task).catch_unwind().await.is_err() {
                ground.note_incident();
                tracing::error!("a task panicked; this is a bug, please report it");
            }
        });
    }

    /// Waits until a download may search for sources.
    pub(super) async fn await_finding(&self) {
        await_bucket(&self.finding, self.clock, 1).await;
    }

    pub(super) fn tell(&self, news: News) {
        let _ = self.news.send(news); // nobody may be listening
    }

    /// Tells of something that should not be so and stays so: as news now, and in `status`
    /// from now on, for those who come later.
    pub(super) fn warn(&self, text: String) {
        let mut warnings = self.warnings.write().unwrap_or_else(PoisonError::into_inner);
        if !warnings.contains(&text) && warnings.len() < MAX_WARNINGS {
            warnings.push(text.clone());
        }
        drop(warnings);
        self.tell(News::Notice { text });
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        self.warnings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn note_incident(&self) {
        self.incidents.fetch_add(1, Ordering::Relaxed);
    }
}

/// Waits until nothing is owed, and only then owes: who goes away while it waits has
/// taken nothing from the others.
async fn await_bucket(bucket: &Mutex<Bucket>, clock: Clock, bytes: u64) {
    loop {
        let debt = {
            let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
            let debt = bucket.debt(clock.now());
            if debt.is_zero() {
                bucket.owe(clock.now(), bytes);
                return;
            }
            debt
        };
        tokio::time::sleep(debt).await;
    }
}

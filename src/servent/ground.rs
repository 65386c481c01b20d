//! What every task of one servent stands on.

use std::net::{IpAddr, SocketAddr};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::FutureExt;
use tokio::sync::{broadcast, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::Admission;
use super::browsed::Browsed;
use super::calling::Calls;
use super::clock::Clock;
use super::incidents::{Incident, Incidents};
use super::lan::Looking;
use super::mesh::Mesh;
use super::network::Network;
use super::panel::Panel;
use super::pool::Pool;
use super::port_map::Standing;
use super::reactors::Reactors;
use super::report::{News, PortMapping};
use super::settings::Settings;
use super::swarms::Swarms;
use super::throttle::Throttle;
use super::traffic::Traffic;
use super::tuning::Tuning;
use super::turnstile::Turnstile;
use crate::base::{Contact, ServentId};
use crate::identity::Tls;
use crate::message::{Hello, Purpose, VERSION};
use crate::overlay::Unanswered;

/// News that a slow listener may be behind before it misses some.
const NEWS_BACKLOG: usize = 1024;
/// Searches for sources a second, all downloads together: half of what a servent may
/// search at all, the other half being its user's.
const FIND_RATE: u64 = 1;
/// Warnings that are kept for `status`; each is about something that lasts, and a run has
/// few of them.
const MAX_WARNINGS: usize = 32;

/// Shared by all tasks of one servent; nothing in it is held across an await.
pub(super) struct Ground {
    pub(super) id: ServentId,
    pub(super) tls: Tls,
    pub(super) network: Arc<dyn Network>,
    pub(super) settings: Settings,
    pub(super) clock: Clock,
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    reactors: Reactors,
    pub(super) news: broadcast::Sender<News>,
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    /// What all links together carried.
    pub(super) mesh: Traffic,
    /// Whom we are greeting.
    pub(super) turnstile: Turnstile,
    /// Whether it has turned out that nobody can dial us.
    undialable: AtomicBool,
    /// Sources that we have asked to dial us.
    pub(super) calls: Calls,
    /// Connections to sources that nobody uses for a moment.
    pub(super) pool: Pool,
    /// How the look at the local network goes.
    pub(super) lan: watch::Sender<Looking>,
    pub(super) incidents: Incidents,
    /// The places of those who dial us.
    pub(super) admission: Admission,
    warnings: RwLock<Vec<String>>,
    here: RwLock<Arc<Mesh>>,
    listening: RwLock<Vec<SocketAddr>>,
    /// Addresses that others have seen us come from.
    seen: RwLock<Vec<IpAddr>>,
    /// The port of the router that leads here; none when none is wanted.
    port_map: RwLock<Option<Standing>>,
    /// What of the settings can be changed, as it is now.
    pub(super) panel: Panel,
    /// What of the library was shown to whom.
    pub(super) browsed: Browsed,
    /// Who takes what from here, and what of the running downloads can be given on.
    pub(super) swarms: Swarms,
    /// Bytes of pieces that may be sent, shared by the connections.
    upload: Throttle,
    /// Bytes of pieces that may be received, shared by the downloads.
    pub(super) download: Throttle,
    /// Dials on the word of strangers, the engine's among them: nobody must aim us.
    pub(super) unanswered: Unanswered,
    /// Searches that the downloads, and the standing searches, may begin.
    pub(super) finding: Throttle,
}

impl Ground {
    pub(super) fn new(
        id: ServentId,
        tls: Tls,
        network: Arc<dyn Network>,
        mesh: Mesh,
        mut settings: Settings,
        places: usize,
        secret: [u8; 32],
    ) -> Self {
        let clock = Clock::start();
        // Where nobody reads by mistake what was true at the start.
        let tuning = std::mem::take(&mut settings.tuning);
        Self {
            id,
            tls,
            network,
            clock,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            reactors: Reactors::default(),
            news: broadcast::channel(NEWS_BACKLOG).0,
            sent: AtomicU64::new(0),
            received: AtomicU64::new(0),
            mesh: Traffic::default(),
            turnstile: Turnstile::default(),
            undialable: AtomicBool::new(false),
            calls: Calls::default(),
            pool: Pool::default(),
            lan: watch::channel(Looking::Off).0,
            incidents: Incidents::default(),
            admission: Admission::new(places),
            warnings: RwLock::default(),
            here: RwLock::new(Arc::new(mesh)),
            listening: RwLock::default(),
            seen: RwLock::default(),
            port_map: RwLock::default(),
            browsed: Browsed::new(secret, clock.now()),
            swarms: Swarms::default(),
            upload: Throttle::bytes(tuning.max_upload, clock),
            download: Throttle::bytes(tuning.max_download, clock),
            unanswered: Unanswered::default(),
            finding: Throttle::new(FIND_RATE, 1, clock),
            panel: Panel::new(tuning),
            settings,
        }
    }

    /// Our hello for a connection with this purpose, and these bits.
    pub(super) fn hello(&self, purpose: Purpose, features: u64) -> Hello {
        let addresses = self.addresses();
        // Whoever is near dials it where he sees us; a router's port is among the addresses.
        let near = self.settings.announce.or_else(|| self.listening().first().copied());
        Hello {
            version: VERSION,
            features,
            purpose,
            listen_port: near.filter(|_| !addresses.is_empty()).map_or(0, |near| near.port()),
            addresses,
            agent: concat!("part2part/", env!("CARGO_PKG_VERSION")).to_owned(),
            name: self.panel.now().name.clone(),
            ext: Vec::new(),
        }
    }

    /// Those of a source's addresses that may be dialled now; they count as dialled.
    pub(super) fn aim(&self, mut addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
        self.unanswered.aim(self.clock.now(), &mut addresses);
        addresses
    }

    /// Notes that a source answered at `seen`.
    pub(super) fn note_answered(&self, seen: SocketAddr) {
        self.unanswered.answered(&seen);
    }

    /// Whether it has turned out that nobody can dial us.
    pub(super) fn is_undialable(&self) -> bool {
        self.undialable.load(Ordering::Relaxed)
    }

    pub(super) fn set_undialable(&self, undialable: bool) {
        self.undialable.store(undialable, Ordering::Relaxed);
    }

    /// The mesh that the servent takes part in.
    pub(super) fn mesh(&self) -> Arc<Mesh> {
        Arc::clone(&self.here.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Goes into `mesh`; all connections of the one before end.
    pub(super) fn enter(&self, mesh: Arc<Mesh>) {
        let before = {
            let mut here = self.here.write().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *here, mesh)
        };
        before.left.cancel();
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

    /// Notes how it stands with the port of the router.
    pub(super) fn set_port_map(&self, standing: Option<Standing>) {
        *self.port_map.write().unwrap_or_else(PoisonError::into_inner) = standing;
    }

    pub(super) fn port_mapping(&self) -> Option<PortMapping> {
        let standing = self.port_map.read().unwrap_or_else(PoisonError::into_inner);
        standing.as_ref().map(|standing| standing.report(self.clock.now()))
    }

    /// Where others can reach us, as far as we know, best first: a listener on every
    /// address stands for all of this machine's.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        if let Some(announce) = self.settings.announce {
            return vec![announce];
        }
        let mapped = self.port_map.read().unwrap_or_else(PoisonError::into_inner);
        let mut found: Vec<_> = mapped.as_ref().and_then(Standing::outside).into_iter().collect();
        drop(mapped);
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

    /// The networks that this servent is in: of a listener on every address all of the
    /// machine's but loopback, where nobody is met by listening there.
    pub(super) fn networks(&self) -> Vec<IpAddr> {
        let (every, own): (Vec<_>, Vec<_>) =
            self.listening().iter().map(SocketAddr::ip).partition(IpAddr::is_unspecified);
        let all = if every.is_empty() { Vec::new() } else { self.network.interfaces() };
        own.into_iter().chain(all.into_iter().filter(|ip| !ip.is_loopback())).collect()
    }

    /// The address to dial from: one that we listen on, when it is a specific one and there
    /// is a way from it.
    pub(super) fn dial_from(&self, to: IpAddr) -> Option<IpAddr> {
        let fits = |own: &IpAddr| {
            let family = own.is_ipv4() == to.is_ipv4();
            !own.is_unspecified() && family && own.is_loopback() == to.is_loopback()
        };
        self.listening().iter().map(SocketAddr::ip).find(fits)
    }

    /// Acts on `tuning` from now on.
    pub(super) fn tune(&self, tuning: Tuning) {
        self.upload.turn(tuning.max_upload);
        self.download.turn(tuning.max_download);
        self.panel.replace(tuning);
    }

    /// Waits until `bytes` of pieces may be sent over a connection; they take turns, so that
    /// our own cap makes none of them look as if it took nothing.
    pub(super) async fn await_upload(&self, connection: u64, bytes: u64) {
        self.upload.wait(usize::try_from(connection).unwrap_or(usize::MAX), bytes).await;
    }

    /// The connection sends no more.
    pub(super) fn end_upload(&self, connection: u64) {
        self.upload.forget(usize::try_from(connection).unwrap_or(usize::MAX));
    }

    /// Runs a task of this servent. A panic in it is our bug and ends that task alone;
    /// it is counted, and `status` shows the count.
    pub(super) fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(Arc::clone(self).guard(task));
    }

    /// Runs a task of a download as [`Ground::spawn`] does, on a reactor; what it spawns runs
    /// there, too.
    pub(super) fn spawn_download(
        self: &Arc<Self>,
        task: impl Future<Output = ()> + Send + 'static,
    ) {
        let Some((number, reactor)) = self.reactors.enter() else { return self.spawn(task) };
        let ground = Arc::clone(self);
        let task = async move {
            Arc::clone(&ground).guard(task).await;
            ground.reactors.leave(number);
        };
        self.tasks.spawn_on(task, &reactor);
    }

    async fn guard(self: Arc<Self>, task: impl Future<Output = ()>) {
        if AssertUnwindSafe(task).catch_unwind().await.is_err() {
            self.incidents.note(Incident::Fault);
            tracing::error!("a task panicked; this is a bug, please report it");
        }
    }

    /// Waits until a standing search may search; as urgent as a usual download.
    pub(super) async fn await_finding(&self) {
        /// No download has this number.
        const STANDING: usize = 0;
        self.finding.wait(STANDING, 1).await;
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
}

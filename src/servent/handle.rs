//! A running servent, as its user's side holds it.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::timeout;

use super::changes::{self, StopOnDrop};
use super::dial::{self, DialError};
use super::downloads::{DownloadError, Downloads, is_over};
use super::driver::{COMMANDS, Command, Driver, INPUTS};
use super::fetch::Tools;
use super::greeting::Reception;
use super::ground::Ground;
use super::holder::holder;
use super::hosts::HostFile;
use super::network::{Internet, Network};
use super::report::{
    DownloadReport, DownloadRequest, JoinReport, LeftOut, News, PeerReport, PublishProgress,
    PublishReport, ResultReport, SearchEvent, SearchRequest, SharedReport, StatusReport,
    UnpublishReport,
};
use super::searching::{self, SearchError, SharedResults};
use super::serve::Uploads;
use super::settings::{JoinTarget, Settings};
use super::{listen, matching, server};
use crate::base::ServentId;
use crate::identity::{Identity, KeyFileError, Tls, TlsError};
use crate::message::Purpose;
use crate::overlay::{self, Input, Overlay};
use crate::share::{Library, Protected, PublishError, UnpublishError, UnpublishTarget};
use crate::store::{Disk, RealDisk, StateDir, StoreError};

/// How long a stopping servent waits for its farewells.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// How long `join` waits for a neighbour once the host cache is being dialled.
const JOIN_LIMIT: Duration = Duration::from_secs(10);
/// The file of the key in the state folder.
const KEY_FILE: &str = "key";

/// Why a servent did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder is in use, or cannot be used.
    #[error(transparent)]
    State(#[from] StoreError),
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The address is taken.
    #[error(
        "{address} is in use{by}; use --listen with another port, or --listen :0 for any free one"
    )]
    Taken {
        /// Which.
        address: SocketAddr,
        /// By whom, where that is known.
        by: String,
    },
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Too few files and connections may be open.
    #[error(
        "this process may open only {0} files and connections at once; allow it more (ulimit -n)"
    )]
    Descriptors(u64),
    /// The system gives no threads or random numbers.
    #[error("the system gives too little to start: {0}")]
    System(io::Error),
}

/// Why a join came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The name has no address.
    #[error("{host} has no address: {}", lookup(source))]
    Resolve {
        /// As typed.
        host: String,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody was found there.
    #[error("cannot join {}{}: {source}", place(host, *port), elsewhere(host, source))]
    Dial {
        /// As typed.
        host: String,
        /// The port.
        port: u16,
        /// What happened.
        source: DialError,
    },
    /// It is there, but full, and so are those that it named.
    #[error("{} is full, and nobody it named answered; try again later", place(host, *port))]
    Full {
        /// As typed.
        host: String,
        /// The port.
        port: u16,
    },
    /// It is there, but its user has left the mesh.
    #[error(
        "{} has left its mesh and stays alone until its user joins again", place(host, *port)
    )]
    Alone {
        /// As typed.
        host: String,
        /// The port.
        port: u16,
    },
    /// The host cache has nobody.
    #[error("no servent is known yet; join ID@HOST:PORT of one that is")]
    NobodyKnown,
    /// The host cache has some, but none answered.
    #[error(
        "none of the {0} servents known from earlier answered; join ID@HOST:PORT of one that is there"
    )]
    NobodyAnswered(usize),
    /// The servent is stopping.
    #[error("the servent is stopping")]
    Stopping,
}

/// Host and port as they are typed.
fn place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The address behind a host name, where it is not the name itself.
fn elsewhere(host: &str, source: &DialError) -> String {
    let address = source.address().filter(|address| address.ip().to_string() != host);
    address.map(|address| format!(" ({address})")).unwrap_or_default()
}

/// What a name server said, without the name of the function that asked it.
fn lookup(error: &io::Error) -> String {
    let text = error.to_string();
    text.rsplit(": ").next().map(str::to_owned).unwrap_or(text)
}

/// A running servent; clones are the same one.
#[derive(Clone)]
pub struct Servent(Arc<Inner>);

struct Inner {
    ground: Arc<Ground>,
    driver: mpsc::Sender<Command>,
    degree: watch::Receiver<usize>,
    library: Library,
    uploads: Arc<Uploads>,
    downloads: Downloads,
    results: Mutex<SharedResults>,
    tools: Tools,
    /// Holds the lock on the state folder.
    _state: Option<Arc<StateDir>>,
}

impl Servent {
    /// Starts a servent on the real network and the real disk.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        super::descriptors::raise_limit().map_err(StartError::Descriptors)?;
        Self::start_on(settings, Arc::new(Internet), Arc::new(RealDisk), None).await
    }

    /// Starts a servent on a network and a disk of the caller's; `seed` makes its key and
    /// its choices repeatable.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start_on(
        settings: Settings,
        network: Arc<dyn Network>,
        disk: Arc<dyn Disk>,
        seed: Option<[u8; 32]>,
    ) -> Result<Self, StartError> {
        let state = if settings.ephemeral {
            None
        } else {
            let locked = StateDir::lock(Arc::clone(&disk), &settings.state, std::process::id())?;
            Some(Arc::new(locked))
        };
        let key = settings.state.join(KEY_FILE);
        let identity = match seed {
            Some(seed) => Identity::from_seed(seed),
            None if settings.ephemeral => Identity::generate()?,
            None => Identity::load_or_create(&key)?,
        };
        let no_chance = || StartError::System(io::Error::other("no random numbers"));
        let engine_seed = match seed {
            Some(seed) => blake3::derive_key("part2part 1 engine seed", &seed),
            None => searching::random().ok_or_else(no_chance)?,
        };
        let id = identity.id();
        let config = overlay::Config { manual: settings.manual, ..overlay::Config::default() };
        let ground = Arc::new(Ground::new(id, Tls::new(&identity)?, network, settings));
        let listener = listen::open(&ground).map_err(|source| listen_error(&ground, source))?;
        let listening = listener.local_address().map_err(StartError::System)?;
        ground.set_listening(vec![listening]);

        let protected = Protected {
            state: state.as_ref().map(|state| state.path().to_path_buf()),
            keys: std::iter::once(key).chain(ground.settings.network_key_file.clone()).collect(),
            home: ground.settings.home.clone(),
        };
        let library = Library::new(Arc::clone(&disk), &protected);
        let (commands, command_inbox) = mpsc::channel(COMMANDS);
        let (inputs, input_inbox) = mpsc::channel(INPUTS);
        let (degree, degree_seen) = watch::channel(0);
        let (matcher, jobs) = mpsc::channel(matching::QUEUE);
        let matching = matching::run(Arc::clone(&ground), library.clone(), inputs.clone(), jobs);
        ground.spawn(matching);

        let hosts = HostFile::new(state.clone());
        let (cached, damaged) = hosts.load()?;
        let overlay = Overlay::new(id, config, engine_seed, ground.clock.now());
        let driver = Driver::new(
            Arc::clone(&ground),
            overlay,
            matcher,
            inputs,
            commands.clone(),
            degree,
            hosts,
        );
        let uploads = Uploads::new();
        ground.spawn(driver.run(command_inbox, input_inbox));
        ground.spawn(Arc::clone(&uploads).keep(Arc::clone(&ground)));
        ground.spawn(changes::watch(Arc::clone(&ground), library.clone()));
        let _ = commands.send(Command::Tell(Input::Cached(cached))).await;
        ground.spawn(server::run(
            Arc::clone(&ground),
            listener,
            library.clone(),
            Arc::clone(&uploads),
            commands.clone(),
        ));
        if let Some(text) = damaged {
            ground.tell(News::Notice { text });
        }
        let tools = Tools {
            ground: Arc::clone(&ground),
            driver: commands.clone(),
            disk,
            library: library.clone(),
        };
        Ok(Self(Arc::new(Inner {
            ground,
            driver: commands,
            degree: degree_seen,
            library,
            uploads,
            downloads: Downloads::default(),
            results: Mutex::default(),
            tools,
            _state: state,
        })))
    }

    /// Who it is.
    #[must_use]
    pub fn id(&self) -> ServentId {
        self.0.ground.id
    }

    /// Where it listens.
    #[must_use]
    pub fn listening(&self) -> Vec<SocketAddr> {
        self.0.ground.listening()
    }

    /// Joins the mesh at a known servent, or through the host cache.
    ///
    /// # Errors
    /// [`JoinError`]; links that stand already stay.
    pub async fn join(&self, target: Option<JoinTarget>) -> Result<JoinReport, JoinError> {
        match target {
            Some(target) => self.join_at(target).await,
            None => self.join_cached().await,
        }
    }

    async fn join_at(&self, target: JoinTarget) -> Result<JoinReport, JoinError> {
        let JoinTarget { id, host, port } = target;
        let ground = &self.0.ground;
        let addresses = ground
            .network
            .resolve(&host, port)
            .await
            .map_err(|source| JoinError::Resolve { host: host.clone(), source })?;
        let manual = ground.settings.manual;
        let purpose = if manual { Purpose::Manual } else { Purpose::Join };
        let (greeted, reception) = dial::dial(ground, &addresses, id, purpose.clone())
            .await
            .map_err(|source| JoinError::Dial { host: host.clone(), port, source })?;
        let report = JoinReport {
            neighbour: greeted.peer.contact.id,
            name: greeted.peer.name.clone(),
            address: greeted.peer.seen,
            contacts: match &reception {
                Reception::Welcomed(welcome) => welcome.contacts.len(),
                Reception::Redirected(redirect) => redirect.contacts.len(),
            },
        };
        let redirected = matches!(reception, Reception::Redirected(_));
        self.tell(Command::Tell(Input::Join)).await?;
        self.tell(Command::Dialled { greeted, reception, purpose }).await?;
        if redirected && self.peers().await.iter().any(|peer| peer.id == report.neighbour) {
            return Ok(report); // we are linked: its own dial crossed ours
        }
        if redirected && report.contacts == 0 {
            return Err(JoinError::Alone { host, port });
        }
        // It is our neighbour now; or those that it named are being dialled.
        if !redirected || self.has_neighbour(JOIN_LIMIT).await {
            Ok(report)
        } else {
            Err(JoinError::Full { host, port })
        }
    }

    async fn join_cached(&self) -> Result<JoinReport, JoinError> {
        let cached = self.ask(Command::Cached).await.ok_or(JoinError::Stopping)?;
        if cached == 0 && self.degree() == 0 {
            return Err(JoinError::NobodyKnown);
        }
        self.tell(Command::Tell(Input::Join)).await?;
        if !self.has_neighbour(JOIN_LIMIT).await {
            return Err(JoinError::NobodyAnswered(cached));
        }
        let first =
            self.peers().await.into_iter().next().ok_or(JoinError::NobodyAnswered(cached))?;
        let address = first.addresses.first().copied();
        Ok(JoinReport {
            neighbour: first.id,
            name: first.name,
            address: address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0))),
            contacts: 0,
        })
    }

    /// Says bye to all neighbours and stays alone; answers how many they were.
    pub async fn leave(&self) -> usize {
        self.ask(Command::Leave).await.unwrap_or(0)
    }

    /// The neighbours.
    pub async fn peers(&self) -> Vec<PeerReport> {
        self.ask(Command::Peers).await.unwrap_or_default()
    }

    /// Servents that are known to have been there a moment ago, beside the neighbours.
    pub async fn known(&self) -> Vec<PeerReport> {
        self.ask(Command::Known).await.unwrap_or_default()
    }

    /// Waits for a neighbour, if there is none; false when none came `within`.
    pub async fn has_neighbour(&self, within: Duration) -> bool {
        let mut degree = self.0.degree.clone();
        let found = timeout(within, degree.wait_for(|&degree| degree > 0)).await;
        matches!(found, Ok(Ok(_)))
    }

    /// Searches. Hits come by the receiver as they arrive, then the end; dropping the
    /// receiver ends the search. Its results replace those of the search before.
    ///
    /// # Errors
    /// [`SearchError`]; then the results of the search before stay.
    pub async fn search(
        &self,
        request: SearchRequest,
    ) -> Result<mpsc::Receiver<SearchEvent>, SearchError> {
        let results = SharedResults::default();
        let inner = &self.0;
        let events =
            searching::start(&inner.ground, &inner.driver, &request, results.clone()).await?;
        *inner.results.lock().unwrap_or_else(PoisonError::into_inner) = results;
        Ok(events)
    }

    fn latest(&self) -> SharedResults {
        self.0.results.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the latest search has found.
    #[must_use]
    pub async fn results(&self) -> Vec<ResultReport> {
        self.latest().reports()
    }

    /// Publishes a file or a folder; `confirmed` where that needs a second thought.
    ///
    /// # Errors
    /// [`PublishError`]; what was published before stays so.
    pub async fn publish(
        &self,
        path: PathBuf,
        confirmed: bool,
        progress: mpsc::Sender<PublishProgress>,
    ) -> Result<PublishReport, PublishError> {
        let library = self.0.library.clone();
        let stop = Arc::new(AtomicBool::new(false));
        // If nobody waits for the end any more, hashing ends too.
        let _guard = StopOnDrop(Arc::clone(&stop));
        let shown = path.clone();
        let work = tokio::task::spawn_blocking(move || {
            let tell = |seen: crate::share::PublishProgress<'_>| {
                let _ = progress.try_send(PublishProgress {
                    files: usize::try_from(seen.files).unwrap_or(usize::MAX),
                    bytes: seen.bytes,
                    current: seen.path.to_string_lossy().into_owned(),
                });
            };
            library.publish(&path, confirmed, &tell, &stop)
        });
        match work.await {
            Ok(published) => published.map(report_of),
            Err(error) => {
                self.0.ground.note_incident();
                let source = io::Error::other(error);
                Err(PublishError::Unreadable { path: shown, source })
            }
        }
    }

    /// Stops sharing a path, all in a folder, or a content.
    ///
    /// # Errors
    /// [`UnpublishError`], when that is not shared.
    pub async fn unpublish(&self, what: String) -> Result<UnpublishReport, UnpublishError> {
        let target = UnpublishTarget::of(&what);
        let gone = super::offload::offload(|| self.0.library.unpublish(&target))?;
        Ok(UnpublishReport { files: gone.files, bytes: gone.bytes })
    }

    /// What is shared.
    pub async fn shared(&self) -> Vec<SharedReport> {
        let shared = self.0.library.shared().into_iter();
        shared
            .map(|file| SharedReport {
                name: file.name,
                path: file.path,
                id: file.id,
                size: file.size,
            })
            .collect()
    }

    /// Starts a download and returns at once.
    ///
    /// # Errors
    /// [`DownloadError`], when there is nothing to start.
    pub async fn download(
        &self,
        request: DownloadRequest,
    ) -> Result<DownloadReport, DownloadError> {
        self.0.downloads.begin(&self.0.tools, request, &self.latest())
    }

    /// Waits until a download is over; none when there is none of that number.
    pub async fn download_ended(&self, number: usize) -> Option<DownloadReport> {
        self.0.downloads.ended(number).await
    }

    /// All downloads of this run, in order of their numbers.
    pub async fn downloads(&self) -> Vec<DownloadReport> {
        self.0.downloads.reports()
    }

    /// How the servent is.
    pub async fn status(&self) -> StatusReport {
        let Inner { ground, library, uploads, .. } = &*self.0;
        let totals = library.totals();
        let running = self.0.downloads.reports().iter().filter(|report| !is_over(report)).count();
        StatusReport {
            id: ground.id,
            name: ground.settings.name.clone(),
            listening: ground.listening(),
            addresses: ground.addresses(),
            neighbours: self.degree(),
            cached: self.ask(Command::Cached).await.unwrap_or(0),
            shared_files: totals.files,
            shared_bytes: totals.bytes,
            downloads: running,
            uploads: uploads.active(),
            received: ground.received.load(Ordering::Relaxed),
            sent: ground.sent.load(Ordering::Relaxed),
            private: ground.settings.network_key.is_some(),
            up_secs: ground.clock.up_secs(),
            incidents: ground.incidents.load(Ordering::Relaxed),
        }
    }

    /// News from now on. Who is too slow misses some.
    #[must_use]
    pub fn news(&self) -> broadcast::Receiver<News> {
        self.0.ground.news.subscribe()
    }

    /// Says bye, saves what is to be saved, and waits for it, for a while.
    pub async fn stop(&self) {
        let ground = &self.0.ground;
        ground.stop.cancel();
        ground.tasks.close();
        if timeout(STOP_LIMIT, ground.tasks.wait()).await.is_err() {
            tracing::debug!("stopped with tasks still saying farewell");
        }
    }

    fn degree(&self) -> usize {
        *self.0.degree.borrow()
    }

    async fn tell(&self, command: Command) -> Result<(), JoinError> {
        self.0.driver.send(command).await.map_err(|_| JoinError::Stopping)
    }

    /// Asks the driver; none when it has stopped.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.0.driver.send(command(reply)).await.ok()?;
        answer.await.ok()
    }
}

fn report_of(published: crate::share::PublishReport) -> PublishReport {
    let size = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
    PublishReport {
        files: size(published.files),
        bytes: published.bytes,
        unchanged: size(published.unchanged),
        left_out: size(published.left_out.total()),
        examples: published
            .left_out
            .examples
            .into_iter()
            .map(|left| LeftOut { path: left.path, why: left.why.to_string() })
            .collect(),
    }
}

fn listen_error(ground: &Ground, source: io::Error) -> StartError {
    let any = SocketAddr::from(([0, 0, 0, 0], listen::DEFAULT_PORT));
    let address = ground.settings.listen.unwrap_or(any);
    if source.kind() == io::ErrorKind::AddrInUse {
        let by = holder(address.port()).map(|holder| format!(" by {holder}"));
        StartError::Taken { address, by: by.unwrap_or_default() }
    } else {
        StartError::Listen { address, source }
    }
}

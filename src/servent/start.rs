//! From settings to a running servent.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, watch};

use super::admission::MAX_INBOUND;
use super::clock::Clock;
use super::crawl::Atlas;
use super::downloads::Downloads;
use super::driver::{COMMANDS, Command, Desks, Driver, INPUTS};
use super::fetch::Tools;
use super::ground::Ground;
use super::handle::{Inner, Servent};
use super::holder::holder;
use super::hosts::HostFile;
use super::network::{Internet, Network};
use super::offload::offload;
use super::remembered::Remembered;
use super::settings::Settings;
use super::slots::Uploads;
use super::unfinished::Unfinished;
use super::wanted::Wanted;
use super::watching::{self, Watching};
use super::{
    called, changes, collecting, keeping, lan, listen, matching, mesh, port_map, searching, server,
};
use crate::identity::{Identity, KeyFileError, Tls, TlsError};
use crate::overlay::{self, Input, Overlay};
use crate::share::Protected;
use crate::store::{Disk, RealDisk, StateDir, StoreError};

/// The file of the key in the state folder.
const KEY_FILE: &str = "key";
/// What the secret is for that seals where a page of the library begins.
const CURSORS: &str = "part2part 1 browse cursor";
/// What the secret is for by which a router knows the servent again.
const PORT_MAP: &str = "part2part 1 port map";

/// Why a servent did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The state folder is in use, or cannot be used.
    #[error(transparent)]
    State(#[from] StoreError),
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The key of the private mesh cannot be read or kept.
    #[error("{0}")]
    Mesh(String),
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
    #[error("cannot listen at {address}: {}", unheard(source))]
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

impl Servent {
    /// Starts a servent on the real network and the real disk.
    ///
    /// # Errors
    /// [`StartError`]; nothing is left running.
    pub async fn start(settings: Settings) -> Result<Self, StartError> {
        let (places, fewer) = super::descriptors::raise_limit().map_err(StartError::Descriptors)?;
        let (network, disk) = (Arc::new(Internet), Arc::new(RealDisk));
        let servent = Self::start_with(settings, network, disk, None, places, true).await?;
        if let Some(limit) = fewer {
            servent.0.ground.warn(format!(
                "this process may open only {limit} files and connections at once, so it takes in \
                 {places} connections instead of {MAX_INBOUND}; allow it more (ulimit -n)"
            ));
        }
        Ok(servent)
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
        Self::start_with(settings, network, disk, seed, MAX_INBOUND, false).await
    }

    /// Starts a servent that takes in so many connections at once, on a disk that is the
    /// machine's own if it is `real`.
    async fn start_with(
        mut settings: Settings,
        network: Arc<dyn Network>,
        disk: Arc<dyn Disk>,
        seed: Option<[u8; 32]>,
        places: usize,
        real: bool,
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
        let base = std::mem::take(&mut settings.tuning);
        let (remembered, torn) = Remembered::load(base, state.as_deref(), Clock::unix())?;
        settings.tuning = remembered.tuning();
        let config = overlay::Config { manual: settings.manual, ..overlay::Config::default() };
        let (mesh, sealed) =
            mesh::at_start(settings.network.as_ref(), state.as_deref(), Clock::unix())
                .map_err(|error| StartError::Mesh(error.to_string()))?;
        let hosts = HostFile::new(state.clone(), &mesh.key);
        let ground = Arc::new(Ground::new(
            id,
            Tls::new(&identity)?,
            network,
            mesh,
            settings,
            places,
            identity.secret_for(CURSORS),
        ));
        // Who does not start leaves nothing running.
        let ends = ground.stop.clone().drop_guard();
        let listener = listen::open(&ground).map_err(|source| listen_error(&ground, source))?;
        let listening = listener.local_address().map_err(StartError::System)?;
        ground.set_listening(vec![listening]);

        let secret = ground.settings.network.as_ref();
        let network_key_file = secret.and_then(|secret| secret.file.clone());
        let protected = Protected {
            state: state.as_ref().map(|state| state.path().to_path_buf()),
            keys: std::iter::once(key).chain(network_key_file).collect(),
            home: ground.settings.home.clone(),
        };
        let (library, lost) = keeping::open(Arc::clone(&disk), &protected, state.as_ref());
        library.ignore(&ground.settings.ignore);
        library.set_hash_threads(ground.panel.now().hash_threads);
        let (commands, command_inbox) = mpsc::channel(COMMANDS);
        let (inputs, input_inbox) = mpsc::channel(INPUTS);
        let (degree, degree_seen) = watch::channel(0);
        let (matcher, jobs) = mpsc::channel(matching::QUEUE);
        let (callers, called_inbox) = mpsc::channel(called::QUEUE);
        let matching = matching::run(Arc::clone(&ground), library.clone(), inputs.clone(), jobs);
        ground.spawn(matching);

        let (cached, damaged) = hosts.load(ground.clock.now())?;
        let (unfinished, damage) = Unfinished::load(state.clone())?;
        let overlay = Overlay::new(id, config, engine_seed, ground.clock.now())
            .counting_in(ground.unanswered.clone());
        let driver = Driver::new(
            Arc::clone(&ground),
            overlay,
            Desks { matcher, callers },
            inputs.clone(),
            commands.clone(),
            degree,
            hosts,
        );
        let uploads = Uploads::new(ground.clock);
        ground.spawn(called::run(
            Arc::clone(&ground),
            library.clone(),
            Arc::clone(&uploads),
            inputs,
            called_inbox,
        ));
        ground.spawn(driver.run(command_inbox, input_inbox));
        ground.spawn(Arc::clone(&uploads).keep(Arc::clone(&ground)));
        ground.spawn(changes::watch(Arc::clone(&ground), library.clone()));
        let shares = changes::tell_shares(Arc::clone(&ground), library.clone(), commands.clone());
        ground.spawn(shares);
        ground.spawn(collecting::run(Arc::clone(&ground), library.clone()));
        let named = Input::TraceName(ground.panel.now().trace_name);
        for first in [Input::Cached(cached), named] {
            let _ = commands.send(Command::Tell(first)).await;
        }
        ground.spawn(port_map::run(Arc::clone(&ground), identity.secret_for(PORT_MAP)));
        ground.spawn(lan::run(Arc::clone(&ground), commands.clone(), degree_seen.clone()));
        ground.spawn(server::run(
            Arc::clone(&ground),
            listener,
            library.clone(),
            Arc::clone(&uploads),
            commands.clone(),
        ));
        if state.is_some() {
            ground.spawn(keeping::save(Arc::clone(&ground), library.clone()));
        }
        let watching = Arc::new(Watching::default());
        let watched = (library.clone(), Arc::clone(&watching));
        ground.spawn(watching::run(Arc::clone(&ground), watched.0, watched.1, real));
        let (wanted, wanted_damaged) = Wanted::load(state.clone())?;
        let wanted = Arc::new(wanted);
        ground.spawn(Arc::clone(&wanted).run(
            Arc::clone(&ground),
            commands.clone(),
            library.clone(),
            degree_seen.clone(),
        ));
        for text in [damaged, wanted_damaged, lost, torn, sealed, damage].into_iter().flatten() {
            ground.warn(text);
        }
        let tools = Tools {
            ground: Arc::clone(&ground),
            driver: commands.clone(),
            disk,
            library: library.clone(),
            degree: degree_seen.clone(),
            unfinished,
        };
        let downloads = Downloads::default();
        offload(|| downloads.resume_all(&tools));
        // Dropped with this runtime, it ends what runs on the reactors.
        let stop = ground.stop.clone();
        ground.spawn(async move {
            stop.cancelled().await;
            drop(ends);
        });
        let atlas = Mutex::new(Atlas::new(ground.unanswered.clone(), ground.clock.now()));
        Ok(Self(Arc::new(Inner {
            ground,
            atlas,
            driver: commands,
            degree: degree_seen,
            library,
            uploads,
            downloads,
            results: Mutex::default(),
            browsing: Mutex::default(),
            tools,
            wanted,
            watching,
            remembered: Mutex::new(remembered),
            state,
        })))
    }
}

/// Why nothing can be heard there, and what to do about it.
fn unheard(source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::AddrNotAvailable => {
            "this machine has no such address; --listen :PORT listens on all that it has".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "not allowed; ports below 1024 are the system's, choose another with --listen"
                .to_owned()
        }
        _ => source.to_string(),
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

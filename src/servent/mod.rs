//! The driver: one servent on tokio.
//!
//! Tasks own, channels carry. The **server task** (`listen`, `server`) takes connections
//! in and gives them to the engine or to the uploads; the **client task** is whatever the
//! user asked for: a join (`dial`), a search (`searching`), a download (`fetch`, with one
//! `source` for each connection). Between them stands the `driver`, the one task that
//! owns the [`crate::overlay::Overlay`]; it never waits for a peer. `matching` answers the
//! queries of others.
//!
//! | about | pages |
//! |---|---|
//! | the user's side | `handle`, `start`, `status`, `report`; `join`, `inviting`, `moving`; `publishing`, `searching`, `wanted`, `browsing` with `whom`, `crawl`; `downloads`, `resuming` |
//! | links | `driver`, `link`, `outbox`, `traffic`, `hosts`, `mesh` |
//! | connections | `dial`, `listen`, `admission` with `accept_rate`, `eviction` and `origin`, `greeting`, `turnstile`, `frames`, `network` |
//! | files coming | `fetch`, `source`, `hearing`, `calling`, `unfinished` |
//! | files going | `serve`, `stock`, `swarms`, `browsed`, `called`, `slots`, `uploads`, `matching`; `keeping`, `watching` with `inotify`, and `changes` of what is shared |
//! | being found | `lan`, by `mdns`; `port_map`, by `router` and `igd` |
//! | settings | `settings`, `tuning`, `panel`, `remembered`, `set`, `limits` |
//! | what all stand on | `ground`, `throttle`, `clock`, `offload`, `reactors`, `background`, `descriptors`, `incidents` |
//!
//! What dials, listens and writes is handed in ([`network::Network`],
//! [`crate::store::Disk`]): the same driver runs on sockets and disks and, in tests, in
//! memory under a paused clock.

mod accept_rate;
mod admission;
mod background;
mod browsed;
mod browsing;
mod called;
mod calling;
mod changes;
mod clock;
mod collecting;
mod crawl;
mod descriptors;
mod dial;
mod download_error;
mod downloads;
mod driver;
mod eviction;
mod fetch;
mod file_links;
mod frames;
mod greeting;
mod ground;
mod handle;
mod hearing;
mod holder;
mod hosts;
mod igd;
mod incidents;
mod inotify;
mod inviting;
mod join;
mod keeping;
pub mod lan;
mod limits;
mod link;
mod listen;
mod matching;
mod mdns;
pub mod memory;
mod mesh;
mod moving;
pub mod network;
mod offload;
mod origin;
mod outbox;
mod panel;
mod pool;
pub mod port_map;
mod publishing;
mod reactors;
mod remembered;
pub mod report;
mod resuming;
mod router;
mod searching;
mod serve;
mod server;
mod set;
mod settings;
mod slots;
mod source;
mod start;
mod status;
mod stock;
mod swarms;
mod throttle;
mod traffic;
mod tuning;
mod turnstile;
mod unfinished;
mod uploads;
mod wanted;
mod watching;
mod whom;

pub use crate::identity::NetworkKey;
pub use crate::share::ignoring::{MAX_PATTERN, MAX_PATTERNS};
pub use browsing::BrowseError;
pub use crawl::Map;
pub use dial::DialError;
pub use download_error::DownloadError;
pub use file_links::LinkError;
pub use greeting::GreetingError;
pub use handle::Servent;
pub use inviting::invitation_line;
pub use join::JoinError;
pub use listen::DEFAULT_PORT;
pub use mesh::has_kept_key;
pub use moving::{MoveError, Moved};
pub use remembered::remembered;
pub use searching::SearchError;
pub use settings::{JoinTarget, NetworkSecret, Place, Settings};
pub use start::StartError;
pub use tuning::{Knob, MAX_NAME, MIN_RATE, Origin, Tuning, TuningError};
pub use wanted::WantedError;
pub use whom::WhomError;

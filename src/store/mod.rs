//! The disk: files that are shared, parts of files that are coming, and small state.
//!
//! Always true here: nothing that a stranger sent chooses a path; nothing that exists
//! is overwritten, but this servent's own state; what is reported as written to stay
//! has been flushed. All calls block: the driver runs them away from its loop.
//!
//! Everything goes through [`Disk`], so that the driver can also run on a
//! [`MemoryDisk`]. The trait's own page, [`disk`], and [`share_index`] are all that the
//! room `share` imports; `store` knows nothing of `share`. What a piece must hold is the business of
//! `transfer::verify`; when to write, resume or place is the driver's.

pub mod disk;
pub mod downloads_file;
pub mod error;
pub mod folder;
pub mod hosts_file;
pub mod layout;
pub mod leftover;
pub mod memory_disk;
pub mod name;
pub mod part;
pub mod part_place;
pub mod real_disk;
pub mod share_index;
mod share_rows;
pub mod sidecar;
pub mod state;

pub use disk::{Disk, Entry, FolderHandle, Kind, PARTS_FOLDER, PartHandle, ReadHandle, Stamp};
pub use downloads_file::{DownloadRecord, SourceRecord, load_downloads, save_downloads};
pub use error::StoreError;
pub use folder::StagedFolder;
pub use hosts_file::{CachedContact, LoadedHosts, load_hosts, save_hosts};
pub use layout::BadPath;
pub use memory_disk::MemoryDisk;
pub use name::safe_name;
pub use part::{InPlace, PartFile};
pub use part_place::PartPlace;
pub use real_disk::RealDisk;
pub use share_index::ShareIndex;
pub use state::{Loaded, StateDir};

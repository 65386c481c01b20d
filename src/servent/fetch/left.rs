//! What earlier runs left of a download.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::Tools;
use crate::store::{DownloadRecord, PartPlace, leftover};
use crate::transfer::PieceList;

/// What there is.
pub(super) enum Left {
    Nothing,
    /// Neither the part nor the folder that it should go to: a disk that is not mounted.
    NoFolder,
    /// A part and the list that proves its pieces.
    List(PieceList),
    /// The whole file, at its place: the run before ended just after placing it.
    Placed(PathBuf, PieceList),
}

/// Looks on the disk; nothing is believed without a proof.
pub(super) async fn look(
    tools: &Tools,
    record: DownloadRecord,
    place: &PartPlace,
    stop: &Arc<AtomicBool>,
) -> Left {
    let (disk, place, stop) = (Arc::clone(&tools.disk), place.clone(), Arc::clone(stop));
    let work = move || {
        let DownloadRecord { id, size, begun, name, folder, .. } = record;
        let missing = |path: &Path| {
            disk.kind(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        if begun && missing(&place.part(&*disk, id)) {
            if missing(&folder) {
                return Left::NoFolder;
            }
            let name = name.unwrap_or_else(|| id.to_string());
            let placed = leftover::placed_file(&*disk, &folder, &name, id, size, &stop);
            if let Some((path, list)) = placed {
                // What stood beside the part; its end is that of the part.
                let _ = leftover::remove_part(&*disk, &place, id);
                return Left::Placed(path, list);
            }
        }
        leftover::kept_list(&*disk, &place, id).map_or(Left::Nothing, Left::List)
    };
    tokio::task::spawn_blocking(work).await.unwrap_or(Left::Nothing)
}

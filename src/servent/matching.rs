//! Queries of others against our library, one after the other, away from the driver.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use super::ground::Ground;
use super::offload::offload;
use crate::base::{ContentId, FileName, Guid};
use crate::message::{Hit, HitBody};
use crate::overlay::{Answer, Input};
use crate::share::{Library, Query};
use crate::wire::{decode_query_body, encode_hit_body};

/// Queries that wait to be matched; what comes above is told to its asker as lost.
pub(super) const QUEUE: usize = 256;

/// Files among which a look never takes long, a quarter of a millisecond at worst: handing
/// the rest of a thread's tasks to another thread meanwhile would cost more than it gains.
const FEW: usize = 10_000;

/// A query to be matched.
pub(super) struct Job {
    pub(super) guid: Guid,
    pub(super) body: Bytes,
}

/// Answers one query after the other until the driver is gone.
pub(super) async fn run(
    ground: Arc<Ground>,
    library: Library,
    driver: mpsc::Sender<Input>,
    mut jobs: mpsc::Receiver<Job>,
) {
    while let Some(Job { guid, body }) = jobs.recv().await {
        let look = || answer(&ground, &library, &body);
        let answered = if library.totals().files <= FEW { look() } else { offload(look) };
        let input = match answered {
            Ok(found) => Input::Matched { guid, answers: found.into_iter().collect() },
            Err(CutShort) => Input::MatchRefused { guid },
        };
        if driver.send(input).await.is_err() {
            return;
        }
    }
}

/// Looking was ended by what it may cost before anything was found. Of that no hit can tell,
/// so the search counts one servent that did not answer.
struct CutShort;

/// The frame that answers a query, if anything matches. What we do not understand we do
/// not answer: a later version may have asked it. Nor do we name what we do not give.
fn answer(ground: &Ground, library: &Library, body: &[u8]) -> Result<Option<Answer>, CutShort> {
    let tuning = ground.panel.now();
    if !tuning.serve {
        return Ok(None);
    }
    let Ok(body) = decode_query_body(body) else { return Ok(None) };
    let Ok(query) = Query::parse(&body.text) else { return Ok(None) };
    let found = library.matches_for_stranger(&query);
    let running = query.content().filter(|_| tuning.share_downloads && found.files.is_empty());
    let running = running.and_then(|id| running_hit(ground, id, &query));
    let hits: Vec<Hit> = found
        .files
        .into_iter()
        .map(|found| Hit {
            id: found.file.id,
            size: found.file.size,
            name: found.file.name.as_str().to_owned(),
            ext: {
                let folder = found.folder.as_deref().unwrap_or_default();
                let mut ext =
                    Hit::described(folder, (found.modified > 0).then_some(found.modified));
                ext.extend(found.collection.map(|(files, bytes)| Hit::collected(files, bytes)));
                ext
            },
        })
        .chain(running)
        .collect();
    let Some(count) = u8::try_from(hits.len()).ok().filter(|&count| count > 0) else {
        return if found.cut { Err(CutShort) } else { Ok(None) };
    };
    let body = HitBody {
        addresses: ground.addresses(),
        name: tuning.name.clone(),
        unreachable: ground.is_undialable(),
        hits,
        more: found.more,
        ext: HitBody::extensions(found.cut),
    };
    Ok(encode_hit_body(&body).ok().map(|body| Answer { count, body }))
}

/// A file that is being downloaded here: who asks for its very content, and nothing else, can
/// have what is here of it.
fn running_hit(ground: &Ground, id: ContentId, query: &Query) -> Option<Hit> {
    let running = ground.swarms.running(id).filter(|_| query.is_content_alone())?;
    let name = FileName::new(running.name()).ok()?;
    let size = running.list().geometry().size();
    Some(Hit { id, size, name: name.as_str().to_owned(), ext: Vec::new() })
}

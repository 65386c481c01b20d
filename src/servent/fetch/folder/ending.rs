//! How a collection ends: in place, whole or with what is missing named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::giver::Wish;
use super::{Fetch, Folder};
use crate::base::escape::Escaped;
use crate::servent::offload::offload;
use crate::servent::report::{DownloadState, GatheredReport, News};
use crate::store::{InPlace, StoreError, leftover};
use crate::transfer::PieceList;
use crate::transfer::collection::Number;
use crate::transfer::event::phrase;

/// Files that are named each; of more, the number will do.
const MAX_NAMED: usize = 8;

impl Fetch {
    /// The run before has placed the folder and did not live to say so.
    pub(super) fn folder_placed(&mut self, path: &Path, files: Vec<(PathBuf, PieceList)>) {
        let gathered = GatheredReport {
            files: files.len(),
            here: files.len(),
            missing: 0,
            left_out: 0,
            notes: Vec::new(),
        };
        let end = DownloadState::Done { path: path.to_path_buf() };
        self.folder_over(path, files, gathered, end);
    }

    /// Shares what is in place, and forgets the download.
    fn folder_over(
        &mut self,
        path: &Path,
        files: Vec<(PathBuf, PieceList)>,
        gathered: GatheredReport,
        end: DownloadState,
    ) {
        let sizes = files.iter().map(|(_, list)| list.geometry().size());
        let bytes = sizes.fold(0, u64::saturating_add);
        offload(|| {
            let share = self.ground.panel.now().share_downloads;
            if share && let Err(error) = self.tools.library.add_verified_folder(path, files) {
                tracing::warn!(%error, "a finished download is not shared");
            }
            // A crash before the record is gone finds the folder in its place.
            let id = self.show.borrow().id;
            let removed = leftover::remove_part(&*self.tools.disk, &self.place, id);
            if let Err(error) = removed {
                tracing::warn!(%error, "what a download needed is left behind");
            }
            self.forget();
        });
        self.show.send_modify(|report| {
            (report.verified, report.size) = (bytes, bytes);
            report.gathered = Some(gathered);
            report.state = end;
        });
        self.over = true;
        self.thank();
        let report = self.report_now();
        self.ground.tell(match report.state {
            DownloadState::Done { .. } => News::DownloadDone { report },
            _ => News::DownloadFailed { report },
        });
    }
}

impl Folder<'_> {
    /// The files that are not created, with the reason.
    fn left_out(&self) -> Vec<(String, String)> {
        let left_out = self.files.left_out.iter();
        left_out.map(|(path, why)| (path.clone(), why.to_string())).collect()
    }

    /// Nothing more can come: puts what is here into its place; false while the disk has no
    /// room for that.
    pub(super) fn finish(&mut self) -> bool {
        if self.fetch.over {
            return true;
        }
        let (missing, left_out) = offload(|| (self.missing(), self.left_out()));
        let (here, _) = self.files.here();
        if here == 0 {
            let first = missing.first().or(left_out.first());
            let why = first.map(|(path, why)| format!(" (\"{}\": {why})", Escaped(path)));
            let why = why.unwrap_or_default();
            self.fetch.fail(format!("none of its {} files came{why}", self.files.files()));
            return true;
        }
        let (name, to) = (self.fetch.show.borrow().name.clone(), self.fetch.place.to.clone());
        let placed = offload(|| {
            // A crash from here on is told from its record, which must be up to date.
            self.fetch.remember();
            let (number, unfinished) = (self.fetch.number, &self.fetch.tools.unfinished);
            unfinished.change(number, |record| record.placing = true);
            unfinished.save()?;
            self.files.staged().place(&to, &name)
        });
        let path = match placed {
            Ok(InPlace { path, unflushed }) => {
                if let Some(error) = unflushed {
                    self.fetch.warn_unflushed(&error);
                }
                path
            }
            Err(error) if error.is_full() && !self.fetch.once => {
                self.on_disk_error(&error);
                return false;
            }
            Err(error) => {
                self.fetch.fail(unplaced(&error));
                return true;
            }
        };
        self.say_thanks();
        let mut notes = named("left out", &left_out);
        notes.extend(named("missing", &missing));
        let gathered = GatheredReport {
            files: self.files.files(),
            here,
            missing: missing.len(),
            left_out: left_out.len(),
            notes,
        };
        let end = match missing.len() {
            0 => DownloadState::Done { path: path.clone() },
            count => DownloadState::Failed {
                why: format!(
                    "{count} of its {} files are missing; the others are in {}",
                    self.files.files(),
                    Escaped(&path.to_string_lossy())
                ),
            },
        };
        self.fetch.folder_over(&path, self.files.lists(), gathered, end);
        true
    }

    /// Files that nobody gives, with the reason.
    fn missing(&self) -> Vec<(String, String)> {
        let mut whys: BTreeMap<Number, &str> =
            self.large.failed().iter().map(|(number, why)| (*number, &**why)).collect();
        let refused = self.batch.missing();
        whys.extend(refused.filter_map(|(number, why)| Some((number, phrase(why?)))));
        // What is not on the disk is missing, whatever was heard of it.
        let all = self.files.missing().into_iter().flat_map(|number| {
            let why = whys.get(&number).copied().unwrap_or("nobody has given it");
            self.files.paths(number).iter().map(move |path| (path.clone(), why.to_owned()))
        });
        let mut all: Vec<_> = all.collect();
        all.sort_unstable();
        all
    }

    /// Tells those who gave the list, and are connected, that it is in place; others are
    /// told by connections of their own.
    fn say_thanks(&mut self) {
        let id = self.fetch.show.borrow().id;
        for (source, open) in &self.open {
            if self.fetch.gave.contains(source) && open.wishes.try_send(Wish::Thanks(id)).is_ok() {
                self.fetch.gave.remove(source);
            }
        }
        self.open.clear();
    }
}

fn unplaced(error: &StoreError) -> String {
    format!("all of it is here, but {error}")
}

/// A sentence for each of the first `files`, and one for the rest.
fn named(what: &str, files: &[(String, String)]) -> Vec<String> {
    let first = files.iter().take(MAX_NAMED);
    let mut notes: Vec<_> =
        first.map(|(path, why)| format!("{what}: \"{}\": {why}", Escaped(path))).collect();
    let more = files.len().saturating_sub(MAX_NAMED);
    if more > 0 {
        notes.push(format!("{what}: {more} more"));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_very_many_the_first_are_named_and_the_rest_is_counted() {
        let file = |number: u32| (format!("{number}\x1b"), "file withdrawn".to_owned());
        let all: Vec<_> = (0..20).map(file).collect();
        let notes = named("missing", &all);
        assert_eq!(notes.len(), MAX_NAMED + 1);
        assert_eq!(notes[0], "missing: \"0\\u{1b}\": file withdrawn");
        assert_eq!(notes.last().map(String::as_str), Some("missing: 12 more"));
        assert_eq!(named("missing", &[]), Vec::<String>::new());
    }
}

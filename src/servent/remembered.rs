//! What was `set`, over a restart: the file `settings` of the state folder.
//!
//! One line a key, `KEY VALUE`. A line that this version does not understand is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::tuning::{Knob, Origin, Tuning};
use crate::store::{Loaded, RealDisk, StateDir, StoreError};

/// The file in the state folder.
const FILE: &str = "settings";

/// What a servent was started with, and what was `set` on top of it.
pub(super) struct Remembered {
    base: Tuning,
    kept: BTreeMap<Knob, String>,
    /// What was set in this run: it counts whatever the flags said.
    fresh: BTreeSet<Knob>,
}

impl Remembered {
    /// What was kept in `state`, and a sentence if it was damaged.
    pub(super) fn load(
        base: Tuning,
        state: Option<&StateDir>,
        now_unix: u64,
    ) -> Result<(Self, Option<String>), StoreError> {
        let loaded = state.map_or(Ok(Loaded::Nothing), |state| state.read(FILE, now_unix))?;
        let (kept, notice) = match loaded {
            Loaded::Nothing => (BTreeMap::new(), None),
            Loaded::Whole(body) => (read(&body), None),
            Loaded::Damaged { aside, previous } => {
                let then = match previous {
                    Some(_) => "those before them are used",
                    None => "'set' sets them again",
                };
                let notice = format!(
                    "the settings were damaged; they are kept as {}; {then}",
                    aside.display()
                );
                (previous.map(|body| read(&body)).unwrap_or_default(), Some(notice))
            }
        };
        Ok((Self { base, kept, fresh: BTreeSet::new() }, notice))
    }

    /// What counts.
    pub(super) fn tuning(&self) -> Tuning {
        let mut tuning = self.base.clone();
        for (&knob, text) in &self.kept {
            if self.fresh.contains(&knob) || self.base.origin(knob).yields_to_set() {
                // What was kept was checked; what an older version kept may not do.
                let _ = tuning.turn(knob, text, Origin::Set);
            }
        }
        tuning
    }

    /// Where the value comes from that counts at the next start with the same flags, if
    /// that is not what was set.
    pub(super) fn overruled_by(&self, knob: Knob) -> Option<Origin> {
        Some(self.base.origin(knob)).filter(|origin| !origin.yields_to_set())
    }

    /// Keeps a value, or forgets it.
    pub(super) fn keep(&mut self, knob: Knob, text: Option<String>) {
        match text {
            Some(text) => {
                self.kept.insert(knob, text);
                self.fresh.insert(knob);
            }
            None => {
                self.kept.remove(&knob);
                self.fresh.remove(&knob);
            }
        }
    }

    pub(super) fn save(&self, state: &StateDir) -> Result<(), StoreError> {
        let lines = self.kept.iter().map(|(knob, text)| format!("{} {text}\n", knob.key()));
        state.write(FILE, lines.collect::<String>().as_bytes())
    }
}

/// What a servent on the state folder `state` would make of `base`; reads, locks nothing.
#[must_use]
pub fn remembered(base: Tuning, state: &Path) -> Tuning {
    let kept = StateDir::peek(&RealDisk, state, FILE).map(|body| read(&body)).unwrap_or_default();
    Remembered { base, kept, fresh: BTreeSet::new() }.tuning()
}

fn read(body: &[u8]) -> BTreeMap<Knob, String> {
    let text = String::from_utf8_lossy(body);
    let line = |line: &str| {
        let (key, value) = line.split_once(' ')?;
        Some((Knob::of(key)?, value.to_owned()))
    };
    text.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::MemoryDisk;

    fn state(disk: &MemoryDisk) -> StateDir {
        StateDir::lock(Arc::new(disk.clone()), Path::new("/s"), 1).unwrap()
    }

    fn load(disk: &MemoryDisk, base: Tuning) -> (Remembered, Option<String>) {
        Remembered::load(base, Some(&state(disk)), 7).unwrap()
    }

    #[test]
    fn what_was_set_outlives_the_run_and_yields_to_flags() {
        let disk = MemoryDisk::new();
        let (mut remembered, notice) = load(&disk, Tuning::default());
        assert_eq!((remembered.tuning(), notice), (Tuning::default(), None));
        remembered.keep(Knob::Name, Some("two words".into()));
        remembered.keep(Knob::MaxUpload, Some("10MB".into()));
        remembered.keep(Knob::News, Some("on".into()));
        remembered.keep(Knob::News, None);
        remembered.save(&state(&disk)).unwrap();

        let mut base = Tuning::default();
        base.turn(Knob::Name, "filed", Origin::File { path: "/c".into(), line: 1 }).unwrap();
        base.turn(Knob::MaxUpload, "1MB", Origin::Flag("--max-upload".into())).unwrap();
        let (mut remembered, _) = load(&disk, base);
        let tuning = remembered.tuning();
        assert_eq!((tuning.name.as_str(), tuning.origin(Knob::Name)), ("two words", Origin::Set));
        assert_eq!(tuning.max_upload, Some(1_000_000), "a flag goes before it");
        assert_eq!(remembered.overruled_by(Knob::Name), None);
        assert!(remembered.overruled_by(Knob::MaxUpload).is_some());
        assert!(!tuning.news);
        // In this run it counts all the same.
        remembered.keep(Knob::MaxUpload, Some("2MB".into()));
        assert_eq!(remembered.tuning().max_upload, Some(2_000_000));
    }

    #[test]
    fn damaged_settings_are_kept_aside_and_told() {
        let disk = MemoryDisk::new();
        disk.put("/s/settings", b"name torn");
        let (remembered, notice) = load(&disk, Tuning::default());
        assert_eq!(remembered.tuning(), Tuning::default());
        assert!(notice.unwrap().contains("/s/settings.bad-7"));
        assert_eq!(disk.contents("/s/settings.bad-7").as_deref(), Some(&b"name torn"[..]));
    }

    #[test]
    fn lines_of_another_version_are_left_out() {
        let read = read(b"colour red\nname a b\nserve\nmax-upload nonsense\n");
        let remembered = Remembered { base: Tuning::default(), kept: read, fresh: BTreeSet::new() };
        let mut wanted = Tuning::default();
        wanted.turn(Knob::Name, "a b", Origin::Set).unwrap();
        assert_eq!(remembered.tuning(), wanted);
    }
}

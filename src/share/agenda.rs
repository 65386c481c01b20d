//! Which folders are to be looked at, and when.
//!
//! Always true: a folder in which something happened is looked at after a moment of quiet,
//! and after a longer one however much goes on; what is looked at together holds all that
//! was told by then, so that both ends of a move are in it; each published folder is
//! looked at whole from time to time, whatever is told; nothing grows without a limit.
//! A value with a clock that its caller brings.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::walk::Look;
use crate::base::Time;

/// How long nothing may have happened before what did is looked at.
pub const QUIET: Duration = Duration::from_millis(300);
/// How long something that happened waits at most, while more goes on.
pub const AT_MOST: Duration = Duration::from_millis(1_500);
/// How long after it was found a file that may still be written is looked at again: as
/// long as it takes its stamp to settle.
pub const AGAIN_AFTER: Duration = Duration::from_millis(2_050);
/// How often a published folder is looked at whole where changes are not told.
pub const RESCAN_UNTOLD: Duration = Duration::from_secs(300);
/// How often it is where they are: only a net for what the system fails to tell.
pub const RESCAN_TOLD: Duration = Duration::from_secs(3_600);
/// How often what is not there is looked for: a disk that is mounted tells nobody.
pub const AWAY_EVERY: Duration = Duration::from_secs(10);
/// Most folders that wait to be looked at; with more, all that is published is.
pub const MAX_FOLDERS: usize = 4_096;

/// The folders to be looked at.
#[derive(Debug, Default)]
pub struct Agenda {
    /// Where something happened, and whether all in it is to be looked at.
    dirty: BTreeMap<PathBuf, bool>,
    /// When the first and the last of that was told.
    span: Option<(Time, Time)>,
    /// What is to be looked at later, and when.
    later: BTreeMap<PathBuf, Time>,
    /// The published folders, and when each is looked at whole.
    roots: BTreeMap<PathBuf, Time>,
    /// When what is not there is looked for.
    away: Option<Time>,
}

impl Agenda {
    /// Something happened in `folder`, or to all in it when `deep`.
    pub fn note(&mut self, folder: &Path, deep: bool, now: Time) {
        if self.dirty.len() >= MAX_FOLDERS && !self.dirty.contains_key(folder) {
            return self.note_lost(now);
        }
        match self.dirty.get_mut(folder) {
            Some(all) => *all |= deep,
            None => drop(self.dirty.insert(folder.to_path_buf(), deep)),
        }
        let first = self.span.map_or(now, |(first, _)| first);
        self.span = Some((first, now));
    }

    /// Something happened, and nobody knows where.
    pub fn note_lost(&mut self, now: Time) {
        self.dirty = self.roots.keys().map(|root| (root.clone(), true)).collect();
        let first = self.span.map_or(now, |(first, _)| first);
        self.span = Some((first, now));
    }

    /// `folder` is to be looked at when a file in it has settled.
    pub fn note_again(&mut self, folder: &Path, now: Time) {
        if self.later.len() >= MAX_FOLDERS && !self.later.contains_key(folder) {
            return self.note_lost(now);
        }
        self.later.entry(folder.to_path_buf()).or_insert(now + AGAIN_AFTER);
    }

    /// Takes in which folders are published, and whether changes in each are told; those
    /// that are new are looked at at once.
    pub fn set_roots(&mut self, roots: &[(PathBuf, bool)], now: Time) {
        self.roots.retain(|known, _| roots.iter().any(|(root, _)| root == known));
        for (root, told) in roots {
            let next = now + rescan(*told);
            match self.roots.get_mut(root) {
                Some(at) => *at = next.min(*at),
                None => {
                    self.roots.insert(root.clone(), next);
                    self.note(root, true, now);
                }
            }
        }
    }

    /// Whether something is not there, and so to be looked for.
    pub fn set_away(&mut self, away: bool, now: Time) {
        match (away, self.away) {
            (false, _) => self.away = None,
            (true, None) => self.away = Some(now + AWAY_EVERY),
            (true, Some(_)) => {}
        }
    }

    /// When [`Agenda::take`] has something to give next.
    #[must_use]
    pub fn next_due(&self) -> Option<Time> {
        let dirty = self.span.map(|(first, last)| (last + QUIET).min(first + AT_MOST));
        let later = self.later.values().min().copied();
        let rescan = self.roots.values().min().copied();
        [dirty, later, rescan, self.away].into_iter().flatten().min()
    }

    /// What is to be looked at by now; `away` is what is not there.
    pub fn take(&mut self, now: Time, away: &[PathBuf]) -> Vec<Look> {
        let mut looks = BTreeMap::new();
        if self.span.is_some_and(|(first, last)| now >= (last + QUIET).min(first + AT_MOST)) {
            looks = std::mem::take(&mut self.dirty);
            self.span = None;
        }
        let due = |at: &Time| *at <= now;
        self.later.retain(|folder, at| {
            if due(at) {
                looks.entry(folder.clone()).or_insert(false);
            }
            !due(at)
        });
        for (root, at) in self.roots.iter_mut().filter(|(_, at)| due(at)) {
            looks.insert(root.clone(), true);
            *at = now + RESCAN_TOLD;
        }
        if self.away.is_some_and(|at| at <= now) {
            self.away = None;
            looks.extend(away.iter().map(|folder| (folder.clone(), true)));
        }
        looks.into_iter().map(|(folder, deep)| Look { folder, deep }).collect()
    }
}

fn rescan(told: bool) -> Duration {
    if told { RESCAN_TOLD } else { RESCAN_UNTOLD }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Time = Time::ZERO;

    fn folders(agenda: &mut Agenda, now: Time) -> Vec<(String, bool)> {
        let looks = agenda.take(now, &[]).into_iter();
        looks.map(|look| (look.folder.display().to_string(), look.deep)).collect()
    }

    fn ms(millis: u64) -> Time {
        START + Duration::from_millis(millis)
    }

    #[test]
    fn a_folder_is_looked_at_after_a_moment_of_quiet_and_once() {
        let mut agenda = Agenda::default();
        agenda.note(Path::new("/a"), false, ms(0));
        agenda.note(Path::new("/a"), true, ms(100));
        agenda.note(Path::new("/b"), false, ms(200));
        assert_eq!(agenda.next_due(), Some(ms(500)));
        assert_eq!(folders(&mut agenda, ms(499)), []);
        let both = [("/a".to_owned(), true), ("/b".to_owned(), false)];
        assert_eq!(folders(&mut agenda, ms(500)), both);
        assert_eq!((folders(&mut agenda, ms(900)), agenda.next_due()), (Vec::new(), None));
    }

    #[test]
    fn a_storm_without_an_end_holds_nothing_up_for_long() {
        let mut agenda = Agenda::default();
        let mut looked = Vec::new();
        for at in 0..1_000 {
            agenda.note(Path::new("/a"), false, ms(at * 10));
            if !agenda.take(ms(at * 10), &[]).is_empty() {
                looked.push(at * 10);
            }
        }
        assert_eq!(looked.first(), Some(&1_500));
        assert!(looked.len() == 6, "{looked:?}");
    }

    #[test]
    fn what_was_told_and_lost_means_all_that_is_published() {
        let mut agenda = Agenda::default();
        let roots = [("/a".into(), true), ("/b".into(), false)];
        agenda.set_roots(&roots, ms(0));
        let both = [("/a".to_owned(), true), ("/b".to_owned(), true)];
        assert_eq!(folders(&mut agenda, ms(300)), both, "they are new");
        agenda.note(Path::new("/a/in"), false, ms(400));
        agenda.note_lost(ms(500));
        assert_eq!(folders(&mut agenda, ms(800)), both);
        for number in 0..=MAX_FOLDERS {
            agenda.note(Path::new(&format!("/a/{number}")), false, ms(900));
        }
        assert_eq!(folders(&mut agenda, ms(1_200)), both, "too many to name");
    }

    #[test]
    fn each_folder_is_looked_at_whole_now_and_then_and_more_often_where_nothing_is_told() {
        let mut agenda = Agenda::default();
        agenda.set_roots(&[("/told".into(), true), ("/untold".into(), false)], START);
        folders(&mut agenda, START + QUIET);
        assert_eq!(agenda.next_due(), Some(START + RESCAN_UNTOLD));
        let untold = START + RESCAN_UNTOLD;
        assert_eq!(folders(&mut agenda, untold), [("/untold".to_owned(), true)]);
        agenda.set_roots(&[("/told".into(), true), ("/untold".into(), false)], untold);
        assert_eq!(agenda.next_due(), Some(untold + RESCAN_UNTOLD));
        agenda.set_roots(&[("/told".into(), true)], untold);
        assert_eq!(agenda.next_due(), Some(START + RESCAN_TOLD));
        assert_eq!(folders(&mut agenda, START + RESCAN_TOLD), [("/told".to_owned(), true)]);
        agenda.set_roots(&[], START + RESCAN_TOLD);
        assert_eq!(agenda.next_due(), None);
    }

    #[test]
    fn what_may_still_be_written_is_looked_at_when_it_has_settled() {
        let mut agenda = Agenda::default();
        agenda.note_again(Path::new("/a"), ms(0));
        agenda.note_again(Path::new("/a"), ms(1_000));
        assert_eq!(agenda.next_due(), Some(START + AGAIN_AFTER));
        assert_eq!(folders(&mut agenda, START + AGAIN_AFTER), [("/a".to_owned(), false)]);
        assert_eq!(agenda.next_due(), None);
    }

    #[test]
    fn what_is_away_is_looked_for_as_long_as_it_is() {
        let mut agenda = Agenda::default();
        agenda.set_away(true, START);
        agenda.set_away(true, ms(9_000));
        assert_eq!(agenda.next_due(), Some(START + AWAY_EVERY));
        let looks = agenda.take(START + AWAY_EVERY, &["/disk".into()]);
        assert_eq!(looks, [Look { folder: "/disk".into(), deep: true }]);
        agenda.set_away(true, START + AWAY_EVERY);
        agenda.set_away(false, START + AWAY_EVERY);
        assert_eq!(agenda.next_due(), None);
    }
}

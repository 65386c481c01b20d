//! From what a crowd did to figures.

use super::member::{Member, Role};
use super::report::{
    CopiesReport, CrowdPlanReport, CrowdReport, FairnessReport, GiverReport, GiverRole,
    MovedReport, ProgressReport, ToldReport, VERSION,
};
use super::{BEGAN, Crowd};
use crate::base::Time;
use crate::sim::measure::{millis, spread};
use crate::sim::report::rounded;

/// Looks at a crowd in the time that it takes at least.
pub(super) const LOOKS: u32 = 50;

/// What receivers had at one moment, as shares of the file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    at: Time,
    least: f64,
    median: f64,
    most: f64,
}

impl Crowd<'_, '_> {
    /// Notes how much receivers have.
    pub(super) fn look(&mut self) {
        let staying = self.receivers().filter(|member| !member.gone);
        let shares = staying.map(|member| share(member.held.held().into(), member.held.len()));
        if let Some(spread) = spread(shares) {
            let (least, median, most) = (spread.min, spread.median, spread.max);
            self.samples.push(Sample { at: self.now, least, median, most });
        }
    }

    fn receivers(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(|member| member.role == Role::Receiver)
    }

    /// What came of it.
    pub(super) fn report(&self) -> CrowdReport {
        let bound = self.plan.bound();
        let times: Vec<f64> = self.receivers().filter_map(finished).collect();
        let finished_ms = spread(times.iter().copied());
        let last_over_bound =
            finished_ms.map(|spread| rounded(spread.max / millis(bound).max(f64::MIN_POSITIVE)));
        let given: Vec<f64> = self.receivers().map(|member| member.tally.given as f64).collect();
        CrowdReport {
            v: VERSION,
            plan: CrowdPlanReport::new(self.plan, self.list.geometry().count()),
            bound_ms: rounded(millis(bound)),
            finished: times.len(),
            unfinished: self.receivers().filter(|member| member.is_waited_for()).count(),
            left_for_good: self.receivers().filter(|member| member.gone).count(),
            left_for_a_while: self.events.left,
            left_without_a_word: self.events.died,
            finished_ms,
            last_over_bound,
            moved: self.moved(),
            source_copies: self.source_copies(),
            fairness: FairnessReport { times: evenness(&times), given: evenness(&given) },
            told: ToldReport {
                liars_found: self.events.lies,
                blamed_unjustly: self.events.blamed,
                too_slow: self.events.slow,
                refused: self.events.refused,
            },
            givers: self.members.iter().map(giver).collect(),
            progress: self.samples.iter().map(ProgressReport::from).collect(),
        }
    }

    fn moved(&self) -> MovedReport {
        let geometry = self.list.geometry();
        let sum = |of: &dyn Fn(&Member) -> u64| self.members.iter().map(of).sum::<u64>();
        let sent = sum(&|member| member.tally.given);
        let written = self.receivers().map(|member| {
            let pieces = geometry.pieces().filter(|&piece| member.held.contains(piece));
            pieces.map(|piece| geometry.len(piece)).sum::<u64>()
        });
        let written = written.sum();
        let from_sources = sum(&|member| member.tally.from_sources);
        MovedReport {
            sent,
            written,
            from_sources: rounded(from_sources as f64 / (written as f64).max(1.0)),
            wasted: sent.saturating_sub(written),
            lies: sum(&|member| member.tally.lies),
            twice: sum(&|member| member.tally.twice),
        }
    }

    fn source_copies(&self) -> CopiesReport {
        let honest = |member: &&Member| matches!(member.role, Role::Source | Role::Slow);
        let mut copies = vec![0u64; self.list.geometry().count() as usize];
        for source in self.members.iter().filter(honest) {
            for (all, own) in copies.iter_mut().zip(&source.tally.copies) {
                *all += u64::from(*own);
            }
        }
        CopiesReport {
            min: copies.iter().copied().min().unwrap_or_default(),
            mean: rounded(share(copies.iter().sum(), self.list.geometry().count())),
            max: copies.iter().copied().max().unwrap_or_default(),
        }
    }
}

impl From<&Sample> for ProgressReport {
    fn from(sample: &Sample) -> Self {
        let &Sample { at, least, median, most } = sample;
        Self { ms: rounded(millis(at.since(BEGAN))), least, median, most }
    }
}

fn finished(member: &Member) -> Option<f64> {
    member.done.map(|at| rounded(millis(at.since(BEGAN))))
}

fn giver(member: &Member) -> GiverReport {
    let role = match member.role {
        Role::Source => GiverRole::Source,
        Role::Slow => GiverRole::Slow,
        Role::Liar => GiverRole::Liar,
        Role::Staller => GiverRole::Staller,
        Role::Receiver => GiverRole::Receiver,
    };
    GiverReport { role, given: member.tally.given, finished_ms: finished(member) }
}

fn share(part: u64, whole: u32) -> f64 {
    part as f64 / f64::from(whole.max(1))
}

/// Jain's index; of nothing, or of nothing but zeros, 1.
fn evenness(values: &[f64]) -> f64 {
    let (sum, squares) =
        values.iter().fold((0.0, 0.0), |(sum, squares), v| (sum + v, squares + v * v));
    if squares > 0.0 { rounded(sum * sum / (values.len() as f64 * squares)) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evenness_is_one_for_equals_and_a_share_where_one_has_all() {
        assert_eq!([evenness(&[]), evenness(&[0.0, 0.0]), evenness(&[7.0, 7.0])], [1.0; 3]);
        assert_eq!(evenness(&[9.0, 0.0, 0.0, 0.0]), 0.25);
    }
}

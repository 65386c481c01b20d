//! From what happened to figures.

use std::collections::BTreeSet;
use std::time::Duration;

use super::network::Network;
use super::report::{
    BusiestReport, DegreeCount, DegreesReport, MeshReport, SearchesReport, SpreadReport, rounded,
};
use super::searching::SearchReport;
use super::servent::Load;
use super::topology::{self, Links};

/// Who lives, and how they are linked, at one moment.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) alive: Vec<usize>,
    pub(super) links: Links,
    /// For each servent that there ever was, its neighbours.
    beside: Vec<Vec<u32>>,
}

impl Snapshot {
    pub(super) fn of(net: &Network) -> Self {
        let alive: Vec<usize> = net.alive().collect();
        let mut links = net.links();
        let lives: BTreeSet<usize> = alive.iter().copied().collect();
        if lives.len() < net.count() {
            links.retain(|(a, b)| lives.contains(a) && lives.contains(b));
        }
        let beside = topology::neighbours(net.count(), &links);
        Self { alive, links, beside }
    }

    /// Everybody within `radius` links of `from`, but itself, and how many links away.
    pub(super) fn horizon(&self, from: usize, radius: u8) -> Vec<(usize, usize)> {
        let mut near = topology::within(&self.beside, from, usize::from(radius));
        near.retain(|&(servent, _)| servent != from);
        near
    }

    pub(super) fn report(&self) -> MeshReport {
        let mut seen = vec![false; self.beside.len()];
        let (mut components, mut largest) = (0, 0);
        for &servent in &self.alive {
            if seen.get(servent).is_some_and(|seen| !seen) {
                let part = topology::within(&self.beside, servent, usize::MAX);
                components += 1;
                largest = largest.max(part.len());
                for (member, _) in part {
                    if let Some(seen) = seen.get_mut(member) {
                        *seen = true;
                    }
                }
            }
        }
        MeshReport {
            servents: self.alive.len(),
            links: self.links.len(),
            components,
            largest,
            degrees: self.degrees(),
        }
    }

    pub(super) fn degree(&self, servent: usize) -> usize {
        self.beside.get(servent).map(Vec::len).unwrap_or_default()
    }

    fn degrees(&self) -> DegreesReport {
        let mut degrees: Vec<usize> = self.alive.iter().map(|&s| self.degree(s)).collect();
        degrees.sort_unstable();
        let mut histogram: Vec<DegreeCount> = Vec::new();
        for &degree in &degrees {
            match histogram.last_mut() {
                Some(bar) if bar.degree == degree => bar.servents += 1,
                _ => histogram.push(DegreeCount { degree, servents: 1 }),
            }
        }
        let mean = degrees.iter().sum::<usize>() as f64 / degrees.len().max(1) as f64;
        DegreesReport {
            min: degrees.first().copied().unwrap_or_default(),
            median: middle(&degrees).unwrap_or_default(),
            max: degrees.last().copied().unwrap_or_default(),
            mean: rounded(mean),
            histogram,
        }
    }
}

/// The middle one of some that are sorted, the lower of two.
fn middle<T: Copy>(sorted: &[T]) -> Option<T> {
    sorted.get(sorted.len().saturating_sub(1) / 2).copied()
}

/// One search, and what it could have reached.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) report: SearchReport,
    /// Who was within the radius that it asked in the end, when it began.
    pub(super) horizon: Vec<usize>,
    /// How many others there were.
    pub(super) others: usize,
    /// Who else had the file.
    pub(super) holders: Vec<usize>,
}

/// Searches, and what went through each servent before them.
pub(super) fn searches(
    net: &Network,
    outcomes: &[Outcome],
    before: &[Load],
    sent: Load,
) -> SearchesReport {
    let mean = |of: &dyn Fn(&Outcome) -> f64| average(outcomes.iter().map(of));
    let spread = |of: &dyn Fn(&Outcome) -> Option<f64>| spread(outcomes.iter().filter_map(of));
    let ends = outcomes.iter().filter_map(|outcome| outcome.report.end());
    let asked = mean(&|o| o.report.asked.len() as f64);
    let copies = mean(&|o| o.report.copies as f64);
    let dones = mean(&|o| o.report.dones as f64);
    let each = |sum: f64| if asked > 0.0 { sum / asked } else { 0.0 };
    let recall = |o: &Outcome| {
        let asked: BTreeSet<usize> = o.report.asked.iter().copied().collect();
        share(o.horizon.iter().filter(|servent| asked.contains(servent)).count(), o.horizon.len())
    };
    let recalls: Vec<f64> = outcomes.iter().map(recall).collect();
    let answered = |o: &Outcome| {
        let hits: BTreeSet<usize> = o.report.hits.iter().copied().collect();
        share(o.holders.iter().filter(|holder| hits.contains(holder)).count(), o.holders.len())
    };
    let crossed = |arrival: Option<&(u8, _)>| arrival.map(|(hops, _)| f64::from(*hops));
    let first = |o: &Outcome| o.report.arrivals.first().map(|(_, at)| at.since(o.report.began));
    let last = |o: &Outcome| o.report.arrivals.last().map(|(_, at)| at.since(o.report.began));
    let none = SpreadReport { min: 0.0, median: 0.0, max: 0.0 };
    SearchesReport {
        queries: outcomes.len(),
        found: outcomes.iter().filter(|o| !o.report.hits.is_empty()).count(),
        asked: rounded(asked),
        horizon: rounded(mean(&|o| o.horizon.len() as f64)),
        recall_of_horizon: rounded(average(recalls.iter().copied())),
        recall_of_horizon_min: rounded(recalls.iter().copied().fold(1.0, f64::min)),
        recall_of_mesh: rounded(mean(&|o| share(o.report.asked.len(), o.others))),
        recall_of_holders: rounded(mean(&answered)),
        copies: rounded(copies),
        copies_per_asked: rounded(each(copies)),
        duplicates: rounded(copies - asked),
        dones: rounded(dones),
        dones_per_asked: rounded(each(dones)),
        bytes: rounded(sent.bytes as f64 / outcomes.len().max(1) as f64),
        hits: rounded(mean(&|o| o.report.hits.len() as f64)),
        first_hit_hops: spread(&|o| crossed(o.report.arrivals.first())),
        last_hit_hops: spread(&|o| crossed(o.report.arrivals.last())),
        first_hit_ms: spread(&|o| first(o).map(millis)),
        last_hit_ms: spread(&|o| last(o).map(millis)),
        end_ms: spread(&|o| Some(millis(o.report.ended.since(o.report.began)))).unwrap_or(none),
        ended_by_timer: ends.clone().filter(|end| end.by_timer).count(),
        lost: ends.map(|end| end.lost).sum(),
        busiest: busiest(net, before),
    }
}

fn busiest(net: &Network, before: &[Load]) -> BusiestReport {
    let then = |servent: usize| before.get(servent).copied().unwrap_or_default();
    let since = (0..net.count()).map(|s| (net.load(s).since(then(s)), s));
    let (mut most, mut sum) = (None, 0);
    for (load, servent) in since {
        sum += load.messages;
        if most.is_none_or(|(other, _): (Load, usize)| load.messages > other.messages) {
            most = Some((load, servent));
        }
    }
    let Some((load, servent)) = most else { return BusiestReport::default() };
    BusiestReport {
        degree: net.overlay(servent).map(|o| o.neighbours().len()).unwrap_or_default(),
        messages: load.messages,
        bytes: load.bytes,
        mean_messages: rounded(sum as f64 / net.alive().count().max(1) as f64),
    }
}

/// The part of a whole; of nothing, everything.
fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

fn average(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let many = values.len().max(1) as f64;
    values.sum::<f64>() / many
}

pub(super) fn spread(values: impl Iterator<Item = f64>) -> Option<SpreadReport> {
    let mut sorted: Vec<f64> = values.map(rounded).collect();
    sorted.sort_by(f64::total_cmp);
    Some(SpreadReport { min: *sorted.first()?, median: middle(&sorted)?, max: *sorted.last()? })
}

pub(super) fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

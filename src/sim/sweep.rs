//! More simulations around the planned one, for the curves of a picture.

use rand::SeedableRng;
use rand::rngs::ChaCha12Rng;

use super::experiment::{Experiment, Progress, Stage, Watch};
use super::measure::Snapshot;
use super::plan::Plan;
use super::report::SearchesReport;
use crate::base::MAX_TTL;

/// Searches behind each point of a curve.
const SAMPLES: usize = 5;
/// Meshes of different sizes: each half as large as the next.
const SIZES: usize = 6;
/// Servents of the smallest.
const SMALLEST: usize = 16;

/// What a picture shows beside the report.
#[derive(Clone, PartialEq, Debug)]
pub struct Curves {
    /// By TTL, 1 to the largest: what searches of that radius reached.
    pub by_ttl: Vec<(u8, SearchesReport)>,
    /// By the number of servents, up to the planned one: what searches cost there.
    pub by_size: Vec<(usize, SearchesReport)>,
}

/// Simulates what is between the planned mesh and smaller ones, and between the nearest
/// neighbours and the farthest.
#[must_use]
pub fn curves(plan: &Plan, watch: Watch<'_>) -> Curves {
    let quiet = Plan { queries: SAMPLES, churn: 0.0, kill_fraction: 0.0, ..plan.clone() };
    let least = SMALLEST.max(2 * plan.degree + 2).min(plan.nodes);
    let halved = (0..SIZES).rev().map(|times| plan.nodes >> times);
    let sizes: Vec<usize> = halved.filter(|&nodes| nodes >= least).collect();
    let of = u64::from(MAX_TTL) + sizes.len() as u64;
    let mut done = 0;
    let mut tell = |done| watch(Progress { stage: Stage::Comparing, done, of });
    tell(done);
    let mut curves = Curves { by_ttl: Vec::new(), by_size: Vec::new() };
    for nodes in sizes {
        let replication = plan.replication.min(nodes);
        let smaller = Plan { nodes, replication, ..quiet.clone() };
        curves.by_size.push((nodes, sample(&smaller)));
        done += 1;
        tell(done);
    }
    let mut nothing = |_: Progress| {};
    let mut experiment = Experiment::build(&quiet, &mut nothing);
    for ttl in 1..=MAX_TTL {
        curves.by_ttl.push((ttl, experiment.sample(vec![ttl])));
        done += 1;
        tell(done);
    }
    curves
}

fn sample(plan: &Plan) -> SearchesReport {
    let mut nothing = |_: Progress| {};
    Experiment::build(plan, &mut nothing).sample(plan.rings.clone())
}

impl Experiment<'_, '_> {
    /// The planned searches, within other radii: always the same searchers and files, so
    /// that nothing but the radius makes a difference.
    fn sample(&mut self, rings: Vec<u8>) -> SearchesReport {
        self.set_rings(rings);
        let snapshot = Snapshot::of(&self.net);
        self.rng = ChaCha12Rng::seed_from_u64(self.plan.seed);
        self.searches(Stage::Comparing, snapshot)
    }
}

//! What a simulation found, as data: what `part2part sim --json` prints.
//!
//! Names stay: within a version fields are added, never renamed, taken away or given
//! another meaning. Fractions go from 0 to 1; times are virtual and in milliseconds.

use schemars::JsonSchema;
use serde::Serialize;

use super::plan::Plan;
use super::servent::Load;

/// The version of the description.
pub const VERSION: u32 = 1;

/// What a simulation found.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct Report {
    /// The version of this description.
    pub v: u32,
    /// What was simulated.
    pub plan: PlanReport,
    /// The mesh once it stood, before anything befell it.
    pub mesh: MeshReport,
    /// What it took to build it, joins and keep-alives included.
    pub building: TrafficReport,
    /// The searches in it, while servents came and went if any did.
    pub searches: SearchesReport,
    /// Who came and went meanwhile; none without `--churn`.
    pub churn: Option<ChurnReport>,
    /// What the death of many at once did; none without `--kill-fraction`.
    pub failure: Option<FailureReport>,
    /// All that was sent from beginning to end.
    pub traffic: TrafficReport,
}

/// What was simulated: the values of the flags.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct PlanReport {
    /// Servents.
    pub nodes: usize,
    /// Neighbours that each looks for, or has on average; none where the shape decides.
    pub degree: Option<usize>,
    /// How they are linked: grown, random, ring, line, star or cliques.
    pub topology: String,
    /// How delays differ: unit, uniform, exponential, spread or adversarial.
    pub latency: String,
    /// The mean delay of a message over one link.
    pub latency_ms: f64,
    /// The chance of a message to be lost and sent again.
    pub loss: f64,
    /// Joins and leaves a minute.
    pub churn: f64,
    /// The share of servents that died at once.
    pub kill_fraction: f64,
    /// Different files.
    pub files: usize,
    /// Servents that had each of them.
    pub replication: usize,
    /// Searches.
    pub queries: usize,
    /// The radii that a search asked one after the other.
    pub rings: Vec<u8>,
    /// Where all chance came from.
    pub seed: u64,
}

/// A mesh at one moment.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct MeshReport {
    /// Servents that were alive.
    pub servents: usize,
    /// Links between them.
    pub links: usize,
    /// Parts without a link between them: 1 is one connected mesh.
    pub components: usize,
    /// Servents in the largest part.
    pub largest: usize,
    /// Neighbours of each.
    pub degrees: DegreesReport,
}

/// How many neighbours servents have.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct DegreesReport {
    /// The fewest.
    pub min: usize,
    /// Half of them have no more.
    pub median: usize,
    /// The most.
    pub max: usize,
    /// On average.
    pub mean: f64,
    /// How many servents have so many neighbours, from the fewest to the most.
    pub histogram: Vec<DegreeCount>,
}

/// One bar of the histogram.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct DegreeCount {
    /// So many neighbours
    pub degree: usize,
    /// have so many servents.
    pub servents: usize,
}

/// Some searches, on average unless it says otherwise.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct SearchesReport {
    /// How many.
    pub queries: usize,
    /// Of those, how many found something.
    pub found: usize,
    /// Servents asked.
    pub asked: f64,
    /// Servents within the radius of the searcher.
    pub horizon: f64,
    /// The share of the horizon that was asked; 1 is all of it, in every search.
    pub recall_of_horizon: f64,
    /// The smallest such share of any one search.
    pub recall_of_horizon_min: f64,
    /// The share of all other servents that was asked.
    pub recall_of_mesh: f64,
    /// The share of those who had the file whose hits arrived.
    pub recall_of_holders: f64,
    /// Copies of the query that were sent.
    pub copies: f64,
    /// Copies for each servent asked.
    pub copies_per_asked: f64,
    /// Copies that came to somebody who had been asked already.
    pub duplicates: f64,
    /// Dones that were sent: the answers by which the end is known.
    pub dones: f64,
    /// Dones for each servent asked.
    pub dones_per_asked: f64,
    /// Bytes sent, everything else that went on meanwhile included.
    pub bytes: f64,
    /// Hits that arrived.
    pub hits: f64,
    /// Links that the first hit had crossed; none when no search found anything.
    pub first_hit_hops: Option<SpreadReport>,
    /// Links that the last hit had crossed.
    pub last_hit_hops: Option<SpreadReport>,
    /// Time to the first hit.
    pub first_hit_ms: Option<SpreadReport>,
    /// Time to the last hit.
    pub last_hit_ms: Option<SpreadReport>,
    /// Time to the certain end.
    pub end_ms: SpreadReport,
    /// Searches that the clock ended, and not the answers.
    pub ended_by_timer: usize,
    /// Copies and answers that came to nothing, of all searches together.
    pub lost: u64,
    /// What went through the busiest servent, of all these searches together.
    pub busiest: BusiestReport,
}

/// How something differs from search to search.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, JsonSchema)]
pub struct SpreadReport {
    /// The least.
    pub min: f64,
    /// Half of them have no more.
    pub median: f64,
    /// The most.
    pub max: f64,
}

/// The servent through which most messages went, out and in.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, JsonSchema)]
pub struct BusiestReport {
    /// How many neighbours it has now.
    pub degree: usize,
    /// Messages.
    pub messages: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Messages for each servent on average, to compare.
    pub mean_messages: f64,
}

/// What was sent: messages on links and greetings, in bytes of their frames (what TLS and
/// TCP add is not counted), and in how much virtual time.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, JsonSchema)]
pub struct TrafficReport {
    /// Messages.
    pub messages: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// In this time.
    pub ms: f64,
}

/// Who came and went during the searches.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, JsonSchema)]
pub struct ChurnReport {
    /// Servents that joined.
    pub joined: usize,
    /// Servents that left with a goodbye.
    pub left: usize,
    /// Servents that vanished without one.
    pub vanished: usize,
}

/// What the death of many at once did.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct FailureReport {
    /// How many died.
    pub killed: usize,
    /// What was left at that moment.
    pub mesh_before_repair: MeshReport,
    /// Searches begun at that moment; the horizon is that of the links that lived.
    pub searches_before_repair: SearchesReport,
    /// Whole seconds until those left were one mesh; none when they were not in time, or
    /// when the shape is not one that repairs itself.
    pub one_mesh_after_secs: Option<u64>,
    /// The mesh a minute after the deaths; none when the shape does not repair itself.
    pub mesh_after_repair: Option<MeshReport>,
    /// Searches in it.
    pub searches_after_repair: Option<SearchesReport>,
}

impl Report {
    /// The report as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Plain data: there is nothing that could not be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The JSON Schema (draft 2020-12) of the report, as `part2part schema sim` prints it.
#[must_use]
pub fn schema() -> String {
    format!("{:#}\n", schemars::schema_for!(Report).as_value())
}

impl From<&Plan> for PlanReport {
    fn from(plan: &Plan) -> Self {
        Self {
            nodes: plan.nodes,
            degree: plan.topology.has_degree().then_some(plan.degree),
            topology: plan.topology.name().to_owned(),
            latency: plan.latency.model.name().to_owned(),
            latency_ms: rounded(plan.latency.mean.as_secs_f64() * 1e3),
            loss: plan.loss,
            churn: plan.churn,
            kill_fraction: plan.kill_fraction,
            files: plan.files,
            replication: plan.replication,
            queries: plan.queries,
            rings: plan.rings.clone(),
            seed: plan.seed,
        }
    }
}

impl TrafficReport {
    pub(super) fn new(load: Load, ms: f64) -> Self {
        Self { messages: load.messages, bytes: load.bytes, ms: rounded(ms) }
    }
}

/// Six digits behind the point: more would promise more than a simulation knows.
pub(super) fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

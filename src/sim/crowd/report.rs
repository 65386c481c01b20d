//! What a simulated crowd did, as data: what `part2part sim --crowd N --json` prints.
//!
//! Names stay: within a version fields are added, never renamed, taken away or given
//! another meaning. Fractions go from 0 to 1; times are virtual and in milliseconds.

use schemars::JsonSchema;
use serde::Serialize;

use super::plan::CrowdPlan;
use crate::sim::report::{SpreadReport, rounded};

/// The version of the description.
pub const VERSION: u32 = 1;

/// What a simulated crowd did.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct CrowdReport {
    /// The version of this description.
    pub v: u32,
    /// What was simulated.
    pub plan: CrowdPlanReport,
    /// What no crowd could be faster than: the most of the time that the honest sources
    /// need to send the file once, that a receiver needs to take it, and that all together
    /// need to send as much as all take.
    pub bound_ms: f64,
    /// Receivers that got the file.
    pub finished: usize,
    /// Receivers that did not, though they were waited for; 0 unless the simulation was
    /// given up.
    pub unfinished: usize,
    /// Receivers that left for good.
    pub left_for_good: usize,
    /// Leaves of receivers that came back.
    pub left_for_a_while: u64,
    /// Of both, every second one: its machine had lost power, and nothing told the others.
    pub left_without_a_word: u64,
    /// When receivers had the file, from the moment at which the first came; none when
    /// nobody got it. The most is that of the last receiver.
    pub finished_ms: Option<SpreadReport>,
    /// The time of the last receiver over the bound; none when nobody got it.
    pub last_over_bound: Option<f64>,
    /// What was moved.
    pub moved: MovedReport,
    /// How often honest sources sent each piece, all of them together; the mean is that of
    /// all pieces.
    pub source_copies: CopiesReport,
    /// How even it was.
    pub fairness: FairnessReport,
    /// What the plans told their users.
    pub told: ToldReport,
    /// What each servent gave: sources first, receivers last.
    pub givers: Vec<GiverReport>,
    /// How much of the file receivers had, over time.
    pub progress: Vec<ProgressReport>,
}

/// What was simulated: the values of the flags.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub struct CrowdPlanReport {
    /// Servents that wanted the file.
    pub crowd: usize,
    /// Its size in bytes.
    pub file_size: u64,
    /// Its pieces.
    pub pieces: u32,
    /// Honest servents that had it.
    pub sources: usize,
    /// Bytes a second that each of them could send.
    pub source_rate: u64,
    /// Bytes a second that a receiver could send.
    pub peer_rate: u64,
    /// Bytes a second that it could take.
    pub peer_down: u64,
    /// How delays of pairs differ: unit, uniform, exponential, spread or adversarial.
    pub latency: String,
    /// The mean delay of a message, one way.
    pub latency_ms: f64,
    /// Servents that sent what was not of the file.
    pub liars: usize,
    /// Servents that took requests and sent nothing.
    pub stallers: usize,
    /// Sources on lines a hundred times slower.
    pub slow: usize,
    /// Receivers that were to leave for good with half of the file.
    pub leavers: usize,
    /// Leaves and returns a minute.
    pub churn: f64,
    /// Where all chance came from.
    pub seed: u64,
}

/// What was moved, in bytes of pieces.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, JsonSchema)]
pub struct MovedReport {
    /// Sent, by anybody.
    pub sent: u64,
    /// Verified and written.
    pub written: u64,
    /// The share of what was written that came from those who had the file from the
    /// beginning.
    pub from_sources: f64,
    /// Sent and not written, for whatever reason: lies, what came twice, and pieces of
    /// which only a part came or that were on their way at the end.
    pub wasted: u64,
    /// Of that, pieces that were not of the file.
    pub lies: u64,
    /// Of that, pieces that came whole and were not wanted any more.
    pub twice: u64,
}

/// How often honest sources sent each piece.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, JsonSchema)]
pub struct CopiesReport {
    /// The piece that was sent least often.
    pub min: u64,
    /// On average.
    pub mean: f64,
    /// The piece that was sent most often.
    pub max: u64,
}

/// How even it was: Jain's index, 1 when all have the same, 1/n when one has all.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, JsonSchema)]
pub struct FairnessReport {
    /// Of the times that receivers took.
    pub times: f64,
    /// Of the bytes that receivers gave.
    pub given: f64,
}

/// What the plans told their users, all together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
pub struct ToldReport {
    /// Liars found out, by one receiver each time.
    pub liars_found: u64,
    /// Honest servents taken for liars: 0, or there is a mistake in the plans.
    pub blamed_unjustly: u64,
    /// Sources found too slow.
    pub too_slow: u64,
    /// Refusals.
    pub refused: u64,
}

/// What a servent was there for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum GiverRole {
    /// It had the file.
    Source,
    /// It had it, on a slow line.
    Slow,
    /// It sent what was not of the file.
    Liar,
    /// It sent nothing.
    Staller,
    /// It wanted the file.
    Receiver,
}

/// What one servent gave.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, JsonSchema)]
pub struct GiverReport {
    /// What it was there for.
    pub role: GiverRole,
    /// Bytes that it sent.
    pub given: u64,
    /// When it had the file; none when it had it from the beginning, or never.
    pub finished_ms: Option<f64>,
}

/// How much of the file receivers had at one moment; those who left for good do not count.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, JsonSchema)]
pub struct ProgressReport {
    /// When.
    pub ms: f64,
    /// The share that the last of them had.
    pub least: f64,
    /// The share that half of them had at most.
    pub median: f64,
    /// The share that the first of them had.
    pub most: f64,
}

impl CrowdReport {
    /// The report as one line of JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Plain data: there is nothing that could not be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The JSON Schema (draft 2020-12) of the report, as `part2part schema crowd` prints it.
#[must_use]
pub fn schema() -> String {
    format!("{:#}\n", schemars::schema_for!(CrowdReport).as_value())
}

impl CrowdPlanReport {
    pub(super) fn new(plan: &CrowdPlan, pieces: u32) -> Self {
        Self {
            crowd: plan.receivers,
            file_size: plan.file_size,
            pieces,
            sources: plan.sources,
            source_rate: plan.source_rate,
            peer_rate: plan.peer_up,
            peer_down: plan.peer_down,
            latency: plan.latency.model.name().to_owned(),
            latency_ms: rounded(plan.latency.mean.as_secs_f64() * 1e3),
            liars: plan.liars,
            stallers: plan.stallers,
            slow: plan.slow,
            leavers: plan.leavers,
            churn: plan.churn,
            seed: plan.seed,
        }
    }
}

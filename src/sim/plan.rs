//! What is simulated: how many servents, how they are linked, what befalls them and what
//! they search for.

use std::str::FromStr;
use std::time::Duration;

use rand::rngs::ChaCha12Rng;

use super::delay::Delay;
use super::topology::{self, Links};
use crate::base::MAX_TTL;
use crate::overlay::Config;

/// Most servents: ten times what anybody has measured here; more need other methods.
pub const MAX_NODES: usize = 1_000_000;
/// The least churn that is any: one join or leave in a day and a half.
pub const LEAST_CHURN: f64 = 0.0005;
/// Most servents that find their places by the real protocol unless asked to: it takes
/// far longer than drawing the links.
pub const GROWN_UNASKED: usize = 2000;
/// Most searches: each is a whole flood.
pub const MAX_QUERIES: usize = 10_000;
/// Most files that the servents have together, their copies counted.
pub const MAX_COPIES: usize = 10_000_000;
/// Longest mean delay of a link: slower ones are given up as dead.
pub const MAX_MEAN: Duration = Duration::from_secs(5);
/// Radii of a search in rings, as the daemon asks them.
pub const RINGS: [u8; 3] = [2, 4, MAX_TTL];
/// Hits after which the daemon asks no wider ring, unless told otherwise.
pub const ENOUGH: usize = 50;

/// Memory of a servent with this engine, in bytes: what it takes alone, for each of its
/// links, and for what it is told of others while it finds its place. Measured with
/// 100,000 servents, of those that grow with 10,000, and rounded up.
const EACH: u64 = 5_000;
/// See [`EACH`].
const EACH_LINK: u64 = 1_800;
/// See [`EACH`].
const EACH_GROWN: u64 = 120_000;

/// How servents are linked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Topology {
    /// They join one after the other and find their neighbours by the real protocol.
    Grown,
    /// Random pairs, all in one mesh.
    Random,
    /// Each with the next, the last with the first.
    Ring,
    /// Each with the next.
    Line,
    /// All with the first.
    Star,
    /// Two groups in which everybody is linked with everybody, and one link between them.
    Cliques,
}

impl Topology {
    /// All there are.
    pub const ALL: [Self; 6] =
        [Self::Grown, Self::Random, Self::Ring, Self::Line, Self::Star, Self::Cliques];

    /// What it is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Grown => "grown",
            Self::Random => "random",
            Self::Ring => "ring",
            Self::Line => "line",
            Self::Star => "star",
            Self::Cliques => "cliques",
        }
    }

    /// Whether the number of neighbours can be chosen.
    #[must_use]
    pub fn has_degree(self) -> bool {
        matches!(self, Self::Grown | Self::Random)
    }

    /// The links to draw; none when servents find their own.
    pub(super) fn links(self, nodes: usize, degree: usize, rng: &mut ChaCha12Rng) -> Links {
        match self {
            Self::Grown => Links::new(),
            Self::Random => topology::random(nodes, degree, rng),
            Self::Ring => topology::ring(nodes),
            Self::Line => topology::line(nodes),
            Self::Star => topology::star(nodes),
            Self::Cliques => topology::bridged_cliques(nodes, 0),
        }
    }
}

impl FromStr for Topology {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let found = Self::ALL.into_iter().find(|topology| topology.name() == text);
        found.ok_or_else(|| PlanError::Topology(text.to_owned()))
    }
}

/// How long messages take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Latency {
    /// How the delays differ.
    pub model: Delay,
    /// The mean delay, one way.
    pub mean: Duration,
}

impl Default for Latency {
    /// Links within a continent, some of them busy.
    fn default() -> Self {
        Self { model: Delay::Exponential, mean: Duration::from_millis(20) }
    }
}

impl FromStr for Latency {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Self, PlanError> {
        let wrong = || PlanError::Latency(text.to_owned());
        let (model, mean) = match text.split_once(':') {
            Some((model, mean)) => (model, Some(mean)),
            None => (text, None),
        };
        let model = Delay::ALL.into_iter().find(|d| d.name() == model).ok_or_else(wrong)?;
        let mean = match mean {
            None => Self::default().mean,
            Some(mean) => span(mean).ok_or_else(wrong)?,
        };
        if mean.is_zero() || mean > MAX_MEAN {
            return Err(PlanError::Mean(text.to_owned()));
        }
        Ok(Self { model, mean })
    }
}

/// `20ms`, `150us` or `0.2s`.
fn span(text: &str) -> Option<Duration> {
    let units = [("ms", 1e-3), ("us", 1e-6), ("s", 1.0)];
    let (number, unit) =
        units.iter().find_map(|(unit, secs)| Some((text.strip_suffix(unit)?, secs)))?;
    let secs = number.parse::<f64>().ok()? * unit;
    Duration::try_from_secs_f64(secs).ok()
}

/// How far a search goes: `rings`, or a number of hops.
///
/// # Errors
/// [`PlanError::Ttl`].
pub fn rings(text: &str) -> Result<Vec<u8>, PlanError> {
    if text == "rings" {
        return Ok(RINGS.to_vec());
    }
    match text.parse::<u8>() {
        Ok(ttl @ 1..=MAX_TTL) => Ok(vec![ttl]),
        _ => Err(PlanError::Ttl(text.to_owned())),
    }
}

/// What is simulated.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// Servents.
    pub nodes: usize,
    /// Neighbours that each looks for, or has on average.
    pub degree: usize,
    /// How they are linked.
    pub topology: Topology,
    /// How long messages take.
    pub latency: Latency,
    /// The chance of a message to be lost and sent again.
    pub loss: f64,
    /// Joins and leaves a minute, together.
    pub churn: f64,
    /// The share of servents that die at once.
    pub kill_fraction: f64,
    /// Different files.
    pub files: usize,
    /// Servents that have each of them.
    pub replication: usize,
    /// Searches, each by a random servent for a random file.
    pub queries: usize,
    /// The radii that a search asks one after the other.
    pub rings: Vec<u8>,
    /// Where all chance comes from.
    pub seed: u64,
}

/// Why something cannot be simulated.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum PlanError {
    /// Too few servents for a mesh.
    #[error("--nodes {0}: a mesh has 2 servents at least")]
    Few(usize),
    /// Too many servents.
    #[error(
        "--nodes {nodes}: at most {MAX_NODES} are simulated; that many would take about {} of \
         memory", size(*bytes)
    )]
    Many {
        /// How many.
        nodes: usize,
        /// What they would take.
        bytes: u64,
    },
    /// More memory than there is.
    #[error(
        "--nodes {nodes} would take about {} of memory and {} are free; take fewer{}",
        size(*bytes), size(*free), if *grown { ", or --topology random, which takes less" } else { "" }
    )]
    Memory {
        /// How many.
        nodes: usize,
        /// What they would take.
        bytes: u64,
        /// What there is.
        free: u64,
        /// Whether they find their own places.
        grown: bool,
    },
    /// No neighbours, or more than there are.
    #[error("--degree {degree}: of {nodes} servents each can have 1 to {} neighbours", nodes - 1)]
    Degree {
        /// How many.
        degree: usize,
        /// Of how many.
        nodes: usize,
    },
    /// A degree for a shape that has its own.
    #[error(
        "--degree goes with the topologies grown and random; the shape {0} has degrees of its own"
    )]
    OwnDegree(&'static str),
    /// No such shape.
    #[error("--topology {0}: it is one of grown, random, ring, line, star, cliques")]
    Topology(String),
    /// No such model.
    #[error(
        "--latency {0}: it is MODEL or MODEL:MEAN, as in exponential:20ms; the models are unit, \
         uniform, exponential, spread, adversarial"
    )]
    Latency(String),
    /// A mean that makes no sense.
    #[error("--latency {0}: the mean delay is over 0 and at most 5 s")]
    Mean(String),
    /// Something that is no share of a whole.
    #[error("{flag} {value}: it is a fraction, from 0 to {most}")]
    Fraction {
        /// The flag.
        flag: &'static str,
        /// What it said.
        value: f64,
        /// The most that makes sense.
        most: f64,
    },
    /// A churn that makes no sense.
    #[error(
        "--churn {churn}: joins and leaves a minute, 0 or from {LEAST_CHURN} to {most} with so \
         many servents"
    )]
    Churn {
        /// How many.
        churn: f64,
        /// The most that makes sense.
        most: f64,
    },
    /// Churn where nobody can join.
    #[error("--churn needs --topology grown: nobody joins where the shape is {0}")]
    NobodyJoins(&'static str),
    /// Too few or too many searches.
    #[error("--queries {0}: 1 to {MAX_QUERIES} searches")]
    Queries(usize),
    /// No files.
    #[error("--files {0}: there must be something to search for, 1 file at least")]
    Files(usize),
    /// Too many files.
    #[error("--files {files} with --replication {replication}: at most {MAX_COPIES} copies in all")]
    Copies {
        /// Different ones.
        files: usize,
        /// Of each.
        replication: usize,
    },
    /// More copies of a file than servents.
    #[error("--replication {replication}: 1 to {nodes} of the servents can have a file")]
    Replication {
        /// Of each file.
        replication: usize,
        /// Servents.
        nodes: usize,
    },
    /// No such radius.
    #[error("--ttl {0}: it is rings, or 1 to {MAX_TTL} hops")]
    Ttl(String),
}

/// Bytes, for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000_000 => format!("{} MB", bytes.div_ceil(1_000_000)),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            nodes: 1000,
            degree: 8,
            topology: Topology::Grown,
            latency: Latency::default(),
            loss: 0.0,
            churn: 0.0,
            kill_fraction: 0.0,
            files: 100,
            replication: 3,
            queries: 20,
            rings: RINGS.to_vec(),
            seed: 1,
        }
    }
}

impl Plan {
    /// Most of the servents that may die: somebody has to be left.
    pub const MOST_KILLED: f64 = 0.95;
    /// Most messages that may be lost: TCP does no work beyond.
    pub const MOST_LOST: f64 = 0.3;

    /// Whether it can be simulated on a machine with `free` bytes of memory, if that is
    /// known.
    ///
    /// # Errors
    /// [`PlanError`], a sentence with the flag that is wrong.
    pub fn check(&self, free: Option<u64>) -> Result<(), PlanError> {
        let (nodes, degree) = (self.nodes, self.degree);
        if nodes < 2 {
            return Err(PlanError::Few(nodes));
        }
        let bytes = self.memory();
        if nodes > MAX_NODES {
            return Err(PlanError::Many { nodes, bytes });
        }
        if self.topology.has_degree() && !(1..nodes).contains(&degree) {
            return Err(PlanError::Degree { degree, nodes });
        }
        if let Some(free) = free.filter(|&free| bytes > free) {
            let grown = self.topology == Topology::Grown;
            return Err(PlanError::Memory { nodes, bytes, free, grown });
        }
        let fractions = [
            ("--loss", self.loss, Self::MOST_LOST),
            ("--kill-fraction", self.kill_fraction, Self::MOST_KILLED),
        ];
        for (flag, value, most) in fractions {
            if !(0.0..=most).contains(&value) {
                return Err(PlanError::Fraction { flag, value, most });
            }
        }
        let (churn, most) = (self.churn, 2.0 * nodes as f64);
        if !(0.0..=most).contains(&churn) || (churn > 0.0 && churn < LEAST_CHURN) {
            return Err(PlanError::Churn { churn, most });
        }
        if churn > 0.0 && self.topology != Topology::Grown {
            return Err(PlanError::NobodyJoins(self.topology.name()));
        }
        if !(1..=MAX_QUERIES).contains(&self.queries) {
            return Err(PlanError::Queries(self.queries));
        }
        let (files, replication) = (self.files, self.replication);
        if files == 0 {
            return Err(PlanError::Files(files));
        }
        if !(1..=nodes).contains(&replication) {
            return Err(PlanError::Replication { replication, nodes });
        }
        if files.saturating_mul(replication) > MAX_COPIES {
            return Err(PlanError::Copies { files, replication });
        }
        Ok(())
    }

    /// About how much memory it takes, in bytes.
    #[must_use]
    pub fn memory(&self) -> u64 {
        let nodes = self.nodes as u64;
        let degree = match self.topology {
            Topology::Grown | Topology::Random => self.degree as u64,
            Topology::Ring | Topology::Line | Topology::Star => 2,
            Topology::Cliques => nodes / 2,
        };
        let grown = if self.topology == Topology::Grown { EACH_GROWN } else { 0 };
        let each = degree.saturating_mul(EACH_LINK).saturating_add(EACH + grown);
        nodes.saturating_mul(each)
    }

    /// How the engines are set.
    pub(super) fn config(&self) -> Config {
        let usual = Config::default();
        match self.topology {
            Topology::Grown => {
                // As far above the target as it usually is.
                let spare = (usual.max_degree - usual.target_degree) * self.degree;
                let max_degree = self.degree + spare.div_ceil(usual.target_degree);
                Config { target_degree: self.degree, max_degree, ..usual }
            }
            _ => Config { manual: true, max_manual: self.nodes, ..usual },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_have_a_model_and_perhaps_a_mean() {
        let parse = |text: &str| text.parse::<Latency>();
        assert_eq!(parse("unit").unwrap().mean, Latency::default().mean);
        let wanted = Latency { model: Delay::Spread, mean: Duration::from_micros(1500) };
        assert_eq!(parse("spread:1.5ms").unwrap(), wanted);
        assert_eq!(parse("unit:200us").unwrap().mean, Duration::from_micros(200));
        assert_eq!(parse("unit:1s").unwrap().mean, Duration::from_secs(1));
        for wrong in ["", "gauss", "unit:", "unit:5", "unit:-1ms", "unit:ms", "unit:NaNs"] {
            assert!(matches!(parse(wrong), Err(PlanError::Latency(_))), "{wrong}");
        }
        for wrong in ["unit:0ms", "unit:6s"] {
            assert!(matches!(parse(wrong), Err(PlanError::Mean(_))), "{wrong}");
        }
    }

    #[test]
    fn a_radius_is_rings_or_one_to_eight() {
        assert_eq!(rings("rings"), Ok(vec![2, 4, 8]));
        assert_eq!(rings("8"), Ok(vec![8]));
        for wrong in ["0", "9", "-1", "", "all", "256"] {
            assert_eq!(rings(wrong), Err(PlanError::Ttl(wrong.to_owned())));
        }
    }

    #[test]
    fn what_cannot_be_simulated_is_refused_with_the_flag_that_is_wrong() {
        let usual = Plan::default();
        assert_eq!(usual.check(None), Ok(()));
        let wrong = [
            (Plan { nodes: 1, ..usual.clone() }, "--nodes 1"),
            (Plan { nodes: 2_000_000, ..usual.clone() }, "GB of memory"),
            (Plan { degree: 1000, ..usual.clone() }, "1 to 999 neighbours"),
            (Plan { degree: 0, ..usual.clone() }, "--degree 0"),
            (Plan { loss: 1.5, ..usual.clone() }, "--loss 1.5"),
            (Plan { loss: f64::NAN, ..usual.clone() }, "--loss NaN"),
            (Plan { kill_fraction: -0.1, ..usual.clone() }, "--kill-fraction -0.1"),
            (Plan { kill_fraction: 1.0, ..usual.clone() }, "from 0 to 0.95"),
            (Plan { churn: 1e9, ..usual.clone() }, "--churn"),
            (Plan { churn: 1.0, topology: Topology::Ring, ..usual.clone() }, "the shape is ring"),
            (Plan { queries: 0, ..usual.clone() }, "--queries 0"),
            (Plan { files: 0, ..usual.clone() }, "--files 0"),
            (Plan { replication: 1001, ..usual.clone() }, "--replication 1001"),
            (Plan { files: usize::MAX, ..usual.clone() }, "copies in all"),
        ];
        for (plan, what) in wrong {
            let error = plan.check(None).unwrap_err().to_string();
            assert!(error.contains(what), "{error}, not {what}");
        }
        let error = usual.check(Some(1_000_000)).unwrap_err().to_string();
        assert!(error.contains("1 MB are free") && error.contains("--topology random"), "{error}");
    }
}

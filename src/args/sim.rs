//! What `part2part sim` takes. What it means is decided in [`crate::simulate`].

use std::path::PathBuf;

use clap::Args;

use super::StateArgs;

/// What is simulated, and how it is told.
#[derive(Args, Clone, Debug, Default)]
pub struct SimArgs {
    /// Servents in the mesh [default: 1000]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub nodes: Option<usize>,
    /// Neighbours that each looks for, or has on average [default: 8]
    #[arg(long, value_name = "D", allow_negative_numbers = true)]
    pub degree: Option<usize>,
    /// How they are linked: grown (by joining, as real servents do), random, ring, line,
    /// star or cliques [default: grown up to 2000 servents, then random]
    #[arg(long, value_name = "SHAPE")]
    pub topology: Option<String>,
    /// How long a message takes over a link: MODEL or MODEL:MEAN; the models are unit,
    /// uniform, exponential, spread (each link has its own, 1:100) and adversarial
    /// [default: exponential:20ms]; with --crowd each pair of servents has its own
    #[arg(long, value_name = "MODEL")]
    pub latency: Option<String>,
    /// The chance of a message to be lost and sent again, as TCP does: 0 to 0.3
    #[arg(long, value_name = "P", default_value_t = 0.0, allow_negative_numbers = true)]
    pub loss: f64,
    /// Joins and leaves a minute, together, while the mesh is searched; with --crowd leaves
    /// and returns of receivers, every second leave without a word
    #[arg(long, value_name = "RATE", default_value_t = 0.0, allow_negative_numbers = true)]
    pub churn: f64,
    /// Kill this share of the servents at once, search at that moment, and again a minute
    /// later: 0 to 0.95
    #[arg(long, value_name = "F", default_value_t = 0.0, allow_negative_numbers = true)]
    pub kill_fraction: f64,
    /// Different files in the mesh [default: 100]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub files: Option<usize>,
    /// How many servents have each file [default: 3]
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub replication: Option<usize>,
    /// Searches, each by a random servent for a random file
    #[arg(long, value_name = "N", default_value_t = 20, allow_negative_numbers = true)]
    pub queries: usize,
    /// How far a search goes: 1 to 8 hops; or rings: 2, then 4, then 8, until 50 hits came
    #[arg(long, value_name = "T", default_value = "rings", allow_hyphen_values = true)]
    pub ttl: String,
    /// Where all chance comes from: the same seed gives the same report
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub seed: u64,
    /// Take what is not given from this user's servent: how many neighbours it has, their
    /// round trips and what is shared; from its host cache when it does not run
    #[arg(long)]
    pub like_mine: bool,
    /// Whose servent that is.
    #[command(flatten)]
    pub state: StateArgs,
    /// Instead of all that: many who want one file.
    #[command(flatten)]
    pub crowd: CrowdArgs,
    /// Report in JSON, one object; 'part2part schema sim' describes it, 'part2part schema
    /// crowd' that of --crowd
    #[arg(long)]
    pub json: bool,
    /// Draw what was found into this SVG file as well; simulates more, for its curves
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
}

/// A crowd that wants one file at once.
#[derive(Args, Clone, Debug, Default)]
pub struct CrowdArgs {
    /// Simulate no mesh, but so many servents who want one file at the same moment: when has
    /// the last one got it, and who sent it?
    #[arg(long, value_name = "N", allow_negative_numbers = true, conflicts_with_all = MESH_ONLY)]
    pub crowd: Option<usize>,
    /// How large the file is, with --crowd: 700MB, 4GiB [default: 256MiB]
    #[arg(long, value_name = "SIZE", requires = "crowd", allow_hyphen_values = true)]
    pub file_size: Option<String>,
    /// Servents that have the file at first [default: 1]
    #[arg(long, value_name = "N", requires = "crowd", allow_negative_numbers = true)]
    pub sources: Option<usize>,
    /// What each of them can send a second [default: 20MB/s]
    #[arg(long, value_name = "RATE", requires = "crowd", allow_hyphen_values = true)]
    pub source_rate: Option<String>,
    /// What each of the crowd can send a second [default: 20MB/s]
    #[arg(long, value_name = "RATE", requires = "crowd", allow_hyphen_values = true)]
    pub peer_rate: Option<String>,
    /// What each of the crowd can receive a second [default: 100MB/s]
    #[arg(long, value_name = "RATE", requires = "crowd", allow_hyphen_values = true)]
    pub peer_down: Option<String>,
    /// More servents that say they have the file, and send something else
    #[arg(long, value_name = "N", requires = "crowd", allow_negative_numbers = true)]
    pub liars: Option<usize>,
    /// More servents that say they have the file, and send nothing
    #[arg(long, value_name = "N", requires = "crowd", allow_negative_numbers = true)]
    pub stallers: Option<usize>,
    /// More servents that have the file, on lines a hundred times slower
    #[arg(long, value_name = "N", requires = "crowd", allow_negative_numbers = true)]
    pub slow: Option<usize>,
    /// How many of the crowd leave for good when they have half of the file
    #[arg(long, value_name = "N", requires = "crowd", allow_negative_numbers = true)]
    pub leavers: Option<usize>,
}

/// What says something of a mesh, and nothing of a crowd.
const MESH_ONLY: [&str; 10] = [
    "nodes",
    "degree",
    "topology",
    "loss",
    "kill_fraction",
    "files",
    "replication",
    "queries",
    "ttl",
    "like_mine",
];

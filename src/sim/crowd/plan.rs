//! What is simulated of a crowd: who wants the file, who has it, how fast lines are, and
//! what goes wrong.

use std::time::Duration;

use super::line::span;
use crate::base::Geometry;
use crate::sim::plan::Latency;

/// Most receivers: twice the crowd that anybody has measured here, with room.
pub const MAX_RECEIVERS: usize = 2000;
/// Most pieces that are moved in all: some minutes of work.
pub const MAX_MOVES: u64 = 4_000_000;
/// Most servents of each kind that have the file from the beginning.
pub const MAX_GIVERS: usize = 64;
/// The slowest line, in bytes a second: slower ones are given up as stalled.
pub const MIN_RATE: u64 = 10_000;
/// The fastest line, in bytes a second: a thousand times the usual one.
pub const MAX_RATE: u64 = 100_000_000_000;
/// How many times slower than the others a slow source is.
pub const SLOWNESS: u64 = 100;
/// Most churn, in leaves and returns of each receiver a minute: more than that is no
/// download any more.
pub const MOST_CHURN: f64 = 2.0;

/// A crowd that wants one file at once.
#[derive(Clone, PartialEq, Debug)]
pub struct CrowdPlan {
    /// Servents that want the file.
    pub receivers: usize,
    /// Its size in bytes.
    pub file_size: u64,
    /// Honest servents that have all of it.
    pub sources: usize,
    /// Bytes a second that each of them, and each of the bad ones, can send.
    pub source_rate: u64,
    /// Bytes a second that a receiver can send.
    pub peer_up: u64,
    /// Bytes a second that it can take.
    pub peer_down: u64,
    /// How long a message takes from one servent to another; each pair has its own.
    pub latency: Latency,
    /// More servents that say they have it, and send what is not of the file.
    pub liars: usize,
    /// More that take requests and send nothing.
    pub stallers: usize,
    /// More that have it, on lines [`SLOWNESS`] times slower.
    pub slow: usize,
    /// Receivers that leave for good when they have half of it.
    pub leavers: usize,
    /// Leaves and returns of receivers a minute, together.
    pub churn: f64,
    /// Where all chance comes from.
    pub seed: u64,
}

/// Why a crowd cannot be simulated.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum CrowdError {
    /// Nobody, or too many.
    #[error("--crowd {0}: 1 to {MAX_RECEIVERS} receivers")]
    Receivers(usize),
    /// Nobody has the file.
    #[error("--sources {0}: 1 to {MAX_GIVERS} servents have the file")]
    Sources(usize),
    /// Too many of a kind.
    #[error("{flag} {count}: at most {MAX_GIVERS} of a kind")]
    Givers {
        /// The flag.
        flag: &'static str,
        /// What it said.
        count: usize,
    },
    /// No such size.
    #[error("--file-size {0}: it is a number of bytes, as in 256MiB or 700MB, at least one")]
    Size(String),
    /// More than can be simulated.
    #[error(
        "--file-size {size} bytes for {receivers} receivers: at most {MAX_MOVES} pieces are moved \
         in all, and these are {moves}"
    )]
    Moves {
        /// Of the file.
        size: u64,
        /// How many want it.
        receivers: usize,
        /// Pieces in all.
        moves: u64,
    },
    /// A file that no servent shares.
    #[error("--file-size {0} bytes: no servent shares files so large")]
    Large(u64),
    /// No such rate.
    #[error("{flag} {text}: it is bytes a second, as in 20MB/s, from 10 kB/s to 100 GB/s")]
    Rate {
        /// The flag.
        flag: &'static str,
        /// What it said.
        text: String,
    },
    /// A churn that makes no sense.
    #[error("--churn {churn}: leaves and returns a minute, 0 to {most} with so many receivers")]
    Churn {
        /// How many.
        churn: f64,
        /// The most that makes sense.
        most: f64,
    },
    /// Everybody would leave.
    #[error("--leavers {leavers}: of {receivers} receivers at least one stays")]
    Leavers {
        /// How many.
        leavers: usize,
        /// Of how many.
        receivers: usize,
    },
}

impl Default for CrowdPlan {
    fn default() -> Self {
        Self {
            receivers: 64,
            file_size: 256 << 20,
            sources: 1,
            source_rate: 20_000_000,
            peer_up: 20_000_000,
            peer_down: 100_000_000,
            latency: Latency::default(),
            liars: 0,
            stallers: 0,
            slow: 0,
            leavers: 0,
            churn: 0.0,
            seed: 1,
        }
    }
}

impl CrowdPlan {
    /// Whether it can be simulated.
    ///
    /// # Errors
    /// [`CrowdError`], a sentence with the flag that is wrong.
    pub fn check(&self) -> Result<(), CrowdError> {
        if !(1..=MAX_RECEIVERS).contains(&self.receivers) {
            return Err(CrowdError::Receivers(self.receivers));
        }
        if !(1..=MAX_GIVERS).contains(&self.sources) {
            return Err(CrowdError::Sources(self.sources));
        }
        let kinds = [("--liars", self.liars), ("--stallers", self.stallers), ("--slow", self.slow)];
        for (flag, count) in kinds {
            if count > MAX_GIVERS {
                return Err(CrowdError::Givers { flag, count });
            }
        }
        if self.file_size == 0 {
            return Err(CrowdError::Size("0".to_owned()));
        }
        let geometry = Geometry::of(self.file_size).ok_or(CrowdError::Large(self.file_size))?;
        let moves = u64::from(geometry.count()) * self.receivers as u64;
        if moves > MAX_MOVES {
            let (size, receivers) = (self.file_size, self.receivers);
            return Err(CrowdError::Moves { size, receivers, moves });
        }
        let rates = [
            ("--source-rate", self.source_rate),
            ("--peer-rate", self.peer_up),
            ("--peer-down", self.peer_down),
        ];
        for (flag, rate) in rates {
            if !(MIN_RATE..=MAX_RATE).contains(&rate) {
                return Err(CrowdError::Rate { flag, text: format!("{rate} B/s") });
            }
        }
        let (churn, most) = (self.churn, MOST_CHURN * self.receivers as f64);
        if !(0.0..=most).contains(&churn) {
            return Err(CrowdError::Churn { churn, most });
        }
        if self.leavers >= self.receivers {
            let Self { leavers, receivers, .. } = *self;
            return Err(CrowdError::Leavers { leavers, receivers });
        }
        Ok(())
    }

    /// No crowd can be served sooner, whatever it does: somebody has to send each byte for
    /// the first time, each receiver has to take all of them, and all together have to send
    /// as much as all take (Kumar and Ross, 2006). Slow, stalling and lying sources and
    /// delays do not count in it.
    #[must_use]
    pub fn bound(&self) -> Duration {
        let sources = self.source_rate.saturating_mul(self.sources as u64);
        let crowd = self.peer_up.saturating_mul(self.receivers as u64);
        let all = self.file_size.saturating_mul(self.receivers as u64);
        let firsts = span(self.file_size, sources);
        let each = span(self.file_size, self.peer_down);
        firsts.max(each).max(span(all, sources.saturating_add(crowd)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_narrowest_of_three_ways() {
        let plan = |source_rate, peer_up, peer_down| CrowdPlan {
            receivers: 10,
            file_size: 100_000_000,
            source_rate,
            peer_up,
            peer_down,
            ..CrowdPlan::default()
        };
        let secs = |plan: CrowdPlan| plan.bound().as_secs_f64();
        assert_eq!(secs(plan(10_000_000, 50_000_000, 100_000_000)), 10.0, "the source");
        assert_eq!(secs(plan(10_000_000, 50_000_000, 1_000_000)), 100.0, "each taker");
        assert_eq!(secs(plan(10_000_000, 1_000_000, 100_000_000)), 50.0, "all who give");
        let two = CrowdPlan { sources: 2, ..plan(10_000_000, 50_000_000, 100_000_000) };
        assert_eq!(secs(two), 5.0);
    }

    #[test]
    fn what_makes_no_sense_is_named_by_its_flag() {
        let usual = CrowdPlan::default();
        assert_eq!(usual.check(), Ok(()));
        let wrong = [
            (CrowdPlan { receivers: 0, ..usual.clone() }, "--crowd 0"),
            (CrowdPlan { receivers: 2001, ..usual.clone() }, "--crowd 2001"),
            (CrowdPlan { sources: 0, ..usual.clone() }, "--sources 0"),
            (CrowdPlan { liars: 65, ..usual.clone() }, "--liars 65"),
            (CrowdPlan { stallers: 65, ..usual.clone() }, "--stallers 65"),
            (CrowdPlan { slow: 65, ..usual.clone() }, "--slow 65"),
            (CrowdPlan { file_size: 0, ..usual.clone() }, "--file-size 0"),
            (CrowdPlan { file_size: u64::MAX, ..usual.clone() }, "no servent shares"),
            (
                CrowdPlan { receivers: 2000, file_size: 4 << 30, ..usual.clone() },
                "these are 8192000",
            ),
            (CrowdPlan { source_rate: 9_999, ..usual.clone() }, "--source-rate 9999"),
            (CrowdPlan { peer_up: 0, ..usual.clone() }, "--peer-rate 0"),
            (CrowdPlan { peer_down: u64::MAX, ..usual.clone() }, "--peer-down"),
            (CrowdPlan { churn: -1.0, ..usual.clone() }, "--churn -1"),
            (CrowdPlan { churn: f64::NAN, ..usual.clone() }, "--churn NaN"),
            (CrowdPlan { churn: 129.0, ..usual.clone() }, "0 to 128"),
            (CrowdPlan { leavers: 64, ..usual.clone() }, "--leavers 64"),
        ];
        for (plan, what) in wrong {
            let error = plan.check().unwrap_err().to_string();
            assert!(error.contains(what), "{error}, not {what}");
        }
    }
}

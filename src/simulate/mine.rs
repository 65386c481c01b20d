//! `--like-mine`: a mesh of servents like this user's.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;

use crate::command::{Order, Reply};
use crate::control::{AskError, ask};
use crate::servent::report::{PeerReport, Relation, StatusReport};
use crate::sim::plan::MAX_MEAN;
use crate::sim::{Delay, Latency};
use crate::store::{RealDisk, StateDir};

/// The host cache of the open mesh.
const HOSTS: &str = "hosts";
/// Replies that wait to be read: status and peers give one each.
const REPLIES: usize = 4;
/// The least mean delay that is worth simulating; nearer servents are on one machine.
const NEAREST: Duration = Duration::from_micros(50);

/// Why nothing can be taken from this user's servent.
#[derive(Debug, thiserror::Error)]
pub(super) enum MineError {
    /// It does not run and has never been in a mesh.
    #[error(
        "--like-mine: no servent runs on {}, and no host cache is there; start one, or say \
         --nodes, --degree and --latency yourself", .0.display()
    )]
    Nothing(PathBuf),
    /// It runs and does not answer.
    #[error("--like-mine: {0}")]
    Ask(#[from] AskError),
    /// It runs alone.
    #[error("--like-mine: the servent on {} has no neighbours yet; 'join' first", .0.display())]
    Alone(PathBuf),
}

/// What this user's servent is like, as far as can be told.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Mine {
    /// Servents that it knows of, itself among them.
    pub(super) nodes: Option<usize>,
    /// Neighbours that it has.
    pub(super) degree: Option<usize>,
    /// How far they are.
    pub(super) latency: Option<Latency>,
    /// Files that it and they share, on average.
    pub(super) files_each: Option<f64>,
    /// Where all this comes from.
    from: String,
}

impl fmt::Display for Mine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "like the {}:", self.from)?;
        let mut taken = Vec::new();
        taken.extend(self.nodes.map(|nodes| format!("--nodes {nodes}")));
        taken.extend(self.degree.map(|degree| format!("--degree {degree}")));
        taken.extend(self.latency.map(|Latency { model, mean }| {
            format!("--latency {}:{:.2}ms", model.name(), mean.as_secs_f64() * 1e3)
        }));
        taken.extend(self.files_each.map(|each| format!("{each:.1} files each")));
        write!(f, " {}", taken.join(", "))
    }
}

impl Mine {
    /// Asks the servent that runs on `state`, or reads what one left there.
    pub(super) async fn ask(state: &Path) -> Result<Self, MineError> {
        let (status, peers) = match tokio::try_join!(one(state, "status"), one(state, "peers")) {
            Ok(replies) => replies,
            Err(AskError::NoServent(_)) => return Self::left_behind(state),
            Err(error) => return Err(error.into()),
        };
        let (Some(Reply::Status(status)), Some(Reply::Peers { peers, .. })) = (status, peers)
        else {
            return Err(MineError::Alone(state.to_owned()));
        };
        if peers.is_empty() {
            return Err(MineError::Alone(state.to_owned()));
        }
        Ok(Self::of(&status, &peers))
    }

    fn of(status: &StatusReport, peers: &[PeerReport]) -> Self {
        let (mut ways, mut shares) = (Vec::new(), vec![status.shared_files as f64]);
        for peer in peers {
            if let Relation::Neighbour { round_trip_micros, shares: shared, .. } = &peer.relation {
                ways.extend(round_trip_micros.map(|micros| Duration::from_micros(micros) / 2));
                shares.extend(shared.map(|shared| f64::from(shared.files)));
            }
        }
        let mean = |ways: &[Duration]| {
            let sum: Duration = ways.iter().sum();
            sum / u32::try_from(ways.len()).unwrap_or(u32::MAX)
        };
        let latency = (!ways.is_empty()).then(|| {
            let mean = mean(&ways).clamp(NEAREST, MAX_MEAN);
            Latency { model: Delay::Exponential, mean }
        });
        let files_each = shares.iter().sum::<f64>() / shares.len() as f64;
        Self {
            nodes: None,
            degree: Some(peers.len()),
            latency,
            files_each: (files_each > 0.0).then_some(files_each),
            from: "running servent".to_owned(),
        }
    }

    fn left_behind(state: &Path) -> Result<Self, MineError> {
        let contacts = StateDir::peek(&RealDisk, state, HOSTS).unwrap_or_default();
        let contacts = String::from_utf8_lossy(&contacts);
        let known = contacts.lines().filter(|line| !line.trim().is_empty()).count();
        if known == 0 {
            return Err(MineError::Nothing(state.to_owned()));
        }
        let from = "host cache, as no servent runs".to_owned();
        Ok(Self { nodes: Some(known + 1), from, ..Self::default() })
    }
}

/// What the running servent answers to a command of one reply.
async fn one(state: &Path, line: &str) -> Result<Option<Reply>, AskError> {
    let (sender, mut replies) = mpsc::channel(REPLIES);
    let order = Order { line: line.to_owned(), cwd: None, scripted: false };
    ask(state, &order, &sender).await?;
    drop(sender);
    Ok(replies.recv().await)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::hosts_file::{CachedContact, save_hosts};
    use std::net::SocketAddr;
    use std::sync::Arc;

    #[test]
    fn a_host_cache_tells_how_many_are_known() {
        use crate::base::{Contact, ServentId};
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("s");
        assert!(matches!(Mine::left_behind(&state), Err(MineError::Nothing(_))));
        let locked = StateDir::lock(Arc::new(RealDisk), &state, 1).unwrap();
        let contacts: Vec<CachedContact> = (1..=5)
            .map(|n| {
                let address = SocketAddr::from(([127, 0, 0, 1], 7000 + u16::from(n)));
                let contact = Contact::new(ServentId([n; 32]), [address]);
                CachedContact {
                    contact,
                    heard_unix: 5,
                    proven: true,
                    anchor: false,
                    failures: 0,
                    source: None,
                    answered: None,
                }
            })
            .collect();
        save_hosts(&locked, HOSTS, &contacts).unwrap();
        let mine = Mine::left_behind(&state).unwrap();
        assert_eq!(mine.nodes, Some(6));
        assert_eq!(mine.to_string(), "like the host cache, as no servent runs: --nodes 6");
    }
}

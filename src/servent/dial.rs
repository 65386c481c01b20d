//! Dialling a contact: several addresses, one connection.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::greeting::{self, Greeted, GreetingError, Reception};
use super::ground::Ground;
use super::network::Stream;
use crate::base::ServentId;
use crate::message::{Hello, Purpose};

/// A connection is made within this time, or not at all.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// All addresses of a contact together have this long: a few that hold us up must not
/// hold a place for a minute.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);
/// Head start of each address over the next (RFC 8305, section 5).
const HEAD_START: Duration = Duration::from_millis(250);

/// Why nobody could be reached.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The contact has no address.
    #[error("it has no address that could be dialled")]
    NoAddress,
    /// No connection at all; the last address's reason.
    #[error("{}", reason(source))]
    Connect {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// Connected, but no greeting.
    #[error("{source}")]
    Greeting {
        /// Where.
        address: SocketAddr,
        /// What went wrong.
        source: GreetingError,
    },
}

impl DialError {
    /// Whether somebody may be there all the same, behind what lets nobody in.
    pub(super) fn is_shut(&self) -> bool {
        match self {
            Self::NoAddress => true,
            Self::Connect { source, .. } => source.kind() != io::ErrorKind::ConnectionRefused,
            // The address means another machine here than there.
            Self::Greeting { source, .. } => matches!(source, GreetingError::WrongId(_)),
        }
    }

    /// Where it was tried last.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::NoAddress => None,
            Self::Connect { address, .. } | Self::Greeting { address, .. } => Some(*address),
        }
    }
}

/// What a person makes of a failed connect.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nobody listens there (connection refused)".to_owned(),
        io::ErrorKind::TimedOut => {
            format!("no connection within {} s", CONNECT_TIMEOUT.as_secs())
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            "there is no way there from here (unreachable)".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Dials `addresses` happy-eyeballs fashion, and greets the first that connects; where
/// the greeting fails, the next. TLS checks the id, so trying is safe.
pub(super) async fn dial(
    ground: &Arc<Ground>,
    addresses: &[SocketAddr],
    expected: Option<ServentId>,
    purpose: Purpose,
) -> Result<(Greeted, Reception), DialError> {
    dial_for(ground, addresses, expected, purpose, 0).await
}

/// The same, to be named the neighbours of whoever answers.
pub(super) async fn ask_around(
    ground: &Arc<Ground>,
    addresses: &[SocketAddr],
    expected: Option<ServentId>,
) -> Result<(Greeted, Reception), DialError> {
    dial_for(ground, addresses, expected, Purpose::Probe, Hello::CRAWL).await
}

async fn dial_for(
    ground: &Arc<Ground>,
    addresses: &[SocketAddr],
    expected: Option<ServentId>,
    purpose: Purpose,
    features: u64,
) -> Result<(Greeted, Reception), DialError> {
    let mut connects: JoinSet<(SocketAddr, io::Result<Box<dyn Stream>>)> = JoinSet::new();
    for (place, &address) in addresses.iter().enumerate() {
        let ground = Arc::clone(ground);
        let wait = HEAD_START.saturating_mul(u32::try_from(place).unwrap_or(u32::MAX));
        connects.spawn(async move {
            sleep(wait).await;
            let from = ground.dial_from(address.ip());
            let connect = timeout(CONNECT_TIMEOUT, ground.network.dial(address, from)).await;
            (address, connect.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())))
        });
    }
    let until = Instant::now() + DIAL_TIMEOUT;
    let mut worst = DialError::NoAddress;
    while let Ok(Some(connected)) = timeout_at(until, connects.join_next()).await {
        let Ok((address, connected)) = connected else { continue };
        let greeted = match connected {
            Ok(stream) => {
                let hello = ground.hello(purpose.clone(), features);
                greeting::dial(ground, stream, address, expected, hello).await
            }
            Err(source) => {
                if !matches!(worst, DialError::Greeting { .. }) {
                    worst = DialError::Connect { address, source };
                }
                continue;
            }
        };
        match greeted {
            Ok(greeted) => return Ok(greeted),
            Err(source) => worst = DialError::Greeting { address, source },
        }
    }
    Err(worst)
}

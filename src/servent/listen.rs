//! Taking connections in and greeting them.

use std::fs::File;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use tokio_util::sync::CancellationToken;

use super::admission::{Kind, Pass};
use super::greeting::{self, Greeted, GreetingError};
use super::ground::Ground;
use super::incidents::Incident;
use super::network::{Listener, Stream};
use crate::message::Purpose;

/// The port of a servent that was told none.
pub const DEFAULT_PORT: u16 = 7272;
/// First wait after the system could give no connection; doubles to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);
/// How long a connection is waited for that can only be turned away: it is there already.
const TURNING_AWAY: Duration = Duration::from_millis(100);

/// A greeted connection and its place.
pub(super) struct Arrival {
    pub(super) greeted: Greeted,
    /// None when we have dialled it ourselves.
    pub(super) pass: Option<Pass>,
    /// Whether it is taken in; otherwise it is told so and let go.
    pub(super) has_place: bool,
}

impl Arrival {
    /// Cancelled when its place is needed for somebody else.
    pub(super) fn revoked(&self) -> CancellationToken {
        self.pass.as_ref().map(|pass| pass.revoked.clone()).unwrap_or_default()
    }
}

/// A descriptor kept for the moment when there is no other.
struct Spare(Option<File>);

impl Default for Spare {
    fn default() -> Self {
        Self(File::open("/dev/null").ok())
    }
}

impl Spare {
    /// Closes it; whether there was one.
    fn give_up(&mut self) -> bool {
        self.0.take().is_some()
    }
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| code == Some(errno.raw_os_error()))
}

/// Opens the listeners that the settings ask for: one for both families, where the
/// machine has them.
pub(super) fn open(ground: &Ground) -> io::Result<Box<dyn Listener>> {
    if let Some(address) = ground.settings.listen {
        return ground.network.listen(address);
    }
    let (v6, v4) = (IpAddr::from(Ipv6Addr::UNSPECIFIED), IpAddr::from(Ipv4Addr::UNSPECIFIED));
    match ground.network.listen(SocketAddr::new(v6, DEFAULT_PORT)) {
        Err(error) if error.kind() != io::ErrorKind::AddrInUse => {
            ground.network.listen(SocketAddr::new(v4, DEFAULT_PORT))
        }
        opened => opened,
    }
}

/// Accepts until the servent stops; `take` is given each connection that said hello.
pub(super) async fn run(
    ground: Arc<Ground>,
    mut listener: Box<dyn Listener>,
    take: impl Fn(Arrival) + Clone + Send + Sync + 'static,
) {
    let mut spare = Spare::default();
    let mut backoff = FIRST_BACKOFF;
    loop {
        let accepted = tokio::select! {
            biased;
            () = ground.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            // That one is gone; the next is as good as any.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                if is_out_of_descriptors(&error) && spare.give_up() {
                    // Who waits would wait for long: with the spare one it is turned away.
                    let accept = tokio::time::timeout(TURNING_AWAY, listener.accept());
                    if let Ok(Ok(_)) = accept.await {
                        ground.incidents.note(Incident::TurnedAway);
                    }
                    spare = Spare::default();
                }
                // Waiting beats spinning.
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(LONGEST_BACKOFF);
                continue;
            }
        };
        backoff = FIRST_BACKOFF;
        let Some(pass) = ground.admission.admit(ground.clock.now(), from.ip()) else {
            ground.incidents.note(Incident::TurnedAway);
            continue;
        };
        let (ground, take) = (Arc::clone(&ground), take.clone());
        Arc::clone(&ground).spawn(async move {
            if let Some(arrival) = greet(&ground, stream, from, pass).await {
                take(arrival);
            }
        });
    }
}

async fn greet(
    ground: &Ground,
    stream: Box<dyn Stream>,
    from: SocketAddr,
    pass: Pass,
) -> Option<Arrival> {
    let greeted = tokio::select! {
        biased;
        () = ground.stop.cancelled() => return None,
        () = pass.revoked.cancelled() => {
            ground.incidents.note(Incident::TurnedAway);
            return None;
        }
        greeted = greeting::accept(ground, stream, from) => greeted,
    };
    match greeted {
        Ok(greeted) => {
            let kind = match greeted.hello.purpose {
                Purpose::Transfer { .. } => Kind::Transfer,
                _ => Kind::Link,
            };
            let has_place = pass.establish(greeted.peer.contact.id, kind);
            if !has_place {
                ground.incidents.note(Incident::TurnedAway);
            }
            Some(Arrival { greeted, pass: Some(pass), has_place })
        }
        Err(error) => {
            ground.incidents.note(Incident::Greeting);
            if matches!(error, GreetingError::WrongNetwork) {
                ground.admission.note_wrong_proof(ground.clock.now(), from.ip());
            }
            tracing::debug!(%from, %error, "no greeting");
            None
        }
    }
}

//! Taking connections in and greeting them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::admission::{Admission, Kind, Pass};
use super::greeting::{self, Greeted, GreetingError};
use super::ground::Ground;
use super::network::{Listener, Stream};
use crate::message::Purpose;

/// The port of a servent that was told none.
pub const DEFAULT_PORT: u16 = 7272;
/// First wait after the system could give no connection; doubles to [`LONGEST_BACKOFF`].
const FIRST_BACKOFF: Duration = Duration::from_millis(50);
const LONGEST_BACKOFF: Duration = Duration::from_secs(1);

/// A greeted connection and its place.
pub(super) struct Arrival {
    pub(super) greeted: Greeted,
    /// None when we have dialled it ourselves.
    pub(super) pass: Option<Pass>,
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
    let admission = Admission::default();
    let mut backoff = FIRST_BACKOFF;
    loop {
        let accepted = tokio::select! {
            biased;
            () = ground.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, from) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of descriptors, most likely: waiting beats spinning.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(backoff).await;
                backoff = (backoff * 2).min(LONGEST_BACKOFF);
                continue;
            }
        };
        backoff = FIRST_BACKOFF;
        let Some(pass) = admission.admit(ground.clock.now(), from.ip()) else { continue };
        let (ground, admission, take) = (Arc::clone(&ground), admission.clone(), take.clone());
        Arc::clone(&ground).spawn(async move {
            if let Some(arrival) = greet(&ground, &admission, stream, from, pass).await {
                take(arrival);
            }
        });
    }
}

async fn greet(
    ground: &Ground,
    admission: &Admission,
    stream: Box<dyn Stream>,
    from: SocketAddr,
    pass: Pass,
) -> Option<Arrival> {
    let greeted = tokio::select! {
        biased;
        () = ground.stop.cancelled() => return None,
        () = pass.revoked.cancelled() => return None,
        greeted = greeting::accept(ground, stream, from) => greeted,
    };
    match greeted {
        Ok(greeted) => {
            let kind = match greeted.hello.purpose {
                Purpose::Transfer { .. } => Kind::Transfer,
                _ => Kind::Link,
            };
            pass.establish(kind).then_some(Arrival { greeted, pass: Some(pass) })
        }
        Err(error) => {
            ground.note_incident();
            if matches!(error, GreetingError::WrongNetwork) {
                admission.note_wrong_proof(ground.clock.now(), from.ip());
            }
            tracing::debug!(%from, %error, "no greeting");
            None
        }
    }
}

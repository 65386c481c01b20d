//! The way into a mesh, and out of it.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use super::dial::{self, DialError};
use super::driver::Command;
use super::greeting::Reception;
use super::handle::Servent;
use super::moving::MoveError;
use super::report::JoinReport;
use super::settings::{JoinTarget, Place};
use crate::base::Contact;
use crate::message::Purpose;
use crate::overlay::Input;

/// How long `join` waits for a neighbour once the host cache is being dialled.
pub(super) const JOIN_LIMIT: Duration = Duration::from_secs(10);

/// Most addresses that one join dials: those of a contact, each a name with two.
const MAX_DIALLED: usize = 2 * Contact::MAX_ADDRESSES;

/// Why a join came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The name has no address.
    #[error("{} has no address: {}", place.host, lookup(source))]
    Resolve {
        /// As typed.
        place: Place,
        /// What the system says.
        source: io::Error,
    },
    /// Nobody was found there.
    #[error("cannot join {}: {source}", tried(target, source))]
    Dial {
        /// Who and where.
        target: JoinTarget,
        /// What happened.
        source: DialError,
    },
    /// It is there, but full, and so are those that it named.
    #[error("{} is full, and nobody it named answered; try again later", shown(.0))]
    Full(JoinTarget),
    /// It is there, but its user has left the mesh.
    #[error("{} has left its mesh and stays alone until its user joins again", shown(.0))]
    Alone(JoinTarget),
    /// The line is of another mesh.
    #[error(transparent)]
    Mesh(#[from] MoveError),
    /// The host cache has nobody.
    #[error("no servent is known yet; join ID@HOST:PORT of one that is")]
    NobodyKnown,
    /// The host cache has some, but none answered.
    #[error(
        "nobody known from earlier answered ({0} tried); join ID@HOST:PORT of one that is there"
    )]
    NobodyAnswered(usize),
    /// The servent is stopping.
    #[error("the servent is stopping")]
    Stopping,
}

impl Servent {
    /// Joins the mesh at a known servent, or through the host cache.
    ///
    /// # Errors
    /// [`JoinError`]; links that stand already stay.
    pub async fn join(&self, target: Option<JoinTarget>) -> Result<JoinReport, JoinError> {
        match target {
            Some(target) => self.join_at(target).await,
            None => self.join_cached().await,
        }
    }

    async fn join_at(&self, target: JoinTarget) -> Result<JoinReport, JoinError> {
        let ground = &self.0.ground;
        let addresses = self.addresses_of(&target.places).await?;
        let manual = ground.settings.manual;
        let purpose = if manual { Purpose::Manual } else { Purpose::Join };
        let (greeted, reception) = dial::dial(ground, &addresses, target.id, purpose.clone())
            .await
            .map_err(|source| JoinError::Dial { target: target.clone(), source })?;
        let report = JoinReport {
            neighbour: greeted.peer.contact.id,
            name: greeted.peer.name.clone(),
            address: greeted.peer.seen,
            contacts: match &reception {
                Reception::Welcomed(welcome) => welcome.contacts.len(),
                Reception::Redirected(redirect) => redirect.contacts.len(),
            },
        };
        let redirected = matches!(reception, Reception::Redirected(_));
        self.tell(Command::Tell(Input::Join)).await?;
        self.tell(Command::Dialled { greeted, reception, purpose }).await?;
        if redirected && self.peers().await.iter().any(|peer| peer.id == report.neighbour) {
            return Ok(report); // we are linked: its own dial crossed ours
        }
        if redirected && report.contacts == 0 {
            return Err(JoinError::Alone(target));
        }
        // It is our neighbour now; or those that it named are being dialled.
        if !redirected || self.has_neighbour(JOIN_LIMIT).await {
            Ok(report)
        } else {
            Err(JoinError::Full(target))
        }
    }

    /// The addresses of those places that have any.
    pub(super) async fn addresses_of(
        &self,
        places: &[Place],
    ) -> Result<Vec<SocketAddr>, JoinError> {
        let mut found = Vec::new();
        let mut unknown = None;
        for place in places {
            match self.0.ground.network.resolve(&place.host, place.port).await {
                Ok(addresses) => found.extend(addresses),
                Err(source) => {
                    unknown = Some(JoinError::Resolve { place: place.clone(), source });
                }
            }
        }
        found.truncate(MAX_DIALLED);
        match unknown {
            Some(error) if found.is_empty() => Err(error),
            _ => Ok(found),
        }
    }

    async fn join_cached(&self) -> Result<JoinReport, JoinError> {
        let cached = self.ask(Command::Cached).await.ok_or(JoinError::Stopping)?;
        if cached == 0 && self.degree() == 0 {
            return Err(JoinError::NobodyKnown);
        }
        self.tell(Command::Tell(Input::Join)).await?;
        if !self.has_neighbour(JOIN_LIMIT).await {
            return Err(JoinError::NobodyAnswered(cached));
        }
        let first =
            self.peers().await.into_iter().next().ok_or(JoinError::NobodyAnswered(cached))?;
        let address = first.addresses.first().copied();
        Ok(JoinReport {
            neighbour: first.id,
            name: first.name,
            address: address.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0))),
            contacts: 0,
        })
    }

    /// Says bye to all neighbours and stays alone; answers how many they were.
    pub async fn leave(&self) -> usize {
        self.ask(Command::Leave).await.unwrap_or(0)
    }
}

/// Whom a join was for: the place, or who it was when there are several.
fn shown(target: &JoinTarget) -> String {
    match (target.places.as_slice(), target.id) {
        ([place], _) => place.to_string(),
        (places, Some(id)) => format!("{} at any of its {} addresses", id.short(), places.len()),
        (places, None) => places.iter().map(Place::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// [`shown`], with the address that was tried last where it does not show by itself.
fn tried(target: &JoinTarget, source: &DialError) -> String {
    let alone = match target.places.as_slice() {
        [place] => place.host.as_str(),
        _ => "",
    };
    let address = source.address().filter(|address| address.ip().to_string() != alone);
    format!("{}{}", shown(target), address.map(|a| format!(" ({a})")).unwrap_or_default())
}

/// What a name server said, without the name of the function that asked it.
fn lookup(error: &io::Error) -> String {
    let text = error.to_string();
    text.rsplit(": ").next().map(str::to_owned).unwrap_or(text)
}

//! Coming to a source: by dialling it, or, where that fails, by asking it to dial us.
//!
//! Always true: a token is random, names one source, is good for one connection, and is
//! forgotten after [`CALL_WAIT`]; at most [`MAX_CALLS`] are awaited. A connection that shows
//! another token, or comes from anybody else than the source, is closed without a word and
//! changes nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep, timeout};

use super::admission::Pass;
use super::dial::{self, DialError};
use super::driver::Command;
use super::greeting::{Greeted, Reception, answer};
use super::ground::Ground;
use super::listen::{Arrival, DEFAULT_PORT};
use super::searching::random;
use crate::base::{Contact, Guid, ServentId};
use crate::message::{CallMe, Greeting, Purpose, Welcome};
use crate::overlay::{self, Input};

/// How long a source that was called has to dial us: the way there, a connection that takes
/// all its time, and a greeting.
pub(super) const CALL_WAIT: Duration = Duration::from_secs(15);
/// Calls that wait for their answers: no more than a neighbour takes at once.
pub(super) const MAX_CALLS: usize = overlay::config::CALL_BURST as usize;

/// Why a source is not dialled that others have led us to in vain.
const LEFT_IN_PEACE: &str =
    "too many dials to its neighbourhood were in vain; it is left in peace for a minute";

/// How long who says that nobody can dial it has to call back before it is dialled as well.
const CALL_HEAD_START: Duration = Duration::from_secs(2);

type Token = [u8; 16];

/// The calls that wait for an answer, by token.
#[derive(Default)]
pub(super) struct Calls(Mutex<HashMap<Token, (ServentId, oneshot::Sender<Arrival>)>>);

impl Calls {
    fn with<T>(
        &self,
        f: impl FnOnce(&mut HashMap<Token, (ServentId, oneshot::Sender<Arrival>)>) -> T,
    ) -> T {
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn expect(&self, source: ServentId) -> Option<(Token, oneshot::Receiver<Arrival>)> {
        let token = random()?;
        let (answer, answered) = oneshot::channel();
        self.with(|calls| {
            calls.retain(|_, (_, answer)| !answer.is_closed());
            (calls.len() < MAX_CALLS).then(|| calls.insert(token, (source, answer)))
        })?;
        Some((token, answered))
    }

    /// Hands a connection that shows `token` to who waits for it; false when nobody does.
    pub(super) fn take(&self, token: Token, arrival: Arrival) -> bool {
        let from = arrival.greeted.peer.contact.id;
        let waiting = self.with(|calls| {
            // Who saw the token pass by does not use it up.
            let theirs = calls.get(&token).is_some_and(|(source, _)| *source == from);
            if theirs { calls.remove(&token) } else { None }
        });
        waiting.is_some_and(|(_, answer)| answer.send(arrival).is_ok())
    }

    /// The call with this token went nowhere.
    pub(super) fn unsent(&self, token: Token) {
        self.with(|calls| calls.remove(&token));
    }
}

/// A source, and how to come to it.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Approach {
    pub(super) addresses: Vec<SocketAddr>,
    /// The search that found it, whose way back a call can take.
    pub(super) way: Option<Guid>,
    /// Whether it says that nobody can dial it.
    pub(super) calls_back: bool,
}

/// A connection with a source.
pub(super) struct Reached {
    pub(super) greeted: Greeted,
    /// Its place among those that came in, if it came in.
    pub(super) pass: Option<Pass>,
}

/// Why a source was not called, or did not call back; phrases about "it".
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error(
        "it cannot be dialled, and neither can this servent; forward TCP port {0} to this \
         machine, or let the other side do so"
    )]
    Neither(u16),
    #[error("it cannot be dialled, and no way is known any more by which to call it")]
    NoWay,
    #[error("it cannot be dialled, and {MAX_CALLS} others are being waited for already")]
    TooMany,
    #[error("it cannot be dialled, and did not call back within {} s", CALL_WAIT.as_secs())]
    NoAnswer,
}

/// Comes to the source `id` by whatever way it takes; else says why not, as a phrase.
pub(super) async fn approach(
    ground: &Arc<Ground>,
    driver: &mpsc::Sender<Command>,
    id: ServentId,
    approach: &Approach,
) -> Result<Reached, String> {
    let Approach { addresses, way, calls_back } = approach;
    let call = call(ground, driver, id, *way);
    let purpose = Purpose::Transfer { token: None };
    let dial = async {
        if *calls_back {
            sleep(CALL_HEAD_START).await;
        }
        let aimed = ground.aim(addresses.clone());
        if aimed.is_empty() && !addresses.is_empty() {
            return Err((LEFT_IN_PEACE.to_owned(), false));
        }
        match dial::dial(ground, &aimed, Some(id), purpose).await {
            Ok((greeted, Reception::Welcomed(_))) => {
                ground.note_answered(greeted.peer.seen);
                Ok(Reached { greeted, pass: None })
            }
            Ok(_) => Err(("it has no room for another connection".to_owned(), false)),
            Err(error) => Err((undialled(&error), error.is_shut())),
        }
    };
    if !calls_back {
        return match dial.await {
            Ok(reached) => Ok(reached),
            Err((undialled, false)) => Err(undialled),
            Err((undialled, true)) => call.await.map_err(|uncalled| match uncalled {
                CallError::NoWay => undialled,
                uncalled => format!("{undialled}; {uncalled}"),
            }),
        };
    }
    // Somebody else may have said so of it: it is dialled as well.
    tokio::pin!(call, dial);
    tokio::select! {
        called = &mut call => match called {
            Ok(reached) => Ok(reached),
            Err(uncalled) => dial.await.map_err(|_| uncalled.to_string()),
        },
        dialled = &mut dial => match dialled {
            Ok(reached) => Ok(reached),
            Err(_) => call.await.map_err(|uncalled| uncalled.to_string()),
        },
    }
}

fn undialled(error: &DialError) -> String {
    error.address().map_or_else(|| error.to_string(), |address| format!("{address}: {error}"))
}

/// Asks `id` to dial us, by the way of its hit, and welcomes it.
async fn call(
    ground: &Arc<Ground>,
    driver: &mpsc::Sender<Command>,
    id: ServentId,
    way: Option<Guid>,
) -> Result<Reached, CallError> {
    let addresses = ground.addresses();
    if ground.is_undialable() || addresses.is_empty() {
        let port = addresses.first().map_or(DEFAULT_PORT, SocketAddr::port);
        return Err(CallError::Neither(port));
    }
    let guid = way.ok_or(CallError::NoWay)?;
    let (token, answered) = ground.calls.expect(id).ok_or(CallError::TooMany)?;
    let asker = Contact::new(ground.id, addresses);
    let call = CallMe { guid, responder: id, asker, token, ext: Vec::new() };
    let sent = driver.send(Command::Tell(Input::Call(call))).await;
    sent.map_err(|_| CallError::NoWay)?;
    let arrival = timeout(CALL_WAIT, answered).await;
    // Closed without an answer: it was not sent.
    let arrival = arrival.map_err(|_| CallError::NoAnswer)?.map_err(|_| CallError::NoWay)?;
    let Arrival { mut greeted, pass, .. } = arrival;
    let your_address = greeted.peer.seen;
    let welcome = Welcome { your_address, contacts: Vec::new(), ext: Vec::new() };
    let welcomed = answer(&mut greeted.stream, &Greeting::Welcome(welcome)).await;
    welcomed.map_err(|_| CallError::NoAnswer)?;
    Ok(Reached { greeted, pass })
}

//! Dialling those who call us, and serving them.
//!
//! A call is a stranger's word, and the engine has let it through: here at most
//! [`MAX_SERVED`] such connections stand at once, and none while nothing is served.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use super::dial;
use super::greeting::Reception;
use super::ground::Ground;
use super::listen::Arrival;
use super::serve;
use super::slots::Uploads;
use crate::base::Contact;
use crate::message::Purpose;
use crate::overlay::{Input, config};
use crate::share::Library;

/// Calls that wait to be answered: as many as the engine has under way.
pub(super) const QUEUE: usize = config::MAX_CALLING;
/// Connections to callers that stand at once; who calls on top of them is not dialled.
pub(super) const MAX_SERVED: usize = 32;

/// Somebody to dial, and what to show it.
pub(super) type Caller = (Contact, [u8; 16]);

/// Answers calls until the driver is gone.
pub(super) async fn run(
    ground: Arc<Ground>,
    library: Library,
    uploads: Arc<Uploads>,
    driver: mpsc::Sender<Input>,
    mut callers: mpsc::Receiver<Caller>,
) {
    let places = Arc::new(Semaphore::new(MAX_SERVED));
    while let Some((contact, token)) = callers.recv().await {
        let place = Arc::clone(&places).try_acquire_owned();
        let (library, uploads, driver) = (library.clone(), Arc::clone(&uploads), driver.clone());
        let on = Arc::clone(&ground);
        ground.spawn(async move {
            let seen = match place {
                Ok(place) if on.panel.now().serve => {
                    let purpose = Purpose::Transfer { token: Some(token) };
                    let dial = dial::dial(&on, &contact.addresses, Some(contact.id), purpose);
                    match on.stop.clone().run_until_cancelled(dial).await {
                        Some(Ok((greeted, Reception::Welcomed(_)))) => {
                            let seen = Some(greeted.peer.seen);
                            let _ = driver.send(Input::Called { seen }).await;
                            let arrival = Arrival { greeted, pass: None, has_place: true };
                            serve::run(on, library, uploads, arrival).await;
                            drop(place);
                            return;
                        }
                        Some(Ok((greeted, Reception::Redirected(_)))) => Some(greeted.peer.seen),
                        Some(Err(error)) => {
                            tracing::debug!(id = %contact.id, %error, "cannot call back");
                            None
                        }
                        None => None,
                    }
                }
                _ => None,
            };
            let _ = driver.send(Input::Called { seen }).await;
        });
    }
}

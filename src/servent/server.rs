//! The server task: takes connections in, and hands each to who it is for.

use std::sync::Arc;

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::driver::Command;
use super::greeting::answer;
use super::ground::Ground;
use super::listen::{self, Arrival};
use super::network::Listener;
use super::serve;
use super::slots::Uploads;
use crate::message::{Greeting, Purpose, Redirect, Welcome};
use crate::overlay::Input;
use crate::share::Library;

/// Runs until the servent stops.
pub(super) async fn run(
    ground: Arc<Ground>,
    listener: Box<dyn Listener>,
    library: Library,
    uploads: Arc<Uploads>,
    driver: mpsc::Sender<Command>,
) {
    let take = {
        let ground = Arc::clone(&ground);
        move |arrival: Arrival| {
            let (ground, driver) = (Arc::clone(&ground), driver.clone());
            let (library, uploads) = (library.clone(), Arc::clone(&uploads));
            Arc::clone(&ground).spawn(async move {
                if let Purpose::Transfer { token } = arrival.greeted.hello.purpose {
                    let peer = &arrival.greeted.peer;
                    let reached = Input::Reached { by: peer.contact.id, from: peer.seen.ip() };
                    let _ = driver.send(Command::Tell(reached)).await;
                    match token {
                        Some(token) if arrival.has_place => {
                            if !ground.calls.take(token, arrival) {
                                tracing::debug!("a call back that nobody waits for");
                            }
                        }
                        _ => give(ground, library, uploads, arrival).await,
                    }
                } else {
                    // A servent that is stopping takes nobody in.
                    let _ = driver.send(Command::Arrived(arrival)).await;
                }
            });
        }
    };
    listen::run(ground, listener, take).await;
}

async fn give(ground: Arc<Ground>, library: Library, uploads: Arc<Uploads>, mut arrival: Arrival) {
    let your_address = arrival.greeted.peer.seen;
    let (contacts, ext) = (Vec::new(), Vec::new());
    if !arrival.has_place {
        let greeting = Greeting::Redirect(Redirect { contacts, ext });
        if answer(&mut arrival.greeted.stream, &greeting).await.is_ok() {
            let _ = arrival.greeted.stream.shutdown().await;
        }
        return;
    }
    let greeting = Greeting::Welcome(Welcome { your_address, contacts, ext });
    if answer(&mut arrival.greeted.stream, &greeting).await.is_ok() {
        serve::run(ground, library, uploads, arrival).await;
    }
}

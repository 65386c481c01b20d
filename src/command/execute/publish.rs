//! `publish` and `unpublish`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::{Local, Out};
use crate::base::{ContentId, FileName};
use crate::command::{Exit, Order, Reply};

/// How many progress messages of a publication may wait to be shown.
const PROGRESS_QUEUE: usize = 8;
/// How often it is told how far it is: small files are hashed by the thousand a second.
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

impl Local {
    pub(super) async fn publish(
        &self,
        paths: &[PathBuf],
        name: Option<FileName>,
        yes: bool,
        order: &Order,
        out: Out<'_>,
    ) -> Exit {
        if name.is_some() && paths.len() > 1 {
            return out.fail(Exit::Usage, &"publish --as NAME takes one file").await;
        }
        let mut exit = Exit::Done;
        for path in paths {
            let path = match self.absolute(path, order) {
                Ok(path) => path,
                Err(why) => return out.fail(Exit::Usage, &why).await,
            };
            let (sender, mut progress) = mpsc::channel(PROGRESS_QUEUE);
            let publishing = async {
                match name.clone() {
                    Some(name) => self.servent.publish_as(path.clone(), name, sender).await,
                    None => self.servent.publish(path.clone(), yes, sender).await,
                }
            };
            let showing = async {
                let mut ticks = interval(PROGRESS_EVERY);
                ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
                let mut latest = None;
                loop {
                    tokio::select! {
                        biased;
                        _ = ticks.tick(), if latest.is_some() => {
                            if let Some(step) = latest.take() {
                                out.say(Reply::Publishing(step)).await;
                            }
                        }
                        step = progress.recv() => match step {
                            Some(step) => latest = Some(step),
                            None => break,
                        },
                    }
                }
            };
            // Both end together: the sender goes with the publication.
            let (published, ()) = tokio::join!(publishing, showing);
            match published {
                Ok(report) => {
                    out.say(Reply::Published { path: path.display().to_string(), report }).await;
                }
                Err(error) => exit = out.fail(Exit::Failed, &error).await,
            }
        }
        exit
    }

    pub(super) async fn unpublish(&self, what: &str, order: &Order, out: Out<'_>) -> Exit {
        let what = match what.to_ascii_lowercase().parse::<ContentId>() {
            Ok(id) => id.to_string(),
            Err(_) => match self.absolute(Path::new(what), order) {
                Ok(path) => path.display().to_string(),
                Err(why) => return out.fail(Exit::Usage, &why).await,
            },
        };
        match self.servent.unpublish(what).await {
            Ok(report) => self.done(Reply::Unpublished(report), out).await,
            Err(error) => out.fail(Exit::Failed, &error).await,
        }
    }
}

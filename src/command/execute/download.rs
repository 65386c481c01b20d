//! `download`, `link`, `pause`, `resume`, `cancel`, and `wait` for the end.

use std::sync::PoisonError;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{MissedTickBehavior, interval};

use super::{Local, Out};
use crate::command::grammar::Which;
use crate::command::{Exit, Order, Reply};
use crate::servent::report::{DownloadReport, DownloadRequest, DownloadState, LinkTarget};

/// How often a download that is waited for tells how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// The same, where somebody looks at a bar.
const BAR_EVERY: Duration = Duration::from_millis(250);

impl Local {
    pub(super) async fn download(
        &self,
        request: DownloadRequest,
        wait: bool,
        order: &Order,
        out: Out<'_>,
    ) -> Exit {
        match self.servent.download(request).await {
            Ok(report) => {
                let number = report.number;
                let over = report.state.is_over();
                if !over || !wait {
                    out.say(Reply::Download(report)).await;
                }
                if wait { self.see_out(number, order, out).await } else { Exit::Done }
            }
            Err(error) => out.fail(Exit::Failed, &error).await,
        }
    }

    pub(super) async fn downloads(&self, number: Option<usize>, out: Out<'_>) -> Exit {
        let downloads = self.servent.downloads().await;
        let Some(number) = number else {
            return self.done(Reply::Downloads { downloads }, out).await;
        };
        match downloads.into_iter().find(|report| report.number == number) {
            Some(report) => self.done(Reply::DownloadSources(report), out).await,
            None => out.fail(Exit::Failed, &unknown(number)).await,
        }
    }

    pub(super) async fn link(&self, target: LinkTarget, as_magnet: bool, out: Out<'_>) -> Exit {
        match self.servent.link(target, as_magnet).await {
            Ok(link) => self.done(Reply::Link(link), out).await,
            Err(error) => out.fail(Exit::Failed, &error).await,
        }
    }

    pub(super) async fn wait(&self, number: Option<usize>, order: &Order, out: Out<'_>) -> Exit {
        if let Some(number) = number {
            return self.see_out(number, order, out).await;
        }
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut wanted = self.servent.downloads().await;
        // Like a shell's `wait`: a script must hear of a download that failed before
        // the script came to wait for it. A person has read it in the news.
        // Who cancelled one was told then, and one that is paused may never end.
        let paused = wanted.iter().filter(|report| report.state == DownloadState::Paused).count();
        wanted.retain(|report| match report.state {
            DownloadState::Paused | DownloadState::Cancelled { .. } => false,
            _ if report.state.is_over() => {
                let known = told.contains(&report.number);
                order.scripted && !known && !self.servent.failed_before(report.number)
            }
            _ => true,
        });
        if wanted.is_empty() && paused > 0 {
            let text = "only paused downloads are left; 'resume all' lets them go on";
            return out.fail(Exit::Failed, &text).await;
        }
        if wanted.is_empty() {
            let text = "no download is running".to_owned();
            return self.done(Reply::Notice { text }, out).await;
        }
        let mut exit = Exit::Done;
        let seen_out = wanted.iter().map(|report| self.see_out(report.number, order, out));
        let mut ends: FuturesUnordered<_> = seen_out.collect();
        while let Some(ended) = ends.next().await {
            exit = ended.or_earlier(exit);
        }
        exit
    }

    /// Waits until download `number` is over, telling how far it is; says how it ended. A
    /// person reads in the news why it stands still, a script is told here.
    async fn see_out(&self, number: usize, order: &Order, out: Out<'_>) -> Exit {
        let ended = self.servent.download_ended(number);
        tokio::pin!(ended);
        let mut ticks = interval(if order.scripted { PROGRESS_EVERY } else { BAR_EVERY });
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        if order.scripted {
            // The first tick comes at once, and there is nothing to tell yet.
            ticks.tick().await;
        }
        let mut waited = false;
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut ended => break ended,
                _ = ticks.tick() => {
                    let all = self.servent.downloads().await;
                    let Some(report) = all.into_iter().find(|report| report.number == number)
                    else {
                        continue;
                    };
                    let waits = matches!(report.state, DownloadState::Waiting { .. });
                    let begins = waits && !std::mem::replace(&mut waited, waits);
                    out.say(match order.scripted && begins {
                        true => Reply::Download(report),
                        false => Reply::Progress(report),
                    })
                    .await;
                }
            }
        };
        let Some(report) = ended else {
            return out.fail(Exit::Failed, &unknown(number)).await;
        };
        if report.state == DownloadState::Paused {
            let text = format!("download {number} is paused; 'resume {number}' lets it go on");
            return out.fail(Exit::Failed, &text).await;
        }
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        let done = matches!(report.state, DownloadState::Done { .. });
        out.say(Reply::Download(report)).await;
        if done { Exit::Done } else { Exit::Failed }
    }

    pub(super) async fn pause(&self, which: Which, out: Out<'_>) -> Exit {
        match self.servent.pause(which.number()).await {
            Ok(downloads) => self.done(Reply::Paused { downloads }, out).await,
            Err(error) => out.fail(Exit::Failed, &error).await,
        }
    }

    pub(super) async fn resume(&self, which: Which, out: Out<'_>) -> Exit {
        match self.servent.resume(which.number()).await {
            Ok(downloads) => self.done(Reply::Resumed { downloads }, out).await,
            Err(error) => out.fail(Exit::Failed, &error).await,
        }
    }

    pub(super) async fn cancel(&self, which: Which, out: Out<'_>) -> Exit {
        match self.servent.cancel(which.number()).await {
            Ok(downloads) => {
                let failed =
                    |report: &DownloadReport| matches!(report.state, DownloadState::Failed { .. });
                let exit = if downloads.iter().any(failed) { Exit::Failed } else { Exit::Done };
                out.say(Reply::Cancelled { downloads }).await;
                exit
            }
            Err(error) => out.fail(Exit::Failed, &error).await,
        }
    }
}

fn unknown(number: usize) -> String {
    format!("there is no download {number}; 'downloads' lists them")
}

//! Commands carried out on a servent in this process.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::grammar::{self, Command, Switch};
use super::{Console, Exit, Order, Reply};
use crate::base::ContentId;
use crate::servent::report::{
    DownloadReport, DownloadRequest, DownloadState, News, Reach, SearchEvent, SearchRequest,
};
use crate::servent::{JoinTarget, SearchError, Servent};

/// How long the first command of a script that needs the mesh waits for a neighbour: a
/// dial that must try a second address takes a few seconds.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// How often a download that is waited for tells how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
/// How many progress messages of a publication may wait to be shown.
const PROGRESS_QUEUE: usize = 8;

/// The servent of this process, as a [`Console`].
pub struct Local {
    servent: Servent,
    home: Option<PathBuf>,
    quitting: CancellationToken,
    /// Whether neighbours that come and go are told of.
    news_on: AtomicBool,
    /// Whether some command has waited for a neighbour already.
    waited: AtomicBool,
    /// Downloads whose end a waiting command has told.
    told: Mutex<BTreeSet<usize>>,
}

/// Where replies go. A front that no longer listens is no reason to stop: what was
/// asked for is still done.
#[derive(Clone, Copy)]
struct Out<'a>(&'a mpsc::Sender<Reply>);

impl Out<'_> {
    async fn say(&self, reply: Reply) {
        let _ = self.0.send(reply).await;
    }

    async fn fail(&self, kind: Exit, text: &(impl ToString + Sync)) -> Exit {
        self.say(Reply::error(kind, text)).await;
        kind
    }
}

impl Local {
    /// A console of `servent`; `~` in paths is `home`.
    #[must_use]
    pub fn new(servent: Servent, home: Option<PathBuf>) -> Self {
        Self {
            servent,
            home,
            quitting: CancellationToken::new(),
            news_on: AtomicBool::new(false),
            waited: AtomicBool::new(false),
            told: Mutex::default(),
        }
    }

    async fn execute(&self, command: Command, order: &Order, out: Out<'_>) -> Exit {
        match command {
            Command::Join { address } => self.join(address, out).await,
            Command::Leave => {
                let neighbours = self.servent.leave().await;
                self.done(Reply::Left { neighbours }, out).await
            }
            Command::Peers { known } => {
                let peers = match known {
                    true => self.servent.known().await,
                    false => self.servent.peers().await,
                };
                self.done(Reply::Peers { known, peers }, out).await
            }
            Command::Search { all, ttl, max, words } => {
                let reach = match ttl {
                    Some(ttl) => Reach::Ttl(ttl),
                    None if all => Reach::All,
                    None => Reach::Rings,
                };
                self.wait_for_mesh(order).await;
                self.search(SearchRequest { text: words, reach, enough: max }, out).await
            }
            Command::Results { number } => self.results(number, out).await,
            Command::Publish { paths, yes } => self.publish(&paths, yes, order, out).await,
            Command::Unpublish { what } => self.unpublish(&what, order, out).await,
            Command::Shared => {
                let files = self.servent.shared().await;
                self.done(Reply::Shared { files }, out).await
            }
            Command::Download { wait, once, to, what } => {
                let to = match to.map(|to| self.absolute(&to, order)).transpose() {
                    Ok(to) => to,
                    Err(why) => return out.fail(Exit::Usage, &why).await,
                };
                self.wait_for_mesh(order).await;
                let request = DownloadRequest { target: what, to, once };
                self.download(request, wait, order, out).await
            }
            Command::Downloads => {
                let downloads = self.servent.downloads().await;
                self.done(Reply::Downloads { downloads }, out).await
            }
            Command::Status => {
                let status = self.servent.status().await;
                self.done(Reply::Status(status), out).await
            }
            Command::News { switch } => {
                let on = switch == Switch::On;
                self.news_on.store(on, Ordering::Relaxed);
                self.done(Reply::NewsSwitch { on }, out).await
            }
            Command::Wait { number } => self.wait(number, order, out).await,
            Command::Help { command } => match grammar::help(command.as_deref()) {
                Ok(text) => self.done(Reply::Help { text }, out).await,
                Err(error) => out.fail(Exit::Usage, &error).await,
            },
            Command::Quit => {
                let status = self.servent.status().await;
                let (downloads, uploads) = (status.downloads, status.uploads);
                out.say(Reply::Stopping { downloads, uploads }).await;
                self.quitting.cancel();
                Exit::Done
            }
        }
    }

    async fn done(&self, reply: Reply, out: Out<'_>) -> Exit {
        out.say(reply).await;
        Exit::Done
    }

    /// A script has nobody who would type the command again a second later, so the first
    /// command that needs the mesh gives the links time to come up.
    async fn wait_for_mesh(&self, order: &Order) {
        if order.scripted && !self.waited.load(Ordering::Relaxed) {
            self.servent.has_neighbour(PATIENCE).await;
            self.waited.store(true, Ordering::Relaxed);
        }
    }

    async fn join(&self, target: Option<JoinTarget>, out: Out<'_>) -> Exit {
        match self.servent.join(target).await {
            Ok(report) => self.done(Reply::Joined(report), out).await,
            Err(error) => out.fail(Exit::Failed, &error).await,
        }
    }

    async fn search(&self, request: SearchRequest, out: Out<'_>) -> Exit {
        let mut events = match self.servent.search(request).await {
            Ok(events) => events,
            Err(error @ (SearchError::Query(_) | SearchError::Ttl(_))) => {
                return out.fail(Exit::Usage, &error).await;
            }
            Err(error) => return out.fail(Exit::Failed, &error).await,
        };
        while let Some(event) = events.recv().await {
            match event {
                SearchEvent::Hit(hit) => out.say(Reply::Hit(hit)).await,
                SearchEvent::End(end) => {
                    let exit = match end.files {
                        0 if end.by_timer => Exit::TimedOut,
                        // Only who asked somebody may say that nobody has it.
                        0 if end.asked == 0 => Exit::Failed,
                        0 => Exit::NothingFound,
                        _ => Exit::Done,
                    };
                    out.say(Reply::SearchEnd(end)).await;
                    return exit;
                }
            }
        }
        out.fail(Exit::Failed, &"the search was given up; another one took its place").await
    }

    async fn results(&self, number: Option<usize>, out: Out<'_>) -> Exit {
        let results = self.servent.results().await;
        let Some(number) = number else {
            return self.done(Reply::Results { results }, out).await;
        };
        let found = results.len();
        match results.into_iter().find(|result| result.number == number) {
            Some(result) => self.done(Reply::Result(result), out).await,
            None if found == 0 => {
                out.fail(Exit::Failed, &"there are no results; 'search WORDS' finds some").await
            }
            None => {
                let text = format!("there is no result {number}; the latest search found {found}");
                out.fail(Exit::Failed, &text).await
            }
        }
    }

    async fn publish(&self, paths: &[PathBuf], yes: bool, order: &Order, out: Out<'_>) -> Exit {
        let mut exit = Exit::Done;
        for path in paths {
            let path = match self.absolute(path, order) {
                Ok(path) => path,
                Err(why) => return out.fail(Exit::Usage, &why).await,
            };
            let (sender, mut progress) = mpsc::channel(PROGRESS_QUEUE);
            let publishing = self.servent.publish(path.clone(), yes, sender);
            let showing = async {
                while let Some(step) = progress.recv().await {
                    out.say(Reply::Publishing(step)).await;
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

    async fn unpublish(&self, what: &str, order: &Order, out: Out<'_>) -> Exit {
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

    async fn download(
        &self,
        request: DownloadRequest,
        wait: bool,
        order: &Order,
        out: Out<'_>,
    ) -> Exit {
        match self.servent.download(request).await {
            Ok(report) => {
                let number = report.number;
                let over = is_over(&report);
                if !over || !wait {
                    out.say(Reply::Download(report)).await;
                }
                if wait { self.see_out(number, order, out).await } else { Exit::Done }
            }
            Err(error) => out.fail(Exit::Failed, &error).await,
        }
    }

    async fn wait(&self, number: Option<usize>, order: &Order, out: Out<'_>) -> Exit {
        if let Some(number) = number {
            return self.see_out(number, order, out).await;
        }
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut wanted = self.servent.downloads().await;
        // Like a shell's `wait`: a script must hear of a download that failed before
        // the script came to wait for it. A person has read it in the news.
        wanted.retain(|report| {
            !is_over(report) || (order.scripted && !told.contains(&report.number))
        });
        if wanted.is_empty() {
            let text = "no download is running".to_owned();
            return self.done(Reply::Notice { text }, out).await;
        }
        let mut exit = Exit::Done;
        for report in wanted {
            exit = self.see_out(report.number, order, out).await.or_earlier(exit);
        }
        exit
    }

    /// Waits until download `number` is over, telling how far it is; says how it ended. A
    /// person reads in the news why it stands still, a script is told here.
    async fn see_out(&self, number: usize, order: &Order, out: Out<'_>) -> Exit {
        let ended = self.servent.download_ended(number);
        tokio::pin!(ended);
        let mut ticks = interval(PROGRESS_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick comes at once, and there is nothing to tell yet.
        ticks.tick().await;
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
            let text = format!("there is no download {number}; 'downloads' lists them");
            return out.fail(Exit::Failed, &text).await;
        };
        self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(number);
        let done = matches!(report.state, DownloadState::Done { .. });
        out.say(Reply::Download(report)).await;
        if done { Exit::Done } else { Exit::Failed }
    }

    fn absolute(&self, path: &Path, order: &Order) -> Result<PathBuf, String> {
        absolute(path, order.cwd.as_deref(), self.home.as_deref())
    }
}

impl Console for Local {
    async fn obey(&self, order: Order, out: mpsc::Sender<Reply>) -> Exit {
        let out = Out(&out);
        match grammar::parse(&order.line) {
            Ok(Some(command)) => self.execute(command, &order, out).await,
            Ok(None) => Exit::Done,
            Err(error) => out.fail(Exit::Usage, &error).await,
        }
    }

    fn news(&self) -> broadcast::Receiver<News> {
        self.servent.news()
    }

    fn wants(&self, news: &News) -> bool {
        match news {
            News::NeighbourUp { .. } | News::NeighbourDown { .. } => {
                self.news_on.load(Ordering::Relaxed)
            }
            _ => true,
        }
    }

    fn quitting(&self) -> CancellationToken {
        self.quitting.clone()
    }
}

fn is_over(report: &DownloadReport) -> bool {
    matches!(report.state, DownloadState::Done { .. } | DownloadState::Failed { .. })
}

/// `path` from the root on, without `.` and `..`: `~` at its beginning is `home`, and a
/// relative path begins at `cwd`. Links are left as they are.
fn absolute(path: &Path, cwd: Option<&Path>, home: Option<&Path>) -> Result<PathBuf, String> {
    let shown = path.display();
    let whole = if let Ok(rest) = path.strip_prefix("~") {
        home.ok_or_else(|| format!("'{shown}': there is no home folder for '~'"))?.join(rest)
    } else if path.is_absolute() {
        path.to_owned()
    } else {
        cwd.ok_or_else(|| format!("'{shown}' must be a path from the root on"))?.join(path)
    };
    let mut plain = PathBuf::new();
    for component in whole.components() {
        match component {
            Component::CurDir => {}
            // By name, as a shell's `cd` takes it.
            Component::ParentDir => {
                plain.pop();
            }
            other => plain.push(other),
        }
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_where_the_front_stands() {
        let cwd = Path::new("/home/ann/here");
        let home = Path::new("/home/ann");
        let from = |path: &str| absolute(Path::new(path), Some(cwd), Some(home)).unwrap();
        assert_eq!(from("a b"), Path::new("/home/ann/here/a b"));
        assert_eq!(from("."), cwd);
        assert_eq!(from("../x/./y"), Path::new("/home/ann/x/y"));
        assert_eq!(from("../../../.."), Path::new("/"));
        assert_eq!(from("/etc"), Path::new("/etc"));
        assert_eq!(from("~"), home);
        assert_eq!(from("~/Music"), Path::new("/home/ann/Music"));
        assert_eq!(from("~bob"), Path::new("/home/ann/here/~bob"));
        assert_eq!(from("./~"), Path::new("/home/ann/here/~"));
    }

    #[test]
    fn a_path_that_begins_nowhere_is_refused() {
        assert!(absolute(Path::new("x"), None, None).unwrap_err().contains("'x'"));
        assert!(absolute(Path::new("~/x"), None, None).unwrap_err().contains("home"));
    }
}

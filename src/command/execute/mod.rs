//! Commands carried out on a servent in this process.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc};
use tokio_util::sync::CancellationToken;

use super::grammar::{self, Command, Switch, Telling};
use super::{Console, Exit, Order, Reply};
use crate::servent::report::{
    BrowseRequest, DownloadRequest, DownloadTarget, LinkTarget, News, Reach, SearchRequest,
    SharedRequest, Whom,
};
use crate::servent::{Knob, Servent};

mod browse;
mod download;
mod map;
mod mesh;
mod news;
mod path;
mod publish;
mod search;
mod setting;
mod shared;

/// How long the first command of a script that needs the mesh waits for a neighbour: a
/// dial that must try a second address takes a few seconds.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// The servent of this process, as a [`Console`].
pub struct Local {
    servent: Servent,
    home: Option<PathBuf>,
    quitting: CancellationToken,
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
            waited: AtomicBool::new(false),
            told: Mutex::default(),
        }
    }

    async fn execute(&self, command: Command, order: &Order, out: Out<'_>) -> Exit {
        match command {
            Command::Join { address } => self.join(address, out).await,
            Command::Invite { qr, key } => self.invite(qr, key, out).await,
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
            Command::Search { all, ttl, max, trace, words } => {
                let reach = match ttl {
                    Some(ttl) => Reach::Ttl(ttl),
                    None if all => Reach::All,
                    None => Reach::Rings,
                };
                self.wait_for_mesh(order).await;
                self.search(SearchRequest { text: words, reach, enough: max, trace }, out).await
            }
            Command::Map { file } => self.map(file, order, out).await,
            Command::Results { sort, which } => self.results(sort, which.as_deref(), out).await,
            Command::Browse { page, peer, folder } => {
                // Who is named by an address is found without the mesh.
                if matches!(peer, Whom::Named(_)) {
                    self.wait_for_mesh(order).await;
                }
                self.browse(BrowseRequest { whom: peer, folder, page }, out).await
            }
            Command::Wanted { show, forget, words } => self.wanted(show, forget, words, out).await,
            Command::Publish { name, paths, yes } => {
                self.publish(&paths, name, yes, order, out).await
            }
            Command::Unpublish { what } => self.unpublish(&what, order, out).await,
            Command::Shared { folder, sort, page, lines, words } => {
                let folder = match folder.map(|path| self.absolute(&path, order)).transpose() {
                    Ok(folder) => folder,
                    Err(why) => return out.fail(Exit::Usage, &why).await,
                };
                let request = SharedRequest { folder, words, order: sort.into() };
                let whole = order.scripted && page.is_none() && lines.is_none();
                let page = (!whole).then(|| (page.unwrap_or(1), lines));
                self.shared(request, page, out).await
            }
            Command::Download { wait, once, to, priority, what } => {
                let to = match to.map(|to| self.absolute(&to, order)).transpose() {
                    Ok(to) => to,
                    Err(why) => return out.fail(Exit::Usage, &why).await,
                };
                // Whom a link names is dialled without the mesh.
                if !matches!(&what, DownloadTarget::Link(link) if !link.peers.is_empty()) {
                    self.wait_for_mesh(order).await;
                }
                let request = DownloadRequest { target: what, to, once, priority };
                self.download(request, wait, order, out).await
            }
            Command::Downloads { number } => self.downloads(number, out).await,
            Command::Link { magnet, what } => {
                let what = match what {
                    LinkTarget::Path(path) => self.absolute(&path, order).map(LinkTarget::Path),
                    known => Ok(known),
                };
                match what {
                    Ok(what) => self.link(what, magnet, out).await,
                    Err(why) => out.fail(Exit::Usage, &why).await,
                }
            }
            Command::Pause { which } => self.pause(which, out).await,
            Command::Resume { which } => self.resume(which, out).await,
            Command::Cancel { which } => self.cancel(which, out).await,
            Command::Uploads => {
                let uploads = self.servent.uploads().await;
                self.done(Reply::Uploads { uploads }, out).await
            }
            Command::Priority { number, priority } => {
                match self.servent.set_priority(number, priority).await {
                    Ok(report) => self.done(Reply::Priority(report), out).await,
                    Err(error) => out.fail(Exit::Failed, &error).await,
                }
            }
            Command::Status => {
                let status = self.servent.status().await;
                self.done(Reply::Status(status), out).await
            }
            Command::Set { key, forget, value } => {
                let value = (!value.is_empty()).then(|| value.join(" "));
                self.set(key, value.as_deref(), forget, out).await
            }
            Command::Serve { switch } => self.switch(Knob::Serve, switch == Switch::On, out).await,
            Command::News { telling: Telling::Follow } => self.follow(out).await,
            Command::News { telling } => self.switch(Knob::News, telling == Telling::On, out).await,
            Command::Limits => {
                self.done(Reply::Limits { limits: self.servent.limits() }, out).await
            }
            Command::Wait { number } => self.wait(number, order, out).await,
            Command::Help { command } => match grammar::help(command.as_deref()) {
                Ok(text) => self.done(Reply::Help { text }, out).await,
                Err(error) => out.fail(Exit::Usage, &error).await,
            },
            Command::Quit { stop: _ } => {
                let status = self.servent.status().await;
                let (downloads, uploads) = (status.downloads, status.uploads);
                let resumed = self.servent.is_kept();
                out.say(Reply::Stopping { downloads, uploads, resumed }).await;
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
            News::NeighbourUp { .. } | News::NeighbourDown { .. } => self.servent.tuning().news,
            _ => true,
        }
    }

    fn quitting(&self) -> CancellationToken {
        self.quitting.clone()
    }
}

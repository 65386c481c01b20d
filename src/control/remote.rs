//! A servent in another process, as a [`Console`]: what an attached prompt drives.
//!
//! Its news come over a connection of their own, by `news follow`; as long as that one
//! stands, the servent runs. What concerns this front alone is settled here and never
//! reaches the servent: whether it shows neighbours that come and go, and `quit`, which
//! only leaves. `quit --stop` stops the servent.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::client::{AskError, ask};
use crate::command::grammar::{self, Command, Telling};
use crate::command::{Console, Exit, Order, Reply};
use crate::servent::report::News;

/// How many news wait for a front that is slow; then the oldest are dropped and counted.
const NEWS_BACKLOG: usize = 256;
/// How many replies to `news follow` wait to be passed on.
const REPLY_QUEUE: usize = 64;

/// The running servent of a state folder.
pub struct Remote {
    state: PathBuf,
    news: broadcast::Sender<News>,
    /// Whether neighbours that come and go are told of, at this front.
    news_on: AtomicBool,
    quitting: CancellationToken,
    /// Whether this front asked the servent to stop.
    stopping: AtomicBool,
    /// Whether the servent went away by itself.
    lost: AtomicBool,
}

impl Remote {
    /// Attaches to the servent of the state folder `state`.
    ///
    /// # Errors
    /// [`AskError`], when no servent answers there, or none that tells its news.
    pub async fn attach(state: &Path) -> Result<Arc<Self>, AskError> {
        let remote = Arc::new(Self {
            state: state.to_owned(),
            news: broadcast::channel(NEWS_BACKLOG).0,
            news_on: AtomicBool::new(false),
            quitting: CancellationToken::new(),
            stopping: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        });
        let (attached, attaching) = oneshot::channel();
        tokio::spawn(Arc::clone(&remote).listen(attached));
        match attaching.await {
            Ok(Ok(())) => {
                remote.read_news_setting().await;
                Ok(remote)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(AskError::NoServent(state.to_owned())),
        }
    }

    /// Begins as the servent's own prompt would: with what `set news` says there.
    async fn read_news_setting(&self) {
        let (sender, mut replies) = mpsc::channel(REPLY_QUEUE);
        let order = Order { line: "set news".to_owned(), cwd: None, scripted: true };
        let _ = ask(&self.state, &order, &sender).await;
        drop(sender);
        while let Some(reply) = replies.recv().await {
            if let Reply::Setting(setting) = reply {
                self.news_on.store(setting.value == "on", Ordering::Relaxed);
            }
        }
    }

    /// Whether the servent stopped, or died, without being asked to from here.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire) && !self.stopping.load(Ordering::Acquire)
    }

    /// Passes the news on until the front leaves or the servent is gone. A connection that
    /// breaks proves nothing yet (a stopped front does not read for too long), so another
    /// one is tried.
    async fn listen(self: Arc<Self>, attached: oneshot::Sender<Result<(), AskError>>) {
        let mut attached = Some(attached);
        let mut again = false;
        loop {
            let heard = tokio::select! {
                biased;
                () = self.quitting.cancelled() => return,
                heard = self.follow(again, &mut attached) => heard,
            };
            if let Err(error) = heard {
                if let Some(attached) = attached.take() {
                    let _ = attached.send(Err(error));
                }
                break;
            }
            again = true;
        }
        self.lost.store(true, Ordering::Release);
        self.quitting.cancel();
    }

    /// One connection of news, until it breaks.
    ///
    /// # Errors
    /// When it never began, or ended as the servent ends it.
    async fn follow(
        &self,
        again: bool,
        attached: &mut Option<oneshot::Sender<Result<(), AskError>>>,
    ) -> Result<(), AskError> {
        let order = Order { line: "news follow".to_owned(), cwd: None, scripted: true };
        let (sender, mut replies) = mpsc::channel(REPLY_QUEUE);
        let asking = async move { ask(&self.state, &order, &sender).await };
        let mut begun = false;
        let mut refusal = None;
        let hearing = async {
            while let Some(reply) = replies.recv().await {
                match reply {
                    Reply::News { news } => {
                        // Nobody listens yet, or any more.
                        let _ = self.news.send(news);
                    }
                    Reply::Notice { .. } if !begun => {
                        begun = true;
                        if let Some(attached) = attached.take() {
                            let _ = attached.send(Ok(()));
                        }
                        if again {
                            let text = "the connection to the servent broke and is back; \
                                        some news are missing";
                            let _ = self.news.send(News::Notice { text: text.to_owned() });
                        }
                    }
                    Reply::Notice { text } => {
                        let _ = self.news.send(News::Notice { text });
                    }
                    Reply::Error { text, .. } => refusal = Some(text),
                    _ => {}
                }
            }
        };
        let (asked, ()) = tokio::join!(asking, hearing);
        match (begun, refusal, asked) {
            (true, _, Err(AskError::Broken(_))) => Ok(()),
            (_, _, Err(error)) => Err(error),
            (true, _, Ok(_)) => Err(AskError::NoServent(self.state.clone())),
            (false, refusal, Ok(_)) => Err(AskError::Refused(
                refusal.unwrap_or_else(|| "it is of another version".to_owned()),
            )),
        }
    }

    async fn ask(&self, mut order: Order, out: &mpsc::Sender<Reply>) -> Exit {
        // JSON carries no other paths; relative ones are then refused, in a sentence.
        order.cwd = order.cwd.filter(|cwd| cwd.to_str().is_some());
        match ask(&self.state, &order, out).await {
            Ok(exit) => exit,
            Err(error) => {
                let _ = out.send(Reply::error(error.exit(), &error)).await;
                error.exit()
            }
        }
    }

    async fn stop(&self, order: Order, out: &mpsc::Sender<Reply>) -> Exit {
        self.stopping.store(true, Ordering::Release);
        let exit = self.ask(Order { line: "quit".to_owned(), ..order }, out).await;
        match exit {
            Exit::Done => self.quitting.cancel(),
            _ => self.stopping.store(false, Ordering::Release),
        }
        exit
    }
}

impl Console for Remote {
    async fn obey(&self, order: Order, out: mpsc::Sender<Reply>) -> Exit {
        let reply = match grammar::parse(&order.line) {
            Ok(Some(Command::News { telling: telling @ (Telling::On | Telling::Off) })) => {
                let on = telling == Telling::On;
                self.news_on.store(on, Ordering::Relaxed);
                Reply::NewsSwitch { on }
            }
            Ok(Some(Command::Quit { stop: true })) => return self.stop(order, &out).await,
            Ok(Some(Command::Quit { stop: false })) => {
                self.quitting.cancel();
                let text = "detached; the servent goes on".to_owned();
                Reply::Notice { text }
            }
            // It knows best what its own version understands.
            _ => return self.ask(order, &out).await,
        };
        let _ = out.send(reply).await;
        Exit::Done
    }

    fn news(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
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

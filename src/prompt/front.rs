//! The thread that obeys lines, and the tasks beside it.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::printer::Printer;
use super::terminal;
use crate::base::escape::Escaped;
use crate::command::grammar::{self, Command, Telling};
use crate::command::layout::{count, size};
use crate::command::render::text;
use crate::command::{Console, Exit, Order, Reply, Screen};
use crate::servent::report::News;

/// How many replies wait to be shown; then the command waits.
const REPLY_QUEUE: usize = 256;
/// How long the thread may take to end by itself after `quit`.
const END_TIME: Duration = Duration::from_millis(500);

/// How long to ask for what an interrupted publication has shared.
const STATUS_TIME: Duration = Duration::from_millis(300);

/// What the thread and the tasks share.
#[derive(Default)]
struct Shared {
    running: Option<Running>,
    /// Downloads whose end a command's reply has told: their news would tell it twice.
    told: BTreeSet<usize>,
    /// Whether replies of a command are still being shown: it may be over already.
    is_showing: bool,
    /// News of ends that came meanwhile: one of those replies may tell the same.
    late: Vec<Reply>,
    /// Whether SIGINT came.
    interrupted: bool,
}

/// The command that runs.
struct Running {
    interrupt: CancellationToken,
    /// Where news go meanwhile; nowhere when the command itself tells them.
    replies: Option<mpsc::Sender<Reply>>,
}

/// A front, as its thread sees it.
pub(super) struct Front<C> {
    pub(super) console: Arc<C>,
    pub(super) printer: Printer,
    runtime: Handle,
    shared: Arc<Mutex<Shared>>,
    scripted: bool,
}

impl<C: Console> Front<C> {
    /// Obeys `line` and shows its replies; interrupted by SIGINT.
    ///
    /// # Errors
    /// When the screen is closed; the command is interrupted then.
    pub(super) fn obey<O: Write, E: Write>(
        &self,
        line: &str,
        screen: &mut Screen<O, E>,
    ) -> io::Result<Exit> {
        let exit = self.obey_by(line, &mut |reply| screen.show(reply));
        screen.settle()?;
        exit
    }

    /// [`Front::obey`], with every reply handed to `show`.
    ///
    /// # Errors
    /// The first error of `show`; the command is interrupted then.
    pub(super) fn obey_by(
        &self,
        line: &str,
        show: &mut dyn FnMut(&Reply) -> io::Result<()>,
    ) -> io::Result<Exit> {
        let order = Order {
            line: line.to_owned(),
            cwd: std::env::current_dir().ok(),
            scripted: self.scripted,
        };
        let (sender, mut replies) = mpsc::channel(REPLY_QUEUE);
        let interrupt = CancellationToken::new();
        let follows = Ok(Some(Command::News { telling: Telling::Follow }));
        let replies_of_news = (grammar::parse(line) != follows).then(|| sender.clone());
        let running = Running { interrupt: interrupt.clone(), replies: replies_of_news };
        {
            let mut shared = lock(&self.shared);
            shared.running = Some(running);
            shared.is_showing = true;
        }
        let (console, shared) = (self.console.clone(), self.shared.clone());
        let stop = interrupt.clone();
        let obeying = self.runtime.spawn(async move {
            let exit = tokio::select! {
                biased;
                exit = console.obey(order, sender) => exit,
                () = stop.cancelled() => Exit::Interrupted,
            };
            // With this the last sender goes, and the replies end.
            lock(&shared).running = None;
            exit
        });
        let mut held = Vec::new();
        let mut waited = BTreeSet::new();
        let mut shown = Ok(());
        while let Some(reply) = replies.blocking_recv() {
            match &reply {
                // The command may be about to tell the same.
                Reply::News { news } if ended(news).is_some() => {
                    held.push(reply);
                    continue;
                }
                Reply::Download(report) if report.state.is_over() => {
                    lock(&self.shared).told.insert(report.number);
                    waited.remove(&report.number);
                }
                // Before the first that is told of it, it goes on as well.
                Reply::Download(report) | Reply::Progress(report) => {
                    waited.insert(report.number);
                }
                _ => {}
            }
            if shown.is_ok() {
                shown = show(&reply);
                if shown.is_err() {
                    interrupt.cancel();
                }
            }
        }
        {
            let mut shared = lock(&self.shared);
            shared.is_showing = false;
            held.append(&mut shared.late);
        }
        shown?;
        let exit = self.runtime.block_on(obeying).unwrap_or(Exit::Failed);
        for reply in held {
            if let Reply::News { news } = &reply
                && is_fresh(&self.shared, news)
            {
                show(&reply)?;
            }
        }
        if exit == Exit::Interrupted && interrupt.is_cancelled() {
            let text = match self.scripted {
                true => "interrupted".to_owned(),
                false => self.what_goes_on(line, &waited),
            };
            show(&Reply::error(exit, &text))?;
        }
        Ok(exit)
    }

    /// What a person is told who has interrupted `line` while waiting for the downloads
    /// `waited`.
    fn what_goes_on(&self, line: &str, waited: &BTreeSet<usize>) -> String {
        let command = grammar::parse(line);
        if let (Some(first), Some(last)) = (waited.first(), waited.last()) {
            return match waited.len() {
                1 => format!(
                    "download {first} goes on in the background; 'wait {first}' returns to it"
                ),
                _ => {
                    let all: Vec<_> =
                        waited.iter().filter(|n| *n != last).map(usize::to_string).collect();
                    format!(
                        "downloads {} and {last} go on in the background; 'wait' returns to them",
                        all.join(", ")
                    )
                }
            };
        }
        match command {
            Ok(Some(Command::Publish { .. })) => {
                let replies = self.asker()("status", STATUS_TIME);
                let shared = replies.iter().find_map(|reply| match reply {
                    Reply::Status(status) => Some(format!(
                        "{}, {} are shared in all",
                        count(status.shared_files as u64, "file"),
                        size(status.shared_bytes)
                    )),
                    _ => None,
                });
                let shared = shared.unwrap_or_else(|| "what was hashed is shared".to_owned());
                format!("hashing stopped; {shared}, and 'publish' again goes on with the rest")
            }
            Ok(Some(Command::Map { file: Some(file) })) => {
                format!(
                    "mapping stopped; what was known is drawn in {}",
                    Escaped(&file.display().to_string())
                )
            }
            Ok(Some(Command::Map { file: None })) => {
                "mapping stopped; 'map' again begins with what was told".to_owned()
            }
            Ok(Some(Command::Search { .. })) => {
                "search given up; 'results' shows what it found".to_owned()
            }
            _ => "interrupted".to_owned(),
        }
    }

    /// Asks the servent as its user would: a line and a time in, replies out; none when
    /// it takes longer.
    pub(super) fn asker(&self) -> impl Fn(&str, Duration) -> Vec<Reply> + 'static {
        let (console, runtime) = (self.console.clone(), self.runtime.clone());
        move |line, within| {
            let order =
                Order { line: line.to_owned(), cwd: std::env::current_dir().ok(), scripted: false };
            let (sender, mut replies) = mpsc::channel(REPLY_QUEUE);
            let console = console.clone();
            // A task of its own: whatever it does, the caller is back in time.
            let mut asking = runtime.spawn(async move {
                let hearing = async {
                    let mut heard = Vec::new();
                    while let Some(reply) = replies.recv().await {
                        heard.push(reply);
                    }
                    heard
                };
                tokio::join!(console.obey(order, sender), hearing).1
            });
            let heard = runtime.block_on(async { timeout(within, &mut asking).await });
            asking.abort();
            heard.ok().and_then(Result::ok).unwrap_or_default()
        }
    }

    /// Takes care of SIGINT from here on.
    ///
    /// While a line is being edited the editor has SIGINT for itself, and puts back what
    /// it found; so this must come before the first line.
    pub(super) fn listen_for_interrupts(&self) {
        let _inside = self.runtime.enter();
        if let Ok(signals) = signal(SignalKind::interrupt()) {
            let quitting = self.console.quitting();
            self.runtime.spawn(interrupts(signals, self.shared.clone(), quitting));
        }
    }

    /// Whether the servent has been asked to stop.
    pub(super) fn is_over(&self) -> bool {
        self.console.quitting().is_cancelled()
    }
}

/// Runs `work` on a thread of its own, with the news and SIGINT taken care of, until it
/// ends or the servent is asked to stop.
pub(super) async fn run<C: Console>(
    console: Arc<C>,
    printer: Printer,
    scripted: bool,
    work: impl FnOnce(Front<C>) -> Exit + Send + 'static,
) -> Exit {
    let settings = terminal::Settings::remember();
    let shared = Arc::new(Mutex::new(Shared::default()));
    let quitting = console.quitting();
    let front = Front {
        console: console.clone(),
        printer: printer.clone(),
        runtime: Handle::current(),
        shared: shared.clone(),
        scripted,
    };
    let telling = tokio::spawn(tell_news(console, printer.clone(), shared.clone(), scripted));
    let (done, mut ended) = oneshot::channel();
    let thread = thread::Builder::new().name("front".into()).spawn(move || {
        let _ = done.send(work(front));
    });
    if let Err(error) = thread {
        printer.say(format!("error: the system gives no thread: {error}\n"));
        return Exit::Failed;
    }
    let exit = tokio::select! {
        biased;
        exit = &mut ended => exit.unwrap_or(Exit::Failed),
        () = quitting.cancelled() => match timeout(END_TIME, &mut ended).await {
            Ok(exit) => exit.unwrap_or(Exit::Failed),
            // It waits for a line that nobody will type.
            Err(_) => {
                settings.restore();
                if lock(&shared).interrupted { Exit::Interrupted } else { Exit::Done }
            }
        },
    };
    telling.abort();
    exit
}

/// SIGINT interrupts the command that runs; without one it ends the process politely. The
/// line editor clears its line on it instead, as on Ctrl-C.
async fn interrupts(mut signals: Signal, shared: Arc<Mutex<Shared>>, quitting: CancellationToken) {
    while signals.recv().await.is_some() {
        let mut shared = lock(&shared);
        match &shared.running {
            Some(running) => running.interrupt.cancel(),
            None => {
                shared.interrupted = true;
                quitting.cancel();
            }
        }
    }
}

/// Tells news above the typed line, or among the replies of the command that runs. A
/// script gets its answers alone, and hears of the end of a download by `wait`.
async fn tell_news<C: Console>(
    console: Arc<C>,
    printer: Printer,
    shared: Arc<Mutex<Shared>>,
    scripted: bool,
) {
    let mut news = console.news();
    loop {
        let news = match news.recv().await {
            Ok(news) if scripted && ended(&news).is_some() => continue,
            Ok(news) if console.wants(&news) => news,
            Ok(_) => continue,
            Err(RecvError::Lagged(missed)) => {
                printer.say(format!("... and {missed} news that came too fast to be told\n"));
                continue;
            }
            Err(RecvError::Closed) => return,
        };
        let reply = Reply::News { news };
        let running = lock(&shared).running.as_ref().map(|running| running.replies.clone());
        let running = running.filter(|_| !scripted);
        let reply = match running {
            Some(None) => continue,
            Some(Some(replies)) if !scripted => match replies.try_send(reply) {
                Ok(()) => continue,
                Err(
                    mpsc::error::TrySendError::Full(reply)
                    | mpsc::error::TrySendError::Closed(reply),
                ) => reply,
            },
            _ => reply,
        };
        let Reply::News { news } = &reply else { continue };
        {
            let mut shared = lock(&shared);
            if shared.is_showing && ended(news).is_some() {
                shared.late.push(reply);
                continue;
            }
        }
        if is_fresh(&shared, news) {
            printer.say(text(&reply, terminal::columns()));
        }
    }
}

/// Whether no reply has told `news` already.
fn is_fresh(shared: &Mutex<Shared>, news: &News) -> bool {
    ended(news).is_none_or(|number| !lock(shared).told.contains(&number))
}

/// The download whose end `news` tells.
fn ended(news: &News) -> Option<usize> {
    match news {
        News::DownloadDone { report } | News::DownloadFailed { report } => Some(report.number),
        _ => None,
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The program: arguments to settings, settings to a servent, and a front before it.
//!
//! It stands in the library, and not beside it in `main`, so that what is generic is
//! compiled once for both.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use crate::args::{
    self, Arguments, ConfigArgs, CtlArgs, Described, NetworkKeyTask, ServentArgs, Task,
};
use crate::base::escape::Escaped;
use crate::chores;
use crate::command::render::text;
use crate::command::{Console, Exit, Local, Order, Reply, Screen, Style, grammar, schema};
use crate::config::{self, Config, ConfigError, Given};
use crate::control::{self, AskError, Listener, Remote};
use crate::manual;
use crate::prompt::{self, Printer, terminal};
use crate::servent::report::{News, StatusReport};
use crate::servent::{Servent, StartError};
use crate::store::StoreError;
use crate::{sim, simulate};
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{broadcast, mpsc};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// SIGXFSZ: a file grew over the user's limit. Caught, the write fails and can be told;
/// uncaught, the process dies.
const SIGXFSZ: i32 = 25;
/// How long clients of the control socket get to read their last replies.
const PARTING: Duration = Duration::from_secs(2);
/// Pauses between the tries to join at the start, in seconds: the other servent may be
/// starting as well.
const JOIN_AGAIN: [u64; 5] = [1, 2, 4, 8, 16];
/// How long the holder of the state has to answer at its socket: it may be starting.
const ATTACH_TIME: Duration = Duration::from_secs(3);
/// How often it is tried meanwhile.
const ATTACH_STEP: Duration = Duration::from_millis(50);
/// The flags that mean something to a servent that runs already.
const ATTACH_FLAGS: [&str; 4] = ["--state", "--profile", "--join", "--share"];
/// How many replies wait to be shown.
const REPLY_QUEUE: usize = 64;

/// How a servent meets its user.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Face {
    Daemon,
    Prompt,
    Script,
}

/// Does what the command line asks for, until it is done or the user wants it to stop.
#[must_use]
pub fn run() -> ExitCode {
    let matches = Arguments::command().try_get_matches();
    let parsed = matches.and_then(|matches| Ok((Arguments::from_arg_matches(&matches)?, matches)));
    let (arguments, matches) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version count as errors there; a closed output is nobody's loss.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let exit = match arguments.task {
        Some(Task::Hash { files }) => {
            chores::hash(&files, &mut io::stdout().lock(), &mut io::stderr().lock())
                .unwrap_or(Exit::Failed)
        }
        Some(Task::Schema { of }) => {
            let schema = match of {
                Described::Replies => schema::schema(),
                Described::Sim => sim::report::schema(),
                Described::Crowd => sim::crowd::report::schema(),
            };
            // A closed output is nobody's loss.
            let _ = io::stdout().lock().write_all(schema.as_bytes());
            Exit::Done
        }
        Some(Task::Sim(wanted)) => block_on(simulate::simulate(wanted)),
        Some(Task::NetworkKey { task: NetworkKeyTask::New { file } }) => new_network_key(&file),
        Some(Task::Completions { shell }) => {
            written(&manual::completions(shell, &mut io::stdout().lock()))
        }
        Some(Task::Man) => written(&manual::man(&mut io::stdout().lock())),
        Some(Task::Ctl(ctl)) => block_on(obey_elsewhere(ctl)),
        Some(Task::Config(wanted)) => show_config(wanted, &matches),
        Some(Task::Daemon(servent)) => configured(servent, &matches, Face::Daemon),
        None if terminal::is_interactive() => configured(arguments.servent, &matches, Face::Prompt),
        None => configured(arguments.servent, &matches, Face::Script),
    };
    exit.into()
}

/// Whether all could be written; a closed output is nobody's loss.
fn written(result: &io::Result<()>) -> Exit {
    if result.is_ok() { Exit::Done } else { Exit::Failed }
}

/// What was given for `servent`, whose flags stand behind a subcommand or alone.
fn given(servent: ServentArgs, matches: &ArgMatches) -> Result<Given, ConfigError> {
    let matches = matches.subcommand().map_or(matches, |(_, matches)| matches);
    Given::gather(servent, matches)
}

/// Runs a servent with these arguments, once they make sense.
fn configured(servent: ServentArgs, matches: &ArgMatches, face: Face) -> Exit {
    match given(servent, matches).and_then(|given| Config::new(&given)) {
        Ok(config) => block_on(serve(config, &args::given(matches), face)),
        Err(error) => {
            fail(&error);
            Exit::Usage
        }
    }
}

/// Shows the settings that a servent with these arguments would have.
fn show_config(wanted: ConfigArgs, matches: &ArgMatches) -> Exit {
    let style = style(wanted.json);
    let mut screen = Screen::new(io::stdout(), io::stderr(), style);
    let listed = given(wanted.servent, matches).and_then(|given| Config::listed(&given));
    let (reply, exit) = match listed {
        Ok(settings) => (Reply::Settings { settings }, Exit::Done),
        Err(error) => (Reply::error(Exit::Usage, &error), Exit::Usage),
    };
    if screen.show(&reply).is_err() { Exit::Failed } else { exit }
}

/// How answers are shown on the standard output.
fn style(json: bool) -> Style {
    if json { Style::Json } else { Style::Text(terminal::measure) }
}

fn block_on(work: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Runtime::new() {
        Ok(runtime) => {
            let exit = runtime.block_on(work);
            // A thread may stand in a read that never ends.
            runtime.shutdown_background();
            exit
        }
        Err(error) => fail(&format!("the system gives no threads: {error}")),
    }
}

/// Says `error` where errors are read.
fn fail(error: &dyn std::fmt::Display) -> Exit {
    let mut stderr = io::stderr().lock();
    for line in error.to_string().lines() {
        let _ = writeln!(stderr, "part2part: {}", Escaped(line));
    }
    Exit::Failed
}

fn new_network_key(file: &std::path::Path) -> Exit {
    match chores::new_network_key(file) {
        Ok(()) => {
            let what = "every member of the mesh needs a copy, and nobody else may have one";
            let _ = writeln!(io::stdout().lock(), "{} made; {what}", file.display());
            Exit::Done
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let why = "exists already, and a key is never written over; choose another name";
            fail(&format!("{} {why}", file.display()))
        }
        Err(error) => fail(&format!("{}: {error}", file.display())),
    }
}

/// Has a running servent obey the command of `ctl`.
async fn obey_elsewhere(ctl: CtlArgs) -> Exit {
    let mut screen = Screen::new(io::stdout(), io::stderr(), style(ctl.json));
    let mut refuse = |kind: Exit, why: &dyn std::fmt::Display| {
        let _ = screen.show(&Reply::error(kind, &why.to_string()));
        if ctl.json {
            let _ = screen.show(&Reply::Exit { code: kind.code() });
        }
        kind
    };
    // What is wrong with a line can be said without a servent.
    let line = match grammar::line_of(&ctl.command).and_then(|line| {
        grammar::parse(&line)?;
        Ok(line)
    }) {
        Ok(line) => line,
        Err(error) => return refuse(Exit::Usage, &error),
    };
    let state = match config::state(&ctl.state) {
        Ok(state) => state,
        Err(error) => return refuse(Exit::Usage, &error),
    };
    let cwd = std::env::current_dir().ok().filter(|cwd| cwd.to_str().is_some());
    let order = Order { line, cwd, scripted: true };
    let (sender, mut replies) = mpsc::channel(REPLY_QUEUE);
    let asking = async {
        let asked = control::ask(&state, &order, &sender).await;
        drop(sender);
        asked
    };
    let showing = async {
        while let Some(reply) = replies.recv().await {
            screen.show(&reply)?;
        }
        screen.settle()
    };
    let asked = tokio::select! {
        asked = async { tokio::try_join!(async { Ok(asking.await) }, showing) } => Some(asked),
        _ = tokio::signal::ctrl_c() => None,
    };
    match asked {
        None => {
            let _ = screen.settle();
            Exit::Interrupted
        }
        Some(Ok((asked, ()))) => {
            let exit = asked.unwrap_or_else(|error| {
                let _ = screen.show(&Reply::error(error.exit(), &error));
                error.exit()
            });
            if ctl.json {
                let _ = screen.show(&Reply::Exit { code: exit.code() });
            }
            exit
        }
        // Our output is closed.
        Some(Err(_)) => Exit::Failed,
    }
}

/// Runs a servent until its user, or the system, wants it to stop; `flags` are those of
/// the command line. When one runs on this state already, a prompt attaches to it.
async fn serve(config: Config, flags: &[String], face: Face) -> Exit {
    let printer = match Printer::start() {
        Ok(printer) => printer,
        Err(error) => return fail(&format!("the system gives no threads: {error}")),
    };
    log_to(&printer, face);
    let _caught = signal(SignalKind::from_raw(SIGXFSZ));
    let servent = match Servent::start(config.settings.clone()).await {
        Ok(servent) => servent,
        Err(StartError::State(locked @ StoreError::Locked { .. })) if face != Face::Daemon => {
            return attach(&config, flags, &locked, face, printer).await;
        }
        Err(error) => return fail(&error),
    };
    // From here on the state is locked: what stands at the socket's place is stale.
    let listener = match Listener::bind(&config.settings.state) {
        Ok(listener) => listener,
        Err(error) => {
            servent.stop().await;
            return fail(&error);
        }
    };
    let local = Arc::new(Local::new(servent.clone(), config.settings.home.clone()));
    let quitting = local.quitting();
    let serving = tokio::spawn(control::serve(listener, local.clone(), quitting.clone()));
    let ending = tokio::spawn(end_on_signals(quitting.clone()));
    let mut first = asked_for(&config, true, true);
    let alone = config.join.is_empty() && !config.settings.manual;
    if alone && servent.status().await.cached > 0 {
        first.push(First { line: "join".to_owned(), joins: true });
    }
    let exit = match face {
        Face::Daemon => daemon(&servent, local, first, &printer, &quitting).await,
        Face::Prompt | Face::Script => {
            let opening = vec![Reply::Greeting(servent.status().await)];
            front(local, face, first, &config, opening, &printer).await
        }
    };
    quitting.cancel();
    ending.abort();
    servent.stop().await;
    let _ = timeout(PARTING, serving).await;
    printer.flush();
    exit
}

/// A person or a script before the servent `console`, until they are done.
async fn front<C: Console>(
    console: Arc<C>,
    face: Face,
    first: Vec<First>,
    config: &Config,
    opening: Vec<Reply>,
    printer: &Printer,
) -> Exit {
    if face == Face::Script {
        let first = first.into_iter().map(|first| first.line).collect();
        return prompt::obey_script(console, printer.clone(), first).await;
    }
    let starting = tokio::spawn(start_up(console.clone(), first, printer.clone()));
    let history = (!config.settings.ephemeral).then(|| config.settings.state.join("history"));
    let exit = prompt::interact(console, printer.clone(), history, opening).await;
    starting.abort();
    exit
}

/// A prompt, or a script, on the servent that holds the state already.
async fn attach(
    config: &Config,
    given: &[String],
    locked: &StoreError,
    face: Face,
    printer: Printer,
) -> Exit {
    if let Some(flag) = given.iter().find(|flag| !ATTACH_FLAGS.contains(&flag.as_str())) {
        fail(&format!(
            "{locked}; {flag} says how a servent starts and cannot act on it: leave it out to \
             attach, stop the servent first ('part2part ctl quit'), or use another --profile"
        ));
        return Exit::Usage;
    }
    let deadline = tokio::time::Instant::now() + ATTACH_TIME;
    let remote = loop {
        match Remote::attach(&config.settings.state).await {
            Ok(remote) => break remote,
            Err(AskError::NoServent(_)) if tokio::time::Instant::now() < deadline => {
                sleep(ATTACH_STEP).await;
            }
            Err(AskError::NoServent(_)) => return fail(locked),
            Err(error) => return fail(&error),
        }
    };
    let quitting = remote.quitting();
    let ending = tokio::spawn(end_on_signals(quitting.clone()));
    let given = |flag: &str| given.iter().any(|given| given == flag);
    let first = asked_for(config, given("--share"), given("--join"));
    let pid = match locked {
        StoreError::Locked { pid: Some(pid), .. } => format!(" (pid {pid})"),
        _ => String::new(),
    };
    let text = format!(
        "attached to the running servent{pid}; 'quit' leaves it running, 'quit --stop' stops it"
    );
    let greeting = status(&*remote).await.map(Reply::Greeting);
    let opening = greeting.into_iter().chain([Reply::Notice { text }]).collect();
    let exit = front(remote.clone(), face, first, config, opening, &printer).await;
    quitting.cancel();
    ending.abort();
    printer.flush();
    if remote.is_lost() {
        fail(&"the servent has stopped, and this prompt with it; 'part2part' starts another");
        return Exit::NoServent;
    }
    exit
}

/// How the servent is, asked as a user would ask.
async fn status<C: Console>(console: &C) -> Option<StatusReport> {
    let (sender, mut replies) = mpsc::channel(REPLY_QUEUE);
    let order = Order { line: "status".to_owned(), cwd: None, scripted: false };
    console.obey(order, sender).await;
    match replies.recv().await {
        Some(Reply::Status(status)) => Some(status),
        _ => None,
    }
}

/// What the log says goes through the printer, so that it never garbles a typed line.
fn log_to(printer: &Printer, face: Face) {
    // At a prompt only what the user must know; RUST_LOG asks for more.
    let usual = if face == Face::Prompt { LevelFilter::ERROR } else { LevelFilter::WARN };
    let asked = std::env::var("RUST_LOG").ok().and_then(|text| text.parse::<Targets>().ok());
    let filter = asked.unwrap_or_else(|| Targets::new().with_default(usual));
    let log = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false);
    let log = log.with_writer(printer.clone()).with_filter(filter);
    let _ = tracing_subscriber::registry().with(log).try_init();
}

/// SIGTERM and SIGHUP end every face politely.
async fn end_on_signals(quitting: CancellationToken) {
    let (Ok(mut term), Ok(mut hang_up)) =
        (signal(SignalKind::terminate()), signal(SignalKind::hangup()))
    else {
        return;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = hang_up.recv() => {}
    }
    quitting.cancel();
}

/// A command that the arguments ask for.
struct First {
    line: String,
    /// Whether it joins a mesh, which may need some patience.
    joins: bool,
}

/// What the arguments ask to be done at the start, as command lines: publications, then
/// the joins.
fn asked_for(config: &Config, share: bool, join: bool) -> Vec<First> {
    let quoted = |words: &[&str]| shlex::try_join(words.iter().copied()).unwrap_or_default();
    let share = config.share.iter().filter(|_| share);
    let share = share.map(|path| quoted(&["publish", "--", path]));
    let join = config.join.iter().filter(|_| join).map(|address| quoted(&["join", address]));
    let share = share.map(|line| First { line, joins: false });
    share.chain(join.map(|line| First { line, joins: true })).collect()
}

/// Obeys the first lines beside a prompt or in a daemon, and tells what came of them.
async fn start_up<C: Console>(console: Arc<C>, first: Vec<First>, printer: Printer) {
    let cwd = std::env::current_dir().ok();
    for First { line, joins } in first {
        let mut pauses = JOIN_AGAIN.iter();
        let mut told = false;
        loop {
            let (sender, mut replies) = mpsc::channel(REPLY_QUEUE);
            let order = Order { line: line.clone(), cwd: cwd.clone(), scripted: false };
            let showing = async {
                while let Some(reply) = replies.recv().await {
                    match &reply {
                        Reply::Publishing(_) => {}
                        Reply::Error { text, .. } if !told => {
                            let shown: Vec<_> =
                                text.lines().map(|line| Escaped(line).to_string()).collect();
                            printer.say(format!("error: {}\n", shown.join("\n")));
                        }
                        Reply::Error { .. } => {}
                        reply => printer.say(text(reply, terminal::columns())),
                    }
                }
            };
            let (exit, ()) = tokio::join!(console.obey(order, sender), showing);
            if exit == Exit::Done
                && line == "join"
                && let Some(status) = status(&*console).await
            {
                printer.say(text(&Reply::Back(status), terminal::columns()));
            }
            let pause = pauses.next().filter(|_| joins && exit == Exit::Failed);
            let Some(pause) = pause else { break };
            told = true;
            sleep(Duration::from_secs(*pause)).await;
        }
    }
}

/// What happens in a daemon goes where its log goes.
async fn tell_news(mut news: broadcast::Receiver<News>, local: Arc<Local>, printer: Printer) {
    loop {
        match news.recv().await {
            Ok(news) if local.wants(&news) => printer.say(text(&Reply::News { news }, None)),
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// A servent without a prompt: says where it is, then waits to be stopped.
async fn daemon(
    servent: &Servent,
    local: Arc<Local>,
    first: Vec<First>,
    printer: &Printer,
    quitting: &CancellationToken,
) -> Exit {
    // Before anybody is told that it is ready, and may send one.
    let Ok(mut interrupts) = signal(SignalKind::interrupt()) else {
        return fail(&"the system lets no signals be caught");
    };
    {
        let mut stdout = io::stdout().lock();
        for address in servent.listening() {
            let _ = writeln!(stdout, "listening on {address} as {}", servent.id());
        }
        let _ = stdout.flush();
    }
    let news = local.news();
    for warning in servent.status().await.warnings {
        printer.say(format!("{}\n", Escaped(&warning)));
    }
    let telling = tokio::spawn(tell_news(news, Arc::clone(&local), printer.clone()));
    // No supervisor, nobody to tell: it is not an error.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    let starting = tokio::spawn(start_up(local, first, printer.clone()));
    let exit = tokio::select! {
        () = quitting.cancelled() => Exit::Done,
        _ = interrupts.recv() => Exit::Interrupted,
    };
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    starting.abort();
    telling.abort();
    exit
}

//! The socket against clients that mean well, badly, or nothing at all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Notify, broadcast, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::server::serve_within;
use super::*;
use crate::command::{Console, Exit, Order, Reply};
use crate::servent::report::News;

/// Echoes its lines; `hang` never ends, `flood` says more than a socket holds.
#[derive(Default)]
struct Echo {
    begun: Notify,
    dropped: Arc<Notify>,
    obeyed: AtomicUsize,
    quitting: CancellationToken,
}

/// Tells when a command was interrupted.
struct OnDrop(Arc<Notify>);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Console for Echo {
    async fn obey(&self, order: Order, out: mpsc::Sender<Reply>) -> Exit {
        self.obeyed.fetch_add(1, Ordering::Relaxed);
        let text = order.line.clone();
        match order.line.as_str() {
            "hang" => {
                let _told = OnDrop(self.dropped.clone());
                self.begun.notify_one();
                std::future::pending().await
            }
            "flood" => {
                let _told = OnDrop(self.dropped.clone());
                let text = "x".repeat(1 << 20);
                self.begun.notify_one();
                while out.send(Reply::Notice { text: text.clone() }).await.is_ok() {}
                Exit::Done
            }
            "quit" => {
                let _ = out.send(Reply::Notice { text }).await;
                self.quitting.cancel();
                Exit::Done
            }
            _ => {
                let _ = out.send(Reply::Notice { text }).await;
                Exit::NothingFound
            }
        }
    }

    fn news(&self) -> broadcast::Receiver<News> {
        broadcast::channel(1).1
    }

    fn wants(&self, _: &News) -> bool {
        false
    }

    fn quitting(&self) -> CancellationToken {
        self.quitting.clone()
    }
}

struct Room {
    folder: TempDir,
    console: Arc<Echo>,
    serving: JoinHandle<()>,
}

impl Room {
    fn open() -> Self {
        Self::with_patience(REQUEST_TIMEOUT)
    }

    fn with_patience(patience: Duration) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let console = Arc::new(Echo::default());
        let serving = tokio::spawn(serve_within(
            patience,
            Listener::bind(folder.path()).unwrap(),
            console.clone(),
            console.quitting(),
        ));
        Self { folder, console, serving }
    }

    fn state(&self) -> &Path {
        self.folder.path()
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(self.state().join(SOCKET)).await.unwrap()
    }

    /// Sends `bytes` raw and reads what comes until the servent closes.
    async fn send(&self, bytes: &[u8]) -> String {
        let (mut reader, mut writer) = self.connect().await.into_split();
        let sending = async {
            let _ = writer.write_all(bytes).await;
            writer
        };
        let mut text = Vec::new();
        let reading = async {
            // Bytes that the servent did not read make the end a reset.
            let _ = reader.read_to_end(&mut text).await;
        };
        let (_writer, ()) = tokio::join!(sending, reading);
        String::from_utf8(text).unwrap()
    }

    async fn ask(&self, line: &str) -> (Result<Exit, AskError>, Vec<Reply>) {
        asked(self.state(), line).await
    }
}

fn order(line: &str) -> Order {
    Order { line: line.into(), cwd: Some("/".into()), scripted: true }
}

async fn asked(state: &Path, line: &str) -> (Result<Exit, AskError>, Vec<Reply>) {
    let (sender, mut receiver) = mpsc::channel(64);
    let exit = ask(state, &order(line), &sender).await;
    drop(sender);
    let mut replies = Vec::new();
    while let Some(reply) = receiver.recv().await {
        replies.push(reply);
    }
    (exit, replies)
}

fn notice(text: &str) -> Reply {
    Reply::Notice { text: text.into() }
}

#[tokio::test]
async fn an_order_is_obeyed_and_its_exit_comes_back() {
    let room = Room::open();
    let (exit, replies) = room.ask("say \"日本\"\n\x1b").await;
    assert_eq!(exit.unwrap(), Exit::NothingFound);
    assert_eq!(replies, [notice("say \"日本\"\n\x1b")]);
}

#[tokio::test]
async fn folder_and_socket_are_private() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let listener = Listener::bind(folder.path()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.path()), 0o700);
    let socket = folder.path().join(SOCKET);
    assert_eq!(mode(&socket), 0o600);
    drop(listener);
    assert!(!socket.exists());
}

#[tokio::test]
async fn nobody_there_is_said_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let (exit, _) = asked(folder.path(), "status").await;
    let error = exit.unwrap_err();
    assert_eq!(error.exit(), Exit::NoServent);
    assert!(error.to_string().starts_with("no servent runs on "), "{error}");
    let (exit, _) = asked(&folder.path().join("nowhere"), "status").await;
    assert_eq!(exit.unwrap_err().exit(), Exit::NoServent);
}

#[tokio::test]
async fn a_socket_that_a_killed_servent_left_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    drop(std::os::unix::net::UnixListener::bind(folder.path().join(SOCKET)).unwrap());
    let (exit, _) = asked(folder.path(), "status").await;
    assert_eq!(exit.unwrap_err().exit(), Exit::NoServent);
    let listener = Listener::bind(folder.path()).unwrap();
    let console = Arc::new(Echo::default());
    tokio::spawn(serve(listener, console.clone(), console.quitting()));
    assert!(asked(folder.path(), "status").await.0.is_ok());
}

#[tokio::test]
async fn what_is_no_socket_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(SOCKET);
    fs::write(&file, "precious").unwrap();
    assert!(matches!(Listener::bind(folder.path()), Err(ListenError::Taken(_))));
    assert_eq!(fs::read_to_string(file).unwrap(), "precious");
}

#[tokio::test]
async fn a_state_folder_with_a_long_path_works_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let long = folder.path().join("d".repeat(100)).join("e".repeat(100));
    fs::create_dir_all(&long).unwrap();
    let listener = Listener::bind(&long).unwrap();
    assert!(long.join(SOCKET).exists());
    let console = Arc::new(Echo::default());
    tokio::spawn(serve(listener, console.clone(), console.quitting()));
    let (exit, replies) = asked(&long, "hello").await;
    assert_eq!((exit.unwrap(), replies), (Exit::NothingFound, vec![notice("hello")]));
}

#[tokio::test]
async fn garbage_is_refused_and_costs_nobody_else_anything() {
    let room = Room::open();
    for garbage in [
        &b"\n"[..],
        b"GET / HTTP/1.1\n",
        b"\xff\xfe\x00\n",
        b"{}\n",
        b"[1,2]\n",
        b"{\"line\":7}\n",
        b"null\n",
    ] {
        let answer = room.send(garbage).await;
        assert!(answer.contains("not one line of JSON"), "{garbage:?}: {answer}");
        assert!(answer.ends_with(",\"reply\":\"exit\",\"code\":2}\n"), "{answer}");
    }
    assert_eq!(room.console.obeyed.load(Ordering::Relaxed), 0);
    assert_eq!(room.ask("fine").await.1, [notice("fine")]);
}

#[tokio::test]
async fn a_request_up_to_the_limit_is_read_and_a_longer_one_is_not() {
    let room = Room::open();
    let request = |len: usize| {
        let frame = r#"{"line":""}"#.len() + 1;
        format!("{{\"line\":\"{}\"}}\n", "x".repeat(len - frame))
    };
    let fits = room.send(request(MAX_REQUEST).as_bytes()).await;
    assert!(fits.contains("\"notice\""), "{}", fits.len());
    for len in [MAX_REQUEST + 1, 1 << 20] {
        let answer = room.send(request(len).as_bytes()).await;
        assert!(!answer.contains("\"notice\""));
    }
    assert_eq!(room.console.obeyed.load(Ordering::Relaxed), 1);
    let (exit, _) = room.ask(&"x".repeat(MAX_REQUEST)).await;
    assert_eq!(exit.unwrap_err().exit(), Exit::Usage);
    assert_eq!(room.ask("fine").await.1, [notice("fine")]);
}

#[tokio::test]
async fn half_a_request_is_given_up_after_its_time() {
    let room = Room::with_patience(Duration::from_millis(20));
    let mut half = room.connect().await;
    half.write_all(b"{\"line\":\"sta").await.unwrap();
    let mut answer = String::new();
    half.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("did not come within 10 s"), "{answer}");
    drop(half);
    // And one whose sender has gone is not waited for at all.
    let mut gone = room.connect().await;
    gone.write_all(b"{\"line\":\"status\"}").await.unwrap();
    gone.shutdown().await.unwrap();
    let mut answer = String::new();
    gone.read_to_string(&mut answer).await.unwrap();
    assert_eq!(answer, "");
    assert_eq!(room.console.obeyed.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn of_a_hundred_clients_sixteen_are_served_and_the_rest_told() {
    let room = Room::open();
    let mut hanging = Vec::new();
    for _ in 0..MAX_CLIENTS {
        let mut client = room.connect().await;
        client.write_all(b"{\"line\":\"hang\"}\n").await.unwrap();
        room.console.begun.notified().await;
        hanging.push(client);
    }
    for _ in MAX_CLIENTS..100 {
        let (exit, replies) = room.ask("status").await;
        assert_eq!(exit.unwrap(), Exit::Failed);
        assert!(matches!(&replies[..], [Reply::Error { text, .. }] if text.contains("16 clients")));
    }
    // A place is free again once a client leaves, and its command is interrupted.
    hanging.pop();
    room.console.dropped.notified().await;
    while room.ask("status").await.0.unwrap() != Exit::NothingFound {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_blocks_nobody() {
    let room = Room::open();
    let mut slow = room.connect().await;
    slow.write_all(b"{\"line\":\"flood\"}\n").await.unwrap();
    room.console.begun.notified().await;
    assert_eq!(room.ask("fine").await.1, [notice("fine")]);
    drop(slow);
    room.console.dropped.notified().await;
}

#[tokio::test]
async fn quit_is_answered_before_the_socket_closes_and_others_are_told() {
    let room = Room::open();
    let mut waiting = room.connect().await;
    waiting.write_all(b"{\"line\":\"hang\"}\n").await.unwrap();
    room.console.begun.notified().await;
    let (exit, replies) = room.ask("quit").await;
    assert_eq!((exit.unwrap(), replies), (Exit::Done, vec![notice("quit")]));
    let mut answer = String::new();
    waiting.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("the servent stops") && answer.contains("\"code\":130"), "{answer}");
    room.serving.await.unwrap();
    assert!(!room.folder.path().join(SOCKET).exists());
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_no_success() {
    let folder = tempfile::tempdir().unwrap();
    let socket = tokio::net::UnixListener::bind(folder.path().join(SOCKET)).unwrap();
    let breaking = async {
        let (mut stream, _) = socket.accept().await.unwrap();
        stream.write_all(b"{\"reply\":\"notice\",\"text\":\"a\"}\n{\"rep").await.unwrap();
    };
    let ((exit, replies), ()) = tokio::join!(asked(folder.path(), "x"), breaking);
    assert!(matches!(exit, Err(AskError::Broken(_))));
    assert_eq!(replies, [notice("a")]);
    let lying = async {
        let (mut stream, _) = socket.accept().await.unwrap();
        stream.write_all(b"{\"reply\":\"unheard of\"}\n").await.unwrap();
    };
    let ((exit, _), ()) = tokio::join!(asked(folder.path(), "x"), lying);
    assert_eq!(exit.unwrap_err().exit(), Exit::Failed);
}

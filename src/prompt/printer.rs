//! One thread that shows what nobody asked for: news and the log.
//!
//! Always true: handing it a text never blocks, for a terminal may stand still (Ctrl-S, a
//! search in the history) while the mesh does not. What does not fit is counted and said.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::base::escape::Escaped;

/// How many texts wait to be shown: a burst of news, and some log.
const QUEUE: usize = 1024;
/// Most bytes that are joined into one print: each print repaints the typed line.
const MAX_PRINT: usize = 32 * 1024;
/// How long to wait at the end for what is queued to be shown.
const FLUSH_TIME: Duration = Duration::from_millis(500);
/// How often a full queue is tried again meanwhile.
const FLUSH_STEP: Duration = Duration::from_millis(5);

/// Where texts are shown; false once it is closed.
type Sink = Box<dyn FnMut(String) -> bool + Send>;

enum Item {
    Text(String),
    Sink(Sink),
    Flush(SyncSender<()>),
}

/// The way to the printer's thread; clones lead to the same one.
#[derive(Clone)]
pub struct Printer {
    items: SyncSender<Item>,
    lost: Arc<AtomicU64>,
}

impl Printer {
    /// Starts the thread; texts go to the standard error until they are redirected.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start() -> io::Result<Self> {
        let (items, receiver) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let printer = Self { items, lost: lost.clone() };
        let sink = Box::new(|text: String| io::stderr().lock().write_all(text.as_bytes()).is_ok());
        thread::Builder::new().name("printer".into()).spawn(move || run(&receiver, &lost, sink))?;
        Ok(printer)
    }

    /// Shows `text`, whole lines, soon; counts it as lost when too much waits already.
    pub fn say(&self, text: String) {
        if text.is_empty() {
            return;
        }
        debug_assert!(text.ends_with('\n'));
        if self.items.try_send(Item::Text(text)).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Shows what comes from here on by `sink`, which gets whole lines and answers false
    /// once it is closed. Blocks while the queue is full.
    pub(super) fn redirect(&self, sink: impl FnMut(String) -> bool + Send + 'static) {
        let _ = self.items.send(Item::Sink(Box::new(sink)));
    }

    /// Waits, but not long, until everything said so far is shown.
    pub fn flush(&self) {
        let (done, shown) = sync_channel(1);
        let mut item = Item::Flush(done);
        // A full queue drains while somebody reads; there is no way to be woken by that.
        for _ in 0..FLUSH_TIME.as_millis() / FLUSH_STEP.as_millis() {
            match self.items.try_send(item) {
                Ok(()) => {
                    let _ = shown.recv_timeout(FLUSH_TIME);
                    return;
                }
                Err(TrySendError::Full(again)) => item = again,
                Err(TrySendError::Disconnected(_)) => return,
            }
            thread::sleep(FLUSH_STEP);
        }
    }
}

fn run(items: &Receiver<Item>, lost: &AtomicU64, mut sink: Sink) {
    let mut next = items.recv().ok();
    while let Some(item) = next.take() {
        match item {
            Item::Sink(other) => sink = other,
            Item::Flush(done) => {
                let _ = done.try_send(());
            }
            Item::Text(mut text) => {
                while text.len() < MAX_PRINT {
                    match items.try_recv() {
                        Ok(Item::Text(more)) => text.push_str(&more),
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(TryRecvError::Empty | TryRecvError::Disconnected) => break,
                    }
                }
                let lost = lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    text.push_str(&format!("... and {lost} more that could not be shown\n"));
                }
                // A closed sink is no reason to stop: another may follow.
                sink(text);
            }
        }
        next = next.or_else(|| items.recv().ok());
    }
}

/// One event of the log, said when it is whole.
pub struct LogLine {
    printer: Printer,
    bytes: Vec<u8>,
}

impl Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for LogLine {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.bytes);
        // A peer's words may be in it.
        self.printer.say(text.lines().map(|line| format!("{}\n", Escaped(line))).collect());
    }
}

impl<'a> MakeWriter<'a> for Printer {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine { printer: self.clone(), bytes: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_out_whole_in_order_and_escaped_when_they_are_log() {
        let printer = Printer::start().unwrap();
        let (shown, texts) = sync_channel(8);
        printer.redirect(move |text| shown.send(text).is_ok());
        printer.say("one\n".into());
        printer.make_writer().write_all(b"two \x1b[2J\nthree\n").unwrap();
        printer.say(String::new());
        printer.flush();
        let all: String = texts.try_iter().collect();
        assert_eq!(all, "one\ntwo \\u{1b}[2J\nthree\n");
    }

    #[test]
    fn a_terminal_that_stands_still_blocks_nobody_and_what_is_lost_is_counted() {
        let printer = Printer::start().unwrap();
        let (go, gate) = sync_channel::<()>(0);
        let (begun, held) = sync_channel(1);
        let (shown, texts) = sync_channel(QUEUE);
        printer.redirect(move |text| {
            let _ = begun.try_send(());
            let _ = gate.recv();
            shown.send(text).is_ok()
        });
        printer.say("held\n".into());
        held.recv().unwrap();
        (0..QUEUE + 7).for_each(|_| printer.say("x\n".into()));
        drop(go);
        printer.flush();
        let all: String = texts.try_iter().collect();
        assert!(all.starts_with("held\n"));
        assert_eq!(all.matches("x\n").count(), QUEUE);
        assert!(all.contains("... and 7 more"), "{}", &all[all.len() - 80..]);
    }
}

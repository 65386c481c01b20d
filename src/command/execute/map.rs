//! `map`.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use super::{Local, Out};
use crate::command::chart::Format;
use crate::command::{Exit, Order, Reply};
use crate::servent::Map;

/// How many progress messages of a map may wait to be shown: the next one says the same.
const PROGRESS_QUEUE: usize = 8;

/// A map and where it is to be drawn: dropped before it is whole, what is known is drawn.
struct Drawing<'a> {
    map: &'a Map,
    file: Option<(PathBuf, Format)>,
}

impl Drawing<'_> {
    /// Draws it, once; where.
    fn draw(&mut self) -> io::Result<Option<String>> {
        let Some((path, format)) = self.file.take() else { return Ok(None) };
        replace(&path, &format.draw(&self.map.report()))?;
        Ok(Some(path.display().to_string()))
    }
}

impl Drop for Drawing<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.draw() {
            tracing::warn!(%error, "an interrupted map could not be drawn");
        }
    }
}

impl Local {
    pub(super) async fn map(&self, file: Option<PathBuf>, order: &Order, out: Out<'_>) -> Exit {
        let file = match file.map(|file| self.absolute(&file, order)).transpose() {
            Ok(file) => file,
            Err(why) => return out.fail(Exit::Usage, &why).await,
        };
        let file = match file.map(|path| (Format::of(&path), path)) {
            None => None,
            Some((Some(format), path)) => Some((path, format)),
            Some((None, _)) => {
                let text = "a map is drawn into a file whose name ends in .svg, or in .dot for \
                            Graphviz";
                return out.fail(Exit::Usage, &text).await;
            }
        };
        self.wait_for_mesh(order).await;
        let map = self.servent.begin_map();
        let shown = file.as_ref().map(|(path, _)| path.display().to_string());
        let mut drawing = Drawing { map: &map, file };
        let (sender, mut progress) = mpsc::channel(PROGRESS_QUEUE);
        let showing = async {
            while let Some(step) = progress.recv().await {
                out.say(Reply::Mapping(step)).await;
            }
        };
        // Both end together: the sender goes with the exploration.
        tokio::join!(self.servent.explore(&map, sender), showing);
        match drawing.draw() {
            Ok(file) => self.done(Reply::Map { file, report: map.report() }, out).await,
            Err(error) => {
                let path = shown.unwrap_or_default();
                let text = format!("the map cannot be written to {path}: {error}");
                out.fail(Exit::Failed, &text).await
            }
        }
    }
}

/// Puts `text` into the file at `path`, whole or not at all.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut part = std::ffi::OsString::from(".");
    part.push(name);
    part.push(format!(".{}.part", std::process::id()));
    let part = path.with_file_name(part);
    let written = File::create(&part)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

//! What of a servent's settings can be changed while it runs: the keys, their values,
//! and where each value came from.
//!
//! Always true: a value that is in a [`Tuning`] makes sense. Who remembers values over a
//! restart and who acts on them is left to others.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use bytesize::ByteSize;

use super::report::SettingReport;
use crate::share::hashing::MAX_THREADS;

/// Longest name of a servent, in bytes: what its greeting carries.
pub const MAX_NAME: usize = 64;
/// Slowest cap on a rate, in bytes a second: below it no piece comes through in time.
pub const MIN_RATE: u64 = 4_096;

/// One setting that can be changed while the servent runs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Knob {
    /// The cap on what is sent.
    MaxUpload,
    /// The cap on what is received.
    MaxDownload,
    /// Whether downloads are shared.
    ShareDownloads,
    /// What the user calls the servent.
    Name,
    /// Whether neighbours that come and go are told of.
    News,
    /// Whether others are given files.
    Serve,
    /// Whether others may look through what is shared.
    Browse,
    /// Whether the router is asked to pass a port on to this servent.
    MapPort,
    /// Whether servents of the local network are looked for, and told of this one.
    Lan,
    /// Whether traces of others' searches name this servent.
    TraceName,
    /// How many threads hash what is published.
    HashThreads,
}

impl Knob {
    /// All of them, as they are listed.
    pub const ALL: [Self; 11] = [
        Self::MaxUpload,
        Self::MaxDownload,
        Self::ShareDownloads,
        Self::Name,
        Self::News,
        Self::Serve,
        Self::Browse,
        Self::MapPort,
        Self::Lan,
        Self::TraceName,
        Self::HashThreads,
    ];

    /// Its key, in `set` and in `config.toml`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::MaxUpload => "max-upload",
            Self::MaxDownload => "max-download",
            Self::ShareDownloads => "share-downloads",
            Self::Name => "name",
            Self::News => "news",
            Self::Serve => "serve",
            Self::Browse => "browse",
            Self::MapPort => "map-port",
            Self::Lan => "lan",
            Self::TraceName => "trace-name",
            Self::HashThreads => "hash-threads",
        }
    }

    /// What it does, in a sentence.
    #[must_use]
    pub const fn help(self) -> &'static str {
        match self {
            Self::MaxUpload => "most bytes of files sent a second: 500kB, 10MB, 1MiB, or off",
            Self::MaxDownload => "most bytes of files received a second: 500kB, 10MB, or off",
            Self::ShareDownloads => "whether what was downloaded is shared: on or off",
            Self::Name => "what others see this servent called; it proves nothing",
            Self::News => "whether neighbours that come and go are told of: on or off",
            Self::Serve => "whether others are given files; off: they are told to ask later",
            Self::Browse => "whether others may look through what is shared: on or off",
            Self::MapPort => "whether the router is asked to pass a port on: on or off",
            Self::Lan => "whether servents of the local network are found, and find this one",
            Self::TraceName => "whether 'search --trace' of others shows this servent's short id",
            Self::HashThreads => "how many threads hash what is published, at a low priority",
        }
    }

    /// The one with this key.
    #[must_use]
    pub fn of(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|knob| knob.key() == key)
    }
}

/// Why a value will not do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TuningError {
    /// For a cap.
    #[error("a rate is wanted, as 500kB or 10MB (a second, at least {MIN_RATE} bytes), or off")]
    Rate,
    /// For what is on or off.
    #[error("on or off is wanted")]
    Switch,
    /// For a number of threads.
    #[error("a number from 1 to {MAX_THREADS} is wanted")]
    Threads,
    /// For the name.
    #[error("at most {MAX_NAME} bytes without control characters are wanted")]
    Name,
}

/// Where a value came from; what comes later in this list goes before what is earlier.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Origin {
    /// Nobody said anything.
    #[default]
    Default,
    /// A line of `config.toml`.
    File {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// It was `set`, in this run or an earlier one.
    Set,
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl Origin {
    /// Whether what was `set` goes before a value from here.
    #[must_use]
    pub const fn yields_to_set(&self) -> bool {
        matches!(self, Self::Default | Self::File { .. })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Set => f.write_str("set"),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// The values of all [`Knob`]s.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tuning {
    /// Most bytes of pieces sent a second.
    pub max_upload: Option<u64>,
    /// Most bytes of pieces received a second.
    pub max_download: Option<u64>,
    /// Whether what was downloaded is shared.
    pub share_downloads: bool,
    /// What the user calls this servent: at most [`MAX_NAME`] bytes.
    pub name: String,
    /// Whether neighbours that come and go are told of.
    pub news: bool,
    /// Whether others are given files.
    pub serve: bool,
    /// Whether others may look through what is shared, folder by folder.
    pub browse: bool,
    /// Whether the router is asked to pass a port on to this servent.
    pub map_port: bool,
    /// Whether servents of the local network are looked for, and told of this one.
    pub lan: bool,
    /// Whether traces of others' searches name this servent.
    pub trace_name: bool,
    /// How many threads hash what is published.
    pub hash_threads: usize,
    /// Where those values came from that have no default.
    pub origins: BTreeMap<Knob, Origin>,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            max_upload: None,
            max_download: None,
            share_downloads: true,
            name: String::new(),
            news: false,
            serve: true,
            browse: true,
            map_port: false,
            lan: false,
            trace_name: true,
            hash_threads: 1,
            origins: BTreeMap::new(),
        }
    }
}

impl Tuning {
    /// Where the value of `knob` came from.
    #[must_use]
    pub fn origin(&self, knob: Knob) -> Origin {
        self.origins.get(&knob).cloned().unwrap_or_default()
    }

    /// Gives `knob` the value that `text` names.
    ///
    /// # Errors
    /// [`TuningError`]: what is wanted instead; nothing has changed.
    pub fn turn(&mut self, knob: Knob, text: &str, origin: Origin) -> Result<(), TuningError> {
        match knob {
            Knob::MaxUpload => self.max_upload = rate(text)?,
            Knob::MaxDownload => self.max_download = rate(text)?,
            Knob::ShareDownloads => self.share_downloads = switch(text)?,
            Knob::Name => self.name = name(text)?,
            Knob::News => self.news = switch(text)?,
            Knob::Serve => self.serve = switch(text)?,
            Knob::Browse => self.browse = switch(text)?,
            Knob::MapPort => self.map_port = switch(text)?,
            Knob::Lan => self.lan = switch(text)?,
            Knob::TraceName => self.trace_name = switch(text)?,
            Knob::HashThreads => self.hash_threads = threads(text)?,
        }
        self.origins.insert(knob, origin);
        Ok(())
    }

    /// The value of `knob`, as [`Tuning::turn`] takes it.
    #[must_use]
    pub fn value(&self, knob: Knob) -> String {
        let word = |on: bool| if on { "on" } else { "off" }.to_owned();
        match knob {
            Knob::MaxUpload => rate_text(self.max_upload),
            Knob::MaxDownload => rate_text(self.max_download),
            Knob::ShareDownloads => word(self.share_downloads),
            Knob::Name => self.name.clone(),
            Knob::News => word(self.news),
            Knob::Serve => word(self.serve),
            Knob::Browse => word(self.browse),
            Knob::MapPort => word(self.map_port),
            Knob::Lan => word(self.lan),
            Knob::TraceName => word(self.trace_name),
            Knob::HashThreads => self.hash_threads.to_string(),
        }
    }

    /// `knob` as it is shown.
    #[must_use]
    pub fn report(&self, knob: Knob) -> SettingReport {
        SettingReport {
            key: knob.key().to_owned(),
            value: self.value(knob),
            origin: self.origin(knob).to_string(),
            help: knob.help().to_owned(),
            note: None,
        }
    }
}

fn rate(text: &str) -> Result<Option<u64>, TuningError> {
    if text == "off" {
        return Ok(None);
    }
    match text.trim().trim_end_matches("/s").parse::<ByteSize>() {
        Ok(ByteSize(rate)) if rate >= MIN_RATE => Ok(Some(rate)),
        _ => Err(TuningError::Rate),
    }
}

/// A rate in the largest unit that shows it exactly.
fn rate_text(rate: Option<u64>) -> String {
    let Some(rate) = rate else { return "off".to_owned() };
    let units = [("GB", 1_000_000_000), ("MiB", 1 << 20), ("MB", 1_000_000), ("kB", 1_000)];
    let exact = units.into_iter().find(|(_, unit)| rate % unit == 0);
    exact.map_or_else(|| format!("{rate}B"), |(word, unit)| format!("{}{word}", rate / unit))
}

fn switch(text: &str) -> Result<bool, TuningError> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(TuningError::Switch),
    }
}

fn threads(text: &str) -> Result<usize, TuningError> {
    let number = text.parse().ok().filter(|number| (1..=MAX_THREADS).contains(number));
    number.ok_or(TuningError::Threads)
}

fn name(text: &str) -> Result<String, TuningError> {
    let fits = text.len() <= MAX_NAME && !text.contains(char::is_control);
    fits.then(|| text.to_owned()).ok_or(TuningError::Name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turned(knob: Knob, text: &str) -> Result<Tuning, TuningError> {
        let mut tuning = Tuning::default();
        tuning.turn(knob, text, Origin::Set).map(|()| tuning)
    }

    #[test]
    fn rates_are_sizes_a_second_or_off() {
        let upload = |text: &str| turned(Knob::MaxUpload, text).unwrap().max_upload;
        assert_eq!(upload("10MB"), Some(10_000_000));
        assert_eq!(upload("1MiB/s"), Some(1 << 20));
        assert_eq!(upload("4096"), Some(4096));
        assert_eq!(upload("off"), None);
        for bad in ["0", "4095", "fast", "", "-1", "10 parsecs", "OFF"] {
            assert_eq!(turned(Knob::MaxDownload, bad), Err(TuningError::Rate), "{bad}");
        }
    }

    #[test]
    fn a_name_fits_into_a_greeting() {
        let long = "n".repeat(MAX_NAME + 1);
        assert_eq!(turned(Knob::Name, &long[1..]).unwrap().name.len(), MAX_NAME);
        assert_eq!(turned(Knob::Name, &long), Err(TuningError::Name));
        assert_eq!(turned(Knob::Name, "a\nb"), Err(TuningError::Name));
    }

    #[test]
    fn threads_are_counted_and_not_too_many() {
        assert_eq!(turned(Knob::HashThreads, "2").unwrap().hash_threads, 2);
        for bad in ["0", "65", "two", "-1", ""] {
            assert_eq!(turned(Knob::HashThreads, bad), Err(TuningError::Threads), "{bad}");
        }
    }

    #[test]
    fn every_value_reads_back_as_it_is_shown() {
        let values = [
            (Knob::MaxUpload, &["off", "4096B", "500kB", "10MB", "1MiB", "3GB", "1048577B"][..]),
            (Knob::MaxDownload, &["4097B"]),
            (Knob::ShareDownloads, &["on", "off"]),
            (Knob::Name, &["", "attic", "two words", "dachboden ä"]),
            (Knob::News, &["on", "off"]),
            (Knob::Serve, &["off", "on"]),
            (Knob::Browse, &["on", "off"]),
            (Knob::MapPort, &["on", "off"]),
            (Knob::Lan, &["on", "off"]),
            (Knob::TraceName, &["off", "on"]),
            (Knob::HashThreads, &["1", "4", "64"]),
        ];
        assert_eq!(values.len(), Knob::ALL.len());
        for (knob, texts) in values {
            assert_eq!(Knob::of(knob.key()), Some(knob));
            for text in texts {
                let tuning = turned(knob, text).unwrap();
                assert_eq!(tuning.value(knob), *text);
                assert_eq!(tuning.origin(knob), Origin::Set);
            }
        }
    }

    #[test]
    fn a_value_that_will_not_do_changes_nothing() {
        for knob in Knob::ALL {
            let mut tuning = Tuning::default();
            assert!(tuning.turn(knob, "\x07", Origin::Set).is_err(), "{knob:?}");
            assert_eq!(tuning, Tuning::default());
        }
    }
}

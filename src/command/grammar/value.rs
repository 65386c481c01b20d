//! Values of arguments, checked as they are read.

use std::str::FromStr;

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::base::{ContentId, FileLink, FileName, MAX_TTL};
use crate::command::nearest::nearest;
use crate::servent::Knob;
use crate::servent::report::{DownloadTarget, LinkTarget};
use crate::transfer::Priority;

/// How many different files end a search unless told otherwise: a few screens.
pub const ENOUGH: usize = 50;
/// Most files that a search may ask for: what a servent takes for one query.
pub const MAX_ENOUGH: usize = 2_000;

/// One download, or all that can be meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    /// The one of this number.
    One(usize),
    /// All.
    All,
}

impl Which {
    /// The number, unless all are meant.
    #[must_use]
    pub fn number(self) -> Option<usize> {
        match self {
            Self::One(number) => Some(number),
            Self::All => None,
        }
    }
}

pub(super) fn which(text: &str) -> Result<Which, String> {
    if text == "all" {
        return Ok(Which::All);
    }
    text.parse()
        .map(Which::One)
        .map_err(|_| "a number that 'downloads' shows is wanted, or all".into())
}

/// The words for priorities, which Tab knows too.
pub(super) fn priorities() -> impl TypedValueParser<Value = Priority> {
    let words = PossibleValuesParser::new(Priority::ALL.map(Priority::word));
    words.map(|word| {
        let named = Priority::ALL.into_iter().find(|priority| priority.word() == word);
        named.unwrap_or_default()
    })
}

pub(super) fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| "a number is wanted".to_owned())
}

pub(super) fn enough(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=MAX_ENOUGH).contains(&number) => Ok(number),
        _ => Err(format!("a number from 1 to {MAX_ENOUGH} is wanted")),
    }
}

/// Most files of one page of `shared`.
pub const MAX_LINES: usize = 1000;

/// A page.
pub(super) fn page(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err("pages are numbered from 1".to_owned()),
    }
}

/// How many files a page has.
pub(super) fn lines(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(number) if (1..=MAX_LINES).contains(&number) => Ok(number),
        _ => Err(format!("a number from 1 to {MAX_LINES} is wanted")),
    }
}

/// A name that a file may have for others.
pub(super) fn file_name(text: &str) -> Result<FileName, String> {
    FileName::new(text).map_err(|error| error.to_string())
}

/// The words that stand for values of a key of `set`, as far as there are any.
#[must_use]
pub fn words_of(key: &str) -> &'static [&'static str] {
    match Knob::of(key) {
        Some(Knob::Name) => &[],
        Some(Knob::MaxUpload | Knob::MaxDownload) => &["off"],
        Some(_) => &["on", "off"],
        None if key == "mesh" => &["open"],
        None => &[],
    }
}

/// How many hops a search takes.
pub(super) fn ttl(text: &str) -> Result<u8, String> {
    match text.parse() {
        Ok(hops) if (1..=MAX_TTL).contains(&hops) => Ok(hops),
        _ => Err(format!("a number from 1 to {MAX_TTL} is wanted")),
    }
}

/// What `set` takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// A setting.
    Knob(Knob),
    /// The mesh that the servent takes part in.
    Mesh,
}

/// The keys that `set` takes.
#[must_use]
pub fn keys() -> Vec<&'static str> {
    Knob::ALL.into_iter().map(Knob::key).chain(["mesh"]).collect()
}

pub(super) fn key(text: &str) -> Result<Key, String> {
    if text == "mesh" {
        return Ok(Key::Mesh);
    }
    let keys = keys();
    Knob::of(text).map(Key::Knob).ok_or_else(|| match nearest(text, &keys) {
        Some(near) => format!("there is no such key; did you mean '{near}'?"),
        None => format!("there is no such key; there are {}", keys.join(", ")),
    })
}

pub(super) fn download_target(text: &str) -> Result<DownloadTarget, String> {
    if FileLink::is_meant(text) {
        let link: FileLink = text.parse().map_err(|error| format!("{error}"))?;
        return Ok(DownloadTarget::Link(Box::new(link)));
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && text.len() < ContentId::TEXT_LEN {
        return match text.parse() {
            Ok(number) if number > 0 => Ok(DownloadTarget::Result(number)),
            _ => Err("results are numbered from 1, as 'results' shows them".to_owned()),
        };
    }
    ContentId::from_str(&text.to_ascii_lowercase()).map(DownloadTarget::Content).map_err(|_| {
        "a number that 'results' shows is wanted, 64 hexadecimal digits as b3sum prints them, or \
         a link"
            .to_owned()
    })
}

/// What a link is wanted for: what `download` takes, or else a path.
pub(super) fn link_target(text: &str) -> Result<LinkTarget, String> {
    match download_target(text) {
        Ok(target) => Ok(LinkTarget::Known(target)),
        Err(why) if FileLink::is_meant(text) || text.bytes().all(|b| b.is_ascii_digit()) => {
            Err(why)
        }
        Err(_) => Ok(LinkTarget::Path(text.into())),
    }
}

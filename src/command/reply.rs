//! What a command answers, as data.
//!
//! The JSON form is for programs and stays stable: `{"reply": "hit", ...}`, names in
//! snake case, sizes in bytes, times in seconds or microseconds as their names say.
//! Texts from other servents are unescaped in here; [`super::render`] escapes them.

use std::process::ExitCode;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::servent::report::{
    BrowseReport, DownloadReport, HitReport, InvitationReport, JoinReport, LimitReport, LinkReport,
    MapProgress, MapReport, News, PeerReport, PublishProgress, PublishReport, ResultReport,
    SearchEnd, SettingReport, SharedListing, StatusReport, TraceReport, UnpublishReport,
    UploadReport, WantedReport,
};

/// One answer of a command; most commands give one, a search gives many.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// A file at a servent, as soon as its hit arrives.
    Hit(HitReport),
    /// How a search with `--trace` ran; right before its end.
    Trace(TraceReport),
    /// How the search ended.
    SearchEnd(SearchEnd),
    /// What the latest search found.
    Results {
        /// By number.
        results: Vec<ResultReport>,
    },
    /// One result, with everybody who has it.
    Result(ResultReport),
    /// The standing searches.
    Wanted {
        /// By number.
        wanted: Vec<WantedReport>,
    },
    /// A search that stands from now on.
    Wants(WantedReport),
    /// A search that stands no longer.
    Forgot(WantedReport),
    /// Neighbours, or known contacts.
    Peers {
        /// Whether these are contacts without a link.
        known: bool,
        /// Them.
        peers: Vec<PeerReport>,
    },
    /// What is known of the mesh around.
    Map {
        /// Where it is drawn, if it is.
        file: Option<String>,
        /// It.
        #[serde(flatten)]
        report: MapReport,
    },
    /// How far a map is.
    Mapping(MapProgress),
    /// A line for a friend.
    Invitation(InvitationReport),
    /// A link to the mesh.
    Joined(JoinReport),
    /// All links are closed.
    Left {
        /// How many neighbours were told.
        neighbours: usize,
    },
    /// How far a `publish` has come.
    Publishing(PublishProgress),
    /// What a `publish` did.
    Published {
        /// The path that was asked for.
        path: String,
        /// How it went.
        #[serde(flatten)]
        report: PublishReport,
    },
    /// What an `unpublish` did.
    Unpublished(UnpublishReport),
    /// What this servent shares.
    Shared(SharedListing),
    /// What somebody else says that it shares.
    Browse(BrowseReport),
    /// A download that began or ended.
    Download(DownloadReport),
    /// How far a download that is waited for has come.
    Progress(DownloadReport),
    /// A link to a content.
    Link(LinkReport),
    /// All downloads since the start.
    Downloads {
        /// By number.
        downloads: Vec<DownloadReport>,
    },
    /// One download, and how much of the file each of its sources has.
    DownloadSources(DownloadReport),
    /// Settings, each with where its value came from.
    Settings {
        /// Them.
        settings: Vec<SettingReport>,
    },
    /// One setting, at length.
    Setting(SettingReport),
    /// A setting that was changed.
    Set(SettingReport),
    /// The limits that people meet.
    Limits {
        /// By what they belong to.
        limits: Vec<LimitReport>,
    },
    /// Downloads that stand still now.
    Paused {
        /// They.
        downloads: Vec<DownloadReport>,
    },
    /// Downloads that go on now.
    Resumed {
        /// They.
        downloads: Vec<DownloadReport>,
    },
    /// Downloads that were given up, and of which nothing is left.
    Cancelled {
        /// They.
        downloads: Vec<DownloadReport>,
    },
    /// A download that is as urgent now as was asked for.
    Priority(DownloadReport),
    /// What is sent to others, and was of late.
    Uploads {
        /// The latest first.
        uploads: Vec<UploadReport>,
    },
    /// How the servent is.
    Status(StatusReport),
    /// The first words to somebody who sits down at the prompt.
    Greeting(StatusReport),
    /// The mesh has been found again without being asked for.
    Back(StatusReport),
    /// Something that happened meanwhile.
    News {
        /// What.
        news: News,
    },
    /// Whether neighbours that come and go are told of.
    NewsSwitch {
        /// Whether they are.
        on: bool,
    },
    /// Whether others are given files.
    ServeSwitch {
        /// Whether they are.
        on: bool,
    },
    /// A sentence that is no error.
    Notice {
        /// The sentence.
        text: String,
    },
    /// A text of several lines about the commands.
    Help {
        /// The text.
        text: String,
    },
    /// The servent stops, and with it what is running.
    Stopping {
        /// Downloads that are not over.
        downloads: usize,
        /// Uploads that hold a slot.
        uploads: usize,
        /// Whether the downloads go on at the next start.
        resumed: bool,
    },
    /// What went wrong.
    Error {
        /// The kind, which is also the exit code.
        kind: Exit,
        /// One clear sentence; a second line may show the usage.
        text: String,
        /// The query that is wrong, where one is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        query: Option<String>,
        /// How many characters of it stand before what is wrong.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<usize>,
    },
    /// The last line that the control socket sends; no command answers this itself.
    Exit {
        /// The exit code.
        code: u8,
    },
}

impl Reply {
    /// An error of `kind`.
    #[must_use]
    pub fn error(kind: Exit, text: &impl ToString) -> Self {
        Self::Error { kind, text: text.to_string(), query: None, at: None }
    }

    /// An error in a query, behind so many characters of it.
    #[must_use]
    pub fn query_error(text: &impl ToString, query: &str, at: usize) -> Self {
        let (kind, text) = (Exit::Usage, text.to_string());
        Self::Error { kind, text, query: Some(query.to_owned()), at: Some(at) }
    }
}

/// How a command ended, for scripts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It did what was asked.
    Done,
    /// It did not.
    Failed,
    /// The line or the arguments make no sense.
    Usage,
    /// No servent runs there.
    NoServent,
    /// The search found nothing.
    NothingFound,
    /// A clock, not knowledge, ended it.
    TimedOut,
    /// The user interrupted it.
    Interrupted,
}

impl Exit {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::NoServent,
        Self::NothingFound,
        Self::TimedOut,
        Self::Interrupted,
    ];

    /// The process's exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::NoServent => 3,
            Self::NothingFound => 4,
            Self::TimedOut => 5,
            Self::Interrupted => 130,
        }
    }

    /// What it says, in a sentence.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "it did what was asked",
            Self::Failed => "it failed, and has said why",
            Self::Usage => "the line, a flag or a setting makes no sense",
            Self::NoServent => "no servent runs on that state folder",
            Self::NothingFound => "the search found nothing",
            Self::TimedOut => "time ran out",
            Self::Interrupted => "it was interrupted",
        }
    }

    /// The kind with this code; an unknown one counts as failed.
    #[must_use]
    pub fn of_code(code: u8) -> Self {
        Self::ALL.into_iter().find(|exit| exit.code() == code).unwrap_or(Self::Failed)
    }

    /// This one, unless it is no failure and `earlier` is.
    #[must_use]
    pub fn or_earlier(self, earlier: Self) -> Self {
        if self == Self::Done { earlier } else { self }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_those_that_scripts_rely_on() {
        assert_eq!(Exit::ALL.map(Exit::code), [0, 1, 2, 3, 4, 5, 130]);
        assert!(Exit::ALL.iter().all(|exit| Exit::of_code(exit.code()) == *exit));
        assert_eq!(Exit::of_code(77), Exit::Failed);
    }

    #[test]
    fn the_last_failure_of_a_script_is_the_one_that_counts() {
        assert_eq!(Exit::Done.or_earlier(Exit::NothingFound), Exit::NothingFound);
        assert_eq!(Exit::Failed.or_earlier(Exit::NothingFound), Exit::Failed);
        assert_eq!(Exit::Done.or_earlier(Exit::Done), Exit::Done);
    }

    #[test]
    fn a_reply_reads_back_from_its_json_under_its_stable_name() {
        let reply = Reply::Published {
            path: "/music".into(),
            report: PublishReport {
                files: 2,
                bytes: 3,
                unchanged: 0,
                left_out: 0,
                reasons: vec![],
                examples: Vec::new(),
            },
        };
        let json = serde_json::to_string(&reply).unwrap();
        assert!(json.starts_with(r#"{"reply":"published","path":"/music","files":2"#), "{json}");
        assert_eq!(serde_json::from_str::<Reply>(&json).unwrap(), reply);
        let error = Reply::error(Exit::NothingFound, &"no");
        let json = serde_json::to_string(&error).unwrap();
        assert_eq!(json, r#"{"reply":"error","kind":"nothing_found","text":"no"}"#);
        let json = serde_json::to_string(&Reply::query_error(&"no", "a *", 2)).unwrap();
        let told = r#"{"reply":"error","kind":"usage","text":"no","query":"a *","at":2}"#;
        assert_eq!(json, told);
    }
}

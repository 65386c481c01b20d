//! The language of the command lines, one for every front.
//!
//! Words are split as a shell splits them, so a name with spaces is quoted and one that
//! begins with a dash follows `--`. Only `search` and `wanted` take their rest as it
//! stands: quotes and dashes in it belong to the query.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum, ValueHint};

use super::address::join_target;
use crate::base::FileName;
use crate::servent::JoinTarget;
use crate::servent::report::{DownloadTarget, LinkTarget, Whom};
use crate::transfer::Priority;

mod help;
mod line;
mod place;
mod value;
mod whom;

pub use help::{definitions, help, help_within, names, usage_of};
pub use line::{UsageError, line_of, parse};
pub use place::{Place, Wanted, place};
pub use value::{ENOUGH, Key, MAX_ENOUGH, MAX_LINES, Which, keys, words_of};
use value::{
    download_target, enough, file_name, key, lines, link_target, number, page, priorities, ttl,
    which,
};
use whom::whom;

/// How wide help texts are, in columns.
const HELP_WIDTH: usize = 80;

#[derive(Parser)]
#[command(multicall = true, disable_help_subcommand = true, disable_version_flag = true)]
#[command(term_width = HELP_WIDTH)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// What a line asks for.
#[derive(Subcommand, Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Join a mesh through a servent that is in it
    ///
    /// The port is 7272 when left out; an IPv6 address goes in brackets. With an id, nobody
    /// but the servent with this id will do, and there may be several addresses, as in the
    /// line that a friend's 'invite' prints; a key at its end leads into a private mesh.
    /// Without an address, servents known from earlier are tried.
    #[command(override_usage = "join [[ID@]HOST[:PORT][,...][#KEY]]")]
    Join {
        /// Where to knock
        #[arg(value_parser = join_target)]
        address: Option<JoinTarget>,
    },
    /// Print a line that a friend gives to join
    ///
    /// It holds the id of this servent, which is checked, and all addresses that are known
    /// of it. With the key of a private mesh in it, whoever has the line is a member.
    #[command(override_usage = "invite [--qr] [--key]")]
    Invite {
        /// Draw it as a QR code as well
        #[arg(long)]
        qr: bool,
        /// Put the key of the private mesh into it
        #[arg(long)]
        key: bool,
    },
    /// Say goodbye to all neighbours and stay alone until the next join
    #[command(override_usage = "leave")]
    Leave,
    /// List the neighbours
    #[command(override_usage = "peers [--known]")]
    Peers {
        /// List the contacts that are known without a link instead
        #[arg(long)]
        known: bool,
    },
    /// Ask around who is whose neighbour, and draw the mesh
    ///
    /// FILE.svg becomes a picture, FILE.dot what Graphviz reads; without a file the servents
    /// are listed. At most 200 servents are asked, within 30 s; Ctrl-C draws what is known by
    /// then. A servent names its neighbours to each once in ten minutes: what it said before
    /// is used meanwhile.
    #[command(override_usage = "map [FILE.svg | FILE.dot]")]
    Map {
        /// Where to draw
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        file: Option<PathBuf>,
    },
    /// Search the mesh for files
    ///
    /// All words must be in the name, whole and in any order; case and accents do not
    /// matter. word* matches beginnings, *word* parts; "a phrase" wants the words together,
    /// -word leaves out; .flac, size>10M, size<1G, type:audio and id:HASH narrow it down.
    /// Hits show as they arrive; the search ends when everybody asked has answered.
    #[command(override_usage = "search WORDS... [--all | --ttl N] [--max N] [--trace]")]
    Search {
        /// Ask everybody within 8 hops at once, not the near ones first
        #[arg(long, conflicts_with = "ttl")]
        all: bool,
        /// Ask exactly those within N hops
        #[arg(long, value_name = "N", value_parser = ttl)]
        ttl: Option<u8>,
        /// Ask no further once N different files are found
        #[arg(long, value_name = "N", default_value_t = ENOUGH, value_parser = enough)]
        max: usize,
        /// Draw who was asked by whom, and when they answered
        #[arg(long)]
        trace: bool,
        /// What to look for
        #[arg(value_name = "WORDS")]
        words: String,
    },
    /// Show what the latest search found, or everybody who has result N
    ///
    /// WORDS show only the results that fit, as 'search' takes them; the numbers stay.
    /// What 'browse' showed since is among them.
    #[command(override_usage = "results [N | WORDS...] [--sort name|size|sources|modified]")]
    Results {
        /// Sort them; the largest, newest, or those of most sources first
        #[arg(long, value_name = "BY", value_enum)]
        sort: Option<ResultOrder>,
        /// A result, or what it must fit
        #[arg(value_name = "N|WORDS")]
        which: Option<String>,
    },
    /// Look through what another servent shares, page by page
    ///
    /// PEER is the beginning of an id, a name or an address of somebody whom 'peers' or
    /// 'results' shows, or ID@HOST:PORT. The files are numbered for 'download'. The same
    /// line again shows the next page, and after the last one the first. What is shown is
    /// what the other side says.
    #[command(override_usage = "browse PEER [FOLDER] [--page K]")]
    Browse {
        /// Show page K
        #[arg(long, value_name = "K", value_parser = page)]
        page: Option<usize>,
        /// Whose library
        #[arg(value_name = "PEER", value_parser = whom)]
        peer: Whom,
        /// A folder of it, as it is shown, / between the parts
        #[arg(value_name = "FOLDER", default_value = "", hide_default_value = true)]
        folder: String,
    },
    /// Keep a search standing, and be told when something turns up for it
    ///
    /// Without words the standing searches are listed. Each is asked of the mesh when it
    /// is new, when you come back into the mesh, and every ten minutes; what is found is
    /// told as it turns up, once a run. --show N makes its finds the results that
    /// 'download' takes numbers of; --forget N gives it up. They outlive the servent.
    #[command(override_usage = "wanted [WORDS... | --show N | --forget N]")]
    Wanted {
        /// Take what was found for standing search N as results
        #[arg(long, value_name = "N", value_parser = number, conflicts_with = "forget")]
        show: Option<usize>,
        /// Give standing search N up
        #[arg(long, value_name = "N", value_parser = number)]
        forget: Option<usize>,
        /// What to look for, as 'search' takes it
        #[arg(value_name = "WORDS", conflicts_with_all = ["show", "forget"])]
        words: Option<String>,
    },
    /// Share a file, or everything in a folder
    ///
    /// Hidden files are left out. It is shared until unpublish, over restarts too; what
    /// is unpublished within a folder stays so until it is published by name. The root
    /// of the file system and the home folder want --yes. With --as others see one file
    /// under another name, also when it is published again; its own name ends that.
    #[command(override_usage = "publish PATH... [--yes | --as NAME]")]
    Publish {
        /// Show others this file under another name
        #[arg(long = "as", conflicts_with = "yes", value_name = "NAME", value_parser = file_name)]
        name: Option<FileName>,
        /// Share even what is seldom meant to be shared whole
        #[arg(long)]
        yes: bool,
        /// Files and folders
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
    },
    /// Stop sharing a file, a folder, or a content
    #[command(override_usage = "unpublish PATH|HASH")]
    Unpublish {
        /// What is no longer shared
        #[arg(value_name = "PATH|HASH")]
        what: String,
    },
    /// List what this servent shares
    ///
    /// WORDS show only what fits, as 'search' takes them. --folder shows one folder, with
    /// the folders in it summed up. At a prompt a page is shown, elsewhere everything; JSON
    /// comes in several replies of at most 1,000 files.
    #[command(override_usage = "shared [WORDS] [--folder DIR] [--sort BY] [--page K] [--lines N]")]
    Shared {
        /// Show what lies in this folder
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        folder: Option<PathBuf>,
        /// Sort the files; the largest or newest first
        #[arg(
            long,
            value_name = "BY",
            value_enum,
            default_value = "path",
            hide_default_value = true
        )]
        sort: SharedSort,
        /// Show page K
        #[arg(long, value_name = "K", value_parser = page)]
        page: Option<usize>,
        /// Show pages of N files
        #[arg(long, value_name = "N", value_parser = lines)]
        lines: Option<usize>,
        /// What the files must fit
        #[arg(value_name = "WORDS")]
        words: Option<String>,
    },
    /// Download a result of the latest search, a content by its hash, or what a link names
    ///
    /// It goes on in the background, from everybody who has it; every piece is verified.
    /// It outlives a restart, but for --once. A file that failed, or was left by --once,
    /// goes on where it was when it is downloaded again. A link is what 'link' prints, or a
    /// magnet with xt=urn:blake3:HASH; who has it is searched for as well.
    #[command(override_usage = "download N|HASH|LINK [--wait] [--once] [--to DIR] [--priority P]")]
    Download {
        /// Wait until it is over
        #[arg(long)]
        wait: bool,
        /// Fail, rather than wait, when no source or no space is left
        #[arg(long)]
        once: bool,
        /// Put it into this folder instead of the downloads folder
        #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
        to: Option<PathBuf>,
        /// high, normal or low: downloads share --max-download as 4 to 2 to 1
        #[arg(long, value_name = "P", default_value = "normal", hide_default_value = true, value_parser = priorities())]
        priority: Priority,
        /// A number that search shows, 64 digits as b3sum prints them, or a link
        #[arg(value_name = "N|HASH|LINK", value_parser = download_target)]
        what: DownloadTarget,
    },
    /// List the downloads, or the sources of one
    ///
    /// Of each source that is connected: how much of the file it has, how much came from it,
    /// and how fast.
    #[command(override_usage = "downloads [N]")]
    Downloads {
        /// A download
        #[arg(value_name = "N")]
        number: Option<usize>,
    },
    /// Print a link by which anybody can download a result, or a file that is shared here
    ///
    /// It holds the hash, the name, the size, and who has it. In another mesh, or when none
    /// of them is there, what it names is searched for by its hash.
    #[command(override_usage = "link N|HASH|LINK|PATH [--magnet]")]
    Link {
        /// Print a magnet instead, for programs that know no other links
        #[arg(long)]
        magnet: bool,
        /// A number that search shows, 64 digits as b3sum prints them, a link, or a shared file
        #[arg(value_name = "N|HASH|LINK|PATH", value_parser = link_target)]
        what: LinkTarget,
    },
    /// Let download N, or all, stand still until resumed
    ///
    /// It stays paused over a restart, and holds no connection.
    #[command(override_usage = "pause N|all")]
    Pause {
        /// A download, or all that run
        #[arg(value_name = "N|all", value_parser = which)]
        which: Which,
    },
    /// Let download N, or all that are paused, go on
    #[command(override_usage = "resume N|all")]
    Resume {
        /// A download, or all that are paused
        #[arg(value_name = "N|all", value_parser = which)]
        which: Which,
    },
    /// Give download N up, or all, and remove what is here of it
    #[command(override_usage = "cancel N|all")]
    Cancel {
        /// A download, or all that are not done
        #[arg(value_name = "N|all", value_parser = which)]
        which: Which,
    },
    /// Set how urgent download N is
    ///
    /// Downloads share --max-download by their priorities, as 4 to 2 to 1; what one cannot
    /// use the others get.
    #[command(override_usage = "priority N high|normal|low")]
    Priority {
        /// A download
        #[arg(value_name = "N", value_parser = number)]
        number: usize,
        /// How urgent
        #[arg(value_name = "high|normal|low", value_parser = priorities())]
        priority: Priority,
    },
    /// List what is sent to others, and was of late
    ///
    /// Who has all of a file in place says so: then it is delivered.
    #[command(override_usage = "uploads")]
    Uploads,
    /// Show how this servent is
    #[command(override_usage = "status")]
    Status,
    /// Show the settings, or change one, now and for later starts
    ///
    /// Without a key it lists them all, with where each value came from; with a key it
    /// explains that one. A value counts at once, for running transfers too, and is
    /// remembered; --forget lets flags, config.toml and the default count again.
    #[command(override_usage = "set [KEY [VALUE | --forget]]")]
    Set {
        /// Forget what was set
        #[arg(long, requires = "key", conflicts_with = "value")]
        forget: bool,
        /// max-upload, max-download, share-downloads, name, news, serve, browse, map-port, lan,
        /// trace-name or mesh
        #[arg(value_name = "KEY", value_parser = key)]
        key: Option<Key>,
        /// Its value
        #[arg(value_name = "VALUE")]
        value: Vec<String>,
    },
    /// Give files to others, or no longer
    ///
    /// Off, this servent stays in the mesh and passes on what others search, but shows
    /// and gives nobody what it shares; uploads end at once, and who downloads asks again
    /// later. It is remembered.
    #[command(override_usage = "serve on|off")]
    Serve {
        /// Whether to give
        #[arg(value_name = "on|off")]
        switch: Switch,
    },
    /// List the limits that this servent keeps, and what happens there
    #[command(override_usage = "limits")]
    Limits,
    /// Tell when neighbours come and go, or no longer
    ///
    /// follow tells everything that happens, as it happens, until Ctrl-C.
    #[command(override_usage = "news on|off|follow")]
    News {
        /// What to tell
        #[arg(value_name = "on|off|follow")]
        telling: Telling,
    },
    /// Wait until download N, or every download, is over
    #[command(override_usage = "wait [N]")]
    Wait {
        /// A download
        #[arg(value_name = "N", value_parser = number)]
        number: Option<usize>,
    },
    /// List the commands, or explain one
    #[command(override_usage = "help [COMMAND]", alias = "?")]
    Help {
        /// The command to explain
        command: Option<String>,
    },
    /// Say goodbye and stop
    ///
    /// At a prompt that is attached to a running servent it only leaves the prompt, and
    /// the servent goes on.
    #[command(override_usage = "quit [--stop]", alias = "exit")]
    Quit {
        /// Stop the servent even from an attached prompt
        #[arg(long)]
        stop: bool,
    },
}

/// In which order results are listed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResultOrder {
    /// By name.
    Name,
    /// The largest first.
    Size,
    /// Those of most sources first.
    Sources,
    /// The newest first.
    Modified,
}

/// In which order published files are listed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum SharedSort {
    /// By where they lie.
    Path,
    /// By name.
    Name,
    /// The largest first.
    Size,
    /// The newest first.
    Modified,
}

/// On or off.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Switch {
    /// Yes.
    On,
    /// No.
    Off,
}

/// Which news are told.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Telling {
    /// All.
    On,
    /// All but neighbours that come and go.
    Off,
    /// All, from now on until interrupted.
    Follow,
}

//! The program's command line: definitions, nothing else. What a value means is decided
//! in [`crate::config`].

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, Parser, Subcommand, ValueEnum};

mod sim;

pub use sim::{CrowdArgs, SimArgs};

/// A serverless file-sharing servent: join, search, publish and download with no server
/// anywhere.
///
/// Without a subcommand it starts a servent and a prompt; lines from a pipe are obeyed in
/// order. Flags can also be set as PART2PART_* in the environment.
#[derive(Parser, Clone, Debug)]
#[command(name = "part2part", version, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// What to do; none: a servent and a prompt.
    #[command(subcommand)]
    pub task: Option<Task>,
    /// The servent of the prompt.
    #[command(flatten)]
    pub servent: ServentArgs,
}

/// What the program can do besides the prompt.
#[derive(Subcommand, Clone, Debug)]
pub enum Task {
    /// Run a servent without a prompt, in the foreground
    ///
    /// It prints `listening on ADDR as ID` when it is ready, logs to the standard error
    /// (RUST_LOG sets how much), and stops politely on SIGTERM, SIGINT and SIGHUP.
    Daemon(ServentArgs),
    /// Show every setting that a servent would have, and where it came from
    ///
    /// It takes the flags that the servent takes, starts nothing, and works while the
    /// servent runs. Flags go before PART2PART_* in the environment, that before what was
    /// `set` at the prompt, that before config.toml, that before the default.
    Config(ConfigArgs),
    /// Have a running servent obey one command
    ///
    /// The exit code is 0 when it did, 1 when it failed, 2 for bad usage, 3 when no servent
    /// runs, 4 when nothing was found, 5 when time ran out, 130 when interrupted.
    Ctl(CtlArgs),
    /// Print the content ids of files, as b3sum does
    Hash {
        /// Files; `-` is the standard input
        #[arg(value_name = "FILE", required = true)]
        files: Vec<PathBuf>,
    },
    /// Simulate a mesh: what will a mesh of N servents cost, and reach?
    ///
    /// It runs the engine of the servent itself, many times over on one virtual clock, and
    /// uses no network. It tells what searches reach and cost, when the first hit comes and
    /// when the end is known, how evenly servents are linked and how busy the busiest is.
    ///
    /// With --crowd it tells what happens when many want one file at the same moment: when
    /// the first, the middle and the last one have it, beside the least time that this could
    /// take, what the source sends and what the crowd sends itself, and what is wasted.
    Sim(SimArgs),
    /// Print the JSON Schema of what --json prints
    Schema {
        /// Whose --json
        #[arg(value_name = "OF", value_enum, default_value_t = Described::Replies)]
        of: Described,
    },
    /// Print what a shell completes the program's words with
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the man page
    Man,
    /// Make the key of a private mesh
    NetworkKey {
        /// What to do with it.
        #[command(subcommand)]
        task: NetworkKeyTask,
    },
}

/// A shell that completes words.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shell {
    /// GNU Bash
    Bash,
    /// The Z shell
    Zsh,
    /// The friendly interactive shell
    Fish,
}

/// What prints JSON.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum Described {
    /// What commands answer
    Replies,
    /// What a simulation reports
    Sim,
    /// What the simulation of a crowd reports
    Crowd,
}

/// What can be done with a network key.
#[derive(Subcommand, Clone, Debug)]
pub enum NetworkKeyTask {
    /// Write a fresh key into a new file, which every member of the mesh then needs
    New {
        /// The file; it must not be there yet
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Which servent's state is meant.
#[derive(Args, Clone, Debug, Default)]
pub struct StateArgs {
    /// Keep keys, shares and the control socket in this folder
    /// [default: $XDG_STATE_HOME/part2part]
    #[arg(long, value_name = "DIR", env = "PART2PART_STATE")]
    pub state: Option<PathBuf>,
    /// Use the subfolder NAME of the state folder: a second servent of the same user
    #[arg(long, value_name = "NAME", env = "PART2PART_PROFILE")]
    pub profile: Option<String>,
}

/// Whose settings are shown, and how.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
    /// The servent.
    #[command(flatten)]
    pub servent: ServentArgs,
    /// Answer in JSON
    #[arg(long)]
    pub json: bool,
}

/// How a servent is started.
#[derive(Args, Clone, Debug, Default)]
pub struct ServentArgs {
    /// Join through this servent: HOST:PORT, ID@HOST:PORT, or a friend's line; may be
    /// repeated
    #[arg(long, value_name = "ADDR", env = "PART2PART_JOIN")]
    pub join: Vec<String>,
    /// Publish this file or folder, now and at later starts; may be repeated
    #[arg(long, value_name = "PATH", env = "PART2PART_SHARE")]
    pub share: Vec<PathBuf>,
    /// Leave out of published folders what this pattern matches, as .gitignore has them
    /// (a .part2partignore in a folder does the same there); may be repeated
    #[arg(long, value_name = "GLOB", env = "PART2PART_IGNORE")]
    pub ignore: Vec<String>,
    /// Listen here: IP:PORT, or :PORT on every interface; port 0 takes a free one
    /// [default: :7272]
    #[arg(long, value_name = "ADDR", env = "PART2PART_LISTEN")]
    pub listen: Option<String>,
    /// Tell others to dial IP:PORT, instead of what can be found out
    #[arg(long, value_name = "ADDR", env = "PART2PART_ANNOUNCE")]
    pub announce: Option<SocketAddr>,
    /// Put downloads into this folder [default: part2part in the user's downloads folder]
    #[arg(long, value_name = "DIR", env = "PART2PART_DOWNLOADS")]
    pub downloads: Option<PathBuf>,
    /// Which state to use.
    #[command(flatten)]
    pub state: StateArgs,
    /// Show others this name; everybody may claim any, so it proves nothing
    #[arg(long, value_name = "TEXT", env = "PART2PART_NAME")]
    pub name: Option<String>,
    /// Take part in the private mesh of this key file only
    #[arg(long, value_name = "FILE", env = "PART2PART_NETWORK_KEY")]
    pub network_key: Option<PathBuf>,
    /// Keep exactly the links asked for
    #[arg(long, env = "PART2PART_MANUAL", value_parser = BoolishValueParser::new())]
    pub manual: bool,
    /// Ask the router to pass a port on to this servent (PCP, NAT-PMP or UPnP)
    #[arg(long, env = "PART2PART_MAP_PORT", value_parser = BoolishValueParser::new())]
    pub map_port: bool,
    /// Find servents on the local network, and be found there (mDNS)
    #[arg(long, env = "PART2PART_LAN", value_parser = BoolishValueParser::new())]
    pub lan: bool,
    /// Send at most this many bytes of files a second: 500kB, 10MB, 1MiB, or off
    #[arg(long, value_name = "RATE", env = "PART2PART_MAX_UPLOAD")]
    pub max_upload: Option<String>,
    /// Receive at most this many bytes of files a second
    #[arg(long, value_name = "RATE", env = "PART2PART_MAX_DOWNLOAD")]
    pub max_download: Option<String>,
    /// Do not share what was downloaded
    #[arg(long, env = "PART2PART_NO_SHARE_DOWNLOADS", value_parser = BoolishValueParser::new())]
    pub no_share_downloads: bool,
    /// Let nobody look through what is shared; searches find it all the same
    #[arg(long, env = "PART2PART_NO_BROWSE", value_parser = BoolishValueParser::new())]
    pub no_browse: bool,
    /// Read these settings instead of those in $XDG_CONFIG_HOME/part2part/config.toml (with
    /// --profile in part2part/NAME/config.toml); keys are flags without their dashes
    #[arg(long, value_name = "FILE", env = "PART2PART_CONFIG")]
    pub config: Option<PathBuf>,
    /// Be somebody new, and leave nothing behind but downloads
    #[arg(long, env = "PART2PART_EPHEMERAL", value_parser = BoolishValueParser::new())]
    pub ephemeral: bool,
}

/// One command to a running servent.
#[derive(Args, Clone, Debug)]
pub struct CtlArgs {
    /// Which servent.
    #[command(flatten)]
    pub state: StateArgs,
    /// Answer in JSON, one object a line
    #[arg(long)]
    pub json: bool,
    /// The command, as the prompt takes it
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true)]
    #[arg(allow_hyphen_values = true)]
    pub command: Vec<String>,
}

/// The flags of the prompt's own servent that stand on the command line, with their
/// dashes: not those that the environment sets.
#[must_use]
pub fn given(matches: &ArgMatches) -> Vec<String> {
    let grammar = Arguments::command();
    let on_the_line = grammar.get_arguments().filter(|argument| {
        let source = matches.value_source(argument.get_id().as_str());
        source == Some(ValueSource::CommandLine)
    });
    on_the_line.filter_map(|argument| argument.get_long()).map(|l| format!("--{l}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once(&"part2part").chain(words))
    }

    #[test]
    fn the_definitions_hold_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn flags_repeat_and_come_after_daemon_as_well() {
        let flags = ["--join", "a:1", "--join", "b:2", "--share", "x", "--manual"];
        let prompt = parse(&flags).unwrap();
        assert!(prompt.task.is_none());
        assert_eq!(prompt.servent.join, ["a:1", "b:2"]);
        let daemon = [&["daemon"], &flags[..]].concat();
        match parse(&daemon).unwrap().task {
            Some(Task::Daemon(servent)) => assert!(servent.manual && servent.join.len() == 2),
            other => panic!("{other:?}"),
        }
        assert!(parse(&["--manual", "daemon"]).is_err(), "a flag that would be ignored");
    }

    #[test]
    fn flags_of_the_command_line_are_told_from_defaults() {
        let words = ["part2part", "--share", "x", "--max-upload", "1MB", "--manual", "--state=s"];
        let matches = Arguments::command().try_get_matches_from(words).unwrap();
        let mut flags = given(&matches);
        flags.sort();
        assert_eq!(flags, ["--manual", "--max-upload", "--share", "--state"]);
        assert_eq!(given(&Arguments::command().get_matches_from(["part2part"])), [""; 0]);
    }

    #[test]
    fn the_command_of_ctl_keeps_its_dashes() {
        let words = ["ctl", "--json", "--profile", "b", "search", "-live", "--all", "--json", "x"];
        match parse(&words).unwrap().task {
            Some(Task::Ctl(ctl)) => {
                assert!(ctl.json);
                assert_eq!(ctl.command, ["search", "-live", "--all", "--json", "x"]);
            }
            other => panic!("{other:?}"),
        }
        assert!(parse(&["ctl"]).is_err());
    }
}

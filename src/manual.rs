//! Texts made from the definitions of the command line and of the prompt's commands: the
//! man page, and what shells complete.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_complete::generate;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::{Arguments, Shell};
use crate::command::{Exit, grammar};
use crate::config;

/// The program's name, as it is typed.
const NAME: &str = "part2part";
/// How wide the texts of commands are, in columns: readers of man pages indent them on
/// terminals of 80.
const WIDTH: usize = 72;

/// Files that people meet, and what they are.
const FILES: [(&str, &str); 13] = [
    ("$XDG_CONFIG_HOME/part2part/config.toml", "settings; see CONFIGURATION"),
    ("$XDG_STATE_HOME/part2part", "the state folder: open to its user only, and never shared"),
    ("STATE/key", "who this servent is; whoever has it can be this servent"),
    ("STATE/network.key", "the key of a private mesh that came in a friend's line"),
    ("STATE/hosts", "servents known from earlier in the open mesh"),
    ("STATE/hosts-TAG", "those of a private mesh; TAG follows from its key and does not tell it"),
    ("STATE/shares.redb", "what is published, and the hashes of it"),
    ("STATE/downloads", "the downloads that go on at the next start"),
    ("STATE/wanted", "the standing searches"),
    ("STATE/settings", "what was set at the prompt"),
    ("STATE/history", "the lines typed at the prompt"),
    ("STATE/ctl.sock", "the socket by which 'part2part ctl' speaks to a running servent"),
    ("DOWNLOADS/.part2part", "downloads that are not complete"),
];

/// Writes what `shell` completes the program's words with.
///
/// # Errors
/// When `out` is closed.
pub fn completions(shell: Shell, out: &mut impl Write) -> io::Result<()> {
    // The generators write to what cannot fail.
    let mut text = Vec::new();
    let mut program = Arguments::command().mut_subcommand("ctl", |ctl| knowing_commands(&ctl));
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    generate(shell, &mut program, NAME, &mut text);
    out.write_all(&text)?;
    out.flush()
}

/// `ctl` with the commands that it takes as its subcommands, which it is not defined by:
/// it passes on any line.
fn knowing_commands(ctl: &Command) -> Command {
    let flags = ctl.get_arguments().filter(|argument| argument.get_long().is_some());
    Command::new("ctl")
        .about(ctl.get_about().cloned().unwrap_or_default())
        .disable_help_subcommand(true)
        .args(flags)
        .subcommands(grammar::definitions())
}

/// Writes the man page.
///
/// # Errors
/// When `out` is closed.
pub fn man(out: &mut impl Write) -> io::Result<()> {
    let program = Arguments::command();
    let page = Man::new(program.clone());
    page.render_title(out)?;
    page.render_name_section(out)?;
    page.render_synopsis_section(out)?;
    page.render_description_section(out)?;
    page.render_options_section(out)?;
    subcommands(&program).to_writer(out)?;
    commands().to_writer(out)?;
    configuration().to_writer(out)?;
    listed("FILES", FILES.iter().map(|(file, what)| ((*file).to_owned(), *what))).to_writer(out)?;
    environment(&program).to_writer(out)?;
    let exits = Exit::ALL.iter().map(|exit| (exit.code().to_string(), exit.meaning()));
    listed("EXIT STATUS", exits).to_writer(out)?;
    page.render_version_section(out)?;
    out.flush()
}

/// What the program does besides the prompt; flags of a servent are told once.
fn subcommands(program: &Command) -> Roff {
    let servent: Vec<_> = program.get_arguments().map(clap::Arg::get_id).collect();
    let mut page = Roff::new();
    page.control("SH", ["SUBCOMMANDS"]);
    for task in program.get_subcommands().filter(|task| task.get_name() != "help") {
        page.control("SS", [format!("{NAME} {}", task.get_name()).as_str()]);
        let about = task.get_long_about().or(task.get_about()).map(ToString::to_string);
        page.text([roman(about.unwrap_or_default())]);
        let own = |argument: &&clap::Arg| {
            argument.get_id() != "help" && !servent.contains(&argument.get_id())
        };
        if task.get_arguments().any(|argument| argument.get_id() == "listen") {
            page.control("PP", []);
            page.text([roman("It takes the options above.")]);
        }
        for argument in task.get_arguments().filter(own) {
            page.control("TP", []);
            let long = argument.get_long().map(|long| format!("--{long}"));
            let value = argument.get_value_names().and_then(|names| names.first());
            let name = long.or(value.map(ToString::to_string)).unwrap_or_default();
            page.text([bold(name)]);
            page.text([roman(argument.get_help().map(ToString::to_string).unwrap_or_default())]);
        }
        for inner in task.get_subcommands().filter(|inner| inner.get_name() != "help") {
            page.control("TP", []);
            page.text([bold(inner.get_name())]);
            page.text([roman(inner.get_about().map(ToString::to_string).unwrap_or_default())]);
        }
    }
    page
}

/// The commands of the prompt, which `ctl` and pipes take as well.
fn commands() -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["COMMANDS"]);
    page.text([roman("What the prompt, lines from a pipe, and ctl take:")]);
    for name in grammar::names() {
        page.control("SS", [name.as_str()]);
        page.control("nf", []);
        let help = grammar::help_within(name, WIDTH).unwrap_or_default();
        for line in help.lines() {
            page.text([roman(line)]);
        }
        page.control("fi", []);
    }
    page
}

fn configuration() -> Roff {
    let mut page = Roff::new();
    page.control("SH", ["CONFIGURATION"]);
    page.text([roman(
        "config.toml holds a line KEY = VALUE for each setting. Flags go before the \
         environment, that before what was set at the prompt, that before config.toml, that \
         before the defaults; 'part2part config' shows what counts. In paths ~ is the home \
         folder, and a relative path begins at the folder of the file. The keys are:",
    )]);
    page.control("PP", []);
    page.text([roman(format!("{}.", config::keys().join(", ")))]);
    page
}

fn environment(program: &Command) -> Roff {
    let variable = |argument: &clap::Arg| {
        let name = argument.get_env()?.to_string_lossy().into_owned();
        Some((name, argument.get_long().map(|long| format!("as --{long}"))?))
    };
    let variables = program.get_arguments().filter_map(variable);
    let others = [
        ("NO_COLOR", "when it is set, the prompt uses no colours"),
        ("RUST_LOG", "how much a daemon says on its standard error: error, warn, info, debug"),
    ];
    let others = others.map(|(name, what)| (name.to_owned(), what.to_owned()));
    listed("ENVIRONMENT", variables.chain(others))
}

/// A section of names and what they are.
fn listed(title: &str, rows: impl Iterator<Item = (String, impl Into<String>)>) -> Roff {
    let mut page = Roff::new();
    page.control("SH", [title]);
    for (name, what) in rows {
        page.control("TP", []);
        page.text([bold(name)]);
        page.text([roman(what)]);
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The page as a reader sees it, without what only typesetters do.
    fn page() -> String {
        let mut out = Vec::new();
        man(&mut out).unwrap();
        String::from_utf8(out).unwrap().replace("\\-", "-").replace("\\(aq", "'")
    }

    fn completed(shell: Shell) -> String {
        let mut out = Vec::new();
        completions(shell, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_man_page_names_every_flag_subcommand_command_key_and_exit_code() {
        let page = page();
        let program = Arguments::command();
        for flag in program.get_arguments().filter_map(clap::Arg::get_long) {
            assert!(page.contains(&format!("--{flag}")), "{flag}");
        }
        for task in program.get_subcommands() {
            assert!(page.contains(&format!("part2part {}", task.get_name())), "{task}");
        }
        for name in grammar::names() {
            assert!(page.contains(&format!("Usage: {name}")), "{name}");
        }
        for key in config::keys() {
            assert!(page.contains(key), "{key}");
        }
        for exit in Exit::ALL {
            assert!(page.contains(&format!("{}\\fR\n{}", exit.code(), exit.meaning())), "{exit:?}");
        }
        for section in ["NAME", "SYNOPSIS", "FILES", "ENVIRONMENT", "\"EXIT STATUS\""] {
            assert!(page.contains(&format!(".SH {section}\n")), "{section}");
        }
    }

    #[test]
    fn the_man_page_holds_every_word_of_the_help_in_lines_that_fit() {
        let page = page().replace("\\*(Aq", "'").replace("\\&", "");
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let flat = words(&page);
        for name in grammar::names() {
            let help = grammar::help(Some(name)).unwrap();
            assert!(flat.contains(&words(&help)), "{name}: {help}");
        }
        let (_, commands) = page.split_once(".SH COMMANDS\n").unwrap();
        let (commands, _) = commands.split_once(".SH CONFIGURATION\n").unwrap();
        let longest = commands.lines().max_by_key(|line| line.chars().count()).unwrap();
        assert!(longest.chars().count() <= WIDTH, "{longest}");
    }

    #[test]
    fn every_shell_completes_every_flag_and_subcommand() {
        let program = Arguments::command();
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let script = completed(shell);
            for flag in program.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(script.contains(flag), "{shell:?} {flag}");
            }
            for task in program.get_subcommands() {
                assert!(script.contains(task.get_name()), "{shell:?} {task}");
            }
            // Behind `ctl` stand the commands, each where this shell looks for them.
            for name in grammar::names() {
                let place = match shell {
                    Shell::Bash => format!("__ctl,{name})"),
                    Shell::Zsh => format!("'{name}:"),
                    Shell::Fish => format!(
                        "subcommand ctl; and not __fish_seen_subcommand_from {}",
                        grammar::names().join(" ")
                    ),
                };
                assert!(script.contains(&place), "{shell:?} {name}\n{script}");
            }
        }
    }
}

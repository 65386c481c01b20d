//! What the grammar says of itself: names, usage, help texts.

use std::sync::LazyLock;

use clap::CommandFactory;

use super::line::unknown;
use super::{HELP_WIDTH, Line, UsageError};

/// The names of all commands, as `help` lists them.
#[must_use]
pub fn names() -> &'static [String] {
    static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| {
        Line::command().get_subcommands().map(|command| command.get_name().to_owned()).collect()
    });
    &NAMES
}

/// The definitions of all commands, for what shells complete.
#[must_use]
pub fn definitions() -> Vec<clap::Command> {
    Line::command().get_subcommands().cloned().collect()
}

/// How `name` is used, without its name: what the prompt hints at.
#[must_use]
pub fn usage_of(name: &str) -> Option<String> {
    let mut grammar = Line::command();
    let usage = grammar.find_subcommand_mut(name)?.render_usage().to_string();
    let rest = usage.trim_start_matches("Usage:").trim().strip_prefix(name)?.trim().to_owned();
    (!rest.is_empty()).then_some(rest)
}

/// The text of `help` and `help COMMAND`.
///
/// # Errors
/// [`UsageError`] when there is no such command.
pub fn help(command: Option<&str>) -> Result<String, UsageError> {
    let Some(name) = command else {
        let grammar = Line::command();
        let about = |command: &clap::Command| {
            command.get_about().map(ToString::to_string).unwrap_or_default()
        };
        let rows =
            grammar.get_subcommands().map(|c| format!("  {:<10} {}\n", c.get_name(), about(c)));
        let rows: String = rows.collect();
        return Ok(format!("{rows}'help COMMAND' explains one of them."));
    };
    help_within(name, HELP_WIDTH)
}

/// The text of `help COMMAND` in lines of at most `width` columns.
///
/// # Errors
/// [`UsageError`] when there is no such command.
pub fn help_within(command: &str, width: usize) -> Result<String, UsageError> {
    let mut grammar = Line::command();
    let found = grammar.find_subcommand_mut(command).ok_or_else(|| unknown(command))?;
    let mut found = std::mem::take(found).disable_help_flag(true).term_width(width);
    Ok(found.render_long_help().to_string().trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::{Command, parse};
    use super::*;

    #[test]
    fn the_grammar_holds_together() {
        Line::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_that_fits_a_terminal() {
        let overview = help(None).unwrap();
        for name in names() {
            assert!(overview.contains(&format!("  {name} ")), "{name}");
            let text = help(Some(name)).unwrap();
            assert!(text.contains(&format!("Usage: {name}")), "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= HELP_WIDTH), "{text}");
            let asked = Some(Command::Help { command: Some(name.clone()) });
            assert_eq!(parse(&format!("{name} --help")), Ok(asked));
        }
        assert!(help(Some("serach")).unwrap_err().to_string().contains("'search'"));
    }
}

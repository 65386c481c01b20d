//! Settings and limits as text.

use crate::base::escape::Escaped;
use crate::command::layout::{Column, grouped, size, table};
use crate::servent::report::{LimitReport, SettingReport, Unit};

fn value(setting: &SettingReport) -> String {
    if setting.value.is_empty() { "-".to_owned() } else { setting.value.clone() }
}

/// Every key with its value and where that came from.
pub(super) fn settings_table(settings: &[SettingReport], width: Option<usize>) -> String {
    let row = |setting: &SettingReport| {
        let origin = Escaped(&setting.origin).to_string();
        vec![setting.key.clone(), value(setting), origin]
    };
    let rows: Vec<_> = settings.iter().map(row).collect();
    let notes = settings.iter().filter_map(|setting| setting.note.as_deref());
    let notes: String = notes.map(|note| format!("{}\n", Escaped(note))).collect();
    table(&[Column::Left, Column::Name, Column::Left], &rows, width) + &notes
}

/// One key at length.
pub(super) fn one_setting(setting: &SettingReport) -> String {
    format!("{}  {}\n", set(setting), Escaped(&setting.help))
}

/// What a key is now.
pub(super) fn set(setting: &SettingReport) -> String {
    let (value, origin) = (value(setting), Escaped(&setting.origin));
    let note = setting.note.as_deref().map(|note| format!("  {}\n", Escaped(note)));
    format!("{} is {} ({origin})\n{}", setting.key, Escaped(&value), note.unwrap_or_default())
}

pub(super) fn limits_table(limits: &[LimitReport], width: Option<usize>) -> String {
    let row = |limit: &LimitReport| {
        let number = grouped(limit.value);
        let value = match limit.unit {
            Unit::Number => number,
            Unit::Bytes => size(limit.value),
            Unit::PerSecond => format!("{number}/s"),
            Unit::PerMinute => format!("{number}/min"),
            Unit::Seconds => format!("{number} s"),
        };
        vec![limit.name.clone(), value, limit.then.clone()]
    };
    let rows: Vec<_> = limits.iter().map(row).collect();
    // A limit's name says what is limited: it is no name to be cut.
    table(&[Column::Left, Column::Right, Column::Left], &rows, width)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_named_whole_on_the_narrowest_terminal() {
        let limit = |name: &str, then: &str| LimitReport {
            name: name.to_owned(),
            value: 4096,
            unit: Unit::PerSecond,
            then: then.to_owned(),
        };
        let limits = [
            limit("hops of a search", "nobody further is asked"),
            limit("queries that a neighbour may send", "those beyond are answered for nobody"),
        ];
        for width in 40..90 {
            let shown = limits_table(&limits, Some(width));
            assert!(shown.lines().all(|line| line.chars().count() <= width), "{shown}");
            let flat = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            for limit in &limits {
                assert!(flat.contains(&format!("{} 4,096/s", limit.name)), "{width}: {shown}");
                assert!(flat.contains(&limit.then), "{width}: {shown}");
            }
        }
    }
}

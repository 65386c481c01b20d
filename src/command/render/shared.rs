//! What is shared, and what a publication did.

use crate::base::escape::Escaped;
use crate::command::layout::{Column, count, grouped, size, table};
use crate::servent::report::{LeftOutCount, PublishReport, SharedReport};

pub(super) fn published(asked: &str, report: &PublishReport) -> String {
    let mut text = format!(
        "sharing {}, {} in {}",
        count(report.files as u64, "file"),
        size(report.bytes),
        Escaped(asked)
    );
    if report.unchanged > 0 {
        text.push_str(&format!("; {} as before", grouped(report.unchanged as u64)));
    }
    text.push('\n');
    if report.left_out > 0 {
        text.push_str(&format!("left out: {}{}\n", grouped(report.left_out as u64), why(report)));
        for example in &report.examples {
            text.push_str(&format!("  {}: {}\n", Escaped(&example.path), Escaped(&example.why)));
        }
        if report.unnamed() > 0 {
            text.push_str("  ...\n");
        }
    }
    text
}

/// The reasons: ` (hidden)` where there is one, ` (3 hidden, 1 symbolic link)`.
fn why(report: &PublishReport) -> String {
    let reason = |counted: &LeftOutCount| Escaped(&counted.reason).to_string();
    match report.reasons.as_slice() {
        [] => String::new(),
        [only] => format!(" ({})", reason(only)),
        many => {
            let each =
                many.iter().map(|one| format!("{} {}", grouped(one.count as u64), reason(one)));
            format!(" ({})", each.collect::<Vec<_>>().join(", "))
        }
    }
}

pub(super) fn shared_table(files: &[SharedReport], width: Option<usize>) -> String {
    if files.is_empty() {
        return "nothing is shared; 'publish PATH' shares a file or a folder\n".into();
    }
    let row = |file: &SharedReport| {
        vec![file.id.short(), size(file.size), file.path.display().to_string()]
    };
    let rows: Vec<_> = files.iter().map(row).collect();
    let mut text = table(&[Column::Left, Column::Right, Column::Name], &rows, width);
    let bytes = files.iter().fold(0u64, |sum, file| sum.saturating_add(file.size));
    text.push_str(&format!("{}, {}\n", count(files.len() as u64, "file"), size(bytes)));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servent::report::LeftOut;

    fn left_out(reasons: &[(&str, usize)], examples: usize) -> String {
        let example = LeftOut { path: "/s/x".into(), why: "it is a symbolic link".into() };
        let counted =
            |(why, count): &(&str, usize)| LeftOutCount { reason: (*why).into(), count: *count };
        let report = PublishReport {
            files: 1,
            bytes: 1,
            unchanged: 0,
            left_out: reasons.iter().map(|(_, count)| count).sum(),
            reasons: reasons.iter().map(counted).collect(),
            examples: vec![example; examples],
        };
        published("/s", &report).lines().skip(1).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn what_is_left_out_is_told_with_its_reasons() {
        assert_eq!(left_out(&[], 0), "");
        assert_eq!(left_out(&[("hidden", 1)], 0), "left out: 1 (hidden)");
        let link = "  /s/x: it is a symbolic link";
        let said = format!("left out: 4 (3 hidden, 1 symbolic link)\n{link}");
        assert_eq!(left_out(&[("hidden", 3), ("symbolic link", 1)], 1), said);
        let many = left_out(&[("symbolic link", 2)], 1);
        assert_eq!(many, format!("left out: 2 (symbolic link)\n{link}\n  ..."));
    }
}

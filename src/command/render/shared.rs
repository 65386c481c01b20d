//! What is shared, and what a publication did.

use crate::base::escape::Escaped;
use crate::command::layout::{Column, count, grouped, size, table};
use crate::servent::report::{PublishReport, SharedReport};

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
        text.push_str(&format!("left out: {}\n", grouped(report.left_out as u64)));
        for example in &report.examples {
            text.push_str(&format!("  {}: {}\n", Escaped(&example.path), Escaped(&example.why)));
        }
        if report.left_out > report.examples.len() {
            text.push_str("  ...\n");
        }
    }
    text
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

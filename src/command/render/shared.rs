//! What is shared, and what a publication did.

use crate::base::escape::Escaped;
use crate::command::layout::{Column, count, day, grouped, size, table};
use crate::servent::report::{
    FileType, FolderReport, LeftOutCount, PublishReport, SharedListing, SharedReport, SharedTotals,
    TypeTotal,
};

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

pub(super) fn shared_table(listing: &SharedListing, width: Option<usize>) -> String {
    let SharedListing { files, folders, filtered, page, more, totals } = listing;
    if files.is_empty() && folders.is_empty() {
        return match totals {
            Some(totals) if totals.files == 0 => match filtered {
                true => "nothing that is shared fits; 'shared' lists all\n".into(),
                false => "nothing is shared; 'publish PATH' shares a file or a folder\n".into(),
            },
            _ => String::new(),
        };
    }
    let folder = |folder: &FolderReport| {
        let path = format!("{}/", folder.path.display());
        vec![count(folder.files, "file"), size(folder.bytes), String::new(), path]
    };
    let row = |file: &SharedReport| {
        // A name that is not the path's is said beside it.
        let own = file.path.file_name().is_some_and(|own| own.to_string_lossy() == file.name);
        let path = file.path.display().to_string();
        let path = if own { path } else { format!("{path} (as {})", file.name) };
        vec![file.id.short(), size(file.size), modified(file.modified), path]
    };
    let rows: Vec<_> = folders.iter().map(folder).chain(files.iter().map(row)).collect();
    let columns = [Column::Left, Column::Right, Column::Left, Column::Name];
    let mut text = table(&columns, &rows, width);
    let Some(totals) = totals else { return text };
    text.push_str(&format!("{}, {}", count(totals.files, "file"), size(totals.bytes)));
    if totals.files > 1 {
        text.push_str(&format!(" in {}: {}", count(totals.folders, "folder"), types(totals)));
    }
    text.push('\n');
    if let (Some(page), true) = (page, more) {
        text.push_str(&format!("page {page}; --page {} shows the next one\n", page + 1));
    }
    text
}

/// How many there are of each type: `3 audio, 1 other`.
fn types(totals: &SharedTotals) -> String {
    let known = totals.types.iter().filter(|total| total.file_type.is_some());
    let other = totals.types.iter().filter(|total| total.file_type.is_none());
    let one = |total: &TypeTotal| format!("{} {}", grouped(total.files), word(total.file_type));
    known.chain(other).map(one).collect::<Vec<_>>().join(", ")
}

/// The word for a type, or for none.
pub(super) fn word(file_type: Option<FileType>) -> &'static str {
    file_type.map_or("other", FileType::word)
}

/// The day of a modification, or a dash.
pub(super) fn modified(secs: Option<u64>) -> String {
    secs.map_or_else(|| "-".to_owned(), day)
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

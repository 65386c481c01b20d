//! What another servent says that it shares.

use super::shared::modified;
use crate::command::layout::{Column, MAX_NAME, cut, servent, size, table};
use crate::servent::report::{BrowseReport, BrowsedReport, FileType};

/// Columns of a folder's line before its name: those of a file's number and size.
const INDENT: usize = 15;

pub(super) fn page(report: &BrowseReport, width: Option<usize>) -> String {
    let who = servent(&report.servent_name, &report.servent);
    let mut text = format!("{who}, page {}\n", report.page);
    if !report.folder.is_empty() {
        let room = width.unwrap_or(MAX_NAME).min(MAX_NAME).saturating_sub(3);
        text.push_str(&format!("in {}\n", cut(&report.folder, room)));
    }
    let room = width.unwrap_or(MAX_NAME + INDENT).saturating_sub(INDENT + 1);
    for folder in &report.folders {
        text.push_str(&format!("{:INDENT$}{}/\n", "", cut(folder, room.max(1))));
    }
    let row = |file: &BrowsedReport| {
        let kind = file.file_type.map_or("-", FileType::word).to_owned();
        let name = file.name.clone();
        vec![format!("{:>4}", file.number), size(file.size), name, kind, modified(file.modified)]
    };
    let rows: Vec<_> = report.files.iter().map(row).collect();
    let columns = [Column::Right, Column::Right, Column::Name, Column::Left, Column::Left];
    text.push_str(&table(&columns, &rows, width));
    if report.files.is_empty() && report.folders.is_empty() {
        text.push_str("nothing more is there\n");
    }
    if report.more {
        text.push_str("there is more; the same line again shows the next page\n");
    }
    if !report.folders.is_empty() {
        text.push_str("'browse PEER FOLDER' looks into a folder\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{ContentId, ServentId};

    #[test]
    fn a_page_names_folders_and_files_and_how_to_go_on() {
        let report = BrowseReport {
            servent: ServentId([7; 32]),
            servent_name: "attic".into(),
            folder: String::new(),
            page: 2,
            folders: vec!["So What".into(), "a\u{1b}[2Jb".into()],
            files: vec![BrowsedReport {
                number: 3,
                id: ContentId::of_nothing(),
                size: 31_400_000,
                name: "blue train.flac".into(),
                file_type: Some(FileType::Audio),
                modified: Some(1_000_000_000),
            }],
            more: true,
        };
        assert_eq!(
            page(&report, Some(80)),
            "attic~a4dqobyh, page 2\n\
             \x20              So What/\n\
             \x20              a\\u{1b}[2Jb/\n\
             \x20  3  31.4 MB  blue train.flac  audio  2001-09-09\n\
             there is more; the same line again shows the next page\n\
             'browse PEER FOLDER' looks into a folder\n"
        );
    }
}

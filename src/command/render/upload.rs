//! Uploads: a table, and the news of a delivery.

use crate::command::layout::{Column, MAX_NAME, cut, servent, size, table};
use crate::servent::report::{UploadReport, UploadState};

pub(super) fn uploads_table(uploads: &[UploadReport], width: Option<usize>) -> String {
    if uploads.is_empty() {
        return "nobody has taken anything from here since the start\n".into();
    }
    let row = |upload: &UploadReport| {
        let who = servent(&upload.peer_name, &upload.peer);
        let all = upload.sent >= upload.size;
        let state = match upload.state {
            UploadState::Idle | UploadState::Ended if all => format!("all sent to {who}"),
            UploadState::Sending => format!("{}/s to {who}", size(upload.rate)),
            UploadState::Queued { position } => format!("{who} waits: number {position}"),
            UploadState::Idle => format!("{who} asks for nothing now"),
            UploadState::Ended => format!("{who} has gone"),
            UploadState::Delivered => format!("delivered to {who}"),
        };
        let sent = format!("{} of {}", size(upload.sent), size(upload.size));
        vec![sent, upload.name.clone(), state]
    };
    let rows: Vec<_> = uploads.iter().map(row).collect();
    table(&[Column::Right, Column::Name, Column::Left], &rows, width)
}

pub(super) fn delivered(who: &str, file: &str) -> String {
    format!("\"{}\" delivered to {who}\n", cut(file, MAX_NAME))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::{ContentId, ServentId};

    pub(in crate::command::render) fn upload(state: UploadState) -> UploadReport {
        UploadReport {
            peer: ServentId([0; 32]),
            peer_name: "attic".into(),
            address: "127.0.0.1:1".parse().unwrap(),
            id: ContentId::of_nothing(),
            name: "x.iso".into(),
            size: 2000,
            sent: 1000,
            rate: 10,
            state,
        }
    }

    #[test]
    fn an_upload_says_to_whom_it_goes_and_where_it_stands() {
        let states = [
            UploadState::Sending,
            UploadState::Queued { position: 3 },
            UploadState::Idle,
            UploadState::Ended,
            UploadState::Delivered,
        ];
        let shown = uploads_table(&states.map(upload), None);
        let expected = [
            "10 B/s to attic~aaaaaaaa",
            "attic~aaaaaaaa waits: number 3",
            "attic~aaaaaaaa asks for nothing now",
            "attic~aaaaaaaa has gone",
            "delivered to attic~aaaaaaaa",
        ];
        let expected = expected.map(|state| format!("1.00 kB of 2.00 kB  x.iso  {state}\n"));
        assert_eq!(shown, expected.concat());
    }

    #[test]
    fn what_went_out_whole_and_was_never_confirmed_is_said_to_be_sent() {
        let sent = UploadReport { sent: 2000, ..upload(UploadState::Ended) };
        let shown = uploads_table(&[sent], None);
        assert_eq!(shown, "2.00 kB of 2.00 kB  x.iso  all sent to attic~aaaaaaaa\n");
    }
}

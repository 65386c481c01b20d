//! Frames of browsing, written and read from the page of the protocol alone.

use super::frames::{BROWSE, FakeFile, Frame, LISTING, Put, Take};

/// Asks for a page of `folder`, from `cursor` on.
pub fn browse(folder: &str, cursor: &[u8]) -> Frame {
    let put = Put::default().text(folder).int(cursor.len() as u64).raw(cursor).end();
    Frame { kind: BROWSE, flags: 1, body: put.0 }
}

/// The folder and the cursor of a browse.
pub fn read_browse(frame: &Frame) -> (String, Vec<u8>) {
    let mut take = frame.open(BROWSE);
    let asked = (take.text(), bytes(&mut take));
    take.end();
    asked
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FakeListing {
    Page { folders: Vec<String>, files: Vec<FakeFile>, next: Option<Vec<u8>> },
    Closed,
    Later(u32),
    NoFolder,
    Stale,
}

impl FakeListing {
    /// The folders of a page come before its files.
    pub fn frame(&self) -> Frame {
        let put = match self {
            Self::Page { folders, files, next } => {
                let put = Put::default().int(0).int((folders.len() + files.len()) as u64);
                let put = folders.iter().fold(put, |put, name| put.int(0).text(name).end());
                let put = files.iter().fold(put, |put, file| {
                    put.int(1).raw(&file.id).int(file.size).text(&file.name).end()
                });
                match next {
                    Some(cursor) => put.int(1).int(cursor.len() as u64).raw(cursor),
                    None => put.int(0),
                }
            }
            Self::Closed => Put::default().int(1),
            Self::Later(secs) => Put::default().int(2).int((*secs).into()),
            Self::NoFolder => Put::default().int(3),
            Self::Stale => Put::default().int(4),
        };
        Frame { kind: LISTING, flags: 1, body: put.end().0 }
    }

    pub fn read(frame: &Frame) -> Self {
        let mut take = frame.open(LISTING);
        let listing = match take.int() {
            0 => {
                let (mut folders, mut files) = (Vec::new(), Vec::new());
                for _ in 0..take.int() {
                    match take.int() {
                        0 => folders.push(take.text()),
                        1 => {
                            let (id, size) = (take.array(), take.int());
                            files.push(FakeFile { id, size, name: take.text() });
                        }
                        other => panic!("no entry is {other}"),
                    }
                    take.extensions();
                }
                let next = take.bool().then(|| bytes(&mut take));
                Self::Page { folders, files, next }
            }
            1 => Self::Closed,
            2 => Self::Later(take.number()),
            3 => Self::NoFolder,
            4 => Self::Stale,
            other => panic!("no listing is {other}"),
        };
        take.end();
        listing
    }
}

fn bytes(take: &mut Take<'_>) -> Vec<u8> {
    let len = take.number();
    take.raw(len).to_vec()
}

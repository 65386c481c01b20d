//! A source that lies: it is found, lists the file truly, and gives other bytes.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::sync::Arc;

use part2part::base::Geometry;
use part2part::message::Manifest;
use part2part::transfer::{ListBuilder, PieceList};

use crate::fake_peer::{FakeListener, FakePeer, Options};
use crate::frames::*;

/// Bytes of a piece in one frame.
const FRAME: u64 = 256 * 1024;

struct Lie {
    list: PieceList,
    hit: Box<dyn Fn([u8; 16]) -> Frame + Send + Sync>,
}

/// Lies about `file` at `address` until the process ends; says first how it is joined.
pub(crate) fn run(address: &str, file: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let at = format!("{address}:0").parse().unwrap();
        let listener = FakeListener::bind_to(at, Options::new(66)).await.unwrap();
        let list = list_of(file);
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let (addr, id) = (listener.addr(), listener.id());
        let (content, size) = (list.id().0, list.geometry().size());
        let hit = move |guid| {
            let files = vec![FakeFile { id: content, size, name: name.clone() }];
            FakeHit {
                guid,
                hops: 0,
                responder: id.0,
                addresses: vec![addr],
                name: "liar".into(),
                unreachable: false,
                files,
                more: false,
            }
            .frame()
        };
        let lie = Arc::new(Lie { list, hit: Box::new(hit) });
        println!("{id}@{addr}");
        io::stdout().flush().unwrap();
        loop {
            let Ok(peer) = listener.accept().await else { continue };
            let Ok((peer, _)) = listener.greet(peer).await else { continue };
            let lie = Arc::clone(&lie);
            tokio::spawn(async move { lie.tell(peer).await });
        }
    });
}

fn list_of(file: &Path) -> PieceList {
    let mut file = File::open(file).unwrap();
    let geometry = Geometry::of(file.metadata().unwrap().len()).unwrap();
    let mut builder = ListBuilder::new(geometry);
    let mut bytes = Vec::new();
    while let Some(piece) = builder.next_piece() {
        bytes.resize(usize::try_from(geometry.len(piece)).unwrap(), 0);
        file.read_exact(&mut bytes).unwrap();
        builder.push(&bytes);
    }
    builder.finish().unwrap()
}

impl Lie {
    async fn tell(&self, mut peer: FakePeer) -> io::Result<()> {
        let (id, geometry) = (self.list.id().0, self.list.geometry());
        loop {
            let frame = match peer.recv().await {
                Err(error) if error.kind() == io::ErrorKind::TimedOut => continue,
                frame => frame?,
            };
            match frame.kind {
                PING => peer.send(&nonce(PONG, read_nonce(&frame))).await?,
                QUERY => {
                    let guid = FakeQuery::read(&frame).guid;
                    peer.send(&(self.hit)(guid)).await?;
                    peer.send(&FakeDone { guid, asked: 1, lost: 0 }.frame()).await?;
                }
                DESCRIBE => {
                    let (_, part) = read_describe(&frame);
                    let values = self.list.values().chunks(Manifest::PART).nth(part as usize);
                    let (values, size) = (values.unwrap_or_default().to_vec(), geometry.size());
                    peer.send(&FakeManifest { id, size, part, values }.frame()).await?;
                }
                REQUEST => {
                    let (_, ranges) = read_ranges(&frame);
                    for piece in ranges.into_iter().flat_map(|(first, n)| first..first + n) {
                        let length = geometry.piece(piece).map_or(0, |piece| geometry.len(piece));
                        for offset in (0..length).step_by(FRAME as usize) {
                            let bytes = vec![66; FRAME.min(length - offset) as usize];
                            let offset = u32::try_from(offset).unwrap();
                            peer.send(&FakeData { id, piece, offset, bytes }.frame()).await?;
                        }
                    }
                }
                _ => {}
            }
        }
    }
}

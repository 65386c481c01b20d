//! Neighbours, and known contacts.

use crate::command::layout::{Column, count, servent, size, span, table};
use crate::servent::report::{PeerReport, Relation};

pub(super) fn peers_table(peers: &[PeerReport], known: bool, width: Option<usize>) -> String {
    if peers.is_empty() {
        return match known {
            true => "no contacts heard of lately\n".into(),
            false => "no neighbours; 'join [ID@]HOST:PORT' finds some\n".into(),
        };
    }
    let row = |peer: &PeerReport| {
        let place =
            peer.addresses.first().map_or_else(|| "no address".to_owned(), ToString::to_string);
        let mut row = vec![servent(&peer.name, &peer.id), place];
        match &peer.relation {
            Relation::Neighbour {
                dialled,
                manual,
                up_secs,
                round_trip_micros,
                shares,
                dialable,
                sent,
                received,
            } => {
                row.push(if *dialled { "dialled" } else { "dialled us" }.to_owned());
                row.push(format!("up {}", span(*up_secs)));
                row.push(match round_trip_micros {
                    Some(micros) => format!("{}.{} ms", micros / 1000, micros % 1000 / 100),
                    None => "-".to_owned(),
                });
                row.push(shares.map_or_else(
                    || "-".to_owned(),
                    |shares| {
                        format!("{}, {}", count(shares.files.into(), "file"), size(shares.bytes))
                    },
                ));
                row.push(format!("{} out, {} in", size(*sent), size(*received)));
                let undialled = (*dialable == Some(false)).then_some("cannot be dialled");
                let manual = manual.then_some("manual");
                row.push(manual.into_iter().chain(undialled).collect::<Vec<_>>().join(", "));
            }
            Relation::Known => row.push(format!("heard of {} ago", span(peer.age_secs))),
        }
        row
    };
    let rows: Vec<_> = peers.iter().map(row).collect();
    let columns = [[Column::Left; 4].as_slice(), &[Column::Right], &[Column::Left; 3]].concat();
    table(&columns, &rows, width)
}

//! The rules of what sources say of their pieces, one by one.

use super::super::tests::{A, B, Play, asked, first_event, lost};
use super::*;
use crate::base::piece::MIN_PIECE;
use crate::message::Refusal;
use crate::transfer::exchange::{Input, Parting};

fn map(play: &Play, pieces: &[u32]) -> PieceMap {
    let mut map = PieceMap::new(play.list.geometry().count());
    pieces.iter().for_each(|&number| assert!(map.insert(play.piece(number))));
    map
}

#[test]
fn who_has_a_part_is_asked_for_it_at_once_though_it_never_refuses_what_it_was_asked_blindly() {
    let (mut play, out) = Play::begun(40);
    play.tell(lost(B));
    let blind = asked(&out, A);
    let free: Vec<u32> = (0..40).filter(|number| !blind.contains(number)).take(2).collect();
    let pieces = map(&play, &[blind[0], free[0]]);
    let out = play.tell(Input::Has { source: A, pieces });
    assert_eq!(asked(&out, A).len(), 2, "the request that it will refuse is taken back: {out:?}");
    // What it lacked has come meanwhile: it sends all of it and refuses nothing.
    for piece in blind {
        let piece = play.piece(piece);
        play.tell(Input::Progress { source: A, bytes: MIN_PIECE });
        play.tell(Input::PieceGood { source: A, piece });
    }
    let pieces = map(&play, &[free[1]]);
    let out = play.tell(Input::Has { source: A, pieces });
    assert_eq!(asked(&out, A), [free[1]]);
    assert!(play.download.next_deadline().is_some_and(|at| at > play.now));
}

#[test]
fn of_a_partial_source_as_many_refusals_are_forgiven_as_it_was_asked_blindly() {
    let (mut play, out) = Play::begun(40);
    let first = asked(&out, A);
    let mut out = Vec::new();
    for &piece in &first[..3] {
        let piece = play.piece(piece);
        out.extend(play.tell(Input::PieceGood { source: A, piece }));
    }
    assert!(!asked(&out, A).is_empty(), "a second request while the first is out");
    let pieces = map(&play, &first[..3]);
    play.tell(Input::Has { source: A, pieces });
    let refused = Input::Refused { source: A, reason: Refusal::NotHere };
    for _ in 0..2 {
        assert_eq!(first_event(&play.tell(refused.clone())), None);
        assert!(play.download.knows(A), "it has a part of the file");
    }
    play.tell(refused);
    assert!(!play.download.knows(A), "it was asked for nothing else that it has not");
}

#[test]
fn what_a_partial_source_was_asked_for_blindly_goes_to_others_and_its_refusal_is_forgiven_once() {
    let (mut play, out) = Play::begun(40);
    let blind = asked(&out, A);
    assert!(!blind.is_empty());
    let free = (0..40).find(|number| !blind.contains(number) && !asked(&out, B).contains(number));
    let pieces = map(&play, &[free.unwrap()]);
    let out = play.tell(Input::Has { source: A, pieces });
    assert_eq!(asked(&out, A), [free.unwrap()]);
    let refused = Input::Refused { source: A, reason: Refusal::NotHere };
    assert_eq!(first_event(&play.tell(refused.clone())), None);
    // What it was asked for is free for others.
    let held = play.list.geometry().pieces().filter(|piece| blind.contains(&piece.get()));
    let mut out = Vec::new();
    for piece in held.collect::<Vec<_>>() {
        out.extend(play.tell(Input::PieceGood { source: B, piece }));
    }
    assert!(!out.iter().any(|output| matches!(output, Output::CancelPieces { .. })));
    let out = play.tell(refused);
    assert!(out.contains(&Output::Disconnect { source: A, why: Parting::Refused }), "{out:?}");
}

#[test]
fn pieces_of_another_file_are_a_lie_whenever_they_are_told() {
    let pieces = PieceMap::full(41);
    let gone = Output::Disconnect { source: A, why: Parting::Lied };
    let (mut play, _) = Play::begun(40);
    assert!(play.tell(Input::Has { source: A, pieces: pieces.clone() }).contains(&gone));
    let (mut play, _) = Play::begun(40);
    assert!(play.tell(Input::Given { source: A, pieces: pieces.clone() }).contains(&gone));
    // Before there is anything to compare it with.
    let mut play = Play::new(40, false);
    play.tell(Input::SourceFound { source: A });
    let list = Some(play.list.clone());
    play.tell(Input::Start { list });
    play.tell(Input::Connected { source: A });
    assert!(play.tell(Input::Has { source: A, pieces }).is_empty());
    let out = play.tell(Input::Begun { held: PieceMap::new(40) });
    assert!(out.contains(&gone) && asked(&out, A).is_empty(), "{out:?}");
}

#[test]
fn a_download_says_which_pieces_nobody_has() {
    let (mut play, _) = Play::begun(9);
    for (source, pieces) in [(A, vec![0, 1]), (B, vec![1, 2])] {
        let pieces = map(&play, &pieces);
        play.tell(Input::Has { source, pieces });
        play.tell(Input::Refused { source, reason: Refusal::NotHere });
    }
    assert_eq!(play.download.standing(play.now).waits, None, "they have something yet");
    for (source, piece) in [(A, 0), (A, 1), (B, 2)] {
        let piece = play.piece(piece);
        play.tell(Input::PieceGood { source, piece });
    }
    let standing = play.download.standing(play.now);
    let waits = standing.waits.map(|next| next.to_string()).unwrap_or_default();
    assert_eq!(waits, "nobody has pieces 3 to 8; searching again in 30 s");
    assert_eq!(standing.sources.iter().map(|one| one.has).collect::<Vec<_>>(), [Some(2); 2]);
    // One has more now.
    let pieces = map(&play, &[3, 4, 5, 6, 7]);
    let out = play.tell(Input::Has { source: B, pieces });
    assert_eq!(asked(&out, B).len(), 4);
    assert_eq!(play.download.standing(play.now).waits, None);
}

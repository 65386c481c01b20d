//! The picker, rule by rule.

use super::*;
use crate::base::piece::MIN_PIECE;
use rand::SeedableRng;
use std::collections::BTreeSet;

const A: ServentId = ServentId([1; 32]);
const B: ServentId = ServentId([2; 32]);
const C: ServentId = ServentId([3; 32]);

fn picker(count: u64) -> Picker {
    let geometry = Geometry::of(count * MIN_PIECE).unwrap();
    Picker::new(geometry, &PieceMap::new(geometry.count()))
}

fn budget(bytes: u64, ranges: usize) -> Budget {
    Budget { bytes, given: bytes, ranges }
}

fn rng() -> ChaCha12Rng {
    ChaCha12Rng::seed_from_u64(7)
}

fn numbers(pieces: &[PieceIndex]) -> Vec<u32> {
    pieces.iter().map(|piece| piece.get()).collect()
}

fn map(picker: &Picker, pieces: &[u32]) -> PieceMap {
    let mut map = PieceMap::new(picker.geometry.count());
    pieces.iter().for_each(|&n| assert!(map.insert(picker.geometry.piece(n).unwrap())));
    map
}

/// Each piece is in exactly one state, and the shelves are what they claim to be.
fn check(picker: &Picker) {
    let shelved: Vec<PieceIndex> = picker.shelves.values().flatten().copied().collect();
    let set: BTreeSet<PieceIndex> = shelved.iter().copied().collect();
    assert_eq!(shelved.len(), set.len());
    assert!(picker.shelves.values().all(|shelf| !shelf.is_empty()));
    for partial in picker.partial.values() {
        assert_eq!(partial.useful, partial.has.without(&picker.held).held());
    }
    for piece in picker.geometry.pieces() {
        let copies = picker.partial.values().map(|partial| &partial.has);
        let copies = copies.chain(picker.given.values()).filter(|map| map.contains(piece));
        assert_eq!(usize::from(picker.rarity(piece)), copies.count(), "piece {piece}");
        let states =
            [set.contains(&piece), picker.asked.contains_key(&piece), picker.held.contains(piece)];
        assert_eq!(states.iter().filter(|&&state| state).count(), 1, "piece {piece}");
        if set.contains(&piece) {
            let place = picker.places[piece.get() as usize];
            assert_eq!(picker.shelves[&picker.rarity(piece)][place], piece);
        }
    }
}

#[test]
fn a_pick_is_an_aligned_run_and_the_next_goes_on_with_it() {
    let (mut picker, mut rng) = (picker(64), rng());
    let first = numbers(&picker.pick(A, budget(3 * MIN_PIECE, 8), &mut rng));
    assert_eq!(first.len(), 3);
    assert_eq!(first[0] % RUN, 0);
    let rest = numbers(&picker.pick(A, budget(5 * MIN_PIECE, 8), &mut rng));
    let run: Vec<u32> = (first[0]..first[0] + RUN).collect();
    assert_eq!([first, rest].concat(), run);
    check(&picker);
}

#[test]
fn two_sources_do_not_walk_the_file_in_its_order() {
    let (mut picker, mut rng) = (picker(1024), rng());
    let mut starts = Vec::new();
    for _ in 0..32 {
        for source in [A, B] {
            starts.push(numbers(&picker.pick(source, budget(8 * MIN_PIECE, 1), &mut rng))[0]);
        }
    }
    assert!(!starts.is_sorted());
    assert_eq!(starts.iter().collect::<BTreeSet<_>>().len(), 64);
}

#[test]
fn the_rarest_piece_is_asked_first() {
    let (mut picker, mut rng) = (picker(100), rng());
    let mut most = PieceMap::full(100);
    let rare = picker.geometry.piece(77).unwrap();
    most.remove(rare);
    picker.learn(B, &most);
    picker.learn(C, &most);
    check(&picker);
    assert_eq!(picker.pick(A, budget(1, 8), &mut rng), [rare]);
    // Who does not have it is asked for something else.
    assert!(!numbers(&picker.pick(B, budget(99 * MIN_PIECE, 99), &mut rng)).contains(&77));
    picker.forget(B);
    picker.forget(C);
    check(&picker);
}

#[test]
fn a_source_is_asked_only_for_what_it_has() {
    let (mut picker, mut rng) = (picker(500), rng());
    let mut one = PieceMap::new(500);
    one.insert(picker.geometry.piece(321).unwrap());
    picker.learn(B, &one);
    assert_eq!((picker.known_of(B), picker.known_of(A)), (Some(1), None));
    assert_eq!(numbers(&picker.pick(B, budget(u64::MAX, 64), &mut rng)), [321]);
    assert!(picker.pick(B, budget(u64::MAX, 64), &mut rng).is_empty());
    picker.learn(B, &PieceMap::full(499)); // of another file
    assert!(picker.pick(B, budget(u64::MAX, 64), &mut rng).is_empty());
    picker.learn(B, &PieceMap::full(500));
    assert!(!picker.pick(B, budget(1, 64), &mut rng).is_empty());
    check(&picker);
}

#[test]
fn a_piece_is_asked_twice_only_when_nothing_is_missing_and_never_thrice() {
    let (mut picker, mut rng) = (picker(4), rng());
    assert_eq!(picker.pick(A, budget(2 * MIN_PIECE, 8), &mut rng).len(), 2);
    assert!(picker.pick_again(B, 9, |_| 0).is_empty());
    assert_eq!(picker.pick(B, budget(9 * MIN_PIECE, 8), &mut rng).len(), 2);
    assert!(picker.pick(C, budget(1, 8), &mut rng).is_empty());
    // The burdened source is relieved first, of what it would send last.
    let relief = picker.pick_again(C, 1, |source| u64::from(source == A));
    assert_eq!(relief, [(picker.geometry.piece(1).unwrap(), None)]);
    assert_eq!(picker.pick_again(C, 9, |_| 0).len(), 3);
    assert_eq!(picker.pick_again(A, 9, |_| 0).len(), 0);
    check(&picker);
}

#[test]
fn two_slow_sources_lose_a_piece_to_a_fast_one() {
    let (mut picker, mut rng) = (picker(1), rng());
    let piece = picker.pick(A, budget(1, 1), &mut rng)[0];
    picker.pick_again(B, 1, |_| 0);
    assert!(picker.pick_again(C, 1, |_| HOPELESS).is_empty());
    let slow = |source| if source == C { HOPELESS } else { 2 * HOPELESS };
    assert!(picker.pick_again(C, 1, slow).is_empty());
    let slow = |source| if source == A { HOPELESS + 1 } else { 0 };
    assert_eq!(picker.pick_again(C, 1, slow), [(piece, Some(A))]);
    assert_eq!(picker.askers(piece).collect::<Vec<_>>(), [B, C]);
    check(&picker);
}

#[test]
fn a_released_piece_is_missing_unless_somebody_else_was_asked() {
    let (mut picker, mut rng) = (picker(1), rng());
    let piece = picker.pick(A, budget(1, 1), &mut rng)[0];
    picker.pick_again(B, 1, |_| 0);
    picker.release(A, piece);
    picker.release(C, piece);
    assert_eq!(picker.askers(piece).collect::<Vec<_>>(), [B]);
    picker.release(B, piece);
    assert!(picker.is_missing(piece) && picker.claim(C, piece) && !picker.claim(A, piece));
    assert_eq!(picker.hold(piece), [C]);
    assert!(picker.hold(piece).is_empty() && picker.remaining() == 0);
    check(&picker);
}

#[test]
fn what_is_here_is_never_asked_for() {
    let geometry = Geometry::of(10 * MIN_PIECE + 1).unwrap();
    let mut held = PieceMap::full(11);
    held.remove(geometry.piece(10).unwrap());
    let mut picker = Picker::new(geometry, &held);
    assert_eq!(picker.held_bytes(), 10 * MIN_PIECE);
    assert_eq!(numbers(&picker.pick(A, budget(u64::MAX, 64), &mut rng())), [10]);
    check(&picker);
}

#[test]
fn ranges_join_what_is_consecutive_and_keep_the_order() {
    let geometry = Geometry::of(20 * MIN_PIECE).unwrap();
    let pieces: Vec<_> = [8, 9, 10, 3, 4, 19].map(|n| geometry.piece(n).unwrap()).into();
    let expected = [(8, 3), (3, 2), (19, 1)];
    assert_eq!(ranges(&pieces), expected.map(|(first, count)| PieceRange { first, count }));
    assert!(ranges(&[]).is_empty());
}

#[test]
fn what_a_complete_source_has_given_to_others_is_asked_of_it_last() {
    let (mut picker, mut rng) = (picker(64), rng());
    picker.learn_given(A, &map(&picker, &(0..62).collect::<Vec<_>>()));
    check(&picker);
    let few = Budget { bytes: 9 * MIN_PIECE, given: 3 * MIN_PIECE, ranges: 64 };
    let picked = numbers(&picker.pick(A, few, &mut rng));
    assert_eq!((&picked[..2], picked.len()), (&[62, 63][..], 3));
    let none = Budget { given: 0, ..few };
    assert!(picker.pick(A, none, &mut rng).is_empty());
    assert_eq!(
        picker.pick(A, budget(99 * MIN_PIECE, 64), &mut rng).len(),
        61,
        "nothing is withheld"
    );
    picker.forget(A);
    check(&picker);
}

#[test]
fn what_a_partial_source_gains_adds_to_what_it_had_and_is_of_use_until_it_is_here() {
    let (mut picker, mut rng) = (picker(9), rng());
    picker.learn(B, &map(&picker, &[3]));
    picker.learn(B, &map(&picker, &[3, 5]));
    check(&picker);
    assert!(picker.is_useful(B) && picker.known_of(B) == Some(2));
    let got = picker.pick(B, budget(u64::MAX, 64), &mut rng);
    assert_eq!(got.len(), 2);
    for piece in got {
        picker.hold(piece);
        check(&picker);
    }
    assert!(!picker.is_useful(B) && picker.is_useful(A));
    picker.learn(B, &PieceMap::full(9));
    assert!(picker.is_useful(B));
    check(&picker);
}

#[test]
fn the_pieces_that_nobody_has_are_named() {
    let mut picker = picker(9);
    picker.learn(B, &map(&picker, &[0, 1, 2, 8]));
    picker.learn(C, &map(&picker, &[4]));
    let lacking = picker.lacking([B, C].into_iter()).map(|(a, b)| (a.get(), b.get()));
    assert_eq!(lacking, Some((3, 7)));
    assert_eq!(picker.lacking([A, B].into_iter()), None, "a complete one is among them");
    picker.learn(C, &PieceMap::full(9));
    assert_eq!(picker.lacking([B, C].into_iter()), None);
}

#[test]
fn a_source_without_anything_missing_relieves_one_that_is_hopelessly_slow() {
    let (mut picker, mut rng) = (picker(16), rng());
    let slow = numbers(&picker.pick(A, budget(2 * MIN_PIECE, 1), &mut rng));
    picker.learn(B, &map(&picker, &slow));
    assert!(picker.pick(B, budget(1, 1), &mut rng).is_empty());
    assert!(picker.pick_again(B, 9, |_| HOPELESS).is_empty(), "nobody is asked twice yet");
    let burden = |source| if source == A { HOPELESS + 1 } else { 0 };
    let moved = picker.pick_again(B, 9, burden);
    assert_eq!(moved.len(), 2);
    for (piece, relieved) in moved {
        assert!(relieved == Some(A) && slow.contains(&piece.get()));
        assert_eq!(picker.askers(piece).collect::<Vec<_>>(), [B]);
    }
    check(&picker);
}

//! The rules of a download, one by one; what holds whatever happens is in `swarm`.

use rand::SeedableRng;

use super::*;
use crate::base::piece::{MAX_FILE, MIN_PIECE};
use crate::message::transfer::Manifest;
use crate::transfer::ListBuilder;
use crate::transfer::sources::Link;

const ME: ServentId = ServentId([0; 32]);
pub(super) const A: ServentId = ServentId([1; 32]);
pub(super) const B: ServentId = ServentId([2; 32]);

fn list(count: u64) -> Arc<PieceList> {
    let geometry = Geometry::of(count * MIN_PIECE).unwrap();
    let mut builder = ListBuilder::new(geometry);
    geometry.pieces().for_each(|_| builder.push(&[0; MIN_PIECE as usize]));
    Arc::new(builder.finish().unwrap())
}

/// A download and its driver's part, played by hand.
pub(super) struct Play {
    pub(super) download: Download,
    pub(super) list: Arc<PieceList>,
    pub(super) now: Time,
}

impl Play {
    pub(super) fn new(count: u64, once: bool) -> Self {
        let list = list(count);
        let config = Config { me: ME, once };
        let rng = ChaCha12Rng::seed_from_u64(3);
        Self { download: Download::new(list.id(), config, rng), list, now: Time::ZERO }
    }

    pub(super) fn tell(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.download.handle(self.now, input, &mut out);
        out
    }

    /// Goes to the next deadline and says what came of it, in seconds since the start.
    fn wake(&mut self) -> (u64, Vec<Output>) {
        self.now = self.download.next_deadline().expect("a deadline");
        (self.now.as_micros() / 1_000_000, self.tell(Input::Wake))
    }

    /// A download that has begun with nothing held, A and B connected.
    pub(super) fn begun(count: u64) -> (Self, Vec<Output>) {
        let mut play = Self::new(count, false);
        play.tell(Input::SourceFound { source: A });
        play.tell(Input::SourceFound { source: B });
        let list = Some(play.list.clone());
        let out = play.tell(Input::Start { list });
        assert!(out.contains(&Output::Begin { list: play.list.clone() }));
        play.tell(Input::Connected { source: A });
        play.tell(Input::Connected { source: B });
        let held = PieceMap::new(play.list.geometry().count());
        let out = play.tell(Input::Begun { held });
        (play, out)
    }

    pub(super) fn piece(&self, number: u32) -> PieceIndex {
        self.list.geometry().piece(number).unwrap()
    }
}

/// The pieces that `source` is asked for.
pub(super) fn asked(out: &[Output], of: ServentId) -> Vec<u32> {
    out.iter()
        .filter_map(|output| match output {
            Output::Request { source, pieces } if *source == of => Some(pieces),
            _ => None,
        })
        .flatten()
        .flat_map(|range| range.first..range.first + range.count)
        .collect()
}

pub(super) fn lost(source: ServentId) -> Input {
    Input::Lost { source, why: Loss("connection reset".into()) }
}

pub(super) fn first_event(out: &[Output]) -> Option<String> {
    out.iter().find_map(|output| match output {
        Output::Event(event) => Some(event.to_string()),
        _ => None,
    })
}

#[test]
fn the_last_piece_is_asked_first_and_nothing_is_begun_before_it_is_proven() {
    let mut play = Play::new(5, false);
    play.tell(Input::SourceFound { source: A });
    let out = play.tell(Input::Start { list: None });
    assert_eq!(out, [Output::Connect { source: A }]);
    let out = play.tell(Input::Connected { source: A });
    assert_eq!(out, [Output::Describe { source: A, part: 0 }]);
    let (size, values) = (5 * MIN_PIECE, play.list.values().to_vec());
    let out = play.tell(Input::Manifest { source: A, size, part: 0, values });
    let list = play.list.clone();
    let last = vec![crate::message::PieceRange { first: 4, count: 1 }];
    let expected = [
        Output::Candidate { source: A, list: list.clone() },
        Output::Request { source: A, pieces: last },
    ];
    assert_eq!(out, expected);
    let out = play.tell(Input::PieceGood { source: A, piece: play.piece(4) });
    assert_eq!(out, [Output::Begin { list }]);
}

#[test]
fn who_waits_in_a_queue_for_the_proof_asks_the_next_for_it_at_once() {
    let mut play = Play::new(5, false);
    play.tell(Input::SourceFound { source: A });
    play.tell(Input::SourceFound { source: B });
    play.tell(Input::Start { list: None });
    play.tell(Input::Connected { source: A });
    assert!(play.tell(Input::Connected { source: B }).is_empty(), "one at a time");
    let (size, values) = (5 * MIN_PIECE, play.list.values().to_vec());
    play.tell(Input::Manifest { source: A, size, part: 0, values: values.clone() });
    let out = play.tell(Input::Queued { source: A, position: 1 });
    assert!(out.contains(&Output::Describe { source: B, part: 0 }), "{out:?}");
    play.tell(Input::Manifest { source: B, size, part: 0, values });
    let out = play.tell(Input::PieceGood { source: B, piece: play.piece(4) });
    assert!(out.contains(&Output::Begin { list: play.list.clone() }), "{out:?}");
}

#[test]
fn who_gives_to_others_too_is_given_little_work_ahead() {
    let now = Time::ZERO + Duration::from_secs(1);
    let mut link = Link::new(Time::ZERO);
    link.progress(now, 500_000);
    assert_eq!(link.window(now, MIN_PIECE), 2_000_000);
    for (partial, crowded) in [(true, false), (false, true)] {
        (link.partial, link.crowded) = (partial, crowded);
        assert_eq!(link.window(now, MIN_PIECE), 500_000);
    }
}

#[test]
fn a_list_that_drips_keeps_nobody_else_from_being_asked() {
    let mut play = Play::new(5, false);
    play.tell(Input::SourceFound { source: A });
    play.tell(Input::SourceFound { source: B });
    play.tell(Input::Start { list: None });
    let out = play.tell(Input::Connected { source: A });
    assert!(out.contains(&Output::Describe { source: A, part: 0 }));
    play.tell(Input::Connected { source: B });
    let values = vec![[7; 32]; Manifest::PART];
    let mut out = Vec::new();
    for part in 0..2 {
        play.now = play.now + Duration::from_millis(1900);
        let values = values.clone();
        out.extend(play.tell(Input::Manifest { source: A, size: MAX_FILE, part, values }));
    }
    assert!(out.contains(&Output::Describe { source: B, part: 0 }), "{out:?}");
}

#[test]
fn who_is_further_with_a_slow_list_than_all_others_is_let_finish_it() {
    let mut play = Play::new(5, false);
    play.tell(Input::SourceFound { source: A });
    play.tell(Input::Start { list: None });
    let mut out = play.tell(Input::Connected { source: A });
    for byte in 2..=6 {
        out.extend(play.tell(Input::SourceFound { source: ServentId([byte; 32]) }));
    }
    let (mut next, mut slow) = (std::collections::BTreeMap::new(), 0);
    for _ in 0..30 {
        for output in std::mem::take(&mut out) {
            match output {
                Output::Connect { source } => out.extend(play.tell(Input::Connected { source })),
                Output::Describe { source, part: 0 } => drop(next.insert(source, 0)),
                Output::Event(Event::Slow { source }) => {
                    assert_ne!(source, A, "its time would be lost");
                    slow += 1;
                    next.remove(&source);
                }
                _ => {}
            }
        }
        play.now = play.now + Duration::from_secs(1);
        for (&source, part) in &mut next {
            let values = vec![[7; 32]; Manifest::PART];
            let (size, part) = (MAX_FILE, std::mem::replace(part, *part + 1));
            out.extend(play.tell(Input::Manifest { source, size, part, values }));
        }
    }
    assert_eq!((next[&A], slow), (30, 2), "the two that stood by had their turn");
}

#[test]
fn a_file_without_a_byte_is_begun_and_complete_at_once() {
    let mut play = Play::new(0, false);
    let out = play.tell(Input::Start { list: None });
    assert_eq!(out[0], Output::Begin { list: play.list.clone() });
    let out = play.tell(Input::Begun { held: PieceMap::new(0) });
    assert_eq!(out, [Output::Complete]);
    assert!(play.tell(Input::SourceFound { source: A }).is_empty());
    assert_eq!(play.download.next_deadline(), None);
}

#[test]
fn however_many_are_said_to_have_the_file_few_are_known() {
    let mut play = Play::new(5, false);
    play.tell(Input::Start { list: None });
    let ids: Vec<_> = (1..=200).map(|byte| ServentId([byte; 32])).collect();
    for &source in &ids {
        play.tell(Input::SourceFound { source });
    }
    let known = |play: &Play| ids.iter().filter(|id| play.download.knows(**id)).count();
    assert_eq!(known(&play), crate::transfer::sources::MAX_KNOWN);
    play.tell(Input::Connected { source: A });
    play.tell(Input::Refused { source: A, reason: Refusal::NotHere });
    assert!(!play.download.knows(A), "it does not have it");
}

#[test]
fn a_size_over_the_limit_is_a_lie() {
    let mut play = Play::new(5, false);
    play.tell(Input::SourceFound { source: A });
    play.tell(Input::Start { list: None });
    play.tell(Input::Connected { source: A });
    let size = MAX_FILE + 1;
    let out = play.tell(Input::Manifest { source: A, size, part: 0, values: Vec::new() });
    assert_eq!(out[0], Output::Disconnect { source: A, why: Parting::Lied });
    let text = first_event(&out).unwrap();
    assert!(text.starts_with("source aeaqcaib names a size of 274877906945 bytes"), "{text}");
    // Not even if a search brings it again; ten minutes later it may be.
    assert!(play.tell(Input::SourceFound { source: A }).is_empty());
    play.now = Time::ZERO + Duration::from_secs(600);
    let out = play.tell(Input::SourceFound { source: A });
    assert!(out.contains(&Output::Connect { source: A }));
}

#[test]
fn a_lost_source_is_redialled_after_1_2_4_up_to_30_seconds_for_ever_if_it_is_the_last() {
    let mut play = Play::new(5, false);
    play.tell(Input::SourceFound { source: A });
    play.tell(Input::Start { list: None });
    let out = play.tell(lost(A));
    let text = first_event(&out).unwrap();
    assert_eq!(text, "lost its only source aeaqcaib (connection reset); redialling in 1 s");
    let mut dials = Vec::new();
    while dials.len() < 9 {
        let (at, out) = play.wake();
        if out.contains(&Output::Connect { source: A }) {
            dials.push(at);
            let out = play.tell(lost(A));
            assert_eq!(first_event(&out), None, "told once");
        }
    }
    assert_eq!(dials, [1, 3, 7, 15, 31, 61, 91, 121, 151]);
}

#[test]
fn who_never_answers_four_times_is_forgotten_when_others_are_known() {
    let (mut play, _) = Play::begun(100);
    for failures in 1..=4 {
        play.tell(lost(B));
        let known = play.download.standing(play.now).known;
        assert_eq!(known, if failures < 4 { 2 } else { 1 });
        let redial = |(_, out): (u64, Vec<Output>)| out.contains(&Output::Connect { source: B });
        assert!(failures == 4 || (0..100).any(|_| redial(play.wake())), "no redial");
    }
}

#[test]
fn the_mesh_is_searched_after_30_seconds_and_then_ever_more_rarely() {
    let mut play = Play::new(5, false);
    let out = play.tell(Input::Start { list: None });
    assert_eq!(out[0], Output::FindSources);
    let text = first_event(&out).unwrap();
    assert_eq!(text, "nobody is known who has the file; searching");
    let mut searches = Vec::new();
    while searches.len() < 7 {
        let (at, out) = play.wake();
        if out == [Output::FindSources] {
            searches.push(at);
        }
    }
    assert_eq!(searches, [30, 90, 210, 450, 930, 1530, 2130]);
}

#[test]
fn a_search_that_some_did_not_answer_is_repeated_soon_and_then_ever_more_rarely() {
    let mut play = Play::new(5, false);
    play.tell(Input::Start { list: None });
    play.tell(Input::Searched { whole: false });
    let mut searches = Vec::new();
    while searches.len() < 7 {
        let (at, out) = play.wake();
        if out == [Output::FindSources] {
            searches.push(at);
            play.tell(Input::Searched { whole: searches.len() == 6 });
        }
    }
    let waits: Vec<u64> = searches.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(searches[0], 1);
    assert_eq!(waits[..5], [2, 4, 8, 16, 30]);
    assert!(waits[5] > 30, "the last one was whole: {waits:?}");
}

#[test]
fn a_pause_leaves_nobody_connected_and_a_resumption_loses_nothing() {
    let (mut play, out) = Play::begun(8);
    let first = asked(&out, A)[0];
    play.tell(Input::PieceGood { source: A, piece: play.piece(first) });
    let out = play.tell(Input::Pause(PauseReason::Disk("no space left on /data".into())));
    assert_eq!(out.len(), 3);
    assert_eq!(first_event(&out).unwrap(), "paused: no space left on /data");
    assert_eq!(play.download.next_deadline(), None);
    let out = play.tell(Input::Resume);
    assert!(out.contains(&Output::Connect { source: A }));
    let out = play.tell(Input::Connected { source: A });
    let out = [out, play.tell(Input::Connected { source: B })].concat();
    assert!(!asked(&out, A).contains(&first) && !asked(&out, B).contains(&first));
    assert_eq!(play.download.standing(play.now).verified, MIN_PIECE);
}

#[test]
fn a_piece_that_cannot_be_written_is_asked_for_again() {
    let (mut play, out) = Play::begun(1);
    let giver = if asked(&out, A).is_empty() { B } else { A };
    let out = play.tell(Input::PieceUnwritten { source: giver, piece: play.piece(0) });
    assert_eq!([asked(&out, A), asked(&out, B)].concat(), [0]);
}

#[test]
fn a_source_that_is_full_is_tried_again_after_30_seconds_and_one_without_the_file_is_not() {
    let (mut play, _) = Play::begun(100);
    let out = play.tell(Input::Refused { source: A, reason: Refusal::NotHere });
    let text = first_event(&out).unwrap();
    assert_eq!(text, "source aeaqcaib refused: it does not have the file; 1 source left");
    play.tell(Input::Refused { source: B, reason: Refusal::Busy });
    loop {
        let (at, out) = play.wake();
        assert!(!out.contains(&Output::Connect { source: A }));
        if out.contains(&Output::Connect { source: B }) {
            break assert_eq!(at, 30);
        }
    }
    let out = play.tell(Input::SourceFound { source: A });
    assert!(out.contains(&Output::Connect { source: A }), "it says anew that it has the file");
}

#[test]
fn a_place_in_a_queue_is_what_it_waits_for_while_nobody_else_gives_anything() {
    let (mut play, _) = Play::begun(100);
    let queued = |source, position| Input::Queued { source, position };
    let out = play.tell(queued(A, 3));
    assert_eq!(first_event(&out).unwrap(), "source aeaqcaib is busy; we are number 3 in its queue");
    assert_eq!(play.download.standing(play.now).waits, None, "B gives");
    play.tell(queued(B, 7));
    let waits = |play: &Play| play.download.standing(play.now).waits.unwrap().to_string();
    assert_eq!(waits(&play), "number 3 in the queue of aeaqcaib");
    let out = play.tell(queued(B, 2));
    assert_eq!(first_event(&out), None, "a queue that moves is no news");
    assert_eq!(waits(&play), "number 2 in the queue of aibaeaqc");
    play.tell(Input::Progress { source: A, bytes: 1 });
    assert_eq!(play.download.standing(play.now).waits, None, "A gives");
}

#[test]
fn a_source_is_not_slow_while_our_own_cap_keeps_it_waiting() {
    let (mut play, _) = Play::begun(100);
    for _ in 0..20 {
        play.now = play.now + Duration::from_secs(5);
        let out = [A, B].map(|source| play.tell(Input::Throttled { source })).concat();
        assert_eq!(first_event(&out), None);
    }
    play.now = play.now + Duration::from_secs(11);
    assert!(first_event(&play.tell(Input::Throttled { source: A })).unwrap().contains("too slow"));
}

#[test]
fn a_fast_source_over_a_long_way_is_asked_for_more() {
    let (mut play, out) = Play::begun(1024);
    assert_eq!(asked(&out, A).len(), 4);
    play.tell(Input::RoundTrip { source: A, rtt: Duration::from_millis(100) });
    let mut owed = asked(&out, A);
    for _ in 0..100 {
        play.now = play.now + Duration::from_millis(3);
        let piece = play.piece(owed.remove(0));
        let mut out = play.tell(Input::Progress { source: A, bytes: MIN_PIECE });
        out.extend(play.tell(Input::PieceGood { source: A, piece }));
        owed.extend(asked(&out, A));
        assert!(owed.len() >= 2 && owed.len() as u64 * MIN_PIECE <= 16 << 20);
    }
    // 20 MiB a second, twice the 100 ms that a question takes, and 4 MiB to spare.
    assert!(owed.len() as u64 * MIN_PIECE > 4 << 20, "{}", owed.len());
}

#[test]
fn nobody_fetches_from_himself_and_sixteen_at_most_are_dialled() {
    let mut play = Play::new(100, false);
    play.tell(Input::SourceFound { source: ME });
    (1..=64).for_each(|n| drop(play.tell(Input::SourceFound { source: ServentId([n; 32]) })));
    play.tell(Input::SourceFound { source: ServentId([65; 32]) });
    assert_eq!(play.download.standing(play.now).known, 64);
    let list = Some(play.list.clone());
    let mut out = play.tell(Input::Start { list });
    out.extend(play.tell(Input::Begun { held: PieceMap::new(100) }));
    let dials = out.iter().filter(|output| matches!(output, Output::Connect { .. }));
    assert_eq!(dials.count(), 16);
    assert!(!out.contains(&Output::Connect { source: ME }));
}

#[test]
fn sixteen_who_only_queue_us_do_not_keep_a_seventeenth_out() {
    let mut play = Play::new(100, false);
    let list = Some(play.list.clone());
    play.tell(Input::Start { list });
    play.tell(Input::Begun { held: PieceMap::new(100) });
    let queueing: Vec<_> = (1..=16).map(|byte| ServentId([byte; 32])).collect();
    for (place, &source) in (1..).zip(&queueing) {
        play.tell(Input::SourceFound { source });
        play.tell(Input::Connected { source });
        play.tell(Input::Queued { source, position: if place == 7 { 60 } else { place } });
    }
    let other = ServentId([17; 32]);
    let out = play.tell(Input::SourceFound { source: other });
    let worst = ServentId([7; 32]);
    assert!(out.contains(&Output::Disconnect { source: worst, why: Parting::Slow }), "{out:?}");
    assert!(out.contains(&Output::Connect { source: other }), "{out:?}");
    let out = play.tell(Input::Connected { source: other });
    assert!(!asked(&out, other).is_empty());
    // While that one gives, the others keep their places.
    assert!(play.tell(Input::SourceFound { source: ServentId([18; 32]) }).is_empty());
    // If it queues us as well, the worst place of all goes next, and none comes back at once.
    let out = play.tell(Input::Queued { source: other, position: 99 });
    assert!(out.contains(&Output::Disconnect { source: other, why: Parting::Slow }), "{out:?}");
    assert!(out.contains(&Output::Connect { source: ServentId([18; 32]) }), "{out:?}");
    let out = play.tell(lost(ServentId([18; 32])));
    assert!(!out.contains(&Output::Connect { source: worst }), "{out:?}");
}

#[test]
fn sixteen_who_say_that_they_have_nothing_do_not_keep_a_seventeenth_out() {
    for empty in [16, 1] {
        let mut play = Play::new(100, false);
        let list = Some(play.list.clone());
        play.tell(Input::Start { list });
        play.tell(Input::Begun { held: PieceMap::new(100) });
        // The last ones have nothing yet, the others let us wait.
        for byte in 1..=16 {
            let source = ServentId([byte; 32]);
            play.tell(Input::SourceFound { source });
            play.tell(Input::Connected { source });
            play.tell(match byte > 16 - empty {
                true => Input::Has { source, pieces: PieceMap::new(100) },
                false => Input::Queued { source, position: 60 },
            });
        }
        let other = ServentId([17; 32]);
        let out = play.tell(Input::SourceFound { source: other });
        let worst = ServentId([16; 32]);
        assert!(out.contains(&Output::Disconnect { source: worst, why: Parting::Slow }), "{out:?}");
        assert!(out.contains(&Output::Connect { source: other }), "{out:?}");
        // While it gives, nobody loses a place.
        assert!(!asked(&play.tell(Input::Connected { source: other }), other).is_empty());
        let last = ServentId([18; 32]);
        assert!(play.tell(Input::SourceFound { source: last }).is_empty());
        let out = play.tell(Input::Has { source: other, pieces: PieceMap::new(100) });
        assert!(out.contains(&Output::Connect { source: last }), "{out:?}");
        // Who had nothing comes back, though all places are taken again by who has nothing.
        play.tell(Input::Connected { source: last });
        play.tell(Input::Has { source: last, pieces: PieceMap::new(100) });
        let back = |(at, out): (u64, Vec<Output>)| {
            let gone = [worst, other];
            let dialled = gone.iter().any(|&source| out.contains(&Output::Connect { source }));
            assert!(at < 60 || dialled, "it may have something by now");
            dialled
        };
        assert!((0..100).any(|_| back(play.wake())));
    }
}

#[test]
fn cancelling_ends_every_connection_and_is_the_last_word() {
    let (mut play, _) = Play::begun(8);
    let out = play.tell(Input::Cancel);
    assert_eq!(out.len(), 2);
    assert!(out.contains(&Output::Disconnect { source: A, why: Parting::Cancelled }));
    assert!(play.tell(lost(A)).is_empty());
    assert_eq!(play.download.next_deadline(), None);
}

#[test]
fn who_is_idle_is_no_burden_and_who_drips_is_one_though_it_owes_nothing() {
    let at = |secs| Time::ZERO + Duration::from_secs(secs);
    let mut sources = Sources::default();
    for id in [A, B] {
        sources.found(at(0), id, None, 0);
        sources.source(id).unwrap().state = State::Dialling;
        sources.connected(at(0), id);
    }
    let piece = list(2).geometry().piece(0).unwrap();
    let fast = sources.link(A).unwrap();
    fast.ask(at(0), vec![piece], MIN_PIECE);
    fast.progress(at(1), MIN_PIECE);
    fast.strike(piece, MIN_PIECE);
    // Long ago, so that no rate is known any more.
    assert_eq!((fast.rate(at(60)), fast.burden(at(60), MIN_PIECE)), (0, 0));
    let drips = sources.link(B).unwrap();
    (1..=60).for_each(|secs| drips.progress(at(secs), 100));
    assert!(
        drips.owes_nothing() && drips.burden(at(60), MIN_PIECE) > crate::transfer::picker::HOPELESS
    );
    drips.ask(at(60), vec![piece], MIN_PIECE);
    assert!(drips.burden(at(60), 0) > crate::transfer::picker::HOPELESS);
    // Who was asked just now has a moment to begin with it.
    let asked = &mut Link::new(at(60));
    asked.ask(at(60), vec![piece], MIN_PIECE);
    assert_eq!([60, 62, 63].map(|secs| asked.burden(at(secs), 0)), [0, 0, u64::MAX]);
}

#[test]
fn idle_sources_do_not_take_the_last_pieces_from_each_other_again_and_again() {
    const C: ServentId = ServentId([3; 32]);
    let (mut play, first) = Play::begun(2);
    let (giver, other) = if asked(&first, A).is_empty() { (B, A) } else { (A, B) };
    assert_eq!(asked(&first, giver).len(), 2);
    let mut out = play.tell(Input::SourceFound { source: C });
    out.extend(play.tell(Input::Connected { source: C }));
    for _ in 0..100 {
        play.now = play.now + Duration::from_millis(10);
        out.extend(play.tell(Input::Progress { source: giver, bytes: 1000 }));
    }
    let all = [first, out].concat();
    let requests = all.iter().filter(|output| matches!(output, Output::Request { .. })).count();
    let cancels = all.iter().filter(|output| matches!(output, Output::CancelPieces { .. })).count();
    assert_eq!((requests, cancels), (2, 0), "{all:?}");
    // Who was asked as well and is silent loses to who is idle, once.
    let mut out = Vec::new();
    for _ in 0..150 {
        play.now = play.now + Duration::from_millis(10);
        out.extend(play.tell(Input::Progress { source: giver, bytes: 1000 }));
    }
    assert_eq!((asked(&out, C).len(), asked(&out, other).len()), (2, 0), "{out:?}");
}

#[test]
fn those_whom_one_source_names_are_known_and_dialled_few_at_a_time_and_last() {
    let (mut play, _) = Play::begun(400);
    let dialled = |out: &[Output]| {
        let dials = out.iter().filter_map(|output| match output {
            Output::Connect { source } => Some(*source),
            _ => None,
        });
        dials.collect::<Vec<_>>()
    };
    let mut dials = Vec::new();
    for byte in 100..200 {
        let source = ServentId([byte; 32]);
        dials.extend(dialled(&play.tell(Input::SourceTold { source, by: A })));
    }
    let known = (100..200).filter(|&byte| play.download.knows(ServentId([byte; 32]))).count();
    assert_eq!(known, crate::transfer::sources::MAX_TOLD);
    assert_eq!(dials.len(), crate::transfer::sources::MAX_TOLD_DIALS);
    // One fails: the next one's turn. Who was found otherwise waits for none of them.
    assert_eq!(dialled(&play.tell(lost(dials[0]))).len(), 1);
    let found = ServentId([250; 32]);
    assert_eq!(dialled(&play.tell(Input::SourceFound { source: found })), [found]);
    assert!(play.tell(Input::SourceTold { source: ME, by: B }).is_empty());
}

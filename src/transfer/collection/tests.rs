//! Tests of the plan for the small files of a collection.

use proptest::prelude::*;

use super::*;

const A: ServentId = ServentId([1; 32]);
const B: ServentId = ServentId([2; 32]);
/// When everything begins.
const START: Time = Time::from_micros(1 << 40);

fn secs(secs: u64) -> Time {
    START + Duration::from_secs(secs)
}

fn batch(count: u32) -> Batch {
    let id = |n: u32| ContentId(*blake3::hash(&n.to_le_bytes()).as_bytes());
    let mut batch = Batch::new((0..count).map(id).collect(), &BTreeSet::new());
    batch.at(START);
    batch
}

/// Answers all that is asked, as `answer` says, until nothing is asked any more; who was
/// asked for the bytes of each, how often.
fn run(
    batch: &mut Batch,
    mut asks: VecDeque<Ask>,
    mut answer: impl FnMut(Ask) -> Result<u64, Refusal>,
) -> BTreeMap<Number, Vec<ServentId>> {
    let mut gave: BTreeMap<Number, Vec<ServentId>> = BTreeMap::new();
    while let Some(ask) = asks.pop_front() {
        let mut out = Vec::new();
        match (ask, answer(ask)) {
            (Ask::Size(source, number), Ok(size)) => {
                assert!(batch.described(source, number, size, &mut out));
            }
            (Ask::Bytes(source, number, _), Ok(_)) => {
                gave.entry(number).or_default().push(source);
                batch.came(source, number, &mut out);
            }
            (Ask::Size(source, number) | Ask::Bytes(source, number, _), Err(why)) => {
                assert!(batch.refused(source, number, why, &mut out));
            }
        }
        asks.extend(out);
    }
    gave
}

fn connect(batch: &mut Batch, sources: &[ServentId]) -> VecDeque<Ask> {
    let mut asks = Vec::new();
    sources.iter().for_each(|&source| batch.connected(source, &mut asks));
    asks.into()
}

#[test]
fn many_are_asked_ahead_and_never_more_than_may_wait() {
    let mut batch = batch(1000);
    let asks = connect(&mut batch, &[A]);
    assert_eq!(asks.len(), SIZES_AHEAD, "before a single answer");
    let mut open = 0;
    let gave = run(&mut batch, asks, |ask| {
        open += 1;
        assert!(matches!(ask, Ask::Size(A, _) | Ask::Bytes(A, _, 4096)));
        Ok(4096)
    });
    assert_eq!((open, gave.len(), batch.left()), (2000, 1000, 0));
    assert!(batch.is_idle() && batch.missing().next().is_none());
}

#[test]
fn bytes_that_are_asked_ahead_are_bounded_but_for_the_first() {
    let mut batch = batch(200);
    let (mut out, mut ahead) = (Vec::new(), 0);
    for ask in connect(&mut batch, &[A]) {
        let Ask::Size(_, number) = ask else { panic!("{ask:?}") };
        batch.described(A, number, 65_536, &mut out);
    }
    ahead += out.iter().filter(|ask| matches!(ask, Ask::Bytes(..))).count() as u64;
    assert_eq!(ahead * 65_536, BYTES_AHEAD);
}

#[test]
fn two_sources_share_the_work_and_each_file_comes_once() {
    let mut batch = batch(1000);
    let asks = connect(&mut batch, &[A, B]);
    let gave = run(&mut batch, asks, |_| Ok(10));
    assert!(gave.values().all(|who| who.len() == 1));
    let of_a = gave.values().filter(|who| who[0] == A).count();
    assert!((300..700).contains(&of_a), "{of_a}");
}

#[test]
fn what_one_will_not_give_another_gives_and_what_nobody_gives_is_missing() {
    let mut batch = batch(1000);
    let asks = connect(&mut batch, &[A, B]);
    let gave = run(&mut batch, asks, |ask| match ask {
        Ask::Size(_, 7) => Err(Refusal::NotHere),
        Ask::Size(A, number) if number % 2 == 0 => Err(Refusal::NotHere),
        Ask::Bytes(B, 9, _) => Err(Refusal::Withdrawn),
        _ => Ok(1),
    });
    assert_eq!(gave.len(), 999);
    assert!(gave.iter().all(|(number, who)| number % 2 == 1 || *who == [B]));
    assert_eq!(batch.missing().collect::<Vec<_>>(), [(7, Some(Refusal::NotHere))]);
    assert_eq!((batch.left(), batch.is_idle()), (1, true));
    // A third may have it.
    let asks = connect(&mut batch, &[ServentId([3; 32])]);
    assert_eq!(run(&mut batch, asks, |_| Ok(1)).len(), 1);
}

#[test]
fn large_ones_are_handed_on_and_what_cannot_be_is_refused() {
    let mut batch = batch(3);
    let asks = connect(&mut batch, &[A]);
    run(&mut batch, asks, |ask| match ask {
        Ask::Size(_, 0) => Ok(70_000),
        Ask::Size(_, 1) => Ok(u64::MAX),
        _ => Ok(5),
    });
    assert_eq!(batch.take_large(), [(0, 70_000)]);
    assert_eq!(batch.missing().collect::<Vec<_>>(), [(1, Some(Refusal::BadRequest))]);
}

#[test]
fn a_size_that_cannot_be_sends_others_to_who_may_know_better() {
    for size in [0, u64::MAX] {
        let mut batch = batch(1);
        let asks = connect(&mut batch, &[A, B]);
        assert_eq!(Vec::from(asks), [Ask::Size(A, 0)], "of one at a time");
        let mut out = Vec::new();
        assert!(batch.described(A, 0, size, &mut out));
        assert_eq!(out, [Ask::Size(B, 0)]);
    }
}

#[test]
fn what_came_by_a_connection_that_was_given_up_is_not_asked_for_again() {
    let mut batch = batch(3);
    let mut asks = connect(&mut batch, &[A]);
    let mut out = Vec::new();
    for _ in 0..2 {
        let Some(Ask::Size(_, number)) = asks.pop_front() else { panic!("{asks:?}") };
        batch.described(A, number, 7, &mut out);
    }
    batch.lost(A, &mut out);
    let asks = connect(&mut batch, &[A]);
    assert_eq!(asks.len(), 3, "of all of them nothing is known to be here");
    batch.here(0);
    batch.here(0);
    assert_eq!(batch.left(), 2);
    let gave = run(&mut batch, asks, |_| Ok(7));
    assert_eq!(gave.into_keys().collect::<Vec<_>>(), [1, 2]);
    assert_eq!((batch.left(), batch.is_idle()), (0, true));
}

#[test]
fn what_one_holds_back_comes_from_whoever_is_idle() {
    let mut batch = batch(200);
    let mut asks = connect(&mut batch, &[A, B]);
    asks.retain(|ask| matches!(ask, Ask::Size(B, _)));
    assert_eq!(run(&mut batch, asks, |_| Ok(9)).len(), 200 - SIZES_AHEAD);
    let mut out = Vec::new();
    batch.at(secs(1)).hedge(&mut out);
    assert_eq!(out, [], "it may come at any moment");
    batch.at(secs(2)).hedge(&mut out);
    assert_eq!(out.len(), SIZES_AHEAD);
    // A third one gets what both of them hold back, and not all of them what one was asked.
    let third = ServentId([3; 32]);
    batch.connected(third, &mut Vec::new());
    let mut more = Vec::new();
    batch.at(secs(3)).hedge(&mut more);
    assert_eq!(more, []);
    batch.at(secs(4)).hedge(&mut more);
    assert_eq!(more.len(), SIZES_AHEAD);
    assert_eq!(run(&mut batch, more.into(), |_| Ok(9)).len(), SIZES_AHEAD);
    assert_eq!(batch.left(), 0);
    // What comes late, or is refused late, changes nothing.
    for ask in out {
        let Ask::Size(B, number) = ask else { panic!("{ask:?}") };
        let mut nothing = Vec::new();
        match number % 3 {
            0 => assert!(batch.refused(B, number, Refusal::NotHere, &mut nothing)),
            1 => assert!(batch.described(B, number, 9, &mut nothing)),
            _ => assert!(batch.described(B, number, 1 << 20, &mut nothing)),
        }
        assert_eq!(nothing, []);
    }
    batch.lost(A, &mut Vec::new());
    assert!(batch.is_idle() && batch.left() == 0 && batch.take_large().is_empty());
}

#[test]
fn who_keeps_talking_and_gives_nothing_whole_is_waited_for_no_longer() {
    let mut batch = batch(1000);
    let asks = connect(&mut batch, &[A, B]);
    // One tells a size now and then, the other says something each second.
    for (second, ask) in (1..150).zip(asks) {
        batch.at(secs(second)).heard(B);
        if second % 25 == 0 {
            batch.described(A, second as Number, 9, &mut Vec::new());
            assert!(matches!(ask, Ask::Size(A, _)));
        }
        let late = batch.late();
        let due = (second > 120).then_some((B, "it has given nothing whole for two minutes"));
        assert_eq!(late, Vec::from_iter(due), "{second}");
    }
    batch.lost(B, &mut Vec::new());
    batch.at(secs(155));
    assert_eq!(batch.late(), []);
    batch.at(secs(156));
    assert_eq!(batch.late(), [(A, "it says nothing")]);
    batch.lost(A, &mut Vec::new());
    assert_eq!(batch.late(), []);
    // Its time begins when it is asked.
    batch.at(secs(1000)).connected(A, &mut Vec::new());
    assert_eq!(batch.at(secs(1030)).late(), []);
}

#[test]
fn who_has_refused_all_that_is_left_is_of_no_use() {
    let mut batch = batch(3);
    let mut out = Vec::new();
    connect(&mut batch, &[A]);
    assert!(batch.is_useful(A) && batch.is_useful(B));
    batch.refused(A, 0, Refusal::NotHere, &mut out);
    batch.described(A, 1, 0, &mut out);
    assert!(batch.is_useful(A), "it may give the third");
    batch.refused(A, 2, Refusal::NotHere, &mut out);
    assert!(!batch.is_useful(A) && batch.is_useful(B));
    assert_eq!((out.len(), batch.is_idle()), (0, true));
    let asks = connect(&mut batch, &[B]);
    run(&mut batch, asks, |ask| match ask {
        Ask::Size(_, 1) => Err(Refusal::NotHere),
        _ => Ok(1),
    });
    assert!(batch.left() == 1 && !batch.is_useful(A) && !batch.is_useful(B));
}

#[test]
fn who_keeps_us_waiting_is_known_by_how_long() {
    let mut batch = batch(1);
    connect(&mut batch, &[A, B]);
    batch.at(secs(7)).heard(A);
    assert_eq!((batch.lag(A), batch.lag(B)), (Duration::from_secs(7), Duration::ZERO));
}

#[test]
fn a_queue_may_be_silent_for_an_hour_and_our_own_cap_for_ever() {
    let mut batch = batch(1000);
    connect(&mut batch, &[A, B]);
    batch.queued(A);
    batch.throttled(B);
    assert_eq!(batch.at(secs(3600)).late(), []);
    assert_eq!((batch.lag(A), batch.lag(B)), (Duration::from_secs(3600), Duration::ZERO));
    batch.sends(B);
    assert_eq!(batch.at(secs(3601)).late(), [(A, "it has kept us in its queue for an hour")]);
    batch.lost(A, &mut Vec::new());
    assert_eq!(batch.at(secs(3631)).late(), [(B, "it says nothing")]);
}

#[test]
fn who_goes_in_and_out_of_its_queue_wins_no_time_by_it() {
    let mut batch = batch(1000);
    connect(&mut batch, &[A]);
    // Of each half minute it has us in its queue for twenty seconds.
    let ends = (0..).find_map(|n| {
        batch.at(secs(30 * n)).sends(A);
        batch.at(secs(30 * n + 10)).queued(A);
        batch.at(secs(30 * n + 29)).heard(A);
        batch.late().first().map(|late| (n, late.1))
    });
    assert_eq!(ends, Some((12, "it has given nothing whole for two minutes")));
    // A file that is whole gives it all its time again.
    batch.described(A, 0, 9, &mut Vec::new());
    batch.came(A, 0, &mut Vec::new());
    assert_eq!(batch.late(), []);
}

#[test]
fn what_waits_in_the_queue_of_one_comes_from_another() {
    let mut batch = batch(5);
    connect(&mut batch, &[A, B]);
    batch.queued(A);
    let mut out = Vec::new();
    batch.at(secs(2)).hedge(&mut out);
    assert_eq!(run(&mut batch, out.into(), |_| Ok(9)).len(), 5);
    assert_eq!(batch.left(), 0);
}

#[test]
fn what_is_here_is_not_asked_for() {
    let ids = batch(3).ids;
    let mut batch = Batch::new(ids.clone(), &ids[..2].iter().copied().collect());
    let asks = connect(&mut batch, &[A]);
    assert_eq!(Vec::from(asks), [Ask::Size(A, 2)]);
}

/// Whether everybody who is there and has nothing to do has refused all that is wanted.
fn is_busy_as_can_be(batch: &Batch) -> bool {
    let refused = |number: &Number, source| {
        batch.refused.get(number).is_some_and(|(who, _)| who.contains(source))
    };
    let wanted = || {
        let all = batch.states.iter().zip(0..);
        all.filter(|(state, _)| **state == State::Wanted).map(|(_, number)| number)
    };
    let counted = |source: &ServentId| {
        let refused = batch.refused.iter().filter(|(_, (who, _))| who.contains(source));
        batch.unwilling.get(source).copied().unwrap_or(0) == refused.count()
    };
    assert!(batch.unwilling.keys().all(counted));
    let idle = batch.sources.iter().filter(|(_, from)| from.is_idle());
    idle.map(|(source, _)| source).all(|source| wanted().all(|number| refused(&number, source)))
}

proptest! {
    #[test]
    fn whoever_is_lost_and_refuses_all_comes_from_whoever_is_left(
        steps in prop::collection::vec((0u8..5, 0u8..3), 0..300), count in 1u32..400
    ) {
        let mut batch = batch(count);
        let mut asks = connect(&mut batch, &[A, B]);
        let mut out = Vec::new();
        for (step, who) in steps {
            let source = if who == 0 { A } else { B };
            match step {
                0 => {
                    batch.lost(source, &mut out);
                    asks.retain(|ask| {
                        !matches!(ask, Ask::Size(s, _) | Ask::Bytes(s, ..) if *s == source)
                    });
                    prop_assert!(!batch.is_busy(source));
                }
                1 => batch.connected(source, &mut out),
                _ => match asks.pop_front() {
                    Some(Ask::Size(s, n)) if who == 2 => {
                        batch.refused(s, n, Refusal::NotHere, &mut out);
                    }
                    Some(Ask::Size(s, n)) if step == 4 => {
                        batch.described(s, n, 0, &mut out);
                    }
                    Some(Ask::Size(s, n)) => {
                        batch.described(s, n, u64::from(n) + 1, &mut out);
                    }
                    Some(Ask::Bytes(s, n, _)) => batch.came(s, n, &mut out),
                    None => {}
                },
            }
            prop_assert!(is_busy_as_can_be(&batch));
            asks.extend(out.drain(..));
        }
        // A third one, who has everything and refuses nothing, ends it.
        batch.lost(A, &mut out);
        batch.lost(B, &mut out);
        out.clear();
        let asks = connect(&mut batch, &[ServentId([3; 32])]);
        run(&mut batch, asks, |_| Ok(1));
        prop_assert!(batch.is_idle());
        prop_assert_eq!((batch.left(), batch.missing().count()), (0, 0));
    }

    #[test]
    fn whatever_one_does_all_comes_from_another_who_is_honest_and_soon(
        steps in prop::collection::vec(0u8..5, 0..300), count in 1u32..400
    ) {
        let mut batch = batch(count);
        let mut asks = connect(&mut batch, &[A, B]);
        let mut steps = steps.into_iter();
        for tick in 0..10 {
            let mut theirs = VecDeque::new();
            while let Some(ask) = asks.pop_front() {
                let mut out = Vec::new();
                let mut step = || steps.next();
                match ask {
                    Ask::Size(B, number) => {
                        batch.described(B, number, 5, &mut out);
                    }
                    Ask::Bytes(B, number, _) => batch.came(B, number, &mut out),
                    Ask::Size(A, number) => match step() {
                        Some(0) => { batch.described(A, number, 0, &mut out); }
                        Some(1) => { batch.described(A, number, 5, &mut out); }
                        Some(2) => { batch.refused(A, number, Refusal::NotHere, &mut out); }
                        Some(3) => theirs.push_back(ask),
                        _ => {}
                    },
                    Ask::Bytes(A, number, _) => match step() {
                        Some(0) => batch.came(A, number, &mut out),
                        Some(1) => { batch.refused(A, number, Refusal::NotHere, &mut out); }
                        Some(2) => theirs.push_back(ask),
                        _ => {}
                    },
                    _ => {}
                }
                asks.extend(out);
                prop_assert!(is_busy_as_can_be(&batch));
            }
            let mut out = Vec::new();
            batch.at(secs(2 * (tick + 1))).hedge(&mut out);
            asks = theirs;
            asks.extend(out);
        }
        prop_assert_eq!((batch.left(), batch.missing().count()), (0, 0));
    }
}

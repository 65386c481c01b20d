//! What holds in any crowd, whatever its plans do.

use super::*;
use crate::sim::Delay;
use crate::sim::plan::Latency;

/// A small file, so that a run takes no time.
fn small(receivers: usize) -> CrowdPlan {
    let latency = Latency { model: Delay::Unit, mean: Duration::from_millis(10) };
    CrowdPlan { receivers, file_size: 8 << 20, latency, ..CrowdPlan::default() }
}

fn run(plan: &CrowdPlan) -> CrowdReport {
    let report = run_crowd(plan, &mut |_| {}).unwrap();
    assert_eq!(report.told.blamed_unjustly, 0, "an honest servent was blamed");
    let moved = report.moved;
    assert_eq!(moved.sent, moved.written + moved.wasted, "bytes come from nowhere");
    assert!(moved.lies + moved.twice <= moved.wasted, "{moved:?}");
    report
}

#[test]
fn one_receiver_takes_what_the_line_of_the_source_takes_and_a_greeting() {
    let report = run(&small(1));
    let last = report.finished_ms.unwrap().max;
    // The greeting, the list, its proof and the first request: some round trips of 20 ms.
    let more = last - report.bound_ms;
    assert!((80.0..300.0).contains(&more), "{more} ms over {}", report.bound_ms);
    assert_eq!((report.finished, report.moved.from_sources), (1, 1.0));
    assert_eq!((report.source_copies.min, report.source_copies.max), (1, 1));
    assert_eq!(report.moved.wasted, 0);
}

#[test]
fn who_takes_on_a_slow_line_is_the_measure_of_itself() {
    let plan = CrowdPlan { peer_down: 2_000_000, source_rate: 200_000_000, ..small(3) };
    let report = run(&plan);
    assert_eq!(report.finished, 3);
    let over = report.last_over_bound.unwrap();
    assert!((1.0..1.15).contains(&over), "{over}");
}

#[test]
fn nobody_is_faster_than_the_bound() {
    for receivers in [1, 2, 5, 12] {
        for (source_rate, peer_up) in [(20_000_000, 20_000_000), (40_000_000, 1_000_000)] {
            let plan = CrowdPlan { source_rate, peer_up, ..small(receivers) };
            let report = run(&plan);
            assert_eq!(report.finished, receivers);
            assert!(report.last_over_bound.unwrap() >= 1.0, "{plan:?}");
        }
    }
}

#[test]
fn the_same_plan_gives_the_same_report_and_another_seed_another() {
    let plan = CrowdPlan { churn: 20.0, liars: 1, leavers: 1, ..small(10) };
    assert_eq!(run(&plan), run(&plan));
    assert_ne!(run(&plan).progress, run(&CrowdPlan { seed: 2, ..plan }).progress);
}

#[test]
fn who_leaves_comes_back_to_what_it_had_and_who_leaves_for_good_is_not_waited_for() {
    let slow = CrowdPlan { source_rate: 1_000_000, peer_up: 1_000_000, ..small(12) };
    let report = run(&CrowdPlan { churn: 24.0, file_size: 16 << 20, ..slow });
    assert!(report.left_for_a_while > 0, "nobody left");
    assert_eq!((report.finished, report.unfinished), (12, 0));
    let report = run(&CrowdPlan { leavers: 5, ..small(12) });
    assert_eq!((report.finished, report.left_for_good, report.unfinished), (7, 5, 0));
}

#[test]
fn a_file_of_one_piece_comes_too() {
    for file_size in [1, 65_536, 65_537] {
        let report = run(&CrowdPlan { file_size, ..small(20) });
        assert_eq!(report.finished, 20, "{file_size} bytes");
    }
}

#[test]
fn more_bad_sources_than_good_ones_keep_nobody_from_the_file() {
    let plan = CrowdPlan { liars: 3, stallers: 3, slow: 2, file_size: 1 << 20, ..small(4) };
    let report = run(&plan);
    assert_eq!((report.finished, report.unfinished), (4, 0));
    assert!(report.told.liars_found > 0);
}

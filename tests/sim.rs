//! `part2part sim`, the built program: what it prints, draws and refuses.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fs;
use std::path::Path;
use std::process::{Output, Stdio};

use common::schema::Schema;
use common::servent::{Start, TestServent, part2part, wait_until};
use part2part::sim::{CrowdPlan, CrowdReport, run_crowd};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

fn sim(args: &[&str]) -> Output {
    let home = tempfile::tempdir().unwrap();
    sim_at(home.path(), args)
}

fn sim_at(home: &Path, args: &[&str]) -> Output {
    part2part(home).arg("sim").args(args).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn json(args: &[&str]) -> Value {
    let output = sim(&[args, &["--json"]].concat());
    assert!(output.status.success(), "{args:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Small, and with everything in it.
const EVENTFUL: [&str; 13] = [
    "--nodes",
    "60",
    "--degree",
    "5",
    "--queries",
    "4",
    "--loss",
    "0.01",
    "--churn",
    "60",
    "--kill-fraction",
    "0.3",
    "--latency=spread:5ms",
];

#[test]
fn the_same_seed_gives_the_same_report_byte_for_byte() {
    for more in [&[][..], &["--json"]] {
        let args = [&EVENTFUL[..], more].concat();
        let (one, two) = (sim(&args), sim(&args));
        assert!(one.status.success(), "{}", text(&one.stderr));
        assert_eq!(text(&one.stdout), text(&two.stdout));
        let other = sim(&[&args[..], &["--seed", "2"]].concat());
        assert_ne!(text(&one.stdout), text(&other.stdout), "the seed changes nothing");
    }
}

#[test]
fn the_json_is_as_described_and_as_promised() {
    let home = tempfile::tempdir().unwrap();
    let printed = part2part(home.path()).args(["schema", "sim"]).output().unwrap();
    let printed = text(&printed.stdout);
    assert_eq!(
        printed,
        include_str!("golden/sim.schema.json"),
        "fields may be added within a version: then print the schema into the golden file; \
         anything else is a new version"
    );
    let schema = Schema::read(&printed);
    let runs = [&EVENTFUL[..], &["--topology", "line", "--nodes", "12", "--ttl", "3"]];
    for args in runs {
        let report = json(args);
        schema.judge(&report).unwrap_or_else(|why| panic!("{args:?}: {report}: {why}"));
        assert_eq!(report["v"], 1);
    }
}

/// A crowd in which everything happens.
const CROWD: [&str; 10] = [
    "--crowd",
    "10",
    "--file-size=4MiB",
    "--source-rate=2MB/s",
    "--peer-rate=2MB/s",
    "--liars=1",
    "--stallers=1",
    "--slow=1",
    "--leavers=2",
    "--churn=20",
];

#[test]
fn a_crowd_is_reported_as_described_and_the_same_for_the_same_seed() {
    let home = tempfile::tempdir().unwrap();
    let printed = part2part(home.path()).args(["schema", "crowd"]).output().unwrap();
    let printed = text(&printed.stdout);
    assert_eq!(printed, include_str!("golden/crowd.schema.json"), "as for the golden file of sim");
    let report = json(&CROWD);
    Schema::read(&printed).judge(&report).unwrap_or_else(|why| panic!("{report}: {why}"));
    assert_eq!(report["finished"], 8);
    assert_eq!(report["told"]["blamed_unjustly"], 0);
    let (one, two) = (sim(&CROWD), sim(&CROWD));
    assert_eq!(text(&one.stdout), text(&two.stdout));
    assert!(text(&one.stdout).contains("8 of 10 got it, 2 left for good"));
    let other = sim(&[&CROWD[..], &["--seed", "2"]].concat());
    assert_ne!(text(&one.stdout), text(&other.stdout), "the seed changes nothing");
}

fn crowd(plan: &CrowdPlan) -> CrowdReport {
    let report = run_crowd(plan, &mut |_| {}).unwrap();
    let stayed = plan.receivers - plan.leavers;
    assert_eq!((report.finished, report.unfinished), (stayed, 0), "somebody has no file");
    assert!(report.moved.written >= plan.file_size * stayed as u64);
    assert_eq!(report.told.blamed_unjustly, 0, "an honest servent was blamed");
    report
}

/// Of one source that is slower than each of those who want the file.
fn crowd_of(receivers: usize, file_size: u64, source_rate: u64) -> CrowdPlan {
    let peer_up = 2 * source_rate;
    CrowdPlan { receivers, file_size, source_rate, peer_up, ..CrowdPlan::default() }
}

#[test]
fn a_crowd_of_64_feeds_itself_and_its_source_sends_little_more_than_the_file() {
    let report = crowd(&crowd_of(64, 16 << 20, 5_000_000));
    let (sent, over) = (report.source_copies.mean, report.last_over_bound.unwrap());
    assert!(sent <= 1.5, "the source sent the file {sent} times");
    assert!(over <= 1.5, "the last had it after {over} of the least time");
    assert!(report.moved.from_sources < 0.03, "{:?}", report.moved);
}

#[test]
fn a_crowd_of_64_bears_leaves_and_deaths_and_blames_the_liar_alone() {
    let plan = CrowdPlan { liars: 1, leavers: 8, churn: 60.0, ..crowd_of(64, 4 << 20, 2_500_000) };
    let report = crowd(&plan);
    assert_eq!(report.left_for_good, 8);
    assert!(report.left_for_a_while > 0 && report.left_without_a_word > 0, "all went well");
    assert!(report.told.liars_found >= 40, "{:?}", report.told);
    assert!(report.moved.lies * 20 < report.moved.written, "{:?}", report.moved);
    // Who was away for a while comes back after ten seconds.
    let last = report.finished_ms.unwrap().max;
    assert!(last < 20_000.0, "the last had it after {last} ms");
}

#[test]
fn a_crowd_of_500_gets_its_file_from_each_other() {
    let report = crowd(&crowd_of(500, 1 << 20, 5_000_000));
    let (sent, over) = (report.source_copies.mean, report.last_over_bound.unwrap());
    assert!(sent <= 20.0, "the source sent the file {sent} times, to 500");
    assert!(over <= 25.0, "the last had it after {over} of the least time");
}

#[test]
fn the_way_of_a_crowd_to_its_file_is_drawn() {
    let home = tempfile::tempdir().unwrap();
    let args = ["--crowd", "3", "--file-size", "1MB", "--plot", "crowd.svg"];
    let output = sim_at(home.path(), &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let picture = fs::read_to_string(home.path().join("crowd.svg")).unwrap();
    for part in ["3 receivers of 1.0 MiB", "at best", "the first", "the last", "seconds"] {
        assert!(picture.contains(part), "{part}");
    }
}

#[test]
fn a_search_asks_all_within_its_radius_and_most_copies_answer_each_other() {
    let report = json(&["--nodes", "80", "--topology", "random", "--queries", "6", "--ttl", "8"]);
    let searches = &report["searches"];
    assert_eq!(report["mesh"]["components"], 1);
    assert_eq!(searches["recall_of_horizon_min"], 1.0, "{searches}");
    assert_eq!(searches["recall_of_holders"], 1.0);
    assert_eq!(searches["asked"], 79.0);
    let dones = searches["dones"].as_f64().unwrap();
    assert!((79.0..381.0).contains(&dones), "half as many as copies: {searches}");
    let (copies, asked) = (&searches["copies"], &searches["asked"]);
    let duplicates = copies.as_f64().unwrap() - asked.as_f64().unwrap();
    assert!((duplicates - searches["duplicates"].as_f64().unwrap()).abs() < 1e-6);
    assert_eq!((&searches["ended_by_timer"], &searches["lost"]), (&0.into(), &0.into()));
}

#[test]
fn in_a_line_a_search_goes_as_far_as_its_ttl() {
    let report = json(&["--nodes", "9", "--topology", "line", "--ttl", "1", "--queries", "30"]);
    let asked = report["searches"]["asked"].as_f64().unwrap();
    assert!((1.0..=2.0).contains(&asked), "{asked}");
    assert_eq!(report["mesh"]["degrees"]["max"], 2);
    assert_eq!(report["plan"]["degree"], Value::Null, "a line has degrees of its own");
    assert!(report["searches"]["recall_of_mesh"].as_f64().unwrap() < 0.5);
}

#[test]
fn a_mesh_that_grew_repairs_itself_and_a_drawn_one_does_not() {
    let args = ["--nodes", "60", "--kill-fraction", "0.3", "--queries", "4"];
    let failure = &json(&args)["failure"];
    assert_eq!(failure["killed"], 18);
    assert_eq!(failure["mesh_after_repair"]["components"], 1);
    assert_eq!(failure["searches_after_repair"]["recall_of_mesh"], 1.0);
    let failure = &json(&[&args[..], &["--topology", "star"]].concat())["failure"];
    assert_eq!(failure["mesh_after_repair"], Value::Null);
    assert_eq!(failure["one_mesh_after_secs"], Value::Null);
}

#[test]
fn a_picture_is_drawn_with_all_its_parts() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("mesh.svg");
    fs::write(&path, "an older picture").unwrap();
    let args = ["--nodes", "40", "--queries", "2", "--plot", "mesh.svg"];
    let output = sim_at(home.path(), &args);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("40 servents"), "the report is told as well");
    let svg = fs::read_to_string(&path).unwrap();
    let elements = well_formed(&svg);
    assert!(elements.iter().filter(|name| *name == "circle").count() > 40, "servents are drawn");
    assert!(elements.iter().filter(|name| *name == "rect").count() > 3, "and bars");
    for wanted in [
        "What a search reaches",
        "What a search costs",
        "Neighbours of a servent",
        "The mesh:",
        "TTL in hops",
        "messages per search",
        "copies of the query",
    ] {
        assert!(svg.contains(wanted), "{wanted} is missing");
    }
    let left: Vec<_> = fs::read_dir(home.path()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left, [path], "nothing else was written");
    // A mesh that is too large to be drawn shows how long a search takes instead.
    let large = ["--nodes", "300", "--topology", "random", "--queries", "1", "--plot", "mesh.svg"];
    assert!(sim_at(home.path(), &large).status.success());
    let svg = fs::read_to_string(home.path().join("mesh.svg")).unwrap();
    assert!(svg.contains("How long a search takes") && !svg.contains("The mesh:"));
}

/// The names of the elements of `xml`, whose tags must match.
fn well_formed(xml: &str) -> Vec<String> {
    let (mut open, mut all) = (Vec::new(), Vec::new());
    for tag in xml.split('<').skip(1) {
        let (inside, text) = tag.split_once('>').expect("a tag ends");
        assert!(!text.contains('>') && !inside.contains('\0'), "{tag}");
        let name: String =
            inside.trim_start_matches('/').chars().take_while(|c| c.is_alphanumeric()).collect();
        assert!(inside.matches('"').count() % 2 == 0, "{tag}");
        if inside.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "tags match");
            continue;
        }
        all.push(name.clone());
        if !inside.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty() && !all.is_empty(), "{open:?} never end");
    all
}

#[test]
fn what_makes_no_sense_is_refused_in_a_sentence() {
    for (args, wanted) in [
        (&["--nodes", "1"][..], "a mesh has 2 servents at least"),
        (&["--nodes", "50000000"], "GB of memory"),
        (&["--nodes", "10", "--degree", "10"], "1 to 9 neighbours"),
        (&["--degree", "0"], "--degree 0"),
        (&["--ttl", "0"], "1 to 8 hops"),
        (&["--ttl", "9"], "1 to 8 hops"),
        (&["--ttl", "-1"], "1 to 8 hops"),
        (&["--loss", "1.5"], "a fraction, from 0 to 0.3"),
        (&["--loss", "-0.5"], "a fraction, from 0 to 0.3"),
        (&["--kill-fraction", "1"], "a fraction, from 0 to 0.95"),
        (&["--topology", "torus"], "one of grown, random, ring"),
        (&["--topology", "ring", "--degree", "3"], "degrees of its own"),
        (&["--topology", "ring", "--churn", "5"], "nobody joins"),
        (&["--latency", "gauss"], "the models are unit"),
        (&["--latency", "unit:20"], "exponential:20ms"),
        (&["--replication", "0"], "--replication 0"),
        (&["--queries", "0"], "--queries 0"),
        (&["--plot", "mesh.png"], "its name ends in .svg"),
        (&["--crowd", "0"], "--crowd 0"),
        (&["--crowd", "4", "--file-size", "large"], "--file-size large"),
        (&["--crowd", "4", "--peer-rate", "1B/s"], "--peer-rate 1 B/s"),
        (&["--crowd", "4", "--leavers", "4"], "--leavers 4"),
        (&["--crowd", "4", "--nodes", "9"], "--nodes"),
        (&["--file-size", "1MB"], "--crowd"),
        (&["--crowd", "4", "--plot", "crowd.png"], "its name ends in .svg"),
        (&["--plot", "nowhere/mesh.svg"], "nowhere is no folder"),
    ] {
        let output = sim(args);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.starts_with("error: ") && said.contains(wanted), "{args:?}: {said}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
    }
}

#[test]
fn ctrl_c_ends_it_at_once() {
    let home = tempfile::tempdir().unwrap();
    let mut child = part2part(home.path())
        .args(["sim", "--nodes", "5000", "--topology", "grown", "--plot", "a.svg"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = Pid::from_child(&child);
    // It has begun once it catches the signal: until then its own code says nothing.
    let caught = || {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap() & (1 << (Signal::INT.as_raw() - 1)) != 0
    };
    wait_until("SIGINT is caught", caught);
    kill_process(pid, Signal::INT).unwrap();
    wait_until("it ends", || child.try_wait().unwrap().is_some());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0, "no half picture is left");
}

#[test]
fn like_mine_takes_what_my_servent_is_like_and_says_so() {
    let (one, two) = (TestServent::start(Start::default()), TestServent::start(Start::default()));
    let state = two.state();
    let like_two = |args: &[&str]| {
        sim_at(two.home(), &[&["--like-mine", "--state", state.to_str().unwrap()], args].concat())
    };
    let alone = like_two(&[]);
    assert!(!alone.status.success());
    assert!(text(&alone.stderr).contains("no neighbours yet"), "{}", text(&alone.stderr));
    let joined = two.ctl(&["join", &one.addr().to_string()]);
    assert_eq!(joined.code, 0, "{}", joined.err);
    wait_until("the round trip is known", || {
        let output = like_two(&["--nodes", "5", "--queries", "1"]);
        text(&output.stderr).contains("--latency exponential:")
    });
    let output = like_two(&["--nodes", "10", "--queries", "1", "--json"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("like the running servent: --degree 1,"));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["plan"]["degree"], 1);
    assert!(report["plan"]["latency_ms"].as_f64().unwrap() < 20.0, "both are on this machine");
}

#[test]
fn like_mine_without_a_servent_says_what_to_do() {
    let output = sim(&["--like-mine"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("no servent runs on") && said.contains("--nodes"), "{said}");
}

#[test]
fn a_closed_output_is_an_exit_code_and_no_panic() {
    let home = tempfile::tempdir().unwrap();
    let mut child = part2part(home.path())
        .args(["sim", "--nodes", "20", "--queries", "1"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(1), String::new()));
}

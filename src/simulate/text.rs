//! The report as people read it.

use std::fmt;

use unicode_width::UnicodeWidthStr;

use crate::command::layout::{self, count, grouped};
use crate::sim::report::{
    DegreesReport, FailureReport, MeshReport, PlanReport, Report, SearchesReport, SpreadReport,
    TrafficReport,
};

mod crowd;

pub(super) use crowd::crowd_text;

/// Columns before what a line says: its key.
const KEY: usize = 19;
/// How far the lines are set in that go on with one, where the keys take too much of it.
const NARROW_INDENT: usize = 4;
/// Fewest columns of a terminal that has room for both.
const ROOMY: usize = 2 * KEY;

/// The report as lines of text, for a terminal so wide.
pub(super) fn text(report: &Report, width: Option<usize>) -> String {
    let bar = width.map_or(WIDEST_BAR, |width| width.saturating_sub(KEY + NUMBER));
    folded(Text { report, bar: bar.clamp(1, WIDEST_BAR) }.to_string(), width)
}

/// `text` for a terminal so wide.
fn folded(text: String, width: Option<usize>) -> String {
    let Some(width) = width else { return text };
    let mut folded = String::with_capacity(text.len());
    for line in text.lines() {
        if line.width() <= width {
            folded.push_str(line);
        } else {
            fold(line, width, &mut folded);
        }
        folded.push('\n');
    }
    folded
}

/// Breaks a line at its spaces; what follows stands below what the line says.
fn fold(line: &str, width: usize, folded: &mut String) {
    let indent = match line.starts_with("  ") {
        true if width >= ROOMY => KEY,
        true => NARROW_INDENT,
        false => 0,
    };
    let (key, said) = match line.starts_with("  ") {
        true => line.split_at_checked(KEY).unwrap_or((line, "")),
        false => ("", line),
    };
    folded.push_str(key);
    let mut room = width.saturating_sub(key.width());
    for (nth, word) in said.split(' ').enumerate() {
        if nth > 0 && word.width() + 1 > room {
            folded.push('\n');
            folded.push_str(&" ".repeat(indent));
            room = width.saturating_sub(indent);
        } else if nth > 0 {
            folded.push(' ');
            room -= 1;
        }
        folded.push_str(word);
        room = room.saturating_sub(word.width());
    }
}

/// A report, with histograms whose longest bar is so long.
struct Text<'a> {
    report: &'a Report,
    bar: usize,
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { report, bar } = *self;
        write_plan(f, &report.plan)?;
        writeln!(f, "\nthe mesh")?;
        write_mesh(f, &report.mesh, bar)?;
        let (carried, time) = traffic(&report.building);
        line(f, "to build it", &format!("{carried}, in {time}"))?;
        match &report.churn {
            None => writeln!(f, "\nthe searches")?,
            Some(churn) => writeln!(
                f,
                "\nthe searches, while {} joined, {} left with a goodbye and {} without",
                churn.joined, churn.left, churn.vanished
            )?,
        }
        write_searches(f, &report.searches)?;
        if let Some(failure) = &report.failure {
            write_failure(f, failure, bar)?;
        }
        let (carried, time) = traffic(&report.traffic);
        writeln!(f, "\nin all {carried}, in {time} of virtual time")
    }
}

fn traffic(traffic: &TrafficReport) -> (String, String) {
    let TrafficReport { messages, bytes, ms } = *traffic;
    (format!("{}, {}", count(messages, "message"), size(bytes as f64)), millis(ms))
}

fn write_plan(f: &mut fmt::Formatter<'_>, plan: &PlanReport) -> fmt::Result {
    let shape = match (plan.topology.as_str(), plan.degree) {
        ("grown", Some(degree)) => {
            let neighbours = count(degree as u64, "neighbour");
            format!("grown by joining, each looking for {neighbours}")
        }
        ("random", Some(degree)) => {
            let neighbours = count(degree as u64, "neighbour");
            format!("linked at random, {neighbours} on average")
        }
        ("cliques", _) => "in two cliques, joined by one link".to_owned(),
        (shape, _) => format!("in the shape of a {}", shape.trim_end_matches('s')),
    };
    writeln!(f, "{}, {shape}", count(plan.nodes as u64, "servent"))?;
    let latency = format!("delays {}, mean {}", plan.latency, millis(plan.latency_ms));
    let loss = match plan.loss {
        0.0 => "nothing lost".to_owned(),
        loss => format!("{} lost and sent again", percent(loss)),
    };
    let churn = match plan.churn {
        0.0 => String::new(),
        1.0 => "; 1 join and leave a minute".to_owned(),
        churn => format!("; {churn} joins and leaves a minute"),
    };
    writeln!(f, "{latency}; {loss}{churn}; seed {}", plan.seed)?;
    let rings: Vec<String> = plan.rings.iter().map(ToString::to_string).collect();
    let times = if plan.queries == 1 { "search" } else { "searches" };
    let hops = if plan.rings == [1] { "hop" } else { "hops" };
    let what = match plan.files {
        1 => "the one file".to_owned(),
        files => format!("one of {} files", grouped(files as u64)),
    };
    let held = if plan.replication == 1 { "has" } else { "have" };
    let (queries, holders) = (grouped(plan.queries as u64), plan.replication);
    let within = rings.join(", then ");
    writeln!(f, "{queries} {times} within {within} {hops}, for {what} that {holders} {held}")
}

fn write_mesh(f: &mut fmt::Formatter<'_>, mesh: &MeshReport, longest: usize) -> fmt::Result {
    let parts = match mesh.components {
        1 => "one connected mesh".to_owned(),
        parts => format!("IN {parts} PARTS, the largest of {}", grouped(mesh.largest as u64)),
    };
    let (servents, links) = (grouped(mesh.servents as u64), count(mesh.links as u64, "link"));
    line(f, "servents", &format!("{servents} with {links}: {parts}"))?;
    let DegreesReport { min, median, max, mean, histogram } = &mesh.degrees;
    let range = if min < max {
        format!("{min} to {max}, median {median}, mean {mean:.1}")
    } else {
        min.to_string()
    };
    line(f, "neighbours", &range)?;
    let most = histogram.iter().map(|bar| bar.servents).max().unwrap_or(1).max(1);
    if histogram.len() > LONGEST_HISTOGRAM {
        return Ok(());
    }
    for bar in histogram {
        let long = (bar.servents * longest).div_ceil(most);
        let servents = grouped(bar.servents as u64);
        writeln!(f, "  {:>16} {:<longest$} {servents}", bar.degree, "#".repeat(long))?;
    }
    Ok(())
}

/// Longest histogram that is drawn; a star's would have a page of nothing in the middle.
const LONGEST_HISTOGRAM: usize = 24;
/// Columns of its longest bar.
const WIDEST_BAR: usize = 40;
/// Columns that are left for the number behind it.
const NUMBER: usize = 8;

fn write_searches(f: &mut fmt::Formatter<'_>, searches: &SearchesReport) -> fmt::Result {
    let s = searches;
    line(
        f,
        "asked",
        &format!(
            "{}: {} of those within the radius, {} of the mesh",
            counted(s.asked, "servent"),
            percent(s.recall_of_horizon),
            percent(s.recall_of_mesh)
        ),
    )?;
    if s.recall_of_horizon_min < s.recall_of_horizon {
        line(f, "at worst", &format!("{} of the radius", percent(s.recall_of_horizon_min)))?;
    }
    line(
        f,
        "found",
        &format!(
            "something in {} of {}; {} of those who had it",
            s.found,
            s.queries,
            percent(s.recall_of_holders)
        ),
    )?;
    line(
        f,
        "copies",
        &format!(
            "{} ({:.2} for each asked), {} of them duplicates",
            few(s.copies),
            s.copies_per_asked,
            few(s.duplicates)
        ),
    )?;
    line(f, "dones", &format!("{} ({:.2} for each asked)", few(s.dones), s.dones_per_asked))?;
    if let (Some(hops), Some(time)) = (&s.first_hit_hops, &s.first_hit_ms) {
        line(f, "first hit", &format!("after {}; {}", times(time), hops_of(hops)))?;
    }
    if let (Some(hops), Some(time)) = (&s.last_hit_hops, &s.last_hit_ms) {
        line(f, "last hit", &format!("after {}; {}", times(time), hops_of(hops)))?;
    }
    let certain = match (s.ended_by_timer, s.lost) {
        (0, 0) => "all answered".to_owned(),
        (0, lost) => format!("known; {} did not answer", grouped(lost)),
        (timer, lost) => format!("{timer} ended by the clock; {} did not answer", grouped(lost)),
    };
    line(f, "certain end", &format!("after {}; {certain}", times(&s.end_ms)))?;
    line(f, "each costs", &format!("{}, all else that went on included", size(s.bytes)))?;
    let busiest = &s.busiest;
    line(
        f,
        "busiest servent",
        &format!(
            "{}, {} by its {}; the mean is {}",
            count(busiest.messages, "message"),
            size(busiest.bytes as f64),
            count(busiest.degree as u64, "link"),
            few(busiest.mean_messages)
        ),
    )
}

fn write_failure(f: &mut fmt::Formatter<'_>, failure: &FailureReport, bar: usize) -> fmt::Result {
    let die = if failure.killed == 1 { "dies" } else { "die at once" };
    let killed = grouped(failure.killed as u64);
    writeln!(f, "\n{killed} {die}: searches begun at that moment")?;
    write_mesh(f, &failure.mesh_before_repair, bar)?;
    write_searches(f, &failure.searches_before_repair)?;
    let (Some(mesh), Some(searches)) = (&failure.mesh_after_repair, &failure.searches_after_repair)
    else {
        return writeln!(f, "  this shape keeps its links and does not repair itself");
    };
    let whole = match failure.one_mesh_after_secs {
        Some(0) => "it was one mesh all the time".to_owned(),
        Some(secs) => format!("one mesh after {secs} s"),
        None => "STILL IN PARTS".to_owned(),
    };
    writeln!(f, "\na minute later: {whole}")?;
    write_mesh(f, mesh, bar)?;
    write_searches(f, searches)
}

fn line(f: &mut fmt::Formatter<'_>, what: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {what:<16} {text}")
}

/// A mean: whole where it is large.
fn few(mean: f64) -> String {
    if mean >= 100.0 || mean.fract() == 0.0 {
        grouped(mean.round().max(0.0) as u64)
    } else {
        format!("{mean:.1}")
    }
}

/// A mean of things, in the plural unless it is one.
fn counted(mean: f64, noun: &str) -> String {
    if mean == 1.0 { count(1, noun) } else { format!("{} {noun}s", few(mean)) }
}

fn hops_of(hops: &SpreadReport) -> String {
    let noun = if hops.min >= hops.max && hops.min == 1.0 { "hop" } else { "hops" };
    format!("{} {noun}", spread(hops))
}

/// Never 100 % unless it is all.
fn percent(share: f64) -> String {
    if share >= 1.0 { "100 %".to_owned() } else { format!("{:.2} %", (share * 1e4).floor() / 1e2) }
}

fn size(bytes: f64) -> String {
    layout::size(bytes.round().max(0.0) as u64)
}

fn millis(ms: f64) -> String {
    match ms {
        1e3.. => format!("{:.1} s", ms / 1e3),
        10.0.. => format!("{ms:.0} ms"),
        _ => format!("{ms:.1} ms"),
    }
}

/// `min to max, median`; one number when they are all the same.
fn spread(spread: &SpreadReport) -> String {
    let SpreadReport { min, median, max } = *spread;
    if min < max { format!("{min} to {max}, median {median}") } else { format!("{min}") }
}

fn times(spread: &SpreadReport) -> String {
    let SpreadReport { min, median, max } = *spread;
    if min < max {
        format!("{} to {}, median {}", millis(min), millis(max), millis(median))
    } else {
        millis(min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::{Plan, Topology};

    #[test]
    fn figures_are_for_people() {
        assert_eq!([0.5, 7.0, 99.96, 6543.4].map(few), ["0.5", "7", "100.0", "6,543"]);
        assert_eq!(
            [0.0, 0.5, 0.99999, 1.0].map(percent),
            ["0.00 %", "50.00 %", "99.99 %", "100 %"]
        );
        assert_eq!([0.25, 45.4, 1500.0].map(millis), ["0.2 ms", "45 ms", "1.5 s"]);
    }
    #[test]
    fn a_report_is_folded_for_a_narrow_terminal_and_stays_below_its_keys() {
        let plan = Plan { nodes: 40, queries: 2, ..Plan::default() };
        let (report, _) = crate::sim::run(&plan, &mut |_| {});
        let whole = text(&report, None);
        assert_eq!(text(&report, Some(200)), whole);
        for width in [30, 40, 59, 80] {
            let folded = text(&report, Some(width));
            assert!(folded.lines().all(|line| line.width() <= width), "{width}:\n{folded}");
            let words = |text: &str| {
                let words = text.split_whitespace().filter(|word| !word.starts_with('#'));
                words.map(str::to_owned).collect::<Vec<_>>()
            };
            assert_eq!(words(&folded), words(&whole));
        }
        let narrow = text(&report, Some(50));
        let on: Vec<&str> = narrow.lines().filter(|line| line.starts_with("     ")).collect();
        let set_in = " ".repeat(KEY);
        assert!(on.iter().any(|line| line.starts_with(&set_in)), "{narrow}");
    }

    #[test]
    fn one_of_a_thing_is_said_in_the_singular() {
        let plan = Plan {
            nodes: 2,
            queries: 1,
            files: 1,
            replication: 1,
            topology: Topology::Line,
            rings: vec![1],
            ..Plan::default()
        };
        let (report, _) = crate::sim::run(&plan, &mut |_| {});
        let said = text(&report, None);
        for wanted in [
            "within 1 hop, for the one file that 1 has",
            "with 1 link:",
            "its 1 link;",
            "1 servent:",
        ] {
            assert!(said.contains(wanted), "{wanted}:\n{said}");
        }
        for wrong in ["1 hops", "1 links", "1 servents", "1 neighbours", "1 messages", "1 files"] {
            let alone = said.match_indices(wrong).any(|(at, _)| {
                said.get(..at).is_none_or(|before| {
                    !before.ends_with(|c: char| c.is_ascii_digit() || c == ',' || c == '.')
                })
            });
            assert!(!alone, "{wrong}:\n{said}");
        }
    }
}

//! The report as people read it.

use std::fmt;

use crate::command::layout::{self, grouped as count};
use crate::sim::report::{
    DegreesReport, FailureReport, MeshReport, PlanReport, Report, SearchesReport, SpreadReport,
    TrafficReport,
};

/// A report as lines of text.
pub(super) struct Text<'a>(pub(super) &'a Report);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        write_plan(f, &report.plan)?;
        writeln!(f, "\nthe mesh")?;
        write_mesh(f, &report.mesh)?;
        let TrafficReport { messages, bytes, ms } = report.building;
        let (messages, bytes, time) = (count(messages), size(bytes as f64), millis(ms));
        line(f, "to build it", &format!("{messages} messages, {bytes}, in {time}"))?;
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
            write_failure(f, failure)?;
        }
        let TrafficReport { messages, bytes, ms } = report.traffic;
        let (messages, bytes, time) = (count(messages), size(bytes as f64), millis(ms));
        writeln!(f, "\nin all {messages} messages, {bytes}, in {time} of virtual time")
    }
}

fn write_plan(f: &mut fmt::Formatter<'_>, plan: &PlanReport) -> fmt::Result {
    let shape = match (plan.topology.as_str(), plan.degree) {
        ("grown", Some(degree)) => {
            format!("grown by joining, each looking for {degree} neighbours")
        }
        ("random", Some(degree)) => format!("linked at random, {degree} neighbours on average"),
        ("cliques", _) => "in two cliques, joined by one link".to_owned(),
        (shape, _) => format!("in the shape of a {}", shape.trim_end_matches('s')),
    };
    writeln!(f, "{} servents, {shape}", count(plan.nodes as u64))?;
    let latency = format!("delays {}, mean {}", plan.latency, millis(plan.latency_ms));
    let loss = match plan.loss {
        0.0 => "nothing lost".to_owned(),
        loss => format!("{} lost and sent again", percent(loss)),
    };
    let churn = match plan.churn {
        0.0 => String::new(),
        churn => format!("; {churn} joins and leaves a minute"),
    };
    writeln!(f, "{latency}; {loss}{churn}; seed {}", plan.seed)?;
    let rings: Vec<String> = plan.rings.iter().map(ToString::to_string).collect();
    let (queries, files) = (count(plan.queries as u64), count(plan.files as u64));
    let within = rings.join(", then ");
    let times = if plan.queries == 1 { "search" } else { "searches" };
    let held = plan.replication;
    writeln!(f, "{queries} {times} within {within} hops, for one of {files} files that {held} have")
}

fn write_mesh(f: &mut fmt::Formatter<'_>, mesh: &MeshReport) -> fmt::Result {
    let parts = match mesh.components {
        1 => "one connected mesh".to_owned(),
        parts => format!("IN {parts} PARTS, the largest of {}", count(mesh.largest as u64)),
    };
    let (servents, links) = (count(mesh.servents as u64), count(mesh.links as u64));
    line(f, "servents", &format!("{servents} with {links} links: {parts}"))?;
    let DegreesReport { min, median, max, mean, histogram } = &mesh.degrees;
    line(f, "neighbours", &format!("{min} to {max}, median {median}, mean {mean:.1}"))?;
    let most = histogram.iter().map(|bar| bar.servents).max().unwrap_or(1).max(1);
    if histogram.len() > LONGEST_HISTOGRAM {
        return Ok(());
    }
    for bar in histogram {
        let long = (bar.servents * WIDEST_BAR).div_ceil(most);
        let servents = count(bar.servents as u64);
        writeln!(f, "  {:>16} {:<WIDEST_BAR$} {servents}", bar.degree, "#".repeat(long))?;
    }
    Ok(())
}

/// Longest histogram that is drawn; a star's would have a page of nothing in the middle.
const LONGEST_HISTOGRAM: usize = 24;
/// Columns of its longest bar.
const WIDEST_BAR: usize = 40;

fn write_searches(f: &mut fmt::Formatter<'_>, searches: &SearchesReport) -> fmt::Result {
    let s = searches;
    line(
        f,
        "asked",
        &format!(
            "{} servents: {} of those within the radius, {} of the mesh",
            few(s.asked),
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
        line(f, "first hit", &format!("after {}; {} hops", times(time), spread(hops)))?;
    }
    if let (Some(hops), Some(time)) = (&s.last_hit_hops, &s.last_hit_ms) {
        line(f, "last hit", &format!("after {}; {} hops", times(time), spread(hops)))?;
    }
    let certain = match (s.ended_by_timer, s.lost) {
        (0, 0) => "all answered".to_owned(),
        (0, lost) => format!("known; {} did not answer", count(lost)),
        (timer, lost) => format!("{timer} ended by the clock; {} did not answer", count(lost)),
    };
    line(f, "certain end", &format!("after {}; {certain}", times(&s.end_ms)))?;
    line(f, "each costs", &format!("{}, all else that went on included", size(s.bytes)))?;
    let busiest = &s.busiest;
    line(
        f,
        "busiest servent",
        &format!(
            "{} messages, {} by its {} links; the mean is {}",
            count(busiest.messages),
            size(busiest.bytes as f64),
            busiest.degree,
            few(busiest.mean_messages)
        ),
    )
}

fn write_failure(f: &mut fmt::Formatter<'_>, failure: &FailureReport) -> fmt::Result {
    writeln!(f, "\n{} die at once: searches begun at that moment", count(failure.killed as u64))?;
    write_mesh(f, &failure.mesh_before_repair)?;
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
    write_mesh(f, mesh)?;
    write_searches(f, searches)
}

fn line(f: &mut fmt::Formatter<'_>, what: &str, text: &str) -> fmt::Result {
    writeln!(f, "  {what:<16} {text}")
}

/// A mean: whole where it is large.
fn few(mean: f64) -> String {
    if mean >= 100.0 || mean.fract() == 0.0 {
        count(mean.round().max(0.0) as u64)
    } else {
        format!("{mean:.1}")
    }
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

    #[test]
    fn figures_are_for_people() {
        assert_eq!([0.5, 7.0, 99.96, 6543.4].map(few), ["0.5", "7", "100.0", "6,543"]);
        assert_eq!(
            [0.0, 0.5, 0.99999, 1.0].map(percent),
            ["0.00 %", "50.00 %", "99.99 %", "100 %"]
        );
        assert_eq!([0.25, 45.4, 1500.0].map(millis), ["0.2 ms", "45 ms", "1.5 s"]);
    }
}

//! What a crowd did, as people read it.

use std::fmt;

use super::{folded, line, millis, percent, size, times};
use crate::command::layout::{count, grouped};
use crate::sim::crowd::report::{CrowdPlanReport, CrowdReport, GiverRole};

/// The report as lines of text, for a terminal so wide.
pub(in crate::simulate) fn crowd_text(report: &CrowdReport, width: Option<usize>) -> String {
    folded(Text(report).to_string(), width)
}

struct Text<'a>(&'a CrowdReport);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = *self;
        write_plan(f, &report.plan)?;
        writeln!(f, "\nthe crowd")?;
        line(f, "at best", &format!("all have it after {}", millis(report.bound_ms)))?;
        write_end(f, report)?;
        writeln!(f, "\nwho gave")?;
        write_givers(f, report)?;
        let moved = &report.moved;
        let rest = moved.wasted.saturating_sub(moved.lies).saturating_sub(moved.twice);
        line(
            f,
            "wasted",
            &format!(
                "{} of {} sent: {} were lies, {} came twice, {} were broken off",
                size(moved.wasted as f64),
                size(moved.sent as f64),
                size(moved.lies as f64),
                size(moved.twice as f64),
                size(rest as f64)
            ),
        )?;
        if report.plan.liars > 0 || report.told.blamed_unjustly > 0 {
            let found = count(report.told.liars_found, "time");
            let blamed = match report.told.blamed_unjustly {
                0 => "nobody else was blamed".to_owned(),
                blamed => format!("HONEST ONES WERE BLAMED {}", count(blamed, "TIME")),
            };
            line(f, "liars", &format!("found out {found}; {blamed}"))?;
        }
        Ok(())
    }
}

fn write_plan(f: &mut fmt::Formatter<'_>, plan: &CrowdPlanReport) -> fmt::Result {
    let wants = if plan.crowd == 1 { "wants" } else { "want" };
    let pieces = count(plan.pieces.into(), "piece");
    writeln!(
        f,
        "{} {wants} a file of {} in {pieces}",
        count(plan.crowd as u64, "servent"),
        size(plan.file_size as f64)
    )?;
    let mut givers = vec![count(plan.sources as u64, "source")];
    let more = [("liar", plan.liars), ("staller", plan.stallers), ("slow source", plan.slow)];
    givers.extend(more.iter().filter(|(_, n)| *n > 0).map(|(noun, n)| count(*n as u64, noun)));
    writeln!(
        f,
        "{} with {}/s out; each of the crowd {}/s out, {}/s in",
        givers.join(", "),
        size(plan.source_rate as f64),
        size(plan.peer_rate as f64),
        size(plan.peer_down as f64)
    )?;
    let mut rest = format!("delays {}, mean {}", plan.latency, millis(plan.latency_ms));
    if plan.leavers > 0 {
        let leave = if plan.leavers == 1 { "leaves" } else { "leave" };
        rest += &format!("; {} {leave} half way", grouped(plan.leavers as u64));
    }
    if plan.churn > 0.0 {
        rest += &format!("; {} leaves and returns a minute", plan.churn);
    }
    writeln!(f, "{rest}; seed {}", plan.seed)
}

fn write_end(f: &mut fmt::Formatter<'_>, report: &CrowdReport) -> fmt::Result {
    let finished = format!("{} of {}", report.finished, report.plan.crowd);
    match (&report.finished_ms, report.last_over_bound) {
        (Some(at), Some(over)) => {
            line(
                f,
                "the last has it",
                &format!("after {}, {over:.2} of the best", millis(at.max)),
            )?;
            line(f, "the others", &format!("after {}", times(at)))?;
        }
        _ => line(f, "the last has it", "never: nobody got it")?,
    }
    let mut all = vec![format!("{finished} got it")];
    if report.left_for_good > 0 {
        all.push(format!("{} left for good", grouped(report.left_for_good as u64)));
    }
    if report.left_for_a_while > 0 {
        all.push(format!("{} for a while", count(report.left_for_a_while, "leave")));
    }
    if report.unfinished > 0 {
        all.push(format!("{} DID NOT GET IT", grouped(report.unfinished as u64)));
    }
    line(f, "in all", &all.join(", "))?;
    let shares: Vec<String> = [0.25, 0.5, 0.75]
        .iter()
        .filter_map(|half| {
            let at = report.progress.iter().find(|sample| sample.median >= *half)?;
            Some(format!("{} after {}", percent(*half), millis(at.ms)))
        })
        .collect();
    line(f, "half of them had", &shares.join(", "))
}

fn write_givers(f: &mut fmt::Formatter<'_>, report: &CrowdReport) -> fmt::Result {
    let moved = &report.moved;
    let from = percent(moved.from_sources);
    let copies = &report.source_copies;
    line(
        f,
        "sources",
        &format!(
            "{from} of what was written; each piece {} to {} times, {:.2} on average",
            copies.min, copies.max, copies.mean
        ),
    )?;
    let crowd = report.givers.iter().filter(|giver| giver.role == GiverRole::Receiver);
    let mut given: Vec<u64> = crowd.map(|giver| giver.given).collect();
    given.sort_unstable();
    let at = |place: usize| size(given.get(place).copied().unwrap_or_default() as f64);
    let middle = given.len().saturating_sub(1) / 2;
    line(
        f,
        "the crowd",
        &format!("each {} to {}, median {}", at(0), at(given.len().saturating_sub(1)), at(middle)),
    )?;
    let fairness = &report.fairness;
    let even = format!("{:.2} of times, {:.2} of what was given", fairness.times, fairness.given);
    line(f, "evenness", &format!("{even} (Jain's index; 1: all the same)"))
}

//! `part2part sim --crowd N`: what happens when many want one file at the same moment.

use std::io;

use bytesize::ByteSize;

use super::{SimError, bar, carry_out, check_place, tell, text};
use crate::args::SimArgs;
use crate::command::Exit;
use crate::plot;
use crate::sim::{CrowdError, CrowdPlan, Stage, run_crowd};

/// Simulates a crowd and tells what came of it.
pub(super) async fn report(args: &SimArgs, plan: CrowdPlan) -> Result<Exit, SimError> {
    if let Some(path) = &args.plot {
        check_place(path)?;
    }
    let report = carry_out(Stage::Sharing, move |watch| run_crowd(&plan, watch)).await??;
    let picture = args.plot.is_some().then(|| plot::draw_crowd(&report));
    let told = if args.json {
        format!("{}\n", report.to_json())
    } else {
        text::crowd_text(&report, bar::columns(io::stdout()))
    };
    tell(args, &told, picture)
}

/// What the flags ask for.
pub(super) fn plan_of(args: &SimArgs, receivers: usize) -> Result<CrowdPlan, SimError> {
    let usual = CrowdPlan::default();
    let given = &args.crowd;
    let latency = args.latency.as_deref().map(str::parse).transpose().map_err(SimError::Plan)?;
    Ok(CrowdPlan {
        receivers,
        file_size: given.file_size.as_deref().map_or(Ok(usual.file_size), size)?,
        sources: given.sources.unwrap_or(usual.sources),
        source_rate: rate("--source-rate", given.source_rate.as_deref(), usual.source_rate)?,
        peer_up: rate("--peer-rate", given.peer_rate.as_deref(), usual.peer_up)?,
        peer_down: rate("--peer-down", given.peer_down.as_deref(), usual.peer_down)?,
        latency: latency.unwrap_or(usual.latency),
        liars: given.liars.unwrap_or(usual.liars),
        stallers: given.stallers.unwrap_or(usual.stallers),
        slow: given.slow.unwrap_or(usual.slow),
        leavers: given.leavers.unwrap_or(usual.leavers),
        churn: args.churn,
        seed: args.seed,
    })
}

fn size(text: &str) -> Result<u64, CrowdError> {
    let parsed = text.trim().parse::<ByteSize>();
    parsed.map(|size| size.0).map_err(|_| CrowdError::Size(text.to_owned()))
}

fn rate(flag: &'static str, given: Option<&str>, usual: u64) -> Result<u64, CrowdError> {
    let Some(text) = given else { return Ok(usual) };
    let parsed = text.trim().trim_end_matches("/s").parse::<ByteSize>();
    parsed.map(|rate| rate.0).map_err(|_| CrowdError::Rate { flag, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::CrowdArgs;

    #[test]
    fn no_flags_mean_the_usual_crowd() {
        let args = SimArgs { seed: 1, ..SimArgs::default() };
        let usual = CrowdPlan { receivers: 7, ..CrowdPlan::default() };
        assert_eq!(plan_of(&args, 7).unwrap(), usual);
    }

    #[test]
    fn sizes_and_rates_are_read_as_elsewhere_and_what_cannot_be_read_is_named() {
        let of = |file_size: &str, rate: &str| {
            let crowd = CrowdArgs {
                file_size: Some(file_size.to_owned()),
                source_rate: Some(rate.to_owned()),
                peer_rate: Some("1MiB".to_owned()),
                ..CrowdArgs::default()
            };
            plan_of(&SimArgs { crowd, ..SimArgs::default() }, 7).map_err(|e| e.to_string())
        };
        let plan = of("4GiB", "20MB/s").unwrap();
        assert_eq!(
            (plan.file_size, plan.source_rate, plan.peer_up),
            (4 << 30, 20_000_000, 1 << 20)
        );
        assert!(of("large", "20MB").unwrap_err().starts_with("--file-size large: "));
        assert!(of("1MB", "-3MB/s").unwrap_err().starts_with("--source-rate -3MB/s: "));
    }
}

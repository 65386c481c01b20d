//! The picture of a crowd: how its receivers come by the file.

use plotters::prelude::*;

use super::{Axes, BLUE, Curve, GREEN, HEADING, INK, ORANGE, PlotError, failed, plot, short, text};
use crate::sim::CrowdReport;
use crate::sim::crowd::report::ProgressReport;

/// The size of the picture, in pixels.
const SIZE: (u32, u32) = (1000, 560);

/// The picture of a crowd: what the first, the middle and the last receiver have by when,
/// and the fastest that any crowd could be.
///
/// # Errors
/// [`PlotError`], which no report is known to cause.
pub fn draw_crowd(report: &CrowdReport) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let area = root.titled(&heading(report), text(HEADING)).map_err(failed)?;
        let share = |of: &dyn Fn(&ProgressReport) -> f64| -> Vec<(f64, f64)> {
            report.progress.iter().map(|sample| (sample.ms / 1e3, 100.0 * of(sample))).collect()
        };
        let bound = report.bound_ms / 1e3;
        let lines = [
            Curve { name: "at best", colour: INK, points: vec![(0.0, 0.0), (bound, 100.0)] },
            Curve { name: "the first", colour: GREEN, points: share(&|sample| sample.most) },
            Curve { name: "the middle", colour: BLUE, points: share(&|sample| sample.median) },
            Curve { name: "the last", colour: ORANGE, points: share(&|sample| sample.least) },
        ];
        let end = report.progress.last().map_or(bound, |sample| sample.ms / 1e3).max(bound);
        let axes = Axes { title: "What receivers have", x: "seconds", y: "% of the file" };
        let x = 0.0..(end * 1.02).max(1e-3);
        plot(&area, &axes, x, 0.0..105.0, &short, &lines, SeriesLabelPosition::LowerRight)?;
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

fn heading(report: &CrowdReport) -> String {
    let plan = &report.plan;
    let size = plan.file_size as f64 / f64::from(1 << 20);
    let rate = |rate: u64| rate as f64 / 1e6;
    let (crowd, source, peer) = (plan.crowd, rate(plan.source_rate), rate(plan.peer_rate));
    format!("{crowd} receivers of {size:.1} MiB: source {source} MB/s, each {peer} MB/s")
}

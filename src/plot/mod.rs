//! Pictures of what was simulated, as SVG.
//!
//! Of a mesh four panels of equal size: what a search reaches by its TTL, what it costs by
//! the size of the mesh, how many neighbours servents have, and either the mesh itself,
//! where it is small enough to be drawn, or the time that a search takes. Of a crowd its way
//! to the file. The colours are those of Okabe and Ito, which everybody can tell apart.
//! Nothing here touches a disk.

use std::ops::Range;

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::base::MAX_TTL;
use crate::sim::topology::Links;
use crate::sim::{Curves, Report};

mod crowd;
mod layout;

pub use crowd::draw_crowd;
pub use layout::layout;

/// The size of a picture, in pixels.
pub const SIZE: (u32, u32) = (1000, 800);
/// Most servents of a mesh that is drawn: with more, nobody can tell them apart.
pub const MAX_DRAWN: usize = 200;

const BLUE: RGBColor = RGBColor(0, 114, 178);
const ORANGE: RGBColor = RGBColor(213, 94, 0);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const INK: RGBColor = RGBColor(40, 40, 40);
const FAINT: RGBColor = RGBColor(225, 225, 225);

/// Family and sizes of the texts.
const FONT: &str = "sans-serif";
const HEADING: u32 = 20;
const TITLE: u32 = 17;
const LABEL: u32 = 13;
/// Columns of pixels for the numbers and the name of a vertical axis.
const AXIS: u32 = 62;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[error("the picture cannot be drawn: {0}")]
pub struct PlotError(String);

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

fn failed<E: std::fmt::Display>(error: E) -> PlotError {
    PlotError(error.to_string())
}

/// The picture of a report, of the curves around it and of its mesh.
///
/// # Errors
/// [`PlotError`], which no report is known to cause.
pub fn draw(report: &Report, curves: &Curves, links: &Links) -> Result<String, PlotError> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let heading = root.titled(&heading(report), text(HEADING)).map_err(failed)?;
        let panels = heading.split_evenly((2, 2));
        let [reach, cost, degrees, last] = panels.as_slice() else { return Err(no_panel()) };
        draw_reach(reach, curves)?;
        draw_cost(cost, curves)?;
        draw_degrees(degrees, report)?;
        if report.mesh.servents <= MAX_DRAWN {
            draw_mesh(last, report, links)?;
        } else {
            draw_time(last, curves)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

fn no_panel() -> PlotError {
    PlotError("there is no room for it".to_owned())
}

fn heading(report: &Report) -> String {
    let plan = &report.plan;
    let degree = plan.degree.map(|degree| format!(", degree {degree}")).unwrap_or_default();
    let (nodes, shape, delays) = (plan.nodes, &plan.topology, &plan.latency);
    format!("{nodes} servents, {shape}{degree}, {delays} delays of {} ms", plan.latency_ms)
}

fn text(size: u32) -> TextStyle<'static> {
    (FONT, size).into_font().color(&INK)
}

/// A line of a panel.
struct Curve {
    name: &'static str,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
}

fn draw_reach(area: &Area<'_>, curves: &Curves) -> Result<(), PlotError> {
    let by_ttl = |of: &dyn Fn(&crate::sim::report::SearchesReport) -> f64| {
        curves.by_ttl.iter().map(|(ttl, s)| (f64::from(*ttl), 100.0 * of(s))).collect()
    };
    let lines = [
        Curve { name: "servents asked", colour: BLUE, points: by_ttl(&|s| s.recall_of_mesh) },
        Curve { name: "holders found", colour: ORANGE, points: by_ttl(&|s| s.recall_of_holders) },
    ];
    let axes = Axes { title: "What a search reaches", x: "TTL in hops", y: "% of all" };
    let hops = 0.5..f64::from(MAX_TTL) + 0.5;
    plot(area, &axes, hops, 0.0..105.0, &whole, &lines, SeriesLabelPosition::LowerRight)
}

fn draw_cost(area: &Area<'_>, curves: &Curves) -> Result<(), PlotError> {
    let by_size = |of: &dyn Fn(&crate::sim::report::SearchesReport) -> f64| {
        curves.by_size.iter().map(|(nodes, s)| (*nodes as f64, of(s).max(1.0))).collect()
    };
    let lines = [
        Curve { name: "copies of the query", colour: BLUE, points: by_size(&|s| s.copies) },
        Curve { name: "servents asked", colour: GREEN, points: by_size(&|s| s.asked) },
    ];
    let sizes = curves.by_size.iter().map(|(nodes, _)| *nodes as f64);
    let (least, most) = (sizes.clone().fold(f64::MAX, f64::min), sizes.fold(2.0, f64::max));
    let values = lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y);
    let (low, high) = (values.clone().fold(f64::MAX, f64::min), values.fold(1.0, f64::max));
    let axes = Axes { title: "What a search costs", x: "servents", y: "messages per search" };
    // A logarithmic axis of its own accord marks powers of ten only, often just one.
    let sizes = curves.by_size.iter().map(|(nodes, _)| *nodes as f64).collect();
    let x = (least / 1.3..most * 1.3).log_scale().with_key_points(sizes);
    let y = (low / 1.5..high * 2.0).log_scale().with_key_points(marks(low / 1.5, high * 2.0));
    plot(area, &axes, x, y, &short, &lines, SeriesLabelPosition::UpperLeft)
}

fn draw_time(area: &Area<'_>, curves: &Curves) -> Result<(), PlotError> {
    let mut lines = [
        Curve { name: "to the certain end", colour: BLUE, points: Vec::new() },
        Curve { name: "to the last hit", colour: ORANGE, points: Vec::new() },
    ];
    let [end, last] = &mut lines;
    for (ttl, searches) in &curves.by_ttl {
        let ttl = f64::from(*ttl);
        end.points.push((ttl, searches.end_ms.median));
        last.points.extend(searches.last_hit_ms.map(|spread| (ttl, spread.median)));
    }
    let values = lines.iter().flat_map(|line| &line.points).map(|(_, y)| *y);
    let high = values.fold(1.0, f64::max);
    let axes = Axes { title: "How long a search takes", x: "TTL in hops", y: "virtual time in ms" };
    let hops = 0.5..f64::from(MAX_TTL) + 0.5;
    plot(area, &axes, hops, 0.0..high * 1.15, &whole, &lines, SeriesLabelPosition::UpperLeft)
}

/// What is written around a panel.
struct Axes {
    title: &'static str,
    x: &'static str,
    y: &'static str,
}

/// A panel of lines.
fn plot<X, Y>(
    area: &Area<'_>,
    axes: &Axes,
    x: X,
    y: Y,
    number: &dyn Fn(&f64) -> String,
    lines: &[Curve],
    legend: SeriesLabelPosition,
) -> Result<(), PlotError>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .caption(axes.title, text(TITLE))
        .margin(10)
        .margin_right(20)
        .x_label_area_size(42)
        .y_label_area_size(AXIS)
        .build_cartesian_2d(x, y)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .x_labels(9)
        .y_labels(7)
        .x_desc(axes.x)
        .y_desc(axes.y)
        .x_label_formatter(number)
        .y_label_formatter(number)
        .label_style(text(LABEL))
        .axis_desc_style(text(LABEL + 1))
        .draw()
        .map_err(failed)?;
    for Curve { name, colour, points } in lines {
        let colour = *colour;
        chart
            .draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))
            .map_err(failed)?
            .label(*name)
            .legend(move |(x, y)| {
                PathElement::new(vec![(x, y), (x + 18, y)], colour.stroke_width(2))
            });
        let dots = points.iter().map(|&point| Circle::new(point, 4, colour.filled()));
        chart.draw_series(dots).map_err(failed)?;
    }
    chart
        .configure_series_labels()
        .position(legend)
        .label_font(text(LABEL))
        .background_style(WHITE.mix(0.9))
        .border_style(FAINT)
        .draw()
        .map_err(failed)
}

fn draw_degrees(area: &Area<'_>, report: &Report) -> Result<(), PlotError> {
    let degrees = &report.mesh.degrees;
    let most = degrees.histogram.iter().map(|bar| bar.servents).max().unwrap_or(1);
    let (low, high) = (degrees.min as f64 - 0.5, degrees.max as f64 + 0.5);
    let caption = format!("Neighbours of a servent: median {}", degrees.median);
    let mut chart = ChartBuilder::on(area)
        .caption(caption, text(TITLE))
        .margin(10)
        .margin_right(20)
        .x_label_area_size(42)
        .y_label_area_size(AXIS)
        .build_cartesian_2d(low - 0.5..high + 0.5, 0.0..most as f64 * 1.1)
        .map_err(failed)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(FAINT)
        .axis_style(INK)
        .x_labels((degrees.max - degrees.min + 1).clamp(2, 12))
        .y_labels(7)
        .x_desc("neighbours")
        .y_desc("servents")
        .x_label_formatter(&whole)
        .y_label_formatter(&whole)
        .label_style(text(LABEL))
        .axis_desc_style(text(LABEL + 1))
        .draw()
        .map_err(failed)?;
    let bars = degrees.histogram.iter().map(|bar| {
        let (degree, servents) = (bar.degree as f64, bar.servents as f64);
        Rectangle::new([(degree - 0.4, 0.0), (degree + 0.4, servents)], BLUE.filled())
    });
    chart.draw_series(bars).map_err(failed)?;
    Ok(())
}

fn draw_mesh(area: &Area<'_>, report: &Report, links: &Links) -> Result<(), PlotError> {
    let servents = report.plan.nodes;
    let places = layout(servents, links);
    let area = area.margin(10, 10, 10, 20);
    let (links_count, parts) = (links.len(), report.mesh.components);
    let mesh = if parts == 1 { "one mesh".to_owned() } else { format!("{parts} parts") };
    let title = format!("The mesh: {links_count} links, {mesh}");
    let area = area.titled(&title, text(TITLE)).map_err(failed)?;
    let unit: Range<f64> = -0.04..1.04;
    let mut chart =
        ChartBuilder::on(&area).build_cartesian_2d(unit.clone(), unit).map_err(failed)?;
    let ends = links.iter().filter_map(|&(a, b)| Some((*places.get(a)?, *places.get(b)?)));
    let thread = BLUE.mix(if links.len() > 400 { 0.25 } else { 0.45 });
    chart
        .draw_series(ends.map(|(a, b)| PathElement::new(vec![a, b], thread.stroke_width(1))))
        .map_err(failed)?;
    let radius = if servents > 60 { 3 } else { 5 };
    let dots = places.iter().map(|&place| Circle::new(place, radius, ORANGE.filled()));
    chart.draw_series(dots).map_err(failed)?;
    if servents <= 40 {
        let style = text(11).pos(Pos::new(HPos::Center, VPos::Bottom));
        let numbers = places.iter().enumerate().map(|(number, &place)| {
            EmptyElement::at(place) + Text::new(number.to_string(), (0, -6), style.clone())
        });
        chart.draw_series(numbers).map_err(failed)?;
    }
    Ok(())
}

/// A number on an axis: whole ones only, so that no two labels are the same.
fn whole(value: &f64) -> String {
    if value.fract() == 0.0 { short(value) } else { String::new() }
}

/// 1, 2, 5, 10, 20 ... between these two, or powers of ten where that would be many.
fn marks(low: f64, high: f64) -> Vec<f64> {
    let steps: &[f64] = if high / low > 2000.0 { &[1.0] } else { &[1.0, 2.0, 5.0] };
    let tens = (0..10).map(|power| 10f64.powi(power));
    let all = tens.flat_map(|ten| steps.iter().map(move |step| step * ten));
    all.filter(|mark| (low..=high).contains(mark)).collect()
}

/// `10k` for 10,000.
fn short(value: &f64) -> String {
    match *value {
        1e6.. => format!("{}M", value / 1e6),
        1e4.. => format!("{}k", value / 1e3),
        _ => format!("{}", (value * 100.0).round() / 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_marks_that_people_know() {
        assert_eq!(marks(15.0, 600.0), [20.0, 50.0, 100.0, 200.0, 500.0]);
        assert_eq!(marks(50.0, 1e6), [100.0, 1e3, 1e4, 1e5, 1e6]);
        assert_eq!([2.5, 999.0, 10_000.0, 3e6].map(|v| short(&v)), ["2.5", "999", "10k", "3M"]);
        assert_eq!([2.5, 3.0].map(|v| whole(&v)), ["", "3"]);
    }
}

//! A map as a picture, 1,000 wide and 800 high.

use std::f64::consts::PI;

use super::layout::{self, Place};
use super::{has_told, label};
use crate::command::layout::count;
use crate::servent::report::{Asking, MapReport, MappedReport};

const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 800.0;
/// The middle; the legend has the foot.
const MIDDLE: (f64, f64) = (500.0, 383.0);
/// How far out the outermost ring lies, to the sides and up and down: the picture is wide,
/// and names stand outside of it.
const OUTERMOST: (f64, f64) = (375.0, 255.0);
/// A ring on which this much room is left for each has its names level.
const ROOMY: f64 = 92.0;
/// How large a name's letters are: on a crowded ring they must not touch.
const LETTERS: (f64, f64) = (6.0, 11.0);

pub(super) fn draw(map: &MapReport) -> String {
    let (places, rings) = layout::places(map);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         width=\"{WIDTH}\" height=\"{HEIGHT}\" font-family=\"sans-serif\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n"
    );
    for far in rings.into_iter().skip(1) {
        let (rx, ry) = (OUTERMOST.0 * far, OUTERMOST.1 * far);
        svg.push_str(&format!(
            "<ellipse cx=\"{}\" cy=\"{}\" rx=\"{rx:.1}\" ry=\"{ry:.1}\" fill=\"none\" \
             stroke=\"#e3e3e3\" stroke-dasharray=\"3 4\"/>\n",
            MIDDLE.0, MIDDLE.1
        ));
    }
    let spots: Vec<(f64, f64)> = places.iter().map(spot).collect();
    svg.push_str("<g stroke=\"#5b7a99\" stroke-opacity=\"0.35\" stroke-width=\"1\">\n");
    for link in &map.links {
        if let (Some((x1, y1)), Some((x2, y2))) = (spots.get(link.one), spots.get(link.other)) {
            svg.push_str(&format!(
                "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\"/>\n"
            ));
        }
    }
    svg.push_str("</g>\n");
    for ((servent, place), &spot) in map.servents.iter().zip(&places).zip(&spots) {
        svg.push_str(&dot(servent, place, spot));
    }
    svg.push_str(&legend(map));
    svg.push_str("</svg>\n");
    svg
}

fn spot(place: &Place) -> (f64, f64) {
    let (x, y) = (place.angle.cos() * OUTERMOST.0, place.angle.sin() * OUTERMOST.1);
    (MIDDLE.0 + x * place.far, MIDDLE.1 + y * place.far)
}

fn dot(servent: &MappedReport, place: &Place, (x, y): (f64, f64)) -> String {
    let (fill, edge, ink) = colours(servent);
    let radius = if place.ring == 0 { 9.0 } else { 4.5 };
    let mut text = format!(
        "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\" stroke=\"{edge}\"/>\n"
    );
    // Half the way around an ellipse is about this often its mean radius.
    let around = PI * place.far * (OUTERMOST.0 + OUTERMOST.1);
    let room = around / place.beside as f64;
    let outward = (place.angle.sin() * OUTERMOST.1).atan2(place.angle.cos() * OUTERMOST.0);
    let left = outward.cos() < 0.0;
    let (turn, size) = match place.ring {
        0 => (PI / 2.0, LETTERS.1 + 1.0),
        _ if room >= ROOMY => (0.0, LETTERS.1),
        _ => (outward, (room * 0.8).clamp(LETTERS.0, LETTERS.1 - 1.0)),
    };
    let name = escaped(&label(servent));
    let halo = "paint-order=\"stroke\" stroke=\"#ffffff\" stroke-width=\"2.5\"";
    if place.ring == 0 {
        text.push_str(&format!(
            "<text x=\"{x:.1}\" y=\"{:.1}\" font-size=\"{size:.1}\" font-weight=\"bold\" \
             text-anchor=\"middle\" fill=\"{ink}\" {halo}>{name}</text>\n",
            y + 23.0
        ));
    } else if turn == 0.0 {
        let (anchor, dx) = if left { ("end", -8.0) } else { ("start", 8.0) };
        text.push_str(&format!(
            "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{size:.1}\" text-anchor=\"{anchor}\" \
             fill=\"{ink}\" {halo}>{name}</text>\n",
            x + dx,
            y + size * 0.35
        ));
    } else {
        // Read from the left to the right on both sides.
        let degrees = turn.to_degrees() + if left { 180.0 } else { 0.0 };
        let (anchor, dx) = if left { ("end", -7.0) } else { ("start", 7.0) };
        text.push_str(&format!(
            "<text transform=\"translate({x:.1} {y:.1}) rotate({degrees:.1})\" x=\"{dx}\" \
             y=\"{:.1}\" font-size=\"{size:.1}\" text-anchor=\"{anchor}\" fill=\"{ink}\" \
             {halo}>{name}</text>\n",
            size * 0.35
        ));
    }
    text
}

fn colours(servent: &MappedReport) -> (&'static str, &'static str, &'static str) {
    match servent.asking {
        Asking::Here => ("#f4b942", "#a87512", "#000000"),
        Asking::Remembered { .. } => ("#9fc5e8", "#2a5d8f", "#222222"),
        _ if has_told(servent) => ("#2f7ebc", "#1d4f78", "#222222"),
        Asking::Declined => ("#ffffff", "#2f7ebc", "#222222"),
        _ => ("#e0e0e0", "#9a9a9a", "#8a8a8a"),
    }
}

fn legend(map: &MapReport) -> String {
    let others = map.servents.iter().filter(|servent| servent.asking != Asking::Here);
    let told = others.filter(|servent| has_told(servent)).count();
    let mut text = String::new();
    let mut x = 24.0;
    for (fill, edge, what) in [
        ("#f4b942", "#a87512", "this servent"),
        ("#2f7ebc", "#1d4f78", "named its neighbours"),
        ("#9fc5e8", "#2a5d8f", "did so before"),
        ("#ffffff", "#2f7ebc", "named nobody"),
        ("#e0e0e0", "#9a9a9a", "not dialled, or in vain"),
    ] {
        text.push_str(&format!(
            "<circle cx=\"{x}\" cy=\"776\" r=\"5\" fill=\"{fill}\" stroke=\"{edge}\"/>\n\
             <text x=\"{}\" y=\"780\" font-size=\"11\" fill=\"#444444\">{what}</text>\n",
            x + 10.0
        ));
        x += 32.0 + 6.2 * what.len() as f64;
    }
    let summary = format!(
        "{}, {}; {told} named their neighbours. Rings are hops.",
        count(map.servents.len() as u64, "servent"),
        count(map.links.len() as u64, "link"),
    );
    text.push_str(&format!(
        "<text x=\"24\" y=\"756\" font-size=\"11\" fill=\"#444444\">{}</text>\n",
        escaped(&summary)
    ));
    text
}

/// `text` as XML wants it.
fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&apos;")
}

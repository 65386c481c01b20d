//! A map as a drawing: Graphviz text, or a picture of its own.
//!
//! Pure, and the same for the same map. Whatever strangers call themselves is escaped: first
//! as for any eye, then as the format wants it.

use std::path::Path;

use crate::base::escape::Escaped;
use crate::servent::report::{Asking, MapReport, MappedReport};

mod dot;
mod layout;
mod svg;

/// Most characters of a name in a drawing.
const MAX_NAME: usize = 14;

/// What a drawing is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Format {
    /// A picture.
    Svg,
    /// What Graphviz reads.
    Dot,
}

impl Format {
    /// The format that the name of a file asks for.
    #[must_use]
    pub(super) fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "svg" => Some(Self::Svg),
            "dot" | "gv" => Some(Self::Dot),
            _ => None,
        }
    }

    /// The drawing of `map`.
    #[must_use]
    pub(super) fn draw(self, map: &MapReport) -> String {
        match self {
            Self::Svg => svg::draw(map),
            Self::Dot => dot::draw(map),
        }
    }
}

/// What a servent is called in a drawing, escaped for the eye.
fn label(servent: &MappedReport) -> String {
    let id = servent.id.short();
    let name: String = Escaped(&servent.name).to_string().chars().take(MAX_NAME).collect();
    if name.is_empty() { id } else { format!("{name}~{id}") }
}

/// Whether it told, now or before.
fn has_told(servent: &MappedReport) -> bool {
    matches!(servent.asking, Asking::Here | Asking::Answered | Asking::Remembered { .. })
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::ServentId;
    use crate::servent::report::MapLink;

    /// A made-up map: `links` between as many servents as they name.
    pub(in crate::command) fn map(links: &[(usize, usize)]) -> MapReport {
        let many = links.iter().map(|&(one, other)| one.max(other) + 1).max().unwrap_or(1);
        let hops = |at: usize| usize::from(at > 0) + usize::from(at > 4) + usize::from(at > 40);
        let servents = (0..many).map(|at| MappedReport {
            id: ServentId(std::array::from_fn(|i| (at * 7 + i * 11) as u8)),
            name: if at % 3 == 0 { "attic".into() } else { String::new() },
            addresses: Vec::new(),
            hops: Some(hops(at)),
            asking: match at {
                0 => Asking::Here,
                _ if at % 5 == 4 => Asking::NotDialled,
                _ => Asking::Answered,
            },
            unnamed: 0,
        });
        let links = links.iter().map(|&(one, other)| MapLink { one, other });
        MapReport { servents: servents.collect(), links: links.collect(), note: None }
    }

    #[test]
    fn the_end_of_a_file_name_says_how_to_draw() {
        let format = |path: &str| Format::of(Path::new(path));
        assert_eq!(format("/a/b.svg"), Some(Format::Svg));
        assert_eq!(format("mesh.DOT"), Some(Format::Dot));
        assert_eq!((format("mesh.png"), format("mesh"), format(".svg")), (None, None, None));
    }

    #[test]
    fn what_strangers_call_themselves_breaks_no_drawing() {
        let mut map = map(&[(0, 1), (1, 2)]);
        map.servents[1].name = "\"];<b>&'\x1b\u{202E}\n".into();
        map.servents[2].name = "\\\"><script>".into();
        let svg = Format::Svg.draw(&map);
        assert!(!svg.contains("<b>") && !svg.contains("<script") && !svg.contains('\x1b'));
        assert!(svg.contains("&lt;b&gt;&amp;&apos;"), "{svg}");
        let dot = Format::Dot.draw(&map);
        assert!(dot.contains("label=\"\\\"];<b>&'"), "{dot}");
        assert!(dot.contains("label=\"\\\\"), "{dot}");
        assert!(
            dot.lines().all(|line| line.matches('"').count() % 2 == 0 || line.contains("\\\""))
        );
    }

    #[test]
    fn the_same_map_gives_the_same_drawing_with_everybody_and_every_link_in_it() {
        let links: Vec<(usize, usize)> =
            (1..100).map(|at| (at / 3, at)).chain((1..60).map(|at| (at, at + 30))).collect();
        let map = map(&links);
        for format in [Format::Svg, Format::Dot] {
            let drawn = format.draw(&map);
            assert_eq!(drawn, format.draw(&map));
            for servent in &map.servents {
                assert!(drawn.contains(&servent.id.short()), "{}", servent.id.short());
            }
        }
        assert_eq!(Format::Svg.draw(&map).matches("<line ").count(), links.len());
        assert_eq!(Format::Dot.draw(&map).matches(" -- ").count(), links.len());
    }
}

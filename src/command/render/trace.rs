//! How a search ran, as a tree.

use std::collections::BTreeSet;

use crate::command::layout::{Column, grouped, table};
use crate::servent::report::{TraceReport, TracedReport};

/// Most servents that are drawn: the near ones. More than this scrolls what is of use off
/// most screens.
const MAX_LINES: usize = 60;
/// Most characters of a name.
const MAX_NAME: usize = 16;

/// What a tree is drawn with: a branch, the last branch, what goes past, and nothing.
struct Strokes([&'static str; 4]);

const LINES: Strokes = Strokes(["├─", "└─", "│ ", "  "]);
const ASCII: Strokes = Strokes(["|-", "`-", "| ", "  "]);

/// The tree, a line for each servent, with lines where the terminal can draw them.
pub(super) fn tree(trace: &TraceReport, width: Option<usize>, lines: bool) -> String {
    let drawing = Drawing::new(trace, if lines { &LINES } else { &ASCII });
    let mut rows = vec![
        ["servent", "hops", "link", "answered", "hits", ""].map(str::to_owned).to_vec(),
        vec!["you".into(), "0".into(), String::new(), String::new(), String::new(), sent(trace)],
    ];
    drawing.rows(None, "", &mut rows);
    let columns = [Column::Name, Column::Right, Column::Right, Column::Right, Column::Right];
    let mut text = table(&[columns.as_slice(), &[Column::Left]].concat(), &rows, width);
    let more = trace.servents.len() - drawing.shown.len();
    if more > 0 {
        text.push_str(&format!("... and {} more (--json has all)\n", grouped(more as u64)));
    }
    text
}

fn sent(trace: &TraceReport) -> String {
    let mut notes = copies(trace.copies, trace.duplicates);
    notes.extend(untold(trace.unsaid));
    notes.join(", ")
}

fn copies(copies: u32, duplicates: u32) -> Vec<String> {
    let noun = if copies == 1 { "copy" } else { "copies" };
    match (copies, duplicates) {
        (0, _) => Vec::new(),
        (copies, 0) => vec![format!("{} {noun}", grouped(copies.into()))],
        (copies, known) => {
            vec![format!("{} {noun} ({} known)", grouped(copies.into()), grouped(known.into()))]
        }
    }
}

fn untold(asked: u64) -> Option<String> {
    (asked > 0).then(|| format!("and {} more", grouped(asked)))
}

struct Drawing<'a> {
    trace: &'a TraceReport,
    strokes: &'a Strokes,
    /// Those that are drawn: the nearest.
    shown: BTreeSet<usize>,
}

impl<'a> Drawing<'a> {
    fn new(trace: &'a TraceReport, strokes: &'a Strokes) -> Self {
        let mut near: Vec<usize> = (0..trace.servents.len()).collect();
        near.sort_by_key(|&at| trace.servents.get(at).map(|servent| servent.hops));
        near.truncate(MAX_LINES);
        Self { trace, strokes, shown: near.into_iter().collect() }
    }

    /// Those whom `parent` sent a copy, each with those behind it.
    fn rows(&self, parent: Option<usize>, before: &str, rows: &mut Vec<Vec<String>>) {
        let shown = self.shown.iter().filter_map(|&at| Some((at, self.trace.servents.get(at)?)));
        // What stands before its parent was made by nobody of ours.
        let behind = shown.filter(|(at, servent)| servent.parent == parent && Some(*at) > parent);
        let behind: Vec<(usize, &TracedReport)> = behind.collect();
        let Strokes([branch, last, past, nothing]) = *self.strokes;
        for (nth, (at, servent)) in behind.iter().enumerate() {
            let ends = nth + 1 == behind.len();
            let stroke = if ends { last } else { branch };
            rows.push(row(servent, &format!("{before}{stroke}")));
            let before = format!("{before}{}", if ends { nothing } else { past });
            self.rows(Some(*at), &before, rows);
        }
    }
}

fn row(servent: &TracedReport, before: &str) -> Vec<String> {
    let id = servent.id.as_deref().unwrap_or("(unnamed)");
    let name: String = servent.name.chars().take(MAX_NAME).collect();
    let who = if name.is_empty() { id.to_owned() } else { format!("{name}~{id}") };
    let link = servent.link_micros.map_or_else(|| "-".to_owned(), millis);
    let answered = match servent.answered {
        true => millis(servent.answered_micros),
        false => "-".to_owned(),
    };
    let nothing = servent.silent && servent.hits == 0;
    let hits = if nothing { "-".to_owned() } else { grouped(servent.hits.into()) };
    let mut notes = copies(servent.copies, servent.duplicates);
    match servent {
        TracedReport { answered: false, hits: 0, .. } => notes.push("no answer".to_owned()),
        TracedReport { owes: true, .. } => notes.push("no end yet".to_owned()),
        TracedReport { answered: false, .. } => notes.push("known by its hits".to_owned()),
        TracedReport { silent: true, .. } => notes.push("tells nothing".to_owned()),
        TracedReport { asked: false, .. } => notes.push("did not look".to_owned()),
        _ => {}
    }
    notes.extend((servent.lost > 0).then(|| format!("{} lost", grouped(servent.lost.into()))));
    notes.extend(untold(servent.unsaid));
    let hops = servent.hops.to_string();
    vec![format!("{before}{who}"), hops, link, answered, hits, notes.join(", ")]
}

fn millis(micros: u64) -> String {
    format!("{}.{} ms", grouped(micros / 1000), micros % 1000 / 100)
}

#[cfg(test)]
pub(super) mod tests {
    use unicode_width::UnicodeWidthStr;

    use super::*;

    pub(in crate::command::render) fn servent(parent: Option<usize>, hops: u8) -> TracedReport {
        TracedReport {
            parent,
            id: Some("k7f3q2xa".into()),
            name: String::new(),
            hops,
            asked: true,
            silent: false,
            answered: true,
            owes: false,
            hits: 0,
            copies: 0,
            duplicates: 0,
            lost: 0,
            unsaid: 0,
            sent_micros: 10,
            answered_micros: 12_345,
            link_micros: Some(400),
        }
    }

    #[test]
    fn a_tree_is_drawn_a_line_for_each_servent() {
        let attic = TracedReport { name: "attic".into(), copies: 2, ..servent(None, 1) };
        let servents = vec![
            attic,
            TracedReport { hits: 3, ..servent(Some(0), 2) },
            TracedReport { silent: true, link_micros: None, unsaid: 7, ..servent(Some(0), 2) },
            TracedReport { id: None, answered: false, silent: true, ..servent(None, 1) },
            TracedReport { answered: false, owes: true, silent: true, hits: 4, ..servent(None, 1) },
            TracedReport { answered: false, silent: true, hits: 5, ..servent(Some(4), 3) },
            TracedReport { owes: true, copies: 1, ..servent(None, 1) },
        ];
        let trace = TraceReport { servents, unsaid: 0, copies: 3, duplicates: 1 };
        let drawn = "\
servent           hops    link  answered  hits
you                  0                          3 copies (1 known)
├─attic~k7f3q2xa     1  0.4 ms   12.3 ms     0  2 copies
│ ├─k7f3q2xa         2  0.4 ms   12.3 ms     3
│ └─k7f3q2xa         2       -   12.3 ms     -  tells nothing, and 7 more
├─(unnamed)          1  0.4 ms         -     -  no answer
├─k7f3q2xa           1  0.4 ms         -     4  no end yet
│ └─k7f3q2xa         3  0.4 ms         -     5  known by its hits
└─k7f3q2xa           1  0.4 ms   12.3 ms     0  1 copy, no end yet
";
        let shown = tree(&trace, Some(80), true);
        assert_eq!(shown, drawn);
        let plain = tree(&trace, None, false);
        assert!(plain.is_ascii() && plain.contains("| `-k7f3q2xa"), "{plain}");
    }

    #[test]
    fn a_large_tree_shows_the_near_ones_and_counts_the_rest() {
        let near = (0..50).map(|_| servent(None, 1));
        let far = (0..50).map(|at| servent(Some(at), 2));
        let trace = TraceReport { servents: near.chain(far).collect(), ..TraceReport::default() };
        let shown = tree(&trace, Some(80), true);
        assert_eq!(shown.lines().count(), 2 + MAX_LINES + 1);
        assert_eq!(shown.matches("\n├─").count() + shown.matches("\n└─").count(), 50);
        assert!(shown.ends_with("... and 40 more (--json has all)\n"));
    }

    #[test]
    fn the_deepest_tree_with_the_longest_names_fits_eighty_columns() {
        let name = "x".repeat(64);
        let deep = (0..8).map(|at: usize| TracedReport {
            name: name.clone(),
            hits: 64,
            answered_micros: 9_999_999,
            link_micros: Some(999_999),
            ..servent(at.checked_sub(1), at as u8 + 1)
        });
        let trace = TraceReport { servents: deep.collect(), ..TraceReport::default() };
        let shown = tree(&trace, Some(80), true);
        assert!(shown.lines().all(|line| line.width() <= 80), "{shown}");
        assert_eq!(shown.lines().count(), 2 + 8, "{shown}");
    }

    #[test]
    fn a_tree_that_hangs_together_wrongly_is_drawn_all_the_same() {
        let loops = vec![servent(Some(0), 1), servent(Some(2), 1), servent(Some(1), 1)];
        let trace = TraceReport { servents: loops, ..TraceReport::default() };
        assert!(tree(&trace, Some(80), true).contains("you"));
    }
}

//! A map as Graphviz reads it.

use super::{has_told, label};
use crate::servent::report::{Asking, MapReport, MappedReport};

pub(super) fn draw(map: &MapReport) -> String {
    let mut text = String::from(
        "graph part2part {\n  layout=twopi;\n  root=s0;\n  overlap=false;\n  splines=true;\n  \
         node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\", fontsize=10];\n",
    );
    for (at, servent) in map.servents.iter().enumerate() {
        text.push_str(&format!(
            "  s{at} [label=\"{}\", {}];\n",
            quoted(&label(servent)),
            look(servent)
        ));
    }
    for link in &map.links {
        text.push_str(&format!("  s{} -- s{};\n", link.one, link.other));
    }
    text.push_str("}\n");
    text
}

fn look(servent: &MappedReport) -> &'static str {
    match servent.asking {
        Asking::Here => "fillcolor=\"#f4b942\"",
        _ if has_told(servent) => "fillcolor=\"#cfe2f3\"",
        _ => "fillcolor=\"#eeeeee\", fontcolor=\"#777777\", color=\"#999999\"",
    }
}

/// `text` within the quotes of a string.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

//! How the servent is: at length, in greeting, at the end.

use std::net::SocketAddr;

use crate::base::escape::Escaped;
use crate::command::layout::{count, grouped, servent, size, span};
use crate::servent::report::{
    HashingReport, IncidentsReport, PortMapping, Reachable, StatusReport, undialable,
};

/// What a person who is alone is told to do about it.
const ALONE: &str = "You are alone. 'invite' prints a line for a friend; 'join ID@HOST:PORT' \
                     takes theirs. There is no public mesh.";

pub(super) fn status_lines(status: &StatusReport) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| text.push_str(&format!("{key:<10} {value}\n"));
    line("id", status.id.to_string());
    if !status.name.is_empty() {
        line("name", servent(&status.name, &status.id));
    }
    line("mesh", if status.private { "private (network key)" } else { "open" }.into());
    line("listening", joined(&status.listening));
    line("addresses", joined(&status.addresses));
    line("reachable", reachable(status));
    let (neighbours, cached) = (status.neighbours as u64, status.cached as u64);
    line("neighbours", format!("{} ({} known)", grouped(neighbours), count(cached, "contact")));
    if let Some(mapping) = &status.port_mapping {
        line("mapping", mapping_line(mapping));
    }
    match (status.lan, &status.lan_error) {
        (Some(_), Some(why)) => line("lan", format!("nobody can be found: {}", Escaped(why))),
        (Some(found), None) => {
            line("lan", format!("{} found on this network", count(found as u64, "servent")));
        }
        (None, _) => {}
    }
    let withheld = if status.serving { "" } else { " (nobody is given any: serve is off)" };
    line("sharing", format!("{}, {}{withheld}", shared(status), size(status.shared_bytes)));
    let (downloads, uploads) = (status.downloads as u64, status.uploads as u64);
    line("running", format!("{}, {}", count(downloads, "download"), count(uploads, "upload")));
    line("searches", format!("{} out, {} in", size(status.mesh_sent), size(status.mesh_received)));
    line("received", format!("{} ({} bytes)", size(status.received), grouped(status.received)));
    line("sent", format!("{} ({} bytes)", size(status.sent), grouped(status.sent)));
    line("up", span(status.up_secs));
    line("incidents", incidents(&status.incidents));
    if status.hashing.running > 0 {
        line("hashing", hashing(&status.hashing));
    }
    for warning in &status.warnings {
        line("warning", Escaped(warning).to_string());
    }
    text
}

/// Whether others can dial it, who says so, and what to do about it.
fn reachable(status: &StatusReport) -> String {
    let tested = status.tested.as_ref();
    let (by, ago) = tested.map_or_else(
        || ("others".to_owned(), String::new()),
        |test| (servent(&test.name, &test.by), format!(", {} ago", span(test.ago_secs))),
    );
    match status.reachable {
        Reachable::Yes => format!("yes: {by} dialled this servent{ago}"),
        Reachable::No => {
            let port = status.addresses.first().or(status.listening.first());
            let port = port.map(SocketAddr::port);
            let advice = undialable(port, status.port_mapping.is_some());
            format!("no: {by} could not dial this servent{ago}; {advice}")
        }
        Reachable::Unknown => "unknown: nobody has dialled this servent so far".to_owned(),
    }
}

/// Each kind that there was, by whose doing it was.
fn incidents(incidents: &IncidentsReport) -> String {
    let IncidentsReport { greetings, turned_away, offences, faults } = *incidents;
    let told: Vec<String> = [
        (greetings, "without a hello"),
        (turned_away, "turned away"),
        (offences, "broke the rules"),
    ]
    .into_iter()
    .filter(|(number, _)| *number > 0)
    .map(|(number, what)| format!("{} {what}", grouped(number)))
    .collect();
    let mut text = match told.as_slice() {
        [] => "none".to_owned(),
        told => format!("connections: {}", told.join(", ")),
    };
    if faults > 0 {
        let ours = format!("{} of this program's own, please report", count(faults, "fault"));
        text = if told.is_empty() { ours } else { format!("{text}; {ours}") };
    }
    text
}

/// `203.0.113.9:7272 by PCP, renewed in 52m 10s`.
fn mapping_line(mapping: &PortMapping) -> String {
    match mapping {
        PortMapping::Asking => "the router is being asked for a port".to_owned(),
        PortMapping::Mapped { outside, by, renewed_in_secs, note, .. } => {
            let note = note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
            format!("{outside} by {by}, renewed in {}{note}", span(*renewed_in_secs))
        }
        PortMapping::Failed { why, asked_again_in_secs } => {
            format!("failed: {}; asked again in {}", Escaped(why), span(*asked_again_in_secs))
        }
    }
}

fn hashing(hashing: &HashingReport) -> String {
    let mut done = format!("{}, {} so far", count(hashing.files, "file"), size(hashing.bytes));
    if hashing.files_left > 0 {
        let (files, bytes) = (count(hashing.files_left, "file"), size(hashing.bytes_left));
        done.push_str(&format!(", {files}, {bytes} to go at {}/s", size(hashing.rate)));
    }
    match &hashing.current {
        Some(current) => format!("{done}; {}", Escaped(current)),
        None => done,
    }
}

pub(super) fn greeting(status: &StatusReport) -> String {
    let mut text = format!("part2part {}: you are {}\n", env!("CARGO_PKG_VERSION"), status.id);
    text.push_str(&format!("listening on {}\n", joined(&status.listening)));
    if !status.addresses.is_empty() {
        text.push_str(&format!("friends dial {}\n", joined(&status.addresses)));
    }
    text.push_str(&match status.shared_files {
        0 => "nothing is shared yet; 'publish PATH' shares a file or a folder\n".to_owned(),
        _ => format!("sharing {}, {}\n", shared(status), size(status.shared_bytes)),
    });
    for warning in &status.warnings {
        text.push_str(&format!("{}\n", Escaped(warning)));
    }
    if status.neighbours > 0 {
        text.push_str(&format!("in the mesh: {}\n", count(status.neighbours as u64, "neighbour")));
    } else if status.cached == 0 {
        text.push_str(ALONE);
        text.push('\n');
    }
    text
}

fn joined(addresses: &[std::net::SocketAddr]) -> String {
    let all: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    if all.is_empty() { "nowhere".into() } else { all.join(", ") }
}

/// What somebody who has been in a mesh is told once that is found again.
pub(super) fn back(status: &StatusReport) -> String {
    let mut text = format!(
        "back in the mesh: {}; sharing {}",
        count(status.neighbours as u64, "neighbour"),
        shared(status)
    );
    if status.resumed > 0 {
        text.push_str(&format!("; {} resumed", count(status.resumed as u64, "download")));
    }
    text.push('\n');
    text
}

/// `1,204 files in 2 folders`.
fn shared(status: &StatusReport) -> String {
    let folders = match status.shared_folders {
        0 => String::new(),
        some => format!(" in {}", count(some as u64, "folder")),
    };
    format!("{}{folders}", count(status.shared_files as u64, "file"))
}

pub(super) fn stopping(downloads: usize, uploads: usize, resumed: bool) -> String {
    let running = [(downloads, "download"), (uploads, "upload")];
    let some: Vec<_> = running
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, noun)| count(number as u64, noun))
        .collect();
    match (some.is_empty(), downloads + uploads) {
        (true, _) => "goodbye\n".to_owned(),
        (_, 1) if downloads == 1 && resumed => {
            "goodbye; 1 download stops, and goes on at the next start\n".to_owned()
        }
        (_, 1) => format!("goodbye; {} stops\n", some.join("")),
        _ if downloads > 0 && resumed => {
            let which = if uploads > 0 { "downloads go" } else { "they go" };
            format!("goodbye; {} stop; {which} on at the next start\n", some.join(" and "))
        }
        _ => format!("goodbye; {} stop\n", some.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::servent::report::MappedBy;

    #[test]
    fn a_mapping_is_a_line_that_escapes_what_the_router_said() {
        let mapped = PortMapping::Mapped {
            outside: "203.0.113.9:7272".parse().unwrap(),
            by: MappedBy::NatPmp,
            router: "192.168.1.1".parse().unwrap(),
            renewed_in_secs: 3_120,
            note: None,
        };
        assert_eq!(mapping_line(&mapped), "203.0.113.9:7272 by NAT-PMP, renewed in 52m 00s");
        let failed = PortMapping::Failed { why: "no\x1b[2J".into(), asked_again_in_secs: 60 };
        assert_eq!(mapping_line(&failed), "failed: no\\u{1b}[2J; asked again in 1m 00s");
    }

    #[test]
    fn quitting_says_what_stops() {
        assert_eq!(stopping(0, 0, true), "goodbye\n");
        assert_eq!(stopping(0, 1, true), "goodbye; 1 upload stops\n");
        assert_eq!(stopping(1, 0, false), "goodbye; 1 download stops\n");
        assert_eq!(
            stopping(1, 0, true),
            "goodbye; 1 download stops, and goes on at the next start\n"
        );
        assert_eq!(
            stopping(2, 1, true),
            "goodbye; 2 downloads and 1 upload stop; downloads go on at the next start\n"
        );
    }
}

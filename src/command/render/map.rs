//! What is known of the mesh around.

use crate::base::escape::Escaped;
use crate::command::layout::{Column, count, grouped, servent, span, table};
use crate::servent::report::{Asking, MapProgress, MapReport, MappedReport};

/// Most servents that are listed: the near ones.
const MAX_LINES: usize = 60;

pub(super) fn summary(map: &MapReport, file: Option<&str>, width: Option<usize>) -> String {
    let mut text = String::new();
    if map.servents.len() == 1 {
        text.push_str("You are alone; 'join ID@HOST:PORT' takes a friend's line of 'invite'.\n");
    }
    if file.is_none() {
        text.push_str(&list(map, width));
    }
    let asked = map.servents.iter().filter(|s| is_answer(&s.asking)).count();
    let farthest = map.servents.iter().filter_map(|servent| servent.hops).max().unwrap_or(0);
    text.push_str(&format!(
        "{} and {} within {}; {} named their neighbours",
        count(map.servents.len() as u64, "servent"),
        count(map.links.len() as u64, "link"),
        count(farthest as u64, "hop"),
        grouped(asked as u64),
    ));
    let before = map.servents.iter().filter(|s| matches!(s.asking, Asking::Remembered { .. }));
    match before.count() {
        0 => {}
        before => text.push_str(&format!(
            ", {} of them earlier: a servent names them to each once in ten minutes",
            grouped(before as u64)
        )),
    }
    text.push('\n');
    text.extend(map.note.as_ref().map(|note| format!("{}\n", Escaped(note))));
    text.extend(file.map(|file| format!("drawn in {}\n", Escaped(file))));
    text
}

pub(super) fn progress(progress: &MapProgress) -> String {
    let MapProgress { known, asked } = *progress;
    format!("mapping: {} asked of {}", grouped(asked as u64), count(known as u64, "servent"))
}

fn is_answer(asking: &Asking) -> bool {
    matches!(asking, Asking::Answered | Asking::Remembered { .. })
}

fn list(map: &MapReport, width: Option<usize>) -> String {
    let mut links = vec![0u64; map.servents.len()];
    for end in map.links.iter().flat_map(|link| [link.one, link.other]) {
        if let Some(links) = links.get_mut(end) {
            *links += 1;
        }
    }
    let mut rows: Vec<(&MappedReport, u64)> = map.servents.iter().zip(links).collect();
    rows.sort_by_key(|(servent, _)| servent.hops.unwrap_or(usize::MAX));
    let more = rows.len().saturating_sub(MAX_LINES);
    rows.truncate(MAX_LINES);
    let rows: Vec<Vec<String>> = rows
        .into_iter()
        .map(|(shown, links)| {
            let far = shown.hops.map_or_else(|| "-".to_owned(), |far| count(far as u64, "hop"));
            let links = count(links + shown.unnamed, "link");
            vec![servent(&shown.name, &shown.id), far, links, said(shown)]
        })
        .collect();
    let columns = [Column::Left, Column::Right, Column::Right, Column::Left];
    let mut text = table(&columns, &rows, width);
    if more > 0 {
        text.push_str(&format!("... and {} more (--json has all)\n", grouped(more as u64)));
    }
    text
}

fn said(servent: &MappedReport) -> String {
    let said = match &servent.asking {
        Asking::Here => "this servent".to_owned(),
        Asking::Answered => String::new(),
        Asking::Remembered { secs } => format!("as it said {} ago", span(*secs)),
        Asking::Declined => "names nobody now".to_owned(),
        Asking::Failed { why } => format!("dialled in vain: {}", Escaped(why)),
        Asking::NotDialled => "not dialled".to_owned(),
    };
    match servent.unnamed {
        0 => said,
        unnamed if said.is_empty() => format!("{} not named", grouped(unnamed)),
        unnamed => format!("{said}, {} not named", grouped(unnamed)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::chart::tests::map;

    #[test]
    fn a_map_without_a_file_is_listed_the_near_ones_first() {
        let mut map = map(&[(0, 1), (1, 5), (0, 4)]);
        map.servents[1].unnamed = 3;
        map.servents[1].name.clear();
        map.servents[5].asking = Asking::Remembered { secs: 90 };
        map.note = Some("not everybody was asked".into());
        let text = summary(&map, None, Some(80));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].contains("0 hops") && lines[0].ends_with("this servent"), "{text}");
        assert!(lines[1].ends_with("1 hop  5 links  3 not named"), "{text}");
        assert!(lines[5].ends_with("as it said 1m 30s ago"), "{text}");
        assert!(lines[6].starts_with("6 servents and 3 links within 2 hops; 4 named"), "{text}");
        assert!(text.ends_with("not everybody was asked\n"));
    }

    #[test]
    fn a_drawn_map_says_where() {
        let text = summary(&map(&[(0, 1)]), Some("/tmp/mesh.svg"), Some(80));
        assert_eq!(
            text,
            "2 servents and 1 link within 1 hop; 1 named their neighbours\n\
             drawn in /tmp/mesh.svg\n"
        );
    }
}

//! Tables for terminals of any width.
//!
//! Always true from forty columns on: no line is wider than the terminal, and a row that
//! fits one line takes one. Where a row does not fit even with its name cut short, its
//! last columns go below it, indented and broken at words; nothing is left out.

use unicode_width::UnicodeWidthStr;

use super::{MAX_NAME, cut, wrapped};

/// Fewest columns that a name is cut to before anything else gives way.
const MIN_NAME: usize = 12;
/// Spaces between two columns.
const GAP: usize = 2;
/// Spaces before what has no room beside its row.
const INDENT: usize = 4;

/// One column of a [`table`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    /// Text. The last column, when it is one, may say much or little in each row.
    Left,
    /// Numbers.
    Right,
    /// A name, which is cut where the line would not fit; one a table.
    Name,
}

/// `rows` in columns two spaces apart, every line ended.
///
/// Cells must be escaped already, but for those of [`Column::Name`].
#[must_use]
pub fn table(columns: &[Column], rows: &[Vec<String>], width: Option<usize>) -> String {
    let width = width.unwrap_or(usize::MAX);
    // Spaces at the end of a cell are seen by nobody, and would cost a name its last letter.
    let trimmed = |row: &Vec<String>| row.iter().map(|cell| cell.trim_end().to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.iter().map(trimmed).collect();
    let plan = Plan::new(columns, &rows, width);
    rows.iter().map(|row| plan.lines(columns, row, width)).collect()
}

/// How the rows of a table are laid out.
struct Plan {
    /// How wide the columns are that stand in line; the others follow freely.
    widths: Vec<usize>,
}

impl Plan {
    fn new(columns: &[Column], rows: &[Vec<String>], width: usize) -> Self {
        let mut natural = vec![0; columns.len()];
        for row in rows {
            for ((cell, column), widest) in row.iter().zip(columns).zip(&mut natural) {
                let shown = match column {
                    Column::Name => cut(cell, MAX_NAME).width(),
                    _ => cell.width(),
                };
                *widest = shown.max(*widest);
            }
        }
        let is_free = columns.len() > 1 && columns.last() == Some(&Column::Left);
        let mut aligned = columns.len() - usize::from(is_free);
        while aligned > 1 && least(columns, &natural, aligned) > width {
            aligned -= 1;
        }
        // What is said in few words stays beside its row, where that costs the name its
        // length only.
        let beside = width.saturating_sub(least(columns, &natural, aligned) + GAP);
        let free = rows.iter().map(|row| free_text(row, aligned).width());
        let free = free.filter(|free| *free <= beside).max().unwrap_or(0);
        let free = if free > 0 { free + GAP } else { 0 };
        let mut widths: Vec<_> = natural.iter().copied().take(aligned).collect();
        let total = total(&widths) + free;
        let excess = total.saturating_sub(width);
        for (column, widest) in columns.iter().zip(&mut widths) {
            if *column == Column::Name && excess > 0 {
                let least = if aligned == 1 { 1 } else { (*widest).min(MIN_NAME) };
                *widest = widest.saturating_sub(excess).max(least);
            }
        }
        Self { widths }
    }

    /// The lines of one row, each ended.
    fn lines(&self, columns: &[Column], row: &[String], width: usize) -> String {
        let mut line = String::new();
        for ((cell, column), &width) in row.iter().zip(columns).zip(&self.widths) {
            let cell = if *column == Column::Name { cut(cell, width) } else { cell.clone() };
            let space = " ".repeat(width.saturating_sub(cell.width()));
            match column {
                Column::Right => line.extend([space.as_str(), &cell, "  "]),
                _ => line.extend([cell.as_str(), &space, "  "]),
            }
        }
        let rest = free_text(row, self.widths.len());
        if line.width() + rest.width() <= width {
            return format!("{}\n", (line + &rest).trim_end());
        }
        let mut text = String::new();
        for (at, line) in wrapped_keeping(line.trim_end(), width).into_iter().enumerate() {
            let indent = if at == 0 { 0 } else { INDENT };
            text.push_str(&format!("{:indent$}{line}\n", ""));
        }
        let rest = free_cells(row, self.widths.len()).join(" · ");
        for line in wrapped(&rest, width.saturating_sub(INDENT)) {
            text.push_str(&format!("{:INDENT$}{line}\n", ""));
        }
        text
    }
}

/// A line that fits stays as it is, with its spaces; another one is broken.
fn wrapped_keeping(line: &str, width: usize) -> Vec<String> {
    match line.width() <= width {
        true => vec![line.to_owned()],
        false => wrapped(line, width.saturating_sub(INDENT)),
    }
}

/// How wide the first `aligned` columns are with their names cut short.
fn least(columns: &[Column], natural: &[usize], aligned: usize) -> usize {
    let cut = |(column, natural): (&Column, &usize)| match column {
        Column::Name => (*natural).min(MIN_NAME),
        _ => *natural,
    };
    let widths: Vec<_> = columns.iter().zip(natural).take(aligned).map(cut).collect();
    total(&widths)
}

fn total(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + GAP * widths.len().saturating_sub(1)
}

/// What a row says behind its aligned columns, where it stands beside them.
fn free_text(row: &[String], aligned: usize) -> String {
    free_cells(row, aligned).join("  ")
}

fn free_cells(row: &[String], aligned: usize) -> Vec<String> {
    let cells = row.iter().skip(aligned).filter(|cell| !cell.is_empty());
    cells.map(|cell| cut(cell, usize::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(rows: &[&[&str]]) -> Vec<Vec<String>> {
        rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect()
    }

    #[test]
    fn a_table_is_aligned_by_what_the_eye_sees_and_fits_its_line() {
        let two = |name: &str| rows(&[&["1", name, "x"], &["10", "日本", "y"]]);
        let columns = [Column::Right, Column::Name, Column::Left];
        assert_eq!(table(&columns, &two("abcd"), Some(80)), " 1  abcd  x\n10  日本  y\n");
        let long = table(&columns, &two(&"n".repeat(200)), Some(40));
        assert!(long.lines().all(|line| line.width() <= 40), "{long}");
        assert!(long.contains('…') && long.lines().count() == 2, "{long}");
        let free = table(&columns, &two(&"n".repeat(200)), None);
        assert!(free.lines().all(|line| line.width() <= MAX_NAME + 7), "{free}");
    }

    #[test]
    fn a_name_is_not_cut_for_the_spaces_at_its_end() {
        let name = format!("{}  ", "n".repeat(40));
        let shown = table(&[Column::Name], &rows(&[&[&name]]), Some(40));
        assert_eq!(shown, format!("{}\n", "n".repeat(40)));
    }

    #[test]
    fn a_row_that_has_much_to_say_says_it_below_and_the_others_stay_as_they_are() {
        let columns = [Column::Right, Column::Name, Column::Left];
        let shown = table(
            &columns,
            &rows(&[
                &["1", "ferris.png", "done"],
                &[
                    "2",
                    "a rather long name.iso",
                    "waits: nobody has pieces 17-40; searching again in 30 s",
                ],
            ]),
            Some(40),
        );
        assert_eq!(
            shown,
            "1  ferris.png              done\n\
             2  a rather long name.iso\n\
             \x20   waits: nobody has pieces 17-40;\n\
             \x20   searching again in 30 s\n"
        );
    }

    #[test]
    fn columns_that_have_no_room_go_below() {
        let columns = [Column::Left, Column::Left, Column::Right, Column::Left];
        let row = ["attic~k7f3q2xa", "[2001:db8::1234:5678]:7272", "0.3 ms", "up 3m 20s"];
        let shown = table(&columns, &rows(&[&row]), Some(48));
        assert_eq!(shown, "attic~k7f3q2xa  [2001:db8::1234:5678]:7272\n    0.3 ms · up 3m 20s\n");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            kinds in prop::collection::vec(0usize..3, 1..8),
            cells in prop::collection::vec(prop::collection::vec("[a-z日本語 ]{0,60}", 8), 1..5),
            width in 40usize..200,
        ) {
            let mut columns: Vec<_> = kinds
                .iter()
                .map(|kind| [Column::Left, Column::Right, Column::Name][*kind])
                .collect();
            // One name a table.
            for at in 1..columns.len() {
                if columns[..at].contains(&Column::Name) && columns[at] == Column::Name {
                    columns[at] = Column::Left;
                }
            }
            let rows: Vec<_> = cells.iter().map(|row| row[..columns.len()].to_vec()).collect();
            let shown = table(&columns, &rows, Some(width));
            for line in shown.lines() {
                prop_assert!(line.width() <= width, "{width}: {line:?}");
            }
            // A row that fits one line takes one.
            let whole = table(&columns, &rows, None);
            if whole.lines().all(|line| line.width() <= width) {
                prop_assert_eq!(whole, shown);
            }
        }
    }
}

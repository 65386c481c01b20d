//! Text from strangers, made safe to show.

use std::fmt::{self, Write};

/// Most combining marks in a row that are shown as they are; more would climb over
/// the lines above.
const MAX_MARKS: usize = 3;

/// A stranger's text as it may meet a terminal or a log: what could move the cursor,
/// turn the direction of writing, or hide is shown as `\u{..}` instead.
///
/// Escaped are control characters (C0, DEL, C1), bidirectional controls, zero-width
/// characters but the joiner between pictographs, line and paragraph separators,
/// tag and private-use characters, and combining marks beyond three in a row.
pub struct Escaped<'a>(pub &'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(self.0.len());
        let mut marks = 0;
        let mut previous = None;
        let mut rest = self.0.chars().peekable();
        while let Some(c) = rest.next() {
            marks = if is_mark(c) { marks + 1 } else { 0 };
            let joins = c == '\u{200D}'
                && previous.is_some_and(is_pictograph)
                && rest.peek().copied().is_some_and(is_pictograph);
            if marks > MAX_MARKS || (is_unsafe(c) && !joins) {
                write!(text, "{}", c.escape_unicode())?;
            } else {
                text.push(c);
            }
            previous = Some(c);
        }
        f.pad(&text)
    }
}

fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}'
            | '\u{2060}'..='\u{2069}' | '\u{FEFF}' | '\u{E000}'..='\u{F8FF}'
            | '\u{E0000}'..='\u{E007F}' | '\u{F0000}'..='\u{10FFFF}')
}

fn is_mark(c: char) -> bool {
    matches!(c,
        '\u{0300}'..='\u{036F}' | '\u{0483}'..='\u{0489}' | '\u{1AB0}'..='\u{1AFF}'
        | '\u{1DC0}'..='\u{1DFF}' | '\u{20D0}'..='\u{20FF}' | '\u{FE20}'..='\u{FE2F}')
}

fn is_pictograph(c: char) -> bool {
    matches!(c, '\u{2190}'..='\u{2BFF}' | '\u{FE0F}' | '\u{1F000}'..='\u{1FAFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_steer_a_terminal_is_shown_instead() {
        for bad in ["\x1b[2J", "a\rb", "\x07", "\u{9b}31m", "x\u{202E}gpj.exe", "a\nb", "\u{200B}"]
        {
            let shown = Escaped(bad).to_string();
            assert!(shown.chars().all(|c| !is_unsafe(c)), "{shown:?}");
            assert!(shown.contains("\\u{"), "{shown:?}");
        }
    }

    #[test]
    fn honest_names_stay_as_they_are() {
        for good in ["Café.txt", "日本語", "family 👩‍👩‍👧.jpg", "it's \"quoted\"", "e\u{301}"]
        {
            assert_eq!(Escaped(good).to_string(), good);
        }
    }

    #[test]
    fn a_tower_of_marks_is_cut_down() {
        let tower = format!("a{}", "\u{301}".repeat(50));
        assert!(Escaped(&tower).to_string().matches('\u{301}').count() == MAX_MARKS);
    }
}

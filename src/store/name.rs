//! A stranger's name for a file, made into a name on this disk.
//!
//! Nothing is refused: what is dangerous is mapped, everything else is kept. How a
//! name is *shown* is another matter (`base::escape`).

use crate::base::ContentId;

/// Longest name that is created, in bytes: leaves room within the 255 of the file
/// system for a number that tells it from its namesakes.
pub const MAX_NAME: usize = 200;

/// Longest ending, in bytes with its dot, that is kept when a name must be cut.
const MAX_ENDING: usize = 32;

/// The name under which a file that a stranger calls `wanted` may be created.
///
/// One path component, never empty, hidden, `.` or `..`, at most [`MAX_NAME`] bytes.
/// Only what stands behind the last `/` counts; NUL, control characters and those that
/// turn the direction of writing become `_`, and so does a leading dot. A name with
/// nothing in it becomes the beginning of the content id.
#[must_use]
pub fn safe_name(wanted: &str, id: ContentId) -> String {
    let last = wanted.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    let mut name: String = last.chars().map(|c| if is_mapped(c) { '_' } else { c }).collect();
    if name.starts_with('.') {
        name.replace_range(..1, "_");
    }
    if name.is_empty() {
        return id.short();
    }
    if name.len() <= MAX_NAME {
        return name;
    }
    let (stem, ending) = split_ending(&name);
    let stem = cut(stem, MAX_NAME.saturating_sub(ending.len()));
    format!("{stem}{ending}")
}

/// The name that the `number`th namesake gets: `name (1).ext`.
#[must_use]
pub fn numbered(name: &str, number: u32) -> String {
    let (stem, ending) = split_ending(name);
    format!("{stem} ({number}){ending}")
}

fn is_mapped(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}'
            | '\u{2066}'..='\u{2069}')
}

/// What comes before the last dot, and the rest with its dot; no ending when it would be
/// the whole name, nothing but the dot, or too long to be one.
fn split_ending(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && (2..=MAX_ENDING).contains(&(name.len() - dot)) => {
            name.split_at(dot)
        }
        _ => (name, ""),
    }
}

/// The beginning of `text`, at most `limit` bytes, cut between characters.
fn cut(text: &str, limit: usize) -> &str {
    text.get(..text.floor_char_boundary(limit)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: ContentId = ContentId([0xab; 32]);

    fn safe(wanted: &str) -> String {
        safe_name(wanted, ID)
    }

    #[test]
    fn a_path_becomes_its_last_component() {
        let cases = [
            ("../x", "x"),
            ("/etc/x", "x"),
            ("a/../../x", "x"),
            ("..\\x", "_.\\x"),
            ("C:\\x", "C:\\x"),
            ("%2e%2e/", "%2e%2e"),
            ("a/..", "_."),
            ("x\0.txt", "x_.txt"),
            ("/", "abababab"),
            ("///", "abababab"),
            ("", "abababab"),
        ];
        for (wanted, expected) in cases {
            assert_eq!(safe(wanted), expected, "{wanted:?}");
        }
    }

    #[test]
    fn legal_names_are_kept_as_they_are() {
        for good in [
            "CON.txt",
            "nul.tar.gz",
            "   ",
            "foo... bar",
            "trailing...",
            "-rf",
            "it's \"quoted\"",
            "family 👩\u{200D}👩\u{200D}👧.jpg",
            "日本語.txt",
            "e\u{301}",
        ] {
            assert_eq!(safe(good), good);
        }
    }

    #[test]
    fn what_hides_or_steers_is_mapped() {
        assert_eq!(safe("."), "_");
        assert_eq!(safe(".."), "_.");
        assert_eq!(safe(".bashrc"), "_bashrc");
        assert_eq!(safe("a\x1b[2J\x7f\u{9b}b"), "a_[2J__b");
        assert_eq!(safe("x\u{202E}gpj.exe"), "x_gpj.exe");
    }

    #[test]
    fn a_long_name_is_cut_between_characters_and_keeps_its_ending() {
        let name = safe(&format!("{}.jpeg", "é".repeat(255)));
        assert!(name.len() <= MAX_NAME && name.len() > MAX_NAME - 2);
        assert!(name.ends_with("é.jpeg"));
        assert_eq!(safe(&"é".repeat(255)).len(), MAX_NAME);
        assert_eq!(safe(&"a".repeat(MAX_NAME)).len(), MAX_NAME);
        assert_eq!(safe(&"a".repeat(MAX_NAME + 1)).len(), MAX_NAME);
        assert_eq!(safe(&format!("a.{}", "b".repeat(300))).len(), MAX_NAME);
    }

    #[test]
    fn a_namesake_is_numbered_before_its_ending() {
        assert_eq!(numbered("name.ext", 1), "name (1).ext");
        assert_eq!(numbered("name", 2), "name (2)");
        assert_eq!(numbered("name.", 2), "name. (2)");
        assert_eq!(numbered("_bashrc", 3), "_bashrc (3)");
    }

    proptest! {
        #[test]
        fn whatever_is_wanted_the_name_is_one_visible_component(wanted in any::<String>()) {
            let name = safe(&wanted);
            prop_assert!(!name.is_empty() && name.len() <= MAX_NAME);
            prop_assert!(!name.starts_with('.'));
            prop_assert!(!name.contains(['/', '\0']));
            prop_assert_eq!(safe(&name), name.clone());
        }
    }
}

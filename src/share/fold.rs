//! What names and queries have in common once case and accents are taken away.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// `text` without case and accents: decomposed (NFD), combining marks dropped, lower
/// case.
#[must_use]
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.nfd()
        .filter(|&c| !is_combining_mark(c))
        .flat_map(char::to_lowercase)
        // The two lower-case sigmas are one letter.
        .map(|c| if c == 'ς' { 'σ' } else { c })
        .collect()
}

/// The words of `text`, folded: what stands between characters that are neither letters
/// nor digits.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let folded = fold(text);
    let split = folded.split(|c: char| !c.is_alphanumeric());
    split.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The words of a name, ready to be searched: one space before, between and after them.
///
/// So `" word "` is found in it where the name has the whole word, `" word"` where one
/// of its words begins so, `"word"` where it stands anywhere within one, and
/// `" two words "` where they follow each other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoldedName(Box<str>);

impl FoldedName {
    /// The words of `name`.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let mut line = String::with_capacity(name.len() + 2);
        line.push(' ');
        for word in words(name) {
            line.push_str(&word);
            line.push(' ');
        }
        Self(line.into_boxed_str())
    }

    /// Whether `needle`, made as described above, is found in it.
    #[must_use]
    pub fn has(&self, needle: &str) -> bool {
        self.0.contains(needle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_form_make_no_difference() {
        for same in ["Café", "CAFÉ", "cafe", "cafe\u{301}", "CAFE\u{301}"] {
            assert_eq!(fold(same), "cafe");
        }
        assert_eq!(fold("ΟΔΥΣΣΕΥΣ"), fold("Οδυσσεύς"));
        assert_eq!(fold("İstanbul"), "istanbul");
        assert_eq!(fold("日本語"), "日本語");
        assert_eq!(fold("각"), fold("\u{1100}\u{1161}\u{11a8}"));
    }

    #[test]
    fn words_are_what_stands_between_other_characters() {
        assert_eq!(words("The_Beatles-Help!(1965).mp3"), ["the", "beatles", "help", "1965", "mp3"]);
        assert_eq!(words("e\u{301}te\u{301}"), ["ete"]);
        assert!(words("-.!*").is_empty());
    }
}

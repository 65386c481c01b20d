//! What names and queries have in common once case and accents are taken away.
//!
//! Always true: a text folds alike however it is composed, and folding what is folded
//! changes nothing. An accent is a mark that people leave out when they type: those above,
//! below and through Latin, Greek and Cyrillic letters, Hebrew and Arabic points. The marks
//! that make another letter or vowel, as in Devanagari, Thai or Japanese, stay.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{canonical_combining_class, is_combining_mark};

/// `text` without case and accents, composed (NFC).
#[must_use]
pub fn fold(text: &str) -> String {
    folded(text).into_owned()
}

/// As [`fold`], without taking memory where there is nothing to do.
pub(super) fn folded(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return match text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(text.to_ascii_lowercase()),
            false => Cow::Borrowed(text),
        };
    }
    let bare = text.nfd().filter(|&c| !is_accent(c)).flat_map(lower);
    // Letters that are one with their stroke, which people leave out as well.
    let plain = bare.flat_map(|c| {
        let (first, second) = match c {
            'ł' => ('l', None),
            'ø' => ('o', None),
            'đ' => ('d', None),
            'ħ' => ('h', None),
            'ŧ' => ('t', None),
            'æ' => ('a', Some('e')),
            'œ' => ('o', Some('e')),
            other => (other, None),
        };
        std::iter::once(first).chain(second)
    });
    Cow::Owned(plain.nfc().collect())
}

/// By way of the capital, so that all small forms of one letter are the same: the two
/// sigmas, the long s, and ß with ss.
fn lower(c: char) -> impl Iterator<Item = char> {
    let capital = c.to_lowercase().flat_map(char::to_uppercase);
    capital.flat_map(char::to_lowercase).filter(|&c| !is_accent(c))
}

/// Whether `c` is a mark that makes no difference.
fn is_accent(c: char) -> bool {
    match canonical_combining_class(c) {
        // Strokes; the points of Hebrew, Arabic and Syriac; all that is attached or stands
        // above, below or beside.
        1 | 10..=36 | 200.. => true,
        // Marks on symbols, invisible joiners and selectors of variants.
        0 => matches!(c,
            '\u{34f}' | '\u{488}'..='\u{489}' | '\u{180b}'..='\u{180f}' | '\u{1abe}'
            | '\u{200c}'..='\u{200d}' | '\u{ad}' | '\u{20d0}'..='\u{20f0}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{e0100}'..='\u{e01ef}'),
        _ => false,
    }
}

/// Whether `c`, which is folded, is part of a word.
pub(super) fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || (!c.is_ascii() && is_combining_mark(c))
}

/// The words of what is folded already: what stands between characters that are neither
/// letters nor digits nor marks on them.
pub(super) fn words_of(folded: &str) -> impl Iterator<Item = &str> {
    folded.split(|c: char| !is_of_word(c)).filter(|word| !word.is_empty())
}

/// The words of `text`, folded.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    words_of(&folded(text)).map(str::to_owned).collect()
}

/// The ending of a folded name: what follows its last dot, if anything stands before that.
/// An ending is of letters and digits; "1. movement" has none.
pub(super) fn ending(folded: &str) -> Option<&str> {
    let (before, ending) = folded.rsplit_once('.')?;
    (!before.is_empty() && ending.chars().all(is_of_word)).then_some(ending)
}

/// The words of a name and of its folders, ready to be searched: one space before, between
/// and after the words of each.
///
/// So `" word "` is found in it where there is the whole word, `" word"` where a word
/// begins so, `"word"` where it stands anywhere within one, and `" two words "` where they
/// follow each other in the name, or in one folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FoldedName(Box<str>);

impl FoldedName {
    /// The words of `name` alone.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self::within("", name)
    }

    /// The words of `folder`, whose parts have `/` between them, and of `name` in it.
    #[must_use]
    pub fn within(folder: &str, name: &str) -> Self {
        let mut line = String::with_capacity(folder.len() + name.len() + 4);
        let folders = folder.split('/').filter(|part| !part.is_empty());
        for part in folders.chain([name]) {
            if !line.is_empty() {
                line.push('/');
            }
            line.push(' ');
            for word in words_of(&folded(part)) {
                line.push_str(word);
                line.push(' ');
            }
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
    use proptest::prelude::*;

    #[test]
    fn case_accents_and_form_make_no_difference() {
        for same in ["Café", "CAFÉ", "cafe", "cafe\u{301}", "CAFE\u{301}"] {
            assert_eq!(fold(same), "cafe");
        }
        let same = [
            ("ΟΔΥΣΣΕΥΣ", "Οδυσσεύς"),
            ("İstanbul", "istanbul"),
            ("ISI", "ısı"),
            ("STRASSE", "Straße"),
            ("Łódź", "lodz"),
            ("Motörhead", "MOTORHEAD"),
            ("Ørsted", "orsted"),
            ("Ærø", "aero"),
            ("Ёлка", "елка"),
            ("Việt Nam", "viet nam"),
            ("שָׁלוֹם", "שלום"),
            ("مُحَمَّد", "محمد"),
            ("각", "\u{1100}\u{1161}\u{11a8}"),
            ("が", "か\u{3099}"),
            ("❤\u{fe0f}", "❤"),
        ];
        for (one, other) in same {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn marks_that_make_another_letter_make_a_difference() {
        for (one, other) in [("か", "が"), ("कि", "का"), ("กา", "กี"), ("일", "이")]
        {
            assert_ne!(fold(one), fold(other));
            assert_eq!(words(one), [fold(one)], "and stay within the word");
        }
        assert_eq!(words("हिन्दी गाने.mp3").len(), 3);
        assert_eq!(words("日本語"), ["日本語"]);
    }

    #[test]
    fn words_are_what_stands_between_other_characters() {
        assert_eq!(words("The_Beatles-Help!(1965).mp3"), ["the", "beatles", "help", "1965", "mp3"]);
        assert_eq!(words("e\u{301}te\u{301}"), ["ete"]);
        assert!(words("-.!*").is_empty());
    }

    #[test]
    fn phrases_stay_within_one_folder_or_the_name() {
        let line = FoldedName::within("Jazz/Coltrane, John", "Blue Train.mp3");
        for needle in [" jazz ", " coltrane john ", " blue train ", " joh", "oltran"] {
            assert!(line.has(needle), "{needle}");
        }
        for needle in [" jazz coltrane ", " john blue ", "azz col", " ohn"] {
            assert!(!line.has(needle), "{needle}");
        }
    }

    #[test]
    fn an_ending_is_of_letters_and_has_something_before_it() {
        let endings = [("a.mp3", Some("mp3")), ("a.tar.gz", Some("gz")), (".gz", None)];
        for (name, expected) in endings.into_iter().chain([("1. ab", None), ("ab", None)]) {
            assert_eq!(ending(name), expected, "{name}");
        }
    }

    #[test]
    fn every_character_is_folded_once_and_letters_stay_letters() {
        // Without the ideographs, the syllables of Korean and what is nobody's.
        let (first, second) = ('\0'..'\u{3400}', '\u{a000}'..'\u{ac00}');
        for c in first.chain(second).chain('\u{f900}'..'\u{1ffff}') {
            let text = c.to_string();
            let once = fold(&text);
            assert_eq!(fold(&once), once, "{c:?}");
            if c.is_alphanumeric() {
                assert!(once.chars().all(is_of_word), "{c:?} {once:?}");
            }
            assert_eq!(fold(&text.to_lowercase()), once, "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn however_a_text_is_composed_it_folds_alike(text in "\\PC{0,12}") {
            let once = fold(&text);
            prop_assert_eq!(&fold(&text.nfc().collect::<String>()), &once);
            prop_assert_eq!(&fold(&text.nfd().collect::<String>()), &once);
            prop_assert_eq!(&fold(&once), &once);
        }
    }
}

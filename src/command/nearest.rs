//! The word that somebody most likely meant.

/// The one of `known` that `word` was most likely meant to be: one that it begins, or one
/// that a third of its letters lead to.
#[must_use]
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let length = word.chars().count();
    let begun = |known: &&&str| length >= 2 && known.starts_with(&word);
    if let Some(known) = known.iter().find(begun) {
        return Some(known);
    }
    let allowed = (length / 3).max(1);
    known
        .iter()
        .map(|known| (strsim::osa_distance(&word, known), *known))
        .filter(|(edits, _)| *edits <= allowed)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_leads_to_the_word_and_nonsense_to_none() {
        let known = ["max-upload", "max-download", "name", "news"];
        for (word, meant) in [
            ("nmae", Some("name")),
            ("max-upl", Some("max-upload")),
            ("MAX_DOWNLOAD", Some("max-download")),
            ("new", Some("news")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), meant, "{word}");
        }
    }
}

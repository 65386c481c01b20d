//! The index says what the slow way says, whatever comes, goes and is asked.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::base::ContentId;

/// Files as a shelf keeps them, each with its index.
#[derive(Default)]
struct Shelf {
    files: BTreeMap<u32, (String, String, u64)>,
    index: Index,
}

impl Files for Shelf {
    fn entry(&self, number: u32) -> Option<Entry<'_>> {
        let (folder, name, size) = self.files.get(&number)?;
        Some(Entry { folder, name, size: *size, id: ContentId([number as u8; 32]) })
    }
}

impl Shelf {
    fn insert(&mut self, number: u32, folder: &str, name: &str, size: u64) {
        self.remove(number);
        self.files.insert(number, (folder.into(), name.into(), size));
        let id = ContentId([number as u8; 32]);
        self.index.insert(number, &Entry { folder, name, size, id });
    }

    fn remove(&mut self, number: u32) {
        if let Some((folder, name, size)) = self.files.remove(&number) {
            let id = ContentId([number as u8; 32]);
            self.index.remove(number, &Entry { folder: &folder, name: &name, size, id });
        }
    }

    /// What the index finds, and whether it was cut.
    fn found(&self, query: &Query, mut budget: Budget) -> (Vec<u32>, bool) {
        let mut found = Vec::new();
        self.index.search(self, query, &mut budget, |number, _| {
            found.push(number);
            ControlFlow::Continue(())
        });
        (found, budget.is_cut())
    }

    /// What the slow way finds.
    fn expected(&self, query: &Query) -> Vec<u32> {
        let numbers = self.files.keys().copied();
        numbers.filter(|&n| query.holds(&self.entry(n).unwrap())).collect()
    }

    fn check(&self, text: &str) -> Result<(), TestCaseError> {
        let Ok(query) = Query::parse(text) else { return Ok(()) };
        let expected = self.expected(&query);
        let (mut found, cut) = self.found(&query, Budget::unlimited());
        prop_assert!(!cut);
        found.sort_unstable();
        prop_assert_eq!(&found, &expected, "{}", text);
        // What a stranger is told may be less, and is never wrong.
        let (found, cut) = self.found(&query, Budget::of_stranger());
        prop_assert!(found.iter().all(|number| expected.contains(number)), "{}", text);
        prop_assert!(cut || found.len() == expected.len(), "{}", text);
        Ok(())
    }
}

/// Text of few letters, so that words meet; some of it in odd scripts and odd forms.
const NAMES: &str = "[aAb]{1,3}([ ._\\-][abé]{1,2}|[ ._]e\u{301}|[ ]ß|[ ]が|[ ]か){0,3}\
                     (\\.(mp3|MP3|ogg|gz|tar\\.gz|b|é|))?|[.][ab]{1,2}|\\PC{1,5}";
const FOLDERS: &str = "|[ab]{1,2}|[aB]{1,2}[ ]?b/[abc]{1,3}";
const TERM: &str = "-?[abAéB]{1,3}|-?[ab]{1,2}\\*|-?\\*[ab]{3,4}\\*|-?\"[ab]{1,2} [abé]{1,2}\"|\
                    -?[ab]{1,2}-[ab]{1,2}\\*?|-?\\*[ab]{1,2}-[ab]{1,2}\\*|-?\\.(mp3|ogg|gz|tar\\.gz|b|é|a\\.)|\
                    -?type:(audio|archive|audio\\|archive|video)|-?size[<>](0|[1-9]|3k|1M)|-?(が|か|ß)|mp3";

fn sizes() -> impl Strategy<Value = u64> {
    prop_oneof![0u64..10, 2990u64..3010, 999_000u64..1_001_000, any::<u64>()]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn it_finds_what_the_slow_way_finds(
        steps in prop::collection::vec(
            (0u32..40, prop::option::weighted(0.8, (FOLDERS, NAMES, sizes()))), 0..120),
        queries in prop::collection::vec(prop::collection::vec(TERM, 1..5), 1..20),
    ) {
        let mut shelf = Shelf::default();
        for (number, file) in steps {
            match file {
                Some((folder, name, size)) => shelf.insert(number, &folder, &name, size),
                None => shelf.remove(number),
            }
        }
        for terms in queries {
            shelf.check(&terms.join(" "))?;
        }
    }
}

/// Enough files that words have bitmaps, scans do not end early and parts meet.
#[test]
fn it_finds_what_the_slow_way_finds_among_many() {
    let mut shelf = Shelf::default();
    let words = ["alpha", "beta", "gamma", "delta", "alphabet", "beat", "great", "theta"];
    let word = |at: u32| words[at as usize % words.len()];
    for number in 0..4000 {
        let name = format!(
            "{} {} x{}.{}",
            word(number),
            word(number / 7),
            number % 300,
            ["mp3", "ogg", "txt", "tar.gz"][number as usize % 4]
        );
        shelf.insert(number, word(number / 90), &name, u64::from(number) * 1000);
    }
    for number in (0..4000).filter(|number| number % 5 == 3) {
        shelf.remove(number);
    }
    for query in [
        "alpha",
        "alpha beta",
        "alpha beta gamma",
        "alpha -beta",
        "alpha -type:audio",
        "alpha -.mp3 -beta size>1M",
        "type:audio",
        "type:audio|archive",
        "type:audio|archive beta -gamma",
        "-type:audio .txt",
        ".gz",
        ".tar.gz alpha",
        "alph*",
        "a*",
        "*eat*",
        "*eat* *eta*",
        "*eat* *lph* -beat",
        "*eat* type:video|audio size<2M",
        "bet* gam* *lph*",
        "\"alpha beta\"",
        "\"alpha beta\" -*eat*",
        "al-be*",
        "*ha-be*",
        "x7 alpha",
        "x7 *lph* type:audio",
        "x1* -x12 *eta*",
        "nowhere alpha",
        "*nowhere*",
        "size>3M *eta*",
        "size>3999000 .ogg",
    ] {
        assert!(Query::parse(query).is_ok(), "{query}");
        shelf.check(query).unwrap();
    }
}

#[test]
fn a_stranger_s_dearest_queries_on_long_names_are_cut() {
    let mut shelf = Shelf::default();
    for number in 0..100_000 {
        shelf.insert(number, "", &format!("{}{number:06}", "a".repeat(240)), 1);
    }
    for part in ["aaa", &"a".repeat(18), &format!("{}b", "a".repeat(17))] {
        let query = vec![format!("*{part}*"); 11].join(" ");
        let query = Query::parse(&query).unwrap();
        let (found, cut) = shelf.found(&query, Budget::of_stranger());
        assert!(cut || found.is_empty(), "{part}");
        assert_eq!(cut, !part.ends_with('b'), "one scan shows that no word has it: {part}");
    }
    let rare = Query::parse("*001234*").unwrap();
    let (found, _) = shelf.found(&rare, Budget::of_stranger());
    assert_eq!(found, [1234]);
}

#[test]
fn sizes_keep_their_order_in_their_ranks() {
    let mut last = 0;
    for bits in 0..64 {
        for size in [(1u64 << bits) - 1, 1 << bits, (1 << bits) | (1 << bits >> 1)] {
            assert!(rank(size) >= last, "{size}");
            last = rank(size);
        }
    }
    assert!(rank(0) < rank(1) && rank(2046) < rank(2047) && rank(2047) < rank(2048));
    assert!(rank(u64::MAX) >= last && rank(u64::MAX) < u16::MAX);
}

//! The query language: what a user types into `search`, and what travels in a query.
//!
//! Words match whole words of a name, all of them, in any order, case and accents
//! ignored. Besides: `word*` beginnings, `*word*` parts, `"a phrase"`, `-word` (or a
//! minus before anything else) for what must not be, `.ext`, `size>10M`, `size<1G`,
//! `type:audio`, `id:HASH`. A word with other characters in it, as `foo-bar`, is a
//! phrase.
//!
//! Always true of a [`Query`]: it narrows by a name, a type or a content, and its cost
//! for one name is bounded by its length times the name's. There is no wildcard within
//! a word, so there is nothing to backtrack. An operator that is not known is refused,
//! never searched for as words: a later servent may give it a meaning.

use std::fmt;

use super::file_type::FileType;
use super::fold::{fold, words};
use crate::base::ContentId;
use crate::message::QueryBody;

/// Fewest letters and digits of a part of a word: shorter parts are in every name.
pub const MIN_PART: usize = 3;

/// A query that can be answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Query {
    terms: Vec<Term>,
}

/// One condition of a query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Term {
    /// Whether it must not hold.
    pub(super) negative: bool,
    pub(super) test: Test,
}

/// What is asked of a file. In order of cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Test {
    /// Its content is this.
    Content(ContentId),
    /// It has more bytes.
    Larger(u64),
    /// It has fewer bytes.
    Smaller(u64),
    /// [`super::fold::FoldedName::has`] this.
    Words(String),
    /// Its folded name ends with this, dot included, and is not only this.
    Ending(String),
    /// It is of one of these types.
    Type(Vec<FileType>),
}

/// Why a text is no query, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct QueryError {
    /// How many characters stand before the place.
    pub at: usize,
    /// What is wrong there.
    pub problem: QueryProblem,
}

/// What is wrong with a query.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum QueryProblem {
    /// Shorter than [`QueryBody::MIN_TEXT`].
    #[error("a query has at least {} characters", QueryBody::MIN_TEXT)]
    TooShort,
    /// Longer than [`QueryBody::MAX_TEXT`].
    #[error("a query has at most {} bytes", QueryBody::MAX_TEXT)]
    TooLong,
    /// More than [`QueryBody::MAX_WORDS`].
    #[error("a query has at most {} words", QueryBody::MAX_WORDS)]
    TooManyWords,
    /// A NUL.
    #[error("a query holds no NUL")]
    Nul,
    /// A quote without its other.
    #[error("the quote is not closed")]
    OpenQuote,
    /// Nothing between the quotes.
    #[error("there are no words between the quotes")]
    EmptyPhrase,
    /// A star with nothing to hold on to.
    #[error("a star needs a word: 'word*' for beginnings, '*word*' for parts")]
    BareStar,
    /// A star in the middle of a word.
    #[error("a star stands at the end of a word or at both ends, not within")]
    StarWithin,
    /// A star at the beginning only.
    #[error("write '*word*' to find a part of a word")]
    StarBefore,
    /// A part under [`MIN_PART`] letters.
    #[error("a part of a word has at least {MIN_PART} letters")]
    ShortPart,
    /// Not a number with a unit.
    #[error("a size is a number and perhaps a unit, as in size>10M or size<1.5GiB")]
    BadSize,
    /// No such type.
    #[error("a type is audio, video, image, document or archive")]
    BadType,
    /// Not 64 hexadecimal digits.
    #[error("an id is 64 hexadecimal digits, as b3sum prints them")]
    BadId,
    /// An operator that this version does not have.
    #[error("there is no such operator; put it in quotes to search for the words")]
    UnknownOperator,
    /// Nothing that must be there.
    #[error("name at least one word, ending, type or id that a file must have")]
    NothingWanted,
}

impl QueryError {
    /// How many characters stand before the place; none where it is about the whole query.
    #[must_use]
    pub fn place(&self) -> Option<usize> {
        match self.problem {
            QueryProblem::TooShort
            | QueryProblem::TooLong
            | QueryProblem::TooManyWords
            | QueryProblem::NothingWanted => None,
            _ => Some(self.at),
        }
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.problem)?;
        match self.place() {
            None => Ok(()),
            Some(at) => write!(f, " (at character {} of the query)", at + 1),
        }
    }
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// [`QueryError`], which points at the place.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        if text.len() <= QueryBody::MAX_TEXT && text.trim().len() < QueryBody::MIN_TEXT {
            return Err(QueryError { at: 0, problem: QueryProblem::TooShort });
        }
        let query = Self::filter(text)?;
        let narrows = |term: &Term| {
            !term.negative && !matches!(term.test, Test::Larger(_) | Test::Smaller(_))
        };
        match query.terms.iter().any(narrows) {
            true => Ok(query),
            false => Err(QueryError { at: 0, problem: QueryProblem::NothingWanted }),
        }
    }

    /// Reads a query that is only asked of a list that is here: it need not narrow.
    ///
    /// # Errors
    /// [`QueryError`], which points at the place.
    pub fn filter(text: &str) -> Result<Self, QueryError> {
        let fail = |at: usize, problem| {
            let before = text.get(..at).unwrap_or(text);
            QueryError { at: before.chars().count(), problem }
        };
        if text.len() > QueryBody::MAX_TEXT {
            return Err(fail(0, QueryProblem::TooLong));
        }
        if let Some(at) = text.find('\0') {
            return Err(fail(at, QueryProblem::Nul));
        }
        let (mut terms, mut count, mut at) = (Vec::new(), 0, 0);
        while let Some(token) = Token::next(text, at).map_err(|(at, why)| fail(at, why))? {
            at = token.end;
            let Some((test, weight)) = token.test().map_err(|why| fail(token.begin, why))? else {
                continue; // no letter in it, as the '-' in "a - b"
            };
            count += weight;
            if count > QueryBody::MAX_WORDS {
                return Err(fail(token.begin, QueryProblem::TooManyWords));
            }
            terms.push(Term { negative: token.negative, test });
        }
        terms.sort_by_key(|term| term.test.cost());
        Ok(Self { terms })
    }

    /// The content that the query insists on, if it names one.
    #[must_use]
    pub fn content(&self) -> Option<ContentId> {
        self.terms.iter().find_map(|term| match term.test {
            Test::Content(id) if !term.negative => Some(id),
            _ => None,
        })
    }

    /// Whether that is all that the query asks.
    #[must_use]
    pub fn is_content_alone(&self) -> bool {
        self.terms.len() == 1 && self.content().is_some()
    }

    pub(super) fn terms(&self) -> &[Term] {
        &self.terms
    }
}

impl Test {
    fn cost(&self) -> u8 {
        match self {
            Self::Content(_) => 0,
            Self::Larger(_) | Self::Smaller(_) => 1,
            Self::Words(_) => 2,
            Self::Ending(_) => 3,
            Self::Type(_) => 4,
        }
    }
}

/// What stands between two spaces, or between quotes.
struct Token<'a> {
    body: &'a str,
    quoted: bool,
    negative: bool,
    /// Where it begins and ends in the query, in bytes.
    begin: usize,
    end: usize,
}

/// A test and how many words it counts for; none where there is nothing to search for.
type Parsed = Result<Option<(Test, usize)>, QueryProblem>;

impl<'a> Token<'a> {
    /// The first token of `text` from byte `at` on.
    fn next(text: &'a str, at: usize) -> Result<Option<Self>, (usize, QueryProblem)> {
        let rest = text.get(at..).unwrap_or_default();
        let begin = at + (rest.len() - rest.trim_start().len());
        let rest = rest.trim_start();
        if rest.is_empty() {
            return Ok(None);
        }
        let positive = rest.strip_prefix('-').filter(|after| !after.starts_with('-'));
        let (negative, rest) = positive.map_or((false, rest), |after| (true, after));
        let from = begin + usize::from(negative);
        if let Some(inside) = rest.strip_prefix('"') {
            let len = inside.find('"').ok_or((from, QueryProblem::OpenQuote))?;
            let body = inside.get(..len).unwrap_or_default();
            return Ok(Some(Self { body, quoted: true, negative, begin, end: from + len + 2 }));
        }
        let len = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let body = rest.get(..len).unwrap_or_default();
        Ok(Some(Self { body, quoted: false, negative, begin, end: from + len }))
    }

    fn test(&self) -> Parsed {
        if self.quoted {
            let words = words(self.body);
            if words.is_empty() {
                return Err(QueryProblem::EmptyPhrase);
            }
            return Ok(Some((Test::Words(format!(" {} ", words.join(" "))), words.len())));
        }
        if let Some(ending) = self.body.strip_prefix('.')
            && ending.chars().all(|c| c.is_alphanumeric() || c == '.')
            && ending.contains(char::is_alphanumeric)
        {
            return Ok(Some((Test::Ending(fold(self.body)), 1)));
        }
        match operator(self.body)? {
            Some(test) => Ok(Some((test, 1))),
            None => starred(self.body),
        }
    }
}

/// `key:value`, `key>value` or `key<value`, where `key` is a word of letters.
fn operator(body: &str) -> Result<Option<Test>, QueryProblem> {
    let Some(place) = body.find([':', '<', '>']) else { return Ok(None) };
    let (key, rest) = body.split_at(place);
    let (sign, value) = rest.split_at(1);
    let is_key = key.len() > 1 && key.bytes().all(|byte| byte.is_ascii_alphabetic());
    if !is_key {
        return Ok(None);
    }
    let test = match (key.to_ascii_lowercase().as_str(), sign) {
        ("size", ">") => Test::Larger(size(value).ok_or(QueryProblem::BadSize)?),
        ("size", "<") => Test::Smaller(size(value).ok_or(QueryProblem::BadSize)?),
        ("type", ":") => {
            let types: Option<Vec<_>> = value.split('|').map(FileType::from_word).collect();
            Test::Type(types.ok_or(QueryProblem::BadType)?)
        }
        ("id", ":") => Test::Content(value.parse().map_err(|_| QueryProblem::BadId)?),
        // "Re:Zero" and "Voyager:" are names; an operator is written small.
        _ if value.is_empty() || key.bytes().any(|byte| byte.is_ascii_uppercase()) => {
            return Ok(None);
        }
        _ => return Err(QueryProblem::UnknownOperator),
    };
    Ok(Some(test))
}

/// A word, with or without stars.
fn starred(body: &str) -> Parsed {
    let inner = body.strip_prefix('*').unwrap_or(body);
    let before = inner.len() < body.len();
    let bare = inner.strip_suffix('*').unwrap_or(inner);
    let after = bare.len() < inner.len();
    let words = words(bare);
    if words.is_empty() {
        let starry = before || after || bare.contains('*');
        return if starry { Err(QueryProblem::BareStar) } else { Ok(None) };
    }
    if bare.contains('*') {
        return Err(QueryProblem::StarWithin);
    }
    let line = words.join(" ");
    let needle = match (before, after) {
        (false, false) => format!(" {line} "),
        (false, true) => format!(" {line}"),
        (true, false) => return Err(QueryProblem::StarBefore),
        (true, true) if line.chars().map(weight).sum::<usize>() < MIN_PART => {
            return Err(QueryProblem::ShortPart);
        }
        (true, true) => line,
    };
    Ok(Some((Test::Words(needle), words.len())))
}

/// For how many letters `c` counts in a part of a word: what is written with thousands of
/// signs, as Chinese, says with two of them what takes many letters elsewhere.
fn weight(c: char) -> usize {
    match c {
        ' ' => 0,
        '\u{3040}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{f900}'..='\u{faff}' => 2,
        '\u{20000}'..='\u{3ffff}' => 2,
        _ => 1,
    }
}

/// A number of bytes with a unit: `k`, `M`, `G`, `T` count in thousands, `Ki`, `Mi`,
/// `Gi`, `Ti` in 1,024s, each also with a `B`.
fn size(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.to_ascii_lowercase();
    let unit = unit.strip_suffix('b').unwrap_or(&unit);
    let (letter, base) = match unit.strip_suffix('i') {
        Some(letter) if !letter.is_empty() => (letter, 1024u64),
        _ => (unit, 1000),
    };
    let power = ["", "k", "m", "g", "t"].iter().position(|known| *known == letter)?;
    let unit = base.checked_pow(u32::try_from(power).ok()?)?;
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let whole = whole.parse::<u64>().ok()?.checked_mul(unit)?;
    let places = u32::try_from(part.len()).ok()?;
    let part = u128::from(part.parse::<u64>().ok()?).checked_mul(u128::from(unit))?;
    let part = part.checked_div(10u128.checked_pow(places)?)?;
    whole.checked_add(u64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tests_of(text: &str) -> Vec<(bool, Test)> {
        let query = Query::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        query.terms.into_iter().map(|term| (term.negative, term.test)).collect()
    }

    fn words_of(text: &str) -> (bool, Test) {
        (false, Test::Words(text.to_owned()))
    }

    fn problem(text: &str) -> (usize, QueryProblem) {
        let error = Query::parse(text).expect_err(text);
        (error.at, error.problem)
    }

    #[test]
    fn every_form_of_the_language_is_read() {
        assert_eq!(tests_of("Help beatles"), [words_of(" help "), words_of(" beatles ")]);
        assert_eq!(tests_of("beat*"), [words_of(" beat")]);
        assert_eq!(tests_of("*eat*"), [words_of("eat")]);
        assert_eq!(tests_of("*日本*"), [words_of("日本")]);
        assert_eq!(tests_of("*한국*"), [words_of("한국")]);
        assert_eq!(tests_of("\"Yellow  Submarine!\""), [words_of(" yellow submarine ")]);
        assert_eq!(tests_of("foo-bar*"), [words_of(" foo bar")]);
        assert_eq!(tests_of("a - b & c")[1..], [words_of(" b "), words_of(" c ")]);
        assert_eq!(tests_of(".MP3"), [(false, Test::Ending(".mp3".into()))]);
        assert_eq!(tests_of(".tar.gz"), [(false, Test::Ending(".tar.gz".into()))]);
        let negative = |text: &str| tests_of(&format!("x {text}"))[1].clone();
        assert_eq!(negative("-live"), (true, Test::Words(" live ".into())));
        assert_eq!(negative("-\"at home\""), (true, Test::Words(" at home ".into())));
        assert_eq!(negative("-.exe"), (true, Test::Ending(".exe".into())));
        let types = vec![FileType::Audio, FileType::Video];
        assert_eq!(tests_of("type:audio|VIDEO"), [(false, Test::Type(types))]);
        let id = ContentId([0xab; 32]);
        let query = Query::parse(&format!("id:{id}")).unwrap();
        assert_eq!(query.content(), Some(id));
    }

    #[test]
    fn sizes_have_units_of_a_thousand_and_of_1024() {
        let cases = [
            ("10M", 10_000_000),
            ("1G", 1_000_000_000),
            ("1MiB", 1 << 20),
            ("2Ki", 2048),
            ("1.5GiB", 3 << 29),
            ("0.25k", 250),
            ("7", 7),
            ("7B", 7),
            ("1TB", 1_000_000_000_000),
        ];
        for (text, bytes) in cases {
            assert_eq!(tests_of(&format!("x size>{text}"))[0].1, Test::Larger(bytes), "{text}");
            assert_eq!(tests_of(&format!("x size<{text}"))[0].1, Test::Smaller(bytes), "{text}");
        }
        for bad in ["", "M", "1X", "1i", ".", "1.", ".5M", "-1", "1e9", "99999999999T", "1.2.3"] {
            assert_eq!(problem(&format!("x size>{bad}")), (2, QueryProblem::BadSize), "{bad}");
        }
        let long = "9".repeat(100);
        assert_eq!(problem(&format!("x size>1.{long}")).1, QueryProblem::BadSize);
    }

    #[test]
    fn an_error_points_at_its_place() {
        use QueryProblem as P;
        let cases = [
            ("", 0, P::TooShort),
            ("a", 0, P::TooShort),
            (" a ", 0, P::TooShort),
            ("éé \"open", 3, P::OpenQuote),
            ("x -\"open", 3, P::OpenQuote),
            ("x \"-\"", 2, P::EmptyPhrase),
            ("ab\0", 2, P::Nul),
            ("ab *", 3, P::BareStar),
            ("**", 0, P::BareStar),
            ("***", 0, P::BareStar),
            ("*a*a*a*a*b", 0, P::StarWithin),
            ("x *a*a*a*", 2, P::StarWithin),
            ("x *ab", 2, P::StarBefore),
            ("x *ab*", 2, P::ShortPart),
            ("x *日*", 2, P::ShortPart),
            ("x type:software", 2, P::BadType),
            ("x type:", 2, P::BadType),
            ("x id:abc", 2, P::BadId),
            ("x year:1999", 2, P::UnknownOperator),
            ("x size:10M", 2, P::UnknownOperator),
            ("-a -b", 0, P::NothingWanted),
            ("size>10M", 0, P::NothingWanted),
            ("-type:audio", 0, P::NothingWanted),
            ("!! ?", 0, P::NothingWanted),
        ];
        for (text, at, what) in cases {
            assert_eq!(problem(text), (at, what), "{text:?}");
        }
        assert!(Query::parse("x *ab").unwrap_err().to_string().contains("at character 3"));
    }

    #[test]
    fn what_only_looks_like_an_operator_is_words() {
        assert_eq!(tests_of("Re:Zero"), [words_of(" re zero ")]);
        assert_eq!(tests_of("trek: voyager"), [words_of(" trek "), words_of(" voyager ")]);
        assert_eq!(tests_of("3:10"), [words_of(" 3 10 ")]);
        assert_eq!(tests_of("--help"), [words_of(" help ")]);
    }

    #[test]
    fn a_query_reaches_its_limits_and_goes_no_further() {
        let words = |n: usize| vec!["ab"; n].join(" ");
        assert!(Query::parse(&words(QueryBody::MAX_WORDS)).is_ok());
        assert_eq!(problem(&words(QueryBody::MAX_WORDS + 1)), (36, QueryProblem::TooManyWords));
        let phrase = format!("\"{}\"", words(QueryBody::MAX_WORDS + 1));
        assert_eq!(problem(&phrase), (0, QueryProblem::TooManyWords));
        assert!(Query::parse(&"a".repeat(QueryBody::MAX_TEXT)).is_ok());
        assert_eq!(problem(&"a".repeat(QueryBody::MAX_TEXT + 1)), (0, QueryProblem::TooLong));
        assert!(Query::parse("ab").is_ok());
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_read_or_refused(text in "[ \"*.:<>a-cé0-9\\-]{0,40}|.{0,60}") {
            if let Ok(query) = Query::parse(&text) {
                prop_assert!(query.terms.iter().any(|term| !term.negative));
                prop_assert!(query.terms.len() <= QueryBody::MAX_WORDS);
            }
        }
    }
}

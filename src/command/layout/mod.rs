//! Numbers, names and columns as people read them.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use crate::base::ServentId;
use crate::base::escape::Escaped;

mod table;

pub use table::{Column, table};

/// Most columns that one name takes, however wide the terminal.
pub const MAX_NAME: usize = 80;

/// `bytes` for reading at a glance: three digits and a unit of thousands, as the query
/// language counts them (`1.23 MB` is 1,230,000 bytes).
#[must_use]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let mut scale = 1000u64;
    let mut units = UNITS.iter().copied();
    let mut unit = units.next().unwrap_or_default();
    // 999,950 would round to 1000 kB: it is 1 MB.
    while u128::from(bytes) * 10_000 >= u128::from(scale) * 9_995_000 {
        let (Some(next), Some(larger)) = (units.next(), scale.checked_mul(1000)) else { break };
        (unit, scale) = (next, larger);
    }
    let hundredths = (u128::from(bytes) * 100 + u128::from(scale) / 2) / u128::from(scale);
    match hundredths {
        0..1000 => format!("{}.{:02} {unit}", hundredths / 100, hundredths % 100),
        1000..10_000 => format!("{}.{} {unit}", hundredths / 100, hundredths % 100 / 10),
        _ => format!("{} {unit}", hundredths / 100),
    }
}

/// `number` with a comma every three digits.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `number` of `noun`, in the plural unless there is one: `1 file`, `1,204 files`.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

/// `seconds` at a glance: `12s`, `3m 20s`, `5h 03m`, `2d 4h`.
#[must_use]
pub fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h {:02}m", minutes % 60),
        _ => format!("{days}d {}h", hours % 24),
    }
}

/// A day, as `2026-11-23` (UTC), of `seconds` since 1970.
#[must_use]
pub fn day(seconds: u64) -> String {
    // Days since the first of March of the year 0, in eras of 400 years.
    let days = seconds / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    match year {
        // Nobody's file is that new: somebody says so who may say anything.
        10_000.. => "-".to_owned(),
        _ => format!("{year:04}-{month:02}-{day:02}"),
    }
}

/// A servent for people: `name~shortid`, or the short id alone.
#[must_use]
pub fn servent(name: &str, id: &ServentId) -> String {
    if name.is_empty() { id.short() } else { format!("{}~{}", cut(name, 24), id.short()) }
}

/// `text` escaped, and cut to `width` columns with `…` at the end when it is wider.
#[must_use]
pub fn cut(text: &str, width: usize) -> String {
    let shown = Escaped(text).to_string();
    if shown.width() <= width {
        return shown;
    }
    let mut kept = String::new();
    for c in shown.chars() {
        kept.push(c);
        if kept.width() >= width {
            kept.pop();
            break;
        }
    }
    kept.push('…');
    kept
}

/// `text`, which is escaped already, in lines of at most `width` columns, broken at spaces
/// where there are any.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() && line.width() + 1 + word.width() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        for c in word.chars() {
            if line.width() + c.width().unwrap_or(0) > width && !line.is_empty() {
                lines.push(std::mem::take(&mut line));
            }
            line.push(c);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

/// `text`, whole lines, with those that are wider than `width` broken at spaces. What has
/// no space, an address or a hash to be copied, is left to the terminal.
#[must_use]
pub fn folded(text: &str, width: Option<usize>) -> String {
    let Some(width) = width else { return text.to_owned() };
    let mut folded = String::with_capacity(text.len());
    for line in text.lines() {
        let mut room = width;
        let mut words = line.split(' ');
        if let Some(first) = words.next() {
            folded.push_str(first);
            room = room.saturating_sub(first.width());
        }
        for word in words {
            let wide = word.width() + 1;
            if wide > room && line.width() > width {
                folded.push('\n');
                folded.push_str(word);
                room = width.saturating_sub(word.width());
            } else {
                folded.push(' ');
                folded.push_str(word);
                room = room.saturating_sub(wide);
            }
        }
        folded.push('\n');
    }
    folded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_broken_between_words_and_only_where_they_must_be() {
        let fold = |text: &str| folded(text, Some(20));
        assert_eq!(fold("one two  three\n  four\n"), "one two  three\n  four\n");
        assert_eq!(
            fold("there is no public mesh, and none is meant\n"),
            "there is no public\nmesh, and none is\nmeant\n"
        );
        let hash = "f".repeat(64);
        assert_eq!(fold(&format!("the id is {hash}\n")), format!("the id is\n{hash}\n"));
        assert_eq!(fold("日本語 テキスト 日本語\n"), "日本語 テキスト\n日本語\n");
        assert_eq!(folded("as it is\n", None), "as it is\n");
    }

    #[test]
    fn sizes_have_three_digits_and_round_into_the_next_unit() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (1_234_567, "1.23 MB"),
            (12_345_678, "12.3 MB"),
            (123_456_789, "123 MB"),
            (999_499, "999 kB"),
            (999_999, "1.00 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
    }

    #[test]
    fn numbers_are_grouped_and_nouns_counted() {
        assert_eq!(grouped(1), "1");
        assert_eq!(grouped(123), "123");
        assert_eq!(grouped(1234), "1,234");
        assert_eq!(grouped(u64::MAX), "18,446,744,073,709,551,615");
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(0, "file"), "0 files");
        assert_eq!(count(1204, "file"), "1,204 files");
        assert_eq!(
            [span(59), span(60), span(3600), span(86_400)],
            ["59s", "1m 00s", "1h 00m", "1d 0h"]
        );
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for (seconds, shown) in [
            (0, "1970-01-01"),
            (86_399, "1970-01-01"),
            (951_782_400, "2000-02-29"),
            (951_868_800, "2000-03-01"),
            (1_000_000_000, "2001-09-09"),
            (4_107_542_400, "2100-03-01"),
            (253_402_300_799, "9999-12-31"),
            (253_402_300_800, "-"),
            (u64::MAX, "-"),
        ] {
            assert_eq!(day(seconds), shown);
        }
    }

    #[test]
    fn words_are_wrapped_whole_where_they_fit() {
        assert_eq!(wrapped("one two  three", 7), ["one two", "three"]);
        assert_eq!(wrapped("onetwothree 日本語", 4), ["onet", "woth", "ree", "日本", "語"]);
        assert_eq!(wrapped("  ", 4), [""; 0]);
    }

    #[test]
    fn a_wide_name_is_cut_by_columns_and_never_within_a_character() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!(cut("日本語テキスト", 6), "日本…");
        assert!(cut("日本語テキスト", 7).width() <= 7);
        assert_eq!(cut("\x1b[2J", 40), "\\u{1b}[2J");
    }
}

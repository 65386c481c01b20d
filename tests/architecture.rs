//! The house keeps its shape: who may import whom, and who may touch the world.
//!
//! Reads every page under `src/` as text, without its comments, strings and tests, and
//! holds the paths that it names against the table below. The table is the drawing in
//! `src/lib.rs`, in words.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::fs;
use std::path::Path;

/// Each room, and what it may import; the order is that of the house, from the bottom.
const ROOMS: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("message", &["base"]),
    ("overlay", &["base", "message"]),
    ("transfer", &["base", "message"]),
    ("identity", &["base", "message", "overlay", "transfer"]),
    ("wire", &["base", "message", "overlay", "transfer"]),
    // The library runs on any disk and is kept in one index, so it knows these two pages;
    // nothing else of the room.
    ("share", &["base", "message", "overlay", "transfer", "store::disk", "store::share_index"]),
    ("store", &["base", "message", "overlay", "transfer"]),
    // The simulator weighs messages as wire writes them.
    ("sim", &["base", "message", "overlay", "transfer", "wire"]),
    ("plot", &["base", "sim"]),
    ("servent", &["base", "message", "overlay", "transfer", "identity", "wire", "share", "store"]),
    ("command", &["base", "message", "overlay", "transfer", "servent"]),
    ("prompt", &["base", "servent", "command"]),
    ("control", &["base", "servent", "command"]),
    ("chores", &["base", "command"]),
    ("args", &["base"]),
    ("config", &["base", "servent", "command", "args"]),
    (
        "simulate",
        &["base", "servent", "sim", "plot", "store", "command", "control", "args", "config"],
    ),
    ("manual", &["command", "args", "config"]),
    (
        "program",
        &[
            "base", "servent", "sim", "store", "command", "prompt", "control", "chores", "args",
            "config", "simulate", "manual",
        ],
    ),
    // The crate's own pages: the map names nobody, and `main` is outside the library.
    ("lib", &[]),
    ("main", &[]),
];

/// Rooms that are arithmetic: same inputs, same outputs, whoever drives them.
const PURE: &[&str] = &["base", "message", "overlay", "transfer", "sim"];

/// What a pure room never names: the world, and its clock and chance.
const WORLD: &[&str] = &[
    "tokio",
    "tokio_util",
    "tokio_rustls",
    "rustix",
    "std::fs",
    "std::env",
    "std::process",
    "std::thread",
    "std::os",
    "std::net::Tcp*",
    "std::net::Udp*",
    "std::net::ToSocketAddrs",
    "std::time::Instant",
    "std::time::SystemTime",
    "std::io::stdin",
    "std::io::stdout",
    "std::io::stderr",
    "rand::rng",
    "rand::random",
    "rand::rngs::ThreadRng",
    "rand::rngs::SysRng",
];

/// The room that configures bincode.
const CODEC: &str = "wire";
/// Rooms whose types travel: they derive these two and name nothing else of it.
const TRAVELLERS: &[&str] = &["base", "message"];
const DERIVES: &[&str] = &["bincode::Encode", "bincode::Decode"];

/// Lines of a page, its tests included.
const LONGEST: usize = 600;
/// Pages that are longer, how long they may be, and why.
const LONG_PAGES: &[(&str, usize, &str)] = &[];

#[test]
fn imports_point_down() {
    let pages = pages();
    let wrong: Vec<_> = pages.iter().flat_map(|page| imports_up(page, ROOMS)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let crossings = pages.iter().flat_map(|page| &page.paths).filter(|p| p.starts_with("crate"));
    assert!(crossings.count() > 100, "the reader finds no imports any more");
}

#[test]
fn the_table_names_every_room_and_no_other() {
    let pages = pages();
    for page in &pages {
        assert!(ROOMS.iter().any(|(room, _)| *room == page.room), "{}: in no room", page.file);
    }
    for (room, _) in ROOMS {
        assert!(pages.iter().any(|page| page.room == *room), "there is no room {room}");
    }
    for (at, (room, may)) in ROOMS.iter().enumerate() {
        for other in may.iter().filter(|other| !other.contains("::")) {
            let below = ROOMS[..at].iter().any(|(lower, _)| lower == other);
            assert!(below, "{room} -> {other} does not point down");
        }
    }
}

#[test]
fn pure_rooms_leave_the_world_alone() {
    let pages = pages();
    for room in PURE {
        assert!(pages.iter().any(|page| page.room == *room), "there is no room {room}");
    }
    let wrong: Vec<_> = pages.iter().flat_map(touches_the_world).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn only_wire_configures_bincode() {
    let pages = pages();
    let wrong: Vec<_> = pages.iter().flat_map(configures_bincode).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    let codec = pages.iter().filter(|page| page.room == CODEC);
    let named = codec.flat_map(|page| &page.paths).filter(|p| p.starts_with("bincode")).count();
    assert!(named > 0, "{CODEC} no longer names bincode: is the rule still about anything?");
}

#[test]
fn a_file_is_a_page() {
    let pages = pages();
    let wrong: Vec<_> = pages.iter().filter_map(|page| too_long(page, LONG_PAGES)).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    for (file, _, _) in LONG_PAGES {
        let page = pages.iter().find(|page| page.file == *file);
        let needed = page.is_some_and(|page| page.lines > LONGEST);
        assert!(needed, "{file} needs no exception any more");
    }
}

/// One source file, as far as these rules see it.
struct Page {
    /// Its path under `src/`.
    file: String,
    room: String,
    /// How deep its module lies: 1 for `base/mod.rs`, 2 for `base/hop.rs`.
    depth: usize,
    lines: usize,
    paths: Vec<Named>,
}

/// A path that a page names, and where.
struct Named {
    line: usize,
    path: Vec<String>,
}

impl Named {
    fn starts_with(&self, first: &str) -> bool {
        self.path.first().is_some_and(|segment| segment == first)
    }

    /// Whether this path is `pattern` or lies in it; a `*` ends a beginning.
    fn is_in(&self, pattern: &str) -> bool {
        let wanted: Vec<_> = pattern.split("::").collect();
        self.path.len() >= wanted.len()
            && wanted.iter().zip(&self.path).all(|(wanted, named)| {
                wanted.strip_suffix('*').map_or(wanted == named, |start| named.starts_with(start))
            })
    }
}

impl Page {
    fn read(file: &str, text: &str) -> Self {
        let segments: Vec<_> = file.trim_end_matches(".rs").split('/').collect();
        let depth = segments.len() - usize::from(segments.last() == Some(&"mod"));
        let code = without_tests(&without_comments(text));
        let paths = paths(&code);
        let room = segments[0].to_owned();
        Self { file: file.to_owned(), room, depth, lines: text.lines().count(), paths }
    }

    fn complain(&self, named: &Named, why: &str) -> String {
        format!("src/{}:{}: {} {why}", self.file, named.line, named.path.join("::"))
    }
}

/// Every page but those that hold only tests.
fn pages() -> Vec<Page> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    let mut folders = vec![src.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files.sort();
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    let tests: Vec<_> = files.iter().flat_map(|path| test_files(path, &text(path))).collect();
    let is_test = |path: &Path| {
        tests.iter().any(|test| path.starts_with(test.with_extension("")))
            || tests.iter().any(|test| test == path)
    };
    let pages: Vec<_> = files
        .iter()
        .filter(|path| !is_test(path))
        .map(|path| Page::read(path.strip_prefix(&src).unwrap().to_str().unwrap(), &text(path)))
        .collect();
    assert!(pages.len() > 50, "only {} pages found", pages.len());
    pages
}

/// The files that `path`, which reads `text`, includes as tests only.
fn test_files(path: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let code = without_comments(text);
    let stem = path.with_extension("");
    let own = ["mod", "lib", "main"].iter().any(|name| stem.ends_with(name));
    let folder = if own { path.parent().unwrap().to_owned() } else { stem };
    let after = code.split("#[cfg(test)]").skip(1);
    let names = after.filter_map(|rest| {
        let item = rest.split_once([';', '{']).map_or(rest, |(item, _)| item);
        let is_file = rest[item.len()..].starts_with(';');
        let item = item.trim();
        item.strip_prefix("pub(super) ").unwrap_or(item).strip_prefix("mod ").filter(|_| is_file)
    });
    names.map(|name| folder.join(format!("{}.rs", name.trim()))).collect()
}

fn imports_up(page: &Page, rooms: &[(&str, &[&str])]) -> Vec<String> {
    let may = rooms.iter().find(|(room, _)| *room == page.room).map_or(&[][..], |(_, may)| may);
    let wrong = page.paths.iter().filter_map(|named| {
        let climbs = named.path.iter().take_while(|segment| *segment == "super").count();
        if climbs >= page.depth {
            return Some(page.complain(named, "leaves the room; it says crate:: to do so"));
        }
        if !named.starts_with("crate") || named.path.get(1) == Some(&page.room) {
            return None;
        }
        let there = Named { line: named.line, path: named.path[1..].to_vec() };
        if there.path.is_empty() {
            return Some(page.complain(named, "names the whole house"));
        }
        let allowed = may.iter().any(|room| there.is_in(room));
        (!allowed).then(|| page.complain(named, &format!("is not below {}", page.room)))
    });
    wrong.collect()
}

fn touches_the_world(page: &Page) -> Vec<String> {
    if !PURE.contains(&page.room.as_str()) {
        return Vec::new();
    }
    let wrong = page.paths.iter().filter(|named| WORLD.iter().any(|world| named.is_in(world)));
    wrong.map(|named| page.complain(named, "has no place in a pure room")).collect()
}

fn configures_bincode(page: &Page) -> Vec<String> {
    let travels = TRAVELLERS.contains(&page.room.as_str());
    let wrong = page.paths.iter().filter(|named| {
        let derives = travels && DERIVES.contains(&named.path.join("::").as_str());
        named.starts_with("bincode") && page.room != CODEC && !derives
    });
    wrong.map(|named| page.complain(named, "belongs to wire")).collect()
}

fn too_long(page: &Page, exceptions: &[(&str, usize, &str)]) -> Option<String> {
    let most = exceptions.iter().find(|(file, ..)| *file == page.file).map_or(LONGEST, |e| e.1);
    (page.lines > most).then(|| {
        format!("src/{}: {} lines; look for the second noun past {most}", page.file, page.lines)
    })
}

/// `text` with everything blank that is a comment or stands in quotes; lines stay lines.
fn without_comments(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut code = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match (at(i), at(i + 1)) {
            ('/', '/') => (i..chars.len()).find(|&j| at(j) == '\n').unwrap_or(chars.len()),
            ('/', '*') => end_of_comment(&chars, i),
            ('"', _) => end_of_string(&chars, i),
            ('r', '"' | '#') if !is_word(at(i.wrapping_sub(1))) || at(i.wrapping_sub(1)) == 'b' => {
                end_of_raw_string(&chars, i)
            }
            // A quote, an escape or a character, a quote; else it is a lifetime.
            ('\'', '\\') => {
                (i + 3..chars.len()).find(|&j| at(j) == '\'').map_or(chars.len(), |j| j + 1)
            }
            ('\'', _) if at(i + 2) == '\'' => i + 3,
            _ => i,
        };
        if end == i {
            code.push(at(i));
            i += 1;
        } else {
            code.extend(chars[i..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            i = end;
        }
    }
    code
}

fn end_of_comment(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut i = start;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    i
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

/// The end of `r#"..."#`, or `start` when it is a raw identifier.
fn end_of_raw_string(chars: &[char], start: usize) -> usize {
    let hashes = chars[start + 1..].iter().take_while(|c| **c == '#').count();
    if chars.get(start + 1 + hashes) != Some(&'"') {
        return start;
    }
    let closing = |&i: &usize| {
        chars[i] == '"' && chars[i + 1..].iter().take_while(|c| **c == '#').count() >= hashes
    };
    (start + 2 + hashes..chars.len()).find(closing).map_or(chars.len(), |i| i + 1 + hashes)
}

/// `code` without its modules that are compiled for tests only.
fn without_tests(code: &str) -> String {
    let mut rest = code;
    let mut kept = String::with_capacity(code.len());
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        kept.push_str(before);
        let Some(open) = after.find(['{', ';']) else { return kept };
        let mut depth = 0;
        let end = after[open..].char_indices().find(|&(_, c)| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            depth == 0
        });
        let end = open + end.map_or(after.len() - open, |(at, c)| at + c.len_utf8());
        kept.extend(after[..end].chars().filter(|&c| c == '\n'));
        rest = &after[end..];
    }
    kept + rest
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Every path that `code` names, its groups taken apart.
fn paths(code: &str) -> Vec<Named> {
    let mut found = Vec::new();
    let mut before = ' ';
    let (mut rest, mut line) = (code, 1);
    while let Some(c) = rest.chars().next() {
        let starts = is_word(c) && !c.is_numeric() && !is_word(before) && before != '.';
        let mut after = rest;
        if starts {
            after = path_from(rest, &mut Vec::new(), line, &mut found);
        }
        if after.len() == rest.len() {
            after = &rest[c.len_utf8()..];
        }
        let taken = &rest[..rest.len() - after.len()];
        line += taken.matches('\n').count();
        before = taken.chars().next_back().unwrap_or(' ');
        rest = after;
    }
    found
}

/// Reads one path behind `stem`, which is put into `found`; returns what follows it.
fn path_from<'a>(
    text: &'a str,
    stem: &mut Vec<String>,
    line: usize,
    found: &mut Vec<Named>,
) -> &'a str {
    let length = stem.len();
    let mut rest = text;
    loop {
        let word = rest.split(|c| !is_word(c)).next().unwrap_or("");
        rest = &rest[word.len()..];
        // `self` in a group is the stem itself.
        if !(word.is_empty() || word == "self" && length > 0) {
            stem.push(word.to_owned());
        }
        let next = rest.trim_start().strip_prefix("::").map_or("", str::trim_start);
        if let Some(group) = next.strip_prefix('{') {
            rest = group_from(group, stem, line + lines_between(text, group), found);
            break;
        }
        if !next.starts_with(is_word) {
            found.push(Named { line, path: stem.clone() }); // behind it: `;`, `::<`, `::*`
            break;
        }
        rest = next;
    }
    stem.truncate(length);
    rest
}

/// Reads the paths of a group, each behind `stem`; returns what follows its brace.
fn group_from<'a>(
    text: &'a str,
    stem: &mut Vec<String>,
    line: usize,
    found: &mut Vec<Named>,
) -> &'a str {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ',' || c.is_whitespace());
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        let after = path_from(rest, stem, line + lines_between(text, rest), found);
        // `as name` and `::*` are no paths of their own.
        let Some(end) = after.find([',', '}']) else { return "" };
        rest = &after[end..];
    }
}

/// How many lines end between the beginnings of `text` and of `rest`, its end.
fn lines_between(text: &str, rest: &str) -> usize {
    text[..text.len() - rest.len()].matches('\n').count()
}

fn named(code: &str) -> Vec<String> {
    paths(&without_tests(&without_comments(code))).iter().map(|n| n.path.join("::")).collect()
}

fn up(file: &str, code: &str) -> usize {
    imports_up(&Page::read(file, code), ROOMS).len()
}

#[test]
fn the_reader_takes_groups_apart() {
    let code = "use crate::{base::{self, Guid, hop::Ttl as Life}, wire};\nuse std::fs;";
    let wanted = ["crate::base", "crate::base::Guid", "crate::base::hop::Ttl", "crate::wire"];
    let found = named(code);
    for path in wanted.iter().chain(&["std::fs"]) {
        assert!(found.iter().any(|found| found == path), "{path} in {found:?}");
    }
    assert!(named("use crate::store::*;").contains(&"crate::store".to_owned()));
    assert!(
        named("let x = crate :: wire\n  ::Codec::<u8>::new();")
            .contains(&"crate::wire::Codec".to_owned())
    );
    assert!(named("$crate::wire::x!()").contains(&"crate::wire::x".to_owned()));
    let lines: Vec<_> = paths("a\nuse b::{\n  c,\n  d,\n};\ne").iter().map(|n| n.line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 6]);
}

#[test]
fn the_reader_skips_comments_strings_and_tests() {
    let quiet = [
        "/// [`crate::servent`]",
        "//! crate::servent",
        "/* a /* crate::servent */ crate::servent */",
        "let x = \"crate::servent \\\" crate::servent\";",
        "let x = r#\"a \" crate::servent\"#;",
        "#[cfg(test)]\nmod tests { use crate::servent; fn f() { {} } }",
        "#[cfg(test)]\nuse crate::servent;",
    ];
    for code in quiet {
        assert!(!named(code).iter().any(|path| path.contains("servent")), "{code}");
    }
    let loud = [
        "/* */ use crate::servent;",
        "let c = '\"'; crate::servent::f(); let d = '\"';",
        "fn f<'a>(x: &'a str) { crate::servent::f('\\'') }",
        "let x = \"\\\\\"; crate::servent::f();",
        "let x = br#\"\"#; crate::servent::f(); let r#type = 1;",
        "#[cfg(test)]\nmod tests { \"}\"; }\nuse crate::servent;",
        "#[cfg(test)]\nmod tests;\nuse crate::servent;",
        "#[cfg(not(test))]\nuse crate::servent;",
    ];
    for code in loud {
        assert!(named(code).iter().any(|path| path.starts_with("crate::servent")), "{code}");
    }
}

#[test]
fn an_import_that_points_up_or_sideways_is_found() {
    for (file, code) in [
        ("base/hop.rs", "use crate::message::Query;"),
        ("overlay/mod.rs", "use crate::transfer::Download;"),
        ("wire/codec.rs", "fn f() { crate::identity::f(); }"),
        ("share/mod.rs", "use crate::store::Part;"),
        ("share/mod.rs", "use crate::{base::Guid, store};"),
        ("store/mod.rs", "use crate::share::Library;"),
        ("servent/mod.rs", "use crate::sim::Network;"),
        ("prompt/mod.rs", "use crate::control::Client;"),
        ("command/mod.rs", "use crate::config::Config;"),
        ("sim/mod.rs", "use crate as house;"),
        ("wire/codec/any.rs", "use super::super::super::identity;"),
        ("base/mod.rs", "use super::message;"),
    ] {
        assert_eq!(up(file, code), 1, "{file}: {code}");
    }
    for (file, code) in [
        ("share/library.rs", "use crate::store::disk::{Disk, Stamp};"),
        ("share/keeping.rs", "use crate::store::share_index::ShareIndex;"),
        ("share/library.rs", "use crate::share::query; use super::query;"),
        ("wire/codec/any.rs", "use super::super::header; pub(in crate::wire) fn f() {}"),
        ("servent/mod.rs", "use crate::{overlay::Overlay, wire::Codec, store, share};"),
        ("sim/mod.rs", "use crate::overlay::Overlay;"),
    ] {
        assert_eq!(up(file, code), 0, "{file}: {code}");
    }
}

#[test]
fn a_pure_room_that_touches_the_world_is_found() {
    let touches = |file: &str, code: &str| touches_the_world(&Page::read(file, code)).len();
    for code in [
        "use tokio::sync::mpsc;",
        "std::fs::read(path)",
        "use std::{fs, net::TcpStream};",
        "use std::net::{IpAddr, UdpSocket};",
        "let t = std::time::Instant::now();",
        "use std::time::{Duration, SystemTime};",
        "let x: u8 = rand::random();",
        "use rand::rng;",
    ] {
        assert_ne!(touches("overlay/search.rs", code), 0, "{code}");
        assert_eq!(touches("servent/link.rs", code), 0, "{code}");
    }
    let innocent = "use rand::{Rng, RngExt, rngs::ChaCha12Rng}; use std::net::SocketAddr; \
                    use std::time::Duration; let tokio_like = fs;";
    assert_eq!(touches("overlay/search.rs", innocent), 0);
}

#[test]
fn bincode_outside_its_room_is_found() {
    let wrong = |file: &str, code: &str| configures_bincode(&Page::read(file, code)).len();
    assert_eq!(wrong("wire/body.rs", "bincode::config::standard()"), 0);
    assert_eq!(wrong("message/search.rs", "use bincode::{Decode, Encode};"), 0);
    assert_eq!(wrong("message/search.rs", "use bincode::{Decode, config};"), 1);
    assert_eq!(wrong("base/guid.rs", "#[derive(bincode::Encode)] struct X;"), 0);
    assert_eq!(wrong("store/state.rs", "#[derive(bincode::Encode)] struct X;"), 1);
    assert_eq!(wrong("base/guid.rs", "use bincode::*;"), 1);
}

#[test]
fn a_page_that_is_too_long_is_found() {
    let page = |lines: usize| Page::read("wire/body.rs", &"x\n".repeat(lines));
    assert_eq!(too_long(&page(LONGEST), &[]), None);
    assert!(too_long(&page(LONGEST + 1), &[]).unwrap().contains("601 lines"));
    let granted = [("wire/body.rs", LONGEST + 1, "a table")];
    assert_eq!(too_long(&page(LONGEST + 1), &granted), None);
    assert!(too_long(&page(LONGEST + 2), &granted).is_some());
}

#[test]
fn files_of_tests_are_known_by_the_page_that_includes_them() {
    let of = |path: &str, code: &str| test_files(Path::new(path), code);
    let found = of("src/wire/codec.rs", "mod any;\n#[cfg(test)]\nmod tests;\n");
    assert_eq!(found, [Path::new("src/wire/codec/tests.rs")]);
    let found = of("src/control/mod.rs", "#[cfg(test)]\npub(super) mod tests;\n");
    assert_eq!(found, [Path::new("src/control/tests.rs")]);
    assert!(of("src/control/mod.rs", "#[cfg(test)]\nmod tests { mod x; }").is_empty());
    assert!(of("src/control/mod.rs", "mod tests;").is_empty());
}

//! Addresses as people type them: `HOST`, `HOST:PORT`, `[IPV6]:PORT`, each perhaps
//! after `ID@`; and the lines that `invite` prints: `ID@ADDR,ADDR,...#KEY`.

use std::net::Ipv6Addr;

use crate::base::{Contact, ServentId};
use crate::servent::{JoinTarget, NetworkKey, Place};

/// The port of a servent that was not told another.
pub const DEFAULT_PORT: u16 = 7272;

/// Longest host name of the domain name system, in bytes.
const MAX_HOST: usize = 253;

/// Why a text names no servent to join.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing stands where the host should.
    #[error("no host is named; an address is HOST:PORT or ID@HOST:PORT")]
    NoHost,
    /// Only an id.
    #[error("an id alone does not say where to dial; write ID@HOST:PORT")]
    OnlyId,
    /// What stands before the `@` is no id.
    #[error("what stands before the '@' is no servent id, which is 52 characters of a-z and 2-7")]
    BadId,
    /// Nobody could say whose several addresses these are.
    #[error("several addresses belong to one servent, whose id they follow: ID@ADDR,ADDR")]
    NoId,
    /// More addresses than a contact has.
    #[error("a servent has at most {} addresses", Contact::MAX_ADDRESSES)]
    TooMany,
    /// What stands behind the `#` is no key.
    #[error(
        "what stands behind the '#' is no key of a mesh, which is 52 characters of a-z and 2-7"
    )]
    BadKey,
    /// A key, and nobody to join with it.
    #[error("a key alone lets nobody in; write ID@HOST:PORT#KEY")]
    OnlyKey,
    /// More colons than a port takes.
    #[error("an IPv6 address goes in brackets: [{0}]:{DEFAULT_PORT}")]
    BareIpv6(String),
    /// The brackets do not hold an IPv6 address.
    #[error("'{0}' is no IPv6 address in brackets")]
    BadIpv6(String),
    /// The port is no number, 0, or too large.
    #[error("'{0}' is no port, which is a number from 1 to 65535")]
    BadPort(String),
    /// A character that no host name has.
    #[error("'{0}' is no host name")]
    BadHost(String),
}

/// Reads `text` as a servent to join; the port is [`DEFAULT_PORT`] when left out.
///
/// # Errors
/// [`AddressError`], one sentence that says which part is wrong.
pub fn join_target(text: &str) -> Result<JoinTarget, AddressError> {
    let text = text.trim();
    let (text, key) = match text.split_once('#') {
        Some(("", _)) => return Err(AddressError::OnlyKey),
        Some((text, key)) => (text, Some(NetworkKey::from_text(key).ok_or(AddressError::BadKey)?)),
        None => (text, None),
    };
    let (id, places) = match text.split_once('@') {
        Some((id, places)) => {
            (Some(id.parse::<ServentId>().map_err(|_| AddressError::BadId)?), places)
        }
        None if text.parse::<ServentId>().is_ok() => return Err(AddressError::OnlyId),
        None => (None, text),
    };
    let places = places.split(',').map(place).collect::<Result<Vec<_>, _>>()?;
    match places.len() {
        0..=1 => {}
        _ if id.is_none() => return Err(AddressError::NoId),
        count if count > Contact::MAX_ADDRESSES => return Err(AddressError::TooMany),
        _ => {}
    }
    Ok(JoinTarget { id, places, key })
}

/// Reads `HOST` or `HOST:PORT`.
fn place(text: &str) -> Result<Place, AddressError> {
    let (host, port) = split(text)?;
    let port = match port {
        None => DEFAULT_PORT,
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 && !port.starts_with('+') => number,
            _ => return Err(AddressError::BadPort(port.to_owned())),
        },
    };
    Ok(Place { host: host.to_owned(), port })
}

/// The lines in `text`, which holds one or more, behind white space or commas. A comma
/// within a line stands between the addresses of one servent, whose id begins the line.
#[must_use]
pub fn join_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for words in text.split_whitespace() {
        let mut pinned = false;
        for place in words.split(',').filter(|place| !place.is_empty()) {
            let begins = place.contains('@');
            match lines.last_mut().filter(|_| pinned && !begins) {
                Some(line) => line.extend([",", place]),
                None => lines.push(place.to_owned()),
            }
            // Behind its key a line is over.
            pinned = (pinned || begins) && !place.contains('#');
        }
    }
    lines
}

/// Host and port of `place`, the brackets of an IPv6 address taken off.
fn split(place: &str) -> Result<(&str, Option<&str>), AddressError> {
    if let Some(rest) = place.strip_prefix('[') {
        let bad = || AddressError::BadIpv6(place.to_owned());
        let (host, after) = rest.split_once(']').ok_or_else(bad)?;
        // A link-local address has the interface behind it: fe80::1%eth0.
        let bare = host.split_once('%').map_or(host, |(bare, _)| bare);
        bare.parse::<Ipv6Addr>().map_err(|_| bad())?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(bad()),
        };
    }
    if place.matches(':').count() > 1 {
        return Err(AddressError::BareIpv6(place.to_owned()));
    }
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (place, None),
    };
    if host.is_empty() {
        return Err(AddressError::NoHost);
    }
    let odd = |c: char| c.is_whitespace() || c.is_control() || "/@[]\\?#".contains(c);
    if host.len() > MAX_HOST || host.contains(odd) {
        return Err(AddressError::BadHost(host.to_owned()));
    }
    Ok((host, port))
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use proptest::prelude::*;

    use super::*;
    use crate::command::grammar;
    use crate::servent::invitation_line;

    fn read(text: &str) -> (bool, String, u16) {
        let target = join_target(text).unwrap();
        let [place] = &target.places[..] else { panic!("{target:?}") };
        (target.id.is_some(), place.host.clone(), place.port)
    }

    #[test]
    fn every_usual_form_is_understood() {
        let id = ServentId([9; 32]);
        assert_eq!(read("attic"), (false, "attic".into(), 7272));
        assert_eq!(read("attic.lan:9000"), (false, "attic.lan".into(), 9000));
        assert_eq!(read(" 10.0.0.7:1 "), (false, "10.0.0.7".into(), 1));
        assert_eq!(read("[::1]"), (false, "::1".into(), 7272));
        assert_eq!(read("[fe80::1%eth0]:65535"), (false, "fe80::1%eth0".into(), 65535));
        assert_eq!(read(&format!("{id}@attic:9")), (true, "attic".into(), 9));
        assert_eq!(read(&format!("{id}@[::1]:9")), (true, "::1".into(), 9));
    }

    #[test]
    fn lines_are_told_apart_though_both_hold_commas() {
        for (text, lines) in [
            ("", &[][..]),
            ("a:1", &["a:1"]),
            ("a:1,b:2", &["a:1", "b:2"]),
            ("me@a:1,b:2", &["me@a:1,b:2"]),
            ("a:1,me@b:2,c:3,you@d:4", &["a:1", "me@b:2,c:3", "you@d:4"]),
            ("me@a:1,b:2#key,c:3", &["me@a:1,b:2#key", "c:3"]),
            (" me@a:1 b:2\nc:3,", &["me@a:1", "b:2", "c:3"]),
        ] {
            assert_eq!(join_lines(text), lines, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_by_the_part_that_is_wrong() {
        let id = ServentId([9; 32]);
        let cases = [
            ("", "no host"),
            (":7272", "no host"),
            ("attic:", "'' is no port"),
            ("attic:0", "'0' is no port"),
            ("attic:65536", "'65536' is no port"),
            ("attic:+80", "'+80' is no port"),
            ("attic:http", "'http' is no port"),
            ("::1", "brackets: [::1]:7272"),
            ("[::1", "no IPv6"),
            ("[attic]:1", "no IPv6"),
            ("[::1]7", "no IPv6"),
            ("me@attic:7", "no servent id"),
            ("a b:7", "no host name"),
            ("http//x:7", "no host name"),
        ];
        for (text, part) in cases {
            let error = join_target(text).unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
        assert_eq!(join_target(&id.to_string()), Err(AddressError::OnlyId));
        assert_eq!(join_target(&format!("{id}@")), Err(AddressError::NoHost));
        let key = NetworkKey::from_contents(b"ours").to_text();
        let many = ["a"; Contact::MAX_ADDRESSES + 1].join(",");
        assert_eq!(join_target("a:1,b:2"), Err(AddressError::NoId));
        assert_eq!(join_target(&format!("{id}@a,,b")), Err(AddressError::NoHost));
        assert_eq!(join_target(&format!("{id}@{many}")), Err(AddressError::TooMany));
        assert_eq!(join_target(&format!("{id}@a#ours")), Err(AddressError::BadKey));
        assert_eq!(join_target(&format!("#{key}")), Err(AddressError::OnlyKey));
    }

    proptest! {
        #[test]
        fn every_invitation_is_understood_by_join_and_comes_through_every_front(
            id in any::<[u8; 32]>().prop_map(ServentId),
            addresses in prop::collection::vec(
                (any::<IpAddr>(), 1..=u16::MAX).prop_map(SocketAddr::from),
                1..=Contact::MAX_ADDRESSES,
            ),
            key in prop::option::of(any::<[u8; 8]>()),
        ) {
            let key = key.map(|secret| NetworkKey::from_contents(&secret));
            let line = invitation_line(id, &addresses, key.as_ref());
            let target = join_target(&line).unwrap();
            prop_assert_eq!((target.id, &target.key), (Some(id), &key));
            let read: Vec<SocketAddr> =
                target.places.iter().map(|place| place.to_string().parse().unwrap()).collect();
            prop_assert_eq!(read, addresses);
            prop_assert_eq!(join_lines(&line), vec![line.clone()]);
            let typed = grammar::parse(&format!("join {line}")).unwrap().unwrap();
            let split = grammar::line_of(&["join".to_owned(), line]).unwrap();
            prop_assert_eq!(Some(typed), grammar::parse(&split).unwrap());
        }
    }
}

//! A link to a content: a line that says what it is, and perhaps who has it.
//!
//! `part2part:HASH?name=...&size=...&peer=ID@ADDR,ADDR`, with `folder=FILES,BYTES` if it is a
//! collection, or a magnet with `xt=urn:blake3:HASH`. Always true: of a link nothing is believed but the hash, which
//! what comes is held against; name, size and peers are a stranger's claims, each of
//! bounded length, and whatever [`FileLink`] prints it reads back.

use std::fmt::{self, Write};
use std::net::SocketAddr;
use std::str::FromStr;

use super::piece::MAX_FILE;
use super::{Contact, ContentId, FileName, ServentId};

/// Longest link that is read, in bytes: one with the longest name and as many peers as it
/// may have, each with all its addresses, is shorter.
pub const MAX_LINK: usize = 8192;
/// Most peers of one link: a download that has one of them soon learns of others.
pub const MAX_LINK_PEERS: usize = 8;

/// What the line of a link begins with.
const SCHEME: &str = "part2part:";
/// What the line of a magnet begins with.
const MAGNET: &str = "magnet:?";
/// What names a content in a magnet.
const TOPIC: &str = "urn:blake3:";

/// A content, and what its giver says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileLink {
    /// What it is.
    pub id: ContentId,
    /// What it is called: 1 to [`FileName::MAX_LEN`] bytes; a claim, made safe where it
    /// meets a disk or an eye.
    pub name: Option<String>,
    /// Its size in bytes: a claim.
    pub size: Option<u64>,
    /// How many files, and bytes in them, it lists, if it is a collection: a claim.
    pub folder: Option<(u64, u64)>,
    /// Who has it: at most [`MAX_LINK_PEERS`], each with at least one address.
    pub peers: Vec<Contact>,
}

/// Why a text is no link; each names the part that is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FileLinkError {
    /// More than anybody's link needs.
    #[error("a link has at most {MAX_LINK} bytes")]
    TooLong,
    /// Something else.
    #[error("a link begins with '{SCHEME}' or '{MAGNET}'")]
    Scheme,
    /// What should be the hash is none.
    #[error("the hash of the link is not 64 hexadecimal digits, as b3sum prints them")]
    Hash,
    /// A magnet to something that is known by another hash.
    #[error("the magnet has no xt={TOPIC}HASH: only what has a BLAKE3 hash can be fetched here")]
    NoTopic,
    /// A part that may stand once stands twice, and not alike.
    #[error("the link has two different parts {0}=")]
    Twice(&'static str),
    /// A `%` without its digits.
    #[error("behind a '%' of the link's {0}= two hexadecimal digits are missing")]
    Percent(&'static str),
    /// Bytes that are no text.
    #[error("{0}= of the link is not UTF-8 text")]
    NoText(&'static str),
    /// A name that no file can have.
    #[error("{0}= of the link is empty or longer than {max} bytes", max = FileName::MAX_LEN)]
    Name(&'static str),
    /// A size that is no number, or too large.
    #[error("{0}= of the link is no number of bytes, of which a file has at most {MAX_FILE}")]
    Size(&'static str),
    /// What is said of a folder is no two numbers.
    #[error("{0}= of the link is not FILES,BYTES, two numbers")]
    Folder(&'static str),
    /// A peer without an id.
    #[error(
        "peer {0} of the link does not begin with a servent id and '@' (52 characters of a-z and \
         2-7)"
    )]
    PeerId(usize),
    /// A peer without an address, or with a wrong one.
    #[error("peer {0} of the link has an address that is no IP:PORT, or [IPV6]:PORT")]
    PeerAddress(usize),
    /// A peer with more addresses than a contact has.
    #[error("peer {0} of the link has more than {max} addresses", max = Contact::MAX_ADDRESSES)]
    PeerAddresses(usize),
    /// Too many peers.
    #[error("the link has more than {MAX_LINK_PEERS} peers")]
    TooManyPeers,
}

/// What the parts are called: in a link, and in a magnet.
struct Words {
    name: &'static str,
    size: &'static str,
    folder: &'static str,
    peer: &'static str,
}

const LINK: Words = Words { name: "name", size: "size", folder: "folder", peer: "peer" };
const MAGNETS: Words = Words { name: "dn", size: "xl", folder: "x.folder", peer: "x.pe" };

impl FileLink {
    /// Whether `text` is meant to be one, right or not.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        behind(text, SCHEME).or_else(|| behind(text, "magnet:")).is_some()
    }

    /// The same as a magnet, for programs that know no other links.
    #[must_use]
    pub fn magnet(&self) -> String {
        let mut text = format!("{MAGNET}xt={TOPIC}{}", self.id);
        self.write_parts(&mut text, &MAGNETS, '&');
        text
    }

    fn write_parts(&self, text: &mut String, words: &Words, first: char) {
        let name = self.name.as_ref().map(|name| (words.name, name.clone()));
        let size = self.size.map(|size| (words.size, size.to_string()));
        let folder = self.folder.map(|(files, bytes)| (words.folder, format!("{files},{bytes}")));
        let peers = self.peers.iter().filter_map(|peer| {
            let usable = peer.addresses.iter().filter(|address| is_usable(address));
            let addresses: Vec<_> = usable.map(ToString::to_string).collect();
            let peer = format!("{}@{}", peer.id, addresses.join(","));
            (!addresses.is_empty()).then_some((words.peer, peer))
        });
        let mut joint = first;
        for (word, value) in name.into_iter().chain(size).chain(folder).chain(peers) {
            text.push(joint);
            text.push_str(word);
            text.push('=');
            encode(&value, text);
            joint = '&';
        }
    }

    fn read_parts(id: ContentId, query: &str, words: &Words) -> Result<Self, FileLinkError> {
        let mut link = Self { id, name: None, size: None, folder: None, peers: Vec::new() };
        let mut seen = 0;
        for (word, value) in parts(query) {
            if word == words.name {
                let name = decode(value, words.name, words.name == MAGNETS.name)?;
                if !(1..=FileName::MAX_LEN).contains(&name.len()) {
                    return Err(FileLinkError::Name(words.name));
                }
                once(&mut link.name, name, words.name)?;
            } else if word == words.size {
                let size = number(value).filter(|&size| size <= MAX_FILE);
                let size = size.ok_or(FileLinkError::Size(words.size))?;
                once(&mut link.size, size, words.size)?;
            } else if word == words.folder {
                let value = decode(value, words.folder, false)?;
                let sums = value.split_once(',');
                let sums = sums.and_then(|(files, bytes)| number(files).zip(number(bytes)));
                once(
                    &mut link.folder,
                    sums.ok_or(FileLinkError::Folder(words.folder))?,
                    words.folder,
                )?;
            } else if word == words.peer {
                let value = decode(value, words.peer, false)?;
                // Other programs' magnets name peers without an id, which nobody can trust.
                if words.peer == MAGNETS.peer && !value.contains('@') {
                    continue;
                }
                seen += 1;
                link.add(read_peer(&value, seen)?)?;
            }
        }
        Ok(link)
    }

    fn add(&mut self, peer: Contact) -> Result<(), FileLinkError> {
        if let Some(known) = self.peers.iter_mut().find(|known| known.id == peer.id) {
            let both = known.addresses.iter().chain(&peer.addresses).copied();
            *known = Contact::new(peer.id, both.collect::<Vec<_>>());
            return Ok(());
        }
        if self.peers.len() >= MAX_LINK_PEERS {
            return Err(FileLinkError::TooManyPeers);
        }
        self.peers.push(peer);
        Ok(())
    }
}

impl fmt::Display for FileLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = format!("{SCHEME}{}", self.id);
        self.write_parts(&mut text, &LINK, '?');
        f.write_str(&text)
    }
}

impl FromStr for FileLink {
    type Err = FileLinkError;

    fn from_str(text: &str) -> Result<Self, FileLinkError> {
        let text = text.trim();
        if text.len() > MAX_LINK {
            return Err(FileLinkError::TooLong);
        }
        if let Some(rest) = behind(text, SCHEME) {
            let (hash, query) = rest.split_once('?').unwrap_or((rest, ""));
            return Self::read_parts(read_hash(hash)?, query, &LINK);
        }
        let query = behind(text, MAGNET).ok_or(FileLinkError::Scheme)?;
        let mut id = None;
        for (word, topic) in parts(query) {
            // Of several topics each may have a number: xt.1, xt.2.
            if word != "xt" && !word.starts_with("xt.") {
                continue;
            }
            let topic = decode(topic, "xt", false)?;
            if let Some(hash) = behind(&topic, TOPIC) {
                once(&mut id, read_hash(hash)?, "xt")?;
            }
        }
        Self::read_parts(id.ok_or(FileLinkError::NoTopic)?, query, &MAGNETS)
    }
}

/// What of `text` stands behind `begin`, in letters of either case.
fn behind<'a>(text: &'a str, begin: &str) -> Option<&'a str> {
    let (head, rest) = text.split_at_checked(begin.len())?;
    head.eq_ignore_ascii_case(begin).then_some(rest)
}

fn parts(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query.split('&').filter_map(|part| part.split_once('='))
}

fn once<T: PartialEq>(
    place: &mut Option<T>,
    value: T,
    word: &'static str,
) -> Result<(), FileLinkError> {
    match place {
        Some(known) if *known != value => Err(FileLinkError::Twice(word)),
        _ => {
            *place = Some(value);
            Ok(())
        }
    }
}

/// A number in plain digits.
fn number(text: &str) -> Option<u64> {
    Some(text).filter(|text| text.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

fn read_hash(text: &str) -> Result<ContentId, FileLinkError> {
    text.to_ascii_lowercase().parse().map_err(|_| FileLinkError::Hash)
}

fn read_peer(text: &str, number: usize) -> Result<Contact, FileLinkError> {
    let (id, addresses) = text.split_once('@').ok_or(FileLinkError::PeerId(number))?;
    let id: ServentId = id.parse().map_err(|_| FileLinkError::PeerId(number))?;
    let mut read: Vec<SocketAddr> = Vec::new();
    for address in addresses.split(',') {
        let address: SocketAddr =
            address.parse().map_err(|_| FileLinkError::PeerAddress(number))?;
        if !is_usable(&address) {
            return Err(FileLinkError::PeerAddress(number));
        }
        read.push(address);
    }
    if read.len() > Contact::MAX_ADDRESSES {
        return Err(FileLinkError::PeerAddresses(number));
    }
    Ok(Contact::new(id, read))
}

/// Whether anybody can be there.
fn is_usable(address: &SocketAddr) -> bool {
    address.port() != 0 && !address.ip().to_canonical().is_unspecified()
}

/// Appends `value`; what no part of a link may hold as it is becomes `%XX`.
fn encode(value: &str, text: &mut String) {
    for &byte in value.as_bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~@:,".contains(&byte);
        match plain {
            true => text.push(char::from(byte)),
            false => write!(text, "%{byte:02X}").unwrap_or_default(), // a String takes it
        }
    }
}

/// `value` with each `%XX` as its byte; in magnets' names a `+` is a space.
fn decode(value: &str, word: &'static str, plus: bool) -> Result<String, FileLinkError> {
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let pair =
                    digit().zip(digit()).and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
                pair.ok_or(FileLinkError::Percent(word))?
            }
            b'+' if plus => b' ',
            plain => plain,
        });
    }
    String::from_utf8(bytes).map_err(|_| FileLinkError::NoText(word))
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<FileLink, FileLinkError> {
        text.parse()
    }

    fn hash() -> ContentId {
        ContentId([0xab; 32])
    }

    #[test]
    fn a_link_says_what_it_is_and_who_has_it() {
        let id = ServentId([9; 32]);
        let text = format!(
            "PART2PART:{}?name=blue%20train%20%28live%29.flac&size=31&new=1&\
             peer={id}@10.0.0.7:7272,[2001:db8::1]:9&peer={id}@10.0.0.7:7272",
            hash().to_string().to_uppercase()
        );
        let link = read(&text).unwrap();
        assert_eq!((link.id, link.size), (hash(), Some(31)));
        assert_eq!(link.name.as_deref(), Some("blue train (live).flac"));
        let addresses = ["10.0.0.7:7272", "[2001:db8::1]:9"].map(|text| text.parse().unwrap());
        assert_eq!(link.peers, [Contact::new(id, addresses)], "one peer, said twice");
        let bare = read(&format!("  part2part:{} ", hash())).unwrap();
        assert_eq!(
            bare,
            FileLink { id: hash(), name: None, size: None, folder: None, peers: vec![] }
        );
    }

    #[test]
    fn a_magnet_is_taken_by_its_blake3_topic_alone() {
        let id = ServentId([9; 32]);
        let text = format!(
            "magnet:?xt=urn:btih:{}&xt.1=urn:BLAKE3:{}&dn=a+b%2Bc&xl=7&tr=http://x/&\
             x.pe=10.0.0.1:6881&x.pe={id}@10.0.0.7:7272",
            "0".repeat(40),
            hash()
        );
        let link = read(&text).unwrap();
        assert_eq!((link.id, link.name.as_deref(), link.size), (hash(), Some("a b+c"), Some(7)));
        assert_eq!(link.peers.len(), 1, "who has no id is nobody");
        assert_eq!(read("magnet:?xt=urn:btih:00&dn=x"), Err(FileLinkError::NoTopic));
        assert_eq!(read("magnet:?xt=urn:blake3:00"), Err(FileLinkError::Hash));
        assert_eq!(read("magnet:"), Err(FileLinkError::Scheme));
    }

    #[test]
    fn what_is_wrong_with_a_link_is_named() {
        let id = ServentId([9; 32]);
        let many = ["10.0.0.7:1"; Contact::MAX_ADDRESSES + 1].join(",");
        let peers: String =
            (0..9).map(|byte| format!("&peer={}@10.0.0.7:1", ServentId([byte; 32]))).collect();
        let cases = [
            ("name=%2", "'%' of the link's name="),
            ("name=%+1", "'%' of the link's name="),
            ("name=%ff", "not UTF-8"),
            ("name=", "name= of the link is empty"),
            (&format!("name={}", "x".repeat(256)), "longer than 255"),
            ("name=a&name=b", "two different parts name="),
            ("size=+1", "size= of the link is no number"),
            ("size=", "size= of the link is no number"),
            (&format!("size={}", MAX_FILE + 1), "size= of the link is no number"),
            ("folder=3", "folder= of the link is not FILES,BYTES"),
            ("folder=3,x", "folder= of the link is not FILES,BYTES"),
            ("peer=10.0.0.7:7272", "peer 1 of the link does not begin"),
            ("peer=me@10.0.0.7:7272", "peer 1 of the link does not begin"),
            (&format!("peer={id}@10.0.0.7:1&peer={id}@"), "peer 2 of the link has an address"),
            (&format!("peer={id}@attic:7272"), "peer 1 of the link has an address"),
            (&format!("peer={id}@10.0.0.7:0"), "peer 1 of the link has an address"),
            (&format!("peer={id}@0.0.0.0:7"), "peer 1 of the link has an address"),
            (&format!("peer={id}@{many}"), "peer 1 of the link has more than 8"),
            (&peers, "more than 8 peers"),
        ];
        for (query, part) in cases {
            let error = read(&format!("part2part:{}?{query}", hash())).unwrap_err().to_string();
            assert!(error.contains(part), "{query:?}: {error}");
        }
        for (text, error) in [
            ("http://x", FileLinkError::Scheme),
            ("part2part:", FileLinkError::Hash),
            ("part2part:abc?size=1", FileLinkError::Hash),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
        let long = format!("part2part:{}?x={}", hash(), "x".repeat(MAX_LINK));
        assert_eq!(read(&long), Err(FileLinkError::TooLong));
        assert!(FileLink::is_meant("Magnet:x") && FileLink::is_meant("part2part:"));
        assert!(!FileLink::is_meant("part2part") && !FileLink::is_meant("é".repeat(9).as_str()));
    }

    fn peers() -> impl Strategy<Value = Vec<Contact>> {
        let address = (any::<IpAddr>(), 1..=u16::MAX).prop_map(SocketAddr::from);
        let address = address.prop_filter("an address", is_usable);
        let addresses = prop::collection::vec(address, 1..=Contact::MAX_ADDRESSES);
        let peer = (any::<[u8; 32]>(), addresses)
            .prop_map(|(id, addresses)| Contact::new(ServentId(id), addresses));
        prop::collection::vec(peer, 0..=MAX_LINK_PEERS).prop_filter("different", |peers| {
            (1..peers.len()).all(|at| !peers[..at].iter().any(|peer| peer.id == peers[at].id))
        })
    }

    proptest! {
        #[test]
        fn every_link_and_every_magnet_reads_back(
            id in any::<[u8; 32]>().prop_map(ContentId),
            name in prop::option::of("\\PC{1,60}|[\\x00-\\x7f]{1,255}"),
            size in prop::option::of(0..=MAX_FILE),
            folder in prop::option::of(any::<(u64, u64)>()),
            peers in peers(),
        ) {
            let link = FileLink { id, name, size, folder, peers };
            for text in [link.to_string(), link.magnet()] {
                prop_assert!(text.len() <= MAX_LINK, "{}", text.len());
                prop_assert!(text.is_ascii() && !text.contains(char::is_whitespace));
                prop_assert!(FileLink::is_meant(&text));
                prop_assert_eq!(read(&text).unwrap(), link.clone());
            }
        }

        #[test]
        fn whatever_is_pasted_is_a_link_or_a_sentence(
            text in "(part2part:|magnet:\\?xt=urn:blake3:)?(\\PC|[?&=%@+]|name|size|peer){0,80}"
        ) {
            if let Ok(link) = read(&text) {
                prop_assert_eq!(read(&link.to_string()), Ok(link));
            }
        }
    }
}

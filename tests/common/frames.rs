//! Frames written and read from the page of the protocol alone, without the code under
//! test: a mistake in `wire` cannot hide behind the same mistake here.

use std::net::{IpAddr, SocketAddr};

pub const HELLO: u8 = 0x01;
pub const WELCOME: u8 = 0x02;
pub const REDIRECT: u8 = 0x03;
pub const PING: u8 = 0x10;
pub const PONG: u8 = 0x11;
pub const BYE: u8 = 0x12;
pub const FORWARD_JOIN: u8 = 0x13;
pub const SHUFFLE: u8 = 0x15;
pub const SHUFFLE_REPLY: u8 = 0x16;
pub const DIAL_BACK: u8 = 0x17;
pub const DIALLED_BACK: u8 = 0x18;
pub const QUERY: u8 = 0x20;
pub const QUERY_HIT: u8 = 0x21;
pub const QUERY_DONE: u8 = 0x22;
pub const CALL_ME: u8 = 0x23;
pub const DESCRIBE: u8 = 0x30;
pub const MANIFEST: u8 = 0x31;
pub const REQUEST: u8 = 0x32;
pub const DATA: u8 = 0x33;
pub const CANCEL: u8 = 0x34;
pub const QUEUED: u8 = 0x35;
pub const REFUSED: u8 = 0x36;
pub const HAVE: u8 = 0x37;
pub const SOURCES: u8 = 0x38;
pub const THANKS: u8 = 0x39;
pub const BROWSE: u8 = 0x3a;
pub const LISTING: u8 = 0x3b;

/// One frame, honest or not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub body: Vec<u8>,
}

impl Frame {
    fn new(kind: u8, body: Put) -> Self {
        Self { kind, flags: 0, body: body.0 }
    }

    /// Header and body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = (self.body.len() as u32).to_be_bytes().to_vec();
        bytes.extend([self.kind, self.flags]);
        bytes.extend(&self.body);
        bytes
    }

    /// The body, to be read in order; the frame must be of this kind.
    pub fn open(&self, kind: u8) -> Take<'_> {
        assert_eq!(self.kind, kind, "another kind than expected: {self:02x?}");
        Take(&self.body)
    }
}

/// Writes values as the protocol says.
#[derive(Default)]
pub struct Put(pub Vec<u8>);

impl Put {
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend(bytes);
        self
    }

    pub fn int(mut self, number: u64) -> Self {
        let little = number.to_le_bytes();
        let (mark, width) = match number {
            0..=250 => (None, 1),
            251..=0xffff => (Some(0xfb), 2),
            0x1_0000..=0xffff_ffff => (Some(0xfc), 4),
            _ => (Some(0xfd), 8),
        };
        self.0.extend(mark);
        self.0.extend(little.iter().take(width));
        self
    }

    pub fn bool(self, flag: bool) -> Self {
        self.raw(&[u8::from(flag)])
    }

    pub fn text(self, text: &str) -> Self {
        self.int(text.len() as u64).raw(text.as_bytes())
    }

    pub fn list<T>(self, items: &[T], each: impl Fn(Self, &T) -> Self) -> Self {
        items.iter().fold(self.int(items.len() as u64), each)
    }

    pub fn address(self, address: &SocketAddr) -> Self {
        let put = match address.ip() {
            IpAddr::V4(ip) => self.int(0).raw(&ip.octets()),
            IpAddr::V6(ip) => self.int(1).raw(&ip.octets()),
        };
        put.int(u64::from(address.port()))
    }

    pub fn contact(self, contact: &FakeContact) -> Self {
        let put = self.raw(&contact.id).list(&contact.addresses, Self::address);
        put.int(u64::from(contact.age_secs))
    }

    pub fn ranges(self, ranges: &[(u32, u32)]) -> Self {
        self.list(ranges, |put, &(first, count)| put.int(first.into()).int(count.into()))
    }

    /// The extensions that every body ends with: none.
    pub fn end(self) -> Self {
        self.int(0)
    }
}

/// Reads values as the protocol says; fails the test on anything else.
#[derive(Debug)]
pub struct Take<'a>(pub &'a [u8]);

impl<'a> Take<'a> {
    pub fn raw(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(len).expect("more bytes in the body");
        self.0 = rest;
        taken
    }

    pub fn array<const N: usize>(&mut self) -> [u8; N] {
        self.raw(N).try_into().expect("N bytes were taken")
    }

    pub fn byte(&mut self) -> u8 {
        let [byte] = self.array();
        byte
    }

    pub fn int(&mut self) -> u64 {
        match self.byte() {
            0xfb => u64::from(u16::from_le_bytes(self.array())),
            0xfc => u64::from(u32::from_le_bytes(self.array())),
            0xfd => u64::from_le_bytes(self.array()),
            small @ 0..=250 => u64::from(small),
            other => panic!("no integer begins with {other:02x}"),
        }
    }

    pub fn number<T: TryFrom<u64>>(&mut self) -> T {
        T::try_from(self.int()).ok().expect("an integer within its range")
    }

    pub fn bool(&mut self) -> bool {
        match self.byte() {
            0 => false,
            1 => true,
            other => panic!("no bool is {other:02x}"),
        }
    }

    pub fn text(&mut self) -> String {
        let len = self.number();
        String::from_utf8(self.raw(len).to_vec()).expect("UTF-8")
    }

    pub fn list<T>(&mut self, mut each: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.int()).map(|_| each(self)).collect()
    }

    pub fn address(&mut self) -> SocketAddr {
        let ip = match self.int() {
            0 => IpAddr::from(self.array::<4>()),
            1 => IpAddr::from(self.array::<16>()),
            other => panic!("no address family {other}"),
        };
        SocketAddr::new(ip, self.number())
    }

    pub fn contact(&mut self) -> FakeContact {
        FakeContact {
            id: self.array(),
            addresses: self.list(Self::address),
            age_secs: self.number(),
        }
    }

    pub fn ranges(&mut self) -> Vec<(u32, u32)> {
        self.list(|take| (take.number(), take.number()))
    }

    /// Extensions: tags and what stands behind them.
    pub fn extensions(&mut self) -> Vec<(u16, Vec<u8>)> {
        self.list(|take| {
            let tag = take.number();
            let len = take.number();
            (tag, take.raw(len).to_vec())
        })
    }

    /// The extensions, and then nothing more.
    pub fn end(mut self) {
        self.extensions();
        assert!(self.0.is_empty(), "bytes left over: {:02x?}", self.0);
    }
}

/// An aged contact.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FakeContact {
    pub id: [u8; 32],
    pub addresses: Vec<SocketAddr>,
    pub age_secs: u32,
}

/// What a dialler says that it wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FakePurpose {
    Join,
    Refill { isolated: bool },
    Manual,
    Probe,
    Transfer { token: Option<[u8; 16]> },
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FakeHello {
    pub version: u16,
    pub features: u64,
    pub purpose: FakePurpose,
    pub listen_port: u16,
    pub addresses: Vec<SocketAddr>,
    pub agent: String,
    pub name: String,
}

impl FakeHello {
    /// An honest hello of a servent that listens nowhere.
    pub fn new(purpose: FakePurpose) -> Self {
        Self {
            version: 1,
            features: 0,
            purpose,
            listen_port: 0,
            addresses: vec![],
            agent: "fake".into(),
            name: "fake".into(),
        }
    }

    pub fn frame(&self) -> Frame {
        let put = Put::default().int(self.version.into()).int(self.features);
        let put = match self.purpose {
            FakePurpose::Join => put.int(0),
            FakePurpose::Refill { isolated } => put.int(1).bool(isolated),
            FakePurpose::Manual => put.int(2),
            FakePurpose::Probe => put.int(3),
            FakePurpose::Transfer { token: None } => put.int(4).raw(&[0]),
            FakePurpose::Transfer { token: Some(token) } => put.int(4).raw(&[1]).raw(&token),
        };
        let put = put.int(self.listen_port.into()).list(&self.addresses, Put::address);
        Frame::new(HELLO, put.text(&self.agent).text(&self.name).end())
    }

    pub fn read(frame: &Frame) -> Self {
        let mut take = frame.open(HELLO);
        let (version, features) = (take.number(), take.int());
        let purpose = match take.int() {
            0 => FakePurpose::Join,
            1 => FakePurpose::Refill { isolated: take.bool() },
            2 => FakePurpose::Manual,
            3 => FakePurpose::Probe,
            4 => FakePurpose::Transfer { token: take.bool().then(|| take.array()) },
            other => panic!("no purpose {other}"),
        };
        let listen_port = take.number();
        let addresses = take.list(Take::address);
        let (agent, name) = (take.text(), take.text());
        take.end();
        Self { version, features, purpose, listen_port, addresses, agent, name }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FakeWelcome {
    pub your_address: SocketAddr,
    pub contacts: Vec<FakeContact>,
}

impl FakeWelcome {
    pub fn frame(&self) -> Frame {
        let put = Put::default().address(&self.your_address);
        Frame::new(WELCOME, put.list(&self.contacts, Put::contact).end())
    }

    pub fn read(frame: &Frame) -> Self {
        let mut take = frame.open(WELCOME);
        let (your_address, contacts) = (take.address(), take.list(Take::contact));
        take.end();
        Self { your_address, contacts }
    }
}

/// The contacts in a redirect, shuffle or shuffle reply.
pub fn read_contacts(frame: &Frame) -> Vec<FakeContact> {
    let mut take = frame.open(frame.kind);
    let contacts = take.list(Take::contact);
    take.end();
    contacts
}

/// A redirect, shuffle or shuffle reply.
pub fn contacts(kind: u8, contacts: &[FakeContact]) -> Frame {
    Frame::new(kind, Put::default().list(contacts, Put::contact).end())
}

/// A ping or pong.
pub fn nonce(kind: u8, nonce: u64) -> Frame {
    Frame::new(kind, Put::default().int(nonce).end())
}

pub fn read_nonce(frame: &Frame) -> u64 {
    let mut take = frame.open(frame.kind);
    let nonce = take.int();
    take.end();
    nonce
}

/// A bye; reason 0 leaving, 1 full, 2 replaced, 3 misbehaved, 4 too slow.
pub fn bye(reason: u64, contacts: &[FakeContact]) -> Frame {
    Frame::new(BYE, Put::default().int(reason).list(contacts, Put::contact).end())
}

pub fn read_bye(frame: &Frame) -> (u64, Vec<FakeContact>) {
    let mut take = frame.open(BYE);
    let said = (take.int(), take.list(Take::contact));
    take.end();
    said
}

pub fn forward_join(newcomer: &FakeContact, walk: u8) -> Frame {
    Frame::new(FORWARD_JOIN, Put::default().contact(newcomer).raw(&[walk]).end())
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FakeQuery {
    pub guid: [u8; 16],
    pub ttl: u8,
    pub hops: u8,
    pub text: String,
}

impl FakeQuery {
    pub fn frame(&self) -> Frame {
        let put = Put::default().raw(&self.guid).raw(&[self.ttl, self.hops]);
        Frame::new(QUERY, put.text(&self.text).end())
    }

    pub fn read(frame: &Frame) -> Self {
        let mut take = frame.open(QUERY);
        let (guid, ttl, hops, text) = (take.array(), take.byte(), take.byte(), take.text());
        take.end();
        Self { guid, ttl, hops, text }
    }
}

/// One file in a hit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FakeFile {
    pub id: [u8; 32],
    pub size: u64,
    pub name: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FakeHit {
    pub guid: [u8; 16],
    pub hops: u8,
    pub responder: [u8; 32],
    pub addresses: Vec<SocketAddr>,
    pub name: String,
    pub unreachable: bool,
    pub files: Vec<FakeFile>,
    pub more: bool,
}

impl FakeHit {
    pub fn frame(&self) -> Frame {
        let put = Put::default().raw(&self.guid).raw(&[0, self.hops]).raw(&self.responder);
        let put = put.raw(&[self.files.len() as u8]).list(&self.addresses, Put::address);
        let put = put.text(&self.name).bool(self.unreachable);
        let put = put
            .list(&self.files, |put, file| put.raw(&file.id).int(file.size).text(&file.name).end());
        Frame::new(QUERY_HIT, put.bool(self.more).end())
    }

    pub fn read(frame: &Frame) -> Self {
        let mut take = frame.open(QUERY_HIT);
        let guid = take.array();
        assert_eq!(take.byte(), 0, "the ttl of a hit");
        let (hops, responder, count) = (take.byte(), take.array(), take.byte());
        let addresses = take.list(Take::address);
        let (name, unreachable) = (take.text(), take.bool());
        let files = take.list(|take| {
            let file = FakeFile { id: take.array(), size: take.int(), name: take.text() };
            take.extensions();
            file
        });
        assert_eq!(files.len(), usize::from(count), "the count of a hit");
        let more = take.bool();
        take.end();
        Self { guid, hops, responder, addresses, name, unreachable, files, more }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FakeDone {
    pub guid: [u8; 16],
    pub asked: u32,
    pub lost: u32,
}

impl FakeDone {
    pub fn frame(&self) -> Frame {
        let put = Put::default().raw(&self.guid).int(self.asked.into());
        Frame::new(QUERY_DONE, put.int(self.lost.into()).end())
    }

    pub fn read(frame: &Frame) -> Self {
        let mut take = frame.open(QUERY_DONE);
        let done = Self { guid: take.array(), asked: take.number(), lost: take.number() };
        take.end();
        done
    }
}

/// Asks to be dialled at this port.
pub fn dial_back(port: u16) -> Frame {
    Frame { flags: 1, ..Frame::new(DIAL_BACK, Put::default().int(port.into()).end()) }
}

/// The outcome in a dialled back: 0 reached, 1 not reached, 2 not tried.
pub fn read_outcome(frame: &Frame) -> u64 {
    let mut take = frame.open(DIALLED_BACK);
    let outcome = take.int();
    take.end();
    outcome
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FakeCall {
    pub guid: [u8; 16],
    pub responder: [u8; 32],
    pub asker: [u8; 32],
    pub addresses: Vec<SocketAddr>,
    pub token: [u8; 16],
}

impl FakeCall {
    pub fn frame(&self) -> Frame {
        let put = Put::default().raw(&self.guid).raw(&self.responder).raw(&self.asker);
        let put = put.list(&self.addresses, Put::address).raw(&self.token).end();
        Frame { flags: 1, ..Frame::new(CALL_ME, put) }
    }

    pub fn read(frame: &Frame) -> Self {
        let mut take = frame.open(CALL_ME);
        let (guid, responder, asker) = (take.array(), take.array(), take.array());
        let (addresses, token) = (take.list(Take::address), take.array());
        take.end();
        Self { guid, responder, asker, addresses, token }
    }
}

pub fn describe(id: &[u8; 32], part: u32) -> Frame {
    Frame::new(DESCRIBE, Put::default().raw(id).int(part.into()).end())
}

pub fn read_describe(frame: &Frame) -> ([u8; 32], u32) {
    let mut take = frame.open(DESCRIBE);
    let asked = (take.array(), take.number());
    take.end();
    asked
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FakeManifest {
    pub id: [u8; 32],
    pub size: u64,
    pub part: u32,
    pub values: Vec<[u8; 32]>,
}

impl FakeManifest {
    pub fn frame(&self) -> Frame {
        let put = Put::default().raw(&self.id).int(self.size).int(self.part.into());
        Frame::new(MANIFEST, put.list(&self.values, |put, value| put.raw(value)).end())
    }

    pub fn read(frame: &Frame) -> Self {
        let mut take = frame.open(MANIFEST);
        let (id, size, part) = (take.array(), take.int(), take.number());
        let values = take.list(Take::array);
        take.end();
        Self { id, size, part, values }
    }
}

/// A request or cancel: ranges of (first, count).
pub fn ranges(kind: u8, id: &[u8; 32], ranges: &[(u32, u32)]) -> Frame {
    Frame::new(kind, Put::default().raw(id).ranges(ranges).end())
}

pub fn read_ranges(frame: &Frame) -> ([u8; 32], Vec<(u32, u32)>) {
    let mut take = frame.open(frame.kind);
    let asked = (take.array(), take.ranges());
    take.end();
    asked
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FakeData {
    pub id: [u8; 32],
    pub piece: u32,
    pub offset: u32,
    pub bytes: Vec<u8>,
}

impl FakeData {
    pub fn frame(&self) -> Frame {
        let put = Put::default().raw(&self.id).raw(&self.piece.to_be_bytes());
        Frame::new(DATA, put.raw(&self.offset.to_be_bytes()).raw(&self.bytes))
    }

    pub fn read(frame: &Frame) -> Self {
        let mut take = frame.open(DATA);
        let id = take.array();
        let (piece, offset) = (u32::from_be_bytes(take.array()), u32::from_be_bytes(take.array()));
        Self { id, piece, offset, bytes: take.0.to_vec() }
    }
}

pub fn queued(id: &[u8; 32], position: u32) -> Frame {
    Frame::new(QUEUED, Put::default().raw(id).int(position.into()).end())
}

/// A refusal; reason 0 not here, 1 withdrawn, 2 changed, 3 unreadable, 4 busy, 5 bad request.
pub fn refused(id: &[u8; 32], reason: u64) -> Frame {
    Frame::new(REFUSED, Put::default().raw(id).int(reason).end())
}

pub fn thanks(id: &[u8; 32]) -> Frame {
    Frame { flags: 1, ..Frame::new(THANKS, Put::default().raw(id).end()) }
}

/// Pieces of a file of `count`: here (0), or given to others (1).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FakeHave {
    pub id: [u8; 32],
    pub count: u32,
    pub holding: u64,
    pub first: u32,
    pub bits: Vec<u8>,
}

impl FakeHave {
    pub fn frame(&self) -> Frame {
        let put = Put::default().raw(&self.id).int(self.count.into()).int(self.holding);
        let put = put.int(self.first.into()).list(&self.bits, |put, byte| put.raw(&[*byte]));
        Frame { flags: 1, ..Frame::new(HAVE, put.end()) }
    }

    pub fn read(frame: &Frame) -> Self {
        let mut take = frame.open(HAVE);
        let (id, count, holding, first) = (take.array(), take.number(), take.int(), take.number());
        let bits = take.list(Take::byte);
        take.end();
        Self { id, count, holding, first, bits }
    }
}

/// Others who have pieces: (id, where).
pub fn sources(id: &[u8; 32], others: &[([u8; 32], SocketAddr)]) -> Frame {
    let put = Put::default().raw(id);
    let put = put.list(others, |put, (other, at)| put.raw(other).list(&[*at], Put::address));
    Frame { flags: 1, ..Frame::new(SOURCES, put.end()) }
}

/// The id and the number (a position, a reason) in a queued or refused.
pub fn read_answer(frame: &Frame) -> ([u8; 32], u64) {
    let mut take = frame.open(frame.kind);
    let said = (take.array(), take.int());
    take.end();
    said
}

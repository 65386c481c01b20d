//! The router's answers to PCP (RFC 6887) and NAT-PMP (RFC 6886), by hand.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::house::House;

/// What the router is called outside.
pub(crate) const OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 9);
const PORT: u16 = 5351;
const TCP: u8 = 6;
const OK: u8 = 0;
const UNSUPPORTED_VERSION: u8 = 1;
const NOT_AUTHORIZED: u8 = 2;

/// How the router is minded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// It speaks PCP.
    Pcp,
    /// It is older than that.
    NatPmp,
    /// It speaks both, and grants nothing.
    Refusing,
    /// It hears and says nothing.
    Silent,
    /// It answers with a few bytes of anything.
    Raving,
}

/// A port that is passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Mapping {
    pub(crate) outside: u16,
    /// By whom, in PCP.
    nonce: [u8; 12],
    /// How often it was asked for.
    pub(crate) asked: usize,
}

#[derive(Debug)]
struct State {
    manner: Manner,
    life: u32,
    /// What is passed on, by the inner end.
    mappings: BTreeMap<(IpAddr, u16), Mapping>,
    heard: usize,
}

/// The router's side of it, on a thread.
pub(crate) struct Gateway {
    state: Arc<Mutex<State>>,
    done: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Gateway {
    /// Grants a life of so many seconds.
    pub(crate) fn start(house: &House, manner: Manner, life: u32) -> Self {
        let socket = house.on(None, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap());
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let state =
            Arc::new(Mutex::new(State { manner, life, mappings: BTreeMap::new(), heard: 0 }));
        let done = Arc::new(AtomicBool::new(false));
        let (shared, over) = (Arc::clone(&state), Arc::clone(&done));
        let thread = thread::spawn(move || {
            let mut packet = [0; 1_100];
            while !over.load(Ordering::Relaxed) {
                if let Ok((len, from)) = socket.recv_from(&mut packet)
                    && let Some(answer) = shared.lock().unwrap().answer(&packet[..len], from)
                {
                    let _ = socket.send_to(&answer, from);
                }
            }
        });
        Self { state, done, thread: Some(thread) }
    }

    /// What it passes on to this inner address.
    pub(crate) fn mapping(&self, host: Ipv4Addr, port: u16) -> Option<Mapping> {
        self.state.lock().unwrap().mappings.get(&(host.into(), port)).copied()
    }

    /// How many requests it has heard.
    pub(crate) fn heard(&self) -> usize {
        self.state.lock().unwrap().heard
    }

    pub(crate) fn become_minded(&self, manner: Manner) {
        self.state.lock().unwrap().manner = manner;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(thread::panicking() || matches!(ended, Some(Ok(()))), "the gateway panicked");
    }
}

impl State {
    fn answer(&mut self, request: &[u8], from: SocketAddr) -> Option<Vec<u8>> {
        self.heard += 1;
        match (self.manner, request[0]) {
            (Manner::Silent, _) => None,
            (Manner::Raving, _) => Some(vec![2, 0x81, 0, 0, 0xff]),
            (Manner::NatPmp, 2) => Some(vec![0, 0x80, 0, UNSUPPORTED_VERSION, 0, 0, 0, 9]),
            (_, 2) => Some(self.pcp(request, from)),
            (_, 0) => Some(self.nat_pmp(request, from)),
            _ => None,
        }
    }

    fn pcp(&mut self, request: &[u8], from: SocketAddr) -> Vec<u8> {
        assert_eq!((request.len(), request[1], request[36]), (60, 1, TCP), "{request:?}");
        let SocketAddr::V4(from) = from else { panic!("{from}") };
        assert_eq!(request[8..24], from.ip().to_ipv6_mapped().octets(), "the client's address");
        let inner = u16::from_be_bytes([request[40], request[41]]);
        let wanted = u16::from_be_bytes([request[42], request[43]]);
        let life = u32::from_be_bytes([request[4], request[5], request[6], request[7]]);
        let nonce: [u8; 12] = request[24..36].try_into().unwrap();
        let place = ((*from.ip()).into(), inner);
        let others = self.mappings.get(&place).is_some_and(|mapping| mapping.nonce != nonce);
        let (result, life) = match self.manner {
            Manner::Refusing => (NOT_AUTHORIZED, 30),
            // Somebody else's mapping is not touched.
            _ if others => (NOT_AUTHORIZED, 30),
            _ => (OK, if life == 0 { 0 } else { self.life }),
        };
        let mut outside = wanted;
        if result == OK && life == 0 {
            self.mappings.remove(&place);
        } else if result == OK {
            let new = Mapping { outside: outside_port(inner), nonce, asked: 0 };
            let mapping = self.mappings.entry(place).or_insert(new);
            mapping.asked += 1;
            outside = mapping.outside;
        }
        let mut answer = vec![2, 0x81, 0, result];
        answer.extend(life.to_be_bytes());
        answer.extend([0, 0, 0, 9]);
        answer.extend([0; 12]);
        answer.extend(&request[24..42]);
        answer.extend(outside.to_be_bytes());
        answer.extend(OUTSIDE.to_ipv6_mapped().octets());
        answer
    }

    fn nat_pmp(&mut self, request: &[u8], from: SocketAddr) -> Vec<u8> {
        let refuses = self.manner == Manner::Refusing;
        let result = if refuses { NOT_AUTHORIZED } else { OK };
        let mut answer = vec![0, 0x80 | request[1], 0, result, 0, 0, 0, 9];
        if request[1] == 0 {
            answer.extend(OUTSIDE.octets());
            return answer;
        }
        assert_eq!((request.len(), request[1]), (12, 2), "a TCP port is wanted: {request:?}");
        let inner = u16::from_be_bytes([request[4], request[5]]);
        let life = u32::from_be_bytes([request[8], request[9], request[10], request[11]]);
        let place = (from.ip(), inner);
        let (mut outside, mut granted) = (0, 0);
        if life == 0 {
            self.mappings.remove(&place);
        } else if !refuses {
            let new = Mapping { outside: outside_port(inner), nonce: [0; 12], asked: 0 };
            let mapping = self.mappings.entry(place).or_insert(new);
            mapping.asked += 1;
            (outside, granted) = (mapping.outside, self.life);
        }
        answer.extend(inner.to_be_bytes());
        answer.extend(outside.to_be_bytes());
        answer.extend(granted.to_be_bytes());
        answer
    }
}

/// Never the port that was asked for, so that what is told can be told apart.
fn outside_port(inner: u16) -> u16 {
    inner + 30_000
}

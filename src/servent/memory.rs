//! A network within the process, for tests of the driver without a socket.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::sync::{broadcast, mpsc};

use super::lan::{Announcement, Found, Lan, Sighting};
use super::network::{Boxed, Listener, Network, Stream};
use super::port_map::{Granted, Router, Unmapped};
use super::report::MappedBy;
use crate::base::ServentId;

/// Bytes under way in one direction of a connection, like a small socket buffer.
const WINDOW: usize = 64 * 1024;
/// Connections waiting to be accepted.
const BACKLOG: usize = 128;
/// Announcements that a host may be behind.
const ANNOUNCEMENTS: usize = 64;

/// Hosts that reach each other through memory; clones are the same network, seen from
/// other addresses.
#[derive(Clone, Debug)]
pub struct MemoryNetwork {
    own: IpAddr,
    listeners: Arc<Mutex<BTreeMap<SocketAddr, mpsc::Sender<Arrival>>>>,
    announced: Arc<Mutex<BTreeMap<ServentId, Found>>>,
    announcements: broadcast::Sender<Sighting>,
    router: Arc<Mutex<RouterState>>,
}

/// What an imitated router does, and was asked.
#[derive(Default, Debug)]
struct RouterState {
    /// What it grants; none: it says nothing.
    outside: Option<SocketAddr>,
    asked: usize,
    given_back: usize,
}

struct MemoryRouter(Arc<Mutex<RouterState>>);

type Arrival = (DuplexStream, SocketAddr);

/// All hosts are on one local network.
struct MemoryLan {
    own: ServentId,
    announced: Arc<Mutex<BTreeMap<ServentId, Found>>>,
    /// Who was there before.
    before: Vec<Found>,
    announcements: broadcast::Receiver<Sighting>,
    all: broadcast::Sender<Sighting>,
}

struct MemoryListener {
    address: SocketAddr,
    arrivals: mpsc::Receiver<Arrival>,
}

impl MemoryNetwork {
    /// A network, seen from 198.18.0.1.
    #[must_use]
    pub fn new() -> Self {
        Self {
            own: Ipv4Addr::new(198, 18, 0, 1).into(),
            listeners: Arc::default(),
            announced: Arc::default(),
            announcements: broadcast::channel(ANNOUNCEMENTS).0,
            router: Arc::default(),
        }
    }

    /// From now on its router, 198.18.0.254, grants `outside`, for two hours each time.
    pub fn route(&self, outside: Option<SocketAddr>) {
        self.router.lock().unwrap_or_else(PoisonError::into_inner).outside = outside;
    }

    /// How often its router was asked for a port, and was given one back.
    #[must_use]
    pub fn routed(&self) -> (usize, usize) {
        let router = self.router.lock().unwrap_or_else(PoisonError::into_inner);
        (router.asked, router.given_back)
    }

    /// The same network, seen from `own`.
    #[must_use]
    pub fn at(&self, own: IpAddr) -> Self {
        Self { own, ..self.clone() }
    }
}

impl Default for MemoryNetwork {
    fn default() -> Self {
        Self::new()
    }
}

impl Network for MemoryNetwork {
    fn dial(&self, to: SocketAddr, from: Option<IpAddr>) -> Boxed<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
            let listener = listeners.get(&to).ok_or(io::ErrorKind::ConnectionRefused)?;
            let (near, far) = tokio::io::duplex(WINDOW);
            let from = SocketAddr::new(from.unwrap_or(self.own), 40_000);
            listener.try_send((far, from)).map_err(|_| io::ErrorKind::ConnectionRefused)?;
            Ok(Box::new(near) as Box<dyn Stream>)
        })
    }

    fn listen(&self, at: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let mut listeners = self.listeners.lock().unwrap_or_else(PoisonError::into_inner);
        let ip = if at.ip().is_unspecified() { self.own } else { at.ip() };
        let taken = |port: u16| {
            let taken = listeners.get(&SocketAddr::new(ip, port));
            taken.is_some_and(|listener| !listener.is_closed())
        };
        let port =
            if at.port() == 0 { (7272..).find(|&port| !taken(port)) } else { Some(at.port()) };
        let port = port.filter(|&port| !taken(port)).ok_or(io::ErrorKind::AddrInUse)?;
        let address = SocketAddr::new(ip, port);
        let (send, arrivals) = mpsc::channel(BACKLOG);
        listeners.insert(address, send);
        Ok(Box::new(MemoryListener { address, arrivals }))
    }

    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let ip: IpAddr = host.parse().map_err(|_| io::ErrorKind::NotFound)?;
            Ok(vec![SocketAddr::new(ip, port)])
        })
    }

    fn interfaces(&self) -> Vec<IpAddr> {
        vec![self.own]
    }

    fn lan(&self, announcement: &Announcement) -> io::Result<Box<dyn Lan>> {
        let Announcement { id, port, addresses } = announcement;
        let own = if addresses.is_empty() { vec![self.own] } else { addresses.clone() };
        let addresses = own.into_iter().map(|ip| SocketAddr::new(ip, *port)).collect();
        let found = Found { id: *id, addresses };
        let announcements = self.announcements.subscribe();
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        let before = announced.values().cloned().collect();
        announced.insert(*id, found.clone());
        // Nobody else may be looking.
        let _ = self.announcements.send(Sighting::Here(found));
        let (announced, all) = (Arc::clone(&self.announced), self.announcements.clone());
        Ok(Box::new(MemoryLan { own: *id, announced, before, announcements, all }))
    }

    fn router(&self, _: [u8; 32]) -> Box<dyn Router> {
        Box::new(MemoryRouter(Arc::clone(&self.router)))
    }
}

impl Router for MemoryRouter {
    fn address(&self) -> Option<IpAddr> {
        Some(Ipv4Addr::new(198, 18, 0, 254).into())
    }

    fn map(&mut self, _: NonZeroU16) -> Boxed<'_, Result<Granted, Unmapped>> {
        let router = self.address().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.asked += 1;
        let granted = state.outside.ok_or(Unmapped::Silent(router)).map(|outside| {
            let life = Duration::from_secs(7_200);
            Granted { outside, by: MappedBy::Pcp, router, life }
        });
        Box::pin(async { granted })
    }

    fn unmap(&mut self) -> Boxed<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).given_back += 1;
        Box::pin(async {})
    }
}

impl Lan for MemoryLan {
    fn next(&mut self) -> Boxed<'_, io::Result<Sighting>> {
        Box::pin(async {
            match self.before.pop() {
                Some(found) => Ok(Sighting::Here(found)),
                None => self.announcements.recv().await.map_err(io::Error::other),
            }
        })
    }

    fn leave(&mut self) -> Boxed<'_, ()> {
        let mut announced = self.announced.lock().unwrap_or_else(PoisonError::into_inner);
        announced.remove(&self.own);
        let _ = self.all.send(Sighting::Gone(self.own));
        Box::pin(async {})
    }
}

impl Listener for MemoryListener {
    fn accept(&mut self) -> Boxed<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = self.arrivals.recv().await.ok_or(io::ErrorKind::BrokenPipe)?;
            Ok((Box::new(stream) as Box<dyn Stream>, from))
        })
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

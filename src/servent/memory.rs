//! A network within the process, for tests of the driver without a socket.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::DuplexStream;
use tokio::sync::mpsc;

use super::network::{Boxed, Listener, Network, Stream};

/// Bytes under way in one direction of a connection, like a small socket buffer.
const WINDOW: usize = 64 * 1024;
/// Connections waiting to be accepted.
const BACKLOG: usize = 128;

/// Hosts that reach each other through memory; clones are the same network, seen from
/// other addresses.
#[derive(Clone, Debug)]
pub struct MemoryNetwork {
    own: IpAddr,
    listeners: Arc<Mutex<BTreeMap<SocketAddr, mpsc::Sender<Arrival>>>>,
}

type Arrival = (DuplexStream, SocketAddr);

struct MemoryListener {
    address: SocketAddr,
    arrivals: mpsc::Receiver<Arrival>,
}

impl MemoryNetwork {
    /// A network, seen from 198.18.0.1.
    #[must_use]
    pub fn new() -> Self {
        Self { own: Ipv4Addr::new(198, 18, 0, 1).into(), listeners: Arc::default() }
    }

    /// The same network, seen from `own`.
    #[must_use]
    pub fn at(&self, own: IpAddr) -> Self {
        Self { own, listeners: Arc::clone(&self.listeners) }
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

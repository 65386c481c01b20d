//! Dialling and listening, as the servent sees them.
//!
//! A trait, so that the whole driver can run without a socket: [`Internet`] is the real
//! thing, [`super::memory::MemoryNetwork`] an imitation within the process.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::lan::{Announcement, Lan};
use super::mdns::Mdns;
use super::port_map::Router;
use super::router::DefaultGateway;

/// Unacknowledged bytes are given up after this long: half a minute of a dead wire.
const USER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes that the kernel takes for a connection and has not sent yet. It would take megabytes,
/// and all that is said later waits behind them: those who take a file from one slow source
/// heard so late what it had given to the others that a fifth of it was sent twice.
const MAX_UNSENT: u32 = 256 * 1024;
/// Connections that the kernel keeps ready to be accepted.
const BACKLOG: u32 = 1024;

/// A future in a box, as traits with async methods need it to be used as objects.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A connection before anything is known of the other side.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// What makes connections.
pub trait Network: Send + Sync + 'static {
    /// Connects to `to`; from the address `from`, where one is named.
    fn dial(&self, to: SocketAddr, from: Option<IpAddr>) -> Boxed<'_, io::Result<Box<dyn Stream>>>;

    /// Listens at `at`; port 0 lets the system choose.
    ///
    /// # Errors
    /// The system's, when the address is taken or not ours.
    fn listen(&self, at: SocketAddr) -> io::Result<Box<dyn Listener>>;

    /// The addresses of a host name.
    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Boxed<'a, io::Result<Vec<SocketAddr>>>;

    /// The addresses of this machine, best first.
    fn interfaces(&self) -> Vec<IpAddr>;

    /// Announces a servent on the local network, and looks for others there.
    ///
    /// # Errors
    /// The system's.
    fn lan(&self, announcement: &Announcement) -> io::Result<Box<dyn Lan>>;

    /// The router of this machine, which will know it again by `secret`.
    fn router(&self, secret: [u8; 32]) -> Box<dyn Router>;
}

/// What takes connections.
pub trait Listener: Send {
    /// The next connection, and the address of its other end.
    fn accept(&mut self) -> Boxed<'_, io::Result<(Box<dyn Stream>, SocketAddr)>>;

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    fn local_address(&self) -> io::Result<SocketAddr>;
}

/// TCP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Internet;

impl Network for Internet {
    fn dial(&self, to: SocketAddr, from: Option<IpAddr>) -> Boxed<'_, io::Result<Box<dyn Stream>>> {
        Box::pin(async move {
            let socket = socket_for(to)?;
            if let Some(from) = from {
                socket.bind(SocketAddr::new(from, 0))?;
            }
            let stream = socket.connect(to).await?;
            prepare(&stream)?;
            Ok(Box::new(stream) as Box<dyn Stream>)
        })
    }

    fn listen(&self, at: SocketAddr) -> io::Result<Box<dyn Listener>> {
        let socket = socket_for(at)?;
        socket.set_reuseaddr(true)?;
        socket.bind(at)?;
        Ok(Box::new(socket.listen(BACKLOG)?))
    }

    fn resolve<'a>(&'a self, host: &'a str, port: u16) -> Boxed<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }

    fn interfaces(&self) -> Vec<IpAddr> {
        let mut found: Vec<IpAddr> = if_addrs::get_if_addrs()
            .unwrap_or_default()
            .into_iter()
            .filter(|interface| !interface.is_link_local())
            .map(|interface| interface.ip())
            .collect();
        // Loopback last: of use to nobody but servents on this machine.
        found.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6()));
        found
    }

    fn lan(&self, announcement: &Announcement) -> io::Result<Box<dyn Lan>> {
        Ok(Box::new(Mdns::start(announcement)?))
    }

    fn router(&self, secret: [u8; 32]) -> Box<dyn Router> {
        Box::new(DefaultGateway::new(secret))
    }
}

impl Listener for TcpListener {
    fn accept(&mut self) -> Boxed<'_, io::Result<(Box<dyn Stream>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = Self::accept(self).await?;
            // Reset before we came to it.
            prepare(&stream).map_err(|_| io::ErrorKind::ConnectionAborted)?;
            let from = SocketAddr::new(from.ip().to_canonical(), from.port());
            Ok((Box::new(stream) as Box<dyn Stream>, from))
        })
    }

    fn local_address(&self) -> io::Result<SocketAddr> {
        self.local_addr()
    }
}

fn socket_for(address: SocketAddr) -> io::Result<TcpSocket> {
    if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }
}

fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let millis = u32::try_from(USER_TIMEOUT.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(stream, millis)?;
    // Where it is not known there is more on the way, no worse.
    let _ = SockRef::from(stream).set_tcp_notsent_lowat(MAX_UNSENT);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_said_does_not_wait_behind_megabytes() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        prepare(&stream).unwrap();
        assert_eq!(SockRef::from(&stream).tcp_notsent_lowat().unwrap(), MAX_UNSENT);
    }
}

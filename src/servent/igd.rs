//! The router by UPnP: an Internet Gateway Device, versions 1 and 2.
//!
//! The library speaks to whoever answers its search, as long as he names himself; here the
//! search goes through a relay on loopback, which passes on what the default gateway
//! answers and nothing else, and the library trusts that address alone. So no answer can
//! send this machine to another one. Descriptions are read up to 1 MiB, no redirection is
//! followed, and no question takes longer than [`SEARCH`] or the library's 10 s. All of
//! this blocks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use igd_next::{
    AddAnyPortError, AddPortError, Gateway, GatewayIpVersion, PortMappingProtocol, SearchError,
    SearchOptions, search_gateway,
};

use super::port_map::LIFE;

/// Where routers listen for searches (SSDP).
const SSDP: (Ipv4Addr, u16) = (Ipv4Addr::new(239, 255, 255, 250), 1900);
/// What is searched for: both versions answer to the first.
const TARGETS: [&str; 3] = [
    "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];
/// Seconds over which routers may spread their answers.
const SPREAD: u8 = 1;
/// How long a search takes when nobody answers, descriptions included when somebody does.
const SEARCH: Duration = Duration::from_secs(5);
/// How often the relay sees whether it is still wanted.
const GLANCE: Duration = Duration::from_millis(100);
/// Longest answer to a search: a packet.
const MAX_ANSWER: usize = 1_500;
/// What the router shows its owner.
const DESCRIPTION: &str = "part2part";

/// Why there is no mapping.
pub(super) enum Failure {
    /// Nobody who could map ports answered.
    Silent,
    /// What the router said, as it stands in the middle of a sentence.
    Said(String),
}

/// A router that was found.
pub(super) struct Igd {
    gateway: Gateway,
    address: Ipv4Addr,
    /// The port that was mapped; 0: none.
    outside: AtomicU16,
}

impl Igd {
    /// Searches the default gateway; `here` is this machine's address on its side.
    pub(super) fn find(gateway: Ipv4Addr, here: Ipv4Addr) -> Result<Self, Failure> {
        let socket = |ip| UdpSocket::bind((ip, 0)).map_err(|_| Failure::Silent);
        let (near, far) = (socket(Ipv4Addr::LOCALHOST)?, socket(here)?);
        let mut options = SearchOptions::default();
        options.bind_addr = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        options.broadcast_address = near.local_addr().map_err(|_| Failure::Silent)?;
        options.timeout = Some(SEARCH);
        options.single_search_timeout = Some(SEARCH);
        options.gateway_ip_version = GatewayIpVersion::V4;
        options.allowed_gateway_ips = vec![gateway.into()];
        let done = AtomicBool::new(false);
        let found = thread::scope(|scope| {
            scope.spawn(|| relay(&near, &far, gateway, &done));
            let found = search_gateway(options);
            done.store(true, Ordering::Relaxed);
            found
        });
        match found {
            Ok(found) => Ok(Self { gateway: found, address: gateway, outside: AtomicU16::new(0) }),
            Err(SearchError::NoResponseWithinTimeout | SearchError::IoError(_)) => {
                Err(Failure::Silent)
            }
            Err(error) => Err(Failure::Said(short(&error))),
        }
    }

    pub(super) fn gateway(&self) -> Ipv4Addr {
        self.address
    }

    /// Maps a port to `own`, or renews the mapping; where strangers dial.
    pub(super) fn map(&self, own: SocketAddr) -> Result<SocketAddr, Failure> {
        let said = |error: &dyn ToString| Failure::Said(short(&error.to_string()));
        let ip = self.gateway.get_external_ip().map_err(|error| said(&error))?;
        let before = self.outside.load(Ordering::Relaxed);
        let wanted = if before == 0 { own.port() } else { before };
        let port = match self.add(wanted, own) {
            Ok(()) => wanted,
            Err(AddPortError::PortInUse) => match self.add_any(own) {
                Ok(port) => port,
                Err(error) => return Err(said(&error)),
            },
            Err(error) => return Err(said(&error)),
        };
        self.outside.store(port, Ordering::Relaxed);
        Ok(SocketAddr::new(ip, port))
    }

    fn add(&self, outside: u16, own: SocketAddr) -> Result<(), AddPortError> {
        let add =
            |life| self.gateway.add_port(PortMappingProtocol::TCP, outside, own, life, DESCRIPTION);
        match add(LIFE) {
            // It is given back at the end all the same.
            Err(AddPortError::OnlyPermanentLeasesSupported) => add(0),
            added => added,
        }
    }

    fn add_any(&self, own: SocketAddr) -> Result<u16, AddAnyPortError> {
        let add =
            |life| self.gateway.add_any_port(PortMappingProtocol::TCP, own, life, DESCRIPTION);
        match add(LIFE) {
            Err(AddAnyPortError::OnlyPermanentLeasesSupported) => add(0),
            added => added,
        }
    }

    /// Gives the mapping back.
    pub(super) fn unmap(&self) {
        let port = self.outside.swap(0, Ordering::Relaxed);
        if port != 0
            && let Err(error) = self.gateway.remove_port(PortMappingProtocol::TCP, port)
        {
            tracing::debug!(%error, "the router keeps the mapping until its end");
        }
    }
}

/// Searches on behalf of the library, which waits at the other end of `near`, and passes
/// the answers of `gateway` on to it.
fn relay(near: &UdpSocket, far: &UdpSocket, gateway: Ipv4Addr, done: &AtomicBool) {
    let mut packet = [0; MAX_ANSWER];
    let wait = |socket: &UdpSocket| socket.set_read_timeout(Some(GLANCE)).is_ok();
    if !wait(near) || !wait(far) {
        return;
    }
    let library = loop {
        match near.recv_from(&mut packet) {
            Ok((_, library)) => break library,
            Err(_) if done.load(Ordering::Relaxed) => return,
            Err(_) => {}
        }
    };
    for target in TARGETS {
        let (ip, port) = SSDP;
        let search = format!(
            "M-SEARCH * HTTP/1.1\r\nHOST: {ip}:{port}\r\nST: {target}\r\n\
             MAN: \"ssdp:discover\"\r\nMX: {SPREAD}\r\n\r\n"
        );
        // Some answer only what was sent to all, some only what was sent to them.
        let _ = far.send_to(search.as_bytes(), SSDP);
        let _ = far.send_to(search.as_bytes(), (gateway, port));
    }
    while !done.load(Ordering::Relaxed) {
        if let Ok((len, from)) = far.recv_from(&mut packet)
            && from.ip() == IpAddr::V4(gateway)
        {
            let _ = near.send_to(packet.get(..len).unwrap_or_default(), library);
        }
    }
}

/// A router's words, as far as anybody wants to read them.
fn short(error: &impl ToString) -> String {
    const MOST: usize = 100;
    error.to_string().chars().take(MOST).collect::<String>().trim_end_matches('.').to_lowercase()
}

//! Multicast DNS by hand: what is said on the cable, and what a stranger may say there.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::house::House;

const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
const PORT: u16 = 5353;
const SERVICE: &str = "_part2part._tcp.local";

/// Somebody on the cable who hears all that is said to the group.
pub(crate) struct Ear(UdpSocket);

impl Ear {
    pub(crate) fn on_the_router(house: &House) -> Self {
        let socket = house.on(None, || {
            let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, PORT)).unwrap();
            socket.join_multicast_v4(&GROUP, &crate::house::ROUTER).unwrap();
            socket
        });
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// What was said since the last look.
    pub(crate) fn heard(&self) -> Vec<Vec<u8>> {
        let mut packet = [0; 9_000];
        std::iter::from_fn(|| self.0.recv(&mut packet).ok().map(|len| packet[..len].to_vec()))
            .collect()
    }
}

/// A service as a stranger announces it.
pub(crate) struct Service<'a> {
    pub(crate) instance: &'a str,
    pub(crate) txt: &'a [Vec<u8>],
    pub(crate) at: Ipv4Addr,
    pub(crate) port: u16,
}

/// Says these announcements on the cable, as this host.
pub(crate) fn announce(house: &House, host: u8, services: &[Service<'_>]) {
    house.on(Some(host), || {
        let own = crate::house::address(host);
        // Answers that do not come from the port of the protocol are not believed.
        let socket = UdpSocket::bind((own, PORT)).unwrap();
        for service in services {
            socket.send_to(&packet(service), SocketAddr::from((GROUP, PORT))).unwrap();
            // A cable takes a moment for each.
            std::thread::sleep(Duration::from_micros(300));
        }
    });
}

fn packet(service: &Service<'_>) -> Vec<u8> {
    let instance = format!("{}.{SERVICE}", service.instance);
    let host = format!("{}.local", service.instance);
    let mut srv = vec![0, 0, 0, 0];
    srv.extend(service.port.to_be_bytes());
    srv.extend(name(&host));
    let txt = service.txt.iter().flat_map(|text| {
        std::iter::once(u8::try_from(text.len()).unwrap()).chain(text.iter().copied())
    });
    let mut packet = vec![0, 0, 0x84, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    record(&mut packet, SERVICE, 12, 0x0001, &name(&instance));
    record(&mut packet, &instance, 33, 0x8001, &srv);
    record(&mut packet, &instance, 16, 0x8001, &txt.collect::<Vec<_>>());
    record(&mut packet, &host, 1, 0x8001, &service.at.octets());
    packet
}

fn record(packet: &mut Vec<u8>, owner: &str, kind: u16, class: u16, data: &[u8]) {
    packet.extend(name(owner));
    packet.extend(kind.to_be_bytes());
    packet.extend(class.to_be_bytes());
    packet.extend(120u32.to_be_bytes());
    packet.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
    packet.extend(data);
}

fn name(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in text.split('.') {
        bytes.push(u8::try_from(label.len()).unwrap());
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

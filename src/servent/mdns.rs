//! The local network by multicast DNS (RFC 6762) and DNS service discovery (RFC 6763):
//! services of the type `_part2part._tcp.local.`.
//!
//! An instance and its host are named after the servent's id; the TXT record says
//! `id=` and `v=`, the version of this record. The library's thread ends with this value.
//! What others announce is only read here: an address counts where it lies in a network
//! of this machine, everything else is left out.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use if_addrs::{IfAddr, IfOperStatus, Interface};
use mdns_sd::{IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::lan::{Announcement, Found, Lan, Sighting};
use super::network::Boxed;
use crate::base::ServentId;

/// The type of the service, as it is registered in DNS.
const SERVICE: &str = "_part2part._tcp.local.";
/// The version of the TXT record.
const TXT_VERSION: &str = "1";
/// Records of others that are kept in memory: several for each servent of a large
/// network. The library keeps all that it hears, so above this it is started anew.
const MAX_RECORDS: i64 = 8_192;
/// How often they are counted.
const COUNT_EVERY: Duration = Duration::from_secs(2);
/// How long the library's thread may take to answer.
const ANSWER: Duration = Duration::from_millis(500);

/// An announcement on the networks of this machine.
pub(super) struct Mdns {
    daemon: ServiceDaemon,
    events: Receiver<ServiceEvent>,
    name: String,
    count: Interval,
}

impl Mdns {
    pub(super) fn start(announcement: &Announcement) -> io::Result<Self> {
        connected()?;
        let daemon = ServiceDaemon::new().map_err(io::Error::other)?;
        let (service, events) = match register(&daemon, announcement) {
            Ok(registered) => registered,
            Err(error) => {
                let _ = daemon.shutdown();
                return Err(io::Error::other(error));
            }
        };
        let mut count = interval(COUNT_EVERY);
        count.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { daemon, events, name: service, count })
    }

    /// How many records of others the library keeps.
    async fn records(&self) -> i64 {
        let Ok(metrics) = self.daemon.get_metrics() else { return 0 };
        let counted = timeout(ANSWER, metrics.recv_async()).await;
        let Ok(Ok(metrics)) = counted else { return 0 };
        let cached = metrics.iter().filter(|(key, _)| key.starts_with("cached-"));
        cached.map(|(_, count)| *count).sum()
    }
}

impl Lan for Mdns {
    fn next(&mut self) -> Boxed<'_, io::Result<Sighting>> {
        Box::pin(async {
            loop {
                tokio::select! {
                    event = self.events.recv_async() => match event {
                        Ok(ServiceEvent::ServiceResolved(service)) => {
                            if let Some(found) = found(&service, &interfaces()) {
                                return Ok(Sighting::Here(found));
                            }
                        }
                        Ok(ServiceEvent::ServiceRemoved(_, name)) => {
                            let id = name.split('.').next().and_then(|id| id.parse().ok());
                            if let Some(id) = id {
                                return Ok(Sighting::Gone(id));
                            }
                        }
                        Ok(_) => {}
                        // The library gives a reader up that is too far behind.
                        Err(_) => return Err(io::Error::other("more is announced than can be read")),
                    },
                    _ = self.count.tick() => {
                        connected()?;
                        if self.records().await > MAX_RECORDS {
                            return Err(io::Error::other("more is announced than can be kept"));
                        }
                    }
                }
            }
        })
    }

    fn leave(&mut self) -> Boxed<'_, ()> {
        Box::pin(async {
            if let Ok(said) = self.daemon.unregister(&self.name) {
                let _ = timeout(ANSWER, said.recv_async()).await;
            }
        })
    }
}

impl Drop for Mdns {
    fn drop(&mut self) {
        let _ = self.daemon.shutdown();
    }
}

fn register(
    daemon: &ServiceDaemon,
    announcement: &Announcement,
) -> mdns_sd::Result<(String, Receiver<ServiceEvent>)> {
    let Announcement { id, port, addresses } = announcement;
    // Nobody is met on loopback but by those who share a configuration anyway.
    if addresses.is_empty() {
        daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
    } else {
        daemon.disable_interface(IfKind::All)?;
        daemon.enable_interface(addresses.iter().copied().map(IfKind::Addr).collect::<Vec<_>>())?;
    }
    let id = id.to_string();
    let host = format!("{id}.local.");
    let txt = [("id", id.as_str()), ("v", TXT_VERSION)];
    let service = ServiceInfo::new(SERVICE, &id, &host, addresses.as_slice(), *port, &txt[..])?;
    let service = if addresses.is_empty() { service.enable_addr_auto() } else { service };
    let name = service.get_fullname().to_owned();
    // Asked first, so that it does not hear of itself only by luck.
    let events = daemon.browse(SERVICE)?;
    daemon.register(service)?;
    Ok((name, events))
}

/// The interfaces on which servents are found.
fn interfaces() -> Vec<Interface> {
    let mut interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.retain(|interface| !interface.is_loopback());
    interfaces
}

/// Fails where there is no network to be asked: packets for nobody are sent without error.
fn connected() -> io::Result<()> {
    let works = |interface: &Interface| interface.oper_status != IfOperStatus::Down;
    if interfaces().iter().any(works) {
        return Ok(());
    }
    Err(io::Error::other("this machine is in no network now; it is looked for again and again"))
}

/// What a service says, if it is a servent's.
fn found(service: &ResolvedService, interfaces: &[Interface]) -> Option<Found> {
    if service.get_property_val_str("v") != Some(TXT_VERSION) {
        return None;
    }
    let id: ServentId = service.get_property_val_str("id")?.parse().ok()?;
    let claimed: HashSet<IpAddr> =
        service.get_addresses().iter().map(|ip| ip.to_ip_addr().to_canonical()).collect();
    let near = claimed.into_iter().filter(|&ip| interfaces.iter().any(|i| reaches(&i.addr, ip)));
    let mut addresses: Vec<_> = near.map(|ip| SocketAddr::new(ip, service.get_port())).collect();
    addresses.sort_by_key(|address| (address.is_ipv6(), *address));
    Some(Found { id, addresses })
}

/// Whether `ip` lies in the network of an interface with this address.
fn reaches(interface: &IfAddr, ip: IpAddr) -> bool {
    match (interface, ip) {
        (IfAddr::V4(own), IpAddr::V4(ip)) => {
            let mask = own.netmask.to_bits();
            own.ip.to_bits() & mask == ip.to_bits() & mask
        }
        (IfAddr::V6(own), IpAddr::V6(ip)) => {
            let mask = own.netmask.to_bits();
            // One of this cable alone needs its interface named, which a contact cannot.
            !ip.is_unicast_link_local() && own.ip.to_bits() & mask == ip.to_bits() & mask
        }
        _ => false,
    }
}

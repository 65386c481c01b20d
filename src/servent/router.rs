//! The router of this machine's network, asked by PCP (RFC 6887), then NAT-PMP (RFC 6886),
//! then UPnP ([`super::igd`]).
//!
//! Only the default gateway is ever spoken to, and never when this machine's own address
//! is public. The nonce by which PCP knows the owner of a mapping is the same in each run,
//! so that a servent that was killed gets its own mapping back.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use crab_nat::{
    GATEWAY_PORT, InternetProtocol, PortMapping, PortMappingOptions, PortMappingType,
    TimeoutConfig, natpmp, pcp,
};

use super::igd::{self, Igd};
use super::network::Boxed;
use super::offload::offload;
use super::port_map::{Granted, LIFE, Router, Unmapped, is_inner};
use super::report::MappedBy;

/// The routes of the kernel, IPv4.
const ROUTES: &str = "/proc/net/route";
/// A route over a gateway, in the flags of that file.
const GATEWAY_FLAG: u32 = 2;
/// How long an answer is waited for: 0.5, 1 and 2 s. The RFCs would wait for minutes, for
/// routers that are not on one's own cable.
const PATIENCE: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(500),
    max_retries: 2,
    max_retry_timeout: None,
};
/// The same when a mapping is given back, which the end of the servent waits for.
const FAREWELL: TimeoutConfig = TimeoutConfig {
    initial_timeout: Duration::from_millis(400),
    max_retries: 1,
    max_retry_timeout: None,
};

/// The default gateway, and what it granted.
pub(super) struct DefaultGateway {
    secret: [u8; 32],
    held: Option<Held>,
}

#[derive(Clone)]
enum Held {
    Nat(Box<PortMapping>),
    Igd(Arc<Igd>),
}

impl DefaultGateway {
    pub(super) fn new(secret: [u8; 32]) -> Self {
        Self { secret, held: None }
    }

    async fn ask(&mut self, own: NonZeroU16) -> Result<Granted, Unmapped> {
        let gateway = default_gateway().ok_or(Unmapped::NoRouter)?;
        let here = address_towards(gateway).ok_or(Unmapped::NoRouter)?;
        if !is_inner(here.into()) {
            return Err(Unmapped::Public(here.into()));
        }
        // It stays until there is another: it may count, and is to be given back.
        let held = self.held.clone();
        // The way that worked comes first.
        if let Some(Held::Igd(igd)) = &held
            && igd.gateway() == gateway
            && let Ok(granted) = self.ask_igd(Some(igd), gateway, here, own).await
        {
            return Ok(granted);
        }
        let outside = match &held {
            Some(Held::Nat(mapping)) => mapping.external_port(),
            _ => own,
        };
        let options = PortMappingOptions {
            external_port: Some(outside),
            lifetime_seconds: Some(LIFE),
            timeout_config: Some(PATIENCE),
        };
        let mut refused = None;
        let refuse = |by, why| Unmapped::Refused { router: gateway.into(), by, why };
        match self.ask_pcp(gateway, here, own, options).await {
            Ok(granted) => return Ok(granted),
            Err(Some(why)) => refused = Some(refuse(MappedBy::Pcp, why)),
            Err(None) => {}
        }
        match self.ask_nat_pmp(gateway, own, options).await {
            Ok(granted) => return Ok(granted),
            Err(Some(why)) => {
                refused.get_or_insert(refuse(MappedBy::NatPmp, why));
            }
            Err(None) => {}
        }
        match self.ask_igd(None, gateway, here, own).await {
            Ok(granted) => return Ok(granted),
            Err(Some(why)) => {
                refused.get_or_insert(refuse(MappedBy::Upnp, why));
            }
            Err(None) => {}
        }
        Err(refused.unwrap_or(Unmapped::Silent(gateway.into())))
    }

    /// Asks by PCP; in the error is what the router said, if it said anything.
    async fn ask_pcp(
        &mut self,
        gateway: Ipv4Addr,
        here: Ipv4Addr,
        own: NonZeroU16,
        options: PortMappingOptions,
    ) -> Result<Granted, Option<String>> {
        let base =
            pcp::BaseMapRequest::new(gateway.into(), here.into(), InternetProtocol::Tcp, own);
        let nonce = nonce(&self.secret, gateway, own);
        let mapping = pcp::port_mapping(base, Some(nonce), None, options).await.map_err(|e| {
            use pcp::Failure::{Socket, Timeout, UnsupportedVersion};
            (!matches!(e, Socket(_) | Timeout | UnsupportedVersion(_))).then(|| said(&e))
        })?;
        let PortMappingType::Pcp { external_ip, .. } = mapping.mapping_type() else {
            return Err(None);
        };
        Ok(self.hold(mapping, external_ip, MappedBy::Pcp, gateway))
    }

    async fn ask_nat_pmp(
        &mut self,
        gateway: Ipv4Addr,
        own: NonZeroU16,
        options: PortMappingOptions,
    ) -> Result<Granted, Option<String>> {
        let told = |e: natpmp::Failure| {
            use natpmp::Failure::{Socket, Timeout, UnsupportedVersion};
            (!matches!(e, Socket(_) | Timeout | UnsupportedVersion(_))).then(|| said(&e))
        };
        let outside =
            natpmp::external_address(gateway.into(), Some(PATIENCE)).await.map_err(told)?;
        let mapping = natpmp::port_mapping(gateway.into(), InternetProtocol::Tcp, own, options)
            .await
            .map_err(told)?;
        Ok(self.hold(mapping, outside.into(), MappedBy::NatPmp, gateway))
    }

    fn hold(
        &mut self,
        mapping: PortMapping,
        outside: IpAddr,
        by: MappedBy,
        gateway: Ipv4Addr,
    ) -> Granted {
        let outside = SocketAddr::new(outside, mapping.external_port().get());
        let life = Duration::from_secs(mapping.lifetime().min(LIFE).into());
        self.held = Some(Held::Nat(Box::new(mapping)));
        Granted { outside, by, router: gateway.into(), life }
    }

    /// Asks by UPnP; through `known`, where that was found before.
    async fn ask_igd(
        &mut self,
        known: Option<&Arc<Igd>>,
        gateway: Ipv4Addr,
        here: Ipv4Addr,
        own: NonZeroU16,
    ) -> Result<Granted, Option<String>> {
        let known = known.cloned();
        let asking = tokio::task::spawn_blocking(move || {
            let igd = match known {
                Some(igd) => igd,
                None => Arc::new(Igd::find(gateway, here)?),
            };
            igd.map(SocketAddr::new(here.into(), own.get())).map(|outside| (igd, outside))
        });
        // A panic in there would be a bug of the library: it has not answered.
        let (igd, outside) = asking.await.map_err(|_| None)?.map_err(|error| match error {
            igd::Failure::Silent => None,
            igd::Failure::Said(why) => Some(why),
        })?;
        self.held = Some(Held::Igd(igd));
        let life = Duration::from_secs(LIFE.into());
        Ok(Granted { outside, by: MappedBy::Upnp, router: gateway.into(), life })
    }
}

impl Router for DefaultGateway {
    fn address(&self) -> Option<IpAddr> {
        default_gateway().map(IpAddr::V4)
    }

    fn map(&mut self, own: NonZeroU16) -> Boxed<'_, Result<Granted, Unmapped>> {
        Box::pin(self.ask(own))
    }

    fn unmap(&mut self) -> Boxed<'_, ()> {
        Box::pin(async {
            match self.held.take() {
                None => {}
                Some(Held::Igd(igd)) => {
                    let _ = tokio::task::spawn_blocking(move || igd.unmap()).await;
                }
                Some(Held::Nat(mut mapping)) => {
                    mapping.timeout_config = FAREWELL;
                    if let Err((error, _)) = mapping.try_drop().await {
                        tracing::debug!(%error, "the router keeps the mapping until its end");
                    }
                }
            }
        })
    }
}

/// What a router said, as it stands in the middle of a sentence.
fn said(error: &impl ToString) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("Server responded with code: ").unwrap_or(&text);
    text.to_lowercase()
}

/// By what PCP knows the owner of a mapping: nobody else can tell it.
fn nonce(secret: &[u8; 32], gateway: Ipv4Addr, own: NonZeroU16) -> pcp::Nonce {
    let mut hasher = blake3::Hasher::new_keyed(secret);
    hasher.update(&gateway.octets()).update(&own.get().to_be_bytes());
    let mut words = hasher.finalize_xof();
    std::array::from_fn(|_| {
        let mut word = [0; 4];
        words.fill(&mut word);
        u32::from_be_bytes(word)
    })
}

fn default_gateway() -> Option<Ipv4Addr> {
    gateway_of(&offload(|| fs::read_to_string(ROUTES)).ok()?)
}

/// The gateway of the best default route in the kernel's table: names, then addresses in
/// hexadecimal as they lie in memory.
fn gateway_of(routes: &str) -> Option<Ipv4Addr> {
    let hex = |text: &str| u32::from_str_radix(text, 16).ok();
    let defaults = routes.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (to, gateway) = (hex(fields.next()?)?, hex(fields.next()?)?);
        let flags = hex(fields.next()?)?;
        let metric: u32 = fields.nth(2)?.parse().ok()?;
        let is_default = to == 0 && hex(fields.next()?)? == 0 && flags & GATEWAY_FLAG != 0;
        is_default.then(|| (metric, Ipv4Addr::from(gateway.to_ne_bytes())))
    });
    defaults.min_by_key(|(metric, _)| *metric).map(|(_, gateway)| gateway)
}

/// This machine's address as the router sees it; nothing is sent.
fn address_towards(gateway: Ipv4Addr) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((gateway, GATEWAY_PORT)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(here) => Some(here),
        IpAddr::V6(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_default_route_is_the_routers() {
        let hex = |ip: [u8; 4]| format!("{:08X}", u32::from_ne_bytes(ip));
        let head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n";
        let line = |to: [u8; 4], gateway: [u8; 4], flags: &str, metric: u32, mask: [u8; 4]| {
            let (to, gateway, mask) = (hex(to), hex(gateway), hex(mask));
            format!("eth0\t{to}\t{gateway}\t{flags}\t0\t0\t{metric}\t{mask}\t0\t0\t0\n")
        };
        let (any, home) = ([0; 4], [192, 168, 1, 0]);
        let near = line(home, any, "0001", 0, [255, 255, 255, 0]);
        let wifi = line(any, [192, 168, 2, 1], "0003", 600, any);
        let cable = line(any, [192, 168, 1, 1], "0003", 100, any);
        let half = line(any, [10, 0, 0, 1], "0003", 0, [128, 0, 0, 0]);
        let found = |lines: &[&str]| gateway_of(&format!("{head}{}", lines.concat()));
        assert_eq!(found(&[&near, &wifi, &half, &cable]), Some(Ipv4Addr::new(192, 168, 1, 1)));
        assert_eq!(found(&[&near, &half]), None);
        assert_eq!(found(&["torn\n", "eth0\tzz\n"]), None);
        assert_eq!(gateway_of(""), None);
    }

    #[test]
    fn the_owner_of_a_mapping_is_the_same_in_each_run_and_nobody_else() {
        let port = |port| NonZeroU16::new(port).unwrap();
        let gateway = Ipv4Addr::new(192, 168, 1, 1);
        let mine = nonce(&[1; 32], gateway, port(7272));
        assert_eq!(mine, nonce(&[1; 32], gateway, port(7272)));
        assert_ne!(mine, nonce(&[2; 32], gateway, port(7272)));
        assert_ne!(mine, nonce(&[1; 32], gateway, port(7273)));
    }
}

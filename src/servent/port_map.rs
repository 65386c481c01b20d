//! The way in through a router: a port of it that leads to this servent, while
//! `map-port` is on.
//!
//! The mapping is renewed at half of its life, asked for anew when the machine comes into
//! another network, and given back at the end. Its outside address is told to others like
//! the servent's own (`ground`). A router that says no, or nothing, is news
//! once and asked again, more and more rarely; nothing ever waits for it.
//!
//! How a router is asked is left to `router`, or to an imitation.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::ground::Ground;
use super::network::Boxed;
use super::report::{MappedBy, News, PortMapping};
use crate::base::Time;

/// The life that is asked for, in seconds: what RFC 6886 recommends.
pub(super) const LIFE: u32 = 7_200;
/// Between two renewals at least, however short a life was granted: a router that grants
/// seconds is not flooded for it.
const RENEW_LEAST: Duration = Duration::from_secs(2);
/// The pause before a router that gave nothing is asked again; it doubles each time.
const AGAIN_FIRST: Duration = Duration::from_secs(60);
/// The longest such pause.
const AGAIN_LONGEST: Duration = Duration::from_secs(3_600);
/// How often it is seen whether the router is still the same: a laptop moves.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// How long one asking may take, all ways together.
const ASK_LIMIT: Duration = Duration::from_secs(40);
/// How long the end of the servent waits for the mapping to be given back; else it ends
/// by itself with its life.
const GIVE_BACK: Duration = Duration::from_millis(1_500);

/// What a router granted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Granted {
    /// Where strangers dial.
    pub outside: SocketAddr,
    /// In which words it was asked.
    pub by: MappedBy,
    /// Who was asked.
    pub router: IpAddr,
    /// How long it counts.
    pub life: Duration,
}

/// Why there is no mapping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unmapped {
    /// No router leads anywhere from here.
    NoRouter,
    /// This machine's own address, which is one of the open internet.
    Public(IpAddr),
    /// Nobody answered.
    Silent(IpAddr),
    /// It said no.
    Refused {
        /// Who.
        router: IpAddr,
        /// To which question.
        by: MappedBy,
        /// What it said; a stranger's words.
        why: String,
    },
}

impl fmt::Display for Unmapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRouter => {
                f.write_str("this machine has no IPv4 route to a router that could be asked")
            }
            Self::Public(own) => write!(
                f,
                "this machine's own address {own} is public, so no router stands before it; \
                 let the firewall pass the port"
            ),
            Self::Silent(router) => {
                write!(f, "no gateway answers (tried PCP, NAT-PMP and UPnP at {router})")
            }
            Self::Refused { router, by, why } => {
                write!(f, "the gateway {router} refuses ({by}: {why})")
            }
        }
    }
}

/// The router that this machine's packets go through.
pub trait Router: Send {
    /// Its address, as far as the machine knows one.
    fn address(&self) -> Option<IpAddr>;

    /// Asks it to pass a TCP port on to this machine's port `own`; what was granted before
    /// is renewed.
    ///
    /// # Errors
    /// [`Unmapped`]; what was granted before may still count.
    fn map(&mut self, own: NonZeroU16) -> Boxed<'_, Result<Granted, Unmapped>>;

    /// Gives back what was granted.
    fn unmap(&mut self) -> Boxed<'_, ()>;
}

/// How it stands with the mapping, and when it is seen to again.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) now: Mapped,
    pub(super) due: Time,
}

/// A mapping, or the want of one.
#[derive(Clone, Debug)]
pub(super) enum Mapped {
    Asking,
    Granted(Granted),
    /// A sentence.
    Failed(String),
}

impl Standing {
    /// Where strangers dial, if the open internet can have that address.
    pub(super) fn outside(&self) -> Option<SocketAddr> {
        match &self.now {
            Mapped::Granted(granted) if !is_inner(granted.outside.ip()) => Some(granted.outside),
            _ => None,
        }
    }

    pub(super) fn report(&self, now: Time) -> PortMapping {
        let secs = self.due.since(now).as_secs();
        match &self.now {
            Mapped::Asking => PortMapping::Asking,
            Mapped::Failed(why) => {
                PortMapping::Failed { why: why.clone(), asked_again_in_secs: secs }
            }
            Mapped::Granted(Granted { outside, by, router, .. }) => PortMapping::Mapped {
                outside: *outside,
                by: *by,
                router: *router,
                renewed_in_secs: secs,
                note: is_inner(outside.ip()).then(|| {
                    "the router's own outside address is not public: another router stands \
                     before it, and its owner alone can let others in"
                        .to_owned()
                }),
            },
        }
    }
}

/// Keeps a port mapped while `map-port` is on, until the servent stops; `secret` is this
/// servent's alone and the same in each run.
pub(super) async fn run(ground: Arc<Ground>, secret: [u8; 32]) {
    loop {
        tokio::select! {
            biased;
            () = ground.stop.cancelled() => return,
            () = ground.panel.until(|tuning| tuning.map_port) => {}
        }
        let mut router = ground.network.router(secret);
        tokio::select! {
            () = ground.stop.cancelled() => {}
            () = ground.panel.until(|tuning| !tuning.map_port) => {}
            () = tend(&ground, &mut *router) => {}
        }
        ground.set_port_map(None);
        let _ = timeout(GIVE_BACK, router.unmap()).await;
    }
}

/// Asks, renews, and asks again, without end.
async fn tend(ground: &Ground, router: &mut dyn Router) {
    let mut told = None;
    let mut failures = 0;
    let mut held: Option<(Granted, Time)> = None;
    ground.set_port_map(Some(Standing { now: Mapped::Asking, due: ground.clock.now() }));
    loop {
        let address = router.address();
        let asked = match own_port(ground) {
            Ok(own) => {
                let silent = address.map_or(Unmapped::NoRouter, Unmapped::Silent);
                let asked = timeout(ASK_LIMIT, router.map(own)).await;
                asked.unwrap_or(Err(silent)).map_err(|why| sentence(&why, own))
            }
            Err(why) => Err(why),
        };
        let now = ground.clock.now();
        let (standing, text) = match asked {
            Ok(granted) => {
                failures = 0;
                let due = now + (granted.life / 2).max(RENEW_LEAST);
                held = Some((granted.clone(), now + granted.life));
                let text = format!(
                    "the router {} passes {} on to this servent ({})",
                    granted.router, granted.outside, granted.by
                );
                (Standing { now: Mapped::Granted(granted), due }, text)
            }
            Err(why) => {
                let due = now + again(failures);
                failures += 1;
                let text = format!("no port is mapped: {why}");
                let counts = held
                    .as_ref()
                    .filter(|(granted, end)| *end > now && Some(granted.router) == address);
                match counts {
                    // It counts until its end; a router may be busy for a moment.
                    Some((granted, end)) => {
                        let now = Mapped::Granted(granted.clone());
                        (Standing { now, due: due.min(*end) }, told.clone().unwrap_or_default())
                    }
                    None => {
                        held = None;
                        (Standing { now: Mapped::Failed(why), due }, text)
                    }
                }
            }
        };
        let due = standing.due;
        ground.set_port_map(Some(standing));
        if told.as_ref() != Some(&text) {
            ground.tell(News::Notice { text: text.clone() });
            told = Some(text);
        }
        while ground.clock.now() < due && router.address() == address {
            let rest = due.since(ground.clock.now());
            tokio::time::sleep(rest.min(LOOK_EVERY)).await;
        }
        if router.address() != address {
            failures = 0;
        }
    }
}

/// The port that the router is to lead to.
fn own_port(ground: &Ground) -> Result<NonZeroU16, String> {
    let listening = ground.listening();
    let port = listening.first().and_then(|address| NonZeroU16::new(address.port()));
    let here_only = listening.iter().all(|address| address.ip().is_loopback());
    port.filter(|_| !here_only).ok_or_else(|| {
        "this servent listens where only this machine can dial it; start it with --listen :7272 \
         to listen everywhere"
            .to_owned()
    })
}

/// What happened, and what its user can do.
fn sentence(why: &Unmapped, port: NonZeroU16) -> String {
    match why {
        Unmapped::NoRouter | Unmapped::Public(_) => why.to_string(),
        Unmapped::Silent(_) => {
            format!("{why}; forward TCP port {port} in the router by hand")
        }
        Unmapped::Refused { .. } => format!(
            "{why}; allow port mapping in its settings, or forward TCP port {port} there by hand"
        ),
    }
}

fn again(failures: u32) -> Duration {
    AGAIN_FIRST.saturating_mul(1 << failures.min(16)).min(AGAIN_LONGEST)
}

/// Whether an address means something only behind a router: private, or of a carrier's
/// own NAT (RFC 6598).
pub(super) fn is_inner(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || (a == 100 && b & 0xc0 == 64)
                || (a == 198 && b & 0xfe == 18)
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_router_that_gives_nothing_is_asked_ever_more_rarely() {
        let pauses: Vec<u64> = (0..9).map(|failures| again(failures).as_secs()).collect();
        assert_eq!(pauses, [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]);
        assert_eq!(again(u32::MAX), AGAIN_LONGEST);
    }

    #[test]
    fn what_is_no_use_outside_is_not_told_outside() {
        let standing = |ip: &str| Standing {
            now: Mapped::Granted(Granted {
                outside: SocketAddr::new(ip.parse().unwrap(), 7272),
                by: MappedBy::Pcp,
                router: "192.168.1.1".parse().unwrap(),
                life: Duration::from_secs(60),
            }),
            due: Time::ZERO,
        };
        for inner in ["100.64.0.9", "10.0.0.1", "192.168.0.2", "0.0.0.0"] {
            assert_eq!(standing(inner).outside(), None, "{inner}");
            let report = standing(inner).report(Time::ZERO);
            assert!(matches!(report, PortMapping::Mapped { note: Some(_), .. }), "{report:?}");
        }
        assert_eq!(standing("203.0.113.9").outside(), "203.0.113.9:7272".parse().ok());
    }
}

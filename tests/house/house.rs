//! A house: hosts on one cable, and the router that they share.
//!
//! Each is a network namespace; the cable is a bridge in the router's. The router is
//! 198.18.77.1 (RFC 2544: nobody's addresses) and leads nowhere; host `i` is
//! 198.18.77.10 + i and fd00:77::10 + i. Multicast works as on any cable. The machine's
//! own network is not touched, and all is gone when the house is dropped.
//!
//! Needs root and the program `ip`. Where one is missing [`House::new`] says so and there
//! is none; with `PART2PART_NAMESPACES=required` it fails the test.

use std::fs::File;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use rustix::process::geteuid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::common::servent::{Start, TestServent};

/// The router's address inside.
pub(crate) const ROUTER: Ipv4Addr = Ipv4Addr::new(198, 18, 77, 1);
static HOUSES: AtomicU32 = AtomicU32::new(0);

/// Where this host is.
pub(crate) fn address(host: u8) -> Ipv4Addr {
    Ipv4Addr::new(198, 18, 77, 10 + host)
}

pub(crate) struct House {
    /// The router's namespace, then those of the hosts.
    names: Vec<String>,
}

impl House {
    /// A house with so many hosts; none, with the reason printed, where this machine
    /// cannot have one.
    pub(crate) fn new(hosts: u8) -> Option<Self> {
        match Self::make(hosts) {
            Ok(house) => Some(house),
            Err(reason) => {
                let required = std::env::var_os("PART2PART_NAMESPACES").is_some();
                assert!(!required, "no house of namespaces: {reason}");
                #[expect(clippy::print_stderr, reason = "why a test was not run")]
                {
                    eprintln!("skipped: no house of namespaces: {reason}");
                }
                None
            }
        }
    }

    fn make(hosts: u8) -> io::Result<Self> {
        if !geteuid().is_root() {
            return Err(io::Error::other("it takes root"));
        }
        let (pid, serial) = (std::process::id(), HOUSES.fetch_add(1, Ordering::Relaxed));
        let names: Vec<_> =
            (0..=hosts).map(|host| format!("part2part-{pid}-house{serial}-{host}")).collect();
        // From here on dropping it takes away what is there so far.
        let house = Self { names };
        let made: String = house.names.iter().map(|name| format!("netns add {name}\n")).collect();
        batch(&[], &made)?;
        let router = house.name(None);
        let cable = "link add cable type bridge mcast_snooping 0\n\
                     link set lo up\nlink set cable up\n";
        batch(&["-n", router], &format!("{cable}address add {ROUTER}/24 dev cable\n"))?;
        for host in 0..hosts {
            let name = house.name(Some(host));
            let plug = format!(
                "link add port{host} type veth peer name eth0 netns {name}\n\
                 link set port{host} master cable up\n"
            );
            batch(&["-n", router], &plug)?;
            let (v4, v6) = (address(host), 10 + host);
            let own = format!(
                "link set lo up\n\
                 address add {v4}/24 dev eth0\n\
                 address add fd00:77::{v6}/64 dev eth0 nodad\n\
                 link set eth0 up\n\
                 route add default via {ROUTER}\n"
            );
            batch(&["-n", name], &own)?;
        }
        Ok(house)
    }

    fn name(&self, host: Option<u8>) -> &str {
        let place = host.map_or(0, |host| usize::from(host) + 1);
        self.names.get(place).expect("a host of this house")
    }

    /// Starts a servent on this host, at port 7272 of every address of it.
    pub(crate) fn start(&self, host: u8, args: &[&str]) -> TestServent {
        self.start_at(host, 7272, args)
    }

    /// [`House::start`], with another port.
    pub(crate) fn start_at(&self, host: u8, port: u16, args: &[&str]) -> TestServent {
        let everywhere = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port);
        let under = ["ip", "netns", "exec", self.name(Some(host))].map(str::to_owned);
        let start = Start::with(args);
        TestServent::start(Start { under: under.to_vec(), listen: Some(everywhere), ..start })
    }

    /// Takes this host off the cable: it has loopback alone.
    pub(crate) fn unplug(&self, host: u8) {
        batch(&["-n", self.name(None)], &format!("link del port{host}\n")).unwrap();
    }

    /// Moves this host to the other side of the router, which is 198.19.77.1 there and
    /// lets nothing in; the host is 198.19.77.2.
    pub(crate) fn move_outside(&self, host: u8) {
        let (router, name) = (self.name(None), self.name(Some(host)));
        let wan = format!(
            "link del port{host}\n\
             link add wan0 type veth peer name eth1 netns {name}\n\
             address add 198.19.77.1/24 dev wan0\n\
             link set wan0 up\n"
        );
        batch(&["-n", router], &wan).unwrap();
        let own = "address add 198.19.77.2/24 dev eth1\n\
                   link set eth1 up\n\
                   route replace default via 198.19.77.1\n";
        batch(&["-n", name], own).unwrap();
        self.on(None, || std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap());
    }

    /// A command that runs on the router, to be finished by the caller.
    pub(crate) fn router_command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name(None), program]);
        command
    }

    /// Does `work` on this host; on the router for none. What it opens there stays there.
    pub(crate) fn on<T: Send>(&self, host: Option<u8>, work: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name(host))).expect("it is there");
        let moved = || {
            let kind = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), kind).expect("root may");
            work()
        };
        thread::scope(|scope| scope.spawn(moved).join().expect("no panic"))
    }
}

impl Drop for House {
    fn drop(&mut self) {
        let gone: String = self.names.iter().map(|name| format!("netns del {name}\n")).collect();
        let _ = batch(&["-force"], &gone);
    }
}

/// Has `ip` obey these lines.
fn batch(options: &[&str], lines: &str) -> io::Result<()> {
    let mut command = Command::new("ip");
    command.args(options).args(["-batch", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(lines.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(io::Error::other(said.into_owned())) }
}

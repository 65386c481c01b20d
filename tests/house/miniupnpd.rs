//! The same against a router that others wrote: miniupnpd, as it runs in many a house,
//! with a firewall that lets nothing in by itself. Needs miniupnpd and nft besides.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use part2part::servent::report::MappedBy;
use tempfile::TempDir;

use crate::common::servent::wait_until;
use crate::house::House;
use crate::router::mapped;

const RULES: &str = "table inet filter {
    chain forward {
        type filter hook forward priority 0; policy drop;
        ct state established,related accept
        iifname cable accept
        jump miniupnpd
    }
    chain miniupnpd { }
    chain into { type nat hook prerouting priority -100; policy accept; jump mapped; }
    chain mapped { }
    chain out { type nat hook postrouting priority 100; policy accept; jump mapped_out; }
    chain mapped_out { }
}
";
/// The daemon wants an outside address that looks public; nobody is sent there.
const OUTSIDE: [u8; 4] = [11, 0, 0, 9];

/// Where it hears PCP.
const PCP: u16 = 5351;
/// And the searches of UPnP.
const SSDP: u16 = 1900;

/// A running miniupnpd.
struct Daemon {
    child: Child,
    _folder: TempDir,
}

impl Daemon {
    /// On the router of this house; none, with the reason printed, where it is not there.
    fn start(house: &House, pcp: bool) -> Option<Self> {
        for program in ["miniupnpd", "nft"] {
            if Command::new(program).arg("--version").output().is_err() {
                #[expect(clippy::print_stderr, reason = "why a test was not run")]
                {
                    eprintln!("skipped: there is no {program}");
                }
                return None;
            }
        }
        let mut nft = house.router_command("nft");
        let mut nft = nft.args(["-f", "-"]).stdin(Stdio::piped()).spawn().unwrap();
        nft.stdin.take().unwrap().write_all(RULES.as_bytes()).unwrap();
        assert!(nft.wait().unwrap().success());
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let [a, b, c, d] = OUTSIDE;
        let settings = format!(
            "ext_ifname=wan0\next_ip={a}.{b}.{c}.{d}\nlistening_ip=cable\nport=5000\n\
             enable_natpmp={}\nenable_upnp=yes\nsecure_mode=yes\n\
             uuid=7f7cb3f7-4540-46c8-8ff4-77d434961133\n\
             upnp_table_name=filter\nupnp_nat_table_name=filter\n\
             upnp_forward_chain=miniupnpd\nupnp_nat_chain=mapped\n\
             upnp_nat_postrouting_chain=mapped_out\n\
             allow 1024-65535 198.18.77.0/24 1024-65535\n",
            if pcp { "yes" } else { "no" }
        );
        std::fs::write(at("conf"), settings).unwrap();
        let mut command = house.router_command("miniupnpd");
        command.args(["-d", "-f"]).arg(at("conf")).arg("-P").arg(at("pid"));
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // It writes its pid before it listens. What the kernel tells is of the router's network.
        let sockets = || {
            let of = |table| std::fs::read_to_string(format!("/proc/{}/net/{table}", child.id()));
            of("udp").unwrap_or_default() + &of("udp6").unwrap_or_default()
        };
        let ports = if pcp { vec![PCP, SSDP] } else { vec![SSDP] };
        let listens = |port: &u16| sockets().contains(&format!(":{port:04X} "));
        wait_until("miniupnpd is ready", || at("pid").exists() && ports.iter().all(listens));
        Some(Self { child, _folder: folder })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_friend_outside_comes_in_through_a_real_router_as_long_as_the_servent_runs() {
    for (pcp, by) in [(true, MappedBy::Pcp), (false, MappedBy::Upnp)] {
        let Some(house) = House::new(2) else { return };
        house.move_outside(1);
        let Some(_daemon) = Daemon::start(&house, pcp) else { return };
        let mut attic = house.start(0, &["--map-port"]);
        assert_eq!(mapped(&attic), (SocketAddr::from((OUTSIDE, 7272)), by));
        let friend = house.start(1, &[]);
        let line = format!("{}@198.19.77.1:7272", attic.id());
        let joined = friend.ctl(&["join", &line]);
        assert_eq!(joined.code, 0, "{}", joined.err);
        attic.wait_for_neighbours(1);
        attic.stop();
        let again = friend.ctl(&["join", &line]);
        assert!(again.err.contains("nobody listens there"), "the way in is closed: {}", again.err);
    }
}

//! A network of one's own: hosts that are network namespaces, joined by a switch in the
//! test's process.
//!
//! Every packet between two hosts passes through the [`Network`] that made them, by a TUN
//! device in each; there it can be held up, lost, or dropped at the border of a partition,
//! with no queueing discipline or firewall of the system. Host `i` is 198.18.i.1 or
//! 198.19.i.1 (RFC 2544: nobody's addresses), and fd00:i::1. The machine's own network is
//! not touched. All that was made is gone when the network is dropped, and what a killed
//! test left behind when the next one starts.
//!
//! Needs root, the program `ip`, and /dev/net/tun. Where one is missing [`Network::new`]
//! says so and there is none; with `PART2PART_NAMESPACES=required` it fails the test.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rand::rngs::ChaCha12Rng;
use rand::{RngExt, SeedableRng};
use rustix::process::geteuid;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::time::Instant;
use tun_rs::{DeviceBuilder, InterruptEvent, SyncDevice};

use super::servent::{Start, TestServent};

/// Hosts in one network: their number is one byte of their address.
pub const MOST_HOSTS: usize = 256;
/// Names of namespaces: this, the pid of the test, the number of the network and the host.
const PREFIX: &str = "part2part";
/// The device in each host.
const DEVICE: &str = "mesh0";
const MTU: u16 = 1500;
/// Packets under way; more are lost, as by any switch.
const MOST_UNDER_WAY: usize = 65_536;
/// The same packets are lost in every run, as far as they come in the same order.
const SEED: u64 = 1_918_180;
static NETWORKS: AtomicU32 = AtomicU32::new(0);

/// What the switch does to the packets that it is given.
struct Weather {
    delay: Duration,
    /// Of 1, how many packets are lost.
    loss: f64,
    /// By host, on which side of the partition it is.
    sides: Vec<usize>,
    chance: ChaCha12Rng,
}

/// One packet and when it is due at this host.
type Parcel = (Instant, usize, Vec<u8>);

/// The switch: who is plugged in, and the weather.
struct Switch {
    ports: Vec<OnceLock<SyncDevice>>,
    weather: Mutex<Weather>,
    /// To the thread that keeps delayed packets; none when the network is going down.
    late: RwLock<Option<SyncSender<Parcel>>>,
    off: InterruptEvent,
}

/// Hosts and the switch between them.
pub struct Network {
    names: Vec<String>,
    switch: Arc<Switch>,
    threads: Vec<JoinHandle<()>>,
}

impl Network {
    /// A network of so many hosts, each with an address of both families; none, with the
    /// reason printed, where this machine cannot have one.
    pub fn new(hosts: usize) -> Option<Self> {
        match Self::make(hosts) {
            Ok(network) => Some(network),
            Err(reason) => {
                let required = std::env::var_os("PART2PART_NAMESPACES").is_some();
                assert!(!required, "no network of namespaces: {reason}");
                #[expect(clippy::print_stderr, reason = "why a test was not run")]
                {
                    eprintln!("skipped: no network of namespaces: {reason}");
                }
                None
            }
        }
    }

    fn make(hosts: usize) -> io::Result<Self> {
        assert!(hosts <= MOST_HOSTS, "{hosts} hosts");
        if !geteuid().is_root() {
            return Err(io::Error::other("it takes root"));
        }
        File::options()
            .read(true)
            .write(true)
            .open("/dev/net/tun")
            .map_err(named("/dev/net/tun"))?;
        remove_leftovers()?;
        let serial = NETWORKS.fetch_add(1, Ordering::Relaxed);
        let name = |host| format!("{PREFIX}-{}-{serial}-{host}", std::process::id());
        let names: Vec<_> = (0..hosts).map(name).collect();
        let weather = Weather {
            delay: Duration::ZERO,
            loss: 0.0,
            sides: vec![0; hosts],
            chance: ChaCha12Rng::seed_from_u64(SEED),
        };
        let (sender, receiver) = sync_channel(MOST_UNDER_WAY);
        let switch = Arc::new(Switch {
            ports: names.iter().map(|_| OnceLock::new()).collect(),
            weather: Mutex::new(weather),
            late: RwLock::new(Some(sender)),
            off: InterruptEvent::new()?,
        });
        // From here on dropping it takes away what is there so far.
        let mut network = Self { names, switch, threads: vec![] };
        let made: String = network.names.iter().map(|name| format!("netns add {name}\n")).collect();
        batch(&[], &made)?;
        network.plug_in()?;
        let switch = Arc::clone(&network.switch);
        network.threads.push(thread::spawn(move || switch.deliver_late(&receiver)));
        for host in 0..hosts {
            batch(&["-n", network.name(host)], &interfaces(host))?;
        }
        Ok(network)
    }

    /// Makes the device of each host, and a thread that forwards what comes out of it.
    fn plug_in(&mut self) -> io::Result<()> {
        let (ready, made) = sync_channel(self.names.len());
        for (host, name) in self.names.iter().enumerate() {
            let (switch, ready) = (Arc::clone(&self.switch), ready.clone());
            let namespace = File::open(format!("/run/netns/{name}"))?;
            self.threads.push(thread::spawn(move || {
                let plugged = switch.plug(host, &namespace);
                let works = plugged.is_ok();
                let _ = ready.send(plugged);
                if works {
                    switch.forward(host);
                }
            }));
        }
        drop(ready);
        made.iter().take(self.names.len()).collect()
    }

    fn name(&self, host: usize) -> &str {
        self.names.get(host).expect("a host of this network")
    }

    /// How many hosts there are.
    pub fn hosts(&self) -> usize {
        self.names.len()
    }

    /// Starts a servent on this host; on every address of it, unless told otherwise.
    pub fn start(&self, host: usize, start: Start) -> TestServent {
        let words = ["ip", "netns", "exec", self.name(host)];
        let everywhere = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
        TestServent::start(Start {
            under: words.into_iter().map(str::to_owned).chain(start.under).collect(),
            listen: start.listen.or(Some(everywhere)),
            ..start
        })
    }

    /// What a friend is told to join this servent of this host.
    pub fn invitation(&self, host: usize, servent: &TestServent, family: Family) -> String {
        let address = SocketAddr::new(family.address(host), servent.addr().port());
        format!("{}@{address}", servent.id())
    }

    /// Runs a command on this host; it must succeed. What it printed.
    pub fn run(&self, host: usize, words: &[&str]) -> String {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", self.name(host)]).args(words);
        let output = command.output().expect("the program ip");
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {}: {err}", output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Has `nft` on this host add `rules`; whether this machine can.
    pub fn firewall(&self, host: usize, rules: &str) -> bool {
        let works = Command::new("nft").arg("--version").output().is_ok();
        if works {
            let words = ["netns", "exec", self.name(host), "nft", "-f", "-"];
            feed(Command::new("ip").args(words), rules).expect("rules that nft understands");
        }
        works
    }

    /// Takes the addresses of one family from this host.
    pub fn without(&self, host: usize, family: Family) {
        let words = ["-n", self.name(host), family.option()];
        let flush = ["address", "flush", "dev", DEVICE];
        let status = Command::new("ip").args(words).args(flush).status();
        assert!(status.expect("the program ip").success());
    }

    /// Every packet takes so long from host to host.
    pub fn delay(&self, delay: Duration) {
        self.switch.weather().delay = delay;
    }

    /// So many of 1 packets are lost.
    pub fn lose(&self, loss: f64) {
        self.switch.weather().loss = loss;
    }

    /// From now on nothing passes between these hosts and the others. Connections are not
    /// reset: whoever is on the other side is just silent.
    pub fn part(&self, hosts: &[usize]) {
        for (host, side) in self.switch.weather().sides.iter_mut().enumerate() {
            *side = usize::from(hosts.contains(&host));
        }
    }

    /// Ends the connections over the partition: each end is told at once, as by a router
    /// that knows that there is no way.
    pub fn reset_parted(&self) {
        let sides = self.switch.weather().sides.clone();
        for (host, side) in sides.iter().enumerate() {
            let away = sides.iter().enumerate().filter(|(_, other)| *other != side);
            let filter: Vec<_> = away
                .flat_map(|(host, _)| [Family::V4, Family::V6].map(|family| family.address(host)))
                // In brackets the last colon is no port; IPv4 stands for its mapped form too.
                .map(|address| format!("dst [{address}]"))
                .collect();
            if !filter.is_empty() {
                self.run(host, &["ss", "-K", "-H", &filter.join(" or ")]);
            }
        }
    }

    /// The end of the partition.
    pub fn heal(&self) {
        self.part(&[]);
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.switch.late.write().unwrap_or_else(PoisonError::into_inner).take();
        let _ = self.switch.off.trigger();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
        let gone: String = self.names.iter().map(|name| format!("netns del {name}\n")).collect();
        let _ = batch(&["-force"], &gone);
    }
}

impl Switch {
    fn weather(&self) -> std::sync::MutexGuard<'_, Weather> {
        self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves this thread to the host and makes its device.
    fn plug(&self, host: usize, namespace: &File) -> io::Result<()> {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?;
        let device = DeviceBuilder::new().name(DEVICE).mtu(MTU).build_sync()?;
        device.set_nonblocking(true)?;
        let port = self.ports.get(host).ok_or(io::ErrorKind::NotFound)?;
        port.set(device).map_err(|_| io::Error::other("plugged in twice"))
    }

    /// Forwards what this host sends, until the switch is off.
    fn forward(&self, host: usize) {
        let device = self.ports.get(host).and_then(OnceLock::get).expect("plugged in");
        let mut packet = vec![0; usize::from(MTU)];
        loop {
            match device.recv_intr(&mut packet, &self.off) {
                Ok(len) => self.pass(host, packet.get(..len).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
        }
    }

    fn pass(&self, from: usize, packet: &[u8]) {
        match destination(packet) {
            Some(Destination::Host(to)) => self.pass_to(from, to, packet),
            Some(Destination::Everybody) => {
                let others = (0..self.ports.len()).filter(|&to| to != from);
                others.for_each(|to| self.pass_to(from, to, packet));
            }
            None => {}
        }
    }

    fn pass_to(&self, from: usize, to: usize, packet: &[u8]) {
        let mut weather = self.weather();
        let (loss, delay) = (weather.loss, weather.delay);
        let parted = weather.sides.get(from) != weather.sides.get(to);
        if parted || (loss > 0.0 && weather.chance.random_bool(loss)) {
            return;
        }
        drop(weather);
        if delay.is_zero() {
            self.hand_over(to, packet);
        } else if let Some(late) = &*self.late.read().unwrap_or_else(PoisonError::into_inner) {
            let _ = late.try_send((Instant::now() + delay, to, packet.to_vec()));
        }
    }

    fn hand_over(&self, to: usize, packet: &[u8]) {
        // A full queue there loses the packet, as on any network.
        if let Some(device) = self.ports.get(to).and_then(OnceLock::get) {
            let _ = device.send(packet);
        }
    }

    /// Hands over what was held up, each when it is due.
    fn deliver_late(&self, parcels: &Receiver<Parcel>) {
        let mut waiting: VecDeque<Parcel> = VecDeque::new();
        loop {
            let Some((due, ..)) = waiting.front() else {
                let Ok(parcel) = parcels.recv() else { return };
                waiting.push_back(parcel);
                continue;
            };
            let wait = due.saturating_duration_since(Instant::now());
            if wait.is_zero() {
                if let Some((_, to, packet)) = waiting.pop_front() {
                    self.hand_over(to, &packet);
                }
                match parcels.try_recv() {
                    Ok(parcel) => waiting.push_back(parcel),
                    Err(TryRecvError::Empty) => {}
                    Err(TryRecvError::Disconnected) => return,
                }
                continue;
            }
            match parcels.recv_timeout(wait) {
                Ok(parcel) => waiting.push_back(parcel),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }
}

/// IPv4 or IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    /// Where this host is.
    pub fn address(self, host: usize) -> IpAddr {
        let number = u8::try_from(host).expect("a host of a network");
        match self {
            // Two /16 and a /24 each, so that the rules about groups see more than one.
            Self::V4 => Ipv4Addr::new(198, 18 + number % 2, number, 1).into(),
            Self::V6 => Ipv6Addr::new(0xfd00, u16::from(number), 0, 0, 0, 0, 0, 1).into(),
        }
    }

    fn option(self) -> &'static str {
        match self {
            Self::V4 => "-4",
            Self::V6 => "-6",
        }
    }
}

enum Destination {
    Host(usize),
    Everybody,
}

/// Where an IP packet wants to go; none for what is not of this network.
fn destination(packet: &[u8]) -> Option<Destination> {
    match packet.first()? >> 4 {
        4 => match *packet.get(16..20)? {
            [198, 18 | 19, number, 1] => Some(Destination::Host(number.into())),
            [224..240, ..] | [255, 255, 255, 255] => Some(Destination::Everybody),
            _ => None,
        },
        6 => match *packet.get(24..40)? {
            [0xfd, 0, 0, number, ..] => Some(Destination::Host(number.into())),
            [0xff, ..] => Some(Destination::Everybody),
            _ => None,
        },
        _ => None,
    }
}

/// What `ip` is told in the namespace of this host.
fn interfaces(host: usize) -> String {
    let [v4, v6] = [Family::V4, Family::V6].map(|family| family.address(host));
    format!(
        "link set lo up\n\
         address add {v4}/15 dev {DEVICE}\n\
         address add {v6}/16 dev {DEVICE} nodad\n\
         link set {DEVICE} up\n"
    )
}

/// Removes the namespaces of tests that no longer run.
fn remove_leftovers() -> io::Result<()> {
    let Ok(entries) = fs::read_dir("/run/netns") else { return Ok(()) };
    let mut gone = String::new();
    for name in entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()) {
        let mut parts = name.split('-');
        if parts.next() == Some(PREFIX)
            && parts.next().is_some_and(|pid| fs::metadata(format!("/proc/{pid}")).is_err())
        {
            gone += &format!("netns del {name}\n");
        }
    }
    batch(&["-force"], &gone)
}

/// Has `ip` obey these lines.
fn batch(options: &[&str], lines: &str) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    feed(Command::new("ip").args(options).args(["-batch", "-"]), lines)
}

fn feed(command: &mut Command, input: &str) -> io::Result<()> {
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(named("ip"))?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(input.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(io::Error::other(said.into_owned())) }
}

fn named(what: &'static str) -> impl Fn(io::Error) -> io::Error {
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}

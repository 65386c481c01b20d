//! A network of our own, in which the rates of sources can be capped.

use std::process::Command;

const DEVICE: &str = "lo";

/// A network namespace with addresses of the range for such tests; removed when dropped.
pub(crate) struct Namespace {
    name: String,
    hosts: usize,
}

impl Namespace {
    /// One with so many addresses; none, with the reason printed, where none can be had.
    pub(crate) fn or_say_why(hosts: usize) -> Option<Self> {
        match Self::new(hosts) {
            Ok(namespace) => Some(namespace),
            Err(why) => {
                println!("skipped: no network with capped sources can be had: {why}");
                None
            }
        }
    }

    fn new(hosts: usize) -> Result<Self, String> {
        let name = format!("p2pbench-{}", std::process::id());
        run("ip", &["netns", "add", &name])?;
        let namespace = Self { name, hosts };
        namespace.ip(&["link", "set", DEVICE, "up"])?;
        for address in namespace.addresses() {
            namespace.ip(&["address", "add", &format!("{address}/32"), "dev", DEVICE])?;
        }
        // What no filter names is not capped.
        namespace.tc(&["qdisc", "add", "dev", DEVICE, "root", "handle", "1:", "htb"])?;
        Ok(namespace)
    }

    /// Its addresses, by host.
    pub(crate) fn addresses(&self) -> Vec<String> {
        (0..self.hosts).map(|host| format!("198.18.0.{}", host + 1)).collect()
    }

    /// What a command begins with that is to run in it.
    pub(crate) fn words(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// Caps what the host sends, in bytes a second.
    pub(crate) fn cap(&self, host: usize, rate: u64) {
        let class = class(host);
        let (rate, source) = (format!("{}bit", rate * 8), format!("{}/32", self.addresses()[host]));
        let burst = ["burst", "256k", "cburst", "256k", "quantum", "65536"];
        let add = ["class", "add", "dev", DEVICE, "parent", "1:", "classid", &class, "htb"];
        self.tc(&[&add[..], &["rate", &rate, "ceil", &rate], &burst].concat()).unwrap();
        let filter = ["filter", "add", "dev", DEVICE, "parent", "1:", "protocol", "ip", "u32"];
        self.tc(&[&filter[..], &["match", "ip", "src", &source, "flowid", &class]].concat())
            .unwrap();
    }

    /// Bytes that the host, which is capped, has sent.
    pub(crate) fn sent(&self, host: usize) -> u64 {
        let shown = self.tc(&["-s", "class", "show", "dev", DEVICE]).unwrap();
        let begin = format!("class htb {} ", class(host));
        let own = shown.lines().skip_while(|line| !line.starts_with(&begin));
        let sent = own.skip(1).find_map(|line| line.trim().strip_prefix("Sent "));
        sent.and_then(|rest| rest.split(' ').next()?.parse().ok()).expect("what a class has sent")
    }

    fn ip(&self, words: &[&str]) -> Result<String, String> {
        run("ip", &[&["-n", &self.name], words].concat())
    }

    fn tc(&self, words: &[&str]) -> Result<String, String> {
        run("ip", &[&["netns", "exec", &self.name, "tc"], words].concat())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = run("ip", &["netns", "del", &self.name]);
    }
}

fn class(host: usize) -> String {
    format!("1:{}", host + 10)
}

fn run(program: &str, words: &[&str]) -> Result<String, String> {
    let output = Command::new(program).args(words).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

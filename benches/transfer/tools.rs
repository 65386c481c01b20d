//! How others move the same files: raw TCP, and tools where they are installed.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::common::{cpu_of, memory_of};
use crate::figures::Figures;

const STEP: usize = 1 << 20;
/// Where servers listen in a namespace of our own.
const PORT: u16 = 8080;

/// Where a case runs: what commands begin with, and the addresses of its hosts.
pub(crate) struct Place {
    pub(crate) under: Vec<String>,
    pub(crate) addresses: Vec<String>,
}

impl Place {
    fn command(&self, words: &[String]) -> Command {
        let mut words = self.under.iter().chain(words);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    /// A port on which nobody listens.
    fn port(&self) -> u16 {
        match self.under.is_empty() {
            true => TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port(),
            false => PORT,
        }
    }
}

/// A tool that gives, in one process; stopped when dropped.
struct Server(Child);

impl Server {
    /// Starts it, and waits until it listens.
    fn start(place: &Place, port: u16, words: &[String]) -> Self {
        let server = Self(place.command(words).spawn().expect("an installed program starts"));
        let until = Instant::now() + Duration::from_secs(10);
        let listening = format!(":{port:04X} 00000000:0000 0A");
        let sockets = format!("/proc/{}/net/tcp", server.0.id());
        while !fs::read_to_string(&sockets).unwrap_or_default().contains(&listening) {
            assert!(Instant::now() < until, "{words:?} does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// This program, started anew for a part of its own that says one line first; stopped when
/// dropped.
pub(crate) struct Spoken {
    child: Child,
    /// The line.
    pub(crate) said: String,
}

impl Spoken {
    pub(crate) fn start(place: &Place, words: &[&str], file: &Path) -> Self {
        let own = std::env::current_exe().unwrap().to_string_lossy().into_owned();
        let file = file.to_string_lossy().into_owned();
        let words = [&[own.as_str()], words, &[file.as_str()]].concat();
        let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
        let mut child = place.command(&words).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        let output = child.stdout.take().unwrap();
        BufReader::new(output).read_line(&mut said).unwrap();
        Self { child, said: said.trim().to_owned() }
    }
}

impl Drop for Spoken {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A tool that takes what a server of its kind gives.
pub(crate) struct Tool {
    name: String,
    server: Rc<Server>,
    /// The command, with `TO` for where the file or folder goes.
    words: Vec<String>,
}

const TO: &str = "TO";

impl Tool {
    /// All that can fetch the file `source` from one server.
    pub(crate) fn installed(dir: &Path, source: &Path, place: &Place) -> Vec<Self> {
        let mut tools = Vec::new();
        let (address, name) = (&place.addresses[0], name_of(source));
        let [nginx, curl, aria2c, rsync] = ["nginx", "curl", "aria2c", "rsync"].map(is_installed);
        if nginx {
            let (plain, sealed) = (place.port(), place.port());
            let certified = certify(dir);
            let server = Rc::new(web(dir, place, &[plain], certified.then_some(sealed)));
            let url = format!("http://{address}:{plain}/{name}");
            if curl {
                let words = ["curl", "-s", "-o", TO, &url];
                tools.push(Self::of("nginx -> curl", &server, &words));
            }
            if curl && certified {
                let url = format!("https://{address}:{sealed}/{name}");
                let words = ["curl", "-sk", "--tlsv1.3", "-o", TO, &url];
                tools.push(Self::of("nginx -> curl, TLS 1.3", &server, &words));
            }
            if aria2c {
                let sum = format!("--checksum=sha-256={}", sha_256(source));
                let words = [&ARIA2C[..], &["-x4", "-s4", &sum, "-o", TO, &url]].concat();
                tools.push(Self::of("nginx -> aria2c, SHA-256", &server, &words));
            }
        }
        if rsync {
            let (server, from) = sync(dir, place);
            let words = ["rsync", "--whole-file", &format!("{from}/{name}"), TO];
            tools.push(Self::of("rsync --whole-file", &server, &words));
        }
        println!("rqbit and other BitTorrent programs are not measured here");
        tools
    }

    /// All that can fetch the file `source` from so many hosts at once.
    pub(crate) fn of_many(dir: &Path, source: &Path, place: &Place, hosts: usize) -> Vec<Self> {
        let [nginx, aria2c] = ["nginx", "aria2c"].map(is_installed);
        if !nginx || !aria2c {
            return Vec::new();
        }
        let port = place.port();
        let server = Rc::new(web(dir, place, &vec![port; hosts], None));
        let sum = format!("--checksum=sha-256={}", sha_256(source));
        let url = |address: &String| format!("http://{address}:{port}/{}", name_of(source));
        let urls: Vec<String> = place.addresses.iter().take(hosts).map(url).collect();
        let split = format!("-s{hosts}");
        let mut words = [&ARIA2C[..], &["-x1", &split, &sum, "-o", TO]].concat();
        words.extend(urls.iter().map(String::as_str));
        vec![Self::of("nginx -> aria2c, SHA-256", &server, &words)]
    }

    /// All that can fetch the folder `source`.
    pub(crate) fn of_folders(dir: &Path, source: &Path, place: &Place) -> Vec<Self> {
        if !is_installed("rsync") {
            return Vec::new();
        }
        let (server, from) = sync(dir, place);
        let words = ["rsync", "-r", "--whole-file", &format!("{from}/{}", name_of(source)), TO];
        vec![Self::of("rsync -r", &server, &words)]
    }

    fn of(name: &str, server: &Rc<Server>, words: &[&str]) -> Self {
        let words = words.iter().map(|&word| word.to_owned()).collect();
        Self { name: name.to_owned(), server: Rc::clone(server), words }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Fetches to `to`, which is removed again.
    pub(crate) fn fetch(&mut self, place: &Place, to: &Path) -> Figures {
        let (own, server) = (std::process::id(), self.server.0.id());
        let dir = to.parent().unwrap().to_string_lossy().into_owned();
        let aria2c = self.words[0] == ARIA2C[0];
        // It takes the folder and the name apart.
        let target = if aria2c { name_of(to) } else { to.to_string_lossy().into_owned() };
        let mut words: Vec<String> = self.words.clone();
        words.iter_mut().filter(|word| *word == TO).for_each(|word| word.clone_from(&target));
        if aria2c {
            words.extend(["-d".to_owned(), dir]);
        }
        let before = cpu_of(own) + cpu_of(server);
        let began = Instant::now();
        let mut client = place.command(&words).spawn().expect("an installed program starts");
        let pid = client.id();
        let (ended, watched) = std::sync::mpsc::channel::<()>();
        let watcher = std::thread::spawn(move || {
            let mut peak = 0;
            while watched
                .recv_timeout(Duration::from_millis(20))
                .is_err_and(|error| error == std::sync::mpsc::RecvTimeoutError::Timeout)
            {
                peak = memory_of(pid, "VmHWM").unwrap_or(peak);
            }
            peak
        });
        let status = client.wait().expect("it is our child");
        let seconds = began.elapsed().as_secs_f64();
        drop(ended);
        assert!(status.success(), "{words:?}: {status}");
        let cpu = cpu_of(own) + cpu_of(server) - before;
        let taker = watcher.join().unwrap();
        let giver = memory_of(server, "VmHWM").unwrap_or(0);
        match to.is_dir() {
            true => fs::remove_dir_all(to).unwrap(),
            false => fs::remove_file(to).unwrap(),
        }
        Figures { seconds, cpu: Some(cpu), memory: Some((giver, taker)) }
    }
}

const ARIA2C: [&str; 4] = ["aria2c", "-q", "-k1M", "--file-allocation=none"];

fn name_of(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// Whether a program is installed; says so when not.
fn is_installed(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&paths).any(|folder| folder.join(program).is_file());
    if !there {
        println!("{program} is not installed, and not measured");
    }
    there
}

fn sha_256(file: &Path) -> String {
    let output = Command::new("sha256sum").arg(file).output().expect("sha256sum");
    String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned()
}

/// Makes a certificate for the web server, where openssl is installed.
fn certify(dir: &Path) -> bool {
    let mut words = vec!["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"];
    words.extend(["-nodes", "-days", "1", "-subj", "/CN=localhost"]);
    words.extend(["-keyout", "key.pem", "-out", "certificate.pem"]);
    let mut command = Command::new("openssl");
    command.args(words).current_dir(dir).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A web server for `dir`: on one port a host, and behind TLS on one of the first.
fn web(dir: &Path, place: &Place, ports: &[u16], sealed: Option<u16>) -> Server {
    let root = dir.display();
    let mut servers = String::new();
    for (address, port) in place.addresses.iter().zip(ports) {
        servers += &format!("server {{ listen {address}:{port}; root {root}; }}\n");
    }
    if let (Some(port), Some(address)) = (sealed, place.addresses.first()) {
        servers += &format!(
            "server {{ listen {address}:{port} ssl; root {root}; ssl_protocols TLSv1.3;\n\
             ssl_certificate {root}/certificate.pem; ssl_certificate_key {root}/key.pem; }}\n"
        );
    }
    let temp = |what: &str| format!("{what}_temp_path {root}/web-{what};\n");
    let temps: String =
        ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(temp).into_iter().collect();
    let text = format!(
        "daemon off; master_process off; pid {root}/web.pid; error_log {root}/web.log;\n\
         events {{}}\nhttp {{ access_log off; sendfile on; {temps}{servers} }}\n"
    );
    let path = dir.join("web.conf");
    fs::write(&path, text).unwrap();
    let log = dir.join("web.log");
    let words = ["nginx", "-e", &log.to_string_lossy(), "-c", &path.to_string_lossy()];
    Server::start(place, ports[0], &words.map(str::to_owned))
}

/// An rsync daemon for `dir`, and the address of that.
fn sync(dir: &Path, place: &Place) -> (Rc<Server>, String) {
    let (address, port) = (&place.addresses[0], place.port());
    let path = dir.join("sync.conf");
    let root = dir.display();
    let text =
        format!("use chroot = no\nuid = 0\ngid = 0\n[all]\npath = {root}\nread only = yes\n");
    fs::write(&path, text).unwrap();
    let words = [
        "rsync".to_owned(),
        "--daemon".to_owned(),
        "--no-detach".to_owned(),
        format!("--config={}", path.display()),
        format!("--address={address}"),
        format!("--port={port}"),
    ];
    let server = Rc::new(Server::start(place, port, &words));
    (server, format!("rsync://{address}:{port}/all"))
}

/// The file over one bare connection of this process, read and written as simply as can be.
pub(crate) fn raw_tcp(from: &Path, to: &Path) -> Figures {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (own, from) = (std::process::id(), from.to_owned());
    let before = cpu_of(own);
    let began = Instant::now();
    let sender = std::thread::spawn(move || {
        let mut file = File::open(from).unwrap();
        let (mut stream, _) = listener.accept().unwrap();
        let mut step = vec![0; STEP];
        loop {
            match file.read(&mut step).unwrap() {
                0 => return,
                read => stream.write_all(&step[..read]).unwrap(),
            }
        }
    });
    let mut stream = TcpStream::connect(address).unwrap();
    let mut file = File::create(to).unwrap();
    let mut step = vec![0; STEP];
    loop {
        match stream.read(&mut step).unwrap() {
            0 => break,
            read => file.write_all(&step[..read]).unwrap(),
        }
    }
    sender.join().unwrap();
    let seconds = began.elapsed().as_secs_f64();
    fs::remove_file(to).unwrap();
    Figures { seconds, cpu: Some(cpu_of(own) - before), memory: None }
}

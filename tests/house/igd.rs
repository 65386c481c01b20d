//! The router's UPnP side by hand: search, description, and control.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::gateway::OUTSIDE;
use crate::house::{House, ROUTER};

const SSDP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
const SSDP_PORT: u16 = 1900;
const HTTP_PORT: u16 = 5000;
const SERVICE: &str = "urn:schemas-upnp-org:service:WANIPConnection:1";

/// How the router is minded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    /// It maps ports for a while.
    Honest,
    /// It maps ports for ever only.
    Permanent,
    /// It says no.
    Refusing,
    /// It says that this one describes it.
    PointsAt(Ipv4Addr),
    /// Its description never ends.
    Endless,
}

/// The router's side of it, on threads.
pub(crate) struct Igd {
    /// The ports that are mapped, and to where; and each request's action.
    state: Arc<Mutex<State>>,
    done: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default, Debug)]
struct State {
    mapped: Vec<(u16, String, u32)>,
    actions: Vec<String>,
}

impl Igd {
    /// On this host, or on the router.
    pub(crate) fn start(house: &House, host: Option<u8>, manner: Manner) -> Self {
        let own = host.map_or(ROUTER, crate::house::address);
        let (ssdp, http) = house.on(host, || {
            let ssdp = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, SSDP_PORT)).unwrap();
            ssdp.join_multicast_v4(&SSDP, &own).unwrap();
            (ssdp, TcpListener::bind((own, HTTP_PORT)).unwrap())
        });
        ssdp.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        http.set_nonblocking(true).unwrap();
        let (state, done) = (Arc::<Mutex<State>>::default(), Arc::new(AtomicBool::new(false)));
        let over = Arc::clone(&done);
        let searched = thread::spawn(move || {
            let describes = if let Manner::PointsAt(other) = manner { other } else { own };
            let mut packet = [0; 1_500];
            while !over.load(Ordering::Relaxed) {
                let Ok((len, from)) = ssdp.recv_from(&mut packet) else { continue };
                let search = String::from_utf8_lossy(&packet[..len]).into_owned();
                if search.starts_with("M-SEARCH * HTTP/1.1\r\n") && search.contains(SERVICE) {
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nST: {SERVICE}\r\nUSN: uuid:1\r\nEXT:\r\n\
                         LOCATION: http://{describes}:{HTTP_PORT}/root.xml\r\n\r\n"
                    );
                    let _ = ssdp.send_to(answer.as_bytes(), from);
                }
            }
        });
        let (over, shared) = (Arc::clone(&done), Arc::clone(&state));
        let asked = thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                match http.accept() {
                    // Who hangs up on an endless answer is right.
                    Ok((stream, _)) => drop(serve(stream, manner, &shared, &over)),
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Self { state, done, threads: vec![searched, asked] }
    }

    /// What is mapped: the outer port, the inner end, and for how long.
    pub(crate) fn mapped(&self) -> Vec<(u16, String, u32)> {
        self.state.lock().unwrap().mapped.clone()
    }

    /// What it was asked for.
    pub(crate) fn actions(&self) -> Vec<String> {
        self.state.lock().unwrap().actions.clone()
    }
}

impl Drop for Igd {
    fn drop(&mut self) {
        self.done.store(true, Ordering::Relaxed);
        let ended: Vec<_> = self.threads.drain(..).map(JoinHandle::join).collect();
        assert!(thread::panicking() || ended.iter().all(Result::is_ok), "the router panicked");
    }
}

fn serve(
    stream: TcpStream,
    manner: Manner,
    state: &Mutex<State>,
    done: &AtomicBool,
) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.set_write_timeout(Some(Duration::from_millis(200)))?;
    let mut reader = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head += &line;
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let body = String::from_utf8(body).unwrap();
    let mut stream = reader.into_inner();
    let path = head.split(' ').nth(1).unwrap_or_default();
    state.lock().unwrap().actions.push(path.to_owned());
    if manner == Manner::Endless {
        write!(stream, "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n<root>")?;
        while !done.load(Ordering::Relaxed) {
            stream.write_all(&[b'x'; 4_096])?;
        }
        return Ok(());
    }
    let (status, text) = match path {
        "/root.xml" => (200, root()),
        "/scpd.xml" => (200, scpd()),
        "/control" => control(&body, manner, state),
        _ => (404, String::new()),
    };
    let length = text.len();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: text/xml\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{text}"
    )
}

fn root() -> String {
    format!(
        "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device>\
         <deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:1</deviceType>\
         <deviceList><device><deviceList><device><serviceList><service>\
         <serviceType>{SERVICE}</serviceType><serviceId>x</serviceId>\
         <SCPDURL>/scpd.xml</SCPDURL><controlURL>/control</controlURL>\
         <eventSubURL>/e</eventSubURL></service></serviceList></device></deviceList></device>\
         </deviceList></device></root>"
    )
}

fn scpd() -> String {
    let action = |name: &str, arguments: &[&str]| {
        let arguments: String = arguments
            .iter()
            .map(|name| {
                format!("<argument><name>{name}</name><direction>in</direction></argument>")
            })
            .collect();
        format!("<action><name>{name}</name><argumentList>{arguments}</argumentList></action>")
    };
    let add = [
        "NewRemoteHost",
        "NewExternalPort",
        "NewProtocol",
        "NewInternalPort",
        "NewInternalClient",
        "NewEnabled",
        "NewPortMappingDescription",
        "NewLeaseDuration",
    ];
    let actions = [action("AddPortMapping", &add), action("DeletePortMapping", &add[..3])];
    format!(
        "<?xml version=\"1.0\"?><scpd xmlns=\"urn:schemas-upnp-org:service-1-0\">\
         <actionList>{}</actionList></scpd>",
        actions.concat()
    )
}

fn control(body: &str, manner: Manner, state: &Mutex<State>) -> (u16, String) {
    let argument = |name: &str| {
        let (_, rest) = body.split_once(&format!("<{name}>")).unwrap_or_default();
        rest.split('<').next().unwrap_or_default().to_owned()
    };
    let number = |name: &str| argument(name).parse::<u32>().unwrap();
    let done = |action: &str, inner: &str| {
        let tag = format!("u:{action}Response");
        (200, envelope(&format!("<{tag} xmlns:u=\"{SERVICE}\">{inner}</{tag}>")))
    };
    let fault = |code: u16, text: &str| {
        let fault = format!(
            "<s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring><detail>\
             <UPnPError xmlns=\"urn:schemas-upnp-org:control-1-0\"><errorCode>{code}</errorCode>\
             <errorDescription>{text}</errorDescription></UPnPError></detail></s:Fault>"
        );
        (500, envelope(&fault))
    };
    let mut state = state.lock().unwrap();
    if body.contains(":GetExternalIPAddress") {
        let ip = format!("<NewExternalIPAddress>{OUTSIDE}</NewExternalIPAddress>");
        return done("GetExternalIPAddress", &ip);
    }
    let outside = u16::try_from(number("NewExternalPort")).unwrap();
    assert_eq!(argument("NewProtocol"), "TCP");
    if body.contains(":DeletePortMapping") {
        state.mapped.retain(|(port, ..)| *port != outside);
        return done("DeletePortMapping", "");
    }
    let life = number("NewLeaseDuration");
    match manner {
        Manner::Refusing => fault(606, "Action not authorized"),
        Manner::Permanent if life != 0 => fault(725, "OnlyPermanentLeasesSupported"),
        _ => {
            let (client, port) = (argument("NewInternalClient"), number("NewInternalPort"));
            let inner: SocketAddr = format!("{client}:{port}").parse().unwrap();
            state.mapped.retain(|(port, ..)| *port != outside);
            state.mapped.push((outside, inner.to_string(), life));
            done("AddPortMapping", "")
        }
    }
}

fn envelope(inner: &str) -> String {
    format!(
        "<?xml version=\"1.0\"?><s:Envelope \
         xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
         s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>{inner}</s:Body>\
         </s:Envelope>"
    )
}

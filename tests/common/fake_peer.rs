//! A peer that says exactly what a test wants it to say, honest or not.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use part2part::base::ServentId;
use part2part::identity::{Exporter, Identity, NetworkKey, Proof, Tls, exporter, peer_id};
use rustix::net::sockopt::set_socket_linger;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::frames::{FakeHello, FakePurpose, FakeWelcome, Frame, PING, PONG, nonce, read_nonce};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(10);

/// Who a [`FakePeer`] is and how it comes.
#[derive(Clone, Debug)]
pub struct Options {
    /// All 32 bytes of the seed of its key.
    pub seed: u8,
    /// Whom it expects to find.
    pub expected: Option<ServentId>,
    /// The contents of its network key file.
    pub network_key: Vec<u8>,
    /// From which address it dials, 127.x.y.z for instance.
    pub source: Option<IpAddr>,
    /// Whether its connections end with a reset instead of a farewell.
    pub reset: bool,
}

impl Options {
    /// The peer with this key, in the open mesh, from wherever the system likes.
    pub fn new(seed: u8) -> Self {
        Self { seed, expected: None, network_key: vec![], source: None, reset: false }
    }

    /// The same peer, dialling from `source`.
    pub fn from(self, source: impl Into<IpAddr>) -> Self {
        Self { source: Some(source.into()), ..self }
    }

    pub fn identity(&self) -> Identity {
        Identity::from_seed([self.seed; 32])
    }

    pub fn id(&self) -> ServentId {
        self.identity().id()
    }

    fn tls(&self) -> Tls {
        Tls::new(&self.identity()).expect("a TLS configuration")
    }

    fn proofs(&self, exporter: &Exporter) -> (Proof, Proof) {
        let key = NetworkKey::from_contents(&self.network_key);
        (key.dialler_proof(exporter), key.acceptor_proof(exporter))
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection to whoever is under test.
pub struct FakePeer {
    stream: Box<dyn Stream>,
    /// The servent at the other end; unknown on a connection without TLS.
    pub peer: Option<ServentId>,
}

/// A TCP connection to `addr` from `source`.
pub async fn connect(addr: SocketAddr, source: Option<IpAddr>) -> io::Result<TcpStream> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(source) = source {
        socket.bind(SocketAddr::new(source, 0))?;
    }
    let stream = timeout(PATIENCE, socket.connect(addr)).await??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl FakePeer {
    /// Bare TCP: no TLS, no proof.
    pub async fn dial_tcp(addr: SocketAddr, source: Option<IpAddr>) -> io::Result<Self> {
        Ok(Self { stream: Box::new(connect(addr, source).await?), peer: None })
    }

    /// TLS, and then nothing: the proof is the test's business. Also returns the proof
    /// that would be right and the answer that it would get.
    pub async fn dial_tls(addr: SocketAddr, options: &Options) -> io::Result<(Self, Proof, Proof)> {
        let tcp = connect(addr, options.source).await?;
        if options.reset {
            set_socket_linger(&tcp, Some(Duration::ZERO))?;
        }
        let connector = TlsConnector::from(options.tls().client(options.expected));
        let dial = connector.connect(Tls::server_name(), tcp);
        let stream = timeout(PATIENCE, dial).await??;
        let connection = stream.get_ref().1;
        let peer = peer_id(connection).map_err(io::Error::other)?;
        let (own, other) = options.proofs(&exporter(connection).map_err(io::Error::other)?);
        Ok((Self { stream: Box::new(stream), peer: Some(peer) }, own, other))
    }

    /// TLS and proof; the next that must be said is a hello.
    ///
    /// # Errors
    /// As the other end makes it: closed, or a wrong proof in return.
    pub async fn dial(addr: SocketAddr, options: &Options) -> io::Result<Self> {
        let (mut peer, own, other) = Self::dial_tls(addr, options).await?;
        peer.send_bytes(own.as_bytes()).await?;
        peer.take_proof(other).await?;
        Ok(peer)
    }

    /// TLS, proof and greeting: an honest peer for `purpose`, taken in.
    pub async fn join(
        addr: SocketAddr,
        options: &Options,
        purpose: FakePurpose,
    ) -> io::Result<(Self, FakeHello, FakeWelcome)> {
        let mut peer = Self::dial(addr, options).await?;
        peer.send(&FakeHello::new(purpose).frame()).await?;
        let hello = FakeHello::read(&peer.recv().await?);
        let welcome = FakeWelcome::read(&peer.recv().await?);
        Ok((peer, hello, welcome))
    }

    async fn take_proof(&mut self, right: Proof) -> io::Result<()> {
        let mut bytes = [0; 32];
        timeout(PATIENCE, self.stream.read_exact(&mut bytes)).await??;
        if Proof::from_bytes(bytes) == right { Ok(()) } else { Err(io::Error::other("proof")) }
    }

    /// Sends bytes as they are.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(PATIENCE, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        })
        .await?
    }

    pub async fn send(&mut self, frame: &Frame) -> io::Result<()> {
        self.send_bytes(&frame.to_bytes()).await
    }

    /// Sends a frame of any kind with any body.
    pub async fn send_frame(&mut self, kind: u8, flags: u8, body: &[u8]) -> io::Result<()> {
        self.send(&Frame { kind, flags, body: body.to_vec() }).await
    }

    /// The next frame, whatever it is.
    ///
    /// # Errors
    /// The connection closed, or nothing came in ten seconds.
    pub async fn recv(&mut self) -> io::Result<Frame> {
        timeout(PATIENCE, async {
            let [a, b, c, d, kind, flags] = self.read_array().await?;
            let len = u32::from_be_bytes([a, b, c, d]) as usize;
            assert!(len <= 1 << 20, "a frame of {len} bytes");
            let mut body = vec![0; len];
            self.stream.read_exact(&mut body).await?;
            Ok(Frame { kind, flags, body })
        })
        .await?
    }

    /// The next frame of `kind`; others that come before it are passed over.
    pub async fn recv_kind(&mut self, kind: u8) -> io::Result<Frame> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let frame = self.recv().await?;
            if frame.kind == kind {
                return Ok(frame);
            }
            if Instant::now() > deadline {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
    }

    async fn read_array<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.stream.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    /// Waits until the other end closes, reading and dropping what it still says; how
    /// long that took. Fails the test after `within`.
    pub async fn expect_closed(&mut self, within: Duration) -> Duration {
        let start = Instant::now();
        assert!(self.is_closed_within(within).await, "still open after {within:?}");
        start.elapsed()
    }

    /// Whether the other end closes in this time; what it still says is dropped.
    pub async fn is_closed_within(&mut self, within: Duration) -> bool {
        timeout(within, self.read_on(&mut Vec::new())).await.is_ok()
    }

    /// Everything that still comes until the other end closes.
    pub async fn rest(&mut self, within: Duration) -> Vec<u8> {
        let mut rest = Vec::new();
        let closed = timeout(within, self.read_on(&mut rest)).await;
        assert!(closed.is_ok(), "still open after {within:?}");
        rest
    }

    async fn read_on(&mut self, rest: &mut Vec<u8>) {
        while matches!(self.stream.read_buf(rest).await, Ok(1..)) {}
    }

    /// Pings, and returns the frames that came before the pong: all that the other end
    /// had to say to us because of what it had heard by then.
    pub async fn until_pong(&mut self, number: u64) -> io::Result<Vec<Frame>> {
        self.send(&nonce(PING, number)).await?;
        let mut before = Vec::new();
        loop {
            match self.recv().await? {
                frame if frame.kind == PONG && read_nonce(&frame) == number => return Ok(before),
                frame => before.push(frame),
            }
        }
    }

    /// Ends our half of the conversation and goes on listening.
    pub async fn finish(&mut self) -> io::Result<()> {
        timeout(PATIENCE, self.stream.shutdown()).await?
    }
}

/// A fake servent that can be dialled: a neighbour, or a source of files.
pub struct FakeListener {
    listener: TcpListener,
    options: Options,
}

impl FakeListener {
    /// Listens on a free port of 127.0.0.1.
    pub async fn bind(options: Options) -> io::Result<Self> {
        Self::bind_to("127.0.0.1:0".parse().expect("an address"), options).await
    }

    /// Listens on `addr`.
    pub async fn bind_to(addr: SocketAddr, options: Options) -> io::Result<Self> {
        Ok(Self { listener: TcpListener::bind(addr).await?, options })
    }

    pub fn addr(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound socket")
    }

    pub fn id(&self) -> ServentId {
        self.options.id()
    }

    /// The next connection as bare TCP; nothing has been said.
    pub async fn accept_tcp(&self) -> io::Result<FakePeer> {
        let (stream, _) = timeout(PATIENCE, self.listener.accept()).await??;
        Ok(FakePeer { stream: Box::new(stream), peer: None })
    }

    /// The next connection, TLS and proof done; the next that must be said is a hello.
    pub async fn accept(&self) -> io::Result<FakePeer> {
        let (tcp, _) = timeout(PATIENCE, self.listener.accept()).await??;
        tcp.set_nodelay(true)?;
        let acceptor = TlsAcceptor::from(self.options.tls().server());
        let stream = timeout(PATIENCE, acceptor.accept(tcp)).await??;
        let connection = stream.get_ref().1;
        let peer = peer_id(connection).map_err(io::Error::other)?;
        let (theirs, own) = self.options.proofs(&exporter(connection).map_err(io::Error::other)?);
        let mut peer = FakePeer { stream: Box::new(stream), peer: Some(peer) };
        peer.take_proof(theirs).await?;
        peer.send_bytes(own.as_bytes()).await?;
        Ok(peer)
    }

    /// The next connection, greeted and welcomed; also what its hello said.
    pub async fn welcome(&self) -> io::Result<(FakePeer, FakeHello)> {
        let peer = self.accept().await?;
        self.greet(peer).await
    }

    /// Greets and welcomes an accepted connection.
    pub async fn greet(&self, mut peer: FakePeer) -> io::Result<(FakePeer, FakeHello)> {
        let mut own = FakeHello::new(FakePurpose::Join);
        own.listen_port = self.addr().port();
        peer.send(&own.frame()).await?;
        let hello = FakeHello::read(&peer.recv().await?);
        let your_address = SocketAddr::new(self.addr().ip(), 1);
        peer.send(&FakeWelcome { your_address, contacts: vec![] }.frame()).await?;
        Ok((peer, hello))
    }
}

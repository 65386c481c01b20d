//! The opening of a connection: TLS, the proof of the network, and the hellos.
//!
//! What is said in which order is described in `wire`. Always true: before the other
//! side has proven the network key it learns nothing but our public key, and every
//! failure looks alike to it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector, TlsStream};

use super::frames::{FrameError, FrameReader, write_frame};
use super::ground::Ground;
use super::mesh::Mesh;
use super::network::Stream;
use super::turnstile::Turn;
use crate::base::{Contact, ServentId};
use crate::identity::{PROOF_LEN, PeerError, Proof, Tls, WrongId, exporter, peer_id, wrong_id};
use crate::message::{Greeting, Hello, Purpose, Redirect, VERSION, Welcome};
use crate::overlay::{Peer, dialable};

/// From accept to hello, TLS included; and for a dialler, from connect to welcome.
pub(super) const HELLO_TIMEOUT: Duration = Duration::from_secs(5);

/// The secured stream under every conversation.
pub(super) type Secured = TlsStream<Box<dyn Stream>>;

/// Why a connection came to nothing before anything was said.
#[derive(Debug, thiserror::Error)]
pub enum GreetingError {
    /// Nobody answered in time.
    #[error("no answer within {} s", HELLO_TIMEOUT.as_secs())]
    TimedOut,
    /// It is no servent that answers, or one that speaks no TLS 1.3 with raw keys.
    #[error("what answers there is not a part2part servent ({0})")]
    NotAServent(io::Error),
    /// Somebody else is there.
    #[error(transparent)]
    WrongId(#[from] WrongId),
    /// The other side shows no servent's key.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The proofs differ, or the other side closed on ours.
    #[error("it is in another mesh: the keys differ; ask for the line of 'invite --key'")]
    WrongNetwork,
    /// The other side is this servent.
    #[error("that is this servent itself")]
    Oneself,
    /// Another dial has made the other side a neighbour meanwhile.
    #[error("it is a neighbour by now")]
    Linked,
    /// The other side speaks another version.
    #[error("it speaks version {0} of the protocol, this servent speaks {VERSION}")]
    Version(u16),
    /// It said something else than a greeting.
    #[error(transparent)]
    Frame(#[from] FrameErrorText),
    /// It closed before it had greeted.
    #[error("it closed the connection without a greeting")]
    Closed,
}

/// What was wrong with a frame of the greeting, as a sentence.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FrameErrorText(String);

impl From<FrameError> for GreetingError {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(_) => Self::Closed,
            other => Self::Frame(FrameErrorText(other.to_string())),
        }
    }
}

/// A connection whose hellos have been said.
pub(super) struct Greeted {
    pub(super) stream: Secured,
    /// What came behind the greeting already.
    pub(super) ahead: BytesMut,
    pub(super) peer: Peer,
    pub(super) hello: Hello,
    /// The mesh that it proved to belong to.
    pub(super) mesh: Arc<Mesh>,
    /// Of a dial for a link: keeps the next one out until the engine has taken this.
    pub(super) turn: Option<Turn>,
}

/// How an acceptor took a dial.
pub(super) enum Reception {
    Welcomed(Welcome),
    Redirected(Redirect),
}

/// Greets as the dialler; `expected` refuses anybody else.
pub(super) async fn dial(
    ground: &Ground,
    stream: Box<dyn Stream>,
    to: SocketAddr,
    expected: Option<ServentId>,
    hello: Hello,
) -> Result<(Greeted, Reception), GreetingError> {
    let mesh = ground.mesh();
    let greeting = async {
        let connector = TlsConnector::from(ground.tls.client(expected));
        let secured = connector.connect(Tls::server_name(), stream).await.map_err(tls_error)?;
        let id = peer_id(secured.get_ref().1)?;
        if id == ground.id {
            return Err(GreetingError::Oneself);
        }
        let turn = match hello.purpose {
            Purpose::Transfer { .. } | Purpose::Probe => None,
            _ => Some(ground.turnstile.pass(id).await),
        };
        if matches!(hello.purpose, Purpose::Refill { .. })
            && turn.as_ref().is_some_and(|turn| **turn)
        {
            return Err(GreetingError::Linked);
        }
        let exported = exporter(secured.get_ref().1)
            .map_err(|error| GreetingError::NotAServent(io::Error::other(error)))?;
        let mut reader = FrameReader::<Secured, Greeting>::new(secured.into());

        let proof = mesh.key.dialler_proof(&exported);
        send(&mut reader, proof.as_bytes()).await.map_err(|_| GreetingError::WrongNetwork)?;
        // Whoever closes here has refused our proof: it says nothing, by design.
        let theirs = read_proof(&mut reader).await.map_err(|_| GreetingError::WrongNetwork)?;
        if theirs != mesh.key.acceptor_proof(&exported) {
            return Err(GreetingError::WrongNetwork);
        }
        write_frame(reader.io_mut(), &Greeting::Hello(hello))
            .await
            .map_err(|_| GreetingError::Closed)?;
        let hello = read_hello(&mut reader).await?;
        let reception = match reader.next().await? {
            Some(Greeting::Welcome(welcome)) => Reception::Welcomed(welcome),
            Some(Greeting::Redirect(redirect)) => Reception::Redirected(redirect),
            Some(Greeting::Hello(_)) | None => return Err(GreetingError::Closed),
        };
        // It answers there, so that address is the best we have.
        let contact = contact_of(id, &hello, to, to.port());
        let greeted = greeted(reader, contact, to, hello, &mesh);
        Ok((Greeted { turn, ..greeted }, reception))
    };
    timeout(HELLO_TIMEOUT, greeting).await.map_err(|_| GreetingError::TimedOut)?
}

/// Greets as the acceptor, up to the hellos; the welcome is for others to say.
pub(super) async fn accept(
    ground: &Ground,
    stream: Box<dyn Stream>,
    from: SocketAddr,
) -> Result<Greeted, GreetingError> {
    let mesh = ground.mesh();
    let greeting = async {
        let acceptor = TlsAcceptor::from(ground.tls.server());
        let secured = acceptor.accept(stream).await.map_err(tls_error)?;
        let id = peer_id(secured.get_ref().1)?;
        let exported = exporter(secured.get_ref().1)
            .map_err(|error| GreetingError::NotAServent(io::Error::other(error)))?;
        let mut reader = FrameReader::<Secured, Greeting>::new(secured.into());

        let theirs = read_proof(&mut reader).await.map_err(|_| GreetingError::Closed)?;
        if theirs != mesh.key.dialler_proof(&exported) {
            return Err(GreetingError::WrongNetwork);
        }
        let proof = mesh.key.acceptor_proof(&exported);
        let hello = Greeting::Hello(ground.hello(Purpose::Probe, 0));
        let mut first = BytesMut::from(proof.as_bytes().as_slice());
        super::frames::encode(&hello, &mut first).map_err(|_| GreetingError::Closed)?;
        send(&mut reader, &first).await.map_err(|_| GreetingError::Closed)?;
        let hello = read_hello(&mut reader).await?;
        if id == ground.id {
            return Err(GreetingError::Oneself);
        }
        let contact = contact_of(id, &hello, from, hello.listen_port);
        Ok(greeted(reader, contact, from, hello, &mesh))
    };
    timeout(HELLO_TIMEOUT, greeting).await.map_err(|_| GreetingError::TimedOut)?
}

/// Lets so many bytes be encrypted before any of them is written.
pub(super) fn hold_back(stream: &mut Secured, bytes: usize) {
    match stream {
        TlsStream::Client(stream) => stream.get_mut().1.set_buffer_limit(Some(bytes)),
        TlsStream::Server(stream) => stream.get_mut().1.set_buffer_limit(Some(bytes)),
    }
}

/// Ends a greeting as the acceptor.
pub(super) async fn answer(stream: &mut Secured, greeting: &Greeting) -> io::Result<()> {
    timeout(HELLO_TIMEOUT, write_frame(stream, greeting)).await?
}

fn greeted(
    reader: FrameReader<Secured, Greeting>,
    contact: Contact,
    seen: SocketAddr,
    hello: Hello,
    mesh: &Arc<Mesh>,
) -> Greeted {
    let (stream, ahead) = reader.into_parts();
    let peer = Peer { contact, name: hello.name.clone(), seen };
    Greeted { stream, ahead, peer, hello, mesh: Arc::clone(mesh), turn: None }
}

/// Where the other side can be dialled: where we see it, then what it claims.
fn contact_of(id: ServentId, hello: &Hello, seen: SocketAddr, port: u16) -> Contact {
    if hello.listen_port == 0 {
        return Contact::new(id, []);
    }
    let first = SocketAddr::new(seen.ip(), port);
    let claims = hello.addresses.iter().copied().filter(|&claim| dialable(claim, seen.ip()));
    Contact::new(id, std::iter::once(first).chain(claims))
}

async fn read_hello(reader: &mut FrameReader<Secured, Greeting>) -> Result<Hello, GreetingError> {
    match reader.next().await? {
        Some(Greeting::Hello(hello)) if hello.version == VERSION => Ok(hello),
        Some(Greeting::Hello(hello)) => Err(GreetingError::Version(hello.version)),
        Some(Greeting::Welcome(_) | Greeting::Redirect(_)) | None => Err(GreetingError::Closed),
    }
}

async fn read_proof(reader: &mut FrameReader<Secured, Greeting>) -> io::Result<Proof> {
    let mut bytes = [0; PROOF_LEN];
    reader.read_exact(&mut bytes).await?;
    Ok(Proof::from_bytes(bytes))
}

async fn send(reader: &mut FrameReader<Secured, Greeting>, bytes: &[u8]) -> io::Result<()> {
    reader.io_mut().write_all(bytes).await?;
    reader.io_mut().flush().await
}

fn tls_error(error: io::Error) -> GreetingError {
    match wrong_id(&error) {
        Some(wrong) => GreetingError::WrongId(wrong),
        None => GreetingError::NotAServent(error),
    }
}

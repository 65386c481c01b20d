//! TLS 1.3 with raw public keys, both ways.
//!
//! Always true: a finished handshake has proved the key of both ends (RFC 8446,
//! `CertificateVerify`), and the dialler has found the servent that it expected.

use std::io;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, Resumption};
use rustls::crypto::{CryptoProvider, ring as provider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::sign::CertifiedKey;
use rustls::{
    CertificateError, ClientConfig, CommonState, ConnectionCommon, DigitallySignedStruct,
    DistinguishedName, OtherError, PeerMisbehaved, ServerConfig, SignatureScheme,
};

use super::keys::Identity;
use crate::base::ServentId;

/// The application protocol that both ends must name.
pub const ALPN: &[u8] = b"part2part/1";

/// Under which label TLS exports what the proof of the network is made over.
const EXPORTER_LABEL: &[u8] = b"EXPORTER-part2part-net";

/// What an Ed25519 SubjectPublicKeyInfo (RFC 8410) has before the key itself.
const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// 32 bytes that only the two ends of one TLS connection know.
#[derive(Clone)]
pub struct Exporter(pub [u8; 32]);

/// The TLS library refuses our own configuration or key: a fault of this program.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up TLS")]
pub struct TlsError(#[from] rustls::Error);

/// Another servent than the expected one answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected servent {expected} there, found {found}")]
pub struct WrongId {
    /// Whom the dialler wanted.
    pub expected: ServentId,
    /// Who is there.
    pub found: ServentId,
}

/// Why a peer is not taken although TLS was content with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// It speaks some other protocol over TLS.
    #[error("the peer does not speak part2part/1")]
    Protocol,
    /// It showed no Ed25519 key.
    #[error("the peer showed no servent's key")]
    NoKey,
}

/// One servent's TLS: made once, used for every connection.
#[derive(Clone, Debug)]
pub struct Tls {
    server: Arc<ServerConfig>,
    /// Expects nobody in particular.
    client: Arc<ClientConfig>,
}

impl Tls {
    /// Sets TLS up for `identity`.
    ///
    /// # Errors
    /// [`TlsError`], when the library refuses; it has no reason to.
    pub fn new(identity: &Identity) -> Result<Self, TlsError> {
        let provider = Arc::new(crypto());
        let key = rustls::crypto::ring::sign::any_eddsa_type(&identity.pkcs8())?;
        let public = key.public_key().ok_or(rustls::Error::General("no public key".into()))?;
        let certificate = CertificateDer::from(public.to_vec());
        let key = Arc::new(CertifiedKey::new(vec![certificate], key));
        let verifier = Arc::new(Verifier { expected: None });

        let mut server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::clone(&verifier) as _)
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&key))));
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.send_tls13_tickets = 0;

        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(key)));
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        client.enable_sni = false;

        Ok(Self { server: Arc::new(server), client: Arc::new(client) })
    }

    /// For connections that come in.
    #[must_use]
    pub fn server(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.server)
    }

    /// For one dial; where `expected` is named, any other servent is refused.
    #[must_use]
    pub fn client(&self, expected: Option<ServentId>) -> Arc<ClientConfig> {
        if expected.is_none() {
            return Arc::clone(&self.client);
        }
        let mut config = ClientConfig::clone(&self.client);
        config.dangerous().set_certificate_verifier(Arc::new(Verifier { expected }));
        Arc::new(config)
    }

    /// The name that the library wants for a dial. It is neither sent nor checked:
    /// servents have keys, not names.
    #[must_use]
    pub fn server_name() -> ServerName<'static> {
        ServerName::from(std::net::IpAddr::from([0, 0, 0, 0]))
    }
}

/// The servent at the other end of a finished handshake.
///
/// # Errors
/// [`PeerError`], when it is no servent.
pub fn peer_id(connection: &CommonState) -> Result<ServentId, PeerError> {
    if connection.alpn_protocol() != Some(ALPN) {
        return Err(PeerError::Protocol);
    }
    let key = connection.peer_certificates().and_then(<[_]>::first).ok_or(PeerError::NoKey)?;
    key_of(key).ok_or(PeerError::NoKey)
}

/// What the proof of the network is made over, on this connection.
///
/// # Errors
/// [`TlsError`], when the handshake is not finished.
pub fn exporter<Side>(connection: &ConnectionCommon<Side>) -> Result<Exporter, TlsError> {
    Ok(Exporter(connection.export_keying_material([0; 32], EXPORTER_LABEL, None)?))
}

/// Whether a failed handshake failed because another servent answered.
#[must_use]
pub fn wrong_id(error: &io::Error) -> Option<WrongId> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = error
    else {
        return None;
    };
    cause.downcast_ref::<WrongId>().copied()
}

/// ring, TLS 1.3 only; AES-128-GCM first, the fastest by far where the processor has
/// instructions for it.
fn crypto() -> CryptoProvider {
    use provider::cipher_suite::{
        TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
    };
    let cipher_suites =
        vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];
    CryptoProvider { cipher_suites, ..provider::default_provider() }
}

/// The Ed25519 key in a raw public key, if it is one.
fn key_of(spki: &[u8]) -> Option<ServentId> {
    let key = spki.strip_prefix(&SPKI_PREFIX)?;
    key.try_into().ok().map(ServentId)
}

/// Takes any Ed25519 key, or the expected one only, and checks that the peer has it.
#[derive(Debug)]
struct Verifier {
    expected: Option<ServentId>,
}

impl Verifier {
    fn check(&self, key: &[u8], more: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let found = key_of(key).filter(|_| more.is_empty());
        let found = found.ok_or(CertificateError::BadEncoding)?;
        match self.expected {
            Some(expected) if expected != found => {
                let wrong = WrongId { expected, found };
                Err(CertificateError::Other(OtherError(Arc::new(wrong))).into())
            }
            _ => Ok(()),
        }
    }
}

fn verify(
    message: &[u8],
    key: &CertificateDer<'_>,
    signature: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let algorithms = provider::default_provider().signature_verification_algorithms;
    let key = SubjectPublicKeyInfoDer::from(key.as_ref());
    verify_tls13_signature_with_raw_key(message, &key, signature, &algorithms)
}

/// Nothing older than TLS 1.3 is ever spoken.
fn too_old() -> Result<HandshakeSignatureValid, rustls::Error> {
    Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into())
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        too_old()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Verifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        too_old()
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::NetworkKey;
    use rustls::sign::{Signer, SigningKey};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

    type Ends = (io::Result<client::TlsStream<DuplexStream>>, Accepted);
    type Accepted = io::Result<server::TlsStream<DuplexStream>>;

    fn identity(seed: u8) -> Identity {
        Identity::from_seed([seed; 32])
    }

    fn tls(seed: u8) -> Tls {
        Tls::new(&identity(seed)).unwrap()
    }

    async fn connect(client: Arc<ClientConfig>, server: Arc<ServerConfig>) -> Ends {
        let (near, far) = duplex(64 * 1024);
        let dial = async {
            let mut stream = TlsConnector::from(client).connect(Tls::server_name(), near).await?;
            // A server's refusal of our key arrives after the handshake is over for us.
            let mut byte = [0];
            stream.read_exact(&mut byte).await?;
            Ok(stream)
        };
        let accept = async {
            let mut stream = TlsAcceptor::from(server).accept(far).await?;
            stream.write_all(&[1]).await?;
            stream.flush().await?;
            Ok(stream)
        };
        tokio::join!(dial, accept)
    }

    #[tokio::test]
    async fn both_ends_learn_the_others_id_and_export_the_same_bytes() {
        let (dialler, acceptor) = (identity(1), identity(2));
        let (near, far) = connect(tls(1).client(Some(acceptor.id())), tls(2).server()).await;
        let (near, far) = (near.unwrap(), far.unwrap());
        let (near, far) = (near.get_ref().1, far.get_ref().1);
        assert_eq!(peer_id(near), Ok(acceptor.id()));
        assert_eq!(peer_id(far), Ok(dialler.id()));
        assert_eq!(near.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        let suite = near.negotiated_cipher_suite().unwrap().suite();
        assert_eq!(suite, rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
        let (x, y) = (exporter(near).unwrap(), exporter(far).unwrap());
        let key = NetworkKey::from_contents(b"ours");
        assert_eq!(key.dialler_proof(&x), key.dialler_proof(&y));
        assert_ne!(key.dialler_proof(&x), NetworkKey::open().dialler_proof(&y));
    }

    #[tokio::test]
    async fn every_connection_exports_other_bytes() {
        let (one, _far) = connect(tls(1).client(None), tls(2).server()).await;
        let (other, _far) = connect(tls(1).client(None), tls(2).server()).await;
        let bytes = |stream: client::TlsStream<_>| exporter(stream.get_ref().1).unwrap().0;
        assert_ne!(bytes(one.unwrap()), bytes(other.unwrap()));
    }

    #[tokio::test]
    async fn a_wrong_servent_is_refused_and_both_ids_are_named() {
        let expected = identity(3).id();
        let (near, far) = connect(tls(1).client(Some(expected)), tls(2).server()).await;
        let error = near.unwrap_err();
        let wrong = wrong_id(&error).unwrap();
        assert_eq!(wrong, WrongId { expected, found: identity(2).id() });
        let text = wrong.to_string();
        assert!(text.contains(&expected.to_string()), "{text}");
        assert!(text.contains(&identity(2).id().to_string()), "{text}");
        assert!(far.is_err());
        assert_eq!(wrong_id(&far.unwrap_err()), None);
    }

    #[tokio::test]
    async fn a_connection_to_oneself_shows_ones_own_id() {
        let (near, far) = connect(tls(1).client(None), tls(1).server()).await;
        assert_eq!(peer_id(near.unwrap().get_ref().1), Ok(identity(1).id()));
        assert_eq!(peer_id(far.unwrap().get_ref().1), Ok(identity(1).id()));
    }

    #[tokio::test]
    async fn a_dialler_without_a_key_is_refused() {
        let provider = Arc::new(crypto());
        let mut bare = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { expected: None }))
            .with_no_client_auth();
        bare.alpn_protocols = vec![ALPN.to_vec()];
        let (near, far) = connect(Arc::new(bare), tls(2).server()).await;
        assert!(near.is_err() && far.is_err());
    }

    #[tokio::test]
    async fn a_dialler_without_our_protocol_is_no_servent() {
        for names in [vec![], vec![b"h2".to_vec()]] {
            let mut other = ClientConfig::clone(&tls(1).client(None));
            other.alpn_protocols = names;
            let (near, far) = connect(Arc::new(other), tls(2).server()).await;
            match (near, far) {
                (Ok(near), Ok(far)) => {
                    assert_eq!(peer_id(near.get_ref().1), Err(PeerError::Protocol));
                    assert_eq!(peer_id(far.get_ref().1), Err(PeerError::Protocol));
                }
                (near, far) => assert!(near.is_err() && far.is_err()),
            }
        }
    }

    #[tokio::test]
    async fn tls_1_2_is_refused() {
        // A client hello as TLS 1.2 knew it: no supported_versions, so 1.2 at most.
        let mut hello = vec![3, 3];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0, 0, 0]);
        let mut record = vec![22, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
        record.extend(&hello);
        let (mut near, far) = duplex(4096);
        near.write_all(&record).await.unwrap();
        let error = TlsAcceptor::from(tls(2).server()).accept(far).await.unwrap_err();
        let cause = error.get_ref().unwrap().downcast_ref::<rustls::Error>().unwrap();
        assert!(matches!(cause, rustls::Error::PeerIncompatible(_)), "{cause:?}");
    }

    /// Shows one key and signs with another.
    #[derive(Debug)]
    struct Impostor {
        shown: Arc<dyn SigningKey>,
        own: Arc<dyn SigningKey>,
    }

    impl SigningKey for Impostor {
        fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
            self.own.choose_scheme(offered)
        }

        fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
            self.shown.public_key()
        }

        fn algorithm(&self) -> rustls::SignatureAlgorithm {
            self.own.algorithm()
        }
    }

    #[tokio::test]
    async fn a_servent_that_does_not_hold_the_key_that_it_shows_is_refused() {
        let key = |seed| provider::sign::any_eddsa_type(&identity(seed).pkcs8()).unwrap();
        let impostor = Arc::new(Impostor { shown: key(3), own: key(2) });
        let shown = CertificateDer::from(impostor.public_key().unwrap().to_vec());
        let certified = Arc::new(CertifiedKey::new(vec![shown], impostor));

        let mut server = ServerConfig::clone(&tls(2).server());
        let resolver = AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&certified));
        server.cert_resolver = Arc::new(resolver);
        let expected = Some(identity(3).id());
        let (near, far) = connect(tls(1).client(expected), Arc::new(server)).await;
        assert!(near.is_err() && far.is_err());

        let mut client = ClientConfig::clone(&tls(2).client(None));
        let resolver = AlwaysResolvesClientRawPublicKeys::new(certified);
        client.client_auth_cert_resolver = Arc::new(resolver);
        let (near, far) = connect(Arc::new(client), tls(1).server()).await;
        assert!(near.is_err() && far.is_err());
    }

    #[test]
    fn only_an_ed25519_key_is_a_servents() {
        let mut spki = SPKI_PREFIX.to_vec();
        spki.extend([5; 32]);
        assert_eq!(key_of(&spki), Some(ServentId([5; 32])));
        assert_eq!(key_of(&spki[..43]), None);
        spki.push(0);
        assert_eq!(key_of(&spki), None);
        let mut x25519 = spki[..44].to_vec();
        x25519[8] = 0x6e;
        assert_eq!(key_of(&x25519), None);
    }
}

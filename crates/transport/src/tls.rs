//! TLS 1.3 with pinned Ed25519 keys: one self-signed certificate per node, whose key is the identity.
//!
//! *Invariants:* only TLS 1.3; a peer shows exactly one certificate, whose key is exactly one of the pinned keys, and
//! the handshake's signature is checked under that key; names, dates and issuers prove nothing here, and no session is
//! resumed, so every connection proves the key again.

use crate::tuning;
use parking_lot::{Mutex, RwLock};
use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use rcgen::{CertificateParams, PKCS_ED25519, PublicKeyData};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls13_signature_with_raw_key};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::sign::{self, CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as RustlsError, OtherError, SignatureAlgorithm,
    SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustorium_crypto::SigningKey;
use rustorium_types::PublicKey;
use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use thiserror::Error;
use tokio::time::Instant;

/// The protocol between validators.
pub const PEER_ALPN: &[u8] = b"rustorium-peer/1";
/// The protocol between clients and a validator.
pub const CLIENT_ALPN: &[u8] = b"rustorium-client/1";
/// The server name in every certificate and connection. It identifies nobody.
pub const SERVER_NAME: &str = "rustorium";

/// The DER bytes before the 32 bytes of an Ed25519 public key: a SubjectPublicKeyInfo of RFC 8410.
const SPKI_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// A TLS configuration could not be made from the node's own key.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The self-signed certificate could not be made.
    #[error("the node's key can't make a certificate ({0}); check the key file")]
    Certificate(#[from] rcgen::Error),
    /// The TLS library refused the key or certificate.
    #[error("the node's key can't be used for TLS ({0}); check the key file")]
    Tls(#[from] RustlsError),
    /// The cryptography of this build lacks what QUIC needs.
    #[error("this build's TLS lacks the cipher that QUIC starts with: {0}")]
    Cipher(#[from] NoInitialCipherSuite),
}

/// A certificate was refused. This travels inside rustls' error and its alert.
#[derive(Clone, PartialEq, Eq, Error)]
pub enum CertificateRefused {
    /// There is more than one certificate.
    #[error("{0} certificates were presented where exactly one is allowed")]
    Count(usize),
    /// The certificate has no Ed25519 key.
    #[error("the presented certificate isn't one of an Ed25519 key")]
    NotEd25519,
    /// The Ed25519 key isn't pinned.
    #[error("the presented key {} isn't the one expected here", Hex(.0))]
    UnknownKey(PublicKey),
}

/// Prints the sentence too: rustls shows a verifier's own error with `Debug`, in this side's log and to the peer.
impl fmt::Debug for CertificateRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl From<CertificateRefused> for RustlsError {
    fn from(refused: CertificateRefused) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refused))))
    }
}

/// The keys that may link with this node. They can change while it runs.
#[derive(Debug, Default)]
pub struct KnownKeys {
    members: RwLock<BTreeSet<PublicKey>>,
    guests: RwLock<BTreeSet<PublicKey>>,
    barred: Mutex<BTreeMap<PublicKey, Instant>>,
    strangers: bool,
}

/// Keys that are barred at once. Beyond that, the keys with the shortest remaining time are admitted again.
const BARRED_MAX: usize = 4_096;

impl KnownKeys {
    /// Creates a set that accepts `members`, and any other key too if `strangers` is true.
    pub fn new(members: impl IntoIterator<Item = PublicKey>, strangers: bool) -> Arc<Self> {
        Arc::new(Self { members: RwLock::new(members.into_iter().collect()), strangers, ..Self::default() })
    }

    /// Replaces the members' keys.
    pub(crate) fn set(&self, keys: impl IntoIterator<Item = PublicKey>) {
        *self.members.write() = keys.into_iter().collect();
    }

    /// Replaces the guests' keys: keys outside the committee that are admitted by name.
    pub(crate) fn set_guests(&self, keys: BTreeSet<PublicKey>) {
        *self.guests.write() = keys;
    }

    /// Refuses a key until `until`, unless it is a member's.
    pub(crate) fn bar(&self, key: PublicKey, until: Instant) {
        let mut barred = self.barred.lock();
        let now = Instant::now();
        barred.retain(|_, until| *until > now);
        if barred.len() >= BARRED_MAX
            && let Some(soonest) = barred.iter().min_by_key(|(_, until)| **until).map(|(key, _)| *key)
        {
            barred.remove(&soonest);
        }
        barred.insert(key, until);
    }

    pub(crate) fn is_guest(&self, key: &PublicKey) -> bool {
        self.guests.read().contains(key)
    }

    pub(crate) fn is_barred(&self, key: &PublicKey) -> bool {
        self.barred.lock().get(key).is_some_and(|until| *until > Instant::now())
    }

    fn accept(&self, key: &PublicKey) -> bool {
        if self.members.read().contains(key) {
            return true;
        }
        (self.strangers || self.is_guest(key)) && !self.is_barred(key)
    }
}

/// Checks that a peer proves an accepted key. Both directions use it.
#[derive(Debug)]
pub(crate) struct PeerKeyVerifier {
    keys: Arc<KnownKeys>,
    provider: Arc<CryptoProvider>,
}

impl PeerKeyVerifier {
    pub(crate) fn new(keys: Arc<KnownKeys>, provider: Arc<CryptoProvider>) -> Arc<Self> {
        Arc::new(Self { keys, provider })
    }

    fn check(&self, presented: &CertificateDer<'_>, others: usize) -> Result<PublicKey, CertificateRefused> {
        if others > 0 {
            return Err(CertificateRefused::Count(others.saturating_add(1)));
        }
        let key = ed25519_key(presented).ok_or(CertificateRefused::NotEd25519)?;
        if self.keys.accept(&key) { Ok(key) } else { Err(CertificateRefused::UnknownKey(key)) }
    }

    /// Checks the signature over the handshake's transcript, under the key that was shown. Ed25519 is the only accepted
    /// scheme.
    fn check_signature(
        &self,
        message: &[u8],
        presented: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        if signature.scheme != SignatureScheme::ED25519 {
            return Err(CertificateRefused::NotEd25519.into());
        }
        let key = self.check(presented, 0)?;
        let spki = SubjectPublicKeyInfoDer::from([&SPKI_PREFIX[..], &key].concat());
        verify_tls13_signature_with_raw_key(message, &spki, signature, &self.provider.signature_verification_algorithms)
    }
}

fn no_tls12() -> RustlsError {
    RustlsError::General("TLS 1.2 is not spoken here".into())
}

impl ServerCertVerifier for PeerKeyVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, RustlsError> {
        self.check(end_entity, intermediates.len())?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

impl ClientCertVerifier for PeerKeyVerifier {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, RustlsError> {
        self.check(end_entity, intermediates.len())?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, RustlsError> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Returns the Ed25519 key of a certificate; `None` if it isn't a certificate, or has another kind of key.
pub fn ed25519_key(certificate: &CertificateDer<'_>) -> Option<PublicKey> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let spki = parsed.subject_public_key_info();
    spki.strip_prefix(&SPKI_PREFIX[..])?.try_into().ok()
}

/// Returns the key that the other end of a finished handshake proved; `None` if it showed no certificate.
pub fn proven_key(connection: &quinn::Connection) -> Option<PublicKey> {
    let identity: Box<dyn Any> = connection.peer_identity()?;
    let certificates = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    certificates.first().and_then(ed25519_key)
}

/// Returns the crypto provider, with AES-128 first: QUIC starts with it, and it is the fastest of the three on
/// processors with AES.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let suites = [
        ring::cipher_suite::TLS13_AES_128_GCM_SHA256,
        ring::cipher_suite::TLS13_AES_256_GCM_SHA384,
        ring::cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(CryptoProvider {
        cipher_suites: suites.to_vec(),
        kx_groups: vec![ring::kx_group::X25519],
        ..ring::default_provider()
    })
}

/// A node's key in the form that the TLS libraries use. It signs without being copied into a type of theirs.
#[derive(Clone)]
pub(crate) struct Identity(SigningKey);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({})", Hex(&self.0.public()))
    }
}

impl sign::SigningKey for Identity {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn sign::Signer>> {
        offered.contains(&SignatureScheme::ED25519).then(|| Box::new(self.clone()) as Box<dyn sign::Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ED25519
    }
}

impl sign::Signer for Identity {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, RustlsError> {
        Ok(self.0.sign(message).to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ED25519
    }
}

/// The key that makes and signs a node's own certificate.
struct Issuer<'a> {
    identity: &'a SigningKey,
    public: PublicKey,
}

impl PublicKeyData for Issuer<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &PKCS_ED25519
    }
}

impl rcgen::SigningKey for Issuer<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.identity.sign(message).to_vec())
    }
}

/// Returns the certificate that a node of this key shows, with the key.
pub(crate) fn certified(identity: &SigningKey) -> Result<CertifiedKey, TlsError> {
    Ok(CertifiedKey::new(vec![certificate(identity)?], Arc::new(Identity(identity.clone()))))
}

/// Returns the certificate that a node of this key shows.
pub fn certificate(identity: &SigningKey) -> Result<CertificateDer<'static>, TlsError> {
    let issuer = Issuer { identity, public: identity.public() };
    Ok(CertificateParams::new(vec![SERVER_NAME.to_owned()])?.self_signed(&issuer)?.der().clone())
}

fn server(
    identity: &SigningKey,
    clients: Option<Arc<KnownKeys>>,
    alpn: &[u8],
) -> Result<quinn::ServerConfig, TlsError> {
    let provider = provider();
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13])?;
    let builder = match clients {
        Some(keys) => builder.with_client_cert_verifier(PeerKeyVerifier::new(keys, provider)),
        None => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified(identity)?)));
    config.alpn_protocols = vec![alpn.to_vec()];
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(config)?)))
}

fn client(identity: Option<&SigningKey>, node_key: &PublicKey, alpn: &[u8]) -> Result<quinn::ClientConfig, TlsError> {
    let provider = provider();
    let builder = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(PeerKeyVerifier::new(KnownKeys::new([*node_key], false), provider));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certified(identity)?))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config)?)))
}

/// Returns the configuration of the accepting side of a link between nodes: the dialer must prove one of `keys`.
pub fn peer_server_config(identity: &SigningKey, keys: Arc<KnownKeys>) -> Result<quinn::ServerConfig, TlsError> {
    server(identity, Some(keys), PEER_ALPN)
}

/// Returns the configuration of the dialing side of a link between nodes: the other end must prove `peer`.
pub fn peer_client_config(identity: &SigningKey, peer: &PublicKey) -> Result<quinn::ClientConfig, TlsError> {
    client(Some(identity), peer, PEER_ALPN)
}

/// Returns the configuration of a validator's port for clients. Clients are anonymous and may open one bidirectional
/// stream.
pub fn client_api_server(identity: &SigningKey) -> Result<quinn::ServerConfig, TlsError> {
    let mut config = server(identity, None, CLIENT_ALPN)?;
    config.transport_config(Arc::new(tuning::client_api()));
    Ok(config)
}

/// Returns the configuration of a client of the validator that proves `node_key`. Connect with [`SERVER_NAME`].
pub fn client_api_client(node_key: &PublicKey) -> Result<quinn::ClientConfig, TlsError> {
    let mut config = client(None, node_key, CLIENT_ALPN)?;
    config.transport_config(Arc::new(tuning::client_api()));
    Ok(config)
}

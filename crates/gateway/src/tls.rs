//! TLS of the HTTP API: certificate and key from PEM files, read again while the node runs.
//!
//! Only TLS 1.3 is spoken: the clients are current programs and browsers, it has no option that weakens it, and QUIC
//! and the peers' links speak only TLS 1.3 too. No session is resumed, so each connection proves its client again.
//!
//! *Invariants:* files that can't be used change nothing: the previous certificate stays in use, and the problem is
//! reported; a connection keeps the configuration that it began with; if authorities of clients are named, a client
//! without a certificate of one of them is never served.

mod failure;
mod files;
mod validity;

use files::{Contents, chain, key};
use parking_lot::{Mutex, RwLock};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::TLS13;
use rustls::{Error as RustlsError, InconsistentKeys, RootCertStore, ServerConfig};
use rustorium_crypto::value_hash;
use rustorium_types::Hash;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use failure::HandshakeFailure;
pub use files::TlsError;
pub use validity::Validity;

/// Time between two checks of the files.
pub(crate) const LOOK: Duration = Duration::from_secs(1);
const HTTP_2: &[u8] = b"h2";
const HTTP_1: &[u8] = b"http/1.1";

/// Paths of the PEM files.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsFiles {
    /// The gateway's certificate, and the chain from it to its authority.
    pub certificate: PathBuf,
    /// Key of the certificate.
    pub key: PathBuf,
    /// Authorities of clients. If given, each client must show a certificate of one of them.
    #[serde(default)]
    pub client_authorities: Option<PathBuf>,
}

/// State of TLS.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TlsState {
    /// Validity of the certificate in use.
    #[serde(flatten)]
    pub validity: Validity,
    /// Reason why the current files are not in use.
    pub trouble: Option<String>,
}

/// Configuration for new connections.
struct LoadedTls {
    /// Configuration for clients that may speak HTTP/2.
    both: Arc<ServerConfig>,
    /// Configuration for clients that may not.
    one: Arc<ServerConfig>,
    validity: Validity,
}

/// The gateway's TLS.
pub struct Tls {
    files: TlsFiles,
    loaded: RwLock<Arc<LoadedTls>>,
    /// Hash of the bytes that were checked last, and what was wrong with them.
    looked: Mutex<(Hash, Option<String>)>,
}

impl Tls {
    /// Reads the files.
    pub fn open(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = Contents::read(&files)?;
        let loaded = LoadedTls::new(&files, &contents)?;
        let (loaded, looked) = (RwLock::new(Arc::new(loaded)), Mutex::new((contents.mark(), None)));
        Ok(Self { files, loaded, looked })
    }

    /// Checks whether the files have changed, and uses them if they are right. Returns true if they came into use now.
    pub fn look(&self) -> bool {
        let contents = Contents::read(&self.files);
        let mark = match &contents {
            Ok(contents) => contents.mark(),
            Err(error) => value_hash(error.to_string().as_bytes()),
        };
        let mut looked = self.looked.lock();
        if looked.0 == mark {
            return false;
        }
        let loaded = contents.and_then(|contents| LoadedTls::new(&self.files, &contents));
        let (trouble, new) = match loaded {
            Ok(loaded) => {
                *self.loaded.write() = Arc::new(loaded);
                tracing::info!(event = "tls_reloaded");
                (None, true)
            }
            Err(error) => {
                tracing::warn!(event = "tls_not_reloaded", reason = %error);
                (Some(error.to_string()), false)
            }
        };
        *looked = (mark, trouble);
        new
    }

    /// Returns the current state.
    pub fn state(&self) -> TlsState {
        let validity = self.loaded.read().validity;
        let trouble = self.looked.lock().1.clone();
        TlsState { validity, trouble }
    }

    /// Returns the configuration for a new connection.
    pub(crate) fn config(&self, http_2: bool) -> Arc<ServerConfig> {
        let loaded = self.loaded.read();
        if http_2 { loaded.both.clone() } else { loaded.one.clone() }
    }
}

/// Returns true if a connection speaks HTTP/2 from now on.
pub(crate) fn is_http_2(protocol: Option<&[u8]>) -> bool {
    protocol == Some(HTTP_2)
}

impl LoadedTls {
    fn new(files: &TlsFiles, contents: &Contents) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = chain(&files.certificate, &contents.certificate)?;
        let bad =
            |reason: &str| TlsError::BadCertificate { path: files.certificate.clone(), reason: reason.to_owned() };
        let validity =
            chain.first().and_then(|own| Validity::of(own)).ok_or_else(|| bad("it is no X.509 certificate"))?;
        let key = key(&files.key, &contents.key)?;
        let signing = provider.key_provider.load_private_key(key);
        let signing =
            signing.map_err(|error| TlsError::OtherKind { path: files.key.clone(), reason: error.to_string() })?;
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            Ok(()) | Err(RustlsError::InconsistentKeys(InconsistentKeys::Unknown)) => {}
            Err(RustlsError::InconsistentKeys(_)) => {
                return Err(TlsError::OtherKey { certificate: files.certificate.clone(), key: files.key.clone() });
            }
            Err(error) => return Err(bad(&error.to_string())),
        }
        let mut config = base(files, contents, provider, certified)?;
        config.alpn_protocols = vec![HTTP_1.to_vec()];
        let one = Arc::new(config.clone());
        config.alpn_protocols = vec![HTTP_2.to_vec(), HTTP_1.to_vec()];
        Ok(Self { both: Arc::new(config), one, validity })
    }
}

fn base(
    files: &TlsFiles,
    contents: &Contents,
    provider: Arc<CryptoProvider>,
    certified: CertifiedKey,
) -> Result<ServerConfig, TlsError> {
    let other = |error: &dyn std::fmt::Display| TlsError::Other(error.to_string());
    let builder = ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&[&TLS13]);
    let builder = builder.map_err(|error| other(&error))?;
    let builder = match (&files.client_authorities, &contents.client_authorities) {
        (Some(path), Some(pem)) => {
            let mut roots = RootCertStore::empty();
            for authority in chain(path, pem)? {
                let bad =
                    |error: RustlsError| TlsError::BadCertificate { path: path.clone(), reason: error.to_string() };
                roots.add(authority).map_err(bad)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|error| other(&error))?)
        }
        _ => builder.with_no_client_auth(),
    };
    let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(config)
}

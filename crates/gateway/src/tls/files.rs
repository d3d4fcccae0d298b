//! PEM files of the gateway's TLS: read within bounds, with one sentence for each fault.

use crate::tls::TlsFiles;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use rustorium_crypto::value_hash;
use rustorium_types::Hash;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use thiserror::Error;
use zeroize::Zeroizing;

/// Maximum bytes of a file: hundreds of certificates.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// Bits of a file's mode that give access to everybody.
const EVERYBODY: u32 = 0o007;

/// Reason why the files can't be used.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("{path} can't be read ({error}): correct its path in [gateway], and let the node's user read it")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Error of the system.
        error: io::Error,
    },
    /// A path is not a file, or the file is far too large.
    #[error("{path} is not a PEM file of at most 1 MiB: correct its path in [gateway]")]
    NoFile {
        /// The file.
        path: PathBuf,
    },
    /// Everybody on the machine may read or write the key.
    #[error(
        "everybody on this machine may use the key in {path} (mode {mode:o}): run `chmod o= {path}`, and take a new key \
         if somebody may have done so"
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Mode of the file.
        mode: u32,
    },
    /// The key needs a passphrase.
    #[error(
        "the key in {path} is sealed by a passphrase, which a node can't ask for: write it without one by \
         `openssl pkey -in {path} -out NEW`, for the node's user alone"
    )]
    Sealed {
        /// The file.
        path: PathBuf,
    },
    /// There is no key.
    #[error("there is no key in {path}: put the PEM file there whose first line is -----BEGIN PRIVATE KEY-----")]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The key is of an unsupported kind.
    #[error("the key in {path} can't be used ({reason}): take an ECDSA (P-256), Ed25519 or RSA key")]
    OtherKind {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// There is no certificate.
    #[error("there is no certificate in {path}: put the PEM file there that begins with -----BEGIN CERTIFICATE-----")]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A certificate doesn't parse.
    #[error("a certificate in {path} isn't readable ({reason}): put the file there again as its authority made it")]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// The fault.
        reason: String,
    },
    /// The certificate doesn't belong to the key.
    #[error("the certificate in {certificate} is not for the key in {key}: put a matching pair there")]
    OtherKey {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The TLS library refuses files that are otherwise right.
    #[error("TLS can't be used ({0}): report this")]
    Other(String),
}

/// Contents of the files.
pub(super) struct Contents {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Zeroizing<Vec<u8>>,
    pub(super) client_authorities: Option<Vec<u8>>,
}

impl Contents {
    /// Reads all files.
    pub(super) fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        let certificate = content(&files.certificate, false)?;
        let key = Zeroizing::new(content(&files.key, true)?);
        let client_authorities = files.client_authorities.as_deref().map(|path| content(path, false)).transpose()?;
        Ok(Self { certificate, key, client_authorities })
    }

    /// Returns a hash of the contents, which differs for other bytes.
    pub(super) fn mark(&self) -> Hash {
        let parts = [&self.certificate[..], &self.key[..], self.client_authorities.as_deref().unwrap_or_default()];
        let marks: Vec<u8> = parts.iter().flat_map(|part| value_hash(part).0).collect();
        value_hash(&marks)
    }
}

fn content(path: &Path, secret: bool) -> Result<Vec<u8>, TlsError> {
    let unreadable = |error| TlsError::Unreadable { path: path.to_owned(), error };
    let file = File::open(path).map_err(unreadable)?;
    let found = file.metadata().map_err(unreadable)?;
    if !found.is_file() || found.len() > FILE_BYTES_MAX {
        return Err(TlsError::NoFile { path: path.to_owned() });
    }
    let mode = found.mode() & 0o777;
    if secret && mode & EVERYBODY != 0 {
        return Err(TlsError::Exposed { path: path.to_owned(), mode });
    }
    // All memory is allocated at once: a growing vector leaves copies behind.
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or(0) + 1);
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

/// Returns all certificates of a PEM file. Errors: what is wrong with the file.
pub(super) fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// Returns the certificates of a file, at least one.
pub(super) fn chain(path: &Path, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found = certificates(pem).map_err(|reason| TlsError::BadCertificate { path: path.to_owned(), reason })?;
    if found.is_empty() { Err(TlsError::NoCertificate { path: path.to_owned() }) } else { Ok(found) }
}

/// Returns the first key of a file.
pub(super) fn key(path: &Path, pem: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let sealed =
        |line: &[u8]| line.starts_with(b"-----BEGIN ENCRYPTED ") || line.starts_with(b"Proc-Type: 4,ENCRYPTED");
    if pem.split(|byte| *byte == b'\n').any(sealed) {
        return Err(TlsError::Sealed { path: path.to_owned() });
    }
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| TlsError::NoKey { path: path.to_owned() })
}

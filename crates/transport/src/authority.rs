//! A small certificate authority for devnets and tests.
//!
//! *Invariants:* the authority's key is only in memory, so no certificate can be issued once it is gone.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use zeroize::Zeroizing;

/// Characters of a line in a PEM file.
const LINE: usize = 64;

/// The use of a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Purpose {
    /// A server, which clients reach by its names.
    Server,
    /// A client, which presents the certificate to servers.
    Client,
}

/// A certificate and its key, in PEM form.
pub struct Issued {
    /// The certificate.
    pub certificate: String,
    /// The key (PKCS #8).
    pub key: Zeroizing<String>,
}

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
}

/// Encodes DER bytes as a PEM block with this label.
fn pem(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(LINE.min(rest.len()));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}

impl Authority {
    /// Creates an authority and draws its key (ECDSA, P-256).
    pub fn new(name: &str) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = pem("CERTIFICATE", params.self_signed(&key)?.der());
        Ok(Self { issuer: Issuer::new(params, key), certificate })
    }

    /// Returns the authority's own certificate, PEM. It is the one to trust.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Issues a certificate with a new key for these names and addresses. `until`: the year, month and day at whose
    /// beginning it expires; `None` for never.
    pub fn issue(
        &self,
        names: &[String],
        purpose: Purpose,
        until: Option<(i32, u8, u8)>,
    ) -> Result<Issued, rcgen::Error> {
        let mut params = CertificateParams::new(names)?;
        if let Some(name) = names.first() {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![match purpose {
            Purpose::Server => ExtendedKeyUsagePurpose::ServerAuth,
            Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        }];
        params.use_authority_key_identifier_extension = true;
        if let Some((year, month, day)) = until {
            if !(1..=12).contains(&month) || !(1..=28).contains(&day) || !(1951..=9999).contains(&year) {
                return Err(rcgen::Error::Time);
            }
            params.not_after = date_time_ymd(year, month, day);
        }
        let key = KeyPair::generate()?;
        let certificate = pem("CERTIFICATE", params.signed_by(&key, &self.issuer)?.der());
        Ok(Issued { certificate, key: Zeroizing::new(pem("PRIVATE KEY", &Zeroizing::new(key.serialize_der()))) })
    }
}

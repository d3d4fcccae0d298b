//! Reasons why a TLS handshake failed.

use rustls::{AlertDescription, Error as RustlsError};
use std::io;

/// Reason why a handshake failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum HandshakeFailure {
    /// The address has too many handshakes in progress, or begins them too fast.
    Crowded,
    /// The handshake took too long.
    Late,
    /// The client speaks no TLS.
    Plain,
    /// The client showed no certificate, though it must.
    NoCertificate,
    /// The client's certificate isn't from one of the authorities, or isn't valid now.
    BadCertificate,
    /// The client doesn't accept the gateway's certificate.
    Refused,
    /// Anything else, such as another version of TLS.
    Broken,
}

impl HandshakeFailure {
    pub(crate) const ALL: [Self; 7] = [
        Self::Crowded,
        Self::Late,
        Self::Plain,
        Self::NoCertificate,
        Self::BadCertificate,
        Self::Refused,
        Self::Broken,
    ];

    /// The value of the metric's label.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Crowded => "crowded",
            Self::Late => "late",
            Self::Plain => "no-tls",
            Self::NoCertificate => "no-client-certificate",
            Self::BadCertificate => "bad-client-certificate",
            Self::Refused => "refused-by-client",
            Self::Broken => "broken",
        }
    }

    /// Returns the reason from the error of a handshake.
    pub(crate) fn of(error: &io::Error) -> Self {
        use AlertDescription as A;
        let found = error.get_ref().and_then(|inner| inner.downcast_ref::<RustlsError>());
        match found {
            Some(RustlsError::NoCertificatesPresented) => Self::NoCertificate,
            Some(RustlsError::InvalidCertificate(_)) => Self::BadCertificate,
            Some(RustlsError::AlertReceived(
                A::UnknownCA | A::BadCertificate | A::CertificateExpired | A::CertificateUnknown | A::DecryptError,
            )) => Self::Refused,
            _ => Self::Broken,
        }
    }
}

//! Reasons why the server ends a client's QUIC connection.

use crate::gate::AccessDenied;
use quinn::{Connection, VarInt};
use thiserror::Error;

/// Reason why the server ends a connection. QUIC's close frame carries the number and the text.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Violation {
    /// The client submitted more transactions than its credit allows.
    #[error("over-credit: more transactions are outstanding than the credit allows; wait for results")]
    OverCredit,
    /// The bytes are not a frame of this protocol.
    #[error("malformed-frame: a frame is too large or isn't a canonical encoding")]
    Malformed,
    /// The client speaks another version.
    #[error("unsupported-version: this node speaks version 1 of the QUIC API; use a client of that version")]
    Version,
    /// The client sent no hello in time, or didn't read its results.
    #[error("too-slow: the client sent or read nothing for too long; connect again")]
    TooSlow,
    /// The client has no token that allows submissions.
    #[error("{}: {}", .0.code(), .0.sentence())]
    Denied(AccessDenied),
    /// The node stops.
    #[error("closing: the node is closing; connect to another")]
    Closing,
}

impl Violation {
    /// Returns the number in the close frame.
    pub fn code(self) -> u32 {
        match self {
            Self::OverCredit => 1,
            Self::Malformed => 2,
            Self::Version => 3,
            Self::TooSlow => 4,
            Self::Closing => 5,
            Self::Denied(_) => 6,
        }
    }

    /// Closes a connection for this reason.
    pub(super) fn close(self, connection: &Connection) {
        connection.close(VarInt::from_u32(self.code()), self.to_string().as_bytes());
    }
}

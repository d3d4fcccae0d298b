//! The stable codes of what keeps a node from starting.

use rustorium_gateway::http::server::StartError;
use rustorium_storage::JournalError;
use rustorium_transport::TransportError;

pub(crate) fn start_code(error: &StartError) -> &'static str {
    match error {
        StartError::PortInUse { .. } => "port-in-use",
        StartError::Listen { .. } => "listen-failed",
    }
}

pub(crate) fn transport_code(error: &TransportError) -> &'static str {
    match error {
        TransportError::PortInUse { .. } => "port-in-use",
        TransportError::Bind { .. } => "listen-failed",
        _ => "config-invalid",
    }
}

/// The stable code of a journal's failure.
pub fn journal_code(error: &JournalError) -> &'static str {
    use JournalError as E;
    match error {
        E::Locked { .. } => "home-locked",
        E::DiskFull { .. } => "disk-full",
        E::Corrupt { .. } => "journal-retired",
        E::OtherKey { .. } => "wrong-storage-key",
        E::Version { .. } => "format-unknown",
        _ => "journal-failed",
    }
}

//! Addresses at which peers are dialed: a host, by name or by number, and a port.

use serde::Deserialize;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use thiserror::Error;
use tokio::net::lookup_host;

/// Bytes of an address in text form.
pub const ADDRESS_BYTES_MAX: usize = 128;

/// A peer's `host:port`. A name is resolved again at each attempt, because the peer may move.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum PeerAddress {
    /// An IP address and a port.
    Fixed(SocketAddr),
    /// A host name for the system's resolver, and a port.
    Named {
        /// The name.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Text that is not a peer's address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{text:?} is no address of a peer; write host:port, such as node-1.example.org:26650 or [2001:db8::1]:26650")]
pub struct BadAddress {
    /// The text, cut if it is long.
    pub text: String,
}

impl PeerAddress {
    /// Parses `host:port`. Errors: text that can't be dialed.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress { text: text.chars().take(ADDRESS_BYTES_MAX).collect() };
        if text.len() > ADDRESS_BYTES_MAX {
            return Err(bad());
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return if address.port() == 0 { Err(bad()) } else { Ok(Self::Fixed(address)) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let letters = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
        // Accept a port only in the form in which it is printed: the library parses "+7" too, which would hide an
        // address in a name.
        let port =
            port.parse().ok().filter(|number: &u16| *number != 0 && number.to_string() == port).ok_or_else(bad)?;
        if host.is_empty() || !letters {
            return Err(bad());
        }
        Ok(Self::Named { host: host.to_owned(), port })
    }

    /// Returns the address if it needs no resolver.
    pub fn fixed(&self) -> Option<SocketAddr> {
        match self {
            Self::Fixed(address) => Some(*address),
            Self::Named { .. } => None,
        }
    }

    /// Returns the first address of the name that a socket of this family can reach.
    pub(crate) async fn resolve(&self, only_v4: bool) -> io::Result<SocketAddr> {
        let (host, port) = match self {
            Self::Fixed(address) => return Ok(*address),
            Self::Named { host, port } => (host.as_str(), *port),
        };
        let mut found = lookup_host((host, port)).await?;
        let none = || io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address of this node's family"));
        found.find(|address| address.is_ipv4() || !only_v4).ok_or_else(none)
    }
}

impl TryFrom<String> for PeerAddress {
    type Error = BadAddress;

    fn try_from(text: String) -> Result<Self, BadAddress> {
        Self::parse(&text)
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        Self::Fixed(address)
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(address) => write!(f, "{address}"),
            Self::Named { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_numbers_or_names_with_a_port() {
        for text in ["127.0.0.1:26650", "[::1]:1", "node-1:26650", "a.example.org:65535"] {
            assert_eq!(PeerAddress::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(PeerAddress::parse("10.0.0.1:7").unwrap().fixed(), Some("10.0.0.1:7".parse().unwrap()));
        let long = format!("{}:1", "a".repeat(ADDRESS_BYTES_MAX));
        let bad =
            ["", "node", "node:", ":1", "node:0", "1.2.3.4:0", "no de:1", "node:70000", "[::1]", "1.2.3.4:+7", "n:07"];
        for text in bad.into_iter().chain([long.as_str()]) {
            let error = PeerAddress::parse(text).unwrap_err();
            assert!(error.to_string().contains("host:port") && error.text.len() <= ADDRESS_BYTES_MAX, "{text}");
        }
    }

    #[tokio::test]
    async fn a_name_is_resolved_in_the_socket_s_family() {
        let name = PeerAddress::parse("localhost:7").unwrap();
        assert_eq!(name.resolve(true).await.unwrap(), "127.0.0.1:7".parse().unwrap());
    }
}

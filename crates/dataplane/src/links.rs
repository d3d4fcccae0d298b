//! Which peers' links are up, by name, for whoever asks how the node is.

use parking_lot::Mutex;
use rustorium_types::ValidatorIndex;
use std::collections::BTreeSet;
use std::net::SocketAddr;

/// Peers that a sentence names; beyond, it counts.
const NAMED_MAX: usize = 4;

/// A peer as an operator knows it.
#[derive(Clone, Debug)]
pub struct PeerName {
    /// Its place in the committee.
    pub index: ValidatorIndex,
    /// Its name in the genesis.
    pub name: String,
    /// Where `config.toml` says that it is.
    pub address: SocketAddr,
}

/// The peers and which of them are connected.
pub struct Links {
    peers: Vec<PeerName>,
    up: Mutex<BTreeSet<ValidatorIndex>>,
}

impl Links {
    /// No link is up yet.
    pub fn new(peers: Vec<PeerName>) -> Self {
        Self { peers, up: Mutex::default() }
    }

    /// A link came up or went down.
    pub fn set(&self, peer: ValidatorIndex, up: bool) {
        let mut links = self.up.lock();
        if up {
            links.insert(peer);
        } else {
            links.remove(&peer);
        }
    }

    /// Peers of the committee, without this node.
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Those that aren't connected.
    pub fn unreachable(&self) -> Vec<&PeerName> {
        let up = self.up.lock();
        self.peers.iter().filter(|peer| !up.contains(&peer.index)).collect()
    }

    /// The same as words: names and addresses of the first few.
    pub fn unreachable_text(&self) -> String {
        let missing = self.unreachable();
        let named = missing.iter().take(NAMED_MAX).map(|peer| format!("{} at {}", peer.name, peer.address));
        let mut parts: Vec<String> = named.collect();
        if missing.len() > NAMED_MAX {
            parts.push(format!("{} more", missing.len() - NAMED_MAX));
        }
        parts.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(n: u16) -> Links {
        let peer = |index| PeerName {
            index: ValidatorIndex(index),
            name: format!("node-{index}"),
            address: SocketAddr::from(([10, 0, 0, 1], 1000 + index)),
        };
        Links::new((1..=n).map(peer).collect())
    }

    #[test]
    fn who_is_missing_is_named() {
        let links = links(3);
        links.set(ValidatorIndex(1), true);
        links.set(ValidatorIndex(3), true);
        links.set(ValidatorIndex(3), false);
        let names: Vec<_> = links.unreachable().into_iter().map(|peer| peer.name.clone()).collect();
        assert_eq!((names, links.peers()), (vec!["node-2".to_owned(), "node-3".to_owned()], 3));
        assert_eq!(links.unreachable_text(), "node-2 at 10.0.0.1:1002, node-3 at 10.0.0.1:1003");
    }

    #[test]
    fn a_large_committee_makes_no_endless_sentence() {
        assert!(links(100).unreachable_text().ends_with(", 96 more"));
    }
}

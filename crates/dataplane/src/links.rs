//! Which peers' links are up, by name, for whoever asks how the node is.

use parking_lot::Mutex;
use rustorium_transport::PeerAddress;
use rustorium_types::{PublicKey, ValidatorIndex};
use std::collections::BTreeSet;

/// Peers that a sentence names; beyond, it counts.
const NAMED_MAX: usize = 4;

/// A peer as an operator knows it.
#[derive(Clone, Debug)]
pub struct PeerName {
    /// Its place in the committee.
    pub index: ValidatorIndex,
    /// The key that its link proves.
    pub node_key: PublicKey,
    /// Its name in the genesis.
    pub name: String,
    /// Where `config.toml` says that it is.
    pub address: PeerAddress,
}

/// The peers and which of them are connected.
pub struct Links {
    peers: Vec<PeerName>,
    /// Of members and others.
    up: Mutex<BTreeSet<PublicKey>>,
}

impl Links {
    /// No link is up yet.
    pub fn new(peers: Vec<PeerName>) -> Self {
        Self { peers, up: Mutex::default() }
    }

    /// A link came up or went down.
    pub fn set(&self, node_key: &PublicKey, up: bool) {
        let mut links = self.up.lock();
        if up {
            links.insert(*node_key);
        } else {
            links.remove(node_key);
        }
    }

    /// A peer's place; none: it isn't in the committee.
    pub fn place(&self, node_key: &PublicKey) -> Option<ValidatorIndex> {
        self.peers.iter().find(|peer| peer.node_key == *node_key).map(|peer| peer.index)
    }

    /// Nodes outside the committee that are connected.
    pub fn followers(&self) -> usize {
        self.up.lock().iter().filter(|key| self.place(key).is_none()).count()
    }

    /// Peers of the committee, without this node.
    pub fn peers(&self) -> usize {
        self.peers.len()
    }

    /// Those that aren't connected.
    pub fn unreachable(&self) -> Vec<&PeerName> {
        let up = self.up.lock();
        self.peers.iter().filter(|peer| !up.contains(&peer.node_key)).collect()
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
            node_key: [index as u8; 32],
            name: format!("node-{index}"),
            address: std::net::SocketAddr::from(([10, 0, 0, 1], 1000 + index)).into(),
        };
        Links::new((1..=n).map(peer).collect())
    }

    #[test]
    fn who_is_missing_is_named() {
        let links = links(3);
        links.set(&[1; 32], true);
        links.set(&[3; 32], true);
        links.set(&[3; 32], false);
        links.set(&[9; 32], true);
        assert_eq!(
            (links.followers(), links.place(&[3; 32]), links.place(&[9; 32])),
            (1, Some(ValidatorIndex(3)), None)
        );
        let names: Vec<_> = links.unreachable().into_iter().map(|peer| peer.name.clone()).collect();
        assert_eq!((names, links.peers()), (vec!["node-2".to_owned(), "node-3".to_owned()], 3));
        assert_eq!(links.unreachable_text(), "node-2 at 10.0.0.1:1002, node-3 at 10.0.0.1:1003");
    }

    #[test]
    fn a_large_committee_makes_no_endless_sentence() {
        assert!(links(100).unreachable_text().ends_with(", 96 more"));
    }
}

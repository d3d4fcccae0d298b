//! The configuration of two nodes of one process, which the examples that measure share.

use rustorium_crypto::SigningKey;
use rustorium_transport::{Config, FollowerLimits, Peer, SPOKEN, Shaper};
use rustorium_types::{ChainId, ValidatorIndex};
use std::net::SocketAddr;
use std::sync::Arc;

/// Returns the configuration of the node with this number; `shaper` delays its links.
pub fn config(me: u16, keys: &[SigningKey; 2], addresses: [SocketAddr; 2], shaper: Option<Arc<Shaper>>) -> Config {
    let peers = [0, 1].map(|i: u16| Peer {
        index: ValidatorIndex(i),
        node_key: keys[usize::from(i)].public(),
        address: Some(addresses[usize::from(i)].into()),
    });
    Config {
        me: Some(ValidatorIndex(me)),
        listen: addresses[usize::from(me)],
        identity: keys[usize::from(me)].clone(),
        shards: Default::default(),
        chain: ChainId::ZERO,
        versions: SPOKEN,
        peers: peers.to_vec(),
        queue_frames: Config::QUEUES.0,
        queue_bytes: Config::QUEUES.1,
        guests: Default::default(),
        followers: FollowerLimits::CLOSED,
        shaper,
    }
}

//! The committee as this node reaches it: who its members are, where they are dialed, and whose links are up.

use crate::guests::Guests;
use crate::outside::Standing;
use parking_lot::{Mutex, RwLock};
use rustorium_shard::context::Context;
use rustorium_transport::{Peer, PeerAddress, SEEDS_MAX};
use rustorium_types::{PublicKey, Validator, ValidatorIndex, link_version};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Peers that a sentence names; beyond, it counts.
const NAMED_MAX: usize = 4;
/// Nodes outside the committee that were asked how the epoch ended, and may still answer.
const ASKED_MAX: usize = 64;

/// A peer as an operator knows it.
#[derive(Clone, Debug)]
pub struct PeerName {
    /// The peer's place in the committee.
    pub index: ValidatorIndex,
    /// The key that its link proves.
    pub node_key: PublicKey,
    /// The peer's name in the committee.
    pub name: String,
    /// Address at which it is dialed; `None` if it dials.
    pub address: Option<PeerAddress>,
}

/// The peers of the epoch that goes on, and which of them are connected.
pub struct Links {
    /// Addresses by node key, as `config.toml` has them: of those whose committee entry has none.
    book: BTreeMap<PublicKey, PeerAddress>,
    /// Dialed besides the committee while this node is no member of it.
    seeds: BTreeMap<PublicKey, PeerAddress>,
    /// This node's own key on its links.
    own: PublicKey,
    members: RwLock<Arc<Members>>,
    /// Keys outside the committee that are let in by name.
    guests: Guests,
    /// Peers that this node asked how its epoch ended.
    asked: Mutex<BTreeSet<PublicKey>>,
    /// Keys of members and others whose links are up.
    up: Mutex<BTreeSet<PublicKey>>,
    /// Members whose links speak an older version than a release does that knows protocol version 2.
    older: Mutex<BTreeSet<PublicKey>>,
    /// Round trips to members as they were measured last (R53), microseconds.
    round_trips_us: Mutex<BTreeMap<PublicKey, u64>>,
}

struct Members {
    context: Arc<Context>,
    peers: Vec<PeerName>,
}

impl Links {
    /// No link is up yet. `own`: this node's key on its links; `book`: addresses by node key.
    pub fn new(context: Arc<Context>, own: PublicKey, book: BTreeMap<PublicKey, PeerAddress>) -> Self {
        let members = RwLock::new(Arc::new(members(context, &own, &book)));
        let (seeds, guests) = (BTreeMap::new(), Guests::default());
        Self {
            book,
            seeds,
            own,
            members,
            guests,
            asked: Mutex::default(),
            up: Mutex::default(),
            older: Mutex::default(),
            round_trips_us: Mutex::default(),
        }
    }

    /// Adds nodes that this node dials, besides the committee, while it is no member.
    pub fn with_seeds(self, seeds: BTreeMap<PublicKey, PeerAddress>) -> Self {
        Self { seeds, ..self }
    }

    /// Sets the keys that are admitted by name.
    pub fn with_guests(self, guests: Guests) -> Self {
        Self { guests, ..self }
    }

    /// Keys that are admitted by name.
    pub fn guests(&self) -> &Guests {
        &self.guests
    }

    /// Returns the relation of a node key's owner to this node.
    pub fn standing(&self, node_key: &PublicKey) -> Standing {
        match self.place(node_key) {
            Some(place) => Standing::Member(place),
            None if self.seeds.contains_key(node_key) => Standing::Seed,
            None if self.guests.contains(node_key) => Standing::Guest,
            None => Standing::Stranger,
        }
    }

    /// This node asked somebody how its epoch ended.
    pub fn note_asked(&self, node_key: &PublicKey) {
        let mut asked = self.asked.lock();
        if asked.len() >= ASKED_MAX {
            asked.clear();
        }
        asked.insert(*node_key);
    }

    /// Returns true if this node had asked it; one answer counts.
    pub fn take_asked(&self, node_key: &PublicKey) -> bool {
        self.asked.lock().remove(node_key)
    }

    /// Another epoch's committee from now on.
    pub fn begin_epoch(&self, context: Arc<Context>) {
        self.guests.end_epoch(&self.context().validators);
        *self.members.write() = Arc::new(members(context, &self.own, &self.book));
    }

    fn members(&self) -> Arc<Members> {
        self.members.read().clone()
    }

    /// The epoch that goes on.
    pub fn context(&self) -> Arc<Context> {
        self.members().context.clone()
    }

    /// Returns the members, and the nodes that help to find them, for the transport.
    pub fn to_dial(&self) -> Vec<Peer> {
        let members = self.members();
        let peer = |peer: &PeerName| Peer { index: peer.index, node_key: peer.node_key, address: peer.address.clone() };
        let mut peers: Vec<Peer> = members.peers.iter().map(peer).collect();
        if members.context.me().is_none() {
            let others = self.seeds.iter().filter(|(key, _)| members.context.place(key).is_none());
            peers.extend(seed_peers(others.filter(|(key, _)| **key != self.own)));
        }
        peers
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
        self.members().context.place(node_key)
    }

    /// Nodes outside the committee that are connected, but for those that this one dials.
    pub fn followers(&self) -> usize {
        let members = self.members();
        let up = self.up.lock();
        up.iter().filter(|key| members.context.place(key).is_none() && !self.seeds.contains_key(*key)).count()
    }

    /// Peers of the committee, without this node.
    pub fn peers(&self) -> usize {
        self.members().peers.len()
    }

    /// Notes the round trips to the members, by place, microseconds; 0 for those that aren't known.
    pub fn note_round_trips(&self, us: &[u64]) {
        let members = self.members();
        let known = members.peers.iter().filter_map(|peer| {
            let us = us.get(usize::from(peer.index.0)).copied().filter(|us| *us > 0)?;
            Some((peer.node_key, us))
        });
        *self.round_trips_us.lock() = known.collect();
    }

    /// The round trips to the members that are measured, by name, microseconds.
    pub fn round_trips_us(&self) -> BTreeMap<String, u64> {
        let (members, known) = (self.members(), self.round_trips_us.lock());
        members.peers.iter().filter_map(|peer| Some((peer.name.clone(), *known.get(&peer.node_key)?))).collect()
    }

    /// Notes the version of the peer protocol that both ends of a link speak, if it is to a member.
    pub fn note_version(&self, node_key: &PublicKey, version: u8) {
        let members = self.members();
        let Some(peer) = members.peers.iter().find(|peer| peer.node_key == *node_key) else { return };
        let mut older = self.older.lock();
        if version < link_version::DIGESTS {
            older.insert(peer.node_key);
        } else {
            older.remove(&peer.node_key);
        }
    }

    /// Returns the names of the members whose release, as linked last, doesn't know protocol version 2.
    pub fn older(&self) -> Vec<String> {
        let (members, older) = (self.members(), self.older.lock());
        members.peers.iter().filter(|peer| older.contains(&peer.node_key)).map(|peer| peer.name.clone()).collect()
    }

    /// Returns the members that aren't connected.
    pub fn unreachable(&self) -> Vec<PeerName> {
        let (members, up) = (self.members(), self.up.lock());
        members.peers.iter().filter(|peer| !up.contains(&peer.node_key)).cloned().collect()
    }

    /// All peers of the committee: name, node key, and whether the link is up.
    pub fn named(&self) -> Vec<(String, PublicKey, bool)> {
        let (members, up) = (self.members(), self.up.lock());
        let one = |peer: &PeerName| (peer.name.clone(), peer.node_key, up.contains(&peer.node_key));
        members.peers.iter().map(one).collect()
    }

    /// Returns the members that aren't connected as text: names and addresses of the first few.
    pub fn unreachable_text(&self) -> String {
        let missing = self.unreachable();
        let named = missing.iter().take(NAMED_MAX).map(|peer| match &peer.address {
            Some(address) => format!("{} at {address}", peer.name),
            None => format!("{}, which has no address here and must dial", peer.name),
        });
        let mut parts: Vec<String> = named.collect();
        if missing.len() > NAMED_MAX {
            parts.push(format!("{} more", missing.len() - NAMED_MAX));
        }
        parts.join(", ")
    }
}

/// Nodes without a place, for the transport: their numbers are beyond every committee's.
pub(crate) fn seed_peers<'a>(
    seeds: impl Iterator<Item = (&'a PublicKey, &'a PeerAddress)>,
) -> impl Iterator<Item = Peer> {
    let index = |number| ValidatorIndex(u16::MAX - number);
    let peer = move |(number, (key, address)): (u16, (&PublicKey, &PeerAddress))| Peer {
        index: index(number),
        node_key: *key,
        address: Some(address.clone()),
    };
    (0..).zip(seeds).take(SEEDS_MAX).map(peer)
}

fn members(context: Arc<Context>, own: &PublicKey, book: &BTreeMap<PublicKey, PeerAddress>) -> Members {
    let others = context.validators.iter().zip(0..).filter(|(validator, _)| validator.node_key != *own);
    let peer = |(validator, place): (&Validator, u16)| PeerName {
        index: ValidatorIndex(place),
        node_key: validator.node_key,
        name: String::from_utf8_lossy(validator.name.as_slice()).into_owned(),
        address: address(validator).or_else(|| book.get(&validator.node_key).cloned()),
    };
    let peers = others.map(peer).collect();
    Members { context, peers }
}

/// A member's address as the committee names it; none if it can't be read, because operators may mistype it. Then the
/// member dials.
fn address(validator: &Validator) -> Option<PeerAddress> {
    PeerAddress::parse(std::str::from_utf8(validator.address.as_slice()).ok()?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rustorium_crypto::SigningKey;
    use rustorium_types::{BoundedBytes, BoundedVec, Genesis, NEWEST_VERSION, Parameters, ShardId};

    /// Creates links to `n` other validators from `config.toml`; the last one's address is in the committee instead.
    fn links(n: u8) -> Links {
        let validator = |index: u8| Validator {
            name: BoundedBytes::new(format!("node-{index}").into_bytes()).unwrap(),
            validator_key: [index + 100; 32],
            node_key: [index; 32],
            owner_key: [index; 32],
            region: 0,
            address: BoundedBytes::new(if index == n { b"last.example:1".to_vec() } else { Vec::new() }).unwrap(),
        };
        let genesis = Genesis {
            version: NEWEST_VERSION,
            name: BoundedBytes::default(),
            time_ms: 0,
            parameters: Parameters::default(),
            validators: BoundedVec::new((0..=n).map(validator).collect()).unwrap(),
            accounts: BoundedVec::default(),
            pools: BoundedVec::default(),
            sponsors: BoundedVec::default(),
            shards: BoundedVec::default(),
        };
        let context = Arc::new(Context::new(&genesis, ShardId::ROOT, SigningKey::from_seed(&[1; 32])));
        let address = |index: u8| std::net::SocketAddr::from(([10, 0, 0, 1], 1000 + u16::from(index))).into();
        Links::new(context, [0; 32], (1..n).map(|index| ([index; 32], address(index))).collect())
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
        let names: Vec<_> = links.unreachable().into_iter().map(|peer| peer.name).collect();
        assert_eq!((names, links.peers()), (vec!["node-2".to_owned(), "node-3".to_owned()], 3));
        links.note_version(&[2; 32], link_version::FIRST);
        links.note_version(&[1; 32], link_version::DIGESTS);
        assert_eq!(links.older(), ["node-2"]);
        links.note_version(&[2; 32], link_version::SHARDS);
        assert!(links.older().is_empty(), "it has a newer release now");
        assert_eq!(links.unreachable_text(), "node-2 at 10.0.0.1:1002, node-3 at last.example:1");
    }

    #[test]
    fn measured_round_trips_have_the_members_names() {
        let links = links(3);
        links.note_round_trips(&[0, 500, 0, 70_000, 9, 9]);
        let known = BTreeMap::from([("node-1".to_owned(), 500), ("node-3".to_owned(), 70_000)]);
        assert_eq!(links.round_trips_us(), known, "neither this node nor one that isn't measured");
        links.note_round_trips(&[]);
        assert!(links.round_trips_us().is_empty());
    }

    #[test]
    fn a_large_committee_makes_no_endless_sentence() {
        assert!(links(100).unreachable_text().ends_with(", 96 more"));
    }
}

//! The roster of links: the other members of the shards' committees, and the admitted followers.
//!
//! *Invariants:* a key has one link, whatever shards it is a member of; a member's link outlives a change of the committees
//! that keeps its key in one of them.

use crate::config::{FollowerLimits, Peer};
use crate::link::Link;
use crate::refusal::{CloseCode, Refusal};
use crate::slots::Slots;
use crate::tls::KnownKeys;
use parking_lot::{Mutex, RwLock};
use rustorium_types::{PublicKey, ShardId, ValidatorIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::Instant;

/// A shard's committee.
#[derive(Debug, Default)]
struct Committee {
    me: Option<ValidatorIndex>,
    /// The links in the order of the configuration.
    links: Vec<Arc<Link>>,
    by_index: BTreeMap<ValidatorIndex, Arc<Link>>,
}

#[derive(Debug)]
struct Members {
    committees: BTreeMap<ShardId, Committee>,
    /// The links to members of all committees.
    by_key: BTreeMap<PublicKey, Arc<Link>>,
    followers: Slots,
}

impl Members {
    fn committee(&self, shard: ShardId) -> Option<&Committee> {
        self.committees.get(&shard)
    }
}

/// The links, found by index, by key or by kind.
#[derive(Debug)]
pub(crate) struct Roster {
    members: RwLock<Members>,
    keys: Arc<KnownKeys>,
    /// Admitted keys outside the committee, by the shards that admit them.
    guests: Mutex<BTreeMap<ShardId, BTreeSet<PublicKey>>>,
    strangers: bool,
}

impl Roster {
    pub fn new(limits: FollowerLimits, keys: Arc<KnownKeys>, shards: Arc<BTreeSet<ShardId>>) -> Self {
        let followers = Slots::new(limits, shards);
        let members = Members { committees: BTreeMap::new(), by_key: BTreeMap::new(), followers };
        let strangers = limits.strangers_max > 0;
        Self { members: RwLock::new(members), keys, guests: Mutex::default(), strangers }
    }

    /// Sets a shard's committee. Links of keys that stay get their new places; `make` creates the others. Returns the new
    /// links. Links of keys that are in no shard's committee any more, and links of followers that are members now, end.
    pub fn set(
        &self,
        shard: ShardId,
        me: Option<ValidatorIndex>,
        peers: &[Peer],
        make: impl Fn(&Peer) -> Arc<Link>,
    ) -> Vec<(Arc<Link>, Peer)> {
        let mut members = self.members.write();
        let mut new = Vec::new();
        let mut links = Vec::new();
        for peer in peers {
            let link = members.by_key.get(&peer.node_key).cloned().unwrap_or_else(|| {
                let link = make(peer);
                new.push((link.clone(), peer.clone()));
                link
            });
            link.set_place(shard, peer.index, peer.address.clone());
            members.followers.end(&peer.node_key, CloseCode::Changed);
            links.push((peer.index, link));
        }
        let by_index = links.iter().cloned().collect();
        let links = links.into_iter().map(|(_, link)| link).collect();
        let before = members.committees.insert(shard, Committee { me, links, by_index });
        let stay: BTreeSet<PublicKey> = peers.iter().map(|peer| peer.node_key).collect();
        let gone = before.iter().flat_map(|committee| &committee.links).filter(|link| !stay.contains(&link.node_key));
        gone.for_each(|link| link.clear_place(shard));
        let all = members.committees.values().flat_map(|committee| &committee.links);
        let by_key = all.map(|link| (link.node_key, link.clone())).collect();
        let before = std::mem::replace(&mut members.by_key, by_key);
        let left = before.values().filter(|link| !members.by_key.contains_key(&link.node_key));
        left.for_each(|link| link.end(CloseCode::Changed));
        new
    }

    /// Returns the keys of the members of all shards but this one.
    pub fn keys_besides(&self, shard: ShardId) -> BTreeSet<PublicKey> {
        let members = self.members.read();
        let others = members.committees.iter().filter(|(other, _)| **other != shard);
        others.flat_map(|(_, committee)| committee.links.iter().map(|link| link.node_key)).collect()
    }

    /// Sets a shard's guests: keys outside the committees that are admitted by name.
    pub fn set_guests(&self, shard: ShardId, guests: BTreeSet<PublicKey>) {
        let mut by_shard = self.guests.lock();
        by_shard.insert(shard, guests);
        self.keys.set_guests(by_shard.values().flatten().copied().collect());
        self.members.write().followers.reclassify(|key| self.keys.is_guest(key));
    }

    /// Ends the link of a node outside the committee, and refuses its key until `until`.
    pub fn bar(&self, key: &PublicKey, until: Instant) {
        let mut members = self.members.write();
        if !members.by_key.contains_key(key) {
            self.keys.bar(*key, until);
            members.followers.end(key, CloseCode::Barred);
        }
    }

    /// Admits a node outside the committee; `None` if its role towards this node has just changed.
    pub fn admit(&self, key: &PublicKey, address: SocketAddr) -> Option<Result<Arc<Link>, Refusal>> {
        let mut members = self.members.write();
        if members.by_key.contains_key(key) {
            return None;
        }
        if self.keys.is_barred(key) {
            let key = key.iter().map(|byte| format!("{byte:02x}")).collect();
            return Some(Err(Refusal::Barred { key }));
        }
        if self.keys.is_guest(key) {
            return Some(Ok(members.followers.admit_guest(key)));
        }
        self.strangers.then(|| members.followers.admit_stranger(Instant::now(), key, address.ip()))
    }

    /// Removes a follower whose connection is over.
    pub fn forget(&self, link: &Arc<Link>) {
        self.members.write().followers.forget(link);
    }

    /// Tells if this node is a member of a committee.
    pub fn is_member(&self) -> bool {
        self.members.read().committees.values().any(|committee| committee.me.is_some())
    }

    pub fn member(&self, key: &PublicKey) -> Option<Arc<Link>> {
        self.members.read().by_key.get(key).cloned()
    }

    pub fn at(&self, shard: ShardId, index: ValidatorIndex) -> Option<Arc<Link>> {
        self.members.read().committee(shard)?.by_index.get(&index).cloned()
    }

    pub fn of(&self, key: &PublicKey) -> Option<Arc<Link>> {
        let members = self.members.read();
        members.by_key.get(key).or_else(|| members.followers.get(key)).cloned()
    }

    pub fn each_member(&self, shard: ShardId, visit: impl FnMut(&Arc<Link>) -> bool) -> usize {
        let mut visit = visit;
        let members = self.members.read();
        let links = members.committee(shard).map(|committee| &committee.links);
        links.into_iter().flatten().filter(|link| visit(link)).count()
    }

    pub fn each_follower(&self, visit: impl FnMut(&Arc<Link>) -> bool) -> usize {
        let mut visit = visit;
        self.members.read().followers.links().filter(|link| visit(link)).count()
    }

    pub fn links(&self, shard: ShardId) -> Vec<Arc<Link>> {
        self.members.read().committee(shard).map(|committee| committee.links.clone()).unwrap_or_default()
    }

    pub fn followers(&self) -> Vec<Arc<Link>> {
        self.members.read().followers.links().cloned().collect()
    }

    /// Returns the links of all committees' members, each once, with names for figures: the place in the root shard's
    /// committee, or `SHARD/PLACE` of the lowest other shard that has the member.
    pub fn named(&self) -> Vec<(String, Arc<Link>)> {
        let members = self.members.read();
        let mut seen = BTreeSet::new();
        let mut all = Vec::new();
        for (shard, committee) in &members.committees {
            for (place, link) in &committee.by_index {
                if seen.insert(Arc::as_ptr(link)) {
                    let name = if *shard == ShardId::ROOT { place.to_string() } else { format!("{shard}/{place}") };
                    all.push((name, link.clone()));
                }
            }
        }
        all
    }

    /// Tells if a member is known to be at this address.
    pub fn knows(&self, address: SocketAddr) -> bool {
        self.members.read().by_key.values().any(|link| link.resolved() == Some(address))
    }
}

//! The roster of links: the committee's other members, and the admitted followers.
//!
//! *Invariants:* a key has one link; a member's link outlives a change of the committee that keeps its key.

use crate::config::{FollowerLimits, Peer};
use crate::link::Link;
use crate::refusal::{CloseCode, Refusal};
use crate::slots::Slots;
use crate::tls::KnownKeys;
use parking_lot::RwLock;
use rustorium_types::{PublicKey, ValidatorIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::time::Instant;

#[derive(Debug)]
struct Members {
    me: Option<ValidatorIndex>,
    /// In the order of the configuration.
    links: Vec<Arc<Link>>,
    by_index: BTreeMap<ValidatorIndex, Arc<Link>>,
    by_key: BTreeMap<PublicKey, Arc<Link>>,
    followers: Slots,
}

/// The links, found by index, by key or by kind.
#[derive(Debug)]
pub(crate) struct Roster {
    members: RwLock<Members>,
    keys: Arc<KnownKeys>,
    strangers: bool,
}

impl Roster {
    pub fn new(limits: FollowerLimits, keys: Arc<KnownKeys>) -> Self {
        let members = Members {
            me: None,
            links: Vec::new(),
            by_index: BTreeMap::new(),
            by_key: BTreeMap::new(),
            followers: Slots::new(limits),
        };
        Self { members: RwLock::new(members), keys, strangers: limits.strangers_max > 0 }
    }

    /// Sets another committee. Links of keys that stay get their new places; `make` creates the others. Returns the new
    /// links. Links of keys that left, and links of followers that are members now, end.
    pub fn set(
        &self,
        me: Option<ValidatorIndex>,
        peers: &[Peer],
        make: impl Fn(&Peer) -> Arc<Link>,
    ) -> Vec<(Arc<Link>, Peer)> {
        let mut members = self.members.write();
        let mut before = std::mem::take(&mut members.by_key);
        let mut new = Vec::new();
        let mut links = Vec::new();
        for peer in peers {
            let link = before.remove(&peer.node_key).unwrap_or_else(|| {
                let link = make(peer);
                new.push((link.clone(), peer.clone()));
                link
            });
            link.set_place(peer.index, peer.address.clone());
            members.followers.end(&peer.node_key, CloseCode::Changed);
            links.push((peer.index, link));
        }
        before.into_values().for_each(|link| link.end(CloseCode::Changed));
        members.me = me;
        members.by_key = links.iter().map(|(_, link)| (link.node_key, link.clone())).collect();
        members.by_index = links.iter().cloned().collect();
        members.links = links.into_iter().map(|(_, link)| link).collect();
        new
    }

    /// Sets other guests: keys outside the committee that are admitted by name.
    pub fn set_guests(&self, guests: BTreeSet<PublicKey>) {
        self.keys.set_guests(guests);
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

    pub fn me(&self) -> Option<ValidatorIndex> {
        self.members.read().me
    }

    pub fn member(&self, key: &PublicKey) -> Option<Arc<Link>> {
        self.members.read().by_key.get(key).cloned()
    }

    pub fn at(&self, index: ValidatorIndex) -> Option<Arc<Link>> {
        self.members.read().by_index.get(&index).cloned()
    }

    pub fn of(&self, key: &PublicKey) -> Option<Arc<Link>> {
        let members = self.members.read();
        members.by_key.get(key).or_else(|| members.followers.get(key)).cloned()
    }

    pub fn each_member(&self, visit: impl FnMut(&Arc<Link>) -> bool) -> usize {
        let mut visit = visit;
        self.members.read().links.iter().filter(|link| visit(link)).count()
    }

    pub fn each_follower(&self, visit: impl FnMut(&Arc<Link>) -> bool) -> usize {
        let mut visit = visit;
        self.members.read().followers.links().filter(|link| visit(link)).count()
    }

    pub fn links(&self) -> Vec<Arc<Link>> {
        self.members.read().links.clone()
    }

    pub fn followers(&self) -> Vec<Arc<Link>> {
        self.members.read().followers.links().cloned().collect()
    }

    /// Returns the members' links with their places.
    pub fn numbered(&self) -> Vec<(ValidatorIndex, Arc<Link>)> {
        self.members.read().by_index.iter().map(|(index, link)| (*index, link.clone())).collect()
    }

    /// Tells if a member is known to be at this address.
    pub fn knows(&self, address: SocketAddr) -> bool {
        self.members.read().links.iter().any(|link| link.resolved() == Some(address))
    }
}

//! Who this node is linked with: the committee's other members, and the followers that were let in.
//!
//! *Invariants:* a key has one link; a member's link outlives a change of the committee that keeps its key; followers are
//! at most as many as allowed.

use crate::config::{FollowerLimits, Peer};
use crate::link::{Bounds, Link};
use crate::pace::Pace;
use crate::refusal::{CloseCode, Refusal};
use parking_lot::RwLock;
use rustorium_types::{PublicKey, ValidatorIndex};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

#[derive(Debug, Default)]
struct Members {
    me: Option<ValidatorIndex>,
    /// By the order of the configuration.
    links: Vec<Arc<Link>>,
    by_index: BTreeMap<ValidatorIndex, Arc<Link>>,
    by_key: BTreeMap<PublicKey, Arc<Link>>,
    followers: BTreeMap<PublicKey, Arc<Link>>,
}

/// The links, by what they are asked for.
#[derive(Debug)]
pub(crate) struct Roster {
    members: RwLock<Members>,
    limits: FollowerLimits,
    sent: Arc<Pace>,
}

impl Roster {
    pub fn new(limits: FollowerLimits) -> Self {
        Self { members: RwLock::default(), limits, sent: Arc::new(Pace::new(0, limits.sent_bytes_per_s)) }
    }

    /// Takes another committee: links of keys that stay get their place in it, `make` makes the others. Returns the new
    /// ones. Links of keys that left, and followers that are members now, end.
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
            if let Some(follower) = members.followers.remove(&peer.node_key) {
                follower.end(CloseCode::Changed);
            }
            links.push((peer.index, link));
        }
        before.into_values().for_each(|link| link.end(CloseCode::Changed));
        members.me = me;
        members.by_key = links.iter().map(|(_, link)| (link.node_key, link.clone())).collect();
        members.by_index = links.iter().cloned().collect();
        members.links = links.into_iter().map(|(_, link)| link).collect();
        new
    }

    /// Lets a node outside the committee in, in place of its older connection where it has one. None: it is a member.
    pub fn admit(&self, key: &PublicKey) -> Option<Result<Arc<Link>, Refusal>> {
        let mut members = self.members.write();
        if members.by_key.contains_key(key) {
            return None;
        }
        let others = members.followers.len() - usize::from(members.followers.contains_key(key));
        if others >= self.limits.max {
            return Some(Err(Refusal::FollowersFull(others)));
        }
        let (queue_frames, queue_bytes) = FollowerLimits::QUEUES;
        let read = Some(Arc::new(Pace::new(self.limits.frames_per_s, self.limits.read_bytes_per_s)));
        let bounds = Bounds { queue_frames, queue_bytes, read, sent: Some(self.sent.clone()) };
        let link = Arc::new(Link::new(*key, bounds, None));
        if let Some(older) = members.followers.insert(*key, link.clone()) {
            older.end(CloseCode::Replaced);
        }
        Some(Ok(link))
    }

    /// A follower's connection is over.
    pub fn forget(&self, link: &Arc<Link>) {
        let mut members = self.members.write();
        if members.followers.get(&link.node_key).is_some_and(|newest| Arc::ptr_eq(newest, link)) {
            members.followers.remove(&link.node_key);
        }
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
        self.members.read().followers.values().filter(|link| visit(link)).count()
    }

    pub fn links(&self) -> Vec<Arc<Link>> {
        self.members.read().links.clone()
    }

    pub fn followers(&self) -> Vec<Arc<Link>> {
        self.members.read().followers.values().cloned().collect()
    }

    /// The members' links with their places.
    pub fn numbered(&self) -> Vec<(ValidatorIndex, Arc<Link>)> {
        self.members.read().by_index.iter().map(|(index, link)| (*index, link.clone())).collect()
    }

    /// Whether a member is known to be at this address.
    pub fn knows(&self, address: SocketAddr) -> bool {
        self.members.read().links.iter().any(|link| link.resolved() == Some(address))
    }
}

//! The chain's committees as a joiner gets to know them: from the genesis on, one end of an epoch after the other.
//!
//! *Invariants:* an end counts only where the committee before finalized it, and it shows that it is the boundary's; all
//! peers are asked, so that one that lies or is silent holds nothing up; everything held is bounded by their number.

use rustorium_shard::context::Context;
use rustorium_storage::{Store, StoreError};
use rustorium_sync::state::certifying_epoch;
use rustorium_types::{Epoch, EpochTransition, PublicKey, Request, Response, Snapshot};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The known committees, and the progress of asking how the newest known epoch ended.
pub(super) struct Committees {
    /// The known committees by epoch; the genesis' first.
    known: Vec<Arc<Context>>,
    changes: Vec<EpochTransition>,
    /// Offered snapshots that a later committee certified.
    later: BTreeMap<PublicKey, Snapshot>,
    /// Peers' answers about how the newest known epoch ended; `None` for an invalid one.
    ends: BTreeMap<PublicKey, Option<EpochTransition>>,
    /// The newest question to each peer.
    asked: BTreeMap<PublicKey, (Instant, u64)>,
    /// Time of the last progress.
    moved: Instant,
}

impl Committees {
    /// Reads the committees that an earlier start stored, from the genesis' on. Errors: the store's.
    pub fn read(first: Arc<Context>, store: &dyn Store) -> Result<Self, StoreError> {
        let mut committees = Self {
            known: vec![first],
            changes: Vec::new(),
            later: BTreeMap::new(),
            ends: BTreeMap::new(),
            asked: BTreeMap::new(),
            moved: Instant::now(),
        };
        while let Some(change) = store.epoch(committees.newest().epoch())? {
            committees.go_on(change);
        }
        Ok(committees)
    }

    /// Keeps how each known epoch ended. Errors: the store's.
    pub fn keep(&self, store: &dyn Store) -> Result<(), StoreError> {
        self.changes.iter().try_for_each(|change| store.put_epoch(change))
    }

    /// The context of an epoch that is known.
    pub fn at(&self, epoch: Epoch) -> Option<&Context> {
        self.known.get(usize::try_from(epoch.0).ok()?).map(Arc::as_ref)
    }

    fn newest(&self) -> &Arc<Context> {
        // There is always the first.
        &self.known[self.known.len() - 1]
    }

    fn go_on(&mut self, change: EpochTransition) {
        let next = self.newest().after(&change);
        self.known.push(Arc::new(next));
        self.changes.push(change);
    }

    /// Keeps an offer until its committee is known.
    pub fn wait_for(&mut self, from: PublicKey, snapshot: Snapshot) {
        if self.later.is_empty() {
            self.moved = Instant::now();
        }
        self.later.insert(from, snapshot);
    }

    /// Returns true if this peer's offer waits.
    pub fn holds(&self, peer: &PublicKey) -> bool {
        self.later.contains_key(peer)
    }

    /// Returns true if offers wait and there was progress within that time.
    pub fn is_walking(&self, within: Duration) -> bool {
        !self.later.is_empty() && self.moved.elapsed() < within
    }

    /// Forgets offers and answers, not committees.
    pub fn forget_offers(&mut self) {
        self.later.clear();
        self.ask_anew();
    }

    /// A peer is connected anew: what it was asked is lost.
    pub fn reconnected(&mut self, peer: &PublicKey) {
        self.asked.remove(peer);
    }

    fn ask_anew(&mut self) {
        self.ends.clear();
        self.asked.clear();
    }

    /// Returns the requests to send now.
    pub fn questions(
        &mut self,
        up: &BTreeSet<PublicKey>,
        again: Duration,
        id: &mut impl FnMut() -> u64,
    ) -> Vec<(PublicKey, u64, Request)> {
        if self.later.is_empty() {
            return Vec::new();
        }
        let now = Instant::now();
        let due = |at: &(Instant, u64)| now.duration_since(at.0) >= again;
        let unanswered = up.iter().filter(|peer| !self.ends.contains_key(*peer));
        let peers: Vec<PublicKey> = unanswered.filter(|peer| self.asked.get(*peer).is_none_or(due)).copied().collect();
        let request = Request::EpochEnd(self.newest().epoch());
        let mut ask = |peer: PublicKey| {
            let id = id();
            self.asked.insert(peer, (now, id));
            (peer, id, request.clone())
        };
        peers.into_iter().map(&mut ask).collect()
    }

    /// A peer's answer.
    pub fn on_answer(&mut self, from: PublicKey, id: u64, response: Response) {
        let end = match response {
            Response::EpochEnd(change) if change.epoch() == self.newest().epoch() => {
                let change_epoch = change.epoch().0;
                match self.newest().check_change(&change) {
                    Ok(()) => Some(change),
                    Err(part) => {
                        tracing::warn!(event = "epoch_end_refused", epoch = change_epoch, reason = part);
                        None
                    }
                }
            }
            // An answer to an older question says nothing of this one.
            _ if self.asked.get(&from).is_none_or(|(_, newest)| *newest != id) => return,
            _ => None,
        };
        self.ends.insert(from, end);
    }

    /// Goes on by an epoch where somebody showed how it ended, and gives the offers that can be checked now; none in
    /// place of a snapshot that nobody shows the committee of.
    pub fn walk(&mut self, up: &BTreeSet<PublicKey>) -> Vec<(PublicKey, Option<Snapshot>)> {
        if self.later.is_empty() {
            return Vec::new();
        }
        let Some(end) = self.ends.values().flatten().next().cloned() else {
            let all = !up.is_empty() && up.iter().all(|peer| self.ends.contains_key(peer));
            let peers = if all { std::mem::take(&mut self.later) } else { BTreeMap::new() };
            return peers.into_keys().map(|peer| (peer, None)).collect();
        };
        self.go_on(end);
        self.ask_anew();
        self.moved = Instant::now();
        let epoch = self.newest().epoch();
        tracing::info!(event = "committee_known", epoch = epoch.0, n = self.newest().n());
        let (known, later) =
            std::mem::take(&mut self.later).into_iter().partition(|(_, snapshot)| certifying_epoch(snapshot) <= epoch);
        self.later = later;
        let known: BTreeMap<PublicKey, Snapshot> = known;
        known.into_iter().map(|(peer, snapshot)| (peer, Some(snapshot))).collect()
    }
}

//! The vote guard on the signer's side: it finds the votes and batches of a validator key that contradict earlier
//! signatures.
//!
//! *Invariants:* without disk and clock; every change is a `Record`, and the same records give the same guard; in each
//! view at most one block is notarized, at most one finalized, and none finalized in a view that is nullified (R6 to
//! R8); for each place in the lane at most one batch is signed; epochs, and the floor below which nothing is signed,
//! never go back.

use crate::protocol::{JournalSummary, Refusal};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_crypto::{batch_digest, verify_vote};
use rustorium_quorum::VoteGuard;
use rustorium_types::{
    Batch, BatchBody, BatchDigest, ChainId, Epoch, PublicKey, ShardId, Signature, SignedVote, View, VoteBody,
};
use std::collections::{BTreeMap, BTreeSet};

/// Number of shards that a chain can have.
pub const SHARDS_MAX: u32 = 64;
/// Views whose votes are remembered. If there are more, the lowest are forgotten, and never signed again.
pub const VIEWS_MAX: usize = 4096;

/// A change of the guard, in its form on disk.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub enum Record {
    /// The key signed this vote, or is about to.
    Vote(VoteBody),
    /// Views up to this one are never signed again.
    Settled(ChainId, ShardId, Epoch, View),
    /// Batches below this place of the lane are never signed again.
    Lane(ChainId, ShardId, Epoch, u64),
    /// The key signed this batch. It is returned again to a node that lost it before its journal had it.
    Batch(Box<Batch>),
    /// The votes in the next journal of each shard that a node shows are added to the remembered ones.
    Adopting,
    /// The votes of that journal were added. Only earlier releases wrote it, for a key with one shard.
    Adopted,
    /// A vote that the key signed is missing above, so nothing is signed any more.
    RolledBack(View),
    /// The votes of a journal of this shard were added, after `Adopting`.
    AdoptedIn(ChainId, ShardId),
}

/// Mode of the guard.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// Signs everything that doesn't contradict the record.
    #[default]
    Guarding,
    /// Signs in each shard after a node has shown its journal of that shard, which is believed once.
    Adopting,
    /// Signs nothing: the record lacks a vote of this view.
    RolledBack(View),
}

/// A batch's place in its lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lane {
    /// The place is free. The batch has this digest.
    Free(BatchDigest),
    /// The same batch already has the place, with this signature.
    Again(Signature),
}

/// Signatures of the key in one shard of a chain, in the newest epoch that it signed in.
#[derive(Clone, Default)]
struct Scope {
    epoch: Epoch,
    votes: VoteGuard,
    /// The same votes, for the next file of records.
    remembered: BTreeMap<View, Vec<VoteBody>>,
    /// The newest view in which nothing is signed any more.
    floor: View,
    /// The lowest free place in the lane.
    next_seq: u64,
    newest: Option<Box<Batch>>,
}

impl Scope {
    /// Enters an epoch, if it is a later one. Views continue across epochs, lanes begin again.
    fn enter(&mut self, epoch: Epoch) {
        if epoch > self.epoch {
            let floor = self.floor;
            *self = Self { epoch, floor, ..Self::default() };
        }
    }

    fn settle(&mut self, view: View) {
        self.floor = self.floor.max(view);
        self.remembered = self.remembered.split_off(&self.floor.next());
        self.votes.prune_below(self.floor.next());
    }

    fn remember(&mut self, body: &VoteBody) {
        if body.view <= self.floor || self.votes.accounts_for(body) {
            return;
        }
        self.votes.record(body);
        self.remembered.entry(body.view).or_default().push(*body);
        while self.remembered.len() > VIEWS_MAX {
            let Some((lowest, _)) = self.remembered.first_key_value() else { return };
            let lowest = *lowest;
            self.settle(lowest);
        }
    }
}

/// Signatures of a validator key, from which follows what it must not sign.
#[derive(Clone)]
pub struct Guard {
    key: PublicKey,
    chains: BTreeSet<ChainId>,
    mode: Mode,
    /// In the mode `Adopting`, the shards whose journal was believed.
    adopted: BTreeSet<(ChainId, ShardId)>,
    scopes: BTreeMap<(ChainId, ShardId), Scope>,
}

impl Guard {
    /// Creates the guard of a key from the records that were made for it, on these chains.
    pub fn new(key: PublicKey, chains: BTreeSet<ChainId>, records: impl IntoIterator<Item = Record>) -> Self {
        let (mode, adopted, scopes) = (Mode::Guarding, BTreeSet::new(), BTreeMap::new());
        let mut guard = Self { key, chains, mode, adopted, scopes };
        records.into_iter().for_each(|record| guard.apply(&record));
        guard
    }

    /// Returns the mode in a shard.
    pub fn mode(&self, chain: ChainId, shard: ShardId) -> Mode {
        match self.mode {
            Mode::Adopting if self.adopted.contains(&(chain, shard)) => Mode::Guarding,
            mode => mode,
        }
    }

    /// Returns the mode in shards that the key didn't sign in yet.
    pub fn mode_elsewhere(&self) -> Mode {
        self.mode
    }

    /// Returns the newest epoch and the floors of each shard that was signed for.
    pub fn scopes(&self) -> impl Iterator<Item = (ChainId, ShardId, Epoch, View, u64)> {
        self.scopes.iter().map(|((chain, shard), scope)| (*chain, *shard, scope.epoch, scope.floor, scope.next_seq))
    }

    /// Applies a change.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::Vote(body) => {
                let scope = self.entered(body.chain, body.shard, body.epoch);
                if scope.epoch == body.epoch {
                    scope.remember(body);
                }
            }
            Record::Settled(chain, shard, epoch, view) => self.entered(*chain, *shard, *epoch).settle(*view),
            Record::Lane(chain, shard, epoch, next_seq) => {
                let scope = self.entered(*chain, *shard, *epoch);
                if scope.epoch == *epoch {
                    scope.next_seq = scope.next_seq.max(*next_seq);
                }
            }
            Record::Batch(batch) => {
                let body = &batch.body;
                let scope = self.entered(body.chain, body.shard, body.epoch);
                if scope.epoch == body.epoch && body.seq >= scope.next_seq {
                    scope.next_seq = body.seq.saturating_add(1);
                    scope.newest = Some(batch.clone());
                }
            }
            Record::Adopting => {
                self.mode = Mode::Adopting;
                self.adopted.clear();
            }
            Record::AdoptedIn(chain, shard) => _ = self.adopted.insert((*chain, *shard)),
            Record::Adopted => self.mode = Mode::Guarding,
            Record::RolledBack(view) => self.mode = Mode::RolledBack(*view),
        }
    }

    fn entered(&mut self, chain: ChainId, shard: ShardId, epoch: Epoch) -> &mut Scope {
        let scope = self.scopes.entry((chain, shard)).or_default();
        scope.enter(epoch);
        scope
    }

    /// Returns the fewest records that restore this guard.
    pub fn records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for ((chain, shard), scope) in &self.scopes {
            records.push(Record::Settled(*chain, *shard, scope.epoch, scope.floor));
            records.extend(scope.remembered.values().flatten().map(|body| Record::Vote(*body)));
            records.extend(scope.newest.clone().map(Record::Batch));
            records.push(Record::Lane(*chain, *shard, scope.epoch, scope.next_seq));
        }
        match self.mode {
            Mode::Guarding => {}
            Mode::Adopting => {
                records.push(Record::Adopting);
                records.extend(self.adopted.iter().map(|(chain, shard)| Record::AdoptedIn(*chain, *shard)));
            }
            Mode::RolledBack(view) => records.push(Record::RolledBack(view)),
        }
        records
    }

    /// Checks that the key signs for this chain and shard, and that it signed in no later epoch.
    fn check_scope(&self, chain: ChainId, shard: ShardId, epoch: Epoch) -> Result<Option<&Scope>, Refusal> {
        if !self.chains.contains(&chain) {
            return Err(Refusal::OtherChain(chain));
        }
        if shard.0 >= SHARDS_MAX {
            return Err(Refusal::OtherShard(shard));
        }
        let scope = self.scopes.get(&(chain, shard));
        match scope {
            Some(scope) if epoch < scope.epoch => Err(Refusal::EpochOver(epoch)),
            // Nothing was signed in this epoch yet.
            Some(scope) if epoch > scope.epoch => Ok(None),
            scope => Ok(scope),
        }
    }

    fn check_mode(&self, chain: ChainId, shard: ShardId) -> Result<(), Refusal> {
        match self.mode(chain, shard) {
            Mode::RolledBack(view) => Err(Refusal::RolledBack(view)),
            Mode::Adopting => Err(Refusal::NotShown),
            Mode::Guarding => Ok(()),
        }
    }

    /// Decides on a vote, and remembers it. Returns a record that must be on disk before the signature leaves; `None`
    /// if it already is.
    ///
    /// # Errors
    /// The reason why it must not be signed.
    pub fn vote(&mut self, body: &VoteBody, settled: View) -> Result<Option<Record>, Refusal> {
        self.check_mode(body.chain, body.shard)?;
        let scope = self.check_scope(body.chain, body.shard, body.epoch)?;
        let floor = self.scopes.get(&(body.chain, body.shard)).map_or(View(0), |scope| scope.floor);
        if body.view <= floor {
            return Err(Refusal::Settled { view: body.view, floor });
        }
        let fresh = VoteGuard::new();
        let votes = scope.map_or(&fresh, |scope| &scope.votes);
        votes.check(body).map_err(|conflict| Refusal::Conflict(conflict.to_string()))?;
        let known = votes.accounts_for(body);
        let scope = self.entered(body.chain, body.shard, body.epoch);
        // A floor at or above the vote itself is the node's error, and no reason to forget the vote.
        scope.settle(settled.min(View(body.view.0.saturating_sub(1))));
        scope.remember(body);
        Ok((!known).then_some(Record::Vote(*body)))
    }

    /// Checks a batch. `Record::Batch` makes the guard remember it.
    ///
    /// # Errors
    /// The reason why it must not be signed.
    pub fn batch(&self, body: &BatchBody) -> Result<Lane, Refusal> {
        self.check_mode(body.chain, body.shard)?;
        let scope = self.check_scope(body.chain, body.shard, body.epoch)?;
        let next_seq = scope.map_or(0, |scope| scope.next_seq);
        if body.seq >= next_seq {
            return Ok(Lane::Free(batch_digest(body)));
        }
        let newest = scope.and_then(|scope| scope.newest.as_ref()).filter(|newest| newest.body == *body);
        let again = newest.map(|newest| Lane::Again(newest.signature));
        again.ok_or(Refusal::OtherBatch { seq: body.seq, next_seq })
    }

    /// Compares a node's journal of a shard with the remembered votes. Returns the changes, which are already applied, and the
    /// newest batch.
    ///
    /// # Errors
    /// The key signed a vote that isn't remembered. The returned changes must be on disk even then.
    pub fn show(&mut self, shown: &JournalSummary) -> (Vec<Record>, Result<Option<Box<Batch>>, Refusal>) {
        let (chain, shard, epoch) = (shown.chain, shown.shard, shown.epoch);
        let mode = self.mode(chain, shard);
        if let Mode::RolledBack(view) = mode {
            return (Vec::new(), Err(Refusal::RolledBack(view)));
        }
        if let Err(refusal) = self.check_scope(chain, shard, epoch) {
            return (Vec::new(), Err(refusal));
        }
        let mut records = Vec::new();
        for vote in shown.votes.iter().filter(|vote| self.lacks(vote)) {
            if mode == Mode::Guarding {
                records = vec![Record::RolledBack(vote.body.view)];
                self.apply(&Record::RolledBack(vote.body.view));
                return (records, Err(Refusal::RolledBack(vote.body.view)));
            }
            records.push(Record::Vote(vote.body));
        }
        if mode == Mode::Adopting {
            records.push(Record::Settled(chain, shard, epoch, shown.settled));
            records.push(Record::AdoptedIn(chain, shard));
        }
        let known = self.scopes.get(&(chain, shard)).map_or(0, |scope| scope.next_seq);
        if shown.next_seq > known {
            records.push(Record::Lane(chain, shard, epoch, shown.next_seq));
        }
        records.iter().for_each(|record| self.apply(record));
        let newest = self.scopes.get(&(chain, shard)).filter(|scope| scope.epoch == epoch);
        (records, Ok(newest.and_then(|scope| scope.newest.clone())))
    }

    /// Tells if the key signed a vote that isn't remembered, and isn't old enough to be forgotten.
    fn lacks(&self, vote: &SignedVote) -> bool {
        let body = &vote.body;
        let scope = self.scopes.get(&(body.chain, body.shard));
        let known = scope.is_some_and(|scope| {
            body.epoch < scope.epoch
                || body.view <= scope.floor
                || body.epoch == scope.epoch && scope.votes.accounts_for(body)
        });
        self.chains.contains(&body.chain) && !known && verify_vote(&self.key, *vote).is_some()
    }
}

//! Decisions of operators' seats in a block, owners' wishes for other operators, and the term that begins above it, for the
//! audit log (V50).
//!
//! *Invariants:* they follow from the block and the state below it, so all nodes note the same; a block in which no seat acted
//! costs one search among its writes.

use crate::owner_wishes::OwnerWish;
use rustorium_crypto::{change_hash, signer};
use rustorium_execution::{
    GovernanceRecord, ProposalRecord, StateRead, StateReadError, first_term, governance_key, new_parameters,
    proposal_key,
};
use rustorium_types::{
    Change, EpochTransition, GovernanceChange, Hash, Header, Height, LeafWrite, Operation2, Outcome, Parameters,
    Receipt, Signer, StateKey, SystemSender, Term, Transaction, TxId,
};
use std::collections::{BTreeMap, BTreeSet};

/// The effect of a seat's operation.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SeatAct {
    /// The seat proposed a change.
    Proposed {
        /// The proposal's number.
        number: u64,
        /// The change.
        change: Box<GovernanceChange>,
        /// Header time from which the proposal is void, Unix ms.
        until_ms: u64,
    },
    /// The seat approved a proposal.
    Approved {
        /// The proposal's number.
        number: u64,
        /// Hash of the change.
        hash: Hash,
    },
    /// The seat withdrew its approval.
    Withdrew {
        /// The proposal's number.
        number: u64,
        /// True if the withdrawal ended the proposal.
        ended: bool,
    },
    /// The seat's proposal or approval made the change.
    Made {
        /// The proposal's number.
        number: u64,
        /// The change.
        change: Box<GovernanceChange>,
    },
    /// The seat got another authority.
    Rekeyed {
        /// The authority.
        signer: Signer,
    },
}

/// An act of a seat.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decision {
    /// The seat's number.
    pub seat: u32,
    /// The seat's transaction.
    pub transaction: TxId,
    /// The act.
    pub act: SeatAct,
}

/// The decisions of one block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decisions {
    /// The block's height.
    pub height: Height,
    /// The block's time, Unix ms.
    pub time_ms: u64,
    /// The acts of seats that took effect, in order.
    pub decided: Vec<Decision>,
    /// The wishes of validators' owners for other operators (V48), in order.
    pub wishes: Vec<OwnerWish>,
    /// The term that begins above the block, if it changes something.
    pub term: Option<Term>,
}

/// Takes a block's decisions before the block is stored. After a crash it may get the decisions of a block again.
pub type DecisionSink = dyn Fn(&Decisions) + Send + Sync;

/// The results of an executed block that isn't stored yet.
pub(crate) struct ExecutedBlock<'a> {
    pub(crate) header: &'a Header,
    /// In the order of execution.
    pub(crate) transactions: &'a [(TxId, &'a Transaction)],
    /// In the same order, without those that were skipped.
    pub(crate) receipts: &'a [Receipt],
    pub(crate) diff: &'a [LeafWrite],
    pub(crate) change: Option<&'a EpochTransition>,
}

impl ExecutedBlock<'_> {
    /// Returns the block's decisions; `None` if there are none. `below` is the state before the block, and these
    /// parameters are in force there.
    pub(crate) fn decisions(
        &self,
        below: &impl StateRead,
        parameters: &Parameters,
    ) -> Result<Option<Decisions>, StateReadError> {
        let decided = if self.has_acts() { self.decided(below, parameters)? } else { Vec::new() };
        let wishes = self.wishes(parameters);
        let term = self.change.and_then(new_term);
        if decided.is_empty() && wishes.is_empty() && term.is_none() {
            return Ok(None);
        }
        Ok(Some(Decisions { height: self.header.height, time_ms: self.header.time_ms, decided, wishes, term }))
    }

    /// Tells if a seat acted: every transaction of a seat writes the governance record.
    fn has_acts(&self) -> bool {
        self.written(&governance_key()).is_some()
    }

    /// Returns what the block writes in a leaf: bytes, or no bytes if it removes the leaf. `None` if the leaf stays.
    pub(crate) fn written(&self, key: &StateKey) -> Option<Option<&[u8]>> {
        let place = self.diff.binary_search_by_key(key, |write| write.key).ok()?;
        Some(self.diff[place].value.as_deref())
    }

    /// Returns the operations of system senders that took effect, in order, each with its transaction.
    pub(crate) fn of_the_system(&self) -> impl Iterator<Item = (TxId, SystemSender, &Operation2)> {
        let mut receipts = self.receipts.iter().peekable();
        let done = self.transactions.iter().filter_map(move |(id, transaction)| {
            let receipt = receipts.next_if(|receipt| receipt.transaction == *id)?;
            let sender = SystemSender::of(&receipt.sender)?;
            let Transaction::V2(transaction) = transaction else { return None };
            (receipt.outcome == Outcome::Ok).then(|| (*id, sender, transaction.body()))
        });
        done.flat_map(|(id, sender, body)| body.data.iter().map(move |operation| (id, sender, operation)))
    }

    fn decided(&self, below: &impl StateRead, parameters: &Parameters) -> Result<Vec<Decision>, StateReadError> {
        let mut ballots = Ballots::new(GovernanceRecord::read(below, parameters)?);
        let mut decided = Vec::new();
        for mut one in self.acts(ballots.record.next_proposal) {
            let (seat, transaction) = (one.seat, one.transaction);
            let made = ballots.count(below, seat, &mut one.act)?;
            decided.push(one);
            decided.extend(made.map(|act| Decision { seat, transaction, act }));
        }
        Ok(decided)
    }

    /// Returns the acts of seats without the changes that they made. `next` is the number of the block's first proposal.
    fn acts(&self, mut next: u64) -> Vec<Decision> {
        let mut acts = Vec::new();
        for (transaction, sender, operation) in self.of_the_system() {
            let SystemSender::Seat(seat) = sender else { continue };
            let act = match operation {
                Operation2::Propose { change, until_ms } => {
                    let number = next;
                    next = next.saturating_add(1);
                    SeatAct::Proposed { number, change: change.clone(), until_ms: *until_ms }
                }
                Operation2::Approve { number, change } => SeatAct::Approved { number: *number, hash: *change },
                Operation2::Withdraw { number } => SeatAct::Withdrew { number: *number, ended: false },
                Operation2::SetAuthority { settings, .. } => SeatAct::Rekeyed { signer: signer(&settings.authority) },
                _ => continue,
            };
            acts.push(Decision { seat, transaction, act });
        }
        acts
    }
}

/// A proposal that seats of the block act on.
struct Ballot {
    change: GovernanceChange,
    proposer: Option<u32>,
    /// The seats whose approvals count.
    approvals: BTreeSet<u32>,
    made: bool,
}

/// The proposals that seats of the block act on, from the state below the block on.
struct Ballots {
    /// The record below the block.
    record: GovernanceRecord,
    open: BTreeMap<u64, Ballot>,
    /// The seats that changed their authority in the block. Their earlier approvals no longer count (V40).
    rekeyed: BTreeSet<u32>,
}

impl Ballots {
    fn new(record: GovernanceRecord) -> Self {
        Self { record, open: BTreeMap::new(), rekeyed: BTreeSet::new() }
    }

    /// Counts an act and fills in its details. Returns the change that the act made, if any. A change is made
    /// when a quorum approves it; new operators may wait from then on (V46).
    fn count(
        &mut self,
        below: &impl StateRead,
        seat: u32,
        act: &mut SeatAct,
    ) -> Result<Option<SeatAct>, StateReadError> {
        let number = match act {
            SeatAct::Proposed { number, change, .. } => {
                let (change, approvals) = ((**change).clone(), BTreeSet::new());
                self.open.insert(*number, Ballot { change, proposer: Some(seat), approvals, made: false });
                *number
            }
            SeatAct::Approved { number, .. } => *number,
            SeatAct::Withdrew { number, ended } => {
                if let Some(ballot) = self.ballot(below, *number)? {
                    ballot.approvals.remove(&seat);
                    *ended = !ballot.made && (ballot.approvals.is_empty() || ballot.proposer == Some(seat));
                }
                return Ok(None);
            }
            SeatAct::Rekeyed { .. } => {
                self.rekeyed.insert(seat);
                for ballot in self.open.values_mut() {
                    ballot.approvals.remove(&seat);
                }
                return Ok(None);
            }
            SeatAct::Made { .. } => return Ok(None),
        };
        let quorum = usize::from(self.record.quorum);
        let Some(ballot) = self.ballot(below, number)? else { return Ok(None) };
        ballot.approvals.insert(seat);
        if ballot.made || ballot.approvals.len() < quorum {
            return Ok(None);
        }
        ballot.made = true;
        Ok(Some(SeatAct::Made { number, change: Box::new(ballot.change.clone()) }))
    }

    /// Returns a proposal of this block or of an earlier one.
    fn ballot(&mut self, below: &impl StateRead, number: u64) -> Result<Option<&mut Ballot>, StateReadError> {
        if !self.open.contains_key(&number) {
            let Some(stored) = below.get(&proposal_key(number))? else { return Ok(None) };
            let Ok(proposal) = ProposalRecord::from_bytes(&stored) else { return Ok(None) };
            let counted = proposal.counted(&self.record).map(|given| given.seat);
            let approvals = counted.filter(|seat| !self.rekeyed.contains(seat)).collect();
            let proposer = self.record.open.iter().find(|open| open.number == number).map(|open| open.seat);
            let ballot = Ballot { change: proposal.change.clone(), proposer, approvals, made: proposal.made };
            self.open.insert(number, ballot);
        }
        Ok(self.open.get_mut(&number))
    }
}

/// Returns the term that begins; `None` if it changes nothing. Epochs of version 1 have none.
fn new_term(change: &EpochTransition) -> Option<Term> {
    let term = match change {
        EpochTransition::V1(_) => return None,
        EpochTransition::First(first) => first_term(first, &new_parameters(change)?),
        EpochTransition::Term(change) => change.term,
    };
    (term.change != Change::None).then_some(term)
}

/// Returns the hash of a proposed or made change, for displays.
pub fn hash_of(act: &SeatAct) -> Option<Hash> {
    match act {
        SeatAct::Proposed { change, .. } | SeatAct::Made { change, .. } => Some(change_hash(change)),
        SeatAct::Approved { hash, .. } => Some(*hash),
        SeatAct::Withdrew { .. } | SeatAct::Rekeyed { .. } => None,
    }
}

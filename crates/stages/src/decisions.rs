//! Decisions of operators' seats in a block, and the term that begins above it, for the audit log (V50).
//!
//! *Invariants:* they follow from the block and the state below it, so all nodes note the same; a block in which no seat acted
//! costs one search among its writes.

use rustorium_crypto::{change_hash, signer};
use rustorium_execution::{
    GovernanceRecord, ProposalRecord, StateRead, StateReadError, first_term, governance_key, new_parameters,
    proposal_key,
};
use rustorium_types::{
    Change, EpochTransition, GovernanceChange, Hash, Header, Height, LeafWrite, Operation2, Outcome, Parameters,
    Receipt, Signer, SystemSender, Term, Transaction, TxId,
};
use std::collections::BTreeMap;

/// What an operation of a seat did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SeatAct {
    /// It proposed a change.
    Proposed {
        /// The proposal's number.
        number: u64,
        /// The change.
        change: Box<GovernanceChange>,
        /// Header time from which the proposal is void, Unix ms.
        until_ms: u64,
    },
    /// It approved a proposal.
    Approved {
        /// The proposal's number.
        number: u64,
        /// Hash of the change.
        hash: Hash,
    },
    /// It took its approval back.
    Withdrew {
        /// The proposal's number.
        number: u64,
        /// True if the proposal ended by that.
        ended: bool,
    },
    /// Its proposal or approval made the change.
    Made {
        /// The proposal's number.
        number: u64,
        /// The change.
        change: Box<GovernanceChange>,
    },
    /// It gave the seat another authority.
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

/// What a block decided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Decisions {
    /// The block's height.
    pub height: Height,
    /// The block's time, Unix ms.
    pub time_ms: u64,
    /// The acts of seats that took effect, in order.
    pub decided: Vec<Decision>,
    /// The term that begins above the block, if it changes something.
    pub term: Option<Term>,
}

/// Takes a block's decisions before the block is stored. It may get those of a block again after a crash.
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
    /// Returns what the block decided; `None` if that is nothing. `below` is the state before it, in which these parameters
    /// are in force.
    pub(crate) fn decisions(
        &self,
        below: &impl StateRead,
        parameters: &Parameters,
    ) -> Result<Option<Decisions>, StateReadError> {
        let decided = match self.governance() {
            Some(after) => self.decided(below, parameters, &after)?,
            None => Vec::new(),
        };
        let term = self.change.and_then(new_term);
        if decided.is_empty() && term.is_none() {
            return Ok(None);
        }
        Ok(Some(Decisions { height: self.header.height, time_ms: self.header.time_ms, decided, term }))
    }

    /// Returns the governance record that the block writes. Every transaction of a seat writes it.
    fn governance(&self) -> Option<GovernanceRecord> {
        let key = governance_key();
        let place = self.diff.binary_search_by_key(&key, |write| write.key).ok()?;
        GovernanceRecord::from_bytes(self.diff[place].value.as_deref()?).ok()
    }

    fn decided(
        &self,
        below: &impl StateRead,
        parameters: &Parameters,
        after: &GovernanceRecord,
    ) -> Result<Vec<Decision>, StateReadError> {
        let (acts, proposed) = self.acts(GovernanceRecord::read(below, parameters)?.next_proposal);
        // The last act on a proposal that is open no more is what ended it.
        let last: BTreeMap<u64, usize> =
            acts.iter().enumerate().filter_map(|(place, one)| Some((number_of(&one.act)?, place))).collect();
        let is_open = |number: u64| after.open.iter().any(|open| open.number == number);
        let mut decided = Vec::with_capacity(acts.len());
        for (place, mut one) in acts.into_iter().enumerate() {
            let ended = number_of(&one.act).filter(|number| last.get(number) == Some(&place) && !is_open(*number));
            let withdrew = matches!(one.act, SeatAct::Withdrew { .. });
            if let SeatAct::Withdrew { ended: by_this, .. } = &mut one.act {
                *by_this = ended.is_some();
            }
            let (seat, transaction) = (one.seat, one.transaction);
            decided.push(one);
            let Some(number) = ended.filter(|_| !withdrew) else { continue };
            let change = match proposed.get(&number) {
                Some(change) => Some((*change).clone()),
                None => stored_change(below, number)?,
            };
            let made = change.map(|change| SeatAct::Made { number, change: Box::new(change) });
            decided.extend(made.map(|act| Decision { seat, transaction, act }));
        }
        Ok(decided)
    }

    /// Returns the acts of seats without the changes that they made, and the changes that the block proposes by their numbers.
    /// `next` is the number of the first one.
    fn acts(&self, mut next: u64) -> (Vec<Decision>, BTreeMap<u64, &GovernanceChange>) {
        let (mut acts, mut proposed) = (Vec::new(), BTreeMap::new());
        let mut receipts = self.receipts.iter().peekable();
        for (id, transaction) in self.transactions {
            let Some(receipt) = receipts.next_if(|receipt| receipt.transaction == *id) else { continue };
            let Some(SystemSender::Seat(seat)) = SystemSender::of(&receipt.sender) else { continue };
            let Transaction::V2(transaction) = transaction else { continue };
            if receipt.outcome != Outcome::Ok {
                continue;
            }
            for operation in &transaction.body().data {
                let act = match operation {
                    Operation2::Propose { change, until_ms } => {
                        let number = next;
                        next = next.saturating_add(1);
                        proposed.insert(number, &**change);
                        SeatAct::Proposed { number, change: change.clone(), until_ms: *until_ms }
                    }
                    Operation2::Approve { number, change } => SeatAct::Approved { number: *number, hash: *change },
                    Operation2::Withdraw { number } => SeatAct::Withdrew { number: *number, ended: false },
                    Operation2::SetAuthority { settings, .. } => {
                        SeatAct::Rekeyed { signer: signer(&settings.authority) }
                    }
                    _ => continue,
                };
                acts.push(Decision { seat, transaction: *id, act });
            }
        }
        (acts, proposed)
    }
}

fn number_of(act: &SeatAct) -> Option<u64> {
    match act {
        SeatAct::Proposed { number, .. }
        | SeatAct::Approved { number, .. }
        | SeatAct::Withdrew { number, .. }
        | SeatAct::Made { number, .. } => Some(*number),
        SeatAct::Rekeyed { .. } => None,
    }
}

fn stored_change(below: &impl StateRead, number: u64) -> Result<Option<GovernanceChange>, StateReadError> {
    let stored = below.get(&proposal_key(number))?;
    Ok(stored.and_then(|bytes| ProposalRecord::from_bytes(&bytes).ok()).map(|proposal| proposal.change))
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

/// Returns the hash of a change that was proposed or made, for whoever shows it.
pub fn hash_of(act: &SeatAct) -> Option<Hash> {
    match act {
        SeatAct::Proposed { change, .. } | SeatAct::Made { change, .. } => Some(change_hash(change)),
        SeatAct::Approved { hash, .. } => Some(*hash),
        SeatAct::Withdrew { .. } | SeatAct::Rekeyed { .. } => None,
    }
}

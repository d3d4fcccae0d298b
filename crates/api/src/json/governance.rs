//! Changes that operators' seats decide, as JSON, both ways.
//!
//! *Invariants:* a change of the committee has the fields that the operation of the same name has.

use super::answers::AtView;
use super::fields::pair;
use super::operation::OperationView;
use super::scalar::Hex;
use super::schema::ToSchema;
use super::signers::{PossessionView, key_or_hash};
use super::view_error::ViewError;
use crate::answers::Governance;
use rustorium_crypto::{change_hash, parameters_hash};
use rustorium_execution::{GovernanceRecord, OpenProposal, ProposalRecord, Seat};
use rustorium_types::{
    AccountId, BoundedVec, Epoch, GovernanceChange, Hash, Operation, Parameters, PauseScope, SystemSender,
};
use serde::{Deserialize, Serialize};

/// A change that a quorum of the seats makes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ChangeView {
    /// Adds a validator to the committee from the next epoch on.
    AddValidator {
        /// A name for people.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The name as hex digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name_hex: Option<String>,
        /// The key that signs votes and batches.
        #[schema(value_type = String)]
        validator_key: Hex<32>,
        /// The key that proves the node's identity.
        #[schema(value_type = String)]
        node_key: Hex<32>,
        /// The key that may replace the validator's other keys.
        #[schema(value_type = String)]
        owner_key: Hex<32>,
        /// Byte of the home region.
        region: u8,
        /// Address that peers dial, "host:port"; empty if each node configures it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<String>,
        /// The address as hex digits.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address_hex: Option<String>,
        /// Proof that somebody holds both keys.
        possession: PossessionView,
    },
    /// Removes a validator from the committee from the next epoch on.
    RemoveValidator {
        /// The current validator key.
        #[schema(value_type = String)]
        validator_key: Hex<32>,
    },
    /// Replaces a validator's keys from the next epoch on.
    ReplaceKey {
        /// The current validator key.
        #[schema(value_type = String)]
        validator_key: Hex<32>,
        /// The new key that signs votes and batches.
        #[schema(value_type = String)]
        new_validator_key: Hex<32>,
        /// The new key that proves the node's identity.
        #[schema(value_type = String)]
        new_node_key: Hex<32>,
        /// Proof that somebody holds both new keys.
        possession: PossessionView,
    },
    /// Ends the current epoch as soon as possible.
    EndEpoch {
        /// The current epoch.
        epoch: u64,
    },
    /// Gives the chain other parameters from the next epoch on. Operators and quorum stay.
    SetParameters {
        /// Hash of the parameters that are wanted now.
        #[schema(value_type = String)]
        base: Hash,
        /// The new parameters, whole.
        #[schema(value_type = Object)]
        parameters: Box<Parameters>,
    },
    /// Gives the chain other operators from the next epoch on.
    SetOperators {
        /// Hash of the parameters that are wanted now.
        #[schema(value_type = String)]
        base: Hash,
        /// The operators' keys. A key that stays keeps its seat, and any other gets a new one.
        #[schema(value_type = Vec<String>)]
        operators: Vec<Hex<32>>,
        /// Number of seats that must approve a change.
        quorum: u8,
    },
    /// Stops accounts' transactions up to a time.
    Pause {
        /// The account, verifier or pool; without this field all accounts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>)]
        account: Option<AccountId>,
        /// Header time from which they go on, Unix ms.
        until_ms: u64,
    },
    /// Ends a pause.
    Resume {
        /// The account that was paused; without this field all accounts.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schema(value_type = Option<String>)]
        account: Option<AccountId>,
    },
    /// Gives the account's own sponsor other shares at once, or makes a sponsor for it.
    SetSponsor {
        /// The account.
        #[schema(value_type = String)]
        account: AccountId,
        /// Share of the chain's work, in millionths.
        work_ppm: u32,
        /// Share of the chain's history, in millionths.
        history_ppm: u32,
        /// Header time from which what was before holds again, Unix ms; without this field the shares have no end.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ms: Option<u64>,
    },
    /// Has the account draw from another sponsor at once.
    AssignSponsor {
        /// The account.
        #[schema(value_type = String)]
        account: AccountId,
        /// The sponsor's number; 0 is the common one.
        sponsor: u32,
    },
}

fn account_of(scope: PauseScope) -> Option<AccountId> {
    match scope {
        PauseScope::All => None,
        PauseScope::Account(account) => Some(account),
    }
}

fn scope_of(account: Option<AccountId>) -> PauseScope {
    account.map_or(PauseScope::All, PauseScope::Account)
}

impl From<&GovernanceChange> for ChangeView {
    fn from(change: &GovernanceChange) -> Self {
        match change {
            GovernanceChange::AddValidator { validator, possession } => {
                let (name, name_hex) = pair(validator.name.as_slice());
                let (address, address_hex) = pair(validator.address.as_slice());
                Self::AddValidator {
                    name,
                    name_hex,
                    validator_key: Hex(validator.validator_key),
                    node_key: Hex(validator.node_key),
                    owner_key: Hex(validator.owner_key),
                    region: validator.region,
                    address,
                    address_hex,
                    possession: possession.into(),
                }
            }
            GovernanceChange::RemoveValidator { validator_key } => {
                Self::RemoveValidator { validator_key: Hex(*validator_key) }
            }
            GovernanceChange::ReplaceKey { validator_key, new_validator_key, new_node_key, possession } => {
                Self::ReplaceKey {
                    validator_key: Hex(*validator_key),
                    new_validator_key: Hex(*new_validator_key),
                    new_node_key: Hex(*new_node_key),
                    possession: possession.into(),
                }
            }
            GovernanceChange::EndEpoch { epoch } => Self::EndEpoch { epoch: epoch.0 },
            GovernanceChange::SetParameters { base, parameters } => {
                Self::SetParameters { base: *base, parameters: Box::new(parameters.clone()) }
            }
            GovernanceChange::SetOperators { base, operators, quorum } => {
                let operators = operators.iter().map(|key| Hex(*key)).collect();
                Self::SetOperators { base: *base, operators, quorum: *quorum }
            }
            GovernanceChange::Pause { scope, until_ms } => {
                Self::Pause { account: account_of(*scope), until_ms: *until_ms }
            }
            GovernanceChange::Resume { scope } => Self::Resume { account: account_of(*scope) },
            GovernanceChange::SetSponsor { account, work_ppm, history_ppm, until_ms } => Self::SetSponsor {
                account: *account,
                work_ppm: *work_ppm,
                history_ppm: *history_ppm,
                until_ms: *until_ms,
            },
            GovernanceChange::AssignSponsor { account, sponsor } => {
                Self::AssignSponsor { account: *account, sponsor: *sponsor }
            }
        }
    }
}

impl TryFrom<ChangeView> for GovernanceChange {
    type Error = ViewError;

    fn try_from(view: ChangeView) -> Result<Self, ViewError> {
        let operation = match view {
            ChangeView::SetParameters { base, parameters } => {
                return Ok(Self::SetParameters { base, parameters: *parameters });
            }
            ChangeView::SetOperators { base, operators, quorum } => {
                let operators = BoundedVec::new(operators.into_iter().map(|key| key.0).collect());
                let operators = operators.map_err(|error| ViewError::Bound("operators", error))?;
                return Ok(Self::SetOperators { base, operators, quorum });
            }
            ChangeView::Pause { account, until_ms } => {
                return Ok(Self::Pause { scope: scope_of(account), until_ms });
            }
            ChangeView::Resume { account } => return Ok(Self::Resume { scope: scope_of(account) }),
            ChangeView::SetSponsor { account, work_ppm, history_ppm, until_ms } => {
                return Ok(Self::SetSponsor { account, work_ppm, history_ppm, until_ms });
            }
            ChangeView::AssignSponsor { account, sponsor } => return Ok(Self::AssignSponsor { account, sponsor }),
            ChangeView::EndEpoch { epoch } => return Ok(Self::EndEpoch { epoch: Epoch(epoch) }),
            ChangeView::RemoveValidator { validator_key } => {
                return Ok(Self::RemoveValidator { validator_key: validator_key.0 });
            }
            ChangeView::AddValidator {
                name,
                name_hex,
                validator_key,
                node_key,
                owner_key,
                region,
                address,
                address_hex,
                possession,
            } => OperationView::AddValidator {
                name,
                name_hex,
                validator_key,
                node_key,
                owner_key,
                region,
                address,
                address_hex,
                possession: Some(possession),
            },
            ChangeView::ReplaceKey { validator_key, new_validator_key, new_node_key, possession } => {
                OperationView::ReplaceKey {
                    validator_key,
                    new_validator_key,
                    new_node_key,
                    possession: Some(possession),
                }
            }
        };
        match Operation::try_from(operation)? {
            Operation::AddProven { validator, possession } => Ok(Self::AddValidator { validator, possession }),
            Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession } => {
                Ok(Self::ReplaceKey { validator_key, new_validator_key, new_node_key, possession })
            }
            _ => Err(ViewError::Unproven),
        }
    }
}

/// A seat of an operator.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct SeatView {
    /// The seat's number.
    pub number: u32,
    /// The address of the seat as a sender of transactions.
    #[schema(value_type = String)]
    pub sender: AccountId,
    /// The operator's key that the parameters name.
    #[schema(value_type = String)]
    pub first_key: Hex<32>,
    /// The seat's key, if one acts for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub public_key: Option<Hex<32>>,
    /// Hash of the seat's authority, if several keys act for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub authority_hash: Option<Hash>,
    /// Number of changes of the authority.
    pub generation: u32,
    /// The nonce of the seat's next transaction.
    pub nonce: u64,
    /// Number of operations that the seat may do now.
    pub room: u64,
}

/// An open proposal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ProposalView {
    /// The proposal's number.
    pub number: u64,
    /// The seat that proposed it.
    pub seat: u32,
    /// Header time from which it is void, Unix ms.
    pub until_ms: u64,
    /// The change.
    pub change: ChangeView,
    /// Hash of the change, which an approval names.
    #[schema(value_type = String)]
    pub hash: Hash,
    /// The seats whose approvals count.
    pub approvals: Vec<u32>,
}

/// A pause.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct PauseView {
    /// The account, verifier or pool; without this field all accounts.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub account: Option<AccountId>,
    /// Header time from which they go on, Unix ms.
    pub until_ms: u64,
}

/// The seats that govern the chain, their open proposals and the pauses.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct GovernanceAnswer {
    /// The epoch.
    #[schema(value_type = u64)]
    pub epoch: Epoch,
    /// Number of seats that must approve a change.
    pub quorum: u8,
    /// Number of changes of seats or quorum.
    pub generation: u32,
    /// The seats.
    pub seats: Vec<SeatView>,
    /// The number of the next proposal.
    pub next_proposal: u64,
    /// The open proposals.
    pub proposals: Vec<ProposalView>,
    /// The pauses.
    pub pauses: Vec<PauseView>,
    /// The parameters that seats want; boundaries take them one change after the other.
    #[schema(value_type = Object)]
    pub wanted: Parameters,
    /// Hash of these parameters, which the next change of them names as its base.
    #[schema(value_type = String)]
    pub wanted_hash: Hash,
    /// Hash of the parameters in force.
    #[schema(value_type = String)]
    pub in_force_hash: Hash,
    /// Time of the newest executed block, Unix ms.
    pub time_ms: u64,
    /// The node's newest state.
    pub at: AtView,
}

impl GovernanceAnswer {
    /// Returns the answer about who governs.
    pub fn new(found: &Governance, at: AtView) -> Self {
        let (record, time_ms) = (&found.record, found.time_ms);
        let pauses = record.pauses.iter().filter(|pause| pause.until_ms > time_ms);
        let of = |number: u64| record.live(time_ms).find(|open| open.number == number);
        let proposals = found.proposals.iter().filter_map(|(number, one)| Some((of(*number)?, one)));
        Self {
            epoch: found.epoch,
            quorum: record.quorum,
            generation: record.generation,
            seats: record.seats.iter().map(|seat| SeatView::new(seat, time_ms)).collect(),
            next_proposal: record.next_proposal,
            proposals: proposals.map(|(open, one)| ProposalView::new(open, one, record)).collect(),
            pauses: pauses.map(|p| PauseView { account: account_of(p.scope), until_ms: p.until_ms }).collect(),
            wanted: found.wanted.clone(),
            wanted_hash: parameters_hash(&found.wanted),
            in_force_hash: parameters_hash(&found.in_force),
            time_ms,
            at,
        }
    }
}

impl SeatView {
    fn new(seat: &Seat, now_ms: u64) -> Self {
        let (public_key, authority_hash) = key_or_hash(seat.signer);
        Self {
            number: seat.number,
            sender: SystemSender::Seat(seat.number).id(),
            first_key: Hex(seat.first_key),
            public_key,
            authority_hash,
            generation: seat.generation,
            nonce: seat.nonce,
            room: seat.room(now_ms),
        }
    }
}

impl ProposalView {
    fn new(open: &OpenProposal, proposal: &ProposalRecord, record: &GovernanceRecord) -> Self {
        Self {
            number: open.number,
            seat: open.seat,
            until_ms: open.until_ms,
            change: (&proposal.change).into(),
            hash: change_hash(&proposal.change),
            approvals: proposal.counted(record).map(|given| given.seat).collect(),
        }
    }
}

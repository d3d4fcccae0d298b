//! The state's leaves about who governs, as proofs show them.
//!
//! *Invariants:* a view has all that the leaf has, and nothing that depends on the time at which it is shown.

use super::change::{ChangeView, account_of};
use super::scalar::Hex;
use super::schema::ToSchema;
use super::signers::key_or_hash;
use rustorium_crypto::change_hash;
use rustorium_execution::{GovernanceRecord, OpenProposal, Pause, ProposalRecord, Seat, SeatApproval};
use rustorium_types::{AccountId, DecodeError, Hash, SystemSender};
use serde::Serialize;

/// A seat of an operator: who acts for it, and how often it acted.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct SeatFacts {
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
}

/// A seat as the state has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct SeatRecordView {
    /// The seat.
    #[serde(flatten)]
    pub seat: SeatFacts,
    /// Header time up to which the seat's operations are paid by its rate, Unix ms.
    pub paid_ms: u64,
}

/// The place of a proposal.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct OpenRecordView {
    /// The proposal's number.
    pub number: u64,
    /// The seat that proposed it.
    pub seat: u32,
    /// The seats' generation then. The proposal is void under another one.
    pub generation: u32,
    /// Header time from which it is void, Unix ms.
    pub until_ms: u64,
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

/// The seats, the places of proposals and the pauses, as the state has them. Void proposals and pauses that are over may be
/// among them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct GovernanceRecordView {
    /// Number of changes of seats or quorum.
    pub generation: u32,
    /// Number of seats that must approve a change.
    pub quorum: u8,
    /// The seats when one of them acted last. Those of the parameters in force govern: a key that these name keeps its seat,
    /// and every other key gets a new one.
    pub seats: Vec<SeatRecordView>,
    /// The number of the next seat.
    pub next_seat: u32,
    /// The number of the next proposal.
    pub next_proposal: u64,
    /// The places of proposals.
    pub open: Vec<OpenRecordView>,
    /// The pauses.
    pub pauses: Vec<PauseView>,
}

impl GovernanceRecordView {
    /// Reads the leaf's value.
    ///
    /// # Errors
    /// The bytes are no record.
    pub fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let record = GovernanceRecord::from_bytes(bytes)?;
        Ok(Self {
            generation: record.generation,
            quorum: record.quorum,
            seats: record.seats.iter().map(SeatRecordView::from).collect(),
            next_seat: record.next_seat,
            next_proposal: record.next_proposal,
            open: record.open.iter().map(OpenRecordView::from).collect(),
            pauses: record.pauses.iter().map(PauseView::from).collect(),
        })
    }
}

impl From<&Seat> for SeatFacts {
    fn from(seat: &Seat) -> Self {
        let (public_key, authority_hash) = key_or_hash(seat.signer);
        Self {
            number: seat.number,
            sender: SystemSender::Seat(seat.number).id(),
            first_key: Hex(seat.first_key),
            public_key,
            authority_hash,
            generation: seat.generation,
            nonce: seat.nonce,
        }
    }
}

impl From<&Seat> for SeatRecordView {
    fn from(seat: &Seat) -> Self {
        Self { seat: seat.into(), paid_ms: seat.paid_ms }
    }
}

impl From<&Pause> for PauseView {
    fn from(pause: &Pause) -> Self {
        Self { account: account_of(pause.scope), until_ms: pause.until_ms }
    }
}

impl From<&OpenProposal> for OpenRecordView {
    fn from(open: &OpenProposal) -> Self {
        Self { number: open.number, seat: open.seat, generation: open.generation, until_ms: open.until_ms }
    }
}

/// An approval as the state has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ApprovalView {
    /// The seat.
    pub seat: u32,
    /// The generation of the seat's authority that approved. The approval doesn't count under another one.
    pub generation: u32,
}

/// A proposal as the state has it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, ToSchema)]
pub struct ProposalRecordView {
    /// The change.
    pub change: ChangeView,
    /// Hash of the change, which an approval names.
    #[schema(value_type = String)]
    pub hash: Hash,
    /// The seats' generation when it was proposed.
    pub generation: u32,
    /// Header time from which it is void, Unix ms.
    pub until_ms: u64,
    /// The approvals. Those of seats that are gone, or have another authority now, don't count.
    pub approvals: Vec<ApprovalView>,
    /// `true` if the change is made and waits.
    pub made: bool,
}

impl ProposalRecordView {
    /// Reads the leaf's value.
    ///
    /// # Errors
    /// The bytes are no proposal.
    pub fn read(bytes: &[u8]) -> Result<Self, DecodeError> {
        let ProposalRecord { change, generation, until_ms, approvals, made } = ProposalRecord::from_bytes(bytes)?;
        let approval = |given: &SeatApproval| ApprovalView { seat: given.seat, generation: given.generation };
        let approvals = approvals.iter().map(approval).collect();
        Ok(Self { hash: change_hash(&change), change: (&change).into(), generation, until_ms, approvals, made })
    }
}

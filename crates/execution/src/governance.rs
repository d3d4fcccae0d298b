//! The operators' seats, their proposals and the pauses: the records in the state (V38).
//!
//! *Invariants:* what isn't written is as the parameters in force say, so nothing is written when version 2 begins; a seat's
//! number is never used twice; a proposal that was made under other seats, and an approval that a seat gave under another
//! authority, never count.

use crate::keys::Name;
use crate::{StateRead, StateReadError};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::{OPERATORS_MAX, PAUSES_MAX, PROPOSALS_MAX, VALUE_BYTES_MAX};
use rustorium_types::{
    AccountId, BoundedVec, DecodeError, GovernanceChange, Parameters, PauseScope, PublicKey, SYSTEM_ACCOUNT, Signer,
    StateKey, decode, encode,
};

/// Open proposals that one seat may have.
pub const SEAT_PROPOSALS_MAX: usize = 4;
/// The longest time for which a proposal is open, ms.
pub const PROPOSAL_MS_MAX: u64 = 7 * 24 * 3600 * 1000;
/// The longest pause that one decision makes, ms.
pub const PAUSE_MS_MAX: u64 = 7 * 24 * 3600 * 1000;
/// Time in which a system sender gets room for one more operation, ms.
pub const SEAT_OPERATION_MS: u64 = 30_000;
/// Operations that a system sender may do at once if it did none for a while.
pub const SEAT_OPERATIONS_MAX: u64 = 120;

/// Returns the number of operations that a system sender may do now, which paid up to a header time for those before.
pub(crate) fn room(paid_ms: u64, now_ms: u64) -> u64 {
    let taken_ms = paid_ms.saturating_sub(now_ms);
    (SEAT_OPERATIONS_MAX * SEAT_OPERATION_MS).saturating_sub(taken_ms) / SEAT_OPERATION_MS
}

/// Returns the header time up to which a system sender paid after so many more operations; `None` if it has no room for
/// them.
pub(crate) fn pay(paid_ms: u64, now_ms: u64, operations: u64) -> Option<u64> {
    let fits = operations <= room(paid_ms, now_ms);
    fits.then(|| paid_ms.max(now_ms).saturating_add(operations * SEAT_OPERATION_MS))
}

/// A seat of an operator.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Seat {
    /// The seat's number.
    pub number: u32,
    /// The key that the parameters name. The seat's authority was this key alone at first.
    pub first_key: PublicKey,
    /// The seat's authority.
    pub signer: Signer,
    /// Number of changes of the authority.
    pub generation: u32,
    /// The nonce of the seat's next transaction.
    pub nonce: u64,
    /// Header time up to which the seat's operations are paid by its rate, Unix ms.
    pub paid_ms: u64,
}

impl Seat {
    fn new(number: u32, first_key: PublicKey) -> Self {
        Self { number, first_key, signer: Signer::Single(first_key), generation: 0, nonce: 0, paid_ms: 0 }
    }

    /// Returns the number of operations that the seat may do now.
    pub fn room(&self, now_ms: u64) -> u64 {
        room(self.paid_ms, now_ms)
    }
}

/// The place of an open proposal. The proposal itself is a leaf of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct OpenProposal {
    /// The proposal's number.
    pub number: u64,
    /// The seat that proposed it.
    pub seat: u32,
    /// The seats' generation then.
    pub generation: u32,
    /// Header time from which it is void, Unix ms.
    pub until_ms: u64,
}

/// A pause.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Pause {
    /// The accounts that it stops.
    pub scope: PauseScope,
    /// Header time from which they go on, Unix ms.
    pub until_ms: u64,
}

/// The system account's leaf about who governs.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct GovernanceRecord {
    /// Number of changes of seats or quorum.
    pub generation: u32,
    /// Number of seats that must approve a change.
    pub quorum: u8,
    /// The seats, in the order of the parameters' operators.
    pub seats: BoundedVec<Seat, OPERATORS_MAX>,
    /// The number of the next seat.
    pub next_seat: u32,
    /// The number of the next proposal.
    pub next_proposal: u64,
    /// The open proposals, and void ones whose leaves are there.
    pub open: BoundedVec<OpenProposal, PROPOSALS_MAX>,
    /// The pauses, and those that are over and in nobody's way.
    pub pauses: BoundedVec<Pause, PAUSES_MAX>,
}

impl GovernanceRecord {
    /// Returns the record of a chain whose seats never acted.
    pub fn first(parameters: &Parameters) -> Self {
        let empty = Self {
            generation: 0,
            quorum: parameters.operator_quorum,
            seats: BoundedVec::default(),
            next_seat: 0,
            next_proposal: 1,
            open: BoundedVec::default(),
            pauses: BoundedVec::default(),
        };
        empty.with_seats(parameters)
    }

    /// Returns the record that these parameters make of the stored one.
    ///
    /// # Errors
    /// The stored bytes are no record.
    pub fn in_force(stored: Option<&[u8]>, parameters: &Parameters) -> Result<Self, DecodeError> {
        let Some(bytes) = stored else { return Ok(Self::first(parameters)) };
        Self::from_bytes(bytes).map(|record| record.follow(parameters))
    }

    /// Reads the record in a state in which these parameters are in force.
    ///
    /// # Errors
    /// The state can't be read.
    pub fn read(state: &dyn StateRead, parameters: &Parameters) -> Result<Self, StateReadError> {
        let stored = state.get(&governance_key())?;
        Self::in_force(stored.as_deref(), parameters).map_err(crate::corrupt::corrupt)
    }

    /// Encodes the leaf's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        encode(self)
    }

    /// Decodes a leaf's value.
    ///
    /// # Errors
    /// The bytes are no record.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, VALUE_BYTES_MAX)
    }

    /// V40: follows a change of operators or quorum, which a boundary brought.
    fn follow(self, parameters: &Parameters) -> Self {
        let same = self.seats.iter().map(|seat| &seat.first_key).eq(parameters.operators.iter());
        if same && self.quorum == parameters.operator_quorum {
            return self;
        }
        let generation = self.generation.saturating_add(1);
        Self { generation, quorum: parameters.operator_quorum, ..self }.with_seats(parameters)
    }

    /// Returns the record with a seat for each operator: the one that it had, or a new one.
    fn with_seats(self, parameters: &Parameters) -> Self {
        let mut next_seat = self.next_seat;
        let mut seat_of = |key: &PublicKey| {
            let held = self.seat_of(key).cloned();
            held.unwrap_or_else(|| {
                let number = next_seat;
                next_seat = next_seat.saturating_add(1);
                Seat::new(number, *key)
            })
        };
        let seats: Vec<Seat> = parameters.operators.iter().map(&mut seat_of).collect();
        // The operators have the same bound.
        Self { seats: BoundedVec::new(seats).unwrap_or_default(), next_seat, ..self }
    }

    /// Returns the seat with this number.
    pub fn seat(&self, number: u32) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.number == number)
    }

    /// Returns the seat of an operator, by the key that the parameters name.
    pub fn seat_of(&self, first_key: &PublicKey) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.first_key == *first_key)
    }

    /// Tells if an operator's key still acts for its seat alone.
    pub fn acts_alone(&self, first_key: &PublicKey) -> bool {
        self.seat_of(first_key).is_some_and(|seat| seat.signer == Signer::Single(*first_key))
    }

    /// Tells if a proposal counts at this header time.
    pub fn is_live(&self, open: &OpenProposal, now_ms: u64) -> bool {
        open.generation == self.generation && open.until_ms > now_ms
    }

    /// Returns the proposals that count at this header time.
    pub fn live(&self, now_ms: u64) -> impl Iterator<Item = &OpenProposal> {
        self.open.iter().filter(move |open| self.is_live(open, now_ms))
    }

    /// Returns the time until which a scope is paused; `None` if it isn't at `now_ms`.
    pub fn paused_until(&self, scope: PauseScope, now_ms: u64) -> Option<u64> {
        let mut of_scope = self.pauses.iter().filter(|pause| pause.scope == scope && pause.until_ms > now_ms);
        of_scope.next().map(|pause| pause.until_ms)
    }

    /// Returns the record with this seat in its place.
    #[must_use]
    pub(crate) fn with_seat(self, changed: Seat) -> Self {
        let seats = self.seats.iter().map(|seat| if seat.number == changed.number { &changed } else { seat });
        let seats = BoundedVec::new(seats.cloned().collect()).unwrap_or_default();
        Self { seats, ..self }
    }

    /// Returns the record without this proposal.
    #[must_use]
    pub(crate) fn without(self, number: u64) -> Self {
        let open = self.open.into_vec().into_iter().filter(|open| open.number != number).collect();
        Self { open: BoundedVec::new(open).unwrap_or_default(), ..self }
    }
}

/// An approval of a seat.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct SeatApproval {
    /// The seat.
    pub seat: u32,
    /// The generation of the seat's authority that approved.
    pub generation: u32,
}

/// The leaf of a proposal.
#[derive(Clone, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct ProposalRecord {
    /// The change.
    pub change: GovernanceChange,
    /// The seats' generation when it was proposed.
    pub generation: u32,
    /// Header time from which it is void, Unix ms.
    pub until_ms: u64,
    /// The seats that approved it.
    pub approvals: BoundedVec<SeatApproval, OPERATORS_MAX>,
    /// True if the change was made and waits for its time, so that the other seats can waive the rest of it (V46).
    pub made: bool,
}

impl ProposalRecord {
    /// Decodes a leaf's value.
    ///
    /// # Errors
    /// The bytes are no proposal.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        decode(bytes, VALUE_BYTES_MAX)
    }

    /// Returns the approvals that count: those of present seats under their present authority (V40).
    pub fn counted<'a>(&'a self, record: &'a GovernanceRecord) -> impl Iterator<Item = &'a SeatApproval> {
        let counts = |given: &SeatApproval| record.seat(given.seat).is_some_and(|s| s.generation == given.generation);
        self.approvals.iter().filter(move |given| counts(given))
    }
}

/// Returns the key of the governance record.
pub fn governance_key() -> StateKey {
    Name::Governance.key(SYSTEM_ACCOUNT)
}

/// Returns the key of a proposal.
pub fn proposal_key(number: u64) -> StateKey {
    Name::Proposal(number).key(SYSTEM_ACCOUNT)
}

/// Returns the scope of one account.
pub(crate) fn scope_of(account: AccountId) -> PauseScope {
    PauseScope::Account(account)
}

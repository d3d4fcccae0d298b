//! The next protocol version that operators want, and the members that speak it (V11).
//!
//! *Invariants:* headers of the epoch itself tell who speaks it, so nobody counts who has gone since; the same record and
//! time give every node the same answer.

use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::VALIDATORS_MAX;
use rustorium_types::{Epoch, Header, ValidatorIndex, quorum};

/// An upgrade that operators decided on, as the committee's record has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct Upgrade {
    /// The version that the chain goes on by.
    pub version: u16,
    /// Header time before which no boundary takes it, Unix ms.
    pub not_before_ms: u64,
    /// The epoch of `places`.
    pub epoch: Epoch,
    /// One bit for each member whose header in that epoch said that it speaks the version, the first place in the lowest.
    pub places: u128,
}

const _: () = assert!(VALIDATORS_MAX <= u128::BITS as usize, "each place has a bit");

impl Upgrade {
    /// Returns an upgrade of which no member has said so far that it speaks the version.
    pub fn new(version: u16, not_before_ms: u64) -> Self {
        Self { version, not_before_ms, epoch: Epoch(0), places: 0 }
    }

    /// Tells if the chain could go on by it after an epoch of version `now`. It couldn't if that is the version already.
    pub fn is_next(&self, now: u16) -> bool {
        now.checked_add(1) == Some(self.version)
    }

    /// Returns the places of members that said in an epoch that they speak the version.
    pub fn speakers(&self, epoch: Epoch) -> Vec<ValidatorIndex> {
        let places = if self.epoch == epoch { self.places } else { 0 };
        (0..VALIDATORS_MAX as u16).filter(|place| (places >> place) & 1 == 1).map(ValidatorIndex).collect()
    }

    /// Returns the upgrade after a header; `None` if that changes nothing.
    pub fn after(self, header: &Header) -> Option<Self> {
        let speaks = self.is_next(header.version) && header.speaks >= u64::from(self.version);
        if !speaks || usize::from(header.proposer.0) >= VALIDATORS_MAX {
            return None;
        }
        let before = if self.epoch == header.epoch { self.places } else { 0 };
        let places = before | (1 << header.proposer.0);
        let after = Self { epoch: header.epoch, places, ..self };
        (after != self).then_some(after)
    }

    /// Tells if enough of an epoch's n members speak the version: as many as can make blocks without the others.
    fn has_quorum(&self, epoch: Epoch, n: usize) -> bool {
        self.speakers(epoch).len() >= quorum(n)
    }

    /// Returns the version if a boundary of this epoch and version, with this time, takes the upgrade. n: the epoch's
    /// members.
    pub fn taken_at(&self, place: (Epoch, u16), n: usize, time_ms: u64) -> Option<u16> {
        self.is_due(place, n, time_ms).then_some(self.version)
    }

    fn is_due(&self, (epoch, version): (Epoch, u16), n: usize, time_ms: u64) -> bool {
        let in_time = time_ms >= self.not_before_ms;
        self.is_next(version) && in_time && self.has_quorum(epoch, n)
    }
}

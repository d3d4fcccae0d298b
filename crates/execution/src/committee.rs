//! The committee and the parameters that operators want next: their record in the state.
//!
//! *Invariants:* the record always names a committee that can run an epoch.

use crate::corrupt::corrupt;
use crate::keys::committee_key;
use crate::owners::Owners;
use crate::upgrade::Upgrade;
use crate::{StateRead, StateReadError};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::{VALIDATORS_MAX, VALUE_BYTES_MAX};
use rustorium_types::{
    BoundedVec, DecodeError, Epoch, Parameters, PublicKey, Rules, Validator, ValidatorSet, decode, encode,
};
use std::borrow::Cow;

/// The system account's leaf: the decisions of the chain's operators that boundaries take.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CommitteeRecord {
    /// The committee that the operators want next; the epoch's own if they want no other.
    pub target: ValidatorSet,
    /// The newest epoch that the operators asked to end early.
    pub end_asked: Option<Epoch>,
    /// The keys that owners alone brought in, with their epoch (R45). `None` only under version 1, whose record ends
    /// before this field.
    pub replaced: Option<Replaced>,
    /// The parameters that the seats want, with the operators that they want (V12). `None` if the seats never wanted others
    /// than the epoch's, as always under version 1.
    pub wanted: Option<Box<Parameters>>,
    /// The validators' numbers. `None` if each one's number is its place, as always under version 1.
    pub owners: Option<Box<Owners>>,
    /// The wait of new operators (V46). `None` if they need not wait, as always under version 1.
    pub wait: Option<OperatorsWait>,
    /// The next protocol version that the seats want (V11). `None` if they want none, as always under version 1.
    pub upgrade: Option<Upgrade>,
}

/// The wait between decisions of seats or owners and the boundary that may take new operators (V46, V48).
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct OperatorsWait {
    /// The seats' proposal by which the operators are wanted; 0 if there is none: they need not wait, or owners want them
    /// (V48).
    pub proposal: u64,
    /// Header time from which a boundary may take the wanted operators, Unix ms.
    pub from_ms: u64,
    /// Header time before which no boundary takes operators that a later decision wants, Unix ms: a shorter wait was
    /// decided while a longer one is in force.
    pub least_ms: u64,
}

/// The keys that validators' owners alone brought in, in one epoch.
#[derive(Clone, PartialEq, Eq, Default, Debug, BorshSerialize, BorshDeserialize)]
pub struct Replaced {
    /// The epoch.
    pub epoch: Epoch,
    /// The new validator keys. Each is in the next committee.
    pub keys: BoundedVec<PublicKey, VALIDATORS_MAX>,
}

impl CommitteeRecord {
    /// Returns the record at height 0.
    pub fn first(rules: Rules, committee: ValidatorSet) -> Self {
        let replaced = rules.has_epoch_age().then(Replaced::default);
        Self { replaced, ..Self::bare(committee, None) }
    }

    fn bare(target: ValidatorSet, end_asked: Option<Epoch>) -> Self {
        Self { target, end_asked, replaced: None, wanted: None, owners: None, wait: None, upgrade: None }
    }

    /// Encodes the leaf's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = encode(&(&self.target, &self.end_asked));
        let more = self.has_more() || self.upgrade.is_some();
        if more || self.replaced.is_some() {
            bytes.extend(encode(self.replaced.as_ref().unwrap_or(&Replaced::default())));
        }
        if more {
            bytes.extend(encode(&(&self.wanted, &self.owners, &self.wait)));
        }
        if let Some(upgrade) = &self.upgrade {
            bytes.extend(encode(upgrade));
        }
        bytes
    }

    /// Tells if the record says more than that of a chain whose seats and owners never changed anything.
    fn has_more(&self) -> bool {
        self.wanted.is_some() || self.owners.is_some() || self.wait.is_some()
    }

    /// Decodes a leaf's value.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        // No bytes are valid in two forms: each continues where the one before it ends.
        if let Ok((target, end_asked)) = decode(bytes, VALUE_BYTES_MAX) {
            return Ok(Self::bare(target, end_asked));
        }
        if let Ok((target, end_asked, replaced)) = decode(bytes, VALUE_BYTES_MAX) {
            return Ok(Self { replaced: Some(replaced), ..Self::bare(target, end_asked) });
        }
        if let Ok((target, end_asked, replaced, (wanted, owners, wait))) = decode(bytes, VALUE_BYTES_MAX) {
            let bare = Self::bare(target, end_asked);
            let record = Self { replaced: Some(replaced), wanted, owners, wait, ..bare };
            let shorter = || DecodeError::Malformed("a record without more has a shorter form".into());
            return record.has_more().then_some(record).ok_or_else(shorter);
        }
        let (target, end_asked, replaced, (wanted, owners, wait), upgrade) = decode(bytes, VALUE_BYTES_MAX)?;
        let (replaced, upgrade) = (Some(replaced), Some(upgrade));
        Ok(Self { replaced, wanted, owners, wait, upgrade, ..Self::bare(target, end_asked) })
    }

    /// Returns the parameters that are wanted, if those in force are these.
    pub fn wanted<'a>(&'a self, in_force: &'a Parameters) -> &'a Parameters {
        self.wanted.as_deref().unwrap_or(in_force)
    }

    /// Returns the header time from which a boundary may take the wanted operators, Unix ms.
    pub fn operators_from_ms(&self) -> u64 {
        self.wait.map_or(0, |wait| wait.from_ms)
    }

    /// Returns the parameters that a boundary with this time may take, if those in force are these; `None` if none are
    /// wanted.
    pub fn wanted_at(&self, in_force: &Parameters, time_ms: u64) -> Option<Cow<'_, Parameters>> {
        let wanted = self.wanted.as_deref()?;
        Some(takeable(in_force, wanted, self.operators_from_ms(), time_ms))
    }

    /// Returns the version that a boundary of this epoch and version, with this time, takes; `None` if none. n: the members
    /// of its epoch.
    pub fn version_at(&self, place: (Epoch, u16), n: usize, time_ms: u64) -> Option<u16> {
        self.upgrade?.taken_at(place, n, time_ms)
    }

    /// Reads the record in a state. Errors: it can't be read, or is missing, which is impossible in a chain's state.
    pub fn read(state: &dyn StateRead) -> Result<Self, StateReadError> {
        let bytes =
            state.get(&committee_key())?.ok_or_else(|| StateReadError("there is no committee record".into()))?;
        Self::from_bytes(&bytes).map_err(corrupt)
    }
}

impl CommitteeRecord {
    /// Returns the numbers of the validators of the wanted committee.
    pub fn numbered(&self) -> Owners {
        self.owners.as_deref().cloned().unwrap_or_else(|| Owners::of_places(self.target.len()))
    }

    /// Returns the header time from which a boundary may take operators that validators' owners decided on (V48); `None` if
    /// none are wanted, or those that seats want.
    pub fn recovered_from_ms(&self, in_force: &Parameters) -> Option<u64> {
        let wanted = self.wanted(in_force);
        let same = wanted.governors() == in_force.governors();
        let by_owners = |wait: &OperatorsWait| !same && wait.proposal == 0 && wait.from_ms > 0;
        self.wait.filter(by_owners).map(|wait| wait.from_ms)
    }

    /// Returns the validator of the wanted committee with this number.
    pub fn validator(&self, number: u32) -> Option<&Validator> {
        let place = match &self.owners {
            Some(owners) => owners.numbers.iter().position(|one| *one == number)?,
            None => number as usize,
        };
        self.target.get(place)
    }
}

/// Returns what a boundary with this time may take of the wanted parameters: new operators and their quorum only from a time
/// on (V46).
pub fn takeable<'a>(
    in_force: &Parameters,
    wanted: &'a Parameters,
    operators_from_ms: u64,
    time_ms: u64,
) -> Cow<'a, Parameters> {
    if wanted.governors() == in_force.governors() || time_ms >= operators_from_ms {
        return Cow::Borrowed(wanted);
    }
    let (operators, operator_quorum) = (in_force.operators.clone(), in_force.operator_quorum);
    Cow::Owned(Parameters { operators, operator_quorum, ..wanted.clone() })
}

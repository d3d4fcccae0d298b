//! The committee and the parameters that operators want next: their record in the state.
//!
//! *Invariants:* the record always names a committee that can run an epoch.

use crate::keys::committee_key;
use crate::owners::Owners;
use crate::{StateRead, StateReadError};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::limits::{VALIDATORS_MAX, VALUE_BYTES_MAX};
use rustorium_types::{BoundedVec, DecodeError, Epoch, Genesis, Parameters, PublicKey, ValidatorSet, decode, encode};

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
    pub fn of_genesis(genesis: &Genesis) -> Self {
        let replaced = genesis.rules().has_epoch_age().then(Replaced::default);
        Self { target: genesis.validators.clone(), end_asked: None, replaced, wanted: None, owners: None }
    }

    /// Encodes the leaf's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = encode(&(&self.target, &self.end_asked));
        let more = self.wanted.is_some() || self.owners.is_some();
        if more || self.replaced.is_some() {
            bytes.extend(encode(self.replaced.as_ref().unwrap_or(&Replaced::default())));
        }
        if more {
            bytes.extend(encode(&(&self.wanted, &self.owners)));
        }
        bytes
    }

    /// Decodes a leaf's value.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        // No bytes are valid in two forms: each continues where the one before it ends.
        if let Ok((target, end_asked)) = decode(bytes, VALUE_BYTES_MAX) {
            return Ok(Self { target, end_asked, replaced: None, wanted: None, owners: None });
        }
        if let Ok((target, end_asked, replaced)) = decode(bytes, VALUE_BYTES_MAX) {
            return Ok(Self { target, end_asked, replaced: Some(replaced), wanted: None, owners: None });
        }
        let (target, end_asked, replaced, wanted, owners) = decode(bytes, VALUE_BYTES_MAX)?;
        Ok(Self { target, end_asked, replaced: Some(replaced), wanted, owners })
    }

    /// Returns the parameters that are wanted, if those in force are these.
    pub fn wanted<'a>(&'a self, in_force: &'a Parameters) -> &'a Parameters {
        self.wanted.as_deref().unwrap_or(in_force)
    }

    /// Reads the record in a state. Errors: it can't be read, or is missing, which is impossible in a chain's state.
    pub fn read(state: &dyn StateRead) -> Result<Self, StateReadError> {
        let bytes =
            state.get(&committee_key())?.ok_or_else(|| StateReadError("there is no committee record".into()))?;
        Self::from_bytes(&bytes).map_err(corrupt)
    }
}

pub(crate) fn corrupt(error: DecodeError) -> StateReadError {
    StateReadError(format!("a leaf of the system account is corrupt: {error}"))
}

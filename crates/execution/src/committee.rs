//! The committee and the parameters that operators want next: their record in the state.
//!
//! *Invariants:* the record always names a committee that can run an epoch.

use crate::keys::committee_key;
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
        Self { target: genesis.validators.clone(), end_asked: None, replaced, wanted: None }
    }

    /// Encodes the leaf's value.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = encode(&(&self.target, &self.end_asked));
        if let Some(replaced) = &self.replaced {
            bytes.extend(encode(replaced));
        }
        if let Some(wanted) = &self.wanted {
            bytes.extend(encode(wanted));
        }
        bytes
    }

    /// Decodes a leaf's value.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, DecodeError> {
        // No bytes are valid in two forms: each continues where the one before it ends.
        if let Ok((target, end_asked)) = decode(bytes, VALUE_BYTES_MAX) {
            return Ok(Self { target, end_asked, replaced: None, wanted: None });
        }
        if let Ok((target, end_asked, replaced)) = decode(bytes, VALUE_BYTES_MAX) {
            return Ok(Self { target, end_asked, replaced: Some(replaced), wanted: None });
        }
        let (target, end_asked, replaced, wanted) = decode(bytes, VALUE_BYTES_MAX)?;
        Ok(Self { target, end_asked, replaced: Some(replaced), wanted: Some(wanted) })
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

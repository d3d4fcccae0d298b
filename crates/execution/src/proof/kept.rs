//! A light client's state as bytes, so that it survives the process.
//!
//! *Invariants:* nothing in it proves that it is true: its owner vouches for it, as for a checkpoint; one state has one
//! encoding; headers that were checked are not stored.

use super::committees::{COMMITTEES_MAX, Committees, ENDS_MAX, EpochEnd};
use super::{Light, Trust};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::{BoundedVec, DecodeError, Epoch, decode, encode};

/// A committee, and the length of its epoch.
type KeptTrust = (Trust, Option<u64>);

#[derive(BorshSerialize, BorshDeserialize)]
struct SavedState {
    anchor: KeptTrust,
    trusts: BoundedVec<KeptTrust, COMMITTEES_MAX>,
    ends: BoundedVec<(Epoch, EpochEnd), ENDS_MAX>,
    passed_ms: u64,
}

fn kept(trust: &Trust) -> KeptTrust {
    (trust.clone(), trust.epoch_ms)
}

fn trust((trust, epoch_ms): KeptTrust) -> Result<Trust, DecodeError> {
    Trust { epoch_ms, ..trust }.checked()
}

impl Light {
    /// Largest number of bytes of an encoded state.
    pub const BYTES_MAX: usize = (COMMITTEES_MAX + 1) * (Trust::BYTES_MAX + 16) + ENDS_MAX * 64 + 1024;

    /// Encodes the state, to continue from it in another process.
    pub fn to_bytes(&self) -> Vec<u8> {
        let committees = &self.committees;
        let trusts = committees.trusts.values().map(kept).collect();
        let ends = committees.ends.iter().map(|(epoch, end)| (*epoch, *end)).collect();
        encode(&SavedState {
            anchor: kept(&committees.anchor),
            // The state has the same bounds, so the fallbacks are never used.
            trusts: BoundedVec::new(trusts).unwrap_or_default(),
            ends: BoundedVec::new(ends).unwrap_or_default(),
            passed_ms: self.passed_ms,
        })
    }

    /// Decodes a state and continues from it.
    ///
    /// # Errors
    /// [`DecodeError`]: the bytes are no state, or its parts don't fit together.
    pub fn from_bytes(bytes: &[u8], trust_period_ms: Option<u64>) -> Result<Self, DecodeError> {
        let SavedState { anchor, trusts, ends, passed_ms } = decode(bytes, Self::BYTES_MAX)?;
        let ascending = trusts.is_sorted_by(|a, b| a.0.epoch < b.0.epoch) && ends.is_sorted_by(|a, b| a.0 < b.0);
        let mut committees = Committees::new(trust(anchor)?);
        let fits =
            |kept: &KeptTrust| kept.0.chain == committees.anchor.chain && kept.0.epoch >= committees.anchor.epoch;
        if trusts.is_empty() || !ascending || !trusts.iter().all(fits) {
            return Err(DecodeError::Malformed("the committees are not those of one chain, in order".to_owned()));
        }
        let known = trusts.iter().cloned().map(|kept| trust(kept).map(|trust| (trust.epoch, trust)));
        committees.trusts = known.collect::<Result<_, _>>()?;
        committees.ends = ends.iter().copied().collect();
        Ok(Self::of(committees, trust_period_ms, passed_ms))
    }
}

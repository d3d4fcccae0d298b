//! A light client's state as bytes, so that it survives the process.
//!
//! *Invariants:* nothing in it proves that it is true: its owner vouches for it, as for a checkpoint; one state has one
//! encoding; headers that were checked are not stored.

use super::committees::{COMMITTEES_MAX, Committees, ENDS_MAX, EpochEnd};
use super::final_header::{Trust, split_charter, with_charter};
use super::light::Light;
use borsh::io::{Read, Result, Write};
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::{BoundedVec, Charter, DecodeError, Epoch, encode};

/// A committee, and the length of its epoch. The charter of a shard that isn't the only one follows the whole state.
///
/// From version 2 on, the hashes of its term that a `Trust` of version 1 lacks follow.
#[derive(Clone)]
struct KeptTrust(Trust);

#[derive(BorshSerialize, BorshDeserialize)]
struct SavedState {
    anchor: KeptTrust,
    trusts: BoundedVec<KeptTrust, COMMITTEES_MAX>,
    ends: BoundedVec<(Epoch, EpochEnd), ENDS_MAX>,
    passed_ms: u64,
}

impl BorshSerialize for KeptTrust {
    fn serialize<W: Write>(&self, writer: &mut W) -> Result<()> {
        let Self(trust) = self;
        (trust, trust.epoch_ms).serialize(writer)?;
        if trust.has_term() { (trust.operators, trust.leaders).serialize(writer) } else { Ok(()) }
    }
}

impl BorshDeserialize for KeptTrust {
    fn deserialize_reader<R: Read>(reader: &mut R) -> Result<Self> {
        let trust = Trust::deserialize_reader(reader)?;
        let epoch_ms = BorshDeserialize::deserialize_reader(reader)?;
        if !trust.has_term() {
            return Ok(Self(Trust { epoch_ms, ..trust }));
        }
        let (operators, leaders) = BorshDeserialize::deserialize_reader(reader)?;
        Ok(Self(Trust { epoch_ms, operators, leaders, ..trust }))
    }
}

fn trust(KeptTrust(trust): KeptTrust, charter: Charter) -> std::result::Result<Trust, DecodeError> {
    let terms = trust.has_term();
    Trust { charter, ..trust }.checked(terms)
}

impl Light {
    /// Largest number of bytes of an encoded state.
    pub const BYTES_MAX: usize = (COMMITTEES_MAX + 1) * (Trust::BYTES_MAX + 80) + ENDS_MAX * 64 + 1024;

    /// Encodes the state, to continue from it in another process.
    pub fn to_bytes(&self) -> Vec<u8> {
        let committees = &self.committees;
        let trusts = committees.trusts.values().cloned().map(KeptTrust).collect();
        let ends = committees.ends.iter().map(|(epoch, end)| (*epoch, *end)).collect();
        let charter = committees.anchor.charter;
        let state = encode(&SavedState {
            anchor: KeptTrust(committees.anchor.clone()),
            // The state has the same bounds, so the fallbacks are never used.
            trusts: BoundedVec::new(trusts).unwrap_or_default(),
            ends: BoundedVec::new(ends).unwrap_or_default(),
            passed_ms: self.passed_ms,
        });
        // All committees are of one shard.
        with_charter(state, &charter)
    }

    /// Decodes a state and continues from it.
    ///
    /// # Errors
    /// [`DecodeError`]: the bytes are no state, or its parts don't fit together.
    pub fn from_bytes(bytes: &[u8], trust_period_ms: Option<u64>) -> std::result::Result<Self, DecodeError> {
        let (state, charter) = split_charter::<SavedState>(bytes, Self::BYTES_MAX)?;
        let SavedState { anchor, trusts, ends, passed_ms } = state;
        let ascending = trusts.is_sorted_by(|a, b| a.0.epoch < b.0.epoch) && ends.is_sorted_by(|a, b| a.0 < b.0);
        let mut committees = Committees::new(trust(anchor, charter)?);
        let fits =
            |kept: &KeptTrust| kept.0.chain == committees.anchor.chain && kept.0.epoch >= committees.anchor.epoch;
        if trusts.is_empty() || !ascending || !trusts.iter().all(fits) {
            return Err(DecodeError::Malformed("the committees are not those of one chain, in order".to_owned()));
        }
        let known = trusts.iter().cloned().map(|kept| trust(kept, charter).map(|trust| (trust.epoch, trust)));
        committees.trusts = known.collect::<std::result::Result<_, _>>()?;
        committees.ends = ends.iter().copied().collect();
        Ok(Self::of(committees, trust_period_ms, passed_ms))
    }
}

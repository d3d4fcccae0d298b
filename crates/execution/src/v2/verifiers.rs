//! Verifiers and their proved statements under version 2: as in version 1, except that a block's proofs are verified before
//! it runs, so that no block runs twice (V56).
//!
//! *Invariants:* a verifier's leaves stand under its id as under an account's, and never change or disappear; a proof's
//! validity depends on the verifier's key, the inputs and the proof alone, never on other contents of the block or of a
//! cache.

use super::actor::{Actor, store};
use super::leaf::Leaf;
use super::ledger::Ledger;
use crate::StateReadError;
use crate::keys::Name;
use crate::v1::ledger::Stop;
use crate::v1::operations::fail;
use crate::v1::record::{StatementRecord, VerifierRecord};
use crate::v1::verifiers::{self as first, Keys, Place, place_of};
use rustorium_crypto::{statement_hash, transaction_input, verifier_id};
use rustorium_types::{
    BoundedBytes, BoundedVec, FailureCode, InputValue, NamedInput, PublicInput, VerifierId, encode, limits,
};
use rustorium_zk::{Claim, Key, check_key, curve_and_inputs};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Knowledge about a block's proofs while it runs.
pub(crate) struct Proofs<'a> {
    keys: &'a Keys,
    /// The operation that is being executed.
    pub(crate) place: Place,
    /// The proofs that were verified before the run.
    verdicts: BTreeMap<Place, bool>,
}

impl<'a> Proofs<'a> {
    pub(crate) fn new(keys: &'a Keys, verdicts: BTreeMap<Place, bool>) -> Self {
        Self { keys, place: (0, 0), verdicts }
    }

    /// Returns the key of a verifier or pool from its stored bytes.
    pub(crate) fn key(&self, verifier: VerifierId, key: &[u8]) -> Result<Key, StateReadError> {
        key_of(self.keys, verifier, key)
    }

    /// Returns the proof of the present operation. Only a claim that wasn't verified before the run is decoded here: its
    /// verifier or its sender's account is of this block, or it can't be decoded.
    pub(crate) fn proof<E>(&self, claim: impl FnOnce() -> Result<Claim, E>) -> Result<Proof, E> {
        match self.verdicts.get(&self.place) {
            Some(holds) => Ok(Proof::Verified(*holds)),
            None => claim().map(|claim| Proof::Open(Box::new(claim))),
        }
    }
}

/// A proof whose claim can be decoded.
pub(crate) enum Proof {
    /// The verdict on a claim that was verified before the run.
    Verified(bool),
    /// A claim that is verified alone, when its operation is executed.
    Open(Box<Claim>),
}

impl Proof {
    pub(crate) fn holds(&self) -> bool {
        match self {
            Self::Verified(holds) => *holds,
            Self::Open(claim) => claim.verify().is_ok(),
        }
    }
}

/// Returns the prepared key of a verifier or pool from its stored bytes.
pub(crate) fn key_of(keys: &Keys, verifier: VerifierId, key: &[u8]) -> Result<Key, StateReadError> {
    first::Proofs::assumed(keys).key(verifier, key)
}

pub(crate) fn register(
    ledger: &mut Ledger<'_>,
    actor: Actor,
    key: &BoundedBytes<{ limits::VERIFYING_KEY_BYTES_MAX }>,
    named: &BoundedVec<NamedInput, { limits::NAMED_INPUTS_MAX }>,
) -> Result<(), Stop> {
    let Ok((_, inputs)) = curve_and_inputs(key.as_slice()) else { return fail(FailureCode::BadVerifier) };
    let ascending = named.windows(2).all(|pair| pair[0].index < pair[1].index);
    let within = named.iter().all(|input| usize::from(input.index) < inputs);
    if !ascending || !within {
        return fail(FailureCode::BadVerifier);
    }
    let at = ledger.find(place_of(verifier_id(&actor.sender, key.as_slice(), named)), Name::Verifier)?;
    if ledger.footprint(at) > 0 {
        return fail(FailureCode::VerifierExists);
    }
    if check_key(key.as_slice()).is_err() {
        return fail(FailureCode::BadVerifier);
    }
    let record = VerifierRecord { owner: actor.sender, named: named.clone(), key: key.clone() };
    store(ledger, actor.sender, at, Leaf::Bytes(Cow::Owned(encode(&record))))
}

pub(crate) fn verify(
    ledger: &mut Ledger<'_>,
    actor: Actor,
    proofs: &Proofs<'_>,
    verifier: VerifierId,
    inputs: &[PublicInput],
    proof: &[u8],
) -> Result<(), Stop> {
    let place = place_of(verifier);
    let at = ledger.find(place, Name::Verifier)?;
    let Some(bytes) = ledger.bytes(at)? else { return fail(FailureCode::NoSuchVerifier) };
    let record = VerifierRecord::from_bytes(&bytes)
        .map_err(|error| StateReadError(format!("the verifier {verifier} is corrupt: {error}")))?;
    let proof = proofs.proof(|| {
        let key = proofs.key(verifier, record.key.as_slice())?;
        Claim::new(&key, proof, inputs).or_else(|_| fail(FailureCode::BadProof))
    })?;
    // The decoder checked that there are as many inputs as the key needs, and that the named ones are among them.
    let mut named = Vec::with_capacity(record.named.len());
    for input in &record.named {
        let value = inputs.get(usize::from(input.index)).copied().unwrap_or_default();
        let at = ledger.find(place, Name::Input(input.index, value))?;
        let used = ledger.footprint(at) > 0;
        if used && input.once {
            return fail(FailureCode::InputUsed);
        }
        named.push((at, used));
    }
    if !proof.holds() {
        return fail(FailureCode::NotProved);
    }
    let statement = statement_hash(inputs);
    let at = ledger.find(place, Name::Statement(statement))?;
    if ledger.footprint(at) == 0 {
        let record = StatementRecord { transaction: actor.transaction, time_ms: actor.time_ms };
        store(ledger, actor.sender, at, Leaf::Bytes(Cow::Owned(encode(&record))))?;
    }
    for (at, _) in named.into_iter().filter(|(_, used)| !used) {
        store(ledger, actor.sender, at, Leaf::Bytes(Cow::Owned(encode(&statement))))?;
    }
    Ok(())
}

/// Tells if a condition on a proof holds.
pub(crate) fn is_proved(
    ledger: &mut Ledger<'_>,
    actor: Actor,
    verifier: VerifierId,
    input: u8,
    equals: InputValue,
) -> Result<bool, Stop> {
    let value = match equals {
        InputValue::Number(number) => number,
        InputValue::ThisTransaction => transaction_input(&actor.transaction),
    };
    let at = ledger.find(place_of(verifier), Name::Input(input, value))?;
    Ok(ledger.footprint(at) > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_with_a_verdict_is_not_decoded_again() {
        let (keys, mut decoded) = (Keys::default(), Vec::new());
        let mut proofs = Proofs::new(&keys, BTreeMap::from([((0, 0), true), ((0, 1), false)]));
        let held: Vec<Option<bool>> = (0..3)
            .map(|operation| {
                proofs.place = (0, operation);
                let claim = || {
                    decoded.push(operation);
                    Err(())
                };
                proofs.proof(claim).ok().map(|proof| proof.holds())
            })
            .collect();
        assert_eq!((held, decoded), (vec![Some(true), Some(false), None], vec![2]));
    }
}

//! Verifiers and their proved statements: they are registered, proved, recorded and queried here.
//!
//! A block's proofs are verified together. The block is first executed as if all of them held, which shows the proofs
//! that are reached at all. Those are verified in batches, by the workers that the caller brings. If one doesn't hold,
//! the block is executed again with the known results. Each transaction's effect is the same as if each proof were
//! verified when it is reached.
//!
//! *Invariants:* a verifier's leaves stand under its id as under an account's, and never change or disappear; a proof's
//! validity depends on the verifier's key, the inputs and the proof alone, never on other contents of the block or of a
//! cache.

use super::ledger::{Leaf, Ledger, Stop};
use super::operations::{Actor, fail, store};
use super::record::{StatementRecord, VerifierRecord};
use crate::StateReadError;
use crate::keys::Name;
use quick_cache::sync::Cache;
use rustorium_crypto::{statement_hash, transaction_input, verifier_id};
use rustorium_state::workers::Workers;
use rustorium_types::{
    AccountId, BoundedBytes, BoundedVec, FailureCode, InputValue, NamedInput, PublicInput, VerifierId, encode, limits,
};
use rustorium_zk::{Claim, Key, check_key, curve_and_inputs, verify_all};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

const _: () = assert!(limits::VERIFYING_KEY_BYTES_MAX == rustorium_zk::KEY_BYTES_MAX);
const _: () = assert!(limits::PUBLIC_INPUTS_MAX == rustorium_zk::INPUTS_MAX);
const _: () = assert!(limits::GROTH16_PROOF_BYTES_MAX == rustorium_zk::Curve::Bls12381.proof_bytes());

/// Number of prepared keys that are kept. One takes up to 150 kB.
const KEYS_MAX: usize = 256;
/// Number of claims from which division among workers gains more than one shared batch.
const DIVIDED_MIN: usize = 8;

/// Prepared keys of verifiers. Keys that weren't used lately make room for new ones.
#[derive(Debug, Clone)]
pub struct Keys(Arc<Cache<VerifierId, Key>>);

impl Default for Keys {
    fn default() -> Self {
        Self(Arc::new(Cache::new(KEYS_MAX)))
    }
}

impl Keys {
    /// Returns the verifier's key. A stored key was checked when it was registered, so a refusal is a fault of the
    /// store.
    fn get(&self, verifier: VerifierId, key: &[u8]) -> Result<Key, StateReadError> {
        let read = || {
            Key::from_bytes(key).map_err(|error| StateReadError(format!("the verifier {verifier} is corrupt: {error}")))
        };
        self.0.get_or_insert_with(&verifier, read)
    }
}

/// Place of a proof: the transaction's index in the block, and the operation's in the transaction.
pub(crate) type Place = (u32, u16);

/// Knowledge about a block's proofs.
pub(crate) struct Proofs<'a> {
    keys: &'a Keys,
    /// The transaction that is being executed.
    pub(crate) place: Place,
    /// Results of the verification; `None` while all proofs are assumed to hold.
    verdicts: Option<BTreeMap<Place, bool>>,
    /// The proofs that were assumed to hold.
    reached: Vec<(Place, Claim)>,
}

impl<'a> Proofs<'a> {
    /// Starts with all proofs assumed to hold, until they are verified.
    pub(crate) fn assumed(keys: &'a Keys) -> Self {
        Self { keys, place: (0, 0), verdicts: None, reached: Vec::new() }
    }

    /// Verifies the assumed proofs; `None` if all of them hold.
    pub(crate) fn verify<W: Workers>(self, workers: &W) -> Option<Self> {
        let count = if self.reached.len() < DIVIDED_MIN { 1 } else { workers.count().max(1) };
        let size = self.reached.len().div_ceil(count).max(1);
        let (places, claims): (Vec<Place>, Vec<Claim>) = self.reached.into_iter().unzip();
        let verdicts = workers.map(claims.chunks(size).collect(), verify_all);
        let holds = verdicts.iter().flatten().map(Result::is_ok);
        let verdicts: BTreeMap<Place, bool> = places.into_iter().zip(holds).collect();
        let right = verdicts.values().all(|holds| *holds);
        (!right).then(|| Self { verdicts: Some(verdicts), reached: Vec::new(), ..Self::assumed(self.keys) })
    }

    /// Returns the key of a verifier or pool from its stored bytes.
    pub(crate) fn key(&self, verifier: VerifierId, key: &[u8]) -> Result<Key, StateReadError> {
        self.keys.get(verifier, key)
    }

    /// Tells if the claim holds, as far as is known.
    pub(crate) fn holds(&mut self, claim: Claim) -> bool {
        match &self.verdicts {
            None => {
                self.reached.push((self.place, claim));
                true
            }
            // Another transaction's bad proof may have changed which proofs are reached. A proof reached now may not be
            // verified yet.
            Some(verdicts) => verdicts.get(&self.place).copied().unwrap_or_else(|| claim.verify().is_ok()),
        }
    }
}

/// Returns the account under which a verifier's leaves stand. No key opens it.
pub(crate) fn place_of(verifier: VerifierId) -> AccountId {
    AccountId(verifier.0)
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
    proofs: &mut Proofs<'_>,
    verifier: VerifierId,
    inputs: &[PublicInput],
    proof: &[u8],
) -> Result<(), Stop> {
    let place = place_of(verifier);
    let at = ledger.find(place, Name::Verifier)?;
    let Some(bytes) = ledger.bytes(at) else { return fail(FailureCode::NoSuchVerifier) };
    let record = VerifierRecord::from_bytes(&bytes)
        .map_err(|error| StateReadError(format!("the verifier {verifier} is corrupt: {error}")))?;
    let key = proofs.key(verifier, record.key.as_slice())?;
    let Ok(claim) = Claim::new(&key, proof, inputs) else { return fail(FailureCode::BadProof) };
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
    if !proofs.holds(claim) {
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

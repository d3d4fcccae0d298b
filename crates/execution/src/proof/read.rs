//! Proofs of subjects' values in the state under a certified root.

use super::final_header::Trust;
use super::refused::ProofRefused;
use crate::governance::{governance_key, proposal_key};
use crate::keys::{account_key, balance_key, custody_key, data_key, grant_key};
use rustorium_crypto::value_hash;
use rustorium_state::proof::{StateProof, verify};
use rustorium_types::{BlockDigest, Charter, Genesis, Hash, Height, ReadProof, StateClaim, StateKey, Subject};

/// Returns the key of the leaf that a subject names.
pub fn subject_key(subject: &Subject) -> StateKey {
    match subject {
        Subject::Account(account) => account_key(*account),
        Subject::Balance(account, asset) => balance_key(*account, *asset),
        Subject::Value(namespace, key) => data_key(*namespace, key.as_slice()),
        Subject::Custody(account) => custody_key(*account),
        Subject::Governance => governance_key(),
        Subject::Proposal(number) => proposal_key(*number),
        Subject::Grant(owner, to) => grant_key(*owner, *to),
    }
}

/// The state in which the values of a read proof hold: the one after `height`, whose root the final header claims.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadState {
    /// The height after which the subjects have these values.
    pub height: Height,
    /// The state root there.
    pub root: Hash,
    /// Height of the claiming header.
    pub claimed_at: Height,
    /// Digest of the claiming header.
    pub digest: BlockDigest,
    /// Time of the claiming header, Unix ms.
    pub time_ms: u64,
}

/// Checks a read proof against the genesis alone. The values of its entries hold, and it shows nothing else.
///
/// # Errors
/// [`ProofRefused`].
pub fn verify_read(genesis: &Genesis, proof: &ReadProof) -> Result<ReadState, ProofRefused> {
    let trust = Trust::for_header(genesis, &proof.header);
    check_read(proof, &trust.charter, || trust.check_final(&proof.header, &proof.proof))
}

/// Checks a read proof of a shard with this charter. `check_final` checks that its header is final, and returns the header's
/// digest.
///
/// # Errors
/// [`ProofRefused`].
pub fn check_read(
    proof: &ReadProof,
    charter: &Charter,
    check_final: impl FnOnce() -> Result<BlockDigest, ProofRefused>,
) -> Result<ReadState, ProofRefused> {
    let entries = proof.entries.as_slice();
    let others = proof.others.as_slice();
    let ascending = entries.is_sorted_by(|a, b| a.0 < b.0) && others.is_sorted_by(|a, b| a < b);
    if entries.is_empty() || !ascending {
        return Err(ProofRefused::Unordered);
    }
    let (header, expected) = (proof.header.shard, charter.shard);
    if header != expected {
        return Err(ProofRefused::OtherShard { header, expected });
    }
    if let Some(account) = entries.iter().map(|(subject, _)| subject.account()).find(|of| !charter.serves(of)) {
        return Err(ProofRefused::Elsewhere { account, shard: charter.shard });
    }
    let StateClaim::Rooted { height, root, .. } = proof.header.state else { return Err(ProofRefused::NoStateClaim) };
    let digest = check_final()?;
    let mut keys: Vec<StateKey> = entries.iter().map(|(subject, _)| subject_key(subject)).collect();
    if keys.iter().any(|key| others.binary_search(key).is_ok()) {
        return Err(ProofRefused::Unordered);
    }
    keys.extend_from_slice(others);
    let held = verify(&root.0, &StateProof::from_bytes(proof.state.as_slice())?, &keys)?;
    for (place, ((_, value), held)) in entries.iter().zip(held).enumerate() {
        if value.as_ref().map(|value| value_hash(value.as_slice())) != held {
            return Err(ProofRefused::OtherValue(place));
        }
    }
    let (claimed_at, time_ms) = (proof.header.height, proof.header.time_ms);
    Ok(ReadState { height, root, claimed_at, digest, time_ms })
}

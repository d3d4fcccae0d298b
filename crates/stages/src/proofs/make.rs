//! One multiproof for many questions at one root.

use super::CertifiedRoot;
use crate::block_proofs::storage;
use crate::tree_rows::Tree;
use rustorium_api::{At, BackendError, Proven};
use rustorium_state::proof::{OpenError, open};
use rustorium_storage::Store;
use rustorium_types::{
    BoundedBytes, BoundedVec, LeafValue, PROOF_VALUE_BYTES_MAX, ReadProof, STATE_PROOF_BYTES_MAX, StateKey, Subject,
};
use std::collections::{BTreeMap, BTreeSet};

/// Maximum bytes of the values in one answer. Its JSON takes four times as many, because the proof has the values, too.
const ANSWER_VALUE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Proof of some keys and their values.
pub(super) struct Multiproof {
    values: BTreeMap<StateKey, LeafValue>,
    state: BoundedBytes<STATE_PROOF_BYTES_MAX>,
}

impl Multiproof {
    /// Returns the proof's keys.
    pub(super) fn iter(&self) -> impl Iterator<Item = &StateKey> {
        self.values.keys()
    }

    /// Returns the number of keys.
    pub(super) fn keys(&self) -> usize {
        self.values.len()
    }

    /// Returns the bytes of values and proof.
    pub(super) fn bytes(&self) -> usize {
        let values = self.values.values().flatten().map(|value| value.as_slice().len());
        values.sum::<usize>() + self.state.as_slice().len()
    }

    /// Returns the answer to a question about some of the proof's keys. Errors: `ProofTooLarge` if their values are too
    /// large.
    pub(super) fn answer(
        &self,
        claimed: &CertifiedRoot,
        subjects: &[(Subject, StateKey)],
    ) -> Result<Proven, BackendError> {
        let held = subjects.iter().filter_map(|(_, key)| self.values.get(key)?.as_ref());
        if held.map(|value| value.as_slice().len()).sum::<usize>() > ANSWER_VALUE_BYTES_MAX {
            return Err(BackendError::ProofTooLarge { limit: ANSWER_VALUE_BYTES_MAX });
        }
        let own: BTreeSet<&StateKey> = subjects.iter().map(|(_, key)| key).collect();
        let entry = |(subject, key): &(Subject, StateKey)| (subject.clone(), self.values.get(key).cloned().flatten());
        let entries: Vec<(Subject, LeafValue)> = subjects.iter().map(entry).collect();
        let others: Vec<StateKey> = self.values.keys().filter(|key| !own.contains(key)).copied().collect();
        let proof = ReadProof {
            // The entries come from at most as many keys as a proof can have.
            entries: BoundedVec::new(entries).unwrap_or_default(),
            others: BoundedVec::new(others).unwrap_or_default(),
            state: self.state.clone(),
            header: claimed.header.clone(),
            proof: claimed.proof.clone(),
        };
        let at = At { height: claimed.height, root: claimed.result_root };
        Ok(Proven { proof: Box::new(proof), at, state_root: claimed.state_root })
    }
}

/// Reads and proves the values of `keys` at the claimed root, all in one view of the store.
pub(super) fn make(
    store: &dyn Store,
    claimed: &CertifiedRoot,
    keys: impl Iterator<Item = StateKey>,
) -> Result<Multiproof, BackendError> {
    let view = store.view_at(claimed.height).map_err(storage)?;
    let keys: BTreeSet<StateKey> = keys.collect();
    let mut values = BTreeMap::new();
    let mut bytes = 0;
    for key in &keys {
        let value = view.value(key).map_err(storage)?.map(|stored| stored.value);
        bytes += value.as_ref().map_or(0, Vec::len);
        if bytes > PROOF_VALUE_BYTES_MAX {
            return Err(BackendError::ProofTooLarge { limit: PROOF_VALUE_BYTES_MAX });
        }
        let value = value.map(BoundedBytes::new).transpose().map_err(failed)?;
        values.insert(*key, value);
    }
    let keys: Vec<StateKey> = keys.into_iter().collect();
    let proof = open(&Tree(view), &claimed.state_root.0, &keys).map_err(|error| match error {
        OpenError::Tree(_) | OpenError::Keys(_) | OpenError::OtherRoot(_) => failed(error),
    })?;
    Ok(Multiproof { values, state: BoundedBytes::new(proof.to_bytes()).map_err(failed)? })
}

fn failed(error: impl std::fmt::Display) -> BackendError {
    BackendError::Storage(error.to_string())
}

//! Cache of proofs, by root and key.

use super::make::Multiproof;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use rustorium_types::{Height, StateKey};
use std::sync::Arc;

/// Bytes of an entry besides its part of the proof.
const ENTRY_BYTES: u64 = 200;
const TYPICAL_ENTRY_BYTES: usize = 1_024;

#[derive(Clone)]
struct Bytes;

/// Root, key, and true for a large proof, since a client that asks for a few keys shouldn't get the proof of a
/// thousand.
type Place = (Height, StateKey, bool);

impl Weighter<Place, Arc<Multiproof>> for Bytes {
    fn weight(&self, _: &Place, made: &Arc<Multiproof>) -> u64 {
        // All keys of a proof share the entry.
        (made.bytes() / made.keys().max(1)) as u64 + ENTRY_BYTES
    }
}

/// Newest proof of each key, bounded in bytes. Proofs of older roots are evicted when nobody asks for them.
pub(super) struct ProofCache {
    proofs: Cache<Place, Arc<Multiproof>, Bytes>,
    /// Number of keys from which on a proof, or a question, counts as large.
    large: usize,
}

impl ProofCache {
    pub(super) fn new(bytes: usize, small_keys_max: usize) -> Self {
        let proofs = Cache::with_weighter((bytes / TYPICAL_ENTRY_BYTES).max(64), bytes as u64, Bytes);
        Self { proofs, large: small_keys_max + 1 }
    }

    /// Returns a proof of all these keys at this root.
    pub(super) fn find<'a>(
        &self,
        root: Height,
        keys: impl ExactSizeIterator<Item = &'a StateKey>,
    ) -> Option<Arc<Multiproof>> {
        let large = keys.len() >= self.large;
        let mut found: Option<Arc<Multiproof>> = None;
        for key in keys {
            let made = self.proofs.get(&(root, *key, large))?;
            if found.as_ref().is_some_and(|before| !Arc::ptr_eq(before, &made)) {
                return None;
            }
            found = Some(made);
        }
        found
    }

    pub(super) fn put(&self, root: Height, made: &Arc<Multiproof>) {
        let large = made.keys() >= self.large;
        for key in made.iter() {
            self.proofs.insert((root, *key, large), made.clone());
        }
    }
}

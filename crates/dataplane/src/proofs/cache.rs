//! Proofs that were made, by root and key.

use super::make::Made;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use rustorium_types::{Height, StateKey};
use std::sync::Arc;

/// Bytes of an entry besides its part of the proof.
const ENTRY_BYTES: u64 = 200;
const TYPICAL_ENTRY_BYTES: usize = 1_024;

#[derive(Clone)]
struct Bytes;

impl Weighter<(Height, StateKey), Arc<Made>> for Bytes {
    fn weight(&self, _: &(Height, StateKey), made: &Arc<Made>) -> u64 {
        // All keys of a proof share it.
        (made.bytes() / made.keys().max(1)) as u64 + ENTRY_BYTES
    }
}

/// The newest proof of each key, bounded in bytes; older roots fall out as they aren't asked for.
pub(super) struct ProofCache(Cache<(Height, StateKey), Arc<Made>, Bytes>);

impl ProofCache {
    pub(super) fn new(bytes: usize) -> Self {
        Self(Cache::with_weighter((bytes / TYPICAL_ENTRY_BYTES).max(64), bytes as u64, Bytes))
    }

    /// A proof of all these keys at this root.
    pub(super) fn find<'a>(&self, root: Height, keys: impl Iterator<Item = &'a StateKey>) -> Option<Arc<Made>> {
        let mut found: Option<Arc<Made>> = None;
        for key in keys {
            let made = self.0.get(&(root, *key))?;
            if found.as_ref().is_some_and(|before| !Arc::ptr_eq(before, &made)) {
                return None;
            }
            found = Some(made);
        }
        found
    }

    pub(super) fn put(&self, root: Height, made: &Arc<Made>) {
        for key in made.iter() {
            self.0.insert((root, *key), made.clone());
        }
    }
}

//! A cache of rows (state leaves, or slots of the state tree) in front of the disk. Writes and reads fill it, and its
//! bytes are bounded.
//!
//! *Invariants:* a reader that a write overtook never puts its older value into the cache; absence is cached like a
//! value.

use crate::store::StoreError;
use quick_cache::sync::{Cache, DefaultLifecycle, GuardResult};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use rustorium_types::{LimitedValue, StateKey};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

type Entry = Option<Box<[u8]>>;

/// Overhead of an entry in bytes: key, pointers, and slots in the cache's tables.
const ENTRY_OVERHEAD: u64 = 64 + 96;
const SHARDS: usize = 8;
const TYPICAL_ENTRY_BYTES: usize = 512;

#[derive(Clone)]
struct Bytes;

impl<K> Weighter<K, Entry> for Bytes {
    fn weight(&self, _: &K, value: &Entry) -> u64 {
        ENTRY_OVERHEAD + value.as_ref().map_or(0, |value| value.len() as u64)
    }
}

/// State leaves by key.
pub type StateCache = RowCache<StateKey>;

/// Values, or their absence, by key.
pub struct RowCache<K> {
    inner: Cache<K, Entry, Bytes>,
    item_bytes_max: u64,
    hits: AtomicU64,
    misses: AtomicU64,
}

impl<K: Clone + Eq + Hash> RowCache<K> {
    /// Creates a cache of at most about `bytes`.
    pub fn new(bytes: usize) -> Self {
        let items = (bytes / TYPICAL_ENTRY_BYTES).max(64);
        let mut options = OptionsBuilder::new();
        options.shards(SHARDS).estimated_items_capacity(items).weight_capacity(bytes as u64);
        let inner = match options.build() {
            Ok(options) => {
                Cache::with_options(options, Bytes, DefaultHashBuilder::default(), DefaultLifecycle::default())
            }
            Err(_) => Cache::with_weighter(items, bytes as u64, Bytes),
        };
        let item_bytes_max = inner.shard_capacity() / 4;
        Self { inner, item_bytes_max, hits: AtomicU64::new(0), misses: AtomicU64::new(0) }
    }

    /// Returns the cached value, or else the result of `read`. That result is cached unless a `put` of the same key
    /// came in between.
    pub fn get_or_read(
        &self,
        key: &K,
        read: impl FnOnce() -> Result<Option<Vec<u8>>, StoreError>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.get_or_read_if(key, || Ok((read()?, true)))
    }

    /// Does what `get_or_read` does. `read` also says if its result may be cached.
    fn get_or_read_if(
        &self,
        key: &K,
        read: impl FnOnce() -> Result<(Option<Vec<u8>>, bool), StoreError>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        // The guard marks the key's place during the read. A `put` takes the place over, and then the guard's insert
        // fails. That keeps an overtaken read out.
        let guard = match self.inner.get_value_or_guard(key, Some(Duration::ZERO)) {
            GuardResult::Value(value) => {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return Ok(value.map(Vec::from));
            }
            GuardResult::Guard(guard) => Some(guard),
            GuardResult::Timeout => None,
        };
        self.misses.fetch_add(1, Ordering::Relaxed);
        let (value, cached) = read()?;
        if let Some(guard) = guard.filter(|_| cached) {
            let entry = value.as_deref().map(Box::from);
            if Bytes.weight(key, &entry) <= self.item_bytes_max {
                let _overtaken = guard.insert(entry);
            }
        }
        Ok(value)
    }

    /// Does what `get_or_read` does for a value of at most `bytes_max` bytes. One that is found to be longer isn't cached.
    pub fn get_or_read_within(
        &self,
        key: &K,
        bytes_max: usize,
        read: impl FnOnce() -> Result<Option<LimitedValue>, StoreError>,
    ) -> Result<Option<LimitedValue>, StoreError> {
        let mut longer = false;
        let value = self.get_or_read_if(key, || {
            let found = read()?;
            longer = found == Some(LimitedValue::Longer);
            Ok(match found {
                Some(LimitedValue::Whole(value)) => (Some(value), true),
                Some(LimitedValue::Longer) => (None, false),
                None => (None, true),
            })
        })?;
        if longer {
            return Ok(Some(LimitedValue::Longer));
        }
        Ok(value.map(|value| LimitedValue::of(value, bytes_max)))
    }

    /// Sets the key's value from now on.
    pub fn put(&self, key: K, value: Option<&[u8]>) {
        let entry: Entry = value.map(Box::from);
        if Bytes.weight(&key, &entry) <= self.item_bytes_max {
            self.inner.insert(key, entry);
        } else {
            self.inner.remove(&key);
        }
    }

    /// Clears the cache, after the store was emptied.
    pub fn clear(&self) {
        self.inner.clear();
    }

    /// Number of reads that the cache answered.
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// Number of reads that the cache did not answer.
    pub fn misses(&self) -> u64 {
        self.misses.load(Ordering::Relaxed)
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.inner.weight()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::AccountId;

    fn key(n: u8) -> StateKey {
        StateKey { account: AccountId([n; 32]), name: [n; 32] }
    }

    fn never() -> Result<Option<Vec<u8>>, StoreError> {
        panic!("the cache should have answered")
    }

    #[test]
    fn a_read_that_a_commit_overtook_does_not_come_back() {
        let cache = StateCache::new(1 << 20);
        let overtaken = cache.get_or_read(&key(1), || {
            cache.put(key(1), Some(b"new"));
            Ok(Some(b"old".to_vec()))
        });
        assert_eq!(overtaken, Ok(Some(b"old".to_vec())));
        assert_eq!(cache.get_or_read(&key(1), never), Ok(Some(b"new".to_vec())));
    }

    #[test]
    fn a_read_overtaken_by_a_value_too_large_to_cache_does_not_come_back() {
        let cache = StateCache::new(64 * 1024);
        let large = vec![7; 60 * 1024];
        let overtaken = cache.get_or_read(&key(1), || {
            cache.put(key(1), Some(&large));
            Ok(Some(b"old".to_vec()))
        });
        assert_eq!(overtaken, Ok(Some(b"old".to_vec())));
        assert_eq!(cache.get_or_read(&key(1), || Ok(Some(large.clone()))), Ok(Some(large.clone())));
        cache.put(key(2), Some(b"small"));
        cache.put(key(2), Some(&large));
        assert_eq!(cache.get_or_read(&key(2), || Ok(Some(large.clone()))), Ok(Some(large.clone())));
    }

    #[test]
    fn absence_is_cached_and_counted() {
        let cache = StateCache::new(1 << 20);
        assert_eq!(cache.get_or_read(&key(1), || Ok(None)), Ok(None));
        assert_eq!(cache.get_or_read(&key(1), never), Ok(None));
        assert_eq!((cache.hits(), cache.misses()), (1, 1));
    }

    #[test]
    fn a_reader_beside_another_of_the_same_key_does_not_wait() {
        let cache = StateCache::new(1 << 20);
        let outer = cache.get_or_read(&key(1), || cache.get_or_read(&key(1), || Ok(Some(b"v".to_vec()))));
        assert_eq!(outer, Ok(Some(b"v".to_vec())));
    }

    #[test]
    fn its_bytes_stay_bounded() {
        let cache = StateCache::new(256 * 1024);
        for n in 0..4096u32 {
            let mut name = [0; 32];
            name[..4].copy_from_slice(&n.to_le_bytes());
            cache.put(StateKey { account: AccountId([1; 32]), name }, Some(&[0; 500]));
        }
        assert!(cache.bytes() <= 256 * 1024);
        assert!(cache.bytes() > 128 * 1024);
    }

    fn numbered(kind: u8, n: u32) -> StateKey {
        let mut name = [kind; 32];
        name[..4].copy_from_slice(&n.to_le_bytes());
        StateKey { account: AccountId([1; 32]), name }
    }

    #[test]
    fn a_scan_does_not_drive_the_hot_set_out() {
        let cache = StateCache::new(1 << 20);
        let value = || Ok(Some(vec![3; 100]));
        let hot = || (0..1000).map(|n| numbered(b'h', n));
        for _ in 0..3 {
            hot().for_each(|key| drop(cache.get_or_read(&key, value)));
        }
        // Twenty-five times the cache's size, each key once, as a listing or a snapshot reads.
        (0..100_000).for_each(|n| drop(cache.get_or_read(&numbered(b's', n), value)));
        let before = cache.hits();
        hot().for_each(|key| drop(cache.get_or_read(&key, value)));
        let kept = cache.hits() - before;
        assert!(kept >= 950, "of 1000 hot keys {kept} are left");
        assert!(cache.bytes() <= 1 << 20);
    }
}

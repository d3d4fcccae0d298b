//! Pages of keys as the node in memory gives them: of one height, ordered by hash.

use rustorium_api::*;
use rustorium_crypto::value_hash;
use rustorium_types::{AccountId, Height};
use std::collections::BTreeMap;

/// Values by namespace and key.
pub type Values = BTreeMap<(AccountId, Vec<u8>), Vec<u8>>;

/// A page of what `values` hold; `at` is the newest height.
pub fn key_page(values: &Values, at: At, oldest: Height, listing: &Listing) -> Result<ListedKeys, BackendError> {
    let name = |key: &[u8]| value_hash(key).0;
    let (height, from) = match listing.from {
        ListFrom::Latest => (at.height, [0; 32]),
        ListFrom::Height(height) => (height, [0; 32]),
        ListFrom::Cursor(cursor) => (cursor.height, cursor.name),
    };
    if height > at.height {
        return Err(BackendError::Ahead { height, tip: at.height });
    }
    if height < oldest {
        return Err(BackendError::Pruned { height, oldest });
    }
    let own = values.iter().filter(|((owner, _), _)| *owner == listing.namespace);
    let mut keys: Vec<_> = own.map(|((_, key), value)| (key.clone(), value.clone())).collect();
    keys.retain(|(key, _)| key.starts_with(&listing.prefix) && name(key) >= from);
    keys.sort_by_key(|(key, _)| name(key));
    let next = keys.get(listing.limit).map(|(key, _)| KeyCursor { height, name: name(key) });
    keys.truncate(listing.limit);
    let found = |(key, value): (Vec<u8>, Vec<u8>)| FoundKey { name: name(&key), key, value };
    let keys = keys.into_iter().map(found).collect();
    Ok(ListedKeys { keys, next, at: At { height, ..at } })
}

//! Pages of keys, balances and versions of the node in memory.

use rustorium_api::*;
use rustorium_crypto::value_hash;
use rustorium_types::{AccountId, AssetId, Height, Operation, Receipt, Transaction};
use std::collections::BTreeMap;

/// Values by namespace and key.
pub type Values = BTreeMap<(AccountId, Vec<u8>), Vec<u8>>;

/// Returns a page of `values`; `at` is the newest height.
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

/// Number of assets that every account holds.
pub const ASSETS: u8 = 7;

/// Returns a page of balances: n units of each asset n.
pub fn balance_page(at: At, listing: &BalanceListing) -> ListedBalances {
    let (height, from) = match listing.from {
        ListFrom::Latest => (at.height, 0),
        ListFrom::Height(height) => (height, 0),
        ListFrom::Cursor(cursor) => (cursor.height, cursor.name[0]),
    };
    let end = ASSETS.min(from + listing.limit as u8);
    let balances = (from..end).map(|n| (AssetId([n; 32]), u128::from(n))).collect();
    let next = (end < ASSETS).then_some(KeyCursor { height, name: [end; 32] });
    ListedBalances { balances, next, at: At { height, ..at } }
}

/// Returns a page of versions: one for each put of the key.
pub fn version_page<'a>(
    executed: impl Iterator<Item = &'a (Transaction, Receipt)>,
    at: At,
    asked: &History,
) -> KeyHistory {
    let wanted =
        |(transaction, receipt): &'a (Transaction, Receipt)| match transaction.first().unwrap().body.data.as_slice() {
            [Operation::Put { namespace, key, value }] if (namespace, key) == (&asked.namespace, &asked.key) => {
                Some(KeyVersion {
                    height: receipt.height,
                    time_ms: Some(receipt.time_ms),
                    value: Some(value.as_slice().to_vec()),
                    transaction: Some(receipt.transaction),
                })
            }
            _ => None,
        };
    let mut versions: Vec<KeyVersion> = executed.filter_map(wanted).collect();
    versions.retain(|version| asked.before.is_none_or(|before| version.height < before));
    versions.sort_by_key(|version| std::cmp::Reverse(version.height));
    let more = versions.len() > asked.limit;
    versions.truncate(asked.limit);
    let next = versions.last().filter(|_| more).map(|last| last.height);
    KeyHistory { versions, next, kept_from: Height(0), at }
}

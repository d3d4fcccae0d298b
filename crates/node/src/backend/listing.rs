//! The keys of a namespace, found by walking over the account's leaves: these stand in the order of their names' hashes, and
//! the names are sealed beside the values.
//!
//! *Invariants:* a page looks at a bounded number of leaves, so it may be short though there are more; all pages of a listing
//! are of one height.

use rustorium_api::{At, FoundKey, KeyCursor, ListFrom, ListedKeys, Listing};
use rustorium_execution::name_of_data;
use rustorium_storage::{Store, StoreError, StoredValue, Walk};
use rustorium_types::{Height, StateKey};

/// Leaves that a page looks at, and bytes of those that it opens, at most: each is sealed, and has its name inside.
pub(super) const LOOKS_MAX: usize = 4_000;
pub(super) const OPENED_BYTES_MAX: usize = 8 << 20;

/// Returns where a listing starts.
pub(super) fn start(store: &dyn Store, from: ListFrom) -> KeyCursor {
    let first = |height| KeyCursor { height, name: [0; 32] };
    match from {
        ListFrom::Latest => first(store.tip().map_or(Height(0), |tip| tip.height)),
        ListFrom::Height(height) => first(height),
        ListFrom::Cursor(cursor) => cursor,
    }
}

/// A page of a namespace's keys.
pub fn keys(store: &dyn Store, asked: &Listing) -> Result<ListedKeys, StoreError> {
    let KeyCursor { height, name } = start(store, asked.from);
    let walk = Walk {
        from: StateKey { account: asked.namespace, name },
        account: Some(asked.namespace),
        wanted: &|name| name_of_data(name).is_some_and(|key| key.starts_with(&asked.prefix)),
        leaves_max: asked.limit,
        looks_max: LOOKS_MAX,
        bytes_max: asked.bytes_max,
        opened_bytes_max: OPENED_BYTES_MAX,
    };
    let found = store.walk_at(height, &walk)?;
    let key = |name: &[u8]| name_of_data(name).unwrap_or_default().to_vec();
    let listed =
        |(at, leaf): (StateKey, StoredValue)| FoundKey { name: at.name, key: key(&leaf.name), value: leaf.value };
    let keys = found.leaves.into_iter().map(listed).collect();
    let (next, at) = end(store, height, found.next)?;
    Ok(ListedKeys { keys, next, at })
}

/// Returns the start of the page after one of this height, and the state that both describe.
pub(super) fn end(
    store: &dyn Store,
    height: Height,
    next: Option<StateKey>,
) -> Result<(Option<KeyCursor>, At), StoreError> {
    let root = store.links(height, height)?.first().map(|stored| stored.result_root).unwrap_or_default();
    Ok((next.map(|next| KeyCursor { height, name: next.name }), At { height, root }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rustorium_execution::{account_key, data_key};
    use rustorium_storage::{HeightCommit, HistoryStore, MemStore};
    use rustorium_types::*;
    use std::collections::BTreeSet;

    fn commit(store: &MemStore, diff: Vec<LeafWrite>) {
        let tip = store.tip();
        let mut header = rustorium_execution::genesis(&crate::backend::tests::chain::genesis(), ShardId::ROOT).header;
        header.height = tip.as_ref().map_or(Height(0), |tip| tip.height.next());
        header.parent = tip.map(|tip| tip.digest).unwrap_or_default();
        let commit = HeightCommit {
            digest: rustorium_crypto::block_digest(&header),
            result_root: Hash([header.height.0 as u8 + 1; 32]),
            block: Block { header, inline: BoundedVec::default() },
            inline_ids: Vec::new(),
            batches: Vec::new(),
            receipts: Vec::new(),
            diff,
            link: ResultLink::default(),
            finalization: None,
        };
        store.commit(&commit).unwrap();
    }

    fn write(account: AccountId, key: &[u8], value: Option<&[u8]>) -> LeafWrite {
        LeafWrite { key: data_key(account, key), name: [&[2], key].concat(), value: value.map(Vec::from) }
    }

    fn listing(prefix: &[u8], from: ListFrom, limit: usize) -> Listing {
        Listing { namespace: AccountId([1; 32]), prefix: prefix.to_vec(), from, limit, bytes_max: 1 << 20 }
    }

    /// All keys of a listing, paged, and the height at which it holds.
    fn all(store: &MemStore, prefix: &[u8], mut from: ListFrom, limit: usize) -> (BTreeSet<Vec<u8>>, Height) {
        let mut found = BTreeSet::new();
        loop {
            let page = keys(store, &listing(prefix, from, limit)).unwrap();
            assert!(page.keys.len() <= limit);
            assert_eq!(page.at.root, Hash([page.at.height.0 as u8 + 1; 32]));
            for FoundKey { key, value, .. } in page.keys {
                assert_eq!(value, [b"of ", &*key].concat());
                assert!(found.insert(key), "a key is listed once");
            }
            match page.next {
                Some(next) => {
                    assert_eq!(KeyCursor::from_bytes(&next.to_bytes()), Some(next));
                    from = ListFrom::Cursor(next);
                }
                None => return (found, page.at.height),
            }
        }
    }

    #[test]
    fn pages_are_of_one_height_and_have_each_key_with_the_prefix_once() {
        let (store, own, other) = (MemStore::new(), AccountId([1; 32]), AccountId([2; 32]));
        let name = |n: u8| [if n.is_multiple_of(3) { b"a/" } else { b"b/" }, &[n][..]].concat();
        let value = |key: &[u8]| [b"of ", key].concat();
        let mut diff: Vec<LeafWrite> = (0..50).map(|n| write(own, &name(n), Some(&value(&name(n))))).collect();
        diff.push(write(other, b"a/other", Some(b"of a/other")));
        diff.push(LeafWrite { key: account_key(own), name: vec![0], value: Some(vec![1]) });
        commit(&store, diff);
        let third: BTreeSet<_> = (0..50).filter(|n| n % 3 == 0).map(name).collect();
        for limit in [1, 7, 100] {
            assert_eq!(all(&store, b"a/", ListFrom::Latest, limit), (third.clone(), Height(0)));
        }
        let page = keys(&store, &listing(b"", ListFrom::Latest, 10)).unwrap();
        // What is written after the first page isn't on the next ones.
        commit(&store, (0..50).map(|n| write(own, &name(n), None)).collect());
        let (rest, height) = all(&store, b"", ListFrom::Cursor(page.next.unwrap()), 9);
        assert_eq!((rest.len(), height), (40, Height(0)));
        assert_eq!(all(&store, b"", ListFrom::Latest, 9), (BTreeSet::new(), Height(1)));
        assert_eq!(all(&store, b"a/", ListFrom::Height(Height(0)), 9).0, third);
    }

    #[test]
    fn a_page_opens_so_many_bytes_however_few_keys_it_finds() {
        let (store, own, value) = (MemStore::new(), AccountId([1; 32]), vec![7; 64 * 1024]);
        commit(&store, (0..=255).map(|n| write(own, &[b'a', n], Some(&value))).collect());
        let (mut from, mut pages) = (ListFrom::Latest, 1);
        while let Some(next) = keys(&store, &listing(b"b", from, 100)).unwrap().next {
            (from, pages) = (ListFrom::Cursor(next), pages + 1);
        }
        assert_eq!(pages, 2, "16 MiB of values that it doesn't look for");
    }

    #[test]
    fn a_height_that_is_not_kept_is_said() {
        let store = MemStore::new();
        (0..5).for_each(|_| commit(&store, vec![write(AccountId([1; 32]), b"k", Some(b"of k"))]));
        let ahead = keys(&store, &listing(b"", ListFrom::Height(Height(5)), 1));
        assert_eq!(ahead, Err(StoreError::Ahead { height: Height(5), tip: Some(Height(4)) }));
        store.prune(Height(3)).unwrap();
        let cursor = ListFrom::Cursor(KeyCursor { height: Height(2), name: [0; 32] });
        let pruned = keys(&store, &listing(b"", cursor, 1));
        assert_eq!(pruned, Err(StoreError::Pruned { height: Height(2), oldest: Height(3) }));
    }
}

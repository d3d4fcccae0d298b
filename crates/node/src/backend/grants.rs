//! The grants that an account gave, found by walking over its leaves.
//!
//! *Invariants:* as for the keys of a namespace, a page looks at a bounded number of leaves, and all pages of a listing are
//! of one height, as is the era with which the grants are compared.

use super::listing::{LOOKS_MAX, OPENED_BYTES_MAX, end, start};
use rustorium_api::{BackendError, GrantListing, KeyCursor, ListedGrants};
use rustorium_execution::{AccountRecord2, Grant, account_key, grantee_of};
use rustorium_stages::block_proofs::storage;
use rustorium_storage::{Store, StoredValue, Walk};
use rustorium_types::{AccountId, Height, StateKey};

/// Reads a page of the grants that an account gave.
pub fn grants(store: &dyn Store, asked: &GrantListing) -> Result<ListedGrants, BackendError> {
    let KeyCursor { height, name } = start(store, asked.from);
    let walk = Walk {
        from: StateKey { account: asked.account, name },
        account: Some(asked.account),
        wanted: &|name| grantee_of(name).is_some(),
        leaves_max: asked.limit,
        looks_max: LOOKS_MAX,
        bytes_max: asked.bytes_max,
        opened_bytes_max: OPENED_BYTES_MAX,
    };
    let found = store.walk_at(height, &walk).map_err(storage)?;
    let given = |leaf: &StoredValue| -> Result<(AccountId, Grant), BackendError> {
        let grant = Grant::from_bytes(&leaf.value).map_err(|error| BackendError::Storage(error.to_string()))?;
        Ok((grantee_of(&leaf.name).unwrap_or_default(), grant))
    };
    let grants = found.leaves.iter().map(|(_, leaf)| given(leaf)).collect::<Result<_, _>>()?;
    let era = era_of(store, height, asked.account)?;
    let time_ms = store.block(height).map_err(storage)?.map_or(0, |stored| stored.block.header.time_ms);
    let (next, at) = end(store, height, found.next).map_err(storage)?;
    Ok(ListedGrants { grants, era, time_ms, next, at })
}

/// Returns the era of an account's grants after a height; 0 if there is no such account.
fn era_of(store: &dyn Store, height: Height, account: AccountId) -> Result<u32, BackendError> {
    let held = store.values_at(height, &[account_key(account)]).map_err(storage)?;
    let record = held.first().and_then(Option::as_deref).map(AccountRecord2::from_bytes).transpose();
    let record = record.map_err(|error| BackendError::Storage(error.to_string()))?;
    Ok(record.map_or(0, |record| record.grants_era))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backend::tests::chain;
    use rustorium_api::ListFrom;
    use rustorium_execution::{data_key, grant_key};
    use rustorium_storage::{HeightCommit, MemStore};
    use rustorium_types::*;

    #[test]
    fn all_grants_of_one_account_are_listed_with_the_era_of_its_record() {
        let store = MemStore::new();
        let genesis = chain::genesis();
        let mut tip = rustorium_stages::journal_records::tip_of(&store, &genesis, ShardId::ROOT).unwrap();
        let owner = chain::account(0);
        let to = |n: u8| AccountId([n; 32]);
        let bytes = |n: u8| encode(&BoundedVec::<Key, 16>::new(vec![BoundedBytes::new(vec![n]).unwrap()]).unwrap());
        let leaf = |key: StateKey, name: Vec<u8>, value: Vec<u8>| LeafWrite { key, name, value: Some(value) };
        let mut diff: Vec<LeafWrite> =
            (1..=5).map(|n| leaf(grant_key(owner, to(n)), [&[3], &to(n).0[..]].concat(), bytes(n))).collect();
        diff.push(leaf(data_key(owner, b"k"), b"\x02k".to_vec(), b"v".to_vec()));
        diff.push(leaf(grant_key(to(9), owner), [&[3], &owner.0[..]].concat(), bytes(9)));
        let mut record = AccountRecord2::from_bytes(&store.state(&account_key(owner)).unwrap().unwrap()).unwrap();
        record.grants_era = 4;
        diff.push(leaf(account_key(owner), vec![0], record.to_bytes()));
        diff.sort_unstable_by_key(|write| write.key);
        tip.header.height = Height(1);
        tip.header.time_ms = 77;
        tip.header.parent = tip.digest;
        let commit = HeightCommit {
            digest: rustorium_crypto::block_digest(&tip.header),
            result_root: Hash([1; 32]),
            block: Block { header: tip.header, inline: BoundedVec::default() },
            inline_ids: Vec::new(),
            batches: Vec::new(),
            receipts: Vec::new(),
            diff,
            link: ResultLink::default(),
            finalization: None,
        };
        store.commit(&commit).unwrap();
        let asked = |from, limit, bytes_max| GrantListing { account: owner, from, limit, bytes_max };
        let short = grants(&store, &asked(ListFrom::Latest, 9, 1)).unwrap();
        assert_eq!((short.grants.len(), short.next.is_some()), (1, true), "a page ends by its bytes, too");
        let (mut found, mut from) = (Vec::new(), ListFrom::Latest);
        loop {
            let page = grants(&store, &asked(from, 2, 1 << 20)).unwrap();
            assert!(page.grants.len() <= 2);
            assert_eq!((page.era, page.time_ms, page.at.height), (4, 77, Height(1)));
            found.extend(page.grants);
            match page.next {
                Some(next) => from = ListFrom::Cursor(next),
                None => break,
            }
        }
        found.sort_unstable_by_key(|(to, _)| *to);
        let wanted: Vec<(AccountId, Grant)> = (1..=5).map(|n| (to(n), Grant::from_bytes(&bytes(n)).unwrap())).collect();
        assert_eq!(found, wanted);
        assert!(found.iter().all(|(_, grant)| !grant.is_valid(77, 4) && grant.is_valid(77, 0)), "they are of era 0");
        let before = grants(&store, &asked(ListFrom::Height(Height(0)), 9, 1 << 20)).unwrap();
        assert_eq!((before.grants, before.era), (Vec::new(), 0));
    }
}

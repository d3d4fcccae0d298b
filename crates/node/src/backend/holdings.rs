//! An account's balances, found by walking over its leaves.
//!
//! *Invariants:* as for the keys of a namespace, a page looks at a bounded number of leaves, and all pages of a listing are
//! of one height.

use super::listing::{LOOKS_MAX, OPENED_BYTES_MAX, end, start};
use rustorium_api::{BackendError, BalanceListing, KeyCursor, ListedBalances};
use rustorium_execution::{asset_of_balance, decode_amount};
use rustorium_stages::block_proofs::storage;
use rustorium_storage::{Store, StoredValue, Walk};
use rustorium_types::{AssetId, StateKey};

/// Reads a page of an account's balances.
pub fn balances(store: &dyn Store, asked: &BalanceListing) -> Result<ListedBalances, BackendError> {
    let KeyCursor { height, name } = start(store, asked.from);
    let walk = Walk {
        from: StateKey { account: asked.account, name },
        account: Some(asked.account),
        wanted: &|name| asset_of_balance(name).is_some(),
        leaves_max: asked.limit,
        looks_max: LOOKS_MAX,
        bytes_max: usize::MAX,
        opened_bytes_max: OPENED_BYTES_MAX,
    };
    let found = store.walk_at(height, &walk).map_err(storage)?;
    let held = |leaf: &StoredValue| -> Result<(AssetId, u128), BackendError> {
        let amount = decode_amount(&leaf.value).map_err(|error| BackendError::Storage(error.to_string()))?;
        Ok((asset_of_balance(&leaf.name).unwrap_or_default(), amount))
    };
    let balances = found.leaves.iter().map(|(_, leaf)| held(leaf)).collect::<Result<_, _>>()?;
    let (next, at) = end(store, height, found.next).map_err(storage)?;
    Ok(ListedBalances { balances, next, at })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::backend::tests::chain;
    use rustorium_api::ListFrom;
    use rustorium_storage::MemStore;
    use rustorium_types::*;

    #[test]
    fn all_balances_of_one_account_are_listed_once_and_nothing_else() {
        let (store, account, mut genesis) = (MemStore::new(), chain::account(0), chain::genesis());
        let mut expected: Vec<(AssetId, u128)> = (1..=5).map(|n| (AssetId([n; 32]), u128::from(n))).collect();
        let mut accounts = genesis.accounts.as_slice().to_vec();
        for holder in accounts.iter_mut().filter(|one| one.public_key == chain::signer(0).public()) {
            holder.balances = BoundedVec::new(expected.clone()).unwrap();
        }
        genesis.accounts = BoundedVec::new(accounts).unwrap();
        rustorium_stages::journal_records::tip_of(&store, &genesis, ShardId::ROOT).unwrap();
        let (mut found, mut from) = (Vec::new(), ListFrom::Latest);
        loop {
            let page = balances(&store, &BalanceListing { account, from, limit: 2 }).unwrap();
            assert!(page.balances.len() <= 2);
            found.extend(page.balances);
            match page.next {
                Some(next) => from = ListFrom::Cursor(next),
                None => break,
            }
        }
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected);
        let ahead = balances(&store, &BalanceListing { account, from: ListFrom::Height(Height(9)), limit: 1 });
        assert!(matches!(ahead, Err(BackendError::Ahead { .. })));
    }
}

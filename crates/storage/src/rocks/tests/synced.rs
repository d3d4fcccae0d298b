//! Stores filled from a snapshot: RocksDB compared with the model, across kills, after an earlier use, and with later
//! heights.

use super::history::{compact, prune_all};
use super::*;
use crate::history::HistoryStore;
use crate::synced::{SyncStore, SyncedTip};
use crate::tree::TreeRow;

const AT: Height = Height(40);

/// A chain that begins at the snapshot's height.
fn synced_chain() -> (Chain, SyncedTip) {
    let mut chain = Chain { height: AT.0, ..Chain::default() };
    let below = [38, 39].map(|height| Header { height: Height(height), ..chain.header(0) });
    let commit = chain.empty(vec![]);
    (chain, SyncedTip { commit, headers: below.to_vec() })
}

fn parts() -> Vec<(Vec<TreeRow>, Vec<LeafWrite>)> {
    let row = |n: u8| (vec![0, n], Some(vec![n; 9]));
    let leaf = |n: u8| leaf_write(n, Some(vec![n; 20]));
    vec![
        (vec![row(1), row(2)], vec![leaf(1), leaf(2), leaf(3)]),
        (vec![row(3)], vec![leaf(4)]),
        (vec![], vec![leaf(5)]),
    ]
}

fn fill(store: &dyn Store, parts: &[(Vec<TreeRow>, Vec<LeafWrite>)]) {
    for (rows, leaves) in parts {
        store.put_synced(AT, rows, leaves).unwrap();
    }
}

fn same(store: &dyn Store, model: &dyn Store, chain: &Chain) {
    assert_eq!((store.tip(), store.kept(), store.roots()), (model.tip(), model.kept(), model.roots()));
    assert_eq!(store.syncing().unwrap(), model.syncing().unwrap());
    assert_eq!(store.synced_headers().unwrap(), model.synced_headers().unwrap());
    assert_eq!(store.tree_children(&[0]).unwrap(), model.tree_children(&[0]).unwrap());
    for n in 0..=KEYS {
        assert_eq!(store.state(&state_key(n)).unwrap(), model.state(&state_key(n)).unwrap(), "{n}");
    }
    for height in (AT.0 - 2..=chain.height).map(Height) {
        assert_eq!(store.block(height), model.block(height));
        let values = |store: &dyn Store| store.values_at(height, &[state_key(1), state_key(4), state_key(9)]);
        assert_eq!(values(store), values(model));
    }
}

#[test]
fn a_filled_store_is_as_if_it_had_been_there_all_along() {
    let home = TempDir::new().unwrap();
    let (mut chain, tip) = synced_chain();
    let model = MemStore::new();
    let mut store = open(home.path());
    for store in [&store as &dyn Store, &model] {
        store.begin_sync(b"snapshot").unwrap();
        fill(store, &parts()[..2]);
    }
    same(&store, &model, &chain);
    // A kill in the middle loses nothing that was stored.
    drop(store);
    store = open(home.path());
    assert_eq!((store.tip(), store.syncing().unwrap()), (None, Some(b"snapshot".to_vec())));
    same(&store, &model, &chain);
    for store in [&store as &dyn Store, &model] {
        fill(store, &parts()[2..]);
        store.finish_sync(&tip).unwrap();
    }
    same(&store, &model, &chain);
    assert_eq!(store.tip().map(|tip| (tip.height, tip.payload_height)), Some((AT, AT)));
    assert_eq!(store.view_at(AT).unwrap().value(&state_key(2)).unwrap().unwrap().value, [2; 20]);
    // The store continues: heights, folds, pruning, compaction, another start.
    for n in 0..4 {
        let commit = chain.empty(vec![(1, Some(vec![n; 4])), (4, None), (9, Some(vec![n]))]);
        for store in [&store as &dyn Store, &model] {
            store.commit(&commit).unwrap();
        }
    }
    for store in [&store as &dyn Store, &model] {
        store.fold_tree(Height(42), &[(vec![0, 2], None), (vec![0, 7], Some(vec![7]))]).unwrap();
        prune_all(store, Height(41));
    }
    compact(&store);
    same(&store, &model, &chain);
    drop(store);
    same(&open(home.path()), &model, &chain);
}

#[test]
fn a_new_snapshot_removes_the_stores_earlier_content() {
    let home = TempDir::new().unwrap();
    let store = open(home.path());
    let mut old = Chain::default();
    for n in 0..3 {
        let plan = Plan {
            inline: vec![],
            batches: vec![],
            writes: vec![(7, Some(vec![n; 30])), (1, Some(vec![n]))],
            finalized: true,
            finalize_later: None,
            reopen: false,
        };
        store.commit(&old.next(&plan)).unwrap();
    }
    store.fold_tree(Height(2), &[(vec![0, 9], Some(vec![9]))]).unwrap();
    prune_all(&store, Height(1));
    store.begin_sync(b"first").unwrap();
    fill(&store, &parts());
    store.begin_sync(b"second").unwrap();
    let model = MemStore::new();
    model.begin_sync(b"second").unwrap();
    let (chain, tip) = synced_chain();
    same(&store, &model, &chain);
    assert_eq!(store.finalization_at_or_above(Height(0)).unwrap(), None);
    assert_eq!(store.height_of(&old.parent).unwrap(), None);
    for store in [&store as &dyn Store, &model] {
        fill(store, &parts()[1..]);
        store.finish_sync(&tip).unwrap();
    }
    same(&store, &model, &chain);
    drop(store);
    same(&open(home.path()), &model, &chain);
}

#[test]
fn a_snapshot_that_was_not_begun_is_not_finished_and_a_failing_disk_changes_nothing() {
    let (_, tip) = synced_chain();
    let home = TempDir::new().unwrap();
    let store = open(home.path());
    for store in [&store as &dyn Store, &MemStore::new()] {
        assert!(matches!(store.finish_sync(&tip), Err(StoreError::Inconsistent { height: AT, .. })));
        assert_eq!((store.tip(), store.syncing().unwrap()), (None, None));
    }
    let faulty = FaultyStore::new(store);
    faulty.fail_write(3, Fault::DiskFull);
    faulty.begin_sync(b"snapshot").unwrap();
    fill(&faulty, &parts()[..1]);
    assert!(matches!(faulty.finish_sync(&tip), Err(StoreError::DiskFull { .. })));
    assert_eq!((faulty.tip(), faulty.syncing().unwrap()), (None, Some(b"snapshot".to_vec())));
    faulty.finish_sync(&tip).unwrap();
    assert_eq!(faulty.tip().map(|tip| tip.height), Some(AT));
}

//! A store that keeps a window of heights doesn't grow with the number of heights. A store that begins to keep a window
//! shrinks to that size.

use super::history::prune_all;
use super::*;
use crate::history::HistoryStore;
use rocksdb::WaitForCompactOptions;

const WINDOW: u64 = 60;
const WINDOWS: u64 = 20;
/// Heights between roots, and number of kept roots: about a window of heights.
const PERIOD: u64 = 5;
const ROOTS_KEPT: usize = 10;

fn soaking(folder: &Path) -> RocksStore {
    // The write buffer is so small that each window is flushed and compacted several times.
    let config = StoreConfig { write_buffer_bytes: 128 << 10, roots_kept: ROOTS_KEPT, ..small() };
    RocksStore::open(folder, &config, &at_rest(1, 5)).unwrap()
}

/// Transactions, values that replace others, values that are removed, and values that live for a window.
fn soak_plan(height: u64) -> Plan {
    let transaction = |kind: u8| TransactionPlan {
        sender: height as u8 % 4,
        to: kind % 4,
        kind,
        executed: true,
        failed: false,
        second: false,
    };
    let value = |key: u64| (!(height + key).is_multiple_of(7)).then(|| vec![height as u8; 200]);
    Plan {
        inline: vec![transaction(0)],
        batches: vec![(0..5).map(transaction).collect(), (0..5).map(transaction).collect()],
        writes: (0..KEYS * 4).map(|key| (key, value(key.into()))).collect(),
        finalized: true,
        finalize_later: None,
        reopen: false,
    }
}

/// Bytes of all files, once running work is done.
fn bytes_on_disk(store: &RocksStore, folder: &Path) -> u64 {
    store.sync().unwrap();
    let mut options = WaitForCompactOptions::default();
    options.set_flush(true);
    store.disk.db.wait_for_compact(&options).unwrap();
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

/// Returns the bytes on disk at the end of each window, and the store after the last.
fn soak(folder: &Path, chain: &mut Chain, windows: u64, keep: Option<u64>) -> (Vec<u64>, RocksStore) {
    let (store, mut sizes) = (soaking(folder), Vec::new());
    for _ in 0..windows {
        for _ in 0..WINDOW {
            let height = chain.height;
            store.commit(&chain.next(&soak_plan(height))).unwrap();
            if height.is_multiple_of(PERIOD) {
                let row = |n: u8| (vec![1, n, height as u8 % 16], Some(vec![height as u8; 100]));
                store.fold_tree(Height(height), &(0..30).map(row).collect::<Vec<_>>()).unwrap();
                store.sync().unwrap();
                prune_all(&store, Height(keep.map_or(0, |keep| height.saturating_sub(keep))));
            }
        }
        sizes.push(bytes_on_disk(&store, folder));
    }
    (sizes, store)
}

#[test]
fn the_disk_stops_growing_when_the_window_is_full() {
    let folders = [TempDir::new().unwrap(), TempDir::new().unwrap()];
    let mut chains = [Chain::default(), Chain::default()];
    let (pruned, store) = soak(folders[0].path(), &mut chains[0], WINDOWS, Some(WINDOW));
    let (archive, _) = soak(folders[1].path(), &mut chains[1], WINDOWS, None);
    let text = format!("pruned {pruned:?}, archive {archive:?}");
    assert!(archive[19] > 3 * archive[4], "what is written does add up: {text}");
    // A single size depends on how many files happen to wait for compaction. Five windows together are more reliable.
    let about = |first: usize| pruned[first..first + 5].iter().sum::<u64>();
    assert!(about(15) * 10 <= about(3) * 13, "{text}");
    assert!(pruned[19] * 5 < archive[19], "{text}");
    // A store that kept everything until now is started again with a window. No compaction is ordered.
    let (shrunk, _) = soak(folders[1].path(), &mut chains[1], 2, Some(WINDOW));
    let text = format!("archive {archive:?}, then {shrunk:?}");
    assert!(shrunk[0] * 3 < archive[19] && shrunk[1] * 5 < archive[19], "{text}");
    // Everything in the window is still there.
    let chain = &chains[0];
    let oldest = store.kept().oldest_height;
    assert!(oldest.0 >= WINDOW * (WINDOWS - 1) - PERIOD);
    for height in (oldest.0..chain.height).map(Height) {
        assert_eq!(store.block(height).unwrap().unwrap().receipts.len(), 11);
        let keys: Vec<StateKey> = (0..KEYS * 4).map(state_key).collect();
        for (key, value) in store.values_at(height, &keys).unwrap().into_iter().enumerate() {
            let removed = (height.0 + key as u64).is_multiple_of(7);
            assert_eq!(value, (!removed).then(|| vec![height.0 as u8; 200]), "key {key} at {height}");
        }
    }
    assert_eq!(store.roots().len(), ROOTS_KEPT);
}

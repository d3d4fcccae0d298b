//! Tests of reading and altering the disk without the storage key: nothing goes unnoticed.

use super::*;
use crate::keyfile;
use std::collections::BTreeSet;

/// Returns every sealed row of a table.
pub(super) fn all_rows(store: &RocksStore, table: Table) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut items = store.disk.all_of(table).unwrap();
    items.seek_to_first();
    let mut rows = Vec::new();
    while let Some((key, row)) = items.item() {
        rows.push((key.to_vec(), row.to_vec()));
        items.next();
    }
    rows.into_iter().filter(|(key, _)| !rows::is_plain(table, key)).collect()
}

fn filled(folder: &Path) -> (RocksStore, Chain) {
    let (store, mut chain) = (open(folder), Chain { two_from: 2, ..Chain::default() });
    for n in 0..3 {
        store.commit(&chain.next(&busy_plan(n))).unwrap();
    }
    store.fold_tree(Height(1), &[(vec![0, 1], Some(vec![5; 70])), (vec![0, 2], Some(vec![6; 70]))]).unwrap();
    store.fold_tree(Height(2), &[(vec![0, 1], Some(vec![7; 70])), (vec![0, 3], Some(vec![8; 70]))]).unwrap();
    store.put_tree_writes(Height(3), &vec![(state_key(1), Some(Hash::ZERO))]).unwrap();
    (store, chain)
}

fn named(error: &StoreError, table: Table, key: &[u8]) -> bool {
    matches!(error, StoreError::Corrupt { table: t, key: k, .. } if *t == table.name() && *k == hex::encode(key))
}

#[test]
fn a_row_moved_to_another_key_or_table_does_not_open_and_is_named() {
    let folder = TempDir::new().unwrap();
    let (store, _) = filled(folder.path());
    let rows: Vec<_> = Table::ALL.iter().flat_map(|t| all_rows(&store, *t).into_iter().map(|row| (*t, row))).collect();
    assert!(rows.len() > 40);
    for (table, (key, row)) in &rows {
        store.disk.keys.open_row(*table, key, row).unwrap();
        for other in Table::ALL.into_iter().filter(|other| other != table) {
            assert!(named(&store.disk.keys.open_row(other, key, row).unwrap_err(), other, key));
        }
        let (other, (moved_to, _)) = rows.iter().find(|(t, (k, _))| t == table && k != key).unwrap();
        assert!(named(&store.disk.keys.open_row(*other, moved_to, row).unwrap_err(), *table, moved_to));
    }
    // The same check through a read: an older value is put back under another key of the same account.
    let values = all_rows(&store, Table::State);
    store.disk.db.put_cf(store.disk.family(Table::State).unwrap(), &values[0].0, &values[1].1).unwrap();
    let cold = (drop(store), open(folder.path())).1;
    let key = decode::<StateKey>(&values[0].0[..64], 64).unwrap();
    assert_eq!(cold.damaged(), None);
    let error = cold.state(&key).unwrap_err();
    assert!(named(&error, Table::State, &values[0].0));
    assert_eq!(cold.damaged(), Some(error), "who watches the store knows it, whoever read the row");
}

#[test]
fn a_file_that_rocksdb_finds_damaged_is_no_other_failure_of_the_disk() {
    let folder = TempDir::new().unwrap();
    let (store, _) = filled(folder.path());
    Table::ALL.iter().for_each(|table| store.disk.db.flush_cf(store.disk.family(*table).unwrap()).unwrap());
    drop(store);
    let files = || fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let table = files().find(|path| path.extension().is_some_and(|end| end == "sst")).unwrap();
    fs::remove_file(table).unwrap();
    let error = RocksStore::open(folder.path(), &small(), &at_rest(1, 5)).err().unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains("sync it again"));
}

#[test]
fn any_flipped_bit_of_a_row_is_found() {
    let folder = TempDir::new().unwrap();
    let (store, _) = filled(folder.path());
    for table in Table::ALL {
        let (key, row) = all_rows(&store, table).into_iter().min_by_key(|(_, row)| row.len()).unwrap();
        for bit in 0..row.len() * 8 {
            let mut bad = row.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(named(&store.disk.keys.open_row(table, &key, &bad).unwrap_err(), table, &key), "bit {bit}");
        }
        for cut in 0..row.len() {
            assert!(store.disk.keys.open_row(table, &key, &row[..cut]).is_err());
        }
    }
}

#[test]
fn no_value_and_no_digest_stands_in_any_file() {
    let folder = TempDir::new().unwrap();
    let (store, mut chain) = filled(folder.path());
    let secret = b"a value that nobody may read".to_vec();
    store.commit(&chain.empty(vec![(1, Some(secret.clone()))])).unwrap();
    let digests = chain.blocks.iter().map(|(_, digest)| digest.0.to_vec());
    let digests = digests.chain(chain.batches.iter().map(|digest| digest.0.to_vec()));
    let names: Vec<_> = digests.chain(chain.transactions.iter().map(|id| id.0.to_vec())).chain([secret]).collect();
    let search = || {
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            for name in &names {
                let found = bytes.windows(12).any(|window| window == &name[4..16]);
                assert!(!found, "{} stands in {}", hex::encode(name), path.display());
            }
        }
    };
    search();
    Table::ALL.iter().for_each(|table| store.disk.db.flush_cf(store.disk.family(*table).unwrap()).unwrap());
    search();
}

#[test]
fn another_key_another_chain_and_a_missing_key_file_are_refused_and_change_nothing() {
    let folder = TempDir::new().unwrap();
    let (store, chain) = filled(folder.path());
    let tip = store.tip();
    drop(store);
    let with = |key, chain| RocksStore::open(folder.path(), &small(), &at_rest(key, chain)).err().unwrap();
    let other_key = with(2, 5);
    assert!(matches!(other_key, StoreError::OtherKey { .. }), "{other_key}");
    assert!(other_key.to_string().contains("storage.key"));
    assert!(matches!(with(1, 6), StoreError::OtherChain { .. }));
    let file = folder.path().join(keyfile::FILE_NAME);
    let bytes = fs::read(&file).unwrap();
    fs::remove_file(&file).unwrap();
    assert!(matches!(with(1, 5), StoreError::KeysMissing { .. }));
    fs::write(&file, &bytes[1..]).unwrap();
    assert!(matches!(with(1, 5), StoreError::KeysDamaged { .. }));
    fs::write(&file, &bytes).unwrap();
    let store = open(folder.path());
    assert_eq!(store.tip(), tip);
    assert!(store.transaction(&chain.transactions[0]).unwrap().is_some());
}

#[test]
fn a_start_that_writes_nothing_adds_no_version() {
    let folder = TempDir::new().unwrap();
    let (store, mut chain) = filled(folder.path());
    assert_eq!(store.disk.keys.versions().len(), 1);
    drop(store);
    (0..5).for_each(|_| drop(open(folder.path())));
    let store = open(folder.path());
    assert_eq!(store.disk.keys.versions().len(), 1);
    store.commit(&chain.empty(vec![])).unwrap();
    assert_eq!(store.disk.keys.versions().len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn no_two_rows_ever_share_version_and_nonce(plans in proptest::collection::vec(plan(), 1..8)) {
        let folder = TempDir::new().unwrap();
        let (mut store, mut chain) = (open(folder.path()), Chain::default());
        let mut seen: BTreeSet<(Vec<u8>, Vec<u8>)> = BTreeSet::new();
        for plan in &plans {
            store.commit(&chain.next(plan)).unwrap();
            // A head is version and nonce. A head that was seen before belongs to the very same bytes.
            for (_, row) in Table::ALL.iter().flat_map(|table| all_rows(&store, *table)) {
                let (head, rest) = row.split_at(rows::SEAL_AT + HEAD_BYTES);
                let same_head = (head.to_vec(), Vec::new())..=(head.to_vec(), vec![0xff; 400]);
                let known = seen.range(same_head).next().cloned();
                prop_assert!(known.is_none_or(|(_, bytes)| bytes == rest[..bytes.len()]));
                seen.insert((head.to_vec(), rest[..16].to_vec()));
            }
            if plan.reopen {
                drop(store);
                store = open(folder.path());
            }
        }
    }
}

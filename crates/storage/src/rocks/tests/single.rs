//! Single rows, errors of the disk, and what a tip says.

use super::*;

#[test]
fn the_payload_height_is_that_of_the_last_change() {
    let (store, mut chain) = (MemStore::new(), Chain::default());
    let heights = [vec![], vec![(1, Some(vec![1]))], vec![], vec![]].map(|writes| {
        store.commit(&chain.empty(writes)).unwrap();
        store.tip().unwrap().payload_height.0
    });
    assert_eq!(heights, [0, 1, 1, 1]);
    store.commit(&chain.next(&busy_plan(1))).unwrap();
    assert_eq!(store.tip().unwrap().payload_height, Height(4));
}

#[test]
fn a_store_that_is_open_is_not_opened_again() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let refused = try_open(folder.path()).err();
    assert!(matches!(refused, Some(StoreError::Locked { .. })), "{refused:?}");
    drop(store);
    open(folder.path());
}

#[test]
fn a_full_disk_is_told_from_other_errors() {
    let full = "IO error: No space left on device: While appending to file: /x/000004.log: No space left on device";
    assert!(matches!(failure(Path::new("/x"), full), StoreError::DiskFull { .. }));
    assert!(matches!(failure(Path::new("/x"), "IO error: Input/output error"), StoreError::Io { .. }));
    let damaged = failure(Path::new("/x/db"), "Corruption: CURRENT file\n  does not end with newline").to_string();
    assert!(damaged.contains("/x/db is damaged (Corruption: CURRENT file does not end with newline)"), "{damaged}");
}

#[test]
fn rows_hold_canonical_bytes() {
    let (mut chain, model) = (Chain { two_from: u64::MAX, ..Chain::default() }, MemStore::new());
    let commit = chain.next(&busy_plan(1));
    model.commit(&commit).unwrap();
    let (mut scratch, mut found) = (Scratch::default(), Vec::new());
    let names = at_rest(1, 5).keyed(HashUse::Names).unwrap();
    rows::encode_height_4(&commit, &model.tip().unwrap(), &names, &mut scratch, &mut |table, key, row| {
        found.push((table, key.to_vec(), row.clone()));
        Ok(())
    })
    .unwrap();
    let contents_at = 1 + HEAD_BYTES;
    let row = |key: &[u8]| found.iter().find(|(_, k, _)| k == key).unwrap().2.clone();
    assert_eq!(row(&rows::batch_key(Height(0), 1))[contents_at..], encode(&*commit.batches[1].batch));
    assert!(row(&rows::block_key(Height(0))).ends_with(&encode(&commit.block)));
    assert_eq!(row(&rows::receipts_key(Height(0)))[contents_at..], encode(&commit.receipts));
}

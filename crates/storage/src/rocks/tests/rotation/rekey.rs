//! Replacement of the first master key: during commits and reads, across kills at every step, and the uses of the old
//! key.

use super::*;
use std::collections::BTreeSet;

fn keys(newest: u8, before: Option<u8>) -> AtRest {
    let key = |byte| Arc::new(MasterKey::from_secret(&[byte; 32]).unwrap());
    AtRest::rekeyed(key(newest), before.map(key), at_rest(1, 5).chain())
}

fn try_open_with(folder: &Path, at_rest: &AtRest) -> Result<RocksStore, StoreError> {
    RocksStore::open(folder, &small(), at_rest)
}

/// The number of the key that `open` uses.
const FIRST: u8 = 1;

fn filled(folder: &Path) -> (RocksStore, MemStore, Chain) {
    let (store, model, mut chain) = (open(folder), MemStore::new(), Chain::default());
    for n in 0..40 {
        let commit = chain.next(&busy_plan(n % 9));
        store.commit(&commit).unwrap();
        model.commit(&commit).unwrap();
    }
    (store, model, chain)
}

fn files(store: &RocksStore) -> BTreeSet<String> {
    store.disk.db.live_files().unwrap().into_iter().map(|file| file.name).collect()
}

#[test]
fn every_row_comes_under_the_new_key_and_the_old_one_opens_nothing_more() {
    let folder = TempDir::new().unwrap();
    let (store, model, mut chain) = filled(folder.path());
    let began = store.rekey(&keys(2, Some(FIRST))).unwrap();
    assert!(store.rekeying() && began.rows_about > 300);
    assert_equal(&store, &model, &chain);
    while store.rotate_step().unwrap().is_some() {
        assert_equal(&store, &model, &chain);
        let commit = chain.next(&busy_plan(3));
        store.commit(&commit).unwrap();
        model.commit(&commit).unwrap();
    }
    assert!(!store.rekeying());
    assert_eq!((oldest(&store), store.disk.keys.versions()), (began.version, vec![began.version]));
    assert_equal(&store, &model, &chain);
    // Afterwards the table files and the write-ahead log, which may hold rows of the old key, are new ones.
    assert_eq!(store.write_files_anew(&mut |_, _| false), Ok(false), "it was told to stop");
    let (before, mut told) = (files(&store), Vec::new());
    assert_eq!(
        store.write_files_anew(&mut |done, all| {
            told.push((done, all));
            true
        }),
        Ok(true)
    );
    assert!(!told.is_empty() && told.is_sorted(), "{told:?}");
    assert!(files(&store).is_disjoint(&before), "{before:?} {:?}", files(&store));
    assert_equal(&store, &model, &chain);
    drop(store);
    assert!(matches!(try_open_with(folder.path(), &keys(FIRST, None)).err(), Some(StoreError::OtherKey { .. })));
    let store = try_open_with(folder.path(), &keys(2, None)).unwrap();
    model.restart();
    assert_equal(&store, &model, &chain);
    // A third key replaces the second one.
    store.rekey(&keys(3, Some(2))).unwrap();
    finish(&store);
    drop(store);
    assert_equal(&try_open_with(folder.path(), &keys(3, None)).unwrap(), &model, &chain);
}

#[test]
fn a_key_that_was_replaced_while_the_store_was_closed_is_taken_over_by_the_next_open() {
    let folder = TempDir::new().unwrap();
    let (store, model, chain) = filled(folder.path());
    drop(store);
    model.restart();
    // Opened only for reading, the store changes nothing.
    let before = fs::read(folder.path().join(keyfile::FILE_NAME)).unwrap();
    let read = RocksStore::open_to_read(folder.path(), &small(), &keys(2, Some(FIRST))).unwrap();
    assert_equal(&read, &model, &chain);
    drop(read);
    assert_eq!(fs::read(folder.path().join(keyfile::FILE_NAME)).unwrap(), before);
    let store = try_open_with(folder.path(), &keys(2, Some(FIRST))).unwrap();
    assert!(store.rekeying() && store.rotation().is_some());
    assert_equal(&store, &model, &chain);
    // Another key can't replace it before the rows of the first are gone.
    assert!(matches!(store.rekey(&keys(3, Some(2))), Err(StoreError::KeyBefore { .. })));
    let half = copy(folder.path());
    finish(&store);
    drop(store);
    assert_equal(&try_open_with(folder.path(), &keys(2, None)).unwrap(), &model, &chain);
    for lacking in [keys(2, None), keys(2, Some(9))] {
        let refused = try_open_with(half.path(), &lacking).err().unwrap();
        assert!(matches!(refused, StoreError::KeyBefore { .. }), "{refused}");
    }
}

#[test]
fn a_kill_at_any_step_is_gone_on_from() {
    let folder = TempDir::new().unwrap();
    let (store, model, chain) = filled(folder.path());
    model.restart();
    let both = keys(2, Some(FIRST));
    let goes_on = |killed: &Path| {
        let reopened = try_open_with(killed, &both).unwrap();
        assert_equal(&reopened, &model, &chain);
        finish(&reopened);
        assert!(!reopened.rekeying());
        drop(reopened);
        assert_equal(&try_open_with(killed, &keys(2, None)).unwrap(), &model, &chain);
    };
    // The key file was replaced, and the rotation was not noted yet.
    let unbegun = copy(folder.path());
    store.rekey(&both).unwrap();
    fs::copy(folder.path().join(keyfile::FILE_NAME), unbegun.path().join(keyfile::FILE_NAME)).unwrap();
    goes_on(unbegun.path());
    loop {
        goes_on(copy(folder.path()).path());
        if store.rotate_step().unwrap().is_none() {
            break;
        }
    }
    goes_on(copy(folder.path()).path());
}

#[test]
fn a_copy_for_a_backup_in_the_middle_opens_with_both_keys() {
    let folder = TempDir::new().unwrap();
    let (store, model, chain) = filled(folder.path());
    store.rekey(&keys(2, Some(FIRST))).unwrap();
    store.rotate_step().unwrap();
    let to = TempDir::new().unwrap();
    store.checkpoint(&to.path().join("copy")).unwrap();
    finish(&store);
    model.restart();
    let copied = try_open_with(&to.path().join("copy"), &keys(2, Some(FIRST))).unwrap();
    assert_equal(&copied, &model, &chain);
    finish(&copied);
    drop(copied);
    assert_equal(&try_open_with(&to.path().join("copy"), &keys(2, None)).unwrap(), &model, &chain);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn keys_are_replaced_beside_commits_and_starts(plans in proptest::collection::vec((plan(), 0usize..4, any::<bool>()), 1..12)) {
        let folder = TempDir::new().unwrap();
        let (mut store, model, mut chain) = (open(folder.path()), MemStore::new(), Chain::default());
        let (mut newest, mut before) = (FIRST, None);
        for (plan, steps, rekey) in &plans {
            let commit = chain.next(plan);
            store.commit(&commit).unwrap();
            model.commit(&commit).unwrap();
            if *rekey && !store.rekeying() {
                (newest, before) = (newest + 1, Some(newest));
                store.rekey(&keys(newest, before)).unwrap();
            }
            for _ in 0..*steps {
                store.rotate_step().unwrap();
            }
            if plan.reopen {
                drop(store);
                store = try_open_with(folder.path(), &keys(newest, before)).unwrap();
                model.restart();
            }
        }
        assert_equal(&store, &model, &chain);
        finish(&store);
        drop(store);
        model.restart();
        assert_equal(&try_open_with(folder.path(), &keys(newest, None)).unwrap(), &model, &chain);
    }
}

//! Rotation of keys during commits and reads, and across kills.

use super::sealed::all_rows;
use super::*;
use crate::keyfile;
use crate::rocks::rotation::Cursor;
use rustorium_crypto::seal::version_of;

mod rekey;

/// Returns the oldest key version of any row.
fn oldest(store: &RocksStore) -> u32 {
    let rows = Table::ALL.iter().flat_map(|table| all_rows(store, *table));
    rows.map(|(_, row)| version_of(&row[rows::SEAL_AT..]).unwrap()).min().unwrap()
}

fn finish(store: &RocksStore) -> usize {
    (1..).find(|_| store.rotate_step().unwrap().is_none()).unwrap()
}

fn copy(folder: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    to
}

#[test]
fn every_row_is_sealed_anew_and_old_versions_are_dropped() {
    let folder = TempDir::new().unwrap();
    let (mut store, model, mut chain) = (open(folder.path()), MemStore::new(), Chain::default());
    for n in 0..40 {
        let commit = chain.next(&busy_plan(n % 9));
        store.commit(&commit).unwrap();
        model.commit(&commit).unwrap();
        if n % 10 == 0 {
            store = (drop(store), open(folder.path())).1;
            model.restart();
        }
    }
    assert_eq!(store.disk.keys.versions(), [1, 2, 3, 4, 5]);
    assert_eq!(store.rotation(), None);
    assert_eq!(store.rotate_step(), Ok(None));
    let began = store.rotate().unwrap();
    assert_eq!((began.version, began.rows), (6, 0));
    assert!(began.rows_about > 300, "{began:?}");
    let mut last = 0;
    while let Some(progress) = store.rotate_step().unwrap() {
        assert!(progress.rows >= last && progress.rows <= last + 256, "steps are bounded");
        last = progress.rows;
        assert_equal(&store, &model, &chain);
    }
    assert_eq!((store.disk.keys.versions(), oldest(&store), store.rotation()), (vec![6], 6, None));
    assert_equal(&store, &model, &chain);
    drop(store);
    let reopened = open(folder.path());
    model.restart();
    assert_equal(&reopened, &model, &chain);
    // A backup of the old rows would need versions that are gone from the key file.
    reopened.commit(&chain.empty(vec![])).unwrap();
    assert_eq!(reopened.disk.keys.versions(), [6, 7]);
}

#[test]
fn large_rows_end_a_step_early() {
    let folder = TempDir::new().unwrap();
    let (store, mut chain) = (open(folder.path()), Chain::default());
    let large = (0..KEYS).map(|key| (key, Some(vec![key; 300_000]))).collect();
    store.commit(&chain.empty(large)).unwrap();
    store.rotate().unwrap();
    assert!(finish(&store) > usize::from(KEYS) / 2);
    assert_eq!(oldest(&store), 2);
    assert_eq!(store.state(&state_key(3)).unwrap(), Some(vec![3; 300_000]));
}

#[test]
fn a_kill_at_any_step_is_gone_on_from() {
    let folder = TempDir::new().unwrap();
    let (store, model, mut chain) = (open(folder.path()), MemStore::new(), Chain::default());
    for n in 0..60 {
        let commit = chain.next(&busy_plan(n % 9));
        store.commit(&commit).unwrap();
        model.commit(&commit).unwrap();
    }
    store.rotate().unwrap();
    loop {
        // The store is still open, as if the process were killed here.
        let killed = copy(folder.path());
        let reopened = open(killed.path());
        model.restart();
        assert_eq!(reopened.rotation(), store.rotation());
        finish(&reopened);
        assert!(reopened.disk.keys.versions()[0] == 2 && oldest(&reopened) >= 2);
        assert_equal(&reopened, &model, &chain);
        if store.rotate_step().unwrap().is_none() {
            break;
        }
    }
}

#[test]
fn a_kill_between_the_key_file_and_the_end_of_the_rotation_is_gone_on_from() {
    let folder = TempDir::new().unwrap();
    let (store, model, mut chain) = (open(folder.path()), MemStore::new(), Chain::default());
    let commit = chain.next(&busy_plan(1));
    store.commit(&commit).unwrap();
    model.commit(&commit).unwrap();
    store.rotate().unwrap();
    while !store.rotation.lock().as_ref().is_some_and(Cursor::at_end) {
        store.rotate_step().unwrap();
    }
    let killed = copy(folder.path());
    store.rotate_step().unwrap();
    assert_eq!(store.disk.keys.versions(), [2]);
    fs::copy(folder.path().join(keyfile::FILE_NAME), killed.path().join(keyfile::FILE_NAME)).unwrap();
    let reopened = open(killed.path());
    assert!(reopened.rotation().is_some());
    model.restart();
    finish(&reopened);
    assert_equal(&reopened, &model, &chain);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_rotation_beside_commits_loses_nothing(plans in proptest::collection::vec((plan(), 0usize..4, any::<bool>()), 1..12)) {
        let folder = TempDir::new().unwrap();
        let (mut store, model, mut chain) = (open(folder.path()), MemStore::new(), Chain::default());
        let mut newest = 0;
        for (plan, steps, rotate) in &plans {
            let commit = chain.next(plan);
            store.commit(&commit).unwrap();
            model.commit(&commit).unwrap();
            if *rotate {
                newest = store.rotate().unwrap().version;
            }
            for _ in 0..*steps {
                store.rotate_step().unwrap();
            }
            if plan.reopen {
                drop(store);
                store = open(folder.path());
                model.restart();
            }
        }
        assert_equal(&store, &model, &chain);
        finish(&store);
        assert_equal(&store, &model, &chain);
        prop_assert!(oldest(&store) >= newest);
        prop_assert!(store.disk.keys.versions()[0] >= newest);
    }

    #[test]
    fn commits_and_reads_go_on_meanwhile(heights in 20u64..60) {
        let folder = TempDir::new().unwrap();
        let (store, mut chain) = (open(folder.path()), Chain::default());
        let writes = |n: u64| (0..KEYS).map(|key| (key, Some(n.to_le_bytes().repeat(40)))).collect::<Vec<_>>();
        store.commit(&chain.empty(writes(0))).unwrap();
        let ended = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(Ordering::Acquire) {
                    store.rotate().unwrap();
                    finish(&store);
                }
            });
            for n in 1..heights {
                store.commit(&chain.empty(writes(n))).unwrap();
                for key in 0..KEYS {
                    // Read from disk, where the rotation writes.
                    let found = store.disk.leaf(&state_key(key), Height(u64::MAX)).unwrap();
                    assert_eq!(found.map(|leaf| leaf.value), Some(n.to_le_bytes().repeat(40)));
                }
            }
            ended.store(true, Ordering::Release);
        });
    }
}

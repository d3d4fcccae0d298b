//! Reads go through the cache to the disk. They are never stale, whatever commits, evictions and other readers do
//! meanwhile.

use super::*;
use std::collections::BTreeMap;

/// After each height, the value of each key that has one.
type States = Vec<BTreeMap<u8, Vec<u8>>>;

/// Writes of a height: keys, and values or `None` for removals.
type Writes = Vec<(u8, Option<Vec<u8>>)>;

/// A cache of 16 KiB, which holds only a part of the keys, and no value over 512 bytes.
fn tiny() -> StoreConfig {
    StoreConfig { cache_bytes: 16 << 10, ..StoreConfig::default() }
}

fn writes() -> impl Strategy<Value = Vec<BTreeMap<u8, Option<usize>>>> {
    let value = proptest::option::weighted(0.8, prop_oneof![4 => 8usize..200, 1 => 400usize..900]);
    proptest::collection::vec(proptest::collection::btree_map(0..KEYS * 4, value, 0..12), 1..40)
}

/// The states after each of these heights. A value contains the height that wrote it.
fn states(heights: &[Writes]) -> States {
    let mut states = vec![BTreeMap::new()];
    for height in heights {
        let mut state = states[states.len() - 1].clone();
        for (key, value) in height {
            match value {
                Some(value) => state.insert(*key, value.clone()),
                None => state.remove(key),
            };
        }
        states.push(state);
    }
    states.remove(0);
    states
}

/// Reads until `ended` and once more after it. Every answer must have been right at some moment during its read.
fn read_beside(store: &RocksStore, states: &States, ended: &AtomicBool, mut random: u64) {
    let keys: Vec<u8> = (0..KEYS * 4).collect();
    let all: Vec<StateKey> = keys.iter().map(|key| state_key(*key)).collect();
    let height = || store.tip().unwrap().height.0 as usize;
    loop {
        let last_round = ended.load(Ordering::Acquire);
        for _ in 0..50 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let key = keys[(random >> 33) as usize % keys.len()];
            let before = height();
            let found = store.state(&state_key(key)).unwrap();
            // A commit in progress may be visible in a read before it is visible in the tip.
            let until = (height() + 2).min(states.len());
            let right = states[before..until].iter().any(|state| state.get(&key) == found.as_ref());
            assert!(right, "key {key} read {found:?} between heights {before} and {until}");
        }
        let StateAtTip { values, tip } = store.state_at_tip(&all).unwrap();
        let state = &states[tip.unwrap().height.0 as usize];
        assert!(keys.iter().zip(&values).all(|(key, value)| state.get(key) == value.as_ref()));
        if last_round {
            return;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn no_read_is_stale(plans in writes()) {
        let folder = TempDir::new().unwrap();
        let store = RocksStore::open(folder.path(), &tiny(), &at_rest(1, 5)).unwrap();
        let heights: Vec<Writes> = plans.iter().enumerate().map(|(height, plan)| {
            let value = |bytes: usize| [&(height as u64).to_le_bytes()[..], &vec![7; bytes - 8]].concat();
            plan.iter().map(|(key, bytes)| (*key, bytes.map(value))).collect()
        }).collect();
        let (states, ended) = (states(&heights), AtomicBool::new(false));
        let mut chain = Chain::default();
        store.commit(&chain.empty(heights[0].clone())).unwrap();
        std::thread::scope(|scope| {
            for reader in 0..3 {
                let (store, states, ended) = (&store, &states, &ended);
                scope.spawn(move || read_beside(store, states, ended, reader));
            }
            for (height, writes) in heights.iter().enumerate().skip(1) {
                store.commit(&chain.empty(writes.clone())).unwrap();
                // Every later read finds a committed value, in the cache or on disk.
                let current = (0..KEYS * 4).all(|key| {
                    store.state(&state_key(key)).unwrap().as_ref() == states[height].get(&key)
                });
                assert!(current, "a read after the commit of height {height}");
            }
            ended.store(true, Ordering::Release);
        });
        prop_assert!(store.stats().cache_bytes <= 16 << 10);
    }
}

#[test]
fn a_commit_fills_the_cache_and_the_disk_answers_once_for_the_rest() {
    let folder = TempDir::new().unwrap();
    let (store, mut chain) = (open(folder.path()), Chain::default());
    store.commit(&chain.empty(vec![(1, Some(vec![1; 40])), (2, None)])).unwrap();
    let read = |store: &RocksStore, n| store.state(&state_key(n)).unwrap();
    assert_eq!((read(&store, 1), read(&store, 2)), (Some(vec![1; 40]), None));
    assert_eq!((store.stats().cache_hits, store.stats().cache_misses), (2, 0), "written values are there already");
    let cold = (drop(store), open(folder.path())).1;
    (0..3).for_each(|_| assert_eq!((read(&cold, 1), read(&cold, 3)), (Some(vec![1; 40]), None)));
    assert_eq!((cold.stats().cache_hits, cold.stats().cache_misses), (4, 2));
}

#[test]
fn readers_beside_commits_see_one_height_and_never_go_back() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let mut chain = Chain::default();
    let keys: Vec<StateKey> = (0..KEYS).map(state_key).collect();
    let writes = |n: u64| (0..KEYS).map(|key| (key, Some(n.to_le_bytes().to_vec()))).collect();
    store.commit(&chain.empty(writes(0))).unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut newest = 0;
            while !ended.load(Ordering::Acquire) {
                let StateAtTip { values, tip } = store.state_at_tip(&keys).unwrap();
                let height = tip.unwrap().height.0;
                assert!(values.iter().all(|value| value.as_deref() == Some(height.to_le_bytes().as_slice())));
                assert!(height >= newest);
                newest = height;
            }
        });
        for n in 1..200 {
            store.commit(&chain.empty(writes(n))).unwrap();
            // Every later read finds a committed value, in the cache or on disk.
            assert!(keys.iter().all(|key| store.state(key).unwrap().as_deref() == Some(n.to_le_bytes().as_slice())));
        }
        ended.store(true, Ordering::Release);
    });
    let stats = store.stats();
    assert!(stats.cache_hits > stats.cache_misses);
    assert_eq!(stats.commits, 200);
}

#[test]
fn a_commit_that_failed_is_visible_nowhere_and_can_be_repeated() {
    let folder = TempDir::new().unwrap();
    let (place, away) = (folder.path().join("db"), folder.path().join("away"));
    let (store, model, mut chain) = (open(&place), MemStore::new(), Chain::default());
    let first = chain.next(&busy_plan(1));
    assert!(first.diff.iter().any(|write| write.value.is_some()));
    // The key version is drawn with the first row, and its file can't be written while the folder is away.
    fs::rename(&place, &away).unwrap();
    assert!(store.commit(&first).is_err());
    fs::rename(&away, &place).unwrap();
    assert_eq!(store.tip(), None);
    for write in &first.diff {
        assert_eq!(store.state(&write.key), Ok(None));
    }
    store.commit(&first).unwrap();
    model.commit(&first).unwrap();
    assert_equal(&store, &model, &chain);
}

//! History tests: values at every kept height, the tree at every kept root, and views that last, compared with the
//! model. Meanwhile rows are pruned, compacted and sealed again, and stores are reopened.

use super::*;
use crate::history::{HistoryStore, Pruning, StateView, StoredValue, Version, VersionLimits, Walk, WalkOutcome};
use crate::tree::TreeRow;
use rocksdb::WriteBatch;
use std::collections::BTreeMap;

const ROOTS_KEPT: usize = 4;

/// A step between two heights.
#[derive(Clone, Debug)]
enum Step {
    Commit(Plan),
    /// Folds up to this many heights below the tip, with changed rows.
    Fold(u64, BTreeMap<Vec<u8>, Option<Vec<u8>>>),
    /// Opens a view of one of the kept roots.
    View(Index),
    /// Ends the oldest open view.
    EndView,
    /// Prunes what lies more than this many heights below the tip.
    Prune(u64),
    /// Syncs and compacts, which drops what isn't needed any more.
    Compact,
    Reopen,
    Rotate,
}

fn tree_key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![(0u8..3).prop_map(|n| vec![0, n]), (0u8..2, 0u8..3).prop_map(|(a, n)| vec![1, a, n])]
}

fn step() -> impl Strategy<Value = Step> {
    let row = proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 1..20));
    prop_oneof![
        8 => plan().prop_map(Step::Commit),
        4 => (0u64..3, proptest::collection::btree_map(tree_key(), row, 0..5)).prop_map(|(lag, rows)| Step::Fold(lag, rows)),
        2 => any::<Index>().prop_map(Step::View),
        1 => Just(Step::EndView),
        3 => (0u64..6).prop_map(Step::Prune),
        2 => Just(Step::Compact),
        1 => Just(Step::Reopen),
        1 => Just(Step::Rotate),
    ]
}

fn keeping_few(folder: &Path) -> RocksStore {
    let config = StoreConfig { roots_kept: ROOTS_KEPT, ..small() };
    RocksStore::open(folder, &config, &at_rest(1, 5)).unwrap()
}

/// Writes all rows to files and compacts these, so that filters see every row.
pub(super) fn compact(store: &RocksStore) {
    store.disk.sync().unwrap();
    for table in Table::ALL {
        let family = store.disk.family(table).unwrap();
        store.disk.db.flush_cf(family).unwrap();
        store.disk.db.compact_range_cf(family, None::<&[u8]>, None::<&[u8]>);
    }
}

pub(super) fn prune_all(store: &dyn Store, below: Height) {
    while store.prune(below).unwrap().more {}
}

fn keys() -> Vec<StateKey> {
    (0..=KEYS).map(state_key).collect()
}

/// Walks over everything, in pages of these sizes.
fn pages(page: impl Fn(&Walk<'_>) -> WalkOutcome, leaves_max: usize, looks_max: usize) -> Vec<(StateKey, StoredValue)> {
    let mut from = Some(StateKey { account: AccountId([0; 32]), name: [0; 32] });
    let mut all = Vec::new();
    while let Some(key) = from {
        let walk = Walk {
            from: key,
            account: None,
            wanted: &|_| true,
            leaves_max,
            looks_max,
            bytes_max: usize::MAX,
            opened_bytes_max: usize::MAX,
        };
        let walked = page(&walk);
        assert!(walked.leaves.len() <= leaves_max && walked.next.is_none_or(|next| next > key));
        all.extend(walked.leaves);
        from = walked.next;
    }
    all
}

/// All answers of a view.
type Answers = (Vec<Option<Vec<u8>>>, Vec<Vec<TreeRow>>, Vec<Option<StoredValue>>, Vec<(StateKey, StoredValue)>);

fn answers(view: &dyn StateView) -> Answers {
    let rows: Vec<Vec<u8>> = [vec![0, 0], vec![0, 1], vec![0, 2], vec![1, 0, 0], vec![1, 1, 2], vec![2]].into();
    let children = [vec![], vec![0], vec![1], vec![1, 0], vec![1, 1], vec![7]];
    let children = children.iter().map(|prefix| view.tree_children(prefix).unwrap()).collect();
    let values = keys().iter().map(|key| view.value(key).unwrap()).collect();
    let walked = pages(|walk| view.walk(walk).unwrap(), 3, 5);
    (view.tree_rows(&rows).unwrap(), children, values, walked)
}

/// Compares the history of both stores. `more`: a view made the store keep more roots than the model does.
pub(super) fn assert_same_past(rocks: &dyn Store, model: &dyn Store, more: bool) {
    assert!(rocks.roots().starts_with(&model.roots()));
    if !more {
        assert_eq!((rocks.kept(), rocks.roots()), (model.kept(), model.roots()));
    }
    let tip = model.tip().map_or(0, |tip| tip.height.0);
    for height in (0..tip + 2).map(Height) {
        assert_eq!(rocks.values_at(height, &keys()), model.values_at(height, &keys()));
        let walk = Walk {
            from: state_key(0),
            account: Some(account(0)),
            wanted: &|name| name.len() % 2 == 1,
            leaves_max: 2,
            looks_max: 3,
            bytes_max: 50,
            opened_bytes_max: usize::MAX,
        };
        assert_eq!(rocks.walk_at(height, &walk), model.walk_at(height, &walk));
        // Another leaf at each height.
        let key = state_key((height.0 % u64::from(KEYS)) as u8);
        for limits in [VersionLimits { versions_max: 2, bytes_max: 500 }, ALL] {
            assert_eq!(rocks.versions(&key, height, limits), model.versions(&key, height, limits));
        }
        match (rocks.view_at(height), model.view_at(height)) {
            (Ok(found), Ok(right)) => {
                assert_eq!(answers(&*found), answers(&*right));
                assert_eq!(found.height(), height);
            }
            (Ok(_), Err(_)) if more => {}
            (found, right) if more => assert!(found.is_err() && right.is_err()),
            (found, right) => assert_eq!(found.err(), right.err()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn histories_agree_with_the_model(steps in proptest::collection::vec(step(), 1..40), two_from in 0u64..12) {
        let folder = TempDir::new().unwrap();
        let mut chain = Chain { two_from: two_from.saturating_sub(4), ..Chain::default() };
        let (mut rocks, model) = (keeping_few(folder.path()), MemStore::keeping(ROOTS_KEPT));
        let mut more = false;
        let mut views: Vec<(Arc<dyn StateView>, Answers)> = Vec::new();
        for step in steps {
            match step {
                Step::Commit(plan) => {
                    let commit = chain.next(&plan);
                    prop_assert_eq!(rocks.commit(&commit), model.commit(&commit));
                }
                Step::Fold(lag, changed) => {
                    if let Some(height) = chain.height.checked_sub(1 + lag).map(Height) {
                        let changed: Vec<TreeRow> = changed.into_iter().collect();
                        let folded = rocks.fold_tree(height, &changed);
                        prop_assert_eq!(&folded, &model.fold_tree(height, &changed));
                        more = folded.map_or(more, |()| !views.is_empty());
                    }
                }
                Step::View(index) => {
                    let roots = rocks.roots();
                    if !roots.is_empty() {
                        let view = rocks.view_at(*index.get(&roots)).unwrap();
                        let first = answers(&*view);
                        views.push((view, first));
                    }
                }
                Step::Prune(lag) => {
                    let below = Height(chain.height.saturating_sub(1 + lag));
                    // The model's views are copies, which keep no data of the store.
                    if views.is_empty() {
                        prune_all(&rocks, below);
                        prune_all(&model, below);
                    }
                }
                Step::Compact => compact(&rocks),
                Step::EndView => drop(views.drain(..views.len().min(1))),
                Step::Reopen => {
                    views.clear();
                    drop(rocks);
                    rocks = keeping_few(folder.path());
                    model.restart();
                }
                Step::Rotate => {
                    rocks.rotate().unwrap();
                    while rocks.rotate_step().unwrap().is_some() {}
                }
            }
            assert_same_past(&rocks, &model, more);
            assert_equal(&rocks, &model, &chain);
            for (view, first) in &views {
                prop_assert_eq!(&answers(&**view), first);
            }
        }
    }
}

const ALL: VersionLimits = VersionLimits { versions_max: usize::MAX, bytes_max: usize::MAX };

/// Heights of versions, and whether there is a value.
fn told(found: &[Version]) -> Vec<(u64, bool)> {
    found.iter().map(|version| (version.height.0, version.leaf.is_some())).collect()
}

#[test]
fn versions_are_those_of_kept_heights_and_the_one_before_them() {
    let folder = TempDir::new().unwrap();
    let (store, mut chain) = (open(folder.path()), Chain::default());
    for n in 0..10 {
        store.commit(&chain.empty(vec![(1, (n % 3 != 2).then(|| vec![n; 9]))])).unwrap();
    }
    let versions = |from, limits| store.versions(&state_key(1), Height(from), limits);
    let all = [(7, true), (6, true), (5, false), (4, true), (3, true), (2, false), (1, true), (0, true)];
    let found = versions(7, ALL).unwrap();
    assert_eq!((told(&found.found), found.more, found.oldest), (all.to_vec(), false, Height(0)));
    assert_eq!(found.found[0].leaf.as_ref().map(|leaf| leaf.value.clone()), Some(vec![7; 9]));
    let found = versions(7, VersionLimits { versions_max: 3, bytes_max: usize::MAX }).unwrap();
    assert_eq!((told(&found.found), found.more), (all[..3].to_vec(), true));
    let found = versions(4, VersionLimits { versions_max: 0, bytes_max: 0 }).unwrap();
    assert_eq!((told(&found.found), found.more), (vec![(4, true)], true), "one at least");
    prune_all(&store, Height(4));
    let kept = versions(9, ALL).unwrap();
    assert_eq!(
        (told(&kept.found), kept.more),
        (vec![(9, true), (8, false), (7, true), (6, true), (5, false), (4, true)], false)
    );
    assert_eq!(versions(3, ALL).err(), Some(StoreError::Pruned { height: Height(3), oldest: Height(4) }));
    prune_all(&store, Height(8));
    let kept = versions(9, ALL).unwrap();
    assert_eq!(
        (told(&kept.found), kept.more, kept.oldest),
        (vec![(9, true)], false, Height(8)),
        "a removal is forgotten"
    );
}

fn value_of(n: u64) -> Option<Vec<u8>> {
    Some(n.to_le_bytes().to_vec())
}

/// Commits heights that write, remove and write again, each with a root.
fn filled(store: &dyn Store, chain: &mut Chain, heights: u64) {
    for _ in 0..heights {
        let n = chain.height;
        let value = |key: u64| if (n + key).is_multiple_of(5) { None } else { value_of(n) };
        store.commit(&chain.empty((0..4).map(|key| (key as u8, value(key))).collect())).unwrap();
        store.fold_tree(Height(n), &[(vec![0, 1], value_of(n))]).unwrap();
    }
}

#[test]
fn a_view_delays_the_pruning_of_its_rows_until_it_is_closed() {
    let folder = TempDir::new().unwrap();
    let (store, mut chain) = (keeping_few(folder.path()), Chain::default());
    filled(&store, &mut chain, 10);
    assert_eq!(store.roots(), [9, 8, 7, 6].map(Height));
    let view = store.view_at(Height(7)).unwrap();
    let first = answers(&*view);
    filled(&store, &mut chain, 10);
    assert_eq!(store.prune(Height(18)).unwrap(), Pruning { oldest_height: Height(7), more: false });
    compact(&store);
    assert_eq!(answers(&*view), first);
    assert_eq!((store.roots().len(), store.kept().oldest_height), (13, Height(7)));
    drop(view);
    assert_eq!(store.prune(Height(18)).unwrap(), Pruning { oldest_height: Height(18), more: false });
    assert_eq!(store.roots(), [19, 18].map(Height));
}

#[test]
fn a_missing_version_is_an_error_that_names_the_kept_ones() {
    let folder = TempDir::new().unwrap();
    let (store, mut chain) = (keeping_few(folder.path()), Chain::default());
    let ahead = |height, tip| StoreError::Ahead { height: Height(height), tip };
    assert_eq!(store.values_at(Height(0), &[]), Err(ahead(0, None)));
    assert_eq!(store.view_at(Height(0)).err(), Some(StoreError::ProofPruned { height: Height(0), nearest: None }));
    filled(&store, &mut chain, 20);
    assert_eq!(store.values_at(Height(20), &[]), Err(ahead(20, Some(Height(19)))));
    prune_all(&store, Height(17));
    let pruned = StoreError::Pruned { height: Height(16), oldest: Height(17) };
    assert_eq!(store.block(Height(16)), Err(pruned.clone()));
    assert_eq!(store.bare_block(Height(16)), Err(pruned.clone()));
    assert_eq!(store.values_at(Height(16), &[]), Err(pruned.clone()));
    assert_eq!(store.put_finalization(Height(16), &finalization(BlockDigest::ZERO)), Err(pruned.clone()));
    assert!(pruned.to_string().contains("17"), "{pruned}");
    let gone = StoreError::ProofPruned { height: Height(3), nearest: Some(Height(17)) };
    assert_eq!(store.view_at(Height(3)).err(), Some(gone.clone()));
    assert!(gone.to_string().contains("17"), "{gone}");
    assert_eq!(store.links(Height(16), Height(17)).unwrap().len(), 2, "a receipt's proof begins one below");
}

#[test]
fn a_kill_within_a_sweep_shows_nothing_of_what_was_removed() {
    let folder = TempDir::new().unwrap();
    let (store, mut chain) = (open(folder.path()), Chain::default());
    let model = MemStore::new();
    // First more rows of one leaf than one write removes, then the leaf's removal.
    for n in 0..32 {
        let commit = chain.empty(vec![(1, (n < 31).then(|| vec![n; 9])), (2, Some(vec![n]))]);
        store.commit(&commit).unwrap();
        model.commit(&commit).unwrap();
    }
    let last = chain.empty(vec![]);
    store.commit(&last).unwrap();
    model.commit(&last).unwrap();
    // The progress of a sweep that is killed before its last write.
    let (floor, _) = store.disk.raise_floor(Height(32), Height(32));
    let mut batch = WriteBatch::default();
    store.put_floor(&mut batch, floor, Height(0)).unwrap();
    store.remove_leaf(&state_key(1), floor, &mut batch).unwrap();
    assert!(!batch.is_empty(), "something of the leaf is still to be removed");
    drop((batch, store));
    let reopened = open(folder.path());
    let rows = |store: &RocksStore| super::sealed::all_rows(store, Table::State).len();
    assert!(rows(&reopened) < 64 && rows(&reopened) > 33, "{}", rows(&reopened));
    compact(&reopened);
    prune_all(&model, Height(32));
    assert_eq!(reopened.values_at(Height(32), &keys()), model.values_at(Height(32), &keys()));
    prune_all(&reopened, Height(32));
    compact(&reopened);
    model.restart();
    assert_equal(&reopened, &model, &chain);
    assert_same_past(&reopened, &model, false);
    assert_eq!(rows(&reopened), 1, "one value, and of the removed leaf nothing");
}

#[test]
fn a_chain_whose_first_root_is_to_come_keeps_everything() {
    let folder = TempDir::new().unwrap();
    let (rocks, model, mut chain) = (open(folder.path()), MemStore::new(), Chain::default());
    for store in [&rocks as &dyn Store, &model] {
        let mut chain = Chain::default();
        for n in 0..5 {
            store.put_tree_writes(Height(n), &vec![]).unwrap();
            store.commit(&chain.empty(vec![(1, Some(vec![1]))])).unwrap();
        }
        assert_eq!(store.prune(Height(4)).unwrap().oldest_height, Height(0));
        store.fold_tree(Height(2), &[]).unwrap();
        assert_eq!(store.prune(Height(4)).unwrap().oldest_height, Height(2));
        assert!(store.tree_writes(Height(3)).unwrap().is_some());
    }
    (0..5).for_each(|_| drop(chain.empty(vec![(1, Some(vec![1]))])));
    assert_same_past(&rocks, &model, false);
}

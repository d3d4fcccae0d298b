//! The past: values at every kept height and the tree at every kept root, compared with the model, and views that last.

use super::*;
use crate::history::{HistoryStore, StateView, StoredValue, Walk, Walked};
use crate::tree::TreeRow;
use std::collections::BTreeMap;

const ROOTS_KEPT: usize = 4;

/// What happens between two heights.
#[derive(Clone, Debug)]
enum Step {
    Commit(BTreeMap<u8, Option<Vec<u8>>>),
    /// Folds up to so many heights below the tip, with changed rows.
    Fold(u64, BTreeMap<Vec<u8>, Option<Vec<u8>>>),
    /// Opens a view of one of the kept roots.
    View(Index),
    /// Ends the oldest open view.
    EndView,
    Reopen,
    Rotate,
}

fn tree_key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![(0u8..3).prop_map(|n| vec![0, n]), (0u8..2, 0u8..3).prop_map(|(a, n)| vec![1, a, n])]
}

fn step() -> impl Strategy<Value = Step> {
    let value = proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 0..40));
    let row = proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 1..20));
    prop_oneof![
        6 => proptest::collection::btree_map(0..KEYS, value, 0..5).prop_map(Step::Commit),
        4 => (0u64..3, proptest::collection::btree_map(tree_key(), row, 0..5)).prop_map(|(lag, rows)| Step::Fold(lag, rows)),
        2 => any::<Index>().prop_map(Step::View),
        1 => Just(Step::EndView),
        1 => Just(Step::Reopen),
        1 => Just(Step::Rotate),
    ]
}

fn keeping_few(folder: &Path) -> RocksStore {
    let config = StoreConfig { roots_kept: ROOTS_KEPT, ..small() };
    RocksStore::open(folder, &config, &at_rest(1, 5)).unwrap()
}

fn keys() -> Vec<StateKey> {
    (0..=KEYS).map(state_key).collect()
}

/// A walk over everything, in pages of these sizes.
fn pages(page: impl Fn(&Walk<'_>) -> Walked, leaves_max: usize, looks_max: usize) -> Vec<(StateKey, StoredValue)> {
    let mut from = Some(StateKey { account: AccountId([0; 32]), name: [0; 32] });
    let mut all = Vec::new();
    while let Some(key) = from {
        let walk = Walk { from: key, account: None, wanted: &|_| true, leaves_max, looks_max, bytes_max: usize::MAX };
        let walked = page(&walk);
        assert!(walked.leaves.len() <= leaves_max && walked.next.is_none_or(|next| next > key));
        all.extend(walked.leaves);
        from = walked.next;
    }
    all
}

/// All that a view answers.
type Answers = (Vec<Option<Vec<u8>>>, Vec<Vec<TreeRow>>, Vec<Option<StoredValue>>, Vec<(StateKey, StoredValue)>);

fn answers(view: &dyn StateView) -> Answers {
    let rows: Vec<Vec<u8>> = [vec![0, 0], vec![0, 1], vec![0, 2], vec![1, 0, 0], vec![1, 1, 2], vec![2]].into();
    let children = [vec![], vec![0], vec![1], vec![1, 0], vec![1, 1], vec![7]];
    let children = children.iter().map(|prefix| view.tree_children(prefix).unwrap()).collect();
    let values = keys().iter().map(|key| view.value(key).unwrap()).collect();
    let walked = pages(|walk| view.walk(walk).unwrap(), 3, 5);
    (view.tree_rows(&rows).unwrap(), children, values, walked)
}

/// `more`: a view had the store keep more roots than the model does.
fn assert_same_past(rocks: &dyn Store, model: &dyn Store, more: bool) {
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
        };
        assert_eq!(rocks.walk_at(height, &walk), model.walk_at(height, &walk));
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
    fn it_remembers_as_the_model_does(steps in proptest::collection::vec(step(), 1..40)) {
        let folder = TempDir::new().unwrap();
        let (mut rocks, model, mut chain) = (keeping_few(folder.path()), MemStore::keeping(ROOTS_KEPT), Chain::default());
        let mut more = false;
        let mut views: Vec<(Arc<dyn StateView>, Answers)> = Vec::new();
        for step in steps {
            match step {
                Step::Commit(writes) => {
                    let commit = chain.empty(writes.into_iter().collect());
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
                Step::EndView => drop(views.drain(..views.len().min(1))),
                Step::Reopen => {
                    views.clear();
                    drop(rocks);
                    rocks = keeping_few(folder.path());
                }
                Step::Rotate => {
                    rocks.rotate().unwrap();
                    while rocks.rotate_step().unwrap().is_some() {}
                }
            }
            assert_same_past(&rocks, &model, more);
            for (view, first) in &views {
                prop_assert_eq!(&answers(&**view), first);
            }
        }
    }
}

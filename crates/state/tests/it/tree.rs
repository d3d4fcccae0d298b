//! The tree, compared with a model: any history gives the root and the rows of a fresh build.

use crate::model::{Leaves, change, inner_nodes, parting_key, random_key, root, state_key, tables};
use proptest::prelude::*;
use rustorium_state::path::{Prefix, SlotId};
use rustorium_state::slot::{Child, Commitment, Leaf, Slot};
use rustorium_state::tree::{
    KeyChange, KvRead, Layer, LayeredKv, MemKv, ReadError, TreeDiff, TreeError, subtree, update,
};
use rustorium_state::workers::{Serial, Workers};
use rustorium_types::Hash;
use std::collections::{BTreeMap, BTreeSet};

/// One period: the change of each key.
type Period = BTreeMap<[u8; 64], Option<u8>>;

fn diff(period: &Period) -> Vec<KeyChange> {
    period.iter().map(|(key, value)| change(*key, *value)).collect()
}

fn fresh(leaves: &Leaves) -> MemKv {
    let diff: Vec<KeyChange> = leaves.iter().map(|(key, value)| (state_key(*key), Some(Hash(*value)))).collect();
    let mut tree = MemKv::default();
    tree.apply(update(tables(), &tree, &diff, &Serial).unwrap());
    tree
}

fn apply(leaves: &mut Leaves, period: &Period) {
    for (key, value) in period {
        match value {
            Some(value) => leaves.insert(*key, [*value; 32]),
            None => leaves.remove(key),
        };
    }
}

fn each_row_once(diff: &TreeDiff) -> bool {
    let ids: BTreeSet<_> = diff.rows.iter().map(|(id, _)| *id).collect();
    ids.len() == diff.rows.len()
}

/// Checks after every period: the model's root, the rows of a fresh build, and the same through layers over the first
/// tree.
fn check(periods: &[Period]) {
    let mut leaves = Leaves::new();
    let mut tree = MemKv::default();
    let mut layers: Vec<Layer> = Vec::new();
    let base = MemKv::default();
    for period in periods {
        let change = update(tables(), &tree, &diff(period), &Serial).unwrap();
        let layered = LayeredKv { base: &base, layers: &layers };
        assert_eq!(update(tables(), &layered, &diff(period), &Serial).unwrap(), change);
        assert!(each_row_once(&change));
        apply(&mut leaves, period);
        assert_eq!(change.root(), root(&leaves));
        layers.push(Layer::from(&change));
        tree.apply(change);
        let again = fresh(&leaves);
        assert_eq!(tree.rows(), again.rows());
        assert_eq!(tree.top(), again.top());
        assert_eq!(tree.nodes(), if leaves.is_empty() { 0 } else { inner_nodes(&leaves) });
    }
}

/// Keys of a few different bytes that diverge anywhere, from the first byte to the last.
fn any_key() -> impl Strategy<Value = [u8; 64]> {
    prop_oneof![
        3 => (prop_oneof![0_usize..4, 30_usize..34, 60_usize..64], 0_u8..3).prop_map(|(at, byte)| parting_key(at, byte)),
        2 => (0_usize..64, 0_usize..64, 0_u8..3).prop_map(|(a, b, byte)| {
            let mut key = parting_key(a, 1);
            key[b] = byte;
            key
        }),
        1 => (0_u64..40).prop_map(random_key),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn any_history_gives_the_root_of_a_fresh_build(
        periods in proptest::collection::vec(
            proptest::collection::btree_map(any_key(), proptest::option::weighted(0.6, 0_u8..3), 0..14),
            1..7,
        ),
    ) {
        check(&periods);
    }

    #[test]
    fn a_subtree_has_the_slot_that_the_whole_tree_gives_it(keys in proptest::collection::btree_set(any_key(), 1..20)) {
        let leaves: Leaves = keys.into_iter().map(|key| (key, [7; 32])).collect();
        let tree = fresh(&leaves);
        let mut parts = tree.rows();
        for (index, slot) in tree.node(&Prefix::EMPTY).unwrap() {
            let inside: Vec<Leaf> = leaves
                .iter()
                .filter(|(key, _)| key[0] == index)
                .map(|(key, value)| Leaf { key: state_key(*key), value: Hash(*value) })
                .collect();
            let part = subtree(tables(), &inside, &Serial).unwrap().unwrap();
            prop_assert_eq!(part.slot, slot);
            for (id, slot) in part.rows {
                prop_assert_eq!(parts.remove(&id), slot);
            }
        }
        prop_assert!(parts.keys().all(|id| id.node.length() == 0));
    }
}

#[test]
fn the_empty_tree_has_the_root_of_zeros() {
    let diff = update(tables(), &MemKv::default(), &[], &Serial).unwrap();
    assert_eq!(diff.root(), [0; 32]);
    assert_eq!(diff.top, Child::EMPTY_TOP);
    assert_eq!(subtree(tables(), &[], &Serial), Ok(None));
    let nothing = update(tables(), &MemKv::default(), &[change([1; 64], None)], &Serial).unwrap();
    assert_eq!(nothing, diff);
}

#[test]
fn a_tree_that_was_emptied_is_the_empty_tree() {
    let keys: Vec<[u8; 64]> = (0..300).map(random_key).chain((0..64).map(|at| parting_key(at, 9))).collect();
    let fill: Period = keys.iter().map(|key| (*key, Some(1))).collect();
    let empty: Period = keys.iter().map(|key| (*key, None)).collect();
    let mut tree = MemKv::default();
    tree.apply(update(tables(), &tree, &diff(&fill), &Serial).unwrap());
    let diff = update(tables(), &tree, &diff(&empty), &Serial).unwrap();
    assert_eq!(diff.root(), [0; 32]);
    tree.apply(diff);
    assert_eq!(tree.rows().len(), 0);
    assert_eq!(tree.top().unwrap().filled, 0);
    assert_eq!(tree.top().unwrap().commitment, Commitment::NEUTRAL);
}

#[test]
fn keys_that_share_63_bytes_cost_one_node() {
    let period: Period = (0..=255).map(|last| (parting_key(63, last), Some(last))).collect();
    check(std::slice::from_ref(&period));
    let diff = update(tables(), &MemKv::default(), &diff(&period), &Serial).unwrap();
    assert_eq!(diff.rows.len(), 257);
    let nodes: BTreeSet<_> = diff.rows.iter().map(|(id, _)| id.node).collect();
    assert_eq!(nodes.iter().map(|node| node.length()).collect::<Vec<_>>(), [0, 63]);
}

#[test]
fn keys_with_all_prefix_lengths_can_be_removed_one_by_one() {
    let up: Period = (0..64).map(|at| (parting_key(at, 1), Some(1))).chain([([0; 64], Some(1))]).collect();
    let down =
        |keep: usize| -> Period { (0..64).filter(|at| at % 8 != keep).map(|at| (parting_key(at, 1), None)).collect() };
    check(&[up.clone(), down(3), up.clone(), down(0), down(9), up]);
}

#[test]
fn an_unsorted_diff_is_refused() {
    let (low, high) = (change([1; 64], Some(1)), change([2; 64], None));
    for wrong in [vec![high, low], vec![low, low]] {
        assert_eq!(update(tables(), &MemKv::default(), &wrong, &Serial), Err(TreeError::Unsorted));
    }
}

/// Returns a tree of two keys below one inner node, with some rows changed.
fn damaged(damage: impl Fn(&mut Slot)) -> MemKv {
    let fill: Period = [[1; 64], {
        let mut key = [1; 64];
        key[40] = 7;
        key
    }]
    .map(|key| (key, Some(1)))
    .into();
    let mut tree = MemKv::default();
    let mut built = update(tables(), &tree, &diff(&fill), &Serial).unwrap();
    built.rows.iter_mut().filter_map(|(_, slot)| slot.as_mut()).for_each(damage);
    tree.apply(built);
    tree
}

#[test]
fn rows_that_contradict_each_other_are_an_error() {
    let delete = |tree: &MemKv| update(tables(), tree, &[change([1; 64], None)], &Serial);
    assert!(delete(&damaged(|_| ())).is_ok());
    let miscounted = damaged(|slot| {
        if let Slot::Child(child) = slot {
            child.filled = 0;
        }
    });
    assert!(matches!(delete(&miscounted), Err(TreeError::Inconsistent(_))));
    for at in [0, 39] {
        let misplaced = damaged(|slot| {
            if let Slot::Leaf(leaf) = slot {
                let mut key = leaf.key.to_bytes();
                key[at] = 2;
                leaf.key = state_key(key);
            }
        });
        assert!(matches!(delete(&misplaced), Err(TreeError::Inconsistent(_))));
    }
}

/// A store whose disk fails.
struct Failing;

impl KvRead for Failing {
    fn top(&self) -> Result<Child, ReadError> {
        Ok(Child::EMPTY_TOP)
    }

    fn slots(&self, _: &[SlotId]) -> Result<Vec<Option<Slot>>, ReadError> {
        Err(ReadError("the disk failed".into()))
    }

    fn node(&self, _: &Prefix) -> Result<Vec<(u8, Slot)>, ReadError> {
        Err(ReadError("the disk failed".into()))
    }
}

#[test]
fn a_store_that_fails_is_an_error() {
    let error = update(tables(), &Failing, &[change([1; 64], Some(1))], &Serial).unwrap_err();
    assert_eq!(error.to_string(), "the state tree can't be read: the disk failed");
}

/// Divides work as a pool of several threads does, and does the last piece first.
struct Backwards;

impl Workers for Backwards {
    fn count(&self) -> usize {
        5
    }

    fn map<I: Send, O: Send>(&self, inputs: Vec<I>, work: impl Fn(I) -> O + Send + Sync) -> Vec<O> {
        let mut results: Vec<O> = inputs.into_iter().rev().map(work).collect();
        results.reverse();
        results
    }
}

#[test]
fn neither_root_nor_rows_depend_on_the_workers() {
    let first: Period = (0..6_000).map(|i| (random_key(i), Some(1))).collect();
    let second: Period = (0..3_000).map(|i| (random_key(i * 3), if i % 4 == 0 { None } else { Some(2) })).collect();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let mut tree = MemKv::default();
    for period in [first, second] {
        let period = diff(&period);
        let alone = update(tables(), &tree, &period, &Serial).unwrap();
        assert_eq!(update(tables(), &tree, &period, &pool).unwrap().rows, alone.rows);
        assert_eq!(update(tables(), &tree, &period, &Backwards).unwrap(), alone);
        tree.apply(alone);
    }
}

/// Roots of every version of the protocol so far: a change here is a change of the protocol.
#[test]
fn roots_are_those_of_the_protocol() {
    let one: Leaves = [([1; 64], [2; 32])].into();
    let shared: Leaves = (0..64).map(|at| (parting_key(at, 7), [at as u8; 32])).collect();
    let many: Leaves = (0..1000).map(|i| (random_key(i), [i as u8; 32])).collect();
    let roots = [one, shared, many].map(|leaves| {
        let built = fresh(&leaves).top().unwrap().commitment.encode();
        assert_eq!(built, root(&leaves));
        hex::encode(built)
    });
    let want = [
        "73a16500d47956be50ed9de0e984b457ee7aae7b882fb751e20f66a70663c2e6",
        "3f6781fbaed3998e587e89d1d63cdc7b843289f369f71edb5ba74c06a94e36fb",
        "448b4e35c50a5edaa40b4518b99330752d5b868b06be5e66cf5c8e46cc93a827",
    ];
    assert_eq!(roots, want);
}

//! Copies of a store in use, and stores that are rolled back to an older height. They answer as a store that never went
//! further.

use super::history::{assert_same_past, compact, prune_all};
use super::*;
use crate::epochs::EpochStore;
use crate::history::HistoryStore;
use crate::tree::TreeWrites;
use std::collections::BTreeMap;

/// A fold: its distance below the tip, and the changed rows.
type Fold = (u64, BTreeMap<Vec<u8>, Option<Vec<u8>>>);

fn fold() -> impl Strategy<Value = Fold> {
    let key = (0u8..2, 0u8..3).prop_map(|(length, n)| [vec![length], vec![7; usize::from(length)], vec![n]].concat());
    let row = proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 1..20));
    (0u64..3, proptest::collection::btree_map(key, row, 0..5))
}

fn writes_of(commit: &HeightCommit) -> TreeWrites {
    commit.diff.iter().map(|write| (write.key, write.value.as_deref().map(crypto::value_hash))).collect()
}

/// Stores a height as the executor does.
fn execute(store: &dyn Store, commit: &HeightCommit) {
    store.put_tree_writes(commit.block.header.height, &writes_of(commit)).unwrap();
    store.commit(commit).unwrap();
}

fn same(store: &RocksStore, model: &MemStore, chain: &Chain) {
    assert_equal(store, model, chain);
    assert_same_past(store, model, false);
    for height in (0..chain.height).map(Height) {
        assert_eq!(store.tree_writes(height), model.tree_writes(height), "{height}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_rolled_back_store_answers_as_at_that_height(
        steps in proptest::collection::vec((plan(), proptest::option::weighted(0.6, fold())), 1..14),
        to: Index,
        pruned in 0u64..4,
        compacted: bool,
        two_from in 0u64..14,
    ) {
        let folder = TempDir::new().unwrap();
        let mut chain = Chain { two_from: two_from.saturating_sub(4), ..Chain::default() };
        let (store, model) = (open(folder.path()), MemStore::new());
        let to = Height(to.index(steps.len()) as u64);
        let commits: Vec<HeightCommit> = steps.iter().map(|(plan, _)| {
            let mut commit = chain.next(plan);
            commit.diff.sort_by_key(|write| write.key);
            commit.link.diff = Hash([u8::from(!commit.diff.is_empty()); 32]);
            commit
        }).collect();
        let mut folded = None;
        for (commit, (_, fold)) in commits.iter().zip(&steps) {
            let height = commit.block.header.height;
            execute(&store, commit);
            if height <= to {
                execute(&model, commit);
            }
            let Some((lag, rows)) = fold else { continue };
            let Some(root) = height.0.checked_sub(*lag).map(Height).filter(|root| Some(*root) > folded) else { continue };
            let rows: Vec<_> = rows.clone().into_iter().collect();
            store.fold_tree(root, &rows).unwrap();
            folded = Some(root);
            if root <= to {
                // The fold may follow heights that the model never has.
                model.fold_tree(root, &rows).unwrap();
            }
        }
        let base = model.roots().first().copied();
        if base.is_none() && folded.is_some() {
            let refused = matches!(store.roll_back(to), Err(StoreError::ProofPruned { .. }));
            prop_assert!(refused);
            return Ok(());
        }
        // A store doesn't know which of its pruned heights had a payload. In that case it names the oldest height that
        // it keeps.
        let payload = model.tip().map_or(Height(0), |tip| tip.payload_height);
        let below = Height(base.unwrap_or_default().0.saturating_sub(pruned)).min(payload);
        prune_all(&store, below);
        prune_all(&model, below);
        if compacted {
            compact(&store);
        }
        store.roll_back(to).unwrap();
        if to < commits.last().unwrap().block.header.height {
            // At the tip there is nothing to roll back, so the store keeps what it has in memory.
            model.restart();
        }
        same(&store, &model, &chain);
        drop(store);
        let store = open(folder.path());
        model.restart();
        same(&store, &model, &chain);
        prop_assert_eq!(store.roll_back(to), Ok(()));
        // The rolled-back store continues.
        for commit in &commits[to.0 as usize + 1..] {
            execute(&store, commit);
            execute(&model, commit);
        }
        same(&store, &model, &chain);
    }
}

#[test]
fn a_height_that_never_was_or_is_pruned_is_an_error() {
    let folder = TempDir::new().unwrap();
    let (store, mut chain) = (open(folder.path()), Chain::default());
    let ahead = |height, tip| Err(StoreError::Ahead { height: Height(height), tip });
    assert_eq!(store.roll_back(Height(0)), ahead(0, None));
    for _ in 0..9 {
        execute(&store, &chain.empty(vec![(1, Some(vec![1]))]));
    }
    store.fold_tree(Height(4), &[]).unwrap();
    store.fold_tree(Height(6), &[]).unwrap();
    assert_eq!(store.roll_back(Height(9)), ahead(9, Some(Height(8))));
    let no_root = StoreError::ProofPruned { height: Height(3), nearest: Some(Height(4)) };
    assert_eq!(store.roll_back(Height(3)), Err(no_root));
    prune_all(&store, Height(6));
    let pruned = StoreError::Pruned { height: Height(5), oldest: Height(6) };
    assert_eq!(store.roll_back(Height(5)), Err(pruned));
    assert_eq!(store.tip().unwrap().height, Height(8), "nothing has changed");
}

#[test]
fn epochs_and_committees_above_the_height_go() {
    let folder = TempDir::new().unwrap();
    let (store, mut chain) = (open(folder.path()), Chain::default());
    let end = |epoch: u64, height: u64, chain: &Chain| EpochChange {
        boundary: Header { version: 1, epoch: Epoch(epoch), height: Height(height), ..chain.header(0) },
        proof: BlockProof {
            descendants: BoundedVec::default(),
            finalization: finalization(BlockDigest::ZERO).into_inner(),
        },
        next: ValidatorSet::default(),
    };
    for height in 0..8 {
        if height % 3 == 2 {
            store.put_epoch(&end(height / 3, height, &chain).into()).unwrap();
            store.put_committee_record(Height(height), &[height as u8]).unwrap();
        }
        execute(&store, &chain.empty(vec![(1, Some(vec![1]))]));
    }
    store.roll_back(Height(4)).unwrap();
    assert!(store.epoch(Epoch(0)).unwrap().is_some());
    assert_eq!(store.epoch(Epoch(1)).unwrap(), None);
    assert_eq!(store.committee_record(Height(7)).unwrap(), Some(vec![2]));
}

#[test]
fn a_copy_of_a_store_in_use_has_whole_heights_and_opens_by_itself() {
    let folder = TempDir::new().unwrap();
    let (store, mut chain) = (open(&folder.path().join("db")), Chain::default());
    let commits: Vec<_> = (0..400u16).map(|n| chain.empty(vec![((n % 12) as u8, Some(vec![n as u8; 300]))])).collect();
    let copies = std::thread::scope(|scope| {
        let writing = scope.spawn(|| commits.iter().for_each(|commit| execute(&store, commit)));
        let mut copies = Vec::new();
        while !writing.is_finished() || copies.len() < 2 {
            let to = folder.path().join(format!("copy-{}", copies.len()));
            store.checkpoint(&to).unwrap();
            copies.push(to);
        }
        writing.join().unwrap();
        copies
    });
    for path in copies {
        let names = || {
            let mut names: Vec<_> =
                fs::read_dir(&path).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
            names.retain(|name| !name.starts_with("LOG") && name != "LOCK");
            names.sort();
            names
        };
        let before: Vec<_> = names().iter().map(|name| fs::read(path.join(name)).unwrap()).collect();
        let copy = RocksStore::open_to_read(&path, &small(), &at_rest(1, 5)).unwrap();
        let Some(tip) = copy.tip() else { continue };
        let height = tip.height.0 as usize;
        assert_eq!(copy.block(tip.height).unwrap().unwrap().block, commits[height].block);
        let write = &commits[height].diff[0];
        assert_eq!(copy.state(&write.key).unwrap(), write.value);
        drop(copy);
        let after: Vec<_> =
            names().iter().filter(|n| *n != "manifest-length").map(|n| fs::read(path.join(n)).unwrap()).collect();
        assert_eq!(after, before, "reading changes nothing");
        assert!(matches!(store.checkpoint(&path), Err(StoreError::Io { .. })), "a folder is never written over");
    }
}

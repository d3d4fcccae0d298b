//! A store that differs from what the chain certified isn't restored, whoever sealed it.

use crate::world::{World, genesis};
use rustorium_backup::BackupError;
use rustorium_crypto::block_digest;
use rustorium_execution::genesis as genesis_state;
use rustorium_storage::{HeightCommit, Store};
use rustorium_types::{Block, BoundedVec, Genesis, ResultLink, ShardId};

/// Returns a store whose first height is the genesis', except for the changes of `change`.
fn changed(change: impl FnOnce(&mut HeightCommit)) -> World {
    let genesis: Genesis = genesis();
    let world = World::of(&genesis, |_| {});
    std::fs::remove_dir_all(world.home().join("db")).unwrap();
    let state = genesis_state(&genesis, ShardId::ROOT);
    let mut commit = HeightCommit {
        digest: state.digest,
        block: Block { header: state.header, inline: BoundedVec::default() },
        inline_ids: Vec::new(),
        batches: Vec::new(),
        receipts: Vec::new(),
        diff: state.diff,
        link: ResultLink::default(),
        result_root: state.result_root,
        finalization: None,
    };
    change(&mut commit);
    let config = rustorium_storage::StoreConfig::default();
    let store = rustorium_storage::RocksStore::open(&world.home().join("db"), &config, &world.at_rest).unwrap();
    store.commit(&commit).unwrap();
    drop(store);
    world
}

fn refused(world: &World, what: &str) {
    world.create().unwrap();
    let home = world.root.path().join("restored");
    match world.restore_to(&home, None) {
        Err(BackupError::Unproven(found)) => assert!(found.contains(what), "{found}"),
        other => panic!("{what}: {other:?}"),
    }
    assert!(!home.exists());
}

#[test]
fn the_same_made_by_hand_is_restored() {
    let world = changed(|_| {});
    world.create().unwrap();
    world.restore_to(&world.root.path().join("restored"), None).unwrap();
}

#[test]
fn a_value_that_is_another_one_is_refused() {
    refused(&changed(|commit| commit.diff[0].value = Some(vec![1; 40])), "is not the genesis'");
}

#[test]
fn a_value_that_is_missing_is_refused() {
    refused(&changed(|commit| drop(commit.diff.pop())), "lacks some");
}

#[test]
fn a_value_too_many_is_refused() {
    let more = |commit: &mut HeightCommit| {
        let mut more = commit.diff[0].clone();
        more.key.name = [0; 32];
        commit.diff.insert(0, more);
    };
    refused(&changed(more), "is not the genesis'");
}

#[test]
fn another_result_is_refused() {
    refused(&changed(|commit| commit.result_root.0[0] ^= 1), "result");
}

#[test]
fn a_block_that_is_another_one_is_refused() {
    let other = |commit: &mut HeightCommit| {
        commit.block.header.time_ms += 1;
        commit.digest = block_digest(&commit.block.header);
    };
    let world = changed(other);
    // The manifest is made from that header, and has no certificate.
    let made = world.create();
    assert!(made.is_ok());
    let verified = world.backups().verify().unwrap();
    assert_eq!(verified.damaged.len(), 1);
    assert!(verified.damaged[0].what.contains("no certificate"), "{:?}", verified.damaged);
    let home = world.root.path().join("restored");
    assert!(matches!(world.restore_to(&home, None), Err(BackupError::Unproven(_))));
}

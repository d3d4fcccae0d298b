//! Backups of a home with several shards.

use crate::world::{World, genesis_of_two};
use rustorium_backup::BackupError;
use rustorium_storage::{RocksStore, Store, StoreConfig, retired};
use rustorium_types::{Height, ShardId};

const OTHER: ShardId = ShardId(1);

fn world() -> World {
    World::of(&genesis_of_two(), |_| {})
}

#[test]
fn each_shard_is_restored() {
    let world = world();
    let made = world.create().unwrap();
    let shards = |rows: &[rustorium_backup::ShardHeights]| rows.iter().map(|row| row.shard).collect::<Vec<_>>();
    assert_eq!(shards(&made.shards), [OTHER]);
    assert_eq!(shards(&world.backups().list().unwrap()[0].shards), [OTHER]);
    assert_eq!(world.backups().verify().unwrap().damaged, []);
    let home = world.root.path().join("restored");
    let restored = world.restore_to(&home, None).unwrap();
    assert_eq!(restored.shards.iter().map(|row| (row.shard, row.height)).collect::<Vec<_>>(), [(OTHER, Height(0))]);
    let store = RocksStore::open(&home.join("shards/1/db"), &StoreConfig::default(), &world.at_rest).unwrap();
    assert_eq!(store.tip(), world.store_of(OTHER).tip());
    assert!(!home.join("shards/1/safety").exists(), "the key is retired");
    assert!(!home.join("shards/1/epochs").exists());
}

#[test]
fn a_follower_gets_an_empty_journal_in_each_shard() {
    let world = world().without_validator();
    world.create().unwrap();
    let home = world.root.path().join("restored");
    assert!(!world.restore_to(&home, None).unwrap().key_retired);
    assert_eq!(retired::read(&home.join("safety")).unwrap(), None);
    for safety in ["safety", "shards/1/safety"] {
        assert!(home.join(safety).join("segment-00000001.log").exists(), "{safety}");
    }
}

#[test]
fn a_height_of_several_shards_is_refused() {
    let world = world();
    world.create().unwrap();
    let home = world.root.path().join("restored");
    let refused = world.backups().fetch(&home, Some(Height(0)), None).err();
    assert!(matches!(refused, Some(BackupError::HeightOfShards(_))), "{refused:?}");
}

#[test]
fn the_store_of_one_shard_is_not_restored_as_another() {
    let world = world();
    let mut source = world.source();
    let (root, other) = (source.stores[&ShardId::ROOT].clone(), source.stores[&OTHER].clone());
    source.stores.extend([(ShardId::ROOT, other), (OTHER, root)]);
    world.backups().create(&source, &world.at_rest).unwrap();
    let damaged = world.backups().verify().unwrap().damaged;
    assert!(damaged.len() == 1 && damaged[0].what.contains("certificate"), "{damaged:?}");
    let home = world.root.path().join("restored");
    assert!(matches!(world.restore_to(&home, None), Err(BackupError::Unproven(_))));
    assert!(!home.exists());
}

#[test]
fn a_shard_that_the_genesis_does_not_have_is_refused() {
    let world = World::new();
    let mut source = world.source();
    source.stores.insert(ShardId(7), world.source().stores[&ShardId::ROOT].clone());
    world.backups().create(&source, &world.at_rest).unwrap();
    let home = world.root.path().join("restored");
    match world.restore_to(&home, None) {
        Err(BackupError::Unproven(why)) => assert_eq!(why, "in shard 7: its genesis has no shard 7"),
        other => panic!("{other:?}"),
    }
}

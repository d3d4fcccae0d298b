//! A backup is made, listed, checked, restored and removed.

use crate::world::{NEVER, World, files};
use rustorium_backup::{BackupError, Progress, Work};
use rustorium_crypto::seal::{BackupKey, ObjectRefused};
use rustorium_storage::{RocksStore, Store, StoreConfig, retired};
use rustorium_types::Height;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;

const MIB: usize = 1 << 20;

/// Bytes that differ everywhere, so that no two pieces are the same.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let word =
        |n: u64| (n + seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (0..bytes as u64 / 8).flat_map(|n| word(n).to_le_bytes()).collect()
}

#[test]
fn a_home_is_restored_without_its_journal_and_with_its_key_retired() {
    let world = World::new();
    let made = world.create().unwrap();
    assert_eq!((made.height, made.from_height), (Height(0), Height(0)));
    let rows = world.backups().list().unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].id, rows[0].state.as_str(), rows[0].bytes), (made.id, "good", made.bytes));
    let verified = world.backups().verify().unwrap();
    assert_eq!((verified.backups, verified.damaged.len(), verified.unneeded), (1, 0, 0));

    let home = world.root.path().join("restored");
    let restored = world.restore_to(&home, None).unwrap();
    assert!(restored.key_retired);
    assert_eq!((restored.id, restored.height), (made.id, Height(0)));
    for name in ["config.toml", "genesis.json", "node.key", "validator.key", "storage.key", "audit/audit.jsonl"] {
        assert_eq!(fs::read(home.join(name)).unwrap(), fs::read(world.home().join(name)).unwrap(), "{name}");
        assert_eq!(fs::metadata(home.join(name)).unwrap().permissions().mode() & 0o777, 0o600);
    }
    for name in NEVER {
        assert!(!home.join(name).exists(), "{name} is in no backup");
    }
    let reason = retired::read(&home.join("safety")).unwrap().unwrap();
    assert!(reason.contains("signs nothing more") && reason.contains("replace-key"), "{reason}");
    assert_eq!(fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
    assert!(!world.root.path().join("restored.restoring").exists());
    let store = RocksStore::open(&home.join("db"), &StoreConfig::default(), &world.at_rest).unwrap();
    assert_eq!(store.tip(), world.store().tip());
}

#[test]
fn a_follower_gets_an_empty_journal_and_no_mark() {
    let world = World::new().without_validator();
    world.create().unwrap();
    let home = world.root.path().join("restored");
    assert!(!world.restore_to(&home, None).unwrap().key_retired);
    assert_eq!(retired::read(&home.join("safety")).unwrap(), None);
    assert!(
        fs::read_dir(home.join("safety")).unwrap().any(|e| e
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .starts_with("segment-"))
    );
}

#[test]
fn nothing_at_the_destination_can_be_read() {
    let world = World::new();
    world.create().unwrap();
    for (name, bytes) in world.objects() {
        for known in ["contents of", "validator", "backups", "config.toml", "one", "genesis", "CURRENT", "MANIFEST"] {
            let found = bytes.windows(known.len()).any(|window| window == known.as_bytes());
            // Three letters may occur by chance.
            assert!(!found || known.len() <= 3, "{known} in {name}");
        }
        let plain = name.starts_with("pieces/") || name.starts_with("manifests/") || name == "head";
        assert!(plain && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '/'), "{name}");
    }
}

#[test]
fn only_new_pieces_are_uploaded() {
    let world = World::new();
    let mut config = noise(1, 9 * MIB);
    fs::write(world.home().join("config.toml"), &config).unwrap();
    let first = world.create().unwrap();
    assert!(first.new_bytes as usize > 9 * MIB && first.new_bytes == first.bytes);
    let again = world.create().unwrap();
    assert!((again.new_bytes as usize) < MIB / 4, "{again:?}");
    config.extend(noise(2, MIB));
    fs::write(world.home().join("config.toml"), &config).unwrap();
    let grown = world.create().unwrap();
    let expected = (2 * MIB, 2 * MIB + MIB / 4);
    assert!((expected.0..expected.1).contains(&(grown.new_bytes as usize)), "its last piece alone: {grown:?}");
    assert_eq!(world.backups().verify().unwrap().damaged, []);
    // Each backup restores its own content.
    for (at, id, bytes) in [(0, first.id, 9), (1, grown.id, 10)] {
        let home = world.root.path().join(format!("restored-{at}"));
        world.restore_to(&home, Some(id)).unwrap();
        assert_eq!(fs::read(home.join("config.toml")).unwrap(), &config[..bytes * MIB]);
    }
}

#[test]
fn old_backups_are_removed_with_the_pieces_that_only_they_need() {
    let world = World::new();
    let mut ids = Vec::new();
    for seed in 0..4 {
        fs::write(world.home().join("config.toml"), noise(seed, 5 * MIB)).unwrap();
        ids.push(world.create().unwrap().id);
    }
    let before = world.objects().len();
    let gone = world.backups().retain(2).unwrap();
    assert_eq!((gone.kept, &gone.removed[..]), (2, &ids[..2]));
    assert!(gone.removed_pieces >= 4 && gone.removed_bytes > 10 * MIB as u64, "{gone:?}");
    assert_eq!(world.objects().len() as u64, before as u64 - gone.removed_pieces - 2);
    let verified = world.backups().verify().unwrap();
    assert_eq!((verified.backups, verified.unneeded, verified.damaged.len()), (2, 0, 0));
    assert_eq!(world.backups().retain(2).unwrap().removed, []);
    // A removal that was interrupted after the manifests is continued.
    let pieces: Vec<_> = world.objects().into_iter().filter(|(name, _)| name.starts_with("pieces/")).collect();
    world.backups().retain(1).unwrap();
    for (name, bytes) in &pieces {
        fs::write(world.destination().join(name), bytes).unwrap();
    }
    let verified = world.backups().verify().unwrap();
    assert!(verified.unneeded > 0 && verified.damaged.is_empty(), "{verified:?}");
    assert!(world.backups().retain(1).unwrap().removed_pieces > 0);
    assert_eq!(world.backups().verify().unwrap().unneeded, 0);
    assert!(world.backups().retain(0).unwrap().kept == 1, "one always stays");
}

#[test]
fn an_upload_that_was_cut_anywhere_is_no_backup_and_is_gone_on_with() {
    let world = World::new();
    fs::write(world.home().join("config.toml"), noise(3, 9 * MIB)).unwrap();
    world.create().unwrap();
    let objects = world.objects();
    let pieces: Vec<_> = objects.iter().filter(|(name, _)| name.starts_with("pieces/")).collect();
    for cut in 0..=pieces.len() {
        fs::remove_dir_all(world.destination()).unwrap();
        for (name, bytes) in &pieces[..cut] {
            let path = world.destination().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
        // Files that were being written when the backup was interrupted.
        if let Some((name, bytes)) = pieces.get(cut) {
            let path = world.destination().join(format!("{name}#1"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
        }
        fs::create_dir_all(world.destination()).unwrap();
        assert!(matches!(world.backups().list(), Err(BackupError::Empty(_))), "{cut}");
        assert!(matches!(world.backups().verify(), Err(BackupError::Empty(_))), "{cut}");
        let made = world.create().unwrap();
        // The copy of the store has another RocksDB manifest; the rest is the same.
        assert!(made.new_pieces <= (pieces.len() - cut) as u64 + 4, "{cut}: {made:?}");
        assert_eq!(world.backups().verify().unwrap().damaged, [], "{cut}");
        assert!(world.objects().keys().all(|name| !name.contains('#')), "{cut}");
    }
}

#[test]
fn work_that_is_stopped_leaves_no_backup_and_no_home() {
    let world = World::new();
    let work = Arc::<Work>::default();
    work.stop();
    let stopped = world.keyed(5, &work).unwrap();
    assert!(matches!(stopped.create(&world.source(), &world.at_rest), Err(BackupError::Stopped)));
    assert!(matches!(world.backups().list(), Err(BackupError::Empty(_))));
    world.create().unwrap();
    let home = world.root.path().join("restored");
    assert!(matches!(stopped.fetch(&home, None, None), Err(BackupError::Stopped)));
    assert!(!home.exists());
    assert_ne!(work.progress(), Progress::default());
    world.restore_to(&home, None).unwrap();
}

#[test]
fn an_interrupted_restore_is_started_again_and_no_other_file_is_touched() {
    let world = World::new();
    world.create().unwrap();
    let home = world.root.path().join("restored");
    let staged = world.root.path().join("restored.restoring");
    {
        let restoring = world.backups().fetch(&home, None, None).unwrap();
        assert_eq!(restoring.folder(), staged);
        assert!(matches!(world.backups().fetch(&home, None, None), Err(BackupError::Busy(_))));
    }
    fs::write(staged.join("db/left-behind"), "of a killed restore").unwrap();
    assert!(!home.exists() && staged.exists());
    world.restore_to(&home, None).unwrap();
    assert!(!home.join("db/left-behind").exists() && !staged.exists());
    // Existing contents are never overwritten.
    let before = files(&home);
    assert!(matches!(world.restore_to(&home, None), Err(BackupError::Exists(_))));
    assert_eq!(files(&home), before);
    let other = world.root.path().join("other");
    fs::create_dir_all(world.root.path().join("other.restoring")).unwrap();
    fs::write(world.root.path().join("other.restoring/mine"), "keep").unwrap();
    assert!(matches!(world.restore_to(&other, None), Err(BackupError::Exists(_))));
    assert!(world.root.path().join("other.restoring/mine").exists());
    let file = world.root.path().join("file");
    fs::write(&file, "a file").unwrap();
    assert!(matches!(world.restore_to(&file, None), Err(BackupError::Exists(_))));
    let empty = world.root.path().join("empty");
    fs::create_dir(&empty).unwrap();
    world.restore_to(&empty, None).unwrap();
    // A file that appears during the restore stays.
    let late = world.root.path().join("late");
    let restoring = world.backups().fetch(&late, None, None).unwrap();
    restoring.prove(&world.at_rest).unwrap();
    fs::create_dir(&late).unwrap();
    fs::write(late.join("mine"), "keep").unwrap();
    assert!(matches!(restoring.settle(), Err(BackupError::Exists(_))));
    assert_eq!(fs::read_dir(&late).unwrap().count(), 1);
}

#[test]
fn a_wrong_key_home_height_or_destination_has_its_own_error() {
    let world = World::new();
    assert!(matches!(world.backups().list(), Err(BackupError::Empty(_))));
    let made = world.create().unwrap();
    let other_key = world.keyed(6, &Arc::default()).unwrap();
    for error in
        [other_key.list().err(), other_key.verify().err(), other_key.create(&world.source(), &world.at_rest).err()]
    {
        assert!(matches!(error, Some(BackupError::OtherKey(_))), "{error:?}");
    }
    let mut source = world.source();
    source.node_key = [9; 32];
    let error = world.backups().create(&source, &world.at_rest).unwrap_err();
    assert!(matches!(&error, BackupError::OtherHome { node, .. } if node == "one"), "{error}");
    let home = world.root.path().join("restored");
    let error = world.backups().fetch(&home, Some(Height(7)), None).err().unwrap();
    assert!(error.to_string().contains("0 to 0"), "{error}");
    let unknown = rustorium_backup::BackupId([1; 16]);
    assert!(matches!(world.backups().fetch(&home, None, Some(unknown)), Err(BackupError::Damaged { .. })));
    assert!(world.backups().fetch(&home, Some(Height(0)), Some(made.id)).is_ok());
    use rustorium_backup::{Destination, DestinationOptions};
    let open = |name: &str| Destination::open(name, &DestinationOptions::default()).err().map(|error| error.code());
    assert_eq!(open("gs://bucket/x"), Some("usage"));
    assert_eq!(open("s3:///x"), Some("usage"));
    assert_eq!(open("/nowhere/at/all"), Some("not-found"));
    let plain = DestinationOptions { endpoint: Some("http://127.0.0.1:1".into()), ..DestinationOptions::default() };
    let error = Destination::open("s3://bucket/prefix", &plain).err().unwrap();
    assert!(error.to_string().contains("--allow-http"), "{error}");
}

#[test]
fn backups_under_a_replaced_key_stay_usable_while_the_key_is_kept() {
    let world = World::new();
    let keyed = |key, older: Option<u8>| {
        let older = older.map(|byte| BackupKey::from_secret(&[byte; 32]).unwrap());
        world.keyed(key, &Arc::<Work>::default()).unwrap().with_older(older)
    };
    let old = world.create().unwrap();
    // With the new key alone there are no backups, and no new one shares pieces with the old ones.
    assert!(matches!(keyed(6, None).list(), Err(BackupError::OtherKey(_))));
    assert!(matches!(keyed(6, None).create(&world.source(), &world.at_rest), Err(BackupError::OtherKey(_))));
    let both = keyed(6, Some(5));
    let before = world.objects();
    let new = both.create(&world.source(), &world.at_rest).unwrap();
    assert_eq!(new.new_bytes, new.bytes, "no piece under the old key is counted on");
    for (name, bytes) in world.objects() {
        let opened_by_old = BackupKey::from_secret(&[5; 32]).unwrap().open(0, b"", &bytes);
        let sealed_anew = before.get(&name) != Some(&bytes);
        assert_eq!(opened_by_old == Err(ObjectRefused::OtherKey), sealed_anew, "{name}");
    }
    assert_eq!((both.under_older().unwrap(), keyed(6, None).under_older().unwrap()), (1, 0));
    let rows = both.list().unwrap();
    assert_eq!(
        rows.iter().map(|row| (row.id, row.state.as_str())).collect::<Vec<_>>(),
        [(old.id, "good"), (new.id, "good")]
    );
    assert_eq!(both.verify().unwrap().damaged, []);
    for id in [old.id, new.id] {
        let home = world.root.path().join(format!("restored-{id}"));
        let restoring = both.fetch(&home, None, Some(id)).unwrap();
        assert_eq!(restoring.prove(&world.at_rest).unwrap().id, id);
        restoring.settle().unwrap();
    }
    // Without the old key the old backup is listed by name only, and the new one restores.
    let alone = keyed(6, None);
    let states: Vec<_> = alone.list().unwrap().into_iter().map(|row| (row.id == new.id, row.state == "good")).collect();
    assert!(states.contains(&(true, true)) && states.contains(&(false, false)), "{states:?}");
    assert!(alone.fetch(&world.root.path().join("again"), None, Some(new.id)).is_ok());
    // After pruning, no object is left under the old key.
    let gone = both.retain(1).unwrap();
    assert_eq!((gone.removed, both.under_older().unwrap()), (vec![old.id], 0));
    assert_eq!(alone.verify().unwrap().damaged, []);
}

#[test]
fn a_home_whose_storage_key_is_being_replaced_comes_back_with_both_keys() {
    let world = World::new();
    fs::write(world.home().join("storage.key.old"), "the key before").unwrap();
    world.create().unwrap();
    let home = world.root.path().join("restored");
    world.restore_to(&home, None).unwrap();
    assert_eq!(fs::read(home.join("storage.key.old")).unwrap(), b"the key before");
}

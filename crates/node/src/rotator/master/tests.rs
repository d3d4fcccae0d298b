use super::*;
use crate::opening::Folders;
use rustorium_crypto::SigningKey;
use rustorium_crypto::keystore::Origin;
use rustorium_storage::{AuditSink, Durability, RecordKind, RocksStore, StoreConfig, TreeStore};
use rustorium_types::{ChainId, Height};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;

const CHAIN: ChainId = ChainId([5; 32]);
const PASSPHRASE: &[u8] = b"a passphrase of the test's";
const ROWS: u16 = 3000;

/// A home with an open store and journal.
struct Home {
    path: PathBuf,
    store: Arc<RocksStore>,
    journal: Arc<Journal>,
    rotator: Arc<Rotator>,
    votes: Vec<Vec<u8>>,
}

fn keys_in(home: &Path) -> AtRest {
    let StorageKeys { newest, before } = keystore::open_storage(&home.join(STORAGE_KEY), PASSPHRASE).unwrap();
    AtRest::rekeyed(newest, before, CHAIN)
}

impl Home {
    fn open(path: &Path) -> Self {
        let master = Arc::new(Master::new(path, keys_in(path), BTreeSet::from([ShardId::ROOT])));
        let audit = AuditSink::open(&path.join("audit"), SigningKey::from_seed(&[2; 32])).unwrap();
        Self::open_shard(path, &master, ShardId::ROOT, Arc::new(audit))
    }

    fn open_shard(path: &Path, master: &Arc<Master>, shard: ShardId, audit: Arc<AuditSink>) -> Self {
        let (at_rest, folders) = (master.at_rest(), Folders::of(path, shard));
        folders.make().unwrap();
        let store = RocksStore::open(&folders.store, &StoreConfig::default(), &at_rest);
        let journal = Journal::open_with(&folders.journal, Durability::Os, 64 << 10, &at_rest, Box::new(|_| {}));
        let ((journal, records), store) = (journal.unwrap(), Arc::new(store.unwrap()));
        let rotator = Rotator::new(store.clone(), audit, Arc::<AtomicBool>::default()).at(master, shard);
        let (rotator, journal) = (Arc::new(rotator), Arc::new(journal));
        let votes = records.iter().map(|record| record.payload.to_vec()).collect();
        Self { path: path.to_owned(), store, journal, rotator, votes }
    }

    fn new(root: &TempDir) -> Self {
        let path = root.path().join("home");
        fs::create_dir(&path).unwrap();
        keystore::seal_with_public(&path.join(STORAGE_KEY), &[9; 32], "storage", None, PASSPHRASE, Origin::Random)
            .unwrap();
        let home = Self::open(&path);
        let rows: Vec<_> = (0..ROWS).map(|n| (n.to_be_bytes().to_vec(), Some(vec![7; 100]))).collect();
        home.store.fold_tree(Height(0), &rows).unwrap();
        home.journal.append(RecordKind::Vote, b"a vote");
        home.rotator.resume(&home.journal).unwrap();
        home
    }

    /// Waits for the background work; the journal advances as a chain's would.
    fn finish(&self) {
        self.rotator.resume(&self.journal).unwrap();
        let thread = self.rotator.state.lock().thread.take();
        if let Some(thread) = thread {
            while !thread.is_finished() {
                let last = self.journal.append(RecordKind::Vote, b"a later vote");
                self.journal.sync(last);
                self.journal.release(last);
                thread.thread().unpark();
                std::thread::yield_now();
            }
            thread.join().unwrap();
        }
        let status = self.rotator.status();
        assert!(!status.running && status.failed.is_none(), "{status:?}");
    }

    /// Checks that all data is there, and that none of it needs the first key.
    fn assert_rekeyed(self) {
        assert!(!self.rotator.keys.as_ref().unwrap().unfinished());
        let path = self.path.clone();
        drop(self);
        assert!(!keystore::before_file(&path.join(STORAGE_KEY)).exists());
        let again = Self::open(&path);
        assert!(keys_in(&path).before().is_none());
        let rows = again.store.tree_rows(&[vec![0, 9], (ROWS - 1).to_be_bytes().to_vec()]).unwrap();
        assert_eq!(rows, [Some(vec![7; 100]), Some(vec![7; 100])]);
        assert!(!again.votes.is_empty());
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            match fs::copy(entry.path(), target) {
                // RocksDB removes unneeded files a moment later.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                copied => assert!(copied.is_ok(), "{copied:?}"),
            }
        }
    }
}

#[test]
fn a_storage_key_is_replaced_while_all_is_open_and_destroyed_last() {
    let root = TempDir::new().unwrap();
    let home = Home::new(&root);
    assert_eq!(home.rotator.status(), super::super::RotationStatus::default());
    let first = fs::read(home.path.join(STORAGE_KEY)).unwrap();
    let held = File::open(home.path.join(STORAGE_KEY)).unwrap();
    home.rotator.replace_master(Passphrase::of(PASSPHRASE)).unwrap();
    home.finish();
    assert_ne!(fs::read(home.path.join(STORAGE_KEY)).unwrap(), first);
    assert!(std::io::read_to_string(held).unwrap().bytes().all(|byte| byte == 0), "the old key's file is overwritten");
    let log = fs::read_to_string(home.path.join("audit/audit.jsonl")).unwrap();
    assert!(log.contains("storage key drawn") && log.contains("storage key replaced"), "{log}");
    home.assert_rekeyed();
}

#[test]
fn a_wrong_passphrase_and_no_file_change_nothing() {
    let root = TempDir::new().unwrap();
    let home = Home::new(&root);
    let first = fs::read(home.path.join(STORAGE_KEY)).unwrap();
    home.rotator.replace_master(Passphrase::of(b"another")).unwrap();
    home.rotator.join();
    let failed = home.rotator.status().failed.unwrap();
    assert!(failed.contains("passphrase") && failed.contains("wrong"), "{failed}");
    assert_eq!(fs::read(home.path.join(STORAGE_KEY)).unwrap(), first);
    assert!(!home.store.rekeying() && home.store.rotation().is_none());
}

#[test]
fn a_key_that_was_replaced_while_the_node_was_starting_is_left_for_the_next_start() {
    let root = TempDir::new().unwrap();
    let path = Home::new(&root).path;
    // The node has opened its keys, and nobody holds its locks yet.
    let home = Home::open(&path);
    keystore::replace_storage(&path.join(STORAGE_KEY), PASSPHRASE).unwrap();
    home.finish();
    assert!(keystore::before_file(&path.join(STORAGE_KEY)).exists(), "all is sealed under it");
    drop(home);
    let home = Home::open(&path);
    home.finish();
    home.assert_rekeyed();
}

#[test]
fn the_old_key_stays_while_a_backup_is_made() {
    let root = TempDir::new().unwrap();
    let home = Home::new(&root);
    let backup = lock_backups(&home.path).unwrap().unwrap();
    home.rotator.begin_master(&Passphrase::of(PASSPHRASE)).unwrap();
    while home.store.rotate_step().unwrap().is_some() {}
    drop(home);
    // After a start, nothing in the journal is under the old key any more, and a backup is still being made.
    let home = Home::open(&root.path().join("home"));
    home.rotator.resume(&home.journal).unwrap();
    while home.rotator.status().step != RotationStep::Key {
        std::thread::yield_now();
    }
    assert!(keystore::before_file(&home.path.join(STORAGE_KEY)).exists());
    drop(backup);
    home.finish();
    home.assert_rekeyed();
}

#[test]
fn a_kill_after_each_part_is_gone_on_from_by_the_next_start() {
    let root = TempDir::new().unwrap();
    let home = Home::new(&root);
    let mut number = 0;
    let mut goes_on = |home: &Path| {
        number += 1;
        let killed = root.path().join(format!("killed-{number}"));
        copy(home, &killed);
        let again = Home::open(&killed);
        again.finish();
        again.assert_rekeyed();
    };
    // The files were swapped, and the node hasn't noted it.
    let swapped = root.path().join("swapped");
    copy(&home.path, &swapped);
    keystore::replace_storage(&swapped.join(STORAGE_KEY), PASSPHRASE).unwrap();
    goes_on(&swapped);
    home.rotator.begin_master(&Passphrase::of(PASSPHRASE)).unwrap();
    goes_on(&home.path);
    for step in 0.. {
        let more = home.store.rotate_step().unwrap().is_some();
        if step % 4 == 0 || !more {
            goes_on(&home.path);
        }
        if !more {
            break;
        }
    }
    home.store.write_files_anew(&mut |_, _| true).unwrap();
    goes_on(&home.path);
}

/// A home with two shards that share the storage key.
fn of_two(path: &Path, hosted: &[ShardId]) -> (Arc<Master>, Vec<Home>) {
    let master = Arc::new(Master::new(path, keys_in(path), hosted.iter().copied().collect()));
    let audit = Arc::new(AuditSink::open(&path.join("audit"), SigningKey::from_seed(&[2; 32])).unwrap());
    let homes = hosted.iter().map(|shard| Home::open_shard(path, &master, *shard, audit.clone()));
    (master.clone(), homes.collect())
}

const BOTH: [ShardId; 2] = [ShardId::ROOT, ShardId(1)];

fn filled(root: &TempDir) -> PathBuf {
    let path = Home::new(root).path;
    let (_, homes) = of_two(&path, &BOTH);
    let rows: Vec<_> = (0..ROWS).map(|n| (n.to_be_bytes().to_vec(), Some(vec![7; 100]))).collect();
    homes[1].store.fold_tree(Height(0), &rows).unwrap();
    homes[1].journal.append(RecordKind::Vote, b"a vote");
    path
}

#[test]
fn the_last_of_several_shards_destroys_the_old_key() {
    let root = TempDir::new().unwrap();
    let path = filled(&root);
    let before = keystore::before_file(&path.join(STORAGE_KEY));
    let (master, homes) = of_two(&path, &BOTH);
    homes.iter().for_each(|home| home.rotator.resume(&home.journal).unwrap());
    homes[0].rotator.replace_master(Passphrase::of(PASSPHRASE)).unwrap();
    homes[0].finish();
    assert!(before.exists(), "the other shard's rows are under it");
    assert_eq!(master.left(), BTreeSet::from([ShardId(1)]));
    let drawn = fs::read(path.join(STORAGE_KEY)).unwrap();
    // The order that comes second to the other shard draws no second key.
    homes[1].rotator.replace_master(Passphrase::of(PASSPHRASE)).unwrap();
    homes[1].rotator.stopping.store(true, Ordering::Release);
    homes[1].rotator.join();
    drop((master, homes));
    let (master, homes) = of_two(&path, &BOTH);
    assert_eq!(master.left(), BTreeSet::from(BOTH), "it isn't known any more which shard was done");
    homes.iter().for_each(Home::finish);
    assert_eq!((before.exists(), master.left().len()), (false, 0));
    assert_eq!(fs::read(path.join(STORAGE_KEY)).unwrap(), drawn);
    assert!(master.at_rest().before().is_none());
    drop((master, homes));
    let (_, homes) = of_two(&path, &BOTH);
    assert!(homes.iter().all(|home| home.store.tree_rows(&[vec![0, 9]]).unwrap() == [Some(vec![7; 100])]));
}

#[test]
fn the_old_key_stays_for_a_shard_that_is_not_hosted() {
    let root = TempDir::new().unwrap();
    let path = filled(&root);
    let (master, homes) = of_two(&path, &BOTH[..1]);
    assert_eq!(master.not_hosted(), Some(ShardId(1)));
    homes[0].rotator.begin_master(&Passphrase::of(PASSPHRASE)).unwrap();
    drop((master, homes));
    let (_master, homes) = of_two(&path, &BOTH[..1]);
    homes[0].rotator.resume(&homes[0].journal).unwrap();
    homes[0].rotator.join(); // it ends by itself: after a start nothing in the journal is under the old key
    let failed = homes[0].rotator.status().failed.unwrap();
    assert!(failed.contains("move shards/1 out of the home"), "{failed}");
    assert!(keystore::before_file(&path.join(STORAGE_KEY)).exists());
}

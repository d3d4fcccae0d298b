use super::*;
use rustorium_crypto::SigningKey;
use rustorium_crypto::keystore::Origin;
use rustorium_storage::{AuditSink, Durability, RecordKind, RocksStore, StoreConfig, TreeStore};
use rustorium_types::Height;
use std::fs;
use std::sync::atomic::AtomicBool;
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
        let at_rest = keys_in(path);
        let store = RocksStore::open(&path.join("db"), &StoreConfig::default(), &at_rest).unwrap();
        let journal = Journal::open_with(&path.join("safety"), Durability::Os, 64 << 10, &at_rest, Box::new(|_| {}));
        let ((journal, records), store) = (journal.unwrap(), Arc::new(store));
        let audit = AuditSink::open(&path.join("audit"), SigningKey::from_seed(&[2; 32])).unwrap();
        let rotator = Rotator::new(store.clone(), Arc::new(audit), Arc::<AtomicBool>::default()).at(path, &at_rest);
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
        assert!(!self.rotator.master.as_ref().unwrap().unfinished());
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

//! Format 5: stores with both formats, damage in each kind of row, what finalizations stay, and that pruning leaves
//! nothing behind.

use super::history::{compact, prune_all};
use super::*;
use crate::history::HistoryStore;
use crate::rows::{HeadPlan, Trail};
use std::collections::BTreeSet;

/// A height of more receipts than fit its first row, and of more bytes than fit a part.
fn large_plan(n: u8) -> Plan {
    let transaction =
        |kind| TransactionPlan { sender: n % ACCOUNTS, to: 2, kind, executed: true, failed: kind == 3, second: false };
    Plan {
        inline: vec![transaction(0), transaction(2)],
        batches: vec![(0..5).map(transaction).collect(), vec![transaction(4)], (0..5).map(transaction).collect()],
        ..busy_plan(n)
    }
}

/// Commits heights of both versions to a store and its model.
fn filled(store: &RocksStore, model: &MemStore, chain: &mut Chain, heights: u8) {
    for n in 0..heights {
        let commit = chain.next(&if n % 2 == 0 { large_plan(n) } else { busy_plan(n % KEYS) });
        store.commit(&commit).unwrap();
        model.commit(&commit).unwrap();
    }
}

fn chain_from(two_from: u64) -> Chain {
    Chain { two_from, ..Chain::default() }
}

/// Opens the store again, so that nothing is in memory.
fn cold(store: RocksStore, folder: &Path) -> RocksStore {
    drop(store);
    open(folder)
}

fn format_of(store: &RocksStore) -> u32 {
    rows::decode_format(&store.disk.db.get(rows::FORMAT_KEY).unwrap().unwrap()).unwrap()
}

fn keys_of(store: &RocksStore, table: Table) -> Vec<Vec<u8>> {
    let mut keys = Vec::new();
    let mut rows = store.disk.all_of(table).unwrap();
    rows.seek_to_first();
    while let Some(key) = rows.key() {
        keys.push(key.to_vec());
        rows.next();
    }
    keys
}

fn parts_of(store: &RocksStore, height: u64) -> BTreeSet<char> {
    let of_height = |key: &Vec<u8>| key.starts_with(&height.to_be_bytes());
    keys_of(store, Table::Log).iter().filter(|key| of_height(key)).map(|key| char::from(key[8])).collect()
}

#[test]
fn heights_of_version_1_keep_their_rows_and_version_2_begins_format_5() {
    let folder = TempDir::new().unwrap();
    let (store, model, mut chain) = (open(folder.path()), MemStore::new(), chain_from(3));
    filled(&store, &model, &mut chain, 3);
    assert_eq!((format_of(&store), first_of_version_2(folder.path())), (4, Ok(None)));
    let before = keys_of(&store, Table::Log);
    filled(&store, &model, &mut chain, 6);
    assert_eq!(format_of(&store), 5);
    assert!(before.iter().all(|key| keys_of(&store, Table::Log).contains(key)), "nothing is migrated");
    assert_equal(&store, &model, &chain);
    let store = cold(store, folder.path());
    model.restart();
    assert_equal(&store, &model, &chain);
    assert_eq!(first_of_version_2(folder.path()), Ok(Some(Height(3))), "also while the store is open");
    assert_eq!(parts_of(&store, 2), BTreeSet::from(['b', 'r', 't', 'x']));
    assert_eq!(parts_of(&store, 3), BTreeSet::from(['h', 'p', 'r', 'x']));
    assert_eq!(parts_of(&store, 4), BTreeSet::from(['h', 'p', 'x']), "few receipts are in the first row");
    let bare = keys_of(&store, Table::Index).iter().filter(|key| rows::is_plain(Table::Index, key)).count();
    assert!(bare > 40);
}

#[test]
fn a_cut_log_never_has_another_format_than_its_heights() {
    let folder = TempDir::new().unwrap();
    let (store, model, mut chain) = (open(folder.path()), MemStore::new(), chain_from(2));
    filled(&store, &model, &mut chain, 4);
    let logs = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let wal = logs.filter(|path| path.extension().is_some_and(|e| e == "log")).max().unwrap();
    let length = fs::metadata(&wal).unwrap().len();
    let mut formats = BTreeSet::new();
    for cut in (1..=48).map(|n| length * n / 48) {
        let crashed = TempDir::new().unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            fs::copy(&path, crashed.path().join(path.file_name().unwrap())).unwrap();
        }
        fs::OpenOptions::new()
            .write(true)
            .open(crashed.path().join(wal.file_name().unwrap()))
            .unwrap()
            .set_len(cut)
            .unwrap();
        let found = open(crashed.path());
        let tip = found.tip().map(|tip| tip.height.0);
        let format = format_of(&found);
        assert_eq!(format == 5, tip.is_some_and(|tip| tip >= 2), "{tip:?}");
        for height in 0..=tip.unwrap_or_default() {
            assert_eq!(found.block(Height(height)), if tip.is_some() { model.block(Height(height)) } else { Ok(None) });
        }
        formats.insert((format, tip));
    }
    assert!(formats.len() >= 4, "{formats:?}");
}

/// Puts a row under the store's own seal.
fn reseal(store: &RocksStore, table: Table, key: &[u8], change: impl FnOnce(&mut Vec<u8>)) {
    let mut contents = store.disk.get(table, key).unwrap().unwrap();
    change(&mut contents);
    let mut batch = rocksdb::WriteBatch::default();
    store.disk.put_sealed(&mut batch, table, key, &contents).unwrap();
    store.disk.write(batch).unwrap();
}

fn remove(store: &RocksStore, table: Table, key: &[u8]) {
    store.disk.db.delete_cf(store.disk.family(table).unwrap(), key).unwrap();
}

fn is_corrupt<T>(found: Result<T, StoreError>, table: &str) -> bool {
    matches!(found, Err(StoreError::Corrupt { table: named, .. }) if named == table)
}

#[test]
fn an_index_key_that_leads_elsewhere_is_damage() {
    let folder = TempDir::new().unwrap();
    let (store, model, mut chain) = (open(folder.path()), MemStore::new(), chain_from(0));
    filled(&store, &model, &mut chain, 8);
    let stranger = [7; 32];
    let names = store.disk.keys.names();
    let keys = [
        rows::bare_key(&rows::bare_transaction_name(names, &TxId(stranger)), Height(1), 1),
        rows::bare_key(&rows::bare_account_name(names, &AccountId(stranger)), Height(1), 1),
        rows::bare_key(&rows::bare_block_name(names, &BlockDigest(stranger)), Height(1), 0),
        rows::bare_key(&rows::bare_batch_name(names, &BatchDigest(stranger)), Height(1), 1),
    ];
    let index = store.disk.family(Table::Index).unwrap();
    keys.iter().for_each(|key| store.disk.db.put_cf(index, key, []).unwrap());
    assert_eq!(store.damaged(), None);
    assert!(is_corrupt(store.transaction(&TxId(stranger)), "index"));
    assert!(is_corrupt(store.account_transactions(&AccountId(stranger), None, 9), "index"));
    assert!(is_corrupt(store.height_of(&BlockDigest(stranger)), "index"));
    assert!(is_corrupt(store.batch(&BatchDigest(stranger)), "index"));
    assert!(store.damaged().is_some());
    // Positions that are none.
    for (name, place) in [(rows::bare_transaction_name(names, &TxId([8; 32])), 500), (keys_name(names, 8), 77)] {
        store.disk.db.put_cf(index, rows::bare_key(&name, Height(1), place), []).unwrap();
    }
    assert!(is_corrupt(store.transaction(&TxId([8; 32])), "log"));
    assert!(is_corrupt(store.batch(&BatchDigest([8; 32])), "index"));
    let gone = rows::bare_key(&rows::bare_block_name(names, &BlockDigest([8; 32])), Height(99), 0);
    store.disk.db.put_cf(index, gone, []).unwrap();
    assert!(is_corrupt(store.height_of(&BlockDigest([8; 32])), "log"));
    assert_equal(&store, &model, &chain);
}

fn keys_name(names: &rustorium_crypto::seal::KeyedHash, n: u8) -> [u8; 17] {
    rows::bare_batch_name(names, &BatchDigest([n; 32]))
}

#[test]
fn a_header_that_does_not_come_back_is_damage() {
    let folder = TempDir::new().unwrap();
    let (store, model, mut chain) = (open(folder.path()), MemStore::new(), chain_from(0));
    filled(&store, &model, &mut chain, 12);
    let store = cold(store, folder.path());
    // The proposer of another height's row: its digest and seal are right.
    let key = rows::head_key(Height(6));
    let row = store.disk.get(Table::Log, &key).unwrap().unwrap();
    let changed = (34..row.len()).filter(|at| {
        let mut bad = row.clone();
        bad[*at] ^= 1;
        reseal(&store, Table::Log, &key, |contents| *contents = bad.clone());
        store.walks.lock().clear();
        match store.bare_block(Height(6)) {
            Ok(found) => {
                assert_eq!(found, model.bare_block(Height(6)).unwrap(), "byte {at} changes what is told");
                false
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Corrupt { table: "log", .. }), "{error}");
                true
            }
        }
    });
    assert!(changed.count() > 20);
    reseal(&store, Table::Log, &key, |contents| *contents = row.clone());
    store.walks.lock().clear();
    assert_eq!(store.block(Height(6)), model.block(Height(6)));
    // A row below is missing: the header above it can't be made.
    remove(&store, Table::Log, &rows::head_key(Height(5)));
    store.walks.lock().clear();
    assert!(is_corrupt(store.bare_block(Height(6)), "log"));
    assert!(is_corrupt(store.links(Height(6), Height(7)), "log"));
    assert_eq!(store.bare_block(Height(4)), model.bare_block(Height(4)));
}

#[test]
fn missing_and_short_parts_are_damage() {
    let folder = TempDir::new().unwrap();
    let (store, model, mut chain) = (open(folder.path()), MemStore::new(), chain_from(0));
    filled(&store, &model, &mut chain, 9);
    let store = cold(store, folder.path());
    let stored = model.block(Height(2)).unwrap().unwrap();
    let (id, batch) = (stored.receipts.last().unwrap().transaction, stored.batches.last().unwrap().1);
    for (key, short) in [
        (rows::payload_key(Height(2), 4), false),
        (rows::payload_key(Height(2), 4), true),
        (rows::receipts_part_key(Height(2), 4), false),
        (rows::receipts_part_key(Height(2), 4), true),
    ] {
        let row = store.disk.get(Table::Log, &key).unwrap().unwrap();
        if short {
            reseal(&store, Table::Log, &key, |contents| contents.truncate(contents.len() / 3));
        } else {
            remove(&store, Table::Log, &key);
        }
        assert!(is_corrupt(store.block(Height(2)), "log"));
        assert!(is_corrupt(store.transaction(&id), "log") || key[8] == b'p');
        assert!(key[8] == b'r' || is_corrupt(store.batch(&batch), "log"));
        let mut batch = rocksdb::WriteBatch::default();
        store.disk.put_sealed(&mut batch, Table::Log, &key, &row).unwrap();
        store.disk.write(batch).unwrap();
        assert_eq!(store.block(Height(2)), model.block(Height(2)));
    }
}

#[test]
fn a_damaged_finalization_is_named() {
    let folder = TempDir::new().unwrap();
    let (store, model, mut chain) = (open(folder.path()), MemStore::new(), chain_from(0));
    filled(&store, &model, &mut chain, 9);
    let store = cold(store, folder.path());
    let key = rows::finalization_key(Height(5));
    reseal(&store, Table::Meta, &key, |contents| contents.truncate(9));
    assert!(is_corrupt(store.finalization_at_or_above(Height(5)), "default"));
}

#[test]
fn enough_finalizations_stay_to_prove_any_height() {
    let folder = TempDir::new().unwrap();
    let (store, mut chain) = (open(folder.path()), chain_from(2));
    for n in 0..60u8 {
        store.commit(&chain.next(&Plan { inline: vec![], batches: vec![], ..busy_plan(n % KEYS) })).unwrap();
    }
    let newest = |store: &RocksStore, height| store.finalization_at_or_above(Height(height)).unwrap().unwrap().0.0;
    assert!((56..60).all(|height| newest(&store, height) == height), "in memory");
    let store = cold(store, folder.path());
    let kept: Vec<u64> = (0..56).map(|height| newest(&store, height)).collect();
    for (height, found) in (0u64..).zip(&kept) {
        // 100 ms between heights: a period of 250 ms has two or three.
        assert!(*found - height <= 2, "height {height} is proved by {found}");
        let wanted = height < 2 || height % 5 == 0 || height % 9 == 8 || height % 8 == 0;
        assert!(!wanted || *found == height, "height {height}: a claim, an epoch's end, or of version 1");
    }
    let kept: BTreeSet<u64> = kept.into_iter().collect();
    assert!(kept.len() < 45, "{kept:?}");
}

#[test]
fn a_sync_stores_the_newest_finalization() {
    let folder = TempDir::new().unwrap();
    let (store, model, mut chain) = (open(folder.path()), MemStore::new(), chain_from(0));
    filled(&store, &model, &mut chain, 8);
    assert_eq!((store.sync(), model.sync()), (Ok(Height(7)), Ok(Height(7))));
    let store = cold(store, folder.path());
    let found = store.finalization_at_or_above(Height(7)).unwrap().unwrap();
    assert_eq!((found.0, found.1.body.block), (Height(7), store.tip().unwrap().digest));
    model.restart();
    assert_equal(&store, &model, &chain);
    // Finalizations since the last sync are in the journal, and not here.
    filled(&store, &model, &mut chain, 4);
    let store = cold(store, folder.path());
    model.restart();
    assert_equal(&store, &model, &chain);
    store.roll_back(Height(6)).unwrap();
    assert_eq!(store.finalization_at_or_above(Height(6)), Ok(None));
}

#[test]
fn a_finalization_that_is_missing_where_one_is_wanted_is_made_up_for_by_the_next() {
    let folder = TempDir::new().unwrap();
    let (mut store, model, mut chain) = (open(folder.path()), MemStore::new(), chain_from(0));
    for n in 0..40u8 {
        let plan = Plan { finalized: n % 7 > 3, inline: vec![], batches: vec![], ..busy_plan(n % KEYS) };
        let commit = chain.next(&plan);
        store.commit(&commit).unwrap();
        model.commit(&commit).unwrap();
        if n % 3 == 0 {
            store = cold(store, folder.path());
            model.restart();
        }
        assert_equal(&store, &model, &chain);
    }
    let first = |height: u64| store.finalization_at_or_above(Height(height)).unwrap().unwrap().0.0;
    assert_eq!([first(7), first(14), first(21)], [11, 18, 25]);
}

#[test]
fn pruning_leaves_no_row_behind() {
    let folder = TempDir::new().unwrap();
    let (store, model, mut chain) = (open(folder.path()), MemStore::new(), chain_from(5));
    filled(&store, &model, &mut chain, 30);
    prune_all(&store, Height(22));
    prune_all(&model, Height(22));
    compact(&store);
    store.prune(Height(0)).unwrap();
    compact(&store);
    let store = cold(store, folder.path());
    model.restart();
    for key in keys_of(&store, Table::Index) {
        assert!(rows::bare_position(&key).unwrap().0 >= Height(22));
    }
    for key in keys_of(&store, Table::Log) {
        let height = u64::from_be_bytes(*key.first_chunk().unwrap());
        // First rows stay from the whole one on that the oldest needed link rests on.
        assert!(height >= if key[8] == b'h' { 20 } else { 21 }, "{} {height}", char::from(key[8]));
    }
    for key in keys_of(&store, Table::Meta) {
        assert!(rows::finalization_height(&key).is_none_or(|height| height >= Height(22)));
    }
    for height in (0..31).map(Height) {
        assert_eq!(store.block(height), model.block(height));
        assert_eq!(store.links(height, Height(40)), model.links(height, Height(40)));
    }
    chain.transactions.iter().for_each(|id| assert_eq!(store.transaction(id), model.transaction(id)));
    chain.batches.iter().for_each(|digest| assert_eq!(store.batch(digest), model.batch(digest)));
}

#[test]
fn the_height_below_each_floor_comes_back() {
    let folder = TempDir::new().unwrap();
    let (mut store, model, mut chain) = (open(folder.path()), MemStore::new(), chain_from(5));
    filled(&store, &model, &mut chain, 30);
    for floor in (6..28).map(Height) {
        prune_all(&store, floor);
        prune_all(&model, floor);
        compact(&store);
        store = cold(store, folder.path());
        model.restart();
        // Proofs of receipts at the floor begin with the root below.
        let below = Height(floor.0 - 1);
        assert_eq!(store.links(below, Height(29)), model.links(below, Height(29)), "floor {floor}");
        assert_eq!(store.block(floor), model.block(floor), "floor {floor}");
    }
}

#[test]
fn a_rollback_below_version_2_gives_the_way_back_again() {
    let folder = TempDir::new().unwrap();
    let (store, model, mut chain) = (open(folder.path()), MemStore::new(), chain_from(6));
    filled(&store, &model, &mut chain, 6);
    let mut onward = Vec::new();
    for n in 0..4 {
        let commit = chain.next(&busy_plan(n));
        store.commit(&commit).unwrap();
        onward.push(commit);
    }
    store.roll_back(Height(7)).unwrap();
    assert_eq!((format_of(&store), store.tip().unwrap().height), (5, Height(7)));
    store.roll_back(Height(5)).unwrap();
    assert_eq!((format_of(&store), store.tip().unwrap().height), (4, Height(5)));
    let store = cold(store, folder.path());
    assert_eq!(first_of_version_2(folder.path()), Ok(None));
    model.restart();
    assert_equal(&store, &model, &chain);
    for commit in &onward {
        store.commit(commit).unwrap();
        model.commit(commit).unwrap();
    }
    assert_equal(&store, &model, &chain);
    assert_eq!(first_of_version_2(folder.path()), Ok(Some(Height(6))));
}

#[test]
fn what_the_header_tells_must_be_so() {
    let folder = TempDir::new().unwrap();
    let (store, model, mut chain) = (open(folder.path()), MemStore::new(), chain_from(0));
    let commit = chain.next(&busy_plan(1));
    let mut other = commit.clone();
    other.receipts[1].nonce += 1;
    let mut late = commit.clone();
    late.receipts[0].time_ms += 1;
    let mut foreign = commit.clone();
    foreign.block.header.epoch = Epoch(1);
    for store in [&store as &dyn Store, &model] {
        for bad in [&other, &late, &foreign] {
            assert!(matches!(store.commit(bad), Err(StoreError::Inconsistent { .. })));
        }
        assert_eq!((store.tip(), store.commit(&commit)), (None, Ok(())));
    }
}

/// A header with fields of any values, above another.
fn any_header() -> impl Strategy<Value = (Header, bool, Vec<(u8, [u8; 32])>)> {
    let cursors = proptest::collection::vec((any::<u64>(), any::<[u8; 32]>()), 4..6);
    let numbers = any::<(u64, u64, u64, u32, u64)>();
    let ends = (0u8..3, any::<bool>(), any::<bool>());
    let moved = proptest::collection::vec((0u8..6, any::<[u8; 32]>()), 0..3);
    (cursors, numbers, ends, any::<[u8; 32]>(), any::<bool>(), moved).prop_map(
        |(cursors, (view, parent_view, time_ms, transactions, work), (end, state, epoch), hash, odd, moved)| {
            let cursors = cursors.into_iter().map(|(next_seq, tip)| Cursor { next_seq, tip: BatchDigest(tip) });
            let header = Header {
                view: View(view),
                parent_view: View(parent_view),
                time_ms,
                payload_root: Hash(hash),
                cursors: BoundedVec::new(cursors.collect()).unwrap(),
                transactions,
                declared_work: work,
                end: [End::GoesOn, End::Boundary, End::Closing(BlockDigest(hash))][usize::from(end)],
                state: if state { StateClaim::NoneYet } else { Chain::default().header(0).state },
                epoch: Epoch(u64::from(epoch)),
                result: ResultClaim { height: Height(view % 9), root: Hash(hash) },
                ..Chain::default().header(0)
            };
            (header, odd, moved)
        },
    )
}

proptest! {
    #[test]
    fn any_header_comes_back(headers in proptest::collection::vec(any_header(), 1..12)) {
        let (mut written, mut read) = (None::<Trail>, None::<Trail>);
        for (height, (mut header, odd, moved)) in (0u64..).zip(headers) {
            header.height = Height(height);
            let mut directory = rows::Directory::default();
            if let Some(trail) = written.as_ref() {
                header.parent = trail.digest;
                if !odd {
                    // As in a chain: all else follows.
                    header.parent_view = trail.header.view;
                    header.epoch = trail.header.epoch;
                    let listed = moved.iter().map(|(author, digest)| rows::Listed {
                        author: ValidatorIndex(u16::from(*author)), digest: BatchDigest(*digest), bytes: 7,
                    });
                    directory.batches = listed.collect();
                    header.cursors = BoundedVec::new(directory.moved(&trail.header.cursors)).unwrap();
                    header.payload_root = crypto::payload_root(&[], &trail.header.cursors, &header.cursors);
                    header.result = ResultClaim { height: Height(height - 1), root: trail.result_root() };
                }
            }
            let mut commit = Chain::default().empty(vec![]);
            commit.digest = crypto::block_digest(&header);
            commit.block.header = header.clone();
            let tip = Tip {
                height: Height(height), digest: commit.digest, header: header.clone(), result_root: commit.result_root,
                payload_height: Height(height / 2),
            };
            let plan = HeadPlan::of(written.as_ref(), written.as_ref().map(|trail| &*trail.header), &commit);
            let mut row = Vec::new();
            rows::encode_head(&commit, tip.payload_height, (written.as_ref(), &plan), &directory, &mut row);
            row.push(0);
            let decoded = rows::decode_head(b"key", &row).unwrap();
            prop_assert_eq!(&decoded.directory, &directory);
            match &mut read {
                None => read = Trail::begin(&decoded),
                Some(trail) => prop_assert!(trail.extend(&decoded).is_some()),
            }
            written = Some(Trail::commit(written, &commit, &tip, &plan));
            let (read, written) = (read.as_ref().unwrap(), written.as_ref().unwrap());
            prop_assert_eq!(&*read.header, &header);
            prop_assert!(read.is_right());
            prop_assert_eq!(read.stored_link(), written.stored_link());
            prop_assert_eq!((read.payload_height, read.owed), (written.payload_height, written.owed));
            for cut in 0..row.len() {
                let _ = rows::decode_head(b"key", &row[..cut]);
            }
        }
    }
}

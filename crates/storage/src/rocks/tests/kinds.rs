//! Each kind of row is written with a known string in it. The string must stand in no file: neither in the write-ahead
//! log, nor in tables, nor in RocksDB's own log.

use super::sealed::all_rows;
use super::*;
use crate::epochs::EpochStore;
use crate::history::HistoryStore;
use crate::synced::{SyncStore, SyncedTip};
use crate::tree::TreeStore;
use std::collections::BTreeSet;

const SECRET: &[u8; 32] = b"Zinnober, which nobody may read!";

/// Returns the kind of a row, as `rows` calls it, by its table and key.
fn kind(table: Table, key: &[u8]) -> String {
    let part = |at: usize| char::from(key[at]).to_string();
    let name = match table {
        Table::Meta if key.starts_with(b"f") => "f".to_owned(),
        Table::Meta => String::from_utf8(key.split(|byte| *byte == b'/').next().unwrap().to_vec()).unwrap(),
        Table::Log => part(8),
        Table::Index => part(0),
        Table::State | Table::Tree | Table::Undo => String::new(),
    };
    format!("{} {name}", table.name())
}

fn kinds(store: &RocksStore) -> BTreeSet<String> {
    let rows = Table::ALL.into_iter().flat_map(|table| all_rows(store, table).into_iter().map(move |row| (table, row)));
    let open = |(table, (key, row)): (Table, (Vec<u8>, Vec<u8>))| {
        store.disk.keys.open_row(table, &key, &row).unwrap();
        kind(table, &key)
    };
    rows.map(open).collect()
}

fn assert_unreadable(folder: &Path) {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut bytes = 0;
    for path in files {
        let content = fs::read(&path).unwrap();
        let found = content.windows(12).any(|window| SECRET.windows(12).any(|part| part == window));
        assert!(!found, "it stands in {}", path.display());
        bytes += content.len();
    }
    assert!(bytes > 10_000);
}

/// Checks the files twice: rows are first in the write-ahead log, then in tables.
fn assert_written_unreadable(store: &RocksStore, folder: &Path) {
    store.sync().unwrap();
    assert_unreadable(folder);
    Table::ALL.iter().for_each(|table| store.disk.db.flush_cf(store.disk.family(*table).unwrap()).unwrap());
    assert_unreadable(folder);
}

fn leaf(n: u8, value: Option<&[u8]>) -> LeafWrite {
    let key = StateKey { account: account(n), name: [n; 32] };
    LeafWrite { key, name: SECRET.to_vec(), value: value.map(<[u8]>::to_vec) }
}

fn tree_row(n: u8) -> (Vec<u8>, Option<Vec<u8>>) {
    (vec![0, n], Some([SECRET.as_slice(), &[n; 40]].concat()))
}

/// An epoch's end whose next committee has the string in its name.
fn end() -> EpochChange {
    let boundary = Header { payload_root: Hash(*SECRET), end: End::Boundary, ..Chain::default().header(0) };
    let proof =
        BlockProof { descendants: BoundedVec::default(), finalization: (*finalization(BlockDigest(*SECRET))).clone() };
    let validator = Validator {
        name: BoundedBytes::new(SECRET.to_vec()).unwrap(),
        validator_key: [1; 32],
        node_key: [2; 32],
        owner_key: [3; 32],
        region: 0,
        address: BoundedBytes::new(SECRET.to_vec()).unwrap(),
    };
    EpochChange { boundary, proof, next: BoundedVec::new(vec![validator]).unwrap() }
}

/// Commits a height of everything that a height can write, with the string in keys, values and names.
fn filled(store: &RocksStore, chain: &mut Chain) {
    for n in 0..4 {
        let mut commit = chain.next(&busy_plan(n));
        commit.diff = vec![leaf(1, Some(SECRET)), leaf(2 + n, (n > 0).then_some(SECRET))];
        store.put_tree_writes(Height(u64::from(n)), &vec![(state_key(1), Some(Hash(*SECRET)))]).unwrap();
        store.commit(&commit).unwrap();
    }
    let removed = vec![leaf(3, None)];
    let commit = HeightCommit { diff: removed, ..chain.empty(vec![]) };
    store.put_tree_writes(Height(4), &vec![(state_key(1), Some(Hash(*SECRET)))]).unwrap();
    store.commit(&commit).unwrap();
    store.fold_tree(Height(1), &[tree_row(1), tree_row(2)]).unwrap();
    store.fold_tree(Height(2), &[tree_row(1), tree_row(3)]).unwrap();
    store.put_committee_record(Height(3), SECRET).unwrap();
    store.put_epoch(&end().into()).unwrap();
}

#[test]
fn a_known_string_in_every_kind_of_row_is_in_no_file() {
    let folder = TempDir::new().unwrap();
    let (store, mut chain) = (open(folder.path()), Chain { secret: Some(*SECRET), two_from: 2, ..Chain::default() });
    filled(&store, &mut chain);
    assert_eq!(store.values_at(Height(4), &[leaf(1, None).key]), Ok(vec![Some(SECRET.to_vec())]));
    super::history::prune_all(&store, Height(1));
    store.rotate().unwrap();
    let of_a_chain = [
        "default committee",
        "default epoch-end",
        "default f",
        "default oldest",
        "default rotation",
        "default rows-of-format-5",
        "default tip",
        "default tree-roots",
        "index a",
        "index b",
        "index l",
        "index t",
        "log b",
        "log d",
        "log h",
        "log p",
        "log r",
        "log t",
        "log x",
        "state ",
        "tree ",
        "undo ",
    ];
    assert_eq!(
        kinds(&store),
        BTreeSet::from(of_a_chain.map(str::to_owned)),
        "a kind of row that this test doesn't know"
    );
    assert_written_unreadable(&store, folder.path());
}

#[test]
fn a_known_string_in_a_snapshot_is_in_no_file_of_the_filled_store() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    store.begin_sync(SECRET).unwrap();
    store.put_synced(Height(9), &[tree_row(1)], &[leaf(1, Some(SECRET))]).unwrap();
    let filling = ["default syncing", "state ", "tree "];
    assert_eq!(kinds(&store), BTreeSet::from(filling.map(str::to_owned)));
    assert_written_unreadable(&store, folder.path());
    let mut chain = Chain { height: 9, ..Chain::default() };
    let headers = vec![Header { height: Height(8), payload_root: Hash(*SECRET), ..chain.header(0) }];
    store.finish_sync(&SyncedTip { commit: chain.empty(vec![]), headers }).unwrap();
    assert!(kinds(&store).contains("default synced"));
    assert_written_unreadable(&store, folder.path());
}

//! The rows that a height would have in store format 5, beside those of today's format, in RocksDB set up alike: a
//! prototype for measurements alone. Nothing reads its rows.
//!
//! Both formats are written by the same code down to RocksDB, so what differs is the rows: how many there are, how many
//! of them are sealed, and their bytes. Values and records are the same rows in both.

mod four;
mod made;
mod rows;

use crate::Outcome;
use crate::heights::cpu_us;
use rocksdb::{
    BlockBasedOptions, ColumnFamilyDescriptor, DB, DBCompressionType, DataBlockIndexType, Options, SliceTransform,
    WriteBatch,
};
use rustix::time::{ClockId, clock_gettime};
use rustorium_crypto::seal::{AtRest, FreshSalt, HashUse, KeyedHash, Place, Sealer};
use rustorium_storage::{HeightCommit, RocksStore, Store, StoreConfig};
use rustorium_types::Header;
use serde_json::{Value, json};
use std::path::Path;

/// Bytes before a row's contents: its version, and the head of its seal.
const CONTENTS_AT: usize = 11;
const ROW_VERSION: u8 = 3;
/// Puts whose rows are written with each of the formats.
const PUTS: u64 = 60_000;
const HEIGHTS_MAX: u64 = 20_000;
/// Heights whose rows are compared with those of the store.
const COMPARED: usize = 200;

/// The tables, by the number that their seals bind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Table {
    Meta = 0,
    Log = 1,
    Index = 2,
    State = 3,
}

const TABLES: [(Table, &str); 4] =
    [(Table::Meta, "default"), (Table::Log, "log"), (Table::Index, "index"), (Table::State, "state")];

/// A format of a height's rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Four,
    Five,
}

/// The rows of one height, and what they are made from besides the height itself.
struct Batch<'a> {
    sealer: &'a Sealer,
    names: &'a KeyedHash,
    /// The header of the height before; `None` for the first.
    parent: Option<&'a Header>,
    /// True if the height's finalization is written.
    finalized: bool,
    sealed: Vec<(Table, Vec<u8>, Vec<u8>)>,
    plain: Vec<Vec<u8>>,
}

impl Batch<'_> {
    /// Adds a row that is sealed. `row` began with `row()`.
    fn put(&mut self, table: Table, key: &[u8], mut row: Vec<u8>) -> Outcome<()> {
        self.sealer.seal(&Place { table: table as u8, format: ROW_VERSION, key }, &mut row, 1)?;
        self.sealed.push((table, key.to_vec(), row));
        Ok(())
    }

    /// Adds an index row that is its key alone.
    fn key(&mut self, key: Vec<u8>) {
        self.plain.push(key);
    }

    fn name(&self, tag: u8, digest: &[u8; 32]) -> [u8; 17] {
        let mut key = [tag; 17];
        key[1..].copy_from_slice(&self.names.of(tag, &[digest]));
        key
    }
}

/// Returns a row without contents.
fn row() -> Vec<u8> {
    let mut row = vec![0; CONTENTS_AT];
    row[0] = ROW_VERSION;
    row
}

/// A database in a folder, with the options of the store's tables.
struct Database {
    db: DB,
    sealer: Sealer,
    names: KeyedHash,
}

impl Database {
    fn open(folder: &Path, keys: &AtRest) -> Outcome<Self> {
        std::fs::create_dir_all(folder)?;
        let config = StoreConfig::default();
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        options.set_db_write_buffer_size(config.write_buffer_bytes);
        options.set_max_background_jobs(config.background_jobs);
        options.set_bytes_per_sync(1 << 20);
        let families = TABLES.map(|(table, name)| ColumnFamilyDescriptor::new(name, table_options(table, &config)));
        let db = DB::open_cf_descriptors(&options, folder, families)?;
        Ok(Self { db, sealer: keys.row_sealer(FreshSalt::draw()?, 1)?, names: keys.keyed(HashUse::Names)? })
    }

    /// Writes a height above `parent`. Returns the bytes of its rows and the number of those that are sealed.
    fn commit(
        &self,
        format: Format,
        commit: &HeightCommit,
        parent: Option<&Header>,
        finalized: bool,
    ) -> Outcome<(u64, u64)> {
        let (sealer, names) = (&self.sealer, &self.names);
        let mut rows = Batch { sealer, names, parent, finalized, sealed: Vec::new(), plain: Vec::new() };
        match format {
            Format::Four => four::encode(commit, &mut rows)?,
            Format::Five => rows::encode(commit, &mut rows)?,
        }
        let family = |table: Table| {
            let (_, name) = TABLES[table as usize];
            self.db.cf_handle(name).ok_or("a family is missing")
        };
        let mut batch = WriteBatch::default();
        // As the store does: index rows go in the order of their keys.
        rows.sealed.sort_by(|a, b| (a.0 == Table::Index, &a.1).cmp(&(b.0 == Table::Index, &b.1)));
        rows.plain.sort_unstable();
        let sealed = rows.sealed.len() as u64;
        for (table, key, row) in rows.sealed {
            batch.put_cf(family(table)?, key, row);
        }
        for key in rows.plain {
            batch.put_cf(family(Table::Index)?, key, []);
        }
        let bytes = batch.size_in_bytes() as u64;
        self.db.write(batch)?;
        Ok((bytes, sealed))
    }

    fn flush(&self) -> Outcome<()> {
        for (_, name) in TABLES {
            let family = self.db.cf_handle(name).ok_or("a family is missing")?;
            self.db.flush_cf(family)?;
        }
        self.db.flush_wal(true)?;
        Ok(())
    }
}

fn table_options(table: Table, config: &StoreConfig) -> Options {
    let (mut block, mut options) = (BlockBasedOptions::default(), Options::default());
    options.set_write_buffer_size(config.write_buffer_bytes);
    options.set_max_write_buffer_number(4);
    options.set_compression_type(DBCompressionType::None);
    match table {
        Table::Meta => {}
        Table::Log => block.set_block_size(32 << 10),
        Table::Index | Table::State => {
            let prefix = if table == Table::State { 64 } else { 17 };
            options.set_prefix_extractor(SliceTransform::create_fixed_prefix(prefix));
            block.set_bloom_filter(10.0, false);
            block.set_whole_key_filtering(false);
            block.set_block_size(8 << 10);
            block.set_data_block_index_type(DataBlockIndexType::BinarySearch);
        }
    }
    if table == Table::State {
        options.set_memtable_prefix_bloom_ratio(0.02);
    }
    options.set_block_based_table_factory(&block);
    options
}

/// Measures heights of so many puts in both formats. `idle`: an empty height follows each.
pub fn compare(folder: &Path, puts: u64, idle: bool, keys: &AtRest) -> Outcome<Value> {
    let count = (PUTS / puts).min(HEIGHTS_MAX);
    let commits = made::made(count, puts, idle)?;
    check_four(&folder.join("check"), &commits, keys)?;
    let mut found = serde_json::Map::new();
    for (name, format) in [("four", Format::Four), ("five", Format::Five)] {
        let here = folder.join(name);
        found.insert(name.to_owned(), measure(&here, format, &commits, keys)?);
        std::fs::remove_dir_all(&here)?;
    }
    Ok(Value::Object(found))
}

/// Processor time of this thread so far.
fn thread_cpu_us() -> u64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

fn measure(folder: &Path, format: Format, commits: &[HeightCommit], keys: &AtRest) -> Outcome<Value> {
    let database = Database::open(folder, keys)?;
    let (all, own) = (cpu_us(), thread_cpu_us());
    let (mut bytes, mut sealed, mut parent) = (0, 0, None);
    for commit in commits {
        let (written, rows) = database.commit(format, commit, parent, true)?;
        (bytes, sealed) = (bytes + written, sealed + rows);
        parent = Some(&commit.block.header);
    }
    let own = thread_cpu_us() - own;
    database.flush()?;
    let all = cpu_us() - all;
    drop(database);
    let tables = std::fs::read_dir(folder)?.filter_map(Result::ok);
    let tables = tables.filter(|entry| entry.path().extension().is_some_and(|kind| kind == "sst"));
    let disk: u64 = tables.filter_map(|entry| entry.metadata().ok()).map(|data| data.len()).sum();
    let puts: u64 = commits.iter().map(|commit| commit.receipts.len() as u64).sum();
    Ok(json!({
        "commit_cpu_ns_a_put": own * 1000 / puts,
        "all_cpu_ns_a_put": all * 1000 / puts,
        "row_bytes_a_put": bytes / puts,
        "disk_bytes_a_put": disk / puts,
        "sealed_rows_per_100_puts": sealed * 100 / puts,
    }))
}

/// Checks that the rows of `four` are as large as those that the store writes.
fn check_four(folder: &Path, commits: &[HeightCommit], keys: &AtRest) -> Outcome<()> {
    let commits = &commits[..commits.len().min(COMPARED)];
    let (store, database) = (
        RocksStore::open(&folder.join("store"), &StoreConfig::default(), keys)?,
        Database::open(&folder.join("four"), keys)?,
    );
    let mut bytes = 0;
    for commit in commits {
        store.commit(commit)?;
        bytes += database.commit(Format::Four, commit, None, false)?.0;
    }
    // Neither has finalizations: the store takes only valid ones.
    match store.stats().commit_bytes {
        stored if stored == bytes => Ok(()),
        stored => Err(format!("the store writes {stored} bytes, the copy of its format {bytes}: mend `four`").into()),
    }
}

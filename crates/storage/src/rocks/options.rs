//! RocksDB's options: memory, files, filters.
//!
//! *Invariants:* one compression for all levels, so that a file can move down a level without being written again.

use super::StoreConfig;
use super::filter::{Filters, NeededFrom};
use crate::rows::{NAMED_BYTES, STATE_KEY_BYTES, Table};
use rocksdb::{
    BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, DataBlockIndexType, LogLevel, Options, SliceTransform,
};
use std::sync::Arc;

/// The age at which a table file is compacted even if nothing is written: a day.
const PERIODIC_S: u64 = 24 * 60 * 60;

pub(super) fn database_options(config: &StoreConfig) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_max_background_jobs(config.background_jobs);
    options.set_db_write_buffer_size(config.write_buffer_bytes);
    options.set_max_total_wal_size(4 * config.write_buffer_bytes as u64);
    options.set_max_open_files(config.open_files_max);
    options.set_wal_recovery_mode(DBRecoveryMode::PointInTime);
    // Table files are written back bit by bit while they grow, so that their final sync doesn't delay the journal's
    // sync. The log is not: rows that are flushed before the kernel writes the log back cost the disk no second write.
    options.set_bytes_per_sync(1 << 20);
    // An idle node uses no CPU and writes no log about it.
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(2);
    options.set_max_log_file_size(1 << 20);
    options
}

pub(super) fn table_options(table: Table, config: &StoreConfig, blocks: &Cache, needed: &Arc<NeededFrom>) -> Options {
    let mut block = BlockBasedOptions::default();
    block.set_block_cache(blocks);
    block.set_cache_index_and_filter_blocks(true);
    block.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.set_write_buffer_size(config.write_buffer_bytes);
    options.set_max_write_buffer_number(4);
    // Sealed rows don't compress: an attempt only costs time (docs/adr/0005-encryption-at-rest.md).
    options.set_compression_type(DBCompressionType::None);
    match table {
        Table::Meta => {}
        Table::Log => block.set_block_size(32 << 10),
        Table::Tree | Table::Undo => {
            block.set_bloom_filter(10.0, false);
            block.set_data_block_index_type(DataBlockIndexType::BinaryAndHash);
            block.set_block_size(8 << 10);
        }
        // These rows are found by the part of their keys before the height.
        Table::Index | Table::State => {
            let prefix = if table == Table::State { STATE_KEY_BYTES } else { NAMED_BYTES };
            options.set_prefix_extractor(SliceTransform::create_fixed_prefix(prefix));
            block.set_bloom_filter(10.0, false);
            block.set_whole_key_filtering(false);
            block.set_block_size(8 << 10);
        }
    }
    if table == Table::State {
        // Most keys that execution reads are new: their absence should cost no search of the newest rows.
        options.set_memtable_prefix_bloom_ratio(0.02);
    }
    if table != Table::Tree {
        options.set_compaction_filter_factory(Filters { table, needed: needed.clone() });
        // If nothing is written, nothing is compacted otherwise, and pruned rows would stay.
        options.set_periodic_compaction_seconds(PERIODIC_S);
    }
    options.set_block_based_table_factory(&block);
    options
}

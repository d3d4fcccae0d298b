//! The filter of compaction: it drops rows below the floor, and values that a newer one had replaced by then.
//!
//! *Invariants:* nothing is dropped before the floor that allows it is durable; a leaf's newest row at or below the
//! floor stays, whatever its contents.

use crate::rows::{self, NAMED_BYTES, STATE_KEY_BYTES, Table};
use rocksdb::CompactionDecision;
use rocksdb::compaction_filter::CompactionFilter;
use rocksdb::compaction_filter_factory::{CompactionFilterContext, CompactionFilterFactory};
use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The limits from which on rows are needed. Both were synced before they are set here.
#[derive(Default)]
pub(super) struct NeededFrom {
    /// The oldest kept height.
    pub(super) height: AtomicU64,
    /// The oldest kept root. Changes of roots up to it are no longer read.
    pub(super) root: AtomicU64,
}

/// Returns the lowest height whose first row in format 5 is needed if heights from `oldest` on are: the height below stays,
/// since a receipt's proof begins with its root, and its header rests on the rows down to one with a whole header.
pub(super) fn first_head(oldest: u64) -> u64 {
    let below = oldest.saturating_sub(1);
    below - below % rows::WHOLE_EVERY
}

/// Makes a filter for each compaction of one table.
pub(super) struct Filters {
    pub(super) table: Table,
    pub(super) needed: Arc<NeededFrom>,
}

impl CompactionFilterFactory for Filters {
    type Filter = Filter;

    fn create(&mut self, _: CompactionFilterContext) -> Filter {
        Filter {
            table: self.table,
            height: self.needed.height.load(Ordering::Acquire),
            root: self.needed.root.load(Ordering::Acquire),
            leaf: None,
        }
    }

    fn name(&self) -> &CStr {
        c"rustorium-pruned"
    }
}

/// The filter of one compaction.
pub(super) struct Filter {
    table: Table,
    height: u64,
    root: u64,
    /// The last leaf that had a row at or below the floor. Its next such row is older, so it was replaced.
    leaf: Option<[u8; STATE_KEY_BYTES]>,
}

impl Filter {
    fn is_needed(&mut self, key: &[u8]) -> bool {
        let height = |at: usize| key.get(at..).and_then(|bytes| bytes.first_chunk()).map(|b| u64::from_be_bytes(*b));
        // Keys of another length don't belong to pruning.
        match self.table {
            Table::Tree => true,
            Table::Meta => rows::finalization_height(key).is_none_or(|height| height.0 >= self.height),
            Table::Log => match rows::head_height(key) {
                Some(height) => height.0 >= first_head(self.height),
                // The height below the oldest stays: a receipt's proof begins with its root.
                None => height(0).is_none_or(|height| height.saturating_add(1) >= self.height),
            },
            Table::Index if rows::is_plain(Table::Index, key) => {
                rows::bare_position(key).is_ok_and(|(height, _)| height.0 >= self.height)
            }
            Table::Index => height(NAMED_BYTES).is_none_or(|height| height >= self.height),
            Table::Undo => height(0).is_none_or(|root| root > self.root),
            Table::State => match (key.first_chunk(), height(STATE_KEY_BYTES)) {
                (Some(leaf), Some(inverted)) if !inverted <= self.height => self.leaf.replace(*leaf) != Some(*leaf),
                _ => true,
            },
        }
    }
}

impl CompactionFilter for Filter {
    fn filter(&mut self, _: u32, key: &[u8], _: &[u8]) -> CompactionDecision {
        if self.is_needed(key) { CompactionDecision::Keep } else { CompactionDecision::Remove }
    }

    fn name(&self) -> &CStr {
        c"rustorium-pruned"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::{AccountId, Height, StateKey};

    /// Tells which of these rows a compaction keeps, if heights from 10 and roots above 7 are needed.
    fn kept(table: Table, keys: &[Vec<u8>]) -> Vec<bool> {
        let mut filter = Filter { table, height: 10, root: 7, leaf: None };
        keys.iter().map(|key| filter.is_needed(key)).collect()
    }

    fn at(heights: [u64; 2], key: impl Fn(Height) -> Vec<u8>) -> Vec<Vec<u8>> {
        heights.map(|height| key(Height(height))).to_vec()
    }

    #[test]
    fn each_table_lets_go_of_what_is_below_the_floor_and_of_nothing_else() {
        let name = [3; NAMED_BYTES];
        assert_eq!(kept(Table::Index, &at([9, 10], |h| rows::index_key(&name, h).to_vec())), [false, true]);
        assert_eq!(kept(Table::Log, &at([8, 9], |h| rows::block_key(h).to_vec())), [false, true]);
        assert_eq!(kept(Table::Log, &at([8, 9], |h| rows::batch_key(h, 4).to_vec())), [false, true]);
        assert_eq!(kept(Table::Undo, &at([7, 8], |h| rows::undo_key(h, &name))), [false, true]);
        assert_eq!(kept(Table::Meta, &at([9, 10], |h| rows::finalization_key(h).to_vec())), [false, true]);
        assert_eq!(kept(Table::Meta, &[rows::FLOOR_KEY.to_vec()]), [true]);
        assert_eq!(kept(Table::Tree, &[vec![0; 9], Vec::new()]), [true, true]);
    }

    #[test]
    fn of_a_leaf_the_newest_row_at_or_below_the_floor_stays_and_none_that_it_replaced() {
        let leaf = |name: u8| StateKey { account: AccountId([1; 32]), name: [name; 32] };
        let rows = [(1, 12), (1, 11), (1, 9), (1, 8), (2, 10), (2, 9), (3, 4), (4, 11)];
        let keys: Vec<_> = rows.iter().map(|(name, h)| rows::version_key(&leaf(*name), Height(*h)).to_vec()).collect();
        assert!(keys.is_sorted(), "in a table's order");
        assert_eq!(kept(Table::State, &keys), [true, true, true, false, true, false, true, true]);
    }
}

//! The blocks above the final one: by digest, with their status, and the first one of each view and proposer.

use crate::periods::Periods;
use crate::port::{BlockFacts, PayloadStatus};
use crate::shard::Now;
use rustorium_types::{Block, BlockDigest, Cursor, Header, Height, Parameters, ValidatorIndex, View};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A known block.
pub struct Entry {
    /// The block.
    pub block: Arc<Block>,
    /// Result of the checks so far.
    pub status: PayloadStatus,
    /// Status that the core was last told.
    pub told: Option<PayloadStatus>,
    /// True if the signatures of the block's inline transactions were checked, or if there are none.
    pub inline_checked: bool,
    /// Time since which the block is pending, monotonic microseconds.
    pub pending_since_us: Option<u64>,
    /// Time since which listed batches are missing, monotonic microseconds.
    pub missing_since_us: Option<u64>,
    /// True if the journal holds the block: this node notarized or made it.
    pub journaled: bool,
    /// True if the block is known to be certified or an ancestor of a certified block, even without its own
    /// certificate.
    pub sure: bool,
}

/// Blocks above the newest block handed to execution, which is the root.
pub struct BlockTree {
    entries: HashMap<BlockDigest, Entry>,
    first: BTreeMap<(View, ValidatorIndex), BlockDigest>,
    root: (BlockDigest, Header),
    root_periods: Periods,
    /// View and digest of the newest block known to be notarized or final. The next block would extend it.
    best_parent: (View, BlockDigest),
    /// True if blocks are to be checked again at the end of the turn. `recheck_at_us` is the next other time, monotonic
    /// microseconds.
    recheck: bool,
    recheck_at_us: Option<u64>,
}

impl BlockTree {
    /// Creates a tree that has only its root. `root_periods`: the root periods of the chain that ends there.
    pub fn new(digest: BlockDigest, header: Header, root_periods: Periods) -> Self {
        Self {
            entries: HashMap::new(),
            first: BTreeMap::new(),
            best_parent: (header.view, digest),
            root: (digest, header),
            root_periods,
            recheck: false,
            recheck_at_us: None,
        }
    }

    /// Returns the root periods of the chain that ends with this block. `None` if an ancestor isn't known.
    pub fn periods(&self, digest: &BlockDigest, parameters: &Parameters) -> Option<Periods> {
        let path = self.path(digest).ok()?;
        let headers = path.iter().filter_map(|digest| self.entries.get(digest)).map(|entry| &entry.block.header);
        Some(headers.fold(self.root_periods.clone(), |periods, header| periods.after(header, parameters)))
    }

    /// Returns the root periods of the chain that ends at the root.
    pub fn root_periods(&self) -> &Periods {
        &self.root_periods
    }

    /// Remembers the newest certified block as the one that the next block would extend.
    pub fn consider_parent(&mut self, view: View, digest: BlockDigest) {
        if view >= self.best_parent.0 {
            self.best_parent = (view, digest);
        }
    }

    /// Returns the header of the newest certified block. `None` if the block isn't held.
    pub fn best_parent(&self) -> Option<&Header> {
        self.header(&self.best_parent.1)
    }

    /// Returns the header of the newest certified block, or the root's if the block isn't held.
    pub fn newest_certified(&self) -> &Header {
        self.best_parent().unwrap_or(&self.root.1)
    }

    /// Schedules a check of blocks at the end of the turn.
    pub fn recheck_soon(&mut self) {
        self.recheck = true;
    }

    /// Does the same if `news` is true.
    pub fn recheck_if(&mut self, news: bool) {
        self.recheck |= news;
    }

    /// Schedules a check of blocks at this time, monotonic microseconds.
    pub fn recheck_at(&mut self, at_us: u64) {
        self.recheck_at_us = Some(self.recheck_at_us.map_or(at_us, |known| known.min(at_us)));
    }

    /// Returns when blocks are to be checked again.
    pub fn recheck_at_us(&self) -> Option<u64> {
        self.recheck_at_us
    }

    /// Returns true if blocks are to be checked again now.
    pub fn take_recheck(&mut self, now: Now) -> bool {
        self.recheck |= self.recheck_at_us.take_if(|at| *at <= now.us).is_some();
        std::mem::take(&mut self.recheck)
    }

    /// Returns a block's facts and status if the core doesn't know that status yet; it is told now.
    pub fn take_news(&mut self, digest: &BlockDigest) -> Option<(BlockFacts, PayloadStatus)> {
        let entry = self.entries.get_mut(digest)?;
        let status = entry.status;
        (entry.told.replace(status) != Some(status)).then(|| (BlockFacts::of(*digest, &entry.block.header), status))
    }

    /// Returns the number of blocks above the root.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns the newest block handed to execution.
    pub fn root(&self) -> (&BlockDigest, &Header) {
        (&self.root.0, &self.root.1)
    }

    /// Returns the header of the root or of a block above it.
    pub fn header(&self, digest: &BlockDigest) -> Option<&Header> {
        if *digest == self.root.0 { Some(&self.root.1) } else { self.entries.get(digest).map(|e| &e.block.header) }
    }

    /// Returns a block above the root.
    pub fn get(&self, digest: &BlockDigest) -> Option<&Entry> {
        self.entries.get(digest)
    }

    /// Returns a block above the root.
    pub fn get_mut(&mut self, digest: &BlockDigest) -> Option<&mut Entry> {
        self.entries.get_mut(digest)
    }

    /// Returns all blocks above the root.
    pub fn entries(&self) -> impl Iterator<Item = (&BlockDigest, &Entry)> {
        self.entries.iter()
    }

    /// Keeps the first proposal of a view by its proposer. Returns false if another one came before it.
    pub fn claim_first(&mut self, view: View, proposer: ValidatorIndex, digest: BlockDigest) -> bool {
        *self.first.entry((view, proposer)).or_insert(digest) == digest
    }

    /// Adds a block unless it is known, or at or below the root. Returns true if it is new.
    pub fn insert(&mut self, digest: BlockDigest, block: Block) -> bool {
        if block.header.view <= self.root.1.view || self.entries.contains_key(&digest) {
            return false;
        }
        let inline_checked = block.inline.is_empty();
        let block = Arc::new(block);
        let status = PayloadStatus::Pending;
        let entry = Entry {
            block,
            status,
            told: None,
            inline_checked,
            pending_since_us: None,
            missing_since_us: None,
            journaled: false,
            sure: false,
        };
        self.entries.insert(digest, entry);
        true
    }

    /// Forgets a block whose inline transactions are not those of its header.
    pub fn remove(&mut self, digest: &BlockDigest) {
        self.entries.remove(digest);
    }

    /// Returns the digests of the blocks whose checks are not finished, by view.
    pub fn pending(&self) -> Vec<BlockDigest> {
        let pending = self.entries.iter().filter(|(_, entry)| entry.status == PayloadStatus::Pending);
        let mut pending: Vec<_> = pending.map(|(digest, entry)| (entry.block.header.view, *digest)).collect();
        pending.sort_unstable();
        pending.into_iter().map(|(_, digest)| digest).collect()
    }

    /// Returns the facts of all blocks above the root, by view.
    pub fn facts(&self) -> Vec<BlockFacts> {
        let mut facts: Vec<_> = self.entries.iter().map(|(d, e)| BlockFacts::of(*d, &e.block.header)).collect();
        facts.sort_unstable_by_key(|facts| (facts.view, facts.digest));
        facts
    }

    /// Returns the path from the root (exclusive) up to `digest` (inclusive). Of closing blocks it has only the last
    /// one.
    /// Errors: the missing ancestor, and its height unless that ancestor is `digest` itself.
    pub fn path(&self, digest: &BlockDigest) -> Result<Vec<BlockDigest>, (BlockDigest, Option<Height>)> {
        let mut path = Vec::new();
        let (mut at, mut height) = (*digest, None);
        while at != self.root.0 {
            let header = &self.entries.get(&at).ok_or((at, height))?.block.header;
            path.push(at);
            at = header.finalizes();
            height = header.height.0.checked_sub(1).map(Height);
        }
        path.reverse();
        Ok(path)
    }

    /// Makes `digest` the root and forgets every block of its view or below.
    pub fn advance(&mut self, digest: &BlockDigest, parameters: &Parameters) -> Option<Arc<Block>> {
        let entry = self.entries.remove(digest)?;
        self.root_periods = self.root_periods.after(&entry.block.header, parameters);
        self.root = (*digest, entry.block.header.clone());
        let view = entry.block.header.view;
        self.entries.retain(|_, entry| entry.block.header.view > view);
        self.first = self.first.split_off(&(view.next(), ValidatorIndex(0)));
        Some(entry.block)
    }

    /// Returns the root's cursors.
    pub fn root_cursors(&self) -> &[Cursor] {
        &self.root.1.cursors
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::shard::machines::testing::{at, child, context, tree};

    #[test]
    fn the_way_to_a_block_is_known_or_says_what_is_missing_on_it() {
        let context = context(0);
        let mut tree = tree(&context);
        let (one, first) = child(&context.genesis_header, context.genesis_digest, 1);
        let (two, second) = child(&first.header, one, 2);
        let (three, third) = child(&second.header, two, 4);
        assert!(tree.insert(one, first) && tree.insert(three, third));
        assert_eq!(tree.path(&three), Err((two, Some(Height(2)))));
        assert!(tree.insert(two, second.clone()) && !tree.insert(two, second));
        assert_eq!(tree.path(&three), Ok(vec![one, two, three]));
        tree.advance(&one, &context.parameters).unwrap();
        assert_eq!((tree.path(&three), tree.len()), (Ok(vec![two, three]), 2));
        assert_eq!(tree.path(&one), Ok(Vec::new()), "it is the root");
    }

    #[test]
    fn the_newest_certified_block_is_the_root_while_it_is_not_held() {
        let context = context(0);
        let mut tree = tree(&context);
        let (one, first) = child(&context.genesis_header, context.genesis_digest, 3);
        tree.consider_parent(View(3), one);
        assert_eq!((tree.best_parent(), tree.newest_certified().view), (None, View(0)));
        tree.insert(one, first);
        tree.consider_parent(View(2), BlockDigest([9; 32]));
        assert_eq!(tree.newest_certified().view, View(3), "an older certificate came late");
    }

    #[test]
    fn a_status_is_news_once_and_blocks_are_checked_again_when_their_time_has_come() {
        let context = context(0);
        let mut tree = tree(&context);
        let (one, first) = child(&context.genesis_header, context.genesis_digest, 1);
        tree.insert(one, first);
        assert_eq!(tree.take_news(&one).map(|(_, status)| status), Some(PayloadStatus::Pending));
        assert!(tree.take_news(&one).is_none());
        tree.get_mut(&one).unwrap().status = PayloadStatus::Ready;
        assert_eq!(tree.take_news(&one).map(|(_, status)| status), Some(PayloadStatus::Ready));
        tree.recheck_at(70);
        tree.recheck_at(50);
        assert!(!tree.take_recheck(at(49)) && tree.take_recheck(at(50)) && !tree.take_recheck(at(99)));
        tree.recheck_soon();
        assert!(tree.take_recheck(at(0)));
    }
}

//! Final blocks for event streams. Each is read once, for any number of subscribers.
//!
//! *Invariants:* one stored block is read at a time, however many subscribers are behind; the number of receipts bounds
//! the blocks that are kept.

use crate::backend::Backend;
use parking_lot::Mutex;
use rustorium_api::{BackendError, FinalBlock};
use rustorium_types::Height;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// Maximum number of receipts of all kept blocks, about 400 bytes each with their JSON. One block is always kept.
const RECEIPTS_MAX: usize = 16 * 1024;
/// Number of receipts that a block without receipts counts as.
const BLOCK_RECEIPTS: usize = 8;

#[derive(Default)]
struct KeptBlocks {
    blocks: BTreeMap<Height, Arc<FinalBlock>>,
    /// Heights of the blocks in the order in which they came.
    order: VecDeque<Height>,
    receipts: usize,
}

/// Blocks that subscribers were sent last.
pub(crate) struct FinalBlocks {
    kept: Mutex<KeptBlocks>,
    reading: Arc<Semaphore>,
}

impl Default for FinalBlocks {
    fn default() -> Self {
        Self { kept: Mutex::default(), reading: Arc::new(Semaphore::new(1)) }
    }
}

fn size(block: &FinalBlock) -> usize {
    block.receipts.len() + BLOCK_RECEIPTS
}

impl FinalBlocks {
    /// Returns the block of a height if it is kept.
    pub(crate) fn kept(&self, height: Height) -> Option<Arc<FinalBlock>> {
        self.kept.lock().blocks.get(&height).cloned()
    }

    /// Keeps a block in place of the oldest ones. Returns the kept block of its height.
    pub(crate) fn keep(&self, block: &Arc<FinalBlock>) -> Arc<FinalBlock> {
        let mut kept = self.kept.lock();
        if let Some(known) = kept.blocks.get(&block.height) {
            return known.clone();
        }
        while !kept.order.is_empty() && kept.receipts + size(block) > RECEIPTS_MAX {
            let Some(oldest) = kept.order.pop_front().and_then(|height| kept.blocks.remove(&height)) else { break };
            kept.receipts -= size(&oldest);
        }
        kept.receipts += size(block);
        kept.order.push_back(block.height);
        kept.blocks.insert(block.height, block.clone());
        block.clone()
    }

    /// Returns the block of an executed height. `None` if the block was pruned.
    pub(crate) async fn read(
        &self,
        backend: &Arc<dyn Backend>,
        height: Height,
    ) -> Result<Option<Arc<FinalBlock>>, BackendError> {
        let interrupted = || BackendError::Unavailable("the read was interrupted".to_owned());
        let turn = self.reading.clone().acquire_owned().await.map_err(|_| interrupted())?;
        if let Some(kept) = self.kept(height) {
            return Ok(Some(kept));
        }
        let backend = backend.clone();
        // The turn ends with the read, even if nobody waits for the result any more.
        let read = tokio::task::spawn_blocking(move || (backend.final_block(height), turn));
        let (found, _turn) = read.await.map_err(|_| interrupted())?;
        Ok(found?.map(|block| self.keep(&Arc::new(block))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::{AccountId, BlockDigest, Outcome, Receipt, TxId};

    fn block(height: u64, receipts: u32) -> Arc<FinalBlock> {
        let receipt = |index| Receipt {
            transaction: TxId([1; 32]),
            sender: AccountId::default(),
            nonce: 0,
            height: Height(height),
            index,
            time_ms: 1,
            work: 1,
            outcome: Outcome::Ok,
        };
        Arc::new(FinalBlock::new(Height(height), 1, BlockDigest::ZERO, (0..receipts).map(receipt).collect()))
    }

    #[test]
    fn what_is_kept_is_bounded_and_one_block_always_is() {
        let blocks = FinalBlocks::default();
        for height in 1..=10_000 {
            blocks.keep(&block(height, 1));
        }
        let kept = blocks.kept.lock().blocks.len();
        assert_eq!(kept, RECEIPTS_MAX / (1 + BLOCK_RECEIPTS));
        assert!(blocks.kept(Height(10_000)).is_some() && blocks.kept(Height(10_000 - kept as u64)).is_none());
        let large = block(10_001, RECEIPTS_MAX as u32 + 1);
        assert!(Arc::ptr_eq(&blocks.keep(&large), &large));
        assert!(Arc::ptr_eq(&blocks.keep(&block(10_001, 1)), &large), "the first of a height stays");
        let kept = blocks.kept.lock();
        assert_eq!((kept.blocks.len(), kept.receipts), (1, size(&large)));
    }
}

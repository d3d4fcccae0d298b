//! A final block as event streams send it. The JSON of each event is made once.
//!
//! *Invariants:* an event's JSON is made on first use, and never again while the block is kept.

use crate::json::ReceiptView;
use rustorium_types::{BlockDigest, Height, Receipt};
use serde_json::json;
use std::sync::{Arc, OnceLock};

/// A final, executed block for event streams.
#[derive(Debug)]
pub struct FinalBlock {
    /// Height of the block.
    pub height: Height,
    /// Time of the block, Unix ms.
    pub time_ms: u64,
    /// Digest of the block.
    pub digest: BlockDigest,
    /// Receipts of the block, in order.
    pub receipts: Vec<Receipt>,
    words: Box<[OnceLock<Arc<str>>]>,
}

impl FinalBlock {
    /// Creates a block without any JSON yet.
    pub fn new(height: Height, time_ms: u64, digest: BlockDigest, receipts: Vec<Receipt>) -> Self {
        let words = (0..=receipts.len()).map(|_| OnceLock::new()).collect();
        Self { height, time_ms, digest, receipts, words }
    }

    /// Returns the JSON of the receipt's event, or of the block's event if `index` is the number of receipts.
    pub fn words(&self, index: usize) -> Arc<str> {
        let make = || match self.receipts.get(index) {
            Some(receipt) => serde_json::to_string(&ReceiptView::from(receipt)).unwrap_or_default().into(),
            None => self.block_words().into(),
        };
        self.words.get(index).map_or_else(make, |words| words.get_or_init(make).clone())
    }

    fn block_words(&self) -> String {
        json!({
            "height": self.height,
            "time_ms": self.time_ms,
            "digest": self.digest,
            "receipts": self.receipts.len(),
        })
        .to_string()
    }
}

/// The newest executed height, with its block if somebody was subscribed at the time.
#[derive(Clone, Debug, Default)]
pub struct Newest {
    /// The height.
    pub height: Height,
    /// Block at the height.
    pub block: Option<Arc<FinalBlock>>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::{AccountId, Outcome, TxId};

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
    fn words_are_made_once() {
        let block = block(3, 2);
        assert!(block.words.iter().all(|words| words.get().is_none()));
        let (receipt, whole) = (block.words(1), block.words(2));
        assert!(receipt.contains("\"index\":1") && whole.contains("\"receipts\":2"));
        assert!(Arc::ptr_eq(&receipt, &block.words(1)) && Arc::ptr_eq(&whole, &block.words(2)));
        assert!(block.words[0].get().is_none());
    }
}

//! Log lines for the same blocks on all nodes, by which the nodes' logs are put into one order.
//!
//! *Invariants:* a block's header alone decides whether it is marked, so all nodes mark the same blocks; a proposer's
//! line is written before its block can have left; at most one block is marked in each `MARK_SPAN_MS` of block time.

use rustorium_storage::HeightCommit;
use rustorium_types::Header;
use tracing::Level;

/// Span of block time. The first block in each span is marked.
const MARK_SPAN_MS: u64 = 5_000;

fn is_marked(time_ms: u64, above_ms: u64) -> bool {
    time_ms / MARK_SPAN_MS != above_ms / MARK_SPAN_MS
}

/// Logs this node's own proposal just before it leaves, if the block is marked.
pub fn proposed(header: &Header, above_ms: u64) {
    if is_marked(header.time_ms, above_ms) {
        tracing::info!(event = "proposed", height = header.height.0, view = header.view.0, epoch = header.epoch.0);
    }
}

/// Logs an executed final block if it is marked. At level `debug`, logs each of its transactions too.
pub fn executed(commit: &HeightCommit, above_ms: u64) {
    let header = &commit.block.header;
    if is_marked(header.time_ms, above_ms) {
        tracing::info!(
            event = "final",
            height = header.height.0,
            view = header.view.0,
            epoch = header.epoch.0,
            proposer = header.proposer.0,
            transactions = header.transactions,
        );
    }
    if tracing::enabled!(Level::DEBUG) {
        for receipt in &commit.receipts {
            let (id, index) = (receipt.transaction, receipt.index);
            tracing::debug!(event = "transaction_final", transaction = %id, height = header.height.0, index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_of_a_span_is_marked_also_after_a_pause() {
        let times = [0, 4_999, 5_000, 5_001, 9_999, 31_000, 31_001, 35_000];
        let marked: Vec<u64> =
            times.windows(2).filter(|pair| is_marked(pair[1], pair[0])).map(|pair| pair[1]).collect();
        assert_eq!(marked, [5_000, 31_000, 35_000]);
    }
}

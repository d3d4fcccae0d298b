//! The check of a run of final blocks: one chain from a known parent up to the block that a quorum finalized.

use rustorium_crypto::{Verified, block_digest, block_payload_root, verify_finalization};
use rustorium_types::{Block, BlockDigest, Certificate, Cursor, End, Header, Height, PublicKey, VoteKind};
use thiserror::Error;

/// A run of blocks was refused. The peer that served it is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum FinalBlocksRefused {
    /// There are no blocks.
    #[error("the answer has no blocks")]
    Empty,
    /// A block does not follow the one before.
    #[error("the block at height {height} does not follow the one before it")]
    Broken {
        /// The height in the block's header.
        height: Height,
    },
    /// The certificate is not a finalization of the last block.
    #[error("the certificate is not a finalization of the last block, at height {height}")]
    NotFinalized {
        /// The height in the last block's header.
        height: Height,
    },
    /// The certificate does not hold.
    #[error("the finalization does not hold under the committee's keys")]
    Certificate,
    /// The first block's transactions are not those that its header names.
    #[error("the transactions of the block at height {height} are not those of its header")]
    Payload {
        /// Height of the block.
        height: Height,
    },
}

/// A checked run of final blocks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FinalChain {
    /// The blocks' digests, in order.
    pub digests: Vec<BlockDigest>,
    /// Number of first blocks that have their inline transactions, checked against their headers. Later ones may be
    /// bare headers, sent to reach the certified one. `check_final_blocks` has no parent, so it can't check the first
    /// block's.
    pub complete: usize,
    /// The finalization of the last block, and thereby of all.
    pub finalization: Verified<Certificate>,
}

/// Checks that `blocks` follow the block with digest `from`, each as the child of the one before, up to the one that
/// `finalization` certifies, under the committee's keys or its owners'. The first block's inline transactions are left
/// to the caller (`check_final_chain` checks everything).
pub fn check_final_blocks(
    blocks: &[Block],
    finalization: &Certificate,
    from: &BlockDigest,
    keys: &[PublicKey],
    owners: &[PublicKey],
) -> Result<FinalChain, FinalBlocksRefused> {
    check(blocks, finalization, from, None, (keys, owners))
}

/// Does what `check_final_blocks` does, after a known parent, and checks the payload root of each block that counts as
/// complete.
pub fn check_final_chain(
    parent: &Header,
    blocks: &[Block],
    finalization: &Certificate,
    keys: &[PublicKey],
    owners: &[PublicKey],
) -> Result<FinalChain, FinalBlocksRefused> {
    let first = blocks.first().ok_or(FinalBlocksRefused::Empty)?;
    if !follows(&first.header, parent) {
        return Err(FinalBlocksRefused::Broken { height: first.header.height });
    }
    check(blocks, finalization, &block_digest(parent), Some(&parent.cursors), (keys, owners))
}

fn check(
    blocks: &[Block],
    finalization: &Certificate,
    from: &BlockDigest,
    cursors: Option<&[Cursor]>,
    (keys, owners): (&[PublicKey], &[PublicKey]),
) -> Result<FinalChain, FinalBlocksRefused> {
    let last = blocks.last().ok_or(FinalBlocksRefused::Empty)?;
    let digests: Vec<BlockDigest> = blocks.iter().map(|block| block_digest(&block.header)).collect();
    let parents = std::iter::once(from).chain(&digests);
    if let Some((block, _)) = blocks.iter().zip(parents).find(|(block, parent)| block.header.finalizes() != **parent) {
        return Err(FinalBlocksRefused::Broken { height: block.header.height });
    }
    if let Some(pair) = blocks.windows(2).find(|pair| !follows(&pair[1].header, &pair[0].header)) {
        return Err(FinalBlocksRefused::Broken { height: pair[1].header.height });
    }
    if !finalizes(finalization, &last.header, digests.last()) {
        return Err(FinalBlocksRefused::NotFinalized { height: last.header.height });
    }
    let complete = complete(blocks, cursors);
    if complete == 0 {
        return Err(FinalBlocksRefused::Payload { height: blocks[0].header.height });
    }
    let finalization = verify_finalization(keys, owners, &last.header, finalization);
    let finalization = finalization.ok_or(FinalBlocksRefused::Certificate)?;
    Ok(FinalChain { digests, complete, finalization })
}

/// Compares a header's statements about its parent, except the digest. If honest validators voted, the digests already
/// ensure it. This check keeps a broken run from being taken for a longer one.
fn follows(header: &Header, parent: &Header) -> bool {
    // Of closing blocks, only the last one is kept above the boundary.
    let closes = matches!(header.end, End::Closing(_)) && header.height > parent.height;
    header.shard == parent.shard
        && (closes || header.height == parent.height.next() && header.parent_view == parent.view)
        && (header.epoch, header.view) > (parent.epoch, parent.view)
}

fn finalizes(certificate: &Certificate, header: &Header, digest: Option<&BlockDigest>) -> bool {
    let body = &certificate.body;
    body.kind == VoteKind::Finalize
        && Some(&body.block) == digest
        && (body.chain, body.shard, body.epoch, body.view) == (header.chain, header.shard, header.epoch, header.view)
}

/// Returns the number of first blocks whose inline transactions are those of their headers.
fn complete(blocks: &[Block], cursors: Option<&[Cursor]>) -> usize {
    let parents = std::iter::once(cursors).chain(blocks.iter().map(|block| Some(block.header.cursors.as_slice())));
    let whole = |(block, parent): &(&Block, Option<&[Cursor]>)| {
        parent.is_none_or(|parent| block_payload_root(block, parent) == block.header.payload_root)
    };
    blocks.iter().zip(parents).take_while(whole).count()
}

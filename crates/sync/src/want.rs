//! Wants: data that a node lacks, the questions for it, and the check that an answer fits.

use rustorium_crypto::{batch_digest, block_digest};
use rustorium_types::{BatchDigest, Block, BlockDigest, Height, Request, Response, ValidatorIndex};

/// Data to be fetched.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Want {
    /// A block.
    Block(BlockDigest),
    /// A batch of a lane.
    Batch {
        /// The lane.
        lane: ValidatorIndex,
        /// The digest.
        digest: BatchDigest,
    },
    /// Final blocks from a height on. One or more fulfil the want.
    FinalBlocks {
        /// First height.
        first: Height,
        /// Largest number of blocks.
        count: u32,
    },
    /// A final block and blocks below it. Each is proven by the hash in the one above it.
    Ancestors {
        /// Digest of the newest of them.
        digest: BlockDigest,
        /// Height of the newest of them.
        height: Height,
        /// Number of blocks, less than `SYNC_ITEMS_MAX`.
        count: u32,
    },
}

/// Judgement of an answer to a want.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Fulfilled,
    NotHeld,
    Wrong,
}

impl Want {
    pub(crate) fn request(&self) -> Request {
        match *self {
            Self::Block(digest) => Request::Block(digest),
            Self::Batch { lane, digest } => Request::Batch { lane, digest },
            Self::FinalBlocks { first, count } => Request::FinalBlocks { first, count },
            Self::Ancestors { height, count, .. } => {
                Request::FinalBlocks { first: Height((height.0 + 1).saturating_sub(u64::from(count))), count }
            }
        }
    }

    /// Compares digests. Signatures and payload roots are left to callers that have keys and parents.
    pub(crate) fn judge(&self, response: &Response) -> Verdict {
        let right = match (self, response) {
            (_, Response::NotHeld) => return Verdict::NotHeld,
            (Self::Block(digest), Response::Block(block)) => block_digest(&block.header) == *digest,
            (Self::Batch { lane, digest }, Response::Batch(batch)) => {
                batch.body.author == *lane && batch_digest(&batch.body) == *digest
            }
            (Self::FinalBlocks { first, .. }, Response::FinalBlocks { blocks, finalization }) => {
                if blocks.is_empty() || finalization.is_none() {
                    return Verdict::NotHeld;
                }
                consecutive(*first, blocks)
            }
            (Self::Ancestors { digest, height, .. }, Response::FinalBlocks { blocks, .. }) => {
                // An older release answers up to a lower block that it has a finalization of.
                let Some(last) = blocks.last().filter(|last| last.header.height == *height) else {
                    return Verdict::NotHeld;
                };
                block_digest(&last.header) == *digest && linked(blocks)
            }
            _ => false,
        };
        if right { Verdict::Fulfilled } else { Verdict::Wrong }
    }
}

/// Tells if each block is the parent of the next one.
fn linked(blocks: &[Block]) -> bool {
    blocks.windows(2).all(|pair| pair[1].header.parent == block_digest(&pair[0].header))
}

fn consecutive(first: Height, blocks: &[Block]) -> bool {
    blocks.iter().zip(first.0..).all(|(block, height)| block.header.height.0 == height)
}

//! What a node lacks, as a question, and whether an answer is one to it.

use rustorium_crypto::{batch_digest, block_digest};
use rustorium_types::{BatchDigest, Block, BlockDigest, Height, Request, Response, ValidatorIndex};

/// Something to be fetched.
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
    /// Final blocks from a height on; one or more fulfil the want.
    FinalBlocks {
        /// First height.
        first: Height,
        /// At most this many.
        count: u32,
    },
    /// A final block and those below it, each proven by the hash in the one above it.
    Ancestors {
        /// The newest of them.
        digest: BlockDigest,
        /// Its height.
        height: Height,
        /// So many, fewer than `SYNC_ITEMS_MAX`.
        count: u32,
    },
}

/// What an answer is to a want.
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

    /// Digests are compared here; signatures and payload roots are left to those who have keys and parents.
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
                // An older release answers up to a block below that it has a finalization of.
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

/// Whether each block is the parent of the next one.
fn linked(blocks: &[Block]) -> bool {
    blocks.windows(2).all(|pair| pair[1].header.parent == block_digest(&pair[0].header))
}

fn consecutive(first: Height, blocks: &[Block]) -> bool {
    blocks.iter().zip(first.0..).all(|(block, height)| block.header.height.0 == height)
}

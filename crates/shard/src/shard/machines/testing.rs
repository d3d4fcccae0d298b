//! A committee of four and blocks of its chain, for the tests of machines.

#[path = "../../../../execution/tests/common/chain.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod made;

use crate::context::Context;
use crate::periods::Periods;
use crate::shard::Now;
use crate::shard::machines::blocks::BlockTree;
use rustorium_crypto::{block_digest, payload_root};
use rustorium_types::{Block, BlockDigest, BoundedVec, Genesis, Header, Parameters, ShardId, View};

pub(crate) fn genesis() -> Genesis {
    made::genesis_of(2, 1_000, Parameters::default())
}

/// Returns the context of the member with this place.
pub(crate) fn context(me: u8) -> Context {
    Context::new(&genesis(), ShardId::ROOT, made::validator_key(me))
}

/// Returns a tree that has only the genesis block.
pub(crate) fn tree(context: &Context) -> BlockTree {
    BlockTree::new(context.genesis_digest, context.genesis_header.clone(), Periods::default())
}

/// Returns an empty child of this block in this view, and its digest.
pub(crate) fn child(parent: &Header, digest: BlockDigest, view: u64) -> (BlockDigest, Block) {
    let header = Header {
        view: View(view),
        height: parent.height.next(),
        parent: digest,
        parent_view: parent.view,
        time_ms: parent.time_ms + 1,
        payload_root: payload_root(&[], &parent.cursors, &parent.cursors),
        transactions: 0,
        declared_work: 0,
        ..parent.clone()
    };
    (block_digest(&header), Block { header, inline: BoundedVec::default() })
}

pub(crate) fn at(us: u64) -> Now {
    Now { us, wall_ms: 0 }
}

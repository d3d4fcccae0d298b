//! Messages that a validator could sign against the rules.

use crate::chain::{N, v, validator_key};
use rustorium_crypto::{block_digest, chain_id, payload_root};
use rustorium_shard::context::Context;
use rustorium_types::*;

/// An empty block on a parent, for this view and its leader.
pub fn child(context: &Context, parent: &Header, view: u64) -> Block {
    let header = Header {
        version: context.rules.version(),
        chain: context.chain(),
        shard: ShardId(0),
        epoch: Epoch(0),
        view: View(view),
        height: parent.height.next(),
        parent: block_digest(parent),
        parent_view: parent.view,
        proposer: v(view as usize % N),
        time_ms: parent.time_ms + 1,
        payload_root: payload_root(&[], &parent.cursors, &parent.cursors),
        cursors: parent.cursors.clone(),
        transactions: 0,
        declared_work: 0,
        speaks: 0,
        validator_set: context.hashes.validator_set,
        end: End::GoesOn,
        next_validator_set: context.hashes.validator_set,
        parameters: context.hashes.parameters,
        shard_map: context.hashes.shard_map,
        result: parent.result,
        state: StateClaim::NoneYet,
    };
    Block { header, inline: BoundedVec::default() }
}

pub fn body(context: &Context, kind: VoteKind, view: u64, block: BlockDigest) -> VoteBody {
    VoteBody { chain: context.chain(), shard: ShardId(0), epoch: Epoch(0), view: View(view), kind, block }
}

/// The block as its proposer sends it.
pub fn proposal(context: &Context, block: &Block) -> Message {
    let header = &block.header;
    let body = body(context, VoteKind::Notarize, header.view.0, block_digest(header));
    let signature = validator_key(usize::from(header.proposer.0)).sign_vote(header.proposer, body).signature;
    Message::Proposal(Box::new(Proposal {
        header: header.clone(),
        inline: block.inline.clone(),
        signature,
        notarization: None,
        nullifications: BoundedVec::default(),
    }))
}

pub fn certificate(body: VoteBody, signers: &[usize]) -> Certificate {
    let sign = |signer: &usize| (v(*signer), validator_key(*signer).sign_vote(v(*signer), body).signature);
    Certificate { body, signatures: BoundedVec::new(signers.iter().map(sign).collect()).unwrap() }
}

pub fn batch(genesis: &Genesis, author: usize, seq: u64, previous: BatchDigest, txs: &[Transaction]) -> Batch {
    let body = BatchBody {
        chain: chain_id(genesis),
        shard: ShardId(0),
        epoch: Epoch(0),
        author: v(author),
        seq,
        previous,
        transactions: BoundedVec::new(txs.to_vec()).unwrap(),
    };
    validator_key(author).sign_batch(body).1
}

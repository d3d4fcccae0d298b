//! Blocks, batches and certificates of a committee of four.
#![allow(dead_code)]

#[path = "../../../types/tests/headers/mod.rs"]
mod headers;

use headers::empty_header;
use rustorium_crypto::{SigningKey, Verified, block_digest, certify, payload_root, verify_vote};
use rustorium_types::{
    AccountId, Batch, BatchBody, BatchDigest, Block, BlockDigest, BoundedBytes, BoundedVec, Certificate, ChainId,
    Cursor, Epoch, Header, Operation, PublicKey, ShardId, Transaction, Transaction1, TransactionBody, ValidatorIndex,
    View, VoteBody, VoteKind,
};

pub fn key(index: u16) -> SigningKey {
    SigningKey::from_seed(&[index as u8; 32])
}

pub fn keys() -> Vec<PublicKey> {
    (0..4).map(|index| key(index).public()).collect()
}

/// A transaction whose value has `bytes` bytes.
pub fn transaction(bytes: usize) -> Transaction {
    let (namespace, key) = (AccountId([2; 32]), BoundedBytes::new(b"k".to_vec()).unwrap());
    let put = Operation::Put { namespace, key, value: BoundedBytes::new(vec![7; bytes]).unwrap() };
    let body = TransactionBody {
        version: 1,
        chain: ChainId([1; 32]),
        sender: namespace,
        public_key: [0; 32],
        nonce: 0,
        expires_at_ms: 1,
        work_limit: 1,
        shard_hint: None,
        location: None,
        data: BoundedVec::new(vec![put]).unwrap(),
    };
    Transaction1 { body, signature: [0; 64] }.into()
}

/// The child of `parent` with these transactions.
pub fn child(parent: &Header, inline: Vec<Transaction>) -> Block {
    let mut header = parent.clone();
    let mut cursors = parent.cursors.clone().into_vec();
    cursors[0].next_seq += 1;
    header.payload_root = payload_root(&inline, &parent.cursors, &cursors);
    header.cursors = BoundedVec::new(cursors).unwrap();
    header.height = parent.height.next();
    header.parent = block_digest(parent);
    header.parent_view = parent.view;
    header.view = View(parent.view.0 + 2);
    Block { header, inline: BoundedVec::new(inline).unwrap() }
}

pub fn genesis() -> Header {
    let cursors = BoundedVec::new(vec![Cursor::default(); 4]).unwrap();
    Header { version: 1, chain: ChainId([1; 32]), cursors, ..empty_header() }
}

/// `count` blocks after genesis.
pub fn run(count: usize, bytes: usize) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for _ in 0..count {
        let parent = blocks.last().map_or_else(genesis, |block| block.header.clone());
        blocks.push(child(&parent, vec![transaction(bytes)]));
    }
    blocks
}

/// A block of its own, by number.
pub fn block(number: u8) -> (Block, BlockDigest) {
    let mut parent = genesis();
    parent.time_ms = u64::from(number);
    let block = child(&parent, vec![]);
    let digest = block_digest(&block.header);
    (block, digest)
}

pub fn batch(author: u16, seq: u64) -> Batch {
    let body = BatchBody {
        chain: ChainId([1; 32]),
        shard: ShardId(0),
        epoch: Epoch(0),
        author: ValidatorIndex(author),
        seq,
        previous: BatchDigest::ZERO,
        transactions: BoundedVec::default(),
    };
    key(author).sign_batch(body).1
}

pub fn certificate_of(kind: VoteKind, view: u64, block: BlockDigest) -> Verified<Certificate> {
    let body = VoteBody { chain: ChainId([1; 32]), shard: ShardId(0), epoch: Epoch(0), view: View(view), kind, block };
    let vote =
        |signer| verify_vote(&key(signer).public(), key(signer).sign_vote(ValidatorIndex(signer), body)).unwrap();
    certify(4, &(0..3).map(vote).collect::<Vec<_>>()).unwrap()
}

/// A finalization.
pub fn certificate(view: u64, block: BlockDigest) -> Verified<Certificate> {
    certificate_of(VoteKind::Finalize, view, block)
}

/// The finalization of a block.
pub fn finalization(block: &Block) -> Certificate {
    certificate(block.header.view.0, block_digest(&block.header)).into_inner()
}

//! The rules between a header and its parent, each broken by itself.

use crate::chain::{context, genesis, put};
use crate::forge;
use rustorium_crypto::payload_root;
use rustorium_shard::rules::{check_header, check_payload};
use rustorium_txpool::{Weight, weigh};
use rustorium_types::*;

type Break = fn(&mut Header, &Header);

fn at_height_ten() -> (Header, Block, Parameters) {
    let genesis = genesis();
    let context = context(&genesis, 1);
    let mut parent = context.genesis_header.clone();
    parent.height = Height(10);
    parent.view = View(14);
    parent.result = ResultClaim { height: Height(8), root: Hash([8; 32]) };
    let mut cursors = parent.cursors.clone().into_vec();
    cursors[2] = Cursor { next_seq: 5, tip: BatchDigest([5; 32]) };
    parent.cursors = BoundedVec::new(cursors).unwrap();
    let block = forge::child(&context, &parent, 17);
    (parent, block, genesis.parameters)
}

fn list(header: &mut Header, parent: &Header, lane: usize, cursor: Cursor) {
    let mut cursors = header.cursors.clone().into_vec();
    cursors[lane] = cursor;
    header.cursors = BoundedVec::new(cursors).unwrap();
    header.payload_root = payload_root(&[], &parent.cursors, &header.cursors);
}

#[test]
fn a_header_of_version_one_names_no_later_version() {
    let (header, ..) = at_height_ten();
    let says = |version, speaks| Header { version, speaks, ..header.clone() }.speaks_well();
    assert!(says(1, 0) && says(2, 0) && says(2, 3) && says(2, u64::from(u16::MAX)));
    assert!(!says(1, 2) && !says(1, 3) && !says(2, 1) && !says(2, 2) && !says(2, 1 << 16));
}

const BREAKS: [(&str, Break); 22] = [
    ("the height is not the parent's plus one", |h, _| h.height = Height(12)),
    ("the height is not the parent's plus one", |h, p| h.height = p.height),
    ("the parent's view is another", |h, _| h.parent_view = View(13)),
    ("the view is not above the parent's", |h, p| h.view = p.view),
    ("the time is not above the parent's", |h, p| h.time_ms = p.time_ms),
    ("it claims a state root above its result", |h, _| {
        h.state = StateClaim::Rooted { height: h.result.height.next(), first: Height(1), root: Hash::ZERO };
    }),
    ("its state claim goes back or changes a root", |h, _| {
        h.state = StateClaim::Rooted { height: Height(0), first: Height(0), root: Hash::ZERO };
    }),
    ("it names a protocol version that is no later one", |h, _| h.speaks = 2),
    ("it names a protocol version that is no later one", |h, _| h.speaks = 1 << 16),
    ("a lane's cursor goes back", |h, p| list(h, p, 2, Cursor { next_seq: 4, tip: BatchDigest([4; 32]) })),
    ("a lane's cursor goes back", |h, p| list(h, p, 2, Cursor { next_seq: 5, tip: BatchDigest([6; 32]) })),
    ("a lane's cursor goes back", |h, p| list(h, p, 2, Cursor { next_seq: 6, tip: BatchDigest([5; 32]) })),
    ("a lane's cursor goes back", |h, p| {
        h.cursors = BoundedVec::new(h.cursors.as_slice()[1..].to_vec()).unwrap();
        h.payload_root = payload_root(&[], &p.cursors, &h.cursors);
    }),
    ("the payload root is another", |h, _| h.payload_root = Hash::ZERO),
    ("there are too many transactions", |h, _| h.transactions = Parameters::default().block_transactions_max + 1),
    ("there is too much declared work", |h, _| h.declared_work = Parameters::default().block_work_max + 1),
    ("it claims a height that is not an ancestor's", |h, _| h.result.height = h.height),
    ("it claims a height that is not an ancestor's", |h, _| h.result.height = Height(u64::MAX)),
    ("its claim goes back", |h, _| h.result.height = Height(7)),
    ("its claim changes a root", |h, _| h.result.root = Hash([9; 32])),
    ("the height is not the parent's plus one", |h, _| h.height = Height(u64::MAX)),
    ("the height is not the parent's plus one", |h, _| h.height = Height(0)),
];

#[test]
fn each_broken_rule_is_named() {
    let (parent, block, parameters) = at_height_ten();
    assert_eq!(check_header(&parent, &block, &parameters), Ok(()));
    for (number, (rule, break_it)) in BREAKS.iter().enumerate() {
        let mut block = block.clone();
        break_it(&mut block.header, &parent);
        assert_eq!(check_header(&parent, &block, &parameters), Err(*rule), "case {number}");
    }
}

const BREAKS_OF_A_CLOSING_BLOCK: [(&str, Break); 15] = [
    ("the height is not the parent's plus one", |h, p| h.height = p.height),
    ("the parent's view is another", |h, _| h.parent_view = View(13)),
    ("the view is not above the parent's", |h, p| h.view = p.view),
    ("the time is not above the parent's", |h, p| h.time_ms = p.time_ms),
    ("a block after the epoch's end doesn't close it", |h, _| h.end = End::GoesOn),
    ("a block after the epoch's end doesn't close it", |h, _| h.end = End::Closing(BlockDigest([7; 32]))),
    ("a closing block names another next term", |h, _| h.next_validator_set = Hash([3; 32])),
    ("a closing block has a payload", |h, _| h.transactions = 1),
    ("a closing block has a payload", |h, _| h.declared_work = 1),
    ("a closing block has a payload", |h, _| h.speaks = 1),
    ("a closing block has a payload", |h, p| list(h, p, 2, Cursor { next_seq: 6, tip: BatchDigest([6; 32]) })),
    ("a closing block has a payload", |h, _| h.payload_root = Hash::ZERO),
    ("a closing block claims what its parent doesn't", |h, _| h.result.height = h.result.height.next()),
    ("a closing block claims what its parent doesn't", |h, _| h.result.root = Hash([9; 32])),
    ("a closing block claims what its parent doesn't", |h, _| {
        h.state = StateClaim::Rooted { height: Height(8), first: Height(1), root: Hash([9; 32]) };
    }),
];

#[test]
fn each_broken_rule_of_a_closing_block_is_named() {
    let (mut parent, mut block, parameters) = at_height_ten();
    (parent.end, parent.next_validator_set) = (End::Boundary, Hash([2; 32]));
    (block.header.end, block.header.next_validator_set) = (End::Closing(block.header.parent), Hash([2; 32]));
    assert_eq!(check_header(&parent, &block, &parameters), Ok(()));
    for (number, (rule, break_it)) in BREAKS_OF_A_CLOSING_BLOCK.iter().enumerate() {
        let mut block = block.clone();
        break_it(&mut block.header, &parent);
        assert_eq!(check_header(&parent, &block, &parameters), Err(*rule), "case {number}");
    }
    block.inline = BoundedVec::new(vec![put(&genesis(), 0, 0).into_inner()]).unwrap();
    assert_eq!(check_header(&parent, &block, &parameters), Err("a closing block has a payload"));
}

#[test]
fn allowed_headers_pass() {
    let (parent, mut block, parameters) = at_height_ten();
    list(&mut block.header, &parent, 2, Cursor { next_seq: 9, tip: BatchDigest([9; 32]) });
    block.header.result = ResultClaim { height: parent.height, root: Hash([1; 32]) };
    block.header.transactions = parameters.block_transactions_max;
    block.header.declared_work = parameters.block_work_max;
    assert_eq!(check_header(&parent, &block, &parameters), Ok(()));
}

#[test]
fn far_above_its_claim_a_block_lists_nothing() {
    let (mut parent, mut block, parameters) = at_height_ten();
    parent.height = Height(parent.result.height.0 + parameters.claim_lag_max);
    block.header.height = parent.height.next();
    assert_eq!(check_header(&parent, &block, &parameters), Ok(()), "an empty one may go on");
    block.header.transactions = 1;
    let rule = "it lists transactions too far above its claims";
    assert_eq!(check_header(&parent, &block, &parameters), Err(rule));
    block.header.result = ResultClaim { height: parent.result.height.next(), root: Hash([2; 32]) };
    assert_eq!(check_header(&parent, &block, &parameters), Ok(()));
}

#[test]
fn inline_transactions_are_bound_by_the_payload_root() {
    let (parent, mut block, parameters) = at_height_ten();
    // Under version 2 a proposal has no inline transactions.
    block.header.version = Rules::V1.version();
    block.inline = BoundedVec::new(vec![put(&genesis(), 0, 0).into_inner()]).unwrap();
    assert_eq!(check_header(&parent, &block, &parameters), Err("the payload root is another"));
}

#[test]
fn the_sums_and_the_caps_are_the_payloads() {
    let (_, mut block, parameters) = at_height_ten();
    let transaction = put(&genesis(), 0, 0).into_inner();
    let inline = weigh(Rules::NEWEST, std::slice::from_ref(&transaction));
    block.inline = BoundedVec::new(vec![transaction]).unwrap();
    let listed = Weight { transactions: 3, work: 500, bytes: 900 };
    (block.header.transactions, block.header.declared_work) = (4, 500 + inline.work);
    assert_eq!(check_payload(&block, listed, &parameters), Ok(()));
    let sums = Err("the header's sums are not the payload's");
    assert_eq!(check_payload(&block, Weight { transactions: 2, ..listed }, &parameters), sums);
    assert_eq!(check_payload(&block, Weight { work: 501, ..listed }, &parameters), sums);
    let heavy = Weight { bytes: u64::from(parameters.block_bytes_max), ..listed };
    assert_eq!(check_payload(&block, heavy, &parameters), Err("the payload is over a block's caps"));
}

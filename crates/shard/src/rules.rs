//! Validity of a block against its parent. Pure, and the same for proposer, voter and catch-up.

use crate::periods::claimed_height;
use crate::port::PayloadStatus;
use rustorium_crypto::{CheckedBatch, payload_root};
use rustorium_txpool::{BlockCaps, Weight, weigh};
use rustorium_types::{Block, BlockDigest, Cursor, End, Hash, Header, Height, Parameters};
use std::sync::Arc;

/// Batches per lane, in the order of their seqs.
pub type Payload = Vec<Vec<Arc<CheckedBatch>>>;

/// Checks the rules that depend on header and parent alone. Errors: the broken rule, for the log.
pub fn check_header(parent: &Header, block: &Block, parameters: &Parameters) -> Result<(), &'static str> {
    let header = &block.header;
    if parent.ends_epoch() {
        check_closing(parent, header)?;
        return ensure(block.inline.is_empty(), "a closing block has a payload");
    }
    ensure(!matches!(header.end, End::Closing(_)), "it closes an epoch whose end is not below it")?;
    check_place(parent, header)?;
    let beside = block.inline.is_empty() || header.rules().lists_beside_lanes();
    ensure(beside, "it has transactions beside the lanes, which only owners that end an epoch may")?;
    check_state_claim(parent, header, parameters)?;
    ensure(header.speaks_well(), "it names a protocol version that is no later one")?;
    ensure(cursors_advance(&parent.cursors, &header.cursors), "a lane's cursor goes back")?;
    let root = payload_root(&block.inline, &parent.cursors, &header.cursors);
    ensure(root == header.payload_root, "the payload root is another")?;
    ensure(header.transactions <= parameters.block_transactions_max, "there are too many transactions")?;
    ensure(header.declared_work <= parameters.block_work_max, "there is too much declared work")?;
    let below = header.result.height <= parent.height;
    ensure(below, "it claims a height that is not an ancestor's")?;
    ensure(header.result.height >= parent.result.height, "its claim goes back")?;
    let same_height = header.result.height == parent.result.height;
    let same_root = header.result.root == parent.result.root;
    ensure(!same_height || same_root, "its claim changes a root")?;
    let rooted = claimed_height(&header.state);
    let may_list = may_list(header.height, header.result.height, rooted, parameters);
    ensure(header.transactions == 0 || may_list, "it lists transactions too far above its claims")
}

fn ensure(holds: bool, rule: &'static str) -> Result<(), &'static str> {
    if holds { Ok(()) } else { Err(rule) }
}

fn check_place(parent: &Header, header: &Header) -> Result<(), &'static str> {
    ensure(header.height == parent.height.next(), "the height is not the parent's plus one")?;
    ensure(header.parent_view == parent.view, "the parent's view is another")?;
    ensure(header.view > parent.view, "the view is not above the parent's")?;
    ensure(header.time_ms > parent.time_ms, "the time is not above the parent's")
}

/// Returns the boundary that a child of `header`'s block names, for a block that ends the epoch: that block itself, or
/// the boundary that it names.
pub fn boundary_of(digest: &BlockDigest, header: &Header) -> BlockDigest {
    if let End::Closing(boundary) = header.end { boundary } else { *digest }
}

/// Checks a child of a block that ends the epoch, within the same epoch (R28). Such a child helps to finalize the
/// boundary and changes nothing.
fn check_closing(parent: &Header, header: &Header) -> Result<(), &'static str> {
    check_place(parent, header)?;
    let named = End::Closing(boundary_of(&header.parent, parent));
    ensure(header.end == named, "a block after the epoch's end doesn't close it")?;
    check_closes(parent, header)
}

/// Checks that a closing block repeats what the block before it says: the boundary, or another closing block.
pub fn check_closes(before: &Header, header: &Header) -> Result<(), &'static str> {
    let next = header.next_validator_set == before.next_validator_set;
    ensure(next, "a closing block names another next term")?;
    let root = payload_root(&[], &before.cursors, &before.cursors);
    let empty = (header.transactions, header.declared_work, header.speaks) == (0, 0, 0);
    let empty = empty && header.cursors == before.cursors && header.payload_root == root;
    ensure(empty, "a closing block has a payload")?;
    let claims = (header.result, header.state) == (before.result, before.state);
    ensure(claims, "a closing block claims what its parent doesn't")
}

/// Returns the status that a result claim gives to a block with a valid header. `known` is this node's root at the
/// claimed height.
///
/// If the node has no root there, the block waits: the root is not made yet, or was forgotten. A claim that repeats the
/// parent's needs no root at or below the executed height, because a quorum vouched for it with the parent.
pub fn check_claim(known: Option<&Hash>, parent: &Header, header: &Header, executed: Height) -> PayloadStatus {
    match known {
        Some(root) if *root != header.result.root => PayloadStatus::Invalid,
        Some(_) => PayloadStatus::Ready,
        None if header.result.height > executed => PayloadStatus::Pending,
        None if header.result != parent.result => PayloadStatus::Pending,
        None => PayloadStatus::Ready,
    }
}

/// Returns true if a block at `height` with these claims may list transactions (back-pressure).
pub fn may_list(height: Height, claimed: Height, rooted: Height, parameters: &Parameters) -> bool {
    let lag = |claim: Height| height.0.saturating_sub(claim.0);
    lag(claimed) <= parameters.claim_lag_max && (!parameters.state_roots || lag(rooted) <= parameters.root_lag_max)
}

/// Checks the rules of a state claim that depend on header and parent alone.
fn check_state_claim(parent: &Header, header: &Header, parameters: &Parameters) -> Result<(), &'static str> {
    let (before, now) = (claimed_height(&parent.state), claimed_height(&header.state));
    if header.state == parent.state {
        Ok(())
    } else if !parameters.state_roots {
        Err("this chain makes no state roots")
    } else if now <= before {
        Err("its state claim goes back or changes a root")
    } else if now > header.result.height {
        Err("it claims a state root above its result")
    } else {
        Ok(())
    }
}

fn cursors_advance(parent: &[Cursor], cursors: &[Cursor]) -> bool {
    parent.len() == cursors.len()
        && parent
            .iter()
            .zip(cursors)
            .all(|(before, after)| before.next_seq < after.next_seq && before.tip != after.tip || before == after)
}

/// Checks the weights of listed batches and inline transactions against the header's sums and the block's caps.
pub fn check_payload(block: &Block, listed: Weight, parameters: &Parameters) -> Result<(), &'static str> {
    let mut total = listed;
    total += weigh(block.header.rules(), &block.inline);
    let header = &block.header;
    let sums = (total.transactions, total.work) == (header.transactions, header.declared_work);
    if !sums {
        return Err("the header's sums are not the payload's");
    }
    let held = BlockCaps::for_parameters(parameters).hold(&total);
    if held { Ok(()) } else { Err("the payload is over a block's caps") }
}

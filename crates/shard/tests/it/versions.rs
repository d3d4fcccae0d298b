//! A node stops if a quorum goes on with a protocol version that it doesn't know, and never on a single peer's word.

use crate::catch_up::grow;
use crate::forge::{body, certificate, child, proposal};
use crate::net::Net;
use rustorium_crypto::{block_digest, term_hash};
use rustorium_execution::term_of;
use rustorium_shard::EndReason;
use rustorium_storage::Store;
use rustorium_types::*;

const NEWER: u16 = NEWEST_VERSION + 1;
const STOPPED: usize = 3;

/// Returns a net that made a block, and the next block as a later release would make it.
fn net() -> (Net, Block) {
    let mut net = Net::new();
    net.submit(0);
    net.advance(1_000_000);
    let tip = net.store(STOPPED).tip().unwrap().header;
    assert!(tip.height > Height(0));
    let view = net.nodes[STOPPED].shard.view().0;
    let mut block = child(&net.ports(STOPPED).context.clone(), &tip, view);
    block.header.version = NEWER;
    (net, block)
}

fn certified(net: &mut Net, block: &Block, kind: VoteKind, signers: &[usize]) -> Certificate {
    let context = net.ports(STOPPED).context.clone();
    certificate(body(&context, kind, block.header.view.0, block_digest(&block.header)), signers)
}

/// Isolates a node: it gets only the answers that a test makes, and its messages reach nobody, so certificates with
/// votes that were never cast don't spread. Returns the length of the log at that time.
fn alone(net: &mut Net) -> usize {
    let answers = |message: &Message| matches!(message, Message::Response { .. });
    net.passes = Box::new(move |from, to, message| from != STOPPED && (to != STOPPED || !answers(message)));
    net.log.len()
}

/// Answers the node's next requests once, with this.
fn answer(net: &mut Net, since: usize, response: impl Fn(&Request) -> Option<Response>) -> usize {
    let asked: Vec<_> = net.log[since..].iter().filter(|(from, ..)| *from == STOPPED).cloned().collect();
    let mut answered = 0;
    for (_, to, message) in asked {
        if let Message::Request { id, request } = message
            && let Some(response) = response(&request)
        {
            net.inject(to, STOPPED, Message::Response { id, response });
            answered += 1;
        }
    }
    net.run();
    answered
}

/// Delivers a certificate to the node, and answers its requests for the block; returns true if it asked.
fn hears(net: &mut Net, block: &Block, heard: Certificate) -> bool {
    let since = alone(net);
    net.inject(0, STOPPED, Message::Certificate(Box::new(heard)));
    net.advance(500_000);
    let digest = block_digest(&block.header);
    answer(net, since, |request| match request {
        Request::Block(wanted) if *wanted == digest => Some(Response::Block(Box::new(block.clone()))),
        _ => None,
    }) > 0
}

#[test]
fn a_node_stops_at_a_block_of_an_unknown_version_once_a_quorum_voted_for_it() {
    for kind in [VoteKind::Notarize, VoteKind::Finalize] {
        let (mut net, block) = net();
        let heard = certified(&mut net, &block, kind, &[0, 1, 2]);
        assert!(hears(&mut net, &block, heard), "{kind:?}: it asks for the block");
        let stopped = EndReason::Version { version: NEWER, height: block.header.height };
        assert_eq!(net.ports(STOPPED).ended, Some(stopped), "{kind:?}");
        assert!((0..STOPPED).all(|other| net.ports(other).ended.is_none()));
    }
}

#[test]
fn a_late_node_stops_at_the_first_block_of_an_unknown_version_in_a_range() {
    let mut net = Net::new();
    net.stop(STOPPED);
    grow(&mut net, 20);
    let tip = net.store(0).tip().unwrap().header;
    let mut block = child(&net.ports(0).context.clone(), &tip, tip.view.0 + 1);
    block.header.version = NEWER;
    let finalization = certified(&mut net, &block, VoteKind::Finalize, &[0, 1, 2]);
    let since = alone(&mut net);
    net.power_loss(STOPPED, 0);
    // The newest block comes by its digest, as it is; then the range up to it, which ends one block later.
    let known = net.store(0).bare_block(tip.height).unwrap().unwrap();
    net.advance(500_000);
    let newest = |request: &Request| match request {
        Request::Block(digest) if *digest == block_digest(&known.header) => {
            Some(Response::Block(Box::new(known.clone())))
        }
        _ => None,
    };
    assert!(answer(&mut net, since, newest) > 0, "it asks for the newest block");
    let store = net.store(0).clone();
    let range = |request: &Request| {
        let Request::FinalBlocks { first, .. } = request else { return None };
        let heights = (first.0..=tip.height.0).map(Height);
        let mut blocks: Vec<Block> = heights.map(|height| store.bare_block(height).unwrap().unwrap()).collect();
        blocks.push(block.clone());
        Some(Response::FinalBlocks {
            blocks: BoundedVec::new(blocks).unwrap(),
            finalization: Some(finalization.clone()),
        })
    };
    net.advance(500_000);
    assert!(answer(&mut net, since, range) > 0, "it asks for the range");
    let stopped = EndReason::Version { version: NEWER, height: block.header.height };
    assert_eq!(net.ports(STOPPED).ended, Some(stopped));
}

/// Returns how the epoch ends at this block, which leads to a later version, by a finalization of these signers.
fn end(net: &mut Net, block: &mut Block, signers: &[usize]) -> EpochTransition {
    let context = net.ports(STOPPED).context.clone();
    block.header.version = context.rules.version();
    let now = term_of(&block.header, &context.parameters);
    let term = Term { epoch: Epoch(1), version: NEWER, change: Change::Version, ..now };
    (block.header.end, block.header.next_validator_set) = (End::Boundary, term_hash(&term));
    let finalization = certified(net, block, VoteKind::Finalize, signers);
    let proof = BlockProof { descendants: BoundedVec::default(), finalization };
    let validators = net.genesis.validators.clone();
    TermChange { boundary: block.header.clone(), proof, term, validators, parameters: None }.into()
}

/// V11: a node that was away when the epoch ended has no block of the version, and no release that executes its boundary.
#[test]
fn a_late_node_stops_at_an_end_that_leads_to_an_unknown_version() {
    let (mut net, mut block) = net();
    let shown = |change| Message::Response { id: 0, response: Response::EpochEnd(change) };
    let few = end(&mut net, &mut block, &[0, 1]);
    net.inject(0, STOPPED, shown(few));
    let mut other = end(&mut net, &mut block, &[0, 1, 2]);
    let EpochTransition::Term(change) = &mut other else { panic!("the chain is of version 1") };
    change.term.leaders = Hash([1; 32]);
    net.inject(0, STOPPED, shown(other));
    net.run();
    assert_eq!(net.ports(STOPPED).ended, None, "too few signed it, or another term was signed");
    let good = end(&mut net, &mut block, &[0, 1, 2]);
    net.inject(0, STOPPED, shown(good));
    net.run();
    let stopped = EndReason::Version { version: NEWER, height: block.header.height.next() };
    assert_eq!(net.ports(STOPPED).ended, Some(stopped));
}

#[test]
fn a_leader_or_less_than_a_quorum_stops_nobody() {
    let (mut net, block) = net();
    let context = net.ports(STOPPED).context.clone();
    let leader = usize::from(block.header.proposer.0);
    for to in (0..4).filter(|to| *to != leader) {
        net.inject(leader, to, proposal(&context, &block));
    }
    net.run();
    let few = certified(&mut net, &block, VoteKind::Finalize, &[0, 1]);
    hears(&mut net, &block, few);
    // A quorum voted for the block, but the peer shows another one.
    let heard = certified(&mut net, &block, VoteKind::Notarize, &[0, 1, 2]);
    let mut other = block.clone();
    other.header.time_ms += 1;
    let digest = block_digest(&block.header);
    let since = alone(&mut net);
    net.inject(0, STOPPED, Message::Certificate(Box::new(heard)));
    net.advance(500_000);
    answer(&mut net, since, |request| match request {
        Request::Block(wanted) if *wanted == digest => Some(Response::Block(Box::new(other.clone()))),
        _ => None,
    });
    assert!((0..4).all(|index| net.ports(index).ended.is_none()));
}

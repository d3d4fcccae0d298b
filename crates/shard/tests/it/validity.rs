//! A received block becomes ready, or it never does: the tests show on what that depends.

use crate::chain::{context, forge_signature, id_of, put, v};
use crate::forge;
use crate::net::Net;
use rustorium_crypto::{block_digest, payload_root};
use rustorium_shard::port::{Effect, Input, PayloadStatus};
use rustorium_storage::Store;
use rustorium_types::*;

/// Returns a net in which all nodes have executed block 1, node 2 leads next, and nobody proposes any more.
fn after_one_block() -> Net {
    after_one_block_under(Rules::NEWEST)
}

fn after_one_block_under(rules: Rules) -> Net {
    let mut net = Net::with(Parameters::of(rules));
    net.submit(1);
    net.advance(10_000);
    assert_eq!(net.height(0), 1);
    net.nobody_proposes();
    net
}

#[test]
fn a_block_whose_claim_is_not_executed_here_waits_for_it() {
    let mut net = Net::new();
    net.nodes[0].core.votes = false;
    net.nodes[2].execution_held = true;
    net.submit(1);
    net.advance(15_000);
    assert_eq!((net.height(0), net.height(2)), (1, 0));
    let claiming = net.nodes[0].core.claim;
    assert_eq!(claiming, Height(1));
    // Node 2 leads view 2 and may not have executed; let node 3 lead view 3.
    net.nodes[2].core.proposes = false;
    net.nullify();
    net.submit(3);
    net.advance(40_000);
    let (facts, _) = net.nodes[2].core.blocks[&View(3)];
    assert_eq!(facts.claimed_height, Height(1));
    assert_eq!(net.nodes[2].core.statuses(3), [PayloadStatus::Pending]);
    assert_eq!(net.height(0), 1);
    net.nodes[2].execution_held = false;
    net.run();
    assert_eq!(net.nodes[2].core.statuses(3), [PayloadStatus::Pending, PayloadStatus::Ready]);
    assert_eq!(net.height(0), 2);
}

#[test]
fn a_wrong_result_root_is_invalid() {
    let mut net = after_one_block();
    let context = context(&net.genesis, 2);
    let parent = net.store(0).tip().unwrap();
    let mut block = forge::child(&context, &parent.header, 2);
    block.header.result = ResultClaim { height: Height(1), root: Hash([9; 32]) };
    net.inject(2, 0, forge::proposal(&context, &block));
    net.run();
    assert_eq!(net.nodes[0].core.statuses(2), [PayloadStatus::Invalid]);

    let mut block = forge::child(&context, &parent.header, 2);
    block.header.result = ResultClaim { height: Height(1), root: parent.result_root };
    net.inject(2, 1, forge::proposal(&context, &block));
    net.run();
    assert_eq!(net.nodes[1].core.statuses(2), [PayloadStatus::Ready]);
}

#[test]
fn a_header_that_breaks_a_rule_is_invalid_and_a_foreign_one_is_ignored() {
    let mut net = after_one_block();
    let context = context(&net.genesis, 2);
    let parent = net.store(0).tip().unwrap().header;
    let mut block = forge::child(&context, &parent, 2);
    block.header.transactions = 1;
    net.inject(2, 0, forge::proposal(&context, &block));
    let mut foreign = forge::child(&context, &parent, 2);
    foreign.header.chain = ChainId([1; 32]);
    net.inject(2, 1, forge::proposal(&context, &foreign));
    let mut of_another_shard = forge::child(&context, &parent, 2);
    of_another_shard.header.shard = ShardId(1);
    net.inject(2, 1, forge::proposal(&context, &of_another_shard));
    net.inject(1, 3, forge::proposal(&context, &forge::child(&context, &parent, 2)));
    net.run();
    assert_eq!(net.nodes[0].core.statuses(2), [PayloadStatus::Invalid]);
    assert!(net.nodes[1].core.statuses(2).is_empty());
    assert!(net.nodes[3].core.statuses(2).is_empty(), "only the proposer may bring its proposal");
}

#[test]
fn a_block_from_the_future_waits_for_the_clock() {
    let mut net = after_one_block();
    let context = context(&net.genesis, 2);
    let parent = net.store(0).tip().unwrap().header;
    let mut block = forge::child(&context, &parent, 2);
    block.header.time_ms = net.now.wall_ms + net.genesis.parameters.clock_ahead_ms_max + 50;
    net.inject(2, 0, forge::proposal(&context, &block));
    net.advance(45_000);
    assert_eq!(net.nodes[0].core.statuses(2), [PayloadStatus::Pending]);
    net.advance(10_000);
    assert_eq!(net.nodes[0].core.statuses(2), [PayloadStatus::Pending, PayloadStatus::Ready]);
}

#[test]
fn a_time_at_the_end_of_all_times_neither_overflows_nor_keeps_the_shard_awake() {
    let mut net = after_one_block();
    let context = context(&net.genesis, 2);
    let parent = net.store(0).tip().unwrap().header;
    // The distance of the last one in microseconds is 0 modulo 2^64.
    let wraps_ms = net.now.wall_ms + net.genesis.parameters.clock_ahead_ms_max + (1 << 61);
    for (peer, time_ms) in [(0, u64::MAX), (1, u64::MAX / 1000), (3, wraps_ms)] {
        let mut block = forge::child(&context, &parent, 2);
        block.header.time_ms = time_ms;
        // The epoch is over by then, so the block is valid except for its time.
        block.header.end = End::Boundary;
        block.header.next_validator_set = context.names_next(context.hashes.validator_set);
        net.inject(2, peer, forge::proposal(&context, &block));
        net.advance(8_000);
        assert_eq!(net.nodes[peer].core.statuses(2), [PayloadStatus::Pending]);
        let due = net.nodes[peer].shard.next_deadline_us(net.now).unwrap();
        assert!(due > net.now.us, "node {peer} would spin");
    }
}

#[test]
fn only_the_first_of_two_proposals_is_reported_and_both_are_evidence() {
    let mut net = after_one_block();
    (1..4).for_each(|index| net.traitor(index));
    let context = context(&net.genesis, 2);
    let parent = net.store(0).tip().unwrap().header;
    let first = forge::child(&context, &parent, 2);
    let mut second = first.clone();
    second.header.time_ms += 1;
    net.inject(2, 0, forge::proposal(&context, &first));
    net.inject(2, 0, forge::proposal(&context, &second));
    net.run();
    let told = |input: &Input| matches!(input, Input::BlockSeen(facts, _) if facts.view == View(2));
    assert_eq!(net.saw(0, told), 1);
    let (facts, status) = net.nodes[0].core.blocks[&View(2)];
    assert_eq!((facts.digest, status), (block_digest(&first.header), PayloadStatus::Ready));
    // With a second notarize vote there is a quorum: now signatures are checked, and the offence is evidence.
    let body = forge::body(&context, VoteKind::Notarize, 2, block_digest(&second.header));
    net.inject(3, 0, Message::Certificate(Box::new(forge::certificate(body, &[1, 2, 3]))));
    net.run();
    assert!(net.ports(0).evidence.iter().any(|evidence| evidence.offender() == v(2)));
    let told_second =
        |input: &Input| matches!(input, Input::BlockSeen(f, _) if f.digest == block_digest(&second.header));
    assert_eq!(net.saw(0, told_second), 0, "it is held by nobody");
}

/// A leader sends node 0 a block whose inline transactions are not those of its header.
#[test]
fn a_forged_body_of_a_final_block_is_replaced_by_the_real_one() {
    let mut net = after_one_block_under(Rules::V1);
    net.traitor(2);
    let context = context(&net.genesis, 2);
    let parent = net.store(0).tip().unwrap().header;
    let real = put(&net.genesis, 5, 0).into_inner();
    let forged = put(&net.genesis, 6, 0).into_inner();
    let mut block = forge::child(&context, &parent, 2);
    block.inline = BoundedVec::new(vec![real.clone()]).unwrap();
    block.header.transactions = 1;
    block.header.declared_work = rustorium_execution::declared_work(Rules::NEWEST, &real);
    block.header.payload_root = payload_root(std::slice::from_ref(&real), &parent.cursors, &parent.cursors);
    let forgery = Block { inline: BoundedVec::new(vec![forged.clone()]).unwrap(), ..block.clone() };
    net.inject(2, 0, forge::proposal(&context, &forgery));
    net.inject(2, 1, forge::proposal(&context, &block));
    net.inject(2, 3, forge::proposal(&context, &block));
    net.advance(1_000_000);
    net.heartbeats();
    net.advance(1_000_000);
    for index in 0..4 {
        assert!(net.is_final(index, &id_of(&real)), "node {index}");
        assert!(!net.is_final(index, &id_of(&forged)), "node {index}");
    }
}

/// The digest covers the header only. A body that doesn't fit the header shows that the peer lies, and says nothing
/// about the block.
#[test]
fn a_forged_body_in_an_answer_is_asked_for_again_and_never_judged() {
    let mut net = after_one_block_under(Rules::V1);
    let context = context(&net.genesis, 2);
    let parent = net.store(0).tip().unwrap().header;
    let (real, forged) = (put(&net.genesis, 5, 0).into_inner(), put(&net.genesis, 6, 0).into_inner());
    let mut block = forge::child(&context, &parent, 2);
    block.inline = BoundedVec::new(vec![real.clone()]).unwrap();
    block.header.transactions = 1;
    block.header.declared_work = rustorium_execution::declared_work(Rules::NEWEST, &real);
    block.header.payload_root = payload_root(std::slice::from_ref(&real), &parent.cursors, &parent.cursors);
    let forgery = Block { inline: BoundedVec::new(vec![forged]).unwrap(), ..block.clone() };
    net.passes = Box::new(|_, to, message| to != 0 || !matches!(message, Message::Response { .. }));
    net.effects(0, vec![Effect::FetchBlock(block_digest(&block.header))]);
    net.run();
    let mut answered = 0;
    for answer in [forgery, block] {
        let asked = |(from, to, message): &(usize, usize, Message)| match message {
            Message::Request { id, request: Request::Block(_) } if *from == 0 => Some((*to, *id)),
            _ => None,
        };
        let (peer, id) = net.log[answered..].iter().find_map(asked).expect("it asks on");
        answered = net.log.len();
        net.inject(peer, 0, Message::Response { id, response: Response::Block(Box::new(answer)) });
        // The next peer is asked when the previous peer's time is over.
        net.advance(400_000);
    }
    assert_eq!(net.nodes[0].core.statuses(2), [PayloadStatus::Ready]);
}

#[test]
fn inline_transactions_with_bad_signatures_make_a_block_invalid() {
    let mut net = after_one_block_under(Rules::V1);
    let context = context(&net.genesis, 2);
    let parent = net.store(0).tip().unwrap().header;
    let mut bad = put(&net.genesis, 5, 0).into_inner();
    forge_signature(&mut bad);
    let mut block = forge::child(&context, &parent, 2);
    block.header.transactions = 1;
    block.header.declared_work = rustorium_execution::declared_work(Rules::NEWEST, &bad);
    block.header.payload_root = payload_root(std::slice::from_ref(&bad), &parent.cursors, &parent.cursors);
    block.inline = BoundedVec::new(vec![bad]).unwrap();
    net.inject(2, 0, forge::proposal(&context, &block));
    net.run();
    assert_eq!(*net.nodes[0].core.statuses(2).last().unwrap(), PayloadStatus::Invalid);
}

#[test]
fn version_two_refuses_transactions_beside_the_lanes_in_a_proposal() {
    for rules in [Rules::V1, Rules::V2] {
        let mut net = after_one_block_under(rules);
        let context = context(&net.genesis, 2);
        let parent = net.store(0).tip().unwrap().header;
        let own = put(&net.genesis, 5, 0).into_inner();
        let mut block = forge::child(&context, &parent, 2);
        block.header.transactions = 1;
        block.header.declared_work = rustorium_execution::declared_work(Rules::NEWEST, &own);
        block.header.payload_root = payload_root(std::slice::from_ref(&own), &parent.cursors, &parent.cursors);
        block.inline = BoundedVec::new(vec![own]).unwrap();
        net.inject(2, 0, forge::proposal(&context, &block));
        net.advance(10_000);
        let wanted = if rules == Rules::V1 { PayloadStatus::Ready } else { PayloadStatus::Invalid };
        assert_eq!(net.nodes[0].core.statuses(2).last(), Some(&wanted), "{rules:?}");
    }
}

#[test]
fn a_vote_for_what_is_not_ready_is_refused() {
    let mut net = after_one_block();
    let digest = Some(BlockDigest([4; 32]));
    net.effects(0, vec![Effect::Vote { kind: VoteKind::Notarize, view: View(2), digest, carry: None }]);
    net.run();
    assert_eq!(net.saw(0, |input| *input == Input::VoteRefused(VoteKind::Notarize, View(2))), 1);
}

/// R2: a certificate that only one node received must be sent on, whatever happens to the vote that was to carry it.
#[test]
fn the_certificate_of_a_refused_vote_is_sent_on_by_itself() {
    let mut net = Net::new();
    net.nobody_proposes();
    (1..4).for_each(|index| net.traitor(index));
    // The guard has a nullify vote that the core doesn't know.
    net.effects(0, vec![Effect::Vote { kind: VoteKind::Nullify, view: View(1), digest: None, carry: None }]);
    net.run();
    let body = forge::body(&context(&net.genesis, 0), VoteKind::Notarize, 1, BlockDigest([4; 32]));
    let notarization = Message::Certificate(Box::new(forge::certificate(body, &[1, 2, 3])));
    net.inject(1, 0, notarization.clone());
    net.run();
    assert_eq!(net.saw(0, |input| *input == Input::VoteRefused(VoteKind::Finalize, View(1))), 1);
    assert_eq!(net.between(0, 2).filter(|message| **message == notarization).count(), 1);
}

//! Batches that are withheld, doubled or served too often, and transactions on their way to their lane.

use crate::chain::{account, account_of_lane, admitted, put, v};
use crate::forge;
use crate::net::Net;
use rustorium_crypto::batch_digest;
use rustorium_quorum::Evidence;
use rustorium_shard::Event;
use rustorium_shard::port::{Input, PayloadStatus};
use rustorium_storage::Store;
use rustorium_types::{BatchDigest, Class, Epoch, Header, Message, Request, Response, View};

fn requests(net: &Net, from: usize, to: usize) -> usize {
    let fetches = |message: &Message| matches!(message, Message::Request { request: Request::Batch { .. }, .. });
    net.between(from, to).filter(|message| fetches(message)).count()
}

fn forwarded(net: &Net, from: usize, to: usize) -> usize {
    net.between(from, to).filter(|message| matches!(message, Message::Transactions(_))).count()
}

#[test]
fn a_withheld_batch_is_fetched_after_the_grace_and_its_block_is_then_ready() {
    let mut net = Net::new();
    net.passes = Box::new(|_, to, message| to != 2 || !matches!(message, Message::Batch(_)));
    net.nodes[3].core.votes = false;
    net.submit(1);
    net.advance(39_000);
    assert_eq!(net.nodes[2].core.statuses(1), [PayloadStatus::Pending]);
    assert_eq!((requests(&net, 2, 1), net.height(0)), (0, 0), "the batch may still come by itself");
    net.advance(2_000);
    assert_eq!(net.nodes[2].core.statuses(1), [PayloadStatus::Pending, PayloadStatus::Ready]);
    assert_eq!((requests(&net, 2, 1), net.height(2)), (1, 1), "its author is asked first, once");
}

#[test]
fn two_batches_at_one_seq_are_evidence_and_the_listed_one_is_kept() {
    let mut net = Net::new();
    net.traitor(3);
    let (first, second) = (put(&net.genesis, 0, 0).into_inner(), put(&net.genesis, 1, 0).into_inner());
    let a = forge::batch(&net.genesis, 3, 0, BatchDigest::ZERO, &[first]);
    let b = forge::batch(&net.genesis, 3, 0, BatchDigest::ZERO, &[second]);
    for index in 0..4 {
        net.nodes[index].core.proposes = false;
    }
    // Node 0 receives `a` first, the others receive `b` first.
    net.inject(3, 0, Message::Batch(Box::new(a.clone())));
    net.inject(3, 1, Message::Batch(Box::new(b.clone())));
    net.inject(3, 2, Message::Batch(Box::new(b.clone())));
    net.run();
    assert!(net.ports(0).evidence.is_empty());
    net.inject(3, 0, Message::Batch(Box::new(b.clone())));
    net.run();
    match &net.ports(0).evidence[..] {
        [Evidence::TwoBatches { author, seq: 0, first, second, .. }] => {
            assert_eq!((*author, first.0, second.0), (v(3), batch_digest(&a.body), batch_digest(&b.body)));
        }
        other => panic!("{other:?}"),
    }
    // Node 1 leads and lists `b`: node 0 fetches `b`, which it didn't keep.
    net.nodes[1].core.proposes = true;
    let effects = net.nodes[1].core.take(Vec::new());
    net.effects(1, effects);
    net.advance(100_000);
    assert_eq!(net.height(0), 1);
    assert!(net.store(0).batch(&batch_digest(&b.body)).unwrap().is_some());
}

#[test]
fn after_two_batches_at_one_seq_no_more_are_checked_there() {
    let mut net = Net::new();
    net.traitor(3);
    net.nodes.iter_mut().for_each(|node| node.core.proposes = false);
    for nonce in 0..20 {
        for seq in 0..3 {
            let previous = if seq == 0 { BatchDigest::ZERO } else { BatchDigest([nonce as u8 + 1; 32]) };
            let transaction = put(&net.genesis, 0, nonce).into_inner();
            let batch = forge::batch(&net.genesis, 3, seq, previous, &[transaction]);
            net.inject(3, 0, Message::Batch(Box::new(batch)));
            net.run();
        }
    }
    assert_eq!(net.ports(0).evidence.len(), 1);
    assert_eq!(net.ports(0).batch_checks, 4, "one at each seq, and the second one at one of them");
}

#[test]
fn transactions_are_forwarded_home_and_listed_there_alone() {
    let mut net = Net::new();
    let id = net.submit_of(0, account_of_lane(2));
    net.run();
    assert_eq!((forwarded(&net, 0, 2), forwarded(&net, 0, 1), forwarded(&net, 0, 3)), (1, 0, 0));
    net.advance(2_000_000);
    assert!((0..4).all(|index| net.is_final(index, &id)));
    let batches = net.log.iter().filter(|(_, _, message)| matches!(message, Message::Batch(_)));
    assert!(batches.clone().count() > 0);
    assert!(batches.into_iter().all(|(from, _, _)| *from == 2), "only its home lane lists it");
}

/// The nodes by their rank for an account whose home is node 2.
fn ranks() -> Vec<usize> {
    let ranks = rustorium_txpool::lanes_by_rank(&account(account_of_lane(2)), Epoch(0), &[0; 4]);
    ranks.into_iter().map(|lane| usize::from(lane.0)).collect()
}

#[test]
fn transactions_go_to_the_next_lane_while_home_is_down_or_silent() {
    let ranks = ranks();
    let (next, taker) = (ranks[1], ranks[3]);
    let mut net = Net::new();
    net.stop(2);
    net.submit_of(taker, account_of_lane(2));
    net.run();
    assert_eq!((forwarded(&net, taker, 2), forwarded(&net, taker, next), forwarded(&net, taker, ranks[2])), (0, 1, 0));

    let mut net = Net::new();
    net.passes = Box::new(|from, _, _| from != 2);
    for _ in 0..5 {
        net.advance(400_000);
        net.heartbeats();
    }
    assert_eq!(net.saw(taker, |input| *input == Input::PeerSilence(v(2), true)), 1);
    net.submit_of(taker, account_of_lane(2));
    net.run();
    assert_eq!((forwarded(&net, taker, 2), forwarded(&net, taker, next), forwarded(&net, taker, ranks[2])), (0, 1, 0));
}

/// Before a node has measured a view with work, its step is the longest: 500 and 50 ms.
const STEP_US: u64 = 550_000;

#[test]
fn a_transaction_that_its_home_drops_goes_to_the_next_two_after_a_step() {
    let ranks = ranks();
    let mut net = Net::new();
    net.passes = Box::new(|_, to, message| to != 2 || !matches!(message, Message::Transactions(_)));
    let id = net.submit_of(ranks[3], account_of_lane(2));
    net.advance(STEP_US - 1_000);
    assert_eq!((forwarded(&net, ranks[3], ranks[1]), forwarded(&net, ranks[3], ranks[2])), (0, 0));
    net.advance(1_000);
    assert_eq!((forwarded(&net, ranks[3], ranks[1]), forwarded(&net, ranks[3], ranks[2])), (1, 1));
    net.advance(25_000);
    assert!((0..4).all(|index| net.is_final(index, &id)));
}

#[test]
fn a_node_next_in_rank_lists_a_transaction_that_its_home_drops_after_a_step() {
    let ranks = ranks();
    let mut net = Net::new();
    net.passes = Box::new(|_, _, message| !matches!(message, Message::Transactions(_)));
    let id = net.submit_of(ranks[1], account_of_lane(2));
    net.advance(STEP_US - 1_000);
    assert!(!net.is_final(0, &id));
    net.advance(26_000);
    assert!((0..4).all(|index| net.is_final(index, &id)));
}

#[test]
fn a_forwarder_lists_a_transaction_that_all_others_drop_after_two_steps() {
    let ranks = ranks();
    let mut net = Net::new();
    net.passes = Box::new(|_, _, message| !matches!(message, Message::Transactions(_)));
    let first = net.submit_of(ranks[3], account_of_lane(2));
    net.advance(STEP_US);
    let second = net.submit_of(ranks[3], account_of_lane(2));
    net.advance(STEP_US - 1_000);
    assert!(!net.is_final(0, &first));
    net.advance(26_000);
    assert!((0..4).all(|index| net.is_final(index, &first) && net.is_final(index, &second)));
}

#[test]
fn a_node_lists_a_forwarded_transaction_at_once_even_one_that_it_left_to_its_home() {
    let ranks = ranks();
    let mut net = Net::new();
    net.passes = Box::new(|_, _, message| !matches!(message, Message::Transactions(_)));
    let transaction = net.next_put(account_of_lane(2));
    let id = admitted(&transaction).id();
    let event = Event::Transactions { transactions: vec![admitted(&transaction)], from_client: true };
    net.ports(ranks[3]).events.push_back(event);
    net.run();
    let group = rustorium_types::BoundedVec::new(vec![transaction.into_inner()]).unwrap();
    net.inject(ranks[1], ranks[3], Message::Transactions(group));
    net.advance(25_000);
    assert!(net.is_final(0, &id));
}

/// Returns true if a message is a batch or an answer with one.
fn gives(message: &Message) -> bool {
    matches!(message, Message::Batch(_) | Message::Response { response: Response::Batch(_), .. })
}

/// Node 1 leads with a batch of lane 3 that only it was given.
fn withheld_by_lane_3() -> Net {
    let mut net = Net::new();
    net.passes = Box::new(|from, to, message| from != 3 || to == 1 || !gives(message));
    net.nodes[0].core.votes = false;
    net.nodes[2].core.votes = false;
    net.submit(3);
    net.run();
    net
}

#[test]
fn a_lane_served_to_more_than_f_peers_is_costly_once() {
    let mut net = withheld_by_lane_3();
    let costly = |input: &Input| *input == Input::LaneCostly(v(3), View(1));
    let digest = net.nodes[1].core.blocks[&View(1)].0.digest;
    let block = net.ports(1).journal.iter().any(|record| record.kind == rustorium_storage::RecordKind::Proposal);
    assert!(block, "{digest:?} was proposed");
    assert_eq!(net.saw(1, costly), 0);
    // The author is asked first, and the leader as well after the author was silent for 25 ms.
    net.advance(64_000);
    assert_eq!((requests(&net, 0, 3), net.saw(1, costly)), (1, 0));
    net.advance(3_000);
    assert_eq!(net.saw(1, costly), 1);
    let again =
        net.between(0, 1).find(|message| matches!(message, Message::Request { request: Request::Batch { .. }, .. }));
    let again = again.cloned().unwrap();
    net.inject(0, 1, again.clone());
    net.inject(2, 1, again);
    net.run();
    assert_eq!(net.saw(1, costly), 1, "the same peers again are no news");
}

/// f members can do that to an honest lane.
#[test]
fn a_lane_served_to_f_peers_stays_trusted() {
    let mut net = Net::new();
    let given = |to: usize| to == 1 || to == 2;
    net.passes = Box::new(move |from, to, message| from != 3 || given(to) || !gives(message));
    net.nodes[0].core.votes = false;
    net.nodes[2].core.votes = false;
    net.submit(3);
    net.advance(67_000);
    assert_eq!(requests(&net, 0, 1), 1);
    assert_eq!(net.saw(1, |input| matches!(input, Input::LaneCostly(..))), 0);
}

/// Returns what node 1 proposes while it distrusts lane 3. Only the members for which `given` is true got its batch.
fn proposed_in_distrust(given: impl Fn(usize) -> bool + 'static) -> Header {
    let mut net = Net::new();
    net.nodes[1].core.proposes = false;
    net.passes = Box::new(move |_, to, message| given(to) || !matches!(message, Message::Batch(_)));
    net.submit(3);
    net.run();
    net.heartbeats();
    net.nodes[1].core.distrusted = vec![v(3)];
    net.nodes[1].core.proposes = true;
    let effects = net.nodes[1].core.take(Vec::new());
    net.effects(1, effects);
    net.run();
    let header = |message: &Message| match message {
        Message::Proposal(proposal) => Some(proposal.header.clone()),
        _ => None,
    };
    net.between(1, 0).find_map(header).unwrap()
}

#[test]
fn a_distrusted_lane_ends_where_a_quorum_holds_it_this_node_included() {
    assert_eq!(proposed_in_distrust(|to| to != 2).cursors[3].next_seq, 1, "nodes 0, 1 and 3 hold it");
}

#[test]
fn a_distrusted_lane_that_no_quorum_holds_is_not_listed() {
    assert_eq!(proposed_in_distrust(|to| to == 1).transactions, 0);
}

#[test]
fn a_batch_with_a_forged_signature_is_fetched_again_from_another() {
    let mut net = Net::new();
    net.passes = Box::new(|from, to, message| {
        let batch = matches!(message, Message::Batch(_));
        let answer = matches!(message, Message::Response { .. });
        !(to == 2 && (batch || (answer && from == 1)))
    });
    net.nodes[3].core.votes = false;
    net.submit(1);
    net.advance(41_000);
    let Some(Message::Request { id, .. }) = net.between(2, 1).find(|m| matches!(m, Message::Request { .. })).cloned()
    else {
        panic!("node 2 asked nobody");
    };
    // The digest doesn't cover the author's signature.
    let mut batch = net
        .between(1, 0)
        .find_map(|message| match message {
            Message::Batch(batch) => Some(batch.clone()),
            _ => None,
        })
        .unwrap();
    batch.signature[0] ^= 1;
    let response = rustorium_types::Response::Batch(batch);
    net.inject(1, 2, Message::Response { id, response });
    net.advance(1_500_000);
    assert_eq!(net.height(2), 1, "the liar's answer did not end the search");
}

#[test]
fn batches_far_beyond_the_window_are_not_held() {
    let mut net = Net::new();
    let window = u64::from(net.genesis.parameters.lane_window_batches);
    let transaction = put(&net.genesis, 0, 0).into_inner();
    let far = forge::batch(&net.genesis, 3, window, BatchDigest([1; 32]), &[transaction]);
    net.inject(3, 0, Message::Batch(Box::new(far)));
    net.run();
    assert!(net.ports(0).journal.is_empty());
}

#[test]
fn forwarded_transactions_count_as_local_and_answer_no_client() {
    let mut net = Net::new();
    let transaction = net.next_put(account_of_lane(1));
    let id = admitted(&transaction).id();
    let group = rustorium_types::BoundedVec::new(vec![transaction.into_inner()]).unwrap();
    let message = Message::Transactions(group);
    assert_eq!(message.class(), Class::Data);
    net.inject(0, 1, message);
    net.run();
    assert!(net.is_final(3, &id));
    assert!(net.ports(1).admitted.is_empty());
    net.ports(1).events.push_back(Event::Tick);
    net.run();
}

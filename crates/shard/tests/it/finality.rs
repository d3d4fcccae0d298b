//! The way from a client's transaction to the same result on all nodes.

use crate::chain::N;
use crate::net::Net;
use rustorium_shard::Event;
use rustorium_shard::port::{Effect, Input, PayloadStatus};
use rustorium_storage::{MemStore, Store};
use rustorium_types::{Height, Message, Request, TxId, View, VoteKind};

#[test]
fn transactions_become_final_on_all_nodes_with_equal_roots() {
    let mut net = Net::new();
    let mut ids = Vec::new();
    for _ in 0..5 {
        for index in 0..N {
            ids.push(net.submit(index));
        }
        net.advance(30_000);
    }
    net.advance(200_000);
    for index in 0..N {
        assert!(ids.iter().all(|id| net.is_final(index, id)), "node {index}");
        let (tip, first) = (net.store(index).tip().unwrap(), net.store(0).tip().unwrap());
        assert_eq!((tip.digest, tip.result_root), (first.digest, first.result_root));
        assert_eq!(net.ports(index).admitted.len(), 5);
        assert!(net.ports(index).refused.is_empty());
    }
    let receipts: usize = (1..=net.height(0)).map(|height| transactions_at(net.store(0), height).len()).sum();
    assert_eq!(receipts, ids.len());
    let fetches = |message: &Message| match message {
        Message::Request { request, .. } => !matches!(request, Request::OwnSignatures { .. }),
        _ => false,
    };
    assert!(!net.log.iter().any(|(_, _, message)| fetches(message)));
}

#[test]
fn listed_work_is_withdrawn_before_its_blocks_certificate() {
    let mut net = Net::new();
    net.submit(1);
    net.run();
    assert_eq!(net.height(0), 1);
    for index in 0..N {
        let turns = &net.ports(index).turns;
        let gone = |input: &Input| *input == Input::WorkSeen(false);
        let notarized = |i: &Input| matches!(i, Input::Certificate(name) if name.kind == VoteKind::Notarize);
        let turn = turns.iter().find(|turn| turn.iter().any(notarized)).unwrap();
        let (work, certificate) = (turn.iter().position(gone), turn.iter().position(notarized));
        assert!(work.unwrap() < certificate.unwrap(), "node {index}: {turn:?}");
    }
}

#[test]
fn a_wanted_claim_is_made_once_a_quorum_executed() {
    let mut net = Net::new();
    net.submit(1);
    net.run();
    assert_eq!(net.height(0), 1);
    assert_eq!(net.saw(0, |input| *input == Input::ClaimReady(Height(1))), 0, "nobody has reported yet");
    net.advance(15_000);
    assert_eq!(net.saw(0, |input| *input == Input::ClaimReady(Height(1))), 1);
    for index in 0..N {
        net.ports(index).events.push_back(Event::ClaimWanted(Height(1)));
    }
    net.run();
    for index in 0..N {
        let header = net.store(index).tip().unwrap().header;
        assert_eq!((header.height, header.result.height, header.transactions), (Height(2), Height(1), 0));
    }
}

/// The node may lead the next view and must know the parent. Asking peers for it would take the whole view.
#[test]
fn a_block_that_is_final_before_it_is_ready_is_reported_and_a_stored_one_needs_no_peer() {
    let mut net = Net::new();
    net.nodes[2].execution_held = true;
    for index in [1, 3] {
        net.submit(index);
        net.advance(30_000);
    }
    let tip = net.store(0).tip().unwrap();
    assert!(net.height(2) < tip.height.0);
    let seen = |input: &Input| matches!(input, Input::BlockSeen(facts, _) if facts.digest == tip.digest);
    assert!(net.saw(2, seen) > 0);
    net.nodes[2].execution_held = false;
    net.run();
    for (index, digest) in [(0, tip.digest), (2, net.store(0).tip().unwrap().header.parent)] {
        let seen = |input: &Input| matches!(input, Input::BlockSeen(facts, _) if facts.digest == digest);
        let (before, sent) = (net.saw(index, seen), net.log.len());
        net.ports(index).events.push_back(Event::Effects(vec![Effect::FetchBlock(digest)]));
        net.run();
        assert_eq!((net.saw(index, seen), net.log.len()), (before + 1, sent), "node {index}");
    }
}

/// A node that considered it ready would vote for a block that it can't check.
#[test]
fn a_block_that_is_requested_while_it_is_pending_is_reported_as_pending() {
    let mut net = Net::new();
    net.passes = Box::new(|_, to, message| to != 2 || !matches!(message, Message::Batch(_)));
    net.nodes[3].core.votes = false;
    net.submit(1);
    net.advance(39_000);
    let (facts, status) = net.nodes[2].core.blocks[&View(1)];
    assert_eq!((status, net.nodes[2].core.statuses(1).len()), (PayloadStatus::Pending, 1));
    net.effects(2, vec![Effect::FetchBlock(facts.digest)]);
    net.run();
    assert_eq!(net.nodes[2].core.statuses(1), [PayloadStatus::Pending; 2]);
}

/// R9: following needs no decision of the core.
#[test]
fn final_blocks_and_their_ancestors_are_fetched_and_executed_without_the_core() {
    let mut net = Net::new();
    net.nodes[3].core_held = true;
    net.passes = Box::new(|_, to, message| to != 3 || !matches!(message, Message::Proposal(_)));
    for index in [1, 2] {
        net.submit(index);
        net.run();
    }
    net.advance(1_000_000);
    assert_eq!((net.height(0), net.height(3)), (2, 2));
    assert_eq!(net.store(3).tip().unwrap().digest, net.store(0).tip().unwrap().digest);
}

#[test]
fn the_same_transaction_twice_is_one() {
    let mut net = Net::new();
    let transaction = net.next_put(crate::chain::account_of_lane(1));
    for _ in 0..2 {
        let transactions = vec![crate::chain::admitted(&transaction)];
        net.ports(1).events.push_back(Event::Transactions { transactions, from_client: true });
    }
    net.run();
    let id = crate::chain::id_of(&transaction);
    assert_eq!((net.ports(1).duplicates.clone(), net.ports(1).admitted.clone()), (vec![id], vec![id, id]));
    assert_eq!(transactions_at(net.store(2), 1), [id]);
}

/// The receipts' transactions of a height.
fn transactions_at(store: &MemStore, height: u64) -> Vec<TxId> {
    let block = store.block(Height(height)).unwrap().unwrap();
    block.receipts.iter().map(|receipt| receipt.transaction).collect()
}

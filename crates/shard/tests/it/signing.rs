//! Nodes whose keys another process has. The ports' witness asserts that no node contradicts itself, across all
//! crashes.

use crate::chain::{ACCOUNTS, N, account, v};
use crate::net::Net;
use crate::ports::from;
use rustorium_shard::port::{Effect, Input};
use rustorium_storage::{RecordKind, Store};
use rustorium_txpool::home_lane;
use rustorium_types::*;

fn signing_elsewhere() -> Net {
    let mut net = Net::new();
    (0..N).for_each(|index| net.sign_elsewhere(index));
    net.advance(400_000);
    net
}

/// An account whose home is this lane, and that `submit` doesn't use.
fn other_account_of_lane(lane: usize) -> usize {
    let mut at_home = (0..ACCOUNTS).filter(|number| home_lane(&account(*number), Epoch(0), &[0; N]) == v(lane));
    at_home.nth(1).unwrap()
}

/// All nodes submit in turn; returns the transactions of the last round.
fn busy(net: &mut Net, rounds: usize) -> Vec<TxId> {
    let mut ids = Vec::new();
    for _ in 0..rounds {
        ids = (0..N)
            .filter(|index| net.nodes[*index].up)
            .collect::<Vec<_>>()
            .into_iter()
            .map(|i| net.submit(i))
            .collect();
        net.advance(100_000);
    }
    net.advance(200_000);
    ids
}

/// Gives views up until these are final at this node.
fn settle(net: &mut Net, index: usize, ids: &[TxId]) {
    for _ in 0..20 {
        if ids.iter().all(|id| net.is_final(index, id)) {
            return;
        }
        net.heartbeats();
        net.advance(1_500_000);
        net.nullify();
        net.advance(400_000);
    }
    panic!("not final: {:?}", ids.iter().map(|id| net.is_final(index, id)).collect::<Vec<_>>());
}

/// Returns the messages of a node with a signature that it made only now.
fn signed(net: &Net, index: usize, since: usize) -> usize {
    let signs = |message: &Message| match message {
        Message::Vote(_) | Message::Proposal(_) => true,
        Message::Batch(batch) => batch.body.author == v(index),
        _ => false,
    };
    net.log[since..].iter().filter(|(sender, _, message)| *sender == index && signs(message)).count()
}

#[test]
fn a_committee_signs_through_its_signers() {
    let mut net = signing_elsewhere();
    let ids = busy(&mut net, 5);
    settle(&mut net, 0, &ids);
    let height = net.height(0);
    assert!(height >= 5 && (0..N).all(|index| net.height(index) == height));
    assert!((0..N).all(|index| net.ports(index).signer.as_ref().unwrap().asked > 10));
    // Batches are signed before the block that lists them is proposed, so no block is empty.
    let empty =
        (1..=height).filter(|at| net.store(0).bare_block(Height(*at)).unwrap().unwrap().header.transactions == 0);
    assert!(empty.count() <= 1);
}

#[test]
fn a_node_goes_on_without_its_signer_and_signs_again_when_it_is_back() {
    let mut net = signing_elsewhere();
    busy(&mut net, 2);
    net.signer_up(1, false);
    let since = net.log.len();
    let ids = busy(&mut net, 3);
    settle(&mut net, 1, &ids);
    assert_eq!(signed(&net, 1, since), 0);
    let since = net.log.len();
    net.signer_up(1, true);
    let ids = busy(&mut net, 3);
    settle(&mut net, 1, &ids);
    assert!(signed(&net, 1, since) > 3);
}

#[test]
fn no_crash_between_a_signature_and_the_journal_stops_lane_or_chain() {
    for silent_from in 1..24 {
        let mut net = signing_elsewhere();
        let signer = net.ports(1).signer.as_mut().unwrap();
        signer.silent_from = Some(signer.asked + silent_from);
        busy(&mut net, 2);
        net.ports(1).signer.as_mut().unwrap().silent_from = None;
        net.power_loss(1, 0);
        net.advance(400_000);
        let since = net.log.len();
        // The transactions in the pool are gone, and with them the nonces after them, so the test uses another account.
        let other = other_account_of_lane(1);
        let ids = [net.submit_of(1, other), net.submit_of(1, other), net.submit(0)];
        settle(&mut net, 1, &ids);
        net.advance(400_000);
        assert!(signed(&net, 1, since) > 0, "after {silent_from}");
        assert_eq!(net.saw(1, |input| *input == Input::KeyRetired), 0);
    }
}

#[test]
fn a_batch_that_was_signed_and_lost_is_taken_from_the_signer() {
    let mut net = signing_elsewhere();
    busy(&mut net, 1);
    let asked = net.ports(1).signer.as_ref().unwrap().asked;
    net.ports(1).signer.as_mut().unwrap().silent_from = Some(asked + 1);
    let lost = net.submit(1);
    net.run();
    net.ports(1).signer.as_mut().unwrap().silent_from = None;
    let before = net.log.len();
    net.power_loss(1, 0);
    net.advance(400_000);
    let batches = |message: &Message| matches!(message, Message::Batch(batch) if batch.body.author == v(1));
    assert!(net.log[before..].iter().any(|(from, _, message)| *from == 1 && batches(message)));
    settle(&mut net, 1, &[lost]);
    let next = net.submit(1);
    settle(&mut net, 1, &[next]);
}

#[test]
fn a_chain_whose_nodes_and_signers_all_lost_power_goes_on() {
    for silent_from in [1, 2, 3, 5, 8, 13] {
        let mut net = signing_elsewhere();
        busy(&mut net, 1);
        for index in 0..N {
            let signer = net.ports(index).signer.as_mut().unwrap();
            signer.silent_from = Some(signer.asked + silent_from);
        }
        (0..N).for_each(|index| _ = net.submit(index));
        net.advance(100_000);
        (0..N).for_each(|index| net.ports(index).signer.as_mut().unwrap().silent_from = None);
        (0..N).for_each(|index| net.stop(index));
        (0..N).for_each(|index| net.power_loss(index, 0));
        net.advance(1_000_000);
        let ids = [net.submit(0)];
        settle(&mut net, 2, &ids);
    }
}

#[test]
fn requests_that_contradict_another_nodes_signatures_are_refused() {
    let mut net = signing_elsewhere();
    net.nobody_proposes();
    net.advance(400_000);
    let view = net.nodes[1].shard.view();
    let committee = net.nodes[1].shard.ports.context.committee.clone();
    // The other node voted to finalize the view, and has a batch at the lane's next place.
    let twin = committee.body(VoteKind::Finalize, view, BlockDigest([9; 32]));
    let signer = net.ports(1).signer.as_mut().unwrap();
    signer.guard.vote(&twin, View(0)).unwrap();
    let since = net.log.len();
    let refused = net.saw(1, |input| matches!(input, Input::VoteRefused(VoteKind::Nullify, _)));
    net.effects(1, vec![Effect::Vote { kind: VoteKind::Nullify, view, digest: None, carry: None }]);
    net.run();
    assert_eq!(signed(&net, 1, since), 0);
    assert_eq!(net.saw(1, |input| matches!(input, Input::VoteRefused(VoteKind::Nullify, _))), refused + 1);
}

fn nullify(net: &mut Net, index: usize) -> VoteBody {
    let view = net.nodes[index].shard.view();
    let body = net.nodes[index].shard.ports.context.committee.body(VoteKind::Nullify, view, BlockDigest::ZERO);
    net.effects(index, vec![Effect::Vote { kind: VoteKind::Nullify, view, digest: None, carry: None }]);
    net.run();
    body
}

fn journaled(net: &mut Net, index: usize, body: &VoteBody) -> usize {
    let votes = net.ports(index).on_disk().filter(|record| record.kind == RecordKind::Vote);
    votes.filter(|record| from::<SignedVote>(&record.payload).body == *body).count()
}

fn sent(net: &Net, index: usize, since: usize, body: &VoteBody) -> usize {
    let is_it = |message: &Message| matches!(message, Message::Vote(message) if message.vote.body == *body);
    net.log[since..].iter().filter(|(sender, _, message)| *sender == index && is_it(message)).count()
}

#[test]
fn the_journal_has_a_vote_while_the_signer_still_writes_it() {
    let mut net = signing_elsewhere();
    net.nobody_proposes();
    net.advance(400_000);
    let signer = net.ports(1).signer.as_mut().unwrap();
    signer.silent_from = Some(signer.asked + 1);
    let since = net.log.len();
    let body = nullify(&mut net, 1);
    assert_eq!((journaled(&mut net, 1, &body), sent(&net, 1, since, &body)), (1, 0));
}

#[test]
fn a_vote_leaves_once_both_disks_have_it() {
    let mut net = signing_elsewhere();
    net.nobody_proposes();
    net.advance(400_000);
    net.nodes[1].disk_held = true;
    let since = net.log.len();
    let body = nullify(&mut net, 1);
    assert!(net.ports(1).signer.as_ref().unwrap().has_vote(&body));
    assert_eq!(sent(&net, 1, since, &body), 0);
    net.nodes[1].disk_held = false;
    net.run();
    assert!(sent(&net, 1, since, &body) > 0);
}

#[test]
fn a_vote_that_was_asked_for_before_a_crash_leaves_after_it() {
    for key_returns in [false, true] {
        let mut net = signing_elsewhere();
        net.nobody_proposes();
        net.advance(400_000);
        let signer = net.ports(1).signer.as_mut().unwrap();
        signer.silent_from = Some(signer.asked + 1);
        let body = nullify(&mut net, 1);
        net.ports(1).signer.as_mut().unwrap().silent_from = None;
        if key_returns {
            net.ports(1).signer = None;
        }
        net.power_loss(1, 0);
        let since = net.log.len();
        net.advance(1_000_000);
        assert!(sent(&net, 1, since, &body) > 0, "{key_returns}");
        assert_eq!(net.saw(1, |input| *input == Input::KeyRetired), 0);
    }
}

#[test]
fn a_batch_that_left_before_its_own_sync_is_never_made_twice() {
    for record_is_old in [false, true] {
        let mut net = signing_elsewhere();
        busy(&mut net, 1);
        net.nodes[1].disk_held = true;
        let since = net.log.len();
        let lost = net.submit(1);
        net.run();
        let left = |message: &Message| matches!(message, Message::Batch(batch) if batch.body.author == v(1));
        assert!(net.log[since..].iter().any(|(from, _, message)| *from == 1 && left(message)));
        if record_is_old {
            net.ports(1).signer.as_mut().unwrap().forget_batches();
        }
        net.power_loss(1, 0);
        net.advance(1_000_000);
        settle(&mut net, 1, &[lost]);
        let next = net.submit_of(1, other_account_of_lane(1));
        settle(&mut net, 1, &[next]);
        assert_eq!(net.saw(1, |input| *input == Input::KeyRetired), 0);
    }
}

//! Restart and power loss.

use crate::chain::{ACCOUNTS, N, account, account_of_lane, v};
use crate::net::Net;
use crate::ports::from;
use crate::steps;
use rustorium_shard::port::{Effect, Input, PayloadStatus};
use rustorium_storage::{RecordKind, Store};
use rustorium_txpool::home_lane;
use rustorium_types::{Batch, BlockDigest, Epoch, Height, Message, Operation, Request, View, VoteKind};

#[test]
fn recovered_is_the_first_input_also_when_work_waits() {
    let mut net = Net::new();
    net.nodes[1].core.proposes = false;
    net.submit(1);
    net.run();
    net.stop(1);
    net.power_loss(1, 0);
    let first = &net.ports(1).turns[0];
    assert!(matches!(first[0], Input::Recovered { .. }), "{first:?}");
    assert_eq!(first[1], Input::WorkSeen(true));
}

#[test]
fn a_cut_off_node_signs_nothing_new_after_a_restart() {
    let mut net = Net::new();
    // Its proposal and vote get to disk. The others receive none of its messages except the request for its signatures.
    let asks = |message: &Message| matches!(message, Message::Request { request: Request::OwnSignatures { .. }, .. });
    net.passes = Box::new(move |from, _, message| from != 1 || asks(message));
    net.submit(1);
    net.run();
    let (proposed, _) = net.nodes[1].core.blocks[&View(1)];
    net.power_loss(1, 0);
    net.run();
    let Input::Recovered { last_final, blocks, votes, certificates, payload_height, .. } = &net.nodes[1].core.inputs[0]
    else {
        panic!("recovered first");
    };
    assert_eq!((last_final.height, *payload_height), (Height(0), Height(0)));
    assert_eq!(blocks.iter().map(|facts| facts.digest).collect::<Vec<_>>(), [proposed.digest]);
    assert_eq!(votes.iter().map(|vote| vote.digest).collect::<Vec<_>>(), [Some(proposed.digest)]);
    assert!(certificates.is_empty());
    assert_eq!(net.nodes[1].core.statuses(1), [PayloadStatus::Ready], "told again after the restart");

    let (kind, view) = (VoteKind::Notarize, View(1));
    let propose = Effect::Propose {
        view,
        parent: last_final.digest,
        claim_height: Height(0),
        root_height: Height(0),
        distrusted_lanes: vec![v(1)],
    };
    net.effects(1, vec![propose, Effect::Vote { kind, view, digest: Some(BlockDigest([1; 32])), carry: None }]);
    net.run();
    assert_eq!(net.saw(1, |input| *input == Input::VoteRefused(kind, view)), 2);

    // The node repeats its messages, including the proposal, and the view goes on.
    net.passes = Box::new(|_, _, _| true);
    net.effects(1, vec![Effect::ResendVotes(view)]);
    net.advance(100_000);
    assert!((0..N).all(|index| net.height(index) == 1));
    assert_eq!(net.store(0).tip().unwrap().digest, proposed.digest);
}

#[test]
fn a_finalize_forbids_the_nullify_across_a_restart_and_the_reverse() {
    let mut net = Net::new();
    net.passes =
        Box::new(|_, _, message| !matches!(message, Message::Vote(vote) if vote.vote.body.kind == VoteKind::Finalize));
    net.submit(1);
    net.run();
    net.nullify(); // View 2.
    net.power_loss(0, 0);
    net.run();
    let vote = |kind, view, digest| Effect::Vote { kind, view: View(view), digest, carry: None };
    let digest = net.nodes[2].core.blocks[&View(1)].0.digest;
    let effects = vec![vote(VoteKind::Nullify, 1, None), vote(VoteKind::Finalize, 2, Some(digest))];
    net.effects(0, effects);
    net.run();
    assert_eq!(net.saw(0, |input| *input == Input::VoteRefused(VoteKind::Nullify, View(1))), 1);
    assert_eq!(net.saw(0, |input| *input == Input::VoteRefused(VoteKind::Finalize, View(2))), 1);
}

#[test]
fn nothing_is_signed_in_views_whose_votes_may_be_forgotten() {
    let mut net = Net::new();
    net.submit(1);
    net.advance(10_000);
    net.sync_store(0);
    net.run();
    // The store has everything, so the journal may have freed every record.
    net.ports(0).journal.clear();
    net.power_loss(0, 0);
    net.run();
    let view = net.store(0).tip().unwrap().header.view;
    assert_eq!(view, View(1));
    net.effects(0, vec![Effect::Vote { kind: VoteKind::Nullify, view, digest: None, carry: None }]);
    net.run();
    assert_eq!(net.saw(0, |input| *input == Input::VoteRefused(VoteKind::Nullify, view)), 1);
}

#[test]
fn the_own_lane_goes_on_after_its_last_batch_on_disk() {
    let mut net = Net::new();
    net.nobody_proposes();
    let account = account_of_lane(2);
    net.submit_of(2, account);
    net.run();
    net.nodes[2].disk_held = true;
    net.submit_of(2, account);
    net.advance(30_000);
    let seqs = |net: &mut Net| {
        let batches: Vec<u64> = net
            .ports(2)
            .journal
            .iter()
            .filter(|record| record.kind == RecordKind::Batch)
            .map(|r| from::<Batch>(&r.payload).body.seq)
            .collect();
        batches
    };
    assert_eq!(seqs(&mut net), [0, 1]);
    net.power_loss(2, 0);
    assert_eq!(seqs(&mut net), [0], "the second was never on disk, so never sent");
    let again = crate::chain::put(&net.genesis, account, 1);
    let transactions = vec![crate::chain::admitted(&again)];
    net.ports(2).events.push_back(rustorium_shard::Event::Transactions { transactions, from_client: true });
    net.advance(30_000);
    assert_eq!(seqs(&mut net), [0, 1]);
    for node in &mut net.nodes {
        node.core.proposes = true;
    }
    let effects = net.nodes[1].core.take(Vec::new());
    net.effects(1, effects);
    net.advance(100_000);
    assert!((0..N).all(|index| net.is_final(index, &crate::chain::id_of(&again))));
}

#[test]
fn final_heights_that_were_not_on_disk_are_executed_again_from_the_journal() {
    let mut net = Net::new();
    for _ in 0..3 {
        for index in 0..N {
            net.submit(index);
        }
        net.advance(40_000);
    }
    let height = net.height(0);
    assert!(height >= 3);
    net.power_loss(0, 0);
    assert_eq!(net.height(0), 0);
    // The node is alone: it has only its own journal.
    net.passes = Box::new(|from, to, _| from != 0 && to != 0);
    net.advance(100_000);
    let again = net.store(0).tip().unwrap();
    // The newest finalization is on disk with the next vote only.
    assert!(again.height.0 + 1 >= height);
    let before = net.store(1).block(again.height).unwrap().unwrap();
    assert_eq!((again.digest, again.result_root), (before.digest, before.result_root));
}

#[test]
fn all_lose_power_at_once_and_go_on() {
    let mut net = Net::new();
    net.submit(1);
    net.submit(2);
    net.nodes[0].disk_held = true;
    net.run();
    for index in 0..N {
        net.stop(index);
    }
    for index in 0..N {
        net.power_loss(index, 0);
    }
    net.run();
    net.heartbeats();
    net.advance(1_000_000);
    for _ in 0..4 {
        net.nullify();
        net.advance(100_000);
    }
    let tips: Vec<_> = (0..N).map(|index| net.store(index).tip().unwrap().digest).collect();
    assert!(tips.iter().all(|tip| *tip == tips[0]) && net.height(0) >= 1);
}

#[test]
fn a_lost_store_alone_does_not_allow_votes_below_the_journals_floor() {
    let mut net = Net::new();
    net.submit(1);
    net.run();
    net.sync_store(1);
    net.run();
    // All releasable records and the whole store are gone: only the floor tells what was signed.
    net.ports(1).journal.retain(|record| record.kind == RecordKind::Floor);
    net.lose_store(1);
    net.run();
    let (kind, view) = (VoteKind::Nullify, View(1));
    net.effects(1, vec![Effect::Vote { kind, view, digest: None, carry: None }]);
    net.run();
    assert_eq!(net.saw(1, |input| *input == Input::VoteRefused(kind, view)), 1);
}

/// R32: a node that lost only its store, in an epoch whose records the journal has freed, can't know what it signed in
/// that epoch.
#[test]
fn nothing_is_signed_in_an_epoch_that_the_journal_has_forgotten() {
    let mut net = steps::net(N);
    steps::goes_on(&mut net, N);
    steps::operate(&mut net, 0, vec![Operation::EndEpoch { epoch: Epoch(0) }]);
    steps::goes_on(&mut net, N);
    for index in 0..N {
        net.sync_store(index);
        net.run();
        net.ports(index).journal.retain(|record| record.kind == RecordKind::Floor);
    }
    (0..N).for_each(|index| net.stop(index));
    // All nodes lose their stores at once: no peer can show how the epoch ended, or holds the signatures in it.
    (0..N).for_each(|index| net.lose_store(index));
    let since = net.log.len();
    steps::settle(&mut net);
    assert_eq!((0..N).map(|index| steps::epoch(&net, index)).collect::<Vec<_>>(), [0; N]);
    for index in 0..N {
        let vote = Effect::Vote { kind: VoteKind::Nullify, view: View(1_000), digest: None, carry: None };
        net.effects(index, vec![vote]);
    }
    steps::settle(&mut net);
    let signed = |message: &Message| matches!(message, Message::Vote(_) | Message::Proposal(_) | Message::Batch(_));
    assert_eq!(net.log[since..].iter().filter(|(_, _, message)| signed(message)).count(), 0);
}

/// Returns a chain in epoch 1, in whose epoch 0 node 1 cut batches.
fn in_epoch_1_after_batches_of_node_1() -> Net {
    let mut net = steps::net(N);
    (0..2).for_each(|_| batch_of_node_1(&mut net));
    steps::operate(&mut net, 0, vec![Operation::EndEpoch { epoch: Epoch(0) }]);
    batch_of_node_1(&mut net);
    assert_eq!((steps::epoch(&net, 1), net.ports(1).retired.clone()), (1, None));
    net
}

/// Has node 1 cut a batch, and everybody execute it.
fn batch_of_node_1(net: &mut Net) {
    let at_home = |number: &usize| (0..2).all(|epoch| home_lane(&account(*number), Epoch(epoch), &[0; N]) == v(1));
    let id = net.submit_of(1, (1..ACCOUNTS).find(at_home).unwrap());
    steps::settle(net);
    assert!((0..N).all(|index| net.is_final(index, &id)));
}

/// Has the journal of node 1 free everything that the store has on disk.
fn free_journal_of_node_1(net: &mut Net) {
    net.sync_store(1);
    net.run();
    net.ports(1).journal.retain(|record| record.kind == RecordKind::Floor);
}

/// R27: a floor of a later epoch covers the whole lane of an earlier one. Peers show the batches of the earlier epoch
/// while they fill the new store.
#[test]
fn a_lost_store_alone_does_not_retire_a_key_that_signed_batches_in_an_earlier_epoch() {
    let mut net = in_epoch_1_after_batches_of_node_1();
    free_journal_of_node_1(&mut net);
    net.lose_store(1);
    (0..4).for_each(|_| steps::settle(&mut net));
    assert_eq!((net.ports(1).retired.clone(), steps::epoch(&net, 1), net.height(1)), (None, 1, net.height(0)));
    let since = net.log.len();
    batch_of_node_1(&mut net);
    let votes = |from, message: &Message| from == 1 && matches!(message, Message::Vote(_));
    assert!(net.log[since..].iter().any(|(from, _, message)| votes(*from, message)), "it votes again");
}

/// R27: a copy of the journal that is older than the newest batch is found out in the floor's own epoch.
#[test]
fn an_older_journal_under_a_lost_store_retires_the_key_in_the_floors_epoch() {
    let mut net = in_epoch_1_after_batches_of_node_1();
    free_journal_of_node_1(&mut net);
    let copy = (net.ports(1).journal.clone(), net.ports(1).next, net.ports(1).synced);
    batch_of_node_1(&mut net);
    net.stop(1);
    let ports = net.ports(1);
    (ports.journal, ports.next, ports.synced) = copy;
    ports.may_retire = true;
    net.lose_store(1);
    (0..4).for_each(|_| steps::settle(&mut net));
    let lacks = net.ports(1).retired.clone();
    assert!(
        lacks.as_ref().is_some_and(|lacks| lacks != "batch 0 of its lane"),
        "{lacks:?}: the journal has let go of 0"
    );
}

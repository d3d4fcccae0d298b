//! Epochs: the boundary, closing blocks, the start in place and across restarts, and nodes that come late.

use crate::chain::{N, START_MS, admitted, validator_key};
use crate::net::Net;
use crate::steps::{
    add, change, epoch, goes_on, net, operate, operate_through, parameters, remove, settle, with_closing_blocks,
};
use rustorium_crypto::block_digest;
use rustorium_shard::Event;
use rustorium_shard::context::Context;
use rustorium_shard::port::{Effect, Input, PayloadStatus};
use rustorium_stages::block_proofs::block_proof;
use rustorium_storage::Store;
use rustorium_types::*;

#[test]
fn an_operator_adds_a_validator_who_votes_from_the_next_epoch_on() {
    let mut net = net(5);
    goes_on(&mut net, 4);
    operate(&mut net, 0, vec![add(4)]);
    assert_eq!((0..5).map(|index| epoch(&net, index)).collect::<Vec<_>>(), [1; 5]);
    let change = change(&net, 0, 0);
    let genesis_context = Context::new(&net.genesis, ShardId::ROOT, validator_key(0));
    assert_eq!(genesis_context.check_change(&change.clone().into()), Ok(()));
    assert_eq!(change.next.len(), 5);
    let boundary = net.store(4).bare_block(change.boundary.height).unwrap().unwrap();
    assert_eq!(boundary.header, change.boundary, "the newcomer executed up to it");
    goes_on(&mut net, 5);
    // Four of five are a quorum: the newcomer's vote is needed where one of the others is away.
    net.stop(1);
    for _ in 0..5 {
        net.nullify();
    }
    let id = net.submit_of(0, 6);
    settle(&mut net);
    for _ in 0..5 {
        if !net.is_final(0, &id) {
            net.nullify();
            settle(&mut net);
        }
    }
    assert!(net.is_final(4, &id) && net.is_final(0, &id));
}

#[test]
fn heights_and_views_continue_and_lanes_start_again() {
    let mut net = net(5);
    goes_on(&mut net, 4);
    operate(&mut net, 0, vec![add(4)]);
    let boundary = change(&net, 0, 0).boundary;
    goes_on(&mut net, 5);
    let first = net.store(0).bare_block(boundary.height.next()).unwrap().unwrap().header;
    assert_eq!((first.epoch, first.parent, first.parent_view), (Epoch(1), block_digest(&boundary), boundary.view));
    assert!(first.view > boundary.view && first.time_ms > boundary.time_ms && !first.ends_epoch());
    let batches: u64 = first.cursors.iter().map(|cursor| cursor.next_seq).sum();
    assert!(first.cursors.len() == 5 && batches <= 1, "{:?}", first.cursors);
    assert_eq!(first.validator_set, boundary.next_validator_set);
}

#[test]
fn an_epoch_that_begins_at_a_high_view_counts_its_votes() {
    let mut net = net(5);
    while net.nodes[0].core.view.0 < 140 {
        net.submit_of(0, 5);
        net.advance(50_000);
    }
    operate(&mut net, 0, vec![add(4)]);
    goes_on(&mut net, 5);
    for index in 0..5 {
        net.power_loss(index, 0);
    }
    net.run();
    goes_on(&mut net, 5);
}

#[test]
fn a_removed_member_follows_and_casts_no_vote() {
    let mut net = net(4);
    goes_on(&mut net, 4);
    operate(&mut net, 0, vec![remove(3)]);
    assert_eq!((0..4).map(|index| epoch(&net, index)).collect::<Vec<_>>(), [1; 4]);
    net.log.clear();
    goes_on(&mut net, 4);
    let said = |message: &Message| {
        matches!(message, Message::Vote(_) | Message::Proposal(_) | Message::Heartbeat(_) | Message::Batch(_))
    };
    let mine = net.log.iter().filter(|(from, _, message)| *from == 3 && said(message));
    assert_eq!(mine.map(|(_, _, message)| message).collect::<Vec<_>>(), Vec::<&Message>::new());
    let me = |index: usize| {
        net.nodes[index].core.inputs.iter().rev().find_map(|input| match input {
            Input::Recovered { me, n, .. } => Some((*me, *n)),
            _ => None,
        })
    };
    assert_eq!((me(3), me(2)), (Some((None, 3)), Some((Some(ValidatorIndex(2)), 3))));
}

#[test]
fn the_end_comes_by_time_on_an_idle_chain_with_one_empty_block() {
    let mut net = Net::of(4, Parameters { epoch_ms: 20_000, ..parameters() });
    net.advance(18_000_000);
    assert_eq!((0..4).map(|index| net.height(index)).collect::<Vec<_>>(), [0; 4]);
    assert_eq!(net.saw(0, |input| *input == Input::EndDue(true)), 0);
    net.advance(2_000_000);
    net.heartbeats();
    net.advance(100_000);
    assert_eq!((0..4).map(|index| (net.height(index), epoch(&net, index))).collect::<Vec<_>>(), [(1, 1); 4]);
    let boundary = net.store(0).bare_block(Height(1)).unwrap().unwrap().header;
    assert!(boundary.ends_epoch() && boundary.transactions == 0 && boundary.time_ms >= START_MS + 20_000);
    assert_eq!(boundary.next_validator_set, boundary.validator_set, "the same committee goes on");
    let end = change(&net, 0, 0);
    let context = Context::new(&net.genesis, ShardId::ROOT, validator_key(0));
    assert_eq!(context.check_change(&end.clone().into()), Ok(()));
    net.advance(10_000_000);
    assert_eq!(net.height(0), 1, "an idle chain makes no further block");
    net.advance(12_000_000);
    net.heartbeats();
    net.advance(100_000);
    assert_eq!((net.height(0), epoch(&net, 0)), (2, 2));
}

#[test]
fn closing_blocks_finalize_a_boundary_that_lost_its_votes_and_are_no_heights() {
    let mut net = net(5);
    goes_on(&mut net, 4);
    with_closing_blocks(&mut net, vec![add(4)]);
    assert_eq!((0..5).map(|index| epoch(&net, index)).collect::<Vec<_>>(), [1; 5]);
    let change = change(&net, 0, 0);
    assert!(!change.proof.descendants.is_empty(), "the boundary became final by a closing block");
    for header in &change.proof.descendants {
        assert!(header.ends_epoch() && header.transactions == 0 && header.result == change.boundary.result);
        assert_eq!(net.store(0).height_of(&block_digest(header)).unwrap(), None, "a closing block isn't stored");
    }
    assert_eq!(
        Context::new(&net.genesis, ShardId::ROOT, validator_key(1)).check_change(&change.clone().into()),
        Ok(())
    );
    goes_on(&mut net, 5);
    let next = net.store(4).bare_block(change.boundary.height.next()).unwrap().unwrap().header;
    assert_eq!(next.parent, block_digest(&change.boundary), "whatever certificate made it final");
}

#[test]
fn blocks_below_a_boundary_are_proved_by_their_own_committee() {
    let mut net = net(5);
    goes_on(&mut net, 4);
    with_closing_blocks(&mut net, vec![add(4)]);
    goes_on(&mut net, 5);
    let end = change(&net, 0, 0);
    let store = net.store(0);
    for height in 1..=end.boundary.height.0 {
        let header = store.bare_block(Height(height)).unwrap().unwrap().header;
        let proof = block_proof(&**store, Height(height)).unwrap().expect("it is final");
        assert_eq!(proof.finalization.body.epoch, Epoch(0), "height {height}");
        assert_eq!(rustorium_execution::verify_block(&net.genesis, &header, &proof), Ok(()), "height {height}");
    }
}

#[test]
fn a_change_shown_with_any_part_altered_is_refused() {
    let mut net = net(5);
    goes_on(&mut net, 4);
    with_closing_blocks(&mut net, vec![add(4)]);
    let (good, context) = (change(&net, 0, 0), Context::new(&net.genesis, ShardId::ROOT, validator_key(2)));
    let closing = good.proof.descendants[0].clone();
    type Spoil = Box<dyn Fn(&mut EpochChange)>;
    let certificate = |spoil: fn(&mut Certificate)| -> Spoil { Box::new(move |c| spoil(&mut c.proof.finalization)) };
    let spoils: Vec<Spoil> = vec![
        Box::new(|c| c.boundary.time_ms += 1),
        Box::new(|c| c.boundary.end = End::GoesOn),
        Box::new(|c| c.boundary.epoch = Epoch(1)),
        Box::new(|c| c.next = BoundedVec::new(c.next.as_slice()[..4].to_vec()).unwrap()),
        Box::new(|c| c.next = ValidatorSet::default()),
        Box::new(|c| c.proof.descendants = BoundedVec::default()),
        Box::new(move |c| {
            let twice = vec![closing.clone(), closing.clone()];
            c.proof.descendants = BoundedVec::new(twice).unwrap();
        }),
        Box::new(|c| c.boundary.end = End::Closing(c.boundary.parent)),
        Box::new(|c| {
            // The closing block in the boundary's place: final, too.
            c.boundary = c.proof.descendants[0].clone();
            c.proof.descendants = BoundedVec::default();
        }),
        certificate(|c| c.signatures = BoundedVec::new(c.signatures.as_slice()[1..].to_vec()).unwrap()),
        certificate(|c| c.body.kind = VoteKind::Notarize),
        certificate(|c| c.body.epoch = Epoch(1)),
        certificate(|c| c.body.block = BlockDigest([7; 32])),
    ];
    for (number, spoil) in spoils.iter().enumerate() {
        let mut bad = good.clone();
        spoil(&mut bad);
        assert!(context.check_change(&bad.into()).is_err(), "spoiled by {number}");
    }
    let next = context.after(&good.clone().into());
    assert!(next.check_change(&good.into()).is_err(), "it is no end of the epoch after");
}

#[test]
fn a_member_that_was_away_over_two_epochs_catches_up() {
    let mut net = net(6);
    goes_on(&mut net, 4);
    net.stop(3);
    operate_through(&mut net, vec![add(4)], 1);
    operate_through(&mut net, vec![add(5)], 2);
    let index = 3;
    net.power_loss(index, 0);
    for _ in 0..6 {
        settle(&mut net);
    }
    assert_eq!((epoch(&net, index), net.height(index)), (2, net.height(0)));
    goes_on(&mut net, 6);
}

#[test]
fn a_node_that_starts_from_nothing_goes_through_every_epoch() {
    let mut net = net(6);
    net.stop(5);
    goes_on(&mut net, 4);
    operate(&mut net, 0, vec![add(4)]);
    operate(&mut net, 0, vec![remove(4)]);
    operate(&mut net, 0, vec![Operation::EndEpoch { epoch: Epoch(2) }]);
    assert_eq!(epoch(&net, 0), 3);
    net.wipe(5);
    net.ports(5).may_retire = false;
    for _ in 0..6 {
        settle(&mut net);
    }
    assert_eq!((epoch(&net, 5), net.height(5)), (3, net.height(0)));
    operate(&mut net, 0, vec![add(5)]);
    assert_eq!(epoch(&net, 5), 4);
    goes_on(&mut net, 6);
}

#[test]
fn a_restart_before_and_after_the_boundary_finds_its_epoch() {
    let mut net = net(4);
    goes_on(&mut net, 4);
    operate(&mut net, 0, vec![Operation::EndEpoch { epoch: Epoch(0) }]);
    for index in 0..N {
        net.power_loss(index, 0);
        net.run();
        assert_eq!(epoch(&net, index), 1, "the boundary and the epoch's end were on disk before anything else");
    }
    settle(&mut net);
    goes_on(&mut net, 4);
    operate(&mut net, 0, vec![Operation::EndEpoch { epoch: Epoch(1) }]);
    assert_eq!((0..N).map(|index| epoch(&net, index)).collect::<Vec<_>>(), [2; N]);
}

#[test]
fn all_that_lose_power_around_the_switch_go_on() {
    for cut in 0..40 {
        let mut net = net(5);
        goes_on(&mut net, 4);
        let transaction = net.next_of(0, vec![add(4)]);
        let event = Event::Transactions { transactions: vec![admitted(&transaction)], from_client: true };
        net.nodes[0].shard.ports.events.push_back(event);
        net.turns(cut);
        for index in 0..5 {
            net.power_loss(index, 0);
        }
        net.run();
        let again = Event::Transactions { transactions: vec![admitted(&transaction)], from_client: true };
        net.nodes[1].shard.ports.events.push_back(again);
        settle(&mut net);
        for _ in 0..10 {
            if (0..5).any(|index| epoch(&net, index) == 0) {
                net.nullify();
                settle(&mut net);
            }
        }
        assert_eq!((0..5).map(|index| epoch(&net, index)).collect::<Vec<_>>(), [1; 5], "cut after {cut} turns");
    }
}

/// R32: in the new epoch no peer holds the node's signatures of the old one, so no peer can tell it that its journal is
/// old.
#[test]
fn a_node_without_answers_at_its_epochs_end_asks_again_in_the_next_epoch() {
    let mut net = net(4);
    net.stop(2);
    goes_on(&mut net, 2);
    let answers =
        |message: &Message| matches!(message, Message::Response { response: Response::OwnSignatures { .. }, .. });
    net.passes = Box::new(move |_, to, message| to != 2 || !answers(message));
    net.wipe(2);
    net.ports(2).may_retire = false;
    operate_through(&mut net, vec![Operation::EndEpoch { epoch: Epoch(0) }], 1);
    settle(&mut net);
    assert_eq!((epoch(&net, 2), net.height(2)), (1, net.height(0)));
    net.log.clear();
    net.nullify();
    settle(&mut net);
    let signed = |message: &Message| matches!(message, Message::Vote(_) | Message::Proposal(_));
    let asks = |message: &Message| matches!(message, Message::Request { request: Request::OwnSignatures { .. }, .. });
    assert_eq!(net.between(2, 0).filter(|message| signed(message)).count(), 0);
    assert!(net.between(2, 0).any(asks));
    net.passes = Box::new(|_, _, _| true);
    settle(&mut net);
    assert!(net.between(2, 0).any(signed), "what waited is signed now");
}

#[test]
fn effects_of_the_old_epoch_are_dropped_until_the_core_is_in_the_new_one() {
    let mut net = net(4);
    goes_on(&mut net, 4);
    net.nodes[2].core_held = true;
    operate_through(&mut net, vec![Operation::EndEpoch { epoch: Epoch(0) }], 1);
    assert_eq!(
        (net.height(2), epoch(&net, 2)),
        (net.height(0), 0),
        "the data plane is in the next epoch, the core isn't"
    );
    let votes = |net: &Net| net.log.iter().filter(|(from, _, m)| *from == 2 && matches!(m, Message::Vote(_))).count();
    let before = votes(&net);
    let view = net.nodes[2].shard.view();
    let vote = |view| Effect::Vote { kind: VoteKind::Nullify, view, digest: None, carry: None };
    let passed_over = Vec::new();
    let old = Effect::EnterView { view, because: None, leads: false, epoch: Epoch(0), backoff: 0, passed_over };
    net.effects(2, vec![old, vote(View(view.0 + 1)), vote(View(view.0 + 2)), Effect::Heartbeat(view)]);
    net.run();
    assert_eq!(votes(&net), before, "a vote of the old machine was signed for the new epoch");
    net.nodes[2].core_held = false;
    net.run();
    assert_eq!(epoch(&net, 2), 1);
    goes_on(&mut net, 4);
}

#[test]
fn messages_of_an_older_epoch_are_ignored_and_the_sender_gets_the_end() {
    let mut net = net(4);
    goes_on(&mut net, 4);
    net.stop(3);
    let old: Vec<Message> = net.log.iter().filter(|(from, _, _)| *from == 3).map(|(_, _, m)| m.clone()).collect();
    operate_through(&mut net, vec![Operation::EndEpoch { epoch: Epoch(0) }], 1);
    net.log.clear();
    let before = (net.saw(0, |_| true), net.nodes[0].shard.view());
    for message in old.into_iter().filter(|message| {
        !matches!(
            message,
            Message::Request { .. } | Message::Response { .. } | Message::Transactions(_) | Message::Report(_)
        )
    }) {
        net.inject(3, 0, message);
    }
    net.run();
    assert_eq!((net.saw(0, |_| true), net.nodes[0].shard.view()), before);
    let end = |message: &Message| matches!(message, Message::Response { response: Response::EpochEnd(change), .. } if change.epoch() == Epoch(0));
    assert!(net.between(0, 3).any(end), "a heartbeat of an older epoch is answered with its end");
}

/// Returns the leader, and the block that it would propose next, altered and signed again by the leader.
fn forged(net: &Net, alter: impl Fn(&mut Header)) -> (usize, Block) {
    let tip = net.store(1).tip().unwrap();
    let context = Context::new(&net.genesis, ShardId::ROOT, validator_key(1));
    let view = net.nodes[1].core.view.0.max(tip.header.view.0 + 1);
    let mut block = crate::forge::child(&context, &tip.header, view);
    block.header.state = tip.header.state;
    alter(&mut block.header);
    (view as usize % N, block)
}

fn status_of(net: &mut Net, leader: usize, block: &Block) -> Vec<PayloadStatus> {
    let to = (leader + 1) % N;
    let context = Context::new(&net.genesis, ShardId::ROOT, validator_key(to));
    let proposal = crate::forge::proposal(&context, block);
    net.inject(leader, to, proposal);
    net.run();
    net.advance(50_000);
    net.nodes[to].core.statuses(block.header.view.0)
}

#[test]
fn a_header_that_lies_about_the_end_is_invalid() {
    // Before its end is due.
    let mut early = net(4);
    goes_on(&mut early, 4);
    early.nobody_proposes();
    early.traitor(0);
    let (leader, block) = forged(&early, |header| header.end = End::Boundary);
    assert_eq!(status_of(&mut early, leader, &block), [PayloadStatus::Invalid]);
    // The header doesn't say that the epoch ends when the end is due.
    let mut late = Net::of(4, Parameters { epoch_ms: 60_000, ..parameters() });
    goes_on(&mut late, 4);
    late.nobody_proposes();
    let (leader, block) = forged(&late, |header| header.time_ms = START_MS + 60_000);
    late.advance(60_000_000);
    assert_eq!(status_of(&mut late, leader, &block), [PayloadStatus::Invalid]);
    // Another committee than the state has.
    let (leader, block) = forged(&late, |header| {
        header.time_ms = START_MS + 60_000;
        header.end = End::Boundary;
        header.next_validator_set = Hash([7; 32]);
    });
    assert_eq!(status_of(&mut late, leader, &block), [PayloadStatus::Invalid]);
}

//! R21. In every test the ports assert that nothing leaves before its sync. These tests check that messages do leave,
//! and when.

use crate::net::Net;
use crate::ports::from;
use rustorium_crypto::block_digest;
use rustorium_shard::Event;
use rustorium_shard::port::Effect;
use rustorium_storage::RecordKind;
use rustorium_types::{Batch, Block, Certificate, Message, SignedVote, VoteKind};

fn votes_of(net: &Net, from: usize) -> usize {
    net.between(from, (from + 1) % 4).filter(|message| matches!(message, Message::Vote(_))).count()
}

#[test]
fn a_vote_waits_for_the_disk_and_rests_on_what_came_before_it() {
    let mut net = Net::new();
    net.nodes[2].disk_held = true;
    net.nodes[3].core.votes = false;
    net.submit(1);
    net.run();
    assert_eq!((votes_of(&net, 0), votes_of(&net, 2), net.height(0)), (1, 0, 0));
    net.nodes[2].disk_held = false;
    net.run();
    assert_eq!((votes_of(&net, 2), net.height(0)), (2, 1));

    let journal = &net.ports(2).journal;
    let place = |fits: &dyn Fn(RecordKind, &[u8]) -> bool| {
        journal.iter().position(|record| fits(record.kind, &record.payload)).expect("a record of that kind")
    };
    let vote = |kind| place(&|k, bytes| k == RecordKind::Vote && from::<SignedVote>(bytes).body.kind == kind);
    let block = place(&|kind, _| kind == RecordKind::Proposal);
    let batch = place(&|kind, bytes| kind == RecordKind::Batch && from::<Batch>(bytes).body.author.0 == 1);
    let notarization = place(&|kind, bytes| {
        kind == RecordKind::Certificate && from::<Certificate>(bytes).body.kind == VoteKind::Notarize
    });
    assert!(block < vote(VoteKind::Notarize) && batch < vote(VoteKind::Notarize));
    assert!(notarization < vote(VoteKind::Finalize));
    let journaled: Block = from(&journal[block].payload);
    let notarized: SignedVote = from(&journal[vote(VoteKind::Notarize)].payload);
    assert_eq!(block_digest(&journaled.header), notarized.body.block);
}

#[test]
fn waiting_messages_leave_in_order_each_after_its_own_position() {
    let mut net = Net::new();
    let first = net.log.len();
    net.nodes[1].disk_held = true;
    net.submit(1);
    net.run();
    let kinds: Vec<_> = net.ports(1).journal.iter().map(|record| record.kind).collect();
    assert_eq!(kinds, [RecordKind::Batch, RecordKind::Proposal, RecordKind::Vote]);
    assert!(net.log[first..].iter().all(|(from, _, _)| *from != 1), "nothing leaves while the disk works");

    let mut step = |position: u64| {
        let before = net.log.len();
        net.ports(1).synced = position;
        net.ports(1).events.push_back(Event::Durable(position));
        net.run();
        let new = net.log[before..].iter().filter(|(from, to, _)| (*from, *to) == (1, 0));
        new.map(|(_, _, message)| message.clone()).collect::<Vec<_>>()
    };
    assert!(matches!(&step(1)[..], [Message::Batch(_)]));
    assert!(step(2).is_empty());
    assert!(matches!(&step(3)[0], Message::Proposal(_)));
}

#[test]
fn an_own_batch_that_is_not_on_disk_is_not_sent_as_work_either() {
    let mut net = Net::new();
    net.nodes[1].disk_held = true;
    net.nodes[1].core.proposes = false;
    net.submit(1);
    net.run();
    let told = |net: &Net| {
        let batches = net.between(1, 0).filter(|message| matches!(message, Message::Batch(_))).count();
        let named = |message: &&Message| matches!(message, Message::Work(work) if !work.tips.is_empty());
        (batches, net.between(1, 0).filter(named).count())
    };
    net.effects(1, vec![Effect::SendWork(None)]);
    net.run();
    assert_eq!(told(&net), (0, 0));
    net.nodes[1].disk_held = false;
    net.run();
    assert_eq!(told(&net), (1, 0));
    net.effects(1, vec![Effect::SendWork(None)]);
    net.run();
    assert_eq!(told(&net), (1, 1));
}

#[test]
fn heartbeats_carry_no_vote_that_is_not_on_disk() {
    let votes = |disk_held: bool| {
        let mut net = Net::new();
        net.nodes[2].disk_held = disk_held;
        // Otherwise the others would finalize the block, and nobody would need the vote any more.
        [0, 3].into_iter().for_each(|index: usize| net.nodes[index].core.votes = false);
        net.submit(1);
        net.run();
        net.heartbeats();
        let heartbeat = |message: &Message| match message {
            Message::Heartbeat(heartbeat) => Some(heartbeat.votes.len()),
            _ => None,
        };
        net.between(2, 0).filter_map(heartbeat).last().unwrap()
    };
    assert_eq!((votes(true), votes(false)), (0, 1));
}

//! Nodes outside the committee: they may send requests and learn what is final, and their messages about the chain
//! don't count.

use crate::chain::{account_of_lane, context, put};
use crate::forge;
use crate::net::Net;
use bytes::Bytes;
use rustorium_shard::Event;
use rustorium_shard::senders::Credit;
use rustorium_storage::Store;
use rustorium_types::{
    BatchDigest, BlockDigest, Hash, Height, Message, Parameters, PublicKey, Report, Request, Response, View, VoteKind,
};
use std::cell::Cell;
use std::rc::Rc;

const OUTSIDER: PublicKey = [0xee; 32];

fn say(net: &mut Net, message: Message) {
    let frame = Bytes::from(message.to_frame());
    let event = Event::Peer { from: OUTSIDER, message, frame, credit: Credit::default() };
    net.nodes[0].shard.ports.events.push_back(event);
    net.run();
}

fn ask(net: &mut Net, request: Request) -> Response {
    net.ports(0).told_outside.clear();
    say(net, Message::Request { id: 7, request });
    match net.ports(0).told_outside.pop() {
        Some((Some(OUTSIDER), Message::Response { id: 7, response })) => response,
        other => panic!("no answer: {other:?}"),
    }
}

#[test]
fn an_outsider_gets_answers_and_finalizations() {
    let mut net = Net::new();
    let id = net.submit(0);
    net.run();
    assert!(net.is_final(0, &id));
    let told = &net.ports(0).told_outside;
    let is_final = |message: &Message| matches!(message, Message::Certificate(c) if c.body.kind == VoteKind::Finalize);
    assert!(told.iter().any(|(to, message)| to.is_none() && is_final(message)), "{told:?}");
    let tip = net.store(0).tip().unwrap();
    assert!(matches!(ask(&mut net, Request::Block(tip.digest)), Response::Block(block) if block.header == tip.header));
    let blocks = ask(&mut net, Request::FinalBlocks { first: Height(1), count: 9 });
    assert!(matches!(blocks, Response::FinalBlocks { blocks, .. } if !blocks.is_empty()));
    // A non-member has signed nothing, so it can't ask for its signatures.
    assert_eq!(ask(&mut net, Request::OwnSignatures { next_seq: 0 }), Response::NotHeld);
}

#[test]
fn an_outsiders_consensus_messages_are_ignored() {
    let mut net = Net::new();
    net.submit(0);
    net.run();
    // All messages of a validator, under another name: the votes of a second committee.
    let heard: Vec<Message> = net.log.iter().map(|(_, _, message)| message.clone()).collect();
    let before = (net.height(0), net.nodes[0].shard.view(), net.saw(0, |_| true));
    for message in heard {
        if !matches!(message, Message::Request { .. } | Message::Transactions(_)) {
            say(&mut net, message);
        }
    }
    assert_eq!((net.height(0), net.nodes[0].shard.view(), net.saw(0, |_| true)), before);
    assert_eq!(net.nodes[0].shard.connected().len(), 3);
    net.nodes[0].shard.ports.events.push_back(Event::Link { node_key: OUTSIDER, up: true });
    net.run();
    assert_eq!(net.nodes[0].shard.connected().len(), 3);
}

/// Returns the members to which this node handed transactions.
fn handed_to(net: &Net, from: usize) -> Vec<usize> {
    let all =
        net.log.iter().filter(|(sender, _, message)| *sender == from && matches!(message, Message::Transactions(_)));
    all.map(|(_, to, _)| *to).collect()
}

#[test]
fn a_follower_forwards_transactions_again_that_were_lost_with_a_link() {
    let mut net = Net::of(5, Parameters::default());
    let lost = Rc::new(Cell::new(0));
    let count = lost.clone();
    net.passes = Box::new(move |from, _, message| {
        let first = from == 4 && matches!(message, Message::Transactions(_)) && count.get() == 0;
        count.set(count.get() + u32::from(first));
        !first
    });
    let id = net.submit_of(4, account_of_lane(2));
    net.advance(2_000_000);
    assert_eq!((lost.get(), net.is_final(4, &id)), (1, true));
    let handed = handed_to(&net, 4).len();
    net.advance(10_000_000);
    assert_eq!(handed_to(&net, 4).len(), handed, "what is executed is handed to nobody");
}

#[test]
fn a_follower_goes_to_the_next_where_a_validator_keeps_transactions_back() {
    let mut net = Net::of(5, Parameters::default());
    net.passes = Box::new(|_, to, message| to != 2 || !matches!(message, Message::Transactions(_)));
    let ids: Vec<_> = (0..3).map(|_| net.submit_of(4, account_of_lane(2))).collect();
    net.advance(500_000);
    assert_eq!((handed_to(&net, 4), net.is_final(4, &ids[0])), (vec![2; 3], false));
    net.advance(3_000_000);
    assert!(ids.iter().all(|id| net.is_final(4, id)), "{:?}", handed_to(&net, 4));
}

#[test]
fn a_follower_without_links_forwards_once_it_has_one() {
    let mut net = Net::of(5, Parameters::default());
    net.link_all(4, false);
    let id = net.submit_of(4, account_of_lane(1));
    net.advance(5_000_000);
    assert_eq!(handed_to(&net, 4), Vec::<usize>::new());
    net.link_all(4, true);
    net.advance(2_000_000);
    assert!((0..5).all(|index| net.is_final(index, &id)));
}

/// Each of these would change something, were a member to say it.
#[test]
fn a_message_that_only_outsiders_send_is_ignored() {
    let news = |net: &Net| {
        let transaction = put(&net.genesis, 0, 0).into_inner();
        let batch = forge::batch(&net.genesis, 3, 0, BatchDigest::ZERO, &[transaction]);
        let body = forge::body(&context(&net.genesis, 0), VoteKind::Nullify, 1, BlockDigest::ZERO);
        let report = Report { executed: Height(90), root: Hash([1; 32]), ..Report::default() };
        [
            Message::Certificate(Box::new(forge::certificate(body, &[1, 2, 3]))),
            Message::Batch(Box::new(batch)),
            Message::Report(report),
        ]
    };
    let heard = |net: &mut Net| (net.saw(0, |_| true), net.nodes[0].shard.view(), net.ports(0).journal.len());
    let mut net = Net::new();
    net.nobody_proposes();
    let before = heard(&mut net);
    for message in news(&net) {
        say(&mut net, message);
    }
    assert_eq!(heard(&mut net), before);
    for message in news(&net) {
        net.inject(3, 0, message);
    }
    net.run();
    let (inputs, view, records) = heard(&mut net);
    assert!(inputs > before.0 && view == View(2) && records == before.2 + 2, "a member is heard");
}

#[test]
fn a_follower_hands_on_at_once_however_long_it_has_heard_no_vote() {
    let mut net = Net::of(5, Parameters::default());
    net.advance(5_000_000);
    let id = net.submit_of(4, account_of_lane(2));
    net.advance(100_000);
    assert_eq!((handed_to(&net, 4), net.is_final(4, &id)), (vec![2], true));
}

#[test]
fn who_has_no_block_of_a_chain_that_has_some_is_not_caught_up() {
    let mut net = Net::of(5, Parameters::default());
    assert!(net.nodes[4].shard.synced(), "there is none");
    net.nodes[3..].iter_mut().for_each(|node| node.execution_held = true);
    net.submit(0);
    net.advance(1_000_000);
    let near = [0, 3, 4].map(|index| (net.height(index), net.nodes[index].shard.synced()));
    assert_eq!(near, [(1, true), (0, false), (0, false)]);
    net.nodes[3..].iter_mut().for_each(|node| node.execution_held = false);
    net.advance(1_000_000);
    assert!([3, 4].iter().all(|index| net.height(*index) == 1 && net.nodes[*index].shard.synced()));
}

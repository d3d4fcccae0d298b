//! Nodes outside the committee: they may ask, they hear what is final, and their word on the chain counts nothing.

use crate::net::Net;
use bytes::Bytes;
use rustorium_dataplane::shard::Event;
use rustorium_storage::Store;
use rustorium_transport::Credit;
use rustorium_types::{Height, Message, PublicKey, Request, Response, VoteKind};

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
fn whoever_is_outside_is_answered_and_told_what_is_final() {
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
    // What it may have signed is no question that it can have.
    assert_eq!(ask(&mut net, Request::OwnSignatures { next_seq: 0 }), Response::NotHeld);
}

#[test]
fn what_an_outsider_says_of_the_chain_is_not_heard() {
    let mut net = Net::new();
    net.submit(0);
    net.run();
    // Everything that a validator said, in another's name: a second committee's worth of votes.
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

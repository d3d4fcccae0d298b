//! The requests and data that a leader or another member can cause at a node: wants and batches are removed with their
//! blocks (R41, R42).

use crate::chain::{N, put, v};
use crate::forge;
use crate::net::Net;
use rustorium_crypto::{batch_digest, payload_root};
use rustorium_storage::Store;
use rustorium_types::*;

/// Does some work, and passes the views of a leader that proposes nothing.
fn turn(net: &mut Net, index: usize) {
    net.submit(index);
    net.advance(50_000);
    if net.nodes[0].core.view.0 % N as u64 == 3 {
        net.nullify();
        net.advance(10_000);
    }
}

/// A block on node 0's final tip that lists these batches.
fn listing(net: &mut Net, view: u64, cursors: &[(usize, Cursor)]) -> Message {
    let parent = net.store(0).tip().unwrap().header;
    let context = net.ports(3).context.clone();
    let mut block = forge::child(&context, &parent, view);
    let mut listed = parent.cursors.as_slice().to_vec();
    cursors.iter().for_each(|(lane, cursor)| listed[*lane] = *cursor);
    block.header.proposer = v(3);
    block.header.payload_root = payload_root(&[], &parent.cursors, &listed);
    block.header.cursors = BoundedVec::new(listed).unwrap();
    block.header.transactions = 77;
    forge::proposal(&context, &block)
}

/// Returns such a block that lists an invented batch in each lane.
fn invented(net: &mut Net, view: u64, round: u64) -> Message {
    let parent = net.store(0).tip().unwrap().header;
    let invent = |(lane, cursor): (usize, &Cursor)| {
        let mut tip = [lane as u8; 32];
        tip[..8].copy_from_slice(&view.to_le_bytes());
        tip[8..16].copy_from_slice(&round.to_le_bytes());
        (lane, Cursor { next_seq: cursor.next_seq + 1, tip: BatchDigest(tip) })
    };
    let cursors: Vec<_> = parent.cursors.as_slice().iter().enumerate().map(invent).collect();
    listing(net, view, &cursors)
}

fn questions(net: &Net, from: usize) -> usize {
    let fetches = |message: &Message| match message {
        Message::Request { request, .. } => matches!(request, Request::Batch { .. } | Request::Block(_)),
        _ => false,
    };
    net.log[from..].iter().filter(|(_, _, message)| fetches(message)).count()
}

/// A member that is silent in its turns proposes in the next 60 views, again and again, something that nobody can
/// fetch.
#[test]
fn invented_batches_of_future_views_do_not_delay_real_ones() {
    let mut net = Net::new();
    net.traitor(3);
    net.nodes[3].core.proposes = false;
    for round in 0..120 {
        let view = net.nodes[0].core.view.0;
        for view in view..view + 60 {
            let message = invented(&mut net, view, round);
            (0..3).for_each(|index| net.inject(3, index, message.clone()));
        }
        net.run();
        (0..3).for_each(|index| turn(&mut net, index));
        net.advance(4_800_000);
        net.log.clear();
    }
    // After an ordinary loss, the chain recovers within two seconds.
    net.passes = Box::new(|_, to, message| to != 2 || !matches!(message, Message::Batch(_)));
    (0..6).for_each(|number| turn(&mut net, number % 2));
    net.passes = Box::new(|_, _, _| true);
    net.advance(2_000_000);
    let heights: Vec<u64> = (0..N).map(|index| net.height(index)).collect();
    assert!(heights[0] > 120 && heights[2] == heights[0], "{heights:?}");
    let before = net.log.len();
    net.advance(10_000_000);
    assert_eq!(questions(&net, before), 0, "nobody asks for what nobody needs");
    net.stop(3);
    (0..6).for_each(|number| turn(&mut net, number % 3));
    net.advance(1_000_000);
    assert!(net.height(0) >= heights[0] + 3 && net.height(2) == net.height(0), "the chain goes on without the liar");
}

/// A leader may list anything, so wants last for its view and the next, and only the author, the leader and two others
/// are asked.
#[test]
fn a_leaders_inventions_cost_a_few_questions_and_go_with_its_view() {
    let mut net = Net::new();
    net.traitor(3);
    net.nodes[3].core.proposes = false;
    while net.nodes[0].core.view.0 % N as u64 != 3 {
        net.submit(0);
        net.advance(50_000);
    }
    let view = net.nodes[0].core.view.0;
    let before = net.log.len();
    let message = invented(&mut net, view, 0);
    net.inject(3, 0, message);
    net.advance(30_000_000);
    let asked = questions(&net, before);
    assert!((N..4 * N * 12).contains(&asked), "{asked} questions");
    net.nullify();
    net.advance(1_000_000);
    let before = net.log.len();
    net.advance(30_000_000);
    assert_eq!(questions(&net, before), 0);
}

/// C6: in each of its turns a leader lists another batch at one seq of its lane, in a block that then fails.
#[test]
fn equivocations_of_blocks_that_failed_are_not_hoarded() {
    let mut net = Net::new();
    net.traitor(3);
    // Nobody else proposes, so that no block lists the first of them for good.
    net.nodes.iter_mut().for_each(|node| node.core.proposes = false);
    let mut made = Vec::new();
    for round in 0..40 {
        while net.nodes[0].core.view.0 % N as u64 != 3 {
            net.nullify();
            net.advance(10_000);
        }
        let view = net.nodes[0].core.view.0;
        let transaction = put(&net.genesis, 0, 1000 + round as u64).into_inner();
        let batch = forge::batch(&net.genesis, 3, 0, BatchDigest::ZERO, &[transaction]);
        let digest = batch_digest(&batch.body);
        made.push(digest);
        let message = listing(&mut net, view, &[(3, Cursor { next_seq: 1, tip: digest })]);
        (0..3).for_each(|index| net.inject(3, index, message.clone()));
        net.advance(45_000);
        (0..3).for_each(|index| net.inject(3, index, Message::Batch(Box::new(batch.clone()))));
        net.advance(20_000);
        assert!((0..3).all(|index| is_served(&mut net, index, digest)), "it is held while its block may be good");
        net.nullify();
        net.advance(10_000);
    }
    net.advance(200_000);
    for index in 0..3 {
        let held = made.iter().filter(|digest| is_served(&mut net, index, **digest)).count();
        assert!(held <= 2, "node {index} holds {held} batches at one seq");
    }
}

fn is_served(net: &mut Net, index: usize, digest: BatchDigest) -> bool {
    let before = net.log.len();
    net.inject((index + 1) % 3, index, Message::Request { id: 77, request: Request::Batch { lane: v(3), digest } });
    net.run();
    let answers = net.log[before..].iter();
    answers
        .into_iter()
        .any(|(_, _, message)| matches!(message, Message::Response { id: 77, response: Response::Batch(_) }))
}

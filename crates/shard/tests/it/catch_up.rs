//! A node that was away returns to the others' state.

use crate::net::Net;
use rustorium_storage::{HistoryStore, Store, TreeStore};
use rustorium_types::{BlockDigest, Height, Message, Request};

/// Makes blocks without node 3, whose views the others give up.
pub fn grow(net: &mut Net, blocks: u64) {
    let goal = net.height(0) + blocks;
    let mut lane = 0;
    while net.height(0) < goal {
        let before = net.height(0);
        net.submit(lane);
        lane = (lane + 1) % 3;
        net.run();
        if net.height(0) == before {
            net.nullify();
        }
    }
}

fn asked(net: &Net, from: usize, fits: impl Fn(&Request) -> bool) -> usize {
    let request = |message: &Message| matches!(message, Message::Request { request, .. } if fits(request));
    net.log.iter().filter(|(node, _, message)| *node == from && request(message)).count()
}

fn same_as_the_others(net: &Net, index: usize) {
    let (tip, first) = (net.store(index).tip().unwrap(), net.store(0).tip().unwrap());
    assert_eq!((tip.height, tip.digest, tip.result_root), (first.height, first.digest, first.result_root));
}

#[test]
fn a_lagging_node_catches_up_by_final_blocks_and_batches() {
    let mut net = Net::new();
    net.stop(3);
    grow(&mut net, 20);
    net.power_loss(3, 0);
    net.advance(3_000_000);
    same_as_the_others(&net, 3);
    assert!(asked(&net, 3, |request| matches!(request, Request::FinalBlocks { .. })) >= 1);
    assert!(asked(&net, 3, |request| matches!(request, Request::Batch { .. })) >= 1);
    // The node takes part again.
    let id = net.submit(3);
    net.advance(100_000);
    net.nullify();
    net.advance(2_000_000);
    assert!((0..4).all(|index| net.is_final(index, &id)));
}

#[test]
fn a_node_that_is_far_behind_goes_range_by_range() {
    let mut net = Net::new();
    net.stop(3);
    grow(&mut net, 700);
    net.power_loss(3, 0);
    net.advance(10_000_000);
    same_as_the_others(&net, 3);
    let ranges = asked(&net, 3, |request| matches!(request, Request::FinalBlocks { .. }));
    let single = asked(&net, 3, |request| matches!(request, Request::Block(_)));
    assert!((3..20).contains(&ranges), "{ranges} ranges");
    assert!(single < 50, "{single} blocks were asked for one by one");
}

#[test]
fn a_node_that_was_away_for_too_long_knows_that_no_peer_has_its_next_block() {
    let mut net = Net::new();
    net.stop(3);
    grow(&mut net, 40);
    for index in 0..3 {
        // The store may drop data below the tree's base.
        net.store(index).fold_tree(Height(30), &[]).unwrap();
        let kept = net.store(index).prune(Height(30)).unwrap();
        assert_eq!((kept.oldest_height, kept.more), (Height(30), false));
    }
    net.power_loss(3, 0);
    net.advance(5_000_000);
    let lacks = Height(net.height(3) + 1);
    assert!(lacks < Height(30));
    assert_eq!(net.nodes[3].shard.unserved(), Some(lacks));
    assert_eq!(net.nodes[0].shard.unserved(), None);
    // Of f + 1 connected peers some may lie, but not all. A node with a single peer learns nothing from it.
    net.stop(0);
    net.stop(1);
    assert_eq!(net.nodes[3].shard.unserved(), None);
}

#[test]
fn a_gap_of_one_block_is_fetched_by_its_digest() {
    let mut net = Net::new();
    net.passes = Box::new(|_, to, message| to != 3 || !matches!(message, Message::Proposal(_)));
    net.submit(1);
    net.advance(1_000_000);
    same_as_the_others(&net, 3);
    assert_eq!(asked(&net, 3, |request| matches!(request, Request::Block(_))), 1);
    assert_eq!(asked(&net, 3, |request| matches!(request, Request::FinalBlocks { .. })), 0);
}

#[test]
fn a_node_that_caught_up_by_a_range_requests_no_block_of_it_again() {
    let mut net = Net::new();
    net.stop(3);
    grow(&mut net, 20);
    net.power_loss(3, 0);
    net.advance(3_000_000);
    same_as_the_others(&net, 3);
    let (caught_up, told) = (net.height(3), net.log.len());
    // Finalizations reach the node before their blocks: it walks back from them, and no further than to its own tip.
    net.passes = Box::new(|_, to, message| to != 3 || !matches!(message, Message::Proposal(_)));
    for lane in 0..3 {
        net.submit(lane);
        net.advance(1_000_000);
    }
    same_as_the_others(&net, 3);
    assert!(net.height(3) > caught_up);
    let old = |digest: &BlockDigest| net.store(0).height_of(digest).unwrap().is_some_and(|h| h.0 <= caught_up);
    let again = |message: &Message| matches!(message, Message::Request { request: Request::Block(d), .. } if old(d));
    assert_eq!(net.log[told..].iter().filter(|(from, _, message)| *from == 3 && again(message)).count(), 0);
}

#[test]
fn useless_final_blocks_do_not_end_the_search() {
    let mut net = Net::new();
    net.stop(3);
    grow(&mut net, 20);
    // Nodes 0 and 1 answer ranges with useless data: the test removes their answers and inserts false ones.
    net.passes = Box::new(|from, to, message| to != 3 || from == 2 || !matches!(message, Message::Response { .. }));
    net.power_loss(3, 0);
    let mut answered = 0;
    for _ in 0..40 {
        net.advance(100_000);
        let asked: Vec<_> =
            net.log[answered..].iter().filter(|(from, to, _)| *from == 3 && *to != 2).cloned().collect();
        answered = net.log.len();
        for (_, to, message) in asked {
            if let Message::Request { id, request: Request::FinalBlocks { first, .. } } = message {
                let mut block = net.store(0).bare_block(first).unwrap().unwrap();
                let (_, certificate) = net.store(0).finalization_at_or_above(Height(1)).unwrap().unwrap();
                block.header.time_ms += 1;
                let blocks = rustorium_types::BoundedVec::new(vec![block]).unwrap();
                let response = rustorium_types::Response::FinalBlocks { blocks, finalization: Some(certificate) };
                net.inject(to, 3, Message::Response { id, response });
            }
        }
        net.heartbeats();
    }
    same_as_the_others(&net, 3);
}

//! Work announced by digests (R44): batches go to nodes that lack them and request them, and peers of an older release
//! get messages that they understand.

use crate::chain::{put, v};
use crate::forge;
use crate::net::Net;
use rustorium_shard::Event;
use rustorium_shard::port::Effect;
use rustorium_types::{BatchDigest, Held, Message, Report, Request, Response, ValidatorIndex, Work, link_version};

/// Nobody proposes, and node 2 doesn't receive the broadcasts of node 1.
fn lacking() -> Net {
    let mut net = Net::new();
    net.nobody_proposes();
    net.passes = Box::new(|from, to, message| (from, to) != (1, 2) || !matches!(message, Message::Batch(_)));
    net.submit(1);
    net.run();
    net
}

fn count(net: &Net, from: usize, to: usize, what: impl Fn(&Message) -> bool) -> usize {
    net.between(from, to).filter(|message| what(message)).count()
}

fn asks(message: &Message) -> bool {
    matches!(message, Message::Request { request: Request::Batches { .. }, .. })
}

fn held(net: &Net, index: usize, lane: usize) -> u64 {
    net.nodes[index].shard.held_lanes()[lane]
}

#[test]
fn a_node_that_lacks_an_announced_batch_gets_it_once_from_the_author() {
    let mut net = lacking();
    assert_eq!((held(&net, 0, 1), held(&net, 2, 1)), (1, 0));
    net.effects(0, vec![Effect::SendWork(None)]);
    net.run();
    assert_eq!(count(&net, 0, 2, |message| matches!(message, Message::Batch(_))), 0, "names alone");
    assert_eq!(count(&net, 2, 1, asks), 0, "it may be on its way");
    net.advance(110_000);
    assert_eq!((count(&net, 2, 1, asks), count(&net, 2, 0, asks), held(&net, 2, 1)), (1, 0, 1));
    net.advance(5_000_000);
    let answers = |message: &Message| matches!(message, Message::Response { response: Response::Batches(_), .. });
    assert_eq!((count(&net, 1, 2, answers), count(&net, 3, 1, asks), count(&net, 3, 0, asks)), (1, 0, 0));
}

#[test]
fn the_announcer_is_asked_if_the_author_is_gone() {
    let mut net = lacking();
    net.stop(1);
    net.effects(0, vec![Effect::SendWork(None)]);
    net.advance(10_000);
    assert_eq!((count(&net, 2, 0, asks), held(&net, 2, 1)), (1, 1));
}

#[test]
fn invented_lane_ends_are_requested_in_two_rounds_and_then_forgotten() {
    let mut net = Net::new();
    net.nobody_proposes();
    let end = |next_seq| rustorium_types::Cursor { next_seq, tip: BatchDigest([next_seq as u8; 32]) };
    let work = |next_seq| {
        let tips = rustorium_types::BoundedVec::new(vec![(v(1), end(next_seq))]).unwrap();
        let (epoch, report) = (rustorium_types::Epoch(0), Report::default());
        Message::Work(Box::new(Work { epoch, tips, notarizations: Default::default(), report }))
    };
    for next_seq in [1, 1, 2, 3, 4, 5, 1_000_000] {
        net.inject(3, 0, work(next_seq));
        for _ in 0..20 {
            net.heartbeats();
            net.advance(250_000);
        }
    }
    // The author and the announcer, twice, for three ends.
    assert_eq!((count(&net, 0, 1, asks), count(&net, 0, 3, asks), count(&net, 0, 2, asks)), (6, 6, 0));
}

#[test]
fn a_batch_that_another_than_its_author_sends_unasked_is_dropped() {
    let mut net = Net::new();
    net.nobody_proposes();
    let transaction = put(&net.genesis, 0, 0).into_inner();
    let batch = forge::batch(&net.genesis, 3, 0, BatchDigest::ZERO, &[transaction]);
    net.inject(2, 0, Message::Batch(Box::new(batch.clone())));
    net.run();
    assert_eq!(held(&net, 0, 3), 0);
    net.inject(3, 0, Message::Batch(Box::new(batch)));
    net.run();
    assert_eq!(held(&net, 0, 3), 1);
}

/// Links with a peer that speaks the version before.
fn with_old_peer(net: &mut Net, old: usize) {
    for index in (0..4).filter(|index| *index != old) {
        net.ports(index).link_versions.insert(v(old), link_version::FIRST);
        for up in [false, true] {
            let event = Event::Link { node_key: crate::net::node_key(old), up };
            net.ports(index).events.push_back(event);
        }
    }
    net.run();
}

#[test]
fn a_peer_of_the_release_before_gets_batches_and_whole_lists_and_others_get_names() {
    let mut net = lacking();
    with_old_peer(&mut net, 3);
    let before = net.log.len();
    net.effects(0, vec![Effect::SendWork(None), Effect::SendWork(Some(ValidatorIndex(3)))]);
    net.run();
    let told = |to: usize, what: &dyn Fn(&Message) -> bool| {
        net.log[before..].iter().filter(|(from, at, message)| (*from, *at) == (0, to) && what(message)).count()
    };
    let (named, batch) = (
        |m: &Message| matches!(m, Message::Work(_)),
        |m: &Message| matches!(m, Message::Batch(b) if b.body.author == v(1)),
    );
    assert_eq!((told(3, &named), told(3, &batch)), (0, 2));
    assert_eq!((told(1, &named), told(1, &batch), told(2, &named), told(2, &batch)), (1, 0, 1, 0));
}

#[test]
fn votes_carry_changes_and_whole_lists_to_old_peers_and_new_links() {
    let mut net = Net::new();
    with_old_peer(&mut net, 3);
    for _ in 0..20 {
        net.submit(1);
        net.advance(300_000);
    }
    let said = |to: usize| {
        let votes = net.between(0, to).filter_map(|message| match message {
            Message::Vote(vote) => Some(matches!(vote.held, Held::Whole(_))),
            _ => None,
        });
        votes.collect::<Vec<_>>()
    };
    assert!(said(3).len() > 16 && said(3).iter().all(|whole| *whole), "{:?}", said(3));
    let (whole, changes): (Vec<bool>, Vec<bool>) = said(1).into_iter().partition(|whole| *whole);
    assert!(whole.len() > 1 && changes.len() > 5 * whole.len(), "{} and {}", whole.len(), changes.len());
}

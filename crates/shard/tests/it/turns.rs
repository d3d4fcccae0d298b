//! R38: the order of a shard's events, and how long peers may keep it.

use crate::net::{Net, node_key};
use bytes::Bytes;
use rustorium_shard::Event;
use rustorium_shard::senders::Credit;
use rustorium_shard::turns::{PEERS_NS_MAX, Turns};
use rustorium_types::{Message, Report};
use std::collections::VecDeque;

const MS: u64 = 1_000_000;

fn frame(peer: usize) -> Event {
    let message = Message::Report(Report::default());
    let frame = Bytes::from(message.to_frame());
    Event::Peer { from: node_key(peer), message, frame, credit: Credit::default() }
}

/// Takes one turn in which each frame has this cost; returns the number of frames taken.
fn take(turns: &mut Turns, net: &mut Net, cost_ns: u64, mut arrive: impl FnMut(&mut VecDeque<Event>)) -> usize {
    let before = turns.len();
    let (mut at_ns, mut came) = (0, 0);
    let clock_ns = || {
        at_ns += cost_ns;
        at_ns
    };
    let now = net.now;
    assert!(turns.take(
        &mut net.nodes[0].shard,
        now,
        |_| (),
        clock_ns,
        |new| {
            arrive(new);
            came += new.len();
        }
    ));
    before + came - turns.len()
}

#[test]
fn peers_frames_take_no_more_of_a_turn_than_their_share() {
    let (mut net, mut turns) = (Net::new(), Turns::default());
    (0..100).for_each(|_| turns.push(frame(1)));
    assert_eq!(take(&mut turns, &mut net, MS, |_| ()) as u64, PEERS_NS_MAX / MS);
    assert_eq!(take(&mut turns, &mut net, 40 * MS, |_| ()), 1, "one frame always fits");
    assert_eq!(take(&mut turns, &mut net, 0, |_| ()), 94);
    assert!(turns.is_idle() && turns.is_empty());
}

#[test]
fn a_flooding_peer_waits_while_others_send() {
    let (mut net, mut turns) = (Net::new(), Turns::default());
    (0..100).for_each(|_| turns.push(frame(1)));
    (0..2).for_each(|_| turns.push(frame(2)));
    (0..2).for_each(|_| turns.push(frame(3)));
    take(&mut turns, &mut net, MS, |_| ());
    let left = |turns: &Turns, peer| turns.len_of(&node_key(peer));
    assert_eq!((left(&turns, 1), left(&turns, 2), left(&turns, 3)), (98, 0, 1));
    take(&mut turns, &mut net, MS, |_| ());
    assert_eq!(left(&turns, 3), 0);
}

#[test]
fn own_events_and_other_peers_frames_are_next() {
    let (mut net, mut turns) = (Net::new(), Turns::default());
    (0..100).for_each(|_| turns.push(frame(1)));
    let mut own = Some(Event::Tick);
    let taken = take(&mut turns, &mut net, MS, |new| new.extend(own.take()));
    assert_eq!(taken, 1, "the turn ends for an event of its own");
    turns.push(frame(2));
    let mut later = vec![frame(3)];
    take(&mut turns, &mut net, MS, |new| new.extend(later.drain(..)));
    assert_eq!((turns.len_of(&node_key(2)), turns.len_of(&node_key(3))), (0, 0));
}

#[test]
fn stop_is_an_event_of_its_own() {
    let (mut net, mut turns) = (Net::new(), Turns::default());
    (0..100).for_each(|_| turns.push(frame(1)));
    turns.push(Event::Stop);
    let now = net.now;
    assert!(!turns.take(&mut net.nodes[0].shard, now, |_| (), || 0, |_| ()));
    assert_eq!(turns.len(), 100);
}

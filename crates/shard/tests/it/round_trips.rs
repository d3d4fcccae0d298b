//! R53: members measure the ways between them, and tell their cores.

use crate::chain::{self, N, v};
use crate::net::{Net, node_key};
use crate::steps::{add, governed, operate_through};
use rustorium_shard::port::{Effect, Input};
use rustorium_shard::{Event, WorkConfig};
use rustorium_types::*;

const SECOND_US: u64 = 1_000_000;

/// So many nodes of a chain that measure their round trips.
fn measuring_on(genesis: Genesis, count: usize) -> Net {
    Net::configured(genesis, count, WorkConfig { probe_secret: Some([9; 32]), ..WorkConfig::default() })
}

/// Four nodes that measure, with links on which all know probes, except with `old`.
fn measuring(old: Option<usize>) -> Net {
    let mut net = measuring_on(chain::genesis(), N);
    for index in 0..N {
        for peer in (0..N).filter(|peer| *peer != index) {
            let version = if old == Some(peer) { link_version::SHARDS } else { link_version::PROBES };
            net.ports(index).link_versions.insert(v(peer), version);
        }
    }
    net
}

fn relink(net: &mut Net, index: usize, peer: usize) {
    for up in [false, true] {
        net.ports(index).events.push_back(Event::Link { node_key: node_key(peer), up });
    }
}

/// Returns the messages that one node sent another since a place in the log.
fn said(net: &Net, since: usize, from: usize, to: usize) -> Vec<Message> {
    let sent = net.log[since..].iter().filter(|(source, target, _)| (*source, *target) == (from, to));
    sent.map(|(_, _, message)| message.clone()).collect()
}

fn probes(net: &Net, since: usize, from: usize, to: usize) -> Vec<u64> {
    let probe = |message| if let Message::Probe(number) = message { Some(number) } else { None };
    said(net, since, from, to).into_iter().filter_map(probe).collect()
}

fn echoes(net: &Net, since: usize, from: usize, to: usize) -> usize {
    said(net, since, from, to).iter().filter(|message| matches!(message, Message::Echo(_))).count()
}

fn trips(input: &Input) -> Option<&Vec<u64>> {
    if let Input::RoundTrips(us) = input { Some(us) } else { None }
}

/// The round trips that a node's core was told last.
fn told(net: &Net, index: usize) -> Option<&Vec<u64>> {
    net.nodes[index].core.inputs.iter().rev().find_map(trips)
}

/// Has node 1's echoes reach node 0 after so long, and no other frame between the two.
fn answer_late(net: &mut Net, us: u64, count: usize) {
    let between = |from, to| (from, to) == (0, 1) || (from, to) == (1, 0);
    net.passes = Box::new(move |from, to, message: &Message| {
        !(between(from, to) && matches!(message, Message::Probe(_) | Message::Echo(_)))
    });
    for _ in 0..count {
        let since = net.log.len();
        for _ in 0..100 {
            if !probes(net, since, 0, 1).is_empty() {
                break;
            }
            net.advance(100_000);
        }
        let [number] = probes(net, since, 0, 1)[..] else { panic!("one probe is open at a time") };
        net.advance(us);
        net.inject(1, 0, Message::Echo(number));
        net.run();
    }
}

#[test]
fn members_measure_each_other_three_times_and_tell_their_cores_without_waking_them() {
    let mut net = measuring(None);
    (0..N).for_each(|index| (0..N).filter(|peer| *peer != index).for_each(|peer| relink(&mut net, index, peer)));
    let since = net.log.len();
    net.run();
    for index in 1..N {
        assert_eq!((probes(&net, since, 0, index).len(), echoes(&net, since, index, 0)), (3, 3));
    }
    net.submit(0);
    net.advance(SECOND_US);
    assert_eq!(told(&net, 0), Some(&vec![0, 1, 1, 1]), "by place; nothing is nearer than a microsecond");
}

#[test]
fn a_peer_of_an_older_release_is_neither_probed_nor_measured() {
    let mut net = measuring(Some(3));
    (1..N).for_each(|peer| relink(&mut net, 0, peer));
    let since = net.log.len();
    net.advance(11 * SECOND_US);
    assert_eq!((probes(&net, since, 0, 3).len(), probes(&net, since, 0, 2).len()), (0, 5));
}

#[test]
fn a_late_echo_counts_as_long_as_no_newer_probe_is_out_and_a_lost_view_shows_a_longer_way() {
    let mut net = measuring(None);
    relink(&mut net, 0, 1);
    answer_late(&mut net, 40_000, 3);
    let rtt = |net: &Net| net.nodes[0].shard.round_trip_us(v(1));
    assert_eq!(rtt(&net), Some(40_000));
    answer_late(&mut net, 250_000, 1);
    assert_eq!(rtt(&net), Some(40_000));
    let view = (1..).map(View).find(|view| net.nodes[0].core.leaders.of(*view) == v(1)).unwrap();
    net.effects(0, vec![Effect::Vote { kind: VoteKind::Nullify, view, digest: None, carry: None }]);
    answer_late(&mut net, 250_000, 3);
    assert_eq!(rtt(&net), Some(250_000));
}

#[test]
fn echoes_that_nobody_asked_for_and_probes_without_end_change_and_cost_little() {
    let mut net = measuring(None);
    (1..N).for_each(|peer| relink(&mut net, 0, peer));
    net.run();
    let since = net.log.len();
    for number in 0..1_000 {
        net.inject(1, 0, Message::Echo(number));
        net.inject(1, 0, Message::Probe(number));
    }
    net.run();
    assert_eq!(echoes(&net, since, 0, 1), 4);
    assert_eq!(net.nodes[0].shard.round_trip_us(v(1)), Some(1));
}

#[test]
fn an_echo_is_no_sign_of_life() {
    let mut net = measuring(None);
    net.passes = Box::new(|from, _, message: &Message| from != 1 || matches!(message, Message::Echo(_)));
    for _ in 0..40 {
        net.effects(2, vec![Effect::Heartbeat(View(1))]);
        net.effects(3, vec![Effect::Heartbeat(View(1))]);
        net.inject(1, 0, Message::Echo(7));
        net.advance(100_000);
    }
    assert!(net.nodes[0].core.inputs.contains(&Input::PeerSilence(v(1), true)));
}

#[test]
fn the_next_epochs_core_hears_of_ways_that_were_measured_before() {
    let mut net = measuring_on(chain::genesis_with(Parameters { min_epoch_ms: None, ..governed() }), N + 1);
    for index in 0..N {
        (0..=N).for_each(|peer| _ = net.ports(index).link_versions.insert(v(peer), link_version::PROBES));
        (0..N).filter(|peer| *peer != index).for_each(|peer| relink(&mut net, index, peer));
    }
    net.run();
    operate_through(&mut net, vec![add(4)], 1);
    net.submit(0);
    net.advance(2 * SECOND_US);
    let found = told(&net, 0).unwrap();
    assert_eq!((found.len(), found.iter().filter(|us| **us > 0).count() >= 3), (N + 1, true), "{found:?}");
}

/// A node outside the committee measures nothing.
#[test]
fn a_follower_sends_no_probe() {
    let mut net = measuring_on(chain::genesis(), N + 1);
    (0..N).for_each(|peer| _ = net.ports(N).link_versions.insert(v(peer), link_version::PROBES));
    (0..N).for_each(|peer| relink(&mut net, N, peer));
    let since = net.log.len();
    net.advance(6 * SECOND_US);
    assert!((0..N).all(|peer| probes(&net, since, N, peer).is_empty()));
    assert!(WorkConfig::default().probe_secret.is_none());
}

//! Members whose blocks say that they speak a later protocol version, and the boundary that takes it (V11).

use crate::chain::START_MS;
use crate::net::Net;
use crate::steps::{goes_on, governed, settle};
use crate::waits::{AGE_MS, at_ms, epochs, seat_does};
use rustorium_crypto::{set_hash, term_hash};
use rustorium_execution::{CommitteeRecord, committee_key, term_of};
use rustorium_storage::Store;
use rustorium_types::*;
use std::collections::BTreeSet;

const NEXT: u16 = NEWEST_VERSION + 1;

/// Returns a net of four nodes, of which these run a release that speaks the next version, which the operator wants.
fn net(speaking: &[usize], not_before_ms: u64) -> Net {
    let mut net = Net::of(4, Parameters { min_epoch_ms: Some(AGE_MS), ..governed() });
    goes_on(&mut net, 4);
    speaking.iter().for_each(|index| update(&mut net, *index));
    let change = Box::new(GovernanceChange::Upgrade { version: NEXT, not_before_ms });
    let until_ms = net.now.wall_ms + 3_600_000;
    seat_does(&mut net, 0, 0, Operation2::Propose { change, until_ms });
    net
}

/// Starts a node again with a release that speaks the next version.
fn update(net: &mut Net, index: usize) {
    net.ports(index).newest = NEXT;
    net.stop(index);
    net.reopen(index);
    settle(net);
}

/// Returns the places of members that the newest state counts.
fn counted(net: &Net) -> Vec<u16> {
    let bytes = net.store(0).state(&committee_key()).unwrap().unwrap();
    let upgrade = CommitteeRecord::from_bytes(&bytes).unwrap().upgrade;
    upgrade.map_or(Vec::new(), |upgrade| upgrade.speakers(Epoch(0)).iter().map(|place| place.0).collect())
}

/// Returns the headers of all proposals.
fn headers(net: &Net) -> impl Iterator<Item = Header> {
    net.log.iter().filter_map(|(_, _, message)| match message {
        Message::Proposal(proposal) => Some(proposal.header.clone()),
        _ => None,
    })
}

/// Has blocks made by each of the members.
fn all_lead(net: &mut Net) {
    for number in 0..8 {
        net.submit_of(0, 5);
        settle(net);
        // Otherwise every second member would lead blocks without transactions alone.
        if number % 2 == 1 {
            net.nullify();
        }
    }
}

#[test]
fn blocks_tell_who_speaks_the_next_version_and_the_chain_waits_for_the_others() {
    let mut net = net(&[1, 2], 0);
    all_lead(&mut net);
    assert_eq!(counted(&net), [1, 2]);
    let proposers = |speaks: u64| {
        let by = |header: Header| (header.speaks == speaks).then_some(header.proposer.0);
        headers(&net).filter_map(by).collect::<BTreeSet<u16>>()
    };
    let next = u64::from(NEXT);
    assert_eq!(proposers(next), BTreeSet::from([1, 2]));
    assert!(proposers(0).is_superset(&[0, 3].into()));
    let height = net.height(0);
    at_ms(&mut net, AGE_MS + 5_000);
    assert_eq!((epochs(&net), net.height(0)), ([0; 4], height), "two of four are too few, and the chain rests");
    goes_on(&mut net, 4);
}

#[test]
fn nodes_that_do_not_speak_the_version_stop_below_the_boundary_that_takes_it() {
    let mut net = net(&[1, 2], 0);
    all_lead(&mut net);
    at_ms(&mut net, AGE_MS + 5_000);
    assert_eq!(epochs(&net), [0; 4]);
    update(&mut net, 3);
    (0..4).for_each(|index| net.ports(index).may_end = true);
    all_lead(&mut net);
    let boundary = headers(&net).filter(|header| header.end == End::Boundary).last().expect("three of four speak it");
    let now = term_of(&boundary, &net.genesis.parameters);
    let next = Term { epoch: Epoch(1), version: NEXT, change: Change::Version, ..now };
    assert_eq!(boundary.next_validator_set, term_hash(&next));
    assert_eq!(next.validators, set_hash(&net.genesis.validators));
    for index in 0..4 {
        // No release of today has rules of the version, whatever it says.
        let why = net.ports(index).end.clone().unwrap_or_else(|| panic!("node {index} goes on"));
        assert!(why.contains("protocol version 3 from epoch 1 on, and this release speaks versions up to 2"), "{why}");
        let tip = net.store(index).tip().unwrap().header;
        assert_eq!((tip.epoch, tip.ends_epoch(), tip.height.next()), (Epoch(0), false, boundary.height));
    }
}

#[test]
fn a_version_waits_for_its_time_and_then_ends_an_idle_epoch() {
    let from_ms = START_MS + 4 * AGE_MS;
    let mut net = net(&[0, 1, 2, 3], from_ms);
    all_lead(&mut net);
    assert_eq!(counted(&net), [0, 1, 2, 3]);
    at_ms(&mut net, 4 * AGE_MS - 2_000);
    assert!(headers(&net).all(|header| header.end == End::GoesOn));
    (0..4).for_each(|index| net.ports(index).may_end = true);
    at_ms(&mut net, 4 * AGE_MS + 1_000);
    let boundaries: Vec<Header> = headers(&net).filter(|header| header.end == End::Boundary).collect();
    assert!(!boundaries.is_empty() && boundaries.iter().all(|header| header.time_ms >= from_ms));
    assert!((0..4).all(|index| net.ports(index).end.is_some()));
}

#[test]
fn a_recalled_version_ends_nothing() {
    let mut net = net(&[0, 1, 2, 3], START_MS + 3 * AGE_MS);
    all_lead(&mut net);
    let change = Box::new(GovernanceChange::Upgrade { version: NEWEST_VERSION, not_before_ms: 0 });
    let until_ms = net.now.wall_ms + 3_600_000;
    seat_does(&mut net, 0, 1, Operation2::Propose { change, until_ms });
    at_ms(&mut net, 4 * AGE_MS);
    assert_eq!(epochs(&net), [0; 4]);
    goes_on(&mut net, 4);
}

//! Wants that have owners: they end with the owners, few peers are asked for a proposal's batches, and certified data
//! has places of its own.

use crate::common::*;
use rustorium_sync::{FetchConfig, Fetcher, OwnedWant, Owner, Want};
use rustorium_types::{BlockDigest, Request, Response, ValidatorIndex};

const CONFIG: FetchConfig =
    FetchConfig { timeout_ms: 300, in_flight_max: 8, wants_max: 32, per_peer_in_flight_max: 8, besides_ms: 25 };

fn peers(count: u16) -> Vec<ValidatorIndex> {
    (0..count).map(ValidatorIndex).collect()
}

fn wanted(number: u8) -> Want {
    Want::Block(BlockDigest([number; 32]))
}

fn certified(number: u8) -> OwnedWant {
    OwnedWant { want: wanted(number), owner: Owner::Certified(None) }
}

fn proposal(number: u8, few: &[u16]) -> OwnedWant {
    OwnedWant { want: wanted(number), owner: Owner::Proposal(few.iter().map(|peer| ValidatorIndex(*peer)).collect()) }
}

fn poll(fetcher: &mut Fetcher, now_ms: u64, connected: u16) -> Vec<(ValidatorIndex, u64, Request)> {
    let mut out = Vec::new();
    fetcher.poll(now_ms, &peers(connected), &mut out);
    out
}

fn asked(questions: &[(ValidatorIndex, u64, Request)]) -> Vec<u16> {
    questions.iter().map(|(peer, ..)| peer.0).collect()
}

#[test]
fn a_want_goes_when_nothing_needs_it_any_more() {
    let mut fetcher = Fetcher::new(CONFIG);
    fetcher.want(0, wanted(9), None);
    fetcher.need(0, vec![certified(1), proposal(2, &[1])]);
    assert_eq!((fetcher.len(), poll(&mut fetcher, 0, 4).len()), (3, 3));
    fetcher.need(10, vec![certified(1)]);
    assert!(fetcher.contains(&wanted(1)) && !fetcher.contains(&wanted(2)));
    assert!(fetcher.contains(&wanted(9)), "what was asked for by name stays");
    fetcher.need(20, Vec::new());
    fetcher.cancel(&wanted(9));
    assert!(fetcher.is_empty() && fetcher.next_deadline_ms().is_none());
}

#[test]
fn a_proposals_batch_is_requested_from_its_author_then_also_from_the_proposer_then_from_two_more() {
    let mut fetcher = Fetcher::new(CONFIG);
    fetcher.need(0, vec![proposal(1, &[3, 2, 5, 6])]);
    let mut order = Vec::new();
    for now_ms in 0..10_000 {
        fetcher.need(now_ms, vec![proposal(1, &[3, 2, 5, 6])]);
        order.extend(poll(&mut fetcher, now_ms, 8).iter().map(|(peer, ..)| (now_ms, peer.0)));
    }
    assert_eq!(order[..4], [(0, 3), (25, 2), (325, 5), (625, 6)]);
    assert!(order.iter().all(|(_, peer)| [3, 2, 5, 6].contains(peer)), "nobody else, ever");
    assert!(order.len() < 24, "{order:?}");
}

#[test]
fn three_quarters_of_the_places_are_for_what_is_certified() {
    let mut fetcher = Fetcher::new(CONFIG);
    let inventions: Vec<OwnedWant> = (100..120).map(|number| proposal(number, &[0, 1, 2, 3])).collect();
    fetcher.need(0, inventions.clone());
    assert_eq!(poll(&mut fetcher, 0, 4).len(), 2, "a quarter of eight");
    let all = inventions.into_iter().chain((1..=10).map(certified)).collect();
    fetcher.need(1, all);
    let questions = poll(&mut fetcher, 1, 4);
    assert_eq!(questions.len(), 6);
    let oldest: Vec<Request> = (1..=6).map(|number| Request::Block(BlockDigest([number; 32]))).collect();
    assert_eq!(
        questions.into_iter().map(|(_, _, request)| request).collect::<Vec<_>>(),
        oldest,
        "lowest heights first"
    );
}

#[test]
fn invented_batches_leave_room_for_requests_to_each_peer() {
    let config = FetchConfig { in_flight_max: 64, ..CONFIG };
    let mut fetcher = Fetcher::new(config);
    let inventions: Vec<OwnedWant> = (100..150).map(|number| proposal(number, &[2])).collect();
    fetcher.need(0, inventions.clone());
    assert_eq!(asked(&poll(&mut fetcher, 0, 4)), [2, 2]);
    let prefer = OwnedWant { want: wanted(1), owner: Owner::Certified(Some(ValidatorIndex(2))) };
    fetcher.need(1, [vec![prefer], inventions].concat());
    assert_eq!(asked(&poll(&mut fetcher, 1, 4)), [2]);
}

#[test]
fn once_its_block_is_certified_all_peers_are_asked_at_once() {
    let mut fetcher = Fetcher::new(CONFIG);
    fetcher.need(0, vec![proposal(1, &[3])]);
    assert_eq!(asked(&poll(&mut fetcher, 0, 4)), [3]);
    fetcher.need(5, vec![certified(1)]);
    let others: Vec<u16> = [5, 305, 605].into_iter().flat_map(|now_ms| asked(&poll(&mut fetcher, now_ms, 4))).collect();
    assert_eq!((others.len(), others.contains(&3)), (3, false));
}

#[test]
fn an_answer_that_turns_out_to_be_forged_is_followed_by_the_next_question() {
    let (block, digest) = block(7);
    let needed = || vec![OwnedWant { want: Want::Block(digest), owner: Owner::Certified(None) }];
    let mut fetcher = Fetcher::new(CONFIG);
    fetcher.need(0, needed());
    let (first, id, _) = poll(&mut fetcher, 0, 4)[0].clone();
    assert!(fetcher.on_response(10, first, id, Response::Block(Box::new(block))).is_some());
    fetcher.need(10, needed());
    assert!(poll(&mut fetcher, 309, 4).is_empty(), "it is being checked, perhaps");
    let next = poll(&mut fetcher, 310, 4);
    assert!(next.len() == 1 && next[0].0 != first);
}

#[test]
fn a_distant_peer_has_time_to_answer_and_a_slow_one_at_most_a_second() {
    let (block, digest) = block(7);
    let mut fetcher = Fetcher::new(CONFIG);
    for (round, took_ms) in [400, 5_000, 5_000, 5_000].into_iter().enumerate() {
        let start_ms = 100_000 * (round as u64 + 1);
        fetcher.want(start_ms, Want::Block(digest), Some(ValidatorIndex(0)));
        let (peer, id, _) = poll(&mut fetcher, start_ms, 1)[0].clone();
        let answer = Response::Block(Box::new(block.clone()));
        assert!(fetcher.on_response(start_ms + took_ms, peer, id, answer).is_some());
        fetcher.want(start_ms + 50_000, wanted(1), None);
        poll(&mut fetcher, start_ms + 50_000, 1);
        let due_ms = fetcher.next_deadline_ms().unwrap() - start_ms - 50_000;
        assert_eq!(due_ms, if round == 0 { 600 } else { 1_000 });
        fetcher.cancel(&wanted(1));
    }
}

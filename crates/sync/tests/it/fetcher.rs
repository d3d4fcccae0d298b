//! The fetcher: which peers it asks, when it asks again, and which answers it accepts.

use crate::common::{self, *};
use proptest::prelude::*;
use rustorium_crypto::{batch_digest, block_digest};
use rustorium_sync::{FetchConfig, Fetcher, Want, WrongAnswer};
use rustorium_types::{BatchDigest, Block, BlockDigest, BoundedVec, Height, Request, Response, ValidatorIndex};
use std::collections::BTreeSet;

const CONFIG: FetchConfig =
    FetchConfig { timeout_ms: 300, in_flight_max: 8, wants_max: 32, per_peer_in_flight_max: 3, besides_ms: 25 };

fn peers(count: u16) -> Vec<ValidatorIndex> {
    (0..count).map(ValidatorIndex).collect()
}

fn poll(fetcher: &mut Fetcher, now_ms: u64, connected: &[ValidatorIndex]) -> Vec<(ValidatorIndex, u64, Request)> {
    let mut out = Vec::new();
    fetcher.poll(now_ms, connected, &mut out);
    out
}

fn wanted(number: u8) -> Want {
    Want::Block(BlockDigest([number; 32]))
}

#[test]
fn the_preferred_peer_is_asked_first_and_the_answer_ends_the_want() {
    let (block, digest) = block(7);
    let mut fetcher = Fetcher::new(CONFIG);
    let want = Want::Block(digest);
    fetcher.want(0, want, Some(ValidatorIndex(2)));
    fetcher.want(0, want, None);
    assert_eq!((fetcher.len(), fetcher.next_deadline_ms()), (1, Some(0)));
    let asked = poll(&mut fetcher, 0, &peers(4));
    assert_eq!(asked.len(), 1);
    let (peer, id, request) = asked[0].clone();
    assert_eq!((peer, request), (ValidatorIndex(2), Request::Block(digest)));
    assert!(poll(&mut fetcher, 10, &peers(4)).is_empty(), "one peer at a time");
    assert_eq!(fetcher.next_deadline_ms(), Some(300));
    let answer = || Response::Block(Box::new(block.clone()));
    assert_eq!(fetcher.on_response(20, ValidatorIndex(1), id, answer()), None, "not the peer that was asked");
    assert_eq!(fetcher.on_response(20, peer, id + 100, answer()), None, "an unknown number");
    assert!(fetcher.contains(&want));
    assert_eq!(fetcher.on_response(20, peer, id, answer()), Some((want, answer())));
    assert!(fetcher.is_empty() && fetcher.next_deadline_ms().is_none());
    assert_eq!(fetcher.on_response(20, peer, id, answer()), None, "only once");
}

#[test]
fn silent_peers_are_passed_over_and_a_late_answer_still_counts() {
    let (block, digest) = block(7);
    let mut fetcher = Fetcher::new(CONFIG);
    fetcher.want(0, Want::Block(digest), Some(ValidatorIndex(2)));
    let first = poll(&mut fetcher, 0, &peers(4));
    assert!(poll(&mut fetcher, 299, &peers(4)).is_empty());
    let second = poll(&mut fetcher, 300, &peers(4));
    assert_ne!(first[0].0, second[0].0);
    let late = fetcher.on_response(350, first[0].0, first[0].1, Response::Block(Box::new(block)));
    assert!(late.is_some() && fetcher.is_empty());
    assert_eq!(fetcher.on_response(360, second[0].0, second[0].1, Response::NotHeld), None);
}

#[test]
fn every_peer_is_asked_in_a_round_then_it_pauses_and_waits_longer() {
    let mut fetcher = Fetcher::new(CONFIG);
    fetcher.want(0, wanted(1), None);
    let mut now_ms = 0;
    for round in 0..8u32 {
        let mut asked = BTreeSet::new();
        for _ in 0..4 {
            let requests = poll(&mut fetcher, now_ms, &peers(4));
            assert!(requests.len() == 1 && asked.insert(requests[0].0), "round {round} at {now_ms}");
            let (peer, id, _) = requests[0];
            assert_eq!(fetcher.on_response(now_ms, peer, id, Response::NotHeld), None);
            assert_eq!(fetcher.next_deadline_ms(), Some(now_ms), "the next peer is asked at once");
        }
        assert!(poll(&mut fetcher, now_ms, &peers(4)).is_empty());
        let due_ms = fetcher.next_deadline_ms().unwrap();
        assert_eq!(due_ms - now_ms, 300 << round.min(5));
        now_ms = due_ms;
    }
}

#[test]
fn a_new_preference_ends_a_pause() {
    let mut fetcher = Fetcher::new(CONFIG);
    fetcher.want(0, wanted(1), None);
    let (peer, id, _) = poll(&mut fetcher, 0, &peers(1))[0].clone();
    fetcher.on_response(5, peer, id, Response::NotHeld);
    assert!(poll(&mut fetcher, 5, &peers(1)).is_empty());
    fetcher.want(6, wanted(1), None);
    assert!(poll(&mut fetcher, 6, &peers(1)).is_empty());
    fetcher.want(7, wanted(1), Some(ValidatorIndex(0)));
    assert_eq!(poll(&mut fetcher, 7, &peers(1)).len(), 1);
    fetcher.want(8, wanted(1), Some(ValidatorIndex(0)));
    assert!(poll(&mut fetcher, 8, &peers(1)).is_empty(), "the same preference again changes nothing");
}

#[test]
fn alternating_preferences_do_not_exclude_other_peers() {
    // Two blocks wait for the same batch, each from a peer that should have it, and neither answers.
    let mut fetcher = Fetcher::new(CONFIG);
    let mut asked = Vec::new();
    for turn in 0..8 {
        for holder in [2, 1] {
            fetcher.want(300 * turn, wanted(1), Some(ValidatorIndex(holder)));
        }
        asked.extend(poll(&mut fetcher, 300 * turn, &peers(5)).into_iter().map(|(peer, _, _)| peer.0));
    }
    let round: BTreeSet<u16> = asked.iter().take(5).copied().collect();
    assert_eq!(round, (0..5).collect(), "all have been asked once: {asked:?}");
}

#[test]
fn lost_links_and_missing_peers_delay_no_other_request() {
    let mut fetcher = Fetcher::new(CONFIG);
    fetcher.want(0, wanted(1), Some(ValidatorIndex(1)));
    assert!(poll(&mut fetcher, 0, &[]).is_empty());
    assert_eq!(fetcher.next_deadline_ms(), Some(300), "no busy waiting without peers");
    let asked = poll(&mut fetcher, 50, &peers(2));
    assert_eq!(asked[0].0, ValidatorIndex(1));
    fetcher.disconnected(ValidatorIndex(1));
    let asked = poll(&mut fetcher, 60, &[ValidatorIndex(0)]);
    assert_eq!(asked[0].0, ValidatorIndex(0));
    fetcher.cancel(&wanted(1));
    assert!(fetcher.is_empty() && !fetcher.contains(&wanted(1)) && fetcher.next_deadline_ms().is_none());
}

#[test]
fn limits_hold_and_the_oldest_go_first() {
    let mut fetcher = Fetcher::new(CONFIG);
    (0..40).for_each(|number| fetcher.want(0, wanted(number), None));
    assert_eq!(fetcher.len(), 32);
    assert!(!fetcher.contains(&wanted(32)));
    let asked = poll(&mut fetcher, 0, &peers(2));
    assert_eq!(asked.len(), 6, "three for each peer");
    let asked = [asked, poll(&mut fetcher, 1, &peers(4))].concat();
    assert_eq!(asked.len(), 8, "eight under way");
    let oldest: Vec<Request> = (0..8).map(|number| Request::Block(BlockDigest([number; 32]))).collect();
    assert_eq!(asked.iter().map(|(_, _, request)| request.clone()).collect::<Vec<_>>(), oldest);
    fetcher.cancel(&wanted(3));
    assert_eq!(poll(&mut fetcher, 2, &peers(4)).len(), 1);
}

#[test]
fn an_unrequested_answer_is_dropped_and_reported() {
    let (good, digest) = block(7);
    let (other, _) = block(8);
    let mut fetcher = Fetcher::new(CONFIG);
    fetcher.want(0, Want::Block(digest), None);
    for wrong in [Response::Block(Box::new(other)), Response::Batch(Box::new(batch(0, 1)))] {
        let (peer, id, _) = poll(&mut fetcher, 0, &peers(4))[0].clone();
        assert_eq!(fetcher.on_response(1, peer, id, wrong), None);
        assert_eq!(fetcher.take_wrong_answers(), [WrongAnswer { peer, want: Want::Block(digest) }]);
    }
    let (peer, id, _) = poll(&mut fetcher, 0, &peers(4))[0].clone();
    assert!(fetcher.on_response(1, peer, id, Response::Block(Box::new(good))).is_some());
    assert!(fetcher.take_wrong_answers().is_empty());
    assert!(fetcher.take_refusals().is_empty());
}

#[test]
fn batches_certificates_and_final_blocks_are_judged() {
    let batch = batch(2, 5);
    let digest = batch_digest(&batch.body);
    let (block, _) = block(7);
    let lane = ValidatorIndex(2);
    let run = Want::FinalBlocks { first: Height(1), count: 2 };
    let blocks =
        |list: Vec<_>, finalization| Response::FinalBlocks { blocks: BoundedVec::new(list).unwrap(), finalization };
    let finalization = || Some(certificate(1, BlockDigest([1; 32])).into_inner());
    let way = common::run(3, 1);
    let (digest_of, height) = (|block: &Block| block_digest(&block.header), way[2].header.height);
    let down = |digest| Want::Ancestors { digest, height, count: 3 };
    let newest = down(digest_of(&way[2]));
    for (want, response, fits) in [
        (Want::Batch { lane, digest }, Response::Batch(Box::new(batch.clone())), true),
        (Want::Batch { lane: ValidatorIndex(1), digest }, Response::Batch(Box::new(batch.clone())), false),
        (Want::Batch { lane, digest: BatchDigest::ZERO }, Response::Batch(Box::new(batch)), false),
        (Want::Batch { lane, digest }, Response::Certificates(BoundedVec::default()), false),
        (run, blocks(vec![block.clone()], finalization()), true),
        (run, blocks(vec![block.clone()], None), false),
        (run, blocks(vec![], finalization()), false),
        (run, blocks(vec![block.clone(), block], finalization()), false),
        (newest, blocks(way.clone(), None), true),
        (newest, blocks(way[1..].to_vec(), finalization()), true),
        (newest, blocks(way[..2].to_vec(), finalization()), false),
        (newest, blocks(vec![way[0].clone(), way[2].clone()], None), false),
        (newest, blocks(vec![], None), false),
        (newest, Response::NotHeld, false),
        (down(digest_of(&way[1])), blocks(way.clone(), None), false),
    ] {
        let mut fetcher = Fetcher::new(CONFIG);
        fetcher.want(0, want, None);
        let (peer, id, _) = poll(&mut fetcher, 0, &peers(1))[0].clone();
        let expected = fits.then(|| (want, response.clone()));
        assert_eq!(fetcher.on_response(1, peer, id, response), expected);
    }
}

proptest! {
    /// For any events: bounds hold, no disconnected peer is asked, and once all peers answer, nothing stays wanted.
    #[test]
    fn wants_are_served_in_the_end(steps in proptest::collection::vec((0u8..6, 0u8..24, 0u16..4, 1u64..400), 0..120)) {
        let blocks: Vec<_> = (0..24).map(block).collect();
        let mut fetcher = Fetcher::new(CONFIG);
        let (mut now_ms, mut connected) = (0, BTreeSet::from([ValidatorIndex(0), ValidatorIndex(3)]));
        let mut open: Vec<(ValidatorIndex, u64, Request)> = Vec::new();
        for (step, number, peer, wait_ms) in steps {
            let peer = ValidatorIndex(peer);
            match step {
                0 => fetcher.want(now_ms, Want::Block(blocks[usize::from(number)].1), Some(peer).filter(|peer| peer.0 > 1)),
                1 => fetcher.cancel(&Want::Block(blocks[usize::from(number)].1)),
                2 => _ = connected.insert(peer),
                3 if connected.remove(&peer) => fetcher.disconnected(peer),
                4 if !open.is_empty() => {
                    let (peer, id, _) = open.swap_remove(usize::from(number) % open.len());
                    fetcher.on_response(now_ms, peer, id, Response::NotHeld);
                }
                _ => now_ms += wait_ms,
            }
            let links: Vec<_> = connected.iter().copied().collect();
            let asked = poll(&mut fetcher, now_ms, &links);
            prop_assert!(asked.iter().all(|(peer, ..)| connected.contains(peer)));
            prop_assert!(asked.len() <= CONFIG.in_flight_max);
            prop_assert!(fetcher.is_empty() || fetcher.next_deadline_ms().is_some_and(|due_ms| due_ms > now_ms));
            open.extend(asked);
        }
        for _ in 0..200 {
            now_ms = fetcher.next_deadline_ms().unwrap_or(now_ms).max(now_ms);
            for (peer, id, request) in poll(&mut fetcher, now_ms, &peers(4)) {
                let Request::Block(digest) = request else { unreachable!() };
                let (block, _) = blocks.iter().find(|(_, other)| *other == digest).unwrap();
                prop_assert!(fetcher.on_response(now_ms, peer, id, Response::Block(Box::new(block.clone()))).is_some());
            }
        }
        prop_assert!(fetcher.is_empty());
    }
}

//! The gap fetcher: its requests, the peers that it asks, and when it is done.

use proptest::prelude::*;
use rustorium_sync::{GapConfig, GapFetcher};
use rustorium_types::{
    BlockDigest, BoundedVec, Certificate, ChainId, Epoch, Request, Response, ShardId, ValidatorIndex, View, VoteBody,
    VoteKind,
};
use std::collections::{BTreeMap, BTreeSet};

const CONFIG: GapConfig = GapConfig { timeout_ms: 300, grace_ms: 100, others: 2 };

fn peers(count: u16) -> Vec<ValidatorIndex> {
    (1..=count).map(ValidatorIndex).collect()
}

fn certificate(kind: VoteKind, view: u64) -> Certificate {
    let block = if kind == VoteKind::Nullify { BlockDigest::ZERO } else { BlockDigest([1; 32]) };
    let body = VoteBody { chain: ChainId([1; 32]), shard: ShardId(0), epoch: Epoch(0), view: View(view), kind, block };
    Certificate { body, signatures: BoundedVec::default() }
}

fn nullifications(first: u64, last: u64) -> Response {
    let list = (first..=last).map(|view| certificate(VoteKind::Nullify, view)).collect();
    Response::Certificates(BoundedVec::new(list).unwrap())
}

type Question = (ValidatorIndex, u64, u64, u64);

/// Returns the peer, number, first and last view of each request.
fn poll(gap: &mut GapFetcher, now_ms: u64, connected: &[ValidatorIndex]) -> Vec<Question> {
    let mut out = Vec::new();
    gap.poll(now_ms, connected, &mut out);
    let range = |request: &Request| match request {
        Request::Certificates { first, last } => (first.0, last.0),
        other => panic!("{other:?}"),
    };
    out.iter().map(|(peer, id, request)| (*peer, *id, range(request).0, range(request).1)).collect()
}

/// Takes the peer's certificates as if they were valid.
fn answer(gap: &mut GapFetcher, now_ms: u64, peer: ValidatorIndex, id: u64, response: Response) -> usize {
    let Some(found) = gap.on_response(now_ms, peer, id, response) else { return 0 };
    found.iter().for_each(|found| gap.certified(found.body.kind, found.body.view));
    gap.settled(id);
    found.len()
}

#[test]
fn a_gap_is_asked_for_after_a_grace_and_as_one_however_long_it_is() {
    let mut gap = GapFetcher::new(CONFIG, View(10));
    gap.certified(VoteKind::Nullify, View(11));
    assert_eq!((poll(&mut gap, 1, &peers(3)), gap.next_deadline_ms()), (vec![], None), "nothing is lacking");
    gap.certified(VoteKind::Nullify, View(100_000));
    assert!(poll(&mut gap, 5, &peers(3)).is_empty(), "it may be on its way");
    assert_eq!(gap.next_deadline_ms(), Some(105));
    let asked = poll(&mut gap, 105, &peers(3));
    let ranges: Vec<_> = asked.iter().map(|(_, _, first, last)| (*first, *last)).collect();
    assert_eq!(ranges, [(99_744, 99_999), (99_488, 99_743), (99_232, 99_487), (98_976, 99_231)], "newest first");
    let asked: BTreeSet<_> = asked.iter().map(|(peer, ..)| peer.0).collect();
    assert_eq!(asked.len(), 3, "spread over the peers");
    assert!(poll(&mut gap, 106, &peers(3)).is_empty());
    assert_eq!(gap.lacking(), 99_988);
}

#[test]
fn a_chunk_ends_when_no_view_of_it_is_missing_and_not_with_an_answer() {
    let mut gap = GapFetcher::new(CONFIG, View(0));
    gap.certified(VoteKind::Nullify, View(101));
    poll(&mut gap, 0, &peers(3));
    let (peer, id, first, last) = poll(&mut gap, 100, &peers(3))[0];
    assert_eq!((first, last), (1, 100));
    assert_eq!(answer(&mut gap, 110, peer, id, nullifications(40, 60)), 21);
    let (second, id, first, last) = poll(&mut gap, 110, &peers(3))[0];
    assert_ne!(second, peer, "the next peer, so that none can drip");
    assert_eq!((first, last), (1, 100));
    assert_eq!(answer(&mut gap, 120, second, id, nullifications(1, 50)), 50);
    let (third, id, first, last) = poll(&mut gap, 120, &peers(3))[0];
    assert_eq!((first, last), (61, 100), "only what is lacking");
    assert_eq!(answer(&mut gap, 130, third, id, nullifications(61, 100)), 40);
    assert!(poll(&mut gap, 130, &peers(3)).is_empty() && gap.next_deadline_ms().is_none());
}

#[test]
fn false_foreign_and_empty_answers_lead_to_the_next_peer() {
    let mut gap = GapFetcher::new(CONFIG, View(0));
    gap.certified(VoteKind::Nullify, View(11));
    poll(&mut gap, 0, &peers(3));
    let (peer, id, ..) = poll(&mut gap, 100, &peers(3))[0];
    assert_eq!(gap.on_response(101, ValidatorIndex(9), id, nullifications(1, 10)), None, "another peer");
    assert_eq!(gap.on_response(101, peer, id + 5, nullifications(1, 10)), None, "another number");
    // None of these certificates is valid, so none is told.
    let found = gap.on_response(101, peer, id, nullifications(1, 10)).unwrap();
    assert!(found.len() == 10 && poll(&mut gap, 101, &peers(3)).is_empty(), "while they are checked nobody is asked");
    gap.settled(id);
    let (second, id, ..) = poll(&mut gap, 102, &peers(3))[0];
    assert_eq!(gap.on_response(103, second, id, nullifications(200, 300)), None, "of other views");
    let (third, id, ..) = poll(&mut gap, 103, &peers(3))[0];
    assert_eq!(BTreeSet::from([peer, second, third]).len(), 3);
    assert_eq!(gap.on_response(104, third, id, Response::NotHeld), None);
    assert!(poll(&mut gap, 104, &peers(3)).is_empty(), "all were asked: a pause");
    assert_eq!(gap.next_deadline_ms(), Some(404));
    assert_eq!(poll(&mut gap, 404, &peers(3)).len(), 1);
}

#[test]
fn a_silent_peer_is_passed_over_and_its_late_answer_counts() {
    let mut gap = GapFetcher::new(CONFIG, View(0));
    gap.certified(VoteKind::Nullify, View(11));
    poll(&mut gap, 0, &peers(3));
    let (peer, id, ..) = poll(&mut gap, 100, &peers(3))[0];
    let (second, ..) = poll(&mut gap, 400, &peers(3))[0];
    assert_ne!(peer, second);
    assert_eq!(answer(&mut gap, 450, peer, id, nullifications(1, 10)), 10);
    assert_eq!(gap.lacking(), 0);
    gap.certified(VoteKind::Nullify, View(20));
    gap.finalized(View(20));
    assert_eq!((gap.lacking(), gap.next_deadline_ms()), (0, None), "nothing below a final view is wanted");
}

#[test]
fn the_core_may_wish_for_a_nullification_of_a_notarized_view_and_for_the_parents_notarization() {
    let mut gap = GapFetcher::new(CONFIG, View(0));
    gap.certified(VoteKind::Nullify, View(1));
    gap.certified(VoteKind::Notarize, View(2));
    gap.certified(VoteKind::Nullify, View(3));
    gap.entered(View(4));
    assert_eq!((gap.lacking(), poll(&mut gap, 500, &peers(3))), (0, vec![]));
    gap.wish(View(1), View(3), ValidatorIndex(2));
    let (peer, id, first, last) = poll(&mut gap, 501, &peers(3))[0];
    assert_eq!((peer, first, last), (ValidatorIndex(2), 1, 2), "the leader first, and at once");
    answer(&mut gap, 502, peer, id, nullifications(2, 2));
    let (_, _, first, last) = poll(&mut gap, 502, &peers(3))[0];
    assert_eq!((first, last), (1, 1));
    gap.certified(VoteKind::Notarize, View(1));
    assert!(poll(&mut gap, 503, &peers(3)).is_empty());
    gap.wish(View(1), View(3), ValidatorIndex(2));
    gap.entered(View(5));
    assert_eq!(poll(&mut gap, 504, &peers(3)).len(), 1, "what is lacking of the gap stays");
}

#[test]
fn a_view_that_a_quorum_lacks_is_held_by_nobody() {
    let mut gap = GapFetcher::new(CONFIG, View(0));
    gap.certified(VoteKind::Nullify, View(6));
    poll(&mut gap, 0, &peers(3));
    let (peer, id, ..) = poll(&mut gap, 100, &peers(3))[0];
    answer(&mut gap, 101, peer, id, nullifications(2, 3));
    let (peer, id, ..) = poll(&mut gap, 101, &peers(3))[0];
    gap.on_response(102, peer, id, Response::NotHeld);
    assert!(gap.held_by_nobody(64).is_empty(), "two with this node are no quorum");
    let (peer, id, ..) = poll(&mut gap, 102, &peers(3))[0];
    gap.on_response(103, peer, id, Response::NotHeld);
    assert_eq!(gap.held_by_nobody(64), [(View(1), View(1)), (View(4), View(5))]);
    assert_eq!(gap.held_by_nobody(2), [(View(4), View(5))], "the newest first");
    assert_eq!(gap.held_by_nobody(1), [(View(5), View(5))]);
    gap.certified(VoteKind::Nullify, View(4));
    assert_eq!(gap.held_by_nobody(64), [(View(1), View(1)), (View(5), View(5))]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Peers hold parts of the views, lose answers, and one of them lies. A certificate of an honest connected peer
    /// arrives in bounded time, with at most four requests at a time and none of them useless.
    #[test]
    fn certificates_that_an_honest_peer_holds_are_fetched(
        length in 1u64..1500,
        parts in proptest::collection::vec((0u64..1500, 1u64..700, 0usize..3), 1..6),
        losses in proptest::collection::vec(any::<bool>(), 40),
        cap in 20usize..256,
    ) {
        let mut gap = GapFetcher::new(CONFIG, View(0));
        gap.certified(VoteKind::Nullify, View(length + 1));
        let mut held = BTreeMap::<ValidatorIndex, BTreeSet<u64>>::new();
        for (first, count, peer) in parts {
            let views = (first.max(1)..first + count).filter(|view| *view <= length);
            held.entry(peers(3)[peer]).or_default().extend(views);
        }
        // The first peer answers with invalid certificates.
        let liar = peers(3)[0];
        let honest = held.iter().filter(|(peer, _)| **peer != liar).flat_map(|(_, views)| views);
        let wanted: BTreeSet<u64> = honest.copied().collect();
        let (mut now_ms, mut questions) = (0, 0usize);
        let mut open = BTreeSet::<u64>::new();
        while gap.lacking() > length - wanted.len() as u64 {
            let asked = poll(&mut gap, now_ms, &peers(3));
            for (peer, id, first, last) in asked {
                prop_assert!(id >= 1 << 62 && open.insert(id));
                prop_assert!(first <= last && last - first < 256 && last <= length);
                questions += 1;
                if losses[questions % losses.len()] && questions < 400 {
                    continue;
                }
                let none = BTreeSet::new();
                let views = held.get(&peer).unwrap_or(&none).range(first..=last).take(cap).copied();
                let list: Vec<_> = views.map(|view| certificate(VoteKind::Nullify, view)).collect();
                let response = Response::Certificates(BoundedVec::new(list).unwrap());
                if peer == liar {
                    gap.on_response(now_ms, peer, id, nullifications(first, last));
                    gap.settled(id);
                } else {
                    answer(&mut gap, now_ms, peer, id, response);
                }
            }
            let next = gap.next_deadline_ms().unwrap_or(now_ms);
            now_ms = next.max(now_ms + 1);
            prop_assert!(now_ms < 3_000_000 && questions < 20_000, "{} lacking at {now_ms}", gap.lacking());
        }
    }
}

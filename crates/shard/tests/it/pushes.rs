//! Followers that blocks are pushed to (R54), and members that push nothing, or something forged.

use crate::chain::{self, N};
use crate::net::Net;
use crate::steps::{self, add, epoch, operate, remove};
use rustorium_storage::Store;
use rustorium_types::*;

/// The node outside the committee.
const FOLLOWER: usize = N;
/// Number of the first request for pushes.
const FIRST_ID: u64 = 1 << 60;

/// Returns a net of members and a follower that all speak the newest version on their links.
fn followed() -> Net {
    let mut net = steps::net(N + 1);
    for index in 0..=FOLLOWER {
        for peer in 0..N {
            net.ports(index).link_versions.insert(ValidatorIndex(peer as u16), link_version::PUSHES);
        }
    }
    net
}

fn is_push(message: &Message) -> bool {
    matches!(message, Message::Response { id, .. } if (FIRST_ID..FIRST_ID << 1).contains(id))
}

/// Returns what the follower asked for, from this place of the log on. It asks for the end of its epoch now and then.
fn asked(net: &Net, from: usize) -> Vec<(usize, Request)> {
    let requests = net.log[from..].iter().filter_map(|(node, to, message)| match message {
        Message::Request { request, .. } if *node == FOLLOWER && !matches!(request, Request::EpochEnd(_)) => {
            Some((*to, request.clone()))
        }
        _ => None,
    });
    requests.collect()
}

/// Makes so many blocks, each with a transaction of another member's lane.
fn grow(net: &mut Net, blocks: usize) {
    for block in 0..blocks {
        let before = net.height(0);
        net.submit(block % N);
        net.advance(200_000);
        assert!(net.height(0) > before);
    }
}

/// Lets the follower find who tells of final views first. Returns that member.
fn chosen(net: &mut Net) -> usize {
    grow(net, 10);
    let requests = asked(net, 0);
    let begun: Vec<_> = requests
        .iter()
        .filter_map(|(to, request)| matches!(request, Request::Follow(Some(_))).then_some(*to))
        .collect();
    let [pusher] = begun[..] else { panic!("{requests:?}") };
    pusher
}

fn assert_same(net: &Net) {
    let [ours, theirs] = [FOLLOWER, 0].map(|index| net.store(index).tip().unwrap());
    assert_eq!((ours.height, ours.digest, ours.result_root), (theirs.height, theirs.digest, theirs.result_root));
}

#[test]
fn a_follower_asks_for_nothing_that_is_pushed_to_it() {
    let mut net = followed();
    let pusher = chosen(&mut net);
    let begun = net.log.len();
    grow(&mut net, 20);
    assert_same(&net);
    assert_eq!(asked(&net, begun), []);
    let pushes = net.log[begun..].iter().filter(|(_, _, message)| is_push(message));
    assert!(pushes.clone().all(|(from, to, _)| (*from, *to) == (pusher, FOLLOWER)));
    // Each block, and the batch that it lists.
    assert_eq!(pushes.count(), 40);
}

#[test]
fn a_member_that_pushes_nothing_is_left_and_delays_by_little() {
    let mut net = followed();
    net.passes = Box::new(|_, _, message| !is_push(message));
    let pusher = chosen(&mut net);
    grow(&mut net, 6);
    assert_same(&net);
    let requests = asked(&net, 0);
    let ends = |to: &usize, request: &Request| *to == pusher && *request == Request::Follow(None);
    assert_eq!(requests.iter().filter(|(to, request)| ends(to, request)).count(), 1, "{requests:?}");
}

#[test]
fn peers_are_asked_as_soon_as_the_wait_for_a_push_is_over() {
    let mut net = followed();
    let _ = chosen(&mut net);
    net.passes = Box::new(|_, _, message| !is_push(message));
    let begun = net.log.len();
    net.submit(1);
    net.advance(29_000);
    assert_eq!((asked(&net, begun).len(), net.height(FOLLOWER) < net.height(0)), (0, true));
    net.advance(2_000);
    assert_same(&net);
}

/// Loses the answers of one kind that a member pushes, and lets forged copies come in their place. The follower executes
/// the real block and leaves the member. Returns what it asked for meanwhile.
fn forge(is_theirs: fn(&Response) -> bool, spoil: fn(&mut Response)) -> Vec<(usize, Request)> {
    let mut net = followed();
    let pusher = chosen(&mut net);
    let is_forged = move |message: &Message| {
        is_push(message) && matches!(message, Message::Response { response, .. } if is_theirs(response))
    };
    net.passes = Box::new(move |_, _, message| !is_forged(message));
    let (begun, mut seen) = (net.log.len(), net.log.len());
    net.submit(2);
    let mut forged = 0;
    for _ in 0..100 {
        net.turns(1);
        let pushed: Vec<_> = net.log[seen..].iter().filter(|(_, _, message)| is_forged(message)).cloned().collect();
        seen = net.log.len();
        for (from, to, message) in pushed {
            let Message::Response { id, mut response } = message else { unreachable!() };
            spoil(&mut response);
            forged += 1;
            net.inject(from, to, Message::Response { id, response });
        }
    }
    assert_eq!(forged, 1);
    net.advance(5_000_000);
    assert_same(&net);
    let requests = asked(&net, begun);
    assert!(requests.contains(&(pusher, Request::Follow(None))), "{requests:?}");
    requests
}

#[test]
fn a_forged_batch_is_fetched_anew_and_its_member_pushes_no_more() {
    let is_batch = |response: &Response| matches!(response, Response::Batch(_));
    let requests = forge(is_batch, |response| {
        let Response::Batch(batch) = response else { unreachable!() };
        batch.signature[0] ^= 1;
    });
    assert!(requests.iter().any(|(_, request)| matches!(request, Request::Batch { .. })), "{requests:?}");
}

#[test]
fn a_block_with_forged_transactions_is_fetched_anew_and_its_member_pushes_no_more() {
    let is_block = |response: &Response| matches!(response, Response::Block(_));
    let requests = forge(is_block, |response| {
        let Response::Block(block) = response else { unreachable!() };
        // The digest, by which it is found, covers the header alone.
        block.inline = BoundedVec::new(vec![chain::put(&chain::genesis(), 0, 99).into_inner()]).unwrap();
    });
    assert!(requests.iter().any(|(_, request)| matches!(request, Request::Block(_))), "{requests:?}");
}

#[test]
fn another_member_is_asked_after_the_first_one_has_left() {
    let mut net = followed();
    let pusher = chosen(&mut net);
    net.stop(pusher);
    let begun = net.log.len();
    for block in 0..80 {
        let before = net.height(FOLLOWER);
        net.submit((pusher + 1 + block % 3) % N);
        net.advance(200_000);
        if net.height(FOLLOWER) == before {
            net.nullify();
        }
    }
    let requests = asked(&net, begun);
    let next = requests.iter().find(|(_, request)| matches!(request, Request::Follow(Some(_))));
    assert!(next.is_some_and(|(to, _)| *to != pusher), "{requests:?}");
}

#[test]
fn pushes_go_on_in_the_next_epoch() {
    let mut net = followed();
    let pusher = chosen(&mut net);
    // Members' places change; the member that pushes stays.
    let leaves = (0..N).find(|index| *index != pusher && *index != 0).unwrap();
    let begun = net.log.len();
    operate(&mut net, 0, vec![remove(leaves)]);
    assert_eq!(epoch(&net, FOLLOWER), 1);
    let pushed = |net: &Net, from: usize| net.log[from..].iter().filter(|(_, _, message)| is_push(message)).count();
    let before = net.log.len();
    for _ in 0..4 {
        net.submit_of(0, 5);
        net.advance(200_000);
        assert_eq!(net.height(FOLLOWER), net.height(0));
    }
    assert_same(&net);
    assert!(pushed(&net, before) >= 8, "{} since the boundary", pushed(&net, before));
    let again = |(_, request): &(usize, Request)| matches!(request, Request::Follow(_) | Request::Batch { .. });
    assert_eq!(asked(&net, begun).iter().filter(|request| again(request)).count(), 0, "{:?}", asked(&net, begun));
}

#[test]
fn who_becomes_a_member_follows_no_more() {
    let mut net = followed();
    let pusher = chosen(&mut net);
    let begun = net.log.len();
    operate(&mut net, 0, vec![add(FOLLOWER)]);
    steps::goes_on(&mut net, N + 1);
    let follows = |(_, request): &(usize, Request)| matches!(request, Request::Follow(_));
    let said: Vec<_> = asked(&net, begun).into_iter().filter(follows).collect();
    assert_eq!(said, [(pusher, Request::Follow(None))]);
    assert!(net.ports(pusher).pushes.is_empty());
}

//! Inputs that wait for the core, and the core's wait for them.

use proptest::prelude::*;
use rustorium_quorum::Leaders;
use rustorium_shard::port::{BlockFacts, Input};
use rustorium_stages::inbox::{Inbox, monotonic_ns};
use rustorium_types::{BlockDigest, Epoch, Height, ValidatorIndex, View, VoteKind};
use std::sync::Arc;

fn facts() -> BlockFacts {
    BlockFacts {
        view: View(0),
        height: Height(0),
        digest: BlockDigest::ZERO,
        parent_view: View(0),
        parent: BlockDigest::ZERO,
        proposer: ValidatorIndex(0),
        time_ms: 0,
        has_payload: false,
        claimed_height: Height(0),
        rooted_height: Height(0),
        ends_epoch: false,
    }
}

fn recovered() -> Input {
    let (blocks, certificates, votes) = (Vec::new(), Vec::new(), Vec::new());
    let (epoch, me, n, leaders) = (Epoch(1), Some(ValidatorIndex(2)), 4, Leaders::new(4, None, View(0)));
    let (last_final, payload_height, backoff) = (facts(), Height(0), Some(1));
    Input::Recovered { last_final, payload_height, blocks, certificates, votes, epoch, me, n, leaders, backoff }
}

#[test]
fn with_an_epoch_all_that_waited_is_void() {
    let inbox = Inbox::default();
    let peer = ValidatorIndex(2);
    inbox.push([queued(1), Input::WorkSeen(true), Input::ClaimReady(Height(3)), Input::PeerSilence(peer, true)]);
    inbox.push([Input::RootReady(Height(3)), Input::EndDue(true), Input::ClaimWanted(Height(7))]);
    inbox.push([recovered(), queued(2)]);
    assert_eq!(inbox.drain(100).unwrap(), [recovered(), queued(2), Input::ClaimWanted(Height(7))]);
    assert_eq!(inbox.drain(100).unwrap(), []);
}

fn queued(view: u64) -> Input {
    Input::NullifiesSeen(View(view))
}

#[test]
fn levels_keep_their_newest_value_and_events_keep_their_order() {
    let inbox = Inbox::default();
    let peer = ValidatorIndex(2);
    inbox.push([queued(1), Input::WorkSeen(true), Input::ClaimReady(Height(3)), Input::PeerSilence(peer, true)]);
    inbox.push([Input::ClaimWanted(Height(9)), Input::ClaimReady(Height(4)), Input::PeerSilence(peer, false)]);
    inbox.push([Input::ClaimWanted(Height(8)), queued(2), Input::WorkSeen(false)]);
    inbox.push([Input::EndDue(true), Input::EndDue(false)]);
    let expected = vec![
        Input::ClaimReady(Height(4)),
        Input::EndDue(false),
        Input::WorkSeen(false),
        queued(1),
        queued(2),
        Input::PeerSilence(peer, false),
        Input::ClaimWanted(Height(9)),
    ];
    assert_eq!(inbox.drain(100).unwrap(), expected);
    assert_eq!(inbox.drain(100).unwrap(), []);
}

#[test]
fn work_goes_before_the_certificate_that_came_with_it() {
    let inbox = Inbox::default();
    let certificate = Input::VoteRefused(VoteKind::Notarize, View(1));
    inbox.push([Input::WorkSeen(false), certificate.clone()]);
    assert_eq!(inbox.drain(1).unwrap(), [Input::WorkSeen(false), certificate]);
}

#[test]
fn something_that_wakes_the_core_is_taken_without_a_wait() {
    let inbox = Inbox::default();
    inbox.push([Input::WorkSeen(false)]);
    assert!(!inbox.is_signalled(), "work that went away wakes nobody");
    inbox.push([queued(1), queued(2)]);
    inbox.push([queued(3)]);
    assert_eq!(inbox.wait(None, 2).unwrap().unwrap().len(), 3);
    assert_eq!(inbox.wait(None, 2).unwrap().unwrap(), [queued(3)], "one was left");
    assert!(!inbox.is_signalled());
    inbox.push([Input::WorkSeen(true)]);
    assert_eq!(inbox.wait(None, 1).unwrap().unwrap(), [Input::WorkSeen(true)]);
    assert_eq!(inbox.wait(Some(0), 1), Ok(Some(Vec::new())), "the deadline has passed");
}

#[test]
fn quiet_inputs_are_taken_in_order_with_those_that_wake() {
    let inbox = Inbox::default();
    inbox.tell([queued(1)], false);
    assert!(!inbox.is_signalled());
    assert_eq!(inbox.waiting_for(), None, "nobody is late");
    inbox.tell([queued(2)], true);
    assert_eq!(inbox.wait(None, 9).unwrap().unwrap(), [queued(1), queued(2)]);
    inbox.tell([queued(3)], false);
    let deadline = monotonic_ns() + 1_000_000;
    assert_eq!(inbox.wait(Some(deadline), 9).unwrap().unwrap(), [queued(3)], "it comes before the deadline's tick");
    assert!(monotonic_ns() >= deadline);
}

/// Returns what a core took that waits on another thread while this one does something.
fn taken_after(inbox: &Arc<Inbox>, then: impl FnOnce(&Inbox)) -> Result<Option<Vec<Input>>, (String, String)> {
    let core = {
        let inbox = inbox.clone();
        std::thread::spawn(move || inbox.wait(Some(monotonic_ns() + 20_000_000_000), 9))
    };
    while !inbox.is_visited() {
        std::thread::yield_now();
    }
    // The core waits by now, or is about to: it must be woken in both cases.
    then(inbox);
    core.join().unwrap()
}

#[test]
fn a_waiting_core_is_woken_by_an_input_a_failure_and_the_end() {
    for _ in 0..200 {
        let inbox = Arc::<Inbox>::default();
        assert_eq!(taken_after(&inbox, |inbox| inbox.push([queued(1)])), Ok(Some(vec![queued(1)])));
        let inbox = Arc::<Inbox>::default();
        assert_eq!(taken_after(&inbox, Inbox::stop), Ok(None));
        let inbox = Arc::<Inbox>::default();
        let failed = taken_after(&inbox, |inbox| inbox.fail("disk-full", "no room"));
        assert_eq!(failed, Err(("disk-full".to_owned(), "no room".to_owned())));
    }
}

#[test]
fn a_stopped_core_is_told_nothing_more() {
    let inbox = Inbox::default();
    inbox.stop();
    inbox.push([queued(1)]);
    inbox.push([recovered()]);
    assert_eq!(inbox.wait(None, 9), Ok(None), "also after an epoch's start");
    assert_eq!(inbox.wait(Some(0), 9), Ok(None));
}

#[test]
fn the_first_failure_is_reported_forever() {
    let inbox = Inbox::default();
    inbox.push([queued(1)]);
    inbox.fail("disk-full", "no room");
    inbox.fail("other", "later");
    for _ in 0..2 {
        assert_eq!(inbox.wait(None, 9), Err(("disk-full".to_owned(), "no room".to_owned())));
        assert_eq!(inbox.drain(9), Err(("disk-full".to_owned(), "no room".to_owned())));
    }
    assert_eq!(inbox.failure(), Some("no room".to_owned()));
}

#[test]
fn a_push_is_seen_as_a_whole() {
    let inbox = Arc::<Inbox>::default();
    let pusher = {
        let inbox = inbox.clone();
        std::thread::spawn(move || (0..2000).for_each(|i| inbox.push([queued(2 * i), queued(2 * i + 1)])))
    };
    let mut seen = Vec::new();
    while seen.len() < 4000 {
        let inputs = inbox.drain(usize::MAX).unwrap();
        assert!(inputs.len().is_multiple_of(2), "half of a push was seen");
        seen.extend(inputs);
    }
    pusher.join().unwrap();
    assert_eq!(seen, (0..4000).map(queued).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn no_order_of_pushes_and_drains_loses_an_input_or_leaves_the_core_asleep(
        steps in prop::collection::vec((any::<bool>(), 1..4usize), 1..60)
    ) {
        let inbox = Inbox::default();
        let (mut pushed, mut seen) = (0, Vec::new());
        for (push, count) in steps {
            if push {
                inbox.push((pushed..pushed + count as u64).map(queued));
                pushed += count as u64;
            } else {
                seen.extend(inbox.drain(count).unwrap());
            }
            prop_assert_eq!(inbox.is_signalled(), (seen.len() as u64) < pushed);
        }
        seen.extend(inbox.drain(usize::MAX).unwrap());
        prop_assert_eq!(seen, (0..pushed).map(queued).collect::<Vec<_>>());
    }
}

#[test]
fn an_inbox_reports_the_time_since_the_cores_last_visit() {
    let inbox = Inbox::default();
    assert_eq!(inbox.waiting_for(), None);
    inbox.push([Input::WorkSeen(false)]);
    assert_eq!(inbox.waiting_for(), None, "that wakes nobody");
    inbox.push([Input::WorkSeen(true), Input::BlockSeen(facts(), rustorium_shard::port::PayloadStatus::Ready)]);
    assert!(inbox.waiting_for().is_some());
    inbox.drain(0).unwrap();
    assert!(inbox.waiting_for().is_some(), "something is left");
    inbox.drain(9).unwrap();
    assert_eq!(inbox.waiting_for(), None);
}

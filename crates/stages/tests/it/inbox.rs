//! Inputs that wait for the core, and the readiness of its descriptor.

use proptest::prelude::*;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::BorrowedFd;
use rustorium_quorum::Leaders;
use rustorium_shard::port::{BlockFacts, Input};
use rustorium_stages::inbox::Inbox;
use rustorium_types::{BlockDigest, Epoch, Height, ValidatorIndex, View, VoteKind};
use std::os::fd::{AsFd, OwnedFd};

/// Returns a second descriptor of the same description, found by number as the interpreter does.
fn descriptor(inbox: &Inbox) -> OwnedFd {
    let path = format!("/proc/self/fd/{}", inbox.fd());
    assert!(std::path::Path::new(&path).exists());
    let file = std::fs::read_link(&path).unwrap();
    assert!(file.to_string_lossy().contains("eventpoll"), "{file:?}");
    let pid = rustix::process::getpid();
    let own = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
    rustix::process::pidfd_getfd(&own, inbox.fd(), rustix::process::PidfdGetfdFlags::empty()).unwrap()
}

fn readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
}

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
    let inbox = Inbox::new().unwrap();
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
    let inbox = Inbox::new().unwrap();
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
    let inbox = Inbox::new().unwrap();
    let certificate = Input::VoteRefused(VoteKind::Notarize, View(1));
    inbox.push([Input::WorkSeen(false), certificate.clone()]);
    assert_eq!(inbox.drain(1).unwrap(), [Input::WorkSeen(false), certificate]);
}

#[test]
fn the_descriptor_is_readable_while_something_waits_that_wakes() {
    let inbox = Inbox::new().unwrap();
    let descriptor = descriptor(&inbox);
    let fd = descriptor.as_fd();
    assert!(!readable(fd));
    inbox.push([Input::WorkSeen(false)]);
    assert!(!readable(fd), "work that went away wakes nobody");
    inbox.push([queued(1), queued(2)]);
    inbox.push([queued(3)]);
    assert!(readable(fd));
    assert_eq!(inbox.drain(2).unwrap().len(), 3);
    assert!(readable(fd), "one is left");
    assert_eq!(inbox.drain(2).unwrap(), [queued(3)]);
    assert!(!readable(fd));
    inbox.push([Input::WorkSeen(true)]);
    assert!(readable(fd));
    inbox.drain(1).unwrap();
    assert!(!readable(fd));
}

#[test]
fn quiet_inputs_are_taken_in_order_with_those_that_wake() {
    let inbox = Inbox::new().unwrap();
    let descriptor = descriptor(&inbox);
    let fd = descriptor.as_fd();
    inbox.tell([queued(1)], false);
    assert!(!readable(fd));
    assert_eq!(inbox.waiting_for(), None, "nobody is late");
    inbox.tell([queued(2)], true);
    assert!(readable(fd));
    assert_eq!(inbox.drain(9).unwrap(), [queued(1), queued(2)]);
    inbox.tell([queued(3)], false);
    inbox.wake_at(Some(now_ns() + 1_000_000));
    wait(fd);
    assert_eq!(inbox.drain(9).unwrap(), [queued(3)], "it comes before the deadline's tick");
}

fn now_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Waits until the descriptor is readable; fails if it never is.
fn wait(fd: BorrowedFd<'_>) {
    let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    assert_eq!(poll(&mut fds, Some(&Timespec { tv_sec: 60, tv_nsec: 0 })).unwrap(), 1);
}

#[test]
fn the_descriptor_is_readable_once_the_deadline_has_come() {
    let inbox = Inbox::new().unwrap();
    let descriptor = descriptor(&inbox);
    let fd = descriptor.as_fd();
    let hour = 3_600_000_000_000;
    inbox.wake_at(Some(now_ns() + hour));
    assert!(!readable(fd));
    let deadline = now_ns() + 1_000_000;
    inbox.wake_at(Some(deadline));
    wait(fd);
    assert!(now_ns() >= deadline);
    assert_eq!(inbox.drain(9).unwrap(), []);
    assert!(readable(fd), "nobody has named another time");
    inbox.wake_at(Some(now_ns() + hour));
    assert!(!readable(fd));
    inbox.wake_at(Some(1));
    wait(fd);
    inbox.wake_at(None);
    assert!(!readable(fd));
}

#[test]
fn a_new_epoch_keeps_the_deadline() {
    let inbox = Inbox::new().unwrap();
    let descriptor = descriptor(&inbox);
    let deadline = now_ns() + 20_000_000;
    inbox.wake_at(Some(deadline));
    inbox.push([recovered()]);
    inbox.drain(9).unwrap();
    inbox.wake_at(Some(deadline));
    wait(descriptor.as_fd());
}

#[test]
fn the_first_failure_is_reported_forever() {
    let inbox = Inbox::new().unwrap();
    let descriptor = descriptor(&inbox);
    inbox.push([queued(1)]);
    inbox.fail("disk-full", "no room");
    inbox.fail("other", "later");
    for _ in 0..2 {
        assert_eq!(inbox.drain(9), Err(("disk-full".to_owned(), "no room".to_owned())));
        assert!(readable(descriptor.as_fd()));
    }
    assert_eq!(inbox.failure(), Some("no room".to_owned()));
}

#[test]
fn a_push_is_seen_as_a_whole() {
    let inbox = std::sync::Arc::new(Inbox::new().unwrap());
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
        let inbox = Inbox::new().unwrap();
        let descriptor = descriptor(&inbox);
        let (mut pushed, mut seen) = (0, Vec::new());
        for (push, count) in steps {
            if push {
                inbox.push((pushed..pushed + count as u64).map(queued));
                pushed += count as u64;
            } else {
                seen.extend(inbox.drain(count).unwrap());
            }
            prop_assert_eq!(readable(descriptor.as_fd()), (seen.len() as u64) < pushed);
        }
        seen.extend(inbox.drain(usize::MAX).unwrap());
        prop_assert_eq!(seen, (0..pushed).map(queued).collect::<Vec<_>>());
    }
}

#[test]
fn an_inbox_reports_the_time_since_the_cores_last_visit() {
    let inbox = Inbox::new().unwrap();
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

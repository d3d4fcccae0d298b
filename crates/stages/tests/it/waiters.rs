//! Every wait ends once, with the right result.

use rustorium_api::{ClientSession, Refused, Submitted, SubmittedSink, Wait};
use rustorium_stages::clients::Clients;
use rustorium_stages::inbox::Inbox;
use rustorium_stages::waiters::{Waiter, Waiters};
use rustorium_storage::MemStore;
use rustorium_types::{AccountId, Height, Outcome, Receipt, TxId};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

type AnswerLog = Arc<Mutex<Vec<(usize, Submitted)>>>;

fn sink() -> (AnswerLog, SubmittedSink) {
    let told = AnswerLog::default();
    let kept = told.clone();
    (told, Arc::new(move |index, how| kept.lock().unwrap().push((index, how))))
}

fn id(number: u8) -> TxId {
    TxId([number; 32])
}

fn waiter(wait: Wait, index: usize, done: &SubmittedSink) -> Waiter {
    of(&ClientSession::of(IpAddr::from([192, 0, 2, 1])), wait, index, done)
}

fn of(visit: &Arc<ClientSession>, wait: Wait, index: usize, done: &SubmittedSink) -> Waiter {
    let (since, copies) = (Instant::now(), [(index, done.clone())].into());
    let until = since + Duration::from_secs(60);
    Waiter { wait, expires_at_ms: 100, since, until, visit: visit.clone(), place: None, copies }
}

fn receipt(number: u8) -> Receipt {
    Receipt {
        transaction: id(number),
        sender: AccountId([0; 32]),
        nonce: 0,
        height: Height(5),
        index: 0,
        time_ms: 50,
        work: 1,
        outcome: Outcome::Ok,
    }
}

fn take(told: &AnswerLog) -> Vec<(usize, Submitted)> {
    std::mem::take(&mut told.lock().unwrap())
}

/// Checks that no later event reports anything again.
fn nobody_waits(waiters: &Waiters, told: &AnswerLog) {
    assert_eq!((waiters.len(), waiters.is_empty()), (0, true));
    waiters.admitted(&[id(1), id(2), id(3)]);
    waiters.executed(Height(9), &[receipt(1), receipt(2), receipt(3)]);
    waiters.refused(&id(1), &Refused::new("late", "late"));
    waiters.certified(Height(99), |id| Submitted::TimedOut(*id));
    waiters.expire(u64::MAX);
    assert!(take(told).is_empty());
    assert!(waiters.is_empty());
}

#[test]
fn each_wait_ends_at_the_requested_stage() {
    let (waiters, (told, done)) = (Waiters::default(), sink());
    let waits = [Wait::Accepted, Wait::Final, Wait::Certified];
    waiters.register(waits.into_iter().enumerate().map(|(i, wait)| (id(1), waiter(wait, i, &done))).collect());
    assert!(waiters.holds(&id(1)) && waiters.len() == 3);
    waiters.admitted(&[id(1)]);
    assert_eq!(take(&told), [(0, Submitted::Accepted(id(1)))]);
    assert!(waiters.executed(Height(5), &[receipt(1)]), "somebody waits for the certificate");
    assert_eq!(take(&told), [(1, Submitted::Final(id(1), receipt(1)))]);
    waiters.certified(Height(4), |id| Submitted::TimedOut(*id));
    assert!(take(&told).is_empty());
    waiters.certified(Height(5), |id| Submitted::Accepted(*id));
    assert_eq!(take(&told), [(2, Submitted::Accepted(id(1)))]);
    nobody_waits(&waiters, &told);
}

#[test]
fn a_refusal_names_the_transaction_and_ends_all_its_waits() {
    let (waiters, (told, done)) = (Waiters::default(), sink());
    waiters.register(vec![(id(1), waiter(Wait::Final, 0, &done)), (id(1), waiter(Wait::Accepted, 1, &done))]);
    waiters.refused(&id(2), &Refused::new("other", "another's"));
    waiters.refused(&id(1), &Refused::new("pool-full", "no room"));
    let refused = Submitted::Refused(Refused { id: Some(id(1)), ..Refused::new("pool-full", "no room") });
    assert_eq!(take(&told), [(0, refused.clone()), (1, refused)]);
    nobody_waits(&waiters, &told);
}

#[test]
fn one_whose_nonce_another_used_is_refused_at_once_and_one_that_was_executed_is_not() {
    let (told, done) = sink();
    let store = Arc::new(MemStore::new());
    let (prove, inbox) = (Arc::new(|id: &TxId| Submitted::TimedOut(*id)), Arc::<Inbox>::default());
    let parameters = Arc::new((&rustorium_types::Parameters::default()).into());
    let clients = Clients { store, waiters: Arc::default(), inbox, prove, parameters };
    let waits = [(1, Wait::Final), (2, Wait::Certified), (3, Wait::Final)];
    let all = waits.iter().enumerate().map(|(index, (number, wait))| (id(*number), waiter(*wait, index, &done)));
    clients.waiters.register(all.collect());
    clients.waiters.executed(Height(5), &[receipt(2)]);
    let used = |number| (id(number), rustorium_txpool::Refused::NonceUsed { nonce: 0, expected: 1 });
    clients.used(&[used(1), used(2), used(4)]);
    let [(0, Submitted::Refused(refused))] = &take(&told)[..] else { panic!("the first is told alone") };
    assert_eq!((refused.id, &*refused.code.to_string()), (Some(id(1)), "nonce-used"));
    assert_eq!(clients.waiters.len(), 2);
}

#[test]
fn an_expired_transaction_is_told_once_by_header_time() {
    let (waiters, (told, done)) = (Waiters::default(), sink());
    let late = Waiter { expires_at_ms: 101, ..waiter(Wait::Final, 1, &done) };
    waiters.register(vec![(id(1), waiter(Wait::Final, 0, &done)), (id(2), late)]);
    waiters.expire(99);
    assert!(take(&told).is_empty());
    waiters.expire(100);
    assert!(matches!(&take(&told)[..], [(0, Submitted::Refused(refused))] if refused.code == "expired"));
    assert_eq!(waiters.len(), 1);
    waiters.expire(101);
    assert_eq!(take(&told).len(), 1);
    nobody_waits(&waiters, &told);
}

#[test]
fn an_ended_wait_is_forgotten_and_others_are_not() {
    let waiters = Waiters::default();
    let ((told, done), (other, others)) = (sink(), sink());
    let (visit, another) =
        (ClientSession::of(IpAddr::from([192, 0, 2, 1])), ClientSession::of(IpAddr::from([192, 0, 2, 1])));
    let all = [(1, Wait::Accepted), (2, Wait::Final), (3, Wait::Certified)];
    waiters.register(all.iter().map(|(i, wait)| (id(*i), of(&visit, *wait, usize::from(*i), &done))).collect());
    let theirs = [(id(2), of(&another, Wait::Final, 7, &others)), (id(3), of(&another, Wait::Certified, 8, &others))];
    waiters.register(theirs.into());
    assert!(waiters.executed(Height(5), &[receipt(3)]));
    waiters.forget(&[id(1), id(2), id(3)], &visit);
    assert_eq!(waiters.len(), 2);
    waiters.executed(Height(6), &[receipt(1), receipt(2)]);
    waiters.certified(Height(6), |id| Submitted::Accepted(*id));
    assert_eq!(take(&other).len(), 2);
    nobody_waits(&waiters, &told);
}

#[test]
fn a_transaction_executed_after_its_session_ended_waits_for_no_certificate() {
    let (waiters, (told, done)) = (Waiters::default(), sink());
    let visit = ClientSession::of(IpAddr::from([192, 0, 2, 1]));
    waiters.register(vec![(id(1), of(&visit, Wait::Certified, 0, &done))]);
    // The session ends while a block's receipts are reported.
    visit.end();
    assert!(!waiters.executed(Height(5), &[receipt(1)]));
    nobody_waits(&waiters, &told);
}

#[test]
fn a_sessions_copies_are_told_together_and_the_oldest_of_many_at_once() {
    let (waiters, (told, done)) = (Waiters::default(), sink());
    let visit = ClientSession::of(IpAddr::from([192, 0, 2, 1]));
    waiters.register((0..10).map(|index| (id(1), of(&visit, Wait::Final, index, &done))).collect());
    assert_eq!((waiters.len(), take(&told).len()), (1, 2));
    waiters.executed(Height(5), &[receipt(1)]);
    assert_eq!(take(&told).iter().map(|(index, _)| *index).collect::<Vec<_>>(), (2..10).collect::<Vec<_>>());
    nobody_waits(&waiters, &told);
}

#[test]
fn a_second_wait_for_an_accepted_transaction_is_told_too() {
    let (waiters, (told, done)) = (Waiters::default(), sink());
    for index in 0..2 {
        waiters.register(vec![(id(1), waiter(Wait::Accepted, index, &done))]);
        waiters.admitted(&[id(1)]);
        assert_eq!(take(&told), [(index, Submitted::Accepted(id(1)))]);
    }
    // The transaction was executed before this node admitted it, so it counts as accepted.
    waiters.register(vec![(id(1), waiter(Wait::Accepted, 2, &done))]);
    assert!(!waiters.executed(Height(5), &[receipt(1)]));
    assert_eq!(take(&told), [(2, Submitted::Accepted(id(1)))]);
    nobody_waits(&waiters, &told);
}

//! The pool's room for those who govern, and what it makes of pauses.

use crate::common::*;
use rustorium_execution::Skip;
use rustorium_txpool::*;
use rustorium_types::*;

/// Returns a seat's transaction of this nonce.
fn of_seat(number: u32, nonce: u64) -> (TxId, Shared) {
    of_sender(SystemSender::Seat(number), nonce)
}

fn of_sender(sender: SystemSender, nonce: u64) -> (TxId, Shared) {
    second(0, nonce, &[], |body| {
        body.sender = sender.id();
        body.work_limit = 100_000;
        body.data = BoundedVec::new(vec![Operation2::Withdraw { number: 1 }]).unwrap();
    })
}

/// V24: who governs finds room for a few transactions in a full pool; nobody else has any by it.
#[test]
fn a_full_pool_takes_sixteen_of_each_seat() {
    let mut pool = Pool::new(PoolConfig { transactions_max: 4, ..PoolConfig::default() }, 0);
    for number in 0..4 {
        admit(&mut pool, number, 0).unwrap();
    }
    for nonce in 0..17 {
        let (id, t) = of_seat(0, nonce);
        let admitted = pool.admit(CLOCK, id, t, || view(0, 0)).map_err(|refused| refused.code());
        assert_eq!(admitted, if nonce < 16 { Ok(Admission::Queued) } else { Err("pool-full") }, "{nonce}");
    }
    let (id, t) = of_seat(1, 0);
    assert_eq!(pool.admit(CLOCK, id, t, || view(0, 0)), Ok(Admission::Queued), "another seat has its own room");
    for nonce in 0..17 {
        let (id, t) = of_sender(SystemSender::Owner(0), nonce);
        let admitted = pool.admit(CLOCK, id, t, || view(0, 0)).map_err(|refused| refused.code());
        assert_eq!(admitted, if nonce < 16 { Ok(Admission::Queued) } else { Err("pool-full") }, "an owner has as much");
    }
    let (id, t) = of_seat(2, 0);
    assert_eq!(pool.admit(CLOCK, id, t, || None), Err(Refused::UnknownAccount), "a seat that there isn't has none");
    assert_eq!(admit(&mut pool, 5, 0), Err(Refused::PoolFull));
}

/// V43: a pause refuses accounts until header time reaches its end, and never what changes the committee.
#[test]
fn a_paused_account_is_refused_until_the_pause_ends() {
    let mut pool = Pool::new(PoolConfig::default(), NOW_MS);
    let paused = |until_ms| move || view(0, 0).map(|view| AccountView { paused_until_ms: Some(until_ms), ..view });
    let (id, t) = make(0, 0);
    let refused = pool.admit(CLOCK, id, t.clone(), paused(NOW_MS + 1)).unwrap_err();
    assert_eq!(
        (&refused, refused.code(), refused.is_busy()),
        (&Refused::Paused { until_ms: NOW_MS + 1 }, "paused", false)
    );
    let end = second(0, 0, &[], |body| {
        body.data = BoundedVec::new(vec![Operation2::EndEpoch { epoch: Epoch(0) }]).unwrap();
        body.work_limit = 100_000;
    });
    assert_eq!(pool.admit(CLOCK, end.0, end.1, paused(NOW_MS + 1)), Ok(Admission::Queued));
    pool.skipped(&end.0, &Skip::Paused { until_ms: NOW_MS + 1 });
    assert_eq!(pool.take_dropped().given_up, [end.0], "one that waited when the pause began is given up");
    assert_eq!(pool.admit(CLOCK, id, t, paused(NOW_MS)), Ok(Admission::Queued));
}

/// V43: a chain at rest makes no header that would end the pause.
#[test]
fn a_pause_ends_on_a_chain_at_rest() {
    let mut pool = Pool::new(PoolConfig::default(), NOW_MS);
    let until_ms = NOW_MS + 60_000;
    let paused = || view(0, 0).map(|view| AccountView { paused_until_ms: Some(until_ms), ..view });
    let (id, t) = make(0, 0);
    let at = |wall_ms| Clock { wall_ms, ..CLOCK };
    assert_eq!(pool.admit(at(until_ms - 1), id, t.clone(), paused), Err(Refused::Paused { until_ms }));
    assert_eq!(pool.admit(at(until_ms), id, t, paused), Ok(Admission::Queued));
}

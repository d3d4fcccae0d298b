//! Pools and senders whose authority changes (V24).

use crate::common::{self, *};
use rustorium_crypto::signer_of;
use rustorium_execution::{NextSigner, Skip};
use rustorium_txpool::*;
use rustorium_types::*;

/// V24: what an account's former authority signed would be skipped. It goes, and the new one's transactions have its nonces.
#[test]
fn transactions_of_a_former_authority_are_dropped() {
    let mut pool = Pool::new(PoolConfig::default(), 0);
    // An own batch from before a restart has nonce 0; its transactions are known by their ids alone.
    pool.restore(&batch(0, 0, BatchDigest::ZERO, &[make(0, 0)]), |_| view(0, 0));
    for nonce in [1, 2, 4] {
        admit(&mut pool, 0, nonce).unwrap();
    }
    admit(&mut pool, 1, 0).unwrap();
    let (id, new) = common::second(0, 1, &[7], |_| ());
    let signer = signer_of(&new);
    pool.follow_authority(account(0), view(0, 0).unwrap());
    assert_eq!((pool.len(), pool.take_dropped().is_empty()), (5, true), "nothing changed");
    pool.follow_authority(account(0), AccountView::new(0, signer));
    assert_eq!(pool.take_dropped().given_up, [1, 2, 4].map(|nonce| make(0, nonce).0));
    assert_eq!(pool.len(), 2, "the own batch's goes when it is executed or skipped, and others' stay");
    assert_eq!(admit(&mut pool, 0, 1), Err(Refused::WrongKey));
    let queued = pool.admit(CLOCK, id, new, || unreachable!("the sender is known"));
    assert_eq!(queued, Ok(Admission::Queued));
    pool.executed(account(0), 1, NOW_MS);
    // A block's report may come after a lookup that already found a later state.
    pool.follow_authority(account(0), view(0, 0).unwrap());
    assert_eq!((pool.len(), pool.take_dropped().is_empty()), (2, true), "an older state says nothing new");
    assert_eq!(cut(&mut pool, 2, &ALL), [(1, 0), (0, 1)]);
}

/// V24, V28: the authority changes with the first executed header of its time. What the former one signed goes then, and not
/// before.
#[test]
fn an_authority_that_waits_acts_from_its_time_on() {
    let due_ms = NOW_MS + 30_000;
    let (id, new) = common::second(0, 1, &[7], |_| ());
    let next = |is_frozen| Some(NextSigner { signer: signer_of(&new), due_ms, is_frozen });
    let waits = |is_frozen| AccountView { next: next(is_frozen), ..view(0, 0).unwrap() };
    let mut pool = Pool::new(PoolConfig::default(), 0);
    let (first, t) = make(0, 0);
    pool.admit(CLOCK, first, t, || Some(waits(false))).unwrap();
    let offer = |pool: &mut Pool| pool.admit(CLOCK, id, new.clone(), || unreachable!("the sender is known"));
    assert_eq!(offer(&mut pool), Err(Refused::WrongKey));
    pool.expire(due_ms - 1);
    assert_eq!((offer(&mut pool), pool.take_dropped().is_empty()), (Err(Refused::WrongKey), true));
    pool.executed(account(1), 5, due_ms);
    assert_eq!(offer(&mut pool), Ok(Admission::Queued), "by the time alone");
    assert_eq!(admit(&mut pool, 0, 2), Err(Refused::WrongKey));
    pool.expire(due_ms);
    assert_eq!(pool.take_dropped().given_up, [first]);
    assert!(pool.contains(&id));
    // The record isn't written again before the next transaction: the same state says nothing new.
    pool.follow_authority(account(0), waits(false));
    pool.expire(due_ms);
    assert!(pool.contains(&id) && pool.take_dropped().is_empty());
}

/// V28: a chain at rest makes no header that would be the first of the change's time. The authority that a header of now would
/// find acts, too, and a clock that is ahead shuts out nobody.
#[test]
fn an_authority_acts_on_a_chain_at_rest_once_its_time_has_come() {
    let due_ms = NOW_MS + 30_000;
    let (id, new) = common::second(0, 0, &[7], |_| ());
    for is_frozen in [false, true] {
        let next = Some(NextSigner { signer: signer_of(&new), due_ms, is_frozen });
        let waits = AccountView { next, ..view(0, 0).unwrap() };
        let offer = |id, t: Shared, wall_ms| {
            let mut pool = Pool::new(PoolConfig::default(), NOW_MS);
            pool.admit(Clock { wall_ms, ..CLOCK }, id, t, || Some(waits)).map_err(|refused| refused.code())
        };
        let early = if is_frozen { "frozen" } else { "wrong-key" };
        assert_eq!(offer(id, new.clone(), due_ms - 1), Err(early));
        assert_eq!(offer(id, new.clone(), due_ms), Ok(Admission::Queued));
        let (former, t) = make(0, 0);
        let known = if is_frozen { Err("frozen") } else { Ok(Admission::Queued) };
        assert_eq!(offer(former, t, due_ms), known, "by the newest header");
    }
}

/// V24, V31: a frozen account's transactions are dropped and refused. A withdrawn recovery is over.
#[test]
fn a_frozen_account_has_nothing_in_the_pool() {
    let due_ms = NOW_MS + 30_000;
    let (_, new) = common::second(0, 1, &[7], |_| ());
    let next = Some(NextSigner { signer: signer_of(&new), due_ms, is_frozen: true });
    let frozen = AccountView { next, ..view(0, 0).unwrap() };
    let mut pool = Pool::new(PoolConfig::default(), 0);
    for nonce in [0, 1, 3] {
        admit(&mut pool, 0, nonce).unwrap();
    }
    admit(&mut pool, 1, 0).unwrap();
    pool.follow_authority(account(0), frozen);
    assert_eq!(pool.take_dropped().given_up, [0, 1, 3].map(|nonce| make(0, nonce).0));
    let (id, t) = make(0, 0);
    let refused = Err(Refused::Frozen { until_ms: due_ms });
    assert_eq!(pool.admit(CLOCK, id, t.clone(), || Some(frozen)), refused);
    assert_eq!(pool.admit(CLOCK, id, t, || view(0, 0)), Ok(Admission::Queued), "the state says that it is over");
    pool.follow_authority(account(0), frozen);
    pool.skipped(&make(1, 0).0, &Skip::Frozen { until_ms: due_ms });
    assert!(pool.is_empty(), "also one that a block listed");
    pool.expire(due_ms);
    assert_eq!(pool.take_dropped().given_up.len(), 2);
}

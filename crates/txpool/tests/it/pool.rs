//! The pool: which transactions are admitted, wait and are cut, and that it stays within its bounds.

use crate::common::{self, *};
use proptest::prelude::*;
use rustorium_crypto::signer_of;
use rustorium_execution::Skip;
use rustorium_txpool::*;
use rustorium_types::*;
use std::collections::HashMap;

fn pool() -> Pool {
    Pool::new(PoolConfig::default(), 0)
}

#[test]
fn nonces_are_cut_in_order_and_gaps_are_held() {
    let mut pool = pool();
    for nonce in [3, 0, 1, 5] {
        assert_eq!(admit(&mut pool, 0, nonce), Ok(Admission::Queued));
    }
    assert_eq!((pool.ready_count(), pool.gapped_count(), pool.len()), (2, 2, 4));
    assert_eq!(cut(&mut pool, 1, &ALL), [(0, 0), (0, 1)]);
    assert_eq!(cut(&mut pool, 1, &ALL), []);
    admit(&mut pool, 0, 2).unwrap();
    assert_eq!(cut(&mut pool, 1, &ALL), [(0, 2), (0, 3)]);
    // Another node listed nonce 4, so 5 follows it.
    pool.executed(account(0), 5, NOW_MS);
    assert_eq!(cut(&mut pool, 1, &ALL), [(0, 5)]);
    pool.executed(account(0), 6, NOW_MS);
    assert!(pool.is_empty());
    assert_eq!((pool.bytes(), pool.ready_bytes(), pool.ready_count()), (0, 0, 0));
}

#[test]
fn transactions_whose_nonces_were_used_are_reported_once_with_a_refusal() {
    let mut pool = pool();
    for nonce in [0, 1, 3] {
        admit(&mut pool, 0, nonce).unwrap();
    }
    pool.executed(account(0), 2, NOW_MS);
    let used = |nonce| (make(0, nonce).0, Refused::NonceUsed { nonce, expected: 2 });
    assert_eq!(pool.take_used(), [used(0), used(1)]);
    assert_eq!((pool.take_used(), pool.take_dropped()), (Vec::new(), DroppedTransactions::default()));
}

#[test]
fn the_same_transaction_is_taken_once_also_after_it_was_cut() {
    let mut pool = pool();
    admit(&mut pool, 0, 0).unwrap();
    assert_eq!(admit(&mut pool, 0, 0), Ok(Admission::Duplicate));
    cut(&mut pool, 1, &ALL);
    assert_eq!(admit(&mut pool, 0, 0), Ok(Admission::Duplicate));
    assert!(pool.contains(&make(0, 0).0) && pool.get(&make(0, 0).0).is_some());
    assert_eq!(cut(&mut pool, 1, &ALL), []);
    assert_eq!(pool.len(), 1);
}

fn expired(pool: &mut Pool, header_time_ms: u64) -> DroppedTransactions {
    pool.expire(header_time_ms);
    pool.take_dropped()
}

fn refused(change: impl FnOnce(&mut TransactionBody)) -> Refused {
    let mut made = body(0, 5, 10);
    change(&mut made);
    let (id, t) = sign(0, made);
    let mut pool = Pool::new(PoolConfig::default(), NOW_MS);
    let refused = pool.admit(CLOCK, id, t, || view(0, 5)).unwrap_err();
    assert!(pool.is_empty() && !pool.contains(&id));
    refused
}

#[test]
fn each_refusal_has_its_code_and_its_figures() {
    let code = |change: fn(&mut TransactionBody)| refused(change).code();
    assert_eq!(code(|b| b.expires_at_ms = NOW_MS), "expired");
    assert_eq!(code(|b| b.expires_at_ms = NOW_MS + 24 * 3600 * 1000 + 1), "expiry-too-far");
    assert_eq!(code(|b| b.public_key = signer(1).public()), "wrong-key");
    assert_eq!(refused(|b| b.nonce = 4), Refused::NonceUsed { nonce: 4, expected: 5 });
    assert_eq!(refused(|b| b.nonce = 5 + 1_025), Refused::NonceTooFar { nonce: 1_030, expected: 5 });
    let needed = body(0, 5, 10).work_limit;
    assert_eq!(refused(|b| b.work_limit -= 1), Refused::WorkLimitTooLow { limit: needed - 1, needed });
    assert_eq!(refused(|b| b.work_limit = 2_000_001), Refused::WorkLimitTooHigh { limit: 2_000_001, max: 2_000_000 });
    assert_eq!(refused(|b| b.nonce = u64::MAX).code(), "nonce-too-far");
}

#[test]
fn a_pool_takes_the_operations_that_its_chain_knows() {
    for rules in [Rules::V1, Rules::V2] {
        let mut pool = Pool::new(PoolConfig::of_chain(rules, &Parameters::of(rules)), 0);
        let (id, t) = sign(0, proven(0, 0));
        let taken = pool.admit(CLOCK, id, t, || view(0, 0));
        let refused = Refused::LaterOperation { version: 1 };
        assert_eq!(taken, if rules == Rules::V1 { Err(refused) } else { Ok(Admission::Queued) });
    }
}

/// V15, V20, V24: the form, the number of signatures and the authority are judged at the door.
#[test]
fn a_pool_takes_transactions_of_version_two_where_they_can_be_listed() {
    let pool = |rules, most| {
        let parameters = Parameters { batch_transactions_max: most, ..Parameters::of(rules) };
        Pool::new(PoolConfig::of_chain(rules, &parameters), 0)
    };
    let admit = |mut pool: Pool, (id, t): (TxId, Shared)| pool.admit(CLOCK, id, t, || view(0, 0));
    let second = |others: &[usize]| common::second(0, 0, others, |_| ());
    assert_eq!(admit(pool(Rules::V2, 2048), second(&[])), Ok(Admission::Queued));
    assert_eq!(admit(pool(Rules::V1, 2048), second(&[])), Err(Refused::LaterForm { version: 1 }));
    assert_eq!(admit(pool(Rules::V2, 2048), second(&[1])), Err(Refused::WrongKey), "another authority");
    let refused = Refused::TooManySignatures { signatures: 2, max: 1 };
    assert_eq!(admit(pool(Rules::V2, 1), second(&[1])), Err(refused));
    let cancel = |body: &mut TransactionBody2| body.data = BoundedVec::new(vec![Operation2::CancelAuthority]).unwrap();
    assert_eq!(admit(pool(Rules::V2, 2048), common::second(0, 0, &[], cancel)), Ok(Admission::Queued));
    let refused = admit(pool(Rules::V2, 2048), common::second(0, 0, &[], |body| body.work_limit = 1));
    assert!(matches!(refused, Err(Refused::WorkLimitTooLow { limit: 1, .. })));
}

/// V20: the own lane's batches keep the limit that others hold them to.
#[test]
fn a_cut_counts_signatures() {
    let mut pool = Pool::new(PoolConfig::default(), 0);
    for sender in 0..4 {
        let (id, t) = common::second(sender, 0, &[10, 11], |_| ());
        let signer = signer_of(&t);
        pool.admit(CLOCK, id, t, || Some(AccountView::new(0, signer))).unwrap();
    }
    let counts = [9, 8, 3, 2].map(|signatures| {
        let limits = CutLimits { signatures, ..ALL };
        let cut = pool.cut(NOW_MS, &limits);
        pool.uncut(&cut.iter().map(|(id, _)| *id).collect::<Vec<_>>());
        cut.len()
    });
    assert_eq!(counts, [3, 2, 1, 1], "one alone is always cut: the door keeps it under a batch's limit");
}

#[test]
fn an_unknown_account_and_a_taken_nonce_and_a_large_transaction_are_refused() {
    let mut pool = Pool::new(PoolConfig { transaction_bytes_max: 2_000, ..PoolConfig::default() }, 0);
    let (id, t) = make(0, 0);
    assert_eq!(pool.admit(CLOCK, id, t, || None), Err(Refused::UnknownAccount));
    let (large, t) = sign(0, body(0, 0, 2_000));
    let refused = pool.admit(CLOCK, large, t, || view(0, 0)).unwrap_err();
    assert_eq!((refused.code(), refused.is_busy()), ("too-large", false));
    admit(&mut pool, 0, 0).unwrap();
    let (other, t) = sign(0, body(0, 0, 11));
    assert_eq!(pool.admit(CLOCK, other, t, || view(0, 0)), Err(Refused::NonceTaken { nonce: 0, by: id }));
}

#[test]
fn a_full_pool_and_a_full_sender_are_busy() {
    let mut pool = Pool::new(PoolConfig { transactions_max: 4, per_sender_max: 3, ..PoolConfig::default() }, 0);
    for nonce in 0..3 {
        admit(&mut pool, 0, nonce).unwrap();
    }
    let refused = admit(&mut pool, 0, 3).unwrap_err();
    assert_eq!((refused.code(), refused.is_busy()), ("sender-full", true));
    admit(&mut pool, 1, 0).unwrap();
    assert!(!pool.has_room(1, 0));
    let refused = admit(&mut pool, 2, 0).unwrap_err();
    assert_eq!((refused.code(), refused.is_busy()), ("pool-full", true));
    // A transaction that was cut still counts until it is executed.
    assert_eq!(cut(&mut pool, 2, &ALL).len(), 4);
    assert_eq!(admit(&mut pool, 2, 0), Err(Refused::PoolFull));
    pool.executed(account(0), 1, NOW_MS);
    assert_eq!(admit(&mut pool, 2, 0), Ok(Admission::Queued));
}

#[test]
fn a_pool_full_of_bytes_is_busy() {
    let mut pool = Pool::new(PoolConfig { bytes_max: 1_000, ..PoolConfig::default() }, 0);
    let taken = (0..20).take_while(|nonce| admit(&mut pool, 0, *nonce) == Ok(Admission::Queued)).count();
    assert!((2..8).contains(&taken) && pool.bytes() <= 1_000, "{taken}");
}

#[test]
fn transactions_behind_a_gap_never_fill_the_pool() {
    let mut pool = Pool::new(PoolConfig { transactions_max: 16, ..PoolConfig::default() }, 0);
    let held = (0..16).filter(|sender| admit(&mut pool, *sender, 1).is_ok()).count();
    assert_eq!((held, pool.gapped_count()), (4, 4));
    assert_eq!(admit(&mut pool, 20, 1), Err(Refused::PoolFull));
    assert_eq!(admit(&mut pool, 20, 0), Ok(Admission::Queued));
    // One gap is filled, which makes room for another.
    admit(&mut pool, 0, 0).unwrap();
    assert_eq!(admit(&mut pool, 21, 1), Ok(Admission::Queued));
}

#[test]
fn senders_take_turns_whatever_they_have_waiting() {
    let mut pool = pool();
    for nonce in 0..200 {
        admit(&mut pool, 0, nonce).unwrap();
    }
    for sender in 1..4 {
        (0..2).for_each(|nonce| drop(admit(&mut pool, sender, nonce)));
    }
    let limits = CutLimits { signatures: 20, ..ALL };
    let first = cut(&mut pool, 4, &limits);
    let of = |list: &[(usize, u64)], sender| list.iter().filter(|(who, _)| *who == sender).count();
    assert_eq!([0, 1, 2, 3].map(|sender| of(&first, sender)), [16, 2, 2, 0]);
    // The sender that the limits stopped keeps its turn.
    let second = cut(&mut pool, 4, &limits);
    assert_eq!(second[..2], [(3, 0), (3, 1)]);
    assert_eq!(of(&second, 0), 18);
}

#[test]
fn a_cut_keeps_its_limits_and_always_takes_one() {
    let mut pool = pool();
    (0..10).for_each(|nonce| drop(admit(&mut pool, 0, nonce)));
    let one = body(0, 0, 10);
    let bytes = encode(&one).len() as u64 + 64;
    let limits = CutLimits { bytes: 3 * bytes + 1, ..ALL };
    assert_eq!(cut(&mut pool, 1, &limits).len(), 3);
    let limits = CutLimits { work: 2 * one.work_limit, ..ALL };
    assert_eq!(cut(&mut pool, 1, &limits).len(), 2);
    assert_eq!(cut(&mut pool, 1, &CutLimits { bytes: 1, ..ALL }).len(), 1);
    assert_eq!(pool.ready_count(), 4);
}

#[test]
fn expired_ones_are_dropped_and_named_and_their_nonce_is_free_again() {
    let mut pool = pool();
    let with_expiry = |nonce, expires_at_ms| sign(0, TransactionBody { expires_at_ms, ..body(0, nonce, 10) });
    let (first, t) = with_expiry(0, NOW_MS + 10);
    pool.admit(CLOCK, first, t, || view(0, 0)).unwrap();
    admit(&mut pool, 0, 1).unwrap();
    assert_eq!(cut(&mut pool, 1, &ALL), [(0, 0), (0, 1)]);
    assert!(expired(&mut pool, NOW_MS + 9).is_empty());
    assert_eq!(expired(&mut pool, NOW_MS + 10).expired, [first]);
    // Nonce 1 was cut after the expired one and will be skipped. It is cut again once the gap is filled.
    assert_eq!((pool.ready_count(), pool.gapped_count()), (0, 1));
    let (again, t) = with_expiry(0, NOW_MS + 500);
    pool.admit(CLOCK, again, t, || view(0, 0)).unwrap();
    assert_eq!(cut(&mut pool, 1, &ALL), [(0, 0), (0, 1)]);
}

#[test]
fn an_expired_head_is_not_cut() {
    let mut pool = pool();
    let (first, t) = sign(0, TransactionBody { expires_at_ms: NOW_MS + 10, ..body(0, 0, 10) });
    pool.admit(CLOCK, first, t, || view(0, 0)).unwrap();
    admit(&mut pool, 0, 1).unwrap();
    admit(&mut pool, 1, 0).unwrap();
    // A transaction expires when a header's time says so, whatever the clock says.
    pool.executed(account(2), 0, NOW_MS + 10);
    assert_eq!(names(2, pool.cut(NOW_MS, &ALL)), [(1, 0)]);
    assert_eq!(expired(&mut pool, 0).expired, [first]);
    assert_eq!(pool.len(), 2);
}

#[test]
fn the_clock_only_bounds_how_far_ahead_an_expiry_may_be() {
    const HOUR_MS: u64 = 3_600_000;
    let mut pool = Pool::new(PoolConfig::default(), NOW_MS);
    let with_expiry = |who, expires_at_ms| sign(who, TransactionBody { expires_at_ms, ..body(who, 0, 10) });
    let at = |wall_ms| Clock { ms: 5, wall_ms };
    let (id, t) = with_expiry(0, NOW_MS + 10);
    assert_eq!(pool.admit(at(NOW_MS + 2 * HOUR_MS), id, t, || view(0, 0)), Ok(Admission::Queued));
    assert_eq!(names(1, pool.cut(5, &ALL)), [(0, 0)]);
    // The later time of clock and header counts, and only now.
    let day = with_expiry(1, NOW_MS + 24 * HOUR_MS);
    assert_eq!(pool.admit(at(NOW_MS - HOUR_MS), day.0, day.1, || view(1, 0)), Ok(Admission::Queued));
    let (id, t) = with_expiry(2, NOW_MS + 24 * HOUR_MS + 1);
    let limit_ms = 24 * HOUR_MS;
    let refused = Err(Refused::ExpiryTooFar { ahead_ms: limit_ms + 1, limit_ms });
    assert_eq!(pool.admit(at(NOW_MS), id, t.clone(), || view(2, 0)), refused);
    assert_eq!(pool.admit(at(NOW_MS + 1), id, t, || view(2, 0)), Ok(Admission::Queued));
}

#[test]
fn skipped_ones_wait_again_or_go_as_the_reason_asks() {
    let mut pool = pool();
    (0..3).for_each(|nonce| drop(admit(&mut pool, 0, nonce)));
    cut(&mut pool, 1, &ALL);
    // The lane listed nonce 1 before nonce 0 was executed.
    pool.skipped(&make(0, 1).0, &Skip::NonceAhead { expected: 0 });
    assert_eq!(cut(&mut pool, 1, &ALL), [(0, 1), (0, 2)]);
    pool.skipped(&make(0, 0).0, &Skip::NonceUsed { expected: 1 });
    assert!(!pool.contains(&make(0, 0).0) && pool.contains(&make(0, 1).0));
    pool.skipped(&make(0, 1).0, &Skip::WrongKey);
    // This isn't an expiry: with the account's next key the transaction may be executed.
    assert_eq!(
        expired(&mut pool, 0),
        DroppedTransactions { given_up: vec![make(0, 1).0], ..DroppedTransactions::default() }
    );
    assert_eq!((pool.len(), pool.gapped_count()), (1, 1));
    pool.skipped(&make(5, 5).0, &Skip::Expired);
}

#[test]
fn a_transaction_skipped_for_lack_of_quota_waits_a_second() {
    let mut pool = pool();
    admit(&mut pool, 0, 0).unwrap();
    cut(&mut pool, 1, &ALL);
    pool.skipped(&make(0, 0).0, &Skip::QuotaTooSmall { left: 0 });
    assert_eq!(pool.next_delayed_ms(), Some(NOW_MS + 1_000));
    assert_eq!(names(1, pool.cut(NOW_MS + 999, &ALL)), []);
    assert_eq!(names(1, pool.cut(NOW_MS + 1_000, &ALL)), [(0, 0)]);
}

#[test]
fn transactions_that_lack_a_nonce_or_quota_are_not_able() {
    let mut pool = pool();
    admit(&mut pool, 0, 0).unwrap();
    admit(&mut pool, 0, 1).unwrap();
    admit(&mut pool, 0, 3).unwrap();
    admit(&mut pool, 1, 2).unwrap();
    assert_eq!((pool.len(), pool.able_count()), (4, 2), "two wait for a missing nonce");
    cut(&mut pool, 2, &ALL);
    assert_eq!(pool.able_count(), 2, "a cut one isn't executed yet");
    pool.skipped(&make(0, 1).0, &Skip::NonceAhead { expected: 0 });
    pool.skipped(&make(0, 0).0, &Skip::QuotaTooSmall { left: 0 });
    assert_eq!(pool.able_count(), 0);
    pool.executed(account(0), 1, NOW_MS);
    assert_eq!(pool.able_count(), 1, "the sender has quota again");
    pool.executed(account(0), 2, NOW_MS);
    assert_eq!((pool.len(), pool.able_count()), (2, 0));
}

#[test]
fn another_lanes_transaction_waits_its_delay_and_never_goes_while_a_batch_has_it() {
    let mut pool = pool();
    let both = [make(0, 0), make(0, 1)];
    for (id, t) in both.clone() {
        pool.admit_later(CLOCK, id, t, NOW_MS + 50, || view(0, 0)).unwrap();
    }
    assert_eq!((pool.ready_count(), pool.next_delayed_ms()), (0, Some(NOW_MS + 50)));
    assert_eq!(names(1, pool.cut(NOW_MS + 49, &ALL)), []);
    let home = batch(2, 0, BatchDigest::ZERO, &both[..1]);
    pool.held_elsewhere(&home);
    assert_eq!(names(1, pool.cut(NOW_MS + 50, &ALL)), []);
    pool.dropped_elsewhere(&home);
    assert_eq!(pool.ready_count(), 2);
    pool.held_elsewhere(&home);
    assert_eq!((pool.ready_count(), pool.ready_bytes()), (0, 0));
    pool.executed(account(0), 1, NOW_MS);
    assert_eq!(names(1, pool.cut(NOW_MS + 50, &ALL)), [(0, 1)]);
}

#[test]
fn a_batch_that_is_never_listed_returns() {
    let mut pool = pool();
    (0..5).for_each(|nonce| drop(admit(&mut pool, 0, nonce)));
    let cut_now = pool.cut(NOW_MS, &CutLimits { signatures: 3, ..ALL });
    let lost = batch(0, 0, BatchDigest::ZERO, &cut_now);
    pool.executed(account(0), 1, NOW_MS);
    pool.uncut(&lost.ids);
    assert_eq!(cut(&mut pool, 1, &ALL), [(0, 1), (0, 2), (0, 3), (0, 4)]);
}

#[test]
fn a_restart_knows_what_the_own_lane_holds() {
    let mut pool = pool();
    let old: Vec<_> = (0..3).map(|nonce| make(0, nonce)).collect();
    let held = batch(0, 0, BatchDigest::ZERO, &old);
    // Nonce 0 was executed before the restart.
    pool.restore(&held, |_| view(0, 1));
    assert_eq!((pool.len(), pool.ready_count()), (2, 0));
    assert_eq!(admit(&mut pool, 0, 2), Ok(Admission::Duplicate));
    assert_eq!(admit(&mut pool, 0, 3), Ok(Admission::Queued));
    assert_eq!(cut(&mut pool, 1, &ALL), [(0, 3)]);
    pool.executed(account(0), 4, NOW_MS);
    assert!(pool.is_empty());
    // A transaction whose batch is never listed is dropped; a client that sends it again gets it executed.
    pool.restore(&held, |_| view(0, 1));
    pool.uncut(&held.ids);
    let dropped = expired(&mut pool, NOW_MS);
    assert_eq!((dropped.expired.len(), dropped.given_up.len(), pool.len()), (0, 2, 0));
    assert_eq!(pool.admit(CLOCK, old[1].0, old[1].1.clone(), || view(0, 1)), Ok(Admission::Queued));
    pool.executed(account(0), 4, NOW_MS);
    // After everything is executed, nothing is remembered.
    pool.restore(&held, |_| view(0, 3));
    assert!(pool.is_empty());
}

#[derive(Debug, Clone)]
enum Step {
    Admit(usize, u64, u64, u64),
    Cut(usize),
    Execute(usize, u64),
    Expire(u64),
    Skip(usize, u64, bool),
    Elsewhere(usize, u64, bool),
    Later(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let (who, nonce) = (0usize..3, 0u64..8);
    prop_oneof![
        8 => (who.clone(), nonce.clone(), 1u64..40, 0u64..20).prop_map(|(w, n, e, d)| Step::Admit(w, n, e, d)),
        4 => (1usize..6).prop_map(Step::Cut),
        2 => (who.clone(), nonce.clone()).prop_map(|(w, n)| Step::Execute(w, n)),
        1 => (0u64..40).prop_map(Step::Expire),
        1 => (who.clone(), nonce.clone(), any::<bool>()).prop_map(|(w, n, q)| Step::Skip(w, n, q)),
        2 => (who, nonce, any::<bool>()).prop_map(|(w, n, e)| Step::Elsewhere(w, n, e)),
        2 => (0u64..5).prop_map(Step::Later),
    ]
}

fn timed(sender: usize, nonce: u64, expires_ms: u64) -> (TxId, Shared) {
    sign(sender, TransactionBody { expires_at_ms: NOW_MS + expires_ms, ..body(sender, nonce, 10) })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn bounds_hold_and_nonces_are_cut_without_gaps(steps in prop::collection::vec(step(), 1..60)) {
        let config = PoolConfig { transactions_max: 12, per_sender_max: 6, gap_max: 5, ..PoolConfig::default() };
        let mut pool = Pool::new(config, 0);
        let (mut now_ms, mut executed) = (NOW_MS, [0u64; 3]);
        // Per sender, the nonces that were cut and didn't return: each must follow an executed or cut one.
        let mut last_cut: HashMap<usize, u64> = HashMap::new();
        for step in steps {
            match step {
                Step::Admit(who, nonce, expires, delay) => {
                    let (id, t) = timed(who, nonce, expires);
                    let result = pool.admit_later(Clock { ms: now_ms, wall_ms: now_ms }, id, t, now_ms + delay, || view(who, executed[who]));
                    prop_assert_eq!(result.is_ok(), pool.contains(&id));
                }
                Step::Cut(most) => {
                    let ready = pool.ready_count();
                    let cut = names(3, pool.cut(now_ms, &CutLimits { signatures: most, ..ALL }));
                    prop_assert!(cut.len() <= most && (ready == 0 || !cut.is_empty() || pool.ready_count() < ready));
                    for (who, nonce) in cut {
                        let follows = last_cut.get(&who).is_some_and(|last| nonce <= last + 1);
                        prop_assert!(nonce == executed[who] || follows, "{who} {nonce}");
                        prop_assert!(nonce >= executed[who]);
                        last_cut.insert(who, nonce);
                    }
                }
                Step::Execute(who, next) => {
                    executed[who] = executed[who].max(next);
                    pool.executed(account(who), next, now_ms);
                    if last_cut.get(&who).is_some_and(|last| *last + 1 < executed[who]) {
                        last_cut.insert(who, executed[who] - 1);
                    }
                }
                Step::Expire(after) => {
                    for id in expired(&mut pool, NOW_MS + after).expired {
                        prop_assert!(!pool.contains(&id));
                    }
                }
                Step::Skip(who, nonce, quota) => {
                    let later = Skip::WorkTooSmall { left: 0, ready_at_ms: now_ms + nonce };
                    let why = if quota { later } else { Skip::NonceAhead { expected: 0 } };
                    (1..40).for_each(|expires| pool.skipped(&timed(who, nonce, expires).0, &why));
                }
                Step::Elsewhere(who, nonce, held) => {
                    let all: Vec<_> = (1..4).map(|expires| timed(who, nonce, expires * 10)).collect();
                    let other = batch(1, 0, BatchDigest::ZERO, &all);
                    if held { pool.held_elsewhere(&other) } else { pool.dropped_elsewhere(&other) }
                }
                Step::Later(ms) => now_ms += ms,
            }
            prop_assert!(pool.len() <= 12);
            prop_assert!(pool.ready_count() + pool.gapped_count() <= pool.len());
            prop_assert!(pool.ready_bytes() <= pool.bytes());
            prop_assert_eq!(pool.is_empty(), pool.bytes() == 0);
        }
        // In the end the pool is empty, by execution or by expiry.
        pool.executed(account(0), 100, now_ms);
        pool.expire(NOW_MS + 100);
        prop_assert!(pool.is_empty());
        prop_assert_eq!((pool.ready_count(), pool.gapped_count(), pool.next_delayed_ms()), (0, 0, None));
    }
}

//! A few senders can't fill a pool, old transactions make room in a crowded one, and a skipped transaction isn't listed
//! for free.

use crate::common::*;
use proptest::prelude::*;
use rustorium_execution::{Skip, least_work};
use rustorium_txpool::*;
use rustorium_types::{BoundedVec, Epoch, Operation, Parameters, Rules, TransactionBody};

fn small() -> Pool {
    Pool::new(PoolConfig { transactions_max: 1_024, ..PoolConfig::default() }, 0)
}

fn admit_at(pool: &mut Pool, ms: u64, sender: usize, nonce: u64) -> Result<Admission, Refused> {
    let (id, t) = make(sender, nonce);
    pool.admit(Clock { ms, wall_ms: NOW_MS }, id, t, || view(sender, 0))
}

/// Admits as many of a sender's transactions as possible, from this nonce on. Returns their number, and why the next
/// one was refused.
fn fill(pool: &mut Pool, ms: u64, sender: usize, from: u64) -> (u64, Refused) {
    let mut nonce = from;
    loop {
        match admit_at(pool, ms, sender, nonce) {
            Ok(_) => nonce += 1,
            Err(refused) => return (nonce - from, refused),
        }
    }
}

#[test]
fn few_senders_can_not_fill_a_pool() {
    let mut pool = small();
    let alone = fill(&mut pool, 1, 0, 0).0;
    assert!((100..=128).contains(&alone), "one alone has an eighth of what is free: {alone}");
    for sender in 1..32 {
        let (held, why) = fill(&mut pool, 1, sender, 0);
        assert!(held >= 16 && why.is_busy() && why.code() == "sender-full", "{sender}: {held}, {why}");
    }
    assert!(pool.len() > 900 && pool.len() <= 1_024, "{}", pool.len());
    assert_eq!(admit_at(&mut pool, 1, 0, alone).unwrap_err().code(), "sender-full", "its share has shrunk");
    for sender in 32..64 {
        assert_eq!(admit_at(&mut pool, 2_000, sender, 0), Ok(Admission::Queued), "a newcomer finds room");
    }
    let dropped = pool.take_dropped();
    assert!(dropped.expired.is_empty() && dropped.given_up.contains(&make(0, alone - 1).0));
    assert!((0..32).all(|sender| pool.contains(&make(sender, 0).0)), "whoever held most gave up its last");
}

#[test]
fn few_senders_can_not_fill_a_pools_bytes_nor_its_room_for_gaps() {
    let config = PoolConfig { bytes_max: 100_000, transaction_bytes_max: 4_000, ..PoolConfig::default() };
    let mut pool = Pool::new(config, 0);
    for sender in 0..60 {
        let large = |nonce| sign(sender, body(sender, nonce, 2_000));
        let held = (0..).take_while(|nonce| {
            let (id, t) = large(*nonce);
            pool.admit(CLOCK, id, t, || view(sender, 0)).is_ok()
        });
        held.for_each(drop);
    }
    let (id, t) = sign(60, body(60, 0, 2_000));
    let later = Clock { ms: NOW_MS + 1_000, ..CLOCK };
    assert_eq!(pool.admit(later, id, t, || view(60, 0)), Ok(Admission::Queued), "{}", pool.bytes());

    let mut pool = small();
    for sender in 0..60 {
        (1..200).for_each(|nonce| drop(admit_at(&mut pool, 1, sender, nonce)));
    }
    assert!(pool.gapped_count() <= 256, "{}", pool.gapped_count());
    assert_eq!(admit_at(&mut pool, 2_000, 60, 1), Ok(Admission::Queued));
}

#[test]
fn old_ones_make_room_in_a_crowded_pool_and_are_not_called_expired() {
    let mut pool = small();
    for sender in 0..16 {
        fill(&mut pool, 1, sender, 0);
    }
    let full = pool.len();
    assert!((800..920).contains(&full), "{full}");
    // Transactions of the own lane stay, because a lane can't take them back.
    let cut = pool.cut(1, &CutLimits { signatures: 16, ..ALL });
    assert_eq!(cut.len(), 16);
    admit_at(&mut pool, 60_001, 100, 0).unwrap();
    assert!(pool.len() == full + 1 && pool.take_dropped().is_empty(), "none is older than a minute");
    for nonce in 1..4 {
        admit_at(&mut pool, 60_002, 100, nonce).unwrap();
    }
    let dropped = pool.take_dropped();
    assert!(dropped.expired.is_empty() && dropped.given_up.len() > 64);
    assert!(cut.iter().all(|(id, _)| pool.contains(id)));
    assert!((0..4).all(|nonce| pool.contains(&make(100, nonce).0)));
    assert!(pool.len() <= 1_024 / 4 * 3 + 4, "{}", pool.len());
}

#[test]
fn a_pool_that_is_not_crowded_keeps_what_waits() {
    let mut pool = small();
    fill(&mut pool, 1, 0, 0);
    let held = pool.len();
    admit_at(&mut pool, 1_000_000, 1, 0).unwrap();
    assert_eq!((pool.len(), pool.take_dropped()), (held + 1, DroppedTransactions::default()));
}

/// Returns what is listed within a day of a sender with so many waiting transactions whose quota never suffices.
fn listed_without_quota(waiting: u64) -> usize {
    let mut pool = Pool::new(PoolConfig::default(), 0);
    (0..waiting).for_each(|nonce| drop(admit_at(&mut pool, 0, 0, nonce)));
    let (mut listed, mut now_ms) = (0, 0);
    while now_ms < 24 * 3_600_000 {
        let cut = pool.cut(now_ms, &ALL);
        listed += cut.len();
        for (position, (id, _)) in cut.iter().enumerate() {
            let ahead = Skip::NonceAhead { expected: 0 };
            pool.skipped(id, if position == 0 { &Skip::QuotaTooSmall { left: 0 } } else { &ahead });
        }
        now_ms = pool.next_delayed_ms().unwrap();
    }
    listed
}

#[test]
fn a_transaction_without_quota_is_listed_less_and_less_often_and_alone() {
    let listed = listed_without_quota(100);
    assert!((100..600).contains(&listed), "{listed} of a day: the first time all, then one each four minutes at most");
}

#[test]
fn a_sender_whose_quota_suffices_again_has_all_listed() {
    let mut pool = Pool::new(PoolConfig::default(), 0);
    (0..5).for_each(|nonce| drop(admit_at(&mut pool, 0, 0, nonce)));
    for (now_ms, listed, again_ms) in [(0, 5, 1_000), (1_000, 1, 3_000), (3_000, 1, 7_000)] {
        let cut = pool.cut(now_ms, &ALL);
        assert_eq!(cut.len(), listed);
        cut[1..].iter().for_each(|(id, _)| pool.skipped(id, &Skip::NonceAhead { expected: 0 }));
        pool.skipped(&cut[0].0, &Skip::QuotaTooSmall { left: 0 });
        // Sending it again, here or through another node, doesn't make it earlier.
        pool.open(&cut[0].0);
        assert_eq!((pool.next_delayed_ms(), pool.ready_count()), (Some(again_ms), 0));
    }
    assert_eq!(pool.cut(7_000, &ALL).len(), 1);
    pool.executed(account(0), 1, NOW_MS);
    assert_eq!(names(1, pool.cut(7_000, &ALL)), [(0, 1), (0, 2), (0, 3), (0, 4)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    #[test]
    fn a_few_senders_never_take_all_room(
        sends in prop::collection::vec((0usize..24, 0u64..60), 1..900),
    ) {
        let mut pool = Pool::new(PoolConfig { transactions_max: 300, ..PoolConfig::default() }, 0);
        for (sender, nonce) in sends {
            let _ = admit_at(&mut pool, 1, sender, nonce);
        }
        prop_assert_eq!(admit_at(&mut pool, 5_000, 50, 0), Ok(Admission::Queued));
    }
}

/// V24: the skip names the time, and from the second one on others may wait for the same moment.
#[test]
fn a_transaction_without_quota_waits_until_the_named_time_and_goes_after_eight_skips() {
    let mut pool = small();
    admit(&mut pool, 0, 0).unwrap();
    admit(&mut pool, 0, 1).unwrap();
    pool.expire(NOW_MS);
    let (id, mut now_ms) = (make(0, 0).0, NOW_MS);
    let skip = |until_ms| Skip::HistoryTooSmall { left: 1, ready_at_ms: NOW_MS + until_ms };
    for (skips, wait_ms) in [700, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000].into_iter().enumerate() {
        let listed = if skips == 0 { vec![(0, 0), (0, 1)] } else { vec![(0, 0)] };
        assert_eq!(names(1, pool.cut(now_ms, &ALL)), listed, "after {skips} skips it is listed alone");
        pool.skipped(&id, &skip(if skips == 0 { 700 } else { 0 }));
        if skips == 0 {
            pool.skipped(&make(0, 1).0, &Skip::NonceAhead { expected: 0 });
        }
        assert_eq!(pool.next_delayed_ms(), Some(now_ms + wait_ms));
        assert_eq!(names(1, pool.cut(now_ms + wait_ms - 1, &ALL)), []);
        now_ms += wait_ms;
    }
    assert_eq!((names(1, pool.cut(now_ms, &ALL)), pool.take_dropped()), (vec![(0, 0)], DroppedTransactions::default()));
    pool.skipped(&id, &skip(250));
    // Another node may still list it.
    let open = DroppedTransactions { given_up: vec![id], ..DroppedTransactions::default() };
    assert_eq!((pool.contains(&id), pool.take_dropped(), pool.take_used()), (false, open, vec![]));
    // Its sender begins anew.
    assert_eq!(admit(&mut pool, 0, 0), Ok(Admission::Queued));
    assert_eq!(names(1, pool.cut(now_ms, &ALL)), [(0, 0), (0, 1)]);
}

#[test]
fn a_transaction_that_no_quota_pays_for_goes_at_once() {
    let mut pool = small();
    admit(&mut pool, 0, 0).unwrap();
    cut(&mut pool, 1, &ALL);
    pool.skipped(&make(0, 0).0, &Skip::WorkTooSmall { left: 1, ready_at_ms: u64::MAX });
    assert_eq!((pool.take_dropped().given_up.len(), pool.len()), (1, 0));
    let refused = Refused::QuotaTooSmall { wait_ms: 7 };
    assert_eq!((refused.code(), refused.retry_after_ms()), ("quota-too-small", Some(100)));
    assert_eq!(Refused::QuotaTooSmall { wait_ms: 7_000 }.retry_after_ms(), Some(7_000));
    // A sender that waits for quota is told how long, and not that its room is full.
    let mut pool = Pool::new(PoolConfig { transactions_max: 4, per_sender_max: 3, ..PoolConfig::default() }, 0);
    (0..3).for_each(|nonce| drop(admit(&mut pool, 0, nonce)));
    cut(&mut pool, 1, &ALL);
    pool.expire(NOW_MS);
    pool.skipped(&make(0, 0).0, &Skip::WorkTooSmall { left: 1, ready_at_ms: NOW_MS + 3_000 });
    assert_eq!(admit(&mut pool, 0, 3), Err(Refused::QuotaTooSmall { wait_ms: 3_000 }));
}

/// V57: a transaction that causes more history than any quota pays for is refused under version 2.
#[test]
fn too_much_history_is_refused() {
    let many = (0..17).map(|epoch| Operation::EndEpoch { epoch: Epoch(epoch) }).collect();
    let mut body = TransactionBody { data: BoundedVec::new(many).unwrap(), ..body(0, 0, 1) };
    body.work_limit = least_work(Rules::NEWEST, &body);
    let (id, t) = sign(0, body);
    let refused = small().admit(CLOCK, id, t.clone(), || view(0, 0)).unwrap_err();
    assert_eq!((refused.code(), refused.is_busy()), ("too-much-history", false));
    let first = PoolConfig::of_chain(Rules::V1, &Parameters::of(Rules::V1));
    assert_eq!(Pool::new(first, 0).admit(CLOCK, id, t, || view(0, 0)), Ok(Admission::Queued));
}

/// V59: the accounts of a sponsor, however many they are, take at most a quarter of a pool, and others find room.
#[test]
fn accounts_of_one_sponsor_take_a_quarter_of_the_pool() {
    let mut pool = small();
    let of = |pool: &mut Pool, sender: usize, sponsor| {
        let (id, t) = make(sender, 0);
        pool.admit(CLOCK, id, t, || view(sender, 0).map(|view| AccountView { sponsor, ..view }))
    };
    assert!((0..256).all(|sender| of(&mut pool, sender, 7) == Ok(Admission::Queued)));
    let refused = of(&mut pool, 256, 7).unwrap_err();
    assert_eq!((refused.code(), refused.is_busy()), ("sponsor-full", true));
    assert_eq!(of(&mut pool, 257, 8), Ok(Admission::Queued));
    pool.executed(account(0), 1, NOW_MS);
    assert_eq!(of(&mut pool, 256, 7), Ok(Admission::Queued), "what leaves makes room");
    assert!((300..900).all(|sender| of(&mut pool, sender, 0) == Ok(Admission::Queued)), "the common one has no share");
}

/// V58: an account that gets another sponsor takes the room of its waiting transactions along.
#[test]
fn an_account_with_another_sponsor_takes_its_room_along() {
    let mut pool = small();
    let seen = |sender: usize, nonce, sponsor| AccountView { sponsor, ..view(sender, nonce).unwrap() };
    let of = |pool: &mut Pool, sender: usize, sponsor| {
        let (id, t) = make(sender, 0);
        pool.admit(CLOCK, id, t, || Some(seen(sender, 0, sponsor)))
    };
    assert!((0..256).all(|sender| of(&mut pool, sender, 7) == Ok(Admission::Queued)));
    assert_eq!(of(&mut pool, 256, 7).unwrap_err().code(), "sponsor-full");
    pool.follow_authority(account(0), seen(0, 0, 8));
    assert_eq!(of(&mut pool, 256, 7), Ok(Admission::Queued), "account 0 left room");
    assert_eq!(of(&mut pool, 257, 7).unwrap_err().code(), "sponsor-full");
    assert!((300..555).all(|sender| of(&mut pool, sender, 8) == Ok(Admission::Queued)));
    assert_eq!(of(&mut pool, 555, 8).unwrap_err().code(), "sponsor-full", "account 0 is one of 256");
    pool.follow_authority(account(0), seen(0, 0, 0));
    assert_eq!(of(&mut pool, 555, 8), Ok(Admission::Queued));
}

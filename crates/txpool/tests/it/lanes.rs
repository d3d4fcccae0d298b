//! Lanes: windows, conflicts, the batches that a block lists, and those that finality removes.

use crate::common::{self, *};
use proptest::prelude::*;
use rustorium_crypto::CheckedBatch;
use rustorium_txpool::*;
use rustorium_types::*;
use std::sync::Arc;

const START: Cursor = Cursor { next_seq: 0, tip: BatchDigest::ZERO };

fn lanes(n: usize) -> Lanes {
    Lanes::new(n, 8, 100_000)
}

fn insert_all(lanes: &mut Lanes, batches: &[Arc<CheckedBatch>]) {
    for batch in batches {
        assert_eq!(lanes.insert(batch.clone(), batch.batch.body.seq, false), InsertOutcome::Held);
    }
}

fn caps() -> BlockCaps {
    BlockCaps::for_parameters(&Parameters::default())
}

#[test]
fn held_counts_without_gaps_and_grows_over_filled_ones() {
    let mut lanes = lanes(2);
    let made = chain(1, START, 4, 10);
    for at in [0, 2, 3] {
        lanes.insert(made[at].clone(), 0, false);
    }
    assert_eq!(lanes.held_ends(), [0, 1]);
    assert_eq!(lanes.insert(made[1].clone(), 0, false), InsertOutcome::Held);
    assert_eq!(lanes.held_ends(), [0, 4]);
    assert_eq!(lanes.tip(ValidatorIndex(1)), Some(after(&made[3])));
    assert_eq!(lanes.insert(made[1].clone(), 0, false), InsertOutcome::Duplicate);
    assert_eq!(lanes.get(ValidatorIndex(1), &made[2].digest), Some(made[2].clone()));
    assert_eq!(lanes.get(ValidatorIndex(0), &made[2].digest), None);
    assert_eq!(lanes.get(ValidatorIndex(7), &made[2].digest), None);
    let stray = chain(7, START, 1, 10);
    assert_eq!(lanes.insert(stray[0].clone(), 0, false), InsertOutcome::NoSuchLane);
}

#[test]
fn the_window_bounds_batches_and_bytes_but_not_what_a_block_lists() {
    let mut lanes = lanes(1);
    let made = chain(0, START, 10, 10);
    insert_all(&mut lanes, &made[..8]);
    assert_eq!(lanes.window_left(ValidatorIndex(0)).0, 0);
    assert_eq!(lanes.insert(made[8].clone(), 8, false), InsertOutcome::BeyondWindow);
    assert_eq!(lanes.get(ValidatorIndex(0), &made[8].digest), None);
    assert_eq!(lanes.insert(made[9].clone(), 9, true), InsertOutcome::Held);
    assert_eq!(lanes.insert(made[8].clone(), 8, true), InsertOutcome::Held);
    assert_eq!(lanes.held_ends(), [10]);
    lanes.finalized(&[after(&made[3])]);
    assert_eq!(lanes.window_left(ValidatorIndex(0)).0, 2);

    let mut lanes = self::lanes(1);
    let large = chain(0, START, 2, 60_000);
    insert_all(&mut lanes, &large[..1]);
    assert!(lanes.window_left(ValidatorIndex(0)).1 < 40_000);
    assert_eq!(lanes.insert(large[1].clone(), 1, false), InsertOutcome::BeyondWindow);
    assert_eq!(lanes.insert(large[1].clone(), 1, true), InsertOutcome::Held);
}

#[test]
fn a_second_batch_at_a_seq_is_evidence_and_kept_only_if_listed() {
    let mut lanes = lanes(1);
    let (mine, other) = (chain(0, START, 2, 10), chain(0, START, 2, 11));
    insert_all(&mut lanes, &mine);
    let first = mine[0].digest;
    assert_eq!(lanes.insert(other[0].clone(), 5, false), InsertOutcome::Conflict { other: first, held: false });
    assert_eq!(hold(&mut lanes, 0, other[0].clone(), false), InsertOutcome::Conflict { other: first, held: false });
    assert_eq!(lanes.get(ValidatorIndex(0), &other[0].digest), None);
    let listed = [after(&other[0])];
    let missing = MissingBatch { lane: ValidatorIndex(0), seq: 0, digest: other[0].digest };
    assert_eq!(lanes.payload(&[START], &listed), Err(PayloadFault::Missing(vec![missing])));
    assert_eq!(lanes.insert(other[0].clone(), 5, true), InsertOutcome::Conflict { other: first, held: true });
    assert_eq!(lanes.payload(&[START], &listed).unwrap(), [vec![other[0].clone()]]);
    // When final, the losing batch is removed, with those that follow it.
    let gone = lanes.finalized(&listed);
    assert_eq!(gone.len(), 3);
    assert_eq!(lanes.held_ends(), [1]);
    assert_eq!(lanes.released(), [0, 5, 1]);
    assert_eq!(lanes.insert(mine[0].clone(), 9, true), InsertOutcome::Stale);
}

#[test]
fn payload_walks_back_and_names_the_newest_missing_one() {
    let mut lanes = lanes(2);
    let (a, b) = (chain(0, START, 3, 10), chain(1, START, 2, 10));
    let parent = [START, START];
    let cursors = [after(&a[2]), after(&b[1])];
    let missing =
        |lane, seq, batch: &CheckedBatch| MissingBatch { lane: ValidatorIndex(lane), seq, digest: batch.digest };
    let expect = |lanes: &Lanes, list: Vec<MissingBatch>| {
        assert_eq!(lanes.payload(&parent, &cursors), Err(PayloadFault::Missing(list)));
    };
    expect(&lanes, vec![missing(0, 2, &a[2]), missing(1, 1, &b[1])]);
    insert_all(&mut lanes, &b);
    insert_all(&mut lanes, &a[2..]);
    expect(&lanes, vec![missing(0, 1, &a[1])]);
    insert_all(&mut lanes, &a[1..2]);
    expect(&lanes, vec![missing(0, 0, &a[0])]);
    insert_all(&mut lanes, &a[..1]);
    assert_eq!(lanes.payload(&parent, &cursors), Ok(vec![a.clone(), b.clone()]));
    assert_eq!(lanes.payload(&[after(&a[1]), START], &cursors), Ok(vec![a[2..].to_vec(), b.clone()]));
    assert_eq!(lanes.payload(&cursors, &cursors), Ok(vec![vec![], vec![]]));
    let weight = lanes.weight(&parent, &cursors).unwrap();
    assert_eq!(weight.transactions, 5);
    let alone = a.iter().chain(&b).map(|batch| weigh(Rules::NEWEST, &batch.batch.body.transactions));
    assert_eq!(weight.bytes, alone.map(|weight| weight.bytes).sum::<u64>());
}

#[test]
fn cursors_that_can_not_be_are_broken_not_missing() {
    let mut lanes = lanes(1);
    let (a, fork) = (chain(0, START, 3, 10), chain(0, START, 1, 11));
    insert_all(&mut lanes, &a);
    lanes.insert(fork[0].clone(), 0, true);
    let what = |parent: Cursor, cursor: Cursor| match lanes.payload(&[parent], &[cursor]) {
        Err(PayloadFault::Broken { what, .. }) => what,
        other => unreachable!("{other:?}"),
    };
    assert_eq!(what(after(&a[1]), after(&a[0])), "it goes back");
    let skips = Cursor { next_seq: 2, tip: a[2].digest };
    assert_eq!(what(START, skips), "its tip is a batch of another seq");
    assert_eq!(what(after(&fork[0]), after(&a[2])), "its batches do not follow the parent's");
    assert_eq!(what(after(&a[0]), after(&fork[0])), "its batches do not follow the parent's");
    assert!(matches!(lanes.payload(&[START], &[]), Err(PayloadFault::Broken { .. })));
    assert!(matches!(lanes.payload(&[], &[START]), Err(PayloadFault::Broken { .. })));
}

#[test]
fn a_leader_can_not_have_its_peers_fetch_without_end() {
    let parameters = Parameters { block_transactions_max: 3, ..Parameters::default() };
    let mut lanes = Lanes::for_parameters(1, Rules::NEWEST, &parameters);
    let a = chain(0, START, 5, 10);
    // Four unknown batches hold four transactions at least.
    assert!(matches!(lanes.payload(&[START], &[after(&a[3])]), Err(PayloadFault::Broken { .. })));
    assert!(matches!(lanes.payload(&[START], &[after(&a[2])]), Err(PayloadFault::Missing(_))));
    let endless = Cursor { next_seq: u64::MAX, tip: a[0].digest };
    assert!(matches!(lanes.payload(&[START], &[endless]), Err(PayloadFault::Broken { .. })));
    insert_all(&mut lanes, &a);
    assert!(lanes.payload(&[START], &[after(&a[2])]).is_ok());
    assert!(matches!(lanes.payload(&[after(&a[0])], &[after(&a[4])]), Err(PayloadFault::Broken { .. })));
}

#[test]
fn extension_is_fair_between_lanes_and_keeps_every_cap() {
    let mut lanes = lanes(3);
    for lane in 0..3 {
        insert_all(&mut lanes, &chain(lane, START, 6, 10));
    }
    let parent = [START; 3];
    let seqs = |extension: &Extension| extension.cursors.iter().map(|cursor| cursor.next_seq).collect::<Vec<_>>();
    let all = lanes.extend(&parent, &caps(), |_| None);
    assert_eq!((seqs(&all), all.transactions), (vec![6, 6, 6], 18));
    assert_eq!(lanes.weight(&parent, &all.cursors).unwrap().bytes, all.bytes);
    assert_eq!(lanes.payload(&parent, &all.cursors).unwrap().iter().map(Vec::len).sum::<usize>(), 18);

    let some = lanes.extend(&parent, &BlockCaps { transactions: 9, ..caps() }, |_| None);
    assert_eq!((seqs(&some), some.transactions), (vec![3, 3, 3], 9));
    let bytes = lanes.extend(&parent, &BlockCaps { bytes: all.bytes / 2, ..caps() }, |_| None);
    assert!(bytes.bytes <= all.bytes / 2 && bytes.transactions == 9);
    let work = lanes.extend(&parent, &BlockCaps { work: all.work / 6, ..caps() }, |_| None);
    assert_eq!((seqs(&work), work.work), (vec![1, 1, 1], all.work / 6));
    let lane = lanes.extend(&parent, &BlockCaps { lane_transactions: 2, ..caps() }, |_| None);
    assert_eq!(seqs(&lane), [2, 2, 2]);
    let limited = lanes.extend(&parent, &caps(), |lane| (lane == 1).then_some(1));
    assert_eq!(seqs(&limited), [6, 1, 6]);
    let none = lanes.extend(&parent, &BlockCaps { bytes: 1, ..caps() }, |_| None);
    assert_eq!((none.cursors.as_slice(), none.transactions), (&parent[..], 0));
}

#[test]
fn the_lane_that_a_tight_cap_serves_first_changes() {
    let mut lanes = lanes(3);
    for lane in 0..3 {
        insert_all(&mut lanes, &chain(lane, START, 6, 10));
    }
    let mut cursors = vec![START; 3];
    for _ in 0..6 {
        cursors = lanes.extend(&cursors, &BlockCaps { transactions: 1, ..caps() }, |_| None).cursors;
    }
    assert!(cursors.iter().all(|cursor| cursor.next_seq == 2), "{cursors:?}");
}

#[test]
fn extension_and_listable_follow_the_parents_branch() {
    let mut lanes = lanes(1);
    let (a, fork) = (chain(0, START, 2, 10), chain(0, START, 2, 11));
    insert_all(&mut lanes, &a);
    for batch in &fork {
        lanes.insert(batch.clone(), 0, true);
    }
    assert!(lanes.listable(&[START]));
    assert!(lanes.listable(&[after(&fork[0])]));
    assert!(!lanes.listable(&[after(&fork[1])]));
    let extension = lanes.extend(&[after(&fork[0])], &caps(), |_| None);
    assert_eq!(extension.cursors, [after(&fork[1])]);
}

#[test]
fn finality_drops_what_is_below_and_frees_the_journal() {
    let mut lanes = lanes(2);
    let (a, b) = (chain(0, START, 4, 10), chain(1, START, 2, 10));
    for (lsn, batch) in a.iter().chain(&b).enumerate() {
        lanes.insert(batch.clone(), 100 + lsn as u64, false);
    }
    assert_eq!(lanes.lsn(ValidatorIndex(0), &a[2].digest), Some(102));
    let gone = lanes.finalized(&[after(&a[1]), START]);
    assert_eq!(gone, a[..2]);
    assert_eq!((lanes.released(), lanes.released()), (vec![100, 101], vec![]));
    assert_eq!(lanes.held_ends(), [4, 2]);
    assert_eq!(lanes.finalized(&[after(&a[1]), START]), [], "told twice");
    assert_eq!(lanes.final_cursors(), [after(&a[1]), START]);
    assert_eq!(lanes.unlisted(ValidatorIndex(0)), a[2..]);
    // A final cursor ahead of all held batches.
    let far = Cursor { next_seq: 9, tip: BatchDigest([3; 32]) };
    assert_eq!(lanes.finalized(&[far, far]).len(), 4);
    assert_eq!((lanes.held_ends(), lanes.released()), (vec![9, 9], vec![102, 103, 104, 105]));
}

#[test]
fn only_batches_that_join_their_lane_are_journaled() {
    let (mut lanes, lane) = (lanes(1), ValidatorIndex(0));
    let a = chain(0, START, 4, 10);
    for at in [3, 1, 2] {
        assert_eq!(hold(&mut lanes, 0, a[at].clone(), false), InsertOutcome::Held);
    }
    assert!(lanes.joined().is_empty() && lanes.has_loose());
    hold(&mut lanes, 0, a[0].clone(), false);
    let joined = lanes.joined();
    assert_eq!(joined, a);
    assert!(!lanes.has_loose() && lanes.lsn(lane, &a[1].digest).is_none());
    joined.iter().zip(70..).for_each(|(batch, lsn)| lanes.journaled(lane, &batch.digest, lsn));
    assert_eq!(lanes.lsn(lane, &a[1].digest), Some(71));
    lanes.finalized(&[after(&a[2])]);
    assert_eq!(lanes.released(), [70, 71, 72]);
}

#[test]
fn unjoined_batches_expire_unless_a_live_block_lists_them() {
    let mut lanes = lanes(2);
    let (a, b) = (chain(0, START, 4, 10), chain(1, START, 1, 10));
    insert_all(&mut lanes, &b);
    hold(&mut lanes, 1_000, a[3].clone(), false);
    hold(&mut lanes, 4_000, a[2].clone(), false);
    assert_eq!(lanes.drop_unlisted(10_000, &[]), Some(11_000));
    assert_eq!(lanes.drop_unlisted(11_000, &[]), Some(14_000), "only what is old enough goes");
    assert_eq!((lanes.get(ValidatorIndex(0), &a[3].digest), lanes.in_memory()), (None, 1));
    let block = [after(&a[2]), START];
    assert_eq!(lanes.drop_unlisted(99_000, &[&block]), None, "a living block lists it");
    assert_eq!(lanes.in_memory(), 1);
    assert_eq!(lanes.drop_unlisted(99_000, &[]), None);
    assert_eq!((lanes.in_memory(), lanes.bytes(ValidatorIndex(0))), (0, 0));
    assert_eq!(lanes.held_ends(), [0, 1], "what has joined stays");
}

#[test]
fn an_equivocation_and_what_came_for_a_block_go_with_the_block() {
    let mut lanes = lanes(1);
    let (mine, other) = (chain(0, START, 2, 10), chain(0, START, 3, 11));
    insert_all(&mut lanes, &mine);
    let first = mine[0].digest;
    let conflict = |other: &CheckedBatch| InsertOutcome::Conflict { other: other.digest, held: true };
    assert_eq!(hold(&mut lanes, 0, other[0].clone(), true), conflict(&mine[0]));
    assert_eq!(hold(&mut lanes, 0, other[1].clone(), true), conflict(&mine[1]));
    assert_eq!(hold(&mut lanes, 0, other[2].clone(), true), InsertOutcome::Held);
    let block = [after(&other[1])];
    assert_eq!(lanes.drop_unlisted(1, &[&block]), None);
    assert_eq!(lanes.in_memory(), 2, "the third came for a block that failed");
    lanes.journaled(ValidatorIndex(0), &other[0].digest, 5);
    assert_eq!(lanes.drop_unlisted(1, &[]), None);
    let kept = |lanes: &Lanes, batch: &CheckedBatch| lanes.get(ValidatorIndex(0), &batch.digest).is_some();
    assert!(kept(&lanes, &other[0]), "this node voted for it");
    assert!(!kept(&lanes, &other[1]) && kept(&lanes, &mine[0]) && kept(&lanes, &mine[1]));
    assert_eq!(lanes.tip(ValidatorIndex(0)), Some(after(&mine[1])), "{first:?} came first");
}

#[test]
fn joined_batches_have_precedence_over_those_behind_a_gap() {
    let mut lanes = lanes(1);
    let a = chain(0, START, 4, 20_000);
    for (at, batch) in a.iter().enumerate().skip(1) {
        assert_eq!(hold(&mut lanes, at as u64, batch.clone(), false), InsertOutcome::Held);
    }
    let far = chain(0, after(&a[3]), 2, 20_000);
    assert_eq!(hold(&mut lanes, 9, far[1].clone(), false), InsertOutcome::Held);
    assert_eq!(hold(&mut lanes, 10, a[0].clone(), false), InsertOutcome::Held);
    assert!(lanes.bytes(ValidatorIndex(0)) <= 100_000);
    assert!(lanes.held_ends()[0] >= 1, "{:?}", lanes.held_ends());
}

#[test]
fn lanes_know_which_transactions_their_batches_have() {
    let mut lanes = lanes(2);
    let both = [make(0, 0), make(0, 1)];
    let (mine, theirs) = (batch(0, 0, BatchDigest::ZERO, &both[..1]), batch(1, 0, BatchDigest::ZERO, &both));
    insert_all(&mut lanes, &[mine.clone(), theirs.clone()]);
    assert!(lanes.has_transaction(&both[0].0) && lanes.has_transaction(&both[1].0));
    lanes.finalized(&[START, after(&theirs)]);
    assert!(lanes.has_transaction(&both[0].0) && !lanes.has_transaction(&both[1].0));
    lanes.finalized(&[after(&mine), START]);
    assert!(!lanes.has_transaction(&both[0].0));
}

#[test]
fn only_a_listable_batch_keeps_its_transactions_out_of_other_lanes() {
    let mut lanes = lanes(1);
    let transactions = [make(0, 0), make(0, 1), make(0, 2), make(0, 3)];
    let first = batch(0, 0, BatchDigest::ZERO, &transactions[..1]);
    let second = batch(0, 1, first.digest, &transactions[1..2]);
    let stray = batch(0, 2, BatchDigest([9; 32]), &transactions[2..3]);
    let third = batch(0, 2, second.digest, &transactions[3..]);
    assert_eq!(lanes.insert(second.clone(), 0, false), InsertOutcome::Held);
    assert_eq!(lanes.insert(stray, 0, false), InsertOutcome::Held);
    assert!(lanes.joined().is_empty(), "what is before them isn't held");
    assert!(!transactions.iter().any(|(id, _)| lanes.has_transaction(id)));
    lanes.insert(first.clone(), 0, false);
    assert_eq!(lanes.joined(), [first.clone(), second.clone()]);
    assert!(lanes.joined().is_empty(), "told once");
    let known: Vec<bool> = transactions.iter().map(|(id, _)| lanes.has_transaction(id)).collect();
    assert_eq!(known, [true, true, false, false]);
    // Final blocks list the second batch: the stray one can't follow it, but the other one can.
    assert_eq!(lanes.finalized(&[after(&second)]).len(), 3);
    assert!(!transactions.iter().any(|(id, _)| lanes.has_transaction(id)));
    lanes.insert(third.clone(), 0, false);
    assert_eq!((lanes.joined(), lanes.has_transaction(&transactions[3].0)), (vec![third], true));
}

#[test]
fn a_batch_whose_previous_may_still_come_is_kept() {
    let mut lanes = lanes(1);
    let a = chain(0, START, 4, 10);
    lanes.insert(a[0].clone(), 0, false);
    lanes.insert(a[3].clone(), 3, false);
    lanes.finalized(&[after(&a[0])]);
    insert_all(&mut lanes, &a[1..3]);
    assert_eq!(lanes.held_ends(), [4]);
}

#[test]
fn stateless_rules_of_a_batch() {
    let parameters = Parameters { batch_transactions_max: 2, batch_bytes_max: 1_000, ..Parameters::default() };
    let some: Vec<_> = (0..3).map(|nonce| make(0, nonce)).collect();
    let body =
        |seq, previous, transactions: &[(TxId, Shared)]| batch(0, seq, previous, transactions).batch.body.clone();
    let check = |body: &BatchBody| check_batch(body, CHAIN, ShardId(0), Epoch(0), Rules::NEWEST, &parameters);
    let good = body(0, BatchDigest::ZERO, &some[..2]);
    assert_eq!(check(&good), Ok(weigh(Rules::NEWEST, &good.transactions)));
    assert!(matches!(check(&body(0, BatchDigest::ZERO, &some)), Err(BatchRefused::OverCaps { signatures: 3, .. })));
    assert_eq!(check(&body(0, BatchDigest::ZERO, &[])), Err(BatchRefused::Empty));
    assert_eq!(check(&body(1, BatchDigest::ZERO, &some[..1])), Err(BatchRefused::BadLink));
    assert_eq!(check(&body(0, BatchDigest([1; 32]), &some[..1])), Err(BatchRefused::BadLink));
    let large = sign(0, self::body(0, 0, 2_000));
    assert!(matches!(check(&body(0, BatchDigest::ZERO, &[large])), Err(BatchRefused::OverCaps { .. })));
    let place = |change: fn(&mut BatchBody)| {
        let mut changed = good.clone();
        change(&mut changed);
        check(&changed)
    };
    assert_eq!(place(|b| b.chain = ChainId::ZERO), Err(BatchRefused::WrongPlace));
    assert_eq!(place(|b| b.shard = ShardId(1)), Err(BatchRefused::WrongPlace));
    assert_eq!(place(|b| b.epoch = Epoch(1)), Err(BatchRefused::WrongPlace));
    let foreign = sign(0, TransactionBody { chain: ChainId::ZERO, ..self::body(0, 0, 1) });
    assert_eq!(check(&body(0, BatchDigest::ZERO, &[foreign])), Err(BatchRefused::WrongPlace));
}

/// Releases that know only version 1 can't read a later operation, so a batch with one is invalid on their chains.
#[test]
fn a_batch_has_the_operations_that_its_chain_knows() {
    let later = batch(0, 0, BatchDigest::ZERO, &[sign(0, common::proven(0, 0))]).batch.body.clone();
    let check = |rules| check_batch(&later, CHAIN, ShardId(0), Epoch(0), rules, &Parameters::of(rules));
    assert_eq!(check(Rules::V1), Err(BatchRefused::LaterOperation));
    assert!(check(Rules::V2).is_ok());
}

/// V15: a form that the chain's version lacks makes the batch invalid, whatever stands beside it.
#[test]
fn a_batch_has_the_forms_that_its_chain_knows() {
    let second = common::second(0, 1, &[], |_| ());
    for listed in [vec![second.clone()], vec![make(0, 0), second]] {
        let body = batch(0, 0, BatchDigest::ZERO, &listed).batch.body.clone();
        let check = |rules| check_batch(&body, CHAIN, ShardId(0), Epoch(0), rules, &Parameters::of(rules));
        assert_eq!(check(Rules::V1), Err(BatchRefused::LaterForm));
        assert!(check(Rules::V2).is_ok());
    }
    let change = common::second(0, 0, &[], |body| {
        body.data = BoundedVec::new(vec![Operation2::CancelAuthority]).unwrap();
    });
    let body = batch(0, 0, BatchDigest::ZERO, &[change]).batch.body.clone();
    assert!(check_batch(&body, CHAIN, ShardId(0), Epoch(0), Rules::V2, &Parameters::default()).is_ok());
}

/// V20: each signature counts as a transaction does.
#[test]
fn a_batch_asks_for_no_more_signatures_than_transactions_of_one_each() {
    let parameters = Parameters { batch_transactions_max: 9, ..Parameters::default() };
    let check = |transactions: &[(TxId, Shared)]| {
        let body = batch(0, 0, BatchDigest::ZERO, transactions).batch.body.clone();
        let checked = check_batch(&body, CHAIN, ShardId(0), Epoch(0), Rules::NEWEST, &parameters);
        assert_eq!(signatures_fit(&body, &parameters), checked.is_ok());
        checked.map(|weight| weight.transactions)
    };
    let eight = common::second(0, 1, &[1, 2, 3, 4, 5, 6, 7], |_| ());
    assert_eq!(check(&[make(0, 0), eight.clone()]), Ok(2));
    let refused = check(&[make(0, 0), make(1, 0), eight]);
    assert!(matches!(refused, Err(BatchRefused::OverCaps { signatures: 10, .. })));
}

fn body(sender: usize, nonce: u64, bytes: usize) -> TransactionBody {
    common::body(sender, nonce, bytes)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn in_any_order_of_arrival_extended_batches_can_be_served_and_sums_agree(
        order in Just((0..18usize).collect::<Vec<_>>()).prop_shuffle(),
        come in 0usize..18,
        transactions in 1u32..20,
        listed in 0u32..10,
    ) {
        let mut lanes = lanes(3);
        let made: Vec<_> = (0..3).flat_map(|lane| chain(lane, START, 6, 10 * usize::from(lane))).collect();
        for at in &order[..come] {
            lanes.insert(made[*at].clone(), *at as u64, false);
        }
        let parent = lanes.extend(&[START; 3], &BlockCaps { transactions: listed, ..caps() }, |_| None).cursors;
        let caps = BlockCaps { transactions, ..caps() };
        let extension = lanes.extend(&parent, &caps, |_| None);
        prop_assert!(extension.transactions <= transactions);
        let payload = lanes.payload(&parent, &extension.cursors).unwrap();
        prop_assert_eq!(payload.iter().map(Vec::len).sum::<usize>(), extension.transactions as usize);
        let weight = lanes.weight(&parent, &extension.cursors).unwrap();
        let sums = (extension.transactions, extension.work, extension.bytes);
        prop_assert_eq!((weight.transactions, weight.work, weight.bytes), sums);
        prop_assert_eq!(lanes.listable(&parent), extension.transactions > 0);
        prop_assert!(extension.cursors.iter().zip(lanes.held_ends()).all(|(cursor, held)| cursor.next_seq <= held));
        let held_before: Vec<_> = lanes.held_ends();
        let gone = lanes.finalized(&extension.cursors).len();
        prop_assert_eq!(gone, extension.cursors.iter().map(|cursor| cursor.next_seq as usize).sum::<usize>());
        prop_assert_eq!(lanes.held_ends(), held_before);
    }
}

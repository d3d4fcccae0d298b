//! R48 and R49: clocks that are wrong, or jump, delay neither blocks nor transactions.

use crate::chain;
use crate::net::Net;
use proptest::prelude::*;
use rustorium_shard::Event;
use rustorium_shard::port::PayloadStatus;
use rustorium_storage::Store;
use rustorium_types::{Header, TxId};
use std::collections::{HashMap, HashSet};

const HOUR_MS: i64 = 3_600_000;
/// Duration of a view without a proposal, or with one that nobody accepts: three times the release's Δ.
const LOST_VIEW_US: u64 = 300_000;

/// Returns a net whose clocks are `ms` ahead and whose first block is final.
fn ahead(ms: i64) -> Net {
    let mut net = Net::new();
    net.clocks_ms = vec![ms; 4];
    net.submit_until(1, chain::account_of_lane(1), net.now_at(1).wall_ms + HOUR_MS as u64);
    net.run();
    assert_eq!(net.height(0), 1);
    assert_eq!(tip(&net).time_ms, net.now_at(0).wall_ms);
    net
}

fn tip(net: &Net) -> Header {
    net.store(0).tip().unwrap().header
}

/// Sends a transaction that is valid for an hour of the chain's time to its home.
fn send(net: &mut Net, lane: usize) -> TxId {
    let expires_at_ms = tip(net).time_ms + HOUR_MS as u64;
    net.submit_until(lane, chain::account_of_lane(lane), expires_at_ms)
}

/// Gives up views without a block until a transaction is final everywhere; returns the ms.
fn until_final(net: &mut Net, id: &TxId) -> u64 {
    let start_us = net.now.us;
    while !(0..4).all(|index| net.is_final(index, id)) {
        assert!(net.now.us < start_us + 120_000_000, "not final within two minutes");
        net.advance(LOST_VIEW_US);
        if !net.is_final(0, id) {
            net.nullify();
        }
    }
    (net.now.us - start_us) / 1000
}

#[test]
fn clocks_that_are_set_back_by_a_minute_or_an_hour_hold_up_no_block() {
    for ahead_ms in [60_000, HOUR_MS] {
        let mut net = ahead(ahead_ms);
        net.clocks_ms = vec![0; 4];
        let before = tip(&net);
        let id = send(&mut net, 2);
        let took_ms = until_final(&mut net, &id);
        assert!(took_ms < 30_000, "{took_ms} ms after a step of {ahead_ms} ms");
        assert_eq!(
            tip(&net).time_ms,
            before.time_ms + (tip(&net).height.0 - before.height.0),
            "time stands nearly still"
        );
    }
}

#[test]
fn clocks_of_f_plus_one_that_are_set_back_hold_up_no_block() {
    for ahead_ms in [60_000, HOUR_MS] {
        for back in [[0, 1], [1, 2], [0, 2]] {
            let mut net = ahead(ahead_ms);
            back.iter().for_each(|index| net.clocks_ms[*index] = 0);
            for lane in 0..4 {
                let id = send(&mut net, lane);
                let took_ms = until_final(&mut net, &id);
                assert!(took_ms < 30_000, "{took_ms} ms after a step of {ahead_ms} ms at {back:?}");
            }
        }
    }
}

#[test]
fn a_leader_whose_clock_is_ahead_loses_a_turn_and_not_the_next_one() {
    let mut net = Net::new();
    net.clocks_ms[1] = HOUR_MS;
    net.submit(1);
    net.advance(9_000);
    assert_eq!(net.nodes[0].core.statuses(1), [PayloadStatus::Pending]);
    net.nullify();
    for _ in 0..2 {
        net.advance(LOST_VIEW_US);
        net.submit(0);
        net.run();
    }
    let id = net.submit(1);
    net.run();
    assert!(net.is_final(0, &id) && tip(&net).proposer == chain::v(1), "{:?}", tip(&net));
    assert!(tip(&net).time_ms < net.now.wall_ms + 10);
}

#[test]
fn a_block_one_millisecond_above_its_parent_is_taken_whatever_the_clock_says() {
    let mut net = ahead(HOUR_MS);
    net.clocks_ms = vec![0; 4];
    let context = chain::context(&net.genesis, 2);
    let parent = tip(&net);
    for (above_ms, taken) in [(2, false), (1, true)] {
        let mut block = crate::forge::child(&context, &parent, 2);
        block.header.time_ms = parent.time_ms + above_ms;
        let to = usize::from(taken);
        net.inject(2, to, crate::forge::proposal(&context, &block));
        net.advance(9_000);
        let found = net.nodes[to].core.statuses(2).last() == Some(&PayloadStatus::Ready);
        assert_eq!(found, taken, "{above_ms} ms above");
    }
}

#[test]
fn a_clock_that_was_wrong_for_a_moment_does_not_affect_a_pool() {
    let mut net = Net::new();
    net.clocks_ms[0] = 2 * HOUR_MS;
    net.advance(100_000);
    net.submit_of(0, chain::account_of_lane(1));
    net.run();
    net.clocks_ms[0] = 0;
    net.ports(0).expired.clear();
    let id = net.submit(0);
    net.advance(1_000_000);
    assert_eq!(net.ports(0).expired, [], "it expires in an hour");
    assert!(net.is_final(0, &id));
}

#[test]
fn a_clock_that_is_behind_refuses_no_expiry_that_the_chain_allows() {
    let mut net = ahead(2 * HOUR_MS);
    net.clocks_ms = vec![0; 4];
    let ahead_ms = net.genesis.parameters.expiry_ahead_ms_max;
    let expires_at_ms = tip(&net).time_ms + ahead_ms;
    let id = submit_until(&mut net, 2, chain::account_of_lane(2), expires_at_ms);
    net.run();
    assert_eq!(net.ports(2).refused, []);
    until_final(&mut net, &id);
}

/// A client sends an account's first transaction, with an expiry.
fn submit_until(net: &mut Net, index: usize, account: usize, expires_at_ms: u64) -> TxId {
    let transaction = chain::put_until(&net.genesis, account, 0, expires_at_ms);
    let transactions = vec![chain::admitted(&transaction)];
    net.ports(index).events.push_back(Event::Transactions { transactions, from_client: true });
    chain::id_of(&transaction)
}

#[derive(Clone, Debug)]
enum Step {
    /// A node's clock is this far ahead from now on.
    Clock(usize, i64),
    /// This many milliseconds pass.
    Pass(u64),
    /// A node gets an account's transaction, which is valid for this long by the chain's time, and perhaps again.
    Submit(usize, usize, u64),
}

fn step() -> impl Strategy<Value = Step> {
    let clock = prop_oneof![Just(0), -5_000i64..5_000, -2 * HOUR_MS..2 * HOUR_MS];
    prop_oneof![
        2 => (0usize..4, clock).prop_map(|(index, ms)| Step::Clock(index, ms)),
        3 => (1u64..3_000).prop_map(Step::Pass),
        5 => (0usize..4, 0usize..8, 1u64..4_000).prop_map(|(index, account, ms)| Step::Submit(index, account, ms)),
    ]
}

/// Takes the transactions that a node reported as expired since the last call and hasn't executed.
fn told_expired(net: &mut Net, index: usize) -> Vec<TxId> {
    let ports = net.ports(index);
    let refused = ports.refused.drain(..).filter(|(_, why)| why.code() == "expired").map(|(id, _)| id);
    let told: Vec<TxId> = refused.chain(ports.expired.drain(..)).collect();
    told.into_iter().filter(|id| !net.is_final(index, id)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_transaction_reported_as_expired_is_never_executed(steps in prop::collection::vec(step(), 1..30)) {
        let mut net = Net::new();
        let (mut sent, mut told) = (HashMap::new(), HashSet::new());
        for step in steps {
            match step {
                Step::Clock(index, ms) => net.clocks_ms[index] = ms,
                Step::Pass(ms) => net.advance(ms * 1000),
                Step::Submit(index, account, ms) => {
                    let until_ms = *sent.entry(account).or_insert(tip(&net).time_ms + ms);
                    submit_until(&mut net, index, account, until_ms);
                    net.run();
                }
            }
            (0..4).for_each(|index| told.extend(told_expired(&mut net, index)));
        }
        net.clocks_ms = vec![0; 4];
        for _ in 0..12 {
            net.advance(LOST_VIEW_US);
            net.nullify();
        }
        prop_assert!(told.iter().all(|id| (0..4).all(|index| !net.is_final(index, id))));
    }
}

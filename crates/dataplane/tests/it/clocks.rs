//! R48 and R49: clocks that are wrong, or step, hold up neither blocks nor transactions.

use crate::chain;
use crate::net::Net;
use rustorium_dataplane::port::PayloadStatus;
use rustorium_types::{Header, TxId};

const HOUR_MS: i64 = 3_600_000;
/// How long a view without a proposal, or with one that nobody accepts, lasts here: three times the release's Δ.
const LOST_VIEW_US: u64 = 300_000;

/// One block is final at clocks that are so far ahead.
fn ahead(ms: i64) -> Net {
    let mut net = Net::new();
    net.clocks_ms = vec![ms; 4];
    net.submit(1);
    net.run();
    assert_eq!(net.height(0), 1);
    assert_eq!(tip(&net).time_ms, net.now_at(0).wall_ms);
    net
}

fn tip(net: &Net) -> Header {
    net.store(0).tip().unwrap().header
}

/// Goes on, giving up views that bring nothing, until a transaction is final everywhere. Returns how long that took, ms.
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
        let id = net.submit(2);
        let took_ms = until_final(&mut net, &id);
        assert!(took_ms < 30_000, "{took_ms} ms after a step of {ahead_ms} ms");
        assert_eq!(tip(&net).time_ms, before.time_ms + (tip(&net).height.0 - before.height.0), "time stands nearly still");
    }
}

#[test]
fn clocks_of_f_plus_one_that_are_set_back_hold_up_no_block() {
    for ahead_ms in [60_000, HOUR_MS] {
        for back in [[0, 1], [1, 2], [0, 2]] {
            let mut net = ahead(ahead_ms);
            back.iter().for_each(|index| net.clocks_ms[*index] = 0);
            for lane in 0..4 {
                let id = net.submit(lane);
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
    net.run();
    assert_eq!(net.nodes[0].core.statuses(1), [PayloadStatus::Pending]);
    net.nullify();
    for _ in 0..3 {
        net.advance(LOST_VIEW_US);
        net.submit(0);
        net.run();
    }
    let id = net.submit(1);
    net.run();
    assert!(net.is_final(0, &id) && tip(&net).proposer == chain::v(1), "{:?}", tip(&net));
    assert!(tip(&net).time_ms <= net.now.wall_ms);
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
        net.advance(6_000);
        let found = net.nodes[to].core.statuses(2).last() == Some(&PayloadStatus::Ready);
        assert_eq!(found, taken, "{above_ms} ms above");
    }
}

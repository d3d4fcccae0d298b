//! R47: a home validator that leaves transactions out delays them by little, and is noticed.

use crate::chain;
use crate::net::Net;
use rustorium_types::*;

/// A committee of `n` validators on the usual accounts.
fn committee_of(n: usize) -> Genesis {
    let mut genesis = chain::genesis();
    let one = genesis.validators.as_slice()[0].clone();
    let validator = |index: usize| Validator {
        name: BoundedBytes::new(format!("node-{index}").into_bytes()).unwrap(),
        validator_key: chain::validator_key(index).public(),
        node_key: crate::net::node_key(index),
        owner_key: rustorium_crypto::SigningKey::from_seed(&[index as u8 + 1; 32]).public(),
        ..one.clone()
    };
    genesis.validators = BoundedVec::new((0..n).map(validator).collect()).unwrap();
    genesis
}

/// How long a transaction takes, ms, that an honest node took for a home of which the first f in rank, all of them, are
/// `censors` of what others forward.
fn delay_ms(n: usize) -> u64 {
    let mut net = Net::on(committee_of(n), n);
    // Views with work, by which a node measures its step: here they take no time at all.
    for account in 0..4 {
        let home = rustorium_txpool::home_lane(&chain::account(account), Epoch(0), n);
        net.submit_of(usize::from(home.0), account);
        net.run();
    }
    assert!(net.height(0) > 0);
    let account = 10;
    let ranks = rustorium_txpool::lanes_by_rank(&chain::account(account), Epoch(0), n);
    let f = (n - 1) / 3;
    let censors: Vec<usize> = ranks[..f].iter().map(|v| usize::from(v.0)).collect();
    let taker = usize::from(ranks[n - 1].0);
    net.passes = Box::new(move |_, to, message| !censors.contains(&to) || !matches!(message, Message::Transactions(_)));
    let start_us = net.now.us;
    let id = net.submit_of(taker, account);
    while !net.is_final(taker, &id) {
        net.advance(1_000);
        assert!(net.now.us < start_us + 60_000_000, "not final within a minute at n = {n}");
    }
    (net.now.us - start_us) / 1000
}

/// A step is a view (here of no time), a round trip (none) and 50 ms; a batch is cut at once.
#[test]
fn any_number_of_censors_up_to_f_costs_two_steps_at_most() {
    for n in [4, 16, 31, 100] {
        let took_ms = delay_ms(n);
        println!("n = {n}: {took_ms} ms");
        assert!(took_ms <= 2 * 50 + 5, "{took_ms} ms at n = {n}");
    }
}

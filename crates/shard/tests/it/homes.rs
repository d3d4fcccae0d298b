//! R47: a home validator that leaves transactions out delays them by little, and is noticed.

use crate::chain;
use crate::net::Net;
use rustorium_shard::Event;
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

/// Returns how long it takes, ms, until an honest node's transaction is listed and, if `blocks`, final. The first f of
/// its sender's ranks censor what others forward, and the node is the last in rank.
fn delay_ms(n: usize, blocks: bool) -> u64 {
    let mut net = Net::on(committee_of(n), n);
    if blocks {
        // A view with work, by which a node measures its step: here it takes no time at all.
        let home = rustorium_txpool::home_lane(&chain::account(0), Epoch(0), &vec![0; n]);
        net.submit_of(usize::from(home.0), 0);
        net.run();
        assert_eq!(net.height(0), 1);
    } else {
        net.nobody_proposes();
    }
    let account = 10;
    let ranks = rustorium_txpool::lanes_by_rank(&chain::account(account), Epoch(0), &vec![0; n]);
    let f = (n - 1) / 3;
    let censors: Vec<usize> = ranks[..f].iter().map(|v| usize::from(v.0)).collect();
    let taker = usize::from(ranks[n - 1].0);
    net.passes = Box::new(move |_, to, message| !censors.contains(&to) || !matches!(message, Message::Transactions(_)));
    let start_us = net.now.us;
    let id = net.submit_of(taker, account);
    let listed = |net: &Net| net.log.iter().any(|(_, _, message)| lists(message, &id));
    while !(listed(&net) && (!blocks || net.is_final(taker, &id))) {
        net.advance(10_000);
        assert!(net.now.us < start_us + 60_000_000, "not listed within a minute at n = {n}");
    }
    (net.now.us - start_us) / 1000
}

fn lists(message: &Message, id: &TxId) -> bool {
    let Message::Batch(batch) = message else { return false };
    batch.body.transactions.iter().any(|transaction| chain::id_of(transaction) == *id)
}

/// A step is a view (here 0 ms), a round trip (0 ms) and 50 ms. A batch is cut at once.
#[test]
fn any_number_of_censors_up_to_f_costs_two_steps_at_most() {
    for n in [4, 16, 31] {
        let took_ms = delay_ms(n, true);
        println!("n = {n}: {took_ms} ms");
        assert!(took_ms <= 2 * 50 + 10, "{took_ms} ms at n = {n}");
    }
}

/// If no view was measured yet, a step counts 500 ms for it.
#[test]
fn two_steps_are_the_same_at_a_hundred_validators_and_before_the_first_view() {
    for n in [4, 100] {
        let took_ms = delay_ms(n, false);
        println!("n = {n}: {took_ms} ms");
        assert!(took_ms <= 2 * 550 + 10, "{took_ms} ms at n = {n}");
    }
}

/// Node 2 drops the transactions that it gets as their home. The node that accepts transactions for it is the last in
/// rank for this account.
fn with_a_censor(account: usize) -> (Net, usize) {
    let ranks = rustorium_txpool::lanes_by_rank(&chain::account(account), Epoch(0), &[0; 4]);
    let mut net = Net::new();
    net.passes = Box::new(|_, to, message| to != 2 || !matches!(message, Message::Transactions(_)));
    (net, usize::from(ranks[3].0))
}

fn left_out(net: &Net, index: usize) -> Vec<(usize, usize)> {
    let left_out = net.nodes[index].shard.homes_left_out(net.now);
    assert!(left_out.iter().all(|one| one.home == chain::v(2)));
    left_out.iter().map(|one| (one.missed, one.of)).collect()
}

fn forwarded(net: &Net, from: usize, to: usize) -> usize {
    net.between(from, to).filter(|message| matches!(message, Message::Transactions(_))).count()
}

/// Sends an account's next transaction, and waits until it counts for or against its home.
fn send(net: &mut Net, taker: usize, account: usize) {
    let id = net.submit_of(taker, account);
    for _ in 0..12 {
        net.advance(500_000);
        net.heartbeats();
    }
    assert!(net.is_final(taker, &id));
}

#[test]
fn a_home_that_drops_eight_of_sixteen_is_passed_over_for_ten_minutes_and_named() {
    let account = chain::account_of_lane(2);
    let (mut net, taker) = with_a_censor(account);
    for sent in 1..=8 {
        assert_eq!(left_out(&net, taker), []);
        send(&mut net, taker, account);
        assert_eq!(forwarded(&net, taker, 2), sent);
    }
    assert_eq!(left_out(&net, taker), [(8, 8)]);
    for _ in 0..63 {
        let id = net.submit_of(taker, account);
        net.advance(100_000);
        net.heartbeats();
        assert!(net.is_final(taker, &id), "it costs no step any more");
    }
    assert_eq!(forwarded(&net, taker, 2), 8);
    net.submit_of(taker, account);
    net.run();
    assert_eq!(forwarded(&net, taker, 2), 9, "each 64th is offered to it");
    for _ in 0..1_300 {
        net.advance(500_000);
        net.heartbeats();
    }
    assert_eq!(left_out(&net, taker), []);
    net.submit_of(taker, account);
    net.run();
    assert_eq!(forwarded(&net, taker, 2), 10);
}

#[test]
fn an_honest_home_is_never_blamed_and_neither_is_one_that_is_down() {
    let account = chain::account_of_lane(2);
    let (mut net, taker) = with_a_censor(account);
    net.passes = Box::new(|_, _, _| true);
    (0..20).for_each(|_| send(&mut net, taker, account));
    net.stop(2);
    for _ in 0..20 {
        net.submit_of(taker, account);
        net.advance(10_000_000);
        net.nullify();
    }
    assert_eq!(left_out(&net, taker), []);
}

/// A client gives the home one transaction and another node a second one with the same nonce.
#[test]
fn a_client_can_not_blame_a_home_with_nonces_that_it_can_not_list() {
    let account = chain::account_of_lane(2);
    let (mut net, taker) = with_a_censor(account);
    net.passes = Box::new(|_, _, _| true);
    for nonce in 0..20 {
        let first = chain::put(&net.genesis, account, nonce);
        let other = chain::put_until(&net.genesis, account, nonce, chain::START_MS + 3_000_000);
        for (index, transaction) in [(2, &first), (taker, &other)] {
            let event = Event::Transactions { transactions: vec![chain::admitted(transaction)], from_client: true };
            net.ports(index).events.push_back(event);
        }
        for _ in 0..12 {
            net.advance(500_000);
            net.heartbeats();
        }
        assert!(net.is_final(taker, &chain::id_of(&first)));
    }
    assert_eq!(left_out(&net, taker), []);
}

/// Returns how many copies of a transaction go to the next ranks after a step, while the lane of its home, node 2, is full.
/// `spread`: all members are of one region, so homes are spread over them.
fn copies_past_a_full_home(spread: bool) -> usize {
    let mut genesis = chain::genesis_with(Parameters { lane_window_batches: 1, ..Parameters::default() });
    let region = chain::account(0).region();
    let mut members = genesis.validators.to_vec();
    for (place, member) in members.iter_mut().enumerate() {
        member.region = if spread || place == 2 { region } else { region + 1 };
    }
    genesis.validators = BoundedVec::new(members).unwrap();
    let mut at_home = (0..chain::ACCOUNTS)
        .filter(|number| rustorium_txpool::home_lane(&chain::account(*number), Epoch(0), &[region; 4]) == chain::v(2));
    let mut net = Net::on(genesis, 4);
    net.nobody_proposes();
    net.submit_of(2, at_home.next().unwrap());
    net.run();
    net.submit_of(0, at_home.next().unwrap());
    net.run();
    assert_eq!(forwarded(&net, 0, 2), 1);
    net.advance(600_000);
    [1, 3].map(|to| forwarded(&net, 0, to)).iter().sum()
}

#[test]
fn what_a_full_home_has_no_room_for_goes_on_if_the_load_is_of_one_region() {
    assert_eq!(copies_past_a_full_home(true), 0, "all lanes are full where homes are spread");
    assert!(copies_past_a_full_home(false) > 0);
}

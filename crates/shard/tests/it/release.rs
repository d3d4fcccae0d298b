//! Random orders of work, syncs, stalls, power losses and lost frames. The ports assert that no vote leaves unsynced or
//! twice, that no two results differ, and that `release` keeps what a restart needs. These tests check that all nodes
//! end with the same chain.

use crate::chain::{N, account_of_lane};
use crate::net::Net;
use proptest::prelude::*;
use rustorium_storage::Store;

#[derive(Clone, Debug)]
enum Step {
    Submit(usize),
    Advance(u64),
    HoldDisk(usize, bool),
    HoldExecution(usize, bool),
    SyncStore(usize),
    PowerLoss(usize, u64),
    LoseStore,
    Deaf(usize),
    Hear,
    Nullify,
    Heartbeats,
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0..N;
    prop_oneof![
        6 => node.clone().prop_map(Step::Submit),
        4 => (0..40_000u64).prop_map(Step::Advance),
        1 => (node.clone(), any::<bool>()).prop_map(|(n, held)| Step::HoldDisk(n, held)),
        1 => (node.clone(), any::<bool>()).prop_map(|(n, held)| Step::HoldExecution(n, held)),
        4 => node.clone().prop_map(Step::SyncStore),
        1 => (node.clone(), 0..4u64).prop_map(|(n, kept)| Step::PowerLoss(n, kept)),
        1 => Just(Step::LoseStore),
        1 => node.prop_map(Step::Deaf),
        1 => Just(Step::Hear),
        2 => Just(Step::Nullify),
        1 => Just(Step::Heartbeats),
    ]
}

fn take(net: &mut Net, step: &Step) {
    match *step {
        Step::Submit(index) => {
            net.submit(index);
        }
        Step::Advance(us) => net.advance(us),
        Step::HoldDisk(index, held) => net.nodes[index].disk_held = held,
        Step::HoldExecution(index, held) => net.nodes[index].execution_held = held,
        Step::SyncStore(index) => {
            net.sync_store(index);
            net.run();
        }
        Step::PowerLoss(index, kept) => net.power_loss(index, kept),
        // Always the same node, so that it fetches again what the others hold.
        Step::LoseStore => net.lose_store(N - 1),
        Step::Deaf(index) => net.passes = Box::new(move |_, to, _| to != index),
        Step::Hear => net.passes = Box::new(|_, _, _| true),
        Step::Nullify => net.nullify(),
        Step::Heartbeats => net.heartbeats(),
    }
}

fn heal(net: &mut Net) {
    net.passes = Box::new(|_, _, _| true);
    for node in &mut net.nodes {
        (node.disk_held, node.execution_held) = (false, false);
    }
    for _ in 0..30 {
        net.heartbeats();
        for index in 0..N {
            let view = net.nodes[index].core.view;
            net.effects(index, vec![rustorium_shard::port::Effect::ResendVotes(view)]);
        }
        net.advance(400_000);
        net.nullify();
        net.advance(50_000);
        let tips: Vec<_> = (0..N).map(|index| net.store(index).tip().unwrap().digest).collect();
        let same = tips.iter().all(|tip| *tip == tips[0]);
        if same && net.nodes.iter().all(|node| !node.core.listable) {
            return;
        }
    }
    panic!("the nodes don't come together: heights {:?}", (0..N).map(|index| net.height(index)).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 400, ..ProptestConfig::default() })]
    #[test]
    fn nodes_always_agree_and_no_needed_record_is_released(
        tight: bool, steps in prop::collection::vec(step(), 1..60)
    ) {
        let mut net = if tight { Net::tight() } else { Net::new() };
        for step in &steps {
            take(&mut net, step);
        }
        heal(&mut net);
        for index in 0..N {
            net.sync_store(index);
        }
        net.run();
        for index in 0..N {
            net.power_loss(index, 0);
        }
        net.run();
        let fresh = net.submit_of(0, (account_of_lane(0) + 1..).find(|a| *a != account_of_lane(0) && (1..N).all(|l| *a != account_of_lane(l))).unwrap());
        heal(&mut net);
        prop_assert!((0..N).all(|index| net.is_final(index, &fresh)));
    }
}

#[test]
fn a_durable_store_lets_the_journal_go() {
    let mut net = Net::new();
    for _ in 0..20 {
        for index in 0..N {
            net.submit(index);
        }
        net.advance(40_000);
    }
    let before = net.ports(0).journal.len();
    net.sync_store(0);
    net.run();
    net.submit(1);
    net.advance(40_000);
    net.sync_store(0);
    net.run();
    assert!(net.ports(0).journal.len() < before / 4, "{} of {before} records are left", net.ports(0).journal.len());
}

//! Leaders of views in the vectors, and how the core uses them.

use crate::net::Net;
use crate::{chain, forge, steps};
use rustorium_quorum::{Leaders, leader_seed};
use rustorium_shard::context::Context;
use rustorium_shard::port::Input;
use rustorium_storage::Store;
use rustorium_types::{
    BlockDigest, ChainId, Epoch, Hash, Message, Operation, Rules, ShardId, ValidatorIndex, View, VoteKind,
};
use serde_json::{Value, json};
use std::path::PathBuf;

fn file() -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../tests/vectors/leaders.json")
}

/// (n, those that lead, seed, boundary, first view, views)
type Order = (u16, Vec<u16>, Option<u64>, u64, u64, u64);

fn orders() -> Vec<(&'static str, Order)> {
    let all = |n: u16| (0..n).collect::<Vec<_>>();
    vec![
        ("protocol version 1: by place", (4, all(4), None, 0, 1, 140)),
        ("by place, above a boundary", (7, all(7), None, 1001, 1002, 20)),
        ("drawn from 0", (4, all(4), Some(0), 0, 1, 140)),
        ("drawn, above a boundary", (7, all(7), Some(0x0123_4567_89ab_cdef), 1001, 1002, 64)),
        ("the largest seed", (31, all(31), Some(u64::MAX), 12, 13, 70)),
        ("three of seven lead, and in the full cycle all", (7, vec![6, 1, 3], Some(77), 50, 51 + 90, 15)),
        ("far on", (16, all(16), Some(1 << 63), 5, 1_000_000_007, 40)),
        ("alone", (1, all(1), Some(9), 0, 1, 3)),
    ]
}

fn leaders(order: &Order) -> Leaders {
    let (n, leading, seed, boundary, _, _) = order;
    let leading = leading.iter().copied().map(ValidatorIndex).collect();
    Leaders::new(usize::from(*n), *seed, View(*boundary)).led_by(leading)
}

fn cases() -> Vec<Value> {
    let mut cases: Vec<Value> = orders()
        .into_iter()
        .map(|(name, order)| {
            let schedule = leaders(&order);
            let (n, leading, seed, boundary, first, views) = order;
            let led: Vec<u16> = (first..first + views).map(|view| schedule.of(View(view)).0).collect();
            let seed = seed.map(|seed| format!("{seed:016x}"));
            json!({ "name": name, "type": "order", "n": n, "leaders": leading, "seed": seed,
                "boundary_view": boundary, "first_view": first, "order": led })
        })
        .collect();
    for (name, chain, epoch, root) in [("genesis", 1, 0, 2), ("an epoch", 1, 1, 3), ("far on", 0xff, 1 << 40, 0xfe)] {
        let seed = leader_seed(ChainId([chain; 32]), Epoch(epoch), Hash([root; 32]));
        let (chain, root) = (ChainId([chain; 32]).to_string(), Hash([root; 32]).to_string());
        cases.push(json!({ "name": name, "type": "seed", "chain": chain, "epoch": epoch, "root": root,
            "seed": format!("{seed:016x}") }));
    }
    cases
}

/// With `REGENERATE_VECTORS` in the environment the file is written again, as by `just regenerate-vectors`.
#[test]
fn orders_and_seeds_are_those_of_the_vectors() {
    let about = "Who leads which view, and what the order is drawn from: seeds are hexadecimal.";
    let how = "Written by `just regenerate-vectors`; a change here is a change of the protocol.";
    let value = json!({ "about": about, "how": how, "version": 1, "cases": cases() });
    if std::env::var_os("REGENERATE_VECTORS").is_some() {
        std::fs::write(file(), format!("{value:#}\n")).unwrap();
    }
    let found: Value = serde_json::from_str(&std::fs::read_to_string(file()).unwrap()).unwrap();
    assert_eq!(found, value);
}

#[test]
fn a_turn_names_its_cycle_and_whether_that_goes_over_all() {
    let leaders = Leaders::new(4, Some(3), View(10));
    let turn = |view| {
        let turn = leaders.turn(View(view));
        (turn.cycle, turn.full)
    };
    assert_eq!([turn(5), turn(11), turn(14), turn(15)], [(0, false), (0, false), (0, false), (1, false)]);
    assert_eq!([turn(134), turn(135), turn(138), turn(139)], [(30, false), (31, true), (31, true), (32, false)]);
}

/// One header determines the order: for the genesis epoch its own, for any other the boundary before it.
#[test]
fn chains_of_version_two_draw_leaders_from_the_boundarys_claim_and_those_of_version_one_never() {
    let genesis = chain::genesis();
    let first = Context::new(&genesis, ShardId::ROOT, None);
    assert_eq!(first.rules, Rules::V2);
    let seed = leader_seed(first.chain(), Epoch(0), first.genesis_root);
    assert_eq!(first.leaders, Leaders::new(4, Some(seed), View(0)));
    assert_eq!(Context::new(&genesis, ShardId::ROOT, None).led_by_place().leaders.seed(), None);

    let mut net = steps::net(4);
    steps::operate(&mut net, 0, vec![steps::remove(3)]);
    let change = steps::transition(&net, 0, 0);
    let old = Context::new(&net.genesis, ShardId::ROOT, None);
    let next = (old.after(&change).leaders, Leaders::new(3, None, change.boundary().view));
    assert_eq!((old.rules, old.leaders.seed(), next.0), (Rules::V1, None, next.1));

    let mut net = Net::of(4, steps::governed());
    steps::operate(&mut net, 0, vec![steps::remove(3), Operation::EndEpoch { epoch: Epoch(0) }]);
    let change = steps::transition(&net, 0, 0);
    let first = Context::new(&net.genesis, ShardId::ROOT, None);
    let seed = leader_seed(first.chain(), Epoch(1), change.boundary().result.root);
    let next = Leaders::new(3, Some(seed), change.boundary().view);
    assert_eq!(first.after(&change).leaders, next);
    let tip = net.store(0).tip().unwrap();
    let again = Context::at(&net.genesis, None, &**net.store(0), &tip.header).unwrap();
    assert_eq!(again.leaders, next, "after a restart");
}

#[test]
fn each_epoch_gives_the_core_its_leaders() {
    let mut net = steps::net(4);
    steps::operate(&mut net, 0, vec![steps::remove(3)]);
    let told = net.nodes[0].core.inputs.iter().filter_map(|input| match input {
        Input::Recovered { last_final, leaders, backoff, .. } => Some((last_final.view, leaders.clone(), *backoff)),
        _ => None,
    });
    let told: Vec<_> = told.collect();
    let boundary = told[1].0;
    assert!(boundary > View(0), "{told:?}");
    assert_eq!(told[0], (View(0), Leaders::new(4, None, View(0)), None));
    assert_eq!(told[1], (boundary, Leaders::new(3, None, boundary), Some(3)), "3 is what this core says of itself");
}

/// R17b (c): the core passes member 1 over, which leads views 1, 5 and 9.
#[test]
fn the_core_gets_one_proposal_of_a_skipped_leader_also_of_past_views() {
    let mut net = Net::new();
    let context = chain::context(&net.genesis, 1);
    let proposal = |view| forge::proposal(&context, &forge::child(&context, &context.genesis_header, view));
    let told = |net: &Net| -> Vec<u64> {
        let inputs = net.nodes[0].core.inputs.iter();
        inputs.filter_map(|input| if let Input::Proposed(view) = input { Some(view.0) } else { None }).collect()
    };
    net.inject(1, 0, proposal(9));
    net.run();
    assert!(told(&net).is_empty(), "nothing proves that view 9 is near");
    let body = forge::body(&context, VoteKind::Nullify, 40, BlockDigest::ZERO);
    net.inject(3, 0, Message::Certificate(Box::new(forge::certificate(body, &[1, 2, 3]))));
    net.run();
    for view in [9, 9, 5, 9] {
        net.inject(1, 0, proposal(view));
    }
    net.inject(2, 0, proposal(10));
    net.inject(2, 0, proposal(13));
    net.run();
    assert_eq!(told(&net), [9], "once, no older one, of those alone that are passed over, and by themselves");
    net.inject(1, 0, proposal(41));
    net.run();
    assert_eq!(told(&net), [9, 41]);
}

//! Root periods and claims on the state tree: which heights are rooted, and that headers certify nothing else.

use crate::chain::{N, context};
use crate::forge;
use crate::net::Net;
use crate::steps::{claim, rooted};
use rustorium_shard::Event;
use rustorium_shard::periods::{Period, Periods};
use rustorium_shard::port::{Input, PayloadStatus};
use rustorium_stages::inbox::Inbox;
use rustorium_stages::metrics::NodeMetrics;
use rustorium_stages::queue::Queue;
use rustorium_stages::rooter::{RootMetrics, Rooter};
use rustorium_state::tables::Tables;
use rustorium_storage::{Store, TreeStore};
use rustorium_types::{End, Hash, Header, Height, Message, Parameters, Report, ShardId, StateClaim};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// A chain of blocks with these times (ms) and numbers of transactions.
fn periods(blocks: &[(u64, u32)]) -> Periods {
    periods_with_boundary(blocks, None)
}

/// Same as `periods`, with an epoch's boundary at this height.
fn periods_with_boundary(blocks: &[(u64, u32)], boundary: Option<u64>) -> Periods {
    let parameters = Parameters { root_period_ms: 1_000, root_period_idle_ms: 20, ..Parameters::default() };
    let genesis = Net::new().genesis;
    let start = context(&genesis, 0).genesis_header.clone();
    let header = |(number, (time_ms, transactions)): (usize, &(u64, u32))| Header {
        height: Height(number as u64 + 1),
        time_ms: *time_ms,
        transactions: *transactions,
        end: if boundary == Some(number as u64 + 1) { End::Boundary } else { End::GoesOn },
        ..start.clone()
    };
    blocks
        .iter()
        .enumerate()
        .map(header)
        .fold(Periods::default(), |periods, header| periods.after(&header, &parameters))
}

fn ended(blocks: &[(u64, u32)]) -> Option<(u64, u64)> {
    periods(blocks).newest_at(Height(u64::MAX)).map(|Period { first, end }| (first.0, end.0))
}

#[test]
fn a_period_ends_with_its_time_below_the_block_that_reaches_it() {
    assert_eq!(ended(&[(100, 1), (500, 1), (1_099, 1)]), None);
    assert_eq!(ended(&[(100, 1), (500, 1), (1_100, 1)]), Some((1, 2)));
    assert_eq!(ended(&[(100, 0), (500, 0), (1_100, 0)]), Some((1, 2)), "an empty one ends too, but only with its time");
    assert_eq!(ended(&[(100, 1), (1_100, 1), (2_100, 1)]), Some((2, 2)));
}

#[test]
fn an_empty_block_ends_a_period_that_is_not_after_a_moment() {
    assert_eq!(ended(&[(100, 1), (119, 0)]), None);
    assert_eq!(ended(&[(100, 1), (120, 0)]), Some((1, 1)));
    assert_eq!(ended(&[(100, 1), (110, 0), (120, 0)]), Some((1, 2)));
    assert_eq!(ended(&[(100, 0), (120, 0), (200, 0)]), None, "nothing in it needs a root");
    assert_eq!(ended(&[(100, 1), (120, 0), (140, 0)]), Some((1, 1)), "what followed is empty");
}

/// The state at the end of an epoch has a root of its own, which can be shown to the next committee.
#[test]
fn an_epochs_boundary_ends_its_period_whatever_comes_next() {
    let ended = |boundary: u64, next: (u64, u32)| {
        let periods = periods_with_boundary(&[(100, 1), (101, 0), next], Some(boundary));
        periods.newest_at(Height(u64::MAX)).map(|Period { first, end }| (first.0, end.0))
    };
    for next in [(102, 0), (102, 1), (5_000, 1)] {
        assert_eq!(ended(2, next), Some((1, 2)), "{next:?}");
    }
    assert_eq!(ended(1, (102, 0)), Some((1, 1)));
    assert_eq!(ended(3, (102, 1)), None, "it ends below the block after it");
}

#[test]
fn an_idle_chain_certifies_its_newest_state_with_one_more_block() {
    let mut net = rooted();
    let StateClaim::Rooted { height, first, root } = claim(&mut net) else { panic!("no state root was claimed") };
    assert_eq!((height, first), (Height(1), Height(1)));
    assert_ne!(root, Hash::ZERO);
    net.submit(2);
    net.advance(60_000);
    let header = net.store(0).tip().unwrap().header;
    assert_eq!((header.height, header.transactions), (Height(3), 1));
    assert_eq!(header.state, StateClaim::Rooted { height, first, root }, "a claim stands until there is a newer one");
}

/// R24: results may agree while trees differ.
#[test]
fn another_state_root_at_a_quorum_is_divergence() {
    let mut net = rooted();
    let tip = net.store(0).tip().unwrap();
    let (executed, root, rooted) = (tip.height, tip.result_root, Height(1));
    let report = Report { executed, root, rooted, state_root: Hash([3; 32]) };
    for (from, told) in [(1, 0), (2, 0), (3, 1), (3, 1)] {
        net.inject(from, 0, Message::Report(report));
        net.run();
        assert_eq!(net.saw(0, |input| matches!(input, Input::Diverged(_))), told);
    }
}

#[test]
fn a_claim_of_another_root_or_of_no_period_is_invalid_and_one_not_rooted_here_waits() {
    let mut net = rooted();
    net.nobody_proposes();
    let context = context(&net.genesis, 2);
    let parent = net.store(0).tip().unwrap();
    let honest = {
        let mut other = rooted();
        claim(&mut other)
    };
    let StateClaim::Rooted { height, first, root } = honest else { panic!("no state root was claimed") };
    let wrong = [
        StateClaim::Rooted { height, first, root: Hash([9; 32]) },
        StateClaim::Rooted { height, first: Height(0), root },
    ];
    let child = |time_ms: u64, state| {
        let mut block = forge::child(&context, &parent.header, 2);
        block.header.time_ms = block.header.time_ms.max(time_ms);
        block.header.result = rustorium_types::ResultClaim { height: Height(1), root: parent.result_root };
        block.header.state = state;
        block
    };
    let late = parent.header.time_ms + 40;
    for (peer, state) in [(0, wrong[0]), (1, wrong[1])] {
        net.inject(2, peer, forge::proposal(&context, &child(late, state)));
        net.run();
        assert_eq!(net.nodes[peer].core.statuses(2), [PayloadStatus::Invalid]);
    }
    net.inject(2, 3, forge::proposal(&context, &child(late, honest)));
    net.run();
    assert_eq!(net.nodes[3].core.statuses(2), [PayloadStatus::Ready]);
}

#[test]
fn restarted_nodes_check_claims_with_stored_periods_and_roots() {
    let mut net = rooted();
    for index in [0, 3] {
        net.sync_store(index);
        net.power_loss(index, 0);
    }
    net.advance(60_000);
    net.ports(2).events.push_back(Event::ClaimWanted(Height(1)));
    net.run();
    for index in 0..N {
        let header = net.store(index).tip().unwrap().header;
        assert!(matches!(header.state, StateClaim::Rooted { height: Height(1), .. }), "node {index}: {header:?}");
    }
}

/// A tree that was folded into the base and read back from there has the same later roots as one that was never folded.
#[test]
fn claims_of_final_headers_are_folded_into_the_base_and_survive_a_restart() {
    let mut net = rooted();
    let StateClaim::Rooted { root: first, .. } = claim(&mut net) else { panic!("no state root was claimed") };
    net.submit(2);
    net.advance(60_000);
    net.advance(20_000);
    let store: Arc<dyn Store> = net.store(0).clone();
    assert_eq!((store.tip().unwrap().height, store.tree_base().unwrap()), (Height(3), None));
    let open = || {
        let (events, inbox) = (Arc::<Queue<Event>>::default(), Arc::<Inbox>::default());
        let (tables, metrics) =
            (Arc::new(Tables::build(4).unwrap()), RootMetrics::new(&NodeMetrics::new(ShardId::ROOT)));
        let rooter =
            Rooter::new(store.clone(), tables, &net.nodes[0].shard.ports.context, events.clone(), inbox, metrics);
        let mut told = VecDeque::new();
        events.take(Some(Duration::ZERO), &mut told);
        let roots = told.into_iter().map(|event| match event {
            Event::Rooted(rooted) => (rooted.period.end, rooted.root),
            _ => panic!("only roots are told"),
        });
        (rooter.unwrap(), roots.collect::<Vec<_>>())
    };
    let (_, roots) = open();
    assert_eq!(roots.last(), Some(&(Height(1), first)), "found again on the way");
    assert_eq!(store.tree_base().unwrap(), Some(Height(1)));
    assert!(store.tree_writes(Height(1)).unwrap().is_none() && store.tree_writes(Height(3)).unwrap().is_some());
    let (mut again, roots) = open();
    assert_eq!(roots, [], "nothing below the base is rooted again");
    let ahead = again.rooting.root_ahead().unwrap().unwrap();
    assert_ne!(ahead.root, first);
    for index in 0..N {
        net.ports(index).events.push_back(Event::ClaimWanted(Height(3)));
    }
    net.run();
    let StateClaim::Rooted { height, root, .. } = net.store(0).tip().unwrap().header.state else { panic!("no claim") };
    assert_eq!((height, root), (ahead.period.end, ahead.root));
}

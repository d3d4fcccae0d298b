//! From version 1 to version 2 on a chain that runs: all nodes at one boundary, in one process.

use crate::catch_up::grow;
use crate::chain::{self, N, admitted, v};
use crate::net::Net;
use crate::steps::{epoch, goes_on, settle, transition};
use rustorium_crypto::block_digest;
use rustorium_execution::{Trust, hashes, plan_activation};
use rustorium_shard::Event;
use rustorium_shard::context::Context;
use rustorium_storage::Store;
use rustorium_types::*;

const HOUR_MS: u64 = 3_600_000;

/// Accounts 0 to 2 are the operators of a chain of version 1; two of them decide.
fn parameters() -> Parameters {
    let operators = BoundedVec::new((0..3).map(|number| chain::signer(number).public()).collect()).unwrap();
    Parameters { operators, operator_quorum: 2, ..Parameters::of(Rules::V1) }
}

/// Has an operator do something through node 0.
fn operate(net: &mut Net, operator: usize, operation: Operation) {
    let transaction = net.next_of(operator, vec![operation]);
    let event = Event::Transactions { transactions: vec![admitted(&transaction)], from_client: true };
    net.nodes[0].shard.ports.events.push_back(event);
    settle(net);
}

/// Puts the activation of an epoch's end by these operators.
fn put(net: &mut Net, epoch: u64, operators: &[usize]) {
    put_with(net, epoch, operators, |_| ());
}

/// Same as `put`, with other parameters.
fn put_with(net: &mut Net, epoch: u64, operators: &[usize], change: impl FnOnce(&mut Parameters)) {
    let hashes = hashes(&net.genesis, ShardId::ROOT);
    let place = (hashes.chain, Epoch(epoch));
    let mut body = plan_activation(&net.genesis.parameters, place, hashes.validator_set, None).unwrap();
    change(&mut body.parameters);
    for operator in operators {
        let value = chain::signer(*operator).sign_activation(body.clone()).to_bytes();
        let key = BoundedBytes::new(ACTIVATION_KEY.to_vec()).unwrap();
        let value = BoundedBytes::new(value).unwrap();
        operate(net, *operator, Operation::Put { namespace: chain::account(*operator), key, value });
    }
}

fn end(net: &mut Net, ended: u64) {
    for operator in 0..2 {
        operate(net, operator, Operation::EndEpoch { epoch: Epoch(ended) });
    }
    // A member that is away leads some views.
    for _ in 0..24 {
        if epoch(net, 0) == ended + 1 {
            return;
        }
        net.nullify();
        settle(net);
    }
    panic!("epoch {ended} doesn't end");
}

/// Returns the rules of the epoch in which a node is.
fn rules(net: &Net, index: usize) -> Rules {
    net.nodes[index].shard.ports.context.rules
}

fn net() -> Net {
    let mut net = Net::of(N, parameters());
    goes_on(&mut net, N);
    net
}

#[test]
fn all_nodes_go_on_by_version_two_after_the_boundary_that_shows_the_quorum() {
    let mut net = net();
    put(&mut net, 0, &[0, 2]);
    end(&mut net, 0);
    goes_on(&mut net, N);
    assert!((0..N).all(|index| (epoch(&net, index), rules(&net, index)) == (1, Rules::V2)));
    let tip = net.store(0).tip().unwrap().header;
    assert_eq!((tip.version, tip.epoch), (2, Epoch(1)));
    // Nodes may hold different quorums' votes for the boundary, and nothing else that differs.
    let shown = |index| {
        let EpochTransition::First(shown) = transition(&net, index, 0) else { panic!("it is the first") };
        let ReadProof { entries, others, state, header, proof: _ } = shown.activation;
        (shown.change.boundary, shown.change.next, shown.parameters, (entries, others, state, header))
    };
    assert!((1..N).all(|index| shown(index) == shown(0)));
    // The next boundary names a term.
    end(&mut net, 1);
    goes_on(&mut net, N);
    assert!(matches!(transition(&net, 0, 1), EpochTransition::Term(_)));
    assert!((0..N).all(|index| (epoch(&net, index), rules(&net, index)) == (2, Rules::V2)));
}

#[test]
fn a_light_client_follows_from_version_one_into_version_two() {
    let mut net = net();
    put(&mut net, 0, &[0, 2]);
    end(&mut net, 0);
    goes_on(&mut net, N);
    end(&mut net, 1);
    goes_on(&mut net, N);
    let anchor = Trust::genesis(&net.genesis);
    let first = anchor.follow(&transition(&net, 0, 0)).unwrap();
    assert_eq!((first.version, first.epoch), (2, Epoch(1)));
    let second = first.follow(&transition(&net, 0, 1)).unwrap();
    assert_eq!((second.version, second.epoch), (2, Epoch(2)));
    // The same end without its evidence is refused by who holds the next epoch's headers.
    let EpochTransition::First(shown) = transition(&net, 0, 0) else { panic!("it is the first") };
    let bare = anchor.follow(&shown.change.clone().into()).unwrap();
    assert_eq!((bare.version, bare.epoch), (1, Epoch(1)));
    let EpochTransition::Term(later) = transition(&net, 0, 1) else { panic!("it is a term's") };
    assert!(bare.check_final(&later.boundary, &later.proof).is_err());
    assert_eq!(first.check_final(&later.boundary, &later.proof), Ok(block_digest(&later.boundary)));
}

#[test]
fn a_boundary_without_the_quorum_goes_on_by_version_one() {
    let mut net = net();
    put(&mut net, 0, &[0]);
    end(&mut net, 0);
    goes_on(&mut net, N);
    assert!((0..N).all(|index| (epoch(&net, index), rules(&net, index)) == (1, Rules::V1)));
    // A value names one epoch: a second one for it comes too late, two for this epoch do not.
    put(&mut net, 0, &[2]);
    end(&mut net, 1);
    assert!((0..N).all(|index| rules(&net, index) == Rules::V1));
    put(&mut net, 2, &[1, 2]);
    end(&mut net, 2);
    goes_on(&mut net, N);
    assert!((0..N).all(|index| (epoch(&net, index), rules(&net, index)) == (3, Rules::V2)));
}

#[test]
fn a_node_that_was_away_decides_the_same_by_itself() {
    let mut net = net();
    put(&mut net, 0, &[0, 1]);
    net.stop(3);
    end(&mut net, 0);
    goes_on(&mut net, 3);
    net.reopen(3);
    for _ in 0..8 {
        settle(&mut net);
    }
    goes_on(&mut net, N);
    assert_eq!((epoch(&net, 3), rules(&net, 3)), (1, Rules::V2));
    assert_eq!(transition(&net, 3, 0), transition(&net, 0, 0), "it made the same evidence");
}

/// Makes all other nodes take a node's links for those of 0.2.0, which knows version 1 alone.
fn with_links_of_the_first_release(net: &mut Net, old: usize) {
    for index in (0..N).filter(|index| *index != old) {
        net.ports(index).link_versions.insert(v(old), link_version::FIRST);
    }
}

/// Returns the answers that a node got since `seen`.
fn answers_to(net: &Net, to: usize, seen: usize) -> Vec<Response> {
    let sent = net.log[seen..].iter().filter(|(_, node, _)| *node == to);
    let answer = |(_, _, message): &(usize, usize, Message)| match message {
        Message::Response { response, .. } => Some(response.clone()),
        _ => None,
    };
    sent.filter_map(answer).collect()
}

fn asks_how_it_ended(net: &mut Net, from: usize, epoch: u64) -> Response {
    let seen = net.log.len();
    net.inject(from, 0, Message::Request { id: 3, request: Request::EpochEnd(Epoch(epoch)) });
    net.run();
    let ends = |response: &Response| matches!(response, Response::EpochEnd(_) | Response::NotHeld);
    answers_to(net, from, seen).into_iter().find(ends).expect("it is answered")
}

#[test]
fn a_peer_of_the_first_release_is_shown_the_end_of_version_one_without_the_evidence() {
    let mut net = net();
    put(&mut net, 0, &[0, 1]);
    with_links_of_the_first_release(&mut net, 3);
    net.stop(3);
    end(&mut net, 0);
    goes_on(&mut net, 3);
    let EpochTransition::First(first) = transition(&net, 0, 0) else { panic!("it is the first") };
    let known = EpochTransition::from(first.change);
    let seen = net.log.len();
    net.reopen(3);
    settle(&mut net);
    let shown = answers_to(&net, 3, seen).into_iter().filter_map(|response| match response {
        Response::EpochEnd(change) => Some(change),
        _ => None,
    });
    let shown: Vec<EpochTransition> = shown.collect();
    assert!(!shown.is_empty(), "its heartbeats of an epoch that is over are answered");
    assert!(shown.iter().all(|change| matches!(change, EpochTransition::V1(_))));
    assert_eq!(asks_how_it_ended(&mut net, 3, 0), Response::EpochEnd(known));
}

#[test]
fn a_peer_of_the_first_release_is_never_shown_a_term() {
    let mut net = net();
    put(&mut net, 0, &[0, 1]);
    end(&mut net, 0);
    goes_on(&mut net, N);
    with_links_of_the_first_release(&mut net, 3);
    net.stop(3);
    end(&mut net, 1);
    let seen = net.log.len();
    net.reopen(3);
    settle(&mut net);
    assert_eq!(asks_how_it_ended(&mut net, 3, 1), Response::NotHeld);
    let ends = |response: &Response| matches!(response, Response::EpochEnd(_));
    assert!(!answers_to(&net, 3, seen).iter().any(ends));
}

#[test]
fn blocks_of_version_two_in_a_range_do_not_stop_a_node_that_knows_it() {
    let mut net = net();
    put(&mut net, 0, &[0, 1]);
    net.stop(3);
    end(&mut net, 0);
    grow(&mut net, 4);
    let store = net.store(0).clone();
    let below = (0..=store.tip().unwrap().height.0).rev().map(Height);
    let newest = below.filter_map(|height| store.finalization_at_or_above(height).unwrap()).next();
    let (last, finalization) = newest.expect("something is final");
    // All questions about final blocks are answered with all blocks up to the newest proven one, which are of two epochs.
    net.passes = Box::new(|_, to, message| {
        to != 3 || !matches!(message, Message::Response { response: Response::FinalBlocks { .. }, .. })
    });
    let mut seen = net.log.len();
    net.reopen(3);
    let mut answered = 0;
    for _ in 0..8 {
        net.advance(500_000);
        let asked: Vec<_> = net.log[seen..].iter().filter(|(from, ..)| *from == 3).cloned().collect();
        seen = net.log.len();
        for (_, to, message) in asked {
            let Message::Request { id, request: Request::FinalBlocks { first, .. } } = message else { continue };
            let heights = (first.0..=last.0).map(Height);
            let blocks = heights.map(|height| store.bare_block(height).unwrap().unwrap()).collect();
            let blocks = BoundedVec::new(blocks).unwrap();
            let response = Response::FinalBlocks { blocks, finalization: Some(finalization.clone()) };
            net.inject(to, 3, Message::Response { id, response });
            answered += 1;
        }
        net.run();
    }
    net.passes = Box::new(|_, _, _| true);
    assert!(answered > 0, "it asks for final blocks");
    settle(&mut net);
    assert_eq!(net.ports(3).ended, None);
    goes_on(&mut net, N);
    assert_eq!((epoch(&net, 3), rules(&net, 3)), (1, Rules::V2));
}

#[test]
fn a_restart_in_version_two_finds_it_in_the_store() {
    let mut net = net();
    put(&mut net, 0, &[0, 1]);
    end(&mut net, 0);
    goes_on(&mut net, N);
    let tip = net.store(2).tip().unwrap().header;
    let context = Context::at(&net.genesis, None, &**net.store(2), &tip).unwrap();
    assert_eq!((context.rules, context.epoch()), (Rules::V2, Epoch(1)));
    assert!(context.parameters.min_epoch_ms.is_some());
    net.stop(2);
    net.reopen(2);
    settle(&mut net);
    goes_on(&mut net, N);
    assert_eq!((epoch(&net, 2), rules(&net, 2)), (1, Rules::V2));
}

#[test]
fn a_node_of_version_one_knows_version_two_and_stops_at_later_ones_alone() {
    let net = net();
    let tip = net.store(0).tip().unwrap().header;
    let context = Context::at(&net.genesis, None, &**net.store(0), &tip).unwrap();
    let newer = |version| context.is_of_newer_version(&Header { version, ..tip.clone() });
    assert_eq!([1, 2, NEWEST_VERSION + 1].map(newer), [false, false, true]);
}

/// Parameters that nodes keep in several parts: the pool, lanes, root periods and the epoch's length.
fn others(parameters: &mut Parameters) {
    parameters.expiry_ahead_ms_max = 2 * HOUR_MS;
    parameters.batch_work_max /= 2;
    parameters.lane_window_batches = 8;
    parameters.block_transactions_max += 1;
    parameters.root_period_ms *= 3;
    parameters.root_period_idle_ms *= 2;
    parameters.epoch_ms *= 2;
    parameters.quota_work_per_s += 1;
}

/// Submits a transaction that is valid for so long to a node. Returns true if the node's pool takes it.
fn is_taken(net: &mut Net, node: usize, for_ms: u64) -> bool {
    let expires_at_ms = net.store(node).tip().unwrap().header.time_ms + for_ms;
    let id = net.submit_until(node, 5, expires_at_ms);
    settle(net);
    let refused = net.ports(node).refused.iter().any(|(other, _)| *other == id);
    net.nonces[5] -= u64::from(refused);
    !refused
}

#[test]
fn an_activation_changes_all_parameters_in_every_part_of_a_node() {
    let mut net = net();
    put_with(&mut net, 0, &[0, 1], others);
    let mut wanted = net.genesis.parameters.clone();
    others(&mut wanted);
    wanted.min_epoch_ms = Some(Parameters::epoch_age_of(net.genesis.parameters.epoch_ms));
    (wanted.capacity, wanted.operators_delay_ms) = (Some(Capacity::default()), Some(0));
    wanted.owners_recover_ms = Some(0);
    assert!(is_taken(&mut net, 1, 3 * HOUR_MS));
    end(&mut net, 0);
    goes_on(&mut net, N);
    assert!((0..N).all(|index| rules(&net, index) == Rules::V2));
    assert!((0..N).all(|index| net.nodes[index].shard.ports.context.parameters == wanted));
    for node in 0..N {
        assert!(!is_taken(&mut net, node, 3 * HOUR_MS), "the pool has the new bound");
        assert!(is_taken(&mut net, node, HOUR_MS));
    }
    // Each header's root period follows from the parameters of its epoch, also after a restart that reads both epochs.
    grow(&mut net, 4);
    net.stop(2);
    net.reopen(2);
    settle(&mut net);
    grow(&mut net, 12);
    goes_on(&mut net, N);
    let rooted = |header: &Header| match header.state {
        StateClaim::Rooted { height, .. } => height,
        StateClaim::NoneYet => Height(0),
    };
    let boundary = transition(&net, 0, 0).boundary().height;
    assert!((0..N).all(|index| rooted(&net.store(index).tip().unwrap().header) > boundary));
}

#[test]
fn a_light_client_takes_the_length_of_an_epoch_from_the_activation() {
    let mut net = net();
    put_with(&mut net, 0, &[0, 1], others);
    end(&mut net, 0);
    goes_on(&mut net, N);
    let first = Trust::genesis(&net.genesis).follow(&transition(&net, 0, 0)).unwrap();
    assert_eq!(first.epoch_ms, Some(2 * net.genesis.parameters.epoch_ms));
}

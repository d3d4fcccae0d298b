//! V3 and V4: which leaves may hold an activation, what a boundary decides, and the evidence of it.

use crate::chain::{self, admitted};
use crate::net::Net;
use crate::steps::{epoch, goes_on, settle};
use rustorium_execution::{ProofRefused, check_first_term, hashes, plan_activation};
use rustorium_shard::Event;
use rustorium_stages::activating::Activating;
use rustorium_stages::inbox::Inbox;
use rustorium_stages::metrics::NodeMetrics;
use rustorium_stages::owners_end::Plan;
use rustorium_stages::queue::Queue;
use rustorium_stages::replica::Replica;
use rustorium_stages::rooter::{RootMetrics, Rooter};
use rustorium_state::tables::Tables;
use rustorium_storage::{EpochStore, HistoryStore, MemStore, Store, TreeStore};
use rustorium_types::*;
use std::sync::{Arc, LazyLock};

static TABLES: LazyLock<Arc<Tables>> = LazyLock::new(|| Arc::new(Tables::build(4).unwrap()));

/// Accounts 0 to 2 are the operators of a chain of version 1; two of them decide.
fn parameters() -> Parameters {
    let operators = BoundedVec::new((0..3).map(|number| chain::signer(number).public()).collect()).unwrap();
    Parameters { operators, operator_quorum: 2, ..Parameters::of(Rules::V1) }
}

fn net() -> Net {
    let mut net = Net::of(4, parameters());
    goes_on(&mut net, 4);
    net
}

/// Moves the base of node 0's tree to the newest claimed root, as a start does.
fn fold(net: &Net) {
    let (events, inbox) = (Arc::<Queue<Event>>::default(), Arc::<Inbox>::default());
    let (store, metrics) = (net.store(0).clone(), RootMetrics::new(&NodeMetrics::new(ShardId::ROOT)));
    assert!(Rooter::new(store, TABLES.clone(), &net.nodes[0].shard.ports.context, events, inbox, metrics).is_ok());
}

fn plan(net: &Net, epoch: u64) -> ActivationBody {
    let hashes = hashes(&net.genesis, ShardId::ROOT);
    let place = (hashes.chain, Epoch(epoch));
    plan_activation(&net.genesis.parameters, place, hashes.validator_set, None).unwrap()
}

fn key() -> Key {
    BoundedBytes::new(ACTIVATION_KEY.to_vec()).unwrap()
}

fn put(operator: usize, body: &ActivationBody) -> Operation {
    let value = chain::signer(operator).sign_activation(body.clone()).to_bytes();
    Operation::Put { namespace: chain::account(operator), key: key(), value: BoundedBytes::new(value).unwrap() }
}

/// Has an operator do something.
fn operate(net: &mut Net, operator: usize, operation: Operation) {
    let transaction = net.next_of(operator, vec![operation]);
    let event = Event::Transactions { transactions: vec![admitted(&transaction)], from_client: true };
    net.nodes[0].shard.ports.events.push_back(event);
    settle(net);
}

/// Has two operators end the epoch. Returns how it ended.
fn end(net: &mut Net) -> EpochChange {
    let ended = epoch(net, 0);
    for operator in 0..2 {
        operate(net, operator, Operation::EndEpoch { epoch: Epoch(ended) });
    }
    assert_eq!(epoch(net, 0), ended + 1);
    match net.store(0).epoch(Epoch(ended)).unwrap().unwrap() {
        EpochTransition::V1(change) => *change,
        EpochTransition::First(first) => first.change,
        EpochTransition::Term(_) => panic!("the epoch is of a later version"),
    }
}

fn watch(net: &Net) -> Activating {
    Activating::new(&**net.store(0), &net.genesis.parameters, TABLES.clone()).unwrap().unwrap()
}

fn decided(net: &Net, activating: &Activating, change: &EpochChange) -> Option<ActivationBody> {
    let decided = activating.decide(&**net.store(0), &change.boundary, &net.genesis.parameters).unwrap();
    decided.map(|activated| activated.body)
}

#[test]
fn a_boundary_whose_state_shows_the_quorum_ends_version_one() {
    let mut net = net();
    let early = watch(&net);
    let body = plan(&net, 0);
    operate(&mut net, 0, put(0, &body));
    operate(&mut net, 2, put(2, &body));
    let change = end(&mut net);
    assert_eq!(decided(&net, &early, &change), None, "nobody noted the writes");
    let activating = watch(&net);
    assert_eq!(decided(&net, &activating, &change), Some(body.clone()));
    let store: Arc<dyn Store> = net.store(0).clone();
    let activated = activating.decide(&*store, &change.boundary, &net.genesis.parameters).unwrap().unwrap();
    let first = activating.first_term(&store, change, &net.genesis.parameters, &activated).unwrap();
    assert_eq!(check_first_term(&first), Ok(body));
    assert_eq!(store.epoch(Epoch(0)).unwrap(), Some(first.clone().into()), "the executor made the same");
    let bytes = encode(&EpochTransition::First(Box::new(first.clone())));
    assert_eq!(decode(&bytes, PROOF_BYTES_MAX), Ok(EpochTransition::First(Box::new(first))));
}

/// A chain whose first epoch ended version 1, by the values of operators 0 and 2.
fn activated() -> (Net, EpochChange, ActivationBody) {
    let mut net = net();
    let body = plan(&net, 0);
    operate(&mut net, 0, put(0, &body));
    operate(&mut net, 2, put(2, &body));
    let change = end(&mut net);
    (net, change, body)
}

fn first_term(net: &Net, activating: &Activating, change: &EpochChange) -> FirstTerm {
    let store: Arc<dyn Store> = net.store(0).clone();
    let activated = activating.decide(&*store, &change.boundary, &net.genesis.parameters).unwrap().unwrap();
    activating.first_term(&store, change.clone(), &net.genesis.parameters, &activated).unwrap()
}

#[test]
fn writes_after_the_start_are_noted() {
    let mut net = net();
    let activating = watch(&net);
    let body = plan(&net, 0);
    operate(&mut net, 0, put(0, &body));
    operate(&mut net, 2, put(2, &body));
    let change = end(&mut net);
    for height in 1..=change.boundary.height.0 {
        let writes = net.store(0).tree_writes(Height(height)).unwrap().unwrap();
        let written = writes.into_iter().map(|(key, _)| LeafWrite { key, name: Vec::new(), value: None });
        activating.note(&written.collect::<Vec<_>>());
    }
    assert_eq!(decided(&net, &activating, &change), Some(body));
}

#[test]
fn what_is_removed_above_the_claimed_state_still_decides() {
    let mut net = net();
    let body = plan(&net, 0);
    operate(&mut net, 0, put(0, &body));
    operate(&mut net, 2, put(2, &body));
    let leaves = [0, 2].map(|operator| rustorium_execution::activation_key(chain::account(operator)));
    let shown = |net: &Net| match net.store(0).tip().unwrap().header.state {
        StateClaim::Rooted { height, .. } => {
            net.store(0).values_at(height, &leaves).unwrap().iter().all(Option::is_some)
        }
        StateClaim::NoneYet => false,
    };
    while !shown(&net) {
        goes_on(&mut net, 4);
    }
    let claimed = net.store(0).tip().unwrap().header.state;
    operate(&mut net, 0, Operation::Delete { namespace: chain::account(0), key: key() });
    let boundary = Header { state: claimed, end: End::Boundary, ..net.store(0).tip().unwrap().header };
    assert_eq!(net.store(0).state(&leaves[0]).unwrap(), None);
    let decided = watch(&net).decide(&**net.store(0), &boundary, &net.genesis.parameters).unwrap();
    assert_eq!(decided.map(|activated| activated.body), Some(body));
}

#[test]
fn the_evidence_is_the_same_from_every_base() {
    let (net, change, body) = activated();
    let activating = watch(&net);
    let above = first_term(&net, &activating, &change);
    fold(&net);
    assert!(net.store(0).tree_base().unwrap().is_some());
    let at = first_term(&net, &activating, &change);
    assert_eq!(check_first_term(&at), Ok(body));
    assert_eq!(above, at);
    // A start that finds the root folded notes the same leaves.
    assert_eq!(first_term(&net, &watch(&net), &change), at);
}

#[test]
fn evidence_that_shows_less_is_refused() {
    let (net, change, _) = activated();
    let good = first_term(&net, &watch(&net), &change);
    let refused = |alter: &dyn Fn(&mut FirstTerm)| {
        let mut first = good.clone();
        alter(&mut first);
        check_first_term(&first).expect_err("it shows something else")
    };
    let entries = |first: &FirstTerm| first.activation.entries.clone().into_vec();
    let one = refused(&|first| first.activation.entries = BoundedVec::new(entries(first)[..1].to_vec()).unwrap());
    assert!(matches!(one, ProofRefused::State(_) | ProofRefused::NoActivation), "{one}");
    let other_value = refused(&|first| {
        let mut all = entries(first);
        all[0].1 = all[1].1.clone();
        first.activation.entries = BoundedVec::new(all).unwrap();
    });
    assert_eq!(other_value, ProofRefused::OtherValue(0));
    let other_quorum = refused(&|first| first.parameters.operator_quorum = 1);
    assert_eq!(other_quorum, ProofRefused::OtherSettings);
    assert!(matches!(refused(&|first| first.activation.header.view = View(0)), ProofRefused::NoActivation));
    let finalization = |first: &mut FirstTerm| first.activation.proof.finalization.body.view = View(0);
    assert!(matches!(refused(&finalization), ProofRefused::NoActivation));
    let key = StateKey { account: AccountId([9; 32]), name: [9; 32] };
    let more = refused(&|first| first.activation.others = BoundedVec::new(vec![key]).unwrap());
    assert!(matches!(more, ProofRefused::NoActivation));
}

#[test]
fn chains_that_cannot_activate_watch_nothing() {
    let store = MemStore::new();
    for parameters in [Parameters::of(Rules::V1), Parameters { state_roots: false, ..parameters() }] {
        assert!(Activating::new(&store, &parameters, TABLES.clone()).unwrap().is_none());
    }
}

/// Opens node 0's store as a start of this release does.
fn opened(net: &Net) -> Replica {
    let store: Arc<dyn Store> = net.store(0).clone();
    Replica::open(&net.genesis, ShardId::ROOT, store, (None, None), || Ok(TABLES.clone())).unwrap()
}

#[test]
fn a_home_of_the_first_release_goes_on_by_version_two_from_the_boundary() {
    let (net, change, body) = activated();
    let store = net.store(0);
    let first = store.epoch(Epoch(0)).unwrap();
    assert_eq!(store.tip().unwrap().header, change.boundary);
    // 0.2.0 stores a plain end, whatever operators put.
    store.put_epoch(&change.into()).unwrap();
    let context = opened(&net).context;
    assert_eq!((context.rules, context.epoch()), (Rules::V2, Epoch(1)));
    assert_eq!(context.parameters, body.parameters);
    assert_eq!(context.parameters_since, Epoch(1));
    assert_eq!(store.epoch(Epoch(0)).unwrap(), first, "with the evidence");
}

#[test]
fn owners_who_end_an_epoch_above_a_boundary_of_the_first_release_plan_it_by_version_two() {
    let (net, change, _) = activated();
    let store: Arc<dyn Store> = net.store(0).clone();
    let first = store.epoch(Epoch(0)).unwrap();
    store.put_epoch(&change.into()).unwrap();
    let refused = Plan::new(&net.genesis, &store, (Vec::new(), 0), || Ok(TABLES.clone())).err().unwrap();
    assert!(refused.sentence.contains("doesn't change the committee"), "{refused}");
    assert_eq!(store.epoch(Epoch(0)).unwrap(), first, "with the evidence");
}

#[test]
fn a_home_whose_boundary_showed_no_quorum_stays_at_version_one() {
    let mut net = net();
    let body = plan(&net, 0);
    operate(&mut net, 0, put(0, &body));
    let change = EpochTransition::from(end(&mut net));
    assert_eq!(opened(&net).context.rules, Rules::V1);
    assert_eq!(net.store(0).epoch(Epoch(0)).unwrap(), Some(change));
}

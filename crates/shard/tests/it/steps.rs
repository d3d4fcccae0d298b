//! Steps of several files' tests: through epochs and their ends, and to a certified state root.

use crate::chain::{self, N, admitted, id_of, validator_key};
use crate::net::{Net, node_key};
use rustorium_crypto::SigningKey;
use rustorium_shard::Event;
use rustorium_shard::port::Input;
use rustorium_storage::{EpochStore, Store};
use rustorium_types::*;
use std::cell::Cell;
use std::rc::Rc;

/// Account 0 is the one operator. Under version 1 a change needs no proof and counts at once; these tests are about how
/// an epoch ends, not when.
pub fn parameters() -> Parameters {
    Parameters { min_epoch_ms: None, ..governed() }
}

/// Same as `parameters`, under the newest rules.
pub fn governed() -> Parameters {
    let operators = BoundedVec::new(vec![chain::signer(0).public()]).unwrap();
    Parameters { operators, operator_quorum: 1, ..Parameters::default() }
}

pub fn net(count: usize) -> Net {
    Net::of(count, parameters())
}

pub fn validator(index: usize) -> Validator {
    Validator {
        name: BoundedBytes::new(format!("node-{index}").into_bytes()).unwrap(),
        validator_key: validator_key(index).public(),
        node_key: node_key(index),
        owner_key: SigningKey::from_seed(&[120 + index as u8; 32]).public(),
        region: 0,
        address: BoundedBytes::default(),
    }
}

pub fn add(index: usize) -> Operation {
    Operation::AddValidator { validator: validator(index) }
}

pub fn remove(index: usize) -> Operation {
    Operation::RemoveValidator { validator_key: validator_key(index).public() }
}

/// Sends these operations of the operator to a node, and runs what follows.
pub fn operate(net: &mut Net, node: usize, operations: Vec<Operation>) -> TxId {
    let transaction = net.next_of(0, operations);
    let event = Event::Transactions { transactions: vec![admitted(&transaction)], from_client: true };
    net.nodes[node].shard.ports.events.push_back(event);
    settle(net);
    id_of(&transaction)
}

pub fn settle(net: &mut Net) {
    for _ in 0..8 {
        net.advance(100_000);
        net.heartbeats();
    }
}

pub fn epoch(net: &Net, index: usize) -> u64 {
    net.nodes[index].core.epoch.0
}

pub fn transition(net: &Net, index: usize, epoch: u64) -> EpochTransition {
    net.store(index).epoch(Epoch(epoch)).unwrap().expect("the epoch is over")
}

/// Returns how an epoch of version 1 ended.
pub fn change(net: &Net, index: usize, epoch: u64) -> EpochChange {
    let EpochTransition::V1(change) = transition(net, index, epoch) else { panic!("the epoch is of a later version") };
    *change
}

/// Checks that a transaction of an account other than the operator's is executed on all nodes below `count`.
pub fn goes_on(net: &mut Net, count: usize) {
    let id = net.submit_of(0, 5);
    settle(net);
    for index in 0..count {
        assert!(net.is_final(index, &id), "node {index} at {} in epoch {}", net.height(index), epoch(net, index));
    }
}

/// Submits the operator's operations while one member is away, so the views that it leads are given up.
pub fn operate_through(net: &mut Net, operations: Vec<Operation>, wanted: u64) {
    operate(net, 0, operations);
    for _ in 0..24 {
        if epoch(net, 0) == wanted {
            return;
        }
        net.nullify();
        settle(net);
    }
    panic!("epoch {wanted} doesn't begin: {}, {:?}", epoch(net, 0), net.height(0));
}

/// Drops votes to finalize the boundary or one of the `closing` − 1 closing blocks above it.
pub fn lose_finality_of_the_end(net: &mut Net, closing: u64) {
    let boundary = Rc::new(Cell::new(None::<View>));
    let lost = move |message: &Message| {
        if let Message::Proposal(proposal) = message
            && proposal.header.ends_epoch()
        {
            boundary.set(boundary.get().or(Some(proposal.header.view)));
        }
        let lost = |body: &VoteBody| {
            let above = boundary.get().and_then(|boundary| body.view.0.checked_sub(boundary.0));
            body.kind == VoteKind::Finalize && above.is_some_and(|above| above < closing)
        };
        match message {
            Message::Vote(vote) => lost(&vote.vote.body),
            Message::Certificate(certificate) => lost(&certificate.body),
            Message::Heartbeat(heartbeat) => heartbeat.votes.iter().any(|vote| lost(&vote.body)),
            _ => false,
        }
    };
    net.passes = Box::new(move |_, _, message| !lost(message));
}

/// Submits these operations of the operator. Votes to finalize the boundary are lost, so closing blocks must follow it.
pub fn with_closing_blocks(net: &mut Net, operations: Vec<Operation>) {
    lose_finality_of_the_end(net, 1);
    operate_through(net, operations, 1);
    net.passes = Box::new(|_, _, _| true);
    settle(net);
}

/// Returns a net with one transaction on an idle chain, rooted ahead everywhere.
pub fn rooted() -> Net {
    let mut net = Net::new();
    net.submit(1);
    net.advance(60_000);
    net.advance(20_000);
    for index in 0..N {
        assert_eq!(net.saw(index, |input| *input == Input::RootReady(Height(1))), 1, "node {index}");
    }
    net
}

pub fn claim(net: &mut Net) -> StateClaim {
    for index in 0..N {
        net.ports(index).events.push_back(Event::ClaimWanted(Height(1)));
    }
    net.run();
    let header = net.store(0).tip().unwrap().header;
    assert_eq!((header.height, header.transactions), (Height(2), 0));
    assert!((0..N).all(|index| net.store(index).tip().unwrap().header == header));
    header.state
}

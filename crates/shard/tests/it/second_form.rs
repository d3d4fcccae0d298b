//! Transactions in the form of version 2, from a client to the store, and what traitors make of them.

use crate::chain::{account_of_lane, context, put, second, v, verified};
use crate::forge;
use crate::net::Net;
use rustorium_crypto::{id_on, payload_root};
use rustorium_shard::Event;
use rustorium_shard::port::PayloadStatus;
use rustorium_storage::Store;
use rustorium_types::*;

fn submit(net: &mut Net, index: usize, transaction: &Transaction) -> TxId {
    let chain = rustorium_crypto::chain_id(&net.genesis);
    let transactions = verified(chain, vec![transaction.clone()]);
    assert_eq!(transactions.len(), 1, "its signatures hold");
    let event = Event::Transactions { transactions, from_client: true };
    net.nodes[index].shard.ports.events.push_back(event);
    id_on(&chain, transaction)
}

/// A transaction of version 2 goes to its home lane, is listed, executed and stored with the bytes that its client sent. So
/// does one in the form of version 1 beside it.
#[test]
fn a_transaction_of_version_two_is_final_at_all_nodes() {
    let mut net = Net::new();
    let account = account_of_lane(2);
    let (first, transaction) = (put(&net.genesis, account, 0).into_inner(), second(&net.genesis, account, &[], 1));
    submit(&mut net, 0, &first);
    let id = submit(&mut net, 0, &transaction);
    net.advance(2_000_000);
    for index in 0..4 {
        let stored = net.store(index).transaction(&id).unwrap().expect("it is final");
        assert_eq!((&stored.transaction, stored.receipt.outcome), (&transaction, Outcome::Ok));
    }
}

#[test]
fn under_version_one_it_is_refused_and_a_batch_with_it_is_invalid() {
    let mut net = Net::with(Parameters::of(Rules::V1));
    net.traitor(3);
    net.nodes.iter_mut().for_each(|node| node.core.proposes = false);
    let transaction = second(&net.genesis, account_of_lane(0), &[], 0);
    submit(&mut net, 0, &transaction);
    net.advance(1_000_000);
    assert!(!net.log.iter().any(|(_, _, message)| matches!(message, Message::Batch(_))), "no lane lists it");
    for listed in [vec![transaction.clone()], vec![put(&net.genesis, 5, 0).into_inner(), transaction]] {
        let batch = forge::batch(&net.genesis, 3, 0, BatchDigest::ZERO, &listed);
        let digest = rustorium_crypto::batch_digest(&batch.body);
        net.inject(3, 0, Message::Batch(Box::new(batch)));
        net.run();
        let request = Request::Batch { lane: v(3), digest };
        net.inject(1, 0, Message::Request { id: 7, request });
        net.run();
        let held = |(from, to, message): &(usize, usize, Message)| {
            (*from, *to) == (0, 1) && matches!(message, Message::Response { id: 7, response: Response::Batch(_) })
        };
        assert!(!net.log.iter().any(held), "it isn't held");
    }
}

/// V20: signatures count as transactions do, and none of those over the limit is checked.
#[test]
fn a_batch_of_too_many_signatures_costs_no_check() {
    let mut net = Net::with(Parameters { batch_transactions_max: 8, ..Parameters::default() });
    net.traitor(3);
    net.nodes.iter_mut().for_each(|node| node.core.proposes = false);
    let eight = second(&net.genesis, 0, &[1, 2, 3, 4, 5, 6, 7], 0);
    let fits = forge::batch(&net.genesis, 3, 0, BatchDigest::ZERO, std::slice::from_ref(&eight));
    let previous = rustorium_crypto::batch_digest(&fits.body);
    let more = forge::batch(&net.genesis, 3, 1, previous, &[eight, put(&net.genesis, 9, 0).into_inner()]);
    for batch in [fits, more] {
        net.inject(3, 0, Message::Batch(Box::new(batch)));
        net.run();
    }
    assert_eq!(net.ports(0).batch_checks, 1);
}

/// Only owners who end an epoch list transactions beside the lanes in version 2, whatever their form; in version 1 there
/// is no other form.
#[test]
fn a_leader_lists_none_beside_the_lanes() {
    for rules in [Rules::V1, Rules::V2] {
        let mut net = Net::with(Parameters::of(rules));
        net.submit(1);
        net.advance(10_000);
        net.nobody_proposes();
        let context = context(&net.genesis, 2);
        let parent = net.store(0).tip().unwrap().header;
        let own = second(&net.genesis, 5, &[], 0);
        let mut block = forge::child(&context, &parent, 2);
        block.header.transactions = 1;
        block.header.declared_work = rustorium_execution::declared_work(Rules::NEWEST, &own);
        block.header.payload_root = payload_root(std::slice::from_ref(&own), &parent.cursors, &parent.cursors);
        block.inline = BoundedVec::new(vec![own]).unwrap();
        // The frame of version 1 is read in its form, so it is none.
        let proposal = forge::proposal(&context, &block).to_frame();
        let read = Message::from_frame(Class::Consensus, &proposal);
        if rules == Rules::V1 {
            assert!(!matches!(read, Ok(Message::Proposal(ref read)) if read.inline == block.inline));
            continue;
        }
        net.inject(2, 0, read.unwrap());
        net.advance(10_000);
        assert_eq!(net.nodes[0].core.statuses(2).last(), Some(&PayloadStatus::Invalid));
    }
}

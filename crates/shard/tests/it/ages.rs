//! R45: a wish for another committee ends an epoch once the epoch is old enough, by header time; operators may end it
//! earlier.

use crate::chain::{self, START_MS, validator_key};
use crate::forge;
use crate::net::{Net, node_key};
use crate::steps::{epoch, goes_on, governed, operate, settle, transition, validator};
use rustorium_crypto::{SigningKey, domain, signed_bytes};
use rustorium_execution::CommitteeRecord;
use rustorium_shard::Event;
use rustorium_shard::port::PayloadStatus;
use rustorium_storage::{EpochStore, Store};
use rustorium_types::*;

const AGE_MS: u64 = 10_000;

fn net(count: usize) -> Net {
    Net::of(count, Parameters { min_epoch_ms: Some(AGE_MS), ..governed() })
}

fn proven(net: &Net, owner_key: PublicKey, validator: &SigningKey, node: &SigningKey) -> Possession {
    let chain = rustorium_crypto::chain_id(&net.genesis);
    let body = PossessionBody { chain, owner_key, validator_key: validator.public(), node_key: node.public() };
    let signed = signed_bytes(domain::POSSESSION, &body);
    Possession { validator: validator.sign(&signed), node: node.sign(&signed) }
}

fn node_seed(index: usize) -> SigningKey {
    let key = SigningKey::from_seed(&[110 + index as u8; 32]);
    assert_eq!(key.public(), node_key(index));
    key
}

fn add(net: &Net, index: usize) -> Operation {
    let validator = validator(index);
    let possession = proven(net, validator.owner_key, &validator_key(index), &node_seed(index));
    Operation::AddProven { validator, possession }
}

fn at_ms(net: &mut Net, after_start_ms: u64) {
    let now_ms = net.now.wall_ms - START_MS;
    net.advance((after_start_ms - now_ms) * 1000);
}

#[test]
fn a_wish_ends_an_epoch_once_it_is_old_enough_and_without_anything_else_happening() {
    let mut net = net(5);
    goes_on(&mut net, 4);
    let wish = add(&net, 4);
    operate(&mut net, 0, vec![wish]);
    at_ms(&mut net, AGE_MS - 50);
    assert_eq!((0..5).map(|index| epoch(&net, index)).collect::<Vec<_>>(), [0; 5]);
    at_ms(&mut net, AGE_MS + 100);
    settle(&mut net);
    assert_eq!((0..5).map(|index| epoch(&net, index)).collect::<Vec<_>>(), [1; 5]);
    let boundary = transition(&net, 0, 0).boundary().clone();
    // The test's cores propose with their next heartbeat.
    assert!((AGE_MS..AGE_MS + 500).contains(&(boundary.time_ms - START_MS)), "{}", boundary.time_ms - START_MS);
    goes_on(&mut net, 5);
}

#[test]
fn operators_end_an_epoch_at_any_age() {
    let mut net = net(5);
    goes_on(&mut net, 4);
    let wish = add(&net, 4);
    operate(&mut net, 0, vec![wish]);
    assert_eq!(epoch(&net, 0), 0);
    operate(&mut net, 0, vec![Operation::EndEpoch { epoch: Epoch(0) }]);
    assert_eq!((0..5).map(|index| epoch(&net, index)).collect::<Vec<_>>(), [1; 5]);
    assert_eq!(transition(&net, 0, 0).validators().len(), 5, "the wish counts with it");
}

#[test]
fn a_leader_that_ends_an_epoch_too_young_or_not_at_its_age_is_refused() {
    let mut net = net(5);
    goes_on(&mut net, 4);
    let wish = add(&net, 4);
    operate(&mut net, 0, vec![wish]);
    net.nobody_proposes();
    net.nullify();
    let view = net.nodes[0].core.view.0;
    let leader = view as usize % 4;
    let others = (0..4).filter(|index| *index != leader).collect::<Vec<_>>();
    let context = chain::context(&net.genesis, leader);
    let tip = net.store(0).tip().unwrap();
    let record = CommitteeRecord::from_bytes(&net.store(0).committee_record(tip.header.height).unwrap().unwrap());
    let next = context.names_next(rustorium_crypto::set_hash(&record.unwrap().target));
    let block = |time_ms: u64, end: End| {
        let mut block = forge::child(&context, &tip.header, view);
        (block.header.time_ms, block.header.end, block.header.state) = (START_MS + time_ms, end, tip.header.state);
        block.header.result = ResultClaim { height: tip.header.height, root: tip.result_root };
        if end == End::Boundary {
            block.header.next_validator_set = next;
        }
        block
    };
    let cases = [
        (AGE_MS - 1, End::Boundary, PayloadStatus::Invalid),
        (AGE_MS, End::GoesOn, PayloadStatus::Invalid),
        (AGE_MS, End::Boundary, PayloadStatus::Ready),
    ];
    at_ms(&mut net, AGE_MS - 500);
    for (to, (time_ms, end, wanted)) in others.into_iter().zip(cases) {
        net.traitor(leader);
        net.inject(leader, to, forge::proposal(&context, &block(time_ms, end)));
        net.advance(10_000);
        assert_eq!(net.nodes[to].core.statuses(view).last(), Some(&wanted), "{time_ms} ms, {end:?}");
    }
}

/// The owner from the review, who replaces its keys as often as possible. It has one account and one validator.
#[test]
fn an_owner_that_replaces_its_keys_without_end_ends_no_epoch_before_its_age() {
    let minutes = 5;
    let mut net = Net::on(owned_by_account(1), 4);
    let mut key = validator_key(3);
    let mut sent = 0;
    while net.now.wall_ms < START_MS + minutes * 60_000 {
        sent += 1;
        let new = SigningKey::from_seed(&rustorium_crypto::hash(b"churn", &[&[sent as u8], &[(sent >> 8) as u8]]));
        let change = Operation::ReplaceProven {
            validator_key: key.public(),
            new_validator_key: new.public(),
            new_node_key: node_key(3),
            possession: proven(&net, chain::signer(1).public(), &new, &node_seed(3)),
        };
        let id = {
            let transaction = net.next_of(1, vec![change]);
            let event = Event::Transactions { transactions: vec![chain::admitted(&transaction)], from_client: true };
            net.nodes[0].shard.ports.events.push_back(event);
            chain::id_of(&transaction)
        };
        settle(&mut net);
        for _ in 0..8 {
            // In the views that the owner's validator should lead; its new key isn't a member's.
            if !net.is_final(0, &id) {
                net.nullify();
                settle(&mut net);
            }
        }
        assert!(net.is_final(0, &id), "{sent}");
        let tip = net.store(0).tip().unwrap().header.height;
        let record = net.store(0).committee_record(tip).unwrap().unwrap();
        let target = CommitteeRecord::from_bytes(&record).unwrap().target;
        if target.iter().any(|validator| validator.validator_key == new.public()) {
            key = new;
        }
    }
    let epochs = epoch(&net, 0);
    assert!(sent > 2 * epochs, "it tried {sent} times");
    assert!((2..=minutes * 60_000 / AGE_MS).contains(&epochs), "{epochs} epochs in {minutes} minutes");
}

/// Account 0 is the operator, and another account's key owns validator 3.
fn owned_by_account(number: usize) -> Genesis {
    let mut genesis = chain::genesis_with(Parameters { min_epoch_ms: Some(AGE_MS), ..governed() });
    let mut validators = genesis.validators.to_vec();
    validators[3].owner_key = chain::signer(number).public();
    genesis.validators = BoundedVec::new(validators).unwrap();
    genesis
}

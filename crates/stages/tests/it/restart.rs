//! R33: a committee that has lost more keys than it may goes on with the keys that its owners name.

use crate::chain::{self, N, validator_key};
use crate::net::{Net, node_key};
use crate::steps::{add, change, epoch, governed, net, settle, transition};
use rustorium_crypto::{
    SigningKey, block_digest, chain_id, domain, id_on, signed_bytes, verify_finalization, verify_owners,
};
use rustorium_execution::{Light, Trust};
use rustorium_shard::Event;
use rustorium_shard::context::Context;
use rustorium_stages::NodeError;
use rustorium_stages::block_proofs::block_proof;
use rustorium_stages::owners_end::Plan;
use rustorium_state::tables::Tables;
use rustorium_storage::{MemStore, Store};
use rustorium_types::*;
use std::sync::{Arc, LazyLock};

/// Small tables, which only a boundary of version 1 needs.
static TABLES: LazyLock<Arc<Tables>> = LazyLock::new(|| Arc::new(Tables::build(4).unwrap()));

fn owner(index: usize) -> SigningKey {
    SigningKey::from_seed(&[120 + index as u8; 32])
}

fn replace(index: usize, by: usize) -> Operation {
    Operation::ReplaceKey {
        validator_key: validator_key(index).public(),
        new_validator_key: validator_key(by).public(),
        new_node_key: node_key(by),
    }
}

/// A committee of four of which two are gone for good, and two followers that will take their places. Transactions sent
/// since then aren't final.
fn stuck() -> (Net, TxId) {
    let mut net = net(6);
    net.submit_of(0, 5);
    settle(&mut net);
    stuck_from(net)
}

/// Does the same with a net that runs.
fn stuck_from(mut net: Net) -> (Net, TxId) {
    net.stop(2);
    net.stop(3);
    let id = net.submit_of(0, 6);
    for _ in 0..3 {
        net.nullify();
        settle(&mut net);
    }
    assert!(net.height(0) > 0 && (0..2).all(|index| !net.is_final(index, &id)));
    (net, id)
}

fn plan(net: &Net, store: &Arc<MemStore>, transactions: &[Transaction]) -> Plan {
    made(net, store, transactions.to_vec()).unwrap()
}

fn made(net: &Net, store: &Arc<MemStore>, transactions: Vec<Transaction>) -> Result<Plan, NodeError> {
    let store: Arc<dyn Store> = store.clone();
    Plan::new(&net.genesis, &store, (transactions, net.now.wall_ms), || Ok(TABLES.clone()))
}

fn signed(plan: &Plan, owners: &[usize]) -> Vec<(ValidatorIndex, Signature)> {
    owners.iter().map(|at| (chain::v(*at), owner(*at).sign_vote(chain::v(*at), plan.body()).signature)).collect()
}

/// Stops a node and puts the plan with these changes and owners' signatures into its store.
fn put(net: &mut Net, index: usize, transactions: &[Transaction], owners: &[usize]) -> Plan {
    net.stop(index);
    let store = net.store(index).clone();
    let plan = plan(net, &store, transactions);
    let certificate = plan.certificate(signed(&plan, owners)).unwrap();
    plan.apply(&*store, &certificate).unwrap();
    plan
}

fn changes(net: &mut Net) -> Vec<Transaction> {
    vec![net.next_of(0, vec![replace(2, 4), replace(3, 5)]).into_inner()]
}

/// The committee's new members and the remaining ones make blocks.
fn goes_on(net: &mut Net, members: &[usize]) {
    let id = net.submit_of(members[0], 7);
    settle(net);
    for index in members {
        assert!(net.is_final(*index, &id), "node {index} at {} in epoch {}", net.height(*index), epoch(net, *index));
    }
}

#[test]
fn the_plan_put_into_the_stores_of_stopped_nodes_brings_the_chain_back() {
    let (mut net, _) = stuck();
    let transactions = changes(&mut net);
    let height = net.height(0);
    for index in 0..2 {
        put(&mut net, index, &transactions, &[0, 1, 3]);
        net.reopen(index);
    }
    settle(&mut net);
    // A follower gets the end from any node that has it.
    assert_eq!([0, 1, 4, 5].map(|index| epoch(&net, index)), [1; 4]);
    goes_on(&mut net, &[0, 1, 4, 5]);
    let end = change(&net, 4, 0);
    assert_eq!((end.boundary.height.0, end.boundary.transactions), (height + 2, 0));
    assert_eq!(end.next[2].validator_key, validator_key(4).public());
    // The lost nodes come back, and follow. The changes name the first one, whose key nobody has any more, as their
    // author.
    for index in [2, 3] {
        net.traitor(index);
        net.power_loss(index, 0);
        settle(&mut net);
        assert_eq!((epoch(&net, index), net.height(index)), (1, net.height(0)), "node {index}");
    }
    // The committee is the one that operators want, so no further end is due.
    settle(&mut net);
    assert_eq!(epoch(&net, 0), 1);
}

#[test]
fn members_that_run_take_the_end_from_one_that_has_it() {
    let (mut net, _) = stuck();
    let transactions = changes(&mut net);
    put(&mut net, 1, &transactions, &[0, 1, 2]);
    net.reopen(1);
    settle(&mut net);
    assert_eq!([0, 1, 4, 5].map(|index| epoch(&net, index)), [1; 4]);
    goes_on(&mut net, &[0, 1, 4, 5]);
}

#[test]
fn a_light_client_follows_the_owners_end_and_believes_the_new_committee_alone() {
    let (mut net, _) = stuck();
    let transactions = changes(&mut net);
    let plan = put(&mut net, 0, &transactions, &[1, 2, 3]);
    let store = net.store(0).clone();
    let end = change(&net, 0, 0);
    let genesis = Trust::genesis(&net.genesis);
    let after = genesis.follow(&end.clone().into()).unwrap();
    assert_eq!((after.epoch, after.digest), (Epoch(1), block_digest(&end.boundary)));
    assert_eq!(after.validators.as_slice(), plan.next.as_slice());
    let boundary = block_proof(&*store, end.boundary.height).unwrap().unwrap();
    assert_eq!(genesis.check_final(&end.boundary, &boundary), Ok(after.digest));
    let context = Context::new(&net.genesis, ShardId::ROOT, validator_key(1));
    assert_eq!(context.check_change(&end.clone().into()), Ok(()));
    // Any other end under the same signatures, and the same end under fewer signatures.
    let mut other = end.clone();
    other.boundary.time_ms += 1;
    assert!(genesis.follow(&other.clone().into()).is_err() && context.check_change(&other.into()).is_err());
    let mut few = end.clone();
    few.proof.finalization.signatures = BoundedVec::new(signed(&plan, &[1, 2])).unwrap();
    assert!(genesis.follow(&few.clone().into()).is_err() && context.check_change(&few.into()).is_err());
}

#[test]
fn owners_end_epochs_and_finalize_nothing_else() {
    let (mut net, _) = stuck();
    let transactions = changes(&mut net);
    let plan = plan(&net, net.store(0), &transactions);
    let (keys, owners) = (plan.context.committee.keys.clone(), plan.context.owners());
    let certified = |header: &Header, signer: &dyn Fn(usize) -> SigningKey| {
        let body = plan.context.committee.body(VoteKind::Finalize, header.view, block_digest(header));
        let signature = |at: usize| (chain::v(at), signer(at).sign_vote(chain::v(at), body).signature);
        let signatures = BoundedVec::new((0..3).map(signature).collect()).unwrap();
        verify_finalization(&keys, &owners, header, &Certificate { body, signatures }).is_some()
    };
    let [first, second] = plan.blocks.each_ref().map(|block| &block.header);
    assert!(certified(second, &owner) && certified(second, &validator_key) && certified(first, &validator_key));
    assert!(!certified(first, &owner), "a block with changes, which is no boundary");
    let closing = Header { end: End::Closing(plan.digests[1]), ..second.clone() };
    assert!(!certified(&closing, &owner));
    let listed = Header { transactions: 1, ..second.clone() };
    assert!(!certified(&listed, &owner), "a boundary with transactions, which its proposer could leave out");
    assert!(!certified(second, &|at| if at == 0 { validator_key(0) } else { owner(at) }), "some of each");
}

#[test]
fn an_invalid_plan_is_refused_with_its_reason() {
    let (mut net, _) = stuck();
    let store = net.store(0).clone();
    let refused = |net: &Net, transactions: Vec<Transaction>| {
        made(net, &store, transactions).err().map(|error| error.sentence).expect("refused")
    };
    assert!(refused(&net, Vec::new()).contains("doesn't change the committee"));
    let more = chain::sign(&net.genesis, 0, 0, vec![add(4)]).into_inner();
    assert!(refused(&net, vec![more]).contains("removes no member's key"));
    let put = net.next_put(8).into_inner();
    assert!(refused(&net, vec![put]).contains("does more than change the committee"));
    let mut bad = changes(&mut net);
    chain::forge_signature(&mut bad[0]);
    assert!(refused(&net, bad).contains("doesn't hold"));
    let late = net.next_of(0, vec![replace(2, 4)]).into_inner();
    assert!(refused(&net, vec![late]).contains("would be skipped"), "a nonce is missing below it");
    let stranger = chain::sign(&net.genesis, 9, 0, vec![replace(2, 4)]).into_inner();
    assert!(refused(&net, vec![stranger]).contains("would fail (NotAnOperator)"));
    let mut other = net.genesis.clone();
    other.time_ms += 1;
    let foreign = chain::sign(&other, 0, 0, vec![replace(2, 4)]).into_inner();
    assert!(refused(&net, vec![foreign]).contains("another chain's"));
    let good = chain::sign(&net.genesis, 0, 0, vec![replace(2, 4), replace(3, 5)]).into_inner();
    let plan = plan(&net, &store, &[good]);
    for (owners, reason) in [(&[0, 1][..], "2 of 3 owners"), (&[][..], "0 of 3 owners")] {
        let sentence = plan.certificate(signed(&plan, owners)).unwrap_err().sentence;
        assert!(sentence.contains(reason), "{sentence}");
    }
    let keys = (0..N).map(|at| (chain::v(at), validator_key(at).sign_vote(chain::v(at), plan.body()).signature));
    assert!(plan.certificate(keys.collect()).unwrap_err().sentence.contains("covers another plan"), "no owners");
    let one = [owner(0).public(); 4];
    let each = |at: usize| (chain::v(at), owner(0).sign_vote(chain::v(at), plan.body()).signature);
    let signatures = BoundedVec::new((0..3).map(each).collect()).unwrap();
    let of_one = Certificate { body: plan.body(), signatures };
    assert!(verify_owners(&one, &of_one).is_none(), "who owns many places is one owner");
    let twice = signed(&plan, &[0, 0, 1]);
    assert!(plan.certificate(twice).is_err(), "one owner counts once");
}

/// A transaction of a validator's owner as a sender of its own, by the key of an account's number.
fn by_owner(net: &Net, validator: u32, key: usize, nonce: u64, operation: Operation2) -> Transaction {
    let sender = SystemSender::Owner(validator).id();
    chain::second_of(&net.genesis, (&[key], &[key]), sender, nonce, vec![operation])
}

/// The number of the account that would have the first owner's key.
fn first_owner(index: usize) -> usize {
    assert_eq!(chain::signer(119 + index).public(), owner(index).public());
    119 + index
}

/// Other keys of a validator with this owner.
fn replaced(net: &Net, index: usize, by: usize, owner_key: PublicKey) -> Operation2 {
    let (validator, node) = (validator_key(by), SigningKey::from_seed(&[110 + by as u8; 32]));
    let chain = chain_id(&net.genesis);
    let body = PossessionBody { chain, owner_key, validator_key: validator.public(), node_key: node.public() };
    let signed = signed_bytes(domain::POSSESSION, &body);
    Operation2::ReplaceKey {
        validator_key: validator_key(index).public(),
        new_validator_key: validator.public(),
        new_node_key: node.public(),
        possession: Possession { validator: validator.sign(&signed), node: node.sign(&signed) },
    }
}

/// Another owner of a validator that has its first keys: the key of an account's number.
fn other_owner(net: &Net, index: usize, number: usize) -> Operation2 {
    let (validator_key, new) = (validator_key(index).public(), chain::signer(number));
    let (chain, owner_key) = (chain_id(&net.genesis), owner(index).public());
    let body = OwnerPossessionBody { chain, validator_key, owner_key, new_owner_key: new.public() };
    let possession = new.sign(&signed_bytes(domain::OWNER_POSSESSION, &body));
    Operation2::SetOwner { validator_key, new_owner_key: new.public(), possession }
}

/// V49: owners act as senders of their own, and those with which the epoch began sign its end.
#[test]
fn an_owner_that_came_in_the_epoch_acts_in_its_end_and_does_not_sign_it() {
    let mut net = Net::of(6, governed());
    net.submit_of(0, 5);
    let new = 150;
    let swapped = by_owner(&net, 3, first_owner(3), 0, other_owner(&net, 3, new));
    let (chain, id) = (chain_id(&net.genesis), id_on(&chain_id(&net.genesis), &swapped));
    let transactions = chain::verified(chain, vec![swapped]);
    net.ports(0).events.push_back(Event::Transactions { transactions, from_client: true });
    settle(&mut net);
    assert!(net.is_final(0, &id), "no account, no quota");
    let (mut net, _) = stuck_from(net);
    let new_key = chain::signer(new);
    let own = by_owner(&net, 2, first_owner(2), 0, replaced(&net, 2, 4, owner(2).public()));
    let other = by_owner(&net, 3, new, 1, replaced(&net, 3, 5, new_key.public()));
    let refused = |net: &Net, one: Transaction| made(net, net.store(0), vec![one]).err().expect("refused").sentence;
    let former = by_owner(&net, 3, first_owner(3), 1, replaced(&net, 3, 5, owner(3).public()));
    assert!(refused(&net, former).contains("would be skipped"), "the former owner doesn't act any more");
    let set = by_owner(&net, 2, first_owner(2), 0, other_owner(&net, 2, new));
    assert!(refused(&net, set).contains("does more than change the committee"));
    let account = chain::second(&net.genesis, 1, &[], 0);
    assert!(refused(&net, account).contains("isn't an owner's"));
    let transactions = [own, other];
    let plan = plan(&net, net.store(0), &transactions);
    let mut signatures = signed(&plan, &[0, 1]);
    signatures.push((chain::v(3), new_key.sign_vote(chain::v(3), plan.body()).signature));
    assert!(plan.certificate(signatures).unwrap_err().sentence.contains("covers another plan"));
    for index in 0..2 {
        put(&mut net, index, &transactions, &[0, 1, 3]);
        net.reopen(index);
    }
    settle(&mut net);
    assert_eq!([0, 1, 4, 5].map(|index| epoch(&net, index)), [1; 4]);
    goes_on(&mut net, &[0, 1, 4, 5]);
    let end = transition(&net, 4, 0);
    let members: Vec<_> = end.validators()[2..].iter().map(|one| (one.validator_key, one.owner_key)).collect();
    let expected = [(validator_key(4), owner(2)), (validator_key(5), new_key)];
    assert_eq!(members, expected.map(|(key, owner)| (key.public(), owner.public())));
    let mut light = Light::new(Trust::genesis(&net.genesis), None);
    assert_eq!(light.follow(&end, net.now.wall_ms), Ok(Epoch(1)));
}

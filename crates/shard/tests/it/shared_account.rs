//! An account that two of three keys act for, from its creation to its transactions, and what others make of them.

use crate::chain::{account, authority_of, second_of, verified};
use crate::forge;
use crate::net::Net;
use rustorium_crypto::{authority_account, chain_id, id_on};
use rustorium_shard::Event;
use rustorium_storage::Store;
use rustorium_types::*;

const HOLDERS: [usize; 3] = [50, 51, 52];

fn shared() -> AccountId {
    authority_account(0, &authority_of(2, &HOLDERS))
}

fn put(nonce: u64) -> Vec<Operation2> {
    let key = BoundedBytes::new(format!("key-{nonce}").into_bytes()).unwrap();
    vec![Operation2::Put { namespace: None, key, value: BoundedBytes::default() }]
}

fn signed_by(net: &Net, signers: &[usize], nonce: u64) -> Transaction {
    second_of(&net.genesis, (&HOLDERS, signers), shared(), nonce, put(nonce))
}

/// A client gives the transaction to a node.
fn submit(net: &mut Net, index: usize, transaction: &Transaction) -> TxId {
    let chain = chain_id(&net.genesis);
    let transactions = verified(chain, vec![transaction.clone()]);
    assert_eq!(transactions.len(), 1, "its signatures hold");
    net.ports(index).events.push_back(Event::Transactions { transactions, from_client: true });
    id_on(&chain, transaction)
}

/// A net with the shared account.
fn net() -> Net {
    let mut net = Net::new();
    let create = Operation2::CreateAccount { region: 0, authority: authority_of(2, &HOLDERS), storage_bytes: 10_000 };
    let creation = second_of(&net.genesis, (&[0], &[0]), account(0), 0, vec![create]);
    let id = submit(&mut net, 0, &creation);
    net.advance(2_000_000);
    assert_eq!(outcome(&net, &id), Some(Outcome::Ok));
    net
}

/// Returns the outcome of a transaction, which all nodes say alike.
fn outcome(net: &Net, id: &TxId) -> Option<Outcome> {
    let stored = (0..4).map(|index| net.store(index).transaction(id).unwrap().map(|stored| stored.receipt.outcome));
    let said: Vec<_> = stored.collect();
    assert!(said.windows(2).all(|pair| pair[0] == pair[1]), "{said:?}");
    said[0]
}

#[test]
fn any_two_of_three_holders_act_for_their_account() {
    let mut net = net();
    for (nonce, signers) in [[50, 51], [51, 52], [50, 52]].iter().enumerate() {
        let transaction = signed_by(&net, signers, nonce as u64);
        let id = submit(&mut net, nonce, &transaction);
        net.advance(2_000_000);
        assert_eq!(outcome(&net, &id), Some(Outcome::Ok), "{signers:?}");
    }
}

/// V24, V28: an authority that asks for one of the same keys isn't the account's. Pools refuse it, and in a traitor's batch
/// it uses no nonce.
#[test]
fn one_of_three_holders_does_nothing() {
    let mut net = net();
    let alone = signed_by(&net, &[50], 0);
    let id = submit(&mut net, 1, &alone);
    net.advance(1_000_000);
    let refused: Vec<_> = net.ports(1).refused.drain(..).collect();
    assert_eq!(refused.iter().map(|(one, why)| (*one, why.code())).collect::<Vec<_>>(), [(id, "wrong-key")]);
    net.traitor(3);
    let both = signed_by(&net, &[50, 51], 0);
    let batch = forge::batch(&net.genesis, 3, 0, BatchDigest::ZERO, &[alone, both.clone()]);
    for index in 0..3 {
        net.inject(3, index, Message::Batch(Box::new(batch.clone())));
    }
    net.advance(2_000_000);
    let both = id_on(&chain_id(&net.genesis), &both);
    assert_eq!((outcome(&net, &id), outcome(&net, &both)), (None, Some(Outcome::Ok)));
}

/// Two valid sets of signatures of one body have one id: it is executed once.
#[test]
fn other_signatures_of_the_same_body_execute_it_no_second_time() {
    let mut net = net();
    net.traitor(3);
    let one = signed_by(&net, &[50, 51], 0);
    let other = signed_by(&net, &[51, 52], 0);
    let chain = chain_id(&net.genesis);
    assert_eq!(id_on(&chain, &one), id_on(&chain, &other));
    let batch = forge::batch(&net.genesis, 3, 0, BatchDigest::ZERO, &[other]);
    for index in 0..3 {
        net.inject(3, index, Message::Batch(Box::new(batch.clone())));
    }
    let id = submit(&mut net, 0, &one);
    net.advance(2_000_000);
    assert_eq!(outcome(&net, &id), Some(Outcome::Ok));
    let next = signed_by(&net, &[50, 52], 1);
    let id = submit(&mut net, 0, &next);
    net.advance(2_000_000);
    assert_eq!(outcome(&net, &id), Some(Outcome::Ok), "one nonce was used");
}

/// V24, V29: an account changes its keys. What the former key signed for later goes from the pools at once, and the new keys'
/// transactions have its nonces.
#[test]
fn transactions_of_former_keys_leave_the_pools_with_a_change_of_keys() {
    let mut net = net();
    let own = |net: &Net, nonce| second_of(&net.genesis, (&[1], &[1]), account(1), nonce, put(nonce));
    let waiting = own(&net, 2);
    let waits = submit(&mut net, 0, &waiting);
    net.advance(1_000_000);
    let settings = AuthoritySettings { authority: authority_of(2, &HOLDERS), delay_ms: 0, recovery: None };
    let change = Operation2::SetAuthority { settings, void_grants: false };
    let change = second_of(&net.genesis, (&[1], &[1]), account(1), 0, vec![change]);
    let id = submit(&mut net, 0, &change);
    net.advance(2_000_000);
    assert_eq!(outcome(&net, &id), Some(Outcome::Ok));
    assert!(net.ports(0).given_up.contains(&waits));
    for nonce in [1, 2] {
        let transaction = second_of(&net.genesis, (&HOLDERS, &[51, 52]), account(1), nonce, put(nonce));
        let id = submit(&mut net, 0, &transaction);
        net.advance(2_000_000);
        assert_eq!(outcome(&net, &id), Some(Outcome::Ok), "{nonce}");
    }
    let former = own(&net, 3);
    let id = submit(&mut net, 0, &former);
    net.advance(1_000_000);
    assert!(net.ports(0).refused.iter().any(|(refused, why)| *refused == id && why.code() == "wrong-key"));
}

/// V24, V31: the recovery account begins a final recovery. What the account's keys signed leaves the pools at once, and its
/// transactions are refused until the recovery takes effect.
#[test]
fn transactions_of_a_frozen_account_leave_the_pools() {
    let mut net = net();
    let recovery = Some(Recovery { account: account(2), delay_ms: 3_600_000, is_final: true });
    let settings = AuthoritySettings { authority: authority_of(1, &[1]), delay_ms: 0, recovery };
    let set = Operation2::SetAuthority { settings, void_grants: false };
    let id = send(&mut net, 1, 0, set);
    assert_eq!(outcome(&net, &id), Some(Outcome::Ok));
    let waiting = send(&mut net, 1, 2, put(2).remove(0));
    assert!(net.ports(0).given_up.is_empty());
    let recover = Operation2::Recover { account: account(1), authority: authority_of(2, &HOLDERS) };
    let id = send(&mut net, 2, 0, recover);
    assert_eq!(outcome(&net, &id), Some(Outcome::Ok));
    assert!(net.ports(0).given_up.contains(&waiting));
    let frozen = send(&mut net, 1, 1, Operation2::CancelAuthority);
    assert!(net.ports(0).refused.iter().any(|(refused, why)| *refused == frozen && why.code() == "frozen"));
    let id = send(&mut net, 2, 1, Operation2::WithdrawRecovery { account: account(1) });
    assert_eq!(outcome(&net, &id), Some(Outcome::Ok));
    let thawed = send(&mut net, 1, 1, put(1).remove(0));
    assert_eq!(outcome(&net, &thawed), Some(Outcome::Ok));
}

/// An account of one key sends an operation by node 0, and two seconds pass.
fn send(net: &mut Net, number: usize, nonce: u64, operation: Operation2) -> TxId {
    let transaction = second_of(&net.genesis, (&[number], &[number]), account(number), nonce, vec![operation]);
    let id = submit(net, 0, &transaction);
    net.advance(2_000_000);
    id
}

/// Returns the bytes with one part in place of another.
fn with(bytes: &[u8], part: &[u8], other: &[u8]) -> Vec<u8> {
    let at = bytes.windows(part.len()).position(|window| window == part).unwrap();
    [&bytes[..at], other, &bytes[at + part.len()..]].concat()
}

/// V17: whoever hands a transaction on can neither add nor strip nor move a signature. No frame with such bytes is read, so
/// nothing of it is checked.
#[test]
fn a_relay_changes_no_signatures() {
    let net = net();
    let sound = signed_by(&net, &[50, 51], 0);
    let Transaction::V2(three) = signed_by(&net, &[50, 51, 52], 0) else { unreachable!("made in that form") };
    let Transaction::V2(second) = &sound else { unreachable!("made in that form") };
    let signatures = second.signatures();
    let third: Vec<_> =
        three.signatures().iter().filter(|one| !signatures.iter().any(|(at, _)| *at == one.0)).collect();
    let listed = |signatures: &[&(u8, Signature2)]| -> Vec<u8> {
        let each = signatures.iter().flat_map(|signature| encode(*signature));
        [signatures.len() as u8].into_iter().chain(each).collect()
    };
    let [first, last] = [&signatures[0], &signatures[1]];
    let own = listed(&[first, last]);
    let batch = forge::batch(&net.genesis, 3, 0, BatchDigest::ZERO, std::slice::from_ref(&sound));
    let frame = Message::Batch(Box::new(batch)).to_frame();
    assert!(Message::from_frame(Class::Data, &with(&frame, &own, &listed(&[first, last]))).is_ok());
    let mut added = vec![first, last, third[0]];
    added.sort_by_key(|signature| signature.0);
    for (changed, what) in [
        (listed(&[first]), "one of two"),
        (listed(&[last, first]), "in another order"),
        (listed(&[first, first]), "one key twice"),
        (listed(&added), "one more"),
        (listed(&[]), "none"),
    ] {
        assert!(Message::from_frame(Class::Data, &with(&frame, &own, &changed)).is_err(), "{what}");
        assert!(decode::<Transaction>(&with(&encode(&sound), &own, &changed), frame.len()).is_err(), "{what}");
    }
}

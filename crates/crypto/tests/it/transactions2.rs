//! Signatures of transactions of version 2: together and alone they agree, and the transactions with a bad one are named.

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;
use rustorium_crypto::{
    Addressed, Admitted, BatchFault, KnownSignatures, SigningKey, Verified, admit, authority_account, batch_fault,
    id_on, transaction2_bytes, transaction2_id, verify, verify_batch, verify_batches, verify_transactions, work_done,
};
use rustorium_types::{
    AccountId, Authority, BatchBody, BatchDigest, BoundedVec, ChainId, Epoch, ShardId, Signature2, SignatureFault,
    SignerKey, Transaction, Transaction2, TransactionBody, TransactionBody2, TxId, ValidatorIndex,
};

const CHAIN: ChainId = ChainId([1; 32]);

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

/// The keys of `count` seeds from this one on, as an authority orders them.
fn signers(first: u8, count: u8) -> Vec<SigningKey> {
    let mut keys: Vec<SigningKey> = (first..first + count).map(key).collect();
    keys.sort_unstable_by_key(SigningKey::public);
    keys
}

fn authority(threshold: u8, keys: &[SigningKey]) -> Authority {
    Authority::new(threshold, keys.iter().map(|key| SignerKey::Ed25519(key.public())).collect()).unwrap()
}

fn body(authority: Authority, nonce: u64) -> TransactionBody2 {
    TransactionBody2 {
        sender: AccountId([2; 32]),
        authority,
        nonce,
        expires_at_ms: 1000,
        work_limit: 10,
        shard_hint: None,
        location: None,
        data: BoundedVec::default(),
    }
}

/// A transaction that the first keys of its authority sign. `false_one` is the place of a signature that doesn't hold.
fn transaction(threshold: u8, keys: u8, nonce: u64, false_one: Option<u8>) -> Transaction2 {
    let keys = signers(1, keys);
    let body = body(authority(threshold, &keys), nonce);
    let sign = |(place, key): (u8, &SigningKey)| {
        let Signature2::Ed25519(mut signature) = key.sign_body2(&CHAIN, &body);
        signature[40] ^= u8::from(false_one == Some(place));
        (place, Signature2::Ed25519(signature))
    };
    let signatures = (0..threshold).zip(&keys).map(sign).collect();
    Transaction2::new(body.clone(), signatures).unwrap()
}

type Checked = Result<(TxId, Verified<Transaction>), Transaction>;

fn verified(transactions: Vec<Transaction2>) -> Vec<Checked> {
    verify_transactions(&CHAIN, transactions.into_iter().map(Transaction::V2).collect())
}

/// Tells if each signature holds by itself.
fn alone(transaction: &Transaction2) -> bool {
    let bytes = transaction2_bytes(&CHAIN, transaction.body());
    transaction
        .signed_by()
        .all(|(SignerKey::Ed25519(key), Signature2::Ed25519(signature))| verify(key, &bytes, signature))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bisection_names_exactly_the_transactions_with_a_bad_signature(
        thresholds in vec((1u8..=8, 0u8..4), 1..24),
        bad in btree_set((0usize..24, 0u8..8), 0..5),
    ) {
        let of = |(nonce, (threshold, more)): (usize, &(u8, u8))| {
            let bad = bad.iter().find(|(place, signature)| *place == nonce && signature < threshold);
            transaction(*threshold, (threshold + more).min(8), nonce as u64, bad.map(|(_, signature)| *signature))
        };
        let all: Vec<Transaction2> = thresholds.iter().enumerate().map(of).collect();
        let results = verified(all.clone());
        prop_assert_eq!(results.len(), all.len());
        for (result, transaction) in results.into_iter().zip(&all) {
            match result {
                Ok((id, good)) => {
                    prop_assert!(alone(transaction));
                    prop_assert_eq!(id, transaction2_id(&CHAIN, transaction.body()));
                    prop_assert_eq!(&*good, &Transaction::V2(transaction.clone()));
                    prop_assert_eq!(id, id_on(&CHAIN, &good));
                }
                Err(bad) => {
                    prop_assert!(!alone(transaction));
                    prop_assert_eq!(&bad, &Transaction::V2(transaction.clone()));
                }
            }
        }
    }
}

/// V20: one equation has at most 256 signatures, however many transactions they are of.
#[test]
fn groups_hold_at_most_256_signatures() {
    for (threshold, count, groups) in [(1, 256, 1), (1, 257, 2), (8, 32, 1), (8, 33, 2), (5, 52, 2)] {
        let all = (0..count).map(|nonce| transaction(threshold, threshold, nonce, None)).collect();
        let before = work_done();
        assert!(verified(all).iter().all(Result::is_ok));
        let work = work_done().since(before);
        assert_eq!((work.grouped + work.singles, work.ids), (u64::from(threshold) * count, count));
        assert_eq!(work.groups + work.singles, groups, "{count} transactions of {threshold}");
    }
}

/// V20: in a failed group below 16 signatures each is checked by itself, and none after a transaction's first bad one.
#[test]
fn small_failed_groups_are_checked_one_by_one() {
    let all = vec![transaction(8, 8, 0, Some(1)), transaction(7, 7, 1, None)];
    let before = work_done();
    let results = verified(all);
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true]);
    let work = work_done().since(before);
    assert_eq!((work.groups, work.grouped, work.singles), (1, 15, 2 + 7));
}

/// V20: those that were not looked at, after a transaction's first bad one, don't count for the next transaction.
#[test]
fn signatures_count_for_their_own_transaction_alone() {
    for bad in 0..8 {
        let all = vec![transaction(8, 8, 0, Some(bad)), transaction(1, 1, 1, Some(0)), transaction(3, 3, 2, None)];
        let holds: Vec<bool> = verified(all).iter().map(Result::is_ok).collect();
        assert_eq!(holds, [false, false, true], "bad at {bad}");
    }
}

#[test]
fn a_signature_counts_for_its_own_key_alone() {
    let (one, two) = (transaction(2, 3, 0, None), transaction(2, 3, 1, None));
    let mixed = |first: (u8, Signature2), second: (u8, Signature2)| {
        let mixed = Transaction2::new(one.body().clone(), vec![first, second]).unwrap();
        verified(vec![mixed]).remove(0).is_ok()
    };
    let [first, second] = [one.signatures()[0], one.signatures()[1]];
    assert!(mixed(first, second));
    assert!(!mixed((0, second.1), (1, first.1)), "swapped");
    assert!(!mixed(first, (2, second.1)), "under the third key");
    assert!(!mixed(first, (1, first.1)), "one signature in two places");
    assert!(!mixed(first, two.signatures()[1]), "of another body");
}

/// V17: the form is judged before any signature is checked, so no valid signature makes up for it.
#[test]
fn exactly_the_threshold_of_distinct_keys_signs() {
    let keys = signers(1, 3);
    let body = body(authority(2, &keys), 0);
    let signatures: Vec<_> = (0u8..).zip(&keys).map(|(place, key)| (place, key.sign_body2(&CHAIN, &body))).collect();
    let [first, second, third] = [signatures[0], signatures[1], signatures[2]];
    let made = |signatures: &[(u8, Signature2)]| Transaction2::new(body.clone(), signatures.to_vec()).map(|_| ());
    for pair in [[first, second], [first, third], [second, third]] {
        assert_eq!(made(&pair), Ok(()));
    }
    let before = work_done();
    for few_or_many in [&[][..], &[first], &signatures] {
        assert_eq!(made(few_or_many), Err(SignatureFault::Count { given: few_or_many.len(), threshold: 2 }));
    }
    assert_eq!(made(&[first, first]), Err(SignatureFault::Order), "a signature twice");
    assert_eq!(made(&[second, first]), Err(SignatureFault::Order));
    assert_eq!(made(&[first, (3, third.1)]), Err(SignatureFault::NoSuchKey(3)));
    assert_eq!(work_done(), before, "nothing was checked");
}

/// V16, V18: the id says which chain, and who may sign.
#[test]
fn an_id_covers_chain_and_authority() {
    let (one, two) = (signers(1, 1), signers(2, 1));
    let by_one = body(authority(1, &one), 0);
    let by_two = TransactionBody2 { authority: authority(1, &two), ..by_one.clone() };
    let id = transaction2_id(&CHAIN, &by_one);
    assert_ne!(id, transaction2_id(&CHAIN, &by_two), "a body wrapped with another key");
    assert_ne!(id, transaction2_id(&ChainId([2; 32]), &by_one));
    let third = TransactionBody2 { authority: authority(2, &signers(1, 3)), ..by_one };
    let of = |signers: [u8; 2]| {
        let sign = |place: u8| (place, signers_of(&third)[usize::from(place)].sign_body2(&CHAIN, &third));
        let signed = Transaction2::new(third.clone(), signers.map(sign).to_vec()).unwrap();
        verified(vec![signed]).remove(0).unwrap().0
    };
    assert_eq!(of([0, 1]), of([1, 2]), "whichever of the keys sign");
}

fn signers_of(body: &TransactionBody2) -> Vec<SigningKey> {
    signers(1, body.authority.keys().len() as u8)
}

/// V26: the account of one key is the one that it opened in version 1; any other authority has accounts of its own.
#[test]
fn each_authority_opens_its_own_account_in_each_region() {
    let keys = signers(1, 3);
    let all = [authority(1, &keys[..1]), authority(1, &keys[..2]), authority(2, &keys[..2]), authority(2, &keys)];
    let accounts = all.iter().flat_map(|authority| [0, 1, 255].map(|region| authority_account(region, authority)));
    let accounts: Vec<AccountId> = accounts.collect();
    let distinct: std::collections::BTreeSet<_> = accounts.iter().map(|account| &account.0[1..]).collect();
    assert_eq!(distinct.len(), accounts.len());
    assert!(accounts.chunks(3).all(|own| own.iter().map(AccountId::region).eq([0, 1, 255])));
    assert_eq!(accounts[1], rustorium_crypto::account_id(1, &keys[0].public()));
}

fn batch_of(chain: ChainId, transactions: Vec<Transaction>) -> BatchBody {
    BatchBody {
        chain,
        shard: ShardId(0),
        epoch: Epoch(0),
        author: ValidatorIndex(0),
        seq: 0,
        previous: BatchDigest::ZERO,
        transactions: BoundedVec::new(transactions).unwrap(),
    }
}

/// A transaction in the form of version 1.
fn first(nonce: u64) -> Transaction {
    let body = TransactionBody {
        version: 1,
        chain: CHAIN,
        sender: AccountId([2; 32]),
        public_key: key(1).public(),
        nonce,
        expires_at_ms: 1000,
        work_limit: 10,
        shard_hint: None,
        location: None,
        data: BoundedVec::default(),
    };
    key(1).sign_transaction(body).into_inner()
}

/// V15, V16: a batch holds both forms, and its chain is the one that those of version 2 don't name.
#[test]
fn a_batch_of_both_forms_holds_if_every_signature_does() {
    let author = key(9);
    let good: Vec<Transaction> = vec![first(0), transaction(2, 3, 1, None).into(), transaction(8, 8, 2, None).into()];
    let (_, batch) = author.sign_batch(batch_of(CHAIN, good.clone()));
    let checked = verify_batch(&author.public(), batch.clone()).unwrap();
    assert_eq!(checked.ids, good.iter().map(|one| id_on(&CHAIN, one)).collect::<Vec<_>>());
    assert_eq!(batch_fault(&author.public(), &batch), None);
    for bad in 0..8 {
        let forged = vec![good[0].clone(), good[1].clone(), transaction(8, 8, 2, Some(bad)).into()];
        let (_, batch) = author.sign_batch(batch_of(CHAIN, forged));
        assert_eq!(verify_batch(&author.public(), batch.clone()), None, "signature {bad}");
        assert_eq!(batch_fault(&author.public(), &batch), Some(BatchFault::Transaction));
    }
    let (_, elsewhere) = author.sign_batch(batch_of(ChainId([2; 32]), good[1..].to_vec()));
    assert_eq!(verify_batch(&author.public(), elsewhere), None, "no signature is for the other chain");
}

fn admitted(transaction: Transaction, known: &KnownSignatures) -> Option<Admitted> {
    admit(vec![Addressed::check(&CHAIN, transaction).unwrap()], known).remove(0)
}

/// V18: an id covers none of the signatures, so other signatures of the same body are checked, whatever was checked before.
#[test]
fn known_signatures_vouch_for_no_others_of_the_same_body() {
    let keys = signers(1, 3);
    let body = body(authority(2, &keys), 0);
    let sign = |place: u8| (place, keys[usize::from(place)].sign_body2(&CHAIN, &body));
    let of =
        |signatures: Vec<(u8, Signature2)>| Transaction::from(Transaction2::new(body.clone(), signatures).unwrap());
    let (one, other) = (of(vec![sign(0), sign(1)]), of(vec![sign(0), sign(2)]));
    let under_another_key = of(vec![sign(0), (2, sign(1).1)]);
    let known = KnownSignatures::default();
    let id = admitted(one.clone(), &known).unwrap().id();
    assert_eq!(admitted(other.clone(), &known).unwrap().id(), id, "another subset of the same authority");
    assert_eq!(admitted(under_another_key.clone(), &known), None);
    let checked = |transaction: &Transaction| {
        let (_, batch) = key(9).sign_batch(batch_of(CHAIN, vec![transaction.clone()]));
        let before = work_done();
        let result = verify_batches(vec![(key(9).public(), batch)], &known).remove(0);
        let work = work_done().since(before);
        (result.is_ok(), work.grouped + work.singles)
    };
    assert_eq!(checked(&other), (true, 1), "the signatures that were admitted last are known");
    assert_eq!(checked(&one), (true, 3), "those before them are checked again");
    assert!(!checked(&under_another_key).0);
    assert!(!checked(&of(vec![(0, sign(2).1), (1, sign(0).1)])).0, "the known ones under other keys");
}

//! Signatures: single and batch verification agree, the bad ones are named, and certificates are what they say.

use proptest::prelude::*;
use rustorium_crypto::{
    BatchFault, SigningKey, UnsignedBatch, batch_fault, certify, false_signers, id_on, is_small_order, own_batch,
    verify, verify_all, verify_batch, verify_certificate, verify_transactions, verify_vote, verify_votes,
};
use rustorium_types::{
    AccountId, Batch, BatchBody, BatchDigest, BlockDigest, BoundedVec, Certificate, ChainId, Epoch, PublicKey, ShardId,
    Signature, SignedVote, Transaction, TransactionBody, ValidatorIndex, View, VoteBody, VoteKind, quorum,
};
use std::sync::Arc;

/// Every encoding, canonical or not, of the eight points of small order.
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

/// The order of the base point, little-endian.
const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

fn bytes32(text: &str) -> [u8; 32] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn together_and_alone(items: &[(PublicKey, &[u8], Signature)]) -> (bool, bool) {
    let together = verify_all(items.iter().map(|(key, bytes, signature)| (key, *bytes, signature)));
    (together, items.iter().all(|(key, bytes, signature)| verify(key, bytes, signature)))
}

fn body(nonce: u64, key: &SigningKey) -> TransactionBody {
    TransactionBody {
        version: 1,
        chain: ChainId([1; 32]),
        sender: AccountId([2; 32]),
        public_key: key.public(),
        nonce,
        expires_at_ms: 1000,
        work_limit: 10,
        shard_hint: None,
        location: None,
        data: BoundedVec::default(),
    }
}

fn transactions(count: u64) -> Vec<Transaction> {
    (0..count)
        .map(|nonce| key(nonce as u8 % 5).sign_transaction(body(nonce, &key(nonce as u8 % 5))).into_inner())
        .collect()
}

fn break_signature(transaction: &mut Transaction, byte: usize, bits: u8) {
    let Transaction::V1(first) = transaction else { panic!("made in the form of version 1") };
    first.signature[byte] ^= bits;
}

#[test]
fn zip_215_accepts_every_small_order_pair_alone_and_in_batches() {
    let (good, message) = (key(9), b"some message".as_slice());
    let own = (good.public(), message, good.sign(message));
    let mut all = vec![own];
    for a in SMALL_ORDER {
        for r in SMALL_ORDER {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(&bytes32(r));
            all.push((bytes32(a), message, signature));
            assert_eq!(together_and_alone(&[own, all[all.len() - 1]]), (true, true), "key {a}, point {r}");
        }
    }
    assert_eq!(together_and_alone(&all), (true, true));
}

/// Returns true if a signature that needs no key verifies: R is the neutral point, and s is 0.
fn signs_for_anybody(key: &PublicKey) -> bool {
    let mut signature = [0; 64];
    signature[0] = 1;
    verify(key, b"any message", &signature)
}

#[test]
fn keys_of_small_order_are_those_under_which_anybody_signs() {
    for text in SMALL_ORDER {
        let key = bytes32(text);
        assert!(is_small_order(&key) && signs_for_anybody(&key), "{text}");
        for at in 0..256 {
            let mut other = key;
            other[at / 8] ^= 1 << (at % 8);
            assert_eq!(is_small_order(&other), signs_for_anybody(&other), "{text} with another bit {at}");
        }
    }
    assert!((0..=255).all(|seed| !is_small_order(&key(seed).public())));
}

#[test]
fn a_scalar_over_the_order_is_refused_alone_and_in_batches() {
    let (good, message) = (key(9), b"some message".as_slice());
    let signature = good.sign(message);
    // s + L is the same scalar, written another way.
    let (mut over, mut carry) = (signature, 0);
    for (at, order) in bytes32(ORDER).into_iter().enumerate() {
        let sum = u16::from(over[32 + at]) + u16::from(order) + carry;
        (over[32 + at], carry) = (sum as u8, sum >> 8);
    }
    assert_eq!(together_and_alone(&[(good.public(), message, over)]), (false, false));
    assert_eq!(
        together_and_alone(&[(good.public(), message, signature), (good.public(), message, over)]),
        (false, false)
    );
    assert_eq!(together_and_alone(&[(good.public(), message, signature)]), (true, true));
}

#[test]
fn keys_that_are_no_points_are_refused_alone_and_in_batches() {
    let message = b"some message".as_slice();
    let good = key(9);
    let no_point = (2..=255u8).map(|first| [&[first][..], &[0; 31]].concat().try_into().unwrap());
    let no_point = no_point.filter(|bytes| ed25519_zebra::VerificationKey::try_from(*bytes).is_err());
    let mut seen = 0;
    for bytes in no_point.take(8) {
        assert_eq!(together_and_alone(&[(bytes, message, good.sign(message))]), (false, false));
        seen += 1;
    }
    assert_eq!(seen, 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn bisection_names_exactly_the_bad_transactions(count in 1usize..40, bad in proptest::collection::btree_set(0usize..40, 0..6)) {
        let mut all = transactions(count as u64);
        for index in bad.iter().filter(|index| **index < count) {
            break_signature(&mut all[*index], index % 64, 1 << (index % 8));
        }
        let results = verify_transactions(&ChainId([1; 32]), all.clone());
        prop_assert_eq!(results.len(), count);
        for (index, result) in results.into_iter().enumerate() {
            match result {
                Ok((id, transaction)) => {
                    prop_assert!(!bad.contains(&index));
                    prop_assert_eq!(id, id_on(&ChainId([1; 32]), &all[index]));
                    prop_assert_eq!(transaction.into_inner(), all[index].clone());
                }
                Err(transaction) => {
                    prop_assert!(bad.contains(&index));
                    prop_assert_eq!(&transaction, &all[index]);
                }
            }
        }
    }

    #[test]
    fn bisection_names_exactly_the_bad_votes(n in 1u16..20, bad in proptest::collection::btree_set(0u16..24, 0..5)) {
        let keys: Vec<PublicKey> = (0..n).map(|index| key(index as u8).public()).collect();
        // Signers beyond the committee are unknown, so bad.
        let votes: Vec<SignedVote> = (0..n + 2).map(|index| {
            let mut vote = key(index as u8).sign_vote(ValidatorIndex(index), vote(VoteKind::Notarize));
            vote.signature[7] ^= u8::from(bad.contains(&index));
            vote
        }).collect();
        for (index, result) in verify_votes(&keys, &votes).into_iter().enumerate() {
            prop_assert_eq!(result.is_some(), index < usize::from(n) && !bad.contains(&(index as u16)));
            prop_assert!(result.is_none_or(|checked| *checked == votes[index]));
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed_alone_and_in_batches(bit in 0usize..512, length in 0usize..80) {
        let message = vec![7; length];
        let good = key(3);
        let mut signature = good.sign(&message);
        signature[bit / 8] ^= 1 << (bit % 8);
        let other = key(4);
        let items = [(good.public(), message.as_slice(), signature), (other.public(), &message, other.sign(&message))];
        prop_assert_eq!(together_and_alone(&items), (false, false));
    }
}

#[test]
fn a_batch_is_signed_elsewhere_as_it_would_be_here() {
    let author = key(8);
    let verified = || verify_transactions(&ChainId([1; 32]), transactions(6)).into_iter().map(Result::unwrap);
    let held = || verified().map(|(id, good)| (id, Arc::new(good))).collect::<Vec<_>>();
    let here = own_batch(held(), batch_body, &author);
    let unsigned = UnsignedBatch::new(held(), batch_body);
    assert_eq!((unsigned.body(), unsigned.ids()), (&here.batch.body, here.ids.as_slice()));
    let signature = here.batch.signature;
    let mut wrong = signature;
    wrong[0] ^= 1;
    assert!(unsigned.clone().signed(&author.public(), wrong).is_none());
    assert!(unsigned.clone().signed(&key(7).public(), signature).is_none(), "another author");
    assert_eq!(unsigned.signed(&author.public(), signature), Some(here));
}

#[test]
fn a_batch_needs_its_authors_and_every_transactions_signature() {
    let author = key(8);
    let good = verify_transactions(&ChainId([1; 32]), transactions(6)).into_iter().map(Result::unwrap);
    let checked = own_batch(good.map(|(id, good)| (id, Arc::new(good))).collect(), batch_body, &author);
    let batch = checked.batch.clone().into_inner();
    assert_eq!(verify_batch(&author.public(), batch.clone()).unwrap(), checked);
    assert!(verify_batch(&key(7).public(), batch.clone()).is_none(), "another author");
    let mut unsigned = batch.clone();
    unsigned.signature[0] ^= 1;
    assert!(verify_batch(&author.public(), unsigned).is_none(), "a bad author's signature");

    let mut list = batch.body.transactions.clone().into_vec();
    break_signature(&mut list[3], 0, 1);
    let (_, forged) = author.sign_batch(batch_body(list));
    assert!(verify_batch(&author.public(), forged.clone()).is_none(), "one bad transaction");
    let pair = vec![(author.public(), forged.clone()), (author.public(), batch.clone())];
    let both = rustorium_crypto::verify_batches(pair, &rustorium_crypto::KnownSignatures::default());
    let bad = Err((author.public(), forged.clone()));
    assert_eq!(both, [bad, Ok(checked)], "together: the bad one is named, the good one passes");
    let fault = |batch: &Batch| batch_fault(&author.public(), batch);
    assert_eq!((fault(&forged), fault(&batch)), (Some(BatchFault::Transaction), None));
    let mut unsigned = forged;
    unsigned.signature[0] ^= 1;
    assert_eq!(fault(&unsigned), Some(BatchFault::Author), "then the rest is not the author's word");
}

fn batch_body(list: Vec<Transaction>) -> BatchBody {
    BatchBody {
        chain: ChainId([1; 32]),
        shard: ShardId(0),
        epoch: Epoch(0),
        author: ValidatorIndex(0),
        seq: 0,
        previous: BatchDigest::ZERO,
        transactions: BoundedVec::new(list).unwrap(),
    }
}

fn vote(kind: VoteKind) -> VoteBody {
    let block = if kind == VoteKind::Nullify { BlockDigest::ZERO } else { BlockDigest([5; 32]) };
    VoteBody { chain: ChainId([1; 32]), shard: ShardId(0), epoch: Epoch(0), view: View(3), kind, block }
}

fn committee(n: u16) -> Vec<PublicKey> {
    (0..n).map(|index| key(index as u8).public()).collect()
}

fn certificate(signers: &[u16]) -> Certificate {
    let body = vote(VoteKind::Finalize);
    let signed =
        |signer: &u16| (ValidatorIndex(*signer), key(*signer as u8).sign_vote(ValidatorIndex(*signer), body).signature);
    Certificate { body, signatures: BoundedVec::new(signers.iter().map(signed).collect()).unwrap() }
}

#[test]
fn certificates_hold_with_a_quorum_of_distinct_members_alone() {
    let keys = committee(4);
    for signers in [&[0u16, 1, 2][..], &[1, 2, 3], &[0, 1, 2, 3]] {
        assert!(verify_certificate(&keys, certificate(signers)).is_some(), "{signers:?}");
    }
    for (signers, why) in [
        (&[][..], "empty"),
        (&[0, 1], "below a quorum"),
        (&[0, 2, 1], "wrong order"),
        (&[0, 1, 1], "a duplicate signer"),
        (&[0, 1, 1, 2], "a duplicate beside a quorum"),
        (&[0, 1, 4], "an unknown signer"),
        (&[0, 1, 2, 400], "an unknown signer beside a quorum"),
    ] {
        assert!(verify_certificate(&keys, certificate(signers)).is_none(), "{why}");
    }
}

#[test]
fn a_certificate_with_one_bad_signature_or_another_body_is_refused() {
    let keys = committee(4);
    for at in 0..4 {
        let mut signatures = certificate(&[0, 1, 2, 3]).signatures.into_vec();
        signatures[at].1[40] ^= 1;
        let forged = Certificate { body: vote(VoteKind::Finalize), signatures: BoundedVec::new(signatures).unwrap() };
        assert!(verify_certificate(&keys, forged).is_none(), "signature {at}");
    }
    let mut swapped = certificate(&[0, 1, 2]).signatures.into_vec();
    (swapped[0].1, swapped[1].1) = (swapped[1].1, swapped[0].1);
    let swapped = Certificate { body: vote(VoteKind::Finalize), signatures: BoundedVec::new(swapped).unwrap() };
    assert!(verify_certificate(&keys, swapped).is_none(), "each under its own signer's key");
    for change in [
        |body: &mut VoteBody| body.kind = VoteKind::Notarize,
        |body: &mut VoteBody| body.view = View(4),
        |body: &mut VoteBody| body.epoch = Epoch(1),
        |body: &mut VoteBody| body.shard = ShardId(1),
        |body: &mut VoteBody| body.chain = ChainId([2; 32]),
        |body: &mut VoteBody| body.block = BlockDigest([6; 32]),
    ] {
        let mut other = certificate(&[0, 1, 2]);
        change(&mut other.body);
        assert!(verify_certificate(&keys, other).is_none());
    }
}

#[test]
fn certify_counts_distinct_signers_of_one_body() {
    let keys = committee(7);
    let checked = |signer: u16, kind| {
        let vote = key(signer as u8).sign_vote(ValidatorIndex(signer), vote(kind));
        verify_vote(&keys[usize::from(signer)], vote).unwrap()
    };
    let votes: Vec<_> = [4u16, 0, 6, 2, 1].into_iter().map(|signer| checked(signer, VoteKind::Notarize)).collect();
    assert_eq!(quorum(7), 5);
    let made = certify(7, &votes).unwrap();
    assert_eq!(made.signatures.iter().map(|(signer, _)| signer.0).collect::<Vec<_>>(), [0, 1, 2, 4, 6]);
    assert_eq!(made.votes().count(), 5);
    assert!(made.votes().all(|vote| verify_vote(&keys[usize::from(vote.signer.0)], *vote).is_some()));
    assert!(verify_certificate(&keys, made.into_inner()).is_some(), "what is made also verifies");
    assert!(certify(7, &votes[..4]).is_none());
    let twice = [&votes[..4], &votes[..1]].concat();
    assert!(certify(7, &twice).is_none(), "a signer counts once");
    let stray = [&votes[..4], &[checked(5, VoteKind::Finalize)]].concat();
    assert!(certify(7, &stray).is_none(), "another kind does not count");
    assert!(certify(7, &[]).is_none());
    assert!(verify_vote(&keys[0], key(1).sign_vote(ValidatorIndex(0), vote(VoteKind::Nullify))).is_none());
}

/// R39: a node that is charged for a false signature used the same predicate as the node that sent it on.
#[test]
fn certificates_hold_exactly_where_each_signature_of_theirs_does() {
    let points: Vec<[u8; 32]> = SMALL_ORDER.iter().map(|point| bytes32(point)).collect();
    // Keys of small order, under which ZIP-215 accepts what stricter rules refuse, beside three of this test's own.
    let mut keys: Vec<PublicKey> = vec![key(1).public(), key(2).public(), key(3).public()];
    keys.push(points[3]);
    let body = VoteBody {
        chain: ChainId([1; 32]),
        shard: ShardId(0),
        epoch: Epoch(0),
        view: View(1),
        kind: VoteKind::Finalize,
        block: BlockDigest([2; 32]),
    };
    let sign =
        |signer: u16| (ValidatorIndex(signer), key(signer as u8 + 1).sign_vote(ValidatorIndex(signer), body).signature);
    for point in &points {
        for last in [0u8, 1] {
            let mut signature = [0; 64];
            signature[..32].copy_from_slice(point);
            signature[32] = last;
            let signatures = vec![sign(0), sign(1), (ValidatorIndex(3), signature)];
            let certificate = Certificate { body, signatures: BoundedVec::new(signatures).unwrap() };
            let liars = false_signers(&keys, &certificate);
            assert_eq!(verify_certificate(&keys, certificate).is_some(), liars.is_empty(), "{point:?}, {last}");
            assert_eq!(liars.is_empty(), last == 0);
        }
    }
}

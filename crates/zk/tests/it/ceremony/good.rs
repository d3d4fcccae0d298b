//! A valid ceremony, and its results.

use std::ops::ControlFlow;

use super::small::{BEACON, Cubic, add, add_beacon, on, powers, relation, relation_of, verify, verify_bytes, whole};
use ark_ff::AdditiveGroup;
use rustorium_zk::ceremony::{
    Beacon, CeremonyError, Origin, Relation, Source, Transcript, decode_proving_key, encode_proving_key, open_prover,
};
use rustorium_zk::shielded::field::Element;
use rustorium_zk::shielded::prove::{Prover, assignment};
use rustorium_zk::{Claim, Key, Refused, encode_input};

#[test]
fn proofs_under_its_key_verify_and_no_others_do() {
    let transcript = whole();
    verify(&transcript).unwrap();
    let key = transcript.finish().unwrap();
    let bytes = encode_proving_key(&relation(), &key);
    let prover = Prover::new(decode_proving_key(&relation(), &bytes).unwrap(), relation().into_matrices());
    let verifying = Key::from_bytes(&prover.verifying_key()).unwrap();
    let cubic = Cubic { plus: 5, x: Element::from(3u64) };
    let y = cubic.y();
    assert_eq!(y, Element::from(35u64));
    let mut values = assignment(cubic).unwrap();
    let proof = prover.prove_assignment(&values, &[1; 32]).unwrap();
    Claim::new(&verifying, &proof, &[encode_input(y)]).unwrap().verify().unwrap();
    let other = Claim::new(&verifying, &proof, &[encode_input(y + Element::from(1u64))]).unwrap();
    assert_eq!(other.verify(), Err(Refused::NotProved));
    values[1] = Element::ZERO;
    assert!(prover.prove_assignment(&values, &[1; 32]).is_err());
}

#[test]
fn a_proving_key_opens_for_the_verifying_key_that_came_out_with_it_alone() {
    let key = whole().finish().unwrap();
    let (bytes, verifying) = (encode_proving_key(&relation(), &key), rustorium_zk::encode_key(&key.vk));
    let prover = open_prover(relation(), &bytes, &verifying).unwrap();
    assert_eq!(prover.verifying_key(), verifying);
    // Another ceremony of the same circuit gives another key.
    let mut other = powers().begin_second(&relation(), &mut on).unwrap();
    add(&mut other, "mallory", 99);
    let other = rustorium_zk::encode_key(&other.finish().unwrap().vk);
    let Err(error) = open_prover(relation(), &bytes, &other) else { panic!("it opened for another key") };
    let hash = |key: &[u8]| blake3::hash(key).to_hex().to_string();
    assert_eq!(error, CeremonyError::OtherKey { found: hash(&verifying), wanted: hash(&other) });
    assert_eq!(error.code(), "other-proving-key");
    assert!(open_prover(relation(), &bytes[1..], &verifying).is_err());
    assert!(open_prover(relation_of("cubic", 6), &bytes, &verifying).is_err());
}

#[test]
fn the_list_of_a_ceremony_has_the_hash_of_each_contribution() {
    let mut transcript = powers();
    let list = transcript.verify(None, &mut on).unwrap();
    assert_eq!(list.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["alice", "bob", "beacon"]);
    assert_eq!(list[2].origin, Origin::Beacon(BEACON));
    transcript = transcript.begin_second(&relation(), &mut on).unwrap();
    let told = add(&mut transcript, "carol", 3);
    let last = add_beacon(&mut transcript);
    let both = verify(&transcript).unwrap();
    assert_eq!(both[..3], list);
    assert_eq!((both[3].phase, both[3].hash, both[4].hash), (2, told, last));
}

#[test]
fn a_file_is_its_one_encoding() {
    for transcript in [powers(), whole()] {
        let bytes = transcript.to_bytes();
        let read = Transcript::from_bytes(&bytes).unwrap();
        assert_eq!(read, transcript);
        assert_eq!(read.to_bytes(), bytes);
        verify_bytes(&bytes).unwrap();
    }
    let key = whole().finish().unwrap();
    let bytes = encode_proving_key(&relation(), &key);
    let read = decode_proving_key(&relation(), &bytes).unwrap();
    assert_eq!(encode_proving_key(&relation(), &read), bytes);
    assert_eq!(read, key);
}

#[test]
fn the_same_secrets_after_other_contributions_give_another_key() {
    let key = |byte: u8| {
        let mut transcript = powers().begin_second(&relation(), &mut on).unwrap();
        add(&mut transcript, "carol", byte);
        add(&mut transcript, "dave", 4);
        transcript.finish().unwrap().vk
    };
    assert_eq!(key(3), key(3));
    assert_ne!(key(3).delta_g2, key(5).delta_g2);
}

#[test]
fn powers_of_a_larger_domain_serve_a_smaller_circuit() {
    let mut transcript = Transcript::begin(6).unwrap();
    add(&mut transcript, "alice", 1);
    let mut second = transcript.begin_second(&relation(), &mut on).unwrap();
    add(&mut second, "bob", 2);
    assert_eq!(second.power(), relation().power().unwrap());
    verify(&second).unwrap();
}

#[test]
fn an_impossible_ceremony_is_refused_with_its_reason() {
    let untouched = Transcript::begin(3).unwrap();
    assert_eq!(untouched.clone().begin_second(&relation(), &mut on), Err(CeremonyError::Untouched(1)));
    assert!(matches!(untouched.finish(), Err(CeremonyError::Phase(1, _))));
    let begun = powers().begin_second(&relation(), &mut on).unwrap();
    assert_eq!(begun.clone().finish().err(), Some(CeremonyError::Untouched(2)));
    assert!(matches!(begun.begin_second(&relation(), &mut on), Err(CeremonyError::Phase(2, _))));
    let source = Source::Random { entropy: &[1; 32], typed: &[] };
    assert_eq!(powers().contribute("late", &source, &mut on), Err(CeremonyError::Closed(1)));
    assert_eq!(whole().contribute("late", &source, &mut on), Err(CeremonyError::Closed(2)));
    let mut open = Transcript::begin(3).unwrap();
    for name in ["", "two\nlines", &"x".repeat(65)] {
        assert_eq!(open.contribute(name, &source, &mut on), Err(CeremonyError::Name));
    }
    let slow = Source::Beacon(Beacon { value: [1; 32], log2: 29 });
    assert_eq!(open.contribute("slow", &slow, &mut on), Err(CeremonyError::TooSlow));
    let few = {
        let mut few = Transcript::begin(1).unwrap();
        add(&mut few, "alice", 1);
        few.begin_second(&relation(), &mut on)
    };
    assert_eq!(few, Err(CeremonyError::TooFew { have: 1, need: relation().power().unwrap() }));
    assert!(matches!(Transcript::begin(19), Err(CeremonyError::Unfit(_))));
}

#[test]
fn another_circuit_does_not_verify() {
    let transcript = whole();
    let named = |relation: &Relation| transcript.verify(Some(relation), &mut on);
    assert!(matches!(named(&relation_of("cubic", 6)), Err(CeremonyError::Circuit { .. })));
    assert!(matches!(named(&relation_of("cubics", 5)), Err(CeremonyError::Circuit { .. })));
    assert!(matches!(transcript.verify(None, &mut on), Err(CeremonyError::Phase(2, _))));
    let bytes = encode_proving_key(&relation(), &transcript.finish().unwrap());
    assert!(matches!(decode_proving_key(&relation_of("cubic", 6), &bytes), Err(CeremonyError::Circuit { .. })));
}

#[test]
fn work_can_be_stopped_and_says_how_far_it_is() {
    let mut heard = Vec::new();
    let mut transcript = Transcript::begin(3).unwrap();
    let source = Source::Random { entropy: &[1; 32], typed: &[] };
    let mut hear = |done, total| {
        heard.push((done, total));
        ControlFlow::Continue(())
    };
    transcript.contribute("alice", &source, &mut hear).unwrap();
    assert!(heard.windows(2).all(|two| two[0].0 <= two[1].0 && two[0].1 == two[1].1));
    let (done, total) = *heard.last().unwrap();
    assert!(done == total && total > 0);
    let mut stop = |_, _| ControlFlow::Break(());
    assert_eq!(transcript.contribute("bob", &source, &mut stop), Err(CeremonyError::Interrupted));
    assert_eq!(whole().verify(Some(&relation()), &mut stop), Err(CeremonyError::Interrupted));
    assert_eq!(powers().begin_second(&relation(), &mut stop), Err(CeremonyError::Interrupted));
}

/// A whole ceremony of the real circuit: minutes of one core. `cargo test --release -p rustorium-zk --test it ceremony::
/// -- --ignored`.
#[test]
#[ignore = "takes minutes: the whole ceremony of the transfer's circuit"]
fn the_transfers_own_ceremony_gives_a_key_that_its_prover_proves_under() {
    let relation = Relation::transfer().unwrap();
    let mut transcript = Transcript::begin(relation.power().unwrap()).unwrap();
    add(&mut transcript, "alice", 1);
    transcript = transcript.begin_second(&relation, &mut on).unwrap();
    add(&mut transcript, "bob", 2);
    transcript = Transcript::from_bytes(&transcript.to_bytes()).unwrap();
    assert_eq!(transcript.verify(Some(&relation), &mut on).unwrap().len(), 2);
    let bytes = encode_proving_key(&relation, &transcript.finish().unwrap());
    let prover = Prover::new(decode_proving_key(&relation, &bytes).unwrap(), relation.into_matrices());
    let transfer = super::small::transfer();
    let proof = prover.prove(&transfer, &[7; 32]).unwrap();
    let key = Key::from_bytes(&prover.verifying_key()).unwrap();
    transfer.statement.claim(&key, &proof).unwrap().verify().unwrap();
    let devnet = Key::from_bytes(&Prover::insecure_devnet().unwrap().verifying_key()).unwrap();
    assert_eq!(transfer.statement.claim(&devnet, &proof).unwrap().verify(), Err(Refused::NotProved));
}

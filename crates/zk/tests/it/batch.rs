//! A batch gives each claim the result that it gets alone, whatever is in the batch and wherever the bad ones are.

use crate::common::{Sample, Samples, samples};
use ark_bls12_381::Bls12_381;
use ark_bn254::Bn254;
use proptest::prelude::*;
use rustorium_zk::{Claim, Key, Refused, verify_all};
use std::sync::LazyLock;

struct Pool {
    keys: Vec<Key>,
    /// A key's place, and a proof for it.
    proofs: Vec<(usize, Sample)>,
}

/// Keys on both curves, one of them twice, with proofs of each.
static POOL: LazyLock<Pool> = LazyLock::new(|| {
    let kinds = [
        samples::<Bn254>(1, 4, 21),
        samples::<Bn254>(3, 4, 22),
        samples::<Bls12_381>(1, 4, 23),
        samples::<Bls12_381>(2, 4, 24),
    ];
    let mut pool = Pool { keys: Vec::new(), proofs: Vec::new() };
    for Samples { key, proofs } in kinds {
        let place = pool.keys.len();
        pool.keys.push(Key::from_bytes(&key).expect("a good key"));
        pool.proofs.extend(proofs.into_iter().map(|proof| (place, proof)));
    }
    pool
});

impl Pool {
    /// The claim of this number; a bad one has another statement's inputs.
    fn claim(&self, number: usize, good: bool) -> Claim {
        let (key, sample) = &self.proofs[number % self.proofs.len()];
        let same_key = |other: &&(usize, Sample)| other.0 == *key && other.1 != *sample;
        let other = self.proofs.iter().find(same_key).expect("more than one proof");
        let inputs = if good { &sample.inputs } else { &other.1.inputs };
        Claim::new(&self.keys[*key], &sample.proof, inputs).expect("well formed")
    }
}

fn check(choices: &[(usize, bool)]) {
    let claims: Vec<Claim> = choices.iter().map(|(number, good)| POOL.claim(*number, *good)).collect();
    let together = verify_all(&claims);
    for ((claim, verdict), (_, good)) in claims.iter().zip(&together).zip(choices) {
        let expected = if *good { Ok(()) } else { Err(Refused::NotProved) };
        assert_eq!((verdict, claim.verify()), (&expected, expected.clone()));
    }
}

#[test]
fn an_empty_batch_and_one_of_one() {
    check(&[]);
    check(&[(0, true)]);
    check(&[(9, false)]);
}

#[test]
fn the_invalid_claim_is_named_wherever_it_is() {
    for bad in 0..16 {
        let choices: Vec<(usize, bool)> = (0..16).map(|number| (number, number != bad)).collect();
        check(&choices);
    }
}

/// More claims than fit one group, on each curve.
#[test]
fn bad_ones_are_named_in_every_group() {
    let choices: Vec<(usize, bool)> =
        (0..160).map(|number| (number, ![3, 64, 65, 130, 159].contains(&number))).collect();
    check(&choices);
}

#[test]
fn all_may_be_bad_and_one_may_come_twice() {
    check(&[(1, false); 5]);
    check(&[(1, true), (1, false), (1, true), (1, false)]);
    check(&(0..16).map(|number| (number, false)).collect::<Vec<_>>());
}

/// Two claims whose faults cancel without coefficients: C and C' exchanged between two proofs for one key.
#[test]
fn faults_that_cancel_are_found() {
    for key in 0..POOL.keys.len() {
        let mut pair = POOL.proofs.iter().filter(|(place, _)| *place == key).map(|(_, sample)| sample.clone());
        let (mut first, mut second) = (pair.next().expect("one"), pair.next().expect("another"));
        let last = first.proof.len() / 8 * 6;
        first.proof[last..].swap_with_slice(&mut second.proof[last..]);
        let claims: Vec<Claim> = [&first, &second]
            .map(|sample| Claim::new(&POOL.keys[key], &sample.proof, &sample.inputs).expect("well formed"))
            .to_vec();
        assert_eq!(verify_all(&claims), [Err(Refused::NotProved), Err(Refused::NotProved)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn single_and_batch_agree(choices in proptest::collection::vec((0usize..16, prop::bool::weighted(0.8)), 0..24)) {
        check(&choices);
    }
}

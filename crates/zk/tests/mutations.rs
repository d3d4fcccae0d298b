//! Random changes of valid proofs, inputs and files: none is accepted for another statement.
//!
//! `RUSTORIUM_ZK_MUTATIONS` says how many for each curve (`just torture`: 100,000); the seed is fixed, so a number names the
//! same changes each time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use ark_bls12_381::Bls12_381;
use ark_bn254::Bn254;
use ark_ec::{AffineRepr, CurveGroup};
use ark_ff::PrimeField;
use ark_groth16::Proof;
use ark_std::rand::Rng;
use ark_std::rand::rngs::StdRng;
use common::{Input, Sample, file, points, rng, snarkjs_samples};
use rustorium_zk::{Claim, Curve, Key, Refused, Suite, encode_proof, snarkjs, verify_all};

fn count() -> usize {
    let set = std::env::var("RUSTORIUM_ZK_MUTATIONS").ok();
    set.map_or(250, |value| value.parse().expect("RUSTORIUM_ZK_MUTATIONS is a number"))
}

/// Results of the changes: the number that could be decoded, and of those that proved their statement.
#[derive(Default, Debug)]
struct Tally {
    decoded: usize,
    same_statement: usize,
}

/// Verifies the decoded claims together and, if the batch is accepted, alone.
fn judge(key: &Key, originals: &[Sample], changed: &[Sample], tally: &mut Tally) {
    let decoded: Vec<(&Sample, Claim)> = changed
        .iter()
        .filter_map(|sample| Some((sample, Claim::new(key, &sample.proof, &sample.inputs).ok()?)))
        .collect();
    let claims: Vec<Claim> = decoded.iter().map(|(_, claim)| claim.clone()).collect();
    tally.decoded += claims.len();
    for ((sample, claim), verdict) in decoded.iter().zip(verify_all(&claims)) {
        // A decoded value is encoded to the same bytes: nothing has a second encoding.
        assert_eq!((claim.proof_bytes(), claim.input_bytes()), (sample.proof.clone(), sample.inputs.concat()));
        if verdict.is_ok() {
            assert!(originals.iter().any(|o| o.inputs == sample.inputs), "accepted for another statement: {sample:?}");
            assert_eq!(claim.verify(), Ok(()));
            tally.same_statement += 1;
        }
    }
}

/// Changes single bits and bytes, and cuts, repeats and shifts.
fn change_bytes(bytes: &mut Vec<u8>, rng: &mut StdRng) {
    let place = rng.gen_range(0..bytes.len());
    match rng.gen_range(0..6) {
        0 => bytes[place] ^= 1 << rng.gen_range(0..8),
        1 => bytes[place] = rng.r#gen(),
        2 => bytes.truncate(place),
        3 => bytes.push(rng.r#gen()),
        4 => bytes.rotate_left(place),
        _ => bytes[place..].fill(if rng.r#gen() { 0 } else { 255 }),
    }
}

/// Changes a proof within the groups, where decoding finds no fault.
fn change_points<E: Suite>(proof: &[u8], other: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let ((mut a, mut b, mut c), (a2, b2, c2)) = (points::<E>(proof), points::<E>(other));
    let scalar = E::ScalarField::from(rng.r#gen::<u128>());
    match rng.gen_range(0..10) {
        0 => a = -a,
        1 => b = -b,
        2 => c = -c,
        3 => (a, b) = (-a, -b),
        4 => a = a2,
        5 => b = b2,
        6 => c = c2,
        7 => a = (a.into_group() + a2).into_affine(),
        8 => c = c.mul_bigint(scalar.into_bigint()).into_affine(),
        _ => (a, c) = (c, a),
    }
    encode_proof(&Proof::<E> { a, b, c })
}

fn change_inputs(inputs: &mut Vec<Input>, other: &[Input], rng: &mut StdRng) {
    let place = rng.gen_range(0..inputs.len());
    match rng.gen_range(0..7) {
        0 => inputs[place][rng.gen_range(0..32)] ^= 1 << rng.gen_range(0..8),
        1 => inputs[place] = other[place],
        2 => inputs[place] = [0; 32],
        3 => inputs.swap(place, 0),
        4 => inputs.truncate(place),
        5 => inputs.push([0; 32]),
        _ => inputs[place] = rng.r#gen(),
    }
}

fn mutated<E: Suite>(samples: &[Sample], rng: &mut StdRng) -> Sample {
    let mut sample = samples[rng.gen_range(0..samples.len())].clone();
    let other = &samples[rng.gen_range(0..samples.len())];
    match rng.gen_range(0..4) {
        0 => change_bytes(&mut sample.proof, rng),
        1 => sample.proof = change_points::<E>(&sample.proof, &other.proof, rng),
        2 => change_inputs(&mut sample.inputs, &other.inputs, rng),
        _ => {
            sample.proof = change_points::<E>(&sample.proof, &other.proof, rng);
            change_inputs(&mut sample.inputs, &other.inputs, rng);
        }
    }
    sample
}

fn bytes<E: Suite>() {
    let samples = snarkjs_samples(E::CURVE);
    let key = Key::from_bytes(&samples.key).expect("a good key");
    let (mut rng, mut tally, total) = (rng(E::CURVE as u64), Tally::default(), count());
    for start in (0..total).step_by(128) {
        let changed: Vec<Sample> =
            (start..total.min(start + 128)).map(|_| mutated::<E>(&samples.proofs, &mut rng)).collect();
        judge(&key, &samples.proofs, &changed, &mut tally);
    }
    println!("{}: {total} changes, {tally:?}", E::CURVE);
    assert!(tally.decoded > total / 4 && tally.same_statement > 0, "{tally:?}");
}

#[test]
fn no_change_of_bytes_is_accepted_for_another_statement() {
    bytes::<Bn254>();
    bytes::<Bls12_381>();
}

/// The same for the text of snarkjs' files: a changed text that can be read has the same meaning, or isn't proved.
#[test]
fn no_change_of_a_file_is_accepted_for_another_statement() {
    for curve in [Curve::Bn254, Curve::Bls12381] {
        let samples = snarkjs_samples(curve);
        let key = Key::from_bytes(&samples.key).expect("a good key");
        let (proof, public) = (file(curve, "1.proof.json"), file(curve, "1.public.json"));
        let (mut rng, mut tally) = (rng(7), Tally::default());
        for _ in 0..count() {
            let (mut proof, mut public) = (proof.clone(), public.clone());
            let text = if rng.r#gen() { &mut proof } else { &mut public };
            let place = rng.gen_range(0..text.len());
            match rng.gen_range(0..4) {
                0 => text[place] = b"0123456789\"[]{},:-x \n"[rng.gen_range(0..21)],
                1 => text.insert(place, b'0' + rng.gen_range(0..10)),
                2 => drop(text.remove(place)),
                _ => text.truncate(place),
            }
            let read = || -> Result<Sample, Refused> {
                let proof = snarkjs::proof_from_json(&proof)?;
                Ok(Sample { proof, inputs: snarkjs::inputs_from_json(&public, curve)? })
            };
            if let Ok(sample) = read() {
                judge(&key, &samples.proofs, &[sample], &mut tally);
            }
        }
        println!("{curve}: {} changes, {tally:?}", count());
        assert!(tally.decoded > 0, "{tally:?}");
    }
}

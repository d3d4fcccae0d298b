//! Keys, proofs and inputs as bytes: bytes that aren't the one encoding of a valid value are refused with their own
//! error.

use crate::common::{self, Sample, Samples, prove, proving_key, rng, samples};
use ark_bls12_381::Bls12_381;
use ark_bn254::Bn254;
use ark_ec::short_weierstrass::{Affine, SWCurveConfig};
use ark_ec::{AffineRepr, PrimeGroup};
use ark_ff::{Field, PrimeField};
use ark_groth16::{Groth16, Proof, VerifyingKey};
use rustorium_zk::{
    Claim, Curve, Document, INPUTS_MAX, Key, Part, Refused, Suite, check_key, encode_key, encode_proof,
};
use std::ops::Neg;

fn refused(key: &[u8]) -> Refused {
    let refused = Key::from_bytes(key).expect_err("a bad key");
    assert_eq!(check_key(key), Err(refused.clone()));
    refused
}

fn of(key: &Key, sample: &Sample) -> Result<(), Refused> {
    Claim::new(key, &sample.proof, &sample.inputs)?.verify()
}

/// A point of the curve outside the subgroup, if the curve has any.
fn outside<P: SWCurveConfig>() -> Option<Affine<P>> {
    (1u64..200).find_map(|x| {
        let point = Affine::<P>::get_point_from_x_unchecked(P::BaseField::from(x), false)?;
        (!point.is_in_correct_subgroup_assuming_on_curve()).then_some(point)
    })
}

fn lengths<E: Suite>() {
    let Samples { key, proofs } = samples::<E>(2, 1, 1);
    assert_eq!(refused(&[]), Refused::Length(Document::Key, 0));
    for byte in [0, 3, 255] {
        assert_eq!(refused(&[&[byte], &key[1..]].concat()), Refused::UnknownCurve(byte));
    }
    for length in [1, 2, key.len() - 1] {
        assert_eq!(refused(&key[..length]), Refused::Length(Document::Key, length));
    }
    assert_eq!(refused(&[&key[..], &[0]].concat()), Refused::Length(Document::Key, key.len() + 1));
    let ready = Key::from_bytes(&key).expect("a good key");
    for length in [0, 1, proofs[0].proof.len() - 1] {
        let short = Claim::new(&ready, &proofs[0].proof[..length], &proofs[0].inputs).expect_err("too short");
        assert_eq!(short, Refused::Length(Document::Proof, length));
    }
    let long = [&proofs[0].proof[..], &[0]].concat();
    let refused = Claim::new(&ready, &long, &proofs[0].inputs).expect_err("too long");
    assert_eq!(refused, Refused::Length(Document::Proof, long.len()));
}

/// The fault of ark-groth16 0.6, which pairs inputs and points only up to the shorter list.
fn number_of_inputs<E: Suite>() {
    let key = proving_key::<E>(3, 2);
    let mut zero_last = prove(&key, 1);
    let ready = Key::from_bytes(&encode_key(&key.vk)).expect("a good key");
    assert_eq!(of(&ready, &zero_last), Ok(()));
    for count in [0, 1, 2, 4, 64, 1000] {
        zero_last.inputs.resize(count, [0; 32]);
        assert_eq!(of(&ready, &zero_last), Err(Refused::InputCount { got: count, expected: 3 }));
    }
}

#[test]
fn a_dropped_zero_and_a_superfluous_input_are_refused_where_the_library_takes_them() {
    number_of_inputs::<Bn254>();
    number_of_inputs::<Bls12_381>();
    // The fault is real: with a zero for the last input, dropped, and with one too many, the library accepts.
    let key = common::zero_statement::<Bn254>();
    let (verifying, proof, inputs) = (&key.0, &key.1, &key.2);
    #[expect(clippy::disallowed_methods, reason = "shows what the wrapper is for")]
    let raw = |inputs: &[ark_bn254::Fr]| {
        let prepared = ark_groth16::prepare_verifying_key(verifying);
        Groth16::<Bn254>::verify_proof(&prepared, proof, inputs)
    };
    assert!(raw(&inputs[..1]).expect("no error"));
    assert!(raw(&[inputs.as_slice(), &[ark_bn254::Fr::from(7u64)]].concat()).expect("no error"));
    let ready = Key::from_bytes(&encode_key(verifying)).expect("a good key");
    let bytes: Vec<common::Input> = inputs.iter().map(|input| rustorium_zk::encode_input(*input)).collect();
    let whole = Sample { proof: encode_proof(proof), inputs: bytes.clone() };
    assert_eq!(of(&ready, &whole), Ok(()));
    let dropped = Sample { inputs: bytes[..1].to_vec(), ..whole.clone() };
    assert_eq!(of(&ready, &dropped), Err(Refused::InputCount { got: 1, expected: 2 }));
    let more = Sample { inputs: [bytes, vec![[0; 32]]].concat(), ..whole };
    assert_eq!(of(&ready, &more), Err(Refused::InputCount { got: 3, expected: 2 }));
}

fn reduced<E: Suite>() {
    let Samples { key, proofs } = samples::<E>(2, 1, 3);
    let ready = Key::from_bytes(&key).expect("a good key");
    let order = encode(E::ScalarField::MODULUS, 32);
    let mut sample = proofs[0].clone();
    let plus_order = add(&sample.inputs[1], &order);
    for bytes in [order.clone(), plus_order, vec![255; 32]] {
        sample.inputs[1].copy_from_slice(&bytes);
        assert_eq!(of(&ready, &sample), Err(Refused::InputNotReduced(Part::Input(1))));
    }
    let size = E::CURVE.coordinate_bytes();
    let modulus = encode(E::BaseField::MODULUS, size);
    for (place, part) in [Part::A, Part::A, Part::B, Part::B, Part::B, Part::B, Part::C, Part::C].iter().enumerate() {
        let mut sample = proofs[0].clone();
        let coordinate = &mut sample.proof[place * size..(place + 1) * size];
        let same = add(coordinate, &modulus);
        coordinate.copy_from_slice(&same);
        assert_eq!(of(&ready, &sample), Err(Refused::CoordinateNotReduced(*part)));
    }
}

fn encode(limbs: impl ark_ff::BigInteger, size: usize) -> Vec<u8> {
    let bytes = limbs.to_bytes_be();
    bytes[bytes.len() - size..].to_vec()
}

fn add(a: &[u8], b: &[u8]) -> Vec<u8> {
    let (mut out, mut carry) = (a.to_vec(), 0);
    for (a, b) in out.iter_mut().zip(b).rev() {
        carry += u16::from(*a) + u16::from(*b);
        *a = carry as u8;
        carry >>= 8;
    }
    out
}

fn points<E: Suite>() {
    let key = proving_key::<E>(2, 4);
    let good = key.vk.clone();
    let ready = Key::from_bytes(&encode_key(&good)).expect("a good key");
    let sample = prove(&key, 4);
    let size = E::CURVE.coordinate_bytes();
    let claimed = |proof: Vec<u8>| of(&ready, &Sample { proof, ..sample.clone() });
    for (start, length, part) in [(0, 2, Part::A), (2, 4, Part::B), (6, 2, Part::C)] {
        let (start, end) = (start * size, (start + length) * size);
        let mut proof = sample.proof.clone();
        proof[start..end].fill(0);
        assert_eq!(claimed(proof), Err(Refused::Identity(part)));
        let mut proof = sample.proof.clone();
        proof[end - 1] ^= 1;
        assert_eq!(claimed(proof), Err(Refused::NotOnCurve(part)));
    }
    if let Some(point) = outside::<E::First>() {
        let bytes = |a, c| encode_proof(&Proof::<E> { a, b: E::Second::GENERATOR, c });
        assert_eq!(claimed(bytes(point, E::First::GENERATOR)), Err(Refused::WrongSubgroup(Part::A)));
        assert_eq!(claimed(bytes(E::First::GENERATOR, point)), Err(Refused::WrongSubgroup(Part::C)));
        let mut changed = good.clone();
        changed.gamma_abc_g1[1] = point;
        assert_eq!(refused(&encode_key(&changed)), Refused::WrongSubgroup(Part::Ic(1)));
        assert_eq!(E::CURVE, Curve::Bls12381);
    }
    let point = outside::<E::Second>().expect("the second group has a cofactor");
    let proof = Proof::<E> { a: E::First::GENERATOR, b: point, c: E::First::GENERATOR };
    assert_eq!(claimed(encode_proof(&proof)), Err(Refused::WrongSubgroup(Part::B)));
    for (part, change) in [
        (Part::Beta, VerifyingKey { beta_g2: point, ..good.clone() }),
        (Part::Gamma, VerifyingKey { gamma_g2: point, ..good.clone() }),
        (Part::Delta, VerifyingKey { delta_g2: point, ..good.clone() }),
    ] {
        assert_eq!(refused(&encode_key(&change)), Refused::WrongSubgroup(part));
    }
}

fn keys<E: Suite>() {
    let good = proving_key::<E>(2, 5).vk;
    let bytes = encode_key(&good);
    let size = E::CURVE.coordinate_bytes();
    let places = [(0, 2, Part::Alpha), (2, 4, Part::Beta), (6, 4, Part::Gamma), (10, 4, Part::Delta)];
    for (start, length, part) in places.into_iter().chain((0..3).map(|i| (14 + 2 * i, 2, Part::Ic(i)))) {
        let (start, end) = (1 + start * size, 1 + (start + length) * size);
        let mut changed = bytes.clone();
        changed[start..end].fill(0);
        assert_eq!(refused(&changed), Refused::Identity(part));
        let mut changed = bytes.clone();
        changed[end - 1] ^= 1;
        assert_eq!(refused(&changed), Refused::NotOnCurve(part));
        let mut changed = bytes.clone();
        changed[start..start + size].fill(255);
        assert_eq!(refused(&changed), Refused::CoordinateNotReduced(part));
    }
    let generator = E::Second::GENERATOR;
    let delta = |delta_g2| refused(&encode_key(&VerifyingKey::<E> { delta_g2, ..good.clone() }));
    assert_eq!(delta(good.gamma_g2), Refused::GammaIsDelta);
    assert_eq!(delta(good.gamma_g2.neg()), Refused::GammaIsDelta);
    assert_eq!(delta(generator), Refused::DeltaIsGenerator);
    assert_eq!(delta(generator.neg()), Refused::DeltaIsGenerator);
    let normal = VerifyingKey { gamma_g2: generator, ..good.clone() };
    assert!(Key::from_bytes(&encode_key(&normal)).is_ok());
    let many = |points| VerifyingKey { gamma_abc_g1: vec![good.gamma_abc_g1[0]; points], ..good.clone() };
    assert!(Key::from_bytes(&encode_key(&many(INPUTS_MAX + 1))).is_ok());
    assert_eq!(refused(&encode_key(&many(INPUTS_MAX + 2))), Refused::TooManyInputs(INPUTS_MAX + 1));
    assert_eq!(refused(&encode_key(&many(0))), Refused::Length(Document::Key, E::CURVE.key_bytes(0) - 2 * size));
}

/// A known ratio of δ to γ allows anybody to forge proofs, so such a key is refused.
#[test]
fn a_key_whose_delta_is_gamma_proves_anything() {
    let good = proving_key::<Bn254>(1, 6).vk;
    let weak = VerifyingKey { delta_g2: good.gamma_g2, ..good.clone() };
    let input = ark_bn254::Fr::from(12345u64);
    let c = -(good.gamma_abc_g1[0].into_group() + good.gamma_abc_g1[1] * input);
    let forged = Proof { a: weak.alpha_g1, b: weak.beta_g2, c: c.into() };
    #[expect(clippy::disallowed_methods, reason = "shows what the wrapper is for")]
    let accepted = Groth16::<Bn254>::verify_proof(&ark_groth16::prepare_verifying_key(&weak), &forged, &[input]);
    assert!(accepted.expect("no error"));
    assert_eq!(refused(&encode_key(&weak)), Refused::GammaIsDelta);
}

fn same_statement<E: Suite>() {
    let key = proving_key::<E>(2, 7);
    let ready = Key::from_bytes(&encode_key(&key.vk)).expect("a good key");
    let sample = prove(&key, 7);
    let (a, b, c) = common::points::<E>(&sample.proof);
    let flipped = Proof::<E> { a: a.neg(), b: b.neg(), c };
    let again = Groth16::<E>::rerandomize_proof(&key.vk, &Proof { a, b, c }, &mut rng(8));
    for proof in [flipped, again] {
        let other = Sample { proof: encode_proof(&proof), inputs: sample.inputs.clone() };
        assert_ne!(other.proof, sample.proof);
        assert_eq!(of(&ready, &other), Ok(()));
    }
    for wrong in [Proof { a: a.neg(), b, c }, Proof { a, b: b.neg(), c }, Proof { a, b, c: c.neg() }] {
        let other = Sample { proof: encode_proof::<E>(&wrong), inputs: sample.inputs.clone() };
        assert_eq!(of(&ready, &other), Err(Refused::NotProved));
    }
}

#[test]
fn only_the_right_lengths_are_decoded() {
    lengths::<Bn254>();
    lengths::<Bls12_381>();
}

#[test]
fn inputs_and_coordinates_are_reduced() {
    reduced::<Bn254>();
    reduced::<Bls12_381>();
}

#[test]
fn points_are_on_the_curve_and_in_the_subgroup() {
    points::<Bn254>();
    points::<Bls12_381>();
}

#[test]
fn broken_keys_are_refused() {
    keys::<Bn254>();
    keys::<Bls12_381>();
}

#[test]
fn a_rerandomized_and_a_flipped_proof_prove_the_same_statement() {
    same_statement::<Bn254>();
    same_statement::<Bls12_381>();
}

#[test]
fn every_number_of_inputs_up_to_the_limit_works() {
    for inputs in [0, 1, INPUTS_MAX] {
        let Samples { key, proofs } = samples::<Bn254>(inputs, 1, 9);
        assert_eq!(of(&Key::from_bytes(&key).expect("a good key"), &proofs[0]), Ok(()));
    }
}

#[test]
fn encodings_are_those_of_the_public_formats() {
    // EIP-197's generator of the first group is (1, 2); its second group has the u part first.
    let first = encode_proof::<Bn254>(&Proof {
        a: ark_bn254::G1Affine::generator(),
        b: ark_bn254::G2Affine::generator(),
        c: ark_bn254::G1Projective::generator().into(),
    });
    assert_eq!((first[31], first[63], first[..31].iter().max()), (1, 2, Some(&0)));
    assert_eq!(hex::encode(&first[64..72]), "198e9393920d483a");
    let one = ark_bn254::Fr::from(1u64);
    assert_eq!(rustorium_zk::encode_input(one), {
        let mut bytes = [0; 32];
        bytes[31] = 1;
        bytes
    });
    assert_eq!(one.inverse(), Some(one));
}

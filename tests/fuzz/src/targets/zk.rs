//! Groth16 keys, proofs and inputs, as bytes and as snarkjs' files; a ceremony's files.

use crate::{corpus, small};
use rustorium_zk::ceremony::{Relation, Source, Transcript, decode_proving_key, encode_proving_key};
use rustorium_zk::{Claim, Curve, Key, SCALAR_BYTES, snarkjs};
use std::ops::ControlFlow;
use std::sync::LazyLock;

const CURVES: [Curve; 2] = [Curve::Bn254, Curve::Bls12381];

fn file(curve: Curve, name: &str) -> Vec<u8> {
    let path = corpus::root().join("../zk").join(curve.label()).join(name);
    std::fs::read(path).unwrap_or_default()
}

fn files(name: &str) -> Vec<Vec<u8>> {
    CURVES.into_iter().map(|curve| file(curve, name)).collect()
}

static KEYS: LazyLock<Vec<Key>> =
    LazyLock::new(|| keys().iter().filter_map(|bytes| Key::from_bytes(bytes).ok()).collect());

/// A key that decodes has only these bytes.
pub fn key(bytes: &[u8]) {
    if let Ok(key) = Key::from_bytes(bytes) {
        assert!(key.to_bytes() == bytes, "a second encoding of a key");
    }
}

pub fn keys() -> Vec<Vec<u8>> {
    files("verification_key.json").iter().filter_map(|json| snarkjs::key_from_json(json).ok()).collect()
}

/// A proof and its inputs, the proof first; a value that decodes for a key has only these bytes.
pub fn claim(bytes: &[u8]) {
    for key in KEYS.iter() {
        let Some((proof, inputs)) = bytes.split_at_checked(key.curve().proof_bytes()) else { continue };
        let (inputs, rest) = inputs.as_chunks::<SCALAR_BYTES>();
        if let Ok(claim) = Claim::new(key, proof, inputs) {
            assert!(inputs.len() == key.inputs(), "another number of inputs than the key is for");
            let again = [claim.proof_bytes(), claim.input_bytes(), rest.to_vec()].concat();
            assert!(again == bytes, "a second encoding of a proof or an input");
        }
    }
}

pub fn claims() -> Vec<Vec<u8>> {
    let claim = |curve: Curve| {
        let proof = snarkjs::proof_from_json(&file(curve, "1.proof.json")).ok()?;
        let inputs = snarkjs::inputs_from_json(&file(curve, "1.public.json"), curve).ok()?;
        Some([proof, inputs.concat()].concat())
    };
    CURVES.into_iter().filter_map(claim).collect()
}

/// A file that can be read decodes as bytes.
pub fn key_file(bytes: &[u8]) {
    if let Ok(read) = snarkjs::key_from_json(bytes) {
        assert!(Key::from_bytes(&read).is_ok_and(|key| key.to_bytes() == read), "a file gave bytes that are no key");
    }
}

pub fn key_files() -> Vec<Vec<u8>> {
    files("verification_key.json")
}

pub fn proof_file(bytes: &[u8]) {
    if let Ok(read) = snarkjs::proof_from_json(bytes) {
        assert!(Curve::of_proof(read.len()).is_some(), "a file gave bytes that are no proof");
    }
}

pub fn proof_files() -> Vec<Vec<u8>> {
    files("1.proof.json")
}

pub fn inputs_file(bytes: &[u8]) {
    for curve in CURVES {
        if let Ok(read) = snarkjs::inputs_from_json(bytes, curve) {
            assert!(read.len() <= rustorium_zk::INPUTS_MAX, "more inputs than any key is for");
        }
    }
}

pub fn inputs_files() -> Vec<Vec<u8>> {
    files("1.public.json")
}

/// A circuit of a few constraints: the cost of reading a ceremony or a proving key depends only on the circuit's size.
static CIRCUIT: LazyLock<Relation> = LazyLock::new(small::relation);
static CEREMONIES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(ceremonies);

/// Number of reports after which a verification is stopped: a longer one has beacons of more hashes than were made.
const REPORTS_MAX: usize = 16;

/// A file that can be read has only these bytes. A file that verifies is a real ceremony, because an attacker lacks its
/// secrets.
pub fn ceremony(bytes: &[u8]) {
    let Ok(read) = Transcript::from_bytes(bytes) else { return };
    assert!(read.to_bytes() == bytes, "a second encoding of a ceremony's file");
    let mut reports = 0;
    let mut report = |_, _| {
        reports += 1;
        if reports > REPORTS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    if read.verify(Some(&CIRCUIT), &mut report).is_ok() {
        assert!(CEREMONIES.iter().any(|held| held == bytes), "a ceremony that nobody held");
    }
}

pub fn ceremonies() -> Vec<Vec<u8>> {
    let imported = |bytes: Vec<u8>| {
        let mut transcript = Transcript::import(&bytes, 2).ok()?;
        let source = Source::Random { entropy: &[1; 32], typed: b"" };
        transcript.contribute("seed", &source, &mut small::on).ok()?;
        Some(transcript.to_bytes())
    };
    let own = [small::powers(), small::whole()].map(|transcript| transcript.to_bytes());
    powers().into_iter().filter_map(imported).chain(own).collect()
}

/// A proving key that can be read has only these bytes.
pub fn proving_key(bytes: &[u8]) {
    if let Ok(key) = decode_proving_key(&CIRCUIT, bytes) {
        assert!(encode_proving_key(&CIRCUIT, &key) == bytes, "a second encoding of a proving key");
    }
}

pub fn proving_keys() -> Vec<Vec<u8>> {
    small::whole().finish().iter().map(|key| encode_proving_key(&CIRCUIT, key)).collect()
}

/// Powers of snarkjs that can be read give a ceremony's file.
pub fn ptau(bytes: &[u8]) {
    if let Ok(read) = Transcript::import(bytes, 2) {
        assert!(Transcript::from_bytes(&read.to_bytes()).is_ok_and(|again| again == read), "powers that are no file");
    }
}

pub fn powers() -> Vec<Vec<u8>> {
    std::fs::read(corpus::root().join("../zk/powers-4.ptau")).into_iter().collect()
}

//! The file of the vectors: proofs for the golden chain, and the checkpoints that a replay must reach.

use crate::pool::{NUMBER, Payer};
use crate::start::{head_of, start};
use rustorium_types::*;
use rustorium_zk::{Curve, snarkjs};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Bytes, in hex in the file.
#[derive(Clone, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Bytes(pub Vec<u8>);

impl TryFrom<String> for Bytes {
    type Error = hex::FromHexError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        hex::decode(text).map(Self)
    }
}

impl From<Bytes> for String {
    fn from(bytes: Bytes) -> Self {
        hex::encode(bytes.0)
    }
}

/// A proof of a statement under one of the verifying keys.
#[derive(Clone, Serialize, Deserialize)]
pub struct Proved {
    pub key: Bytes,
    pub inputs: Vec<Hash>,
    pub proof: Bytes,
}

/// An operation on a pool, encoded, and the number of the account whose transfer it is.
#[derive(Clone, Serialize, Deserialize)]
pub struct Shielded {
    pub sender: usize,
    pub operation: Bytes,
}

/// The state of the chain after some of its transactions.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Checkpoint {
    pub height: u64,
    pub transactions: usize,
    /// Hash over the bytes of all transactions, in order.
    pub bytes: Hash,
    /// Hash over all receipts and skips, in order.
    pub receipts: Hash,
    pub result_root: Hash,
    pub state_root: Hash,
}

/// The contents of `tests/vectors/golden.json`.
#[derive(Clone, Serialize, Deserialize)]
pub struct Vectors {
    pub about: String,
    pub how: String,
    pub chain: ChainId,
    pub proofs: Vec<Proved>,
    /// Transfers in the order in which they hold, each in a block after the one before.
    pub transfers: Vec<Shielded>,
    /// A transfer about the tree's first root, which is never executed while that root counts.
    pub late: Shielded,
    pub checkpoints: Vec<Checkpoint>,
}

fn path() -> PathBuf {
    PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../tests/vectors/golden.json")
}

impl Vectors {
    pub fn read() -> Self {
        serde_json::from_slice(&std::fs::read(path()).unwrap()).unwrap()
    }

    pub fn write(&self) {
        std::fs::write(path(), serde_json::to_string_pretty(self).unwrap() + "\n").unwrap();
    }

    /// Makes the proofs. `checkpoints` is left empty.
    pub fn make() -> Self {
        let about = "Version 1 replayed: the roots and receipts of a chain that crates/execution/tests/golden draws.";
        let how = "Never written again: version 1 is released, so a difference is a fault of the code.";
        let (transfers, late) = transfers();
        Self {
            about: about.to_owned(),
            how: how.to_owned(),
            chain: start().header.chain,
            proofs: [Curve::Bn254, Curve::Bls12381].into_iter().flat_map(proofs).collect(),
            transfers,
            late,
            checkpoints: Vec::new(),
        }
    }
}

fn proofs(curve: Curve) -> Vec<Proved> {
    let folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../tests/zk").join(curve.label());
    let file = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let proof = |number: usize| Proved {
        key: Bytes(snarkjs::key_from_json(&file("verification_key.json")).unwrap()),
        inputs: snarkjs::inputs_from_json(&file(&format!("{number}.public.json")), curve)
            .unwrap()
            .into_iter()
            .map(Hash)
            .collect(),
        proof: Bytes(snarkjs::proof_from_json(&file(&format!("{number}.proof.json"))).unwrap()),
    };
    (1..=3).map(proof).collect()
}

fn transfers() -> (Vec<Shielded>, Shielded) {
    let mut world = start();
    let (mut alice, mut bob) = (Payer::new(20), Payer::new(21));
    let late = Shielded { sender: 21, operation: Bytes(encode(&bob.shield(&world, 30))) };
    let mut made = Vec::new();
    for step in 0..5 {
        let (sender, operation) = match step {
            0 => (20, alice.shield(&world, 600)),
            1 => (20, alice.pay(&world, bob.address(), 250)),
            2 => (21, bob.unshield(&world, 5, 100)),
            3 => (21, bob.shield(&world, 50)),
            _ => (20, alice.unshield(&world, 0, 350)),
        };
        made.push(Shielded { sender, operation: Bytes(encode(&operation)) });
        world.ok(sender, vec![operation]);
        assert_eq!(head_of(&world, NUMBER).roots, 1_023 + step);
        alice.scan(&world);
        bob.scan(&world);
    }
    (made, late)
}

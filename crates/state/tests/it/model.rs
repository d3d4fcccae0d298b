//! A model of the tree that shares no code with it but the group: recursive, dense, slow.

#![allow(dead_code, reason = "each test takes what it needs")]

use rustorium_state::crs::crs;
use rustorium_state::group::{Element, Fr};
use rustorium_state::msm::msm;
use rustorium_state::tables::Tables;
use rustorium_state::tree::KeyChange;
use rustorium_types::{AccountId, Hash, StateKey};
use std::collections::BTreeMap;
use std::sync::OnceLock;

pub type Leaves = BTreeMap<[u8; 64], [u8; 32]>;

/// A small table: the roots don't depend on its width.
pub fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(|| Tables::build(4).unwrap())
}

pub fn state_key(bytes: [u8; 64]) -> StateKey {
    let (account, name) = bytes.split_at(32);
    StateKey { account: AccountId(account.try_into().unwrap()), name: name.try_into().unwrap() }
}

/// Returns a key that differs from the key of zeros at byte `at` first.
pub fn parting_key(at: usize, byte: u8) -> [u8; 64] {
    let mut key = [0; 64];
    key[at] = byte;
    key
}

pub fn random_key(number: u64) -> [u8; 64] {
    let mut key = [0; 64];
    blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut key);
    key
}

pub fn change(key: [u8; 64], value: Option<u8>) -> KeyChange {
    (state_key(key), value.map(|value| Hash([value; 32])))
}

/// The root of the tree over these leaves.
pub fn root(leaves: &Leaves) -> [u8; 32] {
    let all: Vec<_> = leaves.iter().map(|(key, value)| (*key, *value)).collect();
    commitment(&all, 0).to_bytes()
}

/// The inner nodes that such a tree has, the top one included.
pub fn inner_nodes(leaves: &Leaves) -> usize {
    let all: Vec<_> = leaves.iter().map(|(key, value)| (*key, *value)).collect();
    below(&all, 0)
}

fn below(leaves: &[([u8; 64], [u8; 32])], depth: usize) -> usize {
    let children = leaves.chunk_by(|a, b| a.0[depth] == b.0[depth]).filter(|group| group.len() > 1);
    1 + children.map(|group| below(group, shared(group))).sum::<usize>()
}

fn shared(leaves: &[([u8; 64], [u8; 32])]) -> usize {
    (0..64).find(|&at| leaves.iter().any(|leaf| leaf.0[at] != leaves[0].0[at])).unwrap_or(64)
}

fn commitment(leaves: &[([u8; 64], [u8; 32])], depth: usize) -> Element {
    let terms: Vec<(Element, Fr)> = leaves
        .chunk_by(|a, b| a.0[depth] == b.0[depth])
        .map(|group| (crs().g[usize::from(group[0].0[depth])], slot(group)))
        .collect();
    msm(&terms)
}

fn slot(group: &[([u8; 64], [u8; 32])]) -> Fr {
    match group {
        [(key, value)] => hash(&[b"leaf", key, value]),
        _ => {
            let depth = shared(group);
            hash(&[b"inner", &group[0].0[..depth], &commitment(group, depth).to_bytes()])
        }
    }
}

fn hash(fields: &[&[u8]]) -> Fr {
    let mut hasher = blake3::Hasher::new();
    for field in fields {
        hasher.update(&u32::try_from(field.len()).unwrap().to_le_bytes()).update(field);
    }
    let mut wide = [0; 64];
    hasher.finalize_xof().fill(&mut wide);
    wide.iter().rev().fold(Fr::from(0), |sum, &byte| sum * Fr::from(256) + Fr::from(byte))
}

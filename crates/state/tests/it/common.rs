//! Helpers of the tests of the published vectors: they read the files and their encodings of values.

#![allow(dead_code, reason = "each test takes what it needs")]

use rustorium_state::{Element, Fr, WIDTH, scalar};
use serde_json::Value;
use std::path::Path;

/// A file of `tests/vectors/verkle`.
pub fn vectors(name: &str) -> Value {
    let path = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../tests/vectors/verkle").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// The strings of a list.
pub fn strings(list: &Value) -> impl Iterator<Item = &str> {
    list.as_array().unwrap().iter().map(|value| value.as_str().unwrap())
}

/// 32 bytes from hex.
pub fn bytes32(hex: &str) -> [u8; 32] {
    hex::decode(hex.trim_start_matches("0x")).unwrap().try_into().unwrap()
}

/// A group element from the hex of its encoding.
pub fn element(value: &Value) -> Element {
    Element::from_bytes(&bytes32(value.as_str().unwrap())).unwrap()
}

/// A scalar from hex, little-endian.
pub fn scalar_le(value: &Value) -> Fr {
    scalar::from_bytes(&bytes32(value.as_str().unwrap())).unwrap()
}

/// The polynomial of the published proofs: 1, 2, … 32, eight times.
pub fn saw() -> [Fr; WIDTH] {
    std::array::from_fn(|i| Fr::from(i as u64 % 32 + 1))
}

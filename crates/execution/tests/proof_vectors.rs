//! The conformance vectors of proofs on disk are those of this code, and show what they say.
#![allow(clippy::unwrap_used)]

mod common;

use common::*;
use rustorium_execution::*;
use rustorium_types::limits::GENESIS_BYTES_MAX;
use rustorium_types::*;
use serde_json::Value;
use std::path::Path;

fn text_of(name: &str) -> String {
    let path = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../tests/vectors").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn text() -> String {
    text_of(PROOF_VECTORS)
}

#[test]
fn the_file_is_what_the_code_makes() {
    assert_eq!(text(), proof_vectors(), "a change of the protocol that is meant: `just regenerate-vectors`");
}

#[test]
fn the_order_of_lanes_is_what_the_vectors_say() {
    assert_eq!(
        text_of(ORDER_VECTORS),
        order_vectors(),
        "a change of the protocol that is meant: `just regenerate-vectors`"
    );
}

#[test]
fn each_shows_what_it_says() {
    let file: Value = serde_json::from_str(&text()).unwrap();
    let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    for case in file["cases"].as_array().unwrap() {
        let genesis: Genesis = decode(&bytes(&case["genesis"]), GENESIS_BYTES_MAX).unwrap();
        let raw = bytes(&case["bytes"]);
        let proof: Proof = decode(&raw, PROOF_BYTES_MAX).unwrap();
        assert_eq!(encode(&proof), raw);
        assert_eq!(proof.kind(), case["type"]);
        let mut light = Light::new(Trust::genesis(&genesis), None);
        let mut changes = case["epochs"].as_array().into_iter().flatten();
        let followed = changes
            .try_for_each(|change| light.follow(&decode(&bytes(change), PROOF_BYTES_MAX).unwrap(), 0).map(|_| ()));
        let shown = followed.and_then(|()| light.check(&proof, 0));
        assert_eq!(shown.is_ok(), !case["shows"].is_null(), "{}: {shown:?}", case["name"]);
        if let Ok(shown) = shown {
            assert_eq!(header_of(&proof).height.0, case["shows"]["claimed_by"]);
            assert_eq!(
                shown.read.map(|read| read.height.0),
                case["shows"]["values"].as_array().map(|_| case["shows"]["height"].as_u64().unwrap())
            );
        }
    }
}

//! The conformance vectors of proofs on disk are those that this code makes, and prove their facts.

use crate::common::*;
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
fn the_file_of_light_clients_is_what_the_code_makes() {
    assert_eq!(
        text_of(LIGHT_VECTORS),
        light_vectors(),
        "a change of the protocol that is meant: `just regenerate-vectors`"
    );
}

#[test]
fn a_light_client_takes_and_refuses_what_the_vectors_say() {
    let file: Value = serde_json::from_str(&text_of(LIGHT_VECTORS)).unwrap();
    let bytes = |value: &Value| hex::decode(value.as_str().unwrap()).unwrap();
    let change = |value: &Value| decode::<EpochTransition>(&bytes(value), PROOF_BYTES_MAX).unwrap();
    let genesis: Genesis = decode(&bytes(&file["genesis"]), GENESIS_BYTES_MAX).unwrap();
    let mut wrong = Vec::new();
    for case in file["cases"].as_array().unwrap() {
        let trust = match case.get("checkpoint") {
            Some(checkpoint) => Trust::from_checkpoint(&bytes(checkpoint)).unwrap(),
            None => Trust::genesis(&genesis),
        };
        let mut light = Light::new(trust, case["trust_period_ms"].as_u64());
        for (number, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            let now_ms = step["now_ms"].as_u64().unwrap_or(0);
            let outcome = if let Some(range) = step.get("follow_chain") {
                let [first, end] = [0, 1].map(|at| range[at].as_u64().unwrap() as usize);
                (first..end).try_for_each(|epoch| {
                    let at_ms = file["changes_at_ms"][epoch].as_u64().unwrap();
                    light.follow(&change(&file["changes"][epoch]), at_ms).map(|_| ())
                })
            } else if let Some(bytes) = step.get("follow") {
                light.follow(&change(bytes), now_ms).map(|_| ())
            } else {
                let proof: Proof = decode(&bytes(&step["check"]), PROOF_BYTES_MAX).unwrap();
                light.check(&proof, now_ms).map(|_| ())
            };
            let gives = outcome.as_ref().map_or_else(ProofRefused::code, |()| "ok");
            if gives != step["gives"].as_str().unwrap_or("ok") {
                wrong.push(format!("{}, step {number}: {} expected, {outcome:?}", case["name"], step["gives"]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
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
fn the_records_are_what_the_vectors_say() {
    let text = text_of(RECORD_VECTORS);
    assert_eq!(text, record_vectors(), "a change of the protocol that is meant: `just regenerate-vectors`");
    let file: Value = serde_json::from_str(&text).unwrap();
    for case in file["refused"].as_array().unwrap() {
        let bytes = hex::decode(case["bytes"].as_str().unwrap()).unwrap();
        assert!(AccountRecord2::from_bytes(&bytes).is_err(), "{}", case["name"]);
    }
}

#[test]
fn each_proof_shows_the_facts_of_its_case() {
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

//! A page gets the answers in the conformance vectors, and nothing makes the client panic.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use rustorium_light::Session;
use serde_json::{Value, json};
use std::path::Path;

fn vectors(name: &str) -> Value {
    let path = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../tests/vectors").join(name);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn cases() -> Vec<Value> {
    vectors("proofs.json")["cases"].as_array().unwrap().clone()
}

fn ask(session: &mut Session, question: &Value) -> Value {
    serde_json::from_str(&session.answer(question.to_string().as_bytes())).unwrap()
}

fn started(case: &Value) -> Session {
    let mut session = Session::default();
    let answer = ask(&mut session, &json!({ "ask": "start", "genesis_hex": case["genesis"] }));
    assert!(answer["started"]["validators"].as_u64().unwrap() > 0, "{answer}");
    session
}

fn check(session: &mut Session, proof_hex: &Value) -> Value {
    ask(session, &json!({ "ask": "check", "kind": "any", "proof_hex": proof_hex, "now_ms": 0 }))
}

fn values(shown: &Value) -> Vec<Value> {
    let item = |item: &Value| match item["type"].as_str().unwrap() {
        "value" => item["value_hex"].clone(),
        "balance" => json!(
            item["balance"]
                .as_str()
                .unwrap()
                .parse::<u128>()
                .unwrap()
                .to_le_bytes()
                .map(|b| format!("{b:02x}"))
                .concat()
        ),
        _ => item["record"]["public_key"].clone(),
    };
    shown["items"].as_array().unwrap().iter().map(item).collect()
}

#[test]
fn each_vector_shows_what_it_says() {
    for case in cases() {
        let (name, says) = (&case["name"], &case["shows"]);
        let mut session = started(&case);
        let changes = case["epochs"].as_array().cloned().unwrap_or_default();
        if !changes.is_empty() {
            assert_eq!(check(&mut session, &case["bytes"])["missing"], json!([0, changes.len()]), "{name}");
        }
        let follow = |change| ask(&mut session, &json!({ "ask": "follow", "change_hex": change, "now_ms": 0 }));
        let refused = changes.iter().map(follow).find(|answer| !answer["refused"].is_null());
        let answer = refused.unwrap_or_else(|| check(&mut session, &case["bytes"]));
        if says.is_null() {
            assert!(answer["refused"].as_str().is_some_and(|why| why.len() > 10), "{name}: {answer}");
            continue;
        }
        let (shown, signers) = (&answer["shown"], &answer["signers"]);
        let labels = signers["labels"].as_array().unwrap().len();
        assert!(labels * 3 > 2 * signers["validators"].as_u64().unwrap() as usize, "{name}: {signers}");
        assert_eq!((&shown["kind"], &shown["claimed_by"]["height"]), (&case["type"], &says["claimed_by"]), "{name}");
        match case["type"].as_str().unwrap() {
            "read" => {
                assert_eq!((&shown["height"], &shown["state_root"]), (&says["height"], &says["state_root"]), "{name}");
                let said = says["values"].as_array().unwrap().iter();
                for (found, said) in values(shown).iter().zip(said) {
                    // An account's record begins with the key.
                    let same =
                        found == said || found.as_str().is_some_and(|key| said.as_str().unwrap().starts_with(key));
                    assert!(same, "{name}: {found} for {said}");
                }
            }
            "block" => assert_eq!(shown["header"]["height"], says["height"], "{name}"),
            kind => {
                assert_eq!(shown["transaction"].is_null(), kind == "receipt", "{name}");
                for field in ["id", "height", "index"] {
                    assert_eq!(shown["receipt"][field], says[field], "{name}");
                }
            }
        }
    }
}

fn take_step(session: &mut Session, file: &Value, step: &Value) -> Vec<Value> {
    let now_ms = &step["now_ms"];
    let follow = |bytes: &Value, at_ms: &Value| json!({ "ask": "follow", "change_hex": bytes, "now_ms": at_ms });
    let questions = if let Some(range) = step.get("follow_chain") {
        let [first, end] = [0, 1].map(|at| range[at].as_u64().unwrap() as usize);
        (first..end).map(|epoch| follow(&file["changes"][epoch], &file["changes_at_ms"][epoch])).collect()
    } else if let Some(change) = step.get("follow") {
        vec![follow(change, now_ms)]
    } else {
        vec![json!({ "ask": "check", "kind": "any", "proof_hex": step["check"], "now_ms": now_ms })]
    };
    questions.iter().map(|question| ask(session, question)).collect()
}

#[test]
fn trust_is_what_the_vectors_say() {
    let file = vectors("light.json");
    for case in file["cases"].as_array().unwrap() {
        let mut start = json!({ "ask": "start", "trust_period_ms": case["trust_period_ms"] });
        match case.get("checkpoint") {
            Some(checkpoint) => start["checkpoint_hex"] = checkpoint.clone(),
            None => start["genesis_hex"] = file["genesis"].clone(),
        }
        let mut session = Session::default();
        assert!(ask(&mut session, &start)["started"].is_object(), "{}", case["name"]);
        for (number, step) in case["steps"].as_array().unwrap().iter().enumerate() {
            for answer in take_step(&mut session, &file, step) {
                let gives = answer["code"].as_str().unwrap_or("ok");
                assert_eq!(gives, step["gives"].as_str().unwrap_or("ok"), "{}, step {number}: {answer}", case["name"]);
            }
        }
    }
}

#[test]
fn a_start_is_at_a_genesis_or_a_checkpoint() {
    let file = vectors("light.json");
    let neither = json!({ "ask": "start" });
    let both = json!({ "ask": "start", "genesis_hex": file["genesis"], "checkpoint_hex": "00" });
    let shard_of_checkpoint = json!({ "ask": "start", "checkpoint_hex": "00", "shard": 0 });
    for start in [neither, both, shard_of_checkpoint] {
        assert!(ask(&mut Session::default(), &start)["refused"].as_str().unwrap().contains("one of them"));
    }
}

#[test]
fn a_start_is_in_a_shard_of_the_genesis() {
    let file = vectors("light.json");
    let start = |shard: u32| json!({ "ask": "start", "genesis_hex": file["genesis"], "shard": shard });
    assert_eq!(ask(&mut Session::default(), &start(0))["started"]["shard"], 0);
    let refused = ask(&mut Session::default(), &start(1));
    assert_eq!(refused["refused"], "the genesis has no shard 1", "{refused}");
}

#[test]
fn without_a_genesis_or_with_another_nothing_is_shown() {
    let read = &cases()[0];
    assert!(check(&mut Session::default(), &read["bytes"])["refused"].is_string());
    // The chain's name, "test", stands in the genesis.
    let genesis = read["genesis"].as_str().unwrap();
    let other = json!({ "genesis": genesis.replacen("74657374", "74657375", 1) });
    assert_ne!(read["genesis"], other["genesis"]);
    let why = check(&mut started(&other), &read["bytes"]);
    assert!(why["refused"].as_str().unwrap().contains("another chain"), "{why}");
}

#[test]
fn a_kind_and_its_parts_must_fit() {
    let cases = cases();
    let mut session = started(&cases[0]);
    for (kind, part) in
        [("read", json!("00")), ("transaction", Value::Null), ("block", Value::Null), ("other", Value::Null)]
    {
        let question =
            json!({ "ask": "check", "kind": kind, "part_hex": part, "proof_hex": cases[0]["bytes"], "now_ms": 0 });
        assert!(ask(&mut session, &question)["refused"].as_str().unwrap().contains("no such kind"), "{kind}");
    }
    // The bytes of a proof file name its kind; those of a read alone don't.
    let inner = Value::from(&cases[0]["bytes"].as_str().unwrap()[2..]);
    let question = json!({ "ask": "check", "kind": "read", "proof_hex": inner, "now_ms": 0 });
    assert!(ask(&mut session, &question)["shown"].is_object());
}

proptest! {
    #[test]
    fn any_question_has_an_answer(question in proptest::collection::vec(any::<u8>(), 0..200)) {
        let answer: Value = serde_json::from_str(&Session::default().answer(&question)).unwrap();
        prop_assert!(answer["refused"].is_string());
    }

    #[test]
    fn a_proof_with_another_digit_is_refused(at in any::<prop::sample::Index>(), digit in 0_u8..16) {
        let case = &cases()[0];
        let mut digits = case["bytes"].as_str().unwrap().as_bytes().to_vec();
        let at = at.index(digits.len());
        let other = b"0123456789abcdef"[usize::from(digit)];
        prop_assume!(digits[at] != other);
        digits[at] = other;
        let answer = check(&mut started(case), &json!(String::from_utf8(digits).unwrap()));
        prop_assert!(answer["shown"].is_null(), "{}", answer);
    }
}

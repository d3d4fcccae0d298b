//! Reads with their proofs: one by one, many at once, absence, and facts without a proof.

use crate::client::*;
use crate::world::{World, address};
use axum::http::header;
use rustorium_gateway::http::HttpLimits;
use rustorium_types::*;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const JSON: &str = "application/json";

fn proof_of(body: &Value) -> ReadProof {
    let bytes = hex::decode(body["proof_hex"].as_str().unwrap()).unwrap();
    decode(&bytes, PROOF_BYTES_MAX).unwrap()
}

fn world() -> Arc<World> {
    let world = World::new([1]);
    world.finalize(vec![world.put(1, 0, b"a", b"one"), world.put(1, 1, b"b", &[0xFF])]);
    world.finalize(vec![world.put(1, 2, b"c", b"three")]);
    world.proven_height.store(1, Ordering::Relaxed);
    world
}

#[tokio::test]
async fn a_read_has_its_proof_and_names_its_roots() {
    let world = world();
    let router = app(&world, HttpLimits::default());
    let account = address(1);
    let at = json!({ "shard": 0, "height": 1, "root": Hash([1; 32]), "state_root": Hash([8; 32]) });
    let answer = get(&router, &format!("/v1/accounts/{account}/keys/a?at=proven&proof=1")).await;
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    let body = answer.json();
    assert_eq!((&body["value"], &body["at"]), (&json!("one"), &at));
    let [(subject, value)] = proof_of(&body).entries.into_vec().try_into().unwrap();
    assert_eq!(subject, Subject::Value(account, BoundedBytes::new(b"a".to_vec()).unwrap()));
    assert_eq!(value.unwrap().as_slice(), b"one");
    let body = get(&router, &format!("/v1/accounts/{account}?proof=1")).await.json();
    assert_eq!((&body["nonce"], &body["storage_bytes_left"], &body["at"]), (&json!(3), &json!(6), &at));
    assert_eq!(proof_of(&body).entries[0].0, Subject::Account(account));
    let body = get(&router, &format!("/v1/accounts/{account}/balances/{}?proof=1", Hash([2; 32]))).await.json();
    assert_eq!((&body["balance"], proof_of(&body).entries[0].1.is_none()), (&json!("0"), true));
    let plain = get(&router, &format!("/v1/accounts/{account}/keys/a?at=proven")).await.json();
    let at = json!({ "shard": 0, "height": 1, "root": Hash([1; 32]) });
    assert_eq!((&plain["value"], &plain["at"], plain.get("proof_hex")), (&json!("one"), &at, None));
    let old = get(&router, &format!("/v1/accounts/{account}/keys/a?at=0")).await.json();
    assert_eq!(old["at"]["height"], 0);
}

#[tokio::test]
async fn absence_is_a_404_that_can_carry_its_proof() {
    let world = world();
    let router = app(&world, HttpLimits::default());
    let paths = [
        (format!("/v1/accounts/{}/keys/none?proof=1", address(1)), "key-not-found"),
        (format!("/v1/accounts/{}?proof=1", address(9)), "account-not-found"),
    ];
    for (path, code) in paths {
        let answer = get(&router, &path).await;
        let problem = answer.problem();
        assert_eq!((answer.status.as_u16(), problem["code"].as_str().unwrap()), (404, code));
        assert_eq!(problem["at"]["state_root"], json!(Hash([8; 32])));
        assert_eq!(proof_of(&problem).entries[0].1, None);
    }
    let plain = get(&router, &format!("/v1/accounts/{}/keys/none", address(1))).await.problem();
    assert!(plain.get("proof_hex").is_none());
}

#[tokio::test]
async fn many_are_proven_at_once() {
    let world = world();
    let router = app(&world, HttpLimits::default());
    let account = address(1);
    let question = json!({
        "items": [
            { "account": account, "key": "a" },
            { "account": account, "key_hex": "62" },
            { "account": account },
            { "account": account, "asset": Hash([1; 32]) },
            { "account": account, "key": "missing" },
            { "account": address(9) },
        ],
        "from_height": 1,
        "timeout_ms": 1_000,
    });
    let answer = post(&router, "/v1/proofs", JSON, question.to_string()).await;
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let body = answer.json();
    let proof = proof_of(&body);
    assert_eq!(proof.entries.len(), 6);
    assert!(proof.entries.is_sorted_by(|a, b| a.0 < b.0));
    let of = |kind: &str| -> Vec<Value> {
        body["items"].as_array().unwrap().iter().filter(|item| item["type"] == kind).cloned().collect()
    };
    let absent = |item: &&Value| item["value_hex"].is_null() && item["value"].is_null();
    assert_eq!(of("value").iter().filter(absent).count(), 1);
    assert_eq!(of("value").iter().find(|item| item["key"] == "b").unwrap()["value_hex"], "ff");
    assert_eq!(of("account").iter().filter(|item| item["record"].is_null()).count(), 1);
    assert_eq!(of("balance")[0]["balance"], u128::MAX.to_string());
    assert_eq!((&body["claimed_by"]["height"], &body["at"]["height"]), (&json!(2), &json!(1)));
}

#[tokio::test]
async fn the_error_says_why_a_fact_cannot_be_proven() {
    let world = world();
    let router = app(&world, HttpLimits::default());
    let account = address(1);
    let one = json!([{ "account": account }]);
    let many: Vec<Value> = (0..=PROOF_KEYS_MAX).map(|n| json!({ "account": account, "key": n.to_string() })).collect();
    let long = "k".repeat(limits::KEY_BYTES_MAX + 1);
    let cases = [
        (json!({ "items": [] }), 400, "bad-subjects"),
        (json!({ "items": many }), 400, "bad-body"),
        (json!({ "items": [{ "account": account }, { "account": account }] }), 400, "bad-subjects"),
        (
            json!({ "items": [{ "account": account, "key": "a" }, { "account": account, "key_hex": "61" }] }),
            400,
            "bad-subjects",
        ),
        (json!({ "items": [{ "account": account, "key": "a", "key_hex": "62" }] }), 400, "bad-subjects"),
        (json!({ "items": [{ "account": account, "key": "a", "asset": Hash([1; 32]) }] }), 400, "bad-subjects"),
        (json!({ "items": [{ "account": account, "key": long }] }), 400, "bad-subjects"),
        (json!({ "items": [{ "account": "rs1nonsense" }] }), 400, "bad-body"),
        (json!({ "items": [{ "key": "a" }] }), 400, "bad-body"),
        (json!({ "items": one, "more": 1 }), 400, "bad-body"),
        (json!({ "items": one, "at": "latest" }), 400, "bad-body"),
        (json!({ "items": one, "at": "1", "from_height": 1 }), 400, "bad-body"),
        (json!({ "items": one, "at": "current", "from_height": 1 }), 400, "bad-body"),
        (json!({ "items": one, "timeout_ms": 0 }), 400, "bad-query"),
        (json!({ "items": one, "at": "0" }), 410, "proof-pruned"),
        (json!({ "items": one, "from_height": 2 }), 503, "not-proven-yet"),
    ];
    for (question, status, code) in cases {
        let answer = post(&router, "/v1/proofs", JSON, question.to_string()).await;
        let problem = answer.problem();
        assert_eq!((answer.status.as_u16(), problem["code"].as_str().unwrap()), (status, code), "{question}");
        assert_eq!(answer.headers.contains_key(header::RETRY_AFTER), status == 503);
        match code {
            "proof-pruned" => assert_eq!(problem["nearest"], 1),
            "not-proven-yet" => assert_eq!(problem["newest"], 1),
            _ => {}
        }
    }
    let other = post(&router, "/v1/proofs", BINARY, "").await;
    assert_eq!(other.problem()["code"], "unsupported-media-type");
    let huge = post(&router, "/v1/proofs", JSON, vec![b' '; 2 * 1024 * 1024 + 1]).await;
    assert_eq!(huge.problem()["code"], "body-too-large");
    world.proven_height.store(0, Ordering::Relaxed);
    let none = post(&router, "/v1/proofs", JSON, json!({ "items": one }).to_string()).await;
    assert_eq!((none.status.as_u16(), &none.problem()["code"]), (409, &json!("no-state-root")));
    world.pruned_below.store(1, Ordering::Relaxed);
    let pruned = get(&router, &format!("/v1/accounts/{account}?at=0")).await;
    assert_eq!((pruned.status.as_u16(), &pruned.problem()["oldest"]), (410, &json!(1)));
}

#[tokio::test]
async fn epoch_changes_come_in_pages() {
    let world = world();
    let router = app(&world, HttpLimits::default());
    let none = get(&router, "/v1/epochs").await;
    assert_eq!((&none.json()["changes"], none.json().get("next")), (&json!([]), None));
    world.ended_epochs.store(5, Ordering::Relaxed);
    let first = get(&router, "/v1/epochs?from=1&limit=3").await;
    assert!(first.headers[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
    let body = first.json();
    let epochs: Vec<u64> = body["changes"].as_array().unwrap().iter().map(|c| c["epoch"].as_u64().unwrap()).collect();
    assert_eq!((epochs, &body["next"], &body["changes"][0]["height"]), (vec![1, 2, 3], &json!(4), &json!(20)));
    let bytes = hex::decode(body["changes"][0]["change_hex"].as_str().unwrap()).unwrap();
    assert_eq!(decode::<EpochTransition>(&bytes, PROOF_BYTES_MAX).unwrap().epoch(), Epoch(1));
    let last = get(&router, "/v1/epochs?from=4&limit=3").await;
    assert_eq!(last.headers[header::CACHE_CONTROL], "no-store");
    assert_eq!((last.json()["changes"].as_array().unwrap().len(), last.json().get("next")), (1, None));
    for bad in ["from=x", "limit=0", "limit=101", "what=1"] {
        assert_eq!(get(&router, &format!("/v1/epochs?{bad}")).await.problem()["code"], "bad-query", "{bad}");
    }
}

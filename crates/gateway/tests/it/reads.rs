use crate::client::*;
use crate::key_pages::ASSETS;
use crate::world::{World, address};
use axum::body::Body;
use axum::http::{Request, header};
use rustorium_crypto::{hash::domain, hash_value, transaction_id, value_hash};
use rustorium_gateway::Backend;
use rustorium_gateway::http::{HttpLimits, route_paths};
use rustorium_types::limits::*;
use rustorium_types::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

async fn if_none_match(router: &axum::Router, uri: &str, etag: &str) -> u16 {
    let request = Request::get(uri).header(header::IF_NONE_MATCH, etag).body(Body::empty()).unwrap();
    let answer = send(router, request).await;
    assert!(answer.status != 304 || answer.body.is_empty());
    answer.status.as_u16()
}

#[tokio::test]
async fn transactions_are_read_with_receipt_and_proof() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let transaction = world.put(1, 0, b"name", b"value");
    let id = transaction_id(&transaction.first().unwrap().body);
    world.finalize(vec![transaction.clone()]);
    world.certified.store(false, Ordering::Relaxed);
    let answer = get(&router, &format!("/v1/transactions/{id}?proof=1")).await;
    assert_eq!((&answer.json()["status"], &answer.json()["proof_hex"]), (&json!("final"), &Value::Null));
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    world.certified.store(true, Ordering::Relaxed);
    let answer = get(&router, &format!("/v1/transactions/{id}?proof=1")).await;
    let body = answer.json();
    assert_eq!(body["status"], "certified");
    assert_eq!(body["transaction"]["operations"][0]["key"], "name");
    let put = &body["transaction"]["operations"][0];
    assert_eq!((&put["value"], &put["value_hex"]), (&json!("value"), &Value::Null));
    assert_eq!(body["receipt"]["sender"], address(1).to_string());
    assert_eq!(body["transaction_hex"], hex::encode(encode(&transaction)));
    assert!(body["proof_hex"].is_string());
    assert_eq!(body["at"]["shard"], 0);
    let plain = format!("/v1/transactions/{id}");
    let etag = get(&router, &plain).await.headers[header::ETAG].to_str().unwrap().to_owned();
    assert_eq!(if_none_match(&router, &plain, &etag).await, 304);
    assert_eq!(if_none_match(&router, &plain, "\"other\"").await, 200);
    let unknown = get(&router, &format!("/v1/transactions/{}", TxId::ZERO)).await;
    assert_eq!((unknown.status.as_u16(), &unknown.problem()["code"]), (404, &json!("transaction-not-found")));
}

#[tokio::test]
async fn accounts_balances_and_keys_name_where_they_hold() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let names: [&[u8]; 4] = [b"a/b c", &[0xFF, 0], b"", "é".as_bytes()];
    for (nonce, name) in names.iter().enumerate() {
        world.finalize(vec![world.put(1, nonce as u64, name, &[nonce as u8, 0xFF])]);
    }
    let account = address(1);
    let at = json!({ "shard": 0, "height": 4, "root": Hash([4; 32]) });
    let body = get(&router, &format!("/v1/accounts/{account}?at=latest")).await.json();
    assert_eq!((&body["nonce"], &body["at"]), (&json!(4), &at));
    assert_eq!(body["protocol"], world.chain().genesis.version);
    let body = get(&router, &format!("/v1/accounts/{account}/balances/{}", Hash([1; 32]))).await.json();
    assert_eq!((&body["balance"], &body["at"]), (&json!(u128::MAX.to_string()), &at));
    let keys = [
        ("keys/a/b%20c", 0),
        ("keys/a%2Fb%20c?encoding=utf8", 0),
        ("keys/ff00?encoding=hex", 1),
        ("keys/_wA?encoding=base64", 1),
        ("keys/", 2),
        ("keys/%C3%A9?at=4", 3),
    ];
    for (path, value) in keys {
        let body = get(&router, &format!("/v1/accounts/{account}/{path}")).await.json();
        assert_eq!(body["value_hex"], hex::encode([value, 0xFF]), "{path}");
        assert_eq!(body["at"], at);
    }
    let body = get(&router, &format!("/v1/accounts/{account}/keys/ff00?encoding=hex")).await.json();
    assert_eq!((&body["key"], &body["key_hex"]), (&Value::Null, &json!("ff00")));
    let missing = get(&router, &format!("/v1/accounts/{account}/keys/none")).await;
    assert_eq!((&missing.problem()["code"], &missing.problem()["at"]), (&json!("key-not-found"), &at));
}

#[tokio::test]
async fn an_accounts_transactions_page_back_without_gap_or_duplicate() {
    let world = World::new([1, 2]);
    let router = app(&world, HttpLimits::default());
    for nonce in 0..25 {
        world.finalize(vec![
            world.put(1, 2 * nonce, b"k", b"v"),
            world.put(2, nonce, b"k", b"v"),
            world.put(1, 2 * nonce + 1, b"k", b"v"),
        ]);
    }
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let page = get(&router, &format!("/v1/accounts/{}/transactions?limit=7{next}", address(1))).await.json();
        seen.extend(
            page["transactions"].as_array().unwrap().iter().map(|t| (t["height"].as_u64(), t["index"].as_u64())),
        );
        match page["next"].as_str() {
            Some(cursor) => next = format!("&before={cursor}"),
            None => break,
        }
    }
    let expected: Vec<_> = (1..=25).rev().flat_map(|h| [(Some(h), Some(2)), (Some(h), Some(0))]).collect();
    assert_eq!(seen, expected);
    let page = get(&router, &format!("/v1/accounts/{}/transactions", address(1))).await.json();
    assert_eq!(page["transactions"].as_array().unwrap().len(), 30);
}

#[tokio::test]
async fn keys_are_listed_by_prefix_in_pages_of_one_height() {
    let world = World::new([1, 2]);
    let router = app(&world, HttpLimits::default());
    let puts = (0..25).map(|n| world.put(1, n, format!("{}/{n}", ["a", "b"][n as usize % 2]).as_bytes(), b"value"));
    world.finalize(puts.collect());
    let path = format!("/v1/accounts/{}/keys", address(1));
    let (mut seen, mut next) = (BTreeSet::new(), String::new());
    loop {
        let page = get(&router, &format!("{path}?prefix=a/&limit=4{next}")).await.json();
        assert_eq!((&page["at"]["height"], &page["namespace"]), (&json!(1), &json!(address(1).to_string())));
        for listed in page["keys"].as_array().unwrap() {
            assert_eq!((&listed["value_bytes"], &listed["value_hex"]), (&json!(5), &json!(null)));
            assert_eq!(listed["value_hash"], json!(value_hash(b"value")));
            assert_eq!(listed["key_hex"], json!(hex::encode(listed["key"].as_str().unwrap())));
            assert!(seen.insert(listed["key"].as_str().unwrap().to_owned()));
        }
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&cursor={cursor}");
        // Later writes don't change the pages.
        if world.status().height.0 == 1 {
            world.finalize(vec![world.put(2, 0, b"k", b"v")]);
        }
    }
    assert_eq!(seen, (0..25).step_by(2).map(|n| format!("a/{n}")).collect());
    let listed = get(&router, &format!("{path}?prefix=YS8yNA&encoding=base64&values=1&at=latest")).await;
    assert_eq!(listed.headers[header::CACHE_CONTROL], "no-store");
    let body = listed.json();
    assert_eq!((body["keys"].as_array().unwrap().len(), &body["keys"][0]["value"]), (1, &json!("value")));
    world.pruned_below.store(2, Ordering::Relaxed);
    let gone = get(&router, &format!("{path}?limit=4{next}")).await;
    assert_eq!((gone.status.as_u16(), &gone.problem()["code"]), (410, &json!("pruned")));
}

#[tokio::test]
async fn grants_are_listed_with_what_they_allow_and_whether_they_still_do() {
    let world = World::new([1]);
    let path = format!("/v1/accounts/{}/grants", address(1));
    let page = get(&app(&world, HttpLimits::default()), &path).await.json();
    assert_eq!(
        (&page["account"], &page["grants_era"], page.get("next")),
        (&json!(address(1).to_string()), &json!(3), None)
    );
    let grant = |n: u8, era: u32, valid: bool| json!({ "to": AccountId([n; 32]), "rights": ["put"], "prefixes_hex": ["612f"], "era": era, "valid": valid });
    let mut wanted = [grant(1, 3, false), grant(2, 2, false), grant(3, 3, true)];
    (wanted[0]["until_ms"], wanted[2]["until_ms"]) = (json!(50), json!(51));
    assert_eq!(page["grants"], json!(wanted));
}

#[tokio::test]
async fn balances_are_listed_in_pages_of_one_height() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let path = format!("/v1/accounts/{}/balances", address(1));
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let page = get(&router, &format!("{path}?limit=3{next}")).await.json();
        assert_eq!((&page["account"], &page["at"]["height"]), (&json!(address(1).to_string()), &json!(0)));
        seen.extend(page["balances"].as_array().unwrap().iter().map(|b| (b["asset"].clone(), b["balance"].clone())));
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&cursor={cursor}");
        world.finalize(vec![world.put(1, world.status().height.0, b"k", b"v")]);
    }
    let held = |n: u8| (json!(Hash([n; 32])), json!(n.to_string()));
    assert_eq!(seen, (0..ASSETS).map(held).collect::<Vec<_>>());
    for (query, code) in [("limit=101", "bad-query"), ("cursor=x", "bad-cursor"), ("at=3&cursor=x", "bad-query")] {
        assert_eq!(get(&router, &format!("{path}?{query}")).await.problem()["code"], json!(code), "{query}");
    }
}

#[tokio::test]
async fn a_keys_versions_are_listed_newest_first_in_pages() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let values: [&[u8]; 5] = [b"one", b"two", &[0xFF], b"four", b"five"];
    let puts: Vec<Transaction> = (0..).zip(values).map(|(nonce, value)| world.put(1, nonce, b"a/b", value)).collect();
    puts.iter().for_each(|put| world.finalize(vec![put.clone()]));
    world.finalize(vec![world.put(1, 5, b"other", b"value")]);
    let path = format!("/v1/accounts/{}/history", address(1));
    let (mut seen, mut next) = (Vec::new(), String::new());
    loop {
        let page = get(&router, &format!("{path}/a/b?limit=2{next}")).await.json();
        assert_eq!((&page["key"], &page["kept_from"], &page["at"]["height"]), (&json!("a/b"), &json!(0), &json!(6)));
        seen.extend(page["versions"].as_array().unwrap().iter().cloned());
        let Some(before) = page["next"].as_u64() else { break };
        next = format!("&before={before}");
    }
    let heights: Vec<_> = seen.iter().map(|version| version["height"].as_u64().unwrap()).collect();
    assert_eq!(heights, [5, 4, 3, 2, 1]);
    let ids: Vec<_> = puts.iter().rev().map(|put| json!(transaction_id(&put.first().unwrap().body))).collect();
    assert_eq!(seen.iter().map(|version| version["transaction"].clone()).collect::<Vec<_>>(), ids);
    assert_eq!((&seen[0]["value"], &seen[2]["value_hex"]), (&json!("five"), &json!("ff")));
    assert_eq!((&seen[0]["removed"], &seen[2]["value"]), (&json!(false), &Value::Null));
    for (place, code) in [("/a/b?before=x", "bad-query"), ("/a?encoding=hex", "bad-key"), ("/a?limit=0", "bad-query")] {
        assert_eq!(get(&router, &format!("{path}{place}")).await.problem()["code"], json!(code), "{place}");
    }
    assert_eq!(get(&router, &format!("{path}/")).await.json()["versions"], json!([]));
}

#[tokio::test]
async fn blocks_are_read_by_height_digest_and_latest() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let transactions = (0..40).map(|nonce| world.put(1, nonce, b"k", b"v")).collect();
    world.finalize(transactions);
    let latest = get(&router, "/v1/blocks/latest").await;
    assert_eq!(latest.headers[header::CACHE_CONTROL], "no-store");
    let body = latest.json();
    let digest = body["digest"].as_str().unwrap().to_owned();
    assert_eq!(
        (&body["header"]["height"], &body["receipts"], &body["batches"][0]["lane"]),
        (&json!(1), &json!(40), &json!(1))
    );
    assert_eq!(body["at"], json!({ "shard": 0, "height": 1, "root": Hash([1; 32]) }));
    for path in [format!("/v1/blocks/{digest}"), "/v1/blocks/1".to_owned()] {
        let answer = get(&router, &path).await;
        assert_eq!(answer.json(), body);
        assert!(answer.headers[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
        assert_eq!(if_none_match(&router, &path, answer.headers[header::ETAG].to_str().unwrap()).await, 304);
    }
    let proven = get(&router, "/v1/blocks/1?proof=1").await.json();
    let block: Block = decode(&hex::decode(proven["block_hex"].as_str().unwrap()).unwrap(), FRAME_BYTES_MAX).unwrap();
    assert_eq!(hex::encode(hash_value(domain::HEADER, &block.header)), digest);
    let proof = hex::decode(proven["proof_hex"].as_str().unwrap()).unwrap();
    assert_eq!(decode::<BlockProof>(&proof, FRAME_BYTES_MAX).unwrap().finalization.body.block.to_string(), digest);

    let (mut indexes, mut after) = (Vec::new(), String::new());
    loop {
        let page = get(&router, &format!("/v1/blocks/latest/receipts?limit=16{after}")).await.json();
        indexes.extend(page["receipts"].as_array().unwrap().iter().map(|r| r["index"].as_u64().unwrap()));
        match page["next"].as_str() {
            Some(cursor) => after = format!("&after={cursor}"),
            None => break,
        }
    }
    assert_eq!(indexes, (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn chain_status_and_health() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let genesis = get(&router, "/v1/genesis").await;
    let chain = get(&router, "/v1/chain").await.json();
    let decoded: Genesis = decode(&genesis.body, GENESIS_BYTES_MAX).unwrap();
    assert_eq!(chain["chain"], hex::encode(hash_value(domain::GENESIS, &decoded)));
    assert_eq!(chain["parameters"]["batch_bytes_max"], Parameters::default().batch_bytes_max);
    let in_force = &chain["in_force"];
    assert_eq!((&in_force["parameters"], &in_force["since_epoch"]), (&chain["parameters"], &json!(0)));
    assert_eq!(in_force["version"], decoded.version);
    let etag = genesis.headers[header::ETAG].to_str().unwrap();
    assert_eq!(if_none_match(&router, "/v1/genesis", etag).await, 304);
    let status = get(&router, "/v1/status").await.json();
    assert_eq!(
        (&status["node"], &status["durability"], &status["ready"]),
        (&json!("memory"), &json!("vote"), &json!(true))
    );
    for path in ["/livez", "/readyz", "/healthz"] {
        assert_eq!(get(&router, path).await.status, 200, "{path}");
    }
    world.ready.store(false, Ordering::Relaxed);
    assert_eq!(get(&router, "/livez").await.status, 200);
    let ready = get(&router, "/readyz").await;
    assert_eq!((ready.status.as_u16(), &ready.problem()["detail"]), (503, &json!("no quorum was seen yet")));
    let health = get(&router, "/healthz").await;
    assert_eq!((health.status.as_u16(), &health.json()["reasons"][0]), (503, &json!("no quorum was seen yet")));
    assert_eq!(get(&router, "/v1/status").await.json()["not_ready_because"], "no quorum was seen yet");
    assert_eq!(get(&router, "/metrics").await.status, 404, "metrics have a listener of their own");
}

#[tokio::test]
async fn status_and_health_name_the_shard() {
    let world = World::of_shard(ShardId(3), [1]);
    let router = app(&world, HttpLimits::default());
    let status = get(&router, "/v1/status").await.json();
    assert_eq!((&status["shard"], &status["at"]["shard"]), (&json!(3), &json!(3)));
    assert!(get(&router, "/livez").await.json().get("shard").is_none(), "it is about the process");
    for path in ["/readyz", "/healthz"] {
        assert_eq!(get(&router, path).await.json()["shard"], 3, "{path}");
    }
    world.ready.store(false, Ordering::Relaxed);
    assert_eq!(get(&router, "/readyz").await.problem()["shard"], 3);
}

#[tokio::test]
async fn notices_for_an_operator_are_in_status_and_health() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let status = get(&router, "/v1/status").await.json();
    assert_eq!((&status["unreachable"], &status["evidence"]), (&json!([]), &json!([])));
    assert!(status.get("key_retired_because").is_none());
    *world.unreachable.lock() = vec!["node-2".to_owned()];
    *world.retired.lock() = Some("the key is retired".to_owned());
    let (validator, name, first) = (ValidatorIndex(3), "node-3".to_owned(), "view 7".to_owned());
    *world.evidence.lock() = vec![rustorium_api::EvidenceNote {
        validator,
        name,
        validator_key: "ab".into(),
        kind: "two-batches",
        first,
        first_ms: 7,
        count: 2,
        member: true,
    }];
    let status = get(&router, "/v1/status").await.json();
    assert_eq!((&status["peers_up"], &status["unreachable"]), (&json!(2), &json!(["node-2"])));
    assert_eq!(status["round_trips_us"], json!({"node-1": 70_400}));
    assert_eq!(status["key_retired_because"], "the key is retired");
    let evidence = json!({"validator": 3, "name": "node-3", "validator_key": "ab", "kind": "two-batches", "first": "view 7", "first_ms": 7, "count": 2, "member": true});
    assert_eq!(status["evidence"], json!([evidence]));
    let health = get(&router, "/healthz").await;
    assert_eq!(health.json()["reasons"], json!(["2 of 3 peers are connected, not node-2", "the key is retired"]));
    let found = json!({"code": "disk-slow", "severity": "degraded", "evidence": "it takes 300 ms", "advice": "look at it", "since_ms": 7});
    *world.findings.lock() = vec![serde_json::from_value(found.clone()).unwrap()];
    assert_eq!(get(&router, "/v1/status").await.json()["findings"], json!([found]));
    let health = get(&router, "/healthz").await;
    assert_eq!(health.json()["reasons"][2], "disk-slow: it takes 300 ms; look at it");
    assert_eq!(get(&router, "/readyz").await.status, 200, "it still answers");
}

#[tokio::test]
async fn the_progress_of_a_filling_is_in_the_status() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    assert!(get(&router, "/v1/status").await.json().get("filling").is_none());
    let mut filling = rustorium_api::Filling { peers: 2, ..Default::default() };
    assert_eq!(filling.sentence(), "looking for a snapshot to begin with: 2 peers are connected");
    filling.height = Some(Height(7));
    filling.done_ppm = 429_999;
    filling.leaves = 5;
    filling.banned = vec!["node-2".to_owned()];
    assert_eq!(filling.sentence(), "filling from snapshot at height 7: 42 %");
    *world.filling.lock() = Some(filling);
    let shown = &get(&router, "/v1/status").await.json()["filling"];
    assert_eq!((&shown["height"], &shown["percent"], &shown["rows"]), (&json!(7), &json!(42), &json!(5)));
    assert_eq!((&shown["banned"], &shown["seconds_left"]), (&json!(["node-2"]), &json!(null)));
    let document = get(&router, "/openapi.json").await.json();
    assert!(document["components"]["schemas"]["FillingView"].is_object());
}

#[tokio::test]
async fn each_bad_read_has_its_code() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let account = address(1).to_string();
    let wrong_checksum = format!("{}q", &account[..account.len() - 1]);
    let long_key = "k".repeat(KEY_BYTES_MAX + 1);
    let digits = "0".repeat(64);
    let cases = [
        ("/".to_owned(), 404, "unknown-route"),
        ("/v1".to_owned(), 404, "unknown-route"),
        ("/v2/status".to_owned(), 404, "unknown-route"),
        ("/v1/transactions".to_owned(), 405, "method-not-allowed"),
        ("/v1/transactions/xyz".to_owned(), 400, "bad-hex"),
        (format!("/v1/transactions/{digits}0"), 400, "bad-hex"),
        (format!("/v1/transactions/{digits}?proof=yes"), 400, "bad-query"),
        (format!("/v1/transactions/{digits}?what=1"), 400, "bad-query"),
        (format!("/v1/transactions/{digits}?proof=1&proof=1"), 400, "bad-query"),
        (format!("/v1/transactions/ee{}", &digits[2..]), 503, "busy"),
        ("/v1/transactions/%FF".to_owned(), 400, "bad-path"),
        ("/v1/accounts/rs1nonsense".to_owned(), 400, "bad-address"),
        (format!("/v1/accounts/{wrong_checksum}"), 400, "bad-address"),
        (format!("/v1/accounts/{}", address(7)), 404, "account-not-found"),
        (format!("/v1/accounts/{account}?at=proven"), 409, "no-state-root"),
        (format!("/v1/accounts/{account}?proof=1"), 409, "no-state-root"),
        (format!("/v1/accounts/{account}?at=77"), 404, "height-ahead"),
        (format!("/v1/accounts/{account}?at=latest&proof=1"), 400, "bad-query"),
        (format!("/v1/accounts/{account}?at=soon"), 400, "bad-query"),
        (format!("/v1/accounts/{account}?at=+1"), 400, "bad-query"),
        (format!("/v1/accounts/{account}/balances/12"), 400, "bad-hex"),
        (format!("/v1/accounts/{account}/balances/{digits}?at=77"), 404, "height-ahead"),
        (format!("/v1/accounts/{account}/keys/0g?encoding=hex"), 400, "bad-key"),
        (format!("/v1/accounts/{account}/keys/a?encoding=base64"), 400, "bad-key"),
        (format!("/v1/accounts/{account}/keys/a?encoding=rot13"), 400, "bad-query"),
        (format!("/v1/accounts/{account}/keys/{long_key}"), 400, "bad-key"),
        (format!("/v1/accounts/{account}/keys/%FF"), 400, "bad-path"),
        (format!("/v1/accounts/{account}/keys?prefix=0g&encoding=hex"), 400, "bad-key"),
        (format!("/v1/accounts/{account}/keys?prefix={long_key}"), 400, "bad-key"),
        (format!("/v1/accounts/{account}/keys?cursor=AAAA"), 400, "bad-cursor"),
        (format!("/v1/accounts/{account}/keys?cursor=AAAA&at=1"), 400, "bad-query"),
        (format!("/v1/accounts/{account}/keys?at=soon"), 400, "bad-query"),
        (format!("/v1/accounts/{account}/keys?at=77"), 404, "height-ahead"),
        (format!("/v1/accounts/{account}/keys?limit=101"), 400, "bad-query"),
        (format!("/v1/accounts/{account}/transactions?before=1"), 400, "bad-cursor"),
        (format!("/v1/accounts/{account}/transactions?before=1.x"), 400, "bad-cursor"),
        (format!("/v1/accounts/{account}/transactions?before=-1.1"), 400, "bad-cursor"),
        (format!("/v1/accounts/{account}/transactions?limit=0"), 400, "bad-query"),
        (format!("/v1/accounts/{account}/transactions?limit=101"), 400, "bad-query"),
        ("/v1/blocks/5".to_owned(), 404, "block-not-found"),
        (format!("/v1/blocks/{digits}"), 404, "block-not-found"),
        ("/v1/blocks/tip".to_owned(), 400, "bad-path"),
        ("/v1/blocks/18446744073709551616".to_owned(), 400, "bad-path"),
        (format!("/v1/blocks/{}g", &digits[1..]), 400, "bad-hex"),
        ("/v1/blocks/0/receipts?after=1.0".to_owned(), 400, "bad-cursor"),
        ("/v1/events?filter=everything".to_owned(), 400, "bad-filter"),
        ("/v1/events?filter=sender:rs1x".to_owned(), 400, "bad-filter"),
        (format!("/v1/events?filter={}", vec!["all"; 33].join(",")), 400, "bad-filter"),
        ("/v1/events?last_event_id=7".to_owned(), 400, "bad-event-id"),
        ("/v1/events/ws".to_owned(), 400, "not-a-websocket"),
    ];
    for (path, status, code) in cases {
        let answer = get(&router, &path).await;
        assert_eq!((answer.status.as_u16(), answer.problem()["code"].as_str().unwrap()), (status, code), "{path}");
        assert_eq!(answer.headers.contains_key(header::RETRY_AFTER), status == 503, "{path}");
    }
    let request = Request::delete("/v1/status").body(Body::empty()).unwrap();
    assert_eq!(send(&router, request).await.problem()["code"], "method-not-allowed");
}

/// `{*key}` and `{key}` are the same path.
fn normal(path: &str) -> String {
    path.replace("{*", "{")
}

#[tokio::test]
async fn the_openapi_document_lists_every_route_and_no_other() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let document = get(&router, "/openapi.json").await.json();
    let documented: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
    let routed: BTreeSet<String> = route_paths().into_iter().map(normal).collect();
    assert_eq!(documented, routed);
    // Each documented method is there.
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let uri = path.replace(['{', '}'], "");
            let request = Request::builder().method(method.to_uppercase().as_str()).uri(uri);
            let request = request.header(header::CONTENT_TYPE, "text/plain").body(Body::empty()).unwrap();
            if path == "/v1/events" {
                continue;
            }
            let answer = send(&router, request).await;
            let code = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default()["code"].clone();
            assert!(code != "unknown-route" && code != "method-not-allowed", "{method} {path}");
        }
    }
    // Every reference has a target.
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for reference in serde_json::to_string(&document["paths"]).unwrap().split("#/components/schemas/").skip(1) {
        let name = reference.split('"').next().unwrap();
        assert!(schemas.contains_key(name), "{name}");
    }
    let docs = get(&router, "/docs/").await;
    assert!(docs.status == 200 && docs.body.windows(7).any(|w| w.eq_ignore_ascii_case(b"swagger")));
}

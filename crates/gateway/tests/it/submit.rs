use crate::client::*;
use crate::world::{World, address};
use axum::body::{Body, Bytes};
use axum::http::header;
use futures_util::{FutureExt, StreamExt};
use proptest::prelude::*;
use rustorium_api::json::OperationView;
use rustorium_crypto::transaction_id;
use rustorium_gateway::http::HttpLimits;
use rustorium_types::limits::*;
use rustorium_types::*;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const PATH: &str = "/v1/transactions";

#[tokio::test]
async fn both_formats_and_all_waits_answer_in_order() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let transactions: Vec<_> = (0..4).map(|nonce| world.put(1, nonce, b"k", &[nonce as u8])).collect();
    let ids: Vec<_> = transactions.iter().map(|t| transaction_id(&t.first().unwrap().body).to_string()).collect();

    let answer = post(&router, "/v1/transactions?wait=accepted", BINARY, binary(&transactions[..1])).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["results"][0]["status"]), (202, &json!("accepted")));

    let body = json!({ "transactions": transactions[1..3].iter().map(|t| hex::encode(encode(t))).collect::<Vec<_>>() });
    let answer = post(
        &router,
        "/v1/transactions?wait=final&timeout_ms=500",
        "application/json; charset=utf-8",
        body.to_string(),
    )
    .await;
    assert_eq!(answer.status, 200);
    let results = answer.json();
    assert_eq!(results["results"][0]["id"], ids[1].as_str());
    assert_eq!(results["results"][1]["id"], ids[2].as_str());
    assert_eq!(results["results"][1]["receipt"]["outcome"], "ok");
    assert_eq!(results["at"]["height"], world.tip());

    let answer = post(&router, "/v1/transactions?wait=certified", BINARY, binary(&transactions[3..])).await;
    let certified = answer.json()["results"][0].clone();
    let proof = hex::decode(certified["proof_hex"].as_str().unwrap()).unwrap();
    let proof: ReceiptProof = decode(&proof, FRAME_BYTES_MAX).unwrap();
    assert_eq!(proof.receipt.transaction.to_string(), ids[3]);

    // The same bytes again: the same receipts.
    let first = post(&router, PATH, BINARY, binary(&transactions)).await.json();
    let second = post(&router, PATH, BINARY, binary(&transactions)).await.json();
    assert_eq!(first, second);
}

#[tokio::test]
async fn refused_items_do_not_stop_the_others() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let mut foreign = world.put(1, 0, b"k", b"v");
    change(&mut foreign, |body| body.chain = ChainId([1; 32]));
    let mut newer = world.put(1, 0, b"k", b"v");
    change(&mut newer, |body| body.version = 99);
    let good = world.put(1, 0, b"k", b"v");
    let items = [encode(&foreign), vec![1, 2, 3], encode(&good), encode(&newer)];
    let body = json!({ "transactions": items.iter().map(hex::encode).chain(["zz".to_owned()]).collect::<Vec<_>>() });
    let answer = post(&router, PATH, "application/json", body.to_string()).await;
    assert_eq!(answer.status, 200);
    let results = answer.json()["results"].clone();
    let codes: Vec<_> = results.as_array().unwrap().iter().map(|r| r["code"].as_str().unwrap_or("ok")).collect();
    assert_eq!(codes, ["wrong-chain", "malformed-transaction", "ok", "wrong-version", "malformed-transaction"]);
}

#[tokio::test]
async fn a_request_without_any_accepted_transaction_is_a_problem_with_its_results() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let stranger = world.put(9, 0, b"k", b"v");
    let answer = post(&router, PATH, BINARY, binary(std::slice::from_ref(&stranger))).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.problem()["code"], "unknown-account");
    assert_eq!(answer.problem()["results"][0]["status"], "refused");
    let late = world.put(1, 7, b"k", b"v");
    let answer = post(&router, PATH, BINARY, binary(&[stranger, late])).await;
    assert_eq!((answer.status.as_u16(), &answer.problem()["code"]), (422, &json!("transactions-refused")));
}

#[tokio::test]
async fn busy_is_503_with_the_time_to_wait_before_and_in_the_pool() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let body = binary(&[world.put(1, 0, b"k", b"v")]);
    world.busy_ms.store(1_200, Ordering::Relaxed);
    let answer = post(&router, PATH, BINARY, body.clone()).await;
    assert_eq!((answer.status.as_u16(), &answer.problem()["code"]), (503, &json!("busy")));
    assert_eq!(
        (&answer.headers[header::RETRY_AFTER], &answer.problem()["retry_after_ms"]),
        (&"2".parse().unwrap(), &json!(1_200))
    );
    world.busy_ms.store(0, Ordering::Relaxed);
    world.pool_full.store(true, Ordering::Relaxed);
    let answer = post(&router, PATH, BINARY, body.clone()).await;
    assert_eq!((answer.status.as_u16(), &answer.headers[header::RETRY_AFTER]), (503, &"1".parse().unwrap()));
    assert_eq!(answer.problem()["results"][0]["code"], "pool-full");
    world.pool_full.store(false, Ordering::Relaxed);
    assert_eq!(post(&router, PATH, BINARY, body).await.status, 200);
}

#[tokio::test]
async fn a_result_that_does_not_come_in_time_is_202() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    world.hold.store(true, Ordering::Relaxed);
    let transaction = world.put(1, 0, b"k", b"v");
    let id = transaction_id(&transaction.first().unwrap().body);
    let answer = post(&router, "/v1/transactions?timeout_ms=1", BINARY, binary(&[transaction])).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["results"][0]["status"]), (202, &json!("timed-out")));
    let answer = get(&router, &format!("/v1/transactions/{id}")).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["status"]), (200, &json!("pending")));
}

#[tokio::test]
async fn each_bad_submission_has_its_code() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let one = world.put(1, 0, b"k", b"v");
    let good = binary(std::slice::from_ref(&one));
    let many = binary(&vec![one.clone(); SUBMISSION_TRANSACTIONS_MAX + 1]);
    let many_json = json!({ "transactions": vec!["00"; SUBMISSION_TRANSACTIONS_MAX + 1] }).to_string();
    let large = vec![0; SUBMISSION_BYTES_MAX + 16 * 1024];
    let large_json = json!({ "transactions": ["00".repeat(SUBMISSION_BYTES_MAX + 1)] }).to_string();
    let trailing = [good.clone(), vec![0]].concat();
    let cases: Vec<(&str, &str, Vec<u8>, u16, &str)> = vec![
        (PATH, "text/plain", good.clone(), 415, "unsupported-media-type"),
        (PATH, "", good.clone(), 415, "unsupported-media-type"),
        (PATH, BINARY, vec![], 400, "bad-body"),
        (PATH, BINARY, vec![1, 0, 0, 0], 400, "bad-body"),
        (PATH, BINARY, vec![1, 0, 0, 0, 255, 255, 255, 255, 1], 400, "bad-body"),
        (PATH, BINARY, trailing, 400, "bad-body"),
        (PATH, BINARY, vec![0, 0, 0, 0], 400, "no-transactions"),
        (PATH, BINARY, many, 413, "too-many-transactions"),
        (PATH, BINARY, vec![255, 255, 255, 255], 413, "too-many-transactions"),
        (PATH, BINARY, large, 413, "body-too-large"),
        (PATH, BINARY, [vec![1, 0, 0, 0, 2, 0, 0, 0], vec![1, 2]].concat(), 422, "malformed-transaction"),
        (PATH, "application/json", b"{".to_vec(), 400, "bad-body"),
        (PATH, "application/json", b"[]".to_vec(), 400, "bad-body"),
        (PATH, "application/json", br#"{"transactions": 5}"#.to_vec(), 400, "bad-body"),
        (PATH, "application/json", br#"{"transactions": [5]}"#.to_vec(), 400, "bad-body"),
        (PATH, "application/json", br#"{"transactions": [], "more": 1}"#.to_vec(), 400, "bad-body"),
        (PATH, "application/json", br#"{"transactions": []}"#.to_vec(), 400, "no-transactions"),
        (PATH, "application/json", br#"{"transactions": ["xy"]}"#.to_vec(), 422, "malformed-transaction"),
        (PATH, "application/json", many_json.into_bytes(), 413, "too-many-transactions"),
        (PATH, "application/json", large_json.into_bytes(), 413, "body-too-large"),
        ("/v1/transactions?wait=sometime", BINARY, good.clone(), 400, "bad-query"),
        ("/v1/transactions?timeout_ms=0", BINARY, good.clone(), 400, "bad-query"),
        ("/v1/transactions?timeout_ms=60001", BINARY, good.clone(), 400, "bad-query"),
        ("/v1/transactions?timeout_ms=-1", BINARY, good.clone(), 400, "bad-query"),
        ("/v1/transactions?tiemout_ms=1", BINARY, good.clone(), 400, "bad-query"),
    ];
    for (path, media, body, status, code) in cases {
        let answer = post(&router, path, media, body).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()["code"].as_str().unwrap()),
            (status, code),
            "{path} {media}"
        );
    }
    assert_eq!(world.tip(), 0, "nothing was taken");
    let too_large = [
        vec![1, 0, 0, 0],
        (TRANSACTION_BYTES_MAX as u32 + 1).to_le_bytes().to_vec(),
        vec![0; TRANSACTION_BYTES_MAX + 1],
    ];
    assert_eq!(post(&router, PATH, BINARY, too_large.concat()).await.problem()["code"], "transaction-too-large");
}

#[tokio::test]
async fn a_body_without_a_length_is_bounded_too_and_a_slow_one_ends() {
    let world = World::new([1]);
    let limits = HttpLimits { body_timeout: Duration::from_millis(20), ..HttpLimits::default() };
    let router = app(&world, limits);
    let (chunk, sent) = (Bytes::from(vec![0; 64 * 1024]), Arc::<AtomicUsize>::default());
    let counted = sent.clone();
    let large = futures_util::stream::repeat_with(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        Ok::<_, std::io::Error>(chunk.clone())
    });
    let answer = post(&router, PATH, BINARY, Body::from_stream(large.take(64))).await;
    assert_eq!(answer.problem()["code"], "body-too-large");
    assert_eq!(sent.load(Ordering::Relaxed), SUBMISSION_BYTES_MAX / (64 * 1024) + 1, "no more is read");
    let silent = futures_util::stream::pending::<Result<Bytes, std::io::Error>>();
    let answer = post(&router, PATH, BINARY, Body::from_stream(silent)).await;
    assert_eq!((answer.status.as_u16(), &answer.problem()["code"]), (408, &json!("body-too-slow")));
    let broken = futures_util::stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]);
    assert_eq!(post(&router, PATH, BINARY, Body::from_stream(broken)).await.problem()["code"], "bad-body");
}

#[tokio::test]
async fn bodies_in_flight_have_one_budget() {
    let world = World::new([1]);
    // Room for one body of unknown length.
    let router = app(&world, HttpLimits { body_bytes_in_flight_max: 0, ..HttpLimits::default() });
    let silent = || Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let one = post(&router, PATH, "application/json", silent());
    let mut one = std::pin::pin!(one);
    assert!(one.as_mut().now_or_never().is_none());
    let answer = post(&router, PATH, BINARY, silent()).await;
    assert_eq!((answer.status.as_u16(), &answer.problem()["code"]), (503, &json!("busy")));
}

fn operations() -> impl Strategy<Value = Operation> {
    let bytes = |max| proptest::collection::vec(any::<u8>(), 0..max);
    let account = any::<[u8; 32]>().prop_map(AccountId);
    let asset = any::<[u8; 32]>().prop_map(AssetId);
    let condition = prop_oneof![
        (account.clone(), bytes(9), any::<[u8; 32]>()).prop_map(|(namespace, key, hash)| {
            Condition::ValueHash { namespace, key: BoundedBytes::new(key).unwrap(), hash: Hash(hash) }
        }),
        (account.clone(), "[a-zé]{0,5}").prop_map(|(namespace, key)| {
            Condition::Absent { namespace, key: BoundedBytes::new(key.into_bytes()).unwrap() }
        }),
        (account.clone(), asset.clone(), any::<u128>())
            .prop_map(|(account, asset, amount)| Condition::BalanceAtLeast { account, asset, amount }),
        (any::<[u8; 32]>(), any::<u8>(), any::<Option<[u8; 32]>>()).prop_map(|(verifier, input, number)| {
            let equals = number.map_or(InputValue::ThisTransaction, InputValue::Number);
            Condition::Proved { verifier: VerifierId(verifier), input, equals }
        }),
    ];
    prop_oneof![
        (any::<u8>(), any::<[u8; 32]>(), any::<u64>()).prop_map(|(region, public_key, storage_bytes)| {
            Operation::CreateAccount { region, public_key, storage_bytes }
        }),
        (account.clone(), bytes(9), bytes(40)).prop_map(|(namespace, key, value)| Operation::Put {
            namespace,
            key: BoundedBytes::new(key).unwrap(),
            value: BoundedBytes::new(value).unwrap(),
        }),
        (account.clone(), bytes(9))
            .prop_map(|(namespace, key)| Operation::Delete { namespace, key: BoundedBytes::new(key).unwrap() }),
        condition.prop_map(Operation::Require),
        (account.clone(), asset, any::<u128>()).prop_map(|(to, asset, amount)| Operation::Transfer {
            to,
            asset,
            amount
        }),
        (bytes(16), account.clone(), any::<u128>()).prop_map(|(symbol, to, amount)| Operation::Issue {
            symbol: BoundedBytes::new(symbol).unwrap(),
            to,
            amount,
        }),
        (account, proptest::collection::vec(bytes(9), 0..4)).prop_map(|(to, prefixes)| Operation::Grant {
            to,
            prefixes: BoundedVec::new(prefixes.into_iter().map(|p| BoundedBytes::new(p).unwrap()).collect()).unwrap(),
        }),
        (bytes(9), any::<[[u8; 32]; 3]>(), any::<u8>(), bytes(20)).prop_map(|(name, keys, region, address)| {
            let [validator_key, node_key, owner_key] = keys;
            let (name, address) = (BoundedBytes::new(name).unwrap(), BoundedBytes::new(address).unwrap());
            let validator = Validator { name, validator_key, node_key, owner_key, region, address };
            Operation::AddValidator { validator }
        }),
        any::<[u8; 32]>().prop_map(|validator_key| Operation::RemoveValidator { validator_key }),
        any::<[[u8; 32]; 3]>().prop_map(|[validator_key, new_validator_key, new_node_key]| Operation::ReplaceKey {
            validator_key,
            new_validator_key,
            new_node_key
        }),
        any::<u64>().prop_map(|epoch| Operation::EndEpoch { epoch: Epoch(epoch) }),
        (bytes(40), proptest::collection::vec(any::<(u8, bool)>(), 0..4)).prop_map(|(key, named)| {
            let named = named.into_iter().map(|(index, once)| NamedInput { index, once }).collect();
            let (key, named) = (BoundedBytes::new(key).unwrap(), BoundedVec::new(named).unwrap());
            Operation::RegisterVerifier { key, named }
        }),
        (any::<[u8; 32]>(), proptest::collection::vec(any::<[u8; 32]>(), 0..5), bytes(40)).prop_map(
            |(verifier, inputs, proof)| Operation::VerifyProof {
                verifier: VerifierId(verifier),
                inputs: BoundedVec::new(inputs).unwrap(),
                proof: BoundedBytes::new(proof).unwrap(),
            }
        ),
        (any::<u32>(), any::<[u8; 32]>(), any::<u64>(), pool_transfer()).prop_map(|(pool, asset, amount, transfer)| {
            Operation::Shield { pool, asset: AssetId(asset), amount, transfer }
        }),
        (any::<u32>(), pool_transfer()).prop_map(|(pool, transfer)| Operation::ShieldedTransfer { pool, transfer }),
        (any::<u32>(), any::<[u8; 32]>(), any::<u64>(), any::<u8>(), pool_transfer()).prop_map(
            |(pool, asset, amount, to, transfer)| Operation::Unshield {
                pool,
                asset: AssetId(asset),
                amount,
                to: AccountId([to; 32]),
                transfer
            }
        ),
    ]
}

fn pool_transfer() -> impl Strategy<Value = Box<PoolTransfer>> {
    (any::<[u8; 32]>(), any::<[[u8; 32]; 2]>(), any::<[[u8; 32]; 2]>(), any::<u8>(), any::<u8>()).prop_map(
        |(root, nullifiers, commitments, sealed, proof)| {
            let (sealed, proof) = ([sealed; limits::SEALED_BYTES], [proof; limits::TRANSFER_PROOF_BYTES]);
            Box::new(PoolTransfer { root, nullifiers, commitments, sealed, proof })
        },
    )
}

proptest! {
    #[test]
    fn operations_survive_json_both_ways(operation in operations()) {
        let text = serde_json::to_string(&OperationView::from(&operation)).unwrap();
        let view: OperationView = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(Operation::try_from(view).unwrap(), operation);
    }
}

#[test]
fn operations_take_text_or_hex_and_nothing_that_is_ambiguous() {
    let parse = |fields: &str| {
        let text = format!(r#"{{"type":"put","namespace":"{}",{fields}}}"#, address(1));
        let view: OperationView = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        Operation::try_from(view).map_err(|error| error.to_string())
    };
    assert_eq!(parse(r#""key":"a","value":"b""#), parse(r#""key_hex":"61","value_hex":"62""#));
    assert!(parse(r#""key":"a","key_hex":"61","value":"b""#).is_ok());
    for (fields, complaint) in [
        (r#""key":"a""#, "give `value`"),
        (r#""key":"a","key_hex":"62","value":"b""#, "`key` and `key_hex` differ"),
        (r#""key_hex":"6","value":"b""#, "hex digits"),
        (r#""key":"a","value":"b","more":1"#, "unknown field"),
    ] {
        assert!(parse(fields).unwrap_err().contains(complaint), "{fields}");
    }
    for amount in ["-1", "01", "", "1.0", "340282366920938463463374607431768211456"] {
        let text =
            format!(r#"{{"type":"transfer","to":"{}","asset":"{}","amount":"{amount}"}}"#, address(1), Hash::ZERO);
        assert!(serde_json::from_str::<OperationView>(&text).is_err(), "{amount}");
    }
}

//! The records of a pool, as wallets ask for them.

use crate::client::*;
use crate::world::World;
use axum::http::StatusCode;
use rustorium_crypto::pool_account;
use rustorium_execution::PoolRow;
use rustorium_gateway::http::HttpLimits;
use rustorium_types::{BoundedBytes, Operation};
use serde_json::json;

/// A pool's leaves are values; in this world anybody may put any.
fn world(records: u64) -> std::sync::Arc<World> {
    let world = World::new([1]);
    let put = |row: PoolRow, value: Vec<u8>| Operation::Put {
        namespace: pool_account(1),
        key: BoundedBytes::new(row.bytes()).unwrap(),
        value: BoundedBytes::new(value).unwrap(),
    };
    let mut operations = vec![put(PoolRow::Head, vec![1])];
    operations.extend((0..records).map(|number| put(PoolRow::Record(number), vec![number as u8; 2])));
    world.finalize(vec![world.transaction_of(1, 0, operations)]);
    world
}

#[tokio::test]
async fn records_come_in_order_and_end_where_there_are_no_more() {
    let world = world(5);
    let router = app(&world, HttpLimits::default());
    for (query, records) in
        [("", "00000101020203030404"), ("?from=3", "03030404"), ("?from=1&limit=2", "01010202"), ("?from=5", "")]
    {
        let body = get(&router, &format!("/v1/pools/1/records{query}")).await.json();
        assert_eq!(
            (&body["records_hex"], &body["pool"], &body["at"]["height"]),
            (&json!(records), &json!(1), &json!(1))
        );
    }
    let last = get(&router, &format!("/v1/pools/1/records?from={}", u64::MAX)).await.json();
    assert_eq!((&last["from"], &last["records_hex"]), (&json!(u64::MAX), &json!("")));
}

#[tokio::test]
async fn an_unknown_pool_or_a_bad_page_is_a_problem() {
    let world = world(0);
    let router = app(&world, HttpLimits::default());
    for (path, code, status) in [
        ("/v1/pools/2/records", "pool-not-found", StatusCode::NOT_FOUND),
        ("/v1/pools/1/records?limit=0", "bad-query", StatusCode::BAD_REQUEST),
        ("/v1/pools/1/records?limit=1001", "bad-query", StatusCode::BAD_REQUEST),
        ("/v1/pools/1/records?from=-1", "bad-query", StatusCode::BAD_REQUEST),
        ("/v1/pools/1/records?colour=blue", "bad-query", StatusCode::BAD_REQUEST),
        ("/v1/pools/x/records", "bad-path", StatusCode::BAD_REQUEST),
    ] {
        let answer = get(&router, path).await;
        assert_eq!((answer.status, &answer.problem()["code"]), (status, &json!(code)), "{path}");
    }
}

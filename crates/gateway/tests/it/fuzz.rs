use crate::client::*;
use crate::world::World;
use axum::body::Body;
use axum::http::{Method, Request, header};
use proptest::prelude::*;
use rustorium_gateway::http::HttpLimits;
use rustorium_types::encode;
use std::sync::LazyLock;
use tokio::runtime::Runtime;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap());

/// Checks that the answer is never a 500, and that an error is always a problem.
fn check(request: Request<Body>) {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    RUNTIME.block_on(async {
        let answer = send(&router, request).await;
        assert_ne!(answer.status.as_u16(), 500);
        if answer.status.as_u16() >= 400 {
            answer.problem();
        }
    });
}

fn segment() -> impl Strategy<Value = String> {
    const WORDS: [&str; 12] =
        ["latest", "0", "keys", "transactions", "receipts", "balances", "rs1", "blocks", "%FF", "%00", "..", ""];
    prop_oneof![
        proptest::sample::select(WORDS.as_slice()).prop_map(str::to_owned),
        "[0-9a-f]{0,70}",
        proptest::collection::vec(any::<u8>(), 0..20)
            .prop_map(|bytes| { bytes.iter().map(|byte| format!("%{byte:02X}")).collect() }),
    ]
}

fn query() -> impl Strategy<Value = String> {
    const NAMES: [&str; 9] = ["at", "proof", "encoding", "before", "after", "limit", "wait", "timeout_ms", "x"];
    let pair =
        (proptest::sample::select(NAMES.as_slice()), segment()).prop_map(|(name, value)| format!("{name}={value}"));
    proptest::collection::vec(pair, 0..4).prop_map(|pairs| pairs.join("&"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_body_is_answered(mut body in proptest::collection::vec(any::<u8>(), 0..2_000), json in any::<bool>(), count in 0u8..4) {
        if !json && body.len() > 4 {
            // Plausible counts reach more of the code.
            body[..4].copy_from_slice(&[count, 0, 0, 0]);
        }
        let media = if json { "application/json" } else { BINARY };
        check(Request::post("/v1/proofs").header(header::CONTENT_TYPE, media).body(body.clone().into()).unwrap());
        check(Request::post("/v1/transactions").header(header::CONTENT_TYPE, media).body(body.into()).unwrap());
    }

    #[test]
    fn a_transaction_with_any_byte_changed_is_answered(at in any::<proptest::sample::Index>(), to in any::<u8>(), cut in any::<proptest::sample::Index>()) {
        let world = World::new([1]);
        let mut bytes = encode(&world.put(1, 0, b"key", b"value"));
        let at = at.index(bytes.len());
        bytes[at] = to;
        bytes.truncate(cut.index(bytes.len() + 1));
        let body = [&[1, 0, 0, 0][..], &(bytes.len() as u32).to_le_bytes(), &bytes].concat();
        check(Request::post("/v1/transactions").header(header::CONTENT_TYPE, BINARY).body(body.into()).unwrap());
    }

    #[test]
    fn any_path_and_query_is_answered(
        first in proptest::sample::select(["accounts", "blocks", "transactions", "status", "genesis"].as_slice()),
        segments in proptest::collection::vec(segment(), 0..5),
        query in query(),
        post in any::<bool>(),
    ) {
        let uri = format!("/v1/{first}/{}?{query}", segments.join("/"));
        let method = if post { Method::POST } else { Method::GET };
        if let Ok(request) = Request::builder().method(method).uri(uri).body(Body::empty()) {
            check(request);
        }
    }

    #[test]
    fn any_event_filter_and_id_is_answered(filter in "\\PC{0,40}", id in "[0-9.a-z-]{0,20}") {
        let encoded: String = filter.bytes().map(|byte| format!("%{byte:02X}")).collect();
        // A valid request would stream forever, so this test uses the route that takes both and streams only to a
        // WebSocket.
        check(Request::get(format!("/v1/events/ws?filter={encoded}&last_event_id={id}")).body(Body::empty()).unwrap());
    }
}

//! Data that clients send over HTTP and QUIC, and that a client reads from a server.

use super::canonical;
use crate::corpus::of_type;
use crate::world::{World, address};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use rustorium_api::frames::*;
use rustorium_gateway::http::{App, HttpLimits, router};
use rustorium_gateway::{Gate, GatewayMetrics};
use rustorium_types::*;
use std::sync::LazyLock;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tower::ServiceExt;

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_all().build().unwrap();
}

/// A node that knows one account. A transaction from a mutation that is executed stays: later inputs meet a longer
/// chain.
static ROUTER: LazyLock<Router> = LazyLock::new(|| {
    let world = World::new([1]);
    router(App::new(world, Gate::open(), HttpLimits::default(), GatewayMetrics::default(), watch::channel(false).1))
});

/// Bytes of the longest answer: the script of the OpenAPI document.
const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A line with method and path, one with the body's type, and the body.
fn request(input: &[u8]) -> Option<Request<Body>> {
    let (head, rest) = split_line(input)?;
    let (media, body) = split_line(rest)?;
    let (method, uri) = std::str::from_utf8(head).ok()?.split_once(' ')?;
    let request = Request::builder().method(method).uri(uri).header(header::CONTENT_TYPE, media);
    request.body(Body::from(body.to_vec())).ok()
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// Checks that no answer is a server's error except "busy", and that an error is always a problem.
pub fn http(input: &[u8]) {
    let Some(request) = request(input) else { return };
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (head, body) = ROUTER.clone().oneshot(request).await.unwrap().into_parts();
            let status = head.status.as_u16();
            assert!(status < 500 || status == 503, "answered with {status}");
            if head.headers.get(header::CONTENT_TYPE).is_some_and(|media| media == "text/event-stream") {
                return;
            }
            let body = to_bytes(body, ANSWER_BYTES_MAX).await.unwrap();
            if status >= 400 && !body.is_empty() {
                assert_eq!(head.headers[header::CONTENT_TYPE], "application/problem+json");
                let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(problem["status"], status);
                assert!(problem["code"].is_string() && problem["detail"].is_string());
            }
        });
    });
}

pub fn requests() -> Vec<Vec<u8>> {
    let account = address(1);
    let gets = [
        "/v1/accounts/ACCOUNT?at=latest".to_owned(),
        format!("/v1/accounts/ACCOUNT/balances/{}?at=0&proof=1", "01".repeat(32)),
        "/v1/accounts/ACCOUNT/keys?prefix=k&limit=3".to_owned(),
        "/v1/accounts/ACCOUNT/keys/a%2Fkey?encoding=hex".to_owned(),
        "/v1/accounts/ACCOUNT/keys/?at=proven".to_owned(),
        "/v1/accounts/ACCOUNT/transactions?before=5.0&limit=100".to_owned(),
        "/v1/blocks/latest".to_owned(),
        "/v1/blocks/1/receipts?limit=2&after=0".to_owned(),
        format!("/v1/blocks/{}", "ab".repeat(32)),
        format!("/v1/transactions/{}?proof=1", "cd".repeat(32)),
        "/v1/epochs?from=0".to_owned(),
        "/v1/events?filter=blocks,sender:ACCOUNT&last_event_id=0.0.0".to_owned(),
        "/v1/events/ws?filter=receipts".to_owned(),
        "/v1/validators".to_owned(),
        "/v1/genesis".to_owned(),
        "/readyz".to_owned(),
    ];
    let get = |path: &String| format!("GET {}\n\n", path.replace("ACCOUNT", &account.to_string())).into_bytes();
    let mut all: Vec<Vec<u8>> = gets.iter().map(get).collect();
    let transaction = transaction();
    let binary = [&1u32.to_le_bytes()[..], &(transaction.len() as u32).to_le_bytes(), &transaction].concat();
    all.push(
        [b"POST /v1/transactions?wait=final&timeout_ms=50\napplication/octet-stream\n".as_slice(), &binary].concat(),
    );
    let json = serde_json::json!({ "transactions": [hex::encode(&transaction)] }).to_string();
    all.push(format!("POST /v1/transactions?wait=accepted\napplication/json; charset=utf-8\n{json}").into_bytes());
    let subjects = serde_json::json!([{ "account": account }, { "account": account, "key": "k" }]).to_string();
    all.push(format!("POST /v1/proofs?at=proven\napplication/json\n{subjects}").into_bytes());
    all
}

/// Returns a transaction signed by the known account, with a nonce that isn't its next.
fn transaction() -> Vec<u8> {
    let world = World::new([1]);
    encode(&world.put(1, 3, b"key", b"value"))
}

pub fn client_frame(input: &[u8]) {
    let head = SubmitHead::peek(input);
    let Some(frame) = canonical::<ClientFrame>(input, CLIENT_FRAME_BYTES_MAX) else { return };
    if let ClientFrame::Submit { number, transactions, .. } = frame {
        let head = head.unwrap();
        assert_eq!(
            (head.number, head.count as usize),
            (number, transactions.len()),
            "it is counted otherwise than read"
        );
    }
}

pub fn client_frames() -> Vec<Vec<u8>> {
    let transactions: Vec<Transaction> =
        of_type("transaction").iter().filter_map(|bytes| canonical(bytes, bytes.len())).collect();
    let submit = |wait, count: usize| {
        let transactions = BoundedVec::new(transactions.iter().take(count).cloned().collect()).unwrap();
        encode(&ClientFrame::Submit { number: 7, wait, transactions })
    };
    let hello = encode(&ClientFrame::Hello { version: FACE_VERSION });
    let token = BoundedBytes::new(b"rsk_0123456789abcdef_secret".to_vec()).unwrap();
    let with_token = encode(&ClientFrame::HelloWithToken { version: FACE_VERSION, token });
    vec![hello, with_token, submit(WireWait::Final, 1), submit(WireWait::Certified, 4), submit(WireWait::Accepted, 0)]
}

pub fn server_frame(input: &[u8]) {
    canonical::<ServerFrame>(input, SERVER_FRAME_BYTES_MAX);
}

pub fn server_frames() -> Vec<Vec<u8>> {
    let receipts = of_type("receipt").into_iter().filter_map(|bytes| canonical::<Receipt>(&bytes, bytes.len()));
    let proofs =
        of_type("receipt_proof").into_iter().filter_map(|bytes| canonical::<ReceiptProof>(&bytes, bytes.len()));
    let finals = receipts.map(WireOutcome::Final);
    let certified =
        proofs.map(|proof| WireOutcome::Certified { receipt: proof.receipt.clone(), proof: Some(Box::new(proof)) });
    let refused = WireOutcome::Refused {
        id: None,
        code: BoundedBytes::new(b"nonce-used".to_vec()).unwrap(),
        message: BoundedBytes::new(b"No.".to_vec()).unwrap(),
        retry_after_ms: Some(9),
    };
    let outcomes = finals.chain(certified).chain([refused]);
    let items = outcomes.map(|outcome| ResultItem { number: 7, index: 1, outcome }).collect();
    let chain = ChainId([7; 32]);
    let frames = [
        ServerFrame::Hello { version: FACE_VERSION, chain, credit: 9 },
        ServerFrame::Results(BoundedVec::new(items).unwrap()),
        ServerFrame::Busy { number: 1, first: 2, count: 3, retry_after_ms: 4 },
        ServerFrame::Credit(9),
    ];
    frames.iter().map(encode).collect()
}

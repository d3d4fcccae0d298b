use crate::client::change;
use crate::world::{World, key};
use quinn::VarInt;
use rustorium_api::frames::{
    CLIENT_FRAME_BYTES_MAX, ClientFrame, FACE_VERSION, ResultItem, ServerFrame, WireOutcome, WireWait, write_frame,
    write_submit,
};
use rustorium_gateway::http::server::StartError;
use rustorium_gateway::quic::{QuicLimits, QuicServer};
use rustorium_gateway::{Backend, Gate, GatewayMetrics};
use rustorium_load::{ClientError, QuicClient, Results};
use rustorium_transport::tls;
use rustorium_types::{ChainId, Transaction, encode};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const NODE: u8 = 200;

pub fn start(world: &Arc<World>, limits: QuicLimits) -> QuicServer {
    guarded(world, Gate::open(), limits)
}

pub fn guarded(world: &Arc<World>, gate: Arc<Gate>, limits: QuicLimits) -> QuicServer {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let config = tls::client_api_server(&key(NODE)).unwrap();
    QuicServer::start(any, config, world.clone(), gate, limits, GatewayMetrics::default()).unwrap()
}

pub fn node_key() -> [u8; 32] {
    key(NODE).public()
}

async fn connect(server: &QuicServer) -> QuicClient {
    QuicClient::connect(server.local_addr(), &node_key(), None).await.unwrap()
}

async fn submit(client: &mut QuicClient, wait: WireWait, transactions: &[Transaction]) -> u64 {
    let encoded: Vec<Vec<u8>> = transactions.iter().map(encode).collect();
    client.submitter.submit(wait, encoded.iter().map(Vec::as_slice)).await.unwrap()
}

pub async fn send_one(world: &World, client: &mut QuicClient, nonce: u64) {
    submit(client, WireWait::Final, &[world.put(1, nonce, b"k", b"v")]).await;
}

/// Collects results and credit until `count` transactions have a result; a busy run counts each.
async fn collect(results: &mut Results, count: usize) -> (Vec<ResultItem>, u32, u32) {
    let (mut items, mut busy, mut credit) = (Vec::new(), 0, 0);
    while items.len() + (busy as usize) < count || (credit as usize) < count {
        match results.next().await.unwrap() {
            ServerFrame::Results(new) => items.extend(new.into_vec()),
            ServerFrame::Busy { count, .. } => busy += count,
            ServerFrame::Credit(given) => credit += given,
            ServerFrame::Hello { .. } => panic!("a second hello"),
        }
    }
    items.sort_by_key(|item| (item.number, item.index));
    (items, busy, credit)
}

#[tokio::test]
async fn transactions_go_in_and_results_and_credit_come_out() {
    let world = World::new([1]);
    let server = start(&world, QuicLimits { credit: 500, ..QuicLimits::default() });
    let mut client = connect(&server).await;
    assert_eq!((client.chain, client.submitter.credit()), (world.chain().id, 500));
    let transactions: Vec<_> = (0..300).map(|nonce| world.put(1, nonce, b"k", b"v")).collect();
    let first = submit(&mut client, WireWait::Final, &transactions[..200]).await;
    let second = submit(&mut client, WireWait::Certified, &transactions[200..]).await;
    assert_eq!(client.submitter.credit(), 200);
    let (items, busy, credit) = collect(&mut client.results, 300).await;
    assert_eq!((items.len(), busy, credit), (300, 0, 300));
    assert_eq!(world.streaming_calls.load(Ordering::Relaxed), 2, "one call per frame");
    for (nonce, item) in items.iter().enumerate() {
        let (receipt, number, index) = match &item.outcome {
            WireOutcome::Final(receipt) => (receipt, first, nonce),
            WireOutcome::Certified { receipt, proof: Some(_) } => (receipt, second, nonce - 200),
            other => panic!("{other:?}"),
        };
        assert_eq!((receipt.nonce, item.number, item.index), (nonce as u64, number, index as u32));
    }
    server.close().await;
    let told = client.results.next().await.unwrap_err();
    assert!(matches!(told, ClientError::Closed { reason, .. } if reason.starts_with("closing")));
}

#[tokio::test]
async fn foreign_and_refused_transactions_keep_their_places() {
    let world = World::new([1]);
    let server = start(&world, QuicLimits::default());
    let mut client = connect(&server).await;
    let mut foreign = world.put(1, 0, b"k", b"v");
    change(&mut foreign, |body| body.chain = ChainId([3; 32]));
    let sent = [foreign.clone(), world.put(1, 0, b"k", b"v"), world.put(9, 0, b"k", b"v"), foreign];
    submit(&mut client, WireWait::Final, &sent).await;
    let (items, ..) = collect(&mut client.results, 4).await;
    let codes: Vec<_> = items
        .iter()
        .map(|item| match &item.outcome {
            WireOutcome::Refused { code, .. } => String::from_utf8(code.as_slice().to_vec()).unwrap(),
            WireOutcome::Final(_) => "final".to_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(codes, ["wrong-chain", "final", "unknown-account", "wrong-chain"]);
    server.close().await;
}

/// Otherwise the waits of a closed connection would fill the node for as long as its transactions live.
#[tokio::test]
async fn the_waits_of_a_session_end_with_it() {
    let world = World::new([1]);
    let server = start(&world, QuicLimits::default());
    for round in 1..=3 {
        let mut client = connect(&server).await;
        submit(&mut client, WireWait::Final, &[world.put(1, round as u64, b"k", b"v")]).await;
        collect(&mut client.results, 1).await;
        assert_eq!(world.left.load(Ordering::Relaxed), round - 1);
        drop(client);
        let over = async {
            while world.left.load(Ordering::Relaxed) < round {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), over).await.unwrap();
    }
    server.close().await;
}

#[tokio::test]
async fn busy_is_one_run_and_gives_its_credit_back() {
    let world = World::new([1]);
    let server = start(&world, QuicLimits { credit: 300, ..QuicLimits::default() });
    let mut client = connect(&server).await;
    let transactions: Vec<_> = (0..300).map(|nonce| world.put(1, nonce, b"k", b"v")).collect();
    for at_the_gateway in [true, false] {
        world.busy_ms.store(if at_the_gateway { 70 } else { 0 }, Ordering::Relaxed);
        world.pool_full.store(!at_the_gateway, Ordering::Relaxed);
        let calls = world.streaming_calls.load(Ordering::Relaxed);
        let number = submit(&mut client, WireWait::Final, &transactions).await;
        let frame = client.results.next().await.unwrap();
        let retry_after_ms = if at_the_gateway { 70 } else { 50 };
        assert_eq!(frame, ServerFrame::Busy { number, first: 0, count: 300, retry_after_ms });
        assert_eq!(client.results.next().await.unwrap(), ServerFrame::Credit(300));
        client.submitter.add_credit(300);
        let called = world.streaming_calls.load(Ordering::Relaxed) - calls;
        assert_eq!(called, usize::from(!at_the_gateway), "a busy server decodes nothing");
    }
    server.close().await;
}

#[tokio::test]
async fn more_than_the_credit_ends_the_connection() {
    let world = World::new([1]);
    let server = start(&world, QuicLimits { credit: 3, ..QuicLimits::default() });
    world.hold.store(true, Ordering::Relaxed);
    let mut client = connect(&server).await;
    let transactions: Vec<_> = (0..4).map(|_| world.put(1, 0, b"k", b"v")).collect();
    submit(&mut client, WireWait::Final, &transactions[..3]).await;
    submit(&mut client, WireWait::Final, &transactions[3..]).await;
    let told = client.results.next().await.unwrap_err();
    assert!(matches!(told, ClientError::Closed { reason, .. } if reason.starts_with("over-credit")));
    server.close().await;
}

/// Sends `bytes` on the first stream; returns the code and reason with which the server ends the connection.
async fn told_after(server: &QuicServer, bytes: Vec<u8>) -> (VarInt, String) {
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let config = tls::client_api_client(&node_key()).unwrap();
    let connection = endpoint.connect_with(config, server.local_addr(), tls::SERVER_NAME).unwrap().await.unwrap();
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&bytes).await.unwrap();
    match connection.closed().await {
        quinn::ConnectionError::ApplicationClosed(close) => {
            (close.error_code, String::from_utf8(close.reason.to_vec()).unwrap())
        }
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn each_violation_has_its_code() {
    let world = World::new([1]);
    let limits = QuicLimits { hello_timeout: Duration::from_millis(200), ..QuicLimits::default() };
    let server = start(&world, limits);
    let framed = |frame: &ClientFrame| {
        let mut out = Vec::new();
        write_frame(frame, &mut out);
        out
    };
    let hello = framed(&ClientFrame::Hello { version: FACE_VERSION });
    let after_hello = |more: &[u8]| [hello.as_slice(), more].concat();
    let mut broken = Vec::new();
    let mut bytes = encode(&world.put(1, 0, b"k", b"v"));
    bytes.pop();
    write_submit(0, WireWait::Final, [bytes.as_slice()].into_iter(), &mut broken);
    let cases = [
        (vec![0], 4, "too-slow"),
        (framed(&ClientFrame::Hello { version: 2 }), 3, "unsupported-version"),
        (vec![0, 0, 0, 0], 2, "malformed-frame"),
        (vec![255, 255, 255, 255], 2, "malformed-frame"),
        (broken.clone(), 2, "malformed-frame"),
        (after_hello(&(CLIENT_FRAME_BYTES_MAX as u32 + 1).to_le_bytes()), 2, "malformed-frame"),
        (after_hello(&hello), 2, "malformed-frame"),
        (after_hello(&broken), 2, "malformed-frame"),
    ];
    for (bytes, code, reason) in cases {
        let told = told_after(&server, bytes).await;
        assert_eq!(told.0, VarInt::from_u32(code));
        assert!(told.1.starts_with(reason), "{}", told.1);
    }
    server.close().await;
}

#[tokio::test]
async fn a_node_with_another_key_is_not_spoken_to() {
    let world = World::new([1]);
    let server = start(&world, QuicLimits::default());
    let other = QuicClient::connect(server.local_addr(), &key(201).public(), None).await;
    assert!(matches!(other, Err(ClientError::Connect { .. })));
    server.close().await;
}

#[tokio::test]
async fn connections_are_limited() {
    let world = World::new([1]);
    let limits = QuicLimits { connections_per_address_max: 1, connections_max: 4, ..QuicLimits::default() };
    let server = start(&world, limits);
    let client = connect(&server).await;
    assert!(matches!(
        QuicClient::connect(server.local_addr(), &node_key(), None).await,
        Err(ClientError::Connect { .. })
    ));
    drop(client);
    server.close().await;
}

#[tokio::test]
async fn a_port_in_use_is_an_error_with_its_name() {
    let world = World::new([1]);
    let server = start(&world, QuicLimits::default());
    let config = tls::client_api_server(&key(NODE)).unwrap();
    let again = QuicServer::start(
        server.local_addr(),
        config,
        world.clone(),
        Gate::open(),
        QuicLimits::default(),
        GatewayMetrics::default(),
    );
    assert!(matches!(again, Err(StartError::PortInUse { .. })));
    server.close().await;
}

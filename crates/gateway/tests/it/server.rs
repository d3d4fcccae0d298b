use crate::world::World;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use futures_util::{SinkExt, StreamExt};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rustorium_crypto::transaction_id;
use rustorium_gateway::http::server::{HttpConfig, StartError};
use rustorium_gateway::http::{HttpLimits, HttpServer};
use rustorium_gateway::{Gate, GatewayMetrics};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::Message;

async fn start(world: &Arc<World>, limits: HttpLimits) -> HttpServer {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let config = HttpConfig { listen: any, metrics_listen: Some(any), limits, gate: Gate::open(), tls: None };
    HttpServer::start(config, world.clone(), GatewayMetrics::default()).await.unwrap()
}

async fn fetch(address: SocketAddr, path: &str) -> (u16, String) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut send, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get(path).header("host", "localhost").body(Body::empty()).unwrap();
    let response = send.send_request(request).await.unwrap();
    let status = response.status().as_u16();
    let body = to_bytes(Body::new(response.into_body()), usize::MAX).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn serves_the_api_and_keeps_metrics_apart() {
    let world = World::new([1]);
    let server = start(&world, HttpLimits::default()).await;
    let metrics = server.metrics_addr().unwrap();
    assert_eq!(fetch(server.local_addr(), "/livez").await.0, 200);
    assert_eq!(fetch(server.local_addr(), "/metrics").await.0, 404);
    assert_eq!(fetch(metrics, "/metrics").await, (200, "# EOF\n".to_owned()));
    assert_eq!(fetch(metrics, "/v1/status").await.0, 404);
    server.close().await;
}

#[tokio::test]
async fn a_port_in_use_is_an_error_with_its_name() {
    let world = World::new([1]);
    let server = start(&world, HttpLimits::default()).await;
    let config = HttpConfig {
        listen: server.local_addr(),
        metrics_listen: None,
        limits: HttpLimits::default(),
        gate: Gate::open(),
        tls: None,
    };
    let refused = HttpServer::start(config, world.clone(), GatewayMetrics::default()).await;
    assert!(matches!(refused, Err(StartError::PortInUse { address }) if address == server.local_addr()));
    server.close().await;
}

#[tokio::test]
async fn a_websocket_gets_the_same_events_and_a_goodbye() {
    let world = World::new([1]);
    let server = start(&world, HttpLimits::default()).await;
    world.finalize(vec![world.put(1, 0, b"k", b"v")]);
    let address = server.local_addr();
    let stream = TcpStream::connect(address).await.unwrap();
    let url = format!("ws://{address}/v1/events/ws?last_event_id=0.0.0");
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    world.finalize(vec![world.put(1, 1, b"k", b"v")]);
    // The server ignores a client's messages.
    socket.send(Message::text("hello")).await.unwrap();
    let mut ids = Vec::new();
    while ids.len() < 4 {
        let Message::Text(text) = socket.next().await.unwrap().unwrap() else { panic!("not text") };
        let frame: Value = serde_json::from_str(&text).unwrap();
        assert!(frame["event"] == "receipt" || frame["event"] == "block");
        assert_eq!(
            frame["data"]["height"].as_u64().map(|h| h.to_string()),
            frame["id"].as_str().and_then(|id| id.split('.').nth(1)).map(str::to_owned)
        );
        ids.push(frame["id"].clone());
    }
    assert_eq!(ids, [json!("0.1.0"), json!("0.1.1"), json!("0.2.0"), json!("0.2.1")]);
    let closing = tokio::spawn(server.close());
    let Message::Text(last) = socket.next().await.unwrap().unwrap() else { panic!("not text") };
    assert_eq!(serde_json::from_str::<Value>(&last).unwrap()["event"], "closing");
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1001));
    drop(socket);
    closing.await.unwrap();
}

#[tokio::test]
async fn one_connection_too_many_gets_an_error() {
    let world = World::new([1]);
    let server = start(&world, HttpLimits { connections_per_address_max: 1, ..HttpLimits::default() }).await;
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let (mut send, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = || Request::get("/livez").header("host", "localhost").body(Body::empty()).unwrap();
    assert_eq!(send.send_request(request()).await.unwrap().status(), 200);
    let mut refused = String::new();
    TcpStream::connect(server.local_addr()).await.unwrap().read_to_string(&mut refused).await.unwrap();
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 503 "));
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head} {}", body.len());
    assert_eq!(serde_json::from_str::<Value>(body).unwrap()["code"], "busy");
    // The first connection goes on.
    send.ready().await.unwrap();
    assert_eq!(send.send_request(request()).await.unwrap().status(), 200);
    drop(send);
    server.close().await;
}

#[tokio::test]
async fn a_head_that_never_ends_and_a_reader_that_never_reads_are_dropped() {
    let world = World::new([1]);
    let limits = HttpLimits {
        head_timeout: Duration::from_millis(50),
        write_stall_timeout: Duration::from_millis(50),
        ..HttpLimits::default()
    };
    let (mut registry, metrics) = (Registry::default(), GatewayMetrics::default());
    metrics.register(&mut registry);
    let config = HttpConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        metrics_listen: None,
        limits,
        gate: Gate::open(),
        tls: None,
    };
    let server = HttpServer::start(config, world.clone(), metrics).await.unwrap();
    let mut slow = TcpStream::connect(server.local_addr()).await.unwrap();
    slow.write_all(b"GET /livez HTT").await.unwrap();
    let mut rest = Vec::new();
    // The end of the stream, with an error answer or without.
    slow.read_to_end(&mut rest).await.unwrap();

    // Requests more than sockets buffer, and reads nothing until the server has given up.
    let large = world.put(1, 0, b"k", &[7; 60_000]);
    let id = transaction_id(&large.first().unwrap().body);
    world.finalize(vec![large]);
    let mut stuck = TcpStream::connect(server.local_addr()).await.unwrap();
    let request = format!("GET /v1/transactions/{id}?proof=1 HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stuck.write_all(request.repeat(300).as_bytes()).await.unwrap();
    let open = || {
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        !text.contains("rustorium_gateway_connections{face=\"http\"} 0")
    };
    while open() {
        tokio::task::yield_now().await;
    }
    drop(stuck);
    server.close().await;
}

/// Opens a connection from an address of this machine; returns it if the server answers.
async fn answers(address: SocketAddr, from: [u8; 4]) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((from, 0))).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    // A connection too many gets an error, and may be closed already.
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.ok()?;
    let mut said = [0; 12];
    stream.read_exact(&mut said).await.ok()?;
    (said == *b"HTTP/1.1 200").then_some(stream)
}

#[tokio::test]
async fn four_addresses_that_hold_connections_leave_some_to_a_fifth() {
    let world = World::new([1]);
    let limits = HttpLimits { connections_max: 200, connections_per_address_max: 100, ..HttpLimits::default() };
    let server = start(&world, limits).await;
    let (mut held, mut counts) = (Vec::new(), Vec::new());
    for last in 1..=4 {
        let before = held.len();
        while let Some(stream) = answers(server.local_addr(), [127, 0, 0, last]).await {
            held.push(stream);
        }
        counts.push(held.len() - before);
    }
    assert!(counts[0] >= 60 && counts.iter().all(|count| *count >= 8), "{counts:?}");
    let mut fifth = Vec::new();
    while let Some(stream) = answers(server.local_addr(), [127, 0, 0, 5]).await {
        fifth.push(stream);
    }
    assert!(fifth.len() >= 8, "{counts:?}, then {}", fifth.len());
    server.close().await;
}

//! A check of the node's own state fails while a client is served: only that request ends.

use crate::quic;
use crate::world::{World, address};
use axum::body::{Body, to_bytes};
use axum::http::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustorium_gateway::http::server::HttpConfig;
use rustorium_gateway::http::{HttpLimits, HttpServer};
use rustorium_gateway::quic::{QuicLimits, QuicServer};
use rustorium_gateway::{Gate, GatewayMetrics};
use rustorium_load::QuicClient;
use rustorium_types::encode;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::TcpStream;

async fn start(world: &Arc<World>) -> HttpServer {
    let listen: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let (limits, gate) = (HttpLimits::default(), Gate::open());
    let config = HttpConfig { listen, metrics_listen: None, limits, gate, tls: None };
    HttpServer::start(config, world.clone(), GatewayMetrics::default()).await.unwrap()
}

/// A connection to the server.
async fn client(server: &HttpServer) -> SendRequest<Body> {
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let (send, connection) = handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    send
}

/// Returns the status and the text of an answer; `None` if the connection ended without one.
async fn ask(client: &mut SendRequest<Body>, request: Request<Body>) -> Option<(u16, String)> {
    client.ready().await.ok()?;
    let response = client.send_request(request).await.ok()?;
    let status = response.status().as_u16();
    let body = to_bytes(Body::new(response.into_body()), usize::MAX).await.unwrap();
    Some((status, String::from_utf8(body.to_vec()).unwrap()))
}

fn keys() -> Request<Body> {
    let path = format!("/v1/accounts/{}/keys", address(1));
    Request::get(path).header("host", "localhost").body(Body::empty()).unwrap()
}

fn put(world: &World, nonce: u64) -> Request<Body> {
    let post = Request::post("/v1/transactions?wait=final&timeout_ms=1000").header("host", "localhost");
    let transactions = encode(&vec![encode(&world.put(1, nonce, b"k", b"v"))]);
    post.header("content-type", "application/octet-stream").body(Body::from(transactions)).unwrap()
}

#[tokio::test]
async fn a_read_that_panics_is_an_error_and_its_connection_goes_on() {
    let world = World::new([1]);
    let server = start(&world).await;
    let mut client = client(&server).await;
    world.panics.store(true, Ordering::Relaxed);
    let (status, text) = ask(&mut client, keys()).await.unwrap();
    assert!(status == 503 && text.contains("interrupted"), "{status} {text}");
    world.panics.store(false, Ordering::Relaxed);
    assert_eq!(ask(&mut client, keys()).await.unwrap().0, 200);
    server.close().await;
}

#[tokio::test]
async fn a_submission_that_panics_ends_its_connection_and_no_other() {
    let world = World::new([1]);
    let server = start(&world).await;
    let (mut first, mut other) = (client(&server).await, client(&server).await);
    assert_eq!(ask(&mut other, put(&world, 0)).await.unwrap().0, 200);
    world.panics.store(true, Ordering::Relaxed);
    assert_eq!(ask(&mut first, put(&world, 1)).await, None);
    world.panics.store(false, Ordering::Relaxed);
    assert_eq!(ask(&mut other, put(&world, 1)).await.unwrap().0, 200);
    assert_eq!(ask(&mut client(&server).await, put(&world, 2)).await.unwrap().0, 200);
    server.close().await;
}

async fn session(server: &QuicServer) -> QuicClient {
    QuicClient::connect(server.local_addr(), &quic::node_key(), None).await.unwrap()
}

/// Runs on two threads: on a busy machine, printing a panic's backtrace takes longer than the time-out of a silent
/// connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_that_panics_ends_with_its_waits_and_no_other_one_does() {
    let world = World::new([1]);
    let server = quic::start(&world, QuicLimits::default());
    let (mut first, mut other) = (session(&server).await, session(&server).await);
    world.panics.store(true, Ordering::Relaxed);
    quic::send_one(&world, &mut first, 0).await;
    assert!(first.results.next().await.is_err());
    assert_eq!(world.left.load(Ordering::Relaxed), 1);
    world.panics.store(false, Ordering::Relaxed);
    quic::send_one(&world, &mut other, 0).await;
    assert!(other.results.next().await.is_ok());
    server.close().await;
}

//! HTTP/2: the limits of one connection, and that the server closes one that takes nothing, cancels too much or sends
//! too much.

use crate::tls::{H1, H2, Pki, Served, ask, livez};
use crate::world::World;
use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use futures_util::stream;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustorium_crypto::transaction_id;
use rustorium_gateway::http::{Http2Limits, HttpLimits};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

/// A time limit far longer than anything takes.
const PATIENCE: Duration = Duration::from_secs(20);
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const REFUSED_STREAM: u32 = 7;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// `GET https://localhost/`, or `POST`, in HPACK's static table.
fn head(post: bool) -> Vec<u8> {
    let mut head = vec![if post { 0x83 } else { 0x82 }, 0x87, 0x84, 0x41, 9];
    head.extend(b"localhost");
    head
}

async fn raw(pki: &Pki, served: &Served) -> TlsStream<TcpStream> {
    let mut stream = pki.connect(served.address(), &[H2], None).await;
    let mut hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    hello.extend(frame(SETTINGS, 0, 0, &[]));
    stream.write_all(&hello).await.unwrap();
    stream
}

/// Returns the stream of the next frame of a kind, and the error code at `place`; `None` at the end.
async fn next(stream: &mut TlsStream<TcpStream>, wanted: u8, place: usize) -> Option<(u32, u32)> {
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.ok()?;
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut payload).await.ok()?;
        if head[3] == wanted {
            let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
            return Some((number(&head[5..9]), number(&payload[place..place + 4])));
        }
    }
}

async fn start(limits: HttpLimits) -> (Pki, Arc<World>, Served) {
    let (pki, world) = (Pki::new(), World::new([1]));
    let served = Served::start(&world, Some(pki.tls()), limits).await;
    (pki, world, served)
}

#[tokio::test]
async fn a_connection_has_so_many_requests_under_way_and_one_more_is_refused() {
    let (pki, _, served) = start(HttpLimits::default()).await;
    let mut stream = raw(&pki, &served).await;
    for number in 0..17 {
        // Submissions whose bodies are still to come.
        let mut post = head(true);
        post[2] = 0x04;
        let path = b"/v1/transactions";
        post.splice(3..3, [&[path.len() as u8][..], path].concat());
        stream.write_all(&frame(HEADERS, END_HEADERS, 2 * number + 1, &post)).await.unwrap();
    }
    assert_eq!(next(&mut stream, RESET, 0).await, Some((33, REFUSED_STREAM)));
    served.server.close().await;
}

#[tokio::test]
async fn a_client_that_cancels_requests_again_and_again_is_closed() {
    let (pki, _, served) = start(HttpLimits::default()).await;
    let mut stream = raw(&pki, &served).await;
    let mut flood = Vec::new();
    for number in 0..1_000 {
        flood.extend(frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, &head(false)));
        flood.extend(frame(RESET, 0, 2 * number + 1, &8u32.to_be_bytes()));
    }
    // The connection may end before everything is sent.
    let _ = stream.write_all(&flood).await;
    assert_eq!(next(&mut stream, GO_AWAY, 4).await.map(|(_, code)| code), Some(ENHANCE_YOUR_CALM));
    let _ = stream.read_to_end(&mut Vec::new()).await;
    let other = pki.connect(served.address(), &[H2], None).await;
    assert_eq!(ask(other, livez()).await.unwrap().0, 200, "others are served");
    served.server.close().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let (pki, _, served) = start(HttpLimits::default()).await;
    for (bytes, status) in [(8_000, 200), (20_000, 431)] {
        let mut request = livez();
        request.headers_mut().insert("x-filler", "x".repeat(bytes).parse().unwrap());
        let stream = pki.connect(served.address(), &[H2], None).await;
        assert_eq!(ask(stream, request).await.unwrap().0, status, "{bytes}");
    }
    served.server.close().await;
}

#[tokio::test]
async fn connections_beyond_those_that_may_speak_it_are_offered_http_1() {
    let http_2 = Http2Limits { connections_per_address_max: 1, ..Http2Limits::default() };
    let (pki, _, served) = start(HttpLimits { http_2, ..HttpLimits::default() }).await;
    let first = pki.connect(served.address(), &[H2, H1], None).await;
    let second = pki.connect(served.address(), &[H2, H1], None).await;
    let agreed = |stream: &TlsStream<TcpStream>| stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
    assert_eq!((agreed(&first), agreed(&second)), (Some(H2.to_vec()), Some(H1.to_vec())));
    assert_eq!(ask(second, livez()).await.unwrap().0, 200);
    drop(first);
    // The place is free after its connection has ended.
    while agreed(&pki.connect(served.address(), &[H2, H1], None).await) != Some(H2.to_vec()) {
        tokio::task::yield_now().await;
    }
    served.server.close().await;
}

/// Runs a client with windows of this size; returns how it ended.
async fn client(
    pki: &Pki,
    served: &Served,
    window: u32,
) -> (http2::SendRequest<Body>, tokio::task::JoinHandle<hyper::Result<()>>) {
    let stream = pki.connect(served.address(), &[H2], None).await;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window).initial_connection_window_size(1024 * 1024);
    let (send, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
    (send, tokio::spawn(connection))
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_closed_even_if_its_connection_is_alive() {
    let limits = HttpLimits { write_timeout: Duration::from_millis(200), ..HttpLimits::default() };
    let (pki, world, served) = start(limits).await;
    let large: Vec<_> = (0..4).map(|nonce| world.put(1, nonce, b"k", &[7; 60_000])).collect();
    let id = transaction_id(&large[0].first().unwrap().body);
    world.finalize(large);
    for uri in
        [format!("https://localhost/v1/transactions/{id}"), "https://localhost/v1/events?last_event_id=0.0.0".into()]
    {
        let (mut send, connection) = client(&pki, &served, 64).await;
        let answer = send.send_request(Request::get(uri.as_str()).body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 200);
        served.counts("rustorium_gateway_connections{face=\"http\"} 1").await;
        // The server ends the connection; nothing of the answer was read.
        let _ = timeout(PATIENCE, connection).await.unwrap().unwrap();
        served.counts("rustorium_gateway_connections{face=\"http\"} 0").await;
        served.counts("rustorium_gateway_answer_bytes 0").await;
        served.counts("rustorium_gateway_event_streams 0").await;
        drop(answer);
    }
    served.server.close().await;
}

#[tokio::test]
async fn a_connection_without_requests_ends_and_one_with_events_goes_on() {
    let limits = HttpLimits { head_timeout: Duration::from_millis(100), ..HttpLimits::default() };
    let (pki, world, served) = start(limits).await;
    let (mut events, _open) = client(&pki, &served, 65_535).await;
    let request = Request::get("https://localhost/v1/events").body(Body::empty()).unwrap();
    let answer = events.send_request(request).await.unwrap();
    let (_send, idle) = client(&pki, &served, 65_535).await;
    timeout(PATIENCE, idle).await.unwrap().unwrap().unwrap();
    world.finalize(vec![world.put(1, 0, b"k", b"v")]);
    let mut body = Body::new(answer.into_body()).into_data_stream();
    let mut text = String::new();
    while !text.contains("event: block") {
        let part = futures_util::StreamExt::next(&mut body).await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&part).unwrap());
    }
    served.server.close().await;
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_refused_and_its_window_bounds_it() {
    let limits = HttpLimits { body_timeout: Duration::from_millis(100), ..HttpLimits::default() };
    let (pki, _, served) = start(limits).await;
    let (mut send, _open) = client(&pki, &served, 65_535).await;
    let endless = stream::pending::<Result<Bytes, Infallible>>();
    let request = Request::post("https://localhost/v1/transactions")
        .header(header::CONTENT_TYPE, "application/octet-stream")
        .body(Body::from_stream(endless))
        .unwrap();
    assert_eq!(send.send_request(request).await.unwrap().status(), 408);
    served.server.close().await;
}

#[tokio::test]
async fn names_and_origins_are_checked_over_http_2_as_over_http_1() {
    let (pki, _, served) = start(HttpLimits::default()).await;
    for (authority, origin, status) in [
        ("localhost:7", Some("https://localhost:7"), 400),
        ("localhost", Some("https://localhost"), 400),
        ("localhost", None, 400),
        ("localhost:7", Some("https://localhost"), 403),
        ("localhost", Some("https://attacker.example"), 403),
        ("localhost", Some("null"), 403),
        ("evil.example", None, 421),
        ("evil.example", Some("https://evil.example"), 421),
    ] {
        let mut request = Request::post(format!("https://{authority}/v1/transactions"));
        request = request.header(header::CONTENT_TYPE, "application/octet-stream");
        if let Some(origin) = origin {
            request = request.header(header::ORIGIN, origin);
        }
        let stream = pki.connect(served.address(), &[H2], None).await;
        let answer = ask(stream, request.body(Body::from(vec![1, 0, 0, 0])).unwrap()).await.unwrap();
        assert_eq!(answer.0, status, "{authority} {origin:?}");
    }
    // A WebSocket needs HTTP/1.1, which browsers then use by themselves.
    let stream = pki.connect(served.address(), &[H2], None).await;
    let request = Request::get("https://localhost/v1/events/ws").body(Body::empty()).unwrap();
    let (status, body) = ask(stream, request).await.unwrap();
    assert!(status == 400 && String::from_utf8_lossy(&body).contains("not-a-websocket"), "{status}");
    served.server.close().await;
}

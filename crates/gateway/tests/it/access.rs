//! Access on a node that requires tokens: each route, each kind of token, and the end of open streams.

use crate::client::*;
use crate::quic;
use crate::world::World;
use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, Request, header};
use futures_util::{StreamExt, stream};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rustorium_crypto::value_hash;
use rustorium_gateway::gate::{Access, Rules, Scope, TOKEN_DOMAIN, TokenEntry};
use rustorium_gateway::http::server::HttpConfig;
use rustorium_gateway::http::{App, HttpLimits, HttpServer, router};
use rustorium_gateway::quic::QuicLimits;
use rustorium_gateway::{Gate, GatewayMetrics};
use rustorium_load::{ClientError, QuicClient};
use serde_json::json;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tower::ServiceExt;

const CLOSED: Rules = Rules { submit: Access::Token, read: Access::Token, hosts: Vec::new(), own_names: Vec::new() };

fn text(kind: char) -> String {
    format!("rsk_{}_{}", kind.to_string().repeat(16), "s".repeat(43))
}

fn entry(kind: char, scope: Scope, expires_ms: Option<u64>) -> TokenEntry {
    let hash = value_hash(&[TOKEN_DOMAIN, text(kind).as_bytes()].concat());
    TokenEntry { id: kind.to_string().repeat(16), hash, scope, expires_ms }
}

/// `a` reads, `b` submits, `c` has expired.
fn gate(rules: Rules) -> Arc<Gate> {
    let gate = Gate::with(rules);
    gate.set(vec![entry('a', Scope::Read, None), entry('b', Scope::Submit, None), entry('c', Scope::Submit, Some(1))]);
    gate
}

fn request(method: &str, uri: &str, authorization: &[&[u8]]) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(uri);
    for value in authorization {
        request = request.header(header::AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
    }
    request.header(header::CONTENT_TYPE, BINARY).body(Body::from(vec![1, 0, 0, 0])).unwrap()
}

async fn ask(router: &Router, method: &str, uri: &str, token: Option<char>) -> (u16, String, String) {
    let bearer = token.map(|kind| format!("Bearer {}", text(kind)));
    let values: Vec<&[u8]> = bearer.iter().map(String::as_bytes).collect();
    said(router, request(method, uri, &values)).await
}

/// Status, code and challenge.
async fn said(router: &Router, request: Request<Body>) -> (u16, String, String) {
    let answer = send(router, request).await;
    let challenge = answer.headers.get("www-authenticate").map_or("", |value| value.to_str().unwrap()).to_owned();
    let code = serde_json::from_slice::<serde_json::Value>(&answer.body).unwrap_or_default()["code"].clone();
    if !challenge.is_empty() {
        assert_eq!(answer.problem()["code"], code);
    }
    (answer.status.as_u16(), code.as_str().unwrap_or_default().to_owned(), challenge)
}

#[tokio::test]
async fn each_documented_route_asks_for_a_token_exactly_where_the_document_says_so() {
    let router = guarded(&World::new([1]), HttpLimits::default(), gate(CLOSED));
    let document = get(&router, "/openapi.json").await.json();
    let (mut asked, mut open) = (0, 0);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let (uri, method) = (path.replace(['{', '}'], ""), method.to_uppercase());
            let (status, code, challenge) = ask(&router, &method, &uri, None).await;
            if operation["security"] == json!([{}, { "token": [] }]) {
                assert_eq!((status, code.as_str()), (401, "token-missing"), "{method} {path}");
                assert_eq!(challenge, "Bearer realm=\"rustorium\"");
                let (status, ..) = ask(&router, &method, &uri, Some('c')).await;
                assert_eq!(status, 401, "an expired one: {method} {path}");
                asked += 1;
            } else {
                assert_ne!(status, 401, "{method} {path}");
                assert!(!path.starts_with("/v1/"), "{path}");
                open += 1;
            }
        }
    }
    assert_eq!((asked, open), (24, 4));
    // Each shard's paths are guarded alike.
    for path in ["/v1/shards/0/status", "/v1/shards/0/accounts/x/keys/", "/v1/shards/1/status"] {
        assert_eq!(ask(&router, "GET", path, None).await.0, 401, "{path}");
    }
    assert_eq!(ask(&router, "POST", "/v1/shards/0/transactions", None).await.0, 401);
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    // Routes outside the document: the empty key's route, its docs and the explorer.
    assert_eq!(ask(&router, "GET", "/v1/accounts/x/keys/", None).await.0, 401);
    let head = Request::head("/v1/status").body(Body::empty()).unwrap();
    assert_eq!(send(&router, head).await.status, 401);
    assert_eq!(get(&router, "/ui/").await.status, 200);
    assert_eq!(get(&router, "/docs/").await.status, 200);
}

#[tokio::test]
async fn rules_and_scopes_decide_and_open_routes_stay_open_to_all() {
    let world = World::new([1]);
    let cases = [(Access::Open, Access::Open), (Access::Token, Access::Open), (Access::Token, Access::Token)];
    for (submit, read) in cases {
        let router = guarded(&world, HttpLimits::default(), gate(Rules { submit, read, ..Rules::default() }));
        for token in [None, Some('a'), Some('b'), Some('c'), Some('d')] {
            let (status, code, challenge) = ask(&router, "GET", "/v1/status", token).await;
            let expected = match (read, token) {
                (Access::Open, _) | (_, Some('a' | 'b')) => (200, ""),
                (_, None) => (401, "token-missing"),
                (_, Some('c')) => (401, "token-expired"),
                _ => (401, "token-unknown"),
            };
            assert_eq!((status, code.as_str()), expected, "{read:?} {token:?}");
            let invalid = challenge == "Bearer realm=\"rustorium\", error=\"invalid_token\"";
            assert_eq!(invalid, matches!(code.as_str(), "token-expired" | "token-unknown"));
            let (status, code, challenge) = ask(&router, "POST", "/v1/transactions", token).await;
            let expected = match (submit, token) {
                (Access::Open, _) | (_, Some('b')) => (400, "bad-body"),
                (_, None) => (401, "token-missing"),
                (_, Some('a')) => (403, "token-scope"),
                (_, Some('c')) => (401, "token-expired"),
                _ => (401, "token-unknown"),
            };
            assert_eq!((status, code.as_str()), expected, "{submit:?} {token:?}");
            assert_eq!(challenge.ends_with("error=\"insufficient_scope\", scope=\"submit\""), status == 403);
        }
    }
}

#[tokio::test]
async fn a_header_of_any_shape_is_refused_as_an_unknown_token() {
    let (good, world) = (text('a'), World::new([1]));
    let router = guarded(&world, HttpLimits::default(), gate(CLOSED));
    let long = format!("Bearer {}", "x".repeat(8_000));
    let shapes: [&[u8]; 12] = [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic dXNlcjpwYXNz",
        good.as_bytes(),
        b"Bearer rsk_",
        b"Bearer \xff\xfe\x80",
        b"\xff",
        b"Bearer\t\t",
        long.as_bytes(),
        b"Bearer rsk_aaaaaaaaaaaaaaaa_ssssssssssssssssssssssssssssssssssssssss\xc3\xa9s",
        b"Bearer rsk_AAAAAAAAAAAAAAAA_sssssssssssssssssssssssssssssssssssssssssss",
    ];
    for shape in shapes {
        let (status, code, _) = said(&router, request("GET", "/v1/status", &[shape])).await;
        assert_eq!((status, code.as_str()), (401, "token-unknown"), "{shape:?}");
    }
    let fine = format!("bEaReR  {good} ").into_bytes();
    assert_eq!(said(&router, request("GET", "/v1/status", &[&fine])).await.0, 200);
    assert_eq!(said(&router, request("GET", "/v1/status", &[&fine, &fine])).await.1, "token-unknown");
    // If the node requires no token, tokens have no effect.
    let open = app(&world, HttpLimits::default());
    assert_eq!(said(&open, request("GET", "/v1/status", &[b"\xff"])).await.0, 200);
}

#[tokio::test]
async fn a_stranger_is_refused_before_a_byte_of_the_body_is_read() {
    let router = guarded(&World::new([1]), HttpLimits::default(), gate(CLOSED));
    for uri in ["/v1/transactions", "/v1/proofs"] {
        let endless = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let request = Request::post(uri).header(header::CONTENT_TYPE, "application/json").body(endless).unwrap();
        assert_eq!(said(&router, request).await.1, "token-missing", "{uri}");
    }
}

#[tokio::test]
async fn refusals_are_counted_by_api_and_reason() {
    let (mut registry, metrics) = (Registry::default(), GatewayMetrics::default());
    metrics.register(&mut registry);
    let app = App::new(World::new([1]), gate(CLOSED), HttpLimits::default(), metrics, watch::channel(false).1);
    let router = router(app);
    for token in [None, None, Some('c'), Some('a')] {
        ask(&router, "POST", "/v1/transactions", token).await;
    }
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for (face, reason, count) in [
        ("http", "token-missing", 2),
        ("http", "token-expired", 1),
        ("http", "token-scope", 1),
        ("http", "token-unknown", 0),
        ("quic", "token-missing", 0),
    ] {
        let line = format!("rustorium_gateway_unauthorized_total{{face=\"{face}\",reason=\"{reason}\"}} {count}\n");
        assert!(text.contains(&line), "{line}{text}");
    }
}

#[tokio::test]
async fn an_event_stream_ends_when_its_token_is_revoked() {
    let (world, gate) = (World::new([1]), gate(CLOSED));
    let router = guarded(&world, HttpLimits::default(), gate.clone());
    let bearer = format!("Bearer {}", text('a'));
    let request = request("GET", "/v1/events?filter=blocks", &[bearer.as_bytes()]);
    let response = router.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 200);
    let mut body = response.into_body().into_data_stream();
    assert!(body.next().await.unwrap().unwrap().starts_with(b"retry"));
    world.finalize(vec![world.put(1, 0, b"k", b"v")]);
    let text = body.next().await.unwrap().unwrap();
    assert!(text.windows(12).any(|part| part == b"event: block"), "{text:?}");
    gate.set(Vec::new());
    world.finalize(vec![world.put(1, 1, b"k", b"v")]);
    assert!(body.next().await.is_none());
}

#[tokio::test]
async fn a_websocket_needs_a_token_and_is_told_when_it_is_revoked() {
    let (world, gate) = (World::new([1]), gate(CLOSED));
    let listen = "127.0.0.1:0".parse().unwrap();
    let config =
        HttpConfig { listen, metrics_listen: None, limits: HttpLimits::default(), gate: gate.clone(), tls: None };
    let server = HttpServer::start(config, world.clone(), GatewayMetrics::default()).await.unwrap();
    world.finalize(vec![world.put(1, 0, b"k", b"v")]);
    let url = format!("ws://{}/v1/events/ws?filter=blocks&last_event_id=0.0.0", server.local_addr());
    let connect = async |authorization: Option<String>| {
        let mut request = url.as_str().into_client_request().unwrap();
        if let Some(value) = authorization {
            request.headers_mut().insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        tokio_tungstenite::client_async(request, TcpStream::connect(server.local_addr()).await.unwrap()).await
    };
    let refused = connect(None).await.unwrap_err();
    assert!(refused.to_string().contains("401"), "{refused}");
    let (mut socket, _) = connect(Some(format!("Bearer {}", text('a')))).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().is_text());
    gate.set(Vec::new());
    world.finalize(vec![world.put(1, 1, b"k", b"v")]);
    let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else { panic!("no close frame") };
    assert_eq!(u16::from(frame.code), 1008);
    assert!(frame.reason.starts_with("the token was revoked"), "{}", frame.reason);
    drop(socket);
    server.close().await;
}

#[tokio::test]
async fn the_quic_api_asks_for_the_same_token_and_ends_when_it_is_revoked() {
    let (world, gate) = (World::new([1]), gate(Rules { submit: Access::Token, ..Rules::default() }));
    let quic_server = quic::guarded(&world, gate.clone(), QuicLimits::default());
    let connect = async |token: Option<char>| {
        let token = token.map(text);
        QuicClient::connect(quic_server.local_addr(), &quic::node_key(), token.as_deref()).await
    };
    for (token, code) in [(None, "token-missing"), (Some('a'), "token-scope"), (Some('c'), "token-expired")] {
        let told = connect(token).await.err().unwrap();
        assert!(matches!(&told, ClientError::Closed { reason, .. } if reason.starts_with(code)), "{told}");
    }
    let mut client = connect(Some('b')).await.unwrap();
    quic::send_one(&world, &mut client, 0).await;
    client.results.next().await.unwrap();
    gate.set(Vec::new());
    quic::send_one(&world, &mut client, 1).await;
    let told = loop {
        match client.results.next().await {
            Ok(_) => {}
            Err(told) => break told,
        }
    };
    assert!(matches!(&told, ClientError::Closed { reason, .. } if reason.starts_with("token-unknown")), "{told}");
    assert_eq!(world.streaming_calls.load(Ordering::Relaxed), 1);
    quic_server.close().await;
    // A node that requires no token also accepts a client with one.
    let open = quic::start(&world, QuicLimits::default());
    let token = text('d');
    assert!(QuicClient::connect(open.local_addr(), &quic::node_key(), Some(&token)).await.is_ok());
    let too_long = "x".repeat(100);
    let refused = QuicClient::connect(open.local_addr(), &quic::node_key(), Some(&too_long)).await;
    assert!(matches!(refused, Err(ClientError::Setup { .. })));
    open.close().await;
}

//! Large answers: each value is shown once, pages end by bytes, and unread answers are bounded.

use crate::client::{app, get, post, send};
use crate::world::{World, address};
use axum::body::Body;
use axum::http::Request;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rustorium_gateway::http::params::Caller;
use rustorium_gateway::http::server::HttpConfig;
use rustorium_gateway::http::{HttpLimits, HttpServer};
use rustorium_gateway::{Gate, GatewayMetrics};
use rustorium_types::limits::VALUE_BYTES_MAX;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const MIB: usize = 1024 * 1024;

/// Account 1 with values of the maximum length, all of a character that JSON writes as six characters.
fn large(count: u64) -> Arc<World> {
    let world = World::new([1]);
    let value = vec![1; VALUE_BYTES_MAX];
    world.finalize((0..count).map(|n| world.put(1, n, format!("L/{n}").as_bytes(), &value)).collect());
    world
}

fn page(more: &str) -> String {
    format!("/v1/accounts/{}/keys?prefix=L/&values=1&limit=100{more}", address(1))
}

#[tokio::test]
async fn a_value_is_shown_once_as_text_or_as_hex_digits() {
    let world = World::new([1]);
    let router = app(&world, HttpLimits::default());
    let cases: [(&[u8], Option<&str>); 6] = [
        (b"paid", Some("paid")),
        (b"", Some("")),
        ("zw\u{f6}lf\n\t\"".as_bytes(), Some("zw\u{f6}lf\n\t\"")),
        (b"\x01", None),
        (b"\x7f", None),
        (b"\xff", None),
    ];
    for (nonce, (value, text)) in cases.into_iter().enumerate() {
        world.finalize(vec![world.put(1, nonce as u64, b"k", value)]);
        world.proven_height.store(world.tip(), Ordering::Relaxed);
        let text = text.map_or(Value::Null, |text| json!(text));
        let digits = if text.is_null() { json!(hex::encode(value)) } else { Value::Null };
        let listed = get(&router, &format!("/v1/accounts/{}/keys?values=1", address(1))).await.json();
        let question = json!({ "items": [{ "account": address(1), "key": "k" }] }).to_string();
        let proven = post(&router, "/v1/proofs", "application/json", question).await.json();
        let answers = [
            get(&router, &format!("/v1/accounts/{}/keys/k", address(1))).await.json(),
            get(&router, &format!("/v1/accounts/{}/keys/k?proof=1", address(1))).await.json(),
            listed["keys"][0].clone(),
            proven["items"][0].clone(),
        ];
        for answer in answers {
            assert_eq!((&answer["value"], &answer["value_hex"]), (&text, &digits), "{answer}");
        }
    }
}

#[tokio::test]
async fn pages_end_by_their_bytes_of_json_and_have_each_key_once() {
    let world = large(40);
    let router = app(&world, HttpLimits::default());
    let (mut seen, mut next, mut pages) = (BTreeSet::new(), String::new(), 0);
    loop {
        let answer = get(&router, &page(&next)).await;
        assert!(answer.body.len() <= MIB + 2 * VALUE_BYTES_MAX + 1_024, "{} bytes", answer.body.len());
        let page = answer.json();
        for listed in page["keys"].as_array().unwrap() {
            assert!(seen.insert(listed["key"].as_str().unwrap().to_owned()));
        }
        pages += 1;
        let Some(cursor) = page["next"].as_str() else { break };
        next = format!("&cursor={cursor}");
    }
    assert_eq!((seen.len(), pages), (40, 5));
}

#[tokio::test]
async fn epochs_end_by_their_bytes_too() {
    let world = World::new([1]);
    world.ended_epochs.store(40, Ordering::Relaxed);
    let whole = get(&app(&world, HttpLimits::default()), "/v1/epochs?limit=100").await.json();
    assert_eq!((whole["changes"].as_array().unwrap().len(), &whole["next"]), (40, &Value::Null));
}

struct Server {
    server: HttpServer,
    registry: Registry,
}

async fn serve(world: &Arc<World>, limits: HttpLimits) -> Server {
    let (mut registry, metrics) = (Registry::default(), GatewayMetrics::default());
    metrics.register(&mut registry);
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let config = HttpConfig { listen: any, metrics_listen: None, limits, gate: Gate::open(), tls: None };
    Server { server: HttpServer::start(config, world.clone(), metrics).await.unwrap(), registry }
}

impl Server {
    fn figure(&self, name: &str) -> usize {
        let mut text = String::new();
        encode(&mut text, &self.registry).unwrap();
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.and_then(|line| line.rsplit(' ').next()).unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }

    /// Opens a connection from an address of this machine that requests a large page, with a small receive buffer.
    async fn ask(&self, from: &str) -> TcpStream {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4_096).unwrap();
        socket.bind(format!("{from}:0").parse().unwrap()).unwrap();
        let mut stream = socket.connect(self.server.local_addr()).await.unwrap();
        stream.write_all(format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", page("")).as_bytes()).await.unwrap();
        stream
    }
}

async fn status(stream: &mut TcpStream) -> String {
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    String::from_utf8(head[9..].to_vec()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_answers_are_bounded_for_each_address_and_in_all() {
    let server = serve(&large(20), HttpLimits::default()).await;
    let bytes = || server.figure("rustorium_gateway_answer_bytes");
    // A few connections of one address get answers. The others are refused when their time to wait for room is over.
    let mut readers = Vec::new();
    for _ in 0..24 {
        readers.push(server.ask("127.0.0.9").await);
    }
    let mut answered = 0;
    for reader in &mut readers {
        answered += usize::from(status(reader).await == "200");
    }
    assert!((7..=10).contains(&answered), "{answered}");
    assert!((7 * MIB..=10 * MIB).contains(&bytes()), "{}", bytes());
    // Other addresses still have room, up to the total.
    let mut others = Vec::new();
    for last in 10..50 {
        others.push(server.ask(&format!("127.0.0.{last}")).await);
    }
    for other in &mut others {
        answered += usize::from(status(other).await == "200");
    }
    assert!((26..=32).contains(&answered), "{answered}");
    assert!((26 * MIB..=32 * MIB).contains(&bytes()), "{}", bytes());
    // A client that leaves makes room.
    drop((readers, others));
    let mut last = server.ask("127.0.0.9").await;
    assert_eq!(status(&mut last).await, "200");
    server.server.close().await;
}

#[tokio::test]
async fn few_reads_of_one_address_run_at_once_and_another_address_has_its_turn() {
    let world = large(2);
    // With room for all their bytes, their number alone bounds them.
    let mut limits = HttpLimits::default();
    limits.answers.bytes_max *= 8;
    limits.answers.bytes_per_address_max *= 8;
    let router = app(&world, limits);
    world.listings_held.store(4, Ordering::SeqCst);
    let ask = |last: u8| {
        let mut request = Request::get(page("")).body(Body::empty()).unwrap();
        request.extensions_mut().insert(Caller(IpAddr::from([192, 0, 2, last])));
        let router = router.clone();
        tokio::spawn(async move { send(&router, request).await.status })
    };
    let many: Vec<_> = (0..12).map(|_| ask(1)).collect();
    while world.listings.load(Ordering::SeqCst) < 4 {
        tokio::task::yield_now().await;
    }
    for _ in 0..32 {
        assert_eq!(ask(2).await.unwrap(), 200, "four of the one wait, and the other has its turn");
    }
    let ran = world.listings.load(Ordering::SeqCst);
    world.listings_held.store(0, Ordering::SeqCst);
    assert_eq!(ran, 4 + 32);
    for one in many {
        assert_eq!(one.await.unwrap(), 200);
    }
    assert_eq!(world.listings.load(Ordering::SeqCst), 12 + 32);
}

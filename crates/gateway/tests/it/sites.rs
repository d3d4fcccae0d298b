//! Requests that a web page of another site can make a browser send: to a rebound name, or with a foreign origin.

use crate::client::*;
use crate::world::World;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use hyper::client::conn::http1::handshake;
use hyper_util::rt::TokioIo;
use rustorium_gateway::gate::Rules;
use rustorium_gateway::http::server::HttpConfig;
use rustorium_gateway::http::{HttpLimits, HttpServer};
use rustorium_gateway::{Gate, GatewayMetrics};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

fn router() -> Router {
    app(&World::new([1]), HttpLimits::default())
}

async fn asked(router: &Router, method: &str, uri: &str, hosts: &[&str], origin: Option<&str>) -> Answer {
    let mut request = Request::builder().method(method).uri(uri).header(header::CONTENT_TYPE, BINARY);
    for host in hosts {
        request = request.header(header::HOST, HeaderValue::from_bytes(host.as_bytes()).unwrap());
    }
    if let Some(origin) = origin {
        request = request.header(header::ORIGIN, origin);
    }
    send(router, request.body(Body::from(vec![1, 0, 0, 0])).unwrap()).await
}

fn refused(answer: &Answer, code: &str) -> bool {
    let known = answer.headers.get(header::CONTENT_TYPE).is_some_and(|media| media == "application/problem+json");
    known && answer.problem()["code"] == code
}

#[tokio::test]
async fn a_rebound_name_gets_no_answer() {
    let router = router();
    let names = [
        "evil.example",
        "evil.example:26651",
        "EVIL.example.",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "node",
        "localhost@evil.example",
        "evil.example@127.0.0.1",
        "2130706433",
        "0x7f.1",
        "[::1].evil.example",
        "",
        "\u{e9}",
    ];
    for name in names {
        for uri in ["/v1/status", "/v1/genesis", "/livez", "/healthz", "/openapi.json", "/ui/", "/docs/", "/none"] {
            let answer = asked(&router, "GET", uri, &[name], None).await;
            assert_eq!(answer.status, 421, "{name:?} {uri}");
            assert!(refused(&answer, "host-not-allowed"), "{name:?} {uri}");
        }
    }
    // The name as in a request to a proxy, and hidden in two headers.
    let whole = asked(&router, "GET", "http://evil.example/v1/status", &["127.0.0.1"], None).await;
    assert!(refused(&whole, "host-not-allowed"));
    for hosts in [["127.0.0.1", "evil.example"], ["evil.example", "127.0.0.1"]] {
        assert!(refused(&asked(&router, "GET", "/v1/status", &hosts, None).await, "host-not-allowed"));
    }
}

#[tokio::test]
async fn addresses_and_this_machines_own_names_are_served() {
    let router = router();
    for name in [
        "127.0.0.1",
        "127.0.0.1:26651",
        "10.20.30.40:80",
        "[::1]:26651",
        "[2001:db8::7]",
        "localhost",
        "LocalHost:1",
        "localhost.",
    ] {
        assert_eq!(asked(&router, "GET", "/v1/status", &[name], None).await.status, 200, "{name}");
    }
    assert_eq!(asked(&router, "GET", "http://localhost:1/v1/status", &["localhost:1"], None).await.status, 200);
    // No browser omits the header.
    assert_eq!(asked(&router, "GET", "/v1/status", &[], None).await.status, 200);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_post() {
    let router = router();
    let foreign =
        ["https://attacker.example", "http://127.0.0.1:3000", "http://localhost:26651", "null", "file://", "x"];
    for uri in ["/v1/transactions", "/v1/proofs"] {
        for origin in foreign {
            let answer = asked(&router, "POST", uri, &["127.0.0.1:26651"], Some(origin)).await;
            assert_eq!(answer.status, 403, "{origin} {uri}");
            assert!(refused(&answer, "origin-not-allowed"), "{origin} {uri}");
        }
        for (host, origin) in [
            ("127.0.0.1:26651", "http://127.0.0.1:26651"),
            ("localhost", "http://localhost"),
            ("localhost:443", "https://LOCALHOST"),
            ("localhost", "https://localhost"),
            ("[::1]:7", "http://[::1]:7"),
        ] {
            assert!(asked(&router, "POST", uri, &[host], Some(origin)).await.status != 403, "{origin} {uri}");
        }
        assert!(asked(&router, "POST", uri, &["127.0.0.1"], None).await.status != 403, "{uri}");
    }
    // A browser doesn't show such a page the answer, since no header here allows that.
    let read = asked(&router, "GET", "/v1/status", &["127.0.0.1"], Some("https://attacker.example")).await;
    assert_eq!(read.status, 200);
    assert!(!read.headers.keys().any(|name| name.as_str().starts_with("access-control-")));
}

#[tokio::test]
async fn configured_names_are_the_nodes_own_and_their_pages_may_ask() {
    let rules = Rules {
        hosts: vec!["Ledger.Bank.example".to_owned()],
        own_names: vec!["v1.internal".to_owned()],
        ..Rules::default()
    };
    let router = guarded(&World::new([1]), HttpLimits::default(), Gate::with(rules));
    for name in ["ledger.bank.example", "LEDGER.bank.example.:443", "v1.internal:26651", "10.0.0.1"] {
        assert_eq!(asked(&router, "GET", "/v1/status", &[name], None).await.status, 200, "{name}");
    }
    for name in ["bank.example", "x.ledger.bank.example", "ledger.bank.example.evil", "v1"] {
        assert_eq!(asked(&router, "GET", "/v1/status", &[name], None).await.status, 421, "{name}");
    }
    // A proxy uses the node's address; the page has the proxy's name.
    let post =
        async |origin: &str| asked(&router, "POST", "/v1/proofs", &["10.0.0.1:26651"], Some(origin)).await.status;
    assert_ne!(post("https://ledger.bank.example").await, 403);
    assert_eq!(post("https://v1.internal").await, 403, "another port of the same machine is another origin");
    let any = Rules { hosts: vec!["*".to_owned()], ..Rules::default() };
    let router = guarded(&World::new([1]), HttpLimits::default(), Gate::with(any));
    assert_eq!(asked(&router, "GET", "/v1/status", &["any.example"], None).await.status, 200);
    assert_eq!(asked(&router, "POST", "/v1/proofs", &["any.example"], Some("https://other.example")).await.status, 403);
}

#[tokio::test]
async fn metrics_on_loopback_have_no_name_either() {
    let any = "127.0.0.1:0".parse().unwrap();
    for (listen, status) in [(any, 421), ("0.0.0.0:0".parse().unwrap(), 200)] {
        let config = HttpConfig {
            listen: any,
            metrics_listen: Some(listen),
            limits: HttpLimits::default(),
            gate: Gate::open(),
            tls: None,
        };
        let server = HttpServer::start(config, World::new([1]), GatewayMetrics::default()).await.unwrap();
        let port = server.metrics_addr().unwrap().port();
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let (mut send, connection) = handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::get("/metrics").header(header::HOST, "node.example").body(Body::empty()).unwrap();
        assert_eq!(send.send_request(request).await.unwrap().status(), status);
        drop(send);
        server.close().await;
    }
}

#[tokio::test]
async fn a_websocket_is_for_pages_of_the_node_and_for_programs() {
    let listen = "127.0.0.1:0".parse().unwrap();
    let config =
        HttpConfig { listen, metrics_listen: None, limits: HttpLimits::default(), gate: Gate::open(), tls: None };
    let server = HttpServer::start(config, World::new([1]), GatewayMetrics::default()).await.unwrap();
    let address = server.local_addr();
    let connect = async |host: String, origin: Option<String>| {
        let mut request = format!("ws://{address}/v1/events/ws?last_event_id=0.0.0").into_client_request().unwrap();
        request.headers_mut().insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            request.headers_mut().insert(header::ORIGIN, origin.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        tokio_tungstenite::client_async(request, stream).await.map(drop).map_err(|error| error.to_string())
    };
    for origin in ["https://attacker.example", "null", "http://127.0.0.1:1"] {
        let told = connect(address.to_string(), Some(origin.to_owned())).await.unwrap_err();
        assert!(told.contains("403"), "{told}");
    }
    let rebound = connect("evil.example".to_owned(), Some("http://evil.example".to_owned())).await.unwrap_err();
    assert!(rebound.contains("421"), "{rebound}");
    connect(address.to_string(), Some(format!("http://{address}"))).await.unwrap();
    connect(address.to_string(), None).await.unwrap();
    server.close().await;
}

#[tokio::test]
async fn no_site_shows_the_page_of_the_api_in_a_frame_and_it_runs_its_own_scripts_alone() {
    let router = router();
    for uri in [
        "/docs/",
        "/docs/index.html",
        "/docs/swagger-initializer.js",
        "/docs/start.js",
        "/docs/swagger-ui.css",
        "/docs/none",
    ] {
        let headers = get(&router, uri).await.headers;
        let policy = headers.get(header::CONTENT_SECURITY_POLICY).map_or("", |value| value.to_str().unwrap());
        for needed in ["default-src 'none'", "script-src 'self';", "frame-ancestors 'none'", "base-uri 'none'"] {
            assert!(policy.contains(needed), "{uri}: {policy:?}");
        }
        assert_eq!(headers["referrer-policy"], "no-referrer", "{uri}");
    }
    let page = String::from_utf8(get(&router, "/docs/").await.body.to_vec()).unwrap();
    assert!(!page.contains("<style") && !page.contains(" onload=") && !page.contains("<script>"), "{page}");
}

#[tokio::test]
async fn each_file_that_the_page_of_the_api_names_is_served_in_the_form_that_its_headers_say() {
    let router = router();
    let page = String::from_utf8(get(&router, "/docs/").await.body.to_vec()).unwrap();
    let quoted =
        page.split('"').filter(|part| part.ends_with(".js") || part.ends_with(".css") || part.ends_with(".png"));
    let named: Vec<&str> = quoted.collect();
    assert_eq!(named.len(), 5, "{page}");
    for name in named {
        let answer = get(&router, &format!("/docs/{name}")).await;
        assert!(answer.status == 200 && answer.body.len() > 100, "{name}: {}", answer.status);
        let media = if name.ends_with(".js") { "text/javascript" } else { &format!("/{}", &name[name.len() - 3..]) };
        assert!(answer.headers[header::CONTENT_TYPE].to_str().unwrap().contains(media), "{name}");
        // The first bytes of a gzip frame, RFC 1952, and of a PNG.
        let packed = answer.headers.get(header::CONTENT_ENCODING).is_some_and(|value| value == "gzip");
        assert_eq!(packed, answer.body.starts_with(&[0x1f, 0x8b, 8]), "{name}");
        assert_eq!(name.ends_with(".png"), answer.body.starts_with(b"\x89PNG"), "{name}");
    }
    assert_eq!(get(&router, "/docs").await.headers[header::LOCATION], "/docs/");
    assert_eq!(get(&router, "/docs/index.html").await.body, page.as_bytes());
    for name in ["none", "oauth2-redirect.html", "..%2fCargo.toml", "swagger-ui.css.map"] {
        assert_eq!(get(&router, &format!("/docs/{name}")).await.problem()["code"], "unknown-route", "{name}");
    }
}

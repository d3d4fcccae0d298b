//! The HTTP API over TLS: served clients, accepted files, and the limits of handshakes.

use crate::world::World;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use futures_util::StreamExt;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rustls::crypto::ring;
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustorium_gateway::http::server::HttpConfig;
use rustorium_gateway::http::{HttpLimits, HttpServer};
use rustorium_gateway::tls::{TlsError, TlsFiles};
use rustorium_gateway::{Gate, GatewayMetrics, Tls};
use rustorium_transport::authority::{Authority, Issued, Purpose};
use rustorium_transport::handshakes::HandshakeLimits;
use serde_json::Value;
use std::cell::Cell;
use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;

pub const H2: &[u8] = b"h2";
pub const H1: &[u8] = b"http/1.1";

/// An authority, and the gateway's files.
pub struct Pki {
    folder: TempDir,
    pub authority: Authority,
}

impl Pki {
    pub fn new() -> Self {
        Self::named("test")
    }

    fn named(name: &str) -> Self {
        let pki = Self { folder: tempfile::tempdir().unwrap(), authority: Authority::new(name).unwrap() };
        pki.renew();
        pki
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path
    }

    pub fn issue(&self, purpose: Purpose) -> Issued {
        self.authority.issue(&["127.0.0.1".to_owned(), "localhost".to_owned()], purpose, None).unwrap()
    }

    /// A new certificate with a new key.
    fn renew(&self) {
        let issued = self.issue(Purpose::Server);
        self.write("gateway.pem", issued.certificate.as_bytes());
        self.write("gateway.key", issued.key.as_bytes());
    }

    pub fn files(&self) -> TlsFiles {
        TlsFiles { certificate: self.path("gateway.pem"), key: self.path("gateway.key"), client_authorities: None }
    }

    pub fn tls(&self) -> Arc<Tls> {
        Arc::new(Tls::open(self.files()).unwrap())
    }

    /// Opens a connection as a client with these protocols and this certificate.
    pub async fn connect(&self, at: SocketAddr, speaks: &[&[u8]], shows: Option<&Issued>) -> TlsStream<TcpStream> {
        self.try_connect(at, speaks, shows).await.unwrap()
    }

    async fn try_connect(
        &self,
        at: SocketAddr,
        speaks: &[&[u8]],
        shows: Option<&Issued>,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.authority.certificate().as_bytes()).unwrap()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shows {
            Some(issued) => {
                let chain = CertificateDer::pem_slice_iter(issued.certificate.as_bytes()).map(Result::unwrap).collect();
                builder
                    .with_client_auth_cert(chain, PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap())
                    .unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = speaks.iter().map(|protocol| protocol.to_vec()).collect();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, TcpStream::connect(at).await?).await
    }
}

/// A server, and its metrics.
pub struct Served {
    pub server: HttpServer,
    registry: Registry,
}

impl Served {
    pub async fn start(world: &Arc<World>, tls: Option<Arc<Tls>>, limits: HttpLimits) -> Self {
        let (mut registry, metrics) = (Registry::default(), GatewayMetrics::default());
        metrics.register(&mut registry);
        let listen = "127.0.0.1:0".parse().unwrap();
        let config = HttpConfig { listen, metrics_listen: None, limits, gate: Gate::open(), tls };
        Self { server: HttpServer::start(config, world.clone(), metrics).await.unwrap(), registry }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Waits until a line of the metrics is there.
    pub async fn counts(&self, line: &str) {
        let began = Instant::now();
        loop {
            let mut text = String::new();
            encode(&mut text, &self.registry).unwrap();
            if text.lines().any(|found| found == line) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{line} is not in {text}");
            tokio::task::yield_now().await;
        }
    }

    async fn failed(&self, reason: &str, times: u64) {
        self.counts(&format!("rustorium_gateway_handshake_failures_total{{reason=\"{reason}\"}} {times}")).await;
    }
}

/// Sends a request with the negotiated version of HTTP; returns the status and that version.
pub async fn ask(stream: TlsStream<TcpStream>, request: Request<Body>) -> hyper::Result<(u16, Vec<u8>)> {
    let response = if stream.get_ref().1.alpn_protocol() == Some(H2) {
        let (mut send, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        send.send_request(request).await?
    } else {
        let (mut send, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        send.send_request(request).await?
    };
    let status = response.status().as_u16();
    Ok((status, to_bytes(Body::new(response.into_body()), usize::MAX).await.unwrap().to_vec()))
}

pub fn livez() -> Request<Body> {
    Request::get("https://localhost/livez").header("host", "localhost").body(Body::empty()).unwrap()
}

#[tokio::test]
async fn programs_and_browsers_are_served_by_the_version_that_they_prefer() {
    let (pki, world) = (Pki::new(), World::new([1]));
    let served = Served::start(&world, Some(pki.tls()), HttpLimits::default()).await;
    for (speaks, agreed) in [(vec![H2, H1], Some(H2)), (vec![H1], Some(H1)), (vec![H2], Some(H2)), (vec![], None)] {
        let stream = pki.connect(served.address(), &speaks, None).await;
        assert_eq!(stream.get_ref().1.alpn_protocol(), agreed);
        assert_eq!(ask(stream, livez()).await.unwrap().0, 200, "{agreed:?}");
    }
    // A client that speaks none of them, or trusts another authority, isn't served.
    assert!(pki.try_connect(served.address(), &[b"spdy/3"], None).await.is_err());
    assert!(Pki::named("other").try_connect(served.address(), &[H1], None).await.is_err());
    served.failed("refused-by-client", 1).await;
    served.failed("broken", 1).await;
    served.server.close().await;
}

fn refused(files: TlsFiles) -> String {
    Tls::open(files).err().unwrap().to_string()
}

#[test]
fn each_file_that_can_not_be_used_is_named_with_what_to_do() {
    let pki = Pki::new();
    let (good, key) = (pki.files(), fs::read(pki.path("gateway.key")).unwrap());
    // Each case has its own file: all are made before the first is read.
    let number = Cell::new(0);
    let put = |content: &[u8]| {
        number.set(number.get() + 1);
        pki.write(&format!("other-{}.pem", number.get()), content)
    };
    let with_key = |content: &[u8]| TlsFiles { key: put(content), ..good.clone() };
    let with_certificate = |content: &[u8]| TlsFiles { certificate: put(content), ..good.clone() };
    let with_authorities = |content: &[u8]| TlsFiles { client_authorities: Some(put(content)), ..good.clone() };
    let cases = [
        (TlsFiles { key: pki.path("none"), ..good.clone() }, "none can't be read (", "let the node's user read it"),
        (TlsFiles { certificate: pki.folder.path().into(), ..good.clone() }, "not a PEM file", "correct its path"),
        (with_key(pki.issue(Purpose::Server).key.as_bytes()), "is not for the key in ", "put a matching pair there"),
        (with_key(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n"), "sealed by a passphrase", "openssl pkey -in"),
        (with_key(b"-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n"), "sealed by a", "openssl pkey -in"),
        (with_key(pki.authority.certificate().as_bytes()), "there is no key in ", "-----BEGIN PRIVATE KEY-----"),
        (with_key(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), "can't be used", "take an ECDSA"),
        (with_certificate(&key), "there is no certificate in ", "-----BEGIN CERTIFICATE-----"),
        (with_certificate(b""), "there is no certificate in ", "-----BEGIN CERTIFICATE-----"),
        (with_certificate(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"), "isn't readable (", "again"),
        (with_certificate(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "no X.509", "again"),
        (with_authorities(b""), "there is no certificate in ", "-----BEGIN CERTIFICATE-----"),
        (
            with_authorities(b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "isn't readable",
            "again",
        ),
    ];
    for (files, what, next) in cases {
        let said = refused(files);
        assert!(said.contains(what) && said.contains(next), "{said}");
        assert!(said.contains(": ") && !said.contains('\n'), "{said}");
    }
    Tls::open(with_authorities(pki.authority.certificate().as_bytes())).unwrap();
    // A key and its certificate may be in one file, which a group may read.
    let both = [fs::read(pki.path("gateway.pem")).unwrap(), key].concat();
    let path = pki.write("both.pem", &both);
    for (mode, fine) in [(0o600, true), (0o640, true), (0o644, false), (0o604, false), (0o602, false)] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let opened = Tls::open(TlsFiles { certificate: path.clone(), key: path.clone(), client_authorities: None });
        assert_eq!(opened.is_ok(), fine, "{mode:o}");
        if let Err(error) = opened {
            assert!(matches!(error, TlsError::Exposed { .. }) && error.to_string().contains("`chmod o= "), "{error}");
        }
    }
    let large = pki.write("large.pem", &vec![b'\n'; 1024 * 1024 + 1]);
    assert!(refused(TlsFiles { certificate: large, ..good }).contains("at most 1 MiB"));
}

fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn copy(from: &Path, to: &Path) {
    fs::copy(from, to).unwrap();
}

#[tokio::test]
async fn new_files_are_used_without_a_restart_and_broken_ones_change_nothing() {
    let (pki, world) = (Pki::new(), World::new([1]));
    let tls = pki.tls();
    let served = Served::start(&world, Some(tls.clone()), HttpLimits::default()).await;
    let stream = pki.connect(served.address(), &[H1], None).await;
    let first = shown(&stream);
    let (mut old, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(old.send_request(livez()).await.unwrap().status(), 200);
    assert!(!tls.look(), "nothing has changed");
    copy(&pki.path("gateway.pem"), &pki.path("kept.pem"));
    copy(&pki.path("gateway.key"), &pki.path("kept.key"));

    pki.renew();
    tls.look();
    let second = shown(&pki.connect(served.address(), &[H1], None).await);
    assert_ne!(first, second);
    // The open connection goes on.
    old.ready().await.unwrap();
    assert_eq!(old.send_request(livez()).await.unwrap().status(), 200);

    // Another certificate without its key, no key, a key for everybody to read, and half a certificate.
    let state = || tls.state();
    let broken: [(&dyn Fn(), &str); 4] = [
        (&|| copy(&pki.path("kept.pem"), &pki.path("gateway.pem")), "is not for the key"),
        (&|| fs::remove_file(pki.path("gateway.key")).unwrap(), "gateway.key can't be read"),
        (&|| pki.renew(), ""),
        (&|| drop(pki.write("gateway.pem", &fs::read(pki.path("kept.pem")).unwrap()[..200])), "certificate in "),
    ];
    let mut used = second;
    for (change, trouble) in broken {
        change();
        tls.look();
        let now = shown(&pki.connect(served.address(), &[H1], None).await);
        let told = state().trouble;
        assert!(told.clone().unwrap_or_default().contains(trouble) && told.is_none() == trouble.is_empty(), "{told:?}");
        assert_eq!(now == used, told.is_some());
        used = now;
    }
    copy(&pki.path("kept.pem"), &pki.path("gateway.pem"));
    copy(&pki.path("kept.key"), &pki.path("gateway.key"));
    tls.look();
    assert_eq!(state().trouble, None);
    assert_eq!(shown(&pki.connect(served.address(), &[H1], None).await), first);
    served.server.close().await;
}

#[tokio::test]
async fn a_changed_file_is_noticed_by_the_server_itself() {
    let (pki, world) = (Pki::new(), World::new([1]));
    let served = Served::start(&world, Some(pki.tls()), HttpLimits::default()).await;
    let last = "rustorium_gateway_certificate_expiry_timestamp_seconds{face=\"http\"}";
    served.counts(&format!("{last} 67090118400")).await;
    let names = ["localhost".to_owned()];
    let issued = pki.authority.issue(&names, Purpose::Server, Some((2031, 2, 3))).unwrap();
    pki.write("gateway.pem", issued.certificate.as_bytes());
    pki.write("gateway.key", issued.key.as_bytes());
    served.counts(&format!("{last} 1927843200")).await;
    served.server.close().await;
}

#[tokio::test]
async fn if_client_authorities_are_named_only_their_clients_are_served() {
    let (pki, world, clients) = (Pki::new(), World::new([1]), Authority::new("clients").unwrap());
    let authorities = pki.write("clients.pem", clients.certificate().as_bytes());
    let tls = Tls::open(TlsFiles { client_authorities: Some(authorities), ..pki.files() }).unwrap();
    let served = Served::start(&world, Some(Arc::new(tls)), HttpLimits::default()).await;
    let of = |authority: &Authority, purpose, until| authority.issue(&["alice".to_owned()], purpose, until).unwrap();
    let good = of(&clients, Purpose::Client, None);
    for speaks in [H1, H2] {
        let stream = pki.connect(served.address(), &[speaks], Some(&good)).await;
        assert_eq!(ask(stream, livez()).await.unwrap().0, 200);
        let refused = [
            (None, "no-client-certificate"),
            (Some(of(&Authority::new("clients").unwrap(), Purpose::Client, None)), "bad-client-certificate"),
            (Some(of(&pki.authority, Purpose::Client, None)), "bad-client-certificate"),
            (Some(of(&clients, Purpose::Server, None)), "bad-client-certificate"),
            (Some(of(&clients, Purpose::Client, Some((2001, 1, 1)))), "bad-client-certificate"),
        ];
        for (shows, _) in &refused {
            // The server's alert comes after the client's handshake is over.
            let answered = match pki.try_connect(served.address(), &[speaks], shows.as_ref()).await {
                Ok(stream) => ask(stream, livez()).await.is_ok(),
                Err(_) => false,
            };
            assert!(!answered);
        }
    }
    served.failed("no-client-certificate", 2).await;
    served.failed("bad-client-certificate", 8).await;
    served.server.close().await;
}

#[tokio::test]
async fn unfinished_handshakes_are_closed_in_time_and_bounded_in_number() {
    let (pki, world) = (Pki::new(), World::new([1]));
    let limits = HttpLimits {
        handshake_timeout: Duration::from_millis(200),
        handshakes: HandshakeLimits { open_max: 100, open_per_site_max: 2, per_site_per_s: 1_000, burst: 1_000 },
        ..HttpLimits::default()
    };
    let served = Served::start(&world, Some(pki.tls()), limits).await;
    // The beginning of a ClientHello, and nothing at all.
    let mut half = TcpStream::connect(served.address()).await.unwrap();
    half.write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252]).await.unwrap();
    let mut silent = TcpStream::connect(served.address()).await.unwrap();
    // Both handshakes are in progress before the third begins.
    let mut third = TcpStream::connect(served.address()).await.unwrap();
    let mut rest = Vec::new();
    third.read_to_end(&mut rest).await.unwrap_or_default();
    served.failed("crowded", 1).await;
    for late in [&mut half, &mut silent] {
        let ended = timeout(Duration::from_secs(20), late.read_to_end(&mut rest)).await;
        ended.unwrap().unwrap_or_default();
    }
    served.failed("late", 2).await;
    let stream = pki.connect(served.address(), &[H2], None).await;
    assert_eq!(ask(stream, livez()).await.unwrap().0, 200);
    served.server.close().await;
}

#[tokio::test]
async fn a_request_without_tls_gets_only_the_advice_to_use_it() {
    let (pki, world) = (Pki::new(), World::new([1]));
    let served = Served::start(&world, Some(pki.tls()), HttpLimits::default()).await;
    let mut stream = TcpStream::connect(served.address()).await.unwrap();
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nhost: localhost\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 400 ") && head.contains(&format!("content-length: {}", body.len())), "{head}");
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&"tls-needed".into(), &400.into()));
    served.failed("no-tls", 1).await;
    served.server.close().await;
}

#[tokio::test]
async fn a_websocket_works_over_tls_and_gets_a_close_frame() {
    let (pki, world) = (Pki::new(), World::new([1]));
    let served = Served::start(&world, Some(pki.tls()), HttpLimits::default()).await;
    world.finalize(vec![world.put(1, 0, b"k", b"v")]);
    let stream = pki.connect(served.address(), &[H1], None).await;
    let url = "ws://localhost/v1/events/ws?last_event_id=0.0.0";
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let mut next = async || match socket.next().await.unwrap().unwrap() {
        Message::Text(text) => serde_json::from_str::<Value>(&text).unwrap()["event"].clone(),
        other => panic!("{other}"),
    };
    assert_eq!((next().await, next().await), ("receipt".into(), "block".into()));
    let closing = tokio::spawn(served.server.close());
    assert_eq!(next().await, "closing");
    assert!(matches!(socket.next().await, Some(Ok(Message::Close(Some(frame)))) if u16::from(frame.code) == 1001));
    drop(socket);
    closing.await.unwrap();
}

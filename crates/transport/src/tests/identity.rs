//! Tests of the right to link: keys, certificates, signatures, chains.

use super::*;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ConnectionError, ServerConfig};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::ServerCertVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{self, CertifiedKey};
use rustls::{SignatureScheme, version::TLS13};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

fn stranger() -> SigningKey {
    SigningKey::from_seed(&[99; 32])
}

#[test]
fn a_certificate_is_taken_of_a_known_key_alone_in_both_directions() {
    let pinned = tls::PeerKeyVerifier::new(tls::KnownKeys::new([node_0().public()], false), tls::provider());
    let (name, now) = (ServerName::try_from(tls::SERVER_NAME).unwrap(), UnixTime::since_unix_epoch(Duration::ZERO));
    for (key, known) in [(node_0(), true), (stranger(), false)] {
        let certificate = tls::certificate(&key).unwrap();
        assert_eq!(pinned.verify_server_cert(&certificate, &[], &name, &[], now).is_ok(), known);
        assert_eq!(pinned.verify_client_cert(&certificate, &[], now).is_ok(), known);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialer_with_an_unknown_key_is_refused_with_the_reason() {
    let mut committee = Committee::new(2);
    let mut impostor = committee.config(0);
    impostor.identity = stranger();
    impostor.peers.remove(0);
    let mut b = committee.start(1);
    let mut a = committee.start_with(impostor);
    let refusal = b.refusal().await;
    assert!(matches!(&refusal, Refusal::UnknownKey(why) if why.contains(&hex(&stranger().public()))), "{refusal}");
    assert!(matches!(a.refusal().await, Refusal::UnknownHere(_)));
    assert!(!a.transport.status()[0].up && !b.transport.status()[0].up);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dialed_node_with_another_key_is_refused_with_the_reason() {
    let mut committee = Committee::new(2);
    let mut impostor = committee.config(1);
    impostor.identity = stranger();
    impostor.peers.remove(1);
    let mut b = committee.start_with(impostor);
    let mut a = committee.start(0);
    let refusal = a.refusal().await;
    assert!(matches!(&refusal, Refusal::UnknownKey(why) if why.contains(&hex(&stranger().public()))), "{refusal}");
    assert!(matches!(b.refusal().await, Refusal::UnknownHere(_)));
    assert!(a.transport.status()[0].last_error.is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_chain_is_refused_on_both_sides() {
    let mut committee = Committee::new(2);
    let mut config = committee.config(0);
    config.chain = ChainId([2; 32]);
    let (mut a, mut b) = (committee.start_with(config), committee.start(1));
    // The side that reads the other's greeting first closes. Both learn the reason.
    for node in [&mut a, &mut b] {
        match node.refusal().await {
            Refusal::WrongChain { theirs, ours } => assert_ne!(theirs, ours),
            Refusal::ByPeer { code: CloseCode::WrongChain, reason } => assert!(reason.contains("genesis"), "{reason}"),
            other => panic!("refused otherwise: {other}"),
        }
        assert!(!node.transport.status()[0].up);
    }
}

fn speaking(committee: &mut Committee, me: u16, oldest: u8, newest: u8) -> Node {
    let mut config = committee.config(me);
    config.versions = Versions { newest, oldest };
    committee.start_with(config)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn neighbours_one_version_apart_talk_and_others_learn_which_is_older() {
    for (theirs, common) in [((2, 3), Some(2)), ((1, 2), Some(2)), ((3, 4), None), ((0, 1), None)] {
        let mut committee = Committee::new(2);
        let mut a = speaking(&mut committee, 0, theirs.0, theirs.1);
        let mut b = speaking(&mut committee, 1, 2, 2);
        let Some(version) = common else {
            for node in [&mut a, &mut b] {
                match node.refusal().await {
                    Refusal::WrongVersion { theirs, ours } => assert_ne!(theirs, ours),
                    Refusal::ByPeer { code: CloseCode::WrongVersion, reason } => {
                        assert!(reason.contains("install the newer release"), "{reason}");
                    }
                    other => panic!("refused otherwise: {other}"),
                }
                assert!(node.transport.status()[0].last_error.is_some());
            }
            continue;
        };
        for node in [&mut a, &mut b] {
            node.link(true).await;
            assert_eq!(node.transport.status()[0].version, Some(version));
        }
        a.send(1, Class::Consensus, "of another release");
        assert_eq!(b.frame().await.bytes, "of another release");
    }
}

/// A client that shows any certificates, and signs with any key.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

fn client_that_shows(
    chain: Vec<CertificateDer<'static>>,
    signer: Arc<dyn sign::SigningKey>,
    server: &PublicKey,
) -> ClientConfig {
    let provider = tls::provider();
    let mut config = rustls::ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(tls::PeerKeyVerifier::new(tls::KnownKeys::new([*server], false), provider))
        .with_client_cert_resolver(Arc::new(Shows(Arc::new(CertifiedKey::new(chain, signer)))));
    config.alpn_protocols = vec![tls::PEER_ALPN.to_vec()];
    ClientConfig::new(Arc::new(QuicClientConfig::try_from(config).unwrap()))
}

/// Returns the refusal of such a client by a validator that expects node 0.
async fn refusal_of(chain: Vec<CertificateDer<'static>>, key: Arc<dyn sign::SigningKey>) -> Refusal {
    let mut committee = Committee::new(2);
    let mut b = committee.start(1);
    let client = client_that_shows(chain, key, &committee.keys[1].public());
    let raw = raw_connect(client, committee.addresses[1]).await;
    let refusal = b.refusal().await;
    if let Ok((_endpoint, connection)) = raw {
        let told = within(connection.closed()).await;
        assert!(matches!(told, ConnectionError::ConnectionClosed(_)), "{told:?}");
    }
    refusal
}

fn node_0() -> SigningKey {
    Committee::new(2).keys[0].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_certificate_proves_nothing_without_its_key() {
    let copied = tls::certified(&node_0()).unwrap().cert;
    let other_key = tls::certified(&stranger()).unwrap().key;
    let refusal = refusal_of(copied, other_key).await;
    assert!(matches!(&refusal, Refusal::Handshake(why) if why.contains("BadSignature")), "{refusal}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_one_certificate_is_refused() {
    let mut shown = tls::certified(&node_0()).unwrap();
    shown.cert.push(shown.cert[0].clone());
    let refusal = refusal_of(shown.cert, shown.key).await;
    assert!(matches!(&refusal, Refusal::UnknownKey(why) if why.contains("exactly one")), "{refusal}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_kind_of_key_is_refused() {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
    let certificate = rcgen::CertificateParams::new(vec![]).unwrap().self_signed(&pair).unwrap();
    let key = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
    let key = tls::provider().key_provider.load_private_key(key).unwrap();
    let mut committee = Committee::new(2);
    let mut b = committee.start(1);
    // The validator offers no scheme for such a key, so an honest TLS library shows no certificate.
    let client = client_that_shows(vec![certificate.der().clone()], key, &committee.keys[1].public());
    let _raw = raw_connect(client, committee.addresses[1]).await;
    assert!(matches!(b.refusal().await, Refusal::Handshake(_)));
    let garbage = CertificateDer::from(vec![0x30, 0x82, 0xff, 0xff, 1, 2, 3]);
    assert_eq!(tls::ed25519_key(&garbage), None);
    assert_eq!(tls::ed25519_key(certificate.der()), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_peer_port_wants_a_certificate_and_its_own_protocol() {
    let mut committee = Committee::new(2);
    let mut b = committee.start(1);
    let server_key = committee.keys[1].public();
    let client = tls::client_api_client(&server_key).unwrap();
    assert!(raw_connect(client, committee.addresses[1]).await.is_err());
    assert!(matches!(b.refusal().await, Refusal::Handshake(_)));
}

async fn serve_clients(config: ServerConfig) -> (Endpoint, SocketAddr) {
    let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
    let address = endpoint.local_addr().unwrap();
    let server = endpoint.clone();
    tokio::spawn(async move {
        while let Some(incoming) = server.accept().await {
            tokio::spawn(async move {
                let Ok(connection) = incoming.await else { return };
                let Ok((mut send, mut receive)) = connection.accept_bi().await else { return };
                let _ = send.write_all(&receive.read_to_end(100).await.unwrap()).await;
                let _ = send.finish();
                connection.closed().await;
            });
        }
    });
    (endpoint, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_api_is_open_to_anyone_and_proves_its_key() {
    let (endpoint, address) = serve_clients(tls::client_api_server(&node_0()).unwrap()).await;
    let client = tls::client_api_client(&node_0().public()).unwrap();
    let (_client_endpoint, connection) = raw_connect(client, address).await.unwrap();
    assert_eq!(tls::proven_key(&connection), Some(node_0().public()));
    let (mut send, mut receive) = connection.open_bi().await.unwrap();
    send.write_all(b"echo").await.unwrap();
    send.finish().unwrap();
    assert_eq!(within(receive.read_to_end(100)).await.unwrap(), b"echo");
    let misled = tls::client_api_client(&stranger().public()).unwrap();
    let error = raw_connect(misled, address).await.unwrap_err();
    assert!(matches!(Refusal::of(&error), Some(Refusal::UnknownKey(_))), "{error}");
    drop(endpoint);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

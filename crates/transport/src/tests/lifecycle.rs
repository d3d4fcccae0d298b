//! Tests of starting, stopping, restarting, and faulty configurations.

use super::*;
use crate::SEEDS_MAX;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use rustorium_types::limits::VALIDATORS_MAX;
use tokio::runtime::{Builder, Runtime};

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Kills `victim` without a message to its peer, starts it again on its port, and expects the link to come back.
fn survives_a_kill(victim: u16) {
    let survivor = 1 - victim;
    let (here, there) = (runtime(), runtime());
    let mut committee = Committee::new(2);
    let mut a = here.block_on(async { committee.start(survivor) });
    let mut b = there.block_on(async { committee.start(victim) });
    here.block_on(a.link(true));
    there.block_on(b.link(true));
    let Node { transport, events } = b;
    // The runtime drops its tasks first, in the middle of their work, so they can't close connections.
    there.shutdown_timeout(Duration::from_secs(60));
    drop((transport, events));

    let there = runtime();
    let mut b = there.block_on(async { committee.start(victim) });
    here.block_on(async {
        a.link(false).await;
        a.link(true).await;
        assert_eq!(a.transport.status()[0].reconnects, 1);
    });
    there.block_on(b.link(true));
    b.send(survivor, Class::Data, Bytes::from_static(b"back"));
    let frame = here.block_on(a.frame());
    assert_eq!((frame.from, &frame.bytes[..]), (committee.key(victim), &b"back"[..]));
}

#[test]
fn a_killed_node_that_is_dialed_is_linked_again() {
    survives_a_kill(1);
}

#[test]
fn a_killed_node_that_dials_is_linked_again() {
    survives_a_kill(0);
}

#[test]
fn a_restarted_node_tells_its_peer_that_the_old_connection_is_gone() {
    let (here, there) = (runtime(), runtime());
    let mut committee = Committee::new(2);
    let mut a = here.block_on(async { committee.start(0) });
    let mut b = there.block_on(async { committee.start(1) });
    here.block_on(a.link(true));
    there.block_on(b.link(true));
    let Node { transport, events } = b;
    there.shutdown_timeout(Duration::from_secs(60));
    drop((transport, events));
    let there = runtime();
    let _b = there.block_on(async { committee.start(1) });
    here.block_on(a.link(false));
    let error = a.transport.status()[0].last_error.clone().unwrap_or_default();
    assert!(error.contains("restarted"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_starts_late_is_linked() {
    let mut committee = Committee::new(3);
    let mut a = committee.start(0);
    let mut c = committee.start(2);
    a.link(true).await;
    c.link(true).await;
    let mut b = committee.start(1);
    b.link(true).await;
    b.link(true).await;
    a.link(true).await;
    c.link(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_tells_the_peer_and_ends_all_links() {
    let (mut a, mut b) = pair().await;
    within(a.transport.close()).await;
    a.link(false).await;
    b.link(false).await;
    assert_eq!(a.transport.send(index(1), Class::Consensus, Bytes::new()), Err(SendError::Down));
    let error = b.transport.status()[0].last_error.clone().unwrap();
    assert!(error.contains("it stops"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_handle_ends_all_links() {
    let (a, mut b) = pair().await;
    let clone = a.transport.clone();
    drop(a.transport);
    clone.send(index(1), Class::Consensus, Bytes::from_static(b"alive")).unwrap();
    assert_eq!(&b.frame().await.bytes[..], b"alive");
    drop(clone);
    b.link(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_connection_of_the_same_node_takes_over() {
    let mut committee = Committee::new(2);
    let mut b = committee.start(1);
    let first = RawPeer::greet_well(&committee).await;
    b.link(true).await;
    let _second = RawPeer::greet_well(&committee).await;
    b.link(false).await;
    b.link(true).await;
    assert_eq!(first.closed_with().await.0, CloseCode::Replaced);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let committee = Committee::new(2);
    let mut config = committee.config(0);
    config.listen = address;
    let (sender, _events) = unbounded_channel();
    let error = Transport::start(config, Arc::new(Recorder(sender)), &Handle::current()).unwrap_err();
    assert!(matches!(error, TransportError::PortInUse { address: named } if named == address));
    assert!(error.to_string().contains(&address.port().to_string()));
}

#[tokio::test]
async fn configurations_that_cannot_work_are_refused() {
    let committee = Committee::new(3);
    let refused = |change: &dyn Fn(&mut Config)| {
        let mut config = committee.config(0);
        change(&mut config);
        config.checked().and_then(|checks| checks.peers(config.me, &config.peers)).unwrap_err()
    };
    let duplicate = refused(&|c| c.peers[2].index = index(1));
    assert!(matches!(duplicate, TransportError::DuplicatePeer { index: ValidatorIndex(1) }));
    let same_key = refused(&|c| c.peers[2].node_key = c.peers[1].node_key);
    assert!(matches!(same_key, TransportError::DuplicatePeer { index: ValidatorIndex(2) }));
    let other_key = refused(&|c| c.peers[0].node_key = [9; 32]);
    assert!(matches!(other_key, TransportError::WrongIdentity { index: ValidatorIndex(0), .. }));
    let other_index = refused(&|c| c.me = Some(index(1)));
    assert!(matches!(other_index, TransportError::WrongIdentity { .. }));
    assert!(matches!(refused(&|c| c.queue_frames[1] = 0), TransportError::EmptyQueue));
    assert!(matches!(refused(&|c| c.queue_bytes[2] = 0), TransportError::EmptyQueue));
    let no_port = refused(&|c| c.peers[1].address = Some(SocketAddr::from(([127, 0, 0, 1], 0)).into()));
    assert!(matches!(no_port, TransportError::Unreachable { index: ValidatorIndex(1), .. }));
    let family = refused(&|c| c.peers[1].address = Some(PeerAddress::parse("[::1]:5").unwrap()));
    assert!(matches!(family, TransportError::Unreachable { .. }));
    let too_many = VALIDATORS_MAX + SEEDS_MAX + 1;
    let crowd = refused(&|c| c.peers = vec![c.peers[1].clone(); too_many]);
    assert!(matches!(crowd, TransportError::TooManyPeers { got } if got == too_many));
    let follower = refused(&|c| c.me = None);
    assert!(matches!(follower, TransportError::WrongIdentity { index: ValidatorIndex(0), me: None }));
    let config = committee.config(0);
    assert_eq!(config.checked().unwrap().peers(config.me, &config.peers).unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_figures_are_in_the_registry() {
    let (a, mut b) = pair().await;
    a.send(1, Class::Data, vec![0; 300]);
    b.frame().await;
    let mut registry = Registry::default();
    b.transport.metrics().register(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry).unwrap();
    for line in [
        r#"rustorium_transport_received_frames_total{peer="0",class="data"} 1"#,
        r#"rustorium_transport_received_bytes_total{peer="0",class="data"} 300"#,
        r#"rustorium_transport_link_up{peer="0"} 1"#,
        r#"rustorium_transport_queue_bytes{peer="0",class="sync"} 0"#,
        r#"rustorium_transport_reconnects_total{peer="0"} 0"#,
        r#"rustorium_transport_refusals_total{reason="unknown-key"} 0"#,
        r#"rustorium_transport_rtt_seconds{peer="0"} "#,
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
}

/// A handler that fails a check of its own state at every call.
struct Faulty(UnboundedSender<&'static str>);

impl Handler for Faulty {
    fn frame(&self, _: Frame) {
        panic!("a fault");
    }

    fn link(&self, _: &PublicKey, _: bool) {
        panic!("a fault");
    }

    fn panicked(&self, part: &'static str) {
        let _ = self.0.send(part);
    }
}

#[tokio::test]
async fn a_panic_of_a_links_task_is_reported() {
    let mut committee = Committee::new(2);
    let config = committee.config(0);
    let socket = committee.sockets[0].take().unwrap();
    let (sender, mut told) = unbounded_channel();
    let faulty = Transport::start_on(socket, config, Arc::new(Faulty(sender)), &Handle::current()).unwrap();
    let _peer = committee.start(1);
    assert_eq!(within(told.recv()).await, Some("peer link"));
    faulty.close().await;
}

use crate::quic;
use crate::world::World;
use rustorium_gateway::http::server::HttpConfig;
use rustorium_gateway::http::{HttpLimits, HttpServer};
use rustorium_gateway::quic::QuicLimits;
use rustorium_gateway::{Backend, Gate, GatewayMetrics};
use rustorium_load::{LoadAccount, LoadConfig, LoadError, LoadReport, LoadTarget, Protocol, run};
use rustorium_types::ShardId;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

const SENDERS: [u8; 5] = [1, 2, 3, 4, 5];

fn config(world: &World, face: Protocol, addresses: &[SocketAddr]) -> LoadConfig {
    let targets: Vec<_> = addresses
        .iter()
        .map(|address| LoadTarget { address: *address, node_key: quic::node_key(), token: None, shard: ShardId::ROOT })
        .collect();
    let account =
        |seed: u8| LoadAccount { seed: [seed; 32], region: 0, nonce: 0, target: usize::from(seed) % targets.len() };
    LoadConfig {
        chain: world.chain().id,
        face,
        accounts: SENDERS.into_iter().map(account).collect(),
        targets,
        rate_per_s: 200,
        seconds: 1,
        value_bytes: 256,
        work_limit: 1_000,
        connections: 2,
        window: None,
        drain: Duration::from_secs(20),
        salt: 1,
        value_salt: 1,
        expires_in: Duration::from_secs(600),
        now_ms: 0,
    }
}

async fn run_off_thread(config: LoadConfig) -> Result<LoadReport, LoadError> {
    tokio::task::spawn_blocking(move || run(&config)).await.unwrap()
}

fn check_sum(report: &LoadReport) {
    assert_eq!(report.finalized + report.failed + report.rejected + report.lost, report.offered, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quic_load_is_final_to_the_last() {
    let world = World::new(SENDERS);
    let servers = [quic::start(&world, QuicLimits::default()), quic::start(&world, QuicLimits::default())];
    let addresses = servers.iter().map(|server| server.local_addr()).collect::<Vec<_>>();
    let report = run_off_thread(config(&world, Protocol::Quic, &addresses)).await.unwrap();
    check_sum(&report);
    assert_eq!((report.offered, report.finalized, report.lost), (200, 200, 0));
    assert!(report.p50_ms.unwrap() <= report.p99_ms.unwrap());
    let json = serde_json::to_value(&report).unwrap();
    for field in
        ["offered_per_s", "achieved_per_s", "p50_ms", "p95_ms", "p99_ms", "rejected", "lost", "face", "cpu_seconds"]
    {
        assert!(!json[field].is_null(), "{field}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_load_is_final_to_the_last() {
    let world = World::new(SENDERS);
    let listen = HttpConfig {
        listen: "127.0.0.1:0".parse().unwrap(),
        metrics_listen: None,
        limits: HttpLimits::default(),
        gate: Gate::open(),
        tls: None,
    };
    let server = HttpServer::start(listen, world.clone(), GatewayMetrics::default()).await.unwrap();
    let report = run_off_thread(config(&world, Protocol::Http, &[server.local_addr()])).await.unwrap();
    check_sum(&report);
    assert_eq!((report.finalized, report.face), (200, Protocol::Http));
    server.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_nodes_refusals_count_as_rejected_and_leave_no_nonce_gap() {
    let world = World::new(SENDERS);
    let server = quic::start(&world, QuicLimits::default());
    world.pool_full.store(true, Ordering::Relaxed);
    let load = tokio::spawn(run_off_thread(config(&world, Protocol::Quic, &[server.local_addr()])));
    while world.streaming_calls.load(Ordering::Relaxed) < 10 {
        tokio::task::yield_now().await;
    }
    world.pool_full.store(false, Ordering::Relaxed);
    let report = load.await.unwrap().unwrap();
    check_sum(&report);
    // The tenth call may have come just after the pool had room again.
    assert!(report.rejected_by_code["busy"] >= 9 && report.finalized > 0, "{report:?}");
    assert_eq!(report.lost + report.failed, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn load_continues_at_the_next_node_when_one_dies() {
    let world = World::new(SENDERS);
    let (first, second) = (quic::start(&world, QuicLimits::default()), quic::start(&world, QuicLimits::default()));
    let addresses = [first.local_addr(), second.local_addr()];
    let load = tokio::spawn(run_off_thread(config(&world, Protocol::Quic, &addresses)));
    while world.streaming_calls.load(Ordering::Relaxed) < 10 {
        tokio::task::yield_now().await;
    }
    first.close().await;
    let report = load.await.unwrap().unwrap();
    check_sum(&report);
    assert_eq!((report.lost, report.failed), (0, 0), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_than_the_window_waits_for_results() {
    let world = World::new(SENDERS);
    world.hold.store(true, Ordering::Relaxed);
    let server = quic::start(&world, QuicLimits::default());
    let settings = LoadConfig {
        window: Some(3),
        drain: Duration::from_millis(50),
        ..config(&world, Protocol::Quic, &[server.local_addr()])
    };
    let report = run_off_thread(settings.clone()).await.unwrap();
    check_sum(&report);
    assert_eq!((report.finalized, world.status().pool_transactions), (0, 2 * 3), "two connections");
    assert_eq!((report.lost, report.rejected_by_code["not-sent"]), (6, 194));
    world.hold.store(false, Ordering::Relaxed);
    let report = run_off_thread(LoadConfig { drain: Duration::from_secs(20), salt: 2, ..settings }).await.unwrap();
    check_sum(&report);
    assert_eq!(report.finalized, 200, "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_without_a_result_counts_as_lost() {
    let world = World::new(SENDERS);
    world.hold.store(true, Ordering::Relaxed);
    let server = quic::start(&world, QuicLimits { credit: 10, ..QuicLimits::default() });
    let settings =
        LoadConfig { drain: Duration::from_millis(50), ..config(&world, Protocol::Quic, &[server.local_addr()]) };
    let report = run_off_thread(settings).await.unwrap();
    check_sum(&report);
    assert!(report.lost > 0 && report.finalized == 0 && report.held_back > 0, "{report:?}");
    assert_eq!(report.p50_ms, None);
}

#[test]
fn senseless_settings_and_dead_nodes_are_errors() {
    let world = World::new(SENDERS);
    let dead: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let good = config(&world, Protocol::Http, &[dead]);
    let bad = [
        LoadConfig { targets: Vec::new(), ..good.clone() },
        LoadConfig { accounts: Vec::new(), ..good.clone() },
        LoadConfig { rate_per_s: 0, ..good.clone() },
        LoadConfig { rate_per_s: u32::MAX, ..good.clone() },
        LoadConfig { value_bytes: 70_000, ..good.clone() },
    ];
    for config in bad {
        assert!(matches!(run(&config), Err(LoadError::Setting(_))));
    }
    assert!(matches!(run(&good), Err(LoadError::Http { .. })));
    let _: Arc<World> = world;
}

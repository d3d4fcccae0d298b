//! A node's start: opens the process and its shards, joins the peers, opens the gateway, starts the threads.

use crate::codes::{start_code, transport_code};
use crate::config::{NodeConfig, NodeKeys};
use crate::host::{Host, Opened};
use crate::inbound::Inbound;
use crate::node::{Node, Running, StartHandle};
use crate::opening::{network_threads, shaper};
use crate::process::Process;
use crate::statesync::early::Early;
use rustorium_crypto::locked;
use rustorium_gateway::gate::Access;
use rustorium_gateway::http::server::{HttpConfig, StartError};
use rustorium_gateway::http::{HttpLimits, HttpServer};
use rustorium_gateway::quic::{QuicLimits, QuicServer};
use rustorium_gateway::{Backend, Gate, GatewayMetrics};
use rustorium_stages::NodeError;
use rustorium_transport::{FollowerLimits, Transport, TransportError};
use rustorium_types::ShardId;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Threads for clients' reads: the gateway lets fewer reads run at once.
const READ_THREADS_MAX: usize = 32;

type Shards = BTreeMap<ShardId, Opened>;

/// Opens everything and starts. Errors: a stable code and one sentence.
pub(crate) fn start(config: NodeConfig, keys: NodeKeys, handle: &StartHandle) -> Result<Node, NodeError> {
    let (process, mut stores, validator_key) = Process::open(config, keys)?;
    let root_store = stores.remove(&ShardId::ROOT).ok_or_else(no_root)?;
    Early { process: &process, store: root_store.clone(), handle }.run()?;
    let open = |shard, store| Opened::open(&process, shard, store, validator_key.clone());
    let root = open(ShardId::ROOT, root_store)?;
    let mut others = Shards::new();
    for (shard, store) in stores {
        others.insert(shard, open(shard, store)?);
    }
    if locked::refused() {
        let advice = "raise the memlock limit (ulimit -l) to 1024 KiB or more: keys may reach swap until then";
        tracing::warn!(event = "memory_not_locked", advice);
    }
    let runtime = network_threads("network", 1)?;
    let clients = network_threads("gateway", READ_THREADS_MAX)?;
    let transport = start_transport(&process, &root, &others, &runtime)?;
    let gate = handle.gate().clone();
    let (http, quic) = start_gateway(&process, &root, gate.clone(), &clients)?;
    let mut addresses = BTreeMap::new();
    addresses.insert("p2p", transport.local_addr().map(|a| a.to_string()).unwrap_or_default());
    addresses.insert("http", http.local_addr().to_string());
    addresses.insert("metrics", http.metrics_addr().map(|a| a.to_string()).unwrap_or_default());
    addresses.insert("client", quic.local_addr().to_string());
    let root = Arc::new(root.start(&process, transport.clone())?);
    let mut hosts = BTreeMap::from([(ShardId::ROOT, root.clone())]);
    for (shard, opened) in others {
        let host: Host = opened.start(&process, transport.for_shard(shard))?;
        hosts.insert(shard, Arc::new(host));
    }
    let running = Running { runtime, clients, transport, http, quic };
    Ok(Node::of(root, hosts, process.audit, gate, addresses, running))
}

fn no_root() -> NodeError {
    NodeError::new("config-invalid", "a node hosts shard 0; name it")
}

fn start_transport(
    process: &Process,
    root: &Opened,
    others: &Shards,
    runtime: &Runtime,
) -> Result<Transport, NodeError> {
    let shaper = process.config.shaper.as_ref().map(shaper).transpose()?;
    let (queue_frames, queue_bytes) = rustorium_transport::Config::QUEUES;
    let config = rustorium_transport::Config {
        me: root.replica.context.me(),
        listen: process.config.p2p_listen,
        identity: process.node_key.clone(),
        shards: others.keys().copied().collect(),
        chain: root.replica.context.chain(),
        versions: rustorium_transport::SPOKEN,
        peers: root.links.to_dial(),
        queue_frames,
        queue_bytes,
        guests: root.links.guests().keys(),
        followers: FollowerLimits::open(process.config.strangers_max),
        shaper,
    };
    let inlets = others.iter().map(|(shard, opened)| (*shard, opened.inlet()));
    let inlets = inlets.chain([(ShardId::ROOT, root.inlet())]).collect();
    let handler = Arc::new(Inbound { inlets, open: process.config.gateway.submit == Access::Open });
    let failed = |error: TransportError| NodeError::new(transport_code(&error), error.to_string());
    let transport = Transport::start(config, handler, runtime.handle()).map_err(failed)?;
    for (shard, opened) in others {
        let of_shard = transport.for_shard(*shard);
        of_shard.set_guests(opened.links.guests().keys());
        of_shard.set_peers(opened.replica.context.me(), &opened.links.to_dial()).map_err(failed)?;
    }
    root.replica.metrics.with_registry(|registry| transport.metrics().register(registry));
    Ok(transport)
}

/// Starts the servers for clients. They serve the root shard.
fn start_gateway(
    process: &Process,
    root: &Opened,
    gate: Arc<Gate>,
    runtime: &Runtime,
) -> Result<(HttpServer, QuicServer), NodeError> {
    let config = &process.config;
    let metrics = GatewayMetrics::default();
    root.replica.metrics.with_registry(|registry| metrics.register(registry));
    let http = HttpConfig {
        listen: config.http_listen,
        metrics_listen: Some(config.metrics_listen),
        limits: HttpLimits::default(),
        gate: gate.clone(),
        tls: process.tls.clone(),
    };
    let backend: Arc<dyn Backend> = root.backend.clone();
    let failed = |error: StartError| NodeError::new(start_code(&error), error.to_string());
    let http = runtime.block_on(HttpServer::start(http, backend.clone(), metrics.clone())).map_err(failed)?;
    let _inside = runtime.enter();
    let tls = rustorium_transport::tls::client_api_server(&process.node_key)
        .map_err(|error| NodeError::new("system", error.to_string()))?;
    let quic = QuicServer::start(config.client_listen, tls, backend, gate, QuicLimits::default(), metrics);
    Ok((http, quic.map_err(failed)?))
}

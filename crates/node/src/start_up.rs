//! A node's start: opens the process and its shards, joins the peers, opens the gateway, starts the threads.
//!
//! *Invariants:* a shard that can't be opened keeps no other one from starting, unless it is the only one; nor does one whose
//! store is empty and has to be filled, which `Node::start_host` does.

use crate::codes::{start_code, transport_code};
use crate::config::{NodeConfig, NodeKeys};
use crate::host::Opened;
use crate::hosts::Hosts;
use crate::inbound::Inbound;
use crate::node::{Node, Running};
use crate::opening::{network_threads, shaper};
use crate::process::Process;
use crate::served::Served;
use crate::statesync::filling::{is_fillable, peers_of};
use rustorium_crypto::locked;
use rustorium_gateway::gate::{Access, TokenEntry};
use rustorium_gateway::http::server::{HttpConfig, StartError};
use rustorium_gateway::http::{HttpLimits, HttpServer};
use rustorium_gateway::quic::{QuicLimits, QuicServer};
use rustorium_gateway::{Backend, Gate, GatewayMetrics};
use rustorium_stages::NodeError;
use rustorium_storage::RocksStore;
use rustorium_transport::{FollowerLimits, Peer, Transport, TransportError};
use rustorium_types::{PublicKey, ShardId, ValidatorIndex};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Threads for clients' reads: the gateway lets fewer reads run at once.
const READ_THREADS_MAX: usize = 32;

type Shards = BTreeMap<ShardId, Opened>;
type Stores = BTreeMap<ShardId, Result<Arc<RocksStore>, NodeError>>;

/// Opens everything and starts. Errors: a stable code and one sentence.
pub(crate) fn start(config: NodeConfig, keys: NodeKeys, tokens: Vec<TokenEntry>) -> Result<Node, NodeError> {
    let (process, root_store) = Process::open(config, keys)?;
    let hosts = Arc::<Hosts>::default();
    let stores = open_stores(&process, root_store);
    let opened = open_shards(&process, stores, &hosts)?;
    if locked::refused() {
        let advice = "raise the memlock limit (ulimit -l) to 1024 KiB or more: keys may reach swap until then";
        tracing::warn!(event = "memory_not_locked", advice);
    }
    let runtime = network_threads("network", 1)?;
    let clients = network_threads("gateway", READ_THREADS_MAX)?;
    let inbound = Arc::new(Inbound::new(process.config.gateway.submit == Access::Open));
    for (shard, opened) in &opened {
        inbound.attach(*shard, opened.inlet());
    }
    let transport = start_transport(&process, &opened, inbound.clone(), &runtime)?;
    let gate = Gate::with(process.config.gateway.clone());
    gate.set(tokens);
    let served = Arc::new(Served::new(&process, hosts.clone(), inbound.clone()));
    served.with_registry(|registry| transport.metrics().register(registry));
    for (shard, opened) in opened {
        match opened.start(&process, transport.for_shard(shard)) {
            Ok(host) => hosts.began(shard, host),
            Err(error) if process.hosts_one() => return Err(error),
            Err(error) => {
                inbound.detach(shard);
                not_started(&hosts, shard, error);
            }
        }
    }
    let (http, quic) = start_gateway(&process, &served, gate.clone(), &clients)?;
    let mut addresses = BTreeMap::new();
    addresses.insert("p2p", transport.local_addr().map(|a| a.to_string()).unwrap_or_default());
    addresses.insert("http", http.local_addr().to_string());
    addresses.insert("metrics", http.metrics_addr().map(|a| a.to_string()).unwrap_or_default());
    addresses.insert("client", quic.local_addr().to_string());
    let running = Running { runtime, clients, transport, http, quic };
    Ok(Node::of(process, hosts, (inbound, served), gate, addresses, running))
}

/// Opens the stores of all shards.
fn open_stores(process: &Process, root_store: Result<Arc<RocksStore>, NodeError>) -> Stores {
    let others = process.shards().filter(|shard| *shard != ShardId::ROOT);
    let others = others.map(|shard| (shard, process.open_store(shard)));
    [(ShardId::ROOT, root_store)].into_iter().chain(others).collect()
}

/// Opens the shards that have a state, the root first. Those that can't be opened are noted as ended.
fn open_shards(process: &Process, stores: Stores, hosts: &Hosts) -> Result<Shards, NodeError> {
    let mut all = Shards::new();
    for (shard, store) in stores {
        let opened = store.and_then(|store| match is_fillable(process, &*store) {
            true => Ok(None),
            false => Opened::open(process, shard, store).map(Some),
        });
        match opened {
            Ok(Some(opened)) => _ = all.insert(shard, opened),
            Ok(None) => hosts.fills(shard, Arc::default()),
            Err(error) if process.hosts_one() => return Err(error),
            Err(error) => not_started(hosts, shard, error),
        }
    }
    Ok(all)
}

fn not_started(hosts: &Hosts, shard: ShardId, error: NodeError) {
    tracing::error!(event = "shard_not_started", shard = shard.0, code = error.code, reason = %error);
    hosts.ended(shard, error.into());
}

/// Tells the transport of a shard's committee and guests. Errors: the committee can't be linked.
pub(crate) fn link_shard(transport: &Transport, opened: &Opened) -> Result<(), NodeError> {
    link(transport, opened.replica.context.me(), &opened.links.to_dial(), opened.links.guests().keys())
}

fn link(
    transport: &Transport,
    me: Option<ValidatorIndex>,
    peers: &[Peer],
    guests: BTreeSet<PublicKey>,
) -> Result<(), NodeError> {
    transport.set_guests(guests);
    transport.set_peers(me, peers).map_err(transport_failed)
}

fn transport_failed(error: TransportError) -> NodeError {
    NodeError::new(transport_code(&error), error.to_string())
}

fn start_transport(
    process: &Process,
    opened: &Shards,
    inbound: Arc<Inbound>,
    runtime: &Runtime,
) -> Result<Transport, NodeError> {
    let shaper = process.config.shaper.as_ref().map(shaper).transpose()?;
    let (queue_frames, queue_bytes) = rustorium_transport::Config::QUEUES;
    let links_of = |shard| match opened.get(&shard) {
        Some(opened) => (opened.replica.context.me(), opened.links.to_dial(), opened.links.guests().keys()),
        None => {
            let (me, peers) = peers_of(process, shard);
            (me, peers, BTreeSet::new())
        }
    };
    let (me, peers, guests) = links_of(ShardId::ROOT);
    let config = rustorium_transport::Config {
        me,
        listen: process.config.p2p_listen,
        identity: process.node_key.clone(),
        shards: process.shards().collect(),
        chain: rustorium_crypto::chain_id(&process.genesis),
        versions: rustorium_transport::SPOKEN,
        peers,
        queue_frames,
        queue_bytes,
        guests,
        followers: FollowerLimits::open(process.config.strangers_max),
        shaper,
    };
    let transport = Transport::start(config, inbound, runtime.handle()).map_err(transport_failed)?;
    for shard in process.shards().filter(|shard| *shard != ShardId::ROOT) {
        let (me, peers, guests) = links_of(shard);
        link(&transport.for_shard(shard), me, &peers, guests)?;
    }
    Ok(transport)
}

/// Starts the servers for clients.
fn start_gateway(
    process: &Process,
    served: &Arc<Served>,
    gate: Arc<Gate>,
    runtime: &Runtime,
) -> Result<(HttpServer, QuicServer), NodeError> {
    let config = &process.config;
    let metrics = GatewayMetrics::default();
    served.with_registry(|registry| metrics.register(registry));
    let http = HttpConfig {
        listen: config.http_listen,
        metrics_listen: Some(config.metrics_listen),
        limits: HttpLimits::default(),
        gate: gate.clone(),
        tls: process.tls.clone(),
    };
    let backend: Arc<dyn Backend> = served.clone();
    let failed = |error: StartError| NodeError::new(start_code(&error), error.to_string());
    let http = runtime.block_on(HttpServer::start(http, backend.clone(), metrics.clone())).map_err(failed)?;
    let _inside = runtime.enter();
    let tls = rustorium_transport::tls::client_api_server(&process.node_key)
        .map_err(|error| NodeError::new("system", error.to_string()))?;
    let quic = QuicServer::start(config.client_listen, tls, backend, gate, QuicLimits::default(), metrics);
    Ok((http, quic.map_err(failed)?))
}

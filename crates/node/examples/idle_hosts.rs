//! Measures what an idle hosted shard costs: four linked nodes in one process, with so many shards each.
//!
//! `cargo run --release --example idle_hosts -- SHARDS SECONDS`. Each shard's core is replaced by a heartbeat every 500 ms.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, clippy::float_arithmetic)]

#[path = "../../execution/tests/common/chain.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod made;

use rustorium_api::genesis_file;
use rustorium_crypto::SigningKey;
use rustorium_crypto::keystore::StorageKeys;
use rustorium_crypto::seal::MasterKey;
use rustorium_node::Node;
use rustorium_node::config::NodeKeys;
use rustorium_shard::port::Effect;
use rustorium_types::{Parameters, ShardId, View};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const NODES: u8 = 4;
const HEARTBEAT: Duration = Duration::from_millis(500);

fn start(home: &Path, place: u8, shards: u32, before: &[Node]) -> Node {
    std::fs::create_dir_all(home).unwrap();
    let genesis = made::genesis_of(1, 1_000, Parameters::default());
    std::fs::write(home.join("genesis.json"), genesis_file::to_json(&genesis)).unwrap();
    let nowhere = "127.0.0.1:0";
    let peer =
        |(index, node): (usize, &Node)| serde_json::json!({ "index": index, "address": node.addresses()["p2p"] });
    let peers: Vec<_> = before.iter().enumerate().map(peer).collect();
    let config = serde_json::json!({
        "home": home, "name": format!("node-{place}"), "genesis_path": home.join("genesis.json"), "peers": peers,
        "shards": (0..shards).collect::<Vec<_>>(),
        "p2p_listen": nowhere, "http_listen": nowhere, "metrics_listen": nowhere, "client_listen": nowhere,
    });
    let keys = NodeKeys {
        storage: StorageKeys { newest: Arc::new(MasterKey::from_secret(&[1; 32]).unwrap()), before: None },
        node: SigningKey::from_seed(&[110 + place; 32]),
        validator: Some(made::validator_key(place)),
    };
    Node::start(serde_json::from_value(config).unwrap(), keys, Vec::new()).map_err(|error| error.sentence).unwrap()
}

/// Returns the process's CPU time in seconds and its own memory in MiB.
fn usage() -> (f64, f64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let anonymous = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    let kib: f64 = anonymous.trim().trim_end_matches(" kB").parse().unwrap();
    (ticks / 100.0, kib / 1024.0)
}

fn run_for(nodes: &[Node], shards: u32, time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        for host in nodes.iter().flat_map(|node| (0..shards).map(|shard| node.host(ShardId(shard)).unwrap())) {
            host.inbox().drain(1_000).unwrap();
            host.submit(vec![Effect::Heartbeat(View(1))]);
        }
        std::thread::sleep(HEARTBEAT);
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|number| number.parse::<u32>().expect("a number"));
    let (shards, seconds) = (arguments.next().unwrap_or(1), arguments.next().unwrap_or(20));
    let folder = tempfile::tempdir().unwrap();
    let mut nodes = Vec::new();
    for place in 0..NODES {
        let home = folder.path().join(place.to_string());
        // An empty store with peers would be filled first.
        start(&home, place, shards, &[]).close();
        nodes.push(start(&home, place, shards, &nodes));
    }
    run_for(&nodes, shards, Duration::from_secs(5));
    let (before, _) = usage();
    let began = Instant::now();
    run_for(&nodes, shards, Duration::from_secs(u64::from(seconds)));
    let ((after, mib), time) = (usage(), began.elapsed().as_secs_f64());
    let percent = 100.0 * (after - before) / time / f64::from(NODES);
    println!("{shards} shards: {percent:.3} % of a core and {:.1} MiB for each node", mib / f64::from(NODES));
    nodes.iter().for_each(Node::close);
}

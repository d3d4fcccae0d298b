//! A panic on each thread of a node, and in work for clients.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::config::{NodeConfig, NodeKeys};
use crate::node::Node;
use crate::outside::made;
use rustorium_api::genesis_file;
use rustorium_crypto::SigningKey;
use rustorium_crypto::keystore::StorageKeys;
use rustorium_crypto::seal::MasterKey;
use rustorium_stages::contained::{Closes, contained};
use rustorium_stages::inbox::monotonic_ns;
use rustorium_stages::queue::Queue;
use rustorium_types::{Parameters, ShardId};
use std::path::Path;
use std::sync::mpsc::channel;
use std::time::Duration;

/// The first of four validators, whose peers never come up.
fn start(home: &Path) -> Node {
    let genesis = made::genesis_of(1, 1_000, Parameters { state_roots: false, ..Parameters::default() });
    std::fs::write(home.join("genesis.json"), genesis_file::to_json(&genesis)).unwrap();
    let nowhere = "127.0.0.1:0";
    let config = serde_json::json!({
        "home": home, "name": "a", "genesis_path": home.join("genesis.json"), "peers": [],
        "p2p_listen": nowhere, "http_listen": nowhere, "metrics_listen": nowhere, "client_listen": nowhere,
    });
    let config: NodeConfig = serde_json::from_value(config).unwrap();
    let keys = NodeKeys {
        storage: StorageKeys { newest: Arc::new(MasterKey::from_secret(&[1; 32]).unwrap()), before: None },
        node: SigningKey::from_seed(&[110; 32]),
        validator: Some(made::validator_key(0)),
    };
    Node::start(config, keys, Vec::new()).unwrap()
}

/// Waits for the reason that stopped the node.
fn failure(node: &Node) -> (String, String) {
    let root = node.host(ShardId::ROOT).unwrap();
    let deadline = monotonic_ns() + 20_000_000_000;
    loop {
        match root.inbox().wait(Some(deadline), 100) {
            Err(failure) => return failure,
            Ok(_) => assert!(monotonic_ns() < deadline, "nothing is told"),
        }
    }
}

/// Ends the node, or fails if that takes longer than anybody would wait.
fn close(node: Node) {
    let (done, ended) = channel();
    std::thread::spawn(move || {
        node.close();
        done.send(()).unwrap();
    });
    ended.recv_timeout(Duration::from_secs(30)).unwrap();
}

#[test]
fn a_panic_on_any_thread_stops_the_node_which_then_ends() {
    for thread in ["shard", "execute", "keep", "verify", "snapshots", "certificates"] {
        let home = tempfile::tempdir().unwrap();
        faults::FAULTY.set(Some((thread, 0)));
        let node = start(home.path());
        faults::FAULTY.set(None);
        let (code, sentence) = failure(&node);
        assert_eq!(code, "thread-panicked");
        assert!(sentence.contains(&format!("`{thread}`")) && sentence.contains("start the node again"), "{sentence}");
        close(node);
    }
}

#[test]
fn a_node_without_a_fault_ends_when_it_is_told_to() {
    let home = tempfile::tempdir().unwrap();
    let node = start(home.path());
    assert_eq!(node.host(ShardId::ROOT).unwrap().inbox().failure(), None);
    close(node);
}

#[test]
fn a_panic_in_an_answer_ends_that_answer_alone() {
    assert_eq!(contained("a question", || 7), Some(7));
    let nobody: Option<()> = contained("a question", || panic!("a fault"));
    assert_eq!(nobody, None);
    assert_eq!(contained("the next question", || 8), Some(8));
}

#[test]
fn waits_for_a_thread_that_panicked_end() {
    let queue: Arc<Queue<u8>> = Arc::default();
    let closes = Closes(queue.clone());
    let inbox = Arc::<Inbox>::default();
    let mut threads = Threads::new(inbox.clone());
    let panics = move || {
        let _closes = closes;
        panic!("a fault");
    };
    threads.spawn("a part", panics).unwrap();
    assert!(!queue.take(None, &mut Default::default()));
    threads.join();
    assert!(inbox.failure().unwrap().contains("`a part`"));
}

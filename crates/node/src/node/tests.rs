//! Two shards in one process.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::guarded::faults::FAULTY;
use crate::outside::made;
use rustorium_api::genesis_file;
use rustorium_api::{BackendError, ReadAt};
use rustorium_crypto::SigningKey;
use rustorium_crypto::keystore::StorageKeys;
use rustorium_crypto::seal::MasterKey;
use rustorium_shard::port::{Effect, Input};
use rustorium_stages::inbox::monotonic_ns;
use rustorium_transport::{Credit, Frame};
use rustorium_types::{
    AccountId, BoundedVec, Epoch, Genesis, GenesisShard, Message, Parameters, Response, Subject, ValidatorIndex, View,
};
use std::collections::VecDeque;
use std::path::Path;
use std::time::Instant;
use tokio::sync::Semaphore;

const SHARD: ShardId = ShardId(7);
const PATIENCE: Duration = Duration::from_secs(60);

/// Starts the validator with this place and these shards. It dials the first validator at `first`.
fn try_start(home: &Path, place: u8, shards: &[ShardId], first: Option<&str>) -> Result<Node, NodeError> {
    let genesis = made::genesis_of(1, 1_000, Parameters { state_roots: false, ..Parameters::default() });
    start_on(&genesis, home, Some(place), shards, first)
}

/// Starts the validator with this place, or a node without a validator key.
fn start_on(
    genesis: &Genesis,
    home: &Path,
    place: Option<u8>,
    shards: &[ShardId],
    first: Option<&str>,
) -> Result<Node, NodeError> {
    std::fs::write(home.join("genesis.json"), genesis_file::to_json(genesis)).unwrap();
    let nowhere = "127.0.0.1:0";
    let peers: Vec<_> = first.iter().map(|at| serde_json::json!({ "index": 0, "address": at })).collect();
    let config = serde_json::json!({
        "home": home, "name": "a", "genesis_path": home.join("genesis.json"), "peers": peers,
        "shards": shards.iter().map(|shard| shard.0).collect::<Vec<_>>(), "heartbeat_ms": 20,
        "p2p_listen": nowhere, "http_listen": nowhere, "metrics_listen": nowhere, "client_listen": nowhere,
    });
    let keys = NodeKeys {
        storage: StorageKeys { newest: Arc::new(MasterKey::from_secret(&[1; 32]).unwrap()), before: None },
        node: SigningKey::from_seed(&[110 + place.unwrap_or(90); 32]),
        validator: place.map(made::validator_key),
    };
    Node::start(serde_json::from_value(config).unwrap(), keys, Vec::new())
}

fn start(home: &Path, place: u8, first: Option<&str>) -> Node {
    try_start(home, place, &[ShardId::ROOT, SHARD], first).unwrap()
}

/// Takes the inputs of a shard's core, within a short time.
fn told(host: &Host) -> Result<Vec<Input>, (String, String)> {
    let inputs = host.inbox().wait(Some(monotonic_ns() + 100_000_000), 1_000)?;
    Ok(inputs.unwrap())
}

#[test]
fn shards_have_cores_folders_and_chains_of_their_own() {
    let home = tempfile::tempdir().unwrap();
    let node = start(home.path(), 0, None);
    assert_eq!(node.shards(), [ShardId::ROOT, SHARD]);
    let (root, other) = (node.host(ShardId::ROOT).unwrap(), node.host(SHARD).unwrap());
    assert!(!std::ptr::eq(root.inbox(), other.inbox()));
    let genesis = |host: &Host| match &told(host).unwrap()[0] {
        Input::Recovered { last_final, .. } => last_final.digest,
        input => panic!("the first input is {input:?}"),
    };
    assert_ne!(genesis(&root), genesis(&other));
    for folder in ["db", "safety", "shards/7/db", "shards/7/safety"] {
        assert!(home.path().join(folder).is_dir(), "{folder}");
    }
    node.close();
    assert!(root.vitals().is_none() && other.vitals().is_none());
    drop((node, root, other));
    let again = start(home.path(), 0, None);
    assert_eq!(again.host(SHARD).unwrap().backend().chain().shard, SHARD);
}

#[test]
fn a_peers_message_reaches_the_named_shard() {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = start(homes[0].path(), 0, None);
    let second = start(homes[1].path(), 1, Some(&first.addresses()["p2p"]));
    let heard = Input::PeerSilence(ValidatorIndex(0), false);
    let silent = Input::PeerSilence(ValidatorIndex(0), true);
    let (root, other) = (second.host(ShardId::ROOT).unwrap(), second.host(SHARD).unwrap());
    let (view, epoch) = (View(1), Epoch(0));
    let entered = Effect::EnterView { view, because: None, leads: false, epoch, backoff: 0, passed_over: Vec::new() };
    first.host(SHARD).unwrap().submit(vec![entered]); // R29: until then its effects are void
    let (began, mut silence) = (Instant::now(), false);
    loop {
        let inputs = told(&other).unwrap();
        silence |= inputs.contains(&silent);
        if inputs.contains(&heard) {
            break;
        }
        if silence {
            first.host(SHARD).unwrap().submit(vec![Effect::Heartbeat(view)]);
        }
        assert!(began.elapsed() < PATIENCE, "it never heard");
    }
    assert!(!told(&root).unwrap().contains(&heard), "the root shard's core said nothing");
}

#[test]
fn a_key_that_one_shard_finds_retired_is_retired_in_all_also_in_one_that_comes_back() {
    let home = tempfile::tempdir().unwrap();
    let node = start(home.path(), 0, None);
    let retired = |shard| {
        let (host, began) = (node.host(shard).unwrap(), Instant::now());
        while !told(&host).unwrap().contains(&Input::KeyRetired) {
            assert!(began.elapsed() < PATIENCE, "it is never told");
        }
        assert!(host.backend().status().retired.is_some());
    };
    node.host(SHARD).unwrap().backend().notices.retire("a vote").unwrap();
    retired(ShardId::ROOT);
    retired(SHARD);
    node.end_host(SHARD, fault());
    node.start_host(SHARD).unwrap();
    retired(SHARD);
}

#[test]
fn a_panic_in_one_shard_stops_that_shard_alone() {
    for thread in ["shard", "execute", "keep"] {
        let home = tempfile::tempdir().unwrap();
        FAULTY.set(Some((thread, 1)));
        let node = start(home.path(), 0, None);
        assert_eq!(FAULTY.take(), None, "the second thread of this name has it");
        let began = Instant::now();
        let failure = loop {
            match told(&node.host(SHARD).unwrap()) {
                Err(failure) => break failure,
                Ok(_) => assert!(began.elapsed() < PATIENCE, "nothing is told"),
            }
        };
        assert_eq!(failure.0, "thread-panicked");
        let root = node.host(ShardId::ROOT).unwrap();
        assert_eq!(root.inbox().failure(), None);
        assert!(!told(&root).unwrap().is_empty(), "it goes on");
    }
}

/// A chain of two shards. The first validator is a member of the root shard alone.
fn of_two_shards() -> Genesis {
    let made = made::genesis_of(1, 1_000, Parameters::default());
    let shard = |from: AccountId, first: u16| {
        let members = (first..made.validators.len() as u16).collect();
        GenesisShard { from, members: BoundedVec::new(members).unwrap() }
    };
    let shards = vec![shard(AccountId::default(), 0), shard(AccountId([128; 32]), 1)];
    Genesis { shards: BoundedVec::new(shards).unwrap(), ..made }
}

#[test]
fn a_node_hosts_the_shards_of_its_key_and_one_without_a_key_hosts_all() {
    let genesis = of_two_shards();
    let other = ShardId(1);
    for (place, hosted) in
        [(Some(0), &[ShardId::ROOT][..]), (Some(1), &[ShardId::ROOT, other]), (None, &[ShardId::ROOT, other])]
    {
        let home = tempfile::tempdir().unwrap();
        let node = start_on(&genesis, home.path(), place, &[], None).unwrap();
        assert_eq!((node.shards().as_slice(), node.backend().hosted().as_slice()), (hosted, hosted));
        node.close();
    }
}

#[test]
fn a_shard_answers_about_its_own_accounts_alone() {
    let home = tempfile::tempdir().unwrap();
    let node = start_on(&of_two_shards(), home.path(), Some(1), &[], None).unwrap();
    let (low, high, other) = (AccountId([1; 32]), AccountId([200; 32]), ShardId(1));
    let read = |backend: &dyn Backend, account| backend.read(&[Subject::Account(account)], ReadAt::Latest).map(|_| ());
    let others = node.backend().others();
    let [(shard, of_other)] = others.as_slice() else { panic!("one other shard") };
    assert_eq!((*shard, of_other.chain().shard, node.backend().chain().shard), (other, other, ShardId::ROOT));
    assert_eq!((read(node.backend(), low), read(&**of_other, high)), (Ok(()), Ok(())));
    let elsewhere = |account, shard, asked| Err(BackendError::Elsewhere { account, shard, asked });
    assert_eq!(read(node.backend(), high), elsewhere(high, other, ShardId::ROOT));
    assert_eq!(read(&**of_other, low), elsewhere(low, ShardId::ROOT, other));
    assert_eq!(node.backend().account_transactions(&high, None, 1).map(|_| ()), elsewhere(high, other, ShardId::ROOT));
}

#[test]
fn a_node_hosts_the_root_shard_and_not_too_many() {
    let home = tempfile::tempdir().unwrap();
    let many: Vec<ShardId> = (0..17).map(ShardId).collect();
    for shards in [&[SHARD][..], &many] {
        let refused = try_start(home.path(), 0, shards, None).err().map(|error| error.code);
        assert_eq!(refused, Some("config-invalid"));
    }
}

#[test]
fn a_store_in_another_shards_folder_is_refused() {
    let home = tempfile::tempdir().unwrap();
    start(home.path(), 0, None).close();
    let folder = home.path().join("shards");
    std::fs::rename(folder.join("7"), folder.join("8")).unwrap();
    let node = try_start(home.path(), 0, &[ShardId::ROOT, ShardId(8)], None).unwrap();
    let end = node.end_of(ShardId(8)).unwrap();
    assert!(end.sentence.contains("blocks of shard 7"), "{}", end.sentence);
    assert!(node.host(ShardId(8)).is_none() && node.host(ShardId::ROOT).is_some(), "the other one goes on");
}

fn fault() -> HostEnd {
    HostEnd { code: "core-fault".into(), sentence: "a fault".into() }
}

#[test]
fn a_shard_ends_and_starts_again_while_links_and_the_other_shard_go_on() {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = start(homes[0].path(), 0, None);
    let second = start(homes[1].path(), 1, Some(&first.addresses()["p2p"]));
    let linked = |node: &Node, shard| node.host(shard).is_some_and(|host| host.backend().status().peers_up == 1);
    let until = |reached: &dyn Fn() -> bool| {
        let began = Instant::now();
        while !reached() {
            told(&first.host(ShardId::ROOT).unwrap()).unwrap();
            assert!(began.elapsed() < PATIENCE, "it never came");
        }
    };
    until(&|| linked(&first, SHARD) && linked(&second, SHARD));
    for shard in [SHARD, ShardId::ROOT] {
        let other = if shard == SHARD { ShardId::ROOT } else { SHARD };
        let goes_on = second.host(other).unwrap();
        second.end_host(shard, fault());
        assert!(second.host(shard).is_none());
        assert_eq!(second.end_of(shard), Some(fault()));
        second.end_host(shard, HostEnd { code: "late".into(), ..fault() });
        assert_eq!(second.end_of(shard), Some(fault()), "the first reason stays");
        second.start_host(shard).unwrap();
        assert_eq!(second.end_of(shard), None);
        assert!(linked(&second, shard), "it knows at once which links are up");
        let core_begins =
            || matches!(told(&second.host(shard).unwrap()).unwrap().first(), Some(Input::Recovered { .. }));
        until(&core_begins);
        assert!(Arc::ptr_eq(&goes_on, &second.host(other).unwrap()));
        assert!(linked(&first, other) && linked(&second, other), "the link stays");
    }
    second.close();
    assert_eq!(second.start_host(SHARD).unwrap_err().code, "stopped");
}

#[test]
fn a_damaged_store_keeps_its_shard_from_starting_until_it_is_moved_aside() {
    let home = tempfile::tempdir().unwrap();
    start(home.path(), 0, None).close();
    let store = home.path().join("shards/7/db");
    std::fs::write(store.join("CURRENT"), "nothing\n").unwrap();
    let node = start(home.path(), 0, None);
    let code = || node.end_of(SHARD).map(|end| end.code);
    assert_eq!(code().as_deref(), Some("store-corrupt"));
    assert!(!told(&node.host(ShardId::ROOT).unwrap()).unwrap().is_empty(), "the other one goes on");
    assert_eq!(node.start_host(SHARD).unwrap_err().code, "store-corrupt");
    let text = node.backend().metrics();
    assert!(text.contains("rustorium_node_shard_ends_total{shard=\"7\"} 2"), "{text}");
    std::fs::rename(&store, home.path().join("aside")).unwrap();
    node.start_host(SHARD).unwrap();
    assert_eq!(code(), None);
}

#[test]
fn a_filling_hears_only_the_peers_that_it_asks() {
    let homes = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let first = start(homes[0].path(), 0, None);
    let node = start(homes[1].path(), 1, Some(&first.addresses()["p2p"]));
    let transport = node.running.lock().as_ref().unwrap().transport.for_shard(ShardId::ROOT);
    let filling = Filling::new(&node.process, ShardId::ROOT, transport, Arc::default());
    let answer = Message::Response { id: 5, response: Response::NotHeld };
    for (from, heard) in [([9; 32], 0), (node.process.node_key.public(), 0), (first.process.node_key.public(), 2)] {
        filling.link(&from, true);
        let (class, bytes) = (answer.class(), answer.to_frame().into());
        filling.frame(Frame { from, shard: ShardId::ROOT, class, bytes, credit: Credit::default() });
        assert_eq!(filling.events.len(), heard);
    }
    // A frame that waits counts in what may be read from its sender.
    let room = Arc::new(Semaphore::new(1));
    let permit = room.clone().try_acquire_owned().unwrap();
    let (from, class, bytes) = (first.process.node_key.public(), answer.class(), answer.to_frame().into());
    filling.frame(Frame { from, shard: ShardId::ROOT, class, bytes, credit: Credit::of(Some(permit)) });
    assert_eq!(room.available_permits(), 0);
    filling.events.take(Some(Duration::ZERO), &mut VecDeque::new());
    assert_eq!(room.available_permits(), 1);
}

//! The state tree from outside: proofs under a root, nodes and leaves for a syncing node, rows of the tree.

use super::canonical;
use crate::corpus::of_type;
use rustorium_crypto::SigningKey;
use rustorium_crypto::hash::{domain, hash, value_hash};
use rustorium_state::chunk::NodeChunk;
use rustorium_state::path::Prefix;
use rustorium_state::proof::{StateProof, open, verify};
use rustorium_state::slot::{Leaf, Slot};
use rustorium_state::tables::Tables;
use rustorium_state::tree::{KvRead, MemKv, update};
use rustorium_state::workers::Serial;
use rustorium_sync::state::*;
use rustorium_types::limits::FRAME_BYTES_MAX;
use rustorium_types::*;
use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

const HEIGHT: Height = Height(40);
const PEER: PublicKey = [1; 32];

/// A small state: accounts with some keys each, so that there are nodes of every kind.
struct Model {
    tables: Tables,
    tree: MemKv,
    leaves: BTreeMap<StateKey, StateLeaf>,
    root: [u8; 32],
}

static MODEL: LazyLock<Arc<Model>> = LazyLock::new(|| Arc::new(Model::new()));

impl Model {
    fn new() -> Self {
        let leaf = |number: u8| StateLeaf {
            account: AccountId([number % 3; 32]),
            name: BoundedBytes::new(vec![number; usize::from(number)]).unwrap(),
            value: BoundedBytes::new(vec![number; 3]).unwrap(),
        };
        let key =
            |leaf: &StateLeaf| StateKey { account: leaf.account, name: hash(domain::NAME, &[leaf.name.as_slice()]) };
        let leaves: BTreeMap<StateKey, StateLeaf> = (0..40).map(leaf).map(|leaf| (key(&leaf), leaf)).collect();
        let diff: Vec<_> = leaves.iter().map(|(key, leaf)| (*key, Some(value_hash(leaf.value.as_slice())))).collect();
        let tables = Tables::build(4).unwrap();
        let mut tree = MemKv::default();
        let made = update(&tables, &tree, &diff, &Serial).unwrap();
        let root = made.root();
        tree.apply(made);
        Self { tables, tree, leaves, root }
    }

    fn absent() -> StateKey {
        StateKey { account: AccountId([1; 32]), name: [9; 32] }
    }

    /// Some existing keys and one that doesn't exist.
    fn keys(&self, count: usize) -> Vec<StateKey> {
        self.leaves.keys().step_by(7).take(count).copied().chain([Self::absent()]).collect()
    }
}

impl SnapshotView for Model {
    fn slots(&self, node: &Prefix) -> Option<NodeChunk> {
        NodeChunk::read(&self.tree, node).ok()
    }

    fn leaves(&self, prefix: &Prefix, _leaves_max: usize, _bytes_max: usize) -> Option<Vec<StateLeaf>> {
        let below = self.leaves.iter().filter(|(key, _)| key.to_bytes().starts_with(prefix.as_slice()));
        let leaves: Vec<StateLeaf> = below.map(|(_, leaf)| leaf.clone()).collect();
        // The top node's subtree is sent as slots, those of a node below as leaves.
        (prefix.length() > 0).then_some(leaves)
    }

    fn leaf(&self, key: &StateKey) -> Option<StateLeaf> {
        self.leaves.get(key).cloned()
    }
}

struct Offer;

impl Snapshots for Offer {
    fn newest(&self, _above: Height) -> Option<Snapshot> {
        None
    }

    fn view(&self, root: Height) -> Option<Arc<dyn SnapshotView>> {
        (root == HEIGHT).then(|| MODEL.clone() as Arc<dyn SnapshotView>)
    }
}

/// The first byte is the number of requested keys; what is proved must be their contents.
pub fn proof(input: &[u8]) {
    let Some((count, bytes)) = input.split_first() else { return };
    let Ok(proof) = StateProof::from_bytes(bytes) else { return };
    assert!(proof.to_bytes() == bytes, "a second encoding of a state proof");
    let keys = MODEL.keys(usize::from(*count % 8));
    let Ok(found) = verify(&MODEL.root, &proof, &keys) else { return };
    let held = |key| MODEL.leaves.get(key).map(|leaf| value_hash(leaf.value.as_slice()));
    assert_eq!(found, keys.iter().map(held).collect::<Vec<_>>(), "shown is what the tree doesn't hold");
}

pub fn proofs() -> Vec<Vec<u8>> {
    let proof = |count: u8| {
        let keys = MODEL.keys(usize::from(count));
        [vec![count], open(&MODEL.tree, &MODEL.root, &keys).unwrap().to_bytes()].concat()
    };
    [0, 1, 4].map(proof).to_vec()
}

pub fn chunk(input: &[u8]) {
    let Ok(chunk) = NodeChunk::from_bytes(input) else { return };
    assert!(chunk.to_bytes() == input, "a second encoding of a node's slots");
    if chunk.verify(&MODEL.tables, &Prefix::EMPTY, &MODEL.root).is_ok() {
        assert_eq!(Some(chunk), MODEL.slots(&Prefix::EMPTY), "other slots with the same commitment");
    }
}

pub fn chunks() -> Vec<Vec<u8>> {
    let nodes = MODEL.tree.rows().into_values().filter_map(|slot| match slot {
        Slot::Child(child) => Some(child.prefix),
        Slot::Leaf(_) => None,
    });
    nodes.chain([Prefix::EMPTY]).map(|node| MODEL.slots(&node).unwrap().to_bytes()).collect()
}

fn answer_of(request: &Request) -> Option<StateAnswer> {
    let Request::State(question) = request else { panic!("not a question of state sync") };
    answer_state(&Offer, question)
}

/// A syncing node that has received true answers so far; the first byte is their number.
struct Syncing {
    machine: StateSync,
    asked: Vec<(PublicKey, u64, Request)>,
    tree: MemKv,
}

impl Syncing {
    fn after(answers: usize) -> Self {
        let target = Target { height: HEIGHT, root: Hash(MODEL.root) };
        let mut machine = StateSync::new(StateSyncConfig::default(), target);
        machine.connected(PEER);
        let mut syncing = Self { machine, asked: Vec::new(), tree: MemKv::default() };
        syncing.machine.poll(0, &mut syncing.asked);
        for _ in 0..answers {
            let Some(answer) = syncing.asked.first().and_then(|(.., request)| answer_of(request)) else { break };
            syncing.take(answer);
        }
        syncing
    }

    /// Takes the answer to the first request; returns what is stored then.
    fn take(&mut self, answer: StateAnswer) -> Option<Write> {
        let (peer, number, _) = self.asked.remove(0);
        let job = self.machine.on_answer(1, peer, number, Response::State(Box::new(answer)))?;
        let write = self.machine.on_checked(check(&MODEL.tables, job, &Serial), &self.tree).unwrap();
        self.machine.poll(1, &mut self.asked);
        Some(write)
    }
}

/// A syncing node stores only the snapshot's content, or bans the sender.
pub fn part(input: &[u8]) {
    let Some((answers, bytes)) = input.split_first() else { return };
    let Some(answer) = canonical::<StateAnswer>(bytes, FRAME_BYTES_MAX) else { return };
    let mut syncing = Syncing::after(usize::from(*answers % 4));
    if syncing.asked.is_empty() {
        return;
    }
    let Some(write) = syncing.take(answer) else { return };
    for leaf in &write.leaves {
        let held = &MODEL.leaves[&leaf.key];
        assert_eq!((held.name.as_slice(), held.value.as_slice()), (&leaf.name[..], &leaf.value[..]));
    }
    for (id, slot) in &write.rows {
        assert_eq!(MODEL.tree.slots(&[*id]).unwrap(), [*slot], "a row that the tree doesn't have");
    }
}

pub fn parts() -> Vec<Vec<u8>> {
    let after = |answers: u8| {
        let syncing = Syncing::after(usize::from(answers));
        let answer = answer_of(&syncing.asked.first()?.2)?;
        Some([vec![answers], encode(&answer)].concat())
    };
    let parts: Vec<Vec<u8>> = (0..4).filter_map(after).collect();
    assert_eq!(parts.len(), 4, "the model is too small");
    parts
}

/// No snapshot is certified by keys that nobody has.
pub fn snapshot(input: &[u8]) {
    let Some(snapshot) = canonical::<Snapshot>(input, FRAME_BYTES_MAX) else { return };
    let chain = snapshot.finalization.body.chain;
    certifying_epoch(&snapshot);
    let keys: Vec<PublicKey> = (90..94).map(|seed| SigningKey::from_seed(&[seed; 32]).public()).collect();
    assert!(check_snapshot(&chain, ShardId::ROOT, &keys, &keys, snapshot).is_err());
}

pub fn snapshots() -> Vec<Vec<u8>> {
    let messages = of_type("message").into_iter().filter_map(|bytes| canonical::<Message>(&bytes, FRAME_BYTES_MAX));
    let answers = messages.filter_map(|message| match message {
        Message::Response { response: Response::State(answer), .. } => Some(*answer),
        _ => None,
    });
    let snapshots: Vec<Vec<u8>> = answers
        .filter_map(|answer| if let StateAnswer::Snapshot(snapshot) = answer { Some(encode(&snapshot)) } else { None })
        .collect();
    assert!(!snapshots.is_empty(), "the vectors have no snapshot");
    snapshots
}

pub fn row(input: &[u8]) {
    if let Ok(slot) = Slot::from_row(input) {
        assert!(slot.to_row() == input, "a second encoding of a row");
    }
}

pub fn rows() -> Vec<Vec<u8>> {
    let leaf = Slot::Leaf(Leaf { key: Model::absent(), value: Hash([7; 32]) });
    MODEL.tree.rows().into_values().chain([leaf]).map(|slot| slot.to_row()).collect()
}

//! A tree, peers that serve it well or badly, and a store that is killed now and then.

use rustorium_crypto::hash::{domain, hash, value_hash};
use rustorium_state::chunk::{ChunkSlot, NodeChunk};
use rustorium_state::path::{Prefix, SlotId};
use rustorium_state::slot::{Child, Slot};
use rustorium_state::tables::Tables;
use rustorium_state::tree::{KvRead, MemKv, ReadError, update};
use rustorium_state::workers::Serial;
use rustorium_sync::state::*;
use rustorium_types::*;
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

pub const HEIGHT: Height = Height(40);

pub fn tables() -> &'static Tables {
    static TABLES: OnceLock<Tables> = OnceLock::new();
    TABLES.get_or_init(|| Tables::build(4).unwrap())
}

pub fn peer(number: u8) -> PublicKey {
    [number; 32]
}

/// A whole state.
#[derive(Debug)]
pub struct Model {
    pub tree: MemKv,
    pub leaves: BTreeMap<StateKey, StateLeaf>,
    /// A subtree of more leaves is sent as slots.
    pub leaves_max: usize,
}

pub fn leaf(account: [u8; 32], name: &[u8], value: Vec<u8>) -> StateLeaf {
    let (name, value) = (BoundedBytes::new(name.to_vec()).unwrap(), BoundedBytes::new(value).unwrap());
    StateLeaf { account: AccountId(account), name, value }
}

fn key_of(leaf: &StateLeaf) -> StateKey {
    StateKey { account: leaf.account, name: hash(domain::NAME, &[leaf.name.as_slice()]) }
}

impl Model {
    pub fn new(leaves: impl IntoIterator<Item = StateLeaf>, leaves_max: usize) -> Self {
        let leaves: BTreeMap<StateKey, StateLeaf> = leaves.into_iter().map(|leaf| (key_of(&leaf), leaf)).collect();
        let diff: Vec<_> = leaves.iter().map(|(key, leaf)| (*key, Some(value_hash(leaf.value.as_slice())))).collect();
        let mut tree = MemKv::default();
        let made = update(tables(), &tree, &diff, &Serial).unwrap();
        tree.apply(made);
        Self { tree, leaves, leaves_max }
    }

    pub fn target(&self) -> Target {
        Target { height: HEIGHT, root: Hash(self.tree.top().unwrap().commitment.encode()) }
    }
}

impl SnapshotView for Model {
    fn slots(&self, node: &Prefix) -> Option<NodeChunk> {
        NodeChunk::read(&self.tree, node).ok()
    }

    fn leaves(&self, prefix: &Prefix, leaves_max: usize, _bytes_max: usize) -> Option<Vec<StateLeaf>> {
        let below = self.leaves.iter().filter(|(key, _)| key.to_bytes().starts_with(prefix.as_slice()));
        let leaves: Vec<StateLeaf> = below.take(leaves_max + 1).map(|(_, leaf)| leaf.clone()).collect();
        (leaves.len() <= self.leaves_max).then_some(leaves)
    }

    fn leaf(&self, key: &StateKey) -> Option<StateLeaf> {
        self.leaves.get(key).cloned()
    }
}

pub struct Offer(pub Arc<Model>);

impl Snapshots for Offer {
    fn newest(&self, _above: Height) -> Option<Snapshot> {
        None
    }

    fn view(&self, root: Height) -> Option<Arc<dyn SnapshotView>> {
        (root == HEIGHT).then(|| self.0.clone() as Arc<dyn SnapshotView>)
    }
}

/// The way in which a peer treats a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    Honest,
    /// Another kind of answer.
    Confused,
    /// A value, name or account changed.
    Alters,
    /// The same, only if values are requested by themselves: everything about the tree is true.
    AltersValues,
    /// A leaf or slot left out.
    Omits,
    /// A leaf or slot repeated.
    Repeats,
    /// Another part of the same tree.
    Elsewhere,
    Silent,
    /// Answers after this many time-outs of its requests.
    Late,
    /// Has no such snapshot.
    Lacks,
    /// Disappears after some answers.
    Dies,
}

impl Manner {
    pub fn lies(self) -> bool {
        use Manner::*;
        matches!(self, Confused | Alters | AltersValues | Omits | Repeats | Elsewhere)
    }
}

/// Returns the answer of a peer of this manner. `None` if it doesn't answer.
pub fn respond(model: &Arc<Model>, manner: Manner, request: &Request, draw: usize) -> Option<Response> {
    let Request::State(question) = request else { panic!("not a question of state sync") };
    let honest = answer_state(&Offer(model.clone()), question);
    let answer = match manner {
        Manner::Silent => return None,
        Manner::Lacks => return Some(Response::NotHeld),
        Manner::Confused if draw.is_multiple_of(2) => return Some(Response::Certificates(BoundedVec::default())),
        Manner::Confused => StateAnswer::Values(BoundedVec::default()),
        Manner::Elsewhere => answer_state(&Offer(model.clone()), &elsewhere(model, question))?,
        _ => honest?,
    };
    Some(Response::State(Box::new(twisted(answer, manner, draw))))
}

/// A request with another request's answer.
fn elsewhere(model: &Model, question: &StateRequest) -> StateRequest {
    let bytes = |prefix: &Prefix| BoundedBytes::new(prefix.as_slice().to_vec()).unwrap();
    let asked = match question {
        StateRequest::Node { prefix, .. } | StateRequest::Values { prefix, .. } => prefix.clone(),
        StateRequest::Newest { .. } => unreachable!(),
    };
    let nodes = model.tree.rows().into_values().filter_map(|slot| match slot {
        Slot::Child(child) => Some(bytes(&child.prefix)),
        Slot::Leaf(_) => None,
    });
    let other = nodes.chain([bytes(&Prefix::EMPTY)]).find(|prefix| *prefix != asked);
    StateRequest::Node { root: HEIGHT, prefix: other.unwrap_or(asked) }
}

fn twisted(answer: StateAnswer, manner: Manner, draw: usize) -> StateAnswer {
    let manner = match (manner, &answer) {
        (Manner::AltersValues, StateAnswer::Values(_)) => Manner::Alters,
        (manner, _) => manner,
    };
    let leaves = |mut leaves: Vec<StateLeaf>| {
        if leaves.is_empty() {
            return leaves;
        }
        let place = draw % leaves.len();
        match manner {
            Manner::Alters => leaves[place] = altered(&leaves[place], draw),
            Manner::Omits => _ = leaves.remove(place),
            Manner::Repeats => leaves.insert(place, leaves[place].clone()),
            _ => {}
        }
        leaves
    };
    match answer {
        StateAnswer::Subtree(list) => StateAnswer::Subtree(BoundedVec::new(leaves(list.into_vec())).unwrap()),
        // A shorter answer is valid here, unless it is empty or begins elsewhere.
        StateAnswer::Values(list) if manner == Manner::Omits => {
            StateAnswer::Values(BoundedVec::new(list.into_vec()[1..].to_vec()).unwrap())
        }
        StateAnswer::Values(list) => StateAnswer::Values(BoundedVec::new(leaves(list.into_vec())).unwrap()),
        StateAnswer::Slots(bytes) => StateAnswer::Slots(slots(bytes.into_vec(), manner, draw)),
        other => other,
    }
}

fn altered(leaf: &StateLeaf, draw: usize) -> StateLeaf {
    let mut parts = [leaf.account.0.to_vec(), leaf.name.as_slice().to_vec(), leaf.value.as_slice().to_vec()];
    let part = &mut parts[draw % 3];
    match part.last_mut() {
        Some(byte) => *byte ^= 1 << (draw / 3 % 8),
        None => part.push(0),
    }
    let [account, name, value] = parts;
    self::leaf(account.try_into().unwrap(), &name, value)
}

fn slots<const MAX: usize>(mut bytes: Vec<u8>, manner: Manner, draw: usize) -> BoundedBytes<MAX> {
    if !bytes.is_empty() {
        let place = draw % bytes.len();
        match manner {
            Manner::Alters => bytes[place] ^= 1 << (draw / 7 % 8),
            // Whole slots, so that the chunk can still be decoded.
            Manner::Omits => bytes = without_last_slot(&bytes),
            Manner::Repeats => bytes.extend_from_within(..),
            _ => {}
        }
    }
    bytes.truncate(MAX);
    BoundedBytes::new(bytes).unwrap()
}

fn without_last_slot(bytes: &[u8]) -> Vec<u8> {
    let chunk = NodeChunk::from_bytes(bytes).unwrap();
    let size = match chunk.slots().last().unwrap().1 {
        ChunkSlot::Leaf(_) => 98,
        ChunkSlot::Inner { prefix, .. } => 35 + prefix.length(),
    };
    bytes[..bytes.len() - size].to_vec()
}

/// Stored values; each write is atomic.
#[derive(Clone, Default)]
pub struct Disk {
    pub rows: BTreeMap<SlotId, Slot>,
    pub leaves: BTreeMap<StateKey, StateLeaf>,
    pub top: Option<Child>,
}

impl Disk {
    pub fn apply(&mut self, write: Write) {
        for (id, slot) in write.rows {
            assert!(self.rows.insert(id, slot.unwrap()).is_none(), "{id:?} was stored before");
        }
        for StoredLeaf { key, name, value } in write.leaves {
            let leaf = leaf(key.account.0, &name, value);
            assert_eq!(key_of(&leaf), key);
            self.leaves.insert(key, leaf);
        }
        self.top = write.top;
    }

    /// Checks that every row stands for a complete subtree.
    pub fn check(&self, model: &Model) {
        for slot in self.rows.values() {
            let below: Box<dyn Fn(&StateKey) -> bool> = match *slot {
                Slot::Leaf(leaf) => Box::new(move |key| *key == leaf.key),
                Slot::Child(child) => Box::new(move |key| key.to_bytes().starts_with(child.prefix.as_slice())),
            };
            for (key, leaf) in model.leaves.iter().filter(|(key, _)| below(key)) {
                assert_eq!(self.leaves.get(key), Some(leaf));
            }
        }
    }

    pub fn is(&self, model: &Model) {
        assert_eq!(self.rows, model.tree.rows());
        assert_eq!(self.top, Some(model.tree.top().unwrap()));
        assert_eq!(self.leaves, model.leaves);
    }
}

impl KvRead for Disk {
    fn top(&self) -> Result<Child, ReadError> {
        Ok(self.top.unwrap_or(Child::EMPTY_TOP))
    }

    fn slots(&self, ids: &[SlotId]) -> Result<Vec<Option<Slot>>, ReadError> {
        Ok(ids.iter().map(|id| self.rows.get(id).copied()).collect())
    }

    fn node(&self, prefix: &Prefix) -> Result<Vec<(u8, Slot)>, ReadError> {
        let of_node = self.rows.iter().filter(|(id, _)| id.node == *prefix);
        Ok(of_node.map(|(id, slot)| (id.index, *slot)).collect())
    }
}

//! The check of a store's state. It computes every leaf and every row of the tree up to the root that a certified
//! header claims, and checks the writes of the heights above that root.

use crate::chain::{Claims, unproven};
use crate::error::BackupError;
use crate::work::Work;
use rustorium_crypto::hash::{domain, hash, value_hash};
use rustorium_execution::{diff_root, genesis as genesis_state};
use rustorium_stages::tree_rows::Tree;
use rustorium_state::chunk::{ChunkSlot, NodeChunk};
use rustorium_state::path::{Prefix, SlotId};
use rustorium_state::slot::{Leaf, Slot};
use rustorium_state::tables::Tables;
use rustorium_state::tree::{self, KvRead, ReadError};
use rustorium_state::workers::Serial;
use rustorium_storage::{HistoryStore, RocksStore, StateView, Store, StoredValue, TreeStore, Walk};
use rustorium_types::limits::SUBTREE_LEAVES_MAX;
use rustorium_types::{AccountId, Genesis, Hash, Height, LeafWrite, ShardId, StateKey};
use serde::Serialize;
use std::sync::Arc;

/// Leaves read at once.
const STEP_LEAVES: usize = 1024;

/// Kind of proof for the state in a store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StateProofKind {
    /// Compared with the root that a certified header claims; writes of heights above it were compared with the
    /// certified result.
    StateRoot,
    /// Compared with the genesis; writes of every height were compared with the certified result.
    Genesis,
    /// Compared with nothing: the chain makes no state roots, and its first heights are pruned.
    Nothing,
}

/// Checks the state after the store's tip.
pub(crate) fn check_state(
    store: &RocksStore,
    genesis: (&Genesis, ShardId),
    claims: &Claims,
    tables: &Tables,
    work: &Work,
) -> Result<StateProofKind, BackupError> {
    let tip = store.tip().map_or(Height(0), |tip| tip.height);
    let (from, shown) = match store.tree_base()? {
        Some(base) => {
            let tree = Tree(store.view_at(base)?);
            let (root, shown) = match claims.get(&base) {
                Some(root) => (*root, StateProofKind::StateRoot),
                // No header claims the root of the genesis, but its values are known.
                None if base == Height(0) => {
                    check_genesis(store, genesis)?;
                    let top = tree.top().map_err(|error| read_failed(&error))?;
                    (Hash(top.commitment.encode()), StateProofKind::Genesis)
                }
                None => return Err(unproven(base, "no certified header claims the state")),
            };
            TreeCheck { tree, tables, work, leaves: 0 }.run(base, &root)?;
            (base, shown)
        }
        None if store.kept().oldest_height == Height(0) => {
            check_genesis(store, genesis)?;
            (Height(0), StateProofKind::Genesis)
        }
        None => return Ok(StateProofKind::Nothing),
    };
    let changes = store.changes(from, tip)?;
    let none = Vec::<LeafWrite>::new();
    for height in (from.0 + 1..=tip.0).map(Height) {
        let links = store.links(height, height)?;
        let link = links.first().ok_or_else(|| unproven(height, "its result is missing"))?.link;
        if diff_root(changes.get(&height).unwrap_or(&none)) != link.diff {
            return Err(unproven(height, "what it changed in the state is not what was certified"));
        }
    }
    Ok(shown)
}

fn check_genesis(store: &RocksStore, (genesis, shard): (&Genesis, ShardId)) -> Result<(), BackupError> {
    let first = genesis_state(genesis, shard);
    let mut from = Some(FIRST_KEY);
    let mut right = first.diff.iter();
    while let Some(key) = from {
        let walked = store.walk_at(Height(0), &walk(key))?;
        for (key, leaf) in walked.leaves {
            let other = right.next().is_none_or(|write| (write.key, write.value.as_ref()) != (key, Some(&leaf.value)));
            if other {
                return Err(unproven(Height(0), "the state is not the genesis'"));
            }
        }
        from = walked.next;
    }
    if right.next().is_none() { Ok(()) } else { Err(unproven(Height(0), "the state lacks some of the genesis'")) }
}

const FIRST_KEY: StateKey = StateKey { account: AccountId([0; 32]), name: [0; 32] };

fn walk(from: StateKey) -> Walk<'static> {
    let (leaves_max, looks_max) = (STEP_LEAVES, 2 * STEP_LEAVES);
    Walk {
        from,
        account: None,
        wanted: &|_| true,
        leaves_max,
        looks_max,
        bytes_max: 16 << 20,
        opened_bytes_max: usize::MAX,
    }
}

/// A walk over a stored tree from its root down.
struct TreeCheck<'a> {
    tree: Tree<Arc<dyn StateView>>,
    tables: &'a Tables,
    work: &'a Work,
    leaves: u64,
}

impl TreeCheck<'_> {
    fn run(mut self, base: Height, root: &Hash) -> Result<(), BackupError> {
        self.work.begin("checking the state", 0);
        let refused = |what: &str| unproven(base, what);
        let top = self.tree.top().map_err(|error| read_failed(&error))?;
        if top.commitment.encode() != root.0 {
            return Err(refused("the state root differs from the certified one"));
        }
        let mut nodes = vec![(Prefix::EMPTY, root.0)];
        while let Some((prefix, commitment)) = nodes.pop() {
            // The top's keys may share more than its empty prefix: as a subtree it would be another node.
            let few = if prefix == Prefix::EMPTY { None } else { self.few_leaves(&prefix)? };
            match few {
                Some(leaves) => self.check_subtree(&prefix, &commitment, &leaves)?,
                None => self.check_node(&prefix, &commitment, &mut nodes)?,
            }
        }
        let mut counted = 0;
        let mut from = Some(FIRST_KEY);
        while let Some(key) = from {
            let walked = self.tree.0.walk(&walk(key))?;
            counted += walked.leaves.len() as u64;
            from = walked.next;
        }
        if counted == self.leaves { Ok(()) } else { Err(refused("the store has values that the state tree lacks")) }
    }

    /// Checks the slots of a large node, and the values of the leaves among them.
    fn check_node(
        &mut self,
        prefix: &Prefix,
        commitment: &[u8; 32],
        nodes: &mut Vec<(Prefix, [u8; 32])>,
    ) -> Result<(), BackupError> {
        let chunk = NodeChunk::read(&self.tree, prefix).map_err(|error| read_failed(&error))?;
        let found = chunk.verify(self.tables, prefix, commitment);
        found.map_err(|error| self.refused(&format!("a node of the state tree is wrong ({error})")))?;
        for (_, slot) in chunk.slots() {
            match slot {
                ChunkSlot::Inner { prefix, commitment } => nodes.push((*prefix, *commitment)),
                ChunkSlot::Leaf(leaf) => {
                    let value = self.tree.0.value(&leaf.key)?;
                    if value.map(|value| hashed(&leaf.key, &value)) != Some(Some(*leaf)) {
                        return Err(self.refused("a value differs from the one in the state tree"));
                    }
                    self.count(1)?;
                }
            }
        }
        Ok(())
    }

    /// Checks a whole small subtree: built again from its leaves, it must have the commitment and the stored rows.
    fn check_subtree(&mut self, prefix: &Prefix, commitment: &[u8; 32], leaves: &[Leaf]) -> Result<(), BackupError> {
        let made = tree::subtree(self.tables, leaves, &Serial);
        let made = made.map_err(|error| self.refused(&error.to_string()))?;
        let right = made.as_ref().is_some_and(|made| match made.slot {
            Slot::Child(node) => node.prefix == *prefix && node.commitment.encode() == *commitment,
            Slot::Leaf(_) => false,
        });
        let Some(made) = made.filter(|_| right) else {
            return Err(self.refused("values differ from those in the state tree"));
        };
        let ids: Vec<SlotId> = made.rows.iter().map(|(id, _)| *id).collect();
        let stored = self.tree.slots(&ids).map_err(|error| read_failed(&error))?;
        if !made.rows.iter().map(|(_, slot)| slot).eq(&stored) {
            return Err(self.refused("rows of the state tree differ from those that its values give"));
        }
        self.count(leaves.len() as u64)
    }

    /// Returns all leaves below a node if they are few, otherwise `None`.
    fn few_leaves(&self, prefix: &Prefix) -> Result<Option<Vec<Leaf>>, BackupError> {
        let mut leaves = Vec::new();
        let mut from = Some(prefix.first_key());
        while let Some(key) = from {
            let walked = self.tree.0.walk(&walk(key))?;
            for (key, value) in walked.leaves {
                if !key.to_bytes().starts_with(prefix.as_slice()) {
                    return Ok(Some(leaves));
                }
                leaves.push(hashed(&key, &value).ok_or_else(|| self.refused("the name of a value is wrong"))?);
                if leaves.len() > SUBTREE_LEAVES_MAX {
                    return Ok(None);
                }
            }
            from = walked.next;
        }
        Ok(Some(leaves))
    }

    fn count(&mut self, leaves: u64) -> Result<(), BackupError> {
        self.leaves += leaves;
        self.work.advance(leaves)
    }

    fn refused(&self, what: &str) -> BackupError {
        unproven(self.tree.0.height(), what)
    }
}

/// Returns the leaf in the tree's form; `None` if the name doesn't match the key.
fn hashed(key: &StateKey, value: &StoredValue) -> Option<Leaf> {
    (hash(domain::NAME, &[&value.name]) == key.name).then(|| Leaf { key: *key, value: value_hash(&value.value) })
}

fn read_failed(error: &ReadError) -> BackupError {
    BackupError::Unproven(format!("the state tree can't be read ({error})"))
}

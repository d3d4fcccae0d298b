//! A store's view of the state at a root, as state sync serves it.

use rustorium_stages::tree_rows::Tree;
use rustorium_state::chunk::NodeChunk;
use rustorium_state::path::Prefix;
use rustorium_storage::{StateView, StoredValue, Walk};
use rustorium_sync::state::SnapshotView;
use rustorium_types::{BoundedBytes, StateKey, StateLeaf};
use std::sync::Arc;

/// Leaves read at once: more would be read in vain where a subtree ends.
const STEP_LEAVES: usize = 256;

/// The state at a root.
pub(super) struct StoredView(pub(super) Tree<Arc<dyn StateView>>);

impl SnapshotView for StoredView {
    fn slots(&self, node: &Prefix) -> Option<NodeChunk> {
        let chunk = NodeChunk::read(&self.0, node);
        chunk.inspect_err(|error| tracing::error!(event = "snapshot_unreadable", reason = %error)).ok()
    }

    fn leaves(&self, prefix: &Prefix, leaves_max: usize, bytes_max: usize) -> Option<Vec<StateLeaf>> {
        let mut leaves = Vec::new();
        let (mut bytes, mut from) = (0, Some(prefix.first_key()));
        while let Some(key) = from {
            let walk = Walk {
                from: key,
                account: None,
                wanted: &|_| true,
                leaves_max: STEP_LEAVES,
                looks_max: 2 * STEP_LEAVES,
                bytes_max,
                opened_bytes_max: bytes_max,
            };
            let walked = self.0.0.walk(&walk);
            let walked =
                walked.inspect_err(|error| tracing::error!(event = "snapshot_unreadable", reason = %error)).ok()?;
            for (key, leaf) in walked.leaves {
                if !key.to_bytes().starts_with(prefix.as_slice()) {
                    return Some(leaves);
                }
                bytes += leaf.name.len() + leaf.value.len();
                leaves.push(shown(&key, leaf)?);
                if leaves.len() > leaves_max || bytes > bytes_max {
                    return Some(leaves);
                }
            }
            from = walked.next;
        }
        Some(leaves)
    }

    fn leaf(&self, key: &StateKey) -> Option<StateLeaf> {
        let leaf = self.0.0.value(key);
        let leaf = leaf.inspect_err(|error| tracing::error!(event = "snapshot_unreadable", reason = %error)).ok()?;
        shown(key, leaf?)
    }
}

fn shown(key: &StateKey, leaf: StoredValue) -> Option<StateLeaf> {
    let (name, value) = (BoundedBytes::new(leaf.name).ok()?, BoundedBytes::new(leaf.value).ok()?);
    Some(StateLeaf { account: key.account, name, value })
}

//! The data that all nodes of one shard of a simulated chain share.

use parking_lot::Mutex;
use rustorium_state::tables::Tables;
use rustorium_types::{Genesis, PublicKey, ShardId};
use std::sync::Arc;

/// Width of the tables, bits: the smallest, which gives the same roots.
const TABLE_WIDTH: u32 = 4;

/// A shard of a chain, and the nodes to which a simulation gives numbers.
pub struct Chain {
    /// The genesis.
    pub genesis: Genesis,
    /// The shard.
    pub shard: ShardId,
    /// Node keys by the nodes' numbers.
    pub node_keys: Vec<PublicKey>,
    /// The state tree's tables.
    pub tables: Arc<Tables>,
}

impl Chain {
    /// Creates a chain. Errors: the tables can't be made.
    pub fn new(genesis: Genesis, shard: ShardId, node_keys: Vec<PublicKey>) -> Result<Self, String> {
        Ok(Self { genesis, shard, node_keys, tables: tables()? })
    }

    /// Returns the number of the node with this node key.
    pub fn number_of(&self, node_key: &PublicKey) -> Option<u16> {
        let place = self.node_keys.iter().position(|key| key == node_key)?;
        u16::try_from(place).ok()
    }
}

/// Returns the tables, which are made once a process.
fn tables() -> Result<Arc<Tables>, String> {
    static TABLES: Mutex<Option<Arc<Tables>>> = Mutex::new(None);
    let mut made = TABLES.lock();
    if let Some(tables) = &*made {
        return Ok(tables.clone());
    }
    let tables = Arc::new(Tables::build(TABLE_WIDTH).map_err(|error| error.to_string())?);
    *made = Some(tables.clone());
    Ok(tables)
}

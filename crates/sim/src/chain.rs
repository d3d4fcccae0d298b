//! What all nodes of one simulated chain share.

use parking_lot::Mutex;
use rustorium_state::tables::Tables;
use rustorium_types::{Genesis, PublicKey};
use std::sync::Arc;

/// Width of the tables, bits: the smallest; the same roots come out.
const TABLE_WIDTH: u32 = 4;

/// A chain and the nodes that a simulation gives numbers to.
pub struct Chain {
    /// The genesis.
    pub genesis: Genesis,
    /// Node keys by the nodes' numbers.
    pub node_keys: Vec<PublicKey>,
    /// The state tree's tables.
    pub tables: Arc<Tables>,
}

impl Chain {
    /// A chain. Errors: the tables can't be made.
    pub fn new(genesis: Genesis, node_keys: Vec<PublicKey>) -> Result<Self, String> {
        Ok(Self { genesis, node_keys, tables: tables()? })
    }

    /// The number of whoever has this node key.
    pub fn number_of(&self, node_key: &PublicKey) -> Option<u16> {
        let place = self.node_keys.iter().position(|key| key == node_key)?;
        u16::try_from(place).ok()
    }
}

/// Made once a process.
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

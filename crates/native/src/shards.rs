//! The shards of a chain in Python, as its genesis lists them.

use crate::errors::native_error;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustorium_types::limits::GENESIS_BYTES_MAX;
use rustorium_types::{AccountId, Genesis, Validator, decode};

/// The shards that a chain begins with, and which of them has an account.
#[pyclass(module = "rustorium._native", frozen)]
pub struct Shards {
    /// The lowest account of each.
    from: Vec<AccountId>,
    members: Vec<Vec<String>>,
}

#[pymethods]
impl Shards {
    /// Reads the list of a genesis (canonical bytes). Errors: NativeError.
    #[new]
    fn new(genesis: &[u8]) -> PyResult<Self> {
        let genesis: Genesis = decode(genesis, GENESIS_BYTES_MAX)
            .map_err(|error| native_error("genesis-invalid", format!("the genesis is not usable: {error}")))?;
        let name = |one: &Validator| String::from_utf8_lossy(one.name.as_slice()).into_owned();
        let members = genesis.shard_ids().map(|shard| genesis.committee(shard).iter().map(name).collect());
        let from = genesis.shard_ids().map(|shard| genesis.charter(shard).from);
        Ok(Self { from: from.collect(), members: members.collect() })
    }

    fn __len__(&self) -> usize {
        self.from.len()
    }

    /// Returns the number of the shard that has an account. Errors: ValueError.
    fn of(&self, address: &str) -> PyResult<u32> {
        let account = AccountId::parse(address).map_err(|error| PyValueError::new_err(error.to_string()))?;
        let at_or_below = self.from.partition_point(|from| *from <= account);
        Ok(u32::try_from(at_or_below.saturating_sub(1)).unwrap_or(0))
    }

    /// Returns each shard's lowest account, and the names of its first committee's members.
    fn list(&self) -> Vec<(String, Vec<String>)> {
        self.from.iter().map(ToString::to_string).zip(self.members.iter().cloned()).collect()
    }
}

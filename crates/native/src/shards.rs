//! The shards of a chain in Python, as its genesis lists them.

use crate::light::usable_genesis;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use rustorium_types::{AccountId, Charter, Validator};

/// The shards that a chain begins with, and which of them has an account.
#[pyclass(module = "rustorium._native", frozen)]
pub struct Shards {
    charters: Vec<Charter>,
    members: Vec<Vec<String>>,
}

#[pymethods]
impl Shards {
    /// Reads the list of a genesis (canonical bytes). Errors: NativeError.
    #[new]
    fn new(genesis: &[u8]) -> PyResult<Self> {
        let genesis = usable_genesis(genesis)?;
        let name = |one: &Validator| String::from_utf8_lossy(one.name.as_slice()).into_owned();
        let members = genesis.shard_ids().map(|shard| genesis.committee(shard).iter().map(name).collect());
        let charters = genesis.shard_ids().map(|shard| genesis.charter(shard));
        Ok(Self { charters: charters.collect(), members: members.collect() })
    }

    fn __len__(&self) -> usize {
        self.charters.len()
    }

    /// Returns the number of the shard that has an account. Errors: ValueError.
    fn of(&self, address: &str) -> PyResult<u32> {
        let account = AccountId::parse(address).map_err(|error| PyValueError::new_err(error.to_string()))?;
        // Each account is in exactly one shard.
        Ok(self.charters.iter().find(|charter| charter.has(&account)).map_or(0, |charter| charter.shard.0))
    }

    /// Returns each shard's lowest account, and the names of its first committee's members.
    fn list(&self) -> Vec<(String, Vec<String>)> {
        self.charters.iter().map(|charter| charter.from.to_string()).zip(self.members.iter().cloned()).collect()
    }
}

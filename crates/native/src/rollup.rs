//! Rollup batches in Python: roots, hashes, and a prover that releases the interpreter.

use crate::errors::{detached, native_error};
use crate::ledger::value_error;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustorium_crypto::SigningKey;
use rustorium_zk::encode_input;
use rustorium_zk::rollup::{self, Balances, BatchProver, RollupError, Transfer};

fn refused(error: RollupError) -> PyErr {
    let code = match error {
        RollupError::Unproved(_) => "internal",
        RollupError::Key(_) => "ceremony-refused",
        _ => "rollup-refused",
    };
    native_error(code, error.to_string())
}

fn balances_of(balances: Vec<u64>) -> PyResult<Balances> {
    Balances::try_from(balances)
        .map_err(|list| value_error(format!("there are {} balances and must be {}", list.len(), rollup::ACCOUNTS)))
}

fn transfers_of(transfers: Vec<(u8, u8, u64)>) -> Vec<Transfer> {
    transfers.into_iter().map(|(from, to, amount)| Transfer { from, to, amount }).collect()
}

/// Returns the root over 256 balances, as a public input.
#[pyfunction]
fn rollup_root<'py>(py: Python<'py>, balances: Vec<u64>) -> PyResult<Bound<'py, PyBytes>> {
    let balances = balances_of(balances)?;
    Ok(PyBytes::new(py, &detached(py, || encode_input(rollup::root(&balances)))?))
}

/// Returns the balances after a batch of (from, to, amount). Errors: NativeError rollup-refused.
#[pyfunction]
fn rollup_apply(balances: Vec<u64>, transfers: Vec<(u8, u8, u64)>) -> PyResult<Vec<u64>> {
    let after = rollup::apply(&balances_of(balances)?, &transfers_of(transfers)).map_err(refused)?;
    Ok(after.to_vec())
}

/// Returns the hash that stands for a batch among the public inputs. Errors: NativeError rollup-refused.
#[pyfunction]
fn rollup_batch_hash<'py>(py: Python<'py>, transfers: Vec<(u8, u8, u64)>) -> PyResult<Bound<'py, PyBytes>> {
    let hash = rollup::batch_hash(&transfers_of(transfers)).map_err(refused)?;
    Ok(PyBytes::new(py, &encode_input(hash)))
}

/// A prover of batches with one proving key.
#[pyclass(frozen, module = "rustorium._native")]
pub struct RollupProver(BatchProver);

#[pymethods]
impl RollupProver {
    /// Creates a prover with keys that everybody can derive: for tests only.
    #[staticmethod]
    fn insecure(py: Python<'_>) -> PyResult<Self> {
        Ok(Self(detached(py, BatchProver::insecure)?.map_err(refused)?))
    }

    /// Opens a prover with a ceremony's proving key.
    #[staticmethod]
    fn open(py: Python<'_>, key: &[u8]) -> PyResult<Self> {
        Ok(Self(detached(py, || BatchProver::open(key))?.map_err(refused)?))
    }

    fn verifying_key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.verifying_key())
    }

    /// Returns the proof of a batch and its public inputs: old root, new root, the batch's hash.
    fn prove<'py>(
        &self,
        py: Python<'py>,
        balances: Vec<u64>,
        transfers: Vec<(u8, u8, u64)>,
    ) -> PyResult<(Bound<'py, PyBytes>, Vec<Bound<'py, PyBytes>>)> {
        let (balances, transfers) = (balances_of(balances)?, transfers_of(transfers));
        let work = || {
            // These are 32 bytes of the system's randomness, in memory that is wiped.
            let entropy = SigningKey::generate().to_seed();
            self.0.prove(&balances, &transfers, &entropy)
        };
        let settled = detached(py, work)?.map_err(refused)?;
        let inputs = settled.inputs.iter().map(|input| PyBytes::new(py, input)).collect();
        Ok((PyBytes::new(py, &settled.proof), inputs))
    }
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<RollupProver>()?;
    module.add_function(wrap_pyfunction!(rollup_root, module)?)?;
    module.add_function(wrap_pyfunction!(rollup_apply, module)?)?;
    module.add_function(wrap_pyfunction!(rollup_batch_hash, module)?)
}

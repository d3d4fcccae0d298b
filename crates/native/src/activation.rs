//! Activations of version 2 for Python.

use crate::ledger::{genesis_of, key, value_error};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustorium_api::json::ActivationView;
use rustorium_crypto::{chain_id, is_small_order as small, verify_activation};
use rustorium_execution::{ActivationBasis, plan_activation};
use rustorium_types::{Activation, ActivationBody, Block, Epoch, Hash, PROOF_BYTES_MAX, Parameters, decode};
use serde_json::{Map, Value};

/// Returns the activation that a chain with this genesis can carry out at the boundary of an epoch, unsigned, as JSON.
/// `changes` are other parameters that change, as a JSON object.
#[pyfunction]
fn activation_plan(
    genesis: &[u8],
    epoch: u64,
    committee: &str,
    operator_quorum: Option<u8>,
    changes: &str,
) -> PyResult<String> {
    let genesis = genesis_of(genesis)?;
    let committee = Hash::from_hex(committee).map_err(value_error)?;
    let (chain, epoch, parameters) = (chain_id(&genesis), Epoch(epoch), &genesis.parameters);
    let body = plan_activation(parameters, (chain, epoch), committee, operator_quorum).map_err(value_error)?;
    let body = ActivationBody { parameters: changed(&body.parameters, changes)?, ..body };
    let basis = ActivationBasis { chain, epoch, committee, next_committee: committee, parameters };
    basis.check(&body).map_err(value_error)?;
    serde_json::to_string(&ActivationView::from(&body)).map_err(value_error)
}

/// Returns parameters with changes, a JSON object. The least age of an epoch follows the epoch's length unless it is
/// among them.
fn changed(parameters: &Parameters, changes: &str) -> PyResult<Parameters> {
    let changes: Map<String, Value> = serde_json::from_str(changes).map_err(value_error)?;
    let mut fields = serde_json::to_value(parameters).map_err(value_error)?;
    for (name, value) in &changes {
        let Some(field) = fields.get_mut(name) else {
            let sentence = format!("there is no chain parameter {name}; see the reference of chain parameters");
            return Err(PyValueError::new_err(sentence));
        };
        *field = value.clone();
    }
    let mut new: Parameters = serde_json::from_value(fields).map_err(value_error)?;
    if !changes.contains_key("min_epoch_ms") {
        new.min_epoch_ms = Some(Parameters::epoch_age_of(new.epoch_ms));
    }
    Ok(new)
}

/// Signs an activation (JSON) with an operator's key. Returns the value to put.
#[pyfunction]
fn sign_activation<'py>(py: Python<'py>, seed: &[u8], activation_json: &str) -> PyResult<Bound<'py, PyBytes>> {
    let view: ActivationView = serde_json::from_str(activation_json).map_err(value_error)?;
    let bytes = key(seed)?.sign_activation(view.into()).to_bytes();
    Activation::from_bytes(&bytes).map_err(value_error)?;
    Ok(PyBytes::new(py, &bytes))
}

/// Returns a signed activation as JSON.
#[pyfunction]
fn activation_show(raw: &[u8]) -> PyResult<String> {
    let activation = Activation::from_bytes(raw).map_err(value_error)?;
    serde_json::to_string(&ActivationView::from(&activation)).map_err(value_error)
}

/// Returns true if the bytes are an activation that this operator's key (hex) signed.
#[pyfunction]
fn activation_holds(operator_key: &str, raw: &[u8]) -> PyResult<bool> {
    let operator = Hash::from_hex(operator_key).map_err(value_error)?.0;
    Ok(Activation::from_bytes(raw).is_ok_and(|activation| verify_activation(&operator, &activation)))
}

/// Returns a block's protocol version and epoch, and the hash of the epoch's committee.
#[pyfunction]
fn block_committee(block: &[u8]) -> PyResult<(u16, u64, String)> {
    let header = decode::<Block>(block, PROOF_BYTES_MAX).map_err(value_error)?.header;
    Ok((header.version, header.epoch.0, header.validator_set.to_string()))
}

/// Returns true if a public key (hex) is of small order.
#[pyfunction]
fn is_small_order(key: &str) -> PyResult<bool> {
    Ok(small(&Hash::from_hex(key).map_err(value_error)?.0))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(activation_plan, module)?)?;
    module.add_function(wrap_pyfunction!(sign_activation, module)?)?;
    module.add_function(wrap_pyfunction!(activation_show, module)?)?;
    module.add_function(wrap_pyfunction!(activation_holds, module)?)?;
    module.add_function(wrap_pyfunction!(block_committee, module)?)?;
    module.add_function(wrap_pyfunction!(is_small_order, module)?)
}

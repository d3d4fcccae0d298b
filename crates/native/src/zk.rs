//! Groth16 keys, proofs and inputs in Python: snarkjs' JSON converted to canonical bytes, and verification without a
//! node.

use crate::errors::{detached, native_error};
use crate::ledger::value_error;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustorium_crypto::hash;
use rustorium_types::{AccountId, NamedInput, TxId};
use rustorium_zk::{Claim, Curve, Key, Refused, check_key, curve_and_inputs, snarkjs, verify_all};
use std::collections::HashMap;

fn refused(error: Refused) -> PyErr {
    native_error(error.code(), format!("refused: {error}"))
}

/// Returns the canonical bytes of a `verification_key.json`, or of canonical bytes themselves, and checks them.
#[pyfunction]
fn zk_key<'py>(py: Python<'py>, key: &[u8], json: bool) -> PyResult<Bound<'py, PyBytes>> {
    let read = || if json { snarkjs::key_from_json(key) } else { check_key(key).map(|()| key.to_vec()) };
    Ok(PyBytes::new(py, &detached(py, read)?.map_err(refused)?))
}

/// Returns snarkjs' name of the curve of a key's canonical bytes, and the number of its inputs.
#[pyfunction]
fn zk_describe(key: &[u8]) -> PyResult<(&'static str, usize)> {
    let (curve, inputs) = curve_and_inputs(key).map_err(refused)?;
    Ok((curve.label(), inputs))
}

/// Returns the canonical bytes of a `proof.json`, and checks its points.
#[pyfunction]
fn zk_proof<'py>(py: Python<'py>, json: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &detached(py, || snarkjs::proof_from_json(json))?.map_err(refused)?))
}

/// Returns the canonical bytes of each input in a `public.json`. The curve is that of the proof's length.
#[pyfunction]
fn zk_inputs<'py>(py: Python<'py>, json: &[u8], proof_bytes: usize) -> PyResult<Vec<Bound<'py, PyBytes>>> {
    let curve = Curve::of_proof(proof_bytes).ok_or_else(|| value_error("no curve's proofs have that many bytes"))?;
    let inputs = detached(py, || snarkjs::inputs_from_json(json, curve))?.map_err(refused)?;
    Ok(inputs.iter().map(|input| PyBytes::new(py, input)).collect())
}

/// Verifies a proof, all in canonical bytes. Errors: NativeError with the reason of the refusal.
#[pyfunction]
fn zk_verify(py: Python<'_>, key: &[u8], proof: &[u8], inputs: Vec<[u8; 32]>) -> PyResult<()> {
    let verified = || Claim::new(&Key::from_bytes(key)?, proof, &inputs)?.verify();
    detached(py, verified)?.map_err(refused)
}

/// Verifies many proofs as one equation, each (key, proof, inputs) in canonical bytes. Returns for each its fault as
/// (code, sentence), or None.
#[pyfunction]
#[expect(clippy::type_complexity, reason = "tuples are what Python gives and gets")]
fn zk_verify_all(
    py: Python<'_>,
    claims: Vec<(Vec<u8>, Vec<u8>, Vec<[u8; 32]>)>,
) -> PyResult<Vec<Option<(&'static str, String)>>> {
    let work = || {
        // A block's proofs are mostly for few keys, and decoding a key takes as long as verifying a proof.
        let mut keys: HashMap<&[u8], Result<Key, Refused>> = HashMap::new();
        let mut good = Vec::with_capacity(claims.len());
        let mut verdicts = Vec::with_capacity(claims.len());
        for (key, proof, inputs) in &claims {
            let key = keys.entry(key).or_insert_with(|| Key::from_bytes(key)).clone();
            let claim = key.and_then(|key| Claim::new(&key, proof, inputs));
            verdicts.push(claim.map(|claim| good.push(claim)));
        }
        let mut verified = verify_all(&good).into_iter();
        for verdict in verdicts.iter_mut().filter(|verdict| verdict.is_ok()) {
            *verdict = verified.next().unwrap_or(Err(Refused::NotProved));
        }
        let said = |error: Refused| (error.code(), format!("refused: {error}"));
        verdicts.into_iter().map(|verdict| verdict.err().map(said)).collect()
    };
    detached(py, work)
}

/// Returns the id of the verifier that an account registers with a key and the inputs that it names, (index, once)
/// ascending.
#[pyfunction]
fn verifier_id(owner: &str, key: &[u8], named: Vec<(u8, bool)>) -> PyResult<String> {
    let owner = AccountId::parse(owner).map_err(value_error)?;
    let named: Vec<NamedInput> = named.into_iter().map(|(index, once)| NamedInput { index, once }).collect();
    Ok(hash::verifier_id(&owner, key, &named).to_string())
}

/// Returns a transaction's id as a public input.
#[pyfunction]
fn transaction_input<'py>(py: Python<'py>, id: &str) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &hash::transaction_input(&TxId::from_hex(id).map_err(value_error)?)))
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(zk_key, module)?)?;
    module.add_function(wrap_pyfunction!(zk_describe, module)?)?;
    module.add_function(wrap_pyfunction!(zk_proof, module)?)?;
    module.add_function(wrap_pyfunction!(zk_inputs, module)?)?;
    module.add_function(wrap_pyfunction!(zk_verify, module)?)?;
    module.add_function(wrap_pyfunction!(zk_verify_all, module)?)?;
    module.add_function(wrap_pyfunction!(verifier_id, module)?)?;
    module.add_function(wrap_pyfunction!(transaction_input, module)?)
}

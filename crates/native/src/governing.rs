//! Hashes of what operators' seats decide, for a client that doesn't believe a node's.
//!
//! *Invariants:* the hash is that of the given JSON, never of anything else that a node says.

use crate::ledger::value_error;
use pyo3::prelude::*;
use rustorium_api::json::ChangeView;
use rustorium_crypto::hash;
use rustorium_types::{AccountId, GovernanceChange, Parameters, SYSTEM_ACCOUNT, SystemSender};

/// Returns the hash by which seats approve a change (V39), as hex digits. `change_json`: the change as the API shows it.
#[pyfunction]
pub fn change_hash(change_json: &str) -> PyResult<String> {
    let view: ChangeView = serde_json::from_str(change_json).map_err(value_error)?;
    let change = GovernanceChange::try_from(view).map_err(value_error)?;
    Ok(hash::change_hash(&change).to_string())
}

/// Returns the hash of chain parameters, which a change of them names as its base (V12), as hex digits.
#[pyfunction]
pub fn parameters_hash(parameters_json: &str) -> PyResult<String> {
    let parameters: Parameters = serde_json::from_str(parameters_json).map_err(value_error)?;
    Ok(hash::parameters_hash(&parameters).to_string())
}

/// Returns the number of the seat whose sender has this address; `None` if it is the address of an account, or none.
#[pyfunction]
pub fn seat_number(address: &str) -> Option<u32> {
    let sender = AccountId::parse(address).ok()?;
    let Some(SystemSender::Seat(number)) = SystemSender::of(&sender) else { return None };
    Some(number)
}

/// Returns the address of the system's account, to which the leaves about who governs belong.
#[pyfunction]
pub fn system_account() -> String {
    SYSTEM_ACCOUNT.to_string()
}

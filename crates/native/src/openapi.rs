//! The description of the HTTP API, without a node.

use crate::errors::native_error;
use pyo3::prelude::*;

/// Returns the OpenAPI document that each node serves at `/openapi.json`.
#[pyfunction]
pub fn openapi() -> PyResult<String> {
    rustorium_gateway::http::openapi_document().to_json().map_err(|error| native_error("failed", error.to_string()))
}

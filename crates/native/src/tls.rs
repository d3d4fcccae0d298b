//! The gateway's PEM files, and an authority that makes such files for devnets and tests.

use crate::errors::{detached, native_error};
use pyo3::prelude::*;
use rustorium_gateway::Tls;
use rustorium_gateway::tls::TlsFiles;
use rustorium_transport::authority::{Authority, Purpose};
use std::path::PathBuf;

/// Checks that a gateway could start with these files. Returns the validity of its certificate: JSON, `begins_ms` and
/// `ends_ms`. Errors: NativeError `tls-invalid`.
#[pyfunction]
#[pyo3(signature = (certificate, key, client_authorities = None))]
pub fn check_tls(
    py: Python<'_>,
    certificate: PathBuf,
    key: PathBuf,
    client_authorities: Option<PathBuf>,
) -> PyResult<String> {
    let opened = detached(py, || Tls::open(TlsFiles { certificate, key, client_authorities }))?;
    let tls = opened.map_err(|error| native_error("tls-invalid", error.to_string()))?;
    Ok(serde_json::to_string(&tls.state().validity).unwrap_or_default())
}

/// An authority for certificates, whose key is only in memory.
#[pyclass(frozen, module = "rustorium._native")]
pub struct TlsAuthority(Authority);

fn failed(error: impl ToString) -> PyErr {
    native_error("internal", format!("the certificate can't be made: {}", error.to_string()))
}

#[pymethods]
impl TlsAuthority {
    #[new]
    fn new(name: &str) -> PyResult<Self> {
        Authority::new(name).map(Self).map_err(failed)
    }

    /// The certificate to trust: PEM.
    #[getter]
    fn certificate(&self) -> &str {
        self.0.certificate()
    }

    /// Issues a certificate for names and addresses. Returns it and its key: PEM. It expires at the beginning of the
    /// day `until`: year, month and day (up to 28).
    #[pyo3(signature = (names, client = false, until = None))]
    fn issue(&self, names: Vec<String>, client: bool, until: Option<(i32, u8, u8)>) -> PyResult<(String, String)> {
        let purpose = if client { Purpose::Client } else { Purpose::Server };
        let issued = self.0.issue(&names, purpose, until).map_err(failed)?;
        Ok((issued.certificate, issued.key.to_string()))
    }
}

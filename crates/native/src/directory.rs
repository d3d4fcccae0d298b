//! Records of nodes in Python: made by a node's key, and read from the accounts that keep them.
//!
//! *Invariants:* a record whose signature, chain or limits are wrong is never returned.

use crate::ledger::{location_of, value_error};
use crate::signing_key::SigningKey;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustorium_crypto::directory::{holds, sign_record};
use rustorium_types::{
    BoundedBytes, BoundedVec, ChainId, DIRECTORY_KEY, DIRECTORY_VERSION, GeoLocation, Hash, NODE_URL_BYTES_MAX,
    NodeRecord, NodeRecords, SignedNodeRecord, decode, encode,
};

const RECORD_BYTES_MAX: usize = 512;
const VALUE_BYTES_MAX: usize = 8 * RECORD_BYTES_MAX;

/// Node key (hex digits), region's byte, latitude and longitude in degrees, URL, and the times at which it was made and ends,
/// Unix ms.
type Fields = (String, u8, Option<(f64, f64)>, String, u64, u64);

/// Returns a record that a node's key signs. `place`: latitude and longitude, degrees. Errors: ValueError.
#[pyfunction]
fn node_record<'py>(
    py: Python<'py>,
    key: &SigningKey,
    chain: &str,
    region: u8,
    place: Option<(f64, f64)>,
    url: &str,
    times_ms: (u64, u64),
) -> PyResult<Bound<'py, PyBytes>> {
    let (made_ms, until_ms) = times_ms;
    let too_long = |_| value_error(format!("the URL is longer than {NODE_URL_BYTES_MAX} bytes: give a shorter one"));
    let record = NodeRecord {
        chain: ChainId::from_hex(chain).map_err(value_error)?,
        node_key: key.shared().public(),
        region,
        place: place.map(location_of).transpose()?,
        url: BoundedBytes::new(url.as_bytes().to_vec()).map_err(too_long)?,
        made_ms,
        until_ms,
    };
    if !record.is_sound() {
        return Err(value_error("a record lasts at most 90 days, and its URL has only printable ASCII and no spaces"));
    }
    Ok(PyBytes::new(py, &encode(&sign_record(&key.shared(), record))))
}

/// Returns the value that an account keeps for these records. Errors: ValueError.
#[pyfunction]
fn node_records<'py>(py: Python<'py>, records: Vec<Vec<u8>>) -> PyResult<Bound<'py, PyBytes>> {
    let read = |bytes: &Vec<u8>| decode::<SignedNodeRecord>(bytes, RECORD_BYTES_MAX).map_err(value_error);
    let records = records.iter().map(read).collect::<PyResult<Vec<_>>>()?;
    let records = BoundedVec::new(records).map_err(value_error)?;
    Ok(PyBytes::new(py, &encode(&NodeRecords { version: DIRECTORY_VERSION, records })))
}

/// Returns the key under which an account keeps records.
#[pyfunction]
fn directory_key(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, DIRECTORY_KEY)
}

/// Returns the records that an account's value has: bytes and fields of each one that its node signed for this chain.
#[pyfunction]
fn read_node_records<'py>(py: Python<'py>, value: &[u8], chain: &str) -> PyResult<Vec<(Bound<'py, PyBytes>, Fields)>> {
    let chain = ChainId::from_hex(chain).map_err(value_error)?;
    let Ok(NodeRecords { version: DIRECTORY_VERSION, records }) = decode(value, VALUE_BYTES_MAX) else {
        return Ok(Vec::new());
    };
    let found = records.iter().filter(|one| holds(one, &chain));
    Ok(found.map(|one| (PyBytes::new(py, &encode(one)), fields(&one.record))).collect())
}

fn fields(record: &NodeRecord) -> Fields {
    let url = String::from_utf8_lossy(record.url.as_slice()).into_owned();
    let place = record.place.as_ref().map(degrees);
    (Hash(record.node_key).to_string(), record.region, place, url, record.made_ms, record.until_ms)
}

#[expect(clippy::float_arithmetic, reason = "degrees for a user; nothing that is signed depends on them")]
fn degrees(place: &GeoLocation) -> (f64, f64) {
    (f64::from(place.latitude_e7) / 1e7, f64::from(place.longitude_e7) / 1e7)
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(node_record, module)?)?;
    module.add_function(wrap_pyfunction!(node_records, module)?)?;
    module.add_function(wrap_pyfunction!(directory_key, module)?)?;
    module.add_function(wrap_pyfunction!(read_node_records, module)?)
}

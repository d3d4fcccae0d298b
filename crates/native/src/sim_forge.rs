//! Messages that a simulated traitor signs, and short descriptions of frames.

use crate::ledger::{key, value_error};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use rustorium_sim::forge::{self, Change, Summary};
use rustorium_types::limits::TRANSACTION_BYTES_MAX;
use rustorium_types::{
    BatchDigest, BlockDigest, ChainId, Epoch, Hash, Header, ShardId, ValidatorIndex, View, VoteBody, VoteKind, decode,
    limits::FRAME_BYTES_MAX,
};

/// Returns the frame of a vote; without a block, of a nullify.
#[pyfunction]
#[pyo3(signature = (seed, signer, chain, epoch, view, kind, block=None, shard=0))]
#[expect(clippy::too_many_arguments, reason = "the parts of a vote, by name on the Python side")]
fn sim_forge_vote<'py>(
    py: Python<'py>,
    seed: &[u8],
    signer: u16,
    chain: &str,
    epoch: u64,
    view: u64,
    kind: u8,
    block: Option<[u8; 32]>,
    shard: u32,
) -> PyResult<Bound<'py, PyBytes>> {
    let kind = match kind {
        0 => VoteKind::Notarize,
        1 => VoteKind::Nullify,
        2 => VoteKind::Finalize,
        other => return Err(value_error(format!("there is no vote kind {other}"))),
    };
    let body = VoteBody {
        chain: ChainId::from_hex(chain).map_err(value_error)?,
        shard: ShardId(shard),
        epoch: Epoch(epoch),
        view: View(view),
        kind,
        block: BlockDigest(block.unwrap_or_default()),
    };
    Ok(PyBytes::new(py, &forge::vote(&key(seed)?, ValidatorIndex(signer), body)))
}

/// Returns the frame of another proposal of the same view by the same leader.
#[pyfunction]
#[pyo3(signature = (seed, frame, *, later_ms=0, empty_on=None, result_root=None, state_root=None, ends_epoch=None))]
#[expect(clippy::too_many_arguments, reason = "what a forged proposal changes, by name on the Python side")]
fn sim_forge_proposal<'py>(
    py: Python<'py>,
    seed: &[u8],
    frame: &[u8],
    later_ms: u64,
    empty_on: Option<&[u8]>,
    result_root: Option<[u8; 32]>,
    state_root: Option<[u8; 32]>,
    ends_epoch: Option<bool>,
) -> PyResult<Bound<'py, PyBytes>> {
    let header = |bytes| decode::<Header>(bytes, FRAME_BYTES_MAX).map_err(value_error);
    let change = Change {
        later_ms,
        empty_on: empty_on.map(header).transpose()?,
        result_root: result_root.map(Hash),
        state_root: state_root.map(Hash),
        ends_epoch,
    };
    Ok(PyBytes::new(py, &forge::proposal(&key(seed)?, frame, change).map_err(value_error)?))
}

/// Returns the frame of a batch.
#[pyfunction]
#[pyo3(signature = (seed, author, chain, epoch, seq, previous, transactions, shard=0))]
#[expect(clippy::too_many_arguments, reason = "the parts of a batch, by name on the Python side")]
fn sim_forge_batch<'py>(
    py: Python<'py>,
    seed: &[u8],
    author: u16,
    chain: &str,
    epoch: u64,
    seq: u64,
    previous: [u8; 32],
    transactions: Vec<Vec<u8>>,
    shard: u32,
) -> PyResult<Bound<'py, PyBytes>> {
    let decoded = transactions.iter().map(|bytes| decode(bytes, TRANSACTION_BYTES_MAX).map_err(value_error));
    let (key, chain) = (key(seed)?, ChainId::from_hex(chain).map_err(value_error)?);
    let place = (seq, BatchDigest(previous));
    let transactions = decoded.collect::<PyResult<Vec<_>>>()?;
    let frame = forge::batch(&key, (chain, ShardId(shard), Epoch(epoch)), ValidatorIndex(author), place, transactions);
    Ok(PyBytes::new(py, &frame.map_err(value_error)?))
}

/// Describes a frame: `message` and, if it has them, epoch, view, kind, block, signer, batch, seq, ends_epoch.
#[pyfunction]
fn sim_read_frame<'py>(py: Python<'py>, frame: &[u8]) -> PyResult<Bound<'py, PyDict>> {
    let Summary { message, epoch, view, kind, block, signer, batch, seq, ends_epoch } =
        forge::read(frame).map_err(value_error)?;
    let said = PyDict::new(py);
    said.set_item("message", message)?;
    said.set_item("epoch", epoch.map(|epoch| epoch.0))?;
    said.set_item("view", view.map(|view| view.0))?;
    said.set_item("kind", kind.map(|kind| kind as u8))?;
    said.set_item("block", block.map(|block| PyBytes::new(py, &block.0)))?;
    said.set_item("signer", signer.map(|signer| signer.0))?;
    said.set_item("batch", batch.map(|batch| PyBytes::new(py, &batch.0)))?;
    said.set_item("seq", seq)?;
    said.set_item("ends_epoch", ends_epoch)?;
    Ok(said)
}

/// Returns the signature work of this thread since it began: made, checked alone, equations, signatures in those.
#[pyfunction]
fn sim_signature_work() -> (u64, u64, u64, u64) {
    let work = rustorium_crypto::work_done();
    (work.signed, work.singles, work.groups, work.grouped)
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(sim_forge_vote, module)?)?;
    module.add_function(wrap_pyfunction!(sim_forge_proposal, module)?)?;
    module.add_function(wrap_pyfunction!(sim_forge_batch, module)?)?;
    module.add_function(wrap_pyfunction!(sim_read_frame, module)?)?;
    module.add_function(wrap_pyfunction!(sim_signature_work, module)?)?;
    Ok(())
}

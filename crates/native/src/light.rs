//! The light client's state in Python: it checks proofs, follows committees, and never trusts data that came with them.

use crate::errors::{detached, native_error};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustorium_api::json::{FactsView, HeaderView, SignersView, SubjectViews};
use rustorium_crypto::{account_id, block_digest, chain_id};
use rustorium_execution::{Light as State, ProofRefused, Trust, genesis as genesis_of, header_of};
use rustorium_types::limits::GENESIS_BYTES_MAX;
use rustorium_types::{
    Block, BlockDigest, BlockProof, Epoch, EpochTransition, Genesis, Hash, Header, HeaderProof, PROOF_BYTES_MAX, Proof,
    ReadProof, ReceiptProof, ShardId, Subject, Transaction, TransactionProof, Validator, ValidatorIndex, decode,
    encode,
};
use std::sync::{Mutex, PoisonError};

/// A light client's state.
#[pyclass(frozen, module = "rustorium._native")]
pub struct Light {
    state: Mutex<State>,
}

fn refused(error: &ProofRefused) -> PyErr {
    native_error(error.code(), format!("the proof is refused: {error}"))
}

fn malformed(error: impl std::fmt::Display) -> PyErr {
    native_error("proof-refused", format!("the proof is refused: {error}"))
}

/// Decodes a genesis. Errors: NativeError.
pub(crate) fn usable_genesis(bytes: &[u8]) -> PyResult<Genesis> {
    decode(bytes, GENESIS_BYTES_MAX)
        .map_err(|error| native_error("genesis-invalid", format!("the genesis is not usable: {error}")))
}

fn proof_of(bytes: &[u8]) -> PyResult<Proof> {
    decode(bytes, PROOF_BYTES_MAX).map_err(malformed)
}

impl Light {
    fn with<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut State) -> T + Send) -> PyResult<T> {
        detached(py, || work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner)))
    }

    fn facts(&self, py: Python<'_>, proof: &Proof, now_ms: u64) -> PyResult<String> {
        let checked = self.with(py, |state| (state.newest().chain, state.check(proof, now_ms)))?;
        let (chain, shown) = checked;
        let shown = shown.map_err(|error| refused(&error))?;
        let facts = FactsView::new(chain, proof, &shown).map_err(malformed)?;
        serde_json::to_string(&facts).map_err(malformed)
    }
}

#[pymethods]
impl Light {
    /// Creates a state of one of the chain's shards from a genesis (canonical bytes). Errors: NativeError.
    #[staticmethod]
    #[pyo3(signature = (genesis, trust_period_ms=None, shard=0))]
    fn from_genesis(py: Python<'_>, genesis: &[u8], trust_period_ms: Option<u64>, shard: u32) -> PyResult<Self> {
        let (genesis, shard) = (usable_genesis(genesis)?, ShardId(shard));
        if !genesis.has_shard(shard) {
            let count = genesis.shard_ids().count();
            return Err(native_error(
                "unknown-shard",
                format!("the chain has the shards 0 to {}, not {shard}", count - 1),
            ));
        }
        let trust = detached(py, || Trust::of_shard(&genesis, shard))?;
        Ok(Self { state: Mutex::new(State::new(trust, trust_period_ms)) })
    }

    /// Creates a state from a checkpoint, which its owner vouches for.
    #[staticmethod]
    #[pyo3(signature = (checkpoint, trust_period_ms=None))]
    fn from_checkpoint(checkpoint: &[u8], trust_period_ms: Option<u64>) -> PyResult<Self> {
        let trust = Trust::from_checkpoint(checkpoint)
            .map_err(|error| native_error("checkpoint-invalid", format!("the checkpoint is not usable: {error}")))?;
        Ok(Self { state: Mutex::new(State::new(trust, trust_period_ms)) })
    }

    /// Creates a state from the result of `to_bytes`, which its owner vouches for.
    #[staticmethod]
    #[pyo3(signature = (state, trust_period_ms=None))]
    fn from_bytes(state: &[u8], trust_period_ms: Option<u64>) -> PyResult<Self> {
        let state = State::from_bytes(state, trust_period_ms)
            .map_err(|error| native_error("trust-file-invalid", format!("the trust file is not usable: {error}")))?;
        Ok(Self { state: Mutex::new(state) })
    }

    /// Encodes the state, to continue from it in another process.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.with(py, |state| state.to_bytes())?))
    }

    /// Returns the newest trusted committee, as a start for a later time.
    fn checkpoint<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.with(py, |state| state.newest().to_checkpoint())?))
    }

    /// Returns the newest trusted committee as JSON: chain, shard, epoch, the block that it follows, the length of its epoch
    /// if that is known, and from version 2 on the protocol version and the hashes of parameters and operators.
    fn describe(&self, py: Python<'_>) -> PyResult<String> {
        let described = self.with(py, |state| {
            let trust = state.newest();
            let mut described = serde_json::json!({
                "chain": trust.chain, "shard": trust.charter.shard, "epoch": trust.epoch, "height": trust.height, "digest": trust.digest,
                "time_ms": trust.time_ms, "validator_set": trust.validator_set, "validators": trust.validators.len(),
            });
            if let Some(epoch_ms) = trust.epoch_ms {
                described["epoch_ms"] = epoch_ms.into();
            }
            if trust.has_term() {
                described["protocol_version"] = trust.version.into();
                described["parameters"] = trust.parameters.to_string().into();
                described["operators"] = trust.operators.to_string().into();
            }
            described
        });
        Ok(described?.to_string())
    }

    /// Returns of each member of the newest trusted committee its name, its node key (hex digits), and the address of its
    /// owner's account.
    fn members(&self, py: Python<'_>) -> PyResult<Vec<(String, String, String)>> {
        self.with(py, |state| {
            let member = |one: &Validator| {
                let owner = account_id(one.region, &one.owner_key).to_string();
                (String::from_utf8_lossy(one.name.as_slice()).into_owned(), Hash(one.node_key).to_string(), owner)
            };
            state.newest().validators.iter().map(member).collect()
        })
    }

    /// Checks that the newest committee's keys still count. Errors: NativeError.
    fn check_trust(&self, py: Python<'_>, now_ms: u64) -> PyResult<()> {
        self.with(py, |state| state.check_trust(now_ms))?.map_err(|error| refused(&error))
    }

    /// Returns the signed last block of the epoch of a proof's header (both canonical bytes of `Proof`); None if it
    /// isn't kept.
    fn signed_end<'py>(&self, py: Python<'py>, proof: &[u8]) -> PyResult<Option<Bound<'py, PyBytes>>> {
        let epoch = header_of(&proof_of(proof)?).epoch;
        let signed = self.with(py, |state| state.signed_end(epoch).cloned())?;
        Ok(signed.map(|end| PyBytes::new(py, &encode(&Proof::Block(Box::new(end))))))
    }

    /// Returns height and digest of an epoch's last block; None if the epoch is not over, or its end isn't known.
    fn end_of(&self, py: Python<'_>, epoch: u64) -> PyResult<Option<(u64, String)>> {
        let end = self.with(py, |state| state.end_of(Epoch(epoch)))?;
        Ok(end.map(|end| (end.height.0, end.digest.to_string())))
    }

    /// Checks that two proofs of blocks (canonical bytes of `Proof`) are of headers that one committee made final,
    /// though only one can be. Returns the epoch and the validators that signed both, as JSON. Errors: NativeError.
    fn check_conflict(&self, py: Python<'_>, first: &[u8], second: &[u8]) -> PyResult<String> {
        let (first, second) = (header_proof_of(&proof_of(first)?), header_proof_of(&proof_of(second)?));
        let both = self.with(py, |state| state.check_conflict(&first, &second))?.map_err(|error| refused(&error))?;
        let signer = |(place, validator): &(ValidatorIndex, Validator)| {
            serde_json::json!({
                "index": place.0,
                "name": String::from_utf8_lossy(validator.name.as_slice()),
                "validator_key": hex::encode(validator.validator_key),
            })
        };
        let signers: Vec<serde_json::Value> = both.iter().map(signer).collect();
        let (one, other) = (HeaderView::from(&first.header), HeaderView::from(&second.header));
        Ok(serde_json::json!({ "epoch": first.header.epoch, "signed_both": signers, "headers": [one, other] })
            .to_string())
    }

    /// Returns the epochs between which changes are needed to check a proof: from the newest known epoch up to the
    /// proof's. None if the proof's committee is known, or its epoch is before everything that is trusted. Errors:
    /// NativeError if the proof is of another shard.
    fn missing(&self, py: Python<'_>, proof: &[u8]) -> PyResult<Option<(u64, u64)>> {
        let proof = proof_of(proof)?;
        let missing = self.with(py, |state| state.missing(header_of(&proof)))?.map_err(|error| refused(&error))?;
        Ok(missing.map(|(first, end)| (first.0, end.0)))
    }

    /// Tells if an epoch's committee is known.
    fn knows(&self, py: Python<'_>, epoch: u64) -> PyResult<bool> {
        self.with(py, |state| state.known_up_to(Epoch(epoch)) == Some(Epoch(epoch)))
    }

    /// Follows an epoch change (canonical bytes). Returns the next epoch. Errors: NativeError; then nothing has
    /// changed.
    fn follow(&self, py: Python<'_>, change: &[u8], now_ms: u64) -> PyResult<u64> {
        let change: EpochTransition = decode(change, PROOF_BYTES_MAX).map_err(malformed)?;
        self.with(py, |state| state.follow(&change, now_ms))?.map(|epoch| epoch.0).map_err(|error| refused(&error))
    }

    /// Checks a proof (canonical bytes of `Proof`). Returns its results as JSON. With `anew`, checks the certificate
    /// even if its header is known. Errors: NativeError.
    #[pyo3(signature = (proof, now_ms, anew=false))]
    fn check(&self, py: Python<'_>, proof: &[u8], now_ms: u64, anew: bool) -> PyResult<String> {
        if anew {
            self.with(py, State::forget_checked)?;
        }
        self.facts(py, &proof_of(proof)?, now_ms)
    }

    /// Returns the validators whose signatures made a header final (hex digits of its digest), as JSON; None if the header
    /// isn't among those checked last, or is the trusted block itself.
    fn signers(&self, py: Python<'_>, digest: &str) -> PyResult<Option<String>> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(digest, &mut bytes).map_err(malformed)?;
        let signers = self.with(py, |state| state.signers(BlockDigest(bytes)))?;
        signers.map(|found| serde_json::to_string(&SignersView::from(found)).map_err(malformed)).transpose()
    }

    /// Checks that a block (canonical bytes) is final. Returns its header and digest as JSON. Errors: NativeError.
    fn check_block(&self, py: Python<'_>, block: &[u8], proof: &[u8], now_ms: u64) -> PyResult<(String, String)> {
        let header = block_of(block)?.header;
        let proof: BlockProof = decode(proof, PROOF_BYTES_MAX).map_err(malformed)?;
        let checked = self.with(py, |state| state.check_final(&header, &proof, now_ms))?;
        let digest: BlockDigest = checked.map_err(|error| refused(&error))?;
        let header = serde_json::to_string(&HeaderView::from(&header)).map_err(malformed)?;
        Ok((header, digest.to_string()))
    }
}

fn header_proof_of(proof: &Proof) -> HeaderProof {
    let of = |header: &Header, proof: &BlockProof| HeaderProof { header: header.clone(), proof: proof.clone() };
    match proof {
        Proof::Read(read) => of(&read.header, &read.proof),
        Proof::Receipt(receipt) => of(&receipt.header, &receipt.proof),
        Proof::Transaction(transaction) => of(&transaction.receipt.header, &transaction.receipt.proof),
        Proof::Block(block) => HeaderProof::clone(block),
    }
}

/// Returns the part of a proof (canonical bytes of `Proof`) that proves its header final, as a block's proof.
#[pyfunction]
pub fn signed_header<'py>(py: Python<'py>, proof: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let header = header_proof_of(&proof_of(proof)?);
    Ok(PyBytes::new(py, &encode(&Proof::Block(Box::new(header)))))
}

/// Returns the protocol version of the header that a proof (canonical bytes of `Proof`) rests on.
#[pyfunction]
pub fn proof_version(proof: &[u8]) -> PyResult<u16> {
    Ok(header_of(&proof_of(proof)?).version)
}

fn block_of(raw: &[u8]) -> PyResult<Block> {
    decode(raw, PROOF_BYTES_MAX).map_err(malformed)
}

/// Wraps one of these into canonical bytes of `Proof`: a read, a receipt, a block with its proof, or a transaction with
/// its receipt's proof.
#[pyfunction]
#[pyo3(signature = (kind, part, proof=None))]
pub fn wrap_proof<'py>(
    py: Python<'py>,
    kind: &str,
    part: &[u8],
    proof: Option<&[u8]>,
) -> PyResult<Bound<'py, PyBytes>> {
    fn read<T: borsh::BorshDeserialize>(bytes: &[u8]) -> PyResult<T> {
        decode(bytes, PROOF_BYTES_MAX).map_err(malformed)
    }
    let wrapped = match (kind, proof) {
        ("read", None) => Proof::Read(Box::new(read::<ReadProof>(part)?)),
        ("receipt", None) => Proof::Receipt(Box::new(read::<ReceiptProof>(part)?)),
        ("transaction", Some(receipt)) => Proof::Transaction(Box::new(TransactionProof {
            transaction: read::<Transaction>(part)?,
            receipt: read(receipt)?,
        })),
        ("block", Some(proof)) => {
            Proof::Block(Box::new(HeaderProof { header: block_of(part)?.header, proof: read(proof)? }))
        }
        _ => return Err(malformed("there is no such kind of proof, or a part of it is missing")),
    };
    Ok(PyBytes::new(py, &encode(&wrapped)))
}

/// Returns the number of the epoch that a change (canonical bytes) ended, and height and digest of its last block.
#[pyfunction]
pub fn describe_change(change: &[u8]) -> PyResult<(u64, u64, String)> {
    let change: EpochTransition = decode(change, PROOF_BYTES_MAX).map_err(malformed)?;
    let boundary = change.boundary();
    Ok((boundary.epoch.0, boundary.height.0, block_digest(boundary).to_string()))
}

/// Returns the proof of an epoch's last block (canonical bytes of `Proof`) from a change.
#[pyfunction]
pub fn boundary_of<'py>(py: Python<'py>, change: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let change: EpochTransition = decode(change, PROOF_BYTES_MAX).map_err(malformed)?;
    let (header, proof) = change.into_boundary();
    Ok(PyBytes::new(py, &encode(&Proof::Block(Box::new(HeaderProof { header, proof })))))
}

/// Returns the values of subjects (a JSON list in the API's form) at height 0 of a genesis (canonical bytes), as JSON.
/// They need no certified root. Errors: NativeError.
#[pyfunction]
#[pyo3(signature = (genesis, items_json, shard=0))]
pub fn genesis_state(py: Python<'_>, genesis: &[u8], items_json: &str, shard: u32) -> PyResult<String> {
    detached(py, || {
        let genesis: Genesis = decode(genesis, GENESIS_BYTES_MAX).map_err(malformed)?;
        let SubjectViews(items) = serde_json::from_str(items_json).map_err(malformed)?;
        let subjects: Result<Vec<Subject>, _> = items.into_iter().map(Subject::try_from).collect();
        let facts = FactsView::of_genesis(
            chain_id(&genesis),
            &genesis_of(&genesis, ShardId(shard)),
            &subjects.map_err(malformed)?,
        );
        serde_json::to_string(&facts.map_err(malformed)?).map_err(malformed)
    })?
}

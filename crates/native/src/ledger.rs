//! Ids, keys, signing, genesis and proofs for Python.

use crate::errors::{detached, native_error};
use crate::unsigned::UnsignedTransaction;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustorium_api::genesis_file;
use rustorium_api::json::{HeaderView, OperationView, PossessionView, ReceiptView, TransactionView};
use rustorium_crypto::keystore::{self, KeystoreError, Origin, ResealOutcome};
use rustorium_crypto::{SigningKey, hash, is_small_order, sign};
use rustorium_execution::{ASSUMED_BYTES, planned_work};
use rustorium_types::limits::{GENESIS_BYTES_MAX, TRANSACTION_BYTES_MAX, VALUE_BYTES_MAX};
use rustorium_types::{
    AccountId, Block, BlockProof, BoundedVec, ChainId, Genesis, GeoLocation, Hash, Operation, OwnerPossessionBody,
    Possession, PossessionBody, PublicKey, ReceiptProof, Rules, TRANSACTION_VERSION, Transaction, Transaction1,
    TransactionBody, decode, encode,
};
use std::path::Path;

/// Largest number of bytes of a proof that is decoded.
const PROOF_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(crate) fn value_error(error: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(error.to_string())
}

pub(crate) fn key(seed: &[u8]) -> PyResult<SigningKey> {
    let seed: [u8; 32] = seed.try_into().map_err(|_| value_error("a key's seed is 32 bytes"))?;
    Ok(SigningKey::from_seed(&seed))
}

pub(crate) fn genesis_of(raw: &[u8]) -> PyResult<Genesis> {
    decode(raw, GENESIS_BYTES_MAX).map_err(value_error)
}

#[pyfunction]
fn version() -> &'static str {
    env!("CARGO_PKG_VERSION")
}

#[pyfunction]
fn generate_seed(py: Python<'_>) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &*SigningKey::generate().to_seed())
}

#[pyfunction]
fn public_key<'py>(py: Python<'py>, seed: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &key(seed)?.public()))
}

#[pyfunction]
fn account_id(region: u8, public_key: [u8; 32]) -> String {
    hash::account_id(region, &public_key).to_string()
}

#[pyfunction]
fn parse_address<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &AccountId::parse(text).map_err(value_error)?.0))
}

#[pyfunction]
fn format_address(raw: [u8; 32]) -> String {
    AccountId(raw).to_string()
}

#[pyfunction]
fn asset_id(issuer: &str, symbol: &str) -> PyResult<String> {
    Ok(hash::asset_id(&AccountId::parse(issuer).map_err(value_error)?, symbol.as_bytes()).to_string())
}

#[pyfunction]
fn value_hash<'py>(py: Python<'py>, value: &[u8]) -> Bound<'py, PyBytes> {
    PyBytes::new(py, &hash::value_hash(value).0)
}

pub fn keystore_error(error: KeystoreError) -> PyErr {
    let code = match &error {
        KeystoreError::Missing(_) => "key-missing",
        KeystoreError::Exists(_) => "key-exists",
        KeystoreError::WrongPassphrase(_) | KeystoreError::EmptyPassphrase => "wrong-passphrase",
        KeystoreError::Permissions { .. } => "key-permissions",
        KeystoreError::OtherKind { .. } => "key-kind",
        KeystoreError::Replacing { .. } => "rotation-running",
        _ => "key-invalid",
    };
    native_error(code, error.to_string())
}

/// Converts Python's description of a passphrase's origin.
pub fn origin(random_passphrase: bool) -> Origin {
    if random_passphrase { Origin::Random } else { Origin::Chosen }
}

#[pyfunction]
#[pyo3(signature = (path, seed, kind, passphrase, random_passphrase = false))]
fn seal_key(
    py: Python<'_>,
    path: &str,
    seed: &[u8],
    kind: &str,
    passphrase: &[u8],
    random_passphrase: bool,
) -> PyResult<()> {
    let (public, origin) = (key(seed)?.public(), origin(random_passphrase));
    detached(py, || keystore::seal_with_public(Path::new(path), seed, kind, Some(&public), passphrase, origin))?
        .map_err(keystore_error)
}

/// Seals a secret other than a signing key's seed.
#[pyfunction]
fn seal_secret(py: Python<'_>, path: &str, secret: &[u8], kind: &str, passphrase: &[u8]) -> PyResult<()> {
    detached(py, || keystore::seal(Path::new(path), secret, kind, passphrase))?.map_err(keystore_error)
}

#[pyfunction]
fn open_key<'py>(py: Python<'py>, path: &str, kind: &str, passphrase: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let secret = detached(py, || keystore::open(Path::new(path), kind, passphrase))?.map_err(keystore_error)?;
    Ok(PyBytes::new(py, &secret))
}

/// Tells if this passphrase opens a key file of any kind.
#[pyfunction]
fn key_opens(py: Python<'_>, path: &str, passphrase: &[u8]) -> PyResult<bool> {
    detached(py, || keystore::opens(Path::new(path), passphrase))?.map_err(keystore_error)
}

/// Seals a key file of any kind under another passphrase; false if it was already sealed under it.
#[pyfunction]
#[pyo3(signature = (path, old, new, random_passphrase = false))]
fn reseal_key(py: Python<'_>, path: &str, old: &[u8], new: &[u8], random_passphrase: bool) -> PyResult<bool> {
    let resealed = detached(py, || keystore::reseal(Path::new(path), old, new, origin(random_passphrase)))?;
    Ok(resealed.map_err(keystore_error)? == ResealOutcome::Now)
}

/// Removes a key or passphrase file, and overwrites its contents.
#[pyfunction]
fn destroy_file(py: Python<'_>, path: &str) -> PyResult<()> {
    detached(py, || keystore::destroy(Path::new(path)))?.map_err(keystore_error)
}

pub(crate) fn views_of(json: &str) -> PyResult<Vec<OperationView>> {
    serde_json::from_str(json).map_err(value_error)
}

fn operations_of(json: &str) -> PyResult<Vec<Operation>> {
    views_of(json)?.into_iter().map(|view| Operation::try_from(view).map_err(value_error)).collect()
}

/// Refuses keys under which anybody can sign, on chains of any version.
pub(crate) fn refuse_small_keys<'a>(mut keys: impl Iterator<Item = &'a PublicKey>) -> PyResult<()> {
    match keys.find(|key| is_small_order(key)) {
        None => Ok(()),
        Some(key) => Err(value_error(format!(
            "the key {} is of small order: anybody can sign under it. Ask its owner for a key that `keys new` made",
            Hash(*key)
        ))),
    }
}

pub(crate) fn location_of(degrees: (f64, f64)) -> PyResult<GeoLocation> {
    let (latitude, longitude) = degrees;
    let in_range = (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude);
    if !in_range {
        return Err(value_error("a location is a latitude of −90 to 90 and a longitude of −180 to 180 degrees"));
    }
    Ok(GeoLocation { latitude_e7: degrees_e7(latitude), longitude_e7: degrees_e7(longitude) })
}

#[expect(clippy::float_arithmetic, reason = "a user's degrees become integers here, before anything is signed")]
fn degrees_e7(degrees: f64) -> i32 {
    (degrees * 1e7).round() as i32
}

/// Returns signatures of a validator's and a node's key, by their seeds, that they belong to this owner on this chain
/// (R46), as JSON.
#[pyfunction]
fn prove_possession(validator_seed: &[u8], node_seed: &[u8], chain: &str, owner_key: &str) -> PyResult<String> {
    let (validator, node) = (key(validator_seed)?, key(node_seed)?);
    let body = PossessionBody {
        chain: ChainId::from_hex(chain).map_err(value_error)?,
        owner_key: Hash::from_hex(owner_key).map_err(value_error)?.0,
        validator_key: validator.public(),
        node_key: node.public(),
    };
    let signed = hash::signed_bytes(hash::domain::POSSESSION, &body);
    let possession = Possession { validator: validator.sign(&signed), node: node.sign(&signed) };
    serde_json::to_string(&PossessionView::from(&possession)).map_err(value_error)
}

/// Returns a new owner's signature, by its seed, that somebody holds the key and wants it for this validator of this chain
/// (R46), as hex digits.
#[pyfunction]
fn prove_owner(seed: &[u8], chain: &str, validator_key: &str, owner_key: &str) -> PyResult<String> {
    let (new, public) = (key(seed)?, |text: &str| Hash::from_hex(text).map(|hash| hash.0).map_err(value_error));
    let body = OwnerPossessionBody {
        chain: ChainId::from_hex(chain).map_err(value_error)?,
        validator_key: public(validator_key)?,
        owner_key: public(owner_key)?,
        new_owner_key: new.public(),
    };
    Ok(hex::encode(new.sign(&hash::signed_bytes(hash::domain::OWNER_POSSESSION, &body))))
}

/// Checks that both keys (hex) signed that they are this owner's on this chain, by what [`prove_possession`] gave.
#[pyfunction]
fn possession_holds(
    validator_key: &str,
    node_key: &str,
    chain: &str,
    owner_key: &str,
    possession_json: &str,
) -> PyResult<bool> {
    let public = |text: &str| Hash::from_hex(text).map(|hash| hash.0).map_err(value_error);
    let view: PossessionView = serde_json::from_str(possession_json).map_err(value_error)?;
    let possession = Possession::from(view);
    let body = PossessionBody {
        chain: ChainId::from_hex(chain).map_err(value_error)?,
        owner_key: public(owner_key)?,
        validator_key: public(validator_key)?,
        node_key: public(node_key)?,
    };
    let signed = hash::signed_bytes(hash::domain::POSSESSION, &body);
    Ok(sign::verify(&body.validator_key, &signed, &possession.validator)
        && sign::verify(&body.node_key, &signed, &possession.node))
}

/// Signs a transaction. Returns its id and canonical bytes. Without a work limit, the limit suffices if no value that the
/// transaction reads has more than 4 KiB, at the prices of the epoch's `version` or of all versions; the largest number
/// stands for a limit that always suffices. `second`: it has the form of version 2, if that form has all its operations.
#[pyfunction]
#[pyo3(signature = (
    seed, chain, region, nonce, expires_at_ms, work_limit, operations_json, location=None, version=None, second=false
))]
#[expect(clippy::too_many_arguments, reason = "the parts of a transaction, by name on the Python side")]
fn build_transaction<'py>(
    py: Python<'py>,
    seed: &[u8],
    chain: &str,
    region: u8,
    nonce: u64,
    expires_at_ms: u64,
    work_limit: Option<u64>,
    operations_json: &str,
    location: Option<(f64, f64)>,
    version: Option<u16>,
    second: bool,
) -> PyResult<(String, Bound<'py, PyBytes>)> {
    let key = key(seed)?;
    let draft = Draft { chain, region, nonce, expires_at_ms, work_limit, version, operations_json };
    if second && let Some(unsigned) = UnsignedTransaction::alone(&draft, key.public(), location)? {
        let signature = key.sign_body2(&unsigned.chain(), unsigned.body());
        return unsigned.signed_alone(py, signature);
    }
    let body = draft.body(key.public(), location)?;
    let signature = key.sign(&hash::signed_bytes(hash::domain::TRANSACTION, &body));
    finished(py, Transaction1 { body, signature })
}

/// The parts of a transaction, as Python passes them.
pub(crate) struct Draft<'a> {
    pub(crate) chain: &'a str,
    pub(crate) region: u8,
    pub(crate) nonce: u64,
    pub(crate) expires_at_ms: u64,
    pub(crate) work_limit: Option<u64>,
    /// The version of the chain's epoch, if it is known.
    pub(crate) version: Option<u16>,
    pub(crate) operations_json: &'a str,
}

impl Draft<'_> {
    /// Returns the body that the key signs. Errors: the parts make no transaction.
    pub(crate) fn body(self, public_key: PublicKey, location: Option<(f64, f64)>) -> PyResult<TransactionBody> {
        let mut body = TransactionBody {
            version: TRANSACTION_VERSION,
            chain: ChainId::from_hex(self.chain).map_err(value_error)?,
            sender: hash::account_id(self.region, &public_key),
            public_key,
            nonce: self.nonce,
            expires_at_ms: self.expires_at_ms,
            work_limit: 0,
            shard_hint: None,
            location: location.map(location_of).transpose()?,
            data: BoundedVec::new(operations_of(self.operations_json)?).map_err(value_error)?,
        };
        refuse_small_keys(body.data.iter().flat_map(Operation::new_keys))?;
        body.work_limit = match self.work_limit {
            None => enough_work(&body, ASSUMED_BYTES, self.version.and_then(Rules::of)),
            Some(u64::MAX) => enough_work(&body, VALUE_BYTES_MAX as u64, None),
            Some(limit) => limit,
        };
        Ok(body)
    }
}

/// Returns a work limit that suffices if no value of unknown length has more bytes: under these rules, or under those of
/// all versions.
pub(crate) fn enough_work(body: &TransactionBody, unknown: u64, rules: Option<Rules>) -> u64 {
    let of = |rules| planned_work(rules, body, unknown);
    rules.map_or_else(|| of(Rules::V1).max(of(Rules::V2)), of)
}

/// Returns the id and the canonical bytes of a signed transaction. Errors: it is too large.
pub(crate) fn finished(py: Python<'_>, transaction: Transaction1) -> PyResult<(String, Bound<'_, PyBytes>)> {
    let (id, bytes) = (hash::transaction_id(&transaction.body), encode(&transaction));
    if bytes.len() > TRANSACTION_BYTES_MAX {
        return Err(too_large(bytes.len()));
    }
    Ok((id.to_string(), PyBytes::new(py, &bytes)))
}

/// Returns the error for a transaction of so many bytes.
pub(crate) fn too_large(bytes: usize) -> PyErr {
    value_error(format!("the transaction has {bytes} bytes and may have {TRANSACTION_BYTES_MAX}"))
}

#[pyfunction]
fn describe_transaction(raw: &[u8]) -> PyResult<String> {
    let transaction: Transaction = decode(raw, TRANSACTION_BYTES_MAX).map_err(value_error)?;
    serde_json::to_string(&TransactionView::from(&transaction)).map_err(value_error)
}

#[pyfunction]
fn genesis_encode<'py>(py: Python<'py>, genesis_json: &str) -> PyResult<Bound<'py, PyBytes>> {
    Ok(PyBytes::new(py, &encode(&genesis_file::from_json(genesis_json).map_err(value_error)?)))
}

#[pyfunction]
fn genesis_describe(raw: &[u8]) -> PyResult<String> {
    Ok(genesis_file::to_json(&genesis_of(raw)?))
}

#[pyfunction]
fn genesis_hash(raw: &[u8]) -> PyResult<String> {
    Ok(hash::chain_id(&genesis_of(raw)?).to_string())
}

fn refused(error: impl std::fmt::Display) -> PyErr {
    native_error("proof-refused", format!("the proof is refused: {error}"))
}

/// Checks a receipt's proof against the genesis alone. Returns the receipt as JSON.
#[pyfunction]
fn verify_receipt_proof(py: Python<'_>, genesis: &[u8], proof: &[u8]) -> PyResult<String> {
    let genesis = genesis_of(genesis)?;
    let proof: ReceiptProof = decode(proof, PROOF_BYTES_MAX).map_err(refused)?;
    detached(py, || rustorium_execution::verify_receipt(&genesis, &proof))?.map_err(refused)?;
    serde_json::to_string(&ReceiptView::from(&proof.receipt)).map_err(value_error)
}

fn block_of(raw: &[u8]) -> PyResult<Block> {
    decode(raw, PROOF_BYTES_MAX).map_err(refused)
}

/// Checks the proof that a block (canonical bytes) is final. Returns its header as JSON.
#[pyfunction]
fn verify_block(py: Python<'_>, genesis: &[u8], block: &[u8], proof: &[u8]) -> PyResult<String> {
    let genesis = genesis_of(genesis)?;
    let header = block_of(block)?.header;
    let proof: BlockProof = decode(proof, PROOF_BYTES_MAX).map_err(refused)?;
    detached(py, || rustorium_execution::verify_block(&genesis, &header, &proof))?.map_err(refused)?;
    serde_json::to_string(&HeaderView::from(&header)).map_err(value_error)
}

/// Returns the digest of a block's header, as hex digits.
#[pyfunction]
fn block_digest(block: &[u8]) -> PyResult<String> {
    Ok(hash::block_digest(&block_of(block)?.header).to_string())
}

/// Returns the payload root of a block's inline transactions and cursors on top of its parent's, as hex digits.
#[pyfunction]
fn payload_root(block: &[u8], parent: &[u8]) -> PyResult<String> {
    Ok(hash::block_payload_root(&block_of(block)?, &block_of(parent)?.header.cursors).to_string())
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(version, module)?)?;
    module.add_function(wrap_pyfunction!(generate_seed, module)?)?;
    module.add_function(wrap_pyfunction!(public_key, module)?)?;
    module.add_function(wrap_pyfunction!(account_id, module)?)?;
    module.add_function(wrap_pyfunction!(parse_address, module)?)?;
    module.add_function(wrap_pyfunction!(format_address, module)?)?;
    module.add_function(wrap_pyfunction!(asset_id, module)?)?;
    module.add_function(wrap_pyfunction!(value_hash, module)?)?;
    module.add_function(wrap_pyfunction!(seal_key, module)?)?;
    module.add_function(wrap_pyfunction!(seal_secret, module)?)?;
    module.add_function(wrap_pyfunction!(open_key, module)?)?;
    module.add_function(wrap_pyfunction!(key_opens, module)?)?;
    module.add_function(wrap_pyfunction!(reseal_key, module)?)?;
    module.add_function(wrap_pyfunction!(destroy_file, module)?)?;
    module.add_function(wrap_pyfunction!(build_transaction, module)?)?;
    module.add_function(wrap_pyfunction!(prove_possession, module)?)?;
    module.add_function(wrap_pyfunction!(possession_holds, module)?)?;
    module.add_function(wrap_pyfunction!(prove_owner, module)?)?;
    module.add_function(wrap_pyfunction!(describe_transaction, module)?)?;
    module.add_function(wrap_pyfunction!(genesis_encode, module)?)?;
    module.add_function(wrap_pyfunction!(genesis_describe, module)?)?;
    module.add_function(wrap_pyfunction!(genesis_hash, module)?)?;
    module.add_function(wrap_pyfunction!(verify_receipt_proof, module)?)?;
    module.add_function(wrap_pyfunction!(verify_block, module)?)?;
    module.add_function(wrap_pyfunction!(block_digest, module)?)?;
    module.add_function(wrap_pyfunction!(payload_root, module)?)?;
    Ok(())
}

//! The signer process and its records, and signatures of accounts whose keys it holds.

use crate::errors::{detached, native_error};
use crate::ledger::{Draft, finished, value_error};
use crate::signing_key::SigningKey;
use crate::unsigned::UnsignedTransaction;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustorium_signer::guard::{Mode, Record};
use rustorium_signer::{
    Answer, Client, ClientError, Guard, Key, RequestSubject, Role, Server, ServerError, Settings, StateError,
    StateFile, TokenKey, TokenUri,
};
use rustorium_types::{ChainId, Hash, PublicKey, Signature, Signature2, Transaction1};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The longest wait for a signature.
const PATIENCE: Duration = Duration::from_secs(20);

fn state_error(error: StateError) -> PyErr {
    native_error(error.code(), error.to_string())
}

fn server_error(error: ServerError) -> PyErr {
    native_error(error.code(), error.to_string())
}

fn client_error(error: ClientError) -> PyErr {
    native_error(error.code(), error.to_string())
}

/// A key that a signer holds: opened from a file, or in a token.
#[pyclass(frozen, module = "rustorium._native")]
pub struct HeldKey {
    /// Taken by the signer.
    key: parking_lot::Mutex<Option<Key>>,
    public: PublicKey,
    role: Role,
}

fn role_of(name: &str) -> PyResult<Role> {
    match name {
        "validator" => Ok(Role::Validator),
        "account" => Ok(Role::Account),
        other => Err(value_error(format!("a key's role is validator or account, not {other}"))),
    }
}

#[pymethods]
impl HeldKey {
    /// Takes an opened key file.
    #[staticmethod]
    fn of_file(key: &SigningKey, role: &str) -> PyResult<Self> {
        let (key, role) = (key.shared(), role_of(role)?);
        Ok(Self { public: key.public(), key: parking_lot::Mutex::new(Some(Key::File(key))), role })
    }

    /// Opens a key in a token, by its `pkcs11:` URI. Errors: NativeError.
    #[staticmethod]
    fn of_token(py: Python<'_>, uri: &str, role: &str) -> PyResult<Self> {
        let role = role_of(role)?;
        let opened = detached(py, || TokenKey::open(TokenUri::parse(uri)?))?;
        let key = opened.map_err(|fault| native_error("signer-token-failed", fault.to_string()))?;
        Ok(Self { public: key.public(), key: parking_lot::Mutex::new(Some(Key::Token(Box::new(key)))), role })
    }

    /// The public key.
    #[getter]
    fn public<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.public)
    }

    fn __repr__(&self) -> &'static str {
        "HeldKey(..)"
    }
}

/// A listening signer.
#[pyclass(frozen, module = "rustorium._native")]
pub struct SignerProcess {
    server: Arc<Server>,
}

#[pymethods]
impl SignerProcess {
    #[new]
    fn new(
        py: Python<'_>,
        socket: PathBuf,
        state: PathBuf,
        chains: Vec<String>,
        users: Vec<u32>,
        keys: Vec<Bound<'_, HeldKey>>,
    ) -> PyResult<Self> {
        let chains: Result<BTreeSet<ChainId>, _> = chains.iter().map(|chain| ChainId::from_hex(chain)).collect();
        let chains = chains.map_err(value_error)?;
        let taken = keys.iter().map(|held| {
            let held = held.get();
            let key = held.key.lock().take();
            key.map(|key| (key, held.role)).ok_or_else(|| native_error("internal", "a key is given to one signer"))
        });
        let keys = taken.collect::<PyResult<Vec<_>>>()?;
        let settings = Settings { socket, state, chains, keys, users: users.into_iter().collect() };
        let server = detached(py, || Server::open(settings))?.map_err(server_error)?;
        Ok(Self { server: Arc::new(server) })
    }

    /// Serves until `stop`.
    fn run(&self, py: Python<'_>) -> PyResult<()> {
        detached(py, || self.server.run())
    }

    /// Ends `run`.
    fn stop(&self) {
        self.server.stop();
    }
}

fn public_key(bytes: &[u8]) -> PyResult<PublicKey> {
    bytes.try_into().map_err(|_| value_error("a public key is 32 bytes"))
}

/// Creates the record of a key that never signed, or, with `adopt`, of one whose node shows what it signed.
#[pyfunction]
fn signer_create(py: Python<'_>, state: &str, key: &[u8], adopt: bool) -> PyResult<()> {
    let (key, records) = (public_key(key)?, [Record::Adopting]);
    let records = if adopt { &records[..] } else { &[] };
    detached(py, || StateFile::create(Path::new(state), &key, records))?.map_err(state_error)
}

/// Makes a record believe the journal that the next node shows.
#[pyfunction]
fn signer_adopt(py: Python<'_>, state: &str, key: &[u8]) -> PyResult<()> {
    let key = public_key(key)?;
    detached(py, || {
        let (mut file, _) = StateFile::open(Path::new(state), &key)?;
        let written = file.append(&[Record::Adopting]);
        written.map_err(|error| StateError::Io { path: PathBuf::from(state), error })
    })?
    .map_err(state_error)
}

/// Returns the contents of a record: JSON.
#[pyfunction]
fn signer_show(py: Python<'_>, state: &str, key: &[u8]) -> PyResult<String> {
    let key = public_key(key)?;
    let records = detached(py, || StateFile::open(Path::new(state), &key))?.map_err(state_error)?.1;
    let guard = Guard::new(key, BTreeSet::new(), records);
    let name = |mode| match mode {
        Mode::Guarding => "guarding",
        Mode::Adopting => "adopting",
        Mode::RolledBack(_) => "rolled-back",
    };
    let mode = name(guard.mode_elsewhere());
    let shards = guard.scopes().map(|(chain, shard, epoch, floor, next_seq)| {
        serde_json::json!({
            "mode": name(guard.mode(chain, shard)), "chain": chain.to_string(), "shard": shard.0, "epoch": epoch.0,
            "settled_view": floor.0, "next_batch": next_seq,
        })
    });
    let shards: Vec<_> = shards.collect();
    Ok(serde_json::json!({ "public_key": Hash(key).to_string(), "mode": mode, "shards": shards }).to_string())
}

/// Requests the signature of a transaction in the form of version 2.
fn signature2(socket: &str, key: PublicKey, unsigned: &UnsignedTransaction) -> Result<Signature, ClientError> {
    let what = RequestSubject::Transaction2 { chain: unsigned.chain(), body: Box::new(unsigned.body().clone()) };
    let socket = Path::new(socket);
    signed(Client::connect_for_accounts(socket, key, PATIENCE)?, socket, what)
}

fn signed(mut client: Client, socket: &Path, what: RequestSubject) -> Result<Signature, ClientError> {
    match client.ask_one(what)? {
        Answer::Signed(signature) => Ok(signature),
        _ => Err(ClientError::Confused(socket.to_owned())),
    }
}

/// Does what `build_transaction` does, through a signer that has the account's key.
#[pyfunction]
#[pyo3(signature = (
    socket, key, chain, region, nonce, expires_at_ms, work_limit, operations_json, version=None, second=false
))]
#[expect(clippy::too_many_arguments, reason = "the parts of a transaction, by name on the Python side")]
fn signer_transaction<'py>(
    py: Python<'py>,
    socket: &str,
    key: &[u8],
    chain: &str,
    region: u8,
    nonce: u64,
    expires_at_ms: u64,
    work_limit: Option<u64>,
    operations_json: &str,
    version: Option<u16>,
    second: bool,
) -> PyResult<(String, Bound<'py, PyBytes>)> {
    let (key, path) = (public_key(key)?, Path::new(socket));
    let draft = Draft { chain, region, nonce, expires_at_ms, work_limit, version, operations_json };
    if second && let Some(unsigned) = UnsignedTransaction::alone(&draft, key, None)? {
        let signature = detached(py, || signature2(socket, key, &unsigned))?.map_err(client_error)?;
        return unsigned.signed_alone(py, Signature2::Ed25519(signature));
    }
    let body = draft.body(key, None)?;
    let what = RequestSubject::Transaction(Box::new(body.clone()));
    let ask = || signed(Client::connect(path, key, PATIENCE)?, path, what);
    let signature = detached(py, ask)?.map_err(client_error)?;
    finished(py, Transaction1 { body, signature })
}

/// Does what `UnsignedTransaction.sign` does, through a signer that has the key. Errors: NativeError.
#[pyfunction]
fn signer_signature<'py>(
    py: Python<'py>,
    socket: &str,
    key: &[u8],
    unsigned: &UnsignedTransaction,
) -> PyResult<Bound<'py, PyBytes>> {
    let key = public_key(key)?;
    let signature = detached(py, || signature2(socket, key, unsigned))?.map_err(client_error)?;
    Ok(PyBytes::new(py, &signature))
}

/// Adds the classes and functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<HeldKey>()?;
    module.add_class::<SignerProcess>()?;
    module.add_function(wrap_pyfunction!(signer_create, module)?)?;
    module.add_function(wrap_pyfunction!(signer_adopt, module)?)?;
    module.add_function(wrap_pyfunction!(signer_show, module)?)?;
    module.add_function(wrap_pyfunction!(signer_signature, module)?)?;
    module.add_function(wrap_pyfunction!(signer_transaction, module)?)?;
    Ok(())
}

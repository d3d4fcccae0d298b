//! Wallets of shielded value in Python: scanning records, proving transfers, and the contents of a wallet's file.
//!
//! A wallet takes records ahead of what it trusts. `settle` keeps them only if tree and digest match those of a proven
//! head.

use crate::errors::{detached, native_error};
use crate::ledger::value_error;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use rustorium_api::json::OperationView;
use rustorium_crypto::{SigningKey, hash};
use rustorium_execution::{PoolHead, PoolRow, shielded_context};
use rustorium_types::limits::{SEALED_BYTES, TRANSFER_PROOF_BYTES};
use rustorium_types::{AccountId, AssetId, ChainId, Hash, Operation, PoolTransfer};
use rustorium_zk::Key;
use rustorium_zk::ceremony::{Relation, encode_proving_key, open_prover};
use rustorium_zk::shielded::error::ShieldedError;
use rustorium_zk::shielded::field::element_bytes;
use rustorium_zk::shielded::keys::{Address, FullViewingKey, IncomingViewingKey, SpendingKey};
use rustorium_zk::shielded::memo::{Memo, Opened, SentNote};
use rustorium_zk::shielded::note::{AssetTag, Pool};
use rustorium_zk::shielded::prove::{DEVNET_VERIFYING_KEY, DEVNET_WARNING, Prover};
use rustorium_zk::shielded::scan::{RECORD_BYTES, Record, ViewingKey, Wallet, WalletChanges};
use rustorium_zk::shielded::store::{open_file, seal_file};
use rustorium_zk::shielded::transfer::{Flow, Payment, Plan, UnprovenTransfer, prepare};
use rustorium_zk::shielded::tree::Tree;
use serde_json::{Value, json};
use std::num::NonZeroU64;
use std::sync::{Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

fn refused(error: ShieldedError) -> PyErr {
    let code = match error {
        ShieldedError::Address(_) => "shielded-address",
        ShieldedError::ViewingKey(_) => "viewing-key",
        ShieldedError::NotEnough { .. } => "not-enough",
        ShieldedError::Scattered { .. } => "scattered",
        ShieldedError::ProvingKey => "other-proving-key",
        _ => "wallet-refused",
    };
    native_error(code, error.to_string())
}

fn other_chain() -> PyErr {
    let sentence = "a node's records don't lead to the pool's proven state: none of them is kept, ask another node";
    native_error("records-refused", sentence)
}

/// Returns 32 bytes of the system's randomness.
fn fresh() -> Zeroizing<[u8; 32]> {
    SigningKey::generate().to_seed()
}

/// A prover of transfers with one proving key. Creating it takes about a second.
#[pyclass(frozen, module = "rustorium._native")]
pub struct ShieldedProver {
    prover: Prover,
    /// The key with which the chain verifies its proofs.
    key: Key,
}

impl ShieldedProver {
    fn new(prover: Prover) -> PyResult<Self> {
        let key = Key::from_bytes(&prover.verifying_key());
        Ok(Self { prover, key: key.map_err(|error| native_error(error.code(), error.to_string()))? })
    }

    /// Returns a proof that holds. A proving key whose parts don't belong together makes proofs that don't.
    fn prove(&self, made: &UnprovenTransfer) -> Result<Vec<u8>, ShieldedError> {
        let proof = self.prover.prove(made, &fresh())?;
        let holds = made.statement.claim(&self.key, &proof).and_then(|claim| claim.verify());
        holds.map(|()| proof).map_err(|_| ShieldedError::ProvingKey)
    }
}

fn internal(error: impl std::fmt::Display) -> PyErr {
    native_error("internal", format!("no proving key: {error}"))
}

#[pymethods]
impl ShieldedProver {
    /// Creates a devnet's prover: FOR TESTS ONLY.
    #[staticmethod]
    fn insecure_devnet(py: Python<'_>) -> PyResult<Self> {
        Self::new(detached(py, Prover::insecure_devnet)?.map_err(internal)?)
    }

    /// Creates a prover with keys of any seed: FOR TESTS ONLY.
    #[staticmethod]
    fn insecure_of_seed(py: Python<'_>, seed: [u8; 32]) -> PyResult<Self> {
        Self::new(detached(py, || Prover::insecure_of_seed(&seed))?.map_err(internal)?)
    }

    /// Opens a prover with a ceremony's `proving.key` (its bytes), which must belong to the verifying key with these
    /// canonical bytes.
    #[staticmethod]
    fn open(py: Python<'_>, file: &[u8], verifying_key: &[u8]) -> PyResult<Self> {
        let open = || Relation::transfer().map(|relation| open_prover(relation, file, verifying_key));
        let opened = detached(py, open)?.map_err(internal)?;
        Self::new(opened.map_err(|error| native_error(error.code(), error.to_string()))?)
    }

    /// Returns the canonical bytes of the key that verifies its proofs.
    fn verifying_key<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.prover.verifying_key())
    }

    /// Returns the file that `open` opens, for keys whose γ is the generator: a ceremony's or a seed's, not a devnet's.
    fn file<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let encode = || Relation::transfer().map(|relation| encode_proving_key(&relation, self.prover.proving_key()));
        Ok(PyBytes::new(py, &detached(py, encode)?.map_err(internal)?))
    }
}

/// The secret of a wallet.
enum Secret {
    Spending(Box<SpendingKey>),
    Viewing,
}

/// The records that a wallet took.
#[derive(Clone)]
struct WalletState {
    wallet: Wallet,
    digest: Hash,
}

struct Inner {
    taken: WalletState,
    ahead: Option<WalletState>,
}

/// A wallet of one account of a seed, or of a viewing key, in one pool of one chain.
#[pyclass(frozen, module = "rustorium._native")]
pub struct ShieldedWallet {
    secret: Secret,
    key: ViewingKey,
    /// The secret that its file is sealed under.
    sealing: Zeroizing<Vec<u8>>,
    pool: Pool,
    inner: Mutex<Inner>,
}

impl ShieldedWallet {
    fn new(secret: Secret, key: ViewingKey, sealing: Zeroizing<Vec<u8>>, pool: Pool) -> Self {
        let taken = WalletState { wallet: Wallet::new(key.clone()), digest: Hash::ZERO };
        Self { secret, key, sealing, pool, inner: Mutex::new(Inner { taken, ahead: None }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, records: &[u8]) -> Result<Value, ShieldedError> {
        let (records, over) = records.as_chunks::<RECORD_BYTES>();
        if !over.is_empty() {
            return Err(ShieldedError::Wallet("the records end within a record"));
        }
        let decoded = records.iter().map(Record::from_bytes).collect::<Result<Vec<_>, _>>()?;
        let mut inner = self.lock();
        let mut taken = inner.ahead.take().unwrap_or_else(|| inner.taken.clone());
        let first = taken.wallet.position() / 2;
        let happened = taken.wallet.scan(&decoded)?;
        for record in records {
            taken.digest = hash::pool_digest(&taken.digest, record);
        }
        inner.ahead = Some(taken);
        Ok(events(first, &happened))
    }

    fn prepare(&self, wanted: &PlannedTransfer) -> Result<(Operation, UnprovenTransfer), ShieldedError> {
        let Secret::Spending(key) = &self.secret else {
            return Err(ShieldedError::ViewingKey("it is a viewing wallet: open the wallet of the seed to pay"));
        };
        let plan = self.plan(wanted)?;
        let context = shielded_context(&wanted.sender, &wanted.operation);
        Ok((wanted.operation.clone(), prepare(key, &plan, &context, &fresh())?))
    }

    fn plan(&self, wanted: &PlannedTransfer) -> Result<Plan, ShieldedError> {
        let tag = AssetTag::new(&self.pool, &wanted.asset);
        let inner = self.lock();
        let wallet = &inner.taken.wallet;
        if wanted.merge {
            let missing = ShieldedError::Wallet("there are no two notes of this asset");
            return wallet.merge(self.pool, tag)?.ok_or(missing);
        }
        wallet.plan(self.pool, tag, wanted.payment.clone(), wanted.flow)
    }
}

/// A transfer to be proved.
struct PlannedTransfer {
    sender: AccountId,
    asset: AssetId,
    operation: Operation,
    payment: Option<Payment>,
    flow: Option<Flow>,
    merge: bool,
}

#[pymethods]
impl ShieldedWallet {
    /// Creates the wallet of an account's number under a seed. It can spend.
    #[staticmethod]
    fn from_seed(py: Python<'_>, seed: [u8; 32], account: u32, chain: &str, pool: u32) -> PyResult<Self> {
        let pool = Pool { chain: ChainId::from_hex(chain).map_err(value_error)?, number: pool };
        let seed = Zeroizing::new(seed);
        detached(py, || {
            let key = SpendingKey::derive(&seed, account);
            let viewing = ViewingKey::Full(key.viewing().clone());
            let sealing = Zeroizing::new([&seed[..], &account.to_le_bytes()].concat());
            Self::new(Secret::Spending(Box::new(key)), viewing, sealing, pool)
        })
    }

    /// Creates the wallet of a viewing key's text, full or incoming. It can't spend.
    #[staticmethod]
    fn from_viewing_key(text: &str, chain: &str, pool: u32) -> PyResult<Self> {
        let pool = Pool { chain: ChainId::from_hex(chain).map_err(value_error)?, number: pool };
        let full = text.to_ascii_lowercase().starts_with("rszall1");
        let key = if full {
            ViewingKey::Full(FullViewingKey::parse(text).map_err(refused)?)
        } else {
            ViewingKey::Incoming(IncomingViewingKey::parse(text).map_err(refused)?)
        };
        let sealing = Zeroizing::new(text.to_ascii_lowercase().into_bytes());
        Ok(Self::new(Secret::Viewing, key, sealing, pool))
    }

    /// Returns the address at which it receives.
    fn address(&self) -> String {
        self.key.address().to_string()
    }

    /// Tells if it can pay.
    fn spends(&self) -> bool {
        matches!(self.secret, Secret::Spending(_))
    }

    /// Returns the text of its viewing key: the full one if `full`, otherwise the one that sees only incoming value.
    fn viewing_key(&self, full: bool) -> PyResult<String> {
        let text = match (&self.key, full) {
            (ViewingKey::Full(key), true) => key.reveal(),
            (ViewingKey::Full(key), false) => key.incoming().reveal(),
            (ViewingKey::Incoming(key), false) => key.reveal(),
            (ViewingKey::Incoming(_), true) => Err(ShieldedError::ViewingKey("this wallet has the incoming one only")),
        };
        Ok(text.map_err(refused)?.to_string())
    }

    /// Returns the number of transfers that it took; with `ahead`, including those that aren't settled.
    fn transfers(&self, ahead: bool) -> u64 {
        let inner = self.lock();
        let taken = inner.ahead.as_ref().filter(|_| ahead).unwrap_or(&inner.taken);
        taken.wallet.position() / 2
    }

    /// Takes the records of the next transfers, ahead of what is settled. Returns the events as JSON.
    fn scan(&self, py: Python<'_>, records: &[u8]) -> PyResult<String> {
        Ok(detached(py, || self.take(records))?.map_err(refused)?.to_string())
    }

    /// Keeps the records that were taken if they match a proven head (the value's bytes); otherwise drops them all.
    fn settle(&self, head: &[u8]) -> PyResult<()> {
        let head = PoolHead::from_bytes(head).map_err(value_error)?;
        let mut inner = self.lock();
        let found = inner.ahead.take().unwrap_or_else(|| inner.taken.clone());
        let same = found.wallet.root().to_bytes() == head.root
            && found.wallet.position() / 2 == head.transfers()
            && found.digest == head.digest;
        if !same {
            return Err(other_chain());
        }
        inner.taken = found;
        Ok(())
    }

    /// Starts at a proven head instead of the pool's first transfer: for a key that received nothing before (W5).
    fn start(&self, head: &[u8]) -> PyResult<()> {
        let head = PoolHead::from_bytes(head).map_err(value_error)?;
        let tree = Tree::from_bytes(head.frontier.as_slice()).map_err(refused)?;
        let mut inner = self.lock();
        if inner.taken.wallet.position() > 0 {
            let sentence = "this wallet has read transfers already: only a new wallet can start after them";
            return Err(native_error("wallet-refused", sentence));
        }
        let taken = WalletState { wallet: Wallet::since(self.key.clone(), tree), digest: head.digest };
        *inner = Inner { taken, ahead: None };
        Ok(())
    }

    /// Forgets records that were taken and not settled.
    fn forget(&self) {
        self.lock().ahead = None;
    }

    /// Returns the settled notes that aren't spent: position, asset tag, value, memo.
    fn notes<'py>(&self, py: Python<'py>) -> Vec<(u32, String, u64, Bound<'py, PyBytes>)> {
        let inner = self.lock();
        let note = |(position, held): (&u32, &rustorium_zk::shielded::scan::UnspentNote)| {
            let Opened { note, memo } = &held.opened;
            (*position, tag_hex(&note.asset), note.value, PyBytes::new(py, memo.message()))
        };
        inner.taken.wallet.unspent().iter().map(note).collect()
    }

    /// Returns the tag of an asset in this pool's notes.
    fn asset_tag(&self, asset: &str) -> PyResult<String> {
        let asset = AssetId::from_hex(asset).map_err(value_error)?;
        Ok(tag_hex(&AssetTag::new(&self.pool, &asset)))
    }

    /// Proves a transfer for `sender` to send. Returns the operation as JSON. `kind`: `shield` (to `to`, a shielded
    /// address, or to itself), `transfer` (to `to`), `unshield` (to `to`, an account), `merge` (its two largest notes).
    #[pyo3(signature = (prover, kind, sender, asset, amount, to=None, memo=None))]
    #[expect(clippy::too_many_arguments, reason = "the parts of a payment, by name on the Python side")]
    fn prove(
        &self,
        py: Python<'_>,
        prover: &ShieldedProver,
        kind: &str,
        sender: &str,
        asset: &str,
        amount: u64,
        to: Option<&str>,
        memo: Option<&[u8]>,
    ) -> PyResult<String> {
        let wanted = self.wanted(kind, sender, asset, amount, to, memo.unwrap_or_default())?;
        let proved = detached(py, || {
            let (operation, made) = self.prepare(&wanted)?;
            let proof = prover.prove(&made)?;
            Ok(with_transfer(operation, &made, &proof))
        })?;
        serde_json::to_string(&OperationView::from(&proved.map_err(refused)?)).map_err(value_error)
    }

    /// Returns the settled state, and the caller's `more`, sealed for a file.
    fn save<'py>(&self, py: Python<'py>, more: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let sealed = detached(py, || {
            let inner = self.lock();
            let wallet = inner.taken.wallet.to_bytes();
            let length = (more.len() as u32).to_le_bytes();
            let plain = Zeroizing::new([&inner.taken.digest.0[..], &length[..], more, wallet.as_slice()].concat());
            seal_file(&self.sealing, &self.pool, &plain, &fresh())
        })?;
        Ok(PyBytes::new(py, &sealed.map_err(refused)?))
    }

    /// Loads a file that `save` sealed. Returns the caller's part of it.
    fn load<'py>(&self, py: Python<'py>, sealed: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let read = detached(py, || {
            let plain = open_file(&self.sealing, &self.pool, sealed)
                .ok_or(ShieldedError::Wallet("it is another wallet's or pool's file, or was changed"))?;
            let short = ShieldedError::Wallet("they are too short");
            let (digest, rest) = plain.split_first_chunk().ok_or(short)?;
            let (length, rest) = rest.split_first_chunk().ok_or(short)?;
            let (more, wallet) = rest.split_at_checked(u32::from_le_bytes(*length) as usize).ok_or(short)?;
            let wallet = Wallet::from_bytes(self.key.clone(), wallet)?;
            *self.lock() = Inner { taken: WalletState { wallet, digest: Hash(*digest) }, ahead: None };
            Ok(more.to_vec())
        })?;
        Ok(PyBytes::new(py, &read.map_err(refused)?))
    }
}

impl ShieldedWallet {
    fn wanted(
        &self,
        kind: &str,
        sender: &str,
        asset: &str,
        amount: u64,
        to: Option<&str>,
        memo: &[u8],
    ) -> PyResult<PlannedTransfer> {
        let sender = AccountId::parse(sender).map_err(value_error)?;
        let asset = AssetId::from_hex(asset).map_err(value_error)?;
        let pool = self.pool.number;
        let memo = Memo::new(memo).map_err(refused)?;
        let some = NonZeroU64::new(amount).ok_or_else(|| value_error("an amount is above 0 and below 2^64"));
        let transfer = Box::new(PoolTransfer {
            root: [0; 32],
            nullifiers: [[0; 32]; 2],
            commitments: [[0; 32]; 2],
            sealed: [0; SEALED_BYTES],
            proof: [0; TRANSFER_PROOF_BYTES],
        });
        let pay = |to: Option<&str>| {
            let to = to.map_or(Ok(self.key.address()), Address::parse).map_err(refused)?;
            Ok::<_, PyErr>(Some(Payment { to, value: amount, memo: memo.clone() }))
        };
        let (operation, payment, flow) = match (kind, to) {
            ("shield", to) => (Operation::Shield { pool, asset, amount, transfer }, pay(to)?, Some(Flow::In(some?))),
            ("transfer", Some(to)) => {
                some?;
                (Operation::ShieldedTransfer { pool, transfer }, pay(Some(to))?, None)
            }
            ("unshield", Some(to)) => {
                let to = AccountId::parse(to).map_err(value_error)?;
                (Operation::Unshield { pool, asset, amount, to, transfer }, None, Some(Flow::Out(some?)))
            }
            ("merge", None) => (Operation::ShieldedTransfer { pool, transfer }, None, None),
            _ => return Err(value_error("a transfer is a shield, transfer, unshield or merge, with its receiver")),
        };
        Ok(PlannedTransfer { sender, asset, operation, payment, flow, merge: kind == "merge" })
    }
}

fn with_transfer(mut operation: Operation, made: &UnprovenTransfer, proof: &[u8]) -> Operation {
    if let Operation::Shield { transfer, .. }
    | Operation::ShieldedTransfer { transfer, .. }
    | Operation::Unshield { transfer, .. } = &mut operation
    {
        transfer.root = made.statement.root().to_bytes();
        transfer.nullifiers = made.statement.nullifiers().map(|nullifier| nullifier.to_bytes());
        transfer.commitments = made.statement.commitments().map(|commitment| commitment.to_bytes());
        transfer.sealed = made.sealed.to_bytes();
        transfer.proof.copy_from_slice(proof);
    }
    operation
}

fn tag_hex(tag: &AssetTag) -> String {
    hex::encode(element_bytes(&tag.0))
}

/// Returns the events of a wallet as JSON, with the numbers of transfers.
fn events(first: u64, happened: &WalletChanges) -> Value {
    let number = |at: usize| first + at as u64;
    let received = happened.received.iter().map(|(at, position, Opened { note, memo })| {
        json!({
            "type": "received", "transfer": number(*at), "position": position, "asset_tag": tag_hex(&note.asset),
            "value": note.value.to_string(), "memo_hex": hex::encode(memo.message()),
        })
    });
    let spent = happened.spent.iter().map(|(at, position, note)| {
        json!({
            "type": "spent", "transfer": number(*at), "position": position, "asset_tag": tag_hex(&note.asset),
            "value": note.value.to_string(),
        })
    });
    let one = |at: usize, SentNote { to, opened: Opened { note, memo } }: &SentNote| {
        json!({
            "type": "sent", "transfer": number(at), "to": to.to_string(), "asset_tag": tag_hex(&note.asset),
            "value": note.value.to_string(), "memo_hex": hex::encode(memo.message()),
        })
    };
    let sent = happened
        .sent
        .iter()
        .flat_map(|(at, both)| both.iter().filter(|sent| sent.opened.note.value > 0).map(move |sent| one(*at, sent)));
    received.chain(spent).chain(sent).collect()
}

/// Returns the account under which a pool's leaves stand.
#[pyfunction]
fn pool_account(number: u32) -> String {
    hash::pool_account(number).to_string()
}

/// Returns the key, in that account's namespace, of the pool's `head` or verifying `key`.
#[pyfunction]
fn pool_row<'py>(py: Python<'py>, row: &str) -> PyResult<Bound<'py, PyBytes>> {
    let row = match row {
        "head" => PoolRow::Head,
        "key" => PoolRow::Key,
        _ => return Err(value_error("a pool's row is `head` or `key`")),
    };
    Ok(PyBytes::new(py, &row.bytes()))
}

/// Returns the canonical bytes of a devnet's pool key, and the warning that goes with it.
#[pyfunction]
fn devnet_pool_key(py: Python<'_>) -> (Bound<'_, PyBytes>, &'static str) {
    (PyBytes::new(py, DEVNET_VERIFYING_KEY), DEVNET_WARNING)
}

/// Returns the number of transfers that a pool's head (the value's bytes) counts.
#[pyfunction]
fn pool_transfers(head: &[u8]) -> PyResult<u64> {
    Ok(PoolHead::from_bytes(head).map_err(value_error)?.transfers())
}

pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<ShieldedProver>()?;
    module.add_class::<ShieldedWallet>()?;
    module.add_function(wrap_pyfunction!(pool_account, module)?)?;
    module.add_function(wrap_pyfunction!(pool_row, module)?)?;
    module.add_function(wrap_pyfunction!(devnet_pool_key, module)?)?;
    module.add_function(wrap_pyfunction!(pool_transfers, module)?)
}

//! R33 in Python: a plan for a stopped home's store, an owner's signature of it, and both blocks put into the store.

use crate::backup::at_rest;
use crate::errors::{detached, native_error};
use crate::ledger::{genesis_of, key, value_error};
use crate::storage_key::StorageKey;
use pyo3::prelude::*;
use rustorium_crypto::hash::{account_id, chain_id, id_on};
use rustorium_execution::{AccountRecord2, CommitteeRecord, OwnerRecord, account_key, committee_key, owner_key};
use rustorium_stages::executor::store_code;
use rustorium_stages::owners_end::{Plan, base};
use rustorium_stages::tables::open_tables;
use rustorium_stages::{NodeError, journal_records};
use rustorium_storage::{RocksStore, Store, StoreConfig, StoreError};
use rustorium_types::limits::TRANSACTION_BYTES_MAX;
use rustorium_types::{
    BlockDigest, ChainId, Epoch, Genesis, Height, PublicKey, ShardId, Signature, SystemSender, Transaction, Validator,
    ValidatorIndex, View, VoteBody, VoteKind, decode, quorum,
};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;

fn failed(error: &StoreError) -> PyErr {
    native_error(store_code(error), error.to_string())
}

fn refused(error: NodeError) -> PyErr {
    native_error(error.code, error.sentence)
}

fn opened(path: &str, (genesis, shard): (&Genesis, u32), key: &StorageKey) -> PyResult<Arc<RocksStore>> {
    let at_rest = at_rest(key, &chain_id(genesis).to_string())?;
    let store = RocksStore::open(Path::new(path), &StoreConfig::default(), &at_rest).map_err(|error| failed(&error))?;
    journal_records::tip_of(&store, genesis, ShardId(shard)).map_err(|error| failed(&error))?;
    Ok(Arc::new(store))
}

/// Plans the end of the epoch above the newest final block of the store at `path`.
fn planned(
    (path, store): (&str, &Arc<RocksStore>),
    (genesis, shard): (&Genesis, u32),
    changes: (Vec<Transaction>, u64),
) -> PyResult<Plan> {
    let store: Arc<dyn Store> = store.clone();
    Plan::new(genesis, &store, changes, || open_tables(home_of(path, shard)).map(Arc::new)).map_err(refused)
}

/// Returns the home of a shard's store at `path`.
fn home_of(path: &str, shard: u32) -> &Path {
    let levels = if ShardId(shard) == ShardId::ROOT { 1 } else { 3 };
    Path::new(path).ancestors().nth(levels).unwrap_or(Path::new(path))
}

fn transactions_of(raw: Vec<Vec<u8>>) -> PyResult<Vec<Transaction>> {
    raw.iter().map(|bytes| decode(bytes, TRANSACTION_BYTES_MAX).map_err(value_error)).collect()
}

fn member(place: usize, validator: &Validator, store: &RocksStore) -> PyResult<Value> {
    let owner = account_id(validator.region, &validator.owner_key);
    let bytes = store.state(&account_key(owner)).map_err(|error| failed(&error))?;
    let record = bytes.map(|bytes| AccountRecord2::from_bytes(&bytes)).transpose().map_err(value_error)?;
    let acting = acting(validator, store)?;
    Ok(json!({
        "place": place,
        "name": String::from_utf8_lossy(validator.name.as_slice()),
        "region": validator.region,
        "validator_key": hex::encode(validator.validator_key),
        "owner_key": hex::encode(validator.owner_key),
        "owner": owner.to_string(),
        "owner_nonce": record.map(|record| record.nonce),
        "acting_owner_key": hex::encode(acting.map_or(validator.owner_key, |(key, ..)| key)),
        "sender": acting.map(|(_, number, _)| SystemSender::Owner(number).id().to_string()),
        "sender_nonce": acting.map(|(.., nonce)| nonce),
    }))
}

/// Returns the key that acts for a member's owner as of the newest block, the member's number, and the owner's next nonce;
/// `None` if the member is in no wanted committee any more.
fn acting(validator: &Validator, store: &RocksStore) -> PyResult<Option<(PublicKey, u32, u64)>> {
    let leaf = |key| store.state(&key).map_err(|error| failed(&error));
    let Some(bytes) = leaf(committee_key())? else { return Ok(None) };
    let committee = CommitteeRecord::from_bytes(&bytes).map_err(value_error)?;
    let place = committee.target.iter().position(|one| one.validator_key == validator.validator_key);
    let numbers = committee.numbered().numbers;
    let Some((place, number)) = place.and_then(|place| Some((place, *numbers.get(place)?))) else { return Ok(None) };
    let owner = OwnerRecord::from_bytes(leaf(owner_key(number))?.as_deref()).map_err(value_error)?;
    Ok(committee.target.get(place).map(|one| (one.owner_key, number, owner.nonce)))
}

fn members(set: &[Validator], store: &RocksStore) -> PyResult<Vec<Value>> {
    set.iter().enumerate().map(|(place, validator)| member(place, validator, store)).collect()
}

/// Returns JSON of the newest final block of a shard's store of a stopped node, and of the committee above it.
#[pyfunction]
#[pyo3(signature = (store, genesis, key, shard=0))]
fn restart_base(py: Python<'_>, store: &str, genesis: &[u8], key: &StorageKey, shard: u32) -> PyResult<String> {
    let genesis = genesis_of(genesis)?;
    let looked = || {
        let (path, store) = (store, opened(store, (&genesis, shard), key)?);
        let any: Arc<dyn Store> = store.clone();
        let (tip, context) =
            base(&genesis, &any, || open_tables(home_of(path, shard)).map(Arc::new)).map_err(refused)?;
        let (header, set) = (&tip.header, &context.validators);
        let facts = json!({
            "epoch": context.epoch().0,
            "version": context.rules.version(),
            "height": tip.height.0,
            "base": tip.digest.to_string(),
            "parent": header.parent.to_string(),
            "view": header.view.0,
            "time_ms": header.time_ms,
            "quorum": quorum(set.len()),
            "members": members(set, &store)?,
        });
        Ok(facts.to_string())
    };
    detached(py, looked)?
}

fn facts(plan: &Plan, store: &RocksStore) -> PyResult<String> {
    let [changes, boundary] = plan.blocks.each_ref().map(|block| &block.header);
    let ids = plan.blocks[0].inline.iter().map(|transaction| id_on(&changes.chain, transaction).to_string());
    let facts = json!({
        "epoch": plan.context.epoch().0,
        "base": plan.base.digest.to_string(),
        "height": plan.base.height.0,
        "time_ms": changes.time_ms,
        "clock_ahead_ms_max": plan.context.parameters.clock_ahead_ms_max,
        "transactions": ids.collect::<Vec<_>>(),
        "end": plan.digests[1].to_string(),
        "end_height": boundary.height.0,
        "view": boundary.view.0,
        "quorum": quorum(plan.context.n()),
        "members": members(&plan.context.validators, store)?,
        "next": members(&plan.next, store)?,
    });
    Ok(facts.to_string())
}

/// Returns JSON of the plan that these changes make on the newest final block of a stopped node's store.
#[pyfunction]
#[pyo3(signature = (store, genesis, key, transactions, time_ms, shard=0))]
fn restart_plan(
    py: Python<'_>,
    store: &str,
    genesis: &[u8],
    key: &StorageKey,
    transactions: Vec<Vec<u8>>,
    time_ms: u64,
    shard: u32,
) -> PyResult<String> {
    let (genesis, transactions) = (genesis_of(genesis)?, transactions_of(transactions)?);
    let looked = || {
        let opened = opened(store, (&genesis, shard), key)?;
        facts(&planned((store, &opened), (&genesis, shard), (transactions, time_ms))?, &opened)
    };
    detached(py, looked)?
}

/// Returns an owner's signature of a plan's end.
#[pyfunction]
#[pyo3(signature = (seed, chain, epoch, view, end, shard=0))]
fn restart_sign(seed: &[u8], chain: &str, epoch: u64, view: u64, end: &str, shard: u32) -> PyResult<[u8; 64]> {
    let body = VoteBody {
        chain: ChainId::from_hex(chain).map_err(value_error)?,
        shard: ShardId(shard),
        epoch: Epoch(epoch),
        view: View(view),
        kind: VoteKind::Finalize,
        block: BlockDigest::from_hex(end).map_err(value_error)?,
    };
    Ok(key(seed)?.sign_vote(ValidatorIndex(0), body).signature)
}

/// Puts a plan that a quorum of owners signed (by their places) into a stopped node's store. Returns JSON of the plan.
/// `again`: an earlier call may have been interrupted; its first block is removed if the tip is a child of `base`.
#[pyfunction]
#[pyo3(signature = (store, genesis, key, transactions, time_ms, signatures, base, again, shard=0))]
#[allow(clippy::too_many_arguments)]
fn restart_apply(
    py: Python<'_>,
    store: &str,
    genesis: &[u8],
    key: &StorageKey,
    transactions: Vec<Vec<u8>>,
    time_ms: u64,
    signatures: Vec<(u16, [u8; 64])>,
    base: &str,
    again: bool,
    shard: u32,
) -> PyResult<String> {
    let (genesis, transactions) = (genesis_of(genesis)?, transactions_of(transactions)?);
    let signatures: Vec<(ValidatorIndex, Signature)> =
        signatures.into_iter().map(|(place, signature)| (ValidatorIndex(place), signature)).collect();
    let applied = || {
        let (path, store) = (store, opened(store, (&genesis, shard), key)?);
        let base = BlockDigest::from_hex(base).map_err(value_error)?;
        if let Some(tip) = store.tip().filter(|tip| again && tip.digest != base && tip.header.parent == base) {
            store.roll_back(Height(tip.height.0.saturating_sub(1))).map_err(|error| failed(&error))?;
        }
        let plan = planned((path, &store), (&genesis, shard), (transactions, time_ms))?;
        let certificate = plan.certificate(signatures).map_err(refused)?;
        plan.apply(&*store, &certificate).map_err(refused)?;
        facts(&plan, &store)
    };
    detached(py, applied)?
}

/// Adds the functions to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(restart_base, module)?)?;
    module.add_function(wrap_pyfunction!(restart_plan, module)?)?;
    module.add_function(wrap_pyfunction!(restart_sign, module)?)?;
    module.add_function(wrap_pyfunction!(restart_apply, module)?)?;
    Ok(())
}

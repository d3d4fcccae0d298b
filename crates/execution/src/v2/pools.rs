//! Pools of shielded value under version 2 (docs/spec/shielded.md, L1–L11): as in version 1, on this version's ledger.
//!
//! *Invariants:* a pool's leaves are values in the namespace of its account, which no key opens; a proof's statement is
//! always computed here, from the chain, the pool, the sender and the operation alone, so that it can be verified before
//! the block runs; roots are looked up as of before the block, nullifiers as of the block's transactions so far; only the
//! block's end changes tree, roots and digest, whose storage is bounded and paid by nobody.

use super::actor::{Actor, check_exists, move_amount, store};
use super::leaf::Leaf;
use super::ledger::Ledger;
use super::slots::At;
use super::verifiers::Proofs;
use crate::StateReadError;
use crate::keys::{Name, PoolRow};
use crate::v1::ledger::Stop;
use crate::v1::operations::fail;
use crate::v1::pools::{pool_record, shielded_context};
use crate::v1::record::{FRONTIER_BYTES_MAX, PoolHead};
use rustorium_crypto::{pool_account, pool_digest};
use rustorium_types::{
    AccountId, AssetId, BoundedBytes, ChainId, FailureCode, Operation, PoolTransfer, PublicInput, VerifierId, encode,
};
use rustorium_zk::shielded::error::ShieldedError;
use rustorium_zk::shielded::field::element_from_bytes;
use rustorium_zk::shielded::memo::Sealed;
use rustorium_zk::shielded::note::{AssetTag, Commitment, Nullifier, Pool};
use rustorium_zk::shielded::statement::{PublicValue, Statement};
use rustorium_zk::shielded::transfer::binding;
use rustorium_zk::shielded::tree::{ROOTS_KEPT, Root, Tree};
use rustorium_zk::{Claim, Key};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::num::NonZeroU64;

/// Value that crosses the boundary of a pool.
#[derive(Clone, Copy)]
enum Moved {
    In(AssetId, u64),
    Inside,
    Out(AssetId, u64, AccountId),
}

/// A pool that the block's transactions use.
struct Open {
    at: At,
    head: PoolHead,
    /// The additions of transactions so far. The first `kept` of them are from transactions before the present one.
    fresh: Vec<Fresh>,
    kept: usize,
}

struct Fresh {
    record: Vec<u8>,
    commitments: [Commitment; 2],
}

/// The pools in one block.
pub(crate) struct Pools {
    chain: ChainId,
    open: BTreeMap<u32, Open>,
}

/// Returns the operation's pool, the value that it moves, and its transfer.
fn parts(operation: &Operation) -> Option<(u32, Moved, &PoolTransfer)> {
    match operation {
        Operation::Shield { pool, asset, amount, transfer } => Some((*pool, Moved::In(*asset, *amount), transfer)),
        Operation::ShieldedTransfer { pool, transfer } => Some((*pool, Moved::Inside, transfer)),
        Operation::Unshield { pool, asset, amount, to, transfer } => {
            Some((*pool, Moved::Out(*asset, *amount, *to), transfer))
        }
        _ => None,
    }
}

/// Executes an operation of a pool.
pub(crate) fn shielded(
    ledger: &mut Ledger<'_>,
    actor: Actor,
    proofs: &Proofs<'_>,
    pools: &mut Pools,
    operation: &Operation,
) -> Result<(), Stop> {
    let Some((number, moved, transfer)) = parts(operation) else { return fail(FailureCode::NoSuchPool) };
    let (place, chain) = (pool_account(number), pools.chain);
    let open = pools.open(ledger, number)?;
    let (statement, commitments) = statement_of(chain, &actor.sender, operation)?;
    let at = ledger.find(place, Name::Pool(PoolRow::Root(transfer.root)))?;
    if ledger.footprint(at) == 0 {
        return fail(FailureCode::OldRoot);
    }
    let mut spent = Vec::with_capacity(transfer.nullifiers.len());
    for nullifier in transfer.nullifiers {
        let at = ledger.find(place, Name::Pool(PoolRow::Spent(nullifier)))?;
        if ledger.footprint(at) > 0 {
            return fail(FailureCode::NoteSpent);
        }
        spent.push(at);
    }
    let position = open.head.transfers() + open.fresh.len() as u64;
    if 2 * (position + 1) > Tree::CAPACITY {
        return fail(FailureCode::PoolFull);
    }
    settle(ledger, actor.sender, place, moved)?;
    let at = ledger.find(place, Name::Pool(PoolRow::Key))?;
    let key = ledger.bytes(at)?.unwrap_or_default();
    let proof = proofs.proof(|| {
        let key = proofs.key(VerifierId(place.0), &key)?;
        statement.claim(&key, &transfer.proof).or_else(|_| fail(FailureCode::BadTransfer))
    })?;
    if !proof.holds() {
        return fail(FailureCode::NotProved);
    }
    let record = pool_record(transfer);
    for at in spent {
        store(ledger, actor.sender, at, Leaf::Bytes(Cow::Owned(position.to_le_bytes().to_vec())))?;
    }
    let at = ledger.find(place, Name::Pool(PoolRow::Record(position)))?;
    store(ledger, actor.sender, at, Leaf::Bytes(Cow::Owned(record.clone())))?;
    open.fresh.push(Fresh { record, commitments });
    Ok(())
}

/// Returns the statement that an operation's proof proves, and the commitments that it adds.
fn statement_of(
    chain: ChainId,
    sender: &AccountId,
    operation: &Operation,
) -> Result<(Statement, [Commitment; 2]), Stop> {
    let Some((number, moved, transfer)) = parts(operation) else { return fail(FailureCode::NoSuchPool) };
    let pool = Pool { chain, number };
    let public = public_value(&pool, moved)?;
    let sealed = Sealed::from_bytes(&transfer.sealed);
    let binding = binding(&pool, &sealed, &shielded_context(sender, operation));
    let Ok(part) = decode(transfer) else { return fail(FailureCode::BadTransfer) };
    match Statement::new(part.root, part.nullifiers, part.commitments, public, binding) {
        Ok(statement) => Ok((statement, part.commitments)),
        Err(_) => fail(FailureCode::NoteSpent),
    }
}

/// Returns the pool of an operation; `None` if it is on none.
pub(crate) fn pool_of(operation: &Operation) -> Option<u32> {
    parts(operation).map(|(number, ..)| number)
}

/// Returns the claim that an operation's proof makes under the pool's key; `None` if it fails before its proof counts.
pub(crate) fn claim_of(chain: ChainId, sender: &AccountId, operation: &Operation, key: &Key) -> Option<Claim> {
    let (.., transfer) = parts(operation)?;
    let (statement, _) = statement_of(chain, sender, operation).ok()?;
    statement.claim(key, &transfer.proof).ok()
}

/// The decoded numbers of a transfer.
struct Numbers {
    root: Root,
    nullifiers: [Nullifier; 2],
    commitments: [Commitment; 2],
}

fn decode(transfer: &PoolTransfer) -> Result<Numbers, ShieldedError> {
    let element = |bytes: &PublicInput| element_from_bytes(bytes);
    let [n0, n1] = &transfer.nullifiers;
    let [c0, c1] = &transfer.commitments;
    Ok(Numbers {
        root: Root(element(&transfer.root)?),
        nullifiers: [Nullifier(element(n0)?), Nullifier(element(n1)?)],
        commitments: [Commitment(element(c0)?), Commitment(element(c1)?)],
    })
}

fn public_value(pool: &Pool, moved: Moved) -> Result<PublicValue, Stop> {
    let (Moved::In(asset, amount) | Moved::Out(asset, amount, _)) = moved else { return Ok(PublicValue::Hidden) };
    let Some(amount) = NonZeroU64::new(amount) else { return fail(FailureCode::BadAmount) };
    let tag = AssetTag::new(pool, &asset);
    Ok(match moved {
        Moved::Out(..) => PublicValue::Unshield(tag, amount),
        Moved::In(..) | Moved::Inside => PublicValue::Shield(tag, amount),
    })
}

/// Moves the value that crosses the pool's boundary between accounts (L5, L8).
fn settle(ledger: &mut Ledger<'_>, sender: AccountId, place: AccountId, moved: Moved) -> Result<(), Stop> {
    match moved {
        Moved::Inside => Ok(()),
        Moved::In(asset, amount) => move_amount(ledger, sender, (sender, place), asset, amount.into()),
        Moved::Out(asset, amount, to) => {
            check_exists(ledger, to)?;
            let at = ledger.find(place, Name::Balance(asset))?;
            if ledger.amount(at) < u128::from(amount) {
                return fail(FailureCode::PoolBalance);
            }
            move_amount(ledger, sender, (place, to), asset, amount.into())
        }
    }
}

impl Pools {
    pub(crate) fn new(chain: ChainId) -> Self {
        Self { chain, open: BTreeMap::new() }
    }

    /// Starts a transaction.
    pub(crate) fn begin(&mut self) {
        for open in self.open.values_mut() {
            open.kept = open.fresh.len();
        }
    }

    /// Undoes the additions since `begin`.
    pub(crate) fn roll_back(&mut self) {
        for open in self.open.values_mut() {
            open.fresh.truncate(open.kept);
        }
    }

    fn open(&mut self, ledger: &mut Ledger<'_>, number: u32) -> Result<&mut Open, Stop> {
        match self.open.entry(number) {
            Entry::Occupied(open) => Ok(open.into_mut()),
            Entry::Vacant(place) => {
                let at = ledger.find(pool_account(number), Name::Pool(PoolRow::Head))?;
                let Some(bytes) = ledger.bytes(at)? else { return fail(FailureCode::NoSuchPool) };
                let head = PoolHead::from_bytes(&bytes).map_err(|error| corrupt(number, error))?;
                Ok(place.insert(Open { at, head, fresh: Vec::new(), kept: 0 }))
            }
        }
    }

    /// Appends the additions of the block's transactions to the trees (L9).
    pub(crate) fn finish(self, ledger: &mut Ledger<'_>) -> Result<(), StateReadError> {
        for (number, open) in self.open.into_iter().filter(|(_, open)| !open.fresh.is_empty()) {
            let (place, mut head) = (pool_account(number), open.head);
            let commitments: Vec<Commitment> = open.fresh.iter().flat_map(|fresh| fresh.commitments).collect();
            let mut tree = Tree::from_bytes(head.frontier.as_slice()).map_err(|error| corrupt(number, error))?;
            // Each operation made sure that there is room.
            let root = tree.append(&commitments).map_err(|error| corrupt(number, error))?;
            for fresh in &open.fresh {
                head.digest = pool_digest(&head.digest, &fresh.record);
            }
            head.roots += 1;
            head.root = root.to_bytes();
            head.frontier = frontier(&tree);
            let slot = ledger.find(place, Name::Pool(PoolRow::slot(head.roots)))?;
            forget(ledger, place, slot, head.roots)?;
            ledger.write_unpaid(slot, Leaf::Bytes(Cow::Owned(head.root.to_vec())));
            let at = ledger.find(place, Name::Pool(PoolRow::Root(head.root)))?;
            ledger.write_unpaid(at, Leaf::Bytes(Cow::Owned(head.roots.to_le_bytes().to_vec())));
            ledger.write_unpaid(open.at, Leaf::Bytes(Cow::Owned(encode(&head))));
        }
        Ok(())
    }
}

/// Removes the root that becomes too old with root number `newest`, which takes its slot (T4).
fn forget(ledger: &mut Ledger<'_>, place: AccountId, slot: At, newest: u64) -> Result<(), StateReadError> {
    let Some(number) = newest.checked_sub(ROOTS_KEPT as u64) else { return Ok(()) };
    let old: Option<PublicInput> = ledger.bytes(slot)?.and_then(|bytes| bytes.as_ref().try_into().ok());
    let Some(old) = old else { return Ok(()) };
    let at = ledger.find(place, Name::Pool(PoolRow::Root(old)))?;
    // If the tree came back to an older root, that root would have a newer number and must stay.
    let same = ledger.bytes(at)?.is_some_and(|bytes| bytes.as_ref() == number.to_le_bytes());
    if same {
        ledger.write_unpaid(at, Leaf::Absent);
    }
    Ok(())
}

fn corrupt(number: u32, error: impl std::fmt::Display) -> StateReadError {
    StateReadError(format!("the pool {number} is corrupt: {error}"))
}

fn frontier(tree: &Tree) -> BoundedBytes<FRONTIER_BYTES_MAX> {
    // There are at most three nodes a level, by the encoding.
    BoundedBytes::new(tree.to_bytes()).unwrap_or_default()
}

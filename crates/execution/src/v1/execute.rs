//! Executes one block's transactions: receipts, skips, state diff, result root.
//!
//! *Invariants:* a transaction's effect depends on its position in the final order alone; a skipped one changes
//! nothing; a failed one uses its nonce and its declared work and changes nothing else.

use super::ledger::{At, Ledger, StateRead, StateReadError, Stop};
use super::operations::{Actor, apply};
use super::pools::Pools;
use super::record::AccountRecord;
use super::verifiers::{Keys, Proofs};
use super::work::{TRANSACTION, declared_work, operation_work};
use crate::execute::{Execution, Input, Skip};
use crate::keys::Name;
use rustorium_crypto::{domain, hash, merkle, receipt_leaf, result_root};
use rustorium_state::workers::Workers;
use rustorium_types::{
    AccountId, ChainId, FailureCode, Hash, Header, LeafWrite, Operation, Outcome, Parameters, Receipt, ResultLink,
    Transaction1, TxId,
};
use std::collections::HashSet;

/// The version of transactions.
const VERSION: u16 = 1;

/// Executes one operation on this chain by the rules of a version.
pub(crate) type Apply = for<'a> fn(
    &mut Ledger<'a>,
    Actor,
    ChainId,
    &Parameters,
    &mut Proofs<'_>,
    &mut Pools,
    &'a Operation,
) -> Result<(), Stop>;

/// Executes a block. These workers verify its proofs.
pub(crate) fn execute<W: Workers>(
    input: &Input<'_, Transaction1>,
    state: &dyn StateRead,
    keys: &Keys,
    workers: &W,
) -> Result<Execution, StateReadError> {
    execute_by(input, state, keys, workers, |ledger, actor, _, parameters, proofs, pools, operation| {
        apply(ledger, actor, parameters, proofs, pools, operation)
    })
}

/// Does what `execute` does, with the operations of another version.
pub(crate) fn execute_by<W: Workers>(
    input: &Input<'_, Transaction1>,
    state: &dyn StateRead,
    keys: &Keys,
    workers: &W,
    apply: Apply,
) -> Result<Execution, StateReadError> {
    let (execution, proofs) = run(input, state, Proofs::assumed(keys), apply)?;
    match proofs.verify(workers) {
        None => Ok(execution),
        Some(known) => run(input, state, known, apply).map(|(execution, _)| execution),
    }
}

fn run<'a>(
    input: &Input<'a, Transaction1>,
    state: &'a dyn StateRead,
    proofs: Proofs<'a>,
    apply: Apply,
) -> Result<(Execution, Proofs<'a>), StateReadError> {
    let mut run = Run {
        apply,
        proofs,
        pools: Pools::new(input.header.chain),
        header: input.header,
        parameters: input.parameters,
        ledger: Ledger::new(state, input.parameters.transaction_writes_max, input.transactions.len()),
        receipts: Vec::with_capacity(input.transactions.len()),
        skipped: Vec::new(),
        touched: Vec::new(),
        seen: HashSet::new(),
    };
    for (place, (id, transaction)) in input.transactions.iter().enumerate() {
        run.proofs.place.0 = place as u32;
        run.transaction(*id, transaction)?;
    }
    run.finish(&input.previous_root)
}

/// Returns the root over a height's state changes, which must ascend by key; zero if there are none.
pub fn diff_root(diff: &[LeafWrite]) -> Hash {
    let leaf = |LeafWrite { key, value, .. }: &LeafWrite| {
        let (tag, value) = value.as_ref().map_or((0, &[][..]), |value| (1, value));
        Hash(hash(domain::DIFF, &[&key.to_bytes(), &[tag], value]))
    };
    merkle::root(&diff.iter().map(leaf).collect::<Vec<_>>())
}

/// Returns the root over a height's receipts; zero if there are none.
pub fn receipts_root(receipts: &[Receipt]) -> Hash {
    merkle::root(&receipts.iter().map(receipt_leaf).collect::<Vec<_>>())
}

struct Run<'a> {
    apply: Apply,
    proofs: Proofs<'a>,
    pools: Pools,
    header: &'a Header,
    parameters: &'a Parameters,
    ledger: Ledger<'a>,
    receipts: Vec<Receipt>,
    skipped: Vec<(TxId, Skip)>,
    touched: Vec<(AccountId, At)>,
    seen: HashSet<AccountId>,
}

impl<'a> Run<'a> {
    fn transaction(&mut self, id: TxId, transaction: &'a Transaction1) -> Result<(), StateReadError> {
        let sender = transaction.body.sender;
        let at = self.ledger.find(sender, Name::Account)?;
        let record = match self.admit(self.ledger.account(at), transaction) {
            Ok(record) => record,
            Err(skip) => {
                self.skipped.push((id, skip));
                return Ok(());
            }
        };
        self.ledger.write_sender(at, record);
        if self.seen.insert(sender) {
            self.touched.push((sender, at));
        }
        let (outcome, work) = self.operations(id, transaction)?;
        self.receipts.push(Receipt {
            transaction: id,
            sender,
            nonce: transaction.body.nonce,
            height: self.header.height,
            index: self.receipts.len() as u32,
            time_ms: self.header.time_ms,
            work,
            outcome,
        });
        Ok(())
    }

    /// Returns the sender's record with nonce and declared work used, or the reason why the transaction is skipped.
    fn admit(&self, record: Option<AccountRecord>, transaction: &Transaction1) -> Result<AccountRecord, Skip> {
        let body = &transaction.body;
        if body.chain != self.header.chain {
            return Err(Skip::WrongChain);
        }
        if body.version != VERSION {
            return Err(Skip::WrongVersion);
        }
        if body.expires_at_ms <= self.header.time_ms {
            return Err(Skip::Expired);
        }
        let record = record.ok_or(Skip::UnknownSender)?;
        if body.public_key != record.public_key {
            return Err(Skip::WrongKey);
        }
        if body.nonce < record.nonce {
            return Err(Skip::NonceUsed { expected: record.nonce });
        }
        // The last nonce is never used, so that there is always a next one.
        if body.nonce > record.nonce || body.nonce == u64::MAX {
            return Err(Skip::NonceAhead { expected: record.nonce });
        }
        let spent = record.spend(self.parameters, self.header.time_ms, declared_work(transaction));
        let left = || Skip::QuotaTooSmall { left: record.quota(self.parameters, self.header.time_ms) };
        let spent = spent.ok_or_else(left)?;
        Ok(AccountRecord { nonce: body.nonce + 1, ..spent })
    }

    fn operations(&mut self, id: TxId, transaction: &'a Transaction1) -> Result<(Outcome, u64), StateReadError> {
        let body = &transaction.body;
        let actor = Actor {
            sender: body.sender,
            public_key: body.public_key,
            time_ms: self.header.time_ms,
            epoch: self.header.epoch,
            transaction: id,
        };
        let mut work = TRANSACTION;
        self.ledger.begin();
        self.pools.begin();
        if work > body.work_limit {
            return Ok((Outcome::Failed { code: FailureCode::WorkLimit, operation: 0 }, work));
        }
        for (index, operation) in body.data.iter().enumerate() {
            let needed = work + operation_work(&body.sender, operation);
            let done = if needed > body.work_limit {
                Err(Stop::Fail(FailureCode::WorkLimit))
            } else {
                work = needed;
                self.proofs.place.1 = index as u16;
                let (chain, proofs, pools) = (self.header.chain, &mut self.proofs, &mut self.pools);
                (self.apply)(&mut self.ledger, actor, chain, self.parameters, proofs, pools, operation)
            };
            match done {
                Ok(()) => {}
                Err(Stop::Read(error)) => return Err(error),
                Err(Stop::Fail(code)) => {
                    self.ledger.roll_back();
                    self.pools.roll_back();
                    return Ok((Outcome::Failed { code, operation: index as u16 }, work));
                }
            }
        }
        Ok((Outcome::Ok, work))
    }

    fn finish(mut self, previous_root: &Hash) -> Result<(Execution, Proofs<'a>), StateReadError> {
        let next_nonce = |(account, at): &(AccountId, At)| (*account, self.ledger.account(*at).map_or(0, |r| r.nonce));
        let touched = self.touched.iter().map(next_nonce).collect();
        self.pools.finish(&mut self.ledger)?;
        let diff = self.ledger.into_diff();
        let link = ResultLink { receipts: receipts_root(&self.receipts), diff: diff_root(&diff), outbox: Hash::ZERO };
        let execution = Execution {
            result_root: result_root(previous_root, &link.receipts, &link.diff, &link.outbox),
            receipts: self.receipts,
            skipped: self.skipped,
            diff,
            link,
            touched,
        };
        Ok((execution, self.proofs))
    }
}

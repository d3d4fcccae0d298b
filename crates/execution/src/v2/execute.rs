//! Executes one block's transactions under version 2: receipts, skips, state diff, result root.
//!
//! *Invariants:* a transaction's effect depends on its position in the final order alone; a skipped one changes nothing; a
//! failed one uses its nonce and its declared work and changes nothing else; a block runs once, and takes a bounded
//! amount of memory, whatever it reads (V55).

use super::first_proofs::verify_first;
use super::ledger::Ledger;
use super::operations::apply;
use super::pools::Pools;
use super::slots::At;
use super::verifiers::Proofs;
use super::work::{operation_work, transaction_work};
use crate::execute::{Execution, Input, Skip};
use crate::keys::Name;
use crate::limited::LimitedRead;
use crate::prices::declared_work;
use crate::v1::execute::{diff_root, receipts_root};
use crate::v1::ledger::{StateReadError, Stop};
use crate::v1::operations::Actor;
use crate::v1::record::AccountRecord;
use crate::v1::verifiers::Keys;
use rustorium_crypto::result_root;
use rustorium_state::workers::Workers;
use rustorium_types::{
    AccountId, FailureCode, Hash, Header, Operation, Outcome, Parameters, Receipt, ResultLink, Rules,
    TRANSACTION_VERSION, Transaction, TxId,
};
use std::collections::HashSet;

/// Executes a block. These workers verify its proofs.
pub(crate) fn execute<W: Workers>(
    input: &Input<'_>,
    state: &dyn LimitedRead,
    keys: &Keys,
    workers: &W,
) -> Result<Execution, StateReadError> {
    let verdicts = verify_first(input, state, keys, workers)?;
    run(input, state, Proofs::new(keys, verdicts))
}

fn run<'a>(input: &Input<'a>, state: &'a dyn LimitedRead, proofs: Proofs<'a>) -> Result<Execution, StateReadError> {
    let mut run = Run {
        proofs,
        pools: Pools::new(input.header.chain),
        header: input.header,
        parameters: input.parameters,
        ledger: Ledger::new(state, input.parameters.transaction_writes_max),
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

struct Run<'a> {
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
    fn transaction(&mut self, id: TxId, transaction: &'a Transaction) -> Result<(), StateReadError> {
        let sender = transaction.body.sender;
        let at = self.ledger.find(sender, Name::Account)?;
        let record = match admit(self.header, self.parameters, self.ledger.account(at), transaction) {
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

    fn operations(&mut self, id: TxId, transaction: &'a Transaction) -> Result<(Outcome, u64), StateReadError> {
        let body = &transaction.body;
        let actor = Actor {
            sender: body.sender,
            public_key: body.public_key,
            time_ms: self.header.time_ms,
            epoch: self.header.epoch,
            transaction: id,
        };
        self.ledger.begin(body.work_limit);
        self.pools.begin();
        let mut index = 0;
        let mut done = self.ledger.charge(transaction_work(body));
        if done.is_err() {
            let outcome = Outcome::Failed { code: FailureCode::WorkLimit, operation: 0 };
            return Ok((outcome, transaction_work(body)));
        }
        while let (Ok(()), Some(operation)) = (&done, body.data.get(index)) {
            self.proofs.place.1 = index as u16;
            done = self.operation(actor, operation);
            index += usize::from(done.is_ok());
        }
        let outcome = match done {
            Ok(()) => Outcome::Ok,
            Err(Stop::Read(error)) => return Err(error),
            Err(Stop::Fail(code)) => {
                self.ledger.roll_back();
                self.pools.roll_back();
                Outcome::Failed { code, operation: index as u16 }
            }
        };
        Ok((outcome, self.ledger.work()))
    }

    /// Executes one operation. The values that it reads are charged when their lengths are known.
    fn operation(&mut self, actor: Actor, operation: &'a Operation) -> Result<(), Stop> {
        self.ledger.charge(operation_work(&actor.sender, operation, 0))?;
        let (chain, proofs, pools) = (self.header.chain, &self.proofs, &mut self.pools);
        apply(&mut self.ledger, actor, chain, self.parameters, proofs, pools, operation)
    }

    fn finish(mut self, previous_root: &Hash) -> Result<Execution, StateReadError> {
        let next_nonce = |(account, at): &(AccountId, At)| (*account, self.ledger.account(*at).map_or(0, |r| r.nonce));
        let touched = self.touched.iter().map(next_nonce).collect();
        self.pools.finish(&mut self.ledger)?;
        let diff = self.ledger.into_diff();
        let link = ResultLink { receipts: receipts_root(&self.receipts), diff: diff_root(&diff), outbox: Hash::ZERO };
        Ok(Execution {
            result_root: result_root(previous_root, &link.receipts, &link.diff, &link.outbox),
            receipts: self.receipts,
            skipped: self.skipped,
            diff,
            link,
            touched,
        })
    }
}

/// Returns the sender's record with nonce and declared work used, or the reason why the transaction is skipped.
pub(crate) fn admit(
    header: &Header,
    parameters: &Parameters,
    record: Option<AccountRecord>,
    transaction: &Transaction,
) -> Result<AccountRecord, Skip> {
    let body = &transaction.body;
    if body.chain != header.chain {
        return Err(Skip::WrongChain);
    }
    if body.version != TRANSACTION_VERSION {
        return Err(Skip::WrongVersion);
    }
    if body.expires_at_ms <= header.time_ms {
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
    let spent = record.spend(parameters, header.time_ms, declared_work(Rules::V2, transaction));
    let left = || Skip::QuotaTooSmall { left: record.quota(parameters, header.time_ms) };
    let spent = spent.ok_or_else(left)?;
    Ok(AccountRecord { nonce: body.nonce + 1, ..spent })
}

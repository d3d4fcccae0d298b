//! Executes one block's transactions under version 2: receipts, skips, state diff, result root.
//!
//! *Invariants:* a transaction's effect depends on its position in the final order alone; a skipped one changes nothing; a
//! failed one uses its nonce and its declared work and changes nothing else; a block runs once, and takes a bounded
//! amount of memory, whatever it reads (V55).

use super::call::{Call, Listed};
use super::first_proofs::verify_first;
use super::governing::{Rules, act, admit_seat};
use super::ledger::Ledger;
use super::operations::{Actor, apply, create_account, grant, set_authority};
use super::pauses::Pauses;
use super::pools::Pools;
use super::record::AccountRecord2;
use super::slots::At;
use super::step::Step;
use super::verifiers::Proofs;
use super::work::step_work;
use crate::execute::{Execution, Input, Skip};
use crate::keys::Name;
use crate::limited::LimitedRead;
use crate::v1::execute::{diff_root, receipts_root};
use crate::v1::ledger::{StateReadError, Stop};
use crate::v1::verifiers::Keys;
use rustorium_crypto::{authority_account, result_root, signer};
use rustorium_state::workers::Workers;
use rustorium_types::{
    AccountId, FailureCode, Hash, Header, Outcome, Parameters, Receipt, ResultLink, Signer, SystemSender, TxId,
};
use std::collections::{BTreeMap, HashSet};

/// Executes a block. These workers verify its proofs.
pub(crate) fn execute<W: Workers>(
    input: &Input<'_>,
    state: &dyn LimitedRead,
    keys: &Keys,
    workers: &W,
) -> Result<Execution, StateReadError> {
    let chain = &input.header.chain;
    let listed: Vec<Listed<'_>> = input.transactions.iter().map(|(id, one)| (*id, Call::of(chain, one))).collect();
    let verdicts = verify_first(input, &listed, state, keys, workers)?;
    run(input, &listed, state, Proofs::new(keys, verdicts))
}

fn run<'a>(
    input: &Input<'a>,
    listed: &'a [Listed<'a>],
    state: &'a dyn LimitedRead,
    proofs: Proofs<'a>,
) -> Result<Execution, StateReadError> {
    let mut run = Run {
        proofs,
        pools: Pools::new(input.header.chain),
        header: input.header,
        parameters: input.parameters,
        ledger: Ledger::new(state, input.parameters.transaction_writes_max),
        receipts: Vec::with_capacity(listed.len()),
        skipped: Vec::new(),
        touched: Vec::new(),
        seen: HashSet::new(),
        seats: BTreeMap::new(),
        pauses: Pauses::default(),
    };
    if !listed.is_empty() {
        run.follow_pauses()?;
    }
    for (place, (id, call)) in listed.iter().enumerate() {
        run.proofs.place.0 = place as u32;
        match call {
            Ok(call) => run.transaction(*id, call)?,
            Err(skip) => run.skipped.push((*id, *skip)),
        }
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
    /// Seats that used a nonce, each with the nonce that it must use next.
    seats: BTreeMap<AccountId, u64>,
    pauses: Pauses,
}

impl<'a> Run<'a> {
    fn transaction(&mut self, id: TxId, call: &'a Call<'a>) -> Result<(), StateReadError> {
        let sender = call.sender;
        let seat = SystemSender::of(&sender);
        let admitted = match seat {
            Some(SystemSender::Seat(number)) => {
                admit_seat(&mut self.ledger, self.header, self.parameters, number, call)?.map(|nonce| {
                    self.seats.insert(sender, nonce);
                })
            }
            None => self.admit_account(call)?,
        };
        if let Err(skip) = admitted {
            self.skipped.push((id, skip));
            return Ok(());
        }
        let (outcome, work) = self.operations(id, call)?;
        if seat.is_some() {
            self.follow_pauses()?;
        }
        self.receipts.push(Receipt {
            transaction: id,
            sender,
            nonce: call.nonce,
            height: self.header.height,
            index: self.receipts.len() as u32,
            time_ms: self.header.time_ms,
            work,
            outcome,
        });
        Ok(())
    }

    /// Takes nonce and quota of an account's transaction, or returns why it is skipped.
    fn admit_account(&mut self, call: &Call<'_>) -> Result<Result<(), Skip>, StateReadError> {
        let at = self.ledger.find(call.sender, Name::Account)?;
        let record = match admit(self.header, self.parameters, self.ledger.account(at), call) {
            Ok(record) => record,
            Err(skip) => return Ok(Err(skip)),
        };
        if let Some(until_ms) = self.pauses.stop(call) {
            return Ok(Err(Skip::Paused { until_ms }));
        }
        self.ledger.write_sender(at, record);
        if self.seen.insert(call.sender) {
            self.touched.push((call.sender, at));
        }
        Ok(Ok(()))
    }

    /// V43: a pause acts from the next transaction on.
    fn follow_pauses(&mut self) -> Result<(), StateReadError> {
        self.pauses = Pauses::read(&mut self.ledger, self.parameters, self.header.time_ms)?;
        Ok(())
    }

    fn operations(&mut self, id: TxId, call: &'a Call<'a>) -> Result<(Outcome, u64), StateReadError> {
        let actor = Actor {
            sender: call.sender,
            key: match call.signer {
                Signer::Single(key) => Some(key),
                Signer::Many(_) => None,
            },
            time_ms: self.header.time_ms,
            epoch: self.header.epoch,
            transaction: id,
        };
        self.ledger.begin(call.work_limit);
        self.pools.begin();
        let mut index = 0;
        let mut done = self.ledger.charge(call.base);
        if done.is_err() {
            let outcome = Outcome::Failed { code: FailureCode::WorkLimit, operation: 0 };
            return Ok((outcome, call.base));
        }
        if self.pauses.holds(call) {
            let outcome = Outcome::Failed { code: FailureCode::Paused, operation: 0 };
            return Ok((outcome, call.base));
        }
        while let (Ok(()), Some(step)) = (&done, call.operations.get(index)) {
            self.proofs.place.1 = index as u16;
            done = self.step(actor, step);
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
    fn step(&mut self, actor: Actor, step: &'a Step<'a>) -> Result<(), Stop> {
        self.ledger.charge(step_work(&actor.sender, step, 0))?;
        if self.pauses.forbid(step) {
            return Err(Stop::Fail(FailureCode::Paused));
        }
        let (chain, ledger) = (self.header.chain, &mut self.ledger);
        match step {
            Step::Seat(step) => act(ledger, actor, Rules { chain, parameters: self.parameters }, step),
            _ if SystemSender::of(&actor.sender).is_some() => Err(Stop::Fail(FailureCode::WrongSender)),
            Step::Listed(operation) => {
                apply(ledger, actor, chain, self.parameters, &self.proofs, &mut self.pools, operation)
            }
            Step::Read(operation) => {
                apply(ledger, actor, chain, self.parameters, &self.proofs, &mut self.pools, operation)
            }
            Step::CreateAccount { region, authority, storage_bytes } => {
                let account = authority_account(*region, authority);
                create_account(ledger, actor, account, signer(authority), *storage_bytes)
            }
            Step::Grant { to, grant: given } => grant(ledger, actor, *to, given),
            Step::SetAuthority(authority) => set_authority(ledger, actor, signer(authority)),
        }
    }

    fn finish(mut self, previous_root: &Hash) -> Result<Execution, StateReadError> {
        let next_nonce = |(account, at): &(AccountId, At)| (*account, self.ledger.account(*at).map_or(0, |r| r.nonce));
        let touched = self.touched.iter().map(next_nonce).chain(std::mem::take(&mut self.seats)).collect();
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
    record: Option<AccountRecord2>,
    call: &Call<'_>,
) -> Result<AccountRecord2, Skip> {
    if call.expires_at_ms <= header.time_ms {
        return Err(Skip::Expired);
    }
    let record = record.ok_or(Skip::UnknownSender)?;
    if call.signer != record.signer {
        return Err(Skip::WrongKey);
    }
    if call.nonce < record.nonce {
        return Err(Skip::NonceUsed { expected: record.nonce });
    }
    // The last nonce is never used, so that there is always a next one.
    if call.nonce > record.nonce || call.nonce == u64::MAX {
        return Err(Skip::NonceAhead { expected: record.nonce });
    }
    let spent = record.spend(parameters, header.time_ms, call.declared_work());
    let left = || Skip::QuotaTooSmall { left: record.quota(parameters, header.time_ms) };
    let spent = spent.ok_or_else(left)?;
    Ok(AccountRecord2 { nonce: call.nonce + 1, ..spent })
}

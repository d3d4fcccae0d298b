//! Executes one block's transactions under version 2: receipts, skips, state diff, result root.
//!
//! *Invariants:* a transaction's effect depends on its position in the final order alone; a skipped one changes nothing; a
//! failed one uses its nonce, its declared work and its history, writes down what became effective before it (V28), and
//! changes nothing else; a block runs once, and takes a bounded amount of memory, whatever it reads (V55).

use super::actor::Actor;
use super::authority::{change, standing};
use super::call::{Call, Listed};
use super::committee::record_of;
use super::first_proofs::verify_first;
use super::governing::{Rules, act, admit_seat};
use super::leaf::Leaf;
use super::ledger::Ledger;
use super::operations::{apply, create_account, grant};
use super::owners::{Touched, act_as_owner, admit_owner};
use super::pauses::Pauses;
use super::places::{executes, reaches_out};
use super::pools::Pools;
use super::quota::{Spent, spend};
use super::record::AccountRecord2;
use super::slots::At;
use super::sponsors::SponsorRecord;
use super::step::Change;
use super::step::Step;
use super::verifiers::Proofs;
use super::work::step_work;
use crate::committee::CommitteeRecord;
use crate::execute::{Execution, Input, Skip};
use crate::keys::Name;
use crate::limited::LimitedRead;
use crate::v1::execute::{diff_root, receipts_root};
use crate::v1::ledger::{StateReadError, Stop};
use crate::v1::verifiers::Keys;
use rustorium_crypto::{authority_account, result_root, signer};
use rustorium_state::workers::Workers;
use rustorium_types::{
    AccountId, Charter, FailureCode, Hash, Header, Outcome, Parameters, Receipt, ResultLink, Signer, SystemSender, TxId,
};
use std::borrow::Cow;
use std::collections::HashSet;

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
        charter: input.charter,
        ledger: Ledger::new(state, input.parameters.transaction_writes_max),
        receipts: Vec::with_capacity(listed.len()),
        skipped: Vec::new(),
        touched: Vec::new(),
        seen: HashSet::new(),
        system: Touched::new(),
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
    charter: &'a Charter,
    ledger: Ledger<'a>,
    receipts: Vec<Receipt>,
    skipped: Vec<(TxId, Skip)>,
    touched: Vec<(AccountId, At)>,
    seen: HashSet<AccountId>,
    /// System senders that used a nonce or act by another key, each with the nonce that it must use next.
    system: Touched,
    pauses: Pauses,
}

impl<'a> Run<'a> {
    fn transaction(&mut self, id: TxId, call: &'a Call<'a>) -> Result<(), StateReadError> {
        let sender = call.sender;
        if !executes(self.charter, &sender) {
            self.skipped.push((id, Skip::Elsewhere));
            return Ok(());
        }
        let system = SystemSender::of(&sender);
        let admitted = match system {
            Some(SystemSender::Seat(number)) => {
                admit_seat(&mut self.ledger, self.header, self.parameters, number, call)?.map(Some)
            }
            Some(SystemSender::Owner(number)) => admit_owner(&mut self.ledger, self.header, number, call)?.map(Some),
            None => self.admit_account(call)?.map(|()| None),
        };
        let admitted = admitted.map(|nonce| nonce.map(|nonce| self.system.insert(sender, nonce)));
        if let Err(skip) = admitted {
            self.skipped.push((id, skip));
            return Ok(());
        }
        let (outcome, work) = self.operations(id, call)?;
        if let Some(SystemSender::Seat(_)) = system {
            self.follow_pauses()?;
        } else if system.is_none() && outcome == Outcome::Ok {
            self.touch_changed(call)?;
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
        let standing = standing(&mut self.ledger, call.sender, at, self.header.time_ms)?;
        let (held, ledger, parameters) =
            ((standing.record, standing.frozen_until_ms), &mut self.ledger, self.parameters);
        let now_ms = self.header.time_ms;
        let sponsor = |number| ledger.sponsor(number, parameters, now_ms);
        let Spent { record, sponsor } = match admit(self.header, parameters, held, call, sponsor)? {
            Ok(spent) => spent,
            Err(skip) => return Ok(Err(skip)),
        };
        if let Some(until_ms) = self.pauses.stop(call) {
            return Ok(Err(Skip::Paused { until_ms }));
        }
        self.ledger.write_sender(at, record);
        if let Some((at, sponsor)) = sponsor {
            self.ledger.write_unpaid(at, Leaf::Bytes(Cow::Owned(sponsor.to_bytes())));
        }
        if let Some((at, leaf)) = standing.became {
            self.ledger.write_unpaid(at, leaf);
        }
        self.touch(call.sender, at);
        Ok(Ok(()))
    }

    /// V43: a pause acts from the next transaction on.
    fn follow_pauses(&mut self) -> Result<(), StateReadError> {
        self.pauses = Pauses::read(&mut self.ledger, self.parameters, self.header.time_ms)?;
        Ok(())
    }

    fn touch(&mut self, account: AccountId, at: At) {
        if self.seen.insert(account) {
            self.touched.push((account, at));
        }
    }

    /// Notes the accounts whose authority the transaction changed as their recovery account (V24).
    fn touch_changed(&mut self, call: &Call<'_>) -> Result<(), StateReadError> {
        for account in call.operations.iter().filter_map(Step::change).filter_map(Change::other) {
            let at = self.ledger.find(account, Name::Account)?;
            self.touch(account, at);
        }
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
        if reaches_out(self.charter, &actor.sender, step) {
            return Err(Stop::Fail(FailureCode::CrossShard));
        }
        let (chain, ledger) = (self.header.chain, &mut self.ledger);
        let rules = Rules { chain, version: self.header.version, parameters: self.parameters };
        match step {
            Step::Seat(step) => {
                // V24: the pool hears of an account whose sponsor changed.
                if let Some(account) = act(ledger, actor, rules, &mut self.system, step)? {
                    let at = self.ledger.find(account, Name::Account)?;
                    self.touch(account, at);
                }
                Ok(())
            }
            Step::Owner(step) => act_as_owner(ledger, actor, rules, step),
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
            Step::Authority(one) => change(ledger, actor, one),
        }
    }

    /// V11: notes that the block's proposer speaks a version that seats want. Headers say that only of later versions, so
    /// most blocks read nothing. A block without transactions changes no state: nothing would claim its root.
    fn note_speaker(&mut self) -> Result<(), StateReadError> {
        if self.header.speaks == 0 || self.header.transactions == 0 {
            return Ok(());
        }
        let (at, record) = record_of(&mut self.ledger)?;
        if let Some(upgrade) = record.upgrade.and_then(|upgrade| upgrade.after(self.header)) {
            let record = CommitteeRecord { upgrade: Some(upgrade), ..record };
            self.ledger.write_unpaid(at, Leaf::Bytes(Cow::Owned(record.to_bytes())));
        }
        Ok(())
    }

    fn finish(mut self, previous_root: &Hash) -> Result<Execution, StateReadError> {
        let next_nonce = |(account, at): &(AccountId, At)| (*account, self.ledger.account(*at).map_or(0, |r| r.nonce));
        let touched = self.touched.iter().map(next_nonce).chain(std::mem::take(&mut self.system)).collect();
        self.note_speaker()?;
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

/// Returns the sender's record with the nonce used and the transaction's charge taken, or the reason why the transaction is
/// skipped. The record is the one in effect, with the time until which the account is frozen. `sponsor` reads a sponsor's
/// record and its place.
///
/// # Errors
/// The sponsor can't be read.
pub(crate) fn admit<K>(
    header: &Header,
    parameters: &Parameters,
    held: (Option<AccountRecord2>, Option<u64>),
    call: &Call<'_>,
    sponsor: impl FnOnce(u32) -> Result<(K, SponsorRecord), StateReadError>,
) -> Result<Result<Spent<K>, Skip>, StateReadError> {
    let record = match may_act(header, held, call) {
        Ok(record) => record,
        Err(skip) => return Ok(Err(skip)),
    };
    let used = AccountRecord2 { nonce: call.nonce + 1, ..record };
    let sponsor = |number| match &call.signer {
        // Whoever can change the chain's settings is hindered by no sponsor's other accounts.
        Signer::Single(key) if parameters.operators.contains(key) => Ok(None),
        _ => sponsor(number).map(Some),
    };
    spend(used, call.charge(), parameters, header.time_ms, sponsor)
}

/// Returns the sender's record if the transaction's time, authority and nonce are right.
fn may_act(
    header: &Header,
    (record, frozen_until_ms): (Option<AccountRecord2>, Option<u64>),
    call: &Call<'_>,
) -> Result<AccountRecord2, Skip> {
    if call.expires_at_ms <= header.time_ms {
        return Err(Skip::Expired);
    }
    let record = record.ok_or(Skip::UnknownSender)?;
    if let Some(until_ms) = frozen_until_ms {
        return Err(Skip::Frozen { until_ms });
    }
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
    Ok(record)
}

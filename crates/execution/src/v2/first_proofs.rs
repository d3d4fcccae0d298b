//! The proofs of a block, verified before it runs (V56).
//!
//! A pass over nonces and quotas alone finds the transactions that will be executed. Their proofs are verified in batches,
//! by the workers that the caller brings, with the keys as of the block before. What the pass leaves out, the run verifies
//! where it stands.
//!
//! *Invariants:* a verdict is the one that the proof would get alone; each verified proof was declared and is charged; the
//! claims in memory are bounded.

use super::call::{Call, Listed};
use super::execute::admit;
use super::pools::{claim_of, pool_of};
use super::record::AccountRecord2;
use super::record::CustodyState;
use super::sponsors::{SponsorRecord, in_effect};
use super::step::Change;
use super::step::{SeatStep, Step};
use super::verifiers::key_of;
use super::work::step_work;
use crate::corrupt::corrupt;
use crate::execute::Input;
use crate::governance::{GovernanceRecord, governance_key};
use crate::keys::{PoolRow, account_key, pool_key, sponsor_key, verifier_key};
use crate::limited::LimitedRead;
use crate::v1::ledger::StateReadError;
use crate::v1::record::VerifierRecord;
use crate::v1::verifiers::{Keys, Place};
use rustorium_crypto::pool_account;
use rustorium_state::workers::Workers;
use rustorium_types::{AccountId, Operation, Parameters, VerifierId};
use rustorium_zk::{Claim, verify_all};
use std::collections::{BTreeMap, BTreeSet};

/// Number of claims that are in memory together. Each may hold a prepared key of 150 kB.
const TOGETHER_MAX: usize = 256;
/// Number of claims from which division among workers gains more than one shared batch.
const DIVIDED_MIN: usize = 8;

/// Verifies the proofs that the block's transactions may reach. Errors: the state can't be read.
pub(crate) fn verify_first<W: Workers>(
    input: &Input<'_>,
    listed: &[Listed<'_>],
    state: &dyn LimitedRead,
    keys: &Keys,
    workers: &W,
) -> Result<BTreeMap<Place, bool>, StateReadError> {
    let calls = || listed.iter().enumerate().filter_map(|(place, (_, call))| Some((place, call.as_ref().ok()?)));
    let senders: BTreeSet<AccountId> =
        calls().filter(|(_, call)| has_proof(call)).map(|(_, call)| call.sender).collect();
    // V43: whether accounts are paused when their turn comes is known to the run alone. If proofs of paused ones were
    // verified here, nobody would pay for them.
    if senders.is_empty() || calls().any(|(_, call)| governs(call)) || is_paused(input, state)? {
        return Ok(BTreeMap::new());
    }
    let mut records: BTreeMap<AccountId, Option<AccountRecord2>> = BTreeMap::new();
    // This pass doesn't know the draws of other senders in this block. So a sponsor's accounts can have at most as many proofs verified
    // in vain as it could pay for.
    let mut sponsors: BTreeMap<u32, SponsorRecord> = BTreeMap::new();
    let (mut verdicts, mut open) = (BTreeMap::new(), Vec::new());
    // The run alone knows whether a change of an authority succeeds, and which one is in effect while a change waits.
    // Proofs of a former authority are in vain: verified here, they would cost time that nobody pays for.
    let mut changing = BTreeSet::new();
    for (place, call) in calls() {
        let sender = call.sender;
        // A recovery account may freeze an account, or give it other keys, before its next transaction.
        changing.extend(call.operations.iter().filter_map(Step::change).filter_map(Change::other));
        if !senders.contains(&sender) || changing.contains(&sender) {
            continue;
        }
        let record = match records.get(&sender) {
            Some(record) => *record,
            None => record_of(state, sender)?,
        };
        if record.is_some_and(|record| record.custody == CustodyState::Pending) {
            changing.insert(sender);
            continue;
        }
        let read = |number| match sponsors.get(&number) {
            Some(sponsor) => Ok((number, *sponsor)),
            None => sponsor_of(state, number, input.parameters).map(|sponsor| (number, sponsor)),
        };
        let sponsor = |number| in_effect(number, input.header.time_ms, read);
        let admitted = admit(input.header, input.parameters, (record, None), call, sponsor)?;
        records.insert(sender, admitted.map(|spent| spent.record).ok().or(record));
        let Ok(spent) = admitted else { continue };
        sponsors.extend(spent.sponsor);
        if call.operations.iter().any(|step| step.change().is_some()) {
            changing.insert(sender);
        }
        for (number, operation) in affordable(call) {
            let Some(claim) = claim(input, state, keys, &sender, operation)? else { continue };
            open.push(((place as u32, number as u16), claim));
            if open.len() == TOGETHER_MAX {
                settle(std::mem::take(&mut open), workers, &mut verdicts);
            }
        }
    }
    settle(open, workers, &mut verdicts);
    Ok(verdicts)
}

/// Tells if a transaction may pause accounts, or end a pause.
fn governs(call: &Call<'_>) -> bool {
    call.operations.iter().any(|step| matches!(step, Step::Seat(SeatStep::Propose { .. } | SeatStep::Approve { .. })))
}

/// Tells if anybody is paused when the block begins.
fn is_paused(input: &Input<'_>, state: &dyn LimitedRead) -> Result<bool, StateReadError> {
    let stored = state.get(&governance_key())?;
    let record = GovernanceRecord::in_force(stored.as_deref(), input.parameters).map_err(corrupt)?;
    Ok(record.pauses.iter().any(|pause| pause.until_ms > input.header.time_ms))
}

fn has_proof(call: &Call<'_>) -> bool {
    let is_proof = |operation: &Operation| matches!(operation, Operation::VerifyProof { .. });
    call.operations.iter().filter_map(Step::first).any(|one| is_proof(one) || pool_of(one).is_some())
}

fn record_of(state: &dyn LimitedRead, sender: AccountId) -> Result<Option<AccountRecord2>, StateReadError> {
    let Some(bytes) = state.get(&account_key(sender))? else { return Ok(None) };
    let corrupt = |error| StateReadError(format!("the record of {sender} is corrupt: {error}"));
    AccountRecord2::from_bytes(&bytes).map(Some).map_err(corrupt)
}

fn sponsor_of(state: &dyn LimitedRead, number: u32, parameters: &Parameters) -> Result<SponsorRecord, StateReadError> {
    SponsorRecord::read(number, state.get(&sponsor_key(number))?.as_deref(), parameters)
}

/// Returns the operations that the declared work can pay for if no value has any bytes, each with its number. Those that
/// version 1 doesn't have need no proof.
fn affordable<'a>(call: &'a Call<'_>) -> impl Iterator<Item = (usize, &'a Operation)> {
    let mut work = call.base;
    let payable = call.operations.iter().enumerate().take_while(move |(_, step)| {
        work = work.saturating_add(step_work(&call.sender, step, 0));
        work <= call.work_limit
    });
    payable.filter_map(|(number, step)| Some((number, step.first()?)))
}

/// Returns the claim that an operation's proof makes; `None` if it has none, or fails before the proof counts.
fn claim(
    input: &Input<'_>,
    state: &dyn LimitedRead,
    keys: &Keys,
    sender: &AccountId,
    operation: &Operation,
) -> Result<Option<Claim>, StateReadError> {
    if let Operation::VerifyProof { verifier, inputs, proof } = operation {
        let Some(bytes) = state.get(&verifier_key(*verifier))? else { return Ok(None) };
        let corrupt = |error| StateReadError(format!("the verifier {verifier} is corrupt: {error}"));
        let record = VerifierRecord::from_bytes(&bytes).map_err(corrupt)?;
        let key = key_of(keys, *verifier, record.key.as_slice())?;
        return Ok(Claim::new(&key, proof.as_slice(), inputs).ok());
    }
    let Some(number) = pool_of(operation) else { return Ok(None) };
    let Some(bytes) = state.get(&pool_key(number, PoolRow::Key))? else { return Ok(None) };
    let key = key_of(keys, VerifierId(pool_account(number).0), &bytes)?;
    Ok(claim_of(input.header.chain, sender, operation, &key))
}

/// Verifies claims and notes the verdicts.
fn settle<W: Workers>(open: Vec<(Place, Claim)>, workers: &W, verdicts: &mut BTreeMap<Place, bool>) {
    let count = if open.len() < DIVIDED_MIN { 1 } else { workers.count().max(1) };
    let size = open.len().div_ceil(count).max(1);
    let (places, claims): (Vec<Place>, Vec<Claim>) = open.into_iter().unzip();
    let found = workers.map(claims.chunks(size).collect(), verify_all);
    verdicts.extend(places.into_iter().zip(found.iter().flatten().map(Result::is_ok)));
}

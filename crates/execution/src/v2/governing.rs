//! The seats' operations: proposals, approvals, and a seat's own authority (V36 to V45).
//!
//! *Invariants:* a change is checked when it is proposed and again when the quorum makes it; nothing but the approvals of
//! present seats under their present authorities counts; no account pays for what seats write.

use super::actor::Actor;
use super::call::Call;
use super::committee::{Change, checked, record_of, write_change};
use super::leaf::Leaf;
use super::ledger::Ledger;
use super::owners::{Touched, note_owner, with_owner};
use super::slots::At;
use super::sponsoring::{Sponsored, sponsored};
use super::step::NewOwner;
use super::step::SeatStep;
use super::turn::{Turn, governance_of, take_turn};
use super::waiting::{Decision, delay_ms, waive};
use crate::committee::CommitteeRecord;
use crate::corrupt::corrupt;
use crate::execute::Skip;
use crate::governance::{
    GovernanceRecord, OpenProposal, PAUSE_MS_MAX, PROPOSAL_MS_MAX, Pause, ProposalRecord, SEAT_PROPOSALS_MAX, Seat,
    SeatApproval, pay,
};
use crate::keys::Name;
use crate::upgrade::Upgrade;
use crate::v1::ledger::{StateReadError, Stop};
use crate::v1::operations::fail;
use crate::wanted::check_wanted;
use rustorium_crypto::{change_hash, is_small_order, parameters_hash, signer};
use rustorium_types::limits::{PAUSES_MAX, PROPOSALS_MAX};
use rustorium_types::{
    AccountId, Authority, BoundedVec, ChainId, FailureCode, GovernanceChange, Hash, Header, Operation, Parameters,
    PauseScope, SYSTEM_ACCOUNT, SystemSender, encode,
};
use std::borrow::Cow;

/// The longest time for which an upgrade may wait by its own time, ms.
const UPGRADE_MS_MAX: u64 = 366 * 24 * 3600 * 1000;
/// Void proposals that a seat's transaction removes.
const REMOVED_MAX: usize = 8;

/// The facts of a block that seats' operations depend on.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) chain: ChainId,
    /// The protocol version.
    pub(crate) version: u16,
    /// The parameters in force.
    pub(crate) parameters: &'a Parameters,
}

/// Returns the pauses of accounts at a header time.
pub(crate) fn pauses_of(
    ledger: &mut Ledger<'_>,
    parameters: &Parameters,
    now_ms: u64,
) -> Result<Vec<Pause>, StateReadError> {
    let pauses = governance_of(ledger, parameters)?.pauses.into_vec();
    Ok(pauses.into_iter().filter(|pause| pause.until_ms > now_ms).collect())
}

/// Takes nonce and room of a seat's transaction and removes some void proposals, or returns why it is skipped. These writes
/// can't be undone. Returns the seat's next nonce.
pub(crate) fn admit_seat(
    ledger: &mut Ledger<'_>,
    header: &Header,
    parameters: &Parameters,
    number: u32,
    call: &Call<'_>,
) -> Result<Result<u64, Skip>, StateReadError> {
    let record = governance_of(ledger, parameters)?;
    let seat = match spend(header, record.seat(number), call) {
        Ok(seat) => seat,
        Err(skip) => return Ok(Err(skip)),
    };
    let next_nonce = seat.nonce;
    let mut record = record.with_seat(seat);
    let is_void = |open: &&OpenProposal| !record.is_live(open, header.time_ms);
    let void: Vec<u64> = record.open.iter().filter(is_void).take(REMOVED_MAX).map(|open| open.number).collect();
    for number in void {
        record = record.without(number);
        let at = ledger.find(SYSTEM_ACCOUNT, Name::Proposal(number))?;
        ledger.write_unpaid(at, Leaf::Absent);
    }
    let at = ledger.find(SYSTEM_ACCOUNT, Name::Governance)?;
    ledger.write_unpaid(at, leaf_of(&record));
    Ok(Ok(next_nonce))
}

/// Returns the seat with nonce and room used, or the reason why its transaction is skipped.
fn spend(header: &Header, seat: Option<&Seat>, call: &Call<'_>) -> Result<Seat, Skip> {
    let turn = seat.map(|seat| Turn { signer: seat.signer, nonce: seat.nonce, room: seat.room(header.time_ms) });
    let operations = take_turn(header, turn, call)?;
    let seat = seat.ok_or(Skip::UnknownSender)?;
    let paid_ms = pay(seat.paid_ms, header.time_ms, operations).unwrap_or(seat.paid_ms);
    Ok(Seat { nonce: call.nonce + 1, paid_ms, ..seat.clone() })
}

/// Executes one operation of a seat. Notes other system senders that it touched, and returns the account to which it gave
/// another sponsor.
pub(crate) fn act(
    ledger: &mut Ledger<'_>,
    actor: Actor,
    rules: Rules<'_>,
    touched: &mut Touched,
    step: &SeatStep<'_>,
) -> Result<Option<AccountId>, Stop> {
    let Some(SystemSender::Seat(number)) = SystemSender::of(&actor.sender) else {
        return fail(FailureCode::WrongSender);
    };
    let record = governance_of(ledger, rules.parameters)?;
    let Some(seat) = record.seat(number).cloned() else { return fail(FailureCode::WrongSender) };
    match step {
        SeatStep::Propose { change, until_ms } => {
            let made = propose(ledger, actor, rules, (record, &seat), (*change, *until_ms))?;
            note_made(ledger, touched, made.then_some(change))
        }
        SeatStep::Approve { number, change } => {
            let made = approve(ledger, actor, rules, (record, &seat), (*number, *change))?;
            note_made(ledger, touched, made.as_ref())
        }
        SeatStep::Withdraw { number } => withdraw(ledger, actor, (record, &seat), *number).map(|()| None),
        SeatStep::SetAuthority(authority) => set_authority(ledger, rules, (record, seat), authority).map(|()| None),
        SeatStep::Wrong => fail(FailureCode::WrongSender),
    }
}

/// Notes the sender that acts by another key after a change that was made. Returns the account that has another sponsor.
fn note_made(
    ledger: &mut Ledger<'_>,
    touched: &mut Touched,
    made: Option<&GovernanceChange>,
) -> Result<Option<AccountId>, Stop> {
    match made {
        Some(GovernanceChange::SetOwner { validator_key, .. }) => {
            note_owner(ledger, touched, validator_key).map(|()| None)
        }
        Some(GovernanceChange::SetSponsor { account, .. } | GovernanceChange::AssignSponsor { account, .. }) => {
            Ok(Some(*account))
        }
        _ => Ok(None),
    }
}

/// Proposes a change. Returns true if that made it.
fn propose(
    ledger: &mut Ledger<'_>,
    actor: Actor,
    rules: Rules<'_>,
    (record, seat): (GovernanceRecord, &Seat),
    (change, until_ms): (&GovernanceChange, u64),
) -> Result<bool, Stop> {
    check_ahead(until_ms, actor.time_ms, PROPOSAL_MS_MAX)?;
    let (number, next_proposal) = (record.next_proposal, record.next_proposal.saturating_add(1));
    let prepared = prepare(ledger, actor, rules, &record, (number, 1), change)?;
    let record = GovernanceRecord { next_proposal, ..record };
    if record.quorum <= 1 {
        return make(ledger, actor, record, prepared).map(|()| true);
    }
    let own = record.live(actor.time_ms).filter(|open| open.seat == seat.number).count();
    if own >= SEAT_PROPOSALS_MAX || record.open.len() >= PROPOSALS_MAX {
        return fail(FailureCode::TooManyProposals);
    }
    let generation = record.generation;
    let mut open = record.open.into_vec();
    open.push(OpenProposal { number, seat: seat.number, generation, until_ms });
    let record = GovernanceRecord { open: BoundedVec::new(open).unwrap_or_default(), ..record };
    let approvals = BoundedVec::new(vec![approval_of(seat)]).unwrap_or_default();
    let proposal = ProposalRecord { change: change.clone(), generation, until_ms, approvals, made: false };
    write_proposal(ledger, number, Some(&proposal))?;
    write_governance(ledger, &record).map(|()| false)
}

/// Approves a proposal. Returns its change if that made it.
fn approve(
    ledger: &mut Ledger<'_>,
    actor: Actor,
    rules: Rules<'_>,
    (record, seat): (GovernanceRecord, &Seat),
    (number, change): (u64, &Hash),
) -> Result<Option<GovernanceChange>, Stop> {
    let proposal = live_proposal(ledger, actor, &record, number)?;
    if change_hash(&proposal.change) != *change {
        return fail(FailureCode::NoSuchProposal);
    }
    let mut approvals: Vec<SeatApproval> = proposal.counted(&record).copied().collect();
    if approvals.contains(&approval_of(seat)) {
        return fail(FailureCode::AlreadyApproved);
    }
    approvals.push(approval_of(seat));
    let (count, all) = (approvals.len(), approvals.len() >= record.seats.len());
    let approved = |made| {
        let approvals = BoundedVec::new(approvals).unwrap_or_default();
        ProposalRecord { approvals, made, ..proposal.clone() }
    };
    if proposal.made && all {
        waive(ledger, actor, number)?;
        write_proposal(ledger, number, None)?;
        write_governance(ledger, &record.without(number))?;
        return Ok(None);
    }
    if proposal.made || count < usize::from(record.quorum) {
        write_proposal(ledger, number, Some(&approved(proposal.made)))?;
        return Ok(None);
    }
    let prepared = prepare(ledger, actor, rules, &record, (number, count), &proposal.change)?;
    let waits = prepared.waits_by(number);
    write_proposal(ledger, number, waits.then(|| approved(true)).as_ref())?;
    make(ledger, actor, if waits { record } else { record.without(number) }, prepared)?;
    Ok(Some(proposal.change))
}

fn withdraw(
    ledger: &mut Ledger<'_>,
    actor: Actor,
    (record, seat): (GovernanceRecord, &Seat),
    number: u64,
) -> Result<(), Stop> {
    let proposal = live_proposal(ledger, actor, &record, number)?;
    let approvals: Vec<SeatApproval> = proposal.counted(&record).copied().collect();
    let others: Vec<SeatApproval> = approvals.iter().filter(|given| given.seat != seat.number).copied().collect();
    let proposed = record.open.iter().any(|open| open.number == number && open.seat == seat.number);
    if !proposed && others.len() == approvals.len() {
        return fail(FailureCode::NoSuchProposal);
    }
    // A proposal ends if its seat withdraws. Otherwise others could keep the seat's proposals open, so that it has no room for
    // another one.
    if proposed || others.is_empty() {
        write_proposal(ledger, number, None)?;
        return write_governance(ledger, &record.without(number));
    }
    let approvals = BoundedVec::new(others).unwrap_or_default();
    write_proposal(ledger, number, Some(&ProposalRecord { approvals, ..proposal }))
}

/// Gives the seat another authority. What it approved before counts no more (V40).
fn set_authority(
    ledger: &mut Ledger<'_>,
    rules: Rules<'_>,
    (record, seat): (GovernanceRecord, Seat),
    authority: &Authority,
) -> Result<(), Stop> {
    // A transaction with more signatures fits no batch.
    if u32::from(authority.threshold()) > rules.parameters.batch_transactions_max {
        return fail(FailureCode::BadParameters);
    }
    let generation = seat.generation.saturating_add(1);
    let seat = Seat { signer: signer(authority), generation, ..seat };
    write_governance(ledger, &record.with_seat(seat))
}

fn approval_of(seat: &Seat) -> SeatApproval {
    SeatApproval { seat: seat.number, generation: seat.generation }
}

/// Returns a proposal that still counts.
fn live_proposal(
    ledger: &mut Ledger<'_>,
    actor: Actor,
    record: &GovernanceRecord,
    number: u64,
) -> Result<ProposalRecord, Stop> {
    let at = ledger.find(SYSTEM_ACCOUNT, Name::Proposal(number))?;
    let Some(bytes) = ledger.bytes(at)? else { return fail(FailureCode::NoSuchProposal) };
    let proposal = ProposalRecord::from_bytes(&bytes).map_err(corrupt)?;
    if proposal.until_ms <= actor.time_ms {
        return fail(FailureCode::NoSuchProposal);
    }
    if proposal.generation == record.generation { Ok(proposal) } else { fail(FailureCode::StaleProposal) }
}

/// The checked result of a change.
enum Prepared {
    /// The record of the committee, whose changes boundaries take.
    Committee(At, Box<Change>),
    /// The pauses from now on.
    Pauses(Vec<Pause>),
    /// The sponsor of an account from now on.
    Sponsor(Box<Sponsored>),
}

impl Prepared {
    /// Tells if operators are wanted by this proposal and must wait (V46).
    fn waits_by(&self, number: u64) -> bool {
        match self {
            Self::Committee(_, change) => change.record.wait.is_some_and(|wait| wait.proposal == number),
            Self::Pauses(_) | Self::Sponsor(_) => false,
        }
    }
}

/// Checks a change as a whole (V8, V44) and returns its result. `number`, `approvals`: its proposal's.
fn prepare(
    ledger: &mut Ledger<'_>,
    actor: Actor,
    rules: Rules<'_>,
    governance: &GovernanceRecord,
    (number, approvals): (u64, usize),
    change: &GovernanceChange,
) -> Result<Prepared, Stop> {
    if change.new_keys().into_iter().any(is_small_order) {
        return fail(FailureCode::NotPossessed);
    }
    if let GovernanceChange::Pause { scope, until_ms } = change {
        check_ahead(*until_ms, actor.time_ms, PAUSE_MS_MAX)?;
        return paused(governance, actor.time_ms, Pause { scope: *scope, until_ms: *until_ms });
    }
    if let GovernanceChange::Resume { scope } = change {
        return resumed(governance, actor.time_ms, *scope);
    }
    if let Some(result) = sponsored(ledger, rules.parameters, actor.time_ms, (number, change))? {
        return Ok(Prepared::Sponsor(Box::new(result)));
    }
    let (at, record) = record_of(ledger)?;
    let change = if let GovernanceChange::SetOwner { validator_key, new_owner_key, possession } = change {
        with_owner(ledger, record, rules.chain, NewOwner { validator_key, new_owner_key, possession })?
    } else if let GovernanceChange::Upgrade { version, not_before_ms } = change {
        let upgrade = upgraded(record.upgrade, rules.version, actor.time_ms, (*version, *not_before_ms))?;
        Change::of_no_key(CommitteeRecord { upgrade, ..record })
    } else if let Some(operation) = of_the_committee(change) {
        checked(ledger, record, actor.epoch, rules.chain, &operation)?
    } else {
        let (all, wait_ms) = (approvals >= governance.seats.len(), delay_ms(rules.parameters));
        let decision = Decision { number, now_ms: actor.time_ms, all, wait_ms };
        wanting(record, rules.parameters, decision, change).map(Change::of_no_key).map_err(Stop::Fail)?
    };
    Ok(Prepared::Committee(at, Box::new(change)))
}

/// Returns the operation on the committee that a change is; `None` if it is none.
fn of_the_committee(change: &GovernanceChange) -> Option<Operation> {
    Some(match change.clone() {
        GovernanceChange::AddValidator { validator, possession } => Operation::AddProven { validator, possession },
        GovernanceChange::RemoveValidator { validator_key } => Operation::RemoveValidator { validator_key },
        GovernanceChange::ReplaceKey { validator_key, new_validator_key, new_node_key, possession } => {
            Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession }
        }
        GovernanceChange::EndEpoch { epoch } => Operation::EndEpoch { epoch },
        GovernanceChange::SetParameters { .. }
        | GovernanceChange::SetOperators { .. }
        | GovernanceChange::Pause { .. }
        | GovernanceChange::Resume { .. }
        | GovernanceChange::SetOwner { .. }
        | GovernanceChange::SetSponsor { .. }
        | GovernanceChange::AssignSponsor { .. }
        | GovernanceChange::Upgrade { .. } => return None,
    })
}

/// V12: returns the record that wants the parameters or operators of a change.
pub(super) fn wanting(
    record: CommitteeRecord,
    in_force: &Parameters,
    decision: Decision,
    change: &GovernanceChange,
) -> Result<CommitteeRecord, FailureCode> {
    let now = record.wanted(in_force);
    let (base, wanted) = match change {
        GovernanceChange::SetParameters { base, parameters } => {
            if parameters.governors() != now.governors() {
                return Err(FailureCode::BadParameters);
            }
            (base, parameters.clone())
        }
        GovernanceChange::SetOperators { base, operators, quorum } => {
            let operators = operators.clone();
            (base, Parameters { operators, operator_quorum: *quorum, ..now.clone() })
        }
        _ => return Err(FailureCode::BadParameters),
    };
    if *base != parameters_hash(now) {
        return Err(FailureCode::StaleProposal);
    }
    check_wanted(in_force, &wanted).map_err(|_| FailureCode::BadParameters)?;
    let wait = decision.wait(record.wait.unwrap_or_default(), in_force, (now, &wanted));
    Ok(CommitteeRecord { wanted: Some(Box::new(wanted)), wait, ..record })
}

/// V11: returns the upgrade that is wanted after a decision: the next version, or none if the decision names the present
/// one. Members that spoke the version so far go on counting.
fn upgraded(
    wanted: Option<Upgrade>,
    now: u16,
    now_ms: u64,
    (version, not_before_ms): (u16, u64),
) -> Result<Option<Upgrade>, Stop> {
    let wanted = wanted.filter(|held| held.is_next(now));
    if version == now {
        return if wanted.is_some() { Ok(None) } else { fail(FailureCode::BadVersion) };
    }
    let held = wanted.filter(|held| held.version == version).unwrap_or(Upgrade::new(version, not_before_ms));
    if !held.is_next(now) {
        return fail(FailureCode::BadVersion);
    }
    if not_before_ms > now_ms.saturating_add(UPGRADE_MS_MAX) {
        return fail(FailureCode::BadTime);
    }
    Ok(Some(Upgrade { not_before_ms, ..held }))
}

fn paused(governance: &GovernanceRecord, now_ms: u64, pause: Pause) -> Result<Prepared, Stop> {
    // Those who govern are never stopped.
    if let PauseScope::Account(account) = pause.scope
        && (account == SYSTEM_ACCOUNT || SystemSender::of(&account).is_some())
    {
        return fail(FailureCode::BadPause);
    }
    let mut pauses = others(governance, now_ms, pause.scope);
    pauses.push(pause);
    if pauses.len() > PAUSES_MAX { fail(FailureCode::BadPause) } else { Ok(Prepared::Pauses(pauses)) }
}

fn resumed(governance: &GovernanceRecord, now_ms: u64, scope: PauseScope) -> Result<Prepared, Stop> {
    match governance.paused_until(scope, now_ms) {
        Some(_) => Ok(Prepared::Pauses(others(governance, now_ms, scope))),
        None => fail(FailureCode::BadPause),
    }
}

/// Returns the pauses of other scopes that aren't over.
fn others(governance: &GovernanceRecord, now_ms: u64, scope: PauseScope) -> Vec<Pause> {
    let stays = |pause: &&Pause| pause.scope != scope && pause.until_ms > now_ms;
    governance.pauses.iter().filter(stays).copied().collect()
}

/// Makes a checked change. Returns the account to which it gave another sponsor.
fn make(ledger: &mut Ledger<'_>, actor: Actor, mut record: GovernanceRecord, prepared: Prepared) -> Result<(), Stop> {
    match prepared {
        Prepared::Committee(at, change) => write_change(ledger, None, actor.epoch, at, *change)?,
        Prepared::Pauses(pauses) => record.pauses = BoundedVec::new(pauses).unwrap_or_default(),
        Prepared::Sponsor(result) => result.write(ledger)?,
    }
    write_governance(ledger, &record)
}

/// Checks that a time is ahead, and at most `max_ms`.
fn check_ahead(until_ms: u64, now_ms: u64, max_ms: u64) -> Result<(), Stop> {
    let ahead = until_ms > now_ms && until_ms - now_ms <= max_ms;
    if ahead { Ok(()) } else { fail(FailureCode::BadTime) }
}

fn leaf_of<'a>(record: &GovernanceRecord) -> Leaf<'a> {
    Leaf::Bytes(Cow::Owned(record.to_bytes()))
}

fn write_governance(ledger: &mut Ledger<'_>, record: &GovernanceRecord) -> Result<(), Stop> {
    let at = ledger.find(SYSTEM_ACCOUNT, Name::Governance)?;
    ledger.write(at, leaf_of(record))
}

fn write_proposal(ledger: &mut Ledger<'_>, number: u64, proposal: Option<&ProposalRecord>) -> Result<(), Stop> {
    let at = ledger.find(SYSTEM_ACCOUNT, Name::Proposal(number))?;
    ledger.write(at, proposal.map_or(Leaf::Absent, |proposal| Leaf::Bytes(Cow::Owned(encode(proposal)))))
}

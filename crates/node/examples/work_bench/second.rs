//! The operations that only version 2 has: those of operators' seats, each where it makes its change, and those of accounts of
//! eight keys.

use crate::Outcome;
use crate::cases::{Case, SECOND_ONLY, each, elsewhere, genesis_of, leaf_of, long_name, own_grants, prefixes, proven};
use crate::chain::{account, signer};
use rustorium_crypto::change_hash;
use rustorium_execution::{
    AccountRecord2, AfterEnd, Allowance, COMMON, ChangedBy, CustodyRecord, CustodyState, GovernanceRecord,
    OpenProposal, Pause, PendingChange, ProposalRecord, SeatApproval, SponsorEnd, SponsorRecord, hashes,
};
use rustorium_types::limits::{PAUSES_MAX, PROPOSALS_MAX, VALIDATORS_MAX};
use rustorium_types::{
    Authority, AuthoritySettings, BoundedVec, ChainId, Genesis, GovernanceChange, LeafWrite, Operation, Operation2,
    Parameters, PauseScope, Recovery, Rights, Rules, SYSTEM_ACCOUNT, ShardId, Signer, SignerKey, SystemSender, encode,
};

/// Seats, which are the senders, too.
const SEATS: usize = 12;
/// Seats that must approve a change, where a case has approvals.
const QUORUM: u8 = 7;
/// Operations of a seat's transaction.
const OPERATIONS: usize = 4;
/// A time that is ahead in every block, and not too far.
const UNTIL_MS: u64 = 1_800_000_000_000 + 86_400_000;
const STORAGE_BYTES: u64 = 1 << 30;
/// Kinds of leaves, as names begin.
const ACCOUNT: u8 = 0;
const CUSTODY: u8 = 10;
const SPONSOR: u8 = 13;
const GOVERNANCE: u8 = 16;
const PROPOSAL: u8 = 17;

/// Returns the cases.
pub fn cases() -> Vec<Case> {
    let seat = |name, operations, second, leaves| Case {
        name,
        senders: SEATS,
        operations,
        sender: |number| SystemSender::Seat(number as u32).id(),
        second: Some(second),
        leaves,
        ..SECOND_ONLY
    };
    let approvals = Case { genesis: governed, ..seat("approve_replace_key", 1, approvals_of, proposals) };
    vec![
        Case { name: "create_account_8_keys", operations: 8, second: Some(accounts_of), ..SECOND_ONLY },
        Case {
            name: "grant_with_end_over_grant",
            senders: 60,
            operations: 4,
            second: Some(grants_of),
            leaves: own_grants,
            ..SECOND_ONLY
        },
        Case {
            name: "recover_8_keys",
            senders: 60,
            operations: 4,
            second: Some(recoveries_of),
            leaves: waiting_changes,
            ..SECOND_ONLY
        },
        approvals,
        seat("propose_pause", OPERATIONS, pauses_of, |s, r| governance(s, r, 1)),
        seat("propose_set_sponsor", OPERATIONS, shares_of, sponsored),
        seat("propose_assign_sponsor", OPERATIONS, assignments_of, sponsored),
    ]
}

fn eight_keys(first: usize) -> Outcome<Authority> {
    let mut keys: Vec<SignerKey> = (first..first + 8).map(|n| SignerKey::Ed25519(signer(n).public())).collect();
    keys.sort_unstable();
    Ok(Authority::new(8, keys)?)
}

fn recoveries_of(sender: usize, round: usize) -> Outcome<Vec<Operation2>> {
    let authority = eight_keys(1_000)?;
    each(4, |n| {
        let account = account(elsewhere(sender, round, n));
        Ok(Operation2::Recover { account, authority: authority.clone() })
    })
}

/// Accounts that the sender recovers, each with the largest custody leaf: a change waits that the recovery replaces.
fn waiting_changes(sender: usize, round: usize) -> Outcome<Vec<LeafWrite>> {
    let recovery = Some(Recovery { account: account(sender), delay_ms: 3_600_000, is_final: true });
    let settings =
        |first| -> Outcome<_> { Ok(AuthoritySettings { authority: eight_keys(first)?, delay_ms: 1, recovery }) };
    let pending =
        PendingChange { by: ChangedBy::Keys, settings: settings(2_000)?, void_grants: true, due_ms: u64::MAX };
    let custody = CustodyRecord { settings: settings(3_000)?, pending: Some(pending) }.to_bytes();
    let leaves = |n: usize| -> Outcome<_> {
        let owner = elsewhere(sender, round, n);
        let record = AccountRecord2 {
            signer: Signer::Single(signer(owner).public()),
            nonce: 0,
            storage_bytes_left: STORAGE_BYTES,
            sponsor: COMMON,
            work: Allowance::default(),
            history: Allowance::default(),
            custody: CustodyState::Pending,
            grants_era: 0,
        };
        let record = leaf_of(account(owner), ACCOUNT, &[], record.to_bytes());
        Ok([record, leaf_of(account(owner), CUSTODY, &[], custody.clone())])
    };
    Ok(each(4, leaves)?.into_iter().flatten().collect())
}

fn accounts_of(sender: usize, round: usize) -> Outcome<Vec<Operation2>> {
    each(8, |number| {
        let authority = eight_keys(1 << 21 | round << 16 | sender << 7 | number << 3)?;
        Ok(Operation2::CreateAccount { region: 0, authority, storage_bytes: 1_000 })
    })
}

fn grants_of(sender: usize, round: usize) -> Outcome<Vec<Operation2>> {
    each(4, |n| {
        let (to, prefixes) = (account(elsewhere(sender, round, n)), prefixes(&long_name(n + 100))?);
        Ok(Operation2::Grant { to, rights: Rights { put: true, delete: false }, prefixes, until_ms: Some(UNTIL_MS) })
    })
}

fn governed(case: &Case, rules: Rules) -> Outcome<Genesis> {
    let made = genesis_of(case, rules, VALIDATORS_MAX)?;
    Ok(Genesis { parameters: Parameters { operator_quorum: QUORUM, ..made.parameters }, ..made })
}

fn paused(number: usize) -> PauseScope {
    PauseScope::Account(account(elsewhere(0, 0, number % PAUSES_MAX)))
}

/// Returns the largest governance record of this quorum, once for the chain.
fn governance(sender: usize, round: usize, operator_quorum: u8) -> Outcome<Vec<LeafWrite>> {
    if (sender, round) != (0, 0) {
        return Ok(Vec::new());
    }
    let operators = BoundedVec::new((0..SEATS).map(|number| signer(number).public()).collect())?;
    let first = GovernanceRecord::first(&Parameters { operators, operator_quorum, ..Parameters::of(Rules::V2) });
    let open = |number| OpenProposal { number, seat: 0, generation: 0, until_ms: UNTIL_MS };
    let pause = |number| Pause { scope: paused(number), until_ms: UNTIL_MS };
    let record = GovernanceRecord {
        open: BoundedVec::new((1..=PROPOSALS_MAX as u64).map(open).collect())?,
        pauses: BoundedVec::new((0..PAUSES_MAX).map(pause).collect())?,
        next_proposal: PROPOSALS_MAX as u64 + 1,
        ..first
    };
    Ok(vec![leaf_of(SYSTEM_ACCOUNT, GOVERNANCE, &[], record.to_bytes())])
}

fn number_of(sender: usize, round: usize) -> u64 {
    1 + (round * SEATS + sender) as u64
}

fn chain_of_seats() -> Outcome<ChainId> {
    let found = cases().into_iter().find(|case| case.name == "approve_replace_key").ok_or("no such case")?;
    Ok(hashes(&governed(&found, Rules::V2)?, ShardId::ROOT).chain)
}

/// Returns the change that a seat's approval makes: other keys of a validator, whose proof of possession is checked.
fn replacement(sender: usize, round: usize) -> Outcome<GovernanceChange> {
    match proven(chain_of_seats()?, sender, round)? {
        Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession } => {
            Ok(GovernanceChange::ReplaceKey { validator_key, new_validator_key, new_node_key, possession })
        }
        _ => Err("no other keys".into()),
    }
}

fn approvals_of(sender: usize, round: usize) -> Outcome<Vec<Operation2>> {
    let (number, change) = (number_of(sender, round), change_hash(&replacement(sender, round)?));
    Ok(vec![Operation2::Approve { number, change }])
}

/// Returns a proposal that lacks one approval.
fn proposals(sender: usize, round: usize) -> Outcome<Vec<LeafWrite>> {
    let approval = |ahead: usize| SeatApproval { seat: ((sender + ahead) % SEATS) as u32, generation: 0 };
    let approvals = BoundedVec::new((1..usize::from(QUORUM)).map(approval).collect())?;
    let change = replacement(sender, round)?;
    let record = ProposalRecord { change, generation: 0, until_ms: UNTIL_MS, approvals, made: false };
    let number = number_of(sender, round).to_be_bytes();
    let leaf = leaf_of(SYSTEM_ACCOUNT, PROPOSAL, &number, encode(&record));
    Ok(governance(sender, round, QUORUM)?.into_iter().chain([leaf]).collect())
}

fn proposing(change: GovernanceChange) -> Operation2 {
    Operation2::Propose { change: Box::new(change), until_ms: UNTIL_MS }
}

fn pauses_of(sender: usize, round: usize) -> Outcome<Vec<Operation2>> {
    each(OPERATIONS, |n| {
        let scope = paused(round * SEATS * OPERATIONS + sender * OPERATIONS + n);
        Ok(proposing(GovernanceChange::Pause { scope, until_ms: UNTIL_MS }))
    })
}

fn sponsor_of(sender: usize, round: usize, number: usize) -> u32 {
    1_000_000 + (round << 12 | sender << 4 | number) as u32
}

/// Returns accounts that are sponsors with an end.
fn sponsored(sender: usize, round: usize) -> Outcome<Vec<LeafWrite>> {
    let leaves = |n: usize| -> Outcome<_> {
        let (owner, sponsor) = (elsewhere(sender, round, n), sponsor_of(sender, round, n));
        let record = AccountRecord2 {
            signer: Signer::Single(signer(owner).public()),
            nonce: 0,
            storage_bytes_left: STORAGE_BYTES,
            sponsor,
            work: Allowance::default(),
            history: Allowance::default(),
            custody: CustodyState::Absent,
            grants_era: 0,
        };
        let end = SponsorEnd { until_ms: UNTIL_MS, then: AfterEnd::Shares { work_ppm: 1, history_ppm: 1 } };
        let held = SponsorRecord { end: Some(end), ..SponsorRecord::new(account(owner), 2, 2) };
        let record = leaf_of(account(owner), ACCOUNT, &[], record.to_bytes());
        Ok([record, leaf_of(SYSTEM_ACCOUNT, SPONSOR, &sponsor.to_le_bytes(), held.to_bytes())])
    };
    let of_all = each(OPERATIONS, leaves)?.into_iter().flatten();
    Ok(governance(sender, round, 1)?.into_iter().chain(of_all).collect())
}

fn shares_of(sender: usize, round: usize) -> Outcome<Vec<Operation2>> {
    each(OPERATIONS, |n| {
        let account = account(elsewhere(sender, round, n));
        let (work_ppm, history_ppm, until_ms) = (9, 9, Some(UNTIL_MS));
        Ok(proposing(GovernanceChange::SetSponsor { account, work_ppm, history_ppm, until_ms }))
    })
}

fn assignments_of(sender: usize, round: usize) -> Outcome<Vec<Operation2>> {
    each(OPERATIONS, |n| {
        let (account, sponsor) = (account(elsewhere(sender, round, n)), sponsor_of(sender, round, OPERATIONS - 1 - n));
        Ok(proposing(GovernanceChange::AssignSponsor { account, sponsor }))
    })
}

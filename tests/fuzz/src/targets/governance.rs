//! The system account's records of who governs: one encoding each, and what they lead to holds.

use super::canonical;
use rustorium_execution::{
    CommitteeRecord, GovernanceRecord, OpenProposal, OperatorsWait, OwnerRecord, Owners, Pause, ProposalRecord,
    SeatApproval, Wanted, genesis, next_term_of, term_of,
};
use rustorium_types::limits::VALUE_BYTES_MAX;
use rustorium_types::*;

/// Three operators, two of whom decide.
fn parameters() -> Parameters {
    let operators = BoundedVec::new(vec![[1; 32], [2; 32], [3; 32]]).unwrap_or_default();
    Parameters { operators, operator_quorum: 2, ..Parameters::of(Rules::V2) }
}

/// A record of seats, of a proposal or of the committee. Parameters in force give each operator one seat.
pub fn record(input: &[u8]) {
    if let Some(record) = canonical::<GovernanceRecord>(input, VALUE_BYTES_MAX) {
        let in_force = GovernanceRecord::in_force(Some(input), &parameters()).unwrap_or_else(|error| panic!("{error}"));
        let keys = in_force.seats.iter().map(|seat| seat.first_key);
        assert!(keys.eq(parameters().operators.iter().copied()), "each operator has a seat");
        assert!(in_force.generation >= record.generation && in_force.next_seat >= record.next_seat);
    }
    canonical::<ProposalRecord>(input, VALUE_BYTES_MAX);
    if let Ok(record) = CommitteeRecord::from_bytes(input) {
        assert_eq!(record.to_bytes(), input, "two encodings of one record");
        let now = term_of(&header(), &parameters());
        for time_ms in [0, record.operators_from_ms(), u64::MAX] {
            let parameters_at = record.wanted_at(&parameters(), time_ms);
            let version = record.version_at((now.epoch, now.version), 4, time_ms);
            let wanted = Wanted { committee: now.validators, version, parameters: parameters_at.as_deref() };
            let (next, new) = next_term_of(&now, &parameters(), wanted);
            assert_eq!(next.check_follows(&now), Ok(()), "a term that no light client follows");
            assert_eq!(new.is_some(), next.parameters != now.parameters);
            assert!(time_ms >= record.operators_from_ms() || next.operators == now.operators, "they wait");
        }
        for number in record.numbered().numbers.iter() {
            assert!(record.validator(*number).is_none_or(|one| record.target.contains(one)));
        }
    }
    canonical::<OwnerRecord>(input, VALUE_BYTES_MAX);
}

fn made() -> Genesis {
    Genesis {
        version: 2,
        name: BoundedBytes::default(),
        time_ms: 1,
        parameters: parameters(),
        validators: BoundedVec::default(),
        accounts: BoundedVec::default(),
        pools: BoundedVec::default(),
        sponsors: BoundedVec::default(),
        shards: BoundedVec::default(),
    }
}

fn header() -> Header {
    genesis(&made(), ShardId::ROOT).header
}

pub fn records() -> Vec<Vec<u8>> {
    let first = GovernanceRecord::first(&parameters());
    let open = OpenProposal { number: 1, seat: 2, generation: 0, until_ms: 9 };
    let pause = Pause { scope: PauseScope::Account(AccountId([7; 32])), until_ms: 9 };
    let acted = GovernanceRecord {
        open: BoundedVec::new(vec![open]).unwrap_or_default(),
        pauses: BoundedVec::new(vec![pause]).unwrap_or_default(),
        ..first.clone()
    };
    let proposal = ProposalRecord {
        change: GovernanceChange::Resume { scope: PauseScope::All },
        generation: 0,
        until_ms: 9,
        approvals: BoundedVec::new(vec![SeatApproval { seat: 2, generation: 0 }]).unwrap_or_default(),
        made: false,
    };
    let plain = CommitteeRecord::first(Rules::V2, BoundedVec::default());
    let wanted = Some(Box::new(Parameters { epoch_ms: 7_200_000, ..parameters() }));
    let wanting = CommitteeRecord { wanted, ..plain.clone() };
    let wait = Some(OperatorsWait { proposal: 3, from_ms: 7, least_ms: 5 });
    let owners = Owners { next: 2, epoch: Epoch(4), ..Owners::default() };
    let waiting = CommitteeRecord { wait, owners: Some(Box::new(owners)), ..wanting.clone() };
    let owner = OwnerRecord { nonce: 3, paid_ms: 9 };
    let committees = [plain.to_bytes(), wanting.to_bytes(), waiting.to_bytes()];
    [first.to_bytes(), acted.to_bytes(), encode(&proposal), owner.to_bytes()].into_iter().chain(committees).collect()
}

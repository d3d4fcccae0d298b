//! The bounds of a chain's parameters, for each protocol version.
//!
//! *Invariants:* under parameters that pass, a change of the committee fits a batch, a block and an operator's quota, so
//! no setting prevents that it is undone.

use crate::v1::work;
use crate::v2::quota::TRANSACTION_HISTORY_MAX;
use crate::v2::work as work2;
use rustorium_types::limits::{BATCH_BYTES_MAX, BATCH_TRANSACTIONS_MAX, TRANSACTION_BYTES_MAX};
use rustorium_types::{Parameters, PublicKey, Rules, WHOLE_PPM};
use std::ops::RangeInclusive;

/// The shortest epoch that a chain may have, ms. With shorter ones, nodes would do little else than start epochs.
const EPOCH_MS_MIN: u64 = 1_000;
/// The longest epoch of version 2: 30 days, in ms.
const EPOCH_MS_MAX: u64 = 30 * 24 * 3600 * 1000;
/// The times by which headers of version 2 may be ahead of a voter's clock, ms.
const CLOCK_AHEAD_MS: RangeInclusive<u64> = 500..=10_000;

/// The least growth of an account's history quota, bytes a second: an operator can change the committee again after 20
/// minutes.
const HISTORY_PER_S_MIN: u64 = 64;
/// The times for which a sponsor's unused share may add up, ms: up to a day.
const BURST_MS: RangeInclusive<u64> = 1..=24 * 3600 * 1000;
/// The longest wait of new operators: 30 days, in ms.
const OPERATORS_DELAY_MS_MAX: u64 = 30 * 24 * 3600 * 1000;
/// Largest wait of operators that owners decide on.
const OWNERS_RECOVER_MS_MAX: u64 = 365 * 24 * 3600 * 1000;

/// Bytes of the largest transaction with one change of the committee, rounded up.
const GOVERNING_BYTES: u64 = 1_024;
/// Cost of the dearest transaction of version 2 with one change of the committee.
const GOVERNING: u64 = work2::BASE
    + work2::SIGNATURE
    + 2 * work2::RECORD
    + GOVERNING_BYTES / work2::BYTES_PER_UNIT
    + work2::COMMITTEE
    + work2::POSSESSION;

// V8: what lets a change of the committee through also lets the largest proposal and its approvals through.
const _: () = assert!(work2::GOVERNING <= GOVERNING);

/// A name of a parameter, and true if it keeps a bound.
type Bound = (&'static str, bool);

/// Checks the parameters of a genesis that follows these rules.
///
/// # Errors
/// The name of a parameter that is out of range.
pub(crate) fn check_parameters(parameters: &Parameters, rules: Rules) -> Result<(), &'static str> {
    match rules {
        Rules::V1 => {
            let age = ("min_epoch_ms", parameters.min_epoch_ms.is_none());
            let capacity = ("capacity", parameters.capacity.is_none());
            let delay = ("operators_delay_ms", parameters.operators_delay_ms.is_none());
            let recover = ("owners_recover_ms", parameters.owners_recover_ms.is_none());
            let leaders = ("not_leading", parameters.not_leading.is_empty());
            all(common(parameters).into_iter().chain([age, capacity, delay, recover, leaders]))
        }
        Rules::V2 => check_parameters2(parameters),
    }
}

/// V8: checks parameters of version 2 as a whole: each bound, each pair, and that operators can still act under them.
///
/// # Errors
/// The name of a parameter that is out of range.
pub fn check_parameters2(p: &Parameters) -> Result<(), &'static str> {
    let age_ms = p.min_epoch_ms.unwrap_or(0);
    let quorum = quorums(p.operators.len()).contains(&usize::from(p.operator_quorum));
    // The sender's record and the committee's, the approvals, and the leaves of retired keys.
    let leaves = 3 + work::RETIRED_LEAVES;
    let Some(c) = p.capacity else { return Err("capacity") };
    let delay = p.operators_delay_ms.is_some_and(|delay_ms| delay_ms <= OPERATORS_DELAY_MS_MAX);
    let recover = p.owners_recover_ms.is_some_and(|delay_ms| delay_ms <= OWNERS_RECOVER_MS_MAX);
    let bounds = [
        ("min_epoch_ms", (EPOCH_MS_MIN..=p.epoch_ms).contains(&age_ms)),
        ("epoch_ms", p.epoch_ms <= EPOCH_MS_MAX),
        ("clock_ahead_ms_max", CLOCK_AHEAD_MS.contains(&p.clock_ahead_ms_max)),
        ("operator_quorum", quorum),
        ("operators_delay_ms", delay),
        ("owners_recover_ms", recover),
        ("not_leading", are_distinct(&p.not_leading)),
        ("batch_work_max", p.batch_work_max >= GOVERNING),
        ("transaction_writes_max", u64::from(p.transaction_writes_max) >= leaves),
        // Otherwise a transaction that a batch may list would wait for ever.
        ("quota_work_max", p.quota_work_max >= p.batch_work_max),
        ("quota_work_per_s", p.quota_work_per_s >= 1),
        ("capacity.quota_history_max", c.quota_history_max >= TRANSACTION_HISTORY_MAX),
        ("capacity.quota_history_per_s", c.quota_history_per_s >= HISTORY_PER_S_MIN),
        ("capacity.work_per_s", c.work_per_s >= 1),
        ("capacity.history_per_s", c.history_per_s >= 1),
        ("capacity.work_burst_ms", BURST_MS.contains(&c.work_burst_ms)),
        ("capacity.history_burst_ms", BURST_MS.contains(&c.history_burst_ms)),
        ("capacity.common_ppm", (1..=WHOLE_PPM).contains(&c.common_ppm)),
    ];
    all(common(p).into_iter().chain(bounds))
}

/// V45: returns the quorums that so many operators may have: more than half of them, and from three on not all.
pub fn quorums(operators: usize) -> RangeInclusive<usize> {
    match operators {
        0 => 0..=0,
        1..3 => operators..=operators,
        _ => operators / 2 + 1..=operators - 1,
    }
}

fn are_distinct(keys: &[PublicKey]) -> bool {
    (1..keys.len()).all(|place| !keys[..place].contains(&keys[place]))
}

fn all(bounds: impl IntoIterator<Item = Bound>) -> Result<(), &'static str> {
    bounds.into_iter().find(|(_, holds)| !holds).map_or(Ok(()), |(name, _)| Err(name))
}

/// Returns the bounds of all versions.
fn common(p: &Parameters) -> [Bound; 16] {
    [
        ("batch_bytes_max", p.batch_bytes_max as usize >= TRANSACTION_BYTES_MAX),
        // A batch has a few fields of its own around the transactions.
        ("batch_bytes_max", p.batch_bytes_max as usize <= BATCH_BYTES_MAX - 1024),
        ("batch_transactions_max", (1..=BATCH_TRANSACTIONS_MAX).contains(&(p.batch_transactions_max as usize))),
        ("batch_work_max", p.batch_work_max >= work::TRANSACTION),
        ("block_bytes_max", p.block_bytes_max >= p.batch_bytes_max),
        ("block_transactions_max", p.block_transactions_max >= p.batch_transactions_max),
        ("block_work_max", p.block_work_max >= p.batch_work_max),
        ("transaction_writes_max", p.transaction_writes_max >= 2),
        ("lane_window_batches", p.lane_window_batches >= 1),
        ("lane_window_bytes", p.lane_window_bytes >= p.batch_bytes_max),
        ("claim_lag_max", p.claim_lag_max >= 1),
        ("expiry_ahead_ms_max", p.expiry_ahead_ms_max >= 1),
        ("quota_work_max", p.quota_work_max >= work::TRANSACTION),
        ("epoch_ms", p.epoch_ms >= EPOCH_MS_MIN),
        ("operators", are_distinct(&p.operators)),
        ("operator_quorum", (p.operators.len().min(1)..=p.operators.len()).contains(&usize::from(p.operator_quorum))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::{BoundedVec, Capacity};

    #[test]
    fn a_quorum_is_more_than_half_and_leaves_one_operator_out() {
        let of = |operators| quorums(operators).collect::<Vec<_>>();
        assert_eq!((of(0), of(1), of(2), of(3)), (vec![0], vec![1], vec![2], vec![2]));
        assert_eq!((of(4), of(5), of(16)), (vec![3], vec![3, 4], (9..=15).collect()));
    }

    fn capacity(parameters: &mut Parameters) -> &mut Capacity {
        parameters.capacity.get_or_insert_default()
    }

    #[test]
    fn parameters_of_version_two_are_checked_as_a_whole() {
        type Change = fn(&mut Parameters);
        let refused: [(&str, Change); 26] = [
            ("not_leading", |p| p.not_leading = BoundedVec::new(vec![[1; 32], [2; 32], [1; 32]]).unwrap_or_default()),
            ("operators_delay_ms", |p| p.operators_delay_ms = None),
            ("operators_delay_ms", |p| p.operators_delay_ms = Some(OPERATORS_DELAY_MS_MAX + 1)),
            ("owners_recover_ms", |p| p.owners_recover_ms = None),
            ("owners_recover_ms", |p| p.owners_recover_ms = Some(OWNERS_RECOVER_MS_MAX + 1)),
            ("min_epoch_ms", |p| p.min_epoch_ms = None),
            ("min_epoch_ms", |p| p.min_epoch_ms = Some(999)),
            ("min_epoch_ms", |p| p.min_epoch_ms = Some(p.epoch_ms + 1)),
            ("epoch_ms", |p| p.epoch_ms = EPOCH_MS_MAX + 1),
            ("clock_ahead_ms_max", |p| p.clock_ahead_ms_max = 499),
            ("clock_ahead_ms_max", |p| p.clock_ahead_ms_max = 10_001),
            ("operator_quorum", |p| p.operator_quorum = 1),
            ("batch_work_max", |p| p.batch_work_max = GOVERNING - 1),
            ("transaction_writes_max", |p| p.transaction_writes_max = 6),
            ("quota_work_max", |p| p.quota_work_max = p.batch_work_max - 1),
            ("quota_work_per_s", |p| p.quota_work_per_s = 0),
            ("lane_window_bytes", |p| p.lane_window_bytes = p.batch_bytes_max - 1),
            ("capacity", |p| p.capacity = None),
            ("capacity.quota_history_max", |p| capacity(p).quota_history_max = TRANSACTION_HISTORY_MAX - 1),
            ("capacity.quota_history_per_s", |p| capacity(p).quota_history_per_s = HISTORY_PER_S_MIN - 1),
            ("capacity.work_per_s", |p| capacity(p).work_per_s = 0),
            ("capacity.history_per_s", |p| capacity(p).history_per_s = 0),
            ("capacity.work_burst_ms", |p| capacity(p).work_burst_ms = 0),
            ("capacity.history_burst_ms", |p| capacity(p).history_burst_ms = 24 * 3600 * 1000 + 1),
            ("capacity.common_ppm", |p| capacity(p).common_ppm = 0),
            ("capacity.common_ppm", |p| capacity(p).common_ppm = WHOLE_PPM + 1),
        ];
        assert_eq!(check_parameters2(&Parameters::of(Rules::V2)), Ok(()));
        for (name, change) in refused {
            let mut parameters = Parameters::of(Rules::V2);
            change(&mut parameters);
            assert_eq!(check_parameters2(&parameters), Err(name));
        }
    }

    #[test]
    fn version_one_keeps_its_bounds() {
        let odd = Parameters { clock_ahead_ms_max: 1, quota_work_per_s: 0, ..Parameters::of(Rules::V1) };
        assert_eq!(check_parameters(&odd, Rules::V1), Ok(()));
        assert_eq!(check_parameters(&Parameters::of(Rules::V2), Rules::V1), Err("min_epoch_ms"));
        let capacity = Parameters { min_epoch_ms: None, ..Parameters::of(Rules::V2) };
        assert_eq!(check_parameters(&capacity, Rules::V1), Err("capacity"));
        let delay = Parameters { capacity: None, ..capacity };
        assert_eq!(check_parameters(&delay, Rules::V1), Err("operators_delay_ms"));
        let recover = Parameters { operators_delay_ms: None, ..delay };
        assert_eq!(check_parameters(&recover, Rules::V1), Err("owners_recover_ms"));
        let leaders = BoundedVec::new(vec![[1; 32]]).unwrap_or_default();
        let leaders = Parameters { owners_recover_ms: None, not_leading: leaders, ..recover };
        assert_eq!(check_parameters(&leaders, Rules::V1), Err("not_leading"));
    }

    #[test]
    fn the_dearest_change_of_the_committee_costs_at_most_what_is_asked_of_a_batch() {
        use rustorium_types::{
            AccountId, BoundedBytes, ChainId, Operation, Possession, TRANSACTION_VERSION, Transaction, Transaction1,
            TransactionBody, Validator, limits,
        };
        let possession = || Possession { validator: [0; 64], node: [0; 64] };
        let validator = Validator {
            name: BoundedBytes::new(vec![7; limits::NAME_BYTES_MAX]).unwrap_or_default(),
            validator_key: [1; 32],
            node_key: [2; 32],
            owner_key: [3; 32],
            region: 0,
            address: BoundedBytes::new(vec![7; limits::ADDRESS_BYTES_MAX]).unwrap_or_default(),
        };
        let add = Operation::AddProven { validator, possession: possession() };
        let replace = Operation::ReplaceProven {
            validator_key: [1; 32],
            new_validator_key: [2; 32],
            new_node_key: [3; 32],
            possession: possession(),
        };
        for operation in [add, replace] {
            let body = TransactionBody {
                version: TRANSACTION_VERSION,
                chain: ChainId::ZERO,
                sender: AccountId::default(),
                public_key: [1; 32],
                nonce: 0,
                expires_at_ms: 0,
                work_limit: 0,
                shard_hint: Some(rustorium_types::ShardId(0)),
                location: Some(rustorium_types::GeoLocation { latitude_e7: 1, longitude_e7: 1 }),
                data: BoundedVec::new(vec![operation]).unwrap_or_default(),
            };
            let cost = work2::work(&body, limits::VALUE_BYTES_MAX as u64);
            assert!((GOVERNING - 100..=GOVERNING).contains(&cost), "{cost} of {GOVERNING}");
            let history = crate::history_of(&Transaction::V1(Transaction1 { body, signature: [0; 64] }));
            assert!(history <= TRANSACTION_HISTORY_MAX && history / HISTORY_PER_S_MIN <= 1_200, "{history}");
        }
    }
}

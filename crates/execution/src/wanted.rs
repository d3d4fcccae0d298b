//! The bounds of parameters that a running chain may change to (V8).
//!
//! *Invariants:* under parameters that pass, seats can always propose and approve other ones, so no setting is the last; and
//! nodes of the smallest supported size can run the chain.

use crate::parameters::check_parameters2;
use rustorium_types::Parameters;
use rustorium_types::limits::AUTHORITY_KEYS_MAX;

/// The shortest time that signers of a change have, ms.
const EXPIRY_MS_MIN: u64 = 60_000;
/// The longest root period, ms. Light clients read nothing newer than the newest root.
const ROOT_PERIOD_MS_MAX: u64 = 60_000;
/// Heights for which a restarted node finds the roots that a claim may name, less a margin.
const CLAIM_LAG_MAX: u64 = 256;
/// Heights that may wait for a state root at least: a period's, at a hundred heights a second.
const ROOT_LAG_MIN: u64 = 64;
/// Heights that may wait for a state root at most.
const ROOT_LAG_MAX: u64 = 65_536;
/// The largest block, bytes.
const BLOCK_BYTES_MAX: u32 = 64 * 1024 * 1024;
/// Transactions of the largest block.
const BLOCK_TRANSACTIONS_MAX: u32 = 262_144;
/// Declared work of the dearest block: sixteen seconds of one core.
const BLOCK_WORK_MAX: u64 = 160_000_000;
/// Writes of the largest transaction.
const WRITES_MAX: u32 = 65_536;
/// The largest lane window, batches.
const WINDOW_BATCHES_MAX: u32 = 4_096;
/// The largest lane window, bytes.
const WINDOW_BYTES_MAX: u32 = 256 * 1024 * 1024;

/// Checks the parameters that a running chain is to have after those in force.
///
/// # Errors
/// The name of a parameter that is out of range.
pub fn check_wanted(in_force: &Parameters, wanted: &Parameters) -> Result<(), &'static str> {
    check_parameters2(wanted)?;
    let p = wanted;
    let bounds = [
        // Somebody must be able to undo it.
        ("operators", !p.operators.is_empty()),
        ("batch_transactions_max", p.batch_transactions_max as usize >= AUTHORITY_KEYS_MAX),
        ("expiry_ahead_ms_max", p.expiry_ahead_ms_max >= EXPIRY_MS_MIN),
        ("claim_lag_max", (4..=CLAIM_LAG_MAX).contains(&p.claim_lag_max)),
        ("root_lag_max", (ROOT_LAG_MIN..=ROOT_LAG_MAX).contains(&p.root_lag_max)),
        ("root_period_ms", (1..=ROOT_PERIOD_MS_MAX).contains(&p.root_period_ms)),
        ("root_period_idle_ms", p.root_period_idle_ms <= p.root_period_ms),
        // A state tree has no beginning but the genesis, and light clients need one without gaps.
        ("state_roots", p.state_roots == in_force.state_roots),
        ("block_bytes_max", p.block_bytes_max <= BLOCK_BYTES_MAX),
        ("block_transactions_max", p.block_transactions_max <= BLOCK_TRANSACTIONS_MAX),
        ("block_work_max", p.block_work_max <= BLOCK_WORK_MAX),
        ("transaction_writes_max", p.transaction_writes_max <= WRITES_MAX),
        ("lane_window_batches", p.lane_window_batches <= WINDOW_BATCHES_MAX),
        ("lane_window_bytes", p.lane_window_bytes <= WINDOW_BYTES_MAX),
    ];
    bounds.into_iter().find(|(_, holds)| !holds).map_or(Ok(()), |(name, _)| Err(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::{BoundedVec, Rules};

    fn governed() -> Parameters {
        let operators = BoundedVec::new(vec![[7; 32]]).unwrap_or_default();
        Parameters { operators, operator_quorum: 1, ..Parameters::of(Rules::V2) }
    }

    #[test]
    fn what_could_never_be_undone_or_run_is_refused() {
        type Change = fn(&mut Parameters);
        let refused: [(&str, Change); 19] = [
            ("epoch_ms", |p| p.epoch_ms = u64::MAX),
            ("operator_quorum", |p| p.operator_quorum = 2),
            ("operators", |p| (p.operators, p.operator_quorum) = (BoundedVec::default(), 0)),
            ("batch_transactions_max", |p| p.batch_transactions_max = 7),
            ("expiry_ahead_ms_max", |p| p.expiry_ahead_ms_max = 59_999),
            ("claim_lag_max", |p| p.claim_lag_max = 3),
            ("claim_lag_max", |p| p.claim_lag_max = 257),
            ("root_lag_max", |p| p.root_lag_max = 0),
            ("root_lag_max", |p| p.root_lag_max = 65_537),
            ("root_period_ms", |p| p.root_period_ms = 0),
            ("root_period_ms", |p| p.root_period_ms = 60_001),
            ("root_period_idle_ms", |p| p.root_period_idle_ms = p.root_period_ms + 1),
            ("state_roots", |p| p.state_roots = false),
            ("block_bytes_max", |p| p.block_bytes_max = u32::MAX),
            ("block_transactions_max", |p| p.block_transactions_max = u32::MAX),
            ("block_work_max", |p| p.block_work_max = u64::MAX),
            ("transaction_writes_max", |p| p.transaction_writes_max = u32::MAX),
            ("lane_window_batches", |p| p.lane_window_batches = u32::MAX),
            ("lane_window_bytes", |p| p.lane_window_bytes = u32::MAX),
        ];
        assert_eq!(check_wanted(&governed(), &governed()), Ok(()));
        for (name, change) in refused {
            let mut wanted = governed();
            change(&mut wanted);
            assert_eq!(check_wanted(&governed(), &wanted), Err(name));
        }
    }
}

//! The settings of version 2 that bound what accounts and their sponsors use over time (V57 to V59).

use borsh::{BorshDeserialize, BorshSerialize};
use serde::{Deserialize, Serialize};

/// Millionths of the whole.
pub const WHOLE_PPM: u32 = 1_000_000;

/// The chain's capacity and the shares in it, in addition to `Parameters::quota_work_max` and
/// `Parameters::quota_work_per_s`. All times are header time. Missing fields of JSON get the default, which suits one
/// organisation.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, BorshSerialize, BorshDeserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Capacity {
    /// Largest history quota of an account, bytes.
    pub quota_history_max: u64,
    /// Bytes that an account's history quota grows by in a second.
    pub quota_history_per_s: u64,
    /// Work units in a second of which sponsors have shares.
    pub work_per_s: u64,
    /// Bytes of history in a second of which sponsors have shares.
    pub history_per_s: u64,
    /// Time for which a sponsor's unused share of work adds up.
    pub work_burst_ms: u64,
    /// Time for which a sponsor's unused share of history adds up.
    pub history_burst_ms: u64,
    /// Share of the accounts that no other sponsor stands for, in millionths.
    pub common_ppm: u32,
}

impl Default for Capacity {
    fn default() -> Self {
        let history_per_s = 32 * 1024 * 1024;
        Self {
            quota_history_max: history_per_s / 2 * 600,
            quota_history_per_s: history_per_s / 2,
            work_per_s: 30_000_000,
            history_per_s,
            work_burst_ms: 10_000,
            history_burst_ms: 600_000,
            common_ppm: WHOLE_PPM,
        }
    }
}

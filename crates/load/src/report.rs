//! Measurements of a run.

use crate::book::Tally;
use crate::run::{LoadConfig, Protocol};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// A run's result.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct LoadReport {
    /// API that was used.
    pub face: Protocol,
    /// Transactions per second that were to be sent.
    pub offered_per_s: f64,
    /// Final transactions per second, from the start to the last of them, or to the end of sending if that is later.
    pub achieved_per_s: f64,
    /// Median latency from intended send to final receipt. `None` without a final transaction.
    pub p50_ms: Option<f64>,
    /// 95th percentile.
    pub p95_ms: Option<f64>,
    /// 99th percentile.
    pub p99_ms: Option<f64>,
    /// The longest.
    pub max_ms: Option<f64>,
    /// Seconds of sending.
    pub seconds: u32,
    /// Transactions that were to be sent.
    pub offered: u64,
    /// Final with their effect.
    pub finalized: u64,
    /// Final without effect.
    pub failed: u64,
    /// Number of transactions that were refused, or not sent because of the window (`not-sent`).
    pub rejected: u64,
    /// The same by the code of the reason.
    pub rejected_by_code: BTreeMap<String, u64>,
    /// No result was seen.
    pub lost: u64,
    /// Sent again after a connection broke.
    pub resent: u64,
    /// Transactions that had to wait for the node's credit, or for the window. Their latency still counts from the
    /// intended time.
    pub held_back: u64,
    /// CPU of the generating process while it sent and waited.
    pub cpu_seconds: f64,
    /// Time that signing took before the clock started.
    pub signing_seconds: f64,
}

#[allow(clippy::float_arithmetic, reason = "a report for people; nothing that validators agree on")]
impl LoadReport {
    pub(crate) fn new(config: &LoadConfig, mut tally: Tally, cpu: Duration, signing: Duration) -> Self {
        tally.latencies_us.sort_unstable();
        let latencies = &tally.latencies_us;
        // Nearest rank.
        let percentile = |percent: usize| {
            let rank = (latencies.len() * percent).div_ceil(100);
            latencies.get(rank.saturating_sub(1)).map(|us| f64::from(*us) / 1_000.0)
        };
        let sending = Duration::from_secs(u64::from(config.seconds));
        let span = sending.max(Duration::from_micros(tally.last_final_us));
        let finalized = latencies.len() as u64;
        Self {
            face: config.face,
            offered_per_s: f64::from(config.rate_per_s),
            achieved_per_s: finalized as f64 / span.as_secs_f64(),
            p50_ms: percentile(50),
            p95_ms: percentile(95),
            p99_ms: percentile(99),
            max_ms: percentile(100),
            seconds: config.seconds,
            offered: u64::from(config.rate_per_s) * u64::from(config.seconds),
            finalized,
            failed: tally.failed,
            rejected: tally.refused.values().sum(),
            rejected_by_code: tally.refused,
            lost: tally.lost,
            resent: tally.resent,
            held_back: tally.held_back,
            cpu_seconds: cpu.as_secs_f64(),
            signing_seconds: signing.as_secs_f64(),
        }
    }
}

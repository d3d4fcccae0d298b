//! A rate with a second's worth at once, in microseconds of any clock.

/// Size of a burst after a pause, as the time that it would take at the rate.
const BURST_US: u64 = 1_000_000;

/// A rate that is charged afterwards: a consumer beyond its burst waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    per_s: u64,
    /// Time at which everything charged so far would have come at the rate.
    paid_us: u64,
}

impl Budget {
    /// Creates a budget of this much per second.
    pub(crate) fn new(per_s: u64) -> Self {
        Self { per_s: per_s.max(1), paid_us: 0 }
    }

    /// Returns the time of the next charge; if it is at or before `now_us`, a charge is possible at once.
    pub(crate) fn free_at_us(&self) -> u64 {
        self.paid_us.saturating_sub(BURST_US)
    }

    /// Returns true if something may be charged now.
    pub(crate) fn is_free(&self, now_us: u64) -> bool {
        self.free_at_us() <= now_us
    }

    /// Returns true if everything charged is paid, so a new budget would be the same.
    pub(crate) fn is_paid(&self, now_us: u64) -> bool {
        self.paid_us <= now_us
    }

    /// Charges `amount`.
    pub(crate) fn charge(&mut self, now_us: u64, amount: u64) {
        let cost_us = amount.saturating_mul(1_000_000) / self.per_s;
        self.paid_us = self.paid_us.max(now_us).saturating_add(cost_us.max(1));
    }
}

//! Sponsors' shares of a pool: the accounts of one sponsor can't fill it (V59).
//!
//! *Invariants:* what is counted for a sponsor is what its accounts' transactions take; the common sponsor stands for
//! everybody else, and has no share of its own.

use super::PoolConfig;
use crate::refused::Refused;
use crate::sender::Totals;
use rustorium_execution::COMMON;
use std::collections::HashMap;

/// Divisor of the room: a sponsor's accounts may take this part of it.
const SHARE: usize = 4;

/// What the accounts of one sponsor hold.
#[derive(Debug, Clone, Copy, Default)]
struct Held {
    count: usize,
    bytes: u64,
}

/// What the accounts of each sponsor hold.
#[derive(Debug, Default)]
pub(super) struct Sponsors {
    held: HashMap<u32, Held>,
}

impl Sponsors {
    /// Checks that a sponsor's accounts, with one more transaction, take no more than their part of the pool.
    pub(super) fn check(&self, config: &PoolConfig, sponsor: u32, bytes: u64) -> Result<(), Refused> {
        let held = self.held.get(&sponsor).copied().unwrap_or_default();
        let limit = config.transactions_max / SHARE;
        let few = held.count < limit && held.bytes.saturating_add(bytes) <= config.bytes_max / SHARE as u64;
        if few || sponsor == COMMON { Ok(()) } else { Err(Refused::SponsorFull { limit: limit.min(held.count) }) }
    }

    /// Notes what a sender held before and after a change.
    pub(super) fn note(&mut self, sponsor: u32, before: &Totals, after: &Totals) {
        if sponsor == COMMON || (before.count, before.bytes) == (after.count, after.bytes) {
            return;
        }
        let held = self.held.entry(sponsor).or_default();
        held.count = held.count + after.count - before.count;
        held.bytes = held.bytes + after.bytes - before.bytes;
        if held.count == 0 {
            self.held.remove(&sponsor);
        }
    }

    /// Returns the number of sponsors whose accounts hold something.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(count: usize, bytes: u64) -> Totals {
        Totals { count, bytes, ..Totals::default() }
    }

    #[test]
    fn a_sponsor_has_a_quarter_and_the_common_one_all() {
        let config = PoolConfig { transactions_max: 16, bytes_max: 4_000, ..PoolConfig::default() };
        let mut sponsors = Sponsors::default();
        sponsors.note(1, &totals(0, 0), &totals(3, 300));
        sponsors.note(1, &totals(3, 300), &totals(3, 300));
        assert_eq!(sponsors.check(&config, 1, 700), Ok(()));
        assert_eq!(sponsors.check(&config, 1, 701), Err(Refused::SponsorFull { limit: 3 }), "bytes count, too");
        sponsors.note(1, &totals(0, 0), &totals(1, 1));
        assert_eq!(sponsors.check(&config, 1, 1), Err(Refused::SponsorFull { limit: 4 }));
        assert_eq!(sponsors.check(&config, 2, 1), Ok(()));
        sponsors.note(COMMON, &totals(0, 0), &totals(99, 9_999));
        assert_eq!(sponsors.check(&config, COMMON, 1), Ok(()));
        assert_eq!(sponsors.len(), 1);
        sponsors.note(1, &totals(3, 300), &totals(0, 0));
        sponsors.note(1, &totals(1, 1), &totals(0, 0));
        assert_eq!(sponsors.len(), 0, "nothing is remembered of who holds nothing");
    }
}

//! Shares of the pool: a sender's share shrinks as the pool fills, and old transactions and large holders make room.
//!
//! *Invariants:* a sender's share is a fixed part of the free room, at least `SHARE_MIN`; in an almost full pool the
//! largest holders are reduced to one level, so that a sender below it always finds room, however many came before;
//! transactions that the own lane has cut are never given up.

use super::{Pool, PoolConfig};
use crate::refused::Refused;
use crate::sender::{Sender, Totals};
use rustorium_types::{AccountId, SystemSender, TxId};
use std::collections::VecDeque;

/// Transactions that a seat may hold however full the pool is (V24), and the bytes of each.
const SEAT_TRANSACTIONS: usize = 16;
const SEAT_BYTES: usize = 16 * 1024;
/// Number of transactions that a sender may always hold.
const SHARE_MIN: usize = 16;
/// Divisor of the free room: one sender may hold this part of it.
const SHARE_OF_FREE: usize = 8;
/// Age at which a transaction is given up if the pool is crowded. A transaction that can proceed does so within
/// seconds.
const OLD_MS: u64 = 60_000;
/// Shortest time between two searches for large holders.
const LEVEL_PAUSE_MS: u64 = 1_000;
/// Old transactions that one admission examines at most.
const LOOKS_MAX: usize = 64;
/// Ids of transactions that left and are still remembered, in addition to as many as are held.
const SPARE_AGES: usize = 1_024;

/// Times at which transactions were admitted.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// Oldest first. Some have left by now.
    admitted: VecDeque<(u64, TxId)>,
    /// Time from which large holders may be searched for again.
    level_at_ms: u64,
}

/// V24: tells if a transaction of this size is admitted however full the pool is: one of a seat that holds few.
pub(super) fn has_reserved_room(known: Option<&Sender>, sender: &AccountId, bytes: usize) -> bool {
    let few = known.is_none_or(|sender| sender.totals().count < SEAT_TRANSACTIONS);
    few && bytes <= SEAT_BYTES && SystemSender::of(sender).is_some()
}

/// A measure of a sender's size.
#[derive(Clone, Copy)]
enum Measure {
    Transactions,
    Bytes,
    /// Transactions that wait for a missing nonce.
    Gaps,
}

impl Measure {
    fn of(self, held: &Totals) -> u64 {
        match self {
            Self::Transactions => held.count as u64,
            Self::Bytes => held.bytes,
            Self::Gaps => held.gapped as u64,
        }
    }

    /// Returns the amount that a sender may hold however full the pool is.
    fn small(self, config: &PoolConfig) -> u64 {
        match self {
            Self::Transactions => SHARE_MIN as u64,
            Self::Bytes => config.bytes_max / 4_096,
            Self::Gaps => SHARE_MIN as u64 / 4,
        }
    }

    fn max(self, config: &PoolConfig) -> u64 {
        match self {
            Self::Transactions => config.transactions_max as u64,
            Self::Bytes => config.bytes_max,
            Self::Gaps => config.transactions_max as u64 / 4,
        }
    }
}

/// Returns the level to which all larger amounts must fall for the sum to be `target`; `None` if the sum is not larger.
fn level(mut held: Vec<u64>, target: u64) -> Option<u64> {
    held.sort_unstable();
    let mut left = target;
    for (place, one) in held.iter().enumerate() {
        let above = (held.len() - place) as u64;
        if one.saturating_mul(above) > left {
            return Some(left / above);
        }
        left -= one;
    }
    None
}

impl Pool {
    /// Checks that there is room at all.
    pub(super) fn check_room(&self, bytes: u64) -> Result<(), Refused> {
        if self.has_room(1, bytes) { Ok(()) } else { Err(Refused::PoolFull) }
    }

    /// Tells if this many more would fit. It is called before signatures are checked, so that a busy pool costs little.
    pub fn has_room(&self, transactions: usize, bytes: u64) -> bool {
        self.totals.count.saturating_add(transactions) <= self.config.transactions_max
            && self.totals.bytes.saturating_add(bytes) <= self.config.bytes_max
    }

    /// Checks that a sender, with one more transaction, holds no more than its share.
    pub(super) fn check_share(&self, sender: &Sender, nonce: u64, bytes: u64) -> Result<(), Refused> {
        let (held, gaps_max) = (sender.totals(), self.config.transactions_max / 4);
        let gapped = nonce > sender.tail;
        if gapped && self.totals.gapped >= gaps_max {
            return Err(Refused::PoolFull);
        }
        let share = |free: usize| (free / SHARE_OF_FREE).max(SHARE_MIN);
        let limit = share(self.config.transactions_max - self.totals.count).min(self.config.per_sender_max);
        let few_gaps = !gapped || held.gapped < share(gaps_max - self.totals.gapped);
        let free = self.config.bytes_max.saturating_sub(self.totals.bytes);
        let bytes_max = (free / SHARE_OF_FREE as u64).max(self.config.transaction_bytes_max as u64);
        let few_bytes = held.bytes.saturating_add(bytes) <= bytes_max;
        if held.count < limit && few_gaps && few_bytes {
            Ok(())
        } else {
            Err(Refused::SenderFull { limit: limit.min(held.count) })
        }
    }

    /// Notes that a transaction was admitted.
    pub(super) fn note_age(&mut self, id: TxId) {
        self.ages.admitted.push_back((self.now_ms, id));
        if self.ages.admitted.len() > 2 * self.totals.count + SPARE_AGES {
            self.ages.admitted.retain(|(_, id)| self.ids.contains_key(id));
        }
    }

    /// Tells if more than this many sixteenths of the pool are taken.
    fn takes_more_than(&self, sixteenths: u64, measure: Measure) -> bool {
        measure.of(&self.totals).saturating_mul(16) > measure.max(&self.config).saturating_mul(sixteenths)
    }

    /// Gives up old transactions while the pool is crowded, the oldest first. They wait for a nonce, for quota or for a
    /// home, and it does their senders no harm to send them again later. If that isn't enough, the largest holders give
    /// up their last ones.
    pub(super) fn make_room(&mut self) {
        for _ in 0..LOOKS_MAX {
            let crowded = [Measure::Transactions, Measure::Bytes].iter().any(|by| self.takes_more_than(12, *by));
            if !crowded {
                break;
            }
            let Some((since_ms, id)) = self.ages.admitted.front().copied() else { break };
            if since_ms + OLD_MS >= self.now_ms {
                break;
            }
            self.ages.admitted.pop_front();
            let Some((account, nonce)) = self.ids.get(&id).copied() else { continue };
            if self.senders.get(&account).is_some_and(|sender| nonce >= sender.next_cut) {
                self.give_up(account, nonce);
            }
        }
        for measure in [Measure::Transactions, Measure::Bytes, Measure::Gaps] {
            if self.takes_more_than(15, measure) && self.now_ms >= self.ages.level_at_ms {
                self.ages.level_at_ms = self.now_ms + LEVEL_PAUSE_MS;
                self.level_off(measure);
            }
        }
    }

    /// Removes the last transactions of the largest holders, until three quarters of the pool are taken.
    fn level_off(&mut self, measure: Measure) {
        let held: Vec<u64> = self.senders.values().map(|sender| measure.of(&sender.totals())).collect();
        let target = measure.max(&self.config) / 4 * 3;
        let Some(level) = level(held, target) else { return };
        let level = level.max(measure.small(&self.config));
        let held = |sender: &Sender| measure.of(&sender.totals());
        let large = self.senders.iter().filter(|(_, sender)| held(sender) > level);
        let mut large: Vec<(u64, AccountId)> = large.map(|(account, sender)| (held(sender), *account)).collect();
        large.sort_unstable_by(|a, b| b.cmp(a));
        for (_, account) in large {
            while measure.of(&self.totals) > target {
                let Some(sender) = self.senders.get(&account).filter(|sender| held(sender) > level) else { break };
                let last = sender.entries.last_key_value().map(|(nonce, _)| *nonce);
                let Some(last) = last.filter(|nonce| *nonce >= sender.next_cut) else { break };
                self.give_up(account, last);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::level;

    #[test]
    fn the_level_takes_from_the_largest_alone() {
        assert_eq!(level(vec![10, 1, 5], 16), None);
        assert_eq!(level(vec![10, 1, 5], 13), Some(7));
        assert_eq!(level(vec![10, 1, 5], 9), Some(4));
        assert_eq!(level(vec![10, 10, 10], 2), Some(0));
        assert_eq!(level(Vec::new(), 0), None);
    }
}

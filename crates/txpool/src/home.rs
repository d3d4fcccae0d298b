//! Which lane a sender's transactions belong in, so that a resubmission costs no bandwidth.

use rustorium_crypto::{domain, hash};
use rustorium_types::{AccountId, Epoch, ValidatorIndex};

/// The sender's home lane among `n` validators: the one that lists its transactions at once.
pub fn home_lane(sender: &AccountId, epoch: Epoch, n: usize) -> ValidatorIndex {
    let digest = hash(domain::HOME_LANE, &[&sender.0, &epoch.0.to_le_bytes()]);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    ValidatorIndex(u64::from_le_bytes(first).checked_rem(n as u64).unwrap_or(0) as u16)
}

/// How many validators come before `validator` for this sender: 0 at home. Another lane waits its rank times a delay.
pub fn lane_rank(sender: &AccountId, epoch: Epoch, n: usize, validator: ValidatorIndex) -> usize {
    let home = usize::from(home_lane(sender, epoch, n).0);
    (usize::from(validator.0) + n - home).checked_rem(n).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_lanes_are_even_move_with_the_epoch_and_rank_first() {
        let n = 4;
        let mut counts = [0; 4];
        let mut moved = 0;
        for i in 0..4000u32 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&i.to_le_bytes());
            let sender = AccountId(id);
            let home = home_lane(&sender, Epoch(0), n);
            counts[usize::from(home.0)] += 1;
            moved += usize::from(home != home_lane(&sender, Epoch(1), n));
            let mut ranks: Vec<_> = (0..4).map(|v| lane_rank(&sender, Epoch(0), n, ValidatorIndex(v))).collect();
            assert_eq!(ranks[usize::from(home.0)], 0);
            ranks.sort_unstable();
            assert_eq!(ranks, [0, 1, 2, 3]);
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        assert!((2700..3300).contains(&moved), "{moved}");
        assert_eq!(home_lane(&AccountId([1; 32]), Epoch(0), 0), ValidatorIndex(0));
    }
}

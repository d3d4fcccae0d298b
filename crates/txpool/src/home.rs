//! The home lane of a sender's transactions, which makes a resubmission cost no bandwidth.

use rustorium_crypto::{domain, hash};
use rustorium_types::{AccountId, Epoch, ValidatorIndex};

/// Returns the sender's home lane among `n` validators: the one that lists its transactions at once.
pub fn home_lane(sender: &AccountId, epoch: Epoch, n: usize) -> ValidatorIndex {
    let digest = hash(domain::HOME_LANE, &[&sender.0, &epoch.0.to_le_bytes()]);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    ValidatorIndex(u64::from_le_bytes(first).checked_rem(n as u64).unwrap_or(0) as u16)
}

/// Returns all validators by their rank for this sender: its home first, the others in an order of this sender's own,
/// so that no validator has the same neighbour for all senders.
pub fn lanes_by_rank(sender: &AccountId, epoch: Epoch, n: usize) -> Vec<ValidatorIndex> {
    let home = home_lane(sender, epoch, n);
    let hash =
        |member: ValidatorIndex| hash(domain::HOME_LANE, &[&sender.0, &epoch.0.to_le_bytes(), &member.0.to_le_bytes()]);
    let members = (0..u16::try_from(n).unwrap_or(u16::MAX)).map(ValidatorIndex).filter(|member| *member != home);
    let mut others: Vec<_> = members.map(|member| (hash(member), member)).collect();
    others.sort_unstable();
    std::iter::once(home).chain(others.into_iter().map(|(_, member)| member)).take(n).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_lanes_are_even_move_with_the_epoch_and_rank_first() {
        let n = 4;
        let mut counts = [0; 4];
        let (mut moved, mut after) = (0, [0; 4]);
        for i in 0..4000u32 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&i.to_le_bytes());
            let sender = AccountId(id);
            let home = home_lane(&sender, Epoch(0), n);
            counts[usize::from(home.0)] += 1;
            moved += usize::from(home != home_lane(&sender, Epoch(1), n));
            let mut ranks = lanes_by_rank(&sender, Epoch(0), n);
            assert_eq!(ranks[0], home);
            after[usize::from(ranks[1].0)] += usize::from(home == ValidatorIndex(0));
            ranks.sort_unstable();
            assert_eq!(ranks, [0, 1, 2, 3].map(ValidatorIndex));
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        assert!((2700..3300).contains(&moved), "{moved}");
        assert!(after[1..].iter().all(|count| (270..400).contains(count)), "no fixed neighbour: {after:?}");
        assert_eq!(home_lane(&AccountId([1; 32]), Epoch(0), 0), ValidatorIndex(0));
        assert!(lanes_by_rank(&AccountId([1; 32]), Epoch(0), 0).is_empty());
    }
}

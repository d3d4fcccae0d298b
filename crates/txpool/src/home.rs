//! The home lane of a sender's transactions, which makes a resubmission cost no bandwidth.

use rustorium_crypto::{domain, hash};
use rustorium_types::{AccountId, Epoch, ValidatorIndex};

/// Returns the sender's home lane: that of the validator that lists its transactions at once. `regions`: those of the
/// validators. The home is a validator of the sender's region, if there is one.
pub fn home_lane(sender: &AccountId, epoch: Epoch, regions: &[u8]) -> ValidatorIndex {
    let digest = hash(domain::HOME_LANE, &[&sender.0, &epoch.0.to_le_bytes()]);
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    let drawn = |among: usize| u64::from_le_bytes(first).checked_rem(among as u64).unwrap_or(0);
    let near = |region: &&u8| **region == sender.region();
    let count = regions.iter().filter(near).count();
    if count == 0 || count == regions.len() {
        return ValidatorIndex(drawn(regions.len()) as u16);
    }
    let mut of_region = (0u16..).zip(regions).filter(|(_, region)| near(region));
    ValidatorIndex(of_region.nth(drawn(count) as usize).map_or(0, |(place, _)| place))
}

/// Returns all validators by their rank for this sender: its home first, the others in an order of this sender's own,
/// whatever their regions, so that no validator has the same neighbour for all senders.
pub fn lanes_by_rank(sender: &AccountId, epoch: Epoch, regions: &[u8]) -> Vec<ValidatorIndex> {
    let (home, n) = (home_lane(sender, epoch, regions), regions.len());
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
        let n = [9; 4];
        let mut counts = [0; 4];
        let (mut moved, mut after) = (0, [0; 4]);
        for i in 0..4000u32 {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&i.to_le_bytes());
            let sender = AccountId(id);
            let home = home_lane(&sender, Epoch(0), &n);
            counts[usize::from(home.0)] += 1;
            moved += usize::from(home != home_lane(&sender, Epoch(1), &n));
            let mut ranks = lanes_by_rank(&sender, Epoch(0), &n);
            assert_eq!(ranks[0], home);
            after[usize::from(ranks[1].0)] += usize::from(home == ValidatorIndex(0));
            ranks.sort_unstable();
            assert_eq!(ranks, [0, 1, 2, 3].map(ValidatorIndex));
        }
        assert!(counts.iter().all(|count| (900..1100).contains(count)), "{counts:?}");
        assert!((2700..3300).contains(&moved), "{moved}");
        assert!(after[1..].iter().all(|count| (270..400).contains(count)), "no fixed neighbour: {after:?}");
        assert_eq!(home_lane(&AccountId([1; 32]), Epoch(0), &[]), ValidatorIndex(0));
        assert!(lanes_by_rank(&AccountId([1; 32]), Epoch(0), &[]).is_empty());
    }

    #[test]
    fn a_home_is_in_the_senders_region_if_anybody_is_there() {
        let regions = [7, 3, 7, 5];
        let (mut counts, mut nowhere, mut second) = ([0; 4], [0; 4], [0; 4]);
        for i in 0..4000u32 {
            let mut id = [0; 32];
            id[0] = 7;
            id[1..5].copy_from_slice(&i.to_le_bytes());
            let ranks = lanes_by_rank(&AccountId(id), Epoch(0), &regions);
            counts[usize::from(ranks[0].0)] += 1;
            second[usize::from(ranks[1].0)] += 1;
            id[0] = 3;
            assert_eq!(home_lane(&AccountId(id), Epoch(0), &regions), ValidatorIndex(1));
            id[0] = 9;
            nowhere[usize::from(home_lane(&AccountId(id), Epoch(0), &regions).0)] += 1;
        }
        assert!((1900..2100).contains(&counts[0]) && counts[0] + counts[2] == 4000, "{counts:?}");
        assert!(nowhere.iter().all(|count| (900..1100).contains(count)), "{nowhere:?}");
        // An organisation that runs a region has no say in who comes after the home.
        assert!(second[1] > 1200 && second[3] > 1200, "{second:?}");
    }
}

//! Execution reports and counts of held batches.

use proptest::prelude::*;
use rustorium_quorum::{HeldTally, ReportTally};
use rustorium_types::{Hash, Height, ResultClaim, ValidatorIndex};

fn at(height: u64) -> ResultClaim {
    ResultClaim { height: Height(height), root: Hash([height as u8; 32]) }
}

fn wrong(height: u64) -> ResultClaim {
    ResultClaim { height: Height(height), root: Hash([height as u8 ^ 0x80; 32]) }
}

fn four(own: u64) -> ReportTally {
    let mut tally = ReportTally::new(4, 3, Some(ValidatorIndex(0)));
    (1..=own).for_each(|height| tally.own(at(height)));
    tally
}

#[test]
fn a_quorum_with_this_node_makes_a_height_claimable() {
    let mut tally = four(5);
    assert_eq!(tally.claimable(), None);
    tally.update(ValidatorIndex(1), at(4));
    assert_eq!(tally.claimable(), None);
    tally.update(ValidatorIndex(2), at(3));
    assert_eq!(tally.claimable(), Some(at(3)), "the higher report confirms what is below");
    tally.update(ValidatorIndex(2), at(9));
    assert_eq!(tally.claimable(), Some(at(3)), "what we have yet to execute can't be judged");
    (6..=9).for_each(|height| tally.own(at(height)));
    assert_eq!(tally.claimable(), Some(at(4)));
    tally.update(ValidatorIndex(3), at(7));
    assert_eq!(tally.claimable(), Some(at(7)));
    tally.update(ValidatorIndex(1), at(1));
    assert_eq!(tally.claimable(), Some(at(7)), "a restarted peer takes nothing back");
    tally.update(ValidatorIndex(0), at(9));
    tally.update(ValidatorIndex(9), at(9));
    assert_eq!(tally.claimable(), Some(at(7)), "own words come by own, strangers have none");
}

#[test]
fn peers_that_are_always_ahead_are_judged_in_the_end() {
    let mut tally = four(1);
    for height in 2..500 {
        tally.update(ValidatorIndex(1), at(height + 1));
        tally.update(ValidatorIndex(2), at(height + 2));
        tally.own(at(height));
        if height > 4 {
            assert!(tally.claimable().unwrap().height >= Height(height - 1));
        }
    }
    let mut tally = four(1);
    (2..500).for_each(|height| tally.update(ValidatorIndex(1), at(height)));
    (2..500).for_each(|height| tally.update(ValidatorIndex(2), at(height)));
    (2..500).for_each(|height| tally.own(at(height)));
    assert_eq!(tally.claimable(), Some(at(499)), "the oldest and the newest of a long wait are kept");
}

#[test]
fn wrong_roots_confirm_nothing_and_a_quorum_of_them_is_divergence() {
    let mut tally = four(9);
    tally.update(ValidatorIndex(1), at(3));
    tally.update(ValidatorIndex(1), wrong(7));
    tally.update(ValidatorIndex(2), at(8));
    assert_eq!(tally.claimable(), Some(at(3)), "before it went wrong it agreed");
    assert_eq!(tally.diverged(), None);
    tally.update(ValidatorIndex(2), wrong(9));
    assert_eq!(tally.diverged(), None);
    tally.update(ValidatorIndex(3), wrong(12));
    assert_eq!(tally.diverged(), None, "ahead of us");
    (10..=12).for_each(|height| tally.own(at(height)));
    assert_eq!(tally.diverged(), Some(Height(12)));
    tally.update(ValidatorIndex(3), at(12));
    assert_eq!(tally.diverged(), None, "roots chain, so agreeing later is agreeing before");
}

#[test]
fn a_lone_validator_claims_what_it_executed_and_a_follower_nothing() {
    let mut lone = ReportTally::new(1, 1, Some(ValidatorIndex(0)));
    assert_eq!(lone.claimable(), None);
    lone.own(at(3));
    assert_eq!((lone.claimable(), lone.diverged()), (Some(at(3)), None));
    let mut follower = ReportTally::new(4, 3, None);
    follower.own(at(3));
    (0..4).for_each(|who| follower.update(ValidatorIndex(who), at(3)));
    assert_eq!(follower.claimable(), None);
    (0..3).for_each(|who| follower.update(ValidatorIndex(who), wrong(2)));
    follower.own(at(4));
    assert_eq!(follower.diverged(), None, "height 2 was never executed here");
}

#[test]
fn held_counts_are_the_minimum_of_a_quorum() {
    let mut held = HeldTally::new(4, 3);
    assert_eq!(held.quorum_held(0), 0);
    held.update(ValidatorIndex(0), &[5, 1, 0, 7]);
    held.update(ValidatorIndex(1), &[4, 1]);
    held.update(ValidatorIndex(2), &[9, 0, 3, 7, 100]);
    assert_eq!((0..5).map(|lane| held.quorum_held(lane)).collect::<Vec<_>>(), [4, 0, 0, 0, 0]);
    held.update(ValidatorIndex(3), &[6, 2, 3, 9]);
    assert_eq!((0..4).map(|lane| held.quorum_held(lane)).collect::<Vec<_>>(), [5, 1, 0, 7]);
    held.update(ValidatorIndex(2), &[]);
    assert_eq!(held.quorum_held(0), 4, "the newest word counts");
    held.update(ValidatorIndex(200), &[1]);
}

proptest! {
    /// Whatever f members report and in whatever order, a claimable height is one that f + 1 honest members executed.
    #[test]
    fn claims_rest_on_honest_members(steps in proptest::collection::vec((0u16..7, 1u64..30, any::<bool>()), 0..200)) {
        let mut tally = ReportTally::new(7, 5, Some(ValidatorIndex(0)));
        let mut honest = [0u64; 7];
        let mut claimed = 0;
        for (who, height, lie) in steps {
            let liar = who >= 5;
            if who == 0 {
                honest[0] += 1;
                tally.own(at(honest[0]));
            } else if liar && lie {
                tally.update(ValidatorIndex(who), wrong(height));
            } else {
                honest[usize::from(who)] = honest[usize::from(who)].max(height);
                tally.update(ValidatorIndex(who), at(height));
            }
            if let Some(report) = tally.claimable() {
                let reached = honest[..5].iter().filter(|reached| **reached >= report.height.0).count();
                prop_assert!(reached >= 3 && report == at(report.height.0) && report.height.0 <= honest[0]);
                prop_assert!(report.height.0 >= claimed);
                claimed = report.height.0;
            }
            prop_assert_eq!(tally.diverged(), None);
        }
    }
}

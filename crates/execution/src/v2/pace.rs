//! Paces: the units that somebody may take over time (V58), by the generic cell rate algorithm.
//!
//! A pace keeps one time: that up to which its credit is taken. The time from there to now is the credit, up to the burst.
//! Taking units moves the kept time on by the time in which they grow, rounded up.
//!
//! *Invariants:* in any span of time, at most the units that grow in it and in a microsecond are taken, and the burst, however
//! the takings are divided (V59); the kept time never goes back, and is never after the time of a taking.

/// Microseconds in a second.
const US_PER_S: u128 = 1_000_000;

/// A rate with a burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    per_s: u64,
    units_max: u64,
}

impl Pace {
    /// Returns a pace that grows by `per_s` units a second, but at least by one, up to `units_max`.
    pub fn new(per_s: u64, units_max: u64) -> Self {
        Self { per_s: per_s.max(1), units_max }
    }

    /// Returns the largest number of units that can be taken at once.
    pub fn units_max(self) -> u64 {
        self.units_max
    }

    /// Returns the units that can be taken at `now_us` if the credit is taken up to `at_us`.
    pub fn room(self, at_us: u64, now_us: u64) -> u64 {
        let credit_us = now_us.saturating_sub(self.credit_from(at_us, now_us));
        let units = u128::from(credit_us) * u128::from(self.per_s) / US_PER_S;
        u64::try_from(units).unwrap_or(u64::MAX).min(self.units_max)
    }

    /// Returns the time up to which the credit is taken if `units` are taken, too. If it is after `now_us`, they can't be
    /// taken before it. `None` if they never can.
    pub fn taken(self, at_us: u64, now_us: u64, units: u64) -> Option<u64> {
        (units <= self.units_max).then(|| self.credit_from(at_us, now_us).saturating_add(self.us(units)))
    }

    fn credit_from(self, at_us: u64, now_us: u64) -> u64 {
        at_us.max(now_us.saturating_sub(self.us(self.units_max)))
    }

    /// Returns the time in which so many units grow, rounded up.
    fn us(self, units: u64) -> u64 {
        let us = (u128::from(units) * US_PER_S).div_ceil(u128::from(self.per_s));
        u64::try_from(us).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// V59: whatever is asked for and whenever, no window has more than its own growth and one burst.
        #[test]
        fn no_window_has_more_than_its_growth_and_a_burst(
            per_s in prop_oneof![1u64..50, 1_000u64..1_000_000_000],
            units_max in 1u64..1_000_000,
            asked in prop::collection::vec((0u64..3_000_000, 0u64..2_000_000), 1..60),
        ) {
            let pace = Pace::new(per_s, units_max);
            let (mut now_us, mut at_us) = (5_000_000u64, 0u64);
            let mut taken = Vec::new();
            for (later_us, units) in asked {
                now_us += later_us;
                let room = pace.room(at_us, now_us);
                let next_us = pace.taken(at_us, now_us, units);
                prop_assert_eq!(units <= room, next_us.is_some_and(|next_us| next_us <= now_us));
                if let Some(next_us) = next_us.filter(|next_us| *next_us <= now_us) {
                    prop_assert!(next_us >= at_us, "the kept time went back");
                    at_us = next_us;
                    taken.push((now_us, units));
                }
            }
            for (first, (from_us, _)) in taken.iter().enumerate() {
                let mut sum = 0u128;
                for (until_us, units) in &taken[first..] {
                    sum += u128::from(*units);
                    let grown = u128::from(until_us - from_us + 1) * u128::from(per_s) / US_PER_S + 1;
                    prop_assert!(sum <= grown + u128::from(units_max), "{} in {} us", sum, until_us - from_us);
                }
            }
        }

        /// Units that can't be taken now can be taken at the named time, and not a microsecond before it.
        #[test]
        fn what_has_to_wait_is_possible_at_the_named_time_and_not_before(
            per_s: u64, units_max: u64, at_us in 0..u64::MAX / 2, now_us in 0..u64::MAX / 2, units: u64,
        ) {
            let pace = Pace::new(per_s, units_max);
            match pace.taken(at_us, now_us, units) {
                None => prop_assert!(units > units_max),
                Some(ready_us) if ready_us > now_us && ready_us < u64::MAX => {
                    prop_assert_eq!(pace.taken(at_us, ready_us, units), Some(ready_us));
                    prop_assert!(pace.taken(at_us, ready_us - 1, units) > Some(ready_us - 1));
                    prop_assert!(pace.room(at_us, ready_us) >= units && pace.room(at_us, ready_us - 1) < units);
                }
                Some(_) => {}
            }
        }
    }

    /// V58: who took nothing for a long time has one burst, and no second one behind it.
    #[test]
    fn credit_ends_with_the_burst() {
        let (pace, hour_us) = (Pace::new(1_000, 500), 3_600_000_000);
        assert_eq!(pace.room(0, hour_us), 500);
        let at_us = pace.taken(0, hour_us, 500).unwrap();
        assert_eq!((at_us, pace.room(at_us, hour_us)), (hour_us, 0));
        assert_eq!(pace.taken(at_us, hour_us, 500), Some(hour_us + 500_000));
    }

    /// V59: many small takings move the kept time at least as far as a large one, also if a unit grows in less than a
    /// microsecond.
    #[test]
    fn many_small_takings_cost_no_less_than_a_large_one() {
        for (per_s, units) in [(3, 1), (7, 5), (3_000_000, 1), (30_000_000, 29), (1_000_000_000, 999)] {
            let (pace, from_us) = (Pace::new(per_s, 1 << 40), 1_u64 << 50);
            let (mut at_us, now_us) = (from_us, 1_u64 << 55);
            for _ in 0..1_000 {
                at_us = pace.taken(at_us, now_us, units).unwrap();
            }
            assert!(at_us >= pace.taken(from_us, now_us, 1_000 * units).unwrap(), "{units} of {per_s}");
        }
    }

    #[test]
    fn a_pace_without_growth_has_one() {
        assert_eq!(Pace::new(0, 5).taken(7, 7, 2), Some(2_000_007));
        assert_eq!(Pace::new(0, 5).room(0, u64::MAX), 5);
    }
}

//! Header time (R48): the time that a block of this node gets, the times that it accepts, and notes of clocks that
//! disagree.
//!
//! *Invariants:* one millisecond above the parent is accepted whatever the clock says, so clocks that step back stop no
//! chain; any other time is at most `clock_ahead_ms_max` above the clock, so no leader moves the chain's time ahead of
//! the fastest honest clock by more than that.

use crate::shard::Now;
use rustorium_types::{BlockDigest, Header, ValidatorIndex, View};

/// Longest pause between two checks of a block that waits for the clock. The clock may be set right at any moment.
pub(crate) const LOOK_AGAIN_MS: u64 = 1_000;

/// A block that waited only for this node's clock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BlockAhead {
    /// Proposer of the block.
    pub proposer: ValidatorIndex,
    /// Milliseconds by which it was ahead of the clock.
    pub ahead_ms: u64,
    /// Time at which that was found, monotonic microseconds.
    pub at_us: u64,
}

/// Clock-related state of a shard.
#[derive(Default)]
pub(crate) struct Clocks {
    /// This node's newest proposal, until a certificate of it is known.
    unproven: Option<BlockDigest>,
    block_ahead: Option<BlockAhead>,
    blocks_ahead: u64,
    /// The newest block that waited for the clock, so that each is counted once.
    counted: Option<BlockDigest>,
}

impl Clocks {
    /// Notes that this node proposes a block.
    pub(crate) fn proposed(&mut self, block: BlockDigest) {
        self.unproven = Some(block);
    }

    /// Goes on in the next epoch. The count never falls; proposals of the previous epoch are void.
    pub(crate) fn after(before: &Self) -> Self {
        Self { blocks_ahead: before.blocks_ahead, block_ahead: before.block_ahead, ..Self::default() }
    }

    /// Returns the time of this node's block of `view` in a committee of `n`: the clock's time, or the smallest step
    /// above the parent. The smallest step is taken if this node's last proposal was lost, or if a whole cycle of
    /// leaders found no parent: a clock that is ahead may have caused either.
    pub(crate) fn time_above(&self, now: Now, n: usize, view: View, parent: &Header) -> u64 {
        let skipped = view.0.saturating_sub(parent.view.0) > n as u64;
        let falls_back = self.unproven.is_some() || skipped;
        let least_ms = least_above(parent.time_ms);
        if falls_back { least_ms } else { now.wall_ms.max(least_ms) }
    }

    /// Returns the newest block that waited only for the clock, and the number of such blocks.
    pub(crate) fn blocks_ahead(&self) -> (Option<BlockAhead>, u64) {
        (self.block_ahead, self.blocks_ahead)
    }

    /// Notes a block that waits only for this node's clock.
    pub(crate) fn note_ahead(&mut self, now: Now, digest: &BlockDigest, header: &Header) {
        let (proposer, ahead_ms) = (header.proposer, header.time_ms.saturating_sub(now.wall_ms));
        self.block_ahead = Some(BlockAhead { proposer, ahead_ms, at_us: now.us });
        self.blocks_ahead += u64::from(self.counted.replace(*digest) != Some(*digest));
    }

    /// Notes that a block was notarized or finalized, or is final by a later one.
    pub(crate) fn certified(&mut self, block: &BlockDigest) {
        if self.unproven == Some(*block) {
            self.unproven = None;
        }
    }
}

/// Returns the smallest time of a child of a block with this time.
fn least_above(parent_ms: u64) -> u64 {
    parent_ms.saturating_add(1)
}

/// Returns by how many milliseconds a time is more than `ahead_ms_max` ahead of the clock. 0 for the smallest step
/// above the parent's time.
pub(crate) fn too_far_ms(time_ms: u64, parent_ms: Option<u64>, clock_ms: u64, ahead_ms_max: u64) -> u64 {
    let smallest = parent_ms.is_some_and(|parent_ms| time_ms == least_above(parent_ms));
    if smallest { 0 } else { time_ms.saturating_sub(clock_ms.saturating_add(ahead_ms_max)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AHEAD_MS_MAX: u64 = 2_000;
    const N: usize = 4;
    const F: usize = 1;

    #[derive(Clone, Debug)]
    struct Turn {
        /// Duration of the view: a millisecond or more.
        takes_ms: u64,
        /// Honest clock that steps ahead during the view, and by how much.
        step: (usize, u64),
        /// Time that a traitor proposes, above its parent's.
        wish_ms: u64,
    }

    fn turn() -> impl Strategy<Value = Turn> {
        let wish_ms = prop_oneof![Just(1), 1u64..10, 1_900u64..2_100, 0u64..10_000_000];
        let step = (0..N - F, prop_oneof![9 => Just(0), 1 => 0u64..4_000_000]);
        (1u64..500, step, wish_ms).prop_map(|(takes_ms, step, wish_ms)| Turn { takes_ms, step, wish_ms })
    }

    proptest! {
        /// R48: f traitors lead and vote for whatever they like, and honest leaders fall back as often as they like.
        #[test]
        fn time_is_never_further_ahead_of_the_fastest_honest_clock(
            skews in prop::array::uniform3(0u64..10_000),
            turns in prop::collection::vec((turn(), any::<bool>()), 1..400),
        ) {
            let start_ms = 1_800_000_000_000;
            let mut clocks = skews.map(|skew| start_ms + skew);
            let mut parent_ms = start_ms;
            for (view, (turn, falls_back)) in turns.into_iter().enumerate() {
                clocks.iter_mut().for_each(|clock| *clock += turn.takes_ms);
                clocks[turn.step.0] += turn.step.1;
                let time_ms = match clocks.get(view % N) {
                    Some(_) if falls_back => least_above(parent_ms),
                    Some(clock) => least_above(parent_ms).max(*clock),
                    None => least_above(parent_ms).max(parent_ms + turn.wish_ms),
                };
                let accept = |clock: &&u64| too_far_ms(time_ms, Some(parent_ms), **clock, AHEAD_MS_MAX) == 0;
                if F + clocks.iter().filter(accept).count() >= N - F {
                    prop_assert!(time_ms > parent_ms);
                    parent_ms = time_ms;
                }
                let fastest = clocks.iter().max().copied().unwrap_or_default();
                prop_assert!(parent_ms <= fastest + AHEAD_MS_MAX, "{} ms", parent_ms - fastest);
            }
        }
    }
}

//! Root periods: the heights for which a state root is made. Headers alone decide them.
//!
//! *Invariants:* the same chain of headers gives the same periods on every node; a period ends below the block that
//! ends it, so that this block can claim its root; only periods that no header of the chain has claimed yet are kept.

use rustorium_types::{Hash, Header, Height, Parameters, StateClaim};

/// A root period that is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Period {
    /// First height of the period.
    pub first: Height,
    /// Last height of the period. The state root is that of the state after this height.
    pub end: Height,
}

/// A state root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RootedPeriod {
    /// The period. If the root was made ahead of the period's end, the period ends with the newest executed height.
    pub period: Period,
    /// State root after the period's last height.
    pub root: Hash,
}

/// The period that is still open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Open {
    first: Height,
    /// Header time of the period's first block.
    since_ms: u64,
    /// True if one of the period's blocks lists transactions.
    filled: bool,
    /// True if the newest block is an epoch's boundary. The next height then always begins another period.
    last: bool,
}

/// The root periods of a chain, as of one of its blocks.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Periods {
    open: Option<Open>,
    /// Periods that are over and not claimed yet, by height.
    over: Vec<Period>,
}

impl Periods {
    /// Returns the periods after a block on top of these.
    ///
    /// The block ends the open period below itself in one of three cases. The open period's newest block is an epoch's
    /// boundary. Header time has advanced by a whole period since the open period's first block. Or the block is empty,
    /// the open period is not, and that period began `root_period_idle_ms` ago: the newest state of an idle chain then
    /// gets its root without further waiting.
    ///
    /// Not for closing blocks, which are no heights of the chain.
    pub fn after(&self, header: &Header, parameters: &Parameters) -> Self {
        let mut next = self.ended_by(header, parameters);
        let claimed = claimed_height(&header.state);
        next.over.retain(|period| period.end > claimed);
        next
    }

    /// Returns the periods that a block on top of these may claim, including one that the block itself ends. Ignores
    /// the block's own claim.
    pub fn ended_by(&self, header: &Header, parameters: &Parameters) -> Self {
        if !parameters.state_roots || header.height == Height(0) {
            // Genesis is a period of its own and needs no claim.
            return Self::default();
        }
        let filled = header.transactions > 0;
        let mut next = self.clone();
        match &mut next.open {
            Some(open) if !open.ends_below(header.time_ms, filled, parameters) => {
                open.filled |= filled;
                open.last = header.ends_epoch();
            }
            open => {
                let (first, since_ms, last) = (header.height, header.time_ms, header.ends_epoch());
                let new = Open { first, since_ms, filled, last };
                if let Some(ended) = open.replace(new) {
                    next.over.push(Period { first: ended.first, end: Height(header.height.0.saturating_sub(1)) });
                }
            }
        }
        next
    }

    /// Returns the newest ended period whose end is at or below `height`.
    pub fn newest_at(&self, height: Height) -> Option<Period> {
        self.over.iter().rev().find(|period| period.end <= height).copied()
    }

    /// Returns the unclaimed period that ended at this height.
    pub fn ended_at(&self, end: Height) -> Option<Period> {
        self.over.iter().find(|period| period.end == end).copied()
    }

    /// Returns the header time from which an empty block ends the open period. `None` if nothing in that period needs a
    /// root.
    pub fn idle_end_ms(&self, parameters: &Parameters) -> Option<u64> {
        let open = self.open.filter(|open| open.filled)?;
        Some(if open.last { 0 } else { open.since_ms.saturating_add(parameters.root_period_idle_ms) })
    }

    /// Returns the first height of the open period.
    pub fn open_first(&self) -> Option<Height> {
        self.open.map(|open| open.first)
    }
}

impl Open {
    fn ends_below(&self, time_ms: u64, filled: bool, parameters: &Parameters) -> bool {
        let after = |ms: u64| time_ms >= self.since_ms.saturating_add(ms);
        self.last || after(parameters.root_period_ms) || !filled && self.filled && after(parameters.root_period_idle_ms)
    }
}

/// Returns the height whose state root a header claims: genesis if none was claimed yet.
pub fn claimed_height(claim: &StateClaim) -> Height {
    match claim {
        StateClaim::NoneYet => Height(0),
        StateClaim::Rooted { height, .. } => *height,
    }
}

//! Root periods: which heights a state root is made for, decided by headers alone.
//!
//! *Invariants:* the same chain of headers gives the same periods on every node; a period ends below the block that ends
//! it, so that this block can claim its root; only periods that no header of the chain has claimed yet are kept.

use rustorium_types::{Hash, Header, Height, Parameters, StateClaim};

/// A root period that is over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Period {
    /// Its first height.
    pub first: Height,
    /// Its last height: the state root is that of the state after it.
    pub end: Height,
}

/// A state root.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RootedPeriod {
    /// The period; where it was rooted ahead, as if it ended with the newest executed height.
    pub period: Period,
    /// The state root after it.
    pub root: Hash,
}

/// The period that goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Open {
    first: Height,
    /// Header time of its first block.
    since_ms: u64,
    /// Whether one of its blocks lists transactions.
    filled: bool,
    /// Whether its newest block is an epoch's boundary: the next height begins another period, whatever it is.
    last: bool,
}

/// The root periods of a chain, as of one of its blocks.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Periods {
    open: Option<Open>,
    /// Over and not claimed, by height.
    over: Vec<Period>,
}

impl Periods {
    /// The periods after a block on top of these.
    ///
    /// It ends the open one below itself where that one's newest block is an epoch's boundary; where header time has gone on
    /// by a period since the open one's first block; or where it is empty, the open period is not and began
    /// `root_period_idle_ms` ago: an idle chain's newest state is rooted without waiting. Not for closing blocks, which
    /// are no heights of the chain.
    pub fn after(&self, header: &Header, parameters: &Parameters) -> Self {
        let mut next = self.ended_by(header, parameters);
        let claimed = claimed_height(&header.state);
        next.over.retain(|period| period.end > claimed);
        next
    }

    /// The periods that a block on top of these may claim: its own end of the open one included, its claim left aside.
    pub fn ended_by(&self, header: &Header, parameters: &Parameters) -> Self {
        if !parameters.state_roots || header.height == Height(0) {
            // Genesis is a period of its own, which needs no claim.
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

    /// The newest period that is over at or below `height`.
    pub fn newest_at(&self, height: Height) -> Option<Period> {
        self.over.iter().rev().find(|period| period.end <= height).copied()
    }

    /// The period that ended at this height and isn't claimed.
    pub fn ended_at(&self, end: Height) -> Option<Period> {
        self.over.iter().find(|period| period.end == end).copied()
    }

    /// From what time on an empty block would end the open period; none where nothing in it needs a root.
    pub fn idle_end_ms(&self, parameters: &Parameters) -> Option<u64> {
        let open = self.open.filter(|open| open.filled)?;
        Some(if open.last { 0 } else { open.since_ms.saturating_add(parameters.root_period_idle_ms) })
    }

    /// The first height of the open period.
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

/// The height whose state root a header claims; genesis where none was claimed yet.
pub fn claimed_height(claim: &StateClaim) -> Height {
    match claim {
        StateClaim::NoneYet => Height(0),
        StateClaim::Rooted { height, .. } => *height,
    }
}

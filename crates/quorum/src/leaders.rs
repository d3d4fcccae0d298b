//! The schedule of leaders (R1): cycles over the leaders; one cycle in 32 is over the whole committee.
//!
//! *Invariants:* a pure function of data that all members share; equal to the core's, since the vectors in
//! `tests/vectors/leaders.json` check both.

use rustorium_crypto::hash::hash;
use rustorium_types::{ChainId, Epoch, Hash, ValidatorIndex, View, permutation};

/// One cycle in this many goes over the whole committee.
const FULL_EVERY: u64 = 32;

/// The seed of an epoch's leaders.
const LEADERS: &[u8] = b"rustorium/leaders/v1\0";

/// Returns the seed from which the order of an epoch's leaders is drawn. `root` is the result root that the boundary
/// before the epoch claims, or the genesis root.
pub fn leader_seed(chain: ChainId, epoch: Epoch, root: Hash) -> u64 {
    let digest = hash(LEADERS, &[&chain.0, &epoch.0.to_le_bytes(), &root.0]);
    digest.iter().take(8).rev().fold(0, |seed, byte| seed << 8 | u64::from(*byte))
}

/// A view's place in the schedule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Turn {
    /// The leader of the view.
    pub leader: ValidatorIndex,
    /// The view's cycle, counted from the epoch's first view.
    pub cycle: u64,
    /// True if the cycle goes over the whole committee.
    pub full: bool,
}

/// The leaders of one epoch's views.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaders {
    all: Vec<ValidatorIndex>,
    leaders: Vec<ValidatorIndex>,
    seed: Option<u64>,
    boundary: View,
}

impl Leaders {
    /// Creates the schedule of a committee of `n` whose epoch begins above the view `boundary`. All of them lead in
    /// turn: in an order that `seed` draws again for each cycle, or, without a seed, by their indexes.
    pub fn new(n: usize, seed: Option<u64>, boundary: View) -> Self {
        let all: Vec<_> = (0..n.max(1)).map(|place| ValidatorIndex(place as u16)).collect();
        Self { leaders: all.clone(), all, seed, boundary }
    }

    /// Returns a schedule in which only these lead in ordinary cycles. If there are none, the schedule stays as it is.
    pub fn led_by(mut self, leaders: Vec<ValidatorIndex>) -> Self {
        if !leaders.is_empty() {
            self.leaders = leaders;
        }
        self
    }

    /// Returns the members that lead in ordinary cycles.
    pub fn leaders(&self) -> &[ValidatorIndex] {
        &self.leaders
    }

    /// Returns the seed of their order; `None` if they take turns by index.
    pub fn seed(&self) -> Option<u64> {
        self.seed
    }

    /// Returns the view of the boundary block before the epoch.
    pub fn boundary(&self) -> View {
        self.boundary
    }

    /// Returns the leader of a view.
    pub fn of(&self, view: View) -> ValidatorIndex {
        self.turn(view).leader
    }

    /// Returns a view's place. A view at or below the boundary is in no cycle, and counts as one of the first cycle.
    pub fn turn(&self, view: View) -> Turn {
        let (m, n) = (self.leaders.len() as u64, self.all.len() as u64);
        let ordinary = (FULL_EVERY - 1) * m;
        let since = view.0.saturating_sub(self.boundary.0 + 1);
        let (period, within) = (since / (ordinary + n), since % (ordinary + n));
        let full = within >= ordinary;
        let (cycle, place) = if full { (FULL_EVERY - 1, within - ordinary) } else { (within / m, within % m) };
        let cycle = period * FULL_EVERY + cycle;
        let leader = match self.seed {
            None => self.all[(view.0 % n) as usize],
            Some(seed) => permuted(if full { &self.all } else { &self.leaders }, seed ^ cycle)[place as usize],
        };
        Turn { leader, cycle, full }
    }
}

/// Returns the members in the order that the seed draws.
pub fn permuted(members: &[ValidatorIndex], seed: u64) -> Vec<ValidatorIndex> {
    permutation(seed, members.len()).into_iter().map(|place| members[place]).collect()
}

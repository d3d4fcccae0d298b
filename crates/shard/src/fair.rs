//! A queue that is fair between keys: it serves the waiting key that has cost least so far.
//!
//! *Invariants:* `pop` returns an item while a key that isn't held has one; items of one key leave in order; an idle
//! key gains no advantage, and a key in debt waits until the others have had as much; when nothing waits, all debts are
//! forgotten.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Cost of taking an item before its real cost is charged. Keys whose items cost nothing still take turns.
const TAKEN: u64 = 1;

struct Lane<T> {
    items: VecDeque<T>,
    /// Cost at which this key is served again; keys with a smaller value go first.
    due: u64,
    /// Tie-breaker: a number that rises with each entry into `ready`, so the key that has waited longest goes first.
    place: u64,
    held: bool,
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), due: 0, place: 0, held: false }
    }
}

/// Items by key. Costs have any one unit, such as nanoseconds or signatures.
pub struct FairQueue<K, T> {
    lanes: BTreeMap<K, Lane<T>>,
    /// Keys that have items and aren't held, the next one first.
    ready: BTreeSet<(u64, u64, K)>,
    /// Cost at which the last key was served. A key that comes back from idle starts at this value.
    level: u64,
    places: u64,
    len: usize,
}

impl<K, T> Default for FairQueue<K, T> {
    fn default() -> Self {
        Self { lanes: BTreeMap::new(), ready: BTreeSet::new(), level: 0, places: 0, len: 0 }
    }
}

impl<K: Copy + Ord, T> FairQueue<K, T> {
    /// Adds an item behind the others of its key.
    pub fn push(&mut self, key: K, item: T) {
        let lane = self.lanes.entry(key).or_default();
        lane.items.push_back(item);
        self.len += 1;
        if lane.items.len() == 1 && !lane.held {
            self.ready(key);
        }
    }

    /// Returns the number of waiting items, including those of held keys.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Returns true if nothing waits, not even for held keys.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns the number of one key's items.
    pub fn len_of(&self, key: &K) -> usize {
        self.lanes.get(key).map_or(0, |lane| lane.items.len())
    }

    /// Returns true if `pop` would return `None`.
    pub fn is_idle(&self) -> bool {
        self.ready.is_empty()
    }

    /// Returns the next item without taking it.
    pub fn peek(&self) -> Option<(&K, &T)> {
        let (_, _, key) = self.ready.first()?;
        self.lanes.get(key).and_then(|lane| lane.items.front()).map(|item| (key, item))
    }

    /// Takes the next item. The caller charges its cost once that is known.
    pub fn pop(&mut self) -> Option<(K, T)> {
        let (due, _, key) = self.ready.pop_first()?;
        self.level = self.level.max(due);
        let lane = self.lanes.get_mut(&key)?;
        let item = lane.items.pop_front()?;
        self.len -= 1;
        lane.due = self.level.saturating_add(TAKEN);
        if !lane.items.is_empty() {
            self.ready(key);
        }
        Some((key, item))
    }

    /// Charges a key for its last item.
    pub fn charge(&mut self, key: &K, cost: u64) {
        let Some(lane) = self.lanes.get_mut(key) else { return };
        let waits = self.ready.remove(&(lane.due, lane.place, *key));
        lane.due = lane.due.saturating_add(cost);
        if waits {
            self.ready(*key);
        } else if self.ready.is_empty() {
            self.forgive();
        }
    }

    /// Takes all items of a key, unserved. Its debt stays as long as something else waits.
    pub fn clear(&mut self, key: &K) -> VecDeque<T> {
        let Some(lane) = self.lanes.get_mut(key) else { return VecDeque::new() };
        self.ready.remove(&(lane.due, lane.place, *key));
        let items = std::mem::take(&mut lane.items);
        self.len -= items.len();
        if self.ready.is_empty() {
            self.forgive();
        }
        items
    }

    /// Stops serving these keys, and serves all others again. Held items stay in the queue.
    pub fn hold_only(&mut self, held: &BTreeSet<K>) {
        for key in held {
            let lane = self.lanes.entry(*key).or_default();
            lane.held = true;
            self.ready.remove(&(lane.due, lane.place, *key));
        }
        let freed: Vec<K> =
            self.lanes.iter().filter(|(key, lane)| lane.held && !held.contains(key)).map(|(key, _)| *key).collect();
        for key in freed {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.held = false;
            if !lane.items.is_empty() {
                self.ready(key);
            }
        }
    }

    fn ready(&mut self, key: K) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        lane.due = lane.due.max(self.level);
        self.places += 1;
        lane.place = self.places;
        self.ready.insert((lane.due, lane.place, key));
    }

    /// Resets all debts once nothing that isn't held waits, so that the next busy time begins with equal keys.
    fn forgive(&mut self) {
        self.level = 0;
        self.lanes.retain(|_, lane| lane.held || !lane.items.is_empty());
        self.lanes.values_mut().for_each(|lane| lane.due = 0);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use super::*;
    use proptest::prelude::*;

    /// Serves `count` items, each at its key's cost. Returns the cost that each key was served.
    fn serve(queue: &mut FairQueue<u8, u32>, costs: &[u64], count: usize) -> Vec<u64> {
        let mut served = vec![0; costs.len()];
        for _ in 0..count {
            let Some((key, _)) = queue.pop() else { break };
            queue.charge(&key, costs[usize::from(key)]);
            served[usize::from(key)] += costs[usize::from(key)];
        }
        served
    }

    #[test]
    fn an_expensive_key_waits_until_the_others_have_had_as_much() {
        let mut queue = FairQueue::default();
        for item in 0..100 {
            queue.push(0, item);
            queue.push(1, item);
        }
        let served = serve(&mut queue, &[1_000, 10], 102);
        assert!(served[0] <= 2_000, "{served:?}");
        assert_eq!(served[1], 1_000);
    }

    #[test]
    fn keys_take_turns_where_nothing_costs() {
        let mut queue = FairQueue::default();
        for item in 0..3 {
            (0..3).for_each(|key| queue.push(key, item));
        }
        let order: Vec<(u8, i32)> = std::iter::from_fn(|| queue.pop()).collect();
        let expected: Vec<(u8, i32)> = (0..3).flat_map(|item| (0..3).map(move |key| (key, item))).collect();
        assert_eq!(order, expected);
    }

    #[test]
    fn a_key_that_goes_empty_in_between_keeps_its_debt_and_saves_nothing_up() {
        let mut queue = FairQueue::default();
        (0..50).for_each(|item| queue.push(1, item));
        queue.push(0, 0);
        assert_eq!(queue.pop(), Some((1, 0)));
        queue.charge(&1, 10);
        assert_eq!(queue.pop(), Some((0, 0)));
        queue.charge(&0, 200);
        // A new item at once: it waits until key 1 has had as much.
        queue.push(0, 1);
        let first = (0..).find(|_| {
            let (key, _) = queue.pop().expect("fifty wait");
            queue.charge(&key, 10);
            key == 0
        });
        assert!((15..=22).contains(&first.expect("it comes in the end")), "{first:?}");
        // A key that was idle for long is served next, but not several times in a row.
        queue.push(2, 0);
        queue.push(2, 1);
        let next: Vec<u8> = (0..4)
            .map(|_| {
                queue
                    .pop()
                    .map(|(key, _)| {
                        queue.charge(&key, 10);
                        key
                    })
                    .unwrap_or(9)
            })
            .collect();
        assert_eq!(next.iter().filter(|key| **key == 2).count(), 2, "{next:?}");
        assert!(next.windows(2).all(|pair| pair != [2, 2]), "{next:?}");
    }

    #[test]
    fn a_held_key_is_not_served_until_it_is_let_go() {
        let mut queue = FairQueue::default();
        queue.push(0, 'a');
        queue.push(1, 'b');
        queue.hold_only(&BTreeSet::from([0]));
        queue.push(0, 'c');
        assert_eq!((queue.pop(), queue.pop()), (Some((1, 'b')), None));
        assert_eq!((queue.len(), queue.len_of(&0), queue.is_idle()), (2, 2, true));
        queue.hold_only(&BTreeSet::new());
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some((0, 'a')), Some((0, 'c')), None));
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn what_is_cleared_is_not_served_and_others_are() {
        let mut queue = FairQueue::default();
        queue.push(0, 'a');
        queue.push(0, 'b');
        queue.push(1, 'c');
        assert_eq!(queue.clear(&0), ['a', 'b']);
        assert!(queue.clear(&0).is_empty() && queue.clear(&7).is_empty());
        assert_eq!((queue.len(), queue.len_of(&0)), (1, 0));
        queue.push(0, 'd');
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some((1, 'c')), Some((0, 'd')), None));
        queue.push(2, 'e');
        assert_eq!(queue.clear(&2), ['e']);
        assert!(queue.is_idle() && queue.is_empty());
    }

    proptest! {
        #[test]
        fn every_item_leaves_once_in_its_keys_order(steps in prop::collection::vec((0u8..5, 0u64..50, any::<bool>()), 0..200)) {
            let (mut queue, mut pushed, mut popped) = (FairQueue::default(), vec![Vec::new(); 5], vec![Vec::new(); 5]);
            for (number, (key, cost, push)) in steps.into_iter().enumerate() {
                if push {
                    queue.push(key, number);
                    pushed[usize::from(key)].push(number);
                } else {
                    let waits = !queue.is_empty();
                    let taken = queue.pop();
                    prop_assert_eq!(taken.is_some(), waits, "it works while something waits");
                    if let Some((key, item)) = taken {
                        queue.charge(&key, cost);
                        popped[usize::from(key)].push(item);
                    }
                }
            }
            while let Some((key, item)) = queue.pop() {
                popped[usize::from(key)].push(item);
            }
            prop_assert_eq!(pushed, popped);
            prop_assert!(queue.is_idle() && queue.is_empty());
        }

        #[test]
        fn keys_that_always_have_work_get_equal_shares(costs in prop::collection::vec(1u64..100, 2..6), count in 1usize..400) {
            let mut queue = FairQueue::default();
            for key in 0..costs.len() as u8 {
                (0..400).for_each(|item| queue.push(key, item));
            }
            let served = serve(&mut queue, &costs, count);
            let most = costs.iter().max().expect("two at least") + TAKEN;
            // Each item counts as one in addition to its cost.
            let counted: Vec<u64> = served.iter().zip(&costs).map(|(served, cost)| served + served / cost).collect();
            let (low, high) = (counted.iter().min(), counted.iter().max());
            prop_assert!(high.zip(low).is_some_and(|(high, low)| high - low <= 2 * most), "{counted:?}");
        }
    }
}

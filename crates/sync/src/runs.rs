//! A set of views as disjoint runs.
//!
//! *Invariants:* runs neither overlap nor touch; a run of any length is one entry.

use std::collections::BTreeMap;

/// Runs of views: the last view by the first one.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Runs(BTreeMap<u64, u64>);

impl Runs {
    /// Adds the views from `first` to `last`, all of which must be above the set's last one.
    pub(crate) fn append(&mut self, first: u64, last: u64) {
        if first > last {
            return;
        }
        match self.0.last_entry() {
            Some(mut newest) if newest.get().saturating_add(1) >= first => _ = newest.insert(last),
            _ => _ = self.0.insert(first, last),
        }
    }

    /// Removes a view.
    pub(crate) fn remove(&mut self, view: u64) {
        let Some((first, last)) = self.run_of(view) else { return };
        self.0.remove(&first);
        if first < view {
            self.0.insert(first, view - 1);
        }
        if view < last {
            self.0.insert(view + 1, last);
        }
    }

    /// Removes the views up to `view`.
    pub(crate) fn remove_through(&mut self, view: u64) {
        while let Some(oldest) = self.0.first_entry().filter(|oldest| *oldest.key() <= view) {
            let last = oldest.remove();
            if last > view {
                self.0.insert(view + 1, last);
            }
        }
    }

    pub(crate) fn contains(&self, view: u64) -> bool {
        self.run_of(view).is_some()
    }

    /// Returns the newest view at or below `view`.
    pub(crate) fn newest_through(&self, view: u64) -> Option<u64> {
        self.0.range(..=view).next_back().map(|(_, last)| (*last).min(view))
    }

    /// Returns the oldest view at or above `view`.
    pub(crate) fn oldest_from(&self, view: u64) -> Option<u64> {
        if self.contains(view) { Some(view) } else { self.0.range(view..).next().map(|(first, _)| *first) }
    }

    /// Returns the number of views from `first` to `last`.
    pub(crate) fn count(&self, first: u64, last: u64) -> u64 {
        let runs = self.0.range(..=last).rev().take_while(|(_, end)| **end >= first);
        runs.map(|(start, end)| (*end).min(last) - (*start).max(first) + 1).sum()
    }

    /// Returns the runs from `first` to `last`, oldest first.
    pub(crate) fn between(&self, first: u64, last: u64) -> Vec<(u64, u64)> {
        let runs = self.0.range(..=last).rev().take_while(|(_, end)| **end >= first);
        let mut runs: Vec<_> = runs.map(|(start, end)| ((*start).max(first), (*end).min(last))).collect();
        runs.reverse();
        runs
    }

    fn run_of(&self, view: u64) -> Option<(u64, u64)> {
        let run = self.0.range(..=view).next_back().map(|(first, last)| (*first, *last));
        run.filter(|(_, last)| *last >= view)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        /// Runs answer in the same way as a plain set of these views.
        #[test]
        fn runs_are_a_set(steps in proptest::collection::vec((0u8..3, 0u64..6, 0u64..40), 0..40), ask in 0u64..60) {
            let (mut runs, mut set) = (Runs::default(), BTreeSet::<u64>::new());
            for (what, length, view) in steps {
                match what {
                    0 => {
                        let first = set.last().map_or(view % 4, |last| last + 1 + view % 3);
                        runs.append(first, first + length);
                        set.extend(first..=first + length);
                    }
                    1 => {
                        runs.remove(view);
                        set.remove(&view);
                    }
                    _ => {
                        runs.remove_through(view / 4);
                        set.retain(|known| *known > view / 4);
                    }
                }
            }
            prop_assert_eq!(runs.contains(ask), set.contains(&ask));
            prop_assert_eq!(runs.newest_through(ask), set.range(..=ask).next_back().copied());
            prop_assert_eq!(runs.oldest_from(ask), set.range(ask..).next().copied());
            let (first, last) = (ask / 2, ask);
            prop_assert_eq!(runs.count(first, last) as usize, set.range(first..=last).count());
            let listed: Vec<u64> = runs.between(first, last).into_iter().flat_map(|(a, b)| a..=b).collect();
            prop_assert_eq!(listed, set.range(first..=last).copied().collect::<Vec<_>>());
            let entries: Vec<_> = runs.0.iter().collect();
            prop_assert!(entries.windows(2).all(|pair| pair[0].1 + 1 < *pair[1].0), "{:?}", entries);
        }
    }
}

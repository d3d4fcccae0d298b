//! Fair use of the pool of proofs: room for waiting questions, and the order in which they are answered.
//!
//! *Invariants:* a site below its share is let in, whichever others fill the pool; sites take turns by the number of
//! keys that they ask for, and a site's large questions don't delay its small ones.

use super::{Ask, ProofLimits};
use rustorium_shard::fair::FairQueue;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;

/// Number of questions and of their keys.
#[derive(Default, Clone, Copy, PartialEq, Eq, Debug)]
struct Load {
    asks: usize,
    keys: usize,
}

/// Loads of waiting questions, by site.
#[derive(Default)]
pub(super) struct Loads {
    all: Load,
    sites: HashMap<IpAddr, Load>,
}

impl Loads {
    /// Returns the number of waiting questions.
    pub(super) fn asks(&self) -> usize {
        self.all.asks
    }

    /// Admits a question with this many keys. Returns false if the pool, or the site's share of a full pool, has no
    /// room.
    pub(super) fn enter(&mut self, site: IpAddr, keys: usize, limits: &ProofLimits) -> bool {
        let own = self.sites.get(&site).copied();
        let sites = self.sites.len() + usize::from(own.is_none());
        // An empty pool admits a client with any number of keys.
        let room = self.all.asks == 0 || (self.all.asks < limits.asks_max && self.all.keys + keys <= limits.keys_max);
        let own = own.unwrap_or_default();
        let share = own.asks < (limits.asks_max / sites).max(1)
            && own.keys + keys <= (limits.keys_max / sites).max(limits.gathered_keys_max.min(limits.keys_max));
        if !room && !share {
            return false;
        }
        for load in [&mut self.all, self.sites.entry(site).or_default()] {
            *load = Load { asks: load.asks + 1, keys: load.keys + keys };
        }
        true
    }

    /// Notes that a question with this many keys no longer waits.
    pub(super) fn leave(&mut self, site: IpAddr, keys: usize) {
        let less = |load: &mut Load| {
            *load = Load { asks: load.asks.saturating_sub(1), keys: load.keys.saturating_sub(keys) };
        };
        less(&mut self.all);
        if let Some(own) = self.sites.get_mut(&site) {
            less(own);
            if own.asks == 0 {
                self.sites.remove(&site);
            }
        }
    }
}

/// Waiting questions in the order in which they are answered.
#[derive(Default)]
pub(super) struct Turns(FairQueue<(IpAddr, bool), Ask>);

impl Turns {
    /// Puts a question behind the others of its site and size.
    pub(super) fn push(&mut self, ask: Ask, keys_max: usize) {
        let key = (ask.site, ask.subjects.len() > keys_max);
        self.0.push(key, ask);
    }

    /// Returns true if no question waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the questions whose turn it is: one large question, or small ones of up to `keys_max` distinct keys.
    pub(super) fn next(&mut self, keys_max: usize) -> Vec<Ask> {
        let (mut portion, mut keys) = (Vec::new(), BTreeSet::new());
        while let Some((_, ask)) = self.0.peek() {
            let new = ask.subjects.iter().filter(|(_, key)| !keys.contains(key)).count();
            if !portion.is_empty() && keys.len() + new > keys_max {
                break;
            }
            let Some((key, ask)) = self.0.pop() else { break };
            self.0.charge(&key, ask.subjects.len() as u64);
            keys.extend(ask.subjects.iter().map(|(_, key)| *key));
            portion.push(ask);
        }
        portion
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_client_that_fills_the_pool_keeps_no_other_out() {
        let limits = ProofLimits { asks_max: 8, keys_max: 64, gathered_keys_max: 4, cache_bytes: 0 };
        let mut loads = Loads::default();
        let filled = (0..100).filter(|_| loads.enter(address(1), 16, &limits)).count();
        assert_eq!(filled, 4, "all of its keys");
        assert!(loads.enter(address(2), 16, &limits) && loads.enter(address(2), 16, &limits));
        assert!(!loads.enter(address(2), 1, &limits), "its half");
        assert!(loads.enter(address(3), 4, &limits) && !loads.enter(address(3), 18, &limits));
        let crowd = (10..110).filter(|last| loads.enter(address(*last), 4, &limits)).count();
        assert_eq!(crowd, 100, "one small question of each is heard");
        (0..4).for_each(|_| loads.leave(address(1), 16));
        (0..2).for_each(|_| loads.leave(address(2), 16));
        loads.leave(address(3), 4);
        (10..110).for_each(|last| loads.leave(address(last), 4));
        assert_eq!((loads.all, loads.sites.len()), (Load::default(), 0), "nothing is kept of who has left");
    }
}

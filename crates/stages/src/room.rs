//! Room for clients' transactions that wait for their check or their outcome, and how clients share it.
//!
//! *Invariants:* a site below its share of the room is let in, whichever others fill it; dropping a place frees it. The
//! n-th site that comes to a full room takes at most an n-th of the capacity. So k sites take at most the capacity
//! times 1 + 1/2 + … + 1/k, which is below 1 + ln k, and one submission.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Places taken by each site.
pub struct Room {
    capacity: usize,
    taken: AtomicUsize,
    /// Counters are raised under the lock. So when a site is removed at zero, none of its submissions is about to take
    /// a place.
    sites: Mutex<HashMap<IpAddr, Arc<AtomicUsize>>>,
}

impl Room {
    /// Creates a room with this many places.
    pub fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { capacity, taken: AtomicUsize::new(0), sites: Mutex::default() })
    }

    /// Returns the number of taken places.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Returns true if a site would find no place. `None` stands for a site that holds none.
    pub fn is_full_for(&self, site: Option<IpAddr>) -> bool {
        let sites = self.sites.lock();
        let held = site.and_then(|site| sites.get(&site));
        let (mine, others) = (held.map_or(0, |held| held.load(Ordering::Relaxed)), sites.len());
        self.free(mine, others + usize::from(held.is_none()), 1) == 0
    }

    /// Takes places for a submission of `wanted` transactions: all of them if there is room, otherwise up to the site's
    /// share.
    pub fn enter(self: &Arc<Self>, site: IpAddr, wanted: usize) -> Vec<Place> {
        let mut sites = self.sites.lock();
        let held = sites.entry(site).or_default().clone();
        let granted = self.free(held.load(Ordering::Relaxed), sites.len(), wanted);
        held.fetch_add(granted, Ordering::Relaxed);
        self.taken.fetch_add(granted, Ordering::Relaxed);
        if held.load(Ordering::Relaxed) == 0 {
            sites.remove(&site);
        }
        drop(sites);
        (0..granted).map(|_| Place { room: self.clone(), site, held: held.clone() }).collect()
    }

    fn free(&self, mine: usize, sites: usize, wanted: usize) -> usize {
        if self.taken() < self.capacity {
            return wanted;
        }
        let share = self.capacity / sites.max(1);
        wanted.min(share.saturating_sub(mine))
    }
}

/// Place of one transaction.
pub struct Place {
    room: Arc<Room>,
    site: IpAddr,
    held: Arc<AtomicUsize>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.taken.fetch_sub(1, Ordering::Relaxed);
        if self.held.fetch_sub(1, Ordering::Relaxed) == 1 {
            let mut sites = self.room.sites.lock();
            if sites.get(&self.site).is_some_and(|held| held.load(Ordering::Relaxed) == 0) {
                sites.remove(&self.site);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_site_takes_all_while_nobody_else_comes_and_then_keeps_nobody_out() {
        let room = Room::new(100);
        let first = room.enter(address(1), 100);
        assert_eq!((first.len(), room.taken()), (100, 100));
        assert!(room.is_full_for(Some(address(1))) && room.enter(address(1), 5).is_empty());
        assert!(!room.is_full_for(Some(address(2))) && !room.is_full_for(None));
        let second = room.enter(address(2), 60);
        assert_eq!(second.len(), 50, "its half");
        assert!(room.is_full_for(Some(address(2))));
        assert_eq!(room.enter(address(3), 60).len(), 33);
        drop(first);
        assert_eq!(room.taken(), 50, "the third one has left");
        assert!(!room.is_full_for(Some(address(1))) && !room.is_full_for(Some(address(2))));
        drop(second);
        assert!(room.sites.lock().is_empty(), "nothing is kept of who has left");
    }

    #[test]
    fn who_finds_room_is_taken_whole() {
        let room = Room::new(3);
        let all = room.enter(address(1), 1_000);
        assert_eq!(all.len(), 1_000);
        assert!(room.is_full_for(Some(address(1))));
    }

    proptest! {
        #[test]
        fn shares_bound_what_is_taken(steps in proptest::collection::vec((0u8..12, 0usize..40, any::<bool>()), 0..200)) {
            let room = Room::new(64);
            let mut held: Vec<Place> = Vec::new();
            for (last, count, leave) in steps {
                if leave {
                    held.truncate(held.len().saturating_sub(count));
                } else {
                    held.extend(room.enter(address(last), count));
                }
                prop_assert_eq!(room.taken(), held.len());
                prop_assert!(held.len() <= (1..=12).map(|site| 64 / site).sum::<usize>() + 40);
                let mine = held.iter().filter(|place| place.site == address(11)).count();
                prop_assert!(mine >= 64 / 12 || !room.is_full_for(Some(address(11))));
            }
            drop(held);
            prop_assert_eq!((room.taken(), room.sites.lock().len()), (0, 0));
        }
    }
}

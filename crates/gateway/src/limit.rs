//! Counts of open connections per site: an address, or the IPv6 network that contains it.

use parking_lot::Mutex;
use rustorium_transport::handshakes::site;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Open connections by site.
#[derive(Default)]
pub(crate) struct ConnectionsBySite(Mutex<HashMap<IpAddr, usize>>);

impl ConnectionsBySite {
    /// Counts one more connection of `address`. `None` if it has `max` already.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, max: usize) -> Option<CountedConnection> {
        let address = site(address);
        let mut open = self.0.lock();
        let count = open.entry(address).or_insert(0);
        if *count >= max {
            return None;
        }
        *count += 1;
        drop(open);
        Some(CountedConnection { all: self.clone(), address })
    }
}

/// Counts as open until it is dropped.
pub(crate) struct CountedConnection {
    all: Arc<ConnectionsBySite>,
    address: IpAddr,
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let mut open = self.all.0.lock();
        if let Some(count) = open.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_site_has_so_many_at_once_and_one_that_leaves_makes_room() {
        let all = Arc::<ConnectionsBySite>::default();
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        let mut held: Vec<CountedConnection> = (0..2).map(|_| all.enter(address(1), 2).unwrap()).collect();
        assert!(all.enter(address(1), 2).is_none());
        held.push(all.enter(address(2), 2).unwrap());
        held.remove(0);
        held.push(all.enter(address(1), 2).unwrap());
        assert!(all.enter(address(1), 2).is_none());
        drop(held);
        assert!(all.0.lock().is_empty(), "nothing is kept of who has left");
    }
}

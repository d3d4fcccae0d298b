//! Shares of a bounded resource: a limit for all clients together, and one for each site.
//!
//! *Invariants:* at most `all` units are held, and at most `per_site` by one site; dropping a share frees it; nothing
//! is kept of a site that holds nothing and waits for nothing.

use parking_lot::Mutex;
use rustorium_transport::handshakes::site;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

/// The shared resource.
pub(crate) struct Shares {
    all: Arc<Semaphore>,
    per_site: usize,
    sites: Arc<Sites>,
}

type Sites = Mutex<HashMap<IpAddr, Weak<Site>>>;

/// Share of one site. Its last user drops it.
struct Site {
    free: Arc<Semaphore>,
    address: IpAddr,
    sites: Weak<Sites>,
}

impl Drop for Site {
    fn drop(&mut self) {
        let Some(sites) = self.sites.upgrade() else { return };
        let mut sites = sites.lock();
        if sites.get(&self.address).is_some_and(|site| site.strong_count() == 0) {
            sites.remove(&self.address);
        }
    }
}

/// Units that are held until this is dropped.
pub(crate) struct Share {
    of_site: OwnedSemaphorePermit,
    of_all: OwnedSemaphorePermit,
    _site: Arc<Site>,
}

impl Share {
    /// Returns the number of held units.
    pub(crate) fn units(&self) -> usize {
        self.of_site.num_permits()
    }

    /// Gives back the units above `units`.
    pub(crate) fn shrink(&mut self, units: usize) {
        for held in [&mut self.of_site, &mut self.of_all] {
            drop(held.split(held.num_permits().saturating_sub(units)));
        }
    }
}

impl Shares {
    /// Creates a resource of `all` units, of which one site holds at most `per_site`.
    pub(crate) fn new(all: usize, per_site: usize) -> Self {
        let all = all.min(u32::MAX as usize).min(Semaphore::MAX_PERMITS);
        Self { all: Arc::new(Semaphore::new(all)), per_site: per_site.min(all), sites: Arc::default() }
    }

    fn site(&self, address: IpAddr) -> Arc<Site> {
        let address = site(address);
        let mut sites = self.sites.lock();
        if let Some(known) = sites.get(&address).and_then(Weak::upgrade) {
            return known;
        }
        let free = Arc::new(Semaphore::new(self.per_site));
        let new = Arc::new(Site { free, address, sites: Arc::downgrade(&self.sites) });
        sites.insert(address, Arc::downgrade(&new));
        new
    }

    /// Limits units to one site's part. Nobody can hold more, so a larger request takes that much.
    fn bounded(&self, units: usize) -> u32 {
        u32::try_from(units.min(self.per_site)).unwrap_or(u32::MAX)
    }

    /// Waits at most this long for units. `None` if the site, or all sites together, had too few for that long.
    pub(crate) async fn wait(&self, address: IpAddr, units: usize, longest: Duration) -> Option<Share> {
        let (site, units) = (self.site(address), self.bounded(units));
        let both = async {
            let of_site = site.free.clone().acquire_many_owned(units).await.ok()?;
            let of_all = self.all.clone().acquire_many_owned(units).await.ok()?;
            Some((of_site, of_all))
        };
        let (of_site, of_all) = timeout(longest, both).await.ok()??;
        Some(Share { of_site, of_all, _site: site })
    }

    /// Takes units that are free now. `None` if there are too few.
    pub(crate) fn take(&self, address: IpAddr, units: usize) -> Option<Share> {
        let (site, units) = (self.site(address), self.bounded(units));
        let of_site = site.free.clone().try_acquire_many_owned(units).ok()?;
        let of_all = self.all.clone().try_acquire_many_owned(units).ok()?;
        Some(Share { of_site, of_all, _site: site })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const LONG: Duration = Duration::from_secs(3_600);

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn a_site_has_its_part_and_all_sites_have_the_whole() {
        let shares = Shares::new(10, 4);
        let first = shares.take(address(1), 4).unwrap();
        assert!(shares.take(address(1), 1).is_none());
        let mut second = shares.take(address(2), 100).unwrap();
        let third = shares.take(address(3), 2).unwrap();
        assert!(shares.take(address(3), 1).is_none(), "nothing is left of the whole");
        second.shrink(1);
        assert!(shares.take(address(2), 3).is_some());
        drop((first, second, third));
        assert_eq!(shares.all.available_permits(), 10);
        assert!(shares.sites.lock().is_empty(), "nothing is kept of who has left");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_served_in_turn_or_told_in_time() {
        let shares = Shares::new(10, 4);
        let held = shares.take(address(1), 3).unwrap();
        let (mut two, mut one) =
            (Box::pin(shares.wait(address(1), 2, LONG)), Box::pin(shares.wait(address(1), 1, LONG)));
        assert!(two.as_mut().now_or_never().is_none() && one.as_mut().now_or_never().is_none(), "it stands behind");
        assert!(shares.wait(address(2), 4, LONG).now_or_never().unwrap().is_some(), "others don't wait for that");
        assert!(shares.wait(address(1), 1, Duration::from_secs(1)).await.is_none());
        drop(held);
        assert!(two.await.is_some() && one.await.is_some());
        assert!(shares.sites.lock().is_empty());
    }
}

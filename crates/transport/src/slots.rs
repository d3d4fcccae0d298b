//! Places of nodes outside the committee: guests always have one, strangers as long as they use it.
//!
//! *Invariants:* a guest's place depends on its key alone; the number of strangers is bounded, in all and per network;
//! a stranger that has been silent for longest loses its place first.

use crate::config::FollowerLimits;
use crate::link::{Bounds, Link};
use crate::pace::Pace;
use crate::refusal::{CloseCode, Refusal};
use rustorium_types::{PublicKey, ShardId};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Strangers that are admitted in a second, and at once after a pause.
const STRANGERS_PER_S: u32 = 10;
const STRANGERS_BURST: u32 = 20;

/// Returns the network that an address is counted for: its /24, or /48; `None` for this machine's own addresses.
fn network(address: IpAddr) -> Option<IpAddr> {
    match address.to_canonical() {
        address if address.is_loopback() => None,
        IpAddr::V4(address) => Some(Ipv4Addr::from_bits(address.to_bits() >> 8 << 8).into()),
        IpAddr::V6(address) => Some(Ipv6Addr::from_bits(address.to_bits() >> 80 << 80).into()),
    }
}

#[derive(Debug)]
struct Follower {
    link: Arc<Link>,
    /// Data of a stranger; `None` for a guest.
    stranger: Option<Stranger>,
}

#[derive(Debug, Clone, Copy)]
struct Stranger {
    network: Option<IpAddr>,
}

/// The links to nodes outside the committee.
#[derive(Debug)]
pub(crate) struct Slots {
    limits: FollowerLimits,
    shards: Arc<BTreeSet<ShardId>>,
    followers: BTreeMap<PublicKey, Follower>,
    guests_sent: Arc<Pace>,
    strangers_sent: Arc<Pace>,
    /// Time at which all strangers admitted so far would have come at the rate.
    paid: Option<Instant>,
}

impl Slots {
    pub fn new(limits: FollowerLimits, shards: Arc<BTreeSet<ShardId>>) -> Self {
        Self {
            limits,
            shards,
            followers: BTreeMap::new(),
            guests_sent: Arc::new(Pace::new(0, limits.guests_sent_bytes_per_s)),
            strangers_sent: Arc::new(Pace::new(0, limits.strangers_sent_bytes_per_s)),
            paid: None,
        }
    }

    pub fn links(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.followers.values().map(|follower| &follower.link)
    }

    pub fn get(&self, key: &PublicKey) -> Option<&Arc<Link>> {
        self.followers.get(key).map(|follower| &follower.link)
    }

    /// Gives a guest its place, and ends its older connection if it has one.
    pub fn admit_guest(&mut self, key: &PublicKey) -> Arc<Link> {
        self.put(key, None)
    }

    /// Gives a stranger a place if there is one. Errors: there is none, or too many strangers come at once.
    pub fn admit_stranger(&mut self, now: Instant, key: &PublicKey, address: IpAddr) -> Result<Arc<Link>, Refusal> {
        if !self.book(now) {
            return Err(Refusal::TooMany);
        }
        let network = network(address);
        let same = |stranger: &Stranger| network.is_some() && stranger.network == network;
        let near = self.others(key).filter(|(_, stranger)| same(stranger)).count();
        if near >= self.limits.strangers_per_network_max {
            self.evict(now, key, same)?;
        }
        if self.others(key).count() >= self.limits.strangers_max {
            self.evict(now, key, |_| true)?;
        }
        Ok(self.put(key, Some(Stranger { network })))
    }

    fn book(&mut self, now: Instant) -> bool {
        let each = Duration::from_secs(1) / STRANGERS_PER_S;
        let start = self.paid.map_or(now, |paid| paid.max(now));
        let allowed = start.saturating_duration_since(now) < each * STRANGERS_BURST;
        if allowed {
            self.paid = Some(start + each);
        }
        allowed
    }

    fn others(&self, key: &PublicKey) -> impl Iterator<Item = (&Follower, Stranger)> {
        let others = self.followers.iter().filter(move |(other, _)| *other != key);
        others.filter_map(|(_, follower)| Some((follower, follower.stranger?)))
    }

    /// Ends the link of the stranger among these that has been idle for longest. Errors: none has been idle long
    /// enough.
    fn evict(&mut self, now: Instant, key: &PublicKey, among: impl Fn(&Stranger) -> bool) -> Result<(), Refusal> {
        let count = self.others(key).count();
        let idle = self.others(key).filter(|(_, stranger)| among(stranger));
        let idle = idle.map(|(follower, _)| (follower.link.idle_for(now), follower.link.clone()));
        let longest = idle.filter(|(idle, _)| *idle > self.limits.idle).max_by_key(|(idle, _)| *idle);
        let (_, link) = longest.ok_or(Refusal::FollowersFull(count))?;
        link.end(CloseCode::FollowersFull);
        self.followers.remove(&link.node_key);
        Ok(())
    }

    fn put(&mut self, key: &PublicKey, stranger: Option<Stranger>) -> Arc<Link> {
        let (queue_frames, queue_bytes) = FollowerLimits::QUEUES;
        let read = Some(Arc::new(Pace::new(self.limits.frames_per_s, self.limits.read_bytes_per_s)));
        let sent = if stranger.is_none() { self.guests_sent.clone() } else { self.strangers_sent.clone() };
        let bounds = Bounds { queue_frames, queue_bytes, shards: self.shards.clone(), read, sent: Some(sent) };
        let link = Arc::new(Link::new(*key, bounds, None));
        if let Some(older) = self.followers.insert(*key, Follower { link: link.clone(), stranger }) {
            older.link.end(CloseCode::Replaced);
        }
        link
    }

    /// Removes the link of a connection that is over.
    pub fn forget(&mut self, link: &Arc<Link>) {
        if self.get(&link.node_key).is_some_and(|newest| Arc::ptr_eq(newest, link)) {
            self.followers.remove(&link.node_key);
        }
    }

    /// Ends the link of a key.
    pub fn end(&mut self, key: &PublicKey, code: CloseCode) {
        if let Some(follower) = self.followers.remove(key) {
            follower.link.end(code);
        }
    }

    /// Ends the links of keys that have become guests, or are no longer guests. They connect again in their new role.
    pub fn reclassify(&mut self, is_guest: impl Fn(&PublicKey) -> bool) {
        self.followers.retain(|key, follower| {
            let stays = is_guest(key) == follower.stranger.is_none();
            if !stays {
                follower.link.end(CloseCode::Changed);
            }
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const LIMITS: FollowerLimits = FollowerLimits::open(4);

    fn address(network: u8, host: u8) -> IpAddr {
        IpAddr::from([192, 0, network, host])
    }

    fn later(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_network_is_a_24_or_a_48() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("192.0.2.255"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.255"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
        assert_eq!(of("2001:db8:7::1"), of("2001:db8:7:ffff::2"));
        assert_ne!(of("2001:db8:7::1"), of("2001:db8:8::1"));
        assert_eq!((of("127.0.0.1"), of("::1")), (None, None));
    }

    #[test]
    fn strangers_of_one_network_share_two_places() {
        let mut slots = Slots::new(LIMITS, Arc::default());
        let now = Instant::now();
        for host in 1..=2 {
            slots.admit_stranger(now, &[host; 32], address(1, host)).unwrap();
        }
        assert_eq!(slots.admit_stranger(now, &[3; 32], address(1, 3)).unwrap_err(), Refusal::FollowersFull(2));
        slots.admit_stranger(now, &[4; 32], address(2, 1)).unwrap();
        // A stranger's own older connection doesn't count against it.
        slots.admit_stranger(now, &[2; 32], address(1, 2)).unwrap();
        assert_eq!(slots.links().count(), 3);
    }

    #[test]
    fn the_stranger_that_is_idle_longest_makes_room_and_a_busy_one_does_not() {
        let mut slots = Slots::new(LIMITS, Arc::default());
        let links: Vec<_> =
            (1..=4).map(|n| slots.admit_stranger(Instant::now(), &[n; 32], address(n, 1)).unwrap()).collect();
        let refused = slots.admit_stranger(later(59), &[9; 32], address(9, 1));
        assert_eq!(refused.unwrap_err(), Refusal::FollowersFull(4));
        links[0].hear();
        slots.admit_stranger(later(61), &[9; 32], address(9, 1)).unwrap();
        assert!(slots.get(&[1; 32]).is_some() && slots.get(&[2; 32]).is_none(), "it has said something last");
        assert_eq!(slots.links().count(), 4);
    }

    #[test]
    fn a_guest_takes_no_place_of_strangers_and_finds_room_beside_all_of_them() {
        let mut slots = Slots::new(LIMITS, Arc::default());
        for n in 1..=4 {
            slots.admit_stranger(Instant::now(), &[n; 32], address(n, 1)).unwrap();
        }
        let guest = slots.admit_guest(&[8; 32]);
        assert_eq!(slots.links().count(), 5);
        assert!(slots.admit_stranger(later(61), &[9; 32], address(9, 1)).is_ok());
        assert!(slots.get(&[8; 32]).is_some_and(|link| Arc::ptr_eq(link, &guest)), "an idle guest stays");
    }

    #[test]
    fn strangers_come_at_a_rate() {
        let mut slots = Slots::new(FollowerLimits::open(1_000), Arc::default());
        let now = Instant::now();
        let mut come = |seconds: u64, n: u8| {
            slots.admit_stranger(now + Duration::from_secs(seconds), &[n; 32], address(n, 1)).is_ok()
        };
        let at_once = (0..100).filter(|n| come(0, *n)).count();
        assert_eq!(at_once as u32, STRANGERS_BURST);
        assert_eq!((100..200).filter(|n| come(1, *n)).count() as u32, STRANGERS_PER_S);
    }
}

//! The limiter: it decides which handshakes may begin, by proof of the address, by room, and by a rate for each address.
//!
//! *Invariants:* an address that isn't proved is asked to prove itself (QUIC's Retry) and gets nothing else: the answer
//! is a tenth of the request, nothing is stored for it, and nobody is refused for what others do in its name; memory
//! doesn't grow with addresses.
//!
//! Without that, a first flight and its repetition are more than three times as large as the packet that asked for
//! them. The reason is that quinn-proto checks its limit without the datagram that it is about to write.

use parking_lot::Mutex;
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::Instant;

/// Entries that remember sites. Sites with the same entry share its limits. The key of the hash is drawn at each start.
const PLACES: usize = 1024;

/// Returns the site that an address is counted for. The owner of one address of an IPv6 network of 64 bits has all of
/// them.
pub fn site(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// Limits of a limiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// Handshakes in progress.
    pub open_max: usize,
    /// Handshakes in progress from one site.
    pub open_per_site_max: usize,
    /// Handshakes that one site may begin in a second.
    pub per_site_per_s: u32,
    /// Handshakes that one site may begin at once after a pause.
    pub burst: u32,
}

/// Decision about an attempt.
#[derive(Debug)]
pub enum Verdict {
    /// The handshake may begin; it is in progress until this is dropped.
    Enter(HandshakeSlot),
    /// The address must be proved first (QUIC's Retry).
    Prove,
    /// The attempt is turned away.
    Refuse,
}

#[derive(Debug, Default, Clone, Copy)]
struct Place {
    open: usize,
    /// Time at which all handshakes that began so far would have begun at the rate.
    paid: Option<Instant>,
}

/// A limiter. It is shared by new attempts and by handshakes in progress.
#[derive(Debug)]
pub struct HandshakeLimiter {
    limits: HandshakeLimits,
    hasher: RandomState,
    places: Mutex<Vec<Place>>,
    open: AtomicUsize,
    proofs: AtomicU64,
}

impl HandshakeLimiter {
    /// Creates a limiter.
    pub fn new(limits: HandshakeLimits) -> Arc<Self> {
        let (places, hasher) = (Mutex::new(vec![Place::default(); PLACES]), RandomState::new());
        Arc::new(Self { limits, hasher, places, open: AtomicUsize::new(0), proofs: AtomicU64::new(0) })
    }

    /// Returns how often an address had to be proved.
    pub fn proofs(&self) -> u64 {
        self.proofs.load(Relaxed)
    }

    /// Decides about an attempt from this address. `proved`: the attempt came with an answer to a Retry.
    pub fn decide(self: &Arc<Self>, now: Instant, address: IpAddr, proved: bool) -> Verdict {
        if !proved {
            self.proofs.fetch_add(1, Relaxed);
            return Verdict::Prove;
        }
        let number = (self.hasher.hash_one(site(address)) % PLACES as u64) as usize;
        let mut places = self.places.lock();
        let place = &mut places[number];
        // `open` is increased only under this lock.
        let room = self.open.load(Relaxed) < self.limits.open_max && place.open < self.limits.open_per_site_max;
        if !room || !self.book(&mut place.paid, now) {
            return Verdict::Refuse;
        }
        self.open.fetch_add(1, Relaxed);
        place.open += 1;
        Verdict::Enter(HandshakeSlot { limiter: self.clone(), place: number })
    }

    /// Checks that the rate allows one more handshake now (the generic cell rate algorithm).
    fn book(&self, paid: &mut Option<Instant>, now: Instant) -> bool {
        let each = Duration::from_secs(1).checked_div(self.limits.per_site_per_s).unwrap_or(Duration::from_secs(1));
        let start = paid.map_or(now, |paid| paid.max(now));
        let allowed = start.saturating_duration_since(now) < each.saturating_mul(self.limits.burst);
        if allowed {
            *paid = Some(start + each);
        }
        allowed
    }
}

/// A handshake in progress.
#[derive(Debug)]
pub struct HandshakeSlot {
    limiter: Arc<HandshakeLimiter>,
    /// Number of the site's entry, in which the handshake is counted.
    place: usize,
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        let mut places = self.limiter.places.lock();
        places[self.place].open = places[self.place].open.saturating_sub(1);
        self.limiter.open.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: HandshakeLimits = HandshakeLimits { open_max: 8, open_per_site_max: 3, per_site_per_s: 10, burst: 5 };

    fn address(number: u8) -> IpAddr {
        [192, 0, 2, number].into()
    }

    fn enter(verdict: Verdict) -> HandshakeSlot {
        match verdict {
            Verdict::Enter(inside) => inside,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_address_is_proved_first_and_then_has_a_share_of_the_room() {
        let (limiter, now) = (HandshakeLimiter::new(LIMITS), Instant::now());
        for number in 0..200 {
            assert!(matches!(limiter.decide(now, address(number), false), Verdict::Prove));
        }
        assert_eq!(limiter.proofs(), 200);
        // Some of those addresses are real after all. Attempts forged in their names don't count.
        let mut held: Vec<HandshakeSlot> = (0..3).map(|_| enter(limiter.decide(now, address(0), true))).collect();
        assert!(matches!(limiter.decide(now, address(0), true), Verdict::Refuse), "its share is in use");
        held.extend((1..6).map(|number| enter(limiter.decide(now, address(number), true))));
        assert!(matches!(limiter.decide(now, address(6), true), Verdict::Refuse), "all is in use");
        drop(held);
        enter(limiter.decide(now, address(6), true));
    }

    #[test]
    fn a_site_has_a_rate() {
        let (limiter, now) = (HandshakeLimiter::new(LIMITS), Instant::now());
        for _ in 0..5 {
            enter(limiter.decide(now, address(1), true));
        }
        assert!(matches!(limiter.decide(now, address(1), true), Verdict::Refuse));
        let later = now + Duration::from_millis(200);
        for _ in 0..2 {
            enter(limiter.decide(later, address(1), true));
        }
        assert!(matches!(limiter.decide(later, address(1), true), Verdict::Refuse));
    }

    #[test]
    fn an_ipv6_network_is_one_site_and_a_mapped_address_is_its_ipv4() {
        let site = |text: &str| super::site(text.parse().unwrap());
        assert_eq!(site("2001:db8::1"), site("2001:db8::ffff:1:2:3"));
        assert_ne!(site("2001:db8::1"), site("2001:db8:0:1::1"));
        assert_eq!(site("::ffff:192.0.2.1"), address(1));
    }

    proptest! {
        #[test]
        fn what_is_inside_is_never_more_than_allowed(steps in prop::collection::vec((0u8..6, any::<bool>(), any::<bool>(), 0u64..300), 1..200)) {
            let (limiter, mut now) = (HandshakeLimiter::new(LIMITS), Instant::now());
            let mut held: Vec<(u8, HandshakeSlot)> = Vec::new();
            for (number, proved, leave, wait_ms) in steps {
                now += Duration::from_millis(wait_ms);
                if leave && !held.is_empty() {
                    held.swap_remove(usize::from(number) % held.len());
                }
                match limiter.decide(now, address(number), proved) {
                    Verdict::Enter(inside) => held.push((number, inside)),
                    Verdict::Prove => prop_assert!(!proved),
                    Verdict::Refuse => prop_assert!(proved),
                }
                prop_assert!(held.len() <= LIMITS.open_max);
                for site in 0..6 {
                    prop_assert!(held.iter().filter(|(number, _)| *number == site).count() <= LIMITS.open_per_site_max);
                }
                prop_assert_eq!(limiter.open.load(Relaxed), held.len());
            }
            held.clear();
            prop_assert!(limiter.places.lock().iter().all(|place| place.open == 0));
        }
    }
}

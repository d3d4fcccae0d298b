//! A limit on a rate: frames and bytes a second, with a burst of one second's worth.
//!
//! *Invariants:* over any time span no more passes than the span's share and one burst; first come, first served, so
//! that later requests delay no earlier one.

use parking_lot::Mutex;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Size of the burst after a pause, given as the time that it would take at the rate.
const BURST: Duration = Duration::from_secs(1);

/// A rate (the generic cell rate algorithm).
#[derive(Debug)]
pub(crate) struct Pace {
    frame: Duration,
    byte_nanos: u64,
    /// Time at which everything that passed so far would have passed at the rate.
    paid: Mutex<Option<Instant>>,
}

impl Pace {
    /// Creates a limit of this many frames and bytes a second; with zero frames, only bytes count.
    pub fn new(frames_per_s: u32, bytes_per_s: u32) -> Self {
        let second = Duration::from_secs(1);
        Self {
            frame: second.checked_div(frames_per_s).unwrap_or_default(),
            byte_nanos: 1_000_000_000_u64.checked_div(u64::from(bytes_per_s)).unwrap_or_default(),
            paid: Mutex::default(),
        }
    }

    /// Waits until a frame of `bytes` may pass.
    pub async fn pass(&self, bytes: usize) {
        let now = Instant::now();
        let at = self.book(now, bytes);
        // A sleep ends at a whole millisecond, even if its time is already over.
        if at > now {
            sleep_until(at).await;
        }
    }

    fn book(&self, now: Instant, bytes: usize) -> Instant {
        let cost = self.frame + Duration::from_nanos(self.byte_nanos.saturating_mul(bytes as u64));
        let mut paid = self.paid.lock();
        let start = paid.map_or(now, |paid| paid.max(now));
        *paid = Some(start + cost);
        // A time in the past becomes now: it is within the burst, and may pass at once.
        start.checked_sub(BURST).map_or(now, |at| at.max(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_passes_at_once_and_then_the_rate_holds() {
        let pace = Pace::new(10, 1_000);
        let start = Instant::now();
        for _ in 0..10 {
            pace.pass(0).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..20 {
            pace.pass(0).await;
        }
        assert!((Duration::from_millis(1_900)..Duration::from_millis(2_100)).contains(&start.elapsed()));
        let bytes = Pace::new(0, 1_000);
        let start = Instant::now();
        for _ in 0..5 {
            bytes.pass(1_000).await;
        }
        assert!((Duration::from_millis(2_900)..Duration::from_millis(3_100)).contains(&start.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_pass_passes_without_a_sleep() {
        let pace = Pace::new(10, 1_000);
        tokio::time::advance(Duration::from_micros(300)).await;
        let start = Instant::now();
        pace.pass(1).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}

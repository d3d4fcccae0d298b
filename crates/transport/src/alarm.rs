//! Wakes the senders of delayed frames, from a thread of its own.
//!
//! A task's own timer (`tokio::time`) counts whole milliseconds and rounds up. Three delayed hops would cost about 3 ms
//! more than their delays, a tenth of what a committee inside one continent needs.
//!
//! *Invariants:* nobody is woken before the time; the thread ends with the alarm.

use parking_lot::{Condvar, Mutex};
use prometheus_client::metrics::histogram::Histogram;
use rustix::thread::set_current_timer_slack;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Instant;
use tokio::sync::Notify;

/// The kernel may wake a thread so much later than it asked for, ns; 50,000 by default.
const SLACK_NS: NonZeroU64 = NonZeroU64::MIN;
/// Upper edges of the histogram of lateness, seconds.
const LATE_S: [f64; 10] = [20e-6, 50e-6, 100e-6, 200e-6, 500e-6, 1e-3, 2e-3, 5e-3, 10e-3, 50e-3];

/// The clock of all delayed links of a node.
pub(crate) struct Alarm {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
    /// The times by which frames went on too late, seconds.
    pub late: Histogram,
}

#[derive(Default)]
struct State {
    calls: Mutex<Calls>,
    sooner: Condvar,
}

#[derive(Default)]
struct Calls {
    waiting: BinaryHeap<Reverse<Call>>,
    number: u64,
    over: bool,
}

/// Somebody to wake. Calls are ordered by their time, and then by their number.
struct Call {
    at: Instant,
    number: u64,
    who: Arc<Notify>,
}

impl Call {
    fn key(&self) -> (Instant, u64) {
        (self.at, self.number)
    }
}

impl PartialEq for Call {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Call {}

impl PartialOrd for Call {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Call {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Alarm {
    /// Starts the thread.
    ///
    /// *Errors:* the system has no thread for it.
    pub fn start() -> io::Result<Self> {
        let state = Arc::<State>::default();
        let of_thread = state.clone();
        let thread = Builder::new().name("shaper".to_owned()).spawn(move || of_thread.run())?;
        Ok(Self { state, thread: Some(thread), late: Histogram::new(LATE_S) })
    }

    /// Wakes `who` at this time.
    pub fn at(&self, at: Instant, who: Arc<Notify>) {
        let mut calls = self.state.calls.lock();
        let first = calls.waiting.peek().is_none_or(|Reverse(call)| at < call.at);
        calls.number += 1;
        let number = calls.number;
        calls.waiting.push(Reverse(Call { at, number, who }));
        drop(calls);
        if first {
            self.state.sooner.notify_one();
        }
    }

    /// Notes when a frame went on that was due at `due`.
    pub fn went_on(&self, due: Instant, now: Instant) {
        self.late.observe(now.saturating_duration_since(due).as_secs_f64());
    }
}

impl State {
    fn run(&self) {
        // Without it the thread wakes 50 us late, which the measured lateness shows.
        let _ = set_current_timer_slack(Some(SLACK_NS));
        let mut calls = self.calls.lock();
        while !calls.over {
            match calls.waiting.peek() {
                None => self.sooner.wait(&mut calls),
                Some(Reverse(call)) if call.at > Instant::now() => {
                    let at = call.at;
                    self.sooner.wait_until(&mut calls, at);
                }
                Some(_) => {
                    if let Some(Reverse(call)) = calls.waiting.pop() {
                        call.who.notify_one();
                    }
                }
            }
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        self.state.calls.lock().over = true;
        self.state.sooner.notify_one();
        if let Some(thread) = self.thread.take() {
            // The thread ends at once, and its result says nothing.
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alarm").field("waiting", &self.state.calls.lock().waiting.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn all_are_woken_and_nobody_before_the_time() {
        let alarm = Alarm::start().unwrap();
        let begun = Instant::now();
        let wakes = [30, 10, 20].map(|ms| (Duration::from_millis(ms), Arc::new(Notify::new())));
        for (after, who) in &wakes {
            alarm.at(begun + *after, who.clone());
        }
        for (after, who) in &wakes {
            who.notified().await;
            assert!(begun.elapsed() >= *after);
        }
    }

    #[test]
    fn an_alarm_with_calls_ends_at_once() {
        let alarm = Alarm::start().unwrap();
        alarm.at(Instant::now() + Duration::from_secs(3_600), Arc::new(Notify::new()));
        drop(alarm);
    }
}

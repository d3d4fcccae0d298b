//! A queue between threads whose consumer parks at once instead of spinning. On two busy cores a spinning consumer
//! takes the time that the producer needs.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

struct State<T> {
    items: VecDeque<T>,
    waiting: bool,
    closed: bool,
    /// Start of the time in which there has been work, waiting or taken, and the consumer hasn't come for more.
    busy_since: Option<Instant>,
}

/// Queue with many producers and one consumer that takes all waiting items at once.
pub struct Queue<T> {
    state: Mutex<State<T>>,
    ready: Condvar,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        let state = State { items: VecDeque::new(), waiting: false, closed: false, busy_since: None };
        Self { state: Mutex::new(state), ready: Condvar::new() }
    }
}

impl<T> Queue<T> {
    /// Adds an item. After `close` the item is dropped.
    pub fn push(&self, item: T) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        state.items.push_back(item);
        let waiting = std::mem::take(&mut state.waiting);
        if waiting {
            state.busy_since = Some(Instant::now());
        }
        drop(state);
        if waiting {
            self.ready.notify_one();
        }
    }

    /// Returns true if no item waits.
    pub fn is_empty(&self) -> bool {
        self.state.lock().items.is_empty()
    }

    /// Returns the number of waiting items.
    pub fn len(&self) -> usize {
        self.state.lock().items.len()
    }

    /// Returns how long there has been work without the consumer coming for more. `None` while the consumer waits.
    pub fn busy_for(&self) -> Option<Duration> {
        self.state.lock().busy_since.map(|since| since.elapsed())
    }

    /// Refuses further items. The consumer gets those that are there.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.ready.notify_one();
    }

    /// Waits until an item is there, the queue is closed or `timeout` is over. Moves all waiting items to `out`, which
    /// must be empty. Returns false if no more items will come.
    pub fn take(&self, timeout: Option<Duration>, out: &mut VecDeque<T>) -> bool {
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut state = self.state.lock();
        while state.items.is_empty() && !state.closed {
            state.waiting = true;
            state.busy_since = None;
            match until {
                None => self.ready.wait(&mut state),
                Some(until) => {
                    if self.ready.wait_until(&mut state, until).timed_out() {
                        break;
                    }
                }
            }
        }
        state.waiting = false;
        state.busy_since = Some(Instant::now());
        std::mem::swap(&mut state.items, out);
        !(out.is_empty() && state.closed)
    }
}

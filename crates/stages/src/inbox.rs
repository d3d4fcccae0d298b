//! Inputs on their way to the core, queued or coalesced, and the core's wait for them or for its deadline.

use parking_lot::{Condvar, Mutex};
use rustix::time::{ClockId, Timespec, clock_gettime};
use rustorium_shard::port::Input;
use rustorium_types::{Height, ValidatorIndex};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[derive(Default)]
struct WaitingInputs {
    queue: VecDeque<Input>,
    work: Option<bool>,
    claim: Option<Height>,
    root: Option<Height>,
    due: Option<bool>,
    wanted: Option<Height>,
    silence: BTreeMap<ValidatorIndex, bool>,
    fatal: Option<(String, String)>,
    signalled: bool,
    /// Arrival of the oldest input that the core has not fetched.
    since: Option<Instant>,
    /// True once the core is to end.
    stopped: bool,
}

const NS_PER_S: u64 = 1_000_000_000;

/// Returns the time of the monotonic clock, which the core also uses, in nanoseconds.
pub fn monotonic_ns() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    u64::try_from(tv_sec).unwrap_or(0) * NS_PER_S + u64::try_from(tv_nsec).unwrap_or(0)
}

/// Queue of inputs for the core. Level-triggered inputs keep only their newest value, so the windows of views and peers
/// bound what waits.
#[derive(Default)]
pub struct Inbox {
    waiting: Mutex<WaitingInputs>,
    /// Notified when the core is to be woken.
    wake: Condvar,
    /// True once the core has fetched inputs.
    visited: AtomicBool,
}

impl Inbox {
    /// Adds inputs and wakes the core. The next drain sees all of them or none.
    ///
    /// Two inputs don't wake the core by themselves: the end of work, and an epoch's end that is no longer due.
    pub fn push(&self, inputs: impl IntoIterator<Item = Input>) {
        self.tell(inputs, true);
    }

    /// Adds inputs as `push` does; without waking the core if `wakes` isn't set.
    pub fn tell(&self, inputs: impl IntoIterator<Item = Input>, wakes: bool) {
        let mut waiting = self.waiting.lock();
        let mut wake = false;
        for input in inputs {
            wake |= !matches!(input, Input::WorkSeen(false) | Input::EndDue(false));
            match input {
                Input::Recovered { .. } => {
                    // R29: earlier inputs belong to the epoch that is over, or to the time before a restart.
                    let wanted = waiting.wanted.take();
                    let fatal = waiting.fatal.take();
                    let WaitingInputs { signalled, since, stopped, .. } = *waiting;
                    let queue = VecDeque::from([input]);
                    *waiting =
                        WaitingInputs { queue, wanted, fatal, signalled, since, stopped, ..WaitingInputs::default() };
                }
                Input::WorkSeen(listable) => waiting.work = Some(listable),
                Input::ClaimReady(height) => waiting.claim = Some(height),
                Input::RootReady(height) => waiting.root = Some(height),
                Input::EndDue(due) => waiting.due = Some(due),
                Input::ClaimWanted(height) => waiting.wanted = waiting.wanted.max(Some(height)),
                Input::PeerSilence(peer, silent) => {
                    waiting.silence.insert(peer, silent);
                }
                other => waiting.queue.push_back(other),
            }
        }
        if wake && wakes {
            self.signal(&mut waiting);
        }
    }

    fn signal(&self, waiting: &mut WaitingInputs) {
        if !std::mem::replace(&mut waiting.signalled, true) {
            waiting.since = Some(Instant::now());
            self.wake.notify_one();
        }
    }

    /// Reports that the data plane cannot go on, by a stable code and one sentence.
    pub fn fail(&self, code: &str, sentence: &str) {
        let mut waiting = self.waiting.lock();
        waiting.fatal.get_or_insert((code.to_owned(), sentence.to_owned()));
        self.signal(&mut waiting);
    }

    /// Returns true once the core has fetched inputs. By then operators can query the node.
    pub fn is_visited(&self) -> bool {
        self.visited.load(Ordering::Relaxed)
    }

    /// Returns true if the core is to be woken.
    pub fn is_signalled(&self) -> bool {
        self.waiting.lock().signalled
    }

    /// Returns the reason why the data plane cannot go on. `None` if it can.
    pub fn failure(&self) -> Option<String> {
        self.waiting.lock().fatal.as_ref().map(|(_, sentence)| sentence.clone())
    }

    /// Returns how long inputs have waited that the core has not fetched. `None` if no input waits.
    pub fn waiting_for(&self) -> Option<Duration> {
        self.waiting.lock().since.map(|since| since.elapsed())
    }

    /// Ends the core's waits, the present one and all later ones.
    pub fn stop(&self) {
        self.waiting.lock().stopped = true;
        self.wake.notify_one();
    }

    /// Waits until inputs wake the core, or until this time of the monotonic clock in nanoseconds, and takes about
    /// `limit` inputs, oldest first. `None` once the core is to end. Errors: the data plane failed, with code and
    /// sentence.
    pub fn wait(&self, deadline_ns: Option<u64>, limit: usize) -> Result<Option<Vec<Input>>, (String, String)> {
        self.visited.store(true, Ordering::Relaxed);
        let mut waiting = self.waiting.lock();
        while !waiting.stopped && !waiting.signalled {
            match deadline_ns.map(|deadline| deadline.saturating_sub(monotonic_ns())) {
                None => self.wake.wait(&mut waiting),
                Some(0) => break,
                Some(left_ns) => _ = self.wake.wait_for(&mut waiting, Duration::from_nanos(left_ns)),
            }
        }
        if waiting.stopped { Ok(None) } else { Self::take(&mut waiting, limit).map(Some) }
    }

    /// Takes about `limit` inputs, oldest first, without waiting. Errors: the data plane failed, with code and
    /// sentence.
    pub fn drain(&self, limit: usize) -> Result<Vec<Input>, (String, String)> {
        self.visited.store(true, Ordering::Relaxed);
        Self::take(&mut self.waiting.lock(), limit)
    }

    fn take(waiting: &mut WaitingInputs, limit: usize) -> Result<Vec<Input>, (String, String)> {
        if let Some(fatal) = &waiting.fatal {
            return Err(fatal.clone());
        }
        let mut inputs = Vec::with_capacity(limit.min(waiting.queue.len() + 4));
        if matches!(waiting.queue.front(), Some(Input::Recovered { .. })) {
            inputs.extend(waiting.queue.pop_front());
        }
        // These go before work: the block that a leader proposes for the work then carries the newest claim.
        inputs.extend(waiting.claim.take().map(Input::ClaimReady));
        inputs.extend(waiting.root.take().map(Input::RootReady));
        inputs.extend(waiting.due.take().map(Input::EndDue));
        inputs.extend(waiting.work.take().map(Input::WorkSeen));
        let count = waiting.queue.len().min(limit);
        inputs.extend(waiting.queue.drain(..count));
        if waiting.queue.is_empty() {
            inputs.extend(std::mem::take(&mut waiting.silence).into_iter().map(|(p, s)| Input::PeerSilence(p, s)));
            inputs.extend(waiting.wanted.take().map(Input::ClaimWanted));
            waiting.since = None;
            waiting.signalled = false;
        }
        if !waiting.queue.is_empty() {
            waiting.since = Some(Instant::now());
        }
        Ok(inputs)
    }
}

//! Inputs on their way to the core, queued or coalesced. A descriptor is readable while inputs wait or once the core's
//! deadline has come.

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, epoll, eventfd};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use rustix::time::{ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use rustix::time::{clock_gettime, timerfd_create, timerfd_settime};
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
    /// Time since which inputs wait that the core has not fetched.
    since: Option<Instant>,
    /// Monotonic nanoseconds at which the timer makes, or made, the descriptor readable.
    armed: Option<u64>,
}

const NS_PER_S: u64 = 1_000_000_000;

fn monotonic_ns() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    u64::try_from(tv_sec).unwrap_or(0) * NS_PER_S + u64::try_from(tv_nsec).unwrap_or(0)
}

/// Queue of inputs for the core. Level-triggered inputs keep only their newest value, so the windows of views and peers
/// bound what waits.
pub struct Inbox {
    waiting: Mutex<WaitingInputs>,
    event: OwnedFd,
    timer: OwnedFd,
    /// Descriptor that is readable while one of the two is.
    either: OwnedFd,
    /// True once the core has fetched inputs.
    visited: AtomicBool,
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.either.as_fd()
    }
}

impl Inbox {
    /// Creates an empty inbox. Errors: the system gives no descriptor.
    pub fn new() -> std::io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let either = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (number, fd) in (0..).zip([&event, &timer]) {
            epoll::add(&either, fd, epoll::EventData::new_u64(number), epoll::EventFlags::IN)?;
        }
        Ok(Self { waiting: Mutex::default(), event, timer, either, visited: AtomicBool::new(false) })
    }

    /// Returns the descriptor to wait on.
    pub fn fd(&self) -> RawFd {
        self.either.as_raw_fd()
    }

    /// Adds inputs and wakes the core. The next drain sees all of them or none.
    ///
    /// Two inputs don't wake the core on their own: work that went away, and an epoch's end that is no longer due.
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
                    let WaitingInputs { signalled, since, armed, .. } = *waiting;
                    let queue = VecDeque::from([input]);
                    *waiting =
                        WaitingInputs { queue, wanted, fatal, signalled, since, armed, ..WaitingInputs::default() };
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
            // An eventfd write fails only at 2^64 − 1, which one write at a time cannot reach.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
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

    /// Returns true if the core is to be woken: the descriptor is readable.
    pub fn is_signalled(&self) -> bool {
        self.waiting.lock().signalled
    }

    /// Returns why the data plane cannot go on. `None` if it can.
    pub fn failure(&self) -> Option<String> {
        self.waiting.lock().fatal.as_ref().map(|(_, sentence)| sentence.clone())
    }

    /// Returns how long inputs have waited that the core has not fetched. `None` if no input waits.
    pub fn waiting_for(&self) -> Option<Duration> {
        self.waiting.lock().since.map(|since| since.elapsed())
    }

    /// Takes at most `limit` inputs, oldest first. Errors: the data plane failed, with code and sentence.
    pub fn drain(&self, limit: usize) -> Result<Vec<Input>, (String, String)> {
        self.visited.store(true, Ordering::Relaxed);
        let mut waiting = self.waiting.lock();
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
            if std::mem::take(&mut waiting.signalled) {
                let _ = rustix::io::read(&self.event, &mut [0u8; 8]);
            }
        }
        if !waiting.queue.is_empty() {
            waiting.since = Some(Instant::now());
        }
        Ok(inputs)
    }

    /// Makes the descriptor readable at this time of the monotonic clock, in nanoseconds, even if no input waits then.
    /// Replaces an earlier time. A needless wake-up costs more than this call.
    pub fn wake_at(&self, deadline_ns: Option<u64>) {
        let mut waiting = self.waiting.lock();
        if deadline_ns == waiting.armed && deadline_ns.is_none_or(|deadline| deadline > monotonic_ns()) {
            return;
        }
        waiting.armed = deadline_ns;
        // A time of zero disarms the timer, so a time in the past is never passed as zero. Setting the timer withdraws
        // an expiry.
        let at = deadline_ns.map_or(0, |deadline| deadline.max(1));
        let it_value = Timespec { tv_sec: (at / NS_PER_S).cast_signed(), tv_nsec: (at % NS_PER_S).cast_signed() };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        // This fails only for negative times or nanoseconds of a second and more.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once);
    }
}

//! Inputs on their way to the core: queued or coalesced, and a descriptor that is readable while some wait, or once the
//! core's deadline has come.

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
struct Waiting {
    queue: VecDeque<Input>,
    work: Option<bool>,
    claim: Option<Height>,
    root: Option<Height>,
    due: Option<bool>,
    wanted: Option<Height>,
    silence: BTreeMap<ValidatorIndex, bool>,
    fatal: Option<(String, String)>,
    signalled: bool,
    /// Since when the core has not come for what waits.
    since: Option<Instant>,
    /// Monotonic nanoseconds at which the timer makes the descriptor readable, or has.
    armed: Option<u64>,
}

const NS_PER_S: u64 = 1_000_000_000;

fn monotonic_ns() -> u64 {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Monotonic);
    u64::try_from(tv_sec).unwrap_or(0) * NS_PER_S + u64::try_from(tv_nsec).unwrap_or(0)
}

/// The way up. Level-triggered inputs keep only their newest value, so that what waits is bounded by the windows of
/// views and peers.
pub struct Inbox {
    waiting: Mutex<Waiting>,
    event: OwnedFd,
    timer: OwnedFd,
    /// Readable while one of the two is.
    either: OwnedFd,
    /// The core has come for inputs.
    visited: AtomicBool,
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.either.as_fd()
    }
}

impl Inbox {
    /// An empty inbox. Errors: the system gives no descriptor.
    pub fn new() -> std::io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let timer = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK)?;
        let either = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (number, fd) in (0..).zip([&event, &timer]) {
            epoll::add(&either, fd, epoll::EventData::new_u64(number), epoll::EventFlags::IN)?;
        }
        Ok(Self { waiting: Mutex::default(), event, timer, either, visited: AtomicBool::new(false) })
    }

    /// The descriptor to wait on.
    pub fn fd(&self) -> RawFd {
        self.either.as_raw_fd()
    }

    /// Adds inputs, all or none of which the next drain sees, and wakes the core, but for work that went away, or an
    /// end that is due no more, and comes alone: that only rides along.
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
                    // R29: what was told before is of the epoch that is over, or of the time before a restart.
                    let wanted = waiting.wanted.take();
                    let fatal = waiting.fatal.take();
                    let Waiting { signalled, since, armed, .. } = *waiting;
                    let queue = VecDeque::from([input]);
                    *waiting = Waiting { queue, wanted, fatal, signalled, since, armed, ..Waiting::default() };
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

    fn signal(&self, waiting: &mut Waiting) {
        if !std::mem::replace(&mut waiting.signalled, true) {
            waiting.since = Some(Instant::now());
            // An eventfd write fails only at 2^64 − 1, which one write at a time cannot reach.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }

    /// Says that the data plane cannot go on: a stable code and one sentence.
    pub fn fail(&self, code: &str, sentence: &str) {
        let mut waiting = self.waiting.lock();
        waiting.fatal.get_or_insert((code.to_owned(), sentence.to_owned()));
        self.signal(&mut waiting);
    }

    /// Returns true once the core has come for inputs, which it does after operators can ask the node.
    pub fn is_visited(&self) -> bool {
        self.visited.load(Ordering::Relaxed)
    }

    /// Whether the core is to be woken: the descriptor is readable.
    pub fn is_signalled(&self) -> bool {
        self.waiting.lock().signalled
    }

    /// Why the data plane cannot go on, where it can't.
    pub fn failure(&self) -> Option<String> {
        self.waiting.lock().fatal.as_ref().map(|(_, sentence)| sentence.clone())
    }

    /// For how long the core has not come for what waits; none where nothing does.
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
        // In front of work: what work makes the leader propose carries the newest claim.
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

    /// Has the descriptor become readable at this time of the monotonic clock, in nanoseconds, though nothing waits by
    /// then, and at no other that was asked for before: a wake for nothing costs more than this call.
    pub fn wake_at(&self, deadline_ns: Option<u64>) {
        let mut waiting = self.waiting.lock();
        if deadline_ns == waiting.armed && deadline_ns.is_none_or(|deadline| deadline > monotonic_ns()) {
            return;
        }
        waiting.armed = deadline_ns;
        // All zero disarms it, so that a time in the past is never zero. Setting it takes an expiry back.
        let at = deadline_ns.map_or(0, |deadline| deadline.max(1));
        let it_value = Timespec { tv_sec: (at / NS_PER_S).cast_signed(), tv_nsec: (at % NS_PER_S).cast_signed() };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        // Fails only for times below zero or nanoseconds of a second and more.
        let _ = timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &once);
    }
}

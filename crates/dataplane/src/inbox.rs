//! Inputs on their way to the core: queued or coalesced, and an eventfd that is readable while some wait.

use crate::port::Input;
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
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
}

/// The way up. Level-triggered inputs keep only their newest value, so that what waits is bounded by the windows of
/// views and peers.
pub struct Inbox {
    waiting: Mutex<Waiting>,
    event: OwnedFd,
    /// The core has come for inputs.
    visited: AtomicBool,
}

impl AsFd for Inbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}

impl Inbox {
    /// An empty inbox. Errors: the system gives no eventfd.
    pub fn new() -> std::io::Result<Self> {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        Ok(Self { waiting: Mutex::default(), event, visited: AtomicBool::new(false) })
    }

    /// The descriptor to wait on.
    pub fn fd(&self) -> RawFd {
        self.event.as_raw_fd()
    }

    /// Adds inputs, all or none of which the next drain sees, and wakes the core, but for work that went away, or an
    /// end that is due no more, and comes alone: that only rides along.
    pub fn push(&self, inputs: impl IntoIterator<Item = Input>) {
        let mut waiting = self.waiting.lock();
        let mut wake = false;
        for input in inputs {
            wake |= !matches!(input, Input::WorkSeen(false) | Input::EndDue(false));
            match input {
                Input::Recovered { .. } => {
                    // R29: what was told before is of the epoch that is over, or of the time before a restart.
                    let wanted = waiting.wanted.take();
                    let fatal = waiting.fatal.take();
                    let Waiting { signalled, since, .. } = *waiting;
                    let queue = VecDeque::from([input]);
                    *waiting = Waiting { queue, wanted, fatal, signalled, since, ..Waiting::default() };
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
        if wake {
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
}

//! Threads that check signatures. Each reports its results when it is done; those of clients' transactions are reported
//! in the order in which their checks began.

use rustorium_shard::Event;
use std::collections::{BTreeMap, VecDeque};

/// Running checks. Each thread's results are reported when it is done.
pub(crate) struct Checks {
    /// The number of each thread's check, and its results.
    threads: Vec<Option<(u64, VecDeque<Event>)>>,
    begun: u64,
    /// Results of clients' transactions by the number of their check. They are reported in this order.
    clients: BTreeMap<u64, Option<VecDeque<Event>>>,
}

impl Checks {
    pub(crate) fn of(threads: usize) -> Self {
        Self { threads: (0..threads.max(1)).map(|_| None).collect(), begun: 0, clients: BTreeMap::new() }
    }

    /// Returns an idle thread.
    pub(crate) fn free(&self) -> Option<usize> {
        self.threads.iter().position(Option::is_none)
    }

    pub(crate) fn begin(&mut self, thread: usize, found: VecDeque<Event>) {
        let clients = found.iter().any(|event| matches!(event, Event::Transactions { from_client: true, .. }));
        if clients {
            self.clients.insert(self.begun, None);
        }
        if let Some(slot) = self.threads.get_mut(thread) {
            *slot = Some((self.begun, found));
        }
        self.begun += 1;
    }

    /// Ends a thread's check. Returns the results that can be reported now.
    pub(crate) fn end(&mut self, thread: usize) -> VecDeque<Event> {
        let Some((number, found)) = self.threads.get_mut(thread).and_then(Option::take) else {
            return VecDeque::new();
        };
        let Some(place) = self.clients.get_mut(&number) else { return found };
        *place = Some(found);
        let mut told = VecDeque::new();
        while let Some(mut first) = self.clients.first_entry() {
            let Some(found) = first.get_mut().take() else { break };
            first.remove();
            told.extend(found);
        }
        told
    }
}

//! Virtual prices of the work of a node's threads, and the times for which each thread has been busy.
//!
//! *Invariants:* a price depends only on the work, never on the time that it took here; without prices nothing takes
//! time.

use rustorium_crypto::Work;
use rustorium_shard::{Event, ExecutionJob, Now};
use rustorium_types::Message;

/// An item of work that has a price.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(usize)]
pub enum Item {
    /// Making a signature.
    Sign,
    /// Checking a signature alone.
    Single,
    /// An equation for several signatures, without those.
    Group,
    /// A signature in such an equation.
    Grouped,
    /// The end of the shard's turn.
    Turn,
    /// A proposal's frame, decoded and handled, without signatures; likewise the next kinds.
    Proposal,
    /// A vote.
    Vote,
    /// A certificate, by itself or in another frame.
    Certificate,
    /// A heartbeat.
    Heartbeat,
    /// A report.
    Report,
    /// A work message by digests.
    Work,
    /// A batch.
    Batch,
    /// Forwarded transactions.
    Transactions,
    /// A question.
    Request,
    /// An answer.
    Response,
    /// One of the node's own events.
    Own,
    /// An effect of the core.
    Effect,
    /// A checked transaction that the pool examines.
    Admitted,
    /// Executing and committing a block.
    Block,
    /// A transaction in a block.
    Transaction,
    /// A KiB of a frame.
    Kib,
}

/// Names of the items, in their order.
pub const ITEMS: [(&str, Item); 21] = [
    ("sign", Item::Sign),
    ("single", Item::Single),
    ("group", Item::Group),
    ("grouped", Item::Grouped),
    ("turn", Item::Turn),
    ("proposal", Item::Proposal),
    ("vote", Item::Vote),
    ("certificate", Item::Certificate),
    ("heartbeat", Item::Heartbeat),
    ("report", Item::Report),
    ("work", Item::Work),
    ("batch", Item::Batch),
    ("transactions", Item::Transactions),
    ("request", Item::Request),
    ("response", Item::Response),
    ("own", Item::Own),
    ("effect", Item::Effect),
    ("admitted", Item::Admitted),
    ("block", Item::Block),
    ("transaction", Item::Transaction),
    ("kib", Item::Kib),
];

/// Prices in nanoseconds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Costs([u64; ITEMS.len()]);

impl Costs {
    /// Creates prices by name. Errors: the name of an item without a price, or of a price without an item.
    pub fn named<'a>(prices: impl IntoIterator<Item = (&'a str, u64)>) -> Result<Self, String> {
        let mut costs = [None; ITEMS.len()];
        for (name, price) in prices {
            let item = ITEMS.iter().find(|(known, _)| *known == name);
            let (_, item) = item.ok_or_else(|| format!("nothing is called {name:?}: measure the prices again"))?;
            costs[*item as usize] = Some(price);
        }
        let mut all = [0; ITEMS.len()];
        for (name, item) in ITEMS {
            let price = costs[item as usize];
            all[item as usize] = price.ok_or_else(|| format!("{name} has no price: measure the prices again"))?;
        }
        Ok(Self(all))
    }

    fn of(&self, item: Item, count: u64) -> u64 {
        self.0[item as usize].saturating_mul(count)
    }

    /// Returns the price of signatures.
    pub fn signatures(&self, work: Work) -> u64 {
        let Work { signed, singles, groups, grouped, .. } = work;
        let checked = self.of(Item::Single, singles) + self.of(Item::Group, groups) + self.of(Item::Grouped, grouped);
        self.of(Item::Sign, signed) + checked
    }

    /// Returns the price of an event on the shard's thread, without signatures.
    pub fn event(&self, event: &Event) -> u64 {
        match event {
            Event::Peer { message, frame, .. } => self.message(message) + self.of(Item::Kib, frame.len() as u64) / 1024,
            Event::Transactions { transactions, .. } => self.of(Item::Admitted, transactions.len() as u64),
            Event::Effects(effects) => self.of(Item::Effect, effects.len() as u64),
            _ => self.of(Item::Own, 1),
        }
    }

    fn message(&self, message: &Message) -> u64 {
        let certificates = |count: usize| self.of(Item::Certificate, count as u64);
        match message {
            Message::Proposal(proposal) => {
                let carried = proposal.nullifications.len() + usize::from(proposal.notarization.is_some());
                self.of(Item::Proposal, 1) + certificates(carried)
            }
            Message::Vote(vote) => self.of(Item::Vote, 1) + certificates(usize::from(vote.carry.is_some())),
            Message::Certificate(_) => certificates(1),
            Message::Heartbeat(heartbeat) => {
                self.of(Item::Heartbeat, 1) + self.of(Item::Vote, heartbeat.votes.len() as u64)
            }
            Message::Report(_) | Message::Probe(_) | Message::Echo(_) => self.of(Item::Report, 1),
            Message::Work(_) => self.of(Item::Work, 1),
            Message::Batch(_) => self.of(Item::Batch, 1),
            Message::Transactions(_) => self.of(Item::Transactions, 1),
            Message::Request { .. } => self.of(Item::Request, 1),
            Message::Response { .. } => self.of(Item::Response, 1),
        }
    }

    /// Returns the price of an execution.
    pub fn execution(&self, job: &ExecutionJob) -> u64 {
        self.of(Item::Block, 1) + self.of(Item::Transaction, u64::from(job.block.header.transactions))
    }

    /// Returns the price of the end of a turn.
    pub fn turn(&self) -> u64 {
        self.of(Item::Turn, 1)
    }
}

/// A node's threads, and the time that they use.
#[derive(Default)]
pub(crate) struct Meter {
    /// Prices; `None` if nothing takes time.
    pub(crate) costs: Option<Costs>,
    /// Time at which the shard's thread is free, nanoseconds.
    free_ns: u64,
    /// Time for which all threads of a kind were busy.
    pub(crate) shard_ns: u64,
    pub(crate) verify_ns: u64,
    pub(crate) execute_ns: u64,
}

impl Meter {
    pub(crate) fn of(costs: Option<Costs>) -> Self {
        Self { costs, ..Self::default() }
    }

    /// Returns when the shard's thread is free again; `None` if it is free.
    pub(crate) fn busy_until_us(&self, now: Now) -> Option<u64> {
        let free_us = self.free_ns.div_ceil(1000);
        (free_us > now.us).then_some(free_us)
    }

    /// Makes the shard's thread busy from now on. Returns for how many microseconds.
    pub(crate) fn take_shard(&mut self, now: Now, price_ns: u64) -> u64 {
        self.shard_ns += price_ns;
        self.free_ns = now.us * 1000 + price_ns;
        price_ns.div_ceil(1000)
    }
}

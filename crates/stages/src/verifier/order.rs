//! Waiting checks, and the order in which they are taken: by class, and within a class fairly by payer.
//!
//! *Invariants:* checks that consensus waits for come first; within a class no payer, and no site of clients, gets more
//! signatures checked than another with waiting checks; while unasked batches wait, clients get as much as one of n
//! members; strangers get a sixteenth while others wait, and otherwise everything.

use crate::verifier::Submission;
use bytes::Bytes;
use rustorium_shard::fair::FairQueue;
use rustorium_shard::senders::Credit;
use rustorium_shard::senders::Payer;
use rustorium_types::{Batch, Block, BlockDigest, Certificate, SignedVote, Transaction, ValidatorIndex};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// Number of signatures at which a group is full. Larger groups gain nothing and add latency.
pub(super) const TOGETHER_MAX: usize = 256;
/// One in this many pieces of work is a stranger's while others wait.
const STRANGERS_SHARE: u32 = 16;

/// A peer's batch that waits for its check.
pub(super) struct Incoming {
    pub(super) peer: ValidatorIndex,
    pub(super) batch: Box<Batch>,
    pub(super) bytes: Bytes,
    pub(super) wanted: bool,
    /// Memory reserved until the batch is checked.
    pub(super) credit: Credit,
}

pub(super) enum Work {
    Certificate { peer: ValidatorIndex, certificate: Box<Certificate> },
    Votes(Vec<SignedVote>),
    Batch(Incoming),
    Inline { digest: BlockDigest, block: Arc<Block> },
    Forwarded(Vec<Transaction>, Credit),
}

/// Classes, the most urgent first. Clients of this node come between batches and transactions that peers forward.
#[derive(Clone, Copy)]
enum Class {
    Threshold,
    Listed,
    Batch,
    Forwarded,
    Stranger,
}

impl Work {
    fn class(&self, payer: Payer) -> Class {
        match self {
            Self::Certificate { .. } | Self::Votes(_) => Class::Threshold,
            Self::Batch(Incoming { wanted: true, .. }) | Self::Inline { .. } => Class::Listed,
            Self::Batch(_) => Class::Batch,
            Self::Forwarded(..) if matches!(payer, Payer::Outsider(_)) => Class::Stranger,
            Self::Forwarded(..) => Class::Forwarded,
        }
    }

    fn signatures(&self) -> u64 {
        let count = match self {
            Self::Certificate { certificate, .. } => certificate.signatures.len(),
            Self::Votes(votes) => votes.len(),
            Self::Batch(incoming) => incoming.batch.body.signatures() + 1,
            Self::Inline { block, .. } => signatures_of(&block.inline),
            Self::Forwarded(transactions, _) => signatures_of(transactions),
        };
        count as u64
    }
}

fn signatures_of(transactions: &[Transaction]) -> usize {
    transactions.iter().map(Transaction::signatures).sum()
}

/// Work that is taken at once.
pub(super) enum NextWork {
    Batches(Vec<Incoming>),
    One(Work),
    /// Submissions with the number of their group.
    Submissions(u64, Vec<(Instant, Submission)>),
}

/// All waiting checks.
#[derive(Default)]
pub(super) struct WaitingChecks {
    classes: [FairQueue<Payer, Work>; 5],
    /// Submissions by the client's site, each with its time of arrival.
    pub(super) submissions: FairQueue<IpAddr, (Instant, Submission)>,
    /// Number of the next group of submissions.
    next_group: u64,
    /// Pieces of work taken since the last stranger's.
    since_stranger: u32,
    /// Groups of unasked batches taken since the last clients' group.
    since_clients: usize,
}

impl WaitingChecks {
    pub(super) fn push(&mut self, payer: Payer, work: Work) {
        self.classes[work.class(payer) as usize].push(payer, work);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.submissions.is_idle() && self.classes.iter().all(FairQueue::is_idle)
    }

    /// Drops the unasked batches and transactions of a payer. Returns the batches.
    pub(super) fn drop_of(&mut self, payer: Payer) -> impl Iterator<Item = Incoming> + use<> {
        self.classes[Class::Forwarded as usize].clear(&payer);
        let dropped = self.classes[Class::Batch as usize].clear(&payer);
        dropped.into_iter().filter_map(|work| match work {
            Work::Batch(incoming) => Some(incoming),
            _ => None,
        })
    }

    /// Charges a payer for more work than was expected.
    pub(super) fn charge(&mut self, payer: Payer, signatures: u64) {
        self.classes.iter_mut().for_each(|class| class.charge(&payer, signatures));
    }

    /// Takes the next work. While unasked batches of the `members` wait, one in so many groups is clients', so that a
    /// member that sends endless batches only delays clients and doesn't keep them out.
    pub(super) fn take(&mut self, members: usize) -> Option<NextWork> {
        self.since_stranger += 1;
        if self.since_stranger >= STRANGERS_SHARE
            && let Some(taken) = self.take_of(Class::Stranger)
        {
            return Some(taken);
        }
        [Class::Threshold, Class::Listed]
            .into_iter()
            .find_map(|class| self.take_of(class))
            .or_else(|| (self.since_clients + 1 >= members).then(|| self.take_submissions()).flatten())
            .or_else(|| self.take_unasked())
            .or_else(|| self.take_submissions())
            .or_else(|| self.take_of(Class::Forwarded))
            .or_else(|| self.take_of(Class::Stranger))
    }

    fn take_of(&mut self, class: Class) -> Option<NextWork> {
        if matches!(class, Class::Stranger) {
            self.since_stranger = 0;
        }
        let queue = &mut self.classes[class as usize];
        let (mut batches, mut signatures) = (Vec::new(), 0);
        while signatures < TOGETHER_MAX as u64 && matches!(queue.peek(), Some((_, Work::Batch(_)))) {
            let Some((payer, work)) = queue.pop() else { break };
            let cost = work.signatures();
            queue.charge(&payer, cost);
            signatures += cost;
            if let Work::Batch(incoming) = work {
                batches.push(incoming);
            }
        }
        if !batches.is_empty() {
            return Some(NextWork::Batches(batches));
        }
        let (payer, work) = queue.pop()?;
        queue.charge(&payer, work.signatures());
        Some(NextWork::One(work))
    }

    fn take_unasked(&mut self) -> Option<NextWork> {
        let taken = self.take_of(Class::Batch)?;
        self.since_clients = self.since_clients.saturating_add(1);
        Some(taken)
    }

    fn take_submissions(&mut self) -> Option<NextWork> {
        let (mut taken, mut signatures) = (Vec::new(), 0);
        while signatures < TOGETHER_MAX {
            let Some((site, submission)) = self.submissions.pop() else { break };
            let count = submission.1.transaction.signatures();
            self.submissions.charge(&site, count as u64);
            signatures += count;
            taken.push(submission);
        }
        if taken.is_empty() {
            return None;
        }
        self.since_clients = 0;
        let group = self.next_group;
        self.next_group += 1;
        Some(NextWork::Submissions(group, taken))
    }
}

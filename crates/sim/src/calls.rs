//! Counts of a simulated node's calls of the release stages.

/// Numbers of calls by kind.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Calls {
    /// Frames decoded.
    pub frames_read: u64,
    /// Frames made, each counted once however many receivers it has.
    pub frames_made: u64,
    /// Votes that this node signed.
    pub signed: u64,
    /// Groups of signatures checked: of transactions, batches and inline payloads.
    pub checked: u64,
    /// Votes received.
    pub votes: u64,
    /// Certificates journaled: formed here, or verified after they were received.
    pub certificates: u64,
    /// Transactions that the pool accepted.
    pub pooled: u64,
    /// Blocks executed and committed.
    pub executed: u64,
    /// State roots made.
    pub rooted: u64,
    /// Records appended to the journal.
    pub journaled: u64,
    /// Syncs of the journal.
    pub journal_syncs: u64,
    /// Writes to the store.
    pub store_writes: u64,
    /// Syncs of the store.
    pub store_syncs: u64,
}

impl Calls {
    /// Returns name and count of each, in the order of the fields.
    pub fn named(&self) -> [(&'static str, u64); 13] {
        [
            ("frames_read", self.frames_read),
            ("frames_made", self.frames_made),
            ("signed", self.signed),
            ("checked", self.checked),
            ("votes", self.votes),
            ("certificates", self.certificates),
            ("pooled", self.pooled),
            ("executed", self.executed),
            ("rooted", self.rooted),
            ("journaled", self.journaled),
            ("journal_syncs", self.journal_syncs),
            ("store_writes", self.store_writes),
            ("store_syncs", self.store_syncs),
        ]
    }
}

//! Senders of a shard's messages: who pays for the checks, how much memory a message takes, and which epoch it belongs
//! to.

use rustorium_types::{Epoch, Message, PublicKey, ValidatorIndex};
use std::fmt;

/// Memory reserved for a frame until this value is dropped. Bounds the frames that were read and not handled yet.
#[derive(Default)]
pub struct Credit(#[expect(dead_code, reason = "held for what its drop does")] Option<Box<dyn Send + Sync>>);

impl Credit {
    /// Holds `room` until the credit is dropped; dropping `room` releases the memory.
    pub fn of(room: impl Send + Sync + 'static) -> Self {
        Self(Some(Box::new(room)))
    }
}

impl fmt::Debug for Credit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credit")
    }
}

/// Party whose share of the checking threads pays for a check.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Payer {
    /// This node.
    Own,
    /// A member of the committee.
    Member(ValidatorIndex),
    /// A node outside the committee.
    Outsider(PublicKey),
}

/// Returns the epoch of a message. `None` for messages that belong to no epoch.
pub fn epoch_of(message: &Message) -> Option<Epoch> {
    match message {
        Message::Proposal(proposal) => Some(proposal.header.epoch),
        Message::Vote(vote) => Some(vote.vote.body.epoch),
        Message::Certificate(certificate) => Some(certificate.body.epoch),
        Message::Heartbeat(heartbeat) => Some(heartbeat.epoch),
        Message::Batch(batch) => Some(batch.body.epoch),
        Message::Work(work) => Some(work.epoch),
        Message::Report(_)
        | Message::Probe(_)
        | Message::Echo(_)
        | Message::Transactions(_)
        | Message::Request { .. }
        | Message::Response { .. } => None,
    }
}

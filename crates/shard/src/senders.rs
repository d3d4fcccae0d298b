//! Whoever sends a shard something: who pays for the checks of it, the room that it takes, and the epoch that it speaks of.

use rustorium_types::{Epoch, Message, PublicKey, ValidatorIndex};
use std::fmt;

/// Room that a frame takes until this is dropped: bounds what is read and not dealt with.
#[derive(Default)]
pub struct Credit(#[expect(dead_code, reason = "held for what its drop does")] Option<Box<dyn Send + Sync>>);

impl Credit {
    /// Holds what gives the room back when it is dropped.
    pub fn of(room: impl Send + Sync + 'static) -> Self {
        Self(Some(Box::new(room)))
    }
}

impl fmt::Debug for Credit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credit")
    }
}

/// Whose share of the checking threads a check takes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Payer {
    /// This node.
    Own,
    /// A member of the committee.
    Member(ValidatorIndex),
    /// A node outside the committee.
    Outsider(PublicKey),
}

/// The epoch that a message is of. None: it is of none.
pub fn epoch_of(message: &Message) -> Option<Epoch> {
    match message {
        Message::Proposal(proposal) => Some(proposal.header.epoch),
        Message::Vote(vote) => Some(vote.vote.body.epoch),
        Message::Certificate(certificate) => Some(certificate.body.epoch),
        Message::Heartbeat(heartbeat) => Some(heartbeat.epoch),
        Message::Batch(batch) => Some(batch.body.epoch),
        Message::Work(work) => Some(work.epoch),
        Message::Report(_) | Message::Transactions(_) | Message::Request { .. } | Message::Response { .. } => None,
    }
}

//! The destination of a peer's frame: the shard, the thread that answers from the store, or none.
//!
//! *Invariants:* of a node outside the committee the shard gets only what the rules of epochs need of it: how its own epoch
//! ended, once asked, what guests say of a later epoch, and answers of nodes that this one dials.

use super::request_queue::Work;
use rustorium_shard::senders::epoch_of;
use rustorium_types::{Epoch, Message, Request, Response, ValidatorIndex};

/// The relation of a node key's owner to this node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// A member of the epoch's committee.
    Member(ValidatorIndex),
    /// A node outside the committee that this node dials.
    Seed,
    /// Admitted by name: a follower, a newcomer that operators want, or a member of a former committee.
    Guest,
    /// Not named by anybody.
    Stranger,
}

/// The destination of a message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// The shard takes the message.
    Shard(Message),
    /// The thread that answers from the store takes the request.
    Serve(Work),
    /// The message is ignored.
    Drop,
}

/// The rights of a sender at this node.
pub(crate) struct SenderRights<'a> {
    /// True if this node asked it how the epoch ended; counts once.
    pub(crate) shows_end: &'a dyn Fn() -> bool,
    /// True if its transactions are accepted.
    pub(crate) submits: &'a dyn Fn() -> bool,
}

/// Returns the destination of a message from a node of this relation, while this node is in `epoch`.
pub(crate) fn route(standing: Standing, epoch: Epoch, allowed: &SenderRights<'_>, message: Message) -> Route {
    match (standing, message) {
        (_, Message::Request { id, request: Request::State(request) }) => {
            Route::Serve(Work::Answer { id, request: Request::State(request) })
        }
        (Standing::Member(_), Message::Request { id, request })
            if matches!(request, Request::FinalBlocks { .. } | Request::EpochEnd(_) | Request::Follow(_)) =>
        {
            Route::Serve(Work::Answer { id, request })
        }
        (Standing::Member(_), message) => Route::Shard(message),
        (_, Message::Request { id, request }) => Route::Serve(Work::Answer { id, request }),
        (_, Message::Transactions(transactions)) if (allowed.submits)() => {
            Route::Serve(Work::Take(transactions.into_vec().into()))
        }
        // Who left the committee with the last epoch may still show how it ended; a quorum's word needs no sender.
        (_, Message::Response { id, response: Response::EpochEnd(change) }) if (allowed.shows_end)() => {
            Route::Shard(Message::Response { id, response: Response::EpochEnd(change) })
        }
        (Standing::Seed, message @ Message::Response { .. }) => Route::Shard(message),
        (Standing::Stranger, _) => Route::Drop,
        (_, message) => match epoch_of(&message) {
            // R31: this is how a node learns that its epoch is over.
            Some(said) if said > epoch => Route::Shard(message),
            // R31: and how one that is behind is told.
            Some(said) if said < epoch && matches!(message, Message::Heartbeat(_)) => Route::Serve(Work::ShowEnd(said)),
            _ => Route::Drop,
        },
    }
}

//! The release that a simulated node runs: this one, or 0.2.0, which knows protocol version 1 and links of version 2 alone.
//!
//! *Invariants:* decides nothing about the chain; a message that the release couldn't decode is never read.

use rustorium_types::{
    EpochTransition, Held, Message, NEWEST_VERSION, Request, Response, Rules, StateAnswer, VoteMessage,
};

/// A release.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Release {
    /// The newest protocol version that the release knows.
    newest: u16,
}

impl Release {
    /// Returns the release that knows protocol versions up to this one.
    pub(crate) fn knowing(newest: u16) -> Self {
        Self { newest }
    }

    /// Returns true if it is this release.
    pub(crate) fn is_newest(self) -> bool {
        self.newest == NEWEST_VERSION
    }

    /// Returns true if the release can decode a message.
    pub(crate) fn reads(self, message: &Message) -> bool {
        if self.newest >= Rules::V2.version() {
            return true;
        }
        match message {
            Message::Work(_) | Message::Request { request: Request::Batches { .. }, .. } => false,
            Message::Vote(vote) => matches!(**vote, VoteMessage { held: Held::Whole(_), .. }),
            Message::Response { response, .. } => answers(response),
            _ => true,
        }
    }
}

fn answers(response: &Response) -> bool {
    match response {
        Response::Batches(_) | Response::EpochEnd(EpochTransition::First(_) | EpochTransition::Term(_)) => false,
        // The bytes are those of version 1, but the release has no use for them.
        Response::State(answer) => match &**answer {
            StateAnswer::Snapshot(snapshot) => snapshot.headers.iter().all(|header| header.rules() == Rules::V1),
            _ => true,
        },
        _ => true,
    }
}

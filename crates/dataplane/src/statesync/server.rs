//! The thread that answers peers' questions about snapshots, behind all that consensus needs.

use super::offers::Offers;
use crate::executor::store_code;
use crate::queue::Queue;
use rustorium_sync::state::answer_state;
use rustorium_transport::{Credit, Transport};
use rustorium_types::{Class, Message, PublicKey, Response, StateRequest};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How often it looks for new snapshots.
const LOOK: Duration = Duration::from_millis(500);
/// How far the thread steps back behind the others.
const NICE: i32 = 10;

/// A peer's question. Its credit bounds how many wait.
pub struct Question {
    /// Who asks.
    pub from: PublicKey,
    /// The asker's number.
    pub id: u64,
    /// The question.
    pub request: StateRequest,
    /// Given back with the answer.
    pub credit: Credit,
}

/// The thread's parts.
pub struct Server {
    /// What is offered.
    pub offers: Arc<Offers>,
    /// What is asked; closed at the end.
    pub questions: Arc<Queue<Question>>,
    /// Where answers go.
    pub transport: Transport,
}

impl Server {
    /// Answers until the queue closes.
    pub fn run(self) {
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::debug!(event = "nice_failed", reason = %error);
        }
        let mut waiting = VecDeque::new();
        while self.questions.take(Some(LOOK), &mut waiting) {
            if let Err(error) = self.offers.refresh() {
                // Whoever writes meets the same, and stops the node.
                tracing::error!(event = "snapshot_failed", code = store_code(&error), reason = %error);
            }
            for question in waiting.drain(..) {
                self.answer(question);
            }
        }
    }

    fn answer(&self, question: Question) {
        let answer = answer_state(&*self.offers, &question.request);
        let response = answer.map_or(Response::NotHeld, |answer| Response::State(Box::new(answer)));
        let frame = Message::Response { id: question.id, response }.to_frame();
        // An answer that finds no room is asked for again.
        let _ = self.transport.send_to(&question.from, Class::Sync, frame.into());
        drop(question.credit);
    }
}

//! The thread that answers peers from the store and looks at outsiders' transactions, behind all that consensus needs.

use super::following::Following;
use super::intake::{CheckResult, Intake};
use super::questions::Questions;
use super::request_queue::{RequestQueue, Turn, Work};
use crate::statesync::Offers;
use rustorium_shard::Event;
use rustorium_stages::contained::contained;
use rustorium_stages::executor::store_code;
use rustorium_stages::queue::Queue;
use rustorium_stages::serving::{Serving, answers_of};
use rustorium_storage::Store;
use rustorium_sync::state::answer_state;
use rustorium_sync::{answer, for_link};
use rustorium_transport::Transport;
use rustorium_types::{Class, Hash, Height, Message, PublicKey, Request, Response, Transaction};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Interval at which the thread looks for new snapshots.
const LOOK: Duration = Duration::from_millis(500);
/// Priority of the thread (`nice`), below the others.
const NICE: i32 = 10;
/// Time for which a key is refused after false transactions.
const BARRED: Duration = Duration::from_secs(600);

/// The thread's parts.
pub struct Server {
    /// The offered snapshots.
    offers: Arc<Offers>,
    /// The requests; closed at the end.
    questions: Arc<Questions>,
    /// Transport of the answers.
    transport: Transport,
    store: Arc<dyn Store>,
    /// Destination of transactions; `None` drops them.
    intake: Option<(Intake, Arc<Queue<Event>>)>,
    start: Instant,
}

impl Server {
    /// Creates a server that answers the requests in `questions` from `store` and `offers`, over `transport`.
    pub fn new(offers: Arc<Offers>, questions: Arc<Questions>, transport: Transport, store: Arc<dyn Store>) -> Self {
        Self { offers, questions, transport, store, intake: None, start: Instant::now() }
    }

    /// Makes the server forward outsiders' transactions to the shard.
    pub(crate) fn with_intake(self, intake: Intake, events: Arc<Queue<Event>>) -> Self {
        Self { intake: Some((intake, events)), ..self }
    }

    fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Answers until the queue closes.
    pub fn run(self) {
        if let Err(error) = rustix::process::nice(NICE) {
            tracing::debug!(event = "nice_failed", reason = %error);
        }
        let (mut waiting, mut requests, mut following) =
            (VecDeque::new(), RequestQueue::default(), Following::default());
        let mut looked_at: Option<Instant> = None;
        loop {
            let due = requests.next_due_us().map(|due| Duration::from_micros(due.saturating_sub(self.now_us())));
            if !self.questions.take(due.map_or(LOOK, |due| due.min(LOOK)), &mut waiting) {
                return;
            }
            let now_us = self.now_us();
            for question in waiting.drain(..).flatten() {
                match question.work {
                    Work::Answer { id, request: Request::Follow(first) } => {
                        following.take(&question.from, question.standing, id, first);
                    }
                    _ => requests.push(now_us, question),
                }
            }
            self.questions.set_followed(!following.is_empty());
            if !following.is_empty() {
                following.ask(self.stored()).for_each(|question| requests.push(now_us, question));
            }
            if looked_at.is_none_or(|at| at.elapsed() >= LOOK) {
                looked_at = Some(Instant::now());
                following.retain(|peer| self.transport.has_room(peer, Class::Sync).is_some());
                if let Err(error) = self.offers.refresh() {
                    // Whoever writes meets the same, and stops the node.
                    tracing::error!(event = "snapshot_failed", code = store_code(&error), reason = %error);
                }
            }
            if let Some((from, turn)) = requests.next(now_us, &|key| self.transport.has_room(key, Class::Sync)) {
                contained("snapshots", || self.take(&mut requests, &mut following, &from, turn));
            }
        }
    }

    fn stored(&self) -> Height {
        self.store.tip().map_or(Height(0), |tip| tip.height)
    }

    fn take(&self, requests: &mut RequestQueue, following: &mut Following, from: &PublicKey, turn: Turn) {
        match turn {
            Turn::Answer(Work::Push, _) => {
                let bytes = self.push(following, from);
                requests.charge(self.now_us(), from, bytes);
            }
            Turn::Answer(work, credit) => {
                if let Some(frame) = self.answer(from, work) {
                    requests.charge(self.now_us(), from, frame.len());
                    // An answer that finds no room is asked for again.
                    let _ = self.transport.send_to(from, Class::Sync, frame.into());
                }
                drop(credit);
            }
            Turn::Look(transaction) => self.look(requests, from, transaction),
        }
    }

    fn answer(&self, from: &PublicKey, work: Work) -> Option<Vec<u8>> {
        let version = self.transport.version(from);
        let (id, response) = match work {
            Work::Answer { id, request: Request::State(request) } => {
                let answer = answer_state(&*self.offers, &request);
                (id, answer.map_or(Response::NotHeld, |answer| Response::State(Box::new(answer))))
            }
            Work::Answer { id, request } => (id, answer(&Serving { memory: None, store: &*self.store }, &request)),
            Work::ShowEnd(epoch) => {
                let end = for_link(Response::EpochEnd(self.store.epoch(epoch).ok().flatten()?), version);
                (0, Some(end).filter(|end| *end != Response::NotHeld)?)
            }
            Work::Take(_) | Work::Push => return None,
        };
        let response = for_link(response, version);
        Some(Message::Response { id, response }.to_frame())
    }

    /// Pushes the next block to a follower. Returns the number of bytes.
    fn push(&self, following: &mut Following, to: &PublicKey) -> usize {
        let Some(push) = following.next(to, self.stored()) else { return 0 };
        let (id, answers) = answers_of(&*self.store, push);
        let frames = answers.into_iter().map(|response| Message::Response { id, response }.to_frame());
        frames.fold(0, |bytes, frame| {
            let sent = bytes + frame.len();
            // The follower asks for an answer that finds no room.
            let _ = self.transport.send_to(to, Class::Sync, frame.into());
            sent
        })
    }

    fn look(&self, requests: &mut RequestQueue, from: &PublicKey, transaction: Transaction) {
        let Some((intake, events)) = &self.intake else { return };
        match intake.look(transaction) {
            CheckResult::Good(admitted) => {
                events.push(Event::Transactions { transactions: vec![admitted], from_client: false });
            }
            CheckResult::Useless => {}
            CheckResult::False => {
                if requests.lied(self.now_us(), from) {
                    let advice = "it sent false signatures: it is refused for ten minutes";
                    tracing::warn!(event = "follower_barred", follower = %Hash(*from), advice);
                    self.transport.bar(from, BARRED);
                }
            }
        }
    }
}

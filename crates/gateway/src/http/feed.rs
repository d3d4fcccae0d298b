//! One subscriber's events: receipts and blocks in order, from any position on, without a gap or a duplicate.
//!
//! A receipt's id is `shard.height.index`; the event of a block follows its receipts as
//! `shard.height.<number of receipts>`. A subscriber that resumes by an id of an earlier release, `height.index`, gets
//! ids of that form. A block is taken from the nearest source: when it becomes final, from the blocks kept for all
//! subscribers, or from storage. Only the position decides what comes next.
//!
//! *Invariants:* ids ascend by one step each, except for events that the filter leaves out; a subscriber that had
//! everything and then falls too many blocks behind gets `too-slow` and nothing after it; a subscriber holds one block
//! at most.

use super::app::App;
use super::problem::Problem;
use rustorium_api::{Code, EventId, FinalBlock, Newest, Place};
use rustorium_types::{AccountId, Outcome, Receipt, ShardId, TxId};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Terms that a filter may have.
pub const FILTER_TERMS_MAX: usize = 32;
/// Number of events that are made at a time.
const EVENTS_AT_ONCE: usize = 256;

/// Filter of a subscriber. An event passes if any term matches.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Filter {
    all: bool,
    blocks: bool,
    receipts: bool,
    failed: bool,
    senders: BTreeSet<AccountId>,
    ids: BTreeSet<TxId>,
}

impl Filter {
    /// Parses a comma-separated list of `all`, `blocks`, `receipts`, `failed`, `sender:rs1…`, `id:<hex>`.
    pub fn parse(text: Option<&str>) -> Result<Self, Problem> {
        let bad = |term: &str| {
            let detail = format!(
                "The filter term `{term}` is unknown; use all, blocks, receipts, failed, sender:rs1…, id:<64 hex digits>."
            );
            Problem::new(Code::BadFilter, detail)
        };
        let mut filter = Self::default();
        let terms: Vec<&str> = text.unwrap_or("all").split(',').map(str::trim).collect();
        if terms.len() > FILTER_TERMS_MAX {
            return Err(Problem::new(Code::BadFilter, format!("A filter has at most {FILTER_TERMS_MAX} terms.")));
        }
        for term in terms {
            match term.split_once(':') {
                None if term == "all" => filter.all = true,
                None if term == "blocks" => filter.blocks = true,
                None if term == "receipts" => filter.receipts = true,
                None if term == "failed" => filter.failed = true,
                Some(("sender", address)) => {
                    filter.senders.insert(AccountId::parse(address).map_err(|_| bad(term))?);
                }
                Some(("id", digits)) => {
                    filter.ids.insert(TxId::from_hex(digits).map_err(|_| bad(term))?);
                }
                _ => return Err(bad(term)),
            }
        }
        Ok(filter)
    }

    fn receipt(&self, receipt: &Receipt) -> bool {
        self.all
            || self.receipts
            || (self.failed && receipt.outcome != Outcome::Ok)
            || self.senders.contains(&receipt.sender)
            || self.ids.contains(&receipt.transaction)
    }

    fn block(&self) -> bool {
        self.all || self.blocks
    }
}

/// One event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Event id to resume after; `None` if there is none yet.
    pub id: Option<EventId>,
    /// `receipt`, `block`, `position`, `too-slow`, `closing`, `gone`.
    pub kind: &'static str,
    /// JSON.
    pub data: Arc<str>,
}

impl Event {
    /// Appends the event as a server-sent event. The data holds no line break, as it is JSON.
    pub fn write_sse(&self, out: &mut String) {
        if let Some(id) = self.id {
            // Writing to a String does not fail.
            let _ = writeln!(out, "id: {id}");
        }
        let _ = write!(out, "event: {}\ndata: {}\n\n", self.kind, self.data);
    }

    /// Returns the event as a WebSocket text frame.
    pub fn to_frame(&self) -> String {
        let id = self.id.map_or("null".to_owned(), |id| format!("\"{id}\""));
        format!("{{\"id\":{id},\"event\":\"{}\",\"data\":{}}}", self.kind, self.data)
    }
}

/// Parses the id of the last event that a client has seen. The node serves the events of one shard.
pub fn last_event_id(text: Option<&str>, served: ShardId) -> Result<Option<EventId>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let bad = |detail: &str| Problem::new(Code::BadEventId, detail);
    let id = EventId::parse(text).ok_or_else(|| bad("An event id is shard.height.index, as the stream gave it."))?;
    if id.shard() != served {
        let shard = id.shard();
        return Err(bad(&format!(
            "The event id is of shard {shard}, and this node serves shard {served}; resume at a node of shard {shard}."
        )));
    }
    Ok(Some(id))
}

/// Position of one subscriber in the stream.
pub struct Feed {
    app: Arc<App>,
    filter: Filter,
    /// Shard that ids name; `None` if the subscriber knows ids without one.
    named: Option<ShardId>,
    next: Place,
    last: Option<Place>,
    newest: watch::Receiver<Newest>,
    /// True once the subscriber has caught up.
    level: bool,
    /// True after the last event.
    ended: bool,
    current: Option<Arc<FinalBlock>>,
    closing: watch::Receiver<bool>,
}

impl Feed {
    /// Creates a subscriber that has seen everything up to `after`, or that starts with the next block.
    pub fn new(app: Arc<App>, filter: Filter, after: Option<EventId>) -> Self {
        let (newest, closing) = (app.backend.subscribe(), app.closing.clone());
        let named = after.map_or_else(|| Some(app.backend.chain().shard), |id| id.named);
        let last = after.map(|id| id.place);
        let next = match last {
            Some((height, index)) => (height, index.saturating_add(1)),
            None => (newest.borrow().height.next(), 0),
        };
        Self { app, filter, named, next, last, newest, level: false, ended: false, current: None, closing }
    }

    fn id(&self, place: Place) -> EventId {
        EventId { named: self.named, place }
    }

    fn last_id(&self) -> Option<EventId> {
        self.last.map(|place| self.id(place))
    }

    /// Returns the next events. `None` after the last. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some(event) = self.too_slow() {
                return Some(vec![event]);
            }
            let events = self.at_hand();
            if !events.is_empty() {
                return Some(events);
            }
            if let Some(event) = self.fetch().await {
                return Some(vec![event]);
            }
        }
    }

    /// Returns the events of all kept blocks from the position on, up to a limit. Moves the position.
    fn at_hand(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while events.len() < EVENTS_AT_ONCE {
            let Some(block) = self.current.take().or_else(|| self.app.blocks.kept(self.next.0)) else { break };
            self.take(block, &mut events);
        }
        events
    }

    fn take(&mut self, block: Arc<FinalBlock>, events: &mut Vec<Event>) {
        let first = usize::try_from(self.next.1).unwrap_or(usize::MAX);
        for (offset, receipt) in block.receipts.iter().enumerate().skip(first).take(EVENTS_AT_ONCE) {
            let place = (block.height, u32::try_from(offset).unwrap_or(u32::MAX));
            self.last = Some(place);
            self.next = (block.height, place.1.saturating_add(1));
            if self.filter.receipt(receipt) {
                events.push(Event { id: Some(self.id(place)), kind: "receipt", data: block.words(offset) });
            }
        }
        let receipts = block.receipts.len();
        if usize::try_from(self.next.1).unwrap_or(usize::MAX) < receipts {
            self.current = Some(block);
            return;
        }
        let place = (block.height, u32::try_from(receipts).unwrap_or(u32::MAX));
        if self.next.1 <= place.1 {
            self.last = Some(place);
            if self.filter.block() {
                events.push(Event { id: Some(self.id(place)), kind: "block", data: block.words(receipts) });
            }
        }
        self.next = (block.height.next(), 0);
    }

    /// Ends the stream of an up-to-date subscriber that then left too much unread.
    fn too_slow(&mut self) -> Option<Event> {
        let behind = (self.newest.borrow().height.0 + 1).saturating_sub(self.next.0.0);
        if !self.level || self.current.is_some() || behind <= self.app.limits.event_lag_blocks_max {
            return None;
        }
        let detail =
            "Events came faster than they were read; resume after the last id, with a narrower filter if need be.";
        Some(self.end("too-slow", json!({ "missed_blocks": behind, "detail": detail })))
    }

    /// Gets the next block, or waits for it.
    async fn fetch(&mut self) -> Option<Event> {
        if *self.closing.borrow() {
            return Some(self.closing_event());
        }
        let height = self.next.0;
        // This is read first: a height at or below it that isn't stored was pruned.
        let newest = self.newest.borrow_and_update().clone();
        if height > newest.height {
            self.level = true;
            return self.wait().await;
        }
        if let Some(block) = newest.block.filter(|block| block.height == height) {
            self.current = Some(self.app.blocks.keep(&block));
            return None;
        }
        match self.app.blocks.read(&self.app.backend, height).await.map_err(Problem::from) {
            Ok(Some(block)) => {
                self.current = Some(block);
                None
            }
            Ok(None) => {
                let detail = "The blocks after this position were pruned here; read from an archive node.";
                Some(self.end("gone", json!({ "height": height, "detail": detail })))
            }
            Err(problem) => {
                Some(self.end("closing", json!({ "code": problem.code(), "detail": "A read failed; resume later." })))
            }
        }
    }

    async fn wait(&mut self) -> Option<Event> {
        tokio::select! {
            changed = self.newest.changed() => match changed {
                Ok(()) => None,
                // Nothing more will become final here.
                Err(_) => Some(self.closing_event()),
            },
            () = closes(&mut self.closing) => Some(self.closing_event()),
            () = tokio::time::sleep(self.app.limits.keep_alive) => {
                let data = json!({ "next_height": self.next.0 }).to_string().into();
                Some(Event { id: self.last_id(), kind: "position", data })
            }
        }
    }

    fn closing_event(&mut self) -> Event {
        self.end("closing", json!({ "detail": "The node is closing; resume at another." }))
    }

    fn end(&mut self, kind: &'static str, data: Value) -> Event {
        self.ended = true;
        Event { id: self.last_id(), kind, data: data.to_string().into() }
    }
}

/// Ends when the server closes. Never ends without a server.
async fn closes(closing: &mut watch::Receiver<bool>) {
    if closing.wait_for(|closing| *closing).await.is_err() {
        std::future::pending::<()>().await;
    }
}

/// Time after which a client should reconnect.
pub(super) const RECONNECT: Duration = Duration::from_secs(1);

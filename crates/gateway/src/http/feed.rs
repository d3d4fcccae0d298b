//! One subscriber's events: receipts and blocks in order, from any position on, without a gap or a duplicate.
//!
//! A receipt's id is `height.index`; the event of a block follows its receipts as `height.<number of receipts>`. What a
//! subscriber has missed is read from storage, then it changes over to live blocks; whatever the changeover, only the
//! position decides what comes next.
//!
//! *Invariants:* ids ascend by one step each, but for what the filter leaves out; a subscriber that falls behind the live
//! blocks' buffer is told with `too_slow` and gets nothing after it.

use super::App;
use super::params::place;
use super::read::off_thread;
use crate::backend::{BlockRef, FinalBlock, Place};
use crate::json::ReceiptView;
use crate::problem::{Code, Problem};
use rustorium_types::{AccountId, Outcome, Receipt, TxId};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::sync::watch;

/// Terms that a filter may have.
pub const FILTER_TERMS_MAX: usize = 32;
/// Events that are made at a time.
const EVENTS_AT_ONCE: usize = 256;

/// What a subscriber wants: any of its terms.
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
            let detail = format!("`{term}` is none of all, blocks, receipts, failed, sender:rs1…, id:<64 hex digits>.");
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
    /// Where to resume; none where there is nothing yet to resume from.
    pub id: Option<Place>,
    /// `receipt`, `block`, `position`, `too_slow`, `closing`, `gone`.
    pub kind: &'static str,
    /// JSON.
    pub data: String,
}

impl Event {
    fn id_text(&self) -> Option<String> {
        self.id.map(|(height, index)| format!("{height}.{index}"))
    }

    /// Appends the event as a server-sent event. The data holds no line break, as it is JSON.
    pub fn write_sse(&self, out: &mut String) {
        if let Some(id) = self.id_text() {
            // Writing to a String does not fail.
            let _ = writeln!(out, "id: {id}");
        }
        let _ = write!(out, "event: {}\ndata: {}\n\n", self.kind, self.data);
    }

    /// The event as a WebSocket text frame.
    pub fn to_frame(&self) -> String {
        let id = self.id_text().map_or("null".to_owned(), |id| format!("\"{id}\""));
        format!("{{\"id\":{id},\"event\":\"{}\",\"data\":{}}}", self.kind, self.data)
    }
}

/// Parses the id of the last event that a client has seen.
pub fn last_event_id(text: Option<&str>) -> Result<Option<Place>, Problem> {
    let detail = "An event id is height.index, as the stream gave it.";
    text.map(|text| place(text).ok_or_else(|| Problem::new(Code::BadEventId, detail))).transpose()
}

enum State {
    /// Reads stored blocks.
    CatchingUp,
    /// Takes blocks as they become final.
    Live,
    /// Said its last event.
    Ended,
}

/// One subscriber's place in the stream.
pub struct Feed {
    app: Arc<App>,
    filter: Filter,
    next: Place,
    last: Option<Place>,
    live: Option<broadcast::Receiver<Arc<FinalBlock>>>,
    state: State,
    current: Option<Arc<FinalBlock>>,
    closing: watch::Receiver<bool>,
}

impl Feed {
    /// A subscriber that has seen everything up to `after`, or that starts with the next block.
    pub fn new(app: Arc<App>, filter: Filter, after: Option<Place>) -> Self {
        let closing = app.closing.clone();
        match after {
            Some((height, index)) => {
                let next = (height, index.saturating_add(1));
                Self { app, filter, next, last: after, live: None, state: State::CatchingUp, current: None, closing }
            }
            None => {
                // Subscribed before the tip is read: what falls between is dropped as a duplicate, never lost.
                let live = app.backend.subscribe();
                let next = (app.backend.status().executed.height.next(), 0);
                Self { app, filter, next, last: None, live: Some(live), state: State::Live, current: None, closing }
            }
        }
    }

    /// The next events; none after the last. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            if let Some(block) = self.current.clone() {
                let events = self.take(&block);
                if events.is_empty() {
                    continue;
                }
                return Some(events);
            }
            let event = match self.state {
                State::Ended => return None,
                State::CatchingUp => self.catch_up().await,
                State::Live => self.follow().await,
            };
            if let Some(event) = event {
                return Some(vec![event]);
            }
        }
    }

    /// Events of the current block from the position on; moves the position.
    fn take(&mut self, block: &FinalBlock) -> Vec<Event> {
        let mut events = Vec::new();
        let first = usize::try_from(self.next.1).unwrap_or(usize::MAX);
        for (offset, receipt) in block.receipts.iter().enumerate().skip(first).take(EVENTS_AT_ONCE) {
            let id = (block.height, u32::try_from(offset).unwrap_or(u32::MAX));
            self.last = Some(id);
            self.next = (block.height, id.1.saturating_add(1));
            if self.filter.receipt(receipt) {
                let data = serde_json::to_string(&ReceiptView::from(receipt)).unwrap_or_default();
                events.push(Event { id: Some(id), kind: "receipt", data });
            }
        }
        if usize::try_from(self.next.1).unwrap_or(usize::MAX) < block.receipts.len() {
            return events;
        }
        let id = (block.height, u32::try_from(block.receipts.len()).unwrap_or(u32::MAX));
        if self.next.1 <= id.1 {
            self.last = Some(id);
            if self.filter.block() {
                events.push(Event { id: Some(id), kind: "block", data: block_data(block) });
            }
        }
        self.next = (block.height.next(), 0);
        self.current = None;
        events
    }

    async fn catch_up(&mut self) -> Option<Event> {
        if *self.closing.borrow() {
            return Some(self.end("closing", json!({ "detail": "The node is closing; resume at another." })));
        }
        let height = self.next.0;
        // The tip is read first: a height at or below it that isn't stored was pruned.
        let tip = self.app.backend.status().executed.height;
        if height > tip {
            if self.live.is_some() {
                self.state = State::Live;
            } else {
                // Once more after subscribing: a block may have come between.
                self.live = Some(self.app.backend.subscribe());
            }
            return None;
        }
        match off_thread(&self.app, move |backend| backend.block(BlockRef::Height(height))).await {
            Ok(Some(view)) => {
                let header = &view.block.header;
                let (time_ms, digest) = (header.time_ms, view.digest);
                self.current = Some(Arc::new(FinalBlock { height, time_ms, digest, receipts: view.receipts }));
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

    async fn follow(&mut self) -> Option<Event> {
        let Some(live) = &mut self.live else {
            self.state = State::CatchingUp;
            return None;
        };
        let received = tokio::select! {
            received = live.recv() => received,
            () = closes(&mut self.closing) => Err(RecvError::Closed),
            () = tokio::time::sleep(self.app.limits.keep_alive) => {
                return Some(Event { id: self.last, kind: "position", data: json!({ "next_height": self.next.0 }).to_string() });
            }
        };
        match received {
            // Seen before, or before the position asked for.
            Ok(block) if block.height < self.next.0 => None,
            Ok(block) if block.height == self.next.0 => {
                self.current = Some(block);
                None
            }
            // Something between is only in storage; so is this block.
            Ok(_) => {
                self.state = State::CatchingUp;
                None
            }
            Err(RecvError::Lagged(blocks)) => {
                let detail = "Events came faster than they were read; resume after the last id, with a narrower filter if need be.";
                Some(self.end("too_slow", json!({ "missed_blocks": blocks, "detail": detail })))
            }
            Err(RecvError::Closed) => {
                Some(self.end("closing", json!({ "detail": "The node is closing; resume at another." })))
            }
        }
    }

    fn end(&mut self, kind: &'static str, data: Value) -> Event {
        self.state = State::Ended;
        self.live = None;
        Event { id: self.last, kind, data: data.to_string() }
    }
}

/// Ends when the server says that it closes; never where there is no server.
async fn closes(closing: &mut watch::Receiver<bool>) {
    if closing.wait_for(|closing| *closing).await.is_err() {
        std::future::pending::<()>().await;
    }
}

fn block_data(block: &FinalBlock) -> String {
    json!({
        "height": block.height,
        "time_ms": block.time_ms,
        "digest": block.digest,
        "receipts": block.receipts.len(),
    })
    .to_string()
}

/// How long a client should wait before it comes back.
pub(super) const RECONNECT: Duration = Duration::from_secs(1);

//! Room for answers that clients haven't taken yet, and the order of reads.
//!
//! *Invariants:* the bytes of an answer are counted until its connection has passed the last of them to the system, or
//! has ended; concurrent reads are bounded, in total and for each address; a client that finds no room gets an error.

use super::limits::AnswerLimits;
use super::params::Caller;
use super::problem::Problem;
use crate::metrics::{AnswerBytes, GatewayMetrics};
use crate::shares::{Share, Shares};
use axum::body::{Body, Bytes};
use rustorium_api::Code;
use std::time::Duration;

/// Maximum size of an answer that isn't counted. The system takes such answers whole, so none of their bytes are held
/// here.
pub(super) const SMALL_BYTES: usize = 16 * 1024;
/// Time after which a client that found no room should ask again.
const RETRY_AFTER_MS: u64 = 1_000;

/// Room for answers, and the order of reads.
pub(crate) struct Answers {
    bytes: Shares,
    results: Shares,
    reads: Shares,
    room_timeout: Duration,
    metrics: GatewayMetrics,
}

/// Room for one answer.
pub(crate) struct Room {
    share: Share,
    held: AnswerBytes,
}

impl Room {
    /// Returns the bytes of the room.
    pub(super) fn bytes(&self) -> usize {
        self.share.units()
    }

    /// Reduces the room to the size of the answer.
    fn fit(&mut self, bytes: usize) {
        self.share.shrink(bytes);
        self.held.set(self.share.units());
    }
}

impl Answers {
    pub(crate) fn new(limits: &AnswerLimits, metrics: GatewayMetrics) -> Self {
        Self {
            bytes: Shares::new(limits.bytes_max, limits.bytes_per_address_max),
            results: Shares::new(limits.result_bytes_max, limits.result_bytes_per_address_max),
            reads: Shares::new(limits.reads_max, limits.reads_per_address_max),
            room_timeout: limits.room_timeout,
            metrics,
        }
    }

    fn room(&self, share: Option<Share>) -> Result<Room, Problem> {
        let Some(share) = share else {
            self.metrics.refused_answer();
            return Err(crowded());
        };
        let mut held = self.metrics.answer();
        held.set(share.units());
        Ok(Room { share, held })
    }

    /// Waits for room for an answer of about this many bytes to a read.
    pub(super) async fn wait(&self, caller: Caller, bytes: usize) -> Result<Room, Problem> {
        self.room(self.bytes.wait(caller.0, bytes, self.room_timeout).await)
    }

    /// Takes room that is free now, for an answer that exists already. It would be held in memory while it waits.
    pub(super) fn take(&self, caller: Caller, bytes: usize) -> Result<Room, Problem> {
        self.room(self.bytes.take(caller.0, bytes))
    }

    /// Waits for the address's turn to read on a thread.
    pub(super) async fn turn(&self, caller: Caller) -> Result<Share, Problem> {
        self.reads.wait(caller.0, 1, self.room_timeout).await.ok_or_else(crowded)
    }

    /// Takes room for the answer to a submission before any of the submission is passed on.
    pub(super) fn take_for_results(&self, caller: Caller, bytes: usize) -> Result<Room, Problem> {
        self.room(self.results.take(caller.0, bytes))
    }
}

fn crowded() -> Problem {
    let detail = "Too many answers are in progress, for your address or in total; read those, then ask again.";
    Problem::new(Code::Busy, detail).retry_after(RETRY_AFTER_MS)
}

/// JSON with its room, which is freed when the connection has sent the JSON.
struct HeldJson {
    json: Bytes,
    _room: Room,
}

impl AsRef<[u8]> for HeldJson {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

/// Returns a body that holds its room until it is sent.
pub(super) fn body(json: impl Into<Bytes>, mut room: Room) -> Body {
    let json = json.into();
    if json.len() <= SMALL_BYTES {
        return Body::from(json);
    }
    room.fit(json.len());
    Body::from(Bytes::from_owner(HeldJson { json, _room: room }))
}

//! Bodies of requests: their formats, the room that they take, and how long they may take to arrive.
//!
//! *Invariants:* a body is read only when it has room among all bodies; a longer or slower one than allowed is refused.

use super::app::App;
use super::limits::{BINARY_BODY_BYTES_MAX, JSON_BODY_BYTES_MAX};
use super::problem::Problem;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;
use rustorium_api::Code;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;

/// Formats of a submission.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Media {
    /// A u32 (little-endian) count, then for each transaction a u32 length and its canonical bytes.
    Binary,
    /// `{"transactions": ["<canonical bytes as hex digits>", …]}`.
    Json,
}

impl Media {
    /// Returns the format that a request names.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        let essence = given.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/octet-stream" => Ok(Self::Binary),
            "application/json" => Ok(Self::Json),
            _ => {
                let detail = "Send application/octet-stream or application/json, and name it in Content-Type.";
                Err(Problem::new(Code::UnsupportedMediaType, detail))
            }
        }
    }

    /// Returns the maximum bytes of a submission's body.
    pub(super) fn body_bytes_max(self) -> usize {
        match self {
            Self::Binary => BINARY_BODY_BYTES_MAX,
            Self::Json => JSON_BODY_BYTES_MAX,
        }
    }
}

/// Returns the problem of a body above its limit.
pub(super) fn too_large(limit: usize) -> Problem {
    let detail = format!("A body has at most {limit} bytes here; send less at once.");
    Problem::new(Code::BodyTooLarge, detail)
}

/// Takes room for the body from the budget of all bodies.
pub(super) fn reserve(app: &Arc<App>, headers: &HeaderMap, limit: usize) -> Result<OwnedSemaphorePermit, Problem> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()).and_then(|v| v.parse().ok());
    let bytes: usize = announced.unwrap_or(limit);
    if bytes > limit {
        return Err(too_large(limit));
    }
    let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
    app.bodies.clone().try_acquire_many_owned(permits).map_err(|_| Problem::busy(100))
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read_body(body: Body, limit: usize, timeout: Duration) -> Result<Bytes, Problem> {
    let mut stream = body.into_data_stream();
    let read = async {
        // One chunk is the common case, and is used without a copy.
        let mut whole: Option<Vec<u8>> = None;
        let mut first: Option<Bytes> = None;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|error| Problem::new(Code::BadBody, format!("The body broke off: {error}.")))?;
            let so_far = whole.as_ref().map_or(first.as_ref().map_or(0, Bytes::len), Vec::len);
            if so_far + chunk.len() > limit {
                return Err(too_large(limit));
            }
            match (&mut whole, first.take()) {
                (Some(whole), _) => whole.extend_from_slice(&chunk),
                (None, None) => first = Some(chunk),
                (None, Some(before)) => whole = Some([before, chunk].concat()),
            }
        }
        Ok(whole.map(Bytes::from).or(first).unwrap_or_default())
    };
    match tokio::time::timeout(timeout, read).await {
        Ok(result) => result,
        Err(_) => Err(Problem::new(Code::BodyTooSlow, format!("The body must come within {} s.", timeout.as_secs()))),
    }
}

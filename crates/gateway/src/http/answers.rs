//! Answers: made on threads for reads, written once, and put into the room that they take.
//!
//! *Invariants:* every answer that isn't small takes room (`room.rs`) or is refused; a route that counted its answer
//! itself marks it.

use super::app::App;
use super::caches::IMMUTABLE;
use super::params::{Caller, none_match};
use super::problem::Problem;
use super::room::{Room, SMALL_BYTES, body};
use crate::backend::Backend;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use rustorium_api::BackendError;
use serde::Serialize;
use std::cell::Cell;
use std::io;
use std::sync::Arc;

/// Niceness of threads for reads.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;
/// Marks a response that is counted already, or takes no memory.
#[derive(Clone, Copy)]
pub(super) struct AlreadyCounted;

/// Counts every answer that its route didn't count. A large answer finds room, or is refused.
pub(super) async fn count_bytes(State(app): State<Arc<App>>, caller: Caller, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let Some(bytes) = response.body().size_hint().exact().and_then(|bytes| usize::try_from(bytes).ok()) else {
        return response;
    };
    if bytes <= SMALL_BYTES || response.extensions().get::<AlreadyCounted>().is_some() {
        return response;
    }
    match app.answers.take(caller, bytes) {
        Ok(room) => sent(response, room).await,
        Err(problem) => problem.into_response(),
    }
}

/// Puts a complete response into its room.
pub(super) async fn sent(response: Response, room: Room) -> Response {
    let (mut head, whole) = response.into_parts();
    head.extensions.insert(AlreadyCounted);
    match to_bytes(whole, usize::MAX).await {
        Ok(json) => Response::from_parts(head, body(json, room)),
        Err(_) => Problem::from(BackendError::Unavailable("the answer broke off".to_owned())).into_response(),
    }
}

/// Rules for a client that keeps an answer.
enum CachePolicy {
    No,
    /// Keeps it for ever, under this ETag.
    Forever(Option<String>),
    /// The client has it already.
    Has(String),
}

/// An answer as JSON, with its rules for caches.
pub(super) struct PreparedAnswer {
    keep: CachePolicy,
    json: Vec<u8>,
}

/// Serializes an answer, without spare capacity.
pub(super) fn written<T: Serialize>(answer: &T) -> Result<Vec<u8>, Problem> {
    let written = serde_json::to_vec(answer);
    let mut json =
        written.map_err(|error| BackendError::Unavailable(format!("the answer can't be written: {error}")))?;
    json.shrink_to_fit();
    Ok(json)
}

/// The items of a page that is cut by its bytes of JSON. The last item may exceed them.
pub(super) struct PageBuilder<T> {
    pub(super) items: Vec<T>,
    bytes: usize,
    bytes_max: usize,
}

impl<T: Serialize> PageBuilder<T> {
    pub(super) fn new(bytes_max: usize) -> Self {
        Self { items: Vec::new(), bytes: 0, bytes_max }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    pub(super) fn push(&mut self, item: T) {
        self.bytes += json_bytes(&item);
        self.items.push(item);
    }
}

/// Returns the number of bytes that `part` takes in an answer.
fn json_bytes<T: Serialize>(part: &T) -> usize {
    struct Length(usize);
    impl io::Write for Length {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut length = Length(0);
    // Counting never fails.
    let _ = serde_json::to_writer(&mut length, part);
    length.0
}

impl PreparedAnswer {
    /// Creates an answer that may change.
    pub(super) fn fresh<T: Serialize>(answer: &T) -> Result<Self, Problem> {
        Ok(Self { keep: CachePolicy::No, json: written(answer)? })
    }

    /// Creates an answer that never changes.
    pub(super) fn forever<T: Serialize>(answer: &T) -> Result<Self, Problem> {
        Ok(Self { keep: CachePolicy::Forever(None), json: written(answer)? })
    }

    /// Creates an answer that never changes and has a name. If the client holds the answer, it consists of the name
    /// only.
    pub(super) fn named<T: Serialize>(headers: &HeaderMap, etag: String, answer: &T) -> Result<Self, Problem> {
        if none_match(headers, &etag) {
            return Ok(Self { keep: CachePolicy::Has(etag), json: Vec::new() });
        }
        Ok(Self { keep: CachePolicy::Forever(Some(etag)), json: written(answer)? })
    }

    /// Returns the bytes of its JSON.
    pub(super) fn bytes(&self) -> usize {
        self.json.len()
    }

    /// Returns true if it needs no room.
    pub(super) fn is_small(&self) -> bool {
        self.json.len() <= SMALL_BYTES
    }

    /// Returns the response, which holds its room until it is sent.
    pub(super) fn into_response(self, room: Option<Room>) -> Response {
        let body = match room {
            Some(room) => body(self.json, room),
            None => Body::from(self.json),
        };
        let media = [(header::CONTENT_TYPE, "application/json")];
        let mut response = match self.keep {
            CachePolicy::No => (media, [(header::CACHE_CONTROL, "no-store")], body).into_response(),
            CachePolicy::Forever(None) => (media, [(header::CACHE_CONTROL, IMMUTABLE)], body).into_response(),
            CachePolicy::Forever(Some(etag)) => {
                let kept = [(header::ETAG, etag.as_str()), (header::CACHE_CONTROL, IMMUTABLE)];
                (media, kept, body).into_response()
            }
            CachePolicy::Has(etag) => {
                let kept = [(header::ETAG, etag.as_str()), (header::CACHE_CONTROL, IMMUTABLE)];
                (StatusCode::NOT_MODIFIED, kept).into_response()
            }
        };
        response.extensions_mut().insert(AlreadyCounted);
        response
    }
}

/// Reads and serializes an answer on a thread for reads. `about` is the usual size of such an answer; a larger one
/// takes more room, or is refused.
pub(super) async fn answer(
    app: &Arc<App>,
    caller: Caller,
    about: usize,
    make: impl FnOnce(&dyn Backend) -> Result<PreparedAnswer, Problem> + Send + 'static,
) -> Result<Response, Problem> {
    let room = app.answers.wait(caller, about).await?;
    let held = room.bytes();
    let (made, room) = off_thread(app, caller, move |backend| (make(backend), room)).await?;
    let made = made?;
    let room = if made.json.len() > held.max(SMALL_BYTES) {
        drop(room);
        app.answers.take(caller, made.json.len())?
    } else {
        room
    };
    Ok(made.into_response(Some(room)))
}

/// Runs a read on a thread for reads, when its address has a turn.
pub(super) async fn off_thread<T: Send + 'static>(
    app: &Arc<App>,
    caller: Caller,
    read: impl FnOnce(&dyn Backend) -> T + Send + 'static,
) -> Result<T, Problem> {
    let turn = app.answers.turn(caller).await?;
    let backend = app.backend.clone();
    // The turn ends with the read, even if nobody waits for the result any more.
    let ran = tokio::task::spawn_blocking(move || {
        step_back();
        let found = read(backend.as_ref());
        drop(turn);
        found
    });
    ran.await.map_err(|_| BackendError::Unavailable("the read was interrupted".to_owned()).into())
}

/// Lowers the priority of this thread once. Only reads run on it.
fn step_back() {
    thread_local! { static DONE: Cell<bool> = const { Cell::new(false) } }
    if DONE.replace(true) {
        return;
    }
    // On Linux the nice value is the thread's own; elsewhere it would be the node's.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(event = "nice_failed", reason = %error);
    }
}

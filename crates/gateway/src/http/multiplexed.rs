//! HTTP/2 connections: bounded streams, heads and windows, and an end for clients that read nothing.
//!
//! Over HTTP/2 a client can stop reading while its connection goes on, because each stream has a window of its own. So
//! each part of an answer is watched from its creation until the connection has passed its last byte to the system.
//!
//! *Invariants:* a connection ends once a part of an answer has waited for `write_timeout`, or without requests for
//! `head_timeout`; a client's unread bytes fit its window.

use super::limits::{CLOSE_GRACE, HttpLimits};
use super::params::Caller;
use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http2;
use hyper::service::{Service, service_fn};
use hyper::{Request, body};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Number of refused requests after which a connection ends. Some clients send a hundred before they learn their limit.
const REFUSED_MAX: usize = 256;
/// Bytes of an answer that are taken out of its body before the client takes them.
const SEND_BYTES_MAX: usize = 64 * 1024;

/// Requests in progress on one connection.
struct Book(Mutex<Entries>);

struct Entries {
    requests: usize,
    /// Parts of answers that the client hasn't taken, by number, each with the time when it was made.
    parts: BTreeMap<u64, Instant>,
    next: u64,
    /// Time of the last activity.
    last: Instant,
}

/// Reason why a connection ends.
#[derive(PartialEq, Eq)]
enum End {
    Idle,
    Untaken,
}

impl Book {
    fn new() -> Arc<Self> {
        let entries = Entries { requests: 0, parts: BTreeMap::new(), next: 0, last: Instant::now() };
        Arc::new(Self(Mutex::new(entries)))
    }

    fn request(self: &Arc<Self>) -> RequestInProgress {
        self.0.lock().requests += 1;
        RequestInProgress(self.clone())
    }

    /// Returns the same bytes, watched until they are dropped.
    fn part(self: &Arc<Self>, bytes: Bytes) -> Bytes {
        if bytes.is_empty() {
            return bytes;
        }
        let mut entries = self.0.lock();
        let number = entries.next;
        entries.next += 1;
        entries.parts.insert(number, Instant::now());
        drop(entries);
        Bytes::from_owner(Part { bytes, number, book: self.clone() })
    }

    /// Returns the time at which the connection ends if nothing happens, and the reason.
    fn end(&self, idle: Duration, longest: Duration) -> (Instant, Option<End>) {
        let entries = self.0.lock();
        match entries.parts.first_key_value() {
            Some((_, since)) => (*since + longest, Some(End::Untaken)),
            None if entries.requests == 0 => (entries.last + idle, Some(End::Idle)),
            // Waits that begin from now on end no sooner.
            None => (Instant::now() + idle.min(longest), None),
        }
    }

    /// Waits until the connection has to end.
    async fn over(&self, idle: Duration, longest: Duration) -> End {
        loop {
            let (at, end) = self.end(idle, longest);
            match end {
                Some(end) if at <= Instant::now() => return end,
                // Another reason may end the connection earlier, but not before the shorter of both times.
                _ => sleep_until(at.min(Instant::now() + idle.min(longest))).await,
            }
        }
    }

    fn touch(&self) {
        self.0.lock().last = Instant::now();
    }
}

/// A request in progress, until all of its answer is made.
struct RequestInProgress(Arc<Book>);

impl Drop for RequestInProgress {
    fn drop(&mut self) {
        let mut entries = self.0.0.lock();
        entries.requests -= 1;
        entries.last = Instant::now();
    }
}

struct Part {
    bytes: Bytes,
    number: u64,
    book: Arc<Book>,
}

impl AsRef<[u8]> for Part {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut entries = self.book.0.lock();
        entries.parts.remove(&self.number);
        entries.last = Instant::now();
    }
}

/// Body of an answer. Each part of it is watched.
struct WatchedBody {
    body: Body,
    under: RequestInProgress,
}

impl body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(|bytes| self.under.0.part(bytes)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Serves a connection until it ends, or has to end.
pub(super) async fn serve<S>(
    stream: S,
    caller: Caller,
    router: Router,
    limits: &HttpLimits,
    mut closed: watch::Receiver<bool>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (book, routes) = (Book::new(), TowerToHyperService::new(router));
    let named = |mut request: Request<Incoming>| {
        request.extensions_mut().insert(caller);
        let (under, answer) = (book.request(), routes.call(request));
        async move { answer.await.map(|response: Response| response.map(|body| WatchedBody { body, under })) }
    };
    let bounds = limits.http_2;
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(bounds.streams_max)
        .initial_stream_window_size(bounds.window_bytes)
        .initial_connection_window_size(bounds.window_bytes)
        .max_header_list_size(bounds.head_bytes_max)
        .max_pending_accept_reset_streams(bounds.resets_max)
        .max_local_error_reset_streams(REFUSED_MAX)
        .max_send_buf_size(SEND_BYTES_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service_fn(named)));
    let mut leaving = false;
    loop {
        let idle = if leaving { CLOSE_GRACE } else { limits.head_timeout };
        tokio::select! {
            result = connection.as_mut() => return ended(result),
            end = book.over(idle, limits.write_timeout) => match end {
                End::Idle if !leaving => {}
                // The client doesn't read, so it can't be told.
                End::Idle | End::Untaken => {
                    tracing::debug!(event = "connection_ended", untaken = end == End::Untaken);
                    return;
                }
            },
            _ = closed.wait_for(|closed| *closed), if !leaving => {}
        }
        leaving = true;
        book.touch();
        connection.as_mut().graceful_shutdown();
    }
}

/// Notes a connection that ended with an error.
pub(super) fn ended(result: hyper::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(event = "connection_ended", %error, "a client connection ended with an error");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(75);
    const LONGEST: Duration = Duration::from_secs(60);

    /// Returns the seconds until the connection has to end, and true if it ends for an answer that isn't taken.
    async fn over(book: &Book) -> (u64, bool) {
        let began = Instant::now();
        let end = book.over(IDLE, LONGEST).await;
        (began.elapsed().as_secs(), end == End::Untaken)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_ends_idle_or_with_the_oldest_part_that_is_not_taken() {
        let book = Book::new();
        assert_eq!(over(&book).await, (75, false));
        let request = book.request();
        let first = book.part(Bytes::from_static(b"first"));
        tokio::time::advance(Duration::from_secs(30)).await;
        let second = book.part(Bytes::from_static(b"second"));
        assert_eq!(over(&book).await, (30, true));
        drop(first);
        assert_eq!(over(&book).await, (30, true));
        // A copy of a part keeps the whole part.
        let some = second.slice(2..4);
        drop(second);
        assert_eq!(over(&book).await, (0, true));
        drop(some);
        let answer = tokio::time::timeout(Duration::from_secs(1_000), book.over(IDLE, LONGEST)).await;
        assert!(answer.is_err(), "a request that takes long isn't the client's fault");
        drop(request);
        assert_eq!(over(&book).await, (75, false));
    }

    #[tokio::test(start_paused = true)]
    async fn what_begins_while_it_is_waited_for_counts_from_then_on() {
        let book = Book::new();
        let held = book.request();
        let late = async {
            tokio::time::sleep(Duration::from_secs(100)).await;
            let part = book.part(Bytes::from_static(b"late"));
            std::future::pending::<()>().await;
            drop(part);
        };
        let began = Instant::now();
        tokio::select! {
            () = late => {}
            end = book.over(IDLE, LONGEST) => assert!(end == End::Untaken),
        }
        assert_eq!(began.elapsed().as_secs(), 160);
        drop(held);
    }
}

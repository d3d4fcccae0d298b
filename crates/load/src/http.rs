//! Load over HTTP: one request at a time per connection, with all transactions that are due.

use crate::book::{Book, End, Entry, Tally};
use crate::run::{Link, LoadError, Run, connect};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustorium_types::ShardId;
use serde::Deserialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout_at};

/// Maximum bytes of an answer. A thousand receipts take a fraction of it.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;
const RECONNECT: Duration = Duration::from_millis(50);

/// A connection to a node's HTTP API.
pub(crate) struct HttpLink {
    address: SocketAddr,
    authorization: Option<String>,
    path: String,
    send: SendRequest<Full<Bytes>>,
}

impl HttpLink {
    /// Connects. `token` is for a node that requires one.
    pub async fn connect(address: SocketAddr, token: Option<&str>, shard: ShardId) -> Result<Self, LoadError> {
        let failed = |what: String| LoadError::Http { address, what };
        let stream = TcpStream::connect(address).await.map_err(|error| failed(error.to_string()))?;
        // This affects only latency; the connection works without it.
        let _ = stream.set_nodelay(true);
        let (send, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| failed(error.to_string()))?;
        tokio::spawn(connection);
        let authorization = token.map(|token| format!("Bearer {token}"));
        let path = if shard == ShardId::ROOT { String::new() } else { format!("/shards/{shard}") };
        Ok(Self { address, authorization, path: format!("/v1{path}/transactions"), send })
    }

    /// Submits and returns the answer; `None` if the connection broke.
    async fn submit(&mut self, body: Vec<u8>, timeout_ms: u64) -> Option<Bytes> {
        let mut request = Request::post(format!("{}?wait=final&timeout_ms={timeout_ms}", self.path));
        if let Some(authorization) = &self.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let request = request
            .header(header::HOST, self.address.to_string())
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .body(Full::from(body))
            .ok()?;
        self.send.ready().await.ok()?;
        let response = self.send.send_request(request).await.ok()?;
        let answer = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await.ok()?;
        Some(answer.to_bytes())
    }
}

/// The needed fields of an answer or a problem.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    results: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    status: String,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    receipt: Option<ItemReceipt>,
}

#[derive(Deserialize)]
struct ItemReceipt {
    outcome: String,
}

impl Item {
    fn end(&self) -> End<'_> {
        match (self.status.as_str(), &self.receipt, &self.code) {
            ("final" | "certified", Some(receipt), _) if receipt.outcome == "ok" => End::Final,
            ("final" | "certified", ..) => End::Failed,
            ("refused", _, Some(code)) => End::Refused(code),
            _ => End::Lost,
        }
    }
}

/// Sends a plan.
pub(crate) async fn work(run: Arc<Run>, link: HttpLink, mut book: Book, wake: Arc<Notify>) -> Tally {
    let deadline = tokio::time::Instant::from_std(run.deadline);
    let mut target = book.target();
    let mut link = Some(link);
    let _ = timeout_at(deadline, async {
        while !book.done() {
            let Some(connected) = &mut link else {
                target = run.config.next_target(target);
                match connect(&run.config, target).await {
                    Ok(Link::Http(connected)) => link = Some(connected),
                    _ => sleep(RECONNECT).await,
                }
                continue;
            };
            let now_us = run.now_us();
            if run.is_over(now_us) {
                book.give_up();
            }
            if book.done() {
                break;
            }
            let entries = book.due(now_us, run.config.window.unwrap_or(usize::MAX));
            if entries.is_empty() {
                wake.notified().await;
                continue;
            }
            let body = encode_body(&book, &entries);
            book.sent(0, entries);
            let left_ms = run.deadline.saturating_duration_since(std::time::Instant::now()).as_millis();
            let timeout_ms = u64::try_from(left_ms).unwrap_or(u64::MAX).clamp(1, 60_000);
            match connected.submit(body, timeout_ms).await {
                Some(answer) => settle(&run, &mut book, &answer),
                None => {
                    book.broke();
                    link = None;
                }
            }
        }
    })
    .await;
    book.close()
}

fn encode_body(book: &Book, entries: &[Entry]) -> Vec<u8> {
    let mut body = Vec::with_capacity(entries.len() * 512);
    body.extend_from_slice(&u32::try_from(entries.len()).unwrap_or(u32::MAX).to_le_bytes());
    for entry in entries {
        let encoded = book.encoded(entry);
        body.extend_from_slice(&u32::try_from(encoded.len()).unwrap_or(u32::MAX).to_le_bytes());
        body.extend_from_slice(encoded);
    }
    body
}

/// Notes the answer to the one submission in progress.
fn settle(run: &Run, book: &mut Book, answer: &[u8]) {
    let now_us = run.now_us();
    let answer = serde_json::from_slice(answer).unwrap_or(Answer { code: None, results: Vec::new() });
    for (index, item) in answer.results.iter().enumerate() {
        book.ended(0, u32::try_from(index).unwrap_or(u32::MAX), now_us, &item.end());
    }
    // A problem without results covers all.
    book.end_all(0, now_us, &answer.code.as_deref().map_or(End::Lost, End::Refused));
}

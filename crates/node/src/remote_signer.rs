//! The thread that speaks with the signer: sends what the shard asks, many requests at once, and tells what became of them.
//!
//! *Invariants:* the shard never waits for it; while the signer is away requests are dropped, and the shard asks again; tries to
//! connect come ever more rarely, up to one in two seconds; who reads the node's findings learns why nothing is signed.

use crate::config::SignerSetting;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use rustorium_shard::{Event, SignerEvent};
use rustorium_signer::protocol::{Request, Session};
use rustorium_signer::{Answer, Client, ClientError, Refusal, RequestSubject};
use rustorium_stages::mark::Mark;
use rustorium_stages::metrics::NodeMetrics;
use rustorium_stages::queue::Queue;
use rustorium_types::PublicKey;
use serde::Serialize;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// No answer for so long: the signer hangs.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between looks whether the signer still answers.
const IDLE: Duration = Duration::from_secs(1);
const BACKOFF_MIN: Duration = Duration::from_millis(20);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Time for which `SignerNote` shows a refusal.
const REFUSED_SHOWN: Duration = Duration::from_secs(60);

/// State of the signer, as findings show it to operators.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct SignerNote {
    /// Reason why nothing is signed now; empty if signing works.
    pub away: String,
    /// The newest refusal of the last minute; empty where there was none.
    pub refused: String,
}

/// Figures of the signer.
#[derive(Clone)]
pub struct SignerMetrics {
    up: Gauge,
    refused: Counter,
    seconds: Histogram,
}

impl Default for SignerMetrics {
    fn default() -> Self {
        let seconds = Histogram::new(exponential_buckets(0.000_05, 2.0, 16));
        Self { up: Gauge::default(), refused: Counter::default(), seconds }
    }
}

impl SignerMetrics {
    /// Adds them to the registry.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "rustorium_signer_up",
            "1 while the signer process answers and signs for this node",
            self.up.clone(),
        );
        let help = "Requests refused by the signer";
        registry.register("rustorium_signer_refused", help, self.refused.clone());
        let help = "Round-trip time of requests to the signer";
        registry.register("rustorium_signer_seconds", help, self.seconds.clone());
    }
}

#[derive(Default)]
struct Seen {
    away: String,
    refused: Option<(String, Instant)>,
}

/// The way to a signer.
pub struct RemoteSigner {
    socket: PathBuf,
    key: PublicKey,
    /// The process' session, if it hosts several shards.
    session: Option<Session>,
    requests: Queue<Request>,
    events: Arc<Queue<Event>>,
    seen: Mutex<Seen>,
    metrics: SignerMetrics,
    mark: Mark,
}

impl RemoteSigner {
    /// The way to the signer that a node's settings name, whose figures go to the shard's. `session`: the process', if it
    /// hosts several shards.
    pub(crate) fn of(
        setting: &SignerSetting,
        session: Option<Session>,
        events: Arc<Queue<Event>>,
        metrics: &NodeMetrics,
    ) -> Arc<Self> {
        let figures = SignerMetrics::default();
        metrics.with_shard(|registry| figures.register(registry));
        Arc::new(Self { session, ..Self::new(setting.socket.clone(), setting.key_hex.0, events, figures) })
    }

    /// The way to the signer that listens at `socket` and has this key.
    pub fn new(socket: PathBuf, key: PublicKey, events: Arc<Queue<Event>>, metrics: SignerMetrics) -> Self {
        let seen = Mutex::new(Seen { away: "it was not asked yet".to_owned(), refused: None });
        Self { socket, key, session: None, requests: Queue::default(), events, seen, metrics, mark: Mark::default() }
    }

    /// Asks, without waiting.
    pub fn ask(&self, request: Request) {
        self.requests.push(request);
    }

    /// Ends `run`.
    pub fn close(&self) {
        self.requests.close();
    }

    /// Time since the thread began its present request; `None` while it waits.
    pub fn busy_for(&self) -> Option<Duration> {
        self.mark.busy_for()
    }

    /// Returns the state for operators.
    pub fn note(&self) -> SignerNote {
        let seen = self.seen.lock();
        let refused = seen.refused.as_ref().filter(|(_, at)| at.elapsed() < REFUSED_SHOWN);
        SignerNote { away: seen.away.clone(), refused: refused.map(|(said, _)| said.clone()).unwrap_or_default() }
    }

    /// Connects, asks and connects again until `close`.
    pub fn run(&self) {
        let mut backoff = BACKOFF_MIN;
        loop {
            match self.connect() {
                Ok(client) => {
                    let (open, signed) = self.serve(client);
                    if signed {
                        backoff = BACKOFF_MIN;
                    }
                    if !open {
                        return;
                    }
                }
                Err(error) => self.is_away(&error),
            }
            if !self.pause(backoff) {
                return;
            }
            backoff = (backoff * 2).min(BACKOFF_MAX);
        }
    }

    fn connect(&self) -> Result<Client, ClientError> {
        match self.session {
            // An older signer serves a node of one shard, too.
            None => Client::connect(&self.socket, self.key, PATIENCE),
            Some(session) => Client::connect_shared(&self.socket, self.key, session, PATIENCE),
        }
    }

    /// Waits, and drops what is asked meanwhile. False once it is closed.
    fn pause(&self, backoff: Duration) -> bool {
        let (until, mut dropped) = (Instant::now() + backoff, VecDeque::new());
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            if !self.requests.take(Some(left), &mut dropped) {
                return false;
            }
            dropped.clear();
        }
    }

    fn is_away(&self, error: &ClientError) {
        self.metrics.up.set(0);
        let said = error.to_string();
        let mut seen = self.seen.lock();
        if seen.away != said {
            tracing::warn!(event = "signer_away", code = error.code(), reason = %said);
            seen.away = said;
        }
    }

    /// Serves one connection until it ends: whether the node goes on, and whether anything was signed.
    fn serve(&self, mut client: Client) -> (bool, bool) {
        let (mut asked, mut signed) = (VecDeque::new(), false);
        self.events.push(Event::Signer(SignerEvent::Connected));
        while self.requests.take(Some(IDLE), &mut asked) {
            if asked.is_empty() {
                asked.push_back(Request { id: 0, what: RequestSubject::Ping });
            }
            let (requests, since) = (Vec::from(std::mem::take(&mut asked)), Instant::now());
            self.mark.begin();
            let answers = client.ask(&requests);
            self.mark.end();
            self.metrics.seconds.observe(since.elapsed().as_secs_f64());
            let ended = match answers {
                Ok(answers) => self.tell(&requests, answers, &mut signed),
                Err(error) => Err(error),
            };
            if let Err(error) = ended {
                self.is_away(&error);
                self.events.push(Event::Signer(SignerEvent::Lost));
                return (true, signed);
            }
        }
        (false, signed)
    }

    /// Hands the answers on. Errors: one says that nothing will be signed on this connection.
    fn tell(&self, requests: &[Request], answers: Vec<Answer>, signed: &mut bool) -> Result<(), ClientError> {
        for (request, answer) in requests.iter().zip(answers) {
            match &answer {
                Answer::Signed(_) => *signed = true,
                Answer::Ready(_) => {
                    self.metrics.up.set(1);
                    self.seen.lock().away.clear();
                }
                Answer::Refused(refusal) => self.refused(&request.what, refusal)?,
                Answer::Here => {}
            }
            if !matches!(request.what, RequestSubject::Ping) {
                self.events.push(Event::Signer(SignerEvent::Answer(request.id, answer)));
            }
        }
        Ok(())
    }

    fn refused(&self, what: &RequestSubject, refusal: &Refusal) -> Result<(), ClientError> {
        if *refusal == Refusal::NotShown {
            return Ok(());
        }
        self.metrics.refused.inc();
        let ends = matches!(refusal, Refusal::Unwritten(_) | Refusal::KeyFailed(_) | Refusal::RolledBack(_));
        if ends || matches!(what, RequestSubject::Show(_) | RequestSubject::Ping) {
            return Err(refusal.clone().into());
        }
        // A node that is behind asks for views and epochs that are over: such a refusal is no fault.
        if !matches!(refusal, Refusal::Settled { .. } | Refusal::EpochOver(_)) {
            tracing::warn!(event = "signer_refused", code = refusal.code(), reason = %refusal);
            self.seen.lock().refused = Some((refusal.to_string(), Instant::now()));
        }
        Ok(())
    }
}

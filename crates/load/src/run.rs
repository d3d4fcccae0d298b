//! The load generator: signed puts at intended times, measured from these to the receipt of a final transaction.
//!
//! Open loop, unless the settings have a window: a transaction that is due is sent whether or not earlier answers came,
//! and latency counts from the intended time even if sending was late. Transactions are signed before the clock starts.
//! Each connection owns its accounts. A slot takes its account's lowest transaction that isn't in progress. So a refused
//! one is offered again, as a new slot with its own time, and leaves no gap in the nonces. When a connection breaks, the
//! outstanding transactions are sent again, with the same bytes, to the next node. Their time still counts from the first
//! intended one.
//!
//! *Invariants:* every slot ends in exactly one of finalized, failed, rejected and lost.

use crate::book::{Book, Tally};
use crate::client::{ClientError, QuicClient};
use crate::plan::{self, Plan};
use crate::report::LoadReport;
use crate::{http, quic};
use rustix::time::{ClockId, clock_gettime};
use rustorium_types::{ChainId, PublicKey, ShardId};
use serde::Serialize;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// API that the load uses.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// The QUIC API.
    Quic,
    /// The HTTP API.
    Http,
}

/// A node.
#[derive(Clone)]
pub struct LoadTarget {
    /// Address of the chosen API.
    pub address: SocketAddr,
    /// Key that the node must prove (QUIC).
    pub node_key: PublicKey,
    /// Token, if this node requires one. It is sent to no other node.
    pub token: Option<String>,
    /// The shard that it is sent to for. The node hosts it.
    pub shard: ShardId,
}

/// A funded account.
#[derive(Clone)]
pub struct LoadAccount {
    /// Seed of its key.
    pub seed: [u8; 32],
    /// Home region's byte.
    pub region: u8,
    /// Next nonce.
    pub nonce: u64,
    /// The target that is its home lane's validator.
    pub target: usize,
}

/// Settings of a run.
#[derive(Clone)]
pub struct LoadConfig {
    /// The chain.
    pub chain: ChainId,
    /// The API.
    pub face: Protocol,
    /// The nodes, once for each shard.
    pub targets: Vec<LoadTarget>,
    /// The senders.
    pub accounts: Vec<LoadAccount>,
    /// Transactions per second.
    pub rate_per_s: u32,
    /// Duration of the run.
    pub seconds: u32,
    /// Bytes of each value.
    pub value_bytes: usize,
    /// Declared work of each transaction.
    pub work_limit: u64,
    /// Connections to each node: few over QUIC; over HTTP as many as there should be requests in progress.
    pub connections: usize,
    /// Transactions of a connection that may wait for their results at once, if that is limited. What is due beyond that
    /// is sent later, and its latency still counts from the intended time; what isn't sent within `seconds` never is.
    pub window: Option<usize>,
    /// Maximum wait for the last results.
    pub drain: Duration,
    /// Makes keys differ from another run's.
    pub salt: u64,
    /// Makes values differ from another run's.
    pub value_salt: u64,
    /// Expiry of the transactions, from now on.
    pub expires_in: Duration,
    /// The clock: Unix ms now.
    pub now_ms: u64,
}

/// Reason why there is no report.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A setting makes no sense.
    #[error("{0}")]
    Setting(&'static str),
    /// No connection.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// No connection over HTTP.
    #[error("no connection to {address}: {what}; check that the node runs")]
    Http {
        /// The node.
        address: SocketAddr,
        /// The failure.
        what: String,
    },
    /// A node serves another chain.
    #[error("{address} serves chain {chain}; take the genesis and the nodes of one chain")]
    WrongChain {
        /// The node.
        address: SocketAddr,
        /// Chain of the node.
        chain: ChainId,
    },
    /// Threads or the runtime failed.
    #[error("the load generator could not run: {0}")]
    Runtime(String),
}

/// Most transactions of a run: they are kept signed in memory.
const TRANSACTIONS_MAX: u64 = 20_000_000;

impl LoadConfig {
    /// Returns the target after this one for the same shard.
    pub(crate) fn next_target(&self, target: usize) -> usize {
        let others = (target + 1..self.targets.len()).chain(0..target);
        let shard = |target: usize| self.targets[target].shard;
        others.into_iter().find(|other| shard(*other) == shard(target)).unwrap_or(target)
    }
}

fn check(config: &LoadConfig) -> Result<(), LoadError> {
    let targets = config.targets.len();
    let wrong = if targets == 0 {
        "there is no node to send to"
    } else if config.accounts.is_empty() {
        "there is no funded account to send from"
    } else if config.accounts.iter().any(|account| account.target >= targets) {
        "an account names a node that isn't in the list"
    } else if config.rate_per_s == 0 || config.seconds == 0 || config.connections == 0 || config.window == Some(0) {
        "rate, seconds, connections and window are at least 1"
    } else if u64::from(config.rate_per_s) * u64::from(config.seconds) > TRANSACTIONS_MAX {
        "rate times seconds is more than 20,000,000; take a shorter run"
    } else if config.value_bytes > rustorium_types::limits::VALUE_BYTES_MAX {
        "a value has at most 65,536 bytes"
    } else {
        return Ok(());
    };
    Err(LoadError::Setting(wrong))
}

/// Sends the load and returns the report. Blocks; the work runs on its own threads.
pub fn run(config: &LoadConfig) -> Result<LoadReport, LoadError> {
    check(config)?;
    let runtime = |error: std::io::Error| LoadError::Runtime(error.to_string());
    let started = Instant::now();
    let plans = plan::make(config);
    let signing = started.elapsed();
    std::thread::scope(|scope| {
        let driver = std::thread::Builder::new().name("load".to_owned()).spawn_scoped(scope, || {
            let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(runtime)?;
            tokio.block_on(drive(config, plans, signing))
        });
        driver.map_err(runtime)?.join().map_err(|_| LoadError::Runtime("a thread ended early".to_owned()))?
    })
}

fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// State that the workers of a run share.
pub(crate) struct Run {
    pub(crate) config: LoadConfig,
    pub(crate) start: Instant,
    /// End of waiting for results.
    pub(crate) deadline: Instant,
}

impl Run {
    pub(crate) fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Tells if nothing more is sent: the run has a window, and its time is over.
    pub(crate) fn is_over(&self, now_us: u64) -> bool {
        self.config.window.is_some() && now_us >= 1_000_000 * u64::from(self.config.seconds)
    }
}

pub(crate) enum Link {
    Quic(Box<QuicClient>),
    Http(http::HttpLink),
}

pub(crate) async fn connect(config: &LoadConfig, target: usize) -> Result<Link, LoadError> {
    let LoadTarget { address, node_key, token, shard } = &config.targets[target];
    let token = token.as_deref();
    match config.face {
        Protocol::Http => Ok(Link::Http(http::HttpLink::connect(*address, token, *shard).await?)),
        Protocol::Quic => {
            let client = QuicClient::connect(*address, node_key, token).await?;
            if client.chain != config.chain {
                return Err(LoadError::WrongChain { address: *address, chain: client.chain });
            }
            Ok(Link::Quic(Box::new(client)))
        }
    }
}

async fn drive(config: &LoadConfig, plans: Vec<Plan>, signing: Duration) -> Result<LoadReport, LoadError> {
    let mut links = Vec::new();
    for plan in &plans {
        links.push(connect(config, plan.target).await?);
    }
    let cpu = cpu_time();
    let start = Instant::now();
    let deadline = start + Duration::from_secs(u64::from(config.seconds)) + config.drain;
    let run = Arc::new(Run { config: config.clone(), start, deadline });
    let (mut workers, mut wakes) = (JoinSet::new(), Vec::new());
    for (plan, link) in plans.into_iter().zip(links) {
        let wake = Arc::new(Notify::new());
        wakes.push(wake.clone());
        let book = Book::new(plan);
        match link {
            Link::Quic(client) => workers.spawn(quic::work(run.clone(), *client, book, wake)),
            Link::Http(link) => workers.spawn(http::work(run.clone(), link, book, wake)),
        };
    }
    let stop = Arc::new(AtomicBool::new(false));
    let pacer = pace(&run, wakes, stop.clone()).map_err(|error| LoadError::Runtime(error.to_string()))?;
    let mut tally = Tally::default();
    while let Some(ended) = workers.join_next().await {
        tally.merge(ended.map_err(|error| LoadError::Runtime(error.to_string()))?);
    }
    stop.store(true, Ordering::Relaxed);
    pacer.join().map_err(|_| LoadError::Runtime("the pacing thread ended early".to_owned()))?;
    Ok(LoadReport::new(config, tally, cpu_time().saturating_sub(cpu), signing))
}

/// Shortest time between two wakes: what is due within it leaves together.
const TICK: Duration = Duration::from_micros(500);

/// Wakes the workers when something is due, from a thread of its own: the runtime's timers are no finer than 1 ms.
fn pace(
    run: &Arc<Run>,
    wakes: Vec<Arc<Notify>>,
    stop: Arc<AtomicBool>,
) -> std::io::Result<std::thread::JoinHandle<()>> {
    let run = run.clone();
    let pacer = move || {
        let rate = u128::from(run.config.rate_per_s);
        let slots = rate * u128::from(run.config.seconds);
        let mut slot = 0u128;
        while slot < slots && !stop.load(Ordering::Relaxed) {
            let due = Duration::from_micros(u64::try_from(slot * 1_000_000 / rate).unwrap_or(u64::MAX));
            let now = run.start.elapsed();
            if due > now {
                std::thread::sleep(due - now);
            } else {
                std::thread::sleep(TICK);
            }
            for wake in &wakes {
                wake.notify_one();
            }
            slot = run.start.elapsed().as_micros() * rate / 1_000_000 + 1;
        }
        // The last slots, whichever rounding the loop ended with.
        wakes.iter().for_each(|wake| wake.notify_one());
        if run.config.window.is_some() {
            // The workers give up at the end what was not sent.
            let end = Duration::from_secs(u64::from(run.config.seconds));
            std::thread::sleep(end.saturating_sub(run.start.elapsed()));
            wakes.iter().for_each(|wake| wake.notify_one());
        }
    };
    std::thread::Builder::new().name("load-pace".to_owned()).spawn(pacer)
}

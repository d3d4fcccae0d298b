//! What all routes share.

use super::limits::{HttpLimits, JSON_BODY_BYTES_MAX};
use super::problem::Problem;
use super::room::Answers;
use super::sites::Sites;
use crate::backend::Backend;
use crate::final_block::FinalBlocks;
use crate::gate::Gate;
use crate::metrics::GatewayMetrics;
use axum::extract::State;
use rustorium_api::Code;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

const TIMEOUT_MS_DEFAULT: u64 = 10_000;

/// State that all routes share.
pub struct App {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) limits: HttpLimits,
    pub(crate) metrics: GatewayMetrics,
    pub(crate) bodies: Arc<Semaphore>,
    pub(crate) answers: Arc<Answers>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) blocks: FinalBlocks,
    pub(crate) sites: Arc<Sites>,
    pub(crate) closing: watch::Receiver<bool>,
}

pub(crate) type Shared = State<Arc<App>>;

impl App {
    /// Creates the state from a node, its gate and limits. Event streams end when `closing` turns true.
    pub fn new(
        backend: Arc<dyn Backend>,
        gate: Arc<Gate>,
        limits: HttpLimits,
        metrics: GatewayMetrics,
        closing: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let bodies = limits.body_bytes_in_flight_max.clamp(JSON_BODY_BYTES_MAX, Semaphore::MAX_PERMITS);
        let bodies = Arc::new(Semaphore::new(bodies));
        let streams = Arc::new(Semaphore::new(limits.event_streams_max));
        let (answers, blocks) = (Arc::new(Answers::new(&limits.answers, metrics.clone())), FinalBlocks::default());
        let sites = Arc::new(Sites::new(gate.rules()));
        Arc::new(Self { backend, gate, limits, metrics, bodies, answers, streams, blocks, sites, closing })
    }

    /// Returns the state for another shard of the same process. Both share all bounds but the kept blocks.
    pub(super) fn for_shard(&self, backend: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self {
            backend,
            gate: self.gate.clone(),
            limits: self.limits.clone(),
            metrics: self.metrics.clone(),
            bodies: self.bodies.clone(),
            answers: self.answers.clone(),
            streams: self.streams.clone(),
            blocks: FinalBlocks::default(),
            sites: self.sites.clone(),
            closing: self.closing.clone(),
        })
    }

    /// Returns the time for which a request may wait, from what it asks for.
    pub(super) fn timeout(&self, timeout_ms: Option<u64>) -> Result<Duration, Problem> {
        let max = self.limits.wait_ms_max;
        match timeout_ms.unwrap_or(TIMEOUT_MS_DEFAULT.min(max)) {
            ms if (1..=max).contains(&ms) => Ok(Duration::from_millis(ms)),
            ms => Err(Problem::new(Code::BadQuery, format!("`timeout_ms` is 1 to {max}, not {ms}."))),
        }
    }
}

//! Metrics of the pool of proofs.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

/// Metrics of the pool.
pub struct ProofMetrics {
    pub(super) waiting: Gauge,
    pub(super) asked: Counter,
    pub(super) cache_hits: Counter,
    pub(super) busy: Counter,
    made: Counter,
    keys: Counter,
    answered: Counter,
    time: Histogram,
}

impl Default for ProofMetrics {
    fn default() -> Self {
        Self {
            waiting: Gauge::default(),
            asked: Counter::default(),
            cache_hits: Counter::default(),
            busy: Counter::default(),
            made: Counter::default(),
            keys: Counter::default(),
            answered: Counter::default(),
            time: Histogram::new(exponential_buckets(0.002, 2.0, 10)),
        }
    }
}

impl ProofMetrics {
    /// Adds the metrics to a registry.
    #[must_use]
    pub fn register(self, registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("rustorium_proofs");
        registry.register("waiting", "Requests waiting for a state proof", self.waiting.clone());
        registry.register("asked", "Requests for a state proof", self.asked.clone());
        registry.register("cache_hits", "Requests answered from the proof cache", self.cache_hits.clone());
        registry.register("busy", "Requests refused or expired because the proof pool was full", self.busy.clone());
        registry.register("made", "State proofs computed", self.made.clone());
        registry.register("keys", "Keys in the computed proofs", self.keys.clone());
        registry.register("answered", "Requests answered by the computed proofs", self.answered.clone());
        registry.register("seconds", "Time to compute a state proof", self.time.clone());
        self
    }

    pub(super) fn made(&self, keys: usize, asks: usize, took: Duration) {
        self.made.inc();
        self.keys.inc_by(keys as u64);
        self.answered.inc_by(asks as u64);
        self.time.observe(took.as_secs_f64());
    }

    /// Returns the number of proofs made, and of questions that they answered.
    pub fn made_and_answered(&self) -> (u64, u64) {
        (self.made.get(), self.answered.get())
    }
}

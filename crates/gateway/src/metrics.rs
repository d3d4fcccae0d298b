//! The gateway's own counters, for the node's one registry.

use crate::gate::{AccessDenied, Scope};
use crate::tls::HandshakeFailure;
use crate::tls::Validity;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::Duration;

/// API that a client uses.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct ApiLabel {
    face: &'static str,
}

/// A response's status class.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct StatusLabel {
    status: u16,
}

/// Reason of a denied request.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct DeniedLabel {
    face: &'static str,
    reason: &'static str,
}

/// Reason of a failed TLS handshake.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct FailureLabel {
    reason: &'static str,
}

/// Route and status of an HTTP request.
#[derive(Clone, PartialEq, Eq, Hash, Debug, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

/// Counters; clones share them.
#[derive(Clone, Debug)]
pub struct GatewayMetrics {
    responses: Family<StatusLabel, Counter>,
    submitted: Family<ApiLabel, Counter>,
    busy: Family<ApiLabel, Counter>,
    refused_connections: Family<ApiLabel, Counter>,
    unauthorized: Family<DeniedLabel, Counter>,
    address_proofs: Counter,
    connections: Family<ApiLabel, Gauge>,
    event_streams: Gauge,
    answer_bytes: Gauge,
    refused_answers: Counter,
    handshake_failures: Family<FailureLabel, Counter>,
    certificates: Family<ApiLabel, Gauge>,
    times: Family<KindLabel, Histogram, fn() -> Histogram>,
}

impl Default for GatewayMetrics {
    fn default() -> Self {
        let times: fn() -> Histogram = || Histogram::new(exponential_buckets(0.000_1, 2.0, 18));
        let metrics = Self {
            responses: Family::default(),
            submitted: Family::default(),
            busy: Family::default(),
            refused_connections: Family::default(),
            unauthorized: Family::default(),
            address_proofs: Counter::default(),
            connections: Family::default(),
            event_streams: Gauge::default(),
            answer_bytes: Gauge::default(),
            refused_answers: Counter::default(),
            handshake_failures: Family::default(),
            certificates: Family::default(),
            times: Family::new_with_constructor(times),
        };
        // Series that are known beforehand exist from the start with 0, so rates and alerts see the first event too.
        for face in [HTTP, QUIC] {
            drop(metrics.submitted.get_or_create(&ApiLabel { face }));
            drop(metrics.busy.get_or_create(&ApiLabel { face }));
            drop(metrics.refused_connections.get_or_create(&ApiLabel { face }));
            drop(metrics.connections.get_or_create(&ApiLabel { face }));
            for reason in [
                AccessDenied::Missing,
                AccessDenied::Unknown,
                AccessDenied::Expired,
                AccessDenied::Scope(Scope::Submit),
            ] {
                drop(metrics.unauthorized.get_or_create(&DeniedLabel { face, reason: reason.code() }));
            }
        }
        for kind in [SUBMIT, READ] {
            drop(metrics.times.get_or_create(&KindLabel { kind }));
        }
        for failure in HandshakeFailure::ALL {
            drop(metrics.handshake_failures.get_or_create(&FailureLabel { reason: failure.name() }));
        }
        for status in [200, 503] {
            drop(metrics.responses.get_or_create(&StatusLabel { status }));
        }
        metrics
    }
}

/// A submission, which may wait until it is final.
const SUBMIT: &str = "submit";
/// Any other request.
const READ: &str = "read";

/// The HTTP API's label value.
pub(crate) const HTTP: &str = "http";
/// The QUIC API's label value.
pub(crate) const QUIC: &str = "quic";

impl GatewayMetrics {
    /// Adds the counters to `registry` under `rustorium_gateway_…`.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("rustorium_gateway");
        registry.register("http_responses", "HTTP responses by status", self.responses.clone());
        registry.register(
            "http_seconds",
            "Time from an HTTP request to the first byte of its response",
            self.times.clone(),
        );
        registry.register("submitted_transactions", "Transactions submitted by clients", self.submitted.clone());
        registry.register("busy_transactions", "Transactions refused as busy (pool full)", self.busy.clone());
        registry.register(
            "refused_connections",
            "Client connections refused because of a connection limit",
            self.refused_connections.clone(),
        );
        registry.register(
            "unauthorized",
            "Requests and connections refused because they lack a valid token with the needed scope",
            self.unauthorized.clone(),
        );
        registry.register(
            "address_proofs",
            "QUIC connection attempts that first had to prove their address (Retry)",
            self.address_proofs.clone(),
        );
        registry.register("connections", "Open client connections", self.connections.clone());
        registry.register("event_streams", "Open event streams", self.event_streams.clone());
        registry.register(
            "answer_bytes",
            "Bytes of HTTP responses in memory that clients have not received yet",
            self.answer_bytes.clone(),
        );
        registry.register(
            "refused_answers",
            "HTTP requests refused because too many response bytes were in flight",
            self.refused_answers.clone(),
        );
        registry.register(
            "handshake_failures",
            "TLS handshakes that failed, by reason",
            self.handshake_failures.clone(),
        );
        registry.register(
            "certificate_expiry_timestamp_seconds",
            "Unix time at which the TLS certificate in use expires; absent without TLS",
            self.certificates.clone(),
        );
    }

    pub(crate) fn handshake_failed(&self, failure: HandshakeFailure) {
        self.handshake_failures.get_or_create(&FailureLabel { reason: failure.name() }).inc();
    }

    pub(crate) fn certificate(&self, validity: Validity) {
        let ends_s = i64::try_from(validity.ends_ms / 1_000).unwrap_or(i64::MAX);
        self.certificates.get_or_create(&ApiLabel { face: HTTP }).set(ends_s);
    }

    pub(crate) fn response(&self, status: u16, submission: bool, took: Duration) {
        let kind = if submission { SUBMIT } else { READ };
        self.times.get_or_create(&KindLabel { kind }).observe(took.as_secs_f64());
        self.responses.get_or_create(&StatusLabel { status }).inc();
    }

    pub(crate) fn submitted(&self, face: &'static str, transactions: usize) {
        self.submitted.get_or_create(&ApiLabel { face }).inc_by(transactions as u64);
    }

    pub(crate) fn busy(&self, face: &'static str, transactions: usize) {
        self.busy.get_or_create(&ApiLabel { face }).inc_by(transactions as u64);
    }

    pub(crate) fn refused_connection(&self, face: &'static str) {
        self.refused_connections.get_or_create(&ApiLabel { face }).inc();
    }

    pub(crate) fn unauthorized(&self, face: &'static str, reason: &'static str) {
        self.unauthorized.get_or_create(&DeniedLabel { face, reason }).inc();
    }

    pub(crate) fn address_proof(&self) {
        self.address_proofs.inc();
    }

    pub(crate) fn connection(&self, face: &'static str) -> OpenCount {
        OpenCount::new(self.connections.get_or_create(&ApiLabel { face }).clone())
    }

    pub(crate) fn answer(&self) -> AnswerBytes {
        AnswerBytes { gauge: self.answer_bytes.clone(), bytes: 0 }
    }

    pub(crate) fn refused_answer(&self) {
        self.refused_answers.inc();
    }

    pub(crate) fn event_stream(&self) -> OpenCount {
        OpenCount::new(self.event_streams.clone())
    }
}

/// Counts something as open until it is dropped.
#[derive(Debug)]
pub(crate) struct OpenCount(Gauge);

impl OpenCount {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for OpenCount {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Counts the bytes of an answer until it is dropped.
#[derive(Debug)]
pub(crate) struct AnswerBytes {
    gauge: Gauge,
    bytes: i64,
}

impl AnswerBytes {
    /// Sets the bytes of the answer.
    pub(crate) fn set(&mut self, bytes: usize) {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.gauge.inc_by(bytes - self.bytes);
        self.bytes = bytes;
    }
}

impl Drop for AnswerBytes {
    fn drop(&mut self) {
        self.gauge.dec_by(self.bytes);
    }
}

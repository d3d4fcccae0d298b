//! Limits of the HTTP API.

use rustorium_transport::handshakes::HandshakeLimits;
use rustorium_types::limits::SUBMISSION_BYTES_MAX;
use std::time::Duration;

/// Time for requests in progress to end after `close`.
pub(super) const CLOSE_GRACE: Duration = Duration::from_secs(3);

/// Maximum bytes of a submission's body: 1 MiB of transactions and the overhead of its format.
pub(super) const BINARY_BODY_BYTES_MAX: usize = SUBMISSION_BYTES_MAX + 8 * 1024;
pub(super) const JSON_BODY_BYTES_MAX: usize = 2 * SUBMISSION_BYTES_MAX + 64 * 1024;

/// Limits of the HTTP API.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Open connections.
    pub connections_max: usize,
    /// Open connections of one address.
    pub connections_per_address_max: usize,
    /// TLS handshakes.
    pub handshakes: HandshakeLimits,
    /// Time limit of a TLS handshake.
    pub handshake_timeout: Duration,
    /// HTTP/2.
    pub http_2: Http2Limits,
    /// Open event streams.
    pub event_streams_max: usize,
    /// Bytes of request bodies that are read or decoded at the same time.
    pub body_bytes_in_flight_max: usize,
    /// Time limit for a request's body to arrive.
    pub body_timeout: Duration,
    /// Time limit for a request's head to arrive, and for an idle connection.
    pub head_timeout: Duration,
    /// Time after which a client that takes no byte of an answer is disconnected.
    pub write_stall_timeout: Duration,
    /// Time after which a client that hasn't taken everything that waits for it is disconnected, however much it took
    /// meanwhile.
    pub write_timeout: Duration,
    /// Limits of answers that clients haven't taken yet.
    pub answers: AnswerLimits,
    /// Number of blocks that an up-to-date event stream may fall behind.
    pub event_lag_blocks_max: u64,
    /// Longest silence on an event stream.
    pub keep_alive: Duration,
    /// Longest `timeout_ms`.
    pub wait_ms_max: u64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 4_096,
            connections_per_address_max: 1_024,
            // The largest key in use (RSA, 4096 bits) costs less than half a thread at that rate (docs/adr/0037).
            handshakes: HandshakeLimits { open_max: 4_096, open_per_site_max: 128, per_site_per_s: 100, burst: 512 },
            handshake_timeout: Duration::from_secs(10),
            http_2: Http2Limits::default(),
            event_streams_max: 512,
            body_bytes_in_flight_max: 64 * 1024 * 1024,
            body_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(75),
            write_stall_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(60),
            answers: AnswerLimits::default(),
            event_lag_blocks_max: 1_024,
            keep_alive: Duration::from_secs(15),
            wait_ms_max: 60_000,
        }
    }
}

/// Limits of answers that clients haven't taken yet.
#[derive(Clone, Debug)]
pub struct AnswerLimits {
    /// Bytes of answers to reads.
    pub bytes_max: usize,
    /// Bytes of answers to reads of one address.
    pub bytes_per_address_max: usize,
    /// Bytes of answers to submissions. They have their own bound, so that readers can't keep writers out.
    pub result_bytes_max: usize,
    /// Bytes of answers to submissions of one address.
    pub result_bytes_per_address_max: usize,
    /// Number of concurrent reads on their own threads.
    pub reads_max: usize,
    /// Number of concurrent reads for one address.
    pub reads_per_address_max: usize,
    /// Longest wait for room.
    pub room_timeout: Duration,
    /// Bytes of JSON after which a page of a listing ends.
    pub page_bytes_max: usize,
}

impl Default for AnswerLimits {
    fn default() -> Self {
        Self {
            bytes_max: 32 * 1024 * 1024,
            bytes_per_address_max: 10 * 1024 * 1024,
            result_bytes_max: 16 * 1024 * 1024,
            result_bytes_per_address_max: 8 * 1024 * 1024,
            reads_max: 16,
            reads_per_address_max: 4,
            room_timeout: Duration::from_secs(5),
            page_bytes_max: 1024 * 1024,
        }
    }
}

/// Bounds of HTTP/2.
#[derive(Clone, Copy, Debug)]
pub struct Http2Limits {
    /// Open connections that speak HTTP/2. Further ones are offered HTTP/1.1.
    pub connections_max: usize,
    /// Open connections that speak HTTP/2, for one address.
    pub connections_per_address_max: usize,
    /// Requests in progress on one connection.
    pub streams_max: u32,
    /// Bytes of unread request bodies that a connection may have sent.
    pub window_bytes: u32,
    /// Bytes of a request's head.
    pub head_bytes_max: u32,
    /// Number of requests that a client may withdraw before they were looked at. One more ends the connection.
    pub resets_max: usize,
}

impl Default for Http2Limits {
    fn default() -> Self {
        Self {
            // One address may have as many requests at a time as it may have connections of HTTP/1.1.
            connections_max: 512,
            connections_per_address_max: 64,
            streams_max: 16,
            window_bytes: 64 * 1024,
            head_bytes_max: 16 * 1024,
            resets_max: 16,
        }
    }
}

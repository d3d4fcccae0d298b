//! Errors as clients see them: RFC 9457 problem details with a stable code each.
//!
//! *Invariants:* a code never changes its meaning; bad input is never a 500.

use crate::backend::{At, BackendError};
use crate::gate::Denied;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

const CONTENT_TYPE: &str = "application/problem+json";

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal;)*) => {
        /// What went wrong; the name in `code`, the HTTP status and the title follow from it.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// A short title, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// A token is needed and none was given.
    TokenMissing = "token_missing", UNAUTHORIZED, "A token is needed";
    /// The token is none that this node takes.
    TokenUnknown = "token_unknown", UNAUTHORIZED, "The token is not known";
    /// The token's time is over.
    TokenExpired = "token_expired", UNAUTHORIZED, "The token has expired";
    /// The token is good for less.
    TokenScope = "token_scope", FORBIDDEN, "The token is not good for this";
    /// The request names another host.
    HostNotAllowed = "host-not-allowed", MISDIRECTED_REQUEST, "This node isn't known by that name";
    /// A page of another site asks.
    OriginNotAllowed = "origin-not-allowed", FORBIDDEN, "Pages of other sites may not ask this";
    /// A request without TLS, where TLS is spoken.
    TlsNeeded = "tls-needed", BAD_REQUEST, "This node speaks TLS here";
    /// A query parameter is unknown or has a bad value.
    BadQuery = "bad_query", BAD_REQUEST, "A query parameter is unknown or has a bad value";
    /// A part of the path does not parse.
    BadPath = "bad_path", BAD_REQUEST, "A part of the path does not parse";
    /// An address does not parse.
    BadAddress = "bad_address", BAD_REQUEST, "Not an account address";
    /// An id or digest does not parse.
    BadHex = "bad_hex", BAD_REQUEST, "Not the right number of hex digits";
    /// A key in the path does not parse.
    BadKey = "bad_key", BAD_REQUEST, "Not a key";
    /// A paging cursor does not parse.
    BadCursor = "bad_cursor", BAD_REQUEST, "Not a paging cursor of this API";
    /// `Last-Event-ID` does not parse.
    BadEventId = "bad_event_id", BAD_REQUEST, "Not an event id of this API";
    /// An event filter does not parse.
    BadFilter = "bad_filter", BAD_REQUEST, "Not an event filter";
    /// A request body does not parse.
    BadBody = "bad_body", BAD_REQUEST, "The request body does not parse";
    /// A submission without transactions.
    NoTransactions = "no_transactions", BAD_REQUEST, "There is no transaction in the request";
    /// A submission with too many transactions.
    TooManyTransactions = "too_many_transactions", PAYLOAD_TOO_LARGE, "Too many transactions in one request";
    /// A request body over the limit.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "The request body is too large";
    /// A request body that came too slowly.
    BodyTooSlow = "body_too_slow", REQUEST_TIMEOUT, "The request body came too slowly";
    /// A media type that isn't taken.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "This media type is not taken here";
    /// No such path.
    UnknownRoute = "unknown_route", NOT_FOUND, "There is no such path";
    /// The path exists, the method doesn't.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "This path has no such method";
    /// Not a WebSocket handshake.
    NotAWebSocket = "not_a_websocket", BAD_REQUEST, "This path takes WebSocket handshakes only";
    /// No such transaction.
    TransactionNotFound = "transaction_not_found", NOT_FOUND, "This node knows no such transaction";
    /// No such account.
    AccountNotFound = "account_not_found", NOT_FOUND, "There is no such account";
    /// The key has no value.
    KeyNotFound = "key_not_found", NOT_FOUND, "The key has no value";
    /// No such pool.
    PoolNotFound = "pool_not_found", NOT_FOUND, "This chain has no such pool";
    /// No such block.
    BlockNotFound = "block_not_found", NOT_FOUND, "This node holds no such final block";
    /// A list of things to prove is empty, too long, or names one twice.
    BadSubjects = "bad_subjects", BAD_REQUEST, "Not a list of things to prove";
    /// State proofs need a state root.
    NoStateRoot = "no_state_root", CONFLICT, "This chain makes no state roots";
    /// No certified root is new enough.
    NotProvenYet = "not_proven_yet", SERVICE_UNAVAILABLE, "That state is not certified yet";
    /// The root of that height isn't kept.
    ProofPruned = "proof_pruned", GONE, "The state root of that height is not kept";
    /// That height isn't kept.
    Pruned = "pruned", GONE, "That height is not kept";
    /// That height isn't executed yet.
    HeightAhead = "height_ahead", NOT_FOUND, "That height is not executed yet";
    /// The values are too large for one proof.
    ProofTooLarge = "proof_too_large", PAYLOAD_TOO_LARGE, "The values are too large for one proof";
    /// All transactions of the request were refused, for different reasons.
    TransactionsRefused = "transactions_refused", UNPROCESSABLE_ENTITY, "All transactions were refused";
    /// Too much is under way.
    Busy = "busy", SERVICE_UNAVAILABLE, "The node is busy";
    /// Too many connections or streams of one client.
    TooManyStreams = "too_many_streams", TOO_MANY_REQUESTS, "Too many event streams are open";
    /// A part of the node is not running.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "The node can't answer now";
    /// Not synced, or no quorum seen.
    NotReady = "not_ready", SERVICE_UNAVAILABLE, "The node is not ready";
    /// Stored data could not be read.
    Storage = "storage", INTERNAL_SERVER_ERROR, "Stored data could not be read";
}

/// When a client asks again for a root that wasn't certified in time.
const NOT_PROVEN_RETRY_MS: u64 = 500;

/// One problem: becomes an `application/problem+json` response.
#[derive(Clone, PartialEq, Debug)]
pub struct Problem {
    code: &'static str,
    status: StatusCode,
    title: &'static str,
    detail: String,
    retry_after_ms: Option<u64>,
    more: Map<String, Value>,
}

impl Problem {
    /// A problem; `detail` is one sentence that says what is wrong and what to do.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code: code.name(),
            status: code.status(),
            title: code.title(),
            detail: detail.into(),
            retry_after_ms: None,
            more: Map::new(),
        }
    }

    /// A refused submission, with the reason's own code.
    pub fn refused(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, ..Self::new(Code::TransactionsRefused, detail) }
    }

    /// Busy, with the time to wait.
    pub fn busy(retry_after_ms: u64) -> Self {
        let detail = format!("The node is busy; try again in {retry_after_ms} ms or at another node.");
        Self::new(Code::Busy, detail).retry_after(retry_after_ms)
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after(mut self, retry_after_ms: u64) -> Self {
        self.retry_after_ms = Some(retry_after_ms);
        self
    }

    /// Adds a member.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    /// Says where a negative answer about state holds.
    #[must_use]
    pub fn at(self, shard: u32, at: At) -> Self {
        self.with("at", json!({ "shard": shard, "height": at.height, "root": at.root }))
    }

    /// The code.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// A whole HTTP/1.1 answer, for connections that are closed before a server has them.
    pub(crate) fn to_http_1(&self) -> String {
        let (status, body) = (self.status, self.body());
        let retry = self.retry_after_s().map_or(String::new(), |seconds| format!("retry-after: {seconds}\r\n"));
        let length = body.len();
        format!(
            "HTTP/1.1 {status}\r\ncontent-type: {CONTENT_TYPE}\r\n{retry}connection: close\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
    }

    fn body(&self) -> String {
        let mut body = self.more.clone();
        body.insert("type".into(), json!(format!("urn:rustorium:problem:{}", self.code)));
        body.insert("code".into(), json!(self.code));
        body.insert("title".into(), json!(self.title));
        body.insert("status".into(), json!(self.status.as_u16()));
        body.insert("detail".into(), json!(self.detail));
        if let Some(ms) = self.retry_after_ms {
            body.insert("retry_after_ms".into(), json!(ms));
        }
        Value::Object(body).to_string()
    }

    fn retry_after_s(&self) -> Option<u64> {
        self.retry_after_ms.map(|ms| ms.div_ceil(1_000).max(1))
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let code = match denied {
            Denied::Missing => Code::TokenMissing,
            Denied::Unknown => Code::TokenUnknown,
            Denied::Expired => Code::TokenExpired,
            Denied::Scope(_) => Code::TokenScope,
        };
        Self::new(code, denied.sentence())
    }
}

impl From<BackendError> for Problem {
    fn from(error: BackendError) -> Self {
        let detail = error.to_string();
        match error {
            BackendError::Busy { retry_after_ms } => Self::busy(retry_after_ms),
            BackendError::NoStateRoots => Self::new(Code::NoStateRoot, detail),
            BackendError::NotProvenYet { newest, .. } => {
                Self::new(Code::NotProvenYet, detail).with("newest", json!(newest)).retry_after(NOT_PROVEN_RETRY_MS)
            }
            BackendError::ProofPruned { nearest, .. } => {
                Self::new(Code::ProofPruned, detail).with("nearest", json!(nearest))
            }
            BackendError::Pruned { oldest, .. } => Self::new(Code::Pruned, detail).with("oldest", json!(oldest)),
            BackendError::Ahead { tip, .. } => Self::new(Code::HeightAhead, detail).with("tip", json!(tip)),
            BackendError::ProofTooLarge { .. } => Self::new(Code::ProofTooLarge, detail),
            BackendError::Unavailable(_) => Self::new(Code::Unavailable, error.to_string()).retry_after(1_000),
            BackendError::Storage(_) => {
                tracing::error!(event = "storage_unreadable", %error, "a read failed");
                Self::new(Code::Storage, error.to_string())
            }
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.body()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_s() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

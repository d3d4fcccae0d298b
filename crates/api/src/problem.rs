//! Problem codes: the stable name of each kind of error, with its HTTP status and title.
//!
//! *Invariants:* a code never changes its meaning; bad input is never a 500.

/// HTTP statuses that problems have.
mod status {
    pub(super) const BAD_REQUEST: u16 = 400;
    pub(super) const UNAUTHORIZED: u16 = 401;
    pub(super) const FORBIDDEN: u16 = 403;
    pub(super) const NOT_FOUND: u16 = 404;
    pub(super) const METHOD_NOT_ALLOWED: u16 = 405;
    pub(super) const REQUEST_TIMEOUT: u16 = 408;
    pub(super) const CONFLICT: u16 = 409;
    pub(super) const GONE: u16 = 410;
    pub(super) const PAYLOAD_TOO_LARGE: u16 = 413;
    pub(super) const UNSUPPORTED_MEDIA_TYPE: u16 = 415;
    pub(super) const MISDIRECTED_REQUEST: u16 = 421;
    pub(super) const UNPROCESSABLE_ENTITY: u16 = 422;
    pub(super) const TOO_MANY_REQUESTS: u16 = 429;
    pub(super) const INTERNAL_SERVER_ERROR: u16 = 500;
    pub(super) const SERVICE_UNAVAILABLE: u16 = 503;
}

/// Returns a code in its present spelling. Nodes of 0.1.0 joined the words by underscores, and clients understand those
/// codes for one release.
pub fn spelled(code: &str) -> String {
    code.replace('_', "-")
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal;)*) => {
        /// Kind of error. It determines the stable name in `code`, the HTTP status and the title.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the stable name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// Returns the HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => status::$status,)* }
            }

            /// Returns a short title, the same for every occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// A token is needed and none was given.
    TokenMissing = "token-missing", UNAUTHORIZED, "A token is needed";
    /// This node doesn't know the token.
    TokenUnknown = "token-unknown", UNAUTHORIZED, "The token is not known";
    /// The token has expired.
    TokenExpired = "token-expired", UNAUTHORIZED, "The token has expired";
    /// The token's scope is too small.
    TokenScope = "token-scope", FORBIDDEN, "The token is not good for this";
    /// The request names another host.
    HostNotAllowed = "host-not-allowed", MISDIRECTED_REQUEST, "This node isn't known by that name";
    /// A page of another site asks.
    OriginNotAllowed = "origin-not-allowed", FORBIDDEN, "Pages of other sites may not ask this";
    /// The request came without TLS, though this address speaks TLS.
    TlsNeeded = "tls-needed", BAD_REQUEST, "This node speaks TLS here";
    /// A query parameter is unknown or has a bad value.
    BadQuery = "bad-query", BAD_REQUEST, "A query parameter is unknown or has a bad value";
    /// A part of the path does not parse.
    BadPath = "bad-path", BAD_REQUEST, "A part of the path does not parse";
    /// An address does not parse.
    BadAddress = "bad-address", BAD_REQUEST, "Not an account address";
    /// An id or digest does not parse.
    BadHex = "bad-hex", BAD_REQUEST, "Not the right number of hex digits";
    /// A key in the path does not parse.
    BadKey = "bad-key", BAD_REQUEST, "Not a key";
    /// A paging cursor does not parse.
    BadCursor = "bad-cursor", BAD_REQUEST, "Not a paging cursor of this API";
    /// `Last-Event-ID` does not parse.
    BadEventId = "bad-event-id", BAD_REQUEST, "Not an event id of this API";
    /// An event filter does not parse.
    BadFilter = "bad-filter", BAD_REQUEST, "Not an event filter";
    /// A request body does not parse.
    BadBody = "bad-body", BAD_REQUEST, "The request body does not parse";
    /// The submission has no transactions.
    NoTransactions = "no-transactions", BAD_REQUEST, "There is no transaction in the request";
    /// The submission has too many transactions.
    TooManyTransactions = "too-many-transactions", PAYLOAD_TOO_LARGE, "Too many transactions in one request";
    /// The request body is over the limit.
    BodyTooLarge = "body-too-large", PAYLOAD_TOO_LARGE, "The request body is too large";
    /// The request body came too slowly.
    BodyTooSlow = "body-too-slow", REQUEST_TIMEOUT, "The request body came too slowly";
    /// The media type isn't accepted.
    UnsupportedMediaType = "unsupported-media-type", UNSUPPORTED_MEDIA_TYPE, "This media type is not taken here";
    /// No such path.
    UnknownRoute = "unknown-route", NOT_FOUND, "There is no such path";
    /// The path exists, but the method doesn't.
    MethodNotAllowed = "method-not-allowed", METHOD_NOT_ALLOWED, "This path has no such method";
    /// The request is not a WebSocket handshake.
    NotAWebSocket = "not-a-websocket", BAD_REQUEST, "This path takes WebSocket handshakes only";
    /// No such transaction.
    TransactionNotFound = "transaction-not-found", NOT_FOUND, "This node knows no such transaction";
    /// No such account.
    AccountNotFound = "account-not-found", NOT_FOUND, "There is no such account";
    /// The key has no value.
    KeyNotFound = "key-not-found", NOT_FOUND, "The key has no value";
    /// No such pool.
    PoolNotFound = "pool-not-found", NOT_FOUND, "This chain has no such pool";
    /// No such block.
    BlockNotFound = "block-not-found", NOT_FOUND, "This node holds no such final block";
    /// The list of things to prove is empty, too long, or names one twice.
    BadSubjects = "bad-subjects", BAD_REQUEST, "Not a list of things to prove";
    /// Another shard has the account.
    Elsewhere = "elsewhere", MISDIRECTED_REQUEST, "Another shard has this account";
    /// The net has no such shard.
    UnknownShard = "unknown-shard", NOT_FOUND, "The net has no such shard";
    /// State proofs need a state root.
    NoStateRoot = "no-state-root", CONFLICT, "This chain makes no state roots";
    /// No certified root is new enough.
    NotProvenYet = "not-proven-yet", SERVICE_UNAVAILABLE, "That state is not certified yet";
    /// The root of that height isn't kept.
    ProofPruned = "proof-pruned", GONE, "The state root of that height is not kept";
    /// That height isn't kept.
    Pruned = "pruned", GONE, "That height is not kept";
    /// That height isn't executed yet.
    HeightAhead = "height-ahead", NOT_FOUND, "That height is not executed yet";
    /// The values are too large for one proof.
    ProofTooLarge = "proof-too-large", PAYLOAD_TOO_LARGE, "The values are too large for one proof";
    /// All transactions of the request were refused, for different reasons.
    TransactionsRefused = "transactions-refused", UNPROCESSABLE_ENTITY, "All transactions were refused";
    /// The node has too much in progress.
    Busy = "busy", SERVICE_UNAVAILABLE, "The node is busy";
    /// The client has too many connections or streams.
    TooManyStreams = "too-many-streams", TOO_MANY_REQUESTS, "Too many event streams are open";
    /// A part of the node is not running.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE, "The node can't answer now";
    /// The node is not synced, or has seen no quorum.
    NotReady = "not-ready", SERVICE_UNAVAILABLE, "The node is not ready";
    /// Stored data could not be read.
    Storage = "storage", INTERNAL_SERVER_ERROR, "Stored data could not be read";
}

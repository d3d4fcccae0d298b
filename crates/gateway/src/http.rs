//! The HTTP API: routes, what they share, and their limits.
//!
//! *Invariants:* every route of the API is in `routes()` and in the OpenAPI document; the document says for each route
//! whether it may require a token; every error is a `Problem`.

mod access;
mod answers;
mod caches;
mod connection;
pub mod events;
pub mod feed;
pub mod health;
pub mod history;
pub mod holdings;
pub mod light;
pub mod listing;
mod multiplexed;
pub mod openapi;
pub mod params;
pub mod pools;
pub mod problem;
pub mod read;
mod secured;
pub mod server;
mod sites;
mod stalling;
pub mod state;
pub mod submit;
mod ui;

use crate::backend::Backend;
use crate::final_block::FinalBlocks;
use crate::gate::Gate;
use crate::metrics::GatewayMetrics;
use access::RequiredAccess;
use answers::Answers;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use problem::Problem;
use rustorium_api::Code;
use rustorium_transport::handshakes::HandshakeLimits;
use rustorium_types::limits::SUBMISSION_BYTES_MAX;
use sites::Sites;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

pub use answers::AnswerLimits;
pub use multiplexed::Http2Limits;
pub(crate) use secured::HandshakeFailure;
pub use server::HttpServer;

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

/// State that all routes share.
pub struct App {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) limits: HttpLimits,
    pub(crate) metrics: GatewayMetrics,
    pub(crate) bodies: Arc<Semaphore>,
    pub(crate) answers: Answers,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) blocks: FinalBlocks,
    pub(crate) sites: Sites,
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
        let largest = body_limit(submit::Media::Json);
        let bodies = Arc::new(Semaphore::new(limits.body_bytes_in_flight_max.clamp(largest, Semaphore::MAX_PERMITS)));
        let streams = Arc::new(Semaphore::new(limits.event_streams_max));
        let (answers, blocks) = (Answers::new(&limits.answers, metrics.clone()), FinalBlocks::default());
        let sites = Sites::new(gate.rules());
        Arc::new(Self { backend, gate, limits, metrics, bodies, answers, streams, blocks, sites, closing })
    }
}

/// Returns the maximum bytes of a submission's body: 1 MiB of transactions and the overhead of its format.
pub(crate) fn body_limit(media: submit::Media) -> usize {
    match media {
        submit::Media::Binary => SUBMISSION_BYTES_MAX + 8 * 1024,
        submit::Media::Json => 2 * SUBMISSION_BYTES_MAX + 64 * 1024,
    }
}

const SUBMIT_PATH: &str = "/v1/transactions";

/// Returns every route of the API with its path and its required access. `/docs` and the explorer are separate.
fn routes() -> Vec<(&'static str, RequiredAccess, MethodRouter<Arc<App>>)> {
    vec![
        (SUBMIT_PATH, RequiredAccess::Submit, post(submit::submit)),
        ("/v1/transactions/{id}", RequiredAccess::Read, get(read::transaction)),
        ("/v1/accounts/{address}", RequiredAccess::Read, get(state::account)),
        ("/v1/accounts/{address}/authority", RequiredAccess::Read, get(state::authority)),
        ("/v1/accounts/{address}/grants", RequiredAccess::Read, get(holdings::grants)),
        ("/v1/accounts/{address}/balances", RequiredAccess::Read, get(holdings::balances)),
        ("/v1/accounts/{address}/balances/{asset}", RequiredAccess::Read, get(state::balance)),
        ("/v1/accounts/{address}/history/{*key}", RequiredAccess::Read, get(history::history)),
        ("/v1/accounts/{address}/keys", RequiredAccess::Read, get(listing::keys)),
        ("/v1/accounts/{address}/keys/{*key}", RequiredAccess::Read, get(state::value)),
        ("/v1/proofs", RequiredAccess::Read, post(state::prove)),
        ("/v1/accounts/{address}/transactions", RequiredAccess::Read, get(read::account_transactions)),
        ("/v1/blocks/{block}", RequiredAccess::Read, get(read::block)),
        ("/v1/blocks/{block}/receipts", RequiredAccess::Read, get(read::block_receipts)),
        ("/v1/epochs", RequiredAccess::Read, get(light::epochs)),
        ("/v1/pools/{pool}/records", RequiredAccess::Read, get(pools::records)),
        ("/v1/events", RequiredAccess::Read, get(events::stream)),
        ("/v1/events/ws", RequiredAccess::Read, get(events::websocket)),
        ("/v1/status", RequiredAccess::Read, get(health::status)),
        ("/v1/chain", RequiredAccess::Read, get(health::chain)),
        ("/v1/validators", RequiredAccess::Read, get(health::validators)),
        ("/v1/governance", RequiredAccess::Read, get(health::governance)),
        ("/v1/genesis", RequiredAccess::Read, get(health::genesis)),
        ("/livez", RequiredAccess::Nothing, get(health::livez)),
        ("/readyz", RequiredAccess::Nothing, get(health::readyz)),
        ("/healthz", RequiredAccess::Nothing, get(health::healthz)),
        ("/openapi.json", RequiredAccess::Nothing, get(openapi::document)),
    ]
}

/// Returns the paths of all routes, in the router's notation.
pub fn route_paths() -> Vec<&'static str> {
    routes().into_iter().map(|(path, ..)| path).collect()
}

/// Returns the paths of the routes that may require a token, in the router's notation.
pub(crate) fn guarded_paths() -> Vec<&'static str> {
    routes().into_iter().filter(|(_, need, _)| *need != RequiredAccess::Nothing).map(|(path, ..)| path).collect()
}

/// Returns the API's router.
pub fn router(app: Arc<App>) -> Router {
    let docs: Router<Arc<App>> = Router::from(openapi::docs()).layer(from_fn(openapi::secure));
    // A wildcard never matches an empty segment, and an empty key is a key.
    let empty_keys = [
        ("/v1/accounts/{address}/keys/", RequiredAccess::Read, get(state::empty_key)),
        ("/v1/accounts/{address}/history/", RequiredAccess::Read, get(history::empty_key)),
    ];
    let all = routes().into_iter().chain(empty_keys);
    let router =
        all.fold(Router::new(), |router, (path, need, methods)| router.route(path, guard(&app, need, methods)));
    let router = router.merge(docs).layer(from_fn_with_state(app.clone(), answers::count_bytes));
    // The explorer's files are part of the program, and need no counted memory.
    finish(router.merge(ui::routes()), app, true)
}

/// Puts the access check on the route itself, so that no spelling of a path bypasses it.
fn guard(app: &Arc<App>, need: RequiredAccess, methods: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    match need {
        RequiredAccess::Nothing => methods,
        RequiredAccess::Read => methods.route_layer(from_fn_with_state(app.clone(), access::read)),
        RequiredAccess::Submit => methods.route_layer(from_fn_with_state(app.clone(), access::submit)),
    }
}

/// Returns the router of the metrics listener, which has no other route. `within`: it listens on loopback, where other
/// machines have no name for it.
pub fn metrics_router(app: Arc<App>, within: bool) -> Router {
    finish(Router::new().route("/metrics", get(health::metrics)), app, within)
}

/// Adds what all routes share. `named`: requests must name this node.
fn finish(router: Router<Arc<App>>, app: Arc<App>, named: bool) -> Router {
    let router = router.fallback(unknown_route).method_not_allowed_fallback(method_not_allowed);
    let router = if named { router.layer(from_fn_with_state(app.clone(), sites::check)) } else { router };
    router.layer(from_fn_with_state(app.clone(), count)).with_state(app)
}

async fn unknown_route(request: Request) -> Problem {
    let detail = format!("There is nothing at {}; /openapi.json lists all paths.", request.uri().path());
    Problem::new(Code::UnknownRoute, detail)
}

async fn method_not_allowed(request: Request) -> Problem {
    let detail =
        format!("{} doesn't accept {}; /openapi.json lists its methods.", request.uri().path(), request.method());
    Problem::new(Code::MethodNotAllowed, detail)
}

async fn count(State(app): Shared, request: Request, next: Next) -> Response {
    let (started, submission) =
        (Instant::now(), request.method() == Method::POST && request.uri().path() == SUBMIT_PATH);
    let mut response = next.run(request).await;
    app.metrics.response(response.status().as_u16(), submission, started.elapsed());
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

//! The HTTP face: routes, what they share, and their limits.
//!
//! *Invariants:* every route of the API is in `routes()` and in the OpenAPI document; every error is a `Problem`.

pub mod events;
pub mod feed;
pub mod health;
pub mod light;
pub mod listing;
pub mod openapi;
pub mod params;
pub mod pools;
pub mod read;
pub mod server;
pub mod state;
pub mod submit;
mod ui;

use crate::backend::Backend;
use crate::final_block::FinalBlocks;
use crate::metrics::GatewayMetrics;
use crate::problem::{Code, Problem};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use rustorium_types::limits::SUBMISSION_BYTES_MAX;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};

pub use server::HttpServer;

/// Bounds of the HTTP face.
#[derive(Clone, Debug)]
pub struct HttpLimits {
    /// Open connections.
    pub connections_max: usize,
    /// Open connections of one address.
    pub connections_per_address_max: usize,
    /// Open event streams.
    pub event_streams_max: usize,
    /// Bytes of request bodies that are read or decoded at the same time.
    pub body_bytes_in_flight_max: usize,
    /// A body must have come within this time.
    pub body_timeout: Duration,
    /// A request's head must have come within this time; also the longest idle time of a connection.
    pub head_timeout: Duration,
    /// A client that takes none of an answer for this long is disconnected.
    pub write_stall_timeout: Duration,
    /// Blocks that an event stream which had all may fall behind.
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
            event_streams_max: 512,
            body_bytes_in_flight_max: 64 * 1024 * 1024,
            body_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(75),
            write_stall_timeout: Duration::from_secs(20),
            event_lag_blocks_max: 1_024,
            keep_alive: Duration::from_secs(15),
            wait_ms_max: 60_000,
        }
    }
}

/// What all routes share.
pub struct App {
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) limits: HttpLimits,
    pub(crate) metrics: GatewayMetrics,
    pub(crate) bodies: Arc<Semaphore>,
    pub(crate) streams: Arc<Semaphore>,
    pub(crate) blocks: FinalBlocks,
    pub(crate) closing: watch::Receiver<bool>,
}

pub(crate) type Shared = State<Arc<App>>;

impl App {
    /// Joins a node and limits. `closing` turning true ends event streams.
    pub fn new(
        backend: Arc<dyn Backend>,
        limits: HttpLimits,
        metrics: GatewayMetrics,
        closing: watch::Receiver<bool>,
    ) -> Arc<Self> {
        let largest = body_limit(submit::Media::Json);
        let bodies = Arc::new(Semaphore::new(limits.body_bytes_in_flight_max.clamp(largest, Semaphore::MAX_PERMITS)));
        let streams = Arc::new(Semaphore::new(limits.event_streams_max));
        Arc::new(Self { backend, limits, metrics, bodies, streams, blocks: FinalBlocks::default(), closing })
    }
}

/// Bytes that a submission's body may have: 1 MiB of transactions and what its format adds.
pub(crate) fn body_limit(media: submit::Media) -> usize {
    match media {
        submit::Media::Binary => SUBMISSION_BYTES_MAX + 8 * 1024,
        submit::Media::Json => 2 * SUBMISSION_BYTES_MAX + 64 * 1024,
    }
}

const SUBMIT_PATH: &str = "/v1/transactions";

/// Every route of the API with its path; `/docs` and the explorer are beside it.
fn routes() -> Vec<(&'static str, MethodRouter<Arc<App>>)> {
    vec![
        (SUBMIT_PATH, post(submit::submit)),
        ("/v1/transactions/{id}", get(read::transaction)),
        ("/v1/accounts/{address}", get(state::account)),
        ("/v1/accounts/{address}/balances/{asset}", get(state::balance)),
        ("/v1/accounts/{address}/keys", get(listing::keys)),
        ("/v1/accounts/{address}/keys/{*key}", get(state::value)),
        ("/v1/proofs", post(state::prove)),
        ("/v1/accounts/{address}/transactions", get(read::account_transactions)),
        ("/v1/blocks/{block}", get(read::block)),
        ("/v1/blocks/{block}/receipts", get(read::block_receipts)),
        ("/v1/epochs", get(light::epochs)),
        ("/v1/pools/{pool}/records", get(pools::records)),
        ("/v1/events", get(events::stream)),
        ("/v1/events/ws", get(events::websocket)),
        ("/v1/status", get(health::status)),
        ("/v1/chain", get(health::chain)),
        ("/v1/validators", get(health::validators)),
        ("/v1/genesis", get(health::genesis)),
        ("/livez", get(health::livez)),
        ("/readyz", get(health::readyz)),
        ("/healthz", get(health::healthz)),
        ("/openapi.json", get(openapi::document)),
    ]
}

/// The paths of all routes, in the router's notation.
pub fn route_paths() -> Vec<&'static str> {
    routes().into_iter().map(|(path, _)| path).collect()
}

/// The API's router.
pub fn router(app: Arc<App>) -> Router {
    let docs: Router<Arc<App>> = openapi::docs().into();
    let router = routes().into_iter().fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    // A wildcard never matches nothing, and an empty key is a key.
    let router = router.route("/v1/accounts/{address}/keys/", get(state::empty_key));
    finish(router.merge(docs).merge(ui::routes()), app)
}

/// The router of the metrics listener, which has nothing else.
pub fn metrics_router(app: Arc<App>) -> Router {
    finish(Router::new().route("/metrics", get(health::metrics)), app)
}

fn finish(router: Router<Arc<App>>, app: Arc<App>) -> Router {
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn_with_state(app.clone(), count))
        .with_state(app)
}

async fn unknown_route(request: Request) -> Problem {
    let detail = format!("There is nothing at {}; /openapi.json lists all paths.", request.uri().path());
    Problem::new(Code::UnknownRoute, detail)
}

async fn method_not_allowed(request: Request) -> Problem {
    let detail = format!("{} has no {}; /openapi.json lists what it has.", request.uri().path(), request.method());
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

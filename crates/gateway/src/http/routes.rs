//! Every route of the API, with the access that it requires.
//!
//! *Invariants:* every route of the API is in `routes()` and in the OpenAPI document; the document says for each route
//! whether it may require a token; each hosted shard has the same routes, with the same access and bounds.

use super::access::{self, RequiredAccess};
use super::app::{App, Shared};
use super::problem::{Problem, unknown_route};
use super::{answers, events, health, history, holdings, light, listing, openapi, pools, read, state, submit, ui};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};
use rustorium_api::Code;
use std::sync::Arc;
use std::time::Instant;

const SUBMIT_PATH: &str = "/v1/transactions";
/// The end of that path under each shard's name.
const SUBMIT_END: &str = "/transactions";

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
        ("/v1/shards", RequiredAccess::Read, get(health::shards)),
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
#[cfg(feature = "openapi")]
pub(super) fn guarded_paths() -> Vec<&'static str> {
    routes().into_iter().filter(|(_, need, _)| *need != RequiredAccess::Nothing).map(|(path, ..)| path).collect()
}

/// Returns the API's router.
pub fn router(app: Arc<App>) -> Router {
    // A wildcard never matches an empty segment, and an empty key is a key.
    let empty_keys = [
        ("/v1/accounts/{address}/keys/", RequiredAccess::Read, get(state::empty_key)),
        ("/v1/accounts/{address}/history/", RequiredAccess::Read, get(history::empty_key)),
    ];
    let all: Vec<_> = routes().into_iter().chain(empty_keys).collect();
    let add = |router: Router<Arc<App>>, path: &str, need, methods| router.route(path, guard(&app, need, methods));
    let router =
        all.iter().fold(Router::new(), |router, (path, need, methods)| add(router, path, *need, methods.clone()));
    // The root shard has both names.
    let own = (app.backend.chain().shard, app.clone());
    let others = app.backend.others().into_iter().map(|(shard, backend)| (shard, app.for_shard(backend)));
    let router = std::iter::once(own).chain(others).fold(router, |router, (shard, of_shard)| {
        let under = all.iter().filter_map(|(path, need, methods)| Some((path.strip_prefix("/v1")?, need, methods)));
        let under =
            under.fold(Router::new(), |router, (path, need, methods)| add(router, path, *need, methods.clone()));
        router.nest_service(&format!("/v1/shards/{shard}"), under.with_state(of_shard))
    });
    let router = add(
        router,
        "/v1/shards/{shard}/{*path}",
        RequiredAccess::Read,
        get(health::not_hosted).post(health::not_hosted),
    );
    let router = router.merge(openapi::docs()).layer(from_fn_with_state(app.clone(), answers::count_bytes));
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
    let router = if named { router.layer(from_fn_with_state(app.clone(), access::own_site)) } else { router };
    router.layer(from_fn_with_state(app.clone(), count)).with_state(app)
}

async fn method_not_allowed(request: Request) -> Problem {
    let detail =
        format!("{} doesn't accept {}; /openapi.json lists its methods.", request.uri().path(), request.method());
    Problem::new(Code::MethodNotAllowed, detail)
}

async fn count(State(app): Shared, request: Request, next: Next) -> Response {
    let (started, submission) =
        (Instant::now(), request.method() == Method::POST && request.uri().path().ends_with(SUBMIT_END));
    let mut response = next.run(request).await;
    app.metrics.response(response.status().as_u16(), submission, started.elapsed());
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

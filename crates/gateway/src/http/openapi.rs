//! The OpenAPI document, made from the routes' own code, and the page that shows it.

use super::{events, health, history, holdings, light, listing, pools, read, sites, state, submit};
use axum::Json;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa_swagger_ui::{Config, SwaggerUi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rustorium",
        description = "The HTTP API of a Rustorium node. Errors are RFC 9457 problem details with a stable `code`. \
                       Amounts are decimal strings, times Unix ms, ids hex digits, addresses bech32m `rs1…`. The \
                       field `at` of an answer names the shard, height and root that it describes. A net of several \
                       shards answers for shard N under `/v1/shards/N/…` by the same paths as under `/v1/…`, which is \
                       shard 0.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        submit::submit,
        read::transaction,
        state::account,
        state::authority,
        state::balance,
        holdings::balances,
        holdings::grants,
        history::history,
        state::value,
        state::prove,
        listing::keys,
        read::account_transactions,
        read::block,
        read::block_receipts,
        light::epochs,
        pools::records,
        events::stream,
        events::websocket,
        health::status,
        health::chain,
        health::validators,
        health::governance,
        health::genesis,
        health::shards,
        health::livez,
        health::readyz,
        health::healthz,
        document,
    )
)]
struct Api;

/// Name of the scheme in the document.
const SCHEME: &str = "token";

/// Paths of the routes that may require a token, in the router's notation.
#[derive(Clone, Copy)]
pub(super) struct GuardedPaths(pub(super) fn() -> Vec<&'static str>);

/// Returns the OpenAPI document.
pub(super) fn api(guarded: GuardedPaths) -> utoipa::openapi::OpenApi {
    let mut document = Api::openapi();
    let about = "A token of the node's operator, if its configuration requires one: `[gateway] submit` and `read`";
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("rsk_…").description(Some(about));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme.build()));
    // A request needs nothing, or a token.
    let either = vec![SecurityRequirement::default(), SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, [])];
    for path in guarded.0() {
        let Some(item) = document.paths.paths.get_mut(&path.replace("{*", "{")) else { continue };
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            operation.security = Some(either.clone());
        }
    }
    document
}

/// Returns this document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "The OpenAPI 3.1 document")))]
pub(super) async fn document(State(guarded): State<GuardedPaths>) -> Json<utoipa::openapi::OpenApi> {
    Json(api(guarded))
}

/// The page runs only its own scripts. The scripts make some of its styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Sets the headers that restrict what a browser does with the page.
pub(super) async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    sites::secure(&mut response, POLICY);
    response
}

/// Returns the page at `/docs`.
pub(super) fn docs() -> SwaggerUi {
    SwaggerUi::new("/docs").config(Config::from("/openapi.json"))
}

//! The OpenAPI document, made from the routes' own code. What a node serves is a copy of it that is committed.

use super::routes::guarded_paths;
use super::{events, health, history, holdings, light, listing, openapi, pools, read, state, submit};
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};

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
        openapi::document,
    )
)]
struct Api;

/// Name of the scheme in the document.
const SCHEME: &str = "token";

/// Returns the OpenAPI document as JSON, an item a line.
pub fn openapi_document() -> serde_json::Result<String> {
    let mut document = Api::openapi();
    let about = "A token of the node's operator, if its configuration requires one: `[gateway] submit` and `read`";
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("rsk_…").description(Some(about));
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(scheme.build()));
    // A request needs nothing, or a token.
    let either = vec![SecurityRequirement::default(), SecurityRequirement::new::<_, [&str; 0], &str>(SCHEME, [])];
    for path in guarded_paths() {
        let Some(item) = document.paths.paths.get_mut(&path.replace("{*", "{")) else { continue };
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            operation.security = Some(either.clone());
        }
    }
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}

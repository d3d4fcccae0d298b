//! The OpenAPI document, made from the routes' own code, and the page that shows it.

use super::{events, health, light, listing, pools, read, state, submit};
use axum::Json;
use utoipa::OpenApi;
use utoipa_swagger_ui::{Config, SwaggerUi};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Rustorium",
        description = "The HTTP face of a Rustorium node. Errors are RFC 9457 problem details with a stable `code`; \
                       amounts are decimal strings, times Unix ms, ids hex digits, addresses bech32m `rs1…`; every \
                       answer says in `at` at which shard, height and root it holds.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    paths(
        submit::submit,
        read::transaction,
        state::account,
        state::balance,
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
        health::genesis,
        health::livez,
        health::readyz,
        health::healthz,
        document,
    )
)]
struct Api;

/// The OpenAPI document.
pub fn api() -> utoipa::openapi::OpenApi {
    Api::openapi()
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, description = "OpenAPI 3.1")))]
pub async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(api())
}

/// The page at `/docs`.
pub(super) fn docs() -> SwaggerUi {
    SwaggerUi::new("/docs").config(Config::from("/openapi.json"))
}

//! The OpenAPI document that a node serves, and the page that shows it.
//!
//! The document is made from the routes' own code by `just openapi`, with the feature `openapi`; `just lint` compares. So
//! no node's build compiles what makes it. The page is Swagger UI's. Its files are in a ZIP archive in the form in which a
//! browser takes them, so nothing here unpacks them.
//!
//! *Invariants:* only the files of the table below are served, each by its exact name; the page runs no inline script.

use super::app::App;
use super::archive::{Packed, packed};
use super::problem::unknown_route;
use super::{schema, sites};
use axum::Router;
use axum::extract::{Path, Request};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use std::sync::{Arc, OnceLock};
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

/// The OpenAPI document, JSON.
const DOCUMENT: &str = include_str!("../../openapi.json");

/// Returns this document.
#[schema::path(get, path = "/openapi.json", responses((status = 200, description = "The OpenAPI 3.1 document")))]
pub(super) async fn document() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}

/// The page runs only its own scripts. The scripts make some of its styles.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("../../docs/index.html");
const STARTER: &str = include_str!("../../docs/start.js");
const SCRIPT: &str = "text/javascript; charset=utf-8";
/// Names and media types of Swagger UI's files that the page loads.
const FILES: [(&str, &str); 4] = [
    ("favicon-32x32.png", "image/png"),
    ("swagger-ui-bundle.js", SCRIPT),
    ("swagger-ui-standalone-preset.js", SCRIPT),
    ("swagger-ui.css", "text/css; charset=utf-8"),
];

/// Returns the routes of the page at `/docs/`.
pub(super) fn docs() -> Router<Arc<App>> {
    let routes = Router::new()
        .route("/docs", get(|| async { Redirect::permanent("/docs/") }))
        .route("/docs/", get(page))
        .route("/docs/index.html", get(page))
        .route("/docs/{file}", get(file));
    sites::secured(routes, POLICY)
}

async fn page() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

async fn file(Path(name): Path<String>, request: Request) -> Response {
    if name == "start.js" {
        return ([(header::CONTENT_TYPE, SCRIPT)], STARTER).into_response();
    }
    let Some((_, media, content)) = files().iter().find(|(file, ..)| *file == name) else {
        return unknown_route(request).await.into_response();
    };
    let typed = [(header::CONTENT_TYPE, *media)];
    if content.gzip {
        (typed, [(header::CONTENT_ENCODING, "gzip")], &*content.bytes).into_response()
    } else {
        (typed, &*content.bytes).into_response()
    }
}

/// Returns Swagger UI's files with their names and media types. They are framed once, so a request copies nothing.
fn files() -> &'static [(&'static str, &'static str, Packed<'static>)] {
    static FRAMED: OnceLock<Vec<(&str, &str, Packed<'_>)>> = OnceLock::new();
    let framed = |(name, media)| Some((name, media, packed(SWAGGER_UI_VENDORED, &format!("/dist/{name}"))?));
    FRAMED.get_or_init(|| FILES.into_iter().filter_map(framed).collect())
}

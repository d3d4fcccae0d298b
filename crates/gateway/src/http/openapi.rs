//! The OpenAPI document that a node serves, and the page that shows it.
//!
//! The document is made from the routes' own code by `just openapi`, with the feature `openapi`; `just lint` compares. So
//! no node's build compiles what makes it. The page is Swagger UI's. Its files are in a ZIP archive in the form in which a
//! browser takes them, so nothing here unpacks them.
//!
//! *Invariants:* only the files of the table below are served, each by its exact name; the page runs no inline script.

use super::app::App;
use super::archive::packed;
use super::problem::unknown_route;
use super::{schema, sites};
use axum::Router;
use axum::extract::{Path, Request};
use axum::http::header;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use std::sync::Arc;
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
/// Names and media types of Swagger UI's files that the page loads.
const FILES: [(&str, &str); 4] = [
    ("favicon-32x32.png", "image/png"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
    ("swagger-ui-standalone-preset.js", "text/javascript; charset=utf-8"),
    ("swagger-ui.css", "text/css; charset=utf-8"),
];

/// Returns the routes of the page at `/docs/`.
pub(super) fn docs() -> Router<Arc<App>> {
    Router::new()
        .route("/docs", get(|| async { Redirect::permanent("/docs/") }))
        .route("/docs/", get(page))
        .route("/docs/{file}", get(file))
        .layer(from_fn(secure))
}

async fn page() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

async fn file(Path(name): Path<String>, request: Request) -> Response {
    if name == "start.js" {
        return ([(header::CONTENT_TYPE, "text/javascript; charset=utf-8")], STARTER).into_response();
    }
    let known = FILES.iter().find(|(file, _)| *file == name);
    let Some((media, content)) =
        known.and_then(|(file, media)| Some((*media, packed(SWAGGER_UI_VENDORED, &format!("/dist/{file}"))?)))
    else {
        return unknown_route(request).await.into_response();
    };
    let mut response = ([(header::CONTENT_TYPE, media)], content.bytes).into_response();
    if content.gzip {
        response.headers_mut().insert(header::CONTENT_ENCODING, header::HeaderValue::from_static("gzip"));
    }
    response
}

/// Sets the headers that restrict what a browser does with the page.
async fn secure(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    sites::secure(&mut response, POLICY);
    response
}

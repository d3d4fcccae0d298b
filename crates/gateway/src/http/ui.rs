//! The explorer: a page at `/ui/` and its files, which are part of the program.
//!
//! The files in `crates/gateway/ui` are served as they are; nothing bundles or rewrites them. All of them are in one
//! folder, whose name is the hash of them all. So they can be cached for ever and never mix with those of another
//! build. The page itself is fetched each time and names the folder.
//!
//! *Invariants:* only the files of the table below are served, each by its exact name; the page may load nothing from
//! anywhere else, and runs no inline script or style.

use super::app::App;
use super::caches::IMMUTABLE;
use super::params::none_match;
use super::problem::{Problem, unknown_route};
use super::sites;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use std::sync::{Arc, OnceLock};

/// The page. `BASE` in it stands for the folder of the other files.
const PAGE: &str = include_str!("../../ui/index.html");
const BASE: &str = "{base}";

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";
const MODULE: &str = "application/wasm";

/// A served file.
struct File {
    name: &'static str,
    media: &'static str,
    bytes: &'static [u8],
}

const fn file(name: &'static str, media: &'static str, bytes: &'static [u8]) -> File {
    File { name, media, bytes }
}

/// All files but the page.
const FILES: &[File] = &[
    file("account.js", SCRIPT, include_bytes!("../../ui/account.js")),
    file("api.js", SCRIPT, include_bytes!("../../ui/api.js")),
    file("app.css", STYLE, include_bytes!("../../ui/app.css")),
    file("blocks.js", SCRIPT, include_bytes!("../../ui/blocks.js")),
    file("changes.js", SCRIPT, include_bytes!("../../ui/changes.js")),
    file("charts.js", SCRIPT, include_bytes!("../../ui/charts.js")),
    file("dom.js", SCRIPT, include_bytes!("../../ui/dom.js")),
    file("governance.js", SCRIPT, include_bytes!("../../ui/governance.js")),
    file("help.js", SCRIPT, include_bytes!("../../ui/help.js")),
    file("icon.svg", PICTURE, include_bytes!("../../ui/icon.svg")),
    file("key.js", SCRIPT, include_bytes!("../../ui/key.js")),
    file("land.js", SCRIPT, include_bytes!("../../ui/land.js")),
    file("light.wasm", MODULE, include_bytes!("../../ui/light.wasm")),
    file("live.js", SCRIPT, include_bytes!("../../ui/live.js")),
    file("main.js", SCRIPT, include_bytes!("../../ui/main.js")),
    file("map.js", SCRIPT, include_bytes!("../../ui/map.js")),
    file("origins.js", SCRIPT, include_bytes!("../../ui/origins.js")),
    file("overview.js", SCRIPT, include_bytes!("../../ui/overview.js")),
    file("pages.js", SCRIPT, include_bytes!("../../ui/pages.js")),
    file("proof.js", SCRIPT, include_bytes!("../../ui/proof.js")),
    file("prooffile.js", SCRIPT, include_bytes!("../../ui/prooffile.js")),
    file("regions.js", SCRIPT, include_bytes!("../../ui/regions.js")),
    file("settings.js", SCRIPT, include_bytes!("../../ui/settings.js")),
    file("shards.js", SCRIPT, include_bytes!("../../ui/shards.js")),
    file("theme.js", SCRIPT, include_bytes!("../../ui/theme.js")),
    file("token.js", SCRIPT, include_bytes!("../../ui/token.js")),
    file("transaction.js", SCRIPT, include_bytes!("../../ui/transaction.js")),
    file("validators.js", SCRIPT, include_bytes!("../../ui/validators.js")),
];

/// Policy: only what the page's own node serves is loaded; WebAssembly may be compiled; no text becomes script or
/// markup.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'; trusted-types 'none'";

/// The served explorer: its folder, and the page that names the folder.
struct Explorer {
    folder: String,
    page: String,
    etag: String,
}

fn explorer() -> &'static Explorer {
    static EXPLORER: OnceLock<Explorer> = OnceLock::new();
    EXPLORER.get_or_init(|| {
        let mut bytes = PAGE.as_bytes().to_vec();
        for file in FILES {
            bytes.extend_from_slice(file.name.as_bytes());
            bytes.extend_from_slice(&(file.bytes.len() as u64).to_le_bytes());
            bytes.extend_from_slice(file.bytes);
        }
        let hash = rustorium_crypto::value_hash(&bytes).to_string();
        let folder = hash[..16].to_owned();
        let page = PAGE.replace(BASE, &format!("/ui/{folder}/"));
        Explorer { etag: format!("\"{folder}\""), folder, page }
    })
}

/// Returns the routes of the explorer.
pub(super) fn routes() -> Router<Arc<App>> {
    let routes = Router::new()
        .route("/ui", get(|| async { Redirect::permanent("/ui/") }))
        .route("/ui/", get(page))
        .route("/ui/{folder}/{file}", get(one));
    sites::secured(routes, POLICY)
}

async fn page(headers: HeaderMap) -> Response {
    let explorer = explorer();
    let cache = [(header::ETAG, explorer.etag.as_str()), (header::CACHE_CONTROL, "no-cache")];
    if none_match(&headers, &explorer.etag) {
        return (StatusCode::NOT_MODIFIED, cache).into_response();
    }
    (cache, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], explorer.page.as_str()).into_response()
}

async fn one(request: Request) -> Result<Response, Problem> {
    let path = request.uri().path();
    let name = path.strip_prefix("/ui/").and_then(|rest| rest.strip_prefix(explorer().folder.as_str()));
    let name = name.and_then(|rest| rest.strip_prefix('/'));
    let Some(file) = FILES.iter().find(|file| Some(file.name) == name) else {
        return Err(unknown_route(request).await);
    };
    // The folder's name is a hash of all files, so it also identifies this file's version.
    let etag = explorer().etag.as_str();
    let cache = [(header::ETAG, etag), (header::CACHE_CONTROL, IMMUTABLE)];
    if none_match(request.headers(), etag) {
        return Ok((StatusCode::NOT_MODIFIED, cache).into_response());
    }
    Ok((cache, [(header::CONTENT_TYPE, file.media)], file.bytes).into_response())
}

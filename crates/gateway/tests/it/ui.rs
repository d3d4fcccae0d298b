//! The explorer's files: which are served, how they are cached, and what a browser may do with them.

use crate::client::*;
use crate::world::World;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Request, header};
use rustorium_gateway::http::HttpLimits;
use std::collections::BTreeSet;
use std::path::Path;

/// Maximum bytes of all files, without the light client.
const UI_BYTES_MAX: usize = 150_000;

fn router() -> Router {
    app(&World::new([1]), HttpLimits::default())
}

fn header_of<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

/// Returns the quoted text after each `mark`.
fn quoted<'a>(text: &'a str, mark: &str) -> Vec<&'a str> {
    text.split(mark).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

/// Returns the page and the paths of everything that it and its modules load.
async fn files(router: &Router) -> (String, BTreeSet<String>) {
    let page = String::from_utf8(get(router, "/ui/").await.body.to_vec()).unwrap();
    let loads =
        [quoted(&page, "<script src=\""), quoted(&page, "module\" src=\""), quoted(&page, "link rel=\"icon\" href=\"")];
    let styles = quoted(&page, "link rel=\"stylesheet\" href=\"");
    let mut waiting: Vec<String> = loads.into_iter().flatten().chain(styles).map(str::to_owned).collect();
    let mut found = BTreeSet::new();
    while let Some(path) = waiting.pop() {
        if !found.insert(path.clone()) {
            continue;
        }
        let answer = get(router, &path).await;
        assert_eq!(answer.status, 200, "{path}");
        if path.ends_with(".js") {
            let text = String::from_utf8(answer.body.to_vec()).unwrap();
            let folder = &path[..=path.rfind('/').unwrap()];
            let modules = quoted(&text, "from \"./").into_iter().chain(quoted(&text, "new URL(\""));
            waiting.extend(modules.map(|name| format!("{folder}{name}")));
        }
    }
    (page, found)
}

#[tokio::test]
async fn exactly_the_files_that_the_page_needs_are_served() {
    let router = router();
    let (page, found) = files(&router).await;
    let on_disk = std::fs::read_dir(Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("ui")).unwrap();
    let on_disk: BTreeSet<String> = on_disk.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let names = found.iter().map(|path| path.rsplit('/').next().unwrap().to_owned());
    let served: BTreeSet<String> = names.chain(["index.html".to_owned(), "light.wasm.json".to_owned()]).collect();
    assert_eq!(served, on_disk);
    let mut bytes = page.len();
    for path in &found {
        let answer = get(&router, path).await;
        let media = match path.rsplit('.').next().unwrap() {
            "js" => "text/javascript; charset=utf-8",
            "css" => "text/css; charset=utf-8",
            "svg" => "image/svg+xml",
            "wasm" => "application/wasm",
            other => panic!("{other}"),
        };
        assert_eq!(header_of(&answer.headers, "content-type"), media, "{path}");
        assert_eq!(header_of(&answer.headers, "cache-control"), "public, max-age=31536000, immutable");
        bytes += if media == "application/wasm" { 0 } else { answer.body.len() };
    }
    assert!(bytes < UI_BYTES_MAX, "{bytes} bytes");
}

#[tokio::test]
async fn a_browser_may_load_nothing_from_other_hosts_and_run_no_inline_script() {
    let router = router();
    let (page, found) = files(&router).await;
    for path in found.iter().map(String::as_str).chain(["/ui/", "/ui/none/app.css"]) {
        let headers = get(&router, path).await.headers;
        let policy = header_of(&headers, "content-security-policy");
        assert!(
            policy.starts_with("default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self';"),
            "{path}"
        );
        for forbidden in ["unsafe-inline", "'unsafe-eval'", "http:", "https:", "data:", "*"] {
            assert!(!policy.contains(forbidden), "{path}: {forbidden}");
        }
        for needed in
            ["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]
        {
            assert!(policy.contains(needed), "{path}: {needed}");
        }
        assert_eq!(header_of(&headers, "x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header_of(&headers, "referrer-policy"), "no-referrer", "{path}");
    }
    for inline in ["<script>", "<style", " style=", " onclick=", "javascript:"] {
        assert!(!page.contains(inline), "{inline}");
    }
    // The other routes keep their own headers.
    assert!(get(&router, "/v1/status").await.headers.get("content-security-policy").is_none());
}

#[tokio::test]
async fn the_page_is_asked_for_anew_and_its_files_are_kept() {
    let router = router();
    let page = get(&router, "/ui/").await;
    assert_eq!(header_of(&page.headers, "cache-control"), "no-cache");
    let (_, found) = files(&router).await;
    for path in found.iter().map(String::as_str).chain(["/ui/"]) {
        let etag = header_of(&get(&router, path).await.headers, "etag").to_owned();
        let again = |tag: &str| Request::get(path).header(header::IF_NONE_MATCH, tag).body(Body::empty()).unwrap();
        let held = send(&router, again(&etag)).await;
        assert_eq!((held.status.as_u16(), held.body.len()), (304, 0), "{path}");
        assert_eq!(send(&router, again("\"other\"")).await.status, 200, "{path}");
    }
    let moved = get(&router, "/ui").await;
    assert_eq!((moved.status.as_u16(), header_of(&moved.headers, "location")), (308, "/ui/"));
}

#[tokio::test]
async fn only_the_files_of_this_build_are_there() {
    let router = router();
    let (_, found) = files(&router).await;
    let style = found.iter().find(|path| path.ends_with("app.css")).unwrap();
    let folder = &style[..style.rfind('/').unwrap()];
    let wrong = [
        "/ui/0123456789abcdef/app.css".to_owned(),
        "/ui/app.css".to_owned(),
        format!("{folder}/"),
        folder.to_owned(),
        format!("{folder}/light.wasm.json"),
        format!("{folder}/index.html"),
        format!("{folder}/../app.css"),
        format!("{folder}/..%2f..%2fCargo.toml"),
        format!("{folder}/%2e%2e/%2e%2e/Cargo.toml"),
        format!("{folder}//app.css"),
        format!("{folder}/app.css%00"),
        format!("{folder}/APP.CSS"),
        "/ui/../../../../etc/passwd".to_owned(),
    ];
    for path in wrong {
        let answer = get(&router, &path).await;
        assert_eq!((answer.status.as_u16(), &answer.problem()["code"]), (404, &"unknown-route".into()), "{path}");
    }
    let posted = post(&router, "/ui/", "text/plain", "").await;
    assert_eq!((posted.status.as_u16(), &posted.problem()["code"]), (405, &"method-not-allowed".into()));
}

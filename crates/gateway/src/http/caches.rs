//! Keeps answers that needed a token out of shared caches (RFC 9111, section 3.5).
//!
//! *Invariants:* only the bearer's own cache keeps an answer that needed a token, and only for that token.

use axum::http::{HeaderValue, header};
use axum::response::Response;

/// `Cache-Control` of final data.
pub(super) const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// The directive that lets a cache keep an answer for everybody, even one to a request with `Authorization`.
const PUBLIC: &str = "public";

/// Makes an answer its bearer's own.
pub(super) fn keep_private(response: &mut Response) {
    let headers = response.headers_mut();
    let control = match headers.get(header::CACHE_CONTROL).map(|value| value.to_str()) {
        Some(Ok("no-store")) => "no-store".to_owned(),
        Some(Ok(control)) => {
            let parts = control.split(',').map(str::trim).filter(|part| !part.eq_ignore_ascii_case(PUBLIC));
            ["private"].into_iter().chain(parts).collect::<Vec<_>>().join(", ")
        }
        _ => "private".to_owned(),
    };
    // The text comes from a header's value, so this doesn't fail.
    headers
        .insert(header::CACHE_CONTROL, HeaderValue::from_str(&control).unwrap_or(HeaderValue::from_static("no-store")));
    headers.append(header::VARY, HeaderValue::from_static("authorization"));
}

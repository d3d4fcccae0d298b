//! Listing the keys of a namespace.

use super::answers::{PageBuilder, PreparedAnswer, answer};
use super::app::Shared;
use super::params::{Caller, Params, Segments, address, flag, height, key, page_limit};
use super::problem::Problem;
use super::schema::{self, IntoParams};
use crate::backend::Backend;
use axum::extract::State;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rustorium_api::json::{AtView, KeysPage, ListedKey};
use rustorium_api::{Code, KeyCursor, ListFrom, Listing};
use serde::Deserialize;

/// Parameters of a list of keys.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Prefix of the keys; without it all keys are listed.
    pub prefix: String,
    /// Encoding of `prefix`: `utf8` (the default), `hex`, or `base64` (URL alphabet, no padding).
    pub encoding: Option<String>,
    /// State of the first page: `latest` (the default) or a height. The next pages are of the same height.
    pub at: Option<String>,
    /// The previous page's `next`.
    pub cursor: Option<String>,
    /// Number of items on the page: 30 by default, at most 100.
    pub limit: Option<usize>,
    /// 1: adds the values.
    #[serde(deserialize_with = "flag")]
    pub values: bool,
}

/// Returns where a listing starts, by its parameters `cursor` and `at`.
pub(super) fn list_from(cursor: Option<&str>, at: Option<&str>) -> Result<ListFrom, Problem> {
    match (cursor, at) {
        (Some(_), Some(_)) => Err(Problem::new(Code::BadQuery, "A cursor contains its height: leave out `at`.")),
        (Some(text), None) => {
            let bytes = URL_SAFE_NO_PAD.decode(text).ok();
            let cursor = bytes.and_then(|bytes| KeyCursor::from_bytes(&bytes)).map(ListFrom::Cursor);
            let detail = "A cursor is the `next` of the page before, unchanged.";
            cursor.ok_or_else(|| Problem::new(Code::BadCursor, detail))
        }
        (None, None | Some("latest")) => Ok(ListFrom::Latest),
        (None, Some(text)) => height(text)
            .map(ListFrom::Height)
            .ok_or_else(|| Problem::new(Code::BadQuery, "`at` is `latest` or a height.")),
    }
}

/// Encodes a cursor for a client.
pub(super) fn cursor_text(cursor: KeyCursor) -> String {
    URL_SAFE_NO_PAD.encode(cursor.to_bytes())
}

/// Lists the keys of a namespace that begin with a prefix, in no meaningful order. A page may be short or empty and
/// still have a next one: the node reads a limited number of keys for a page, and ends it after 1 MiB of JSON.
#[schema::path(
    get, path = "/v1/accounts/{address}/keys", params(("address" = String, Path, description = "An account's address, `rs1…`"), ListParams),
    responses(
        (status = 200, body = KeysPage),
        (status = "4XX", description = "Error; 410 `pruned` if the listing's height is no longer kept", content_type = "application/problem+json"),
    )
)]
pub async fn keys(
    State(app): Shared,
    caller: Caller,
    Segments(text): Segments<String>,
    Params(params): Params<ListParams>,
) -> Result<Response, Problem> {
    let namespace = address(&text)?;
    let prefix = key(&params.prefix, params.encoding.as_deref())?;
    let from = list_from(params.cursor.as_deref(), params.at.as_deref())?;
    let limit = page_limit(params.limit)?;
    let bytes_max = app.limits.answers.page_bytes_max;
    let listing = Listing { namespace, prefix: prefix.into_vec(), from, limit, bytes_max };
    let about = if params.values { bytes_max } else { limit * KEY_BYTES };
    answer(&app, caller, about, move |backend| page(backend, &listing, params.values)).await
}

/// Usual bytes of JSON of one key without its value.
const KEY_BYTES: usize = 512;

fn page(backend: &dyn Backend, listing: &Listing, values: bool) -> Result<PreparedAnswer, Problem> {
    let found = backend.keys(listing)?;
    let (mut keys, mut next) = (PageBuilder::new(listing.bytes_max), found.next);
    for found_key in found.keys {
        if keys.is_full() {
            next = Some(KeyCursor { height: found.at.height, name: found_key.name });
            break;
        }
        keys.push(ListedKey::new(&found_key.key, &found_key.value, values));
    }
    let (keys, next) = (keys.items, next.map(cursor_text));
    let at = AtView::new(backend.chain().shard, found.at);
    PreparedAnswer::fresh(&KeysPage { namespace: listing.namespace, keys, next, at })
}

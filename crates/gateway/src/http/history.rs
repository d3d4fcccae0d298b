//! Lists the versions of a key.

use super::answers::{PageBuilder, PreparedAnswer, answer};
use super::app::{App, Shared};
use super::params::{Caller, Params, Segments, address, height, key, page_limit};
use super::problem::Problem;
use super::schema::{self, IntoParams};
use crate::backend::Backend;
use axum::extract::State;
use axum::response::Response;
use rustorium_api::json::{AtView, HistoryPage, VersionView};
use rustorium_api::{Code, History};
use serde::Deserialize;
use std::sync::Arc;

/// Parameters of a key's history.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct HistoryParams {
    /// Encoding of the key in the path: `utf8` (the default), `hex`, or `base64` (URL alphabet, no padding).
    pub encoding: Option<String>,
    /// The last page's `next`, or any height: only versions below it.
    pub before: Option<String>,
    /// Items of the page: 30, at most 100.
    pub limit: Option<usize>,
}

/// Lists the versions of a key, newest first: one for each block that changed it, with the transaction that wrote it. The
/// node lists what it keeps, from `kept_from` on. The list has no proof: each transaction has one.
#[schema::path(
    get, path = "/v1/accounts/{address}/history/{key}",
    params(("address" = String, Path, description = "An account's address, `rs1…`"), ("key" = String, Path, description = "The key, written as `encoding` says"), HistoryParams),
    responses(
        (status = 200, body = HistoryPage),
        (status = "4XX", description = "Error; 410 `pruned` if `before` is below what the node keeps", content_type = "application/problem+json"),
    )
)]
pub async fn history(
    State(app): Shared,
    caller: Caller,
    Segments((text, name)): Segments<(String, String)>,
    Params(params): Params<HistoryParams>,
) -> Result<Response, Problem> {
    read(&app, caller, &text, &name, &params).await
}

/// Lists the versions of the empty key.
pub(super) async fn empty_key(
    State(app): Shared,
    caller: Caller,
    Segments(text): Segments<String>,
    Params(params): Params<HistoryParams>,
) -> Result<Response, Problem> {
    read(&app, caller, &text, "", &params).await
}

async fn read(
    app: &Arc<App>,
    caller: Caller,
    text: &str,
    name: &str,
    params: &HistoryParams,
) -> Result<Response, Problem> {
    let namespace = address(text)?;
    let key = key(name, params.encoding.as_deref())?;
    let bad = || Problem::new(Code::BadQuery, "`before` is a height.");
    let before = params.before.as_deref().map(|text| height(text).ok_or_else(bad)).transpose()?;
    let (limit, bytes_max) = (page_limit(params.limit)?, app.limits.answers.page_bytes_max);
    let asked = History { namespace, key, before, limit, bytes_max };
    answer(app, caller, bytes_max, move |backend| page(backend, &asked)).await
}

fn page(backend: &dyn Backend, asked: &History) -> Result<PreparedAnswer, Problem> {
    let found = backend.history(asked)?;
    let at = AtView::new(backend.chain().shard, found.at);
    let mut page = HistoryPage::new(asked.namespace, asked.key.as_slice(), found.kept_from, at);
    page.next = found.next;
    let mut versions = PageBuilder::new(asked.bytes_max);
    for version in &found.versions {
        if versions.is_full() {
            page.next = versions.items.last().map(|last: &VersionView| last.height);
            break;
        }
        versions.push(VersionView::new(version));
    }
    page.versions = versions.items;
    PreparedAnswer::fresh(&page)
}

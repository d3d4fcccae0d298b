//! Epoch changes, by which a light client follows from one committee to the next.

use super::answers::{PageBuilder, PreparedAnswer, answer};
use super::app::Shared;
use super::params::{Caller, Params, page_limit};
use super::problem::Problem;
use super::schema::{self, IntoParams};
use axum::extract::State;
use axum::response::Response;
use rustorium_api::json::{AtView, EpochChangeView, EpochsPage};
use rustorium_types::Epoch;
use serde::Deserialize;

/// Which epoch changes are asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct EpochsParams {
    /// The first epoch whose change is listed: 0 to start at genesis.
    #[param(format = "uint64")]
    pub from: u64,
    /// Number of items on the page: 30 by default, at most 100.
    pub limit: Option<usize>,
}

/// Lists the changes that ended epochs, in order. Each has the last block of its epoch, the proof that it is final, and
/// the next committee. A page ends after 1 MiB, or after `limit` changes.
#[schema::path(
    get, path = "/v1/epochs", params(EpochsParams),
    responses(
        (status = 200, body = EpochsPage),
        (status = "4XX", description = "Error; its `code` names the kind", content_type = "application/problem+json"),
    )
)]
pub async fn epochs(
    State(app): Shared,
    caller: Caller,
    Params(params): Params<EpochsParams>,
) -> Result<Response, Problem> {
    let (limit, bytes_max) = (page_limit(params.limit)?, app.limits.answers.page_bytes_max);
    answer(&app, caller, bytes_max, move |backend| {
        let mut changes = PageBuilder::new(bytes_max);
        for epoch in (params.from..).take(limit) {
            if changes.is_full() {
                break;
            }
            // One change is read at a time: a change of a large committee has some hundred kilobytes.
            let Some(change) = backend.epoch_changes(Epoch(epoch), 1)?.pop() else { break };
            changes.push(EpochChangeView::from(&change));
        }
        // A page that ends before the newest change never changes; the last one grows.
        let cut = changes.items.len() == limit || changes.is_full();
        let changes = changes.items;
        let next = cut.then(|| params.from.saturating_add(changes.len() as u64));
        let at = AtView::new(backend.chain().shard, backend.status().executed);
        let page = EpochsPage { changes, next, at };
        if cut { PreparedAnswer::forever(&page) } else { PreparedAnswer::fresh(&page) }
    })
    .await
}

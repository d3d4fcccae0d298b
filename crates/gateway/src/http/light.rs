//! What a light client needs: the epoch changes, which lead from one committee to the next.

use super::Shared;
use super::params::{Params, page_limit};
use super::read::{IMMUTABLE, fresh, off_thread};
use crate::json::{AtView, EpochChangeView, EpochsPage};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use rustorium_types::Epoch;
use serde::Deserialize;
use utoipa::IntoParams;

/// Which epoch changes are asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct EpochsParams {
    /// The first epoch whose end is wanted: 0 to start at genesis.
    #[param(format = "uint64")]
    pub from: u64,
    /// Items of the page: 30, at most 100.
    pub limit: Option<usize>,
}

/// The changes that ended epochs, in order: each with the last block of its epoch, the proof that it is final, and the next
/// committee.
#[utoipa::path(
    get, path = "/v1/epochs", params(EpochsParams),
    responses(
        (status = 200, body = EpochsPage),
        (status = "4XX", description = "Problem", content_type = "application/problem+json"),
    )
)]
pub async fn epochs(State(app): Shared, Params(params): Params<EpochsParams>) -> Result<Response, Problem> {
    let limit = page_limit(params.limit)?;
    let changes = off_thread(&app, move |backend| backend.epoch_changes(Epoch(params.from), limit)).await?;
    let full = changes.len() == limit;
    let next = full.then(|| params.from.saturating_add(limit as u64));
    let at = AtView::new(app.backend.chain().shard, app.backend.status().executed);
    let page = EpochsPage { changes: changes.iter().map(EpochChangeView::from).collect(), next, at };
    // A full page never changes; the last one grows.
    Ok(if full { ([(header::CACHE_CONTROL, IMMUTABLE)], Json(page)).into_response() } else { fresh(page) })
}

//! Lists an account's balances.

use super::answers::{PreparedAnswer, answer};
use super::app::Shared;
use super::listing::{cursor_text, list_from};
use super::params::{Caller, Params, Segments, address, page_limit};
use super::problem::Problem;
use axum::extract::State;
use axum::response::Response;
use rustorium_api::BalanceListing;
use rustorium_api::json::{Amount, AtView, BalanceView, BalancesPage};
use serde::Deserialize;
use utoipa::IntoParams;

/// Approximate bytes of JSON of one balance.
const BALANCE_BYTES: usize = 160;

/// Parameters of a listing of balances.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct HoldingsParams {
    /// `latest` (the default) or a height, for the first page: the next ones are of the same height.
    pub at: Option<String>,
    /// The last page's `next`.
    pub cursor: Option<String>,
    /// Items of the page: 30, at most 100.
    pub limit: Option<usize>,
}

/// Lists the balances of all assets that an account holds, in no meaningful order. A short or empty page may still have
/// a next one, since a node looks at a limited number of leaves for each page. The list has no proof: `POST /v1/proofs`
/// proves the balances that it names.
#[utoipa::path(
    get, path = "/v1/accounts/{address}/balances",
    params(("address" = String, Path, description = "An account's address, `rs1…`"), HoldingsParams),
    responses(
        (status = 200, body = BalancesPage),
        (status = "4XX", description = "Error; 410 `pruned` if the listing's height is no longer kept", content_type = "application/problem+json"),
    )
)]
pub async fn balances(
    State(app): Shared,
    caller: Caller,
    Segments(text): Segments<String>,
    Params(params): Params<HoldingsParams>,
) -> Result<Response, Problem> {
    let from = list_from(params.cursor.as_deref(), params.at.as_deref())?;
    let listing = BalanceListing { account: address(&text)?, from, limit: page_limit(params.limit)? };
    answer(&app, caller, listing.limit * BALANCE_BYTES, move |backend| {
        let found = backend.balances(&listing)?;
        let view = |(asset, amount)| BalanceView { asset, balance: Amount(amount) };
        PreparedAnswer::fresh(&BalancesPage {
            account: listing.account,
            balances: found.balances.into_iter().map(view).collect(),
            next: found.next.map(cursor_text),
            at: AtView::new(backend.chain().shard, found.at),
        })
    })
    .await
}

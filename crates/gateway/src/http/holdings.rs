//! Lists an account's balances, and the grants that it gave.

use super::answers::{PreparedAnswer, answer};
use super::app::Shared;
use super::listing::{cursor_text, list_from};
use super::params::{Caller, Params, Segments, address, page_limit};
use super::problem::Problem;
use super::schema::{self, IntoParams};
use axum::extract::State;
use axum::response::Response;
use rustorium_api::json::{Amount, AtView, BalanceView, BalancesPage, GrantsPage, ListedGrant};
use rustorium_api::{BalanceListing, GrantListing};
use serde::Deserialize;

/// Approximate bytes of JSON of one balance.
const BALANCE_BYTES: usize = 160;
/// Approximate bytes of JSON of one grant.
const GRANT_BYTES: usize = 1024;

/// Parameters of a listing of balances or grants.
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
#[schema::path(
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

/// Lists the grants that an account gave, in no meaningful order, with those that allow nothing any more and still take
/// storage. A short or empty page may still have a next one, since a node looks at a limited number of leaves for each page.
/// The list has no proof: `POST /v1/proofs` proves the grants that it names.
#[schema::path(
    get, path = "/v1/accounts/{address}/grants",
    params(("address" = String, Path, description = "An account's address, `rs1…`"), HoldingsParams),
    responses(
        (status = 200, body = GrantsPage),
        (status = "4XX", description = "Error; 410 `pruned` if the listing's height is no longer kept", content_type = "application/problem+json"),
    )
)]
pub async fn grants(
    State(app): Shared,
    caller: Caller,
    Segments(text): Segments<String>,
    Params(params): Params<HoldingsParams>,
) -> Result<Response, Problem> {
    let from = list_from(params.cursor.as_deref(), params.at.as_deref())?;
    // Prefixes take twice as many bytes in JSON.
    let bytes_max = app.limits.answers.page_bytes_max / 2;
    let listing = GrantListing { account: address(&text)?, from, limit: page_limit(params.limit)?, bytes_max };
    answer(&app, caller, listing.limit * GRANT_BYTES, move |backend| {
        let found = backend.grants(&listing)?;
        let (era, time_ms) = (found.era, found.time_ms);
        let grants = found.grants.iter();
        let grants =
            grants.map(|(to, grant)| ListedGrant { to: *to, valid: grant.is_valid(time_ms, era), grant: grant.into() });
        PreparedAnswer::fresh(&GrantsPage {
            account: listing.account,
            grants_era: era,
            grants: grants.collect(),
            next: found.next.map(cursor_text),
            at: AtView::new(backend.chain().shard, found.at),
        })
    })
    .await
}

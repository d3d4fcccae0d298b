//! Records of a pool of shielded value, which wallets scan.

use super::answers::{PreparedAnswer, answer};
use super::app::Shared;
use super::params::{Caller, Params, Segments};
use super::problem::Problem;
use super::schema::{self, IntoParams};
use axum::extract::State;
use axum::response::Response;
use rustorium_api::json::{AtView, PoolRecordsPage};
use rustorium_api::{Code, ReadAt, pool_subjects};
use rustorium_types::BoundedBytes;
use serde::Deserialize;

/// Default and maximum number of records of a page: 0.8 MB.
const RECORDS_MAX: u64 = 1_000;
/// Bytes of JSON of one record.
const RECORD_BYTES: usize = 1024;

/// Which records are asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct RecordsParams {
    /// Number of the first transfer, from 0.
    #[param(format = "uint64")]
    pub from: u64,
    /// Number of records on the page: 1,000 by default and at most.
    #[param(format = "uint64")]
    pub limit: Option<u64>,
}

/// Lists a pool's transfer records, in order, for wallets; at the end a page has fewer. They are the node's claim. The
/// value `head` in the namespace of the pool's account, which can be proven, has their digest.
#[schema::path(
    get, path = "/v1/pools/{pool}/records",
    params(("pool" = u32, Path, description = "The pool's number"), RecordsParams),
    responses(
        (status = 200, body = PoolRecordsPage),
        (status = "4XX", description = "Error; its `code` names the kind", content_type = "application/problem+json"),
    )
)]
pub async fn records(
    State(app): Shared,
    caller: Caller,
    Segments(number): Segments<u32>,
    Params(params): Params<RecordsParams>,
) -> Result<Response, Problem> {
    let limit = params.limit.unwrap_or(RECORDS_MAX);
    if !(1..=RECORDS_MAX).contains(&limit) {
        return Err(Problem::new(Code::BadQuery, format!("`limit` is 1 to {RECORDS_MAX}.")));
    }
    let subjects = pool_subjects(number, params.from..params.from.saturating_add(limit));
    let about = subjects.len().saturating_mul(RECORD_BYTES);
    answer(&app, caller, about, move |backend| {
        let found = backend.read(&subjects, ReadAt::Latest)?;
        let mut values = found.values.into_iter();
        if values.next().flatten().is_none() {
            return Err(Problem::new(Code::PoolNotFound, format!("This chain has no pool {number}; see its genesis.")));
        }
        let records: Vec<Vec<u8>> = values.map_while(|value| value.map(BoundedBytes::into_vec)).collect();
        let at = AtView::new(backend.chain().shard, found.at);
        let records_hex = hex::encode(records.concat());
        PreparedAnswer::fresh(&PoolRecordsPage { pool: number, from: params.from, records_hex, at })
    })
    .await
}

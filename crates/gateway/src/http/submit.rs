//! `POST /v1/transactions`: one transaction or up to 1,000, one result each, in order.

use super::answers::sent;
use super::app::{App, Shared};
use super::bodies::{Media, read_body, reserve, too_large};
use super::params::{Caller, Params};
use super::problem::Problem;
use super::schema::{self, IntoParams, ToSchema};
use crate::metrics::HTTP;
use crate::screen::{ScreenedItems, Senders, decode_transaction, merge, screen};
use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use rustorium_api::json::{AtView, SubmissionView, SubmittedView};
use rustorium_api::{ClientSession, Code, Refused, Submitted, Wait};
use rustorium_transport::handshakes::site;
use rustorium_types::Transaction;
use rustorium_types::limits::{SUBMISSION_BYTES_MAX, SUBMISSION_TRANSACTIONS_MAX};
use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::fmt;
use tokio::time::Instant;

/// The milestone until which a submission waits.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum WaitParam {
    /// The pool holds the transaction.
    Accepted,
    /// The transaction is final and executed.
    #[default]
    Final,
    /// The transaction's result is certified.
    Certified,
}

/// Parameters of a submission.
#[derive(Clone, Copy, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct SubmitParams {
    /// Milestone to wait for; `final` by default.
    #[param(inline)]
    pub wait: WaitParam,
    /// Maximum time to wait, ms: 10,000 by default, at most 60,000.
    pub timeout_ms: Option<u64>,
}

/// A submission as JSON.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Submission<'a> {
    /// Canonical bytes of each transaction, as hex digits.
    #[serde(borrow)]
    #[schema(value_type = Vec<String>)]
    transactions: LimitedStrings<'a>,
}

/// Submits transactions.
#[schema::path(
    post, path = "/v1/transactions", params(SubmitParams),
    request_body(content((Submission<'_> = "application/json"), (Vec<u8> = "application/octet-stream"))),
    responses(
        (status = 200, description = "One result per transaction, in order", body = SubmissionView),
        (status = 202, description = "Like 200, but the outcome of at least one transaction is still unknown", body = SubmissionView),
        (status = "4XX", description = "Error; no transaction was accepted", content_type = "application/problem+json"),
        (status = 503, description = "Busy, no transaction was accepted; try again after `Retry-After`", content_type = "application/problem+json"),
    )
)]
pub async fn submit(
    State(app): Shared,
    Params(params): Params<SubmitParams>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let timeout = app.timeout(params.timeout_ms)?;
    let media = Media::of(&headers)?;
    let visit = ClientSession::of(site(caller.0));
    if let Some(retry_after_ms) = app.backend.busy(Some(visit.site())) {
        app.metrics.busy(HTTP, 1);
        return Err(Problem::busy(retry_after_ms));
    }
    let deadline = Instant::now() + timeout;
    let items = {
        let limit = media.body_bytes_max();
        let _permit = reserve(&app, &headers, limit)?;
        let bytes = read_body(body, limit, app.limits.body_timeout).await?;
        parse(media, &bytes)?
    };
    let each = if matches!(params.wait, WaitParam::Certified) { CERTIFIED_BYTES } else { RESULT_BYTES };
    let room = app.answers.take_for_results(caller, items.len() * each)?;
    app.metrics.submitted(HTTP, items.len());
    let ScreenedItems { good, places, refused } = screen(app.backend.as_ref(), Senders::OfItsShard, items.into_iter());
    let wait = match params.wait {
        WaitParam::Accepted => Wait::Accepted,
        WaitParam::Final => Wait::Final,
        WaitParam::Certified => Wait::Certified,
    };
    let answers = if good.is_empty() { Vec::new() } else { app.backend.submit(good, wait, deadline, &visit).await };
    Ok(sent(answer(&app, &merge(answers, places, refused)), room).await)
}

/// Usual bytes of one transaction's result, without and with its proof.
const RESULT_BYTES: usize = 512;
const CERTIFIED_BYTES: usize = 8 * 1024;

type Items = Vec<Result<Transaction, Refused>>;

fn parse(media: Media, bytes: &[u8]) -> Result<Items, Problem> {
    let items = match media {
        Media::Binary => parse_binary(bytes)?,
        Media::Json => parse_json(bytes)?,
    };
    if items.is_empty() {
        return Err(Problem::new(Code::NoTransactions, "Send at least one transaction."));
    }
    Ok(items)
}

fn too_many() -> Problem {
    let detail =
        format!("One request takes at most {SUBMISSION_TRANSACTIONS_MAX} transactions; send the others in the next.");
    Problem::new(Code::TooManyTransactions, detail)
}

fn parse_binary(bytes: &[u8]) -> Result<Items, Problem> {
    let bad = |what: &str| {
        Problem::new(
            Code::BadBody,
            format!("{what}; the format is a u32 count, then u32 length and bytes of each (little-endian)."),
        )
    };
    let take = |rest: &mut &[u8]| -> Option<usize> {
        let (head, tail) = rest.split_first_chunk::<4>()?;
        *rest = tail;
        usize::try_from(u32::from_le_bytes(*head)).ok()
    };
    let mut rest = bytes;
    let count = take(&mut rest).ok_or_else(|| bad("The count is missing"))?;
    if count > SUBMISSION_TRANSACTIONS_MAX {
        return Err(too_many());
    }
    let mut items = Vec::with_capacity(count);
    for _ in 0..count {
        let length = take(&mut rest).ok_or_else(|| bad("A length is missing"))?;
        let (item, tail) = rest.split_at_checked(length).ok_or_else(|| bad("A transaction ends early"))?;
        rest = tail;
        items.push(decode_transaction(item));
    }
    if rest.is_empty() { Ok(items) } else { Err(bad("There are bytes after the last transaction")) }
}

fn parse_json(bytes: &[u8]) -> Result<Items, Problem> {
    let submission: Submission<'_> = serde_json::from_slice(bytes)
        .map_err(|error| Problem::new(Code::BadBody, format!("{error}; send {{\"transactions\": [\"<hex>\"]}}.")))?;
    let LimitedStrings { items, count } = submission.transactions;
    if count > SUBMISSION_TRANSACTIONS_MAX {
        return Err(too_many());
    }
    if items.iter().map(|item| item.len() / 2).sum::<usize>() > SUBMISSION_BYTES_MAX {
        return Err(too_large(SUBMISSION_BYTES_MAX));
    }
    let bad = || {
        Refused::new("malformed-transaction", "It is not an even number of hex digits; send the canonical bytes so.")
    };
    Ok(items
        .iter()
        .map(|item| hex::decode(item.as_ref()).map_err(|_| bad()).and_then(|b| decode_transaction(&b)))
        .collect())
}

/// At most as many strings as one request may have. Further ones are counted and not kept.
struct LimitedStrings<'a> {
    items: Vec<Cow<'a, str>>,
    count: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for LimitedStrings<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = LimitedStrings<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of strings")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<LimitedStrings<'de>, A::Error> {
                let mut items = Vec::new();
                while items.len() < SUBMISSION_TRANSACTIONS_MAX {
                    match seq.next_element::<Text<'de>>()? {
                        Some(Text(item)) => items.push(item),
                        None => return Ok(LimitedStrings { count: items.len(), items }),
                    }
                }
                let mut count = items.len();
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    count += 1;
                }
                Ok(LimitedStrings { items, count })
            }
        }
        deserializer.deserialize_seq(Items)
    }
}

/// A string that borrows from the body if possible.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn answer(app: &App, results: &[Submitted]) -> Response {
    let refusals: Vec<&Refused> = results.iter().filter_map(refusal).collect();
    app.metrics.busy(HTTP, refusals.iter().filter(|refused| refused.busy).count());
    let views = results.iter().map(SubmittedView::from).collect();
    if refusals.len() == results.len() {
        return all_refused(&refusals, views).into_response();
    }
    let open = results.iter().any(|result| matches!(result, Submitted::Accepted(_) | Submitted::TimedOut(_)));
    let status = if open { StatusCode::ACCEPTED } else { StatusCode::OK };
    let at = AtView::new(app.backend.chain().shard, app.backend.status().executed);
    (status, Json(SubmissionView { results: views, at })).into_response()
}

fn refusal(result: &Submitted) -> Option<&Refused> {
    match result {
        Submitted::Refused(refused) => Some(refused),
        _ => None,
    }
}

/// Returns the problem of a submission of which nothing was taken, with the results.
fn all_refused(refusals: &[&Refused], views: Vec<SubmittedView>) -> Problem {
    let retry_after_ms = refusals.iter().filter_map(|refused| refused.retry_after_ms).max();
    let results = serde_json::to_value(views).unwrap_or_default();
    if refusals.iter().all(|refused| refused.busy) {
        return Problem::busy(retry_after_ms.unwrap_or(100)).with("results", results);
    }
    let problem = match refusals {
        [first, rest @ ..] if rest.iter().all(|other| other.code == first.code) => {
            Problem::refused(first.code, first.message.clone())
        }
        _ => Problem::new(Code::TransactionsRefused, "All were refused, for the reasons in `results`."),
    };
    problem.with("results", results)
}

//! Reads of the chain: transactions, blocks and receipts.

use super::params::{
    AfterParams, BeforeParams, Params, ProofParams, Segments, address, cursor, digest, height, none_match, page_limit,
};
use super::{App, Shared};
use crate::backend::{Backend, BackendError, BlockRef, BlockView, ProofStatus, TransactionStatus};
use crate::json::{
    AtView, BlockAnswer, PlacedTransaction, ReceiptView, ReceiptsPage, TransactionAnswer, TransactionsPage,
};
use crate::problem::{Code, Problem};
use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rustorium_types::{BlockDigest, TxId, encode};
use serde::Serialize;
use std::sync::Arc;

/// `Cache-Control` of final data.
pub(super) const IMMUTABLE: &str = "public, max-age=31536000, immutable";

/// Runs a read that may touch the disk for long off the reactor's threads.
pub(super) async fn off_thread<T: Send + 'static>(
    app: &Arc<App>,
    read: impl FnOnce(&dyn Backend) -> Result<T, BackendError> + Send + 'static,
) -> Result<T, Problem> {
    let backend = app.backend.clone();
    match tokio::task::spawn_blocking(move || read(backend.as_ref())).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(BackendError::Unavailable("the read was interrupted".to_owned()).into()),
    }
}

/// Answers with `body`, or 304 where the client holds it; `etag` names immutable data.
fn cached<T: Serialize>(headers: &HeaderMap, etag: &str, body: &T) -> Response {
    let cache = [(header::ETAG, etag), (header::CACHE_CONTROL, IMMUTABLE)];
    if none_match(headers, etag) {
        return (StatusCode::NOT_MODIFIED, cache).into_response();
    }
    (cache, Json(body)).into_response()
}

/// Answers with what may change.
pub(super) fn fresh<T: Serialize>(body: T) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn tip(app: &App) -> AtView {
    AtView::new(app.backend.chain().shard, app.backend.status().executed)
}

/// A transaction: its status and, once final, its receipt.
#[utoipa::path(
    get, path = "/v1/transactions/{id}", params(("id" = String, Path, description = "64 hex digits"), ProofParams),
    responses(
        (status = 200, body = TransactionAnswer),
        (status = 304, description = "The client holds it"),
        (status = "4XX", description = "Problem", content_type = "application/problem+json"),
    )
)]
pub async fn transaction(
    State(app): Shared,
    Segments(id): Segments<String>,
    Params(params): Params<ProofParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = TxId(digest("A transaction's id", &id)?);
    let status = off_thread(&app, move |backend| backend.transaction(&id)).await?;
    let mut answer = TransactionAnswer {
        id,
        status: "pending",
        transaction: None,
        receipt: None,
        transaction_hex: None,
        proof_hex: None,
        at: tip(&app),
    };
    let (transaction, receipt, certified) = match status {
        TransactionStatus::Unknown => {
            let detail = "Nothing is known of it here: it was never sent, it is still on its way, or it expired.";
            return Err(
                Problem::new(Code::TransactionNotFound, detail).at(answer.at.shard.0, app.backend.status().executed)
            );
        }
        TransactionStatus::Pending => return Ok(fresh(answer)),
        TransactionStatus::Final { transaction, receipt, certified } => (transaction, receipt, certified),
    };
    answer.status = if certified { "certified" } else { "final" };
    answer.transaction = Some(transaction.as_ref().into());
    answer.receipt = Some((&receipt).into());
    if params.proof {
        answer.transaction_hex = Some(hex::encode(encode(transaction.as_ref())));
        if let ProofStatus::Proof(proof) = off_thread(&app, move |backend| backend.receipt_proof(&id)).await? {
            answer.proof_hex = Some(hex::encode(encode(proof.as_ref())));
        }
    }
    if !certified || (params.proof && answer.proof_hex.is_none()) {
        return Ok(fresh(answer));
    }
    // Weak: `at` moves on while the rest stays.
    let etag = format!("W/\"{id}{}\"", if params.proof { "-proof" } else { "" });
    Ok(cached(&headers, &etag, &answer))
}

/// An account's transactions, newest first.
#[utoipa::path(
    get, path = "/v1/accounts/{address}/transactions",
    params(("address" = String, Path, description = "rs1…"), BeforeParams),
    responses(
        (status = 200, body = TransactionsPage),
        (status = "4XX", description = "Problem", content_type = "application/problem+json"),
    )
)]
pub async fn account_transactions(
    State(app): Shared,
    Segments(text): Segments<String>,
    Params(params): Params<BeforeParams>,
) -> Result<Response, Problem> {
    let id = address(&text)?;
    let limit = page_limit(params.limit)?;
    let before = cursor(params.before.as_deref())?;
    // One more than asked tells whether there is a next page.
    let mut found = off_thread(&app, move |backend| backend.account_transactions(&id, before, limit + 1)).await?;
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(height, index, _)| format!("{height}.{index}"));
    let transactions = found.into_iter().map(|(height, index, id)| PlacedTransaction { id, height, index }).collect();
    Ok(fresh(TransactionsPage { transactions, next, at: tip(&app) }))
}

fn block_ref(text: &str) -> Result<BlockRef, Problem> {
    match text {
        "latest" => Ok(BlockRef::Latest),
        // 64 digits are a digest, never a height.
        _ if text.len() < 64 => height(text)
            .map(BlockRef::Height)
            .ok_or_else(|| Problem::new(Code::BadPath, "A block is `latest`, a height, or a digest of 64 hex digits.")),
        _ => Ok(BlockRef::Digest(BlockDigest(digest("A block's digest", text)?))),
    }
}

async fn find_block(app: &Arc<App>, which: BlockRef) -> Result<BlockView, Problem> {
    let found = off_thread(app, move |backend| backend.block(which)).await?;
    found.ok_or_else(|| {
        let detail = "This node holds no such final block: it isn't final yet, or it was pruned.";
        Problem::new(Code::BlockNotFound, detail).at(app.backend.chain().shard.0, app.backend.status().executed)
    })
}

/// A final block.
#[utoipa::path(
    get, path = "/v1/blocks/{block}",
    params(("block" = String, Path, description = "`latest`, a height, or a digest of 64 hex digits"), ProofParams),
    responses(
        (status = 200, body = BlockAnswer),
        (status = 304, description = "The client holds it"),
        (status = "4XX", description = "Problem", content_type = "application/problem+json"),
    )
)]
pub async fn block(
    State(app): Shared,
    Segments(text): Segments<String>,
    Params(params): Params<ProofParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let which = block_ref(&text)?;
    let view = find_block(&app, which).await?;
    let answer = BlockAnswer::new(&view, params.proof);
    if which == BlockRef::Latest || (params.proof && answer.proof_hex.is_none()) {
        return Ok(fresh(answer));
    }
    // Certificates differ from node to node, so an answer with one is the same only weakly.
    let etag = if params.proof { format!("W/\"{}-proof\"", view.digest) } else { format!("\"{}\"", view.digest) };
    Ok(cached(&headers, &etag, &answer))
}

/// A block's receipts, in order.
#[utoipa::path(
    get, path = "/v1/blocks/{block}/receipts",
    params(("block" = String, Path, description = "`latest`, a height, or a digest of 64 hex digits"), AfterParams),
    responses(
        (status = 200, body = ReceiptsPage),
        (status = 304, description = "The client holds it"),
        (status = "4XX", description = "Problem", content_type = "application/problem+json"),
    )
)]
pub async fn block_receipts(
    State(app): Shared,
    Segments(text): Segments<String>,
    Params(params): Params<AfterParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let which = block_ref(&text)?;
    let limit = page_limit(params.limit)?;
    let after = cursor(params.after.as_deref())?;
    // A cursor of `latest` names its height, so that the pages after the first are of the same block.
    let which = after.filter(|_| which == BlockRef::Latest).map_or(which, |(height, _)| BlockRef::Height(height));
    let view = find_block(&app, which).await?;
    let height = view.block.header.height;
    let first = match after {
        Some((of, index)) if of == height => usize::try_from(index).unwrap_or(usize::MAX).saturating_add(1),
        Some(_) => return Err(Problem::new(Code::BadCursor, "This cursor is of another block's receipts.")),
        None => 0,
    };
    let page: Vec<ReceiptView> = view.receipts.iter().skip(first).take(limit).map(ReceiptView::from).collect();
    let end = first.saturating_add(page.len());
    let next = (end < view.receipts.len() && end > 0).then(|| format!("{height}.{}", end - 1));
    let etag = format!("\"{}-{first}-{limit}\"", view.digest);
    let answer = ReceiptsPage { receipts: page, next, at: BlockAnswer::new(&view, false).at };
    if which == BlockRef::Latest { Ok(fresh(answer)) } else { Ok(cached(&headers, &etag, &answer)) }
}

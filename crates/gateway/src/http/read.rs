//! Reads of the chain: transactions, blocks and receipts.

use super::answers::{PreparedAnswer, answer};
use super::app::Shared;
use super::params::{
    AfterParams, BeforeParams, Caller, Params, ProofParams, Segments, address, cursor, digest, height, page_limit,
};
use super::problem::Problem;
use super::schema;
use crate::backend::Backend;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use rustorium_api::json::{
    AtView, BlockAnswer, PlacedTransaction, ReceiptView, ReceiptsPage, TransactionAnswer, TransactionsPage,
};
use rustorium_api::{BlockRef, BlockView, Code, ProofStatus, TransactionStatus};
use rustorium_types::{BlockDigest, TxId, encode};

fn tip(backend: &dyn Backend) -> AtView {
    AtView::new(backend.chain().shard, backend.status().executed)
}

/// Usual bytes of a transaction's answer, and of a block's.
const TRANSACTION_BYTES: usize = 64 * 1024;
const BLOCK_BYTES: usize = 256 * 1024;
/// Bytes of a list of ids.
const IDS_BYTES: usize = 16 * 1024;

/// Returns a transaction's status and, once it is final, its receipt.
#[schema::path(
    get, path = "/v1/transactions/{id}", params(("id" = String, Path, description = "The transaction's id, 64 hex digits"), ProofParams),
    responses(
        (status = 200, body = TransactionAnswer),
        (status = 304, description = "Not modified; the client has the current version"),
        (status = "4XX", description = "Error; its `code` names the kind", content_type = "application/problem+json"),
    )
)]
pub async fn transaction(
    State(app): Shared,
    caller: Caller,
    Segments(id): Segments<String>,
    Params(params): Params<ProofParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = TxId(digest("A transaction's id", &id)?);
    answer(&app, caller, TRANSACTION_BYTES, move |backend| one_transaction(backend, id, params.proof, &headers)).await
}

fn one_transaction(
    backend: &dyn Backend,
    id: TxId,
    proof: bool,
    headers: &HeaderMap,
) -> Result<PreparedAnswer, Problem> {
    let mut answer = TransactionAnswer {
        id,
        status: "pending",
        transaction: None,
        receipt: None,
        transaction_hex: None,
        proof_hex: None,
        at: tip(backend),
    };
    let (transaction, receipt, certified) = match backend.transaction(&id)? {
        TransactionStatus::Unknown => {
            let detail = "This node doesn't know it: it was never sent, it is still on its way, or it expired.";
            let problem = Problem::new(Code::TransactionNotFound, detail);
            return Err(problem.at(answer.at.shard.0, backend.status().executed));
        }
        TransactionStatus::Pending => return PreparedAnswer::fresh(&answer),
        TransactionStatus::Final { transaction, receipt, certified } => (transaction, receipt, certified),
    };
    answer.at = tip(backend);
    answer.status = if certified { "certified" } else { "final" };
    answer.transaction = Some(transaction.as_ref().into());
    answer.receipt = Some((&receipt).into());
    if proof {
        answer.transaction_hex = Some(hex::encode(encode(transaction.as_ref())));
        if let ProofStatus::Proof(proof) = backend.receipt_proof(&id)? {
            answer.proof_hex = Some(hex::encode(encode(proof.as_ref())));
        }
    }
    if !certified || (proof && answer.proof_hex.is_none()) {
        return PreparedAnswer::fresh(&answer);
    }
    // The ETag is weak, because `at` changes while the rest stays the same.
    let etag = format!("W/\"{id}{}\"", if proof { "-proof" } else { "" });
    PreparedAnswer::named(headers, etag, &answer)
}

/// Lists an account's transactions, newest first.
#[schema::path(
    get, path = "/v1/accounts/{address}/transactions",
    params(("address" = String, Path, description = "An account's address, `rs1…`"), BeforeParams),
    responses(
        (status = 200, body = TransactionsPage),
        (status = "4XX", description = "Error; its `code` names the kind", content_type = "application/problem+json"),
    )
)]
pub async fn account_transactions(
    State(app): Shared,
    caller: Caller,
    Segments(text): Segments<String>,
    Params(params): Params<BeforeParams>,
) -> Result<Response, Problem> {
    let id = address(&text)?;
    let limit = page_limit(params.limit)?;
    let before = cursor(params.before.as_deref())?;
    answer(&app, caller, IDS_BYTES, move |backend| {
        // One more entry than requested shows whether there is a next page.
        let mut found = backend.account_transactions(&id, before, limit + 1)?;
        let more = found.len() > limit;
        found.truncate(limit);
        let next = found.last().filter(|_| more).map(|(height, index, _)| format!("{height}.{index}"));
        let place = |(height, index, id)| PlacedTransaction { id, height, index };
        let transactions = found.into_iter().map(place).collect();
        PreparedAnswer::fresh(&TransactionsPage { transactions, next, at: tip(backend) })
    })
    .await
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

fn find_block(backend: &dyn Backend, which: BlockRef) -> Result<BlockView, Problem> {
    backend.block(which)?.ok_or_else(|| {
        let executed = backend.status().executed;
        let detail = match which {
            BlockRef::Height(height) if height > executed.height => {
                format!("Block {height} isn't final yet: the newest block is {}.", executed.height)
            }
            _ => "This node holds no such final block: it was pruned, or it never was.".to_owned(),
        };
        Problem::new(Code::BlockNotFound, detail).at(backend.chain().shard.0, executed)
    })
}

/// Returns a final block.
#[schema::path(
    get, path = "/v1/blocks/{block}",
    params(("block" = String, Path, description = "`latest`, a height, or a digest of 64 hex digits"), ProofParams),
    responses(
        (status = 200, body = BlockAnswer),
        (status = 304, description = "Not modified; the client has the current version"),
        (status = "4XX", description = "Error; its `code` names the kind", content_type = "application/problem+json"),
    )
)]
pub async fn block(
    State(app): Shared,
    caller: Caller,
    Segments(text): Segments<String>,
    Params(params): Params<ProofParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let which = block_ref(&text)?;
    answer(&app, caller, BLOCK_BYTES, move |backend| {
        let view = find_block(backend, which)?;
        let answer = BlockAnswer::new(&view, params.proof);
        if which == BlockRef::Latest || (params.proof && answer.proof_hex.is_none()) {
            return PreparedAnswer::fresh(&answer);
        }
        // Certificates differ from node to node, so an answer with one is the same only weakly.
        let etag = if params.proof { format!("W/\"{}-proof\"", view.digest) } else { format!("\"{}\"", view.digest) };
        PreparedAnswer::named(&headers, etag, &answer)
    })
    .await
}

/// Lists a block's receipts, in order.
#[schema::path(
    get, path = "/v1/blocks/{block}/receipts",
    params(("block" = String, Path, description = "`latest`, a height, or a digest of 64 hex digits"), AfterParams),
    responses(
        (status = 200, body = ReceiptsPage),
        (status = 304, description = "Not modified; the client has the current version"),
        (status = "4XX", description = "Error; its `code` names the kind", content_type = "application/problem+json"),
    )
)]
pub async fn block_receipts(
    State(app): Shared,
    caller: Caller,
    Segments(text): Segments<String>,
    Params(params): Params<AfterParams>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let which = block_ref(&text)?;
    let limit = page_limit(params.limit)?;
    let after = cursor(params.after.as_deref())?;
    // A cursor of `latest` names its height, so that the following pages are of the same block.
    let which = after.filter(|_| which == BlockRef::Latest).map_or(which, |(height, _)| BlockRef::Height(height));
    answer(&app, caller, BLOCK_BYTES, move |backend| {
        let view = find_block(backend, which)?;
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
        if which == BlockRef::Latest {
            PreparedAnswer::fresh(&answer)
        } else {
            PreparedAnswer::named(&headers, etag, &answer)
        }
    })
    .await
}

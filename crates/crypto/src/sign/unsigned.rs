//! A batch that is made but not signed yet, for a node whose author key is held by another process.

use super::{CheckedBatch, Verified, batch_signature_bytes, verify};
use crate::hash::batch_digest;
use rustorium_types::{Batch, BatchBody, BatchDigest, PublicKey, Signature, Transaction, TxId};
use std::sync::Arc;

/// A batch that this node made, whose transactions were verified and whose author has not signed yet.
#[derive(Clone, Debug)]
pub struct UnsignedBatch {
    digest: BatchDigest,
    ids: Vec<TxId>,
    body: BatchBody,
}

impl UnsignedBatch {
    /// Makes a batch of transactions that were verified when they were admitted.
    pub fn new(
        transactions: Vec<(TxId, Arc<Verified<Transaction>>)>,
        body: impl FnOnce(Vec<Transaction>) -> BatchBody,
    ) -> Self {
        let plain = |t: Arc<Verified<Transaction>>| Arc::unwrap_or_clone(t).into_inner();
        let (ids, transactions): (Vec<_>, Vec<_>) = transactions.into_iter().map(|(id, t)| (id, plain(t))).unzip();
        let body = body(transactions);
        Self { digest: batch_digest(&body), ids, body }
    }

    /// Returns the content to be signed.
    pub fn body(&self) -> &BatchBody {
        &self.body
    }

    /// Returns the transaction ids, in order.
    pub fn ids(&self) -> &[TxId] {
        &self.ids
    }

    /// Returns the batch with its author's signature; `None` if the signature doesn't hold.
    pub fn signed(self, author: &PublicKey, signature: Signature) -> Option<CheckedBatch> {
        let holds = verify(author, &batch_signature_bytes(&self.digest), &signature);
        let batch = Batch { body: self.body, signature };
        holds.then_some(CheckedBatch { digest: self.digest, ids: self.ids, batch: Verified(batch) })
    }
}

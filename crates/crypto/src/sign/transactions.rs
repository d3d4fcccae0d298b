//! The signatures of transactions in both forms, made and checked.
//!
//! *Invariants:* all checks are given the chain, which no transaction of version 2 names (V16); at most `TOGETHER_MAX`
//! signatures are checked by one equation.

use super::{Claim, SigningKey, Verified, bisect, entry};
use crate::hash::{bytes_on, transaction2_bytes};
use rustorium_types::{ChainId, Signature2, SignerKey, Transaction, Transaction2, TransactionBody2, TxId};

/// Signatures that are checked by one equation, so that a false one spoils the check of few others (V20).
const TOGETHER_MAX: usize = 256;

impl SigningKey {
    /// Signs the body of a transaction of version 2 as one of its authority's keys.
    pub fn sign_body2(&self, chain: &ChainId, body: &TransactionBody2) -> Signature2 {
        Signature2::Ed25519(self.sign(&transaction2_bytes(chain, body)))
    }
}

/// Checks all signatures of transactions together and bisects to find the bad transactions: one result each, in order,
/// with the id. A transaction holds if all its signatures do.
pub fn verify_transactions(
    chain: &ChainId,
    transactions: Vec<Transaction>,
) -> Vec<Result<(TxId, Verified<Transaction>), Transaction>> {
    let bytes: Vec<Vec<u8>> = transactions.iter().map(|transaction| bytes_on(chain, transaction)).collect();
    let signed: Vec<_> = transactions.iter().zip(bytes.iter().map(Vec::as_slice)).collect();
    let good = which_hold(&signed);
    let mut results = Vec::with_capacity(good.len());
    for ((transaction, bytes), good) in transactions.into_iter().zip(bytes).zip(good) {
        results.push(if good { Ok((entry::id_of_signed(&bytes), Verified(transaction))) } else { Err(transaction) });
    }
    results
}

/// Tells which transactions' signatures hold, in order. Each transaction comes with its signed bytes.
pub(super) fn which_hold(transactions: &[(&Transaction, &[u8])]) -> Vec<bool> {
    let counts: Vec<usize> = transactions.iter().map(|(transaction, _)| transaction.signatures()).collect();
    let claims: Vec<Claim<'_>> = transactions.iter().flat_map(|(t, bytes)| claims_of(t, bytes)).collect();
    let mut good = vec![false; transactions.len()];
    let (mut transaction, mut claim) = (0, 0);
    while transaction < counts.len() {
        let (some, signatures) = group(&counts[transaction..]);
        let own = transaction..transaction + some;
        bisect(&claims[claim..claim + signatures], &counts[own.clone()], &mut good[own]);
        (transaction, claim) = (transaction + some, claim + signatures);
    }
    good
}

/// Returns each signature of a transaction with its key and the signed bytes.
pub(super) fn claims_of<'a>(transaction: &'a Transaction, bytes: &'a [u8]) -> impl Iterator<Item = Claim<'a>> {
    let (first, second) = match transaction {
        Transaction::V1(transaction) => (Some((&transaction.body.public_key, &transaction.signature)), None),
        Transaction::V2(transaction) => (None, Some(transaction)),
    };
    let second = second.into_iter().flat_map(Transaction2::signed_by);
    let second = second.map(|(SignerKey::Ed25519(key), Signature2::Ed25519(signature))| (key, signature));
    first.into_iter().chain(second).map(move |(key, signature)| (key, bytes, signature))
}

/// Returns the number of leading transactions, and of their signatures, that are checked by one equation.
fn group(counts: &[usize]) -> (usize, usize) {
    let mut group = (0, 0);
    for count in counts {
        if group.0 > 0 && group.1 + count > TOGETHER_MAX {
            break;
        }
        group = (group.0 + 1, group.1 + count);
    }
    group
}

//! Proofs of receipts and transactions under a certified result root.

use super::final_header::Trust;
use super::refused::{ProofRefused, Unprovable};
use rustorium_crypto::{id_on, merkle, receipt_leaf, result_root, verify_transactions};
use rustorium_types::{
    BlockProof, BoundedVec, Charter, Genesis, Hash, Header, Receipt, ReceiptProof, ResultLink, TransactionProof,
};

/// Builds a receipt's proof. `receipts` are all of its height, and `previous_root` is the result root before it.
/// `links` are those from its height to the one that `header` claims. `proof` proves that this header is final.
///
/// # Errors
/// [`Unprovable`].
pub fn prove_receipt(
    receipts: &[Receipt],
    index: usize,
    previous_root: Hash,
    links: Vec<ResultLink>,
    header: Header,
    proof: BlockProof,
) -> Result<ReceiptProof, Unprovable> {
    let leaves: Vec<Hash> = receipts.iter().map(receipt_leaf).collect();
    let no_such = Unprovable::NoSuchReceipt { index, receipts: receipts.len() };
    let receipt = receipts.get(index).ok_or(no_such)?.clone();
    let siblings = merkle::path(&leaves, index).and_then(|path| BoundedVec::new(path).ok()).ok_or(no_such)?;
    let count = links.len();
    let links = BoundedVec::new(links).map_err(|_| Unprovable::TooManyLinks(count))?;
    let receipts = merkle::least_count(index, receipts.len()) as u32;
    Ok(ReceiptProof { receipt, receipts, siblings, previous_root, links, header, proof })
}

/// Checks a receipt's proof against the genesis alone.
///
/// # Errors
/// [`ProofRefused`].
pub fn verify_receipt(genesis: &Genesis, proof: &ReceiptProof) -> Result<(), ProofRefused> {
    let trust = Trust::for_header(genesis, &proof.header);
    check_receipt(proof, &trust.charter)?;
    trust.check_final(&proof.header, &proof.proof).map(|_| ())
}

/// Checks the chain from a receipt to its header's claim, in a shard with this charter. The caller must check that the
/// header is final.
///
/// # Errors
/// [`ProofRefused`].
pub fn check_receipt(proof: &ReceiptProof, charter: &Charter) -> Result<(), ProofRefused> {
    let receipt = &proof.receipt;
    let (header, expected) = (proof.header.shard, charter.shard);
    if header != expected {
        return Err(ProofRefused::OtherShard { header, expected });
    }
    if !charter.serves(&receipt.sender) {
        return Err(ProofRefused::Elsewhere { account: receipt.sender, shard: charter.shard });
    }
    let Some(first) = proof.links.first() else {
        return Err(ProofRefused::LinkCount { links: 0, needed: 1 });
    };
    let (index, count) = (receipt.index as usize, proof.receipts as usize);
    let root = merkle::root_from_path(receipt_leaf(receipt), index, count, &proof.siblings);
    let least = merkle::least_count(index, count) == count;
    if root != Some(first.receipts) || !least {
        return Err(ProofRefused::NotInReceipts);
    }
    let claim = &proof.header.result;
    let span = claim.height.0.checked_sub(receipt.height.0).and_then(|heights| heights.checked_add(1));
    // A claim below the receipt's height proves nothing about it, however many links there are.
    let (links, needed) = (proof.links.len() as u64, span.unwrap_or(0));
    if links != needed {
        return Err(ProofRefused::LinkCount { links, needed });
    }
    let root = proof
        .links
        .iter()
        .fold(proof.previous_root, |root, link| result_root(&root, &link.receipts, &link.diff, &link.outbox));
    if root == claim.root { Ok(()) } else { Err(ProofRefused::OtherRoot) }
}

/// Checks a transaction's proof against the genesis alone.
///
/// # Errors
/// [`ProofRefused`].
pub fn verify_transaction(genesis: &Genesis, proof: &TransactionProof) -> Result<(), ProofRefused> {
    let header = &proof.receipt.header;
    let trust = Trust::for_header(genesis, header);
    check_transaction(proof, &trust.charter)?;
    trust.check_final(header, &proof.receipt.proof).map(|_| ())
}

/// Checks that a receipt belongs to this transaction, that the transaction's keys signed it, and the chain from the
/// receipt to its header's claim, in a shard with this charter. The caller must check that the header is final.
///
/// # Errors
/// [`ProofRefused`].
pub fn check_transaction(proof: &TransactionProof, charter: &Charter) -> Result<(), ProofRefused> {
    let (transaction, receipt) = (&proof.transaction, &proof.receipt.receipt);
    let chain = &proof.receipt.header.chain;
    if id_on(chain, transaction) != receipt.transaction {
        return Err(ProofRefused::OtherTransaction);
    }
    // The id doesn't cover the signatures, so with a receipt alone any signatures would pass.
    if !verify_transactions(chain, vec![transaction.clone()]).iter().all(Result::is_ok) {
        return Err(ProofRefused::BadSignature);
    }
    check_receipt(&proof.receipt, charter)
}

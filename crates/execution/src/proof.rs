//! What a client can check with the genesis alone: that a block is final, that a receipt is what a quorum certified.
//!
//! *Invariants:* every byte of a proof matters: no field can be changed without refusal; a refusal names the part.

use crate::genesis::{ChainHashes, genesis as genesis_state, hashes};
use rustorium_crypto::{block_digest, merkle, receipt_leaf, result_root, verify_certificate};
use rustorium_types::{
    BlockDigest, BlockProof, BoundedVec, Epoch, Genesis, Hash, Header, PublicKey, Receipt, ReceiptProof, ResultLink,
    VoteKind,
};
use thiserror::Error;

/// Why a proof shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProofRefused {
    /// A header of another chain, shard or protocol version.
    #[error("the proof is of another chain; check that the genesis file is the chain's")]
    OtherChain,
    /// A header of another epoch than the genesis committee's.
    #[error("the header's epoch is not the genesis committee's; a proof of its committee is needed")]
    OtherEpoch,
    /// A header with other settings than the genesis.
    #[error("the header names another committee, parameters or shard map than the genesis")]
    OtherSettings,
    /// The descendants don't follow each other.
    #[error("header {0} of the proof does not follow the one before it")]
    NotAChain(usize),
    /// The certificate is of another block, or is no finalization.
    #[error("the certificate does not finalize the proof's last header")]
    OtherBlock,
    /// Too few or bad signatures.
    #[error("the certificate lacks a quorum of good signatures")]
    BadCertificate,
    /// A height-0 header that isn't the genesis' own.
    #[error("the header at height 0 is not the genesis block's")]
    OtherGenesis,
    /// The receipt is not in its height's receipts tree.
    #[error("the receipt is not under the receipts root of its height")]
    NotInReceipts,
    /// The links don't span from the receipt's height to the claimed one.
    #[error("the proof has {links} links, the heights from receipt to claim need {needed}")]
    LinkCount {
        /// Links in the proof.
        links: u64,
        /// Links needed.
        needed: u64,
    },
    /// The links lead to another root than the header claims.
    #[error("the links do not lead to the result root that the header claims")]
    OtherRoot,
}

/// Why a proof can't be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Unprovable {
    /// The height has fewer receipts.
    #[error("there is no receipt {index} among the {receipts} of the height")]
    NoSuchReceipt {
        /// Asked for.
        index: usize,
        /// There are.
        receipts: usize,
    },
    /// The claim is too far above the receipt.
    #[error("{0} links are too many for one proof; use a header that claims a height nearer to the receipt's")]
    TooManyLinks(usize),
}

/// Puts a receipt's proof together: `receipts` are all of its height, `previous_root` is the result root before it,
/// `links` are those of its height up to the one that `header` claims, and `proof` shows that this header is final.
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
    Ok(ReceiptProof { receipt, receipts: receipts.len() as u32, siblings, previous_root, links, header, proof })
}

/// Checks a receipt's proof against the genesis alone.
pub fn verify_receipt(genesis: &Genesis, proof: &ReceiptProof) -> Result<(), ProofRefused> {
    let receipt = &proof.receipt;
    let Some(first) = proof.links.first() else {
        return Err(ProofRefused::LinkCount { links: 0, needed: 1 });
    };
    let (index, count) = (receipt.index as usize, proof.receipts as usize);
    if merkle::root_from_path(receipt_leaf(receipt), index, count, &proof.siblings) != Some(first.receipts) {
        return Err(ProofRefused::NotInReceipts);
    }
    let claim = &proof.header.result;
    let span = claim.height.0.checked_sub(receipt.height.0).and_then(|heights| heights.checked_add(1));
    // A claim below the receipt's height says nothing about it, however many links there are.
    let (links, needed) = (proof.links.len() as u64, span.unwrap_or(0));
    if links != needed {
        return Err(ProofRefused::LinkCount { links, needed });
    }
    let root = proof
        .links
        .iter()
        .fold(proof.previous_root, |root, link| result_root(&root, &link.receipts, &link.diff, &link.outbox));
    if root != claim.root {
        return Err(ProofRefused::OtherRoot);
    }
    verify_block(genesis, &proof.header, &proof.proof)
}

/// Checks that `header` is final on the genesis' chain.
pub fn verify_block(genesis: &Genesis, header: &Header, proof: &BlockProof) -> Result<(), ProofRefused> {
    if header.height.0 == 0 {
        // Genesis is final by itself; its proof is that it is the pinned one.
        let same = block_digest(header) == genesis_state(genesis).digest;
        return if same { Ok(()) } else { Err(ProofRefused::OtherGenesis) };
    }
    let hashes = hashes(genesis);
    check_settings(&hashes, genesis, header)?;
    let certified = check_descendants(header, proof)?;
    let (last, digest) = certified;
    let body = &proof.finalization.body;
    let place = (body.chain, body.shard, body.epoch, body.view, body.kind, body.block);
    if place != (hashes.chain, last.shard, last.epoch, last.view, VoteKind::Finalize, digest) {
        return Err(ProofRefused::OtherBlock);
    }
    let keys: Vec<PublicKey> = genesis.validators.iter().map(|validator| validator.validator_key).collect();
    match verify_certificate(&keys, proof.finalization.clone()) {
        Some(_) => Ok(()),
        None => Err(ProofRefused::BadCertificate),
    }
}

fn check_settings(hashes: &ChainHashes, genesis: &Genesis, header: &Header) -> Result<(), ProofRefused> {
    if (header.chain, header.version) != (hashes.chain, genesis.version) {
        return Err(ProofRefused::OtherChain);
    }
    if header.epoch != Epoch(0) {
        return Err(ProofRefused::OtherEpoch);
    }
    let settings = (header.validator_set, header.parameters, header.shard_map);
    if settings != (hashes.validator_set, hashes.parameters, hashes.shard_map) {
        return Err(ProofRefused::OtherSettings);
    }
    Ok(())
}

/// The last of the headers from `header` on, each of which must be the child of the one before; with its digest.
fn check_descendants<'a>(header: &'a Header, proof: &'a BlockProof) -> Result<(&'a Header, BlockDigest), ProofRefused> {
    let mut last = (header, block_digest(header));
    for (index, child) in proof.descendants.iter().enumerate() {
        let (parent, digest) = last;
        let follows = child.parent == digest
            && child.parent_view == parent.view
            && child.view > parent.view
            && child.height == parent.height.next()
            && child.time_ms > parent.time_ms
            && (child.chain, child.shard, child.epoch) == (parent.chain, parent.shard, parent.epoch)
            && child.validator_set == parent.validator_set;
        if !follows {
            return Err(ProofRefused::NotAChain(index));
        }
        last = (child, block_digest(child));
    }
    Ok(last)
}

//! Whom a verifier believes, and what they made final.

use super::ProofRefused;
use crate::genesis::{genesis as genesis_state, hashes};
use rustorium_crypto::{block_digest, verify_certificate};
use rustorium_types::{
    BlockDigest, BlockProof, ChainId, Epoch, Genesis, Hash, Header, Height, PublicKey, ValidatorSet, VoteKind,
};

/// What a verifier takes for granted: a chain, a final block of it, and the committee of the epoch above that block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trust {
    /// The chain.
    pub chain: ChainId,
    /// The protocol version of its headers.
    pub version: u16,
    /// Hash of the chain parameters.
    pub parameters: Hash,
    /// Hash of the shard map.
    pub shard_map: Hash,
    /// The committee's epoch.
    pub epoch: Epoch,
    /// Hash of the committee.
    pub validator_set: Hash,
    /// The committee.
    pub validators: ValidatorSet,
    /// Height of the trusted block: genesis, or the last block of the epoch before.
    pub height: Height,
    /// Its digest.
    pub digest: BlockDigest,
    /// Its time, Unix ms.
    pub time_ms: u64,
}

impl Trust {
    /// What follows from a genesis.
    pub fn genesis(genesis: &Genesis) -> Self {
        let hashes = hashes(genesis);
        Self {
            chain: hashes.chain,
            version: genesis.version,
            parameters: hashes.parameters,
            shard_map: hashes.shard_map,
            epoch: Epoch(0),
            validator_set: hashes.validator_set,
            validators: genesis.validators.clone(),
            height: Height(0),
            digest: genesis_state(genesis).digest,
            time_ms: genesis.time_ms,
        }
    }

    /// Checks that `header` is final on the chain, in the epoch of this committee; its digest.
    ///
    /// # Errors
    /// [`ProofRefused`].
    pub fn check_final(&self, header: &Header, proof: &BlockProof) -> Result<BlockDigest, ProofRefused> {
        let digest = block_digest(header);
        if header.height == self.height && digest == self.digest {
            return Ok(digest);
        }
        if header.height == Height(0) {
            // Genesis is final by itself; its proof is that it is the pinned one.
            return Err(ProofRefused::OtherGenesis);
        }
        self.check_settings(header)?;
        let (last, certified) = check_descendants(header, digest, proof)?;
        let body = &proof.finalization.body;
        let place = (body.chain, body.shard, body.epoch, body.view, body.kind, body.block);
        if place != (self.chain, last.shard, last.epoch, last.view, VoteKind::Finalize, certified) {
            return Err(ProofRefused::OtherBlock);
        }
        let keys: Vec<PublicKey> = self.validators.iter().map(|validator| validator.validator_key).collect();
        match verify_certificate(&keys, proof.finalization.clone()) {
            Some(_) => Ok(digest),
            None => Err(ProofRefused::BadCertificate),
        }
    }

    fn check_settings(&self, header: &Header) -> Result<(), ProofRefused> {
        if (header.chain, header.version) != (self.chain, self.version) {
            return Err(ProofRefused::OtherChain);
        }
        if header.epoch != self.epoch {
            return Err(ProofRefused::OtherEpoch { header: header.epoch, trusted: self.epoch });
        }
        if header.height <= self.height {
            return Err(ProofRefused::Below(header.height));
        }
        let settings = (header.validator_set, header.parameters, header.shard_map);
        if settings != (self.validator_set, self.parameters, self.shard_map) {
            return Err(ProofRefused::OtherSettings);
        }
        Ok(())
    }
}

/// Checks that `header` is final in the epoch of a genesis' committee.
///
/// # Errors
/// [`ProofRefused`].
pub fn verify_block(genesis: &Genesis, header: &Header, proof: &BlockProof) -> Result<(), ProofRefused> {
    Trust::genesis(genesis).check_final(header, proof).map(|_| ())
}

/// The last of the headers from `header` on, each of which must be the child of the one before; with its digest.
fn check_descendants<'a>(
    header: &'a Header,
    digest: BlockDigest,
    proof: &'a BlockProof,
) -> Result<(&'a Header, BlockDigest), ProofRefused> {
    let mut last = (header, digest);
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

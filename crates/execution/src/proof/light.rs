//! A light client's state: the committees that it trusts, one after the other from its anchor.
//!
//! *Invariants:* however long the chain, it keeps the anchor, the committee after it, the newest one and some between; of
//! each that it keeps but the newest it knows when it retired, or nobody asks; a committee comes in only by an epoch change that the one before it made final; what was checked is not checked again.

use super::{ProofRefused, ShownRead, Trust, check_read, check_receipt, check_transaction};
use rustorium_crypto::block_digest;
use rustorium_types::{BlockDigest, BlockProof, Epoch, EpochChange, Header, Proof, seeded};
use std::collections::{BTreeMap, VecDeque};

/// Committees kept, the anchor's included.
const COMMITTEES_MAX: usize = 64;
/// Digests of final headers kept.
const HEADERS_MAX: usize = 256;

/// What a proof shows besides itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shown {
    /// Digest of the final header that everything hangs on.
    pub digest: BlockDigest,
    /// Of a read: where it holds.
    pub read: Option<ShownRead>,
}

/// The state of a light client.
#[derive(Clone, Debug)]
pub struct Light {
    anchor: Trust,
    /// The anchor's epoch and later ones.
    trusts: BTreeMap<Epoch, Trust>,
    trust_period_ms: Option<u64>,
    checked: VecDeque<BlockDigest>,
}

impl Light {
    /// Starts from what is taken for granted. With a trust period, committees that retired longer ago prove nothing: their
    /// keys may be anybody's by now.
    pub fn new(anchor: Trust, trust_period_ms: Option<u64>) -> Self {
        let trusts = BTreeMap::from([(anchor.epoch, anchor.clone())]);
        Self { anchor, trusts, trust_period_ms, checked: VecDeque::new() }
    }

    /// The newest committee that it trusts.
    pub fn newest(&self) -> &Trust {
        self.trusts.last_key_value().map_or(&self.anchor, |(_, trust)| trust)
    }

    /// The newest known epoch up to this one, from which changes are needed to reach it; none where it began later.
    pub fn known_up_to(&self, epoch: Epoch) -> Option<Epoch> {
        self.trusts.range(..=epoch).next_back().map(|(epoch, _)| *epoch)
    }

    /// Takes the change that ended a known epoch; the epoch that follows.
    ///
    /// # Errors
    /// [`ProofRefused`]; then nothing has changed.
    pub fn follow(&mut self, change: &EpochChange, now_ms: u64) -> Result<Epoch, ProofRefused> {
        let of = change.boundary.epoch;
        let before = self.trusts.get(&of).ok_or_else(|| self.unknown(of))?;
        self.check_age(change.boundary.time_ms, now_ms)?;
        let next = before.follow(change)?;
        let epoch = next.epoch;
        match self.trusts.get(&epoch) {
            // The committee before made two ends final: more of it than may be are traitors.
            Some(known)
                if (known.digest, known.validator_set) != (next.digest, next.validator_set)
                    && !seeded::bug("two-ends-unnoticed") =>
            {
                return Err(ProofRefused::TwoEnds(of));
            }
            Some(_) => {}
            None => {
                self.trusts.insert(epoch, next);
            }
        }
        if self.trusts.len() > COMMITTEES_MAX {
            // The committee after the anchor's tells when that one retired: without it, it would count for ever.
            let anchors = [self.anchor.epoch, self.anchor.epoch.next()];
            let kept = |old: &Epoch| anchors.contains(old) || [epoch, self.newest().epoch].contains(old);
            let between = self.trusts.keys().copied().find(|old| !kept(old));
            between.map(|old| self.trusts.remove(&old));
        }
        Ok(epoch)
    }

    /// Forgets which headers were checked, so that every byte of the next proof counts: for one that is handed on.
    pub fn forget_checked(&mut self) {
        self.checked.clear();
    }

    /// Checks that a header is final; its digest.
    ///
    /// # Errors
    /// [`ProofRefused`]; `OtherEpoch` where changes must be followed first.
    pub fn check_final(
        &mut self,
        header: &Header,
        proof: &BlockProof,
        now_ms: u64,
    ) -> Result<BlockDigest, ProofRefused> {
        let trust = self.trusts.get(&header.epoch).ok_or_else(|| self.unknown(header.epoch))?;
        if let Some(after) = self.trusts.get(&header.epoch.next()) {
            self.check_age(after.time_ms, now_ms)?;
        }
        let digest = block_digest(header);
        // The digest covers all of the header, so that another certificate for it could show no more.
        if self.checked.contains(&digest) {
            return Ok(digest);
        }
        trust.check_final(header, proof)?;
        self.checked.push_front(digest);
        self.checked.truncate(HEADERS_MAX);
        Ok(digest)
    }

    /// Checks a proof of any kind.
    ///
    /// # Errors
    /// [`ProofRefused`]; `OtherEpoch` where changes must be followed first.
    pub fn check(&mut self, proof: &Proof, now_ms: u64) -> Result<Shown, ProofRefused> {
        let mut is_final = |header: &Header, proof: &BlockProof| self.check_final(header, proof, now_ms);
        match proof {
            Proof::Read(read) => {
                let shown = check_read(read, || is_final(&read.header, &read.proof))?;
                Ok(Shown { digest: shown.digest, read: Some(shown) })
            }
            Proof::Receipt(receipt) => {
                check_receipt(receipt)?;
                Ok(Shown { digest: is_final(&receipt.header, &receipt.proof)?, read: None })
            }
            Proof::Transaction(transaction) => {
                check_transaction(transaction)?;
                let receipt = &transaction.receipt;
                Ok(Shown { digest: is_final(&receipt.header, &receipt.proof)?, read: None })
            }
            Proof::Block(block) => Ok(Shown { digest: is_final(&block.header, &block.proof)?, read: None }),
        }
    }

    fn unknown(&self, epoch: Epoch) -> ProofRefused {
        let trusted = self.known_up_to(epoch).unwrap_or(self.anchor.epoch);
        ProofRefused::OtherEpoch { header: epoch, trusted }
    }

    /// Whether a committee that retired at this time still counts.
    fn check_age(&self, retired_ms: u64, now_ms: u64) -> Result<(), ProofRefused> {
        match self.trust_period_ms {
            Some(period_ms) if retired_ms.saturating_add(period_ms) < now_ms && !seeded::bug("trust-without-end") => {
                Err(ProofRefused::TooOld { period_ms })
            }
            _ => Ok(()),
        }
    }
}

/// The header of a proof on which all of it hangs.
pub fn header_of(proof: &Proof) -> &Header {
    match proof {
        Proof::Read(read) => &read.header,
        Proof::Receipt(receipt) => &receipt.header,
        Proof::Transaction(transaction) => &transaction.receipt.header,
        Proof::Block(block) => &block.header,
    }
}

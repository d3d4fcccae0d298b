//! A light client's state: the committees that it trusts, one after the other from its anchor.
//!
//! *Invariants:* the state is bounded, however long the chain; a committee is added only by an epoch change that the
//! previous one made final; a committee's age follows from trusted data and the caller's clock, never from offered
//! data; a header above the known end of its epoch, or from the future, never counts; a checked header is not checked
//! again.

use super::committees::{Committees, EpochEnd};
use super::final_header::Trust;
use super::read::{ReadState, check_read};
use super::receipt::{check_receipt, check_transaction};
use super::refused::ProofRefused;
use super::signers::CheckedHeader;
use rustorium_crypto::block_digest;
use rustorium_types::{BlockDigest, BlockProof, Epoch, EpochTransition, Header, HeaderProof, Proof};
use std::collections::VecDeque;

/// Number of checked headers that are kept, by digest and signers.
const HEADERS_MAX: usize = 256;
/// Longest time by which a header may be ahead of the caller's clock, ms. Validators allow seconds; a client's clock
/// may be worse.
pub const HEADER_AHEAD_MS_MAX: u64 = 60_000;

/// The results of a proof in addition to its content.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckedProof {
    /// Digest of the final header that the whole proof depends on.
    pub digest: BlockDigest,
    /// For a read proof, the state in which its values hold.
    pub read: Option<ReadState>,
}

/// The state of a light client.
#[derive(Clone, Debug)]
pub struct Light {
    pub(super) committees: Committees,
    trust_period_ms: Option<u64>,
    pub(super) checked: VecDeque<CheckedHeader>,
    /// A time that has certainly passed: the anchor's, or that of a final header. Setting the clock back can't make it
    /// earlier.
    pub(super) passed_ms: u64,
}

impl Light {
    /// Starts from an anchor that is taken for granted. With a trust period, committees that retired longer ago prove
    /// nothing: anybody may have their keys by now.
    pub fn new(anchor: Trust, trust_period_ms: Option<u64>) -> Self {
        let passed_ms = anchor.time_ms;
        Self::of(Committees::new(anchor), trust_period_ms, passed_ms)
    }

    pub(super) fn of(committees: Committees, trust_period_ms: Option<u64>, passed_ms: u64) -> Self {
        Self { committees, trust_period_ms, checked: VecDeque::new(), passed_ms }
    }

    /// Returns the newest trusted committee.
    pub fn newest(&self) -> &Trust {
        self.committees.newest()
    }

    /// Returns the newest known epoch up to `epoch`, from which changes must be followed to reach it; `None` if the
    /// known ones are all later.
    pub fn known_up_to(&self, epoch: Epoch) -> Option<Epoch> {
        self.committees.trusts.range(..=epoch).next_back().map(|(epoch, _)| *epoch)
    }

    /// Returns the epochs between which changes are needed to check a header: from the newest known epoch up to the
    /// header's. `None` if its committee is known, or its epoch is before everything that is trusted.
    ///
    /// # Errors
    /// `OtherShard` of [`ProofRefused`]: no change of the trusted shard leads there.
    pub fn missing(&self, header: &Header) -> Result<Option<(Epoch, Epoch)>, ProofRefused> {
        self.newest().check_shard(header)?;
        let known = self.known_up_to(header.epoch).filter(|known| *known < header.epoch);
        Ok(known.map(|known| (known, header.epoch)))
    }

    /// Returns the end of an epoch; `None` if the epoch is not over, or its end isn't known any more.
    pub fn end_of(&self, epoch: Epoch) -> Option<EpochEnd> {
        self.committees.end_of(epoch)
    }

    /// Returns the signed last block of an epoch that was followed and is still kept: evidence, if somebody shows
    /// another end.
    pub fn signed_end(&self, epoch: Epoch) -> Option<&HeaderProof> {
        self.committees.signed_end(epoch)
    }

    /// Checks that the newest committee's keys still count.
    ///
    /// # Errors
    /// [`ProofRefused::TooOld`].
    pub fn check_trust(&self, now_ms: u64) -> Result<(), ProofRefused> {
        let newest = self.newest();
        self.check_age(newest.epoch, self.committees.retired_ms(newest), self.now_ms(now_ms))
    }

    /// Follows the change that ended a known epoch. Returns the next epoch.
    ///
    /// # Errors
    /// [`ProofRefused`]. Then nothing has changed.
    pub fn follow(&mut self, change: &EpochTransition, now_ms: u64) -> Result<Epoch, ProofRefused> {
        let (boundary, now_ms) = (change.boundary(), self.now_ms(now_ms));
        let before = self.trust_of(boundary.epoch, now_ms)?;
        self.check_age(boundary.epoch, boundary.time_ms, now_ms)?;
        check_ahead(boundary, now_ms)?;
        let next = before.follow(change)?;
        let period_ms = self.trust_period_ms;
        self.committees.take(change, next, |known, trust| is_over(period_ms, known.retired_ms(trust), now_ms))
    }

    /// Forgets which headers were checked, so that every byte of the next proof is checked. For a proof that is passed
    /// on.
    pub fn forget_checked(&mut self) {
        self.checked.clear();
    }

    /// Checks that a header is final. Returns its digest.
    ///
    /// # Errors
    /// [`ProofRefused`]; `OtherEpoch` if changes must be followed first.
    pub fn check_final(
        &mut self,
        header: &Header,
        proof: &BlockProof,
        now_ms: u64,
    ) -> Result<BlockDigest, ProofRefused> {
        let clock_ms = now_ms;
        let now_ms = self.now_ms(now_ms);
        let trust = self.trust_of(header.epoch, now_ms)?;
        check_ahead(header, now_ms)?;
        let digest = block_digest(header);
        // The digest covers the whole header, so another certificate for it could prove nothing more.
        let known = self.checked.iter().any(|one| one.digest == digest);
        if !known {
            trust.check_final(header, proof)?;
        }
        let signed = (!known).then(|| CheckedHeader::new(trust, header, digest, proof));
        // An end that has become known since may lie below a header that was final before.
        self.committees.check_ended(header, digest)?;
        self.passed_ms = self.passed_ms.max(header.time_ms.min(clock_ms));
        if let Some(signed) = signed {
            self.checked.push_front(signed);
            self.checked.truncate(HEADERS_MAX);
        }
        Ok(digest)
    }

    /// Checks a proof of any kind.
    ///
    /// # Errors
    /// [`ProofRefused`]; `OtherEpoch` if changes must be followed first.
    pub fn check(&mut self, proof: &Proof, now_ms: u64) -> Result<CheckedProof, ProofRefused> {
        // A charter stays as long as a shard does.
        let charter = self.newest().charter;
        let mut is_final = |header: &Header, proof: &BlockProof| self.check_final(header, proof, now_ms);
        match proof {
            Proof::Read(read) => {
                let shown = check_read(read, &charter, || is_final(&read.header, &read.proof))?;
                Ok(CheckedProof { digest: shown.digest, read: Some(shown) })
            }
            Proof::Receipt(receipt) => {
                check_receipt(receipt, &charter)?;
                Ok(CheckedProof { digest: is_final(&receipt.header, &receipt.proof)?, read: None })
            }
            Proof::Transaction(transaction) => {
                check_transaction(transaction, &charter)?;
                let receipt = &transaction.receipt;
                Ok(CheckedProof { digest: is_final(&receipt.header, &receipt.proof)?, read: None })
            }
            Proof::Block(block) => Ok(CheckedProof { digest: is_final(&block.header, &block.proof)?, read: None }),
        }
    }

    /// Returns the committee of an epoch, if it is known and its keys still count.
    fn trust_of(&self, epoch: Epoch, now_ms: u64) -> Result<&Trust, ProofRefused> {
        let Some(trust) = self.committees.trusts.get(&epoch) else {
            if let Some(end) = self.committees.end_of(epoch) {
                self.check_age(epoch, end.time_ms, now_ms)?;
            }
            let trusted = self.known_up_to(epoch).unwrap_or(self.committees.anchor.epoch);
            return Err(ProofRefused::OtherEpoch { header: epoch, trusted });
        };
        self.check_age(epoch, self.committees.retired_ms(trust), now_ms)?;
        Ok(trust)
    }

    /// Returns the caller's time, or the time that has certainly passed if that is later.
    fn now_ms(&self, clock_ms: u64) -> u64 {
        clock_ms.max(self.passed_ms)
    }

    fn check_age(&self, epoch: Epoch, retired_ms: u64, now_ms: u64) -> Result<(), ProofRefused> {
        match self.trust_period_ms {
            Some(period_ms) if is_over(Some(period_ms), retired_ms, now_ms) => {
                Err(ProofRefused::TooOld { epoch, period_ms })
            }
            _ => Ok(()),
        }
    }
}

/// Tells if the keys of a committee that retired at this time no longer count.
fn is_over(trust_period_ms: Option<u64>, retired_ms: u64, now_ms: u64) -> bool {
    trust_period_ms.is_some_and(|period_ms| retired_ms.saturating_add(period_ms) < now_ms)
}

fn check_ahead(header: &Header, now_ms: u64) -> Result<(), ProofRefused> {
    match header.time_ms.saturating_sub(now_ms) {
        ahead_ms if ahead_ms > HEADER_AHEAD_MS_MAX => Err(ProofRefused::FromFuture { ahead_ms }),
        _ => Ok(()),
    }
}

/// Returns the header that the whole proof depends on.
pub fn header_of(proof: &Proof) -> &Header {
    match proof {
        Proof::Read(read) => &read.header,
        Proof::Receipt(receipt) => &receipt.header,
        Proof::Transaction(transaction) => &transaction.receipt.header,
        Proof::Block(block) => &block.header,
    }
}

//! The committees that a light client knows, and the ends of their epochs.
//!
//! *Invariants:* bounded; the newest committee stays, and so does the anchor as long as its keys count; the end of an
//! epoch is known for longer than its committee is kept, so that no committee comes back without it; two different ends
//! of one epoch are never both accepted.

use super::final_header::Trust;
use super::refused::ProofRefused;
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_types::{BlockDigest, End, Epoch, EpochTransition, Header, HeaderProof, Height};
use std::collections::BTreeMap;

/// Committees kept.
pub(super) const COMMITTEES_MAX: usize = 64;
/// Ends of epochs kept: eleven years of epochs of a day.
pub(super) const ENDS_MAX: usize = 4096;

/// The end of an epoch: its last block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, BorshSerialize, BorshDeserialize)]
pub struct EpochEnd {
    /// Height of the boundary.
    pub height: Height,
    /// The boundary's digest.
    pub digest: BlockDigest,
    /// The boundary's time, Unix ms.
    pub time_ms: u64,
}

/// Known committees by epoch, from an anchor on.
#[derive(Clone, Debug)]
pub(super) struct Committees {
    pub(super) anchor: Trust,
    pub(super) trusts: BTreeMap<Epoch, Trust>,
    pub(super) ends: BTreeMap<Epoch, EpochEnd>,
    /// The signed boundaries of kept committees: evidence, if somebody shows another end.
    signed: BTreeMap<Epoch, HeaderProof>,
}

impl Committees {
    pub(super) fn new(anchor: Trust) -> Self {
        let trusts = BTreeMap::from([(anchor.epoch, anchor.clone())]);
        Self { anchor, trusts, ends: BTreeMap::new(), signed: BTreeMap::new() }
    }

    pub(super) fn newest(&self) -> &Trust {
        self.trusts.last_key_value().map_or(&self.anchor, |(_, trust)| trust)
    }

    pub(super) fn signed_end(&self, epoch: Epoch) -> Option<&HeaderProof> {
        self.signed.get(&epoch)
    }

    /// Returns the end of an epoch; `None` if the epoch is not over, or no end between it and a later known epoch is
    /// known.
    pub(super) fn end_of(&self, epoch: Epoch) -> Option<EpochEnd> {
        let after = self.trusts.get(&epoch.next());
        let by_the_next =
            after.map(|next| EpochEnd { height: next.height, digest: next.digest, time_ms: next.time_ms });
        self.ends.get(&epoch).copied().or(by_the_next)
    }

    /// Returns the time at which a committee retired, or retires at the latest, according to trusted data. A committee
    /// that is requested later could write any time into a header that it signs.
    pub(super) fn retired_ms(&self, trust: &Trust) -> u64 {
        let planned = trust.epoch_ms.map(|epoch_ms| trust.time_ms.saturating_add(epoch_ms));
        let later = || self.trusts.range(trust.epoch.next()..).next().map(|(_, later)| later.time_ms);
        let known = self.end_of(trust.epoch).map(|end| end.time_ms).or_else(later);
        match (planned, known) {
            (Some(planned), Some(known)) => planned.min(known),
            (planned, known) => planned.or(known).unwrap_or(trust.time_ms),
        }
    }

    /// Checks a final header of a known epoch against the epoch's known end: both must be of one chain.
    pub(super) fn check_ended(&self, header: &Header, digest: BlockDigest) -> Result<(), ProofRefused> {
        let (epoch, height) = (header.epoch, header.height);
        let above = |end: Height| ProofRefused::AboveEnd { epoch, height, end };
        let Some(end) = self.end_of(epoch) else {
            // A closing block may be as high as blocks of the next epoch.
            let later = self.trusts.range(epoch.next()..).next().map(|(_, later)| later);
            let beyond = |later: &&Trust| height >= later.height || header.time_ms >= later.time_ms;
            let beyond = later.filter(beyond).filter(|_| !matches!(header.end, End::Closing(_)));
            return beyond.map_or(Ok(()), |later| Err(above(later.height)));
        };
        let named = match header.end {
            End::GoesOn => None,
            End::Boundary => Some(digest),
            End::Closing(boundary) => Some(boundary),
        };
        match named {
            // The committee made two ends final: it has more traitors than it may have.
            Some(named) if named != end.digest => Err(ProofRefused::TwoEnds(epoch)),
            None if height >= end.height => Err(above(end.height)),
            None if header.time_ms >= end.time_ms => Err(above(end.height)),
            _ => Ok(()),
        }
    }

    /// Stores the committee that follows an epoch's end. `over` tells if a committee's keys no longer count.
    ///
    /// # Errors
    /// `TwoEnds` or `AboveEnd` of [`ProofRefused`]. Then nothing has changed.
    pub(super) fn take(
        &mut self,
        change: &EpochTransition,
        next: Trust,
        over: impl Fn(&Self, &Trust) -> bool,
    ) -> Result<Epoch, ProofRefused> {
        let (boundary, epoch) = (change.boundary(), next.epoch);
        let end = EpochEnd { height: next.height, digest: next.digest, time_ms: next.time_ms };
        self.check_ended(boundary, end.digest)?;
        self.ends.insert(boundary.epoch, end);
        let proof = || HeaderProof { header: boundary.clone(), proof: change.proof().clone() };
        self.signed.entry(boundary.epoch).or_insert_with(proof);
        self.trusts.entry(epoch).or_insert(next);
        while self.trusts.len() > COMMITTEES_MAX && self.forget_one(epoch, &over) {}
        self.signed.retain(|epoch, _| self.trusts.contains_key(epoch));
        while self.ends.len() > ENDS_MAX {
            let Some(oldest) = self.ends.keys().copied().find(|old| !self.trusts.contains_key(old)) else { break };
            self.ends.remove(&oldest);
        }
        Ok(epoch)
    }

    /// Forgets the oldest committee whose keys no longer count. If there is none, forgets the oldest one except the
    /// anchor, from which the others can be followed again. The newest committee and that of `taken` stay.
    fn forget_one(&mut self, taken: Epoch, over: impl Fn(&Self, &Trust) -> bool) -> bool {
        let newest = self.newest().epoch;
        let others = || self.trusts.values().filter(|trust| trust.epoch != newest && trust.epoch != taken);
        let oldest = others()
            .find(|trust| over(self, trust))
            .or_else(|| others().find(|trust| trust.epoch != self.anchor.epoch));
        oldest.map(|trust| trust.epoch).is_some_and(|epoch| self.trusts.remove(&epoch).is_some())
    }
}

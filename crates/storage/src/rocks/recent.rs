//! The newest heights of format 5 in memory: proofs of what was just written need no row.
//!
//! *Invariants:* what is here is also in rows, except finalizations that weren't wanted there; memory is bounded.

use crate::checks::FINALIZATIONS_RECENT;
use crate::rows::Trail;
use crate::store::{HeightCommit, StoredLink};
use rustorium_types::{BatchDigest, BlockDigest, Certificate, Header, Height, Receipt, ValidatorIndex};
use std::collections::VecDeque;
use std::sync::Arc;

/// Number of newest heights whose header and receipts are in memory.
const HEIGHTS: usize = if cfg!(test) { 3 } else { 256 };
/// Number of receipts in memory, over all heights.
const RECEIPTS: usize = if cfg!(test) { 20 } else { 1 << 16 };

/// A height without its transactions.
pub(super) struct RecentHeight {
    pub(super) header: Arc<Header>,
    pub(super) digest: BlockDigest,
    pub(super) link: StoredLink,
    pub(super) batches: Vec<(ValidatorIndex, BatchDigest)>,
    pub(super) inline: usize,
    pub(super) receipts: Vec<Receipt>,
}

/// The newest heights, without a gap.
#[derive(Default)]
pub(super) struct Recent {
    heights: VecDeque<Arc<RecentHeight>>,
    receipts: usize,
    finalizations: VecDeque<(Height, Arc<Certificate>)>,
    /// The newest finalization that a sync stored.
    synced: Height,
    /// The facts that the rows up to the tip tell about the next height.
    pub(super) trail: Option<Trail>,
}

impl Recent {
    /// Begins again behind a height; `None` if the next height's row can't rest on others.
    pub(super) fn begin(&mut self, trail: Option<Trail>) {
        *self = Self { trail, ..Self::default() };
    }

    /// Adds a height that was stored.
    pub(super) fn add(&mut self, commit: &HeightCommit, trail: Trail) {
        let height = trail.header.height;
        let recent = RecentHeight {
            header: trail.header.clone(),
            digest: trail.digest,
            link: trail.stored_link(),
            batches: commit.batches.iter().map(|batch| (batch.batch.body.author, batch.digest)).collect(),
            inline: commit.block.inline.len(),
            receipts: commit.receipts.clone(),
        };
        self.trail = Some(trail);
        self.receipts += recent.receipts.len();
        self.heights.push_back(Arc::new(recent));
        while self.heights.len() > HEIGHTS || (self.receipts > RECEIPTS && self.heights.len() > 1) {
            let oldest = self.heights.pop_front();
            self.receipts -= oldest.map_or(0, |oldest| oldest.receipts.len());
        }
        if let Some(certificate) = &commit.finalization {
            self.finalizations.push_back((height, Arc::new(Certificate::clone(certificate))));
        }
        while self.finalizations.front().is_some_and(|(old, _)| old.0 + FINALIZATIONS_RECENT <= height.0) {
            self.finalizations.pop_front();
        }
    }

    /// Returns the newest finalization, if no sync stored it yet.
    pub(super) fn unsynced(&self) -> Option<(Height, Arc<Certificate>)> {
        self.finalizations.back().filter(|(height, _)| *height > self.synced).cloned()
    }

    /// Notes that a sync stored the finalization of this height.
    pub(super) fn note_synced(&mut self, height: Height) {
        self.synced = self.synced.max(height);
    }

    /// Takes over the finalization that the last sync before a restart stored.
    pub(super) fn take_synced(&mut self, height: Height, certificate: Certificate) {
        self.synced = height;
        self.finalizations.push_back((height, Arc::new(certificate)));
    }

    /// Returns a height, if it is here.
    pub(super) fn height(&self, height: Height) -> Option<Arc<RecentHeight>> {
        let first = self.heights.front()?.header.height;
        let place = usize::try_from(height.0.checked_sub(first.0)?).ok()?;
        self.heights.get(place).cloned()
    }

    /// Returns the finalization of the lowest height from `height` on that is here.
    pub(super) fn finalization(&self, height: Height) -> Option<(Height, Arc<Certificate>)> {
        let first = self.finalizations.partition_point(|(at, _)| *at < height);
        self.finalizations.get(first).cloned()
    }
}

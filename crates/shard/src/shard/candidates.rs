//! Blocks that may become final: which of them are kept and checked, how far each is checked, and what they need that
//! this node lacks (R41).
//!
//! *Invariants:* before certification, only a leader's block of the current view or the next one is fetched for, with
//! at most one want per lane and block.

use super::machines::blocks::Entry;
use super::machines::clocks::{BlockAhead, LOOK_AGAIN_MS, too_far_ms};
use super::machines::validity::{Judge, Verdict};
use super::{COALESCE_US, Now, Ports, Shard, Stage, VIEW_WINDOW};
use crate::port::{BlockFacts, Input, PayloadStatus};
use rustorium_sync::Want;
use rustorium_txpool::MissingBatch;
use rustorium_types::{Block, BlockDigest, Header, ValidatorIndex, View};

/// Longest time to wait for a listed batch to arrive by itself before it is requested.
const FETCH_GRACE_US: u64 = 40_000;

impl<P: Ports> Shard<P> {
    /// Keeps a block. `sure`: the block is certified or an ancestor of a certified block, even if its own certificate
    /// isn't known.
    pub(super) fn keep_block(&mut self, digest: BlockDigest, block: Block, sure: bool) {
        let has_inline = !block.inline.is_empty();
        let (view, proposer) = (block.header.view, block.header.proposer);
        let new = self.tree.insert(digest, block);
        self.tree.get_mut(&digest).into_iter().for_each(|entry| entry.sure |= sure);
        self.tree.recheck_soon();
        if new {
            self.measure_proposed(view, proposer);
            self.fetching.cancel(&Want::Block(digest));
            if has_inline && let Some(entry) = self.tree.get(&digest) {
                let block = entry.block.clone();
                self.ports.check_inline(digest, block);
            }
        }
    }

    pub(super) fn measure_proposed(&mut self, view: View, proposer: ValidatorIndex) {
        if let Some(us) = self.core.proposed(view) {
            self.ports.measured(Stage::Propose, us);
            self.ports.proposed(proposer, us);
        }
    }

    pub(super) fn on_inline_checked(&mut self, digest: &BlockDigest, good: bool) {
        if let Some(entry) = self.tree.get_mut(digest) {
            entry.inline_checked = good;
            if !good {
                entry.status = PayloadStatus::Invalid;
                self.tell_block(digest);
            }
            self.tree.recheck_soon();
        }
    }

    pub(super) fn recheck_blocks(&mut self, now: Now) {
        for digest in self.tree.pending() {
            if !self.tree.get(&digest).is_some_and(|entry| self.is_living(&digest, entry)) {
                continue;
            }
            let status = self.check_by_clock(now, &digest);
            let Some(entry) = self.tree.get_mut(&digest) else { continue };
            entry.status = status;
            // Most blocks are ready a moment later, so the core is not woken twice.
            let since = *entry.pending_since_us.get_or_insert(now.us);
            if status == PayloadStatus::Ready {
                self.ports.measured(Stage::Payload, now.us.saturating_sub(since));
            }
            let Some(entry) = self.tree.get_mut(&digest) else { continue };
            let until = since + COALESCE_US;
            if status == PayloadStatus::Pending && entry.told.is_none() && now.us < until {
                self.tree.recheck_at(until);
            } else {
                self.tell_block(&digest);
            }
        }
    }

    /// Checks all of a block except its time against this node's clock.
    pub(super) fn check_block(&mut self, now: Now, digest: &BlockDigest) -> PayloadStatus {
        let Some(entry) = self.tree.get(digest) else { return PayloadStatus::Pending };
        let judge = Judge {
            context: &self.context,
            tree: &self.tree,
            batches: &self.batches,
            results: &self.results,
            epoch_end: &self.epoch_end,
        };
        match judge.judge(entry) {
            Verdict::Known(status) => status,
            Verdict::Lacks(missing) => {
                self.want_batches(now, digest, &missing);
                PayloadStatus::Pending
            }
        }
    }

    /// Re-checks pending blocks, hands over final ones, and requests exactly what both lack.
    pub(super) fn recheck_all(&mut self, now: Now) {
        self.fetching.begin();
        self.recheck_blocks(now);
        self.advance_finality();
        let (_, root) = self.tree.root();
        self.fetching.ask(now, root.height, root.view);
    }

    /// Returns true if a block may still become final, as far as this node knows, or could if its leader were quick.
    /// Such a block is certified or an ancestor of a certified block, notarized by this node, or of the current view or
    /// a later one.
    pub(super) fn is_living(&self, digest: &BlockDigest, entry: &Entry) -> bool {
        let current = entry.block.header.view >= self.core.view() && entry.status != PayloadStatus::Invalid;
        current || self.is_kept(digest, entry)
    }

    /// Returns the same as `is_living`, but doesn't accept the view as a reason.
    pub(super) fn is_kept(&self, digest: &BlockDigest, entry: &Entry) -> bool {
        entry.sure || entry.journaled || self.votes.is_certified(entry.block.header.view, digest)
    }

    /// Returns the newest view whose proposal is in time: the one after the current view, or the second one after the
    /// newest certificate.
    pub(super) fn newest_timely(&self) -> View {
        self.core.view().max(self.votes.certified_to().next()).next()
    }

    /// Returns true if a proposal is kept: it is from its view's leader and of the current or the next view, or it is
    /// certified.
    pub(super) fn is_timely(&self, view: View, proposer: ValidatorIndex, digest: &BlockDigest) -> bool {
        let leads = self.context.leaders.of(view) == proposer;
        let current = view >= self.core.view() && view <= self.newest_timely() && leads;
        current || self.votes.is_certified(view, digest) || self.fetching.is_named(digest)
    }

    /// Forgets blocks that may never be certified, after the view has changed. Such a block makes no wants any more. It
    /// is dropped after a while, or at once if it has a body.
    pub(super) fn forget_failed_blocks(&mut self) {
        let oldest = self.core.view().0.saturating_sub(VIEW_WINDOW);
        let failed = |digest: &BlockDigest, entry: &Entry| {
            let old = entry.block.header.view.0 < oldest || !entry.block.inline.is_empty();
            !self.is_living(digest, entry) && old
        };
        let failed: Vec<BlockDigest> =
            self.tree.entries().filter(|(digest, entry)| failed(digest, entry)).map(|(digest, _)| *digest).collect();
        failed.iter().for_each(|digest| self.tree.remove(digest));
        self.batches.sweep_soon();
        self.tree.recheck_if(!self.fetching.is_empty());
    }

    /// Fetches the block of a certificate whose view is over, if it was forgotten. The core may not know that it was.
    pub(super) fn fetch_forgotten(&mut self, view: View, digest: BlockDigest) {
        let (_, root) = self.tree.root();
        let forgotten = view > root.view && view < self.core.view() && self.tree.get(&digest).is_none();
        if forgotten {
            self.fetching.name(digest, self.core.view());
        }
    }

    /// Gets a block that the core knows only by name. The core is told at once if this node holds the block, even if it
    /// is final and stored by now.
    pub(super) fn fetch_block(&mut self, digest: BlockDigest) {
        if let Some(held) = self.tree.get_mut(&digest) {
            (held.told, held.sure) = (None, true);
            self.tree.recheck_soon();
            return self.tell_block(&digest);
        }
        let (root, header) = self.tree.root();
        let facts = if digest == *root {
            Some(BlockFacts::of(digest, header))
        } else {
            self.ports.stored_block(&digest).map(|block| BlockFacts::of(digest, &block.header))
        };
        match facts {
            Some(facts) => self.core.tell(Input::BlockSeen(facts, PayloadStatus::Ready)),
            None => self.tree.recheck_if(self.fetching.name(digest, self.core.view())),
        }
    }

    /// Requests listed batches after they have had time to arrive by themselves.
    pub(super) fn want_batches(&mut self, now: Now, block: &BlockDigest, missing: &[MissingBatch]) {
        let Some(entry) = self.tree.get_mut(block) else { return };
        let since = *entry.missing_since_us.get_or_insert(now.us);
        if now.us < since + FETCH_GRACE_US {
            return self.tree.recheck_at(since + FETCH_GRACE_US);
        }
        let Some(entry) = self.tree.get(block) else { return };
        let of = (entry.block.header.height, entry.block.header.proposer);
        let kept = self.is_kept(block, entry);
        self.fetching.batches((&self.context, self.batches.peers()), of, kept, missing);
    }

    /// Checks a block, its time included. Notes a block that waits only for the clock.
    pub(super) fn check_by_clock(&mut self, now: Now, digest: &BlockDigest) -> PayloadStatus {
        let Some(block) = self.tree.get(digest).map(|entry| entry.block.clone()) else { return PayloadStatus::Pending };
        let ahead_ms = self.ahead_ms(now, &block.header);
        let status = self.check_block(now, digest);
        if ahead_ms == 0 || status == PayloadStatus::Invalid {
            return status;
        }
        self.tree.recheck_at(now.us.saturating_add(ahead_ms.min(LOOK_AGAIN_MS) * 1000));
        if status == PayloadStatus::Ready {
            self.clocks.note_ahead(now, digest, &block.header);
        }
        PayloadStatus::Pending
    }

    /// Returns by how many milliseconds a block's time is too far ahead of the clock. 0 if the time is accepted.
    fn ahead_ms(&self, now: Now, header: &Header) -> u64 {
        let parent = self.tree.header(&header.parent);
        let ahead_ms_max = self.context.parameters.clock_ahead_ms_max;
        too_far_ms(header.time_ms, parent.map(|parent| parent.time_ms), now.wall_ms, ahead_ms_max)
    }

    /// Returns the time of the newest known certified block.
    pub fn certified_time_ms(&self) -> u64 {
        self.tree.newest_certified().time_ms
    }

    /// Returns the newest block that waited only for the clock, and the number of such blocks.
    pub fn blocks_ahead(&self) -> (Option<BlockAhead>, u64) {
        self.clocks.blocks_ahead()
    }
}

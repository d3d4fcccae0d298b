//! Blocks that may become final: which are kept and worth checking, how far each is checked, and what they need that this
//! node lacks (R41).
//!
//! *Invariants:* only a leader's block of the current view or the next one makes wants before it is certified, at most one a
//! lane and block.

use super::machines::blocks::Entry;
use super::machines::clocks::{BlockAhead, LOOK_AGAIN_MS, too_far_ms};
use super::machines::validity::{Judge, Verdict};
use super::{COALESCE_US, Now, Ports, Shard, Stage, VIEW_WINDOW};
use crate::port::{BlockFacts, Input, PayloadStatus};
use rustorium_sync::Want;
use rustorium_txpool::Missing;
use rustorium_types::{Block, BlockDigest, Header, ValidatorIndex, View};

/// Longest time that a listed batch may be on its way before it is requested.
const FETCH_GRACE_US: u64 = 40_000;

impl<P: Ports> Shard<P> {
    /// `sure`: the block is certified or below a certified one, be its own certificate known or not.
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
            // Most blocks are ready a moment later: the core is not woken twice.
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

    /// Checks all of a block but its time against this node's clock.
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

    /// Checks what is pending, hands over what is final, and asks for what both lack and nothing else.
    pub(super) fn recheck_all(&mut self, now: Now) {
        self.fetching.begin();
        self.recheck_blocks(now);
        self.advance_finality();
        let (_, root) = self.tree.root();
        self.fetching.ask(now, root.height, root.view);
    }

    /// Returns true if a block may still become final, as far as this node knows, or could if its leader were quick. Such a
    /// block is certified or below a certified one, notarized by this node, or of the current view or a later one.
    pub(super) fn is_living(&self, digest: &BlockDigest, entry: &Entry) -> bool {
        let current = entry.block.header.view >= self.core.view() && entry.status != PayloadStatus::Invalid;
        current || self.is_kept(digest, entry)
    }

    /// Returns what `is_living` does, without the view as a reason.
    pub(super) fn is_kept(&self, digest: &BlockDigest, entry: &Entry) -> bool {
        entry.sure || entry.journaled || self.votes.is_certified(entry.block.header.view, digest)
    }

    /// The newest view of which a proposal is in time: the one after the current view, or after the one that follows the newest
    /// certificate.
    pub(super) fn newest_timely(&self) -> View {
        self.core.view().max(self.votes.certified_to().next()).next()
    }

    /// Returns true if a proposal is kept: its view's leader made it and the view is the current or the next one, or the
    /// proposal is certified.
    pub(super) fn is_timely(&self, view: View, proposer: ValidatorIndex, digest: &BlockDigest) -> bool {
        let leads = self.context.leaders.of(view) == proposer;
        let current = view >= self.core.view() && view <= self.newest_timely() && leads;
        current || self.votes.is_certified(view, digest) || self.fetching.is_named(digest)
    }

    /// The view has changed: blocks of views before it that may never be certified make no wants any more, and go after a
    /// while, at once where they have a body.
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

    /// A certificate of a view that is over: its block may have been forgotten, and the core not know that.
    pub(super) fn fetch_forgotten(&mut self, view: View, digest: BlockDigest) {
        let (_, root) = self.tree.root();
        let forgotten = view > root.view && view < self.core.view() && self.tree.get(&digest).is_none();
        if forgotten {
            self.fetching.name(digest, self.core.view());
        }
    }

    /// A block that the core knows by name alone: told at once where this node holds it, be it final and stored by now.
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

    /// Asks for listed batches once they have had the time to come by themselves.
    pub(super) fn want_batches(&mut self, now: Now, block: &BlockDigest, missing: &[Missing]) {
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

    /// Checks a block. One that waits for the clock alone is told of.
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

    /// Milliseconds by which a block's time is too far ahead of the clock; 0 where it is accepted.
    fn ahead_ms(&self, now: Now, header: &Header) -> u64 {
        let parent = self.tree.header(&header.parent);
        let ahead_ms_max = self.context.parameters.clock_ahead_ms_max;
        too_far_ms(header.time_ms, parent.map(|parent| parent.time_ms), now.wall_ms, ahead_ms_max)
    }

    /// The time of the newest certified block that is known.
    pub fn certified_time_ms(&self) -> u64 {
        self.tree.newest_certified().time_ms
    }

    /// The newest block that waited for the clock alone, and how many there were.
    pub fn blocks_ahead(&self) -> (Option<BlockAhead>, u64) {
        self.clocks.blocks_ahead()
    }
}

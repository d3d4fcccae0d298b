//! The way from a finalization to execution in height order. Followers are told of it, and the journal may then drop
//! records.

use super::machines::finality::FinalWay;
use super::machines::live_records::JournalSizes;
use super::machines::retained::ExecutingHeight;
use super::{Executed, ExecutionJob, Floor, Now, Ports, Shard};
use rustorium_crypto::block_payload_root;
use rustorium_storage::RecordKind;
use rustorium_sync::Want;
use rustorium_txpool::{MissingBatch, PayloadFault};
use rustorium_types::{BatchDigest, BlockDigest, Class, Height, Message, View, VoteKind, encode, limits};
use std::collections::HashSet;

/// Maximum number of blocks handed to execution and not yet executed.
const EXECUTION_QUEUE_MAX: u64 = 64;
/// Gap in heights from which on blocks are fetched as a range.
const RANGE_GAP: u64 = 3;
/// Maximum distance above the newest executed height from which blocks are fetched downwards. They wait in memory.
const ANCESTORS_AHEAD_MAX: u64 = 16_384;
/// Bytes of the journal that are copied forward at once. A vote may wait for as long as that takes.
const COPIED_TOGETHER_BYTES: usize = 1024 * 1024;

impl<P: Ports> Shard<P> {
    /// R9: notes a finalized block. It and all its ancestors are final without any decision of this node.
    pub(super) fn is_final(&mut self, view: View, digest: BlockDigest) {
        self.finality.is_final(view, digest);
        self.tree.recheck_soon();
    }

    /// Hands final blocks to execution as far as blocks and payloads are held. Requests what is missing.
    pub(super) fn advance_finality(&mut self) {
        let FinalWay { path, missing } = self.finality.way(&self.tree);
        let near = self.tree.root().1.height.0 + path.len() as u64 + RANGE_GAP;
        for (missing, height) in missing {
            // A range begins above the root, which rises as far as the path before an answer could come.
            if path.is_empty() {
                self.fetch_ancestors(missing, height);
            } else if height.is_none_or(|height| height.0 < near) {
                self.fetch_ancestors(missing, None);
            }
        }
        for digest in &path {
            self.tree.get_mut(digest).into_iter().for_each(|entry| entry.sure = true);
        }
        for (place, digest) in path.iter().enumerate() {
            if self.tree.root().1.ends_epoch() {
                // R28: blocks above the boundary are never executed.
                return;
            }
            let full = self.tree.root().1.height.0 >= self.results.executed().0 + EXECUTION_QUEUE_MAX;
            if full || !self.hand_over(digest, &path[place + 1..]) {
                return self.prefetch(&path[place..]);
            }
        }
    }

    fn fetch_ancestors(&mut self, missing: BlockDigest, height: Option<Height>) {
        let root = self.tree.root().1.height;
        self.fetching.certified(root, Want::Block(missing));
        if height.is_some_and(|height| height.0 >= root.0 + RANGE_GAP) {
            let want = Want::FinalBlocks { first: root.next(), count: limits::SYNC_ITEMS_MAX as u32 };
            self.fetching.certified(root, want);
        }
        if let Some(above) = height.map(|height| height.0.saturating_sub(root.0))
            && (RANGE_GAP..=ANCESTORS_AHEAD_MAX).contains(&above)
            && self.fetching.lacks_proven_range(root.next())
        {
            let count = above.min(limits::SYNC_ITEMS_MAX as u64 - 1) as u32;
            let height = Height(root.0 + above);
            self.fetching.certified(root, Want::Ancestors { digest: missing, height, count });
        }
    }

    /// Hands a block to execution and returns true, or requests its missing batches. `above`: the path from the block
    /// to the finalized one.
    fn hand_over(&mut self, digest: &BlockDigest, above: &[BlockDigest]) -> bool {
        let end = match self.finality.end_proof(&self.tree, &self.votes, digest, above) {
            Ok(end) => end,
            Err(reason) => {
                tracing::error!(event = "epoch_end_unprovable", reason);
                return false;
            }
        };
        let Some(entry) = self.tree.get(digest) else { return false };
        let cursors = &entry.block.header.cursors;
        if block_payload_root(&entry.block, self.tree.root_cursors()) != entry.block.header.payload_root {
            // The digest covers the header only: the proposer gave this node another body than the rest.
            self.tree.remove(digest);
            self.fetching.certified(self.tree.root().1.height, Want::Block(*digest));
            return false;
        }
        let payload = match self.batches.lanes().payload(self.tree.root_cursors(), cursors) {
            Ok(payload) => payload,
            Err(PayloadFault::Missing(missing)) => {
                let root = self.tree.root().1.height;
                for MissingBatch { lane, digest, .. } in missing {
                    self.fetching.certified(root, Want::Batch { lane, digest });
                }
                return false;
            }
            Err(broken @ PayloadFault::Broken { .. }) => {
                tracing::error!(event = "final_block_broken", reason = %broken);
                return false;
            }
        };
        // The core may lead the next view, so it must have heard of the block that it would extend.
        self.tell_block(digest);
        let Some(block) = self.tree.advance(digest, &self.context.parameters) else { return false };
        let header = &block.header;
        self.watch_final(digest, header);
        self.clocks.certified(digest);
        let (height, view) = (header.height, header.view);
        let own_lane = self.own_cursor(header);
        if self.signs_elsewhere() {
            // The journal may lack batches that the signer signed.
            self.own_lane.follow(own_lane);
        }
        self.homes.handed_over(height, &payload);
        let listed: HashSet<BatchDigest> = payload.iter().flatten().map(|batch| batch.digest).collect();
        let (gone, batches) = self.batches.finalized(&header.cursors);
        for gone in gone {
            if !listed.contains(&gone.digest) {
                self.own_lane.dropped_elsewhere(&gone);
            }
        }
        self.pushed.executing(height);
        self.journal.hand_over(height, ExecutingHeight { view, own_lane, batches });
        self.note_joined(None);
        self.forget_below(view);
        let proof = self.finality.take_proof(digest);
        let finalization = self.votes.certificate(VoteKind::Finalize, view).cloned().or(proof);
        if let Some(certificate) = &finalization {
            let frame = Message::Certificate(Box::new((**certificate).clone())).to_frame();
            self.finality.tell_later(height, frame.into());
        }
        self.ports.execute(ExecutionJob { digest: *digest, block, payload, finalization, end });
        true
    }

    /// Requests the newest listed batch of every lane of every waiting block, so that catching up isn't serial.
    fn prefetch(&mut self, path: &[BlockDigest]) {
        let blocks = path.iter().take(EXECUTION_QUEUE_MAX as usize).filter_map(|digest| self.tree.get(digest));
        let mut wants = Vec::new();
        for entry in blocks {
            for (lane, cursor) in entry.block.header.cursors.iter().enumerate() {
                let lane = rustorium_types::ValidatorIndex(lane as u16);
                let final_seq = self.tree.root_cursors().get(usize::from(lane.0)).map_or(0, |c| c.next_seq);
                if cursor.next_seq > final_seq && self.batches.lanes().get(lane, &cursor.tip).is_none() {
                    wants.push((entry.block.header.height, Want::Batch { lane, digest: cursor.tip }));
                }
            }
        }
        wants.into_iter().for_each(|(height, want)| self.fetching.certified(height, want));
    }

    fn forget_below(&mut self, view: View) {
        self.core.settle(view);
        self.votes.settle(view);
        self.fetching.finalized(view);
        self.batches.settle(view);
        let (digest, _) = self.tree.root();
        let digest = *digest;
        self.tree.consider_parent(view, digest);
    }

    pub(super) fn on_executed(&mut self, now: Now, executed: Executed) {
        self.results.on_executed(now, executed.height, executed.root);
        self.tell_followers();
        self.ports.stored();
        self.note_epoch(executed.height, executed.committee.as_ref(), executed.ended);
        self.own_lane.executed(executed.touched, &executed.skipped, executed.time_ms);
        self.homes.executed(executed.height, &executed.skipped);
        self.tree.recheck_soon();
    }

    /// Tells followers which blocks are final once the store has them: the store answers their questions.
    fn tell_followers(&mut self) {
        for frame in self.finality.take_told(self.results.executed()) {
            self.ports.tell_followers(Class::Consensus, frame);
        }
    }

    pub(super) fn on_store_durable(&mut self, height: Height) {
        if let Some((view, own_lane)) = self.journal.forget(height) {
            // The floor is on disk before the votes below it are gone. A node that loses only its store must not sign
            // again in views, or batches at seqs of its lane, that it no longer knows.
            let epoch = self.context.epoch();
            let position = self.append(RecordKind::Floor, &encode(&(epoch, view, own_lane)));
            self.journal.raise_floor(Floor { epoch, view, own_lane, position });
            self.ports.sync(position);
        }
        self.copy_forward();
        self.ports.release(self.journal.needed_from());
    }

    /// R36: appends old records again that are still needed, so that their segments can be freed. The journal syncs the
    /// copies before it releases anything.
    fn copy_forward(&mut self) {
        let (sealed_below, slack_bytes) = (self.ports.sealed_below(), self.config.journal_slack_bytes);
        let leave_below = self.ports.leave_below();
        let mut copied = 0;
        while copied < COPIED_TOGETHER_BYTES
            && let Some((from, payload_bytes)) = self.journal.next_to_copy(leave_below, sealed_below, slack_bytes)
        {
            let to = self.ports.append_again(from, payload_bytes);
            self.journal.copied(from, to);
            copied += payload_bytes;
        }
        if copied > 0 {
            self.ports.sync(self.journal.end());
        }
    }

    /// Returns the sizes of what the journal holds, for metrics and findings.
    pub fn journal_sizes(&self) -> JournalSizes {
        self.journal.sizes()
    }
}

//! From a finalization to execution in height order, what is told of it, and what the journal may then forget.

use super::{Executed, ExecutionJob, Now, Ports, Shard};
use rustorium_crypto::block_payload_root;
use rustorium_quorum::VoteGuard;
use rustorium_storage::RecordKind;
use rustorium_sync::Want;
use rustorium_txpool::{Missing, PayloadFault};
use rustorium_types::{BatchDigest, BlockDigest, Height, Report, View, VoteKind, encode, limits};
use std::collections::{BTreeMap, HashSet};

/// Blocks handed to execution and not yet executed, at most.
const EXECUTION_QUEUE_MAX: u64 = 64;
/// Result roots kept in memory below the newest.
const ROOTS_KEPT: u64 = 1024;
/// How long an execution report waits for a vote to ride beside.
const REPORT_DELAY_US: u64 = 3_000;
/// A gap of more heights than this is fetched as a range.
const RANGE_GAP: u64 = 3;

/// What of the journal is still needed: by view for votes, certificates and blocks, by height for listed batches.
#[derive(Default)]
pub(super) struct Retained {
    views: BTreeMap<View, u64>,
    heights: BTreeMap<Height, (View, Option<u64>)>,
}

impl Retained {
    /// A record of this view is at `position`.
    pub(super) fn note(&mut self, view: View, position: u64) {
        let first = self.views.entry(view).or_insert(position);
        *first = position.min(*first);
    }

    fn hand_over(&mut self, height: Height, view: View, lanes: Option<u64>) {
        self.heights.insert(height, (view, lanes));
    }

    /// The store holds everything up to `height`: forgets what only that needed, returns the newest forgotten view and
    /// what is needed from.
    fn forget(&mut self, height: Height, lanes: Option<u64>) -> (View, Option<u64>) {
        let above = self.heights.split_off(&height.next());
        let done = std::mem::replace(&mut self.heights, above);
        let forgotten = done.last_key_value().map_or(View(0), |(_, (view, _))| *view);
        self.views = self.views.split_off(&forgotten.next());
        let listed = self.heights.values().filter_map(|(_, position)| *position);
        (forgotten, listed.chain(self.views.values().copied()).chain(lanes).min())
    }
}

impl<P: Ports> Shard<P> {
    /// Hands final blocks to execution as far as blocks and payloads are held; asks for what is missing.
    pub(super) fn advance_finality(&mut self, now: Now) {
        let Some((view, target)) = self.final_target else { return };
        if view <= self.tree.root().1.view {
            return;
        }
        let path = match self.final_path(&target) {
            Ok(path) => path,
            Err((missing, height)) => return self.fetch_ancestors(now, missing, height),
        };
        for (place, digest) in path.iter().enumerate() {
            let full = self.tree.root().1.height.0 >= self.executed.0 + EXECUTION_QUEUE_MAX;
            if full || !self.hand_over(now, digest) {
                return self.prefetch(now, &path[place..]);
            }
        }
    }

    /// The way to the target; where a block of it is missing, to the end of the range that a peer proved final.
    fn final_path(&self, target: &BlockDigest) -> Result<Vec<BlockDigest>, (BlockDigest, Option<Height>)> {
        self.tree.path(target).or_else(|missing| {
            let proven = self.proven.as_ref().and_then(|(digest, _)| self.tree.path(digest).ok());
            proven.filter(|path| !path.is_empty()).ok_or(missing)
        })
    }

    fn fetch_ancestors(&mut self, now: Now, missing: BlockDigest, height: Option<Height>) {
        self.fetcher.want(now.ms(), Want::Block(missing), None);
        let root = self.tree.root().1.height;
        if height.is_some_and(|height| height.0 >= root.0 + RANGE_GAP) {
            let want = Want::FinalBlocks { first: root.next(), count: limits::SYNC_ITEMS_MAX as u32 };
            self.fetcher.want(now.ms(), want, None);
        }
    }

    /// True where the block went to execution; else its batches were asked for.
    fn hand_over(&mut self, now: Now, digest: &BlockDigest) -> bool {
        let Some(entry) = self.tree.get(digest) else { return false };
        let cursors = &entry.block.header.cursors;
        if block_payload_root(&entry.block, self.tree.root_cursors()) != entry.block.header.payload_root {
            // The digest covers the header only: its proposer gave this node another body than the rest.
            self.tree.remove(digest);
            self.fetcher.want(now.ms(), Want::Block(*digest), None);
            return false;
        }
        let payload = match self.lanes.payload(self.tree.root_cursors(), cursors) {
            Ok(payload) => payload,
            Err(PayloadFault::Missing(missing)) => {
                for Missing { lane, digest, .. } in missing {
                    self.fetcher.want(now.ms(), Want::Batch { lane, digest }, None);
                }
                return false;
            }
            Err(broken @ PayloadFault::Broken { .. }) => {
                tracing::error!(event = "final_block_broken", reason = %broken);
                return false;
            }
        };
        let positions = self.lanes.live_lsn_min();
        let Some(block) = self.tree.advance(digest) else { return false };
        let header = &block.header;
        let (height, view) = (header.height, header.view);
        self.retained.hand_over(height, view, positions);
        let listed: HashSet<BatchDigest> = payload.iter().flatten().map(|batch| batch.digest).collect();
        for gone in self.lanes.finalized(&header.cursors) {
            if !listed.contains(&gone.digest) {
                self.pool.dropped_elsewhere(&gone);
            }
        }
        self.forget_below(view);
        let proof = self.proven.as_ref().filter(|(_, proof)| proof.body.block == *digest).map(|(_, proof)| proof);
        let finalization = self.tally.certificate(VoteKind::Finalize, view).or(proof).cloned();
        self.ports.execute(ExecutionJob { digest: *digest, block, payload, finalization });
        true
    }

    /// Asks for the newest listed batch of every lane of every block that waits, so that catching up isn't serial.
    fn prefetch(&mut self, now: Now, path: &[BlockDigest]) {
        let blocks = path.iter().take(EXECUTION_QUEUE_MAX as usize).filter_map(|digest| self.tree.get(digest));
        let mut wants = Vec::new();
        for entry in blocks {
            for (lane, cursor) in entry.block.header.cursors.iter().enumerate() {
                let lane = rustorium_types::ValidatorIndex(lane as u16);
                let final_seq = self.tree.root_cursors().get(usize::from(lane.0)).map_or(0, |c| c.next_seq);
                if cursor.next_seq > final_seq && self.lanes.get(lane, &cursor.tip).is_none() {
                    wants.push(Want::Batch { lane, digest: cursor.tip });
                }
            }
        }
        wants.into_iter().for_each(|want| self.fetcher.want(now.ms(), want, None));
    }

    fn forget_below(&mut self, view: View) {
        self.tally.prune_below(view);
        self.guard.prune_below(view);
        self.own_votes = self.own_votes.split_off(&view.next());
        if self.own_proposal.is_some_and(|proposed| proposed <= view) {
            self.own_proposal = None;
        }
        let (digest, _) = self.tree.root();
        let digest = *digest;
        self.consider_parent(view, digest);
    }

    pub(super) fn on_executed(&mut self, now: Now, executed: Executed) {
        self.executed = executed.height;
        self.roots.insert(executed.height, executed.root);
        self.roots = self.roots.split_off(&Height(executed.height.0.saturating_sub(ROOTS_KEPT)));
        self.reports.own(Report { executed: executed.height, root: executed.root });
        for (account, nonce) in executed.touched {
            self.pool.executed(account, nonce, executed.time_ms);
        }
        for (id, why) in &executed.skipped {
            self.pool.skipped(id, why);
        }
        let expired = self.pool.expire(executed.time_ms);
        if !expired.is_empty() {
            self.ports.expired(&expired);
        }
        self.report_due_us.get_or_insert(now.us + REPORT_DELAY_US);
        self.recheck = true;
    }

    pub(super) fn on_store_durable(&mut self, height: Height) {
        let (forgotten, needed) = self.retained.forget(height, self.lanes.live_lsn_min());
        if forgotten > self.floor {
            // On disk before the votes below it are gone: a node that loses its store, and only that, must not sign again
            // in views whose votes it no longer knows.
            self.floor = forgotten;
            let position = self.append(RecordKind::Floor, &encode(&forgotten));
            self.ports.sync(position);
        }
        // Where nothing is needed, as on an idle chain, all but the newest record may go.
        self.ports.release(needed.unwrap_or(self.appended));
    }
}

/// A guard that already knows these votes.
pub(super) fn guard_of<'a>(votes: impl IntoIterator<Item = &'a rustorium_types::VoteBody>) -> VoteGuard {
    let mut guard = VoteGuard::new();
    votes.into_iter().for_each(|vote| guard.record(vote));
    guard
}

//! Held batches: written to the journal when they join their lane or are voted for, dropped when no living block lists
//! them.
//!
//! *Invariants:* a vote or proposal rests only on batches that are in the journal; a batch in the journal stays held
//! until final blocks have passed it.

use super::{Now, Ports, Shard};
use bytes::Bytes;
use rustorium_crypto::CheckedBatch;
use rustorium_storage::RecordKind;
use rustorium_types::{BatchDigest, BlockDigest, Cursor, encode};
use std::sync::Arc;

impl<P: Ports> Shard<P> {
    /// Journals the batches that blocks can list from now on (R42). Transactions in other validators' batches aren't
    /// cut here while those batches are held. `came`: digest and bytes of the batch that has just come.
    pub(super) fn note_joined(&mut self, came: Option<(&BatchDigest, &Bytes)>) {
        for batch in self.batches.joined() {
            self.homes.batch_joined(&batch, self.core.now_ms());
            // A final block may have passed the batch since it joined. The store has it then, and nothing would free
            // its record.
            if self.batches.lanes().get(batch.batch.body.author, &batch.digest).is_none() {
                continue;
            }
            self.journal_batch(&batch, came);
            if !self.context.is_me(batch.batch.body.author) {
                self.own_lane.held_elsewhere(&batch);
            }
        }
    }

    fn journal_batch(&mut self, batch: &Arc<CheckedBatch>, came: Option<(&BatchDigest, &Bytes)>) {
        let lane = batch.batch.body.author;
        if self.batches.lanes().lsn(lane, &batch.digest).is_some() {
            return;
        }
        let position = match came.filter(|(digest, _)| **digest == batch.digest) {
            Some((_, bytes)) => self.append(RecordKind::Batch, bytes),
            None => self.append(RecordKind::Batch, &encode(&*batch.batch)),
        };
        self.journal.note_batch(position);
        self.batches.journaled(lane, &batch.digest, position);
    }

    /// Journals the batches of a block that are in memory only, before the block is voted for (R21). Returns false if a
    /// batch isn't held.
    pub(super) fn journal_payload(&mut self, digest: &BlockDigest) -> bool {
        let Some(entry) = self.tree.get(digest) else { return false };
        let cursors = entry.block.header.cursors.clone();
        let Some(parent) = self.tree.header(&entry.block.header.parent) else { return false };
        let Ok(payload) = self.batches.lanes().payload(&parent.cursors, &cursors) else {
            return false;
        };
        payload.iter().flatten().for_each(|batch| self.journal_batch(batch, None));
        true
    }

    /// Drops useless batches: those listed only by blocks that can't become final, and those that never joined their
    /// lane.
    pub(super) fn sweep_lanes(&mut self, now: Now) {
        if !self.batches.sweep_is_due(now) {
            return;
        }
        let living = self.tree.entries().filter(|(digest, entry)| self.is_living(digest, entry));
        let living: Vec<&[Cursor]> = living.map(|(_, entry)| entry.block.header.cursors.as_slice()).collect();
        self.batches.sweep(now, &living);
    }
}

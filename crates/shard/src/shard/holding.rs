//! Batches that are held: journaled when they join their lane or are voted for, dropped when no living block lists them.
//!
//! *Invariants:* a vote or proposal rests only on batches that are in the journal; what is in the journal stays held until
//! final blocks go past it.

use super::{Now, Ports, Shard};
use bytes::Bytes;
use rustorium_crypto::CheckedBatch;
use rustorium_storage::RecordKind;
use rustorium_types::{BatchDigest, BlockDigest, Cursor, encode};
use std::sync::Arc;

/// How long batches may be held that nobody needs, so that they are not looked through at each batch that comes.
const SWEEP_US: u64 = 100_000;

impl<P: Ports> Shard<P> {
    /// Batches that blocks can list from now on are journaled (R42), and what those of others have isn't cut here while they
    /// are held. `came`: the bytes of the batch that came now.
    pub(super) fn note_joined(&mut self, came: Option<(&BatchDigest, &Bytes)>) {
        for batch in self.lanes.joined() {
            self.homes.batch_joined(&batch, self.timing.now_ms());
            // A final block may have gone past it since it joined: the store has it, and nobody would let go of the record.
            if self.lanes.get(batch.batch.body.author, &batch.digest).is_none() {
                continue;
            }
            self.journal_batch(&batch, came);
            if !self.context.is_me(batch.batch.body.author) {
                self.pool.held_elsewhere(&batch);
            }
        }
    }

    fn journal_batch(&mut self, batch: &Arc<CheckedBatch>, came: Option<(&BatchDigest, &Bytes)>) {
        let lane = batch.batch.body.author;
        if self.lanes.lsn(lane, &batch.digest).is_some() {
            return;
        }
        let position = match came.filter(|(digest, _)| **digest == batch.digest) {
            Some((_, bytes)) => self.append(RecordKind::Batch, bytes),
            None => self.append(RecordKind::Batch, &encode(&*batch.batch)),
        };
        self.journal.note_batch(position);
        self.lanes.journaled(lane, &batch.digest, position);
    }

    /// Journals what a block lists and is in memory only, before it is voted for (R21). False where that isn't all held.
    pub(super) fn journal_payload(&mut self, digest: &BlockDigest) -> bool {
        let Some(entry) = self.tree.get(digest) else { return false };
        let cursors = entry.block.header.cursors.clone();
        let Some(parent) = self.tree.header(&entry.block.header.parent) else { return false };
        let Ok(payload) = self.lanes.payload(&parent.cursors, &cursors) else {
            return false;
        };
        payload.iter().flatten().for_each(|batch| self.journal_batch(batch, None));
        true
    }

    /// Drops batches that are of no use any more: those that a block listed which can't become final, and those that never
    /// joined their lane.
    pub(super) fn sweep_lanes(&mut self, now: Now) {
        if std::mem::take(&mut self.sweep_lanes) && self.lanes.has_loose() {
            let soon = now.us + SWEEP_US;
            self.sweep_at_us = Some(self.sweep_at_us.map_or(soon, |at| at.min(soon)));
        }
        if self.sweep_at_us.take_if(|at| *at <= now.us).is_none() {
            return;
        }
        let living = self.tree.entries().filter(|(digest, entry)| self.is_living(digest, entry));
        let living: Vec<&[Cursor]> = living.map(|(_, entry)| entry.block.header.cursors.as_slice()).collect();
        let next_ms = self.lanes.drop_unlisted(now.ms(), &living);
        self.sweep_at_us = next_ms.map(|ms| ms * 1000);
    }
}

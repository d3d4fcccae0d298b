//! Answers to peers from the store, and from a shard's memory if that is available.

use rustorium_quorum::KeptCertificate;
use rustorium_storage::{JournalRecord, Lsn, RecordKind, Store};
use rustorium_sync::{Push, Pushes, Source, certificates_within, fits};
use rustorium_types::{
    Batch, BatchDigest, Block, BlockDigest, BoundedVec, Certificate, Epoch, EpochTransition, Height, PublicKey,
    Response, ValidatorIndex, View, decode, limits,
};

/// Returns the answer to a question for certificates. `read` reads those of which only the journal position is kept.
pub fn answer_certificates(kept: Vec<KeptCertificate>, read: impl FnOnce(&[Lsn]) -> Vec<JournalRecord>) -> Response {
    let place = |kept: &KeptCertificate| match kept {
        KeptCertificate::At(position) => Some(Lsn(*position)),
        KeptCertificate::Whole(_) => None,
    };
    let places: Vec<Lsn> = kept.iter().filter_map(place).collect();
    let records = if places.is_empty() { Vec::new() } else { read(&places) };
    let mut records = records.into_iter().peekable();
    let certificates = kept.into_iter().filter_map(|kept| match kept {
        KeptCertificate::Whole(certificate) => Some(certificate.into_inner()),
        KeptCertificate::At(position) => {
            let record = records.next_if(|record| record.lsn.0 == position)?;
            let of_its_kind = record.kind == RecordKind::Certificate;
            of_its_kind.then(|| decode(&record.payload, limits::FRAME_BYTES_MAX).ok())?
        }
    });
    certificates_within(certificates.collect())
}

/// Returns the answers that one push consists of, and their number.
pub fn answers_of(store: &dyn Store, push: Push) -> (u64, Vec<Response>) {
    match push {
        Push::Block(id, height) => (id, pushed(store, height).unwrap_or_default()),
        Push::End(id) => (id, vec![Response::NotHeld]),
    }
}

/// Returns a stored block and then the batches that it lists. `None` if the block isn't stored.
fn pushed(store: &dyn Store, height: Height) -> Option<Vec<Response>> {
    let block = |height| store.bare_block(height).ok().flatten();
    let pushed = block(height)?;
    // Lanes restart with each epoch.
    let parent = height.0.checked_sub(1).and_then(|below| block(Height(below)));
    let parent = parent.filter(|parent| parent.header.epoch == pushed.header.epoch);
    let mut batches = Vec::new();
    for (lane, cursor) in pushed.header.cursors.iter().enumerate() {
        let listed =
            parent.as_ref().and_then(|parent| parent.header.cursors.get(lane)).map_or(0, |cursor| cursor.next_seq);
        let mut digest = cursor.tip;
        for _ in listed..cursor.next_seq {
            let Some(batch) = store.batch(&digest).ok().flatten() else { break };
            digest = batch.body.previous;
            batches.push(Response::Batch(Box::new(batch)));
        }
    }
    Some(std::iter::once(Response::Block(Box::new(pushed))).chain(batches).filter(fits).collect())
}

/// Takes all answers that are due to followers, each with its receiver and the number of its request.
pub fn due_pushes(store: &dyn Store, pushes: &mut Pushes) -> Vec<(PublicKey, u64, Response)> {
    let Some(stored) = store.tip().map(|tip| tip.height) else { return Vec::new() };
    let peers: Vec<PublicKey> = pushes.due(stored).collect();
    let mut due = Vec::new();
    for peer in peers {
        while let Some(push) = pushes.next(&peer, stored) {
            let (id, answers) = answers_of(store, push);
            due.extend(answers.into_iter().map(|answer| (peer, id, answer)));
        }
    }
    due
}

/// Sources of answers: first memory, then the store.
pub struct Serving<'a> {
    /// Blocks, batches and certificates that are not final yet. `None` if they belong to another thread.
    pub memory: Option<&'a dyn Source>,
    /// Store with everything else.
    pub store: &'a dyn Store,
}

impl Source for Serving<'_> {
    fn block(&self, digest: &BlockDigest) -> Option<Block> {
        self.memory.and_then(|memory| memory.block(digest)).or_else(|| {
            let height = self.store.height_of(digest).ok().flatten()?;
            self.store.bare_block(height).ok().flatten()
        })
    }

    fn batch(&self, lane: ValidatorIndex, digest: &BatchDigest) -> Option<Batch> {
        let held = self.memory.and_then(|memory| memory.batch(lane, digest));
        held.or_else(|| self.store.batch(digest).ok().flatten())
    }

    fn batches(&self, lane: ValidatorIndex, first: u64, end: u64) -> Vec<Batch> {
        self.memory.map_or_else(Vec::new, |memory| memory.batches(lane, first, end))
    }

    fn certificates(&self, first: View, last: View) -> Vec<Certificate> {
        self.memory.map_or_else(Vec::new, |memory| memory.certificates(first, last))
    }

    fn final_blocks(&self, first: Height, count: u32) -> (Vec<Block>, Option<Certificate>) {
        let wanted = u64::from(count).clamp(1, limits::SYNC_ITEMS_MAX as u64);
        let tip = self.store.tip().map_or(0, |tip| tip.height.0);
        let mut last = (first.0.saturating_add(wanted - 1)).min(tip);
        // A peer may have only the keys of the first block's epoch, so the answer ends where that epoch ended.
        let end = self.store.bare_block(first).ok().flatten().and_then(|block| self.epoch_end(block.header.epoch));
        if let Some(change) = end.filter(|change| change.boundary().height.0 <= last) {
            let (boundary, proof) = change.into_boundary();
            last = boundary.height.0;
            let closing = proof.descendants.into_vec();
            let closing = closing.into_iter().map(|header| Block { header, inline: BoundedVec::default() });
            let blocks = (first.0..=last).map_while(|h| self.store.bare_block(Height(h)).ok().flatten());
            return (blocks.chain(closing).collect(), Some(proof.finalization));
        }
        // A peer that asks for fewer blocks knows the last one (R34) and needs no finalization. Older releases ask for
        // the maximum.
        let knows_last = wanted < limits::SYNC_ITEMS_MAX as u64 && last == first.0.saturating_add(wanted - 1);
        for end in (first.0..=last).rev().take(if knows_last { 1 } else { usize::MAX }) {
            let Ok(Some((height, certificate))) = self.store.finalization_at_or_above(Height(end)) else { continue };
            if height.0 != end {
                continue;
            }
            let blocks = (first.0..=end).map_while(|h| self.store.bare_block(Height(h)).ok().flatten()).collect();
            return (blocks, Some(certificate));
        }
        if knows_last {
            return ((first.0..=last).map_while(|h| self.store.bare_block(Height(h)).ok().flatten()).collect(), None);
        }
        (Vec::new(), None)
    }

    fn epoch_end(&self, epoch: Epoch) -> Option<EpochTransition> {
        self.store.epoch(epoch).ok().flatten()
    }
}

//! The reach of certificates: the heights of a store that a quorum's signatures prove, and the check that the stored
//! blocks and results are those.
//!
//! *Invariants:* nothing in a backup is believed as such: everything depends, by hashes, on one certificate under the
//! keys that the genesis leads to.

use crate::error::BackupError;
use crate::manifest::CertifiedRange;
use crate::work::Work;
use rustorium_api::genesis_file;
use rustorium_crypto::{batch_digest, block_digest, block_payload_root, chain_id, result_root};
use rustorium_execution::{Trust, genesis as genesis_state, receipts_root};
use rustorium_storage::{Store, StoredBlock};
use rustorium_types::{
    BlockDigest, BlockProof, BoundedVec, Certificate, ChainId, Cursor, EpochTransition, Genesis, Hash, Header, Height,
    ShardId, StateClaim, decode,
};
use std::collections::BTreeMap;

/// Bytes of all changes of epochs.
const EPOCHS_BYTES_MAX: usize = 256 << 20;

/// Finds the newest certificate in a store, the heights that it proves, and the ends of the epochs before its own.
/// Errors: there is none yet, or those of the store.
pub(crate) fn vouched(store: &dyn Store) -> Result<(CertifiedRange, Vec<EpochTransition>), BackupError> {
    let tip = store.tip().ok_or(BackupError::NothingProven)?;
    let found = newest_finalization(store, tip.height)?;
    let (height, certificate) = found.map_or((Height(0), None), |(height, found)| (height, Some(found)));
    let kept = store.kept();
    if height < kept.oldest_height {
        return Err(BackupError::NothingProven);
    }
    let header = store.bare_block(height)?.ok_or(BackupError::NothingProven)?.header;
    let mut changes = Vec::new();
    for epoch in (0..header.epoch.0).map(rustorium_types::Epoch) {
        changes.push(store.epoch(epoch)?.ok_or(BackupError::NothingProven)?);
    }
    let newest = header.result.height;
    let oldest = kept.roots.map_or(kept.oldest_height, |(oldest, _)| oldest);
    if newest < oldest {
        return Err(BackupError::NothingProven);
    }
    Ok((CertifiedRange { header, certificate, oldest, newest }, changes))
}

/// Returns the stored finalization of the highest block up to the tip.
fn newest_finalization(store: &dyn Store, tip: Height) -> Result<Option<(Height, Certificate)>, BackupError> {
    let mut found = None;
    let mut back = 0u64;
    while found.is_none() {
        found = store.finalization_at_or_above(Height(tip.0.saturating_sub(back)))?;
        if back >= tip.0 {
            break;
        }
        back = 2 * back + 1;
    }
    while let Some((height, _)) = &found
        && let Some(next) = store.finalization_at_or_above(height.next())?
    {
        found = Some(next);
    }
    Ok(found)
}

/// Parses the genesis in a file's contents.
pub(crate) fn read_genesis(contents: &[u8]) -> Result<Genesis, String> {
    let text = std::str::from_utf8(contents).map_err(|_| "its genesis is no text".to_owned())?;
    genesis_file::from_json(text).map_err(|error| format!("its genesis can't be read: {error}"))
}

/// Checks that the header of a shard is final on this chain of this genesis, and that it reaches as far as the manifest
/// says. `epochs`: the encoded ends of epochs.
pub(crate) fn check_certificate(
    chain: ChainId,
    shard: ShardId,
    range: &CertifiedRange,
    genesis: &[u8],
    epochs: &[u8],
) -> Result<(), String> {
    let genesis = read_genesis(genesis)?;
    if chain_id(&genesis) != chain {
        return Err("its genesis is another chain's".to_owned());
    }
    if !genesis.has_shard(shard) {
        return Err(format!("its genesis has no shard {shard}"));
    }
    let header = &range.header;
    if range.newest != header.result.height || range.oldest > range.newest {
        return Err("it says that it reaches heights that its certificate doesn't".to_owned());
    }
    let Some(finalization) = range.certificate.clone() else {
        let right = *header == genesis_state(&genesis, shard).header;
        return if right { Ok(()) } else { Err("it has no certificate".to_owned()) };
    };
    let changes: Vec<EpochTransition> =
        decode(epochs, EPOCHS_BYTES_MAX).map_err(|error| format!("its changes of epochs can't be read: {error}"))?;
    let mut trust = Trust::of_shard(&genesis, shard);
    for change in &changes {
        trust = trust.follow(change).map_err(|refused| refused.to_string())?;
    }
    let proof = BlockProof { descendants: BoundedVec::default(), finalization };
    trust.check_final(header, &proof).map(drop).map_err(|refused| refused.to_string())
}

/// State roots by height, as certified headers claim them.
pub(crate) type Claims = BTreeMap<Height, Hash>;

/// Checks each kept block and result of a store against a header that was found to be final. Returns the state roots
/// that the headers claim. Above the claimed result, which nothing proves yet, only headers are examined.
pub(crate) fn check_chain(store: &dyn Store, last: &Header, work: &Work) -> Result<Claims, BackupError> {
    let oldest = store.kept().oldest_height;
    work.begin("checking blocks", last.height.0 - oldest.0.min(last.height.0) + 1);
    let mut claims = Claims::new();
    let mut expected = block_digest(last);
    let mut child: Option<StoredBlock> = None;
    for height in (oldest.0..=last.height.0).rev().map(Height) {
        let stored = store.block(height)?.ok_or_else(|| unproven(height, "its block is missing"))?;
        check_place(&stored, height, &expected)?;
        if let StateClaim::Rooted { height, root, .. } = stored.block.header.state {
            claims.insert(height, root);
        }
        let certified = stored.result_root == last.result.root;
        if height == last.result.height && !certified {
            return Err(unproven(height, "its result is another than the certified one"));
        }
        if let Some(child) = child.filter(|child| child.block.header.height <= last.result.height) {
            check_height(store, &child, &stored)?;
        }
        expected = stored.block.header.parent;
        child = Some(stored);
        work.advance(1)?;
    }
    Ok(claims)
}

pub(crate) fn unproven(height: Height, what: &str) -> BackupError {
    BackupError::Unproven(format!("at height {height} {what}"))
}

fn check_place(stored: &StoredBlock, height: Height, expected: &BlockDigest) -> Result<(), BackupError> {
    let header = &stored.block.header;
    let right = header.height == height && stored.digest == *expected && block_digest(header) == *expected;
    if right { Ok(()) } else { Err(unproven(height, "its block is not the one that the next names")) }
}

/// Checks payload, receipts and result root of a block against its parent.
fn check_height(store: &dyn Store, stored: &StoredBlock, parent: &StoredBlock) -> Result<(), BackupError> {
    let header = &stored.block.header;
    let refused = |what| Err(unproven(header.height, what));
    let mut cursors = parent.block.header.cursors.as_slice().to_vec();
    if header.epoch != parent.block.header.epoch {
        // Lanes restart with each epoch.
        cursors = vec![Cursor::default(); header.cursors.len()];
    }
    if block_payload_root(&stored.block, &cursors) != header.payload_root {
        return refused("its payload is another");
    }
    for (lane, digest) in &stored.batches {
        let batch = store.batch(digest)?;
        let (Some(batch), Some(cursor)) = (batch, cursors.get_mut(usize::from(lane.0))) else {
            return refused("a batch is missing");
        };
        if batch_digest(&batch.body) != *digest
            || (batch.body.seq, batch.body.previous) != (cursor.next_seq, cursor.tip)
        {
            return refused("a batch is another");
        }
        *cursor = Cursor { next_seq: cursor.next_seq + 1, tip: *digest };
    }
    if cursors != header.cursors.as_slice() {
        return refused("its batches are others");
    }
    let link = &stored.link;
    if receipts_root(&stored.receipts) != link.receipts {
        return refused("its receipts are others");
    }
    if result_root(&parent.result_root, &link.receipts, &link.diff, &link.outbox) != stored.result_root {
        return refused("its result is another");
    }
    Ok(())
}

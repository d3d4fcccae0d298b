//! Decodes the journal's records above the store's tip, and commits the genesis block to an empty store.

use crate::executor::{StoredState, committee_of, tree_writes};
use bytes::Bytes;
use rustorium_execution::CommitteeRecord;
use rustorium_shard::context::Context;
use rustorium_shard::periods::claimed_height;
use rustorium_shard::{Floor, Journaled, LiveRecords, Records};
use rustorium_storage::{HeightCommit, JournalRecord, RecordKind, Store, StoreError, Tip};
use rustorium_types::{
    Batch, Block, BoundedVec, Certificate, Cursor, Epoch, Genesis, Header, Height, ResultLink, ShardId, SignedVote,
    View, decode, limits,
};
use std::collections::HashSet;

/// Number of result roots that a restarted node reads back: more than the heights by which a claim may lag.
const ROOTS_READ: u64 = 512;

/// Commits the shard's genesis block if the store has no tip. Returns the tip. Errors: the store's, also that its blocks
/// are another shard's.
pub fn tip_of(store: &dyn Store, genesis: &Genesis, shard: ShardId) -> Result<Tip, StoreError> {
    if let Some(tip) = store.tip() {
        if tip.header.shard != shard {
            return Err(StoreError::OtherShard { found: tip.header.shard, wanted: shard });
        }
        keep_committee_record(store, &tip)?;
        return Ok(tip);
    }
    let state = rustorium_execution::genesis(genesis, shard);
    if genesis.parameters.state_roots {
        store.put_tree_writes(Height(0), &tree_writes(&state.diff))?;
    }
    if let Some(record) = committee_of(&state.diff) {
        store.put_committee_record(Height(0), record)?;
    }
    store.commit(&HeightCommit {
        digest: state.digest,
        block: Block { header: state.header.clone(), inline: BoundedVec::default() },
        inline_ids: Vec::new(),
        batches: Vec::new(),
        receipts: Vec::new(),
        diff: state.diff,
        link: ResultLink::default(),
        result_root: state.result_root,
        finalization: None,
    })?;
    store.sync()?;
    let payload_height = Height(0);
    Ok(Tip {
        height: Height(0),
        digest: state.digest,
        header: state.header,
        result_root: state.result_root,
        payload_height,
    })
}

/// Stores the tip's committee record in a store that was filled with a snapshot. Such a store has the record in its
/// state and no row of the height that wrote it, so the record counts from the tip on.
///
/// A block may still claim a height below the tip, at which the record isn't known. Such a block waits, and the next
/// one claims more.
fn keep_committee_record(store: &dyn Store, tip: &Tip) -> Result<(), StoreError> {
    if store.committee_record(tip.height)?.is_some() {
        return Ok(());
    }
    let what = "the state has no committee record that can be read";
    let record = CommitteeRecord::read(&StoredState(store));
    let record = record.map_err(|_| StoreError::Inconsistent { height: tip.height, what })?;
    store.put_committee_record(tip.height, &record.to_bytes())
}

/// Decodes the journal's records. The journal itself refuses records of a newer format. Errors: the position of a
/// record that is intact but doesn't decode, so another version wrote it.
pub fn decode_journal(
    context: &Context,
    store: &dyn Store,
    tip: &Tip,
    journal: Vec<JournalRecord>,
) -> Result<Journaled, String> {
    let mut journaled = Journaled { payload_height: tip.payload_height, ..Journaled::default() };
    let mut records = Records::default();
    let journal = mark_copied(journal);
    let extents = journal.iter().map(|(record, newest)| (record.lsn.0, record.payload.len(), *newest));
    journaled.live = LiveRecords::found(extents);
    for (record, _) in journal.into_iter().filter(|(_, newest)| *newest) {
        let position = record.lsn.0;
        let bad = |error| {
            format!("the journal's record at {position} can't be read ({error}); start the version that wrote it")
        };
        match record.kind {
            RecordKind::Vote => {
                let vote: SignedVote = decode(&record.payload, limits::FRAME_BYTES_MAX).map_err(bad)?;
                records.votes.push((position, vote));
            }
            RecordKind::Proposal => {
                let block: Block = decode(&record.payload, limits::FRAME_BYTES_MAX).map_err(bad)?;
                records.blocks.push((position, block));
            }
            RecordKind::Certificate => {
                let certificate: Certificate = decode(&record.payload, limits::FRAME_BYTES_MAX).map_err(bad)?;
                records.certificates.push((position, certificate));
            }
            RecordKind::Batch => {
                let batch: Batch = decode(&record.payload, limits::FRAME_BYTES_MAX).map_err(bad)?;
                records.batches.push((position, batch));
            }
            RecordKind::Floor => {
                let floor: (Epoch, View, Cursor) = decode(&record.payload, limits::FRAME_BYTES_MAX).map_err(bad)?;
                let (epoch, view, own_lane) = floor;
                journaled.floor = Floor { epoch, view, own_lane, position };
            }
        }
    }
    (journaled.records, journaled.later) = records.split(context.epoch());
    read_roots(store, tip, &mut journaled).map_err(|error| error.to_string())?;
    read_periods(context, store, tip, &mut journaled).map_err(|error| error.to_string())?;
    journaled.committees = read_committees(store, tip)?;
    Ok(journaled)
}

/// Returns the records, each with true if it is the newest of its copies. R36 appends a record again if it is needed
/// for a long time.
fn mark_copied(journal: Vec<JournalRecord>) -> Vec<(JournalRecord, bool)> {
    let mut seen: HashSet<(RecordKind, Bytes)> = HashSet::new();
    let newest: Vec<bool> = journal.iter().rev().map(|r| seen.insert((r.kind, r.payload.clone()))).collect();
    journal.into_iter().zip(newest.into_iter().rev()).collect()
}

/// Reads the root periods as of the tip. They follow from the headers above the state root that the tip claims.
fn read_periods(context: &Context, store: &dyn Store, tip: &Tip, journaled: &mut Journaled) -> Result<(), StoreError> {
    let claimed = claimed_height(&tip.header.state);
    let synced = store.synced_headers()?;
    for height in (claimed.0 + 1..=tip.height.0).map(Height) {
        let Some(header) = stored_header(store, &synced, height)? else { continue };
        let parameters = context.parameters_of(store, &header)?;
        journaled.periods = journaled.periods.after(&header, &parameters);
    }
    Ok(())
}

/// Returns a header of the chain, even one that came with the snapshot that filled the store.
fn stored_header(store: &dyn Store, synced: &[Header], height: Height) -> Result<Option<Header>, StoreError> {
    match store.bare_block(height) {
        Ok(Some(block)) => Ok(Some(block.header)),
        Ok(None) | Err(StoreError::Pruned { .. }) => Ok(synced.iter().find(|h| h.height == height).cloned()),
        Err(error) => Err(error),
    }
}

/// Reads the committee records from the height that the tip claims on. The next block may claim any of them.
fn read_committees(store: &dyn Store, tip: &Tip) -> Result<Vec<(Height, CommitteeRecord)>, String> {
    let mut found: Vec<(Height, CommitteeRecord)> = Vec::new();
    for height in (tip.header.result.height.0..=tip.height.0).map(Height) {
        let bytes = store.committee_record(height).map_err(|error| error.to_string())?;
        // A store that was filled with a snapshot knows no record below its tip.
        let Some(bytes) = bytes else { continue };
        let record = CommitteeRecord::from_bytes(&bytes).map_err(|error| error.to_string())?;
        if found.last().is_none_or(|(_, before)| *before != record) {
            found.push((height, record));
        }
    }
    let none = || format!("there is no committee record as of height {}", tip.height.0);
    if found.is_empty() { Err(none()) } else { Ok(found) }
}

fn read_roots(store: &dyn Store, tip: &Tip, journaled: &mut Journaled) -> Result<(), StoreError> {
    let first = tip.height.0.saturating_sub(ROOTS_READ).max(store.kept().oldest_height.0);
    let links = store.links(Height(first), tip.height)?;
    journaled.roots = (first..).map(Height).zip(links.into_iter().map(|stored| stored.result_root)).collect();
    let best = store.finalization_at_or_above(tip.height)?;
    journaled.finalization = best.map(|(_, certificate)| certificate);
    Ok(())
}

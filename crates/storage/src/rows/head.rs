//! A height's first row in format 5: digest, roots, and what the header has beyond its parent's.
//!
//! *Invariants:* any header comes back from its row and the rows of at most `WHOLE_EVERY` heights below, whatever it
//! contains: what can't be told by others is in the row; a rebuilt header is used only if its digest is the one in the
//! row.

use super::numbers::{put_number, take_number};
use super::{Table, corrupt};
use crate::checks::is_owed;
use crate::store::{HeightCommit, StoreError, StoredLink, Tip};
use borsh::BorshDeserialize;
use rustorium_crypto::{block_digest, result_root};
use rustorium_types::{
    BatchDigest, BlockDigest, BoundedVec, Cursor, End, Hash, Header, Height, ResultClaim, ResultLink, StateClaim,
    ValidatorIndex, View, encode_into,
};
use std::sync::Arc;

/// Heights after which a row has a whole header.
pub(crate) const WHOLE_EVERY: u64 = if cfg!(test) { 4 } else { 64 };

/// Bits of a row's flags: each says that the row has something that is missing otherwise.
const RECEIPTS: u16 = 1;
const DIFF: u16 = 1 << 1;
const OUTBOX: u16 = 1 << 2;
const RESULT: u16 = 1 << 3;
const CLAIM: u16 = 1 << 4;
const CURSORS: u16 = 1 << 5;
const STATE: u16 = 1 << 6;
const END: u16 = 1 << 7;
/// The row has its whole header.
const WHOLE: u16 = 1 << 8;
/// The next finalization will be kept.
const OWED: u16 = 1 << 9;
const KNOWN: u16 = (1 << 10) - 1;

/// A batch's entry in the directory of a height's payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listed {
    pub author: ValidatorIndex,
    pub digest: BatchDigest,
    /// Bytes of the batch in the payload.
    pub bytes: u32,
}

/// The directory of a height's payload: its inline transactions, and the batches behind them.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Directory {
    pub inline: u32,
    pub inline_bytes: u32,
    pub batches: Vec<Listed>,
}

impl Directory {
    /// Bytes of the payload.
    pub(crate) fn bytes(&self) -> u64 {
        let batches: u64 = self.batches.iter().map(|listed| u64::from(listed.bytes)).sum();
        u64::from(self.inline_bytes) + batches
    }

    /// First byte of the n-th batch in the payload, and its entry.
    pub(crate) fn batch(&self, n: usize) -> Option<(u64, &Listed)> {
        let before = self.batches.get(..n)?.iter().map(|listed| u64::from(listed.bytes)).sum::<u64>();
        Some((u64::from(self.inline_bytes) + before, self.batches.get(n)?))
    }

    /// Returns the cursors of a block with these batches, whose parent has `cursors`.
    pub(crate) fn moved(&self, cursors: &[Cursor]) -> Vec<Cursor> {
        let mut cursors = cursors.to_vec();
        for listed in &self.batches {
            if let Some(cursor) = cursors.get_mut(usize::from(listed.author.0)) {
                *cursor = Cursor { next_seq: cursor.next_seq.wrapping_add(1), tip: listed.digest };
            }
        }
        cursors
    }
}

/// A header as its row has it.
#[derive(Clone, Debug)]
enum HeaderPart {
    Whole(Box<Header>),
    Beyond(Box<Beyond>),
}

/// The fields in which a header differs from what its parent tells.
#[derive(Clone, Debug)]
struct Beyond {
    view_step: u64,
    proposer: ValidatorIndex,
    transactions: u32,
    declared_work: u64,
    /// Distance of the claimed height.
    claim_distance: u64,
    claim: Option<Hash>,
    payload_root: Hash,
    cursors: Option<Vec<(u8, Cursor)>>,
    state: Option<StateClaim>,
    end: End,
}

/// A decoded row, before its header is rebuilt.
#[derive(Clone, Debug)]
pub(crate) struct HeadRow {
    pub digest: BlockDigest,
    /// Distance to the next row at or below with a whole header.
    pub back: u8,
    pub time_ms: u64,
    pub payload_distance: u64,
    pub directory: Directory,
    /// Number of receipts.
    pub receipts: u32,
    /// The receipts, if they are in this row.
    pub receipt_bytes: Vec<u8>,
    owed: bool,
    link: ResultLink,
    result: Option<Hash>,
    header: HeaderPart,
}

impl HeadRow {
    /// Returns the whole header, if the row has it.
    pub(crate) fn whole(&self) -> Option<&Header> {
        match &self.header {
            HeaderPart::Whole(header) => Some(header),
            HeaderPart::Beyond(_) => None,
        }
    }
}

/// The facts that the rows up to a height tell about the next one.
#[derive(Clone, Debug)]
pub(crate) struct Trail {
    /// The newest height whose row has a whole header.
    whole: Height,
    /// Result roots from `whole` on.
    results: Vec<Hash>,
    pub header: Arc<Header>,
    pub digest: BlockDigest,
    pub link: ResultLink,
    pub payload_height: Height,
    /// True if the next finalization will be kept.
    pub owed: bool,
}

impl Trail {
    /// Begins at a row with a whole header; `None` if it has none.
    pub(crate) fn begin(row: &HeadRow) -> Option<Self> {
        let header = Arc::new(row.whole()?.clone());
        let payload_height = Height(header.height.0.checked_sub(row.payload_distance)?);
        let HeadRow { digest, link, owed, .. } = *row;
        Some(Self { whole: header.height, results: vec![row.result?], header, digest, link, payload_height, owed })
    }

    /// Continues with the row of the next height; `None` if the row doesn't fit.
    pub(crate) fn extend(&mut self, row: &HeadRow) -> Option<()> {
        let HeaderPart::Beyond(beyond) = &row.header else {
            *self = Self::begin(row)?;
            return Some(());
        };
        let (parent, height) = (&self.header, self.header.height.next());
        let cursors = match &beyond.cursors {
            None => row.directory.moved(&parent.cursors),
            Some(moved) => {
                let mut cursors = parent.cursors.to_vec();
                for (place, cursor) in moved {
                    *cursors.get_mut(usize::from(*place))? = *cursor;
                }
                cursors
            }
        };
        let claimed = Height(height.0.wrapping_sub(beyond.claim_distance));
        let header = Header {
            view: View(parent.view.0.wrapping_add(beyond.view_step)),
            height,
            parent: self.digest,
            parent_view: parent.view,
            proposer: beyond.proposer,
            time_ms: row.time_ms,
            payload_root: beyond.payload_root,
            cursors: BoundedVec::new(cursors).ok()?,
            transactions: beyond.transactions,
            declared_work: beyond.declared_work,
            end: beyond.end,
            result: ResultClaim { height: claimed, root: beyond.claim.or_else(|| self.result_at(claimed))? },
            state: beyond.state.unwrap_or(parent.state),
            ..Header::clone(parent)
        };
        let root = row.result.unwrap_or_else(|| self.result_after(&row.link));
        self.payload_height = Height(height.0.checked_sub(row.payload_distance)?);
        (self.header, self.digest, self.link, self.owed) = (header.into(), row.digest, row.link, row.owed);
        self.results.push(root);
        Some(())
    }

    /// Continues with a height that was just stored.
    pub(crate) fn commit(current: Option<Self>, commit: &HeightCommit, tip: &Tip, plan: &HeadPlan) -> Self {
        let (header, digest, link) = (Arc::new(commit.block.header.clone()), commit.digest, commit.link);
        let (payload_height, owed) = (tip.payload_height, plan.owed);
        match current.filter(|_| !plan.whole) {
            Some(mut trail) => {
                trail.results.push(commit.result_root);
                Self { header, digest, link, payload_height, owed, ..trail }
            }
            None => {
                let results = vec![commit.result_root];
                Self { whole: header.height, results, header, digest, link, payload_height, owed }
            }
        }
    }

    /// Tells if the trail ends at a height from `whole` on and below `height`.
    pub(crate) fn is_within(&self, whole: Height, height: Height) -> bool {
        (whole..height).contains(&self.header.height)
    }

    /// Returns the result root after the newest height.
    pub(crate) fn result_root(&self) -> Hash {
        self.results.last().copied().unwrap_or_default()
    }

    pub(crate) fn stored_link(&self) -> StoredLink {
        StoredLink { link: self.link, result_root: self.result_root() }
    }

    /// Tells if the header is the one that the digest names.
    pub(crate) fn is_right(&self) -> bool {
        block_digest(&self.header) == self.digest
    }

    fn result_after(&self, link: &ResultLink) -> Hash {
        result_root(&self.result_root(), &link.receipts, &link.diff, &link.outbox)
    }

    fn result_at(&self, height: Height) -> Option<Hash> {
        if self.header.result.height == height {
            return Some(self.header.result.root);
        }
        let place = usize::try_from(height.0.checked_sub(self.whole.0)?).ok()?;
        self.results.get(place).copied()
    }

    /// Tells if a child's row can do without what all headers of an epoch share.
    fn tells(&self, header: &Header) -> bool {
        let shared = |header: &Header| {
            let Header { version, chain, shard, epoch, speaks, .. } = *header;
            let Header { validator_set, next_validator_set, parameters, shard_map, .. } = *header;
            (version, chain, shard, epoch, speaks, validator_set, next_validator_set, parameters, shard_map)
        };
        shared(&self.header) == shared(header)
            && header.parent_view == self.header.view
            && header.cursors.len() == self.header.cursors.len()
            && header.height < Height(self.whole.0.saturating_add(WHOLE_EVERY))
    }
}

/// The choices by which a height's first row is written.
#[derive(Clone, Copy)]
pub(crate) struct HeadPlan {
    /// The row has the whole header.
    pub whole: bool,
    /// The height's finalization is stored.
    pub finalized: bool,
    /// The next finalization will be stored.
    pub owed: bool,
}

impl HeadPlan {
    /// `parent`: the header of the height below, which the trail may not know.
    pub(crate) fn of(trail: Option<&Trail>, parent: Option<&Header>, commit: &HeightCommit) -> Self {
        let header = &commit.block.header;
        let told = trail.is_some_and(|trail| trail.tells(header));
        let wanted = is_owed(parent, trail.is_some_and(|trail| trail.owed), header);
        let finalized = wanted && commit.finalization.is_some();
        let whole = !told || header.height.0.is_multiple_of(WHOLE_EVERY);
        Self { whole, finalized, owed: wanted && !finalized }
    }
}

/// Appends a height's first row, before the receipts.
pub(crate) fn encode_head(
    commit: &HeightCommit,
    payload_height: Height,
    (trail, plan): (Option<&Trail>, &HeadPlan),
    directory: &Directory,
    row: &mut Vec<u8>,
) {
    let (header, link) = (&commit.block.header, &commit.link);
    let before = trail.filter(|_| !plan.whole);
    let mut flags = if plan.owed { OWED } else { 0 };
    let mut set = |flag, condition: bool| {
        flags |= if condition { flag } else { 0 };
        condition
    };
    let roots = [(RECEIPTS, link.receipts), (DIFF, link.diff), (OUTBOX, link.outbox)];
    let roots = roots.map(|(flag, root)| set(flag, root != Hash::ZERO).then_some(root));
    let result = before.is_none_or(|trail| trail.result_after(link) != commit.result_root);
    let result = set(RESULT, result).then_some(commit.result_root);
    set(WHOLE, before.is_none());
    let (mut claim, mut moved, mut state) = (None, None, None);
    if let Some(trail) = before {
        let parent = &trail.header;
        let told = trail.result_at(header.result.height) == Some(header.result.root);
        claim = set(CLAIM, !told).then_some(header.result.root);
        moved = set(CURSORS, directory.moved(&parent.cursors) != header.cursors.as_slice()).then_some(&parent.cursors);
        state = set(STATE, header.state != parent.state).then_some(header.state);
        set(END, header.end != End::GoesOn);
    }
    encode_into(&flags, row);
    encode_into(&commit.digest, row);
    roots.into_iter().chain([result]).flatten().for_each(|root| encode_into(&root, row));
    row.push(before.map_or(0, |trail| (header.height.0 - trail.whole.0) as u8));
    put_number(header.time_ms, row);
    put_number(header.height.0 - payload_height.0, row);
    encode_directory(directory, row);
    let Some(trail) = before else {
        encode_into(header, row);
        return;
    };
    let parent = &trail.header;
    put_number(header.view.0.wrapping_sub(parent.view.0), row);
    put_number(header.proposer.0.into(), row);
    put_number(header.transactions.into(), row);
    put_number(header.declared_work, row);
    put_number(header.height.0.wrapping_sub(header.result.height.0), row);
    if let Some(root) = claim {
        encode_into(&root, row);
    }
    encode_into(&header.payload_root, row);
    if let Some(cursors) = moved {
        let moved = header.cursors.iter().enumerate().filter(|(place, cursor)| cursors.get(*place) != Some(cursor));
        let moved: Vec<(u8, &Cursor)> = moved.map(|(place, cursor)| (place as u8, cursor)).collect();
        encode_into(&moved, row);
    }
    if let Some(state) = state {
        encode_into(&state, row);
    }
    if header.end != End::GoesOn {
        encode_into(&header.end, row);
    }
}

fn encode_directory(directory: &Directory, row: &mut Vec<u8>) {
    put_number(directory.inline.into(), row);
    put_number(directory.inline_bytes.into(), row);
    put_number(directory.batches.len() as u64, row);
    for listed in &directory.batches {
        put_number(listed.author.0.into(), row);
        encode_into(&listed.digest, row);
        put_number(listed.bytes.into(), row);
    }
}

/// Decodes a height's first row.
pub(crate) fn decode_head(key: &[u8], contents: &[u8]) -> Result<HeadRow, StoreError> {
    let mut rest = contents;
    decode(&mut rest).ok_or_else(|| corrupt(Table::Log, key, "it is no height's first row".into()))
}

fn take<T: BorshDeserialize>(rest: &mut &[u8]) -> Option<T> {
    T::deserialize(rest).ok()
}

fn take_small<T: TryFrom<u64>>(rest: &mut &[u8]) -> Option<T> {
    T::try_from(take_number(rest)?).ok()
}

fn decode(rest: &mut &[u8]) -> Option<HeadRow> {
    let flags: u16 = take(rest)?;
    if flags & !KNOWN != 0 {
        return None;
    }
    let digest = take(rest)?;
    let hash_if = |flag, rest: &mut &[u8]| if flags & flag == 0 { Some(None) } else { take(rest).map(Some) };
    let receipts = hash_if(RECEIPTS, rest)?.unwrap_or_default();
    let diff = hash_if(DIFF, rest)?.unwrap_or_default();
    let outbox = hash_if(OUTBOX, rest)?.unwrap_or_default();
    let link = ResultLink { receipts, diff, outbox };
    let result = hash_if(RESULT, rest)?;
    let back: u8 = take(rest)?;
    let time_ms = take_number(rest)?;
    let payload_distance = take_number(rest)?;
    let directory = decode_directory(rest)?;
    let header = if flags & WHOLE != 0 {
        HeaderPart::Whole(Box::new(take(rest)?))
    } else {
        HeaderPart::Beyond(Box::new(Beyond {
            view_step: take_number(rest)?,
            proposer: ValidatorIndex(take_small(rest)?),
            transactions: take_small(rest)?,
            declared_work: take_number(rest)?,
            claim_distance: take_number(rest)?,
            claim: hash_if(CLAIM, rest)?,
            payload_root: take(rest)?,
            cursors: if flags & CURSORS == 0 { None } else { Some(take(rest)?) },
            state: if flags & STATE == 0 { None } else { Some(take(rest)?) },
            end: if flags & END == 0 { End::GoesOn } else { take(rest)? },
        }))
    };
    let receipts = take_small(rest)?;
    let receipt_bytes = rest.to_vec();
    let owed = flags & OWED != 0;
    Some(HeadRow {
        digest,
        back,
        time_ms,
        payload_distance,
        directory,
        receipts,
        receipt_bytes,
        owed,
        link,
        result,
        header,
    })
}

fn decode_directory(rest: &mut &[u8]) -> Option<Directory> {
    let (inline, inline_bytes) = (take_small(rest)?, take_small(rest)?);
    let count: usize = take_small(rest)?;
    // An entry has 34 bytes at least.
    if count > rest.len() / 34 {
        return None;
    }
    let mut batches = Vec::with_capacity(count);
    for _ in 0..count {
        let author = ValidatorIndex(take_small(rest)?);
        batches.push(Listed { author, digest: take(rest)?, bytes: take_small(rest)? });
    }
    Some(Directory { inline, inline_bytes, batches })
}

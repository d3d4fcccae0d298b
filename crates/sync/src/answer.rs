//! Answers to peers' questions from the data that this node holds, within a frame's bounds.

use borsh::BorshSerialize;
use rustorium_types::limits::{FRAME_BYTES_MAX, SYNC_ITEMS_MAX};
use rustorium_types::{
    Batch, BatchDigest, Block, BlockDigest, BoundedVec, Certificate, Epoch, EpochTransition, Height, Request, Response,
    Rules, StateAnswer, ValidatorIndex, View, link_version,
};

/// Bytes of one answer: a frame, less room for its other fields.
pub const ANSWER_BYTES_MAX: usize = FRAME_BYTES_MAX - 4096;

/// Bytes of the certificates in one answer.
const CERTIFICATES_BYTES_MAX: usize = 1024 * 1024;

/// The data that a node can serve from.
pub trait Source {
    /// Returns a block.
    fn block(&self, digest: &BlockDigest) -> Option<Block>;
    /// Returns a batch of a lane.
    fn batch(&self, lane: ValidatorIndex, digest: &BatchDigest) -> Option<Batch>;
    /// Returns batches of a lane from `first` on, without a gap and below `end`.
    fn batches(&self, lane: ValidatorIndex, first: u64, end: u64) -> Vec<Batch>;
    /// Returns certificates of these views, inclusive, ascending by view.
    fn certificates(&self, first: View, last: View) -> Vec<Certificate>;
    /// Returns consecutive final blocks from `first`, with a finalization of the last one. If the `count`th block has
    /// no finalization, there are fewer blocks, or else more, up to the next one that has; at most `SYNC_ITEMS_MAX`. If
    /// `count` is less than that, it may return all `count` blocks without a finalization: the asker knows the last
    /// one.
    fn final_blocks(&self, first: Height, count: u32) -> (Vec<Block>, Option<Certificate>);
    /// Returns how an epoch ended.
    fn epoch_end(&self, epoch: Epoch) -> Option<EpochTransition>;
}

/// Answers a peer's question; `NotHeld` if the question makes no sense.
pub fn answer(source: &dyn Source, request: &Request) -> Response {
    let response = match *request {
        Request::Block(digest) => source.block(&digest).map(|block| Response::Block(Box::new(block))),
        Request::Batch { lane, digest } => source.batch(lane, &digest).map(|batch| Response::Batch(Box::new(batch))),
        Request::Certificates { first, last } => certificates(source, first, last),
        Request::FinalBlocks { first, count } => final_blocks(source, first, count),
        Request::Batches { lane, first, end } => batches(source, lane, first, end),
        Request::EpochEnd(epoch) => source.epoch_end(epoch).map(Response::EpochEnd),
        // These need the counted votes, the snapshots, or later blocks.
        Request::OwnSignatures { .. } | Request::State(_) | Request::Follow(_) => None,
    };
    response.filter(fits).unwrap_or(Response::NotHeld)
}

/// Returns true if a frame has room for the answer.
pub fn fits(response: &Response) -> bool {
    size(response) <= ANSWER_BYTES_MAX
}

/// Returns the form of an answer that the peer can decode on a link of this version. Links of 0.2.0 carry nothing that
/// only version 2 has: the end of version 1 goes without the evidence for version 2, and later ends and snapshots are
/// `NotHeld`.
pub fn for_link(response: Response, version: u8) -> Response {
    if version >= link_version::DIGESTS {
        return response;
    }
    match response {
        Response::EpochEnd(EpochTransition::First(first)) => Response::EpochEnd(first.change.into()),
        Response::EpochEnd(EpochTransition::Term(_)) => Response::NotHeld,
        Response::State(answer) if !is_of_version_one(&answer) => Response::NotHeld,
        others => others,
    }
}

fn is_of_version_one(answer: &StateAnswer) -> bool {
    match answer {
        StateAnswer::Snapshot(snapshot) => snapshot.headers.iter().all(|header| header.rules() == Rules::V1),
        // Parts of a snapshot name no version. Only a peer that took the snapshot can ask for them.
        StateAnswer::Slots(_) | StateAnswer::Subtree(_) | StateAnswer::Values(_) => true,
    }
}

fn batches(source: &dyn Source, lane: ValidatorIndex, first: u64, end: u64) -> Option<Response> {
    let mut batches = source.batches(lane, first, end.min(first.saturating_add(SYNC_ITEMS_MAX as u64)));
    let mut room = ANSWER_BYTES_MAX - 64;
    let fit = batches.iter().take_while(|batch| take(&mut room, size(*batch))).count();
    batches.truncate(fit);
    BoundedVec::new(batches).ok().filter(|batches| !batches.is_empty()).map(Response::Batches)
}

fn certificates(source: &dyn Source, first: View, last: View) -> Option<Response> {
    let last = last.min(View(first.0.saturating_add(SYNC_ITEMS_MAX as u64 - 1)));
    if first > last {
        return None;
    }
    Some(certificates_within(source.certificates(first, last)))
}

/// Returns an answer with the first of these certificates: as many as one answer may have, by number and by bytes.
pub fn certificates_within(mut certificates: Vec<Certificate>) -> Response {
    certificates.truncate(SYNC_ITEMS_MAX);
    let mut room = CERTIFICATES_BYTES_MAX;
    let fit = certificates.iter().take_while(|certificate| take(&mut room, size(*certificate))).count();
    certificates.truncate(fit);
    BoundedVec::new(certificates).map_or(Response::NotHeld, Response::Certificates)
}

/// Returns final blocks. Blocks beyond `count` or the room are reduced to their headers, which still prove that earlier
/// blocks are final.
fn final_blocks(source: &dyn Source, first: Height, count: u32) -> Option<Response> {
    let count = count.clamp(1, SYNC_ITEMS_MAX as u32);
    let (mut blocks, finalization) = source.final_blocks(first, count);
    if blocks.is_empty() {
        return None;
    }
    let headers: usize = blocks.iter().map(|block| size(&block.header) + 4).sum();
    let mut room = (ANSWER_BYTES_MAX - 64).checked_sub(headers + size(&finalization))?;
    let mut whole = true;
    for (index, block) in blocks.iter_mut().enumerate() {
        whole = whole && index < count as usize && take(&mut room, size(&block.inline));
        if !whole {
            block.inline = BoundedVec::default();
        }
    }
    BoundedVec::new(blocks).ok().map(|blocks| Response::FinalBlocks { blocks, finalization })
}

/// Takes `bytes` out of the room, if they fit. Returns whether they do.
fn take(room: &mut usize, bytes: usize) -> bool {
    let left = room.checked_sub(bytes);
    *room = left.unwrap_or(*room);
    left.is_some()
}

/// Returns the length of a value's encoding.
pub fn size<T: BorshSerialize>(value: &T) -> usize {
    // Counting fails only for a value that can't be encoded. Such a value doesn't fit.
    borsh::object_length(value).unwrap_or(usize::MAX)
}

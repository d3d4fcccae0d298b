//! Checks that everything on which a sent frame rests is on disk, and that the frame doesn't contradict earlier ones.

use crate::ports::{TestPorts, from};
use bytes::Bytes;
use rustorium_crypto::{batch_digest, block_digest};
use rustorium_storage::{RecordKind, Store};
use rustorium_types::*;

impl TestPorts {
    fn has(&self, kind: RecordKind, fits: impl Fn(&[u8]) -> bool) -> bool {
        self.on_disk().any(|record| record.kind == kind && fits(&record.payload))
    }

    fn block_on_disk(&self, digest: &BlockDigest) -> Option<Block> {
        let blocks = self.on_disk().filter(|record| record.kind == RecordKind::Proposal);
        blocks.map(|record| from::<Block>(&record.payload)).find(|block| block_digest(&block.header) == *digest)
    }

    fn batch_on_disk(&self, digest: &BatchDigest) -> Option<Batch> {
        let batches = self.on_disk().filter(|record| record.kind == RecordKind::Batch);
        let journaled = batches.map(|record| from::<Batch>(&record.payload)).find(|b| batch_digest(&b.body) == *digest);
        journaled.or_else(|| self.store.batch(digest).unwrap())
    }

    /// R21: what a vote rests on is on disk.
    fn vote_leaves(&self, vote: &SignedVote) {
        if !self.context.is_me(vote.signer) {
            return;
        }
        let body = &vote.body;
        self.witness.borrow_mut().vote(vote.signer, body);
        if body.view <= self.durable.view.max(self.lost) {
            return;
        }
        // If another process signs, its disk has the vote, and this node's disk has that it was requested.
        let elsewhere = self.signer.as_ref().is_some_and(|signer| signer.has_vote(body));
        let journaled = |found: SignedVote| found == *vote || elsewhere && found.body == *body;
        assert!(self.has(RecordKind::Vote, |bytes| journaled(from(bytes))), "a vote left before its sync");
        match body.kind {
            VoteKind::Notarize => {
                let block = self.block_on_disk(&body.block).expect("a notarize left before its block was on disk");
                let parents = self.parent_cursors(&block.header);
                for (cursor, parent) in block.header.cursors.iter().zip(parents.unwrap_or_default()) {
                    self.lane_on_disk(cursor.tip, parent.tip);
                }
            }
            VoteKind::Finalize => {
                let notarizes = |bytes: &[u8]| {
                    let certificate: Certificate = from(bytes);
                    certificate.body.kind == VoteKind::Notarize && certificate.body.block == body.block
                };
                assert!(self.has(RecordKind::Certificate, notarizes), "a finalize left before its notarization");
            }
            VoteKind::Nullify => {}
        }
    }

    /// R6: only the block's own payload; its ancestors' payloads are with the nodes that notarized them.
    fn parent_cursors(&self, header: &Header) -> Option<Vec<Cursor>> {
        let stored = |height| self.store.bare_block(height).unwrap().map(|block| block.header);
        let stored = self.store.height_of(&header.parent).unwrap().and_then(stored);
        let known = stored.or_else(|| self.witness.borrow().headers.get(&header.parent).cloned());
        let same = |parent: &Header| parent.epoch == header.epoch;
        let cursors = |parent: Header| if same(&parent) { parent.cursors.into_vec() } else { Vec::new() };
        known.map(cursors)
    }

    fn lane_on_disk(&self, mut tip: BatchDigest, parent: BatchDigest) {
        while tip != parent && self.store.batch(&tip).unwrap().is_none() {
            let batch = self.batch_on_disk(&tip).expect("a notarize left before its payload was on disk");
            tip = batch.body.previous;
        }
    }

    fn batch_leaves(&self, batch: &Batch) {
        let digest = batch_digest(&batch.body);
        if self.context.is_me(batch.body.author) {
            // A batch that left before a store was lost, and was fetched back, may be served from memory.
            let known = self.witness.borrow_mut().batch(&batch.body, digest);
            let elsewhere = self.signer.as_ref().is_some_and(|signer| signer.has_batch(batch));
            assert!(known || elsewhere || self.batch_on_disk(&digest).is_some(), "an own batch left before its sync");
        }
    }

    pub fn leaves(&self, class: Class, frame: &Bytes) {
        match Message::from_frame(class, frame).expect("a frame that its receiver can read") {
            Message::Vote(message) => self.vote_leaves(&message.vote),
            Message::Heartbeat(heartbeat) => heartbeat.votes.iter().for_each(|vote| self.vote_leaves(vote)),
            Message::Proposal(proposal) => {
                let header = &proposal.header;
                self.witness.borrow_mut().headers.insert(block_digest(header), header.clone());
                let body = self.notarize_of(header);
                self.vote_leaves(&SignedVote { body, signer: header.proposer, signature: proposal.signature });
            }
            Message::Batch(batch) | Message::Response { response: Response::Batch(batch), .. } => {
                self.batch_leaves(&batch);
            }
            _ => {}
        }
    }

    pub fn notarize_of(&self, header: &Header) -> VoteBody {
        let (view, kind, block) = (header.view, VoteKind::Notarize, block_digest(header));
        VoteBody { chain: header.chain, shard: header.shard, epoch: header.epoch, view, kind, block }
    }
}

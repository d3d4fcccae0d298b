//! Peers' messages: votes, proposals, certificates, batches, questions and answers.

use super::machines::pushed::Pushed;
use super::memory::Memory;
use super::{FalseBatch, Now, Ports, Shard};
use crate::port::Input;
use crate::senders::Credit;
use crate::senders::Payer;
use bytes::Bytes;
use rustorium_crypto::{CheckedBatch, block_digest, block_payload_root};
use rustorium_sync::{GapFetcher, Want};
use rustorium_txpool::{check_batch, signatures_fit};
use rustorium_types::{
    Batch, Block, Certificate, Class, Heartbeat, Message, PublicKey, Request, Response, ValidatorIndex, View, VoteBody,
    VoteMessage,
};
use std::sync::Arc;

impl<P: Ports> Shard<P> {
    pub(super) fn on_message(
        &mut self,
        now: Now,
        peer: ValidatorIndex,
        message: Message,
        frame: Bytes,
        credit: Credit,
    ) {
        match message {
            Message::Proposal(proposal) => {
                self.heard(now, peer);
                self.on_proposal(peer, *proposal);
            }
            Message::Vote(vote) => {
                self.heard(now, peer);
                self.on_vote_message(peer, *vote);
            }
            Message::Heartbeat(heartbeat) => {
                self.heard(now, peer);
                self.on_heartbeat(peer, *heartbeat);
            }
            Message::Certificate(certificate) => self.add_certificate(peer, *certificate),
            Message::Report(report) => self.results.on_report(peer, report),
            Message::Work(work) => self.on_work(now, peer, &work),
            Message::Probe(number) => self.echo(now, peer, number),
            Message::Echo(number) => self.on_echo(now, peer, number),
            Message::Batch(batch) => {
                if self.is_pushed_by_author(peer, &batch) && self.is_news(&batch) {
                    self.check_signatures_of(peer, *batch, frame.slice(1..), false, credit);
                }
            }
            Message::Transactions(transactions) => {
                self.ports.check_transactions(Payer::Member(peer), transactions.into_vec(), credit);
            }
            Message::Request { id, request } => self.on_request(peer, id, request, credit),
            Message::Response { id, response } => self.on_response(now, peer, id, response, credit),
        }
    }

    fn heard(&mut self, now: Now, peer: ValidatorIndex) {
        if self.liveness.heard(now, peer) {
            self.core.tell(Input::PeerSilence(peer, false));
        }
    }

    /// Takes a message of a node outside the committee. Questions and transactions are passed on; statements about the
    /// chain are ignored. On a node most such messages never get here (`outside::routing`).
    pub(super) fn on_outsider(&mut self, now: Now, from: &PublicKey, message: Message, credit: Credit) {
        match message {
            Message::Request { id, request } => self.ports.serve(from, id, request, credit),
            Message::Transactions(transactions) => {
                self.ports.take_from_outside(from, transactions.into_vec(), credit);
            }
            // A node that left the committee with the last epoch may still show how that epoch ended. A quorum's
            // signatures need no trusted sender.
            Message::Response { response: Response::EpochEnd(change), .. } => self.on_epoch_end(change),
            Message::Response { response: Response::OwnSignatures { .. }, .. } => {}
            Message::Response { id, response } => {
                if let Some(seed) = self.seed_place(from) {
                    self.on_response(now, seed, id, response, credit);
                }
            }
            _ => {}
        }
    }

    fn on_vote_message(&mut self, peer: ValidatorIndex, message: VoteMessage) {
        if let Some(certificate) = message.carry {
            self.add_certificate(peer, certificate);
        }
        self.batches.on_held(peer, &message.held);
        self.results.on_report(peer, message.report);
        self.add_vote(peer, message.vote);
    }

    fn on_heartbeat(&mut self, peer: ValidatorIndex, heartbeat: Heartbeat) {
        let theirs = heartbeat.finalization.as_ref().map_or(View(0), |c| c.body.view);
        for certificate in heartbeat.finalization.into_iter().chain(heartbeat.entered_by) {
            self.add_certificate(peer, certificate);
        }
        self.batches.on_counts(peer, &heartbeat.held);
        self.results.on_report(peer, heartbeat.report);
        for vote in &heartbeat.votes {
            self.add_vote(peer, *vote);
        }
        self.help(peer, theirs);
    }

    /// Sends the best finalization to a peer that is behind it.
    pub(super) fn help(&mut self, peer: ValidatorIndex, theirs: View) {
        if let Some(best) = self.votes.best_finalization()
            && best.body.view > theirs
        {
            let frame = Message::Certificate(Box::new((**best).clone())).to_frame();
            self.ports.send(peer, Class::Consensus, frame.into());
        }
    }

    pub(super) fn is_ours(&self, body: &VoteBody) -> bool {
        let committee = &self.context.committee;
        body.chain == committee.chain && body.shard == committee.shard && body.epoch == committee.epoch
    }

    /// Returns true if peers may send this batch unasked: it is beyond the final cursor and within the window.
    pub(super) fn in_lane_window(&self, batch: &Batch) -> bool {
        let body = &batch.body;
        let committee = &self.context.committee;
        let ours = body.chain == committee.chain && body.shard == committee.shard && body.epoch == committee.epoch;
        let cursor = self.tree.root_cursors().get(usize::from(body.author.0));
        let window = u64::from(self.context.parameters.lane_window_batches);
        ours && cursor.is_some_and(|c| body.seq >= c.next_seq && body.seq < c.next_seq + window)
    }

    /// Returns true if a batch that came unasked is worth a check of its signatures.
    pub(super) fn is_news(&self, batch: &Batch) -> bool {
        let (lane, seq) = (batch.body.author, batch.body.seq);
        // Hashed only if something is requested.
        let listed = || {
            let digest = || rustorium_crypto::batch_digest(&batch.body);
            !self.fetching.is_empty() && self.fetching.contains(&Want::Batch { lane, digest: digest() })
        };
        self.in_lane_window(batch) && (!self.batches.lanes().needs_no_other(lane, seq, &batch.signature) || listed())
    }

    /// Has the signatures of a batch checked, unless it has more than a batch may have (V20).
    pub(super) fn check_signatures_of(
        &mut self,
        peer: ValidatorIndex,
        batch: Batch,
        bytes: Bytes,
        wanted: bool,
        credit: Credit,
    ) {
        if !signatures_fit(&batch.body, &self.context.parameters) {
            tracing::warn!(
                event = "batch_refused",
                peer = peer.0,
                "its transactions have more signatures than a batch may"
            );
            return;
        }
        self.ports.check_batch(peer, batch, bytes, wanted, credit);
    }

    pub(super) fn on_batch(
        &mut self,
        now: Now,
        peer: ValidatorIndex,
        checked: Result<CheckedBatch, FalseBatch>,
        bytes: &Bytes,
        wanted: bool,
    ) {
        let checked = checked.map_err(|found| self.charge_batch(peer, &found, wanted));
        let Ok(checked) = checked else {
            tracing::warn!(event = "batch_refused", peer = peer.0, "a signature in a batch does not verify");
            if wanted {
                // The digest doesn't cover the author's signature, so other peers may have the real batch. They are
                // asked when this request's time is over.
                self.fetching.lied(peer);
                self.pushed_forgery(now, peer);
            }
            return;
        };
        let (lane, digest) = (checked.batch.body.author, checked.digest);
        let wanted = wanted || self.fetching.contains(&Want::Batch { lane, digest });
        let committee = &self.context.committee;
        let (chain, shard, epoch) = (committee.chain, committee.shard, committee.epoch);
        let (rules, parameters) = (self.context.rules, &self.context.parameters);
        let weight = match check_batch(&checked.batch.body, chain, shard, epoch, rules, parameters) {
            Ok(weight) => weight,
            Err(refused) => {
                tracing::warn!(event = "batch_refused", peer = peer.0, reason = %refused);
                return;
            }
        };
        if self.batches.lanes().get(lane, &digest).is_some() {
            return;
        }
        self.watch_batch(&checked);
        if self.batches.lanes().is_past(lane, checked.batch.body.seq) {
            // Another peer's copy came first, and its block is final: the batch is neither requested nor kept any more.
            self.fetching.cancel(&Want::Batch { lane, digest });
            return;
        }
        if !wanted && !self.in_lane_window(&checked.batch) {
            return;
        }
        let checked = Arc::new(checked);
        let two = self.batches.hold(now, &checked, weight, wanted);
        if let Some(evidence) = two {
            self.ports.evidence(evidence);
        }
        self.note_joined(Some((&digest, bytes)));
        self.fetching.cancel(&Want::Batch { lane, digest });
        self.tree.recheck_soon();
    }

    fn on_request(&mut self, peer: ValidatorIndex, id: u64, request: Request, credit: Credit) {
        if let Request::Batch { lane, .. } = request {
            let view = self.core.view();
            if self.batches.note_served(&self.context, view, peer, lane) {
                self.core.tell(Input::LaneCostly(lane, view));
            }
        }
        if let Request::Certificates { first, last } = request {
            return self.serve_certificates(peer, id, first, last);
        }
        let response = match request {
            Request::OwnSignatures { next_seq } => self.signatures_of(peer, next_seq),
            _ => rustorium_sync::answer(&Memory { shard: self }, &request),
        };
        let memory_alone =
            matches!(request, Request::OwnSignatures { .. } | Request::Certificates { .. } | Request::Batches { .. });
        if !memory_alone && response == Response::NotHeld {
            if let Some(member) = self.context.validators.get(usize::from(peer.0)) {
                self.ports.serve(&member.node_key, id, request, credit);
            }
            return;
        }
        let frame = Message::Response { id, response }.to_frame();
        self.ports.send(peer, Class::Sync, frame.into());
    }

    fn on_response(&mut self, now: Now, peer: ValidatorIndex, id: u64, response: Response, credit: Credit) {
        let response = match response {
            Response::OwnSignatures { epoch, finalization, votes, batch } if epoch == self.context.epoch() => {
                return self.on_own_signatures(peer, finalization, &votes, batch.map(|batch| *batch));
            }
            Response::EpochEnd(change) => return self.on_epoch_end(change),
            other => other,
        };
        if GapFetcher::owns(id) {
            return self.on_gap_answer(now, peer, id, response);
        }
        if Pushed::owns(id) {
            return self.take_push(now, peer, id, response);
        }
        let Some((response, credit)) = self.on_named_answer(now, peer, id, response, credit) else { return };
        let Some((want, response)) = self.fetching.on_answer(now, peer, id, response) else {
            self.tree.recheck_if(self.fetching.note_refusals(self.tree.root().1.height.next()));
            return;
        };
        self.take_wanted(peer, want, response, credit);
    }

    /// Takes what was wanted. Its digest was compared. Returns false if the rest is seen to be forged.
    pub(super) fn take_wanted(&mut self, peer: ValidatorIndex, want: Want, response: Response, credit: Credit) -> bool {
        match (want, response) {
            (Want::Block(digest), Response::Block(block)) => {
                let ours = self.context.header_is_ours(&block.header);
                // The digest covers the header only. If a peer forged the rest, another peer is asked.
                if ours && self.inline_fits(&block) {
                    self.fetching.came(&digest);
                    self.keep_block(digest, *block, true);
                } else if !ours {
                    self.note_fetched(&block.header, digest);
                } else {
                    return false;
                }
            }
            (Want::Batch { .. }, Response::Batch(batch)) => {
                let bytes = Bytes::from(rustorium_types::encode(&*batch));
                self.check_signatures_of(peer, *batch, bytes, true, credit);
            }
            (Want::FinalBlocks { .. }, Response::FinalBlocks { blocks, finalization: Some(finalization) }) => {
                self.on_final_blocks(peer, blocks.into_vec(), finalization);
            }
            (Want::Ancestors { .. }, Response::FinalBlocks { blocks, .. }) => self.on_ancestors(blocks.into_vec()),
            _ => {}
        }
        true
    }

    /// Takes blocks up to a final one, each the parent of the next.
    fn on_ancestors(&mut self, blocks: Vec<Block>) {
        if blocks.first().is_some_and(|block| block.header.height <= self.tree.root().1.height.next()) {
            self.fetching.note_path_down(self.tree.root().1.height.next());
        }
        for block in blocks {
            if self.context.header_is_ours(&block.header) && self.inline_fits(&block) {
                self.keep_block(block_digest(&block.header), block, true);
            }
        }
    }

    /// Returns true if a fetched block's inline transactions are those of its header, as far as the parent is known.
    fn inline_fits(&self, block: &Block) -> bool {
        let Some(parent) = self.tree.header(&block.header.parent) else { return block.inline.is_empty() };
        block_payload_root(block, &parent.cursors) == block.header.payload_root
    }

    fn on_final_blocks(&mut self, peer: ValidatorIndex, blocks: Vec<Block>, finalization: Certificate) {
        let Some(first) = blocks.first() else { return };
        // Some of the requested blocks may be final here by now. Only those above the root are of use.
        let (root_digest, root) = self.tree.root();
        let skipped = blocks.iter().take_while(|block| block.header.height <= root.height).count();
        if first.header.height > root.height.next()
            || blocks.get(skipped).is_none_or(|b| b.header.parent != *root_digest)
        {
            return;
        }
        let (keys, owners) = (&self.context.committee.keys, self.context.owners());
        // The root's own digest, which for a boundary is its digest in the previous epoch.
        match rustorium_sync::check_final_blocks(&blocks[skipped..], &finalization, root_digest, keys, &owners) {
            Ok(chain) => {
                let blocks = blocks.into_iter().skip(skipped).take(chain.complete);
                for (digest, block) in chain.digests.into_iter().zip(blocks) {
                    if !self.context.header_is_ours(&block.header) {
                        self.note_certified(&block.header);
                        break;
                    }
                    self.keep_block(digest, block, true);
                    self.finality.prove(digest, Some(chain.finalization.clone()));
                }
                if !self.note_owners_end(&finalization) && self.is_ours(&finalization.body) {
                    self.watch_certificate(&finalization);
                    self.take_certificate(peer, Ok(chain.finalization));
                }
            }
            Err(refused) => tracing::warn!(event = "sync_refused", peer = peer.0, reason = %refused),
        }
    }
}

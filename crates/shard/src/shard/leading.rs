//! The leader's block: what it lists and claims, and the frame in which it is sent.

use super::machines::journal::Outgoing;
use super::{Now, Ports, Shard};
use crate::periods::claimed_height;
use crate::port::{Effect, Input, PayloadStatus};
use crate::rules;
use bytes::Bytes;
use rustorium_crypto::{block_digest, payload_root};
use rustorium_txpool::BlockCaps;
use rustorium_types::{
    Block, BlockDigest, BoundedVec, End, Header, Height, Message, Proposal, SignedVote, ValidatorIndex, View, VoteKind,
};

impl<P: Ports> Shard<P> {
    pub(super) fn propose(
        &mut self,
        now: Now,
        view: View,
        parent: &BlockDigest,
        claims: (Height, Height),
        distrusted: &[ValidatorIndex],
    ) {
        let Some(me) = self.context.me() else { return };
        let Some(parent_header) = self.tree.header(parent).cloned() else { return };
        self.cut_batches(now, true);
        if self.waits_for_batch() {
            // The block lists the batch that was just cut.
            let distrusted_lanes = distrusted.to_vec();
            let (claim_height, root_height) = claims;
            let later = Effect::Propose { view, parent: *parent, claim_height, root_height, distrusted_lanes };
            return self.signer.propose_later(later);
        }
        self.batches.count_own(me);
        let block = if parent_header.ends_epoch() {
            self.closing_block(now, view, parent, &parent_header, me)
        } else {
            self.build_block(now, (view, me), parent, &parent_header, claims, distrusted)
        };
        let digest = block_digest(&block.header);
        let body = self.vote_body(VoteKind::Notarize, view, digest);
        if !self.votes.permits(&body) {
            self.core.tell(Input::VoteRefused(VoteKind::Notarize, view));
            return;
        }
        self.clocks.proposed(digest);
        self.tree.claim_first(view, me, digest);
        self.tree.insert(digest, block.clone());
        self.measure_proposed(view, me);
        if let Some(entry) = self.tree.get_mut(&digest) {
            entry.status = PayloadStatus::Ready;
        }
        self.journal_payload(&digest);
        self.journal_block(&digest);
        if self.signs_elsewhere() {
            self.ask_for_proposal(body);
            return self.tell_own_block(&digest);
        }
        let Some(vote) = self.sign(body) else { return };
        let frame = self.proposal_frame(block, &vote);
        self.send_when_durable(&vote.clone(), Outgoing::Proposal(frame, vote));
        self.tell_own_block(&digest);
    }

    pub(super) fn proposal_frame(&self, block: Block, vote: &SignedVote) -> Bytes {
        let (view, parent_view) = (block.header.view, block.header.parent_view);
        let proposal = Proposal {
            header: block.header,
            inline: block.inline,
            signature: vote.signature,
            notarization: self.votes.of_parent(parent_view),
            nullifications: self.votes.nullifications_between(parent_view, view),
        };
        Bytes::from(Message::Proposal(Box::new(proposal)).to_frame())
    }

    fn build_block(
        &self,
        now: Now,
        (view, me): (View, ValidatorIndex),
        parent: &BlockDigest,
        above: &Header,
        claims: (Height, Height),
        distrusted: &[ValidatorIndex],
    ) -> Block {
        let parameters = &self.context.parameters;
        let result = self.results.claim_at(claims.0, above);
        let height = above.height.next();
        let may_list = rules::may_list(height, result.height, claimed_height(&above.state), parameters);
        let limit = |lane: usize| -> Option<u64> {
            if !may_list {
                return Some(0);
            }
            let distrusted = distrusted.iter().any(|l| usize::from(l.0) == lane);
            distrusted.then(|| self.batches.peers().quorum_held(lane))
        };
        let extension = self.batches.lanes().extend(&above.cursors, &BlockCaps::for_parameters(parameters), limit);
        let committee = &self.context.committee;
        let mut header = Header {
            version: self.context.rules.version(),
            chain: committee.chain,
            shard: committee.shard,
            epoch: committee.epoch,
            view,
            height,
            parent: *parent,
            parent_view: above.view,
            proposer: me,
            time_ms: self.clocks.time_above(now, self.context.n(), view, above),
            payload_root: payload_root(&[], &above.cursors, &extension.cursors),
            cursors: BoundedVec::new(extension.cursors).unwrap_or_default(),
            transactions: extension.transactions,
            declared_work: extension.work,
            speaks: self.context.speaks(),
            validator_set: self.context.hashes.validator_set,
            end: End::GoesOn,
            next_validator_set: self.context.hashes.validator_set,
            parameters: self.context.hashes.parameters,
            shard_map: self.context.hashes.shard_map,
            result,
            state: above.state,
        };
        header.state = self.results.state_claim(&self.tree, parameters, claims.1, &header, above);
        if let Some((true, next)) = self.end_at(header.time_ms, header.result.height) {
            (header.end, header.next_validator_set) = (End::Boundary, next);
        }
        Block { header, inline: BoundedVec::default() }
    }

    /// R28: builds a child of a block that ends the epoch. It helps to finalize the boundary and changes nothing.
    fn closing_block(&self, now: Now, view: View, parent: &BlockDigest, above: &Header, me: ValidatorIndex) -> Block {
        let header = Header {
            view,
            height: above.height.next(),
            parent: *parent,
            parent_view: above.view,
            proposer: me,
            time_ms: self.clocks.time_above(now, self.context.n(), view, above),
            payload_root: payload_root(&[], &above.cursors, &above.cursors),
            transactions: 0,
            declared_work: 0,
            speaks: 0,
            end: End::Closing(rules::boundary_of(parent, above)),
            ..above.clone()
        };
        Block { header, inline: BoundedVec::default() }
    }
}

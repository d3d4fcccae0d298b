//! The process that signs for this node: whether it is connected, and the requests that it hasn't answered.
//!
//! *Invariants:* one batch is requested at a time; requests wait while the signer is away, except the batch, whose
//! transactions others can list; a number is used once, even over epochs.

use crate::port::{CertificateName, Effect};
use rustorium_crypto::UnsignedBatch;
use rustorium_types::{View, VoteBody};
use std::collections::BTreeMap;

/// A request to the signer that has no answer yet.
pub(crate) enum OpenRequest {
    /// The journal was shown.
    Show,
    /// A vote, the certificate that it is to carry, and the journal position of its request.
    Vote(VoteBody, Option<CertificateName>, u64),
    /// The notarize vote that makes a block a proposal, and the journal position of its request.
    Proposal(VoteBody, u64),
    Batch(Box<UnsignedBatch>),
}

/// State of the signer, and the requests that wait for its answers.
#[derive(Default)]
pub(crate) struct Signer {
    /// True if the signer has compared the journal with its record, and signs.
    ready: bool,
    /// Last used number. It goes on over epochs, so that an answer to an older request meets nothing.
    next: u64,
    /// Requests by number. Bounded like the core's votes: a few per view that isn't final, and one batch.
    asked: BTreeMap<u64, OpenRequest>,
    /// A proposal that waits for the batch that was just cut.
    proposal: Option<Effect>,
    /// True if the signer signed another batch for the lane's next place. This node then lists nothing in this epoch.
    lane_is_lost: bool,
}

impl Signer {
    /// Returns the state for the next epoch. Open requests belong to the epoch that is over.
    pub(crate) fn after(self) -> Self {
        Self { ready: self.ready, next: self.next, ..Self::default() }
    }

    /// Returns true if the signer has compared the journal with its record, and signs.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Notes that the signer signs from now on.
    pub(crate) fn is_back(&mut self) {
        self.ready = true;
    }

    /// Notes that the signer is gone. Returns the certificates that votes were to carry, and the batch that nobody
    /// signs now.
    pub(crate) fn is_lost(&mut self) -> (Vec<CertificateName>, Option<Box<UnsignedBatch>>) {
        self.ready = false;
        let (mut carried, mut batch) = (Vec::new(), None);
        for (number, asked) in std::mem::take(&mut self.asked) {
            match asked {
                OpenRequest::Vote(body, carry, position) => {
                    carried.extend(carry);
                    self.asked.insert(number, OpenRequest::Vote(body, None, position));
                }
                OpenRequest::Proposal(..) => {
                    self.asked.insert(number, asked);
                }
                OpenRequest::Batch(unsigned) => batch = Some(unsigned),
                OpenRequest::Show => {}
            }
        }
        (carried, batch)
    }

    /// Drops all requests: nothing is signed any more.
    pub(crate) fn retire(&mut self) {
        self.asked.clear();
        self.proposal = None;
    }

    /// Keeps a proposal until the batch that was just cut is signed.
    pub(crate) fn propose_later(&mut self, proposal: Effect) {
        self.proposal = Some(proposal);
    }

    /// Takes the proposal that waited for a batch.
    pub(crate) fn take_proposal(&mut self) -> Option<Effect> {
        self.proposal.take()
    }

    /// Returns true if no batch of this node's will be signed in this epoch.
    pub(crate) fn has_no_lane(&self) -> bool {
        self.lane_is_lost
    }

    /// Notes that the signer and this node disagree on the lane.
    pub(crate) fn lose_lane(&mut self) {
        self.lane_is_lost = true;
    }

    /// Notes a request. Returns its number.
    pub(crate) fn ask(&mut self, asked: OpenRequest) -> u64 {
        self.next += 1;
        self.asked.insert(self.next, asked);
        self.next
    }

    /// Notes that the journal is shown now, which replaces an earlier showing. Returns the request's number.
    pub(crate) fn show(&mut self) -> u64 {
        self.asked.retain(|_, asked| !matches!(asked, OpenRequest::Show));
        self.ask(OpenRequest::Show)
    }

    /// Returns a request without an answer.
    pub(crate) fn get(&self, number: u64) -> Option<&OpenRequest> {
        self.asked.get(&number)
    }

    /// Takes a request that has an answer or needs none.
    pub(crate) fn take(&mut self, number: u64) -> Option<OpenRequest> {
        self.asked.remove(&number)
    }

    /// Returns the votes without a signature, and forgets those of settled views.
    pub(crate) fn open_votes(&mut self, settled: View) -> Vec<(u64, VoteBody)> {
        self.asked.retain(|_, asked| match asked {
            OpenRequest::Vote(body, ..) | OpenRequest::Proposal(body, _) => body.view > settled,
            OpenRequest::Show | OpenRequest::Batch(_) => true,
        });
        let votes = self.asked.iter().filter_map(|(number, asked)| match asked {
            OpenRequest::Vote(body, ..) | OpenRequest::Proposal(body, _) => Some((*number, *body)),
            OpenRequest::Show | OpenRequest::Batch(_) => None,
        });
        votes.collect()
    }

    /// Returns true if a batch was cut and its signature hasn't come.
    pub(crate) fn has_batch(&self) -> bool {
        self.asked.values().any(|asked| matches!(asked, OpenRequest::Batch(_)))
    }

    /// Returns the number of requests without an answer.
    pub(crate) fn waiting(&self) -> usize {
        self.asked.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::{BlockDigest, ChainId, Epoch, ShardId, VoteKind};

    fn body(view: u64) -> VoteBody {
        let (chain, shard, epoch, block) = (ChainId([7; 32]), ShardId(0), Epoch(0), BlockDigest::ZERO);
        VoteBody { chain, shard, epoch, view: View(view), kind: VoteKind::Nullify, block }
    }

    #[test]
    fn votes_wait_for_a_signer_that_was_away_and_their_certificates_do_not() {
        let mut signer = Signer::default();
        signer.is_back();
        let carry = CertificateName { kind: VoteKind::Nullify, view: View(4), digest: None };
        let (show, vote) = (signer.show(), signer.ask(OpenRequest::Vote(body(5), Some(carry), 1)));
        let proposal = signer.ask(OpenRequest::Proposal(body(6), 2));
        let (carried, batch) = signer.is_lost();
        assert_eq!((carried.as_slice(), batch.is_none(), signer.is_ready()), ([carry].as_slice(), true, false));
        assert!(signer.get(show).is_none(), "it is shown again");
        assert_eq!(signer.open_votes(View(4)), [(vote, body(5)), (proposal, body(6))]);
        assert_eq!(signer.open_votes(View(5)), [(proposal, body(6))]);
        assert!(signer.is_lost().0.is_empty(), "a certificate goes once");
    }

    #[test]
    fn numbers_go_on_and_requests_do_not() {
        let mut signer = Signer::default();
        signer.lose_lane();
        let number = signer.ask(OpenRequest::Show);
        let mut next = signer.after();
        assert_eq!((next.waiting(), next.has_no_lane()), (0, false));
        assert!(next.ask(OpenRequest::Show) > number);
        next.retire();
        assert_eq!(next.waiting(), 0);
    }
}

//! Things that this node lacks and requests from peers: blocks, batches, ranges of final blocks, and certificates.
//!
//! *Invariants:* the needs of blocks are derived again at each check of blocks and vanish with the blocks (R41); the
//! needs of proposals take no room from those of certified blocks; blocks that the core requests by name are bounded
//! (R25).

use crate::context::Context;
use crate::shard::{Now, VIEW_WINDOW};
use rustorium_quorum::HeldTally;
use rustorium_sync::{FetchConfig, Fetcher, GapConfig, GapFetcher, OwnedWant, Owner, Want};
use rustorium_txpool::MissingBatch;
use rustorium_types::{BlockDigest, Certificate, Height, Request, Response, ValidatorIndex, View, VoteKind};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Time for a missing certificate to arrive by itself before it is requested.
const GAP_GRACE_MS: u64 = 100;
/// Number of members that are asked for a proposal's batch because they say they hold it, in addition to its author and
/// the proposer.
const HOLDERS_ASKED: usize = 2;
/// Maximum number of blocks that the core requests by name at the same time. It asks again with each heartbeat (R25).
const NAMED_MAX: usize = 256;

/// A question to a peer, with its number.
pub(crate) type Question = (ValidatorIndex, u64, Request);

/// Things that are wanted now, and open requests.
pub(crate) struct Fetching {
    fetcher: Fetcher,
    /// Missing certificates above the last final view.
    gap: GapFetcher,
    /// Needs of the blocks that were checked last, each with the height at or below which it is useless.
    needed: Vec<(Height, OwnedWant)>,
    /// Blocks that the core knows only by name, and its view when it asked.
    named: BTreeMap<BlockDigest, View>,
    /// Peers that answered with a batch whose signatures don't verify. They are no longer asked first.
    liars: HashSet<ValidatorIndex>,
    /// A height, and the peers that said they don't hold its block.
    refused: (Height, BTreeSet<ValidatorIndex>),
    /// Newest height whose block came together with those above it.
    served: Height,
    /// Views whose certificates seem lost to all nodes, as the core was told.
    told_lost: Vec<(View, View)>,
}

impl Fetching {
    /// Creates the machine for what is above the last final view. `timeout_ms`: time after which an unanswered question
    /// goes to the next peer.
    pub(crate) fn new(timeout_ms: u64, quorum: usize, last_final: View) -> Self {
        let fetch = FetchConfig {
            timeout_ms,
            in_flight_max: 256,
            wants_max: 4096,
            per_peer_in_flight_max: 64,
            ..FetchConfig::default()
        };
        let gap = GapConfig { timeout_ms, grace_ms: GAP_GRACE_MS, others: quorum.saturating_sub(1) };
        Self {
            fetcher: Fetcher::new(fetch),
            gap: GapFetcher::new(gap, last_final),
            needed: Vec::new(),
            named: BTreeMap::new(),
            liars: HashSet::new(),
            refused: (Height(0), BTreeSet::new()),
            served: Height(0),
            told_lost: Vec::new(),
        }
    }

    /// Starts to derive the needs of blocks again.
    pub(crate) fn begin(&mut self) {
        self.needed.clear();
    }

    /// Notes a need of a block above this height that is certified or an ancestor of a certified one.
    pub(crate) fn certified(&mut self, above: Height, want: Want) {
        self.needed.push((above, OwnedWant { want, owner: Owner::Certified(None) }));
    }

    /// Notes that a block of this height lists missing batches. `kept`: the block is certified, an ancestor of a
    /// certified block, or journaled here.
    pub(crate) fn batches(
        &mut self,
        (context, held): (&Context, &HeldTally),
        (height, proposer): (Height, ValidatorIndex),
        kept: bool,
        missing: &[MissingBatch],
    ) {
        let prefer = Some(proposer).filter(|proposer| !self.liars.contains(proposer));
        for missing in missing {
            let want = Want::Batch { lane: missing.lane, digest: missing.digest };
            let owner = if kept {
                Owner::Certified(prefer)
            } else {
                Owner::Proposal(self.asked_for(context, held, missing, proposer))
            };
            self.needed.push((height, OwnedWant { want, owner }));
        }
    }

    /// Returns the peers that are asked for a batch of a proposal: its author, the proposer, and two that say they hold
    /// it.
    fn asked_for(
        &self,
        context: &Context,
        held: &HeldTally,
        missing: &MissingBatch,
        proposer: ValidatorIndex,
    ) -> Vec<ValidatorIndex> {
        let honest = |peer: &ValidatorIndex| !context.is_me(*peer) && !self.liars.contains(peer);
        let mut few: Vec<ValidatorIndex> = [missing.lane, proposer].into_iter().filter(honest).collect();
        few.dedup();
        let holders = held.holders(usize::from(missing.lane.0), missing.seq);
        let others: Vec<_> = holders.filter(|peer| honest(peer) && !few.contains(peer)).take(HOLDERS_ASKED).collect();
        few.extend(others);
        few
    }

    /// Requests what was noted since `begin` and what the core named, and nothing else. `height` and `view` are those
    /// of the newest block that was handed to execution.
    pub(crate) fn ask(&mut self, now: Now, height: Height, view: View) {
        // Blocks that were certified when the core asked are decided by now.
        self.named.retain(|_, asked| *asked > view);
        let named = self.named.keys().map(|digest| Want::Block(*digest));
        self.needed.extend(named.map(|want| (height, OwnedWant { want, owner: Owner::Certified(None) })));
        let mut needed = std::mem::take(&mut self.needed);
        needed.sort_by_key(|(above, _)| *above);
        self.fetcher.need(now.ms(), needed.into_iter().map(|(_, needed)| needed).collect());
    }

    /// Requests a block by its name from the next check of blocks on. Returns false if there are too many.
    pub(crate) fn name(&mut self, digest: BlockDigest, view: View) -> bool {
        let room = self.named.len() < NAMED_MAX;
        if room {
            self.named.insert(digest, view);
        }
        room
    }

    /// Returns true if the block is requested by its name.
    pub(crate) fn is_named(&self, digest: &BlockDigest) -> bool {
        self.named.contains_key(digest)
    }

    /// Notes that a requested block came.
    pub(crate) fn came(&mut self, digest: &BlockDigest) {
        self.named.remove(digest);
    }

    /// Stops requesting something.
    pub(crate) fn cancel(&mut self, want: &Want) {
        self.fetcher.cancel(want);
    }

    /// Returns true if something is requested.
    pub(crate) fn contains(&self, want: &Want) -> bool {
        self.fetcher.contains(want)
    }

    /// Returns true if nothing is requested.
    pub(crate) fn is_empty(&self) -> bool {
        self.fetcher.is_empty()
    }

    /// Returns the number of requested things.
    pub(crate) fn len(&self) -> usize {
        self.fetcher.len()
    }

    /// Notes that a peer answered with a batch whose signatures don't verify.
    pub(crate) fn lied(&mut self, peer: ValidatorIndex) {
        self.liars.insert(peer);
    }

    /// Notes that a certificate of this kind and view exists.
    pub(crate) fn has_certificate(&mut self, kind: VoteKind, view: View) {
        self.gap.certified(kind, view);
    }

    /// Asks this peer for the certificates of these views that are missing.
    pub(crate) fn wish(&mut self, first: View, last: View, prefer: ValidatorIndex) {
        self.gap.wish(first, last, prefer);
    }

    /// Notes that an answer with certificates was checked to its end.
    pub(crate) fn settled(&mut self, id: u64) {
        self.gap.settled(id);
    }

    /// Notes that the core has entered a view.
    pub(crate) fn entered(&mut self, view: View) {
        self.gap.entered(view);
    }

    /// Notes that a view is final and handed to execution.
    pub(crate) fn finalized(&mut self, view: View) {
        self.gap.finalized(view);
    }

    /// Notes that a link came up.
    pub(crate) fn connected(&mut self) {
        self.gap.connected();
    }

    /// Requests from others what this peer was asked for, because its link went down.
    pub(crate) fn disconnected(&mut self, peer: ValidatorIndex) {
        self.fetcher.disconnected(peer);
        self.gap.disconnected(peer);
    }

    /// Returns what no peer has been asked for yet, or is to be asked for again.
    pub(crate) fn lacking(&self) -> Vec<Want> {
        self.fetcher.lacking().collect()
    }

    /// Notes that something was pushed. Peers are asked for it if it is still needed after a request's time.
    pub(crate) fn was_pushed(&mut self, now: Now, want: &Want) {
        self.fetcher.came_unasked(now.ms(), want);
    }

    /// Returns the questions that are due to these peers.
    pub(crate) fn poll(&mut self, now: Now, peers: &[ValidatorIndex]) -> Vec<Question> {
        let mut questions = Vec::new();
        self.fetcher.poll(now.ms(), peers, &mut questions);
        self.gap.poll(now.ms(), peers, &mut questions);
        questions
    }

    /// Returns when the next question is due, monotonic microseconds.
    pub(crate) fn next_due_us(&self) -> Option<u64> {
        let due = self.fetcher.next_deadline_ms().into_iter().chain(self.gap.next_deadline_ms());
        due.min().map(|ms| ms * 1000)
    }

    /// Takes an answer. Returns what was requested with it, unless the answer is useless.
    pub(crate) fn on_answer(
        &mut self,
        now: Now,
        peer: ValidatorIndex,
        id: u64,
        response: Response,
    ) -> Option<(Want, Response)> {
        self.fetcher.on_response(now.ms(), peer, id, response)
    }

    /// Takes an answer to a question for certificates (R34).
    pub(crate) fn on_certificates(
        &mut self,
        now: Now,
        peer: ValidatorIndex,
        id: u64,
        response: Response,
    ) -> Option<Vec<Certificate>> {
        self.gap.on_response(now.ms(), peer, id, response)
    }

    /// Takes the peers that said they don't hold what was requested. `next`: the first height that is not final here.
    /// Returns true if one more of them lacks the block of `next`: there may be a path down from the newest block.
    pub(crate) fn note_refusals(&mut self, next: Height) -> bool {
        let mut news = false;
        for (peer, want) in self.fetcher.take_refusals() {
            if !matches!(want, Want::FinalBlocks { first, .. } if first == next) {
                continue;
            }
            if self.refused.0 != next {
                self.refused = (next, BTreeSet::new());
            }
            news |= self.refused.1.insert(peer);
        }
        news
    }

    /// Returns true if a peer lacks a range of blocks from the next height on that ends with a finalization.
    pub(crate) fn lacks_proven_range(&self, next: Height) -> bool {
        let (height, refused) = &self.refused;
        !refused.is_empty() && *height == next
    }

    /// Notes that the next height's block came among those below a final one, so somebody holds it.
    pub(crate) fn note_path_down(&mut self, next: Height) {
        self.served = next;
    }

    /// Returns the peers that lack the next height's block. `None` if there are none, or if the block came.
    pub(crate) fn unserved_by(&self, next: Height) -> Option<&BTreeSet<ValidatorIndex>> {
        (self.lacks_proven_range(next) && self.served != next).then_some(&self.refused.1)
    }

    /// R35: returns the views whose certificates seem lost to all nodes, if they have changed since the last call.
    pub(crate) fn newly_lost(&mut self) -> Option<Vec<(View, View)>> {
        let runs = self.gap.held_by_nobody(VIEW_WINDOW);
        if runs == self.told_lost {
            return None;
        }
        self.told_lost.clone_from(&runs);
        Some(runs)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const PEERS: [ValidatorIndex; 3] = [ValidatorIndex(1), ValidatorIndex(2), ValidatorIndex(3)];

    fn fetching() -> Fetching {
        let mut fetching = Fetching::new(300, 3, View(0));
        fetching.connected();
        fetching
    }

    fn at(us: u64) -> Now {
        Now { us, wall_ms: 0 }
    }

    #[test]
    fn a_named_block_is_asked_for_until_it_comes_or_its_view_is_settled() {
        let mut fetching = fetching();
        let digest = BlockDigest([1; 32]);
        assert!(fetching.name(digest, View(3)) && fetching.is_named(&digest));
        fetching.ask(at(0), Height(0), View(0));
        assert!(fetching.contains(&Want::Block(digest)));
        fetching.begin();
        fetching.ask(at(0), Height(2), View(3));
        assert!(fetching.is_empty() && !fetching.is_named(&digest));
        (0..300u16).for_each(|n| {
            let mut digest = [0; 32];
            digest[..2].copy_from_slice(&n.to_be_bytes());
            fetching.name(BlockDigest(digest), View(9));
        });
        assert!(!fetching.name(digest, View(9)), "they are bounded");
    }

    #[test]
    fn a_height_is_unserved_while_its_block_comes_from_nobody() {
        let mut fetching = fetching();
        let next = Height(1);
        fetching.certified(Height(0), Want::FinalBlocks { first: next, count: 8 });
        fetching.ask(at(0), Height(0), View(0));
        let questions = fetching.poll(at(0), &PEERS);
        let (peer, id, _) = questions.first().unwrap();
        assert!(fetching.on_answer(at(1), *peer, *id, Response::NotHeld).is_none());
        assert!(fetching.note_refusals(next) && !fetching.note_refusals(next), "it is news once");
        assert_eq!(fetching.unserved_by(next), Some(&BTreeSet::from([*peer])));
        assert_eq!(fetching.unserved_by(Height(2)), None);
        fetching.note_path_down(next);
        assert_eq!(fetching.unserved_by(next), None);
    }
}

//! Signatures of members that are yet to be checked, and the members that were charged for false ones (R37, R38, R39).
//!
//! *Invariants:* each peer has at most one certificate under check, and the rest of what it sent waits at its own cost,
//! answers for the gap last; only the newest proposal of each peer waits for its certificates; all of it is bounded.

use crate::shard::Now;
use rustorium_crypto::Verified;
use rustorium_quorum::{Charge, CutOffMember, Offenders, Sentence};
use rustorium_types::{BlockDigest, Certificate, Proposal, PublicKey, ValidatorIndex, View, VoteKind};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Maximum number of a peer's certificates that wait for their check: those of a proposal and of one long answer.
const WAITING_MAX: usize = 320;
/// Maximum number of a peer's answers for the gap that wait: as many as are requested at a time.
const ANSWERS_MAX: usize = 4;

/// Time for votes and certificates to arrive after a finalize vote, before the notarization is requested.
const LACKING_US: u64 = 20_000;
/// Maximum number of views for which a missing notarization is noted.
const LACKING_MAX: usize = 64;

pub(crate) type Name = (VoteKind, View, BlockDigest);

/// Outcome of a certificate's check. A false certificate comes back, with true if a single signature in it was found
/// false.
pub type CheckedCertificate = Result<Verified<Certificate>, (Certificate, bool)>;

/// A peer's answer for the gap (R34): the question's number, and the certificates that are still to be checked.
struct Answer {
    id: u64,
    left: VecDeque<Certificate>,
}

/// Signatures under check, and the members that were charged.
#[derive(Default)]
pub(crate) struct Checks {
    waiting: BTreeMap<ValidatorIndex, VecDeque<Certificate>>,
    answers: BTreeMap<ValidatorIndex, VecDeque<Answer>>,
    under_check: BTreeMap<ValidatorIndex, Name>,
    /// The newest proposal of each peer whose certificates are being checked.
    proposals: BTreeMap<ValidatorIndex, (BTreeSet<Name>, Proposal)>,
    /// True if a certificate was formed since the last look at waiting checks.
    stirred: bool,
    now: Now,
    /// Views with a finalize vote and without a notarization: when to ask for it, and which peer.
    lacking: BTreeMap<View, (u64, ValidatorIndex)>,
    offenders: Offenders,
}

pub(crate) fn name(certificate: &Certificate) -> Name {
    (certificate.body.kind, certificate.body.view, certificate.body.block)
}

impl Checks {
    /// Sets the time of the event at hand.
    pub(crate) fn at(&mut self, now: Now) {
        self.now = now;
    }

    /// Notes that a certificate was formed, so that some waiting checks may be needless.
    pub(crate) fn stir(&mut self) {
        self.stirred = true;
    }

    /// Returns when something is due: a member that is cut off is heard again, or a notarization is requested.
    pub(crate) fn next_due_us(&self, now: Now) -> Option<u64> {
        let back = self.offenders.next_return_ms(now.ms()).map(|at_ms| at_ms * 1000);
        self.lacking.values().map(|(due_us, _)| *due_us).chain(back).min()
    }

    pub(crate) fn into_offenders(self) -> Offenders {
        self.offenders
    }

    /// Returns true if something of this peer waits or is under check.
    pub(crate) fn is_busy(&self, peer: ValidatorIndex) -> bool {
        self.under_check.contains_key(&peer) || self.waiting.contains_key(&peer)
    }

    /// Queues a peer's certificate for its check, unless too many wait.
    pub(crate) fn wait(&mut self, peer: ValidatorIndex, certificate: Certificate) {
        let queue = self.waiting.entry(peer).or_default();
        let held = queue.iter().any(|held| *held == certificate);
        if queue.len() < WAITING_MAX && !held {
            queue.push_back(certificate);
        }
    }

    /// Returns true if this peer's certificate of that name is yet to be checked.
    pub(crate) fn awaits(&self, peer: ValidatorIndex, wanted: &Name) -> bool {
        let waits = self.waiting.get(&peer).is_some_and(|queue| queue.iter().any(|held| name(held) == *wanted));
        waits || self.under_check.get(&peer) == Some(wanted)
    }

    /// Returns the peers with waiting certificates.
    pub(crate) fn peers(&self) -> BTreeSet<ValidatorIndex> {
        self.waiting.keys().chain(self.answers.keys()).copied().collect()
    }

    /// Returns the peer's next certificate to check: first those it sent by itself, then those of its answers.
    pub(crate) fn next_of(&self, peer: ValidatorIndex) -> Option<&Certificate> {
        let answered = || self.answers.get(&peer)?.front()?.left.front();
        self.waiting.get(&peer).and_then(VecDeque::front).or_else(answered)
    }

    /// Takes that certificate.
    pub(crate) fn take_next_of(&mut self, peer: ValidatorIndex) -> Option<Certificate> {
        if let Some(queue) = self.waiting.get_mut(&peer) {
            let next = queue.pop_front();
            if queue.is_empty() {
                self.waiting.remove(&peer);
            }
            return next;
        }
        self.answers.get_mut(&peer)?.front_mut()?.left.pop_front()
    }

    /// Takes the number of a peer's oldest answer if all its certificates were taken.
    pub(crate) fn take_finished(&mut self, peer: ValidatorIndex) -> Option<u64> {
        let answers = self.answers.get_mut(&peer)?;
        let id = answers.front().filter(|answer| answer.left.is_empty()).map(|answer| answer.id)?;
        answers.pop_front();
        if answers.is_empty() {
            self.answers.remove(&peer);
        }
        Some(id)
    }

    /// Returns the time of the event at hand.
    pub(crate) fn now(&self) -> Now {
        self.now
    }

    /// Returns true if a certificate was formed since the last call.
    pub(crate) fn take_stirred(&mut self) -> bool {
        std::mem::take(&mut self.stirred)
    }

    /// Notes that a finalize vote of a view came and its notarization did not.
    pub(crate) fn note_lacking(&mut self, view: View, peer: ValidatorIndex) {
        if self.lacking.len() < LACKING_MAX {
            self.lacking.entry(view).or_insert((self.now.us + LACKING_US, peer));
        }
    }

    /// Takes the views whose notarization is to be requested now, and the peer to ask.
    pub(crate) fn take_lacking(&mut self, now: Now) -> Vec<(View, ValidatorIndex)> {
        let due = self.lacking.iter().filter(|(_, (due_us, _))| *due_us <= now.us);
        let due: Vec<_> = due.map(|(view, (_, peer))| (*view, *peer)).collect();
        for (view, _) in &due {
            self.lacking.remove(view);
        }
        due
    }

    /// Queues a peer's answer for the gap. Returns false if there is nothing to check, or too much waits.
    pub(crate) fn add_answer(&mut self, peer: ValidatorIndex, id: u64, left: VecDeque<Certificate>) -> bool {
        let waiting = self.answers.get(&peer).map_or(0, VecDeque::len);
        let kept = !left.is_empty() && waiting < ANSWERS_MAX;
        if kept {
            self.answers.entry(peer).or_default().push_back(Answer { id, left });
        }
        kept
    }

    /// Returns true if a certificate of this peer is under check.
    pub(crate) fn is_under_check(&self, peer: ValidatorIndex) -> bool {
        self.under_check.contains_key(&peer)
    }

    /// Returns true if a certificate of this name, from any peer, is under check.
    pub(crate) fn is_checked_now(&self, wanted: &Name) -> bool {
        self.under_check.values().any(|other| other == wanted)
    }

    /// Notes that a peer's certificate goes to its check.
    pub(crate) fn begin(&mut self, peer: ValidatorIndex, name: Name) {
        self.under_check.insert(peer, name);
    }

    /// Notes that a peer's certificate was checked.
    pub(crate) fn checked(&mut self, peer: ValidatorIndex) {
        self.under_check.remove(&peer);
    }

    /// Drops everything from this peer that waits for its check. Returns the numbers of its answers.
    pub(crate) fn drop_of(&mut self, peer: ValidatorIndex) -> impl Iterator<Item = u64> + use<> {
        self.waiting.remove(&peer);
        self.proposals.remove(&peer);
        self.answers.remove(&peer).unwrap_or_default().into_iter().map(|answer| answer.id)
    }

    /// Keeps a proposal until the certificates with these names are checked, unless a newer one of the same peer is
    /// kept.
    pub(crate) fn keep_proposal(&mut self, peer: ValidatorIndex, names: BTreeSet<Name>, proposal: Proposal) {
        let view = proposal.header.view;
        let newer = self.proposals.get(&peer).is_none_or(|(_, other)| other.header.view <= view);
        if newer {
            self.proposals.insert(peer, (names, proposal));
        }
    }

    /// Returns the peers whose proposals wait for no certificate any more.
    pub(crate) fn ready_proposals(&self) -> Vec<ValidatorIndex> {
        let proposals = self.proposals.iter();
        let done = proposals.filter(|(peer, (names, _))| !names.iter().any(|name| self.awaits(**peer, name)));
        done.map(|(peer, _)| *peer).collect()
    }

    /// Takes the proposal of a peer that waits.
    pub(crate) fn take_proposal(&mut self, peer: ValidatorIndex) -> Option<Proposal> {
        self.proposals.remove(&peer).map(|(_, proposal)| proposal)
    }

    /// Charges the member with this node key for a false signature (R39).
    pub(crate) fn charge(&mut self, key: PublicKey, charge: Charge, faults: usize) -> Sentence {
        self.offenders.charge(key, charge, self.now.ms(), faults)
    }

    /// Returns true if a false signature of the member with this node key was found recently.
    pub(crate) fn is_suspect(&self, key: impl FnOnce() -> Option<PublicKey>) -> bool {
        !self.offenders.is_empty() && key().is_some_and(|key| self.offenders.is_suspect(&key))
    }

    /// Takes over the offenders of the previous epoch.
    pub(crate) fn go_on_with(&mut self, offenders: Offenders) {
        self.offenders = offenders;
    }

    /// Returns the node keys whose frames aren't read at present.
    pub(crate) fn cut_off(&self, now: Now) -> BTreeSet<PublicKey> {
        self.offenders.cut_off(now.ms()).copied().collect()
    }

    /// Returns the same for people, and true if more members are affected than may be.
    pub(crate) fn cuts(&self, now: Now) -> (Vec<CutOffMember>, bool) {
        (self.offenders.cuts(now.ms()), self.offenders.too_many(now.ms()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_types::{BoundedVec, ChainId, Epoch, ShardId, VoteBody};

    const PEER: ValidatorIndex = ValidatorIndex(1);

    fn certificate(view: u64) -> Certificate {
        let (chain, shard, epoch) = (ChainId([7; 32]), ShardId(0), Epoch(0));
        let (view, block) = (View(view), BlockDigest::ZERO);
        let body = VoteBody { chain, shard, epoch, view, kind: VoteKind::Nullify, block };
        Certificate { body, signatures: BoundedVec::default() }
    }

    #[test]
    fn what_a_peer_sent_by_itself_goes_before_what_it_answered() {
        let mut checks = Checks::default();
        assert!(!checks.add_answer(PEER, 6, VecDeque::new()), "nothing to check");
        assert!(checks.add_answer(PEER, 7, VecDeque::from([certificate(3)])));
        checks.wait(PEER, certificate(9));
        checks.wait(PEER, certificate(9));
        assert_eq!(checks.take_next_of(PEER), Some(certificate(9)));
        assert_eq!((checks.take_finished(PEER), checks.take_next_of(PEER)), (None, Some(certificate(3))));
        assert_eq!((checks.take_finished(PEER), checks.take_finished(PEER)), (Some(7), None));
        assert!(checks.peers().is_empty());
    }

    #[test]
    fn what_waits_of_a_peer_is_bounded_and_goes_with_its_first_lie() {
        let mut checks = Checks::default();
        (0..2 * WAITING_MAX as u64).for_each(|view| checks.wait(PEER, certificate(view)));
        let answers =
            (0..2 * ANSWERS_MAX as u64).filter(|id| checks.add_answer(PEER, *id, VecDeque::from([certificate(*id)])));
        assert_eq!(answers.count(), ANSWERS_MAX);
        assert_eq!(checks.waiting[&PEER].len(), WAITING_MAX);
        assert_eq!(checks.drop_of(PEER).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert!(checks.peers().is_empty() && !checks.is_busy(PEER));
    }

    #[test]
    fn a_notarization_is_asked_for_once_and_after_a_while() {
        let mut checks = Checks::default();
        checks.at(Now { us: 100, wall_ms: 0 });
        checks.note_lacking(View(4), PEER);
        checks.note_lacking(View(4), ValidatorIndex(2));
        let later = Now { us: 100 + LACKING_US, wall_ms: 0 };
        assert!(checks.take_lacking(Now { us: later.us - 1, wall_ms: 0 }).is_empty());
        assert_eq!(checks.take_lacking(later), [(View(4), PEER)], "of the first who finalized it");
        assert!(checks.take_lacking(later).is_empty());
    }
}

//! The standing of this node's validator key: whether it may sign, and the effects that wait until it may.
//!
//! *Invariants:* nothing new is signed before a quorum was asked (R26), and nothing ever again once the journal lacks
//! something (R27); a process whose keys another one uses ends if it has not signed yet.

use crate::context::Context;
use crate::port::Effect;
use crate::shard::Now;
use rustorium_types::{Cursor, PublicKey, ValidatorIndex, View};
use std::collections::BTreeSet;

/// Progress in finding out what this node has signed.
enum Standing {
    /// Peers are being asked; times in monotonic microseconds.
    Asking {
        answered: BTreeSet<ValidatorIndex>,
        /// Time at which peers without an answer are asked (again).
        due_us: u64,
        /// Time since which a quorum has answered. Further connected peers get some more time.
        enough_us: Option<u64>,
    },
    /// A quorum has answered and knew of a final block of this view. What is below that view is looked at first.
    CatchingUp(View),
    /// The journal has everything that anyone showed.
    Whole,
    /// The journal lacks something: nothing is signed any more.
    Retired,
}

/// Limits of the waiting for answers of peers and for rivals.
#[derive(Clone, Copy)]
pub(crate) struct WaitLimits {
    /// Size of a quorum, with this node.
    pub(crate) quorum: usize,
    /// Time after which an unanswered question is asked again.
    pub(crate) timeout_us: u64,
    /// Time for which this node listens for a rival after a quorum's answers.
    pub(crate) rival_us: u64,
}

/// The validator key's standing, and the effects that wait for it.
pub(crate) struct KeyStanding {
    standing: Standing,
    /// Seq below which the journal may have freed own batches, by a floor of this epoch.
    floor_seq: u64,
    /// True if the journal has already freed records of a later epoch, so it isn't known what was signed in this one.
    past: bool,
    /// Peers that accepted another process' link in place of this process' link.
    replaced_at: BTreeSet<PublicKey>,
    /// Votes and proposals of the core, oldest first. Bounded as in the core: a few per view that isn't final.
    waiting: Vec<Effect>,
}

impl Default for KeyStanding {
    fn default() -> Self {
        let standing = Standing::Asking { answered: BTreeSet::new(), due_us: u64::MAX, enough_us: None };
        Self { standing, floor_seq: 0, past: false, replaced_at: BTreeSet::new(), waiting: Vec::new() }
    }
}

impl KeyStanding {
    /// Returns the standing of a key whose journal goes back to `floor` in its lane, or that an earlier start found
    /// retired.
    pub(crate) fn recovered(floor: Cursor, past: bool, retired: bool) -> Self {
        let found = Self { floor_seq: floor.next_seq, past, ..Self::default() };
        if retired { Self { standing: Standing::Retired, ..found } } else { found }
    }

    /// R32: begins an epoch in place. The process has had its journal all along, so nobody is asked if the journal was
    /// whole.
    pub(crate) fn begin_epoch(&mut self, now: Now, whole: bool) {
        self.replaced_at.clear();
        if whole && !self.is_retired() {
            self.standing = Standing::Whole;
        } else {
            self.ask_soon(now);
        }
    }

    /// Returns true if the journal holds everything that was signed, as far as anyone showed.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.standing, Standing::Whole)
    }

    /// Returns true if the journal has freed records of what was signed in this epoch.
    pub(crate) fn is_past(&self) -> bool {
        self.past
    }

    /// Returns true if this node signs nothing more.
    pub(crate) fn is_retired(&self) -> bool {
        matches!(self.standing, Standing::Retired)
    }

    /// Returns the seq below which the journal may have freed own batches. A floor of a later epoch is above the whole
    /// lane of this one.
    pub(crate) fn floor_seq(&self) -> u64 {
        if self.past { u64::MAX } else { self.floor_seq }
    }

    /// Stops signing for good.
    pub(crate) fn retire(&mut self) {
        self.standing = Standing::Retired;
        self.waiting.clear();
    }

    /// Keeps votes and proposals until this node may sign, as if the disk were slow. Passes other effects. Returns what
    /// is left to do at once: for a vote that is not signed now, sending the certificate that it was to carry (R2).
    pub(crate) fn hold_back(&mut self, effect: Effect, is_member: bool, signer_is_away: bool) -> Option<Effect> {
        let signs = matches!(effect, Effect::Vote { .. } | Effect::Propose { .. });
        if !is_member {
            return (!signs).then_some(effect);
        }
        match self.standing {
            _ if self.past => unsigned(effect),
            Standing::Retired => unsigned(effect),
            Standing::Whole if signs && signer_is_away => self.wait_for_signer(effect),
            Standing::Whole => Some(effect),
            _ if signs => {
                self.waiting.push(effect);
                None
            }
            _ => Some(effect),
        }
    }

    /// Keeps a vote or proposal for the signer. The certificate that a vote was to carry is sent at once.
    fn wait_for_signer(&mut self, effect: Effect) -> Option<Effect> {
        match effect {
            Effect::Vote { kind, view, digest, carry } => {
                self.waiting.push(Effect::Vote { kind, view, digest, carry: None });
                carry.map(Effect::SendCertificate)
            }
            other => {
                self.waiting.push(other);
                None
            }
        }
    }

    /// Returns the number of votes and proposals that wait.
    pub(crate) fn held_back(&self) -> usize {
        self.waiting.len()
    }

    /// Takes the effects that waited until this node may sign.
    pub(crate) fn take_waiting(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.waiting)
    }

    /// Forgets waiting effects at or below the newest final view. Such views are decided, so no vote of them leaves,
    /// however long a node catches up.
    pub(crate) fn forget_waiting(&mut self, settled: View) {
        self.waiting.retain(|effect| match effect {
            Effect::Vote { view, .. } | Effect::Propose { view, .. } => *view > settled,
            _ => true,
        });
    }

    /// Has the peer of a new link asked at once.
    pub(crate) fn ask_soon(&mut self, now: Now) {
        if let Standing::Asking { due_us, .. } = &mut self.standing {
            *due_us = now.us;
        }
    }

    /// Returns the connected peers that are to be asked now which signatures of this node they hold.
    pub(crate) fn ask(
        &mut self,
        now: Now,
        connected: &BTreeSet<ValidatorIndex>,
        patience: WaitLimits,
    ) -> Vec<ValidatorIndex> {
        match &mut self.standing {
            Standing::Asking { answered, due_us, .. } if *due_us <= now.us => {
                let silent: Vec<_> = connected.iter().filter(|peer| !answered.contains(peer)).copied().collect();
                *due_us = if silent.is_empty() { u64::MAX } else { now.us + patience.timeout_us };
                silent
            }
            _ => Vec::new(),
        }
    }

    /// Notes a peer's answer. Returns false if no question is open, or if this peer has answered before.
    pub(crate) fn answered(&mut self, peer: ValidatorIndex) -> bool {
        let Standing::Asking { answered, .. } = &mut self.standing else { return false };
        answered.insert(peer)
    }

    /// Goes on if the answers suffice. Returns true if this node may sign from now on. `told`: the newest final view
    /// that peers know of. `settled`: the view of the newest block that was handed to execution here.
    pub(crate) fn advance(
        &mut self,
        now: Now,
        connected: &BTreeSet<ValidatorIndex>,
        patience: WaitLimits,
        (told, settled): (View, View),
    ) -> bool {
        if self.have_answered(now, connected, patience) {
            self.standing = Standing::CatchingUp(told);
        }
        let caught_up = |told: View| settled >= told;
        let whole = matches!(self.standing, Standing::CatchingUp(told) if caught_up(told));
        if whole {
            self.standing = Standing::Whole;
        }
        whole
    }

    fn have_answered(&mut self, now: Now, connected: &BTreeSet<ValidatorIndex>, patience: WaitLimits) -> bool {
        let others = patience.quorum - 1;
        let Standing::Asking { answered, enough_us, .. } = &mut self.standing else { return false };
        if answered.len() >= others {
            enough_us.get_or_insert(now.us);
        }
        self.heard_at_us(connected, patience).is_some_and(|at| now.us >= at)
    }

    /// Returns when other connected peers, and a rival that would take over links, have had their time to answer.
    /// `None` until a quorum, with this node, has answered.
    fn heard_at_us(&self, connected: &BTreeSet<ValidatorIndex>, patience: WaitLimits) -> Option<u64> {
        let Standing::Asking { answered, enough_us: Some(since), .. } = &self.standing else { return None };
        // Twice the timeout: an answer that was lost is requested again.
        let patience_us = 2 * patience.timeout_us;
        // A committee of one has no peer that could tell of a rival.
        let rival_us = if patience.quorum == 1 { 0 } else { patience.rival_us };
        let all = connected.iter().all(|peer| answered.contains(peer));
        Some(since + if all { rival_us } else { patience_us.max(rival_us) })
    }

    /// Returns when it is time to ask, or to go on with the answers; monotonic microseconds.
    pub(crate) fn due_us(&self, connected: &BTreeSet<ValidatorIndex>, patience: WaitLimits) -> Option<u64> {
        let ask = match self.standing {
            Standing::Asking { due_us, .. } if due_us < u64::MAX => Some(due_us),
            _ => None,
        };
        ask.into_iter().chain(self.heard_at_us(connected, patience)).min()
    }

    /// Notes that a peer ended the link because another process with the same key made one. Returns true if this
    /// process is the one to end.
    ///
    /// Nobody can tell which of the two processes is meant to run. But a process that has signed can't take that back,
    /// and one that hasn't can end. One peer may lie, so one peer's word is not enough.
    pub(crate) fn has_rival(&mut self, context: &Context, node_key: &PublicKey) -> bool {
        self.replaced_at.insert(*node_key);
        let members = self.replaced_at.iter().filter(|key| context.place(key).is_some()).count();
        let is_member = context.me().is_some();
        let liars_max = context.n() - context.committee.quorum();
        let enough = members > liars_max;
        is_member && enough && !self.is_whole()
    }
}

/// Returns what is left of an effect if nothing is signed: the certificate that a vote was to carry is sent all the
/// same (R2).
fn unsigned(effect: Effect) -> Option<Effect> {
    match effect {
        Effect::Vote { carry, .. } => carry.map(Effect::SendCertificate),
        Effect::Propose { .. } => None,
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::CertificateName;
    use rustorium_types::VoteKind;

    const PATIENCE: WaitLimits = WaitLimits { quorum: 3, timeout_us: 300, rival_us: 50 };

    fn at(us: u64) -> Now {
        Now { us, wall_ms: 0 }
    }

    fn peers(places: &[u16]) -> BTreeSet<ValidatorIndex> {
        places.iter().copied().map(ValidatorIndex).collect()
    }

    fn vote(view: u64) -> Effect {
        let carry = Some(CertificateName { kind: VoteKind::Nullify, view: View(view - 1), digest: None });
        Effect::Vote { kind: VoteKind::Nullify, view: View(view), digest: None, carry }
    }

    #[test]
    fn a_key_signs_once_a_quorum_has_answered_and_it_has_caught_up() {
        let mut key = KeyStanding::default();
        let connected = peers(&[1, 2, 3]);
        key.ask_soon(at(0));
        assert_eq!(key.ask(at(0), &connected, PATIENCE), connected.iter().copied().collect::<Vec<_>>());
        assert!(key.ask(at(1), &connected, PATIENCE).is_empty(), "not so soon again");
        assert_eq!(key.hold_back(vote(5), true, false), None);
        assert!(key.answered(ValidatorIndex(1)) && !key.answered(ValidatorIndex(1)));
        let views = (View(4), View(2));
        assert!(!key.advance(at(2), &connected, PATIENCE, views));
        assert!(key.answered(ValidatorIndex(2)));
        assert!(!key.advance(at(10), &connected, PATIENCE, views), "the third gets some time");
        assert_eq!(key.due_us(&connected, PATIENCE), Some(300));
        assert!(!key.advance(at(10 + 600), &connected, PATIENCE, views), "it is behind");
        assert!(key.advance(at(611), &connected, PATIENCE, (View(9), View(4))) && key.is_whole());
        assert_eq!(key.take_waiting(), [vote(5)]);
        assert_eq!(key.hold_back(vote(6), true, false), Some(vote(6)));
    }

    #[test]
    fn a_vote_that_is_not_signed_lets_its_certificate_go() {
        let carried = |view: u64| {
            Some(Effect::SendCertificate(CertificateName {
                kind: VoteKind::Nullify,
                view: View(view - 1),
                digest: None,
            }))
        };
        let mut key = KeyStanding::default();
        key.begin_epoch(at(0), true);
        assert_eq!(key.hold_back(vote(5), true, true), carried(5), "it waits for the signer without it");
        key.forget_waiting(View(4));
        assert_eq!(key.held_back(), 1);
        key.forget_waiting(View(5));
        assert_eq!(key.held_back(), 0, "its view is settled");
        key.retire();
        assert_eq!(key.hold_back(vote(6), true, false), carried(6));
        assert_eq!(key.hold_back(vote(6), false, false), None, "nobody votes who is no member");
        assert!(key.is_retired() && !key.answered(ValidatorIndex(1)));
    }
}

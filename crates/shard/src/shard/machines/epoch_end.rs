//! The end of the epoch: when it is due, what headers may say of it, and early messages of the next epoch.
//!
//! *Invariants:* a header's time and the state after the height that it claims decide whether the end is due, so all
//! who executed that far agree (R28); early messages of the next epoch are bounded.

use super::validity::invalid;
use crate::context::Context;
use crate::port::PayloadStatus;
use crate::shard::{EndedEpoch, Now};
use bytes::Bytes;
use rustorium_crypto::{domain, hash::hash_value};
use rustorium_execution::{CommitteeRecord, Upgrade, Wanted, takeable};
use rustorium_types::{Epoch, Hash, Header, Height, Message, Parameters, PublicKey, quorum};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// Maximum number of early messages kept per sender, and their bytes.
const EARLY_MESSAGES_MAX: usize = 64;
const EARLY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The operators' wish as of a height.
struct Wish {
    /// Hash of the next committee.
    set: Hash,
    /// Validator keys of the next committee.
    keys: BTreeSet<PublicKey>,
    end_asked: Option<Epoch>,
    /// The parameters that seats want.
    parameters: Option<Box<Parameters>>,
    /// Header time from which a boundary may take the operators among them (V46).
    operators_from_ms: u64,
    /// The protocol version that seats want (V11).
    upgrade: Option<Upgrade>,
}

impl Wish {
    /// Returns the parameters that a boundary with this time may take.
    fn parameters(&self, context: &Context, time_ms: u64) -> Option<Cow<'_, Parameters>> {
        let wanted = self.parameters.as_deref()?;
        Some(takeable(&context.parameters, wanted, self.operators_from_ms, time_ms))
    }

    /// Returns the protocol version that a boundary with this time takes.
    fn version(&self, context: &Context, time_ms: u64) -> Option<u16> {
        self.upgrade?.taken_at((context.epoch(), context.rules.version()), context.n(), time_ms)
    }

    /// V47: returns true if so many members are to go that f owners alone can not have wanted it.
    fn ends_at_once(&self, context: &Context) -> bool {
        if self.set == context.hashes.validator_set {
            return false;
        }
        let gone = context.validators.iter().filter(|member| !self.keys.contains(&member.validator_key));
        // One owner may have several validators.
        let owners: BTreeSet<&PublicKey> = gone.map(|member| &member.owner_key).collect();
        context.rules.has_epoch_age() && owners.len() > context.n() - quorum(context.n())
    }
}

/// One sender's early messages of the next epoch.
#[derive(Default)]
struct EarlyMessages {
    messages: Vec<(Message, Bytes)>,
    bytes: usize,
}

/// State of the epoch's end.
#[derive(Default)]
pub(crate) struct EpochEnd {
    /// Wishes by the height that wrote them. The newest one up to the tip's claim is there, except if the store was
    /// filled with a snapshot above it.
    wanted: BTreeMap<Height, Wish>,
    /// Node keys of the committee that operators want.
    target: BTreeSet<PublicKey>,
    /// The end of the epoch, from the time when the boundary is executed and on disk.
    over: Option<Box<EndedEpoch>>,
    early: BTreeMap<PublicKey, EarlyMessages>,
    /// Time from which a peer may be asked again how the epoch ended, monotonic microseconds.
    ask_at_us: u64,
    /// The peer that was asked last.
    asked: PublicKey,
}

impl EpochEnd {
    /// Notes that a height wrote the committee record. Returns the node keys of the committee that operators want.
    pub(crate) fn note(&mut self, height: Height, record: &CommitteeRecord) -> &BTreeSet<PublicKey> {
        let set = Hash(hash_value(domain::VALIDATOR_SET, &record.target));
        self.target = record.target.iter().map(|member| member.node_key).collect();
        let wish = Wish {
            set,
            keys: record.target.iter().map(|member| member.validator_key).collect(),
            end_asked: record.end_asked,
            parameters: record.wanted.clone(),
            operators_from_ms: record.operators_from_ms(),
            upgrade: record.upgrade,
        };
        self.wanted.insert(height, wish);
        &self.target
    }

    /// Forgets wishes below a claimed height, except the newest: claims never go back.
    pub(crate) fn forget_below(&mut self, claimed: Height) {
        if let Some((kept, _)) = self.wanted.range(..=claimed).next_back() {
            self.wanted = self.wanted.split_off(&{ *kept });
        }
    }

    /// Returns whether the end is due in a block with this time and claim, and the committee or term that its header
    /// then names. `None` if the claimed height isn't executed here.
    pub(crate) fn due_at(
        &self,
        context: &Context,
        executed: Height,
        time_ms: u64,
        claimed: Height,
    ) -> Option<(bool, Hash)> {
        let wanted = self.wanted.range(..=claimed).next_back().filter(|_| claimed <= executed)?.1;
        let (own, epoch) = (context.hashes.validator_set, context.epoch());
        let end_ms = context.start_ms.saturating_add(context.parameters.epoch_ms);
        let by_time = time_ms >= end_ms;
        let asked = wanted.end_asked == Some(epoch);
        let parameters = wanted.parameters(context, time_ms);
        let version = wanted.version(context, time_ms);
        let other = |wanted: &Parameters| *wanted != context.parameters;
        let changes = wanted.set != own || version.is_some() || parameters.as_deref().is_some_and(other);
        let aged = changes && time_ms >= wish_ms(context);
        let due = by_time || aged || asked || wanted.ends_at_once(context);
        let wanted = Wanted { committee: wanted.set, version, parameters: parameters.as_deref() };
        Some((due, if due { context.names_wanted(wanted) } else { own }))
    }

    /// Returns the header times from which a boundary may take the operators and the version that are wanted.
    fn waits_ms(&self) -> impl Iterator<Item = u64> {
        let newest = self.wanted.last_key_value().map(|(_, newest)| newest);
        let operators = newest.map(|newest| newest.operators_from_ms).filter(|from_ms| *from_ms > 0);
        let upgrade = newest.and_then(|newest| newest.upgrade).map(|upgrade| upgrade.not_before_ms);
        operators.into_iter().chain(upgrade)
    }

    /// Returns when the end is due by time or by a wish, monotonic microseconds.
    pub(crate) fn due_by_time_us(&self, context: &Context, now: Now) -> Option<u64> {
        let end_ms = context.start_ms.saturating_add(context.parameters.epoch_ms);
        let due = [end_ms, wish_ms(context)].into_iter().chain(self.waits_ms());
        let due = due.filter(|at_ms| *at_ms > now.wall_ms);
        due.map(|at_ms| now.us.saturating_add((at_ms - now.wall_ms).saturating_mul(1000))).min()
    }

    /// R28: checks what a header says of the epoch's end against this node's own result.
    pub(crate) fn check(&self, context: &Context, executed: Height, parent: &Header, header: &Header) -> PayloadStatus {
        if parent.ends_epoch() {
            return PayloadStatus::Ready;
        }
        match self.due_at(context, executed, header.time_ms, header.result.height) {
            None => PayloadStatus::Pending,
            Some(found) if found == (header.ends_epoch(), header.next_validator_set) => PayloadStatus::Ready,
            Some((true, _)) if !header.ends_epoch() => invalid(header.view, "the epoch's end is due"),
            Some((false, _)) => invalid(header.view, "it ends the epoch before its end is due"),
            Some(_) => invalid(header.view, "it names another next term"),
        }
    }

    /// Returns true if messages of the next epoch from this node key are kept.
    pub(crate) fn expects(&self, context: &Context, from: &PublicKey) -> bool {
        context.place(from).is_some() || self.target.contains(from)
    }

    /// Keeps a message of the next epoch, within bounds.
    pub(crate) fn keep_early(&mut self, from: PublicKey, message: Message, frame: &Bytes) {
        let early = self.early.entry(from).or_default();
        if early.messages.len() < EARLY_MESSAGES_MAX && early.bytes + frame.len() <= EARLY_BYTES_MAX {
            early.bytes += frame.len();
            early.messages.push((message, frame.clone()));
        }
    }

    /// Returns true if a peer may be asked how the epoch ended.
    pub(crate) fn may_ask(&self, now: Now) -> bool {
        now.us >= self.ask_at_us
    }

    /// Returns when a peer may be asked how the epoch ended, monotonic microseconds.
    pub(crate) fn ask_at_us(&self) -> u64 {
        self.ask_at_us
    }

    /// Notes that a peer is asked now. The next question may follow after `pause_us`.
    pub(crate) fn ask(&mut self, now: Now, peer: PublicKey, pause_us: u64) {
        self.asked = peer;
        self.ask_at_us = now.us + pause_us;
    }

    /// Returns the peer that was asked last.
    pub(crate) fn asked(&self) -> PublicKey {
        self.asked
    }

    /// Notes that the boundary is executed and on disk.
    pub(crate) fn end(&mut self, ended: Box<EndedEpoch>) {
        self.over = Some(ended);
    }

    /// Returns true if the epoch is over.
    pub(crate) fn is_over(&self) -> bool {
        self.over.is_some()
    }

    /// Takes how the epoch ended.
    pub(crate) fn take_over(&mut self) -> Option<Box<EndedEpoch>> {
        self.over.take()
    }

    /// Returns the state with which the next epoch goes on, and the early messages.
    pub(crate) fn into_next(self) -> (Self, Vec<(PublicKey, Message, Bytes)>) {
        let said = self
            .early
            .into_iter()
            .flat_map(|(from, early)| early.messages.into_iter().map(move |(message, frame)| (from, message, frame)));
        let said = said.collect();
        (Self { wanted: self.wanted, target: self.target, ..Self::default() }, said)
    }
}

/// R45: returns the header time from which a wish for another committee or other parameters ends the epoch. Under version
/// 1 any time does.
fn wish_ms(context: &Context) -> u64 {
    let age_ms = context.parameters.min_epoch_ms;
    context.start_ms.saturating_add(age_ms.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::machines::testing::{at, context, genesis};
    use rustorium_types::End;

    #[test]
    fn the_end_is_due_by_time_by_a_wish_and_when_it_is_asked_for() {
        let (context, genesis) = (context(0), genesis());
        let (start_ms, own) = (context.start_ms, context.hashes.validator_set);
        let next = context.names_next(own);
        let end_ms = start_ms + context.parameters.epoch_ms;
        let mut end = EpochEnd::default();
        let due = |end: &EpochEnd, time_ms, claimed| end.due_at(&context, Height(5), time_ms, Height(claimed));
        assert_eq!(due(&end, start_ms, 5), None, "nothing is known of what operators want");
        end.note(Height(0), &CommitteeRecord::first(genesis.rules(), genesis.validators.clone()));
        assert_eq!(due(&end, start_ms, 6), None, "not executed so far");
        assert_eq!((due(&end, end_ms - 1, 5), due(&end, end_ms, 5)), (Some((false, own)), Some((true, next))));
        let asked = CommitteeRecord {
            end_asked: Some(Epoch(0)),
            ..CommitteeRecord::first(genesis.rules(), genesis.validators.clone())
        };
        end.note(Height(3), &asked);
        assert_eq!((due(&end, start_ms, 2), due(&end, start_ms, 3)), (Some((false, own)), Some((true, next))));
        end.forget_below(Height(4));
        assert_eq!((due(&end, start_ms, 2), due(&end, start_ms, 4)), (None, Some((true, next))));
    }

    #[test]
    fn a_boundary_of_version_two_names_the_wanted_term_alone() {
        let (context, genesis) = (context(0), genesis());
        let mut end = EpochEnd::default();
        end.note(Height(0), &CommitteeRecord::first(genesis.rules(), genesis.validators.clone()));
        let (parent, own) = (context.genesis_header.clone(), context.hashes.validator_set);
        let time_ms = context.start_ms + context.parameters.epoch_ms;
        let status = |next_validator_set| {
            let header = Header { end: End::Boundary, next_validator_set, time_ms, ..parent.clone() };
            end.check(&context, Height(5), &parent, &header)
        };
        assert_eq!(status(context.names_next(own)), PayloadStatus::Ready);
        assert_eq!(status(own), PayloadStatus::Invalid, "as a boundary of version 1 would name the committee");
        assert_eq!(status(context.names_next(Hash([1; 32]))), PayloadStatus::Invalid);
    }

    #[test]
    fn what_is_said_of_the_next_epoch_is_bounded_for_each_sender() {
        let mut end = EpochEnd::default();
        let (few, many) = ([1; 32], [2; 32]);
        let message = || Message::Request { id: 0, request: rustorium_types::Request::EpochEnd(Epoch(1)) };
        let large = Bytes::from(vec![0; EARLY_BYTES_MAX / 2 + 1]);
        end.keep_early(few, message(), &large);
        end.keep_early(few, message(), &large);
        (0..2 * EARLY_MESSAGES_MAX).for_each(|_| end.keep_early(many, message(), &Bytes::new()));
        let (next, said) = end.into_next();
        assert_eq!(said.iter().filter(|(from, ..)| *from == few).count(), 1);
        assert_eq!(said.iter().filter(|(from, ..)| *from == many).count(), EARLY_MESSAGES_MAX);
        assert!(next.into_next().1.is_empty());
    }

    #[test]
    fn one_peer_is_asked_at_a_time() {
        let mut end = EpochEnd::default();
        assert!(end.may_ask(at(0)));
        end.ask(at(10), [3; 32], 500);
        assert!(!end.may_ask(at(509)) && end.may_ask(at(510)));
        assert_eq!((end.asked(), end.ask_at_us(), end.is_over()), ([3; 32], 510, false));
    }
}

//! Measuring the way to the other members (R53): probes, echoes, and what the core is told.

use super::machines::round_trips::RoundTrips;
use super::{Now, Ports, Shard};
use crate::context::Context;
use rustorium_types::{Class, Message, ValidatorIndex, View, link_version};

/// Returns the round trip to a member, microseconds. `None` if it isn't known.
pub(super) fn rtt_us(round_trips: &RoundTrips, context: &Context, member: ValidatorIndex) -> Option<u64> {
    round_trips.us(&context.validators.get(usize::from(member.0))?.node_key)
}

impl<P: Ports> Shard<P> {
    /// Returns the round trip to a member, microseconds. `None` if it isn't known.
    pub fn round_trip_us(&self, member: ValidatorIndex) -> Option<u64> {
        rtt_us(&self.round_trips, &self.context, member)
    }

    /// Notes that a member's link came up. A node outside the committee measures nothing: nobody waits for it.
    pub(super) fn link_to_probe(&mut self, now: Now, peer: ValidatorIndex) {
        let Some(node_key) = self.node_key(peer).filter(|_| self.context.me().is_some()) else { return };
        let answers = self.ports.link_version(&node_key) >= link_version::PROBES;
        self.round_trips.link_up(now, node_key, answers);
    }

    /// Notes that a member's link went down.
    pub(super) fn unlink_to_probe(&mut self, peer: ValidatorIndex) {
        if let Some(node_key) = self.node_key(peer) {
            self.round_trips.link_down(&node_key);
        }
    }

    /// Forgets the ways to nodes that left the committee.
    pub(super) fn forget_former_members(&mut self) {
        let context = &self.context;
        self.round_trips.retain(|node_key| context.place(node_key).is_some());
    }

    /// Answers a peer's probe. An echo is no sign of life: the core may be mute while this thread runs.
    pub(super) fn echo(&mut self, now: Now, peer: ValidatorIndex, number: u64) {
        if self.node_key(peer).is_some_and(|node_key| self.round_trips.may_answer(now, &node_key)) {
            self.ports.send(peer, Class::Consensus, Message::Echo(number).to_frame().into());
        }
    }

    pub(super) fn on_echo(&mut self, now: Now, peer: ValidatorIndex, number: u64) {
        if let Some(node_key) = self.node_key(peer) {
            self.round_trips.echoed(now, &node_key, number);
        }
    }

    /// Measures the way to the leader of a view that this node gave up: it may have become longer.
    pub(super) fn doubt_leader(&mut self, now: Now, view: View) {
        if let Some(node_key) = self.node_key(self.context.leaders.of(view)) {
            self.round_trips.doubt(now, &node_key);
        }
    }

    /// Sends the probes that are due, and tells the core what they found.
    pub(super) fn probe(&mut self, now: Now) {
        for (node_key, number) in self.round_trips.due(now, self.context.n()) {
            if let Some(peer) = self.context.place(&node_key) {
                self.ports.send(peer, Class::Consensus, Message::Probe(number).to_frame().into());
            }
        }
        let members = self.context.validators.iter().map(|member| &member.node_key);
        if let Some(us) = self.round_trips.news(now, members) {
            self.core.tell_round_trips(us);
        }
    }
}

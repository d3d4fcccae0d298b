//! The order in which a shard takes what happened: its own events first, then peers' frames, fairly and not for long.
//!
//! *Invariants:* own events never wait behind a peer's frame for longer than one turn; a turn gives peers at most
//! `PEERS_NS_MAX` and the rest of one frame; frames of one peer are taken in order; a peer's frames wait at the cost of
//! that peer alone.

use crate::fair::FairQueue;
use crate::shard::{Event, Now, Ports, Shard};
use rustorium_types::PublicKey;
use std::collections::{BTreeSet, VecDeque};

/// Nanoseconds of peers' frames in a turn.
pub const PEERS_NS_MAX: u64 = 5_000_000;

/// Events that wait for the shard.
#[derive(Default)]
pub struct Turns {
    own: VecDeque<Event>,
    frames: FairQueue<PublicKey, Event>,
    /// Peers that are cut off.
    held: BTreeSet<PublicKey>,
}

impl Turns {
    /// Adds an event.
    pub fn push(&mut self, event: Event) {
        match event {
            Event::Peer { from, .. } => self.frames.push(from, event),
            own => self.own.push_back(own),
        }
    }

    /// Whether a turn would have nothing to take. Frames of those who are cut off don't count.
    pub fn is_idle(&self) -> bool {
        self.own.is_empty() && self.frames.is_idle()
    }

    /// How many events wait.
    pub fn len(&self) -> usize {
        self.own.len() + self.frames.len()
    }

    /// Whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Frames of one peer that wait.
    pub fn len_of(&self, peer: &PublicKey) -> usize {
        self.frames.len_of(peer)
    }

    /// Lets the shard take the events of one turn. `begin` is told each event before it is dealt with; `clock_ns` measures
    /// what the frames cost, each peer pays for its own; `arrive` brings what has come meanwhile. False if the shard was
    /// told to stop.
    pub fn take<P: Ports>(
        &mut self,
        shard: &mut Shard<P>,
        at: Now,
        mut begin: impl FnMut(&Event),
        mut clock_ns: impl FnMut() -> u64,
        mut arrive: impl FnMut(&mut VecDeque<Event>),
    ) -> bool {
        while let Some(event) = self.own.pop_front() {
            if matches!(event, Event::Stop) {
                return false;
            }
            begin(&event);
            shard.handle(at, event);
        }
        let (began, mut new) = (clock_ns(), VecDeque::new());
        let mut last = began;
        while last.saturating_sub(began) < PEERS_NS_MAX {
            self.hold(shard, at);
            let Some((from, event)) = self.frames.pop() else { break };
            begin(&event);
            shard.handle(at, event);
            let now = clock_ns();
            self.frames.charge(&from, now.saturating_sub(last));
            last = now;
            arrive(&mut new);
            new.drain(..).for_each(|event| self.push(event));
            if !self.own.is_empty() {
                break;
            }
        }
        true
    }

    fn hold<P: Ports>(&mut self, shard: &Shard<P>, at: Now) {
        let cut_off = shard.cut_off(at);
        if cut_off != self.held {
            self.frames.hold_only(&cut_off);
            self.held = cut_off;
        }
    }
}

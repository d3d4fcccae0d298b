//! The order in which a shard handles events: its own events first, then peers' frames in fair order for a limited
//! time.
//!
//! *Invariants:* own events wait at most one turn behind peers' frames; a turn gives peers' frames at most
//! `PEERS_NS_MAX` plus the rest of one frame; frames of one peer are handled in order; a peer's frames delay only that
//! peer.

use crate::fair::FairQueue;
use crate::shard::{Event, Now, Ports, Shard};
use rustorium_types::PublicKey;
use std::collections::{BTreeSet, VecDeque};

/// Time for peers' frames in one turn, nanoseconds.
pub const PEERS_NS_MAX: u64 = 5_000_000;

/// Events that wait for the shard.
#[derive(Default)]
pub struct Turns {
    own: VecDeque<Event>,
    frames: FairQueue<PublicKey, Event>,
    /// Peers whose frames are not read at present.
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

    /// Returns true if a turn would find nothing to handle. Frames of peers that are cut off don't count.
    pub fn is_idle(&self) -> bool {
        self.own.is_empty() && self.frames.is_idle()
    }

    /// Returns the number of waiting events.
    pub fn len(&self) -> usize {
        self.own.len() + self.frames.len()
    }

    /// Returns true if no event waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of waiting frames of one peer.
    pub fn len_of(&self, peer: &PublicKey) -> usize {
        self.frames.len_of(peer)
    }

    /// Lets the shard handle the events of one turn. Returns false if the shard was told to stop.
    ///
    /// `begin` gets each event before it is handled. `clock_ns` measures the cost of the frames; each peer pays for its
    /// own. `arrive` adds the events that have come in the meantime.
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

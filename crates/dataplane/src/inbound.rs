//! What frames and links become: events of the shard.

use crate::links::Links;
use crate::queue::Queue;
use crate::shard::Event;
use rustorium_transport::{Frame, Handler};
use rustorium_types::{Message, ValidatorIndex};
use std::sync::Arc;

/// The transport's handler.
pub(crate) struct Inbound {
    pub(crate) events: Arc<Queue<Event>>,
    pub(crate) links: Arc<Links>,
}

impl Handler for Inbound {
    fn frame(&self, frame: Frame) {
        match Message::from_frame(frame.class, &frame.bytes) {
            Ok(message) => {
                let Frame { peer, bytes, credit, .. } = frame;
                self.events.push(Event::Peer { peer, message, frame: bytes, credit });
            }
            Err(error) => tracing::warn!(event = "frame_refused", peer = frame.peer.0, reason = %error),
        }
    }

    fn link(&self, peer: ValidatorIndex, up: bool) {
        tracing::info!(event = if up { "link_up" } else { "link_down" }, peer = peer.0);
        self.links.set(peer, up);
        self.events.push(Event::Link { peer, up });
    }
}

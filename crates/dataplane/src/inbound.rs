//! What frames and links become: events of the shard.

use crate::links::Links;
use crate::queue::Queue;
use crate::shard::Event;
use rustorium_transport::{Frame, Handler};
use rustorium_types::{Hash, Message, PublicKey};
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
                let Frame { from, bytes, credit, .. } = frame;
                self.events.push(Event::Peer { from, message, frame: bytes, credit });
            }
            Err(error) => tracing::warn!(event = "frame_refused", peer = %Hash(frame.from), reason = %error),
        }
    }

    fn link(&self, node_key: &PublicKey, up: bool) {
        let event = if up { "link_up" } else { "link_down" };
        match self.links.place(node_key) {
            Some(peer) => tracing::info!(event, peer = peer.0),
            None => tracing::info!(event, follower = %Hash(*node_key)),
        }
        self.links.set(node_key, up);
        self.events.push(Event::Link { node_key: *node_key, up });
    }
}

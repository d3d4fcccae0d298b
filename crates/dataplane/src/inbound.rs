//! What frames and links become: events of the shard, and questions about snapshots.

use crate::links::Links;
use crate::queue::Queue;
use crate::shard::Event;
use crate::statesync::Question;
use rustorium_transport::{Frame, Handler};
use rustorium_types::{Hash, Message, PublicKey, Request};
use std::sync::Arc;

/// The transport's handler.
pub(crate) struct Inbound {
    pub(crate) events: Arc<Queue<Event>>,
    pub(crate) links: Arc<Links>,
    pub(crate) questions: Arc<Queue<Question>>,
}

impl Handler for Inbound {
    fn frame(&self, frame: Frame) {
        let Frame { from, bytes, credit, .. } = frame;
        match Message::from_frame(frame.class, &bytes) {
            Ok(Message::Request { id, request: Request::State(request) }) => {
                self.questions.push(Question { from, id, request, credit });
            }
            Ok(message) => self.events.push(Event::Peer { from, message, frame: bytes, credit }),
            Err(error) => tracing::warn!(event = "frame_refused", peer = %Hash(from), reason = %error),
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

    fn replaced(&self, node_key: &PublicKey) {
        tracing::warn!(event = "link_replaced", peer = %Hash(*node_key), "another process connects with this node's key");
        self.events.push(Event::Replaced { node_key: *node_key });
    }
}

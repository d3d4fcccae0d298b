//! Taking pushed blocks (R54): who is asked for them, and their use in place of a fetch.

use super::machines::pushed::PushRequest;
use super::{Now, Ports, Shard};
use crate::senders::Credit;
use rustorium_sync::{BEHIND_MAX, Want};
use rustorium_types::{
    Class, Message, PublicKey, Request, Response, ValidatorIndex, View, VoteBody, VoteKind, link_version,
};

impl<P: Ports> Shard<P> {
    /// Asks the member that tells of final blocks first to push them, if this node only follows and is near.
    pub(super) fn follow(&mut self, now: Now) {
        if self.context.me().is_some() {
            let end = self.pushed.end();
            return self.send_push_requests(end);
        }
        // A member pushes nothing to who is farther behind.
        let told = self.votes.best_finalization().map_or(View(0), |best| best.body.view);
        if self.tree.root().1.view.0 + BEHIND_MAX < told.0 {
            return;
        }
        let (context, linked, ports) = (&self.context, self.liveness.linked(), &self.ports);
        let may = |key: &PublicKey| {
            context.place(key).is_some() && linked.contains(key) && ports.link_version(key) >= link_version::PUSHES
        };
        let requests = self.pushed.choose(now, may);
        self.send_push_requests(requests);
    }

    /// Returns the number of blocks and batches that were pushed to this node and used.
    pub fn pushes_used(&self) -> u64 {
        self.pushed.used()
    }

    fn send_push_requests(&mut self, requests: impl IntoIterator<Item = PushRequest>) {
        for request in requests {
            let (to, id, first) = match request {
                PushRequest::Begin(to, id) => (to, id, Some(self.tree.root().1.height.next())),
                PushRequest::End(to, id) => (to, id, None),
            };
            let frame = Message::Request { id, request: Request::Follow(first) }.to_frame();
            self.ports.send_to(&to, Class::Sync, frame.into());
        }
    }

    /// Notes which member sent a certificate that holds.
    pub(super) fn note_told(&mut self, peer: ValidatorIndex, body: &VoteBody) {
        if body.kind == VoteKind::Finalize
            && self.context.me().is_none()
            && let Some(node_key) = self.node_key(peer)
        {
            self.pushed.told(body.view, node_key);
        }
    }

    pub(super) fn take_push(&mut self, now: Now, peer: ValidatorIndex, id: u64, response: Response) {
        if let Some(node_key) = self.node_key(peer) {
            self.pushed.take(now, &node_key, id, response);
        }
    }

    /// Notes that a batch whose signatures don't hold came from this member, which may push.
    pub(super) fn pushed_forgery(&mut self, now: Now, peer: ValidatorIndex) {
        if let Some(node_key) = self.node_key(peer) {
            let end = self.pushed.forged(now, &node_key);
            self.send_push_requests(end);
        }
    }

    /// Uses what was pushed of what this node lacks, and waits a little for the rest before peers are asked.
    pub(super) fn use_pushed(&mut self, now: Now) {
        if self.pushed.pusher().is_none() {
            return;
        }
        while let Some(pusher) = self.pushed.pusher().and_then(|key| self.context.place(key))
            && self.use_pushed_of(now, pusher)
        {
            if self.tree.take_recheck(now) {
                self.recheck_all(now);
            }
        }
        let lacking = self.fetching.lacking();
        let pushable = |want: &Want| matches!(want, Want::Block(_) | Want::Batch { .. });
        // A range is needed only by a node that is behind.
        let end = self.pushed.lacks(now, !lacking.is_empty() && lacking.iter().all(pushable));
        self.send_push_requests(end);
    }

    /// Returns true if something was used.
    fn use_pushed_of(&mut self, now: Now, pusher: ValidatorIndex) -> bool {
        let mut used = false;
        for want in self.fetching.lacking() {
            let Some(response) = self.pushed.find(&want) else { continue };
            used = true;
            if self.take_wanted(pusher, want, response, Credit::default()) {
                self.fetching.was_pushed(now, &want);
            } else {
                self.pushed_forgery(now, pusher);
            }
        }
        used
    }
}

//! A follower's side of pushed blocks (R54): whose pushes it takes, and what was pushed and isn't executed yet.
//!
//! *Invariants:* nothing pushed is checked or used before this node needs it by its digest, so a lying member costs
//! memory alone; what is held is bounded in bytes and blocks; a member that pushes nothing delays nobody for long.

use crate::shard::Now;
use rustorium_crypto::{batch_digest, block_digest};
use rustorium_sync::{Want, size};
use rustorium_types::{Height, PublicKey, Response, View};
use std::collections::{BTreeMap, VecDeque};

/// First number of the requests for pushes; the fetchers use other ranges.
const FIRST_ID: u64 = 1 << 60;
/// Number of final views after which the first member is chosen, and after which another one may be.
const FIRST_LOOK_VIEWS: u32 = 8;
const LOOK_VIEWS: u32 = 64;
/// Another member is chosen if it tells of this many times as many views first.
const BETTER_TIMES: u32 = 2;
/// Time for which a needed block or batch may still be pushed before peers are asked for it.
const GRACE_US: u64 = 30_000;
/// Number of such waits in vain, one after the other, after which the member's pushes are given up.
const MISSES_MAX: u32 = 3;
/// Time for which a member isn't asked for pushes after it failed.
const REST_US: u64 = 10_000_000;
/// The same after it pushed something forged.
const LIAR_REST_US: u64 = 600_000_000;
/// Bounds of what is held.
const BYTES_MAX: usize = 16 * 1024 * 1024;
const BLOCKS_MAX: usize = 64;

/// A request to be sent to a member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PushRequest {
    /// Push from now on, under this number.
    Begin(PublicKey, u64),
    /// Push no more.
    End(PublicKey, u64),
}

struct Pusher {
    node_key: PublicKey,
    id: u64,
    /// Waits in vain since something that it pushed was used. What it pushes says nothing: it may be invented.
    misses: u32,
}

struct PushedBlock {
    height: Height,
    bytes: usize,
    items: BTreeMap<Want, Response>,
}

/// The member that pushes, and what it pushed.
#[derive(Default)]
pub(crate) struct Pushed {
    /// The number of final views of which each member was the first to tell. Each look halves it.
    firsts: BTreeMap<PublicKey, u32>,
    /// Newest final view that was told of, and the number of such views since the last look.
    told: View,
    views: u32,
    pusher: Option<Pusher>,
    /// Members that failed, each with the time at which it may be asked again.
    resting: BTreeMap<PublicKey, u64>,
    requests: u64,
    /// Pushed blocks with their batches, in the order in which they came.
    blocks: VecDeque<PushedBlock>,
    bytes: usize,
    /// Number of blocks and batches that were needed and had been pushed.
    used: u64,
    /// Time at which the present wait is over.
    wait_until_us: Option<u64>,
    waited: bool,
}

impl Pushed {
    /// Returns the machine of the next epoch. Members, blocks and requests outlive an epoch, views do too.
    pub(crate) fn after(self) -> Self {
        Self { wait_until_us: None, waited: false, ..self }
    }

    /// Notes that a member sent the first certificate of a final view that this node learnt of.
    pub(crate) fn told(&mut self, view: View, node_key: PublicKey) {
        if view > self.told {
            self.told = view;
            self.views = self.views.saturating_add(1);
            *self.firsts.entry(node_key).or_default() += 1;
        }
    }

    /// Returns what to request now: pushes of the member that tells of final views first. `may`: the member is linked and
    /// understands the request.
    pub(crate) fn choose(&mut self, now: Now, may: impl Fn(&PublicKey) -> bool) -> Vec<PushRequest> {
        let look = if self.pusher.is_some() { LOOK_VIEWS } else { FIRST_LOOK_VIEWS };
        if self.views < look {
            return Vec::new();
        }
        self.views = 0;
        self.resting.retain(|_, until_us| *until_us > now.us);
        let free = |key: &PublicKey| may(key) && !self.resting.contains_key(key);
        let best = self.firsts.iter().filter(|(key, _)| free(key)).max_by_key(|(key, count)| (**count, **key));
        let best = best.map(|(key, count)| (*key, *count));
        let present = self.pusher.as_ref().map(|pusher| pusher.node_key);
        let count = present.and_then(|key| self.firsts.get(&key)).copied().unwrap_or_default();
        self.firsts.values_mut().for_each(|count| *count /= 2);
        self.firsts.retain(|_, count| *count > 0);
        match best {
            Some((best, firsts)) if present != Some(best) && firsts > count.saturating_mul(BETTER_TIMES) => {
                let mut requests: Vec<PushRequest> = self.end().into_iter().collect();
                let id = FIRST_ID + self.requests;
                self.requests += 1;
                self.pusher = Some(Pusher { node_key: best, id, misses: 0 });
                requests.push(PushRequest::Begin(best, id));
                requests
            }
            _ => Vec::new(),
        }
    }

    /// Ends the present pushes, and drops what was pushed. Returns the request for it.
    pub(crate) fn end(&mut self) -> Option<PushRequest> {
        self.wait_until_us = None;
        self.blocks.clear();
        self.bytes = 0;
        self.pusher.take().map(|pusher| PushRequest::End(pusher.node_key, pusher.id))
    }

    /// Notes that the link to a member went down.
    pub(crate) fn lost(&mut self, node_key: &PublicKey) {
        if self.pusher.as_ref().is_some_and(|pusher| pusher.node_key == *node_key) {
            _ = self.end();
        }
        self.firsts.remove(node_key);
    }

    /// Returns true if an answer with this number belongs to a request for pushes.
    pub(crate) fn owns(id: u64) -> bool {
        (FIRST_ID..FIRST_ID << 1).contains(&id)
    }

    /// Takes what a member pushed: a block, then its batches. `NotHeld`: it pushes no more.
    pub(crate) fn take(&mut self, now: Now, from: &PublicKey, id: u64, response: Response) {
        if self.pusher.as_ref().is_none_or(|pusher| pusher.id != id || pusher.node_key != *from) {
            return;
        }
        let bytes = size(&response);
        match &response {
            Response::Block(block) => {
                let (want, height) = (Want::Block(block_digest(&block.header)), block.header.height);
                self.blocks.push_back(PushedBlock { height, bytes, items: BTreeMap::from([(want, response)]) });
            }
            Response::Batch(batch) => {
                let want = Want::Batch { lane: batch.body.author, digest: batch_digest(&batch.body) };
                let Some(block) = self.blocks.back_mut() else { return };
                block.bytes += bytes;
                block.items.insert(want, response);
            }
            _ => {
                _ = self.give_up(now, REST_US);
                return;
            }
        }
        self.bytes += bytes;
        while self.bytes > BYTES_MAX || self.blocks.len() > BLOCKS_MAX {
            self.drop_oldest();
        }
    }

    fn drop_oldest(&mut self) {
        self.bytes -= self.blocks.pop_front().map_or(self.bytes, |block| block.bytes);
    }

    /// Notes that something that this member pushed was forged. Returns the request that ends its pushes.
    pub(crate) fn forged(&mut self, now: Now, node_key: &PublicKey) -> Option<PushRequest> {
        self.pusher.as_ref().filter(|pusher| pusher.node_key == *node_key)?;
        self.give_up(now, LIAR_REST_US)
    }

    fn give_up(&mut self, now: Now, rest_us: u64) -> Option<PushRequest> {
        let pusher = self.pusher.as_ref()?;
        self.firsts.remove(&pusher.node_key);
        self.resting.insert(pusher.node_key, now.us.saturating_add(rest_us));
        self.end()
    }

    /// Takes what was pushed and is needed now. It is given once: if it turns out to be forged, peers are asked.
    pub(crate) fn find(&mut self, want: &Want) -> Option<Response> {
        let found = self.blocks.iter_mut().find_map(|block| block.items.remove(want));
        if found.is_some() {
            self.used += 1;
            self.pusher.iter_mut().for_each(|pusher| pusher.misses = 0);
        }
        found
    }

    /// Returns the number of blocks and batches that `find` gave since the start.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// Returns the member that pushes.
    pub(crate) fn pusher(&self) -> Option<&PublicKey> {
        self.pusher.as_ref().map(|pusher| &pusher.node_key)
    }

    /// Notes that heights up to this one were handed to execution.
    pub(crate) fn executing(&mut self, height: Height) {
        while self.blocks.front().is_some_and(|block| block.height <= height) {
            self.drop_oldest();
        }
    }

    /// Begins or ends the wait for a push. `lacks`: something is needed that no peer was asked for, and all of it may be
    /// pushed. Returns the request that ends the pushes of a member for which this node waited in vain too often. A wait
    /// begins anew only after nothing was lacking.
    pub(crate) fn lacks(&mut self, now: Now, lacks: bool) -> Option<PushRequest> {
        if !lacks {
            (self.wait_until_us, self.waited) = (None, false);
            return None;
        }
        let pusher = self.pusher.as_mut().filter(|_| !self.waited)?;
        let until_us = *self.wait_until_us.get_or_insert(now.us.saturating_add(GRACE_US));
        if now.us < until_us {
            return None;
        }
        (self.wait_until_us, self.waited) = (None, true);
        pusher.misses += 1;
        if pusher.misses < MISSES_MAX {
            return None;
        }
        self.give_up(now, REST_US)
    }

    /// Returns when the present wait for a push is over, monotonic microseconds.
    pub(crate) fn wait_until_us(&self) -> Option<u64> {
        self.wait_until_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::machines::testing::{at, context};
    use rustorium_types::{Block, BoundedVec, Header, encode};

    const NEAR: PublicKey = [1; 32];
    const FAR: PublicKey = [2; 32];

    fn block(height: u64) -> Response {
        let header = Header { height: Height(height), ..context(0).genesis_header.clone() };
        Response::Block(Box::new(Block { header, inline: BoundedVec::default() }))
    }

    fn want(response: &Response) -> Want {
        match response {
            Response::Block(block) => Want::Block(block_digest(&block.header)),
            other => panic!("{other:?} is no block"),
        }
    }

    /// Returns a machine that `NEAR` pushes to, with the number of its request.
    fn followed() -> (Pushed, u64) {
        let mut pushed = Pushed::default();
        (1..=8).for_each(|view| pushed.told(View(view), if view == 3 { FAR } else { NEAR }));
        match pushed.choose(at(0), |_| true)[..] {
            [PushRequest::Begin(NEAR, id)] => (pushed, id),
            ref other => panic!("{other:?}"),
        }
    }

    #[test]
    fn who_tells_of_final_views_first_is_asked_to_push() {
        let mut pushed = Pushed::default();
        (1..=7).for_each(|view| pushed.told(View(view), NEAR));
        assert!(pushed.choose(at(0), |_| true).is_empty(), "too few views");
        pushed.told(View(7), FAR);
        assert!(pushed.choose(at(0), |_| true).is_empty(), "a view counts once");
        pushed.told(View(8), FAR);
        assert_eq!(pushed.choose(at(0), |key| *key == FAR), [PushRequest::Begin(FAR, FIRST_ID)]);
        // Another one must be much better over many views.
        (9..9 + 63).for_each(|view| pushed.told(View(view), NEAR));
        assert!(pushed.choose(at(0), |_| true).is_empty());
        pushed.told(View(90), NEAR);
        let requests = pushed.choose(at(0), |_| true);
        assert_eq!(requests, [PushRequest::End(FAR, FIRST_ID), PushRequest::Begin(NEAR, FIRST_ID + 1)]);
        assert!(Pushed::owns(FIRST_ID + 1) && !Pushed::owns(FIRST_ID << 1) && !Pushed::owns(7));
    }

    #[test]
    fn only_the_pusher_fills_the_room_and_what_is_executed_is_dropped() {
        let (mut pushed, id) = followed();
        pushed.take(at(0), &FAR, id, block(1));
        pushed.take(at(0), &NEAR, id + 1, block(1));
        assert!(pushed.find(&want(&block(1))).is_none());
        (1..=3).for_each(|height| pushed.take(at(0), &NEAR, id, block(height)));
        assert_eq!(pushed.find(&want(&block(2))), Some(block(2)));
        assert_eq!((pushed.find(&want(&block(2))), pushed.used()), (None, 1), "it is given once");
        pushed.executing(Height(2));
        assert!(pushed.find(&want(&block(1))).is_none() && pushed.find(&want(&block(3))).is_some());
        assert_eq!((pushed.blocks.len(), pushed.bytes), (1, encode(&block(3)).len()));
        (10..1_000).for_each(|height| pushed.take(at(0), &NEAR, id, block(height)));
        assert_eq!((pushed.blocks.len(), pushed.bytes <= BYTES_MAX), (BLOCKS_MAX, true));
        assert!(pushed.find(&want(&block(999))).is_some(), "the newest are kept");
    }

    #[test]
    fn a_member_that_pushes_nothing_of_use_is_waited_for_three_times() {
        let (mut pushed, id) = followed();
        let mut now = 0;
        for round in 1..=MISSES_MAX {
            // A pushed block that nobody needs ends no wait.
            pushed.take(at(now), &NEAR, id, block(u64::from(round)));
            assert_eq!(pushed.lacks(at(now), true), None);
            assert_eq!(pushed.wait_until_us(), Some(now + GRACE_US));
            assert_eq!(pushed.lacks(at(now + GRACE_US - 1), true), None);
            now += GRACE_US;
            let end = (round == MISSES_MAX).then_some(PushRequest::End(NEAR, id));
            assert_eq!(pushed.lacks(at(now), true), end);
            assert_eq!(pushed.wait_until_us(), None);
            // The node still lacks it while peers are asked, and waits no second time.
            assert_eq!((pushed.lacks(at(now), true), pushed.wait_until_us()), (None, None));
            assert_eq!(pushed.lacks(at(now), false), None);
        }
        assert_eq!((pushed.blocks.len(), pushed.bytes), (0, 0), "what it pushed is dropped");
        (100..200).for_each(|view| pushed.told(View(view), NEAR));
        assert!(pushed.choose(at(now), |key| *key == NEAR).is_empty(), "it rests");
        (200..300).for_each(|view| pushed.told(View(view), NEAR));
        assert_eq!(pushed.choose(at(now + REST_US), |_| true), [PushRequest::Begin(NEAR, id + 1)]);
    }

    #[test]
    fn who_ends_its_pushes_or_forges_is_left() {
        let (mut pushed, id) = followed();
        pushed.take(at(0), &NEAR, id, Response::NotHeld);
        assert!(pushed.pusher().is_none());
        let (mut pushed, id) = followed();
        assert_eq!(pushed.forged(at(0), &FAR), None);
        assert_eq!(pushed.forged(at(0), &NEAR), Some(PushRequest::End(NEAR, id)));
        (100..200).for_each(|view| pushed.told(View(view), NEAR));
        assert!(pushed.choose(at(REST_US), |_| true).is_empty());
        let (mut pushed, _) = followed();
        pushed.lost(&FAR);
        assert!(pushed.pusher().is_some());
        pushed.lost(&NEAR);
        assert!(pushed.pusher().is_none());
    }
}

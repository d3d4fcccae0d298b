//! A member's side of pushed blocks (R54): the peers that follow, and the height that each gets next.
//!
//! *Invariants:* one place for each peer; a peer that is far behind catches up by its own requests, not by pushes.

use rustorium_types::{Height, PublicKey};
use std::collections::BTreeMap;

/// Number of stored heights that a follower may lack.
pub const BEHIND_MAX: u64 = 32;

/// The next push to a peer, with the number of its request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Push {
    /// The block of this height and its batches.
    Block(u64, Height),
    /// The peer is too far behind: nothing more is pushed to it.
    End(u64),
}

struct Follower {
    id: u64,
    next: Height,
}

/// The peers that follow.
#[derive(Default)]
pub struct Pushes {
    followers: BTreeMap<PublicKey, Follower>,
}

impl Pushes {
    /// Takes a request to push from a height on. It replaces an earlier one; without a height, it ends it.
    pub fn follow(&mut self, from: PublicKey, id: u64, first: Option<Height>) {
        match first {
            Some(next) => _ = self.followers.insert(from, Follower { id, next }),
            None => self.forget(&from),
        }
    }

    /// Forgets a peer.
    pub fn forget(&mut self, peer: &PublicKey) {
        self.followers.remove(peer);
    }

    /// Returns true if nobody follows.
    pub fn is_empty(&self) -> bool {
        self.followers.is_empty()
    }

    /// Returns the peers that lack a height up to this one, which is stored.
    pub fn due(&self, stored: Height) -> impl Iterator<Item = PublicKey> + '_ {
        self.followers.iter().filter(move |(_, follower)| follower.next <= stored).map(|(peer, _)| *peer)
    }

    /// Takes the next push to a peer. `None` if it doesn't follow or has all heights up to the stored one.
    pub fn next(&mut self, peer: &PublicKey, stored: Height) -> Option<Push> {
        let follower = self.followers.get_mut(peer).filter(|follower| follower.next <= stored)?;
        let (id, height) = (follower.id, follower.next);
        if stored.0 - height.0 >= BEHIND_MAX {
            self.forget(peer);
            return Some(Push::End(id));
        }
        follower.next = height.next();
        Some(Push::Block(id, height))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: PublicKey = [1; 32];

    fn following(first: u64) -> Pushes {
        let mut pushes = Pushes::default();
        pushes.follow(PEER, 7, Some(Height(first)));
        pushes
    }

    #[test]
    fn each_height_is_pushed_once_and_in_order() {
        let mut pushes = following(3);
        assert_eq!((pushes.due(Height(2)).count(), pushes.next(&PEER, Height(2))), (0, None));
        let pushed: Vec<_> = std::iter::from_fn(|| pushes.next(&PEER, Height(5))).collect();
        assert_eq!(pushed, [3, 4, 5].map(|height| Push::Block(7, Height(height))));
        pushes.follow(PEER, 8, Some(Height(6)));
        assert_eq!(pushes.next(&PEER, Height(6)), Some(Push::Block(8, Height(6))));
        pushes.follow(PEER, 8, None);
        assert!(pushes.is_empty() && pushes.next(&PEER, Height(9)).is_none());
    }

    #[test]
    fn who_is_far_behind_is_told_so_and_forgotten() {
        let mut pushes = following(1);
        assert_eq!(pushes.next(&PEER, Height(BEHIND_MAX)), Some(Push::Block(7, Height(1))));
        assert_eq!(pushes.next(&PEER, Height(BEHIND_MAX + 2)), Some(Push::End(7)));
        assert!(pushes.is_empty());
        let mut pushes = following(0);
        assert_eq!(pushes.next(&PEER, Height(u64::MAX)), Some(Push::End(7)));
    }
}

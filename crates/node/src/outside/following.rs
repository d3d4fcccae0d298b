//! The peers that blocks are pushed to (R54), each in its turn among those who ask.
//!
//! *Invariants:* a push counts against its peer's rate as an answer does; at most one push of a peer waits; a peer without
//! a link is forgotten.

use super::request_queue::{Question, Work};
use super::routing::Standing;
use rustorium_shard::senders::Credit;
use rustorium_sync::{Push, Pushes};
use rustorium_types::{Height, PublicKey};
use std::collections::{BTreeMap, BTreeSet};

/// The peers that follow, and those whose next block waits for its turn.
#[derive(Default)]
pub(crate) struct Following {
    pushes: Pushes,
    standings: BTreeMap<PublicKey, Standing>,
    waiting: BTreeSet<PublicKey>,
}

impl Following {
    /// Takes a peer's request to push from a height on, or to push no more.
    pub(crate) fn take(&mut self, from: &PublicKey, standing: Standing, id: u64, first: Option<Height>) {
        self.pushes.follow(*from, id, first);
        self.waiting.remove(from);
        match first {
            Some(_) => _ = self.standings.insert(*from, standing),
            None => _ = self.standings.remove(from),
        }
    }

    /// Returns true if nobody follows.
    pub(crate) fn is_empty(&self) -> bool {
        self.pushes.is_empty()
    }

    /// Returns a request for the turn of each peer that lacks a stored block and has none waiting.
    pub(crate) fn ask(&mut self, stored: Height) -> Vec<Question> {
        let due: Vec<PublicKey> = self.pushes.due(stored).collect();
        let question = |from: PublicKey| {
            let standing = *self.standings.get(&from).filter(|_| self.waiting.insert(from))?;
            Some(Question { from, standing, work: Work::Push, credit: Credit::default() })
        };
        due.into_iter().filter_map(question).collect()
    }

    /// Forgets the peers without a link.
    pub(crate) fn retain(&mut self, linked: impl Fn(&PublicKey) -> bool) {
        let gone: Vec<PublicKey> = self.standings.keys().filter(|peer| !linked(peer)).copied().collect();
        gone.iter().for_each(|peer| self.forget(peer));
    }

    /// Takes the next push to a peer, whose turn it is.
    pub(crate) fn next(&mut self, peer: &PublicKey, stored: Height) -> Option<Push> {
        self.waiting.remove(peer);
        let push = self.pushes.next(peer, stored);
        if matches!(push, Some(Push::End(_))) {
            self.forget(peer);
        }
        push
    }

    fn forget(&mut self, peer: &PublicKey) {
        self.pushes.forget(peer);
        self.standings.remove(peer);
        self.waiting.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEERS: [PublicKey; 2] = [[1; 32], [2; 32]];

    fn asked(following: &mut Following, stored: u64) -> Vec<u8> {
        following.ask(Height(stored)).iter().map(|question| question.from[0]).collect()
    }

    #[test]
    fn each_peer_has_one_push_waiting_however_many_blocks_it_lacks() {
        let mut following = Following::default();
        for (id, peer) in PEERS.iter().enumerate() {
            following.take(peer, Standing::Guest, id as u64, Some(Height(5)));
        }
        assert!(asked(&mut following, 4).is_empty());
        assert_eq!((asked(&mut following, 6), asked(&mut following, 7)), (vec![1, 2], vec![]));
        assert_eq!(following.next(&PEERS[0], Height(7)), Some(Push::Block(0, Height(5))));
        assert_eq!(asked(&mut following, 7), [1]);
    }

    #[test]
    fn who_has_no_link_or_wants_no_more_is_forgotten() {
        let mut following = Following::default();
        for peer in PEERS {
            following.take(&peer, Standing::Guest, 0, Some(Height(1)));
        }
        following.retain(|peer| peer[0] == 2);
        assert_eq!((asked(&mut following, 1), following.is_empty()), (vec![2], false));
        following.take(&PEERS[1], Standing::Guest, 0, None);
        assert!(following.is_empty() && following.standings.is_empty() && following.waiting.is_empty());
    }
}

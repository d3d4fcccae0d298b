//! The peers that blocks are pushed to (R54), each in its turn among those who ask.
//!
//! *Invariants:* a push counts against its peer's rate as an answer does; a peer without a link is forgotten.

use super::request_queue::{Question, Work};
use super::routing::Standing;
use rustorium_shard::senders::Credit;
use rustorium_sync::{Push, Pushes};
use rustorium_types::{Height, PublicKey};
use std::collections::BTreeMap;

/// The peers that follow.
#[derive(Default)]
pub(crate) struct Following {
    pushes: Pushes,
    standings: BTreeMap<PublicKey, Standing>,
}

impl Following {
    /// Takes a peer's request to push from a height on, or to push no more.
    pub(crate) fn take(&mut self, from: &PublicKey, standing: Standing, id: u64, first: Option<Height>) {
        self.pushes.follow(*from, id, first);
        match first {
            Some(_) => _ = self.standings.insert(*from, standing),
            None => _ = self.standings.remove(from),
        }
    }

    /// Returns true if nobody follows.
    pub(crate) fn is_empty(&self) -> bool {
        self.standings.is_empty()
    }

    /// Returns a request for a turn of each peer that lacks a stored block.
    pub(crate) fn ask(&self, stored: Height) -> impl Iterator<Item = Question> {
        let question = |from: PublicKey| {
            let standing = *self.standings.get(&from)?;
            Some(Question { from, standing, work: Work::Push, credit: Credit::default() })
        };
        self.pushes.due(stored).filter_map(question)
    }

    /// Forgets the peers without a link.
    pub(crate) fn retain(&mut self, linked: impl Fn(&PublicKey) -> bool) {
        let gone: Vec<PublicKey> = self.standings.keys().filter(|peer| !linked(peer)).copied().collect();
        gone.iter().for_each(|peer| self.forget(peer));
    }

    /// Takes the next push to a peer, whose turn it is.
    pub(crate) fn next(&mut self, peer: &PublicKey, stored: Height) -> Option<Push> {
        let push = self.pushes.next(peer, stored);
        if matches!(push, Some(Push::End(_))) {
            self.forget(peer);
        }
        push
    }

    fn forget(&mut self, peer: &PublicKey) {
        self.pushes.forget(peer);
        self.standings.remove(peer);
    }
}

#[cfg(test)]
mod tests {
    use super::super::request_queue::{RequestQueue, Turn};
    use super::*;

    const PEERS: [PublicKey; 2] = [[1; 32], [2; 32]];

    fn asked(following: &Following, stored: u64) -> Vec<u8> {
        following.ask(Height(stored)).map(|question| question.from[0]).collect()
    }

    /// Takes the turns of all whose pushes wait.
    fn turns(requests: &mut RequestQueue) -> Vec<u8> {
        let turn = || match requests.next(0, &|_| Some(true))? {
            (peer, Turn::Answer(Work::Push, _)) => Some(peer[0]),
            (_, other) => panic!("{other:?}"),
        };
        std::iter::from_fn(turn).collect()
    }

    #[test]
    fn each_peer_has_one_push_waiting_however_many_blocks_it_lacks() {
        let mut following = Following::default();
        for (id, peer) in PEERS.iter().enumerate() {
            following.take(peer, Standing::Guest, id as u64, Some(Height(5)));
        }
        assert!(asked(&following, 4).is_empty());
        let mut requests = RequestQueue::default();
        for stored in [6, 7] {
            following.ask(Height(stored)).for_each(|question| requests.push(0, question));
        }
        assert_eq!((turns(&mut requests), turns(&mut requests)), (vec![1, 2], vec![]));
        assert_eq!(following.next(&PEERS[0], Height(7)), Some(Push::Block(0, Height(5))));
        following.ask(Height(7)).for_each(|question| requests.push(0, question));
        assert_eq!(turns(&mut requests), [1, 2], "each still lacks one");
    }

    #[test]
    fn who_has_no_link_or_wants_no_more_is_forgotten() {
        let mut following = Following::default();
        for peer in PEERS {
            following.take(&peer, Standing::Guest, 0, Some(Height(1)));
        }
        following.retain(|peer| peer[0] == 2);
        assert_eq!((asked(&following, 1), following.is_empty()), (vec![2], false));
        following.take(&PEERS[1], Standing::Guest, 0, None);
        assert!(following.is_empty() && following.pushes.is_empty());
    }
}

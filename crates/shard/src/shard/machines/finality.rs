//! The block that is final, the path to it, and the proof of it (R9).
//!
//! *Invariants:* a target only rises; while it rises faster than blocks can be fetched, earlier
//! ones are reached first; a proof belongs to the end of a range that a peer proved final, and is dropped
//! once that end is reached; followers are told of a finalization only once its block is executed.

use super::blocks::BlockTree;
use super::votes::Votes;
use bytes::Bytes;
use rustorium_crypto::Verified;
use rustorium_types::{BlockDigest, BlockProof, BoundedVec, Certificate, Header, Height, View, VoteKind};
use std::collections::BTreeMap;

/// Number of final blocks that are sought at a time.
const SOUGHT_MAX: usize = 16;

/// A block that isn't held, and its height if that is known.
pub(crate) type Gap = (BlockDigest, Option<Height>);

/// The way from the newest block that was handed to execution to the newest final one, as far as it is known.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct FinalWay {
    /// The digests of the blocks on the way to a final one, which is the last: the newest that has no gap below it.
    pub(crate) path: Vec<BlockDigest>,
    /// Missing blocks: one on the way to the newest final block, one below the first that `path` doesn't reach, others that are
    /// final, and one on the way to the end of a proven range.
    pub(crate) missing: Vec<Gap>,
}

impl FinalWay {
    fn lacks(&mut self, gap: Gap) {
        if self.missing.iter().all(|(digest, _)| *digest != gap.0) {
            self.missing.push(gap);
        }
    }
}

/// Blocks known to be final above the newest block that was handed to execution.
#[derive(Default)]
pub(crate) struct Finality {
    /// Final blocks above it. The last is the target. The others stay until they are reached: targets may follow each
    /// other faster than a peer answers, and what the last one needs would change before it can come.
    sought: BTreeMap<View, BlockDigest>,
    /// End of a range of blocks that a peer proved final, and the proof.
    proven: Option<(BlockDigest, Verified<Certificate>)>,
    /// Finalizations of blocks that are being executed, as frames for followers.
    untold: BTreeMap<Height, Bytes>,
}

impl Finality {
    /// R9: notes a finalized block. It and all its ancestors are final without any decision of this node.
    pub(crate) fn is_final(&mut self, view: View, digest: BlockDigest) {
        if self.sought.last_key_value().is_none_or(|(known, _)| view > *known) {
            if self.sought.len() == SOUGHT_MAX {
                self.sought.pop_last();
            }
            self.sought.insert(view, digest);
        }
    }

    /// Notes the end of a range of blocks that a peer proved final.
    pub(crate) fn prove(&mut self, end: BlockDigest, proof: Option<Verified<Certificate>>) {
        self.proven = proof.map(|proof| (end, proof));
    }

    /// Returns the way to the target. If a block of it is missing, returns what there is of ways to earlier final blocks
    /// and to the end of the proven range.
    pub(crate) fn way(&mut self, tree: &BlockTree) -> FinalWay {
        let root = tree.root().1.view;
        // The target stays, since later ones are compared with it.
        while self.sought.len() > 1
            && let Some(reached) = self.sought.first_entry().filter(|first| *first.key() <= root)
        {
            reached.remove();
        }
        let Some((_, target)) = self.sought.last_key_value().filter(|(view, _)| **view > root) else {
            return FinalWay::default();
        };
        let mut way = match tree.path(target) {
            Ok(path) => return FinalWay { path, missing: Vec::new() },
            Err(missing) => FinalWay { path: Vec::new(), missing: vec![missing] },
        };
        // A node that knows the epoch's end needs the path there, even if the newest final block is lost for good.
        let proven = self.proven.as_ref().map(|(end, _)| end);
        for end in proven.into_iter().chain(self.sought.values()) {
            match tree.path(end) {
                Ok(path) if path.len() > way.path.len() => way.path = path,
                Ok(_) => {}
                Err(gap) => {
                    way.lacks(gap);
                    if Some(end) != proven {
                        break;
                    }
                }
            }
        }
        // Walks may be long, so of later ones the blocks alone are looked for.
        let absent = |digest: &&BlockDigest| tree.get(digest).is_none();
        self.sought.values().filter(absent).for_each(|digest| way.lacks((*digest, None)));
        way
    }

    /// Proves that a block that ends the epoch is final. `above` leads from it to the finalized block. `None` for other
    /// blocks.
    pub(crate) fn end_proof(
        &self,
        tree: &BlockTree,
        votes: &Votes,
        digest: &BlockDigest,
        above: &[BlockDigest],
    ) -> Result<Option<BlockProof>, &'static str> {
        if tree.header(digest).is_none_or(|header| !header.ends_epoch()) {
            return Ok(None);
        }
        let last = above.last().unwrap_or(digest);
        let view = tree.header(last).map(|header| header.view);
        let held = view.and_then(|view| votes.certificate(VoteKind::Finalize, view));
        let proven = self.proven.as_ref().map(|(_, certificate)| certificate);
        let finalization = held.into_iter().chain(proven).find(|certificate| certificate.body.block == *last);
        let finalization = finalization.ok_or("there is no finalization of the last closing block")?;
        let headers: Vec<Header> = above.iter().filter_map(|digest| tree.header(digest)).cloned().collect();
        let descendants = BoundedVec::new(headers).map_err(|_| "there are too many closing blocks for one proof")?;
        Ok(Some(BlockProof { descendants, finalization: (**finalization).clone() }))
    }

    /// Takes the proof of a block that was handed to execution, if a range ends there and the proof is of this very
    /// block. The range is dropped: its end is below the root from now on, and a search for the path there would fetch
    /// blocks below the root.
    pub(crate) fn take_proof(&mut self, digest: &BlockDigest) -> Option<Verified<Certificate>> {
        let proven = self.proven.take_if(|(end, _)| end == digest).map(|(_, proof)| proof);
        proven.filter(|proof| proof.body.block == *digest)
    }

    /// Keeps for followers the finalization of a block that is executed now.
    pub(crate) fn tell_later(&mut self, height: Height, frame: Bytes) {
        self.untold.insert(height, frame);
    }

    /// Takes the finalizations up to an executed height, oldest first. The store can answer the followers' questions by
    /// then.
    pub(crate) fn take_told(&mut self, executed: Height) -> impl Iterator<Item = Bytes> + use<> {
        let above = self.untold.split_off(&executed.next());
        std::mem::replace(&mut self.untold, above).into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_only_rises() {
        let mut finality = Finality::default();
        for view in [3, 7, 5] {
            finality.is_final(View(view), BlockDigest([view as u8; 32]));
        }
        assert_eq!(finality.sought.last_key_value(), Some((&View(7), &BlockDigest([7; 32]))));
        (8..100).for_each(|view| finality.is_final(View(view), BlockDigest([view as u8; 32])));
        let sought: Vec<u64> = finality.sought.keys().map(|view| view.0).collect();
        assert_eq!((sought.len(), &sought[..2], sought.last()), (SOUGHT_MAX, &[3, 7][..], Some(&99)));
    }

    #[test]
    fn followers_are_told_up_to_the_executed_height_in_order_and_once() {
        let mut finality = Finality::default();
        for height in [2, 1, 3] {
            finality.tell_later(Height(height), Bytes::from(vec![height as u8]));
        }
        let told = |finality: &mut Finality, height| finality.take_told(Height(height)).collect::<Vec<_>>();
        assert_eq!(told(&mut finality, 2), [vec![1], vec![2]].map(Bytes::from));
        assert!(told(&mut finality, 2).is_empty());
        assert_eq!(told(&mut finality, 9), [vec![3]].map(Bytes::from));
    }
}

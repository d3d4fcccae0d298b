//! The block that is final, the path to it, and the proof of it (R9).
//!
//! *Invariants:* a target only rises; a proof belongs to the end of a range that a peer proved final, and is dropped
//! once that end is reached; followers are told of a finalization only once its block is executed.

use super::blocks::BlockTree;
use super::votes::Votes;
use bytes::Bytes;
use rustorium_crypto::Verified;
use rustorium_types::{BlockDigest, BlockProof, BoundedVec, Certificate, Header, Height, View, VoteKind};
use std::collections::BTreeMap;

/// A block that isn't held, and its height if that is known.
pub(crate) type Gap = (BlockDigest, Option<Height>);

/// Path from the newest block that was handed to execution to the final one.
pub(crate) enum FinalPath {
    /// No block above it is final.
    Settled,
    /// The digests of all blocks on the path, the final one last.
    Known(Vec<BlockDigest>),
    /// Missing blocks: one on the path, and one on the path to the end of a proven range.
    Missing(Gap, Option<Gap>),
}

/// Blocks known to be final above the newest block that was handed to execution.
#[derive(Default)]
pub(crate) struct Finality {
    target: Option<(View, BlockDigest)>,
    /// End of a range of blocks that a peer proved final, and the proof.
    proven: Option<(BlockDigest, Verified<Certificate>)>,
    /// Finalizations of blocks that are being executed, as frames for followers.
    untold: BTreeMap<Height, Bytes>,
}

impl Finality {
    /// R9: notes a finalized block. It and all its ancestors are final without any decision of this node.
    pub(crate) fn is_final(&mut self, view: View, digest: BlockDigest) {
        if self.target.is_none_or(|(known, _)| view > known) {
            self.target = Some((view, digest));
        }
    }

    /// Notes the end of a range of blocks that a peer proved final.
    pub(crate) fn prove(&mut self, end: BlockDigest, proof: Option<Verified<Certificate>>) {
        self.proven = proof.map(|proof| (end, proof));
    }

    /// Returns the path to the target. If a block of it is missing, returns the path to the end of the proven range.
    pub(crate) fn way(&self, tree: &BlockTree) -> FinalPath {
        let Some((_, target)) = self.target.filter(|(view, _)| *view > tree.root().1.view) else {
            return FinalPath::Settled;
        };
        let missing = match tree.path(&target) {
            Ok(path) => return FinalPath::Known(path),
            Err(missing) => missing,
        };
        // A node that knows the epoch's end needs the path there, even if the newest final block is lost for good.
        match self.proven.as_ref().map(|(end, _)| tree.path(end)) {
            Some(Ok(path)) if !path.is_empty() => FinalPath::Known(path),
            Some(Err(other)) => FinalPath::Missing(missing, Some(other)),
            Some(Ok(_)) | None => FinalPath::Missing(missing, None),
        }
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
        assert_eq!(finality.target, Some((View(7), BlockDigest([7; 32]))));
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

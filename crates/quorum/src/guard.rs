//! The vote-once guard, the last check before the validator key signs: two votes that exclude each other never pass.
//!
//! *Invariants:* per view at most one block is notarized, at most one finalized; a nullify and a finalize never both
//! pass, in either order; the same vote may pass again; no vote of a forgotten view passes.

use crate::committee::well_formed;
use rustorium_types::{BlockDigest, ChainId, Epoch, ShardId, View, VoteBody, VoteKind};
use std::collections::BTreeMap;
use thiserror::Error;

/// A vote must not be signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum VoteConflict {
    /// Another block was notarized.
    #[error("view {view}: already notarized block {voted}")]
    OtherNotarize {
        /// The view.
        view: View,
        /// The block of the vote that was cast.
        voted: BlockDigest,
    },
    /// Another block was finalized.
    #[error("view {view}: already finalized block {voted}")]
    OtherFinalize {
        /// The view.
        view: View,
        /// The block of the vote that was cast.
        voted: BlockDigest,
    },
    /// The vote is a nullify, and a finalize was cast.
    #[error("view {view}: already voted to finalize, so it can't be nullified")]
    NullifyAfterFinalize {
        /// The view.
        view: View,
    },
    /// The vote is a finalize, and a nullify was cast.
    #[error("view {view}: already nullified, so it can't be finalized")]
    FinalizeAfterNullify {
        /// The view.
        view: View,
    },
    /// The votes of the view are no longer remembered.
    #[error("view {view} is below {floor}: its votes are forgotten")]
    Forgotten {
        /// The view.
        view: View,
        /// The lowest remembered view.
        floor: View,
    },
    /// The vote is of another chain, shard or epoch than the votes before.
    #[error("the vote is of another chain, shard or epoch than this guard's: use one guard for each")]
    OtherScope,
    /// The vote is a nullify with a block, or of another kind without one.
    #[error("the vote names a block though its kind has none, or lacks the block that its kind needs")]
    BlockMismatch,
}

#[derive(Clone, Copy, Default)]
struct Cast {
    notarize: Option<BlockDigest>,
    nullify: bool,
    finalize: Option<BlockDigest>,
}

/// The votes of one validator. The first recorded vote determines chain, shard and epoch.
#[derive(Clone, Default)]
pub struct VoteGuard {
    scope: Option<(ChainId, ShardId, Epoch)>,
    floor: View,
    cast: BTreeMap<View, Cast>,
}

impl VoteGuard {
    /// Creates a guard that has passed no vote.
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks that `body` may be signed. The same vote may be signed again.
    pub fn check(&self, body: &VoteBody) -> Result<(), VoteConflict> {
        let view = body.view;
        if self.scope.is_some_and(|scope| scope != scope_of(body)) {
            return Err(VoteConflict::OtherScope);
        }
        if !well_formed(body) {
            return Err(VoteConflict::BlockMismatch);
        }
        if view < self.floor {
            return Err(VoteConflict::Forgotten { view, floor: self.floor });
        }
        let cast = self.cast.get(&view).copied().unwrap_or_default();
        match (body.kind, cast) {
            (VoteKind::Notarize, Cast { notarize: Some(voted), .. }) if voted != body.block => {
                Err(VoteConflict::OtherNotarize { view, voted })
            }
            (VoteKind::Nullify, Cast { finalize: Some(_), .. }) => Err(VoteConflict::NullifyAfterFinalize { view }),
            (VoteKind::Finalize, Cast { nullify: true, .. }) => Err(VoteConflict::FinalizeAfterNullify { view }),
            (VoteKind::Finalize, Cast { finalize: Some(voted), .. }) if voted != body.block => {
                Err(VoteConflict::OtherFinalize { view, voted })
            }
            _ => Ok(()),
        }
    }

    /// Tells if the vote is accounted for: it was recorded, or its view is forgotten.
    pub fn accounts_for(&self, body: &VoteBody) -> bool {
        let cast = self.cast.get(&body.view).copied().unwrap_or_default();
        let recorded = match body.kind {
            VoteKind::Notarize => cast.notarize == Some(body.block),
            VoteKind::Nullify => cast.nullify,
            VoteKind::Finalize => cast.finalize == Some(body.block),
        };
        recorded || body.view < self.floor
    }

    /// Remembers a vote that is about to be signed, or that the journal has. A vote that was recorded earlier stays.
    pub fn record(&mut self, body: &VoteBody) {
        let scope = *self.scope.get_or_insert(scope_of(body));
        if scope != scope_of(body) || body.view < self.floor {
            return;
        }
        let cast = self.cast.entry(body.view).or_default();
        match body.kind {
            VoteKind::Notarize => _ = cast.notarize.get_or_insert(body.block),
            VoteKind::Nullify => cast.nullify = true,
            VoteKind::Finalize => _ = cast.finalize.get_or_insert(body.block),
        }
    }

    /// Forgets the views below `view`. No vote may be signed there any more.
    pub fn prune_below(&mut self, view: View) {
        self.floor = self.floor.max(view);
        while self.cast.first_key_value().is_some_and(|(known, _)| *known < view) {
            self.cast.pop_first();
        }
    }
}

fn scope_of(body: &VoteBody) -> (ChainId, ShardId, Epoch) {
    (body.chain, body.shard, body.epoch)
}

//! Validity of a proposal: its header against its parent, its batches, and what was executed here (R5).
//!
//! *Invariants:* this reads and changes nothing; a block waits if this node can't tell yet, and is invalid only for
//! what no later event can change; no clock is looked at here (see `clocks`).

use super::batches::Batches;
use super::blocks::{BlockTree, Entry};
use super::epoch_end::EpochEnd;
use super::results::Results;
use crate::context::Context;
use crate::port::PayloadStatus;
use crate::rules;
use rustorium_txpool::{MissingBatch, PayloadFault};
use rustorium_types::View;

/// Everything by which a block is judged.
pub(crate) struct Judge<'a> {
    pub(crate) context: &'a Context,
    pub(crate) tree: &'a BlockTree,
    pub(crate) batches: &'a Batches,
    pub(crate) results: &'a Results,
    pub(crate) epoch_end: &'a EpochEnd,
}

/// Verdict on a block.
pub(crate) enum Verdict {
    /// The block's status.
    Known(PayloadStatus),
    /// The block waits for batches that it lists and this node lacks.
    Lacks(Vec<MissingBatch>),
}

impl Judge<'_> {
    /// Judges all of a block except its time against this node's clock.
    pub(crate) fn judge(&self, entry: &Entry) -> Verdict {
        let (context, block) = (self.context, &entry.block);
        let header = &block.header;
        let Some(parent) = self.tree.header(&header.parent) else { return Verdict::Known(PayloadStatus::Pending) };
        if let Err(rule) = rules::check_header(parent, block, &context.parameters) {
            return Verdict::Known(invalid(header.view, rule));
        }
        match self.epoch_end.check(context, self.results.executed(), parent, header) {
            PayloadStatus::Ready => {}
            other => return Verdict::Known(other),
        }
        match self.batches.lanes().weight(&parent.cursors, &header.cursors) {
            Ok(weight) => {
                if let Err(rule) = rules::check_payload(block, weight, &context.parameters) {
                    return Verdict::Known(invalid(header.view, rule));
                }
            }
            Err(PayloadFault::Broken { what, .. }) => return Verdict::Known(invalid(header.view, what)),
            Err(PayloadFault::Missing(missing)) => return Verdict::Lacks(missing),
        }
        match self.results.check_state_claim(self.tree, &context.parameters, block, parent) {
            PayloadStatus::Ready => {}
            other => return Verdict::Known(other),
        }
        let root = self.results.root(header.result.height);
        Verdict::Known(match rules::check_claim(root, parent, header, self.results.executed()) {
            PayloadStatus::Invalid => invalid(header.view, "it claims another result root"),
            PayloadStatus::Ready if !entry.inline_checked => PayloadStatus::Pending,
            other => other,
        })
    }
}

/// Logs which rule a block breaks.
pub(crate) fn invalid(view: View, rule: &'static str) -> PayloadStatus {
    tracing::warn!(event = "block_invalid", view = view.0, rule);
    PayloadStatus::Invalid
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::shard::machines::testing::{at, child, context, genesis, tree};
    use rustorium_execution::CommitteeRecord;
    use rustorium_types::{Block, BlockDigest, Hash, Height, ResultClaim, ValidatorIndex};

    struct World {
        context: Context,
        tree: BlockTree,
        batches: Batches,
        results: Results,
        epoch_end: EpochEnd,
    }

    impl World {
        fn new() -> Self {
            let context = context(0);
            let mut results = Results::new(4, 3, Some(ValidatorIndex(0)));
            results.recover(context.genesis_root, Vec::new(), Height(0));
            let mut epoch_end = EpochEnd::default();
            epoch_end.note(Height(0), &CommitteeRecord::first(genesis().rules(), genesis().validators.clone()));
            let (tree, batches) = (tree(&context), Batches::new(&context));
            Self { context, tree, batches, results, epoch_end }
        }

        fn judge(&mut self, digest: BlockDigest, block: Block) -> PayloadStatus {
            self.tree.insert(digest, block);
            let Self { context, tree, batches, results, epoch_end } = &*self;
            let judge = Judge { context, tree, batches, results, epoch_end };
            match judge.judge(tree.get(&digest).unwrap()) {
                Verdict::Known(status) => status,
                Verdict::Lacks(_) => panic!("it lists nothing"),
            }
        }
    }

    #[test]
    fn a_block_is_judged_by_its_parent_and_by_what_was_executed_here() {
        let mut world = World::new();
        let (header, digest) = (world.context.genesis_header.clone(), world.context.genesis_digest);
        let (one, first) = child(&header, digest, 1);
        let (two, mut second) = child(&first.header, one, 2);
        assert_eq!(world.judge(two, second.clone()), PayloadStatus::Pending, "its parent isn't known");
        assert_eq!(world.judge(one, first.clone()), PayloadStatus::Ready);
        assert_eq!(world.judge(two, second.clone()), PayloadStatus::Ready);
        let mut late = first.clone();
        late.header.time_ms = header.time_ms;
        assert_eq!(world.judge(BlockDigest([8; 32]), late), PayloadStatus::Invalid);
        second.header.result = ResultClaim { height: Height(1), root: Hash([1; 32]) };
        assert_eq!(world.judge(BlockDigest([9; 32]), second.clone()), PayloadStatus::Pending, "not executed here");
        world.results.on_executed(at(0), Height(1), Hash([1; 32]));
        assert_eq!(world.judge(BlockDigest([9; 32]), second.clone()), PayloadStatus::Ready);
        second.header.result.root = Hash([2; 32]);
        assert_eq!(world.judge(BlockDigest([7; 32]), second), PayloadStatus::Invalid, "another root");
    }
}

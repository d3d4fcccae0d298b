//! R33: the owners of a committee's members end its epoch if too many keys are retired for a quorum to sign. This
//! module plans that end, signs it, and puts it into the stores of nodes that don't run.
//!
//! *Invariants:* the same store, transactions and time give the same plan, so each owner makes the plan again before
//! signing it; nothing is stored before a quorum of owners' signatures is verified; the stored blocks are like others,
//! so any node executes them and any light client follows them.

use crate::activating::decide_again;
use crate::error::NodeError;
use crate::executor::{Basis, StoredState, committee_of, execute_and_store, store_code};
use rustorium_crypto::{
    CheckedBatch, Verified, block_digest, id_on, payload_root, set_hash, verify_owners, verify_transactions,
};
use rustorium_execution::{CommitteeRecord, Execution, Input, Keys, arrange, execute};
use rustorium_shard::ExecutionJob;
use rustorium_shard::context::Context;
use rustorium_state::tables::Tables;
use rustorium_state::workers::Serial;
use rustorium_storage::{Store, StoreError, Tip};
use rustorium_txpool::{BlockCaps, weigh};
use rustorium_types::{
    Block, BlockDigest, BlockProof, BoundedVec, Certificate, Charter, End, Genesis, Header, Operation, Operation2,
    Outcome, Parameters, PublicKey, ResultClaim, Signature, SystemSender, TRANSACTION_VERSION, Transaction,
    ValidatorIndex, ValidatorSet, VoteBody, VoteKind, quorum,
};
use std::sync::Arc;

/// The plan that the owners of a committee sign: two blocks above the newest final one. The first changes the
/// committee; the second ends the epoch.
pub struct Plan {
    /// Context of the epoch that the plan ends.
    pub context: Context,
    /// Newest final block.
    pub base: Tip,
    /// Block with the changes, and the boundary.
    pub blocks: [Block; 2],
    /// Digests of the two blocks.
    pub digests: [BlockDigest; 2],
    /// Committee of the next epoch.
    pub next: ValidatorSet,
}

fn refused(sentence: impl Into<String>) -> NodeError {
    NodeError::new("restart-refused", sentence.into())
}

fn failed(error: &StoreError) -> NodeError {
    NodeError::new(store_code(error), error.to_string())
}

/// Returns a store's newest final block, and the context of the epoch that goes on above it.
///
/// A release that knows version 1 alone may have stored that block as a boundary to version 1 although operators had
/// activated version 2. Then the store first gets the right end of that epoch, as at a start.
///
/// # Errors
/// The store has no block; the store's, or those of `tables`.
pub fn base(
    genesis: &Genesis,
    store: &Arc<dyn Store>,
    tables: impl FnOnce() -> Result<Arc<Tables>, NodeError>,
) -> Result<(Tip, Context), NodeError> {
    let tip = store.tip().ok_or_else(|| refused("the store has no block yet: nothing has to be restarted"))?;
    decide_again(store, &tip.header, genesis, tables)?;
    let context = Context::at(genesis, None, &**store, &tip.header).map_err(|error| failed(&error))?;
    Ok((tip, context))
}

impl Plan {
    /// Plans an epoch's end on a store's newest final block. `transactions` change the committee and nothing else.
    /// `time_ms` is the first block's time, if it is above the newest final block's.
    /// Errors: a transaction that does something else, or those of `base`.
    pub fn new(
        genesis: &Genesis,
        store: &Arc<dyn Store>,
        (transactions, time_ms): (Vec<Transaction>, u64),
        tables: impl FnOnce() -> Result<Arc<Tables>, NodeError>,
    ) -> Result<Self, NodeError> {
        let (base, context) = base(genesis, store, tables)?;
        let store = &**store;
        let inline = checked(transactions, &context)?;
        let parent = context.as_parent(&base.header);
        let mut first = above(&context, &parent, base.digest, time_ms);
        let weight = weigh(context.rules, &inline);
        if !BlockCaps::for_parameters(&context.parameters).hold(&weight) {
            return Err(refused("the changes are too many for one block"));
        }
        (first.transactions, first.declared_work) = (weight.transactions, weight.work);
        first.payload_root = payload_root(&inline, &parent.cursors, &parent.cursors);
        let done = executed(&first, &inline, &base, store, (&context.parameters, &context.charter))?;
        let record = match committee_of(&done.diff) {
            Some(bytes) => CommitteeRecord::from_bytes(bytes).map_err(|error| refused(error.to_string()))?,
            None => return Err(refused("the plan doesn't change the committee: replace a key that is retired")),
        };
        let next = record.target;
        let place = |key: PublicKey| next.iter().any(|validator| validator.validator_key == key);
        // The proposer that the blocks name is a member that signs nothing more. Its node doesn't treat blocks that it
        // didn't make as a fault.
        let gone = context.committee.keys.iter().position(|key| !place(*key));
        let gone = gone
            .ok_or_else(|| refused("the plan removes no member's key: a committee that can sign needs no restart"))?;
        first.proposer = ValidatorIndex(gone as u16);
        let digest = block_digest(&first);
        let mut second = above(&context, &first, digest, 0);
        (second.proposer, second.end) = (first.proposer, End::Boundary);
        second.next_validator_set = context.names_next(set_hash(&next));
        // The header names the proposer; the execution uses only the header's height and time.
        second.result = ResultClaim { height: first.height, root: done.result_root };
        let digests = [digest, block_digest(&second)];
        let inline = BoundedVec::new(inline).map_err(|_| refused("the changes are too many for one block"))?;
        let blocks = [Block { header: first, inline }, Block { header: second, inline: BoundedVec::default() }];
        Ok(Self { context, base, blocks, digests, next })
    }

    /// Returns the vote that each owner signs.
    pub fn body(&self) -> VoteBody {
        let [_, boundary] = &self.blocks;
        self.context.committee.body(VoteKind::Finalize, boundary.header.view, self.digests[1])
    }

    /// Returns the owners' signatures, one per place, as a certificate. Errors: there are too few, or one doesn't
    /// verify.
    pub fn certificate(
        &self,
        mut signatures: Vec<(ValidatorIndex, Signature)>,
    ) -> Result<Verified<Certificate>, NodeError> {
        let (given, need) = (signatures.len(), quorum(self.context.n()));
        if given < need {
            return Err(refused(format!("{given} of {need} owners have signed: have the others sign it too")));
        }
        signatures.sort_unstable_by_key(|(place, _)| *place);
        let signatures = BoundedVec::new(signatures).map_err(|_| refused("there are more signatures than owners"))?;
        let certificate = Certificate { body: self.body(), signatures };
        let good = verify_owners(&self.context.owners(), &certificate);
        good.ok_or_else(|| {
            refused(
                "an owner's signature covers another plan, or several are of one owner: have each owner sign this plan",
            )
        })
    }

    /// Stores both blocks and the end of the epoch, on disk when this returns. Errors: the store's.
    ///
    /// An interrupted call leaves only the first block, which belongs to the plan alone. It is removed before the next
    /// try.
    pub fn apply(&self, store: &dyn Store, certificate: &Verified<Certificate>) -> Result<(), NodeError> {
        let end = BlockProof { descendants: BoundedVec::default(), finalization: (**certificate).clone() };
        let (mut previous_root, mut parent_claim) = (self.base.result_root, self.base.header.result.root);
        let n = self.context.n();
        for (place, (block, digest)) in self.blocks.iter().zip(self.digests).enumerate() {
            let last = place + 1 == self.blocks.len();
            let job = ExecutionJob {
                digest,
                block: Arc::new(block.clone()),
                payload: vec![Vec::new(); n],
                finalization: last.then(|| certificate.clone()),
                end: last.then(|| end.clone()),
            };
            let (parameters, charter) = (&self.context.parameters, &self.context.charter);
            // The owners change the committee, and then no boundary ends version 1.
            let (rooted, activating) = (parameters.state_roots, None);
            let first = &*self.context.validators;
            // No seat acts in these blocks.
            let decided = None;
            let basis = Basis { parameters, charter, previous_root, parent_claim, rooted, activating, first, decided };
            let stored = execute_and_store(store, &basis, (&Keys::default(), &Serial), &job)
                .map_err(|(code, sentence)| NodeError::new(code, sentence))?;
            (previous_root, parent_claim) = (stored.commit.result_root, block.header.result.root);
        }
        store.sync().map(drop).map_err(|error| failed(&error))
    }
}

/// Returns the transactions after checking that their signatures verify and that they only change the committee.
fn checked(transactions: Vec<Transaction>, context: &Context) -> Result<Vec<Transaction>, NodeError> {
    let chain = context.chain();
    for transaction in &transactions {
        let id = id_on(&chain, transaction);
        let more = || refused(format!("the transaction {id} does more than change the committee: leave that out"));
        let first = match transaction {
            Transaction::V1(first) => first,
            // V49: an owner acts as a sender without an account.
            Transaction::V2(second) => {
                let body = second.body();
                if !matches!(SystemSender::of(&body.sender), Some(SystemSender::Owner(_))) {
                    return Err(refused(format!(
                        "the transaction {id} has the form of version 2 and isn't an owner's: sign it in that of version 1"
                    )));
                }
                if !body.data.iter().all(|operation| matches!(operation, Operation2::ReplaceKey { .. })) {
                    return Err(more());
                }
                continue;
            }
        };
        if first.body.chain != chain || first.body.version != TRANSACTION_VERSION {
            return Err(refused(format!("the transaction {id} is another chain's: make it for this one")));
        }
        let changes = |operation: &Operation| {
            matches!(
                operation,
                Operation::ReplaceKey { .. }
                    | Operation::AddValidator { .. }
                    | Operation::RemoveValidator { .. }
                    | Operation::ReplaceProven { .. }
                    | Operation::AddProven { .. }
            )
        };
        if !first.body.data.iter().all(changes) {
            return Err(more());
        }
    }
    verify_transactions(&chain, transactions)
        .into_iter()
        .map(|one| match one {
            Ok((_, verified)) => Ok(verified.into_inner()),
            Err(bad) => Err(refused(format!("the signature of transaction {} doesn't hold", id_on(&chain, &bad)))),
        })
        .collect()
}

/// Returns a header above a parent, without a payload, that repeats the parent's claims.
fn above(context: &Context, parent: &Header, digest: BlockDigest, time_ms: u64) -> Header {
    let committee = &context.committee;
    Header {
        version: context.rules.version(),
        chain: committee.chain,
        shard: committee.shard,
        epoch: committee.epoch,
        view: parent.view.next(),
        height: parent.height.next(),
        parent: digest,
        parent_view: parent.view,
        proposer: ValidatorIndex(0),
        time_ms: time_ms.max(parent.time_ms.saturating_add(1)),
        payload_root: payload_root(&[], &parent.cursors, &parent.cursors),
        cursors: parent.cursors.clone(),
        transactions: 0,
        declared_work: 0,
        speaks: 0,
        validator_set: context.hashes.validator_set,
        end: End::GoesOn,
        next_validator_set: context.hashes.validator_set,
        parameters: context.hashes.parameters,
        shard_map: context.hashes.shard_map,
        result: parent.result,
        state: parent.state,
    }
}

/// Executes the changes. Each of them must take effect.
fn executed(
    header: &Header,
    inline: &[Transaction],
    base: &Tip,
    store: &dyn Store,
    (parameters, charter): (&Parameters, &Charter),
) -> Result<Execution, NodeError> {
    let ids = inline.iter().map(|transaction| id_on(&header.chain, transaction));
    let transactions = arrange::<CheckedBatch>((header, &base.header.result.root), ids.zip(inline), &[]);
    let previous_root = base.result_root;
    let input = Input { header, parameters, charter, previous_root, transactions };
    let done =
        execute(&input, &StoredState(store)).map_err(|error| NodeError::new("store-failed", error.to_string()))?;
    if let Some((id, skip)) = done.skipped.first() {
        return Err(refused(format!("the transaction {id} would be skipped: {skip}; sign a new one")));
    }
    for receipt in &done.receipts {
        if let Outcome::Failed { code, .. } = receipt.outcome {
            let id = receipt.transaction;
            return Err(refused(format!("the transaction {id} would fail ({code:?}): sign a new one")));
        }
    }
    Ok(done)
}

//! The effects of operations under version 2: those of version 1, except on the committee and for new keys.
//!
//! *Invariants:* as in version 1; no operation brings a key of small order onto the chain (R51).

use super::committee::govern;
use crate::v1::ledger::{Ledger, Stop};
use crate::v1::operations::{Actor, fail};
use crate::v1::pools::Pools;
use crate::v1::verifiers::Proofs;
use rustorium_crypto::is_small_order;
use rustorium_types::{ChainId, FailureCode, Operation, Parameters};

/// Executes one operation.
pub(crate) fn apply<'a>(
    ledger: &mut Ledger<'a>,
    actor: Actor,
    chain: ChainId,
    parameters: &Parameters,
    proofs: &mut Proofs<'_>,
    pools: &mut Pools,
    operation: &'a Operation,
) -> Result<(), Stop> {
    if operation.new_keys().into_iter().any(is_small_order) {
        return fail(FailureCode::NotPossessed);
    }
    match operation {
        Operation::AddValidator { .. }
        | Operation::RemoveValidator { .. }
        | Operation::ReplaceKey { .. }
        | Operation::EndEpoch { .. }
        | Operation::AddProven { .. }
        | Operation::ReplaceProven { .. } => govern(ledger, actor, chain, parameters, operation),
        _ => crate::v1::operations::apply(ledger, actor, parameters, proofs, pools, operation),
    }
}

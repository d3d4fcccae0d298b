//! Checks and consequences of a commit that every store shares.

use crate::rows::{HEIGHTS_END, RECEIPTS_END};
use crate::store::{HeightCommit, StoreError, Tip};
use rustorium_crypto::CheckedBatch;
use rustorium_types::{AccountId, Header, Operation, Operation2, Outcome, Receipt, Rules, Transaction};

/// Checks that `commit` follows `tip` and that its parts belong together.
pub(crate) fn check_commit(tip: Option<&Tip>, commit: &HeightCommit) -> Result<(), StoreError> {
    let height = commit.block.header.height;
    if let Some(tip) = tip
        && (height != tip.height.next() || commit.block.header.parent != tip.digest)
    {
        return Err(StoreError::NotNext { expected: tip.height.next(), got: height });
    }
    let inconsistent = |what| Err(StoreError::Inconsistent { height, what });
    if commit.inline_ids.len() != commit.block.inline.len() {
        return inconsistent("not one id for each inline transaction");
    }
    if commit.batches.iter().any(|batch| batch.ids.len() != batch.batch.body.transactions.len()) {
        return inconsistent("a batch without one id for each transaction");
    }
    if commit.batches.len() >= usize::from(u16::MAX) {
        return inconsistent("too many batches");
    }
    if commit.finalization.as_ref().is_some_and(|certificate| certificate.body.block != commit.digest) {
        return inconsistent("the finalization is another block's");
    }
    if commit.receipts.iter().enumerate().any(|(i, r)| r.height != height || r.index as usize != i) {
        return inconsistent("a receipt with another height or index than its place");
    }
    if is_five(&commit.block.header) { check_five(commit) } else { Ok(()) }
}

/// Tells if a height's rows are those of format 5.
pub(crate) fn is_five(header: &Header) -> bool {
    header.rules() >= Rules::V2
}

/// Checks what format 5 does not store, because the header tells it.
fn check_five(commit: &HeightCommit) -> Result<(), StoreError> {
    let header = &commit.block.header;
    let height = header.height;
    let inconsistent = |what| Err(StoreError::Inconsistent { height, what });
    if height.0 >= HEIGHTS_END || commit.receipts.len() > RECEIPTS_END {
        return inconsistent("a height or a receipt that no index can name");
    }
    let other = |batch: &CheckedBatch| {
        let body = &batch.batch.body;
        (body.chain, body.shard, body.epoch) != (header.chain, header.shard, header.epoch)
    };
    if commit.batches.iter().any(|batch| other(batch)) {
        return inconsistent("a batch of another chain, shard or epoch");
    }
    Ok(())
}

/// Checks what format 5 does not store of a receipt, because header and transaction tell it.
pub(crate) fn check_receipt(header: &Header, receipt: &Receipt, transaction: &Transaction) -> Result<(), StoreError> {
    if (receipt.sender, receipt.nonce, receipt.time_ms) == (*transaction.sender(), transaction.nonce(), header.time_ms)
    {
        return Ok(());
    }
    let what = "a receipt whose sender, nonce or time are not those of its transaction and block";
    Err(StoreError::Inconsistent { height: header.height, what })
}

/// Header time between stored finalizations.
const FINALIZATION_EVERY_MS: u64 = 250;
/// The most heights between finalizations that are stored.
const FINALIZATION_EVERY: u64 = if cfg!(test) { 8 } else { 64 };
/// Number of newest heights whose finalizations are in memory, whether they are stored or not.
pub(crate) const FINALIZATIONS_RECENT: u64 = if cfg!(test) { 4 } else { 1024 };

/// Tells if the first finalization from this height on is stored. `owed`: one from an earlier height on is wanted, and
/// there was none yet. One is wanted in each period of header time and in each 64 heights, at an epoch's end, and
/// wherever a header claims another state root: that proves values.
pub(crate) fn is_owed(parent: Option<&Header>, owed: bool, header: &Header) -> bool {
    let period = |header: &Header| header.time_ms / FINALIZATION_EVERY_MS;
    if owed || header.ends_epoch() || header.height.0.is_multiple_of(FINALIZATION_EVERY) {
        return true;
    }
    parent.is_none_or(|parent| period(parent) != period(header) || parent.state != header.state)
}

/// Returns the tip after `commit`.
pub(crate) fn tip_after(previous: Option<&Tip>, commit: &HeightCommit) -> Tip {
    let header = commit.block.header.clone();
    let fresh = header.transactions > 0 || !commit.diff.is_empty() || previous.is_none();
    Tip {
        height: header.height,
        digest: commit.digest,
        result_root: commit.result_root,
        payload_height: previous.filter(|_| !fresh).map_or(header.height, |tip| tip.payload_height),
        header,
    }
}

/// Calls `touch` with the accounts of a receipt's transaction: its sender and, if it succeeded, the accounts that it
/// names, including verifiers and pools.
pub(crate) fn touched(receipt: &Receipt, transaction: &Transaction, mut touch: impl FnMut(AccountId)) {
    touch(receipt.sender);
    if receipt.outcome != Outcome::Ok {
        return;
    }
    match transaction {
        Transaction::V1(transaction) => transaction.body.data.iter().for_each(|one| named(receipt, one, &mut touch)),
        Transaction::V2(transaction) => {
            transaction.body().data.iter().for_each(|one| named_in_second_form(receipt, one, &mut touch));
        }
    }
}

/// Calls `touch` with the accounts that an operation in the form of version 2 names.
fn named_in_second_form(receipt: &Receipt, operation: &Operation2, touch: &mut impl FnMut(AccountId)) {
    match operation {
        // Writes name no account, and their values may be large: they aren't copied.
        Operation2::Put { .. } | Operation2::Delete { .. } => {}
        Operation2::CreateAccount { region, authority, .. } => {
            touch(rustorium_crypto::authority_account(*region, authority));
        }
        Operation2::Grant { to, .. } => touch(*to),
        Operation2::SetAuthority { settings, .. } => {
            if let Some(recovery) = &settings.recovery {
                touch(recovery.account);
            }
        }
        Operation2::ApproveAuthority { account, .. }
        | Operation2::Recover { account, .. }
        | Operation2::WithdrawRecovery { account } => touch(*account),
        other => {
            if let Some(first) = other.as_first(&receipt.sender) {
                named(receipt, &first, touch);
            }
        }
    }
}

/// Calls `touch` with the accounts that an operation names.
fn named(receipt: &Receipt, operation: &Operation, touch: &mut impl FnMut(AccountId)) {
    match operation {
        Operation::Transfer { to, .. } | Operation::Issue { to, .. } | Operation::Grant { to, .. } => touch(*to),
        Operation::CreateAccount { region, public_key, .. } => {
            touch(rustorium_crypto::account_id(*region, public_key));
        }
        Operation::AddValidator { .. }
        | Operation::RemoveValidator { .. }
        | Operation::ReplaceKey { .. }
        | Operation::AddProven { .. }
        | Operation::ReplaceProven { .. }
        | Operation::EndEpoch { .. } => touch(rustorium_types::SYSTEM_ACCOUNT),
        Operation::RegisterVerifier { key, named } => {
            touch(AccountId(rustorium_crypto::verifier_id(&receipt.sender, key.as_slice(), named).0));
        }
        Operation::VerifyProof { verifier, .. } => touch(AccountId(verifier.0)),
        Operation::Shield { pool, .. } | Operation::ShieldedTransfer { pool, .. } => {
            touch(rustorium_crypto::pool_account(*pool));
        }
        Operation::Unshield { pool, to, .. } => {
            touch(rustorium_crypto::pool_account(*pool));
            touch(*to);
        }
        Operation::Put { .. } | Operation::Delete { .. } | Operation::Require(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustorium_crypto::{SigningKey, authority_account};
    use rustorium_types::{
        Authority, BoundedVec, Hash, Height, Rights, Signature2, SignerKey, Transaction2, TransactionBody2, TxId,
    };

    fn authority() -> Authority {
        let keys = [1, 2].map(|seed| SignerKey::Ed25519(SigningKey::from_seed(&[seed; 32]).public()));
        Authority::of_keys(1, keys.to_vec()).expect("an authority")
    }

    /// Returns the accounts whose histories have the transaction of account 9 with this operation.
    fn accounts(operation: Operation2, outcome: Outcome) -> Vec<AccountId> {
        let sender = AccountId([9; 32]);
        let body = TransactionBody2 {
            authority: authority(),
            sender,
            nonce: 0,
            expires_at_ms: 1,
            work_limit: 1,
            shard_hint: None,
            location: None,
            data: BoundedVec::new(vec![operation]).expect("one operation"),
        };
        let signatures = vec![(0, Signature2::Ed25519([0; 64]))];
        let transaction = Transaction2::new(body, signatures).expect("one signature").into();
        let receipt = Receipt {
            transaction: TxId(Hash::ZERO.0),
            sender,
            nonce: 0,
            height: Height(1),
            index: 0,
            time_ms: 1,
            work: 1,
            outcome,
        };
        let mut accounts = Vec::new();
        touched(&receipt, &transaction, |account| accounts.push(account));
        accounts
    }

    /// The history of an account of several keys begins with its creation, as that of any account. A grant of less than
    /// everything is in the history of the account that may write, as any grant.
    #[test]
    fn accounts_that_only_version_2_can_name_have_it_in_their_history() {
        let (sender, other) = (AccountId([9; 32]), AccountId([8; 32]));
        let create = Operation2::CreateAccount { region: 3, authority: authority(), storage_bytes: 0 };
        let prefixes = BoundedVec::default();
        let grant =
            Operation2::Grant { to: other, rights: Rights { put: true, delete: false }, prefixes, until_ms: None };
        let failed = Outcome::Failed { code: rustorium_types::FailureCode::WorkLimit, operation: 0 };
        for (operation, named) in [(create, authority_account(3, &authority())), (grant, other)] {
            assert_eq!(accounts(operation.clone(), Outcome::Ok), [sender, named]);
            assert_eq!(accounts(operation, failed), [sender]);
        }
    }
}

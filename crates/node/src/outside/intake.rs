//! Transactions of nodes outside the committee: what is cheap to see is looked at first, and then the one signature.

use crate::shard_thread::ShardGauges;
use rustorium_crypto::{Addressed, Admitted, KnownSignatures, admit, signer_of};
use rustorium_stages::clients::unpaused_view;
use rustorium_stages::executor::ParametersInForce;
use rustorium_storage::Store;
use rustorium_txpool::PoolConfig;
use rustorium_types::{ChainId, Transaction};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Result of checking a transaction.
#[derive(Debug)]
pub(crate) enum CheckResult {
    /// The pool may accept the transaction.
    Good(Admitted),
    /// The pool would refuse the transaction, or its sender has no account.
    Useless,
    /// The transaction's signature is false.
    False,
}

/// Checks outsiders' transactions.
pub(crate) struct Intake {
    pub(crate) chain: ChainId,
    pub(crate) pool: PoolConfig,
    /// Maximum number of transactions that this node holds, for its clients and in its pool.
    pub(crate) capacity: usize,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) gauges: Arc<ShardGauges>,
    /// The chain's parameters in the epoch of the next block.
    pub(crate) parameters: Arc<ParametersInForce>,
}

impl Intake {
    pub(crate) fn look(&self, transaction: Transaction) -> CheckResult {
        let Ok(transaction) = Addressed::check(&self.chain, transaction) else { return CheckResult::Useless };
        if !self.may_be_pooled(&transaction) {
            return CheckResult::Useless;
        }
        let checked = admit(vec![transaction], &KnownSignatures::default()).pop();
        checked.flatten().map_or(CheckResult::False, CheckResult::Good)
    }

    fn may_be_pooled(&self, transaction: &Transaction) -> bool {
        let room = self.gauges.pool_transactions.load(Ordering::Relaxed) < self.capacity;
        if !room {
            return false;
        }
        let bytes = rustorium_types::encode(transaction).len();
        let header_ms = self.store.tip().map_or(0, |tip| tip.header.time_ms);
        if bytes > self.pool.transaction_bytes_max || transaction.expires_at_ms() <= header_ms {
            return false;
        }
        let Some(account) = unpaused_view(&*self.store, &self.parameters, transaction.sender()) else { return false };
        let ahead = transaction.nonce().checked_sub(account.nonce);
        account.signer == signer_of(transaction) && ahead.is_some_and(|ahead| ahead <= self.pool.gap_max)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rustorium_storage::MemStore;
    use rustorium_types::{BoundedVec, Genesis, Parameters, ShardId, TRANSACTION_VERSION, TransactionBody};

    use crate::outside::made::{START_MS, account, genesis_of, signer};

    fn genesis() -> Genesis {
        genesis_of(2, 1_000_000, Parameters::default())
    }

    /// Returns an empty transaction of account 0 with this nonce.
    pub(crate) fn transaction(nonce: u64) -> Transaction {
        changed(nonce, |_| ())
    }

    fn changed(nonce: u64, change: impl FnOnce(&mut TransactionBody)) -> Transaction {
        let mut body = TransactionBody {
            version: TRANSACTION_VERSION,
            chain: rustorium_crypto::chain_id(&genesis()),
            sender: account(0),
            public_key: signer(0).public(),
            nonce,
            expires_at_ms: START_MS + 3_600_000,
            work_limit: 100_000,
            shard_hint: None,
            location: None,
            data: BoundedVec::default(),
        };
        change(&mut body);
        signer(0).sign_transaction(body).into_inner()
    }

    fn intake() -> Intake {
        let store: Arc<dyn Store> = Arc::new(MemStore::new());
        rustorium_stages::journal_records::tip_of(&*store, &genesis(), ShardId::ROOT).unwrap();
        let chain = rustorium_crypto::chain_id(&genesis());
        let parameters = Arc::new((&Parameters::default()).into());
        Intake { chain, pool: PoolConfig::default(), capacity: 10, store, gauges: Arc::default(), parameters }
    }

    /// Gives the transaction a false signature, so that a check of it shows.
    fn broken(mut transaction: Transaction) -> Transaction {
        let Transaction::V1(first) = &mut transaction else { unreachable!("made in the form of version 1") };
        first.signature[0] ^= 1;
        transaction
    }

    #[test]
    fn a_good_transaction_is_handed_on_and_one_with_a_false_signature_is_charged() {
        assert!(matches!(intake().look(transaction(0)), CheckResult::Good(..)));
        assert!(matches!(intake().look(broken(transaction(0))), CheckResult::False));
    }

    #[test]
    fn what_the_pool_would_refuse_costs_no_check_of_a_signature() {
        let useless = [
            changed(0, |body| body.chain = ChainId([9; 32])),
            changed(0, |body| body.version = TRANSACTION_VERSION + 1),
            changed(0, |body| body.expires_at_ms = START_MS),
            changed(0, |body| body.sender = account(7)),
            changed(0, |body| body.public_key = signer(1).public()),
            changed(1_000_000, |_| ()),
        ];
        for transaction in useless {
            assert!(matches!(intake().look(broken(transaction)), CheckResult::Useless));
        }
        let full = intake();
        full.gauges.pool_transactions.store(10, Ordering::Relaxed);
        assert!(matches!(full.look(broken(transaction(0))), CheckResult::Useless));
    }
}

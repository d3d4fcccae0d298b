//! Senders by number, and transactions and batches with real signatures.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use rustorium_crypto::{
    CheckedBatch, SigningKey, Verified, account_id, own_batch, transaction_id, verify_transactions,
};
use rustorium_execution::least_work;
use rustorium_txpool::*;
use rustorium_types::*;
use std::sync::Arc;

pub const NOW_MS: u64 = 1_800_000_000_000;
pub const CLOCK: Clock = Clock { ms: NOW_MS, wall_ms: NOW_MS };
pub const CHAIN: ChainId = ChainId([9; 32]);

pub type Shared = Arc<Verified<Transaction>>;

pub fn signer(number: usize) -> SigningKey {
    let mut seed = [1; 32];
    seed[..8].copy_from_slice(&(number as u64).to_le_bytes());
    SigningKey::from_seed(&seed)
}

pub fn account(number: usize) -> AccountId {
    account_id(0, &signer(number).public())
}

pub fn body(sender: usize, nonce: u64, bytes: usize) -> TransactionBody {
    let put = Operation::Put {
        namespace: account(sender),
        key: Key::new(nonce.to_be_bytes().to_vec()).unwrap(),
        value: Value::new(vec![7; bytes]).unwrap(),
    };
    let mut body = TransactionBody {
        version: TRANSACTION_VERSION,
        chain: CHAIN,
        sender: account(sender),
        public_key: signer(sender).public(),
        nonce,
        expires_at_ms: NOW_MS + 60_000,
        work_limit: 0,
        shard_hint: None,
        location: None,
        data: BoundedVec::new(vec![put]).unwrap(),
    };
    body.work_limit = least_work(Rules::NEWEST, &body);
    body
}

/// Returns a body with an operation that only version 2 knows.
pub fn proven(sender: usize, nonce: u64) -> TransactionBody {
    let (validator, node) = ([1; 64], [2; 64]);
    let change = Operation::ReplaceProven {
        validator_key: [1; 32],
        new_validator_key: [2; 32],
        new_node_key: [3; 32],
        possession: Possession { validator, node },
    };
    let mut body = TransactionBody { data: BoundedVec::new(vec![change]).unwrap(), ..body(sender, nonce, 1) };
    body.work_limit = least_work(Rules::NEWEST, &body);
    body
}

pub fn sign(sender: usize, body: TransactionBody) -> (TxId, Shared) {
    (transaction_id(&body), Arc::new(signer(sender).sign_transaction(body)))
}

/// A transaction of version 2 that puts a key, by an authority of the sender's key and those of the others. All of them
/// sign.
pub fn second(
    sender: usize,
    nonce: u64,
    others: &[usize],
    change: impl FnOnce(&mut TransactionBody2),
) -> (TxId, Shared) {
    let mut keys: Vec<SigningKey> = [sender].iter().chain(others).map(|number| signer(*number)).collect();
    keys.sort_unstable_by_key(SigningKey::public);
    let public = keys.iter().map(|key| SignerKey::Ed25519(key.public())).collect();
    let key = Key::new(nonce.to_be_bytes().to_vec()).unwrap();
    let put = Operation2::Put { namespace: None, key, value: Value::new(vec![7; 10]).unwrap() };
    let mut body = TransactionBody2 {
        authority: Authority::new(keys.len() as u8, public).unwrap(),
        sender: account(sender),
        nonce,
        expires_at_ms: NOW_MS + 60_000,
        work_limit: 5_000,
        shard_hint: None,
        location: None,
        data: BoundedVec::new(vec![put]).unwrap(),
    };
    change(&mut body);
    let signatures = (0u8..).zip(&keys).map(|(place, key)| (place, key.sign_body2(&CHAIN, &body))).collect();
    let transaction = Transaction2::new(body, signatures).unwrap();
    let (id, checked) = verify_transactions(&CHAIN, vec![transaction.into()]).remove(0).unwrap();
    (id, Arc::new(checked))
}

pub fn make(sender: usize, nonce: u64) -> (TxId, Shared) {
    sign(sender, body(sender, nonce, 10))
}

pub fn view(number: usize, nonce: u64) -> Option<AccountView> {
    Some(AccountView::new(nonce, Signer::Single(signer(number).public())))
}

/// Admits a transaction of a sender whose account has executed nothing.
pub fn admit(pool: &mut Pool, sender: usize, nonce: u64) -> Result<Admission, Refused> {
    let (id, t) = make(sender, nonce);
    pool.admit(CLOCK, id, t, || view(sender, 0))
}

pub const ALL: CutLimits = CutLimits { bytes: u64::MAX, signatures: usize::MAX, work: u64::MAX };

/// Cuts a batch; returns senders (of the first `senders`) and nonces.
pub fn cut(pool: &mut Pool, senders: usize, limits: &CutLimits) -> Vec<(usize, u64)> {
    names(senders, pool.cut(NOW_MS, limits))
}

pub fn names(senders: usize, cut: Vec<(TxId, Shared)>) -> Vec<(usize, u64)> {
    let accounts: Vec<_> = (0..senders).map(account).collect();
    let number = |id: AccountId| accounts.iter().position(|account| *account == id).unwrap();
    cut.iter().map(|(_, t)| (number(*t.sender()), t.nonce())).collect()
}

/// A batch of lane `author`.
pub fn batch(author: u16, seq: u64, previous: BatchDigest, transactions: &[(TxId, Shared)]) -> Arc<CheckedBatch> {
    let transactions = transactions.iter().map(|(id, t)| (*id, t.clone())).collect();
    let body = |transactions| BatchBody {
        chain: CHAIN,
        shard: ShardId(0),
        epoch: Epoch(0),
        author: ValidatorIndex(author),
        seq,
        previous,
        transactions: BoundedVec::new(transactions).unwrap(),
    };
    Arc::new(own_batch(transactions, body, &signer(1000 + usize::from(author))))
}

/// `count` batches of one transaction of about `bytes` bytes, from `cursor` on.
pub fn chain(author: u16, cursor: Cursor, count: u64, bytes: usize) -> Vec<Arc<CheckedBatch>> {
    let mut at = cursor;
    let mut out = Vec::new();
    for _ in 0..count {
        // The seed of the value's length keeps branches apart.
        let one = sign(usize::from(author), body(usize::from(author), at.next_seq, bytes));
        let made = batch(author, at.next_seq, at.tip, &[one]);
        at = after(&made);
        out.push(made);
    }
    out
}

/// Inserts a batch that isn't in the journal, with its weight.
pub fn hold(lanes: &mut Lanes, now_ms: u64, batch: Arc<CheckedBatch>, wanted: bool) -> InsertOutcome {
    let weight = weigh(Rules::NEWEST, &batch.batch.body.transactions);
    lanes.hold(now_ms, batch, weight, wanted)
}

pub fn after(batch: &CheckedBatch) -> Cursor {
    Cursor { next_seq: batch.batch.body.seq + 1, tip: batch.digest }
}

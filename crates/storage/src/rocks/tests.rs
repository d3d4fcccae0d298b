#[path = "../../../types/tests/headers/mod.rs"]
mod headers;

use super::*;
use crate::mem::MemStore;
use crate::store::HeightCommit;
use crate::tree::TreeStore;
use crate::{Fault, FaultyStore};
use headers::empty_header;
use proptest::prelude::*;
use proptest::sample::Index;
use rustorium_crypto::seal::{HEAD_BYTES, HashUse, MasterKey};
use rustorium_crypto::{self as crypto, CheckedBatch, SigningKey, Verified};
use rustorium_types::*;
use std::fs;
use std::sync::{LazyLock, atomic::AtomicBool};
use tempfile::TempDir;

mod cache;
mod damaged;
mod epochs;
mod five;
mod forms;
mod history;
mod kinds;
mod limited;
mod rollback;
mod rotation;
mod sealed;
mod single;
mod soak;
mod synced;

/// A random height of proptest.
#[derive(Clone, Debug)]
struct Plan {
    inline: Vec<TransactionPlan>,
    batches: Vec<Vec<TransactionPlan>>,
    writes: Vec<(u8, Option<Vec<u8>>)>,
    finalized: bool,
    finalize_later: Option<Index>,
    reopen: bool,
}

#[derive(Clone, Debug)]
struct TransactionPlan {
    sender: u8,
    to: u8,
    kind: u8,
    executed: bool,
    failed: bool,
    /// In the form of version 2, if its height is of that version.
    second: bool,
}

const ACCOUNTS: u8 = 4;
const KEYS: u8 = 12;

fn transaction_plan() -> impl Strategy<Value = TransactionPlan> {
    (0..ACCOUNTS, 0..ACCOUNTS, 0u8..5, any::<[bool; 3]>()).prop_map(|(sender, to, kind, flags)| {
        let [executed, failed, second] = flags;
        TransactionPlan { sender, to, kind, executed, failed, second }
    })
}

fn plan() -> impl Strategy<Value = Plan> {
    let transactions = |n| proptest::collection::vec(transaction_plan(), 0..n);
    let value = proptest::option::weighted(0.7, proptest::collection::vec(any::<u8>(), 0..300));
    (
        transactions(3),
        proptest::collection::vec(transactions(5), 0..3),
        proptest::collection::btree_map(0..KEYS, value, 0..6),
        any::<bool>(),
        proptest::option::of(any::<Index>()),
        proptest::bool::weighted(0.15),
    )
        .prop_map(|(inline, batches, writes, finalized, finalize_later, reopen)| Plan {
            inline,
            batches,
            writes: writes.into_iter().collect(),
            finalized,
            finalize_later,
            reopen,
        })
}

fn account(n: u8) -> AccountId {
    AccountId([n; 32])
}

fn state_key(n: u8) -> StateKey {
    StateKey { account: account(n % 3), name: [n; 32] }
}

fn leaf_write(n: u8, value: Option<Vec<u8>>) -> LeafWrite {
    LeafWrite { key: state_key(n), name: vec![n; usize::from(n) + 1], value }
}

fn signer() -> SigningKey {
    SigningKey::from_seed(&[3; 32])
}

/// Makes heights, and records every name that a test may ask for.
#[derive(Default)]
struct Chain {
    /// The first height of version 2.
    two_from: u64,
    parent: BlockDigest,
    height: u64,
    result: Hash,
    cursors: [Cursor; 4],
    nonce: u64,
    seq: u64,
    blocks: Vec<(Height, BlockDigest)>,
    batches: Vec<BatchDigest>,
    transactions: Vec<TxId>,
    secret: Option<[u8; 32]>,
}

impl Chain {
    fn transaction(&mut self, plan: &TransactionPlan) -> (TxId, Verified<Transaction>) {
        let (to, amount) = (account(plan.to), 5);
        let operation = match plan.kind {
            0 => Operation::Transfer { to, asset: AssetId([1; 32]), amount },
            1 => Operation::Issue { symbol: Symbol::new(b"GLD".to_vec()).unwrap(), to, amount },
            2 => Operation::Grant { to, prefixes: BoundedVec::default() },
            3 => Operation::CreateAccount { region: 1, public_key: [plan.to; 32], storage_bytes: 1 },
            _ => Operation::Put {
                namespace: account(plan.sender),
                key: Key::new(self.secret.map_or(vec![plan.to], Vec::from)).unwrap(),
                value: Value::new(self.secret.map_or(vec![plan.to; 64], Vec::from)).unwrap(),
            },
        };
        self.nonce += 1;
        let body = TransactionBody {
            version: 1,
            chain: ChainId([5; 32]),
            sender: account(plan.sender),
            public_key: signer().public(),
            nonce: self.nonce,
            expires_at_ms: 1,
            work_limit: 1,
            shard_hint: None,
            location: None,
            data: BoundedVec::new(vec![operation]).unwrap(),
        };
        let second = plan.second && self.height >= self.two_from;
        let made = if second { forms::in_second_form(body) } else { signer().sign_transaction(body) };
        let id = crypto::id_on(&ChainId([5; 32]), &made);
        self.transactions.push(id);
        (id, made)
    }

    /// Makes a header as chains have it. Some have fields as no chain has them, which come back all the same.
    fn header(&self, transactions: u32) -> Header {
        let odd = |every: u64| self.height % every == every - 1;
        let cursors = if odd(7) { [Cursor { next_seq: self.seq, tip: BatchDigest::ZERO }; 4] } else { self.cursors };
        let claimed = Height(self.height / 5 * 5);
        Header {
            version: if self.height >= self.two_from { 2 } else { 1 },
            chain: ChainId([5; 32]),
            view: View(2 * self.height),
            height: Height(self.height),
            parent: self.parent,
            parent_view: View(if odd(11) { 1 } else { (2 * self.height).saturating_sub(2) }),
            proposer: ValidatorIndex((self.height % 4) as u16),
            time_ms: self.time_ms(),
            payload_root: crypto::payload_root(&[], &self.cursors, &cursors),
            cursors: BoundedVec::new(cursors.to_vec()).unwrap(),
            transactions,
            declared_work: 300 * self.height,
            end: if odd(9) { End::Closing(self.parent) } else { End::GoesOn },
            parameters: Hash([u8::from(self.height > 13); 32]),
            result: ResultClaim { height: Height(self.height.saturating_sub(1)), root: self.result },
            state: StateClaim::Rooted { height: claimed, first: claimed, root: Hash([claimed.0 as u8; 32]) },
            ..empty_header()
        }
    }

    /// Claims of another root fall within periods of finalizations, whose first height is stored anyway.
    fn time_ms(&self) -> u64 {
        1_700_000_000_100 + 100 * self.height
    }

    fn batch(&mut self, plans: &[TransactionPlan]) -> Arc<CheckedBatch> {
        let transactions = plans.iter().map(|plan| self.transaction(plan)).map(|(id, t)| (id, Arc::new(t))).collect();
        let body = |transactions| BatchBody {
            chain: ChainId([5; 32]),
            shard: ShardId(0),
            epoch: Epoch(0),
            author: ValidatorIndex((self.seq % 4) as u16),
            seq: self.seq,
            previous: BatchDigest::ZERO,
            transactions: BoundedVec::new(transactions).unwrap(),
        };
        let batch = crypto::own_batch(transactions, body, &signer());
        let cursor = &mut self.cursors[(self.seq % 4) as usize];
        *cursor = Cursor { next_seq: cursor.next_seq + 1, tip: batch.digest };
        self.seq += 1;
        self.batches.push(batch.digest);
        Arc::new(batch)
    }

    fn next(&mut self, plan: &Plan) -> HeightCommit {
        let before = self.cursors;
        let (inline_ids, inline): (Vec<_>, Vec<_>) =
            plan.inline.iter().map(|p| self.transaction(p)).map(|(id, t)| (id, t.into_inner())).unzip();
        let batches: Vec<_> = plan.batches.iter().map(|plans| self.batch(plans)).collect();
        let ids = inline_ids.iter().chain(batches.iter().flat_map(|batch| &batch.ids));
        let plans = plan.inline.iter().chain(plan.batches.iter().flatten());
        let executed: Vec<_> = plans.zip(ids).filter(|(plan, _)| plan.executed).collect();
        let receipts = executed.iter().enumerate().map(|(index, (plan, id))| Receipt {
            transaction: **id,
            sender: account(plan.sender),
            nonce: 1 + self.transactions.iter().position(|known| known == *id).unwrap() as u64,
            height: Height(self.height),
            index: index as u32,
            time_ms: self.time_ms(),
            work: 7,
            outcome: match plan.failed {
                true => Outcome::Failed { code: FailureCode::Precondition, operation: 0 },
                false => Outcome::Ok,
            },
        });
        let receipts = receipts.collect();
        let transactions = (plan.batches.iter().map(Vec::len).sum::<usize>() + inline.len()) as u32;
        let mut header = self.header(transactions);
        header.payload_root = crypto::payload_root(&inline, &before, &header.cursors);
        let block = Block { header, inline: BoundedVec::new(inline).unwrap() };
        let digest = crypto::block_digest(&block.header);
        self.blocks.push((Height(self.height), digest));
        let diff = Hash([self.height as u8; 32]);
        let link = ResultLink { receipts: Hash([1; 32]), diff, outbox: Hash::ZERO };
        self.result = match self.height % 6 {
            5 => Hash([self.height as u8; 32]),
            _ => crypto::result_root(&self.result, &link.receipts, &link.diff, &link.outbox),
        };
        let commit = HeightCommit {
            digest,
            inline_ids,
            batches,
            receipts,
            diff: plan.writes.iter().map(|(n, value)| leaf_write(*n, value.clone())).collect(),
            link,
            result_root: self.result,
            finalization: plan.finalized.then(|| finalization(digest)),
            block,
        };
        self.height += 1;
        self.parent = digest;
        commit
    }

    fn empty(&mut self, writes: Vec<(u8, Option<Vec<u8>>)>) -> HeightCommit {
        let plan =
            Plan { inline: vec![], batches: vec![], writes, finalized: false, finalize_later: None, reopen: false };
        self.next(&plan)
    }
}

fn finalization(block: BlockDigest) -> Verified<Certificate> {
    let body = VoteBody {
        chain: ChainId([5; 32]),
        shard: ShardId(0),
        epoch: Epoch(0),
        view: View(1),
        kind: VoteKind::Finalize,
        block,
    };
    let vote = crypto::verify_vote(&signer().public(), signer().sign_vote(ValidatorIndex(0), body)).unwrap();
    crypto::certify(1, &[vote]).unwrap()
}

fn small() -> StoreConfig {
    StoreConfig { cache_bytes: 256 << 10, ..StoreConfig::default() }
}

fn at_rest(key: u8, chain: u8) -> AtRest {
    AtRest::new(Arc::new(MasterKey::from_secret(&[key; 32]).unwrap()), ChainId([chain; 32]))
}

fn try_open(folder: &Path) -> Result<RocksStore, StoreError> {
    RocksStore::open(folder, &small(), &at_rest(1, 5))
}

fn open(folder: &Path) -> RocksStore {
    try_open(folder).unwrap()
}

/// Asks both stores all possible questions.
fn assert_equal(a: &dyn Store, b: &dyn Store, chain: &Chain) {
    assert_eq!(a.tip(), b.tip());
    let digests = chain.blocks.iter().map(|(_, digest)| *digest).chain([BlockDigest([9; 32])]);
    digests.for_each(|digest| assert_eq!(a.height_of(&digest), b.height_of(&digest)));
    for height in (0..chain.height + 2).map(Height) {
        assert_eq!(a.block(height), b.block(height));
        assert_eq!(a.bare_block(height), b.bare_block(height));
        assert_eq!(a.links(height, Height(chain.height)), b.links(height, Height(chain.height)));
        assert_eq!(a.finalization_at_or_above(height), b.finalization_at_or_above(height));
    }
    chain.batches.iter().chain(&[BatchDigest::ZERO]).for_each(|digest| assert_eq!(a.batch(digest), b.batch(digest)));
    chain.transactions.iter().chain(&[TxId::ZERO]).for_each(|id| assert_eq!(a.transaction(id), b.transaction(id)));
    let keys: Vec<StateKey> = (0..=KEYS).map(state_key).collect();
    keys.iter().for_each(|key| assert_eq!(a.state(key), b.state(key)));
    assert_eq!(a.state_at_tip(&keys), b.state_at_tip(&keys));
    let created = (0..ACCOUNTS).map(|n| crypto::account_id(1, &[n; 32]));
    for account in (0..=ACCOUNTS).map(account).chain(created) {
        for limit in [0, 1, 3, usize::MAX] {
            assert_eq!(a.account_transactions(&account, None, limit), b.account_transactions(&account, None, limit));
        }
        // Pages of two entries together give the whole list.
        let whole = b.account_transactions(&account, None, usize::MAX).unwrap();
        let (mut paged, mut before) = (Vec::new(), None);
        loop {
            let page = a.account_transactions(&account, before, 2).unwrap();
            assert_eq!(Ok(&page), b.account_transactions(&account, before, 2).as_ref());
            let Some((height, index, _)) = page.last() else { break };
            before = Some((*height, *index));
            paged.extend(page);
        }
        assert_eq!(paged, whole);
    }
}

static KEYS_WITHOUT_VERSIONS: LazyLock<RowKeys> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    RowKeys::open(folder.path(), &at_rest(1, 5), true).unwrap()
});

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20))]

    #[test]
    fn answers_agree_with_the_model(plans in proptest::collection::vec(plan(), 1..14), two_from in 0u64..14) {
        let folder = TempDir::new().unwrap();
        let two_from = two_from.saturating_sub(4);
        let (mut rocks, model, mut chain) = (open(folder.path()), MemStore::new(), Chain { two_from, ..Chain::default() });
        for plan in &plans {
            let commit = chain.next(plan);
            prop_assert_eq!(rocks.commit(&commit), model.commit(&commit));
            if let Some(index) = plan.finalize_later {
                let (height, digest) = *index.get(&chain.blocks);
                let certificate = finalization(digest);
                prop_assert_eq!(rocks.put_finalization(height, &certificate), Ok(()));
                prop_assert_eq!(model.put_finalization(height, &certificate), Ok(()));
            }
            if plan.reopen {
                drop(rocks);
                rocks = open(folder.path());
                model.restart();
            }
            assert_equal(&rocks, &model, &chain);
        }
        prop_assert_eq!(rocks.sync(), model.sync());
        drop(rocks);
        model.restart();
        assert_equal(&open(folder.path()), &model, &chain);
    }

    #[test]
    fn damaged_rows_are_errors_that_name_them(row in proptest::collection::vec(any::<u8>(), 0..120), version: bool) {
        let row = if version { [&[rows::ROW_VERSION], row.as_slice()].concat() } else { row };
        let _any = rows::decode_head(b"key", &row);
        let _any = rows::decode_small(&row);
        let _any = rows::bare_position(&row);
        let _any = rows::decode_block(b"key", &row, true);
        let _any = rows::decode_receipts(b"key", &row);
        let _any = rows::decode_place(b"key", &row);
        let _any = rows::account_entries(b"key", &row);
        let _any = rows::decode_row::<Batch>(Table::Log, b"key", &row);
        let _any = rows::decode_at::<Transaction>(Table::Log, b"key", &row, 60);
        let error = KEYS_WITHOUT_VERSIONS.open_row(Table::State, b"key", &row).unwrap_err();
        prop_assert!(error.to_string().contains("6b6579") && error.to_string().contains("state"));
    }
}

fn busy_plan(n: u8) -> Plan {
    let transaction =
        |kind| TransactionPlan { sender: n % ACCOUNTS, to: 1, kind, executed: true, failed: false, second: false };
    Plan {
        inline: vec![transaction(0)],
        batches: vec![vec![transaction(4), transaction(1)], vec![transaction(4)]],
        writes: (0..KEYS).map(|key| (key, (key != n).then(|| vec![n; 40]))).collect(),
        finalized: true,
        finalize_later: None,
        reopen: false,
    }
}

#[test]
fn a_log_cut_anywhere_leaves_whole_heights() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let mut chain = Chain::default();
    let commits: Vec<_> = (0..5).map(|n| chain.next(&busy_plan(n))).collect();
    for commit in &commits {
        store.commit(commit).unwrap();
    }
    let logs = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let wal = logs.filter(|path| path.extension().is_some_and(|e| e == "log")).max().unwrap();
    let length = fs::metadata(&wal).unwrap().len();
    let mut tips = Vec::new();
    for cut in (0..=16).map(|n| length * n / 16) {
        let crashed = TempDir::new().unwrap();
        for entry in fs::read_dir(folder.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), crashed.path().join(entry.file_name())).unwrap();
        }
        fs::OpenOptions::new()
            .write(true)
            .open(crashed.path().join(wal.file_name().unwrap()))
            .unwrap()
            .set_len(cut)
            .unwrap();
        let reopened = open(crashed.path());
        let model = MemStore::new();
        let kept = reopened.tip().map_or(0, |tip| tip.height.0 as usize + 1);
        commits[..kept].iter().for_each(|commit| model.commit(commit).unwrap());
        model.restart();
        assert_equal(&reopened, &model, &chain);
        // The store continues from there.
        commits[kept..].iter().for_each(|commit| reopened.commit(commit).unwrap());
        tips.push(kept);
    }
    assert!(tips.is_sorted() && tips[0] == 0 && tips[16] == 5, "{tips:?}");
}

#[test]
fn a_failed_write_changes_nothing_and_can_be_tried_again() {
    let folder = TempDir::new().unwrap();
    let store = FaultyStore::new(Arc::new(open(folder.path())));
    let (mut chain, model) = (Chain::default(), MemStore::new());
    store.fail_write(2, Fault::DiskFull);
    store.fail_sync(1, Fault::Io);
    let (first, second) = (chain.next(&busy_plan(1)), chain.next(&busy_plan(2)));
    store.commit(&first).unwrap();
    model.commit(&first).unwrap();
    assert!(matches!(store.commit(&second), Err(StoreError::DiskFull { .. })));
    assert_equal(&store, &model, &chain);
    assert!(matches!(store.sync(), Err(StoreError::Io { .. })));
    assert_eq!(store.sync(), Ok(Height(0)));
    store.commit(&second).unwrap();
    model.commit(&second).unwrap();
    assert_equal(&store, &model, &chain);
    assert_eq!(store.calls(), (3, 2));
}

#[test]
fn heights_out_of_order_and_contradictory_parts_are_refused() {
    let folder = TempDir::new().unwrap();
    let (rocks, model, mut chain) = (open(folder.path()), MemStore::new(), Chain::default());
    let (first, second, third) = (chain.next(&busy_plan(0)), chain.next(&busy_plan(1)), chain.next(&busy_plan(2)));
    for store in [&rocks as &dyn Store, &model] {
        store.commit(&first).unwrap();
        let gap = StoreError::NotNext { expected: Height(1), got: Height(2) };
        assert_eq!(store.commit(&third), Err(gap));
        let mut stray = second.clone();
        stray.receipts.swap(1, 2);
        stray.receipts.iter_mut().zip(0..).for_each(|(receipt, index)| receipt.index = index);
        assert!(matches!(store.commit(&stray), Err(StoreError::Inconsistent { .. })));
        let mut other = second.clone();
        other.finalization = Some(finalization(first.digest));
        assert!(matches!(store.commit(&other), Err(StoreError::Inconsistent { .. })));
        let certificate = finalization(second.digest);
        assert!(matches!(store.put_finalization(Height(1), &certificate), Err(StoreError::Inconsistent { .. })));
        store.commit(&second).unwrap();
        store.put_finalization(Height(1), &certificate).unwrap();
    }
    assert_equal(&rocks, &model, &chain);
}

#[test]
fn a_damaged_row_is_named_and_another_format_is_refused() {
    let folder = TempDir::new().unwrap();
    let store = open(folder.path());
    let mut chain = Chain::default();
    store.commit(&chain.next(&busy_plan(0))).unwrap();
    let key = rows::head_key(Height(0));
    let store = (drop(store), open(folder.path())).1;
    store.disk.db.put_cf(store.disk.family(Table::Log).unwrap(), key, [1, 2, 3]).unwrap();
    let error = store.block(Height(0)).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { table: "log", key: named, .. } if *named == hex::encode(key)));
    store.disk.db.delete_cf(store.disk.family(Table::Log).unwrap(), key).unwrap();
    assert!(matches!(store.transaction(&chain.transactions[0]), Err(StoreError::Corrupt { table: "log", .. })));
    let row = [&[1], 9u32.to_le_bytes().as_slice()].concat();
    store.disk.db.put_cf(store.disk.family(Table::Meta).unwrap(), rows::FORMAT_KEY, row).unwrap();
    drop(store);
    let refused = try_open(folder.path()).err();
    assert!(matches!(refused, Some(StoreError::Format { found: 9, supported: rows::FORMAT, .. })), "{refused:?}");
}

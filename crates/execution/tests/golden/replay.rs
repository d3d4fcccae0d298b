//! A chain of version 1 whose blocks are drawn from a seed, and what has come of it so far.

use crate::common::*;
use crate::random::Random;
use crate::start::*;
use crate::vectors::{Checkpoint, Vectors};
use rustorium_crypto::{transaction_id, value_hash};
use rustorium_execution::work::{TRANSACTION, worst_case_work};
use rustorium_execution::*;
use rustorium_state::tree::{MemKv, update};
use rustorium_state::workers::Serial;
use rustorium_types::*;
use std::collections::{BTreeMap, BTreeSet};

const SEED: u64 = 0x5e_ed0f_7e51_0001;
/// Heights between the blocks that hold a transfer of `Vectors`.
const TRANSFER_EVERY: u64 = 8;

pub struct Replay {
    pub world: World,
    pub random: Random,
    pub vectors: Vectors,
    /// The kinds of operations that succeeded, the reasons of failures and those of skips.
    pub seen: BTreeSet<String>,
    pub transactions: usize,
    keys: Keys,
    bytes: Hash,
    receipts: Hash,
    tree: MemKv,
    /// Leaves that changed since the last checkpoint.
    changed: BTreeMap<StateKey, Option<Hash>>,
}

impl Replay {
    pub fn new(vectors: &Vectors) -> Self {
        let world = crate::start::start();
        let changed = world.state.iter().map(|(key, value)| (*key, Some(value_hash(value)))).collect();
        Self {
            world,
            random: Random(SEED),
            vectors: vectors.clone(),
            seen: BTreeSet::new(),
            transactions: 0,
            keys: Keys::default(),
            bytes: Hash::ZERO,
            receipts: Hash::ZERO,
            tree: MemKv::default(),
            changed,
        }
    }

    /// Replays blocks until there are at least so many transactions, and returns what has come of them.
    pub fn reach(&mut self, transactions: usize) -> Checkpoint {
        while self.transactions < transactions {
            self.step();
        }
        let changes: Vec<_> = std::mem::take(&mut self.changed).into_iter().collect();
        let diff = update(&TABLES, &self.tree, &changes, &Serial).unwrap();
        let state_root = Hash(diff.root());
        self.tree.apply(diff);
        Checkpoint {
            height: self.world.header.height.0,
            transactions: self.transactions,
            bytes: self.bytes,
            receipts: self.receipts,
            result_root: self.world.root,
            state_root,
        }
    }

    /// Executes the next block.
    fn step(&mut self) {
        let header = self.header();
        let (place, off) = (header.height.0 / TRANSFER_EVERY, header.height.0 % TRANSFER_EVERY);
        let transfer = (off == 0).then(|| self.vectors.transfers.get(place as usize - 1).cloned()).flatten();
        let block = match transfer {
            // Its root is the one of the transfer before, and its sender's quota is full.
            Some(transfer) => {
                let operation = decode(&transfer.operation.0, limits::TRANSACTION_BYTES_MAX).unwrap();
                let nonce = self.nonce(transfer.sender);
                vec![self.sign(&header, transfer.sender, nonce, vec![operation])]
            }
            None => self.block(&header),
        };
        let bytes: Vec<Vec<u8>> = block.iter().map(encode).collect();
        for (transaction, bytes) in block.iter().zip(&bytes) {
            let decoded: Transaction1 = decode(bytes, limits::TRANSACTION_BYTES_MAX).unwrap();
            assert_eq!(decoded, *transaction);
        }
        let listed = listed(&block);
        let transactions = with_ids(&header.chain, &listed);
        let (parameters, previous_root) = (&self.world.genesis.parameters, self.world.root);
        let input = Input { header: &header, parameters, charter: &Charter::ONE_SHARD, previous_root, transactions };
        let execution = execute_with(&input, &MemState(&self.world.state), &self.keys, &Serial).unwrap();
        self.note(&block, &execution);
        self.transactions += block.len();
        self.bytes = value_hash(&[&self.bytes.0[..], &bytes.concat()].concat());
        let skipped: Vec<_> = execution.skipped.iter().map(|(id, skip)| (*id, skip_bytes(skip))).collect();
        self.receipts = value_hash(&[&self.receipts.0[..], &encode(&(&execution.receipts, skipped))].concat());
        self.changed.extend(execution.diff.iter().map(|write| (write.key, write.value.as_deref().map(value_hash))));
        self.world.apply(&execution.diff);
        (self.world.header, self.world.root) = (header, execution.result_root);
    }

    fn header(&mut self) -> Header {
        let next = self.world.next_header();
        let random = &mut self.random;
        let view = View(next.view.0 + random.below(3) as u64);
        let pause_ms = if next.height.0.is_multiple_of(TRANSFER_EVERY) { 10_000 } else { 0 };
        let time_ms = next.time_ms + random.below(200) as u64 + pause_ms;
        let epoch = Epoch(next.height.0 / 97);
        Header { view, time_ms, epoch, proposer: ValidatorIndex((view.0 % 4) as u16), ..next }
    }

    /// Draws a block's transactions, in execution order: those beside the lanes, then the lanes in version 1's order.
    fn block(&mut self, header: &Header) -> Vec<Transaction1> {
        let (mut inline, mut lanes) = (Vec::new(), [const { Vec::new() }; 4]);
        let mut nonces = BTreeMap::new();
        let count = if self.random.one_in(20) { 0 } else { 1 + self.random.below(60) };
        for _ in 0..count {
            let sender = self.sender();
            let group = if self.random.one_in(25) { self.governing() } else { vec![(sender, self.operations(sender))] };
            for (sender, operations) in group {
                let nonce = nonces.entry(sender).or_insert_with(|| self.nonce(sender));
                let mut transaction = self.sign(header, sender, *nonce, operations);
                *nonce += 1;
                if self.spoil(&mut transaction, header) {
                    *nonce -= 1;
                }
                let lane =
                    if inline.len() < 3 && self.random.one_in(60) { &mut inline } else { &mut lanes[sender % 4] };
                lane.push(transaction);
                // Another lane brings it, too.
                if self.random.one_in(60) {
                    let copy = lane[lane.len() - 1].clone();
                    lanes[(sender + 1) % 4].push(copy);
                }
            }
        }
        let order = order(header, &self.world.root, lanes.len());
        let in_lanes = order.into_iter().flat_map(|lane| std::mem::take(&mut lanes[lane]));
        inline.into_iter().chain(in_lanes).collect()
    }

    fn nonce(&self, sender: usize) -> u64 {
        self.world.record(PEOPLE[sender].account).map_or(0, |record| record.nonce)
    }

    fn sender(&mut self) -> usize {
        let number = FOUNDERS + self.random.below(CREATED - FOUNDERS);
        let exists = self.world.state.contains_key(&account_key(PEOPLE[number].account));
        match self.random.below(4) {
            0 if exists => number,
            1 => self.random.below(OPERATORS),
            _ => self.random.below(BUSY),
        }
    }

    fn operations(&mut self, sender: usize) -> Vec<Operation> {
        let count = match self.random.below(60) {
            0..3 => 0,
            3..36 => 1,
            36..59 => 2 + self.random.below(4),
            // These are more leaves than one transaction may write.
            _ => return (0..30).map(|_| self.put(PEOPLE[sender].account)).collect(),
        };
        (0..count).map(|_| self.operation(sender)).collect()
    }

    /// Returns one to three transactions that would change the committee: of operators, an owner or somebody else.
    fn governing(&mut self) -> Vec<(usize, Vec<Operation>)> {
        let change = self.change();
        let first = match self.random.below(8) {
            0 => BUSY - 1,
            1 => *self.random.pick(&OWNERS),
            _ => self.random.below(OPERATORS),
        };
        let approvals = 1 + self.random.below(3);
        let by = |n: usize| if first < OPERATORS { (first + n) % OPERATORS } else { first };
        (0..approvals).map(|n| (by(n), vec![change.clone()])).collect()
    }

    fn sign(&self, header: &Header, sender: usize, nonce: u64, operations: Vec<Operation>) -> Transaction1 {
        let Person { key, account } = PEOPLE[sender];
        let mut body = TransactionBody {
            version: 1,
            chain: header.chain,
            sender: account,
            public_key: key,
            nonce,
            expires_at_ms: header.time_ms + 60_000,
            work_limit: 0,
            shard_hint: None,
            location: None,
            data: BoundedVec::new(operations).unwrap(),
        };
        body.work_limit = worst_case_work(&body);
        // Execution never looks at signatures: batches were checked before.
        Transaction1 { body, signature: [0; 64] }
    }

    /// Changes some transactions so that they fail or are skipped. Returns true for one that must be skipped.
    fn spoil(&mut self, transaction: &mut Transaction1, header: &Header) -> bool {
        let random = &mut self.random;
        let body = &mut transaction.body;
        match random.below(160) {
            0 => body.version = 2,
            1 => body.chain = ChainId([7; 32]),
            2 => body.expires_at_ms = header.time_ms,
            3 => body.sender = PEOPLE[CREATED].account,
            4 => body.public_key = PEOPLE[CREATED].key,
            5 => body.nonce = body.nonce.saturating_sub(1),
            6 => body.nonce += 1 + random.below(3) as u64,
            7 => body.nonce = u64::MAX,
            _ => {
                match random.below(40) {
                    0 => body.work_limit = random.below(body.work_limit as usize) as u64,
                    3 => body.work_limit = TRANSACTION - 1,
                    4..6 => body.work_limit += 10_000,
                    6 => body.work_limit += 300_000,
                    7 => body.shard_hint = Some(ShardId(random.below(3) as u32)),
                    8 => body.location = Some(GeoLocation { latitude_e7: random.below(900) as i32, longitude_e7: -5 }),
                    _ => {}
                }
                return false;
            }
        }
        true
    }

    fn note(&mut self, block: &[Transaction1], execution: &Execution) {
        let by_id: BTreeMap<TxId, &Transaction1> = block.iter().map(|t| (transaction_id(&t.body), t)).collect();
        for receipt in &execution.receipts {
            match receipt.outcome {
                Outcome::Ok => {
                    for operation in by_id[&receipt.transaction].body.data.iter() {
                        let bytes = encode(operation);
                        self.seen.insert(format!("operation {}", bytes[0]));
                        if let Operation::Require(_) = operation {
                            self.seen.insert(format!("condition {}", bytes[1]));
                        }
                    }
                }
                Outcome::Failed { code, .. } => drop(self.seen.insert(format!("failure {}", code as u8))),
            }
        }
        self.seen.extend(execution.skipped.iter().map(|(_, skip)| format!("skip {}", skip_bytes(skip).0)));
    }
}

fn skip_bytes(skip: &Skip) -> (u8, u64) {
    match *skip {
        Skip::WrongChain => (0, 0),
        Skip::WrongVersion => (1, 0),
        Skip::Expired => (2, 0),
        Skip::UnknownSender | Skip::Elsewhere => (3, 0),
        Skip::WrongKey => (4, 0),
        Skip::NonceUsed { expected } => (5, expected),
        Skip::NonceAhead { expected } => (6, expected),
        Skip::QuotaTooSmall { left } => (7, left),
        Skip::WorkTooSmall { left, .. } => (8, left),
        Skip::HistoryTooSmall { left, .. } => (9, left),
        Skip::Frozen { until_ms } => (10, until_ms),
        Skip::Paused { until_ms } => (11, until_ms),
    }
}

//! Signs all transactions and determines when each account sends.

use crate::run::LoadConfig;
use rustorium_crypto::{SigningKey, account_id};
use rustorium_types::{BoundedVec, Key, Operation, TRANSACTION_VERSION, TransactionBody, Value, encode, encode_into};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A time to send, and the account that sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    /// Microseconds after the start.
    pub due_us: u64,
    /// Position among the worker's accounts.
    pub account: u32,
}

/// Transactions and send times of one connection.
pub(crate) struct Plan {
    /// Node that the connection starts with.
    pub target: usize,
    /// Slots, ordered by time.
    pub slots: Vec<Slot>,
    /// Per account: the transactions that aren't in progress, lowest nonce first.
    pub available: Vec<BinaryHeap<Reverse<u32>>>,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Plan {
    /// Returns a transaction's canonical bytes.
    pub fn encoded(&self, transaction: u32) -> &[u8] {
        let index = transaction as usize;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }
}

/// Global numbers of the accounts of each worker, with the worker's target.
fn shares(config: &LoadConfig) -> Vec<(usize, Vec<usize>)> {
    let mut shares: Vec<(usize, Vec<usize>)> = Vec::new();
    for target in 0..config.targets.len() {
        let own: Vec<usize> = (0..config.accounts.len()).filter(|&a| config.accounts[a].target == target).collect();
        let workers = config.connections.min(own.len());
        shares.extend((0..workers).map(|w| (target, own.iter().copied().skip(w).step_by(workers).collect())));
    }
    shares
}

/// Signs everything, one thread per connection.
pub(crate) fn make(config: &LoadConfig) -> Vec<Plan> {
    let shares = shares(config);
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            shares.iter().map(|(target, own)| scope.spawn(move || plan(config, *target, own))).collect();
        threads.into_iter().filter_map(|thread| thread.join().ok()).collect()
    })
}

fn plan(config: &LoadConfig, target: usize, own: &[usize]) -> Plan {
    let (rate, accounts) = (u64::from(config.rate_per_s), config.accounts.len() as u64);
    let total = rate * u64::from(config.seconds);
    // Slot i belongs to account i mod accounts, at i / rate seconds.
    let mut slots: Vec<Slot> = Vec::new();
    for (local, &global) in own.iter().enumerate() {
        let turns = (global as u64..total).step_by(config.accounts.len());
        slots.extend(turns.map(|i| Slot { due_us: i * 1_000_000 / rate, account: local as u32 }));
    }
    slots.sort_by_key(|slot| slot.due_us);
    let mut plan = Plan { target, slots, available: Vec::new(), bytes: Vec::new(), ends: Vec::new() };
    for &global in own {
        let first = global as u64;
        let count = if first < total { (total - first).div_ceil(accounts) } else { 0 };
        let before = plan.ends.len() as u32;
        sign(config, global, count, &mut plan);
        plan.available.push((before..plan.ends.len() as u32).map(Reverse).collect());
    }
    plan
}

/// Distinct, incompressible bytes.
fn filler(label: &str, salt: u64, account: usize, number: u64, length: usize) -> Vec<u8> {
    let mut seed = Vec::with_capacity(64);
    seed.extend_from_slice(label.as_bytes());
    encode_into(&(salt, account as u64, number), &mut seed);
    let mut out = Vec::with_capacity(length + 32);
    let mut block = 0u64;
    while out.len() < length {
        out.extend_from_slice(&rustorium_crypto::hash(b"rustorium/load/v1\0", &[&block.to_le_bytes(), &seed]));
        block += 1;
    }
    out.truncate(length);
    out
}

fn sign(config: &LoadConfig, global: usize, count: u64, plan: &mut Plan) {
    let account = &config.accounts[global];
    let key = SigningKey::from_seed(&account.seed);
    let sender = account_id(account.region, &key.public());
    let expires_in_ms = u64::try_from(config.expires_in.as_millis()).unwrap_or(u64::MAX);
    for number in 0..count {
        let name = filler("key", config.salt, global, number, 16);
        let value = filler("value", config.value_salt, global, number, config.value_bytes);
        // All are within their limits: 16 bytes, what `check` has checked, and one operation.
        let (Ok(name), Ok(value)) = (Key::new(name), Value::new(value)) else { return };
        let data = BoundedVec::new(vec![Operation::Put { namespace: sender, key: name, value }]);
        let body = TransactionBody {
            version: TRANSACTION_VERSION,
            chain: config.chain,
            sender,
            public_key: key.public(),
            nonce: account.nonce + number,
            expires_at_ms: config.now_ms.saturating_add(expires_in_ms),
            work_limit: config.work_limit,
            shard_hint: None,
            location: None,
            data: data.unwrap_or_default(),
        };
        plan.bytes.extend_from_slice(&encode(&*key.sign_transaction(body)));
        plan.ends.push(plan.bytes.len());
    }
}

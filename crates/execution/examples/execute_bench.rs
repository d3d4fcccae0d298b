//! How long executing one `Put` takes, state reads and signatures excluded: 256-byte values, distinct keys, 64 senders.

use rustorium_crypto::{account_id, id_on};
use rustorium_execution::{Input, LimitedRead, StateRead, StateReadError, execute, genesis};
use rustorium_types::{
    BoundedBytes, BoundedVec, Charter, Genesis, GenesisAccount, Header, Height, Key, NEWEST_VERSION, Operation,
    Parameters, ShardId, StateKey, TRANSACTION_VERSION, Transaction, Transaction1, TransactionBody, Validator, Value,
};
use std::collections::HashMap;
use std::time::Instant;

const SENDERS: u64 = 64;
const BLOCKS: u64 = 20;
const PER_BLOCK: u64 = 4096;

struct Memory(HashMap<StateKey, Vec<u8>>);

impl StateRead for Memory {
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateReadError> {
        Ok(self.0.get(key).cloned())
    }
}

impl LimitedRead for Memory {}

fn public_key(sender: u64) -> [u8; 32] {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&sender.to_be_bytes());
    key
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let accounts = (0..SENDERS).map(|sender| GenesisAccount {
        region: 0,
        public_key: public_key(sender),
        storage_bytes: 1 << 40,
        balances: BoundedVec::default(),
    });
    let name = BoundedBytes::new(b"bench".to_vec())?;
    let validator = Validator {
        name: name.clone(),
        validator_key: [1; 32],
        node_key: [2; 32],
        owner_key: [3; 32],
        region: 0,
        address: BoundedBytes::default(),
    };
    let made = Genesis {
        version: NEWEST_VERSION,
        name,
        time_ms: 1_800_000_000_000,
        parameters: Parameters::default(),
        validators: BoundedVec::new(vec![validator])?,
        accounts: BoundedVec::new(accounts.collect())?,
        pools: BoundedVec::default(),
        sponsors: BoundedVec::default(),
        shards: BoundedVec::default(),
    };
    let start = genesis(&made, ShardId::ROOT);
    let mut state = Memory(start.diff.into_iter().filter_map(|write| Some((write.key, write.value?))).collect());
    let (mut root, mut number, mut total) = (start.result_root, 0, std::time::Duration::ZERO);
    for height in 1..=BLOCKS {
        let header = Header {
            chain: rustorium_crypto::chain_id(&made),
            height: Height(height),
            time_ms: made.time_ms + 100 * height,
            ..start.header.clone()
        };
        let block = (0..PER_BLOCK).map(|_| {
            number += 1;
            put(&header, number - 1)
        });
        let block = block.collect::<Result<Vec<_>, _>>()?;
        let transactions = block.iter().map(|one| (id_on(&header.chain, one), one)).collect();
        let input = Input {
            header: &header,
            parameters: &made.parameters,
            charter: &Charter::ONE_SHARD,
            previous_root: root,
            transactions,
        };
        let began = Instant::now();
        let execution = execute(&input, &state)?;
        total += began.elapsed();
        if execution.receipts.len() as u64 != PER_BLOCK {
            return Err("not every transaction was executed".into());
        }
        root = execution.result_root;
        state.0.extend(execution.diff.into_iter().filter_map(|write| Some((write.key, write.value?))));
    }
    let puts = BLOCKS * PER_BLOCK;
    println!("{puts} puts, {} ns each, result root {root}", total.as_nanos() / u128::from(puts));
    Ok(())
}

fn put(header: &Header, number: u64) -> Result<Transaction, Box<dyn std::error::Error>> {
    let key = public_key(number % SENDERS);
    let sender = account_id(0, &key);
    let operation = Operation::Put {
        namespace: sender,
        key: Key::new(number.to_be_bytes().to_vec())?,
        value: Value::new(vec![number as u8; 256])?,
    };
    let body = TransactionBody {
        version: TRANSACTION_VERSION,
        chain: header.chain,
        sender,
        public_key: key,
        nonce: number / SENDERS,
        expires_at_ms: u64::MAX,
        work_limit: 1_000,
        shard_hint: None,
        location: None,
        data: BoundedVec::new(vec![operation])?,
    };
    Ok(Transaction1 { body, signature: [0; 64] }.into())
}

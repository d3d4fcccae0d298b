//! A small chain to execute on: accounts by number, transactions by their operations.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chain;
mod custody;
mod epochs;
mod finals;
mod light_vectors;
mod order_vectors;
mod owners;
pub mod provers;
mod quota_vectors;
mod reads;
mod record_vectors;
mod seats;
mod second;
mod terms;
mod vectors;
mod work_vectors;

pub use chain::*;
pub use custody::*;
pub use epochs::*;
pub use finals::*;
pub use light_vectors::*;
pub use order_vectors::*;
pub use owners::*;
pub use quota_vectors::*;
pub use reads::*;
pub use record_vectors::*;
use rustorium_crypto::{account_id, id_on};
use rustorium_execution::*;
use rustorium_types::*;
pub use seats::*;
pub use second::*;
use std::collections::BTreeMap;
pub use terms::*;
pub use vectors::*;
pub use work_vectors::*;

pub type State = BTreeMap<StateKey, Vec<u8>>;

pub struct MemState<'a>(pub &'a State);

impl StateRead for MemState<'_> {
    fn get(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateReadError> {
        Ok(self.0.get(key).cloned())
    }
}

impl LimitedRead for MemState<'_> {}

pub const STORAGE: u64 = 20_000;
pub const ACCOUNTS: usize = 4;
pub const WORK: u64 = 100_000;

pub fn make_genesis(parameters: Parameters) -> Genesis {
    genesis_of(ACCOUNTS, STORAGE, parameters)
}

/// Returns transactions as batches list them.
pub fn listed(transactions: &[Transaction1]) -> Vec<Transaction> {
    transactions.iter().cloned().map(Transaction::V1).collect()
}

/// Returns each transaction of this chain with its id.
pub fn with_ids<'a>(chain: &ChainId, transactions: &'a [Transaction]) -> Vec<(TxId, &'a Transaction)> {
    transactions.iter().map(|transaction| (id_on(chain, transaction), transaction)).collect()
}

#[derive(Clone)]
pub struct World {
    pub genesis: Genesis,
    pub state: State,
    pub header: Header,
    pub root: Hash,
    pub charter: Charter,
}

impl World {
    pub fn new() -> Self {
        Self::with(Parameters::default())
    }

    pub fn with(parameters: Parameters) -> Self {
        Self::of(make_genesis(parameters))
    }

    pub fn of(made: Genesis) -> Self {
        Self::of_shard(made, ShardId::ROOT)
    }

    pub fn of_shard(made: Genesis, shard: ShardId) -> Self {
        let start = genesis(&made, shard);
        let state = start.diff.into_iter().map(|write| (write.key, write.value.unwrap())).collect();
        let header = Header { chain: hashes(&made, shard).chain, ..start.header };
        let charter = made.charter(shard);
        Self { genesis: made, state, header, root: start.result_root, charter }
    }

    /// A transaction with the sender's next nonce.
    pub fn sign(&self, sender: usize, operations: Vec<Operation>) -> Transaction1 {
        let nonce = self.record(account(sender)).map_or(0, |record| record.nonce);
        self.sign_at(sender, nonce, operations)
    }

    pub fn sign_at(&self, sender: usize, nonce: u64, operations: Vec<Operation>) -> Transaction1 {
        let body = TransactionBody {
            version: TRANSACTION_VERSION,
            chain: self.header.chain,
            sender: account(sender),
            public_key: signer(sender).public(),
            nonce,
            expires_at_ms: self.header.time_ms + 60_000,
            work_limit: WORK,
            shard_hint: None,
            location: None,
            data: BoundedVec::new(operations).unwrap(),
        };
        // Execution never looks at signatures: batches were checked before.
        Transaction1 { body, signature: [0; 64] }
    }

    pub fn next_header(&self) -> Header {
        let header = &self.header;
        let (height, view) = (header.height.next(), header.view.next());
        Header { height, view, time_ms: header.time_ms + 10, ..header.clone() }
    }

    /// The input of a block above the state.
    pub fn input<'a>(&'a self, header: &'a Header, transactions: Vec<(TxId, &'a Transaction)>) -> Input<'a> {
        let (parameters, charter) = (&self.genesis.parameters, &self.charter);
        Input { header, parameters, charter, previous_root: self.root, transactions }
    }

    /// Executes a block without changing the state.
    pub fn look(&self, header: &Header, transactions: &[Transaction1]) -> Execution {
        self.look_at(header, &listed(transactions))
    }

    /// Does the same with transactions in any form.
    pub fn look_at(&self, header: &Header, transactions: &[Transaction]) -> Execution {
        let input = self.input(header, with_ids(&header.chain, transactions));
        execute(&input, &MemState(&self.state)).expect("the state can be read")
    }

    pub fn apply(&mut self, diff: &[LeafWrite]) {
        for LeafWrite { key, name, value } in diff {
            assert!(is_name(key, name));
            match value {
                Some(value) => self.state.insert(*key, value.clone()),
                None => self.state.remove(key),
            };
        }
    }

    /// Executes the next block.
    pub fn run(&mut self, transactions: &[Transaction1]) -> Execution {
        self.run_listed(&listed(transactions))
    }

    /// Does the same with transactions in any form.
    pub fn run_listed(&mut self, transactions: &[Transaction]) -> Execution {
        let header = self.next_header();
        let execution = self.look_at(&header, transactions);
        self.apply(&execution.diff);
        self.header = header;
        self.root = execution.result_root;
        execution
    }

    /// Executes a block of one transaction with these operations, which must have a receipt.
    pub fn outcome(&mut self, sender: usize, operations: Vec<Operation>) -> Outcome {
        let transaction = self.sign(sender, operations);
        self.run(&[transaction]).receipts[0].outcome
    }

    pub fn ok(&mut self, sender: usize, operations: Vec<Operation>) {
        assert_eq!(self.outcome(sender, operations), Outcome::Ok);
    }

    pub fn fails(&mut self, sender: usize, operations: Vec<Operation>, code: FailureCode) {
        let operation = operations.len() as u16 - 1;
        let before = self.state.clone();
        assert_eq!(self.outcome(sender, operations), Outcome::Failed { code, operation });
        self.assert_only_nonce_and_quota_changed(&before, account(sender));
    }

    pub fn assert_only_nonce_and_quota_changed(&self, before: &State, sender: AccountId) {
        let key = account_key(sender);
        let mut after = self.state.clone();
        let old = AccountRecord2::from_bytes(&before[&key]).unwrap();
        let new = AccountRecord2::from_bytes(&after[&key]).unwrap();
        assert_eq!(new.nonce, old.nonce + 1);
        assert_eq!(new, AccountRecord2 { nonce: new.nonce, work: new.work, history: new.history, ..old });
        after.insert(key, before[&key].clone());
        assert_eq!(without_sponsors(after), without_sponsors(before.clone()));
    }

    pub fn record(&self, account: AccountId) -> Option<AccountRecord2> {
        self.state.get(&account_key(account)).map(|bytes| AccountRecord2::from_bytes(bytes).unwrap())
    }

    pub fn storage_left(&self, number: usize) -> u64 {
        self.record(account(number)).unwrap().storage_bytes_left
    }

    pub fn balance(&self, number: usize, asset: AssetId) -> u128 {
        self.state.get(&balance_key(account(number), asset)).map_or(0, |bytes| decode_amount(bytes).unwrap())
    }

    pub fn value(&self, number: usize, key: &[u8]) -> Option<&Vec<u8>> {
        self.state.get(&data_key(account(number), key))
    }

    /// Returns the bytes that all accounts may still store plus those that all leaves take.
    pub fn storage_total(&self, accounts: &[AccountId]) -> u64 {
        let left: u64 = accounts.iter().filter_map(|a| self.record(*a)).map(|r| r.storage_bytes_left).sum();
        let paid = without_sponsors(self.state.clone());
        left + paid.iter().map(|(key, value)| self.charged(key, value)).sum::<u64>()
    }

    /// Returns the bytes that a leaf is charged for: a record by the version that made it, whatever its form is now.
    fn charged(&self, key: &StateKey, value: &[u8]) -> u64 {
        let of_genesis = |one: &GenesisAccount| account_id(one.region, &one.public_key) == key.account;
        let in_second_form = AccountRecord::from_bytes(value).is_err();
        if *key == account_key(key.account) && in_second_form {
            let migrated = self.genesis.accounts.iter().any(of_genesis);
            return if migrated { 128 } else { NEW_RECORD_STORAGE };
        }
        LEAF_KEY_BYTES + value.len() as u64
    }
}

/// Returns the state without the leaves of the common sponsor and of the first others, which nobody pays for.
pub fn without_sponsors(mut state: State) -> State {
    state.retain(|key, _| (0..4).all(|number| *key != sponsor_key(number)));
    state
}

pub fn key(text: &[u8]) -> Key {
    Key::new(text.to_vec()).unwrap()
}

pub fn put(namespace: usize, name: &[u8], value: &[u8]) -> Operation {
    Operation::Put { namespace: account(namespace), key: key(name), value: Value::new(value.to_vec()).unwrap() }
}

pub fn delete(namespace: usize, name: &[u8]) -> Operation {
    Operation::Delete { namespace: account(namespace), key: key(name) }
}

pub fn transfer(to: usize, amount: u128) -> Operation {
    Operation::Transfer { to: account(to), asset: gold(), amount }
}

pub fn issue(symbol: &[u8], to: usize, amount: u128) -> Operation {
    Operation::Issue { symbol: Symbol::new(symbol.to_vec()).unwrap(), to: account(to), amount }
}

pub fn grant(to: usize, prefixes: &[&[u8]]) -> Operation {
    let prefixes = BoundedVec::new(prefixes.iter().map(|prefix| key(prefix)).collect()).unwrap();
    Operation::Grant { to: account(to), prefixes }
}

pub fn create(number: usize, storage_bytes: u64) -> Operation {
    Operation::CreateAccount { region: REGION, public_key: signer(number).public(), storage_bytes }
}

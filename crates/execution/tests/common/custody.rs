//! Changes of accounts' keys with a wait, and recoveries, by the numbers of accounts and keys.

use super::*;

pub const HOUR_MS: u64 = 3_600_000;

/// Returns the authority of this key alone.
pub fn one(number: usize) -> Authority {
    authority_of(1, &[number])
}

/// Returns settings of keys, a delay, and a recovery account.
pub fn settings(authority: &Authority, delay_ms: u64, recovery: Option<Recovery>) -> AuthoritySettings {
    AuthoritySettings { authority: authority.clone(), delay_ms, recovery }
}

/// Returns a recovery account by its number.
pub fn recovery(number: usize, delay_ms: u64, is_final: bool) -> Option<Recovery> {
    Some(Recovery { account: account(number), delay_ms, is_final })
}

/// Returns the operation that changes settings, and leaves grants as they are.
pub fn set(settings: AuthoritySettings) -> Operation2 {
    Operation2::SetAuthority { settings, void_grants: false }
}

/// Returns the operation that recovers an account.
pub fn recover(number: usize, authority: &Authority) -> Operation2 {
    Operation2::Recover { account: account(number), authority: authority.clone() }
}

/// Returns the operation that puts a value into the sender's namespace.
pub fn put_own(name: &[u8]) -> Operation2 {
    Operation2::Put { namespace: None, key: key(name), value: Value::default() }
}

impl World {
    /// A transaction of an account with this nonce, by this authority.
    pub fn by(&self, number: usize, nonce: u64, authority: &Authority, operations: Vec<Operation2>) -> Transaction {
        with_operations(authority.clone(), &self.sign_at(number, nonce, vec![]), operations)
    }

    /// Executes a block of one transaction of an account with its next nonce: its outcome, or why it is skipped.
    pub fn act(&mut self, number: usize, authority: &Authority, operations: Vec<Operation2>) -> Result<Outcome, Skip> {
        let nonce = self.record(account(number)).map_or(0, |record| record.nonce);
        let transaction = self.by(number, nonce, authority, operations);
        let least = least_work_of(Rules::V2, &transaction);
        let execution = self.run_listed(&[transaction]);
        let receipt = execution.receipts.first().ok_or_else(|| execution.skipped[0].1)?;
        assert!(receipt.work <= least, "what it declares is enough");
        Ok(receipt.outcome)
    }

    /// Lets so much time pass that the next block has this time.
    pub fn wait_until(&mut self, time_ms: u64) {
        self.header.time_ms = time_ms - 10;
    }

    /// Returns an account's custody leaf.
    pub fn custody(&self, number: usize) -> Option<CustodyRecord> {
        self.state.get(&custody_key(account(number))).map(|bytes| CustodyRecord::from_bytes(bytes).unwrap())
    }

    /// Returns the header time of the effect of the change that waits.
    pub fn due_ms(&self, number: usize) -> u64 {
        self.custody(number).unwrap().pending.unwrap().due_ms
    }
}

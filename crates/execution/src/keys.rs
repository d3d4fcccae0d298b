//! The names of state leaves: which key holds an account's record, a balance, a value, a grant.

use rustorium_crypto::state_key;
use rustorium_types::{AccountId, AssetId, Operation, SYSTEM_ACCOUNT, StateKey, encode};
use std::sync::LazyLock;

const ACCOUNT: u8 = 0;
const BALANCE: u8 = 1;
const DATA: u8 = 2;
const GRANT: u8 = 3;
const COMMITTEE: u8 = 4;
const APPROVAL: u8 = 5;

// The same name in every account, so it is hashed once.
static ACCOUNT_NAME: LazyLock<[u8; 32]> = LazyLock::new(|| state_key(AccountId::default(), ACCOUNT, &[]).name);

/// The key of an account's own record.
pub fn account_key(account: AccountId) -> StateKey {
    StateKey { account, name: *ACCOUNT_NAME }
}

/// The key of what `account` holds of `asset`.
pub fn balance_key(account: AccountId, asset: AssetId) -> StateKey {
    state_key(account, BALANCE, &asset.0)
}

/// The key of the value that `key` has in `namespace`.
pub fn data_key(namespace: AccountId, key: &[u8]) -> StateKey {
    state_key(namespace, DATA, key)
}

/// The key of what `namespace` lets `grantee` write.
pub fn grant_key(namespace: AccountId, grantee: AccountId) -> StateKey {
    state_key(namespace, GRANT, &grantee.0)
}

/// The key of the committee record.
pub fn committee_key() -> StateKey {
    state_key(SYSTEM_ACCOUNT, COMMITTEE, &[])
}

/// The key of the approvals of a change of the committee.
pub(crate) fn approval_key(change: &Operation) -> StateKey {
    state_key(SYSTEM_ACCOUNT, APPROVAL, &encode(change))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_of_leaf_never_share_a_key() {
        let account = AccountId([7; 32]);
        let keys = [
            account_key(account),
            balance_key(account, AssetId([7; 32])),
            data_key(account, &[7; 32]),
            grant_key(account, account),
            data_key(account, &[]),
            StateKey { account, ..committee_key() },
            StateKey { account, ..approval_key(&Operation::EndEpoch { epoch: rustorium_types::Epoch(0) }) },
        ];
        for (i, a) in keys.iter().enumerate() {
            assert_eq!(a.account, account);
            assert!(keys[i + 1..].iter().all(|b| a != b));
        }
    }
}

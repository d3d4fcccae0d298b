//! The names of state leaves: the keys of an account's record, a balance, a value, a grant.
//!
//! *Invariants:* a leaf's key contains the hash of its name. The name begins with the leaf's kind, so two different
//! leaves never have the same name.

use crate::v1::ledger::Kind;
use crate::v1::verifiers::place_of;
use rustorium_crypto::{domain, hash, pool_account, state_key, statement_hash};
use rustorium_types::{
    AccountId, AssetId, Hash, Operation, PublicInput, PublicKey, SYSTEM_ACCOUNT, StateKey, VerifierId, encode,
};
use rustorium_zk::shielded::tree::ROOTS_KEPT;
use std::sync::LazyLock;

const ACCOUNT: u8 = 0;
const BALANCE: u8 = 1;
const DATA: u8 = 2;
const GRANT: u8 = 3;
const COMMITTEE: u8 = 4;
const APPROVAL: u8 = 5;
const VERIFIER: u8 = 6;
const STATEMENT: u8 = 7;
const INPUT: u8 = 8;
const RETIRED: u8 = 9;
const CUSTODY: u8 = 10;
const SPONSOR: u8 = 13;
const GOVERNANCE: u8 = 16;
const PROPOSAL: u8 = 17;
const OWNER: u8 = 20;
const WISHES: u8 = 21;

// Every account has the same names here, so they are hashed only once.
static ACCOUNT_NAME: LazyLock<[u8; 32]> = LazyLock::new(|| state_key(AccountId::default(), ACCOUNT, &[]).name);
static CUSTODY_NAME: LazyLock<[u8; 32]> = LazyLock::new(|| state_key(AccountId::default(), CUSTODY, &[]).name);

/// A value in the namespace of a pool's account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PoolRow {
    /// The verifying key of the pool's transfers.
    Key,
    /// The pool's head: tree, newest root, digest of the records.
    Head,
    /// A root that a transfer may refer to. The value is its number, 8 bytes, little-endian.
    Root(PublicInput),
    /// The one of the newest roots whose number has this remainder.
    Slot(u16),
    /// A used nullifier. The value is the number of the transfer, 8 bytes, little-endian.
    Spent(PublicInput),
    /// The data for wallets of the transfer with this number.
    Record(u64),
}

impl PoolRow {
    /// Returns the slot of root number `number`.
    pub fn slot(number: u64) -> Self {
        Self::Slot((number % ROOTS_KEPT as u64) as u16)
    }

    /// Returns the key in the namespace.
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Key => b"key".to_vec(),
            Self::Head => b"head".to_vec(),
            Self::Root(root) => [&b"root/"[..], root].concat(),
            Self::Slot(slot) => [&b"slot/"[..], &slot.to_be_bytes()].concat(),
            Self::Spent(nullifier) => [&b"spent/"[..], nullifier].concat(),
            Self::Record(number) => [&b"record/"[..], &number.to_be_bytes()].concat(),
        }
    }
}

/// The name of an account's leaf.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name<'a> {
    /// The account's record.
    Account,
    /// The account's balance of an asset.
    Balance(AssetId),
    /// A value in the account's namespace.
    Data(&'a [u8]),
    /// The rights of another account to write in this one's namespace.
    Grant(AccountId),
    /// The account's settings and the change of them that waits, from version 2 on.
    Custody,
    /// The committee record, in the system account.
    Committee,
    /// The approvals of a change of the committee, in the system account.
    Approval(&'a Operation),
    /// A key that no validator may have again, in the system account.
    Retired(PublicKey),
    /// The seats, open proposals and pauses, in the system account.
    Governance,
    /// A proposal of a seat, in the system account.
    Proposal(u64),
    /// Nonce and room of the owner of the validator with this number, in the system account.
    Owner(u32),
    /// The owners' wishes for other operators, in the system account.
    Wishes,
    /// A verifier's key, under the verifier's id.
    Verifier,
    /// The record that a statement with these inputs was proved, under the verifier's id.
    Statement(Hash),
    /// The record that a statement was proved in which this input has this value, under the verifier's id.
    Input(u8, PublicInput),
    /// A value in the namespace of a pool's account.
    Pool(PoolRow),
    /// A sponsor's shares and paces, in the system account.
    Sponsor(u32),
}

impl Name<'_> {
    /// Returns the leaf's key.
    pub(crate) fn key(self, account: AccountId) -> StateKey {
        match self {
            Name::Account => account_key(account),
            Name::Balance(asset) => balance_key(account, asset),
            Name::Data(key) => data_key(account, key),
            Name::Grant(grantee) => grant_key(account, grantee),
            Name::Custody => custody_key(account),
            Name::Committee => state_key(account, COMMITTEE, &[]),
            Name::Approval(change) => state_key(account, APPROVAL, &encode(change)),
            Name::Retired(key) => state_key(account, RETIRED, &key),
            Name::Governance => state_key(account, GOVERNANCE, &[]),
            Name::Proposal(number) => state_key(account, PROPOSAL, &number.to_be_bytes()),
            Name::Owner(number) => state_key(account, OWNER, &number.to_be_bytes()),
            Name::Wishes => state_key(account, WISHES, &[]),
            Name::Verifier => state_key(account, VERIFIER, &[]),
            Name::Statement(inputs) => state_key(account, STATEMENT, &inputs.0),
            Name::Input(index, value) => state_key(account, INPUT, &input_name(index, &value)),
            Name::Pool(row) => data_key(account, &row.bytes()),
            Name::Sponsor(number) => state_key(account, SPONSOR, &number.to_le_bytes()),
        }
    }

    /// Returns the meaning of the leaf's bytes.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Name::Account => Kind::Account,
            Name::Balance(_) => Kind::Amount,
            Name::Data(_)
            | Name::Grant(_)
            | Name::Custody
            | Name::Committee
            | Name::Approval(_)
            | Name::Retired(_)
            | Name::Governance
            | Name::Proposal(_)
            | Name::Owner(_)
            | Name::Wishes
            | Name::Verifier
            | Name::Statement(_)
            | Name::Input(..)
            | Name::Pool(_)
            | Name::Sponsor(_) => Kind::Bytes,
        }
    }

    /// Returns the name's bytes: the kind of leaf, then the part that distinguishes it from others of its kind.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let (kind, rest): (u8, &[u8]) = match &self {
            Name::Account => (ACCOUNT, &[]),
            Name::Balance(asset) => (BALANCE, &asset.0),
            Name::Data(key) => (DATA, key),
            Name::Grant(grantee) => (GRANT, &grantee.0),
            Name::Custody => (CUSTODY, &[]),
            Name::Committee => (COMMITTEE, &[]),
            Name::Approval(change) => return [&[APPROVAL], &*encode(*change)].concat(),
            Name::Retired(key) => (RETIRED, key),
            Name::Governance => (GOVERNANCE, &[]),
            Name::Proposal(number) => return [&[PROPOSAL], &number.to_be_bytes()[..]].concat(),
            Name::Owner(number) => return [&[OWNER], &number.to_be_bytes()[..]].concat(),
            Name::Wishes => (WISHES, &[]),
            Name::Verifier => (VERIFIER, &[]),
            Name::Statement(inputs) => (STATEMENT, &inputs.0),
            Name::Input(index, value) => return [&[INPUT], &input_name(*index, value)[..]].concat(),
            Name::Pool(row) => return [&[DATA], &row.bytes()[..]].concat(),
            Name::Sponsor(number) => return [&[SPONSOR], &number.to_le_bytes()[..]].concat(),
        };
        [&[kind], rest].concat()
    }
}

fn input_name(index: u8, value: &PublicInput) -> [u8; 33] {
    let mut name = [index; 33];
    name[1..].copy_from_slice(value);
    name
}

/// Tells if these bytes are the name of the leaf at `key`.
pub fn is_name(key: &StateKey, name: &[u8]) -> bool {
    !name.is_empty() && hash(domain::NAME, &[name]) == key.name
}

/// Returns the key in the account's namespace; `None` unless these bytes name a value there.
pub fn name_of_data(name: &[u8]) -> Option<&[u8]> {
    name.strip_prefix(&[DATA])
}

/// Returns the asset of a balance; `None` unless these bytes name a balance.
pub fn asset_of_balance(name: &[u8]) -> Option<AssetId> {
    name.strip_prefix(&[BALANCE])?.try_into().ok().map(AssetId)
}

/// Returns the account to which the leaf with this name gives rights; `None` if it is no grant.
pub fn grantee_of(name: &[u8]) -> Option<AccountId> {
    name.strip_prefix(&[GRANT])?.try_into().ok().map(AccountId)
}

/// Returns the key of an account's own record.
pub fn account_key(account: AccountId) -> StateKey {
    StateKey { account, name: *ACCOUNT_NAME }
}

/// Returns the key of `account`'s balance of `asset`.
pub fn balance_key(account: AccountId, asset: AssetId) -> StateKey {
    state_key(account, BALANCE, &asset.0)
}

/// Returns the leaf key of the value of `key` in `namespace`.
pub fn data_key(namespace: AccountId, key: &[u8]) -> StateKey {
    state_key(namespace, DATA, key)
}

/// Returns the key of the grant with which `namespace` lets `grantee` write.
pub fn grant_key(namespace: AccountId, grantee: AccountId) -> StateKey {
    state_key(namespace, GRANT, &grantee.0)
}

/// Returns the key of an account's custody leaf.
pub fn custody_key(account: AccountId) -> StateKey {
    StateKey { account, name: *CUSTODY_NAME }
}

/// Returns the key of a verifier's record.
pub fn verifier_key(verifier: VerifierId) -> StateKey {
    Name::Verifier.key(place_of(verifier))
}

/// Returns the key of the record that a statement with these inputs was proved.
pub fn statement_key(verifier: VerifierId, inputs: &[PublicInput]) -> StateKey {
    Name::Statement(statement_hash(inputs)).key(place_of(verifier))
}

/// Returns the key of a pool's leaf.
pub fn pool_key(number: u32, row: PoolRow) -> StateKey {
    Name::Pool(row).key(pool_account(number))
}

/// Returns the key of the committee record.
pub fn committee_key() -> StateKey {
    Name::Committee.key(SYSTEM_ACCOUNT)
}

/// Returns the key of a sponsor's record.
pub fn sponsor_key(number: u32) -> StateKey {
    Name::Sponsor(number).key(SYSTEM_ACCOUNT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_belongs_to_its_key_alone() {
        let account = AccountId([7; 32]);
        let names = [
            Name::Account,
            Name::Balance(AssetId([7; 32])),
            Name::Data(b"k"),
            Name::Data(&[7; 32]),
            Name::Data(&[]),
            Name::Grant(account),
            Name::Custody,
            Name::Committee,
            Name::Approval(&Operation::EndEpoch { epoch: rustorium_types::Epoch(0) }),
            Name::Retired([7; 32]),
            Name::Governance,
            Name::Proposal(7),
            Name::Proposal(8),
            Name::Owner(7),
            Name::Owner(8),
            Name::Verifier,
            Name::Statement(Hash([7; 32])),
            Name::Input(7, [7; 32]),
            Name::Input(8, [7; 32]),
            Name::Pool(PoolRow::Key),
            Name::Pool(PoolRow::Head),
            Name::Pool(PoolRow::Root([7; 32])),
            Name::Pool(PoolRow::Spent([7; 32])),
            Name::Pool(PoolRow::slot(7)),
            Name::Pool(PoolRow::slot(8)),
            Name::Pool(PoolRow::Record(7)),
            Name::Sponsor(7),
            Name::Sponsor(8),
        ];
        for (i, a) in names.iter().enumerate() {
            let same = |b: &Name<'_>| is_name(&b.key(account), &a.to_bytes());
            assert_eq!(names.iter().filter(|b| same(b)).count(), 1);
            assert!(same(&names[i]));
        }
        assert!(!is_name(&Name::Account.key(account), &[]));
        assert_eq!(name_of_data(&Name::Data(b"k").to_bytes()), Some(&b"k"[..]));
        assert_eq!(name_of_data(&Name::Account.to_bytes()), None);
        assert_eq!(asset_of_balance(&Name::Balance(AssetId([7; 32])).to_bytes()), Some(AssetId([7; 32])));
        assert_eq!(asset_of_balance(&Name::Data(&[7; 32]).to_bytes()), None);
        assert_eq!(asset_of_balance(&[BALANCE, 7]), None);
        let grantee = AccountId([7; 32]);
        assert_eq!(grantee_of(&Name::Grant(grantee).to_bytes()), Some(grantee));
        assert_eq!((grantee_of(&Name::Data(&[7; 32]).to_bytes()), grantee_of(&[GRANT, 7])), (None, None));
    }

    #[test]
    fn kinds_of_leaf_never_share_a_key() {
        let account = AccountId([7; 32]);
        let keys = [
            account_key(account),
            balance_key(account, AssetId([7; 32])),
            data_key(account, &[7; 32]),
            grant_key(account, account),
            data_key(account, &[]),
            custody_key(account),
            StateKey { account, ..committee_key() },
            Name::Approval(&Operation::EndEpoch { epoch: rustorium_types::Epoch(0) }).key(account),
            Name::Retired([7; 32]).key(account),
            Name::Governance.key(account),
            Name::Proposal(7).key(account),
            Name::Owner(7).key(account),
            verifier_key(VerifierId([7; 32])),
            statement_key(VerifierId([7; 32]), &[]),
            Name::Input(7, [7; 32]).key(account),
            Name::Sponsor(7).key(account),
        ];
        for (i, a) in keys.iter().enumerate() {
            assert_eq!(a.account, account);
            assert!(keys[i + 1..].iter().all(|b| a != b));
        }
    }
}

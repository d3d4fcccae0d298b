//! Pages of keys, balances and versions of the node in memory, and who governs it.

use rustorium_api::json::GovernanceNote;
use rustorium_api::*;
use rustorium_crypto::{change_hash, value_hash};
use rustorium_execution::{
    AccountRecord, CommitteeRecord, GovernanceRecord, Grant, OpenProposal, OwnerRecord, Pause, ProposalRecord,
    SeatApproval, Wish, Wishes,
};
use rustorium_types::{
    AccountId, AssetId, BoundedBytes, BoundedVec, Epoch, Genesis, GovernanceChange, Height, LeafValue, Operation,
    Parameters, PauseScope, PublicKey, Receipt, Rights, Subject, Transaction, Validator, encode,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// Values by namespace and key.
pub type Values = BTreeMap<(AccountId, Vec<u8>), Vec<u8>>;

/// Next nonce and key of each account.
pub type Nonces = HashMap<AccountId, (u64, PublicKey)>;

/// Returns the value of a subject's leaf. Each account has n units of asset 1, and nobody has settings.
pub fn leaf(subject: &Subject, nonces: &Nonces, values: &Values) -> LeafValue {
    let bytes = match subject {
        Subject::Account(account) => {
            let (nonce, public_key) = *nonces.get(account)?;
            encode(&AccountRecord { public_key, nonce, quota_left: 5, quota_at_ms: 0, storage_bytes_left: 6 })
        }
        Subject::Balance(_, asset) => (asset.0[0] == 1).then(|| encode(&u128::MAX))?,
        Subject::Value(namespace, key) => values.get(&(*namespace, key.as_slice().to_vec())).cloned()?,
        Subject::Custody(_) | Subject::Governance | Subject::Proposal(_) | Subject::Grant(..) => None?,
    };
    BoundedBytes::new(bytes).ok()
}

/// Returns the grants that every account gave in era 3: one that has an end, one of an earlier era, and one that holds.
pub fn grant_page(at: At, listing: &GrantListing) -> ListedGrants {
    let prefixes = BoundedVec::new(vec![BoundedBytes::new(b"a/".to_vec()).unwrap()]).unwrap();
    let grant = |until_ms, era| Grant {
        rights: Rights { put: true, delete: false },
        until_ms,
        prefixes: prefixes.clone(),
        era,
    };
    let all = [(1, grant(Some(50), 3)), (2, grant(None, 2)), (3, grant(Some(51), 3))];
    let grants = all.into_iter().take(listing.limit).map(|(n, grant)| (AccountId([n; 32]), grant)).collect();
    ListedGrants { grants, era: 3, time_ms: 50, next: None, at }
}

/// Returns a page of `values`; `at` is the newest height.
pub fn key_page(values: &Values, at: At, oldest: Height, listing: &Listing) -> Result<ListedKeys, BackendError> {
    let name = |key: &[u8]| value_hash(key).0;
    let (height, from) = match listing.from {
        ListFrom::Latest => (at.height, [0; 32]),
        ListFrom::Height(height) => (height, [0; 32]),
        ListFrom::Cursor(cursor) => (cursor.height, cursor.name),
    };
    if height > at.height {
        return Err(BackendError::Ahead { height, tip: at.height });
    }
    if height < oldest {
        return Err(BackendError::Pruned { height, oldest });
    }
    let own = values.iter().filter(|((owner, _), _)| *owner == listing.namespace);
    let mut keys: Vec<_> = own.map(|((_, key), value)| (key.clone(), value.clone())).collect();
    keys.retain(|(key, _)| key.starts_with(&listing.prefix) && name(key) >= from);
    keys.sort_by_key(|(key, _)| name(key));
    let next = keys.get(listing.limit).map(|(key, _)| KeyCursor { height, name: name(key) });
    keys.truncate(listing.limit);
    let found = |(key, value): (Vec<u8>, Vec<u8>)| FoundKey { name: name(&key), key, value };
    let keys = keys.into_iter().map(found).collect();
    Ok(ListedKeys { keys, next, at: At { height, ..at } })
}

/// Number of assets that every account holds.
pub const ASSETS: u8 = 7;

/// Returns a page of balances: n units of each asset n.
pub fn balance_page(at: At, listing: &BalanceListing) -> ListedBalances {
    let (height, from) = match listing.from {
        ListFrom::Latest => (at.height, 0),
        ListFrom::Height(height) => (height, 0),
        ListFrom::Cursor(cursor) => (cursor.height, cursor.name[0]),
    };
    let end = ASSETS.min(from + listing.limit as u8);
    let balances = (from..end).map(|n| (AssetId([n; 32]), u128::from(n))).collect();
    let next = (end < ASSETS).then_some(KeyCursor { height, name: [end; 32] });
    ListedBalances { balances, next, at: At { height, ..at } }
}

/// Returns a page of versions: one for each put of the key.
pub fn version_page<'a>(
    executed: impl Iterator<Item = &'a (Transaction, Receipt)>,
    at: At,
    asked: &History,
) -> KeyHistory {
    let wanted =
        |(transaction, receipt): &'a (Transaction, Receipt)| match transaction.first().unwrap().body.data.as_slice() {
            [Operation::Put { namespace, key, value }] if (namespace, key) == (&asked.namespace, &asked.key) => {
                Some(KeyVersion {
                    height: receipt.height,
                    time_ms: Some(receipt.time_ms),
                    value: Some(value.as_slice().to_vec()),
                    transaction: Some(receipt.transaction),
                })
            }
            _ => None,
        };
    let mut versions: Vec<KeyVersion> = executed.filter_map(wanted).collect();
    versions.retain(|version| asked.before.is_none_or(|before| version.height < before));
    versions.sort_by_key(|version| std::cmp::Reverse(version.height));
    let more = versions.len() > asked.limit;
    versions.truncate(asked.limit);
    let next = versions.last().filter(|_| more).map(|last| last.height);
    KeyHistory { versions, next, kept_from: Height(0), at }
}

/// The change that a seat of the node in memory proposes.
pub fn proposed() -> GovernanceChange {
    GovernanceChange::Resume { scope: PauseScope::All }
}

/// Two seats; the first proposed the end of a pause, and another proposal is void.
pub fn governance(genesis: &Genesis) -> Result<Governance, BackendError> {
    let operators = BoundedVec::new(vec![[1; 32], [2; 32]]).unwrap();
    let in_force = Parameters { operators, operator_quorum: 2, ..genesis.parameters.clone() };
    let open = |number, until_ms| OpenProposal { number, seat: 0, generation: 0, until_ms };
    let (now_ms, hour_ms) = (genesis.time_ms, 3_600_000);
    let record = GovernanceRecord {
        open: BoundedVec::new(vec![open(3, now_ms + hour_ms), open(4, now_ms)]).unwrap(),
        pauses: BoundedVec::new(vec![Pause { scope: PauseScope::All, until_ms: now_ms + hour_ms }]).unwrap(),
        ..GovernanceRecord::first(&in_force)
    };
    // The second approval is of an authority that the seat no longer has.
    let approvals = [(0, 0), (1, 7)].map(|(seat, generation)| SeatApproval { seat, generation });
    let approvals = BoundedVec::new(approvals.to_vec()).unwrap();
    let proposal =
        ProposalRecord { change: proposed(), generation: 0, until_ms: now_ms + hour_ms, approvals, made: false };
    let wanted = Parameters { epoch_ms: 7_200_000, ..in_force.clone() };
    let proposals = vec![(3, proposal.clone()), (4, proposal)];
    let validator = |number: u8| Validator {
        name: BoundedBytes::new(vec![b'a' + number]).unwrap(),
        validator_key: [number; 32],
        node_key: [10 + number; 32],
        owner_key: [20 + number; 32],
        region: 0,
        address: BoundedBytes::default(),
    };
    let target = BoundedVec::new((0..3).map(validator).collect()).unwrap();
    let committee = CommitteeRecord { target, ..CommitteeRecord::first(genesis.rules(), genesis.validators.clone()) };
    let owners = vec![OwnerRecord { nonce: 5, paid_ms: now_ms + 30_000 }; committee.target.len()];
    let wish = |number: u8| Wish {
        number: number.into(),
        owner_key: [20 + number % 2; 32],
        change: change_hash(&proposed()),
        until_ms: now_ms + 1,
    };
    let wishes = Wishes(BoundedVec::new(vec![wish(1), wish(2)]).unwrap());
    let members = Members { epoch: Epoch(0), protocol: 2, validators: Arc::new(genesis.validators.clone()) };
    let time_ms = now_ms;
    Ok(Governance { members, record, committee, owners, wishes, proposals, in_force, wanted, time_ms })
}

/// Returns what waits for the seats of `governance`.
pub fn governance_note(genesis: &Genesis) -> GovernanceNote {
    let found = governance(genesis).unwrap();
    let in_force = (&found.committee, &found.in_force);
    GovernanceNote::new(&found.record, &found.proposals, in_force, &found.members, found.time_ms)
}

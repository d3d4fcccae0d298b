//! What pools are told of accounts (V24): from the store, and from a block's writes above it.

use rustorium_crypto::signer;
use rustorium_execution::*;
use rustorium_stages::clients::{account_view, account_views};
use rustorium_storage::{HeightCommit, MemStore, Store};
use rustorium_txpool::AccountView;
use rustorium_types::*;

const ACCOUNT: AccountId = AccountId([5; 32]);

fn authority(number: u8) -> Authority {
    Authority::of_key(rustorium_crypto::SigningKey::from_seed(&[number; 32]).public()).unwrap()
}

fn record(nonce: u64, custody: CustodyState) -> LeafWrite {
    let signer = signer(&authority(1));
    let (storage_bytes_left, grants_era, none) = (0, 0, Allowance::default());
    let (sponsor, work, history) = (COMMON, none, none);
    let record = AccountRecord2 { signer, nonce, storage_bytes_left, sponsor, work, history, custody, grants_era };
    LeafWrite { key: account_key(ACCOUNT), name: Vec::new(), value: Some(record.to_bytes()) }
}

/// The custody leaf in which a recovery waits, or with which the leaf is gone.
fn custody(due_ms: Option<u64>) -> LeafWrite {
    let recovery = Some(Recovery { account: AccountId([6; 32]), delay_ms: 3_600_000, is_final: true });
    let settings = |number| AuthoritySettings { authority: authority(number), delay_ms: 0, recovery };
    let leaf = |due_ms| {
        let (by, void_grants) = (ChangedBy::Recovery, true);
        CustodyRecord {
            settings: settings(1),
            pending: Some(PendingChange { by, settings: settings(2), void_grants, due_ms }),
        }
    };
    LeafWrite { key: custody_key(ACCOUNT), name: Vec::new(), value: due_ms.map(|due_ms| leaf(due_ms).to_bytes()) }
}

fn sorted(mut diff: Vec<LeafWrite>) -> Vec<LeafWrite> {
    diff.sort_unstable_by_key(|write| write.key);
    diff
}

fn store(diff: Vec<LeafWrite>) -> MemStore {
    let (store, start) = (MemStore::new(), genesis(&crate::chain::genesis_with(Parameters::default()), ShardId::ROOT));
    let commit = HeightCommit {
        digest: rustorium_crypto::block_digest(&start.header),
        block: Block { header: start.header, inline: BoundedVec::default() },
        inline_ids: Vec::new(),
        batches: Vec::new(),
        receipts: Vec::new(),
        diff: sorted(diff),
        link: ResultLink::default(),
        result_root: start.result_root,
        finalization: None,
    };
    store.commit(&commit).unwrap();
    store
}

fn waits(nonce: u64, due_ms: u64) -> AccountView {
    let next = Some(NextSigner { signer: signer(&authority(2)), due_ms, is_frozen: true });
    AccountView { next, ..AccountView::new(nonce, signer(&authority(1))) }
}

fn settled(nonce: u64) -> AccountView {
    AccountView::new(nonce, signer(&authority(1)))
}

#[test]
fn a_lookup_finds_the_change_that_waits() {
    let view = |diff| account_view(&store(diff), &(&Parameters::default()).into(), &ACCOUNT);
    assert_eq!(view(vec![]), None);
    assert_eq!(view(vec![record(3, CustodyState::Absent)]), Some(settled(3)));
    assert_eq!(view(vec![record(3, CustodyState::Settled), custody(Some(9))]), Some(settled(3)), "it isn't looked for");
    assert_eq!(view(vec![record(3, CustodyState::Pending), custody(Some(9))]), Some(waits(3, 9)));
}

/// A block that changes one of both leaves, both or none: the other one is as it was before.
#[test]
fn a_report_of_a_block_has_what_the_block_did_not_write() {
    let store = store(vec![record(3, CustodyState::Pending), custody(Some(9))]);
    let views = |diff| account_views(&[(ACCOUNT, 4)], &sorted(diff), &store);
    assert_eq!(views(vec![record(4, CustodyState::Pending)]), [(ACCOUNT, waits(4, 9))]);
    assert_eq!(views(vec![custody(Some(11))]), [(ACCOUNT, waits(3, 11))]);
    assert_eq!(views(vec![record(4, CustodyState::Pending), custody(Some(11))]), [(ACCOUNT, waits(4, 11))]);
    assert_eq!(views(vec![record(4, CustodyState::Absent), custody(None)]), [(ACCOUNT, settled(4))]);
    assert_eq!(views(vec![]), [(ACCOUNT, waits(3, 9))]);
    assert_eq!(account_views(&[(AccountId([7; 32]), 1)], &[], &store), []);
}

/// V37: an owner acts by the key that the wanted committee names, and each block tells pools what it is by now.
#[test]
fn an_owner_is_known_by_its_validators_number() {
    let made = crate::chain::genesis_with(Parameters::default());
    let record = CommitteeRecord::first(made.rules(), made.validators.clone());
    let written =
        |record: &CommitteeRecord| LeafWrite { key: committee_key(), name: Vec::new(), value: Some(record.to_bytes()) };
    let (id, known) = (SystemSender::Owner(2).id(), (&Parameters::default()).into());
    let store = store(vec![written(&record)]);
    let of = |nonce, key| AccountView::new(nonce, Signer::Single(key));
    let first = made.validators[2].owner_key;
    assert_eq!(account_view(&store, &known, &id), Some(of(0, first)));
    assert_eq!(account_view(&store, &known, &SystemSender::Owner(9).id()), None);
    let mut target = record.target.to_vec();
    target[2].owner_key = [7; 32];
    let swapped = CommitteeRecord { target: BoundedVec::new(target).unwrap(), ..record };
    let acted = OwnerRecord { nonce: 6, paid_ms: 1 };
    let acted = LeafWrite { key: owner_key(2), name: Vec::new(), value: Some(acted.to_bytes()) };
    let views = |diff| account_views(&[(id, 6)], &sorted(diff), &store);
    assert_eq!(views(vec![acted.clone()]), [(id, of(6, first))]);
    assert_eq!(views(vec![acted, written(&swapped)]), [(id, of(6, [7; 32]))]);
}

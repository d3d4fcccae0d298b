//! A genesis makes one state on every machine, and one that can't start a chain is refused with the reason.

use crate::common::*;
use rustorium_execution::*;
use rustorium_types::*;

#[test]
fn genesis_is_a_function_of_its_bytes() {
    let made = make_genesis(Parameters::default());
    let bytes = encode(&made);
    let read: Genesis = decode(&bytes, bytes.len()).unwrap();
    assert_eq!(genesis(&made, ShardId::ROOT), genesis(&read, ShardId::ROOT));
    let start = genesis(&made, ShardId::ROOT);
    assert_eq!(start.header.result, ResultClaim { height: Height(0), root: start.result_root });
    assert_eq!(start.header.cursors.len(), 4);
    assert_eq!(start.diff.len(), 2 * ACCOUNTS + 1, "and the committee record");
    assert!(start.diff.windows(2).all(|pair| pair[0].key < pair[1].key));
    assert!(start.diff.iter().all(|write| is_name(&write.key, &write.name)));
    let mut other = made;
    other.name = BoundedBytes::new(b"other".to_vec()).unwrap();
    assert_ne!(genesis(&other, ShardId::ROOT).digest, start.digest, "the result root binds the whole genesis");
}

#[test]
fn shards_of_a_chain_start_alike_and_with_blocks_of_their_own() {
    let made = make_genesis(Parameters::default());
    let (root, other) = (genesis(&made, ShardId::ROOT), genesis(&made, ShardId(7)));
    let shard_map = rustorium_crypto::charter_hash(&Charter::whole(ShardId(7)));
    assert_eq!(other.header, Header { shard: ShardId(7), shard_map, ..root.header });
    assert_ne!(other.digest, root.digest);
}

fn refused(change: impl FnOnce(&mut Genesis)) -> GenesisRefused {
    let mut made = make_genesis(Parameters::default());
    assert_eq!(check_genesis(&made), Ok(()));
    change(&mut made);
    check_genesis(&made).unwrap_err()
}

fn accounts(genesis: &mut Genesis, change: impl FnOnce(&mut Vec<GenesisAccount>)) {
    let mut accounts = genesis.accounts.as_slice().to_vec();
    change(&mut accounts);
    genesis.accounts = BoundedVec::new(accounts).unwrap();
}

fn balances(list: &[(AssetId, u128)]) -> BoundedVec<(AssetId, u128), 16> {
    BoundedVec::new(list.to_vec()).unwrap()
}

#[test]
fn a_genesis_that_cannot_start_a_chain_is_refused() {
    assert_eq!(refused(|g| g.version = 3), GenesisRefused::Version(3));
    assert_eq!(refused(|g| g.version = 0), GenesisRefused::Version(0));
    assert_eq!(refused(|g| g.version = 1), GenesisRefused::Parameter("min_epoch_ms"), "which version 1 hasn't");
    assert_eq!(refused(|g| g.validators = BoundedVec::default()), GenesisRefused::NoValidators);
    let twice = |g: &mut Genesis| {
        let mut validators = g.validators.as_slice().to_vec();
        validators[3].node_key = validators[1].node_key;
        g.validators = BoundedVec::new(validators).unwrap();
    };
    assert_eq!(refused(twice), GenesisRefused::SharedKey(1, 3));
    let nowhere = |g: &mut Genesis| {
        let mut validators = g.validators.as_slice().to_vec();
        validators[2].address = BoundedBytes::new(b"no where".to_vec()).unwrap();
        g.validators = BoundedVec::new(validators).unwrap();
    };
    assert_eq!(refused(nowhere), GenesisRefused::Unreadable(2));
    assert_eq!(refused(|g| accounts(g, |a| a.swap(1, 2))), GenesisRefused::AccountOrder(2));
    assert_eq!(refused(|g| accounts(g, |a| a[1] = a[0].clone())), GenesisRefused::AccountOrder(1));
    let zero = balances(&[(gold(), 0)]);
    assert_eq!(refused(|g| accounts(g, |a| a[2].balances = zero)), GenesisRefused::Balances(2));
    let same = balances(&[(gold(), 1), (gold(), 1)]);
    assert_eq!(refused(|g| accounts(g, |a| a[0].balances = same)), GenesisRefused::Balances(0));
    assert_eq!(refused(|g| accounts(g, |a| a[0].storage_bytes = u64::MAX)), GenesisRefused::Storage);
    let most = balances(&[(gold(), u128::MAX)]);
    assert_eq!(refused(|g| accounts(g, |a| a[0].balances = most)), GenesisRefused::Supply);
}

#[test]
fn every_parameter_out_of_range_is_named() {
    type Change = fn(&mut Parameters);
    let changes: [(&str, Change); 19] = [
        ("batch_bytes_max", |p| p.batch_bytes_max = 1),
        ("batch_bytes_max", |p| p.batch_bytes_max = u32::MAX),
        ("batch_transactions_max", |p| p.batch_transactions_max = 5000),
        ("batch_work_max", |p| p.batch_work_max = 1),
        ("block_bytes_max", |p| p.block_bytes_max = 1),
        ("block_transactions_max", |p| p.block_transactions_max = 1),
        ("block_work_max", |p| p.block_work_max = 1),
        ("transaction_writes_max", |p| p.transaction_writes_max = 1),
        ("lane_window_batches", |p| p.lane_window_batches = 0),
        ("lane_window_bytes", |p| p.lane_window_bytes = 1),
        ("claim_lag_max", |p| p.claim_lag_max = 0),
        ("expiry_ahead_ms_max", |p| p.expiry_ahead_ms_max = 0),
        ("quota_work_max", |p| p.quota_work_max = 0),
        ("epoch_ms", |p| p.epoch_ms = 999),
        ("min_epoch_ms", |p| p.min_epoch_ms = None),
        ("min_epoch_ms", |p| p.min_epoch_ms = Some(p.epoch_ms + 1)),
        ("operators", |p| (p.operators, p.operator_quorum) = (BoundedVec::new(vec![[1; 32]; 2]).unwrap(), 1)),
        ("operator_quorum", |p| p.operators = BoundedVec::new(vec![[1; 32]]).unwrap()),
        ("operator_quorum", |p| p.operator_quorum = 1),
    ];
    for (name, change) in changes {
        assert_eq!(refused(|g| change(&mut g.parameters)), GenesisRefused::Parameter(name));
    }
}

#[test]
fn both_versions_start_a_chain_and_its_headers_carry_theirs() {
    for rules in [Rules::V1, Rules::V2] {
        let made = make_genesis(Parameters::of(rules));
        assert_eq!((made.version, made.rules()), (rules.version(), rules));
        assert_eq!(check_genesis(&made), Ok(()));
        let bytes = encode(&made);
        assert_eq!(decode::<Genesis>(&bytes, bytes.len()).unwrap(), made);
        assert_eq!(genesis(&made, ShardId::ROOT).header.version, rules.version());
    }
    // Version 1 is what it was: the same bytes, without the fields that version 2 brought.
    let first = make_genesis(Parameters::of(Rules::V1));
    let parameters = |genesis: &Genesis| encode(&genesis.parameters).len();
    let more = size_of::<u32>() + 3 * size_of::<u64>() + encode(&Capacity::default()).len();
    assert_eq!(parameters(&make_genesis(Parameters::of(Rules::V2))), parameters(&first) + more);
}

/// V13: builds before the release wrote version 2 with the parameters' form of version 1 and the age behind it.
#[test]
fn a_genesis_of_an_unreleased_version_two_is_refused_with_its_reason() {
    let made = make_genesis(Parameters::of(Rules::V2));
    let (bytes, parameters) = (encode(&made), encode(&made.parameters));
    let start = bytes.windows(parameters.len()).position(|part| part == parameters).unwrap();
    let earlier = [&bytes[..start], &bytes[start + size_of::<u32>()..]].concat();
    let refused = decode::<Genesis>(&earlier, bytes.len()).unwrap_err();
    assert!(refused.to_string().contains("made by an unreleased build of protocol version 2"), "{refused}");
    let newer = [&bytes[..start], &3u32.to_le_bytes(), &bytes[start + size_of::<u32>()..]].concat();
    let refused = decode::<Genesis>(&newer, bytes.len()).unwrap_err();
    assert!(refused.to_string().contains("a newer protocol version"), "{refused}");
}

#[test]
fn a_genesis_of_version_two_has_no_key_of_small_order_and_one_of_version_one_may() {
    let small = [0; 32];
    let owner = |genesis: &mut Genesis| {
        let mut validators = genesis.validators.to_vec();
        validators[2].owner_key = small;
        genesis.validators = BoundedVec::new(validators).unwrap();
    };
    assert_eq!(refused(owner), GenesisRefused::SmallOrder("validator", 2));
    let account = |genesis: &mut Genesis| accounts(genesis, |all| all[0].public_key = small);
    assert_eq!(refused(account), GenesisRefused::SmallOrder("account", 0));
    let operator = |genesis: &mut Genesis| {
        genesis.parameters.operators = BoundedVec::new(vec![signer(0).public(), small]).unwrap();
        genesis.parameters.operator_quorum = 2;
    };
    assert_eq!(refused(operator), GenesisRefused::SmallOrder("operator", 1));
    let mut first = make_genesis(Parameters::of(Rules::V1));
    owner(&mut first);
    account(&mut first);
    assert_eq!(check_genesis(&first), Ok(()));
}

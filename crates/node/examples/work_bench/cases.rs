//! The operations that are measured, each at its worst.

use crate::Outcome;
use crate::chain::{account, signer};
use crate::second;
use rustorium_crypto::{SigningKey, asset_id, domain, hash, signed_bytes, value_hash, verifier_id};
use rustorium_execution::record::{VerifierRecord, encode_amount};
use rustorium_execution::{AccountRecord, hashes};
use rustorium_types::Outcome as Expected;
use rustorium_types::limits::{GRANT_PREFIXES_MAX, KEY_BYTES_MAX, PUBLIC_INPUTS_MAX, VALIDATORS_MAX, VALUE_BYTES_MAX};
use rustorium_types::{
    AccountId, AssetId, BoundedBytes, BoundedVec, Capacity, ChainId, Condition, FailureCode, Genesis, GenesisAccount,
    GenesisPool, Key, LeafWrite, NamedInput, Operation, Operation2, Parameters, PoolTransfer, Possession,
    PossessionBody, PublicKey, Rules, ShardId, StateKey, Symbol, Validator, Value, VerifierId, encode, limits,
};
use rustorium_zk::Curve;
use rustorium_zk::shielded::prove::DEVNET_VERIFYING_KEY;
use rustorium_zk::shielded::tree::Tree;
use serde_json::Value as Json;

const NAMES: u64 = 1 << 20;
const STORAGE_BYTES: u64 = 1 << 40;
/// Units a second of which nobody uses all.
const PLENTY: u64 = 1 << 50;
const POOL: u32 = 1;
/// Kinds of leaves, as names begin.
const ACCOUNT: u8 = 0;
const BALANCE: u8 = 1;
const DATA: u8 = 2;
const GRANT: u8 = 3;
const VERIFIER: u8 = 6;

/// Makes the operations in the form of version 2 of a sender, by its number, in a round.
type Second = fn(usize, usize) -> Outcome<Vec<Operation2>>;

/// An operation under measurement: what it is called, how many senders send it in a block, and what it needs.
pub struct Case {
    pub name: &'static str,
    pub senders: usize,
    /// Operations of a transaction.
    pub operations: usize,
    pub outcome: Expected,
    pub genesis: fn(&Case, Rules) -> Outcome<Genesis>,
    /// Returns the id of a sender, by its number.
    pub sender: fn(usize) -> AccountId,
    /// Returns the operations of a sender's transaction in a round.
    pub make: fn(usize, usize) -> Outcome<Vec<Operation>>,
    /// Does so in the form of version 2, where version 1 has no such operations.
    pub second: Option<Second>,
    /// Returns the leaves that they find.
    pub leaves: fn(usize, usize) -> Outcome<Vec<LeafWrite>>,
}

/// A case of operations that version 1 has not.
pub const SECOND_ONLY: Case = Case {
    name: "",
    senders: 100,
    operations: 1,
    outcome: Expected::Ok,
    genesis: small,
    sender: account,
    make: |_, _| Ok(Vec::new()),
    second: None,
    leaves: |_, _| Ok(Vec::new()),
};

type Make = fn(usize, usize) -> Outcome<Vec<Operation>>;
type Leaves = fn(usize, usize) -> Outcome<Vec<LeafWrite>>;

const REFUSED: Expected = Expected::Failed { code: FailureCode::NotProved, operation: 0 };

/// Returns all cases of a version.
pub fn cases(rules: Rules) -> Vec<Case> {
    let case = |name, senders, operations, make: Make, leaves: Leaves| Case {
        name,
        senders,
        operations,
        make,
        leaves,
        ..SECOND_ONLY
    };
    let refused =
        |name, senders, make: Make, leaves: Leaves| Case { outcome: REFUSED, ..case(name, senders, 1, make, leaves) };
    let none: Leaves = |_, _| Ok(Vec::new());
    let replace = if rules == Rules::V1 { replace_key as Make } else { replace_proven };
    let mut all = vec![
        case("nothing", 400, 0, |_, _| Ok(Vec::new()), none),
        case("create_account", 100, 8, create_accounts, none),
        case("put_256", 400, 1, |s, r| each(1, |n| put(account(s), name(s, r, n), fill(256, s, r)?)), none),
        case("put_256_by_16", 60, 16, |s, r| each(16, |n| put(account(s), name(s, r, n), fill(256, s, r)?)), none),
        case(
            "put_64k_over_64k",
            24,
            1,
            |s, r| each(1, |n| put(account(s), name(s, r, n), large(s + 1, r)?)),
            |s, r| values(1, s, r),
        ),
        case(
            "put_1_over_64k",
            24,
            4,
            |s, r| each(4, |n| put(account(s), name(s, r, n), fill(1, s, r)?)),
            |s, r| values(4, s, r),
        ),
        case("put_by_full_grant", 60, 4, put_elsewhere, grants),
        case("delete_64k", 24, 4, |s, r| each(4, |n| delete(account(s), name(s, r, n))), |s, r| values(4, s, r)),
        case(
            "delete_1",
            100,
            16,
            |s, r| each(16, |n| delete(account(s), name(s, r, n))),
            |s, r| small_values(16, s, r),
        ),
        case("require_hash_64k", 24, 4, require_hash, |s, r| values(4, s, r)),
        case("require_hash_1", 100, 64, require_small_hash, |s, r| small_values(64, s, r)),
        case("require_absent", 100, 64, |s, r| each(64, |n| absent(account(s), name(s, r, n))), none),
        case("require_balance", 100, 64, require_balance, |s, r| balances(64, s, r)),
        case("transfer", 100, 8, transfer, |s, r| balances(8, s, r)),
        case("issue", 100, 8, issue, none),
        case("grant_over_grant", 60, 4, grant, own_grants),
        case("register_verifier", 24, 1, register, none),
        refused("verify_bn254_refused", 24, |s, r| verify(Curve::Bn254, s, r), |s, r| verifier(Curve::Bn254, s, r)),
        refused(
            "verify_bls12_381_refused",
            24,
            |s, r| verify(Curve::Bls12381, s, r),
            |s, r| verifier(Curve::Bls12381, s, r),
        ),
        Case { genesis: with_pool, ..refused("shielded_refused", 24, shielded, none) },
        Case { genesis: large_committee, ..case("replace_key", 12, 1, replace, none) },
    ];
    if rules == Rules::V2 {
        all.extend(second::cases());
    }
    all
}

pub fn each<T>(count: usize, make: impl Fn(usize) -> Outcome<T>) -> Outcome<Vec<T>> {
    (0..count).map(make).collect()
}

/// Returns a key of 16 bytes that nobody else has.
fn name(sender: usize, round: usize, number: usize) -> Vec<u8> {
    let place = (sender as u64 * NAMES) + (round as u64 * 1_000) + number as u64;
    value_hash(&place.to_le_bytes()).0[..16].to_vec()
}

/// Returns bytes that don't compress.
fn fill(length: usize, sender: usize, round: usize) -> Outcome<Vec<u8>> {
    let part = |place: usize| value_hash(&[sender as u64, round as u64, place as u64].map(u64::to_le_bytes).concat()).0;
    Ok((0..length.div_ceil(32)).flat_map(part).take(length).collect())
}

fn large(sender: usize, round: usize) -> Outcome<Vec<u8>> {
    fill(VALUE_BYTES_MAX, sender, round)
}

fn put(namespace: AccountId, key: Vec<u8>, value: Vec<u8>) -> Outcome<Operation> {
    Ok(Operation::Put { namespace, key: Key::new(key)?, value: Value::new(value)? })
}

fn delete(namespace: AccountId, key: Vec<u8>) -> Outcome<Operation> {
    Ok(Operation::Delete { namespace, key: Key::new(key)? })
}

fn absent(namespace: AccountId, key: Vec<u8>) -> Outcome<Operation> {
    Ok(Operation::Require(Condition::Absent { namespace, key: Key::new(key)? }))
}

pub fn leaf_of(account: AccountId, kind: u8, rest: &[u8], value: Vec<u8>) -> LeafWrite {
    let name = [&[kind], rest].concat();
    let key = StateKey { account, name: hash(domain::NAME, &[&name]) };
    LeafWrite { key, name, value: Some(value) }
}

fn data(account: AccountId, key: &[u8], value: Vec<u8>) -> LeafWrite {
    leaf_of(account, DATA, key, value)
}

fn values(count: usize, sender: usize, round: usize) -> Outcome<Vec<LeafWrite>> {
    each(count, |number| Ok(data(account(sender), &name(sender, round, number), large(sender, round)?)))
}

fn small_values(count: usize, sender: usize, round: usize) -> Outcome<Vec<LeafWrite>> {
    each(count, |number| Ok(data(account(sender), &name(sender, round, number), vec![1])))
}

fn create_accounts(sender: usize, round: usize) -> Outcome<Vec<Operation>> {
    each(8, |number| {
        let public_key = signer(1 << 20 | round << 16 | sender << 4 | number).public();
        Ok(Operation::CreateAccount { region: 0, public_key, storage_bytes: 1_000 })
    })
}

/// Returns the prefixes of a grant of the largest size; the last one is the one that `key` begins with.
pub fn prefixes(key: &[u8]) -> Outcome<BoundedVec<Key, GRANT_PREFIXES_MAX>> {
    let other = |number: u8| Key::new(vec![number; KEY_BYTES_MAX]);
    let mut prefixes = (1..GRANT_PREFIXES_MAX as u8).map(other).collect::<Result<Vec<_>, _>>()?;
    prefixes.push(Key::new(key.to_vec())?);
    Ok(BoundedVec::new(prefixes)?)
}

pub fn long_name(number: usize) -> Vec<u8> {
    [vec![200; KEY_BYTES_MAX - 1], vec![number as u8]].concat()
}

/// The number of an account that sends nothing, for each round of each sender.
pub fn elsewhere(sender: usize, round: usize, number: usize) -> usize {
    1 << 30 | round << 20 | sender << 4 | number
}

fn put_elsewhere(sender: usize, round: usize) -> Outcome<Vec<Operation>> {
    each(4, |n| put(account(elsewhere(sender, round, n)), long_name(n), fill(256, sender, round)?))
}

fn record_of(number: usize) -> LeafWrite {
    let record = AccountRecord {
        public_key: signer(number).public(),
        nonce: 0,
        quota_left: 0,
        quota_at_ms: 0,
        storage_bytes_left: STORAGE_BYTES,
    };
    leaf_of(account(number), ACCOUNT, &[], record.to_bytes())
}

fn grants(sender: usize, round: usize) -> Outcome<Vec<LeafWrite>> {
    let grant = |n: usize| -> Outcome<_> {
        let owner = elsewhere(sender, round, n);
        let rights = encode(&prefixes(&long_name(n))?);
        Ok([record_of(owner), leaf_of(account(owner), GRANT, &account(sender).0, rights)])
    };
    Ok(each(4, grant)?.into_iter().flatten().collect())
}

fn grant(sender: usize, round: usize) -> Outcome<Vec<Operation>> {
    each(4, |n| {
        let to = account(elsewhere(sender, round, n));
        Ok(Operation::Grant { to, prefixes: prefixes(&long_name(n + 100))? })
    })
}

pub fn own_grants(sender: usize, round: usize) -> Outcome<Vec<LeafWrite>> {
    let grant = |n: usize| -> Outcome<_> {
        let to = elsewhere(sender, round, n);
        let rights = encode(&prefixes(&long_name(n))?);
        Ok([record_of(to), leaf_of(account(sender), GRANT, &account(to).0, rights)])
    };
    Ok(each(4, grant)?.into_iter().flatten().collect())
}

fn require_hash(sender: usize, round: usize) -> Outcome<Vec<Operation>> {
    each(4, |n| {
        let (namespace, key) = (account(sender), Key::new(name(sender, round, n))?);
        Ok(Operation::Require(Condition::ValueHash { namespace, key, hash: value_hash(&large(sender, round)?) }))
    })
}

fn require_small_hash(sender: usize, round: usize) -> Outcome<Vec<Operation>> {
    each(64, |n| {
        let (namespace, key) = (account(sender), Key::new(name(sender, round, n))?);
        Ok(Operation::Require(Condition::ValueHash { namespace, key, hash: value_hash(&[1]) }))
    })
}

fn asset(sender: usize, round: usize, number: usize) -> AssetId {
    asset_id(&account(sender), &name(sender, round, number))
}

fn balances(count: usize, sender: usize, round: usize) -> Outcome<Vec<LeafWrite>> {
    let balance = |n| leaf_of(account(sender), BALANCE, &asset(sender, round, n).0, encode_amount(5));
    each(count, |n| Ok(balance(n)))
}

fn require_balance(sender: usize, round: usize) -> Outcome<Vec<Operation>> {
    each(64, |n| {
        let asset = asset(sender, round, n);
        Ok(Operation::Require(Condition::BalanceAtLeast { account: account(sender), asset, amount: 5 }))
    })
}

/// Moves a part of each balance, so that both leaves are written.
fn transfer(sender: usize, round: usize) -> Outcome<Vec<Operation>> {
    each(8, |n| {
        let to = account((sender + 1) % 100);
        Ok(Operation::Transfer { to, asset: asset(sender, round, n), amount: 2 })
    })
}

fn issue(sender: usize, round: usize) -> Outcome<Vec<Operation>> {
    each(8, |n| {
        let symbol = Symbol::new(format!("{round}/{n}").into_bytes())?;
        Ok(Operation::Issue { symbol, to: account((sender + 1) % 100), amount: 7 })
    })
}

/// A key and a proof of the golden vectors on this curve.
fn known(curve: Curve) -> Outcome<(Vec<u8>, Vec<u8>)> {
    let vectors: Json = serde_json::from_str(include_str!("../../../../tests/vectors/golden.json"))?;
    let proofs = vectors["proofs"].as_array().ok_or("the golden vectors have no proofs")?;
    let bytes = |value: &Json| bytes_of(value.as_str().unwrap_or_default());
    let all = proofs.iter().map(|one| Ok((bytes(&one["key"])?, bytes(&one["proof"])?)));
    let all = all.collect::<Outcome<Vec<_>>>()?;
    let found = all.into_iter().find(|(_, proof)| Curve::of_proof(proof.len()) == Some(curve));
    Ok(found.ok_or("the golden vectors have no proof on this curve")?)
}

fn bytes_of(text: &str) -> Outcome<Vec<u8>> {
    let pair = |at: usize| Ok(u8::from_str_radix(text.get(at..at + 2).ok_or("half a byte")?, 16)?);
    (0..text.len()).step_by(2).map(pair).collect()
}

/// Returns a key with the most inputs: that of the vectors, whose last point stands for the missing ones.
fn largest_key(curve: Curve) -> Outcome<Vec<u8>> {
    let (mut key, _) = known(curve)?;
    let point = 2 * curve.coordinate_bytes();
    let last = key[key.len() - point..].to_vec();
    while key.len() < 1 + 7 * point + (PUBLIC_INPUTS_MAX + 1) * point {
        key.extend_from_slice(&last);
    }
    Ok(key)
}

fn named(round: usize) -> Outcome<BoundedVec<NamedInput, { limits::NAMED_INPUTS_MAX }>> {
    let input = |n: usize| NamedInput { index: (round * 4 + n) as u8, once: true };
    Ok(BoundedVec::new((0..limits::NAMED_INPUTS_MAX).map(input).collect())?)
}

fn register(_: usize, round: usize) -> Outcome<Vec<Operation>> {
    let key = BoundedBytes::new(largest_key(Curve::Bls12381)?)?;
    Ok(vec![Operation::RegisterVerifier { key, named: named(round)? }])
}

fn verifier_of(curve: Curve, sender: usize, round: usize) -> Outcome<(VerifierId, VerifierRecord)> {
    let (owner, key, named) = (account(sender), largest_key(curve)?, named(round)?);
    let id = verifier_id(&owner, &key, &named);
    Ok((id, VerifierRecord { owner, named, key: BoundedBytes::new(key)? }))
}

fn verifier(curve: Curve, sender: usize, round: usize) -> Outcome<Vec<LeafWrite>> {
    let (id, record) = verifier_of(curve, sender, round)?;
    Ok(vec![leaf_of(AccountId(id.0), VERIFIER, &[], encode(&record))])
}

/// Returns a proof of something else, which nobody can tell before the pairings.
fn verify(curve: Curve, sender: usize, round: usize) -> Outcome<Vec<Operation>> {
    let (verifier, _) = verifier_of(curve, sender, round)?;
    let input = |n: usize| {
        let mut input = value_hash(&name(sender, round, n)).0;
        input[0] = 0;
        input
    };
    let inputs = BoundedVec::new((0..PUBLIC_INPUTS_MAX).map(input).collect())?;
    Ok(vec![Operation::VerifyProof { verifier, inputs, proof: BoundedBytes::new(known(curve)?.1)? }])
}

fn shielded(sender: usize, round: usize) -> Outcome<Vec<Operation>> {
    let input = |n: usize| {
        let mut input = value_hash(&name(sender, round, n)).0;
        input[0] = 0;
        input
    };
    let proof = known(Curve::Bn254)?.1.try_into().map_err(|_| "the proof has another length")?;
    let transfer = PoolTransfer {
        root: Tree::default().root().to_bytes(),
        nullifiers: [input(0), input(1)],
        commitments: [input(2), input(3)],
        sealed: [7; limits::SEALED_BYTES],
        proof,
    };
    Ok(vec![Operation::ShieldedTransfer { pool: POOL, transfer: Box::new(transfer) }])
}

fn validator(number: usize) -> Outcome<Validator> {
    let key = |kind: usize| signer(1 << 40 | kind << 20 | number).public();
    Ok(Validator {
        name: BoundedBytes::new(format!("{number:064}").into_bytes())?,
        validator_key: key(1),
        node_key: key(2),
        owner_key: key(3),
        region: 0,
        address: BoundedBytes::new(format!("{number:0128}").into_bytes())?,
    })
}

pub fn genesis_of(case: &Case, rules: Rules, validators: usize) -> Outcome<Genesis> {
    let accounts = (0..case.senders).map(|number| GenesisAccount {
        region: 0,
        public_key: signer(number).public(),
        storage_bytes: STORAGE_BYTES,
        balances: BoundedVec::default(),
    });
    let operators = (0..case.senders.min(limits::OPERATORS_MAX)).map(|number| signer(number).public()).collect();
    let parameters = Parameters::of(rules);
    // Each transaction declares as much as a batch may have, and none is to wait for quota.
    let plenty = |capacity| Capacity {
        quota_history_max: PLENTY,
        quota_history_per_s: PLENTY,
        work_per_s: PLENTY,
        history_per_s: PLENTY,
        ..capacity
    };
    let capacity = parameters.capacity.map(plenty);
    let operators = BoundedVec::new(operators)?;
    Ok(Genesis {
        version: rules.version(),
        name: BoundedBytes::new(b"work".to_vec())?,
        time_ms: 1_800_000_000_000,
        parameters: Parameters { operators, operator_quorum: 1, capacity, ..parameters },
        validators: BoundedVec::new((0..validators).map(validator).collect::<Outcome<_>>()?)?,
        accounts: BoundedVec::new(accounts.collect())?,
        pools: BoundedVec::default(),
        sponsors: BoundedVec::default(),
        shards: BoundedVec::default(),
    })
}

fn small(case: &Case, rules: Rules) -> Outcome<Genesis> {
    genesis_of(case, rules, 4)
}

fn with_pool(case: &Case, rules: Rules) -> Outcome<Genesis> {
    let pool = GenesisPool { number: POOL, key: BoundedBytes::new(DEVNET_VERIFYING_KEY.to_vec())? };
    Ok(Genesis { pools: BoundedVec::new(vec![pool])?, ..small(case, rules)? })
}

fn large_committee(case: &Case, rules: Rules) -> Outcome<Genesis> {
    genesis_of(case, rules, VALIDATORS_MAX)
}

fn new_keys(sender: usize, round: usize) -> [SigningKey; 2] {
    [1, 2].map(|kind| signer(1 << 50 | kind << 40 | round << 20 | sender))
}

/// Returns the present key of the validator that this operator replaces in each round.
fn replaced(sender: usize, round: usize) -> Outcome<PublicKey> {
    match round.checked_sub(1) {
        None => Ok(validator(sender)?.validator_key),
        Some(before) => Ok(new_keys(sender, before)[0].public()),
    }
}

fn replace_key(sender: usize, round: usize) -> Outcome<Vec<Operation>> {
    let [new_validator_key, new_node_key] = new_keys(sender, round).map(|key| key.public());
    Ok(vec![Operation::ReplaceKey { validator_key: replaced(sender, round)?, new_validator_key, new_node_key }])
}

fn replace_proven(sender: usize, round: usize) -> Outcome<Vec<Operation>> {
    Ok(vec![proven(chain_of_committee()?, sender, round)?])
}

/// Returns the operation that gives a validator other keys, with the proof of their possession.
pub fn proven(chain: ChainId, sender: usize, round: usize) -> Outcome<Operation> {
    let owner_key = validator(sender)?.owner_key;
    let [validator_key, node_key] = new_keys(sender, round);
    let body = PossessionBody { chain, owner_key, validator_key: validator_key.public(), node_key: node_key.public() };
    let signed = signed_bytes(domain::POSSESSION, &body);
    Ok(Operation::ReplaceProven {
        validator_key: replaced(sender, round)?,
        new_validator_key: validator_key.public(),
        new_node_key: node_key.public(),
        possession: Possession { validator: validator_key.sign(&signed), node: node_key.sign(&signed) },
    })
}

/// Returns the id of the chain of the case with the largest committee.
fn chain_of_committee() -> Outcome<ChainId> {
    let found = cases(Rules::V2).into_iter().find(|case| case.name == "replace_key").ok_or("no such case")?;
    Ok(hashes(&large_committee(&found, Rules::V2)?, ShardId::ROOT).chain)
}

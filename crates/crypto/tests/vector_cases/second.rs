//! The cases of authorities and of transactions of version 2. Bytes that are refused have `why`.

use super::second_views as views;
use super::values::{account, bytes, chain, key, list, sample_transactions, second_transactions};
use super::{plain, with};
use rustorium_crypto::{
    authority_account, authority_hash, domain, settings_hash, signed_bytes, transaction2_bytes, transaction2_id,
};
use rustorium_types::*;
use serde_json::{Value, json};

/// The keys of these seeds, ascending, and the seeds in the same order.
fn sorted(seeds: &[u8]) -> (Vec<SignerKey>, Vec<u8>) {
    let mut pairs: Vec<_> = seeds.iter().map(|seed| (SignerKey::Ed25519(key(*seed).public()), *seed)).collect();
    pairs.sort_unstable();
    pairs.into_iter().unzip()
}

fn authority(threshold: u8, seeds: &[u8]) -> Authority {
    Authority::new(threshold, sorted(seeds).0).unwrap_or_else(|fault| panic!("{fault}"))
}

/// The first byte of the keys' area: after the threshold and the number of keys. A key has a tag and 32 bytes.
const KEYS: usize = 2;
const KEY: usize = 33;

fn refused(kind: &str, bytes: Vec<u8>, why: &str) -> Value {
    json!({ "type": kind, "bytes": hex::encode(bytes), "why": why })
}

/// Encodings of authorities that break a rule of V17, and its name.
fn broken_authorities() -> Vec<(Vec<u8>, String)> {
    let three = encode(&authority(2, &[1, 2, 3]));
    let change = |place: usize, byte: u8| {
        let mut bytes = three.clone();
        bytes[place] = byte;
        bytes
    };
    let keys = |places: &[usize]| -> Vec<u8> {
        let key = |place: &usize| &three[KEYS + place * KEY..KEYS + (place + 1) * KEY];
        let head: &[u8] = &[1, places.len() as u8];
        places.iter().fold(head.to_vec(), |bytes, place| [&bytes[..], key(place)].concat())
    };
    let eight = encode(&authority(1, &[1, 2, 3, 4, 5, 6, 7, 8]));
    let mut cases = vec![
        (vec![], "nothing".to_owned()),
        (vec![1, 0], "no keys".to_owned()),
        (change(0, 0), "a threshold of zero".to_owned()),
        (change(0, 4), "a threshold above the number of keys".to_owned()),
        ([&[1, 9][..], &eight[KEYS..], &[0; KEY]].concat(), "nine keys".to_owned()),
        (keys(&[1, 0]), "keys that descend".to_owned()),
        (keys(&[0, 2, 1]), "keys of which the last two descend".to_owned()),
        (keys(&[1, 1]), "a key twice".to_owned()),
        (change(KEYS, 1), "a key of an unknown kind".to_owned()),
        (three[..three.len() - 1].to_vec(), "the last byte is missing".to_owned()),
        ([&three[..], &[0]].concat(), "a byte too many".to_owned()),
    ];
    cases.extend(small_order().into_iter().map(|key| {
        let bytes = [&[1, 1, 0][..], &key].concat();
        (bytes, format!("the key {} of small order", hex::encode(&key[..4])))
    }));
    let mut beside = vec![(0, key(1).public()), (0, [0; 32])];
    beside.sort_unstable_by_key(|(_, key)| *key);
    let beside: Vec<u8> = beside.into_iter().flat_map(|(tag, key)| [&[tag][..], &key].concat()).collect();
    cases.push(([&[1, 2][..], &beside].concat(), "a key of small order beside another one".to_owned()));
    cases
}

/// Every encoding of the eight points of small order: seven y, each with both signs of x.
fn small_order() -> Vec<PublicKey> {
    let filled = |first: u8, between: u8, last: u8| {
        let mut key = [between; 32];
        (key[0], key[31]) = (first, last);
        key
    };
    let eighth: [PublicKey; 2] = [
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    ]
    .map(|text| Hash::from_hex(text).unwrap_or_else(|error| panic!("{error}")).0);
    let others = [(0, 0, 0), (1, 0, 0), (0xec, 0xff, 0x7f), (0xed, 0xff, 0x7f), (0xee, 0xff, 0x7f)];
    let all = others.map(|(first, between, last)| filled(first, between, last)).into_iter().chain(eighth);
    all.flat_map(|key| [0, 0x80].map(|sign| [&key[..31], &[key[31] | sign]].concat().try_into().unwrap_or(key)))
        .collect()
}

/// The cases of `authorities.json`.
pub fn authorities() -> Vec<Value> {
    let good = [
        ("one key", authority(1, &[1])),
        ("one of two keys", authority(1, &[1, 2])),
        ("two of two keys", authority(2, &[1, 2])),
        ("two of three keys", authority(2, &[1, 2, 3])),
        ("eight of eight keys", authority(8, &[1, 2, 3, 4, 5, 6, 7, 8])),
    ];
    let mut cases = Vec::new();
    for (name, authority) in good {
        let accounts =
            [0u8, 1, 255].map(|region| json!({ "region": region, "address": authority_account(region, &authority) }));
        let case = with(plain(name, "authority", &authority), "value", views::authority(&authority));
        let case = with(case, "hash", authority_hash(&authority).to_string());
        cases.push(with(case, "accounts", accounts.to_vec()));
    }
    cases.extend(broken_authorities().into_iter().map(|(bytes, why)| refused("authority", bytes, &why)));
    cases
}

/// The seeds of keys that sign, the body, and the transaction with their signatures.
fn signed(seeds: &[u8], body: TransactionBody2) -> Transaction2 {
    let keys = body.authority.keys();
    let place = |seed: u8| keys.iter().position(|one| *one == SignerKey::Ed25519(key(seed).public()));
    let sign = |seed: &u8| {
        let place = place(*seed).unwrap_or_else(|| panic!("seed {seed} has no key of the authority"));
        (place as u8, key(*seed).sign_body2(&chain(), &body))
    };
    let mut signatures: Vec<_> = seeds.iter().map(sign).collect();
    signatures.sort_unstable_by_key(|(place, _)| *place);
    Transaction2::new(body.clone(), signatures).unwrap_or_else(|fault| panic!("{fault}"))
}

fn body(authority: Authority, nonce: u64, data: Vec<Operation2>) -> TransactionBody2 {
    TransactionBody2 {
        sender: authority_account(0, &authority),
        authority,
        nonce,
        expires_at_ms: 1_800_000_000_000,
        work_limit: 100_000,
        shard_hint: None,
        location: None,
        data: list(data),
    }
}

/// Operations that version 1 hasn't, or has with other fields.
fn new_operations() -> Vec<Operation2> {
    let (one, two) = (authority(1, &[3]), authority(2, &[1, 2, 3]));
    let to = account(2, 1);
    let grant = |put, delete, prefixes: Vec<Key>, until_ms| Operation2::Grant {
        to,
        rights: Rights { put, delete },
        prefixes: list(prefixes),
        until_ms,
    };
    let settings = |recovery| AuthoritySettings { authority: two.clone(), delay_ms: 86_400_000, recovery };
    let recovery = Recovery { account: account(9, 0), delay_ms: 3_600_000, is_final: true };
    vec![
        Operation2::CreateAccount { region: 7, authority: one.clone(), storage_bytes: u64::MAX },
        Operation2::CreateAccount { region: 255, authority: two.clone(), storage_bytes: 0 },
        Operation2::Put { namespace: None, key: bytes(b"name"), value: bytes(b"hello") },
        Operation2::Put { namespace: Some(to), key: bytes(&[255, 0]), value: bytes(b"") },
        Operation2::Delete { namespace: None, key: bytes(b"name") },
        Operation2::Delete { namespace: Some(to), key: bytes(b"name") },
        grant(true, true, vec![bytes(b"shared/"), bytes(b"")], None),
        grant(true, false, vec![bytes(b"shared/")], Some(1_800_000_000_000)),
        grant(false, true, vec![bytes(b"shared/")], Some(u64::MAX)),
        grant(false, false, vec![], None),
        Operation2::SetAuthority { settings: settings(None), void_grants: false },
        Operation2::SetAuthority { settings: settings(Some(recovery)), void_grants: true },
        Operation2::CancelAuthority,
        Operation2::ApproveAuthority { account: to, change: settings_hash(&settings(Some(recovery)), true) },
        Operation2::Recover { account: to, authority: one },
        Operation2::WithdrawRecovery { account: to },
        Operation2::Approve { number: 7, change: Hash([8; 32]) },
        Operation2::Withdraw { number: u64::MAX },
        set_owner(),
        Operation2::RecoverOperators {
            base: Hash([7; 32]),
            operators: list((1..=3).map(|seed| key(seed).public()).collect()),
            quorum: 2,
        },
    ]
    .into_iter()
    .chain(
        changes()
            .into_iter()
            .map(|change| Operation2::Propose { change: Box::new(change), until_ms: 1_800_000_000_000 }),
    )
    .collect()
}

/// Another owner of a validator, with the new owner's signature.
fn set_owner() -> Operation2 {
    let (validator_key, owner_key, new) = (key(1).public(), key(2).public(), key(3));
    let body = OwnerPossessionBody { chain: chain(), validator_key, owner_key, new_owner_key: new.public() };
    let possession = new.sign(&signed_bytes(domain::OWNER_POSSESSION, &body));
    Operation2::SetOwner { validator_key, new_owner_key: new.public(), possession }
}

/// A change of each kind.
fn changes() -> Vec<GovernanceChange> {
    let of_the_committee = old_operations().into_iter().chain([set_owner()]).filter_map(|operation| {
        Some(match operation {
            Operation2::AddValidator { validator, possession } => {
                GovernanceChange::AddValidator { validator, possession }
            }
            Operation2::RemoveValidator { validator_key } => GovernanceChange::RemoveValidator { validator_key },
            Operation2::ReplaceKey { validator_key, new_validator_key, new_node_key, possession } => {
                GovernanceChange::ReplaceKey { validator_key, new_validator_key, new_node_key, possession }
            }
            Operation2::EndEpoch { epoch } => GovernanceChange::EndEpoch { epoch },
            Operation2::SetOwner { validator_key, new_owner_key, possession } => {
                GovernanceChange::SetOwner { validator_key, new_owner_key, possession }
            }
            _ => return None,
        })
    });
    let base = Hash([7; 32]);
    let operators = list((1..=3).map(|seed| key(seed).public()).collect());
    let parameters = Parameters {
        operators: operators.clone(),
        operator_quorum: 2,
        epoch_ms: 7_200_000,
        ..Parameters::of(Rules::V2)
    };
    let not_leading = list(vec![key(4).public(), key(5).public()]);
    let sponsor = account(9, 0);
    let account = PauseScope::Account(sponsor);
    let others = [
        GovernanceChange::SetParameters { base, parameters: parameters.clone() },
        GovernanceChange::SetOperators { base, operators, quorum: 2 },
        GovernanceChange::Pause { scope: PauseScope::All, until_ms: 1_800_000_000_000 },
        GovernanceChange::Pause { scope: account, until_ms: u64::MAX },
        GovernanceChange::Resume { scope: PauseScope::All },
        GovernanceChange::Resume { scope: account },
        GovernanceChange::SetSponsor { account: sponsor, work_ppm: 200_000, history_ppm: 100_000, until_ms: None },
        GovernanceChange::SetSponsor {
            account: sponsor,
            work_ppm: 1_000_000,
            history_ppm: 1,
            until_ms: Some(1_800_000_000_000),
        },
        GovernanceChange::AssignSponsor { account: sponsor, sponsor: 257 },
        GovernanceChange::Upgrade { version: 3, not_before_ms: 1_800_000_000_000 },
        GovernanceChange::SetParameters { base, parameters: Parameters { not_leading, ..parameters } },
    ];
    of_the_committee.chain(others).collect()
}

/// The operations of version 1's vectors that have the same fields in version 2.
fn old_operations() -> Vec<Operation2> {
    let all = sample_transactions().into_iter().chain(second_transactions());
    let all = all.flat_map(|(.., transaction)| transaction.body.data.into_vec());
    let same = |operation| {
        Some(match operation {
            Operation::Require(condition) => Operation2::Require(condition),
            Operation::Transfer { to, asset, amount } => Operation2::Transfer { to, asset, amount },
            Operation::Issue { symbol, to, amount } => Operation2::Issue { symbol, to, amount },
            Operation::AddProven { validator, possession } => Operation2::AddValidator { validator, possession },
            Operation::RemoveValidator { validator_key } => Operation2::RemoveValidator { validator_key },
            Operation::ReplaceProven { validator_key, new_validator_key, new_node_key, possession } => {
                Operation2::ReplaceKey { validator_key, new_validator_key, new_node_key, possession }
            }
            Operation::EndEpoch { epoch } => Operation2::EndEpoch { epoch },
            Operation::RegisterVerifier { key, named } => Operation2::RegisterVerifier { key, named },
            Operation::VerifyProof { verifier, inputs, proof } => Operation2::VerifyProof { verifier, inputs, proof },
            Operation::Shield { pool, asset, amount, transfer } => Operation2::Shield { pool, asset, amount, transfer },
            Operation::ShieldedTransfer { pool, transfer } => Operation2::ShieldedTransfer { pool, transfer },
            Operation::Unshield { pool, asset, amount, to, transfer } => {
                Operation2::Unshield { pool, asset, amount, to, transfer }
            }
            _ => return None,
        })
    };
    all.filter_map(same).collect()
}

/// Name, seeds of the keys that sign, transaction.
fn sample_transactions2() -> Vec<(&'static str, Vec<u8>, Transaction2)> {
    let put = || vec![Operation2::Put { namespace: None, key: bytes(b"name"), value: bytes(b"hello") }];
    let two_of_three = || body(authority(2, &[1, 2, 3]), 0, put());
    let placed = TransactionBody2 {
        location: Some(GeoLocation { latitude_e7: -900_000_000, longitude_e7: 1_800_000_000 }),
        ..body(authority(1, &[2]), 7, vec![])
    };
    let edge = TransactionBody2 {
        shard_hint: Some(ShardId(u32::MAX)),
        expires_at_ms: u64::MAX,
        work_limit: u64::MAX,
        ..body(authority(1, &[2]), u64::MAX, vec![])
    };
    let all = [
        ("one put", vec![1], body(authority(1, &[1]), 0, put())),
        ("no operations", vec![1], body(authority(1, &[1]), 1, vec![])),
        ("the first of two keys signs", vec![1], body(authority(1, &[1, 2]), 0, put())),
        ("the other of two keys signs", vec![2], body(authority(1, &[1, 2]), 0, put())),
        ("two of three keys sign", vec![1, 2], two_of_three()),
        ("two others of the three sign the same", vec![2, 3], two_of_three()),
        ("eight keys sign", (1..=8).collect(), body(authority(8, &[1, 2, 3, 4, 5, 6, 7, 8]), 0, put())),
        ("new operations", vec![1], body(authority(1, &[1]), 2, new_operations())),
        ("operations as in version 1", vec![1], body(authority(1, &[1]), 3, old_operations())),
        ("a location at the map's corner", vec![2], placed),
        ("a shard hint and the largest integers", vec![2], edge),
    ];
    all.map(|(name, seeds, body)| (name, seeds.clone(), signed(&seeds, body))).into_iter().collect()
}

fn case(name: &str, transaction: &Transaction2, holds: bool) -> Value {
    let case = plain(name, "transaction2", transaction);
    let case = with(case, "chain", chain().to_string());
    let case = with(case, "id", transaction2_id(&chain(), transaction.body()).to_string());
    let case = with(case, "signed", hex::encode(transaction2_bytes(&chain(), transaction.body())));
    with(with(case, "value", views::transaction(transaction)), "holds", holds)
}

/// Signatures with the places of their keys.
type Signatures = Vec<(u8, Signature2)>;

/// Transactions in the right form whose signatures don't all hold.
fn false_transactions() -> Vec<(&'static str, Transaction2)> {
    let good = signed(&[1, 2], body(authority(2, &[1, 2, 3]), 0, vec![]));
    let change = |change: &dyn Fn(&mut Signatures)| {
        let mut signatures = good.signatures().to_vec();
        change(&mut signatures);
        Transaction2::new(good.body().clone(), signatures).unwrap_or_else(|fault| panic!("{fault}"))
    };
    let elsewhere = |signed: &dyn Fn(u8) -> Signature2| {
        let seeds = sorted(&[1, 2, 3]).1;
        let signatures = good.signatures().iter().map(|(place, _)| (*place, signed(seeds[usize::from(*place)])));
        Transaction2::new(good.body().clone(), signatures.collect()).unwrap_or_else(|fault| panic!("{fault}"))
    };
    let other = ChainId([1; 32]);
    let first =
        |seed: u8| key(seed).sign(&[b"rustorium/transaction/v1\0", &encode(&(chain(), good.body()))[..]].concat());
    vec![
        (
            "a changed signature",
            change(&|all| {
                let Signature2::Ed25519(signature) = &mut all[1].1;
                signature[63] ^= 1;
            }),
        ),
        (
            "signatures that are swapped",
            change(&|all| {
                let first = all[0].1;
                all[0].1 = all[1].1;
                all[1].1 = first;
            }),
        ),
        ("one signature in both places", change(&|all| all[1].1 = all[0].1)),
        ("signed for another chain", elsewhere(&|seed| key(seed).sign_body2(&other, good.body()))),
        ("signed under the domain of version 1", elsewhere(&|seed| Signature2::Ed25519(first(seed)))),
    ]
}

/// Encodings of transactions that break a rule, and its name.
fn broken_transactions() -> Vec<(Vec<u8>, String)> {
    let put = vec![Operation2::Grant {
        to: account(2, 1),
        rights: Rights { put: true, delete: true },
        prefixes: list(vec![]),
        until_ms: None,
    }];
    let whole = signed(&[1, 2], body(authority(2, &[1, 2, 3]), 0, put));
    let bytes = encode(&whole);
    let body = encode(whole.body());
    let two: Vec<Vec<u8>> = whole.signatures().iter().map(encode).collect();
    let third = |place: u8| [&[place][..], &two[1][1..]].concat();
    let with = |signatures: &[&[u8]]| {
        signatures.iter().fold([&body[..], &[signatures.len() as u8]].concat(), |all, one| [&all[..], one].concat())
    };
    let change = |place: usize, byte: u8| {
        let mut changed = bytes.clone();
        changed[place] = byte;
        changed
    };
    // Version and kind come before the authority; sender, three integers and two options between it and the operations.
    let authority = 2 + 1;
    let operations = authority + KEYS + 3 * KEY + 32 + 3 * 8 + 2;
    let rights = operations + 4 + 1 + 32;
    let mut unknown_kind = two[1].clone();
    unknown_kind[1] = 1;
    let first = encode(&sample_transactions().remove(0).3);
    let mut cases = vec![
        (vec![], "nothing"),
        (with(&[&two[0]]), "fewer signatures than the threshold"),
        (with(&[]), "no signatures"),
        (with(&[&two[0], &two[1], &third(whole.signatures()[1].0 + 1)]), "more signatures than the threshold"),
        (with(&[&two[1], &two[1]]), "a signature twice"),
        (with(&[&two[1], &two[0]]), "signatures that descend"),
        (with(&[&two[0], &third(3)]), "a signature of a key that the authority hasn't"),
        (with(&[&two[0], &unknown_kind]), "a signature of an unknown kind"),
        (change(0, 3), "version 3"),
        (change(0, 1), "version 1 in the form of version 2"),
        ([&[2, 0][..], &first[2..]].concat(), "version 2 in the form of version 1"),
        (change(2, 1), "a transaction of a kind that no account sends"),
        (change(authority, 0), "an authority without a threshold"),
        (change(operations, 2), "more operations than are there"),
        (change(operations + 4, 200), "an unknown operation"),
        (change(rights, 4), "unknown rights"),
        (bytes[..bytes.len() - 1].to_vec(), "the last byte is missing"),
        ([&bytes[..], &[0]].concat(), "a byte too many"),
    ];
    let mut long = bytes.clone();
    long[operations..operations + 4].copy_from_slice(&257u32.to_le_bytes());
    cases.push((long, "more operations than may be"));
    cases.into_iter().map(|(bytes, why)| (bytes, why.to_owned())).collect()
}

/// The cases of `transactions2.json`.
pub fn transactions2() -> Vec<Value> {
    let good = sample_transactions2();
    let mut cases: Vec<Value> = good
        .iter()
        .map(|(name, seeds, transaction)| {
            let seeds: Vec<String> = seeds.iter().map(|seed| hex::encode([*seed; 32])).collect();
            with(case(name, transaction, true), "seeds", seeds)
        })
        .collect();
    cases.extend(false_transactions().into_iter().map(|(name, transaction)| case(name, &transaction, false)));
    cases.extend(broken_transactions().into_iter().map(|(bytes, why)| refused("transaction2", bytes, &why)));
    for authority in broken_authorities() {
        let (bytes, why) = authority;
        let sound = encode(&good[0].2);
        // A sound authority of one key lies between kind and sender.
        let (before, after) = (&sound[..3], &sound[3 + KEYS + KEY..]);
        if why != "a byte too many" && why != "the last byte is missing" && why != "nothing" {
            let why = format!("its authority: {why}");
            cases.push(refused("transaction2", [before, &bytes, after].concat(), &why));
        }
    }
    cases
}

//! A genesis as JSON and back.

use crate::chain::{genesis, genesis_with};
use rustorium_api::genesis_file::{from_json, to_json};
use rustorium_crypto::chain_id;
use rustorium_types::{AccountId, Parameters, Rules, ShardId};
use serde_json::Value;

fn value() -> Value {
    serde_json::from_str(&to_json(&genesis())).unwrap()
}

fn refused(value: &Value) -> String {
    from_json(&value.to_string()).unwrap_err().to_string()
}

#[test]
fn a_genesis_survives_the_round_trip() {
    let genesis = genesis();
    let read = from_json(&to_json(&genesis)).unwrap();
    assert_eq!(read, genesis);
    assert_eq!(chain_id(&read), chain_id(&genesis));
}

#[test]
fn a_pool_has_a_number_and_a_key() {
    let key: &[u8] = include_bytes!("../../../zk/src/shielded/devnet_verifying_key.bin");
    let mut value = value();
    value["pools"] = serde_json::json!([{ "number": 7, "key_hex": hex::encode(key) }]);
    let read = from_json(&value.to_string()).unwrap();
    assert_eq!((read.pools[0].number, read.pools[0].key.as_slice()), (7, key));
    assert_eq!(from_json(&to_json(&read)).unwrap(), read);
    assert_ne!(chain_id(&read), chain_id(&genesis()));
    // The key's hash stands beside the key; a hash in the file must match.
    let mut written: Value = serde_json::from_str(&to_json(&read)).unwrap();
    let pinned = rustorium_crypto::hash::value_hash(key).to_string();
    assert_eq!(written["pools"][0]["key_hash"], pinned);
    written["pools"][0]["key_hash"] = Value::from("0".repeat(64));
    let said = refused(&written);
    assert!(said.contains(&pinned) && said.contains("one of the two was changed"), "{said}");
    written["pools"][0]["key_hash"] = Value::from("0".repeat(63));
    assert!(refused(&written).contains("hex"));
    value["pools"][0]["key_hex"] = Value::from("no digits");
    assert!(refused(&value).contains("hex digits"));
    value["pools"][0]["key_hex"] = Value::from(hex::encode(&key[1..]));
    assert!(refused(&value).contains("not a verifying key of shielded transfers"));
}

#[test]
fn shards_have_a_lowest_account_and_members() {
    let mut value = value();
    assert!(value.get("shards").is_none(), "a chain of one shard lists none");
    let cut = AccountId([9; 32]);
    value["shards"] = serde_json::json!([{ "members": [0, 1] }, { "from": cut, "members": [3, 2] }]);
    let read = from_json(&value.to_string()).unwrap();
    assert_eq!(
        (read.shard_of(&cut), read.committee(ShardId(1))[0].name.clone()),
        (ShardId(1), read.validators[3].name.clone())
    );
    let written: Value = serde_json::from_str(&to_json(&read)).unwrap();
    assert_eq!(written["shards"], value["shards"]);
    assert_eq!(from_json(&to_json(&read)).unwrap(), read);
    assert_ne!(chain_id(&read), chain_id(&genesis()));
    value["shards"][1]["members"] = serde_json::json!([3]);
    assert!(refused(&value).contains("a validator is in no shard"));
    value["shards"][1]["range"] = Value::from(1);
    assert!(refused(&value).contains("unknown field"));
}

#[test]
fn the_order_of_accounts_does_not_matter() {
    let mut value = value();
    value["accounts"].as_array_mut().unwrap().reverse();
    assert_eq!(from_json(&value.to_string()).unwrap(), genesis());
}

#[test]
fn version_parameters_and_balances_may_be_left_out() {
    let mut value = value();
    let object = value.as_object_mut().unwrap();
    object.remove("parameters");
    assert_eq!(from_json(&value.to_string()).unwrap(), genesis());
    // A file without a version is of the first version.
    value.as_object_mut().unwrap().remove("version");
    let first = genesis_with(Parameters::of(Rules::V1));
    assert_eq!(from_json(&value.to_string()).unwrap(), first);
    for account in value["accounts"].as_array_mut().unwrap() {
        account.as_object_mut().unwrap().remove("balances");
    }
    assert!(from_json(&value.to_string()).unwrap().accounts.iter().all(|account| account.balances.is_empty()));
}

#[test]
fn the_least_age_of_an_epoch_follows_from_its_length_where_it_is_left_out() {
    let cases = [(1_000, 1_000), (600_000, 600_000), (5_000_000, 600_000), (24 * 3_600_000, 3_600_000)];
    for (epoch_ms, age_ms) in cases {
        let mut value = value();
        value["parameters"]["epoch_ms"] = Value::from(epoch_ms);
        value["parameters"].as_object_mut().unwrap().remove("min_epoch_ms");
        let read = from_json(&value.to_string()).unwrap();
        assert_eq!(read.parameters.min_epoch_ms, Some(age_ms), "{epoch_ms}");
    }
    // Version 1 has no minimum age, and a file of version 1 with one is refused.
    let mut first: Value = serde_json::from_str(&to_json(&genesis_with(Parameters::of(Rules::V1)))).unwrap();
    assert!(first["parameters"].get("min_epoch_ms").is_none());
    first["parameters"]["min_epoch_ms"] = Value::from(1);
    assert!(refused(&first).contains("min_epoch_ms"));
}

/// V13: the builds before the release of version 2 had another name for the least age.
#[test]
fn a_file_of_an_unreleased_version_two_is_refused_with_its_reason() {
    let mut value = value();
    let parameters = value["parameters"].as_object_mut().unwrap();
    let age_ms = parameters.remove("min_epoch_ms").unwrap();
    parameters.insert("epoch_age_min_ms".to_owned(), age_ms);
    assert!(refused(&value).contains("made by an unreleased build of protocol version 2"));
    value["version"] = Value::from(1);
    assert!(refused(&value).contains("unknown field"));
}

#[test]
fn unknown_fields_are_refused_wherever_they_are() {
    for place in ["", "/parameters", "/validators/0", "/accounts/0", "/accounts/0/balances/0"] {
        let mut value = value();
        value.pointer_mut(place).unwrap()["colour"] = Value::from("blue");
        assert!(refused(&value).contains("colour"), "{place}");
    }
}

#[test]
fn malformed_files_are_refused_with_a_sentence() {
    let cases: [(&str, Value); 7] = [
        ("/validators/0/validator_key", Value::from("00")),
        ("/validators/1/node_key", Value::from("zz".repeat(32))),
        ("/accounts/0/public_key", Value::from("0x11")),
        ("/accounts/0/balances/0/amount", Value::from("-1")),
        ("/accounts/0/balances/0/amount", Value::from("1.5")),
        ("/name", Value::from("x".repeat(65))),
        ("/version", Value::from(999)),
    ];
    for (place, bad) in cases {
        let mut value = value();
        *value.pointer_mut(place).unwrap() = bad;
        let why = refused(&value);
        assert!(why.starts_with("the genesis is not usable: ") && why.len() > 40, "{place}: {why}");
    }
    assert!(from_json("").is_err());
    assert!(from_json("[]").is_err());
}

#[test]
fn a_genesis_that_cannot_start_a_chain_is_refused_as_json() {
    let mut value = value();
    value["validators"] = Value::from(Vec::<Value>::new());
    assert!(refused(&value).contains("no validators"));
    let mut value = self::value();
    let twice = value["accounts"][0].clone();
    value["accounts"].as_array_mut().unwrap().push(twice);
    assert!(refused(&value).contains("each once"));
    let mut value = self::value();
    value["validators"][1]["validator_key"] = value["validators"][0]["validator_key"].clone();
    assert!(refused(&value).contains("share a key"));
}

//! Operations in the form of version 2 as JSON, there and back.

use rustorium_api::json::{OperationView, TransactionView};
use rustorium_types::limits::TRANSACTION_BYTES_MAX;
use rustorium_types::{AccountId, Operation2, Transaction, decode};
use serde_json::{Value, from_str, from_value, json, to_value};
use std::path::Path;

const SENDER: AccountId = AccountId([1; 32]);

/// The transactions of the vectors that are accepted.
fn transactions() -> Vec<Transaction> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/transactions2.json");
    let file: Value = from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let cases = file["cases"].as_array().unwrap().iter().filter(|case| case.get("why").is_none());
    let bytes = cases.map(|case| hex::decode(case["bytes"].as_str().unwrap()).unwrap());
    bytes.map(|bytes| decode(&bytes, TRANSACTION_BYTES_MAX).unwrap()).collect()
}

/// Says a namespace of the sender in one way: both have one meaning, and a view has the second.
fn plain(operation: &Operation2, sender: &AccountId) -> Operation2 {
    operation.as_first(sender).and_then(|first| Operation2::of_first(first, sender)).unwrap_or(operation.clone())
}

#[test]
fn each_operation_comes_back_from_its_view() {
    let mut count = 0;
    for transaction in transactions() {
        let Transaction::V2(second) = &transaction else { unreachable!("the file has this form alone") };
        let sender = &second.body().sender;
        let views = TransactionView::from(&transaction).operations;
        for (operation, view) in second.body().data.iter().zip(views) {
            let read: OperationView = from_value(to_value(&view).unwrap()).unwrap();
            assert_eq!(read, view);
            assert_eq!(read.into_second(sender).as_ref(), Ok(&plain(operation, sender)));
            count += 1;
        }
    }
    assert!(count >= 23, "{count} operations");
}

fn refused(view: Value) -> String {
    from_value::<OperationView>(view).unwrap().into_second(&SENDER).unwrap_err().to_string()
}

#[test]
fn accounts_and_changes_of_keys_say_what_is_wrong() {
    let key = "8a88e3dd7409f195fd52db2d3cba5d72ca6709bf1d94121bf3748801b40f6f5c";
    let create = |key: Value, authority: Value| json!({ "type": "create_account", "region": 0, "public_key": key, "authority": authority, "storage_bytes": 5 });
    let keys = |threshold, keys: &[&str]| json!({ "threshold": threshold, "keys": keys });
    assert!(from_value::<OperationView>(create(json!(key), Value::Null)).unwrap().into_second(&SENDER).is_ok());
    assert!(from_value::<OperationView>(create(Value::Null, keys(1, &[key]))).unwrap().into_second(&SENDER).is_ok());
    assert_eq!(refused(create(json!(key), keys(1, &[key]))), "give `public_key` or `authority`, not both");
    assert_eq!(refused(create(Value::Null, Value::Null)), "give `public_key`");
    let small = "00".repeat(32);
    assert!(refused(create(json!(small), Value::Null)).contains("small order"));
    for (threshold, given, why) in
        [(2, &[key][..], "2 of 1 keys"), (1, &[key, key], "none occurs twice"), (1, &[], "1 to 8 keys")]
    {
        assert!(
            refused(json!({ "type": "set_authority", "authority": keys(threshold, given) })).contains(why),
            "{why}"
        );
    }
}

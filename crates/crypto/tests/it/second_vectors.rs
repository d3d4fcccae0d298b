//! Reads the vectors of authorities and of transactions of version 2 as another implementation does.

use rustorium_crypto::{authority_account, authority_hash, transaction2_bytes, transaction2_id, verify_transactions};
use rustorium_types::limits::TRANSACTION_BYTES_MAX;
use rustorium_types::{Authority, ChainId, DecodeError, Transaction, Transaction1, Transaction2, decode, encode};
use serde_json::Value;
use std::path::Path;

fn cases(name: &str) -> Vec<Value> {
    let path = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../tests/vectors").join(name);
    let file: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    file["cases"].as_array().unwrap().clone()
}

/// The cases with and without a reason to be refused.
fn parted(name: &str) -> (Vec<Value>, Vec<Value>) {
    let (good, refused): (Vec<_>, Vec<_>) = cases(name).into_iter().partition(|case| case["why"].is_null());
    assert!(!good.is_empty() && !refused.is_empty(), "{name}");
    (good, refused)
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("no {key} in {case}"))
}

fn bytes(case: &Value, key: &str) -> Vec<u8> {
    hex::decode(text(case, key)).unwrap()
}

#[test]
fn authorities_have_their_hashes_and_accounts() {
    for case in parted("authorities.json").0 {
        let raw = bytes(&case, "bytes");
        let authority: Authority = decode(&raw, raw.len()).unwrap();
        assert_eq!(encode(&authority), raw, "{case}");
        assert_eq!(authority_hash(&authority).to_string(), text(&case, "hash"), "{case}");
        for account in case["accounts"].as_array().unwrap() {
            let region = account["region"].as_u64().unwrap() as u8;
            assert_eq!(authority_account(region, &authority).to_string(), text(account, "address"), "{case}");
        }
    }
}

#[test]
fn bytes_that_are_no_authority_are_refused() {
    for case in parted("authorities.json").1 {
        let refused = decode::<Authority>(&bytes(&case, "bytes"), TRANSACTION_BYTES_MAX);
        assert!(matches!(refused, Err(DecodeError::Malformed(_))), "{case}");
    }
}

#[test]
fn transactions_of_version_2_have_their_ids_and_hold_where_they_say_so() {
    for case in parted("transactions2.json").0 {
        let raw = bytes(&case, "bytes");
        let transaction: Transaction2 = decode(&raw, TRANSACTION_BYTES_MAX).unwrap();
        assert_eq!(encode(&transaction), raw, "{case}");
        assert_eq!(decode(&raw, TRANSACTION_BYTES_MAX), Ok(Transaction::V2(transaction.clone())), "{case}");
        let chain = ChainId::from_hex(text(&case, "chain")).unwrap();
        assert_eq!(transaction2_id(&chain, transaction.body()).to_string(), text(&case, "id"), "{case}");
        assert_eq!(transaction2_bytes(&chain, transaction.body()), bytes(&case, "signed"), "{case}");
        let result = verify_transactions(&chain, vec![transaction.clone().into()]).remove(0);
        assert_eq!(result.is_ok(), case["holds"].as_bool().unwrap(), "{case}");
        let other = verify_transactions(&ChainId([0; 32]), vec![transaction.into()]).remove(0);
        assert!(other.is_err(), "holds on another chain: {case}");
    }
}

#[test]
fn bytes_that_are_no_transaction_of_version_2_are_refused() {
    for case in parted("transactions2.json").1 {
        let raw = bytes(&case, "bytes");
        let refused = decode::<Transaction2>(&raw, TRANSACTION_BYTES_MAX);
        assert!(matches!(refused, Err(DecodeError::Malformed(_))), "{case}");
        let first = decode::<Transaction>(&raw, TRANSACTION_BYTES_MAX);
        if text(&case, "why") == "version 2 in the form of version 1" {
            assert!(matches!(first, Ok(Transaction::V1(_))), "{case}");
        } else {
            assert!(matches!(first, Err(DecodeError::Malformed(_))), "{case}");
        }
    }
}

/// V15: whatever version they claim, as blocks of version 1 may list them.
#[test]
fn transactions_in_the_form_of_version_1_are_read_as_they_lie() {
    for case in cases("transactions.json") {
        for version in [1u16, 0, 2, 3, 256, 258, u16::MAX] {
            let mut raw = bytes(&case, "bytes");
            raw[..2].copy_from_slice(&version.to_le_bytes());
            let transaction: Transaction1 = decode(&raw, TRANSACTION_BYTES_MAX).unwrap();
            assert_eq!(transaction.body.version, version);
            let read: Transaction = decode(&raw, TRANSACTION_BYTES_MAX).unwrap();
            assert_eq!((encode(&read), read), (raw, Transaction::V1(transaction)), "{case}");
        }
    }
}

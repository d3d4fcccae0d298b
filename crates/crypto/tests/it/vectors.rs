//! Reads the conformance vectors on disk as another implementation does, and compares them with what this code makes.

use crate::vector_cases;
use borsh::{BorshDeserialize, BorshSerialize};
use rustorium_crypto::*;
use rustorium_types::limits::GENESIS_BYTES_MAX;
use rustorium_types::*;
use serde_json::Value;
use std::path::Path;

fn cases(name: &str) -> Vec<Value> {
    let path = Path::new(&std::env::var("CARGO_MANIFEST_DIR").unwrap()).join("../../tests/vectors").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: Value = serde_json::from_str(&text).unwrap();
    file["cases"].as_array().unwrap().clone()
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_else(|| panic!("no {key} in {case}"))
}

fn bytes(case: &Value, key: &str) -> Vec<u8> {
    hex::decode(text(case, key)).unwrap()
}

fn hash(case: &Value, key: &str) -> Hash {
    Hash::from_hex(text(case, key)).unwrap()
}

fn signer(case: &Value) -> SigningKey {
    SigningKey::from_seed(&bytes(case, "seed").try_into().unwrap())
}

fn value<T: BorshDeserialize>(bytes: &[u8]) -> Result<T, DecodeError> {
    decode(bytes, GENESIS_BYTES_MAX)
}

/// Decodes the bytes as a value of this type and encodes it again.
fn again(kind: &str, bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
    fn of<T: BorshDeserialize + BorshSerialize>(bytes: &[u8]) -> Result<Vec<u8>, DecodeError> {
        value::<T>(bytes).map(|value| encode(&value))
    }
    match kind {
        "transaction" => of::<Transaction>(bytes),
        "batch" => of::<Batch>(bytes),
        "header" => of::<Header>(bytes),
        "block" => of::<Block>(bytes),
        "vote" => of::<SignedVote>(bytes),
        "certificate" => of::<Certificate>(bytes),
        "proposal" => of::<Proposal>(bytes),
        "message" => of::<Message>(bytes),
        "genesis" => of::<Genesis>(bytes),
        "receipt" => of::<Receipt>(bytes),
        "activation" => of::<Activation>(bytes),
        "term" => of::<Term>(bytes),
        "transition" => of::<EpochTransition>(bytes),
        "receipt_proof" => of::<ReceiptProof>(bytes),
        other => panic!("unknown type {other}"),
    }
}

/// Checks the hash that names a value, the bytes that are signed, and the signature.
fn check_names(case: &Value, bytes: &[u8]) {
    let kind = text(case, "type");
    let id = match kind {
        "transaction" => transaction_id(&value::<Transaction1>(bytes).unwrap().body).to_string(),
        "batch" => batch_digest(&value::<Batch>(bytes).unwrap().body).to_string(),
        "header" => block_digest(&value(bytes).unwrap()).to_string(),
        "genesis" => chain_id(&value(bytes).unwrap()).to_string(),
        "term" => term_hash(&value(bytes).unwrap()).to_string(),
        "receipt" => receipt_leaf(&value(bytes).unwrap()).to_string(),
        _ => return,
    };
    assert_eq!(id, text(case, "id"), "{case}");
}

fn check_signature(case: &Value, raw: &[u8]) {
    let signed = bytes(case, "signed");
    let key = signer(case);
    let signature = match text(case, "type") {
        "transaction" => {
            let transaction: Transaction1 = value(raw).unwrap();
            let sender = account_id(case["region"].as_u64().unwrap() as u8, &key.public());
            assert_eq!((transaction.body.sender, transaction.body.public_key), (sender, key.public()));
            assert_eq!(signed, [b"rustorium/transaction/v1\0", &raw[..raw.len() - 64]].concat());
            assert!(verify_transactions(&transaction.body.chain.clone(), vec![transaction.clone().into()])[0].is_ok());
            transaction.signature
        }
        "batch" => {
            let batch: Batch = value(raw).unwrap();
            assert!(verify_batch(&key.public(), batch.clone()).is_some());
            batch.signature
        }
        "vote" => {
            let vote: SignedVote = value(raw).unwrap();
            assert!(verify_vote(&key.public(), vote).is_some());
            vote.signature
        }
        "activation" => {
            let activation: Activation = value(raw).unwrap();
            assert!(verify_activation(&key.public(), &activation));
            assert_eq!(signed, [b"rustorium/activation/v1\0", &raw[..raw.len() - 64]].concat());
            activation.signature
        }
        other => panic!("a {other} is not signed"),
    };
    assert_eq!(key.sign(&signed), signature, "Ed25519 is deterministic");
    assert!(verify(&key.public(), &signed, &signature));
}

#[test]
fn the_files_are_what_this_code_makes() {
    for (name, made) in vector_cases::files() {
        let made: Value = serde_json::from_str(&made).unwrap();
        let made = made["cases"].as_array().unwrap();
        let held = cases(name);
        for (held, made) in held.iter().zip(made) {
            assert_eq!(held, made, "{name}: the format changed; if that was meant, run `just regenerate-vectors`");
        }
        assert_eq!(held.len(), made.len(), "{name}: run `just regenerate-vectors`");
    }
}

#[test]
fn values_decode_encode_and_have_their_names_and_signatures() {
    let mut signatures = 0;
    for case in ["transactions.json", "consensus.json", "ledger.json"].iter().flat_map(|name| cases(name)) {
        let raw = bytes(&case, "bytes");
        assert_eq!(again(text(&case, "type"), &raw).as_ref(), Ok(&raw), "{case}");
        check_names(&case, &raw);
        if !case["signed"].is_null() {
            check_signature(&case, &raw);
            signatures += 1;
        }
    }
    assert_eq!(signatures, 13 + 2 + 3 + 2);
}

#[test]
fn certificates_hold_where_they_say_so() {
    let all = cases("consensus.json");
    let certificates: Vec<_> = all.iter().filter(|case| text(case, "type") == "certificate").collect();
    assert_eq!(certificates.len(), 8);
    for case in certificates {
        let keys = case["keys"].as_array().unwrap().iter();
        let keys: Vec<PublicKey> =
            keys.map(|key| hex::decode(key.as_str().unwrap()).unwrap().try_into().unwrap()).collect();
        let certificate: Certificate = value(&bytes(case, "bytes")).unwrap();
        assert_eq!(verify_certificate(&keys, certificate).is_some(), case["holds"].as_bool().unwrap(), "{case}");
    }
}

#[test]
fn messages_travel_on_their_class() {
    let all = cases("consensus.json");
    for case in all.iter().filter(|case| text(case, "type") == "message") {
        let frame = bytes(case, "bytes");
        for (class, name) in [(Class::Consensus, "consensus"), (Class::Data, "data"), (Class::Sync, "sync")] {
            assert_eq!(Message::from_frame(class, &frame).is_ok(), text(case, "class") == name, "{case}");
        }
    }
}

#[test]
fn refused_bytes_are_refused() {
    for case in cases("refused.json") {
        let refused = again(text(&case, "type"), &bytes(&case, "bytes"));
        assert!(matches!(refused, Err(DecodeError::Malformed(_))), "{case}");
    }
}

#[test]
fn addresses_are_read_and_written() {
    for case in cases("addresses.json") {
        let parsed = AccountId::parse(text(&case, "text"));
        if case["why"].is_null() {
            let id = parsed.unwrap();
            assert_eq!((id.0.to_vec(), id.to_string().as_str()), (bytes(&case, "bytes"), text(&case, "text")));
        } else {
            assert!(matches!(parsed, Err(DecodeError::Address(_))), "{case}");
        }
    }
}

#[test]
fn hashes_come_out() {
    for case in cases("hashes.json") {
        let inputs = &case["inputs"];
        let account = |key: &str| AccountId::parse(text(inputs, key)).unwrap();
        let output = match text(&case, "type") {
            "account_id" => {
                let key = bytes(inputs, "public_key").try_into().unwrap();
                account_id(inputs["region"].as_u64().unwrap() as u8, &key).to_string()
            }
            "asset_id" => asset_id(&account("issuer"), text(inputs, "symbol").as_bytes()).to_string(),
            "value_hash" => value_hash(&bytes(inputs, "value_hex")).to_string(),
            "state_key" => {
                let kind = inputs["kind"].as_u64().unwrap() as u8;
                hex::encode(state_key(account("account"), kind, &bytes(inputs, "name_hex")).to_bytes())
            }
            "payload_root" => {
                let inline = inputs["inline"].as_array().unwrap().iter();
                let inline: Vec<Transaction> =
                    inline.map(|one| value(&hex::decode(one.as_str().unwrap()).unwrap()).unwrap()).collect();
                let cursors = |key| value::<Vec<Cursor>>(&bytes(inputs, key)).unwrap();
                payload_root(&inline, &cursors("parent_cursors"), &cursors("cursors")).to_string()
            }
            "result_root" => {
                let parts = ["previous", "receipts", "diff", "outbox"].map(|key| hash(inputs, key));
                result_root(&parts[0], &parts[1], &parts[2], &parts[3]).to_string()
            }
            "merkle" => merkle_root(inputs),
            other => panic!("unknown type {other}"),
        };
        assert_eq!(output, text(&case, "output"), "{case}");
    }
}

/// Returns the root over the leaves, and checks it with the path as well.
fn merkle_root(inputs: &Value) -> String {
    let hashes = |key: &str| serde_json::from_value::<Vec<Hash>>(inputs[key].clone()).ok();
    let leaves = hashes("leaves").unwrap();
    let index = inputs["index"].as_u64().unwrap() as usize;
    let root = merkle::root(&leaves);
    match hashes("siblings") {
        Some(path) => assert_eq!(merkle::root_from_path(leaves[index], index, leaves.len(), &path), Some(root)),
        None => assert!(leaves.is_empty()),
    }
    root.to_string()
}

//! Conformance vectors of accounts' records in the forms of both versions.

use super::*;
use rustorium_crypto::authority_hash;
use serde_json::{Value, json};

/// The file, in `tests/vectors`.
pub const RECORD_VECTORS: &str = "records.json";

fn shown(version: u8, record: &AccountRecord2) -> Value {
    let signer = match record.signer {
        Signer::Single(key) => json!({ "ed25519": hex::encode(key) }),
        Signer::Many(hash) => json!({ "authority": hash }),
    };
    let allowance = |one: Allowance| json!({ "left": one.left, "at_us": one.at_us });
    json!({
        "version": version, "signer": signer, "nonce": record.nonce, "storage_bytes_left": record.storage_bytes_left,
        "sponsor": record.sponsor, "work": allowance(record.work), "history": allowance(record.history),
    })
}

fn case(name: &str, bytes: &[u8]) -> Value {
    let record = AccountRecord2::from_bytes(bytes).unwrap();
    let version = if AccountRecord::from_bytes(bytes).is_ok() { 1 } else { 2 };
    json!({ "name": name, "bytes": hex::encode(bytes), "value": shown(version, &record) })
}

/// Makes the file.
pub fn record_vectors() -> String {
    let first = |public_key| AccountRecord {
        public_key,
        nonce: 1,
        quota_left: 0x0203,
        quota_at_ms: START_MS,
        storage_bytes_left: u64::MAX,
    };
    let second = |signer| AccountRecord2 {
        signer,
        nonce: u64::MAX - 1,
        storage_bytes_left: 6,
        sponsor: 0x0203,
        work: Allowance { left: 0x0405, at_us: 1_000 * START_MS + 1 },
        history: Allowance { left: 0x0607, at_us: 1_000 * START_MS + 2 },
    };
    let one = second(Signer::Single(signer(0).public())).to_bytes();
    let many = second(Signer::Many(authority_hash(&authority_of(2, &[0, 1, 2])))).to_bytes();
    let cases = [
        case("version 1", &first(signer(0).public()).to_bytes()),
        case("version 1, whose key begins as a record of version 2", &first([2; 32]).to_bytes()),
        case("one key", &one),
        case("two of three keys", &many),
    ];
    let changed = |place: usize, byte: u8| {
        let mut bytes = many.clone();
        bytes[place] = byte;
        bytes
    };
    let refused = [
        ("nothing", Vec::new()),
        ("version 1, cut", first([1; 32]).to_bytes()[..63].to_vec()),
        ("version 1 and a byte", [&first([1; 32]).to_bytes()[..], &[0]].concat()),
        ("a byte less", many[..many.len() - 1].to_vec()),
        ("a byte more", [&many[..], &[0]].concat()),
        ("another version", changed(0, 3)),
        ("another kind of signer", changed(1, 2)),
    ];
    let refused: Vec<Value> =
        refused.iter().map(|(name, bytes)| json!({ "name": name, "bytes": hex::encode(bytes) })).collect();
    let about = "Accounts' records in the state, in the forms of both versions, and bytes that are none.";
    let how = "Written by `just regenerate-vectors`; a change here is a change of the protocol.";
    format!("{:#}\n", json!({ "about": about, "how": how, "version": 1, "cases": cases, "refused": refused }))
}

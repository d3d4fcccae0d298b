//! Conformance vectors of accounts' records in the forms of both versions.

use super::*;
use rustorium_crypto::{authority_hash, settings_hash};
use serde_json::{Value, json};

/// The file, in `tests/vectors`.
pub const RECORD_VECTORS: &str = "records.json";

fn shown(version: u8, record: &AccountRecord2) -> Value {
    let signer = match record.signer {
        Signer::Single(key) => json!({ "ed25519": hex::encode(key) }),
        Signer::Many(hash) => json!({ "authority": hash }),
    };
    let allowance = |one: Allowance| json!({ "left": one.left, "at_us": one.at_us });
    let custody = match record.custody {
        CustodyState::Absent => "absent",
        CustodyState::Settled => "settled",
        CustodyState::Pending => "pending",
    };
    json!({
        "version": version, "signer": signer, "nonce": record.nonce, "storage_bytes_left": record.storage_bytes_left,
        "sponsor": record.sponsor, "work": allowance(record.work), "history": allowance(record.history),
        "custody": custody, "grants_era": record.grants_era,
    })
}

fn case(name: &str, bytes: &[u8]) -> Value {
    let record = AccountRecord2::from_bytes(bytes).unwrap();
    let version = if AccountRecord::from_bytes(bytes).is_ok() { 1 } else { 2 };
    json!({ "name": name, "bytes": hex::encode(bytes), "value": shown(version, &record) })
}

fn settings_shown(settings: &AuthoritySettings) -> Value {
    let key = |SignerKey::Ed25519(key): &SignerKey| json!({ "ed25519": hex::encode(key) });
    let keys: Vec<Value> = settings.authority.keys().iter().map(key).collect();
    let recovery =
        settings.recovery.map(|by| json!({ "account": by.account, "delay_ms": by.delay_ms, "final": by.is_final }));
    json!({
        "authority": { "threshold": settings.authority.threshold(), "keys": keys },
        "delay_ms": settings.delay_ms, "recovery": recovery,
    })
}

fn custody_case((name, custody): (&str, CustodyRecord)) -> Value {
    let pending = custody.pending.as_ref().map(|pending| {
        let by = match pending.by {
            ChangedBy::Keys => "keys",
            ChangedBy::Recovery => "recovery",
        };
        json!({
            "by": by, "settings": settings_shown(&pending.settings), "void_grants": pending.void_grants,
            "due_ms": pending.due_ms, "change": settings_hash(&pending.settings, pending.void_grants),
        })
    });
    let value = json!({ "settings": settings_shown(&custody.settings), "pending": pending });
    json!({ "name": name, "bytes": hex::encode(custody.to_bytes()), "value": value })
}

/// Custody leaves, and bytes that are none.
fn custody_vectors() -> (Vec<Value>, Vec<Value>) {
    let largest = |first: usize| {
        let keys: Vec<usize> = (first..first + 8).collect();
        settings(&authority_of(5, &keys), 30 * DAY_MS, recovery(2, 90 * DAY_MS, true))
    };
    let pending = |by, settings, void_grants| Some(PendingChange { by, settings, void_grants, due_ms: START_MS + 7 });
    let small = || CustodyRecord { settings: settings(&one(0), 0, recovery(1, HOUR_MS, false)), pending: None };
    let waits = CustodyRecord { pending: pending(ChangedBy::Keys, largest(20), true), settings: largest(30) };
    let recovered = pending(ChangedBy::Recovery, settings(&one(3), 0, recovery(1, HOUR_MS, false)), true);
    let changed = |place: usize, byte: u8| {
        let mut bytes = waits.to_bytes();
        bytes[place] = byte;
        bytes
    };
    let refused = [
        ("nothing", Vec::new()),
        ("a byte less", waits.to_bytes()[..CUSTODY_BYTES_MAX - 1].to_vec()),
        ("a byte more", [&waits.to_bytes()[..], &[0]].concat()),
        ("a threshold of none", changed(0, 0)),
        ("another option of a change", changed(316, 2)),
        ("another maker", changed(317, 2)),
        ("another answer about grants", changed(CUSTODY_BYTES_MAX - 9, 2)),
    ];
    let refused = refused.iter().map(|(name, bytes)| json!({ "name": name, "bytes": hex::encode(bytes) })).collect();
    let delay = settings(&authority_of(2, &[0, 1, 2]), DAY_MS, None);
    let cases = [
        ("a delay", CustodyRecord { settings: delay, pending: None }),
        ("a recovery account", small()),
        ("a recovery", CustodyRecord { pending: recovered, ..small() }),
        ("the largest", waits),
    ];
    (cases.into_iter().map(custody_case).collect(), refused)
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
    let second = |signer, custody, grants_era| AccountRecord2 {
        signer,
        nonce: u64::MAX - 1,
        storage_bytes_left: 6,
        sponsor: 0x0203,
        work: Allowance { left: 0x0405, at_us: 1_000 * START_MS + 1 },
        history: Allowance { left: 0x0607, at_us: 1_000 * START_MS + 2 },
        custody,
        grants_era,
    };
    let one = second(Signer::Single(signer(0).public()), CustodyState::Absent, 0).to_bytes();
    let hash = authority_hash(&authority_of(2, &[0, 1, 2]));
    let many = second(Signer::Many(hash), CustodyState::Settled, 0x0607).to_bytes();
    let changing = second(Signer::Many(hash), CustodyState::Pending, u32::MAX).to_bytes();
    let cases = [
        case("version 1", &first(signer(0).public()).to_bytes()),
        case("version 1, whose key begins as a record of version 2", &first([2; 32]).to_bytes()),
        case("one key", &one),
        case("two of three keys", &many),
        case("two of three keys, and a change waits", &changing),
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
        ("another kind of custody", changed(78, 3)),
    ];
    let refused: Vec<Value> =
        refused.iter().map(|(name, bytes)| json!({ "name": name, "bytes": hex::encode(bytes) })).collect();
    let (custody, custody_refused) = custody_vectors();
    let about =
        "Accounts' records in the state, in the forms of both versions, their custody leaves, and bytes that are none.";
    let how = "Written by `just regenerate-vectors`; a change here is a change of the protocol.";
    format!(
        "{:#}\n",
        json!({
            "about": about, "how": how, "version": 1, "cases": cases, "refused": refused,
            "custody": custody, "custody_refused": custody_refused,
        })
    )
}

//! Makes the conformance vectors from fixed seeds: files of cases.
//!
//! A case has `name`, `type` and `bytes` (hex); signed ones `seed` and `signed` (the bytes under the signature), named
//! ones `id`; transactions also `value`, in the JSON form of the HTTP API, so that other languages can build them.

mod second;
mod second_views;
mod terms;
mod values;
mod views;

use rustorium_crypto::{domain, merkle, signed_bytes, term_hash};
use rustorium_types::{AccountId, BlockDigest, BoundedVec, ChainId, Change, Cursor, Hash, ResultClaim, encode};
use serde_json::{Value, json};
use terms::*;
use values::*;

/// A file's name and its text.
pub type File = (&'static str, String);

/// All files.
pub fn files() -> Vec<File> {
    vec![
        file("transactions.json", "Signed transactions. `region` and the seed's key name the sender.", transactions()),
        file("consensus.json", "Batches, headers, blocks, votes, certificates, proposals, messages.", consensus()),
        file("ledger.json", "Genesis, receipts, activations, terms, ends of epochs and receipt proofs.", ledger()),
        file("hashes.json", "Ids, roots and paths: `inputs` to `output`.", hashes()),
        file("addresses.json", "Addresses: of valid ones `bytes`, of refused ones `why`.", addresses()),
        file(
            "authorities.json",
            "Authorities, with hashes and accounts. Bytes with `why` are none.",
            second::authorities(),
        ),
        file("transactions2.json", "Transactions of version 2. Bytes with `why` are none.", second::transactions2()),
        file("refused.json", "Bytes that are no value of `type`.", refused()),
    ]
}

fn file(name: &'static str, about: &str, cases: Vec<Value>) -> File {
    let how = "Written by `just regenerate-vectors`; a change here is a change of the protocol.";
    let value = json!({ "about": about, "how": how, "version": 1, "cases": cases });
    (name, format!("{value:#}\n"))
}

fn plain<T: borsh::BorshSerialize>(name: &str, kind: &str, value: &T) -> Value {
    json!({ "name": name, "type": kind, "bytes": hex::encode(encode(value)) })
}

fn with(mut case: Value, key: &str, value: impl Into<Value>) -> Value {
    case[key] = value.into();
    case
}

fn transactions() -> Vec<Value> {
    let one = |(name, seed, region, transaction): (&str, u8, u8, rustorium_types::Transaction1)| {
        let case = plain(name, "transaction", &transaction);
        let case = with(case, "id", rustorium_crypto::transaction_id(&transaction.body).to_string());
        let case = with(case, "seed", hex::encode([seed; 32]));
        let case = with(case, "region", region);
        let case = with(case, "signed", hex::encode(signed_bytes(domain::TRANSACTION, &transaction.body)));
        with(case, "value", views::transaction(&transaction))
    };
    sample_transactions().into_iter().chain(second_transactions()).map(one).collect()
}

fn consensus() -> Vec<Value> {
    let mut cases = Vec::new();
    for (name, seed, batch) in sample_batches() {
        let case = plain(name, "batch", &batch);
        let digest = rustorium_crypto::batch_digest(&batch.body);
        let signed = [domain::BATCH_SIGNATURE, &digest.0[..]].concat();
        let case = with(with(case, "id", digest.to_string()), "seed", hex::encode([seed; 32]));
        cases.push(with(case, "signed", hex::encode(signed)));
    }
    for (name, header) in sample_headers() {
        let id = rustorium_crypto::block_digest(&header).to_string();
        cases.push(with(plain(name, "header", &header), "id", id));
    }
    for (name, vote) in sample_votes() {
        let case = with(plain(name, "vote", &vote), "seed", hex::encode([vote.signer.0 as u8; 32]));
        cases.push(with(case, "signed", hex::encode(rustorium_crypto::vote_bytes(&vote.body))));
    }
    let keys: Vec<String> = committee_keys().iter().map(hex::encode).collect();
    for (name, holds, certificate) in sample_certificates() {
        let case = with(plain(name, "certificate", &certificate), "keys", keys.clone());
        cases.push(with(case, "holds", holds));
    }
    cases.push(plain("a block with an inline transaction", "block", &sample_block()));
    cases.push(plain("a proposal with what justifies it", "proposal", &sample_proposal()));
    for (name, message) in sample_messages() {
        cases.push(with(plain(name, "message", &message), "class", format!("{:?}", message.class()).to_lowercase()));
    }
    cases
}

fn ledger() -> Vec<Value> {
    let mut cases = Vec::new();
    for (name, genesis) in sample_geneses() {
        let id = rustorium_crypto::chain_id(&genesis).to_string();
        cases.push(with(plain(name, "genesis", &genesis), "id", id));
    }
    for (name, receipt) in sample_receipts() {
        let id = rustorium_crypto::receipt_leaf(&receipt).to_string();
        cases.push(with(plain(name, "receipt", &receipt), "id", id));
    }
    for (name, seed, activation) in sample_activations() {
        let signed = signed_bytes(domain::ACTIVATION, &activation.body);
        let case = with(plain(name, "activation", &activation), "seed", hex::encode([seed; 32]));
        cases.push(with(case, "signed", hex::encode(signed)));
    }
    for (name, change) in [
        ("a term that changes nothing", Change::None),
        ("a first term of a version", Change::Version),
        ("a term with other parameters", Change::Parameters),
        ("a term with other operators", Change::Operators),
        ("a term with another committee", Change::Committee),
    ] {
        let term = sample_term(change);
        cases.push(with(plain(name, "term", &term), "id", term_hash(&term).to_string()));
    }
    for (name, transition) in sample_transitions() {
        cases.push(plain(name, "transition", &transition));
    }
    cases.push(plain("a receipt proof over two heights", "receipt_proof", &sample_receipt_proof()));
    cases
}

fn hashes() -> Vec<Value> {
    let mut cases = Vec::new();
    let mut add = |name: &str, kind: &str, inputs: Value, output: String| {
        cases.push(json!({ "name": name, "type": kind, "inputs": inputs, "output": output }));
    };
    for (region, seed) in [(0u8, 1u8), (1, 1), (255, 2)] {
        let public = key(seed).public();
        let id = rustorium_crypto::account_id(region, &public);
        let inputs = json!({ "region": region, "public_key": hex::encode(public) });
        add("an account's address", "account_id", inputs, id.to_string());
    }
    for symbol in ["EUR", "", "SIXTEEN-CHARS-OK"] {
        let issuer = account(1, 0);
        let id = rustorium_crypto::asset_id(&issuer, symbol.as_bytes());
        add("an asset's id", "asset_id", json!({ "issuer": issuer, "symbol": symbol }), id.to_string());
    }
    for value in [&b""[..], b"hello"] {
        let output = rustorium_crypto::value_hash(value).to_string();
        add("a value's hash", "value_hash", json!({ "value_hex": hex::encode(value) }), output);
    }
    let leaf = rustorium_crypto::state_key(account(1, 0), 2, b"name").to_bytes();
    let inputs = json!({ "account": account(1, 0), "kind": 2, "name_hex": hex::encode("name") });
    add("a state leaf's key", "state_key", inputs, hex::encode(leaf));
    let (parent, cursors) = (vec![Cursor::default(); 2], vec![cursor(3), Cursor::default()]);
    let inline = [sample_transactions().remove(0).3.into()];
    for inline in [&inline[..0], &inline[..]] {
        let root = rustorium_crypto::payload_root(inline, &parent, &cursors).to_string();
        let list: Vec<String> = inline.iter().map(|one| hex::encode(encode(one))).collect();
        let inputs = json!({
            "inline": list, "parent_cursors": hex::encode(encode(&parent)), "cursors": hex::encode(encode(&cursors)),
        });
        add("a payload root", "payload_root", inputs, root);
    }
    let parts = [1u8, 2, 3, 4].map(|byte| Hash([byte; 32]));
    let root = rustorium_crypto::result_root(&parts[0], &parts[1], &parts[2], &parts[3]).to_string();
    let inputs = json!({ "previous": parts[0], "receipts": parts[1], "diff": parts[2], "outbox": parts[3] });
    add("a result root", "result_root", inputs, root);
    for count in [0usize, 1, 2, 3, 7] {
        let leaves: Vec<Hash> = (0..count).map(|at| Hash([at as u8; 32])).collect();
        let path = merkle::path(&leaves, count / 2);
        let inputs = json!({ "leaves": leaves, "index": count / 2, "siblings": path });
        add(
            "a Merkle root, and the path of a leaf where there is one",
            "merkle",
            inputs,
            merkle::root(&leaves).to_string(),
        );
    }
    cases
}

fn addresses() -> Vec<Value> {
    let valid = [AccountId([0; 32]), AccountId([255; 32]), account(1, 0), account(2, 9)];
    let mut cases: Vec<Value> =
        valid.iter().map(|id| json!({ "text": id.to_string(), "bytes": hex::encode(id.0) })).collect();
    let text = account(1, 0).to_string();
    let swapped: String = text.chars().map(|c| if c == 'q' { 'p' } else { c }).collect();
    let mixed = format!("{}{}", &text[..20], text[20..].to_uppercase());
    for (text, why) in [
        (swapped, "other characters than the checksum's"),
        (mixed, "capitals and small letters"),
        (text[..60].to_owned(), "a character too few"),
        (format!("{text}q"), "a character too many"),
        (text.replacen("rs1", "rt1", 1), "another prefix"),
        (String::new(), "nothing"),
        ("rs1".to_owned(), "only the prefix"),
    ] {
        cases.push(json!({ "text": text, "why": why }));
    }
    cases
}

fn refused() -> Vec<Value> {
    let case = |kind: &str, bytes: Vec<u8>, why: &str| json!({ "type": kind, "bytes": hex::encode(bytes), "why": why });
    let transaction = encode(&sample_transactions().remove(0).3);
    let body = transaction.len() - 64;
    let mut cases = vec![
        case("transaction", vec![], "nothing"),
        case("transaction", transaction[..transaction.len() - 1].to_vec(), "the last byte is missing"),
        case("transaction", [&transaction[..], &[0]].concat(), "a byte too many"),
    ];
    // The options follow version, chain, sender, key and three integers.
    let mut option = transaction.clone();
    option[122] = 2;
    cases.push(case("transaction", option, "an option's tag is neither 0 nor 1"));
    let mut long = transaction.clone();
    long[124..128].copy_from_slice(&257u32.to_le_bytes());
    cases.push(case("transaction", long, "more operations than may be"));
    let mut tag = transaction.clone();
    tag[128] = 200;
    cases.push(case("transaction", tag, "an unknown operation"));
    let mut key = transaction[..body].to_vec();
    key[161..165].copy_from_slice(&u32::MAX.to_le_bytes());
    cases.push(case("transaction", key, "a key longer than may be, whose bytes are missing"));
    let mut vote = encode(&sample_votes().remove(0).1);
    vote[52] = 3;
    cases.push(case("vote", vote, "an unknown kind of vote"));
    let mut certificate = encode(&sample_certificates().remove(0).2);
    certificate[85..89].copy_from_slice(&129u32.to_le_bytes());
    cases.push(case("certificate", certificate, "more signers than may be"));
    cases.push(case("message", vec![9], "an unknown message"));
    cases.push(case("message", vec![7, 0, 0, 0, 0, 0, 0, 0, 0, 4], "an unknown request"));
    let mut header = encode(&child_header());
    header.pop();
    cases.push(case("header", [&header[..], &[2]].concat(), "an unknown claim on the state"));
    let mut activation = encode(&sample_activations().remove(0).2);
    activation[0] = 3;
    cases.push(case("activation", activation, "an activation of version 3"));
    let mut operators = encode(&sample_activations().remove(0).2);
    operators[195..199].copy_from_slice(&17u32.to_le_bytes());
    cases.push(case("activation", operators, "more operators than may be"));
    let mut term = encode(&sample_term(Change::None));
    term[170] = 5;
    cases.push(case("term", term, "an unknown change"));
    let transitions = sample_transitions();
    let mut first = encode(&transitions[1].1);
    first.drain(..2);
    cases.push(case("transition", first, "a first term without its mark"));
    let mut version = encode(&transitions[0].1);
    version[0] = 2;
    cases.push(case("transition", version, "an end of version 1 under version 2"));
    cases
}

fn child_header() -> rustorium_types::Header {
    let mut header = sample_headers().remove(0).1;
    header.parent = BlockDigest([9; 32]);
    header.chain = ChainId([1; 32]);
    header.result = ResultClaim::default();
    header.cursors = BoundedVec::default();
    header
}

//! The light client of a page, which passes a node's answers to it: a conversation is one request a line.

use crate::corpus::{bytes_of, vectors};
use rustorium_light::Session;
use rustorium_types::{Block, BoundedVec, PROOF_BYTES_MAX, Proof, decode, encode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// More than the longest conversation of the seeds, so that what one input costs is bounded.
const QUESTIONS_MAX: usize = 12;

/// Facts that were shown about a chain.
#[derive(Default)]
struct Truth {
    /// Everything except the items of a read.
    facts: Vec<Value>,
    items: Vec<Value>,
}

static CHAINS: LazyLock<BTreeMap<String, Truth>> = LazyLock::new(|| {
    let mut chains: BTreeMap<String, Truth> = BTreeMap::new();
    for conversation in conversations() {
        hold(&conversation, |chain, facts, items| {
            let truth = chains.entry(chain.to_owned()).or_default();
            truth.facts.push(facts);
            truth.items.extend(items);
        });
    }
    assert!(chains.values().any(|truth| !truth.items.is_empty()), "nothing was shown");
    chains
});

/// Asks, and passes chain, facts and items of each shown proof on. Each request has one answer of a known kind.
fn hold(conversation: &[u8], mut shown: impl FnMut(&str, Value, Vec<Value>)) {
    let mut session = Session::default();
    let mut chain = String::new();
    for question in conversation.split(|byte| *byte == b'\n').take(QUESTIONS_MAX) {
        let mut answer: Value = serde_json::from_str(&session.answer(question)).unwrap();
        let answer = answer.as_object_mut().unwrap();
        let code = answer.remove("code");
        let of_header = ["protocol", "signers"].map(|name| answer.remove(name));
        assert_eq!(answer.len(), 1, "an answer says one thing");
        let shows = answer.contains_key("shown");
        assert!(of_header.iter().all(|fact| fact.is_some() == shows), "only a proof has a header: {of_header:?}");
        assert_eq!(answer.contains_key("refused"), code.is_some_and(|code| code.is_string()), "refusals have codes");
        let (kind, what) = answer.iter().next().unwrap();
        match kind.as_str() {
            "started" => chain = what["chain"].as_str().unwrap().to_owned(),
            "shown" => {
                let mut facts = what.clone();
                let items = facts.as_object_mut().unwrap().remove("items");
                let items = items.and_then(|items| items.as_array().cloned()).unwrap_or_default();
                assert_eq!(facts["chain"], chain, "shown of another chain");
                shown(&chain, facts, items);
            }
            "epoch" => assert!(what.is_u64()),
            "missing" => assert!(what[0].as_u64() < what[1].as_u64()),
            "refused" => assert!(what.as_str().is_some_and(|why| !why.is_empty())),
            other => panic!("an answer of kind {other}"),
        }
    }
}

/// About a known chain, only true facts are shown. One proof shows that many keys are absent: all whose path ends at
/// the same place.
pub fn questions(input: &[u8]) {
    hold(input, |chain, facts, items| {
        let Some(truth) = CHAINS.get(chain) else { return };
        assert!(truth.facts.contains(&facts), "shown, and not true: {facts}");
        for item in items {
            let absent = item["record"].is_null()
                && item["value_hex"].is_null()
                && item["balance"].as_str().is_none_or(|balance| balance == "0");
            assert!(absent || truth.items.contains(&item), "shown, and not held: {item}");
        }
    });
}

/// The requests of a page for a proof: as a file, and as the parts that a node gives.
fn checks(bytes: &[u8]) -> Vec<Value> {
    let check = |kind: &str, part: Option<Vec<u8>>, proof: &[u8]| json!({ "ask": "check", "kind": kind, "part_hex": part.map(hex::encode), "proof_hex": hex::encode(proof), "now_ms": 0 });
    let parts = match decode::<Proof>(bytes, PROOF_BYTES_MAX) {
        Ok(Proof::Read(read)) => Some(check("read", None, &encode(&read))),
        Ok(Proof::Transaction(whole)) => {
            Some(check("transaction", Some(encode(&whole.transaction)), &encode(&whole.receipt)))
        }
        Ok(Proof::Block(shown)) => {
            let block = Block { header: shown.header.clone(), inline: BoundedVec::default() };
            Some(check("block", Some(encode(&block)), &encode(&shown.proof)))
        }
        _ => None,
    };
    [check("any", None, bytes)].into_iter().chain(parts).collect()
}

/// Each case after the epoch changes that it names, and after all of its chain: a block that is refused because of a
/// change beside it may be final.
pub fn conversations() -> Vec<Vec<u8>> {
    let cases = vectors("proofs.json");
    let changes_of = |case: &Value| case["epochs"].as_array().cloned().unwrap_or_default();
    let conversation = |case: &Value, changes: Vec<Value>| {
        let start = json!({ "ask": "start", "genesis_hex": case["genesis"] });
        let follow = changes.iter().map(|change| json!({ "ask": "follow", "change_hex": change, "now_ms": 0 }));
        let questions = [start].into_iter().chain(follow).chain(checks(&bytes_of(case, "bytes")));
        questions.map(|question| question.to_string()).collect::<Vec<_>>().join("\n").into_bytes()
    };
    let both = |case: &Value| {
        let siblings = cases.iter().filter(|other| other["genesis"] == case["genesis"]);
        let all = siblings.map(changes_of).max_by_key(Vec::len).unwrap_or_default();
        [changes_of(case), all].map(|changes| conversation(case, changes))
    };
    cases.iter().flat_map(both).collect()
}

//! The decisions of operators' seats, and owners' wishes for other operators, in the audit log: a line a block, each block once (V50).
//!
//! *Invariants:* a line is written before its block is stored; a block that is executed again after a crash adds nothing.

use parking_lot::Mutex;
use rustorium_api::json::change_type;
use rustorium_crypto::change_hash;
use rustorium_stages::decisions::{Decision, Decisions, SeatAct, hash_of};
use rustorium_stages::owner_wishes::OwnerWish;
use rustorium_storage::AuditSink;
use rustorium_types::{GovernanceChange, PauseScope, Signer, Term};
use serde_json::{Map, Value, json};
use std::io;
use std::sync::Arc;

/// The audit log's event.
const EVENT: &str = "governance";
/// Acts of one line. An act takes less than 400 bytes, and a line 64 KiB at most.
const LINE_ACTS_MAX: usize = 128;

/// A place of a line: the block's height, and the number of the line among the block's.
type Place = (u64, u64);

/// The decisions' part of the audit log.
pub(crate) struct DecisionLog {
    audit: Arc<AuditSink>,
    /// The newest line that is written.
    last: Mutex<Option<Place>>,
}

impl DecisionLog {
    /// Finds the newest line of earlier starts. Errors: the audit log can't be read.
    pub(crate) fn open(audit: Arc<AuditSink>) -> io::Result<Self> {
        let mut last = None;
        audit.each(EVENT, |fields| {
            let number = |name: &str| fields.get(name).and_then(Value::as_u64);
            last = last.max(number("height").zip(number("part")));
        })?;
        Ok(Self { audit, last: Mutex::new(last) })
    }

    /// Writes a block's decisions, as far as they aren't written yet. A failure is logged and ends nothing.
    pub(crate) fn note(&self, decisions: &Decisions) {
        let wishes = decisions.wishes.iter().map(wished);
        let acts = decisions.decided.iter().map(act).chain(wishes).chain(decisions.term.iter().map(begun));
        let acts: Vec<Value> = acts.collect();
        let mut last = self.last.lock();
        for (part, acts) in (0..).zip(acts.chunks(LINE_ACTS_MAX)) {
            let place = (decisions.height.0, part);
            if last.is_some_and(|last| place <= last) {
                continue;
            }
            let fields =
                json!({ "height": decisions.height, "time_ms": decisions.time_ms, "part": part, "acts": acts });
            if let Err(error) = self.audit.record(EVENT, fields) {
                tracing::error!(event = "audit_failed", reason = %error);
                return;
            }
            *last = Some(place);
        }
    }
}

fn act(decision: &Decision) -> Value {
    let mut fields = Map::new();
    let name = match &decision.act {
        SeatAct::Proposed { number, change, until_ms } => {
            fields.insert("number".into(), json!(number));
            fields.insert("change".into(), json!(change_type(change)));
            fields.insert("until_ms".into(), json!(until_ms));
            "proposed"
        }
        SeatAct::Approved { number, .. } => {
            fields.insert("number".into(), json!(number));
            "approved"
        }
        SeatAct::Withdrew { number, ended } => {
            fields.insert("number".into(), json!(number));
            fields.insert("ended".into(), json!(ended));
            "withdrawn"
        }
        SeatAct::Made { number, change } => {
            fields.insert("number".into(), json!(number));
            fields.insert("change".into(), json!(change_type(change)));
            made(change, &mut fields)
        }
        SeatAct::Rekeyed { signer } => {
            let (name, value) = match signer {
                Signer::Single(key) => ("public_key", json!(rustorium_types::Hash(*key))),
                Signer::Many(hash) => ("authority_hash", json!(hash)),
            };
            fields.insert(name.into(), value);
            "keys-changed"
        }
    };
    if let Some(hash) = hash_of(&decision.act) {
        fields.insert("hash".into(), json!(hash));
    }
    fields.insert("act".into(), json!(name));
    fields.insert("seat".into(), json!(decision.seat));
    fields.insert("transaction".into(), json!(decision.transaction));
    Value::Object(fields)
}

fn wished(wish: &OwnerWish) -> Value {
    let mut fields = json!({
        "act": if wish.from_ms.is_some() { "replaced" } else { "wished" },
        "validator": wish.validator,
        "change": change_type(&wish.change),
        "hash": change_hash(&wish.change),
        "transaction": wish.transaction,
    });
    if let (Some(from_ms), Some(fields)) = (wish.from_ms, fields.as_object_mut()) {
        fields.insert("from_ms".into(), json!(from_ms));
    }
    fields
}

/// Adds of a pause whom it stops and until when. Returns the act's name.
fn made(change: &GovernanceChange, fields: &mut Map<String, Value>) -> &'static str {
    let (name, scope) = match change {
        GovernanceChange::Pause { scope, until_ms } => {
            fields.insert("until_ms".into(), json!(until_ms));
            ("paused", scope)
        }
        GovernanceChange::Resume { scope } => ("resumed", scope),
        _ => return "made",
    };
    if let PauseScope::Account(account) = scope {
        fields.insert("account".into(), json!(account));
    }
    name
}

fn begun(term: &Term) -> Value {
    json!({
        "act": "in-force",
        "epoch": term.epoch,
        "change": term.change.name(),
        "version": term.version,
        "parameters": term.parameters,
        "operators": term.operators,
        "committee": term.validators,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use rustorium_crypto::SigningKey;
    use rustorium_types::{Hash, Height, TxId};

    fn open(folder: &std::path::Path) -> (Arc<AuditSink>, DecisionLog) {
        let audit = Arc::new(AuditSink::open(folder, SigningKey::from_seed(&[9; 32])).unwrap());
        let log = DecisionLog::open(audit.clone()).unwrap();
        (audit, log)
    }

    fn lines(audit: &AuditSink) -> Vec<Value> {
        let mut found = Vec::new();
        audit.each(EVENT, |fields| found.push(fields.clone())).unwrap();
        found
    }

    fn decisions(height: u64, acts: usize) -> Decisions {
        let change = Box::new(GovernanceChange::Pause { scope: PauseScope::All, until_ms: 9 });
        let act = SeatAct::Made { number: 1, change };
        let decided = vec![Decision { seat: 2, transaction: TxId([7; 32]), act }; acts];
        Decisions { height: Height(height), time_ms: 5, decided, wishes: Vec::new(), term: None }
    }

    #[test]
    fn a_block_that_is_executed_again_is_in_the_log_once() {
        let folder = tempfile::TempDir::new().unwrap();
        {
            let (audit, log) = open(folder.path());
            log.note(&decisions(4, 1));
            log.note(&decisions(4, 1));
            assert_eq!(lines(&audit).len(), 1);
        }
        let (audit, log) = open(folder.path());
        log.note(&decisions(3, 1));
        log.note(&decisions(4, 1));
        assert_eq!(lines(&audit).len(), 1, "a restart knows what is written");
        log.note(&decisions(5, 1));
        let found = lines(&audit);
        assert_eq!((found.len(), &found[1]["height"]), (2, &json!(5)));
        let act = &found[1]["acts"][0];
        assert_eq!((&act["act"], &act["until_ms"], act.get("account")), (&json!("paused"), &json!(9), None));
        let paused = GovernanceChange::Pause { scope: PauseScope::All, until_ms: 9 };
        assert_eq!(act["hash"], json!(rustorium_crypto::change_hash(&paused)));
        assert_eq!((&act["seat"], &act["transaction"]), (&json!(2), &json!(Hash([7; 32]))));
    }

    #[test]
    fn as_many_acts_as_seats_can_do_at_once_are_all_written() {
        let folder = tempfile::TempDir::new().unwrap();
        let (audit, log) = open(folder.path());
        log.note(&decisions(4, 16 * 120));
        let found = lines(&audit);
        assert_eq!(found.iter().map(|line| line["acts"].as_array().unwrap().len()).sum::<usize>(), 16 * 120);
        // A crash between two lines: the rest is written when the block is executed again.
        *log.last.lock() = Some((4, 0));
        log.note(&decisions(4, LINE_ACTS_MAX + 1));
        assert_eq!(lines(&audit).last().unwrap()["acts"].as_array().unwrap().len(), 1);
    }
}

//! What an operator must know, and a restart must not forget: a retired key, and evidence against validators.
//!
//! *Invariants:* memory is bounded by the committee, and so is what one liar can make this node write, but for a
//! logarithm; what the audit log holds is shown again after a restart.

use parking_lot::{Mutex, RwLock};
use rustorium_gateway::EvidenceNote;
use rustorium_quorum::Evidence;
use rustorium_storage::{AuditSink, retired};
use rustorium_types::{Validator, ValidatorIndex, encode};
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The audit log's event for evidence.
const EVIDENCE: &str = "evidence";
/// So many offences of a kind are recorded each; of those after them the 2nd, 4th, 8th… power of two.
const RECORDED_EACH: u64 = 8;
const KINDS: [&str; 4] = ["two_notarizes", "two_finalizes", "nullify_and_finalize", "two_batches"];

struct Seen {
    first: String,
    count: u64,
}

/// The notices of one node.
pub struct Notices {
    audit: Arc<AuditSink>,
    /// The safety journal's folder, which keeps the mark of a retired key.
    safety: PathBuf,
    names: RwLock<Vec<String>>,
    retired: Mutex<Option<String>>,
    evidence: Mutex<BTreeMap<(ValidatorIndex, &'static str), Seen>>,
}

impl Notices {
    /// What earlier starts left. Errors: the mark or the audit log can't be read.
    pub fn open(audit: Arc<AuditSink>, safety: PathBuf) -> io::Result<Self> {
        let retired = Mutex::new(retired::read(&safety)?);
        let mut evidence = BTreeMap::new();
        audit.each(EVIDENCE, |fields| {
            let text = |key: &str| fields.get(key).and_then(|value| value.as_str());
            let number = |key: &str| fields.get(key).and_then(serde_json::Value::as_u64);
            let validator = number("validator").and_then(|index| u16::try_from(index).ok()).map(ValidatorIndex);
            let kind = KINDS.iter().find(|kind| text("kind") == Some(kind));
            if let (Some(validator), Some(kind), Some(place)) = (validator, kind, text("place")) {
                let seen = evidence.entry((validator, *kind));
                let seen = seen.or_insert_with(|| Seen { first: place.to_owned(), count: 0 });
                seen.count = number("count").unwrap_or(1).max(seen.count);
            }
        })?;
        let names = RwLock::default();
        Ok(Self { audit, safety, names, retired, evidence: Mutex::new(evidence) })
    }

    /// Another epoch's committee, whose members evidence names from now on.
    pub fn begin_epoch(&self, validators: &[Validator]) {
        let name = |validator: &Validator| String::from_utf8_lossy(validator.name.as_slice()).into_owned();
        *self.names.write() = validators.iter().map(name).collect();
    }

    /// Why the key signs nothing more; none where it does.
    pub fn retired(&self) -> Option<String> {
        self.retired.lock().clone()
    }

    /// Retires the key: on disk when this returns. `lacks`: what it signed and the journal doesn't hold. Errors: the mark
    /// can't be left, so that the next start would sign again.
    pub fn retire(&self, lacks: &str) -> Result<(), String> {
        let sentence = format!(
            "the validator key is retired and signs nothing more: a peer showed {lacks} with this node's signature, which \
             the safety journal {} lacks, so it was lost, restored or copied, or the key runs elsewhere too; the node \
             follows the chain: leave it so, or stop it and run `rustorium-node node replace-key`, a re-key to a new \
             validator key",
            self.safety.display()
        );
        tracing::error!(event = "key_retired", reason = %sentence);
        *self.retired.lock() = Some(sentence.clone());
        let fields = serde_json::json!({ "lacks": lacks, "reason": sentence });
        if let Err(error) = self.audit.record("key retired", fields) {
            tracing::error!(event = "audit_failed", reason = %error);
        }
        retired::mark(&self.safety, &sentence).map_err(|error| {
            let folder = self.safety.display();
            format!("can't leave the mark in {folder} that the validator key is retired ({error}); never start this home again")
        })
    }

    /// Keeps evidence, in memory and in the audit log.
    pub fn evidence(&self, evidence: &Evidence) {
        let (validator, kind, place) = (evidence.offender(), kind_of(evidence), place_of(evidence));
        let count = {
            let mut all = self.evidence.lock();
            let seen = all.entry((validator, kind)).or_insert_with(|| Seen { first: place.clone(), count: 0 });
            seen.count += 1;
            seen.count
        };
        if count > RECORDED_EACH && !count.is_power_of_two() {
            return;
        }
        let name = self.name(validator);
        tracing::warn!(event = "evidence", peer = validator.0, kind, place, "{name} broke the protocol");
        let fields = serde_json::json!({
            "validator": validator.0,
            "name": name,
            "kind": kind,
            "place": place,
            "count": count,
            "evidence_hex": encode(evidence).iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        });
        if let Err(error) = self.audit.record(EVIDENCE, fields) {
            tracing::error!(event = "audit_failed", reason = %error);
        }
    }

    /// One note for each validator and kind.
    pub fn evidence_notes(&self) -> Vec<EvidenceNote> {
        let all = self.evidence.lock();
        let note = |((validator, kind), seen): (&(ValidatorIndex, &'static str), &Seen)| EvidenceNote {
            validator: *validator,
            name: self.name(*validator),
            kind,
            first: seen.first.clone(),
            count: seen.count,
        };
        all.iter().map(note).collect()
    }

    fn name(&self, validator: ValidatorIndex) -> String {
        self.names.read().get(usize::from(validator.0)).cloned().unwrap_or_else(|| format!("validator {}", validator.0))
    }
}

fn kind_of(evidence: &Evidence) -> &'static str {
    match evidence {
        Evidence::TwoNotarizes(..) => KINDS[0],
        Evidence::TwoFinalizes(..) => KINDS[1],
        Evidence::NullifyAndFinalize(..) => KINDS[2],
        Evidence::TwoBatches { .. } => KINDS[3],
    }
}

fn place_of(evidence: &Evidence) -> String {
    match evidence {
        Evidence::TwoBatches { seq, .. } => format!("batch {seq}"),
        votes => format!("view {}", votes.view().map_or(0, |view| view.0)),
    }
}

//! Notices that an operator must see and a restart must not lose: a retired key, and evidence against validators.

use crate::shared_key::SharedKey;
use parking_lot::{Mutex, RwLock};
use rustorium_api::EvidenceNote;
use rustorium_api::problem::spelled;
use rustorium_quorum::Evidence;
use rustorium_stages::clock::wall_ms;
use rustorium_storage::{AuditSink, retired};
use rustorium_types::{Hash, PublicKey, Validator, ValidatorIndex, encode};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The audit log's event for evidence.
const EVIDENCE: &str = "evidence";
/// The first offences of a kind that are each recorded; of later ones the 2nd, 4th, 8th… power of two.
const RECORDED_EACH: u64 = 8;
/// Liars and kinds that are shown at most: the first ones.
const SHOWN_MAX: usize = 1024;
const KINDS: [&str; 4] = ["two-notarizes", "two-finalizes", "nullify-and-finalize", "two-batches"];

/// A member of the committee that goes on.
struct Member {
    key: PublicKey,
    name: String,
}

struct Seen {
    validator: ValidatorIndex,
    name: String,
    first: String,
    first_ms: u64,
    count: u64,
}

impl Seen {
    /// Parses an audit line about an offence; `None` if it isn't one. Lines of 0.2.0 have no key and no time.
    fn read(fields: &serde_json::Value) -> Option<((String, &'static str), Self)> {
        let text = |key: &str| fields.get(key).and_then(|value| value.as_str());
        let number = |key: &str| fields.get(key).and_then(serde_json::Value::as_u64);
        let validator = ValidatorIndex(u16::try_from(number("validator")?).ok()?);
        let said = spelled(text("kind")?);
        let kind = *KINDS.iter().find(|kind| said == **kind)?;
        let name = text("name").map_or_else(|| format!("validator {}", validator.0), str::to_owned);
        let key = text("validator_key").unwrap_or_default().to_owned();
        let whose = if key.is_empty() { name.clone() } else { key };
        let (first, first_ms) = (text("place")?.to_owned(), number("at_ms").unwrap_or_default());
        Some(((whose, kind), Self { validator, name, first, first_ms, count: number("count").unwrap_or(1) }))
    }
}

/// The notices of one node.
pub struct Notices {
    audit: Arc<AuditSink>,
    /// The safety journal's folder, which keeps the mark of a retired key.
    safety: PathBuf,
    members: RwLock<Vec<Member>>,
    key: Arc<SharedKey>,
    /// Evidence by its kind and its author: the validator key in hex digits, or a name if the audit log has no key.
    evidence: Mutex<BTreeMap<(String, &'static str), Seen>>,
}

impl Notices {
    /// Opens the notices of earlier starts. `key`: that of the process. Errors: the mark or the audit log can't be read.
    pub fn open(audit: Arc<AuditSink>, safety: PathBuf, key: Arc<SharedKey>) -> io::Result<Self> {
        if let Some(because) = retired::read(&safety)? {
            key.retire(&because);
        }
        let mut evidence = BTreeMap::<_, Seen>::new();
        audit.each(EVIDENCE, |fields| {
            let Some((whose, line)) = Seen::read(fields) else { return };
            let room = evidence.len() < SHOWN_MAX;
            match evidence.entry(whose) {
                Entry::Occupied(mut seen) => seen.get_mut().count = line.count.max(seen.get().count),
                Entry::Vacant(place) if room => drop(place.insert(line)),
                Entry::Vacant(_) => {}
            }
        })?;
        let members = RwLock::default();
        Ok(Self { audit, safety, members, key, evidence: Mutex::new(evidence) })
    }

    /// Another epoch's committee, whose members evidence names from now on.
    pub fn begin_epoch(&self, validators: &[Validator]) {
        let name = |validator: &Validator| String::from_utf8_lossy(validator.name.as_slice()).into_owned();
        let member = |validator: &Validator| Member { key: validator.validator_key, name: name(validator) };
        *self.members.write() = validators.iter().map(member).collect();
    }

    /// Returns the reason why the key is retired; `None` if it isn't.
    pub fn retired(&self) -> Option<String> {
        self.key.retired()
    }

    /// Retires the key in all shards of the process: on disk when this returns. `lacks`: what it signed and the journal doesn't hold. Errors: the mark
    /// can't be left, so that the next start would sign again.
    pub fn retire(&self, lacks: &str) -> Result<(), String> {
        let sentence = format!(
            "the validator key is retired and signs nothing more: a peer showed {lacks} with this node's signature, which \
             the safety journal {} lacks, so it was lost, restored or copied, or the key runs elsewhere too; the node \
             follows the chain: leave it so, or stop it and run `rustorium-node node replace-key`, which gives it a new \
             validator key",
            self.safety.display()
        );
        tracing::error!(event = "key_retired", reason = %sentence);
        self.key.retire(&sentence);
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
        let (name, key) = self.member(validator);
        let first_ms = wall_ms();
        let count = {
            let mut all = self.evidence.lock();
            let whose = (if key.is_empty() { name.clone() } else { key.clone() }, kind);
            if all.len() >= SHOWN_MAX && !all.contains_key(&whose) {
                return;
            }
            let new = || Seen { validator, name: name.clone(), first: place.clone(), first_ms, count: 0 };
            let seen = all.entry(whose).or_insert_with(new);
            seen.count += 1;
            seen.count
        };
        if count > RECORDED_EACH && !count.is_power_of_two() {
            return;
        }
        tracing::warn!(event = "evidence", peer = validator.0, kind, place, "{name} broke the protocol");
        let fields = serde_json::json!({
            "validator": validator.0,
            "name": name,
            "validator_key": key,
            "kind": kind,
            "place": place,
            "at_ms": first_ms,
            "count": count,
            "evidence_hex": encode(evidence).iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        });
        if let Err(error) = self.audit.record(EVIDENCE, fields) {
            tracing::error!(event = "audit_failed", reason = %error);
        }
    }

    /// Returns one note for each validator and kind.
    pub fn evidence_notes(&self) -> Vec<EvidenceNote> {
        let all = self.evidence.lock();
        let members = self.members.read();
        let is_member = |whose: &str| members.iter().any(|member| hex(&member.key) == whose || member.name == whose);
        let note = |((whose, kind), seen): (&(String, &'static str), &Seen)| EvidenceNote {
            validator: seen.validator,
            name: seen.name.clone(),
            validator_key: if *whose == seen.name { String::new() } else { whose.clone() },
            kind,
            first: seen.first.clone(),
            first_ms: seen.first_ms,
            count: seen.count,
            member: is_member(whose),
        };
        let mut notes: Vec<_> = all.iter().map(note).collect();
        notes.sort_by(|a, b| (a.first_ms, a.validator, a.kind).cmp(&(b.first_ms, b.validator, b.kind)));
        notes
    }

    /// A member's name, and its validator key in hex digits; empty where there is no such member.
    fn member(&self, validator: ValidatorIndex) -> (String, String) {
        let members = self.members.read();
        let unknown = || (format!("validator {}", validator.0), String::new());
        let found = members.get(usize::from(validator.0));
        found.map_or_else(unknown, |member| (member.name.clone(), hex(&member.key)))
    }
}

fn hex(key: &PublicKey) -> String {
    Hash(*key).to_string()
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

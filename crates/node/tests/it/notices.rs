//! Notices for an operator are there again after a restart, and no false message makes them grow.

use crate::chain::{self, v, validator_key};
use crate::forge;
use rustorium_crypto::{SigningKey, verify_vote};
use rustorium_node::notices::Notices;
use rustorium_quorum::Evidence;
use rustorium_storage::{AuditSink, audit, retired};
use rustorium_types::{BlockDigest, BoundedBytes, SignedVote, VoteKind, decode, limits};
use std::path::Path;
use std::sync::Arc;

fn node_key() -> SigningKey {
    SigningKey::from_seed(&[9; 32])
}

fn open(home: &Path) -> Notices {
    let audit = Arc::new(AuditSink::open(&home.join("audit"), node_key()).unwrap());
    let notices = Notices::open(audit, home.join("safety"), Arc::default()).unwrap();
    let mut validators = crate::chain::genesis().validators.into_vec();
    validators.truncate(2);
    for (validator, name) in validators.iter_mut().zip(["ada", "bob"]) {
        validator.name = BoundedBytes::new(name.into()).unwrap();
    }
    notices.begin_epoch(&validators);
    notices
}

/// Two notarizes of one validator in this view.
fn double_vote(signer: usize, view: u64) -> Evidence {
    let context = chain::context(&chain::genesis(), 0);
    let vote = |block| {
        let body = forge::body(&context, VoteKind::Notarize, view, BlockDigest([block; 32]));
        let vote: SignedVote = validator_key(signer).sign_vote(v(signer), body);
        verify_vote(&validator_key(signer).public(), vote).unwrap()
    };
    Evidence::two_votes(&vote(1), &vote(2)).unwrap()
}

fn shown(notices: &Notices) -> Vec<(String, &'static str, String, u64)> {
    notices.evidence_notes().into_iter().map(|note| (note.name, note.kind, note.first, note.count)).collect()
}

fn recorded(home: &Path) -> Vec<serde_json::Value> {
    let sink = AuditSink::open(&home.join("audit"), node_key()).unwrap();
    let mut all = Vec::new();
    sink.each("evidence", |fields| all.push(fields.clone())).unwrap();
    all
}

#[test]
fn evidence_is_shown_by_validator_and_kind_also_after_a_restart() {
    let home = tempfile::tempdir().unwrap();
    let notices = open(home.path());
    assert!(notices.evidence_notes().is_empty());
    for view in [7, 9] {
        notices.evidence(&double_vote(1, view));
    }
    notices.evidence(&double_vote(3, 8));
    let expected = [
        ("bob".to_owned(), "two-notarizes", "view 7".to_owned(), 2),
        ("validator 3".to_owned(), "two-notarizes", "view 8".to_owned(), 1),
    ];
    assert_eq!(shown(&notices), expected);
    drop(notices);
    let again = open(home.path());
    assert_eq!(shown(&again), expected);
    again.evidence(&double_vote(1, 11));
    assert_eq!(shown(&again)[0].3, 3);
    drop(again);
    let hex = recorded(home.path())[0]["evidence_hex"].as_str().unwrap().to_owned();
    let bytes: Vec<u8> =
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
    let kept: Evidence = decode(&bytes, limits::FRAME_BYTES_MAX).unwrap();
    assert!(kept.convicts(&chain::context(&chain::genesis(), 0).committee), "it convinces whoever knows the committee");
}

/// Places pass to other members with each epoch; the signatures of a key stay its own.
#[test]
fn evidence_stays_with_the_signing_key_after_its_place_changes() {
    let home = tempfile::tempdir().unwrap();
    let notices = open(home.path());
    notices.evidence(&double_vote(1, 7));
    let key = |index: usize| rustorium_types::Hash(validator_key(index).public()).to_string();
    let of = |notices: &Notices| {
        let notes = notices.evidence_notes();
        notes
            .into_iter()
            .map(|note| (note.name, note.validator_key, note.member, note.first_ms > 0))
            .collect::<Vec<_>>()
    };
    assert_eq!(of(&notices), [("bob".to_owned(), key(1), true, true)]);
    // The next committee: bob has left, and carol has his place.
    let mut next = chain::genesis().validators.into_vec();
    next.remove(1);
    next[1].name = BoundedBytes::new(b"carol".to_vec()).unwrap();
    notices.begin_epoch(&next);
    assert_eq!(of(&notices), [("bob".to_owned(), key(1), false, true)]);
    drop(notices);
    let again = open(home.path());
    again.begin_epoch(&next);
    assert_eq!(of(&again), [("bob".to_owned(), key(1), false, true)]);
}

#[test]
fn records_of_an_earlier_release_are_shown_with_their_fields() {
    let home = tempfile::tempdir().unwrap();
    let sink = AuditSink::open(&home.path().join("audit"), node_key()).unwrap();
    let line =
        serde_json::json!({ "validator": 1, "name": "bob", "kind": "two_batches", "place": "batch 7", "count": 5 });
    sink.record("evidence", line).unwrap();
    drop(sink);
    let [note] = open(home.path()).evidence_notes().try_into().unwrap();
    assert_eq!((note.name.as_str(), note.validator_key.as_str(), note.count, note.member), ("bob", "", 5, true));
    assert_eq!(note.kind, "two-batches", "0.1.0 joined the words by underscores");
}

#[test]
fn an_offence_in_every_view_fills_no_disk() {
    let home = tempfile::tempdir().unwrap();
    let notices = open(home.path());
    let evidence = double_vote(1, 1);
    for _ in 0..300 {
        notices.evidence(&evidence);
    }
    assert_eq!(shown(&notices), [("bob".to_owned(), "two-notarizes", "view 1".to_owned(), 300)]);
    drop(notices);
    // Offences 1 to 8 are recorded, then 16, 32, 64, 128 and 256.
    assert_eq!(recorded(home.path()).len(), 13);
    assert_eq!(shown(&open(home.path()))[0].3, 256, "at least");
}

#[test]
fn a_retired_key_is_marked_audited_and_found_again() {
    let home = tempfile::tempdir().unwrap();
    let notices = open(home.path());
    assert_eq!(notices.retired(), None);
    notices.retire("batch 7 of its lane").unwrap();
    let sentence = notices.retired().unwrap();
    for part in ["batch 7 of its lane", "signs nothing more", "new validator key", "safety"] {
        assert!(sentence.contains(part), "{sentence}");
    }
    drop(notices);
    assert_eq!(open(home.path()).retired().as_ref(), Some(&sentence));
    assert_eq!(retired::read(&home.path().join("safety")).unwrap(), Some(sentence));
    let log = std::fs::read_to_string(home.path().join("audit").join(audit::FILE_NAME)).unwrap();
    assert!(log.contains("\"key retired\"") && log.contains("batch 7 of its lane"));
    audit::verify(&home.path().join("audit"), &node_key().public()).unwrap();
}

#[test]
fn a_failure_to_mark_a_retired_key_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let notices = open(home.path());
    std::fs::write(home.path().join("safety"), "in the way").unwrap();
    let sentence = notices.retire("batch 7 of its lane").unwrap_err();
    assert!(sentence.contains("never start this home again"), "{sentence}");
    assert!(notices.retired().is_some());
}

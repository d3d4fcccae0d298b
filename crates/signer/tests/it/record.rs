//! The record on disk: no acknowledged change is lost at any cut, and damage is refused.

use crate::words::{batch, key, vote};
use rustorium_signer::record::{StateError, path_of};
use rustorium_signer::{Record, StateFile};
use rustorium_types::{Batch, VoteKind};
use std::fs;
use std::path::Path;

fn records() -> Vec<Record> {
    let votes = (1..6).map(|view| Record::Vote(vote(VoteKind::Notarize, 0, view, 1)));
    let batch = Record::Batch(Box::new(Batch { body: batch(0, 0, 1), signature: [3; 64] }));
    votes.chain([batch, Record::Vote(vote(VoteKind::Nullify, 0, 9, 0))]).collect()
}

fn opened(folder: &Path) -> Result<Vec<Record>, StateError> {
    StateFile::open(folder, &key().public()).map(|(_, records)| records)
}

#[test]
fn a_record_is_made_once_and_used_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    assert!(matches!(opened(&state), Err(StateError::Missing(_))));
    StateFile::create(&state, &key().public(), &[]).unwrap();
    assert!(matches!(StateFile::create(&state, &key().public(), &[]), Err(StateError::Exists(_))));
    let first = StateFile::open(&state, &key().public()).unwrap();
    assert!(matches!(opened(&state), Err(StateError::InUse(_))));
    drop(first);
    assert_eq!(opened(&state).unwrap(), []);
}

#[test]
fn a_cut_at_any_byte_loses_only_what_was_not_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_of(folder.path(), &key().public());
    StateFile::create(folder.path(), &key().public(), &[]).unwrap();
    let mut acknowledged: Vec<Record> = Vec::new();
    for together in records().chunks(2) {
        assert_eq!(opened(folder.path()).unwrap(), acknowledged);
        let before = fs::read(&path).unwrap().len();
        let (mut file, _) = StateFile::open(folder.path(), &key().public()).unwrap();
        file.append(together).unwrap();
        drop(file);
        let ahead = fs::read(&path).unwrap();
        // Opening the file removes the zeros after its end.
        opened(folder.path()).unwrap();
        let after = fs::read(&path).unwrap();
        assert!(ahead.len() > after.len() && ahead.starts_with(&after));
        // Syncs at intervals that have no divisor in common with the fields' lengths.
        for cut in (before..after.len()).step_by(7) {
            let mut left = ahead[..cut].to_vec();
            // The file was longer before, or not.
            left.resize(if cut % 2 == 0 { ahead.len() } else { cut }, 0);
            if left.starts_with(&after) {
                continue;
            }
            fs::write(&path, &left).unwrap();
            let left = opened(folder.path()).unwrap();
            assert_eq!(left, acknowledged, "cut at {cut}");
            // The cut part is gone, and the file continues after its intact part.
            let (mut file, _) = StateFile::open(folder.path(), &key().public()).unwrap();
            file.append(&together[..1]).unwrap();
            drop(file);
            assert_eq!(opened(folder.path()).unwrap().len(), left.len() + 1);
        }
        // A cut may leave any bytes at its place, also zeros.
        let mut torn = after.clone();
        torn[before + 3..].fill(0);
        fs::write(&path, &torn).unwrap();
        assert_eq!(opened(folder.path()).unwrap(), acknowledged);
        fs::write(&path, &after).unwrap();
        acknowledged.extend_from_slice(together);
    }
}

#[test]
fn damage_above_the_end_is_refused_and_so_is_another_keys_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = path_of(folder.path(), &key().public());
    StateFile::create(folder.path(), &key().public(), &records()).unwrap();
    let good = fs::read(&path).unwrap();
    // Any byte of any frame but the last one, lengths included.
    let last = Record::Vote(vote(VoteKind::Nullify, 0, 9, 0));
    let last = 12 + 4 + rustorium_types::encode(&last).len();
    for at in 48..good.len() - last {
        let mut bytes = good.clone();
        bytes[at] ^= 0x40;
        fs::write(&path, &bytes).unwrap();
        assert!(matches!(opened(folder.path()), Err(StateError::Damaged { .. })), "byte {at}");
    }
    let mut bytes = good.clone();
    bytes[20] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(opened(folder.path()), Err(StateError::OtherKey { .. })));
    fs::write(&path, b"something else").unwrap();
    assert!(matches!(opened(folder.path()), Err(StateError::Damaged { at: 0, .. })));
}

#[test]
fn a_rewritten_record_goes_on_as_before() {
    let folder = tempfile::tempdir().unwrap();
    StateFile::create(folder.path(), &key().public(), &[]).unwrap();
    let (mut file, _) = StateFile::open(folder.path(), &key().public()).unwrap();
    file.append(&records()).unwrap();
    file.rewrite(&records()[..2]).unwrap();
    file.append(&records()[5..]).unwrap();
    drop(file);
    let expected: Vec<_> = records()[..2].iter().chain(&records()[5..]).cloned().collect();
    assert_eq!(opened(folder.path()).unwrap(), expected);
    // An incomplete new file from a crash is ignored.
    fs::write(path_of(folder.path(), &key().public()).with_extension("new"), b"rustorium-sign").unwrap();
    assert_eq!(opened(folder.path()).unwrap(), expected);
}

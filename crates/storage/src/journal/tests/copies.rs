//! Tests that records appended again unpin an old segment.

use super::*;

/// Appends records of the same size until the journal writes to another segment.
fn fill_segment(journal: &Open) -> Lsn {
    let before = journal.journal.sealed_below();
    loop {
        let lsn = journal.append_synced(&[0x33; 900]);
        if journal.journal.sealed_below() > before {
            return lsn;
        }
    }
}

#[test]
fn a_copy_lets_the_segment_of_its_original_go() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Vote);
    let pinned = journal.journal.append(RecordKind::Vote, b"pinned");
    for _ in 0..4 {
        fill_segment(&journal);
    }
    assert_eq!(journal.journal.stats().segments, 5);
    let copy = journal.journal.append_again(pinned, 6);
    journal.sync(copy);
    journal.journal.release(copy);
    // A sync is reported before the release that came with it. The second sync comes after the release.
    journal.append_synced(b"newer");
    journal.append_synced(b"newest");
    assert_eq!(journal.journal.stats().segments, 1);
    drop(journal);
    let found = open(folder.path(), Durability::Vote).records;
    let copied = found.iter().find(|record| record.lsn == copy).unwrap();
    assert_eq!((copied.kind, copied.payload.as_ref()), (RecordKind::Vote, b"pinned".as_slice()));
}

#[test]
fn copies_of_any_record_are_read_back_with_their_originals() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Os);
    let kinds = [RecordKind::Floor, RecordKind::Batch, RecordKind::Certificate];
    let mut all = Vec::new();
    for (number, kind) in kinds.iter().cycle().take(30).enumerate() {
        let payload = vec![number as u8; 100 * number];
        all.push((journal.journal.append(*kind, &payload), *kind, payload));
    }
    // The newest records are not written yet; the oldest are in complete segments; copies are copied too.
    for of in [0, 29, 12, 30, 3] {
        let (lsn, kind, payload) = all[of].clone();
        all.push((journal.journal.append_again(lsn, payload.len()), kind, payload));
    }
    all.push((journal.append(b"after"), RecordKind::Batch, b"after".to_vec()));
    drop(journal);
    let found = open(folder.path(), Durability::Os).records;
    let found: Vec<_> = found.into_iter().map(|record| (record.lsn, record.kind, record.payload.to_vec())).collect();
    assert_eq!(found, all);
}

#[test]
fn a_damaged_original_is_not_copied() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Vote);
    let pinned = journal.append_synced(b"pinned");
    fill_segment(&journal);
    let (file, start) = find(folder.path(), pinned);
    flip(&file, start + RECORD_OVERHEAD + 2);
    let copy = journal.journal.append_again(pinned, 6);
    journal.journal.sync(copy);
    let failed = std::iter::from_fn(|| journal.done.recv().ok()).find_map(Result::err);
    assert!(matches!(failed, Some(JournalError::Corrupt { .. })), "{failed:?}");
}

#[test]
fn a_copy_of_another_length_fails_the_journal() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Vote);
    let pinned = journal.append_synced(b"pinned");
    let copy = journal.journal.append_again(pinned, 7);
    journal.journal.sync(copy);
    let failed = std::iter::from_fn(|| journal.done.recv().ok()).find_map(Result::err);
    assert!(matches!(failed, Some(JournalError::Corrupt { .. })), "{failed:?}");
}

#[test]
fn after_a_power_cut_between_copy_and_release_both_are_there() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Vote);
    let pinned = journal.append_synced(b"pinned");
    fill_segment(&journal);
    let before = copy(folder.path());
    let again = journal.journal.append_again(pinned, 6);
    journal.sync(again);
    let after = copy(folder.path());
    let pins = |folder: &TempDir| {
        let found = open(folder.path(), Durability::Vote).records;
        found.iter().filter(|record| record.payload.as_ref() == b"pinned").map(|record| record.lsn).collect::<Vec<_>>()
    };
    assert_eq!((pins(&before), pins(&after)), (vec![pinned], vec![pinned, again]));
}

//! Tests of another master key for the journal: new segments are sealed with it, old ones still open, and the next
//! start seals them again.

use super::*;

fn keys(newest: u8, before: Option<u8>) -> AtRest {
    let key = |byte| Arc::new(MasterKey::from_secret(&[byte; 32]).unwrap());
    AtRest::rekeyed(key(newest), before.map(key), ChainId([5; 32]))
}

fn names(open: &Open) -> Vec<(Lsn, Vec<u8>)> {
    open.records.iter().map(|record| (record.lsn, record.payload.to_vec())).collect()
}

#[test]
fn a_running_journal_changes_to_a_new_key_and_releases_the_old_one() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Vote);
    let old = journal.append_synced(b"old");
    let pinned = journal.append_synced(b"pinned");
    journal.journal.rekey(&keys(2, Some(1))).unwrap();
    let new = journal.append_synced(b"new");
    journal.append_synced(b"newer");
    // Until they are released, records of the first key can be read and copied.
    assert_eq!(journal.journal.reader().of_the_key_before(), 1);
    assert_eq!(journal.journal.reader().read(&[old, new]).len(), 2);
    assert!(journal.journal.leave_below() > pinned && journal.journal.leave_below() <= new);
    let copy = journal.journal.append_again(pinned, 6);
    journal.sync(copy);
    journal.journal.release(new);
    journal.append_synced(b"a turn");
    journal.append_synced(b"another");
    assert_eq!(journal.journal.reader().of_the_key_before(), 0);
    drop(journal);
    let found = open_sealed(folder.path(), Durability::Vote, &keys(2, None)).unwrap();
    let expected: [&[u8]; 5] = [b"new", b"newer", b"pinned", b"a turn", b"another"];
    assert_eq!(payloads(&found.records), expected);
}

#[test]
fn a_start_seals_old_segments_anew_at_their_positions() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Vote);
    // Several segments, the last of them not full.
    for n in 0..60 {
        journal.append_synced(&[n; 900]);
    }
    drop(journal);
    let before = names(&open(folder.path(), Durability::Vote));
    let old: Vec<_> = segments(folder.path()).iter().map(|path| fs::read(path).unwrap()).collect();
    let both = open_sealed(folder.path(), Durability::Vote, &keys(2, Some(1))).unwrap();
    assert_eq!(names(&both), before);
    assert_eq!(both.journal.reader().of_the_key_before(), 0);
    drop(both);
    for path in segments(folder.path()) {
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!old.contains(&fs::read(&path).unwrap()) || fs::read(&path).unwrap()[..PAGE].iter().all(|b| *b == 0));
    }
    let mut later = open_sealed(folder.path(), Durability::Vote, &keys(2, None)).unwrap();
    assert_eq!(names(&later), before);
    assert!(later.append_synced(b"later") > before.last().unwrap().0);
    later.records.clear();
    drop(later);
    let refused = open_sealed(folder.path(), Durability::Vote, &keys(1, None)).err().unwrap();
    assert!(matches!(refused, JournalError::OtherKey { .. }), "{refused}");
}

#[test]
fn after_a_kill_between_segments_both_keys_open_the_journal() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Vote);
    for n in 0..60 {
        journal.append_synced(&[n; 900]);
    }
    drop(journal);
    let expected = names(&open(folder.path(), Durability::Vote));
    let all = segments(folder.path());
    let anew = copy(folder.path());
    drop(open_sealed(anew.path(), Durability::Vote, &keys(2, Some(1))).unwrap());
    for done in 0..all.len() {
        // The first `done` segments were sealed again, and of the next one only a part of the new file was written.
        let cut = copy(folder.path());
        for (n, path) in all.iter().enumerate() {
            let name = path.file_name().unwrap();
            let bytes = fs::read(anew.path().join(name)).unwrap();
            if n < done {
                fs::write(cut.path().join(name), bytes).unwrap();
            } else if n == done {
                fs::write(cut.path().join(name).with_extension("new"), &bytes[..bytes.len() / 2]).unwrap();
            }
        }
        let found = open_sealed(cut.path(), Durability::Vote, &keys(2, Some(1))).unwrap();
        assert_eq!(names(&found), expected, "after {done}");
        drop(found);
        assert_eq!(names(&open_sealed(cut.path(), Durability::Vote, &keys(2, None)).unwrap()), expected);
    }
}

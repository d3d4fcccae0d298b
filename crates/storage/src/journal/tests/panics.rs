//! A panic on the journal's thread.

use super::*;

#[test]
fn a_panic_of_the_journals_thread_fails_it_and_ends_all_waits() {
    let folder = tempfile::tempdir().unwrap();
    let (tell, done) = channel();
    let tell = Box::new(move |result: Result<Lsn, JournalError>| {
        assert!(result.is_err(), "a fault");
        tell.send(result).unwrap_or_default();
    });
    let (journal, _) = Journal::open_with(folder.path(), Durability::Os, SMALL, &at_rest(1), tell).unwrap();
    let lsn = journal.append(RecordKind::Batch, b"a record");
    journal.sync(lsn);
    assert!(done.recv().unwrap().is_err());
    for _ in 0..70 {
        journal.append(RecordKind::Batch, &[7; 1024 * 1024]);
    }
}

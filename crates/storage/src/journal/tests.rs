use super::format::{HEADER_BYTES, Header, HeaderState, JournalKeys, PAGE, RECORD_OVERHEAD, header_check};
use super::*;
use proptest::prelude::*;
use rustorium_crypto::seal::{MasterKey, Salt};
use rustorium_types::ChainId;
use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::sync::mpsc::{Receiver, channel};
use tempfile::TempDir;

mod copies;
mod panics;
mod rekey;

const SMALL: usize = 16 * 1024;

/// A journal and the messages of its thread.
struct Open {
    journal: Journal,
    records: Vec<JournalRecord>,
    done: Receiver<Result<Lsn, JournalError>>,
}

fn at_rest(key: u8) -> AtRest {
    AtRest::new(Arc::new(MasterKey::from_secret(&[key; 32]).unwrap()), ChainId([5; 32]))
}

fn try_open(folder: &Path, durability: Durability) -> Result<Open, JournalError> {
    open_sealed(folder, durability, &at_rest(1))
}

fn open_sealed(folder: &Path, durability: Durability, at_rest: &AtRest) -> Result<Open, JournalError> {
    let (tell, done) = channel();
    let tell = Box::new(move |result| tell.send(result).unwrap_or_default());
    Journal::open_with(folder, durability, SMALL, at_rest, tell).map(|(journal, records)| Open {
        journal,
        records,
        done,
    })
}

fn open(folder: &Path, durability: Durability) -> Open {
    try_open(folder, durability).unwrap()
}

impl Open {
    fn append(&self, payload: &[u8]) -> Lsn {
        self.journal.append(RecordKind::Batch, payload)
    }

    fn sync(&self, lsn: Lsn) {
        self.journal.sync(lsn);
        while self.done.recv().unwrap().unwrap() < lsn {}
    }

    fn append_synced(&self, payload: &[u8]) -> Lsn {
        let lsn = self.append(payload);
        self.sync(lsn);
        lsn
    }
}

fn payloads(records: &[JournalRecord]) -> Vec<&[u8]> {
    records.iter().map(|record| record.payload.as_ref()).collect()
}

fn copy(folder: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        // A prepared file gets its name, and with it its first record, later.
        if path.extension().is_none_or(|e| e != "new") {
            fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    to
}

fn segments(folder: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<_> = names.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    names.sort();
    names
}

/// Finds the file and the offset of a record.
fn find(folder: &Path, lsn: Lsn) -> (PathBuf, usize) {
    let keys = JournalKeys::new(at_rest(1)).unwrap();
    let first = |path: &PathBuf| match Header::decode(fs::read(path).unwrap().first_chunk().unwrap(), &keys) {
        HeaderState::Used(header) => Some(header.first).filter(|first| *first <= lsn.0),
        _ => None,
    };
    let begun = segments(folder).into_iter().filter_map(|path| Some((first(&path)?, path)));
    let (first, path) = begun.max().unwrap();
    (path, PAGE + (lsn.0 - first) as usize)
}

fn overwrite(path: &Path, at: usize, bytes: &[u8]) {
    fs::OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at as u64).unwrap();
}

fn flip(path: &Path, at: usize) {
    let byte = fs::read(path).unwrap()[at];
    overwrite(path, at, &[byte ^ 0x10]);
}

#[test]
fn records_come_back_in_order_with_their_positions() {
    let folder = TempDir::new().unwrap();
    let kinds = [RecordKind::Vote, RecordKind::Proposal, RecordKind::Batch, RecordKind::Certificate, RecordKind::Floor];
    let first = open(folder.path(), Durability::Vote);
    let appended: Vec<Lsn> = kinds.iter().map(|kind| first.journal.append(*kind, &[*kind as u8; 9])).collect();
    first.sync(appended[4]);
    drop(first);
    let second = open(folder.path(), Durability::Vote);
    assert_eq!(second.records.iter().map(|r| r.kind).collect::<Vec<_>>(), kinds);
    assert_eq!(second.records.iter().map(|r| r.lsn).collect::<Vec<_>>(), appended);
    assert!(second.append_synced(b"later") > appended[4]);
    drop(second);
    let third = open(folder.path(), Durability::Os);
    assert_eq!(third.records.len(), 6);
    assert_eq!(third.records[5].payload.as_ref(), b"later");
}

#[test]
fn unsynced_records_are_written_when_the_journal_closes() {
    let folder = TempDir::new().unwrap();
    open(folder.path(), Durability::Vote).append(b"vote");
    assert_eq!(payloads(&open(folder.path(), Durability::Vote).records), [b"vote"]);
}

#[test]
fn a_segment_that_was_cut_is_refused_wherever_it_ends() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Vote);
    let last = journal.append_synced(b"vote");
    drop(journal);
    let (file, _) = find(folder.path(), last);
    for length in (0..SMALL as u64).step_by(509) {
        let cut = copy(folder.path());
        let path = cut.path().join(file.file_name().unwrap());
        fs::OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
        let error = try_open(cut.path(), Durability::Vote).err().unwrap();
        assert!(matches!(error, JournalError::Corrupt { .. }), "cut at {length}: {error}");
    }
}

#[test]
fn a_tail_torn_at_any_byte_of_the_last_record_loses_that_record_alone_and_for_good() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Vote);
    for payload in [b"first-record", b"other-record"] {
        journal.append_synced(payload);
    }
    let last = journal.append_synced(b"final-record");
    drop(journal);
    let (file, start) = find(folder.path(), last);
    let end = start + RECORD_OVERHEAD + 12;
    let whole = fs::read(&file).unwrap();
    for cut in start..end {
        for filler in [0x00, 0xa5] {
            let torn = copy(folder.path());
            let path = torn.path().join(file.file_name().unwrap());
            // If the filler equals the original bytes, the record isn't torn.
            if whole[cut..end].iter().all(|byte| *byte == filler) {
                continue;
            }
            overwrite(&path, cut, &vec![filler; end - cut]);
            let reopened = open(torn.path(), Durability::Os);
            assert_eq!(payloads(&reopened.records), [b"first-record", b"other-record"], "cut at {cut}");
            reopened.append(b"after-crash!");
            drop(reopened);
            // The torn record's bytes reappear too late: another record has its place.
            overwrite(&path, start, &whole[start..end]);
            let again = try_open(torn.path(), Durability::Os);
            assert!(again.is_err() || payloads(&again.unwrap().records).last() == Some(&b"after-crash!".as_slice()));
        }
    }
}

#[test]
fn a_damaged_record_that_had_been_synced_is_found_at_every_byte() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Vote);
    let payloads = [b"first-record", b"wrong-record", b"third-record"];
    let appended = payloads.map(|payload| journal.append_synced(payload));
    drop(journal);
    let (file, start) = find(folder.path(), appended[1]);
    for at in start..start + RECORD_OVERHEAD + 12 {
        let damaged = copy(folder.path());
        let path = damaged.path().join(file.file_name().unwrap());
        flip(&path, at);
        let error = try_open(damaged.path(), Durability::Vote).err();
        let what = "a record that had been durable doesn't check";
        assert_eq!(error, Some(JournalError::Corrupt { file: path, offset: start as u64, what }));
    }
}

#[test]
fn pages_of_one_unsynced_write_may_arrive_in_any_order() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Vote);
    journal.append_synced(b"synced");
    let lost = vec![b'l'; PAGE];
    let lsn = journal.append(&lost);
    journal.append(b"arrived");
    drop(journal);
    let (file, at) = find(folder.path(), lsn);
    overwrite(&file, at + RECORD_OVERHEAD, &[0; 512]);
    let reopened = open(folder.path(), Durability::Vote);
    assert_eq!(payloads(&reopened.records), [b"synced"], "none of the others was ever called durable");
    // A record of the lost one's size puts the next place exactly at "arrived" in the old file.
    reopened.append_synced(&vec![b'n'; PAGE]);
    drop(reopened);
    let again = open(folder.path(), Durability::Vote);
    assert_eq!(payloads(&again.records), [b"synced".as_slice(), &vec![b'n'; PAGE]]);
}

#[test]
fn a_file_used_again_at_the_same_positions_shows_nothing_of_its_former_use() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Vote);
    // This record fills its page. The next record's page stays as it is when a record of this size is written again.
    let page_full = |byte| vec![byte; PAGE - RECORD_OVERHEAD];
    let lost = journal.append(&page_full(b'l'));
    let arrived = journal.append(b"arrived");
    drop(journal);
    let (file, at) = find(folder.path(), lost);
    let former = |path: &Path| fs::read(path).unwrap()[at + PAGE..at + PAGE + RECORD_OVERHEAD + 7].to_vec();
    let arrived_bytes = former(&file);
    flip(&file, at);
    let reopened = open(folder.path(), Durability::Vote);
    assert_eq!(reopened.records, []);
    let again = reopened.append_synced(&page_full(b'n'));
    drop(reopened);
    assert_eq!(find(folder.path(), again), (file.clone(), at), "the same file, the same place");
    assert_eq!(find(folder.path(), arrived), (file.clone(), at + PAGE));
    assert_eq!(former(&file), arrived_bytes, "the former use's record still stands behind it");
    assert_eq!(payloads(&open(folder.path(), Durability::Vote).records), [page_full(b'n')]);
}

#[test]
fn a_damaged_header_and_a_missing_segment_are_found() {
    let folder = TempDir::new().unwrap();
    let appended = [b"one", b"two", b"tri"].map(|payload| open(folder.path(), Durability::Vote).append(payload));
    for bit_of in 0..HEADER_BYTES {
        let damaged = copy(folder.path());
        let (file, _) = find(damaged.path(), appended[0]);
        flip(&file, bit_of);
        let error = try_open(damaged.path(), Durability::Vote).err();
        assert!(matches!(error, Some(JournalError::Corrupt { .. })), "{error:?}");
    }
    let (file, _) = find(folder.path(), appended[1]);
    fs::remove_file(file).unwrap();
    let error = try_open(folder.path(), Durability::Vote).err();
    assert!(matches!(error, Some(JournalError::Corrupt { offset: 0, .. })), "{error:?}");
}

#[test]
fn recycled_segments_bring_no_old_record_back_and_released_ones_free_their_space() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Os);
    let mut appended = Vec::new();
    for n in 0..600u32 {
        let payload = [n.to_le_bytes(); 64].concat();
        appended.push((journal.append_synced(&payload), payload));
        if n % 50 == 49 {
            journal.journal.release(appended[appended.len() - 20].0);
        }
    }
    let released = appended[appended.len() - 20].0;
    let stats = journal.journal.stats();
    assert!(stats.switches >= 10);
    drop(journal);
    assert!(segments(folder.path()).len() <= 6, "{} files", segments(folder.path()).len());
    let reopened = open(folder.path(), Durability::Os);
    let found: Vec<_> = reopened.records.iter().map(|r| (r.lsn, r.payload.to_vec())).collect();
    assert!(found.first().unwrap().0 <= released);
    assert_eq!(found, appended[appended.len() - found.len()..]);
    // Everything is released: the next use of a segment also removes the rest.
    reopened.journal.release(Lsn(u64::MAX));
    drop(reopened);
    assert_eq!(open(folder.path(), Durability::Os).records, []);
    assert!(segments(folder.path()).len() <= 4);
}

#[test]
fn one_sync_serves_all_that_wait() {
    let folder = TempDir::new().unwrap();
    let (tell, done) = channel();
    let (go, gate) = channel::<()>();
    let first_call = Mutex::new(Some(gate));
    let tell = Box::new(move |result| {
        tell.send(result).unwrap_or_default();
        if let Some(gate) = first_call.lock().take() {
            gate.recv().unwrap_or_default();
        }
    });
    let (journal, _) = Journal::open_with(folder.path(), Durability::Vote, SMALL, &at_rest(1), tell).unwrap();
    let first = journal.append(RecordKind::Vote, b"first");
    journal.sync(first);
    assert_eq!(done.recv().unwrap(), Ok(first));
    // The thread waits in its callback, so requests gather meanwhile.
    let lsns: Vec<Lsn> = (0..50u8).map(|n| journal.append(RecordKind::Vote, &[n; 40])).collect();
    lsns.iter().for_each(|lsn| journal.sync(*lsn));
    assert_eq!(journal.stats().syncs, 1);
    go.send(()).unwrap();
    assert_eq!(done.recv().unwrap(), Ok(lsns[49]));
    let stats = journal.stats();
    assert_eq!((stats.syncs, stats.records, stats.durable), (2, 51, lsns[49]));
    assert_eq!(stats.sync_latency.iter().sum::<u64>(), 2);
    // A sync of a durable record is answered without another fdatasync.
    journal.sync(first);
    assert_eq!(done.recv().unwrap(), Ok(lsns[49]));
    assert_eq!(journal.stats().syncs, 2);
}

#[test]
fn durability_os_never_syncs_and_survives_the_end_of_the_process() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Os);
    journal.append_synced(b"kept");
    assert_eq!(journal.journal.stats().syncs, 0);
    // The journal is still open, as after a kill: only what was written counts.
    let killed = copy(folder.path());
    assert_eq!(payloads(&open(killed.path(), Durability::Vote).records), [b"kept"]);
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let folder = TempDir::new().unwrap();
    let first = open(folder.path(), Durability::Os);
    let refused = try_open(folder.path(), Durability::Os).err();
    assert_eq!(refused, Some(JournalError::Locked { folder: folder.path().to_owned() }));
    drop(first);
    open(folder.path(), Durability::Os);
}

#[test]
fn a_record_that_no_segment_can_hold_fails_the_journal_and_says_so() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Os);
    let limit = SMALL - PAGE - RECORD_OVERHEAD;
    journal.append_synced(&vec![1; limit]);
    let lsn = journal.append(&vec![1; limit + 1]);
    journal.journal.sync(lsn);
    let error = JournalError::TooLarge { bytes: limit + 1, limit };
    assert_eq!(journal.done.recv().unwrap(), Err(error.clone()));
    let lsn = journal.append(b"small");
    journal.journal.sync(lsn);
    assert_eq!(journal.done.recv().unwrap(), Err(error));
    drop(journal);
    assert_eq!(open(folder.path(), Durability::Os).records.len(), 1);
}

#[test]
fn another_storage_key_is_no_damage_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let lsn = open(folder.path(), Durability::Vote).append_synced(b"vote");
    let (file, _) = find(folder.path(), lsn);
    let refused = open_sealed(folder.path(), Durability::Vote, &at_rest(2)).err().unwrap();
    assert_eq!(refused, JournalError::OtherKey { file });
    assert!(refused.to_string().contains("storage.key"));
    assert_eq!(payloads(&open(folder.path(), Durability::Vote).records), [b"vote"]);
}

#[test]
fn no_payload_can_be_read_on_disk() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Vote);
    let payload = b"a payload that is known".repeat(40);
    for _ in 0..30 {
        journal.append_synced(&payload);
    }
    for path in segments(folder.path()) {
        let bytes = fs::read(path).unwrap();
        assert!(!bytes.windows(9).any(|window| window == &payload[2..11]));
    }
}

#[test]
fn only_the_owner_can_read_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("safety");
    open(&path, Durability::Os).append(b"x");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for entry in fs::read_dir(&path).unwrap() {
        assert_eq!(mode(&entry.unwrap().path()), 0o600);
    }
}

#[test]
fn a_full_disk_is_told_from_other_errors() {
    let error = |code| JournalError::io("write", Path::new("p"), &std::io::Error::from_raw_os_error(code));
    assert_eq!(error(28), JournalError::DiskFull { path: "p".into() });
    assert!(matches!(error(5), JournalError::Io { doing: "write", .. }));
}

#[derive(Clone, Debug)]
enum Step {
    Append(usize),
    Sync,
    Release(usize),
    Reopen,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..3000).prop_map(Step::Append),
        3 => Just(Step::Sync),
        1 => (0usize..100).prop_map(Step::Release),
        1 => Just(Step::Reopen),
    ]
}

/// Names and contents of all files but the lock.
fn files_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap() != "lock");
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

#[test]
fn a_journal_of_a_newer_release_is_refused_by_name_and_left_as_it_is() {
    let folder = TempDir::new().unwrap();
    let journal = open(folder.path(), Durability::Vote);
    journal.append_synced(b"a vote");
    drop(journal);
    let (path, mut bytes) = files_of(folder.path()).swap_remove(0);
    bytes[8..12].copy_from_slice(&(FORMAT + 1).to_le_bytes());
    let check = header_check(&bytes[..64]);
    bytes[64..HEADER_BYTES].copy_from_slice(&check);
    fs::write(&path, &bytes).unwrap();
    fs::write(folder.path().join("segment-00000099.new"), b"cut short").unwrap();
    let before = files_of(folder.path());
    let Err(refused) = try_open(folder.path(), Durability::Vote) else { panic!("it was opened") };
    assert!(matches!(&refused, JournalError::Version { file, found, .. } if *file == path && *found == FORMAT + 1));
    let said = refused.to_string();
    assert!(said.contains("install the release that wrote it, or a newer one"), "{said}");
    assert_eq!(files_of(folder.path()), before);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn a_journal_keeps_what_a_list_would_keep(steps in proptest::collection::vec(step(), 1..120)) {
        let folder = TempDir::new().unwrap();
        let mut journal = open(folder.path(), Durability::Os);
        let (mut all, mut released) = (Vec::new(), Lsn(0));
        for (n, step) in steps.into_iter().chain([Step::Reopen]).enumerate() {
            match step {
                Step::Append(bytes) => {
                    let payload = vec![n as u8; bytes];
                    all.push((journal.append(&payload), payload));
                }
                Step::Sync => all.last().map_or((), |(lsn, _)| journal.sync(*lsn)),
                Step::Release(at) => {
                    if let Some((lsn, _)) = all.get(at) {
                        released = released.max(*lsn);
                        journal.journal.release(*lsn);
                    }
                }
                Step::Reopen => {
                    drop(journal);
                    journal = open(folder.path(), Durability::Os);
                    let found: Vec<_> = journal.records.iter().map(|r| (r.lsn, r.payload.to_vec())).collect();
                    prop_assert!(found.len() >= all.iter().filter(|(lsn, _)| *lsn >= released).count());
                    prop_assert_eq!(&found, &all[all.len() - found.len()..]);
                    all = found;
                }
            }
        }
    }

    #[test]
    fn any_file_opens_or_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), valid_header: bool, first: u64) {
        let folder = TempDir::new().unwrap();
        let header = Header { first, watermark: first, pages: 1, salt: Salt([3; 16]), before: false };
        let keys = JournalKeys::new(at_rest(1)).unwrap();
        let mut file = if valid_header { header.encode(&keys).to_vec() } else { Vec::new() };
        if valid_header {
            file.resize(PAGE, 0);
        }
        file.extend_from_slice(&bytes);
        fs::write(folder.path().join("segment-00000001.log"), &file).unwrap();
        let opened = try_open(folder.path(), Durability::Os);
        prop_assert!(opened.is_err() || opened.unwrap().records.is_empty());
    }
}

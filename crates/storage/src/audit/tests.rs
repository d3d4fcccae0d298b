use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::fs;
use tempfile::TempDir;

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

fn written(lines: u64) -> (TempDir, Vec<Head>) {
    let folder = TempDir::new().unwrap();
    let sink = AuditSink::open(folder.path(), key()).unwrap();
    let heads =
        (1..=lines).map(|n| sink.record("node.started", json!({ "n": n, "name": "a \"quoted\" näme" })).unwrap());
    let heads = heads.collect();
    (folder, heads)
}

fn lines(folder: &TempDir) -> Vec<Vec<u8>> {
    let bytes = fs::read(folder.path().join(FILE_NAME)).unwrap();
    bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn verified(folder: &TempDir, lines: &[Vec<u8>]) -> Result<Summary, AuditFault> {
    fs::write(folder.path().join(FILE_NAME), lines.concat()).unwrap();
    verify(folder.path(), &key().public())
}

#[test]
fn recorded_lines_verify_and_the_log_continues_after_a_restart() {
    let (folder, heads) = written(3);
    let summary = verify(folder.path(), &key().public()).unwrap();
    assert_eq!(summary.head, heads[2]);
    assert!(0 < summary.first_ts_ms && summary.first_ts_ms <= summary.last_ts_ms);
    let sink = AuditSink::open(folder.path(), key()).unwrap();
    assert_eq!(sink.head(), heads[2]);
    let head = sink.record("evidence.two_notarizes", json!({ "validator": 2 })).unwrap();
    assert_eq!(verify(folder.path(), &key().public()).unwrap().head, head);
    let line: serde_json::Value = serde_json::from_slice(&lines(&folder)[3]).unwrap();
    assert_eq!((line["seq"].as_u64(), line["event"].as_str()), (Some(4), Some("evidence.two_notarizes")));
    assert_eq!(line["fields"]["validator"], 2);
}

/// Neither a full disk nor a disk that fails for a moment ends the log. The log truncates the incomplete line, and
/// records the gap.
#[test]
fn it_goes_on_after_failed_writes_and_tells_how_many_events_are_missing() {
    let (folder, heads) = written(2);
    let sink = AuditSink::open(folder.path(), key()).unwrap();
    let path = folder.path().join(FILE_NAME);
    let good = std::mem::replace(&mut sink.state.lock().file, File::open(&path).unwrap());
    for _ in 0..3 {
        assert!(matches!(sink.record("node.started", json!({})), Err(AuditError::Io { .. })));
    }
    assert_eq!(sink.head(), heads[1]);
    fs::write(&path, [fs::read(&path).unwrap(), b"{\"seq\":3,\"half".to_vec()].concat()).unwrap();
    sink.state.lock().file = good;
    let head = sink.record("node.stopped", json!({})).unwrap();
    assert_eq!(head.seq, 4);
    assert_eq!(verify(folder.path(), &key().public()).unwrap().head, head);
    let gap: serde_json::Value = serde_json::from_slice(&lines(&folder)[2]).unwrap();
    assert_eq!((gap["event"].as_str(), gap["fields"]["events"].as_u64()), (Some("audit.events_lost"), Some(3)));
    assert_eq!(sink.record("node.started", json!({})).unwrap().seq, 5);
}

#[test]
fn an_event_over_the_limit_is_no_failed_write() {
    let (folder, _) = written(1);
    let sink = AuditSink::open(folder.path(), key()).unwrap();
    let large = sink.record("note", json!({ "text": "x".repeat(LINE_BYTES_MAX) }));
    assert!(matches!(large, Err(AuditError::TooLarge { .. })));
    assert_eq!(sink.record("node.stopped", json!({})).unwrap().seq, 2);
}

#[test]
fn events_of_a_name_are_found_again_whatever_stands_between() {
    let (folder, _) = written(2);
    let path = folder.path().join(FILE_NAME);
    let text = fs::read(&path).unwrap();
    fs::write(&path, [&text[..], b"\xff\xfe not a line\n", &vec![b'x'; 3 * LINE_BYTES_MAX], b"\n", &text].concat())
        .unwrap();
    let sink = AuditSink::open(folder.path(), key()).unwrap();
    sink.record("evidence", json!({ "validator": 2, "quoted": "\"event\":\"node.started\"" })).unwrap();
    let found = |name: &str| {
        let mut all = Vec::new();
        sink.each(name, |fields| all.push(fields.clone())).unwrap();
        all
    };
    let numbers: Vec<_> = found("node.started").iter().map(|fields| fields["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 1, 2]);
    assert_eq!(found("evidence")[0]["validator"], 2);
    assert!(found("node").is_empty());
}

#[test]
fn an_edit_of_any_byte_names_its_line() {
    let (folder, _) = written(3);
    let original = lines(&folder);
    for at in 0..original[1].len() - 1 {
        let mut edited = original.clone();
        // An edited line end joins two lines. The fault is still reported for the second line.
        edited[1][at] ^= 0x01;
        assert_eq!(verified(&folder, &edited).unwrap_err().line, 2, "byte {at}");
    }
}

#[test]
fn removed_moved_and_repeated_lines_are_named() {
    let (folder, _) = written(4);
    let original = lines(&folder);
    let with = |order: &[usize]| order.iter().map(|i| original[*i].clone()).collect::<Vec<_>>();
    for (order, line) in [([0, 2, 3].as_slice(), 2), (&[1, 2, 3], 1), (&[0, 2, 1, 3], 2), (&[0, 1, 1, 2], 3)] {
        assert_eq!(verified(&folder, &with(order)).unwrap_err().line, line, "{order:?}");
    }
    assert_eq!(verified(&folder, &original).unwrap().head.seq, 4);
}

#[test]
fn a_cut_line_is_named_and_missing_last_lines_show_against_an_anchor() {
    let (folder, heads) = written(3);
    let original = lines(&folder);
    for cut in 1..original[2].len() {
        let mut edited = original.clone();
        edited[2].truncate(cut);
        assert_eq!(verified(&folder, &edited).unwrap_err().line, 3, "cut at {cut}");
    }
    assert_eq!(verified(&folder, &original[..2]).unwrap().head, heads[1], "by itself a shorter log is a log");
    let anchored = |anchor: Head| verify_anchored(folder.path(), &key().public(), Some(&anchor));
    assert_eq!(anchored(heads[2]).unwrap_err().line, 3);
    assert_eq!(anchored(heads[1]).unwrap().head, heads[1]);
    assert_eq!(anchored(heads[0]).unwrap().head, heads[1]);
    assert_eq!(anchored(Head { seq: 1, hash: heads[1].hash }).unwrap_err().line, 1);
}

#[test]
fn another_key_does_not_verify_nor_go_on() {
    let (folder, _) = written(2);
    let other = SigningKey::from_seed(&[8; 32]);
    assert_eq!(verify(folder.path(), &other.public()).unwrap_err().line, 1);
    let error = AuditSink::open(folder.path(), other).err();
    assert!(matches!(&error, Some(AuditError::Broken(fault)) if fault.line == 2), "{error:?}");
}

#[test]
fn a_line_cut_short_by_a_crash_is_removed_and_that_is_recorded() {
    let (folder, heads) = written(2);
    let mut cut = lines(&folder);
    cut[1].truncate(20);
    fs::write(folder.path().join(FILE_NAME), cut.concat()).unwrap();
    let sink = AuditSink::open(folder.path(), key()).unwrap();
    assert_eq!(sink.head().seq, heads[0].seq + 1);
    verify(folder.path(), &key().public()).unwrap();
    let line: serde_json::Value = serde_json::from_slice(&lines(&folder)[1]).unwrap();
    assert_eq!((line["event"].as_str(), line["fields"]["bytes"].as_u64()), (Some("audit.cut_line_removed"), Some(20)));
}

#[test]
fn it_is_locked_bounded_and_empty_where_missing() {
    let folder = TempDir::new().unwrap();
    assert_eq!(verify(folder.path(), &key().public()), Ok(Summary::default()));
    let sink = AuditSink::open(folder.path(), key()).unwrap();
    assert!(matches!(AuditSink::open(folder.path(), key()), Err(AuditError::Locked { .. })));
    let large = "x".repeat(LINE_BYTES_MAX);
    assert!(matches!(sink.record("large", json!(large)), Err(AuditError::TooLarge { .. })));
    assert_eq!(sink.record("small", json!({})).unwrap().seq, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let folder = TempDir::new().unwrap();
        let whole = bytes.contains(&b'\n');
        let checked = verified(&folder, std::slice::from_ref(&bytes));
        prop_assert_eq!(checked.is_ok(), bytes.is_empty());
        let opened = AuditSink::open(folder.path(), key());
        prop_assert_eq!(opened.is_err(), whole);
    }
}

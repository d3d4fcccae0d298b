//! Tests of reads with a limit: a row that is too long isn't opened.

use super::sealed::all_rows;
use super::*;

const BYTES: usize = 60_000;

/// A store with one value of `BYTES` bytes, closed and opened again.
fn with_value(folder: &Path) -> RocksStore {
    let store = open(folder);
    let mut commit = Chain::default().next(&busy_plan(0));
    commit.diff = vec![LeafWrite { key: state_key(1), name: vec![2, b'k'], value: Some(vec![7; BYTES]) }];
    store.commit(&commit).unwrap();
    drop(store);
    open(folder)
}

#[test]
fn a_value_is_read_as_far_as_the_limit_allows() {
    let folder = TempDir::new().unwrap();
    let (key, whole) = (state_key(1), Ok(Some(LimitedValue::Whole(vec![7; BYTES]))));
    for limit in [0, BYTES - 5_000, BYTES - 1] {
        let store = if limit == 0 { with_value(folder.path()) } else { open(folder.path()) };
        // Before the value is in the cache, and after it.
        assert_eq!(store.state_within(&key, limit), Ok(Some(LimitedValue::Longer)));
        assert_eq!(store.state_within(&key, BYTES), whole, "a value that was too long isn't taken for an absent one");
        assert_eq!(store.state_within(&key, limit), Ok(Some(LimitedValue::Longer)));
        assert_eq!(store.state_within(&key, usize::MAX), whole);
        assert_eq!(store.state_within(&state_key(2), limit), Ok(None));
    }
}

#[test]
fn a_row_that_is_too_long_is_not_opened() {
    let folder = TempDir::new().unwrap();
    let store = with_value(folder.path());
    let (key, mut row) = all_rows(&store, Table::State).remove(0);
    let last = row.len() - 1;
    row[last] ^= 1;
    store.disk.db.put_cf(store.disk.family(Table::State).unwrap(), &key, &row).unwrap();
    for limit in [0, BYTES / 2] {
        assert_eq!(store.state_within(&state_key(1), limit), Ok(Some(LimitedValue::Longer)));
    }
    assert_eq!(store.damaged(), None, "nothing has looked at its seal");
    assert!(matches!(store.state_within(&state_key(1), BYTES), Err(StoreError::Corrupt { .. })));
}

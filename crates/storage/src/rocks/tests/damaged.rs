//! Bit flips and truncation in each kind of file that RocksDB keeps. The store is refused, or a row is refused by name,
//! or everything up to the tip is as at some earlier height that was the tip. No older value is ever shown.

use super::*;

const SESSIONS: usize = 4;
const HEIGHTS: usize = 40;

/// Writes of a height: each leaf is written at every third height with a value that contains the height. Each session
/// has one more leaf, which no later session writes.
fn writes(height: u64) -> Vec<(u8, Option<Vec<u8>>)> {
    let once = height.is_multiple_of(HEIGHTS as u64).then_some(KEYS + (height / HEIGHTS as u64) as u8);
    let keys = (0..KEYS).filter(|key| (u64::from(*key) + height).is_multiple_of(3)).chain(once);
    keys.map(|key| (key, Some([&height.to_le_bytes()[..], &[key; 400]].concat()))).collect()
}

/// Returns the expected value of a leaf as of a height: the one from the newest of the three heights up to it that
/// wrote the leaf.
fn expected(key: u8, height: u64) -> Option<Vec<u8>> {
    if let Some(session) = key.checked_sub(KEYS) {
        let written = u64::from(session) * HEIGHTS as u64;
        return (written <= height).then(|| [&written.to_le_bytes()[..], &[key; 400]].concat());
    }
    let written = (height.saturating_sub(2)..=height).rev().find(|h| (u64::from(key) + h).is_multiple_of(3))?;
    Some([&written.to_le_bytes()[..], &[key; 400]].concat())
}

/// A store that was opened several times, so that it has table files, a manifest with history and a write-ahead log.
fn filled(folder: &Path) -> Vec<(Height, BlockDigest)> {
    let mut chain = Chain::default();
    for session in 0..SESSIONS {
        let store = open(folder);
        for number in 0..HEIGHTS {
            let commit = chain.empty(writes(chain.height));
            store.commit(&commit).unwrap();
            if number % 10 == 3 {
                store.sync().unwrap();
            }
            // Also in the last session: then only the end of the manifest has certain data.
            if session % 2 == 1 && number == HEIGHTS / 2 {
                Table::ALL.iter().for_each(|table| store.disk.db.flush_cf(store.disk.family(*table).unwrap()).unwrap());
            }
        }
    }
    chain.blocks
}

#[test]
fn a_missing_manifest_is_damage_and_not_a_failing_disk() {
    let folder = TempDir::new().unwrap();
    filled(folder.path());
    let files = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().path());
    let manifests = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("MANIFEST-"));
    manifests.for_each(|path| fs::remove_file(path).unwrap());
    let refused = try_open(folder.path()).err().unwrap();
    assert!(matches!(&refused, StoreError::Damaged { reason, .. } if reason.contains("MANIFEST-")), "{refused}");
}

/// Describes what is wrong with the answers of a store in this folder; `None` if an error names the damage.
fn wrong(folder: &Path, blocks: &[(Height, BlockDigest)]) -> Option<String> {
    let store = try_open(folder).ok()?;
    let tip = store.tip().map(|tip| tip.height.0);
    for (height, digest) in blocks {
        let wanted = tip.is_some_and(|tip| height.0 <= tip).then_some(*digest);
        match store.block(*height) {
            Ok(found) if found.as_ref().map(|block| block.digest) == wanted => {}
            Ok(found) => return Some(format!("tip {tip:?}, block {height:?}: {:?}", found.map(|block| block.digest))),
            Err(_) => {}
        }
    }
    for key in 0..KEYS + SESSIONS as u8 {
        match store.state(&state_key(key)) {
            Ok(found) if found == tip.and_then(|tip| expected(key, tip)) => {}
            Ok(found) => return Some(format!("tip {tip:?}, leaf {key}: {:?}", found.map(|value| value[..8].to_vec()))),
            Err(_) => {}
        }
    }
    None
}

fn files(folder: &Path, begins: &str, ends: &str) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.filter(|name| name.starts_with(begins) && name.ends_with(ends)).collect();
    names.sort();
    names
}

fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, to.path().join(path.file_name().unwrap())).unwrap();
    }
    to
}

/// Offsets all over `length` bytes, closer together at the end.
fn places(length: usize, count: usize) -> Vec<usize> {
    let even = (0..count).map(|number| number * length / count);
    let last = (1..=count / 4).map(|back| length.saturating_sub(back * 7));
    even.chain(last).filter(|at| *at < length).collect()
}

fn each_damage(begins: &str, ends: &str, count: usize) {
    let folder = TempDir::new().unwrap();
    let blocks = filled(folder.path());
    assert_eq!(wrong(folder.path(), &blocks), None);
    let whole = copy(folder.path());
    let names = files(whole.path(), begins, ends);
    assert!(!names.is_empty(), "{begins}*{ends}");
    for name in names {
        let content = fs::read(whole.path().join(&name)).unwrap();
        for at in places(content.len(), count) {
            for cut in [true, false] {
                let damaged = copy(whole.path());
                let mut bytes = content.clone();
                if cut {
                    bytes.truncate(at)
                } else {
                    bytes[at] ^= 1 << (at % 8)
                }
                fs::write(damaged.path().join(&name), bytes).unwrap();
                let found = wrong(damaged.path(), &blocks);
                assert_eq!(found, None, "{name} {} at {at} of {}", if cut { "cut" } else { "flipped" }, content.len());
            }
        }
    }
}

/// Places of the kinds of the records in a file of one block.
fn kinds(content: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 7 <= content.len() {
        found.push(at + 6);
        at += 7 + usize::from(u16::from_le_bytes([content[at + 4], content[at + 5]]));
    }
    found
}

#[test]
fn a_record_as_of_a_recycled_log_is_refused_and_not_read_for_ever() {
    let folder = TempDir::new().unwrap();
    filled(folder.path());
    for (begins, ends) in [("MANIFEST-", ""), ("0", ".log")] {
        let [name] = files(folder.path(), begins, ends).try_into().unwrap();
        let content = fs::read(folder.path().join(&name)).unwrap();
        let places = kinds(&content[..content.len().min(32 * 1024)]);
        assert!(places.len() > 2, "{name}");
        for at in places.into_iter().filter(|at| (1..=3).contains(&content[*at])) {
            let damaged = copy(folder.path());
            let mut bytes = content.clone();
            bytes[at] ^= 4;
            fs::write(damaged.path().join(&name), bytes).unwrap();
            let refused = try_open(damaged.path()).err().unwrap();
            assert!(matches!(&refused, StoreError::Damaged { reason, .. } if reason.contains(&name)), "{refused}");
        }
    }
}

#[test]
fn a_damaged_manifest_never_makes_a_wrong_answer() {
    each_damage("MANIFEST-", "", 40);
}

#[test]
fn a_damaged_log_never_makes_a_wrong_answer() {
    each_damage("0", ".log", 40);
}

#[test]
fn a_damaged_table_never_makes_a_wrong_answer() {
    each_damage("0", ".sst", 4);
}

#[test]
fn small_damaged_files_never_make_a_wrong_answer() {
    for begins in ["CURRENT", "IDENTITY", "OPTIONS-", "keys", "manifest-length"] {
        each_damage(begins, "", 10);
    }
}

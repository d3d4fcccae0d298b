//! The inputs that a run begins with: a target's seeds, and the files of its folder in `corpus`.
//!
//! *Invariants:* nothing of the conformance vectors is stored twice: they are read where they are.

use crate::Target;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

/// This crate's folder: as of now where cargo runs it, since clones share what was compiled.
pub fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// A target's folder: inputs that were found, and those that once broke something.
pub fn folder(target: &Target) -> PathBuf {
    root().join("corpus").join(target.name)
}

/// The stored inputs by file name, in its order.
pub fn stored(target: &Target) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder(target)) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
        .iter()
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(path).unwrap()))
        .collect()
}

/// All inputs of a target; at least the empty one.
pub fn all(target: &Target) -> Vec<Vec<u8>> {
    let mut inputs = (target.seeds)();
    inputs.extend(stored(target).into_iter().map(|(_, bytes)| bytes));
    inputs.push(Vec::new());
    let mut seen = BTreeSet::new();
    inputs.retain(|input| seen.insert(input.clone()));
    inputs
}

/// The cases of a file of conformance vectors.
pub fn vectors(file: &str) -> Vec<Value> {
    let path = root().join("../vectors").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: Value = serde_json::from_str(&text).unwrap();
    file["cases"].as_array().unwrap().clone()
}

/// A field of a case that is bytes.
pub fn bytes_of(case: &Value, field: &str) -> Vec<u8> {
    hex::decode(case[field].as_str().unwrap()).unwrap()
}

/// The bytes of all cases of this type, refused ones included.
pub fn of_type(kind: &str) -> Vec<Vec<u8>> {
    let files = ["transactions.json", "consensus.json", "ledger.json", "refused.json"];
    let cases = files.iter().flat_map(|file| vectors(file));
    cases.filter(|case| case["type"] == kind).map(|case| bytes_of(&case, "bytes")).collect()
}

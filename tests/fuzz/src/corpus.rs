//! The inputs that a run begins with: a target's seeds, and the files of its folder in `corpus`.
//!
//! *Invariants:* nothing of the conformance vectors is stored twice: they are read where they are; what coverage has shown to
//! be different is in one file a target, since it is hundreds of inputs of some bytes.

use crate::Target;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// This crate's folder: the current one if cargo runs it, because clones share compiled code.
pub fn root() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// A target's folder: found inputs, and those that once broke something.
pub fn folder(target: &Target) -> PathBuf {
    root().join("corpus").join(target.name)
}

/// The file of inputs that a coverage-guided run found: each a length (u32, little endian) and its bytes, in ascending
/// order.
const GUIDED: &str = "guided";

/// The stored inputs by file name, in its order.
pub fn stored(target: &Target) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = fs::read_dir(folder(target)) else { return Vec::new() };
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut inputs = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = fs::read(&path).unwrap();
        if name == GUIDED {
            inputs.extend(unpacked(&bytes).into_iter().enumerate().map(|(at, one)| (format!("{name}-{at}"), one)));
        } else {
            inputs.push((name, bytes));
        }
    }
    inputs
}

fn unpacked(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut inputs = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (input, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        inputs.push(input.to_vec());
        bytes = rest;
    }
    assert!(bytes.is_empty(), "a file of inputs ends within a length");
    inputs
}

/// Adds the inputs in a folder to those of earlier coverage-guided runs, without the inputs that a run begins with;
/// returns the new number.
pub fn pack(target: &Target, found: &Path) -> std::io::Result<usize> {
    let path = folder(target).join(GUIDED);
    let before = if path.exists() { unpacked(&fs::read(&path)?) } else { Vec::new() };
    let mut inputs = BTreeSet::from_iter(before);
    for entry in fs::read_dir(found)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(SEED) {
            inputs.insert(fs::read(entry.path())?);
        }
    }
    let mut bytes = Vec::new();
    for input in &inputs {
        bytes.extend_from_slice(&u32::try_from(input.len()).map_err(std::io::Error::other)?.to_le_bytes());
        bytes.extend_from_slice(input);
    }
    if !inputs.is_empty() {
        fs::create_dir_all(folder(target))?;
        fs::write(path, bytes)?;
    }
    Ok(inputs.len())
}

/// Name prefix of the files that a run begins with.
pub const SEED: &str = "seed-";

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
    listed(file, "cases")
}

/// A list in a file of conformance vectors.
pub fn listed(file: &str, list: &str) -> Vec<Value> {
    let path = root().join("../vectors").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file: Value = serde_json::from_str(&text).unwrap();
    file[list].as_array().unwrap().clone()
}

/// A field of a case that is bytes.
pub fn bytes_of(case: &Value, field: &str) -> Vec<u8> {
    hex::decode(case[field].as_str().unwrap()).unwrap()
}

/// The bytes of all cases of this type, refused ones included.
pub fn of_type(kind: &str) -> Vec<Vec<u8>> {
    let files = [
        "transactions.json",
        "transactions2.json",
        "authorities.json",
        "consensus.json",
        "ledger.json",
        "refused.json",
    ];
    let cases = files.iter().flat_map(|file| vectors(file));
    cases.filter(|case| case["type"] == kind).map(|case| bytes_of(&case, "bytes")).collect()
}

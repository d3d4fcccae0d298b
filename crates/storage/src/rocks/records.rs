//! The physical records of RocksDB's manifest and write-ahead logs, looked at before RocksDB reads them.
//!
//! RocksDB reads a record of a recycled log, in a file that isn't one, again and again without an end. One flipped bit in
//! the kind of a record is enough for that.
//!
//! *Invariants:* only headers are looked at; what RocksDB writes here is never refused, since logs aren't recycled.

use super::disk::failure;
use crate::store::StoreError;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::Path;

/// Bytes of a block; no record crosses its end.
const BLOCK_BYTES: u64 = 32 * 1024;
/// Checksum (4 bytes), length (2, little-endian), kind (1).
const HEADER_BYTES: u64 = 7;
/// Kinds of records that only recycled logs have (`db/log_format.h`).
const RECYCLED: [u8; 6] = [5, 6, 7, 8, 11, 131];

/// Refuses a folder whose manifest or write-ahead log has a record of a recycled log.
pub(super) fn check(folder: &Path) -> Result<(), StoreError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failure(folder, &error.to_string())),
    };
    for entry in entries {
        let entry = entry.map_err(|error| failure(folder, &error.to_string()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if !name.starts_with("MANIFEST-") && !name.ends_with(".log") {
            continue;
        }
        let found = File::open(entry.path()).and_then(|file| recycled(BufReader::new(file)));
        if let Some(at) = found.map_err(|error| failure(folder, &error.to_string()))? {
            let reason = format!("{name} has a record at byte {at} of a kind that is never written");
            return Err(StoreError::Damaged { path: folder.display().to_string(), reason });
        }
    }
    Ok(())
}

/// Returns where the first record of a recycled log begins, if there is one.
fn recycled(mut file: BufReader<File>) -> io::Result<Option<u64>> {
    let mut at = 0;
    loop {
        let left = BLOCK_BYTES - at % BLOCK_BYTES;
        let mut skip = left;
        if left >= HEADER_BYTES {
            let mut header = [0; HEADER_BYTES as usize];
            match file.read_exact(&mut header) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
                Err(error) => return Err(error),
            }
            let [_, _, _, _, low, high, kind] = header;
            if RECYCLED.contains(&kind) {
                return Ok(Some(at));
            }
            let length = u64::from(u16::from_le_bytes([low, high]));
            let empty = kind == 0 && length == 0;
            at += HEADER_BYTES;
            skip = left - HEADER_BYTES;
            if !empty && length <= skip {
                skip = length;
            }
        }
        file.seek_relative(i64::try_from(skip).unwrap_or(0))?;
        at += skip;
    }
}
